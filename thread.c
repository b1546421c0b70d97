/* SPDX-License-Identifier: MIT
 *
 * thread.c - threads, as thread.h promises them.
 *
 * One lock for the porters, held for a moment. A job is handed to a porter that is known to wait, so
 * there are at most as many jobs on the table as there are of them.
 */
#include "thread.h"

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

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t handed = PTHREAD_COND_INITIALIZER; /* a job is on the table, or the end */
static pthread_cond_t ended = PTHREAD_COND_INITIALIZER;  /* a porter has ended */
static struct job table[THREAD_PORTERS_KEPT]; /* [lock] jobs handed over, not taken yet */
static int jobs, waiting, porters;            /* [lock] on the table; who waits; all */
static bool stopping;                         /* [lock] */

int thread_start(pthread_t *thread, void *(*run)(void *argument), void *argument)
{
    pthread_attr_t attributes;
    pthread_t unnamed;
    if (pthread_attr_init(&attributes) != 0)
        return -1;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, THREAD_STACK_BYTES);
    int failure = pthread_create(thread ? thread : &unnamed, &attributes, run, argument);
    pthread_attr_destroy(&attributes);
    return failure ? -1 : 0;
}

/* ---- Porters ---- */

/* Waits for the next job. Returns false when this porter is needed no more. */
static bool next_job(struct job *job)
{
    if (waiting == THREAD_PORTERS_KEPT)
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

static void *porter_main(void *argument)
{
    struct job job = *(struct job *)argument;
    free(argument);
    pthread_mutex_lock(&lock);
    do {
        pthread_mutex_unlock(&lock);
        job.run(job.argument);
        pthread_mutex_lock(&lock);
    } while (next_job(&job));
    pthread_mutex_unlock(&lock);

    net_rest(); /* before the process may end, which waits for us */
    pthread_mutex_lock(&lock);
    porters--;
    pthread_cond_signal(&ended);
    pthread_mutex_unlock(&lock);
    return NULL;
}

static bool hand_over(const struct job *job)
{
    pthread_mutex_lock(&lock);
    bool free_hands = jobs < waiting;
    if (free_hands) {
        table[jobs++] = *job;
        pthread_cond_signal(&handed);
    } else {
        porters++; /* a new one, or so we hope */
    }
    pthread_mutex_unlock(&lock);
    return free_hands;
}

int thread_porter(void (*run)(void *argument), void *argument)
{
    struct job job = {run, argument}, *copy;
    if (hand_over(&job))
        return 0;
    copy = malloc(sizeof(*copy));
    if (copy) {
        *copy = job;
        if (thread_start(NULL, porter_main, copy) == 0)
            return 0;
    }
    free(copy);
    pthread_mutex_lock(&lock);
    porters--;
    pthread_mutex_unlock(&lock);
    return -1;
}

void thread_stop_porters(void)
{
    pthread_mutex_lock(&lock);
    stopping = true;
    pthread_cond_broadcast(&handed);
    while (porters > 0)
        pthread_cond_wait(&ended, &lock);
    pthread_mutex_unlock(&lock);
}

/* ---- Stacks ---- */

/* Half the stack is far from both of its ends. A quarter of a page is left for the calls that follow,
 * so that a thread that waits from here does not touch the next page again. */
void thread_rest_stack(void)
{
    char here;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t top = ((uintptr_t)&here - page / 4) & ~(page - 1);
    madvise((void *)(top - THREAD_STACK_BYTES / 2), THREAD_STACK_BYTES / 2, MADV_DONTNEED);
}
