/* SPDX-License-Identifier: MIT
 *
 * room_names.c - who is in a room by name: one member and its keys, and pages of names.
 *
 * Every client's thread enters it. Takes lock 3 of room.h, never across I/O.
 */
#include <stdlib.h>
#include <string.h>

#include "room/bridge_parts.h"
#include "room/room_parts.h"

static void fill_card(struct member_info *card, const struct member *member)
{
    memcpy(card->name, member->name, sizeof(card->name));
    card->published = member->keys;
    if (member->keys)
        card->keys = *member->keys;
}

bool room_look_up(struct member *member, const char *target, struct member_info *card)
{
    struct room *room = member->room;
    char *fold = name_fold(target, strlen(target));
    if (!fold)
        return false;
    pthread_mutex_lock(&room->names_lock);
    const struct member *found = roster_find(&room->roster, fold);
    if (found)
        fill_card(card, found);
    pthread_mutex_unlock(&room->names_lock);
    free(fold);
    return found;
}

/* The member may have been replaced meanwhile; then it cannot be found by its name. */
bool room_publish(struct member *member, const struct e2e_keys *keys, struct frame *ack)
{
    if (member->room->link)
        return bridge_publish(member, keys, ack);
    pthread_mutex_lock(&member->room->names_lock);
    *member->keys = *keys;
    pthread_mutex_unlock(&member->room->names_lock);
    if (ack)
        outbox_post(member->out, OUTBOX_MESSAGE, ack);
    return true;
}

/* A page that is collected from the roster. */
struct name_page {
    const struct room_users_query *query;
    size_t prefix_len;
    const char *quoted[ROOM_USERS_MAX]; /* of members, so valid under lock 3 only */
    size_t count;
    bool more;
};

static bool add_to_page(void *context, struct member *member)
{
    struct name_page *page = context;
    if (strncmp(member->fold, page->query->prefix, page->prefix_len) != 0)
        return false;
    page->more = page->count == page->query->limit;
    if (!page->more)
        page->quoted[page->count++] = member->quoted;
    return !page->more;
}

char *room_list_users(struct member *member, const struct room_users_query *query,
                      const struct json_object *message, size_t *len)
{
    struct room *room = member->room;
    struct name_page page = {.query = query, .prefix_len = strlen(query->prefix)};
    struct roster_start start = {.fold = query->prefix};
    if (query->after[0] && strcmp(query->after, query->prefix) >= 0)
        start = (struct roster_start){.fold = query->after, .behind = true};
    pthread_mutex_lock(&room->names_lock);
    roster_walk(&room->roster, &start, add_to_page, &page);
    const struct json_names users = {page.quoted, page.count};
    char *json = json_users(&users, room->roster.count, page.more, message, len);
    pthread_mutex_unlock(&room->names_lock);
    return json;
}
