/* SPDX-License-Identifier: MIT
 *
 * store.h - the history file: the broadcasts of rooms, in an SQLite database.
 *
 * Only this directory knows SQLite. docs/HISTORY.md has the schema, and says what is written, for
 * how long, and what happens when writing fails.
 *
 * Three connections to one file: one writes, one reads, one copies the write-ahead log into the
 * file. Each is used by one thread at a time, under a lock. Every function may wait for the disk,
 * so a caller holds no lock that others need who do not wait for the disk anyway.
 *
 * Nothing here opens a file after store_open, so that a confined server (sandbox.h) can write its
 * history.
 */
#ifndef STORE_H
#define STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/name.h"

struct store;

enum {
    STORE_WHY_MAX = 512,    /* bytes of an error text; a longer one is cut */
    STORE_EPOCH_LEN = 32,   /* hexadecimal digits of an epoch */
    STORE_PAGE_MAX = 10000, /* messages in one answer of store_read */
    STORE_QUERY_MS = 250,   /* time of one query; then the answer ends early */
    STORE_WORDS_MIN = 3,    /* bytes of the words of a search; fewer find nothing */
    STORE_WORDS_MAX = 1024, /* more find nothing */
};

enum store_result {
    STORE_OK,
    STORE_FAILED,  /* nothing was changed; trying again may succeed (disk full, an I/O error) */
    STORE_CORRUPT, /* the file is damaged; trying again is useless */
    STORE_LATE,    /* a query took longer than STORE_QUERY_MS, and found nothing until then */
};

struct store_options {
    const char *file; /* borrowed until store_open returns */
    bool power;       /* each commit also survives a power cut */
    bool search;      /* an index makes searches fast */
    int64_t hours;    /* older messages are deleted; 0: only by number */
    int64_t messages; /* of each room, so many are kept; at least 1 */
    size_t body_max;  /* bytes of the longest message that is accepted or handed on */
};

/* A room in the file. */
struct store_room {
    int64_t key;
    char name[NAME_MAX_BYTES + 1];
    char epoch[STORE_EPOCH_LEN + 1];
    uint64_t last_id; /* 0: nothing was ever stored */
};

/* Opens a history file, or creates it with mode 0600; also FILE.trust beside it, which SQLite does
 * not know. Main thread, before the sandbox. Returns NULL and an error of one line in `why`
 * (STORE_WHY_MAX bytes) that names the file and the remedy: it is another program's file, a newer
 * version's, damaged, in use by another server, or cannot be written. Never changes or deletes such
 * a file. The caller releases the result with store_close. */
struct store *store_open(const struct store_options *options, char *why);

/* Starts the thread that copies the write-ahead log into the file, deletes old messages and builds
 * the search index. Must be called after the sandbox was entered, once. Returns false when there is
 * no thread or memory. */
bool store_start(struct store *store);

/* Ends that thread, and closes the file. `clean`: all that was heard is stored, so the rooms keep
 * their epochs at the next start. No other thread may use the store any more. NULL is allowed. */
void store_close(struct store *store, bool clean);

/* Changes the retention, for a reload. Any thread. */
void store_set_limits(struct store *store, int64_t hours, int64_t messages);

/* Whether rooms keep their epochs from the last run: it has stored all that was heard, and no power
 * cut can have taken any of it. */
bool store_keeps_epochs(const struct store *store);

/* Finds or creates the room `name`. Any thread; waits for a commit in progress if it must write.
 * room->epoch is the epoch for a new room, and for one that does not keep its own; else it becomes
 * the stored one. Fills in the rest. Names are compared byte by byte. Two threads may not do this
 * for the same room at once, because each would give it an epoch. */
enum store_result store_room_open(struct store *store, const char *name, struct store_room *room);

/* Write messages: one thread at a time calls store_begin, store_add for each message, and
 * store_commit, which together hold the lock of writing. After any result but STORE_OK nothing
 * since store_begin is stored and the lock is released. The Ids of a room must ascend. Messages of
 * one room after another cost less than of rooms in turn. `body` is the payload of the Broadcast:
 * JSON, UTF-8. */
enum store_result store_begin(struct store *store);
enum store_result store_add(struct store *store, struct store_room *room, uint64_t id,
                            int64_t time_ms, const char *body, size_t len);
enum store_result store_commit(struct store *store);

/* Stores room->epoch and room->last_id, after messages were lost. Not between store_begin and
 * store_commit. */
enum store_result store_new_epoch(struct store *store, const struct store_room *room);

/* The reason of the last failure of writing, in words for people. The thread that writes. */
const char *store_failure(const struct store *store);

/* Notes that not all that was heard is stored: rooms get new epochs at the next start, unless
 * store_trust takes it back. Works on a full disk; returns false when the filesystem takes nothing
 * any more. Any thread. */
bool store_distrust(struct store *store);
enum store_result store_trust(struct store *store);

/* A query: of the messages with an Id below `before`, the newest `count` (at most STORE_PAGE_MAX),
 * in all at most `bytes`, but at least one. `words` (folded as name_fold does; NULL: any message):
 * only those whose folded "text" contains them. */
struct store_query {
    uint64_t before; /* UINT64_MAX: from the newest on */
    int count;
    size_t bytes;
    const char *words;
};

/* Receives one message, in ascending order of the Ids. Returns false to end the answer. `body` is
 * borrowed. */
typedef bool store_row_fn(void *context, uint64_t id, int64_t time_ms, const char *body,
                          size_t len);

/* Answers a query. Any thread, which may wait for other queries. Calls `row` without a lock.
 *
 * *rest: if it is not 0, older messages may be left: those with an Id below it were not looked at.
 * A query with that value in `before` goes on there. A search that runs out of time ends early in
 * this way, with what it has found.
 *
 * The file is not trusted: a message that is no JSON object with msgType "Broadcast" and its own
 * Id, or is longer than body_max, is left out, counted, and logged at most once a minute. */
enum store_result store_read(struct store *store, const struct store_room *room,
                             const struct store_query *query, store_row_fn *row, void *context,
                             uint64_t *rest);

/* The Id of the oldest stored message of a room; 0: there is none. Any thread. */
enum store_result store_oldest(struct store *store, const struct store_room *room, uint64_t *id);

/* Writes the messages of a history file to a new file at `path`, mode 0600, or for "-" to standard
 * output: a line of JSON for each, the rooms one after the other, Ids ascending. A server may be
 * using the history file. Main thread of a process that has no store open. *left_out: how many rows
 * are no messages. Returns 0, or -1 and an error in `why` (STORE_WHY_MAX bytes). */
int store_export(const char *file, const char *path, uint64_t *left_out, char *why);

#endif
