/* SPDX-License-Identifier: MIT
 *
 * linger.c - lingering close: a ring of sockets, the oldest first. Acceptor thread only; no locks.
 */
#include "net/linger.h"

#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/socket.h"

enum { DISCARD_MAX = 64 * 1024 }; /* bytes of a request that are discarded before the close */

static struct {
    int fd;
    int64_t until;
} ring[LINGER_MAX];
static int first, count;

static void close_first(void)
{
    int fd = ring[first].fd;
    first = (first + 1) % LINGER_MAX;
    count--;
    recv(fd, NULL, DISCARD_MAX, MSG_TRUNC | MSG_DONTWAIT);
    close(fd);
}

void linger_send(int fd, const char *bytes, size_t len)
{
    bool sent = send(fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)len;
    if (!sent || shutdown(fd, SHUT_WR) != 0) {
        close(fd);
        return;
    }
    if (count == LINGER_MAX)
        close_first();
    int last = (first + count++) % LINGER_MAX;
    ring[last].fd = fd;
    ring[last].until = net_now() + LINGER_MS;
}

int64_t linger_look(void)
{
    int64_t now = net_now();
    while (count > 0 && ring[first].until <= now)
        close_first();
    return count > 0 ? ring[first].until : INT64_MAX;
}

void linger_end(void)
{
    while (count > 0)
        close_first();
}
