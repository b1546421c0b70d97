/* SPDX-License-Identifier: MIT
 *
 * test_presence.c - who is online, as members of ragnarok.v2 are told it: the list, and changes.
 *
 * Time is that of the room itself: a test moves what the room remembers (presence.sent,
 * presence.paid) instead of waiting.
 */
#include "room/presence.h"

#include "no_memory.h"
#include "presence_room.h"
#include "user_list.h"

enum {
    SMALL = 50,        /* members up to which a change may follow another at once */
    QUIET_PER_MS = 20, /* above it: when nothing has changed for count / 20 ms */
    LATEST_PER_MS = 1, /* and at most count ms since the last time */
    OVERHEAD = 80,
    CHANGE_MS_MAX = 500,
    LISTS_MS_MAX = 5000,
};

static void free_all(struct room_member **people, int count)
{
    for (int i = 0; i < count; i++)
        room_member_free(people[i]);
}

static void check_heard(struct room_member *person, const char *expected)
{
    assert_string_equal(room_member_hear(person), expected);
}

/* ---- What is said ---- */

static void test_a_newcomer_gets_the_list_and_others_the_change(void **state)
{
    (void)state;
    struct room_member *ana = presence_join("Ana");
    assert_string_equal(
        strchr(room_member_hear(ana), '\n'),
        "\n{\"msgType\":\"OnlineUsers\",\"Version\":1,\"Count\":1,\"Users\":[\"Ana\"]}\n");
    struct room_member *bob = presence_join("bob");
    check_heard(ana, "{\"msgType\":\"Presence\",\"Version\":2,\"Since\":1,\"Count\":2,"
                     "\"Joined\":[\"bob\"]}\n");
    assert_string_equal(
        strchr(room_member_hear(bob), '\n'),
        "\n{\"msgType\":\"OnlineUsers\",\"Version\":2,\"Count\":2,\"Users\":[\"Ana\",\"bob\"]}\n");
    room_member_free(bob);
    check_heard(ana, "{\"msgType\":\"Presence\",\"Version\":3,\"Since\":2,\"Count\":1,"
                     "\"Left\":[\"bob\"]}\n");
    assert_null(ana->member.room->presence_sender);
    room_member_free(ana);
}

static void test_changes_of_a_moment_are_one(void **state)
{
    (void)state;
    enum { MANY = 100 };
    struct room_member *ana = presence_join("Ana"), *people[MANY];
    struct room *room = ana->member.room;
    char name[16];
    room_member_hear(ana);
    presence_hold(room);
    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof(name), "m%02d", MANY - 1 - i);
        people[i] = presence_join(name);
    }
    check_heard(ana, "");
    presence_send_now(room);
    const char *heard = room_member_hear(ana);
    check_text(heard, "\"Version\":101,\"Since\":1,\"Count\":101,\"Joined\":[\"m00\",\"m01\",");
    assert_int_equal(count_text(heard, "\n"), 1);
    assert_int_equal(count_text(heard, "\"m"), MANY + 1);                    /* and msgType */
    check_text(room_member_hear(people[0]), "\"Version\":101,\"Since\":1,"); /* since its list */
    assert_null(strstr(room_member_hear(people[MANY - 1]), "Presence"));     /* it has them */
    room->presence.paid = 0;
    room->presence.sent = net_now() + PRESENCE_TEST_LONG_MS;
    free_all(people, MANY);
    room_member_free(ana);
}

/* Nobody is told of a member that came and went before anybody knew. */
static void test_a_short_visit_is_not_told(void **state)
{
    (void)state;
    struct room_member *ana = presence_join("Ana");
    struct room *room = ana->member.room;
    room_member_hear(ana);
    presence_hold(room);
    room_member_free(presence_join("Bob"));
    presence_send_now(room);
    check_heard(ana, "");
    assert_null(room->presence_sender);
    room_member_free(ana);
}

