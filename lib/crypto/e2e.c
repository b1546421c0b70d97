/* SPDX-License-Identifier: MIT
 *
 * e2e.c - cards, proofs of a Join, session keys and the safety number.
 *
 * The signed texts are built here; docs/PROTOCOL.md, section "Keys", defines them byte for byte.
 * OpenSSL does Ed25519 (RFC 8032), X25519 (RFC 7748), HKDF (RFC 5869), PBKDF2 (RFC 8018) and random
 * numbers, and wipes private keys when it frees them. Pure: any thread, no locks.
 */
#include "lib/crypto/e2e.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/sha.h>

#include "lib/hex.h"
#include "lib/origin.h"

enum {
    SAFETY_ROUNDS = 100000,
    SAFETY_GROUPS = 12,
    GROUP_BYTES = 5, /* of the hash, for each group of digits */
};

/* ---- Keys ---- */

EVP_PKEY *e2e_key_new(enum e2e_kind kind)
{
    return EVP_PKEY_Q_keygen(NULL, NULL, kind == E2E_IDENTITY ? "ED25519" : "X25519");
}

EVP_PKEY *e2e_key_from(enum e2e_kind kind, const unsigned char *private)
{
    int type = kind == E2E_IDENTITY ? EVP_PKEY_ED25519 : EVP_PKEY_X25519;
    return EVP_PKEY_new_raw_private_key(type, NULL, private, E2E_KEY_BYTES);
}

bool e2e_key_public(const EVP_PKEY *key, unsigned char *public)
{
    size_t len = E2E_KEY_BYTES;
    return EVP_PKEY_get_raw_public_key(key, public, &len) == 1 && len == E2E_KEY_BYTES;
}

/* 2^255-19, and the points of small order: u of Curve25519 (those for which all secrets are the
 * same, RFC 7748 §6.1), y of edwards25519. Little-endian, as in keys. */
static const char prime[] = "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f";
static const char *const small_order[][5] = {
    [E2E_IDENTITY] = {"0000000000000000000000000000000000000000000000000000000000000000",
                      "0100000000000000000000000000000000000000000000000000000000000000",
                      "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                      "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
                      "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"},
    [E2E_SESSION] = {"0000000000000000000000000000000000000000000000000000000000000000",
                     "0100000000000000000000000000000000000000000000000000000000000000",
                     "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                     "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
                     "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"},
};

bool e2e_public_ok(enum e2e_kind kind, const unsigned char *public)
{
    unsigned char number[E2E_KEY_BYTES], bound[E2E_KEY_BYTES];
    char hex[2 * E2E_KEY_BYTES + 1];
    int top = E2E_KEY_BYTES - 1;
    memcpy(number, public, sizeof(number));
    if (kind == E2E_IDENTITY)
        number[top] &= 0x7f; /* the sign of x */
    hex_read(bound, sizeof(bound), prime);
    while (top > 0 && number[top] == bound[top])
        top--;
    if (number[top] >= bound[top])
        return false;
    hex_write(hex, number, sizeof(number));
    for (size_t i = 0; i < 5; i++)
        if (strcmp(hex, small_order[kind][i]) == 0)
            return false;
    return true;
}

void e2e_hash(const unsigned char public[E2E_KEY_BYTES], unsigned char hash[E2E_HASH_BYTES])
{
    unsigned char whole[SHA256_DIGEST_LENGTH];
    SHA256(public, E2E_KEY_BYTES, whole);
    memcpy(hash, whole, E2E_HASH_BYTES);
}

static bool derive_seed(const unsigned char *seed, const struct e2e_script *info,
                        unsigned char out[E2E_KEY_BYTES])
{
    static const char salt[] = "ragnarok-v2 identity";
    char digest[] = "SHA256";
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)seed,
                                          E2E_SEED_BYTES),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)(uintptr_t)salt,
                                          sizeof(salt) - 1),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)(uintptr_t)info->bytes,
                                          info->len),
        OSSL_PARAM_construct_end(),
    };
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *context = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
    bool done = context && EVP_KDF_derive(context, out, E2E_KEY_BYTES, parameters) == 1;
    EVP_KDF_CTX_free(context);
    EVP_KDF_free(kdf);
    return done;
}

