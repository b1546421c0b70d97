/* SPDX-License-Identifier: MIT
 *
 * log.h - one line per event on standard error: time, level, event, key=value pairs.
 *
 * Any thread may log, holding any lock: a line is written only when it can be written without
 * waiting and this second has one left. What is lost is counted, and the next line that is written
 * comes after one that says how many.
 * Never logged: what people say, and passwords.
 */
#ifndef LOG_H
#define LOG_H

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

enum {
    LOG_LINE_MAX = 1024, /* bytes of one line; a longer one is cut */
    LOG_LINES_MAX = 10,  /* lines in a second; more are counted and left out, but at level debug */
    LOG_INFO_LINES_MAX = 6, /* of them may be info: the rest is for warnings and errors */
};

/* Sets the least important level that is written. */
void log_set_level(enum log_level level);

/* Writes "2026-01-31T12:00:00.000Z info event key=value ...", or to systemd's journal "<6>info event
 * key=value ...". `event` names what happened in one word; `format` gives the pairs. Control
 * characters become '?'. errno is kept. */
void log_event(enum log_level level, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same at level info, for what the server itself does (it starts, it stops): not counted out,
 * however much its clients do in that second. */
void log_notice(const char *event, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
