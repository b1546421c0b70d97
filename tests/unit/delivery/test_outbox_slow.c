/* SPDX-License-Identifier: MIT
 *
 * test_outbox_slow.c - a socket that takes no more, and clients that are too slow.
 */
#include "delivery/outbox.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "outbox_line.h"

/* ---- A socket that takes no more ---- */

static void test_blocked_is_passed_by_until_the_owner_goes_on(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, RING);
    choke(line);
    broadcast(line, 100);
    uint64_t position = pump(line);
    assert_int_equal(position, 0);
    assert_int_equal(outbox_state(&line->out).events, POLLOUT);
    hear_some(line, SIZE_MAX); /* there is room again, but it is the owner's turn */
    assert_int_equal(pump(line), position);
    assert_true(deliver(line, 100));
    hear_some(line, SIZE_MAX);
    assert_string_equal(line->heard, "1 ");
    outbox_flush(&line->out);
    assert_int_equal(outbox_state(&line->out).events, 0);
    assert_int_equal(pump(line), ring_end(&line->ring));
    check_heard(line, "1 2 3 ");
}

static void *pump_elsewhere(void *argument)
{
    pump(argument);
    return NULL;
}

static void test_owner_is_woken_when_another_is_refused(void **state)
{
    struct line *line = *state;
    pthread_t other;
    enter_new_ring(line, RING);
    choke(line);
    broadcast(line, 100);
    assert_int_equal(pthread_create(&other, NULL, pump_elsewhere, line), 0);
    pthread_join(other, NULL);
    assert_int_equal(outbox_state(&line->out).events, POLLOUT);
    assert_true(woken(TEST_TIMEOUT_MS));
    outbox_flush(&line->out); /* refused again, and the owner knows it */
    assert_int_equal(outbox_state(&line->out).events, POLLOUT);
    assert_false(woken(20));
    check_heard(line, "1 2 ");
}

static void test_many_frames_through_a_narrow_socket(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, RING);
    narrow(line);
    for (size_t i = 0; i < 300; i++) {
        broadcast(line, 20 + i * 13 % 400);
        if (i % 3 == 0)
            assert_true(deliver(line, 20 + i * 7 % 300));
        if (i % 20 == 0)
            drain(line);
        assert_int_not_equal(pump(line), UINT64_MAX);
    }
    check_heard(line, line->said);
}

static void test_read_says_what_is_there(void **state)
{
    struct line *line = *state;
    char bytes[8];
    errno = 0;
    assert_int_equal(stream_read(&line->stream, bytes, sizeof(bytes)), -1);
    assert_int_equal(errno, EAGAIN);
    assert_true(line->stream.drained);
    assert_int_equal(stream_write(&line->peer, "0123456789", 10), 10);
    assert_int_equal(stream_read(&line->stream, bytes, sizeof(bytes)), 8);
    assert_memory_equal(bytes, "01234567", 8);
    assert_false(line->stream.drained);
    assert_int_equal(stream_read(&line->stream, bytes, sizeof(bytes)), 2);
    assert_memory_equal(bytes, "89", 2);
    assert_true(line->stream.drained);
    stream_shutdown(&line->peer);
    assert_int_equal(stream_read(&line->stream, bytes, sizeof(bytes)), 0);
}

/* ---- Too slow: behind ---- */

/* TLS still finishes its first record, and the frame in which that ends: the 17th of 1004 bytes. */
static void test_more_than_half_the_ring_behind(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, RING);
    choke(line);
    fall_behind(line, 0, RING / 2);
    assert_int_equal(pump(line), 0);
    assert_false(outbox_state(&line->out).too_slow);
    broadcast(line, 20);
    assert_int_equal(pump(line), UINT64_MAX);
    check_closed_for(line, RING / 2 + 22);
    for (int i = 0; i < 200; i++) { /* nobody waits for it: all it might read is overwritten */
        ring_set_floor(&line->ring, ring_end(&line->ring));
        broadcast(line, 1000);
    }
    assert_int_equal(pump(line), UINT64_MAX);
    assert_false(deliver(line, 100));
    check_heard_either(line, "1 " SLOW_LAG,
                       "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 " SLOW_LAG);
}