/* But a newcomer that saw it in its list is told that it left. */
static void test_a_short_visit_that_was_shown_is_told(void **state)
{
    (void)state;
    struct room_member *ana = presence_join("Ana");
    struct room *room = ana->member.room;
    presence_hold(room);
    struct room_member *bob = presence_join("Bob"), *cat = presence_join("Cat");
    room_member_hear(ana);
    check_text(room_member_hear(cat),
               "\"Version\":3,\"Count\":3,\"Users\":[\"Ana\",\"Bob\",\"Cat\"]");
    room_member_free(bob);
    presence_send_now(room);
    static const char change[] = "{\"msgType\":\"Presence\",\"Version\":4,\"Since\":1,\"Count\":2,"
                                 "\"Joined\":[\"Cat\"],\"Left\":[\"Bob\"]}\n";
    check_heard(ana, change);
    check_heard(cat, change);
    room_member_free(cat);
    room_member_free(ana);
}

/* Others ask for its keys again. */
static void test_one_that_left_and_came_back_is_in_both(void **state)
{
    (void)state;
    struct room_member *ana = presence_join("Ana"), *bob = presence_join("Bob");
    struct room *room = ana->member.room;
    room_member_hear(ana);
    presence_hold(room);
    room_member_free(bob);
    bob = presence_join("BOB");
    presence_send_now(room);
    check_heard(ana, "{\"msgType\":\"Presence\",\"Version\":4,\"Since\":2,\"Count\":2,"
                     "\"Joined\":[\"BOB\"],\"Left\":[\"Bob\"]}\n");
    room_member_free(bob);
    room_member_free(ana);
}

static void test_one_whose_place_was_taken_over_is_in_both(void **state)
{
    (void)state;
    struct room_member *ana = presence_join("Ana"), *bob = presence_join_as("Bob", 1);
    room_member_hear(ana);
    struct room_member *again = presence_join_as("Bob", 1);
    assert_true(bob->member.replaced);
    check_heard(ana, "{\"msgType\":\"Presence\",\"Version\":3,\"Since\":2,\"Count\":2,"
                     "\"Joined\":[\"Bob\"],\"Left\":[\"Bob\"]}\n");
    check_text(room_member_hear(again), "\"Version\":3,\"Count\":2,");
    assert_null(strstr(room_member_hear(bob), "Version\":3"));
    struct room_member *people[] = {bob, again, ana};
    free_all(people, 3);
}

/* Its thread may still have messages of the old connection to handle. */
static void test_one_whose_place_was_taken_over_says_nothing_more(void **state)
{
    (void)state;
    static const char json[] = "{\"msgType\":\"PrivateMessage\",\"text\":\"late\"}";
    struct room_member *ana = presence_join("Ana"), *bob = presence_join_as("Bob", 1);
    struct room_member *again = presence_join_as("BOB", 1);
    struct json_object message;
    struct json_error error;
    size_t grown;
    check_text(room_member_hear(ana), "\"Left\":[\"Bob\"]");
    room_member_say(bob, "\"late\"");
    assert_int_equal(json_parse_message(&message, json, strlen(json), &error), 0);
    const struct room_private private = {.target = "Ana", .message = &message};
    assert_int_equal(room_private(&bob->member, &private, &grown), ROOM_BUSY);
    room_member_say(again, "\"here\"");
    const char *heard = room_member_hear(ana);
    check_text(heard, "here");
    assert_null(strstr(heard, "late"));
    struct room_member *people[] = {bob, again, ana};
    free_all(people, 3);
}

static void test_changes_follow_what_was_said_before(void **state)
{
    (void)state;
    struct room_member *ana = presence_join("Ana"), *bob = presence_join("Bob");
    size_t grown;
    room_member_hear(ana);
    assert_true(room_member_append(bob, "\"last words\"", &grown));
    room_member_free(bob);
    const char *heard = room_member_hear(ana), *change = strstr(heard, "Presence");
    check_text(heard, "last words");
    assert_true(change && strstr(heard, "last words") < change);
    room_member_free(ana);
}

