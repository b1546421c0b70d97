/* SPDX-License-Identifier: MIT
 *
 * test_config.c - what is read from config.json, bounds, missing and unknown keys, the file.
 */
#include "base/config.h"

#include "config_file.h"

/* ---- What is read ---- */

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
    assert_string_equal(config.history_file, "");
    assert_int_equal(config.history_sync, CONFIG_SYNC_PROCESS);
    assert_int_equal(config.history_hours, 168);
    assert_int_equal(config.history_messages, 10000);
    assert_int_equal(config.history_rooms_count, 1);
    assert_string_equal(config.history_rooms[0], "");
    assert_false(config.history_search);
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
    write_with("SSL_Cert", "\"\"", NULL);
    load();
    assert_string_equal(config.SSL_Cert, "");
    config_free(&config);
}

/* ---- Bounds ---- */

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
    snprintf(words, sizeof(words), "expected a whole number from %ld to %ld, got %ld (a number)",
             integers[i].min, integers[i].max, number);
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

static void test_server_name_is_at_most_64_characters(void **state)
{
    (void)state;
    write_with("server_name", "\"x\"", NULL);
    load();
    config_free(&config);
    write_with("server_name", repeat("\xF0\x9F\x9A\xA2", 64), NULL);
    load();
    assert_int_equal(strlen(config.server_name), 256);
    config_free(&config);
    expect_refused("server_name", repeat("x", 65),
                   "expected a string of 0 to 64 characters without control characters, got "
                   "\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...\" (a string)");
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
    expect_refused(
        "server_password", repeat("p", 257),
        "expected a string of 0 to 256 bytes without control characters, got a string (not shown)");
}

static void test_server_ip_is_1_to_255_bytes(void **state)
{
    (void)state;
    write_with("server_ip", repeat("a", 255), NULL);
    load();
    assert_int_equal(strlen(config.server_ip), 255);
    config_free(&config);
    expect_refused(
        "server_ip", "\"\"",
        "expected a string of 1 to 255 bytes without control characters, got \"\" (a string)");
    expect_refused("server_ip", repeat("a", 256),
                   "expected a string of 1 to 255 bytes without control characters, got "
                   "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...\" (a string)");
}

static void test_paths_are_at_most_4095_bytes(void **state)
{
    (void)state;
    write_with("SSL_Key", repeat("k", 4095), NULL);
    load();
    assert_int_equal(strlen(config.SSL_Key), 4095);
    config_free(&config);
    expect_refused("SSL_Key", repeat("k", 4096),
                   "expected the path of a file, at most 4095 bytes without control characters, "
                   "got \"kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk...\" (a string)");
}

static void test_room_buffer_holds_eight_messages(void **state)
{
    (void)state;
    write_with("room_buffer_bytes", "532480", NULL); /* 8 * (65536 + 1024) */
    load();
    config_free(&config);
    expect_refused("room_buffer_bytes", "532479",
                   "expected a room_buffer_bytes of at least 8 x (max_message_bytes + 1024) = "
                   "532480, got room_buffer_bytes 532479 and max_message_bytes 65536");
    write_with("max_message_bytes", "261120", NULL); /* 2097152 / 8 - 1024 */
    load();
    config_free(&config);
    expect_refused("max_message_bytes", "261121",
                   "expected a room_buffer_bytes of at least 8 x (max_message_bytes + 1024) = "
                   "2097160, got room_buffer_bytes 2097152 and max_message_bytes 261121");
}

/* ---- Keys that are missing or unknown ---- */

