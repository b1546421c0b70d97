/* SPDX-License-Identifier: MIT
 *
 * bridge_parts.h - shared by the files of the bridge, room.c and room_list.c.
 *
 * bridge.c has the start, the end and the state; bridge_writer.c the thread that sends calls;
 * bridge_reader.c the threads that read logs; bridge_load.c opens a room and gives it up;
 * bridge_apply.c does what entries say; bridge_calls.c makes calls of what members do.
 *
 * The lock mark [b] is `bridge.lock`, a leaf: it is taken while other locks are held, and nothing
 * is locked under it.
 */
#ifndef BRIDGE_PARTS_H
#define BRIDGE_PARTS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "cluster/call_queue.h"
#include "cluster/engine.h"
#include "room/bridge.h"
#include "room/room_parts.h"

/* The text of `unavailable`, for people. */
#define BRIDGE_AWAY_TEXT "this server cannot reach the others now: try again in a few seconds"

enum {
    READERS_MAX = 10000 / ENGINE_LOGS_MAX + 1, /* for the largest max_rooms */
    CARD_NAME_MAX = NAME_MAX_BYTES + 1,
};

/* A member of another node; or one of this node whose leave is not in the log yet. It has no
 * outbox, and is in the roster only. */
struct remote_member {
    struct member member; /* its first member, so that one can be had from the other */
    char seat[SEAT_MAX];
};

enum link_state {
    LINK_OPENING, /* the reader opens the room when it can; those who join wait */
    LINK_OPEN,    /* it takes part */
    LINK_LOST,    /* its seat is over; the reader closes the members and gives the room up */
    LINK_OVER,    /* it was given up: who wants to join must look for the room again */
    LINK_ENDING,  /* nobody is left here */
};

/* A client that waits for its join to appear in the log. It lies on the stack of its thread. */
struct join_wait {
    pthread_cond_t done_cond; /* [b] */
    bool taken;               /* [b] the reader has found the entry, and will set `done` */
    bool done;                /* [b] `code` and `why` are final */
    enum protocol_error code;
    const char *why;
    const struct join_request *request; /* [I] */
};

enum pending_kind { PENDING_JOIN, PENDING_TELL, PENDING_PUBLISH };

/* A call of a member of this node whose outcome is not in the log yet. */
struct pending {
    struct pending *next; /* [b] */
    enum pending_kind kind;
    uint64_t seq;
    struct member *member;   /* [b] NULL: it has left */
    struct join_wait *wait;  /* PENDING_JOIN */
    struct frame *ack;       /* what the member gets on success; owned. NULL: nothing */
    struct text about;       /* PENDING_TELL: JSON whose Ref and TgtUser an Error echoes; behind the
                             * struct */
    char receiver[SEAT_MAX]; /* PENDING_TELL: the receiver's seat, once it is known */
};

/* This node in one room. */
struct room_link {
    struct room *room;            /* [I] */
    struct bridge_reader *reader; /* [I] */
    struct room_link *next;       /* [b] in bridge.links */
    struct engine_seat seat;      /* seq: [b]; done: [w], the writer's thread; the rest: [I] */
    struct engine_log log;        /* [r] its reader's thread */
    bool started;                 /* [r] `log` is in use */
    bool closed;                  /* [r] lost: its members were closed */
    bool touched;                 /* [r] entries were applied since the last fan-out */
    enum link_state state;        /* [b] */
    bool renews;                  /* [b] lost: the room needs a new epoch */
    const char *why;              /* [b] lost: the reason */
    struct log_position position; /* [b] how far the log was applied */
    struct pending *first, *last; /* [b] */
    size_t tells;                 /* [b] PENDING_TELL among them */
    int64_t beat_at;              /* [w] when the next beat must be sent */
    bool reader_done;             /* [b] the reader does not know it any more */
    atomic_bool has_waiting;      /* [a] a member waits until less waits for the engine */
};

