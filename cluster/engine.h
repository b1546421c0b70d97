/* SPDX-License-Identifier: MIT
 *
 * engine.h - rooms that several servers share: the calls to the engine (Redis or Valkey) and what
 * it has logged.
 *
 * A room is a replicated state machine. Its log is a stream in the engine, and a script
 * (engine.lua) is the only writer. Every outcome is an entry of the log, which all nodes read and
 * replay; so an answer may be lost. Two kinds of lines are used:
 *
 *   writer  sends calls and takes their answers: engine_send, engine_receive
 *   reader  waits for entries of up to ENGINE_LOGS_MAX rooms: engine_read, engine_batch_next
 *
 * How a node uses it:
 *   1. engine_seat_init makes its seat in a room. The call `open` takes the seat, and answers with
 *      the epoch, the roster and the position from which on the log must be read. engine_log_start
 *      begins there; engine_read_back reads older broadcasts to fill the room's ring.
 *   2. engine_say, _tell, _join and _leave make calls with consecutive seq. They must reach the
 *      engine in that order. A node's own words take effect when its reader finds them in the log,
 *      like everybody's, never when the answer arrives.
 *   3. When the line broke (ENGINE_AWAY), the writer dials again and sends every call without an
 *      answer again, oldest first: the same struct engine_call, the same bytes. The engine does
 *      each once.
 *   4. `beat` is sent every third of the lease, and directly after each new line. It renews the
 *      lease, removes seats that are over (`sweep`), and compares the position.
 *
 * Answers that end a seat; its calls are dropped, its members are closed with 1013, and the room is
 * opened again with a new seat if somebody comes back:
 *   ENGINE_FENCED  the engine does not know the seat: its lease was over, or it was lost
 *   ENGINE_GAP     calls that had been answered are lost: treat as ENGINE_ROLLED
 *   ENGINE_ROLLED  entries that were read, or calls that had been answered, are lost. The node
 *                  first sends `renew`: all nodes then read LOG_EPOCH and load the room again, so
 *                  no client resumes in a history that is not its own
 *   ENGINE_BEHIND  the next entries were trimmed before this node read them
 * A node that has lost its seat passes the position that it had to its next `open`, which compares
 * it: ENGINE_ROLLED then means that `renew` must be sent before anybody resumes.
 *
 * Threads and locks: nothing here takes a lock. A line and a log belong to one thread at a time.
 * Calls on one seat are serialised by the caller's lock, which must also cover putting the call
 * into the queue, or they arrive out of order. `done` of a seat belongs to the writer's thread, so
 * `beat` is made there.
 */
#ifndef ENGINE_H
#define ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cluster/log_entry.h"
#include "cluster/log_order.h"
#include "cluster/redis_line.h"
#include "cluster/sealing.h"
#include "lib/name.h"

enum {
    ENGINE_PREFIX_MAX = 32,     /* characters of the keys' prefix: letters, digits, '-', '_', '.' */
    ENGINE_BASE_MAX = 300,      /* "PREFIX:{ROOM}:", with its NUL */
    ENGINE_LOGS_MAX = 64,       /* rooms of one reader: the engine needs about 1 us for each */
    ENGINE_READ_ENTRIES = 1024, /* entries in one read, of all rooms together */
    ENGINE_PAGE_COUNT = 256,    /* entries of a page of engine_read_back, at most */
    ENGINE_BLOCK_MAX_MS = 1000, /* longest wait of a read; below REDIS_SILENCE_MS */
    ENGINE_RULES_MAX = 512,     /* bytes of the rules, with a NUL */
    ENGINE_PEOPLE_MAX = 200000, /* members of a room in all nodes; a longer roster is refused */
};

/* What all nodes and rooms have in common. Immutable; must outlive the seats. */
struct engine_terms {
    const char *prefix;            /* of all keys: ENGINE_PREFIX_MAX */
    int64_t lease_ms;              /* a silent node's members leave after this and a third */
    int64_t keep_ms;               /* a room that no node holds is kept so long */
    size_t log_bytes;              /* the log has between one and two times so many */
    size_t body_max;               /* bytes of a message, not sealed */
    const char *rules;             /* "key=value key=value": settings that must be the same on all
                                    * nodes; keys and values without blanks, '=' or ',' */
    const struct sealing *sealing; /* NULL: nothing is sealed */
};

