/* SPDX-License-Identifier: MIT
 *
 * connection.h - one connection, in the order of its life: TLS handshake, request head, upgrade,
 * messages in, close.
 *
 * There are no callbacks: the owning thread asks for the next message, and waits when there is
 * none. Only that thread may call these functions. Other threads act on a connection through
 * outbox.h.
 */
#ifndef CONNECTION_H
#define CONNECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "lib/http/http_request.h"
#include "lib/http/http_response.h"
#include "delivery/outbox.h"
#include "net/stream.h"
#include "server/limits/rate.h"
#include "ws.h"

enum {
    CONNECTION_RELEASE_MS = 1000,      /* silence after which idle memory is released */
    CONNECTION_CLOSE_MS = 5000,        /* from a Close frame to the end, in any case */
    CONNECTION_DRAIN_MS = 1000,        /* from our FIN to the end: lets the last bytes arrive */
    CONNECTION_LAST_BYTES = 64 * 1024, /* input read while closing; more is left unread */
    CONNECTION_RESPONSE_MS =
        30 * 1000, /* for a peer that keeps receiving a response; else CONNECTION_CLOSE_MS */
    CONNECTION_REQUESTS_MAX = 100,  /* on one connection; it ends after that response */
    CONNECTION_KEEP_MS = 60 * 1000, /* from accept; a later response ends the connection */
    CONNECTION_IDLE_MS =            /* from a response to the whole next request head; then it is
                                       * closed. A second more than the peer is told. */
    (HTTP_KEEP_SECONDS + 1) * 1000,
};

struct connection_limits {
    size_t max_message;      /* bytes of a message; longer: 1009 */
    size_t queue_max;        /* bytes of queued messages; more: 1013 */
    int64_t handshake_ms;    /* from accept to the whole request head; then it is dropped */
    int64_t ping_ms;         /* silence before a ping, and from the ping to the close */
    int64_t frame_ms;        /* from a frame's first byte to its last; then 1008 */
    struct rate_limits rate; /* over it, reading pauses; for too long: 1008 */
};

struct connection {
    struct stream stream;
    struct outbox out; /* output, by any thread */
    struct ws_reader reader;
    const struct connection_limits *limits;
    struct rate rate;
    int64_t overhead;          /* TLS's own bytes that were counted, or are free */
    int64_t unread_until;      /* reading is paused until then */
    uint64_t frame;            /* ws_partial_frame at the last check */
    int64_t handshake_until;   /* deadline of the request head */
    int64_t keep_until;        /* a response after that is the last */
    int64_t frame_until;       /* deadline of `frame`; INT64_MAX: none has begun */
    int64_t heard;             /* time of the last input */
    int64_t close_until;       /* deadline of the close; 0: no Close frame was queued */
    int64_t pinged_at;         /* time of the last ping */
    uint64_t received;         /* bytes read so far */
    uint64_t enough;           /* limit of the bytes read while closing */
    int requests;              /* request heads read so far */
    bool pinged;               /* a ping was sent since `heard` */
    bool held;                 /* reading is paused until connection_hold ends it */
    bool idle_memory_released; /* idle memory was released since `heard` */
    bool upgraded;             /* it is a WebSocket now */
    bool unread_limited;       /* net_limit_unread was called */
    bool more;                 /* the stream may have more input without polling */
    unsigned brisk;            /* how many inputs in a row came soon after the one before it */
    unsigned blocks;           /* of its outbox, at the last check */
    int64_t calm_until;        /* until then it does not wait in a read, where no wake-up for a
                                * blocked outbox reaches it */
    bool awaits;               /* the next connection_read waits for input */
    bool ended;      /* no more input: end of stream, Close frame, protocol error, no memory */
    bool cut;        /* the peer is gone: skip the orderly close */
    bool farewell;   /* it sent a Close frame before we did */
    bool silent;     /* it did not answer a ping */
    const char *why; /* why it ended, for the log; NULL while it lasts */
};

/* Makes a connection from an accepted socket; takes `fd`. Called by the thread that will own it,
 * one of thread_pool.h. `limits` outlives it. Returns 0, or -1 when memory is out; connection_fini
 * must be called in both cases. */
int connection_init(struct connection *conn, int fd, struct tls_context *tls,
                    const struct connection_limits *limits);

/* Closes the socket and frees everything. */
void connection_fini(struct connection *conn);

