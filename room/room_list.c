/* SPDX-License-Identifier: MIT
 *
 * room_list.c - the list of rooms: creates, finds and frees them.
 *
 * Every client's thread enters it. Takes lock 1 of room.h; rooms_probe and rooms_stop also others.
 */
#include "room/room_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/address.h"
#include "base/metrics.h"
#include "base/parallel_walk.h"
#include "net/random.h"
#include "room/bridge_parts.h"
#include "room/keeper.h"
#include "delivery/frame.h"

enum {
    EPOCH_BYTES = (ROOM_EPOCH_MAX - 1) / 2,
};

static atomic_bool stopping;
static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static const struct config *settings; /* [1] in force */
static struct room *list;             /* [1] */
static int list_count;                /* [1] */

static void room_free(struct room *room)
{
    if (room->link)
        bridge_link_free(room->link);
    if (room->storage.unopened)
        metrics_add(METRIC_HISTORY_UNOPENED, -1);
    pthread_mutex_destroy(&room->members_lock);
    pthread_mutex_destroy(&room->names_lock);
    pthread_mutex_destroy(&room->storage.load_lock);
    ring_fini(&room->ring);
    share_fini(&room->share);
    presence_fini(&room->presence);
    frame_drop(room->lists.last);
    free(room->members);
    free(room);
}

/* Has the room shared with other servers, if rooms are; the link has a reference to it. Frees the
 * room and returns NULL if that fails. */
static struct room *share_room(struct room *room)
{
    if (!bridge_is_on())
        return room;
    room->users = 1;
    if (bridge_link_new(room))
        return room;
    room_free(room);
    return NULL;
}

static struct room *room_new(const char *name)
{
    struct room *room = calloc(1, sizeof(*room));
    if (!room)
        return NULL;
    if (!random_hex(room->epoch, EPOCH_BYTES) || !roster_init(&room->roster) ||
        ring_init(&room->ring, (size_t)settings->room_buffer_bytes) < 0) {
        free(room);
        return NULL;
    }
    snprintf(room->name, sizeof(room->name), "%s", name);
    pthread_mutex_init(&room->members_lock, NULL);
    pthread_mutex_init(&room->names_lock, NULL);
    pthread_mutex_init(&room->storage.load_lock, NULL);
    room->parallel_from = ROOM_PARALLEL_FROM;
    presence_init(&room->presence);
    room->lists.due = INT64_MAX;
    share_init(&room->share, room->ring.size / SHARE_BURST_PART);
    room->storage.wanted = keeper_store() && config_keeps_history(settings, name);
    return share_room(room);
}

/* Counts the rooms created from the address's block of that level. The room list is locked. */
static int count_made(const struct sockaddr_storage *address, int level)
{
    struct address_list one = {.count = 1};
    int made = 0;
    address_source(address, level, &one.blocks[0]);
    for (const struct room *room = list; room; room = room->next)
        made += room->counted && address_in(&room->maker, &one);
    return made;
}

/* Whether a client of that address may create a room. The room list is locked. */
static bool may_make(const struct sockaddr_storage *maker)
{
    if (list_count >= settings->max_rooms)
        return false;
    for (int level = 0; maker && level < address_levels(maker); level++) {
        int most = settings->max_rooms / (level == 0 ? ROOM_SOURCE : ROOM_SOURCE / 2);
        if (count_made(maker, level) >= (most > ROOM_SOURCE_LEAST ? most : ROOM_SOURCE_LEAST))
            return false;
    }
    return true;
}

/* Puts a new room behind the main room, which stays first. */
static void list_room(struct room *room, const struct sockaddr_storage *maker)
{
    room->next = list->next;
    list->next = room;
    list_count++;
    room->counted = maker;
    if (maker)
        room->maker = *maker;
    metrics_add(METRIC_ROOMS, 1);
}

/* Takes a room other than the main room out of the list. The room list is locked. */
static void unlist_room(struct room *room)
{
    struct room **link = &list;
    while (*link && *link != room)
        link = &(*link)->next;
    if (*link)
        *link = room->next;
    room->unlisted = true;
}

