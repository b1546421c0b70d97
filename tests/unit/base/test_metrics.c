/* SPDX-License-Identifier: MIT
 *
 * test_metrics.c - what is counted, and the text that Prometheus reads.
 */
#include "base/metrics.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/version.h"

/* The text; the caller frees it. */
static char *read_text(void)
{
    size_t len = 0;
    char *text = metrics_text(&len);
    assert_non_null(text);
    assert_int_equal(strlen(text), len);
    return text;
}

/* The value behind `name`, with its labels; the line has to be there once. */
static double value_of(const char *name)
{
    char line[160];
    char *text = read_text(), *end;
    snprintf(line, sizeof(line), "\n%s ", name);
    const char *at = strstr(text, line);
    if (!at)
        fail_msg("no line %s", name);
    assert_null(strstr(at + 1, line));
    double value = strtod(at + strlen(line), &end);
    assert_int_equal(*end, '\n');
    free(text);
    return value;
}

static bool is_there(const char *name)
{
    char *text = read_text();
    bool found = strstr(text, name);
    free(text);
    return found;
}

static void check_value(const char *name, double expected)
{
    double value = value_of(name);
    if (value < expected - 1e-9 || value > expected + 1e-9)
        fail_msg("%s is %g, expected %g", name, value, expected);
}

static void test_each_number_has_its_name(void **state)
{
    (void)state;
    static const char *const names[METRICS] = {
        [METRIC_MEMBERS] = "ragnarok_clients",
        [METRIC_CONNECTIONS] = "ragnarok_connections",
        [METRIC_ROOMS] = "ragnarok_rooms",
        [METRIC_BROADCASTS] = "ragnarok_messages_total{kind=\"broadcast\"}",
        [METRIC_PRIVATE] = "ragnarok_messages_total{kind=\"private\"}",
        [METRIC_DELIVERIES] = "ragnarok_deliveries_total",
        [METRIC_BYTES_IN] = "ragnarok_received_bytes_total",
        [METRIC_BYTES_OUT] = "ragnarok_sent_bytes_total",
        [METRIC_EVICTED_SLOW] = "ragnarok_evictions_total{reason=\"too_slow\"}",
        [METRIC_EVICTED_SILENT] = "ragnarok_evictions_total{reason=\"silent\"}",
        [METRIC_EVICTED_REPLACED] = "ragnarok_evictions_total{reason=\"taken_over\"}",
        [METRIC_EVICTED_RULES] = "ragnarok_evictions_total{reason=\"broke_rules\"}",
        [METRIC_TLS_FAILED] = "ragnarok_handshake_failures_total{stage=\"tls\"}",
        [METRIC_REQUEST_FAILED] = "ragnarok_handshake_failures_total{stage=\"request\"}",
        [METRIC_UNUSED] = "ragnarok_unused_connections_total",
        [METRIC_RELOADS] = "ragnarok_reloads_total{result=\"done\"}",
        [METRIC_RELOADS_FAILED] = "ragnarok_reloads_total{result=\"refused\"}",
        [METRIC_HISTORY_STORED] = "ragnarok_history_messages_total{result=\"stored\"}",
        [METRIC_HISTORY_LOST] = "ragnarok_history_messages_total{result=\"lost\"}",
        [METRIC_HISTORY_FAILURES] = "ragnarok_history_failures_total",
        [METRIC_HISTORY_FAILING] = "ragnarok_history_failing",
        [METRIC_HISTORY_UNOPENED] = "ragnarok_history_unopened_rooms",
        [METRIC_ENGINE_UP] = "ragnarok_engine_up",
        [METRIC_ENGINE_SILENCE] = "ragnarok_engine_read_age_seconds",
        [METRIC_ENGINE_QUEUE] = "ragnarok_engine_queue_bytes",
        [METRIC_ENGINE_CALLS] = "ragnarok_engine_calls_total",
        [METRIC_ENGINE_REPEATED] = "ragnarok_engine_duplicates_total",
        [METRIC_ENGINE_CONNECTS] = "ragnarok_engine_reconnects_total",
        [METRIC_ENGINE_ROLLBACKS] = "ragnarok_engine_rollbacks_total",
        [METRIC_ENGINE_FENCED] = "ragnarok_engine_fenced_total",
        [METRIC_CERTIFICATE_END] = "ragnarok_certificate_end_timestamp_seconds",
        [METRIC_AUTHORITY_END] = "ragnarok_authority_end_timestamp_seconds",
    };
    assert_false(is_there("ragnarok_engine")); /* without one */
    metrics_show_engine();
    for (int i = 0; i < METRICS; i++) {
        metrics_set((enum metric)i, 0);
        metrics_add((enum metric)i, 1000 + i);
        check_value(names[i], 1000 + i);
        assert_int_equal(metrics_value((enum metric)i), 1000 + i);
    }
    for (int i = 0; i < METRICS; i++) /* no two share a number */
        check_value(names[i], 1000 + i);
}

