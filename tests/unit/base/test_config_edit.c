/* SPDX-License-Identifier: MIT
 *
 * test_config_edit.c - config_edit.c: values change, and nothing else does.
 */
#include "base/config_edit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <cjson/cJSON.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const struct config_edit edits[] = {{"server_ip", "::"}, {"server_password", "a\"b\\"}};

static const struct {
    const char *before, *after;
} texts[] = {
    {"{\"server_ip\":\"x\",\"server_password\":\"963\"}",
     "{\"server_ip\":\"::\",\"server_password\":\"a\\\"b\\\\\"}"},
    {"\xEF\xBB\xBF{\r\n\t\"server_password\" : \"\" ,\r\n \"a\": [1 , {\"server_ip\": 2}],\n"
     "\"server_ip\":  \"\\u0031\"  }\n\n",
     "\xEF\xBB\xBF{\r\n\t\"server_password\" : \"a\\\"b\\\\\" ,\r\n \"a\": [1 , {\"server_ip\": "
     "2}],"
     "\n\"server_ip\":  \"::\"  }\n\n"},
    {"{\"server_\\u0069p\": 5, \"history\": 50}", "{\"server_\\u0069p\": \"::\", \"history\": 50}"},
    {"{\"history\": 1}", "{\"history\": 1}"},
    {"{}", "{}"},
};

static void test_only_these_values_change(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        size_t len = 0;
        char *text =
            config_edit(texts[i].before, strlen(texts[i].before), edits, COUNT(edits), &len);
        assert_non_null(text);
        assert_string_equal(text, texts[i].after);
        assert_int_equal(len, strlen(texts[i].after));
        free(text);
    }
}

static int left; /* allocations that still succeed */

static void *scarce_malloc(size_t size)
{
    return left-- > 0 ? malloc(size) : NULL;
}

/* The text after so many allocations have succeeded and one has failed; NULL if one did fail. */
static char *edited_after(int allocations)
{
    cJSON_Hooks hooks = {scarce_malloc, free};
    size_t len = 0;
    left = allocations;
    cJSON_InitHooks(&hooks);
    char *text = config_edit(texts[0].before, strlen(texts[0].before), edits, COUNT(edits), &len);
    cJSON_InitHooks(NULL);
    return text;
}

static void test_without_memory_there_is_no_text(void **state)
{
    char *text;
    int failures = 0;
    (void)state;
    while (!(text = edited_after(failures)))
        failures++;
    assert_string_equal(text, texts[0].after);
    assert_true(failures > 1);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_these_values_change),
        cmocka_unit_test(test_without_memory_there_is_no_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
