/* SPDX-License-Identifier: MIT
 *
 * test_store_maintain.c - what is deleted from the history file, and what is left of it on the disk.
 */
#include "store/store_parts.h"

#include "net/socket.h"
#include "store_file.h"

enum {
    HOUR_MS = 3600 * 1000,
    ROOMS = 3,
    MESSAGES = 3000,
    KEPT = 100,
};

/* ---- Which messages are deleted ---- */

static void test_old_messages_are_deleted(void **state)
{
    (void)state;
    struct store_options options = store_defaults();
    options.hours = 2;
    struct store *store = open_store(&options);
    struct store_room room = open_store_room(store, "", STORE_EPOCH_A);
    add_messages(store, &room, 250, 1000);
    add_messages(store, &room, 5, 1001);
    assert_true(store_retain(store, 2 * HOUR_MS + 1000));
    assert_int_equal(ask_store_file("SELECT count(*) FROM message"), 255);
    assert_true(store_retain(store, 2 * HOUR_MS + 1001));
    struct store_rows rows = read_rows(store, &room, UINT64_MAX, 1000, 1 << 20, NULL);
    assert_int_equal(rows.count, 5);
    assert_int_equal(rows.first, 251);
    assert_int_equal(rows.rest, 0);
    store_close(store, true);
}

static void test_zero_hours_delete_by_number_only(void **state)
{
    (void)state;
    struct store_options options = store_defaults();
    options.hours = 0;
    struct store *store = open_store(&options);
    struct store_room room = open_store_room(store, "", STORE_EPOCH_A);
    add_messages(store, &room, 5, 1000);
    assert_true(store_retain(store, INT64_MAX / 2));
    assert_int_equal(ask_store_file("SELECT count(*) FROM message"), 5);
    store_set_limits(store, 0, 3);
    assert_true(store_retain(store, INT64_MAX / 2));
    assert_int_equal(ask_store_file("SELECT min(id) FROM message"), 3);
    store_close(store, true);
}

static void test_of_each_room_the_newest_are_kept(void **state)
{
    (void)state;
    struct store_options options = store_defaults();
    options.messages = 30;
    struct store *store = open_store(&options);
    struct store_room small = open_store_room(store, "small", STORE_EPOCH_A);
    struct store_room large = open_store_room(store, "large", STORE_EPOCH_A);
    add_messages(store, &small, 30, 1000);
    add_messages(store, &large, 531, 1000);
    assert_true(store_retain(store, 2000));
    assert_int_equal(read_rows(store, &small, UINT64_MAX, 1000, 1 << 20, NULL).count, 30);
    struct store_rows rows = read_rows(store, &large, UINT64_MAX, 1000, 1 << 20, NULL);
    assert_int_equal(rows.count, 30);
    assert_int_equal(rows.first, 502);
    store_close(store, true);
}

static void test_an_empty_room_is_forgotten_after_a_week(void **state)
{
    (void)state;
    struct store_options options = store_defaults();
    struct store *store = open_store(&options);
    struct store_room idle = open_store_room(store, "idle", STORE_EPOCH_A);
    struct store_room used = open_store_room(store, "used", STORE_EPOCH_A);
    int64_t now = net_wall_ms();
    add_messages(store, &used, 1, now + (int64_t)169 * HOUR_MS);
    store->cleaner.rooms_swept = INT64_MIN / 2;
    assert_true(store_retain(store, now + (int64_t)167 * HOUR_MS));
    assert_int_equal(ask_store_file("SELECT count(*) FROM room"), 2);
    store->cleaner.rooms_swept = INT64_MIN / 2;
    assert_true(store_retain(store, now + (int64_t)169 * HOUR_MS));
    assert_int_equal(ask_store_file("SELECT count(*) FROM room"), 1);
    /* It was open in memory all the time. */
    add_messages(store, &idle, 1, now);
    struct store_room again = open_store_room(store, "idle", STORE_EPOCH_B);
    assert_int_equal(again.key, idle.key);
    assert_int_equal(again.last_id, 1);
    assert_string_equal(again.epoch, STORE_EPOCH_A);
    store_close(store, true);
}

