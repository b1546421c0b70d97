/* SPDX-License-Identifier: MIT
 *
 * newcomers.h - connections that have not joined yet, counted by source, and which of them is
 * evicted first.
 *
 * A source is a block of addresses at one of the prefix lengths of address.h. Its load is the sum
 * of its newcomers' weights; one that has sent nothing weighs most, one that has asked least. The
 * victim is in the source with the heaviest load, so a source that opens many connections evicts
 * only its own. Wide blocks weigh less than narrow ones: four strangers in one /24 count as much as
 * one address with one connection.
 *
 * Adding, removing and promoting take O(log n), finding the victim O(1). Memory: a newcomer has at
 * most ADDRESS_LEVELS sources. Takes no locks: the caller (registry.c) holds its own.
 */
#ifndef NEWCOMERS_H
#define NEWCOMERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/address.h"

/* The stage of a newcomer. In a source, lower stages are evicted first. */
enum newcomer_stage {
    NEWCOMER_IDLE,    /* it has its answer, and may send another request: it loses nothing */
    NEWCOMER_SILENT,  /* it has sent nothing, or part of a handshake */
    NEWCOMER_SECURED, /* the TLS handshake is complete */
    NEWCOMER_ASKED,   /* it has sent a whole request */
    NEWCOMER_STAGES,
};

struct newcomer_source;

/* One newcomer, owned by the caller. Only newcomers.c uses the members, except `context`. */
struct newcomer {
    void *context;   /* the caller's */
    uint64_t number; /* a smaller one came earlier */
    enum newcomer_stage stage;
    int levels; /* 0: it is in no list */
    struct newcomer_source *sources[ADDRESS_LEVELS];
    struct newcomer *next[ADDRESS_LEVELS], *previous[ADDRESS_LEVELS];
};

struct newcomers {
    int count;
    void *sources;                 /* a tree (search.h) */
    struct newcomer_source **heap; /* the heaviest first */
    size_t heap_count, heap_cap;
};

/* Adds a newcomer from `address` at a stage; `number` must grow with each. Returns false, and
 * changes nothing, when memory is out. */
bool newcomers_add(struct newcomers *newcomers, struct newcomer *newcomer,
                   const struct sockaddr_storage *address, uint64_t number,
                   enum newcomer_stage stage);

/* Removes a newcomer; does nothing if it was not added. */
void newcomers_remove(struct newcomers *newcomers, struct newcomer *newcomer);

/* Moves a newcomer to another stage. */
void newcomers_set_stage(struct newcomers *newcomers, struct newcomer *newcomer,
                         enum newcomer_stage stage);

/* The next victim: in the heaviest source, the one that has been at the lowest stage for longest.
 * NULL: there is none. */
struct newcomer *newcomers_victim(const struct newcomers *newcomers);

/* The heaviest load, as the number of connections of one address with the same load. */
int newcomers_heaviest(const struct newcomers *newcomers);

/* The number of newcomers in the source of `newcomer` at a level, itself included; and the first of
 * them to be evicted, itself excluded (NULL: there is no other). */
int newcomers_of_source(const struct newcomer *newcomer, int level);
struct newcomer *newcomers_victim_of_source(const struct newcomer *newcomer, int level);

#endif
