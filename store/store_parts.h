/* SPDX-License-Identifier: MIT
 *
 * store_parts.h - shared by the files of store/; no other file includes it.
 *
 * store.c opens and closes, store_schema.c holds the tables, store_trust.c the file beside,
 * store_write.c and store_read.c are what the server calls, store_search.c is the index of
 * searches, store_maintain.c the thread that cleans up.
 */
#ifndef STORE_PARTS_H
#define STORE_PARTS_H

#include <pthread.h>
#include <stdatomic.h>

#include <sqlite3.h>

#include "store/store.h"

enum {
    STORE_APPLICATION_ID = 0x5261676E, /* "Ragn", in the head of the file */
    STORE_USER_VERSION = 1,            /* of the schema */
    STORE_FAILURE_MAX = 160,           /* bytes of the reason of a failure */
    STORE_TOKEN_LEN = 32,              /* hexadecimal digits that name a run of the server */
    STORE_BOOT_MAX = 64,               /* bytes of the name of this boot of the machine */
    STORE_BUSY_MS = 5000,              /* waiting for another program's lock; then STORE_FAILED */
    STORE_PAGE_SIZE = 4096,            /* bytes of a page of the database */
    STORE_PATH_MAX = 4096,             /* bytes of the path, with its NUL */
};

/* The connection that writes, and its statements. Its lock is held from store_begin to
 * store_commit, and for each other change. A thread that waits for it holds the turn, so that the
 * one that has had it does not take it again before: a mutex alone is not fair. */
struct store_writer {
    pthread_mutex_t turn_lock;
    pthread_mutex_t write_lock;
    sqlite3 *db; /* [l], like all below */
    sqlite3_stmt *begin, *commit, *rollback, *add, *set_room, *make_room;
    struct store_room *room; /* whose messages are being added; its row is still to be written */
    char failure[STORE_FAILURE_MAX];
};

/* The connection that reads. Its lock is held for one query. */
struct store_reader {
    pthread_mutex_t read_lock;
    sqlite3 *db; /* [l], like all below */
    sqlite3_stmt *room, *page, *range, *filter, *below, *oldest;
    int64_t query_ms; /* STORE_QUERY_MS, more in tests; [I] */
    int64_t deadline; /* net_now; at which the query in progress is interrupted */
};

/* The thread that cleans up, and its connection: no other thread uses it. */
struct store_cleaner {
    sqlite3 *db;
    sqlite3_stmt *old, *excess, *rooms, *newest, *indexed, *first, *bodies;
    /* of the writer's connection */
    sqlite3_stmt *erase, *put_filter, *drop_filter, *left_bodies;
    pthread_t thread;
    atomic_bool is_started;
    bool has_traces;     /* what was deleted, in this run or the last, may be in the log still */
    int64_t rooms_swept; /* net_now; when empty rooms were deleted last */
    atomic_bool is_stopping;
    atomic_int log_pages;  /* in the log after the last commit */
    atomic_int log_copied; /* of them, already copied into the file */
};

struct store_trust {
    int fd;                          /* locked with flock(2) while the store is open */
    char token[STORE_TOKEN_LEN + 1]; /* names this run; at first the last one, "" if it lost any */
    char boot[STORE_BOOT_MAX];       /* names this boot of the machine; "": unknown */
};

struct store {
    char file[STORE_PATH_MAX]; /* [I] */
    struct store_writer writer;
    struct store_reader reader;
    struct store_trust trust; /* store_trust and store_distrust: the lock of the writer */
    bool power;               /* [I] */
    bool search;              /* [I] */
    bool keeps_epochs;        /* [I] */
    bool is_complete;         /* all that was heard is stored, or will be; the lock of the writer */
    size_t body_max;          /* [I] */
    _Atomic int64_t hours, messages;
    atomic_uint bad_rows;            /* rows left out since the last line in the log */
    _Atomic int64_t bad_rows_logged; /* net_now of that line */
    struct store_cleaner cleaner;
};

/* ---- store_schema.c ---- */

/* Makes the tables in an empty file, or checks that they are exactly ours. Returns false and an
 * error in `why`. */
bool store_schema_prepare(sqlite3 *db, const char *file, char *why);

/* The second half of it: checks the tables of a file that has some. */
bool store_schema_check(sqlite3 *db, const char *file, char *why);

/* The number that a pragma answers, or -1. *rc: a code of SQLite. */
int64_t store_pragma_number(sqlite3 *db, const char *pragma, int *rc);

/* ---- store_vfs.c ---- */

/* The name of the access to files to open connections with. The first call must be in the main
 * thread. */
const char *store_vfs(void);

/* ---- store_trust.c ---- */

/* Opens FILE.trust, and locks it. Reads its token, "" if there is none. */
bool store_trust_open(struct store_trust *trust, const char *file, char *why);
void store_trust_close(struct store_trust *trust);

/* Replaces the token on the disk by that of *trust, or by nothing. Returns false and errno. */
bool store_trust_write(const struct store_trust *trust);
bool store_trust_clear(const struct store_trust *trust);

/* ---- store.c ---- */

