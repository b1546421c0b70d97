/* SPDX-License-Identifier: MIT
 *
 * room.c - the rooms, as room.h promises them.
 *
 * Entered by every client's thread. Takes the locks 1 to 3 of room.h itself and the others through
 * outbox.h and ring.h; nothing blocks while one of them is held. What a message looks like is
 * json_msg.c's matter, how bytes get out is outbox.c's.
 *
 * Presence is state, not an event: whoever changes the membership sends everybody the new list. In
 * a large room lists are sent at an interval that grows with the room; the first whose change falls
 * into one owes the list for all of them, and sends it when the interval is over.
 */
#include "room.h"

#include <pthread.h>
#include <search.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "log.h"
#include "metrics.h"
#include "net.h"
#include "ring.h"
#include "ws.h"

enum {
    SMALL_ROOM = 50,             /* members up to which every change is sent at once */
    PRESENCE_MEMBERS_PER_MS = 5, /* above it: a list every count/5 ms, 200 ms for 1,000 members */
    PRESENCE_RETRY_MS = 100,     /* when memory was out for one */
    EPOCH_BYTES = (ROOM_EPOCH_MAX - 1) / 2,
};

struct room {
    struct room *next;             /* [1] */
    unsigned users;                /* [1] members, also those who left but owe a list */
    char name[NAME_MAX_BYTES + 1]; /* [I] "" is the main room */
    char epoch[ROOM_EPOCH_MAX];    /* [I] tells this room from another of the same name */

    pthread_mutex_t members_lock;
    struct member **members;           /* [2] sorted by name */
    size_t count, cap;                 /* [2] */
    int64_t presence_sent;             /* [2] when the last list went out */
    bool presence_owed;                /* [2] somebody will send one */
    uint64_t pumped_id;                /* [2] the last broadcast that a round has carried */
    atomic_int_fast64_t waiting_since; /* [a] when the first came that none has; 0: there is none */

    pthread_mutex_t names_lock;
    void *names; /* [3] a tree (search.h) of members by fold */

    struct ring ring;
};

static atomic_bool stopping;
static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static const struct config *settings; /* [1] in force */
static struct room *list;             /* [1] */
static int list_count;                /* [1] */

/* ---- Rooms ---- */

static struct room *room_new(const char *name)
{
    struct room *room = calloc(1, sizeof(*room));
    if (!room)
        return NULL;
    if (!net_random_hex(room->epoch, EPOCH_BYTES) ||
        ring_init(&room->ring, (size_t)settings->room_buffer_bytes) < 0) {
        free(room);
        return NULL;
    }
    snprintf(room->name, sizeof(room->name), "%s", name);
    pthread_mutex_init(&room->members_lock, NULL);
    pthread_mutex_init(&room->names_lock, NULL);
    return room;
}

static void room_free(struct room *room)
{
    pthread_mutex_destroy(&room->members_lock);
    pthread_mutex_destroy(&room->names_lock);
    ring_fini(&room->ring);
    free(room->members);
    free(room);
}

/* Finds or makes a room and counts one more user of it. */
static struct room *enter(const char *name, const char **code, const char **why)
{
    pthread_mutex_lock(&list_lock);
    struct room *room = list;
    while (room && strcmp(room->name, name) != 0)
        room = room->next;
    if (!room && list_count >= settings->max_rooms) {
        *code = "too_many_rooms";
        *why = "there are as many rooms as this server allows";
    } else if (!room && !(room = room_new(name))) {
        *code = "room_full";
        *why = "the server is out of memory";
    } else if (room->users++ == 0 && list && room != list) {
        room->next = list->next; /* the main room stays first */
        list->next = room;
        list_count++;
        metrics_add(METRIC_ROOMS, 1);
    }
    pthread_mutex_unlock(&list_lock);
    return room;
}

/* Counts one user less; a room goes with its last, but for the main room. */
static void quit(struct room *room)
{
    pthread_mutex_lock(&list_lock);
    bool last = --room->users == 0 && room != list;
    if (last) {
        struct room **link = &list;
        while (*link != room)
            link = &(*link)->next;
        *link = room->next;
        list_count--;
        metrics_add(METRIC_ROOMS, -1);
    }
    pthread_mutex_unlock(&list_lock);
    if (last)
        room_free(room);
}

