/* SPDX-License-Identifier: MIT
 *
 * log.c - writes one line per event to standard error, and never waits for its reader.
 *
 * Any thread enters it. One leaf lock keeps lines whole and in order. poll(2) is asked before each
 * write: a pipe that is ready takes PIPE_BUF bytes (POSIX: at least 512, 4096 on Linux) without
 * blocking, and a line is shorter. Log files and their rotation belong to the program that starts
 * the server.
 */
#include "base/log.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
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
static unsigned long lost;    /* [lock] lines that could not be written, or were over the budget */
static time_t present_second; /* [lock] the current second, on the monotonic clock */
static bool lost_told;        /* [lock] in this second */

/* The number of lines that each event has written in this second. */
static struct event {
    const char *word; /* a constant string; NULL: this entry and all after it are free */
    int lines;
} events[LOG_WORDS_MAX]; /* [lock] */

void log_set_level(enum log_level level)
{
    atomic_store(&level_shown, (int)level);
}

/* Whether lines of that level are written. */
static bool is_shown(enum log_level level)
{
    return (int)level <= atomic_load_explicit(&level_shown, memory_order_relaxed);
}

/* systemd.exec(5): JOURNAL_STREAM names the journal by device and inode. They differ from those of
 * a standard error that was redirected elsewhere. */
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

/* The journal has its own clock, and takes the level as sd-daemon(3) prefix. */
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

/* Writes one line if that is possible without waiting. The line is lost if stderr is closed, the
 * disk is full or the reader is gone. */
static bool put_byte(const char *line, size_t len)
{
    struct pollfd fd = {.fd = STDERR_FILENO, .events = POLLOUT};
    return poll(&fd, 1, 0) == 1 && write(STDERR_FILENO, line, len) >= 0;
}

static bool put_lost(void)
{
    char line[128];
    size_t len = write_stamp(line, sizeof(line), LOG_LEVEL_WARN);
    len += (size_t)snprintf(line + len, sizeof(line) - len, "log_lost lines=%lu\n", lost);
    if (!put_byte(line, len))
        return false;
    lost = 0;
    return true;
}

bool log_is_due(atomic_int_fast64_t *next)
{
    struct timespec now;
    int_fast64_t due = atomic_load(next);
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec >= due &&
           atomic_compare_exchange_strong(next, &due, now.tv_sec + LOG_AGAIN_SECONDS);
}

/* Resets the budgets when a new second has begun. */
static void look_at_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (now.tv_sec == present_second)
        return;
    present_second = now.tv_sec;
    lost_told = false;
    for (size_t i = 0; i < LOG_WORDS_MAX; i++)
        events[i].lines = 0;
}

/* Finds the entry of an event, or adds one. If there are more events than entries, the last ones
 * share an entry. */
static struct event *find_event(const char *word)
{
    size_t i = 0;
    while (i < LOG_WORDS_MAX - 1 && events[i].word && strcmp(events[i].word, word) != 0)
        i++;
    if (!events[i].word)
        events[i].word = word;
    return &events[i];
}

/* Writes the line, preceded by the number of lines lost before it. Counts it as lost instead if its
 * event has written `most` lines in this second. So strangers cannot fill a disk, and the events
 * they cause do not suppress other events. */
static void put_or_count(const char *line, size_t len, const char *event, int most)
{
    struct event *budget = find_event(event);
    look_at_clock();
    if (budget->lines >= most && !is_shown(LOG_LEVEL_DEBUG)) {
        lost++;
        return;
    }
    if (lost && (!lost_told || most == INT_MAX)) /* and before a notice, such as at the end */
        lost_told = put_lost();
    if (put_byte(line, len))
        budget->lines++;
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

/* Writes one event, if fewer than `most` lines of it were written in this second. errno is
 * preserved. */
__attribute__((format(printf, 4, 0))) static void
write_event(enum log_level level, int most, const char *event, const char *format, va_list args)
{
    char line[LOG_LINE_MAX];
    int saved = errno;
    size_t len = write_line(line, level, event, format, args);
    pthread_mutex_lock(&lock);
    put_or_count(line, len, event, most);
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
