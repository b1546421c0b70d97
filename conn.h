/* SPDX-License-Identifier: MIT
 *
 * conn.h - one connection, told in order by its own thread: TLS handshake, request head, upgrade,
 * messages in, close.
 *
 * Nothing here calls back: the thread asks for the next message, and waits when there is none. All
 * functions are the owner's alone (who that is may change: outbox_own). What other threads may do to
 * a connection is in outbox.h.
 */
#ifndef CONN_H
#define CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http.h"
#include "outbox.h"
#include "ws.h"

enum {
    CONN_STACK_BYTES =
        256 * 1024,       /* of the owner's stack; a page costs memory once it is touched */
    CONN_REST_MS = 1000,  /* silence after which a connection gives back what it does not need */
    CONN_CLOSE_MS = 5000, /* from a Close frame to the end, whatever the peer does */
    CONN_DRAIN_MS = 1000, /* from our FIN to the end: lets the last bytes arrive */
    CONN_RESPONSE_MS =
        30 * 1000, /* for a peer that goes on taking a response; one that takes nothing
                                   * for CONN_CLOSE_MS is gone before */
};

struct conn_limits {
    size_t max_message;   /* bytes; longer: 1009 */
    size_t queue_max;     /* bytes of private messages that wait; more: 1013 */
    double messages;      /* a second, burst twice as many; over it not read for a while; 0: none */
    double bytes;         /* a second, burst four times as many; likewise */
    int64_t handshake_ms; /* accepted to request head read; then the connection is dropped */
    int64_t ping_ms;      /* silence until a ping, and from there to the end */
    int64_t frame_ms;     /* from a frame's first byte to its last; then 1008 */
    int64_t too_fast_ms;  /* over its rate for so long without a break: 1008; 0: never */
};

/* What a client may still send: tokens, refilled as time passes, possibly owed. */
struct conn_bucket {
    double tokens;
    int64_t refilled;
};

struct conn {
    struct outbox out;
    struct ws_reader reader;
    const struct conn_limits *limits;
    struct conn_bucket messages, bytes;
    int64_t overhead;     /* TLS's own bytes that are counted so far, or are free */
    int64_t unread_until; /* over its rate: the socket is not read before */
    int64_t over_since;   /* when it came to be over its rate without a break since; 0: it is not */
    uint64_t frame;       /* ws_unfinished, as it was when we looked last */
    int64_t frame_until;  /* when that one must be whole; INT64_MAX: none has begun */
    int64_t heard;        /* when bytes came last */
    int64_t close_until;  /* since a Close frame was queued: when it ends, however; 0: none was */
    bool pinged;          /* since then */
    bool resting;         /* since then, too: it has given back what it can do without */
    bool upgraded;        /* it is a WebSocket now */
    bool too_fast;        /* ended for having been over its rate for too long */
    bool more;            /* the stream may hold more without polling */
    bool ended;           /* the peer said its last: end of stream, Close frame or nonsense */
    bool cut;             /* the peer is gone: no ceremony at the end */
    bool farewell;        /* it sent a Close frame before we did */
    bool silent;          /* it did not answer a ping */
    const char *why;      /* how it ended, for the log; NULL while it lasts */
};

/* Makes a connection of an accepted socket; takes `fd`. Called by the thread that will own it, one
 * that thread.h started.
 * `limits` outlives it. Returns 0, or -1 when memory is out; conn_fini is due in both cases. */
int conn_init(struct conn *conn, int fd, struct net_tls *tls, const struct conn_limits *limits);

/* Closes the socket and frees everything. */
void conn_fini(struct conn *conn);

/* TLS handshake and request head, all within limits->handshake_ms. Returns 0 and *request, which
 * borrows from the connection until conn_upgrade, or -1 when it is over (the peer was told why,
 * where that was possible). */
int conn_handshake(struct conn *conn, const char *protocol, struct http_request *request);

/* Completes the WebSocket handshake; `protocol` is the subprotocol chosen, or NULL. When the server
 * stops meanwhile, or memory is out, conn->upgraded stays false: then no frame may be sent. */
void conn_upgrade(struct conn *conn, const struct http_request *request, const char *protocol);

/* Queues a final HTTP response, copied from its two pieces; conn_finish sends it. */
void conn_respond(struct conn *conn, const char *head, size_t head_len, const void *body,
                  size_t len);

/* The next message of what has arrived: 1 and *event (WS_TEXT or WS_BINARY; the payload holds until
 * the next call of conn_next or conn_wait), 0 when there is none or the client is over its rate, -1
 * when the peer closed or broke a rule: conn_close is due with event->code and event->why. Pings are
 * answered here. Here ends, too, who takes too long for a frame, or is over its rate for too long. */
int conn_next(struct conn *conn, struct ws_event *event);

/* Waits until something arrived, the outbox was drained, the thread was woken or `until` (net_now)
 * has come, and reads what is there. Pings a silent peer. Returns 0, or -1 when the connection is
 * over: broken, silent for too long, or closed from our side and all sent. */
int conn_wait(struct conn *conn, int64_t until);

/* Sends one message. */
void conn_send(struct conn *conn, enum ws_opcode opcode, const void *payload, size_t len);

/* Begins the close handshake with this code and reason. */
void conn_close(struct conn *conn, int code, const char *why);

/* Ends the connection properly: sends what is left, waits for the peer's Close frame, then FIN, then
 * for its end; CONN_CLOSE_MS in all. A response may take up to CONN_RESPONSE_MS, while the peer goes
 * on taking it. outbox_hurry ends it at once. conn_fini is due after it. */
void conn_finish(struct conn *conn);

#endif
