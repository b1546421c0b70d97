/* SPDX-License-Identifier: MIT
 *
 * test_bridge_apply.c - what entries of a room's log do to the room and its members, those that no
 * server would write included.
 */
#include "room/bridge.h"

#include "people.h"
#include "shared_room.h"

#define ANA  "{\"Name\":\"Ana\"}"
#define BOB  "{\"Name\":\"Bob\"}"
#define BODY "{\"msgType\":\"Broadcast\",\"SrcUser\":\"Bob\",\"TgtUser\":\"\",\"text\":\"hi\""
#define NOTE "{\"msgType\":\"PrivateMessage\",\"SrcUser\":\"Bob\",\"text\":\"psst\""

static void check_heard(struct room_member *person, const char *expected)
{
    assert_string_equal(room_member_hear(person), expected);
}

/* ---- Who is there ---- */

/* The card of a member with these keys, which the caller frees. */
static char *card_of(const char *name, const struct e2e_keys *keys, bool again)
{
    struct json_writer w = {.text = NULL};
    json_write_object(&w, NULL);
    json_write_string(&w, "Name", name);
    e2e_write_keys(&w, keys);
    if (again)
        json_write_bool(&w, "Again", true);
    json_write_end(&w);
    return json_writer_finish(&w, NULL);
}

static void test_a_member_joins_at_its_entry(void **state)
{
    (void)state;
    struct shared_joiner joiner;
    shared_join_remote("bob", BOB);
    uint64_t seq = shared_join_begin(&joiner, "Ana", NULL);
    assert_int_equal(shared_last_call()->op, ENGINE_JOIN);
    assert_int_equal(shared_last_call()->seq, seq);
    assert_true(shared_call_has(shared_last_call(), ANA));
    assert_int_equal(shared_link()->room->count, 0);
    struct log_entry entry = shared_own_entry(LOG_JOIN, seq);
    shared_apply_join(&entry, "ana", ANA);
    struct room_member *ana = shared_join_end(&joiner);
    assert_int_equal(joiner.code, ERROR_NONE);
    check_text(room_member_hear(ana), "\"Count\":2,\"Users\":[\"Ana\",\"Bob\"]");
    assert_int_equal(shared_link()->room->count, 1);
    assert_int_equal(shared_link()->room->roster.count, 2);
    room_member_free(ana);
}

static void test_a_name_that_is_taken_is_told(void **state)
{
    (void)state;
    struct shared_joiner joiner;
    uint64_t seq = shared_join_begin(&joiner, "Ana", NULL);
    struct log_entry entry = shared_own_entry(LOG_REFUSAL, seq);
    entry.code = LOG_NAME_TAKEN;
    shared_apply(&entry);
    struct room_member *ana = shared_join_end(&joiner);
    assert_int_equal(joiner.code, ERROR_NAME_TAKEN);
    room_member_free(ana);
}

static void test_others_come_and_go(void **state)
{
    (void)state;
    struct room_member *ana = shared_join("Ana", "ana", ANA);
    uint64_t tag = shared_join_remote("bob", BOB);
    check_text(room_member_hear(ana), "\"Joined\":[\"Bob\"]");
    shared_leave_remote("bob", tag + 1);
    shared_leave_remote("nobody", tag);
    check_heard(ana, "");
    struct log_entry entry = shared_entry(LOG_LEAVE); /* of a seat that it is not of */
    strcpy(entry.seat, SHARED_THIRD);
    entry.name = text_of("bob");
    entry.tag = tag;
    shared_apply(&entry);
    check_heard(ana, "");
    shared_leave_remote("bob", tag);
    check_text(room_member_hear(ana), "\"Left\":[\"Bob\"]");
    room_member_free(ana);
}

/* A member that has left keeps its name until that is in the log. */
static void test_a_leave_counts_at_its_entry(void **state)
{
    (void)state;
    struct room_member *bob = shared_join("Bob", "bob", BOB);
    struct room_member *ana = shared_join("Ana", "ana", ANA);
    uint64_t tag = bob->member.tag;
    room_member_hear(ana);
    room_member_free(bob);
    assert_int_equal(shared_last_call()->op, ENGINE_LEAVE);
    check_heard(ana, "");
    struct member_info card;
    assert_true(room_look_up(&ana->member, "BOB", &card));
    struct log_entry entry = shared_own_entry(LOG_LEAVE, shared_last_call()->seq);
    entry.name = text_of("bob");
    entry.tag = tag;
    shared_apply(&entry);
    check_text(room_member_hear(ana), "\"Left\":[\"Bob\"]");
    assert_false(room_look_up(&ana->member, "BOB", &card));
    room_member_free(ana);
}

