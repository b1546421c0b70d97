/* SPDX-License-Identifier: MIT
 *
 * store_write.c - rooms and messages into the history file.
 *
 * Any thread may open a room; one thread adds messages. All of it is done under the writer's lock,
 * which store_begin takes and store_commit (or a failure) releases.
 */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "net/socket.h"
#include "store/store_parts.h"

/* ---- Statements ---- */

int store_prepare_all(sqlite3 *db, const struct store_statement *wanted, size_t count)
{
    int rc = SQLITE_OK;
    for (size_t i = 0; i < count && rc == SQLITE_OK; i++)
        rc = sqlite3_prepare_v3(db, wanted[i].sql, -1, SQLITE_PREPARE_PERSISTENT,
                                wanted[i].statement, NULL);
    return rc;
}

int store_writer_prepare(struct store_writer *writer)
{
    const struct store_statement wanted[] = {
        {&writer->begin, "BEGIN IMMEDIATE"},
        {&writer->commit, "COMMIT"},
        {&writer->rollback, "ROLLBACK"},
        {&writer->add, "INSERT INTO message(room,id,time,body) VALUES(?,?,?,?)"},
        {&writer->set_room, "INSERT INTO room(key,name,epoch,last_id,used) VALUES(?,?,?,?,?) "
                            "ON CONFLICT(key) DO UPDATE SET epoch=excluded.epoch, "
                            "last_id=excluded.last_id, used=excluded.used"},
        {&writer->make_room, "INSERT INTO room(name,epoch,last_id,used) VALUES(?,?,0,?) "
                             "ON CONFLICT(name) DO NOTHING"},
    };
    return store_prepare_all(writer->db, wanted, sizeof(wanted) / sizeof(wanted[0]));
}

void store_writer_finalize(struct store_writer *writer)
{
    sqlite3_stmt **all[] = {&writer->begin, &writer->commit,   &writer->rollback,
                            &writer->add,   &writer->set_room, &writer->make_room};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        sqlite3_finalize(*all[i]);
        *all[i] = NULL;
    }
}

int store_run_statement(sqlite3_stmt *statement)
{
    sqlite3_step(statement);
    return sqlite3_reset(statement); /* the code of the step */
}

int store_ask_number(sqlite3_stmt *statement, sqlite3_int64 *number)
{
    if (sqlite3_step(statement) == SQLITE_ROW)
        *number = sqlite3_column_int64(statement, 0);
    return sqlite3_reset(statement);
}

/* ---- Transactions ---- */

void store_write_lock(struct store_writer *writer)
{
    pthread_mutex_lock(&writer->turn_lock);
    pthread_mutex_lock(&writer->write_lock);
    pthread_mutex_unlock(&writer->turn_lock);
}

void store_write_unlock(struct store_writer *writer)
{
    pthread_mutex_unlock(&writer->write_lock);
}

int store_write_begin(struct store_writer *writer)
{
    store_write_lock(writer);
    writer->room = NULL;
    return store_run_statement(writer->begin);
}

/* A transaction may have been rolled back by SQLite itself: when the disk was full, for example. */
static void roll_back(struct store_writer *writer)
{
    if (!sqlite3_get_autocommit(writer->db))
        store_run_statement(writer->rollback);
}

enum store_result store_write_end(struct store_writer *writer, int rc)
{
    if (rc == SQLITE_OK)
        rc = store_run_statement(writer->commit);
    if (rc != SQLITE_OK) {
        snprintf(writer->failure, sizeof(writer->failure), "%s (%d)", sqlite3_errstr(rc), rc);
        roll_back(writer);
    }
    store_write_unlock(writer);
    return store_result_of(rc);
}

/* ---- Messages ---- */

/* Writes the row of a room; makes it again if it was deleted, because the room had no messages. */
static int set_room(struct store_writer *writer, const struct store_room *room)
{
    sqlite3_stmt *set = writer->set_room;
    sqlite3_bind_int64(set, 1, room->key);
    sqlite3_bind_text(set, 2, room->name, -1, SQLITE_STATIC);
    sqlite3_bind_text(set, 3, room->epoch, -1, SQLITE_STATIC);
    sqlite3_bind_int64(set, 4, (sqlite3_int64)room->last_id);
    sqlite3_bind_int64(set, 5, net_wall_ms());
    return store_run_statement(set);
}