static void test_numbers_go_up_and_down_and_are_replaced(void **state)
{
    (void)state;
    metrics_set(METRIC_ROOMS, 5);
    metrics_add(METRIC_ROOMS, 2);
    metrics_add(METRIC_ROOMS, -3);
    check_value("ragnarok_rooms", 4);
    metrics_set(METRIC_ROOMS, INT64_C(9007199254740993));
    char *text = read_text();
    assert_non_null(strstr(text, "\nragnarok_rooms 9007199254740993\n"));
    free(text);
    metrics_set(METRIC_ROOMS, 0);
    check_value("ragnarok_rooms", 0);
}

/* 0 would look like an end in 1970. */
static void test_an_end_that_there_is_not_is_not_written(void **state)
{
    (void)state;
    static const struct {
        enum metric metric;
        const char *line;
    } ends[] = {{METRIC_CERTIFICATE_END, "\nragnarok_certificate_end_timestamp_seconds "},
                {METRIC_AUTHORITY_END, "\nragnarok_authority_end_timestamp_seconds "}};
    for (int i = 0; i < 2; i++) {
        metrics_set(ends[i].metric, 0);
        metrics_set(ends[1 - i].metric, 1);
        assert_false(is_there(ends[i].line));
        assert_true(is_there(ends[1 - i].line));
        metrics_set(ends[i].metric, 1800000000);
        assert_true(is_there(ends[i].line));
    }
}

/* Text format 0.0.4: a name has one HELP and one TYPE, before its first line. */
static void test_each_name_has_help_and_type_once(void **state)
{
    (void)state;
    metrics_process_init();
    char *text = read_text(), name[80], type[16], before[80] = "";
    int heads = 0;
    assert_int_equal(strncmp(text, "# HELP ragnarok_", 16), 0);
    for (const char *line = text; *line; line = strchr(line, '\n') + 1) {
        if (sscanf(line, "# HELP %79s", name) == 1) {
            strcpy(before, name);
            heads++;
            assert_int_equal(sscanf(strchr(line, '\n') + 1, "# TYPE %79s %15s", name, type), 2);
            assert_string_equal(name, before);
            assert_true(strcmp(type, "gauge") == 0 || strcmp(type, "counter") == 0 ||
                        strcmp(type, "histogram") == 0);
        } else if (line[0] != '#') {
            assert_int_equal(strncmp(line, before, strlen(before)), 0);
        }
    }
    assert_int_equal(heads, 34);
    assert_int_equal(text[strlen(text) - 1], '\n');
    free(text);
}

static void test_refusals_are_counted_by_code(void **state)
{
    (void)state;
    double taken = value_of("ragnarok_refusals_total{code=\"name_taken\"}");
    double other = value_of("ragnarok_refusals_total{code=\"other\"}");
    double many = value_of("ragnarok_refusals_total{code=\"429\"}");
    double first = value_of("ragnarok_refusals_total{code=\"400\"}");
    metrics_refused(ERROR_NAME_TAKEN);
    metrics_refused(ERROR_NAME_TAKEN);
    metrics_refused(ERROR_TOO_FAST);
    metrics_refused(ERROR_RECEIVER_BUSY);
    metrics_refused_status(429);
    metrics_refused_status(400);
    metrics_refused_status(299);
    check_value("ragnarok_refusals_total{code=\"name_taken\"}", taken + 2);
    check_value("ragnarok_refusals_total{code=\"other\"}", other + 3);
    check_value("ragnarok_refusals_total{code=\"429\"}", many + 1);
    check_value("ragnarok_refusals_total{code=\"400\"}", first + 1);
    assert_false(is_there("too_fast"));
}

/* Values at each bound and one above it, and far above all of them. */
static void test_a_histogram_is_cumulative(void **state)
{
    (void)state;
    static const int bounds[] = {0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024};
    enum { BOUNDS = sizeof(bounds) / sizeof(*bounds) };
    double before[BOUNDS], sum = value_of("ragnarok_pump_round_messages_sum"), added = 5000;
    double count = value_of("ragnarok_pump_round_messages_count");
    char name[80];
    for (int i = 0; i < BOUNDS; i++) {
        snprintf(name, sizeof(name), "ragnarok_pump_round_messages_bucket{le=\"%d\"}", bounds[i]);
        before[i] = value_of(name);
    }
    for (int i = 0; i < BOUNDS; i++) {
        metrics_round((uint64_t)bounds[i], 1, -1);
        metrics_round((uint64_t)bounds[i] + 1, 1, -1);
        added += 2 * bounds[i] + 1;
    }
    metrics_round(5000, 1, -1);
    for (int i = 0; i < BOUNDS; i++) {
        int at_most = 0;
        for (int k = 0; k < BOUNDS; k++)
            at_most += (bounds[k] <= bounds[i]) + (bounds[k] + 1 <= bounds[i]);
        snprintf(name, sizeof(name), "ragnarok_pump_round_messages_bucket{le=\"%d\"}", bounds[i]);
        check_value(name, before[i] + at_most);
    }
    check_value("ragnarok_pump_round_messages_bucket{le=\"+Inf\"}", count + 2 * BOUNDS + 1);
    check_value("ragnarok_pump_round_messages_count", count + 2 * BOUNDS + 1);
    check_value("ragnarok_pump_round_messages_sum", sum + added);
}

