/* SPDX-License-Identifier: MIT
 *
 * thread.h - starting threads: detached ones with a small stack, and porters.
 *
 * A porter lets clients in. A TLS handshake leaves a thread with memory that it will not need again:
 * random generators of its own, pieces that malloc keeps for that thread, a used stack. On a thread
 * that does nothing but handshakes all of it serves the next one, instead of lying idle under each
 * member.
 */
#ifndef THREAD_H
#define THREAD_H

#include <pthread.h>

enum {
    THREAD_STACK_BYTES = 256 * 1024, /* a page of it costs memory once it is touched */
    THREAD_PORTERS_KEPT = 8,         /* porters that wait for a job; more of them end */
};

/* Starts a detached thread. *thread may be NULL. Returns 0, or -1 when there can be none. */
int thread_start(pthread_t *thread, void *(*run)(void *argument), void *argument);

/* Does `job(argument)` on a porter: one that waits, or else a new one. So no job waits for another,
 * however long that one takes. Returns 0, or -1 when there can be no thread for it. */
int thread_porter(void (*job)(void *argument), void *argument);

/* Ends the porters and returns when they have ended. No job is under way or comes any more. */
void thread_stop_porters(void);

/* Gives the pages of the calling thread's stack back that lie well below the present frame. */
void thread_rest_stack(void);

#endif