/* ---- What is left on the disk ---- */

/* How many of the marks "<ROOM:ID>" are in a file, of messages older than `first` of each room. */
static int count_marks(const char *ending, const uint64_t *first, int *all)
{
    size_t len;
    int count = 0;
    char *bytes = read_store_file(ending, &len), *end = bytes + len;
    for (char *at = bytes; (at = memchr(at, '<', (size_t)(end - at))); at++) {
        unsigned room;
        unsigned long long id;
        char closing;
        if (sscanf(at, "<%u:%llu%c", &room, &id, &closing) != 3 || closing != '>' || room >= ROOMS)
            continue;
        ++*all;
        count += id < first[room];
    }
    free(bytes);
    return count;
}

/* Messages of all sizes, of some rooms in turn, so that pages are split and cells move. */
static void add_marked(struct store *store, struct store_room *rooms, unsigned *seed, int count)
{
    static char text[8000];
    assert_int_equal(store_begin(store), STORE_OK);
    for (int i = 0; i < count; i++) {
        int r = rand_r(seed) % ROOMS, size = rand_r(seed) % 10 ? 200 : 6000;
        int len =
            snprintf(text, sizeof(text), "<%d:%llu>", r, (unsigned long long)rooms[r].last_id + 1);
        int end = len + rand_r(seed) % size;
        memset(text + len, 'x', (size_t)(end - len));
        text[end] = '\0';
        assert_int_equal(
            add_message(store, &rooms[r], rooms[r].last_id + 1, 1000 + (int64_t)i, text), STORE_OK);
    }
    assert_int_equal(store_commit(store), STORE_OK);
}

static void test_a_deleted_text_is_in_none_of_the_files(void **state)
{
    (void)state;
    unsigned seed = 1;
    struct store_options options = store_defaults();
    options.messages = KEPT;
    options.search = true;
    options.hours = 0;
    struct store *store = open_store(&options);
    struct store_room rooms[ROOMS];
    uint64_t first[ROOMS];
    for (int r = 0; r < ROOMS; r++)
        rooms[r] = open_store_room(store, (const char *[]){"", "one", "two"}[r], STORE_EPOCH_A);
    for (int round = 0; round < 20; round++) {
        int left = 0;
        for (int i = 0; i < MESSAGES / 20; i += 10)
            add_marked(store, rooms, &seed, 10);
        store_index(store, INT64_MAX);
        assert_true(store_retain(store, 5000));
        for (int r = 0; r < ROOMS; r++)
            first[r] = rooms[r].last_id > KEPT ? rooms[r].last_id - KEPT + 1 : 1;
        assert_int_equal(count_marks("", first, &left), 0);
        assert_int_equal(count_marks("-wal", first, &left), 0);
        assert_int_equal(count_marks("-shm", first, &left), 0);
        assert_true(left > 0); /* what is kept is found in this way */
    }
    assert_int_equal(ask_store_file("SELECT integrity_check='ok' FROM pragma_integrity_check"), 1);
    for (int r = 0; r < ROOMS; r++)
        assert_int_equal(read_rows(store, &rooms[r], UINT64_MAX, 1000, 1 << 20, NULL).count, KEPT);
    store_close(store, true);
}

static void test_free_pages_go_back_to_the_system(void **state)
{
    (void)state;
    struct store_options options = store_defaults();
    struct store *store = open_store(&options);
    struct store_room room = open_store_room(store, "", STORE_EPOCH_A);
    struct stat before, after;
    static char text[4001];
    memset(text, 'x', 4000);
    assert_int_equal(store_begin(store), STORE_OK);
    for (uint64_t id = 1; id <= 4000; id++)
        assert_int_equal(add_message(store, &room, id, 1000, text), STORE_OK);
    assert_int_equal(store_commit(store), STORE_OK);
    assert_true(store_checkpoint(store, true));
    assert_int_equal(stat(store_path, &before), 0);
    store_set_limits(store, 0, 1);
    assert_true(store_retain(store, 2000));
    assert_int_equal(stat(store_path, &after), 0);
    assert_true(before.st_size > 16000000);
    assert_true(after.st_size < 5000000); /* 4 MiB stay for new messages */
    store_close(store, true);
}