EVP_PKEY *e2e_identity_from_seed(const unsigned char *seed, const char *server, const char *room,
                                 const char *fold)
{
    unsigned char derived[E2E_KEY_BYTES];
    struct e2e_script info = {.len = 0};
    e2e_put_text(&info, server);
    e2e_put_text(&info, room);
    e2e_put_text(&info, fold);
    EVP_PKEY *key = NULL;
    if (!info.overflow && derive_seed(seed, &info, derived))
        key = e2e_key_from(E2E_IDENTITY, derived);
    OPENSSL_cleanse(derived, sizeof(derived));
    return key;
}

/* ---- Signed bytes ---- */

void e2e_put(struct e2e_script *script, const void *bytes, size_t len)
{
    if (script->overflow || len > sizeof(script->bytes) - script->len) {
        script->overflow = true;
        return;
    }
    memcpy(script->bytes + script->len, bytes, len);
    script->len += len;
}

void e2e_put_block(struct e2e_script *script, const void *bytes, size_t len)
{
    unsigned char size[2] = {(unsigned char)(len >> 8), (unsigned char)len};
    e2e_put(script, size, sizeof(size));
    e2e_put(script, bytes, len);
}

void e2e_put_text(struct e2e_script *script, const char *text)
{
    e2e_put_block(script, text, strlen(text));
}

void e2e_put_number(struct e2e_script *script, uint64_t number)
{
    unsigned char bytes[8];
    for (int i = 0; i < 8; i++)
        bytes[i] = (unsigned char)(number >> 8 * (7 - i));
    e2e_put(script, bytes, sizeof(bytes));
}

bool e2e_sign(EVP_PKEY *identity, const void *bytes, size_t len, unsigned char *signature)
{
    size_t size = E2E_SIGNATURE_BYTES;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool done = context && EVP_DigestSignInit(context, NULL, NULL, NULL, identity) == 1 &&
                EVP_DigestSign(context, signature, &size, bytes, len) == 1;
    EVP_MD_CTX_free(context);
    return done;
}

bool e2e_is_signed(const unsigned char *identity, const void *bytes, size_t len,
                   const unsigned char *signature)
{
    EVP_PKEY *key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, identity, E2E_KEY_BYTES);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool good = key && context && EVP_DigestVerifyInit(context, NULL, NULL, NULL, key) == 1 &&
                EVP_DigestVerify(context, signature, E2E_SIGNATURE_BYTES, bytes, len) == 1;
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(key);
    return good;
}

static void put_card(struct e2e_script *script, const struct e2e_keys *keys, const char *room,
                     const char *name)
{
    e2e_put_text(script, "ragnarok-v2 session key");
    e2e_put_text(script, keys->origin);
    e2e_put_text(script, room);
    e2e_put_text(script, name);
    e2e_put_block(script, keys->session, E2E_KEY_BYTES);
    e2e_put_number(script, keys->expires);
    e2e_put_text(script, keys->enc);
}

bool e2e_keys_signed(const struct e2e_keys *keys, const char *room, const char *name)
{
    struct e2e_script script = {.len = 0};
    put_card(&script, keys, room, name);
    return !script.overflow &&
           e2e_is_signed(keys->identity, script.bytes, script.len, keys->signature);
}

bool e2e_keys_fresh(const struct e2e_keys *keys, uint64_t wall)
{
    return keys->expires > wall && keys->expires - wall <= E2E_AHEAD_MAX_MS;
}

bool e2e_keys_understand(const struct e2e_keys *keys, const char *enc)
{
    size_t len = strlen(enc);
    for (const char *word = keys->enc; *word; word += *word == ' ') {
        size_t size = strcspn(word, " ");
        if (size == len && memcmp(word, enc, len) == 0)
            return true;
        word += size;
    }
    return false;
}

static void put_join(struct e2e_script *script, const struct e2e_keys *keys,
                     const struct e2e_claim *claim)
{
    e2e_put_text(script, "ragnarok-v2 join");
    e2e_put_text(script, keys->origin);
    e2e_put_block(script, claim->nonce, E2E_NONCE_BYTES);
    e2e_put_text(script, claim->room);
    e2e_put_text(script, claim->name);
    e2e_put_block(script, keys->session, E2E_KEY_BYTES);
    e2e_put_block(script, keys->signature, E2E_SIGNATURE_BYTES);
}

bool e2e_claim_holds(const struct e2e_claim *claim)
{
    struct e2e_script script = {.len = 0};
    put_join(&script, &claim->keys, claim);
    return !script.overflow &&
           e2e_is_signed(claim->keys.identity, script.bytes, script.len, claim->proof) &&
           e2e_keys_signed(&claim->keys, claim->room, claim->name);
}

