/* SPDX-License-Identifier: MIT
 *
 * test_config.c - config.c: every setting at its bounds, and every complaint, word for word.
 *
 * Each test works in an empty folder of its own, so that complaints start with "config.json".
 */
#include "../config.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

enum { FILE_ROOM = 2 * CONFIG_FILE_MAX };

/* ---- Files ---------------------------------------------------------------------------------- */

static char folder[64];

static int enter_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/ragnarok-config-XXXXXX");
    return mkdtemp(folder) && chmod(folder, 0755) == 0 ? chdir(folder) : -1;
}

static int leave_folder(void **state)
{
    (void)state;
    unlink("config.json");
    return chdir("/") == 0 ? rmdir(folder) : -1;
}

static void write_bytes(const char *path, const char *bytes, size_t len)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

static void write_text(const char *text)
{
    write_bytes("config.json", text, strlen(text));
}

/* The seven keys, one a line from line 2 on. */
static const struct {
    const char *key, *value;
} seven[] = {
    {"SSL", "false"},
    {"SSL_Cert", "\"self-signed.crt\""},
    {"SSL_Key", "\"self-signed.pem\""},
    {"server_ip", "\"127.0.0.1\""},
    {"server_port", "12345"},
    {"server_name", "\"Ks\""},
    {"server_password", "\"963\""},
};

/* Writes the seven with `key` set to `value` (NULL: without it), and with the line `extra` last,
 * unless that is NULL. A key that is not of the seven gets line 9. Returns the line of `key`. */
static int write_with(const char *key, const char *value, const char *extra)
{
    static char text[FILE_ROOM];
    int at = 0, line = 0;
    for (size_t i = 0; i < COUNT(seven); i++) {
        bool changed = strcmp(seven[i].key, key) == 0;
        if (changed)
            line = (int)i + 2;
        if (!changed || value)
            at += sprintf(text + at, "%s\n\"%s\": %s", at ? "," : "{", seven[i].key,
                          changed ? value : seven[i].value);
    }
    if (line == 0 && value) {
        line = 9;
        at += sprintf(text + at, ",\n\"%s\": %s", key, value);
    }
    if (extra)
        at += sprintf(text + at, ",\n%s", extra);
    sprintf(text + at, "\n}\n");
    write_text(text);
    return line;
}

/* ---- Loading -------------------------------------------------------------------------------- */

static struct config config;
static char error[CONFIG_ERROR_MAX];

static void load(void)
{
    error[0] = '\0';
    if (config_load(&config, "config.json", error) < 0)
        fail_msg("refused: %s", error);
}

static void expect_complaint(const char *path, const char *complaint)
{
    memset(error, 'x', sizeof(error));
    assert_int_equal(config_load(&config, path, error), -1);
    assert_string_equal(error, complaint);
    assert_null(config.path); /* nothing is left to be freed */
    assert_null(config.server_password);
    assert_int_equal(config.allowed_origins_count, 0);
}

/* Expects that `value` of `key` is refused, at its line and column, in these words. */
static void expect_refused(const char *key, const char *value, const char *words)
{
    char complaint[CONFIG_ERROR_MAX];
    int line = write_with(key, value, NULL);
    snprintf(complaint, sizeof(complaint), "config.json:%d:%d: %s: %s", line, (int)strlen(key) + 5,
             key, words);
    expect_complaint("config.json", complaint);
}

/* A JSON string of `n` times `unit`. */
static const char *repeat(const char *unit, int n)
{
    static char text[FILE_ROOM];
    size_t len = strlen(unit);
    text[0] = '"';
    for (int i = 0; i < n; i++)
        memcpy(text + 1 + (size_t)i * len, unit, len);
    strcpy(text + 1 + (size_t)n * len, "\"");
    return text;
}

/* ---- What is read --------------------------------------------------------------------------- */

static void test_seven_keys_are_enough(void **state)
{
    (void)state;
    write_with("SSL", "true", NULL);
    load();
    assert_true(config.SSL);
    assert_string_equal(config.SSL_Cert, "self-signed.crt");
    assert_string_equal(config.SSL_Key, "self-signed.pem");
    assert_string_equal(config.server_ip, "127.0.0.1");
    assert_int_equal(config.server_port, 12345);
    assert_string_equal(config.server_name, "Ks");
    assert_string_equal(config.server_password, "963");
    assert_string_equal(config.path, "config.json");
    config_free(&config);
}

