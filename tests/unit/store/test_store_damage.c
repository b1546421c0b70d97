/* SPDX-License-Identifier: MIT
 *
 * test_store_damage.c - files that are not ours, newer, or damaged: refused with the remedy, and left
 * as they are. TORN_LOGS=1000 in the environment tries as many logs that end in the middle.
 */
#include "store/store_parts.h"

#include <sys/wait.h>

#include "store_file.h"

enum {
    TORN_LOGS = 100,
    FLIPPED_BITS = 300,
    COMMITS = 40,
};

/* Opens a file, which must be refused with this text, and stay as it is. */
static void assert_refused_and_kept(const char *text)
{
    size_t len, len_after;
    struct store_options options = store_defaults();
    char *before = read_store_file("", &len);
    assert_refused(&options, text);
    char *after = read_store_file("", &len_after);
    assert_int_equal(len_after, len);
    assert_memory_equal(before, after, len);
    free(before);
    free(after);
}

/* ---- Files of others ---- */

static void test_a_file_that_is_no_database(void **state)
{
    (void)state;
    char text[200];
    memset(text, 'x', sizeof(text));
    write_store_file("", "hello", 5);
    assert_refused_and_kept("expected a history file, got something else");
    write_store_file("", text, sizeof(text));
    assert_refused_and_kept("expected a history file, got something else");
    assert_refused_and_kept(store_path);
}

static void test_a_database_of_another_program(void **state)
{
    (void)state;
    change_store_file("CREATE TABLE message(x); INSERT INTO message VALUES(1)");
    assert_refused_and_kept("an SQLite database of another program");
}

static void test_a_newer_version(void **state)
{
    (void)state;
    struct store_options options = store_defaults();
    store_close(open_store(&options), true);
    change_store_file("PRAGMA user_version=2");
    assert_refused_and_kept("written by a newer version of ragnarok");
    change_store_file("PRAGMA user_version=1");
    store_close(open_store(&options), true);
}

/* The head of the file still has the old number: the new one is in the log. */
static void test_a_newer_version_in_the_log(void **state)
{
    (void)state;
    sqlite3 *db;
    struct store_options options = store_defaults();
    store_close(open_store(&options), true);
    assert_int_equal(sqlite3_open(store_path, &db), SQLITE_OK);
    assert_int_equal(store_exec(db, "PRAGMA user_version=2"), SQLITE_OK);
    assert_refused_and_kept("written by a newer version of ragnarok");
    sqlite3_close(db);
}

static void test_other_tables(void **state)
{
    (void)state;
    static const struct {
        const char *change, *error;
    } rows[] = {
        {"CREATE TRIGGER t AFTER INSERT ON message BEGIN DELETE FROM room; END",
         "the trigger t is"},
        {"CREATE VIEW v AS SELECT 1", "the view v is"},
        {"CREATE INDEX i ON message(upper(body))", "the index i is"},
        {"ALTER TABLE room ADD COLUMN x", "the table room is"},
        {"DROP TABLE search", "a table is missing"},
    };
    struct store_options options = store_defaults();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        store_close(open_store(&options), true);
        change_store_file(rows[i].change);
        assert_refused_and_kept(rows[i].error);
        unlink(store_path);
    }
    /* What an owner may have made for themselves does no harm. */
    store_close(open_store(&options), true);
    change_store_file("CREATE TABLE mine(x); CREATE INDEX mine_x ON mine(x); ANALYZE");
    store_close(open_store(&options), true);
}

static void test_other_sizes_of_pages(void **state)
{
    (void)state;
    size_t len;
    struct store_options options = store_defaults();
    store_close(open_store(&options), true);
    char *bytes = read_store_file("", &len);
    bytes[20] = 8; /* not used at the end of each page */
    write_store_file("", bytes, len);
    assert_refused_and_kept("expected pages of 4096 bytes");
    bytes[20] = 0;
    bytes[16] = 0x20;
    write_store_file("", bytes, len);
    assert_refused_and_kept("expected pages of 4096 bytes");
    free(bytes);
}

/* ---- Places ---- */

static void test_places_that_cannot_be(void **state)
{
    (void)state;
    char path[128], long_path[STORE_PATH_MAX + 8];
    struct store_options options = store_defaults();
    snprintf(path, sizeof(path), "%s/missing/history.db", store_folder);
    options.file = path;
    assert_refused(&options, "history.db.trust: cannot be opened for writing: No such file");
    options.file = store_folder;
    assert_refused(&options, "cannot be opened for writing: Is a directory");
    memset(long_path, 'x', sizeof(long_path));
    long_path[sizeof(long_path) - 1] = '\0';
    options.file = long_path;
    assert_refused(&options, "expected a shorter path");
    snprintf(path, sizeof(path), "%s.trust", store_folder);
    unlink(path);
}

