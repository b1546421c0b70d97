/* SPDX-License-Identifier: MIT
 *
 * source.c - token buckets for joins and messages of a source.
 *
 * Every client's thread enters it. Takes the locks of quota.h, leaves.
 */
#include "server/limits/source.h"

#include "net/socket.h"
#include "server/limits/quota.h"

enum { US = 1000000 }; /* messages are charged in microseconds of one connection's rate */

static struct quota joins, messages_said, bytes_said;

static void init_says(struct quota *quota, int64_t burst_s)
{
    struct quota_rule narrow = {SOURCE_SAYS * US, burst_s * SOURCE_SAYS * US};
    struct quota_rule wide = {SOURCE_SAYS_WIDE * narrow.rate, SOURCE_SAYS_WIDE * narrow.burst};
    quota_init(quota, narrow, wide);
}

void source_init(void)
{
    struct quota_rule narrow = {SOURCE_JOINS_RATE, SOURCE_JOINS_BURST};
    struct quota_rule wide = {SOURCE_JOINS_WIDE * narrow.rate, SOURCE_JOINS_WIDE * narrow.burst};
    quota_init(&joins, narrow, wide);
    init_says(&messages_said, SOURCE_MESSAGES_BURST_S);
    init_says(&bytes_said, SOURCE_BYTES_BURST_S);
}

int64_t source_join(const struct sockaddr_storage *source)
{
    return quota_take(&joins, source, net_now(), 1, SOURCE_JOINS_MS);
}

int64_t source_owes(const struct sockaddr_storage *source)
{
    int64_t now = net_now();
    int64_t owed = quota_take(&messages_said, source, now, 0, INT64_MAX);
    int64_t more = quota_take(&bytes_said, source, now, 0, INT64_MAX);
    if (more > owed)
        owed = more;
    return owed > 0 && owed < SOURCE_RETRY_MS ? SOURCE_RETRY_MS : owed;
}

void source_says(const struct sockaddr_storage *source, double messages, double bytes)
{
    int64_t now = net_now();
    quota_take(&messages_said, source, now, (int64_t)(messages * US), INT64_MAX);
    quota_take(&bytes_said, source, now, (int64_t)(bytes * US), INT64_MAX);
}
