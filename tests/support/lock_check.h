/* SPDX-License-Identifier: MIT
 *
 * lock_check.h - checks that a mutex was released as often as it was taken.
 */
#ifndef LOCK_CHECK_H
#define LOCK_CHECK_H

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Must be called while no thread uses the mutex. A mutex that is still held cannot be taken. glibc
 * also counts, and refuses (EBUSY) to destroy a mutex that was released without having been taken;
 * other C libraries do not detect that. */
static inline void check_lock_is_free(pthread_mutex_t *lock)
{
    assert_int_equal(pthread_mutex_trylock(lock), 0);
    assert_int_equal(pthread_mutex_unlock(lock), 0);
    assert_int_equal(pthread_mutex_destroy(lock), 0);
    assert_int_equal(pthread_mutex_init(lock, NULL), 0);
}

#endif
