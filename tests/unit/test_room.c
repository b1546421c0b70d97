/* SPDX-License-Identifier: MIT
 *
 * test_room.c - joining and leaving a room, taking a place over, history, looking members up.
 */
#include "room.h"

#include "no_memory.h"
#include "room_member.h"

/* ---- Joining ---- */

static void test_welcome_says_where_one_is(void **state)
{
    (void)state;
    struct room_member *ana = room_member_join("garden", "Ana");
    const char *heard = room_member_hear(ana);
    check_text(heard, "\"msgType\":\"Joined\",\"ServerName\":\"test\",\"Room\":\"garden\"");
    check_text(heard, "\"Name\":\"Ana\"");
    check_text(heard, "\"LastId\":0,\"Resumed\":false,\"MaxMessageBytes\":1000");
    check_text(heard,
               "\n{\"msgType\":\"OnlineUsers\",\"Version\":1,\"Count\":1,\"Users\":[\"Ana\"]}\n");
    assert_int_equal(count_text(heard, "\n"), 2);
    assert_int_equal(ana->member.presence_due, INT64_MAX);
    room_member_free(ana);
}

static void test_members_are_listed_in_order(void **state)
{
    (void)state;
    static const char *const names[] = {"mia", "Zoe", "ana", "kim", "Bob", "leo"};
    struct room_member *people[6];
    for (int i = 0; i < 6; i++)
        people[i] = room_member_join("order", names[i]);
    check_text(room_member_hear(people[5]), /* by the folded names */
               "[\"ana\",\"Bob\",\"kim\",\"leo\",\"mia\",\"Zoe\"]");
    for (int i = 0; i < 6; i++)
        room_member_free(people[i]);
}

/* More than the first list of members has places for. */
static void test_many_members(void **state)
{
    (void)state;
    enum { MANY = 40 };
    struct room_member *people[MANY];
    char name[16];
    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof(name), "m%02d", (i * 7) % MANY);
        people[i] = room_member_join("many", name);
    }
    room_member_say(people[5], "\"hello\"");
    for (int i = 0; i < MANY; i++)
        assert_int_equal(count_text(room_member_hear(people[i]), "\"text\":\"hello\""), 1);
    struct room *room = people[0]->member.room;
    assert_int_equal(room->count, MANY);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(room->count, MANY - i);
        for (size_t k = 0; k < room->count; k++)
            assert_int_equal(room->members[k]->index, k);
        room_member_free(people[(i * 7) % MANY]); /* the room goes with the last one */
    }
}

static void test_a_name_is_taken_in_any_spelling(void **state)
{
    (void)state;
    const char *why;
    struct room_member *ana = room_member_join("taken", "Ana"), *other = room_member_new();
    struct join_request request = room_test_request("taken", "ANA");
    room_member_hear(ana);
    assert_int_equal(room_member_ask(other, &request, &why), ERROR_NAME_TAKEN);
    assert_string_equal(why, "somebody of that name is here already");
    assert_string_equal(room_member_hear(other), "");
    assert_string_equal(room_member_hear(ana), "");
    assert_int_equal(ana->member.room->count, 1);
    check_room_locks(ana->member.room);
    room_release(&other->member);
    room_release(&other->member); /* called twice, it does nothing */
    assert_null(other->member.room);
    request.name = "Bob";
    assert_int_equal(room_member_ask(other, &request, &why), ERROR_NONE);
    room_member_free(other);
    room_member_free(ana);
}

static void test_a_name_is_free_again_after_leaving(void **state)
{
    (void)state;
    struct room_member *ana = room_member_join("free", "Ana"),
                       *bob = room_member_join("free", "Bob");
    room_member_leave(ana);
    struct room_member *again = room_member_join("free", "Ana");
    check_text(room_member_hear(again), "[\"Ana\",\"Bob\"]");
    room_member_free(again);
    room_member_free(ana);
    room_member_free(bob);
}

static struct e2e_keys some_keys(unsigned char identity, unsigned char session)
{
    struct e2e_keys keys = {.expires = 7, .origin = "https://x:1", .enc = "hpke-v2"};
    memset(keys.identity, identity, sizeof(keys.identity));
    memset(keys.session, session, sizeof(keys.session));
    return keys;
}

