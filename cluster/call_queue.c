/* SPDX-License-Identifier: MIT
 *
 * call_queue.c - a list of calls, with their bytes counted. No locks: the caller serialises.
 */
#include "cluster/call_queue.h"

#include <stdlib.h>

enum { CALL_OVERHEAD = 160 }; /* bytes of memory of a call, besides those that are sent */

static size_t cost_of(const struct engine_call *call)
{
    return call->len + CALL_OVERHEAD;
}

bool call_queue_push(struct call_queue *queue, struct engine_call *call)
{
    struct call_item *item = call ? malloc(sizeof(*item)) : NULL;
    if (!item) {
        engine_call_free(call);
        return false;
    }
    *item = (struct call_item){.call = call};
    if (queue->last)
        queue->last->next = item;
    else
        queue->first = item;
    queue->last = item;
    queue->count++;
    queue->bytes += cost_of(call);
    return true;
}

static void free_item(struct call_queue *queue, struct call_item *item)
{
    queue->count--;
    queue->bytes -= cost_of(item->call);
    engine_call_free(item->call);
    free(item);
}

void call_queue_pop(struct call_queue *queue)
{
    struct call_item *item = queue->first;
    queue->first = item->next;
    if (!queue->first)
        queue->last = NULL;
    free_item(queue, item);
}

void call_queue_sweep(struct call_queue *queue, bool (*is_over)(const struct engine_call *call))
{
    struct call_item **link = &queue->first;
    queue->last = NULL;
    while (*link) {
        struct call_item *item = *link;
        if (is_over(item->call)) {
            *link = item->next;
            free_item(queue, item);
        } else {
            queue->last = item;
            link = &item->next;
        }
    }
}

bool call_queue_has(const struct call_queue *queue, const struct engine_seat *seat)
{
    for (const struct call_item *item = queue->first; item; item = item->next)
        if (item->call->seat == seat)
            return true;
    return false;
}
