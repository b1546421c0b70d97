/* SPDX-License-Identifier: MIT
 *
 * store_read.c - pages of messages out of the history file.
 *
 * Any thread, one at a time: under the reader's lock rows are copied to memory, then it is
 * released, and the copies are checked and handed on. What is read is not trusted.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "json_msg.h"
#include "lib/hex.h"
#include "lib/json/json.h"
#include "net/socket.h"
#include "store/store_parts.h"

/* Ids are below it, so that a server that gives one each microsecond still has 140 years. */
static const sqlite3_int64 ID_END = (sqlite3_int64)1 << 52;

enum {
    CLOCK_STEPS = 1000,          /* instructions of SQLite's machine between looks at the clock */
    BAD_ROWS_LOG_MS = 60 * 1000, /* at least between two lines about rows left out */
};

/* ---- Statements ---- */

int store_reader_prepare(struct store_reader *reader)
{
    const struct store_statement wanted[] = {
        {&reader->room, "SELECT key, epoch, max(last_id, (SELECT coalesce(max(id), 0) FROM message "
                        "WHERE message.room=key)) FROM room WHERE name=?"},
        {&reader->page, "SELECT id, time, body FROM message WHERE room=? AND id<? AND id>0 "
                        "ORDER BY id DESC LIMIT ?"},
        {&reader->range, "SELECT id, time, body FROM message WHERE room=? AND id>=? AND id<? "
                         "AND id>0 ORDER BY id DESC"},
        {&reader->filter, "SELECT block, grams FROM search WHERE room=? AND block<=? AND block>=0 "
                          "ORDER BY block DESC"},
        {&reader->below, "SELECT max(id) FROM message WHERE room=? AND id<?"},
        {&reader->oldest, "SELECT min(id) FROM message WHERE room=? AND id>0"},
    };
    return store_prepare_all(reader->db, wanted, sizeof(wanted) / sizeof(wanted[0]));
}

void store_reader_finalize(struct store_reader *reader)
{
    sqlite3_stmt **all[] = {&reader->room,   &reader->page,  &reader->range,
                            &reader->filter, &reader->below, &reader->oldest};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        sqlite3_finalize(*all[i]);
        *all[i] = NULL;
    }
}

static int is_late(void *context)
{
    const struct store_reader *reader = context;
    return net_now() > reader->deadline;
}

static void begin_query(struct store_reader *reader)
{
    pthread_mutex_lock(&reader->read_lock);
    reader->deadline = net_now() + reader->query_ms;
    sqlite3_progress_handler(reader->db, CLOCK_STEPS, is_late, reader);
}

static void end_query(struct store_reader *reader)
{
    sqlite3_progress_handler(reader->db, 0, NULL, NULL);
    pthread_mutex_unlock(&reader->read_lock);
}

/* ---- Rooms ---- */

static bool is_epoch(const char *text)
{
    unsigned char bytes[STORE_EPOCH_LEN / 2];
    return text && hex_read(bytes, sizeof(bytes), text);
}

sqlite3_int64 store_clamp_id(uint64_t id)
{
    return id > INT64_MAX ? INT64_MAX : (sqlite3_int64)id;
}

enum store_result store_find_room(struct store *store, const char *name, struct store_room *room)
{
    struct store_reader *reader = &store->reader;
    bool is_damaged = false;
    memset(room, 0, sizeof(*room));
    begin_query(reader);
    sqlite3_bind_text(reader->room, 1, name, -1, SQLITE_STATIC);
    int rc = sqlite3_step(reader->room);
    if (rc == SQLITE_ROW) {
        const char *epoch = (const char *)sqlite3_column_text(reader->room, 1);
        sqlite3_int64 last_id = sqlite3_column_int64(reader->room, 2);
        room->key = sqlite3_column_int64(reader->room, 0);
        is_damaged = room->key <= 0 || last_id >= ID_END;
        room->last_id = last_id > 0 ? (uint64_t)last_id : 0;
        if (is_epoch(epoch))
            memcpy(room->epoch, epoch, sizeof(room->epoch));
    }
    rc = sqlite3_reset(reader->room);
    end_query(reader);
    return is_damaged ? STORE_CORRUPT : store_result_of(rc);
}

enum store_result store_oldest(struct store *store, const struct store_room *room, uint64_t *id)
{
    struct store_reader *reader = &store->reader;
    *id = 0;
    begin_query(reader);
    sqlite3_bind_int64(reader->oldest, 1, room->key);
    if (sqlite3_step(reader->oldest) == SQLITE_ROW)
        *id = (uint64_t)sqlite3_column_int64(reader->oldest, 0);
    int rc = sqlite3_reset(reader->oldest);
    end_query(reader);
    return store_result_of(rc);
}

/* ---- Pages ---- */

bool store_row_is_good(uint64_t id, const char *body, size_t len)
{
    struct json_object object;
    struct json_error wrong;
    return json_parse_message(&object, body, len, &wrong) == 0 &&
           json_equals(&object, "msgType", "Broadcast") && json_get_uint(&object, "Id") == id;
}

