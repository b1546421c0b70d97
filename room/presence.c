/* SPDX-License-Identifier: MIT
 *
 * presence.c - tells the members of a room who joined and who left.
 *
 * A newcomer gets the list (OnlineUsers), and later only what changes (Presence). Changes of a
 * short time are sent as one frame, the same for all receivers. Each member remembers the version
 * that it was sent. A member that missed a change, because its queue was too far behind or memory
 * was out, gets the list instead: never nothing. In a room of more than PRESENCE_LIST_MAX members
 * both have the number of members only.
 *
 * A newcomer's list is of the present moment, so it may contain members that the others have not
 * been told of yet. If such a member leaves before it was told, it is in Left all the same.
 *
 * What is not sent at once is sent by one of the members, the sender, whose thread calls
 * room_flush_presence at presence_due. If it leaves, another member becomes the sender.
 *
 * Every client's thread enters this file, with lock 2 of room.h; under it are taken those of the
 * outboxes.
 */
#include "room/presence.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "delivery/frame.h"
#include "net/socket.h"
#include "room/room_parts.h"
#include "ws.h"

enum {
    QUIET_PER_MS = 20,   /* above PRESENCE_SMALL_ROOM changes wait until nothing has changed for
                            count/20 ms, 500 for 10,000 members */
    LATEST_PER_MS = 1,   /* and at most count ms since the last time, 10 s for 10,000 */
    OVERHEAD_BYTES = 80, /* of a frame, a TLS record and a segment: they are paid for, too */
    BYTES_PER_MS = 1,    /* budget for changes to one member */
    BURST_MS = 4000,     /* of that budget may be used at once */
    CHANGE_MS_MAX = 500, /* a change costs no more, so a crowd is told of in time. One member that
                            left and came back costs less, whatever its name */
    LISTS_MS_MAX = 5000, /* the same of a list to all */
    LEFT_MAX = 2 * PRESENCE_LIST_MAX, /* names that left since the last change; with more, all get
                                         the list */
};

/* Both strings lie behind it. */
struct left_name {
    const char *fold, *quoted;
};

void presence_init(struct presence *presence)
{
    *presence = (struct presence){
        .list_max = PRESENCE_LIST_MAX, .list_again = PRESENCE_LIST_AGAIN, .due = INT64_MAX};
}

static void clear_left(struct presence *presence)
{
    while (presence->left_count > 0)
        free(presence->left[--presence->left_count]);
    free(presence->left);
    presence->left = NULL;
    presence->left_cap = 0;
}

void presence_fini(struct presence *presence)
{
    clear_left(presence);
}

/* ---- Who left ---- */

static struct left_name *left_name_new(const struct member *member)
{
    size_t fold = strlen(member->fold) + 1, quoted = strlen(member->quoted) + 1;
    struct left_name *name = malloc(sizeof(*name) + fold + quoted);
    if (!name)
        return NULL;
    char *text = (char *)(name + 1);
    memcpy(text, member->fold, fold);
    memcpy(text + fold, member->quoted, quoted);
    *name = (struct left_name){.fold = text, .quoted = text + fold};
    return name;
}

/* By folded name, and names that fold alike by their spelling. */
static int compare_left(const struct left_name *name, const struct member *member)
{
    int order = strcmp(name->fold, member->fold);
    return order ? order : strcmp(name->quoted, member->quoted);
}

