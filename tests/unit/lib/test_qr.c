/* SPDX-License-Identifier: MIT
 *
 * test_qr.c - qr.c: bounds, and the shape of its drawing. That a reader finds the text in it is
 * shown by test_qr.py.
 */
#include "lib/qr.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define INK "\x1b[38;5;16;48;5;231m" /* black on white, whatever the theme */

static char *text_of(size_t len)
{
    char *text = malloc(len + 1);
    assert_non_null(text);
    memset(text, 'z', len);
    text[len] = '\0';
    return text;
}

static void test_1_to_512_bytes(void **state)
{
    static const struct {
        size_t len;
        bool good;
    } cases[] = {{0, false}, {1, true}, {QR_TEXT_MAX, true}, {QR_TEXT_MAX + 1, false}};
    int size = 0;
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *text = text_of(cases[i].len), *drawing = qr_terminal(text, 0, &size);
        assert_int_equal(drawing != NULL, cases[i].good);
        free(drawing);
        free(text);
    }
}

static void test_lines_of_a_terminal(void **state)
{
    int columns = 0, lines = 0;
    (void)state;
    char *drawing = qr_terminal("x", 3, &columns);
    assert_non_null(drawing);
    assert_int_equal(columns, 3 + 2 + 21 + 2); /* version 1 */
    for (char *line = strtok(drawing, "\n"); line; line = strtok(NULL, "\n"), lines++) {
        assert_memory_equal(line, "   " INK, 3 + strlen(INK));
        assert_string_equal(line + strlen(line) - 4, "\x1b[0m");
    }
    assert_int_equal(lines, 13);
    free(drawing);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_1_to_512_bytes),
        cmocka_unit_test(test_lines_of_a_terminal),
    };
    return cmocka_run_group_tests_name("qr", tests, NULL, NULL);
}
