/* SPDX-License-Identifier: MIT
 *
 * ring_reader.h - reads the past of a room out of its ring, frame by frame, while others append.
 *
 * A reader keeps nothing in the ring. It copies a few frames at a time under the ring's lock,
 * after it has checked that they are still there. So it never makes an append wait, and never
 * costs a member its place. If appends overtake it, it skips to the oldest frame that is left.
 */
#ifndef RING_READER_H
#define RING_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "delivery/ring.h"

/* Belongs to one thread. */
struct ring_reader {
    struct ring *ring;   /* borrowed */
    uint64_t position;   /* of the next frame to copy */
    uint64_t id;         /* its Id */
    uint64_t end_id;     /* frames from this Id on are not read */
    unsigned char *copy; /* owned: frames that were copied and not returned yet */
    size_t cap, len, used;
    uint64_t copy_id; /* Id of the frame at copy + used */
    size_t looked;    /* bytes copied so far */
    bool failed;      /* memory was out: what has been read is not all */
};

/* Starts at the oldest frame. Frames are read up to the Id `before`, and as far as the ring is
 * ready now. The ring outlives the reader; ring_reader_fini must be called after it. */
void ring_reader_init(struct ring_reader *reader, struct ring *ring, uint64_t before);
void ring_reader_fini(struct ring_reader *reader);

/* Moves forward, to the oldest frame that has an Id of at least `id` and from which at most `reach`
 * bytes are to be read; but at least the last frame stays. Must be called before
 * ring_reader_next. */
void ring_reader_seek(struct ring_reader *reader, uint64_t id, size_t reach);

/* The next frame. */
struct ring_message {
    const char *text; /* the payload; borrowed until the next call */
    size_t len;
    uint64_t id; /* one more than that of the message before, unless the reader was overtaken */
};

/* Returns false at the end, and when memory is out (reader->failed). */
bool ring_reader_next(struct ring_reader *reader, struct ring_message *message);

/* Id of the oldest frame that is ready; 0: there is none. */
uint64_t ring_oldest_id(struct ring *ring);

#endif
