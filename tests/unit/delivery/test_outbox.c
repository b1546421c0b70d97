/* SPDX-License-Identifier: MIT
 *
 * test_outbox.c - the queue: its order among broadcasts, what it replaces, history.
 */
#include "delivery/outbox.h"

#include "outbox_line.h"

/* ---- Frames ---- */

static void test_frame_of_a_payload_and_of_bytes(void **state)
{
    (void)state;
    struct frame *text = frame_new(WS_TEXT, "hello", 5), *bytes = frame_new(-1, "hello", 5);
    struct frame *empty = frame_new(WS_PING, "", 0);
    assert_int_equal(text->len, 7);
    assert_memory_equal(text->bytes, "\x81\x05hello", 7);
    assert_int_equal(bytes->len, 5);
    assert_memory_equal(bytes->bytes, "hello", 5);
    assert_int_equal(empty->len, 2);
    assert_memory_equal(empty->bytes, "\x89\x00", 2);
    frame_drop(text);
    frame_drop(bytes);
    frame_drop(empty);
    frame_drop(NULL);
}

static void test_queue_borrows_and_gives_back(void **state)
{
    struct line *line = *state;
    struct frame *frame = make_frame(line, WS_TEXT, 100);
    outbox_post(&line->out, OUTBOX_MESSAGE, frame);
    outbox_post(&line->out, OUTBOX_MESSAGE, frame);
    outbox_post(&line->out, OUTBOX_PRESENCE, frame);
    assert_int_equal(frame->references, 4);
    post(line, OUTBOX_PRESENCE, 100);
    assert_int_equal(frame->references, 3);
    check_heard(line, "1 1 2 ");
    assert_int_equal(frame->references, 1);
    frame_drop(frame);
}

static void test_what_waits_is_freed_with_the_outbox(void **state)
{
    struct line *line = *state;
    bool tls = line->tls;
    choke(line);
    struct frame *frame = make_frame(line, WS_TEXT, 100);
    outbox_post(&line->out, OUTBOX_MESSAGE, frame);
    outbox_flush(&line->out); /* on its way */
    outbox_post(&line->out, OUTBOX_MESSAGE, frame);
    outbox_post(&line->out, OUTBOX_PONG, frame);
    assert_int_equal(frame->references, 4);
    close_line(state);
    assert_int_equal(frame->references, 1);
    frame_drop(frame);
    tls ? open_tls(state) : open_plain(state);
}

/* ---- The order between ring and queue ---- */

static void test_queued_frames_leave_at_their_place(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, RING);
    broadcast(line, 100);
    post(line, OUTBOX_MESSAGE, 100);
    broadcast(line, 100);
    broadcast(line, 100);
    post(line, OUTBOX_MESSAGE, 100);
    post(line, OUTBOX_PRESENCE, 100);
    post(line, OUTBOX_PONG, 100);
    broadcast(line, 100);
    check_heard(line, "1 2 3 4 5 6 7 8 ");
}

static void test_order_holds_while_the_socket_is_full(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, RING);
    choke(line);
    broadcast(line, 100);
    pump(line); /* refused: what follows must not be put before it */
    assert_true(deliver(line, 100));
    broadcast(line, 100);
    pump(line);
    assert_true(deliver(line, 100));
    assert_true(deliver(line, 100));
    broadcast(line, 100);
    pump(line);
    check_heard(line, "1 2 3 4 5 6 7 ");
}

static void test_queued_frame_refused_then_broadcasts(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, RING);
    choke(line);
    assert_true(deliver(line, 100));
    broadcast(line, 100);
    pump(line);
    assert_true(deliver(line, 100));
    check_heard(line, "1 2 3 4 ");
}

static void test_delivery_is_sent_at_once(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, RING);
    broadcast(line, 100);
    assert_true(deliver(line, 100));
    hear_some(line, SIZE_MAX);
    assert_string_equal(line->heard, "1 2 ");
}

/* One TLS record carries them, and one read takes no more than a record. */
static void test_small_frames_that_are_due_together_are_one_write(void **state)
{
    struct line *line = *state;
    unsigned char bytes[4096];
    enter_new_ring(line, RING);
    post(line, OUTBOX_MESSAGE, 100);
    post(line, OUTBOX_PRESENCE, 200);
    post(line, OUTBOX_CHANGE, 300); /* their heads have 2, 4 and 4 bytes */
    broadcast(line, 100);
    post(line, OUTBOX_MESSAGE, 100); /* is due later */
    outbox_flush(&line->out);
    assert_int_equal(stream_read(&line->peer, bytes, sizeof(bytes)), line->tls ? 610 : 814);
}

