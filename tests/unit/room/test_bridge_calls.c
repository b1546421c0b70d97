/* SPDX-License-Identifier: MIT
 *
 * test_bridge_calls.c - the calls that members of a shared room make, what they are told of them, and
 * the bounds of what waits.
 */
#include "room/bridge.h"

#include "no_memory.h"
#include "shared_room.h"

#define ANA "{\"Name\":\"Ana\"}"
#define BOB "{\"Name\":\"Bob\"}"

/* Sends a PrivateMessage with that Ref (JSON). */
static enum room_fate tell(struct room_member *person, const char *target, const char *ref)
{
    char json[4096];
    struct json_object message;
    struct json_error error;
    size_t grown;
    int len =
        snprintf(json, sizeof(json),
                 "{\"msgType\":\"PrivateMessage\",\"TgtUser\":\"%s\",\"text\":\"x\",\"Ref\":%s}",
                 target, ref);
    assert_in_range(len, 1, sizeof(json) - 1);
    assert_int_equal(json_parse_message(&message, json, (size_t)len, &error), 0);
    struct frame *ack = frame_new(WS_TEXT, "delivered", 9);
    const struct room_private private = {.target = target, .message = &message, .ack = ack};
    enum room_fate fate = room_private(&person->member, &private, &grown);
    frame_drop(ack);
    return fate;
}

static void apply_answer_to(uint64_t seq, enum log_outcome outcome)
{
    struct log_entry entry = shared_entry(LOG_ANSWER);
    memcpy(entry.other, shared_link()->seat.seat, sizeof(entry.other));
    entry.other_tag = seq;
    entry.code = outcome;
    shared_apply(&entry);
}

static void test_a_sender_is_told_once_what_became_of_it(void **state)
{
    (void)state;
    struct room_member *ana = shared_join("Ana", "ana", ANA);
    assert_int_equal(tell(ana, "Bob", "1"), ROOM_PENDING);
    const struct engine_call *call = shared_last_call();
    assert_int_equal(call->op, ENGINE_TELL);
    assert_true(shared_call_has(call, "\r\nbob\r\n"));
    assert_true(shared_call_has(call, "\"SrcUser\":\"Ana\""));
    assert_false(shared_call_has(call, "TgtUser"));
    apply_answer_to(call->seq + 1, LOG_DELIVERED);
    assert_string_equal(room_member_hear(ana), "");
    apply_answer_to(call->seq, LOG_DELIVERED);
    assert_string_equal(room_member_hear(ana), "delivered\n");
    apply_answer_to(call->seq, LOG_DELIVERED);
    assert_string_equal(room_member_hear(ana), "");
    room_member_free(ana);
}

static void test_an_error_echoes_ref_and_receiver(void **state)
{
    (void)state;
    struct room_member *ana = shared_join("Ana", "ana", ANA);
    assert_int_equal(tell(ana, "Bob", "[1,\"x\"]"), ROOM_PENDING);
    apply_answer_to(shared_last_call()->seq, LOG_RECEIVER_BUSY);
    const char *heard = room_member_hear(ana);
    check_text(heard, "\"Code\":\"receiver_busy\"");
    check_text(heard, "\"Ref\":[1,\"x\"]");
    check_text(heard, "\"TgtUser\":\"Bob\"");
    assert_int_equal(tell(ana, "Cem", "2"), ROOM_PENDING);
    struct log_entry entry = shared_own_entry(LOG_REFUSAL, shared_last_call()->seq);
    entry.code = LOG_UNKNOWN_USER;
    shared_apply(&entry);
    heard = room_member_hear(ana);
    check_text(heard, "\"Code\":\"unknown_user\"");
    check_text(heard, "\"Ref\":2");
    room_member_free(ana);
}

/* A refusal of another server's call is nothing to this one, whatever its number. */
static void test_outcomes_of_others_are_theirs(void **state)
{
    (void)state;
    struct room_member *ana = shared_join("Ana", "ana", ANA);
    assert_int_equal(tell(ana, "Bob", "1"), ROOM_PENDING);
    uint64_t seq = shared_last_call()->seq;
    struct log_entry entry = shared_entry(LOG_REFUSAL);
    entry.seq = seq;
    entry.code = LOG_UNKNOWN_USER;
    shared_apply(&entry);
    entry = shared_entry(LOG_ANSWER);
    strcpy(entry.other, SHARED_THIRD);
    entry.other_tag = seq;
    entry.code = LOG_DELIVERED;
    shared_apply(&entry);
    assert_string_equal(room_member_hear(ana), "");
    assert_non_null(shared_link()->first);
    room_member_free(ana);
    apply_answer_to(seq, LOG_DELIVERED); /* nobody is there to be told */
    assert_null(shared_link()->first);
}

