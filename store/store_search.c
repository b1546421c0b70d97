/* SPDX-License-Identifier: MIT
 *
 * store_search.c - finds messages by a part of their text.
 *
 * Called under the reader's lock. Goes from the newest message to the oldest. Where the index has a
 * filter (store_grams.c) for a block of messages which says that the words are not in it, the block
 * is skipped; each other message is folded and looked through. So the index makes a search fast,
 * and is not needed for a right answer: the newest messages, which are in no full block yet, and a
 * file without an index are looked through one by one.
 */
#include <stdlib.h>
#include <string.h>

#include "net/socket.h"
#include "store/store_parts.h"

/* A search in progress. */
struct search {
    struct store *store;
    const struct store_room *room;
    const struct store_query *query;
    struct store_page *page;
    uint64_t end; /* messages from this Id on were looked at */
    bool is_full; /* the answer has all that it may have */
};

static bool is_query_over(const struct search *search)
{
    return net_now() > search->store->reader.deadline;
}

/* Looks at the message of the row in progress, whose Id must be below the one before and not below
 * `from`: in a damaged file it may be. Returns a code of SQLite. */
static int look_at(struct search *search, sqlite3_stmt *row, uint64_t from)
{
    struct store_page *page = search->page;
    const struct store_query *query = search->query;
    uint64_t id = (uint64_t)sqlite3_column_int64(row, 0);
    const char *body = (const char *)sqlite3_column_text(row, 2);
    size_t len = (size_t)sqlite3_column_bytes(row, 2);
    if (id >= search->end || id < from)
        return SQLITE_CORRUPT;
    char *text = body && len <= search->store->body_max ? store_folded_text(body, len) : NULL;
    bool found = text && strstr(text, query->words);
    free(text);
    search->is_full = found && (page->count == (size_t)query->count ||
                                (page->count > 0 && page->len + len > query->bytes));
    if (search->is_full)
        return SQLITE_OK;
    if (found && !store_page_add(page, id, sqlite3_column_int64(row, 1), body, len))
        return SQLITE_NOMEM;
    search->end = id;
    return is_query_over(search) ? SQLITE_INTERRUPT : SQLITE_OK;
}

/* Looks at the messages with Ids from `from` up to search->end, from the newest on. */
static int scan(struct search *search, uint64_t from)
{
    sqlite3_stmt *row = search->store->reader.range;
    int rc;
    do {
        sqlite3_bind_int64(row, 1, search->room->key);
        sqlite3_bind_int64(row, 2, (sqlite3_int64)from);
        sqlite3_bind_int64(row, 3, store_clamp_id(search->end));
        while ((rc = sqlite3_step(row)) == SQLITE_ROW)
            if ((rc = look_at(search, row, from)) != SQLITE_OK || search->is_full)
                break;
        sqlite3_reset(row);
    } while (rc == SQLITE_TOOBIG &&
             (rc = store_skip_huge_row(search->store, search->room, &search->end)) == SQLITE_OK &&
             search->end > from);
    if (rc == SQLITE_DONE && from < search->end)
        search->end = from;
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static bool filter_excludes(sqlite3_stmt *filter, const char *words, size_t len)
{
    const unsigned char *grams = sqlite3_column_blob(filter, 1);
    return grams && sqlite3_column_bytes(filter, 1) == STORE_GRAMS_SIZE &&
           !store_grams_match(grams, words, len);
}

/* Goes through the blocks that have a filter, and between them through those that have none. */
static int search_blocks(struct search *search, sqlite3_stmt *filter, size_t len)
{
    int rc = SQLITE_OK;
    while (rc == SQLITE_OK && !search->is_full && search->end > 0) {
        int step = sqlite3_step(filter);
        if (step == SQLITE_DONE)
            return scan(search, 0);
        if (step != SQLITE_ROW)
            return step;
        uint64_t block = (uint64_t)sqlite3_column_int64(filter, 0);
        uint64_t first = block * STORE_BLOCK, next = first + STORE_BLOCK;
        if (first >= search->end)
            return SQLITE_CORRUPT; /* filters out of order */
        if (next < search->end)
            rc = scan(search, next);
        if (rc != SQLITE_OK || search->is_full)
            break;
        if (!filter_excludes(filter, search->query->words, len))
            rc = scan(search, first);
        else if (first < search->end)
            search->end = first;
        if (rc == SQLITE_OK && is_query_over(search))
            rc = SQLITE_INTERRUPT;
    }
    return rc;
}

int store_search(struct store *store, const struct store_room *room,
                 const struct store_query *query, struct store_page *page, uint64_t *rest)
{
    sqlite3_stmt *filter = store->reader.filter;
    size_t len = strnlen(query->words, STORE_WORDS_MAX + 1);
    struct search search = {.store = store, .room = room, .query = query, .page = page};
    *rest = 0;
    if (len < STORE_WORDS_MIN || len > STORE_WORDS_MAX || query->before == 0)
        return SQLITE_OK;
    search.end = (uint64_t)store_clamp_id(query->before);
    sqlite3_bind_int64(filter, 1, room->key);
    sqlite3_bind_int64(filter, 2, (sqlite3_int64)((search.end - 1) / STORE_BLOCK));
    int rc = search_blocks(&search, filter, len);
    sqlite3_reset(filter);
    *rest = search.end;
    return rc;
}
