/* SPDX-License-Identifier: MIT
 *
 * test_parallel_fan_out.c - a room whose member list several threads walk, while members join and
 * leave: each member hears each broadcast once, in order, and only a slow one is closed.
 */
#include "base/parallel_walk.h"
#include "base/thread_pool.h"
#include "room_member.h"

enum {
    CROWD = 5 * PARALLEL_PART, /* who stay */
    HELPERS = 3,
    TALKERS = 2,
    EACH = 150,   /* broadcasts of each talker, at least */
    WAITING = 20, /* broadcasts that are said before the crowd reads them: they fit its sockets */
    VISITORS = 2,
};

struct guest {
    struct room_member *person;
    uint64_t last_id;
    int texts;
};

static struct guest crowd[CROWD];
static struct room_member *talkers[TALKERS];
static atomic_bool ended, failed;

/* A check on another thread: cmocka can only fail on the first. */
static void expect(bool holds)
{
    if (!holds)
        atomic_store(&failed, true);
}

/* Each Id follows the one before: nothing is missing, twice or out of order. */
static void hear_all(struct guest *guest)
{
    const char *at = room_member_hear(guest->person);
    while ((at = strstr(at, "\"Broadcast\""))) {
        const char *id = strstr(at, "\"Id\":");
        assert_non_null(id);
        uint64_t value = strtoull(id + strlen("\"Id\":"), NULL, 10);
        assert_int_equal(value, guest->last_id + 1);
        guest->last_id = value;
        guest->texts++;
        at = id;
    }
}

static void *talk(void *argument)
{
    struct room_member *person = argument;
    for (int i = 0; i < WAITING; i++)
        room_member_say(person, "\"hello\"");
    return NULL;
}

/* Joins and leaves all the time, so the list changes between the rounds. */
static void *visit(void *argument)
{
    int number = *(int *)argument;
    struct room_member *person = room_member_new();
    char name[32];
    const char *why;
    struct join_request request = room_test_request("crowd", name);
    for (int i = 0; !ended; i++) {
        snprintf(name, sizeof(name), "visitor%d-%d", number, i);
        expect(!room_member_ask(person, &request, &why));
        room_member_leave(person);
        person->heard[0] = '\0';
        room_member_read(person);
    }
    room_member_free(person);
    return NULL;
}

static int fill_room(void **state)
{
    char name[32];
    for (int i = 0; i < CROWD; i++) {
        snprintf(name, sizeof(name), "guest%d", i);
        crowd[i] = (struct guest){.person = room_member_join("crowd", name)};
    }
    for (int i = 0; i < TALKERS; i++) {
        snprintf(name, sizeof(name), "talker%d", i);
        talkers[i] = room_member_join("crowd", name);
    }
    for (int i = 0; i < CROWD; i++)
        room_member_hear(crowd[i].person);
    crowd[0].person->member.room->parallel_from = 2;
    parallel_walk_allow(HELPERS);
    ended = failed = false;
    *state = crowd[0].person->member.room;
    return 0;
}

static int empty_room(void **state)
{
    check_room_locks(*state);
    for (int i = 0; i < TALKERS; i++)
        room_member_free(talkers[i]);
    for (int i = 0; i < CROWD; i++)
        room_member_free(crowd[i].person);
    return 0;
}

/* All talk at once, and then everybody reads. */
static void talk_once(void)
{
    pthread_t threads[TALKERS];
    for (int i = 0; i < TALKERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, talk, talkers[i]), 0);
    for (int i = 0; i < TALKERS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    room_fan_out_until_idle(talkers[0]->member.room);
    for (int i = 0; i < TALKERS; i++)
        room_member_hear(talkers[i]);
}

static void test_each_member_hears_each_broadcast_once(void **state)
{
    (void)state;
    pthread_t visitors[VISITORS];
    int numbers[VISITORS];
    for (int i = 0; i < VISITORS; i++) {
        numbers[i] = i;
        assert_int_equal(pthread_create(&visitors[i], NULL, visit, &numbers[i]), 0);
    }
    for (int said = 0; said < EACH; said += WAITING) {
        talk_once();
        for (int i = 0; i < CROWD; i++)
            hear_all(&crowd[i]);
    }
    ended = true;
    for (int i = 0; i < VISITORS; i++)
        assert_int_equal(pthread_join(visitors[i], NULL), 0);
    assert_false(failed);
    int rounds = (EACH + WAITING - 1) / WAITING;
    for (int i = 0; i < CROWD; i++)
        assert_int_equal(crowd[i].texts, TALKERS * WAITING * rounds);
}

/* When the fan-out returns every socket has the bytes, whichever thread wrote them: a peer reads
 * them without help of its member's thread. */
static void test_all_bytes_are_sent_when_the_fan_out_returns(void **state)
{
    (void)state;
    for (int round = 0; round < EACH; round++) {
        room_member_say(talkers[0], "\"now\"");
        for (int i = 0; i < CROWD; i++) {
            crowd[i].person->heard[0] = '\0';
            assert_int_equal(room_member_read(crowd[i].person), 1);
        }
    }
}

/* The floor is the position of the slowest, whichever part it is in; so nothing that it has not
 * read is overwritten, and it is closed when it is half the ring behind. */
static void test_only_a_slow_member_is_closed(void **state)
{
    (void)state;
    static char text[4000];
    struct room *room = *state;
    int size = 2048, slow = CROWD - 1;
    assert_int_equal(
        setsockopt(crowd[slow].person->stream.fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
    memset(text, 'x', sizeof(text) - 1);
    text[0] = text[sizeof(text) - 2] = '"';
    for (int i = 0; i < 2 * ROOM_TEST_BUFFER / (int)sizeof(text); i++) {
        room_member_say(talkers[0], text);
        for (int k = 0; k < slow; k++)
            hear_all(&crowd[k]);
        room_member_hear(talkers[0]);
        room_member_hear(talkers[1]);
        uint64_t behind = ring_end(&room->ring) - room->ring.floor;
        assert_true(behind <= room->ring.size / 2 + sizeof(text) + 256);
        struct outbox *out = &crowd[slow].person->out;
        if (out->ring)
            assert_int_equal(room->ring.floor, out->position);
    }
    assert_true(outbox_state(&crowd[slow].person->out).too_slow);
    for (int k = 0; k < slow; k++)
        assert_false(outbox_state(&crowd[k].person->out).closing);
}

static int end_rooms(void **state)
{
    parallel_walk_allow(0);
    thread_pool_stop();
    return rooms_end(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_each_member_hears_each_broadcast_once, fill_room,
                                        empty_room),
        cmocka_unit_test_setup_teardown(test_all_bytes_are_sent_when_the_fan_out_returns, fill_room,
                                        empty_room),
        cmocka_unit_test_setup_teardown(test_only_a_slow_member_is_closed, fill_room, empty_room),
    };
    return cmocka_run_group_tests(tests, rooms_begin, end_rooms);
}
