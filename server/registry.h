/* SPDX-License-Identifier: MIT
 *
 * registry.h - the connected clients: limits on their number in all, per address, and of those that
 * have not joined yet; and the way to tell all of them that the server stops.
 *
 * Newcomers, the connections that have not joined, have a share of the places, so that strangers
 * cannot take those of members. When the share is full, a newcomer is evicted, even one that is
 * being answered. Refusing the next one instead would let a few hundred idle connections lock
 * everyone out. The victim belongs to the source that has most of them (newcomers.h), so a source
 * that opens thousands of connections evicts its own, and honest clients are evicted last.
 *
 * Two rules keep the share from getting full:
 * - A source has at most half of it, a wide block three quarters; one more evicts one of its own.
 *   By default half is 125: a class behind one address that opens the page at once (30 browsers, a
 *   few connections each) has room, and of more than that the idle ones are evicted first.
 * - When more than half of it is used, a newcomer is evicted early, with a probability that rises
 *   to 1 where the share is full, but only from a source that has more than
 *   REGISTRY_NEWCOMERS_LEAST. So a crowd that reconnects after a restart, each client from an
 *   address of its own, is not affected.
 *
 * max_clients_per_address counts WebSockets: connections that fetch the page have a limit of their
 * own, REGISTRY_PAGES times as many, so that they do not take the places of people.
 *
 * One lock, outside of those in room.h; only the locks of streams are taken while it is held.
 */
#ifndef REGISTRY_H
#define REGISTRY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/config.h"
#include "server/limits/newcomers.h"
#include "delivery/outbox.h"

enum {
    REGISTRY_SPARE = 32,           /* places for connections that are being refused */
    REGISTRY_NEWCOMERS = 4,        /* newcomers may have 1/4 of the places; more: one is evicted */
    REGISTRY_NEWCOMERS_LEAST = 16, /* but at least so many places, and so many of one source */
    REGISTRY_SOURCE = 2,           /* quarters of these for one source; more: one is evicted */
    REGISTRY_PAGES = 2,            /* times max_clients_per_address may be no WebSocket (but
                         * REGISTRY_NEWCOMERS_LEAST may); more: 429 */
    REGISTRY_WIDE = 3,             /* quarters of these for a wide block; more: one is evicted */
};

/* A connection in the registry. Belongs to its client. */
struct registry_slot {
    struct registry_slot *next, *previous; /* [r] */
    struct newcomer newcomer;              /* [r] until it has joined or is evicted */
    bool evicted;                          /* [r] it was evicted and must end at once */
    bool ending;                           /* [r] its thread is closing it */
    struct sockaddr_storage peer;          /* [I] since the request was read (registry_move) */
    struct outbox *out;                    /* [I] borrowed, from enlist to delist */
    uint64_t number;                       /* [I] names the connection in the log */
    int refusal;     /* [r], its thread may read it: HTTP status of the refusal; 0: none */
    const char *why; /* [r], its thread may read it: reason of the refusal */
    bool spare;      /* [I] it has a spare place (REGISTRY_SPARE) */
    bool counted;    /* [r] it is in the count of its address */
    bool upgraded;   /* [r] and in that of the WebSockets of its address */
};

/* Initializes the registry. `config` must outlive it, or the next registry_set_config. */
void registry_init(const struct config *config);

/* Switches to other settings. When it returns, the old ones are no longer used. */
void registry_set_config(const struct config *config);

/* Reserves a newcomer's place for entry->peer. If a limit is reached, reserves a spare place and
 * sets entry->refusal. Returns false when there is no place (entry->refusal is the limit's), or
 * memory is out (then it is 0). */
bool registry_reserve(struct registry_slot *entry);

/* Takes the lock once. Does not return in a deadlock: for the watchdog (ragnarok.c). */
void registry_probe(void);

/* Must be called when a client asks for a WebSocket: it is counted as one of its address. If that
 * exceeds max_clients_per_address, sets entry->refusal. */
void registry_upgrade(struct registry_slot *entry);

/* Sets the address of a client behind a trusted proxy: it becomes entry->peer, and its limit
 * applies. May set entry->refusal. */
void registry_move(struct registry_slot *entry, const struct sockaddr_storage *address);

/* Whether limits by address do not apply: the owner may exempt this machine itself, and connections
 * from a trusted proxy belong to other people. */
bool registry_exempts(const struct sockaddr_storage *peer, const struct config *config);

/* Whether wrong passwords are not counted: only from this machine itself, if the owner exempts it.
 * A trusted proxy that named no client counts as itself. */
bool registry_unguarded(const struct sockaddr_storage *peer, const struct config *config);

/* Whether limits by source apply: not if it is exempt, and not if the owner has set
 * max_clients_per_address to 0, so that one source may use everything. */
bool registry_limits(const struct sockaddr_storage *peer, const struct config *config);

/* Moves a newcomer to another stage; it is evicted after those of lower stages. */
void registry_set_stage(struct registry_slot *entry, enum newcomer_stage stage);

/* Must be called when the client has joined; it is no longer a newcomer. */
void registry_joined(struct registry_slot *entry);

/* Releases the place. */
void registry_release(struct registry_slot *entry);

/* Makes the connection known: from now on it is closed when it is evicted (1013) or the server
 * stops (1001); at once, if that has happened already. */
void registry_enlist(struct registry_slot *entry, struct outbox *out);

/* Must be called when the connection's thread begins to end it: other threads no longer write to
 * it. A later eviction only cancels unsent output (outbox_cancel). Returns whether it was evicted
 * before. */
bool registry_ending(struct registry_slot *entry);

/* Undoes registry_enlist. Must be called before registry_release, also for a connection that was
 * not enlisted. */
void registry_delist(struct registry_slot *entry);

/* Wakes the threads of all connections. */
void registry_wake(void);

/* Closes all connections because the server stops (1001); everything sent before is delivered
 * first. New connections are refused with an answer. */
void registry_stop(void);
bool registry_stopping(void);

/* Waits until all places except the spare ones have been released, or until `until` (net_now). */
void registry_wait(int64_t until);

/* Ends connections that are being refused, too; new ones get no answer. Waits for all. Returns how
 * many are left at `until`. */
int registry_cut(int64_t until);

#endif
