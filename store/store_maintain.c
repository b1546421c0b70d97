/* SPDX-License-Identifier: MIT
 *
 * store_maintain.c - the thread that cleans up the history file: the cleaner.
 *
 * It copies the write-ahead log into the file, deletes old messages, gives free pages back to the
 * system, and has the search index made (store_index.c). It reads on a connection of its own, and
 * writes on the writer's connection under its lock, in transactions of a few milliseconds: a
 * message that is being stored waits for one of them at most.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "net/socket.h"
#include "store/store_parts.h"

enum {
    LOG_PAGES = 1024,          /* pages in the log, not copied yet, that wake the thread: 4 MiB */
    CHECKPOINT_ROUNDS = 3,     /* of copying while others write, before they have to wait */
    LOG_PAGES_MAX = 16384,     /* at which writing waits until the log is copied: 64 MiB */
    CHECKPOINT_MS = 10 * 1000, /* between two copies, if something was written */
    RETAIN_MS = 30 * 1000,     /* between two looks for old messages */
    ROOMS_MS = 3600 * 1000,    /* between two looks for empty rooms */
    INDEX_MS = 500,            /* for one round of making filters */
    ERASE_MAX = 100,           /* messages that are deleted in one transaction */
    FREE_PAGES_MAX = 1024,     /* pages that stay in the file for new messages: 4 MiB */
    VACUUM_PAGES = 128,        /* that are given back in one transaction */
    CLEANER_CACHE_KIB = 512,
    CLEANER_BUSY_MS = 20, /* for another program that reads; then the log is cut off later */
    HOUR_MS = 3600 * 1000,
    EMPTY_ROOM_HOURS = 168, /* for which an empty room keeps its epoch, at least */
};

/* ---- Statements ---- */

static int prepare_reading(struct store_cleaner *cleaner)
{
    const struct store_statement wanted[] = {
        {&cleaner->old, "SELECT room, id FROM message WHERE time<? ORDER BY time LIMIT ?"},
        {&cleaner->excess,
         "SELECT room, id FROM message WHERE room=? AND id<=? ORDER BY id LIMIT ?"},
        {&cleaner->rooms, "SELECT min(key) FROM room WHERE key>?"},
        {&cleaner->newest, "SELECT max(id) FROM message WHERE room=?"},
        {&cleaner->indexed, "SELECT coalesce(max(block), -1) FROM search WHERE room=?"},
        {&cleaner->first, "SELECT min(id) FROM message WHERE room=? AND id>=?"},
        {&cleaner->bodies, "SELECT body FROM message WHERE room=? AND id>=? AND id<=?"},
    };
    return store_prepare_all(cleaner->db, wanted, sizeof(wanted) / sizeof(wanted[0]));
}

/* Notes the length of the log after each commit; runs in the thread that commits. */
static int note_log(void *context, sqlite3 *db, const char *name, int pages)
{
    struct store *store = context;
    struct store_cleaner *cleaner = &store->cleaner;
    int before = atomic_exchange(&cleaner->log_pages, pages);
    int copied = atomic_load(&cleaner->log_copied);
    (void)db;
    (void)name;
    if (pages < copied) /* the log has begun again */
        atomic_store(&cleaner->log_copied, copied = 0);
    if (atomic_load(&cleaner->is_started) && pages - copied >= LOG_PAGES &&
        before - copied < LOG_PAGES)
        net_wake(cleaner->thread);
    return SQLITE_OK;
}

int store_cleaner_prepare(struct store *store)
{
    struct store_cleaner *cleaner = &store->cleaner;
    const struct store_statement writing[] = {
        {&cleaner->erase, "DELETE FROM message WHERE room=? AND id=?"},
        {&cleaner->put_filter, "INSERT OR REPLACE INTO search(room,block,grams) VALUES(?,?,?)"},
        {&cleaner->drop_filter, "DELETE FROM search WHERE room=? AND block=?"},
        {&cleaner->left_bodies, "SELECT body FROM message WHERE room=? AND id>=? AND id<=?"},
    };
    int rc = store_connect(store, &cleaner->db, SQLITE_OPEN_READWRITE, CLEANER_CACHE_KIB);
    if (rc == SQLITE_OK)
        rc = sqlite3_busy_timeout(cleaner->db, CLEANER_BUSY_MS);
    if (rc == SQLITE_OK)
        rc = prepare_reading(cleaner);
    if (rc == SQLITE_OK)
        rc = store_prepare_all(store->writer.db, writing, sizeof(writing) / sizeof(writing[0]));
    if (rc == SQLITE_OK)
        sqlite3_wal_hook(store->writer.db, note_log, store);
    return rc;
}

