/* SPDX-License-Identifier: MIT
 *
 * test_thread_pool.c - jobs on threads: none waits for another, and threads that have finished are
 * used again.
 */
#include "base/thread_pool.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/sanitized.h"
#include "net/socket.h"
#include "no_memory.h"

enum { MANY = 3 * THREADS_KEPT, TEST_TIMEOUT_MS = 60000 };

/* Most of a stack. ThreadSanitizer leaves 128 KiB of it. */
enum { DEEP_BYTES = SANITIZED ? 96 * 1024 : THREAD_POOL_STACK_BYTES * 3 / 4 };

/* The threads that have run a job, each once. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int threads_seen;
static atomic_int begun, done;
static atomic_bool go_on;
static _Thread_local bool was_seen;

static void reset(void)
{
    threads_seen = 0;
    begun = done = 0;
    go_on = false;
}

static void note_thread(void)
{
    pthread_mutex_lock(&lock);
    threads_seen += !was_seen;
    was_seen = true;
    pthread_mutex_unlock(&lock);
}

static void await(atomic_int *count, int least)
{
    int64_t until = net_now() + TEST_TIMEOUT_MS;
    while (*count < least && net_now() < until)
        sched_yield();
    assert_int_equal(*count, least);
}

static void quick_job(void *argument)
{
    note_thread();
    atomic_fetch_add((atomic_int *)argument, 1);
}

/* Runs until all jobs of the test may end. */
static void long_job(void *argument)
{
    note_thread();
    atomic_fetch_add(&begun, 1);
    while (!go_on)
        sched_yield();
    atomic_fetch_add((atomic_int *)argument, 1);
}

static void test_a_job_gets_its_argument(void **state)
{
    (void)state;
    atomic_int count = 0;
    reset();
    assert_int_equal(thread_pool_run(quick_job, &count), 0);
    await(&count, 1);
}

/* However many run, and however long, the next one begins. */
static void test_no_job_waits_for_another(void **state)
{
    (void)state;
    reset();
    for (int i = 0; i < MANY; i++)
        assert_int_equal(thread_pool_run(long_job, &done), 0);
    await(&begun, MANY);
    assert_int_equal(done, 0);
    go_on = true;
    await(&done, MANY);
}

/* Threads that have finished take the next jobs: a hundred, one after the other, need few. */
static void test_a_finished_thread_is_kept_for_the_next_job(void **state)
{
    (void)state;
    reset();
    for (int i = 0; i < 100; i++) {
        assert_int_equal(thread_pool_run(quick_job, &done), 0);
        await(&done, i + 1);
        net_wait(-1, 0, net_now() + 1); /* for the thread to come back */
    }
    assert_in_range(threads_seen, 0, 50);
}

/* Where memory is out for a new thread, the caller is told, and nothing is left behind. */
static void test_without_memory_there_is_no_thread(void **state)
{
    (void)state;
    int refused = 0;
    reset();
    for (int i = 0; i < MANY; i++) { /* more than are kept */
        no_memory_after(0);
        refused += thread_pool_run(long_job, &done) < 0;
        no_memory_end();
    }
    assert_in_range(refused, MANY - THREADS_KEPT, MANY);
    await(&begun, MANY - refused);
    go_on = true;
    await(&done, MANY - refused);
}

static void deep_job(void *argument)
{
    unsigned char used[DEEP_BYTES];
    memset(used, 7, sizeof(used));
    volatile unsigned char *byte = used;
    thread_pool_trim_stack();
    bool whole = true; /* the present frame is not touched */
    for (size_t i = 0; i < sizeof(used); i++)
        whole = whole && byte[i] == 7;
    atomic_fetch_add((atomic_int *)argument, whole);
}

static void test_the_stack_in_use_is_not_trimmed(void **state)
{
    (void)state;
    reset();
    assert_int_equal(thread_pool_run(deep_job, &done), 0);
    await(&done, 1);
}

/* Waits with a value in thread-local memory, which lies at the upper end of the stack. */
static void neighbour_job(void *argument)
{
    static _Thread_local volatile int own;
    own = 7;
    atomic_fetch_add(&begun, 1);
    while (!go_on)
        sched_yield();
    atomic_fetch_add((atomic_int *)argument, own == 7);
}

/* The stacks of threads lie side by side: what is trimmed ends where the own stack ends. */
static void test_no_other_threads_stack_is_trimmed(void **state)
{
    (void)state;
    static atomic_int deep;
    reset();
    for (int i = 0; i < MANY; i++)
        assert_int_equal(thread_pool_run(i % 2 ? deep_job : neighbour_job, i % 2 ? &deep : &done),
                         0);
    await(&begun, MANY / 2);
    await(&deep, MANY / 2);
    go_on = true;
    await(&done, MANY / 2);
}

/* The last test. When it returns no thread of the pool is left, whatever it was waiting for. */
static void test_stopping_waits_for_all_threads(void **state)
{
    (void)state;
    reset();
    for (int i = 0; i < THREADS_KEPT; i++)
        assert_int_equal(thread_pool_run(quick_job, &done), 0);
    await(&done, THREADS_KEPT);
    thread_pool_stop();
    thread_pool_stop(); /* there is none to wait for */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_job_gets_its_argument),
        cmocka_unit_test(test_no_job_waits_for_another),
        cmocka_unit_test(test_a_finished_thread_is_kept_for_the_next_job),
        cmocka_unit_test(test_without_memory_there_is_no_thread),
        cmocka_unit_test(test_the_stack_in_use_is_not_trimmed),
        cmocka_unit_test(test_no_other_threads_stack_is_trimmed),
        cmocka_unit_test(test_stopping_waits_for_all_threads),
    };
    net_wake_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
