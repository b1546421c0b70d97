/* SPDX-License-Identifier: MIT
 *
 * metrics.c - counting, and the text that Prometheus reads (text format 0.0.4).
 *
 * Names follow its rules: units in the name, _total for what only grows, _bucket, _sum and _count of a
 * histogram. Labels have fixed values, so that no client can make new ones.
 *
 * A histogram of the delay of each delivery would cost a clock per delivery. One per round costs
 * nothing worth measuring: the age of the oldest broadcast when the round has offered it to all
 * sockets, which no delivery of that round exceeds, unless its socket took no more.
 */
#include "metrics.h"

#include <inttypes.h>
#include <stdatomic.h>
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

/* Rows of one name stand together; the first of them has the help. */
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
    [METRIC_RELOADS] = {"reloads_total", "{result=\"done\"}", "counter", "Settings read again."},
    [METRIC_RELOADS_FAILED] = {"reloads_total", "{result=\"refused\"}", NULL, NULL},
};

void metrics_add(enum metric metric, int64_t amount)
{
    count(&numbers[metric], amount);
}

/* ---- Refusals ---- */

static const char *const codes[] = {
    "400",
    "403",
    "404",
    "405",
    "414",
    "421",
    "426",
    "429",
    "431",
    "503",
    "505",
    /* from here on what a Join is answered with */
    "bad_json",
    "bad_name",
    "bad_proof",
    "missing_field",
    "name_taken",
    "room_full",
    "shutting_down",
    "throttled",
    "too_long",
    "too_many_rooms",
    "unknown_type",
    "wrong_password",
    "other",
};

enum { CODES = sizeof(codes) / sizeof(codes[0]) };

static counter refusals[CODES];

void metrics_refused(const char *code)
{
    size_t i = 0;
    while (i < CODES - 1 && strcmp(codes[i], code) != 0)
        i++;
    count(&refusals[i], 1);
}

void metrics_refused_status(int status)
{
    char code[16];
    snprintf(code, sizeof(code), "%d", status);
    metrics_refused(code);
}

/* ---- Histograms ---- */

enum { BOUNDS_MAX = 16 };

/* Values are whole numbers; they are printed times `unit`. */
struct histogram {
    const char *name, *help;
    double unit;
    int count;
    int64_t bounds[BOUNDS_MAX];
    counter buckets[BOUNDS_MAX + 1]; /* the last one has no bound */
    counter sum;
};

static struct histogram batches = {
    .name = PREFIX "pump_round_messages",
    .help = "Broadcasts that one round of a pump carried.",
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

static void write_head(FILE *out, const char *name, const char *type, const char *help)
{
    fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void write_numbers(FILE *out)
{
    char name[64];
    for (size_t i = 0; i < METRICS; i++) {
        snprintf(name, sizeof(name), PREFIX "%s", rows[i].name);
        if (rows[i].help)
            write_head(out, name, rows[i].type, rows[i].help);
        fprintf(out, "%s%s %" PRId64 "\n", name, rows[i].labels, read_counter(&numbers[i]));
    }
}

static void write_refusals(FILE *out)
{
    static const char name[] = PREFIX "refusals_total";
    write_head(out, name, "counter", "Clients that were not let in, by what they were told.");
    for (size_t i = 0; i < CODES; i++)
        fprintf(out, "%s{code=\"%s\"} %" PRId64 "\n", name, codes[i], read_counter(&refusals[i]));
}

/* The buckets are cumulative; the count is taken from them, so that it fits. */
static void write_histogram(FILE *out, struct histogram *histogram)
{
    int64_t sum = 0;
    write_head(out, histogram->name, "histogram", histogram->help);
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
    if (fclose(out) == 0)
        return text;
    free(text);
    return NULL;
}
