/* SPDX-License-Identifier: MIT
 *
 * newcomers.c - connections that have not joined yet, in a heap of sources.
 *
 * Each source is a node of a tree, by its block, and has an index in the heap. It has a queue of
 * newcomers for each stage, oldest first. Called under the registry's lock only.
 */
#include "server/limits/newcomers.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

struct queue {
    struct newcomer *first, *last;
};

struct newcomer_source {
    struct address_block block; /* first: the tree's key */
    int level;
    int share;    /* factor of its load: FULL_SHARE at the narrowest level */
    int count;    /* number of its newcomers */
    int load;     /* sum of their weights */
    size_t place; /* index in the heap */
    struct queue queues[NEWCOMER_STAGES];
};

enum { FULL_SHARE = 16 };

/* The weight of a newcomer, by stage. */
static const int weights[NEWCOMER_STAGES] = {1, 4, 2, 1};

/* ---- The order of sources ---- */

static struct newcomer *first_to_go(const struct newcomer_source *source)
{
    for (int stage = 0; stage < NEWCOMER_STAGES; stage++)
        if (source->queues[stage].first)
            return source->queues[stage].first;
    return NULL;
}

/* Whether a newcomer of `a` is evicted before one of `b`: `a` is heavier, or else its victim has a
 * lower stage, or else that one came earlier. */
static bool is_before(const struct newcomer_source *a, const struct newcomer_source *b)
{
    int score_a = a->load * a->share, score_b = b->load * b->share;
    const struct newcomer *x = first_to_go(a), *y = first_to_go(b);
    if (score_a != score_b || !x || !y)
        return score_a > score_b;
    if (x->stage != y->stage)
        return x->stage < y->stage;
    return x->number < y->number;
}

/* ---- The heap ---- */

static void place_source(struct newcomers *newcomers, size_t place, struct newcomer_source *source)
{
    newcomers->heap[place] = source;
    source->place = place;
}

/* Restores the heap after a source has changed. */
static void reorder_source(struct newcomers *newcomers, struct newcomer_source *source)
{
    struct newcomer_source **heap = newcomers->heap;
    size_t place = source->place;
    while (place > 0 && is_before(source, heap[(place - 1) / 2])) {
        place_source(newcomers, place, heap[(place - 1) / 2]);
        place = (place - 1) / 2;
    }
    for (size_t child; (child = 2 * place + 1) < newcomers->heap_count; place = child) {
        if (child + 1 < newcomers->heap_count && is_before(heap[child + 1], heap[child]))
            child++;
        if (!is_before(heap[child], source))
            break;
        place_source(newcomers, place, heap[child]);
    }
    place_source(newcomers, place, source);
}

static bool heap_grow(struct newcomers *newcomers)
{
    if (newcomers->heap_count < newcomers->heap_cap)
        return true;
    size_t cap = newcomers->heap_cap ? 2 * newcomers->heap_cap : 64;
    void *heap = realloc(newcomers->heap, cap * sizeof(struct newcomer_source *));
    if (!heap)
        return false;
    newcomers->heap = heap;
    newcomers->heap_cap = cap;
    return true;
}

/* ---- Sources ---- */

/* Finds or makes the source of an address at a level. Returns NULL when memory is out. */
static struct newcomer_source *source_of(struct newcomers *newcomers,
                                         const struct sockaddr_storage *address, int level)
{
    struct address_block block;
    address_source(address, level, &block);
    void *found = tfind(&block, &newcomers->sources, address_block_compare);
    if (found)
        return *(struct newcomer_source **)found;
    struct newcomer_source *source = calloc(1, sizeof(*source));
    if (!source || !heap_grow(newcomers))
        goto out_of_memory;
    source->block = block;
    source->level = level;
    source->share = FULL_SHARE >> 2 * level;
    if (!tsearch(source, &newcomers->sources, address_block_compare))
        goto out_of_memory;
    place_source(newcomers, newcomers->heap_count++, source);
    return source;

out_of_memory:
    free(source);
    return NULL;
}

