/* SPDX-License-Identifier: MIT
 *
 * test_room_threads.c - a room with several threads: each member is its own thread's, which joins,
 * talks, fans out and leaves while the others do the same.
 *
 * With SAN=thread every race shows. Without it, what a member heard has to be whole: each broadcast
 * once, in the order of the Ids, and each sender's messages in the order in which it said them.
 */
#include "room.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "room_member.h"

enum {
    TALKERS = 4,
    EACH = 100,  /* broadcasts of each talker */
    WINDOW = 20, /* broadcasts that a talker may be ahead of the slowest: less than half a ring */
    VISITS = 40,
};

struct talker {
    pthread_t thread;
    struct room_member *person;
    int number;
    atomic_int heard;  /* broadcasts of all that it has heard */
    int last[TALKERS]; /* by sender: number of the last message heard */
    uint64_t last_id;
};

static struct talker talkers[TALKERS];
static atomic_int said, joined; /* by talkers */
static atomic_bool begun;       /* they may talk */
static atomic_bool failed;

/* A check on another thread: cmocka can only fail on the first. */
static void expect(bool holds)
{
    if (!holds)
        atomic_store(&failed, true);
}

static void hear_broadcast(struct talker *talker, const char *line)
{
    int sender, number;
    const char *text = strstr(line, "\"text\":\"t"), *id = strstr(line, "\"Id\":");
    if (!id)
        return;
    uint64_t value = strtoull(id + strlen("\"Id\":"), NULL, 10);
    expect(talker->last_id == 0 || value == talker->last_id + 1);
    talker->last_id = value;
    if (!text || sscanf(text, "\"text\":\"t%d-%d\"", &sender, &number) != 2)
        return;
    expect(sender >= 0 && sender < TALKERS);
    expect(number == talker->last[sender] + 1);
    talker->last[sender] = number;
    atomic_fetch_add(&talker->heard, 1);
}

static void listen_to_all(struct talker *talker)
{
    struct room_member *person = talker->person;
    outbox_flush(&person->out);
    person->heard[0] = '\0';
    room_member_read(person);
    for (char *line = person->heard; *line;) {
        char *end = strchr(line, '\n');
        *end = '\0';
        hear_broadcast(talker, line);
        line = end + 1;
    }
}

static int slowest(void)
{
    int least = INT32_MAX;
    for (int i = 0; i < TALKERS; i++)
        least = talkers[i].heard < least ? talkers[i].heard : least;
    return least;
}

static void *talk(void *argument)
{
    struct talker *talker = argument;
    char text[64];
    const char *why;
    struct join_request request = room_test_request("threads", NULL);
    int64_t until = net_now() + ROOM_TEST_TIMEOUT_MS;
    snprintf(text, sizeof(text), "talker%d", talker->number);
    request.name = text;
    expect(!room_member_ask(talker->person, &request, &why));
    atomic_fetch_add(&joined, 1);
    while (!begun && net_now() < until)
        net_wait(-1, 0, net_now() + 1);
    for (int i = 1; i <= EACH && net_now() < until;) {
        if (said - slowest() < WINDOW) {
            snprintf(text, sizeof(text), "\"t%d-%d\"", talker->number, i++);
            atomic_fetch_add(&said, 1);
            room_member_say(talker->person, text);
        }
        listen_to_all(talker);
        if (said - slowest() >= WINDOW)
            net_wait(talker->person->peer, POLLIN, net_now() + 1);
    }
    while (talker->heard < TALKERS * EACH && net_now() < until) {
        net_wait(talker->person->peer, POLLIN, until);
        listen_to_all(talker);
    }
    return NULL;
}

/* A bystander that comes and goes all the time. */
static void *visit(void *argument)
{
    struct room_member *person = argument;
    char name[32];
    const char *why;
    struct join_request request = room_test_request("threads", name);
    for (int i = 0; i < VISITS; i++) {
        snprintf(name, sizeof(name), "visitor%d", i);
        expect(!room_member_ask(person, &request, &why));
        atomic_store(&begun, true);
        room_member_say(person, "\"hello\"");
        room_member_leave(person);
        person->heard[0] = '\0';
        room_member_read(person);
    }
    return NULL;
}

