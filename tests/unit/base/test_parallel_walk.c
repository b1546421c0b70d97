/* SPDX-License-Identifier: MIT
 *
 * test_parallel_walk.c - several threads share a walk: each place is visited once, and nobody is
 * waited for who has not begun.
 */
#include "base/parallel_walk.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/thread_pool.h"
#include "net/socket.h"

enum { PLACES = 1000, WALKS = 300, WALKERS = 3, HELPERS = 3, TEST_TIMEOUT_MS = 60000 };

struct visits {
    int places[PLACES + 1]; /* not atomic, so that ThreadSanitizer sees a place visited by two */
    pthread_t walker;
    atomic_int inside; /* threads that are in a part and wait */
    atomic_int needed; /* until so many are */
    atomic_bool helped;
    struct visits *inner; /* of a walk inside this one */
    atomic_bool chosen, left;
};

static void count_places(void *argument, size_t from, size_t to)
{
    struct visits *visits = argument;
    for (size_t i = from; i < to; i++)
        visits->places[i]++;
    if (!pthread_equal(pthread_self(), visits->walker))
        visits->helped = true;
}

/* Waits until other threads are in a part, too. */
static void meet(void *argument, size_t from, size_t to)
{
    struct visits *visits = argument;
    int64_t until = net_now() + TEST_TIMEOUT_MS;
    count_places(argument, from, to);
    visits->inside++;
    while (visits->inside < visits->needed && net_now() < until)
        sched_yield();
}

static void check_places(const struct visits *visits, size_t count, int times)
{
    for (size_t i = 0; i <= PLACES; i++)
        assert_int_equal(visits->places[i], i < count ? times : 0);
}

static void test_each_place_is_visited_once(void **state)
{
    (void)state;
    static const size_t counts[] = {
        0,          1,     PARALLEL_PART - 1, PARALLEL_PART, PARALLEL_PART + 1, 2 * PARALLEL_PART,
        PLACES - 1, PLACES};
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        struct visits visits = {.walker = pthread_self()};
        for (int k = 0; k < WALKS; k++)
            parallel_walk(count_places, &visits, counts[i]);
        check_places(&visits, counts[i], WALKS);
    }
}

static void test_helpers_visit_parts_at_the_same_time(void **state)
{
    (void)state;
    struct visits visits = {.walker = pthread_self(), .needed = 1 + HELPERS};
    parallel_walk(meet, &visits, PLACES);
    assert_true(visits.helped);
    assert_true(visits.inside >= visits.needed);
    check_places(&visits, PLACES, 1);
}

/* Once all threads are in a part, one of them walks; the others stay in theirs meanwhile. */
static void walk_inside(void *argument, size_t from, size_t to)
{
    struct visits *outer = argument;
    int64_t until = net_now() + TEST_TIMEOUT_MS;
    meet(outer, from, to);
    if (!atomic_exchange(&outer->chosen, true)) {
        outer->inner->walker = pthread_self();
        parallel_walk(count_places, outer->inner, PLACES);
        outer->left = true;
    }
    while (!outer->left && net_now() < until)
        sched_yield();
}

static void test_a_walk_beside_another_is_done_alone(void **state)
{
    (void)state;
    struct visits inner = {.needed = 0};
    struct visits outer = {.walker = pthread_self(), .needed = 1 + HELPERS, .inner = &inner};
    size_t count = (1 + HELPERS) * PARALLEL_PART;
    parallel_walk(walk_inside, &outer, count);
    check_places(&outer, count, 1);
    check_places(&inner, PLACES, 1);
    assert_false(inner.helped);
}

static void *walk_often(void *argument)
{
    struct visits *visits = argument;
    visits->walker = pthread_self();
    for (int i = 0; i < WALKS; i++)
        parallel_walk(count_places, visits, PLACES);
    return NULL;
}

static void test_walks_of_several_threads_do_not_mix(void **state)
{
    (void)state;
    static struct visits visits[WALKERS];
    pthread_t threads[WALKERS];
    memset(visits, 0, sizeof(visits));
    for (int i = 0; i < WALKERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, walk_often, &visits[i]), 0);
    for (int i = 0; i < WALKERS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (int i = 0; i < WALKERS; i++)
        check_places(&visits[i], PLACES, WALKS);
}

static void test_without_helpers_the_caller_walks(void **state)
{
    (void)state;
    struct visits visits = {.walker = pthread_self()};
    parallel_walk_allow(0);
    for (int i = 0; i < WALKS; i++)
        parallel_walk(count_places, &visits, PLACES);
    check_places(&visits, PLACES, WALKS);
    thread_pool_stop(); /* returns: no helper is left */
    visits = (struct visits){.walker = pthread_self()};
    parallel_walk(count_places, &visits, PLACES);
    check_places(&visits, PLACES, 1);
    assert_false(visits.helped);
}

static void test_there_is_a_processor(void **state)
{
    (void)state;
    assert_true(parallel_walk_cores() >= 1);
}

static int allow_helpers(void **state)
{
    (void)state;
    parallel_walk_allow(HELPERS);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_place_is_visited_once),
        cmocka_unit_test(test_helpers_visit_parts_at_the_same_time),
        cmocka_unit_test(test_a_walk_beside_another_is_done_alone),
        cmocka_unit_test(test_walks_of_several_threads_do_not_mix),
        cmocka_unit_test(test_there_is_a_processor),
        cmocka_unit_test(test_without_helpers_the_caller_walks),
    };
    return cmocka_run_group_tests(tests, allow_helpers, NULL);
}