static void test_a_seat_that_is_over_takes_its_members(void **state)
{
    (void)state;
    struct room_member *ana = shared_join("Ana", "ana", ANA);
    shared_join_remote("bob", BOB);
    shared_join_remote("cem", "{\"Name\":\"Cem\"}");
    room_member_hear(ana);
    struct log_entry entry = shared_entry(LOG_SEAT_OVER);
    strcpy(entry.other, SHARED_THIRD);
    shared_apply(&entry);
    assert_int_equal(shared_link()->room->roster.count, 3);
    strcpy(entry.other, SHARED_OTHER);
    shared_apply(&entry);
    assert_int_equal(shared_link()->room->roster.count, 1);
    const char *heard = room_member_hear(ana);
    check_text(heard, "Bob");
    check_text(heard, "Cem");
    assert_int_equal(shared_link()->state, LINK_OPEN);
    room_member_free(ana);
}

static void test_a_join_elsewhere_takes_over(void **state)
{
    (void)state;
    struct room_member *ana = shared_join("Ana", "ana", ANA);
    struct room_member *bob = shared_join("Bob", "bob", BOB);
    room_member_hear(ana);
    shared_join_remote("bob", BOB);
    check_text(room_member_hear(bob), "close:4001:taken over by a newer connection");
    check_text(room_member_hear(ana), "\"Joined\":[\"Bob\"],\"Left\":[\"Bob\"]");
    shared_drop_calls();
    room_member_free(bob);
    assert_null(bridge.queue.first); /* it has nothing to leave */
    assert_int_equal(shared_link()->room->roster.count, 2);
    room_member_free(ana);
}

static void test_a_join_here_takes_over_from_elsewhere(void **state)
{
    (void)state;
    struct room_member *ana = shared_join("Ana", "ana", ANA);
    shared_join_remote("bob", BOB);
    struct room_member *bob = shared_join("Bob", "bob", BOB);
    assert_int_equal(shared_link()->room->roster.count, 2);
    assert_int_equal(shared_link()->room->count, 2);
    room_member_free(bob);
    room_member_free(ana);
}

/* Nobody waits for it any more: it leaves again. */
static void test_a_join_that_came_too_late_leaves(void **state)
{
    (void)state;
    struct room_member *ana = shared_join("Ana", "ana", ANA);
    struct log_entry entry = shared_own_entry(LOG_JOIN, 77);
    shared_apply_join(&entry, "bob", BOB);
    assert_int_equal(shared_last_call()->op, ENGINE_LEAVE);
    assert_true(shared_call_has(shared_last_call(), "77"));
    room_member_free(ana);
}

static void test_keys_are_published(void **state)
{
    (void)state;
    struct shared_joiner joiner;
    struct e2e_keys first, second;
    struct member_info found;
    char hex[2 * E2E_KEY_BYTES + 1];
    people_card("sender", &first);
    second = first;
    second.expires = first.expires - 1;
    hex_write(hex, first.identity, E2E_KEY_BYTES);
    uint64_t seq = shared_join_begin(&joiner, "Ana", &first);
    char *card = card_of("Ana", &first, false);
    struct log_entry entry = shared_own_entry(LOG_JOIN, seq);
    entry.identity = text_of(hex);
    shared_apply_join(&entry, "ana", card);
    free(card);
    struct room_member *ana = shared_join_end(&joiner);
    assert_int_equal(joiner.code, ERROR_NONE);
    struct frame *ack = frame_new(WS_TEXT, "published", 9);
    room_member_hear(ana);
    assert_true(room_publish(&ana->member, &second, ack));
    const struct engine_call *call = shared_last_call();
    assert_int_equal(call->op, ENGINE_PUBLISH);
    assert_true(shared_call_has(call, "\"Again\":true"));
    assert_int_equal(ana->member.tag, call->seq);
    assert_true(room_look_up(&ana->member, "ana", &found));
    assert_int_equal(found.keys.expires, first.expires);
    card = card_of("Ana", &second, true);
    entry = shared_own_entry(LOG_JOIN, call->seq);
    entry.identity = text_of(hex);
    shared_apply_join(&entry, "ana", card);
    free(card);
    assert_true(room_look_up(&ana->member, "ana", &found));
    assert_int_equal(found.keys.expires, second.expires);
    check_heard(ana, "published\n");
    frame_drop(ack);
    room_member_free(ana);
}

