/* SPDX-License-Identifier: MIT
 *
 * hpke.c - RFC 9180: the labelled key derivation (§4), DHKEM (§4.1), the key schedule of base mode
 * (§5.1) and the numbered encryptions (§5.2). Names are the RFC's. Any thread, no locks.
 */
#include "lib/crypto/hpke.h"

#include <limits.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

enum { HASH = 32 }; /* Nh of HKDF-SHA256, and Nsecret of the KEM */

#define TEXT(literal) ((struct hpke_bytes){(literal), sizeof(literal) - 1})
#define WHOLE(array)  ((struct hpke_bytes){(array), sizeof(array)})

#define KEM_SUITE  TEXT("KEM\x00\x20")
#define HPKE_SUITE TEXT("HPKE\x00\x20\x00\x01\x00\x01")
#define NOTHING    TEXT("")

/* ---- Key derivation (§4) ---- */

/* Concatenated bytes, with room for the longest input of a derivation. */
struct gathered {
    unsigned char bytes[HPKE_INFO_MAX + 64];
    size_t len;
};

static bool gather(struct gathered *all, const struct hpke_bytes *parts, size_t count)
{
    all->len = 0;
    for (size_t i = 0; i < count; i++) {
        if (parts[i].len > sizeof(all->bytes) - all->len)
            return false;
        memcpy(all->bytes + all->len, parts[i].at, parts[i].len);
        all->len += parts[i].len;
    }
    return true;
}

/* One half of HKDF-SHA256 (RFC 5869): `other` is the salt to extract, or the info to expand. */
static bool hkdf(int mode, struct hpke_bytes key, struct hpke_bytes other, unsigned char *out,
                 size_t len)
{
    char digest[] = "SHA256";
    bool extract = mode == EVP_KDF_HKDF_MODE_EXTRACT_ONLY;
    const char *other_name = extract ? OSSL_KDF_PARAM_SALT : OSSL_KDF_PARAM_INFO;
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)key.at, key.len),
        OSSL_PARAM_construct_octet_string(other_name, (void *)(uintptr_t)other.at, other.len),
        OSSL_PARAM_construct_end(),
    };
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *context = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
    bool done = context && EVP_KDF_derive(context, out, len, parameters) == 1;
    EVP_KDF_CTX_free(context);
    EVP_KDF_free(kdf);
    return done;
}

/* LabeledExtract. `labels` are the suite and the label. */
static bool extract(const struct hpke_bytes labels[2], struct hpke_bytes salt,
                    struct hpke_bytes ikm, unsigned char prk[HASH])
{
    static const unsigned char no_salt[HASH]; /* RFC 5869 §2.2: stands for an absent salt */
    struct hpke_bytes parts[] = {TEXT("HPKE-v1"), labels[0], labels[1], ikm};
    struct gathered all;
    bool done = gather(&all, parts, 4) &&
                hkdf(EVP_KDF_HKDF_MODE_EXTRACT_ONLY, (struct hpke_bytes){all.bytes, all.len},
                     salt.len ? salt : WHOLE(no_salt), prk, HASH);
    OPENSSL_cleanse(&all, sizeof(all));
    return done;
}

/* LabeledExpand, to out.len bytes. */
static bool expand(const struct hpke_bytes labels[2], const unsigned char prk[HASH],
                   struct hpke_bytes info, unsigned char *out, size_t len)
{
    unsigned char size[2] = {(unsigned char)(len >> 8), (unsigned char)len};
    struct hpke_bytes parts[] = {WHOLE(size), TEXT("HPKE-v1"), labels[0], labels[1], info};
    struct gathered all;
    return gather(&all, parts, 5) &&
           hkdf(EVP_KDF_HKDF_MODE_EXPAND_ONLY, (struct hpke_bytes){prk, HASH},
                (struct hpke_bytes){all.bytes, all.len}, out, len);
}

/* ---- The key encapsulation (§4.1) ---- */

