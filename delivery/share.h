/* SPDX-License-Identifier: MIT
 *
 * share.h - the rate limit of a room, and a fair share of it for each source address.
 *
 * Every member has to read all broadcasts of its room. So the room has a rate, however many sources
 * send, and a buffer (`burst`) for what exceeds it:
 * - Each source (IPv4 /32, IPv6 /64) has a level: the bytes of its broadcasts, less what was
 *   drained. The rate drains all sources that have a level equally.
 * - While the sum of the levels is below the burst, every source may send.
 * - Above that, a source whose own level is below its part of half of the burst may still send;
 *   the others are not read for a while.
 *
 * So a source that sends less than rate / number of active sources is never delayed, whatever the
 * others do, and no accepted broadcast is lost. The sum of the levels stays below one and a half
 * times the burst, plus one message of each source.
 *
 * The figures are derived from a slow reader. By default (64 KiB a second for one connection, a
 * room buffer of 2 MiB) the rate is 256 KiB a second: as much as one source may send (source.h),
 * and less than a reader of 0.3 MB/s takes. The burst is an eighth of the room's buffer. So such a
 * reader is at most 384 KiB and a message of each source behind; it would be closed at half of the
 * buffer (1 MiB).
 *
 * SHARE_TALKERS sources are tracked. If more are active at the same time, a further one takes the
 * entry and the level of the one with the lowest level. It may have to wait, and many sources gain
 * nothing.
 *
 * The caller supplies the time (milliseconds, monotonic). One lock, a leaf.
 */
#ifndef SHARE_H
#define SHARE_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "lib/address.h"

enum {
    SHARE_CONNECTIONS = 4,  /* rate of a room, in rates of one connection */
    SHARE_BURST_PART = 8,   /* its burst is 1/8 of its buffer */
    SHARE_TALKERS = 64,     /* sources with an entry of their own */
    SHARE_RETRY_MS = 50,    /* shortest pause */
    SHARE_PAUSE_MS = 10000, /* longest pause: the number of active sources may have changed */
};

/* One source with a level. */
struct share_talker {
    struct address_block block;
    double level; /* bytes, above 0 */
};

struct share {
    pthread_mutex_t lock;
    double burst;                               /* [I] bytes */
    int64_t drained;                            /* [lock] when it was drained last */
    double level;                               /* [lock] of all sources */
    int count;                                  /* [lock] */
    struct share_talker talkers[SHARE_TALKERS]; /* [lock] in no order */
};

/* `burst` is in bytes, at least 1. share_fini must be called after it. */
void share_init(struct share *share, size_t burst);
void share_fini(struct share *share);

/* Charges `bytes` of a broadcast to a source. `rate` is the room's, in bytes a second, above 0. */
void share_charge(struct share *share, const struct sockaddr_storage *source, double rate,
                  int64_t now, size_t bytes);

/* Returns for how many milliseconds a source must not be read: 0, or SHARE_RETRY_MS to
 * SHARE_PAUSE_MS. */
int64_t share_throttle_ms(struct share *share, const struct sockaddr_storage *source, double rate,
                          int64_t now);

#endif
