/* SPDX-License-Identifier: MIT
 *
 * test_command.c - what a typed line means, and what Tab makes of it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/term/command.h"

static char anna[] = "Anna", anna_b[] = "Anna B", bert[] = "bert";
static char *const people[] = {anna, anna_b, bert};
static const struct command_names here = {people, 3};

static void commands(void **state)
{
    static const struct {
        const char *line;
        enum command_verb verb;
        const char *name, *text;
    } cases[] = {
        {"hello", COMMAND_TEXT, "", "hello"},
        {"//hello", COMMAND_TEXT, "", "/hello"},
        {"/w", COMMAND_WHO, "", NULL},
        {"/quit now", COMMAND_QUIT, "", NULL},
        {"/msg bert hi  there", COMMAND_MSG, "bert", "hi  there"},
        {"/msg \"anna b\" hi", COMMAND_MSG, "anna b", "hi"},
        {"/msg anna b hi", COMMAND_MSG, "anna", "b hi"}, /* whoever is called "anna b" */
        {"/msg anna bc hi", COMMAND_MSG, "anna", "bc hi"},
        {"/msg \"no body\" hi", COMMAND_MSG, "no body", "hi"},
        {"/msg nobody hi", COMMAND_MSG, "nobody", "hi"},
        {"/msg bert", COMMAND_LACKS, NULL, "/msg NAME TEXT"},
        {"/msg", COMMAND_LACKS, NULL, "/msg NAME TEXT"},
        {"/verify", COMMAND_LACKS, NULL, "/verify NAME"},
        {"/verify Anna B", COMMAND_VERIFY, "Anna B", NULL},
        {"/verif Anna", COMMAND_UNKNOWN, NULL, NULL},
        {"/", COMMAND_UNKNOWN, NULL, NULL},
        {"/me waves", COMMAND_TEXT, "", "/me waves"},
        {"/me", COMMAND_LACKS, NULL, "/me TEXT"},
        {"/meow", COMMAND_UNKNOWN, NULL, NULL},
        {"/history", COMMAND_HISTORY, "", ""},
        {"/history  30", COMMAND_HISTORY, "", "30"},
        {"/search", COMMAND_SEARCH, "", ""},
        {" /search \"the end\" of", COMMAND_SEARCH, "", "\"the end\" of"},
        {"/searching", COMMAND_UNKNOWN, NULL, NULL},
        {"/nick anna b", COMMAND_NICK, "anna b", NULL},
        {"/nick \"anna b\"", COMMAND_NICK, "anna b", NULL},
        {"/nick", COMMAND_LACKS, NULL, "/nick NAME"},
        {"/forget Anna B", COMMAND_FORGET, "Anna B", NULL},
        {"/forget", COMMAND_LACKS, NULL, "/forget NAME"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct command command = command_read(cases[i].line, here);
        assert_int_equal(command.verb, cases[i].verb);
        if (cases[i].name) {
            assert_int_equal(command.name_len, strlen(cases[i].name));
            assert_memory_equal(command.name, cases[i].name, command.name_len);
        }
        if (cases[i].text)
            assert_string_equal(command.text, cases[i].text);
    }
}

/* Whatever stands before a slash and cannot be seen, a line with a slash and a letter is never said
 * to the room by accident. */
static void white_space_before_a_slash_does_not_count(void **state)
{
    static const char *const white[] = {
        " ", "   ", "\t", "\n", " \n ", "\xC2\xA0", "\xE3\x80\x80", "\xE2\x80\x8B", "\xE2\x81\x9F",
    };
    static const size_t all = sizeof(white) / sizeof(*white);
    char line[64];
    (void)state;
    for (size_t i = 0; i < all; i++) {
        snprintf(line, sizeof(line), "%s/msg bert secret", white[i]);
        struct command command = command_read(line, here);
        assert_int_equal(command.verb, COMMAND_MSG);
        assert_string_equal(command.text, "secret");
        snprintf(line, sizeof(line), "%s/mgs bert secret", white[i]);
        assert_int_equal(command_read(line, here).verb, COMMAND_UNKNOWN);
        snprintf(line, sizeof(line), "%s//text", white[i]);
        command = command_read(line, here);
        assert_int_equal(command.verb, COMMAND_TEXT);
        assert_string_equal(command.text, "/text");
        snprintf(line, sizeof(line), "%s/me waves", white[i]);
        assert_string_equal(command_read(line, here).text, "/me waves");
        snprintf(line, sizeof(line), "%sno /msg", white[i]);
        assert_string_equal(command_read(line, here).text, line);
    }
}

static void completing(void **state)
{
    (void)state;
    struct command_completion found = command_complete("ann", 3, here);
    assert_int_equal(found.matches, 2);
    assert_int_equal(found.common_len, 4);
    found = command_complete("B", 1, here);
    assert_int_equal(found.matches, 1);
    assert_string_equal(found.behind, ": ");
    found = command_complete("hi b", 4, here);
    assert_int_equal(found.from, 3);
    assert_string_equal(found.behind, " ");
    found = command_complete("/verify anna ", 13, here);
    assert_int_equal(found.from, 8);
    assert_int_equal(found.matches, 1);
    assert_false(found.quote);
    assert_true(command_complete("/msg anna", 9, here).matches == 2);
    static char *const one[] = {anna_b};
    found = command_complete("/msg an", 7, (struct command_names){one, 1});
    assert_true(found.quote && found.matches == 1 && found.from == 5);
    assert_int_equal(command_complete("/q", 2, here).matches, 1);
    assert_int_equal(command_complete("x", 1, here).matches, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands),
        cmocka_unit_test(white_space_before_a_slash_does_not_count),
        cmocka_unit_test(completing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
