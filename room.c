/* SPDX-License-Identifier: MIT
 *
 * room.c - the fan-out, joining and leaving; room_messages.c has the messages.
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
#include "base/parallel_walk.h"
#include "net/socket.h"
#include "lib/json/json_ascii.h"
#include "lib/json/json_writer.h"
#include "ws.h"
#include "delivery/frame.h"
#include "room/bridge_parts.h"
#include "room/keeper.h"
#include "room/room_history.h"

/* ---- The fan-out ---- */

/* Counts a round that delivered everything up to `last_id`. The member list is locked. */
static void count_round(struct room *room, uint64_t last_id, int64_t since)
{
    metrics_round(last_id - room->fanned_out_id, room->count, since ? net_now_us() - since : -1);
    room->fanned_out_id = last_id;
}

/* A round, as the threads that walk parts of the member list see it. */
struct fan_out {
    struct room *room;
    atomic_uint_fast64_t floor; /* position of the slowest member so far */
};

/* Moves the members from `from` up to `to` as far as the ring is ready. Each member reads that
 * position when its turn comes: if it were read once for all, the last of them would wait for
 * another round, which costs a tenth of A and A1 of docs/PERFORMANCE.md, and up to twice the
 * latency. Returns the position of the slowest, or `floor` if that is lower. */
static uint64_t advance_members(struct room *room, size_t from, size_t to, uint64_t floor)
{
    for (size_t i = from; i < to; i++) {
        uint64_t position = outbox_send_from_ring(room->members[i]->out);
        if (position < floor)
            floor = position;
    }
    return floor;
}

/* One part of a round. The member list is locked by the thread that fans out. */
static void advance_part(void *argument, size_t from, size_t to)
{
    struct fan_out *round = argument;
    uint64_t floor = advance_members(round->room, from, to, UINT64_MAX);
    uint_fast64_t seen = atomic_load(&round->floor);
    while (floor < seen && !atomic_compare_exchange_weak(&round->floor, &seen, floor))
        ;
}

/* Moves all members; returns the position of the slowest, at most `ready`. In a large room several
 * threads walk parts of the list, which stays as it is while the caller holds its lock. */
static uint64_t advance_all(struct room *room, uint64_t ready)
{
    if (room->count < room->parallel_from)
        return advance_members(room, 0, room->count, ready);
    struct fan_out round = {.room = room, .floor = ready};
    parallel_walk(advance_part, &round, room->count);
    return atomic_load(&round.floor);
}

/* Moves every member as far as the ring is ready, and raises the floor to the slowest. The member
 * list is locked. */
void room_fan_out_locked(struct room *room)
{
    uint64_t last_id;
    int64_t since = atomic_exchange_explicit(&room->waiting_since, 0, memory_order_relaxed);
    atomic_store(&room->has_queued, false);
    uint64_t ready = ring_ready_id(&room->ring, &last_id);
    ring_set_floor(&room->ring, advance_all(room, ready));
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
    room_fan_out_locked(room);
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

/* Takes the name: replaces `old`, or adds a member if it is NULL. A member of another server is not
 * in the list. The member list and the names are locked. Returns false, and changes nothing, when
 * memory is out. */
static bool take_place(struct member *member, struct member *old)
{
    struct room *room = member->room;
    if (old && old->out) {
        swap_member(room, old, member);
        return true;
    }
    if (!list_member(room, member))
        return false;
    if (old)
        roster_replace(&room->roster, old, member);
    else
        roster_add(&room->roster, member);
    return true;
}

/* Undoes take_place: gives the name back to `old`, if there is one. */
static void give_place(struct member *member, struct member *old)
{
    struct room *room = member->room;
    if (old && old->out) {
        swap_member(room, member, old);
        return;
    }
    unlist_member(room, member);
    if (old)
        roster_replace(&room->roster, member, old);
    else
        roster_remove(&room->roster, member);
}

/* Whether both have the same identity key. The names are locked, because `a` may be publishing
 * keys. */
static bool same_person(const struct member *a, const struct member *b)
{
    return a->keys && b->keys &&
           memcmp(a->keys->identity, b->keys->identity, sizeof(a->keys->identity)) == 0;
}

/* Adds a newcomer; *old is the member that it replaced, or NULL. In a shared room its join was
 * decided. The names are locked until the welcome is queued, so that no private message precedes
 * it. The member list is locked. */
static enum protocol_error add_newcomer(struct member *member, const struct join_request *request,
                                        struct member **old, const char **why)
{
    struct room *room = member->room;
    enum protocol_error code = ERROR_NONE;
    pthread_mutex_lock(&room->names_lock);
    *old = roster_find(&room->roster, member->fold);
    if (*old && !room->link && !same_person(*old, member)) {
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

/* Closes the connection of a member that was replaced, and is not in the list any more. The member
 * list is locked: until it is unlocked, that member's thread cannot leave, and its outbox stays
 * valid. */
static void evict_replaced(struct member *old)
{
    presence_release_sender(old);
    outbox_detach(old->out); /* waits for threads that found it by its name */
    outbox_close(old->out, WS_CODE_TAKEN_OVER, "taken over by a newer connection");
}

void room_evict(struct member *member)
{
    atomic_store(&member->replaced, true);
    unlist_member(member->room, member);
    evict_replaced(member);
}

enum protocol_error room_admit(struct member *member, const struct join_request *request,
                               struct member **old)
{
    const char *why;
    enum protocol_error code = add_newcomer(member, request, old, &why);
    if (!code && *old && (*old)->out)
        evict_replaced(*old);
    return code;
}

enum protocol_error room_settle_in(struct member *member, const struct join_request *request,
                                   const char **why)
{
    struct room *room = member->room;
    struct member *old;
    *why = no_memory;
    if (room->link)
        return bridge_join(member, request, why);
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

/* Finds or creates the room. If it is shared, waits until it is open; one that was lost meanwhile
 * is looked for again. */
static enum protocol_error find_room(struct member *member, const struct join_request *request,
                                     const char **why)
{
    enum protocol_error code = ERROR_ROOM_FULL;
    if (bridge_silence_ms() >= BRIDGE_AWAY_MS) { /* make no rooms that cannot be opened */
        *why = BRIDGE_AWAY_TEXT;
        return ERROR_UNAVAILABLE;
    }
    for (bool again = true; again;) {
        member->room = room_ref(request, &code, why);
        if (!member->room)
            return code;
        atomic_fetch_add(&member->room->ascii, member->ascii);
        if (!member->room->link)
            return ERROR_NONE;
        code = bridge_load(member->room, &again, why);
        if (!code)
            return code;
        atomic_fetch_sub(&member->room->ascii, member->ascii);
        room_unref(member->room);
        member->room = NULL;
    }
    return code;
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
    code = find_room(member, request, why);
    if (code)
        return code;
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

void room_detach_member(struct member *member, struct member *heir)
{
    struct room *room = member->room;
    pthread_mutex_lock(&room->names_lock);
    if (heir)
        roster_replace(&room->roster, member, heir);
    else
        roster_remove(&room->roster, member);
    pthread_mutex_unlock(&room->names_lock);
    outbox_detach(member->out);
    unlist_member(room, member);
    presence_release_sender(member);
    presence_find_sender(room);
}

void room_leave(struct member *member)
{
    struct room *room = member->room;
    bool is_out = false;
    pthread_mutex_lock(&room->members_lock);
    is_out = member->replaced || member->removed;
    if (is_out && room->link)
        bridge_forget(member);
    else if (room->link)
        bridge_leave(member);
    else if (!is_out)
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