void store_cleaner_finalize(struct store *store)
{
    struct store_cleaner *cleaner = &store->cleaner;
    sqlite3_stmt *all[] = {cleaner->old,         cleaner->excess,     cleaner->rooms,
                           cleaner->newest,      cleaner->indexed,    cleaner->first,
                           cleaner->bodies,      cleaner->erase,      cleaner->put_filter,
                           cleaner->drop_filter, cleaner->left_bodies};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        sqlite3_finalize(all[i]);
    sqlite3_close(cleaner->db);
}

/* ---- The log ---- */

static bool checkpoint(struct store *store, int mode)
{
    struct store_cleaner *cleaner = &store->cleaner;
    int pages = 0, copied = 0;
    int rc = sqlite3_wal_checkpoint_v2(cleaner->db, "main", mode, &pages, &copied);
    if (rc == SQLITE_OK)
        atomic_store(&cleaner->log_copied, copied > 0 ? copied : 0);
    else if (rc != SQLITE_BUSY)
        log_event(LOG_LEVEL_WARN, "history_checkpoint", "why=\"%s\"", sqlite3_errmsg(cleaner->db));
    return rc == SQLITE_OK;
}

/* Pages in the log that are not in the file yet. */
static int count_waiting(const struct store_cleaner *cleaner)
{
    return atomic_load(&cleaner->log_pages) - atomic_load(&cleaner->log_copied);
}

bool store_checkpoint(struct store *store, bool all)
{
    struct store_cleaner *cleaner = &store->cleaner;
    bool is_done;
    int rounds = 0;
    do {
        is_done = checkpoint(store, SQLITE_CHECKPOINT_PASSIVE);
    } while (is_done && count_waiting(cleaner) > LOG_PAGES && ++rounds < CHECKPOINT_ROUNDS);
    if (!is_done || (!all && atomic_load(&cleaner->log_pages) < LOG_PAGES_MAX))
        return is_done;
    /* Little is left to be copied. SQLite would have a commit wait and try again, which takes
     * longer than to wait for the lock. */
    store_write_lock(&store->writer);
    is_done = checkpoint(store, SQLITE_CHECKPOINT_TRUNCATE);
    if (is_done) {
        atomic_store(&cleaner->log_pages, 0);
        sqlite3_db_release_memory(store->writer.db); /* its pages may have traces: store_vfs.c */
    }
    store_write_unlock(&store->writer);
    return is_done;
}

/* ---- Retention ---- */

/* Messages to be deleted. */
struct erasure {
    int count;
    struct erased {
        sqlite3_int64 room, id;
    } messages[ERASE_MAX];
};

static int by_room_and_id(const void *a, const void *b)
{
    const struct erased *one = a, *other = b;
    if (one->room != other->room)
        return one->room < other->room ? -1 : 1;
    return (one->id > other->id) - (one->id < other->id);
}

/* Takes them from a query whose last parameter is the limit. Returns a code of SQLite. */
static int collect_erasure(sqlite3_stmt *query, int limit_parameter, struct erasure *erasure)
{
    erasure->count = 0;
    sqlite3_bind_int(query, limit_parameter, ERASE_MAX);
    while (erasure->count < ERASE_MAX && sqlite3_step(query) == SQLITE_ROW) {
        erasure->messages[erasure->count].room = sqlite3_column_int64(query, 0);
        erasure->messages[erasure->count++].id = sqlite3_column_int64(query, 1);
    }
    qsort(erasure->messages, (size_t)erasure->count, sizeof(erasure->messages[0]), by_room_and_id);
    return sqlite3_reset(query);
}

