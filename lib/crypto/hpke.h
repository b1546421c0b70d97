/* SPDX-License-Identifier: MIT
 *
 * hpke.h - hybrid public key encryption in base mode (RFC 9180 §5.1.1, §5.2) for one suite:
 * DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-128-GCM.
 *
 * OpenSSL 3.0 has the parts (X25519, HKDF, AES-GCM) but not the whole. Pure: no I/O, no locks, any
 * thread. Private keys are EVP_PKEY of X25519, public keys are HPKE_KEY_BYTES.
 */
#ifndef HPKE_H
#define HPKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/evp.h>

enum {
    HPKE_KEY_BYTES = 32,
    HPKE_TAG_BYTES = 16,  /* a ciphertext is this much longer than its plaintext */
    HPKE_INFO_MAX = 1024, /* bytes of `info`; more is refused */
    HPKE_AEAD_KEY = 16,   /* Nk */
    HPKE_AEAD_NONCE = 12, /* Nn */
};

/* Bytes that the callee borrows until it returns. */
struct hpke_bytes {
    const void *at;
    size_t len;
};

/* The shared state after the set-up. Wipe it with hpke_fini. */
struct hpke {
    unsigned char key[HPKE_AEAD_KEY];
    unsigned char nonce[HPKE_AEAD_NONCE]; /* base_nonce */
};

/* SetupBaseS, with an ephemeral key pair that must be used only once. Its public half is `enc`,
 * which the receiver needs. Both set-ups return false when the peer's key is of low order (§7.1.4),
 * `info` is too long, or memory is out. */
bool hpke_setup_sender(struct hpke *context, EVP_PKEY *ephemeral, const unsigned char *receiver,
                       struct hpke_bytes info);

/* SetupBaseR. */
bool hpke_setup_receiver(struct hpke *context, const unsigned char *enc, EVP_PKEY *receiver,
                         struct hpke_bytes info);
void hpke_fini(struct hpke *context);

/* Encrypts message number `seq` of a context (§5.2): single-shot use is number 0. `out` has room
 * for plain.len + HPKE_TAG_BYTES. Returns false when it is too long for OpenSSL or memory is out.
 */
bool hpke_seal(const struct hpke *context, uint64_t seq, struct hpke_bytes aad,
               struct hpke_bytes plain, unsigned char *out);

/* Decrypts. `out` has room for sealed.len - HPKE_TAG_BYTES. Returns false, with nothing usable in
 * `out`, when the ciphertext, its aad or its number differs from the sealed one. */
bool hpke_open(const struct hpke *context, uint64_t seq, struct hpke_bytes aad,
               struct hpke_bytes sealed, unsigned char *out);

#endif
