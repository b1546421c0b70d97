/* SPDX-License-Identifier: MIT
 *
 * sealing.c - AES-256-GCM over the texts of log entries, with a key for each seat. Any thread; no
 * locks.
 */
#include "cluster/sealing.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include "lib/hex.h"

enum {
    ROOT_BYTES = 32,
    PROOF_BYTES = 16,
    HIDDEN_BYTES = 16,
    NONCE_BYTES = 12,
    HASH_BYTES = 32,
    INFO_MAX = 80, /* a label, a seat, or the hexadecimal digest of a name */
};

struct sealing {
    unsigned char root[ROOT_BYTES]; /* derived from the secret */
};

/* ---- Keys ---- */

/* HKDF-SHA256 with an empty salt and the info: label, SHA-256 of the room, seat. The label is a
 * constant and the digest has one length, so no two triples are the same bytes. */
static bool derive_key(struct text key, const char *label, const char *room, const char *seat,
                       unsigned char *out, size_t len)
{
    char digest[] = "SHA256", parts[2][INFO_MAX];
    unsigned char hash[HASH_BYTES];
    snprintf(parts[0], INFO_MAX, "ragnarok cluster v1 %s", label);
    snprintf(parts[1], INFO_MAX, "%s", seat);
    if (EVP_Digest(room, strlen(room), hash, NULL, EVP_sha256(), NULL) != 1)
        return false;
    OSSL_PARAM parameters[] = {
        /* OpenSSL joins several infos */
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)key.at, key.len),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, parts[0], strlen(parts[0])),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, hash, sizeof(hash)),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, parts[1], strlen(parts[1])),
        OSSL_PARAM_construct_end(),
    };
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *context = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
    bool done = context && EVP_KDF_derive(context, out, len, parameters) == 1;
    EVP_KDF_CTX_free(context);
    EVP_KDF_free(kdf);
    return done;
}

static struct text root_of(const struct sealing *sealing)
{
    return (struct text){(const char *)sealing->root, ROOT_BYTES};
}

struct sealing *sealing_new(const char *secret, const char **why)
{
    size_t len = strlen(secret);
    if (len < SEALING_SECRET_MIN || len > SEALING_SECRET_MAX) {
        *why = "expected 32 to 256 characters";
        return NULL;
    }
    struct sealing *sealing = malloc(sizeof(*sealing));
    if (sealing && derive_key(text_of(secret), "root", "", "", sealing->root, ROOT_BYTES))
        return sealing;
    free(sealing);
    *why = "out of memory";
    return NULL;
}

void sealing_free(struct sealing *sealing)
{
    if (sealing)
        OPENSSL_cleanse(sealing, sizeof(*sealing));
    free(sealing);
}

bool sealing_proof(const struct sealing *sealing, char proof[SEALING_PROOF_MAX])
{
    unsigned char bytes[PROOF_BYTES];
    if (!derive_key(root_of(sealing), "proof", "", "", bytes, sizeof(bytes)))
        return false;
    hex_write(proof, bytes, sizeof(bytes));
    return true;
}

bool sealing_hide(const struct sealing *sealing, const char *room, struct text name,
                  char hidden[SEALING_HIDDEN_MAX])
{
    unsigned char hash[HASH_BYTES], bytes[HIDDEN_BYTES];
    char digest[2 * HASH_BYTES + 1];
    if (EVP_Digest(name.at, name.len, hash, NULL, EVP_sha256(), NULL) != 1)
        return false;
    hex_write(digest, hash, sizeof(hash));
    if (!derive_key(root_of(sealing), "name", room, digest, bytes, sizeof(bytes)))
        return false;
    hex_write(hidden, bytes, sizeof(bytes));
    return true;
}

bool sealing_derive(const struct sealing *sealing, const char *room, const char *seat,
                    struct sealing_key *key)
{
    return derive_key(root_of(sealing), "seat", room, seat, key->bytes, sizeof(key->bytes));
}

/* ---- Texts ---- */

/* Feeds the associated data: the kind, then room, seat, name and identity, each with its length in
 * front. The seq is the nonce. */
static bool bind_place(EVP_CIPHER_CTX *context, const struct sealing_place *place,
                       int (*update)(EVP_CIPHER_CTX *, unsigned char *, int *,
                                     const unsigned char *, int))
{
    const struct text parts[] = {{&place->kind, 1},
                                 text_of(place->room),
                                 text_of(place->seat),
                                 place->name,
                                 place->identity};
    int ignored;
    for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
        size_t len = parts[i].len;
        if (len > UINT16_MAX)
            return false;
        unsigned char size[] = {(unsigned char)(len >> 8), (unsigned char)len};
        if (update(context, NULL, &ignored, size, sizeof(size)) != 1)
            return false;
        if (len > 0 &&
            update(context, NULL, &ignored, (const unsigned char *)parts[i].at, (int)len) != 1)
            return false;
    }
    return true;
}

static void write_nonce(unsigned char nonce[NONCE_BYTES], uint64_t seq)
{
    memset(nonce, 0, NONCE_BYTES);
    for (int i = 0; i < 8; i++)
        nonce[NONCE_BYTES - 1 - i] = (unsigned char)(seq >> (8 * i));
}

bool sealing_seal(const struct sealing_key *key, const struct sealing_place *place,
                  struct text plain, char *out)
{
    unsigned char nonce[NONCE_BYTES], *to = (unsigned char *)out;
    int len = 0, rest = 0;
    if (plain.len > INT_MAX - SEALING_TAG_BYTES)
        return false;
    write_nonce(nonce, place->seq);
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    bool done =
        context && EVP_EncryptInit_ex(context, EVP_aes_256_gcm(), NULL, key->bytes, nonce) == 1 &&
        bind_place(context, place, EVP_EncryptUpdate) &&
        (plain.len == 0 || EVP_EncryptUpdate(context, to, &len, (const unsigned char *)plain.at,
                                             (int)plain.len) == 1) &&
        EVP_EncryptFinal_ex(context, to + len, &rest) == 1 &&
        EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_GET_TAG, SEALING_TAG_BYTES, to + plain.len) == 1;
    EVP_CIPHER_CTX_free(context);
    return done;
}

long long sealing_open(const struct sealing_key *key, const struct sealing_place *place,
                       char *bytes, size_t len)
{
    unsigned char nonce[NONCE_BYTES], *at = (unsigned char *)bytes;
    int written = 0, rest = 0;
    if (len < SEALING_TAG_BYTES || len > INT_MAX)
        return -1;
    int plain = (int)len - SEALING_TAG_BYTES;
    write_nonce(nonce, place->seq);
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    bool good =
        context && EVP_DecryptInit_ex(context, EVP_aes_256_gcm(), NULL, key->bytes, nonce) == 1 &&
        bind_place(context, place, EVP_DecryptUpdate) &&
        (plain == 0 || EVP_DecryptUpdate(context, at, &written, at, plain) == 1) &&
        EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_SET_TAG, SEALING_TAG_BYTES, at + plain) == 1 &&
        EVP_DecryptFinal_ex(context, at + written, &rest) == 1;
    EVP_CIPHER_CTX_free(context);
    return good ? plain : -1;
}