/* The receiver's server has died. */
static void test_a_seat_that_is_over_answers_nothing(void **state)
{
    (void)state;
    struct room_member *ana = shared_join("Ana", "ana", ANA);
    assert_int_equal(tell(ana, "Bob", "1"), ROOM_PENDING);
    uint64_t first = shared_last_call()->seq;
    assert_int_equal(tell(ana, "Cem", "2"), ROOM_PENDING);
    struct log_entry entry = shared_own_entry(LOG_PRIVATE, first);
    entry.name = text_of("bob");
    entry.body = text_of("{}");
    strcpy(entry.other, SHARED_OTHER);
    shared_apply(&entry);
    entry = shared_entry(LOG_SEAT_OVER);
    strcpy(entry.other, SHARED_OTHER);
    shared_apply(&entry);
    const char *heard = room_member_hear(ana);
    check_text(heard, "\"Code\":\"unknown_user\"");
    check_text(heard, "\"Ref\":1");
    assert_int_equal(count_text(heard, "\n"), 1);
    assert_int_equal(shared_link()->tells, 1);
    apply_answer_to(shared_last_call()->seq, LOG_DELIVERED);
    room_member_free(ana);
}

static void test_outcomes_are_awaited_up_to_a_bound(void **state)
{
    (void)state;
    struct room_member *ana = shared_join("Ana", "ana", ANA);
    int sent = 0;
    for (; tell(ana, "Bob", "\"a text that is to be echoed\"") == ROOM_PENDING; sent++) {
        shared_drop_calls();
        assert_true(sent <= BRIDGE_TELLS_MAX);
    }
    assert_true(bridge.pending_bytes >= bridge.queue_max);
    assert_int_equal(tell(ana, "Bob", "1"), ROOM_BUSY);
    assert_null(bridge.queue.first); /* and no number was used up */
    bridge.queue_max = SIZE_MAX;
    for (; tell(ana, "Bob", "1") == ROOM_PENDING; sent++)
        shared_drop_calls();
    assert_int_equal(sent, BRIDGE_TELLS_MAX);
    uint64_t seq = shared_link()->seat.seq;
    assert_int_equal(tell(ana, "Bob", "1"), ROOM_BUSY);
    assert_int_equal(shared_link()->seat.seq, seq);
    bridge_lock();
    bridge_pending_clear(shared_link(), "test");
    bridge_unlock();
    room_member_free(ana);
}

static void test_members_wait_while_too_much_waits_for_the_engine(void **state)
{
    (void)state;
    size_t grown;
    struct room_member *ana = shared_join("Ana", "ana", ANA);
    assert_false(bridge_must_wait(&ana->member));
    while (bridge.queue.bytes < bridge.queue_max) {
        assert_false(bridge_must_wait(&ana->member));
        room_member_append(ana, "\"some words\"", &grown);
    }
    assert_true(bridge_must_wait(&ana->member));
    bridge_wake_waiting();
    assert_true(atomic_load(&ana->member.waits));
    while (bridge.queue.bytes > bridge.queue_max / 2)
        call_queue_pop(&bridge.queue);
    bridge_wake_waiting();
    assert_false(atomic_load(&ana->member.waits));
    assert_false(bridge_must_wait(&ana->member));
    assert_true(bridge_silence_ms() < 60000);
    room_member_free(ana);
}

/* ---- A seat that is over ---- */

static void test_a_lost_room_takes_nothing_more(void **state)
{
    (void)state;
    size_t grown;
    struct room_member *ana = shared_join("Ana", "ana", ANA);
    assert_int_equal(tell(ana, "Bob", "1"), ROOM_PENDING);
    bridge_lose(shared_link(), false, "test");
    assert_null(shared_link()->first);
    assert_true(bridge.has_lost);
    shared_drop_calls();
    assert_true(room_member_append(ana, "\"x\"", &grown));
    assert_int_equal(tell(ana, "Bob", "2"), ROOM_PENDING);
    assert_null(bridge.queue.first);
    assert_false(shared_link()->renews);
    bridge_lose(shared_link(), true, "test");
    assert_true(shared_link()->renews);
    room_member_free(ana);
    assert_null(bridge.queue.first);
}

static void test_those_who_join_are_told_that_it_is_lost(void **state)
{
    (void)state;
    struct shared_joiner joiner;
    shared_join_begin(&joiner, "Ana", NULL);
    bridge_lose(shared_link(), false, "test");
    struct room_member *ana = shared_join_end(&joiner);
    assert_int_equal(joiner.code, ERROR_UNAVAILABLE);
    assert_string_equal(joiner.why, BRIDGE_AWAY_TEXT);
    room_member_free(ana);
}