/* A node's presence in one room, from `open` to the end. Members are read-only for the caller. */
struct engine_seat {
    const struct engine_terms *terms;
    char room[NAME_MAX_BYTES + 1]; /* "" is the main room */
    char base[ENGINE_BASE_MAX];    /* the room's keys without their last part */
    char seat[SEAT_MAX];           /* 128 random bits */
    uint64_t seq;                  /* of the last call with one */
    uint64_t done;                 /* highest seq that the engine has answered */
    struct sealing_key key;        /* if texts are sealed */
};

enum engine_op {
    ENGINE_OPEN,
    ENGINE_BEAT,
    ENGINE_SAY,
    ENGINE_TELL,
    ENGINE_JOIN,
    ENGINE_LEAVE,
    ENGINE_RENEW,
    ENGINE_CLOSE,
    ENGINE_PUBLISH,
    ENGINE_ANSWER,
    ENGINE_UNBLOCK,
};

/* A finished call. Its bytes may be sent as often as necessary. */
struct engine_call {
    struct engine_seat *seat; /* borrowed; NULL: ENGINE_UNBLOCK */
    enum engine_op op;
    uint64_t seq; /* 0: none */
    size_t len;
    char *bytes;
};

enum engine_result {
    ENGINE_OK,     /* done, or done before: a repeat is no error (see answer->repeated) */
    ENGINE_GAP,    /* the engine has fewer calls of this seat: answer->last is its last seq */
    ENGINE_FENCED, /* the engine does not know this seat */
    ENGINE_ROLLED, /* open, beat: what was read or answered is lost */
    ENGINE_BEHIND, /* open, beat: what comes next was trimmed */
    ENGINE_RULES,  /* open: other nodes follow other rules; answer->why names the setting */
    ENGINE_AWAY,   /* the line is down, line->why says why: send the call again */
};

struct engine_answer {
    enum engine_result result;
    bool repeated;             /* the engine had done this call before */
    uint64_t last;             /* ENGINE_GAP */
    char epoch[SEAT_MAX];      /* open, beat, renew: the room's epoch now */
    uint64_t id;               /* open: Id of the last broadcast, 0 if there was none */
    struct log_position start; /* open: from here on the log must be read */
    struct log_person *people; /* open: the roster, `count` people, opened; a
                                * hostile engine may name one twice */
    size_t count;
    size_t unreadable;         /* open: people left out, because their card is not valid */
    char why[REDIS_WHY_MAX];   /* ENGINE_RULES: for people */
    struct reply_value *reply; /* what `people` borrow from */
};

/* A name as the engine gets it. */
struct engine_name {
    char text[LOG_NAME_MAX + 1];
};

/* ---- Seats and calls ---- */

/* Makes a new seat. `room` is folded; it and `terms` must keep the bounds above. Returns 0, or -1
 * when a bound is exceeded, or random bytes or memory are out. */
int engine_seat_init(struct engine_seat *seat, const struct engine_terms *terms, const char *room);
void engine_seat_fini(struct engine_seat *seat);

/* What stands for a folded name, or for an identity key as text, in calls and entries: if texts are
 * sealed, 32 hexadecimal digits, else the text itself. A node keeps it with each member, and finds
 * members by it. Returns false when the text is longer than LOG_NAME_MAX or memory is out. */
bool engine_name_of(const struct engine_seat *seat, struct text text, struct engine_name *name);

/* Each makes a call, which the caller frees with engine_call_free; NULL when memory is out, and for
 * calls with a seq then none is used up. All arguments are borrowed until return, except the seat.
 *
 * open: takes the seat. `sweep` allows replacing rules that no live node follows (see beat).
 * `position` is that of an earlier seat in this room, or NULL. */
struct engine_call *engine_open(struct engine_seat *seat, bool sweep,
                                const struct log_position *position);

/* beat: see above. `sweep` is only allowed after a line that was up without a break for a whole
 * lease (engine_may_sweep): otherwise, when the engine was away, the first node to come back would
 * remove all others. */
struct engine_call *engine_beat(struct engine_seat *seat, bool sweep,
                                const struct log_position *position);
bool engine_may_sweep(const struct redis_line *line, const struct engine_terms *terms);

/* say: LOG_BROADCAST. tell: LOG_PRIVATE to the member with the name, or LOG_REFUSAL. join:
 * LOG_JOIN, or LOG_REFUSAL; call->seq is the tag of this membership. Names are those of
 * engine_name_of; the card has the real one. `identity` is "-", or engine_name_of a key that was
 * proven: with the same key a member takes a name over. leave: LOG_LEAVE, if the
 * name still is that membership's. Texts longer than their bounds return NULL, too. */
