/* SPDX-License-Identifier: MIT
 *
 * 5_fan_out.c - step 5 of the ladder: one ring of bytes for all, and the fan-out.
 *
 * It solves the problem of step 4: a client that does not read delays nobody. A broadcast is
 * appended to a ring (ring.h), once. A client is a position in it; sending is one send(2) of all
 * bytes from there to the end. The thread that appends also fans out: it moves every client to the
 * end, as far as its socket takes bytes. If another thread is at it, that one takes the new bytes
 * along: the more is said, the more goes out in one send. A client more than LAG_MAX behind is cut
 * off. TLS is left out, for brevity; ../TOUR.md shows the whole.
 *
 *   Run it        make tour && build/tour/5_fan_out 7005
 *   See it work   as step 4 says under "Its problem", with ws://127.0.0.1:7005/: the others go on
 */
#include "docs/tour/chat.h"
#include "docs/tour/ring.h"
#include "docs/tour/wake.h"

#include <poll.h>
#include <unistd.h>

enum { LAG_MAX = RING_SIZE / 2 };

struct client {
    int fd;
    pthread_t thread;  /* its own */
    bool open;         /* [lock] it gets broadcasts */
    bool blocked;      /* [lock] its socket took no more: its own thread waits for that */
    uint64_t position; /* [lock] the next byte of the ring for it; all before it was sent */
};

/* `lock` is held. */
static void send_from_ring(struct client *client, uint64_t until)
{
    bool was_blocked = client->blocked;
    client->blocked = false;
    while (client->position < until && !client->blocked) {
        const unsigned char *bytes;
        size_t len = ring_span(client->position, until, &bytes);
        ssize_t n = send(client->fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
        client->blocked = n < 0; /* if the connection is broken, its own thread sees that in recv */
        client->position += n > 0 ? (uint64_t)n : 0;
    }
    if (client->blocked && !was_blocked)
        wake(client->thread);
    if (until - client->position > LAG_MAX) {
        client->open = false;
        shutdown(client->fd, SHUT_RDWR); /* its own thread reads the end, and leaves */
    }
}

/* One round. `lock` is held. */
static void fan_out_locked(uint64_t until)
{
    uint64_t slowest = until;
    for (int i = 0; i < count; i++) {
        if (clients[i]->open)
            send_from_ring(clients[i], until);
        if (clients[i]->open && clients[i]->position < slowest)
            slowest = clients[i]->position;
    }
    ring_keep_from(slowest);
}

/* A thread that finds the lock taken leaves its bytes to the thread that has it. So each thread
 * calls this after it had the lock, and looks at the end once more after unlocking. */
static void fan_out(void)
{
    while (pthread_mutex_trylock(&lock) == 0) {
        uint64_t until = ring_end();
        fan_out_locked(until);
        pthread_mutex_unlock(&lock);
        if (ring_end() == until)
            return;
    }
}

static void broadcast(const void *frame, size_t len)
{
    while (!ring_append(frame, len)) {
        pthread_mutex_lock(&lock);
        fan_out_locked(ring_end());
        pthread_mutex_unlock(&lock);
    }
    fan_out();
}

/* In the middle of a frame nothing else may be sent: a client that is behind gets no Pong. */
static bool send_bytes(struct client *client, const void *bytes, size_t len)
{
    pthread_mutex_lock(&lock);
    bool sent = client->blocked ||
                send(client->fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)len;
    pthread_mutex_unlock(&lock);
    return sent;
}

/* Waits for bytes to read, and for room to write if the client is behind. */
static ssize_t read_some(struct client *client, void *bytes, size_t len)
{
    for (;;) {
        pthread_mutex_lock(&lock);
        if (client->open)
            send_from_ring(client, ring_end());
        struct pollfd one = {client->fd, client->blocked ? POLLIN | POLLOUT : POLLIN, 0};
        pthread_mutex_unlock(&lock);
        fan_out();
        if (ppoll(&one, 1, NULL, &waiting) > 0 && one.revents & ~POLLOUT)
            return recv(client->fd, bytes, len, 0);
    }
}

static void client_free(struct client *client)
{
    leave(client);
    fan_out();
    close(client->fd);
    free(client);
}

static void *serve(void *argument)
{
    struct client *client = argument;
    client->thread = pthread_self();
    if (shake_hands(client)) {
        pthread_mutex_lock(&lock);
        client->position = ring_end(); /* an earlier position would show it what was said before */
        client->open = true;
        pthread_mutex_unlock(&lock);
        read_loop(client);
    }
    client_free(client);
    return NULL;
}

int main(int argc, char **argv)
{
    wake_init();
    for (int listener = listen_on(argc > 1 ? argv[1] : "7005");;) {
        pthread_t thread;
        struct client *client = calloc(1, sizeof(*client));
        if (!client)
            fail("calloc");
        client->fd = accept_next(listener);
        if (!join(client) || !start_detached(&thread, serve, client))
            client_free(client);
        else
            fan_out();
    }
}