static void test_large_frames_and_pages_are_written_by_themselves(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, RING);
    post(line, OUTBOX_MESSAGE, 100);
    post(line, OUTBOX_MESSAGE, 5000);
    post(line, OUTBOX_MESSAGE, 100);
    post(line, OUTBOX_PAGE, 100);
    post(line, OUTBOX_PING, 100);
    post(line, OUTBOX_MESSAGE, 100);
    post(line, OUTBOX_MESSAGE, 100);
    check_heard(line, "1 2 3 4 5 6 7 ");
    assert_false(outbox_state(&line->out).page);
}

/* ---- Of some only the newest counts ---- */

static void check_newest_counts(struct line *line, enum outbox_kind kind)
{
    enter_new_ring(line, RING);
    post(line, kind, 100);
    broadcast(line, 100);
    post(line, kind, 90);
    post(line, OUTBOX_MESSAGE, 100);
    broadcast(line, 100);
    post(line, kind, 110);
    check_heard(line, "6 2 4 5 ");
    post(line, kind, 100); /* nothing waits any more that it could replace */
    check_heard(line, "6 2 4 5 7 ");
}

/* A newer list comes behind all that was said before it. */
static void test_presence_is_replaced_while_it_waits(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, RING);
    post(line, OUTBOX_PRESENCE, 100);
    broadcast(line, 100);
    post(line, OUTBOX_PRESENCE, 90);
    post(line, OUTBOX_MESSAGE, 100);
    broadcast(line, 100);
    post(line, OUTBOX_PRESENCE, 80);
    post(line, OUTBOX_PRESENCE, 110);
    check_heard(line, "1 2 4 5 7 ");
    broadcast(line, 100);
    post(line, OUTBOX_PRESENCE, 100);
    check_heard(line, "1 2 4 5 7 8 9 ");
}

/* Two wait, however many lists come, and the first of them keeps its place: whoever is always a
 * little behind gets lists all the same. */
static void test_presence_is_not_put_off_without_end(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, RING);
    for (int i = 0; i < 10; i++) {
        broadcast(line, 100);
        post(line, OUTBOX_PRESENCE, 100);
    }
    check_heard(line, "2 1 3 5 7 9 11 13 15 17 19 20 ");
}

/* Nothing of the room was sent yet; only the first list is for somebody who has just come in. */
static void test_a_later_list_does_not_come_right_after_history(void **state)
{
    struct line *line = *state;
    make_ring(line, RING);
    broadcast(line, 100);
    enter(line, ring_start(&line->ring, 1, UINT64_MAX, RING));
    broadcast(line, 100);
    post(line, OUTBOX_PRESENCE, 100);
    broadcast(line, 100);
    post(line, OUTBOX_PRESENCE, 100);
    check_heard(line, "1h 3 2 4 5 ");
}

static void test_pong_is_replaced_while_it_waits(void **state)
{
    check_newest_counts(*state, OUTBOX_PONG);
}

static void test_ping_is_replaced_while_it_waits(void **state)
{
    check_newest_counts(*state, OUTBOX_PING);
}

static void test_each_kind_replaces_its_own(void **state)
{
    struct line *line = *state;
    post(line, OUTBOX_MESSAGE, 100);
    post(line, OUTBOX_PRESENCE, 100);
    post(line, OUTBOX_PONG, 100);
    post(line, OUTBOX_MESSAGE, 100);
    post(line, OUTBOX_PONG, 90);
    post(line, OUTBOX_PRESENCE, 90);
    post(line, OUTBOX_PING, 100);
    check_heard(line, "1 2 5 4 6 7 ");
}

static void test_what_was_begun_is_not_replaced(void **state)
{
    struct line *line = *state;
    narrow(line);
    post(line, OUTBOX_PRESENCE, 40000);
    outbox_flush(&line->out);
    hear_some(line, 1000);
    post(line, OUTBOX_PRESENCE, 40000);
    post(line, OUTBOX_PRESENCE, 30000);
    check_heard(line, "1 3 ");
}