/* Other keys of the same seat are no news of who is here; those of another seat are. */
static void test_others_publish_keys(void **state)
{
    (void)state;
    struct e2e_keys keys;
    struct member_info found;
    char hex[2 * E2E_KEY_BYTES + 1];
    people_card("sender", &keys);
    hex_write(hex, keys.identity, E2E_KEY_BYTES);
    struct room_member *ana = shared_join("Ana", "ana", ANA);
    for (int i = 0; i < 4; i++) {
        struct log_entry entry = shared_entry(LOG_JOIN);
        keys.expires = (uint64_t)i + 1;
        char *card = card_of("Bob", &keys, i > 0);
        entry.identity = text_of(hex);
        if (i == 3)
            strcpy(entry.seat, SHARED_THIRD);
        shared_apply_join(&entry, "bob", card);
        free(card);
        assert_true(room_look_up(&ana->member, "bob", &found));
        assert_int_equal(found.keys.expires, i + 1);
        const char *heard = room_member_hear(ana);
        assert_int_equal(count_text(heard, "\"Joined\":[\"Bob\"]"), i == 0 || i == 3);
        assert_int_equal(count_text(heard, "\"Left\":[\"Bob\"]"), i == 3);
    }
    shared_leave_remote("bob", shared_seq); /* the last one is of another seat */
    assert_int_equal(shared_link()->room->roster.count, 2);
    room_member_free(ana);
}

/* What `open` says of who is there. */
static void test_the_members_that_were_there_before(void **state)
{
    (void)state;
    static const struct {
        const char *name, *identity, *card;
        size_t count;
    } rows[] = {
        {"bob", "-", BOB, 1},
        {"bob", "-", BOB, 1},
        {"cem", "-", BOB, 1},
        {"cem", "-", "nonsense", 1},
        {"cem", "ab", "{\"Name\":\"Cem\"}", 1},
        {"cem", "-", "{\"Name\":\"Cem\"}", 2},
    };
    struct room *room = bridge.links->room;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct log_person person = {.name = text_of(rows[i].name),
                                    .identity = text_of(rows[i].identity),
                                    .card = text_of(rows[i].card),
                                    .seat = SHARED_OTHER,
                                    .tag = i + 1};
        bridge_add_person(room, &person);
        assert_int_equal(room->roster.count, rows[i].count);
    }
    struct room_member *ana = shared_join("Ana", "ana", ANA);
    shared_leave_remote("bob", 2);
    assert_int_equal(room->roster.count, 3);
    shared_leave_remote("bob", 1);
    check_text(room_member_hear(ana), "\"Left\":[\"Bob\"]");
    struct log_entry entry = shared_entry(LOG_SEAT_OVER);
    strcpy(entry.other, SHARED_OTHER);
    shared_apply(&entry);
    check_text(room_member_hear(ana), "\"Left\":[\"Cem\"]");
    room_member_free(ana);
}

static void test_a_leave_names_the_membership(void **state)
{
    (void)state;
    struct shared_joiner joiner;
    char tag[32];
    shared_link()->seat.seq = 4711;
    uint64_t seq = shared_join_begin(&joiner, "Ana", NULL);
    struct log_entry entry = shared_own_entry(LOG_JOIN, seq);
    shared_apply_join(&entry, "ana", ANA);
    struct room_member *ana = shared_join_end(&joiner);
    snprintf(tag, sizeof(tag), "\r\n%llu\r\n", (unsigned long long)seq);
    room_member_free(ana);
    assert_int_equal(shared_last_call()->op, ENGINE_LEAVE);
    assert_true(shared_call_has(shared_last_call(), tag));
}

/* ---- What is said ---- */

