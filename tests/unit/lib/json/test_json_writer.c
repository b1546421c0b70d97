/* SPDX-License-Identifier: MIT
 *
 * test_json_writer.c - json_writer.c: commas, values, growing, and no memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>
#include <cmocka.h>

#include "lib/json/json_writer.h"

static void assert_written(struct json_writer *w, const char *expected)
{
    size_t len = 0;
    char *text = json_writer_finish(w, &len);
    assert_non_null(text);
    assert_string_equal(text, expected);
    assert_int_equal(len, strlen(expected));
    free(text);
}

static void test_an_empty_writer_gives_an_empty_text(void **state)
{
    struct json_writer w = {.text = NULL};
    (void)state;
    assert_written(&w, "");
}

static void test_every_kind_of_value(void **state)
{
    static const unsigned char bytes[] = {0x00, 0xfe};
    struct json_writer w = {.text = NULL};
    (void)state;
    json_write_object(&w, NULL);
    json_write_string(&w, "s", "a\"b\\\n\x01\xC3\xA9\x7F");
    json_write_uint(&w, "n", UINT64_MAX);
    json_write_bool(&w, "t", true);
    json_write_bool(&w, "f", false);
    json_write_hex(&w, "h", bytes, sizeof(bytes));
    json_write_hex(&w, "none", bytes, 0);
    json_write_value(&w, "v", "[1, 2]xx", 6);
    json_write_end(&w);
    assert_written(&w, "{\"s\":\"a\\\"b\\\\\\n\\u0001\xC3\xA9\x7F\",\"n\":18446744073709551615,"
                       "\"t\":true,\"f\":false,\"h\":\"00fe\",\"none\":\"\",\"v\":[1, 2]}");
}

static void test_commas_stand_between_fields_and_nowhere_else(void **state)
{
    struct json_writer w = {.text = NULL};
    (void)state;
    json_write_uint(&w, "a", 1);
    json_write_object(&w, "o");
    json_write_uint(&w, "b", 2);
    json_write_object(&w, "empty");
    json_write_end(&w);
    json_write_end(&w);
    json_write_fields(&w, "\"c\":3");
    json_write_text(&w, ",\"list\":[");
    json_write_comma(&w);
    json_write_text(&w, "4");
    json_write_comma(&w);
    json_write_text(&w, "5]");
    assert_written(&w, "\"a\":1,\"o\":{\"b\":2,\"empty\":{}},\"c\":3,\"list\":[4,5]");
}

/* Whatever the sizes of the pieces, the text is the same. */
static void test_it_grows(void **state)
{
    static char expected[5000 + 1];
    (void)state;
    for (size_t i = 0; i < 5000; i++)
        expected[i] = (char)('a' + i % 26);
    for (size_t piece = 1; piece <= 5000; piece = piece * 3 + 1) {
        struct json_writer w = {.text = NULL};
        if (piece == 13)
            json_write_reserve(&w, 5000);
        const char *reserved = w.text;
        for (size_t at = 0; at < 5000; at += piece)
            json_write_raw(&w, expected + at, at + piece > 5000 ? 5000 - at : piece);
        assert_true(!reserved || reserved == w.text);
        assert_written(&w, expected);
    }
}

/* 255 bytes and a NUL at first, then twice as much, or as much as is needed. */
static void test_room_doubles_or_is_what_is_needed(void **state)
{
    static const char bytes[600] = "";
    struct json_writer w = {.text = NULL};
    (void)state;
    json_write_raw(&w, "{", 1);
    assert_int_equal(w.room, 256);
    json_write_raw(&w, bytes, 254);
    assert_int_equal(w.room, 256);
    json_write_raw(&w, bytes, 1);
    assert_int_equal(w.room, 512);
    json_write_raw(&w, bytes, 600);
    assert_int_equal(w.room, 1024);
    assert_true(json_write_reserve(&w, 2000));
    assert_int_equal(w.room, 1 + 255 + 600 + 2000 + 1);
    assert_int_equal(w.text[0], '{');
    free(json_writer_finish(&w, NULL));
}

/* One byte is kept, too, when the text moves. */
static void test_the_first_byte_is_kept(void **state)
{
    struct json_writer w = {.text = NULL};
    (void)state;
    json_write_raw(&w, "7", 1);
    assert_true(json_write_reserve(&w, 100000));
    assert_written(&w, "7");
}

