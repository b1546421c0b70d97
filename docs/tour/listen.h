/* SPDX-License-Identifier: MIT
 *
 * listen.h - what step 1 of the ladder has shown, for steps 2 to 5: listening, and sending all.
 */
#ifndef TOUR_LISTEN_H
#define TOUR_LISTEN_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

enum { LISTEN_BACKLOG = 128 }; /* connections that wait for accept; more are refused or delayed */

/* Prints the error in errno and ends the program. */
static inline void fail(const char *what)
{
    perror(what);
    exit(1);
}

/* Returns a socket that accepts connections from this machine, and says where; as in step 1. */
static inline int listen_on(const char *port_text)
{
    char *rest;
    long port = strtol(port_text, &rest, 10);
    if (rest == port_text || *rest || port < 0 || port > 65535) {
        fprintf(stderr, "port: expected 0..65535 (0: any free one), got %s\n", port_text);
        exit(2);
    }
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
        bind(fd, (struct sockaddr *)&address, len) < 0 || listen(fd, LISTEN_BACKLOG) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &len) < 0)
        fail("listen");
    printf("listening on 127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

/* Returns the next connection. */
static inline int accept_next(int listener)
{
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        if (fd >= 0)
            return fd;
        if (errno != ECONNABORTED && errno != EINTR) /* those concern one connection */
            fail("accept");
    }
}

/* Starts a thread that nobody waits for. Returns false when there can be none. */
static inline bool start_detached(pthread_t *thread, void *(*run)(void *), void *argument)
{
    return pthread_create(thread, NULL, run, argument) == 0 && pthread_detach(*thread) == 0;
}

/* Sends all of it. Returns false when the peer is gone. Blocks while the peer does not read. */
static inline bool send_all(int fd, const void *bytes, size_t len)
{
    const char *next = bytes;
    while (len > 0) {
        ssize_t n = send(fd, next, len, MSG_NOSIGNAL);
        if (n < 0)
            return false;
        next += n;
        len -= (size_t)n;
    }
    return true;
}

#endif