int rooms_init(const struct config *config)
{
    settings = config;
    list = room_new("");
    list_count = 1;
    metrics_add(METRIC_ROOMS, 1);
    return list ? 0 : -1;
}

void rooms_adopt(const struct config *config)
{
    pthread_mutex_lock(&list_lock);
    settings = config;
    pthread_mutex_unlock(&list_lock);
}

/* Who appends looks at `stopping` under the ring's lock. So when all of these were taken once, every ring
 * has its end, and all members are closed at the same one. */
void rooms_stop(void)
{
    atomic_store(&stopping, true);
    pthread_mutex_lock(&list_lock);
    for (struct room *room = list; room; room = room->next) {
        ring_lock(&room->ring);
        ring_unlock(&room->ring);
    }
    pthread_mutex_unlock(&list_lock);
}

void rooms_fini(void)
{
    room_free(list);
    list = NULL;
}

/* ---- The pump ---- */

/* Counts the round that carried everything up to `last_id`. The member list is locked. */
static void count_round(struct room *room, uint64_t last_id, int64_t since)
{
    metrics_round(last_id - room->pumped_id, room->count, since ? net_now_us() - since : -1);
    room->pumped_id = last_id;
}

/* Moves every member on and raises the floor to the slowest. The member list is locked. */
static void pump_locked(struct room *room)
{
    uint64_t last_id;
    int64_t since = atomic_exchange_explicit(&room->waiting_since, 0, memory_order_relaxed);
    uint64_t floor = ring_end_id(&room->ring, &last_id);
    for (size_t i = 0; i < room->count; i++) {
        uint64_t position = outbox_pump(room->members[i]->out);
        if (position < floor)
            floor = position;
    }
    ring_set_floor(&room->ring, floor);
    count_round(room, last_id, since);
}

/* A thread that finds the list locked leaves its bytes to the one that holds it, for whatever reason.
 * Whoever held it therefore pumps after it has let go, and looks once more after that. It looks under the ring's lock: either it sees the bytes, or
 * they were appended later, and then the appender finds the list free. */
bool room_pump(struct room *room)
{
    if (pthread_mutex_trylock(&room->members_lock) != 0)
        return false;
    uint64_t seen = ring_end(&room->ring);
    pump_locked(room);
    pthread_mutex_unlock(&room->members_lock);
    return ring_end(&room->ring) != seen;
}

/* For who held the member list and has no client to go back to: others may have left their bytes to
 * this thread meanwhile. */
static void pump_until_quiet(struct room *room)
{
    while (room_pump(room))
        ;
}

/* ---- Presence ---- */

static struct frame *presence_frame(const struct room *room)
{
    size_t len = 0;
    const char **quoted = malloc((room->count + 1) * sizeof(*quoted));
    for (size_t i = 0; quoted && i < room->count; i++)
        quoted[i] = room->members[i]->quoted;
    char *json = quoted ? json_online_users(quoted, room->count, &len) : NULL;
    struct frame *frame = json ? frame_new(WS_TEXT, json, len) : NULL;
    free(json);
    free(quoted);
    return frame;
}

/* Queues the list for everybody. The member list is locked. Returns false when memory was out for it
 * or for somebody's place in it: then it is to be sent again. */
static bool publish(struct room *room, int64_t now)
{
    struct frame *frame = presence_frame(room);
    bool all = frame;
    for (size_t i = 0; frame && i < room->count; i++)
        all = outbox_post(room->members[i]->out, OUTBOX_PRESENCE, frame) && all;
    frame_drop(frame);
    if (!all) {
        log_event(LOG_LEVEL_ERROR, "out_of_memory", "what=presence room=\"%s\"", room->name);
        return false;
    }
    room->presence_sent = now;
    room->presence_owed = false;
    return true;
}

/* The membership has changed: sends the list, or sees to it that it will be sent. Returns whether it
 * was sent. */
static bool changed(struct room *room, struct member *member)
{
    int64_t now = net_now(), due = room->presence_sent;
    if (room->count > SMALL_ROOM)
        due += (int64_t)room->count / PRESENCE_MEMBERS_PER_MS;
    if (now >= due) {
        if (publish(room, now))
            return true;
        due = now + PRESENCE_RETRY_MS;
    }
    if (!room->presence_owed) {
        room->presence_owed = true;
        member->presence_due = due;
    }
    return false;
}

