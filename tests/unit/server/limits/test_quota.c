/* SPDX-License-Identifier: MIT
 *
 * test_quota.c - token buckets by source, with a clock of their own.
 */
#include "server/limits/quota.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/address.h"

static struct quota quota;
static int64_t now;

static int begin(void **state)
{
    (void)state;
    quota_init(&quota, (struct quota_rule){10, 100}, (struct quota_rule){20, 200});
    now = 1000000;
    return 0;
}

static int64_t take(const char *text, int64_t amount, int64_t most_ms)
{
    struct sockaddr_storage source;
    assert_true(address_read(text, strlen(text), &source));
    return quota_take(&quota, &source, now, amount, most_ms);
}

static void test_a_full_bucket_is_taken_at_once(void **state)
{
    (void)state;
    assert_int_equal(take("192.0.2.1", 100, 0), 0);
    assert_int_equal(take("192.0.2.1", 1, 0), -1);
    assert_int_equal(take("198.51.100.1", 100, 0), 0); /* that is another source */
}

static void test_a_debt_is_paid_off_as_time_passes(void **state)
{
    (void)state;
    assert_int_equal(take("192.0.2.1", 110, 5000), 1001);
    now += 500;
    assert_int_equal(take("192.0.2.1", 0, 5000), 501);
    now += 500;
    assert_int_equal(take("192.0.2.1", 0, 0), 0);
    now += 10000;
    assert_int_equal(take("192.0.2.1", 100, 0), 0);
}

static void test_waiting_clients_are_accepted_in_order(void **state)
{
    (void)state;
    take("192.0.2.1", 100, 0);
    for (int i = 1; i <= 5; i++)
        assert_int_equal(take("192.0.2.1", 10, 100000), 1000 * i + 1);
}

static void test_what_would_take_too_long_is_not_taken(void **state)
{
    (void)state;
    take("192.0.2.1", 100, 0);
    assert_int_equal(take("192.0.2.1", 100, 5000), -1);
    assert_int_equal(take("192.0.2.1", 10, 5000), 1001);
}

static void test_what_is_given_back_never_overfills(void **state)
{
    (void)state;
    take("192.0.2.1", 50, 0);
    take("192.0.2.1", -1000, INT64_MAX);
    assert_int_equal(take("192.0.2.1", 101, 1000), 101);
}

static void test_addresses_of_a_block_share_the_wide_bucket(void **state)
{
    (void)state;
    assert_int_equal(take("192.0.2.1", 100, 0), 0);
    assert_int_equal(take("192.0.2.2", 100, 0), 0);
    assert_int_equal(take("192.0.2.3", 1, 0), -1);
    assert_int_equal(take("2001:db8:1:1::1", 100, 0), 0);
    assert_int_equal(take("2001:db8:1:1::2", 1, 0), -1); /* one /64 */
    assert_int_equal(take("2001:db8:1:2::1", 100, 0), 0);
    assert_int_equal(take("2001:db8:1:3::1", 1, 0), -1); /* one /48 */
    assert_int_equal(take("2001:db8:2:1::1", 100, 0), 0);
}

static void test_a_clock_that_another_thread_read_earlier_changes_nothing(void **state)
{
    (void)state;
    take("192.0.2.1", 100, 0);
    now -= 5;
    assert_int_equal(take("192.0.2.1", 10, 5000), 1001);
}

/* More sources than there are records: who owes most keeps its record. */
static void test_a_debt_outlives_a_flood_of_sources_that_owe_less(void **state)
{
    (void)state;
    char text[ADDRESS_TEXT_MAX];
    take("192.0.2.1", 100, 0);
    take("192.0.2.1", 1000, INT64_MAX);
    for (int i = 0; i < 20000; i++) {
        snprintf(text, sizeof(text), "10.%d.%d.1", i / 250, i % 250);
        take(text, 10, 0);
    }
    assert_int_equal(take("192.0.2.1", 1, 0), -1);
}

#define TEST(name) cmocka_unit_test_setup(name, begin)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_full_bucket_is_taken_at_once),
        TEST(test_a_debt_is_paid_off_as_time_passes),
        TEST(test_waiting_clients_are_accepted_in_order),
        TEST(test_what_would_take_too_long_is_not_taken),
        TEST(test_what_is_given_back_never_overfills),
        TEST(test_addresses_of_a_block_share_the_wide_bucket),
        TEST(test_a_clock_that_another_thread_read_earlier_changes_nothing),
        TEST(test_a_debt_outlives_a_flood_of_sources_that_owe_less),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
