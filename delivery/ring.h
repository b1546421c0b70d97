/* SPDX-License-Identifier: MIT
 *
 * ring.h - the recent broadcasts of a room: encoded frames in a ring buffer.
 *
 * Positions count the bytes since the room was created, so a position is a plain number that only
 * grows; byte p is at offset p modulo size. Senders read the ring in place.
 *
 *        tail                 floor            ready      end
 *   .....|====================|================|===========|      (end - tail <= size)
 *        oldest whole frame   slowest reader   readable   next append
 *
 * A frame has at least ten bytes, so its head can be read without checking its length.
 *
 * Bytes above the floor are never overwritten. The room raises the floor as its members advance.
 * When an append finds no room, the room must move (or close) the slowest members first.
 *
 * Readers read up to `ready`. It is the end, unless the ring is held: then it moves only when
 * ring_set_ready is called, because frames behind it must be stored first, and the floor stays at
 * or below it.
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
    pthread_mutex_t lock; /* a leaf lock */
    uint64_t end;         /* [l] */
    uint64_t ready;       /* [l] readers may read up to there, a frame boundary */
    uint64_t ready_id;    /* [l] Id of the last frame before it; 0 when there was none */
    uint64_t floor;       /* [l] */
    uint64_t tail;        /* [l] */
    uint64_t tail_id;     /* [l] Id of the frame at tail */
    uint64_t next_id;     /* [l] Id of the next frame; the first is 1, or as ring_begin says */
    bool held;            /* [l] an append does not move `ready` */
};

/* Makes an empty ring of `size` bytes. Returns 0, or -1 when memory is out. */
int ring_init(struct ring *ring, size_t size);
void ring_fini(struct ring *ring);

/* Drops all frames; the next one gets that Id, which is above 0. Nobody reads the ring yet. */
void ring_begin(struct ring *ring, uint64_t next_id);

/* Takes the lock for one append. Returns the Id of the frame to append. */
uint64_t ring_lock(struct ring *ring);

/* Appends one whole frame in `count` parts. Returns false, and changes nothing, when it would
 * overwrite bytes above the floor. The lock is held. */
bool ring_append_locked(struct ring *ring, const struct iovec *parts, int count);
void ring_unlock(struct ring *ring);

/* The position behind the last frame. */
uint64_t ring_end(struct ring *ring);

/* The position up to which the ring may be read. Bytes between the floor and it may be read without
 * the lock. */
uint64_t ring_ready(struct ring *ring);

/* The same, and the Id of the last frame before it; 0 when there was none. */
uint64_t ring_ready_id(struct ring *ring, uint64_t *last_id);

/* The number of bytes between `ready` and the end. */
size_t ring_unready(struct ring *ring);

/* Holds the ring: from now on `ready` moves by ring_set_ready only. Returns whether it is held; it
 * stays as it was if it is not held and has frames behind `stored`. */
bool ring_hold(struct ring *ring, uint64_t stored);

/* Moves `ready` to a frame boundary of a held ring, behind the frame `last_id`. */
void ring_set_ready(struct ring *ring, uint64_t ready, uint64_t last_id);

/* Moves `ready` to the end, now and with each append. */
void ring_release(struct ring *ring);

/* Raises (or lowers) the floor to the position of the slowest reader. */
void ring_set_floor(struct ring *ring, uint64_t floor);

/* Where a new reader starts. */
struct ring_start {
    uint64_t position; /* of the first frame it gets */
    uint64_t first_id; /* Id of that frame; last_id + 1 when there is none */
    uint64_t end;      /* `ready` at this moment */
    uint64_t last_id;  /* Id of the last frame before it; 0 when there is none */
};

/* Finds the oldest frame before `ready` that has an Id of at least `id`, is among the newest
 * `count` and is at most `reach` bytes behind `ready`. Lowers the floor to it, which keeps it until
 * the floor is set again. */
struct ring_start ring_start(struct ring *ring, uint64_t id, uint64_t count, size_t reach);

/* Finds the contiguous bytes from `from` up to `until`. Returns their number. */
size_t ring_span(const struct ring *ring, uint64_t from, uint64_t until,
                 const unsigned char **bytes);

/* Copies `len` bytes out. */
void ring_copy(const struct ring *ring, uint64_t from, void *out, size_t len);

/* The length of the whole frame that begins at `at`, below the end. */
size_t ring_frame_size(const struct ring *ring, uint64_t at);

/* Whole frames that were copied out, one behind the other. */
struct ring_batch {
    uint64_t from;     /* position of the first one */
    uint64_t first_id; /* its Id */
    size_t len;        /* their bytes; 0: there is no frame */
    uint64_t count;    /* their number */
};

/* Copies frames out, from `from` (a frame boundary, whose frame has the Id `id`) or, if that was
 * overwritten, from the oldest frame on: at most `max` frames and `size` bytes, but one frame at
 * least, which must fit. Takes the lock meanwhile, unless the ring is held: then nothing above
 * `from` can be overwritten, if `from` is `ready`. */
struct ring_batch ring_copy_frames(struct ring *ring, uint64_t from, uint64_t id, void *out,
                                   size_t size, uint64_t max);

#endif