void room_presence(struct member *member)
{
    struct room *room = member->room;
    int64_t now = net_now();
    pthread_mutex_lock(&room->members_lock);
    bool paid = !room->presence_owed || publish(room, now);
    pthread_mutex_unlock(&room->members_lock);
    member->presence_due = paid ? INT64_MAX : now + PRESENCE_RETRY_MS;
}

/* ---- Names ---- */

static int by_fold(const void *a, const void *b)
{
    return strcmp(((const struct member *)a)->fold, ((const struct member *)b)->fold);
}

/* Finds a member by a fold. The names are locked. */
static struct member *find(struct room *room, char *fold)
{
    struct member key = {.fold = fold};
    void *node = tfind(&key, &room->names, by_fold);
    return node ? *(struct member **)node : NULL;
}

static void fill_card(struct room_card *card, const struct member *member)
{
    memcpy(card->name, member->name, sizeof(card->name));
    card->published = member->keys;
    if (member->keys)
        card->keys = *member->keys;
}

bool room_look_up(struct member *member, const char *target, struct room_card *card)
{
    struct room *room = member->room;
    char *fold = name_fold(target, strlen(target));
    if (!fold)
        return false;
    pthread_mutex_lock(&room->names_lock);
    const struct member *found = find(room, fold);
    if (found)
        fill_card(card, found);
    pthread_mutex_unlock(&room->names_lock);
    free(fold);
    return found;
}

/* ---- Joining ---- */

