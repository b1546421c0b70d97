/* SPDX-License-Identifier: MIT
 *
 * thread.c - threads and the keeping of them, as thread.h promises it.
 *
 * One lock, held for a moment. A job is put on the table only for a thread that is known to wait, so
 * there are never more jobs on it than threads were kept.
 */
#include "thread.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "net.h"

struct job {
    void (*run)(void *argument);
    void *argument;
};

struct pool {
    pthread_cond_t handed;          /* a job is on the table, or the end */
    struct job table[THREADS_KEPT]; /* [lock] jobs that nobody has taken yet */
    int jobs, waiting;              /* [lock] on the table; threads that wait, also for those */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct pool pools[THREAD_KINDS] = {{.handed = PTHREAD_COND_INITIALIZER},
                                          {.handed = PTHREAD_COND_INITIALIZER}};
static pthread_cond_t ended = PTHREAD_COND_INITIALIZER; /* a thread has */
static int threads;                                     /* [lock] of all kinds */
static bool stopping;                                   /* [lock] */

/* Waits for the next job. Returns false when this thread is needed no more. */
static bool next_job(struct pool *pool, struct job *job)
{
    if (pool->waiting == THREADS_KEPT)
        return false;
    pool->waiting++;
    while (pool->jobs == 0 && !stopping)
        pthread_cond_wait(&pool->handed, &lock);
    pool->waiting--;
    if (pool->jobs == 0)
        return false;
    *job = pool->table[--pool->jobs];
    return true;
}

/* What a new thread is told. */
struct errand {
    struct pool *pool;
    struct job job;
};

static void *thread_main(void *argument)
{
    struct errand errand = *(struct errand *)argument;
    free(argument);
    pthread_mutex_lock(&lock);
    do {
        pthread_mutex_unlock(&lock);
        errand.job.run(errand.job.argument);
        pthread_mutex_lock(&lock);
    } while (next_job(errand.pool, &errand.job));
    pthread_mutex_unlock(&lock);

    net_rest(); /* before the process may end, which waits for us */
    pthread_mutex_lock(&lock);
    threads--;
    pthread_cond_signal(&ended);
    pthread_mutex_unlock(&lock);
    return NULL;
}

static int start_detached(void *(*run)(void *argument), void *argument)
{
    pthread_attr_t attributes;
    pthread_t thread;
    if (pthread_attr_init(&attributes) != 0)
        return -1;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, THREAD_STACK_BYTES);
    int failure = pthread_create(&thread, &attributes, run, argument);
    pthread_attr_destroy(&attributes);
    return failure ? -1 : 0;
}

/* Hands a job to a thread that waits; else counts the new one that it calls for. */
static bool hand_over(struct pool *pool, struct job job)
{
    pthread_mutex_lock(&lock);
    bool handed = pool->jobs < pool->waiting;
    if (handed) {
        pool->table[pool->jobs++] = job;
        pthread_cond_signal(&pool->handed);
    } else {
        threads++;
    }
    pthread_mutex_unlock(&lock);
    return handed;
}

int thread_do(enum thread_kind kind, void (*run)(void *argument), void *argument)
{
    struct job job = {run, argument};
    if (hand_over(&pools[kind], job))
        return 0;
    struct errand *errand = malloc(sizeof(*errand));
    if (errand) {
        *errand = (struct errand){&pools[kind], job};
        if (start_detached(thread_main, errand) == 0)
            return 0;
    }
    free(errand);
    pthread_mutex_lock(&lock);
    threads--;
    pthread_mutex_unlock(&lock);
    return -1;
}

void thread_stop(void)
{
    pthread_mutex_lock(&lock);
    stopping = true;
    for (int kind = 0; kind < THREAD_KINDS; kind++)
        pthread_cond_broadcast(&pools[kind].handed);
    while (threads > 0)
        pthread_cond_wait(&ended, &lock);
    pthread_mutex_unlock(&lock);
}

/* Half the stack is far from both of its ends. A quarter of a page is left for the calls that follow,
 * so that a thread that waits from here does not touch the next page again. */
void thread_rest_stack(void)
{
    char here;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t top = ((uintptr_t)&here - page / 4) & ~(page - 1);
    madvise((void *)(top - THREAD_STACK_BYTES / 2), THREAD_STACK_BYTES / 2, MADV_DONTNEED);
}
