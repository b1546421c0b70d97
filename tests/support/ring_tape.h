/* SPDX-License-Identifier: MIT
 *
 * ring_tape.h - a ring of bytes and its model, the list of all frames ever appended.
 *
 * Every append goes through a `tape`, which knows what the ring must answer, and what must be in it
 * afterwards. The payload of a frame follows from its Id, so a byte out of place shows.
 */
#ifndef RING_TAPE_H
#define RING_TAPE_H

#include "delivery/ring.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lock_check.h"
#include "ws.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

enum { FRAMES_MAX = 4096 };

/* ---- Frames whose bytes follow from their Id -------------------------------------------------- */

struct buffer {
    unsigned char *bytes;
    size_t len;
};

static inline unsigned char payload_byte(uint64_t id, size_t index)
{
    return (unsigned char)(id * 131 + index * 7 + index / 256);
}

/* Writes frame `id` with a payload of `len` bytes. */
static inline struct buffer make_frame(uint64_t id, size_t len)
{
    struct buffer frame = {.bytes = malloc(WS_HEAD_MAX + len)};
    assert_non_null(frame.bytes);
    size_t head = ws_write_head(frame.bytes, WS_TEXT, len);
    for (size_t i = 0; i < len; i++)
        frame.bytes[head + i] = payload_byte(id, i);
    frame.len = head + len;
    return frame;
}

/* ---- A ring and what must be in it ------------------------------------------------------------ */

struct tape {
    struct ring ring;
    uint64_t begins[FRAMES_MAX + 2]; /* by Id: where the frame begins; that of next_id is the end */
    size_t lens[FRAMES_MAX + 2];     /* of the payloads */
    uint64_t next_id, tail_id, floor;
    uint64_t
        unready; /* Id of the first frame that is not ready; 0: all are, and the ring follows */
};

static inline struct tape *tape_new(size_t size)
{
    struct tape *tape = calloc(1, sizeof(*tape));
    assert_non_null(tape);
    memset(&tape->ring, 0xAA, sizeof(tape->ring));
    assert_int_equal(ring_init(&tape->ring, size), 0);
    tape->next_id = tape->tail_id = 1;
    return tape;
}

static inline void tape_free(struct tape *tape)
{
    check_lock_is_free(&tape->ring.lock);
    ring_fini(&tape->ring);
    free(tape);
}

static inline uint64_t tape_end(const struct tape *tape)
{
    return tape->begins[tape->next_id];
}

/* The Id of the first frame that may not be read yet. */
static inline uint64_t tape_unready(const struct tape *tape)
{
    return tape->unready ? tape->unready : tape->next_id;
}

static inline void hold(struct tape *tape)
{
    assert_true(ring_hold(&tape->ring, tape_end(tape)));
    tape->unready = tape->next_id;
}

/* Everything below that Id is ready. */
static inline void set_ready(struct tape *tape, uint64_t id)
{
    tape->unready = id;
    ring_set_ready(&tape->ring, tape->begins[id], id - 1);
}

static inline void set_floor(struct tape *tape, uint64_t floor)
{
    tape->floor = floor;
    ring_set_floor(&tape->ring, floor);
}

/* Appends the frame in three parts, which are cut elsewhere each time and may be empty. */
static inline bool append_in_parts(struct tape *tape, const struct buffer *frame)
{
    size_t first = tape->next_id % (frame->len + 1);
    size_t second = (tape->next_id * 5) % (frame->len - first + 1);
    struct iovec parts[] = {{frame->bytes, first},
                            {frame->bytes + first, second},
                            {frame->bytes + first + second, frame->len - first - second}};
    assert_int_equal(ring_lock(&tape->ring), tape->next_id);
    bool appended = ring_append_locked(&tape->ring, parts, COUNT(parts));
    ring_unlock(&tape->ring);
    return appended;
}

/* Appends a frame with a payload of `len` bytes. The ring must take it exactly if it overwrites
 * nothing above the floor. */