/* The place of a name in the sorted member list. */
static size_t place_of(const struct room *room, const char *name)
{
    size_t low = 0, high = room->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (strcmp(room->members[middle]->name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Puts a member on the list. Returns false when memory is out. */
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
    size_t place = place_of(room, member->name);
    struct member **at = room->members + place;
    memmove(at + 1, at, (room->count - place) * sizeof(struct member *));
    *at = member;
    room->count++;
    return true;
}

static void unlist_member(struct room *room, const struct member *member)
{
    struct member **at = room->members + place_of(room, member->name);
    size_t behind = room->count - (size_t)(at - room->members) - 1;
    memmove(at, at + 1, behind * sizeof(struct member *));
    room->count--;
}

/* Where in the ring a newcomer starts, and whether that is all he missed. */
static struct ring_start find_start(struct room *room, const struct room_request *request,
                                    bool *resumed)
{
    size_t reach = room->ring.size / 4 * 3; /* what is older may be gone before it is sent */
    uint64_t count = request->v2 ? (uint64_t)request->config->history : 0;
    *resumed = false;
    if (!request->epoch || strcmp(request->epoch, room->epoch) != 0)
        return ring_start(&room->ring, 1, count, reach);
    struct ring_start start = ring_start(&room->ring, request->after + 1, UINT64_MAX, reach);
    if (request->after > start.last_id) /* not an Id that this room gave */
        return ring_start(&room->ring, 1, count, reach);
    *resumed = start.first_id == request->after + 1;
    return start;
}

static struct frame *welcome_frame(const struct member *member, const struct room_request *request,
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
                                 .max_message_bytes = request->max_message};
    size_t len;
    char *json = request->v2 ? json_joined(&joined, &len) : json_server_name(server_name, &len);
    struct frame *frame = json ? frame_new(WS_TEXT, json, len) : NULL;
    free(json);
    return frame;
}

/* Queues the welcome at the newcomer's place in the ring, where history follows. */
static bool welcome(struct member *member, const struct room_request *request)
{
    struct room *room = member->room;
    bool resumed;
    struct ring_start start = find_start(room, request, &resumed);
    struct frame *frame = welcome_frame(member, request, start.last_id, resumed);
    if (!frame)
        return false;
    outbox_post(member->out, OUTBOX_MESSAGE, frame); /* before the ring, so it leaves first */
    outbox_attach(member->out, &room->ring, &start);
    frame_drop(frame);
    return true;
}

/* Queues the list for a newcomer whose coming was not published yet. */
static void show_list(struct member *member)
{
    struct frame *frame = presence_frame(member->room);
    if (!frame || !outbox_post(member->out, OUTBOX_PRESENCE, frame))
        outbox_close(member->out, WS_CODE_TRY_LATER, "out of memory");
    frame_drop(frame);
}

/* Puts `after` in the place of `before`, whose fold is the same. The member list and the names are
 * locked. Cannot fail: there is room for as many as there were. */
static void swap_member(struct room *room, struct member *before, struct member *after)
{
    struct member **node = tfind(before, &room->names, by_fold);
    *node = after;
    unlist_member(room, before);
    list_member(room, after);
}

/* Takes the name and the place, from the member `old` or (NULL) a new one. The member list and the
 * names are locked. Returns false, and nothing has changed, when memory is out. */
static bool take_place(struct member *member, struct member *old)
{
    struct room *room = member->room;
    if (old) {
        swap_member(room, old, member);
        return true;
    }
    if (!list_member(room, member))
        return false;
    if (tsearch(member, &room->names, by_fold))
        return true;
    unlist_member(room, member);
    return false;
}

/* Gives it back, to `old` if there is one. */
static void give_place(struct member *member, struct member *old)
{
    struct room *room = member->room;
    if (old) {
        swap_member(room, member, old);
        return;
    }
    unlist_member(room, member);
    tdelete(member, &room->names, by_fold);
}

static bool same_person(const struct member *a, const struct member *b)
{
    return a->keys && b->keys &&
           memcmp(a->keys->identity, b->keys->identity, sizeof(a->keys->identity)) == 0;
}

/* Settles a newcomer; *old is whose place it took, or NULL. The names are locked until the welcome is
 * queued, so that no private message comes before it. The member list is locked. */
static const char *settle_in(struct member *member, const struct room_request *request,
                             struct member **old, const char **why)
{
    struct room *room = member->room;
    const char *code = NULL;
    pthread_mutex_lock(&room->names_lock);
    *old = find(room, member->fold);
    if (*old && !same_person(*old, member)) {
        *why = "somebody of that name is here already";
        code = "name_taken";
    } else if (!take_place(member, *old)) {
        code = "room_full";
    } else if (!welcome(member, request)) {
        give_place(member, *old);
        code = "room_full";
    }
    pthread_mutex_unlock(&room->names_lock);
    return code;
}

/* Ends the connection of a member that is on no list any more. The member list is locked: until it is
 * let go that member's thread cannot leave, and its outbox stays. */
static void dismiss(struct member *old)
{
    old->replaced = true;
    outbox_detach(old->out); /* waits for whoever found it by its name before */
    outbox_close(old->out, WS_CODE_TAKEN_OVER, "taken over by a newer connection");
}

static const char *join_room(struct member *member, const struct room_request *request,
                             const char **why)
{
    struct room *room = member->room;
    struct member *old;
    pthread_mutex_lock(&room->members_lock);
    const char *code = settle_in(member, request, &old, why);
    if (!code && old)
        dismiss(old);
    if (!code && !changed(room, member))
        show_list(member);
    pthread_mutex_unlock(&room->members_lock);
    if (code)
        pump_until_quiet(room);
    return code;
}

/* Notes who it is. Returns false when memory is out. */
static bool introduce(struct member *member, const struct room_request *request)
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

const char *room_join(struct member *member, struct outbox *out, const struct room_request *request,
                      const char **why)
{
    const char *code = "room_full";
    *why = "the server is out of memory";
    *member = (struct member){.out = out, .presence_due = INT64_MAX};
    if (atomic_load(&stopping)) {
        *why = "the server is shutting down";
        return "shutting_down";
    }
    if (!introduce(member, request))
        return code;
    member->room = enter(request->room, &code, why);
    return member->room ? join_room(member, request, why) : code;
}

/* ---- Leaving ---- */

/* Takes a member off all lists. The member list is locked. */
static void withdraw(struct member *member)
{
    struct room *room = member->room;
    pthread_mutex_lock(&room->names_lock);
    tdelete(member, &room->names, by_fold);
    pthread_mutex_unlock(&room->names_lock);
    outbox_detach(member->out); /* waits for whoever found it by its name before */
    unlist_member(room, member);
    changed(room, member);
}

void room_leave(struct member *member)
{
    struct room *room = member->room;
    pthread_mutex_lock(&room->members_lock);
    if (!member->replaced)
        withdraw(member);
    pthread_mutex_unlock(&room->members_lock);
    pump_until_quiet(room);
}

/* When the server stops, nobody waits for the time. */
bool room_settle(struct member *member)
{
    while (net_now() < member->presence_due && member->presence_due != INT64_MAX &&
           !atomic_load(&stopping))
        net_wait(-1, 0, member->presence_due);
    if (member->presence_due == INT64_MAX)
        return true;
    room_presence(member);
    pump_until_quiet(member->room);
    return member->presence_due == INT64_MAX;
}

void room_forget(struct member *member)
{
    while (!atomic_load(&stopping) && !room_settle(member))
        ;
    if (member->room)
        quit(member->room);
    free(member->fold);
    free(member->quoted);
    free(member->keys);
    *member = (struct member){.presence_due = INT64_MAX};
}

/* ---- Messages ---- */

static int64_t wall_clock_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Notes that a broadcast waits for a round, unless an older one does. */
static void note_waiting(struct room *room)
{
    int_fast64_t none = 0;
    if (atomic_load_explicit(&room->waiting_since, memory_order_relaxed) == 0)
        atomic_compare_exchange_strong_explicit(&room->waiting_since, &none, net_now_us(),
                                                memory_order_relaxed, memory_order_relaxed);
}

/* Appends one relayed broadcast with its Id, which is known only under the ring's lock; or nothing any
 * more, when the server stops: then nobody hears it, its sender neither. Returns false when the ring has
 * no room above the slowest member. */
static bool append(struct room *room, char *body, size_t len)
{
    struct ring *ring = &room->ring;
    char stamp[JSON_STAMP_MAX];
    unsigned char head[WS_HEAD_MAX];
    uint64_t id = ring_lock(ring);
    if (atomic_load(&stopping)) {
        ring_unlock(ring);
        return true;
    }
    size_t stamp_len = json_stamp(stamp, id, wall_clock_ms());
    size_t head_len = ws_write_head(head, WS_TEXT, len + stamp_len);
    struct iovec parts[] = {{head, head_len}, {body, len}, {stamp, stamp_len}};
    bool appended = ring_append_locked(ring, parts, 3);
    ring_unlock(ring);
    return appended;
}

bool room_broadcast(struct member *member, const struct json_object *message)
{
    struct room *room = member->room;
    size_t len;
    char *body = json_relay(message, false, member->quoted, &len);
    if (!body)
        return false;
    while (!append(room, body, len)) { /* a round makes room: it moves or closes the slow */
        pthread_mutex_lock(&room->members_lock);
        pump_locked(room);
        pthread_mutex_unlock(&room->members_lock);
    }
    free(body);
    note_waiting(room);
    metrics_add(METRIC_BROADCASTS, 1);
    return true;
}

static struct frame *private_frame(const struct member *member, const struct json_object *message)
{
    size_t len;
    char *text = json_relay(message, true, member->quoted, &len);
    if (!text)
        return NULL;
    len += json_stamp(text + len, 0, wall_clock_ms());
    struct frame *frame = frame_new(WS_TEXT, text, len);
    free(text);
    return frame;
}

/* From the names' lock to the receiver's write lock, hand over hand: he cannot leave in between, and
 * nobody else's message waits for his socket. */
static bool deliver(struct room *room, char *fold, struct frame *frame)
{
    pthread_mutex_lock(&room->names_lock);
    struct member *target = find(room, fold);
    if (target)
        outbox_hold(target->out);
    pthread_mutex_unlock(&room->names_lock);
    return target && outbox_deliver(target->out, frame);
}

bool room_private(struct member *member, const char *target, const struct json_object *message,
                  bool *delivered)
{
    char *fold = name_fold(target, strlen(target));
    struct frame *frame = private_frame(member, message);
    bool ok = fold && frame;
    *delivered = ok && deliver(member->room, fold, frame);
    if (*delivered) {
        metrics_add(METRIC_PRIVATE, 1);
        metrics_add(METRIC_DELIVERIES, 1);
    }
    frame_drop(frame);
    free(fold);
    return ok;
}
