/* SPDX-License-Identifier: MIT
 *
 * test_login_throttle.c - login_throttle.c with a clock of its own: how often, for how long, and
 * who else is refused.
 */
#include "server/limits/login_throttle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lock_check.h"

static struct login_throttle guard;
static int64_t now; /* from 0, as on a machine that has just started */

static int begin(void **state)
{
    (void)state;
    memset(&guard.lock, 0xAA, sizeof(guard.lock));
    throttle_init(&guard);
    now = 0;
    return 0;
}

static int end(void **state)
{
    (void)state;
    check_lock_is_free(&guard.lock);
    return pthread_mutex_destroy(&guard.lock);
}

/* The number of somebody as a key of an identity. */
static const unsigned char *key_of(int who)
{
    static unsigned char key[THROTTLE_KEY];
    memcpy(key, &who, sizeof(who));
    return key;
}

static int64_t try_from(const char *address, bool right)
{
    struct sockaddr_storage source;
    assert_true(address_read(address, strlen(address), &source));
    return throttle_check(&guard, &source, now, right);
}

/* The number of somebody as an address, in a block of its own. */
static void write_address(int who, char address[ADDRESS_TEXT_MAX])
{
    snprintf(address, ADDRESS_TEXT_MAX, "16.%d.%d.1", who / 256, who % 256);
}

static int64_t try(int who, bool right)
{
    char address[ADDRESS_TEXT_MAX];
    write_address(who, address);
    return try_from(address, right);
}

static int64_t try_known(int who, bool right)
{
    return throttle_check_known(&guard, key_of(who), now, right);
}

static void fail_times(int who, int times)
{
    for (int i = 0; i < times; i++)
        assert_int_equal(try(who, false), 0);
}

/* A failure of an address in a block. */
static void fail_in_block(const char *before, int number, const char *after)
{
    char address[ADDRESS_TEXT_MAX];
    snprintf(address, sizeof(address), "%s%d%s", before, 10 + number, after);
    assert_int_equal(try_from(address, false), 0);
}

static void test_the_fifth_failure_in_a_minute_refuses(void **state)
{
    (void)state;
    fail_times(0, THROTTLE_NARROW_FAILURES - 1);
    now = THROTTLE_WINDOW_MS - 1;
    assert_int_equal(try(0, true), 0);
    fail_times(0, 1);
    assert_int_equal(try(0, true), THROTTLE_FIRST_MS);
    assert_int_equal(try(0, false), THROTTLE_FIRST_MS);
    now += THROTTLE_FIRST_MS - 1;
    assert_int_equal(try(0, true), 1);
    now += 1;
    assert_int_equal(try(0, true), 0);
}

static void test_five_in_more_than_a_minute_do_not(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++) {
        fail_times(0, 1);
        now += THROTTLE_WINDOW_MS / (THROTTLE_NARROW_FAILURES - 1);
    }
}

static void test_a_minute_is_any_minute(void **state)
{
    (void)state;
    fail_times(0, 1);
    now = THROTTLE_WINDOW_MS - 1;
    fail_times(0, 3);
    now = THROTTLE_WINDOW_MS + 1;
    fail_times(0, 1);
    assert_int_equal(try(0, true), 0); /* the first of the five is too old, */
    fail_times(0, 1);
    assert_int_equal(try(0, true), THROTTLE_FIRST_MS); /* not so the next five */
}

static void test_each_further_failure_doubles(void **state)
{
    int64_t expected = THROTTLE_FIRST_MS;
    (void)state;
    fail_times(0, THROTTLE_NARROW_FAILURES);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(try(0, true), expected);
        now += expected;
        fail_times(0, 1);
        expected = 2 * expected < THROTTLE_LONGEST_MS ? 2 * expected : THROTTLE_LONGEST_MS;
    }
    assert_int_equal(expected, THROTTLE_LONGEST_MS);
}