static void test_delays_are_in_seconds(void **state)
{
    (void)state;
    double count = value_of("ragnarok_delivery_seconds_count");
    double sum = value_of("ragnarok_delivery_seconds_sum");
    double short_ones = value_of("ragnarok_delivery_seconds_bucket{le=\"0.0001\"}");
    double longer = value_of("ragnarok_delivery_seconds_bucket{le=\"0.00025\"}");
    double longest = value_of("ragnarok_delivery_seconds_bucket{le=\"1\"}");
    metrics_round(1, 1, -1); /* there was none */
    metrics_round(1, 1, 0);
    metrics_round(1, 1, 100);
    metrics_round(1, 1, 101);
    metrics_round(1, 1, 1000000);
    metrics_round(1, 1, 1000001);
    check_value("ragnarok_delivery_seconds_bucket{le=\"0.0001\"}", short_ones + 2);
    check_value("ragnarok_delivery_seconds_bucket{le=\"0.00025\"}", longer + 3);
    check_value("ragnarok_delivery_seconds_bucket{le=\"1\"}", longest + 4);
    check_value("ragnarok_delivery_seconds_count", count + 5);
    double now = value_of("ragnarok_delivery_seconds_sum");
    assert_true(now > sum + 2.000201 && now < sum + 2.000203);
}

static void test_deliveries_are_broadcasts_times_members(void **state)
{
    (void)state;
    metrics_set(METRIC_DELIVERIES, 0);
    metrics_round(7, 30, -1);
    metrics_round(0, 30, -1);
    metrics_round(2, 0, -1);
    check_value("ragnarok_deliveries_total", 210);
}

static void test_the_process_is_measured(void **state)
{
    (void)state;
    metrics_process_init();
    double open_before = value_of("process_open_fds");
    int fds[] = {dup(0), dup(0), dup(0)};
    check_value("process_open_fds", open_before + 3);
    for (int i = 0; i < 3; i++)
        close(fds[i]);
    check_value("process_open_fds", open_before);
    assert_true(value_of("process_max_fds") > open_before);
    double start = value_of("process_start_time_seconds"), now = (double)time(NULL);
    assert_true(start > now - 3600 && start <= now);
    check_value("ragnarok_build_info{version=\"" RAGNAROK_VERSION "\"}", 1);
}

static void test_memory_and_time_grow_with_use(void **state)
{
    enum { BYTES = 64 << 20 };
    (void)state;
    double memory = value_of("process_resident_memory_bytes");
    double spent = value_of("process_cpu_seconds_total");
    char *volatile used = malloc(BYTES); /* volatile: the compiler keeps the writes */
    assert_non_null(used);
    memset(used, 1, BYTES);
    assert_true(value_of("process_resident_memory_bytes") > memory + 0.5 * BYTES);
    while (value_of("process_cpu_seconds_total") < spent + 0.05)
        memset(used, 2, BYTES);
    free(used);
}

enum { THREADS = 4, EACH = 20000 };

static void *count_up(void *argument)
{
    (void)argument;
    for (int i = 0; i < EACH; i++) {
        metrics_add(METRIC_BYTES_IN, 3);
        metrics_refused(ERROR_THROTTLED);
    }
    return NULL;
}

static void test_nothing_is_lost_between_threads(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    double refused = value_of("ragnarok_refusals_total{code=\"throttled\"}");
    metrics_set(METRIC_BYTES_IN, 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count_up, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    check_value("ragnarok_received_bytes_total", 3.0 * THREADS * EACH);
    check_value("ragnarok_refusals_total{code=\"throttled\"}", refused + THREADS * EACH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_number_has_its_name),
        cmocka_unit_test(test_numbers_go_up_and_down_and_are_replaced),
        cmocka_unit_test(test_an_end_that_there_is_not_is_not_written),
        cmocka_unit_test(test_each_name_has_help_and_type_once),
        cmocka_unit_test(test_refusals_are_counted_by_code),
        cmocka_unit_test(test_a_histogram_is_cumulative),
        cmocka_unit_test(test_delays_are_in_seconds),
        cmocka_unit_test(test_deliveries_are_broadcasts_times_members),
        cmocka_unit_test(test_the_process_is_measured),
        cmocka_unit_test(test_memory_and_time_grow_with_use),
        cmocka_unit_test(test_nothing_is_lost_between_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
