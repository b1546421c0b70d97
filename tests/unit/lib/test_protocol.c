/* SPDX-License-Identifier: MIT
 *
 * test_protocol.c - protocol.c: the table of error codes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/protocol.h"

static void test_each_code_has_a_name_and_is_found_by_it(void **state)
{
    (void)state;
    for (int code = ERROR_NONE + 1; code < ERROR_CODES; code++) {
        const char *name = protocol_error_name((enum protocol_error)code);
        assert_non_null(name);
        assert_true(strlen(name) > 0);
        assert_int_equal(protocol_error_find(name), code);
    }
    assert_string_equal(protocol_error_name(ERROR_BAD_JSON), "bad_json");
    assert_string_equal(protocol_error_name(ERROR_UNKNOWN_USER), "unknown_user");
}

static void test_other_names_are_none(void **state)
{
    static const char *const others[] = {"", "bad_jso", "bad_json2", "Bad_json", "404"};
    (void)state;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        assert_int_equal(protocol_error_find(others[i]), ERROR_NONE);
    assert_string_equal(protocol_error_name(ERROR_NONE), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_code_has_a_name_and_is_found_by_it),
        cmocka_unit_test(test_other_names_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