static void test_tries_while_refused_do_not_count(void **state)
{
    (void)state;
    fail_times(0, THROTTLE_NARROW_FAILURES);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(try(0, false), THROTTLE_FIRST_MS);
    now += THROTTLE_FIRST_MS;
    assert_int_equal(try(0, true), 0);
}

static void test_a_right_password_clears_nothing(void **state)
{
    (void)state;
    for (int i = 0; i < THROTTLE_NARROW_FAILURES; i++) {
        assert_int_equal(try(0, true), 0);
        fail_times(0, 1);
    }
    assert_int_equal(try(0, true), THROTTLE_FIRST_MS);
}

static void test_in_time_it_is_forgotten(void **state)
{
    (void)state;
    fail_times(0, THROTTLE_NARROW_FAILURES);
    now += THROTTLE_FIRST_MS + THROTTLE_MEMORY_MS - 1;
    fail_times(0, 1);
    assert_int_equal(try(0, true), 2 * THROTTLE_FIRST_MS);
    now += 2 * THROTTLE_FIRST_MS + THROTTLE_MEMORY_MS;
    fail_times(0, THROTTLE_NARROW_FAILURES);
    assert_int_equal(try(0, true), THROTTLE_FIRST_MS);
}

static void test_others_are_not_refused(void **state)
{
    (void)state;
    fail_times(1, THROTTLE_NARROW_FAILURES);
    assert_int_equal(try(0, true), 0);
    fail_times(2, THROTTLE_NARROW_FAILURES - 1);
    assert_int_equal(try(2, true), 0);
    assert_int_equal(try(1, true), THROTTLE_FIRST_MS);
}

/* ---- Blocks ---- */

static void test_20_failures_of_a_v4_block_refuse_it(void **state)
{
    (void)state;
    for (int i = 0; i < THROTTLE_MIDDLE_FAILURES; i++) {
        assert_int_equal(try_from("192.0.2.200", true), 0);
        fail_in_block("192.0.2.", i / 4, "");
    }
    assert_int_equal(try_from("192.0.2.200", true), THROTTLE_FIRST_MS);
    assert_int_equal(try_from("::ffff:192.0.2.201", false), THROTTLE_FIRST_MS);
    assert_int_equal(try_from("192.0.3.200", true), 0);
    now += THROTTLE_FIRST_MS;
    assert_int_equal(try_from("192.0.2.200", true), 0);
}

static void test_20_failures_of_a_v6_block_of_56_refuse_it(void **state)
{
    (void)state;
    for (int i = 0; i < THROTTLE_MIDDLE_FAILURES; i++)
        fail_in_block("2001:db8:0:12", i, "::1");
    assert_int_equal(try_from("2001:db8:0:12ff::1", true), THROTTLE_FIRST_MS);
    assert_int_equal(try_from("2001:db8:0:1300::1", true), 0);
}

static void test_80_failures_of_a_v6_block_of_48_refuse_it(void **state)
{
    (void)state;
    for (int i = 0; i < THROTTLE_WIDE_FAILURES; i++)
        fail_in_block("2001:db8:7:", i, "00::1");
    assert_int_equal(try_from("2001:db8:7:ffff::1", true), THROTTLE_FIRST_MS);
    assert_int_equal(try_from("2001:db8:8::1", true), 0);
}

/* Finding: who has a /48 could guess without end, from a new /64 each time. */
static void test_a_v6_block_of_48_gets_a_few_guesses(void **state)
{
    (void)state;
    int looked_at = 0;
    for (int i = 0; i < 65536; i++) {
        char address[ADDRESS_TEXT_MAX];
        snprintf(address, sizeof(address), "2001:db8:7:%x::1", i);
        looked_at += try_from(address, false) == 0;
        now += 10; /* eleven minutes in all */
    }
    assert_in_range(looked_at, THROTTLE_WIDE_FAILURES, 3 * THROTTLE_WIDE_FAILURES);
}

