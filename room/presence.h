/* SPDX-License-Identifier: MIT
 *
 * presence.h - what the members of a room are told about who is online; only files of room/ and
 * room.c include it.
 *
 * Members of ragnarok.v2 get the list once and then changes (presence.c), those of the short way
 * get a list at each change (room_users.c). All of it is guarded by the room's member list, lock 2
 * of room.h, which each function needs.
 */
#ifndef PRESENCE_H
#define PRESENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct frame;
struct left_name;
struct member;
struct room;

enum {
    PRESENCE_LIST_MAX = 2000,   /* members up to which a room has a list; with more it is counted */
    PRESENCE_LIST_AGAIN = 1800, /* a counted room has a list again with so many, or fewer */
    PRESENCE_SMALL_ROOM = 50,   /* members up to which there need not be a pause between changes */
    PRESENCE_FIRST = 1,         /* the version of a list that was filled in (presence_start) */
    PRESENCE_RETRY_MS = 100,    /* between two attempts when memory is out */
};

/* What members of ragnarok.v2 know. A version is a number of joins and leaves since the room was
 * made, so each list that anybody was ever sent has its own. */
struct presence {
    size_t list_max, list_again; /* PRESENCE_LIST_MAX and _AGAIN; tests set less */
    uint64_t version;            /* of the list as it is now */
    uint64_t told;               /* the version that all were told: Since of the next change */
    uint64_t shown;              /* the newest version of which a list was sent */
    size_t told_count;           /* members of `told` */
    bool told_counted;           /* `told` had no names */
    bool counted;                /* the room is too large for a list */
    bool lost;                   /* what changed since `told` is not known: all get the list */
    bool missed;                 /* somebody has to be sent the list */
    size_t fresh;                /* members that joined since `told` */
    struct left_name **left;     /* names that left since `told`, sorted; owned */
    size_t left_count, left_cap;
    int64_t sent; /* when a change was last sent */
    int64_t paid; /* when the budget has paid for all that was sent */
    int64_t due;  /* when the next one must be sent; INT64_MAX: nothing to send */
};

/* What members of the short way know. */
struct user_lists {
    size_t readers;     /* members of the short way */
    struct frame *last; /* the last list sent to all of them; NULL: none; owned */
    uint64_t keys;      /* a sum of the members' session keys at that time */
    bool mixed;         /* a newcomer has been sent another list since */
    int64_t sent;       /* when it was sent */
    int64_t paid;       /* when the byte budget has paid for all lists so far */
    int64_t due;        /* when the next list must be sent; INT64_MAX: never */
};

/* Initialize, and free what they own. */
void presence_init(struct presence *presence);
void presence_fini(struct presence *presence);

/* Must be called when the roster of a shared room has been filled in, before anybody joins here.
 * All members have joined_version PRESENCE_FIRST. */
void presence_start(struct room *room);

/* Must be called when a member has been listed, here or on another server: sends it the user list,
 * if it is here, and tells the others or schedules that. `replaced` is the member whose place it
 * took; NULL: none. */
void presence_joined(struct member *member, const struct member *replaced);

/* Must be called when a member has been removed from the list. */
void presence_left(const struct member *member);

/* Ends a member's duty to send what is scheduled. presence_joined, presence_left or
 * presence_find_sender must follow, which find another member. */
void presence_release_sender(struct member *member);
void presence_find_sender(struct room *room);

/* Sends the list to the members of the short way, if `force` or the pause since the last one is
 * over, and unless they have it; or sets lists->due. Returns whether it was sent. */
bool user_lists_update(struct room *room, int64_t now, bool force);

/* Sends the list to a newcomer that came the short way. */
void user_lists_show(struct member *member);

#endif