/* A delivery before which nothing waits, and that the socket takes in part, goes on there. */
static void test_a_delivery_is_cut_in_its_middle(void **state)
{
    struct line *line = *state;
    narrow(line);
    assert_true(deliver(line, 40000));
    assert_int_equal(outbox_state(&line->out).events, POLLOUT);
    check_heard(line, "1 ");
}

/* The same if the socket takes nothing of it: TLS holds it, so nothing may overtake it. */
static void test_a_delivery_is_refused_as_a_whole(void **state)
{
    struct line *line = *state;
    choke(line);
    assert_true(deliver(line, 100));
    assert_int_equal(outbox_state(&line->out).events, POLLOUT);
    post(line, OUTBOX_PONG, 100);
    assert_true(deliver(line, 100));
    check_heard(line, "1 2 3 4 ");
}

static void test_what_tls_holds_is_not_replaced(void **state)
{
    struct line *line = *state;
    choke(line);
    post(line, OUTBOX_PONG, 100);
    outbox_flush(&line->out);
    assert_int_equal(outbox_state(&line->out).events, POLLOUT);
    post(line, OUTBOX_PONG, 100);
    post(line, OUTBOX_PONG, 90);
    check_heard_either(line, "1 4 ", "1 2 4 ");
}

/* What TLS holds is of the ring: the first that waits in the queue may be replaced. */
static void test_first_of_the_queue_is_replaced_behind_the_ring(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, RING);
    choke(line);
    broadcast(line, 100);
    pump(line);
    post(line, OUTBOX_PONG, 100);
    post(line, OUTBOX_PONG, 90);
    check_heard(line, "1 2 4 ");
}

/* ---- History ---- */

/* With the mark, some of these need a longer head than without it. */
static void test_history_is_marked_and_live_is_not(void **state)
{
    static const size_t lens[] = {20,  109, 110, 111,   112,   125,   126,
                                  127, 128, 129, 65519, 65520, 65521, 65536};
    struct line *line = *state;
    make_ring(line, LARGE_RING);
    for (size_t i = 0; i < sizeof(lens) / sizeof *lens; i++)
        broadcast(line, lens[i]);
    post(line, OUTBOX_MESSAGE, 100); /* the welcome */
    enter(line, ring_start(&line->ring, 1, UINT64_MAX, LARGE_RING));
    broadcast(line, 100);
    post(line, OUTBOX_MESSAGE, 100);
    broadcast(line, 100);
    check_heard(line, "15 1h 2h 3h 4h 5h 6h 7h 8h 9h 10h 11h 12h 13h 14h 16 17 18 ");
}

/* The first list of who is online ends history, even if somebody has spoken since. */
static void test_presence_comes_between_history_and_live(void **state)
{
    struct line *line = *state;
    make_ring(line, RING);
    broadcast(line, 100);
    enter(line, ring_start(&line->ring, 1, UINT64_MAX, RING));
    broadcast(line, 100);
    post(line, OUTBOX_PRESENCE, 100);
    post(line, OUTBOX_PONG, 100);
    broadcast(line, 100);
    check_heard(line, "1h 3 2 4 5 ");
    broadcast(line, 100);
    post(line, OUTBOX_PRESENCE, 100); /* a later one waits for what was said before it */
    check_heard(line, "1h 3 2 4 5 6 7 ");
}

/* It must not come between what TLS holds and the same bytes offered again. */
static void test_presence_waits_for_what_tls_holds(void **state)
{
    struct line *line = *state;
    make_ring(line, RING);
    broadcast(line, 100);
    enter(line, ring_start(&line->ring, 1, UINT64_MAX, RING));
    pump(line);
    choke(line);
    broadcast(line, 100);
    pump(line);
    post(line, OUTBOX_PRESENCE, 100);
    broadcast(line, 100);
    check_heard_either(line, "1h 2 4 3 5 ", "1h 2 3 4 5 ");
}

static void test_history_through_a_narrow_socket(void **state)
{
    struct line *line = *state;
    make_ring(line, LARGE_RING);
    narrow(line);
    for (int i = 0; i < 6; i++)
        broadcast(line, 40000);
    enter(line, ring_start(&line->ring, 3, UINT64_MAX, LARGE_RING));
    assert_int_not_equal(pump(line), UINT64_MAX);
    broadcast(line, 20000);
    assert_true(deliver(line, 20000));
    broadcast(line, 20000);
    assert_int_not_equal(pump(line), UINT64_MAX);
    check_heard(line, "3h 4h 5h 6h 7 8 9 ");
}

