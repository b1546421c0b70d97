/* SPDX-License-Identifier: MIT
 *
 * parallel_walk.h - walks a long list with several threads, each of which takes a part at a time.
 *
 * The thread that walks takes parts, too, and waits only for parts that another thread has begun.
 * So a helper that gets no processor delays nothing.
 */
#ifndef PARALLEL_WALK_H
#define PARALLEL_WALK_H

#include <stddef.h>

enum {
    PARALLEL_PART = 32,       /* places of a part: what is waited for at the end */
    PARALLEL_HELPERS_MAX = 7, /* more threads would only contend for the locks of one room */
};

/* Visits the places from `from` up to and without `to`. Several threads call it at once. It may
 * take no lock that the caller of parallel_walk holds. */
typedef void parallel_part(void *argument, size_t from, size_t to);

/* Allows so many helpers, PARALLEL_HELPERS_MAX at most; before the first call there are none. They
 * are threads of base/thread_pool.h, which the first walk starts. 0 ends them, without waiting
 * (thread_pool_stop does that); later walks are done by their callers alone. */
void parallel_walk_allow(int helpers);

/* The number of processors that this process may use; at least 1. */
int parallel_walk_cores(void);

/* Visits the places 0 to count - 1, each once, in parts and in any order. When it returns all were
 * visited, and what the helpers wrote is visible. While another walk is shared out, the calling
 * thread visits all of them itself. The caller may hold locks that `part` does not take. */
void parallel_walk(parallel_part *part, void *argument, size_t count);

#endif
