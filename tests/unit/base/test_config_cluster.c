/* SPDX-License-Identifier: MIT
 *
 * test_config_cluster.c - the settings of a cluster: several servers that share their rooms.
 */
#include "base/config.h"

#include "config_file.h"

static void test_the_defaults_of_a_cluster(void **state)
{
    (void)state;
    write_with("SSL", "false", NULL);
    load();
    assert_string_equal(config.cluster_engine, "");
    assert_string_equal(config.cluster_user, "");
    assert_string_equal(config.cluster_password, "");
    assert_string_equal(config.cluster_secret, "");
    assert_string_equal(config.cluster_ca, "");
    assert_string_equal(config.cluster_prefix, "ragnarok");
    assert_int_equal(config.cluster_lease_seconds, 15);
    assert_int_equal(config.cluster_log_bytes, 0);
    assert_int_equal(config.cluster_room_seconds, 3600);
    assert_int_equal(config.cluster_queue_bytes, 8 << 20);
    config_free(&config);
}

static void test_the_settings_of_a_cluster(void **state)
{
    (void)state;
    write_with("cluster_engine", "\"tls:redis.example:6379\"",
               "\"cluster_user\": \"u\", \"cluster_password\": \"p\", \"cluster_ca\": \"ca.pem\", "
               "\"cluster_secret\": \"0123456789abcdef0123456789abcdef\", "
               "\"cluster_prefix\": \"a-b_c.d1\"");
    load();
    assert_string_equal(config.cluster_engine, "tls:redis.example:6379");
    assert_string_equal(config.cluster_ca, "ca.pem");
    assert_string_equal(config.cluster_prefix, "a-b_c.d1");
    config_free(&config);
    expect_refused("cluster_engine", "\"redis://x\"",
                   "expected \"unix:PATH\", \"tcp:HOST:PORT\", \"tls:HOST:PORT\" or "
                   "\"sentinel:NAME@HOST:PORT,...\", got \"redis://x\"");
    expect_refused("cluster_user", "\"u\"", "expected a cluster_password with it, got none");
    expect_refused("cluster_secret", "\"0123456789abcdef0123456789abcde\"",
                   "expected at least 32 bytes, or none, got 31");
    expect_refused("cluster_prefix", "\"a{b\"",
                   "expected letters, digits and - _ . only, got \"a{b\"");
    expect_refused("cluster_lease_seconds", "2",
                   "expected a whole number from 3 to 300, got 2 (a number)");
}

static void test_a_cluster_has_no_history_file(void **state)
{
    (void)state;
    write_with("history_file", "\"h.db\"", "\"cluster_engine\": \"unix:e\"");
    expect_complaint("config.json",
                     "config.json:9:17: history_file: expected \"\" because cluster_engine is set: "
                     "the engine keeps the past of the rooms, got a file");
}

/* What all servers of a cluster must have in common stays, too. */
static void test_a_cluster_keeps_what_its_servers_share(void **state)
{
    (void)state;
    struct config running;
    char kept[CONFIG_KEPT_MAX];
    write_with("server_password", "\"before\"", "\"cluster_engine\": \"unix:e\"");
    load();
    running = config;
    write_with("server_password", "\"after\"",
               "\"cluster_engine\": \"unix:e\", \"max_message_bytes\": 4096");
    load();
    assert_int_equal(config_keep(&config, &running, kept, error), 0);
    assert_string_equal(kept, "server_password,max_message_bytes");
    assert_string_equal(config.server_password, "before");
    assert_int_equal(config.max_message_bytes, 65536);
    config_free(&config);
    config_free(&running);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_the_defaults_of_a_cluster),
        TEST(test_the_settings_of_a_cluster),
        TEST(test_a_cluster_has_no_history_file),
        TEST(test_a_cluster_keeps_what_its_servers_share),
    };
    return cmocka_run_group_tests_name("config_cluster", tests, NULL, NULL);
}
