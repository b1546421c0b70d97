/* SPDX-License-Identifier: MIT
 *
 * test_keeper.c - rooms in a history file: what members get before and after it is stored, what a
 * room is loaded with, who must wait. Until keeper_start nothing is stored, so the tests say when.
 */
#include "room/keeper.h"

#include <sched.h>

#include "room_member.h"
#include "store_file.h"

static char no_file[1];

static void open_rooms(void)
{
    char error[CONFIG_ERROR_MAX] = "";
    if (keeper_open(&room_test_config, error) < 0)
        fail_msg("%s", error);
    assert_int_equal(rooms_init(&room_test_config), 0);
}

static void close_rooms(void)
{
    keeper_finish(net_now() + ROOM_TEST_TIMEOUT_MS);
    assert_true(keeper_close());
    rooms_fini();
}

static int begin(void **state)
{
    static char main_room[1], tea[] = "tea";
    net_wake_init();
    if (make_store_folder(state) < 0)
        return -1;
    room_test_config.history_file = store_path;
    room_test_config.history_messages = 10000;
    room_test_config.history_rooms[0] = main_room;
    room_test_config.history_rooms[1] = tea;
    room_test_config.history_rooms_count = 2;
    open_rooms();
    return 0;
}

static int end(void **state)
{
    room_test_config.history_file = no_file;
    return remove_store_folder(state);
}

/* Waits until the member has heard a text, and returns all that it heard since the call. */
static const char *hear_until(struct room_member *person, const char *text)
{
    int64_t until = net_now() + ROOM_TEST_TIMEOUT_MS;
    person->heard[0] = '\0';
    while (!strstr(person->heard, text)) {
        room_member_read(person);
        if (net_now() > until)
            fail_msg("heard only: %s", person->heard);
        sched_yield();
    }
    return person->heard;
}

/* A member that joins with Resume. */
static struct room_member *come_back(const char *room, const char *epoch, uint64_t after)
{
    const char *why;
    struct room_member *person = room_member_new();
    struct join_request request = room_test_request(room, "Back");
    request.epoch = epoch;
    request.after = after;
    assert_int_equal(room_member_ask(person, &request, &why), ERROR_NONE);
    return person;
}

static void test_members_get_what_is_stored(void **state)
{
    (void)state;
    struct room_member *ana = room_member_join("", "Ana"), *bob = room_member_join("", "Bob");
    room_member_hear(bob);
    room_member_say(ana, "\"first\"");
    room_member_say(ana, "\"second\"");
    assert_string_equal(room_member_hear(bob), "");
    assert_true(keeper_fans_out(ana->member.room));
    struct room_member *cem = room_member_join("", "Cem");
    check_text(room_member_hear(cem), "\"LastId\":0");
    assert_int_equal(keeper_start(), 0);
    const char *heard = hear_until(bob, "second");
    assert_true(strstr(heard, "first") < strstr(heard, "second"));
    check_text(hear_until(cem, "second"), "\"text\":\"first\",\"Id\":1,");
    room_member_free(ana);
    room_member_free(bob);
    room_member_free(cem);
    close_rooms();
}

static void test_a_room_comes_back_as_it_was(void **state)
{
    (void)state;
    char epoch[ROOM_EPOCH_MAX];
    struct room_member *ana = room_member_join("tea", "Ana");
    memcpy(epoch, ana->member.room->epoch, sizeof(epoch));
    assert_int_equal(keeper_start(), 0);
    for (int i = 1; i <= 5; i++)
        room_member_say(ana, "\"words\"");
    hear_until(ana, "\"Id\":5");
    room_member_free(ana); /* with it the room */
    struct room_member *back = come_back("tea", epoch, 3);
    const char *heard = room_member_hear(back);
    check_text(heard, "\"LastId\":5,\"Resumed\":true");
    assert_int_equal(count_text(heard, "\"History\":true"), 2);
    room_member_say(back, "\"more\"");
    check_text(hear_until(back, "more"), "\"text\":\"more\",\"Id\":6,");
    room_member_free(back);
    close_rooms();
    open_rooms(); /* a restart */
    back = come_back("tea", epoch, 2);
    heard = room_member_hear(back);
    check_text(heard, "\"LastId\":6,\"Resumed\":true");
    assert_int_equal(count_text(heard, "\"History\":true"), 4);
    room_member_free(back);
    close_rooms();
}

/* Stores messages of the room "tea" with these Ids, as another run of the server. */
static void store_ids(const uint64_t *ids, size_t count)
{
    struct store_options options = store_defaults();
    struct store *store = open_store(&options);
    struct store_room room = open_store_room(store, "tea", STORE_EPOCH_A);
    assert_int_equal(store_begin(store), STORE_OK);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(add_message(store, &room, ids[i], 1764500000000, "words"), STORE_OK);
    assert_int_equal(store_commit(store), STORE_OK);
    store_close(store, true);
}

static void check_loaded(const uint64_t *ids, size_t count, uint64_t first_id, uint64_t last_id)
{
    struct room_member *ana;
    close_rooms();
    store_ids(ids, count);
    open_rooms();
    ana = room_member_join("tea", "Ana");
    struct ring_start start = ring_start(&ana->member.room->ring, 1, UINT64_MAX, SIZE_MAX);
    assert_int_equal(start.first_id, first_id);
    assert_int_equal(start.last_id, last_id);
    assert_string_equal(ana->member.room->epoch, STORE_EPOCH_A);
    room_member_free(ana);
    close_rooms();
}

