/* SPDX-License-Identifier: MIT
 *
 * fuzz_store.c - history files of any content, for libFuzzer (`make fuzz`).
 *
 * The first byte chooses: rows of any content in a file that is sound, or a file of which some bytes
 * are overwritten. Then the file is opened and used as a server does. What must hold: a message that
 * is handed on is JSON of this server with its Id, in ascending order and of allowed length; an epoch
 * is one; a refusal names the file; a query goes on below where it ended.
 */
#include "store/store_parts.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

enum { BODY_MAX = 4096, ROWS_MAX = 64, QUERIES_MAX = 200, TEMPLATE_MESSAGES = 200 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char path[64];
static unsigned char *template;
static size_t template_len;

static void require(bool holds)
{
    if (!holds)
        abort();
}

/* ---- The input ---- */

struct input {
    const uint8_t *at;
    size_t left;
};

static uint64_t take_number(struct input *in, size_t bytes)
{
    uint64_t number = 0;
    for (size_t i = 0; i < bytes && in->left > 0; i++, in->left--)
        number = number << 8 | *in->at++;
    return number;
}

/* Up to `most` bytes; their number comes first. */
static const char *take_bytes(struct input *in, size_t most, int *len)
{
    size_t wanted = (size_t)take_number(in, most > 255 ? 2 : 1) % (most + 1);
    const char *bytes = (const char *)in->at;
    if (wanted > in->left)
        wanted = in->left;
    in->at += wanted;
    in->left -= wanted;
    *len = (int)wanted;
    return bytes;
}

/* ---- The file ---- */

static int no_sync(int fd)
{
    (void)fd;
    return 0;
}

static struct store *open_file(char *why)
{
    struct store_options options = {
        .file = path, .search = true, .hours = 1, .messages = 100, .body_max = BODY_MAX};
    return store_open(&options, why);
}

static void write_template(void)
{
    FILE *file = fopen(path, "wb");
    require(file && fwrite(template, 1, template_len, file) == template_len);
    fclose(file);
    char log[80];
    snprintf(log, sizeof(log), "%s-wal", path);
    unlink(log);
}

/* A sound file with a room, messages and filters. */
static void make_template(void)
{
    char why[STORE_WHY_MAX], body[256];
    struct store_room room = {.epoch = "0123456789abcdef0123456789abcdef"};
    struct store *store = open_file(why);
    require(store && store_room_open(store, "", &room) == STORE_OK &&
            store_begin(store) == STORE_OK);
    for (uint64_t id = 1; id <= TEMPLATE_MESSAGES; id++) {
        int len = snprintf(body, sizeof(body),
                           "{\"msgType\":\"Broadcast\",\"SrcUser\":\"a\",\"TgtUser\":\"\",\"text\":"
                           "\"text %llu\",\"Id\":%llu,\"Time\":1}",
                           (unsigned long long)id, (unsigned long long)id);
        require(store_add(store, &room, id, (int64_t)id, body, (size_t)len) == STORE_OK);
    }
    require(store_commit(store) == STORE_OK && store_index(store, INT64_MAX));
    store_close(store, true);
    FILE *file = fopen(path, "rb");
    require(file != NULL);
    fseek(file, 0, SEEK_END);
    template_len = (size_t)ftell(file);
    rewind(file);
    template = malloc(template_len);
    require(template && fread(template, 1, template_len, file) == template_len);
    fclose(file);
}

static void set_up(void)
{
    sqlite3_vfs *vfs;
    snprintf(path, sizeof(path), "%s/fuzz-store-%d",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp", getpid());
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    sqlite3_initialize();
    vfs = sqlite3_vfs_find(NULL);
    vfs->xSetSystemCall(vfs, "fsync", (sqlite3_syscall_ptr)no_sync);
    vfs->xSetSystemCall(vfs, "fdatasync", (sqlite3_syscall_ptr)no_sync);
    log_set_level(LOG_LEVEL_ERROR);
    make_template();
}

/* ---- Any content ---- */

static void overwrite_bytes(struct input *in)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC), len;
    require(fd >= 0);
    while (in->left > 0) {
        off_t at = (off_t)(take_number(in, 3) % template_len);
        const char *bytes = take_bytes(in, 16, &len);
        require(pwrite(fd, bytes, (size_t)len, at) == len);
    }
    close(fd);
}

