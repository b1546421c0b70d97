/* SPDX-License-Identifier: MIT
 *
 * test_share.c - fair shares of a room's rate, with a clock of their own.
 */
#include "delivery/share.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { RATE = 1000, BURST = 8000, SOURCES = 100 };

static struct share share;
static int64_t now;
static struct sockaddr_storage sources[SOURCES];

static int begin(void **state)
{
    (void)state;
    share_init(&share, BURST);
    now = 1000000;
    for (int i = 0; i < SOURCES; i++) {
        char text[32];
        snprintf(text, sizeof(text), "192.0.2.%d", i + 1);
        assert_true(address_read(text, strlen(text), &sources[i]));
    }
    return 0;
}

static int end(void **state)
{
    (void)state;
    share_fini(&share);
    return 0;
}

static void say(int source, size_t bytes)
{
    share_charge(&share, &sources[source], RATE, now, bytes);
}

static int64_t throttle_ms(int source)
{
    return share_throttle_ms(&share, &sources[source], RATE, now);
}

static void test_a_burst_is_said_at_once(void **state)
{
    (void)state;
    for (int i = 0; i < 8; i++) {
        assert_int_equal(throttle_ms(0), 0);
        say(0, 1000);
    }
    assert_true(throttle_ms(0) > 0);
}

static void test_one_source_has_the_whole_rate(void **state)
{
    (void)state;
    say(0, BURST + 100);
    assert_int_equal(throttle_ms(0), 100);
    now += 101;
    assert_int_equal(throttle_ms(0), 0);
}

static void test_a_source_below_its_share_is_not_delayed(void **state)
{
    (void)state;
    say(0, 2 * BURST);
    say(1, 2 * BURST);
    for (int i = 0; i < 100; i++) { /* it says 300 a second, of some 333 */
        assert_int_equal(throttle_ms(2), 0);
        say(2, 30);
        assert_true(throttle_ms(0) > 0);
        assert_true(throttle_ms(1) > 0);
        now += 100;
    }
}

static void test_a_source_above_its_share_waits(void **state)
{
    (void)state;
    int64_t said = 0;
    say(0, 10 * BURST);
    for (int i = 0; i < 1000; i++, now += 10) {
        if (throttle_ms(1) > 0)
            continue;
        say(1, 100);
        said += 100;
    }
    assert_in_range(said, 5000 - 100, 5000 + BURST / 4 + 100);
}

/* Whoever may talk does, all the time; returns how much the room was told in ten seconds. */
static int64_t talk_all(int count, int64_t *most)
{
    int64_t said = 0;
    *most = 0;
    for (int64_t until = now + 10000; now < until; now++)
        for (int i = 0; i < count; i++)
            if (throttle_ms(i) == 0) {
                say(i, 40);
                said += 40;
                *most = (int64_t)share.level > *most ? (int64_t)share.level : *most;
            }
    return said;
}

static void test_many_sources_share_one_rate(void **state)
{
    (void)state;
    int64_t most;
    int64_t said = talk_all(20, &most);
    assert_in_range(said, 10 * RATE, 10 * RATE + BURST * 3 / 2 + 20 * 40);
    assert_in_range(most, BURST, BURST * 3 / 2 + 20 * 40);
}

static void test_more_sources_than_are_told_apart_gain_no_more(void **state)
{
    (void)state;
    int64_t most;
    int64_t said = talk_all(SOURCES, &most);
    assert_in_range(said, 10 * RATE, 10 * RATE + BURST * 3 / 2 + SOURCES * 40);
    assert_true(share.count <= SHARE_TALKERS);
}

static void test_quiet_sources_are_forgotten(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++)
        say(i, 100);
    assert_int_equal(share.count, 10);
    now += 10000;
    say(0, 100);
    assert_int_equal(share.count, 1);
    assert_int_equal((int)share.level, 100);
}

static void test_a_pause_is_neither_short_nor_long(void **state)
{
    (void)state;
    say(0, BURST + 1);
    assert_int_equal(throttle_ms(0), SHARE_RETRY_MS);
    say(0, 100 * BURST);
    assert_int_equal(throttle_ms(0), SHARE_PAUSE_MS);
}

static void test_a_clock_that_stands_still_drains_nothing(void **state)
{
    (void)state;
    say(0, BURST + 100);
    now -= 5000; /* another thread came first */
    assert_int_equal(throttle_ms(0), 100);
    now += 5000;
    assert_int_equal(throttle_ms(0), 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_burst_is_said_at_once, begin, end),
        cmocka_unit_test_setup_teardown(test_one_source_has_the_whole_rate, begin, end),
        cmocka_unit_test_setup_teardown(test_a_source_below_its_share_is_not_delayed, begin, end),
        cmocka_unit_test_setup_teardown(test_a_source_above_its_share_waits, begin, end),
        cmocka_unit_test_setup_teardown(test_many_sources_share_one_rate, begin, end),
        cmocka_unit_test_setup_teardown(test_more_sources_than_are_told_apart_gain_no_more, begin,
                                        end),
        cmocka_unit_test_setup_teardown(test_quiet_sources_are_forgotten, begin, end),
        cmocka_unit_test_setup_teardown(test_a_pause_is_neither_short_nor_long, begin, end),
        cmocka_unit_test_setup_teardown(test_a_clock_that_stands_still_drains_nothing, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