static int erase_messages(struct store *store, const struct erasure *erasure)
{
    sqlite3_stmt *statement = store->cleaner.erase;
    int rc = SQLITE_OK;
    for (int i = 0; rc == SQLITE_OK && i < erasure->count; i++) {
        sqlite3_bind_int64(statement, 1, erasure->messages[i].room);
        sqlite3_bind_int64(statement, 2, erasure->messages[i].id);
        rc = store_run_statement(statement);
    }
    return rc;
}

/* The filters of blocks that have lost a message are made again from the others. */
static int mend_filters(struct store *store, const struct erasure *erasure)
{
    int rc = SQLITE_OK;
    for (int i = 0; rc == SQLITE_OK && i < erasure->count; i++) {
        sqlite3_int64 room = erasure->messages[i].room;
        sqlite3_int64 block = erasure->messages[i].id / STORE_BLOCK;
        bool is_same = i > 0 && room == erasure->messages[i - 1].room &&
                       block == erasure->messages[i - 1].id / STORE_BLOCK;
        if (!is_same)
            rc = store_index_again(store, room, block);
    }
    return rc;
}

/* Deletes what a query finds, in small transactions. */
static bool erase_found(struct store *store, sqlite3_stmt *query, int limit_parameter)
{
    struct erasure erasure;
    int rc;
    do {
        rc = collect_erasure(query, limit_parameter, &erasure);
        if (rc != SQLITE_OK || erasure.count == 0)
            break;
        store->cleaner.has_traces = true;
        rc = store_write_begin(&store->writer);
        if (rc == SQLITE_OK)
            rc = erase_messages(store, &erasure);
        if (rc == SQLITE_OK)
            rc = mend_filters(store, &erasure);
        if (store_write_end(&store->writer, rc) != STORE_OK)
            return false;
    } while (erasure.count == ERASE_MAX && !atomic_load(&store->cleaner.is_stopping));
    return rc == SQLITE_OK;
}

/* Deletes all but the newest messages of a room. Ids without a message count, too. */
static bool erase_excess(struct store *store, sqlite3_int64 room, int64_t messages)
{
    struct store_cleaner *cleaner = &store->cleaner;
    sqlite3_int64 newest = 0;
    sqlite3_bind_int64(cleaner->newest, 1, room);
    if (store_ask_number(cleaner->newest, &newest) != SQLITE_OK)
        return false;
    if (newest <= messages)
        return true;
    sqlite3_bind_int64(cleaner->excess, 1, room);
    sqlite3_bind_int64(cleaner->excess, 2, newest - messages);
    return erase_found(store, cleaner->excess, 3);
}

static bool erase_excess_of_all(struct store *store, int64_t messages)
{
    struct store_cleaner *cleaner = &store->cleaner;
    sqlite3_int64 room = 0;
    while (!atomic_load(&cleaner->is_stopping)) {
        sqlite3_int64 next = 0;
        sqlite3_bind_int64(cleaner->rooms, 1, room);
        if (store_ask_number(cleaner->rooms, &next) != SQLITE_OK)
            return false;
        if (next <= room)
            return true;
        room = next;
        if (!erase_excess(store, room, messages))
            return false;
    }
    return true;
}

/* Deletes the rows of rooms without a message that nobody has used for long: strangers can make
 * many. A room that is still open in memory gets its row again with its next message. */
static bool sweep_rooms(struct store *store, int64_t now_ms, int64_t hours)
{
    char sql[160];
    int64_t age_ms = (hours > EMPTY_ROOM_HOURS ? hours : EMPTY_ROOM_HOURS) * HOUR_MS;
    snprintf(sql, sizeof(sql),
             "DELETE FROM room WHERE used<%lld AND NOT EXISTS(SELECT 1 FROM message WHERE "
             "message.room=room.key)",
             (long long)(now_ms - age_ms));
    int rc = store_write_begin(&store->writer);
    if (rc == SQLITE_OK)
        rc = store_exec(store->writer.db, sql);
    return store_write_end(&store->writer, rc) == STORE_OK;
}

