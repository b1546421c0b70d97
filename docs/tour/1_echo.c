/* SPDX-License-Identifier: MIT
 *
 * 1_echo.c - step 1 of the ladder: a server that sends back what it reads.
 *
 * Six calls are in every server: socket, bind, listen, accept, recv, send. TCP carries a stream of
 * bytes, not messages (RFC 9293 §3.8): recv(2) returns what has come so far, and send(2) may take
 * only a part of what it was given.
 *
 *   Run it        make tour && build/tour/1_echo 7001
 *   Talk to it    nc 127.0.0.1 7001      and type a line: it comes back
 *   Its problem   run the same nc in a second terminal. Nothing comes back there until the first
 *                 nc ends (Ctrl-C): while this program waits in recv for one client, it cannot
 *                 accept another. Step 2 solves that.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    BACKLOG = 128, /* connections that the kernel keeps for accept; it refuses or delays more */
};

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

/* Returns a socket that accepts connections from this machine (127.0.0.1), and says where. */
static int listen_on(const char *port_text)
{
    char *rest;
    long port = strtol(port_text, &rest, 10);
    if (rest == port_text || *rest || port < 0 || port > 65535) {
        fprintf(stderr, "port: expected 0..65535 (0: any free one), got %s\n", port_text);
        exit(2);
    }
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)port), /* on the wire the high byte comes first */
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    socklen_t len = sizeof(address);
    int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0)
        fail("socket");
    /* Without this, bind fails for a minute after the program has ended: the old connections are
     * still in TIME-WAIT (RFC 9293 §3.6.1). */
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
        fail("setsockopt");
    if (bind(fd, (struct sockaddr *)&address, len) < 0)
        fail("bind");
    if (listen(fd, BACKLOG) < 0)
        fail("listen");
    if (getsockname(fd, (struct sockaddr *)&address, &len) < 0)
        fail("getsockname");
    printf("listening on 127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

/* Sends all of it, in as many parts as the kernel takes. Returns false when the peer is gone.
 * Without MSG_NOSIGNAL that would end this program: the default of SIGPIPE does. */
static bool send_all(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);
        if (n < 0)
            return false;
        bytes += n;
        len -= (size_t)n;
    }
    return true;
}

static void serve(int fd)
{
    char bytes[4096];
    ssize_t n;
    while ((n = recv(fd, bytes, sizeof(bytes), 0)) > 0) /* 0: the peer has ended, < 0: it broke */
        if (!send_all(fd, bytes, (size_t)n))
            return;
}

int main(int argc, char **argv)
{
    int listener = listen_on(argc > 1 ? argv[1] : "7001");
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        if (fd >= 0) {
            serve(fd);
            close(fd);
        } else if (errno != ECONNABORTED && errno != EINTR) { /* those concern one connection */
            fail("accept");
        }
    }
}
