/* SPDX-License-Identifier: MIT
 *
 * metrics.c - counters and histograms, written as Prometheus text (text format 0.0.4).
 *
 * Names follow its rules: the unit is part of the name, counters end in _total, and histograms have
 * _bucket, _sum and _count. Labels have fixed values, so clients cannot create new series.
 *
 * Latency is measured once per fan-out round, because reading the clock for each delivery would be
 * too expensive. The value is the age of the oldest broadcast when the round has offered it to all
 * sockets. No delivery of the round takes longer, unless its socket took no more.
 *
 * Any thread enters it; no locks.
 */
#include "base/metrics.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX "ragnarok_"

typedef atomic_int_fast64_t counter; /* [a] */

static void count(counter *which, int64_t amount)
{
    atomic_fetch_add_explicit(which, amount, memory_order_relaxed);
}

static int64_t read_counter(counter *which)
{
    return (int64_t)atomic_load_explicit(which, memory_order_relaxed);
}

/* ---- Single numbers ---- */

static counter numbers[METRICS];

/* Rows of one name are adjacent; the first of them has the help text. */
static const struct {
    const char *name, *labels, *type, *help;
} rows[METRICS] = {
    [METRIC_MEMBERS] = {"clients", "", "gauge", "Members of all rooms."},
    [METRIC_CONNECTIONS] = {"connections", "", "gauge",
                            "Connections, also those that have not joined."},
    [METRIC_ROOMS] = {"rooms", "", "gauge", "Rooms, the main room included."},
    [METRIC_BROADCASTS] = {"messages_total", "{kind=\"broadcast\"}", "counter",
                           "Messages that were accepted."},
    [METRIC_PRIVATE] = {"messages_total", "{kind=\"private\"}", NULL, NULL},
    [METRIC_DELIVERIES] = {"deliveries_total", "", "counter",
                           "Messages times the members that they were for."},
    [METRIC_BYTES_IN] = {"received_bytes_total", "", "counter", "Bytes read, TLS taken off."},
    [METRIC_BYTES_OUT] = {"sent_bytes_total", "", "counter", "Bytes written, before TLS."},
    [METRIC_EVICTED_SLOW] = {"evictions_total", "{reason=\"too_slow\"}", "counter",
                             "Members that the server closed."},
    [METRIC_EVICTED_SILENT] = {"evictions_total", "{reason=\"silent\"}", NULL, NULL},
    [METRIC_EVICTED_REPLACED] = {"evictions_total", "{reason=\"taken_over\"}", NULL, NULL},
    [METRIC_EVICTED_RULES] = {"evictions_total", "{reason=\"broke_rules\"}", NULL, NULL},
    [METRIC_TLS_FAILED] = {"handshake_failures_total", "{stage=\"tls\"}", "counter",
                           "Connections that ended before their request was read."},
    [METRIC_REQUEST_FAILED] = {"handshake_failures_total", "{stage=\"request\"}", NULL, NULL},
    [METRIC_UNUSED] = {"unused_connections_total", "", "counter",
                       "Connections that their peers closed before the first byte."},
    [METRIC_RELOADS] = {"reloads_total", "{result=\"done\"}", "counter", "Settings read again."},
    [METRIC_RELOADS_FAILED] = {"reloads_total", "{result=\"refused\"}", NULL, NULL},
    [METRIC_HISTORY_STORED] = {"history_messages_total", "{result=\"stored\"}", "counter",
                               "Broadcasts of stored rooms."},
    [METRIC_HISTORY_LOST] = {"history_messages_total", "{result=\"lost\"}", NULL, NULL},
    [METRIC_HISTORY_FAILURES] = {"history_failures_total", "", "counter",
                                 "Attempts to store broadcasts that failed."},
    [METRIC_HISTORY_FAILING] = {"history_failing", "", "gauge",
                                "1 while broadcasts are not stored that should be."},
    [METRIC_HISTORY_UNOPENED] = {"history_unopened_rooms", "", "gauge",
                                 "Rooms that are not stored, because they could not be opened."},
    [METRIC_ENGINE_UP] = {"engine_up", "", "gauge", "1 while the engine of the cluster answers."},
    [METRIC_ENGINE_SILENCE] = {"engine_read_age_seconds", "", "gauge",
                               "Time since the engine should have answered."},
    [METRIC_ENGINE_QUEUE] = {"engine_queue_bytes", "", "gauge", "Bytes that wait for the engine."},
    [METRIC_ENGINE_CALLS] = {"engine_calls_total", "", "counter", "Calls sent to the engine."},
    [METRIC_ENGINE_REPEATED] = {"engine_duplicates_total", "", "counter",
                                "Calls that the engine had done before."},
    [METRIC_ENGINE_CONNECTS] = {"engine_reconnects_total", "", "counter",
                                "Connections made to the engine."},
    [METRIC_ENGINE_ROLLBACKS] = {"engine_rollbacks_total", "", "counter",
                                 "Rooms that began again, because the engine had lost something."},
    [METRIC_ENGINE_FENCED] = {"engine_fenced_total", "", "counter",
                              "Rooms that this server lost, because it was cut off."},
    [METRIC_CERTIFICATE_END] = {"certificate_end_timestamp_seconds", "", "gauge",
                                "When the server's certificate ends, in Unix time."},
    [METRIC_AUTHORITY_END] = {"authority_end_timestamp_seconds", "", "gauge",
                              "When the local authority ends, in Unix time."},
};

void metrics_add(enum metric metric, int64_t amount)
{
    count(&numbers[metric], amount);
}

