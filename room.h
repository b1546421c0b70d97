/* SPDX-License-Identifier: MIT
 *
 * room.h - the rooms: who is in them, who hears what.
 *
 * The order of all locks, outermost first; no thread takes one while it holds a later one:
 *   1 room list      which rooms there are
 *   2 room members   who is in a room; held for a pump round, a join, a leave
 *   3 room names     name -> member, for private messages; never held across I/O
 *   4 write lock     one per client (outbox.h)
 *   5 ring           the end of a room's ring (ring.h), a leaf
 *
 * A broadcast is appended to the room's ring, once. Then somebody pumps: walks the members and
 * moves each of them to the end of the ring.
 */
#ifndef ROOM_H
#define ROOM_H

#include <stdbool.h>
#include <stdint.h>

#include "config.h"
#include "e2e.h"
#include "json_msg.h"
#include "name.h"
#include "outbox.h"

struct room;

enum { ROOM_EPOCH_MAX = 33 }; /* an epoch as hexadecimal text, with its NUL */

/* Who is in a room. Belongs to its client's thread; others see it between join and leave. */
struct member {
    struct outbox *out;            /* [I] borrowed */
    struct room *room;             /* [t] NULL: in none */
    char name[NAME_MAX_BYTES + 1]; /* [I] as it was given */
    char *fold, *quoted;           /* [I] name_fold and json_quote of it */
    struct e2e_keys *keys;         /* [I] what it publishes; NULL: nothing */
    bool replaced;                 /* [2] a newer connection has taken its place */
    int64_t presence_due;          /* [t] when this thread owes the room a list; INT64_MAX: never */
};

/* What a client asks for when it joins. */
struct room_request {
    const struct config *config; /* in force, borrowed for the call */
    size_t max_message;          /* bytes that this client's messages may have */
    const char *room, *name;
    bool v2;           /* welcome it with Joined and history, not with ServerName alone */
    const char *epoch; /* NULL, or resume after the Id `after` of this epoch */
    uint64_t after;
    const struct e2e_keys *keys; /* NULL: it publishes none; else its proof was checked */
};

/* Readies the main room. `config` outlives the rooms, or the next rooms_adopt. Returns 0, or -1 when
 * memory is out. */
int rooms_init(const struct config *config);

/* Goes by other settings from here on; those before are not used any more when it returns. */
void rooms_adopt(const struct config *config);

/* Refuses all joins and broadcasts from here on; nobody lingers in a room he has left. When it returns,
 * what was accepted is in the rings. */
void rooms_stop(void);

/* Frees the main room, when nobody is in it any more. */
void rooms_fini(void);

/* Enters a room, making it if need be, and queues the welcome; room_pump sends it. Takes the place of
 * a member of that name if it has the same identity key: that one's connection is closed with
 * WS_CODE_TAKEN_OVER. Returns NULL and fills *member, or the code of an Error (see docs/PROTOCOL.md)
 * with *why for people. */
const char *room_join(struct member *member, struct outbox *out, const struct room_request *request,
                      const char **why);

/* Leaves, unless its place was taken: when it returns, no other thread knows the member or its
 * outbox. */
void room_leave(struct member *member);

/* Pays what member->presence_due owes, if anything: waits until then and sends the list, in one attempt.
 * Returns false when memory was out for that. */
bool room_settle(struct member *member);

/* The last of it: tries on until nothing is owed, lets the room go and frees the member's strings. Also
 * due after a join that failed; called twice, it does nothing. */
void room_forget(struct member *member);

/* Appends a Broadcast of that member. Returns false when memory is out. room_pump sends it. */
bool room_broadcast(struct member *member, const struct json_object *message);

/* Sends a PrivateMessage to the member named `target`; *delivered says whether there is one who took
 * it. Returns false when memory is out. */
bool room_private(struct member *member, const char *target, const struct json_object *message,
                  bool *delivered);

/* What others may know of a member. */
struct room_card {
    char name[NAME_MAX_BYTES + 1]; /* as it was given */
    bool published;                /* it has keys */
    struct e2e_keys keys;
};

/* Looks up who is in the member's room under a name, in any spelling. Returns false when nobody is, or
 * memory is out. */
bool room_look_up(struct member *member, const char *target, struct room_card *card);

/* One round: moves every member to the end of the ring. If another thread is at it, that one
 * carries on and this one has nothing to do. Returns whether the room needs another round: then
 * look after your own client first, without waiting, and call again. */
bool room_pump(struct room *room);

/* Publishes the list of who is online if it is still owed; called at member->presence_due. */
void room_presence(struct member *member);

#endif
