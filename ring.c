/* SPDX-License-Identifier: MIT
 *
 * ring.c - the ring of bytes, as ring.h promises it. No I/O; one leaf lock.
 *
 * Readers read without the lock: between asking for the end and raising the floor nobody writes
 * there. The floor is raised only after each reader's position was seen under its write lock.
 */
#include "ring.h"

#include <stdlib.h>
#include <string.h>

#include "ws.h"

int ring_init(struct ring *ring, size_t size)
{
    memset(ring, 0, sizeof(*ring));
    ring->bytes = malloc(size); /* a page costs memory only once something was said in it */
    if (!ring->bytes)
        return -1;
    ring->size = size;
    ring->tail_id = ring->next_id = 1;
    pthread_mutex_init(&ring->lock, NULL);
    return 0;
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
    return true;
}

uint64_t ring_end(struct ring *ring)
{
    pthread_mutex_lock(&ring->lock);
    uint64_t end = ring->end;
    pthread_mutex_unlock(&ring->lock);
    return end;
}

uint64_t ring_end_id(struct ring *ring, uint64_t *last_id)
{
    pthread_mutex_lock(&ring->lock);
    uint64_t end = ring->end;
    *last_id = ring->next_id - 1;
    pthread_mutex_unlock(&ring->lock);
    return end;
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
                               .end = ring->end,
                               .last_id = ring->next_id - 1};
    if (count < start.last_id && id <= start.last_id - count)
        id = start.last_id - count + 1;
    if (id > start.last_id) {
        start.position = start.end;
        start.first_id = ring->next_id;
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