/* Writes the row of the room whose messages were added, if it is another one than `next`. */
static int finish_room(struct store_writer *writer, struct store_room *next)
{
    struct store_room *room = writer->room;
    writer->room = next;
    return room && room != next ? set_room(writer, room) : SQLITE_OK;
}

enum store_result store_begin(struct store *store)
{
    int rc = store_write_begin(&store->writer);
    return rc == SQLITE_OK ? STORE_OK : store_write_end(&store->writer, rc);
}

enum store_result store_add(struct store *store, struct store_room *room, uint64_t id,
                            int64_t time_ms, const char *body, size_t len)
{
    struct store_writer *writer = &store->writer;
    sqlite3_stmt *add = writer->add;
    int rc = len > store->body_max ? SQLITE_TOOBIG : finish_room(writer, room);
    if (rc == SQLITE_OK) {
        sqlite3_bind_int64(add, 1, room->key);
        sqlite3_bind_int64(add, 2, (sqlite3_int64)id);
        sqlite3_bind_int64(add, 3, time_ms);
        sqlite3_bind_text(add, 4, body, (int)len, SQLITE_STATIC);
        rc = store_run_statement(add);
        sqlite3_clear_bindings(add);
    }
    if (rc != SQLITE_OK)
        return store_write_end(writer, rc);
    room->last_id = id;
    return STORE_OK;
}

enum store_result store_commit(struct store *store)
{
    return store_write_end(&store->writer, finish_room(&store->writer, NULL));
}

const char *store_failure(const struct store *store)
{
    return store->writer.failure;
}

/* ---- Rooms ---- */

enum store_result store_new_epoch(struct store *store, const struct store_room *room)
{
    struct store_writer *writer = &store->writer;
    int rc = store_write_begin(writer);
    if (rc == SQLITE_OK)
        rc = set_room(writer, room);
    return store_write_end(writer, rc);
}

/* Makes the row of a room, unless another thread has made it meanwhile; then *made is false. */
static enum store_result make_room(struct store *store, struct store_room *room, bool *made)
{
    struct store_writer *writer = &store->writer;
    int rc = store_write_begin(writer);
    if (rc == SQLITE_OK) {
        sqlite3_bind_text(writer->make_room, 1, room->name, -1, SQLITE_STATIC);
        sqlite3_bind_text(writer->make_room, 2, room->epoch, -1, SQLITE_STATIC);
        sqlite3_bind_int64(writer->make_room, 3, net_wall_ms());
        rc = store_run_statement(writer->make_room);
        *made = sqlite3_changes(writer->db) > 0;
        room->key = sqlite3_last_insert_rowid(writer->db);
        room->last_id = 0;
    }
    return store_write_end(writer, rc);
}

/* A room that was stored, but has no epoch any more, gets the one that the caller gave. */
enum store_result store_room_open(struct store *store, const char *name, struct store_room *room)
{
    struct store_room stored;
    bool made = true;
    enum store_result result = store_find_room(store, name, &stored);
    if (result != STORE_OK)
        return result;
    snprintf(stored.name, sizeof(stored.name), "%s", name);
    bool keeps_epoch = stored.epoch[0] != '\0';
    if (!keeps_epoch)
        memcpy(stored.epoch, room->epoch, sizeof(stored.epoch));
    *room = stored;
    if (room->key == 0) {
        result = make_room(store, room, &made);
        return result == STORE_OK && !made ? store_room_open(store, name, room) : result;
    }
    return keeps_epoch ? STORE_OK : store_new_epoch(store, room);
}

/* ---- FILE.trust ---- */

bool store_distrust(struct store *store)
{
    store_write_lock(&store->writer);
    store->is_complete = false;
    bool is_cleared = store_trust_clear(&store->trust);
    store_write_unlock(&store->writer);
    return is_cleared;
}

enum store_result store_trust(struct store *store)
{
    store_write_lock(&store->writer);
    store->is_complete = store_trust_write(&store->trust);
    bool is_complete = store->is_complete;
    store_write_unlock(&store->writer);
    return is_complete ? STORE_OK : STORE_FAILED;
}
