/* SPDX-License-Identifier: MIT
 *
 * private_messages.h - texts to the room and to one person, and private messages from others.
 *
 * Texts are sent as soon as possible: private ones sealed, and in plaintext only after an explicit
 * choice. Failed and unconfirmed texts are reported. Messages that no person typed (receipts,
 * notices, GetKeys, repeated texts) go through `pace`. One thread.
 *
 * private_messages.c sends texts, private_fate.c handles what becomes of them, private_in.c
 * receives private messages, private_keys.c handles keys and safety numbers.
 */
#ifndef PRIVATE_MESSAGES_H
#define PRIVATE_MESSAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/ws_client.h"
#include "json_msg.h"
#include "client/pace.h"
#include "client/unacked.h"
#include "client/output.h"
#include "client/who.h"
#include "client/keys/conversation.h"

enum {
    PRIVATE_CONFIRM_MS = 10000, /* a text that is not confirmed so long after sending is late */
    PRIVATE_RECHECK_MS = 30000, /* see private_users */
    PRIVATE_COMPARE_MS = 5000,  /* how long /verify waits for keys; then it is cancelled */
    PRIVATE_AHEAD = 128,        /* texts of a script to the room that are in flight at one time */
};

/* The prompt that asks to confirm a safety number. */
#define PRIVATE_COMPARE_PROMPT "the last 5 digits > "

struct private_messages {
    struct ws_client *ws;  /* borrowed */
    struct output *output; /* borrowed */
    struct unacked unacked;
    struct conversations conversations;
    struct pace pace;
    int64_t (*steady)(void); /* net_now; another one in tests */
    uint64_t (*wall)(void);  /* milliseconds since 1970; another one in tests */
    uint64_t flushes;        /* serial number of the last private_flush */
    const char *off;    /* why private messages are off on this connection; NULL: they are on */
    bool looking;       /* during private_accept: received messages that waited are opened now */
    bool inside;        /* joined, and all earlier messages were received */
    size_t max_message; /* size limit of the server's messages in bytes */
    int64_t recheck_at; /* when private_users may ask again for all texts that wait */
    bool failed;        /* a text will not be delivered, or was not confirmed */
    bool heard;         /* a private message was read */
    struct conversation
        *comparing; /* whose safety number is shown: its last digits would mark the key */
    unsigned char compared[E2E_KEY_BYTES]; /* the key of this safety number */
    char number[E2E_SAFETY_MAX];           /* the safety number */
};

/* Initializes it. `server` and `keystore` as in conversations_init; all pointers outlive it. */
void private_init(struct private_messages *private, struct ws_client *ws, struct output *output,
                  struct keystore *keystore, const char *server);
void private_fini(struct private_messages *private);

/* Sends a finished message and frees it. NULL means that memory was out, which is reported. */
void private_send(struct private_messages *private, char *json);

/* ---- The connection ---- */

/* Makes keys for a new connection, before Join. Returns the seven fields of a Join
 * (e2e_write_claim), which the caller frees with free(), or NULL after reporting why there are
 * none. `nonce` is that of Hello; NULL: there is no Hello (the short way), and NULL is returned. */
char *private_begin(struct private_messages *private, const struct e2e_place *place,
                    const char *nonce);

/* The server refused the origin that we dialled: goes on without private messages, and reports it.
 */
void private_wrong_origin(struct private_messages *private, const char *origin);

/* Called after joining, when all missed messages have been received. Sends unconfirmed texts again,
 * except plaintext to one person, who could receive it twice. */
void private_settle(struct private_messages *private);

/* Who is here has changed. While nobody knows who came, texts that wait ask for keys every
 * PRIVATE_RECHECK_MS at most. */
void private_users(struct private_messages *private, const struct who *who,
                   const struct who_change *change);

/* The connection was lost. Choices of plaintext are cancelled. */
void private_lost(struct private_messages *private);

/* The server closed because a message was too long. The oldest text in flight fails, because it
 * would be refused again. */
void private_too_long(struct private_messages *private);

