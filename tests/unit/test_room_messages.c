/* SPDX-License-Identifier: MIT
 *
 * test_room_messages.c - broadcasts and private messages, in one thread; test_room_threads.c has
 * the fan-out with several.
 */
#include "room.h"

#include "base/metrics.h"
#include "no_memory.h"
#include "room_member.h"

/* ---- Broadcasts ---- */

static void test_a_broadcast_reaches_all_and_is_numbered(void **state)
{
    (void)state;
    struct room_member *ana = room_member_join("talk", "Ana"),
                       *bob = room_member_join("talk", "Bob");
    struct room_member *elsewhere = room_member_join("other", "Bob");
    room_member_hear(ana);
    room_member_hear(bob);
    room_member_hear(elsewhere);
    room_member_say(ana, "\"one\"");
    room_member_say(bob, "\"two\"");
    const char *heard = room_member_hear(ana);
    check_text(heard, "\"SrcUser\":\"Ana\",\"TgtUser\":\"\",\"text\":\"one\",\"Id\":1,\"Time\":");
    check_text(heard, "\"SrcUser\":\"Bob\",\"TgtUser\":\"\",\"text\":\"two\",\"Id\":2,\"Time\":");
    assert_int_equal(count_text(heard, "\n"), 2);
    assert_string_equal(room_member_hear(bob), ana->heard);
    assert_string_equal(room_member_hear(elsewhere), "");
    room_member_free(elsewhere);
    room_member_free(ana);
    room_member_free(bob);
}

static void test_the_time_is_that_of_the_clock(void **state)
{
    (void)state;
    struct timespec before, after;
    struct room_member *ana = room_member_join("clock", "Ana");
    room_member_hear(ana);
    clock_gettime(CLOCK_REALTIME, &before);
    room_member_say(ana, "\"x\"");
    clock_gettime(CLOCK_REALTIME, &after);
    const char *time = strstr(room_member_hear(ana), "\"Time\":");
    assert_non_null(time);
    int64_t ms = strtoll(time + strlen("\"Time\":"), NULL, 10);
    assert_true(ms >= before.tv_sec * 1000 + before.tv_nsec / 1000000);
    assert_true(ms <= after.tv_sec * 1000 + after.tv_nsec / 1000000);
    room_member_free(ana);
}

