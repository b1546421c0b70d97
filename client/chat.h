/* SPDX-License-Identifier: MIT
 *
 * chat.h - one member of one room: joining, receiving, sending, and reconnecting.
 *
 * chat_opened, chat_heard and chat_lost take the events of ws_client_next; nothing here waits. One
 * thread.
 */
#ifndef CHAT_H
#define CHAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/backlog.h"
#include "client/keys/keystore.h"
#include "client/ws_client.h"
#include "client/private_messages.h"
#include "client/options.h"
#include "client/output.h"
#include "client/who.h"

enum {
    CHAT_GIVE_UP_MS =
        60000, /* MODE_SEND, MODE_HISTORY: gives up after so long without a connection */
    CHAT_RETRY_AFTER_MAX = 86400, /* seconds; a longer RetryAfter is a refusal, not a wait */
};

enum chat_place {
    CHAT_OUTSIDE,
    CHAT_ENTERING, /* joined: missed or recent messages come first */
    CHAT_INSIDE,
};

/* State of /nick. */
enum chat_nick {
    CHAT_NICK_STAYS,
    CHAT_NICK_LEAVES, /* the connection is being closed */
    CHAT_NICK_COMES,  /* reconnecting under the new name */
};

struct chat {
    struct options *options; /* borrowed */
    struct output *output;   /* borrowed */
    struct ws_client ws;
    struct private_messages private;
    struct backlog backlog;
    char address[KEYSTORE_SERVER_MAX]; /* the dialled address (url_server), for people */
    char server[KEYSTORE_SERVER_MAX];  /* the server's known name: keys are kept under it */

    enum chat_place place;
    bool greeted; /* a Hello was answered on this connection; later ones are ignored */
    bool joined_once;
    char name[NAME_MAX_BYTES + 1]; /* our name in the room */
    char *epoch;                   /* Epoch of Joined; NULL: nothing to resume */
    uint64_t last_id, joined_id;   /* Id of the last broadcast received; LastId of Joined */
    struct who who;                /* present members */

    int status;          /* exit status, or -1 */
    bool wants_password; /* the connection is down until a password was typed */
    bool wrong_password; /* the last password was wrong */
    bool asked_password; /* the password was typed, not given at the start */
    int64_t lost_at;     /* net_now of the loss, or of the end of an announced pause; 0: not lost */
    int64_t came_at;     /* net_now at which we joined */
    int64_t retry_at;    /* net_now before which the server refuses us; 0: not announced */
    int64_t deadline;    /* net_now of --timeout; INT64_MAX: none. Set after chat_init */

    enum chat_nick nick_state;
    char nick[NAME_MAX_BYTES + 1];   /* options->name points here after a /nick */
    char former[NAME_MAX_BYTES + 1]; /* name to return to when the new one is refused */
};

/* Initializes it without connecting. All pointers outlive it. Returns 0, or -1 when random numbers
 * are out. */
int chat_init(struct chat *chat, struct options *options, struct output *output,
              struct keystore *keystore);
void chat_fini(struct chat *chat);

/* The WebSocket is open: begins to join. */
void chat_opened(struct chat *chat);

/* Handles a received message. */
void chat_heard(struct chat *chat, const char *text, size_t len);

/* The connection was lost. Returns whether to reconnect; else chat->status is the exit status. */
bool chat_lost(struct chat *chat);

/* Sets the usual prompt before the typed line. */
void chat_prompt(struct chat *chat);

/* Leaves and joins again as `name`, or under the old name if that is refused. Reports the result,
 * or why it cannot be done now. */
void chat_nick(struct chat *chat, const char *name);

/* Ends the chat with that status, unless an end was decided before. */
void chat_end(struct chat *chat, int status);

#endif
