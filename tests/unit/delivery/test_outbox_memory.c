/* SPDX-License-Identifier: MIT
 *
 * test_outbox_memory.c - memory that runs out while something is queued, taken out of the ring, or
 * closed; and frames themselves.
 */
#include "delivery/outbox.h"

#include "no_memory.h"
#include "outbox_line.h"

/* The transcript of a client that is closed for want of memory. */
#define NO_ROOM "close:1013:out of memory "

static struct outbox_state state_of(struct line *line)
{
    return outbox_state(&line->out);
}

static void check_broken(struct line *line)
{
    assert_true(state_of(line).broken);
    assert_null(line->out.first);
    assert_null(line->out.ring);
    assert_int_equal(line->out.offered, 0);
    assert_int_equal(state_of(line).events, 0);
    assert_true(woken(10000));
}

static void test_a_message_that_finds_no_memory_closes(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, RING);
    struct frame *frame = make_frame(line, WS_TEXT, 100);
    no_memory_after(0);
    bool posted = outbox_post(&line->out, OUTBOX_MESSAGE, frame);
    assert_true(no_memory_end());
    assert_true(posted); /* it is closing: there is nothing for the caller to do */
    assert_true(state_of(line).closing);
    assert_false(state_of(line).too_slow);
    assert_false(state_of(line).broken);
    assert_true(woken(10000));
    frame_drop(frame);
    check_heard(line, NO_ROOM);
}

static void test_a_list_that_finds_no_memory_is_left_out(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, RING);
    struct frame *frame = make_frame(line, WS_TEXT, 100);
    no_memory_after(0);
    bool posted = outbox_post(&line->out, OUTBOX_PRESENCE, frame);
    assert_true(no_memory_end());
    assert_false(posted);
    assert_false(line->out.listed);
    assert_false(state_of(line).closing);
    assert_true(outbox_post(&line->out, OUTBOX_PRESENCE, frame));
    assert_true(line->out.listed);
    frame_drop(frame);
    check_heard(line, "1 ");
}

/* A message of another member that must be queued and finds no memory is refused; nobody is closed
 * for it. */
static void test_a_delivery_that_finds_no_memory_is_refused(void **state)
{
    struct line *line = *state;
    struct frame *frame = make_frame(line, WS_TEXT, 100), *ack = make_frame(line, WS_TEXT, 50);
    post(line, OUTBOX_MESSAGE, 50);
    outbox_lock(&line->out, &line->out);
    no_memory_after(0);
    bool accepted = outbox_send_unlock(&line->out, frame, &line->out, ack);
    assert_true(no_memory_end());
    assert_false(accepted);
    assert_false(state_of(line).closing);
    assert_true(deliver(line, 100));
    frame_drop(frame);
    frame_drop(ack);
    check_heard(line, "3 4 ");
}

static void test_a_delivery_before_which_nothing_waits_needs_no_memory(void **state)
{
    struct line *line = *state;
    struct frame *frame = make_frame(line, WS_TEXT, 100);
    outbox_lock(&line->out, NULL);
    no_memory_after(0);
    bool accepted = outbox_send_unlock(&line->out, frame, NULL, NULL);
    assert_false(no_memory_end());
    assert_true(accepted);
    assert_null(line->out.first);
    frame_drop(frame);
    check_heard(line, "1 ");
}

/* A message that was begun, and for whose rest there is no memory: nothing may follow it. */
static void test_a_delivery_that_cannot_keep_its_rest_breaks(void **state)
{
    struct line *line = *state;
    narrow(line);
    struct frame *frame = make_frame(line, WS_TEXT, 60000);
    woken(0);
    outbox_lock(&line->out, NULL);
    no_memory_after(0);
    bool accepted = outbox_send_unlock(&line->out, frame, NULL, NULL);
    assert_true(no_memory_end());
    assert_true(accepted); /* as if it had been lost on its way */
    check_broken(line);
    frame_drop(frame);
}

/* Each allocation of a Close frame fails once: the stream counts as broken, and its thread wakes. */
static void test_a_close_that_finds_no_memory_breaks(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, RING);
    post(line, OUTBOX_MESSAGE, 100);
    no_memory_after(line->tls ? 0 : 1); /* the frame; its place in the queue */
    outbox_close(&line->out, WS_CODE_NORMAL, "");
    assert_true(no_memory_end());
    check_broken(line);
    assert_true(state_of(line).closing);
    assert_int_equal(pump(line), UINT64_MAX);
    assert_string_equal(line->heard, "");
}