static void run(sqlite3 *db, const char *sql, int64_t a, int64_t b, int64_t c, const char *bytes,
                int len)
{
    sqlite3_stmt *row;
    require(sqlite3_prepare_v2(db, sql, -1, &row, NULL) == SQLITE_OK);
    sqlite3_bind_int64(row, 1, a);
    sqlite3_bind_int64(row, 2, b);
    sqlite3_bind_int64(row, 3, c);
    sqlite3_bind_text(row, 4, bytes, len, SQLITE_STATIC);
    sqlite3_step(row); /* may break a constraint */
    sqlite3_finalize(row);
}

static void change_rows(struct input *in)
{
    sqlite3 *db;
    int len;
    require(sqlite3_open(path, &db) == SQLITE_OK);
    require(store_exec(db, "BEGIN") == SQLITE_OK);
    for (int i = 0; i < ROWS_MAX && in->left > 0; i++) {
        uint8_t kind = (uint8_t)take_number(in, 1);
        int64_t a = (int64_t)take_number(in, kind & 0x80 ? 8 : 1);
        int64_t b = (int64_t)take_number(in, kind & 0x40 ? 8 : 1);
        const char *bytes = take_bytes(in, kind & 0x20 ? 2 * BODY_MAX : 200, &len);
        if (kind % 8 == 0)
            run(db, "UPDATE room SET last_id=?1, key=?2, epoch=?4", a, b, 0, bytes, len);
        else if (kind % 8 == 1)
            run(db, "INSERT INTO room(last_id,used,epoch,name) VALUES(?1,?2,?3,?4)", a, b, a, bytes,
                len);
        else if (kind % 8 == 2)
            run(db, "INSERT OR REPLACE INTO search(room,block,grams) VALUES(?1,?2,?4)", a, b, 0,
                bytes, len);
        else if (kind % 8 == 3)
            run(db, "INSERT OR REPLACE INTO search(room,block,grams) VALUES(1,?1,zeroblob(3968))",
                a, b, 0, bytes, len);
        else if (kind % 8 == 4)
            run(db, "INSERT INTO run(clean,power,boot,token) VALUES(?1,?2,?3,?4)", a, b, a, bytes,
                len);
        else if (kind % 8 == 5)
            run(db,
                "INSERT OR REPLACE INTO message(room,id,time,body) VALUES(1,?1,?2,CAST(?4 AS "
                "BLOB))",
                a, b, 0, bytes, len);
        else
            run(db, "INSERT OR REPLACE INTO message(room,id,time,body) VALUES(1,?1,?2,?4)", a, b, 0,
                bytes, len);
    }
    store_exec(db, "COMMIT");
    sqlite3_close(db);
}

/* ---- Using it ---- */

static bool check_row(void *context, uint64_t id, int64_t time_ms, const char *body, size_t len)
{
    uint64_t *before = context;
    (void)time_ms;
    require(id > *before && len <= BODY_MAX && body[0] != '\0' && store_row_is_good(id, body, len));
    *before = id;
    return true;
}

static void follow_query(struct store *store, const struct store_room *room, const char *words)
{
    struct store_query query = {UINT64_MAX, 7, 2000, words};
    uint64_t rest;
    for (int i = 0; i < QUERIES_MAX; i++) {
        uint64_t before = 0;
        if (store_read(store, room, &query, check_row, &before, &rest) != STORE_OK || rest == 0)
            return;
        require(rest < query.before && before < query.before);
        query.before = rest;
    }
}

static void use_store(struct store *store)
{
    struct store_room room = {.epoch = "fedcba9876543210fedcba9876543210"};
    uint64_t oldest;
    if (store_room_open(store, "", &room) == STORE_OK) {
        require(strlen(room.epoch) == STORE_EPOCH_LEN && room.key != 0);
        require(strspn(room.epoch, "0123456789abcdef") == STORE_EPOCH_LEN);
        follow_query(store, &room, NULL);
        follow_query(store, &room, "text 1");
        store_oldest(store, &room, &oldest);
        store_index(store, INT64_MAX);
        follow_query(store, &room, "ext");
        store_retain(store, 3600 * 1000 + 50);
        follow_query(store, &room, NULL);
    }
    store_close(store, true);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    char why[STORE_WHY_MAX] = "";
    if (!template)
        set_up();
    write_template();
    if (take_number(&in, 1) % 2)
        overwrite_bytes(&in);
    else
        change_rows(&in);
    struct store *store = open_file(why);
    if (store)
        use_store(store);
    else
        require(strstr(why, path) != NULL);
    return 0;
}
