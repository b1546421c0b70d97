/* SPDX-License-Identifier: MIT
 *
 * room_messages.c - broadcasts and private messages.
 *
 * Every client's thread enters it, and for shared rooms the reader's (bridge_reader.c). Takes locks
 * 2 and 3 of room.h itself and the others through outbox.h, ring.h and share.h; nothing blocks on
 * I/O while one of them is held, except that a sender may wait for the keeper, with no lock.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/metrics.h"
#include "delivery/frame.h"
#include "lib/json/json_ascii.h"
#include "net/socket.h"
#include "room/bridge_parts.h"
#include "room/keeper.h"
#include "room/room_parts.h"
#include "ws.h"

enum {
    ESCAPED_SHARE =
        8, /* an escaped broadcast may take 1/8 of the ring; a longer one stays as it is */
};

bool room_needs_ascii(const struct room *room)
{
    return atomic_load(&room->ascii) > 0;
}

/* Records when the oldest broadcast began to wait for a round. */
static void note_waiting(struct room *room)
{
    int_fast64_t none = 0;
    if (atomic_load_explicit(&room->waiting_since, memory_order_relaxed) == 0)
        atomic_compare_exchange_strong_explicit(&room->waiting_since, &none, net_now_us(),
                                                memory_order_relaxed, memory_order_relaxed);
}

enum appended { APPENDED, APPEND_FULL, APPEND_AS_ASCII };

/* Appends one relayed broadcast with its Id, which is known only under the ring's lock. `member`
 * has said it now; NULL: it is from a log, and has that time. Appends nothing once the server
 * stops, or the member was replaced: the others are told of that at a later position of the ring,
 * and hear nothing of it after that. APPEND_FULL: the ring has no room above the slowest member.
 * APPEND_AS_ASCII: the broadcast is not escaped (`ascii`) but must be. A client that needs escaping
 * is counted before it takes the ring's lock to find its start, so it is seen here. */
static enum appended append_broadcast(struct room *room, const struct member *member,
                                      struct text body, int64_t time_ms, bool ascii)
{
    struct ring *ring = &room->ring;
    char stamp[JSON_STAMP_MAX];
    unsigned char head[WS_HEAD_MAX];
    uint64_t id = ring_lock(ring);
    bool stops = member && (rooms_stopping() || atomic_load(&member->replaced));
    if (stops || (!ascii && room_needs_ascii(room))) {
        ring_unlock(ring);
        return stops ? APPENDED : APPEND_AS_ASCII;
    }
    if (member)
        time_ms = net_wall_ms();
    size_t stamp_len = json_finish_relay(stamp, id, time_ms);
    size_t head_len = ws_write_head(head, WS_TEXT, body.len + stamp_len);
    struct iovec parts[] = {
        {head, head_len}, {(void *)(uintptr_t)body.at, body.len}, {stamp, stamp_len}};
    bool appended = ring_append_locked(ring, parts, 3);
    ring_unlock(ring);
    return appended ? APPENDED : APPEND_FULL;
}

/* Makes place in a ring that is full: moves or closes the slow consumers, and if the ring is full
 * of what is not stored yet, waits for the keeper. Such a sender is rarely here, because it is not
 * read from a quarter of a ring on (keeper_must_wait). Returns false when the keeper does not move.
 */
static bool make_place(struct room *room, int64_t until)
{
    uint64_t seen = keeper_moves();
    pthread_mutex_lock(&room->members_lock);
    room_fan_out_locked(room);
    pthread_mutex_unlock(&room->members_lock);
    return ring_unready(&room->ring) == 0 || keeper_await(seen, until);
}

bool room_fans_out_later(struct room *room)
{
    return room->link || keeper_fans_out(room);
}

int64_t room_throttle_ms(struct member *member, const struct room_payer *payer)
{
    return share_throttle_ms(&member->room->share, payer->source, payer->rate, net_now());
}

