/* SPDX-License-Identifier: MIT
 *
 * room.c - the fan-out, joining, leaving, and messages of a room.
 *
 * Every client's thread enters it. Takes locks 1 to 3 of room.h itself and the others through
 * outbox.h, ring.h and share.h; nothing blocks on I/O while one of them is held. json_msg.c formats
 * messages, outbox.c sends bytes.
 */
#include "room/room_parts.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/metrics.h"
#include "net/socket.h"
#include "lib/json/json_ascii.h"
#include "lib/json/json_writer.h"
#include "ws.h"
#include "delivery/frame.h"
#include "room/keeper.h"
#include "room/room_history.h"

enum {
    ESCAPED_SHARE =
        8, /* an escaped broadcast may take 1/8 of the ring; a longer one stays as it is */
};

bool room_needs_ascii(const struct room *room)
{
    return atomic_load(&room->ascii) > 0;
}

/* ---- The fan-out ---- */

/* Counts a round that delivered everything up to `last_id`. The member list is locked. */
static void count_round(struct room *room, uint64_t last_id, int64_t since)
{
    metrics_round(last_id - room->fanned_out_id, room->count, since ? net_now_us() - since : -1);
    room->fanned_out_id = last_id;
}

/* Moves every member as far as the ring is ready, and raises the floor to the slowest. Each member
 * reads that position when its turn comes: if it were read once for all, the last of them would
 * wait for another round, which costs a tenth of A and A1 of docs/PERFORMANCE.md, and up to twice
 * the latency. The member list is locked. */
static void fan_out_locked(struct room *room)
{
    uint64_t last_id;
    int64_t since = atomic_exchange_explicit(&room->waiting_since, 0, memory_order_relaxed);
    atomic_store(&room->has_queued, false);
    uint64_t ready = ring_ready_id(&room->ring, &last_id), floor = ready;
    for (size_t i = 0; i < room->count; i++) {
        uint64_t position = outbox_send_from_ring(room->members[i]->out);
        if (position < floor)
            floor = position;
    }
    ring_set_floor(&room->ring, floor);
    atomic_store(&room->fanned_out, ready);
    count_round(room, last_id, since);
}

/* If the member list is locked, its holder delivers the caller's bytes, too: everyone who unlocks
 * it checks afterwards whether a round is needed (room_needs_fan_out), and then runs one. That
 * check takes the ring's lock. So either it sees the bytes, or they were appended later, and then
 * the appender finds the list unlocked. Frames are queued under the list's lock, so a round that
 * begins later sends them. */
bool room_fan_out(struct room *room)
{
    if (pthread_mutex_trylock(&room->members_lock) != 0)
        return false;
    fan_out_locked(room);
    pthread_mutex_unlock(&room->members_lock);
    return room_needs_fan_out(room);
}

/* A join or a leave that nobody was told of at once needs no round, which would take a step for
 * each member. */
bool room_needs_fan_out(struct room *room)
{
    return atomic_load(&room->has_queued) ||
           ring_ready(&room->ring) != atomic_load(&room->fanned_out);
}

void room_fan_out_until_idle(struct room *room)
{
    while (room_needs_fan_out(room) && room_fan_out(room))
        ;
}

/* ---- Joining ---- */

static const char no_memory[] = "the server is out of memory";

/* Adds a member to the list. Returns false when memory is out. */
static bool list_member(struct room *room, struct member *member)
{
    if (room->count == room->cap) {
        size_t cap = room->cap ? 2 * room->cap : 16;
        struct member **members = realloc(room->members, cap * sizeof(struct member *));
        if (!members)
            return false;
        room->members = members;
        room->cap = cap;
    }
    member->index = room->count;
    room->members[room->count++] = member;
    room->lists.readers += member->ascii;
    return true;
}

/* The last member of the list takes the place. */
static void unlist_member(struct room *room, const struct member *member)
{
    struct member *last = room->members[--room->count];
    room->members[member->index] = last;
    last->index = member->index;
    room->lists.readers -= member->ascii;
}

/* Finds where in the ring a newcomer starts; *resumed says that it gets all that it missed. */
static struct ring_start find_start(struct room *room, const struct join_request *request,
                                    bool *resumed)
{
    size_t reach = room_reach(room);
    uint64_t count = request->v2 ? (uint64_t)request->config->history : 0;
    *resumed = false;
    if (!request->epoch || strcmp(request->epoch, room->epoch) != 0)
        return ring_start(&room->ring, 1, count, reach);
    struct ring_start start = ring_start(&room->ring, request->after + 1, UINT64_MAX, reach);
    if (request->after > start.last_id) /* not an Id of this room */
        return ring_start(&room->ring, 1, count, reach);
    *resumed = start.first_id == request->after + 1;
    return start;
}

