/* SPDX-License-Identifier: MIT
 *
 * presence_room.h - a room for unit tests of who is online. Its time is that of the room itself: a
 * test moves what the room remembers (presence.paid, presence.due) instead of waiting.
 */
#ifndef PRESENCE_ROOM_H
#define PRESENCE_ROOM_H

#include "room/presence.h"

#include "room/room_parts.h"
#include "room_member.h"

enum {
    PRESENCE_TEST_BURST_MS = 4000, /* of the budget for changes */
    PRESENCE_TEST_LONG_MS = 3600 * 1000,
};

static inline struct room_member *presence_join(const char *name)
{
    return room_member_join("presence", name);
}

/* A join with keys whose identity is `identity`. */
static inline struct room_member *presence_join_as(const char *name, unsigned char identity)
{
    struct room_member *person = room_member_new();
    struct join_request request = room_test_request("presence", name);
    struct e2e_keys keys = {.expires = 1, .identity = {identity}};
    const char *why;
    request.keys = &keys;
    assert_int_equal(room_member_ask(person, &request, &why), ERROR_NONE);
    return person;
}

/* From now on changes wait. */
static inline void presence_hold(struct room *room)
{
    room->presence.paid = net_now() + PRESENCE_TEST_BURST_MS + PRESENCE_TEST_LONG_MS;
}

/* Has the sender send what waits. */
static inline void presence_send_now(struct room *room)
{
    room->presence.due = net_now();
    if (room->presence_sender)
        room_flush_presence(room->presence_sender);
}

#endif
