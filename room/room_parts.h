/* SPDX-License-Identifier: MIT
 *
 * room_parts.h - shared by the files of the room; no other file includes it.
 *
 * room.c has the fan-out, joining, leaving and messages; room_list.c the list of rooms;
 * room_names.c who is in a room by name. The lock marks are those of room.h.
 */
#ifndef ROOM_PARTS_H
#define ROOM_PARTS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "delivery/ring.h"
#include "delivery/share.h"
#include "room.h"
#include "room/presence.h"
#include "room/roster.h"
#include "store/store.h"

/* Members from which on several threads walk the list. A walk of so many takes 20 ms over TLS, and
 * waking the others much less than one; smaller rooms take no step for it. */
enum { ROOM_PARALLEL_FROM = 2000 };

/* A room's place in the history file (keeper.c). [k] the keeper's thread; until `stored` is set,
 * the thread that loads the room. */
struct room_storage {
    bool wanted;                 /* [I] the settings say that it is stored */
    pthread_mutex_t load_lock;   /* held while the room is loaded */
    bool loaded;                 /* [load] that was done, or has failed */
    bool unopened;               /* [load] it has failed, which METRIC_HISTORY_UNOPENED counts */
    atomic_bool stored;          /* [a] its broadcasts are stored */
    atomic_bool queued;          /* [a] it is in the keeper's queue */
    atomic_bool has_waiting;     /* [a] a member waits for the keeper */
    atomic_uint_fast64_t oldest; /* [a] Id of the oldest stored message, when it was last looked up;
                                  * 0: none, or it was not looked up yet */
    struct room *next_queued;    /* [q] the keeper's lock */
    struct store_room place;     /* [k]; its name and key: [I] since `stored` */
    uint64_t position, id;       /* [k] everything up to there is stored */
    uint64_t to_position, to_id; /* [k] the same, when the present commit is done */
    uint64_t to_lost;            /* [k] messages before it that were overwritten unstored */
    struct room *next_owed;      /* [k] the next room that has something to store */
    bool owed;                   /* [k] it is in that list, which has a reference */
};

struct room_link;

struct room {
    struct room *next;             /* [1] */
    unsigned users;                /* [1] members, including those that are leaving */
    char name[NAME_MAX_BYTES + 1]; /* [I] "" is the main room */
    bool counted;                  /* [1] `maker` is set, and the room counts for it */
    struct sockaddr_storage maker; /* [1] address of the client that created the room */
    char epoch[ROOM_EPOCH_MAX]; /* [I] distinguishes this room from a later one of the same name */
    atomic_uint ascii;          /* [a] members that read ASCII only; above 0, all broadcasts are
                                 * escaped. Incremented before such a member can be seen */

    pthread_mutex_t members_lock;
    struct member **members;           /* [2] in no order; each knows its index */
    size_t count, cap;                 /* [2] */
    size_t parallel_from;              /* [I] members from which on several threads fan out;
                                        * tests make it small */
    struct presence presence;          /* [2] */
    struct user_lists lists;           /* [2] */
    struct member *presence_sender;    /* [2] who must send what is scheduled; NULL: nobody */
    atomic_bool has_queued;            /* [a] members have queued frames that no round has sent;
                                        * written under [2] */
    atomic_uint_fast64_t fanned_out;   /* [a] the ring's position that the last round has reached;
                                        * written under [2] */
    uint64_t fanned_out_id;            /* [2] Id of the last broadcast that a round delivered */
    atomic_int_fast64_t waiting_since; /* [a] when the oldest undelivered broadcast came; 0: none */

    pthread_mutex_t names_lock;
    struct roster roster; /* [2] and [3] to write, one of them to read */

    struct ring ring;
    struct share share; /* a leaf lock of its own (share.h) */
    struct room_storage storage;

    struct room_link
        *link;     /* [I] how it is shared with other servers (bridge.h); NULL: it is not */
    bool unlisted; /* [1] it is not in the list any more */
};

/* The bytes of its ring that a newcomer may get: older ones may be overwritten before they are
 * sent. */
size_t room_reach(const struct room *room);

/* Whether rooms_stop was called. */
bool rooms_stopping(void);

/* Finds or creates a room and takes a reference. Returns NULL, *code and *why if it cannot be
 * created. Takes lock 1. */
struct room *room_ref(const struct join_request *request, enum protocol_error *code,
                      const char **why);

/* Takes a reference to a room of which the caller has one already. Takes lock 1. */
void room_hold(struct room *room);

/* Calls `visit` with each room, under lock 1. */
void rooms_each(void (*visit)(struct room *room));

/* Releases a reference. The last one frees the room, except the main room. Takes lock 1. */
void room_unref(struct room *room);

/* Whether a member, or a client that is joining, reads ASCII only. */
bool room_needs_ascii(const struct room *room);

/* Moves every member as far as the ring is ready. The member list is locked. */
void room_fan_out_locked(struct room *room);

/* Makes a State of one field. Returns a frame that the caller drops, or NULL when memory is out. */
struct frame *room_state_frame(const char *field, const char *value);

/* Queues a frame for all members, except those of the short way, and drops it; NULL: nothing. A
 * fan-out must follow. Takes lock 2. */
void room_tell_members(struct room *room, struct frame *frame);

/* Wakes the members whose threads wait (member->waits). Takes lock 2. */
void room_wake_waiting(struct room *room);

/* Must be called after unlocking the member list by a thread that has no read loop to return to:
 * other threads may have left their bytes to this one. Runs rounds until none is needed. */
void room_fan_out_until_idle(struct room *room);

#endif
