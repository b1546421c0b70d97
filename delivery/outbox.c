/* SPDX-License-Identifier: MIT
 *
 * outbox.c - sends to one client: from the room's ring, and from its own queue.
 *
 * Entered by the client's own thread, by the thread that fans out, and by senders of private
 * messages. Takes the client's stream lock, and under it only the ring's. All I/O is non-blocking.
 *
 * When TLS refuses a write, it has already encrypted the bytes: the same bytes, no fewer, must be
 * offered again before any others. That needs no copy, because queued frames never overtake what
 * was in the ring before them, and the ring keeps its bytes in place.
 */
#include "delivery/outbox.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/metrics.h"
#include "delivery/outbox_queue.h"

enum {
    WRITE_MAX = 64 * 1024,  /* bytes offered in one write; more would not fit the cache */
    TLS_RECORD_MAX = 16384, /* bytes of a refused write that TLS keeps (RFC 8446 §5.1) */
};

/* ---- Closing ---- */

/* The stream failed: nothing more can be sent. Wakes the owner, which ends the connection. */
static void mark_broken(struct outbox *out)
{
    out->stream->broken = true;
    out->ring = NULL;
    out->offered = 0;
    while (out->first)
        outbox_queue_pop(out);
    out->blocked = false;
    net_wake(out->owner);
}

/* Copies the frames of the ring that were begun, in the middle or held by TLS, into the queue, up
 * to the end of the last one. They must be completed after the outbox has left the ring. */
static bool keep_begun_ring(struct outbox *out)
{
    uint64_t until =
        out->position + (out->offered < TLS_RECORD_MAX ? out->offered : TLS_RECORD_MAX);
    while (out->frame_end < until)
        out->frame_end += ring_frame_size(out->ring, out->frame_end);
    if (out->frame_end == out->position)
        return true;
    size_t len = (size_t)(out->frame_end - out->position);
    struct frame *rest = frame_alloc(len);
    if (!rest)
        return false;
    ring_copy(out->ring, out->position, rest->bytes, len);
    bool pushed = outbox_queue_push(out, OUTBOX_COPY, rest, out->position);
    frame_drop(rest);
    return pushed;
}

static bool push_close(struct outbox *out, int code, const char *reason)
{
    unsigned char bytes[WS_CLOSE_MAX];
    size_t len = ws_write_close(bytes, code, reason);
    struct frame *frame = frame_new(-1, bytes, len);
    bool pushed = frame && outbox_queue_push(out, OUTBOX_CLOSE, frame,
                                             outbox_queue_position(out, OUTBOX_CLOSE));
    frame_drop(frame);
    return pushed;
}

/* Closes a slow or failed client: completes what was begun and drops everything else. Leaves the
 * ring. */
static void close_now(struct outbox *out, const char *reason)
{
    outbox_queue_free_item(outbox_queue_clear(out));
    bool kept = out->first || !out->ring || keep_begun_ring(out);
    bool ended = out->first && out->first->kind == OUTBOX_CLOSE;
    out->ring = NULL;
    if (!kept || (!ended && !push_close(out, WS_CODE_TRY_LATER, reason)))
        mark_broken(out);
    out->closing = true;
    net_wake(out->owner);
}

static void close_slow(struct outbox *out, size_t behind, size_t limit, const char *reason)
{
    out->too_slow = true;
    out->lag = behind;
    out->lag_limit = limit;
    close_now(out, reason);
}

/* ---- Sending ---- */

/* Copies the broadcast at `at` out of the ring, with the mark in place of its last byte. Returns
 * the length of the resulting frame. */
static size_t copy_marked(struct outbox *out, uint64_t at, size_t size, unsigned char *to)
{
    unsigned char head[WS_HEAD_MAX];
    ring_copy(out->ring, at, head, 2);
    size_t old_head = ws_head_size(head), text = size - old_head - 1;
    size_t mark = strlen(out->history_mark);
    size_t new_head = ws_write_head(to, WS_TEXT, text + mark);
    ring_copy(out->ring, at + old_head, to + new_head, text);
    memcpy(to + new_head + text, out->history_mark, mark);
    return new_head + text + mark;
}

/* Copies the next broadcasts, at least one and about WRITE_MAX bytes, out of the ring to the head
 * of the queue, marked as history. */
