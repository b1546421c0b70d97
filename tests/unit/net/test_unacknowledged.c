/* SPDX-License-Identifier: MIT
 *
 * test_unacknowledged.c - socket.c's count of the bytes that a peer has not acknowledged.
 */
#include "net/socket.h"

#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

struct pair {
    int ours, theirs;
};

/* Two ends of a TCP connection on loopback. The peer's receive buffer is small. */
static struct pair connected(void)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(any);
    int small = 4096;
    struct pair pair = {.theirs = socket(AF_INET, SOCK_STREAM, 0)};
    int listening = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(listening, (struct sockaddr *)&any, len), 0);
    assert_int_equal(listen(listening, 1), 0);
    assert_int_equal(getsockname(listening, (struct sockaddr *)&any, &len), 0);
    setsockopt(pair.theirs, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    assert_int_equal(connect(pair.theirs, (struct sockaddr *)&any, len), 0);
    pair.ours = accept(listening, NULL, NULL);
    assert_true(pair.ours >= 0);
    close(listening);
    return pair;
}

static void fill(int fd)
{
    static const char bytes[65536];
    while (send(fd, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
        ;
}

static void wait_for(int fd, short events)
{
    struct pollfd one = {.fd = fd, .events = events};
    assert_int_equal(poll(&one, 1, 10000), 1);
}

static void test_what_a_peer_does_not_read_is_counted(void **state)
{
    (void)state;
    struct pair pair = connected();
    assert_int_equal(net_unacknowledged(pair.ours), 0);
    fill(pair.ours);
    assert_true(net_unacknowledged(pair.ours) > 0);
    close(pair.ours);
    close(pair.theirs);
}

/* What it has not acknowledged it never will. */
static void test_a_peer_that_reset_the_connection_owes_nothing(void **state)
{
    (void)state;
    struct pair pair = connected();
    fill(pair.ours);
    close(pair.theirs); /* with unread bytes: it sends a reset */
    wait_for(pair.ours, POLLERR);
    assert_int_equal(net_unacknowledged(pair.ours), 0);
    close(pair.ours);
}

/* Closing in order is no reset: the rest may still arrive. */
static void test_a_peer_that_has_only_ended_its_side_still_counts(void **state)
{
    (void)state;
    struct pair pair = connected();
    fill(pair.ours);
    shutdown(pair.theirs, SHUT_WR);
    shutdown(pair.ours, SHUT_WR);
    wait_for(pair.ours, POLLHUP);
    assert_true(net_unacknowledged(pair.ours) > 0);
    close(pair.ours);
    close(pair.theirs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_a_peer_does_not_read_is_counted),
        cmocka_unit_test(test_a_peer_that_reset_the_connection_owes_nothing),
        cmocka_unit_test(test_a_peer_that_has_only_ended_its_side_still_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