/* Gives pages that are free back to the system, a few at a time. */
static bool give_pages_back(struct store *store)
{
    char sql[64];
    int64_t pages = INT64_MAX;
    snprintf(sql, sizeof(sql), "PRAGMA incremental_vacuum(%d)", VACUUM_PAGES);
    while (!atomic_load(&store->cleaner.is_stopping)) {
        int rc;
        store_write_lock(&store->writer);
        int64_t left = store_pragma_number(store->writer.db, "PRAGMA freelist_count", &rc);
        bool is_enough = rc != SQLITE_OK || left <= FREE_PAGES_MAX || left >= pages;
        if (!is_enough)
            rc = store_exec(store->writer.db, sql);
        store_write_unlock(&store->writer);
        if (is_enough || rc != SQLITE_OK)
            return rc == SQLITE_OK;
        pages = left;
    }
    return true;
}

bool store_retain(struct store *store, int64_t now_ms)
{
    struct store_cleaner *cleaner = &store->cleaner;
    int64_t hours = atomic_load(&store->hours), now = net_now();
    bool is_done = true;
    if (hours > 0) {
        sqlite3_bind_int64(cleaner->old, 1, now_ms - hours * HOUR_MS);
        is_done = erase_found(store, cleaner->old, 2);
    }
    is_done = is_done && erase_excess_of_all(store, atomic_load(&store->messages));
    if (is_done && now - cleaner->rooms_swept >= ROOMS_MS) {
        is_done = sweep_rooms(store, now_ms, hours);
        cleaner->rooms_swept = now;
    }
    is_done = is_done && give_pages_back(store);
    if (cleaner->has_traces && store_checkpoint(store, true))
        cleaner->has_traces = false;
    return is_done && !cleaner->has_traces;
}

/* ---- The thread ---- */

/* When the thread does what; net_now. */
struct schedule {
    int64_t checkpoint, retain, index;
};

/* Does what is needed by now. Returns the time of the next round. */
static int64_t clean_up(struct store *store, struct schedule *next)
{
    int64_t now = net_now();
    int waiting = count_waiting(&store->cleaner);
    if (waiting >= LOG_PAGES || (waiting > 0 && now >= next->checkpoint))
        store_checkpoint(store, false);
    if (waiting >= LOG_PAGES || now >= next->checkpoint)
        next->checkpoint = net_now() + CHECKPOINT_MS;
    if (now >= next->retain) {
        if (!store_retain(store, net_wall_ms()))
            log_event(LOG_LEVEL_WARN, "history_retention",
                      "why=\"old messages, or traces of them in the log, are still there\"");
        next->retain = net_now() + RETAIN_MS;
    }
    if (now >= next->index) {
        bool is_done = store_index(store, net_now() + INDEX_MS);
        next->index = is_done ? net_now() + RETAIN_MS : 0; /* else go on at once */
    }
    int64_t first = next->retain < next->checkpoint ? next->retain : next->checkpoint;
    return next->index < first ? next->index : first;
}

static void *cleaner_main(void *argument)
{
    struct store *store = argument;
    struct schedule next = {.checkpoint = net_now() + CHECKPOINT_MS};
    while (!atomic_load(&store->cleaner.is_stopping))
        net_wait(-1, 0, clean_up(store, &next));
    return NULL;
}

bool store_start(struct store *store)
{
    struct store_cleaner *cleaner = &store->cleaner;
    bool is_started = pthread_create(&cleaner->thread, NULL, cleaner_main, store) == 0;
    atomic_store(&cleaner->is_started, is_started); /* others may wake it from now on */
    return is_started;
}

void store_cleaner_stop(struct store *store)
{
    struct store_cleaner *cleaner = &store->cleaner;
    atomic_store(&cleaner->is_stopping, true);
    if (!atomic_exchange(&cleaner->is_started, false))
        return;
    net_wake(cleaner->thread);
    pthread_join(cleaner->thread, NULL);
}
