/* SPDX-License-Identifier: MIT
 *
 * outbox.c - one client's way out, as outbox.h promises it.
 *
 * Entered by the client's own thread, by whoever pumps the room, and by whoever has a private
 * message for it. Takes one lock, the client's write lock; under it only the ring's (a leaf). All
 * I/O is non-blocking.
 *
 * A write that TLS refused was encrypted already: it must be offered again, with the same bytes and
 * no fewer of them, before anything else. Nothing is copied aside for that: the same source is next
 * again, because queued frames never overtake what was in the ring before them, and the ring keeps
 * its bytes in place.
 */
#include "outbox.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "json_msg.h"
#include "metrics.h"

enum {
    WRITE_MAX = 64 * 1024,  /* bytes offered in one write: more fall out of the cache */
    TLS_RECORD_MAX = 16384, /* bytes of one refused write that TLS holds on to (RFC 8446 §5.1) */
};

struct outbox_item {
    struct outbox_item *next;
    struct frame *frame;
    size_t sent;
    uint64_t at; /* leaves when the position is here */
    enum outbox_kind kind;
};

/* ---- Frames ---- */

static struct frame *frame_alloc(size_t len)
{
    struct frame *frame = malloc(sizeof(*frame) + len);
    if (!frame)
        return NULL;
    atomic_init(&frame->references, 1);
    frame->len = len;
    return frame;
}

struct frame *frame_new(int opcode, const void *payload, size_t len)
{
    unsigned char head[WS_HEAD_MAX];
    size_t head_len = opcode < 0 ? 0 : ws_write_head(head, (enum ws_opcode)opcode, len);
    return frame_join(head, head_len, payload, len);
}

struct frame *frame_join(const void *head, size_t head_len, const void *body, size_t len)
{
    struct frame *frame = frame_alloc(head_len + len);
    if (!frame)
        return NULL;
    if (head_len)
        memcpy(frame->bytes, head, head_len);
    if (len)
        memcpy(frame->bytes + head_len, body, len);
    return frame;
}

static struct frame *frame_hold(struct frame *frame)
{
    atomic_fetch_add_explicit(&frame->references, 1, memory_order_relaxed);
    return frame;
}

void frame_drop(struct frame *frame)
{
    if (frame && atomic_fetch_sub_explicit(&frame->references, 1, memory_order_acq_rel) == 1)
        free(frame);
}

/* ---- The queue ---- */

static size_t weight(const struct outbox_item *item)
{
    return item->kind == OUTBOX_MESSAGE ? item->frame->len : 0;
}

static void append(struct outbox *out, struct outbox_item *item)
{
    item->next = NULL;
    if (out->last)
        out->last->next = item;
    else
        out->first = item;
    out->last = item;
    out->queued += weight(item);
}

static bool push(struct outbox *out, enum outbox_kind kind, struct frame *frame, uint64_t at)
{
    struct outbox_item *item = malloc(sizeof(*item));
    if (!item)
        return false;
    *item = (struct outbox_item){.frame = frame_hold(frame), .at = at, .kind = kind};
    append(out, item);
    return true;
}

static struct outbox_item *unlink_first(struct outbox *out)
{
    struct outbox_item *item = out->first;
    out->first = item->next;
    if (!out->first)
        out->last = NULL;
    out->queued -= weight(item);
    return item;
}

static void item_free(struct outbox_item *item)
{
    if (item)
        frame_drop(item->frame);
    free(item);
}

static void pop(struct outbox *out)
{
    item_free(unlink_first(out));
}

/* Whether the first item must leave before any other: bytes of it were sent, or are held by TLS, or it
 * goes on with what the ring began, or it is the head without which no frame makes sense. */
static bool begun(const struct outbox *out)
{
    const struct outbox_item *item = out->first;
    return item && (item->sent || item->kind == OUTBOX_COPY || item->kind == OUTBOX_RESPONSE ||
                    (out->offered && item->at <= out->position));
}

/* Drops all that waits but a first item that is on its way. Returns a Close frame that was among it,
 * or NULL; the caller frees it with item_free. */
static struct outbox_item *drop_waiting(struct outbox *out)
{
    struct outbox_item *keep = begun(out) ? unlink_first(out) : NULL, *last = NULL;
    while (out->first) {
        item_free(last);
        last = unlink_first(out);
    }
    if (keep)
        append(out, keep);
    if (last && last->kind == OUTBOX_CLOSE) /* nothing is ever queued behind one */
        return last;
    item_free(last);
    return NULL;
}

