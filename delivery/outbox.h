/* SPDX-License-Identifier: MIT
 *
 * outbox.h - one client's output: its position in the room's ring, and a small queue of its own.
 *
 * Broadcasts are read from the ring in place, as far as it is ready. The client's own frames
 * (private messages, errors, user lists, the Close frame) wait in the queue. Each queued frame
 * carries the end of the ring at the time it was queued and is sent exactly there, so other members
 * see a broadcast and a private message of the same sender in the order in which they were sent.
 * Pings and pongs are sent where the ring is ready, because they must not wait for a disk.
 *
 * Any thread may send, under the stream's lock (stream.h), and nothing blocks while it is held.
 * Reading takes the same lock, and uses nothing else of this file. When the socket takes no more,
 * the client is marked blocked and its own thread is woken, which waits for the socket and
 * continues.
 */
#ifndef OUTBOX_H
#define OUTBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "delivery/frame.h"
#include "net/stream.h"
#include "delivery/ring.h"
#include "ws.h"

/* What a queued frame is. A new ping or pong replaces one of its kind that still waits. Of user
 * lists two may wait, if something was queued or broadcast after the first; a newer one replaces
 * the second, behind everything sent before it, and the changes that wait. Of changes
 * OUTBOX_CHANGES_MAX may wait; the next one is refused, and the room queues a list instead. So
 * neither pings nor joins and leaves can make the queue grow. */
enum outbox_kind {
    OUTBOX_MESSAGE,
    OUTBOX_RESPONSE, /* an HTTP response, sent first; queue_max does not apply */
    OUTBOX_COPY,     /* copied from the ring: history, or the rest of a frame */
    OUTBOX_PAGE,     /* older messages that the client asked for; queue_max does not apply. The
                      * owner queues it only when outbox_state says that none waits */
    OUTBOX_PRESENCE, /* a user list */
    OUTBOX_CHANGE,   /* a change of the user list */
    OUTBOX_PING,
    OUTBOX_PONG,
    OUTBOX_CLOSE,
};

enum { OUTBOX_CHANGES_MAX = 8 }; /* changes of the user list that wait in one queue */

struct outbox_item;

/* [s] under the stream's lock; [I] set before other threads know the outbox. */
struct outbox {
    pthread_t owner;          /* [I] the client's thread, to wake */
    struct stream *stream;    /* [I] borrowed; its members: [s] */
    struct ring *ring;        /* [s] NULL: in no room */
    uint64_t position;        /* [s] the next byte of the ring to send */
    uint64_t frame_end;       /* [s] a frame boundary, at or behind the position */
    uint64_t history_end;     /* [s] broadcasts before it are history: sent with this mark */
    const char *history_mark; /* [s] replaces the last byte of history */
    struct outbox_item *first, *last; /* [s] */
    size_t queued;                    /* [s] bytes of OUTBOX_MESSAGE in the queue */
    unsigned changes;                 /* [s] how many OUTBOX_CHANGE are queued */
    size_t queue_max;                 /* [I] limit of `queued`; above it the client is too slow */
    size_t offered;                   /* [s] bytes that TLS refused and must be offered again */
    bool listed;                      /* [s] a user list was queued since it joined */
    bool open;                        /* [s] it is a WebSocket: other threads may send frames */
    bool page;                        /* [s] an OUTBOX_PAGE waits, or is being sent */
    bool blocked;                     /* [s] the socket took no more; the owner waits for it */
    unsigned blocks;                  /* [s] how often that happened */
    bool closing;                     /* [s] a Close frame is queued or sent; nothing follows it */
    bool too_slow;                    /* [s] closed as a slow consumer; see `lag` */
    size_t lag, lag_limit;            /* [s] if too_slow: bytes behind or queued, and the limit */
    bool cancelled;                   /* [s] its place is needed: the owner drops unsent bytes */
};

/* Initializes an outbox that the calling thread owns. It sends by `stream`, which outlives it. */
void outbox_init(struct outbox *out, struct stream *stream, size_t queue_max);