void store_note_bad_row(struct store *store)
{
    int64_t now = net_now(), logged = atomic_load(&store->bad_rows_logged);
    unsigned count = atomic_fetch_add(&store->bad_rows, 1) + 1;
    if (logged != 0 && now - logged < BAD_ROWS_LOG_MS)
        return;
    if (!atomic_compare_exchange_strong(&store->bad_rows_logged, &logged, now))
        return;
    atomic_fetch_sub(&store->bad_rows, count);
    log_event(LOG_LEVEL_WARN, "history_rows", "left_out=%u why=\"not messages of this server\"",
              count);
}

void store_page_free(struct store_page *page)
{
    free(page->rows);
    free(page->bytes);
    memset(page, 0, sizeof(*page));
}

/* Copies a message. Returns false when memory is out. */
bool store_page_add(struct store_page *page, uint64_t id, int64_t time_ms, const char *body,
                    size_t len)
{
    if (page->count == page->rows_room) {
        size_t room = page->rows_room ? 2 * page->rows_room : 64;
        struct store_page_row *rows = realloc(page->rows, room * sizeof(*rows));
        if (!rows)
            return false;
        page->rows = rows;
        page->rows_room = room;
    }
    if (!page->bytes || page->bytes_room - page->len < len) {
        size_t room = 2 * page->bytes_room + len + 4096;
        char *bytes = realloc(page->bytes, room);
        if (!bytes)
            return false;
        page->bytes = bytes;
        page->bytes_room = room;
    }
    memcpy(page->bytes + page->len, body, len);
    page->rows[page->count++] = (struct store_page_row){id, time_ms, page->len, len};
    page->len += len;
    return true;
}

/* Copies rows from the statement in progress, until the page is full. Sets *rest to the Id of the
 * oldest row, if there may be more. Returns a code of SQLite: SQLITE_DONE when there is no more
 * row, SQLITE_ROW when the page is full. */
static int collect(struct store *store, const struct store_query *query, struct store_page *page,
                   uint64_t *rest)
{
    sqlite3_stmt *row = store->reader.page;
    int rc;
    while ((rc = sqlite3_step(row)) == SQLITE_ROW) {
        uint64_t id = (uint64_t)sqlite3_column_int64(row, 0);
        const char *body = (const char *)sqlite3_column_text(row, 2);
        size_t len = (size_t)sqlite3_column_bytes(row, 2);
        bool has_room = page->count == 0 || page->len + len <= query->bytes;
        if (page->count == (size_t)query->count || !has_room)
            break;
        if (id >= *rest)
            return SQLITE_CORRUPT; /* rows out of order */
        *rest = id;
        if (!body || len > store->body_max)
            store_note_bad_row(store);
        else if (!store_page_add(page, id, sqlite3_column_int64(row, 1), body, len))
            return SQLITE_NOMEM;
    }
    return rc;
}

int store_skip_huge_row(struct store *store, const struct store_room *room, uint64_t *rest)
{
    sqlite3_stmt *below = store->reader.below;
    sqlite3_bind_int64(below, 1, room->key);
    sqlite3_bind_int64(below, 2, store_clamp_id(*rest));
    sqlite3_int64 id = sqlite3_step(below) == SQLITE_ROW ? sqlite3_column_int64(below, 0) : 0;
    *rest = id > 0 && (uint64_t)id < *rest ? (uint64_t)id : 0;
    store_note_bad_row(store);
    return sqlite3_reset(below);
}

static int read_page(struct store *store, const struct store_room *room,
                     const struct store_query *query, struct store_page *page, uint64_t *rest)
{
    sqlite3_stmt *statement = store->reader.page;
    int rc;
    *rest = query->before;
    do {
        sqlite3_bind_int64(statement, 1, room->key);
        sqlite3_bind_int64(statement, 2, store_clamp_id(*rest));
        sqlite3_bind_int(statement, 3, STORE_PAGE_MAX + 1);
        rc = collect(store, query, page, rest);
        sqlite3_reset(statement);
    } while (rc == SQLITE_TOOBIG && (rc = store_skip_huge_row(store, room, rest)) == SQLITE_OK &&
             *rest > 0);
    if (rc == SQLITE_DONE)
        *rest = 0;
    return rc;
}

/* Hands on the copies, the last of which is the oldest. */
static void hand_on(struct store *store, const struct store_page *page, store_row_fn *row,
                    void *context)
{
    for (size_t i = page->count; i-- > 0;) {
        const struct store_page_row *at = &page->rows[i];
        const char *body = page->bytes + at->offset;
        if (!store_row_is_good(at->id, body, at->len))
            store_note_bad_row(store);
        else if (!row(context, at->id, at->time_ms, body, at->len))
            return;
    }
}

enum store_result store_read(struct store *store, const struct store_room *room,
                             const struct store_query *query, store_row_fn *row, void *context,
                             uint64_t *rest)
{
    struct store_page page = {0};
    struct store_query bounded = *query;
    if (bounded.count > STORE_PAGE_MAX)
        bounded.count = STORE_PAGE_MAX;
    begin_query(&store->reader);
    int rc = query->words ? store_search(store, room, &bounded, &page, rest)
                          : read_page(store, room, &bounded, &page, rest);
    end_query(&store->reader);
    enum store_result result = store_result_of(rc);
    if (result == STORE_LATE && *rest < query->before)
        result = STORE_OK; /* a part of the answer, and where to go on */
    if (result == STORE_OK)
        hand_on(store, &page, row, context);
    store_page_free(&page);
    return result;
}
