/* SPDX-License-Identifier: MIT
 *
 * pace.h - a rate limit for messages that the client sends by itself: receipts, notices, GetKeys,
 * repeated texts.
 *
 * Others can cause all of these, so at most a few are sent in a second, whatever others send. Pure:
 * no I/O, no clock of its own. One thread.
 */
#ifndef PACE_H
#define PACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PACE_MAX = 10,       /* messages in any period of PACE_MS; more have to wait */
    PACE_MS = 1000,      /* milliseconds */
    PACE_QUEUE_MAX = 64, /* queued messages; one more is dropped */
};

struct pace_message {
    struct pace_message *next;
    char *json;
};

/* Zeroed it is empty. */
struct pace {
    int64_t sent[PACE_MAX]; /* times of the last sends, a ring */
    size_t count;           /* messages sent in all */
    struct pace_message *first;
    size_t waiting;
};

/* Frees the queued messages. */
void pace_fini(struct pace *pace);

/* Whether one more may be sent at `now` (net_now); if so, counts it. */
bool pace_take(struct pace *pace, int64_t now);

/* The earliest time at which pace_take returns true; in the past if that is now. */
int64_t pace_next(const struct pace *pace);

/* Queues a finished message. Takes `json`. Returns false, and frees the message, when
 * PACE_QUEUE_MAX are queued or memory is out. */
bool pace_push(struct pace *pace, char *json);

/* Takes the first queued message if it may be sent at `now`, and counts it as sent; NULL if there
 * is none. The caller frees it with free(). */
char *pace_pop(struct pace *pace, int64_t now);

#endif
