/* SPDX-License-Identifier: MIT
 *
 * login_throttle.c - the throttle against password guessing; login_throttle.h has the rules.
 *
 * Every client's thread enters it, up to a few times per password. Takes guard->lock, a leaf. The
 * tables are searched linearly, which costs little compared with the TLS handshake before it.
 */
#include "server/limits/login_throttle.h"

#include <string.h>

enum { TOKEN = 1000 }; /* scale, so that the tokens of a millisecond are a whole number */

static const int64_t NEVER = INT64_MIN / 2;

void throttle_init(struct login_throttle *guard)
{
    pthread_mutex_init(&guard->lock, NULL);
    guard->sources[0] = (struct throttle_table){guard->narrow, guard->narrow_failed[0],
                                                THROTTLE_NARROW, 0, THROTTLE_NARROW_FAILURES};
    guard->sources[1] = (struct throttle_table){guard->middle, guard->middle_failed[0],
                                                THROTTLE_MIDDLE, 0, THROTTLE_MIDDLE_FAILURES};
    guard->sources[2] = (struct throttle_table){guard->wide, guard->wide_failed[0], THROTTLE_WIDE,
                                                0, THROTTLE_WIDE_FAILURES};
    guard->identities = (struct throttle_table){guard->known, guard->known_failed[0],
                                                THROTTLE_IDENTITIES, 0, THROTTLE_NARROW_FAILURES};
    guard->tokens = THROTTLE_BURST * TOKEN;
    guard->refilled = 0;
}

/* ---- One record ---- */

static int64_t time_left(const struct throttle_record *record, int64_t now)
{
    return record && now < record->refused_until ? record->refused_until - now : 0;
}

static void refuse_key(struct throttle_record *record, int64_t now)
{
    int64_t twice = 2 * record->refused_ms;
    record->refused_ms = twice ? twice : THROTTLE_FIRST_MS;
    if (record->refused_ms > THROTTLE_LONGEST_MS)
        record->refused_ms = THROTTLE_LONGEST_MS;
    record->refused_until = now + record->refused_ms;
    record->since = 0;
}

/* Counts a failure, and refuses the key if it has failed too often. A record that is still refused
 * because another source was in it is refused again. */
static void count_failure(struct throttle_table *table, struct throttle_record *record, int64_t now)
{
    int64_t *failed = table->failed + (record - table->records) * table->failures;
    bool often = now - failed[(record->oldest + 1) % table->failures] < THROTTLE_WINDOW_MS;
    bool taken_over = time_left(record, now) > 0;
    if (now - record->refused_until >= THROTTLE_MEMORY_MS)
        record->refused_ms = 0;
    failed[record->oldest] = now;
    record->oldest = (record->oldest + 1) % table->failures;
    record->seen = now;
    record->since++;
    if (record->refused_ms ? taken_over || record->since >= table->failures / THROTTLE_FIFTH
                           : often)
        refuse_key(record, now);
}

/* ---- A table ---- */

/* Finds the record of a key, or NULL. */
static struct throttle_record *find_record(const struct throttle_table *table,
                                           const unsigned char *key)
{
    for (int i = 0; i < table->count; i++)
        if (memcmp(table->records[i].key, key, THROTTLE_KEY) == 0)
            return &table->records[i];
    return NULL;
}

/* Whether a record is replaced before another one. */
static bool is_lesser(const struct throttle_record *one, const struct throttle_record *other,
                      int64_t now)
{
    int64_t left = time_left(one, now), others = time_left(other, now);
    return left != others ? left < others : one->seen < other->seen;
}

static void clear_record(struct throttle_table *table, struct throttle_record *record)
{
    int64_t *failed = table->failed + (record - table->records) * table->failures;
    *record = (struct throttle_record){.refused_until = NEVER};
    for (int i = 0; i < table->failures; i++)
        failed[i] = NEVER;
}

/* A record for a new key: an unused one, or else the least, which keeps its counts. */
static struct throttle_record *new_record(struct throttle_table *table, const unsigned char *key,
                                          int64_t now)
{
    struct throttle_record *record = &table->records[0];
    if (table->count < table->max) {
        record = &table->records[table->count++];
        clear_record(table, record);
    } else {
        for (int i = 1; i < table->max; i++)
            if (is_lesser(&table->records[i], record, now))
                record = &table->records[i];
    }
    memcpy(record->key, key, THROTTLE_KEY);
    return record;
}

