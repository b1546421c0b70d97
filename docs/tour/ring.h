/* SPDX-License-Identifier: MIT
 *
 * ring.h - the ring of step 5 of the ladder: what was said lately, in one piece of memory.
 *
 * Bytes are counted from the start of the program, so a position is a number that only grows; byte
 * p lies at p modulo RING_SIZE. Nothing from the floor on is overwritten, so those bytes may be
 * read without the lock.
 *
 *   .........|floor                    |end
 *   free     | some clients lack these |  the next frame comes here
 */
#ifndef TOUR_RING_H
#define TOUR_RING_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RING_SIZE = 1 << 20 };

static pthread_mutex_t ring_lock = PTHREAD_MUTEX_INITIALIZER; /* no other lock is taken under it */
static unsigned char ring[RING_SIZE];
static uint64_t end;       /* [ring_lock] how many bytes were appended */
static uint64_t kept_from; /* [ring_lock] the position of the slowest client */

/* Appends a frame. Returns false, and nothing has changed, when there is no room above the floor:
 * then the caller has to move the slow clients on, or cut them off. */
static inline bool ring_append(const unsigned char *frame, size_t len)
{
    pthread_mutex_lock(&ring_lock);
    bool fits = end + len - kept_from <= RING_SIZE;
    for (size_t i = 0; fits && i < len; i++)
        ring[end++ % RING_SIZE] = frame[i];
    pthread_mutex_unlock(&ring_lock);
    return fits;
}

static inline uint64_t ring_end(void)
{
    pthread_mutex_lock(&ring_lock);
    uint64_t now = end;
    pthread_mutex_unlock(&ring_lock);
    return now;
}

static inline void ring_keep_from(uint64_t position)
{
    pthread_mutex_lock(&ring_lock);
    kept_from = position;
    pthread_mutex_unlock(&ring_lock);
}

/* The bytes from `from` towards `until` that lie in one piece. Returns how many. */
static inline size_t ring_span(uint64_t from, uint64_t until, const unsigned char **bytes)
{
    size_t at = from % RING_SIZE, len = until - from;
    *bytes = ring + at;
    return len < RING_SIZE - at ? len : RING_SIZE - at;
}

#endif
