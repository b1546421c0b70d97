/* SPDX-License-Identifier: MIT
 *
 * test_outbox_end.c - closing in order, leaving the ring, a peer that is gone.
 */
#include "delivery/outbox.h"

#include "outbox_line.h"

/* ---- Closing in order ---- */

static void test_close_comes_after_all_that_was_said(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, RING);
    choke(line);
    broadcast(line, 5000);
    pump(line);
    post(line, OUTBOX_MESSAGE, 5000);
    broadcast(line, 5000);
    outbox_close(&line->out, WS_CODE_GOING_AWAY, "bye");
    outbox_close(&line->out, WS_CODE_POLICY, "later"); /* the first one's code wins */
    assert_true(outbox_state(&line->out).closing);
    assert_false(outbox_state(&line->out).too_slow);
    assert_true(woken(TEST_TIMEOUT_MS));
    broadcast(line, 5000);
    post(line, OUTBOX_MESSAGE, 100);
    post(line, OUTBOX_PRESENCE, 100);
    assert_false(deliver(line, 100));
    assert_int_not_equal(pump(line), UINT64_MAX);
    check_heard(line, "1 2 3 4 close:1001:bye ");
    assert_int_equal(pump(line), UINT64_MAX);
    broadcast(line, 100);
    check_heard(line, "1 2 3 4 close:1001:bye ");
}

/* Then there is no WebSocket yet that a Close frame could be sent on, and there will be none. */
static void check_close_before_the_handshake(struct line *line)
{
    struct frame *head = frame_new(-1, "HTTP", 4);
    outbox_close(&line->out, WS_CODE_GOING_AWAY, "bye");
    assert_true(outbox_state(&line->out).closing);
    assert_true(woken(TEST_TIMEOUT_MS));
    assert_false(outbox_open(&line->out, head));
    frame_drop(head);
    enter_new_ring(line, RING);
    broadcast(line, 100);
    assert_int_equal(pump(line), UINT64_MAX);
    assert_false(deliver(line, 100));
    check_heard(line, "");
}

static void test_close_before_the_handshake_sends_nothing(void **state)
{
    for (int tls = 0; tls < 2; tls++) {
        void *line;
        open_line(&line, tls);
        check_close_before_the_handshake(line);
        close_line(&line);
    }
    (void)state;
}

static void test_close_is_sent_at_once(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, RING);
    broadcast(line, 100);
    outbox_close(&line->out, WS_CODE_NORMAL, "");
    hear_some(line, SIZE_MAX);
    assert_string_equal(line->heard, "1 close:1000: ");
    assert_int_equal(outbox_state(&line->out).events, 0);
    assert_false(deliver(line, 100));
    assert_int_equal(pump(line), UINT64_MAX);
}

static void test_close_after_history(void **state)
{
    struct line *line = *state;
    make_ring(line, RING);
    broadcast(line, 10000);
    broadcast(line, 10000);
    enter(line, ring_start(&line->ring, 1, UINT64_MAX, RING));
    narrow(line);
    pump(line);
    outbox_close(&line->out, WS_CODE_GOING_AWAY, "bye");
    check_heard(line, "1h 2h close:1001:bye ");
}

/* A Close frame that waits gives way to 1013; one that TLS holds is the one that leaves. */
static void test_too_slow_while_closing(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, RING);
    choke(line);
    outbox_close(&line->out, WS_CODE_GOING_AWAY, "bye");
    fall_behind(line, 0, RING / 2 + 1);
    assert_int_equal(pump(line), UINT64_MAX);
    check_closed_for(line, RING / 2 + 1);
    lose_ring(line);
    check_heard_either(line, "1 " SLOW_LAG, "1 close:1001:bye ");
}

/* ---- Leaving the ring ---- */