/* Alone it is refused for too long to reach the threshold of its block. */
static void test_one_address_has_its_neighbours_refused_never(void **state)
{
    (void)state;
    for (int i = 0; i < 3600; i++) {
        try_from("192.0.2.1", false);
        try_from("2001:db8::1", false);
        assert_int_equal(try_from("192.0.2.2", true), 0);
        assert_int_equal(try_from("2001:db8:0:1::1", true), 0);
        now += 1000;
    }
}

static void test_a_fifth_of_the_threshold_refuses_a_block_again(void **state)
{
    (void)state;
    for (int i = 0; i < THROTTLE_MIDDLE_FAILURES; i++)
        fail_in_block("192.0.2.", i, "");
    now += THROTTLE_FIRST_MS;
    for (int i = 0; i < THROTTLE_MIDDLE_FAILURES / THROTTLE_FIFTH; i++) {
        assert_int_equal(try_from("192.0.2.200", true), 0);
        fail_in_block("192.0.2.1", i, "");
    }
    assert_int_equal(try_from("192.0.2.200", true), 2 * THROTTLE_FIRST_MS);
}

/* ---- Full tables ---- */

/* All records but some are refused, each for a millisecond longer than the one before. */
static void fill_but(int spared)
{
    for (int who = spared; who < THROTTLE_NARROW; who++, now++)
        fail_times(who, THROTTLE_NARROW_FAILURES);
}

static void test_what_is_not_refused_gives_way_first(void **state)
{
    (void)state;
    fail_times(0, 1);
    now++;
    fail_times(1, 1);
    fill_but(2);
    fail_times(THROTTLE_NARROW, 1); /* takes the place of 0, */
    now++;
    fail_times(THROTTLE_NARROW + 1, 1); /* of 1, */
    now++;
    fail_times(THROTTLE_NARROW + 2, 1); /* and of the first of these */
    for (int who = 2; who < THROTTLE_NARROW; who++)
        assert_true(try(who, true) > 0);
}

/* Two that take the place of each other in turn, while all others are refused. */
static void test_sources_that_displace_each_other_gain_nothing(void **state)
{
    (void)state;
    int looked_at = 0;
    fail_times(0, 1);
    fill_but(1);
    for (int i = 0; i < 1000; i++)
        looked_at += try(THROTTLE_NARROW + i % 2, false) == 0;
    assert_in_range(looked_at, 1, 2 * THROTTLE_NARROW_FAILURES);
    assert_true(try(THROTTLE_NARROW, true) > 0 && try(THROTTLE_NARROW + 1, true) > 0);
    for (int who = 2; who < THROTTLE_NARROW; who++)
        assert_true(try(who, true) > 0); /* they have freed one other at most */
}

/* All are refused: the one whose refusal ends first gives way, and whoever took it waits for twice
 * as long as it had to. */
static void test_one_refused_address_too_many(void **state)
{
    (void)state;
    fill_but(0);
    fail_times(THROTTLE_NARROW, 1);
    assert_int_equal(try(THROTTLE_NARROW, true), 2 * THROTTLE_FIRST_MS);
    assert_int_equal(try(0, true), 0);
    for (int who = 1; who <= THROTTLE_NARROW; who++)
        assert_true(try(who, true) > 0);
    assert_int_equal(try(THROTTLE_NARROW + 1, true), 0); /* a right password is looked at */
}

/* ---- All together ---- */

static int64_t delay_of(int who)
{
    char address[ADDRESS_TEXT_MAX];
    struct sockaddr_storage source;
    write_address(who, address);
    assert_true(address_read(address, strlen(address), &source));
    return throttle_delay(&guard, &source, now);
}

static void test_guessing_strangers_slow_down_all_but_refuse_nobody(void **state)
{
    (void)state;
    for (int who = 1; who <= THROTTLE_BURST; who++) {
        assert_int_equal(delay_of(who), 0);
        fail_times(who, 1);
    }
    assert_int_equal(delay_of(0), THROTTLE_DELAY_MS); /* whether it is right or wrong */
    assert_int_equal(try(0, true), 0);
    fail_times(0, 1);
    now += 1000 / THROTTLE_RATE - 1;
    assert_int_equal(delay_of(0), THROTTLE_DELAY_MS);
    now++;
    assert_int_equal(delay_of(0), 0);
}

