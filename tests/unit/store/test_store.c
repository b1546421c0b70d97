/* SPDX-License-Identifier: MIT
 *
 * test_store.c - the history file: what is stored, what is read back, and whose epochs survive.
 */
#include "store/store.h"

#include "store_file.h"

static void test_what_is_committed_is_read_back(void **state)
{
    (void)state;
    struct store_options options = store_defaults();
    struct store *store = open_store(&options);
    struct store_room room = open_store_room(store, "", STORE_EPOCH_A);
    assert_int_equal(room.last_id, 0);
    add_messages(store, &room, 120, 1000);
    struct store_rows rows = read_rows(store, &room, UINT64_MAX, 50, 1 << 20, NULL);
    assert_int_equal(rows.count, 50);
    assert_int_equal(rows.first, 71);
    assert_int_equal(rows.last, 120);
    assert_int_equal(rows.rest, 71);
    rows = read_rows(store, &room, 21, 50, 1 << 20, NULL);
    assert_int_equal(rows.count, 20);
    assert_int_equal(rows.rest, 0);
    assert_non_null(strstr(rows.body, "\"text 20\""));
    store_close(store, true);
}

static void test_a_page_is_bounded_in_bytes_but_has_a_message(void **state)
{
    (void)state;
    struct store_options options = store_defaults();
    struct store *store = open_store(&options);
    struct store_room room = open_store_room(store, "", STORE_EPOCH_A);
    add_messages(store, &room, 9, 1000);
    struct store_rows rows = read_rows(store, &room, UINT64_MAX, 50, 1, NULL);
    assert_int_equal(rows.count, 1);
    assert_int_equal(rows.first, 9);
    assert_int_equal(rows.rest, 9);
    size_t len = strlen(rows.body);
    assert_int_equal(read_rows(store, &room, 9, 50, 3 * len, NULL).count, 3);
    assert_int_equal(read_rows(store, &room, 9, 50, 3 * len - 1, NULL).count, 2);
    store_close(store, true);
}

static void test_a_receiver_can_end_an_answer(void **state)
{
    (void)state;
    struct store_options options = store_defaults();
    struct store *store = open_store(&options);
    struct store_room room = open_store_room(store, "", STORE_EPOCH_A);
    add_messages(store, &room, 9, 1000);
    struct store_rows rows = {.most = 2};
    struct store_query query = {UINT64_MAX, 50, 1 << 20, NULL};
    assert_int_equal(store_read(store, &room, &query, take_row, &rows, &rows.rest), STORE_OK);
    assert_int_equal(rows.count, 2);
    store_close(store, true);
}

static void test_rooms_are_apart(void **state)
{
    (void)state;
    uint64_t oldest;
    struct store_options options = store_defaults();
    struct store *store = open_store(&options);
    struct store_room one = open_store_room(store, "one", STORE_EPOCH_A);
    struct store_room two = open_store_room(store, "two", STORE_EPOCH_B);
    assert_int_not_equal(one.key, two.key);
    assert_int_equal(store_begin(store), STORE_OK);
    for (int i = 1; i <= 6; i++)
        assert_int_equal(add_message(store, i % 2 ? &one : &two, (uint64_t)i, 1000, "x"), STORE_OK);
    assert_int_equal(store_commit(store), STORE_OK);
    assert_int_equal(read_rows(store, &one, UINT64_MAX, 50, 1 << 20, NULL).count, 3);
    assert_int_equal(read_rows(store, &two, UINT64_MAX, 50, 1 << 20, NULL).first, 2);
    assert_int_equal(store_oldest(store, &two, &oldest), STORE_OK);
    assert_int_equal(oldest, 2);
    one = open_store_room(store, "one", STORE_EPOCH_B);
    assert_int_equal(one.last_id, 5);
    assert_string_equal(one.epoch, STORE_EPOCH_A);
    two = open_store_room(store, "two", STORE_EPOCH_A);
    assert_int_equal(two.last_id, 6);
    struct store_room none = open_store_room(store, "none", STORE_EPOCH_A);
    assert_int_equal(store_oldest(store, &none, &oldest), STORE_OK);
    assert_int_equal(oldest, 0);
    store_close(store, true);
}

