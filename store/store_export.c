/* SPDX-License-Identifier: MIT
 *
 * store_export.c - writes all messages of a history file as lines of JSON.
 *
 * Runs in a process of its own (ragnarok --export), while a server may be writing the file: it
 * reads on one connection, which cannot write, a page in each transaction, so that it is in
 * nobody's way. Takes no locks.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/json/json_writer.h"
#include "store/store_parts.h"

enum {
    EXPORT_MODE = 0600,
    EXPORT_PAGE = 500, /* messages in one transaction */
    EXPORT_CACHE_KIB = 2048,
    EXPORT_BODY_MAX = 16 << 20, /* bytes of a message, the most that max_message_bytes allows */
};

struct export
{
    struct store file; /* of which only the path, the limit and `db` are used */
    sqlite3 *db;
    sqlite3_stmt *rooms, *page;
    FILE *out;
    uint64_t left_out;
};

static int prepare_export(struct export *export)
{
    const struct store_statement wanted[] = {
        {&export->rooms, "SELECT key, name, epoch FROM room WHERE key>? ORDER BY key LIMIT 1"},
        {&export->page, "SELECT id, body FROM message WHERE room=? AND id>? ORDER BY id LIMIT ?"},
    };
    return store_prepare_all(export->db, wanted, sizeof(wanted) / sizeof(wanted[0]));
}

static void close_export(struct export *export)
{
    sqlite3_finalize(export->rooms);
    sqlite3_finalize(export->page);
    sqlite3_close(export->db);
}

/* Opens the history file, which must be there and ours. */
static bool open_export(struct export *export, const char *file, char *why)
{
    if (!store_set_path(&export->file, file, why) ||
        !store_check_file(export->file.file, false, why))
        return false;
    export->file.body_max = EXPORT_BODY_MAX;
    int rc = store_connect(&export->file, &export->db, SQLITE_OPEN_READONLY, EXPORT_CACHE_KIB);
    if (rc != SQLITE_OK)
        return store_refuse(why, export->file.file, "cannot be read: %s",
                            export->db ? sqlite3_errmsg(export->db) : sqlite3_errstr(rc));
    if (!store_schema_check(export->db, export->file.file, why))
        return false;
    rc = prepare_export(export);
    return rc == SQLITE_OK ||
           store_refuse(why, export->file.file, "cannot be read: %s", sqlite3_errmsg(export->db));
}

/* Writes a message as one line: a line break in JSON can only be white space (RFC 8259 §2), because
 * in a string it must be escaped. */
static void export_message(struct export *export, const char *head, const char *body, size_t len)
{
    fputs(head, export->out);
    for (size_t i = 0; i < len; i++)
        putc(body[i] == '\n' || body[i] == '\r' ? ' ' : body[i], export->out);
    fputs("}\n", export->out);
}

/* Writes one page of a room's messages, each behind `head`. *id: the last one before, and behind
 * it. *count: how many there were. Returns a code of SQLite. */
static int export_page(struct export *export, sqlite3_int64 room, const char *head,
                       sqlite3_int64 *id, int *count)
{
    sqlite3_stmt *page = export->page;
    sqlite3_bind_int64(page, 1, room);
    sqlite3_bind_int64(page, 2, *id);
    sqlite3_bind_int(page, 3, EXPORT_PAGE);
    for (*count = 0; sqlite3_step(page) == SQLITE_ROW; ++*count) {
        const char *body = (const char *)sqlite3_column_text(page, 1);
        size_t len = (size_t)sqlite3_column_bytes(page, 1);
        *id = sqlite3_column_int64(page, 0);
        if (body && store_row_is_good((uint64_t)*id, body, len))
            export_message(export, head, body, len);
        else
            export->left_out++;
    }
    return sqlite3_reset(page);
}

/* The part of each line in front of the message; the caller frees it. */
static char *line_head(const char *name, const char *epoch)
{
    struct json_writer w = {0};
    json_write_object(&w, NULL);
    json_write_string(&w, "Room", name);
    json_write_string(&w, "Epoch", epoch);
    json_write_text(&w, ",\"Message\":");
    return json_writer_finish(&w, NULL);
}

static int export_room(struct export *export, sqlite3_int64 room, const char *head)
{
    sqlite3_int64 id = 0;
    int rc, count;
    do {
        rc = export_page(export, room, head, &id, &count);
    } while (rc == SQLITE_OK && count == EXPORT_PAGE && !ferror(export->out));
    return rc;
}

/* The next room, or *key 0. The names of a file that was changed by hand may be no UTF-8. */
static int next_room(struct export *export, sqlite3_int64 *key, char **head)
{
    sqlite3_stmt *rooms = export->rooms;
    sqlite3_bind_int64(rooms, 1, *key);
    *key = 0;
    *head = NULL;
    if (sqlite3_step(rooms) == SQLITE_ROW) {
        const char *name = (const char *)sqlite3_column_text(rooms, 1);
        const char *epoch = (const char *)sqlite3_column_text(rooms, 2);
        *key = sqlite3_column_int64(rooms, 0);
        bool is_named = name && (!*name || !name_check(name, strlen(name)));
        bool is_epoch = epoch && strspn(epoch, "0123456789abcdef") == strlen(epoch);
        *head = line_head(is_named ? name : "?", is_epoch ? epoch : "");
    }
    return sqlite3_reset(rooms);
}

static bool export_rooms(struct export *export, char *why)
{
    sqlite3_int64 key = 0;
    char *head;
    int rc;
    while ((rc = next_room(export, &key, &head)) == SQLITE_OK && key > 0) {
        rc = head ? export_room(export, key, head) : SQLITE_NOMEM;
        free(head);
        if (rc != SQLITE_OK || ferror(export->out))
            break;
    }
    if (store_result_of(rc) == STORE_CORRUPT)
        return store_refuse_damaged(why, export->file.file, sqlite3_errmsg(export->db));
    return rc == SQLITE_OK ||
           store_refuse(why, export->file.file, "cannot be read: %s", sqlite3_errmsg(export->db));
}

static FILE *create_output(const char *path)
{
    if (strcmp(path, "-") == 0)
        return stdout;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, EXPORT_MODE);
    FILE *out = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (fd >= 0 && !out)
        close(fd);
    return out;
}

int store_export(const char *file, const char *path, uint64_t *left_out, char *why)
{
    struct export *export = calloc(1, sizeof(*export));
    bool is_done =
        export ? open_export(export, file, why) : store_refuse(why, file, "memory is out");
    if (is_done && !(export->out = create_output(path)))
        is_done = store_refuse(why, path, "cannot be created: %s", strerror(errno));
    is_done = is_done && export_rooms(export, why);
    if (export && export->out) {
        bool is_written = !ferror(export->out) &&
                          (export->out == stdout ? fflush(stdout) : fclose(export->out)) == 0;
        if (is_done && !is_written)
            is_done = store_refuse(why, path, "cannot be written: %s", strerror(errno));
    }
    *left_out = export ? export->left_out : 0;
    if (export)
        close_export(export);
    free(export);
    return is_done ? 0 : -1;
}
