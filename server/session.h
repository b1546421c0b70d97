/* SPDX-License-Identifier: MIT
 *
 * session.h - one client, as its thread sees it: its state, messages to it, and its next message.
 *
 * client_thread.c runs it, upgrade.c answers its request, join.c lets it join, dispatch.c handles
 * its messages. Only its thread may call these functions.
 */
#ifndef SESSION_H
#define SESSION_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/protocol.h"
#include "base/config.h"
#include "server/connection.h"
#include "json_msg.h"
#include "lib/name.h"
#include "server/registry.h"
#include "room.h"
#include "server/live_config.h"
#include "ws.h"

enum { SESSION_TEXT_MAX = 512 }; /* bytes of an Error's text, with its NUL */

/* The error text for keys of the wrong form. */
#define SESSION_CARD_FORM                                                                          \
    "\"IdentityKey\" and \"SessionKey\" must be public keys of 64 lower-case hexadecimal digits "  \
    "(canonical, not of small order), \"KeySignature\" and \"Proof\" have 128 digits, "            \
    "\"KeyExpires\" is a whole number from 1 to 2^53-1, \"KeyOrigin\" an origin like "             \
    "https://example.org:12345, \"KeyEnc\" words of a-z, 0-9 and -"

struct session {
    struct registry_slot entry;    /* see registry.h */
    int fd;                        /* [I] */
    struct connection conn;        /* [t], but for its outbox */
    struct member member;          /* [t], see room.h */
    char room[NAME_MAX_BYTES + 1]; /* [t] */
    char *host;                    /* [t] Host of its handshake, for KeyOrigin; owned. NULL once it
                                      * has joined, and if it may not publish keys */
    bool v2;                       /* [t] speaks ragnarok.v2 */
    bool joined;                   /* [t] */
    bool needs_fan_out;            /* [t] the room needs a fan-out, by this thread */
    struct live_config *settings;  /* [t] a reference to the settings that it uses */
    struct connection_limits limits; /* [t] derived from them */
    struct room_payer payer;         /* [t] source of its broadcasts; payer.source NULL: no limit */
    int end_code;                    /* [t] Close code to end with; 0: none */
    const char *end_why;             /* [t] */
};

/* The settings that it uses. */
const struct config *session_config(const struct session *client);

/* Takes a reference to the settings in force; the caller releases it. Must be called first. */
void session_begin(struct session *client);

/* From now on charges its messages to its source, unless that is exempt, and its broadcasts to the
 * room's rate, if bytes are limited. */
void session_count_source(struct session *client);

/* Switches to newer settings, if there are any. Its message length limit stays, because the client
 * may have been told. */
void session_refresh_config(struct session *client);

/* Sends a message of json_msg.c, and frees it. NULL means that memory was out: then the connection
 * is closed (1013). */
void session_say(struct session *client, char *json, size_t len);

/* Sends an Error (see docs/PROTOCOL.md); `about` is the message it is for, or NULL. */
void session_say_error(struct session *client, enum protocol_error code, const char *text,
                       const struct json_object *about);

/* Sends the Error `throttled`: the next Join is processed in `ms` milliseconds. `text` is for
 * people. */
void session_say_throttled(struct session *client, const char *text, int64_t ms,
                           const struct json_object *about);

/* Sends a page of older messages, as session_say does. */
void session_say_page(struct session *client, char *json, size_t len);

/* Sends the Error for the field `name`, which must be a string. */
void session_say_missing(struct session *client, const struct json_object *message,
                         const char *name);

/* Finds a field of a card (with `proof`: of a Join) that is missing or has the wrong JSON type, and
 * sends the Error for it. There must be one. */
void session_say_card_missing(struct session *client, const struct json_object *message,
                              bool proof);

/* Sets the Close frame to end with; the first call counts. `why` is a constant. Returns -1. */
int session_end_with(struct session *client, int code, const char *why);

/* Takes the next text message of the input. Returns as connection_next; with -1 it has called
 * session_end_with already. */
int session_next(struct session *client, struct ws_event *event);

/* Parses a message. Returns whether it is a JSON object; if not, the client has been sent an
 * Error. */
bool session_parse(struct session *client, const struct ws_event *event,
                   struct json_object *message);

#endif
