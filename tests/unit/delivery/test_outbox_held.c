/* SPDX-License-Identifier: MIT
 *
 * test_outbox_held.c - an outbox in a ring that is held: what waits until the ring is ready, and
 * what does not.
 */
#include "delivery/outbox.h"

#include "outbox_line.h"

static void enter_held_ring(struct line *line)
{
    enter_new_ring(line, RING);
    assert_true(ring_hold(&line->ring, 0));
}

/* Everything broadcast so far may be read. */
static void make_all_ready(struct line *line)
{
    ring_set_ready(&line->ring, ring_end(&line->ring), 1);
}

static void test_broadcasts_wait_until_they_are_ready(void **state)
{
    struct line *line = *state;
    enter_held_ring(line);
    broadcast(line, 100);
    uint64_t first = ring_end(&line->ring);
    broadcast(line, 100);
    assert_int_equal(pump(line), 0);
    check_heard(line, "");
    ring_set_ready(&line->ring, first, 1);
    assert_int_equal(pump(line), first);
    check_heard(line, "1 ");
    make_all_ready(line);
    pump(line);
    check_heard(line, "1 2 ");
}

/* A member who says something to all and then something to one does not say the latter first. */
static void test_a_message_does_not_overtake_what_is_not_ready(void **state)
{
    struct line *line = *state;
    enter_held_ring(line);
    assert_true(deliver(line, 100));
    broadcast(line, 100);
    assert_true(deliver(line, 100));
    post(line, OUTBOX_PRESENCE, 100); /* the first list is sent right after history */
    broadcast(line, 100);
    check_heard(line, "1 ");
    make_all_ready(line);
    check_heard(line, "1 2 3 4 5 ");
}

static void test_probes_do_not_wait(void **state)
{
    struct line *line = *state;
    enter_held_ring(line);
    broadcast(line, 100);
    assert_true(deliver(line, 100));
    assert_true(deliver(line, 100));
    post(line, OUTBOX_PONG, 100);
    post(line, OUTBOX_PING, 100);
    check_heard(line, "4 5 ");
    post(line, OUTBOX_PONG, 100);
    check_heard(line, "4 5 6 ");
    make_all_ready(line);
    check_heard(line, "4 5 6 1 2 3 ");
}

static void test_probes_that_wait_are_replaced_and_cleared(void **state)
{
    struct line *line = *state;
    enter_held_ring(line);
    choke(line);
    broadcast(line, 100);
    assert_true(deliver(line, 100));
    post(line, OUTBOX_PONG, 100);
    post(line, OUTBOX_PONG, 90);
    post(line, OUTBOX_PING, 80);
    check_heard(line, "1 5 6 ");
    make_all_ready(line);
    check_heard(line, "1 5 6 2 3 ");
}

/* TLS must be offered the same bytes again: a probe does not get in front of them. */
static void test_probes_do_not_overtake_what_tls_holds(void **state)
{
    struct line *line = *state;
    enter_held_ring(line);
    choke(line);
    broadcast(line, 100);
    make_all_ready(line);
    pump(line); /* refused */
    broadcast(line, 100);
    assert_true(deliver(line, 100));
    post(line, OUTBOX_PONG, 100);
    check_heard(line, "1 2 5 ");
    make_all_ready(line);
    check_heard(line, "1 2 5 3 4 ");
}

static void test_nobody_is_slow_for_what_is_not_ready(void **state)
{
    struct line *line = *state;
    enter_held_ring(line);
    fall_behind(line, 0, RING - 1000);
    assert_int_equal(pump(line), 0);
    assert_false(outbox_state(&line->out).closing);
    make_all_ready(line);
    assert_int_equal(pump(line), ring_end(&line->ring));
    assert_false(outbox_state(&line->out).closing);
}

static void test_leaving_does_not_wait(void **state)
{
    struct line *line = *state;
    enter_held_ring(line);
    broadcast(line, 100);
    outbox_detach(&line->out);
    outbox_close(&line->out, 1001, "bye");
    lose_ring(line);
    check_heard(line, "close:1001:bye ");
}

/* The server's end: first all that was accepted, then the Close frame. */
static void test_a_close_waits_for_what_was_said_before(void **state)
{
    struct line *line = *state;
    enter_held_ring(line);
    broadcast(line, 100);
    outbox_close(&line->out, 1001, "bye");
    check_heard(line, "");
    make_all_ready(line);
    check_heard(line, "1 close:1001:bye ");
}

/* History ends where the ring is ready; what was said later is no history. */
static void test_history_ends_where_the_ring_is_ready(void **state)
{
    struct line *line = *state;
    make_ring(line, RING);
    broadcast(line, 100);
    assert_true(ring_hold(&line->ring, ring_end(&line->ring)));
    broadcast(line, 100);
    enter(line, ring_start(&line->ring, 1, UINT64_MAX, RING));
    check_heard(line, "1h ");
    make_all_ready(line);
    check_heard(line, "1h 2 ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(test_broadcasts_wait_until_they_are_ready),
        BOTH(test_a_message_does_not_overtake_what_is_not_ready),
        BOTH(test_probes_do_not_wait),
        BOTH(test_probes_that_wait_are_replaced_and_cleared),
        BOTH(test_probes_do_not_overtake_what_tls_holds),
        BOTH(test_nobody_is_slow_for_what_is_not_ready),
        BOTH(test_leaving_does_not_wait),
        BOTH(test_a_close_waits_for_what_was_said_before),
        BOTH(test_history_ends_where_the_ring_is_ready),
    };
    return cmocka_run_group_tests(tests, make_tls, free_tls);
}
