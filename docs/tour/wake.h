/* SPDX-License-Identifier: MIT
 *
 * wake.h - how a thread of step 5 of the ladder ends the wait of another: by a signal.
 *
 * The signal is blocked everywhere but in ppoll(2), which lets it through while it waits. So one
 * that comes a moment too early stays pending and ends the next ppoll at once: no wake-up is lost.
 * With poll(2) instead it could come between the last look and the wait, and be lost.
 */
#ifndef TOUR_WAKE_H
#define TOUR_WAKE_H

#include <pthread.h>
#include <signal.h>

static sigset_t waiting; /* for ppoll: what is blocked during the wait */

static inline void on_wake(int number)
{
    (void)number; /* ppoll has ended, and that is all */
}

/* Has to be called in main, before other threads, which inherit the mask. */
static inline void wake_init(void)
{
    sigset_t wake;
    signal(SIGUSR1, on_wake);
    sigemptyset(&wake);
    sigaddset(&wake, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &wake, &waiting);
    sigdelset(&waiting, SIGUSR1);
}

/* Ends the ppoll that a thread is in, or else its next one. The thread must not have ended. */
static inline void wake(pthread_t thread)
{
    pthread_kill(thread, SIGUSR1);
}

#endif
