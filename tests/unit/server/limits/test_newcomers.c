/* SPDX-License-Identifier: MIT
 *
 * test_newcomers.c - which newcomer is the first to go.
 */
#include "server/limits/newcomers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MOST = 600 };

static struct newcomers newcomers;
static struct newcomer crowd[MOST];
static int came;

static int begin(void **state)
{
    (void)state;
    memset(&newcomers, 0, sizeof(newcomers));
    memset(crowd, 0, sizeof(crowd));
    came = 0;
    return 0;
}

static int end(void **state)
{
    (void)state;
    for (int i = 0; i < came; i++)
        newcomers_remove(&newcomers, &crowd[i]);
    assert_int_equal(newcomers.count, 0);
    assert_int_equal(newcomers.heap_count, 0);
    assert_null(newcomers.sources);
    free(newcomers.heap);
    return 0;
}

/* One more comes from this address. */
static struct newcomer *come(const char *text)
{
    struct sockaddr_storage address;
    assert_true(address_read(text, strlen(text), &address));
    struct newcomer *newcomer = &crowd[came];
    assert_true(newcomers_add(&newcomers, newcomer, &address, (uint64_t)++came, NEWCOMER_SILENT));
    return newcomer;
}

/* So many come from addresses that differ in one number. */
static void come_from_each(const char *before, int first, const char *behind, int count)
{
    char text[ADDRESS_TEXT_MAX];
    for (int i = 0; i < count; i++) {
        snprintf(text, sizeof(text), "%s%d%s", before, first + i, behind);
        come(text);
    }
}

/* Removes the first to go, as often. Returns how many of them were `spared`. */
static int evict(int times, const struct newcomer *spared)
{
    int hits = 0;
    for (int i = 0; i < times; i++) {
        struct newcomer *victim = newcomers_victim(&newcomers);
        assert_non_null(victim);
        hits += victim == spared;
        newcomers_remove(&newcomers, victim);
    }
    return hits;
}

static void test_nobody_is_no_victim(void **state)
{
    (void)state;
    assert_null(newcomers_victim(&newcomers));
    assert_int_equal(newcomers_heaviest(&newcomers), 0);
}

static void test_the_victim_is_the_oldest_of_the_source_that_has_most(void **state)
{
    (void)state;
    struct newcomer *alone = come("192.0.2.1");
    struct newcomer *oldest = come("198.51.100.1");
    come("198.51.100.1");
    come("203.0.113.1");
    assert_ptr_equal(newcomers_victim(&newcomers), oldest);
    assert_int_equal(newcomers_heaviest(&newcomers), 2);
    newcomers_remove(&newcomers, oldest);
    assert_ptr_equal(newcomers_victim(&newcomers), alone); /* all have one: the oldest of all */
}

static void test_a_higher_stage_goes_later_within_a_source(void **state)
{
    (void)state;
    struct newcomer *asked = come("192.0.2.1"), *secured = come("192.0.2.1");
    struct newcomer *silent = come("192.0.2.1"), *idle = come("192.0.2.1");
    newcomers_set_stage(&newcomers, asked, NEWCOMER_SECURED);
    newcomers_set_stage(&newcomers, asked, NEWCOMER_ASKED);
    newcomers_set_stage(&newcomers, secured, NEWCOMER_SECURED);
    newcomers_set_stage(&newcomers, idle, NEWCOMER_ASKED);
    newcomers_set_stage(&newcomers, idle, NEWCOMER_IDLE);
    struct newcomer *const order[] = {idle, silent, secured, asked};
    for (int i = 0; i < 4; i++) {
        assert_ptr_equal(newcomers_victim(&newcomers), order[i]);
        newcomers_remove(&newcomers, order[i]);
    }
}

static void test_a_browser_that_asks_outranks_one_that_says_nothing(void **state)
{
    (void)state;
    struct newcomer *first = come("192.0.2.1"), *second = come("192.0.2.1");
    come("198.51.100.1");
    struct newcomer *const silent = &crowd[2];
    newcomers_set_stage(&newcomers, first, NEWCOMER_ASKED);
    newcomers_set_stage(&newcomers, second, NEWCOMER_ASKED);
    assert_ptr_equal(newcomers_victim(&newcomers), silent);
}

/* A class that has the page counts less than a stranger with half as many silent connections. */
static void test_kept_connections_weigh_least(void **state)
{
    (void)state;
    for (int i = 0; i < 7; i++)
        newcomers_set_stage(&newcomers, come("192.0.2.1"), NEWCOMER_IDLE);
    struct newcomer *silent = come("198.51.100.1");
    come("198.51.100.1");
    assert_ptr_equal(newcomers_victim(&newcomers), silent);
}