/* What was offered lay on both sides of the ring's end. */
static void test_behind_while_tls_holds_bytes_at_the_rings_end(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, RING);
    broadcast(line, RING - 1000);
    pump(line);
    drain(line);
    assert_int_equal(pump(line), ring_end(&line->ring));
    choke(line);
    fall_behind(line, ring_end(&line->ring), RING / 2);
    assert_int_not_equal(pump(line), UINT64_MAX);
    broadcast(line, 20);
    assert_int_equal(pump(line), UINT64_MAX);
    lose_ring(line);
    check_heard_either(line, "1 2 " SLOW_LAG, "1 2 3 " SLOW_LAG);
}

static void test_behind_in_the_middle_of_a_frame(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, RING);
    narrow(line);
    broadcast(line, 1500);
    broadcast(line, 1000);
    broadcast(line, 15000); /* in its middle the socket is full */
    assert_int_not_equal(pump(line), UINT64_MAX);
    hear_some(line, 3000);
    broadcast(line, 25000);
    assert_int_equal(pump(line), UINT64_MAX);
    check_closed_for(line, line->out.lag);
    lose_ring(line);
    check_heard(line, "1 2 3 " SLOW_LAG);
}

static void test_behind_in_the_middle_of_a_queued_frame(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, RING);
    narrow(line);
    assert_true(deliver(line, 20000));
    assert_true(deliver(line, 100));
    fall_behind(line, 0, RING / 2 + 1);
    assert_int_equal(pump(line), UINT64_MAX);
    lose_ring(line);
    check_heard(line, "1 " SLOW_LAG);
}

/* A newcomer starts far behind; it may be so as long as it reads history. What it gets of that at
 * once is 64 KB and the rest of a frame, here three frames; they still leave. */
static void test_history_may_be_seven_eighths_behind(void **state)
{
    enum { FRAME = 30004, HEAD = 4 };
    struct line *line = *state;
    make_ring(line, LARGE_RING);
    choke(line);
    while (ring_end(&line->ring) + FRAME <= LARGE_RING / 4 * 3)
        broadcast(line, FRAME - HEAD);
    enter(line, ring_start(&line->ring, 1, UINT64_MAX, LARGE_RING / 4 * 3));
    uint64_t position = pump(line);
    assert_int_equal(position, 3 * FRAME);
    fall_behind(line, position, LARGE_RING / 8 * 7);
    assert_int_equal(pump(line), position);
    broadcast(line, 20);
    assert_int_equal(pump(line), UINT64_MAX);
    check_closed_for(line, LARGE_RING / 8 * 7 + 22);
    lose_ring(line);
    check_heard(line, "1 2h 3h 4h " SLOW_LAG);
}

/* ---- Too slow: too much waits ---- */

static void test_queue_overflows(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, RING);
    choke(line);
    size_t queued = fill_queue(line);
    post(line, OUTBOX_MESSAGE, 20);
    check_closed_for(line, queued + 22);
    assert_int_equal(pump(line), UINT64_MAX);
    broadcast(line, 100);
    lose_ring(line);
    check_heard(line, "1 " SLOW_QUEUE);
}

static void test_queue_overflows_behind_a_frame_that_was_begun(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, RING);
    narrow(line);
    fill_queue(line);
    outbox_flush(&line->out);
    post(line, OUTBOX_MESSAGE, 20);
    check_closed_for(line, QUEUE + 22);
    lose_ring(line);
    check_heard(line, "1 " SLOW_QUEUE);
}