static void apply_broadcast_of(uint64_t id, const char *body)
{
    struct log_entry entry = shared_entry(LOG_BROADCAST);
    entry.id = id;
    entry.body = text_of(body);
    shared_apply(&entry);
    assert_true(shared_link()->touched);
}

static void test_a_broadcast_has_its_id_and_time(void **state)
{
    (void)state;
    struct room_member *ana = shared_join("Ana", "ana", ANA);
    apply_broadcast_of(1, BODY);
    check_heard(ana, BODY ",\"Id\":1,\"Time\":1234}\n");
    room_member_append(ana, "\"x\"", &(size_t){0});
    assert_int_equal(shared_last_call()->op, ENGINE_SAY);
    assert_true(
        shared_call_has(shared_last_call(), "\"SrcUser\":\"Ana\",\"TgtUser\":\"\",\"text\":\"x\""));
    check_heard(ana, "");
    room_member_free(ana);
}

static void test_what_is_no_broadcast_ends_the_seat(void **state)
{
    (void)state;
    static const struct {
        uint64_t id;
        const char *body;
    } rows[] = {
        {2, BODY},
        {0, BODY},
        {1, "nonsense"},
        {1, ""},
        {1, NOTE},
        {1, BODY ",\"Id\":1"},
        {1, BODY ",\"Time\":1"},
        {1, BODY "},{\"a\":1"},
        {1, "{\"msgType\":\"Broadcast\",\"text\":\"x\""},
    };
    struct room_member *ana = shared_join("Ana", "ana", ANA);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        apply_broadcast_of(rows[i].id, rows[i].body);
        assert_int_equal(shared_link()->state, LINK_LOST);
        assert_true(shared_link()->renews);
        check_heard(ana, "");
        shared_link()->state = LINK_OPEN;
    }
    room_member_free(ana);
}