static void test_nobody_who_left_has_a_stage(void **state)
{
    (void)state;
    struct newcomer *newcomer = come("192.0.2.1");
    newcomers_remove(&newcomers, newcomer);
    newcomers_remove(&newcomers, newcomer);
    newcomers_set_stage(&newcomers, newcomer, NEWCOMER_ASKED);
    assert_int_equal(newcomers.count, 0);
}

static void test_a_24_with_many_addresses_is_one_source(void **state)
{
    (void)state;
    struct newcomer *alone = come("192.0.2.1");
    come_from_each("198.51.100.", 0, "", 250);
    assert_int_equal(newcomers_heaviest(&newcomers), 63);
    assert_int_equal(evict(246, alone), 0);
}

static void test_a_48_with_many_64s_is_one_source(void **state)
{
    (void)state;
    struct newcomer *alone = come("2001:db8:1::1");
    come_from_each("2001:db8:2:", 1000, "::1", 250);
    assert_int_equal(evict(234, alone), 0); /* 16 in a /48 weigh what one does alone */
}

static void test_a_56_with_many_64s_is_one_source(void **state)
{
    (void)state;
    struct newcomer *alone = come("2001:db8:1::1");
    come_from_each("2001:db8:2:10", 10, "::1", 90);
    assert_int_equal(evict(86, alone), 0);
}

static void test_an_address_in_an_attackers_block_is_spared_if_one_address_is_to_blame(void **state)
{
    (void)state;
    struct newcomer *neighbour = come("198.51.100.1");
    for (int i = 0; i < 100; i++)
        come("198.51.100.2");
    assert_int_equal(evict(99, neighbour), 0);
}

static void test_an_ipv4_address_inside_ipv6_is_the_same_source(void **state)
{
    (void)state;
    come("192.0.2.1");
    assert_int_equal(newcomers_of_source(come("::ffff:192.0.2.1"), 0), 2);
    assert_int_equal(newcomers_of_source(come("::ffff:192.0.2.2"), 1), 3);
}

static void test_the_victim_of_a_source_is_not_the_one_that_asks(void **state)
{
    (void)state;
    struct newcomer *first = come("192.0.2.1");
    assert_null(newcomers_victim_of_source(first, 0));
    newcomers_set_stage(&newcomers, first, NEWCOMER_ASKED);
    struct newcomer *second = come("192.0.2.1");
    assert_ptr_equal(newcomers_victim_of_source(second, 0), first);
    struct newcomer *third = come("192.0.2.1");
    assert_ptr_equal(newcomers_victim_of_source(third, 0), second);
    assert_ptr_equal(newcomers_victim_of_source(second, 0), third);
}

/* Against a plain search: whoever goes is of a source than which none is heavier. */
static void test_the_heap_agrees_with_a_search(void **state)
{
    (void)state;
    char text[ADDRESS_TEXT_MAX];
    int counts[16] = {0};
    unsigned draw = 7; /* the same numbers each time: a linear congruential generator */
    for (int i = 0; i < MOST; i++) {
        draw = draw * 1103515245u + 12345u;
        int who = draw >> 16 & 1 ? (int)(draw >> 17 & 15) : 0;
        snprintf(text, sizeof(text), "10.0.%d.1", who);
        come(text);
        crowd[came - 1].context = &counts[who];
        counts[who]++;
    }
    for (int i = 0; i < MOST; i++) {
        struct newcomer *victim = newcomers_victim(&newcomers);
        int *count = victim->context;
        for (int who = 0; who < 16; who++)
            assert_true(counts[who] <= *count);
        --*count;
        newcomers_remove(&newcomers, victim);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_nobody_is_no_victim),
        TEST(test_the_victim_is_the_oldest_of_the_source_that_has_most),
        TEST(test_a_higher_stage_goes_later_within_a_source),
        TEST(test_a_browser_that_asks_outranks_one_that_says_nothing),
        TEST(test_kept_connections_weigh_least),
        TEST(test_nobody_who_left_has_a_stage),
        TEST(test_a_24_with_many_addresses_is_one_source),
        TEST(test_a_48_with_many_64s_is_one_source),
        TEST(test_a_56_with_many_64s_is_one_source),
        TEST(test_an_address_in_an_attackers_block_is_spared_if_one_address_is_to_blame),
        TEST(test_an_ipv4_address_inside_ipv6_is_the_same_source),
        TEST(test_the_victim_of_a_source_is_not_the_one_that_asks),
        TEST(test_the_heap_agrees_with_a_search),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
