/* SPDX-License-Identifier: MIT
 *
 * room_users.c - the user list of a room.
 *
 * Each change of the membership sends the new list, not the change, to all members. Lists have a
 * budget of bytes in each room, so in a large room changes are delayed: one member is the list
 * sender, and its thread sends one list for all changes at presence_due. If it leaves, another
 * member becomes the list sender. A list that all members have already, because a member left and
 * came back meanwhile, is not sent again.
 *
 * Every client's thread enters it. Takes locks 2 and 3 of room.h.
 */
#include "room/room_parts.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "net/socket.h"
#include "lib/json/json_ascii.h"
#include "ws.h"
#include "delivery/frame.h"

enum {
    SMALL_ROOM = 50,             /* members up to which every change is sent at once */
    PRESENCE_MEMBERS_PER_MS = 5, /* above SMALL_ROOM: a list every count/5 ms, 200 ms for 1,000 */
    PRESENCE_RETRY_MS = 100,     /* between two attempts when memory is out */
    PRESENCE_BYTES_PER_MS = 350, /* budget of a room for lists to all members; over it lists wait */
    PRESENCE_BURST_MS = 1000,    /* of that budget may be used at once */
};

static struct frame *user_list_frame(const struct room *room)
{
    size_t len = 0;
    const char **quoted = malloc((room->count + 1) * sizeof(*quoted));
    for (size_t i = 0; quoted && i < room->count; i++)
        quoted[i] = room->members[i]->quoted;
    char *json = quoted ? json_online_users(quoted, room->count, &len) : NULL;
    if (room_needs_ascii(room))
        json = json_ascii(json, &len, SIZE_MAX);
    struct frame *frame = json ? frame_new(WS_TEXT, json, len) : NULL;
    free(json);
    free(quoted);
    return frame;
}

/* A sum that changes with the members' session keys. Members can contrive equal sums; then others
 * ask for their keys later. The member list is locked. */
static uint64_t sum_keys(struct room *room)
{
    uint64_t sum = 0, part;
    pthread_mutex_lock(&room->names_lock);
    for (size_t i = 0; i < room->count; i++) {
        const struct e2e_keys *keys = room->members[i]->keys;
        part = 0;
        if (keys)
            memcpy(&part, keys->session, sizeof(part));
        sum = sum * 31 + part;
    }
    pthread_mutex_unlock(&room->names_lock);
    return sum;
}

/* Whether the list, and the members' keys, are those that were last sent to all. The member list is
 * locked. */
static bool is_known_list(struct room *room, const struct frame *list_frame)
{
    const struct frame *last = room->presence_last;
    return last && list_frame && last->len == list_frame->len &&
           memcmp(last->bytes, list_frame->bytes, last->len) == 0 &&
           sum_keys(room) == room->presence_keys;
}

static void clear_list_sender(struct room *room)
{
    if (room->list_sender)
        room->list_sender->presence_due = INT64_MAX;
    room->list_sender = NULL;
}

/* Charges a list that was sent to all to the budget; takes the frame. The member list is locked. */
static void note_published(struct room *room, struct frame *frame, int64_t now)
{
    int64_t from = room->presence_paid > now ? room->presence_paid : now;
    room->presence_paid = from + (int64_t)(frame->len * room->count) / PRESENCE_BYTES_PER_MS;
    room->presence_sent = now;
    room->presence_mixed = false;
    frame_drop(room->presence_last);
    room->presence_last = frame;
    room->presence_keys = sum_keys(room);
}

/* Queues the list for all members, unless they have it; *sent says which. The member list is
 * locked. Returns false when memory was out for the frame or for an entry of a queue: then the list
 * must be sent again. */
static bool publish_list(struct room *room, int64_t now, bool *sent)
{
    struct frame *frame = user_list_frame(room);
    bool all = frame, known = !room->presence_mixed && is_known_list(room, frame);
    *sent = false;
    for (size_t i = 0; frame && !known && i < room->count; i++)
        all = outbox_post(room->members[i]->out, OUTBOX_PRESENCE, frame) && all;
    if (!all) {
        log_event(LOG_LEVEL_ERROR, "out_of_memory", "what=presence room=\"%s\"", room->name);
        room->presence_mixed = true;
        frame_drop(frame);
        return false;
    }
    clear_list_sender(room);
    *sent = !known;
    if (known)
        frame_drop(frame);
    else
        note_published(room, frame, now);
    return true;
}

/* When the next list may be sent. The member list is locked. */
static int64_t next_list(const struct room *room)
{
    int64_t due = room->presence_sent, paid = room->presence_paid - PRESENCE_BURST_MS;
    if (room->count > SMALL_ROOM)
        due += (int64_t)room->count / PRESENCE_MEMBERS_PER_MS;
    return paid > due ? paid : due;
}

/* Chooses the member that sends the next list. The member list is locked. */
static void set_list_sender(struct room *room, struct member *member, int64_t due)
{
    room->list_sender = member;
    member->presence_due = due;
    outbox_wake(member->out);
}

bool user_list_changed(struct room *room, struct member *joined)
{
    bool sent = false;
    int64_t now = net_now(), due = next_list(room);
    if (room->count == 0)
        return false;
    if (now >= due) {
        if (publish_list(room, now, &sent))
            return sent;
        due = now + PRESENCE_RETRY_MS;
    }
    if (!room->list_sender)
        set_list_sender(room, joined ? joined : room->members[0], due);
    return false;
}

void user_list_hand_on(struct room *room, struct member *member, struct member *heir)
{
    int64_t due = member->presence_due;
    if (room->list_sender != member)
        return;
    clear_list_sender(room);
    if (heir)
        set_list_sender(room, heir, due);
}

void room_flush_user_list(struct member *member)
{
    struct room *room = member->room;
    int64_t now = net_now();
    bool sent;
    pthread_mutex_lock(&room->members_lock);
    if (room->list_sender == member && now >= member->presence_due &&
        !publish_list(room, now, &sent))
        member->presence_due = now + PRESENCE_RETRY_MS;
    pthread_mutex_unlock(&room->members_lock);
}

void user_list_show(struct member *member)
{
    struct room *room = member->room;
    struct frame *frame = user_list_frame(room);
    if (!is_known_list(room, frame))
        room->presence_mixed = true;
    if (!frame || !outbox_post(member->out, OUTBOX_PRESENCE, frame))
        outbox_close(member->out, WS_CODE_TRY_LATER, "out of memory");
    frame_drop(frame);
}
