/* SPDX-License-Identifier: MIT
 *
 * test_log.c - what a line looks like, and how many lines of which event are written in a second.
 * Standard error is a pipe here.
 */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static int reader, saved;
static char written[64 * 1024];

static int begin(void **state)
{
    (void)state;
    int ends[2];
    if (pipe2(ends, O_NONBLOCK) != 0)
        return -1;
    saved = dup(STDERR_FILENO);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    reader = ends[0];
    return 0;
}

static int end(void **state)
{
    (void)state;
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(reader);
    return 0;
}

/* Waits until a second of the clock that the log goes by has just begun: what follows is done in
 * it. */
static void await_second(void)
{
    struct timespec before, now;
    clock_gettime(CLOCK_MONOTONIC, &before);
    do
        clock_gettime(CLOCK_MONOTONIC, &now);
    while (now.tv_sec == before.tv_sec);
}

/* Takes what was written so far. */
static void take_written(void)
{
    ssize_t len = read(reader, written, sizeof(written) - 1);
    written[len > 0 ? len : 0] = '\0';
}

/* The same, and returns how often a word is in it. */
static int count(const char *word)
{
    int found = 0;
    take_written();
    for (const char *at = written; (at = strstr(at, word)); at++)
        found++;
    return found;
}

static void test_what_strangers_provoke_crowds_out_no_wrong_password(void **state)
{
    (void)state;
    await_second();
    for (int i = 0; i < 1000; i++) {
        log_event(LOG_LEVEL_WARN, "turned_away", "count=%d", i);
        log_event(LOG_LEVEL_INFO, "joined", "client=%d", i);
    }
    for (int i = 0; i < LOG_LINES_MAX; i++)
        log_event(LOG_LEVEL_WARN, "wrong_password", "address=- client=%d", i);
    assert_int_equal(count(" warn wrong_password "), LOG_LINES_MAX);
}

static void test_an_event_has_its_lines_a_second_and_no_more(void **state)
{
    (void)state;
    await_second();
    for (int i = 0; i < 1000; i++)
        log_event(LOG_LEVEL_WARN, "too_slow", "client=%d", i);
    assert_int_equal(count(" warn too_slow "), LOG_LINES_MAX);
    await_second();
    for (int i = 0; i < 1000; i++)
        log_event(LOG_LEVEL_INFO, "left", "client=%d", i);
    assert_int_equal(count(" info left "), LOG_INFO_LINES_MAX);
}

static void test_what_was_lost_is_told_once_a_second(void **state)
{
    (void)state;
    await_second();
    for (int i = 0; i < LOG_LINES_MAX + 7; i++)
        log_event(LOG_LEVEL_WARN, "accept_failed", "why=\"x\"");
    count("x");
    await_second();
    for (int i = 0; i < LOG_LINES_MAX + 7; i++)
        log_event(LOG_LEVEL_WARN, "accept_failed", "why=\"x\"");
    assert_int_equal(count("log_lost lines="), 1);
}

/* More events than have a budget of their own: none overwrites another, and all are bounded. */
static void test_more_words_than_there_are_share_a_budget(void **state)
{
    (void)state;
    static const char names[] = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJ";
    static char events[sizeof(names)][2];
    await_second();
    for (size_t i = 0; i < sizeof(names) - 1; i++) {
        events[i][0] = names[i];
        log_event(LOG_LEVEL_WARN, events[i], "x");
    }
    int lines = count(" warn ");
    assert_in_range(lines, LOG_WORDS_MAX - 10, LOG_WORDS_MAX - 1 + LOG_LINES_MAX);
}

/* The same, and what was lost before is told. */
static void begin_second(void)
{
    await_second();
    log_notice("begin", "x");
    take_written();
}

static void test_a_line_has_time_level_event_and_pairs(void **state)
{
    (void)state;
    int year, month, day, hour, minute, second, ms, end = 0;
    begin_second();
    log_event(LOG_LEVEL_ERROR, "shape", "client=%d name=\"%s\"", 7, "ana");
    assert_int_equal(count("error"), 1);
    assert_int_equal(sscanf(written,
                            "%4d-%2d-%2dT%2d:%2d:%2d.%3dZ error shape client=7 name=\"ana\"\n%n",
                            &year, &month, &day, &hour, &minute, &second, &ms, &end),
                     7);
    assert_int_equal(end, strlen(written));
    struct tm tm = {.tm_year = year - 1900,
                    .tm_mon = month - 1,
                    .tm_mday = day,
                    .tm_hour = hour,
                    .tm_min = minute,
                    .tm_sec = second};
    assert_in_range(timegm(&tm), time(NULL) - 10, time(NULL));
}

static void test_levels(void **state)
{
    (void)state;
    static const char *const words[] = {" error ", " warn ", " info ", " debug "};
    for (int shown = LOG_LEVEL_ERROR; shown <= LOG_LEVEL_DEBUG; shown++) {
        await_second();
        log_set_level((enum log_level)shown);
        log_event(LOG_LEVEL_ERROR, "level_e", "x");
        log_event(LOG_LEVEL_WARN, "level_w", "x");
        log_event(LOG_LEVEL_INFO, "level_i", "x");
        log_event(LOG_LEVEL_DEBUG, "level_d", "x");
        log_notice("level_n", "x");
        assert_int_equal(count("\n"), shown + 1 + (shown >= LOG_LEVEL_INFO));
        for (int level = 0; level <= shown; level++)
            assert_non_null(strstr(written, words[level]));
    }
    log_set_level(LOG_LEVEL_INFO);
}

