/* SPDX-License-Identifier: MIT
 *
 * test_outbox_changes.c - changes of the user list in a queue: they wait each by itself, up to a
 * maximum, and a list replaces those that wait.
 */
#include "delivery/outbox.h"

#include "no_memory.h"
#include "outbox_line.h"

/* Queues a change; returns whether it was taken. */
static bool try_change(struct line *line, size_t len)
{
    struct frame *frame = make_frame(line, WS_TEXT, len);
    bool taken = outbox_post(&line->out, OUTBOX_CHANGE, frame);
    assert_int_equal(frame->references, taken && line->out.changes ? 2 : 1);
    frame_drop(frame);
    return taken;
}

static void fill(struct line *line)
{
    for (unsigned i = 0; i < OUTBOX_CHANGES_MAX; i++) {
        assert_int_equal(line->out.changes, i);
        assert_true(try_change(line, 100));
    }
}

static void test_each_change_waits_for_its_place(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, RING);
    assert_true(try_change(line, 100));
    broadcast(line, 100);
    assert_true(try_change(line, 100));
    assert_true(try_change(line, 100));
    broadcast(line, 100);
    check_heard(line, "1 2 3 4 5 ");
    assert_int_equal(line->out.changes, 0);
}

static void test_one_above_the_maximum_is_refused(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, RING);
    fill(line);
    assert_false(try_change(line, 100));
    assert_false(outbox_state(&line->out).closing);
    check_heard(line, "1 2 3 4 5 6 7 8 ");
    assert_true(try_change(line, 100));
    check_heard(line, "1 2 3 4 5 6 7 8 10 ");
}

/* It is of a later version than all of them. */
static void test_a_list_replaces_changes_that_wait(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, RING);
    fill(line);
    post(line, OUTBOX_MESSAGE, 100);
    post(line, OUTBOX_PRESENCE, 100);
    assert_int_equal(line->out.changes, 0);
    assert_true(try_change(line, 100));
    check_heard(line, "9 10 11 ");
}

/* A change that follows a list must not be left without it. */
static void test_a_list_that_is_replaced_takes_its_changes_along(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, RING);
    post(line, OUTBOX_PRESENCE, 100);
    assert_true(try_change(line, 100));
    broadcast(line, 100);
    post(line, OUTBOX_PRESENCE, 100);
    assert_true(try_change(line, 100));
    broadcast(line, 100);
    post(line, OUTBOX_PRESENCE, 100);
    check_heard(line, "1 3 6 7 ");
}

static void test_a_change_that_was_begun_is_completed(void **state)
{
    struct line *line = *state;
    narrow(line);
    enter_new_ring(line, RING);
    assert_true(try_change(line, 40000));
    assert_true(try_change(line, 100));
    outbox_flush(&line->out);
    post(line, OUTBOX_PRESENCE, 100);
    assert_int_equal(line->out.changes, 1);
    check_heard(line, "1 3 ");
    assert_int_equal(line->out.changes, 0);
}

static void test_what_waits_goes_with_the_ring(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, RING);
    fill(line);
    outbox_detach(&line->out);
    assert_int_equal(line->out.changes, 0);
    check_heard(line, "");
}

static void test_a_change_without_memory_is_left_out(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, RING);
    assert_true(try_change(line, 100));
    struct frame *frame = make_frame(line, WS_TEXT, 100);
    no_memory_after(0);
    assert_false(outbox_post(&line->out, OUTBOX_CHANGE, frame));
    assert_true(no_memory_end());
    no_memory_after(0);
    assert_false(outbox_post(&line->out, OUTBOX_PRESENCE, frame));
    assert_true(no_memory_end());
    frame_drop(frame);
    assert_int_equal(line->out.changes, 1); /* what waits stays: no list has come instead */
    assert_false(outbox_state(&line->out).closing);
    check_heard(line, "1 ");
}

/* Nothing can be done for one that is being closed. */
static void test_one_that_is_closing_counts_as_told(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, RING);
    outbox_close(&line->out, 1001, "bye");
    assert_true(try_change(line, 100));
    check_heard(line, "close:1001:bye ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(test_each_change_waits_for_its_place),
        BOTH(test_one_above_the_maximum_is_refused),
        BOTH(test_a_list_replaces_changes_that_wait),
        BOTH(test_a_list_that_is_replaced_takes_its_changes_along),
        BOTH(test_a_change_that_was_begun_is_completed),
        BOTH(test_what_waits_goes_with_the_ring),
        BOTH(test_a_change_without_memory_is_left_out),
        BOTH(test_one_that_is_closing_counts_as_told),
    };
    return cmocka_run_group_tests(tests, make_tls, free_tls);
}