struct room *room_ref(const struct join_request *request, enum protocol_error *code,
                      const char **why)
{
    const char *name = request->room;
    pthread_mutex_lock(&list_lock);
    struct room *room = list;
    while (room && strcmp(room->name, name) != 0)
        room = room->next;
    if (!room && !may_make(request->maker)) {
        *code = ERROR_TOO_MANY_ROOMS;
        *why = "there are as many rooms as this server allows, or allows your address to make";
    } else if (!room) {
        *code = ERROR_ROOM_FULL;
        *why = "the server is out of memory";
        room = list ? room_new(name) : NULL;
        if (room)
            list_room(room, request->maker);
    }
    if (room)
        room->users++;
    pthread_mutex_unlock(&list_lock);
    return room;
}

void room_hold(struct room *room)
{
    pthread_mutex_lock(&list_lock);
    room->users++;
    pthread_mutex_unlock(&list_lock);
}

void rooms_each(void (*visit)(struct room *room))
{
    pthread_mutex_lock(&list_lock);
    for (struct room *room = list; room; room = room->next)
        visit(room);
    pthread_mutex_unlock(&list_lock);
}

void room_unref(struct room *room)
{
    pthread_mutex_lock(&list_lock);
    bool last = --room->users == 0 && room != list;
    if (room->users == 1 && room->link && room != list && !room->unlisted &&
        bridge_retire(room->link))
        unlist_room(room);
    if (last) {
        if (!room->unlisted)
            unlist_room(room);
        list_count--;
        metrics_add(METRIC_ROOMS, -1);
    }
    pthread_mutex_unlock(&list_lock);
    if (last)
        room_free(room);
}

bool rooms_unlist(struct room *room)
{
    bool done = true;
    pthread_mutex_lock(&list_lock);
    if (room == list) {
        struct room *fresh = room_new("");
        done = fresh;
        if (fresh) {
            fresh->next = list->next;
            list = fresh;
            list_count++;
            metrics_add(METRIC_ROOMS, 1);
            room->unlisted = true;
        }
    } else if (!room->unlisted) {
        unlist_room(room);
    }
    pthread_mutex_unlock(&list_lock);
    return done;
}

int rooms_init(const struct config *config)
{
    settings = config;
    parallel_walk_allow(parallel_walk_cores() - 1);
    list = room_new("");
    list_count = 1;
    metrics_add(METRIC_ROOMS, 1);
    if (list)
        keeper_load(list);
    return list ? 0 : -1;
}

void rooms_set_config(const struct config *config)
{
    pthread_mutex_lock(&list_lock);
    settings = config;
    pthread_mutex_unlock(&list_lock);
}

/* append_broadcast reads `stopping` under the ring's lock. So after each of these locks was taken
 * once, no ring grows any more, and all members are closed at the same position. */
void rooms_stop(void)
{
    atomic_store(&stopping, true);
    parallel_walk_allow(0);
    pthread_mutex_lock(&list_lock);
    for (struct room *room = list; room; room = room->next) {
        ring_lock(&room->ring);
        ring_unlock(&room->ring);
    }
    pthread_mutex_unlock(&list_lock);
}

void rooms_probe(void)
{
    pthread_mutex_lock(&list_lock);
    for (struct room *room = list; room; room = room->next) {
        pthread_mutex_lock(&room->members_lock);
        pthread_mutex_lock(&room->names_lock);
        pthread_mutex_unlock(&room->names_lock);
        pthread_mutex_unlock(&room->members_lock);
        ring_lock(&room->ring);
        ring_unlock(&room->ring);
        room_fan_out_until_idle(room);
    }
    pthread_mutex_unlock(&list_lock);
}

void rooms_fini(void)
{
    room_free(list);
    list = NULL;
}

size_t room_reach(const struct room *room)
{
    return room->ring.size / 4 * 3;
}

bool rooms_stopping(void)
{
    return atomic_load(&stopping);
}
