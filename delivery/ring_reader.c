/* SPDX-License-Identifier: MIT
 *
 * ring_reader.c - reads old frames of a ring.
 *
 * Every client's thread enters it, with a reader of its own. Takes the ring's lock, a leaf, for a
 * few frames at a time: appends wait for it.
 */
#include "delivery/ring_reader.h"

#include <stdlib.h>

#include "ws.h"

enum {
    COPY_MAX = 16 * 1024, /* bytes copied while the lock is held, unless one frame is longer */
    WALK_MAX = 512,       /* frames walked over while the lock is held */
};

void ring_reader_init(struct ring_reader *reader, struct ring *ring, uint64_t before)
{
    pthread_mutex_lock(&ring->lock);
    uint64_t end_id = ring->ready_id + 1;
    *reader = (struct ring_reader){.ring = ring,
                                   .position = ring->tail,
                                   .id = ring->tail_id,
                                   .end_id = before < end_id ? before : end_id};
    pthread_mutex_unlock(&ring->lock);
}

void ring_reader_fini(struct ring_reader *reader)
{
    free(reader->copy);
    reader->copy = NULL;
}

uint64_t ring_oldest_id(struct ring *ring)
{
    pthread_mutex_lock(&ring->lock);
    uint64_t id = ring->tail < ring->ready ? ring->tail_id : 0;
    pthread_mutex_unlock(&ring->lock);
    return id;
}

/* Skips frames that were overwritten. The lock is held. */
static void catch_up(struct ring_reader *reader)
{
    if (reader->position >= reader->ring->tail)
        return;
    reader->position = reader->ring->tail;
    reader->id = reader->ring->tail_id;
}

/* Moves to the first frame that has an Id of at least `id` and begins at `position` or later, but
 * not behind the frame `last`. */
static void walk(struct ring_reader *reader, uint64_t id, uint64_t position, uint64_t last)
{
    for (bool there = false; !there;) {
        pthread_mutex_lock(&reader->ring->lock);
        catch_up(reader);
        for (int i = 0; i < WALK_MAX && !there; i++) {
            there = reader->id >= last || (reader->id >= id && reader->position >= position);
            if (!there) {
                reader->position += ring_frame_size(reader->ring, reader->position);
                reader->id++;
            }
        }
        pthread_mutex_unlock(&reader->ring->lock);
    }
}

void ring_reader_seek(struct ring_reader *reader, uint64_t id, size_t reach)
{
    struct ring_reader end = *reader;
    walk(&end, end.end_id, 0, end.end_id);
    uint64_t last = end.end_id > 0 ? end.end_id - 1 : 0;
    walk(reader, id, end.position > reach ? end.position - reach : 0, last);
}

/* Finds whole frames from the reader's position, as many as COPY_MAX holds, but at least one.
 * Returns their bytes, and how many they are in *count. The lock is held. */
static size_t next_frames(const struct ring_reader *reader, uint64_t *count)
{
    size_t len = 0;
    *count = 0;
    while (reader->id + *count < reader->end_id) {
        size_t size = ring_frame_size(reader->ring, reader->position + len);
        if (len > 0 && len + size > COPY_MAX)
            break;
        len += size;
        ++*count;
    }
    return len;
}

static bool grow(struct ring_reader *reader, size_t len)
{
    size_t cap = len > COPY_MAX ? len : COPY_MAX;
    free(reader->copy);
    reader->copy = malloc(cap);
    reader->cap = reader->copy ? cap : 0;
    reader->failed = !reader->copy;
    return reader->copy;
}

/* Copies the next frames. Allocates without the lock, and looks again after that, because the
 * frames may be others then. Returns false at the end, and when memory is out. */
static bool copy_frames(struct ring_reader *reader)
{
    size_t len;
    reader->len = reader->used = 0;
    do {
        uint64_t count;
        pthread_mutex_lock(&reader->ring->lock);
        catch_up(reader);
        len = next_frames(reader, &count);
        if (len > 0 && len <= reader->cap) {
            ring_copy(reader->ring, reader->position, reader->copy, len);
            reader->copy_id = reader->id;
            reader->len = len;
            reader->position += len;
            reader->id += count;
        }
        pthread_mutex_unlock(&reader->ring->lock);
    } while (len > reader->cap && grow(reader, len));
    reader->looked += reader->len;
    return reader->len > 0;
}

bool ring_reader_next(struct ring_reader *reader, struct ring_message *message)
{
    if (reader->used == reader->len && !copy_frames(reader))
        return false;
    const unsigned char *frame = reader->copy + reader->used;
    size_t size = ws_frame_size(frame), head = ws_head_size(frame);
    *message = (struct ring_message){
        .text = (const char *)frame + head, .len = size - head, .id = reader->copy_id};
    reader->used += size;
    reader->copy_id++;
    return true;
}
