/* SPDX-License-Identifier: MIT
 *
 * test_ring_reader.c - reading the past out of a ring, also while it is overwritten.
 */
#include "delivery/ring_reader.h"

#include <stdatomic.h>

#include "no_memory.h"
#include "ring_tape.h"

enum { ALL = 1 << 30 };

/* Appends a frame and lets old ones be overwritten. */
static void tell(struct tape *tape, size_t len)
{
    set_floor(tape, tape_end(tape));
    assert_true(append(tape, len));
}

/* Checks that the next message is the whole frame of that Id. */
static void check_next(struct tape *tape, struct ring_reader *reader, uint64_t id)
{
    struct ring_message message = {.text = NULL};
    struct buffer frame = make_frame(id, tape->lens[id]);
    assert_true(ring_reader_next(reader, &message));
    assert_int_equal(message.id, id);
    assert_int_equal(message.len, tape->lens[id]);
    assert_memory_equal(message.text, frame.bytes + frame.len - message.len, message.len);
    free(frame.bytes);
}

static void check_end(struct ring_reader *reader)
{
    struct ring_message message;
    assert_false(ring_reader_next(reader, &message));
    assert_false(ring_reader_next(reader, &message));
    assert_false(reader->failed);
    ring_reader_fini(reader);
}

/* Reads the Ids `first` to `last` with a new reader. */
static void check_read(struct tape *tape, uint64_t before, uint64_t id, size_t reach,
                       uint64_t first, uint64_t last)
{
    struct ring_reader reader;
    size_t looked = 0;
    ring_reader_init(&reader, &tape->ring, before);
    ring_reader_seek(&reader, id, reach);
    for (uint64_t next = first; next <= last; next++) {
        check_next(tape, &reader, next);
        looked += (size_t)(tape->begins[next + 1] - tape->begins[next]);
    }
    check_end(&reader);
    assert_int_equal(reader.looked, looked);
}

static void test_an_empty_ring(void **state)
{
    (void)state;
    struct tape *tape = tape_new(1000);
    assert_int_equal(ring_oldest_id(&tape->ring), 0);
    check_read(tape, UINT64_MAX, 0, ALL, 1, 0);
    check_read(tape, 0, 0, 0, 1, 0);
    check_read(tape, 1, 7, 0, 1, 0);
    tape_free(tape);
}

static void test_what_is_read(void **state)
{
    (void)state;
    struct tape *tape = tape_new(1000);
    for (size_t i = 0; i < 8; i++)
        tell(tape, 98); /* 100 bytes with the head */
    assert_int_equal(ring_oldest_id(&tape->ring), 1);
    check_read(tape, UINT64_MAX, 0, ALL, 1, 8);
    check_read(tape, 6, 0, ALL, 1, 5);
    check_read(tape, 6, 3, ALL, 3, 5);
    check_read(tape, 6, 0, 200, 4, 5);
    check_read(tape, 6, 0, 199, 5, 5);
    check_read(tape, 6, 0, 0, 5, 5); /* the last one stays */
    check_read(tape, 6, 9, 0, 5, 5);
    check_read(tape, 6, 5, 500, 5, 5);
    check_read(tape, 2, 0, ALL, 1, 1);
    check_read(tape, 1, 0, ALL, 1, 0);
    check_read(tape, 0, 0, ALL, 1, 0);
    for (size_t i = 0; i < 7; i++)
        tell(tape, 98);
    assert_int_equal(ring_oldest_id(&tape->ring),
                     6); /* it holds ten, and the end is in its middle */
    check_read(tape, UINT64_MAX, 0, ALL, 6, 15);
    check_read(tape, 9, 1, ALL, 6, 8);
    check_read(tape, 6, 1, ALL, 6, 5);
    check_read(tape, 3, 1, 0, 6, 5);
    tape_free(tape);
}

/* What is not ready has not been said to anybody yet. */
static void test_what_is_not_ready_is_not_read(void **state)
{
    (void)state;
    struct tape *tape = tape_new(1000);
    hold(tape);
    for (size_t i = 0; i < 4; i++)
        assert_true(append(tape, 98));
    assert_int_equal(ring_oldest_id(&tape->ring), 0);
    check_read(tape, UINT64_MAX, 0, ALL, 1, 0);
    set_ready(tape, 3);
    assert_int_equal(ring_oldest_id(&tape->ring), 1);
    check_read(tape, UINT64_MAX, 0, ALL, 1, 2);
    check_read(tape, 4, 0, 100, 2, 2);
    tape_free(tape);
}

/* Frames of all kinds of heads, in more pieces than are copied at once. */
static void test_long_and_short_frames(void **state)
{
    (void)state;
    struct tape *tape = tape_new(512 * 1024);
    for (size_t i = 0; i < 400; i++)
        tell(tape, i % 40 == 7 ? 70000 : 8 + i * 37 % 3000);
    assert_true(tape->tail_id > 1);
    check_read(tape, UINT64_MAX, 0, ALL, tape->tail_id, 400);
    check_read(tape, 395, 390, ALL, 390, 394);
    tape_free(tape);
}

