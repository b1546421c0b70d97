/* SPDX-License-Identifier: MIT
 *
 * store_schema.c - the tables of the history file. docs/HISTORY.md describes them.
 *
 * Main thread, no locks. In a file that exists, each table and index must have exactly the
 * definition that is written here, and no other index or trigger may belong to them: a definition
 * is a program that SQLite runs.
 */
#include <stdio.h>
#include <string.h>

#include "store/store_parts.h"

/* Keys of rooms are not given twice (AUTOINCREMENT): a room whose row was deleted may come back. */
static const struct {
    const char *name, *sql;
} objects[] = {
    {"room", "CREATE TABLE room(key INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, "
             "epoch TEXT NOT NULL, last_id INTEGER NOT NULL, used INTEGER NOT NULL)"},
    {"message", "CREATE TABLE message(room INTEGER NOT NULL, id INTEGER NOT NULL, "
                "time INTEGER NOT NULL, body TEXT NOT NULL, PRIMARY KEY(room, id)) WITHOUT ROWID"},
    {"message_time", "CREATE INDEX message_time ON message(time)"},
    {"search", "CREATE TABLE search(room INTEGER NOT NULL, block INTEGER NOT NULL, "
               "grams BLOB NOT NULL, PRIMARY KEY(room, block))"},
    {"run", "CREATE TABLE run(boot TEXT NOT NULL, clean INTEGER NOT NULL, power INTEGER NOT NULL, "
            "token TEXT NOT NULL)"},
};

enum { OBJECTS = sizeof(objects) / sizeof(objects[0]) };

static bool refuse_code(sqlite3 *db, const char *file, int rc, char *why)
{
    if (store_result_of(rc) == STORE_CORRUPT)
        return store_refuse_damaged(why, file, sqlite3_errmsg(db));
    return store_refuse(why, file, "cannot be used: %s", sqlite3_errmsg(db));
}

/* In one transaction, and with a rollback journal still: so the head of the file itself says whose
 * it is as soon as there is one. */
static int make_tables(sqlite3 *db)
{
    char head[128];
    int rc =
        store_exec(db, "PRAGMA page_size=4096; PRAGMA auto_vacuum=INCREMENTAL; BEGIN IMMEDIATE");
    snprintf(head, sizeof(head), "PRAGMA application_id=%d; PRAGMA user_version=%d",
             STORE_APPLICATION_ID, STORE_USER_VERSION);
    if (rc == SQLITE_OK)
        rc = store_exec(db, head);
    for (size_t i = 0; rc == SQLITE_OK && i < OBJECTS; i++)
        rc = store_exec(db, objects[i].sql);
    if (rc == SQLITE_OK)
        rc = store_exec(db, "COMMIT");
    if (!sqlite3_get_autocommit(db))
        store_exec(db, "ROLLBACK");
    return rc;
}

/* Whether it is one of our tables or indexes, or nothing that could touch them. */
static bool is_our_object(const char *type, const char *name, const char *table, const char *sql,
                          size_t *found)
{
    for (size_t i = 0; i < OBJECTS; i++) {
        if (strcmp(name, objects[i].name) != 0)
            continue;
        ++*found;
        return strcmp(sql, objects[i].sql) == 0;
    }
    for (size_t i = 0; i < OBJECTS; i++)
        if (strcmp(table, objects[i].name) == 0)
            return strncmp(name, "sqlite_autoindex_", 17) == 0;
    return strcmp(type, "table") == 0 || strcmp(type, "index") == 0;
}

static const char *text_of_column(sqlite3_stmt *row, int column)
{
    const char *text = (const char *)sqlite3_column_text(row, column);
    return text ? text : "";
}

static bool check_tables(sqlite3 *db, const char *file, char *why)
{
    sqlite3_stmt *row;
    size_t found = 0;
    int rc = sqlite3_prepare_v2(db, "SELECT type, name, tbl_name, sql FROM sqlite_schema", -1, &row,
                                NULL);
    bool known = true;
    while (rc == SQLITE_OK && known && (rc = sqlite3_step(row)) == SQLITE_ROW) {
        known = is_our_object(text_of_column(row, 0), text_of_column(row, 1),
                              text_of_column(row, 2), text_of_column(row, 3), &found);
        rc = SQLITE_OK;
    }
    if (!known)
        store_refuse(why, file,
                     "the %s %s is not one that ragnarok made: drop it, or name another file",
                     text_of_column(row, 0), text_of_column(row, 1));
    sqlite3_finalize(row);
    if (!known)
        return false;
    if (rc != SQLITE_DONE)
        return refuse_code(db, file, rc, why);
    return found == OBJECTS ||
           store_refuse(why, file, "a table is missing: move this file away, or name another one");
}

int64_t store_pragma_number(sqlite3 *db, const char *pragma, int *rc)
{
    sqlite3_stmt *row;
    int64_t number = -1;
    *rc = sqlite3_prepare_v2(db, pragma, -1, &row, NULL);
    if (*rc == SQLITE_OK && (*rc = sqlite3_step(row)) == SQLITE_ROW) {
        number = sqlite3_column_int64(row, 0);
        *rc = SQLITE_OK;
    }
    sqlite3_finalize(row);
    return number;
}

bool store_schema_check(sqlite3 *db, const char *file, char *why)
{
    int rc;
    /* The head of the file can be older than the log, where a newer version may have written. */
    if (store_pragma_number(db, "PRAGMA user_version", &rc) > STORE_USER_VERSION)
        return store_refuse(why, file,
                            "written by a newer version of ragnarok: use that version, or name "
                            "another file");
    return check_tables(db, file, why);
}

bool store_schema_prepare(sqlite3 *db, const char *file, char *why)
{
    int rc;
    int64_t changes = store_pragma_number(db, "PRAGMA schema_version", &rc);
    if (rc == SQLITE_OK && changes == 0)
        rc = make_tables(db);
    if (rc != SQLITE_OK)
        return refuse_code(db, file, rc, why);
    return store_schema_check(db, file, why);
}
