/* SPDX-License-Identifier: MIT
 *
 * test_connect_unix.c - connecting to a Unix socket, and paths that lead to none.
 */
#include "net/socket.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

static void a_listener_is_reached(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)state;
    snprintf(address.sun_path, sizeof(address.sun_path), "/tmp/ragnarok-unix-%d", getpid());
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(listener, 1), 0);
    int fd = net_connect_unix(address.sun_path);
    assert_true(fd >= 0);
    assert_true(net_wait(fd, POLLOUT, net_now() + 10000) & POLLOUT);
    assert_int_equal(net_connect_end(fd), 0);
    char byte;
    assert_int_equal(recv(fd, &byte, 1, 0), -1); /* it never blocks */
    assert_int_equal(errno, EAGAIN);
    close(fd);
    close(listener);
    assert_int_equal(net_connect_unix(address.sun_path), -1);
    assert_int_equal(errno, ECONNREFUSED);
    unlink(address.sun_path);
    assert_int_equal(net_connect_unix(address.sun_path), -1);
    assert_int_equal(errno, ENOENT);
}

static void a_path_that_is_too_long_is_refused(void **state)
{
    char path[sizeof(((struct sockaddr_un *)0)->sun_path) + 1];
    (void)state;
    memset(path, 'x', sizeof(path));
    path[sizeof(path) - 1] = '\0';
    assert_int_equal(net_connect_unix(path), -1);
    assert_int_equal(errno, ENAMETOOLONG);
    path[sizeof(path) - 2] = '\0';
    assert_int_equal(net_connect_unix(path), -1);
    assert_int_equal(errno, ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_listener_is_reached),
        cmocka_unit_test(a_path_that_is_too_long_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