/* ---- The log, and the thread ---- */

static off_t log_size(void)
{
    struct stat about;
    char path[128];
    snprintf(path, sizeof(path), "%s-wal", store_path);
    assert_int_equal(stat(path, &about), 0);
    return about.st_size;
}

static void test_the_log_is_cut_off_when_it_was_copied(void **state)
{
    (void)state;
    struct store_options options = store_defaults();
    struct store *store = open_store(&options);
    struct store_room room = open_store_room(store, "", STORE_EPOCH_A);
    add_messages(store, &room, 100, 1000);
    assert_true(log_size() > 0);
    assert_true(store_checkpoint(store, false));
    assert_true(log_size() > 0); /* written again from its start on */
    off_t size = log_size();
    add_messages(store, &room, 1, 1000);
    assert_int_equal(log_size(), size);
    assert_true(store_checkpoint(store, true));
    assert_int_equal(log_size(), 0);
    store_close(store, true);
}

/* Waits for what the thread does; the test's time limit ends a wait in vain. */
static void await_count(const char *sql, int64_t wanted)
{
    while (ask_store_file(sql) != wanted)
        net_wait(-1, 0, net_now() + 5);
}

static void test_the_thread_deletes_and_indexes_at_its_start(void **state)
{
    (void)state;
    struct store_options options = store_defaults();
    options.messages = 300;
    options.hours = 0;
    options.search = true;
    struct store *store = open_store(&options);
    struct store_room room = open_store_room(store, "", STORE_EPOCH_A);
    add_messages(store, &room, 1000, 1000);
    assert_true(store_start(store));
    await_count("SELECT count(*) FROM message", 300);
    await_count("SELECT count(*) FROM search", 1 + (1000 / 64 - 701 / 64 - 1));
    store_close(store, true);
}

static void test_the_thread_copies_a_long_log(void **state)
{
    (void)state;
    struct store_options options = store_defaults();
    struct store *store = open_store(&options);
    struct store_room room = open_store_room(store, "", STORE_EPOCH_A);
    static char text[4001];
    memset(text, 'x', 4000);
    assert_true(store_start(store));
    for (uint64_t id = 1; id <= 4000; id++) {
        assert_int_equal(store_begin(store), STORE_OK);
        assert_int_equal(add_message(store, &room, id, net_wall_ms(), text), STORE_OK);
        assert_int_equal(store_commit(store), STORE_OK);
    }
    while (atomic_load(&store->cleaner.log_copied) == 0)
        net_wait(-1, 0, net_now() + 5);
    assert_int_equal(read_rows(store, &room, UINT64_MAX, 50, 1 << 20, NULL).last, 4000);
    store_close(store, true);
}

static int set_up(void **state)
{
    (void)state;
    net_wake_init();
    skip_syncs();
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_store_folder, remove_store_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_old_messages_are_deleted),
        TEST(test_zero_hours_delete_by_number_only),
        TEST(test_of_each_room_the_newest_are_kept),
        TEST(test_an_empty_room_is_forgotten_after_a_week),
        TEST(test_a_deleted_text_is_in_none_of_the_files),
        TEST(test_free_pages_go_back_to_the_system),
        TEST(test_the_log_is_cut_off_when_it_was_copied),
        TEST(test_the_thread_deletes_and_indexes_at_its_start),
        TEST(test_the_thread_copies_a_long_log),
    };
    alarm(120);
    return cmocka_run_group_tests(tests, set_up, NULL);
}
