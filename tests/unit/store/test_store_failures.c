/* SPDX-License-Identifier: MIT
 *
 * test_store_failures.c - a full disk, I/O errors and memory that runs out: nothing that was
 * committed is lost, and writing goes on afterwards.
 *
 * SQLite's system calls and its memory are replaced by those here, each of which fails on command.
 */
#include "store/store_parts.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>

#include "base/log.h"
#include "no_memory.h"
#include "store_file.h"

/* ---- What fails ---- */

static int calls_left = -1; /* system calls that still succeed; -1: all */
static int memory_left = -1;
static bool has_failed;

static bool is_failing(int *left)
{
    if (*left < 0 || (*left)-- > 0)
        return false;
    *left = 0; /* and so do all others after it */
    has_failed = true;
    return true;
}

static ssize_t failing_pread(int fd, void *out, size_t size, off_t at)
{
    errno = EIO;
    return is_failing(&calls_left) ? -1 : pread(fd, out, size, at);
}

static ssize_t failing_pwrite(int fd, const void *bytes, size_t size, off_t at)
{
    errno = calls_left % 2 ? EIO : ENOSPC;
    return is_failing(&calls_left) ? -1 : pwrite(fd, bytes, size, at);
}

static int failing_ftruncate(int fd, off_t size)
{
    errno = EIO;
    return is_failing(&calls_left) ? -1 : ftruncate(fd, size);
}

static int failing_sync(int fd)
{
    (void)fd;
    errno = EIO;
    return is_failing(&calls_left) ? -1 : 0;
}

static void make_calls_fail(void)
{
    sqlite3_vfs *system_calls;
    sqlite3_initialize();
    system_calls = sqlite3_vfs_find(NULL);
    const struct {
        const char *name;
        sqlite3_syscall_ptr call;
    } calls[] = {
        {"pread", (sqlite3_syscall_ptr)failing_pread},
        {"pread64", (sqlite3_syscall_ptr)failing_pread},
        {"pwrite", (sqlite3_syscall_ptr)failing_pwrite},
        {"pwrite64", (sqlite3_syscall_ptr)failing_pwrite},
        {"ftruncate", (sqlite3_syscall_ptr)failing_ftruncate},
        {"fsync", (sqlite3_syscall_ptr)failing_sync},
        {"fdatasync", (sqlite3_syscall_ptr)failing_sync},
    };
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
        system_calls->xSetSystemCall(system_calls, calls[i].name, calls[i].call);
}

static sqlite3_mem_methods memory; /* SQLite's own */

static void *failing_malloc(int size)
{
    return is_failing(&memory_left) ? NULL : memory.xMalloc(size);
}

static void *failing_realloc(void *before, int size)
{
    return is_failing(&memory_left) ? NULL : memory.xRealloc(before, size);
}

static void make_memory_fail(void)
{
    sqlite3_mem_methods ours;
    assert_int_equal(sqlite3_config(SQLITE_CONFIG_GETMALLOC, &memory), SQLITE_OK);
    ours = memory;
    ours.xMalloc = failing_malloc;
    ours.xRealloc = failing_realloc;
    assert_int_equal(sqlite3_config(SQLITE_CONFIG_MALLOC, &ours), SQLITE_OK);
}

static void end_failing(void)
{
    calls_left = memory_left = -1;
}

/* ---- Everything once, while something fails ---- */

/* Does some of everything, and goes on after a failure as the server does. Returns how many messages
 * were committed. */