static void test_absent_keys_have_defaults(void **state)
{
    (void)state;
    write_with("SSL", "false", NULL);
    load();
    assert_false(config.SSL);
    assert_int_equal(config.max_clients, 1000);
    assert_int_equal(config.max_clients_per_address, 100);
    assert_false(config.exempt_loopback);
    assert_int_equal(config.max_rooms, 100);
    assert_int_equal(config.max_message_bytes, 65536);
    assert_int_equal(config.room_buffer_bytes, 2097152);
    assert_int_equal(config.max_messages_per_second, 50);
    assert_int_equal(config.max_bytes_per_second, 65536);
    assert_int_equal(config.too_fast_seconds, 30);
    assert_int_equal(config.history, 0);
    assert_int_equal(config.allowed_origins_count, 0);
    assert_int_equal(config.handshake_timeout_seconds, 10);
    assert_int_equal(config.login_timeout_seconds, 10);
    assert_int_equal(config.frame_timeout_seconds, 30);
    assert_int_equal(config.ping_interval_seconds, 30);
    assert_int_equal(config.log_level, LOG_LEVEL_INFO);
    assert_false(config.log_addresses);
    config_free(&config);
}

static void test_keys_are_known_however_they_are_escaped(void **state)
{
    (void)state;
    write_with("SSL", "false", "\"hist\\u006fry\": 7");
    load();
    assert_int_equal(config.history, 7);
    config_free(&config);
}

static void test_true_and_false(void **state)
{
    (void)state;
    write_with("log_addresses", "true", NULL);
    load();
    assert_true(config.log_addresses);
    config_free(&config);
    write_with("log_addresses", "false", NULL);
    load();
    assert_false(config.log_addresses);
    config_free(&config);
}

static void test_every_log_level(void **state)
{
    static const char *const values[] = {"\"error\"", "\"warn\"", "\"info\"", "\"debug\""};
    (void)state;
    for (size_t i = 0; i < COUNT(values); i++) {
        write_with("log_level", values[i], NULL);
        load();
        assert_int_equal(config.log_level, (enum log_level)i);
        config_free(&config);
    }
}

static void expect_paths(const char *value, const char *path)
{
    write_with("SSL_Cert", value, NULL);
    assert_int_equal(mkdir("sub", 0755), 0);
    assert_int_equal(rename("config.json", "sub/config.json"), 0);
    assert_int_equal(config_load(&config, "sub/config.json", error), 0);
    assert_string_equal(config.SSL_Cert, path);
    assert_string_equal(config.SSL_Key, "sub/self-signed.pem");
    config_free(&config);
    unlink("sub/config.json");
    rmdir("sub");
}

static void test_paths_are_relative_to_the_file(void **state)
{
    (void)state;
    expect_paths("\"a.crt\"", "sub/a.crt");
    expect_paths("\"../a.crt\"", "sub/../a.crt");
    expect_paths("\"/etc/a.crt\"", "/etc/a.crt");
}

static void test_paths_may_be_absent_or_empty_without_tls(void **state)
{
    (void)state;
    write_with("SSL_Cert", NULL, NULL);
    load();
    assert_null(config.SSL_Cert);
    config_free(&config);
    write_with("SSL_Key", "\"\"", NULL);
    load();
    assert_string_equal(config.SSL_Key, "");
    config_free(&config);
}

/* ---- Bounds --------------------------------------------------------------------------------- */

static const struct {
    const char *key;
    size_t offset;
    long min, max;
    const char *with; /* what else the file must say so that both are possible */
} integers[] = {
    {"server_port", offsetof(struct config, server_port), 0, 65535, NULL},
    {"max_clients", offsetof(struct config, max_clients), 1, 100000, NULL},
    {"max_clients_per_address", offsetof(struct config, max_clients_per_address), 0, 100000, NULL},
    {"max_rooms", offsetof(struct config, max_rooms), 1, 10000, NULL},
    {"max_message_bytes", offsetof(struct config, max_message_bytes), 256, 16777216,
     "\"room_buffer_bytes\": 1073741824"},
    {"room_buffer_bytes", offsetof(struct config, room_buffer_bytes), 10240, 1073741824,
     "\"max_message_bytes\": 256"},
    {"max_messages_per_second", offsetof(struct config, max_messages_per_second), 0, 1000000, NULL},
    {"max_bytes_per_second", offsetof(struct config, max_bytes_per_second), 0, 1000000000, NULL},
    {"too_fast_seconds", offsetof(struct config, too_fast_seconds), 0, 3600, NULL},
    {"history", offsetof(struct config, history), 0, 10000, NULL},
    {"handshake_timeout_seconds", offsetof(struct config, handshake_timeout_seconds), 1, 3600,
     NULL},
    {"login_timeout_seconds", offsetof(struct config, login_timeout_seconds), 1, 3600, NULL},
    {"frame_timeout_seconds", offsetof(struct config, frame_timeout_seconds), 1, 3600, NULL},
    {"ping_interval_seconds", offsetof(struct config, ping_interval_seconds), 1, 3600, NULL},
};

