/* SPDX-License-Identifier: MIT
 *
 * client.h - one client, as its thread sees it: what is known of it, what the server says to it, and what it
 * says next.
 *
 * What becomes of it is in life.c; what its request is answered with, in admit.c; how it joins, in
 * join.c; what it may say then, in hear.c. All functions are its thread's alone.
 */
#ifndef CLIENT_H
#define CLIENT_H

#include <stdbool.h>
#include <stddef.h>

#include "config.h"
#include "conn.h"
#include "json_msg.h"
#include "name.h"
#include "register.h"
#include "room.h"
#include "settings.h"
#include "ws.h"

enum { CLIENT_TEXT_MAX = 256 }; /* a sentence of an Error */

struct client {
    struct register_entry entry;   /* see register.h */
    int fd;                        /* [I] */
    struct conn conn;              /* [t], but for its outbox */
    struct member member;          /* [t], see room.h */
    char room[NAME_MAX_BYTES + 1]; /* [t] */
    bool v2;                       /* [t] speaks ragnarok.v2 */
    bool joined;                   /* [t] */
    bool to_pump;                  /* [t] it said something that waits in the ring */
    struct settings *settings;     /* [t] in force when it last looked; held */
    struct conn_limits limits;     /* [t] of these settings */
    int end_code;                  /* [t] Close code to end with; 0: none is due */
    const char *end_why;           /* [t] */
};

/* The settings it goes by. */
const struct config *client_config(const struct client *client);

/* Takes the settings in force, before anything else. They are let go by settings_drop. */
void client_begin(struct client *client);

/* Goes on with the settings in force, if those are others. How long its messages may be stays: it may
 * have been told. */
void client_keep_up(struct client *client);

/* Sends a message that json_msg.c made, and frees it; NULL means that memory was out: then the
 * connection is closed (1013). */
void client_say(struct client *client, char *json, size_t len);

/* Sends an Error (see docs/PROTOCOL.md); `about` is the message it is for, or NULL. */
void client_say_error(struct client *client, const char *code, const char *text,
                      const struct json_object *about);

/* Says what is wrong with the field `name`, which had to be a string. */
void client_say_missing(struct client *client, const struct json_object *message, const char *name);

/* Remembers the Close frame to end with; the first one counts. `why` is a constant. Returns -1. */
int client_end_with(struct client *client, int code, const char *why);

/* The next text message that has arrived: as conn_next, but that -1 is already seen to by
 * client_end_with. */
int client_next(struct client *client, struct ws_event *event);

/* Reads what was said. Returns whether it is an object; if not, the client was told what is wrong. */
bool client_parse(struct client *client, const struct ws_event *event, struct json_object *message);

#endif