static void test_each_of_the_seven_but_the_name_is_needed(void **state)
{
    static const char *const needed[][2] = {
        {"SSL", "true or false"},
        {"server_ip", "a string of 1 to 255 bytes without control characters"},
        {"server_port", "a whole number from 0 to 65535"},
        {"server_password", "a string of 0 to 256 bytes without control characters"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(needed); i++) {
        char complaint[CONFIG_ERROR_MAX];
        write_with(needed[i][0], NULL, NULL);
        snprintf(complaint, sizeof(complaint), "config.json: %s: missing, expected %s",
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
    expect_complaint("config.json", "config.json: SSL_Cert: missing, expected the path of a file, "
                                    "at most 4095 bytes without control characters");
    write_text(SEVEN_WITH("\"SSL_Cert\": \"c\", "));
    expect_complaint("config.json", "config.json: SSL_Key: missing, expected the path of a file, "
                                    "at most 4095 bytes without control characters");
    write_text(SEVEN_WITH("\"SSL_Cert\": \"c\", \"SSL_Key\": \"\", "));
    expect_complaint("config.json", "config.json:1:43: SSL_Key: empty, expected the path of a "
                                    "file, at most 4095 bytes without control characters");
}

static void expect_unknown(const char *key, const char *complaint)
{
    write_with(key, "\"p4ssword\"", NULL);
    expect_complaint("config.json", complaint);
}

/* 40 characters of an unknown key are shown, however many bytes they take. */
static void test_long_unknown_keys_are_cut_between_characters(void **state)
{
    (void)state;
    char name[128] = "", complaint[256];
    for (int i = 0; i < 40; i++)
        strcat(name, "\xE2\x82\xAC");
    snprintf(complaint, sizeof(complaint),
             "config.json:9:1: %s: unknown key, expected one of those in docs/OPERATING.md", name);
    expect_unknown(name, complaint);
    snprintf(complaint, sizeof(complaint),
             "config.json:9:1: %s...: unknown key, expected one of those in docs/OPERATING.md",
             name);
    strcat(name, "x");
    expect_unknown(name, complaint);
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
        {"server_nart", "server_port"}, /* as near as server_name, which comes later */
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
                     "config.json:9:1: %s: unknown key, did you mean %s?", meant[i][0],
                     meant[i][1]);
        else
            snprintf(complaint, sizeof(complaint),
                     "config.json:9:1: %s: unknown key, expected one of those in docs/OPERATING.md",
                     meant[i][0]);
        expect_unknown(meant[i][0], complaint);
    }
}

static void test_unknown_keys_are_shown_cut_and_on_one_line(void **state)
{
    (void)state;
    expect_unknown(
        "a\x7F\xC2\x85z",
        "config.json:9:1: a???z: unknown key, expected one of those in docs/OPERATING.md");
    expect_unknown("0123456789012345678901234567890123456789",
                   "config.json:9:1: 0123456789012345678901234567890123456789: unknown key, "
                   "expected one of those in docs/OPERATING.md");
    expect_unknown("01234567890123456789012345678901234567890",
                   "config.json:9:1: 0123456789012345678901234567890123456789...: unknown key, "
                   "expected one of those in docs/OPERATING.md");
}

/* ---- The file ---- */

static void test_lines_and_columns_behind_many_bytes(void **state)
{
    (void)state;
    write_text(
        "{\n\n  \"server_name\": \"\xC3\xA4\xE2\x82\xAC\xF0\x9F\x9A\xA2\", \"history\": -1}");
    expect_complaint(
        "config.json",
        "config.json:3:36: history: expected a whole number from 0 to 10000, got -1 (a number)");
    write_text("{\r\n\"history\":\r\n\r\n -1}");
    expect_complaint(
        "config.json",
        "config.json:4:2: history: expected a whole number from 0 to 10000, got -1 (a number)");
    write_text("{\"allowed_origins\": [\n\"*\"\n], \"\xC3\xA9\": 1}");
    expect_complaint(
        "config.json",
        "config.json:3:4: \xC3\xA9: unknown key, expected one of those in docs/OPERATING.md");
}

static void test_a_byte_order_mark_is_passed_over_and_not_counted(void **state)
{
    (void)state;
    write_text("\xEF\xBB\xBF{\"history\": -1}");
    expect_complaint(
        "config.json",
        "config.json:1:13: history: expected a whole number from 0 to 10000, got -1 (a number)");
    write_text("\xEF\xBB\xBF\xEF\xBB\xBF{}");
    assert_int_equal(config_load(&config, "config.json", error), -1);
    assert_non_null(strstr(error, "config.json:1:1: expected the settings, "));
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

/* Words for a file of settings, not for a message. */
static void test_empty_files_and_other_values(void **state)
{
#define EXPECTED   "expected the settings, as one object in braces, got "
#define NO_COMMENT "expected no comment, because JSON has none, got "
    static const char *const texts[][2] = {
        {"", "1:1: " EXPECTED "an empty file"},
        {" \n", "2:1: " EXPECTED "an empty file"},
        {"\xEF\xBB\xBF", "1:1: " EXPECTED "an empty file"},
        {"[]", "1:1: " EXPECTED "something else"},
        {"\n null", "2:2: " EXPECTED "something else"},
        {"{", "1:2: not acceptable JSON: the text ends too early"},
        {"// {}", "1:1: " NO_COMMENT "\"//\""},
        {"{\n  /* plain */ \"SSL\": false}", "2:3: " NO_COMMENT "\"/*\""},
        {"{\"SSL\": false # plain\n}", "1:15: " NO_COMMENT "\"#\""},
    };
    char complaint[CONFIG_ERROR_MAX];
    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        write_text(texts[i][0]);
        snprintf(complaint, sizeof(complaint), "config.json:%s", texts[i][1]);
        expect_complaint("config.json", complaint);
    }
    write_bytes("config.json", "{}\0", 3);
    expect_complaint("config.json",
                     "config.json:1:3: not acceptable JSON: nothing may follow the object");
}

static void test_files_that_cannot_be_read(void **state)
{
    (void)state;
    expect_complaint("config.json", "config.json: cannot be read: No such file or directory "
                                    "(ragnarok --init makes one)");
    expect_complaint(".", ".: expected a regular file, got a folder or device");
    assert_int_equal(mkfifo("config.json", 0600), 0);
    expect_complaint("config.json", "config.json: expected a regular file, got a folder or device");
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
    expect_complaint("config.json", "config.json: expected at most 65536 bytes, got more");
}

/* Sets the file's mode and owner, and returns what config_read says of them. */
static bool others_can_read(mode_t mode, uid_t owner)
{
    size_t len;
    bool others;
    assert_int_equal(chmod("config.json", mode), 0);
    if (geteuid() == 0)
        assert_int_equal(chown("config.json", owner, (gid_t)-1), 0);
    char *text = config_read("config.json", &len, &others, error);
    assert_non_null(text);
    free(text);
    return others;
}

/* A group that root has set is one that is meant to read it. */
static void test_files_that_others_can_read(void **state)
{
    (void)state;
    enum { OTHER_USER = 65534 };
    write_text("{}");
    assert_false(others_can_read(0600, OTHER_USER));
    assert_true(others_can_read(0640, OTHER_USER));
    assert_true(others_can_read(0604, OTHER_USER));
    if (geteuid() == 0) {
        assert_false(others_can_read(0640, 0));
        assert_true(others_can_read(0604, 0));
    }
}

static void test_the_file_is_closed_again(void **state)
{
    (void)state;
    write_with("SSL", "false", NULL);
    int before = dup(STDERR_FILENO);
    close(before);
    load();
    config_free(&config);
    int after = dup(STDERR_FILENO);
    close(after);
    assert_int_equal(after, before);
}

static void test_the_password_that_is_shipped(void **state)
{
    (void)state;
    write_with("server_password", "\"963\"", NULL);
    load();
    assert_true(config_has_sample_password(&config));
    config_free(&config);
    write_with("server_password", "\"9630\"", NULL);
    load();
    assert_false(config_has_sample_password(&config));
    config_free(&config);
}

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
        TEST(test_server_name_is_at_most_64_characters),
        TEST(test_server_password_is_0_to_256_bytes),
        TEST(test_server_ip_is_1_to_255_bytes),
        TEST(test_paths_are_at_most_4095_bytes),
        TEST(test_room_buffer_holds_eight_messages),
        TEST(test_each_of_the_seven_but_the_name_is_needed),
        TEST(test_tls_needs_its_two_files),
        TEST(test_long_unknown_keys_are_cut_between_characters),
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
        TEST(test_files_that_others_can_read),
        TEST(test_the_file_is_closed_again),
        TEST(test_the_password_that_is_shipped),
    };
    return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
