/* SPDX-License-Identifier: MIT
 *
 * outbox.h - one client's way out: its stream, its write lock, its position in the room's ring, and
 * a small queue of its own.
 *
 * Two kinds of bytes leave here: the room's, read from the ring in place, and the client's own
 * (private messages, errors, pongs, lists of who is online, the Close frame), which wait in the
 * queue. Every frame in the queue bears the end of the ring at the time it was queued and leaves
 * exactly there, so a third person sees a broadcast and a private message of the same sender in
 * the order in which they were sent.
 *
 * Any thread may push bytes out, under the write lock, and nothing blocks while it is held. When
 * the socket takes no more, the client is marked blocked and its own thread woken, which waits for
 * the socket and goes on.
 */
#ifndef OUTBOX_H
#define OUTBOX_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "net.h"
#include "ring.h"
#include "ws.h"

/* A finished frame, shared by all the queues that it waits in. Immutable but for its count. */
struct frame {
    atomic_uint references;
    size_t len;
    unsigned char bytes[];
};

/* Makes a frame of a payload; with opcode -1 of bytes that go out as they are. The caller holds
 * one reference. Returns NULL when memory is out. */
struct frame *frame_new(int opcode, const void *payload, size_t len);

/* Makes a frame of two pieces that go out as they are, one behind the other. */
struct frame *frame_join(const void *head, size_t head_len, const void *body, size_t len);
void frame_drop(struct frame *frame);

/* What a queued frame is. Of presence, pings and pongs only the newest counts: it replaces one that
 * still waits, so that neither pings nor comings and goings can make the queue grow. */
enum outbox_kind {
    OUTBOX_MESSAGE,
    OUTBOX_RESPONSE, /* of HTTP: the first thing sent, or the only one; queue_max is not for it */
    OUTBOX_COPY,     /* what the outbox itself took out of the ring: history, the rest of a frame */
    OUTBOX_PRESENCE,
    OUTBOX_PING,
    OUTBOX_PONG,
    OUTBOX_CLOSE,
};

struct outbox_item;

/* [w] under the write lock; [I] set before other threads know the outbox; [t] its own thread. */
struct outbox {
    pthread_mutex_t lock;             /* the write lock */
    pthread_t owner;                  /* [w] the thread to wake, */
    bool owned;                       /* [w] if there is one */
    struct net_stream stream;         /* [w] */
    struct ring *ring;                /* [w] NULL: in no room */
    uint64_t position;                /* [w] the next byte of the ring to send */
    uint64_t frame_end;               /* [w] a frame boundary, at or behind the position */
    uint64_t history_end;             /* [w] broadcasts before it are sent marked as history */
    struct outbox_item *first, *last; /* [w] */
    size_t queued;                    /* [w] bytes of OUTBOX_MESSAGE in the queue */
    size_t queue_max;                 /* [I] more than that is too slow */
    size_t offered;                   /* [w] bytes that TLS refused and must be offered again */
    bool open;                        /* [w] it is a WebSocket: others may write frames */
    bool blocked;                     /* [w] the socket took no more; the owner waits for it */
    bool closing;          /* [w] a Close frame is queued or sent: nothing comes after it */
    bool too_slow;         /* [w] closed for being behind; `lag` says how far */
    size_t lag, lag_limit; /* [w] bytes behind, or waiting, and how many were allowed */
    bool hurried;          /* [w] its place is needed: the owner drops what is left to send */
};

/* Readies an outbox that the calling thread owns. */
void outbox_init(struct outbox *out, size_t queue_max);

/* Makes the calling thread the owner. Between outbox_disown by the one before and this nobody is
 * woken: the new owner looks at outbox_state before it waits. */
void outbox_own(struct outbox *out);
void outbox_disown(struct outbox *out);

/* Closes the stream and frees what waits. Nobody else may know the outbox any more. */
void outbox_fini(struct outbox *out);

/* Enters a ring at `start.position`; broadcasts before `start.end` are marked as history. The
 * room's member list is locked, so nobody pumps. */
void outbox_attach(struct outbox *out, struct ring *ring, const struct ring_start *start);

/* Leaves the ring; what was not sent is dropped. After it the ring may go. */
void outbox_detach(struct outbox *out);

/* Queues a frame (borrowed: the queue takes a reference of its own). A queue that would grow beyond
 * queue_max closes the client with 1013, as memory that is out does; but a list is then left out, for
 * the room to send again. Returns false in that case only. Does not send. */
bool outbox_post(struct outbox *out, enum outbox_kind kind, struct frame *frame);

/* For who found the client by its name: takes the write lock, after which the lock that kept the
 * client from leaving may be let go; outbox_deliver must follow. */
void outbox_hold(struct outbox *out);

/* Queues and sends one message and lets the write lock go. Returns false when the client is being
 * closed and will not get it. */
bool outbox_deliver(struct outbox *out, struct frame *frame);

/* Sends until nothing is left or the socket takes no more. */
void outbox_flush(struct outbox *out);

/* One step of a pump: sends what can be sent, and closes the client with 1013 if it is more than
 * half the ring behind. Returns its position, or UINT64_MAX when it reads the ring no more. */
uint64_t outbox_pump(struct outbox *out);

/* Sends the head that completes the handshakes; from here on other threads may send frames. Returns
 * false, and nothing was sent, when the outbox was told to close before. */
bool outbox_open(struct outbox *out, struct frame *head);

/* Begins an orderly close: all that was queued or said before goes out first, then a Close frame.
 * The first caller's code wins. Any thread; the owner is woken. Before outbox_open nothing is sent:
 * the owner is told to end it. */
void outbox_close(struct outbox *out, int code, const char *reason);

/* Has the owner, which is ending the connection, drop what is left to be sent. Any thread. */
void outbox_hurry(struct outbox *out);

/* Wakes the owner, if there is one, to see what has changed. */
void outbox_wake(struct outbox *out);

/* What the owner needs to know before it waits. */
struct outbox_state {
    short events;  /* poll(2) events that let more be sent; 0: nothing waits */
    size_t unsent; /* bytes of the first frame in the queue that the stream has not taken */
    bool closing;  /* a Close frame was queued or sent */
    bool too_slow; /* closed for being behind: `lag` says how far */
    bool broken;   /* the stream failed: nothing more can be sent */
    bool hurried;  /* its place is needed */
};
struct outbox_state outbox_state(struct outbox *out);

/* net_read under the write lock. *drained: poll before the next call. */
ssize_t outbox_read(struct outbox *out, void *buf, size_t len, bool *drained);

#endif