/* Replaces the frame of that kind that waits. Returns false when none does. */
static bool replace(struct outbox *out, enum outbox_kind kind, struct frame *frame)
{
    struct outbox_item *item = out->first;
    if (item && begun(out))
        item = item->next;
    while (item && item->kind != kind)
        item = item->next;
    if (!item)
        return false;
    frame_drop(item->frame);
    item->frame = frame_hold(frame);
    return true;
}

/* Where a frame that is queued now leaves: behind all that was said in the room so far. A list of
 * who is online comes right after history; only not where TLS holds on to bytes of the ring. */
static uint64_t stamp(const struct outbox *out, enum outbox_kind kind)
{
    bool ring_offered = out->offered && !begun(out);
    if (!out->ring)
        return out->position;
    if (kind == OUTBOX_PRESENCE && out->position <= out->history_end && !ring_offered)
        return out->history_end;
    return ring_end(out->ring);
}

/* ---- Ends ---- */

static void wake(const struct outbox *out)
{
    if (out->owned)
        net_wake(out->owner);
}

/* The stream failed: nothing that waits will ever leave. The owner is woken to end it. */
static void give_up(struct outbox *out)
{
    out->stream.broken = true;
    out->ring = NULL;
    out->offered = 0;
    while (out->first)
        pop(out);
    out->blocked = false;
    wake(out);
}

/* What of the ring was begun, in the middle of a frame or held by TLS, must still be finished after
 * the ring is let go: it is copied to the end of its last frame. */
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
    bool pushed = push(out, OUTBOX_COPY, rest, out->position);
    frame_drop(rest);
    return pushed;
}

static bool push_close(struct outbox *out, int code, const char *reason)
{
    unsigned char bytes[WS_CLOSE_MAX];
    size_t len = ws_write_close(bytes, code, reason);
    struct frame *frame = frame_new(-1, bytes, len);
    bool pushed = frame && push(out, OUTBOX_CLOSE, frame, stamp(out, OUTBOX_CLOSE));
    frame_drop(frame);
    return pushed;
}

/* Closes a client now: what was begun is finished, all else is dropped. The ring is free of it from
 * here on. */
static void close_now(struct outbox *out, const char *reason)
{
    item_free(drop_waiting(out));
    bool kept = out->first || !out->ring || keep_begun_ring(out);
    bool ended = out->first && out->first->kind == OUTBOX_CLOSE;
    out->ring = NULL;
    if (!kept || (!ended && !push_close(out, WS_CODE_TRY_LATER, reason)))
        give_up(out);
    out->closing = true;
    wake(out);
}

static void close_slow(struct outbox *out, size_t behind, size_t limit, const char *reason)
{
    out->too_slow = true;
    out->lag = behind;
    out->lag_limit = limit;
    close_now(out, reason);
}

/* ---- Sending ---- */

/* Copies the broadcast at `at` out of the ring, with a mark in place of its last brace. Returns the
 * length of the frame that it makes. */
static size_t copy_marked(struct outbox *out, uint64_t at, size_t size, unsigned char *to)
{
    static const char mark[] = JSON_HISTORY_END;
    unsigned char head[WS_HEAD_MAX];
    ring_copy(out->ring, at, head, 2);
    size_t old_head = ws_head_size(head), text = size - old_head - 1;
    size_t new_head = ws_write_head(to, WS_TEXT, text + strlen(mark));
    ring_copy(out->ring, at + old_head, to + new_head, text);
    memcpy(to + new_head + text, mark, strlen(mark));
    return new_head + text + strlen(mark);
}

/* Takes the next broadcasts out of the ring, one write's worth of them and at least one, and puts
 * them first in the queue, marked as history. */
static bool queue_history(struct outbox *out)
{
    enum { GROWTH = WS_HEAD_MAX + sizeof(JSON_HISTORY_END) };
    uint64_t at = out->position, until = at;
    size_t len = 0, size;
    for (; until < out->history_end && len < WRITE_MAX; until += size, len += GROWTH)
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
    *item = (struct outbox_item){.next = out->first, .frame = frame, .kind = OUTBOX_COPY};
    out->first = item;
    if (!out->last)
        out->last = item;
    out->position = out->frame_end = until;
    return true;
}