static void test_right_passwords_slow_down_nobody(void **state)
{
    (void)state;
    for (int who = 0; who < 3 * THROTTLE_BURST; who++)
        assert_int_equal(try(who, true), 0);
    assert_int_equal(delay_of(0), 0);
}

static void test_a_refused_client_need_not_wait(void **state)
{
    (void)state;
    for (int who = 0; who < THROTTLE_BURST; who++)
        fail_times(who, THROTTLE_NARROW_FAILURES);
    assert_int_equal(delay_of(0), 0);
    assert_int_equal(delay_of(THROTTLE_BURST), THROTTLE_DELAY_MS);
}

static void test_the_bucket_fills_up_and_no_further(void **state)
{
    (void)state;
    now = INT64_MAX / 4; /* idle for ages */
    for (int who = 0; who < THROTTLE_BURST; who++)
        fail_times(who, 1);
    assert_int_equal(delay_of(0), THROTTLE_DELAY_MS);
}

/* ---- Identities ---- */

static void test_an_unknown_identity_is_judged_by_its_address(void **state)
{
    (void)state;
    assert_false(throttle_knows(&guard, key_of(7)));
    for (int i = 0; i < 2 * THROTTLE_NARROW_FAILURES; i++)
        assert_int_equal(try_known(7, false), -1);
    assert_int_equal(try_known(7, true), -1);
    assert_false(throttle_knows(&guard, key_of(7)));
}

static void test_a_member_is_not_refused_for_its_address(void **state)
{
    (void)state;
    throttle_remember(&guard, key_of(7), now);
    assert_true(throttle_knows(&guard, key_of(7)));
    fail_times(0, THROTTLE_NARROW_FAILURES);
    assert_int_equal(try(0, true), THROTTLE_FIRST_MS);
    assert_int_equal(try_known(7, true), 0);
    assert_int_equal(try_known(7, false), 0); /* counts for the identity, */
    now += THROTTLE_FIRST_MS;
    assert_int_equal(try(0, true), 0); /* not for the address */
}

/* As fast as an address, and no faster: also an identity of the same number is another key. */
static void test_a_member_that_guesses_is_refused(void **state)
{
    (void)state;
    throttle_remember(&guard, key_of(7), now);
    throttle_remember(&guard, key_of(8), now);
    int64_t expected = THROTTLE_FIRST_MS;
    for (int i = 0; i < THROTTLE_NARROW_FAILURES; i++)
        assert_int_equal(try_known(7, false), 0);
    for (int i = 0; i < 10; i++) {
        throttle_remember(&guard, key_of(7), now); /* clears nothing */
        assert_int_equal(try_known(7, true), expected);
        assert_int_equal(try_known(7, false), expected);
        now += expected;
        assert_int_equal(try_known(7, false), 0);
        expected = 2 * expected < THROTTLE_LONGEST_MS ? 2 * expected : THROTTLE_LONGEST_MS;
    }
    assert_int_equal(try_known(8, true), 0);
    assert_int_equal(try(7, true), 0);
}

/* The table is full: the identity that was not seen for longest is forgotten, and no other. */
static void test_one_identity_too_many(void **state)
{
    (void)state;
    for (int who = 0; who < THROTTLE_IDENTITIES; who++, now++)
        throttle_remember(&guard, key_of(who), now);
    assert_int_equal(try_known(0, true), 0); /* seen again */
    now++;
    throttle_remember(&guard, key_of(2), now);
    throttle_remember(&guard, key_of(THROTTLE_IDENTITIES), now);
    for (int who = 0; who <= THROTTLE_IDENTITIES; who++)
        assert_int_equal(throttle_knows(&guard, key_of(who)), who != 1);
    throttle_remember(&guard, key_of(THROTTLE_IDENTITIES + 1), now);
    for (int who = 0; who <= THROTTLE_IDENTITIES + 1; who++)
        assert_int_equal(throttle_knows(&guard, key_of(who)), who != 1 && who != 3);
}

