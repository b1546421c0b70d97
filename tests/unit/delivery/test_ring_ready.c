/* SPDX-License-Identifier: MIT
 *
 * test_ring_ready.c - a ring that is held: what may be read, where it begins, what is copied out.
 */
#include "ring_tape.h"

static void test_a_held_ring_is_ready_when_it_is_said(void **state)
{
    (void)state;
    struct tape *tape = tape_new(200);
    assert_true(append(tape, 18));
    hold(tape);
    for (int i = 0; i < 3; i++)
        assert_true(append(tape, 18));
    check(tape);
    assert_int_equal(start(tape, 1, UINT64_MAX, 200), 1);
    assert_int_equal(start(tape, 2, UINT64_MAX, 200), 2); /* said, but not ready */
    assert_int_equal(start(tape, 4, UINT64_MAX, 200), 2);
    assert_int_equal(start(tape, 1, 0, 200), 2);
    set_ready(tape, 4);
    check(tape);
    assert_int_equal(start(tape, 2, UINT64_MAX, 200), 2);
    assert_int_equal(start(tape, 1, 1, 200), 3);
    ring_release(&tape->ring);
    tape->unready = 0;
    check(tape);
    assert_true(append(tape, 18));
    check(tape);
    tape_free(tape);
}

static void test_a_ring_is_held_at_its_end_only(void **state)
{
    (void)state;
    struct tape *tape = tape_new(200);
    assert_true(append(tape, 18));
    assert_true(append(tape, 18));
    assert_false(ring_hold(&tape->ring, tape->begins[2]));
    assert_true(append(tape, 18));
    check(tape); /* it still follows */
    hold(tape);
    assert_true(append(tape, 18));
    check(tape);
    tape_free(tape);
}

static void test_a_ring_begins_at_any_id(void **state)
{
    (void)state;
    struct tape *tape = tape_new(100);
    assert_true(append(tape, 18));
    ring_begin(&tape->ring, 701);
    tape->tail_id = tape->next_id = 701;
    tape->begins[701] = tape->floor = 0;
    check(tape);
    assert_int_equal(start(tape, 1, UINT64_MAX, 100), 701);
    assert_true(append(tape, 18));
    assert_true(append(tape, 18));
    check(tape);
    assert_int_equal(start(tape, 702, UINT64_MAX, 100), 702);
    tape_free(tape);
}

/* Copies frames out and compares them with the ring. Returns how many. */
static uint64_t copy_frames(struct tape *tape, uint64_t id, size_t size, uint64_t max)
{
    unsigned char copied[1000], expected[1000];
    struct ring_batch batch =
        ring_copy_frames(&tape->ring, tape->begins[id], id, copied, size, max);
    uint64_t first = id > tape->tail_id ? id : tape->tail_id;
    assert_int_equal(batch.first_id, first);
    assert_int_equal(batch.from, tape->begins[first]);
    assert_int_equal(batch.len, tape->begins[first + batch.count] - tape->begins[first]);
    ring_copy(&tape->ring, batch.from, expected, batch.len);
    assert_memory_equal(copied, expected, batch.len);
    return batch.count;
}

static void check_copies(struct tape *tape)
{
    assert_int_equal(copy_frames(tape, 3, 1000, UINT64_MAX), 4); /* 5 to 8: 3 and 4 are gone */
    assert_int_equal(copy_frames(tape, 5, 80, UINT64_MAX), 4);
    assert_int_equal(copy_frames(tape, 5, 79, UINT64_MAX), 3);
    assert_int_equal(copy_frames(tape, 5, 1000, 2), 2);
    assert_int_equal(copy_frames(tape, 8, 1000, UINT64_MAX), 1);
    assert_int_equal(copy_frames(tape, 9, 1000, UINT64_MAX), 0);
}

static void test_frames_are_copied_out_ready_or_not(void **state)
{
    (void)state;
    struct tape *tape = tape_new(90);
    for (int i = 0; i < 8; i++) {
        set_floor(tape, tape_end(tape));
        assert_true(append(tape, 18));
    }
    check_copies(tape);
    check_lock_is_free(&tape->ring.lock);
    hold(tape);
    check_copies(tape);
    tape_free(tape);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_held_ring_is_ready_when_it_is_said),
        cmocka_unit_test(test_a_ring_is_held_at_its_end_only),
        cmocka_unit_test(test_a_ring_begins_at_any_id),
        cmocka_unit_test(test_frames_are_copied_out_ready_or_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