/* A member of the short way gets lists in ASCII, the others are not affected by it. */
static void test_both_kinds_share_a_room(void **state)
{
    (void)state;
    const char *why;
    struct room_member *ana = presence_join("Ana"), *old = room_member_new();
    struct join_request request = room_test_request("presence", "J\u00fcrg");
    request.v2 = false;
    room_member_hear(ana);
    assert_int_equal(room_member_ask(old, &request, &why), ERROR_NONE);
    check_text(room_member_hear(old),
               "{\"msgType\":\"OnlineUsers\",\"Users\":[\"Ana\",\"J\\u00fcrg\"]}\n");
    check_heard(ana, "{\"msgType\":\"Presence\",\"Version\":2,\"Since\":1,\"Count\":2,"
                     "\"Joined\":[\"J\u00fcrg\"]}\n");
    struct room_member *bob = presence_join("Bob");
    check_heard(old, "{\"msgType\":\"OnlineUsers\",\"Users\":[\"Ana\",\"Bob\",\"J\\u00fcrg\"]}\n");
    check_text(room_member_hear(bob), "\"Users\":[\"Ana\",\"Bob\",\"J\u00fcrg\"]");
    check_text(room_member_hear(ana), "\"Joined\":[\"Bob\"]");
    room_member_free(old);
    check_text(room_member_hear(ana), "\"Left\":[\"J\u00fcrg\"]");
    assert_int_equal(ana->member.room->lists.readers, 0);
    room_member_free(bob);
    room_member_free(ana);
}

/* ---- Large rooms ---- */

static void test_the_maximum_of_a_list(void **state)
{
    (void)state;
    struct room_member *ana = presence_join("Ana");
    const struct presence *presence = &ana->member.room->presence;
    assert_int_equal(presence->list_max, 2000);
    assert_int_equal(presence->list_again, 1800);
    room_member_free(ana);
}

static void test_a_room_is_counted_above_the_maximum(void **state)
{
    (void)state;
    struct room_member *a = presence_join("a");
    struct room *room = a->member.room;
    room->presence.list_max = 3;
    room->presence.list_again = 2;
    struct room_member *b = presence_join("b"), *c = presence_join("c");
    room_member_hear(a);
    struct room_member *d = presence_join("d");
    check_heard(a, "{\"msgType\":\"Presence\",\"Version\":4,\"Since\":3,\"Count\":4}\n");
    check_text(room_member_hear(d), "\"OnlineUsers\",\"Version\":4,\"Count\":4}");
    room_member_free(d); /* three are too many for a list again */
    check_heard(a, "{\"msgType\":\"Presence\",\"Version\":5,\"Since\":4,\"Count\":3}\n");
    struct room_member *e = presence_join("e");
    check_text(room_member_hear(e), "\"OnlineUsers\",\"Version\":6,\"Count\":4}");
    check_heard(a, "{\"msgType\":\"Presence\",\"Version\":6,\"Since\":5,\"Count\":4}\n");
    room_member_free(e);
    room_member_hear(a);
    room_member_free(c);
    static const char list[] =
        "{\"msgType\":\"OnlineUsers\",\"Version\":8,\"Count\":2,\"Users\":[\"a\",\"b\"]}\n";
    check_heard(a, list);
    assert_non_null(strstr(room_member_hear(b), list));
    room_member_free(b);
    check_text(room_member_hear(a), "\"Left\":[\"b\"]");
    room_member_free(a);
}

/* A room that was counted for a moment sends the list, because some have lost it. */
static void test_a_moment_above_the_maximum(void **state)
{
    (void)state;
    struct room_member *a = presence_join("a"), *b = presence_join("b");
    struct room *room = a->member.room;
    room->presence.list_max = room->presence.list_again = 2;
    room_member_hear(a);
    room_member_hear(b);
    presence_hold(room);
    struct room_member *c = presence_join("c");
    check_text(room_member_hear(c), "\"Version\":3,\"Count\":3}");
    room_member_free(a);
    presence_send_now(room);
    static const char list[] =
        "{\"msgType\":\"OnlineUsers\",\"Version\":4,\"Count\":2,\"Users\":[\"b\",\"c\"]}\n";
    check_heard(b, list);
    check_heard(c, list);
    room_member_free(b);
    room_member_free(c);
}

/* In a counted room nobody is told of a member that came back, because nobody has its name. */
static void test_in_a_counted_room_the_same_count_is_no_news(void **state)
{
    (void)state;
    struct room_member *a = presence_join("a"), *b = presence_join_as("b", 1),
                       *c = presence_join("c");
    struct room *room = a->member.room;
    room->presence.list_max = 2;
    room->presence.list_again = 1;
    struct room_member *d = presence_join("d");
    room_member_hear(a);
    presence_hold(room);
    room_member_free(d);
    presence_send_now(room);
    check_text(room_member_hear(a), "\"Count\":3}");
    uint64_t told = room->presence.told;
    presence_send_now(room);
    check_heard(a, "");
    assert_int_equal(room->presence.told, told);
    struct room_member *people[] = {a, b, c};
    free_all(people, 3);
}

