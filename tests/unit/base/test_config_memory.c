/* SPDX-License-Identifier: MIT
 *
 * test_config_memory.c - memory that runs out at each allocation of reading the settings. That
 * nothing is lost or freed twice, AddressSanitizer sees.
 */
#include "base/config.h"

#include "config_file.h"
#include "no_memory.h"

#define LISTS                                                                                      \
    "\"allowed_origins\": [\"https://a.example\", \"http://b.example:8080\"], "                    \
    "\"trusted_proxies\": [\"10.0.0.0/8\"], \"metrics_from\": [\"192.0.2.1\"], "                   \
    "\"history_file\": \"h.db\", \"history_rooms\": [\"\", \"tea\"]"

static void test_each_allocation_of_loading_fails_once(void **state)
{
    (void)state;
    int fails = 0;
    write_with("", NULL, LISTS);
    for (;; fails++) {
        struct config loaded;
        error[0] = '\0';
        no_memory_after(fails);
        int result = config_load(&loaded, "config.json", error);
        if (!no_memory_end()) {
            assert_int_equal(result, 0);
            assert_int_equal(loaded.allowed_origins_count, 2);
            config_free(&loaded);
            break;
        }
        assert_int_equal(result, -1);
        assert_non_null(strstr(error, "memory"));
    }
    assert_true(fails >= 11); /* six texts, two origins, two rooms, the path */
}

static void test_each_allocation_of_keeping_fails_once(void **state)
{
    (void)state;
    int fails = 0;
    struct config running;
    char kept[CONFIG_KEPT_MAX];
    write_with("", NULL, "\"history_rooms\": [\"a\", \"b\"], \"history_file\": \"h.db\"");
    assert_int_equal(config_load(&running, "config.json", error), 0);
    write_with("server_ip", "\"::1\"", NULL);
    for (;; fails++) {
        struct config next;
        assert_int_equal(config_load(&next, "config.json", error), 0);
        no_memory_after(fails);
        int result = config_keep(&next, &running, kept, error);
        bool failed = no_memory_end();
        if (failed) {
            assert_int_equal(result, -1);
            assert_string_equal(error, "out of memory while the configuration was read");
        } else {
            assert_int_equal(result, 0);
            assert_string_equal(kept, "server_ip,history_file,history_rooms");
            assert_string_equal(next.server_ip, "127.0.0.1");
        }
        config_free(&next);
        if (!failed)
            break;
    }
    assert_true(fails >= 4);
    config_free(&running);
}

/* The complaint names no file: it is the name that there was no memory for. */
static void test_a_text_without_memory(void **state)
{
    (void)state;
    static const char text[] =
        "{\"SSL\": false, \"SSL_Cert\": \"a\", \"SSL_Key\": \"b\", \"server_ip\": \"::1\", "
        "\"server_port\": 1, \"server_name\": \"n\", \"server_password\": \"p\"}";
    struct config parsed;
    no_memory_after(0);
    int result = config_parse(&parsed, "x.json", text, strlen(text), error);
    assert_true(no_memory_end());
    assert_int_equal(result, -1);
    assert_string_equal(error, "out of memory while the configuration was read");
    assert_int_equal(config_parse(&parsed, "x.json", text, strlen(text), error), 0);
    assert_string_equal(parsed.server_ip, "::1");
    config_free(&parsed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_each_allocation_of_loading_fails_once),
        TEST(test_each_allocation_of_keeping_fails_once),
        TEST(test_a_text_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
