/* SPDX-License-Identifier: MIT
 *
 * test_live_config.c - reading settings, putting them in force, and how long a generation lives.
 *
 * Each test has a broker of its own. That a generation is freed, and only once, AddressSanitizer
 * sees.
 */
#include "server/live_config.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/metrics.h"
#include "server/cert/broker.h"

static char folder[64], path[96], error[CONFIG_ERROR_MAX], kept[CONFIG_KEPT_MAX];

static void write_config(bool tls, const char *name, const char *more)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fchmod(fileno(file), 0600), 0);
    fprintf(file,
            "{\"SSL\": %s, \"SSL_Cert\": \"a.crt\", \"SSL_Key\": \"a.key\", \"server_ip\": "
            "\"127.0.0.1\", \"server_port\": 0, \"server_name\": \"%s\", \"server_password\": "
            "\"x\"%s}",
            tls ? "true" : "false", name, more);
    assert_int_equal(fclose(file), 0);
}

static int begin(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/ragnarok-live-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof(path), "%s/config.json", folder);
    write_config(false, "one", "");
    return broker_fork(path, false, error);
}

static int end(void **state)
{
    static const char *const names[] = {"config.json", "a.crt", "a.key", "ragnarok-ca.crt",
                                        "ragnarok-ca.pem"};
    char name[128];
    (void)state;
    live_config_publish(NULL);
    broker_end();
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(name, sizeof(name), "%s/%s", folder, names[i]);
        unlink(name);
    }
    return rmdir(folder);
}

static struct live_config *read_good(enum live_config_use use)
{
    struct live_config *settings = live_config_read(path, use, error);
    if (!settings)
        fail_msg("%s", error);
    return settings;
}

static bool is_written(const char *metric)
{
    size_t len;
    char *text = metrics_text(&len);
    assert_non_null(text);
    bool found = strstr(text, metric);
    free(text);
    return found;
}

static void test_settings_are_in_force_once_published(void **state)
{
    (void)state;
    assert_null(live_config_ref());
    live_config_unref(NULL);
    struct live_config *one = read_good(LIVE_CONFIG_START);
    assert_null(live_config_ref());
    assert_false(live_config_is_current(one));
    live_config_publish(one);
    assert_true(live_config_is_current(one));
    struct live_config *held = live_config_ref();
    assert_ptr_equal(held, one);
    assert_int_equal(held->references, 2);
    live_config_unref(held);
    assert_int_equal(one->references, 1);
    assert_string_equal(one->config.server_name, "one");
    assert_null(one->tls);
    assert_int_equal(one->trust.state, TRUST_PAGE_PLAIN);
    assert_false(is_written("\nragnarok_certificate_end_timestamp_seconds "));
}

/* Clients that use a generation keep it though another one is in force. */
static void test_a_generation_lives_as_long_as_it_is_held(void **state)
{
    (void)state;
    live_config_publish(read_good(LIVE_CONFIG_START));
    struct live_config *before = live_config_ref();
    write_config(false, "two", "");
    struct live_config *next = live_config_read_again(before, kept, error);
    assert_non_null(next);
    live_config_publish(next);
    assert_false(live_config_is_current(before));
    assert_true(live_config_is_current(next));
    assert_int_equal(before->references, 1);
    assert_string_equal(before->config.server_name, "one");
    assert_string_equal(next->config.server_name, "two");
    live_config_unref(before);
}

static void test_what_cannot_change_is_kept_and_named(void **state)
{
    (void)state;
    struct live_config *one = read_good(LIVE_CONFIG_START);
    live_config_publish(one);
    write_config(false, "two", ", \"room_buffer_bytes\": 1048576, \"history\": 7");
    struct live_config *next = live_config_read_again(one, kept, error);
    assert_non_null(next);
    assert_string_equal(kept, "room_buffer_bytes");
    assert_int_equal(next->config.room_buffer_bytes, one->config.room_buffer_bytes);
    assert_int_equal(next->config.history, 7);
    live_config_publish(next);
}

/* What is wrong is a complaint, and nothing has changed. */
static void test_a_file_that_is_wrong_changes_nothing(void **state)
{
    (void)state;
    struct live_config *one = read_good(LIVE_CONFIG_START);
    live_config_publish(one);
    write_config(false, "two", ", \"history\": -1");
    error[0] = '\0';
    assert_null(live_config_read_again(one, kept, error));
    assert_non_null(strstr(error, "history"));
    error[0] = '\0';
    assert_null(live_config_read(path, LIVE_CONFIG_CHECK, error));
    assert_non_null(strstr(error, "history"));
    unlink(path);
    error[0] = '\0';
    assert_null(live_config_read_again(one, kept, error));
    assert_non_null(strstr(error, path));
    assert_true(live_config_is_current(one));
    assert_int_equal(one->references, 1);
    assert_string_equal(one->config.server_name, "one");
}