static int use_everything(struct store *store, struct store_room *room)
{
    struct store_query query = {UINT64_MAX, 50, 1 << 20, NULL};
    struct store_rows rows = {0};
    struct store_room other = {.epoch = STORE_EPOCH_B};
    uint64_t oldest, before = room->last_id;
    int committed = 0;
    for (int i = 0; i < 3; i++) {
        before = room->last_id;
        if (store_begin(store) == STORE_OK &&
            add_message(store, room, before + 1, 1000, "text") == STORE_OK &&
            add_message(store, room, before + 2, 1000, "text") == STORE_OK &&
            store_commit(store) == STORE_OK)
            committed += 2;
        else
            room->last_id = before;
    }
    store_room_open(store, "other", &other);
    store_read(store, room, &query, take_row, &rows, &rows.rest);
    query.words = "text";
    store_read(store, room, &query, take_row, &rows, &rows.rest);
    store_oldest(store, room, &oldest);
    store_checkpoint(store, false);
    store_retain(store, 1000);
    store_index(store, INT64_MAX);
    return committed;
}

/* All that was committed is there, and more can be. */
static void check_all_is_well(struct store *store, struct store_room *room, int count)
{
    struct store_rows rows = read_rows(store, room, UINT64_MAX, 10000, 1 << 20, NULL);
    assert_int_equal(rows.count, count);
    assert_int_equal(rows.last, room->last_id);
    add_messages(store, room, 1, 1000);
    assert_int_equal(read_rows(store, room, UINT64_MAX, 1, 1 << 20, NULL).last, room->last_id);
    assert_true(store_retain(store, 1000));
}

/* A failed commit may have been written after all, if only its answer was lost. */
static void find_last_id(struct store *store, struct store_room *room)
{
    struct store_room found = open_store_room(store, "", STORE_EPOCH_B);
    assert_true(found.last_id >= room->last_id);
    room->last_id = found.last_id;
}

/* Fails at each call in turn, later at some of them only, each time with a new file, until nothing
 * fails any more. */
static void fail_each(int *left)
{
    int fails = 0, rounds = 0;
    for (bool more = true; more; fails += 1 + fails / 64, rounds++) {
        struct store_options options = store_defaults();
        options.search = options.power = true;
        struct store *store = open_store(&options);
        struct store_room room = open_store_room(store, "", STORE_EPOCH_A);
        add_messages(store, &room, 70, 1000);
        has_failed = false;
        *left = fails;
        use_everything(store, &room);
        end_failing();
        more = has_failed;
        find_last_id(store, &room);
        check_all_is_well(store, &room, (int)room.last_id);
        store_close(store, true);
        assert_int_equal(ask_store_file("SELECT integrity_check='ok' FROM pragma_integrity_check"),
                         1);
        unlink(store_path);
    }
    assert_true(rounds > 50);
}

static void test_each_system_call_fails_once(void **state)
{
    (void)state;
    fail_each(&calls_left);
}

static void test_each_allocation_of_sqlite_fails_once(void **state)
{
    (void)state;
    fail_each(&memory_left);
}

/* ---- Opening, while something fails ---- */

static void fail_each_at_start(int *left)
{
    struct store_options options = store_defaults();
    struct store *store = open_store(&options);
    struct store_room room = open_store_room(store, "", STORE_EPOCH_A);
    add_messages(store, &room, 10, 1000);
    store_close(store, true);
    int fails = 0;
    for (bool more = true; more; fails += 1 + fails / 64) {
        char why[STORE_WHY_MAX] = "";
        has_failed = false;
        *left = fails;
        store = store_open(&options, why);
        end_failing();
        more = has_failed;
        assert_true(store || strstr(why, "history.db"));
        if (!more)
            assert_non_null(store);
        store_close(store, true);
    }
    store = open_store(&options);
    room = open_store_room(store, "", STORE_EPOCH_B);
    check_all_is_well(store, &room, 10);
    store_close(store, true);
}

static void test_each_system_call_of_opening_fails_once(void **state)
{
    (void)state;
    fail_each_at_start(&calls_left);
}

static void test_each_allocation_of_opening_fails_once(void **state)
{
    (void)state;
    fail_each_at_start(&memory_left);
}

