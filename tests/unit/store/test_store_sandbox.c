/* SPDX-License-Identifier: MIT
 *
 * test_store_sandbox.c - the history file in a confined server: all that is done after the start
 * works, and the sandbox allows nothing more for it than to write what is open.
 *
 * A process that is confined stays so: each test has one of its own, and sees how it ended.
 */
#include "base/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>

#include "base/log.h"
#include "base/sanitized.h"
#include "net/socket.h"
#include "store/store_parts.h"
#include "store_file.h"

enum { MESSAGES = 8000 };

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "line %d: %s (errno %d)\n", __LINE__, #condition, errno);              \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

/* Runs `work` in a process of its own, confined, with the store that was opened before. */
static void run_confined(const struct store_options *options, void (*work)(struct store *store))
{
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        char why[STORE_WHY_MAX];
        struct store *store = store_open(options, why);
        CHECK(store != NULL);
        log_set_level(LOG_LEVEL_WARN);
        sandbox_server(NULL, true, false);
        work(store);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static bool ignore_row(void *context, uint64_t id, int64_t time_ms, const char *body, size_t len)
{
    (void)context;
    (void)time_ms;
    (void)body;
    return id > 0 && len > 0;
}

/* So much in one transaction that the log's index grows, too: 4096 pages are in one part of it. */
static void add_much(struct store *store, struct store_room *room)
{
    static char text[4001];
    memset(text, 'x', 4000);
    CHECK(store_begin(store) == STORE_OK);
    for (int i = 0; i < MESSAGES; i++)
        CHECK(add_message(store, room, room->last_id + 1, 1000, text) == STORE_OK);
    CHECK(store_commit(store) == STORE_OK);
}

static void use_everything(struct store *store)
{
    struct store_room room = {.epoch = STORE_EPOCH_A};
    struct store_query query = {UINT64_MAX, 50, 1 << 20, NULL};
    uint64_t rest, oldest;
    CHECK(store_start(store));
    CHECK(store_room_open(store, "", &room) == STORE_OK);
    add_much(store, &room);
    CHECK(store_read(store, &room, &query, ignore_row, NULL, &rest) == STORE_OK);
    query.words = "xxx";
    CHECK(store_read(store, &room, &query, ignore_row, NULL, &rest) == STORE_OK);
    store_set_limits(store, 0, 100);
    store_cleaner_stop(store);
    atomic_store(&store->cleaner.is_stopping, false);
    CHECK(store_retain(store, 2000));
    store_index(store, INT64_MAX);
    CHECK(store_oldest(store, &room, &oldest) == STORE_OK && oldest == MESSAGES - 99);
    store_distrust(store);
    CHECK(store_trust(store) == STORE_OK);
    CHECK(store_new_epoch(store, &room) == STORE_OK);
    store_close(store, true);
}

static void test_all_of_it_works_in_the_sandbox(void **state)
{
    (void)state;
    struct store_options options = store_defaults();
    options.hours = 0;
    options.search = options.power = true;
    run_confined(&options, use_everything);
    struct store *store = open_store(&options);
    assert_true(store_keeps_epochs(store));
    struct store_room room = open_store_room(store, "", STORE_EPOCH_B);
    assert_string_equal(room.epoch, STORE_EPOCH_A);
    assert_int_equal(room.last_id, MESSAGES);
    store_close(store, true);
}

static void try_what_is_forbidden(struct store *store)
{
    char path[sizeof(store_path) + 8];
    snprintf(path, sizeof(path), "%s.trust", store_path);
    if (SANITIZED) /* not confined */
        return;
    CHECK(open(store_path, O_RDONLY | O_CLOEXEC) < 0 && errno == ENOSYS);
    CHECK(open("/etc/passwd", O_RDONLY | O_CLOEXEC) < 0 && errno == ENOSYS);
    CHECK(unlink(path) < 0 && errno == ENOSYS);
    CHECK(rename(path, store_path) < 0 && errno == ENOSYS);
    CHECK(chmod(store_path, 0644) < 0 && errno == ENOSYS);
    CHECK(fchmod(store->trust.fd, 0644) < 0 && errno == ENOSYS);
    CHECK(fcntl(store->trust.fd, F_SETFL, 0) < 0 && errno == ENOSYS);
    struct flock lock = {.l_type = F_WRLCK};
    CHECK(fcntl(store->trust.fd, F_SETLKW, &lock) < 0 && errno == ENOSYS);
}

static void test_no_file_can_be_opened_deleted_or_renamed(void **state)
{
    (void)state;
    struct store_options options = store_defaults();
    run_confined(&options, try_what_is_forbidden);
}

static int set_up(void **state)
{
    (void)state;
    net_wake_init();
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_store_folder, remove_store_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_all_of_it_works_in_the_sandbox),
        TEST(test_no_file_can_be_opened_deleted_or_renamed),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