bool room_append(struct room *room, struct text body, uint64_t id, int64_t time_ms)
{
    char *escaped = NULL;
    enum appended result = APPEND_AS_ASCII;
    uint64_t next_id = ring_lock(&room->ring);
    ring_unlock(&room->ring);
    while (next_id == id && result != APPENDED) {
        if (!escaped && room_needs_ascii(room)) {
            char *copy = strndup(body.at, body.len);
            escaped = json_ascii(copy, &body.len, room->ring.size / ESCAPED_SHARE);
            if (!escaped)
                break;
            body.at = escaped;
        }
        result = append_broadcast(room, NULL, body, time_ms, escaped);
        if (result == APPEND_FULL)
            make_place(room, 0);
    }
    free(escaped);
    note_waiting(room);
    return result == APPENDED;
}

struct frame *room_stamped_frame(struct text body, uint64_t id, int64_t time_ms, bool ascii)
{
    char *text = malloc(body.len + JSON_STAMP_MAX);
    size_t len = body.len;
    if (!text)
        return NULL;
    memcpy(text, body.at, body.len);
    len += json_finish_relay(text + len, id, time_ms);
    if (ascii)
        text = json_ascii(text, &len, SIZE_MAX);
    struct frame *frame = text ? frame_new(WS_TEXT, text, len) : NULL;
    free(text);
    return frame;
}

/* A broadcast in a shared room: everybody hears it when it is in the log. */
static const char *broadcast_shared(struct member *member, const struct json_object *message,
                                    const struct room_payer *payer)
{
    size_t len = 0;
    char *body = json_relay(message, false, member->quoted, &len);
    const char *why = body ? bridge_say(member, (struct text){body, len}) : "out of memory";
    free(body);
    if (!why && payer->source)
        share_charge(&member->room->share, payer->source, payer->rate, net_now(),
                     len + JSON_STAMP_MAX);
    metrics_add(METRIC_BROADCASTS, !why);
    return why;
}

const char *room_broadcast(struct member *member, const struct json_object *message,
                           const struct room_payer *payer, size_t *grown)
{
    struct room *room = member->room;
    if (room->link) {
        *grown = 0;
        return broadcast_shared(member, message, payer);
    }
    int64_t until = 0;
    enum appended result = APPEND_AS_ASCII;
    size_t raw_len = 0;
    char *body = json_relay(message, false, member->quoted, &raw_len);
    size_t len = raw_len;
    for (bool ascii = false; result != APPENDED;) {
        if (!ascii && room_needs_ascii(room)) {
            body = json_ascii(body, &len, room->ring.size / ESCAPED_SHARE);
            ascii = true;
        }
        if (!body)
            return "out of memory";
        result = append_broadcast(room, member, (struct text){body, len}, 0, ascii);
        if (result == APPEND_FULL && !until)
            until = net_now() + KEEPER_WAIT_MS;
        if (result == APPEND_FULL && !make_place(room, until)) {
            free(body);
            return "the server's disk is too slow";
        }
    }
    free(body);
    keeper_notify(room);
    *grown = len - raw_len;
    if (payer->source)
        share_charge(&room->share, payer->source, payer->rate, net_now(), len + JSON_STAMP_MAX);
    note_waiting(room);
    metrics_add(METRIC_BROADCASTS, 1);
    return NULL;
}

struct frame *room_state_frame(const char *field, const char *value)
{
    size_t len = 0;
    struct json_writer w = json_message_begin("State");
    json_write_string(&w, field, value);
    char *json = json_message_end(&w, &len);
    struct frame *frame = json ? frame_new(WS_TEXT, json, len) : NULL;
    free(json);
    return frame;
}

void room_tell_members(struct room *room, struct frame *frame)
{
    pthread_mutex_lock(&room->members_lock);
    for (size_t i = 0; frame && i < room->count; i++)
        if (!room->members[i]->ascii)
            outbox_post(room->members[i]->out, OUTBOX_MESSAGE, frame);
    atomic_store(&room->has_queued, true);
    pthread_mutex_unlock(&room->members_lock);
    frame_drop(frame);
}

void room_wake_waiting(struct room *room)
{
    pthread_mutex_lock(&room->members_lock);
    for (size_t i = 0; i < room->count; i++)
        if (atomic_exchange(&room->members[i]->waits, false))
            outbox_wake(room->members[i]->out);
    pthread_mutex_unlock(&room->members_lock);
}

/* Whether all that is written of a member's message is ASCII: the message and the name. */
static bool relays_ascii(const struct member *member, const struct json_object *message)
{
    size_t len = strlen(member->quoted);
    return message->ascii && json_ascii_size(member->quoted, len) == len;
}

