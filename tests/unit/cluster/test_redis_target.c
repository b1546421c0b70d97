/* SPDX-License-Identifier: MIT
 *
 * test_redis_target.c - which addresses of an engine are read, and which are refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "cluster/redis_target.h"

static struct redis_target target;
static char error[NET_ERROR_MAX];

static void addresses_are_read(void **state)
{
    (void)state;
    assert_int_equal(redis_target_parse(&target, "unix:/run/redis/redis.sock", error), 0);
    assert_int_equal(target.transport, REDIS_UNIX);
    assert_string_equal(target.path, "/run/redis/redis.sock");
    assert_int_equal(redis_target_parse(&target, "tcp:10.0.0.1:6379", error), 0);
    assert_int_equal(target.transport, REDIS_TCP);
    assert_string_equal(target.places[0].host, "10.0.0.1");
    assert_int_equal(target.places[0].port, 6379);
    assert_int_equal(redis_target_parse(&target, "tls:engine.example.org:1", error), 0);
    assert_int_equal(target.transport, REDIS_TLS);
    assert_string_equal(target.places[0].host, "engine.example.org");
    assert_int_equal(redis_target_parse(&target, "tcp:[::1]:65535", error), 0);
    assert_string_equal(target.places[0].host, "::1");
    assert_int_equal(target.places[0].port, 65535);
    assert_string_equal(target.user, "");
    assert_string_equal(target.password, "");
}

static void sentinels_are_read(void **state)
{
    (void)state;
    assert_int_equal(redis_target_parse(&target, "sentinel:my-room_1.x@10.0.0.1:26379", error), 0);
    assert_int_equal(target.transport, REDIS_TCP);
    assert_string_equal(target.master, "my-room_1.x");
    assert_int_equal(target.count, 1);
    assert_int_equal(redis_target_parse(&target, "sentinel-tls:m@a:1,[::1]:2,c.d:3,e:4,f:5", error),
                     0);
    assert_int_equal(target.transport, REDIS_TLS);
    assert_int_equal(target.count, TARGET_PLACES_MAX);
    assert_string_equal(target.places[1].host, "::1");
    assert_string_equal(target.places[4].host, "f");
    assert_int_equal(target.places[4].port, 5);
    assert_int_equal(redis_target_parse(&target, "tcp:10.0.0.1:6379", error), 0);
    assert_string_equal(target.master, "");
}

static void others_are_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "redis",
        "redis://h:1",
        "unix:",
        "unix:relative",
        "tcp:",
        "tcp:host",
        "tcp:host:",
        "tcp:host:0",
        "tcp:host:65536",
        "tcp::1",
        "tcp:h o:1",
        "tcp:host:x",
        "tls:[::1:1",
        "tls:[]:1",
        "TCP:host:1",
        "tcp:user@h:1",
        "sentinel:h:1",
        "sentinel:@h:1",
        "sentinel:a b@h:1",
        "sentinel:m@",
        "sentinel:m@h:1,",
        "sentinel:m@h:1,,h:2",
        "sentinel:m@h",
        "sentinel:m@a:1,b:1,c:1,d:1,e:1,f:1",
    };
    char longest[400];
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        assert_int_equal(redis_target_parse(&target, bad[i], error), -1);
        assert_non_null(strstr(error, "expected unix:PATH, tcp:HOST:PORT, tls:HOST:PORT or "
                                      "sentinel:NAME@HOST:PORT,..., got"));
        assert_non_null(strstr(error, bad[i]));
    }
    memset(longest, 'a', sizeof(longest));
    memcpy(longest, "unix:/", 6);
    longest[5 + TARGET_PATH_MAX] = '\0';
    assert_int_equal(redis_target_parse(&target, longest, error), -1);
    assert_string_equal(error, "expected a path of at most 107 bytes, got 108");
    longest[5 + TARGET_PATH_MAX - 1] = '\0';
    assert_int_equal(redis_target_parse(&target, longest, error), 0);
    memset(longest, 'a', sizeof(longest));
    memcpy(longest, "tcp:", 4);
    strcpy(longest + 4 + NET_NAME_MAX, ":1");
    assert_int_equal(redis_target_parse(&target, longest, error), -1);
    strcpy(longest + 4 + NET_NAME_MAX - 1, ":1");
    assert_int_equal(redis_target_parse(&target, longest, error), 0);
}

static void replies_may_hold_many_of_the_longest_messages(void **state)
{
    (void)state;
    assert_int_equal(redis_target_parse(&target, "tcp:127.0.0.1:1", error), 0);
    target.message_max = 65536;
    assert_int_equal(redis_target_prepare(&target, NULL, error), 0);
    assert_int_equal(target.answer_max, TARGET_ANSWER_LEAST);
    assert_non_null(target.places[0].addresses);
    redis_target_fini(&target);
    target.message_max = 16 << 20;
    assert_int_equal(redis_target_prepare(&target, NULL, error), 0);
    assert_true(target.answer_max > (size_t)TARGET_MESSAGES * (16 << 20));
    redis_target_fini(&target);
}

static void what_cannot_be_used_is_told_at_the_start(void **state)
{
    (void)state;
    assert_int_equal(redis_target_parse(&target, "tls:127.0.0.1:1", error), 0);
    assert_int_equal(redis_target_prepare(&target, "/nonexistent/ca.crt", error), -1);
    assert_non_null(strstr(error, "/nonexistent/ca.crt: "));
    redis_target_fini(&target);
    assert_int_equal(redis_target_parse(&target, "tcp:host.invalid:1", error), 0);
    assert_int_equal(redis_target_prepare(&target, NULL, error), -1);
    assert_non_null(strstr(error, "host.invalid: "));
    redis_target_fini(&target);
    target.user = "node";
    assert_int_equal(redis_target_prepare(&target, NULL, error), -1);
    assert_string_equal(error, "expected a password with the user, got none");
    redis_target_fini(&target);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_read),
        cmocka_unit_test(sentinels_are_read),
        cmocka_unit_test(others_are_refused),
        cmocka_unit_test(replies_may_hold_many_of_the_longest_messages),
        cmocka_unit_test(what_cannot_be_used_is_told_at_the_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