/* Frees the queue. No other thread may know the outbox any more. */
void outbox_fini(struct outbox *out);

/* Enters a ring at `start.position`. Broadcasts before `start.end` are history: they are sent with
 * `history_mark`, a constant, in place of their last byte. The room's member list is locked, which
 * excludes the fan-out. */
void outbox_attach(struct outbox *out, struct ring *ring, const struct ring_start *start,
                   const char *history_mark);

/* Leaves the ring and drops unsent broadcasts. The ring may be freed after it. */
void outbox_detach(struct outbox *out);

/* Sets the limit of the queue, in bytes. */
void outbox_set_queue_max(struct outbox *out, size_t queue_max);

/* Queues a frame (borrowed: the queue takes a reference). Does not send. An empty queue takes any
 * one frame. Closes the client with 1013 if the queue would exceed queue_max, or memory is out. If
 * memory is out for a user list or a change of it, or too many changes wait, the client stays, and
 * the room must send it the list later: only then returns false. */
bool outbox_post(struct outbox *out, enum outbox_kind kind, struct frame *frame);

/* Locks the stream of a client that was found by its name, and that of the sender `from` (NULL:
 * none; it may be the same), in the order of their addresses. Then the lock that kept the client
 * from leaving may be released. outbox_send_unlock must follow. */
void outbox_lock(struct outbox *out, struct outbox *from);

/* Sends one message of another member, or queues what the socket does not take, and unlocks.
 * `ack`, unless NULL, is queued in `from` (which is locked then), but not sent, before the client
 * can see the message. Returns false, and does not queue `ack`, when the message is not accepted:
 * the client is being closed, half of its queue is used, or memory is out. */
bool outbox_send_unlock(struct outbox *out, struct frame *frame, struct outbox *from,
                        struct frame *ack);

/* Between outbox_lock (without a sender) and outbox_send_unlock: whether that would accept the
 * frame, unless memory is out. Sends what waits first, if that helps. */
bool outbox_would_take(struct outbox *out, const struct frame *frame);

/* Ends outbox_lock without a message. */
void outbox_unlock(struct outbox *out);

/* Sends until the outbox is empty or the socket takes no more. */
void outbox_flush(struct outbox *out);

/* One step of the fan-out: sends what the socket takes, and closes the client with 1013 if it is
 * more than half the ring behind. Returns its position, or UINT64_MAX if it has left the ring. */
uint64_t outbox_send_from_ring(struct outbox *out);

/* Queues the head that completes the handshakes, to be sent with the first message or by
 * outbox_flush. After it, other threads may send frames. Returns false, and queues nothing, when
 * the outbox was closed before. */
bool outbox_open(struct outbox *out, struct frame *head);

/* Begins an orderly close: everything queued or broadcast before is sent first, then a Close frame.
 * The first caller's code is used. Any thread; wakes the owner. Before outbox_open it sends
 * nothing; the owner ends the connection. */
void outbox_close(struct outbox *out, int code, const char *reason);

/* Tells the owner, which is ending the connection, to drop all unsent bytes. Any thread. */
void outbox_cancel(struct outbox *out);

/* Wakes the owner. */
void outbox_wake(struct outbox *out);

/* The state that the owner reads before it waits, or takes in more. */
struct outbox_state {
    short events;    /* poll(2) events to wait for before sending more; 0: none */
    size_t unsent;   /* bytes of the first queued frame that are not sent */
    bool half_full;  /* messages use more than half of the queue */
    bool closing;    /* a Close frame was queued or sent */
    bool too_slow;   /* closed as a slow consumer */
    bool broken;     /* the stream failed: nothing more can be sent */
    bool cancelled;  /* its place is needed */
    bool page;       /* an OUTBOX_PAGE waits, or is being sent */
    unsigned blocks; /* how often the socket took no more */
};
struct outbox_state outbox_state(struct outbox *out);

#endif
