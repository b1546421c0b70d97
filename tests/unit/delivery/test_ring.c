/* SPDX-License-Identifier: MIT
 *
 * test_ring.c - the ring of bytes against a model: the list of all frames ever appended.
 *
 * Every append goes through a `tape` (ring_tape.h).
 */
#include "delivery/ring.h"

#include <sched.h>
#include <stdatomic.h>

#include "net/socket.h"
#include "no_memory.h"
#include "ring_tape.h"

/* ---- Appending -------------------------------------------------------------------------------- */

static void test_empty_ring_has_nothing(void **state)
{
    (void)state;
    struct tape *tape = tape_new(100);
    check(tape);
    assert_int_equal(start(tape, 1, UINT64_MAX, 100), 1);
    assert_int_equal(start(tape, 7, 1, 0), 1);
    tape_free(tape);
}

static void test_memory_that_is_out(void **state)
{
    (void)state;
    struct ring ring;
    no_memory_after(0);
    assert_int_equal(ring_init(&ring, 100), -1);
    assert_true(no_memory_end());
}

/* Sizes without a common divisor: so the frames begin at every place, and wrap at every place. */
static void check_every_offset(size_t size, size_t len)
{
    struct tape *tape = tape_new(size);
    bool *seen = calloc(size, sizeof(*seen));
    assert_non_null(seen);
    for (size_t i = 0; i < size; i++) {
        size_t offset = tape_end(tape) % size;
        assert_false(seen[offset]);
        seen[offset] = true;
        set_floor(tape, tape_end(tape));
        assert_true(append(tape, len));
        check(tape);
    }
    free(seen);
    tape_free(tape);
}

static void test_frames_wrap_at_every_offset(void **state)
{
    (void)state;
    check_every_offset(101, 0);
    check_every_offset(101, 7);
    check_every_offset(129, 125);
    check_every_offset(131, 126);
    check_every_offset(1009, 300);
}

/* RFC 6455 §5.2: from 65536 bytes on the length takes eight bytes more. */
static void test_heads_of_ten_bytes_wrap_anywhere(void **state)
{
    (void)state;
    enum { SIZE = 150001, LEN = 65536 };
    for (size_t before = 0; before <= 12; before++) {
        struct tape *tape = tape_new(SIZE);
        size_t gap = SIZE - before - (LEN + 10);
        assert_true(append(tape, LEN));
        assert_true(append(tape, gap - (gap > 65545 ? 10 : 4)));
        assert_int_equal(tape_end(tape), SIZE - before);
        set_floor(tape, tape_end(tape));
        assert_true(append(tape, LEN));
        check(tape);
        assert_true(append(tape, 3));
        check(tape);
        tape_free(tape);
    }
}

static void test_tail_walks_by_whole_frames(void **state)
{
    (void)state;
    struct tape *tape = tape_new(100);
    for (int i = 0; i < 5; i++)
        assert_true(append(tape, 18)); /* 20 bytes each */
    assert_int_equal(tape->tail_id, 1);
    set_floor(tape, 100);
    assert_true(append(tape, 18)); /* takes the place of one */
    check(tape);
    assert_int_equal(start(tape, 1, UINT64_MAX, 100), 2);
    set_floor(tape, 120);
    assert_true(append(tape, 19)); /* one byte more: it takes two */
    check(tape);
    assert_int_equal(start(tape, 1, UINT64_MAX, 100), 4);
    tape_free(tape);
}

static void test_frame_as_large_as_the_ring(void **state)
{
    (void)state;
    struct tape *tape = tape_new(1000);
    assert_false(append(tape, 997)); /* 1001 bytes */
    check(tape);
    assert_true(append(tape, 996));
    check(tape);
    assert_false(append(tape, 0));
    set_floor(tape, 1000);
    assert_false(append(tape, 997));
    assert_true(append(tape, 996));
    check(tape);
    assert_int_equal(tape->tail_id, 2);
    tape_free(tape);
}

/* ---- The floor -------------------------------------------------------------------------------- */

static void test_floor_protects_what_is_above_it(void **state)
{
    (void)state;
    struct tape *tape = tape_new(100);
    for (int i = 0; i < 5; i++)
        assert_true(append(tape, 18));
    assert_false(append(tape, 0));
    check(tape); /* nothing was changed, and the Id was not spent */
    set_floor(tape, 20);
    assert_false(append(tape, 19));
    assert_true(append(tape, 18));
    check(tape);
    assert_false(append(tape, 0));
    set_floor(tape, 120);
    assert_true(append(tape, 98));
    check(tape);
    tape_free(tape);
}