struct engine_call *engine_say(struct engine_seat *seat, struct text body);
struct engine_call *engine_tell(struct engine_seat *seat, struct text name, struct text body);
struct engine_call *engine_join(struct engine_seat *seat, struct text name, struct text identity,
                                struct text card);
struct engine_call *engine_leave(struct engine_seat *seat, struct text name, uint64_t tag);

/* renew: a new epoch, unless another node has made one since `epoch_seen`. LOG_EPOCH. */
struct engine_call *engine_renew(struct engine_seat *seat, const char *epoch_seen);

/* close: ends the seat. LOG_SEAT_OVER. ENGINE_FENCED means that it has ended already. */
struct engine_call *engine_close(struct engine_seat *seat);

/* publish: LOG_JOIN that replaces the membership `tag` of this seat by one with another card, if
 * the name still is that membership's; else LOG_REFUSAL. call->seq is the tag from then on. */
struct engine_call *engine_publish(struct engine_seat *seat, uint64_t tag, struct text name,
                                   struct text identity, struct text card);

/* answer_to: tells the sender of a private message for this seat what became of it (LOG_ANSWER),
 * and deletes its entry. */
struct engine_call *engine_answer_to(struct engine_seat *seat, const struct log_entry *message,
                                     enum log_outcome outcome);

/* unblock: ends the read in which the line with this number is, so that it can take a new room.
 * Sent on another line. */
struct engine_call *engine_unblock(long long client);

void engine_call_free(struct engine_call *call);

/* ---- The writer's line ---- */

/* redis_line_reach, and then loads the script. Returns 0, or -1 with line->why. */
int engine_reach(struct redis_line *line);

/* Queues a call: redis_line_queue. Up to REDIS_CALLS_MAX may be sent before their answers are
 * taken. Returns 0, or -1: take answers first, or the line is down. */
int engine_send(struct redis_line *line, const struct engine_call *call);

/* Takes the answer to the oldest call that was sent, which is `call`. engine_answer_fini must be
 * called afterwards, whatever the result. An error of the engine drops the line and is ENGINE_AWAY:
 * it is full, read-only, loading, or another is the master now. */
enum engine_result engine_receive(struct redis_line *line, const struct engine_call *call,
                                  struct engine_answer *answer);
void engine_answer_fini(struct engine_answer *answer);

/* ---- The reader's line ---- */

/* A room whose log is read. */
struct engine_log {
    struct engine_seat *seat; /* borrowed */
    struct log_order order;   /* order.position is what beat needs */
};

/* Begins to read after the answer to open. */
void engine_log_start(struct engine_log *log, struct engine_seat *seat,
                      const struct engine_answer *opened);
void engine_log_fini(struct engine_log *log);

/* Entries that were read together. */
struct engine_batch {
    struct reply_value *value;
    struct engine_log **logs; /* borrowed */
    size_t logs_count, log;   /* the log whose entries come now */
    size_t stream, entry;     /* what comes next */
    bool backwards;
};

/* Waits for up to `block_ms` (1..ENGINE_BLOCK_MAX_MS) until one of 1..ENGINE_LOGS_MAX logs has
 * entries, and reads up to ENGINE_READ_ENTRIES / `count` of each, fewer if messages are long.
 * Returns 0 with a batch, which may be empty, or -1 with line->why. The caller frees the batch with
 * engine_batch_fini; entries are valid until then. */
int engine_read(struct redis_line *line, struct engine_log **logs, size_t count, int block_ms,
                struct engine_batch *batch);

/* Reads up to ENGINE_PAGE_COUNT entries at or before the place `before`, newest first; for the
 * first page this is log->order.position.at, later "(" and the place of the last entry. */
int engine_read_back(struct redis_line *line, struct engine_log **log, const char *before,
                     struct engine_batch *batch);

/* The next entry of a batch and its log. LOG_END: there is none. LOG_BAD: log and skip it, *why is
 * the reason. LOG_BROKEN: the rest of this log must not be used: send `renew` and load the room
 * again; other rooms of the batch are not affected, but call engine_batch_skip. LOG_MEMORY: the
 * same without `renew`. */
enum log_verdict engine_batch_next(struct engine_batch *batch, struct engine_log **log,
                                   struct log_entry *entry, const char **why);

/* Goes on with the next log. */
void engine_batch_skip(struct engine_batch *batch);
void engine_batch_fini(struct engine_batch *batch);

#endif