static void source_free(struct newcomers *newcomers, struct newcomer_source *source)
{
    struct newcomer_source *last = newcomers->heap[--newcomers->heap_count];
    if (last != source) {
        place_source(newcomers, source->place, last);
        reorder_source(newcomers, last);
    }
    tdelete(source, &newcomers->sources, address_block_compare);
    free(source);
}

/* ---- Newcomers ---- */

/* Appends a newcomer to the queue of its stage. */
static void newcomers_append(struct newcomer *newcomer, int level)
{
    struct queue *queue = &newcomer->sources[level]->queues[newcomer->stage];
    newcomer->previous[level] = queue->last;
    newcomer->next[level] = NULL;
    if (queue->last)
        queue->last->next[level] = newcomer;
    else
        queue->first = newcomer;
    queue->last = newcomer;
}

static void dequeue(struct newcomer *newcomer, int level)
{
    struct queue *queue = &newcomer->sources[level]->queues[newcomer->stage];
    struct newcomer *previous = newcomer->previous[level], *next = newcomer->next[level];
    if (previous)
        previous->next[level] = next;
    else
        queue->first = next;
    if (next)
        next->previous[level] = previous;
    else
        queue->last = previous;
}

static void leave_source(struct newcomers *newcomers, struct newcomer *newcomer, int level)
{
    struct newcomer_source *source = newcomer->sources[level];
    dequeue(newcomer, level);
    source->count--;
    source->load -= weights[newcomer->stage];
    if (source->count == 0)
        source_free(newcomers, source);
    else
        reorder_source(newcomers, source);
}

bool newcomers_add(struct newcomers *newcomers, struct newcomer *newcomer,
                   const struct sockaddr_storage *address, uint64_t number,
                   enum newcomer_stage stage)
{
    int levels = address_levels(address);
    newcomer->number = number;
    newcomer->stage = stage;
    for (int level = 0; level < levels; level++) {
        struct newcomer_source *source = source_of(newcomers, address, level);
        if (!source) {
            while (level-- > 0)
                leave_source(newcomers, newcomer, level);
            return false;
        }
        newcomer->sources[level] = source;
        newcomers_append(newcomer, level);
        source->count++;
        source->load += weights[stage];
        reorder_source(newcomers, source);
    }
    newcomer->levels = levels;
    newcomers->count++;
    return true;
}

void newcomers_remove(struct newcomers *newcomers, struct newcomer *newcomer)
{
    if (newcomer->levels == 0)
        return;
    for (int level = 0; level < newcomer->levels; level++)
        leave_source(newcomers, newcomer, level);
    newcomer->levels = 0;
    newcomers->count--;
}

void newcomers_set_stage(struct newcomers *newcomers, struct newcomer *newcomer,
                         enum newcomer_stage stage)
{
    if (newcomer->levels == 0 || newcomer->stage == stage)
        return;
    for (int level = 0; level < newcomer->levels; level++)
        dequeue(newcomer, level);
    int change = weights[stage] - weights[newcomer->stage];
    newcomer->stage = stage;
    for (int level = 0; level < newcomer->levels; level++) {
        newcomers_append(newcomer, level);
        newcomer->sources[level]->load += change;
        reorder_source(newcomers, newcomer->sources[level]);
    }
}

struct newcomer *newcomers_victim(const struct newcomers *newcomers)
{
    return newcomers->heap_count > 0 ? first_to_go(newcomers->heap[0]) : NULL;
}

int newcomers_heaviest(const struct newcomers *newcomers)
{
    const struct newcomer_source *top = newcomers->heap_count > 0 ? newcomers->heap[0] : NULL;
    return top ? (top->count * top->share + FULL_SHARE - 1) / FULL_SHARE : 0;
}

int newcomers_of_source(const struct newcomer *newcomer, int level)
{
    return newcomer->sources[level]->count;
}

struct newcomer *newcomers_victim_of_source(const struct newcomer *newcomer, int level)
{
    const struct newcomer_source *source = newcomer->sources[level];
    for (int stage = 0; stage < NEWCOMER_STAGES; stage++) {
        struct newcomer *first = source->queues[stage].first;
        if (first == newcomer)
            first = first->next[level];
        if (first)
            return first;
    }
    return NULL;
}
