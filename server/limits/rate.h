/* SPDX-License-Identifier: MIT
 *
 * rate.h - the rate limit of one connection: token buckets for messages and for bytes that it
 * sends, and one for bytes of older messages that it asks for.
 *
 * A connection that owes tokens is not read until they have been refilled, so TCP slows its peer
 * down and no data is lost. A connection that owes without a break for too long, for what it sends,
 * is too fast, and is closed.
 *
 * Only the connection's thread may call these functions. Times are milliseconds of net_now.
 */
#ifndef RATE_H
#define RATE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

enum {
    RATE_PAGES = 4,         /* rate of pages, in rates of bytes: what a whole room may say */
    RATE_PAGES_BURST_S = 4, /* seconds of that in a full bucket: by default 1 MiB, four pages */
};

struct rate_limits {
    double messages;     /* a second, burst twice as many; 0: no limit */
    double bytes;        /* a second, burst four times as many; 0: no limit */
    int64_t too_fast_ms; /* owing without a break for so long is too fast; 0: never */
    const struct sockaddr_storage
        *source; /* messages are also charged to this source (source.h); NULL: to none */
};

/* Tokens, refilled as time passes; below 0: owed. */
struct rate_bucket {
    double tokens;
    int64_t refilled;
};

struct rate {
    struct rate_bucket messages, bytes;
    struct rate_bucket pages; /* bytes of pages: RATE_PAGES times the rate of `bytes` */
    int64_t over_since;       /* since when it owes without a break; 0: it does not */
    bool too_fast;
};

/* Fills both buckets. */
void rate_init(struct rate *rate, const struct rate_limits *limits, int64_t now);

/* Charges input. Returns for how many milliseconds reading must pause, and sets rate->too_fast if
 * that has lasted too long. */
int64_t rate_charge(struct rate *rate, const struct rate_limits *limits, int64_t now,
                    double messages, double bytes);

/* Charges a page, or what else reading it has cost. Returns for how many milliseconds reading must
 * pause. That does not make the connection too fast. */
int64_t rate_charge_page(struct rate *rate, const struct rate_limits *limits, int64_t now,
                         double bytes);

#endif