/* At level debug nothing is counted out. */
static void test_debug_has_no_budget(void **state)
{
    (void)state;
    log_set_level(LOG_LEVEL_DEBUG);
    await_second();
    for (int i = 0; i < 3 * LOG_LINES_MAX; i++)
        log_event(LOG_LEVEL_WARN, "many", "x");
    assert_int_equal(count(" warn many "), 3 * LOG_LINES_MAX);
    log_set_level(LOG_LEVEL_INFO);
}

/* What the server itself does is told however much clients do, and after what was lost. */
static void test_a_notice_is_never_counted_out(void **state)
{
    (void)state;
    await_second();
    for (int i = 0; i < 1000; i++)
        log_event(LOG_LEVEL_INFO, "stops", "x");
    for (int i = 0; i < 10; i++)
        log_notice("stops", "x");
    assert_int_equal(count(" info stops "), LOG_INFO_LINES_MAX + 10);
    take_written();
    log_event(LOG_LEVEL_INFO, "stops", "x");
    log_notice("stops", "y");
    take_written();
    assert_null(strstr(written, "stops x"));
    const char *told = strstr(written, "log_lost lines=1\n"), *notice = strstr(written, "stops y");
    assert_true(told && notice && told < notice);
}

static void test_control_characters_cannot_forge_a_line(void **state)
{
    (void)state;
    begin_second();
    log_event(LOG_LEVEL_WARN, "forged", "name=\"%s\"", "a\nb\rc\x1b[31m\x7f\x1f\t ~\xc3\xa4");
    assert_int_equal(count("\n"), 1);
    assert_non_null(strstr(written, "name=\"a?b?c?[31m??? ~\xc3\xa4\"\n"));
}

static void test_a_long_line_is_cut(void **state)
{
    (void)state;
    char name[2 * LOG_LINE_MAX];
    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    begin_second();
    log_event(LOG_LEVEL_WARN, "long", "%s", name);
    assert_int_equal(count("\n"), 1);
    assert_int_equal(strlen(written), LOG_LINE_MAX);
    assert_int_equal(written[LOG_LINE_MAX - 1], '\n');
    assert_int_equal(written[LOG_LINE_MAX - 2], 'x');
    size_t stamp = (size_t)(strchr(written, 'x') - written);
    name[LOG_LINE_MAX - 1 - stamp] = '\0'; /* as long as a line can be */
    log_event(LOG_LEVEL_WARN, "long", "%s", name);
    take_written();
    assert_int_equal(strlen(written), LOG_LINE_MAX);
    name[LOG_LINE_MAX - 2 - stamp] = '\0';
    log_event(LOG_LEVEL_WARN, "long", "%s", name);
    take_written();
    assert_int_equal(strlen(written), LOG_LINE_MAX - 1);
}

static void test_errno_is_kept(void **state)
{
    (void)state;
    errno = ENOSPC;
    log_event(LOG_LEVEL_WARN, "keeps", "x");
    assert_int_equal(errno, ENOSPC);
    log_notice("keeps", "x");
    assert_int_equal(errno, ENOSPC);
}

/* A pipe that nobody reads takes no more: lines are lost, nobody waits, and it is told later. */
static void test_a_reader_that_does_not_read_holds_nobody_up(void **state)
{
    (void)state;
    await_second();
    log_set_level(LOG_LEVEL_DEBUG);
    for (int i = 0; i < 4000; i++)
        log_event(LOG_LEVEL_WARN, "full", "%0100d", i);
    int lines = count(" warn full ");
    assert_in_range(lines, 100, 3999);
    do
        take_written();
    while (written[0]);
    await_second();
    log_event(LOG_LEVEL_WARN, "full", "again");
    assert_int_equal(count("log_lost lines="), 1);
    assert_non_null(strstr(written, "full again\n"));
    log_set_level(LOG_LEVEL_INFO);
}

static void test_a_line_about_a_thing_that_lasts_is_due_once_a_minute(void **state)
{
    static atomic_int_fast64_t first, second;
    (void)state;
    assert_true(log_is_due(&first));
    assert_false(log_is_due(&first));
    assert_true(log_is_due(&second));
    atomic_fetch_sub(&first, LOG_AGAIN_SECONDS - 2);
    assert_false(log_is_due(&first));
    atomic_fetch_sub(&first, 2);
    assert_true(log_is_due(&first));
    assert_false(log_is_due(&first));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_strangers_provoke_crowds_out_no_wrong_password,
                                        begin, end),
        cmocka_unit_test_setup_teardown(test_an_event_has_its_lines_a_second_and_no_more, begin,
                                        end),
        cmocka_unit_test_setup_teardown(test_what_was_lost_is_told_once_a_second, begin, end),
        cmocka_unit_test_setup_teardown(test_a_line_has_time_level_event_and_pairs, begin, end),
        cmocka_unit_test_setup_teardown(test_levels, begin, end),
        cmocka_unit_test_setup_teardown(test_debug_has_no_budget, begin, end),
        cmocka_unit_test_setup_teardown(test_a_notice_is_never_counted_out, begin, end),
        cmocka_unit_test_setup_teardown(test_control_characters_cannot_forge_a_line, begin, end),
        cmocka_unit_test_setup_teardown(test_a_long_line_is_cut, begin, end),
        cmocka_unit_test_setup_teardown(test_errno_is_kept, begin, end),
        cmocka_unit_test(test_a_line_about_a_thing_that_lasts_is_due_once_a_minute),
        cmocka_unit_test_setup_teardown(test_a_reader_that_does_not_read_holds_nobody_up, begin,
                                        end),
        /* the last: it fills the table of events */
        cmocka_unit_test_setup_teardown(test_more_words_than_there_are_share_a_budget, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
