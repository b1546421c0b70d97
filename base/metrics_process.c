/* SPDX-License-Identifier: MIT
 *
 * metrics_process.c - metrics of the process and of the build, under the names that every
 * Prometheus client library uses: process_* without a prefix.
 *
 * Any thread may write them; no locks. The sandbox (sandbox.h) forbids opening files, so the one
 * that tells of memory is opened at the start and stays open.
 */
#include "base/metrics.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "lib/version.h"

enum { CHUNK = 1024 }; /* descriptors in one poll(2) */

static int statm = -1;    /* [I] /proc/self/statm; -1: there is no /proc */
static time_t started_at; /* [I] Unix time */

void metrics_process_init(void)
{
    started_at = time(NULL);
    if (statm < 0)
        statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
}

/* The bytes in memory (proc_pid_statm(5)), or -1. */
static long long resident_bytes(void)
{
    char text[128];
    ssize_t len = statm < 0 ? -1 : pread(statm, text, sizeof(text) - 1, 0);
    if (len <= 0)
        return -1;
    text[len] = '\0';
    const char *second = strchr(text, ' ');
    return second ? strtoll(second, NULL, 10) * sysconf(_SC_PAGESIZE) : -1;
}

static double cpu_seconds(void)
{
    struct timespec spent;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &spent);
    return (double)spent.tv_sec + (double)spent.tv_nsec * 1e-9;
}

/* Counts the open descriptors below `limit`: to poll(2) all others are POLLNVAL. That needs neither
 * /proc nor a system call that the sandbox forbids. */
static unsigned long count_open(unsigned long limit)
{
    struct pollfd fds[CHUNK];
    unsigned long open = 0;
    for (unsigned long at = 0; at < limit; at += CHUNK) {
        unsigned count = limit - at < CHUNK ? (unsigned)(limit - at) : CHUNK;
        for (unsigned i = 0; i < count; i++)
            fds[i] = (struct pollfd){.fd = (int)(at + i)};
        if (poll(fds, count, 0) < 0)
            break;
        for (unsigned i = 0; i < count; i++)
            open += !(fds[i].revents & POLLNVAL);
    }
    return open;
}

static void write_gauge(FILE *out, const char *name, const char *help, double value)
{
    fprintf(out, "# HELP %s %s\n# TYPE %s gauge\n%s %.0f\n", name, help, name, name, value);
}

void metrics_process_write(FILE *out)
{
    struct rlimit limit;
    long long resident = resident_bytes();
    fputs("# HELP ragnarok_build_info The version that runs; the value is always 1.\n"
          "# TYPE ragnarok_build_info gauge\n"
          "ragnarok_build_info{version=\"" RAGNAROK_VERSION "\"} 1\n",
          out);
    fprintf(out,
            "# HELP process_cpu_seconds_total Processor time, of the user and the system.\n"
            "# TYPE process_cpu_seconds_total counter\n"
            "process_cpu_seconds_total %.3f\n",
            cpu_seconds());
    if (resident >= 0)
        write_gauge(out, "process_resident_memory_bytes",
                    "Memory of the server, without its broker.", (double)resident);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) {
        write_gauge(out, "process_open_fds", "Open descriptors.",
                    (double)count_open(limit.rlim_cur));
        write_gauge(out, "process_max_fds", "How many descriptors may be open.",
                    (double)limit.rlim_cur);
    }
    write_gauge(out, "process_start_time_seconds", "When the server was started, in Unix time.",
                (double)started_at);
}