static void test_the_same_identity_takes_the_place_over(void **state)
{
    (void)state;
    const char *why;
    struct e2e_keys keys = some_keys(1, 2), newer = some_keys(1, 3);
    struct room_member *ana = room_member_new(), *again = room_member_new();
    struct room_member *bob = room_member_join("heir", "Bob");
    struct join_request request = room_test_request("heir", "Ana");
    request.keys = &keys;
    assert_int_equal(room_member_ask(ana, &request, &why), ERROR_NONE);
    room_member_hear(ana);
    room_member_hear(bob);
    request.keys = &newer;
    request.name = "ana";
    assert_int_equal(room_member_ask(again, &request, &why), ERROR_NONE);
    assert_true(ana->member.replaced);
    assert_string_equal(room_member_hear(ana), "close:4001:taken over by a newer connection\n");
    check_text(room_member_hear(again), "[\"ana\",\"Bob\"]");
    check_text(room_member_hear(bob), "\"Joined\":[\"ana\"],\"Left\":[\"Ana\"]");
    room_member_say(bob, "\"after\"");
    assert_string_equal(room_member_hear(ana), "");
    check_text(room_member_hear(again), "\"after\"");
    room_member_leave(ana); /* the heir stays */
    struct member_info info;
    assert_true(room_look_up(&bob->member, "ANA", &info));
    assert_string_equal(info.name, "ana");
    assert_int_equal(info.keys.session[0], 3);
    assert_int_equal(bob->member.room->count, 2);
    room_member_free(again);
    assert_false(room_look_up(&bob->member, "ana", &info));
    room_member_free(ana);
    room_member_free(bob);
}

static void test_another_identity_takes_nothing_over(void **state)
{
    (void)state;
    const char *why;
    struct e2e_keys keys = some_keys(1, 2), other = some_keys(9, 2);
    other.identity[0] = 1;
    struct room_member *ana = room_member_new(), *eve = room_member_new();
    struct join_request request = room_test_request("identity", "Ana");
    request.keys = &keys;
    assert_int_equal(room_member_ask(ana, &request, &why), ERROR_NONE);
    request.keys = &other;
    assert_int_equal(room_member_ask(eve, &request, &why), ERROR_NAME_TAKEN);
    room_release(&eve->member);
    request.keys = NULL;
    assert_int_equal(room_member_ask(eve, &request, &why), ERROR_NAME_TAKEN);
    room_member_free(eve);
    room_member_free(ana);
}

/* Each allocation of a join fails once: nothing stays of it, and the next one joins. */
static void test_a_join_without_memory_leaves_nothing_behind(void **state)
{
    (void)state;
    const char *why;
    int fails = 0;
    struct e2e_keys keys = some_keys(1, 2);
    struct room_member *ana = room_member_join("memory", "Ana"), *bob = room_member_new();
    struct room *room = ana->member.room;
    struct join_request request = room_test_request("memory", "Bob");
    request.keys = &keys;
    room_member_hear(ana);
    for (;; fails++) {
        no_memory_after(fails);
        enum protocol_error code = room_member_steps(bob, &request, &why);
        if (!no_memory_end()) {
            assert_int_equal(code, ERROR_NONE);
            break;
        }
        if (!code) { /* it was the list of users that could not be made */
            room_leave(&bob->member);
        } else {
            assert_int_equal(code, ERROR_ROOM_FULL);
            assert_string_equal(why, "the server is out of memory");
            assert_string_equal(room_member_hear(ana), "");
        }
        room_release(&bob->member);
        assert_int_equal(room->count, 1);
        assert_int_equal(room->users, 1);
        assert_ptr_equal(room->members[0], &ana->member);
        check_room_locks(room);
        room_member_free(bob);
        bob = room_member_new();
    }
    assert_true(fails >= 4); /* its keys, its place, the welcome's frame and item */
    bob->joined = true;
    assert_int_equal(room->count, 2);
    check_text(room_member_hear(bob), "\"msgType\":\"Joined\"");
    room_member_free(bob);
    room_member_free(ana);
}

