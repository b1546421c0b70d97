/* SPDX-License-Identifier: MIT
 *
 * hpke.h - hybrid public key encryption in base mode (RFC 9180 §5.1.1, §5.2) for one suite:
 * DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-128-GCM.
 *
 * OpenSSL 3.0 has the parts (X25519, HKDF, AES-GCM) but not the whole. Pure: no I/O, no locks, any
 * thread. Keys are EVP_PKEY of X25519 where they are private, HPKE_KEY_BYTES where they are public.
 */
#ifndef HPKE_H
#define HPKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/evp.h>

enum {
    HPKE_KEY_BYTES = 32,
    HPKE_TAG_BYTES = 16,  /* a ciphertext is longer than its plaintext by this */
    HPKE_INFO_MAX = 1024, /* bytes of `info`; more is refused */
    HPKE_AEAD_KEY = 16,   /* Nk */
    HPKE_AEAD_NONCE = 12, /* Nn */
};

/* Some bytes that the callee borrows until it returns. */
struct hpke_bytes {
    const void *at;
    size_t len;
};

/* What both sides know after the set-up. Wiped with hpke_fini. */
struct hpke {
    unsigned char key[HPKE_AEAD_KEY];
    unsigned char nonce[HPKE_AEAD_NONCE]; /* base_nonce */
};

/* SetupBaseS, with an ephemeral key pair that must be used only this once. Its public half is `enc`,
 * which the receiver needs. Returns false when the receiver's key is of low order (§7.1.4), `info` is
 * too long, or memory is out; so does the next. */
bool hpke_setup_sender(struct hpke *context, EVP_PKEY *ephemeral, const unsigned char *receiver,
                       struct hpke_bytes info);

/* SetupBaseR. */
bool hpke_setup_receiver(struct hpke *context, const unsigned char *enc, EVP_PKEY *receiver,
                         struct hpke_bytes info);
void hpke_fini(struct hpke *context);

/* Encrypts the message number `seq` of a context (§5.2): single-shot use is number 0. `out` has room
 * for plain.len + HPKE_TAG_BYTES. Returns false when it is too long for OpenSSL or memory is out. */
bool hpke_seal(const struct hpke *context, uint64_t seq, struct hpke_bytes aad,
               struct hpke_bytes plain, unsigned char *out);

/* Decrypts. `out` has room for sealed.len - HPKE_TAG_BYTES. Returns false, and `out` holds nothing of
 * use, when the ciphertext, its aad or its number is not what was sealed. */
bool hpke_open(const struct hpke *context, uint64_t seq, struct hpke_bytes aad,
               struct hpke_bytes sealed, unsigned char *out);

#endif