/* The room is gone; what the client is told afterwards still leaves, and last of all the Close. */
static void leave(struct line *line)
{
    outbox_detach(&line->out);
    assert_int_equal(outbox_send_from_ring(&line->out), UINT64_MAX);
    lose_ring(line);
    post(line, OUTBOX_MESSAGE, 100);
    outbox_close(&line->out, WS_CODE_NORMAL, "bye");
}

static void test_leaving_with_nothing_to_send(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, RING);
    broadcast(line, 100);
    pump(line);
    leave(line);
    check_heard(line, "1 2 close:1000:bye ");
}

static void test_leaving_drops_what_was_not_begun(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, RING);
    broadcast(line, 100);
    post(line, OUTBOX_MESSAGE, 100);
    post(line, OUTBOX_PRESENCE, 100);
    broadcast(line, 100);
    leave(line);
    check_heard(line, "5 close:1000:bye ");
}

/* The rest of the frame is longer than the queue may be, and does not count. */
static void test_leaving_in_the_middle_of_a_broadcast(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, LARGE_RING);
    narrow(line);
    broadcast(line, 1500);
    broadcast(line, QUEUE + 10000);
    broadcast(line, 4000);
    post(line, OUTBOX_MESSAGE, 100);
    pump(line);
    leave(line);
    check_heard(line, "1 2 5 close:1000:bye ");
}

/* The server stops while its socket is full; then the client breaks a rule and has to leave. */
static void test_leaving_keeps_a_queued_close(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, LARGE_RING);
    narrow(line);
    broadcast(line, 1500);
    broadcast(line, QUEUE + 10000);
    pump(line);
    outbox_close(&line->out, WS_CODE_GOING_AWAY, "bye");
    outbox_detach(&line->out);
    lose_ring(line);
    check_heard(line, "1 2 close:1001:bye ");
}

static void test_leaving_in_the_middle_of_a_queued_frame(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, RING);
    narrow(line);
    assert_true(deliver(line, 20000));
    assert_true(deliver(line, 100));
    broadcast(line, 100);
    pump(line);
    leave(line);
    check_heard(line, "1 4 close:1000:bye ");
}

/* Nothing takes the place of what was dropped; later the queue holds as much as ever. */
static void test_leaving_and_falling_silent(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, RING);
    narrow(line);
    assert_true(deliver(line, 20000));
    assert_true(deliver(line, 100));
    broadcast(line, 100);
    outbox_detach(&line->out);
    check_heard(line, "1 ");
    fill_queue(line);
    post(line, OUTBOX_MESSAGE, 20);
    check_heard(line, "1 " SLOW_QUEUE);
}

static void test_leaving_in_the_middle_of_history(void **state)
{
    struct line *line = *state;
    make_ring(line, LARGE_RING);
    for (int i = 0; i < 4; i++)
        broadcast(line, 30000);
    narrow(line);
    enter(line, ring_start(&line->ring, 1, UINT64_MAX, LARGE_RING));
    pump(line);
    leave(line);
    check_heard(line, "1h 2h 3h 5 close:1000:bye ");
}

static void test_leaving_while_tls_holds_broadcasts(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, RING);
    choke(line);
    broadcast(line, 100);
    broadcast(line, 100);
    post(line, OUTBOX_MESSAGE, 100);
    broadcast(line, 100);
    pump(line);
    leave(line);
    check_heard_either(line, "1 6 close:1000:bye ", "1 2 3 6 close:1000:bye ");
}

static void test_leaving_while_tls_holds_exactly_one_record(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, LARGE_RING);
    choke(line);
    broadcast(line, TLS_RECORD / 2 - 4);
    broadcast(line, TLS_RECORD / 2 - 4);
    broadcast(line, 100);
    pump(line);
    leave(line);
    check_heard_either(line, "1 5 close:1000:bye ", "1 2 3 5 close:1000:bye ");
}

static void test_leaving_no_ring_drops_nothing(void **state)
{
    struct line *line = *state;
    post(line, OUTBOX_MESSAGE, 100);
    post(line, OUTBOX_PRESENCE, 100);
    outbox_detach(&line->out);
    check_heard(line, "1 2 ");
}

