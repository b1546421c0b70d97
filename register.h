/* SPDX-License-Identifier: MIT
 *
 * register.h - who is connected: how many in all, how many from one address, and whom to tell when
 * the server stops.
 *
 * One lock, outside of those in room.h; only write locks are taken while it is held.
 */
#ifndef REGISTER_H
#define REGISTER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "config.h"
#include "outbox.h"

enum {
    REGISTER_SPARE = 32, /* connections over a limit that are told so at the same time */
};

/* A connection in the register. Belongs to its client. */
struct register_entry {
    struct register_entry *next, *previous; /* [r] */
    struct sockaddr_storage peer;           /* [I] */
    struct outbox *out;                     /* [I] borrowed, from enlist to delist */
    uint64_t number;                        /* [I] names the connection in the log */
    int refusal;                            /* [I] HTTP status to refuse it with; 0: welcome */
    const char *why;                        /* [I] of the refusal */
};

/* Readies the register. `config` outlives it. */
void register_init(const struct config *config);

/* Takes a place for entry->peer, or, when a limit is reached, a spare one, from which it is to be
 * refused. Returns false when there is neither, or memory is out. */
bool register_take(struct register_entry *entry);

/* Gives the place back. */
void register_give(const struct register_entry *entry);

/* From here to register_delist, register_stop reaches the connection (at once, if it was called). */
void register_enlist(struct register_entry *entry, struct outbox *out);
void register_delist(struct register_entry *entry);

/* Tells all connections that the server goes away (1001), after what was said before. Whoever comes
 * later is refused. */
void register_stop(void);

/* Waits until all places have been given back. Returns how many were not at `until` (net_now). */
int register_wait(int64_t until);

#endif
