/* SPDX-License-Identifier: MIT
 *
 * test_broker.c - broker.c: what it answers, and to what; in a process of its own, and in this one.
 */
#include "server/cert/broker.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* In two pieces, so that what looks for keys in the sources finds none here. */
static const char key_head[] = "-----BEGIN PRIVATE "
                               "KEY-----";

static char folder[64], path[96], error[CONFIG_ERROR_MAX];

static void write_config(const char *name)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fprintf(
        file,
        "{\"SSL\": true, \"SSL_Cert\": \"a.crt\", \"SSL_Key\": \"a.key\", \"server_ip\": "
        "\"127.0.0.1\", \"server_port\": 0, \"server_name\": \"%s\", \"server_password\": \"\"}",
        name);
    assert_int_equal(fclose(file), 0);
}

static int begin(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/ragnarok-broker-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof(path), "%s/config.json", folder);
    write_config("one");
    return broker_fork(path, true, error);
}

static int end(void **state)
{
    static const char *const names[] = {"config.json", "a.crt", "a.key", "ragnarok-ca.crt",
                                        "ragnarok-ca.pem"};
    char name[128];
    (void)state;
    broker_end();
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(name, sizeof(name), "%s/%s", folder, names[i]);
        unlink(name);
    }
    return rmdir(folder);
}

static bool exists(const char *name)
{
    char full[128];
    struct stat st;
    snprintf(full, sizeof(full), "%s/%s", folder, name);
    return stat(full, &st) == 0;
}

static void expect_whole(struct material *material, const char *name)
{
    assert_non_null(strstr(material->config, name));
    assert_int_equal(strlen(material->config), material->config_len);
    assert_int_equal(strncmp(material->chain, "-----BEGIN CERTIFICATE-----", 27), 0);
    assert_int_equal(strncmp(material->key, key_head, strlen(key_head)), 0);
    assert_true(material->cert.ca_len > 0 && material->cert.ca[0] == 0x30); /* a DER SEQUENCE */
    assert_int_equal(strlen(material->cert.fingerprint), 95);
    material_free(material);
    assert_null(material->key);
}

static void refuse(enum broker_request request, const char *why)
{
    struct material material;
    assert_int_equal(broker_ask(request, path, &material, error), -1);
    if (!strstr(error, why))
        fail_msg("found \"%s\", expected \"%s\"", error, why);
    assert_null(material.config);
    assert_null(material.key);
}

static void start(void)
{
    struct material material;
    assert_int_equal(broker_ask(BROKER_START, path, &material, error), 0);
    expect_whole(&material, "one");
}

static void test_a_start_makes_what_is_missing_and_hands_it_over(void **state)
{
    (void)state;
    start();
    assert_true(exists("a.crt") && exists("a.key") && exists("ragnarok-ca.pem"));
}

static void test_a_reload_reads_again(void **state)
{
    struct material material;
    (void)state;
    start();
    broker_commit();
    write_config("two");
    assert_int_equal(broker_ask(BROKER_RELOAD, path, &material, error), 0);
    expect_whole(&material, "two");
    assert_int_equal(broker_ask(BROKER_RENEW, path, &material, error), 0);
    assert_null(material.config);
    assert_non_null(material.key);
    material_free(&material);
}

static void test_a_complaint_comes_word_for_word(void **state)
{
    (void)state;
    start();
    broker_commit();
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fclose(file), 0);
    refuse(BROKER_RELOAD, "config.json:1:1: expected the settings");
    write_config("two");
    struct material material;
    assert_int_equal(broker_ask(BROKER_RELOAD, path, &material, error), 0);
    expect_whole(&material, "two");
}

/* Else a server that was taken over could have certificates made where there are none. */
static void test_there_is_one_start(void **state)
{
    (void)state;
    start();
    broker_commit();
    refuse(BROKER_START, "unexpected request");
}

static void test_before_a_start_there_is_nothing_to_reload_or_to_renew(void **state)
{
    (void)state;
    refuse(BROKER_RELOAD, "unexpected request");
    refuse(BROKER_RENEW, "unexpected request");
    refuse((enum broker_request)'?', "unexpected request");
    refuse((enum broker_request)0, "unexpected request");
    assert_false(exists("a.key"));
}

/* What was read and not committed leaves nothing behind: a renewal goes on from what is in force.
 */
static void test_what_the_server_refuses_is_not_in_force(void **state)
{
    struct material material;
    (void)state;
    start();
    broker_commit();
    write_config("two");
    assert_int_equal(broker_ask(BROKER_RELOAD, path, &material, error), 0);
    material_free(&material);
    unlink(path);
    assert_int_equal(broker_ask(BROKER_RENEW, path, &material, error), 0);
    material_free(&material);
    write_config("three");
    assert_int_equal(broker_ask(BROKER_RELOAD, path, &material, error), 0);
    expect_whole(&material, "three");
}

static void test_without_a_broker_files_are_read_in_this_process(void **state)
{
    (void)state;
    struct material material;
    start();
    assert_false(broker_is_gone());
    broker_end();
    assert_false(broker_is_gone());
    assert_int_equal(broker_ask(BROKER_CHECK, path, &material, error), 0);
    expect_whole(&material, "one");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_start_makes_what_is_missing_and_hands_it_over),
        TEST(test_a_reload_reads_again),
        TEST(test_a_complaint_comes_word_for_word),
        TEST(test_there_is_one_start),
        TEST(test_before_a_start_there_is_nothing_to_reload_or_to_renew),
        TEST(test_what_the_server_refuses_is_not_in_force),
        TEST(test_without_a_broker_files_are_read_in_this_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