static bool item_is_due(const struct outbox *out)
{
    return out->first && out->first->at <= out->position;
}

/* What is to be sent next: a queued frame whose place is here, else the ring up to the place of the
 * first queued frame. Returns 0 when nothing is. */
static size_t next_bytes(struct outbox *out, const unsigned char **bytes)
{
    if (!item_is_due(out) && out->ring && out->position < out->history_end && !queue_history(out))
        give_up(out);
    const struct outbox_item *item = out->first;
    if (item_is_due(out)) {
        *bytes = item->frame->bytes + item->sent;
        return item->frame->len - item->sent; // NOLINT(clang-analyzer-unix.Malloc): it is queued
    }
    if (!out->ring)
        return 0;
    uint64_t until = ring_end(out->ring);
    if (item && item->at < until)
        until = item->at;
    size_t len = ring_span(out->ring, out->position, until, bytes);
    return len < WRITE_MAX ? len : WRITE_MAX;
}

/* Moves on by `n` bytes that were sent. */
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
    pop(out);
}

/* The owner has to wait for the socket; if it does not already, it is woken for that. */
static void refused(struct outbox *out, size_t len, bool was_blocked)
{
    if (errno != EAGAIN) {
        give_up(out);
        return;
    }
    out->blocked = true;
    out->offered = out->stream.ssl ? len : 0;
    if (!was_blocked && !pthread_equal(pthread_self(), out->owner))
        wake(out);
}

/* Keeps a frame boundary at or behind the position. Heads are walked only after a write that stopped
 * short: what was sent wholly ends at one. */
static void settle(struct outbox *out)
{
    if (!out->ring || out->frame_end >= out->position)
        return;
    if (!out->blocked)
        out->frame_end = out->position;
    while (out->frame_end < out->position)
        out->frame_end += ring_frame_size(out->ring, out->frame_end);
}

static void flush_locked(struct outbox *out)
{
    const unsigned char *bytes;
    size_t len, sent = 0;
    bool was_blocked = out->blocked;
    out->blocked = false;
    while (!out->blocked && !out->stream.broken && (len = next_bytes(out, &bytes)) > 0) {
        ssize_t n = net_write(&out->stream, bytes, len);
        if (n < 0) {
            refused(out, len, was_blocked);
            break;
        }
        advance(out, (size_t)n);
        sent += (size_t)n;
    }
    if (sent)
        metrics_add(METRIC_BYTES_OUT, (int64_t)sent);
    settle(out);
}

/* How far behind a client may be: half the ring; while it still reads history, nearly all of it. */
static size_t lag_max(const struct outbox *out)
{
    if (!out->ring)
        return SIZE_MAX;
    size_t size = out->ring->size;
    return out->position < out->history_end ? size - size / 8 : size / 2;
}

/* ---- What others call ---- */

void outbox_init(struct outbox *out, size_t queue_max)
{
    memset(out, 0, sizeof(*out));
    pthread_mutex_init(&out->lock, NULL);
    out->owner = pthread_self();
    out->owned = true;
    out->stream.fd = -1;
    out->queue_max = queue_max;
}

void outbox_own(struct outbox *out)
{
    pthread_mutex_lock(&out->lock);
    out->owner = pthread_self();
    out->owned = true;
    pthread_mutex_unlock(&out->lock);
}

void outbox_disown(struct outbox *out)
{
    pthread_mutex_lock(&out->lock);
    out->owned = false;
    pthread_mutex_unlock(&out->lock);
}

void outbox_fini(struct outbox *out)
{
    while (out->first)
        pop(out);
    net_close(&out->stream);
    pthread_mutex_destroy(&out->lock);
}

void outbox_attach(struct outbox *out, struct ring *ring, const struct ring_start *start)
{
    pthread_mutex_lock(&out->lock);
    out->ring = out->closing ? NULL : ring; /* RFC 6455 §5.5.1: nothing follows a Close frame */
    out->position = out->frame_end = start->position;
    out->history_end = start->end;
    pthread_mutex_unlock(&out->lock);
}

void outbox_detach(struct outbox *out)
{
    pthread_mutex_lock(&out->lock);
    if (out->ring) {
        struct outbox_item *farewell = drop_waiting(out);
        bool kept = out->first || keep_begun_ring(out);
        out->ring = NULL;
        if (farewell) {
            farewell->at = out->position;
            append(out, farewell);
        }
        if (!kept)
            give_up(out);
    }
    pthread_mutex_unlock(&out->lock);
}

