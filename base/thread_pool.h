/* SPDX-License-Identifier: MIT
 *
 * thread_pool.h - detached threads with a small stack; a few idle ones are kept for the next job.
 *
 * Each client has one thread from accept to close. Reusing a thread saves the system calls that
 * create its stack, and OpenSSL its per-thread random generators.
 */
#ifndef THREAD_POOL_H
#define THREAD_POOL_H

enum {
    THREAD_POOL_STACK_BYTES = 256 * 1024, /* a page takes memory once it is touched */
    THREADS_KEPT = 8, /* idle threads; one that finishes when so many wait ends */
};

/* Runs `job(argument)` on an idle thread, or else on a new one. So no job waits for another one,
 * however long that takes. Returns 0, or -1 when no thread can be created. */
int thread_pool_run(void (*job)(void *argument), void *argument);

/* Ends the idle threads and waits for that. No job may be running. */
void thread_pool_stop(void);

/* Returns the pages of the calling thread's stack below the current frame to the system. Has no
 * effect in a thread that is not of the pool. */
void thread_pool_trim_stack(void);

#endif
