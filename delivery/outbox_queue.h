/* SPDX-License-Identifier: MIT
 *
 * outbox_queue.h - the queue of an outbox (outbox.h); only outbox.c uses it. Each function needs
 * the client's stream lock, and none of them sends.
 */
#ifndef OUTBOX_QUEUE_H
#define OUTBOX_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "delivery/outbox.h"

struct outbox_item {
    struct outbox_item *next;
    struct frame *frame;
    size_t sent;
    uint64_t at; /* ring position at which it is sent */
    enum outbox_kind kind;
};

/* Appends an item; takes it. */
void outbox_queue_add(struct outbox *out, struct outbox_item *item);

/* Puts an OUTBOX_COPY in front of the queue; takes it. */
void outbox_queue_add_first(struct outbox *out, struct outbox_item *item);

/* Queues a frame (borrowed: the item takes a reference) to be sent at the ring position `at`. A
 * ping or pong goes in front of what waits for a later position. Returns false when memory is out.
 */
bool outbox_queue_push(struct outbox *out, enum outbox_kind kind, struct frame *frame, uint64_t at);

/* Frees an item that is not queued; NULL is allowed. */
void outbox_queue_free_item(struct outbox_item *item);

/* Removes and frees the first item, which must exist. */
void outbox_queue_pop(struct outbox *out);

/* Whether the first item must be sent before any other: bytes of it were sent, or TLS holds some,
 * or it completes a frame of the ring, or it is the HTTP response that precedes all frames. */
bool outbox_queue_in_flight(const struct outbox *out);

/* Drops the whole queue except a first item in flight. Returns the Close frame of the queue, or
 * NULL; the caller frees it with outbox_queue_free_item. */
struct outbox_item *outbox_queue_clear(struct outbox *out);

/* The ring position at which a frame that is queued now is sent: the end of the ring; for pings and
 * pongs the position up to which it is ready, behind which TLS cannot hold any bytes. The first
 * user list is sent right after history, unless TLS holds bytes of the ring. */
uint64_t outbox_queue_position(const struct outbox *out, enum outbox_kind kind);

/* Replaces the waiting frame of that kind. Returns false when the new one must be queued. A user
 * list must not overtake earlier broadcasts, so a second list is queued behind them. The first
 * keeps its position: if it moved as well, a client that is always a little behind would never get
 * a list. */
bool outbox_queue_replace(struct outbox *out, enum outbox_kind kind, struct frame *frame);

/* Makes one frame of the small ones at the head that are due at the ring position `at`, if none of
 * them was begun: then one write, and one TLS record, carries them all. The queue must not be
 * empty. When memory is out the frames stay as they are. */
void outbox_queue_merge(struct outbox *out, uint64_t at);

/* Drops the changes of the user list that wait, because a newer list was queued. */
void outbox_queue_drop_changes(struct outbox *out);

#endif
