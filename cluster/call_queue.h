/* SPDX-License-Identifier: MIT
 *
 * call_queue.h - calls that wait for the engine, or for its answer, oldest first.
 *
 * No locks: the caller serialises. A call stays in the queue until it was answered, because it is
 * sent again when the line breaks.
 */
#ifndef CALL_QUEUE_H
#define CALL_QUEUE_H

#include <stdbool.h>
#include <stddef.h>

#include "cluster/engine.h"

struct call_item {
    struct call_item *next;
    struct engine_call *call; /* owned */
};

/* All zero: empty. */
struct call_queue {
    struct call_item *first, *last;
    size_t count, bytes; /* of all calls */
};

/* Appends a call, and takes it. NULL: none could be made. Returns false, and frees the call, when
 * memory is out. */
bool call_queue_push(struct call_queue *queue, struct engine_call *call);

/* Removes and frees the oldest call. There must be one. */
void call_queue_pop(struct call_queue *queue);

/* Removes and frees each call for which `is_over` is true. */
void call_queue_sweep(struct call_queue *queue, bool (*is_over)(const struct engine_call *call));

/* Whether a call of that seat is in the queue. */
bool call_queue_has(const struct call_queue *queue, const struct engine_seat *seat);

#endif