/* A thread that reads logs. */
struct bridge_reader {
    pthread_t thread;                         /* [b] valid if `running` */
    bool running;                             /* [b] */
    struct redis_line line;                   /* [r] */
    struct room_link *links[ENGINE_LOGS_MAX]; /* [b] `count` */
    size_t count;
    pthread_cond_t wanted; /* [b] there is something new */
    unsigned asked, seen;  /* [b] how often it was asked to look, and what it has seen */
    int64_t heard_at;      /* [b] net_now of its last answer; 0: it does not wait for one */
    bool ended;            /* [b] */
};

/* All that the threads share. */
struct bridge {
    bool on;                    /* [I] */
    struct redis_target target; /* [I] */
    struct engine_terms terms;  /* [I] */
    char rules[ENGINE_RULES_MAX];
    char prefix[ENGINE_PREFIX_MAX + 1];
    char *user, *password; /* [I] owned */
    size_t queue_max;      /* [I] bytes */
    pthread_mutex_t lock;
    pthread_cond_t wanted;  /* [b] there is something for the writer to do */
    pthread_cond_t changed; /* [b] a room was opened or lost, or the queue is empty */
    struct call_queue queue;
    size_t pending_bytes; /* [b] memory of all struct pending */
    bool has_lost;        /* [b] the queue has calls of seats that are over */
    bool has_waiting;     /* [b] members wait until less waits for the engine */
    bool stopping;        /* [b] nobody can join any more */
    bool ending;          /* [b] the threads must end */
    struct room_link *links;
    struct bridge_reader *readers[READERS_MAX];
    size_t readers_count;    /* [b] */
    char why[REDIS_WHY_MAX]; /* [b] of the line that broke last */
    int64_t unanswered; /* [b] net_now since when the engine owes the writer an answer; 0: none */
    pthread_t writer;
    bool running;           /* [b] the writer */
    bool ended;             /* [b] the writer */
    struct redis_line line; /* [w] */
    bool told_away;         /* members were told that the engine is away; the first reader's */
};

extern struct bridge bridge;

/* ---- bridge.c ---- */

void bridge_lock(void);
void bridge_unlock(void);

/* Tells the members of ragnarok.v2 when the engine has become silent, or answers again. The
 * first reader's thread, without a lock. */
void bridge_tell_state(void);

/* Counts a line that was dialled, or logs why it is down, once a minute. */
void bridge_note_line(const struct redis_line *line);

/* A frame of State, for a newcomer or all; NULL when memory is out. */
struct frame *bridge_state_frame(bool away);

/* The bytes that wait are fewer: wakes members that wait for that. Without a lock. */
void bridge_wake_waiting(void);

/* ---- Links: bridge_load.c ---- */

/* Makes the link of a new room. Returns NULL when memory, random bytes or threads are out. May be
 * called under lock 1. */
struct room_link *bridge_link_new(struct room *room);

/* Frees it. Nobody else knows the room. */
void bridge_link_free(struct room_link *link);

/* Called when nobody of this node is in the room: its seat is closed, and then the link's
 * reference to the room released. Returns whether nobody can join it any more, so that it must be
 * unlisted; a lost room stays in the list until it was given up. May be called under lock 1. */
bool bridge_retire(struct room_link *link);

/* Waits until the room is open. Returns ERROR_NONE; or ERROR_UNAVAILABLE and *why; *again says that
 * the caller must release the room and look for it again. */
enum protocol_error bridge_load(struct room *room, bool *again, const char **why);

/* The seat is over: its calls are dropped, and the reader is woken, which closes the members.
 * `renews`: something was lost, so the room needs a new epoch. [b] is held. */
void bridge_lose_locked(struct room_link *link, bool renews, const char *why);
void bridge_lose(struct room_link *link, bool renews, const char *why);

/* Opens a room, by the reader's line. Returns false when the line broke: try again. */
bool bridge_open_room(struct bridge_reader *reader, struct room_link *link);

/* Closes the members, if that was not done; and gives the room up, by the reader's line. Returns
 * false when the line broke: try again. */
bool bridge_give_up(struct bridge_reader *reader, struct room_link *link);

/* ---- Threads ---- */

