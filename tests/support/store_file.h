/* SPDX-License-Identifier: MIT
 *
 * store_file.h - a history file in a folder of its own, and messages for it.
 */
#ifndef STORE_FILE_H
#define STORE_FILE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "store/store_parts.h"

enum { STORE_FILE_BODY_MAX = 65536 };

static char store_folder[64];
static char store_path[96]; /* of the history file in it */

static inline int no_sync(int fd)
{
    (void)fd;
    return 0;
}

/* Has SQLite sync nothing, for tests that do not need it: a sync takes milliseconds. */
static inline void skip_syncs(void)
{
    sqlite3_vfs *vfs;
    sqlite3_initialize();
    vfs = sqlite3_vfs_find(NULL);
    vfs->xSetSystemCall(vfs, "fsync", (sqlite3_syscall_ptr)no_sync);
    vfs->xSetSystemCall(vfs, "fdatasync", (sqlite3_syscall_ptr)no_sync);
}

/* For setup and teardown of a test. */
static inline int make_folder_below(const char *parent)
{
    snprintf(store_folder, sizeof(store_folder), "%s/ragnarok-store-XXXXXX", parent);
    if (!mkdtemp(store_folder))
        return -1;
    snprintf(store_path, sizeof(store_path), "%s/history.db", store_folder);
    return 0;
}

static inline int make_store_folder(void **state)
{
    (void)state;
    return make_folder_below("/tmp");
}

/* The same in memory, where nothing has to be synced, for tests that need little room. */
static inline int make_quick_store_folder(void **state)
{
    (void)state;
    return make_folder_below(access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
}

static inline int remove_store_folder(void **state)
{
    char command[128];
    (void)state;
    snprintf(command, sizeof(command), "rm -rf %s", store_folder);
    return system(command); // NOLINT(cert-env33-c): a path of our own
}

static inline struct store_options store_defaults(void)
{
    return (struct store_options){
        .file = store_path, .hours = 168, .messages = 10000, .body_max = STORE_FILE_BODY_MAX};
}

static inline struct store *open_store(const struct store_options *options)
{
    char why[STORE_WHY_MAX] = "";
    struct store *store = store_open(options, why);
    if (!store)
        fail_msg("%s", why);
    store->reader.query_ms = 60000; /* on a busy machine a query may wait long */
    return store;
}

/* Opens it, which must fail with an error that contains `text`. */
static inline void assert_refused(const struct store_options *options, const char *text)
{
    char why[STORE_WHY_MAX] = "";
    struct store *store = store_open(options, why);
    if (store)
        fail_msg("it was opened");
    if (!strstr(why, text))
        fail_msg("expected \"%s\" in: %s", text, why);
}

#define STORE_EPOCH_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define STORE_EPOCH_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static inline struct store_room open_store_room(struct store *store, const char *name,
                                                const char *epoch)
{
    struct store_room room = {0};
    memcpy(room.epoch, epoch, sizeof(room.epoch));
    assert_int_equal(store_room_open(store, name, &room), STORE_OK);
    return room;
}

static inline int write_store_body(char *out, size_t size, uint64_t id, const char *text)
{
    return snprintf(out, size,
                    "{\"msgType\":\"Broadcast\",\"SrcUser\":\"ana\",\"TgtUser\":\"\","
                    "\"text\":\"%s\",\"Id\":%llu,\"Time\":1764500000000}",
                    text, (unsigned long long)id);
}

static inline enum store_result add_message(struct store *store, struct store_room *room,
                                            uint64_t id, int64_t time_ms, const char *text)
{
    static char body[2 * STORE_FILE_BODY_MAX];
    int len = write_store_body(body, sizeof(body), id, text);
    return store_add(store, room, id, time_ms, body, (size_t)len);
}

/* Stores messages with the Ids after the last one, "text ID", in one transaction. */
static inline void add_messages(struct store *store, struct store_room *room, int count,
                                int64_t time_ms)
{
    char text[64];
    assert_int_equal(store_begin(store), STORE_OK);
    for (int i = 0; i < count; i++) {
        snprintf(text, sizeof(text), "text %llu", (unsigned long long)room->last_id + 1);
        assert_int_equal(add_message(store, room, room->last_id + 1, time_ms, text), STORE_OK);
    }
    assert_int_equal(store_commit(store), STORE_OK);
}

/* What store_read has handed on. */
struct store_rows {
    uint64_t first, last, rest;
    int count, most; /* most: row() returns false then; 0: never */
    bool ascending;
    char body[512]; /* of the last one */
};

static inline bool take_row(void *context, uint64_t id, int64_t time_ms, const char *body,
                            size_t len)
{
    struct store_rows *rows = context;
    (void)time_ms;
    rows->ascending = rows->count == 0 || (rows->ascending && id > rows->last);
    if (rows->count++ == 0)
        rows->first = id;
    rows->last = id;
    snprintf(rows->body, sizeof(rows->body), "%.*s", (int)len, body);
    return rows->count != rows->most;
}

static inline struct store_rows read_rows(struct store *store, const struct store_room *room,
                                          uint64_t before, int count, size_t bytes,
                                          const char *words)
{
    struct store_rows rows = {0};
    struct store_query query = {before, count, bytes, words};
    assert_int_equal(store_read(store, room, &query, take_row, &rows, &rows.rest), STORE_OK);
    assert_true(rows.count == 0 || rows.ascending);
    return rows;
}

/* The content of the history file, or of a file beside it, NUL-terminated; the caller frees it. */
static inline char *read_store_file(const char *ending, size_t *len)
{
    char path[128];
    snprintf(path, sizeof(path), "%s%s", store_path, ending);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    fseek(file, 0, SEEK_END);
    *len = (size_t)ftell(file);
    rewind(file);
    char *bytes = malloc(*len + 1);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, *len, file), *len);
    bytes[*len] = '\0';
    fclose(file);
    return bytes;
}

static inline void write_store_file(const char *ending, const char *bytes, size_t len)
{
    char path[128];
    snprintf(path, sizeof(path), "%s%s", store_path, ending);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

/* Runs SQL on the file with a connection of our own, as an owner or an attacker would. */
static inline void change_store_file(const char *sql)
{
    sqlite3 *db;
    char *error = NULL;
    assert_int_equal(sqlite3_open(store_path, &db), SQLITE_OK);
    sqlite3_busy_timeout(db, 5000);
    if (sqlite3_exec(db, sql, NULL, NULL, &error) != SQLITE_OK)
        fail_msg("%s: %s", sql, error);
    sqlite3_close(db);
}

/* The whole number that a query answers. */
static inline int64_t ask_store_file(const char *sql)
{
    sqlite3 *db;
    sqlite3_stmt *row;
    assert_int_equal(sqlite3_open(store_path, &db), SQLITE_OK);
    sqlite3_busy_timeout(db, 5000);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &row, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(row), SQLITE_ROW);
    int64_t number = sqlite3_column_int64(row, 0);
    sqlite3_finalize(row);
    sqlite3_close(db);
    return number;
}

#endif