/* Fills a member's socket, so that nothing it is sent leaves. */
static void narrow_member(struct room_member *person)
{
    int size = 1;
    assert_int_equal(setsockopt(person->stream.fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
}

/* Where the ring has no room above the slowest, that one is closed, and the others hear all. */
static void test_a_slow_member_holds_nobody_up(void **state)
{
    (void)state;
    char text[4003];
    memset(text, 'y', sizeof(text));
    text[0] = text[4001] = '"';
    text[4002] = '\0';
    struct room_member *ana = room_member_join("slow", "Ana"),
                       *bob = room_member_join("slow", "Bob");
    room_member_hear(ana);
    room_member_hear(bob);
    narrow_member(bob);
    for (int i = 0; i < 40; i++) {
        room_member_say(ana, text);
        assert_int_equal(count_text(room_member_hear(ana), "\"Id\":"), 1);
    }
    check_text(room_member_hear(bob),
               "close:1013:too slow: more than half the room's buffer behind");
    assert_true(outbox_state(&bob->out).too_slow);
    room_member_free(ana);
    room_member_free(bob);
}

/* The appender moves the others itself where the ring is full, though nobody has fanned out. */
static void test_a_full_ring_is_emptied_by_the_appender(void **state)
{
    (void)state;
    char text[4003];
    size_t grown = 1;
    memset(text, 'z', sizeof(text));
    text[0] = text[4001] = '"';
    text[4002] = '\0';
    struct room_member *ana = room_member_join("full", "Ana"),
                       *bob = room_member_join("full", "Bob");
    room_member_hear(bob);
    for (int i = 0; i < 17; i++)
        assert_true(room_member_append(ana, text, &grown));
    assert_int_equal(grown, 0);
    assert_true(count_text(room_member_hear(bob), "\"Id\":") >= 8);
    check_room_locks(ana->member.room);
    room_member_free(ana);
    room_member_free(bob);
}

static void test_a_round_says_whether_another_is_needed(void **state)
{
    (void)state;
    size_t grown;
    struct room_member *ana = room_member_join("round", "Ana");
    struct room *room = ana->member.room;
    room_member_hear(ana);
    assert_true(room_member_append(ana, "\"x\"", &grown));
    assert_int_equal(room_member_read(ana), 0); /* appended, not sent */
    assert_false(room_fan_out(room));
    assert_int_equal(room_member_read(ana), 1);
    assert_int_equal(pthread_mutex_lock(&room->members_lock), 0);
    assert_false(room_fan_out(room)); /* somebody is at it */
    assert_int_equal(pthread_mutex_unlock(&room->members_lock), 0);
    assert_int_equal(room->ring.floor, room->ring.end);
    room_member_free(ana);
}

/* ---- Members that read ASCII only ---- */

static struct room_member *join_v1(const char *room, const char *name)
{
    const char *why;
    struct room_member *person = room_member_new();
    struct join_request request = room_test_request(room, name);
    request.v2 = false;
    assert_int_equal(room_member_ask(person, &request, &why), ERROR_NONE);
    return person;
}

static void test_all_is_escaped_while_somebody_reads_ascii_only(void **state)
{
    (void)state;
    size_t grown = 0;
    struct room_member *ana = room_member_join("ascii", "J\u00fcrg"),
                       *old = join_v1("ascii", "Old");
    const char *heard = room_member_hear(old);
    assert_int_equal(strncmp(heard, "{\"ServerName\":\"test\"}\n", 22), 0);
    check_text(heard, "[\"J\\u00fcrg\",\"Old\"]");
    assert_true(room_member_append(ana, "\"\u00e4\"", &grown));
    assert_int_equal(grown, 4 + 4); /* two letters of two bytes as \uXXXX */
    while (room_fan_out(ana->member.room))
        ;
    check_text(room_member_hear(old),
               "\"SrcUser\":\"J\\u00fcrg\",\"TgtUser\":\"\",\"text\":\"\\u00e4\"");
    check_text(room_member_hear(ana), "\\u00e4");
    room_member_leave(old);
    assert_true(room_member_append(ana, "\"\u00e4\"", &grown));
    assert_int_equal(grown, 0);
    while (room_fan_out(ana->member.room))
        ;
    check_text(room_member_hear(ana), "\"text\":\"\u00e4\"");
    room_member_free(old);
    room_member_free(ana);
}

/* An escaped broadcast takes at most an eighth of the ring. */
static void test_what_would_grow_too_large_is_not_escaped(void **state)
{
    (void)state;
    enum { EIGHTH = ROOM_TEST_BUFFER / 8 };
    char text[EIGHTH / 3 + 3];
    size_t grown = 1,
           plain = strlen(
               "{\"msgType\":\"Broadcast\",\"SrcUser\":\"Ana\",\"TgtUser\":\"\",\"text\":\"\"");
    struct room_member *ana = room_member_join("big", "Ana"), *old = join_v1("big", "Old");
    size_t letters = (EIGHTH - plain) / 6; /* so many fit, escaped */
    for (size_t more = 0; more <= 1; more++) {
        char *at = text;
        *at++ = '"';
        for (size_t i = 0; i < letters + more; i++)
            at += sprintf(at, "\u00e4");
        for (size_t i = 0; more == 0 && i < (EIGHTH - plain) % 6; i++)
            *at++ = 'x';
        strcpy(at, "\"");
        assert_true(room_member_append(ana, text, &grown));
        assert_int_equal(grown, more ? 0 : letters * 4);
    }
    room_member_free(old);
    room_member_free(ana);
}

/* ---- Private messages ---- */

static enum room_fate whisper(struct room_member *from, const char *target, struct frame *ack,
                              size_t *grown)
{
    static const char json[] =
        "{\"msgType\":\"PrivateMessage\",\"TgtUser\":\"x\",\"text\":\"\u00e4\"}";
    struct json_object message;
    struct json_error error;
    assert_int_equal(json_parse_message(&message, json, strlen(json), &error), 0);
    const struct room_private private = {.target = target, .message = &message, .ack = ack};
    return room_private(&from->member, &private, grown);
}

static int64_t metric_value(const char *name)
{
    size_t len;
    char *text = metrics_text(&len), *at = text ? strstr(text, name) : NULL;
    assert_non_null(at);
    int64_t value = strtoll(at + strlen(name), NULL, 10);
    free(text);
    return value;
}

static void test_a_private_message_reaches_one(void **state)
{
    (void)state;
    size_t grown = 1;
    struct room_member *ana = room_member_join("priv", "Ana"),
                       *bob = room_member_join("priv", "Bob");
    struct room_member *eve = room_member_join("priv", "Eve");
    struct frame *ack = frame_new(WS_TEXT, "{\"ack\":1}", 9);
    room_member_hear(ana);
    room_member_hear(bob);
    room_member_hear(eve);
    int64_t sent = metric_value("ragnarok_messages_total{kind=\"private\"} ");
    int64_t delivered = metric_value("\nragnarok_deliveries_total ");
    assert_int_equal(whisper(ana, "BOB", ack, &grown), ROOM_DELIVERED);
    assert_int_equal(grown, 0);
    check_text(room_member_hear(bob), "\"SrcUser\":\"Ana\",\"text\":\"\u00e4\",\"Time\":");
    assert_null(strstr(bob->heard, "\"Id\""));
    assert_string_equal(room_member_hear(ana), "{\"ack\":1}\n");
    assert_string_equal(room_member_hear(eve), "");
    assert_int_equal(whisper(ana, "Ana", ack, &grown), ROOM_DELIVERED); /* to oneself */
    assert_int_equal(count_text(room_member_hear(ana), "\n"), 2);
    assert_int_equal(whisper(ana, "Bob", NULL, &grown), ROOM_DELIVERED);
    assert_int_equal(whisper(ana, "Nobody", ack, &grown), ROOM_NOBODY);
    assert_string_equal(room_member_hear(ana), "");
    assert_int_equal(metric_value("ragnarok_messages_total{kind=\"private\"} "), sent + 3);
    assert_int_equal(metric_value("\nragnarok_deliveries_total "), delivered + 3);
    check_room_locks(ana->member.room);
    frame_drop(ack);
    room_member_free(ana);
    room_member_free(bob);
    room_member_free(eve);
}

static void test_a_private_message_is_escaped_for_one_that_needs_it(void **state)
{
    (void)state;
    size_t grown;
    struct room_member *ana = room_member_join("pascii", "Ana"), *old = join_v1("pascii", "Old");
    room_member_hear(old);
    assert_int_equal(whisper(ana, "Old", NULL, &grown), ROOM_DELIVERED);
    assert_int_equal(grown, 4);
    check_text(room_member_hear(old), "\"text\":\"\\u00e4\"");
    assert_int_equal(whisper(old, "Ana", NULL, &grown), ROOM_DELIVERED);
    assert_int_equal(grown, 0);
    check_text(room_member_hear(ana), "\"text\":\"\u00e4\"");
    room_member_free(old);
    room_member_free(ana);
}

static void test_a_busy_receiver_gets_no_more(void **state)
{
    (void)state;
    size_t grown;
    int sent = 0;
    struct room_member *ana = room_member_join("busy", "Ana"),
                       *bob = room_member_join("busy", "Bob");
    struct frame *ack = frame_new(WS_TEXT, "{\"ack\":1}", 9);
    room_member_hear(ana);
    room_member_hear(bob);
    narrow_member(bob);
    enum room_fate fate;
    while ((fate = whisper(ana, "Bob", ack, &grown)) == ROOM_DELIVERED)
        assert_in_range(sent++, 0, 1000);
    assert_int_equal(fate, ROOM_BUSY);
    assert_int_equal(count_text(room_member_hear(ana), "ack"), sent);
    assert_int_equal(count_text(room_member_hear(bob), "PrivateMessage"), sent);
    assert_int_equal(whisper(ana, "Bob", ack, &grown), ROOM_DELIVERED);
    frame_drop(ack);
    room_member_free(ana);
    room_member_free(bob);
}

/* Where memory is out, a message is not sent, its sender is told, and all goes on. */
static void test_messages_without_memory(void **state)
{
    (void)state;
    size_t grown = 9;
    struct room_member *ana = room_member_join("lack", "Ana"), *old = join_v1("lack", "Old");
    int fails = 0;
    enum room_fate fate;
    room_member_hear(old);
    for (;; fails++) {
        grown = 9;
        no_memory_after(fails);
        fate = whisper(ana, "Old", NULL, &grown);
        if (!no_memory_end())
            break;
        assert_true(fate == ROOM_NO_MEMORY || fate == ROOM_BUSY);
        assert_string_equal(room_member_hear(old), "");
    }
    assert_int_equal(fate, ROOM_DELIVERED);
    assert_true(fails >= 4); /* the frame, its escaped text and frame, its place in the queue */
    assert_int_equal(count_text(room_member_hear(old), "PrivateMessage"), 1);
    grown = 9;
    assert_int_equal(whisper(ana, "\xFF", NULL, &grown), ROOM_NO_MEMORY); /* cannot be folded */
    assert_int_equal(grown, 0);
    no_memory_after(0);
    bool said = room_member_append(ana, "\"ä\"", &grown);
    assert_true(no_memory_end());
    assert_false(said);
    room_member_say(ana, "\"b\"");
    check_text(room_member_hear(old), "\"b\"");
    room_member_free(old);
    room_member_free(ana);
}

/* ---- Shares and counters ---- */

static void test_what_a_source_says_is_counted(void **state)
{
    (void)state;
    static const char json[] = "{\"msgType\":\"Broadcast\",\"text\":\"x\"}";
    struct json_object message;
    struct json_error error;
    size_t grown;
    struct sockaddr_storage source = ip4_address("192.0.2.1"), other = ip4_address("192.0.2.2");
    const struct room_payer payer = {&source, 100}, stranger = {&other, 100}, nobody = {NULL, 100};
    struct room_member *ana = room_member_join("share", "Ana");
    assert_int_equal(json_parse_message(&message, json, strlen(json), &error), 0);
    assert_int_equal(room_throttle_ms(&ana->member, &payer), 0);
    for (int i = 0; i < 200; i++) { /* 200 times some 130 bytes; the burst is 8 KiB */
        assert_null(room_broadcast(&ana->member, &message, &nobody, &grown));
        room_member_hear(ana);
    }
    assert_int_equal(room_throttle_ms(&ana->member, &payer), 0);
    for (int i = 0; i < 200; i++) {
        assert_null(room_broadcast(&ana->member, &message, &payer, &grown));
        room_member_hear(ana);
    }
    assert_true(room_throttle_ms(&ana->member, &payer) > 0);
    assert_int_equal(room_throttle_ms(&ana->member, &stranger), 0);
    room_member_free(ana);
}

/* The bytes that are counted are those of the body, escaped or not, and of what ends it. */
static void test_a_share_pays_for_what_is_appended(void **state)
{
    (void)state;
    static const char json[] = "{\"msgType\":\"Broadcast\",\"text\":\"\u00e4\"}";
    static const char body[] =
        "{\"msgType\":\"Broadcast\",\"SrcUser\":\"Ana\",\"TgtUser\":\"\",\"text\":\"\\u00e4\"";
    struct json_object message;
    struct json_error error;
    size_t grown;
    struct sockaddr_storage source = ip4_address("192.0.2.1");
    const struct room_payer payer = {&source, 1e-6};
    struct room_member *ana = room_member_join("pay", "Ana"), *old = join_v1("pay", "Old");
    assert_int_equal(json_parse_message(&message, json, strlen(json), &error), 0);
    assert_null(room_broadcast(&ana->member, &message, &payer, &grown));
    assert_int_equal(grown, 4);
    double level = ana->member.room->share.level;
    assert_true(level <= (double)(strlen(body) + JSON_STAMP_MAX));
    assert_true(level > (double)(strlen(body) + JSON_STAMP_MAX) - 1);
    room_member_free(old);
    room_member_free(ana);
}

static void test_rounds_are_counted(void **state)
{
    (void)state;
    size_t grown;
    struct room_member *ana = room_member_join("count", "Ana"),
                       *bob = room_member_join("count", "Bob");
    int64_t broadcasts = metric_value("ragnarok_messages_total{kind=\"broadcast\"} ");
    int64_t delivered = metric_value("\nragnarok_deliveries_total ");
    int64_t delays = metric_value("\nragnarok_delivery_seconds_count ");
    for (int i = 0; i < 3; i++)
        assert_true(room_member_append(ana, "\"x\"", &grown));
    assert_int_equal(metric_value("ragnarok_messages_total{kind=\"broadcast\"} "), broadcasts + 3);
    room_fan_out(ana->member.room);
    assert_int_equal(metric_value("\nragnarok_deliveries_total "), delivered + 6);
    assert_int_equal(metric_value("\nragnarok_delivery_seconds_count "), delays + 1);
    room_fan_out(ana->member.room); /* nothing was said since */
    assert_int_equal(metric_value("\nragnarok_deliveries_total "), delivered + 6);
    assert_int_equal(metric_value("\nragnarok_delivery_seconds_count "), delays + 1);
    room_member_free(ana);
    room_member_free(bob);
}

/* The age of a round is that of its oldest broadcast. */
static void test_a_round_is_as_old_as_its_oldest_broadcast(void **state)
{
    (void)state;
    size_t grown;
    struct room_member *ana = room_member_join("age", "Ana");
    struct room *room = ana->member.room;
    room_fan_out(room);
    assert_int_equal(room->waiting_since, 0);
    int64_t before = net_now_us();
    assert_true(room_member_append(ana, "\"x\"", &grown));
    int64_t since = room->waiting_since;
    assert_in_range(since, before, net_now_us());
    while (net_now_us() == since)
        ;
    assert_true(room_member_append(ana, "\"y\"", &grown));
    assert_int_equal(room->waiting_since, since);
    room_fan_out(room);
    assert_int_equal(room->waiting_since, 0);
    room_member_free(ana);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_broadcast_reaches_all_and_is_numbered),
        cmocka_unit_test(test_the_time_is_that_of_the_clock),
        cmocka_unit_test(test_a_slow_member_holds_nobody_up),
        cmocka_unit_test(test_a_full_ring_is_emptied_by_the_appender),
        cmocka_unit_test(test_a_round_says_whether_another_is_needed),
        cmocka_unit_test(test_all_is_escaped_while_somebody_reads_ascii_only),
        cmocka_unit_test(test_what_would_grow_too_large_is_not_escaped),
        cmocka_unit_test(test_a_private_message_reaches_one),
        cmocka_unit_test(test_a_private_message_is_escaped_for_one_that_needs_it),
        cmocka_unit_test(test_a_busy_receiver_gets_no_more),
        cmocka_unit_test(test_messages_without_memory),
        cmocka_unit_test(test_what_a_source_says_is_counted),
        cmocka_unit_test(test_a_share_pays_for_what_is_appended),
        cmocka_unit_test(test_rounds_are_counted),
        cmocka_unit_test(test_a_round_is_as_old_as_its_oldest_broadcast),
    };
    return cmocka_run_group_tests(tests, rooms_begin, rooms_end);
}
