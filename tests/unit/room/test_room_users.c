/* SPDX-License-Identifier: MIT
 *
 * test_room_users.c - the list of who is online, as members of the short way get it: who gets it,
 * when, and what is left out.
 *
 * Time is that of the room itself: a test moves what the room remembers (lists.sent, lists.paid)
 * instead of waiting.
 */
#include "room/room_parts.h"

#include "no_memory.h"
#include "room_member.h"

enum {
    SMALL = 50, /* members up to which every change is sent at once */
    PER_MS = 5, /* above it: a list every count / 5 ms */
    BYTES_PER_MS = 350,
    BURST_MS = 1000,
    LONG_MS = 3600 * 1000,
};

/* Has the budget of a room pay nothing for `ms` from now on. */
static void spend_budget(struct room *room, int64_t ms)
{
    room->lists.paid = net_now() + BURST_MS + ms;
}

static struct join_request short_request(const char *name)
{
    struct join_request request = room_test_request("users", name);
    request.v2 = false;
    return request;
}

static struct room_member *join(const char *name)
{
    struct room_member *person = room_member_new();
    struct join_request request = short_request(name);
    const char *why;
    assert_int_equal(room_member_ask(person, &request, &why), ERROR_NONE);
    return person;
}

/* Has the sender send the list now. */
static void send_now(struct room *room)
{
    room->lists.due = net_now();
    if (room->presence_sender)
        room_flush_presence(room->presence_sender);
}

static void leave_all(struct room_member **people, int count)
{
    for (int i = 0; i < count; i++)
        room_member_free(people[i]);
}

static void test_each_change_is_told_at_once(void **state)
{
    (void)state;
    struct room_member *ana = join("Ana");
    assert_string_equal(strchr(room_member_hear(ana), '\n'),
                        "\n{\"msgType\":\"OnlineUsers\",\"Users\":[\"Ana\"]}\n");
    struct room_member *bob = join("Bob");
    assert_string_equal(room_member_hear(ana),
                        "{\"msgType\":\"OnlineUsers\",\"Users\":[\"Ana\",\"Bob\"]}\n");
    room_member_free(bob);
    assert_string_equal(room_member_hear(ana),
                        "{\"msgType\":\"OnlineUsers\",\"Users\":[\"Ana\"]}\n");
    assert_null(ana->member.room->presence_sender);
    room_member_free(ana);
}

/* While the budget is spent, a newcomer sees the list, the others are told later, by it. */
static void test_while_the_budget_is_spent_a_list_is_owed(void **state)
{
    (void)state;
    struct room_member *ana = join("Ana");
    struct room *room = ana->member.room;
    room_member_hear(ana);
    spend_budget(room, LONG_MS);
    int64_t due = room->lists.paid - BURST_MS;
    struct room_member *bob = join("Bob"), *cat = join("Cat");
    assert_string_equal(room_member_hear(ana), "");
    check_text(room_member_hear(bob), "[\"Ana\",\"Bob\"]");
    check_text(room_member_hear(cat), "[\"Ana\",\"Bob\",\"Cat\"]");
    assert_ptr_equal(room->presence_sender, &bob->member);
    assert_int_equal(bob->member.presence_due, due);
    assert_int_equal(ana->member.presence_due, INT64_MAX);
    assert_int_equal(cat->member.presence_due, INT64_MAX);

    room_flush_presence(&bob->member); /* too early */
    room_flush_presence(&ana->member); /* it is not the list sender */
    assert_string_equal(room_member_hear(ana), "");
    send_now(room);
    check_text(room_member_hear(ana), "[\"Ana\",\"Bob\",\"Cat\"]");
    check_text(room_member_hear(bob), "[\"Ana\",\"Bob\",\"Cat\"]");
    check_text(room_member_hear(cat),
               "[\"Ana\",\"Bob\",\"Cat\"]"); /* others have come since its own */
    assert_null(room->presence_sender);
    assert_int_equal(bob->member.presence_due, INT64_MAX);
    check_room_locks(room);
    room_member_free(ana);
    room_member_free(bob);
    room_member_free(cat);
}

