/* SPDX-License-Identifier: MIT
 *
 * load_report.c - the load generator's measurements and output: clocks, faults, a histogram of
 * latencies, and the report at the end. One thread.
 */
#include "load.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SHOWN_MAX = 300, /* bytes of a message in a fault */
};

int64_t report_clock(clockid_t clock)
{
    struct timespec now;
    return clock_gettime(clock, &now) == 0 ? now.tv_sec * NANO + now.tv_nsec : 0;
}

void report_fault(struct load_run *run, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("load: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    run->errors++;
    run->failed = true;
}

int report_shown(size_t len)
{
    return len < SHOWN_MAX ? (int)len : SHOWN_MAX;
}

/* ---- Clocks and memory ---- */

/* Reads memory and threads of the server from proc(5). */
static void read_status(long pid, struct usage *usage)
{
    char path[64], line[256];
    snprintf(path, sizeof(path), "/proc/%ld/status", pid);
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof(line), file)) {
        if (strncmp(line, "VmRSS:", 6) == 0)
            usage->rss_kib = strtol(line + 6, NULL, 10);
        else if (strncmp(line, "Threads:", 8) == 0)
            usage->threads = strtol(line + 8, NULL, 10);
    }
    if (file)
        fclose(file);
}

/* A process's CPU clock counts user and system time of all its threads, ended ones too, in
 * nanoseconds; /proc/PID/stat has only ticks of ten milliseconds. */
struct usage report_usage(const struct load_run *run)
{
    struct usage usage = {.wall = report_clock(CLOCK_MONOTONIC),
                          .own_cpu = report_clock(CLOCK_PROCESS_CPUTIME_ID)};
    clockid_t clock;
    if (run->options.pid && clock_getcpuclockid((pid_t)run->options.pid, &clock) == 0) {
        usage.server_cpu = report_clock(clock);
        read_status(run->options.pid, &usage);
    }
    return usage;
}

/* ---- Latencies ---- */

/* Values below HISTOGRAM_STEPS have a bucket each; above, each power of two has as many. */
static unsigned bucket_of(uint64_t value)
{
    if (value < HISTOGRAM_STEPS)
        return (unsigned)value;
    unsigned shift = 63 - 5 - (unsigned)__builtin_clzll(value);
    return (shift + 1) * HISTOGRAM_STEPS + (unsigned)(value >> shift) % HISTOGRAM_STEPS;
}

static uint64_t bucket_end(unsigned bucket)
{
    if (bucket < HISTOGRAM_STEPS)
        return bucket;
    unsigned shift = bucket / HISTOGRAM_STEPS - 1;
    return ((uint64_t)(HISTOGRAM_STEPS + bucket % HISTOGRAM_STEPS + 1) << shift) - 1;
}

void report_delivery(struct load_run *run, int64_t sent_at)
{
    int64_t delay = run->now > sent_at ? run->now - sent_at : 0;
    run->histogram[bucket_of((uint64_t)delay)]++;
    if (delay > run->slowest)
        run->slowest = delay;
    run->deliveries++;
    run->last = run->now;
}

/* The delay in microseconds that `share` of all deliveries did not exceed. */
static double percentile(const struct load_run *run, double share)
{
    double wanted = share * (double)run->deliveries, seen = 0;
    for (unsigned i = 0; i < HISTOGRAM_SIZE; i++) {
        seen += (double)run->histogram[i];
        if (seen >= wanted && seen > 0) {
            int64_t end = (int64_t)bucket_end(i);
            return (double)(end < run->slowest ? end : run->slowest) / 1000;
        }
    }
    return 0;
}

/* ---- The report ---- */

static double seconds(int64_t from, int64_t to)
{
    return (double)(to - from) / (double)NANO;
}

static double ratio(double a, double b)
{
    return b > 0 ? a / b : 0;
}

/* The figures that both reports give. */
struct figures {
    double joining, talking, rate, join_busy, busy, server, per_delivery;
};

static struct figures sum_up(const struct load_run *run)
{
    const struct usage *a = &run->before, *b = &run->joined, *c = &run->after;
    struct figures f = {
        .joining = seconds(a->wall, b->wall),
        .talking = seconds(run->start, run->options.idle ? run->stop : run->last),
        .join_busy = ratio(seconds(a->own_cpu, b->own_cpu), seconds(a->wall, b->wall)),
        .busy = ratio(seconds(b->own_cpu, c->own_cpu), seconds(b->wall, c->wall)),
        .server = seconds(b->server_cpu, c->server_cpu),
    };
    f.rate = ratio((double)run->deliveries, f.talking);
    f.per_delivery = ratio(f.server * 1e6, (double)run->deliveries);
    return f;
}

