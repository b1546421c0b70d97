/* SPDX-License-Identifier: MIT
 *
 * test_conn.c - how long conn_finish waits for a peer to take a response.
 *
 * The socket's buffer is small, so most of the response waits with us and not with the system, as on
 * a slow line. Both peers are served at the same time, for each takes its seconds.
 */
#include "conn.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    RESPONSE = 200 * 1000,
    SLOW_MS = CONN_CLOSE_MS + 1500, /* longer than who takes nothing is waited for */
    SIP_MS = 25,
    LATE_MS = 5000, /* what a busy machine may add; CONN_RESPONSE_MS is far more */
};

static const struct conn_limits limits = {.queue_max = 1000, .max_message = 1000}; /* far less */

/* One connection: our end, the peer's end, and how it went. */
struct line {
    int ours, peers;
    pthread_t thread;
    int64_t took; /* milliseconds */
};

static void *respond(void *argument)
{
    struct line *line = argument;
    struct conn conn;
    char *body = malloc(RESPONSE);
    int64_t begin = net_now();
    if (conn_init(&conn, line->ours, NULL, &limits) == 0 && body) {
        memset(body, 'x', RESPONSE);
        conn_respond(&conn, "head", 4, body, RESPONSE - 4);
        memset(body, 'y', RESPONSE); /* it was copied */
        conn_finish(&conn);
    }
    conn_fini(&conn);
    line->took = net_now() - begin;
    free(body);
    return NULL;
}

static void open_line(struct line *line)
{
    int ends[2], size = 4096;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    assert_int_equal(setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size), 0);
    line->ours = ends[0];
    line->peers = ends[1];
    assert_int_equal(pthread_create(&line->thread, NULL, respond, line), 0);
}

/* Takes the response little by little, in SLOW_MS, up to its end. Returns its length. */
static size_t sip(int fd, char *taken)
{
    size_t len = 0;
    int64_t begin = net_now();
    while (len < RESPONSE) {
        size_t due = (size_t)((net_now() - begin) * RESPONSE / SLOW_MS);
        due = due < RESPONSE ? due : RESPONSE;
        ssize_t n = len < due ? read(fd, taken + len, due - len) : -1;
        if (n == 0)
            break;
        len += n > 0 ? (size_t)n : 0;
        net_wait(-1, 0, net_now() + SIP_MS);
    }
    return len;
}

static void test_who_takes_it_slowly_and_who_does_not(void **state)
{
    (void)state;
    struct line slow, silent;
    char *taken = malloc(RESPONSE);
    assert_non_null(taken);
    open_line(&slow);
    open_line(&silent);
    assert_int_equal(sip(slow.peers, taken), RESPONSE);
    close(slow.peers);
    pthread_join(slow.thread, NULL);
    pthread_join(silent.thread, NULL);
    close(silent.peers);

    assert_memory_equal(taken, "headxxxx", 8);
    assert_null(memchr(taken, 'y', RESPONSE));
    assert_true(slow.took > CONN_CLOSE_MS);
    assert_true(slow.took < CONN_RESPONSE_MS);
    assert_in_range(silent.took, CONN_CLOSE_MS - 100, CONN_CLOSE_MS + LATE_MS);
    free(taken);
}

/* A peer that has left is not waited for. */
static void test_who_is_gone(void **state)
{
    (void)state;
    struct line line;
    open_line(&line);
    close(line.peers);
    pthread_join(line.thread, NULL);
    assert_in_range(line.took, 0, CONN_CLOSE_MS / 2);
}

static int set_up(void **state)
{
    (void)state;
    net_wake_init();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_takes_it_slowly_and_who_does_not),
        cmocka_unit_test(test_who_is_gone),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