static void test_a_folder_that_cannot_be_written(void **state)
{
    (void)state;
    int status;
    assert_int_equal(chmod(store_folder, 0555), 0);
    pid_t child = fork();
    if (child == 0) {
        char why[STORE_WHY_MAX] = "";
        struct store_options options = store_defaults();
        bool is_other = geteuid() != 0 || setuid(65534) == 0; /* root may write everywhere */
        bool is_refused = is_other && !store_open(&options, why);
        _exit(is_refused && strstr(why, "Permission denied (the server needs to write to this")
                  ? 0
                  : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(chmod(store_folder, 0755), 0);
}

/* A name that SQLite knows as something else than a file. */
static void test_a_file_called_memory(void **state)
{
    (void)state;
    char before[256];
    struct store_options options = store_defaults();
    options.file = ":memory:";
    assert_non_null(getcwd(before, sizeof(before)));
    assert_int_equal(chdir(store_folder), 0);
    store_close(open_store(&options), true);
    assert_int_equal(access(":memory:", F_OK), 0);
    assert_int_equal(chdir(before), 0);
}

/* ---- Damage ---- */

static void fill(int rows_in_each)
{
    struct store_options options = store_defaults();
    struct store *store = open_store(&options);
    struct store_room room = open_store_room(store, "", STORE_EPOCH_A);
    for (int i = 0; i < COMMITS; i++)
        add_messages(store, &room, rows_in_each, 1000);
    store_close(store, true);
}

/* Uses a file that may be damaged: any result but a crash is fine. Returns whether it could. */
static bool use_damaged(void)
{
    char why[STORE_WHY_MAX] = "";
    struct store_options options = store_defaults();
    struct store_room room = {.epoch = STORE_EPOCH_B};
    struct store_query query = {UINT64_MAX, 2000, 1 << 20, NULL};
    struct store_rows rows = {0};
    struct store *store = store_open(&options, why);
    if (!store) {
        if (!strstr(why, ".recover") && !strstr(why, "another file"))
            fail_msg("no remedy in: %s", why);
        return false;
    }
    if (store_room_open(store, "", &room) == STORE_OK) {
        store_read(store, &room, &query, take_row, &rows, &rows.rest);
        query.words = "text";
        store_read(store, &room, &query, take_row, &rows, &rows.rest);
        store_retain(store, 1000);
        if (store_begin(store) == STORE_OK &&
            add_message(store, &room, room.last_id + 1, 1000, "x") == STORE_OK)
            store_commit(store);
    }
    store_close(store, true);
    return true;
}

static void test_a_flipped_bit(void **state)
{
    (void)state;
    unsigned seed = 1;
    size_t len;
    int refused = 0;
    fill(40);
    char *bytes = read_store_file("", &len);
    for (int i = 0; i < FLIPPED_BITS; i++) {
        /* Half of them in the heads of pages, where most bytes matter. */
        size_t at = (size_t)rand_r(&seed) % len;
        if (i % 2)
            at = at / STORE_PAGE_SIZE * STORE_PAGE_SIZE + (size_t)(rand_r(&seed) % 64);
        bytes[at] = (char)(bytes[at] ^ 1 << rand_r(&seed) % 8);
        write_store_file("", bytes, len);
        write_store_file("-wal", "", 0);
        if (!use_damaged()) {
            size_t len_after;
            char *after = read_store_file("", &len_after);
            refused++;
            assert_int_equal(len_after, len);
            assert_memory_equal(after, bytes, len);
            free(after);
        }
        bytes[at] = (char)(bytes[at] ^ 1 << 0); /* not the same bit: damage adds up */
    }
    free(bytes);
    assert_true(refused > FLIPPED_BITS / 10);
}

static void test_a_damaged_page_is_named_with_the_remedy(void **state)
{
    (void)state;
    size_t len;
    fill(40);
    char *bytes = read_store_file("", &len);
    memset(bytes + 8 * STORE_PAGE_SIZE, 0xFF, STORE_PAGE_SIZE);
    write_store_file("", bytes, len);
    free(bytes);
    assert_refused_and_kept("damaged (");
    assert_refused_and_kept("move it away, or save what can be read: sqlite3 ");
}

/* Damage that is found while the server runs. */
static void test_damage_while_it_runs(void **state)
{
    (void)state;
    struct store_options options = store_defaults();
    fill(400);
    struct store *store = open_store(&options);
    struct store_room room = open_store_room(store, "", STORE_EPOCH_B);
    struct store_query query = {UINT64_MAX, 10000, 64 << 20, NULL};
    struct store_rows rows = {0};
    size_t len;
    char *bytes = read_store_file("", &len);
    for (size_t at = 8 * STORE_PAGE_SIZE; at < len; at += STORE_PAGE_SIZE)
        memset(bytes + at, 0xFF, STORE_PAGE_SIZE);
    write_store_file("", bytes, len);
    free(bytes);
    sqlite3_db_release_memory(store->reader.db);
    assert_int_equal(store_read(store, &room, &query, take_row, &rows, &rows.rest), STORE_CORRUPT);
    assert_int_equal(rows.count, 0);
    store_close(store, false);
}

/* ---- The log ---- */

/* Writes a file with a log of many commits that was not copied, as after a kill; reads both. */
static void make_log(char *files[2], size_t lens[2])
{
    struct store_options options = store_defaults();
    struct store *store = open_store(&options);
    struct store_room room = open_store_room(store, "", STORE_EPOCH_A);
    assert_true(store_checkpoint(store, true));
    for (int i = 0; i < COMMITS; i++)
        add_messages(store, &room, 1 + i % 7, 1000);
    files[0] = read_store_file("", &lens[0]);
    files[1] = read_store_file("-wal", &lens[1]);
    store_close(store, false);
}

/* Opens the file with a log that was cut or damaged: what is there is what was committed up to some
 * moment. Returns the number of messages. */
static uint64_t check_after_crash(void)
{
    struct store_options options = store_defaults();
    struct store *store = open_store(&options);
    struct store_room room = open_store_room(store, "", STORE_EPOCH_B);
    struct store_rows rows = read_rows(store, &room, UINT64_MAX, 10000, 1 << 20, NULL);
    assert_int_equal(rows.count, room.last_id);
    assert_int_equal(rows.last, room.last_id);
    uint64_t sum = 0; /* the commits were of 1, 2, ... 7, 1, 2, ... messages */
    for (uint64_t i = 0; sum < room.last_id; i++)
        sum += 1 + i % 7;
    assert_int_equal(sum, room.last_id);
    store_close(store, false);
    assert_int_equal(ask_store_file("SELECT integrity_check='ok' FROM pragma_integrity_check"), 1);
    return room.last_id;
}

static int torn_logs(void)
{
    const char *count = getenv("TORN_LOGS");
    return count ? atoi(count) : TORN_LOGS;
}

static void test_a_log_that_ends_in_the_middle(void **state)
{
    (void)state;
    char *files[2];
    size_t lens[2];
    unsigned seed = 1;
    uint64_t fewest = UINT64_MAX, most = 0;
    make_log(files, lens);
    for (int i = 0; i < torn_logs(); i++) {
        write_store_file("", files[0], lens[0]);
        write_store_file("-wal", files[1], i == 0 ? lens[1] : (size_t)rand_r(&seed) % lens[1]);
        uint64_t count = check_after_crash();
        fewest = count < fewest ? count : fewest;
        most = count > most ? count : most;
    }
    assert_true(fewest < 30 && most == COMMITS / 7 * 28 + 15);
    free(files[0]);
    free(files[1]);
}

static void test_a_log_with_a_flipped_bit(void **state)
{
    (void)state;
    char *files[2];
    size_t lens[2];
    unsigned seed = 2;
    make_log(files, lens);
    for (int i = 0; i < torn_logs(); i++) {
        size_t at = (size_t)rand_r(&seed) % lens[1];
        char before = files[1][at];
        files[1][at] = (char)(before ^ 1 << rand_r(&seed) % 8);
        write_store_file("", files[0], lens[0]);
        write_store_file("-wal", files[1], lens[1]);
        check_after_crash();
        files[1][at] = before;
    }
    free(files[0]);
    free(files[1]);
}

/* Somebody has deleted the log: what was in it is gone, and rooms have new epochs. */
static void test_a_log_that_is_gone(void **state)
{
    (void)state;
    char *files[2];
    size_t lens[2];
    struct store_options options = store_defaults();
    make_log(files, lens);
    write_store_file("", files[0], lens[0]);
    write_store_file("-wal", "", 0);
    struct store *store = open_store(&options);
    store_close(store, true);
    write_store_file("", files[0], lens[0]); /* of an earlier run than FILE.trust */
    store = open_store(&options);
    assert_false(store_keeps_epochs(store));
    assert_string_equal(open_store_room(store, "", STORE_EPOCH_B).epoch, STORE_EPOCH_B);
    store_close(store, true);
    free(files[0]);
    free(files[1]);
}

#define TEST(name)                                                                                 \
    cmocka_unit_test_setup_teardown(name, make_quick_store_folder, remove_store_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_file_that_is_no_database),
        TEST(test_a_database_of_another_program),
        TEST(test_a_newer_version),
        TEST(test_a_newer_version_in_the_log),
        TEST(test_other_tables),
        TEST(test_other_sizes_of_pages),
        TEST(test_places_that_cannot_be),
        TEST(test_a_folder_that_cannot_be_written),
        TEST(test_a_file_called_memory),
        TEST(test_a_flipped_bit),
        TEST(test_a_damaged_page_is_named_with_the_remedy),
        TEST(test_damage_while_it_runs),
        TEST(test_a_log_that_ends_in_the_middle),
        TEST(test_a_log_with_a_flipped_bit),
        TEST(test_a_log_that_is_gone),
    };
    skip_syncs();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