static void test_a_reader_walks_over_many_frames(void **state)
{
    (void)state;
    struct tape *tape = tape_new(64 * 1024);
    for (size_t i = 0; i < 4000; i++)
        tell(tape, 10);
    check_read(tape, UINT64_MAX, 3990, ALL, 3990, 4000);
    check_read(tape, 3000, 0, 120, 2990, 2999);
    tape_free(tape);
}

/* Once overtaken, it goes on with the oldest frame that is left. */
static void test_a_reader_is_overtaken(void **state)
{
    (void)state;
    struct tape *tape = tape_new(64 * 1024);
    struct ring_reader reader;
    struct ring_message message;
    for (size_t i = 0; i < 60; i++)
        tell(tape, 1000);
    ring_reader_init(&reader, &tape->ring, UINT64_MAX);
    ring_reader_seek(&reader, 5, ALL);
    check_next(tape, &reader, 5);
    for (size_t i = 0; i < 40; i++)
        tell(tape, 1000);
    uint64_t id = 6; /* some were copied already */
    do {
        assert_true(ring_reader_next(&reader, &message));
        assert_true(message.id == id || message.id == tape->tail_id);
        id = message.id + 1;
    } while (message.id < tape->tail_id);
    for (; id <= 60; id++)
        check_next(tape, &reader, id);
    check_end(&reader); /* those after the 60th came later */
    tape_free(tape);
}

static void test_all_that_was_to_be_read_is_overwritten(void **state)
{
    (void)state;
    struct tape *tape = tape_new(10 * 1000);
    struct ring_reader reader;
    for (size_t i = 0; i < 5; i++)
        tell(tape, 990);
    ring_reader_init(&reader, &tape->ring, UINT64_MAX);
    for (size_t i = 0; i < 15; i++)
        tell(tape, 990);
    ring_reader_seek(&reader, 2, 100);
    check_end(&reader);
    tape_free(tape);
}

static void test_without_memory(void **state)
{
    (void)state;
    struct tape *tape = tape_new(512 * 1024);
    struct ring_reader reader;
    struct ring_message message;
    tell(tape, 10);
    tell(tape, 70000);
    for (int fails = 0; fails < 2; fails++) { /* the first buffer, the longer one */
        ring_reader_init(&reader, &tape->ring, UINT64_MAX);
        no_memory_after(fails);
        for (int read = 0; read < fails; read++)
            assert_true(ring_reader_next(&reader, &message));
        assert_false(ring_reader_next(&reader, &message));
        assert_true(no_memory_end());
        assert_true(reader.failed);
        ring_reader_fini(&reader);
    }
    tape_free(tape);
}

/* ---- With another thread that appends ---- */

static atomic_bool ends;

static void *tell_on(void *argument)
{
    struct tape *tape = argument;
    while (!atomic_load(&ends) && tape->next_id < FRAMES_MAX)
        tell(tape, 200 + tape->next_id * 31 % 2000);
    return NULL;
}

/* Each message is whole, and Ids ascend, whatever is overwritten meanwhile. */
static void test_reading_while_others_append(void **state)
{
    (void)state;
    struct tape *tape = tape_new(64 * 1024);
    pthread_t other;
    uint64_t last = 0;
    tell(tape, 200);
    atomic_store(&ends, false);
    assert_int_equal(pthread_create(&other, NULL, tell_on, tape), 0);
    while (last + 1 < FRAMES_MAX) {
        struct ring_reader reader;
        struct ring_message message;
        uint64_t id = 0;
        ring_reader_init(&reader, &tape->ring, UINT64_MAX);
        ring_reader_seek(&reader, 0, 32 * 1024);
        while (ring_reader_next(&reader, &message)) {
            assert_true(message.id > id);
            id = message.id;
            for (size_t i = 0; i < message.len; i++)
                assert_int_equal((unsigned char)message.text[i], payload_byte(id, i));
        }
        assert_false(reader.failed);
        ring_reader_fini(&reader);
        last = id > last ? id : last;
    }
    atomic_store(&ends, true);
    pthread_join(other, NULL);
    tape_free(tape);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_empty_ring),
        cmocka_unit_test(test_what_is_read),
        cmocka_unit_test(test_what_is_not_ready_is_not_read),
        cmocka_unit_test(test_long_and_short_frames),
        cmocka_unit_test(test_a_reader_walks_over_many_frames),
        cmocka_unit_test(test_a_reader_is_overtaken),
        cmocka_unit_test(test_all_that_was_to_be_read_is_overwritten),
        cmocka_unit_test(test_without_memory),
        cmocka_unit_test(test_reading_while_others_append),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