/* ---- Cards in messages ---- */

bool e2e_read_hex(const struct json_object *message, const char *name, unsigned char *out,
                  size_t len)
{
    char hex[2 * E2E_SIGNATURE_BYTES + 1];
    const struct json_field *value = json_find(message, name);
    return value && json_string(value, hex, sizeof(hex)) >= 0 && hex_read(out, len, hex);
}

static bool is_origin_form(const char *text)
{
    size_t len = strlen(text);
    for (size_t i = 0; i < len; i++)
        if (text[i] < ' ' || text[i] > '~' || text[i] == '"' || text[i] == '\\')
            return false;
    return len >= 1 && len <= E2E_ORIGIN_MAX;
}

static bool is_enc_form(const char *text)
{
    size_t len = strlen(text);
    return len >= 1 && len <= E2E_ENC_MAX &&
           strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789 -") == len;
}

static bool read_expires(const struct json_object *message, uint64_t *expires)
{
    const struct json_field *value = json_find(message, "KeyExpires");
    return value && json_number(value, expires) == 0 && *expires >= 1 &&
           *expires < UINT64_C(1) << 53;
}

/* Reads the six fields. Returns false if one has the wrong form. */
static bool read_card(const struct json_object *message, struct e2e_keys *keys)
{
    return e2e_read_hex(message, "IdentityKey", keys->identity, E2E_KEY_BYTES) &&
           e2e_read_hex(message, "SessionKey", keys->session, E2E_KEY_BYTES) &&
           e2e_read_hex(message, "KeySignature", keys->signature, E2E_SIGNATURE_BYTES) &&
           e2e_public_ok(E2E_IDENTITY, keys->identity) &&
           e2e_public_ok(E2E_SESSION, keys->session) && read_expires(message, &keys->expires) &&
           json_string(json_find(message, "KeyOrigin"), keys->origin, sizeof(keys->origin)) >= 0 &&
           is_origin_form(keys->origin) &&
           json_string(json_find(message, "KeyEnc"), keys->enc, sizeof(keys->enc)) >= 0 &&
           is_enc_form(keys->enc);
}

/* Whether all of those fields exist with the right JSON type. */
static enum e2e_found find_fields(const struct json_object *message, const char *const *names,
                                  size_t count)
{
    size_t absent = 0, right = 0;
    for (size_t i = 0; i < count; i++) {
        const struct json_field *value = json_find(message, names[i]);
        bool number = strcmp(names[i], "KeyExpires") == 0;
        absent += value == NULL;
        right += value && strcmp(json_kind(value), number ? "a number" : "a string") == 0;
    }
    if (absent == count)
        return E2E_FOUND_NONE;
    return right == count ? E2E_FOUND_ALL : E2E_FOUND_SOME;
}

static const char *const claim_fields[] = {"IdentityKey", "SessionKey",   "KeyExpires", "KeyOrigin",
                                           "KeyEnc",      "KeySignature", "Proof"};

enum { CARD_FIELDS = 6, CLAIM_FIELDS = 7 };

enum e2e_found e2e_read_keys(const struct json_object *message, struct e2e_keys *keys)
{
    enum e2e_found found = find_fields(message, claim_fields, CARD_FIELDS);
    if (found == E2E_FOUND_ALL && !read_card(message, keys))
        return E2E_FOUND_BAD;
    return found;
}

enum e2e_found e2e_read_claim(const struct json_object *join, struct e2e_claim *claim)
{
    enum e2e_found found = find_fields(join, claim_fields, CLAIM_FIELDS);
    if (found == E2E_FOUND_ALL && (!read_card(join, &claim->keys) ||
                                   !e2e_read_hex(join, "Proof", claim->proof, E2E_SIGNATURE_BYTES)))
        return E2E_FOUND_BAD;
    return found;
}

void e2e_write_keys(struct json_writer *w, const struct e2e_keys *keys)
{
    json_write_hex(w, "IdentityKey", keys->identity, E2E_KEY_BYTES);
    json_write_hex(w, "SessionKey", keys->session, E2E_KEY_BYTES);
    json_write_uint(w, "KeyExpires", keys->expires);
    json_write_string(w, "KeyOrigin", keys->origin);
    json_write_string(w, "KeyEnc", keys->enc);
    json_write_hex(w, "KeySignature", keys->signature, E2E_SIGNATURE_BYTES);
}

/* ---- The session keys of a client ---- */