static void test_another_member_becomes_list_sender(void **state)
{
    (void)state;
    struct room_member *ana = join("Ana"), *bob = join("Bob");
    struct room *room = ana->member.room;
    spend_budget(room, LONG_MS);
    int64_t due = room->lists.paid - BURST_MS;
    struct room_member *cat = join("Cat");
    assert_ptr_equal(room->presence_sender, &cat->member);
    room_member_leave(bob); /* it is not the list sender */
    assert_ptr_equal(room->presence_sender, &cat->member);
    room_member_leave(cat);
    assert_ptr_equal(room->presence_sender, &ana->member);
    assert_int_equal(ana->member.presence_due, due);
    int64_t until = net_now() + 1000;
    net_wait(-1, 0, until); /* its thread is woken to wait for another time */
    assert_true(net_now() < until);
    room_member_free(bob);
    room_member_free(cat);
    room_member_leave(ana);
    room_member_free(ana);
}

/* The member that takes the place of the list sender becomes the list sender. */
static void test_the_heir_becomes_list_sender(void **state)
{
    (void)state;
    const char *why;
    struct e2e_keys keys = {.expires = 1};
    struct room_member *ana = join("Ana"), *bob = room_member_new(), *heir = room_member_new();
    struct room *room = ana->member.room;
    struct join_request request = short_request("Bob");
    request.keys = &keys;
    spend_budget(room, LONG_MS);
    assert_int_equal(room_member_ask(bob, &request, &why), ERROR_NONE);
    assert_ptr_equal(room->presence_sender, &bob->member);
    assert_int_equal(room_member_ask(heir, &request, &why), ERROR_NONE);
    assert_ptr_equal(room->presence_sender, &heir->member);
    assert_int_equal(bob->member.presence_due, INT64_MAX);
    room_member_free(bob);
    assert_ptr_equal(room->presence_sender, &heir->member);
    room_member_free(ana);
    room_member_free(heir);
}

/* Somebody left and came back before the list was sent: all have it already. */
static void test_a_list_that_all_have_is_not_sent_again(void **state)
{
    (void)state;
    struct room_member *ana = join("Ana"), *bob = join("Bob");
    struct room *room = ana->member.room;
    room_member_hear(ana);
    spend_budget(room, LONG_MS);
    room_member_leave(bob);
    struct room_member *again = join("Bob");
    check_text(room_member_hear(again), "[\"Ana\",\"Bob\"]");
    assert_ptr_equal(room->presence_sender, &ana->member);
    int64_t sent = room->lists.sent, paid = room->lists.paid;
    send_now(room);
    assert_string_equal(room_member_hear(ana), "");
    assert_string_equal(room_member_hear(again), "");
    assert_null(room->presence_sender);
    assert_int_equal(room->lists.sent, sent);
    assert_int_equal(room->lists.paid, paid);
    room_member_free(again);
    room_member_free(bob);
    room_member_free(ana);
}

/* A newcomer that was shown another list in between needs the one that the others have. */
static void test_a_list_is_sent_again_to_one_that_saw_another(void **state)
{
    (void)state;
    struct room_member *ana = join("Ana"), *bob = join("Bob");
    struct room *room = ana->member.room;
    room_member_hear(ana);
    spend_budget(room, LONG_MS);
    struct room_member *cat = join("Cat"); /* is shown Ana, Bob, Cat */
    room_member_leave(bob);
    struct room_member *again = join("Bob");
    room_member_hear(again);
    room_member_hear(cat);
    room_member_leave(again);
    struct room_member *last = join("Bob");
    room_member_leave(cat);
    room_member_hear(ana);
    send_now(room);
    check_text(room_member_hear(ana), "[\"Ana\",\"Bob\"]");
    assert_false(room->lists.mixed);
    struct room_member *people[] = {ana, bob, cat, again, last};
    leave_all(people, 5);
}

/* The same names with other keys are another list. */
static void test_other_keys_are_another_list(void **state)
{
    (void)state;
    const char *why;
    struct e2e_keys keys = {.expires = 1, .session = {1}}, newer = {.expires = 1, .session = {2}};
    struct room_member *ana = join("Ana"), *bob = room_member_new(), *again = room_member_new();
    struct room *room = ana->member.room;
    struct join_request request = short_request("Bob");
    request.keys = &keys;
    assert_int_equal(room_member_ask(bob, &request, &why), ERROR_NONE);
    room_member_hear(ana);
    room_member_leave(bob);
    assert_int_equal(room_member_ask(again, &request, &why), ERROR_NONE);
    check_text(room_member_hear(ana), "[\"Ana\"]");
    check_text(ana->heard, "[\"Ana\",\"Bob\"]");
    spend_budget(room, LONG_MS);
    room_member_leave(again);
    request.keys = &newer;
    assert_int_equal(room_member_ask(bob, &request, &why), ERROR_NONE);
    assert_string_equal(room_member_hear(ana), "");
    send_now(room);
    check_text(room_member_hear(ana), "[\"Ana\",\"Bob\"]");
    room_member_free(again);
    room_member_free(bob);
    room_member_free(ana);
}