static void reset_talkers(void)
{
    said = joined = 0;
    failed = begun = false;
    for (int i = 0; i < TALKERS; i++) {
        talkers[i] = (struct talker){.number = i, .person = room_member_new()};
    }
}

static void start_talkers(void)
{
    reset_talkers();
    for (int i = 0; i < TALKERS; i++)
        assert_int_equal(pthread_create(&talkers[i].thread, NULL, talk, &talkers[i]), 0);
    while (joined < TALKERS)
        sched_yield();
}

static void finish_talkers(void)
{
    for (int i = 0; i < TALKERS; i++)
        pthread_join(talkers[i].thread, NULL);
    assert_false(failed);
    for (int i = 0; i < TALKERS; i++) {
        assert_int_equal(talkers[i].heard, TALKERS * EACH);
        for (int sender = 0; sender < TALKERS; sender++)
            assert_int_equal(talkers[i].last[sender], EACH);
    }
    check_room_locks(talkers[0].person->member.room);
    for (int i = 0; i < TALKERS; i++)
        room_member_free(talkers[i].person);
}

static void test_all_hear_all_in_one_order(void **state)
{
    (void)state;
    start_talkers();
    begun = true;
    finish_talkers();
}

/* One that leaves while another thread fans out leaves cleanly, and its last words are heard. */
static void test_members_come_and_go_meanwhile(void **state)
{
    (void)state;
    pthread_t thread;
    struct room_member *person = room_member_new();
    start_talkers();
    assert_int_equal(pthread_create(&thread, NULL, visit, person), 0);
    pthread_join(thread, NULL);
    finish_talkers();
    room_member_free(person);
}

struct whisperer {
    struct room_member *person;
    const char *to;
    atomic_int delivered;
};

static void *whisper(void *argument)
{
    struct whisperer *one = argument;
    static const char json[] =
        "{\"msgType\":\"PrivateMessage\",\"TgtUser\":\"x\",\"text\":\"psst\"}";
    struct json_object message;
    struct json_error error;
    size_t grown;
    struct frame *ack = frame_new(WS_TEXT, "{}", 2);
    expect(json_parse_message(&message, json, strlen(json), &error) == 0);
    for (int i = 0; i < EACH; i++) {
        const struct room_private private = {.target = one->to, .message = &message, .ack = ack};
        if (room_private(&one->person->member, &private, &grown) == ROOM_DELIVERED)
            one->delivered++;
        outbox_flush(&one->person->out);
        room_member_read(one->person);
    }
    frame_drop(ack);
    return NULL;
}

/* Two that write to each other at the same time take two write locks each, in one order. */
static void test_two_whisper_to_each_other(void **state)
{
    (void)state;
    struct whisperer ana = {room_member_join("pair", "Ana"), "Bob", 0};
    struct whisperer bob = {room_member_join("pair", "Bob"), "Ana", 0};
    pthread_t first, second;
    failed = false;
    assert_int_equal(pthread_create(&first, NULL, whisper, &ana), 0);
    assert_int_equal(pthread_create(&second, NULL, whisper, &bob), 0);
    pthread_join(first, NULL);
    pthread_join(second, NULL);
    assert_false(failed);
    outbox_flush(&ana.person->out);
    outbox_flush(&bob.person->out);
    room_member_read(ana.person);
    room_member_read(bob.person);
    assert_int_equal(count_text(ana.person->heard, "psst"), bob.delivered);
    assert_int_equal(count_text(bob.person->heard, "psst"), ana.delivered);
    assert_int_equal(count_text(ana.person->heard, "{}"), ana.delivered);
    assert_true(ana.delivered > 0 && bob.delivered > 0);
    check_room_locks(ana.person->member.room);
    room_member_free(ana.person);
    room_member_free(bob.person);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_hear_all_in_one_order),
        cmocka_unit_test(test_members_come_and_go_meanwhile),
        cmocka_unit_test(test_two_whisper_to_each_other),
    };
    return cmocka_run_group_tests(tests, rooms_begin, rooms_end);
}