/* Fills the socket with what the test takes out again: returns how many bytes. */
static size_t fill_socket(struct line *line)
{
    char bytes[CHOKE] = "";
    size_t filled = 0;
    ssize_t n;
    while ((n = stream_write(&line->stream, bytes, sizeof(bytes))) > 0)
        filled += (size_t)n;
    return filled;
}

static void take_filling(struct line *line, size_t filled)
{
    char bytes[CHOKE];
    while (filled > 0) {
        ssize_t n = stream_read(&line->peer, bytes, filled < CHOKE ? filled : CHOKE);
        assert_true(n > 0);
        filled -= (size_t)n;
    }
}

/* No frame is sent without the head before it, not even the last one. */
static void test_leaving_before_the_head_has_left(void **state)
{
    void *opened;
    open_line(&opened, false);
    struct line *line = opened;
    size_t filled = fill_socket(line);
    struct frame *head = frame_new(-1, "HTTP", 4);
    char read[5] = "";
    assert_true(outbox_open(&line->out, head));
    outbox_flush(&line->out);
    frame_drop(head);
    enter_new_ring(line, RING);
    broadcast(line, 100);
    leave(line);
    take_filling(line, filled);
    outbox_flush(&line->out);
    assert_int_equal(stream_read(&line->peer, read, 4), 4);
    assert_string_equal(read, "HTTP");
    check_heard(line, "2 close:1000:bye ");
    close_line(&opened);
    (void)state;
}

/* ---- A peer that is gone ---- */

static void test_peer_is_gone(void **state)
{
    struct line *line = *state;
    struct frame *frame = make_frame(line, WS_TEXT, 100);
    enter_new_ring(line, RING);
    choke(line);
    broadcast(line, 100);
    outbox_post(&line->out, OUTBOX_MESSAGE, frame);
    outbox_post(&line->out, OUTBOX_PRESENCE, frame);
    pump(line);
    assert_int_equal(outbox_state(&line->out).events, POLLOUT);
    stream_close(&line->peer);
    outbox_flush(&line->out);
    struct outbox_state found = outbox_state(&line->out);
    assert_true(found.broken);
    assert_false(found.too_slow);
    assert_int_equal(found.events, 0);
    assert_int_equal(frame->references, 1); /* nothing waits for what will not come */
    frame_drop(frame);
    assert_true(woken(TEST_TIMEOUT_MS));
    assert_int_equal(pump(line), UINT64_MAX);
    lose_ring(line);
    assert_false(deliver(line, 100));
    post(line, OUTBOX_PRESENCE, 100);
    outbox_close(&line->out, WS_CODE_NORMAL, "");
    outbox_detach(&line->out);
    assert_null(line->out.first);
    assert_int_equal(line->out.queued, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(test_close_comes_after_all_that_was_said),
        cmocka_unit_test(test_close_before_the_handshake_sends_nothing),
        BOTH(test_close_is_sent_at_once),
        BOTH(test_close_after_history),
        BOTH(test_too_slow_while_closing),
        BOTH(test_leaving_with_nothing_to_send),
        BOTH(test_leaving_drops_what_was_not_begun),
        BOTH(test_leaving_in_the_middle_of_a_broadcast),
        BOTH(test_leaving_keeps_a_queued_close),
        BOTH(test_leaving_in_the_middle_of_a_queued_frame),
        BOTH(test_leaving_and_falling_silent),
        BOTH(test_leaving_in_the_middle_of_history),
        BOTH(test_leaving_while_tls_holds_broadcasts),
        BOTH(test_leaving_while_tls_holds_exactly_one_record),
        BOTH(test_leaving_no_ring_drops_nothing),
        cmocka_unit_test(test_leaving_before_the_head_has_left),
        BOTH(test_peer_is_gone),
    };
    return cmocka_run_group_tests(tests, make_tls, free_tls);
}