/* Runs the TLS handshake, if there is TLS. It is charged to `source` (handshake.h); NULL: to
 * nobody. Returns 0, or -1 when the connection must end. It and connection_request share the
 * deadline limits->handshake_ms, from connection_init. */
int connection_secure(struct connection *conn, const struct sockaddr_storage *source);

/* Reads a request head, after connection_secure or connection_answer. Returns 0 and *request, which
 * borrows from the connection until connection_upgrade or connection_answer; request->keep is set
 * only if the connection may stay. Returns -1 when the connection must end; the peer was sent
 * the reason if that was possible. */
int connection_request(struct connection *conn, const char *protocol, struct http_request *request);

/* Completes the WebSocket handshake; `protocol` is the subprotocol chosen, or NULL. The response is
 * sent together with the first message, or by outbox_flush. If the server stops meanwhile, or
 * memory is out, conn->upgraded stays false, and no frame may be sent. */
void connection_upgrade(struct connection *conn, const struct http_request *request,
                        const char *protocol);

/* Sends an HTTP response, copied from two pieces, and waits until the socket has taken all of it;
 * requests that the peer has sent meanwhile (pipelining, RFC 9112 §9.3.2) are read after that.
 * Returns 0 when the next request may be read, for CONNECTION_IDLE_MS; -1 when the connection must
 * end. */
int connection_answer(struct connection *conn, const char *head, size_t head_len, const void *body,
                      size_t len);

/* Queues a final HTTP response, copied from two pieces; connection_finish sends it. */
void connection_respond(struct connection *conn, const char *head, size_t head_len,
                        const void *body, size_t len);

/* Takes the next message of the input. Returns
 *  1 and *event (WS_TEXT or WS_BINARY); its payload is valid until the next call of connection_next
 *    or connection_read;
 *  0 when there is none or reading is paused;
 * -1 when the peer closed, broke a rule, took too long for a frame, or was over its rate for too
 *    long; then connection_close must be called with event->code and event->why.
 * Answers pings. */
int connection_next(struct connection *conn, struct ws_event *event);

/* Whether there is input that connection_next has not processed. */
bool connection_has_unheard(const struct connection *conn);

/* Pauses reading for so many milliseconds; connection_next returns 0 meanwhile. Unlike a pause for
 * its rate, it cannot make the client too fast. */
void connection_pause(struct connection *conn, int64_t ms);

/* Pauses reading until it is called with false, and ends that. The last message of connection_next
 * stays valid meanwhile. The time does not count as silence of
 * the client, which is not pinged meanwhile, nor against the deadline of its frame. */
void connection_hold(struct connection *conn, bool held);

/* Waits until input is available, the thread is woken or `until` (net_now) has come. Meanwhile
 * sends the outbox, pings a silent peer, and releases idle memory. Returns 1: call connection_read;
 * 0: check state again; -1: the connection must end, because it broke, was silent for too long, or
 * was closed by our side and everything is sent. */
int connection_poll(struct connection *conn, int64_t until);

/* Reads. Waits for at most STREAM_PATIENCE_MS, and only when connection_poll has decided so.
 * Returns 0, or -1 at the end of input when nothing was read. */
int connection_read(struct connection *conn);

/* Charges `bytes` more for the last message: what it costs beyond its own length. */
void connection_charge(struct connection *conn, size_t bytes);

/* Sends one message. */
void connection_send(struct connection *conn, enum ws_opcode opcode, const void *payload,
                     size_t len);

/* Sends a page of older messages, while none waits (outbox_state), and charges its length. */
void connection_send_page(struct connection *conn, const char *json, size_t len);

/* Charges the cost of a page, in bytes, and pauses reading if that exceeds the limit; it cannot
 * make the client too fast. */
void connection_charge_page(struct connection *conn, size_t cost);

/* Begins the close handshake with this code and reason. */
void connection_close(struct connection *conn, int code, const char *why);

/* Sets why the connection ends, a constant string; the first reason counts. Returns -1. */
int connection_set_end_reason(struct connection *conn, const char *why);

/* The deadline of the close handshake, which begins with the first call. */
int64_t connection_close_deadline(struct connection *conn);

/* Ends the connection in order: sends what is left, waits for the peer's Close frame, sends FIN,
 * waits for the peer's FIN; limited by CONNECTION_CLOSE_MS in all, and CONNECTION_LAST_BYTES. A
 * response may take up to CONNECTION_RESPONSE_MS, while the peer keeps receiving. outbox_cancel
 * ends it at once. connection_fini must be called after it. */
void connection_finish(struct connection *conn);

#endif
