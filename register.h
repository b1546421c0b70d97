/* SPDX-License-Identifier: MIT
 *
 * register.h - who is connected: how many in all, how many from one address, how many that have not
 * joined yet, and whom to tell when the server stops.
 *
 * Newcomers have a share of the places, so that strangers cannot take those of members. When it is
 * taken, the oldest of them gives way, also one that is just being answered. Were the next one refused
 * instead, some hundred connections that never say anything, or never take what they asked for, would
 * keep everybody out; who means it comes in within a moment, and is never the oldest for long.
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
    REGISTER_SPARE = 32,    /* connections over a limit that are told so at the same time */
    REGISTER_NEWCOMERS = 4, /* they may have one place in so many; more: the oldest gives way */
    REGISTER_NEWCOMERS_LEAST = 16, /* but at least so many places */
};

/* A connection in the register. Belongs to its client. */
struct register_entry {
    struct register_entry *next, *previous; /* [r] */
    struct register_list *in;               /* [r] from take to delist */
    bool gave_way;                          /* [r] it is to end at once */
    bool ending;                            /* [r] its thread says its last words */
    struct sockaddr_storage peer;           /* [I] once the request was read (register_move) */
    struct outbox *out;                     /* [I] borrowed, from enlist to delist */
    uint64_t number;                        /* [I] names the connection in the log */
    int refusal;     /* [r] its thread may read it: HTTP status to refuse it with; 0: welcome */
    const char *why; /* likewise: of the refusal */
    bool spare;      /* [I] it has one of the places for refusing */
    bool counted;    /* [r] among the visits of its address */
};

/* Readies the register. `config` outlives it, or the next register_adopt. */
void register_init(const struct config *config);

/* Goes by other settings from here on; those before are not used any more when it returns. */
void register_adopt(const struct config *config);

/* Takes a newcomer's place for entry->peer, or, when a limit is reached, a spare one, from which it is
 * to be refused. Returns false when there is neither, or memory is out. */
bool register_take(struct register_entry *entry);

/* Says from which address a connection comes that a trusted proxy brought: it becomes entry->peer, and
 * it is that one's limit that counts. May set entry->refusal. */
void register_move(struct register_entry *entry, const struct sockaddr_storage *address);

/* Whether limits by address are not for this one: the owner may exempt this machine itself, and what
 * comes from a trusted proxy is other people's. */
bool register_exempts(const struct sockaddr_storage *peer, const struct config *config);

/* The client has joined: it is no newcomer any more. */
void register_joined(struct register_entry *entry);

/* Gives the place back. */
void register_give(struct register_entry *entry);

/* From here on the connection is told (at once, if it is late) when it has to give way (1013), or when
 * the server stops. */
void register_enlist(struct register_entry *entry, struct outbox *out);

/* Nothing more is written to the connection but by its own thread, which is ending it. If it has to give
 * way, that is now hurried (outbox_hurry). Returns whether it was told to give way before. */
bool register_ending(struct register_entry *entry);

/* It is told nothing more. Due before the place is given back, also for one that was not enlisted. */
void register_delist(struct register_entry *entry);

/* Wakes the threads of all connections, so that they see what has changed. */
void register_wake(void);

/* Tells all connections that the server goes away (1001), after what was said before. Whoever comes
 * later is refused, with an answer. */
void register_stop(void);
bool register_stopping(void);

/* Waits until all places have been given back, but for the spare ones, or until `until` (net_now). */
void register_wait(int64_t until);

/* Ends those that are being refused, too; whoever comes later gets no answer. Waits for all. Returns how
 * many are there at `until`. */
int register_cut(int64_t until);

#endif