static void forget_secret(struct e2e_secret *secret)
{
    EVP_PKEY_free(secret->key); /* wipes it */
    *secret = (struct e2e_secret){.key = NULL};
}

/* Wipes the oldest `count` former session keys. */
static void forget_former(struct e2e_session *session, size_t count)
{
    for (size_t i = 0; i < count; i++)
        forget_secret(&session->former[i]);
    session->former_count -= count;
    memmove(session->former, session->former + count,
            session->former_count * sizeof(session->former[0]));
}

void e2e_session_fini(struct e2e_session *session)
{
    forget_former(session, session->former_count);
    forget_secret(&session->present);
    EVP_PKEY_free(session->identity);
    *session = (struct e2e_session){.identity = NULL};
}

void e2e_session_expire(struct e2e_session *session, struct e2e_now now)
{
    size_t over = 0; /* they expire in the order in which they were replaced */
    while (over < session->former_count && session->former[over].until <= now.steady)
        over++;
    forget_former(session, over);
}

/* Makes a session key, puts its public half into keys->session, and signs *keys, whose other fields
 * are filled in. */
static bool make_secret(struct e2e_secret *secret, struct e2e_keys *keys,
                        const struct e2e_session *session, struct e2e_now now)
{
    struct e2e_script script = {.len = 0};
    *secret = (struct e2e_secret){.key = e2e_key_new(E2E_SESSION)};
    if (!secret->key || !e2e_key_public(secret->key, secret->public))
        return false;
    e2e_hash(secret->public, secret->hash);
    memcpy(keys->session, secret->public, E2E_KEY_BYTES);
    keys->expires = now.wall + E2E_SIGNED_MS;
    put_card(&script, keys, session->room, session->name);
    return keys->expires < UINT64_C(1) << 53 && !script.overflow &&
           e2e_sign(session->identity, script.bytes, script.len, keys->signature);
}

/* Makes the current session key a former one. */
static void retire_present(struct e2e_session *session, struct e2e_now now)
{
    if (!session->present.key)
        return;
    if (session->former_count == E2E_FORMER_MAX)
        forget_former(session, 1);
    session->present.until = now.steady + E2E_FORMER_MS;
    session->former[session->former_count++] = session->present;
    session->present = (struct e2e_secret){.key = NULL};
}

bool e2e_session_renew(struct e2e_session *session, struct e2e_now now)
{
    struct e2e_secret secret;
    struct e2e_keys keys = session->keys;
    if (!session->identity || !make_secret(&secret, &keys, session, now)) {
        if (session->identity)
            forget_secret(&secret);
        return false;
    }
    e2e_session_expire(session, now);
    retire_present(session, now);
    session->present = secret;
    session->keys = keys;
    session->made_at = now.steady;
    session->opened = 0;
    memcpy(session->had[session->had_count++ % E2E_HAD_MAX], secret.hash, E2E_HASH_BYTES);
    return true;
}

/* Copies a name or a room. Returns false when it is too long for one. */
static bool copy_name(char out[NAME_MAX_BYTES + 1], const char *name)
{
    int len = snprintf(out, NAME_MAX_BYTES + 1, "%s", name);
    return len >= 0 && len <= NAME_MAX_BYTES;
}

/* Whether the session already belongs to this identity, room and name. */
static bool is_session_of(const struct e2e_session *session, const unsigned char *identity,
                          const struct e2e_place *place)
{
    return session->identity && memcmp(session->keys.identity, identity, E2E_KEY_BYTES) == 0 &&
           strcmp(session->room, place->room) == 0 && strcmp(session->name, place->name) == 0;
}

bool e2e_session_open(struct e2e_session *session, EVP_PKEY *identity,
                      const struct e2e_place *place, struct e2e_now now)
{
    struct e2e_keys *keys = &session->keys;
    unsigned char public[E2E_KEY_BYTES];
    bool good = e2e_key_public(identity, public) && EVP_PKEY_up_ref(identity) == 1;
    if (!good || !is_session_of(session, public, place))
        e2e_session_fini(session);
    if (!good)
        return false;
    EVP_PKEY_free(session->identity);
    session->identity = identity;
    memcpy(keys->identity, public, E2E_KEY_BYTES);
    snprintf(keys->origin, sizeof(keys->origin), "%s", place->origin);
    snprintf(keys->enc, sizeof(keys->enc), "%s", E2E_ENC);
    if (is_origin_form(place->origin) && copy_name(session->room, place->room) &&
        copy_name(session->name, place->name) && e2e_session_renew(session, now))
        return true;
    e2e_session_fini(session);
    return false;
}

