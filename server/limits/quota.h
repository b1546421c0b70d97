/* SPDX-License-Identifier: MIT
 *
 * quota.h - token buckets by source address: what all connections of one source may use together.
 *
 * Each source has two buckets: a narrow one (IPv4 /32, IPv6 /64) and a wide one (/24, /48). Tokens
 * are taken from both. The table has a fixed size and outlives connections, so a source that
 * reconnects still has its debt. A source that is not in the table has full buckets. When a set of
 * the table is full, the record nearest to full is evicted, which cancels that source's debt.
 *
 * The caller chooses the unit of tokens and supplies the time (milliseconds, monotonic). One leaf
 * lock.
 */
#ifndef QUOTA_H
#define QUOTA_H

#include <pthread.h>
#include <stdint.h>
#include <sys/socket.h>

enum {
    QUOTA_LEVELS = 2, /* a narrow and a wide one */
    QUOTA_SETS = 512, /* sets of records for each level, a power of two */
    QUOTA_WAYS = 4,   /* records in a set: 2,048 sources for each level, 96 KiB in all */
};

/* Tokens a second, and tokens in a full bucket. Both 1 to 2^31. */
struct quota_rule {
    int64_t rate, burst;
};

struct quota_record {
    uint64_t source;  /* a keyed hash of the block; 0: the record is free */
    int64_t tokens;   /* thousandths of a token; below 0: owed */
    int64_t refilled; /* time of the last refill */
};

struct quota {
    pthread_mutex_t lock;
    uint64_t key[2];                       /* [I] random, so that nobody can aim at a set */
    struct quota_rule rules[QUOTA_LEVELS]; /* [I] */
    struct quota_record records[QUOTA_LEVELS][QUOTA_SETS][QUOTA_WAYS]; /* [lock] */
};

void quota_init(struct quota *quota, struct quota_rule narrow, struct quota_rule wide);

/* Takes `amount` tokens of a source. Returns for how many milliseconds the source then owes tokens,
 * and so must wait. Takes nothing and returns -1 if that would exceed `most_ms`. A negative amount
 * returns tokens. */
int64_t quota_take(struct quota *quota, const struct sockaddr_storage *source, int64_t now,
                   int64_t amount, int64_t most_ms);

#endif