/* ---- When ---- */

static void test_a_change_costs_its_bytes(void **state)
{
    (void)state;
    struct room_member *ana = presence_join("Ana");
    struct room *room = ana->member.room;
    assert_int_equal(room->presence.paid, 0); /* nobody else was told */
    room_member_hear(ana);
    int64_t before = net_now();
    struct room_member *bob = presence_join("Bob");
    int64_t after = net_now(), cost = (int64_t)strlen(room_member_hear(ana)) - 1 + OVERHEAD;
    cost += 2; /* the head of the frame */
    assert_in_range(room->presence.paid, before + cost, after + cost);
    assert_in_range(room->presence.sent, before, after);
    room_member_free(bob);
    room_member_free(ana);
}

static void test_a_change_costs_no_more_than_its_maximum(void **state)
{
    (void)state;
    enum { MANY = 10 };
    struct room_member *ana = presence_join("Ana"), *people[MANY];
    struct room *room = ana->member.room;
    char name[NAME_MAX_BYTES];
    presence_hold(room);
    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof(name), "%02d-an-exceedingly-long-name", i);
        people[i] = presence_join(name);
    }
    room_member_hear(ana);
    room->presence.paid = 0;
    int64_t before = net_now();
    presence_send_now(room);
    assert_in_range(strlen(room_member_hear(ana)), 360, 400); /* below it */
    assert_in_range(room->presence.paid, before + 360 + OVERHEAD, net_now() + 400 + OVERHEAD);
    presence_hold(room);
    for (int i = 0; i < MANY; i++) {
        room_member_free(people[i]);
        snprintf(name, sizeof(name), "%02d-an-exceedingly-long-name", i);
        people[i] = presence_join(name);
    }
    room->presence.paid = 0;
    before = net_now();
    presence_send_now(room);
    assert_in_range(strlen(room_member_hear(ana)), 600, 800); /* above it */
    assert_in_range(room->presence.paid, before + CHANGE_MS_MAX, net_now() + CHANGE_MS_MAX);
    presence_hold(room);
    room->presence.lost = true; /* all get the list, which costs what it takes */
    room_member_leave(people[0]);
    room->presence.paid = 0;
    before = net_now();
    presence_send_now(room);
    size_t len = strlen(room_member_hear(ana));
    assert_in_range(room->presence.paid, before + (int64_t)len, net_now() + LISTS_MS_MAX);
    free_all(people, MANY);
    room_member_free(ana);
}

static void test_the_burst_has_an_end(void **state)
{
    (void)state;
    struct room_member *ana = presence_join("Ana");
    struct room *room = ana->member.room;
    room_member_hear(ana);
    int told = 0;
    for (int i = 0; i < 100; i++) { /* one that comes and goes, again and again */
        room_member_free(presence_join("flapper"));
        told += count_text(room_member_hear(ana), "Presence");
    }
    assert_in_range(told, 20, 40);
    assert_ptr_equal(room->presence_sender, &ana->member);
    assert_int_equal(ana->member.presence_due, room->presence.due);
    room->presence.paid = net_now() + PRESENCE_TEST_BURST_MS;
    presence_send_now(room);
    room_member_free(ana);
}

/* Up to SMALL members a change may follow another at once; with more there is a pause. */
static void test_in_a_large_room_changes_wait(void **state)
{
    (void)state;
    struct room_member *people[SMALL + 1];
    char name[16];
    for (int i = 0; i < SMALL; i++) {
        snprintf(name, sizeof(name), "m%02d", i);
        people[i] = presence_join(name);
        people[0]->member.room->presence.paid = 0;
    }
    struct room *room = people[0]->member.room;
    assert_null(room->presence_sender);
    room->presence.sent =
        net_now() + PRESENCE_TEST_LONG_MS; /* as if just now, whatever the clock says */
    people[SMALL] = presence_join("late");
    assert_ptr_equal(room->presence_sender, &people[SMALL]->member);
    assert_int_equal(people[SMALL]->member.presence_due,
                     room->presence.sent + (SMALL + 1) / QUIET_PER_MS);
    presence_send_now(room);
    room->presence.paid = 0;
    room_member_leave(people[SMALL]);
    assert_null(room->presence_sender);
    free_all(people, SMALL + 1);
}

