/* SPDX-License-Identifier: MIT
 *
 * log_order.h - what one node has read of a room's log: its position, and whether the next entry
 * continues it.
 *
 * The engine is untrusted. Its entries must go up in place and number, broadcasts have consecutive
 * Ids, and each seat's seq goes up: so an entry that the engine repeats or moves is noticed, also
 * when its seal is valid. No I/O, no locks; one thread at a time.
 */
#ifndef LOG_ORDER_H
#define LOG_ORDER_H

#include <stddef.h>
#include <stdint.h>

#include "cluster/log_entry.h"
#include "cluster/sealing.h"

enum {
    LOG_SEATS_MAX = 256, /* seats whose seq is remembered for a room; one more replaces the one that
                          * was silent longest, whose old entries could then be repeated */
};

/* The last entry that was read; engine.lua compares it with its log. All zero: nothing was read. */
struct log_position {
    char at[LOG_AT_MAX]; /* "" is written as "0-0" */
    uint64_t number;
    char tag[LOG_TAG_MAX]; /* "" is written as "-" */
};

struct log_seat;

struct log_order {
    const char *room;              /* folded name, borrowed */
    const struct sealing *sealing; /* borrowed; NULL: nothing is sealed */
    size_t body_max;               /* bytes of a message */
    struct log_position position;  /* of the last good entry */
    char read_at[LOG_AT_MAX]; /* the last entry read, good or not: the next read begins there */
    uint64_t next_id;         /* of the next broadcast */
    uint64_t oldest_id;       /* of the oldest broadcast read backwards */
    uint64_t reads;           /* entries read, to know which seat was silent longest */
    struct log_seat *seats;   /* `count` of them */
    size_t count;
};

enum log_verdict {
    LOG_END,    /* there is no entry */
    LOG_GOOD,   /* it is opened, and continues the log */
    LOG_BAD,    /* it is skipped: its form or seal is wrong, or its seq came before */
    LOG_BROKEN, /* the log does not continue: something is missing or in the wrong place */
    LOG_MEMORY, /* memory is out: nothing has changed */
};

/* Borrows `room` and `sealing` until log_order_fini. */
void log_order_init(struct log_order *order, const char *room, const struct sealing *sealing,
                    size_t body_max);
void log_order_fini(struct log_order *order);

/* Begins at a position, after which the next broadcast has the Id `id` + 1. Forgets all seats. */
void log_order_start(struct log_order *order, const struct log_position *position, uint64_t id);

/* Reads, checks and opens the next entry of the log, and moves the position. *why is a constant
 * text unless the verdict is LOG_GOOD. */
enum log_verdict log_order_next(struct log_order *order, const struct reply_value *value,
                                struct log_entry *entry, const char **why);

/* The same for the entries before the position, the newest first; the position stays. */
enum log_verdict log_order_previous(struct log_order *order, const struct reply_value *value,
                                    struct log_entry *entry, const char **why);

#endif