static void report_server(const struct load_run *run, const struct figures *f)
{
    const struct usage *a = &run->before, *b = &run->joined, *c = &run->after;
    printf(",\"server_join_cpu_seconds\":%.6f,\"server_cpu_seconds\":%.6f,"
           "\"cpu_us_per_delivery\":%.4f,\"rss_kib_before\":%ld,\"rss_kib_joined\":%ld,"
           "\"rss_kib_after\":%ld,\"threads\":%ld",
           seconds(a->server_cpu, b->server_cpu), f->server, f->per_delivery, a->rss_kib,
           b->rss_kib, c->rss_kib, c->threads);
}

static void report_json(const struct load_run *run, const struct figures *f)
{
    const struct load_options *o = &run->options;
    printf("{\"members\":%u,\"senders\":%u,\"tls\":%s,\"size\":%ld,\"join_seconds\":%.6f,"
           "\"join_busy\":%.3f,\"sent\":%" PRIu64 ",\"deliveries\":%" PRIu64 ",\"seconds\":%.6f,"
           "\"deliveries_per_s\":%.1f,\"busy\":%.3f",
           run->steady, talk_starters(run), o->tls ? "true" : "false", o->size, f->joining,
           f->join_busy, run->sent, run->deliveries, f->talking, f->rate, f->busy);
    printf(",\"latency_us\":{\"p50\":%.1f,\"p99\":%.1f,\"p999\":%.1f,\"max\":%.1f}",
           percentile(run, 0.5), percentile(run, 0.99), percentile(run, 0.999),
           (double)run->slowest / 1000);
    if (o->pid)
        report_server(run, f);
    printf(",\"lost\":%" PRIu64 ",\"doubled\":%" PRIu64 ",\"swapped\":%" PRIu64
           ",\"hash\":\"%016" PRIx64 "\",\"id_breaks\":%" PRIu64
           ",\"stalled_closed\":%u,\"came\":%" PRIu64 ",\"went\":%" PRIu64 ",\"visits\":%" PRIu64
           ",\"key_updates\":%" PRIu64 ",\"flaps\":%" PRIu64 ",\"join_users_bytes\":%" PRIu64
           ",\"users_bytes\":%" PRIu64 ",\"errors\":%" PRIu64 "}\n",
           run->lost, run->doubled, run->swapped, run->members[0].hash, run->id_breaks,
           run->stalled_closed, run->came, run->went, run->visits, run->key_updates, run->flaps,
           run->join_users_bytes, run->users_bytes, run->errors);
}

static void report_text(const struct load_run *run, const struct figures *f)
{
    printf("%u members joined in %.3f s\n%" PRIu64 " sent, %" PRIu64 " delivered in %.3f s: "
           "%.0f per second, load %.0f %% busy\n",
           run->steady, f->joining, run->sent, run->deliveries, f->talking, f->rate, 100 * f->busy);
    if (run->options.visits)
        printf("%" PRIu64 " visits, %.0f per second\n", run->visits,
               ratio((double)run->visits, f->talking));
    printf("who is online: %.0f bytes to each member while all joined, %.0f bytes a second then\n",
           ratio((double)run->join_users_bytes, run->steady),
           ratio((double)run->users_bytes, run->steady * f->talking));
    if (run->flappers)
        printf("%" PRIu64 " times somebody came and left at once\n", run->flaps);
    printf("latency p50 %.0f us, p99 %.0f us, p99.9 %.0f us, max %.0f us\n", percentile(run, 0.5),
           percentile(run, 0.99), percentile(run, 0.999), (double)run->slowest / 1000);
    if (run->options.pid)
        printf("server: %.3f us of CPU per delivery, %ld KiB before, %ld KiB after\n",
               f->per_delivery, run->before.rss_kib, run->after.rss_kib);
}

void report_print(const struct load_run *run)
{
    struct figures figures = sum_up(run);
    if (run->options.json)
        report_json(run, &figures);
    else
        report_text(run, &figures);
}
