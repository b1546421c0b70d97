/* SPDX-License-Identifier: MIT
 *
 * test_store_export.c - a history file as lines of JSON, also while a server uses it.
 */
#include "store/store_parts.h"

#include "store_file.h"

static char out_path[96];

static char *export_all(uint64_t *left_out)
{
    char why[STORE_WHY_MAX] = "";
    size_t len;
    snprintf(out_path, sizeof(out_path), "%s/out", store_folder);
    unlink(out_path);
    if (store_export(store_path, out_path, left_out, why) < 0)
        fail_msg("%s", why);
    char before[sizeof(store_path)];
    memcpy(before, store_path, sizeof(before));
    memcpy(store_path, out_path, sizeof(out_path));
    char *text = read_store_file("", &len);
    memcpy(store_path, before, sizeof(before));
    return text;
}

static void test_each_message_is_a_line(void **state)
{
    (void)state;
    uint64_t left_out;
    struct store_options options = store_defaults();
    struct store *store = open_store(&options);
    struct store_room tea = open_store_room(store, "t\"ea", STORE_EPOCH_B);
    struct store_room main_room = open_store_room(store, "", STORE_EPOCH_A);
    add_messages(store, &main_room, 2, 1000);
    add_messages(store, &tea, 1, 1000);
    char *text = export_all(&left_out); /* while it is open */
    assert_int_equal(left_out, 0);
    assert_string_equal(
        text, "{\"Room\":\"t\\\"ea\",\"Epoch\":\"" STORE_EPOCH_B
              "\",\"Message\":{\"msgType\":\"Broadcast\",\"SrcUser\":\"ana\",\"TgtUser\":\"\","
              "\"text\":\"text 1\",\"Id\":1,\"Time\":1764500000000}}\n"
              "{\"Room\":\"\",\"Epoch\":\"" STORE_EPOCH_A
              "\",\"Message\":{\"msgType\":\"Broadcast\",\"SrcUser\":\"ana\",\"TgtUser\":\"\","
              "\"text\":\"text 1\",\"Id\":1,\"Time\":1764500000000}}\n"
              "{\"Room\":\"\",\"Epoch\":\"" STORE_EPOCH_A
              "\",\"Message\":{\"msgType\":\"Broadcast\",\"SrcUser\":\"ana\",\"TgtUser\":\"\","
              "\"text\":\"text 2\",\"Id\":2,\"Time\":1764500000000}}\n");
    free(text);
    struct stat about;
    assert_int_equal(stat(out_path, &about), 0);
    assert_int_equal(about.st_mode & 0777, 0600);
    store_close(store, true);
}

static void test_many_pages(void **state)
{
    (void)state;
    uint64_t left_out;
    int lines = 0;
    struct store_options options = store_defaults();
    struct store *store = open_store(&options);
    struct store_room room = open_store_room(store, "", STORE_EPOCH_A);
    add_messages(store, &room, 1500, 1000);
    store_close(store, true);
    char *text = export_all(&left_out); /* while nobody uses it */
    for (char *at = text; (at = strchr(at, '\n')); at++)
        lines++;
    assert_int_equal(lines, 1500);
    assert_non_null(strstr(text, "\"text 1500\""));
    free(text);
}

static void test_what_is_no_message_is_left_out(void **state)
{
    (void)state;
    uint64_t left_out;
    struct store_options options = store_defaults();
    struct store *store = open_store(&options);
    struct store_room room = open_store_room(store, "", STORE_EPOCH_A);
    add_messages(store, &room, 3, 1000);
    store_close(store, true);
    change_store_file("UPDATE message SET body='x' WHERE id=2; UPDATE room SET name=x'ff22'");
    char *text = export_all(&left_out);
    assert_int_equal(left_out, 1);
    assert_non_null(strstr(text, "{\"Room\":\"?\",\"Epoch\":\"" STORE_EPOCH_A));
    assert_null(strstr(text, "\"text 2\""));
    assert_non_null(strstr(text, "\"text 3\""));
    free(text);
}

static void assert_not_exported(const char *path, const char *error)
{
    char why[STORE_WHY_MAX] = "";
    uint64_t left_out;
    assert_int_equal(store_export(store_path, path, &left_out, why), -1);
    if (!strstr(why, error))
        fail_msg("expected \"%s\" in: %s", error, why);
}

static void test_what_cannot_be_exported(void **state)
{
    (void)state;
    char out[96];
    snprintf(out, sizeof(out), "%s/out", store_folder);
    assert_not_exported(out, "cannot be read: No such file");
    assert_int_equal(access(store_path, F_OK), -1);
    write_store_file("", "", 0);
    assert_not_exported(out, "empty");
    write_store_file("", "hello", 5);
    assert_not_exported(out, "expected a history file");
    unlink(store_path);
    struct store_options options = store_defaults();
    store_close(open_store(&options), true);
    assert_not_exported(store_path, "cannot be created: File exists");
    assert_not_exported("/dev/full/x", "cannot be created: Not a directory");
}

#define TEST(name)                                                                                 \
    cmocka_unit_test_setup_teardown(name, make_quick_store_folder, remove_store_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_each_message_is_a_line),
        TEST(test_many_pages),
        TEST(test_what_is_no_message_is_left_out),
        TEST(test_what_cannot_be_exported),
    };
    skip_syncs();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
