/* SPDX-License-Identifier: MIT
 *
 * store_index.c - makes the filters that searches skip blocks of messages with (store_grams.c).
 *
 * Only the cleaner's thread enters it. It reads on its own connection, and takes the writer's lock
 * to store up to BATCH filters. A block gets its filter when the next block has begun, so what is
 * stored now costs nothing more.
 */
#include <stdlib.h>
#include <string.h>

#include "net/socket.h"
#include "store/store_parts.h"

enum { BATCH = 16 }; /* filters in one transaction */

/* Filters to be stored. */
struct filter_batch {
    int count;
    sqlite3_int64 blocks[BATCH];
    unsigned char grams[BATCH][STORE_GRAMS_SIZE];
};

/* Fills a zeroed filter with the texts of a block. *count: how many messages it has. */
static int fill_filter(const struct store *store, sqlite3_stmt *bodies, sqlite3_int64 room,
                       sqlite3_int64 block, unsigned char *grams, int *count)
{
    sqlite3_bind_int64(bodies, 1, room);
    sqlite3_bind_int64(bodies, 2, block * STORE_BLOCK);
    sqlite3_bind_int64(bodies, 3, block * STORE_BLOCK + STORE_BLOCK - 1);
    *count = 0;
    while (sqlite3_step(bodies) == SQLITE_ROW) {
        const char *body = (const char *)sqlite3_column_text(bodies, 0);
        size_t len = (size_t)sqlite3_column_bytes(bodies, 0);
        char *text = body && len <= store->body_max ? store_folded_text(body, len) : NULL;
        if (text)
            store_grams_add(grams, text, strlen(text));
        free(text);
        ++*count;
    }
    return sqlite3_reset(bodies);
}

static int put_filter(struct store *store, sqlite3_int64 room, sqlite3_int64 block,
                      const unsigned char *grams)
{
    sqlite3_stmt *put = store->cleaner.put_filter;
    sqlite3_bind_int64(put, 1, room);
    sqlite3_bind_int64(put, 2, block);
    sqlite3_bind_blob(put, 3, grams, STORE_GRAMS_SIZE, SQLITE_STATIC);
    int rc = store_run_statement(put);
    sqlite3_clear_bindings(put);
    return rc;
}

int store_index_again(struct store *store, sqlite3_int64 room, sqlite3_int64 block)
{
    struct store_cleaner *cleaner = &store->cleaner;
    unsigned char grams[STORE_GRAMS_SIZE] = {0};
    int count;
    sqlite3_bind_int64(cleaner->drop_filter, 1, room);
    sqlite3_bind_int64(cleaner->drop_filter, 2, block);
    int rc = store_run_statement(cleaner->drop_filter);
    if (rc != SQLITE_OK || sqlite3_changes(store->writer.db) == 0)
        return rc; /* it had none */
    rc = fill_filter(store, cleaner->left_bodies, room, block, grams, &count);
    return rc == SQLITE_OK && count > 0 ? put_filter(store, room, block, grams) : rc;
}

/* Collects filters of the room's full blocks from *block on. Leaves *block behind the last one. */
static int collect_filters(struct store *store, sqlite3_int64 room, sqlite3_int64 newest,
                           sqlite3_int64 *block, struct filter_batch *batch)
{
    struct store_cleaner *cleaner = &store->cleaner;
    int rc = SQLITE_OK, ignored;
    for (batch->count = 0; rc == SQLITE_OK && batch->count < BATCH; ++*block) {
        sqlite3_int64 first = 0;
        sqlite3_bind_int64(cleaner->first, 1, room);
        sqlite3_bind_int64(cleaner->first, 2, *block * STORE_BLOCK);
        rc = store_ask_number(cleaner->first, &first);
        *block = first / STORE_BLOCK;
        if (rc != SQLITE_OK || first <= 0 || *block >= newest / STORE_BLOCK)
            return rc;
        memset(batch->grams[batch->count], 0, STORE_GRAMS_SIZE);
        rc =
            fill_filter(store, cleaner->bodies, room, *block, batch->grams[batch->count], &ignored);
        batch->blocks[batch->count++] = *block;
    }
    return rc;
}

static int store_filters(struct store *store, sqlite3_int64 room, const struct filter_batch *batch)
{
    int rc = store_write_begin(&store->writer);
    for (int i = 0; rc == SQLITE_OK && i < batch->count; i++)
        rc = put_filter(store, room, batch->blocks[i], batch->grams[i]);
    return store_write_end(&store->writer, rc) == STORE_OK ? SQLITE_OK : SQLITE_ERROR;
}

/* Makes the filters of a room, as far as `until` allows. *is_done: all of them. */
static int index_room(struct store *store, sqlite3_int64 room, struct filter_batch *batch,
                      int64_t until, bool *is_done)
{
    struct store_cleaner *cleaner = &store->cleaner;
    sqlite3_int64 newest = 0, block = -1;
    sqlite3_bind_int64(cleaner->newest, 1, room);
    int rc = store_ask_number(cleaner->newest, &newest);
    sqlite3_bind_int64(cleaner->indexed, 1, room);
    if (rc == SQLITE_OK)
        rc = store_ask_number(cleaner->indexed, &block);
    *is_done = true;
    if (rc != SQLITE_OK || block >= newest / STORE_BLOCK)
        return rc;
    for (block = block < 0 ? 0 : block + 1; rc == SQLITE_OK;) {
        rc = collect_filters(store, room, newest, &block, batch);
        if (rc != SQLITE_OK || batch->count == 0)
            break;
        rc = store_filters(store, room, batch);
        *is_done = net_now() <= until && !atomic_load(&cleaner->is_stopping);
        if (!*is_done)
            break;
    }
    return rc;
}

bool store_index(struct store *store, int64_t until)
{
    struct filter_batch *batch = store->search ? malloc(sizeof(*batch)) : NULL;
    sqlite3_int64 room = 0;
    bool is_done = true;
    while (batch && is_done) {
        sqlite3_int64 next = 0;
        sqlite3_bind_int64(store->cleaner.rooms, 1, room);
        if (store_ask_number(store->cleaner.rooms, &next) != SQLITE_OK || next <= room)
            break;
        room = next;
        if (index_room(store, room, batch, until, &is_done) != SQLITE_OK)
            break; /* again in the next round */
    }
    free(batch);
    return is_done;
}
