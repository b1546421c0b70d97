/* SPDX-License-Identifier: MIT
 *
 * test_wait.c - socket.c's waiting where the system has no memory for it: ppoll(2) is replaced
 * here.
 */
#undef _FORTIFY_SOURCE /* its ppoll() is an inline function */
#include "net/socket.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

enum { WAIT_MS = 100 };

static int calls, failure;

int ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask)
{
    (void)fds, (void)count, (void)timeout, (void)mask;
    calls++;
    errno = failure;
    return -1;
}

/* Waits as the server's loops do: again and again, until something has come or it is late. */
static int calls_of_a_wait(int error)
{
    int64_t until = net_now() + WAIT_MS;
    calls = 0;
    failure = error;
    while (net_now() < until)
        assert_int_equal(net_wait(-1, POLLIN, until), 0);
    return calls;
}

static void test_a_wait_that_fails_does_not_spin(void **state)
{
    (void)state;
    assert_in_range(calls_of_a_wait(ENOMEM), 1, WAIT_MS / NET_FAILED_MS + 1);
}

/* Waking must not be late. */
static void test_a_wait_that_is_woken_does_not_pause(void **state)
{
    (void)state;
    int64_t begin = net_now_us();
    failure = EINTR;
    for (int i = 0; i < 100; i++)
        net_wait(-1, POLLIN, INT64_MAX);
    assert_true(net_now_us() - begin < 100 * NET_FAILED_MS * 1000);
}

/* Nor may a pause last longer than the wait. */
static void test_a_wait_that_fails_ends_in_time(void **state)
{
    (void)state;
    int64_t begin = net_now_us();
    failure = ENOMEM;
    for (int i = 0; i < 100; i++)
        net_wait(-1, POLLIN, 0);
    assert_true(net_now_us() - begin < 100 * NET_FAILED_MS * 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_wait_that_fails_does_not_spin),
        cmocka_unit_test(test_a_wait_that_is_woken_does_not_pause),
        cmocka_unit_test(test_a_wait_that_fails_ends_in_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
