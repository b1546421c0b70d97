/* SPDX-License-Identifier: MIT
 *
 * chat.h - a WebSocket client from its request to its last frame, and the list of all clients, for
 * steps 3 to 5 of the ladder.
 *
 * How bytes get to a client and from it is not known here. A program says what a client is, and
 * has three functions for that; they are all that steps 3, 4 and 5 do differently:
 */
#ifndef TOUR_CHAT_H
#define TOUR_CHAT_H

#include "docs/tour/frames.h"
#include "docs/tour/listen.h"

#include <string.h>

struct client;

/* As recv(2): waits for bytes. Returns how many, 0 at the end, -1 when the connection broke. */
static ssize_t read_some(struct client *client, void *bytes, size_t len);

/* Sends bytes to one client, so that no other frame gets in between. False: it broke. */
static bool send_bytes(struct client *client, const void *bytes, size_t len);

/* Sends one frame to all clients. */
static void broadcast(const void *frame, size_t len);

/* ---- The list, as in step 2 ---- */

enum { CLIENTS_MAX = 100 }; /* one more is closed at once */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct client *clients[CLIENTS_MAX]; /* [lock] */
static int count;                           /* [lock] */

static inline bool join(struct client *client)
{
    pthread_mutex_lock(&lock);
    bool joined = count < CLIENTS_MAX;
    if (joined)
        clients[count++] = client;
    pthread_mutex_unlock(&lock);
    return joined;
}

/* After it no other thread knows the client. Does nothing for one that is not in the list. */
static inline void leave(struct client *client)
{
    pthread_mutex_lock(&lock);
    for (int i = 0; i < count; i++)
        if (clients[i] == client)
            clients[i] = clients[--count];
    pthread_mutex_unlock(&lock);
}

/* ---- One client ---- */

/* Reads the request and answers it. Returns whether frames may follow. */
static inline bool shake_hands(struct client *client)
{
    char request[REQUEST_MAX + 1], response[RESPONSE_MAX];
    size_t have = 0;
    int len = 0;
    while (len == 0 && have < REQUEST_MAX) {
        ssize_t n = read_some(client, request + have, REQUEST_MAX - have);
        if (n <= 0)
            return false;
        have += (size_t)n;
        request[have] = '\0';
        len = upgrade_response(request, response);
    }
    if (len > 0)
        return send_bytes(client, response, (size_t)len);
    send_bytes(client, HTTP_REFUSAL, strlen(HTTP_REFUSAL));
    return false;
}

/* Does what a frame asks for. Returns whether the connection goes on. */
static inline bool handle(struct client *client, const struct frame *frame)
{
    unsigned char out[FRAME_MAX];
    if (frame->opcode == FRAME_TEXT) {
        broadcast(out, frame_write(out, FRAME_TEXT, frame->payload, frame->len));
        return true;
    }
    if (frame->opcode == FRAME_PING) /* §5.5.2: answered with what it carries */
        return send_bytes(client, out, frame_write(out, FRAME_PONG, frame->payload, frame->len));
    if (frame->opcode == FRAME_CLOSE) /* §5.5.1: answered with its code, if it has one */
        send_bytes(client, out,
                   frame_write(out, FRAME_CLOSE, frame->payload, frame->len < 2 ? 0 : 2));
    return frame->opcode == FRAME_PONG;
}

/* Until the client closes, breaks off, or breaks a rule. */
static inline void read_loop(struct client *client)
{
    unsigned char bytes[INBOX_MAX];
    size_t have = 0;
    ssize_t n;
    while ((n = read_some(client, bytes + have, sizeof(bytes) - have)) > 0) {
        struct frame frame;
        size_t used = 0;
        long size;
        have += (size_t)n;
        while ((size = frame_read(bytes + used, have - used, &frame)) > 0) {
            used += (size_t)size;
            if (!handle(client, &frame))
                return;
        }
        if (size < 0) {
            send_bytes(client, "\x88\x02\x03\xEA", 4); /* Close 1002: a rule was broken (§7.4.1) */
            return;
        }
        memmove(bytes, bytes + used, have -= used); /* the beginning of the next frame */
    }
}

#endif
