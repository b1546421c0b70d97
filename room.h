/* SPDX-License-Identifier: MIT
 *
 * room.h - the rooms: their members, and the fan-out of messages to them.
 *
 * The order of all locks, outermost first; no thread takes one while it holds a later one:
 *   1 room list      the list of rooms
 *   2 room members   the members of a room; held for a fan-out round, a join, a leave
 *   3 room names     name -> member, for private messages, and the members' keys; never held
 *                    across I/O
 *   4 stream         one per client (stream.h), also guards its position and queue (outbox.h); two
 *                    at once only in outbox_lock, in the order of the outboxes' addresses
 *   5 ring           the end of a room's ring (ring.h), a leaf
 *   5 share          what each source has sent to a room (share.h), a leaf
 *
 * A broadcast is appended to the room's ring, once. Then a thread fans out: it walks the members
 * and moves each of them to the end of the ring.
 */
#ifndef ROOM_H
#define ROOM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/config.h"
#include "lib/crypto/e2e.h"
#include "lib/protocol.h"
#include "json_msg.h"
#include "lib/name.h"
#include "delivery/outbox.h"
#include "delivery/share.h"

struct room;

enum {
    ROOM_USERS_MAX = 500,  /* names of one page of room_list_users */
    ROOM_EPOCH_MAX = 33,   /* an epoch as hexadecimal text, with its NUL */
    ROOM_SOURCE = 4,       /* one source may create max_rooms / 4 rooms, a wide block max_rooms / 2;
                             * more: too_many_rooms */
    ROOM_SOURCE_LEAST = 4, /* lower bound of both limits */
};

/* A client in a room. Belongs to the client's thread; others see it between join and leave. */
struct member {
    struct outbox *out;            /* [I] borrowed; NULL: a member of another server (bridge.h) */
    struct room *room;             /* [t] NULL: in none */
    char name[NAME_MAX_BYTES + 1]; /* [I] as the client spelled it */
    char *fold, *quoted;           /* [I] name_fold and json_quote of it */
    struct e2e_keys *keys;         /* [I] the keys it publishes; NULL: none. The pointee is [3]
                                    * from join to leave: the client's thread writes it
                                    * (room_publish), others read it under the lock.
                                    * keys->identity and keys->origin never change */
    uint64_t oldest;               /* [I] Oldest of its Joined; 0: none */
    bool ascii;   /* [I] everything sent to it is escaped to ASCII (json_ascii.h) */
    size_t index; /* [2] in the member list */
    struct {
        struct member *left, *right;
        uint32_t weight;
    } roster;                /* [2] and [3] its node (roster.h) */
    uint64_t joined_version; /* [2] version of the user list (presence.h) that first had it */
    uint64_t known_version;  /* [2] version that it was sent */
    uint64_t tag;            /* [t] of its membership, in a shared room (room/bridge.h) */
    bool removed;            /* [2] the room was given up, and it is not in it any more */
    atomic_bool replaced;    /* [a] a newer connection has taken its place, and it says nothing more
                              * (written under [2] and [3]) */
    atomic_bool waits;       /* [a] its thread waits for the keeper (keeper.h), which wakes it */
    atomic_int_fast64_t presence_due; /* [a] when its thread must call room_flush_presence
                                       * (written under [2]); INT64_MAX: never */
};

/* What a client asks for when it joins. */
struct join_request {
    const struct config *config; /* in force, borrowed for the call */
    size_t max_message;          /* bytes; the client's limit for one message */
    const char *room, *name;
    const struct sockaddr_storage
        *maker;        /* the client's address, to limit rooms by source; NULL: no limit */
    bool v2;           /* welcome it with Joined and history, not with ServerName alone */
    const char *epoch; /* NULL, or resume after the Id `after` of this epoch */
    uint64_t after;
    const struct e2e_keys *keys; /* NULL: none; their proof has been checked */
};

/* Creates the main room, and loads it if it is stored (keeper.h). `config` must outlive the rooms,
 * or the next rooms_set_config. Returns 0, or -1 when memory is out. */
int rooms_init(const struct config *config);

/* Switches to other settings. When it returns, the old ones are no longer used. */
void rooms_set_config(const struct config *config);

/* Refuses all further joins and broadcasts. When it returns, every accepted broadcast is in its
 * ring. */
void rooms_stop(void);

/* Takes each lock of each room once, in order. Does not return in a deadlock: for the watchdog
 * (ragnarok.c). */
void rooms_probe(void);

/* Frees the main room. It must be empty. */
void rooms_fini(void);

/* Joining has two steps, which the client's thread takes one after the other. Both return
 * ERROR_NONE, or the code of an Error and *why, a text for people.
 *
 * room_ask fills in *member, and finds or creates the room. If that is stored, the first client to
 * come loads it, which may take a while; only clients of that room wait for it. */
