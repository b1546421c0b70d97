/* SPDX-License-Identifier: MIT
 *
 * connection_end.c - HTTP responses, and the end of a connection.
 *
 * Runs in the connection's own thread and blocks only in net_wait. A response may be the last one,
 * or be followed by another request. RFC 6455 §7 (closing), RFC 9112 §9 (connections).
 */
#include "server/connection.h"

#include <poll.h>

enum {
    RECEIPT_LOOK_MS = 100, /* longest interval of checks how much of a response has arrived */
};

/* ---- Responses ---- */

/* The deadlines for a peer that takes a response. */
struct drain_deadline {
    int64_t end;   /* in any case */
    int64_t until; /* if it takes nothing before */
    size_t left;   /* bytes that it had not taken at the last check */
    int64_t pause; /* between two checks; short at first, because most finish at once */
};

static int64_t next_look(struct drain_deadline *deadline)
{
    deadline->pause = 2 * deadline->pause + 1;
    if (deadline->pause > RECEIPT_LOOK_MS)
        deadline->pause = RECEIPT_LOOK_MS;
    return net_now() + deadline->pause;
}

/* Checks how much the peer has taken. Returns false when that is all, a deadline has passed, or its
 * place is needed. */
static bool may_wait(struct connection *conn, struct drain_deadline *deadline)
{
    int64_t now = net_now();
    struct outbox_state state = outbox_state(&conn->out);
    size_t left = state.unsent + net_unacknowledged(conn->stream.fd);
    if (left < deadline->left) {
        deadline->until = now + CONNECTION_CLOSE_MS;
        deadline->left = left;
    }
    return left > 0 && !state.cancelled && now < deadline->until && now < deadline->end;
}

/* Writes the whole response to the socket. */
static void push_response(struct connection *conn, struct drain_deadline *deadline)
{
    struct outbox_state state;
    while (may_wait(conn, deadline) && (state = outbox_state(&conn->out)).events)
        if (net_wait(conn->stream.fd, state.events, next_look(deadline)))
            outbox_flush(&conn->out);
}

/* Returns false when memory is out. */
static bool post_response(struct connection *conn, const char *head, size_t head_len,
                          const void *body, size_t len)
{
    struct frame *response = frame_join(head, head_len, body, len);
    if (response)
        outbox_post(&conn->out, OUTBOX_RESPONSE, response);
    outbox_flush(&conn->out);
    frame_drop(response);
    return response;
}

void connection_respond(struct connection *conn, const char *head, size_t head_len,
                        const void *body, size_t len)
{
    post_response(conn, head, head_len, body, len);
    conn->ended = true;
}

int connection_answer(struct connection *conn, const char *head, size_t head_len, const void *body,
                      size_t len)
{
    struct drain_deadline deadline = {.end = net_now() + CONNECTION_RESPONSE_MS, .left = SIZE_MAX};
    if (!post_response(conn, head, head_len, body, len)) {
        conn->ended = true;
        return connection_set_end_reason(conn, "out of memory");
    }
    push_response(conn, &deadline);
    struct outbox_state state = outbox_state(&conn->out);
    conn->cut = state.events; /* it did not take the response in time, and takes no farewell */
    if (state.events || state.broken || state.closing)
        return connection_set_end_reason(conn, state.closing ? "closed by the server"
                                                             : "connection lost");
    conn->handshake_until = net_now() + CONNECTION_IDLE_MS;
    return 0;
}

/* ---- The end ---- */

/* Bytes read so far, with TLS's own: a peer that sends only KeyUpdates costs more than data. */
static uint64_t bytes_read(const struct connection *conn)
{
    return conn->received + (uint64_t)conn->stream.overhead;
}

/* Whether so much was read while closing that the rest is ignored. It stays in the socket, and TCP
 * slows the peer down. */
static bool has_said_enough(const struct connection *conn)
{
    return bytes_read(conn) >= conn->enough;
}

/* Searches the input after our Close frame for the peer's, and ignores other frames. */
static void look_for_close(struct connection *conn)
{
    struct ws_event event;
    int found;
    while ((found = ws_next(&conn->reader, &event)) > 0 && event.opcode != WS_CLOSE)
        ;
    if (found != 0 || has_said_enough(conn))
        conn->ended = true;
}

