/* SPDX-License-Identifier: MIT
 *
 * test_json_ascii.c - JSON in ASCII, as Python's json.dumps spells it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/json/json_ascii.h"
#include "json_msg.h"

static char *escaped(const char *text, size_t *len)
{
    *len = strlen(text);
    char *out = json_ascii(strdup(text), len, SIZE_MAX);
    assert_non_null(out);
    assert_int_equal(strlen(out), *len);
    return out;
}

static void characters_are_spelled_as_python_does(void **state)
{
    static const char *const pairs[][2] = {
        {"", ""},
        {"{\"text\":\"plain \\u00e9 \\\" \x7f\"}", "{\"text\":\"plain \\u00e9 \\\" \x7f\"}"},
        {"\xC2\x80", "\\u0080"},
        {"Zo\xC3\xA9", "Zo\\u00e9"},
        {"\xDF\xBF\xE0\xA0\x80", "\\u07ff\\u0800"},
        {"\xE6\xBC\xA2!", "\\u6f22!"},
        {"\xEF\xBF\xBF", "\\uffff"},
        {"\xF0\x90\x80\x80", "\\ud800\\udc00"},
        {"\xF0\x9F\x98\x80", "\\ud83d\\ude00"},
        {"\xF4\x8F\xBF\xBF", "\\udbff\\udfff"},
        {"12345678\xC3\xA9"
         "12345678",
         "12345678\\u00e912345678"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(*pairs); i++) {
        size_t len;
        char *out = escaped(pairs[i][0], &len);
        assert_string_equal(out, pairs[i][1]);
        assert_int_equal(json_ascii_size(pairs[i][0], strlen(pairs[i][0])), len);
        free(out);
    }
}

/* Writes a code point in UTF-8. */
static size_t put_utf8(char *out, uint32_t c)
{
    size_t more = c < 0x80 ? 0 : c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    static const unsigned lead[] = {0, 0xC0, 0xE0, 0xF0};
    out[0] = (char)(lead[more] | c >> (6 * more));
    for (size_t i = 1; i <= more; i++)
        out[i] = (char)(0x80 | (c >> (6 * (more - i)) & 0x3F));
    return more + 1;
}

/* Each of them, at each place of a word of eight bytes; and the growth is bounded. */
static void every_character_means_the_same_afterwards(void **state)
{
    (void)state;
    for (uint32_t c = 0x80; c <= 0x10FFFF; c += c < 0x1000 ? 1 : 89) {
        char text[64] = "{\"a\":\"", back[64];
        struct json_object object;
        struct json_error error;
        size_t len, at = 6 + c % 8;
        if (c >= 0xD800 && c <= 0xDFFF)
            continue;
        memset(text + 6, 'x', c % 8);
        size_t bytes = put_utf8(text + at, c);
        memcpy(text + at + bytes, "\"}", 3);
        char *out = escaped(text, &len);
        assert_true(len - (at + 2) <= JSON_ASCII_GROWTH * bytes);
        assert_int_equal(json_parse_message(&object, out, len, &error), 0);
        assert_int_equal(json_string(&object.fields[0], back, sizeof(back)), at - 6 + bytes);
        assert_memory_equal(back, text + 6, at - 6 + bytes);
        free(out);
    }
}

static void what_would_be_too_long_stays_as_it_was(void **state)
{
    size_t len = 4;
    (void)state;
    char *text = json_ascii(strdup("\xC3\xA9\xC3\xA9"), &len, 11);
    assert_int_equal(len, 4);
    assert_string_equal(text, "\xC3\xA9\xC3\xA9");
    text = json_ascii(text, &len, 12);
    assert_int_equal(len, 12);
    assert_string_equal(text, "\\u00e9\\u00e9");
    free(text);
    assert_null(json_ascii(NULL, &len, 12));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(characters_are_spelled_as_python_does),
        cmocka_unit_test(every_character_means_the_same_afterwards),
        cmocka_unit_test(what_would_be_too_long_stays_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