enum protocol_error room_ask(struct member *member, struct outbox *out,
                             const struct join_request *request, const char **why);

/* room_settle_in joins that room and queues the welcome; room_fan_out sends it. Replaces a member
 * of the same name that has the same identity key, and closes its connection with
 * WS_CODE_TAKEN_OVER. */
enum protocol_error room_settle_in(struct member *member, const struct join_request *request,
                                   const char **why);

/* Leaves, unless the member was replaced. When it returns, no other thread knows the member or its
 * outbox. */
void room_leave(struct member *member);

/* Releases the room and frees the member's strings. Must be called after room_leave, and when one
 * of the two steps has failed; a second call does nothing. */
void room_release(struct member *member);

/* The source to which a member's broadcasts are charged (share.h), and the rate of its room, in
 * bytes a second, above 0. */
struct room_payer {
    const struct sockaddr_storage *source; /* NULL: no limit */
    double rate;
};

/* Appends a Broadcast of the member, or nothing if it was replaced. room_fan_out sends it, unless
 * the keeper does (keeper.h).
 * Returns NULL, or why it could not be appended: memory is out, or the disk did not take what was
 * said before within KEEPER_WAIT_MS. *grown is the number of bytes that escaping to ASCII has
 * added, because a member of the room needs it. */
const char *room_broadcast(struct member *member, const struct json_object *message,
                           const struct room_payer *payer, size_t *grown);

/* Whether another thread will fan out what a member has said: the keeper's (keeper.h) or, in a
 * shared room, the one that reads the log (bridge.h). */
bool room_fans_out_later(struct room *room);

/* Returns for how many milliseconds the member must not be read, because its source has used up its
 * share of the room's rate; 0: it may be read. payer->source is not NULL. */
int64_t room_throttle_ms(struct member *member, const struct room_payer *payer);

/* The result of a private message. */
enum room_fate {
    ROOM_PENDING,   /* in a shared room: the member is told later */
    ROOM_DELIVERED, /* it is queued for the receiver */
    ROOM_NOBODY,    /* no member of the room has that name */
    ROOM_BUSY,      /* the receiver's queue is too full, or the receiver is being closed, or the
                     * sender was replaced */
    ROOM_NO_MEMORY,
    ROOM_AS_ASCII, /* internal to room.c: it must be escaped first */
};

/* A private message. All are borrowed. */
struct room_private {
    const char *target; /* the receiver's name, in any spelling */
    const struct json_object *message;
    struct frame *ack; /* sent to the sender when it is delivered; NULL: nothing */
};

/* Sends a PrivateMessage. The ack is in the sender's own queue before the receiver can have seen
 * the message, so no answer overtakes it; the caller flushes. *grown: see room_broadcast. */
enum room_fate room_private(struct member *member, const struct room_private *private,
                            size_t *grown);

/* The public data of a member. */
struct member_info {
    char name[NAME_MAX_BYTES + 1]; /* as the member spelled it */
    bool published;                /* it has keys */
    struct e2e_keys keys;
};

/* Finds the member of that name, in any spelling, in the member's room. Returns false when there is
 * none, or memory is out. */
bool room_look_up(struct member *member, const char *target, struct member_info *card);

/* Replaces the member's published keys, and then queues `ack` (NULL: nothing) for the member. The
 * new ones must have the same identity and origin, and a checked signature. A concurrent
 * room_look_up gets the old or the new keys, whole. Returns false when memory is out. */
bool room_publish(struct member *member, const struct e2e_keys *keys, struct frame *ack);

/* Runs one round: moves every member to the end of the ring. Does nothing while another thread
 * holds the member list; that thread delivers the bytes. Returns whether another round is needed:
 * then serve your own client first, without waiting, and call again. */
bool room_fan_out(struct room *room);

/* Whether a round is needed: the ring has bytes, or members have queued frames, that no round has
 * sent. Must be called by a thread that has held the member list, which may have kept another
 * thread from its round; then room_fan_out. */
bool room_needs_fan_out(struct room *room);

/* Sends delayed changes and user lists if this member still has to. Called at
 * member->presence_due; room_fan_out must follow if room_needs_fan_out. */
void room_flush_presence(struct member *member);

/* What GetUsers asks for. */
struct room_users_query {
    const char *prefix; /* folded; "": every name */
    const char *after;  /* folded; names behind it in the order of folded names; "": all */
    size_t limit;       /* 1 to ROOM_USERS_MAX names */
};

/* Writes the Users that answers `message`, a page of the names in the member's room. Returns a
 * string of *len bytes that the caller frees with free(), or NULL when memory is out. Takes
 * O(log n + limit) steps under lock 3. */
char *room_list_users(struct member *member, const struct room_users_query *query,
                      const struct json_object *message, size_t *len);

#endif
