/* SPDX-License-Identifier: MIT
 *
 * test_line_edit.c - keys into edits, and what is shown of a line; with unicode.c, on which it
 * stands.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/term/unicode.h"
#include "client/term/line_edit.h"

#define FFFD "\xEF\xBF\xBD"

static struct line_edit line; /* too large for a stack that sanitizers have grown */

static int tear_down(void **state)
{
    (void)state;
    line_edit_fini(&line);
    return 0;
}

/* Types it; returns what the last byte asked for. */
static enum line_edit_action type(const char *keys)
{
    enum line_edit_action action = LINE_EDIT_NONE;
    for (; *keys; keys++)
        action = line_edit_key(&line, (unsigned char)*keys);
    return action;
}

/* ---- unicode.c ---- */

static void clean(void **state)
{
    static const struct {
        const char *text, *expected;
    } cases[] = {
        {"plain \xE6\x97\xA5", "plain \xE6\x97\xA5"},
        {"\x1b[2J\x07\x7f", FFFD "[2J" FFFD FFFD},
        {"\xC2\x9B"
         "1m\xC2\x80",
         FFFD "1m" FFFD},                                         /* C1 */
        {"\xE2\x80\xAE\xE2\x81\xA6\xE2\x80\x8F", FFFD FFFD FFFD}, /* RLO, LRI, RLM */
        {"\xE2\x80\xA8\xE2\x80\xA9", FFFD FFFD},                  /* separators */
        {"a\nb\tc\r", "a|b c" FFFD},
        {"\xFF\xE6\x97", FFFD FFFD FFFD}, /* not UTF-8 */
        {"\xED\xA0\x80", FFFD FFFD FFFD}, /* a surrogate */
        {"\xF0\x9F\x91\xA8\xE2\x80\x8D\xF0\x9F\x91\xA9",
         "\xF0\x9F\x91\xA8\xE2\x80\x8D\xF0\x9F\x91\xA9"},
        {"", ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char *out = unicode_clean(cases[i].text, strlen(cases[i].text), "|");
        assert_string_equal(out, cases[i].expected);
        assert_true(unicode_is_text(out, strlen(out)));
        free(out);
    }
}

/* Whatever bytes come: nothing below U+0020 and no C1 leaves. */
static void clean_any_two_bytes(void **state)
{
    (void)state;
    for (unsigned pair = 0; pair < 0x10000; pair++) {
        char bytes[2] = {(char)(pair >> 8), (char)pair};
        char *out = unicode_clean(bytes, 2, " ");
        for (const char *c = out; *c; c++)
            assert_true((unsigned char)*c >= 0x20 && *c != 0x7F);
        assert_true(unicode_is_text(out, strlen(out)));
        assert_null(strstr(out, "\xC2\x9B"));
        free(out);
    }
}

static void text_or_not(void **state)
{
    (void)state;
    assert_true(unicode_is_text("", 0));
    assert_true(unicode_is_text("\xE6\x97\xA5", 3));
    assert_false(unicode_is_text("\xE6\x97", 2));
    assert_false(unicode_is_text("a\0b", 3));
    assert_false(unicode_is_text("\xFF", 1));
}

static void columns(void **state)
{
    (void)state;
    assert_int_equal(unicode_columns("abc", 3), 3);
    assert_int_equal(unicode_columns("\xE6\x97\xA5", 3), 2);
    assert_int_equal(unicode_columns("e\xCC\x81", 3), 1);
    assert_int_equal(unicode_columns("\xF0\x9F\x91\x8D", 4), 2);
}

/* ---- Keys ---- */

static void typing(void **state)
{
    (void)state;
    type("caf\xC3\xA9");
    assert_string_equal(line.text, "caf\xC3\xA9");
    type("\x7F\x7F");
    assert_string_equal(line.text, "ca");
    assert_int_equal(type("\r"), LINE_EDIT_ENTER);
    assert_int_equal(type("\t"), LINE_EDIT_COMPLETE);
    assert_int_equal(type("\x04"), LINE_EDIT_NONE); /* there is text */
    line_edit_reset(&line, false);
    assert_int_equal(type("\x04"), LINE_EDIT_END);
    assert_int_equal(type("\x03"), LINE_EDIT_INTERRUPT);
    assert_int_equal(type("\x1A"), LINE_EDIT_SUSPEND);
    assert_int_equal(type("\x0C"), LINE_EDIT_REDRAW);
}

/* What is not a text leaves no trace, and holds nothing up. */
static void strange_bytes(void **state)
{
    (void)state;
    type("a\xFF\x80"
         "b");
    type("\xC2\x9B"
         "c"); /* C1 */
    type("\xE2\x80\xAE"
         "d"); /* RLO */
    type("\xE6"
         "e"); /* half a character */
    assert_string_equal(line.text, "abcde");
    type("\x1b[1;2;3;4;5;6;7;8;9;10;11;12;13zf"); /* longer than any key */
    type("\x1b[12\rg");                           /* cut off by Return */
    assert_string_equal(line.text, "abcdefg");
    assert_int_equal(type("\x1b\x1b\r"), LINE_EDIT_NONE); /* Alt-Return is no Return */
    assert_int_equal(type("\r"), LINE_EDIT_ENTER);
}

static void a_full_line(void **state)
{
    (void)state;
    for (int i = 0; i < LINE_EDIT_BYTES - 1; i++)
        type("x");
    type("\xC3\xA9"); /* two bytes do not fit any more */
    assert_int_equal(line.len, LINE_EDIT_BYTES - 1);
    type("yz");
    assert_int_equal(line.len, LINE_EDIT_BYTES);
    assert_int_equal(line.text[LINE_EDIT_BYTES - 1], 'y');
}

static void moving_and_cutting(void **state)
{
    (void)state;
    type("one two  three\x01\x1b"
         "f!");
    assert_string_equal(line.text, "one! two  three");
    type("\x05\x17\x17\x19");
    assert_string_equal(line.text, "one! two  ");
    type("\x15\x19\x19");
    assert_string_equal(line.text, "one! two  one! two  ");
    line_edit_replace(&line, 5, "X");
    assert_string_equal(line.text, "one! X");
    assert_int_equal(line.at, line.len);
    static const char *const bad[] = {"\x1b[2J", "a\xC2\x9B", "\u202e", "a\nb", "\xFF", "\xC3"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        line_edit_replace(&line, 5, bad[i]);
    assert_string_equal(line.text, "one! X");
}

/* An emoji that is joined to the one behind the cursor. */
static void the_cursor_within_a_cluster(void **state)
{
    (void)state;
    type("👩\x1b[D");
    for (int i = 0; i < 8; i++)
        type("👩\u200d");
    struct line_edit_view view = line_edit_look(&line, 4);
    assert_true(view.start <= line.at && view.start <= view.end && view.end <= line.len);
    assert_true(view.cursor <= 4);
}

static void pasting(void **state)
{
    (void)state;
    assert_int_equal(type("\x1b[200~a\r\nb\x04\x1b[A\tc\r\x1b[201~"), LINE_EDIT_NONE);
    assert_string_equal(line.text, "a\nb c");
    assert_int_equal(type("\r"), LINE_EDIT_ENTER);
}

static void history(void **state)
{
    char text[2] = "A";
    (void)state;
    for (int i = 0; i < LINE_EDIT_HISTORY + 5; i++) {
        text[0] = (char)('A' + i % 26);
        type(text);
        line_edit_reset(&line, true);
        type(text); /* the same again is not remembered twice */
        line_edit_reset(&line, true);
    }
    assert_int_equal(line.remembered, LINE_EDIT_HISTORY);
    type("draft");
    for (int i = 0; i < LINE_EDIT_HISTORY + 10; i++)
        type("\x10");
    text[0] = (char)('A' + 5 % 26);
    assert_string_equal(line.text, text);
    for (int i = 0; i < LINE_EDIT_HISTORY + 10; i++)
        type("\x0E");
    assert_string_equal(line.text, "draft");
}

/* It may have been private. */
static bool holds(const char *text)
{
    return memmem(&line, sizeof(line), text, strlen(text)) != NULL;
}

static void what_was_typed_leaves_no_trace_in_the_line(void **state)
{
    (void)state;
    type("older\x15secret one");
    line_edit_reset(&line, true);
    type("secret draft\x10\x0E\x10"); /* back, forward, back */
    assert_non_null(line.draft);
    line_edit_reset(&line, false);
    assert_false(holds("secret"));
    assert_null(line.draft);
    type("\x10");
    assert_string_equal(line.text, "secret one");
    line_edit_fini(&line);
    assert_false(holds("secret") || holds("older"));
}

/* ---- The view ---- */

/* Wherever the cursor is, it is shown, and so much that the row is never overfull. */
static void views(void **state)
{
    (void)state;
    for (int i = 0; i < 40; i++)
        type(i % 3 ? "\xE6\x97\xA5" : "a");
    for (size_t width = 4; width < 100; width++) {
        for (line.at = 0;; line.at = unicode_next(line.text, line.len, line.at)) {
            struct line_edit_view view = line_edit_look(&line, width);
            assert_true(view.start <= line.at && line.at <= view.end);
            assert_true(view.cursor < width);
            assert_true(unicode_columns(line.text + view.start, view.end - view.start) < width);
            if (line.at == line.len)
                break;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clean),
        cmocka_unit_test(clean_any_two_bytes),
        cmocka_unit_test(text_or_not),
        cmocka_unit_test(columns),
        cmocka_unit_test_teardown(typing, tear_down),
        cmocka_unit_test_teardown(strange_bytes, tear_down),
        cmocka_unit_test_teardown(a_full_line, tear_down),
        cmocka_unit_test_teardown(moving_and_cutting, tear_down),
        cmocka_unit_test_teardown(the_cursor_within_a_cluster, tear_down),
        cmocka_unit_test_teardown(pasting, tear_down),
        cmocka_unit_test_teardown(history, tear_down),
        cmocka_unit_test_teardown(what_was_typed_leaves_no_trace_in_the_line, tear_down),
        cmocka_unit_test_teardown(views, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
