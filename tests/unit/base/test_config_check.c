/* SPDX-License-Identifier: MIT
 *
 * test_config_check.c - config_check: all that is wrong with a file; config_init: a file that is
 * right, and notes about every key.
 */
#include "base/config.h"

#include "config_file.h"

#include "base/config_parts.h"

enum { FAULTS_MAX = 32 };

static char faults[FAULTS_MAX][CONFIG_ERROR_MAX];
static int reported;

static void note_reported(void *context, const char *fault)
{
    assert_ptr_equal(context, &reported);
    assert_true(reported < FAULTS_MAX);
    strcpy(faults[reported++], fault);
}

/* Expects that the file has these errors, each in full or, where it ends in "...", up to there. */
static void expect_faults(const char *const *expected, int count)
{
    reported = 0;
    assert_int_equal(config_check("config.json", note_reported, &reported), count);
    assert_int_equal(reported, count);
    for (int i = 0; i < count; i++) {
        size_t len = strlen(expected[i]);
        bool is_start = len > 3 && strcmp(expected[i] + len - 3, "...") == 0;
        if (is_start ? strncmp(faults[i], expected[i], len - 3) != 0
                     : strcmp(faults[i], expected[i]) != 0)
            fail_msg("expected %s, got %s", expected[i], faults[i]);
    }
}

#define EXPECT(...)                                                                                \
    expect_faults((const char *const[]){__VA_ARGS__},                                              \
                  (int)COUNT(((const char *const[]){__VA_ARGS__})))

static void test_a_good_file_has_none(void **state)
{
    (void)state;
    write_with("SSL", "true", NULL);
    expect_faults(NULL, 0);
}

static void test_every_fault_is_reported_in_order(void **state)
{
    (void)state;
    write_text("{\n"
               "\"SSL\": true,\n"
               "\"server_ip\": \"\",\n"
               "\"histori\": 5,\n"
               "\"server_password\": 963,\n"
               "\"SSL_Key\": 1,\n"
               "\"trusted_proxies\": [\"x\", \"::1\", 7, \"10.0.0.1/8\"],\n"
               "\"allowed_origins\": [\"*\", \"http://a/b\"],\n"
               "\"max_clients\": 0\n"
               "}\n");
    EXPECT("config.json:3:14: server_ip: expected a string of 1 to 255 bytes...",
           "config.json:4:1: histori: unknown key, did you mean history?",
           "config.json:5:20: server_password: expected a string of 0 to 256 bytes...",
           "config.json:6:12: SSL_Key: expected the path of a file...",
           "config.json:7:21: trusted_proxies: expected an array...",
           "config.json:7:33: trusted_proxies: expected an array...",
           "config.json:7:36: trusted_proxies: expected an array...",
           "config.json:8:26: allowed_origins: expected an array...",
           "config.json:9:16: max_clients: expected a whole number from 1 to 100000, got 0...",
           "config.json: SSL_Cert: missing, expected the path of a file...",
           "config.json: server_port: missing, expected a whole number from 0 to 65535");
}

static void test_no_password_is_shown(void **state)
{
    (void)state;
    write_with("server_password", "963", NULL);
    EXPECT("config.json:8:20: server_password: expected a string of 0 to 256 bytes without control "
           "characters, got a number (not shown)");
}

static void test_the_size_of_the_ring_is_checked_too(void **state)
{
    (void)state;
    write_with("room_buffer_bytes", "65536", "\"history\": -1");
    EXPECT("config.json:10:12: history: ...",
           "config.json:9:22: room_buffer_bytes: expected a room_buffer_bytes of at least...");
}

/* Its default would be compared with the other value, which is not what is wrong. */
static void test_a_refused_size_is_not_compared(void **state)
{
    (void)state;
    write_with("room_buffer_bytes", "65536", "\"max_message_bytes\": 1");
    EXPECT("config.json:10:22: max_message_bytes: ...");
    write_with("room_buffer_bytes", "1", "\"max_message_bytes\": 16777216");
    EXPECT("config.json:9:22: room_buffer_bytes: expected a whole number...");
}

static void test_of_a_text_that_is_not_json_the_first(void **state)
{
    (void)state;
    write_text("{\"SSL\": 7,\n x}");
    EXPECT("config.json:2:2: not acceptable JSON: a name in quotes is missing");
}