/* Write an error about `file` and return false: any, and one about damage, with the remedy. */
bool store_refuse(char *why, const char *file, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
bool store_refuse_damaged(char *why, const char *file, const char *detail);

/* The result that stands for a code of SQLite. */
enum store_result store_result_of(int code);

/* Runs SQL without results. Returns a code of SQLite. */
int store_exec(sqlite3 *db, const char *sql);

/* Sets store->file. Returns false and an error if the path is too long. */
bool store_set_path(struct store *store, const char *file, char *why);

/* Looks at the first bytes of a file: whether it is a history file that this version can read.
 * `may_create`: a new one is created, and an empty one is fine; others lose the right to read it.
 */
bool store_check_file(const char *file, bool may_create, char *why);

/* Opens one more connection to the file, with flags of sqlite3_open_v2. Returns a code of SQLite;
 * *db must be closed in any case. */
int store_connect(const struct store *store, sqlite3 **db, int flags, int cache_kib);

/* ---- store_write.c, store_read.c ---- */

struct store_statement {
    sqlite3_stmt **statement;
    const char *sql;
};

/* Prepares statements. Returns a code of SQLite. */
int store_prepare_all(sqlite3 *db, const struct store_statement *wanted, size_t count);

/* Runs a statement that answers nothing. Returns a code of SQLite. */
int store_run_statement(sqlite3_stmt *statement);

/* Runs a statement that answers one number; without an answer *number stays. Returns a code of
 * SQLite. */
int store_ask_number(sqlite3_stmt *statement, sqlite3_int64 *number);

/* Prepare and release the statements of a connection. Return a code of SQLite. */
int store_writer_prepare(struct store_writer *writer);
void store_writer_finalize(struct store_writer *writer);
int store_reader_prepare(struct store_reader *reader);
void store_reader_finalize(struct store_reader *reader);

/* Take and release the writer's lock. */
void store_write_lock(struct store_writer *writer);
void store_write_unlock(struct store_writer *writer);

/* Takes the writer's lock and begins a transaction. Returns a code of SQLite, which store_write_end
 * takes after what was done in it: commits if it is SQLITE_OK, else rolls back; and releases the
 * lock. */
int store_write_begin(struct store_writer *writer);
enum store_result store_write_end(struct store_writer *writer, int rc);

/* Looks up a room; room->key is 0 if it is not stored, room->epoch "" if that must be new. Takes
 * the reader's lock. */
enum store_result store_find_room(struct store *store, const char *name, struct store_room *room);

/* Messages that were copied from the file, the newest first. */
struct store_page_row {
    uint64_t id;
    int64_t time_ms;
    size_t offset, len; /* in `bytes` */
};

struct store_page {
    struct store_page_row *rows;
    size_t count, rows_room;
    char *bytes;
    size_t len, bytes_room;
};

/* Copies a message. Returns false when memory is out. */
bool store_page_add(struct store_page *page, uint64_t id, int64_t time_ms, const char *body,
                    size_t len);
void store_page_free(struct store_page *page);

/* An Id as SQLite has it: at most INT64_MAX. */
sqlite3_int64 store_clamp_id(uint64_t id);

/* Lowers *rest to the Id of the row below it, which is too long to be read; 0: there is none. The
 * reader's lock is held. Returns a code of SQLite. */
int store_skip_huge_row(struct store *store, const struct store_room *room, uint64_t *rest);

/* Whether what was read is a message of this server with that Id. */
bool store_row_is_good(uint64_t id, const char *body, size_t len);

/* Counts a row that is left out, and logs them once a minute. */
void store_note_bad_row(struct store *store);

/* ---- store_search.c, store_grams.c ---- */

enum {
    STORE_BLOCK = 64,        /* Ids that share a filter: those with the same quotient by it */
    STORE_GRAMS_SIZE = 3968, /* bytes of a filter, so that a row of them fits in one page */
};

/* Answers a query with words. The reader's lock is held. Returns a code of SQLite. */
int store_search(struct store *store, const struct store_room *room,
                 const struct store_query *query, struct store_page *page, uint64_t *rest);

/* Adds a folded text to a filter of STORE_GRAMS_SIZE bytes, which is zero at first. */
void store_grams_add(unsigned char *grams, const char *text, size_t len);

/* Whether a text with these words may be in the filter. */
bool store_grams_match(const unsigned char *grams, const char *words, size_t len);

/* The folded "text" of a message. Returns a string that the caller frees with free(), or NULL: it
 * has none, or memory is out. */
char *store_folded_text(const char *body, size_t len);

/* ---- store_maintain.c, store_index.c ---- */

/* Prepares and releases the statements. Return a code of SQLite. */
int store_cleaner_prepare(struct store *store);
void store_cleaner_finalize(struct store *store);

/* Ends the thread, if it was started. */
void store_cleaner_stop(struct store *store);

/* The jobs of the thread, one after the other; for tests, too. The thread, or the main thread
 * before store_start. */

/* Deletes messages that are too old or too many at the time `now_ms`, in small transactions.
 * Returns false after a failure. */
bool store_retain(struct store *store, int64_t now_ms);

/* Copies the log into the file. With `all` waits for it to be copied whole, and cuts it off, so
 * that nothing of what was deleted is left in it; false: something was in the way. */
bool store_checkpoint(struct store *store, bool all);

/* Makes filters for full blocks of messages that have none, until `until` (net_now). Returns
 * whether it is done. */
bool store_index(struct store *store, int64_t until);

/* Makes the filter of one block again from the messages that are left in it, or deletes it. The
 * writer's transaction is open. Returns a code of SQLite. */
int store_index_again(struct store *store, sqlite3_int64 room, sqlite3_int64 block);

#endif
