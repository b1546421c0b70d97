/* SPDX-License-Identifier: MIT
 *
 * outbox_queue.c - the queue of an outbox: what waits for one client alone, and where it is sent.
 *
 * The caller, outbox.c, holds the client's stream lock; under it only the ring's is taken. No I/O.
 */
#include "delivery/outbox_queue.h"

#include <stdlib.h>
#include <string.h>

enum { MERGE_MAX = 4096 }; /* bytes of the frames that one write carries */

static size_t weight(const struct outbox_item *item)
{
    return item->kind == OUTBOX_MESSAGE ? item->frame->len : 0;
}

void outbox_queue_add(struct outbox *out, struct outbox_item *item)
{
    item->next = NULL;
    if (out->last)
        out->last->next = item;
    else
        out->first = item;
    out->last = item;
    out->queued += weight(item);
    out->page |= item->kind == OUTBOX_PAGE;
    out->changes += item->kind == OUTBOX_CHANGE;
}

void outbox_queue_add_first(struct outbox *out, struct outbox_item *item)
{
    item->next = out->first;
    out->first = item;
    if (!out->last)
        out->last = item;
}

/* Queues a ping or pong in front of what waits for a later position. */
static void enqueue_early(struct outbox *out, struct outbox_item *item)
{
    struct outbox_item **link = &out->first;
    while (*link && (*link)->at <= item->at)
        link = &(*link)->next;
    if (!*link) {
        outbox_queue_add(out, item);
        return;
    }
    item->next = *link;
    *link = item;
}

static bool is_probe(enum outbox_kind kind)
{
    return kind == OUTBOX_PING || kind == OUTBOX_PONG;
}

bool outbox_queue_push(struct outbox *out, enum outbox_kind kind, struct frame *frame, uint64_t at)
{
    struct outbox_item *item = malloc(sizeof(*item));
    if (!item)
        return false;
    *item = (struct outbox_item){.frame = frame_hold(frame), .at = at, .kind = kind};
    if (is_probe(kind))
        enqueue_early(out, item);
    else
        outbox_queue_add(out, item);
    return true;
}

static struct outbox_item *unlink_first(struct outbox *out)
{
    struct outbox_item *item = out->first;
    out->first = item->next;
    if (!out->first)
        out->last = NULL;
    out->queued -= weight(item);
    out->page &= item->kind != OUTBOX_PAGE; /* only one waits */
    out->changes -= item->kind == OUTBOX_CHANGE;
    return item;
}

void outbox_queue_free_item(struct outbox_item *item)
{
    if (item)
        frame_drop(item->frame);
    free(item);
}

void outbox_queue_pop(struct outbox *out)
{
    outbox_queue_free_item(unlink_first(out));
}

bool outbox_queue_in_flight(const struct outbox *out)
{
    const struct outbox_item *item = out->first;
    return item && (item->sent || item->kind == OUTBOX_COPY || item->kind == OUTBOX_RESPONSE ||
                    (out->offered && item->at <= out->position));
}

struct outbox_item *outbox_queue_clear(struct outbox *out)
{
    struct outbox_item *keep = outbox_queue_in_flight(out) ? unlink_first(out) : NULL, *last = NULL;
    while (out->first) {
        outbox_queue_free_item(last);
        last = unlink_first(out);
    }
    if (keep)
        outbox_queue_add(out, keep);
    if (last && last->kind == OUTBOX_CLOSE) /* nothing is queued behind one */
        return last;
    outbox_queue_free_item(last);
    return NULL;
}

/* Pages, pings and Close frames are watched by their kind until they are sent. */
static bool may_merge(const struct outbox_item *item)
{
    return item->kind == OUTBOX_MESSAGE || item->kind == OUTBOX_RESPONSE ||
           item->kind == OUTBOX_PRESENCE || item->kind == OUTBOX_CHANGE;
}

static void append_bytes(struct frame *frame, size_t at, const struct frame *part)
{
    memcpy(frame->bytes + at, part->bytes, part->len);
    frame->len = at + part->len;
}

void outbox_queue_merge(struct outbox *out, uint64_t at)
{
    size_t len = 0, count = 0;
    const struct outbox_item *item = out->first;
    if (item->sent || out->offered)
        return;
    for (; item && item->at <= at && may_merge(item) && len + item->frame->len <= MERGE_MAX;
         item = item->next, count++)
        len += item->frame->len;
    if (count < 2)
        return;
    struct frame *frame = frame_alloc(len);
    if (!frame)
        return;
    struct outbox_item *merged = unlink_first(out);
    append_bytes(frame, 0, merged->frame);
    while (--count > 0) {
        append_bytes(frame, frame->len, out->first->frame);
        outbox_queue_pop(out);
    }
    frame_drop(merged->frame);
    *merged = (struct outbox_item){.frame = frame, .kind = OUTBOX_COPY};
    outbox_queue_add_first(out, merged);
}

uint64_t outbox_queue_position(const struct outbox *out, enum outbox_kind kind)
{
    bool ring_offered = out->offered && !outbox_queue_in_flight(out);
    if (!out->ring)
        return out->position;
    if (kind == OUTBOX_PRESENCE && !out->listed && out->position <= out->history_end &&
        !ring_offered)
        return out->history_end;
    return is_probe(kind) ? ring_ready(out->ring) : ring_end(out->ring);
}

/* The first waiting item of that kind, behind `from` or (NULL) in the whole queue. */
static struct outbox_item *find_waiting(const struct outbox *out, enum outbox_kind kind,
                                        const struct outbox_item *from)
{
    struct outbox_item *item = from ? from->next : out->first;
    if (!from && item && outbox_queue_in_flight(out))
        item = item->next;
    while (item && item->kind != kind)
        item = item->next;
    return item;
}

/* Unlinks an item that is not the first one. */
static void unlink_item(struct outbox *out, struct outbox_item *item)
{
    struct outbox_item *before = out->first;
    while (before->next != item)
        before = before->next;
    before->next = item->next;
    if (!item->next)
        out->last = before;
    out->queued -= weight(item);
    out->changes -= item->kind == OUTBOX_CHANGE;
}

bool outbox_queue_replace(struct outbox *out, enum outbox_kind kind, struct frame *frame)
{
    struct outbox_item *item = find_waiting(out, kind, NULL), *second;
    if (!item)
        return false;
    if (kind == OUTBOX_PRESENCE && (item->next || item->at != outbox_queue_position(out, kind))) {
        second = find_waiting(out, kind, item);
        if (!second)
            return false;
        unlink_item(out, second);
        second->at = outbox_queue_position(out, kind);
        outbox_queue_add(out, second);
        item = second;
    }
    frame_drop(item->frame);
    item->frame = frame_hold(frame);
    return true;
}

void outbox_queue_drop_changes(struct outbox *out)
{
    struct outbox_item *item;
    while ((item = find_waiting(out, OUTBOX_CHANGE, NULL))) {
        if (item == out->first)
            unlink_first(out);
        else
            unlink_item(out, item);
        outbox_queue_free_item(item);
    }
}