static struct frame *welcome_frame(const struct member *member, const struct join_request *request,
                                   uint64_t last_id, bool resumed)
{
    const struct room *room = member->room;
    const char *server_name = request->config->server_name;
    struct json_joined joined = {.server_name = server_name,
                                 .room = room->name,
                                 .name = member->name,
                                 .epoch = room->epoch,
                                 .last_id = last_id,
                                 .resumed = resumed,
                                 .max_message_bytes = request->max_message,
                                 .oldest = member->oldest};
    size_t len;
    char *json = request->v2 ? json_joined(&joined, &len) : json_server_name(server_name, &len);
    if (member->ascii)
        json = json_ascii(json, &len, SIZE_MAX);
    struct frame *frame = json ? frame_new(WS_TEXT, json, len) : NULL;
    free(json);
    return frame;
}

static void tell_of_failure(struct member *member)
{
    struct frame *frame = keeper_state_frame(true);
    if (frame)
        outbox_post(member->out, OUTBOX_MESSAGE, frame);
    frame_drop(frame);
}

/* Queues the welcome at the newcomer's position in the ring, ahead of the history. */
static bool welcome(struct member *member, const struct join_request *request)
{
    struct room *room = member->room;
    bool resumed;
    struct ring_start start = find_start(room, request, &resumed);
    struct frame *frame = welcome_frame(member, request, start.last_id, resumed);
    if (!frame)
        return false;
    outbox_post(member->out, OUTBOX_MESSAGE, frame); /* before the ring, so it leaves first */
    outbox_attach(member->out, &room->ring, &start, JSON_HISTORY_END);
    frame_drop(frame);
    if (request->v2 && keeper_fails(room))
        tell_of_failure(member);
    return true;
}

/* Replaces `before` by `after`, which has the same fold. The member list and the names are locked.
 * Cannot fail: the number of members does not change. */
static void swap_member(struct room *room, struct member *before, struct member *after)
{
    roster_replace(&room->roster, before, after);
    unlist_member(room, before);
    list_member(room, after);
}

/* Takes the name: replaces `old`, or adds a member if it is NULL. The member list and the names are
 * locked. Returns false, and changes nothing, when memory is out. */
static bool take_place(struct member *member, struct member *old)
{
    struct room *room = member->room;
    if (old) {
        swap_member(room, old, member);
        return true;
    }
    if (!list_member(room, member))
        return false;
    roster_add(&room->roster, member);
    return true;
}

/* Undoes take_place: gives the name back to `old`, if there is one. */
static void give_place(struct member *member, struct member *old)
{
    struct room *room = member->room;
    if (old) {
        swap_member(room, member, old);
        return;
    }
    unlist_member(room, member);
    roster_remove(&room->roster, member);
}

/* Whether both have the same identity key. The names are locked, because `a` may be publishing
 * keys. */
static bool same_person(const struct member *a, const struct member *b)
{
    return a->keys && b->keys &&
           memcmp(a->keys->identity, b->keys->identity, sizeof(a->keys->identity)) == 0;
}

/* Adds a newcomer; *old is the member that it replaced, or NULL. The names are locked until the
 * welcome is queued, so that no private message precedes it. The member list is locked. */
static enum protocol_error add_newcomer(struct member *member, const struct join_request *request,
                                        struct member **old, const char **why)
{
    struct room *room = member->room;
    enum protocol_error code = ERROR_NONE;
    pthread_mutex_lock(&room->names_lock);
    *old = roster_find(&room->roster, member->fold);
    if (*old && !same_person(*old, member)) {
        *why = "somebody of that name is here already";
        code = ERROR_NAME_TAKEN;
    } else if (!take_place(member, *old)) {
        code = ERROR_ROOM_FULL;
    } else if (!welcome(member, request)) {
        give_place(member, *old);
        code = ERROR_ROOM_FULL;
    } else if (*old) {
        atomic_store(&(*old)->replaced, true);
    }
    pthread_mutex_unlock(&room->names_lock);
    return code;
}

/* Closes the connection of a member that was replaced. The member list is locked: until it is
 * unlocked, that member's thread cannot leave, and its outbox stays valid. */
static void evict_replaced(struct member *old)
{
    presence_release_sender(old);
    outbox_detach(old->out); /* waits for threads that found it by its name */
    outbox_close(old->out, WS_CODE_TAKEN_OVER, "taken over by a newer connection");
}

enum protocol_error room_settle_in(struct member *member, const struct join_request *request,
                                   const char **why)
{
    struct room *room = member->room;
    struct member *old;
    *why = no_memory;
    pthread_mutex_lock(&room->members_lock);
    enum protocol_error code = add_newcomer(member, request, &old, why);
    if (!code && old)
        evict_replaced(old);
    if (!code)
        presence_joined(member, old);
    pthread_mutex_unlock(&room->members_lock);
    if (code)
        room_fan_out_until_idle(room);
    return code;
}