/* Discards input, because closing a socket with unread input would reset the connection and lose
 * our last bytes. Returns false at the end of the stream. */
static bool discard(struct connection *conn)
{
    unsigned char *bytes;
    ws_skip(&conn->reader, ws_peek(&conn->reader, &bytes));
    return connection_read(conn) == 0;
}

/* Sends what is left and waits for the peer's Close frame or end of stream. */
static void close_handshake(struct connection *conn, int64_t until)
{
    if (!conn->ended)
        look_for_close(conn);
    while (net_now() < until) {
        struct outbox_state state = outbox_state(&conn->out);
        bool awaited = state.closing && conn->upgraded && !conn->ended;
        if (state.broken || state.cancelled || (!state.events && !awaited))
            return;
        short events = state.events;
        if (!conn->ended)
            events |= conn->stream.read_wants;
        bool more = conn->more && !conn->ended;
        short ready = net_wait(conn->stream.fd, events, more ? 0 : until);
        if (ready && state.events)
            outbox_flush(&conn->out);
        if ((ready || more) && !conn->ended && connection_read(conn) == 0)
            look_for_close(conn);
    }
}

/* Waits until the peer has received the whole response. Returns whether it has. A peer that has
 * closed its side may still receive; if it is gone, the socket has an error. */
static bool await_receipt(struct connection *conn, struct drain_deadline *deadline)
{
    int fd = conn->stream.fd;
    bool talking = true;
    while (!conn->cut && may_wait(conn, deadline)) {
        if (net_wait(talking ? fd : -1, POLLIN, next_look(deadline)))
            talking = discard(conn) && !has_said_enough(conn);
        if (!talking && net_wait(fd, 0, 0) & POLLERR)
            conn->cut = true;
    }
    return !conn->cut && deadline->left == 0;
}

/* Discards input until the peer closes, so that our last bytes arrive; for CONNECTION_DRAIN_MS, and
 * not longer than `end`. */
static void drain_stream(struct connection *conn, int64_t end)
{
    int64_t until = net_now() + CONNECTION_DRAIN_MS;
    if (until > end)
        until = end;
    while (net_now() < until && !outbox_state(&conn->out).cancelled)
        if (net_wait(has_said_enough(conn) ? -1 : conn->stream.fd, POLLIN, until) && !discard(conn))
            return;
}

/* After a TLS failure, lets the alert that says why arrive (RFC 8446 §6.2). A reset would overtake
 * it, so the connection ends with FIN, and input is discarded for a moment. */
static void let_alert_arrive(struct connection *conn)
{
    struct stream *stream = &conn->stream;
    int64_t until = net_now() + CONNECTION_DRAIN_MS;
    size_t left = CONNECTION_LAST_BYTES;
    stream_shutdown(stream);
    while (left > 0 && net_now() < until && !outbox_state(&conn->out).cancelled)
        if (net_wait(stream->fd, POLLIN, until) && !stream_discard(stream, &left))
            return;
    stream_reset_on_close(stream);
}

void connection_finish(struct connection *conn)
{
    struct stream *stream = &conn->stream;
    int64_t until = connection_close_deadline(conn);
    conn->enough = bytes_read(conn) + CONNECTION_LAST_BYTES;
    if (stream->alerted && !conn->cut) {
        let_alert_arrive(conn);
        return;
    }
    struct drain_deadline deadline = {.end = net_now() + CONNECTION_RESPONSE_MS, .left = SIZE_MAX};
    if (!conn->cut && conn->upgraded)
        close_handshake(conn, until);
    else if (!conn->cut)
        push_response(conn, &deadline);
    if (conn->cut || stream->broken || outbox_state(&conn->out).events) {
        stream_reset_on_close(stream); /* no kernel memory for a peer that takes nothing */
        return;
    }
    stream_shutdown(stream);
    if (conn->upgraded)
        drain_stream(conn, until);
    else if (await_receipt(conn, &deadline))
        drain_stream(conn, INT64_MAX);
    else
        stream_reset_on_close(stream);
}
