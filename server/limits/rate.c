/* SPDX-License-Identifier: MIT
 *
 * rate.c - the rate limit of one connection. Runs in its thread, no locks.
 */
#include "server/limits/rate.h"

#include "server/limits/source.h"

enum { MESSAGES_BURST_S = 2, BYTES_BURST_S = 4 }; /* seconds of the rate in a full bucket */

void rate_init(struct rate *rate, const struct rate_limits *limits, int64_t now)
{
    *rate = (struct rate){
        .messages = {MESSAGES_BURST_S * limits->messages, now},
        .bytes = {BYTES_BURST_S * limits->bytes, now},
        .pages = {RATE_PAGES_BURST_S * RATE_PAGES * limits->bytes, now},
    };
}

/* Refills a bucket for the time since the last call. With rate 0 it is always full. */
static void refill(struct rate_bucket *bucket, int64_t now, double rate, double burst)
{
    bucket->tokens += rate * (double)(now - bucket->refilled) / 1000;
    if (bucket->tokens > burst || rate <= 0)
        bucket->tokens = burst;
    bucket->refilled = now;
}

/* Takes `amount`. Returns for how many milliseconds the bucket then owes tokens. */
static int64_t bucket_take(struct rate_bucket *bucket, double rate, double amount)
{
    if (rate <= 0)
        return 0;
    bucket->tokens -= amount;
    return bucket->tokens < 0 ? (int64_t)(-bucket->tokens * 1000 / rate) + 1 : 0;
}

/* Whether the client has paused: both buckets hold the tokens of a second. */
static bool has_paused(const struct rate *rate, const struct rate_limits *limits)
{
    return rate->messages.tokens >= limits->messages && rate->bytes.tokens >= limits->bytes;
}

static void charge_source(const struct rate_limits *limits, double messages, double bytes)
{
    if (limits->source)
        source_says(limits->source, limits->messages > 0 ? messages / limits->messages : 0,
                    limits->bytes > 0 ? bytes / limits->bytes : 0);
}

int64_t rate_charge(struct rate *rate, const struct rate_limits *limits, int64_t now,
                    double messages, double bytes)
{
    charge_source(limits, messages, bytes);
    refill(&rate->messages, now, limits->messages, MESSAGES_BURST_S * limits->messages);
    refill(&rate->bytes, now, limits->bytes, BYTES_BURST_S * limits->bytes);
    if (has_paused(rate, limits)) /* before subtracting this message, which may be long */
        rate->over_since = 0;
    int64_t pause = bucket_take(&rate->messages, limits->messages, messages);
    int64_t other = bucket_take(&rate->bytes, limits->bytes, bytes);
    if (other > pause)
        pause = other;
    if (pause && !rate->over_since)
        rate->over_since = now;
    if (pause)
        rate->too_fast = limits->too_fast_ms && now - rate->over_since >= limits->too_fast_ms;
    return pause;
}

int64_t rate_charge_page(struct rate *rate, const struct rate_limits *limits, int64_t now,
                         double bytes)
{
    double page_rate = RATE_PAGES * limits->bytes;
    charge_source(limits, 0, bytes);
    refill(&rate->pages, now, page_rate, RATE_PAGES_BURST_S * page_rate);
    return bucket_take(&rate->pages, page_rate, bytes);
}