/* A change waits until it has been quiet for a while, but others cannot put it off without end. */
static void test_a_large_room_waits_for_a_crowd(void **state)
{
    (void)state;
    enum { MANY = 500, QUIET = MANY / QUIET_PER_MS, LATEST = MANY / LATEST_PER_MS };
    struct room_member *people[MANY];
    char name[16];
    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof(name), "m%03d", i);
        people[i] = presence_join(name);
    }
    struct room *room = people[0]->member.room;
    int64_t began, ended, due, latest = 0;
    do { /* unless the machine was too slow for it */
        presence_send_now(room);
        room->presence.paid = 0;
        room->presence.sent = began = net_now();
        latest = began + LATEST;
        room_member_free(people[MANY - 1]);
        people[MANY - 1] = presence_join("late");
        due = room->presence.due;
        ended = net_now();
    } while (ended + QUIET >= latest);
    assert_in_range(due, began + QUIET, ended + QUIET);
    int64_t sent = room->presence.sent = ended - LATEST + 2 * QUIET / 3; /* nearly too long ago */
    do
        room_member_free(presence_join("later"));
    while (room->presence.sent == sent && net_now() < ended + 10 * LATEST);
    assert_true(room->presence.sent > sent);
    free_all(people, MANY);
}

static void test_the_sender_is_another_when_it_leaves(void **state)
{
    (void)state;
    struct room_member *ana = presence_join("Ana"), *bob = presence_join_as("Bob", 1);
    struct room *room = ana->member.room;
    presence_hold(room);
    struct room_member *cat = presence_join("Cat");
    int64_t due = room->presence.due;
    assert_ptr_equal(room->presence_sender, &cat->member);
    assert_int_equal(cat->member.presence_due, due);
    room_flush_presence(&cat->member); /* too early */
    assert_int_equal(room->presence.due, due);
    room_member_free(cat);
    assert_ptr_equal(room->presence_sender, &ana->member);
    assert_int_equal(ana->member.presence_due, due);
    room_member_free(ana);
    assert_ptr_equal(room->presence_sender, &bob->member);
    struct room_member *heir = presence_join_as("Bob", 1);
    assert_ptr_equal(room->presence_sender, &heir->member);
    assert_int_equal(bob->member.presence_due, INT64_MAX);
    room_member_hear(heir);
    room_flush_presence(&bob->member); /* it is no longer the sender */
    room_member_free(bob);
    assert_ptr_equal(room->presence_sender, &heir->member);
    room_member_free(heir);
}

/* ---- Members that miss a change ---- */

static void test_one_that_does_not_read_gets_the_list(void **state)
{
    (void)state;
    struct room_member *ana = presence_join("Ana"), *slow = presence_join("slow");
    struct room *room = ana->member.room;
    struct user_list list = {.version = 0};
    user_list_read_lines(&list, room_member_hear(slow));
    int full = 0;
    size_t grown;
    while (!outbox_state(&slow->out).events) /* until its socket is full */
        for (int i = 0; i < 4; i++) {
            assert_true(room_member_append(ana, "\"................................\"", &grown));
            room_fan_out(room);
            room_member_hear(ana);
        }
    for (; full < 3 * OUTBOX_CHANGES_MAX; full++) {
        room->presence.paid = 0;
        room_member_free(presence_join("flapper"));
        room_fan_out(room);
        assert_in_range(slow->out.changes, 0, OUTBOX_CHANGES_MAX);
    }
    room->presence.paid = 0;
    struct room_member *bob = presence_join("Bob");
    room_member_hear(ana);
    user_list_read_lines(&list, room_member_hear(slow));
    assert_true(list.lists > 1);
    assert_true(list.changes <= OUTBOX_CHANGES_MAX + 1);
    assert_int_equal(list.known, 3);
    assert_int_equal(list.version, room->presence.version);
    assert_true(user_list_find(&list, "Bob") < 3);
    room_member_free(bob);
    check_text(room_member_hear(slow), "\"Left\":[\"Bob\"]"); /* and changes again */
    room_member_free(slow);
    room_member_free(ana);
}

