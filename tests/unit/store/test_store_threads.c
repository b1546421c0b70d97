/* SPDX-License-Identifier: MIT
 *
 * test_store_threads.c - one thread writes, others read and search, the cleaner cleans up: what is
 * read is consistent, and ThreadSanitizer sees no race.
 */
#include "store/store_parts.h"

#include "net/socket.h"
#include "store_file.h"

enum {
    BATCHES = 300,
    BATCH = 20,
    READERS = 3,
    KEPT = 1000,
};

static struct store *store;
static atomic_bool is_over;
static _Atomic uint64_t committed;

static void *write_all(void *room)
{
    for (int i = 0; i < BATCHES; i++) {
        add_messages(store, room, BATCH, net_wall_ms());
        atomic_store(&committed, ((struct store_room *)room)->last_id);
    }
    return NULL;
}

/* Pages end with the newest message, have no gap, and have all that was committed before. */
static void read_once(const struct store_room *room, const char *words)
{
    uint64_t least = atomic_load(&committed);
    struct store_rows rows = read_rows(store, room, UINT64_MAX, 50, 1 << 20, words);
    assert_true(rows.last >= least);
    if (rows.count > 0)
        assert_int_equal(rows.last - rows.first + 1, rows.count);
}

static void *read_all(void *room)
{
    struct store_room other = {0};
    uint64_t oldest;
    while (!atomic_load(&is_over)) {
        read_once(room, NULL);
        read_once(room, "text");
        assert_int_equal(store_oldest(store, room, &oldest), STORE_OK);
        memcpy(other.epoch, STORE_EPOCH_B, sizeof(other.epoch));
        assert_int_equal(store_room_open(store, "other", &other), STORE_OK);
        store_set_limits(store, 1, KEPT);
    }
    return NULL;
}

static void test_all_at_once(void **state)
{
    (void)state;
    pthread_t writer, readers[READERS];
    struct store_options options = store_defaults();
    options.search = true;
    options.messages = KEPT;
    store = open_store(&options);
    struct store_room room = open_store_room(store, "", STORE_EPOCH_A), seen = room;
    assert_true(store_start(store));
    assert_int_equal(pthread_create(&writer, NULL, write_all, &room), 0);
    for (int i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&readers[i], NULL, read_all, &seen), 0);
    pthread_join(writer, NULL);
    atomic_store(&is_over, true);
    for (int i = 0; i < READERS; i++)
        pthread_join(readers[i], NULL);
    store_cleaner_stop(store);
    atomic_store(&store->cleaner.is_stopping, false);
    assert_true(store_retain(store, net_wall_ms()));
    assert_int_equal(read_rows(store, &room, UINT64_MAX, 10000, 64 << 20, NULL).count, KEPT);
    store_close(store, true);
    assert_int_equal(ask_store_file("SELECT integrity_check='ok' FROM pragma_integrity_check"), 1);
}

static int set_up(void **state)
{
    (void)state;
    net_wake_init();
    skip_syncs();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_all_at_once, make_quick_store_folder,
                                        remove_store_folder),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