/* The whole frame, written in its place: one allocation and one copy for each message. */
static struct frame *private_frame(const struct member *member, const struct json_object *message)
{
    char stamp[JSON_STAMP_MAX];
    unsigned char head[WS_HEAD_MAX];
    size_t stamp_len = json_finish_relay(stamp, 0, net_wall_ms());
    size_t len = json_relay_size(message, true, member->quoted);
    size_t head_len = ws_write_head(head, WS_TEXT, len + stamp_len);
    struct frame *frame = frame_alloc(head_len + len + stamp_len);
    if (!frame)
        return NULL;
    memcpy(frame->bytes, head, head_len);
    json_relay_write((char *)frame->bytes + head_len, message, true, member->quoted);
    memcpy(frame->bytes + head_len + len, stamp, stamp_len);
    return frame;
}

/* Returns the frame itself if it is ASCII already, else a new one, escaped; *grown is the number of
 * bytes that this adds. Drops `frame`, also when it returns NULL: memory is out. */
static struct frame *escape_frame(struct frame *frame, size_t *grown)
{
    size_t head_len = ws_head_size(frame->bytes), raw_len = frame->len - head_len, len = raw_len;
    const char *raw = (const char *)frame->bytes + head_len;
    *grown = json_ascii_size(raw, raw_len) - raw_len;
    if (*grown == 0)
        return frame;
    char *text = malloc(raw_len);
    if (text)
        memcpy(text, raw, raw_len);
    text = json_ascii(text, &len, SIZE_MAX);
    frame_drop(frame);
    frame = text ? frame_new(WS_TEXT, text, len) : NULL;
    free(text);
    return frame;
}

/* Goes from the names' lock to that of the receiver's stream hand over hand, so that the receiver
 * cannot leave in between, and other messages do not wait for its socket. Returns ROOM_AS_ASCII,
 * and sends nothing, if the frame is not escaped (`ascii`) but must be. */
static enum room_fate deliver(struct member *member, char *fold, struct frame *frame, bool ascii,
                              struct frame *ack)
{
    struct room *room = member->room;
    enum room_fate fate = ROOM_DELIVERED;
    pthread_mutex_lock(&room->names_lock);
    const struct member *target = roster_find(&room->roster, fold);
    struct outbox *out = target ? target->out : NULL;
    if (!target)
        fate = ROOM_NOBODY;
    else if (atomic_load(&member->replaced))
        fate = ROOM_BUSY;
    else if (target->ascii && !ascii)
        fate = ROOM_AS_ASCII;
    else
        outbox_lock(out, ack ? member->out : NULL);
    pthread_mutex_unlock(&room->names_lock);
    if (fate != ROOM_DELIVERED)
        return fate;
    return outbox_send_unlock(out, frame, member->out, ack) ? ROOM_DELIVERED : ROOM_BUSY;
}

static enum room_fate send_to_member(struct member *member, char *fold,
                                     const struct room_private *private, size_t *grown)
{
    struct frame *frame = private_frame(member, private->message);
    if (!frame)
        return ROOM_NO_MEMORY;
    bool ascii = relays_ascii(member, private->message);
    enum room_fate fate = deliver(member, fold, frame, ascii, private->ack);
    if (fate == ROOM_AS_ASCII) {
        frame = escape_frame(frame, grown);
        fate = frame ? deliver(member, fold, frame, true, private->ack) : ROOM_NO_MEMORY;
    }
    frame_drop(frame);
    return fate;
}

enum room_fate room_private(struct member *member, const struct room_private *private,
                            size_t *grown)
{
    char buf[NAME_MAX_BYTES + 1];
    char *fold = name_fold_into(buf, private->target, strlen(private->target));
    enum room_fate fate = ROOM_NO_MEMORY;
    *grown = 0;
    if (fold && member->room->link)
        fate = bridge_tell(member, fold, private);
    else if (fold)
        fate = send_to_member(member, fold, private, grown);
    if (fate == ROOM_DELIVERED) {
        metrics_add(METRIC_PRIVATE, 1);
        metrics_add(METRIC_DELIVERIES, 1);
    }
    if (fold != buf)
        free(fold);
    return fate;
}