static bool queue_history(struct outbox *out)
{
    uint64_t at = out->position, until = at;
    size_t growth = WS_HEAD_MAX + strlen(out->history_mark), len = 0, size;
    for (; until < out->history_end && len < WRITE_MAX; until += size, len += growth)
        len += size = ring_frame_size(out->ring, until);
    struct outbox_item *item = malloc(sizeof(*item));
    struct frame *frame = frame_alloc(len);
    if (!item || !frame) {
        free(item);
        free(frame);
        return false;
    }
    for (frame->len = 0; at < until; at += size) {
        size = ring_frame_size(out->ring, at);
        frame->len += copy_marked(out, at, size, frame->bytes + frame->len);
    }
    *item = (struct outbox_item){.frame = frame, .kind = OUTBOX_COPY};
    outbox_queue_add_first(out, item);
    out->position = out->frame_end = until;
    return true;
}

static bool item_is_due(const struct outbox *out)
{
    return out->first && out->first->at <= out->position;
}

/* Finds the bytes to send next: a queued frame whose position is reached, else the ring up to `end`
 * or the position of the first queued frame. Returns their number; 0: nothing to send. */
static size_t next_bytes(struct outbox *out, uint64_t end, const unsigned char **bytes)
{
    if (!item_is_due(out) && out->ring && out->position < out->history_end && !queue_history(out))
        mark_broken(out);
    if (item_is_due(out))
        outbox_queue_merge(out, out->position);
    const struct outbox_item *item = out->first;
    if (item_is_due(out)) {
        *bytes = item->frame->bytes + item->sent;
        return item->frame->len - item->sent; // NOLINT(clang-analyzer-unix.Malloc): it is queued
    }
    if (!out->ring)
        return 0;
    if (item && item->at < end)
        end = item->at;
    size_t len = ring_span(out->ring, out->position, end, bytes);
    return len < WRITE_MAX ? len : WRITE_MAX;
}

/* Accounts for `n` bytes that were sent. */
static void advance(struct outbox *out, size_t n)
{
    out->offered = 0;
    if (!item_is_due(out)) {
        out->position += n;
        return;
    }
    out->first->sent += n;
    if (out->first->sent < out->first->frame->len)
        return;
    if (out->first->kind == OUTBOX_CLOSE)
        out->ring = NULL; /* RFC 6455 §5.5.1: nothing follows a Close frame */
    outbox_queue_pop(out);
}

/* The owner must wait for the socket; wakes it unless it already does. */
static void on_would_block(struct outbox *out, size_t len, bool was_blocked)
{
    if (errno != EAGAIN) {
        mark_broken(out);
        return;
    }
    out->blocked = true;
    out->blocks++;
    out->offered = out->stream->ssl ? len : 0;
    if (!was_blocked && !pthread_equal(pthread_self(), out->owner))
        net_wake(out->owner);
}

/* Keeps frame_end a frame boundary at or behind the position. Walks the frames only after a partial
 * write, because a complete write ends at a boundary. */
static void update_frame_boundary(struct outbox *out)
{
    if (!out->ring || out->frame_end >= out->position)
        return;
    if (!out->blocked)
        out->frame_end = out->position;
    while (out->frame_end < out->position)
        out->frame_end += ring_frame_size(out->ring, out->frame_end);
}

/* Sends the queue, and the ring up to `end`, until the socket takes no more. */
static void send_until(struct outbox *out, uint64_t end)
{
    const unsigned char *bytes;
    size_t len, sent = 0;
    bool was_blocked = out->blocked;
    out->blocked = false;
    while (!out->blocked && !out->stream->broken && (len = next_bytes(out, end, &bytes)) > 0) {
        ssize_t n = stream_write(out->stream, bytes, len);
        if (n < 0) {
            on_would_block(out, len, was_blocked);
            break;
        }
        advance(out, (size_t)n);
        sent += (size_t)n;
    }
    if (sent)
        metrics_add(METRIC_BYTES_OUT, (int64_t)sent);
    update_frame_boundary(out);
}

static uint64_t present_end(const struct outbox *out)
{
    return out->ring ? ring_ready(out->ring) : out->position;
}

static void flush_locked(struct outbox *out)
{
    send_until(out, present_end(out));
}

