/* SPDX-License-Identifier: MIT
 *
 * log.c - one line per event on standard error, without ever waiting for its reader.
 *
 * One leaf lock makes lines whole and in order. Before a write, poll(2) is asked: a pipe that is
 * ready takes PIPE_BUF bytes (POSIX: at least 512, 4096 on Linux) without blocking, and a line is
 * shorter. Not here: files and their rotation, which are the business of who starts the server.
 */
#include "log.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static atomic_int level_shown = LOG_LEVEL_INFO; /* [a] */
static pthread_once_t looked = PTHREAD_ONCE_INIT;
static bool to_journal; /* [I] since `looked`: whether standard error is systemd's journal */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned long lost;    /* [lock] lines that found no room, or were too many */
static time_t present_second; /* [lock] on the monotonic clock */
static int lines_in_second;   /* [lock] written since it began */

void log_set_level(enum log_level level)
{
    atomic_store(&level_shown, (int)level);
}

/* Whether lines of that level are written. */
static bool is_shown(enum log_level level)
{
    return (int)level <= atomic_load_explicit(&level_shown, memory_order_relaxed);
}

/* systemd.exec(5): JOURNAL_STREAM names the journal by device and inode; what was redirected to
 * elsewhere is another one. */
static void look_for_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    char ours[64];
    struct stat st;
    if (!stream || fstat(STDERR_FILENO, &st) != 0)
        return;
    snprintf(ours, sizeof(ours), "%llu:%llu", (unsigned long long)st.st_dev,
             (unsigned long long)st.st_ino);
    to_journal = strcmp(stream, ours) == 0;
}

/* The journal has a clock of its own, and wants the level as sd-daemon(3) has it. */
static size_t write_stamp(char *line, size_t cap, enum log_level level)
{
    static const char *const words[] = {"error", "warn", "info", "debug"};
    static const int priorities[] = {3, 4, 6, 7};
    struct timespec now;
    struct tm tm;
    pthread_once(&looked, look_for_journal);
    if (to_journal)
        return (size_t)snprintf(line, cap, "<%d>%s ", priorities[level], words[level]);
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    size_t len = strftime(line, cap, "%Y-%m-%dT%H:%M:%S", &tm);
    int more = snprintf(line + len, cap - len, ".%03ldZ %s ", now.tv_nsec / 1000000, words[level]);
    return len + (size_t)more;
}

/* Writes one line if that can be done without waiting. A closed stderr, a full disk and a reader
 * that is gone lose it. */
static bool put(const char *line, size_t len)
{
    struct pollfd fd = {.fd = STDERR_FILENO, .events = POLLOUT};
    return poll(&fd, 1, 0) == 1 && write(STDERR_FILENO, line, len) >= 0;
}

static void put_lost(void)
{
    char line[128];
    size_t len = write_stamp(line, sizeof(line), LOG_LEVEL_WARN);
    len += (size_t)snprintf(line + len, sizeof(line) - len, "log_lost lines=%lu\n", lost);
    if (put(line, len))
        lost = 0;
}

/* Whether fewer than `most` lines were written in this second. So strangers cannot fill a disk, and by
 * coming and going they cannot crowd out what is more important. */
static bool may_write(int most)
{
    struct timespec now;
    if (is_shown(LOG_LEVEL_DEBUG))
        return true;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (now.tv_sec != present_second) {
        present_second = now.tv_sec;
        lines_in_second = 0;
    }
    return lines_in_second < most;
}

/* Writes the line, after how many were lost before it, or counts it as lost. */
static void put_or_count(const char *line, size_t len, int most)
{
    if (lost && may_write(most)) {
        put_lost();
        lines_in_second++;
    }
    if (may_write(most) && put(line, len))
        lines_in_second++;
    else
        lost++;
}

__attribute__((format(printf, 4, 0))) static size_t
write_line(char *line, enum log_level level, const char *event, const char *format, va_list args)
{
    size_t len = write_stamp(line, LOG_LINE_MAX, level);
    len += (size_t)snprintf(line + len, LOG_LINE_MAX - len, "%s ", event);
    int more = vsnprintf(line + len, LOG_LINE_MAX - len, format, args);
    len += more > 0 ? (size_t)more : 0;
    if (len > LOG_LINE_MAX - 1)
        len = LOG_LINE_MAX - 1;
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7F)
            line[i] = '?';
    line[len++] = '\n';
    return len;
}

/* Writes one event, if fewer than `most` lines were written in this second. errno is kept. */
__attribute__((format(printf, 4, 0))) static void
write_event(enum log_level level, int most, const char *event, const char *format, va_list args)
{
    char line[LOG_LINE_MAX];
    int saved = errno;
    size_t len = write_line(line, level, event, format, args);
    pthread_mutex_lock(&lock);
    put_or_count(line, len, most);
    pthread_mutex_unlock(&lock);
    errno = saved;
}

void log_event(enum log_level level, const char *event, const char *format, ...)
{
    va_list args;
    if (!is_shown(level))
        return;
    va_start(args, format);
    write_event(level, level <= LOG_LEVEL_WARN ? LOG_LINES_MAX : LOG_INFO_LINES_MAX, event, format,
                args);
    va_end(args);
}

void log_notice(const char *event, const char *format, ...)
{
    va_list args;
    if (!is_shown(LOG_LEVEL_INFO))
        return;
    va_start(args, format);
    write_event(LOG_LEVEL_INFO, INT_MAX, event, format, args);
    va_end(args);
}