static void expect_integer(size_t i, long number)
{
    char value[32];
    int stored;
    snprintf(value, sizeof(value), "%ld", number);
    write_with(integers[i].key, value, integers[i].with);
    load();
    memcpy(&stored, (const char *)&config + integers[i].offset, sizeof(stored));
    assert_int_equal(stored, number);
    config_free(&config);
}

static void expect_no_integer(size_t i, long number)
{
    char value[32], words[160];
    snprintf(value, sizeof(value), "%ld", number);
    snprintf(words, sizeof(words),
             "found %ld (a number), allowed is a whole number from %ld to %ld", number,
             integers[i].min, integers[i].max);
    expect_refused(integers[i].key, value, words);
}

static void test_integers_at_their_bounds(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(integers); i++) {
        expect_integer(i, integers[i].min);
        expect_integer(i, integers[i].max);
        expect_no_integer(i, integers[i].min - 1);
        expect_no_integer(i, integers[i].max + 1);
    }
}

static void test_server_name_is_1_to_64_characters(void **state)
{
    (void)state;
    write_with("server_name", "\"x\"", NULL);
    load();
    config_free(&config);
    write_with("server_name", repeat("\xF0\x9F\x9A\xA2", 64), NULL);
    load();
    assert_int_equal(strlen(config.server_name), 256);
    config_free(&config);
    expect_refused("server_name", "\"\"",
                   "found \"\" (a string), allowed is a string of 1 to 64 characters without "
                   "control characters");
    expect_refused("server_name", repeat("x", 65),
                   "found \"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...\" (a string), allowed is a "
                   "string of 1 to 64 characters without control characters");
}

static void test_server_password_is_0_to_256_bytes(void **state)
{
    (void)state;
    write_with("server_password", "\"\"", NULL);
    load();
    assert_string_equal(config.server_password, "");
    config_free(&config);
    write_with("server_password", repeat("\xC3\xA4", 128), NULL);
    load();
    assert_int_equal(strlen(config.server_password), 256);
    config_free(&config);
    expect_refused("server_password", repeat("p", 257),
                   "found a string (not shown), allowed is a string of 0 to 256 bytes without "
                   "control characters");
}

static void test_server_ip_is_1_to_255_bytes(void **state)
{
    (void)state;
    write_with("server_ip", repeat("a", 255), NULL);
    load();
    assert_int_equal(strlen(config.server_ip), 255);
    config_free(&config);
    expect_refused("server_ip", "\"\"",
                   "found \"\" (a string), allowed is a string of 1 to 255 bytes without control "
                   "characters");
    expect_refused("server_ip", repeat("a", 256),
                   "found \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...\" (a string), allowed is a "
                   "string of 1 to 255 bytes without control characters");
}

static void test_paths_are_at_most_4095_bytes(void **state)
{
    (void)state;
    write_with("SSL_Key", repeat("k", 4095), NULL);
    load();
    assert_int_equal(strlen(config.SSL_Key), 4095);
    config_free(&config);
    expect_refused(
        "SSL_Key", repeat("k", 4096),
        "found \"kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk...\" (a string), allowed is the "
        "path of a file, at most 4095 bytes without control characters");
}

static void test_room_buffer_holds_eight_messages(void **state)
{
    (void)state;
    write_with("room_buffer_bytes", "532480", NULL); /* 8 * (65536 + 1024) */
    load();
    config_free(&config);
    expect_refused("room_buffer_bytes", "532479",
                   "found room_buffer_bytes 532479 and max_message_bytes 65536, allowed is a "
                   "room_buffer_bytes of at least 8 x (max_message_bytes + 1024) = 532480");
    write_with("max_message_bytes", "261120", NULL); /* 2097152 / 8 - 1024 */
    load();
    config_free(&config);
    expect_refused("max_message_bytes", "261121",
                   "found room_buffer_bytes 2097152 and max_message_bytes 261121, allowed is a "
                   "room_buffer_bytes of at least 8 x (max_message_bytes + 1024) = 2097160");
}

