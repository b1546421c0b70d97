/* SPDX-License-Identifier: MIT
 *
 * thread.h - detached threads with a small stack, a few of which are kept for the next job.
 *
 * There are two kinds. Porters let clients in: a TLS handshake leaves a thread with memory that it
 * will not need again (random generators of its own, pieces that malloc keeps for that thread, a used
 * stack); on a porter all of it serves the next handshake, instead of lying idle under each member.
 * The other kind belongs to one client each, from joining to the end. Keeping a few of them halves
 * the cost of letting a client in.
 */
#ifndef THREAD_H
#define THREAD_H

enum {
    THREAD_STACK_BYTES = 256 * 1024, /* a page of it costs memory once it is touched */
    THREADS_KEPT = 8,                /* of each kind, while there is no job for them */
};

enum thread_kind { THREAD_PORTER, THREAD_CLIENT, THREAD_KINDS };

/* Does `job(argument)` on a thread of that kind: one that was kept, or else a new one. So no job waits
 * for another, however long that one takes. Returns 0, or -1 when there can be no thread for it. */
int thread_do(enum thread_kind kind, void (*job)(void *argument), void *argument);

/* Ends the threads that were kept and returns when they have ended. No job is under way. */
void thread_stop(void);

/* Gives the pages of the calling thread's stack back that lie well below the present frame. */
void thread_rest_stack(void);

#endif
