/* SPDX-License-Identifier: MIT
 *
 * room_history.h - older broadcasts of a room, by pages, and searching them.
 *
 * A member's own thread reads them, while others say and hear more. What the room's ring does not
 * hold any more comes from the history file, if the room is stored there. No lock of a room is held
 * while messages are compared or written, or while the thread waits for the disk.
 */
#ifndef ROOM_HISTORY_H
#define ROOM_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "room.h"

enum {
    HISTORY_COUNT_MAX = 100,            /* messages of one page; fewer may be asked for */
    HISTORY_BYTES_MAX = 256 * 1024,     /* bytes of them together; one message always fits */
    HISTORY_LOOK_MAX = 2 * 1024 * 1024, /* bytes of the ring that one search looks through; then it
                                         * stops, and the page says that there is more. In the
                                         * history file it stops after STORE_QUERY_MS */
    HISTORY_LOOK_COST = 16, /* looking through so many bytes costs as much as sending one */
    HISTORY_MS_COST = 1024, /* bytes whose sending costs as much as a millisecond of its
                             * thread's processor time for the file */
};

struct history_query {
    uint64_t before;   /* messages whose Id is below it, the newest of them */
    unsigned count;    /* at most so many: 1 to HISTORY_COUNT_MAX */
    const char *words; /* only those whose text contains it (both folded by name_fold); NULL: all */
};

struct history_message {
    char *json; /* owned: a whole Broadcast, not NUL-terminated */
    size_t len;
    uint64_t id;
};

struct history_page {
    struct history_message messages[HISTORY_COUNT_MAX]; /* by ascending Id */
    size_t count;
    size_t bytes; /* of all messages */
    char epoch[ROOM_EPOCH_MAX];
    uint64_t from; /* everything from this Id to `before` has been looked at */
    bool more;     /* there is something before `from` */
    size_t cost;   /* of reading it, in bytes that are sent */
};

enum history_result {
    HISTORY_READ,
    HISTORY_CLOSED,    /* nobody may read this room's past */
    HISTORY_LATE,      /* the history file cannot be read now */
    HISTORY_NO_MEMORY, /* the page is not usable */
};

/* Reads a page; may wait for the disk, so no lock is held. history_page_fini must be called after
 * it, whatever it returns. `config` is in force, borrowed for the call. */
enum history_result history_read(struct member *member, const struct config *config,
                                 const struct history_query *query, struct history_page *page);
void history_page_fini(struct history_page *page);

/* Id of the oldest message that the room's members can read; 0: there is none. Of a stored room it
 * may have been deleted since somebody read that far. May wait for the disk, the first time. */
uint64_t history_oldest(struct room *room, const struct config *config);

/* Whether the server stores the broadcasts of the room of that name. */
bool history_is_kept(const char *room, const struct config *config);

#endif