/* ---- Values that are refused ---------------------------------------------------------------- */

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
        snprintf(words, sizeof(words), "found %s, allowed is a whole number from 0 to 65535",
                 found[i][1]);
        expect_refused("server_port", found[i][0], words);
    }
}

static void test_bools_are_bools(void **state)
{
    (void)state;
    expect_refused("SSL", "\"true\"", "found \"true\" (a string), allowed is true or false");
    expect_refused("SSL", "1", "found 1 (a number), allowed is true or false");
    expect_refused("SSL", "null", "found null, allowed is true or false");
    expect_refused("log_addresses", "[]", "found an array, allowed is true or false");
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
        snprintf(words, sizeof(words), "found %s, allowed is %s", found[i][1], allowed);
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
                 "found %s, allowed is a string of 1 to 64 characters without control characters",
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
        snprintf(words, sizeof(words),
                 "found %s (not shown), allowed is a string of 0 to 256 bytes without control "
                 "characters",
                 found[i][1]);
        expect_refused("server_password", found[i][0], words);
    }
}

static void test_what_is_shown_is_cut_between_characters(void **state)
{
    char words[400] = "found \"";
    (void)state;
    for (int i = 0; i < 39; i++)
        strcat(words, "\xE2\x82\xAC");
    strcat(words, "...\" (a string), allowed is a string of 1 to 64 characters without control "
                  "characters");
    expect_refused("server_name", repeat("\xE2\x82\xAC", 65), words);
}

/* ---- allowed_origins ------------------------------------------------------------------------ */

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
             "config.json:10:3: allowed_origins: found %s, allowed is " ORIGINS_ALLOWED, found);
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
                   "found \"*\" (a string), allowed is " ORIGINS_ALLOWED);
    expect_refused("allowed_origins", "{\"*\": 1}", "found an object, allowed is " ORIGINS_ALLOWED);
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
    expect_complaint(
        "config.json",
        "config.json:10:1: allowed_origins: found more than 32 entries, allowed are 32");
}

/* ---- trusted_proxies, metrics_from ----------------------------------------------------------- */

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
    expect_complaint(
        "config.json",
        "config.json:10:2: metrics_from: found \"10.0.0.1/8\" (a string), allowed is an "
        "array of at most 32 strings, each an address or a block of them like "
        "\"10.0.0.0/8\", with no bit set behind the prefix");
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
    expect_complaint(
        "config.json",
        "config.json:11:1: trusted_proxies: found more than 32 entries, allowed are 32");
}

/* ---- Reading it again ------------------------------------------------------------------------ */

static struct config running;
static char kept[CONFIG_KEPT_MAX];

/* What runs is the seven with one key changed; from then on `config` is the file with another one. */
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
    assert_string_equal(error,
                        "config.json:9:22: max_message_bytes: found room_buffer_bytes 2097152 and "
                        "max_message_bytes 1048576, allowed is a room_buffer_bytes of at least 8 x "
                        "(max_message_bytes + 1024) = 8396800");
    free_both();
}

/* ---- Keys that are missing or unknown ------------------------------------------------------- */

