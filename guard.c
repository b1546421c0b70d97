/* SPDX-License-Identifier: MIT
 *
 * guard.c - against the guessing of passwords, as guard.h promises it.
 *
 * The table is small and looked through from end to end, once for each password: that costs a few
 * microseconds, which is nothing beside the handshake before it.
 */
#include "guard.h"

#include <string.h>

static const int64_t NEVER = INT64_MIN / 2;

void guard_init(struct guard *guard)
{
    memset(guard, 0, sizeof(*guard));
    pthread_mutex_init(&guard->lock, NULL);
    for (int i = 0; i < GUARD_HOUSEHOLDS; i++)
        for (int j = 0; j < GUARD_FAILURES; j++)
            guard->records[i].failed[j] = NEVER;
}

static int64_t last_failure(const struct guard_record *record)
{
    return record->failed[(record->oldest + GUARD_FAILURES - 1) % GUARD_FAILURES];
}

/* What is known of a household, or NULL. */
static struct guard_record *find(struct guard *guard, const unsigned char *household)
{
    for (int i = 0; i < GUARD_HOUSEHOLDS; i++) {
        struct guard_record *record = &guard->records[i];
        if (last_failure(record) != NEVER &&
            memcmp(record->household, household, NET_HOUSEHOLD) == 0)
            return record;
    }
    return NULL;
}

/* A record for one more household: one that is free, or else the one whose last failure is oldest. */
static struct guard_record *begin(struct guard *guard, const unsigned char *household)
{
    struct guard_record *record = &guard->records[0];
    for (int i = 1; i < GUARD_HOUSEHOLDS; i++)
        if (last_failure(&guard->records[i]) < last_failure(record))
            record = &guard->records[i];
    *record = (struct guard_record){.refused_until = NEVER};
    memcpy(record->household, household, NET_HOUSEHOLD);
    for (int i = 0; i < GUARD_FAILURES; i++)
        record->failed[i] = NEVER;
    return record;
}

static void refuse(struct guard_record *record, int64_t now)
{
    int64_t twice = 2 * record->refused_ms;
    record->refused_ms = twice ? twice : GUARD_FIRST_MS;
    if (record->refused_ms > GUARD_LONGEST_MS)
        record->refused_ms = GUARD_LONGEST_MS;
    record->refused_until = now + record->refused_ms;
}

static void count_failure(struct guard_record *record, int64_t now)
{
    bool often = now - record->failed[(record->oldest + 1) % GUARD_FAILURES] < GUARD_WINDOW_MS;
    if (now - record->refused_until >= GUARD_MEMORY_MS)
        record->refused_ms = 0;
    record->failed[record->oldest] = now;
    record->oldest = (record->oldest + 1) % GUARD_FAILURES;
    if (often || record->refused_ms)
        refuse(record, now);
}

int64_t guard_try(struct guard *guard, const unsigned char household[NET_HOUSEHOLD], int64_t now,
                  bool right)
{
    pthread_mutex_lock(&guard->lock);
    struct guard_record *record = find(guard, household);
    int64_t left = record && now < record->refused_until ? record->refused_until - now : 0;
    if (!left && !right)
        count_failure(record ? record : begin(guard, household), now);
    pthread_mutex_unlock(&guard->lock);
    return left;
}
