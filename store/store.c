/* SPDX-License-Identifier: MIT
 *
 * store.c - opens and closes the history file.
 *
 * store_open runs in the main thread before the sandbox, store_close after all other threads have
 * left the store. Neither takes a lock.
 *
 * A foreign file must stay as it is, and SQLite changes some by opening them (a journal of a crash
 * is rolled back, a write-ahead log is copied into the file). So the first 100 bytes are read
 * before SQLite sees the file.
 */
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "net/file.h"
#include "net/random.h"
#include "net/socket.h"
#include "store/store_parts.h"

enum {
    FILE_MODE = 0600,
    HEAD_SIZE = 100,        /* the head of a database, https://sqlite.org/fileformat.html §1.3 */
    AT_PAGE_SIZE = 16,      /* in it; 16 bits, big endian, and four bytes later what is not used */
    AT_USER_VERSION = 60,   /* 32 bits, big endian */
    AT_APPLICATION_ID = 68, /* the same */
    WRITER_CACHE_KIB = 2048,
    READER_CACHE_KIB = 2048,
    WAL_KEPT_BYTES = 4 << 20, /* of a write-ahead log that was copied; the rest is cut off */
    CHECK_MS = 5000,          /* for looking through the file at the start; the rest is left out */
    CHECK_STEPS = 20000,      /* instructions of SQLite's machine between looks at the clock */
    LENGTH_EXTRA = 64 * 1024, /* bytes of a row besides the message */
    SQL_MAX = 4096,           /* bytes of one statement, and of one table's definition */
};

/* ---- Connections ---- */

enum store_result store_result_of(int code)
{
    switch (code & 0xFF) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return STORE_OK;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return STORE_CORRUPT;
    case SQLITE_INTERRUPT:
        return STORE_LATE;
    default:
        return STORE_FAILED;
    }
}

