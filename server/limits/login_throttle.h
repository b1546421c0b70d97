/* SPDX-License-Identifier: MIT
 *
 * login_throttle.h - the throttle against password guessing.
 *
 * Wrong passwords are counted
 *
 * - by source: each one counts for every prefix of its address that limits apply to (address.h):
 *   IPv4 /32 and /24, IPv6 /64, /56 and /48. Wider prefixes have higher thresholds (5, 20 and 80 a
 *   minute), so one address cannot get its neighbours refused, and a whole /48 has no more guesses
 *   than 16 addresses. A source is refused while any of its prefixes is.
 * - by identity: an identity key is known once it has joined (throttle_remember). A wrong password
 *   of a known identity counts for that identity only, and the throttle of its address does not
 *   refuse it: one child who guesses does not lock out the rest of the home. The caller derives the
 *   key from identity and password, so a new password makes every identity unknown. A known
 *   identity has given the right password already, and learns nothing by guessing.
 * - in all: a token bucket for the wrong passwords of all sources. While it is empty, each password
 *   of a source is delayed by THROTTLE_DELAY_MS before it is checked (throttle_delay).
 *
 * Only wrong passwords count; a right one neither adds to the count nor clears it. Members that
 * have joined are not affected. All counts are lost when the process ends.
 *
 * The empty bucket delays and does not refuse: if guessing often enough made the server refuse
 * every password, strangers could lock everyone out. Right and wrong passwords are delayed alike,
 * before they are compared, because otherwise the guesser would take a missing answer for "wrong"
 * and not wait. The delay costs the guesser: it holds one of the places for newcomers (registry.h),
 * of which one address has only a part. By default there are 250, so at most about 150 guesses a
 * second are checked in all, from any number of addresses.
 *
 * When a table is full, a new key takes over the record with the oldest failure. Records that are
 * still refused come last, the one whose refusal ends first before the others. The counts stay in
 * the record and apply to the source that takes it over ("space saving"), so sources that replace
 * each other in turn gain nothing. No count is lost while fewer sources guess than there are
 * records. If all records are refused, each further source gets one guess, which refuses it for
 * twice as long as the record that it took, at most 10 minutes; and the source that had the record
 * may guess once more. So each guess costs the attacker one more address, and other people who
 * mistype wait as long. A right password is accepted all the same.
 *
 * Cost: a call compares its keys with all records in use, some 10 microseconds for full tables, for
 * right and wrong passwords alike. Memory: 1.8 MB when all tables are full, in pages that are
 * touched only when needed.
 *
 * The caller supplies the time, so that tests can control it. One lock, a leaf.
 */
#ifndef LOGIN_THROTTLE_H
#define LOGIN_THROTTLE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "lib/address.h"

enum {
    THROTTLE_KEY = 32, /* bytes of a key; shorter ones are padded with zeros */

    /* Records for the prefixes of each level, and for identities. */
    THROTTLE_NARROW = 2048,
    THROTTLE_MIDDLE = 2048,
    THROTTLE_WIDE = 1024,
    THROTTLE_IDENTITIES = 4096, /* one more replaces the least recently seen */

    /* Wrong passwords of one prefix within the window that refuse it. */
    THROTTLE_NARROW_FAILURES = 5, /* also for an identity */
    THROTTLE_MIDDLE_FAILURES = 20,
    THROTTLE_WIDE_FAILURES = 80,
    THROTTLE_WINDOW_MS = 60 * 1000,   /* the window of the failures above */
    THROTTLE_FIRST_MS = 15 * 1000,    /* length of the first refusal */
    THROTTLE_FIFTH = 5,               /* each further 1/5 of the failures above refuses again */
    THROTTLE_LONGEST_MS = 600 * 1000, /* a refusal is twice as long as the last, up to this */
    THROTTLE_MEMORY_MS = 600 * 1000, /* so long after a refusal without failures, it is forgotten */

    THROTTLE_RATE = 20,       /* tokens: wrong passwords of all sources in a second */
    THROTTLE_BURST = 200,     /* tokens in the full bucket */
    THROTTLE_DELAY_MS = 2000, /* delay of every password of a source while the bucket is empty */
};

/* The record of one key. */
struct throttle_record {
    unsigned char key[THROTTLE_KEY];
    int64_t seen; /* time of a source's last failure, or an identity's last try */
    int64_t refused_until;
    int64_t refused_ms; /* length of the last refusal; 0: none lately */
    int oldest;         /* index of its oldest failure */
    int since;          /* failures since it was refused last */
};

/* Records of one kind. */
struct throttle_table {
    struct throttle_record *records; /* `max` of them */
    int64_t *failed; /* ring of the times of the last `failures` failures, for each record */
    int max, count;  /* records in all; records in use */
    int failures;    /* failures within the window that refuse */
};

struct login_throttle {
    pthread_mutex_t lock;
    struct throttle_table sources[ADDRESS_LEVELS], identities; /* [lock] */
    int64_t tokens, refilled; /* [lock] thousandths of a token; time */

    /* [lock] storage of the tables */
    struct throttle_record narrow[THROTTLE_NARROW], middle[THROTTLE_MIDDLE], wide[THROTTLE_WIDE];
    struct throttle_record known[THROTTLE_IDENTITIES];
    int64_t narrow_failed[THROTTLE_NARROW][THROTTLE_NARROW_FAILURES];
    int64_t middle_failed[THROTTLE_MIDDLE][THROTTLE_MIDDLE_FAILURES];
    int64_t wide_failed[THROTTLE_WIDE][THROTTLE_WIDE_FAILURES];
    int64_t known_failed[THROTTLE_IDENTITIES][THROTTLE_NARROW_FAILURES];
};

/* Empties the tables. Touches no record, so unused pages take no memory. */
void throttle_init(struct login_throttle *guard);

/* Returns for how many milliseconds a password from an address must wait before throttle_check:
 * 0 or THROTTLE_DELAY_MS. `now` is monotonic, in milliseconds. A password that will be refused need
 * not wait. */
int64_t throttle_delay(struct login_throttle *guard, const struct sockaddr_storage *source,
                       int64_t now);

/* Judges one password from an address; `right` says whether it is right. Returns for how many
 * milliseconds the address is refused, whatever the password; or 0, and a wrong password was
 * counted. */
int64_t throttle_check(struct login_throttle *guard, const struct sockaddr_storage *source,
                       int64_t now, bool right);

/* The same for an identity with a good proof. Returns -1, and counts nothing, if the identity is
 * unknown: then its address must be judged. */
int64_t throttle_check_known(struct login_throttle *guard,
                             const unsigned char identity[THROTTLE_KEY], int64_t now, bool right);

/* Whether an identity is known: a cheap look before its proof is checked. */
bool throttle_knows(struct login_throttle *guard, const unsigned char identity[THROTTLE_KEY]);

/* Remembers an identity that joined with a good proof and the right password. */
void throttle_remember(struct login_throttle *guard, const unsigned char identity[THROTTLE_KEY],
                       int64_t now);

#endif
