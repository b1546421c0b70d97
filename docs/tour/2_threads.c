/* SPDX-License-Identifier: MIT
 *
 * 2_threads.c - step 2 of the ladder: a thread for each client, and a list of them under a mutex.
 *
 * It solves the problem of step 1: while one thread waits for a client, the others go on. And what
 * one client says now goes to all. For that every thread has to know the other clients, so they are
 * in a list. Threads that read and change the list at the same time would ruin it; a mutex
 * (pthread_mutex_lock(3)) lets one of them at it at a time.
 *
 *   Run it        make tour && build/tour/2_threads 7002
 *   Talk to it    nc 127.0.0.1 7002      in two terminals: both hear each line
 *   Its problem   TCP has no messages. In a third terminal:
 *                   (printf 'half a '; sleep 5; echo line) | nc 127.0.0.1 7002
 *                 and say something in the first within these 5 seconds: it lands in the middle of
 *                 the other line. Besides, no page in a browser can open a bare TCP connection.
 *                 Step 3 solves both.
 */
#include "docs/tour/listen.h"

#include <unistd.h>

enum { CLIENTS_MAX = 100 }; /* one more is closed at once */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int clients[CLIENTS_MAX]; /* [lock] their sockets */
static int count;                /* [lock] */

static bool join(int fd)
{
    pthread_mutex_lock(&lock);
    bool joined = count < CLIENTS_MAX;
    if (joined)
        clients[count++] = fd;
    pthread_mutex_unlock(&lock);
    return joined;
}

/* Only after this may the socket be closed: the kernel gives its number to the next connection,
 * which would then be in the list twice. */
static void leave(int fd)
{
    pthread_mutex_lock(&lock);
    int i = 0;
    while (clients[i] != fd)
        i++;
    clients[i] = clients[--count];
    pthread_mutex_unlock(&lock);
    close(fd);
}

/* The lock is held while the bytes go out, so all clients see everything in the same order. */
static void broadcast(const char *bytes, size_t len)
{
    pthread_mutex_lock(&lock);
    for (int i = 0; i < count; i++)
        send_all(clients[i], bytes, len); /* that one's own thread notices when it is gone */
    pthread_mutex_unlock(&lock);
}

static void *serve(void *argument)
{
    int fd = (int)(intptr_t)argument;
    char bytes[4096];
    ssize_t n;
    while ((n = recv(fd, bytes, sizeof(bytes), 0)) > 0)
        broadcast(bytes, (size_t)n);
    leave(fd);
    return NULL;
}

int main(int argc, char **argv)
{
    int listener = listen_on(argc > 1 ? argv[1] : "7002");
    for (;;) {
        pthread_t thread;
        int fd = accept_next(listener);
        if (!join(fd))
            close(fd);
        else if (!start_detached(&thread, serve, (void *)(intptr_t)fd))
            leave(fd);
    }
}