/* A list costs its bytes times the members, at BYTES_PER_MS. */
static void test_the_budget_pays_for_bytes(void **state)
{
    (void)state;
    enum { COUNT = 40 };
    struct room_member *people[COUNT];
    char name[40];
    for (int i = 0; i < COUNT; i++) {
        snprintf(name, sizeof(name), "a-somewhat-long-name-%02d", i);
        people[i] = join(name);
    }
    struct room *room = people[0]->member.room;
    room->lists.paid = 0;
    room->lists.sent = 0;
    int64_t before = net_now();
    room_member_leave(people[COUNT - 1]);
    int64_t after = net_now();
    int64_t cost = (int64_t)(room->lists.last->len * (COUNT - 1)) / BYTES_PER_MS;
    assert_true(cost > 50);
    assert_in_range(room->lists.sent, before, after);
    assert_in_range(room->lists.paid, before + cost, after + cost);
    int64_t paid = room->lists.paid; /* ahead of now, and still within the burst */
    room_member_leave(people[COUNT - 2]);
    assert_int_equal(room->lists.paid,
                     paid + (int64_t)(room->lists.last->len * (COUNT - 2)) / BYTES_PER_MS);
    assert_null(room->presence_sender);
    leave_all(people, COUNT);
}

/* At the end of the burst the next list waits until the budget has caught up. */
static void test_the_burst_has_an_end(void **state)
{
    (void)state;
    struct room_member *ana = join("Ana");
    struct room *room = ana->member.room;
    spend_budget(room, -1);
    struct room_member *bob = join("Bob");
    assert_null(room->presence_sender);
    spend_budget(room, 60000);
    struct room_member *cat = join("Cat");
    assert_ptr_equal(room->presence_sender, &cat->member);
    assert_int_equal(cat->member.presence_due, room->lists.paid - BURST_MS);
    struct room_member *people[] = {ana, bob, cat};
    leave_all(people, 3);
}

/* Up to SMALL members a list may follow another at once; with more there is a pause. */
static void test_in_a_large_room_changes_wait(void **state)
{
    (void)state;
    struct room_member *people[SMALL + 2];
    char name[16];
    for (int i = 0; i < SMALL; i++) {
        snprintf(name, sizeof(name), "m%02d", i);
        people[i] = join(name);
    }
    struct room *room = people[0]->member.room;
    assert_null(room->presence_sender);
    room->lists.paid = 0;
    room->lists.sent = net_now() + LONG_MS; /* as if just now, whatever the clock says */
    room_member_hear(people[0]);
    people[SMALL] = join("late");
    assert_ptr_equal(room->presence_sender, &people[SMALL]->member);
    assert_int_equal(people[SMALL]->member.presence_due, room->lists.sent + (SMALL + 1) / PER_MS);
    room_member_leave(people[SMALL]);
    room_member_free(people[SMALL]);

    room->lists.sent = net_now(); /* without a pause: of SMALL members */
    send_now(room);
    room_member_leave(people[1]);
    people[SMALL] = join("later");
    assert_int_equal(room->count, SMALL);
    assert_null(room->presence_sender);
    leave_all(people, SMALL + 1);
}

static void test_lists_are_escaped_for_one_that_reads_ascii_only(void **state)
{
    (void)state;
    const char *why;
    struct room_member *ana = join("Ana"), *old = room_member_new();
    struct join_request request = short_request("J\u00fcrg");
    assert_int_equal(room_member_ask(old, &request, &why), ERROR_NONE);
    check_text(room_member_hear(ana), "[\"Ana\",\"J\\u00fcrg\"]");
    room_member_free(old);
    room_member_free(ana);
}

