/* SPDX-License-Identifier: MIT
 *
 * test_config_values.c - values that are refused, origins, blocks, reading again, complaints of
 * others.
 */
#include "base/config.h"

#include "config_file.h"

/* ---- Values that are refused ---- */

static void test_integers_are_whole_numbers(void **state)
{
    static const char *const found[][2] = {
        {"\"12345\"", "\"12345\" (a string)"},
        {"1.0", "1.0 (a number)"},
        {"1e3", "1e3 (a number)"},
        {"-0", "-0 (a number)"},
        {"4294967297", "4294967297 (a number)"},
        {"18446744073709551617", "18446744073709551617 (a number)"},
        {"true", "true"},
        {"null", "null"},
        {"[80]", "an array"},
        {"{\"a\": 80}", "an object"},
        {"1000000000000000000000000000000000000000000",
         "1000000000000000000000000000000000000000... (a number)"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(found); i++) {
        char words[200];
        snprintf(words, sizeof(words), "expected a whole number from 0 to 65535, got %s",
                 found[i][1]);
        expect_refused("server_port", found[i][0], words);
    }
}

static void test_bools_are_bools(void **state)
{
    (void)state;
    expect_refused("SSL", "\"true\"", "expected true or false, got \"true\" (a string)");
    expect_refused("SSL", "1", "expected true or false, got 1 (a number)");
    expect_refused("SSL", "null", "expected true or false, got null");
    expect_refused("log_addresses", "[]", "expected true or false, got an array");
}

static void test_log_level_is_one_of_four(void **state)
{
    static const char allowed[] = "\"error\", \"warn\", \"info\" or \"debug\"";
    static const char *const found[][2] = {
        {"\"Info\"", "\"Info\" (a string)"},
        {"\"\"", "\"\" (a string)"},
        {"\"information\"", "\"information\" (a string)"},
        {"2", "2 (a number)"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(found); i++) {
        char words[200];
        snprintf(words, sizeof(words), "expected %s, got %s", allowed, found[i][1]);
        expect_refused("log_level", found[i][0], words);
    }
}

static void test_strings_have_no_control_characters(void **state)
{
    static const char *const found[][2] = {
        {"\"a\\nb\"", "\"a\\nb\" (a string)"},
        {"\"a\\u0000b\"", "\"a\\u0000b\" (a string)"},
        {"\"a\\u001bb\"", "\"a\\u001bb\" (a string)"},
        {"\"a\\u0080b\"", "\"a\\u0080b\" (a string)"},
        {"\"a\\u009fb\"", "\"a\\u009fb\" (a string)"},
        {"\"a\x7F\"", "\"a?\" (a string)"},
        {"\"a\xC2\x9B\"", "\"a??\" (a string)"},
        {"5", "5 (a number)"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(found); i++) {
        char words[200];
        snprintf(words, sizeof(words),
                 "expected a string of 0 to 64 characters without control characters, got %s",
                 found[i][1]);
        expect_refused("server_name", found[i][0], words);
    }
}

static void test_no_control_character_is_no_other_character(void **state)
{
    (void)state;
    write_with("server_name", "\" ~\xC2\xA0\xC3\x85\"", NULL);
    load();
    assert_string_equal(config.server_name, " ~\xC2\xA0\xC3\x85");
    config_free(&config);
}

static void test_a_password_is_never_shown(void **state)
{
    static const char *const found[][2] = {
        {"\"geheim\\u0000\"", "a string"},
        {"\"geheim\\t\"", "a string"},
        {"963", "a number"},
        {"true", "true or false"},
        {"null", "null"},
        {"[\"geheim\"]", "an array"},
        {"{\"geheim\": \"geheim\"}", "an object"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(found); i++) {
        char words[200];
        snprintf(
            words, sizeof(words),
            "expected a string of 0 to 256 bytes without control characters, got %s (not shown)",
            found[i][1]);
        expect_refused("server_password", found[i][0], words);
    }
}

static void test_what_is_shown_is_cut_between_characters(void **state)
{
    char words[400] = "expected a string of 0 to 64 characters without control characters, got \"";
    (void)state;
    for (int i = 0; i < 39; i++)
        strcat(words, "\xE2\x82\xAC");
    strcat(words, "...\" (a string)");
    expect_refused("server_name", repeat("\xE2\x82\xAC", 65), words);
}

/* ---- allowed_origins ---- */

static void test_origins_are_taken_as_browsers_send_them(void **state)
{
    static const char *const origins[] = {
        "*",
        "null",
        "https://example.org",
        "http://localhost:8080",
        "https://[2001:db8::1]:65535",
        "http://[::1]",
        "moz-extension://0a1b-2c",
        "http://a_b.example:0",
    };
    (void)state;
    write_with("allowed_origins",
               " [ \"*\" ,\"null\",\n\t\"HTTPS://Example.org\", \"http:\\/\\/localhost:8080\",\r\n"
               "\"https://[2001:DB8::1]:65535\",\"http://[::1]\",\"moz-extension://0a1b-2c\","
               "\"http://a_b.example:0\" ] ",
               NULL);
    load();
    assert_int_equal(config.allowed_origins_count, COUNT(origins));
    for (size_t i = 0; i < COUNT(origins); i++)
        assert_string_equal(config.allowed_origins[i], origins[i]);
    config_free(&config);
    write_with("allowed_origins", "[ ]", NULL);
    load();
    assert_int_equal(config.allowed_origins_count, 0);
    config_free(&config);
}

#define ORIGINS_ALLOWED                                                                            \
    "an array of at most 32 strings, each \"*\", \"null\" or scheme://host[:port] without a path"

/* Puts `item` behind a good entry; the complaint names the place of the item, not of the array. */
static void expect_no_origin(const char *item, const char *found)
{
    char value[1024], complaint[CONFIG_ERROR_MAX];
    snprintf(value, sizeof(value), "[\"*\",\n  %s]", item);
    write_with("allowed_origins", value, NULL);
    snprintf(complaint, sizeof(complaint),
             "config.json:10:3: allowed_origins: expected " ORIGINS_ALLOWED ", got %s", found);
    expect_complaint("config.json", complaint);
}

static void test_origins_that_no_browser_sends(void **state)
{
    static const char *const texts[] = {
        "",
        "**",
        "NULL ",
        "example.org",
        "//example.org",
        "://example.org",
        "3http://example.org",
        "http:/example.org",
        "http://",
        "http://:80",
        "http://a/",
        "http://a/b",
        "http://a?b",
        "http://a b",
        "http://u@a",
        "http://\xC3\xA4",
        "http://a:",
        "http://a:b",
        "http://a:65536",
        "http://a:123456",
        "http://a:000080",
        "http://a:80/",
        "http://[::1",
        "http://[]",
        "http://[::g]",
        "http://[::1]x",
        "http://*.example.org",
    };
    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        char item[64], found[80];
        snprintf(item, sizeof(item), "\"%s\"", texts[i]);
        snprintf(found, sizeof(found), "\"%s\" (a string)", texts[i]);
        expect_no_origin(item, found);
    }
}

static void test_origins_are_strings_in_an_array(void **state)
{
    (void)state;
    expect_no_origin("80", "80 (a number)");
    expect_no_origin("null", "null");
    expect_no_origin("false", "false");
    expect_no_origin("[\"*\"]", "an array");
    expect_no_origin("{\"a\": 1}", "an object");
    expect_no_origin("\"http://a\\u0000.example\"", "\"http://a\\u0000.example\" (a string)");
    expect_no_origin("\"a\\\"]\"", "\"a\\\"]\" (a string)");
    expect_refused("allowed_origins", "\"*\"",
                   "expected " ORIGINS_ALLOWED ", got \"*\" (a string)");
    expect_refused("allowed_origins", "{\"*\": 1}", "expected " ORIGINS_ALLOWED ", got an object");
}

static void test_an_origin_is_at_most_300_bytes(void **state)
{
    char value[400], host[400];
    (void)state;
    memset(host, 'h', sizeof(host));
    snprintf(value, sizeof(value), "[\"http://%.*s\"]", 293, host);
    write_with("allowed_origins", value, NULL);
    load();
    assert_int_equal(strlen(config.allowed_origins[0]), 300);
    config_free(&config);
    snprintf(value, sizeof(value), "\"http://%.*s\"", 294, host);
    expect_no_origin(value, "\"http://hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh...\" (a string)");
}

static void test_32_origins_and_one_more(void **state)
{
    char value[1024] = "[\"*\"";
    (void)state;
    for (int i = 1; i < 32; i++)
        strcat(value, ",\"*\"");
    strcat(value, "]");
    write_with("allowed_origins", value, NULL);
    load();
    assert_int_equal(config.allowed_origins_count, 32);
    config_free(&config);
    strcpy(strchr(value, ']'), ",\n\"*\"]");
    write_with("allowed_origins", value, NULL);
    expect_complaint("config.json",
                     "config.json:10:1: allowed_origins: expected at most 32 entries, got more");
}

/* ---- trusted_proxies, metrics_from ---- */

static void test_blocks(void **state)
{
    (void)state;
    write_with("trusted_proxies", "[\"127.0.0.1\", \"10.0.0.0/8\", \"2001:db8::/32\", \"::1\"]",
               NULL);
    load();
    assert_int_equal(config.trusted_proxies.count, 4);
    assert_int_equal(config.trusted_proxies.blocks[1].bits, 96 + 8);
    assert_int_equal(config.metrics_from.count, 0);
    config_free(&config);
    write_with("metrics_from", "[]", NULL);
    load();
    assert_int_equal(config.metrics_from.count, 0);
    config_free(&config);
}

static void test_what_is_no_block(void **state)
{
    (void)state;
    write_with("metrics_from", "[\"::1\",\n \"10.0.0.1/8\"]", NULL);
    expect_complaint("config.json",
                     "config.json:10:2: metrics_from: expected an array of at most 32 strings, "
                     "each an address or a block of them like \"10.0.0.0/8\", with no bit set "
                     "behind the prefix, got \"10.0.0.1/8\" (a string)");
}

static void test_32_blocks_and_one_more(void **state)
{
    (void)state;
    char value[1024] = "[\n\"::\"";
    for (int i = 1; i < 32; i++)
        sprintf(value + strlen(value), ", \"::%x\"", (unsigned)i);
    size_t end = strlen(value);
    strcpy(value + end, "]");
    write_with("trusted_proxies", value, NULL);
    load();
    assert_int_equal(config.trusted_proxies.count, 32);
    config_free(&config);
    strcpy(value + end, ",\n\"::1\"]");
    write_with("trusted_proxies", value, NULL);
    expect_complaint("config.json",
                     "config.json:11:1: trusted_proxies: expected at most 32 entries, got more");
}

/* ---- Reading it again ---- */

static struct config running;

static char kept[CONFIG_KEPT_MAX];

/* What runs is the seven with one key changed; from then on `config` is the file with another
 * one. */
static void run_with(const char *key, const char *value)
{
    write_with(key, value, NULL);
    load();
    running = config;
}

static void free_both(void)
{
    config_free(&config);
    config_free(&running);
}

static void test_what_stays_while_it_runs(void **state)
{
    (void)state;
    static const struct {
        const char *key, *value;
    } stays[] = {
        {"server_ip", "\"::1\""},
        {"server_port", "1"},
        {"room_buffer_bytes", "1048576"},
        {"SSL", "true"},
        {"history_file", "\"other.db\""},
        {"history_sync", "\"power\""},
        {"history_rooms", "[\"\", \"tea\"]"},
        {"history_rooms", "[\"tea\"]"},
        {"history_search", "true"},
        {"cluster_engine", "\"unix:e\""},
        {"cluster_password", "\"p\""},
        {"cluster_secret", "\"0123456789abcdef0123456789abcdef\""},
        {"cluster_ca", "\"ca.pem\""},
        {"cluster_prefix", "\"x\""},
        {"cluster_lease_seconds", "3"},
        {"cluster_log_bytes", "1"},
        {"cluster_room_seconds", "60"},
        {"cluster_queue_bytes", "65536"},
    };
    for (size_t i = 0; i < COUNT(stays); i++) {
        run_with("server_name", "\"before\"");
        write_with(stays[i].key, stays[i].value, "\"max_clients\": 7");
        load();
        assert_int_equal(config_keep(&config, &running, kept, error), 0);
        assert_string_equal(kept, stays[i].key);
        assert_false(config.SSL);
        assert_string_equal(config.server_ip, "127.0.0.1");
        assert_int_equal(config.server_port, 12345);
        assert_int_equal(config.room_buffer_bytes, 2 << 20);
        assert_string_equal(config.server_name, "Ks");
        assert_int_equal(config.max_clients, 7);
        assert_string_equal(config.history_file, "");
        assert_int_equal(config.history_sync, CONFIG_SYNC_PROCESS);
        assert_int_equal(config.history_rooms_count, 1);
        assert_string_equal(config.history_rooms[0], "");
        assert_false(config.history_search);
        free_both();
    }
}

static void test_what_is_the_same_is_not_told(void **state)
{
    (void)state;
    run_with("server_name", "\"before\"");
    load();
    assert_int_equal(config_keep(&config, &running, kept, error), 0);
    assert_string_equal(kept, "");
    free_both();
}

static void test_tls_stays_with_its_paths(void **state)
{
    (void)state;
    run_with("SSL", "true");
    write_text(
        "{\"SSL\": false, \"server_ip\": \"::\", \"server_port\": 1, \"server_name\": \"x\",\n"
        "\"server_password\": \"\"}");
    load();
    assert_int_equal(config_keep(&config, &running, kept, error), 0);
    assert_string_equal(kept, "SSL,server_ip,server_port");
    assert_true(config.SSL);
    assert_string_equal(config.SSL_Cert, "self-signed.crt");
    assert_string_equal(config.SSL_Key, "self-signed.pem");
    assert_string_equal(config.server_name, "x");
    free_both();
}

static void test_messages_must_fit_the_rooms_there_are(void **state)
{
    (void)state;
    run_with("max_clients", "7");
    write_with("max_message_bytes", "1048576", "\"room_buffer_bytes\": 16777216");
    load();
    assert_int_equal(config_keep(&config, &running, kept, error), -1);
    assert_string_equal(error, "config.json:9:22: max_message_bytes: expected a room_buffer_bytes "
                               "of at least 8 x (max_message_bytes + 1024) = 8396800, got "
                               "room_buffer_bytes 2097152 and max_message_bytes 1048576");
    free_both();
}

/* ---- The history file ---- */

static void test_the_history_file_is_relative_to_the_settings(void **state)
{
    (void)state;
    write_with("history_file", "\"past.db\"",
               "\"history_sync\": \"power\", \"history_hours\": 0, \"history_messages\": 10000000");
    load();
    assert_string_equal(config.history_file, "past.db");
    assert_int_equal(config.history_sync, CONFIG_SYNC_POWER);
    assert_int_equal(config.history_hours, 0);
    assert_int_equal(config.history_messages, 10000000);
    config_free(&config);
    expect_refused("history_messages", "10000001",
                   "expected a whole number from 1 to 10000000, got 10000001 (a number)");
    expect_refused("history_hours", "876001",
                   "expected a whole number from 0 to 876000, got 876001 (a number)");
    expect_refused("history_sync", "\"disk\"",
                   "expected \"process\" or \"power\", got \"disk\" (a string)");
    expect_refused("history_sync", "\"processes\"",
                   "expected \"process\" or \"power\", got \"processes\" (a string)");
}

static void test_which_rooms_are_kept(void **state)
{
    (void)state;
    static const struct {
        const char *rooms;
        bool main, tea, upper;
    } rows[] = {
        {"[\"\"]", true, false, false},    {"[]", false, false, false},
        {"[\"tea\"]", false, true, false}, {"[\"\", \"tea\"]", true, true, false},
        {"[\"*\"]", true, true, true},     {"[\"x\", \"*\"]", true, true, true},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        write_with("history_rooms", rows[i].rooms, "\"history_file\": \"h.db\"");
        load();
        assert_int_equal(config_keeps_history(&config, ""), rows[i].main);
        assert_int_equal(config_keeps_history(&config, "tea"), rows[i].tea);
        assert_int_equal(config_keeps_history(&config, "Tea"), rows[i].upper);
        config_free(&config);
    }
    write_with("history_rooms", "[\"*\"]", NULL); /* but no file */
    load();
    assert_false(config_keeps_history(&config, ""));
    config_free(&config);
    write_with("history_rooms", "[\"\",\n \" tea\"]", NULL);
    expect_complaint("config.json",
                     "config.json:10:2: history_rooms: expected an array of at most 64 strings, "
                     "each the name of a room of 1 to 32 characters, \"\" for the main room, or "
                     "\"*\" for all, got \" tea\" (a string)");
}

/* ---- Complaints of others ---- */

static void test_complaints_of_others_name_the_place(void **state)
{
    (void)state;
    write_with("server_port", "   80", NULL);
    load();
    assert_int_equal(config_complain(&config, "server_port", error, "port %d is in use", 80), -1);
    assert_string_equal(error, "config.json:6:19: server_port: port 80 is in use");
    assert_int_equal(config_complain(&config, "history", error, "no"), -1);
    assert_string_equal(error, "config.json: history: no");
    config_free(&config);
}

static void test_complaints_of_others_are_one_line(void **state)
{
    (void)state;
    write_with("SSL", "false", NULL);
    load();
    config_complain(&config, "SSL", error, "%s", "a\nb\x1B[2J\xC2\x85\xC3\xA9");
    assert_string_equal(error, "config.json:2:8: SSL: a?b?[2J??\xC3\xA9");
    config_free(&config);
}

static void test_complaints_too_long_are_cut_between_characters(void **state)
{
    char text[CONFIG_ERROR_MAX + 8] = "";
    (void)state;
    write_with("SSL", "false", NULL);
    load();
    for (int pad = 0; pad < 4; pad++) {
        memset(text, '.', (size_t)pad);
        text[pad] = '\0';
        while (strlen(text) < CONFIG_ERROR_MAX)
            strcat(text, "\xF0\x9F\x9A\xA2");
        config_complain(&config, "SSL", error, "%s", text);
        size_t len = strlen(error), head = strlen("config.json:2:8: SSL: ");
        assert_in_range(len, CONFIG_ERROR_MAX - 5, CONFIG_ERROR_MAX - 1);
        assert_int_equal((len - head - (size_t)pad) % 4, 0);
    }
    config_free(&config);
}

/* As long as there is room for: nothing is cut, though the last character has two bytes. */
static void test_complaints_that_just_fit_are_whole(void **state)
{
    char text[CONFIG_ERROR_MAX] = "";
    size_t head = strlen("config.json:2:8: SSL: ");
    (void)state;
    write_with("SSL", "false", NULL);
    load();
    memset(text, '.', CONFIG_ERROR_MAX - 2 - head - 2);
    strcat(text, "\xC3\xA9");
    config_complain(&config, "SSL", error, "%s", text);
    assert_string_equal(error + head, text);
    assert_int_equal(strlen(error), CONFIG_ERROR_MAX - 2);
    config_free(&config);
}

static void test_complaints_of_no_key_name_no_place(void **state)
{
    (void)state;
    write_with("SSL", "false", NULL);
    load();
    config_complain(&config, "no_such_key", error, "%s", "x");
    assert_string_equal(error, "config.json: no_such_key: x");
    config_free(&config);
}

static void test_free_may_be_called_again(void **state)
{
    (void)state;
    write_with("allowed_origins", "[\"*\"]", NULL);
    load();
    config.SSL = true;
    config_free(&config);
    config_free(&config);
    assert_false(config.SSL);
    assert_null(config.path);
    assert_int_equal(config.allowed_origins_count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_integers_are_whole_numbers),
        TEST(test_bools_are_bools),
        TEST(test_log_level_is_one_of_four),
        TEST(test_strings_have_no_control_characters),
        TEST(test_no_control_character_is_no_other_character),
        TEST(test_a_password_is_never_shown),
        TEST(test_what_is_shown_is_cut_between_characters),
        TEST(test_origins_are_taken_as_browsers_send_them),
        TEST(test_origins_that_no_browser_sends),
        TEST(test_origins_are_strings_in_an_array),
        TEST(test_an_origin_is_at_most_300_bytes),
        TEST(test_32_origins_and_one_more),
        TEST(test_blocks),
        TEST(test_what_is_no_block),
        TEST(test_32_blocks_and_one_more),
        TEST(test_what_stays_while_it_runs),
        TEST(test_what_is_the_same_is_not_told),
        TEST(test_tls_stays_with_its_paths),
        TEST(test_messages_must_fit_the_rooms_there_are),
        TEST(test_the_history_file_is_relative_to_the_settings),
        TEST(test_which_rooms_are_kept),
        TEST(test_complaints_of_others_name_the_place),
        TEST(test_complaints_of_others_are_one_line),
        TEST(test_complaints_too_long_are_cut_between_characters),
        TEST(test_complaints_that_just_fit_are_whole),
        TEST(test_complaints_of_no_key_name_no_place),
        TEST(test_free_may_be_called_again),
    };
    return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