/* DH. OpenSSL refuses a result of zeros, as §7.1.4 requires. */
static bool exchange(EVP_PKEY *own, const unsigned char *peer, unsigned char dh[HPKE_KEY_BYTES])
{
    size_t len = HPKE_KEY_BYTES;
    EVP_PKEY *other = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, peer, HPKE_KEY_BYTES);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(own, NULL);
    bool done = other && context && EVP_PKEY_derive_init(context) == 1 &&
                EVP_PKEY_derive_set_peer(context, other) == 1 &&
                EVP_PKEY_derive(context, dh, &len) == 1 && len == HPKE_KEY_BYTES;
    EVP_PKEY_CTX_free(context);
    EVP_PKEY_free(other);
    return done;
}

/* ExtractAndExpand. */
static bool encapsulate(const unsigned char *dh, const unsigned char *enc,
                        const unsigned char *receiver, unsigned char secret[HASH])
{
    const struct hpke_bytes prk_labels[] = {KEM_SUITE, TEXT("eae_prk")};
    const struct hpke_bytes secret_labels[] = {KEM_SUITE, TEXT("shared_secret")};
    unsigned char prk[HASH], context[2 * HPKE_KEY_BYTES];
    memcpy(context, enc, HPKE_KEY_BYTES);
    memcpy(context + HPKE_KEY_BYTES, receiver, HPKE_KEY_BYTES);
    bool done = extract(prk_labels, NOTHING, (struct hpke_bytes){dh, HPKE_KEY_BYTES}, prk) &&
                expand(secret_labels, prk, WHOLE(context), secret, HASH);
    OPENSSL_cleanse(prk, sizeof(prk));
    return done;
}

/* ---- The set-up (§5.1) ---- */

/* The hashes of `info` and of the pre-shared key's name, which is empty in base mode. */
static bool schedule_context(struct hpke_bytes info, unsigned char context[1 + 2 * HASH])
{
    const struct hpke_bytes psk_labels[] = {HPKE_SUITE, TEXT("psk_id_hash")};
    const struct hpke_bytes info_labels[] = {HPKE_SUITE, TEXT("info_hash")};
    context[0] = 0; /* mode_base */
    return info.len <= HPKE_INFO_MAX && extract(psk_labels, NOTHING, NOTHING, context + 1) &&
           extract(info_labels, NOTHING, info, context + 1 + HASH);
}

/* KeySchedule. */
static bool schedule(struct hpke *keys, const unsigned char shared[HASH], struct hpke_bytes info)
{
    const struct hpke_bytes secret_labels[] = {HPKE_SUITE, TEXT("secret")};
    const struct hpke_bytes key_labels[] = {HPKE_SUITE, TEXT("key")};
    const struct hpke_bytes nonce_labels[] = {HPKE_SUITE, TEXT("base_nonce")};
    unsigned char context[1 + 2 * HASH], secret[HASH];
    bool done = schedule_context(info, context) &&
                extract(secret_labels, (struct hpke_bytes){shared, HASH}, NOTHING, secret) &&
                expand(key_labels, secret, WHOLE(context), keys->key, sizeof(keys->key)) &&
                expand(nonce_labels, secret, WHOLE(context), keys->nonce, sizeof(keys->nonce));
    OPENSSL_cleanse(secret, sizeof(secret));
    return done;
}

static bool public_of(const EVP_PKEY *key, unsigned char public[HPKE_KEY_BYTES])
{
    size_t len = HPKE_KEY_BYTES;
    return EVP_PKEY_get_raw_public_key(key, public, &len) == 1 && len == HPKE_KEY_BYTES;
}