bool e2e_session_due(const struct e2e_session *session, struct e2e_now now)
{
    int64_t age = now.steady - session->made_at;
    uint64_t expires = session->keys.expires;
    uint64_t left = expires > now.wall ? expires - now.wall : 0;
    if (!session->present.key || age < E2E_RENEW_LEAST_MS)
        return false;
    return session->opened >= E2E_RENEW_OPENED ||
           (session->opened > 0 && age >= E2E_RENEW_USED_MS) || age >= E2E_RENEW_AGE_MS ||
           left <= E2E_SIGNED_MS - E2E_RENEW_AGE_MS || left >= E2E_SIGNED_MS + E2E_RENEW_AGE_MS;
}

const struct e2e_secret *e2e_session_find(const struct e2e_session *session,
                                          const unsigned char public[E2E_KEY_BYTES],
                                          struct e2e_now now)
{
    if (session->present.key && memcmp(session->present.public, public, E2E_KEY_BYTES) == 0)
        return &session->present;
    for (size_t i = 0; i < session->former_count; i++)
        if (session->former[i].until > now.steady &&
            memcmp(session->former[i].public, public, E2E_KEY_BYTES) == 0)
            return &session->former[i];
    return NULL;
}

size_t e2e_session_live(const struct e2e_session *session,
                        unsigned char hashes[E2E_LIVE_MAX][E2E_HASH_BYTES])
{
    size_t count = 0;
    for (size_t i = 0; i < session->former_count; i++)
        memcpy(hashes[count++], session->former[i].hash, E2E_HASH_BYTES);
    if (session->present.key)
        memcpy(hashes[count++], session->present.hash, E2E_HASH_BYTES);
    return count;
}

bool e2e_session_had(const struct e2e_session *session, const unsigned char hash[E2E_HASH_BYTES])
{
    for (size_t i = 0; i < session->had_count && i < E2E_HAD_MAX; i++)
        if (memcmp(session->had[i], hash, E2E_HASH_BYTES) == 0)
            return true;
    return false;
}

static bool prove(const struct e2e_session *session, const unsigned char *nonce,
                  unsigned char *proof)
{
    struct e2e_script script = {.len = 0};
    struct e2e_claim claim = {.room = session->room, .name = session->name, .nonce = nonce};
    put_join(&script, &session->keys, &claim);
    return !script.overflow && e2e_sign(session->identity, script.bytes, script.len, proof);
}

char *e2e_write_claim(const struct e2e_session *session, const char *nonce)
{
    unsigned char bytes[E2E_NONCE_BYTES], proof[E2E_SIGNATURE_BYTES];
    struct json_writer w = {.text = NULL};
    if (!session->identity || !hex_read(bytes, sizeof(bytes), nonce) ||
        !prove(session, bytes, proof))
        return NULL;
    e2e_write_keys(&w, &session->keys);
    json_write_hex(&w, "Proof", proof, sizeof(proof));
    return json_writer_finish(&w, NULL);
}

/* ---- Safety number ---- */

bool e2e_safety(const unsigned char *mine, const unsigned char *theirs, char *out)
{
    static const char salt[] = "ragnarok-v2 safety number";
    char both[2 * E2E_KEY_BYTES];
    unsigned char hash[SAFETY_GROUPS * GROUP_BYTES];
    bool mine_first = memcmp(mine, theirs, E2E_KEY_BYTES) < 0;
    memcpy(both, mine_first ? mine : theirs, E2E_KEY_BYTES);
    memcpy(both + E2E_KEY_BYTES, mine_first ? theirs : mine, E2E_KEY_BYTES);
    if (PKCS5_PBKDF2_HMAC(both, sizeof(both), (const unsigned char *)salt, sizeof(salt) - 1,
                          SAFETY_ROUNDS, EVP_sha512(), sizeof(hash), hash) != 1)
        return false;
    for (int group = 0; group < SAFETY_GROUPS; group++) {
        uint64_t number = 0;
        for (int i = 0; i < GROUP_BYTES; i++)
            number = number << 8 | hash[GROUP_BYTES * group + i];
        snprintf(out + 6 * group, 7, "%05u%s", (unsigned)(number % 100000),
                 group < SAFETY_GROUPS - 1 ? " " : "");
    }
    return true;
}