/* Does the work whose time has come. The second returns when to call it again (net_now; INT64_MAX:
 * never). */
void private_tick(struct private_messages *private);
int64_t private_until(const struct private_messages *private);

/* Before the end: confirms received messages now, without waiting for a message to ride on. */
void private_part(struct private_messages *private);

/* ---- Texts out ---- */

/* Takes a text to the room (`to` NULL) or to one person, and sends it as soon as possible. Returns
 * false after reporting why it cannot. */
bool private_say(struct private_messages *private, const char *to, const char *text);

/* Sends the waiting texts that can be sent. */
void private_flush(struct private_messages *private);

/* Number of texts that the server has not confirmed. */
size_t private_unsent(const struct private_messages *private);

/* Number of texts that are neither confirmed nor reported as late. */
size_t private_pending(const struct private_messages *private);

/* For scripts: whether one more text may be sent without outrunning its readers. */
bool private_has_room(const struct private_messages *private);

/* Handle Delivered and Error. The last returns false if the Error is about neither a text nor a
 * request of ours. */
void private_delivered(struct private_messages *private, const struct json_object *in);
bool private_error(struct private_messages *private, const struct json_object *in, const char *why);

/* ---- Private messages in ---- */

/* Handles a PrivateMessage. */
void private_received(struct private_messages *private, const struct json_object *in);

/* ---- Keys ---- */

/* Handles UserKeys. */
void private_keys(struct private_messages *private, const struct json_object *in);

/* Shows the safety number with somebody, once their keys have arrived. */
void private_compare(struct private_messages *private, struct conversation *conversation);

/* Called for each typed line. Cancels a requested safety number that has not arrived yet. If one is
 * shown, the line is its answer: returns true, and the line must not be used otherwise. */
bool private_answer(struct private_messages *private, const char *line);

/* Accepts the offered key, and opens the messages that waited for it. Reports an error instead if
 * the key is not the one that was announced or whose number was shown. */
void private_accept(struct private_messages *private, struct conversation *conversation);

/* ---- Between the four files ---- */

struct e2e_now private_now(const struct private_messages *private);

/* Requests somebody's keys, as soon as the pace allows. */
void private_ask_keys(struct private_messages *private, struct conversation *conversation);

/* Sends a message that nobody typed, as soon as the pace allows. Takes `json`. */
void private_send_paced(struct private_messages *private, char *json);

/* Reports a complaint, unless it is "". */
void private_complain(struct private_messages *private, const char *error);

/* Announces an offered key. If it replaces an announced one, the person may not have noticed yet:
 * see conversation_announce. */
void private_tell_changed(struct private_messages *private, struct conversation *conversation);

/* Publishes a new session key of ours. */
void private_publish(struct private_messages *private);

/* Handles the events of continuity_event while the pace allows a receipt, or with `all` every one.
 */
void private_events(struct private_messages *private, bool all);

/* Cancels expired requests for a safety number, and reports it. Returns when the next one expires
 * (INT64_MAX: there is none). */
void private_end_wishes(struct private_messages *private, int64_t now);
int64_t private_wish_until(const struct private_messages *private);

/* Forgets a text. */
void private_drop(struct private_messages *private, struct unacked_message *message);

/* Shows a text of ours as sent, unless it was shown before. */
void private_show_sent(struct private_messages *private, struct unacked_message *message);

/* Reports why a text cannot be sent, or not again. Forgets it if it never went out sealed. Any
 * other text may have been read, whatever the server says: it is not sent again, but kept until it
 * is confirmed, which is reported, or private_trim drops it. */
void private_fail(struct private_messages *private, struct unacked_message *message,
                  const char *why);

/* Reports that a text was not confirmed, and forgets it. */
void private_give_up(struct private_messages *private, struct unacked_message *message);

/* Gives up kept texts beyond UNACKED_KEPT_MAX. Must not be called while iterating over them. */
void private_trim(struct private_messages *private);

/* All texts that wait for somebody's keys fail. */
void private_fail_waiting(struct private_messages *private, struct conversation *conversation,
                          const char *why);

#endif