/* Too much waits already, or memory is out: nothing is sent. */
static void test_a_join_that_cannot_be_sent(void **state)
{
    (void)state;
    const char *why = NULL;
    struct room_member *ana = room_member_new();
    const struct join_request request = room_test_request("", "Ana");
    shared_link();
    assert_int_equal(room_ask(&ana->member, &ana->out, &request, &why), ERROR_NONE);
    size_t most = bridge.queue_max;
    bridge.queue_max = 0;
    assert_int_equal(room_settle_in(&ana->member, &request, &why), ERROR_UNAVAILABLE);
    assert_string_equal(why, BRIDGE_AWAY_TEXT);
    bridge.queue_max = most;
    for (int fails = 0; fails < 4; fails++) { /* the card, the pending outcome, the call */
        no_memory_after(fails);
        assert_int_equal(room_settle_in(&ana->member, &request, &why), ERROR_ROOM_FULL);
        assert_true(no_memory_end());
        assert_string_equal(why, "the server is out of memory");
    }
    assert_null(bridge.queue.first);
    assert_null(shared_link()->first);
    room_member_free(ana);
}

/* The server stops while somebody joins. If the join is in the log all the same, it leaves again. */
static void test_a_stop_ends_the_wait(void **state)
{
    (void)state;
    struct shared_joiner joiner;
    uint64_t seq = shared_join_begin(&joiner, "Ana", NULL);
    bridge_lock();
    bridge.stopping = true;
    bridge_pending_wake(shared_link());
    bridge_unlock();
    struct room_member *ana = shared_join_end(&joiner);
    assert_int_equal(joiner.code, ERROR_UNAVAILABLE);
    assert_null(shared_link()->first);
    struct log_entry entry = shared_own_entry(LOG_JOIN, seq);
    shared_apply_join(&entry, "ana", ANA);
    assert_int_equal(shared_last_call()->op, ENGINE_LEAVE);
    room_member_free(ana);
}

/* A leave that cannot be told to the others ends the seat: then they learn of it. */
static void test_without_memory_for_a_leave_the_seat_is_over(void **state)
{
    (void)state;
    struct room_member *ana = shared_join("Ana", "ana", ANA);
    no_memory_after(0);
    room_leave(&ana->member);
    assert_true(no_memory_end());
    assert_int_equal(shared_link()->state, LINK_LOST);
    assert_int_equal(shared_link()->room->count, 0);
    assert_int_equal(shared_link()->room->roster.count, 0);
    ana->joined = false;
    room_member_free(ana);
}

/* Each allocation of a broadcast, of a private message and of publishing fails once. */
static void test_without_memory_nothing_is_half_said(void **state)
{
    (void)state;
    struct room_member *ana = shared_join("Ana", "ana", ANA);
    struct room_link *link = shared_link();
    for (int fails = 0;; fails++) {
        uint64_t seq = link->seat.seq;
        no_memory_after(fails);
        enum room_fate fate = tell(ana, "Bob", "1");
        if (!no_memory_end()) {
            assert_int_equal(fate, ROOM_PENDING);
            assert_true(fails > 3);
            break;
        }
        if (fate != ROOM_PENDING) { /* its ack may have failed as well */
            assert_int_equal(fate, ROOM_NO_MEMORY);
            assert_true(link->seat.seq == seq || link->state == LINK_LOST);
            link->state = LINK_OPEN;
        }
    }
    bridge_lock();
    bridge_pending_clear(link, "test");
    bridge_unlock();
    room_member_free(ana);
}

#define SHARED_TEST(test) cmocka_unit_test_setup_teardown(test, shared_begin, shared_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SHARED_TEST(test_a_sender_is_told_once_what_became_of_it),
        SHARED_TEST(test_an_error_echoes_ref_and_receiver),
        SHARED_TEST(test_outcomes_of_others_are_theirs),
        SHARED_TEST(test_a_seat_that_is_over_answers_nothing),
        SHARED_TEST(test_outcomes_are_awaited_up_to_a_bound),
        SHARED_TEST(test_members_wait_while_too_much_waits_for_the_engine),
        SHARED_TEST(test_a_lost_room_takes_nothing_more),
        SHARED_TEST(test_those_who_join_are_told_that_it_is_lost),
        SHARED_TEST(test_a_join_that_cannot_be_sent),
        SHARED_TEST(test_a_stop_ends_the_wait),
        SHARED_TEST(test_without_memory_for_a_leave_the_seat_is_over),
        SHARED_TEST(test_without_memory_nothing_is_half_said),
    };
    return cmocka_run_group_tests_name("bridge_calls", tests, NULL, NULL);
}
