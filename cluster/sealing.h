/* SPDX-License-Identifier: MIT
 *
 * sealing.h - encrypts what passes through the engine (`cluster_secret`): AES-256-GCM, keys by
 * HKDF-SHA256 (RFC 5869).
 *
 * The owner of the engine must not read what is said, nor invent, change, repeat or move it. So
 * each seat (a node's presence in one room, named by 128 random bits) has a key of its own, derived
 * from the secret, the room and the seat; and the nonce is the seq, which a seat uses once. Room,
 * seat, seq, kind, name, and identity are bound to the text as associated data. A call that is sent
 * again has the same bytes. That a seq comes once and in order is for the reader to check
 * (log_order.h).
 *
 * Members' names and identity keys are replaced by texts that stand for them (sealing_hide). The
 * engine still sees the names of rooms, how many members there are, which of these texts writes to
 * which, sizes and times, and it can withhold entries or forge those without a text: leaving,
 * refusals, epochs.
 *
 * Pure except for the random generator of OpenSSL; no locks. A struct sealing is immutable: any
 * thread may use it.
 */
#ifndef SEALING_H
#define SEALING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/text.h"

enum {
    SEALING_SECRET_MIN = 32,  /* characters of `cluster_secret`; fewer could be guessed */
    SEALING_SECRET_MAX = 256, /* more are refused */
    SEALING_TAG_BYTES = 16,   /* a sealed text is so much longer */
    SEALING_KEY_BYTES = 32,
    SEALING_PROOF_MAX = 33,  /* hexadecimal text, with its NUL */
    SEALING_HIDDEN_MAX = 33, /* the same */
};

struct sealing;

/* The key of one seat. Wipe it with OPENSSL_cleanse. */
struct sealing_key {
    unsigned char bytes[SEALING_KEY_BYTES];
};

/* Where a text stands. All are borrowed; absent ones are empty. */
struct sealing_place {
    const char *room; /* folded name; "" is the main room */
    const char *seat; /* hexadecimal */
    uint64_t seq;
    char kind;            /* the letter of the entry */
    struct text name;     /* who joins, or the receiver, as the engine gets it */
    struct text identity; /* of a join */
};

/* Derives the keys. Returns NULL with a constant text in *why: the secret is too short or too long,
 * or memory is out. The caller frees it with sealing_free, which wipes it. */
struct sealing *sealing_new(const char *secret, const char **why);
void sealing_free(struct sealing *sealing);

/* Writes a text by which nodes find out whether their secrets are the same, without telling it. It
 * is stored in the engine. Returns false when memory is out. */
bool sealing_proof(const struct sealing *sealing, char proof[SEALING_PROOF_MAX]);

/* Writes a text that stands for a name, so that the engine can compare names without knowing them:
 * the same for the same name in the same room. Returns false when memory is out. */
bool sealing_hide(const struct sealing *sealing, const char *room, struct text name,
                  char hidden[SEALING_HIDDEN_MAX]);

/* Derives the key of a seat in a room. Returns false when memory is out. */
bool sealing_derive(const struct sealing *sealing, const char *room, const char *seat,
                    struct sealing_key *key);

/* Encrypts `plain` into `out`, which has room for plain.len + SEALING_TAG_BYTES. The key must be
 * that of the place's room and seat; with it no other text may have this seq. Returns false when
 * memory is out or the text is too long for OpenSSL. */
bool sealing_seal(const struct sealing_key *key, const struct sealing_place *place,
                  struct text plain, char *out);

/* Decrypts `len` bytes in place. Returns the length of the text, or -1 when it was sealed with
 * another secret or for another place, or was changed; then the bytes are not usable. */
long long sealing_open(const struct sealing_key *key, const struct sealing_place *place,
                       char *bytes, size_t len);

#endif