/* The same where a place is taken over: the one before keeps it. */
static void test_a_takeover_without_memory_takes_nothing(void **state)
{
    (void)state;
    const char *why;
    struct e2e_keys keys = some_keys(1, 2);
    struct room_member *ana = room_member_new(), *again = room_member_new();
    struct join_request request = room_test_request("memory", "Ana");
    struct member_info info;
    request.keys = &keys;
    assert_int_equal(room_member_ask(ana, &request, &why), ERROR_NONE);
    room_member_hear(ana);
    for (int fails = 0;; fails++) {
        no_memory_after(fails);
        enum protocol_error code = room_member_steps(again, &request, &why);
        bool failed = no_memory_end();
        if (!code)
            break;
        assert_true(failed);
        assert_int_equal(code, ERROR_ROOM_FULL);
        room_release(&again->member);
        assert_false(ana->member.replaced);
        assert_true(room_look_up(&ana->member, "ana", &info));
        assert_int_equal(ana->member.room->count, 1);
        assert_ptr_equal(ana->member.room->members[0], &ana->member);
        room_member_say(ana, "\"still here\"");
        check_text(room_member_hear(ana), "still here");
        room_member_free(again);
        again = room_member_new();
    }
    assert_true(ana->member.replaced);
    again->joined = true;
    room_member_free(again);
    room_member_free(ana);
}

/* If the member that must send the next list leaves, another one sends it. */
static void test_one_that_leaves_hands_the_list_on(void **state)
{
    (void)state;
    struct room_member *ana = room_member_join("list", "Ana");
    struct room *room = ana->member.room;
    room->presence.paid = net_now() + 3600 * 1000;
    struct room_member *bob = room_member_join("list", "Bob");
    assert_ptr_equal(room->presence_sender, &bob->member);
    room_member_leave(bob);
    assert_ptr_equal(room->presence_sender, &ana->member);
    room_member_free(bob);
    room_member_free(ana);
}

/* ---- History ---- */

static void test_no_history_for_the_first_protocol(void **state)
{
    (void)state;
    const char *why;
    struct room_member *ana = room_member_join("first", "Ana"), *old = room_member_new();
    struct join_request request = room_test_request("first", "Old");
    request.v2 = false;
    room_member_say(ana, "\"said\"");
    room_member_say(ana, "\"said\"");
    assert_int_equal(room_member_ask(old, &request, &why), ERROR_NONE);
    assert_null(strstr(room_member_hear(old), "said"));
    room_member_free(old);
    room_member_free(ana);
}

static void test_a_newcomer_gets_the_last_ones_as_history(void **state)
{
    (void)state;
    struct room_member *ana = room_member_join("history", "Ana");
    for (int i = 0; i < 5; i++)
        room_member_say(ana, "\"said\"");
    struct room_member *bob = room_member_join("history", "Bob");
    const char *heard = room_member_hear(bob);
    check_text(heard, "\"LastId\":5,\"Resumed\":false");
    assert_int_equal(count_text(heard, "\"History\":true"), 3);
    assert_int_equal(count_text(heard, "\"Id\":"), 3);
    check_text(heard, "\"Id\":3,");
    const char *users = strstr(heard, "OnlineUsers"); /* the first one comes after it */
    assert_non_null(users);
    assert_null(strstr(users, "History"));
    room_member_free(ana);
    room_member_free(bob);
}

/* Resumes after an Id of an epoch. Returns what it heard. */
static const char *resume(struct room_member *person, const char *epoch, uint64_t after)
{
    const char *why;
    struct join_request request = room_test_request("resume", "Bob");
    request.epoch = epoch;
    request.after = after;
    assert_int_equal(room_member_ask(person, &request, &why), ERROR_NONE);
    return room_member_hear(person);
}

static void test_resuming(void **state)
{
    (void)state;
    static const struct {
        bool same_epoch;
        uint64_t after;
        bool resumed;
        int heard;
    } cases[] = {
        {true, 6, true, 0}, {true, 5, true, 1},  {true, 1, true, 5},
        {true, 0, true, 6}, {true, 7, false, 3}, {false, 5, false, 3},
    };
    struct room_member *ana = room_member_join("resume", "Ana");
    for (int i = 0; i < 6; i++)
        room_member_say(ana, "\"said\"");
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct room_member *bob = room_member_new();
        const char *epoch = cases[i].same_epoch ? ana->member.room->epoch : "another";
        const char *heard = resume(bob, epoch, cases[i].after);
        check_text(heard, cases[i].resumed ? "\"Resumed\":true" : "\"Resumed\":false");
        assert_int_equal(count_text(heard, "\"Id\":"), cases[i].heard);
        check_text(heard, "\"LastId\":6,");
        room_member_free(bob);
    }
    room_member_free(ana);
}