int store_exec(sqlite3 *db, const char *sql)
{
    return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

/* The file may be hostile: nothing in its schema is trusted, and no code is loaded. */
static void restrict_connection(sqlite3 *db, size_t body_max)
{
    static const struct {
        int what, on;
    } modes[] = {
        {SQLITE_DBCONFIG_DEFENSIVE, 1},
        {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},
        {SQLITE_DBCONFIG_ENABLE_TRIGGER, 0},
        {SQLITE_DBCONFIG_ENABLE_VIEW, 0},
        {SQLITE_DBCONFIG_DQS_DML, 0},
        {SQLITE_DBCONFIG_DQS_DDL, 0},
        {SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0},
    };
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
        sqlite3_db_config(db, modes[i].what, modes[i].on, NULL);
    sqlite3_limit(db, SQLITE_LIMIT_LENGTH, (int)body_max + LENGTH_EXTRA);
    sqlite3_limit(db, SQLITE_LIMIT_SQL_LENGTH, SQL_MAX);
    sqlite3_limit(db, SQLITE_LIMIT_ATTACHED, 0);
    sqlite3_limit(db, SQLITE_LIMIT_TRIGGER_DEPTH, 1);
    sqlite3_limit(db, SQLITE_LIMIT_WORKER_THREADS, 0);
}

int store_connect(const struct store *store, sqlite3 **db, int flags, int cache_kib)
{
    char text[64];
    int keep = 1; /* the log: a confined process may not delete it */
    int rc = sqlite3_open_v2(store->file, db,
                             flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE, store_vfs());
    if (rc != SQLITE_OK)
        return rc;
    sqlite3_extended_result_codes(*db, 1);
    restrict_connection(*db, store->body_max);
    sqlite3_busy_timeout(*db, STORE_BUSY_MS);
    sqlite3_file_control(*db, "main", SQLITE_FCNTL_PERSIST_WAL, &keep);
    snprintf(text, sizeof(text), "PRAGMA cache_size=-%d", cache_kib);
    if ((rc = store_exec(*db, text)) != SQLITE_OK)
        return rc;
    snprintf(text, sizeof(text), "PRAGMA journal_size_limit=%d", WAL_KEPT_BYTES);
    if ((rc = store_exec(*db, text)) != SQLITE_OK)
        return rc;
    return store_exec(*db, "PRAGMA mmap_size=0; PRAGMA temp_store=MEMORY; "
                           "PRAGMA cell_size_check=ON; PRAGMA secure_delete=ON; "
                           "PRAGMA wal_autocheckpoint=0");
}

/* ---- The file, before SQLite sees it ---- */

bool store_refuse(char *why, const char *file, const char *format, ...)
{
    va_list args;
    int used = snprintf(why, STORE_WHY_MAX, "%.*s: ", STORE_WHY_MAX / 2, file);
    va_start(args, format);
    vsnprintf(why + used, STORE_WHY_MAX - (size_t)used, format, args);
    va_end(args);
    return false;
}

bool store_refuse_damaged(char *why, const char *file, const char *detail)
{
    return store_refuse(why, file,
                        "damaged (%s): move it away, or save what can be read: sqlite3 %s .recover "
                        "| sqlite3 NEW",
                        detail, file);
}

static bool refuse_errno(char *why, const char *file)
{
    return store_refuse(why, file, "cannot be opened for writing: %s", strerror(errno));
}

static uint32_t read_u32(const unsigned char *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* Looks at the first bytes. An empty file is fine: tables are made in it. */
static bool check_head(int fd, const char *file, char *why)
{
    unsigned char head[HEAD_SIZE];
    ssize_t len = file_read(fd, head, sizeof(head));
    if (len < 0)
        return refuse_errno(why, file);
    if (len == 0)
        return true;
    if (len < HEAD_SIZE || memcmp(head, "SQLite format 3", 16) != 0)
        return store_refuse(why, file,
                            "expected a history file, got something else: name another file");
    if (read_u32(head + AT_APPLICATION_ID) != STORE_APPLICATION_ID)
        return store_refuse(
            why, file,
            "expected a history file, got an SQLite database of another program: name "
            "another file");
    if ((head[AT_PAGE_SIZE] << 8 | head[AT_PAGE_SIZE + 1]) != STORE_PAGE_SIZE ||
        head[AT_PAGE_SIZE + 4] != 0)
        return store_refuse(why, file, "expected pages of %d bytes: name another file",
                            STORE_PAGE_SIZE);
    if (read_u32(head + AT_USER_VERSION) > STORE_USER_VERSION)
        return store_refuse(
            why, file,
            "written by a newer version of ragnarok: use that version, or name another "
            "file");
    return true;
}

static bool check_open_file(int fd, const char *file, bool may_create, char *why)
{
    struct stat about;
    if (fstat(fd, &about) != 0)
        return refuse_errno(why, file);
    if (!S_ISREG(about.st_mode))
        return store_refuse(why, file, "expected a regular file, got a folder or device");
    if (!check_head(fd, file, why))
        return false;
    if (!may_create)
        return about.st_size > 0 || store_refuse(why, file, "empty");
    if ((about.st_mode & 077) && fchmod(fd, FILE_MODE) != 0) /* SQLite gives the log this mode */
        return refuse_errno(why, file);
    return true;
}

/* The descriptor is closed before SQLite opens the file, because closing one releases the locks of
 * all of this process (fcntl(2)). */
bool store_check_file(const char *file, bool may_create, char *why)
{
    int flags = may_create ? O_RDWR | O_CREAT : O_RDONLY;
    int fd = open(file, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, FILE_MODE);
    if (fd < 0 && !may_create)
        return store_refuse(why, file, "cannot be read: %s", strerror(errno));
    if (fd < 0)
        return refuse_errno(why, file);
    bool good = check_open_file(fd, file, may_create, why);
    close(fd);
    return good;
}

/* SQLite knows ":memory:" and "file:" as something else than files. */
bool store_set_path(struct store *store, const char *file, char *why)
{
    int len = snprintf(store->file, sizeof(store->file), "%s%s", file[0] == '/' ? "" : "./", file);
    if (len < STORE_PATH_MAX - (int)sizeof("-journal"))
        return true;
    return store_refuse(why, "-", "expected a shorter path");
}

/* ---- Opening ---- */

static bool refuse_sqlite(const struct store *store, int rc, char *why)
{
    const char *detail = store->writer.db ? sqlite3_errmsg(store->writer.db) : sqlite3_errstr(rc);
    enum store_result result = store_result_of(rc);
    if (result == STORE_CORRUPT)
        return store_refuse_damaged(why, store->file, detail);
    return store_refuse(why, store->file, "cannot be used: %s", detail);
}

static int is_check_over(void *until)
{
    return net_now() > *(int64_t *)until;
}

static int copy_answer(void *detail, int count, char **values, char **names)
{
    (void)count;
    (void)names;
    if (values[0])
        snprintf(detail, STORE_FAILURE_MAX, "%s", values[0]);
    return 0;
}

/* Looks through the whole file for damage, as far as that takes less than CHECK_MS. */
static bool check_content(const struct store *store, char *why)
{
    char detail[STORE_FAILURE_MAX] = "ok";
    sqlite3 *db = store->writer.db;
    int64_t until = net_now() + CHECK_MS;
    sqlite3_progress_handler(db, CHECK_STEPS, is_check_over, &until);
    int rc = sqlite3_exec(db, "PRAGMA quick_check(1)", copy_answer, detail, NULL);
    sqlite3_progress_handler(db, 0, NULL, NULL);
    if (strcmp(detail, "ok") != 0)
        return store_refuse_damaged(why, store->file, detail);
    if (rc == SQLITE_INTERRUPT)
        log_notice("history", "why=\"the file is large: not all of it was checked at the start\"");
    else if (rc != SQLITE_OK)
        return refuse_sqlite(store, rc, why);
    return true;
}

/* What the last run has left: whether its rooms keep their epochs. Nothing was lost if it ended in
 * order, or if the machine has not been started again since, because what was written is then in
 * the system's memory at least. */
static int read_last_run(struct store *store)
{
    sqlite3_stmt *run;
    int rc = sqlite3_prepare_v2(store->writer.db, "SELECT boot, clean OR power, token FROM run", -1,
                                &run, NULL);
    if (rc != SQLITE_OK)
        return rc;
    rc = sqlite3_step(run);
    store->keeps_epochs = rc == SQLITE_DONE; /* a new file */
    if (rc == SQLITE_ROW) {
        const char *boot = (const char *)sqlite3_column_text(run, 0);
        const char *token = (const char *)sqlite3_column_text(run, 2);
        bool is_trusted = token && token[0] && strcmp(token, store->trust.token) == 0;
        bool is_same_boot = boot && boot[0] && strcmp(boot, store->trust.boot) == 0;
        store->keeps_epochs = is_trusted && (sqlite3_column_int(run, 1) || is_same_boot);
    }
    sqlite3_finalize(run);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* Writes the row of this run, and a new token. The commit is synced: an older row that says `clean`
 * must not come back after a power cut. */
static int write_run(struct store *store, bool clean)
{
    sqlite3 *db = store->writer.db;
    sqlite3_stmt *run = NULL;
    if (!random_hex(store->trust.token, STORE_TOKEN_LEN / 2))
        return SQLITE_ERROR;
    int rc = store_exec(db, "PRAGMA synchronous=FULL; BEGIN IMMEDIATE; DELETE FROM run");
    if (rc == SQLITE_OK && !store->keeps_epochs && !clean)
        rc = store_exec(db, "UPDATE room SET epoch=''");
    if (rc == SQLITE_OK && !store->search && !clean)
        rc = store_exec(db, "DELETE FROM search");
    if (rc == SQLITE_OK)
        rc = sqlite3_prepare_v2(db, "INSERT INTO run(boot,clean,power,token) VALUES(?,?,?,?)", -1,
                                &run, NULL);
    if (rc == SQLITE_OK) {
        sqlite3_bind_text(run, 1, store->trust.boot, -1, SQLITE_STATIC);
        sqlite3_bind_int(run, 2, clean);
        sqlite3_bind_int(run, 3, store->power);
        sqlite3_bind_text(run, 4, store->trust.token, -1, SQLITE_STATIC);
        sqlite3_step(run);
    }
    int failed = sqlite3_finalize(run);
    if (rc == SQLITE_OK)
        rc = failed;
    if (rc == SQLITE_OK)
        rc = store_exec(db, "COMMIT");
    if (!sqlite3_get_autocommit(db))
        store_exec(db, "ROLLBACK");
    return rc;
}

/* Switches to a write-ahead log, for which a filesystem needs locks and shared memory. */
static bool switch_to_log(const struct store *store, char *why)
{
    char mode[STORE_FAILURE_MAX] = "";
    int rc = sqlite3_exec(store->writer.db, "PRAGMA journal_mode=WAL", copy_answer, mode, NULL);
    if (rc != SQLITE_OK)
        return refuse_sqlite(store, rc, why);
    return strcmp(mode, "wal") == 0 ||
           store_refuse(why, store->file,
                        "this filesystem cannot hold it: name a file on a disk of this machine");
}

/* The writer first: it makes the log's index, which the others share. */
static int open_connections(struct store *store)
{
    sqlite3 *db = store->writer.db;
    int rc = read_last_run(store);
    if (rc == SQLITE_OK)
        rc = write_run(store, false);
    if (rc == SQLITE_OK)
        rc = store_exec(db, store->power ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL");
    if (rc == SQLITE_OK)
        rc = store_writer_prepare(&store->writer);
    if (rc == SQLITE_OK)
        rc = store_connect(store, &store->reader.db, SQLITE_OPEN_READWRITE, READER_CACHE_KIB);
    if (rc == SQLITE_OK)
        rc = store_exec(store->reader.db, "PRAGMA query_only=ON");
    if (rc == SQLITE_OK)
        rc = store_reader_prepare(&store->reader);
    if (rc == SQLITE_OK)
        rc = store_cleaner_prepare(store);
    return rc;
}

static bool open_checked(struct store *store, char *why)
{
    if (!store_check_file(store->file, true, why))
        return false;
    int rc = store_connect(store, &store->writer.db, SQLITE_OPEN_READWRITE, WRITER_CACHE_KIB);
    if (rc != SQLITE_OK)
        return refuse_sqlite(store, rc, why);
    if (!store_schema_prepare(store->writer.db, store->file, why) || !check_content(store, why) ||
        !switch_to_log(store, why))
        return false;
    rc = open_connections(store);
    if (rc != SQLITE_OK)
        return refuse_sqlite(store, rc, why);
    store->is_complete = store_trust_write(&store->trust);
    return store->is_complete || refuse_errno(why, store->file);
}

static void close_connections(struct store *store)
{
    store_cleaner_finalize(store);
    store_reader_finalize(&store->reader);
    store_writer_finalize(&store->writer);
    sqlite3_close(store->reader.db);
    sqlite3_close(store->writer.db);
}

static void store_free(struct store *store)
{
    pthread_mutex_destroy(&store->writer.turn_lock);
    pthread_mutex_destroy(&store->writer.write_lock);
    pthread_mutex_destroy(&store->reader.read_lock);
    free(store);
}

struct store *store_open(const struct store_options *options, char *why)
{
    struct store *store = calloc(1, sizeof(*store));
    if (!store) {
        store_refuse(why, options->file, "memory is out");
        return NULL;
    }
    pthread_mutex_init(&store->writer.turn_lock, NULL);
    pthread_mutex_init(&store->writer.write_lock, NULL);
    pthread_mutex_init(&store->reader.read_lock, NULL);
    store->power = options->power;
    store->reader.query_ms = STORE_QUERY_MS;
    store->cleaner.has_traces = true;
    store->search = options->search;
    store->body_max = options->body_max;
    store_set_limits(store, options->hours, options->messages);
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0); /* a lock for each allocation, for nobody */
    if (store_set_path(store, options->file, why) &&
        store_trust_open(&store->trust, store->file, why)) {
        if (open_checked(store, why))
            return store;
        close_connections(store);
        store_trust_close(&store->trust);
    }
    store_free(store);
    return NULL;
}

void store_close(struct store *store, bool clean)
{
    if (!store)
        return;
    store_cleaner_stop(store);
    if (clean && store->is_complete && write_run(store, true) == SQLITE_OK)
        store_trust_write(&store->trust);
    store_checkpoint(store, true);
    close_connections(store);
    store_trust_close(&store->trust);
    store_free(store);
}

void store_set_limits(struct store *store, int64_t hours, int64_t messages)
{
    atomic_store(&store->hours, hours);
    atomic_store(&store->messages, messages);
}

bool store_keeps_epochs(const struct store *store)
{
    return store->keeps_epochs;
}