static void test_checking_makes_no_certificate(void **state)
{
    (void)state;
    char name[128];
    write_config(true, "one", "");
    struct live_config *checked = read_good(LIVE_CONFIG_CHECK);
    assert_null(checked->tls);
    snprintf(name, sizeof(name), "%s/a.crt", folder);
    assert_int_not_equal(access(name, F_OK), 0);
    live_config_unref(checked);
}

/* A start makes the certificate; a renewal borrows the settings of the generation before. */
static void test_a_certificate_is_renewed_alone(void **state)
{
    (void)state;
    write_config(true, "one", "");
    struct live_config *one = read_good(LIVE_CONFIG_START);
    assert_non_null(one->tls);
    assert_int_equal(one->trust.state, TRUST_PAGE_OURS);
    assert_int_equal(one->trust.ca_len, one->cert.ca_len);
    assert_string_equal(one->trust.fingerprint, one->cert.ca_fingerprint);
    live_config_publish(one);
    assert_true(is_written("\nragnarok_certificate_end_timestamp_seconds "));
    assert_true(is_written("\nragnarok_authority_end_timestamp_seconds "));
    struct live_config *held = live_config_ref();
    struct live_config *second = live_config_renew(one, error);
    assert_non_null(second);
    assert_ptr_equal(second->origin, one);
    assert_non_null(second->tls);
    assert_ptr_equal(second->config.server_name, one->config.server_name);
    live_config_publish(second);
    assert_int_equal(one->references, 2); /* ours, and that of the second */
    struct live_config *third = live_config_renew(second, error);
    assert_non_null(third);
    assert_ptr_equal(third->origin, one); /* no chain that grows */
    live_config_unref(held);
    live_config_publish(third);
    assert_string_equal(third->config.server_name, "one");
    assert_int_equal(one->references, 1);
    live_config_publish(NULL);
    assert_null(live_config_ref());
    assert_false(is_written("\nragnarok_certificate_end_timestamp_seconds "));
}

static void test_a_renewal_without_its_files_changes_nothing(void **state)
{
    (void)state;
    char name[128];
    write_config(true, "one", "");
    struct live_config *one = read_good(LIVE_CONFIG_START);
    live_config_publish(one);
    snprintf(name, sizeof(name), "%s/a.key", folder);
    assert_int_equal(unlink(name), 0);
    error[0] = '\0';
    assert_null(live_config_renew(one, error));
    assert_true(error[0] != '\0');
    assert_int_equal(one->references, 1);
    assert_true(live_config_is_current(one));
}

static atomic_bool over;
static atomic_int wrong;

/* What a client does: holds a generation, looks at it, and takes the next one. */
static void *use_settings(void *argument)
{
    (void)argument;
    struct live_config *mine = live_config_ref();
    while (!over) {
        int history = mine->config.history;
        wrong += mine->config.server_name[0] != 'a' + history;
        if (!live_config_is_current(mine)) {
            live_config_unref(mine);
            mine = live_config_ref();
        }
    }
    live_config_unref(mine);
    return NULL;
}

static void test_threads_use_what_is_replaced(void **state)
{
    (void)state;
    enum { THREADS = 3, GENERATIONS = 15 };
    pthread_t threads[THREADS];
    write_config(false, "a", ", \"history\": 0");
    live_config_publish(read_good(LIVE_CONFIG_START));
    over = false;
    wrong = 0;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, use_settings, NULL), 0);
    for (int i = 1; i <= GENERATIONS; i++) {
        char name[2] = {(char)('a' + i), '\0'}, more[32];
        snprintf(more, sizeof(more), ", \"history\": %d", i);
        write_config(false, name, more);
        struct live_config *running = live_config_ref();
        struct live_config *next = live_config_read_again(running, kept, error);
        live_config_unref(running);
        assert_non_null(next);
        live_config_publish(next);
    }
    over = true;
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(wrong, 0);
    struct live_config *last = live_config_ref();
    assert_int_equal(last->references, 2);
    live_config_unref(last);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(test_settings_are_in_force_once_published),
        TEST(test_a_generation_lives_as_long_as_it_is_held),
        TEST(test_what_cannot_change_is_kept_and_named),
        TEST(test_a_file_that_is_wrong_changes_nothing),
        TEST(test_checking_makes_no_certificate),
        TEST(test_a_certificate_is_renewed_alone),
        TEST(test_a_renewal_without_its_files_changes_nothing),
        TEST(test_threads_use_what_is_replaced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
