/* SPDX-License-Identifier: MIT
 *
 * parallel_walk.c - shares the parts of a walk out among helper threads.
 *
 * Entered by any thread that walks; the helpers run helper_main. Takes one leaf lock, and calls the
 * parts without it. Parts are taken under that lock, so the thread that walks knows exactly which
 * of them were begun, and a helper touches a walk only under the lock or during a part.
 */
#include "base/parallel_walk.h"

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>

#include "base/thread_pool.h"

struct walk {
    parallel_part *part;
    void *argument;
    size_t count;
    size_t next;      /* [lock] the first place that nobody has taken */
    unsigned running; /* [lock] parts that were taken and are not done */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t shared = PTHREAD_COND_INITIALIZER; /* a walk was shared out, or all end */
static pthread_cond_t done = PTHREAD_COND_INITIALIZER;   /* the last part of a walk was done */
static struct walk *current;                             /* [lock] NULL: none is shared out */
static int allowed, helpers;                             /* [lock] wanted; started */

/* Takes parts until there is none. The lock is held, except during a part. */
static void take_parts(struct walk *walk)
{
    while (walk->next < walk->count) {
        size_t from = walk->next, left = walk->count - from;
        size_t to = from + (left < PARALLEL_PART ? left : PARALLEL_PART);
        walk->next = to;
        walk->running++;
        pthread_mutex_unlock(&lock);
        walk->part(walk->argument, from, to);
        pthread_mutex_lock(&lock);
        walk->running--;
    }
    if (walk->running == 0)
        pthread_cond_broadcast(&done);
}

static void helper_main(void *argument)
{
    (void)argument;
    pthread_mutex_lock(&lock);
    while (helpers <= allowed) {
        if (current && current->next < current->count)
            take_parts(current);
        else
            pthread_cond_wait(&shared, &lock);
    }
    helpers--;
    pthread_mutex_unlock(&lock);
}

/* Starts the helpers that are missing. One that cannot be started is tried again at the next walk.
 * The lock is held, except while a thread is started. */
static void start_helpers(void)
{
    bool failed = false;
    while (helpers < allowed && !failed) {
        helpers++;
        pthread_mutex_unlock(&lock);
        failed = thread_pool_run(helper_main, NULL) != 0;
        pthread_mutex_lock(&lock);
        helpers -= failed;
    }
}

void parallel_walk_allow(int count)
{
    pthread_mutex_lock(&lock);
    allowed = count < PARALLEL_HELPERS_MAX ? count : PARALLEL_HELPERS_MAX;
    pthread_cond_broadcast(&shared);
    pthread_mutex_unlock(&lock);
}

int parallel_walk_cores(void)
{
    cpu_set_t cpus;
    /* fails on a machine with more processors than the set has places */
    return sched_getaffinity(0, sizeof(cpus), &cpus) == 0 ? CPU_COUNT(&cpus)
                                                          : PARALLEL_HELPERS_MAX + 1;
}

void parallel_walk(parallel_part *part, void *argument, size_t count)
{
    struct walk walk = {.part = part, .argument = argument, .count = count};
    pthread_mutex_lock(&lock);
    start_helpers();
    if (current || helpers == 0) {
        pthread_mutex_unlock(&lock);
        part(argument, 0, count);
        return;
    }
    current = &walk;
    pthread_cond_broadcast(&shared);
    take_parts(&walk);
    current = NULL;
    while (walk.running > 0)
        pthread_cond_wait(&done, &lock);
    pthread_mutex_unlock(&lock);
}