void *bridge_writer_main(void *argument);
void *bridge_reader_main(void *argument);

/* Makes a reader, and starts it if the bridge runs; NULL when there is no thread or memory. [b] is
 * held. bridge_reader_start returns false when there is no thread. */
struct bridge_reader *bridge_reader_new(void);
bool bridge_reader_start(struct bridge_reader *reader);
void bridge_reader_free(struct bridge_reader *reader);

/* Has a reader look at its links. [b] is held. */
void bridge_ask_reader(struct bridge_reader *reader);

/* Notes whether the engine has answered a reader. */
void bridge_note_heard(struct bridge_reader *reader, bool heard);

/* ---- bridge_apply.c: what entries say. The reader's thread, without a lock. ---- */

void bridge_apply(struct room_link *link, const struct log_entry *entry);

/* Adds a member of the roster that `open` answered with; one whose card is not valid is left out.
 * */
void bridge_add_person(struct room *room, const struct log_person *person);

/* Frees a remote member that no room knows any more. */
void bridge_remote_free(struct member *member);

/* Closes all members of this node with 1013, and empties the roster. */
void bridge_close_members(struct room *room, const char *why);

/* Whether a text is what a node says for a member: the open JSON object of a message of that
 * type. */
bool bridge_is_body(struct text body, const char *type);

/* ---- bridge_calls.c: what members do, in their threads. ---- */

/* See room_settle_in, room_leave, room_broadcast, room_private and room_publish. bridge_leave is
 * called under lock 2. */
enum protocol_error bridge_join(struct member *member, const struct join_request *request,
                                const char **why);
void bridge_leave(struct member *member);
const char *bridge_say(struct member *member, struct text body);
enum room_fate bridge_tell(struct member *member, const char *fold,
                           const struct room_private *private);
bool bridge_publish(struct member *member, const struct e2e_keys *keys, struct frame *ack);

/* Forgets that a member waits for outcomes: it leaves. */
void bridge_forget(struct member *member);

/* Takes the pending call with that seq out of the list; NULL: there is none. [b] is held. A join is
 * marked as taken. The caller frees it with bridge_pending_free. */
struct pending *bridge_pending_take(struct room_link *link, uint64_t seq);
void bridge_pending_free(struct pending *pending);

/* Ends all pending calls of a link: it is over. [b] is held. */
void bridge_pending_clear(struct room_link *link, const char *why);

/* Has those who wait for a join look whether the server stops. [b] is held. */
void bridge_pending_wake(struct room_link *link);

/* Appends a call to the queue; takes it. If that fails the seat is lost. [b] is held. */
bool bridge_push_locked(struct room_link *link, struct engine_call *call);

/* ---- room.c ---- */

/* Adds a newcomer, as its join was decided; *old is the entry of the roster whose place it takes,
 * or NULL: a member of this node was closed (4001), any other must be freed by the caller. The
 * member list is locked. Returns ERROR_NONE, or ERROR_ROOM_FULL when memory is out. */
enum protocol_error room_admit(struct member *member, const struct join_request *request,
                               struct member **old);

/* Closes a member of this node whose place in the roster another one has taken (4001). The member
 * list is locked. */
void room_evict(struct member *member);

/* Takes a member of this node out of the list; `heir` takes its place in the roster, or nobody
 * (NULL). The member list is locked. */
void room_detach_member(struct member *member, struct member *heir);

/* Appends a broadcast with that Id and time. Returns false, and has done nothing, when that is not
 * the next Id, or memory is out. */
bool room_append(struct room *room, struct text body, uint64_t id, int64_t time_ms);

/* A frame of a message that was relayed, without its end. Id 0: it has none. NULL when memory is
 * out. */
struct frame *room_stamped_frame(struct text body, uint64_t id, int64_t time_ms, bool ascii);

/* ---- room_list.c ---- */

/* Takes a room out of the list, so that the next client makes a new one; the main room is replaced.
 * Returns false when memory is out for that. Takes lock 1. */
bool rooms_unlist(struct room *room);

#endif