static void test_queue_overflows_in_the_middle_of_a_broadcast(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, RING);
    narrow(line);
    broadcast(line, 20000);
    pump(line);
    fill_queue(line);
    post(line, OUTBOX_MESSAGE, 20);
    check_closed_for(line, QUEUE + 22);
    lose_ring(line);
    check_heard(line, "1 " SLOW_QUEUE);
}

static void test_queue_overflows_before_any_room(void **state)
{
    struct line *line = *state;
    choke(line);
    fill_queue(line);
    outbox_flush(&line->out);
    post(line, OUTBOX_MESSAGE, 20);
    check_heard_either(line, "1 " SLOW_QUEUE, "1 2 " SLOW_QUEUE);
}

/* They are refused over half of the queue, and it stays open; an empty one takes any one
 * message. */
static void test_other_members_close_nobody(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, RING);
    choke(line);
    assert_true(deliver(line, 2 * QUEUE));
    for (int i = 0; i < 100; i++)
        assert_false(deliver(line, 20));
    assert_false(outbox_state(&line->out).closing);
}

static void test_other_members_have_half_of_the_queue(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, RING);
    choke(line);
    assert_true(deliver(line, QUEUE / 2 - 4));
    assert_false(deliver(line, 20));
    post(line, OUTBOX_MESSAGE, QUEUE / 4); /* what the server has to say finds room */
    assert_false(outbox_state(&line->out).closing);
}

/* Delivers to `line`, with an ack for `sender`. */
static bool deliver_acked(struct line *line, struct line *sender, size_t len)
{
    struct frame *frame = make_frame(line, WS_TEXT, len);
    struct frame *ack = sender == line ? frame : make_frame(sender, WS_TEXT, LEAST);
    outbox_lock(&line->out, &sender->out);
    bool accepted = outbox_send_unlock(&line->out, frame, &sender->out, ack);
    frame_drop(frame);
    if (ack != frame)
        frame_drop(ack);
    return accepted;
}

/* It lies in the sender's queue, unsent, when the message has left. */
static void test_no_answer_overtakes_an_ack(void **state)
{
    struct line *line = *state;
    void *other = NULL;
    assert_int_equal(open_line(&other, line->tls) || open_for_frames(&other), 0);
    struct line *sender = other;
    assert_true(deliver_acked(line, sender, 100));
    assert_true(deliver(sender, 60)); /* the answer */
    check_heard(sender, "1 2 ");
    assert_true(deliver_acked(sender, line, 100));
    check_heard(line, "1 2 ");
    check_heard(sender, "1 2 3 ");
    close_line(&other);
}

static struct line *acked;                      /* whose ack must be queued */
static volatile sig_atomic_t arrivals, unacked; /* signals, and those without an ack */

static void on_arrival(int number)
{
    (void)number;
    arrivals++;
    unacked += !acked->out.first;
}

/* Its place in the room's order is fixed before the message leaves, because the answer may be a
 * broadcast. The kernel tells by a signal as soon as the message is there. */
static void test_an_ack_is_queued_before_the_message_leaves(void **state)
{
    struct line *line = *state;
    void *other = NULL;
    const struct sigaction watch = {.sa_handler = on_arrival};
    const struct f_owner_ex self = {.type = F_OWNER_TID, .pid = gettid()};
    assert_int_equal(open_line(&other, line->tls) || open_for_frames(&other), 0);
    acked = other;
    arrivals = unacked = 0;
    sigaction(SIGIO, &watch, NULL);
    assert_int_equal(fcntl(line->peer.fd, F_SETOWN_EX, &self), 0);
    assert_int_equal(fcntl(line->peer.fd, F_SETFL, O_ASYNC | O_NONBLOCK), 0);
    assert_true(deliver_acked(line, acked, 100));
    for (int64_t until = net_now() + TEST_TIMEOUT_MS; !arrivals && net_now() < until;)
        net_wait(-1, 0, until);
    signal(SIGIO, SIG_IGN);
    assert_true(arrivals > 0);
    assert_int_equal(unacked, 0);
    check_heard(line, "1 ");
    check_heard(acked, "1 ");
    close_line(&other);
}