static void test_a_file_that_cannot_be_read(void **state)
{
    (void)state;
    EXPECT("config.json: cannot be read: No such file or directory (ragnarok --init makes one)");
}

/* ---- config_init ---- */

static char notes_path[CONFIG_PATH_MAX];
static bool made;

static void read_notes(char *text, size_t room)
{
    FILE *file = fopen("config.json.txt", "r");
    assert_non_null(file);
    size_t len = fread(text, 1, room - 1, file);
    text[len] = '\0';
    fclose(file);
}

static void test_init_explains_each_key(void **state)
{
    static char text[FILE_ROOM], line[128];
    (void)state;
    assert_int_equal(config_init("config.json", &made, notes_path, error), 0);
    assert_true(made);
    assert_string_equal(notes_path, "config.json.txt");
    read_notes(text, sizeof(text));
    const char *at = text;
    for (size_t i = 0; i < config_key_count; i++) {
        snprintf(line, sizeof(line), "\n\"%s\": ", config_keys[i].name);
        const char *found = strstr(at, line);
        if (!found)
            fail_msg("no line for %s, or not in the order of the table", config_keys[i].name);
        at = found + strlen(line);
    }
    assert_int_equal(unlink(notes_path), 0);
}

/* The lines that are no comments are settings, with the values that absent keys have. */
static void test_init_writes_the_defaults(void **state)
{
    static char text[FILE_ROOM], plain[FILE_ROOM] = "{\n";
    struct config defaults;
    char *rest = text, *line;
    (void)state;
    assert_int_equal(config_init("config.json", &made, notes_path, error), 0);
    read_notes(text, sizeof(text));
    while ((line = strsep(&rest, "\n")))
        if (line[0] != '#')
            strcat(strcat(plain, line), "\n");
    write_text(strcat(plain, "}\n"));
    load();
    write_with("SSL", "true", NULL);
    assert_int_equal(config_load(&defaults, "config.json", error), 0);
    assert_int_equal(config.max_message_bytes, defaults.max_message_bytes);
    assert_int_equal(config.room_buffer_bytes, defaults.room_buffer_bytes);
    assert_int_equal(config.max_clients, defaults.max_clients);
    assert_int_equal(config.history, defaults.history);
    assert_int_equal(config.log_level, defaults.log_level);
    assert_int_equal(config.exempt_loopback, defaults.exempt_loopback);
    assert_true(config_has_sample_password(&config));
    config_free(&config);
    config_free(&defaults);
    assert_int_equal(unlink(notes_path), 0);
}

static void test_init_keeps_what_is_not_its_own(void **state)
{
    (void)state;
    write_text("mine");
    assert_int_equal(config_init("config.json", &made, notes_path, error), 0);
    assert_false(made);
    assert_int_equal(config_init("config.json", &made, notes_path, error), 0);
    write_bytes("config.json.txt", "mine", 4);
    assert_int_equal(config_init("config.json", &made, notes_path, error), -1);
    assert_string_equal(error, "config.json.txt: cannot be written: File exists");
    assert_int_equal(unlink(notes_path), 0);
    char text[8];
    FILE *file = fopen("config.json", "r");
    assert_non_null(file);
    assert_string_equal(fgets(text, sizeof(text), file), "mine");
    fclose(file);
}

static void test_init_without_a_folder(void **state)
{
    static char path[CONFIG_PATH_MAX];
    (void)state;
    assert_int_equal(config_init("no/config.json", &made, notes_path, error), -1);
    assert_string_equal(error, "no/config.json: cannot be written: No such file or directory");
    memset(path, 'x', sizeof(path) - 4);
    assert_int_equal(config_init(path, &made, notes_path, error), -1);
    assert_string_equal(error, "expected a path of at most 4091 bytes, got 4092");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_good_file_has_none),           TEST(test_every_fault_is_reported_in_order),
        TEST(test_no_password_is_shown),           TEST(test_the_size_of_the_ring_is_checked_too),
        TEST(test_a_refused_size_is_not_compared), TEST(test_of_a_text_that_is_not_json_the_first),
        TEST(test_a_file_that_cannot_be_read),     TEST(test_init_explains_each_key),
        TEST(test_init_writes_the_defaults),       TEST(test_init_keeps_what_is_not_its_own),
        TEST(test_init_without_a_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