/* ---- Sources ---- */

/* Finds the records of a source at each level. Returns the number of levels. */
static int find_source(const struct login_throttle *guard, const struct sockaddr_storage *source,
                       unsigned char keys[ADDRESS_LEVELS][THROTTLE_KEY],
                       struct throttle_record *records[ADDRESS_LEVELS])
{
    int levels = address_levels(source);
    struct address_block block;
    for (int level = 0; level < levels; level++) {
        address_source(source, level, &block);
        memset(keys[level], 0, THROTTLE_KEY);
        memcpy(keys[level], block.bytes, ADDRESS_BYTES);
        records[level] = find_record(&guard->sources[level], keys[level]);
    }
    return levels;
}

static void refill_tokens(struct login_throttle *guard, int64_t now)
{
    int64_t elapsed = now - guard->refilled;
    if (elapsed <= 0) /* another thread with a later time was faster */
        return;
    guard->refilled = now;
    if (elapsed >= (int64_t)THROTTLE_BURST * TOKEN / THROTTLE_RATE)
        guard->tokens = THROTTLE_BURST * TOKEN;
    else
        guard->tokens += elapsed * THROTTLE_RATE;
    if (guard->tokens > THROTTLE_BURST * TOKEN)
        guard->tokens = THROTTLE_BURST * TOKEN;
}

int64_t throttle_delay(struct login_throttle *guard, const struct sockaddr_storage *source,
                       int64_t now)
{
    unsigned char keys[ADDRESS_LEVELS][THROTTLE_KEY];
    struct throttle_record *records[ADDRESS_LEVELS];
    int64_t left = 0;
    pthread_mutex_lock(&guard->lock);
    int levels = find_source(guard, source, keys, records);
    for (int level = 0; level < levels && left == 0; level++)
        left = time_left(records[level], now);
    refill_tokens(guard, now);
    bool empty = guard->tokens < TOKEN;
    pthread_mutex_unlock(&guard->lock);
    return empty && left == 0 ? THROTTLE_DELAY_MS : 0;
}

int64_t throttle_check(struct login_throttle *guard, const struct sockaddr_storage *source,
                       int64_t now, bool right)
{
    unsigned char keys[ADDRESS_LEVELS][THROTTLE_KEY];
    struct throttle_record *records[ADDRESS_LEVELS];
    int64_t longest = 0;
    pthread_mutex_lock(&guard->lock);
    int levels = find_source(guard, source, keys, records);
    for (int level = 0; level < levels; level++) {
        int64_t left = time_left(records[level], now);
        longest = left > longest ? left : longest;
    }
    for (int level = 0; level < levels && longest == 0 && !right; level++) {
        if (!records[level])
            records[level] = new_record(&guard->sources[level], keys[level], now);
        count_failure(&guard->sources[level], records[level], now);
    }
    refill_tokens(guard, now);
    if (longest == 0 && !right && guard->tokens >= TOKEN)
        guard->tokens -= TOKEN;
    pthread_mutex_unlock(&guard->lock);
    return longest;
}

/* ---- Identities ---- */

int64_t throttle_check_known(struct login_throttle *guard,
                             const unsigned char identity[THROTTLE_KEY], int64_t now, bool right)
{
    pthread_mutex_lock(&guard->lock);
    struct throttle_record *record = find_record(&guard->identities, identity);
    int64_t left = record ? time_left(record, now) : -1;
    if (record)
        record->seen = now;
    if (left == 0 && !right)
        count_failure(&guard->identities, record, now);
    pthread_mutex_unlock(&guard->lock);
    return left;
}

bool throttle_knows(struct login_throttle *guard, const unsigned char identity[THROTTLE_KEY])
{
    pthread_mutex_lock(&guard->lock);
    bool known = find_record(&guard->identities, identity);
    pthread_mutex_unlock(&guard->lock);
    return known;
}

void throttle_remember(struct login_throttle *guard, const unsigned char identity[THROTTLE_KEY],
                       int64_t now)
{
    pthread_mutex_lock(&guard->lock);
    struct throttle_record *record = find_record(&guard->identities, identity);
    if (!record) {
        record = new_record(&guard->identities, identity, now);
        clear_record(&guard->identities, record);
        memcpy(record->key, identity, THROTTLE_KEY);
    }
    record->seen = now;
    pthread_mutex_unlock(&guard->lock);
}
