/* SPDX-License-Identifier: MIT
 *
 * ring.c - a ring buffer of encoded frames. No I/O; one leaf lock.
 *
 * Every client's thread enters it, and the keeper's. Readers read without the lock: no writer
 * touches the bytes between the floor and `ready`. The floor is raised only after each reader's
 * position was read under the lock of its stream.
 */
#include "delivery/ring.h"

#include <stdlib.h>
#include <string.h>

#include "ws.h"

int ring_init(struct ring *ring, size_t size)
{
    memset(ring, 0, sizeof(*ring));
    ring->bytes = malloc(size); /* a page takes memory only after the first write to it */
    if (!ring->bytes)
        return -1;
    ring->size = size;
    ring->tail_id = ring->next_id = 1;
    pthread_mutex_init(&ring->lock, NULL);
    return 0;
}

void ring_begin(struct ring *ring, uint64_t next_id)
{
    pthread_mutex_lock(&ring->lock);
    ring->end = ring->ready = ring->floor = ring->tail = 0;
    ring->tail_id = ring->next_id = next_id;
    ring->ready_id = next_id - 1;
    pthread_mutex_unlock(&ring->lock);
}

void ring_fini(struct ring *ring)
{
    pthread_mutex_destroy(&ring->lock);
    free(ring->bytes);
}

uint64_t ring_lock(struct ring *ring)
{
    pthread_mutex_lock(&ring->lock);
    return ring->next_id;
}

void ring_unlock(struct ring *ring)
{
    pthread_mutex_unlock(&ring->lock);
}

/* Stores bytes at a position, in two pieces where the ring wraps. */
static void store(struct ring *ring, uint64_t at, const void *from, size_t len)
{
    size_t offset = at % ring->size;
    size_t first = len < ring->size - offset ? len : ring->size - offset;
    memcpy(ring->bytes + offset, from, first);
    memcpy(ring->bytes, (const unsigned char *)from + first, len - first);
}

static void make_ready(struct ring *ring)
{
    ring->ready = ring->end;
    ring->ready_id = ring->next_id - 1;
}

bool ring_append_locked(struct ring *ring, const struct iovec *parts, int count)
{
    uint64_t end = ring->end;
    size_t len = 0;
    for (int i = 0; i < count; i++)
        len += parts[i].iov_len;
    if (end + len - ring->floor > ring->size)
        return false;
    for (; end + len - ring->tail > ring->size; ring->tail_id++)
        ring->tail += ring_frame_size(ring, ring->tail);
    for (int i = 0; i < count; i++) {
        store(ring, end, parts[i].iov_base, parts[i].iov_len);
        end += parts[i].iov_len;
    }
    ring->next_id++;
    ring->end = end;
    if (!ring->held)
        make_ready(ring);
    return true;
}

uint64_t ring_end(struct ring *ring)
{
    pthread_mutex_lock(&ring->lock);
    uint64_t end = ring->end;
    pthread_mutex_unlock(&ring->lock);
    return end;
}

uint64_t ring_ready(struct ring *ring)
{
    pthread_mutex_lock(&ring->lock);
    uint64_t ready = ring->ready;
    pthread_mutex_unlock(&ring->lock);
    return ready;
}

uint64_t ring_ready_id(struct ring *ring, uint64_t *last_id)
{
    pthread_mutex_lock(&ring->lock);
    uint64_t ready = ring->ready;
    *last_id = ring->ready_id;
    pthread_mutex_unlock(&ring->lock);
    return ready;
}

size_t ring_unready(struct ring *ring)
{
    pthread_mutex_lock(&ring->lock);
    size_t unready = (size_t)(ring->end - ring->ready);
    pthread_mutex_unlock(&ring->lock);
    return unready;
}

bool ring_hold(struct ring *ring, uint64_t stored)
{
    pthread_mutex_lock(&ring->lock);
    ring->held = ring->held || stored == ring->end;
    bool held = ring->held;
    pthread_mutex_unlock(&ring->lock);
    return held;
}

void ring_set_ready(struct ring *ring, uint64_t ready, uint64_t last_id)
{
    pthread_mutex_lock(&ring->lock);
    ring->ready = ready;
    ring->ready_id = last_id;
    pthread_mutex_unlock(&ring->lock);
}

void ring_release(struct ring *ring)
{
    pthread_mutex_lock(&ring->lock);
    ring->held = false;
    make_ready(ring);
    pthread_mutex_unlock(&ring->lock);
}

void ring_set_floor(struct ring *ring, uint64_t floor)
{
    pthread_mutex_lock(&ring->lock);
    ring->floor = floor;
    pthread_mutex_unlock(&ring->lock);
}

struct ring_start ring_start(struct ring *ring, uint64_t id, uint64_t count, size_t reach)
{
    pthread_mutex_lock(&ring->lock);
    struct ring_start start = {.position = ring->tail,
                               .first_id = ring->tail_id,
                               .end = ring->ready,
                               .last_id = ring->ready_id};
    if (count < start.last_id && id <= start.last_id - count)
        id = start.last_id - count + 1;
    if (id > start.last_id) {
        start.position = start.end;
        start.first_id = ring->ready_id + 1;
    }
    while (start.position < start.end &&
           (start.first_id < id || start.end - start.position > reach)) {
        start.position += ring_frame_size(ring, start.position);
        start.first_id++;
    }
    if (start.position < ring->floor)
        ring->floor = start.position;
    pthread_mutex_unlock(&ring->lock);
    return start;
}

size_t ring_span(const struct ring *ring, uint64_t from, uint64_t until,
                 const unsigned char **bytes)
{
    size_t offset = from % ring->size;
    size_t len = (size_t)(until - from);
    *bytes = ring->bytes + offset;
    return len < ring->size - offset ? len : ring->size - offset;
}

void ring_copy(const struct ring *ring, uint64_t from, void *out, size_t len)
{
    const unsigned char *bytes;
    size_t first = ring_span(ring, from, from + len, &bytes);
    memcpy(out, bytes, first);
    memcpy((unsigned char *)out + first, ring->bytes, len - first);
}

size_t ring_frame_size(const struct ring *ring, uint64_t at)
{
    unsigned char head[10];
    ring_copy(ring, at, head, sizeof(head));
    return ws_frame_size(head);
}

struct ring_batch ring_copy_frames(struct ring *ring, uint64_t from, uint64_t id, void *out,
                                   size_t size, uint64_t max)
{
    pthread_mutex_lock(&ring->lock);
    uint64_t end = ring->end;
    bool held = ring->held;
    struct ring_batch batch = {.from = from, .first_id = id};
    if (from < ring->tail) {
        batch.from = ring->tail;
        batch.first_id = ring->tail_id;
    }
    if (held)
        pthread_mutex_unlock(&ring->lock);
    for (uint64_t at = batch.from; at < end && batch.count < max; batch.count++) {
        size_t len = ring_frame_size(ring, at);
        if (batch.len + len > size)
            break;
        at += len;
        batch.len += len;
    }
    ring_copy(ring, batch.from, out, batch.len);
    if (!held)
        pthread_mutex_unlock(&ring->lock);
    return batch;
}
