/* SPDX-License-Identifier: MIT
 *
 * 3_websocket.c - step 3 of the ladder: the WebSocket handshake and frames (RFC 6455).
 *
 * It solves the problem of step 2: a frame says how long it is, so a message arrives whole or not
 * at all, and a page in a browser can be a client. Read frames.h (the bytes), then chat.h (one
 * client, and the list). This file has the threads, and the sockets: all that is written to a
 * client is written under the lock, a Pong too, because two threads that write to one socket would
 * mix their frames.
 *
 *   Run it        make tour && build/tour/3_websocket 7003
 *   Talk to it    python3 -m websockets ws://127.0.0.1:7003/      in two terminals; or in the
 *                 console of a browser (F12):
 *                   s = new WebSocket("ws://127.0.0.1:7003"); s.onmessage = m => alert(m.data)
 *                   s.send("hello")
 *   Its problem   everybody between the two machines can read along, and change what is said:
 *                   sudo tcpdump -i lo -A port 7003
 *                 shows each text that the server sends. (A client's are masked, with the mask in
 *                 front of them: that is no secret.) Step 4 solves that.
 */
#include "docs/tour/chat.h"

#include <unistd.h>

struct client {
    int fd;
    bool open; /* [lock] the handshake is done: it gets broadcasts */
};

static ssize_t read_some(struct client *client, void *bytes, size_t len)
{
    return recv(client->fd, bytes, len, 0);
}

static bool send_bytes(struct client *client, const void *bytes, size_t len)
{
    pthread_mutex_lock(&lock);
    bool sent = send_all(client->fd, bytes, len);
    pthread_mutex_unlock(&lock);
    return sent;
}

static void broadcast(const void *frame, size_t len)
{
    pthread_mutex_lock(&lock);
    for (int i = 0; i < count; i++)
        if (clients[i]->open)
            send_all(clients[i]->fd, frame, len); /* its own thread notices when it is gone */
    pthread_mutex_unlock(&lock);
}

static void *serve(void *argument)
{
    struct client *client = argument;
    if (shake_hands(client)) {
        pthread_mutex_lock(&lock);
        client->open = true;
        pthread_mutex_unlock(&lock);
        read_loop(client);
    }
    leave(client);
    close(client->fd);
    free(client);
    return NULL;
}

int main(int argc, char **argv)
{
    int listener = listen_on(argc > 1 ? argv[1] : "7003");
    for (;;) {
        pthread_t thread;
        struct client *client = calloc(1, sizeof(*client));
        if (!client)
            fail("calloc");
        client->fd = accept_next(listener);
        if (join(client) && start_detached(&thread, serve, client))
            continue;
        leave(client);
        close(client->fd);
        free(client);
    }
}