/* For what was reserved the text does not move, neither when it is written nor at the end. */
static void test_what_was_reserved_needs_no_allocation(void **state)
{
    static const unsigned char bytes[400];
    struct json_writer w = {.text = NULL};
    (void)state;
    size_t len = strlen("\"h\":\"\"") + 2 * sizeof(bytes);
    assert_true(json_write_reserve(&w, len));
    const char *reserved = w.text;
    assert_true(json_write_reserve(&w, len));
    assert_ptr_equal(w.text, reserved);
    json_write_hex(&w, "h", bytes, sizeof(bytes));
    assert_ptr_equal(w.text, reserved);
    assert_int_equal(w.len, len);
    char *text = json_writer_finish(&w, NULL);
    assert_ptr_equal(text, reserved);
    free(text);
}

/* ---- No memory ---- */

static int blocks_left, blocks_live;

static void *scarce_malloc(size_t size)
{
    if (blocks_left-- <= 0)
        return NULL;
    blocks_live++;
    return malloc(size);
}

static void scarce_free(void *block)
{
    blocks_live -= block != NULL;
    free(block);
}

static int hook_memory(void **state)
{
    cJSON_Hooks hooks = {.malloc_fn = scarce_malloc, .free_fn = scarce_free};
    (void)state;
    cJSON_InitHooks(&hooks);
    return 0;
}

static int unhook_memory(void **state)
{
    (void)state;
    cJSON_InitHooks(NULL);
    return 0;
}

static char *write_much(void)
{
    static const unsigned char bytes[400];
    struct json_writer w = {.text = NULL};
    json_write_object(&w, NULL);
    json_write_string(&w, "s", "some words");
    json_write_hex(&w, "h", bytes, sizeof(bytes));
    json_write_object(&w, "o");
    json_write_comma(&w);
    json_write_end(&w);
    json_write_end(&w);
    return json_writer_finish(&w, NULL);
}

static void test_without_memory_there_is_no_text(void **state)
{
    size_t failures = 0;
    char *text = NULL;
    (void)state;
    for (int blocks = 0; !text; blocks++, failures += !text) {
        blocks_left = blocks;
        text = write_much();
        assert_int_equal(blocks_live, text ? 1 : 0);
    }
    assert_true(failures >= 3);
    scarce_free(text);
}

static void test_a_length_is_told_without_memory_too(void **state)
{
    struct json_writer w = {.text = NULL};
    size_t len = 7;
    (void)state;
    blocks_left = 0;
    json_write_text(&w, "x");
    assert_true(w.failed);
    assert_null(json_writer_finish(&w, &len));
    assert_int_equal(len, 0);
    assert_false(w.failed);
}

/* Nothing is written behind a gap, even if there is memory again. */
static void test_a_writer_that_failed_stays_empty(void **state)
{
    struct json_writer w = {.text = NULL};
    (void)state;
    blocks_left = 0;
    json_write_text(&w, "x");
    blocks_left = 100;
    json_write_text(&w, "");
    assert_false(json_write_reserve(&w, 1));
    json_write_string(&w, "s", "y");
    assert_int_equal(w.room, 0);
    assert_null(json_writer_finish(&w, NULL));
    assert_int_equal(blocks_live, 0);
}

static void test_a_string_that_cannot_be_quoted_is_a_gap(void **state)
{
    struct json_writer w = {.text = NULL};
    (void)state;
    blocks_left = 1;
    json_write_object(&w, NULL);
    json_write_string(&w, "s", "y");
    blocks_left = 100;
    json_write_end(&w);
    assert_null(json_writer_finish(&w, NULL));
    assert_int_equal(blocks_live, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_empty_writer_gives_an_empty_text),
        cmocka_unit_test(test_every_kind_of_value),
        cmocka_unit_test(test_commas_stand_between_fields_and_nowhere_else),
        cmocka_unit_test(test_it_grows),
        cmocka_unit_test(test_room_doubles_or_is_what_is_needed),
        cmocka_unit_test(test_the_first_byte_is_kept),
        cmocka_unit_test(test_what_was_reserved_needs_no_allocation),
        cmocka_unit_test_setup_teardown(test_without_memory_there_is_no_text, hook_memory,
                                        unhook_memory),
        cmocka_unit_test_setup_teardown(test_a_length_is_told_without_memory_too, hook_memory,
                                        unhook_memory),
        cmocka_unit_test_setup_teardown(test_a_writer_that_failed_stays_empty, hook_memory,
                                        unhook_memory),
        cmocka_unit_test_setup_teardown(test_a_string_that_cannot_be_quoted_is_a_gap, hook_memory,
                                        unhook_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