/* Common part of both set-ups: `own` is this side's key, `peer` the other side's. */
static bool setup(struct hpke *context, EVP_PKEY *own, const unsigned char *peer, bool sender,
                  struct hpke_bytes info)
{
    unsigned char public[HPKE_KEY_BYTES], dh[HPKE_KEY_BYTES], shared[HASH];
    bool done = public_of(own, public) && exchange(own, peer, dh) &&
                encapsulate(dh, sender ? public : peer, sender ? peer : public, shared) &&
                schedule(context, shared, info);
    OPENSSL_cleanse(dh, sizeof(dh));
    OPENSSL_cleanse(shared, sizeof(shared));
    return done;
}

bool hpke_setup_sender(struct hpke *context, EVP_PKEY *ephemeral, const unsigned char *receiver,
                       struct hpke_bytes info)
{
    return setup(context, ephemeral, receiver, true, info);
}

bool hpke_setup_receiver(struct hpke *context, const unsigned char *enc, EVP_PKEY *receiver,
                         struct hpke_bytes info)
{
    return setup(context, receiver, enc, false, info);
}

void hpke_fini(struct hpke *context)
{
    OPENSSL_cleanse(context, sizeof(*context));
}

/* ---- Encryption (§5.2) ---- */

/* ComputeNonce. */
static void nonce_of(const struct hpke *context, uint64_t seq, unsigned char nonce[HPKE_AEAD_NONCE])
{
    memcpy(nonce, context->nonce, HPKE_AEAD_NONCE);
    for (int i = 0; i < 8; i++)
        nonce[HPKE_AEAD_NONCE - 1 - i] ^= (unsigned char)(seq >> 8 * i);
}

/* Starts AES-128-GCM in either direction and feeds it the aad. Returns NULL when that failed. */
static EVP_CIPHER_CTX *start_context(const struct hpke *context, uint64_t seq,
                                     struct hpke_bytes aad, int encrypting)
{
    unsigned char nonce[HPKE_AEAD_NONCE];
    int n;
    EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
    nonce_of(context, seq, nonce);
    if (cipher && aad.len <= INT_MAX &&
        EVP_CipherInit_ex(cipher, EVP_aes_128_gcm(), NULL, context->key, nonce, encrypting) == 1 &&
        EVP_CipherUpdate(cipher, NULL, &n, aad.at, (int)aad.len) == 1)
        return cipher;
    EVP_CIPHER_CTX_free(cipher);
    return NULL;
}

bool hpke_seal(const struct hpke *context, uint64_t seq, struct hpke_bytes aad,
               struct hpke_bytes plain, unsigned char *out)
{
    int n;
    if (plain.len > INT_MAX - HPKE_TAG_BYTES)
        return false;
    EVP_CIPHER_CTX *cipher = start_context(context, seq, aad, 1);
    bool done =
        cipher && EVP_CipherUpdate(cipher, out, &n, plain.at, (int)plain.len) == 1 &&
        EVP_CipherFinal_ex(cipher, out + n, &n) == 1 &&
        EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_GET_TAG, HPKE_TAG_BYTES, out + plain.len) == 1;
    EVP_CIPHER_CTX_free(cipher);
    return done;
}

bool hpke_open(const struct hpke *context, uint64_t seq, struct hpke_bytes aad,
               struct hpke_bytes sealed, unsigned char *out)
{
    unsigned char tag[HPKE_TAG_BYTES];
    int n;
    if (sealed.len < HPKE_TAG_BYTES || sealed.len > INT_MAX)
        return false;
    size_t len = sealed.len - HPKE_TAG_BYTES;
    memcpy(tag, (const unsigned char *)sealed.at + len, HPKE_TAG_BYTES);
    EVP_CIPHER_CTX *cipher = start_context(context, seq, aad, 0);
    bool done = cipher && EVP_CipherUpdate(cipher, out, &n, sealed.at, (int)len) == 1 &&
                EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_SET_TAG, HPKE_TAG_BYTES, tag) == 1 &&
                EVP_CipherFinal_ex(cipher, out + n, &n) == 1;
    EVP_CIPHER_CTX_free(cipher);
    if (!done)
        OPENSSL_cleanse(out, len); /* GCM has written unauthenticated plaintext */
    return done;
}
