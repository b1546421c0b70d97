/* SPDX-License-Identifier: MIT
 *
 * ring.h - what a room said lately: finished frames, one behind the other, in a ring of bytes.
 *
 * Bytes are counted from the room's beginning and never again, so a position is a plain number that
 * only grows; byte p lies at p modulo size. Who sends from the ring reads it in place.
 *
 *        tail                 floor                        end
 *   .....|====================|============================|      (end - tail <= size)
 *        oldest whole frame   nobody is further behind     the next frame comes here
 *
 * A frame has ten bytes or more: its head is read without asking how long it is.
 *
 * Nothing above the floor is ever overwritten. The room raises the floor as its members move on;
 * when an append finds no room above it, the room must move them (or close them) first.
 */
#ifndef RING_H
#define RING_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct ring {
    unsigned char *bytes; /* [I] */
    size_t size;          /* [I] */
    pthread_mutex_t lock; /* a leaf: nothing is locked while it is held */
    uint64_t end;         /* [l] */
    uint64_t floor;       /* [l] */
    uint64_t tail;        /* [l] */
    uint64_t tail_id;     /* [l] Id of the frame at tail */
    uint64_t next_id;     /* [l] Id that the next frame gets; the first is 1 */
};

/* Makes an empty ring of `size` bytes. Returns 0, or -1 when memory is out. */
int ring_init(struct ring *ring, size_t size);
void ring_fini(struct ring *ring);

/* Takes the lock for one append and returns the Id that the frame gets. */
uint64_t ring_lock(struct ring *ring);

/* Appends one whole frame that lies in `count` parts. Returns false, and nothing has changed, when
 * it would overwrite what lies above the floor. The lock is held. */
bool ring_append_locked(struct ring *ring, const struct iovec *parts, int count);
void ring_unlock(struct ring *ring);

/* The position behind the last frame. What lies between the floor and it may be read without the
 * lock. */
uint64_t ring_end(struct ring *ring);

/* The same, and the Id of that frame; 0 when nothing was ever appended. */
uint64_t ring_end_id(struct ring *ring, uint64_t *last_id);

/* Raises (or lowers) the floor to the position of whoever is furthest behind. */
void ring_set_floor(struct ring *ring, uint64_t floor);

/* Where a new reader starts. */
struct ring_start {
    uint64_t position; /* of the first frame it gets */
    uint64_t first_id; /* Id of that frame; last_id + 1 when there is none */
    uint64_t end;      /* the end at this moment */
    uint64_t last_id;  /* Id of the last frame before it; 0 when there is none */
};

/* Finds the oldest frame that has an Id of at least `id`, is among the newest `count` and is no more
 * than `reach` bytes behind the end; lowers the floor to it, so that it stays until the floor is set
 * again. */
struct ring_start ring_start(struct ring *ring, uint64_t id, uint64_t count, size_t reach);

/* The bytes from `from` towards `until` that lie in one piece. Returns how many. */
size_t ring_span(const struct ring *ring, uint64_t from, uint64_t until,
                 const unsigned char **bytes);

/* Copies `len` bytes out. */
void ring_copy(const struct ring *ring, uint64_t from, void *out, size_t len);

/* The length of the whole frame that begins at `at`, below the end. */
size_t ring_frame_size(const struct ring *ring, uint64_t at);

#endif
