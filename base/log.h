/* SPDX-License-Identifier: MIT
 *
 * log.h - one line per event on standard error: time, level, event, key=value pairs.
 *
 * Any thread may log, holding any lock, because writing never waits. Each event, identified by its
 * word, has its own budget of lines per second, so an event that is cheap to cause cannot suppress
 * wrong_password. A line is lost if it is over the budget or cannot be written at once. Once a
 * second, the number of lost lines is logged before another line. Messages and passwords are never
 * logged.
 */
#ifndef LOG_H
#define LOG_H

#include <stdatomic.h>
#include <stdbool.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

enum {
    LOG_LINE_MAX = 1024,    /* bytes of one line; a longer one is cut */
    LOG_LINES_MAX = 20,     /* warnings or errors of one event in a second; more are lost, except
                             * at level debug */
    LOG_INFO_LINES_MAX = 3, /* the same for lines of level info */
    LOG_AGAIN_SECONDS = 60, /* between two lines about a thing that lasts */
    LOG_WORDS_MAX = 48,     /* events with a budget of their own; more than exist */
};

/* Sets the least important level that is written. */
void log_set_level(enum log_level level);

/* Writes "2026-01-31T12:00:00.000Z info event key=value ...", or to systemd's journal "<6>info
 * event key=value ...". `event` is one word, a constant string; `format` formats the pairs. Control
 * characters become '?'. errno is preserved. */
void log_event(enum log_level level, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Whether a line that is logged at most once in LOG_AGAIN_SECONDS may be logged now. `next` belongs
 * to that line, and is 0 at first. */
bool log_is_due(atomic_int_fast64_t *next);

/* Logs at level info what the server itself does (start, stop). Has no budget, and is preceded by
 * the number of lost lines. */
void log_notice(const char *event, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