/* What is older than three quarters of the ring is not sent as history: it may be gone soon. */
static void test_what_was_lost_is_not_resumed(void **state)
{
    (void)state;
    char text[6002];
    memset(text, 'x', sizeof(text));
    text[0] = text[6000] = '"';
    text[6001] = '\0';
    struct room_member *ana = room_member_join("resume", "Ana");
    for (int i = 0; i < 10; i++) { /* 60 of 64 KiB */
        room_member_say(ana, text);
        room_member_hear(ana);
    }
    struct room_member *bob = room_member_new();
    const char *heard = resume(bob, ana->member.room->epoch, 1);
    check_text(heard, "\"Resumed\":false");
    assert_int_equal(count_text(heard, "\"Id\":"), 8); /* 8 times some 6,100 bytes: below 48 KiB */
    check_text(heard, "\"Id\":3,");
    room_member_free(bob);
    bob = room_member_new();
    heard = resume(bob, ana->member.room->epoch, 2);
    check_text(heard, "\"Resumed\":true");
    assert_int_equal(count_text(heard, "\"Id\":"), 8);
    room_member_free(bob);
    room_member_free(ana);
}

/* ---- Looking up ---- */

static void test_looking_a_member_up(void **state)
{
    (void)state;
    const char *why;
    struct member_info info;
    struct e2e_keys keys = some_keys(4, 5), newer = some_keys(4, 6);
    struct room_member *ana = room_member_join("look", "Ana"), *bob = room_member_new();
    struct join_request request = room_test_request("look", "Bob");
    request.keys = &keys;
    assert_int_equal(room_member_ask(bob, &request, &why), ERROR_NONE);
    assert_true(room_look_up(&bob->member, "ana", &info));
    assert_string_equal(info.name, "Ana");
    assert_false(info.published);
    assert_true(room_look_up(&ana->member, "BOB", &info));
    assert_true(info.published);
    assert_memory_equal(&info.keys, &keys, sizeof(keys));
    assert_true(room_publish(&bob->member, &newer, NULL));
    assert_true(room_look_up(&ana->member, "Bob", &info));
    assert_memory_equal(&info.keys, &newer, sizeof(newer));
    assert_false(room_look_up(&ana->member, "Eve", &info));
    assert_false(room_look_up(&ana->member, "\xFF", &info)); /* cannot be folded */
    check_room_locks(ana->member.room);
    room_member_free(ana);
    room_member_free(bob);
}

/* ---- The end ---- */

/* The last test: there is no way back. */
static void test_after_the_stop_nothing_is_said_any_more(void **state)
{
    (void)state;
    const char *why;
    size_t grown;
    struct room_member *ana = room_member_join("", "Ana"), *late = room_member_new();
    struct join_request request = room_test_request("", "Bob");
    room_member_say(ana, "\"before\"");
    rooms_stop();
    assert_true(rooms_stopping());
    assert_true(room_member_append(ana, "\"after\"", &grown));
    while (room_fan_out(ana->member.room))
        ;
    const char *heard = room_member_hear(ana);
    check_text(heard, "before");
    assert_null(strstr(heard, "after"));
    assert_int_equal(room_member_ask(late, &request, &why), ERROR_SHUTTING_DOWN);
    assert_string_equal(why, "the server is shutting down");
    assert_null(late->member.room);
    check_room_locks(ana->member.room);
    room_member_free(late);
    room_member_free(ana);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_welcome_says_where_one_is),
        cmocka_unit_test(test_members_are_listed_in_order),
        cmocka_unit_test(test_many_members),
        cmocka_unit_test(test_a_name_is_taken_in_any_spelling),
        cmocka_unit_test(test_a_name_is_free_again_after_leaving),
        cmocka_unit_test(test_the_same_identity_takes_the_place_over),
        cmocka_unit_test(test_another_identity_takes_nothing_over),
        cmocka_unit_test(test_a_join_without_memory_leaves_nothing_behind),
        cmocka_unit_test(test_a_takeover_without_memory_takes_nothing),
        cmocka_unit_test(test_one_that_leaves_hands_the_list_on),
        cmocka_unit_test(test_no_history_for_the_first_protocol),
        cmocka_unit_test(test_a_newcomer_gets_the_last_ones_as_history),
        cmocka_unit_test(test_resuming),
        cmocka_unit_test(test_what_was_lost_is_not_resumed),
        cmocka_unit_test(test_looking_a_member_up),
        cmocka_unit_test(test_after_the_stop_nothing_is_said_any_more),
    };
    return cmocka_run_group_tests(tests, rooms_begin, rooms_end);
}