static void test_a_ring_begins_behind_a_gap(void **state)
{
    (void)state;
    static const uint64_t ids[] = {1, 2, 5, 6, 9, 10, 11};
    check_loaded(ids, 7, 9, 11);
}

/* Three quarters of a ring of 64 KiB are some 400 messages of 110 bytes. */
static void test_a_ring_takes_the_newest(void **state)
{
    (void)state;
    uint64_t ids[1000];
    for (uint64_t i = 0; i < 1000; i++)
        ids[i] = i + 1;
    close_rooms();
    store_ids(ids, 1000);
    open_rooms();
    struct room_member *ana = room_member_join("tea", "Ana");
    struct ring *ring = &ana->member.room->ring;
    struct ring_start start = ring_start(ring, 1, UINT64_MAX, SIZE_MAX);
    assert_int_equal(start.last_id, 1000);
    assert_in_range(start.end - start.position, ring->size / 2, ring->size / 5 * 4);
    room_member_free(ana);
    close_rooms();
}

static void test_other_rooms_are_not_stored(void **state)
{
    (void)state;
    struct room_member *ana = room_member_join("coffee", "Ana");
    room_member_say(ana, "\"words\"");
    check_text(room_member_hear(ana), "words");
    assert_false(keeper_fans_out(ana->member.room));
    assert_false(keeper_must_wait(&ana->member, true));
    room_member_free(ana);
    close_rooms();
}

static void test_broadcasts_wait_for_the_keeper(void **state)
{
    (void)state;
    struct room_member *ana = room_member_join("", "Ana");
    while (!keeper_must_wait(&ana->member, true))
        room_member_say(ana, "\"some words that take some place in the ring\"");
    struct ring *ring = &ana->member.room->ring;
    assert_in_range(ring_unready(ring), ring->size / 4, ring->size / 3);
    assert_false(keeper_must_wait(&ana->member, false));
    net_wait(-1, 0, net_now()); /* clears wake-ups from before */
    int64_t until = net_now() + ROOM_TEST_TIMEOUT_MS;
    assert_int_equal(keeper_start(), 0);
    net_wait(-1, 0, until);
    assert_true(net_now() < until); /* woken */
    while (ring_unready(ring) > 0 && net_now() < until)
        sched_yield();
    assert_false(keeper_must_wait(&ana->member, true));
    room_member_free(ana);
    close_rooms();
}

/* Answers wait behind what is not stored; so does a member that would get too many of them. */
static void test_a_member_with_a_full_queue_waits(void **state)
{
    (void)state;
    struct room_member *ana = room_member_join("", "Ana");
    struct frame *answer = frame_new(WS_TEXT, "0123456789", 10);
    room_member_say(ana, "\"words\"");
    while (!keeper_must_wait(&ana->member, false))
        assert_true(outbox_post(&ana->out, OUTBOX_MESSAGE, answer));
    assert_false(keeper_must_wait(&ana->member, true));
    assert_false(outbox_state(&ana->out).closing);
    frame_drop(answer);
    assert_int_equal(keeper_start(), 0);
    hear_until(ana, "words");
    room_member_free(ana);
    close_rooms();
}

static void *start_keeper(void *argument)
{
    (void)argument;
    return keeper_start() == 0 ? argument : NULL;
}

/* A ring that is full of what is not stored: the sender waits, and its message comes last. */
static void test_a_full_ring_makes_the_sender_wait(void **state)
{
    (void)state;
    static char text[4000];
    pthread_t starter;
    struct room_member *ana = room_member_join("", "Ana");
    memset(text, 'x', sizeof(text) - 1);
    text[0] = text[sizeof(text) - 2] = '"';
    struct ring *ring = &ana->member.room->ring;
    while (ring->size - ring_unready(ring) > 2 * sizeof(text))
        room_member_say(ana, text);
    room_member_say(ana, text);
    assert_int_equal(pthread_create(&starter, NULL, start_keeper, ana), 0);
    room_member_say(ana, text);
    room_member_say(ana, "\"the last\"");
    pthread_join(starter, NULL);
    hear_until(ana, "the last");
    room_member_free(ana);
    close_rooms();
}

static void test_the_time_of_a_message_is_read_back(void **state)
{
    (void)state;
    char stamp[JSON_STAMP_MAX];
    size_t len = json_finish_relay(stamp, 7, 1764500000123);
    assert_int_equal(json_relay_time(stamp, len), 1764500000123);
    assert_int_equal(json_relay_time("{\"Time\":12}", 11), 12);
    assert_int_equal(json_relay_time("}", 1), 0);
    assert_int_equal(json_relay_time("", 0), 0);
    assert_int_equal(json_relay_time("123", 3), 0);
    close_rooms();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_members_get_what_is_stored, begin, end),
        cmocka_unit_test_setup_teardown(test_a_room_comes_back_as_it_was, begin, end),
        cmocka_unit_test_setup_teardown(test_a_ring_begins_behind_a_gap, begin, end),
        cmocka_unit_test_setup_teardown(test_a_ring_takes_the_newest, begin, end),
        cmocka_unit_test_setup_teardown(test_other_rooms_are_not_stored, begin, end),
        cmocka_unit_test_setup_teardown(test_broadcasts_wait_for_the_keeper, begin, end),
        cmocka_unit_test_setup_teardown(test_a_member_with_a_full_queue_waits, begin, end),
        cmocka_unit_test_setup_teardown(test_a_full_ring_makes_the_sender_wait, begin, end),
        cmocka_unit_test_setup_teardown(test_the_time_of_a_message_is_read_back, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
