/* SPDX-License-Identifier: MIT
 *
 * share.c - fair shares of a room's rate; share.h has the rules.
 *
 * Every client's thread enters it. Takes share->lock, a leaf. The rate drains all sources that have
 * a level at the same time (processor sharing), so no order of levels is kept, and no source waits
 * for its turn.
 */
#include "delivery/share.h"

#include <stdbool.h>
#include <string.h>

void share_init(struct share *share, size_t burst)
{
    memset(share, 0, sizeof(*share));
    pthread_mutex_init(&share->lock, NULL);
    share->burst = (double)burst;
}

void share_fini(struct share *share)
{
    pthread_mutex_destroy(&share->lock);
}

/* Takes up to `each` bytes off every level, and drops sources whose level is 0. Returns the bytes
 * taken. The lock is held. */
static double drain_each(struct share *share, double each)
{
    double taken = 0;
    int kept = 0;
    for (int i = 0; i < share->count; i++) {
        struct share_talker *talker = &share->talkers[i];
        taken += talker->level < each ? talker->level : each;
        talker->level -= each;
        if (talker->level > 0)
            share->talkers[kept++] = *talker;
    }
    share->count = kept;
    return taken;
}

/* Drains what the rate allows since the last call. The part that a source does not need goes to the
 * others: each round drops a source, or is the last. The lock is held. */
static void drain_levels(struct share *share, double rate, int64_t now)
{
    double left = rate * (double)(now - share->drained) / 1000;
    if (left <= 0) /* another thread with a later time was faster */
        return;
    share->drained = now;
    share->level = share->level > left ? share->level - left : 0;
    while (share->count > 0 && left >= 1)
        left -= drain_each(share, left / share->count);
}

/* The index of a source: its own, else the first free one, else that of the lowest level. The lock
 * is held. */
static int talker_at(const struct share *share, const struct address_block *block)
{
    int lowest = 0;
    for (int i = 0; i < share->count; i++) {
        if (address_block_compare(&share->talkers[i].block, block) == 0)
            return i;
        if (share->talkers[i].level < share->talkers[lowest].level)
            lowest = i;
    }
    return share->count < SHARE_TALKERS ? share->count : lowest;
}

void share_charge(struct share *share, const struct sockaddr_storage *source, double rate,
                  int64_t now, size_t bytes)
{
    struct address_block block;
    address_source(source, 0, &block);
    pthread_mutex_lock(&share->lock);
    drain_levels(share, rate, now);
    int at = talker_at(share, &block);
    if (at == share->count)
        share->talkers[share->count++].level = 0;
    share->talkers[at].block = block; /* a source that takes another's place inherits its level */
    share->talkers[at].level += (double)bytes;
    share->level += (double)bytes;
    pthread_mutex_unlock(&share->lock);
}

/* Milliseconds until the sum or the source's own level is low enough. The lock is held. */
static double time_owed(const struct share *share, int at, double rate)
{
    bool talks = at < share->count;
    int count = share->count + (talks ? 0 : 1);
    double own = talks ? share->talkers[at].level : 0;
    double all_ms = (share->level - share->burst) * 1000 / rate;
    double own_ms = (own - share->burst / 2 / count) * 1000 * count / rate;
    return all_ms < own_ms ? all_ms : own_ms;
}

int64_t share_throttle_ms(struct share *share, const struct sockaddr_storage *source, double rate,
                          int64_t now)
{
    struct address_block block;
    address_source(source, 0, &block);
    pthread_mutex_lock(&share->lock);
    drain_levels(share, rate, now);
    double owed = time_owed(share, talker_at(share, &block), rate);
    pthread_mutex_unlock(&share->lock);
    if (owed < 0)
        return 0;
    if (owed > SHARE_PAUSE_MS)
        return SHARE_PAUSE_MS;
    return owed < SHARE_RETRY_MS ? SHARE_RETRY_MS : (int64_t)owed;
}