static size_t left_place(const struct presence *presence, const struct member *member)
{
    size_t low = 0, high = presence->left_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (compare_left(presence->left[middle], member) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Makes room for one more. Returns false when there are too many, or memory is out. */
static bool reserve_left(struct presence *presence)
{
    if (presence->left_count < presence->left_cap)
        return true;
    size_t cap = presence->left_cap ? 2 * presence->left_cap : 16;
    if (presence->left_count >= LEFT_MAX)
        return false;
    struct left_name **left = realloc(presence->left, cap * sizeof(struct left_name *));
    if (!left)
        return false;
    presence->left = left;
    presence->left_cap = cap;
    return true;
}

/* Adds a name, unless it is there. Returns false when that is not possible. */
static bool add_left(struct presence *presence, const struct member *member)
{
    size_t place = left_place(presence, member);
    struct left_name *name;
    if (place < presence->left_count && compare_left(presence->left[place], member) == 0)
        return true;
    if (!reserve_left(presence) || !(name = left_name_new(member)))
        return false;
    struct left_name **at = presence->left + place;
    memmove(at + 1, at, (presence->left_count - place) * sizeof(struct left_name *));
    *at = name;
    presence->left_count++;
    return true;
}

/* Notes that a member has left. Nobody needs to be told of one that only its own list had: those of
 * later newcomers, which have it, too, are of newer versions. */
static void note_left(struct presence *presence, const struct member *member)
{
    bool told = member->joined_version <= presence->told;
    if (!told)
        presence->fresh--;
    if (presence->counted || presence->lost)
        return;
    if ((told || member->joined_version < presence->shown) && !add_left(presence, member))
        presence->lost = true;
}

/* Counts a join or a leave, and finds out whether the room has a list. A room that has one again
 * sends it to all. */
static void count_change(struct room *room)
{
    struct presence *presence = &room->presence;
    presence->version++;
    if (!presence->counted && room->roster.count > presence->list_max) {
        presence->counted = true;
        clear_left(presence);
    } else if (presence->counted && room->roster.count <= presence->list_again) {
        presence->counted = false;
        presence->lost = true;
    }
}

/* ---- Frames ---- */

/* Names that are collected from the roster. */
struct name_collection {
    const char **quoted;
    size_t count, cap;
    uint64_t after; /* of members that joined after this version */
};

static bool collect_name(void *context, struct member *member)
{
    struct name_collection *names = context;
    if (member->joined_version > names->after && names->count < names->cap)
        names->quoted[names->count++] = member->quoted;
    return names->count < names->cap;
}

static void collect_names(const struct room *room, struct name_collection *names)
{
    static const struct roster_start start = {.fold = ""};
    if (names->cap > 0)
        roster_walk(&room->roster, &start, collect_name, names);
}

/* Makes a frame of a message of *len bytes, which it frees; NULL: memory was out. */
static struct frame *take_json(char *json, const size_t *len)
{
    struct frame *frame = json ? frame_new(WS_TEXT, json, *len) : NULL;
    free(json);
    return frame;
}

static struct frame *list_frame(const struct room *room)
{
    const struct presence *presence = &room->presence;
    size_t len = 0;
    if (presence->counted)
        return take_json(json_user_list(presence->version, room->roster.count, NULL, &len), &len);
    struct name_collection names = {.cap = room->roster.count};
    names.quoted = malloc((room->roster.count + 1) * sizeof(*names.quoted));
    if (!names.quoted)
        return NULL;
    collect_names(room, &names);
    const struct json_names users = {names.quoted, names.count};
    char *json = json_user_list(presence->version, room->roster.count, &users, &len);
    free(names.quoted);
    return take_json(json, &len);
}

static struct frame *change_frame(const struct room *room)
{
    const struct presence *presence = &room->presence;
    struct json_presence change = {
        .version = presence->version, .since = presence->told, .count = room->roster.count};
    size_t len = 0;
    if (presence->counted)
        return take_json(json_presence(&change, &len), &len);
    const char **quoted = malloc((presence->fresh + presence->left_count + 1) * sizeof(*quoted));
    if (!quoted)
        return NULL;
    struct name_collection names = {quoted, 0, presence->fresh, presence->told};
    collect_names(room, &names);
    for (size_t i = 0; i < presence->left_count; i++)
        quoted[names.count + i] = presence->left[i]->quoted;
    change.joined = (struct json_names){quoted, names.count};
    change.left = (struct json_names){quoted + names.count, presence->left_count};
    char *json = json_presence(&change, &len);
    free(quoted);
    return take_json(json, &len);
}

/* ---- Telling ---- */

/* One round of telling. */
struct telling {
    uint64_t needed;      /* members that know an older version are told */
    struct frame *change; /* NULL: all get the list */
    struct frame *list;   /* made when the first member needs it */
    size_t sent;          /* to so many members */
};

/* Queues for one member what it needs. Returns false when memory was out for it. */
static bool tell_member(struct member *member, struct telling *telling)
{
    struct presence *presence = &member->room->presence;
    if (member->ascii || member->known_version >= telling->needed)
        return true;
    bool follows = telling->change && member->known_version >= presence->told;
    if (!follows || !outbox_post(member->out, OUTBOX_CHANGE, telling->change)) {
        if (!telling->list)
            telling->list = list_frame(member->room);
        if (!telling->list || !outbox_post(member->out, OUTBOX_PRESENCE, telling->list))
            return false;
        presence->shown = presence->version;
    }
    member->known_version = presence->version;
    telling->sent++;
    return true;
}

/* Whether something has changed that somebody must be told. */
static bool has_news(const struct room *room)
{
    const struct presence *p = &room->presence;
    if (p->lost || p->counted != p->told_counted)
        return true;
    return p->counted ? p->told_count != room->roster.count || p->shown > p->told
                      : p->fresh > 0 || p->left_count > 0;
}

/* From now on the present version is the one that all were told. */
static void begin_version(struct room *room)
{
    struct presence *presence = &room->presence;
    presence->told = presence->version;
    presence->told_count = room->roster.count;
    presence->told_counted = presence->counted;
    presence->fresh = 0;
    presence->lost = false;
    clear_left(presence);
}

/* Charges what each member was sent to the budget. */
static void charge_change(struct room *room, const struct telling *telling, int64_t now)
{
    struct presence *presence = &room->presence;
    const struct frame *frame = telling->change ? telling->change : telling->list;
    if (telling->sent == 0 || !frame)
        return;
    int64_t most = telling->change ? CHANGE_MS_MAX : LISTS_MS_MAX;
    int64_t cost = (int64_t)(frame->len + OVERHEAD_BYTES) / BYTES_PER_MS;
    presence->paid = presence->paid > now ? presence->paid : now;
    presence->paid += cost < most ? cost : most;
    presence->sent = now;
}

/* Tells all members what has changed. Returns false when memory was out for one of them, which must
 * be told later. */
static bool publish_changes(struct room *room, int64_t now)
{
    struct presence *presence = &room->presence;
    bool news = has_news(room), all = true;
    if (!news && !presence->missed)
        return true;
    struct telling telling = {.needed = news ? presence->version : presence->told};
    if (news && !presence->lost && room->lists.readers < room->count)
        telling.change = change_frame(room);
    for (size_t i = 0; i < room->count; i++)
        all = tell_member(room->members[i], &telling) && all;
    if (!all)
        log_event(LOG_LEVEL_ERROR, "out_of_memory", "what=presence room=\"%s\"", room->name);
    if (news)
        begin_version(room);
    charge_change(room, &telling, now);
    if (telling.sent > 0)
        atomic_store(&room->has_queued, true);
    presence->missed = !all;
    frame_drop(telling.change);
    frame_drop(telling.list);
    return all;
}

/* When what has changed now may be sent. In a large room a crowd that joins is awaited for a while,
 * because each time costs a write for each member. */
static int64_t next_change(const struct room *room, int64_t now)
{
    const struct presence *presence = &room->presence;
    int64_t due = presence->sent, paid = presence->paid - BURST_MS;
    if (room->count > PRESENCE_SMALL_ROOM) {
        int64_t quiet = (int64_t)room->count / QUIET_PER_MS;
        int64_t latest = presence->sent + (int64_t)room->count / LATEST_PER_MS;
        due += quiet;
        if (due < now + quiet)
            due = latest < now + quiet ? latest : now + quiet;
    }
    return paid > due ? paid : due;
}

/* Sends what has changed, if `force` or the pause since the last time is over; or schedules it. */
static void update_changes(struct room *room, int64_t now, bool force)
{
    struct presence *presence = &room->presence;
    int64_t next = force ? now : next_change(room, now);
    if (now >= next)
        presence->due = publish_changes(room, now) ? INT64_MAX : now + PRESENCE_RETRY_MS;
    else
        presence->due = next;
}

/* ---- The sender ---- */

void presence_release_sender(struct member *member)
{
    struct room *room = member->room;
    if (room->presence_sender != member)
        return;
    member->presence_due = INT64_MAX;
    room->presence_sender = NULL;
}

/* Makes a member send what is scheduled, `preferred` (NULL: any) if there is no sender yet. */
static void assign_sender(struct room *room, struct member *preferred)
{
    int64_t due = room->presence.due;
    struct member *sender = room->presence_sender;
    if (room->lists.due < due)
        due = room->lists.due;
    if (due == INT64_MAX) {
        if (sender)
            presence_release_sender(sender);
        return;
    }
    if (!sender)
        sender = preferred ? preferred : room->members[0];
    room->presence_sender = sender;
    if (atomic_exchange(&sender->presence_due, due) > due)
        outbox_wake(sender->out);
}

void room_flush_presence(struct member *member)
{
    struct room *room = member->room;
    int64_t now = net_now();
    pthread_mutex_lock(&room->members_lock);
    if (room->presence_sender == member) {
        if (now >= room->presence.due)
            update_changes(room, now, true);
        if (now >= room->lists.due)
            user_lists_update(room, now, true);
        assign_sender(room, member);
    }
    pthread_mutex_unlock(&room->members_lock);
}

/* ---- Joining and leaving ---- */

/* Queues the list for a newcomer. */
static void show_list(struct member *member)
{
    struct presence *presence = &member->room->presence;
    struct frame *frame = list_frame(member->room);
    if (!frame || !outbox_post(member->out, OUTBOX_PRESENCE, frame))
        outbox_close(member->out, WS_CODE_TRY_LATER, "out of memory");
    frame_drop(frame);
    member->known_version = presence->shown = presence->version;
}

void presence_start(struct room *room)
{
    room->presence.version = PRESENCE_FIRST;
    begin_version(room);
}

/* Nobody is here to be told. */
static void forget_changes(struct room *room)
{
    begin_version(room);
    room->presence.due = room->lists.due = INT64_MAX;
}

void presence_find_sender(struct room *room)
{
    if (room->count == 0)
        forget_changes(room);
    else
        assign_sender(room, NULL);
}

void presence_joined(struct member *member, const struct member *replaced)
{
    struct room *room = member->room;
    int64_t now = net_now();
    count_change(room);
    if (replaced)
        note_left(&room->presence, replaced);
    member->joined_version = room->presence.version;
    room->presence.fresh++;
    if (room->count == 0) {
        forget_changes(room);
        return;
    }
    if (member->out && !member->ascii)
        show_list(member);
    update_changes(room, now, false);
    if (!user_lists_update(room, now, false) && member->ascii)
        user_lists_show(member);
    assign_sender(room, member->out ? member : NULL);
}

void presence_left(const struct member *member)
{
    struct room *room = member->room;
    int64_t now = net_now();
    count_change(room);
    note_left(&room->presence, member);
    if (room->count == 0) {
        forget_changes(room);
        return;
    }
    update_changes(room, now, false);
    user_lists_update(room, now, false);
    assign_sender(room, NULL);
}