/* One that takes the place of another starts without its failures. */
static void test_an_identity_inherits_no_failures(void **state)
{
    (void)state;
    for (int who = 0; who < THROTTLE_IDENTITIES; who++, now++)
        throttle_remember(&guard, key_of(who), now);
    for (int i = 1; i < THROTTLE_NARROW_FAILURES; i++)
        assert_int_equal(try_known(0, false), 0);
    now++;
    for (int who = 1; who < THROTTLE_IDENTITIES; who++)
        throttle_remember(&guard, key_of(who), now);
    throttle_remember(&guard, key_of(THROTTLE_IDENTITIES), now);
    assert_false(throttle_knows(&guard, key_of(0)));
    for (int i = 1; i < THROTTLE_NARROW_FAILURES; i++)
        assert_int_equal(try_known(THROTTLE_IDENTITIES, false), 0);
    assert_int_equal(try_known(THROTTLE_IDENTITIES, true), 0);
    assert_int_equal(try_known(THROTTLE_IDENTITIES, false), 0); /* the fifth */
    assert_int_equal(try_known(THROTTLE_IDENTITIES, true), THROTTLE_FIRST_MS);
}

/* The times of a table stand in its own rows, one for each record. */
static void test_each_table_has_rows_of_its_own(void **state)
{
    (void)state;
    now = 77;
    assert_int_equal(try_from("2001:db8::1", false), 0);
    throttle_remember(&guard, key_of(0), now);
    assert_int_equal(try_known(0, false), 0);
    assert_int_equal(guard.narrow_failed[0][0], 77);
    assert_int_equal(guard.middle_failed[0][0], 77);
    assert_int_equal(guard.wide_failed[0][0], 77);
    assert_int_equal(guard.known_failed[0][0], 77);
    now = 78;
    assert_int_equal(try_from("2001:db8:1::1", false), 0);
    throttle_remember(&guard, key_of(1), now);
    assert_int_equal(try_known(1, false), 0);
    assert_int_equal(guard.narrow_failed[1][0], 78);
    assert_int_equal(guard.middle_failed[1][0], 78);
    assert_int_equal(guard.wide_failed[1][0], 78);
    assert_int_equal(guard.known_failed[1][0], 78);
    assert_int_equal(guard.known_failed[0][0], 77);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_the_fifth_failure_in_a_minute_refuses),
        TEST(test_five_in_more_than_a_minute_do_not),
        TEST(test_a_minute_is_any_minute),
        TEST(test_each_further_failure_doubles),
        TEST(test_tries_while_refused_do_not_count),
        TEST(test_a_right_password_clears_nothing),
        TEST(test_in_time_it_is_forgotten),
        TEST(test_others_are_not_refused),
        TEST(test_20_failures_of_a_v4_block_refuse_it),
        TEST(test_20_failures_of_a_v6_block_of_56_refuse_it),
        TEST(test_80_failures_of_a_v6_block_of_48_refuse_it),
        TEST(test_a_v6_block_of_48_gets_a_few_guesses),
        TEST(test_one_address_has_its_neighbours_refused_never),
        TEST(test_a_fifth_of_the_threshold_refuses_a_block_again),
        TEST(test_what_is_not_refused_gives_way_first),
        TEST(test_sources_that_displace_each_other_gain_nothing),
        TEST(test_one_refused_address_too_many),
        TEST(test_guessing_strangers_slow_down_all_but_refuse_nobody),
        TEST(test_right_passwords_slow_down_nobody),
        TEST(test_a_refused_client_need_not_wait),
        TEST(test_the_bucket_fills_up_and_no_further),
        TEST(test_an_unknown_identity_is_judged_by_its_address),
        TEST(test_a_member_is_not_refused_for_its_address),
        TEST(test_a_member_that_guesses_is_refused),
        TEST(test_one_identity_too_many),
        TEST(test_an_identity_inherits_no_failures),
        TEST(test_each_table_has_rows_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
