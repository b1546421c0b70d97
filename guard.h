/* SPDX-License-Identifier: MIT
 *
 * guard.h - against the guessing of passwords: who was wrong too often is not believed for a while.
 *
 * Counted by household (net.h: an IPv4 address, or the /64 of an IPv6 one), and only what was wrong:
 * a right password neither adds to the count nor clears it. Those who share an address share its
 * guesses, too; members that are in stay in.
 *
 * The time is the caller's, so that a test can have its own. One lock, a leaf.
 */
#ifndef GUARD_H
#define GUARD_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "net.h"

enum {
    GUARD_HOUSEHOLDS =
        1024,           /* remembered; one more, and whose last failure is oldest is forgotten */
    GUARD_FAILURES = 5, /* so many wrong passwords */
    GUARD_WINDOW_MS = 60 * 1000, /* within so long, and the household is refused */
    GUARD_FIRST_MS =
        15 * 1000, /* for so long; from then on each further failure refuses it anew, */
    GUARD_LONGEST_MS = 600 * 1000, /* for twice as long as before, up to this, */
    GUARD_MEMORY_MS =
        600 * 1000, /* until it has not failed for so long since it was refused last */
};

/* What is known of one household. */
struct guard_record {
    unsigned char household[NET_HOUSEHOLD];
    int64_t failed[GUARD_FAILURES]; /* when its latest failures were, in a circle */
    int oldest;                     /* of them */
    int64_t refused_until;
    int64_t refused_ms; /* how long it was refused last; 0: it was not lately */
};

struct guard {
    pthread_mutex_t lock;
    struct guard_record records[GUARD_HOUSEHOLDS]; /* [lock] */
};

void guard_init(struct guard *guard);

/* Judges one try to come in, at `now` (milliseconds of a clock that never goes back): `right` is
 * whether its password was. Returns for how many milliseconds the household is still refused, whatever
 * the password; or 0, and a wrong password was counted. */
int64_t guard_try(struct guard *guard, const unsigned char household[NET_HOUSEHOLD], int64_t now,
                  bool right);

#endif
