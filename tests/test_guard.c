/* SPDX-License-Identifier: MIT
 *
 * test_guard.c - guard.c with a clock of its own: how often, for how long, and whom else; and what
 * net.c takes for one household.
 */
#include "guard.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct guard guard;
static int64_t now; /* from 0, as on a machine that has just started */

static int begin(void **state)
{
    (void)state;
    guard_init(&guard);
    now = 0;
    return 0;
}

static int64_t try(int who, bool right)
{
    unsigned char household[NET_HOUSEHOLD] = {0};
    memcpy(household, &who, sizeof(who));
    return guard_try(&guard, household, now, right);
}

static void fail_times(int who, int times)
{
    for (int i = 0; i < times; i++)
        assert_int_equal(try(who, false), 0);
}

static void test_the_fifth_failure_in_a_minute_refuses(void **state)
{
    (void)state;
    fail_times(0, GUARD_FAILURES - 1);
    now = GUARD_WINDOW_MS - 1;
    assert_int_equal(try(0, true), 0);
    fail_times(0, 1);
    assert_int_equal(try(0, true), GUARD_FIRST_MS);
    assert_int_equal(try(0, false), GUARD_FIRST_MS);
    now += GUARD_FIRST_MS - 1;
    assert_int_equal(try(0, true), 1);
    now += 1;
    assert_int_equal(try(0, true), 0);
}

static void test_five_in_more_than_a_minute_do_not(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++) {
        fail_times(0, 1);
        now += GUARD_WINDOW_MS / (GUARD_FAILURES - 1);
    }
}

static void test_a_minute_is_any_minute(void **state)
{
    (void)state;
    fail_times(0, 1);
    now = GUARD_WINDOW_MS - 1;
    fail_times(0, 3);
    now = GUARD_WINDOW_MS + 1;
    fail_times(0, 1);
    assert_int_equal(try(0, true), 0); /* the first of the five is too old, */
    fail_times(0, 1);
    assert_int_equal(try(0, true), GUARD_FIRST_MS); /* not so the next five */
}

static void test_each_further_failure_doubles(void **state)
{
    int64_t expected = GUARD_FIRST_MS;
    (void)state;
    fail_times(0, GUARD_FAILURES);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(try(0, true), expected);
        now += expected;
        fail_times(0, 1);
        expected = 2 * expected < GUARD_LONGEST_MS ? 2 * expected : GUARD_LONGEST_MS;
    }
    assert_int_equal(expected, GUARD_LONGEST_MS);
}

static void test_tries_while_refused_do_not_count(void **state)
{
    (void)state;
    fail_times(0, GUARD_FAILURES);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(try(0, false), GUARD_FIRST_MS);
    now += GUARD_FIRST_MS;
    assert_int_equal(try(0, true), 0);
}

static void test_a_right_password_clears_nothing(void **state)
{
    (void)state;
    for (int i = 0; i < GUARD_FAILURES; i++) {
        assert_int_equal(try(0, true), 0);
        fail_times(0, 1);
    }
    assert_int_equal(try(0, true), GUARD_FIRST_MS);
}

static void test_in_time_it_is_forgotten(void **state)
{
    (void)state;
    fail_times(0, GUARD_FAILURES);
    now += GUARD_FIRST_MS + GUARD_MEMORY_MS - 1;
    fail_times(0, 1);
    assert_int_equal(try(0, true), 2 * GUARD_FIRST_MS);
    now += 2 * GUARD_FIRST_MS + GUARD_MEMORY_MS;
    fail_times(0, GUARD_FAILURES);
    assert_int_equal(try(0, true), GUARD_FIRST_MS);
}

static void test_others_are_not_refused(void **state)
{
    (void)state;
    fail_times(1, GUARD_FAILURES);
    assert_int_equal(try(0, true), 0);
    fail_times(2, GUARD_FAILURES - 1);
    assert_int_equal(try(2, true), 0);
    assert_int_equal(try(1, true), GUARD_FIRST_MS);
}

/* The table is full: who failed longest ago is forgotten, and nobody else. */
static void test_one_household_too_many(void **state)
{
    (void)state;
    for (int who = 0; who < GUARD_HOUSEHOLDS; who++, now++)
        fail_times(who, GUARD_FAILURES);
    assert_true(try(0, true) > 0);
    fail_times(GUARD_HOUSEHOLDS, GUARD_FAILURES);
    assert_int_equal(try(0, true), 0);
    for (int who = 1; who <= GUARD_HOUSEHOLDS; who++)
        assert_true(try(who, true) > 0);
}

static bool same_household(const char *one, const char *other)
{
    const char *texts[] = {one, other};
    unsigned char households[2][NET_HOUSEHOLD];
    for (int i = 0; i < 2; i++) {
        struct sockaddr_storage address = {.ss_family = strchr(texts[i], ':') ? AF_INET6 : AF_INET};
        void *bytes = address.ss_family == AF_INET
                          ? (void *)&((struct sockaddr_in *)&address)->sin_addr
                          : (void *)&((struct sockaddr_in6 *)&address)->sin6_addr;
        assert_int_equal(inet_pton(address.ss_family, texts[i], bytes), 1);
        net_household(&address, households[i]);
    }
    return memcmp(households[0], households[1], NET_HOUSEHOLD) == 0;
}

static void test_what_counts_as_one_household(void **state)
{
    (void)state;
    assert_true(same_household("192.0.2.1", "192.0.2.1"));
    assert_true(same_household("192.0.2.1", "::ffff:192.0.2.1"));
    assert_true(same_household("2001:db8:0:1::1", "2001:db8:0:1:ffff:ffff:ffff:ffff"));
    assert_false(same_household("2001:db8:0:1::1", "2001:db8:0:2::1"));
    assert_false(same_household("192.0.2.1", "192.0.2.2"));
    assert_false(same_household("::ffff:192.0.2.1", "::ffff:192.0.2.2"));
    assert_false(same_household("192.0.2.1", "2001:db8::1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_the_fifth_failure_in_a_minute_refuses, begin),
        cmocka_unit_test_setup(test_five_in_more_than_a_minute_do_not, begin),
        cmocka_unit_test_setup(test_a_minute_is_any_minute, begin),
        cmocka_unit_test_setup(test_each_further_failure_doubles, begin),
        cmocka_unit_test_setup(test_tries_while_refused_do_not_count, begin),
        cmocka_unit_test_setup(test_a_right_password_clears_nothing, begin),
        cmocka_unit_test_setup(test_in_time_it_is_forgotten, begin),
        cmocka_unit_test_setup(test_others_are_not_refused, begin),
        cmocka_unit_test_setup(test_one_household_too_many, begin),
        cmocka_unit_test(test_what_counts_as_one_household),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