/* Where memory is out for a list it is sent a little later, by the one that came. */
static void test_a_list_without_memory_is_sent_later(void **state)
{
    (void)state;
    const char *why;
    struct room_member *ana = join("Ana"), *bob = room_member_new();
    struct room *room = ana->member.room;
    struct join_request request = short_request("Bob");
    room_member_hear(ana);
    int64_t before = net_now();
    for (int fails = 4;; fails++) { /* what comes before it is the steps' own */
        no_memory_after(fails);
        enum protocol_error code = room_member_steps(bob, &request, &why);
        bool failed = no_memory_end();
        bob->joined = !code;
        if (!code && failed && room->presence_sender)
            break;
        assert_true(failed);
        room_member_free(bob);
        bob = room_member_new();
        room_member_hear(ana);
    }
    assert_ptr_equal(room->presence_sender, &bob->member);
    assert_in_range(bob->member.presence_due, before + 100, net_now() + 100);
    assert_true(room->lists.mixed);
    int64_t due = net_now() - 1;
    room->lists.due = due;
    no_memory_after(0);
    room_flush_presence(&bob->member);
    assert_true(no_memory_end());
    assert_in_range(bob->member.presence_due, due + 100, net_now() + 100);
    assert_ptr_equal(room->presence_sender, &bob->member);
    send_now(room);
    check_text(room_member_hear(ana), "[\"Ana\",\"Bob\"]");
    assert_null(room->presence_sender);
    assert_false(room->lists.mixed);
    check_room_locks(room);
    room_member_free(bob);
    room_member_free(ana);
}

/* A newcomer whose join is told later, and for whom there is no memory for a list, is closed. */
static void test_a_newcomer_without_a_list_is_closed(void **state)
{
    (void)state;
    const char *why;
    struct room_member *ana = join("Ana");
    struct join_request request = short_request("Bob");
    room_member_hear(ana);
    spend_budget(ana->member.room, LONG_MS);
    int closed = 0;
    bool failed = true;
    for (int fails = 0; failed; fails++) {
        struct room_member *bob = room_member_new();
        no_memory_after(fails);
        enum protocol_error code = room_member_steps(bob, &request, &why);
        failed = no_memory_end();
        bob->joined = !code;
        const char *heard = room_member_hear(bob);
        bool is_closed = strstr(heard, "close:1013:out of memory\n") != NULL;
        assert_true(is_closed == (failed && !code));
        closed += is_closed;
        assert_string_equal(room_member_hear(ana), "");
        room_member_free(bob);
    }
    assert_true(closed >= 3); /* the names, the frame, its place in the queue */
    room_member_free(ana);
}

/* A list that only one member could not be sent is sent to all again. */
static void test_a_list_that_one_did_not_get_is_sent_again(void **state)
{
    (void)state;
    struct room_member *ana = join("Ana"), *bob = join("Bob"), *cat = join("Cat");
    struct room *room = ana->member.room;
    struct room_member *people[] = {ana, bob, cat};
    int owed = 0;
    bool failed = true;
    for (int fails = 0; failed; fails++) {
        spend_budget(room, LONG_MS);
        struct room_member *eve = join("Eve");
        for (int i = 0; i < 3; i++)
            room_member_hear(people[i]);
        no_memory_after(fails);
        send_now(room);
        failed = no_memory_end();
        assert_true((room->presence_sender == &eve->member) == failed);
        owed += failed;
        send_now(room);
        for (int i = 0; i < 3; i++)
            check_text(room_member_hear(people[i]), "[\"Ana\",\"Bob\",\"Cat\",\"Eve\"]");
        room->lists.paid = 0;
        room_member_free(eve);
    }
    assert_true(owed >= 2 + 4); /* the names, the frame, and the place in each queue */
    leave_all(people, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_change_is_told_at_once),
        cmocka_unit_test(test_while_the_budget_is_spent_a_list_is_owed),
        cmocka_unit_test(test_another_member_becomes_list_sender),
        cmocka_unit_test(test_the_heir_becomes_list_sender),
        cmocka_unit_test(test_a_list_that_all_have_is_not_sent_again),
        cmocka_unit_test(test_a_list_is_sent_again_to_one_that_saw_another),
        cmocka_unit_test(test_other_keys_are_another_list),
        cmocka_unit_test(test_the_budget_pays_for_bytes),
        cmocka_unit_test(test_the_burst_has_an_end),
        cmocka_unit_test(test_in_a_large_room_changes_wait),
        cmocka_unit_test(test_a_list_without_memory_is_sent_later),
        cmocka_unit_test(test_a_newcomer_without_a_list_is_closed),
        cmocka_unit_test(test_a_list_that_one_did_not_get_is_sent_again),
        cmocka_unit_test(test_lists_are_escaped_for_one_that_reads_ascii_only),
    };
    return cmocka_run_group_tests(tests, rooms_begin, rooms_end);
}
