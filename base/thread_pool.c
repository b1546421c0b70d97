/* SPDX-License-Identifier: MIT
 *
 * thread_pool.c - starts threads, and keeps a few for the next job.
 *
 * Any thread enters it. Takes one leaf lock. A job is queued only for a thread that is known to be
 * idle, so there are never more queued jobs than idle threads.
 */
#include "base/thread_pool.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "net/stream.h"

struct job {
    void (*run)(void *argument);
    void *argument;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t handed = PTHREAD_COND_INITIALIZER; /* a job was queued, or the pool stops */
static pthread_cond_t ended = PTHREAD_COND_INITIALIZER;  /* a thread has ended */
static struct job table[THREADS_KEPT]; /* [lock] jobs that no thread has taken yet */
static int jobs,
    waiting;        /* [lock] jobs in the table; waiting threads, including those for these jobs */
static int threads; /* [lock] all threads of the pool */
static bool stopping;                 /* [lock] */
static _Thread_local void *stack_end; /* the lowest address of this thread's stack */

/* Waits for the next job. Returns false when this thread must end. */
static bool next_job(struct job *job)
{
    if (waiting == THREADS_KEPT)
        return false;
    waiting++;
    while (jobs == 0 && !stopping)
        pthread_cond_wait(&handed, &lock);
    waiting--;
    if (jobs == 0)
        return false;
    *job = table[--jobs];
    return true;
}

/* Notes where this thread's stack ends (pthread_getattr_np(3)). Without memory for that it stays
 * NULL, and the stack is not trimmed. */
static void note_stack_end(void)
{
    pthread_attr_t attributes;
    size_t bytes;
    if (pthread_getattr_np(pthread_self(), &attributes) != 0)
        return;
    if (pthread_attr_getstack(&attributes, &stack_end, &bytes) != 0)
        stack_end = NULL;
    pthread_attr_destroy(&attributes);
}

static void *thread_main(void *argument)
{
    struct job job = *(struct job *)argument;
    free(argument);
    note_stack_end();
    pthread_mutex_lock(&lock);
    do {
        pthread_mutex_unlock(&lock);
        job.run(job.argument);
        pthread_mutex_lock(&lock);
    } while (next_job(&job));
    pthread_mutex_unlock(&lock);

    tls_thread_cleanup(); /* before `threads` drops: thread_pool_stop waits for that */
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
    pthread_attr_setstacksize(&attributes, THREAD_POOL_STACK_BYTES);
    int failure = pthread_create(&thread, &attributes, run, argument);
    pthread_attr_destroy(&attributes);
    return failure ? -1 : 0;
}

/* Hands a job to a waiting thread. If there is none, counts the new thread. */
static bool hand_over(struct job job)
{
    pthread_mutex_lock(&lock);
    bool waits = jobs < waiting;
    if (waits) {
        table[jobs++] = job;
        pthread_cond_signal(&handed);
    } else {
        threads++;
    }
    pthread_mutex_unlock(&lock);
    return waits;
}

int thread_pool_run(void (*run)(void *argument), void *argument)
{
    struct job job = {run, argument};
    if (hand_over(job))
        return 0;
    struct job *first = malloc(sizeof(*first));
    if (first) {
        *first = job;
        if (start_detached(thread_main, first) == 0)
            return 0;
    }
    free(first);
    pthread_mutex_lock(&lock);
    threads--;
    pthread_mutex_unlock(&lock);
    return -1;
}

void thread_pool_stop(void)
{
    pthread_mutex_lock(&lock);
    stopping = true;
    pthread_cond_broadcast(&handed);
    while (threads > 0)
        pthread_cond_wait(&ended, &lock);
    pthread_mutex_unlock(&lock);
}

/* A quarter of a page is kept for the next calls, so that a thread that waits soon does not touch
 * the next page again. */
void thread_pool_trim_stack(void)
{
    char here;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t top = ((uintptr_t)&here - page / 4) & ~(page - 1);
    if (stack_end && top > (uintptr_t)stack_end)
        madvise(stack_end, top - (uintptr_t)stack_end, MADV_DONTNEED);
}