static void test_a_failed_transaction_leaves_nothing(void **state)
{
    (void)state;
    struct store_options options = store_defaults();
    struct store *store = open_store(&options);
    struct store_room room = open_store_room(store, "", STORE_EPOCH_A);
    add_messages(store, &room, 2, 1000);
    assert_int_equal(store_begin(store), STORE_OK);
    assert_int_equal(add_message(store, &room, 3, 1000, "x"), STORE_OK);
    assert_int_equal(add_message(store, &room, 2, 1000, "an Id again"), STORE_FAILED);
    assert_non_null(strstr(store_failure(store), "constraint"));
    assert_int_equal(read_rows(store, &room, UINT64_MAX, 50, 1 << 20, NULL).last, 2);
    room.last_id = 2;
    add_messages(store, &room, 1, 1000); /* the lock was released */
    store_close(store, true);
}

static void test_a_longer_message_than_allowed_is_refused(void **state)
{
    (void)state;
    struct store_options options = store_defaults();
    options.body_max = 256;
    struct store *store = open_store(&options);
    struct store_room room = open_store_room(store, "", STORE_EPOCH_A);
    char body[257];
    memset(body, ' ', sizeof(body));
    assert_int_equal(store_begin(store), STORE_OK);
    assert_int_equal(store_add(store, &room, 1, 1000, body, 256), STORE_OK);
    assert_int_equal(store_add(store, &room, 2, 1000, body, 257), STORE_FAILED);
    store_close(store, true);
}

/* ---- Epochs ---- */

/* Stores two messages and ends; returns the room as it is found in the next run. */
static struct store_room restart(bool power, bool clean, const char *meanwhile)
{
    struct store_options options = store_defaults();
    options.power = power;
    struct store *store = open_store(&options);
    struct store_room room = open_store_room(store, "", STORE_EPOCH_A);
    assert_string_equal(room.epoch, STORE_EPOCH_A);
    add_messages(store, &room, 2, 1000);
    store_close(store, clean);
    if (meanwhile)
        change_store_file(meanwhile);
    options.power = false;
    store = open_store(&options);
    struct store_room found = open_store_room(store, "", STORE_EPOCH_B);
    assert_int_equal(store_keeps_epochs(store), strcmp(found.epoch, STORE_EPOCH_A) == 0);
    assert_int_equal(found.last_id, 2);
    /* Opened again in the same run, it has the same epoch. */
    assert_string_equal(open_store_room(store, "", STORE_EPOCH_A).epoch, found.epoch);
    store_close(store, false);
    return found;
}

#define OTHER_BOOT "UPDATE run SET boot='another'"

static void test_epochs_survive_an_end_in_order(void **state)
{
    (void)state;
    assert_string_equal(restart(false, true, OTHER_BOOT).epoch, STORE_EPOCH_A);
}

static void test_epochs_survive_a_kill(void **state)
{
    (void)state;
    assert_string_equal(restart(false, false, NULL).epoch, STORE_EPOCH_A);
}

static void test_epochs_survive_no_power_cut(void **state)
{
    (void)state;
    assert_string_equal(restart(false, false, OTHER_BOOT).epoch, STORE_EPOCH_B);
}

static void test_epochs_survive_a_power_cut_if_each_commit_is_synced(void **state)
{
    (void)state;
    assert_string_equal(restart(true, false, OTHER_BOOT).epoch, STORE_EPOCH_A);
}

static void test_a_file_of_another_run_gives_new_epochs(void **state)
{
    (void)state;
    assert_string_equal(restart(true, true, "UPDATE run SET token=substr(token,2)||'x'").epoch,
                        STORE_EPOCH_B);
}

