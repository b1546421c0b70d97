/* SPDX-License-Identifier: MIT
 *
 * chat.h - one member of one room: coming in, what is heard, what is said, and coming back.
 *
 * chat_opened, chat_heard and chat_lost take what dial_next tells; nothing here waits. One thread.
 */
#ifndef CHAT_H
#define CHAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "contacts.h"
#include "dial.h"
#include "mail.h"
#include "options.h"
#include "show.h"

enum { CHAT_GIVE_UP_MS = 60000 }; /* MODE_SEND: without a connection for so long, it ends */

enum chat_place {
    CHAT_OUTSIDE,
    CHAT_ENTERING, /* joined: what was missed, or is recent, comes first */
    CHAT_INSIDE,
};

struct chat {
    struct options *options; /* borrowed */
    struct show *show;       /* borrowed */
    struct dial dial;
    struct mail mail;
    char server[URL_HOST_MAX + 8]; /* url_server */

    enum chat_place place;
    bool joined_once;
    char name[NAME_MAX_BYTES + 1]; /* who we are there */
    char *epoch;                   /* of Joined; NULL: nothing to resume */
    uint64_t last_id, joined_id;   /* of the last broadcast that was heard; LastId of Joined */
    char **users;                  /* who is here */
    size_t user_count;

    int status;          /* how to end, or -1 */
    bool wants_password; /* the line is down until one was asked for */
    bool wrong_password; /* because the last one was wrong */
    bool asked_password; /* it was typed, not given beforehand */
    int64_t lost_at;     /* net_now at which the connection was lost; 0: it was not */
};

/* Readies it; nothing is connected yet. All pointers outlive it. Returns 0, or -1 when out of random
 * numbers. */
int chat_init(struct chat *chat, struct options *options, struct show *show,
              struct contacts *contacts);
void chat_fini(struct chat *chat);

/* The WebSocket is open: comes in. */
void chat_opened(struct chat *chat);

/* A message came. */
void chat_heard(struct chat *chat, const char *text, size_t len);

/* The line is gone. Returns whether to try again; else chat->status says how to end. */
bool chat_lost(struct chat *chat);

/* Puts before the line that is typed what stands there usually. */
void chat_prompt(struct chat *chat);

/* Ends it with that status, unless an end was decided before. */
void chat_end(struct chat *chat, int status);

#endif
