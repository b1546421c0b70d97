/* SPDX-License-Identifier: MIT
 *
 * ticket_keys.h - the keys that encrypt TLS session tickets (RFC 8446 §4.6.1, RFC 5077 §4).
 *
 * A ticket holds what the server needs to resume a session, so the server remembers nothing about
 * it. The keys exist in memory only, and are replaced regularly: a stolen key opens the tickets of
 * two periods at most. They do not open what was said in a session, because resuming makes new keys
 * by (EC)DHE.
 */
#ifndef TICKET_KEYS_H
#define TICKET_KEYS_H

#include <stdbool.h>
#include <stdint.h>

enum {
    TICKET_NAME_BYTES = 16,
    TICKET_KEY_BYTES = 32,
    TICKET_PERIOD_MS = 3600 * 1000, /* a key seals for so long, and opens for as long again */
};

struct ticket_key {
    unsigned char name[TICKET_NAME_BYTES]; /* stands in the ticket */
    unsigned char cipher[TICKET_KEY_BYTES], mac[TICKET_KEY_BYTES];
};

struct ticket_keys;

/* Makes an empty set of keys; the first is made when it is needed. Returns NULL when memory is out.
 */
struct ticket_keys *ticket_keys_new(void);

/* Wipes and frees the keys. NULL: does nothing. */
void ticket_keys_free(struct ticket_keys *keys);

/* Copies the key that seals tickets at the time `now` (net_now); makes it if the last one is too
 * old. Returns false when the system gives no random bytes. The caller wipes the copy. Any thread;
 * takes the lock of the keys. */
bool ticket_keys_current(struct ticket_keys *keys, int64_t now, struct ticket_key *key);

/* Copies the key of that name, unless it is unknown or too old at `now`. As above. */
bool ticket_keys_find(struct ticket_keys *keys, int64_t now,
                      const unsigned char name[TICKET_NAME_BYTES], struct ticket_key *key);

#endif
