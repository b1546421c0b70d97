/* SPDX-License-Identifier: MIT
 *
 * quota.c - token buckets by source address, in a table of fixed size. Any thread; takes
 * quota->lock, a leaf.
 */
#include "server/limits/quota.h"

#include <string.h>

#include "lib/address.h"
#include "net/random.h"

enum { SCALE = 1000 }; /* thousandths of a token, so that one millisecond's refill is whole */

void quota_init(struct quota *quota, struct quota_rule narrow, struct quota_rule wide)
{
    memset(quota, 0, sizeof(*quota));
    pthread_mutex_init(&quota->lock, NULL);
    quota->rules[0] = narrow;
    quota->rules[1] = wide;
    random_bytes(quota->key, sizeof(quota->key)); /* without it the table still works */
}

/* A bijection of 64 bits that mixes all of them (the finalizer of SplitMix64). */
static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return x ^ x >> 31;
}

static uint64_t hash_of(const struct quota *quota, const struct address_block *block)
{
    uint64_t half[2];
    memcpy(half, block->bytes, sizeof(half));
    uint64_t hash = mix(mix(half[0] ^ quota->key[0]) ^ half[1] ^ quota->key[1]);
    hash = mix(hash + (uint64_t)block->bits);
    return hash ? hash : 1;
}

static void refill_record(struct quota_record *record, const struct quota_rule *rule, int64_t now)
{
    int64_t full = rule->burst * SCALE, elapsed = now - record->refilled;
    if (elapsed <= 0) /* another thread with a later time was faster */
        return;
    if (elapsed > (full - record->tokens) / rule->rate)
        record->tokens = full;
    else
        record->tokens += elapsed * rule->rate;
    record->refilled = now;
}

/* Finds or makes the record of a source at a level, refilled. The lock is held. */
static struct quota_record *take_record(struct quota *quota, const struct sockaddr_storage *address,
                                        int level, int64_t now)
{
    struct address_block block;
    const struct quota_rule *rule = &quota->rules[level];
    address_source(address, level == 0 ? 0 : address_levels(address) - 1, &block);
    uint64_t source = hash_of(quota, &block);
    struct quota_record *set = quota->records[level][source % QUOTA_SETS], *best = &set[0];
    for (int way = 0; way < QUOTA_WAYS; way++) {
        if (set[way].source == 0)
            set[way].tokens = INT64_MAX; /* preferred for a new source */
        else
            refill_record(&set[way], rule, now);
        if (set[way].source == source)
            return &set[way];
        if (set[way].tokens > best->tokens)
            best = &set[way];
    }
    *best = (struct quota_record){source, rule->burst * SCALE, now};
    return best;
}

/* For how many milliseconds a record owes tokens after `amount` are taken. */
static int64_t debt_ms(const struct quota_record *record, const struct quota_rule *rule,
                       int64_t amount)
{
    int64_t left = record->tokens - amount * SCALE;
    return left >= 0 ? 0 : -left / rule->rate + 1;
}

static void take_tokens(struct quota_record *record, const struct quota_rule *rule, int64_t amount)
{
    record->tokens -= amount * SCALE;
    if (record->tokens > rule->burst * SCALE)
        record->tokens = rule->burst * SCALE;
}

int64_t quota_take(struct quota *quota, const struct sockaddr_storage *source, int64_t now,
                   int64_t amount, int64_t most_ms)
{
    struct quota_record *records[QUOTA_LEVELS];
    int64_t wait = 0;
    pthread_mutex_lock(&quota->lock);
    for (int level = 0; level < QUOTA_LEVELS; level++) {
        records[level] = take_record(quota, source, level, now);
        int64_t debt = debt_ms(records[level], &quota->rules[level], amount);
        wait = debt > wait ? debt : wait;
    }
    for (int level = 0; level < QUOTA_LEVELS && wait <= most_ms; level++)
        take_tokens(records[level], &quota->rules[level], amount);
    pthread_mutex_unlock(&quota->lock);
    return wait <= most_ms ? wait : -1;
}