static void test_our_own_allocations_fail(void **state)
{
    (void)state;
    char why[STORE_WHY_MAX] = "";
    struct store_options options = store_defaults();
    struct store_query query = {UINT64_MAX, 50, 1 << 20, NULL};
    struct store_rows rows = {0};
    no_memory_after(0);
    assert_null(store_open(&options, why));
    assert_true(no_memory_end());
    assert_non_null(strstr(why, "memory is out"));
    struct store *store = open_store(&options);
    struct store_room room = open_store_room(store, "", STORE_EPOCH_A);
    add_messages(store, &room, 10, 1000);
    for (int i = 0; i < 2; i++) { /* the rows, their bytes */
        no_memory_after(i);
        assert_int_equal(store_read(store, &room, &query, take_row, &rows, &rows.rest),
                         STORE_FAILED);
        assert_true(no_memory_end());
    }
    assert_int_equal(rows.count, 0);
    assert_int_equal(read_rows(store, &room, UINT64_MAX, 50, 1 << 20, NULL).count, 10);
    store_close(store, true);
}

/* ---- A full disk ---- */

static void set_file_limit(rlim_t size)
{
    struct rlimit limit;
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = size;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void test_a_full_disk_loses_nothing_that_was_committed(void **state)
{
    (void)state;
    static char text[4001];
    memset(text, 'x', 4000);
    signal(SIGXFSZ, SIG_IGN);
    struct store_options options = store_defaults();
    struct store *store = open_store(&options);
    struct store_room room = open_store_room(store, "", STORE_EPOCH_A);
    uint64_t committed = 0;
    set_file_limit(200000);
    for (;;) {
        if (store_begin(store) != STORE_OK ||
            add_message(store, &room, committed + 1, 1000, text) != STORE_OK ||
            store_commit(store) != STORE_OK)
            break;
        committed++;
    }
    assert_true(committed > 5 && committed < 100);
    assert_true(strlen(store_failure(store)) > 0);
    store_distrust(store); /* needs no room on the disk */
    assert_int_equal(read_rows(store, &room, UINT64_MAX, 1000, 1 << 20, NULL).last, committed);
    set_file_limit(RLIM_INFINITY);
    room.last_id = committed;
    add_messages(store, &room, 5, 1000);
    assert_int_equal(store_trust(store), STORE_OK);
    store_close(store, true);
    store = open_store(&options);
    assert_true(store_keeps_epochs(store));
    assert_int_equal(open_store_room(store, "", STORE_EPOCH_B).last_id, committed + 5);
    store_close(store, true);
}

/* ---- Another program's lock ---- */

static void test_a_long_lock_of_another_program_is_a_failure(void **state)
{
    (void)state;
    sqlite3 *db;
    struct store_options options = store_defaults();
    struct store *store = open_store(&options);
    struct store_room room = open_store_room(store, "", STORE_EPOCH_A);
    add_messages(store, &room, 1, 1000);
    sqlite3_busy_timeout(store->writer.db, 10); /* instead of seconds */
    assert_int_equal(sqlite3_open(store_path, &db), SQLITE_OK);
    assert_int_equal(store_exec(db, "BEGIN IMMEDIATE"), SQLITE_OK);
    assert_int_equal(store_begin(store), STORE_FAILED);
    assert_non_null(strstr(store_failure(store), "locked"));
    assert_int_equal(read_rows(store, &room, UINT64_MAX, 50, 1 << 20, NULL).count, 1);
    sqlite3_close(db);
    add_messages(store, &room, 1, 1000);
    store_close(store, true);
}

#define TEST(name)                                                                                 \
    cmocka_unit_test_setup_teardown(name, make_quick_store_folder, remove_store_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_each_system_call_fails_once),
        TEST(test_each_allocation_of_sqlite_fails_once),
        TEST(test_each_system_call_of_opening_fails_once),
        TEST(test_each_allocation_of_opening_fails_once),
        TEST(test_our_own_allocations_fail),
        TEST(test_a_full_disk_loses_nothing_that_was_committed),
        TEST(test_a_long_lock_of_another_program_is_a_failure),
    };
    log_set_level(LOG_LEVEL_ERROR);
    make_memory_fail();
    make_calls_fail();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