void metrics_set(enum metric metric, int64_t value)
{
    atomic_store_explicit(&numbers[metric], value, memory_order_relaxed);
}

int64_t metrics_value(enum metric metric)
{
    return read_counter(&numbers[metric]);
}

/* ---- Refusals ---- */

static const int statuses[] = {400, 403, 404, 405, 414, 417, 421, 426, 429, 431, 503, 505};

enum { STATUSES = sizeof(statuses) / sizeof(statuses[0]) };

/* Refusals by HTTP status, by the error code of a Join, and all others. */
static counter refused_statuses[STATUSES], refused_joins[ERROR_RECEIVER_BUSY], refused_otherwise;

void metrics_refused(enum protocol_error error)
{
    count(error < ERROR_RECEIVER_BUSY ? &refused_joins[error] : &refused_otherwise, 1);
}

void metrics_refused_status(int status)
{
    size_t i = 0;
    while (i < STATUSES && statuses[i] != status)
        i++;
    count(i < STATUSES ? &refused_statuses[i] : &refused_otherwise, 1);
}

/* ---- Histograms ---- */

enum { BOUNDS_MAX = 16 };

/* Values are whole numbers; they are multiplied by `unit` when printed. */
struct histogram {
    const char *name, *help;
    double unit;
    int count;
    int64_t bounds[BOUNDS_MAX];
    counter buckets[BOUNDS_MAX + 1]; /* the last one has no upper bound */
    counter sum;
};

static struct histogram batches = {
    .name = PREFIX "pump_round_messages",
    .help = "Broadcasts that one round of the fan-out carried.",
    .unit = 1,
    .count = 12,
    .bounds = {0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024},
};

static struct histogram delays = {
    .name = PREFIX "delivery_seconds",
    .help = "Age of the oldest broadcast of a round when it was offered to all sockets.",
    .unit = 1e-6,
    .count = 12,
    .bounds = {100, 250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 500000, 1000000},
};

static void observe(struct histogram *histogram, int64_t value)
{
    int i = 0;
    while (i < histogram->count && value > histogram->bounds[i])
        i++;
    count(&histogram->buckets[i], 1);
    count(&histogram->sum, value);
}

void metrics_round(uint64_t broadcasts, uint64_t members, int64_t age_us)
{
    observe(&batches, (int64_t)broadcasts);
    count(&numbers[METRIC_DELIVERIES], (int64_t)(broadcasts * members));
    if (age_us >= 0)
        observe(&delays, age_us);
}

/* ---- The text ---- */

static void write_metric_head(FILE *out, const char *name, const char *type, const char *help)
{
    fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static atomic_bool shows_engine; /* there is one */

void metrics_show_engine(void)
{
    atomic_store(&shows_engine, true);
}

/* Whether there is nothing to write: no engine, or no certificate, whose end 0 would mean 1970. */
static bool is_absent(size_t metric)
{
    if (metric >= METRIC_ENGINE_UP && metric <= METRIC_ENGINE_FENCED)
        return !atomic_load(&shows_engine);
    return (metric == METRIC_CERTIFICATE_END || metric == METRIC_AUTHORITY_END) &&
           read_counter(&numbers[metric]) == 0;
}

static void write_numbers(FILE *out)
{
    char name[64];
    for (size_t i = 0; i < METRICS; i++) {
        if (is_absent(i))
            continue;
        snprintf(name, sizeof(name), PREFIX "%s", rows[i].name);
        if (rows[i].help)
            write_metric_head(out, name, rows[i].type, rows[i].help);
        fprintf(out, "%s%s %" PRId64 "\n", name, rows[i].labels, read_counter(&numbers[i]));
    }
}

static void write_refusal(FILE *out, const char *code, counter *which)
{
    fprintf(out, PREFIX "refusals_total{code=\"%s\"} %" PRId64 "\n", code, read_counter(which));
}

static void write_refusals(FILE *out)
{
    char status[16];
    write_metric_head(out, PREFIX "refusals_total", "counter",
                      "Clients that were not let in, by what they were told.");
    for (size_t i = 0; i < STATUSES; i++) {
        snprintf(status, sizeof(status), "%d", statuses[i]);
        write_refusal(out, status, &refused_statuses[i]);
    }
    for (int error = ERROR_NONE + 1; error < ERROR_RECEIVER_BUSY; error++)
        write_refusal(out, protocol_error_name((enum protocol_error)error), &refused_joins[error]);
    write_refusal(out, "other", &refused_otherwise);
}

/* The buckets are cumulative; the count is their sum, so that it is consistent. */
static void write_histogram(FILE *out, struct histogram *histogram)
{
    int64_t sum = 0;
    write_metric_head(out, histogram->name, "histogram", histogram->help);
    for (int i = 0; i < histogram->count; i++) {
        sum += read_counter(&histogram->buckets[i]);
        fprintf(out, "%s_bucket{le=\"%g\"} %" PRId64 "\n", histogram->name,
                (double)histogram->bounds[i] * histogram->unit, sum);
    }
    sum += read_counter(&histogram->buckets[histogram->count]);
    fprintf(out, "%s_bucket{le=\"+Inf\"} %" PRId64 "\n%s_sum %.6f\n%s_count %" PRId64 "\n",
            histogram->name, sum, histogram->name,
            (double)read_counter(&histogram->sum) * histogram->unit, histogram->name, sum);
}

char *metrics_text(size_t *len)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, len);
    if (!out)
        return NULL;
    write_numbers(out);
    write_refusals(out);
    write_histogram(out, &batches);
    write_histogram(out, &delays);
    metrics_process_write(out);
    if (fclose(out) == 0)
        return text;
    free(text);
    return NULL;
}
