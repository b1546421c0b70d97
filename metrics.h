/* SPDX-License-Identifier: MIT
 *
 * metrics.h - what the server counts, and how that is written for Prometheus (text format 0.0.4).
 *
 * Any thread, no locks: each number is an atomic of its own, added to without order. What is hot is
 * counted per round of a pump or per write, never per delivery.
 */
#ifndef METRICS_H
#define METRICS_H

#include <stddef.h>
#include <stdint.h>

enum metric {
    METRIC_MEMBERS,     /* now: who has joined */
    METRIC_CONNECTIONS, /* now: places taken, those of handshakes and refusals, too */
    METRIC_ROOMS,       /* now */
    METRIC_BROADCASTS,
    METRIC_PRIVATE,    /* private messages delivered */
    METRIC_DELIVERIES, /* broadcasts times members they were for, and private messages */
    METRIC_BYTES_IN,   /* of streams, before TLS */
    METRIC_BYTES_OUT,
    METRIC_EVICTED_SLOW,     /* members that the server closed: too far behind, */
    METRIC_EVICTED_SILENT,   /* no answer to a ping, */
    METRIC_EVICTED_REPLACED, /* taken over by a newer connection of theirs, */
    METRIC_EVICTED_RULES,    /* or broke a rule */
    METRIC_TLS_FAILED,       /* handshakes of TLS that came to nothing */
    METRIC_REQUEST_FAILED,   /* request heads that did not come, or not in time */
    METRIC_RELOADS,          /* settings read again: with success, */
    METRIC_RELOADS_FAILED,   /* and without */
    METRICS,
};

/* Adds to a number; what is counted "now" also goes down. */
void metrics_add(enum metric metric, int64_t amount);

/* Counts somebody who was not let in, by HTTP status or by the code of an Error ("name_taken"). */
void metrics_refused_status(int status);
void metrics_refused(const char *code);

/* Counts one round of a pump: how many broadcasts it carried, to how many members, and how old
 * (in microseconds; < 0: there was none) the oldest of them was at its end. */
void metrics_round(uint64_t broadcasts, uint64_t members, int64_t age_us);

/* Writes all of it. Returns a text of *len bytes that the caller frees with free(), or NULL when
 * memory is out. */
char *metrics_text(size_t *len);

#endif