/* How far behind a client may be: half the ring; while it reads history, nearly all of it. */
static size_t lag_max(const struct outbox *out)
{
    if (!out->ring)
        return SIZE_MAX;
    size_t size = out->ring->size;
    return out->position < out->history_end ? size - size / 8 : size / 2;
}

/* ---- Public functions ---- */

void outbox_init(struct outbox *out, struct stream *stream, size_t queue_max)
{
    memset(out, 0, sizeof(*out));
    out->stream = stream;
    out->owner = pthread_self();
    out->queue_max = queue_max;
}

void outbox_set_queue_max(struct outbox *out, size_t queue_max)
{
    pthread_mutex_lock(&out->stream->lock);
    out->queue_max = queue_max;
    pthread_mutex_unlock(&out->stream->lock);
}

void outbox_fini(struct outbox *out)
{
    while (out->first)
        outbox_queue_pop(out);
}

void outbox_attach(struct outbox *out, struct ring *ring, const struct ring_start *start,
                   const char *history_mark)
{
    pthread_mutex_lock(&out->stream->lock);
    out->ring = out->closing ? NULL : ring; /* RFC 6455 §5.5.1: nothing follows a Close frame */
    out->position = out->frame_end = start->position;
    out->history_end = start->end;
    out->history_mark = history_mark;
    out->listed = false;
    pthread_mutex_unlock(&out->stream->lock);
}

void outbox_detach(struct outbox *out)
{
    pthread_mutex_lock(&out->stream->lock);
    if (out->ring) {
        struct outbox_item *farewell = outbox_queue_clear(out);
        bool kept = out->first || keep_begun_ring(out);
        out->ring = NULL;
        if (farewell) {
            farewell->at = out->position;
            outbox_queue_add(out, farewell);
        }
        if (!kept)
            mark_broken(out);
    }
    pthread_mutex_unlock(&out->stream->lock);
}

static bool post_locked(struct outbox *out, enum outbox_kind kind, struct frame *frame)
{
    if (out->closing || out->stream->broken)
        return false;
    if (kind == OUTBOX_CHANGE && out->changes >= OUTBOX_CHANGES_MAX)
        return false;
    if (kind != OUTBOX_MESSAGE && kind != OUTBOX_CHANGE && outbox_queue_replace(out, kind, frame))
        return true;
    size_t queued = out->queued + frame->len;
    bool fits = kind != OUTBOX_MESSAGE || out->queued == 0 || queued <= out->queue_max;
    if (fits && outbox_queue_push(out, kind, frame, outbox_queue_position(out, kind))) {
        out->listed |= kind == OUTBOX_PRESENCE;
        return true;
    }
    if (!fits)
        close_slow(out, queued, out->queue_max, "too slow: too many messages wait");
    else if (kind != OUTBOX_PRESENCE && kind != OUTBOX_CHANGE) /* the room sends a later list */
        close_now(out, "out of memory");
    return false;
}

bool outbox_post(struct outbox *out, enum outbox_kind kind, struct frame *frame)
{
    pthread_mutex_lock(&out->stream->lock);
    bool done = post_locked(out, kind, frame);
    if (done && kind == OUTBOX_PRESENCE)
        outbox_queue_drop_changes(out);
    done = done || out->closing || out->stream->broken;
    pthread_mutex_unlock(&out->stream->lock);
    return done;
}

void outbox_lock(struct outbox *out, struct outbox *from)
{
    if (from && (uintptr_t)from < (uintptr_t)out)
        pthread_mutex_lock(&from->stream->lock);
    pthread_mutex_lock(&out->stream->lock);
    if (from && (uintptr_t)from > (uintptr_t)out)
        pthread_mutex_lock(&from->stream->lock);
}

/* Messages of other members may fill half of the queue; the rest is for the server's own. An empty
 * queue takes any one message. */
static bool may_deliver(const struct outbox *out, const struct frame *frame)
{
    return !out->closing && !out->stream->broken &&
           (out->queued == 0 || out->queued + frame->len <= out->queue_max / 2);
}

bool outbox_would_take(struct outbox *out, const struct frame *frame)
{
    if (!may_deliver(out, frame))
        flush_locked(out); /* perhaps the owner has only not been scheduled */
    return may_deliver(out, frame);
}

void outbox_unlock(struct outbox *out)
{
    pthread_mutex_unlock(&out->stream->lock);
}

/* Sends a frame at once, which takes no place in the queue; nothing else waits. Queues what the
 * socket does not take. */