/* History comes from the ring piece by piece: the queue is as long as before. */
static void test_history_is_not_counted(void **state)
{
    struct line *line = *state;
    make_ring(line, LARGE_RING);
    narrow(line);
    for (int i = 0; i < 10; i++)
        broadcast(line, 10000);
    enter(line, ring_start(&line->ring, 1, UINT64_MAX, LARGE_RING));
    pump(line);
    post(line, OUTBOX_PRESENCE, 100);
    assert_true(deliver(line, 15000));
    assert_true(deliver(line, 15000));
    check_heard(line, "1h 2h 3h 4h 5h 6h 7h 8h 9h 10h 11 12 13 ");
}

/* History is copied in pieces of one write, 64 KiB, and room for the marks is counted. */
static void test_history_is_copied_in_pieces(void **state)
{
    struct line *line = *state;
    size_t marked = 4 + 1000 - 1 + strlen(HISTORY_MARK), room = 4 + 1000 + WS_HEAD_MAX;
    size_t pieces = (64 * 1024 - 1) / (room + strlen(HISTORY_MARK)) + 1;
    make_ring(line, LARGE_RING);
    for (int i = 0; i < 100; i++)
        broadcast(line, 1000);
    choke(line);
    enter(line, ring_start(&line->ring, 1, UINT64_MAX, LARGE_RING));
    outbox_flush(&line->out);
    assert_int_equal(outbox_state(&line->out).unsent, pieces * marked);
    drain(line);
}

static void test_no_history_where_none_was_asked_for(void **state)
{
    struct line *line = *state;
    make_ring(line, RING);
    broadcast(line, 100);
    enter(line, ring_start(&line->ring, 1, 0, RING));
    broadcast(line, 100);
    check_heard(line, "2 ");
}

/* Presence waits behind a history frame that is on its way, and is replaced there. */
static void test_presence_is_replaced_behind_history(void **state)
{
    struct line *line = *state;
    make_ring(line, RING);
    broadcast(line, 10000);
    broadcast(line, 10000);
    narrow(line);
    enter(line, ring_start(&line->ring, 1, UINT64_MAX, RING));
    post(line, OUTBOX_PRESENCE, 100);
    pump(line);
    post(line, OUTBOX_PRESENCE, 90);
    check_heard(line, "1h 2h 4 ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frame_of_a_payload_and_of_bytes),
        BOTH(test_queue_borrows_and_gives_back),
        BOTH(test_what_waits_is_freed_with_the_outbox),
        BOTH(test_queued_frames_leave_at_their_place),
        BOTH(test_order_holds_while_the_socket_is_full),
        BOTH(test_queued_frame_refused_then_broadcasts),
        BOTH(test_delivery_is_sent_at_once),
        BOTH(test_small_frames_that_are_due_together_are_one_write),
        BOTH(test_large_frames_and_pages_are_written_by_themselves),
        BOTH(test_presence_is_replaced_while_it_waits),
        BOTH(test_presence_is_not_put_off_without_end),
        BOTH(test_a_later_list_does_not_come_right_after_history),
        BOTH(test_pong_is_replaced_while_it_waits),
        BOTH(test_ping_is_replaced_while_it_waits),
        BOTH(test_each_kind_replaces_its_own),
        BOTH(test_what_was_begun_is_not_replaced),
        BOTH(test_a_delivery_is_cut_in_its_middle),
        BOTH(test_a_delivery_is_refused_as_a_whole),
        BOTH(test_what_tls_holds_is_not_replaced),
        BOTH(test_first_of_the_queue_is_replaced_behind_the_ring),
        BOTH(test_history_is_marked_and_live_is_not),
        BOTH(test_presence_comes_between_history_and_live),
        BOTH(test_presence_waits_for_what_tls_holds),
        BOTH(test_history_through_a_narrow_socket),
        BOTH(test_history_is_not_counted),
        BOTH(test_history_is_copied_in_pieces),
        BOTH(test_no_history_where_none_was_asked_for),
        BOTH(test_presence_is_replaced_behind_history),
    };
    return cmocka_run_group_tests(tests, make_tls, free_tls);
}
