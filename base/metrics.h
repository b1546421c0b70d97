/* SPDX-License-Identifier: MIT
 *
 * metrics.h - the server's metrics, and their text for Prometheus (text format 0.0.4).
 *
 * Any thread, no locks: each metric is an atomic of its own, updated with relaxed order. Frequent
 * events are counted per fan-out round or per write, never per delivery.
 */
#ifndef METRICS_H
#define METRICS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "lib/protocol.h"

enum metric {
    METRIC_MEMBERS,     /* gauge: members of all rooms */
    METRIC_CONNECTIONS, /* gauge: places taken, including those of handshakes and refusals */
    METRIC_ROOMS,       /* gauge */
    METRIC_BROADCASTS,
    METRIC_PRIVATE,    /* private messages delivered */
    METRIC_DELIVERIES, /* broadcasts times their receivers, plus private messages */
    METRIC_BYTES_IN,   /* application bytes, before TLS */
    METRIC_BYTES_OUT,
    METRIC_EVICTED_SLOW,     /* members closed as slow consumers */
    METRIC_EVICTED_SILENT,   /* members closed because they did not answer a ping */
    METRIC_EVICTED_REPLACED, /* members replaced by a newer connection of theirs */
    METRIC_EVICTED_RULES,    /* members closed because they broke a rule */
    METRIC_TLS_FAILED,       /* TLS handshakes that failed */
    METRIC_REQUEST_FAILED,   /* request heads that were missing, bad or late */
    METRIC_UNUSED,         /* connections that their peers closed before the first byte, as browsers
                              * do with those that they open in advance */
    METRIC_RELOADS,        /* successful reloads of the settings */
    METRIC_RELOADS_FAILED, /* failed reloads of the settings */
    METRIC_HISTORY_STORED, /* broadcasts in the history file */
    METRIC_HISTORY_LOST,   /* broadcasts that were overwritten before they could be stored */
    METRIC_HISTORY_FAILURES, /* attempts to store that failed */
    METRIC_HISTORY_FAILING,  /* gauge: 1 while broadcasts are not stored that should be */
    METRIC_HISTORY_UNOPENED, /* gauge: rooms that could not be opened in the history file */
    METRIC_ENGINE_UP,        /* gauge: 1 while the engine of a cluster answers */
    METRIC_ENGINE_SILENCE,   /* gauge: seconds since it should have answered */
    METRIC_ENGINE_QUEUE,     /* gauge: bytes that wait for it */
    METRIC_ENGINE_CALLS,     /* calls that were sent to it */
    METRIC_ENGINE_REPEATED,  /* calls that it had done before */
    METRIC_ENGINE_CONNECTS,  /* connections to it */
    METRIC_ENGINE_ROLLBACKS, /* rooms that were lost because it had lost something */
    METRIC_ENGINE_FENCED,    /* rooms that were lost because this server was cut off */
    METRIC_CERTIFICATE_END,  /* Unix time; 0: no certificate, not written */
    METRIC_AUTHORITY_END,    /* Unix time; 0: no authority of our own, not written */
    METRICS,
};

/* The value of a metric. */
int64_t metrics_value(enum metric metric);

/* Adds to a metric. The amount may be negative for a gauge. */
void metrics_add(enum metric metric, int64_t amount);

/* Sets a metric. */
void metrics_set(enum metric metric, int64_t value);

/* From now on the metrics of the engine are written. */
void metrics_show_engine(void);

/* Counts a refused client, by HTTP status or by the code of an Error. */
void metrics_refused_status(int status);
void metrics_refused(enum protocol_error error);

/* Counts one fan-out round: how many broadcasts it delivered, to how many members, and the age of
 * the oldest of them at its end in microseconds; < 0: there was none. */
void metrics_round(uint64_t broadcasts, uint64_t members, int64_t age_us);

/* Writes all metrics. Returns a text of *len bytes that the caller frees with free(), or NULL when
 * memory is out. */
char *metrics_text(size_t *len);

/* Metrics of the process: memory, processor time, descriptors, its start; and the version.
 * metrics_process_init must be called once, at the start, before the sandbox (sandbox.h);
 * metrics_process_write is a part of metrics_text. */
void metrics_process_init(void);
void metrics_process_write(FILE *out);

#endif