static bool post_locked(struct outbox *out, enum outbox_kind kind, struct frame *frame)
{
    if (out->closing || out->stream.broken)
        return false;
    if (kind != OUTBOX_MESSAGE && replace(out, kind, frame))
        return true;
    size_t queued = out->queued + (kind == OUTBOX_MESSAGE ? frame->len : 0);
    if (queued <= out->queue_max && push(out, kind, frame, stamp(out, kind)))
        return true;
    if (queued > out->queue_max)
        close_slow(out, queued, out->queue_max, "too slow: too many messages wait");
    else if (kind != OUTBOX_PRESENCE) /* a later list serves as well */
        close_now(out, "out of memory");
    return false;
}

bool outbox_post(struct outbox *out, enum outbox_kind kind, struct frame *frame)
{
    pthread_mutex_lock(&out->lock);
    bool done = post_locked(out, kind, frame) || out->closing || out->stream.broken;
    pthread_mutex_unlock(&out->lock);
    return done;
}

void outbox_hold(struct outbox *out)
{
    pthread_mutex_lock(&out->lock);
}

bool outbox_deliver(struct outbox *out, struct frame *frame)
{
    bool accepted = post_locked(out, OUTBOX_MESSAGE, frame);
    if (!out->blocked)
        flush_locked(out);
    pthread_mutex_unlock(&out->lock);
    return accepted;
}

void outbox_flush(struct outbox *out)
{
    pthread_mutex_lock(&out->lock);
    flush_locked(out);
    pthread_mutex_unlock(&out->lock);
}

static size_t lag(const struct outbox *out)
{
    return out->ring ? (size_t)(ring_end(out->ring) - out->position) : 0;
}

/* Who is blocked is left to its owner; but where threads wait long for a processor, it may be behind
 * only because its owner does. So from half of what is allowed on, it is tried here as well. */
uint64_t outbox_pump(struct outbox *out)
{
    pthread_mutex_lock(&out->lock);
    if (!out->blocked || lag(out) > lag_max(out) / 2)
        flush_locked(out);
    if (lag(out) > lag_max(out))
        close_slow(out, lag(out), lag_max(out),
                   "too slow: more than half the room's buffer behind");
    uint64_t position = out->ring ? out->position : UINT64_MAX;
    pthread_mutex_unlock(&out->lock);
    return position;
}

bool outbox_open(struct outbox *out, struct frame *head)
{
    pthread_mutex_lock(&out->lock);
    out->open = post_locked(out, OUTBOX_RESPONSE, head);
    flush_locked(out);
    bool opened = out->open;
    pthread_mutex_unlock(&out->lock);
    return opened;
}

void outbox_close(struct outbox *out, int code, const char *reason)
{
    pthread_mutex_lock(&out->lock);
    bool first = !out->closing;
    out->closing = true;
    if (first && out->open && !out->stream.broken && !push_close(out, code, reason))
        give_up(out);
    if (first && out->open && !out->blocked)
        flush_locked(out);
    if (first)
        wake(out);
    pthread_mutex_unlock(&out->lock);
}

void outbox_hurry(struct outbox *out)
{
    pthread_mutex_lock(&out->lock);
    out->hurried = true;
    wake(out);
    pthread_mutex_unlock(&out->lock);
}

void outbox_wake(struct outbox *out)
{
    pthread_mutex_lock(&out->lock);
    wake(out);
    pthread_mutex_unlock(&out->lock);
}

struct outbox_state outbox_state(struct outbox *out)
{
    pthread_mutex_lock(&out->lock);
    const struct outbox_item *item = out->first;
    struct outbox_state state = {.events = out->blocked ? out->stream.write_wants : 0,
                                 .unsent = item ? item->frame->len - item->sent : 0,
                                 .closing = out->closing,
                                 .too_slow = out->too_slow,
                                 .broken = out->stream.broken,
                                 .hurried = out->hurried};
    pthread_mutex_unlock(&out->lock);
    return state;
}

ssize_t outbox_read(struct outbox *out, void *buf, size_t len, bool *drained)
{
    pthread_mutex_lock(&out->lock);
    ssize_t n = net_read(&out->stream, buf, len);
    int saved = errno;
    *drained = out->stream.drained;
    pthread_mutex_unlock(&out->lock);
    errno = saved;
    return n;
}