/* A reader in the middle of a frame: the frame's beginning may go, its rest stays. */
static void test_floor_inside_a_frame(void **state)
{
    (void)state;
    unsigned char rest[11];
    struct tape *tape = tape_new(100);
    for (int i = 0; i < 5; i++)
        assert_true(append(tape, 18));
    set_floor(tape, 9);
    assert_false(append(tape, 8));
    assert_true(append(tape, 7)); /* 9 bytes */
    check(tape);
    assert_int_equal(tape->tail_id, 2);
    ring_copy(&tape->ring, 9, rest, sizeof(rest));
    for (size_t i = 0; i < sizeof(rest); i++)
        assert_int_equal(rest[i], payload_byte(1, 7 + i));
    tape_free(tape);
}

static void test_start_lowers_the_floor_and_never_raises_it(void **state)
{
    (void)state;
    struct tape *tape = tape_new(100);
    for (int i = 0; i < 5; i++)
        assert_true(append(tape, 18));
    set_floor(tape, 100);
    assert_int_equal(start(tape, 3, UINT64_MAX, 100), 3);
    assert_int_equal(start(tape, 5, UINT64_MAX, 100), 5);
    assert_false(append(tape, 39));
    assert_true(append(tape, 38)); /* up to frame 3, not into it */
    check(tape);
    set_floor(tape, tape_end(tape)); /* then everyone has moved on */
    assert_true(append(tape, 98));
    tape_free(tape);
}

/* ---- Where to start --------------------------------------------------------------------------- */

/* Five frames of 20 bytes: the ring is full with them, or they are what is left of nine. */
static const struct {
    uint64_t id, count;
    size_t reach;
    uint64_t first; /* counted from the frame before the oldest one */
} starts[] = {
    {0, UINT64_MAX, 100, 1}, {1, UINT64_MAX, 100, 1}, {3, UINT64_MAX, 100, 3},
    {5, UINT64_MAX, 100, 5}, {6, UINT64_MAX, 100, 6}, {7, UINT64_MAX, 100, 6},
    {99, UINT64_MAX, 0, 6},  {1, 0, 100, 6},          {1, 1, 100, 5},
    {1, 4, 100, 2},          {1, 5, 100, 1},          {1, 6, 100, 1},
    {1, UINT64_MAX, 0, 6},   {1, UINT64_MAX, 19, 6},  {1, UINT64_MAX, 20, 5},
    {1, UINT64_MAX, 59, 4},  {1, UINT64_MAX, 60, 3},  {1, UINT64_MAX, 99, 2},
    {4, 3, 100, 4},          {2, 3, 100, 3},          {2, 4, 40, 4},
    {5, 5, 40, 5},           {6, 5, 100, 6},          {2, 1, 100, 5},
};

static void check_starts(struct tape *tape, uint64_t gone)
{
    for (size_t i = 0; i < COUNT(starts); i++) {
        uint64_t id = starts[i].id + gone;
        assert_int_equal(start(tape, id, starts[i].count, starts[i].reach), starts[i].first + gone);
    }
}

static void test_start_by_id_by_count_and_by_reach(void **state)
{
    (void)state;
    struct tape *tape = tape_new(100);
    for (int i = 0; i < 5; i++)
        assert_true(append(tape, 18));
    check_starts(tape, 0);
    for (int i = 0; i < 4; i++) {
        set_floor(tape, tape_end(tape));
        assert_true(append(tape, 18));
    }
    check_starts(tape, 4);
    tape_free(tape);
}

static void test_start_at_an_id_that_is_gone_or_still_to_come(void **state)
{
    (void)state;
    struct tape *tape = tape_new(100);
    for (int i = 0; i < 12; i++) {
        set_floor(tape, tape_end(tape));
        assert_true(append(tape, 18));
    }
    assert_int_equal(start(tape, 1, UINT64_MAX, SIZE_MAX), 8);
    assert_int_equal(start(tape, 7, UINT64_MAX, SIZE_MAX), 8);
    assert_int_equal(start(tape, 8, UINT64_MAX, SIZE_MAX), 8);
    assert_int_equal(start(tape, 13, UINT64_MAX, SIZE_MAX), 13);
    assert_int_equal(start(tape, 14, UINT64_MAX, SIZE_MAX), 13);
    assert_int_equal(start(tape, UINT64_MAX, UINT64_MAX, SIZE_MAX), 13);
    tape_free(tape);
}

/* ---- Anything, in any order ------------------------------------------------------------------- */

static uint32_t chance; /* the same numbers in each run */

static uint32_t random_below(uint32_t bound)
{
    chance = chance * 1664525 + 1013904223;
    return (uint32_t)((uint64_t)chance * bound >> 32);
}

static void step(struct tape *tape, uint32_t len_max)
{
    uint64_t tail = tape->begins[tape->tail_id], ready = tape->begins[tape_unready(tape)];
    if (tape->unready && random_below(3) == 0)
        set_ready(tape,
                  tape->unready + random_below((uint32_t)(tape->next_id - tape->unready) + 1));
    switch (random_below(6)) {
    case 0: /* somewhere in what is ready, on a boundary or not */
        set_floor(tape, tail + random_below((uint32_t)(ready - tail) + 1));
        break;
    case 1:
        start(tape, tape->tail_id + random_below(12) - 2, random_below(12),
              random_below((uint32_t)tape->ring.size));
        break;
    case 2:
        set_floor(tape, ready);
        break;
    default:
        append(tape, random_below(len_max));
        break;
    }
}