static void test_each_of_the_seven_is_needed(void **state)
{
    static const char *const needed[][2] = {
        {"SSL", "true or false"},
        {"server_ip", "a string of 1 to 255 bytes without control characters"},
        {"server_port", "a whole number from 0 to 65535"},
        {"server_name", "a string of 1 to 64 characters without control characters"},
        {"server_password", "a string of 0 to 256 bytes without control characters"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(needed); i++) {
        char complaint[CONFIG_ERROR_MAX];
        write_with(needed[i][0], NULL, NULL);
        snprintf(complaint, sizeof(complaint), "config.json: %s: missing, allowed is %s",
                 needed[i][0], needed[i][1]);
        expect_complaint("config.json", complaint);
    }
}

static void test_tls_needs_its_two_files(void **state)
{
#define SEVEN_WITH(paths)                                                                          \
    "{\"SSL\": true, " paths "\"server_ip\": \"::\", \"server_port\": 0, "                         \
    "\"server_name\": \"n\", \"server_password\": \"\"}"
    (void)state;
    write_text(SEVEN_WITH("\"SSL_Key\": \"k\", "));
    expect_complaint("config.json",
                     "config.json: SSL_Cert: missing, allowed is the path of a file, "
                     "at most 4095 bytes without control characters");
    write_text(SEVEN_WITH("\"SSL_Cert\": \"c\", "));
    expect_complaint("config.json", "config.json: SSL_Key: missing, allowed is the path of a file, "
                                    "at most 4095 bytes without control characters");
    write_text(SEVEN_WITH("\"SSL_Cert\": \"c\", \"SSL_Key\": \"\", "));
    expect_complaint("config.json",
                     "config.json:1:43: SSL_Key: empty, allowed is the path of a file, at most "
                     "4095 bytes without control characters");
}

static void expect_unknown(const char *key, const char *complaint)
{
    write_with(key, "\"p4ssword\"", NULL);
    expect_complaint("config.json", complaint);
}

static void test_unknown_keys_are_named_and_the_nearest_suggested(void **state)
{
    static const char *const meant[][2] = {
        {"ssl", "SSL"},
        {"SSI", "SSL"},
        {"SSL_cert", "SSL_Cert"},
        {"Server_Port", "server_port"},
        {"server_prot", "server_port"},
        {"serverport", "server_port"},
        {"server-ip", "server_ip"},
        {"max_client", "max_clients"},
        {"maxRooms", "max_rooms"},
        {"server_passwrod", "server_password"},
        {"histories", NULL},
        {"SS", "SSL"},
        {"S", NULL},
        {"TLS", NULL},
        {"", NULL},
        {"port", NULL},
        {"comment", NULL},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(meant); i++) {
        char complaint[200];
        if (meant[i][1])
            snprintf(complaint, sizeof(complaint),
                     "config.json:9:1: %s: found an unknown key, did you mean %s?", meant[i][0],
                     meant[i][1]);
        else
            snprintf(complaint, sizeof(complaint),
                     "config.json:9:1: %s: found an unknown key, allowed are those in the README",
                     meant[i][0]);
        expect_unknown(meant[i][0], complaint);
    }
}

static void test_unknown_keys_are_shown_cut_and_on_one_line(void **state)
{
    (void)state;
    expect_unknown("a\x7F\xC2\x85z", "config.json:9:1: a???z: found an unknown key, allowed are "
                                     "those in the README");
    expect_unknown("0123456789012345678901234567890123456789",
                   "config.json:9:1: 0123456789012345678901234567890123456789: found an unknown "
                   "key, allowed are those in the README");
    expect_unknown("01234567890123456789012345678901234567890",
                   "config.json:9:1: 0123456789012345678901234567890123456789...: found an unknown "
                   "key, allowed are those in the README");
}

/* ---- The file ------------------------------------------------------------------------------- */

static void test_lines_and_columns_behind_many_bytes(void **state)
{
    (void)state;
    write_text(
        "{\n\n  \"server_name\": \"\xC3\xA4\xE2\x82\xAC\xF0\x9F\x9A\xA2\", \"history\": -1}");
    expect_complaint("config.json", "config.json:3:36: history: found -1 (a number), allowed is a "
                                    "whole number from 0 to 10000");
    write_text("{\r\n\"history\":\r\n\r\n -1}");
    expect_complaint("config.json", "config.json:4:2: history: found -1 (a number), allowed is a "
                                    "whole number from 0 to 10000");
    write_text("{\"allowed_origins\": [\n\"*\"\n], \"\xC3\xA9\": 1}");
    expect_complaint("config.json", "config.json:3:4: \xC3\xA9: found an unknown key, allowed are "
                                    "those in the README");
}

static void test_a_byte_order_mark_is_passed_over_and_not_counted(void **state)
{
    (void)state;
    write_text("\xEF\xBB\xBF{\"history\": -1}");
    expect_complaint("config.json", "config.json:1:13: history: found -1 (a number), allowed is a "
                                    "whole number from 0 to 10000");
    write_text("\xEF\xBB\xBF\xEF\xBB\xBF{}");
    assert_int_equal(config_load(&config, "config.json", error), -1);
    assert_non_null(strstr(error, "config.json:1:1: not acceptable JSON: "));
}

static void test_what_is_not_json(void **state)
{
    (void)state;
    write_text("{\n  \"SSL\": true\n  \"server_port\": 1\n}\n");
    expect_complaint("config.json",
                     "config.json:3:3: not acceptable JSON: a comma or } is missing");
    write_text("{\n  \"server_name\": \"\xC3\xA4\", geheim\n}\n");
    expect_complaint("config.json",
                     "config.json:2:23: not acceptable JSON: a name in quotes is missing");
    write_text("{} {}");
    expect_complaint("config.json",
                     "config.json:1:4: not acceptable JSON: nothing may follow the object");
}

static void test_no_key_stands_twice(void **state)
{
    (void)state;
    write_with("history", "1", "\"history\": 1");
    expect_complaint("config.json",
                     "config.json:10:1: not acceptable JSON: this name is there twice");
}

static void test_empty_files_and_other_values(void **state)
{
    static const char *const texts[] = {"", " \n", "[]", "null", "7", "{", "// {}"};
    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        write_text(texts[i]);
        assert_int_equal(config_load(&config, "config.json", error), -1);
        assert_int_equal(strncmp(error, "config.json:", 12), 0);
        assert_non_null(strstr(error, ": not acceptable JSON: "));
    }
    write_bytes("config.json", "{}\0", 3);
    expect_complaint("config.json",
                     "config.json:1:3: not acceptable JSON: nothing may follow the object");
}