/* The same where the client is too slow, and where memory is out for both. */
static void test_closing_the_slow_without_memory_breaks(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, RING);
    choke(line);
    fall_behind(line, 0, RING / 2 + 1);
    woken(0);
    no_memory_after(line->tls ? 1 : 0); /* over TLS the first is for what TLS holds */
    pump(line);
    assert_true(no_memory_end());
    check_broken(line);
    assert_true(state_of(line).too_slow);
    assert_int_equal(line->out.lag_limit, RING / 2);
}

static void test_history_that_finds_no_memory_breaks(void **state)
{
    for (int fails = 0; fails < 2; fails++) {
        struct line *line = *state;
        make_ring(line, RING);
        broadcast(line, 1000);
        enter(line, ring_start(&line->ring, 1, UINT64_MAX, RING));
        woken(0);
        no_memory_after(fails); /* its place in the queue; the frame */
        outbox_flush(&line->out);
        assert_true(no_memory_end());
        check_broken(line);
        assert_int_equal(pump(line), UINT64_MAX);
        assert_string_equal(line->heard, "");
        line->stream.broken = false;
        ring_fini(&line->ring);
        line->has_ring = false;
    }
}

/* What was begun of the ring cannot be copied: half a frame is no end, so the line is cut. */
static void test_leaving_without_memory_breaks(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, RING);
    narrow(line);
    broadcast(line, 30000);
    pump(line);
    assert_true(line->out.blocked);
    woken(0);
    no_memory_after(line->tls ? 0 : 1); /* the rest of the frame; its place in the queue */
    outbox_detach(&line->out);
    assert_true(no_memory_end());
    check_broken(line);
}

static void test_an_owner_is_woken_to_see_what_has_changed(void **state)
{
    struct line *line = *state;
    woken(0);
    outbox_wake(&line->out);
    assert_true(woken(10000));
    assert_false(state_of(line).cancelled);
    outbox_cancel(&line->out);
    assert_true(woken(10000));
    assert_true(state_of(line).cancelled);
    assert_false(state_of(line).closing);
}

static void test_what_is_unsent_is_told(void **state)
{
    struct line *line = *state;
    assert_int_equal(state_of(line).unsent, 0);
    post(line, OUTBOX_MESSAGE, 100);
    assert_int_equal(state_of(line).unsent, 102);
    narrow(line);
    post(line, OUTBOX_MESSAGE, 40000);
    outbox_flush(&line->out);
    size_t before = state_of(line).unsent;
    assert_in_range(before, 1, 40004);
    hear_some(line, SIZE_MAX);
    outbox_flush(&line->out);
    assert_true(state_of(line).unsent < before || line->tls);
    drain(line);
    assert_int_equal(state_of(line).unsent, 0);
}

static void test_the_queue_may_become_longer(void **state)
{
    struct line *line = *state;
    post(line, OUTBOX_MESSAGE, QUEUE / 2);
    outbox_set_queue_max(&line->out, 2 * QUEUE);
    post(line, OUTBOX_MESSAGE, QUEUE);
    assert_false(state_of(line).closing);
    outbox_set_queue_max(&line->out, QUEUE);
    post(line, OUTBOX_MESSAGE, 20);
    assert_true(state_of(line).too_slow);
}

static void test_frames_without_memory(void **state)
{
    (void)state;
    no_memory_after(0);
    struct frame *text = frame_new(WS_TEXT, "x", 1);
    assert_true(no_memory_end());
    assert_null(text);
    struct frame *joined = frame_join("ab", 2, "cd", 2), *body = frame_join(NULL, 0, "cd", 2);
    struct frame *head = frame_join("ab", 2, NULL, 0);
    assert_int_equal(joined->len, 4);
    assert_memory_equal(joined->bytes, "abcd", 4);
    assert_int_equal(body->len, 2);
    assert_memory_equal(body->bytes, "cd", 2);
    assert_memory_equal(head->bytes, "ab", 2);
    frame_drop(joined);
    frame_drop(body);
    frame_drop(head);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(test_a_message_that_finds_no_memory_closes),
        BOTH(test_a_list_that_finds_no_memory_is_left_out),
        BOTH(test_a_delivery_that_finds_no_memory_is_refused),
        PLAIN(test_a_delivery_before_which_nothing_waits_needs_no_memory),
        BOTH(test_a_delivery_that_cannot_keep_its_rest_breaks),
        BOTH(test_a_close_that_finds_no_memory_breaks),
        BOTH(test_closing_the_slow_without_memory_breaks),
        BOTH(test_history_that_finds_no_memory_breaks),
        BOTH(test_leaving_without_memory_breaks),
        BOTH(test_an_owner_is_woken_to_see_what_has_changed),
        BOTH(test_what_is_unsent_is_told),
        BOTH(test_the_queue_may_become_longer),
        cmocka_unit_test(test_frames_without_memory),
    };
    return cmocka_run_group_tests(tests, make_tls, free_tls);
}