static void test_an_impossible_entry_ends_the_seat(void **state)
{
    (void)state;
    struct room_member *ana = shared_join("Ana", "ana", ANA);
    struct room_link *link = shared_link();
    static const struct {
        const char *fold, *identity, *card;
    } rows[] = {
        {"bob", "-", "nonsense"},
        {"bob", "-", "{}"},
        {"bob", "-", "{\"Name\":5}"},
        {"bob", "-", "{\"Name\":\"\"}"},
        {"bob", "-", "{\"Name\":\"Cem\"}"},
        {"bob", "ab", BOB},
        {"bob", "-", "{\"Name\":\"Bob\",\"IdentityKey\":\"ab\"}"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct log_entry entry = shared_entry(LOG_JOIN);
        entry.identity = text_of(rows[i].identity);
        shared_apply_join(&entry, rows[i].fold, rows[i].card);
        assert_int_equal(link->state, LINK_LOST);
        assert_int_equal(link->room->roster.count, 1);
        link->state = LINK_OPEN;
    }
    struct log_entry entry = shared_own_entry(LOG_LEAVE, 50);
    entry.name = text_of("ana");
    entry.tag = ana->member.tag;
    shared_apply(&entry);
    assert_int_equal(link->state, LINK_LOST);
    link->state = LINK_OPEN;
    entry = shared_entry(LOG_SEAT_OVER);
    memcpy(entry.other, link->seat.seat, sizeof(entry.other));
    shared_apply(&entry);
    assert_int_equal(link->state, LINK_LOST);
    link->state = LINK_OPEN;
    entry = shared_entry(LOG_EPOCH);
    memcpy(entry.other, link->room->epoch, sizeof(entry.other));
    shared_apply(&entry);
    assert_int_equal(link->state, LINK_OPEN);
    strcpy(entry.other, SHARED_OTHER);
    shared_apply(&entry);
    assert_int_equal(link->state, LINK_LOST);
    check_heard(ana, "");
    link->state = LINK_OPEN;
    room_member_free(ana);
}

static void test_a_room_that_is_given_up_closes_its_members(void **state)
{
    (void)state;
    struct room_member *ana = shared_join("Ana", "ana", ANA);
    struct room_member *bob = shared_join("Bob", "bob", BOB);
    shared_join_remote("cem", "{\"Name\":\"Cem\"}");
    bridge_lose(shared_link(), false, "test");
    bridge_close_members(shared_link()->room, "come back");
    check_text(room_member_hear(ana), "close:1013:come back");
    check_text(room_member_hear(bob), "close:1013:come back");
    assert_int_equal(shared_link()->room->count, 0);
    assert_int_equal(shared_link()->room->roster.count, 0);
    shared_drop_calls();
    room_member_free(ana);
    room_member_free(bob);
    assert_null(bridge.queue.first);
}

/* ---- Private messages ---- */

static struct log_entry note_to(const char *fold, const char *body)
{
    struct log_entry entry = shared_entry(LOG_PRIVATE);
    entry.name = text_of(fold);
    entry.body = text_of(body);
    memcpy(entry.other, shared_link()->seat.seat, sizeof(entry.other));
    return entry;
}

static void test_a_private_message_is_delivered_and_answered(void **state)
{
    (void)state;
    struct room_member *ana = shared_join("Ana", "ana", ANA);
    struct log_entry entry = note_to("ana", NOTE);
    shared_apply(&entry);
    check_heard(ana, NOTE ",\"Time\":1234}\n");
    assert_int_equal(shared_last_call()->op, ENGINE_ANSWER);
    assert_true(shared_call_has(shared_last_call(), "delivered"));
    assert_true(shared_call_has(shared_last_call(), SHARED_OTHER));
    entry = note_to("nobody", NOTE);
    shared_apply(&entry);
    assert_true(shared_call_has(shared_last_call(), "unknown_user"));
    entry = note_to("ana", NOTE); /* for another server */
    strcpy(entry.other, SHARED_THIRD);
    shared_drop_calls();
    shared_apply(&entry);
    assert_null(bridge.queue.first);
    check_heard(ana, "");
    entry = note_to("ana", BODY);
    shared_apply(&entry);
    assert_int_equal(shared_link()->state, LINK_LOST);
    check_heard(ana, "");
    shared_link()->state = LINK_OPEN;
    room_member_free(ana);
}

/* Nothing leaves the member's socket. */
static void test_a_receiver_with_a_full_queue_is_busy(void **state)
{
    (void)state;
    enum { LONG = 6000 };
    char body[LONG + 100];
    struct room_member *ana = shared_join("Ana", "ana", ANA);
    int size = 1, busy = 0;
    setsockopt(ana->stream.fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    size_t len = (size_t)snprintf(body, sizeof(body), "%s,\"x\":\"", NOTE);
    memset(body + len, 'y', LONG - len);
    strcpy(body + LONG, "\"");
    for (int i = 0; i < 20 && !busy; i++) {
        struct log_entry entry = note_to("ana", body);
        shared_apply(&entry);
        busy = shared_call_has(shared_last_call(), "receiver_busy");
        assert_true(busy || shared_call_has(shared_last_call(), "delivered"));
    }
    assert_true(busy);
    assert_false(outbox_state(&ana->out).closing);
    room_member_free(ana);
}

#define SHARED_TEST(test) cmocka_unit_test_setup_teardown(test, shared_begin, shared_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SHARED_TEST(test_a_member_joins_at_its_entry),
        SHARED_TEST(test_a_name_that_is_taken_is_told),
        SHARED_TEST(test_others_come_and_go),
        SHARED_TEST(test_a_leave_counts_at_its_entry),
        SHARED_TEST(test_a_seat_that_is_over_takes_its_members),
        SHARED_TEST(test_a_join_elsewhere_takes_over),
        SHARED_TEST(test_a_join_here_takes_over_from_elsewhere),
        SHARED_TEST(test_a_join_that_came_too_late_leaves),
        SHARED_TEST(test_keys_are_published),
        SHARED_TEST(test_others_publish_keys),
        SHARED_TEST(test_the_members_that_were_there_before),
        SHARED_TEST(test_a_leave_names_the_membership),
        SHARED_TEST(test_a_broadcast_has_its_id_and_time),
        SHARED_TEST(test_what_is_no_broadcast_ends_the_seat),
        SHARED_TEST(test_an_impossible_entry_ends_the_seat),
        SHARED_TEST(test_a_room_that_is_given_up_closes_its_members),
        SHARED_TEST(test_a_private_message_is_delivered_and_answered),
        SHARED_TEST(test_a_receiver_with_a_full_queue_is_busy),
    };
    return cmocka_run_group_tests_name("bridge_apply", tests, people_load, people_unload);
}