static void test_what_is_refused_is_not_acked(void **state)
{
    struct line *line = *state;
    void *other = NULL;
    assert_int_equal(open_line(&other, line->tls) || open_for_frames(&other), 0);
    enter_new_ring(line, RING);
    choke(line);
    assert_true(deliver(line, QUEUE));
    assert_false(deliver_acked(line, other, 20));
    assert_null(((struct line *)other)->out.first);
    close_line(&other);
}

/* To oneself there is one lock. */
static void test_an_ack_of_a_message_to_oneself(void **state)
{
    struct line *line = *state;
    assert_true(deliver_acked(line, line, 100));
    outbox_flush(&line->out);
    check_heard(line, "1 1 ");
}

/* Of what replaces its like two wait at most, so it does not count. */
static void test_presence_and_pongs_are_not_counted(void **state)
{
    struct line *line = *state;
    choke(line);
    post(line, OUTBOX_PRESENCE, 2 * QUEUE);
    post(line, OUTBOX_PONG, 100);
    fill_queue(line);
    post(line, OUTBOX_PRESENCE, 3 * QUEUE);
    check_heard(line, "1 2 3 4 5 6 ");
    fill_queue(line); /* what has left is not counted any more */
    check_heard(line, "1 2 3 4 5 6 7 8 ");
}

/* A page may be longer than the queue's limit, and others still find room beside it. */
static void test_a_page_is_not_counted(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, RING);
    choke(line);
    assert_false(outbox_state(&line->out).page);
    post(line, OUTBOX_PAGE, QUEUE + 1000);
    assert_true(outbox_state(&line->out).page);
    broadcast(line, 100);
    assert_true(deliver(line, QUEUE / 2 - 100));
    post(line, OUTBOX_MESSAGE, 1000);
    hear_some(line, CHOKE);
    outbox_flush(&line->out);
    assert_true(outbox_state(&line->out).page); /* its first part is sent */
    check_heard(line, "1 2 3 4 5 ");
    assert_false(outbox_state(&line->out).page);
}

static void test_a_page_after_the_queue_is_full(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, RING);
    choke(line);
    post(line, OUTBOX_MESSAGE, QUEUE + 1000);
    post(line, OUTBOX_PAGE, 1000);
    check_heard(line, "1 2 3 ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(test_blocked_is_passed_by_until_the_owner_goes_on),
        BOTH(test_owner_is_woken_when_another_is_refused),
        BOTH(test_many_frames_through_a_narrow_socket),
        BOTH(test_read_says_what_is_there),
        BOTH(test_more_than_half_the_ring_behind),
        BOTH(test_behind_while_tls_holds_bytes_at_the_rings_end),
        BOTH(test_behind_in_the_middle_of_a_frame),
        BOTH(test_behind_in_the_middle_of_a_queued_frame),
        BOTH(test_history_may_be_seven_eighths_behind),
        BOTH(test_queue_overflows),
        BOTH(test_queue_overflows_behind_a_frame_that_was_begun),
        BOTH(test_queue_overflows_in_the_middle_of_a_broadcast),
        BOTH(test_queue_overflows_before_any_room),
        BOTH(test_other_members_close_nobody),
        BOTH(test_other_members_have_half_of_the_queue),
        BOTH(test_no_answer_overtakes_an_ack),
        BOTH(test_an_ack_is_queued_before_the_message_leaves),
        BOTH(test_what_is_refused_is_not_acked),
        BOTH(test_an_ack_of_a_message_to_oneself),
        BOTH(test_presence_and_pongs_are_not_counted),
        BOTH(test_a_page_is_not_counted),
        BOTH(test_a_page_after_the_queue_is_full),
    };
    return cmocka_run_group_tests(tests, make_tls, free_tls);
}