static void test_a_lost_message_gives_new_epochs_at_the_next_start(void **state)
{
    (void)state;
    struct store_options options = store_defaults();
    struct store *store = open_store(&options);
    open_store_room(store, "", STORE_EPOCH_A);
    store_distrust(store);
    store_close(store, true);
    store = open_store(&options);
    assert_false(store_keeps_epochs(store));
    assert_string_equal(open_store_room(store, "", STORE_EPOCH_B).epoch, STORE_EPOCH_B);
    store_distrust(store);
    assert_int_equal(store_trust(store), STORE_OK); /* it was stored after all */
    store_close(store, true);
    store = open_store(&options);
    assert_true(store_keeps_epochs(store));
    store_close(store, true);
}

static void test_a_room_takes_a_new_epoch_after_a_hole(void **state)
{
    (void)state;
    struct store_options options = store_defaults();
    struct store *store = open_store(&options);
    struct store_room room = open_store_room(store, "", STORE_EPOCH_A);
    add_messages(store, &room, 2, 1000);
    memcpy(room.epoch, STORE_EPOCH_B, sizeof(room.epoch));
    room.last_id = 77;
    assert_int_equal(store_new_epoch(store, &room), STORE_OK);
    store_close(store, true);
    store = open_store(&options);
    room = open_store_room(store, "", STORE_EPOCH_A);
    assert_string_equal(room.epoch, STORE_EPOCH_B);
    assert_int_equal(room.last_id, 77);
    store_close(store, true);
}

/* ---- The files ---- */

static mode_t mode_of(const char *ending)
{
    char path[128];
    struct stat about;
    snprintf(path, sizeof(path), "%s%s", store_path, ending);
    if (stat(path, &about) != 0)
        fail_msg("%s is missing", path);
    return about.st_mode & 0777;
}

static void test_only_the_owner_can_read_the_files(void **state)
{
    (void)state;
    struct store_options options = store_defaults();
    mode_t before = umask(0);
    store_close(open_store(&options), true);
    assert_int_equal(chmod(store_path, 0664), 0);
    struct store *store = open_store(&options);
    umask(before);
    assert_int_equal(mode_of(""), 0600);
    assert_int_equal(mode_of("-wal"), 0600);
    assert_int_equal(mode_of("-shm"), 0600);
    assert_int_equal(mode_of(".trust"), 0600);
    store_close(store, true);
}

static void test_a_second_server_is_refused(void **state)
{
    (void)state;
    struct store_options options = store_defaults();
    struct store *store = open_store(&options);
    struct store_room room = open_store_room(store, "", STORE_EPOCH_A);
    assert_refused(&options, "in use by another server");
    add_messages(store, &room, 2, 1000);
    store_close(store, true);
    store_close(open_store(&options), true);
}

#define TEST(name)                                                                                 \
    cmocka_unit_test_setup_teardown(name, make_quick_store_folder, remove_store_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_what_is_committed_is_read_back),
        TEST(test_a_page_is_bounded_in_bytes_but_has_a_message),
        TEST(test_a_receiver_can_end_an_answer),
        TEST(test_rooms_are_apart),
        TEST(test_a_failed_transaction_leaves_nothing),
        TEST(test_a_longer_message_than_allowed_is_refused),
        TEST(test_epochs_survive_an_end_in_order),
        TEST(test_epochs_survive_a_kill),
        TEST(test_epochs_survive_no_power_cut),
        TEST(test_epochs_survive_a_power_cut_if_each_commit_is_synced),
        TEST(test_a_file_of_another_run_gives_new_epochs),
        TEST(test_a_lost_message_gives_new_epochs_at_the_next_start),
        TEST(test_a_room_takes_a_new_epoch_after_a_hole),
        TEST(test_only_the_owner_can_read_the_files),
        TEST(test_a_second_server_is_refused),
    };
    skip_syncs();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