static void send_now(struct outbox *out, struct frame *frame)
{
    ssize_t n = stream_write(out->stream, frame->bytes, frame->len);
    if (n < 0)
        on_would_block(out, frame->len, false);
    else
        metrics_add(METRIC_BYTES_OUT, n);
    if (n == (ssize_t)frame->len || out->stream->broken)
        return;
    if (outbox_queue_push(out, OUTBOX_MESSAGE, frame, out->position))
        out->first->sent = n > 0 ? (size_t)n : 0;
    else
        mark_broken(out); /* it cannot complete what was begun */
}

/* `ack` is queued first, because its place is before whatever the client answers. */
bool outbox_send_unlock(struct outbox *out, struct frame *frame, struct outbox *from,
                        struct frame *ack)
{
    bool accepted = outbox_would_take(out, frame);
    uint64_t at = outbox_queue_position(out, OUTBOX_MESSAGE);
    bool now = accepted && !out->first && !out->blocked && at == out->position && from != out;
    if (accepted && !now)
        accepted = outbox_queue_push(out, OUTBOX_MESSAGE, frame, at);
    if (accepted && ack)
        post_locked(from, OUTBOX_MESSAGE, ack);
    if (ack && from != out)
        pthread_mutex_unlock(&from->stream->lock);
    if (now)
        send_now(out, frame);
    if (out->first && !out->blocked)
        flush_locked(out);
    pthread_mutex_unlock(&out->stream->lock);
    return accepted;
}

void outbox_flush(struct outbox *out)
{
    pthread_mutex_lock(&out->stream->lock);
    flush_locked(out);
    pthread_mutex_unlock(&out->stream->lock);
}

/* Reads how far the ring is ready once, because its lock is shared by all. A blocked client is left
 * to its owner. But on a busy machine the owner may only be waiting for a processor, so a client
 * that is more than half of the limit behind is tried here, too. */
uint64_t outbox_send_from_ring(struct outbox *out)
{
    pthread_mutex_lock(&out->stream->lock);
    uint64_t end = present_end(out);
    if (!out->blocked || end - out->position > lag_max(out) / 2)
        send_until(out, end);
    if (out->ring && end - out->position > lag_max(out))
        close_slow(out, (size_t)(end - out->position), lag_max(out),
                   "too slow: more than half the room's buffer behind");
    uint64_t position = out->ring ? out->position : UINT64_MAX;
    pthread_mutex_unlock(&out->stream->lock);
    return position;
}

bool outbox_open(struct outbox *out, struct frame *head)
{
    pthread_mutex_lock(&out->stream->lock);
    out->open = post_locked(out, OUTBOX_RESPONSE, head);
    bool opened = out->open;
    pthread_mutex_unlock(&out->stream->lock);
    return opened;
}

void outbox_close(struct outbox *out, int code, const char *reason)
{
    pthread_mutex_lock(&out->stream->lock);
    bool first = !out->closing;
    out->closing = true;
    if (first && out->open && !out->stream->broken && !push_close(out, code, reason))
        mark_broken(out);
    if (first && out->open && !out->blocked)
        flush_locked(out);
    if (first)
        net_wake(out->owner);
    pthread_mutex_unlock(&out->stream->lock);
}

void outbox_cancel(struct outbox *out)
{
    pthread_mutex_lock(&out->stream->lock);
    out->cancelled = true;
    net_wake(out->owner);
    pthread_mutex_unlock(&out->stream->lock);
}

void outbox_wake(struct outbox *out)
{
    pthread_mutex_lock(&out->stream->lock);
    net_wake(out->owner);
    pthread_mutex_unlock(&out->stream->lock);
}

struct outbox_state outbox_state(struct outbox *out)
{
    pthread_mutex_lock(&out->stream->lock);
    const struct outbox_item *item = out->first;
    struct outbox_state state = {.events = out->blocked ? out->stream->write_wants : 0,
                                 .unsent = item ? item->frame->len - item->sent : 0,
                                 .half_full = out->queued > out->queue_max / 2,
                                 .closing = out->closing,
                                 .too_slow = out->too_slow,
                                 .broken = out->stream->broken,
                                 .cancelled = out->cancelled,
                                 .page = out->page,
                                 .blocks = out->blocks};
    pthread_mutex_unlock(&out->stream->lock);
    return state;
}