static inline bool append(struct tape *tape, size_t len)
{
    assert_true(tape->next_id <= FRAMES_MAX);
    struct buffer frame = make_frame(tape->next_id, len);
    uint64_t end = tape_end(tape) + frame.len;
    bool fits = end <= tape->floor + tape->ring.size;
    assert_int_equal(append_in_parts(tape, &frame), fits);
    free(frame.bytes);
    if (!fits)
        return false;
    tape->lens[tape->next_id++] = len;
    tape->begins[tape->next_id] = end;
    while (end - tape->begins[tape->tail_id] > tape->ring.size)
        tape->tail_id++;
    return true;
}

/* The bytes as somebody gets them who sends from the ring, piece by piece. */
static inline void read_spans(const struct tape *tape, uint64_t from, uint64_t until,
                              unsigned char *out)
{
    int pieces = 0;
    for (; from < until; pieces++) {
        const unsigned char *bytes;
        size_t len = ring_span(&tape->ring, from, until, &bytes);
        assert_true(len > 0 && len <= until - from);
        assert_ptr_equal(bytes, tape->ring.bytes + from % tape->ring.size);
        memcpy(out, bytes, len);
        out += len;
        from += len;
    }
    assert_true(pieces <= 2); /* it wraps once at most */
}

static inline void check_frame(const struct tape *tape, uint64_t id)
{
    struct buffer frame = make_frame(id, tape->lens[id]);
    unsigned char *read = malloc(frame.len);
    assert_non_null(read);
    assert_int_equal(ring_frame_size(&tape->ring, tape->begins[id]), frame.len);
    ring_copy(&tape->ring, tape->begins[id], read, frame.len);
    assert_memory_equal(read, frame.bytes, frame.len);
    memset(read, 0, frame.len);
    read_spans(tape, tape->begins[id], tape->begins[id + 1], read);
    assert_memory_equal(read, frame.bytes, frame.len);
    free(read);
    free(frame.bytes);
}

/* The oldest frame of at least that Id, among the newest `count`, within `reach` of the end. */
static inline uint64_t first_to_start(const struct tape *tape, uint64_t id, uint64_t count,
                                      size_t reach)
{
    uint64_t first = tape->tail_id, unready = tape_unready(tape);
    while (first < unready && (first < id || unready - first > count ||
                               tape->begins[unready] - tape->begins[first] > reach))
        first++;
    return first;
}

/* Asks the ring where to start; the answer must be the model's. Returns the first Id. */
static inline uint64_t start(struct tape *tape, uint64_t id, uint64_t count, size_t reach)
{
    struct ring_start found = ring_start(&tape->ring, id, count, reach);
    uint64_t first = first_to_start(tape, id, count, reach);
    assert_int_equal(found.first_id, first);
    assert_int_equal(found.position, tape->begins[first]);
    assert_int_equal(found.end, tape->begins[tape_unready(tape)]);
    assert_int_equal(found.last_id, tape_unready(tape) - 1);
    if (found.position < tape->floor)
        tape->floor = found.position;
    return first;
}

/* Everything that is promised about what the ring holds now. */
static inline void check(struct tape *tape)
{
    uint64_t floor = tape->floor, last_id = UINT64_MAX;
    assert_int_equal(ring_end(&tape->ring), tape_end(tape));
    assert_int_equal(ring_ready(&tape->ring), tape->begins[tape_unready(tape)]);
    assert_int_equal(ring_ready_id(&tape->ring, &last_id), tape->begins[tape_unready(tape)]);
    assert_int_equal(last_id, tape_unready(tape) - 1);
    assert_int_equal(ring_unready(&tape->ring), tape_end(tape) - tape->begins[tape_unready(tape)]);
    assert_int_equal(start(tape, 0, UINT64_MAX, SIZE_MAX), tape->tail_id);
    set_floor(tape, floor); /* the start has lowered it */
    for (uint64_t id = tape->tail_id; id < tape->next_id; id++)
        check_frame(tape, id);
}

#endif
