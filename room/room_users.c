/* SPDX-License-Identifier: MIT
 *
 * room_users.c - the user list as members of the short way get it.
 *
 * Each change of the membership sends them the new list, not the change. Lists have a budget of
 * bytes in each room, so in a large room changes are delayed (presence.c sends what is delayed). A
 * list that all of them have already, because a member left and came back meanwhile, is not sent
 * again.
 *
 * Every client's thread enters it, with lock 2 of room.h. Takes lock 3.
 */
#include "room/room_parts.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "lib/json/json_ascii.h"
#include "ws.h"
#include "delivery/frame.h"

enum {
    LIST_MEMBERS_PER_MS = 5, /* above PRESENCE_SMALL_ROOM: a list every count/5 ms */
    LIST_BYTES_PER_MS = 350, /* budget of a room for its lists; over it they wait */
    LIST_BURST_MS = 1000,    /* of that budget may be used at once */
};

static int compare_names(const void *a, const void *b)
{
    return strcmp((*(struct member *const *)a)->name, (*(struct member *const *)b)->name);
}

static const struct roster_start from_first = {.fold = ""};

static bool collect_member(void *context, struct member *member)
{
    struct member ***end = context;
    *(*end)++ = member;
    return true;
}

/* The list, sorted by code point, in ASCII. NULL when memory is out. */
static struct frame *user_list_frame(const struct room *room)
{
    size_t len = 0;
    struct frame *frame = NULL;
    size_t count = room->roster.count;
    struct member **members = malloc((count + 1) * sizeof(struct member *)), **end = members;
    const char **quoted = malloc((count + 1) * sizeof(*quoted));
    if (members && quoted) {
        roster_walk(&room->roster, &from_first, collect_member, &end);
        qsort(members, count, sizeof(struct member *), compare_names);
        for (size_t i = 0; i < count; i++)
            quoted[i] = members[i]->quoted;
        const struct json_names users = {quoted, count};
        char *json = json_online_users(&users, &len);
        json = json_ascii(json, &len, SIZE_MAX);
        frame = json ? frame_new(WS_TEXT, json, len) : NULL;
        free(json);
    }
    free(members);
    free(quoted);
    return frame;
}

static bool add_to_sum(void *context, struct member *member)
{
    uint64_t *sum = context, part = 0;
    if (member->keys)
        memcpy(&part, member->keys->session, sizeof(part));
    *sum = *sum * 31 + part;
    return true;
}

/* A sum that changes with the members' session keys. Members can contrive equal sums; then others
 * ask for their keys later. */
static uint64_t sum_keys(struct room *room)
{
    uint64_t sum = 0;
    pthread_mutex_lock(&room->names_lock);
    roster_walk(&room->roster, &from_first, add_to_sum, &sum);
    pthread_mutex_unlock(&room->names_lock);
    return sum;
}

/* Whether the list, and the members' keys, are those that were last sent to all. */
static bool is_known_list(struct room *room, const struct frame *list_frame)
{
    const struct frame *last = room->lists.last;
    return last && list_frame && last->len == list_frame->len &&
           memcmp(last->bytes, list_frame->bytes, last->len) == 0 &&
           sum_keys(room) == room->lists.keys;
}

/* Charges a list that was sent to all to the budget; takes the frame. */
static void note_published(struct room *room, struct frame *frame, int64_t now)
{
    struct user_lists *lists = &room->lists;
    int64_t from = lists->paid > now ? lists->paid : now;
    lists->paid = from + (int64_t)(frame->len * lists->readers) / LIST_BYTES_PER_MS;
    lists->sent = now;
    lists->mixed = false;
    frame_drop(lists->last);
    lists->last = frame;
    lists->keys = sum_keys(room);
}

/* Queues the list for all its readers, unless they have it; *sent says which. Returns false when
 * memory was out for the frame or for an entry of a queue: then the list must be sent again. */
static bool publish_list(struct room *room, int64_t now, bool *sent)
{
    struct frame *frame = user_list_frame(room);
    bool all = frame, known = !room->lists.mixed && is_known_list(room, frame);
    *sent = false;
    for (size_t i = 0; frame && !known && i < room->count; i++)
        if (room->members[i]->ascii)
            all = outbox_post(room->members[i]->out, OUTBOX_PRESENCE, frame) && all;
    if (!known)
        atomic_store(&room->has_queued, true);
    if (!all) {
        log_event(LOG_LEVEL_ERROR, "out_of_memory", "what=presence room=\"%s\"", room->name);
        room->lists.mixed = true;
        frame_drop(frame);
        return false;
    }
    *sent = !known;
    if (known)
        frame_drop(frame);
    else
        note_published(room, frame, now);
    return true;
}

/* When the next list may be sent. */
static int64_t next_list(const struct room *room)
{
    int64_t due = room->lists.sent, paid = room->lists.paid - LIST_BURST_MS;
    if (room->count > PRESENCE_SMALL_ROOM)
        due += (int64_t)room->count / LIST_MEMBERS_PER_MS;
    return paid > due ? paid : due;
}

bool user_lists_update(struct room *room, int64_t now, bool force)
{
    struct user_lists *lists = &room->lists;
    bool sent = false;
    int64_t next = force ? now : next_list(room);
    if (lists->readers == 0)
        lists->due = INT64_MAX;
    else if (now >= next)
        lists->due = publish_list(room, now, &sent) ? INT64_MAX : now + PRESENCE_RETRY_MS;
    else if (lists->due == INT64_MAX)
        lists->due = next;
    return sent;
}

void user_lists_show(struct member *member)
{
    struct room *room = member->room;
    struct frame *frame = user_list_frame(room);
    if (!is_known_list(room, frame))
        room->lists.mixed = true;
    if (!frame || !outbox_post(member->out, OUTBOX_PRESENCE, frame))
        outbox_close(member->out, WS_CODE_TRY_LATER, "out of memory");
    frame_drop(frame);
}