/* Wherever memory is out while a change is told, in the end all have the same list. */
static void test_without_memory_the_list_comes_later(void **state)
{
    (void)state;
    struct room_member *people[3] = {presence_join("Ana"), presence_join("Bob"),
                                     presence_join("Cat")};
    struct room *room = people[0]->member.room;
    struct user_list lists[3] = {{.version = 0}};
    int owed = 0;
    bool failed = true;
    for (int fails = 0; failed; fails++) {
        presence_hold(room);
        struct room_member *eve = presence_join("Eve");
        room->presence.due = net_now();
        no_memory_from(fails);
        room_flush_presence(&eve->member);
        failed = no_memory_end();
        assert_true(failed || !room->presence_sender);
        if (room->presence_sender) { /* else all could be sent the list, if not the change */
            assert_ptr_equal(room->presence_sender, &eve->member);
            assert_in_range(room->presence.due, net_now(), net_now() + 100);
            owed++;
        }
        presence_send_now(room);
        assert_null(room->presence_sender);
        for (int i = 0; i < 3; i++) {
            user_list_read_lines(&lists[i], room_member_hear(people[i]));
            assert_int_equal(lists[i].version, room->presence.version);
            assert_int_equal(lists[i].known, 4);
        }
        no_memory_after(0); /* also where the name cannot be kept */
        room_member_leave(eve);
        no_memory_end();
        presence_send_now(room);
        room_member_free(eve);
        for (int i = 0; i < 3; i++) {
            user_list_read_lines(&lists[i], room_member_hear(people[i]));
            assert_int_equal(lists[i].known, 3);
        }
    }
    assert_true(owed >= 5); /* the names, the frame, and the place in each queue */
    check_room_locks(room);
    free_all(people, 3);
}

/* A newcomer for whom there is no memory for a list is closed. */
static void test_a_newcomer_without_a_list_is_closed(void **state)
{
    (void)state;
    const char *why;
    struct room_member *ana = presence_join("Ana");
    struct join_request request = room_test_request("presence", "Bob");
    room_member_hear(ana);
    presence_hold(ana->member.room);
    int closed = 0;
    bool failed = true;
    for (int fails = 0; failed; fails++) {
        struct room_member *bob = room_member_new();
        no_memory_after(fails);
        enum protocol_error code = room_member_steps(bob, &request, &why);
        failed = no_memory_end();
        bob->joined = !code;
        bool is_closed = strstr(room_member_hear(bob), "close:1013:out of memory\n") != NULL;
        assert_true(is_closed == (failed && !code));
        closed += is_closed;
        room_member_free(bob);
    }
    assert_true(closed >= 3); /* the names, the frame, its place in the queue */
    room_member_free(ana);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_newcomer_gets_the_list_and_others_the_change),
        cmocka_unit_test(test_changes_of_a_moment_are_one),
        cmocka_unit_test(test_a_short_visit_is_not_told),
        cmocka_unit_test(test_a_short_visit_that_was_shown_is_told),
        cmocka_unit_test(test_one_that_left_and_came_back_is_in_both),
        cmocka_unit_test(test_one_whose_place_was_taken_over_is_in_both),
        cmocka_unit_test(test_one_whose_place_was_taken_over_says_nothing_more),
        cmocka_unit_test(test_changes_follow_what_was_said_before),
        cmocka_unit_test(test_both_kinds_share_a_room),
        cmocka_unit_test(test_the_maximum_of_a_list),
        cmocka_unit_test(test_a_room_is_counted_above_the_maximum),
        cmocka_unit_test(test_a_moment_above_the_maximum),
        cmocka_unit_test(test_in_a_counted_room_the_same_count_is_no_news),
        cmocka_unit_test(test_a_change_costs_its_bytes),
        cmocka_unit_test(test_a_change_costs_no_more_than_its_maximum),
        cmocka_unit_test(test_the_burst_has_an_end),
        cmocka_unit_test(test_in_a_large_room_changes_wait),
        cmocka_unit_test(test_a_large_room_waits_for_a_crowd),
        cmocka_unit_test(test_the_sender_is_another_when_it_leaves),
        cmocka_unit_test(test_one_that_does_not_read_gets_the_list),
        cmocka_unit_test(test_without_memory_the_list_comes_later),
        cmocka_unit_test(test_a_newcomer_without_a_list_is_closed),
    };
    return cmocka_run_group_tests(tests, rooms_begin, rooms_end);
}