/* Fills in name and keys. Returns false when memory is out. */
static bool member_init(struct member *member, const struct join_request *request)
{
    snprintf(member->name, sizeof(member->name), "%s", request->name);
    member->fold = name_fold(member->name, strlen(member->name));
    member->quoted = json_quote(member->name);
    if (!member->fold || !member->quoted)
        return false;
    if (!request->keys)
        return true;
    member->keys = malloc(sizeof(*member->keys));
    if (member->keys)
        *member->keys = *request->keys;
    return member->keys;
}

enum protocol_error room_ask(struct member *member, struct outbox *out,
                             const struct join_request *request, const char **why)
{
    enum protocol_error code = ERROR_ROOM_FULL;
    *why = no_memory;
    *member = (struct member){.out = out, .ascii = !request->v2, .presence_due = INT64_MAX};
    if (rooms_stopping()) {
        *why = "the server is shutting down";
        return ERROR_SHUTTING_DOWN;
    }
    if (!member_init(member, request))
        return code;
    member->room = room_ref(request, &code, why);
    if (!member->room)
        return code;
    atomic_fetch_add(&member->room->ascii, member->ascii);
    keeper_load(member->room);
    member->oldest = history_oldest(member->room, request->config);
    return ERROR_NONE;
}

/* ---- Leaving ---- */

/* Removes a member from the names, the ring and the list. The member list is locked. */
static void remove_member(struct member *member)
{
    struct room *room = member->room;
    pthread_mutex_lock(&room->names_lock);
    roster_remove(&room->roster, member);
    pthread_mutex_unlock(&room->names_lock);
    outbox_detach(member->out); /* waits for threads that found it by its name */
    unlist_member(room, member);
    presence_release_sender(member);
    presence_left(member);
}

void room_leave(struct member *member)
{
    struct room *room = member->room;
    pthread_mutex_lock(&room->members_lock);
    if (!member->replaced)
        remove_member(member);
    pthread_mutex_unlock(&room->members_lock);
    room_fan_out_until_idle(room);
}

void room_release(struct member *member)
{
    if (member->room) {
        atomic_fetch_sub(&member->room->ascii, member->ascii);
        room_unref(member->room);
    }
    free(member->fold);
    free(member->quoted);
    free(member->keys);
    *member = (struct member){.presence_due = INT64_MAX};
}

/* ---- Messages ---- */

/* Records when the oldest broadcast began to wait for a round. */
static void note_waiting(struct room *room)
{
    int_fast64_t none = 0;
    if (atomic_load_explicit(&room->waiting_since, memory_order_relaxed) == 0)
        atomic_compare_exchange_strong_explicit(&room->waiting_since, &none, net_now_us(),
                                                memory_order_relaxed, memory_order_relaxed);
}

enum appended { APPENDED, APPEND_FULL, APPEND_AS_ASCII };

/* Appends one relayed broadcast with its Id, which is known only under the ring's lock. Appends
 * nothing once the server stops, or the member was replaced: the others are told of that at a later
 * position of the ring, and hear nothing of it after that. APPEND_FULL: the ring has no room above
 * the slowest member. APPEND_AS_ASCII: the broadcast is not escaped (`ascii`) but must be. A client
 * that needs escaping is counted before it takes the ring's lock to find its start, so it is seen
 * here. */
static enum appended append_broadcast(const struct member *member, char *body, size_t len,
                                      bool ascii)
{
    struct room *room = member->room;
    struct ring *ring = &room->ring;
    char stamp[JSON_STAMP_MAX];
    unsigned char head[WS_HEAD_MAX];
    uint64_t id = ring_lock(ring);
    bool stops = rooms_stopping() || atomic_load(&member->replaced);
    if (stops || (!ascii && room_needs_ascii(room))) {
        ring_unlock(ring);
        return stops ? APPENDED : APPEND_AS_ASCII;
    }
    size_t stamp_len = json_finish_relay(stamp, id, net_wall_ms());
    size_t head_len = ws_write_head(head, WS_TEXT, len + stamp_len);
    struct iovec parts[] = {{head, head_len}, {body, len}, {stamp, stamp_len}};
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
    fan_out_locked(room);
    pthread_mutex_unlock(&room->members_lock);
    return ring_unready(&room->ring) == 0 || keeper_await(seen, until);
}

int64_t room_throttle_ms(struct member *member, const struct room_payer *payer)
{
    return share_throttle_ms(&member->room->share, payer->source, payer->rate, net_now());
}

const char *room_broadcast(struct member *member, const struct json_object *message,
                           const struct room_payer *payer, size_t *grown)
{
    struct room *room = member->room;
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
        result = append_broadcast(member, body, len, ascii);
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
    enum room_fate fate = deliver(member, fold, frame, false, private->ack);
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
    if (fold)
        fate = send_to_member(member, fold, private, grown);
    if (fate == ROOM_DELIVERED) {
        metrics_add(METRIC_PRIVATE, 1);
        metrics_add(METRIC_DELIVERIES, 1);
    }
    if (fold != buf)
        free(fold);
    return fate;
}
