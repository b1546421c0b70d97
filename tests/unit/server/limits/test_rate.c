/* SPDX-License-Identifier: MIT
 *
 * test_rate.c - the rate limit of one connection.
 */
#include "server/limits/rate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { KB = 1000 };

static const struct rate_limits limits = {
    .messages = 10, .bytes = 10 * KB, .too_fast_ms = 30 * 1000};

static void test_a_burst_is_free(void **state)
{
    (void)state;
    struct rate rate;
    rate_init(&rate, &limits, 0);
    for (int i = 0; i < 20; i++)
        assert_int_equal(rate_charge(&rate, &limits, 0, 1, 1), 0);
    assert_int_equal(rate_charge(&rate, &limits, 0, 1, 1), 101); /* a tenth of a second's worth */
}

static void test_the_longer_pause_counts(void **state)
{
    (void)state;
    struct rate rate;
    rate_init(&rate, &limits, 0);
    assert_int_equal(rate_charge(&rate, &limits, 0, 21, 50 * KB), 1001);
    assert_int_equal(rate_charge(&rate, &limits, 0, 20, 0), 2101);
}

static void test_over_the_rate_for_long_is_too_fast(void **state)
{
    (void)state;
    struct rate rate;
    rate_init(&rate, &limits, 0);
    for (int64_t second = 1; second <= 30; second++) {
        rate_charge(&rate, &limits, second * 1000, 25, 0);
        assert_false(rate.too_fast);
    }
    rate_charge(&rate, &limits, 31 * 1000, 25, 0);
    assert_true(rate.too_fast);
}

/* A long message takes more than what gathers in a second: the pause before it counts all the
 * same. */
static void test_one_that_pauses_is_never_too_fast(void **state)
{
    (void)state;
    struct rate rate;
    rate_init(&rate, &limits, 0);
    for (int64_t now = 0; now < 600 * 1000; now += 20 * 1000) {
        assert_true(rate_charge(&rate, &limits, now, 1, 45 * KB) > 0);
        assert_false(rate.too_fast);
    }
}

/* A reload may take a limit away while a bucket owes. */
static void test_a_limit_that_is_gone_is_owed_nothing(void **state)
{
    (void)state;
    struct rate_limits fewer = limits;
    struct rate rate;
    rate_init(&rate, &limits, 0);
    assert_true(rate_charge(&rate, &limits, 0, 0, 1000 * KB) > 0);
    fewer.bytes = 0;
    assert_int_equal(rate_charge(&rate, &fewer, 12 * 1000, 15, 1000 * KB), 0);
    assert_true(rate_charge(&rate, &fewer, 31 * 1000, 25, 0) > 0);
    assert_false(rate.too_fast);
}

static void test_no_limit_takes_anything(void **state)
{
    (void)state;
    static const struct rate_limits none = {0};
    struct rate rate;
    rate_init(&rate, &none, 0);
    assert_int_equal(rate_charge(&rate, &none, 0, 1e9, 1e12), 0);
    assert_false(rate.too_fast);
}

/* Pages: 40 KB a second, 160 KB at once. They make nobody too fast, and leave what is said alone. */
static void test_pages_have_a_rate_of_their_own(void **state)
{
    (void)state;
    struct rate rate;
    rate_init(&rate, &limits, 0);
    assert_int_equal(rate_charge_page(&rate, &limits, 0, 160 * KB), 0);
    assert_int_equal(rate_charge_page(&rate, &limits, 0, 40 * KB), 1001);
    for (int64_t second = 0; second < 60; second++) {
        assert_true(rate_charge_page(&rate, &limits, second * 1000, 50 * KB) > 0);
        assert_int_equal(rate_charge(&rate, &limits, second * 1000, 1, 100), 0);
        assert_false(rate.too_fast);
    }
    static const struct rate_limits none = {0};
    rate_init(&rate, &none, 0);
    assert_int_equal(rate_charge_page(&rate, &none, 0, 1e12), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_burst_is_free),
        cmocka_unit_test(test_the_longer_pause_counts),
        cmocka_unit_test(test_over_the_rate_for_long_is_too_fast),
        cmocka_unit_test(test_pages_have_a_rate_of_their_own),
        cmocka_unit_test(test_one_that_pauses_is_never_too_fast),
        cmocka_unit_test(test_a_limit_that_is_gone_is_owed_nothing),
        cmocka_unit_test(test_no_limit_takes_anything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