static void test_random_runs_against_the_model(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {16, 17, 64, 255, 1000, 4096, 300000};
    for (uint32_t seed = 1; seed < 40; seed++) {
        uint32_t size = sizes[seed % COUNT(sizes)];
        struct tape *tape = tape_new(size);
        chance = seed;
        if (seed % 3 == 0)
            hold(tape);
        for (int i = 0; i < 600; i++) {
            step(tape, size / 3 + 2);
            if (size < 10000 || i % 50 == 0)
                check(tape);
        }
        assert_true(tape->tail_id > 1); /* it did go round */
        tape_free(tape);
    }
}

/* ---- One writes, one reads -------------------------------------------------------------------- */

enum { RACE_FRAMES = 20000, RACE_RING = 4096, TEST_TIMEOUT_MS = 60000 };

struct race {
    struct ring ring;
    atomic_bool over; /* the reader has given up */
};

static size_t race_len(uint64_t id)
{
    return 8 + id % 300; /* no frame is shorter than ten bytes, as none is that a room relays */
}

/* Appends all frames, and waits for the reader where the floor is in the way. */
static void *write_all(void *argument)
{
    struct race *race = argument;
    unsigned char head[WS_HEAD_MAX], payload[308];
    for (uint64_t sent = 0; sent < RACE_FRAMES && !atomic_load(&race->over);) {
        uint64_t id = ring_lock(&race->ring);
        size_t len = race_len(id);
        for (size_t i = 0; i < len; i++)
            payload[i] = payload_byte(id, i);
        struct iovec parts[] = {{head, ws_write_head(head, WS_TEXT, len)}, {payload, len}};
        bool appended = ring_append_locked(&race->ring, parts, 2);
        ring_unlock(&race->ring);
        sent += appended;
        if (!appended)
            sched_yield();
    }
    return NULL;
}

/* Whether frame `id` lies at `at`, read in place. */
static bool right_frame(const struct ring *ring, uint64_t at, uint64_t id)
{
    unsigned char head[WS_HEAD_MAX];
    size_t len = race_len(id), head_len = ws_write_head(head, WS_TEXT, len), index = 0;
    uint64_t until = at + head_len + len;
    if (ring_frame_size(ring, at) != head_len + len)
        return false;
    while (at < until) {
        const unsigned char *bytes;
        size_t n = ring_span(ring, at, until, &bytes);
        for (size_t i = 0; i < n; i++, index++)
            if (bytes[i] != (index < head_len ? head[index] : payload_byte(id, index - head_len)))
                return false;
        at += n;
    }
    return true;
}

/* Reads frame after frame behind a floor that it raises itself. Returns how many were right. */
static uint64_t read_all(struct race *race)
{
    int64_t until = net_now() + TEST_TIMEOUT_MS;
    uint64_t id = 1, at = 0;
    while (id <= RACE_FRAMES && net_now() < until) {
        uint64_t end = ring_end(&race->ring);
        for (; at < end; id++) {
            if (!right_frame(&race->ring, at, id))
                return id - 1;
            at += ring_frame_size(&race->ring, at);
        }
        ring_set_floor(&race->ring, at);
        sched_yield();
    }
    return id - 1;
}

static void test_one_writes_while_one_reads(void **state)
{
    (void)state;
    struct race race = {.over = false};
    pthread_t writer;
    assert_int_equal(ring_init(&race.ring, RACE_RING), 0);
    assert_int_equal(pthread_create(&writer, NULL, write_all, &race), 0);
    uint64_t right = read_all(&race);
    atomic_store(&race.over, true);
    pthread_join(writer, NULL);
    ring_fini(&race.ring);
    assert_int_equal(right, RACE_FRAMES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty_ring_has_nothing),
        cmocka_unit_test(test_memory_that_is_out),
        cmocka_unit_test(test_frames_wrap_at_every_offset),
        cmocka_unit_test(test_heads_of_ten_bytes_wrap_anywhere),
        cmocka_unit_test(test_tail_walks_by_whole_frames),
        cmocka_unit_test(test_frame_as_large_as_the_ring),
        cmocka_unit_test(test_floor_protects_what_is_above_it),
        cmocka_unit_test(test_floor_inside_a_frame),
        cmocka_unit_test(test_start_lowers_the_floor_and_never_raises_it),
        cmocka_unit_test(test_start_by_id_by_count_and_by_reach),
        cmocka_unit_test(test_start_at_an_id_that_is_gone_or_still_to_come),
        cmocka_unit_test(test_random_runs_against_the_model),
        cmocka_unit_test(test_one_writes_while_one_reads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