static void test_files_that_cannot_be_read(void **state)
{
    (void)state;
    expect_complaint("config.json", "config.json: cannot be read: No such file or directory");
    expect_complaint(".", ".: found a folder or device, allowed is a regular file");
    assert_int_equal(mkfifo("config.json", 0600), 0);
    expect_complaint("config.json",
                     "config.json: found a folder or device, allowed is a regular file");
}

static void test_files_that_others_own(void **state)
{
    (void)state;
    bool root = geteuid() == 0;
    write_text("{}");
    assert_int_equal(chmod("config.json", 0000), 0);
    if (root)
        assert_int_equal(seteuid(65534), 0);
    int rc = config_load(&config, "config.json", error);
    if (root)
        assert_int_equal(seteuid(0), 0);
    assert_int_equal(rc, -1);
    assert_string_equal(error, "config.json: cannot be read: Permission denied");
}

static void test_files_of_65536_bytes_and_one_more(void **state)
{
    static char text[FILE_ROOM];
    (void)state;
    write_with("SSL", "false", NULL);
    FILE *file = fopen("config.json", "r");
    assert_non_null(file);
    size_t len = fread(text, 1, sizeof(text), file);
    fclose(file);
    memset(text + len, ' ', sizeof(text) - len);
    write_bytes("config.json", text, 65536);
    load();
    config_free(&config);
    write_bytes("config.json", text, 65537);
    expect_complaint("config.json", "config.json: found more than 65536 bytes, allowed are 65536");
}

/* ---- Complaints of others ------------------------------------------------------------------- */

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

static void test_free_may_be_called_again(void **state)
{
    (void)state;
    write_with("allowed_origins", "[\"*\"]", NULL);
    load();
    config_free(&config);
    config_free(&config);
    assert_null(config.path);
    assert_int_equal(config.allowed_origins_count, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, enter_folder, leave_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_seven_keys_are_enough),
        TEST(test_absent_keys_have_defaults),
        TEST(test_keys_are_known_however_they_are_escaped),
        TEST(test_true_and_false),
        TEST(test_every_log_level),
        TEST(test_paths_are_relative_to_the_file),
        TEST(test_paths_may_be_absent_or_empty_without_tls),
        TEST(test_integers_at_their_bounds),
        TEST(test_server_name_is_1_to_64_characters),
        TEST(test_server_password_is_0_to_256_bytes),
        TEST(test_server_ip_is_1_to_255_bytes),
        TEST(test_paths_are_at_most_4095_bytes),
        TEST(test_room_buffer_holds_eight_messages),
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
        TEST(test_each_of_the_seven_is_needed),
        TEST(test_tls_needs_its_two_files),
        TEST(test_unknown_keys_are_named_and_the_nearest_suggested),
        TEST(test_unknown_keys_are_shown_cut_and_on_one_line),
        TEST(test_lines_and_columns_behind_many_bytes),
        TEST(test_a_byte_order_mark_is_passed_over_and_not_counted),
        TEST(test_what_is_not_json),
        TEST(test_no_key_stands_twice),
        TEST(test_empty_files_and_other_values),
        TEST(test_files_that_cannot_be_read),
        TEST(test_files_that_others_own),
        TEST(test_files_of_65536_bytes_and_one_more),
        TEST(test_complaints_of_others_name_the_place),
        TEST(test_complaints_of_others_are_one_line),
        TEST(test_complaints_too_long_are_cut_between_characters),
        TEST(test_free_may_be_called_again),
    };
    return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
