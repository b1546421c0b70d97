/* SPDX-License-Identifier: MIT
 *
 * e2e.h - the keys of private messages: the card that a member publishes, the proof in a Join, and
 * the session keys of one client.
 *
 * docs/PROTOCOL.md, section "Keys", defines the formats byte for byte. The server uses this to
 * read, check and pass on cards; seal.h uses it to seal and open messages. Pure: no I/O, no locks,
 * no clock of its own; any thread, each with its own objects. Names and rooms are UTF-8 of at most
 * NAME_MAX_BYTES, as they stand in Joined and OnlineUsers; the main room is "".
 */
#ifndef E2E_H
#define E2E_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/evp.h>

#include "lib/json/json.h"
#include "lib/json/json_writer.h"
#include "lib/name.h"

#define E2E_ENC "hpke-v2" /* the encodings that we understand: our KeyEnc */

enum {
    E2E_KEY_BYTES = 32,       /* of every key: public or private, identity or session */
    E2E_SIGNATURE_BYTES = 64, /* Ed25519 */
    E2E_NONCE_BYTES = 32,     /* of Hello */
    E2E_HASH_BYTES = 8,       /* keyhash: the first bytes of SHA-256 of a public session key */
    E2E_SEED_BYTES = 32,      /* the seed from which identity keys are derived */
    E2E_ORIGIN_MAX = 269,     /* bytes of KeyOrigin, without a NUL; a longer one is a form error */
    E2E_ENC_MAX = 64,         /* bytes of KeyEnc, without a NUL; a longer one is a form error */
    E2E_SAFETY_MAX = 12 * 6,  /* a safety number, with its spaces and its NUL */
    E2E_SCRIPT_MAX = 2048,    /* bytes that are signed or bound, without a ciphertext */

    E2E_FORMER_MAX = 8,                /* former session keys; one more wipes the oldest at once */
    E2E_LIVE_MAX = 1 + E2E_FORMER_MAX, /* session keys that open messages at one time */
    E2E_HAD_MAX = 256,     /* own keyhashes; one more replaces the oldest: gaps go unnoticed */
    E2E_RENEW_OPENED = 50, /* messages after which a session key is replaced */
    E2E_RENEW_USED_MS = 3600000,  /* age at which one that opened a message is replaced: 1 h */
    E2E_RENEW_AGE_MS = 43200000,  /* age at which any is replaced: 12 h */
    E2E_RENEW_LEAST_MS = 10000,   /* a younger one is not replaced by those three rules */
    E2E_FORMER_MS = 60000,        /* how long a replaced session key still opens messages */
    E2E_SIGNED_MS = 86400000,     /* KeyExpires of a new card lies so far ahead: 24 h */
    E2E_AHEAD_MAX_MS = 172800000, /* KeyExpires of an accepted card lies at most so far: 48 h */
};

/* A point in time. Durations are measured on the steady clock, which nobody sets. */
struct e2e_now {
    uint64_t wall;  /* milliseconds since 1970, by the system's clock */
    int64_t steady; /* milliseconds, as net_now() gives them */
};

/* ---- Keys ---- */

enum e2e_kind {
    E2E_IDENTITY, /* Ed25519 (RFC 8032): one per server, room and folded name; stored */
    E2E_SESSION,  /* X25519 (RFC 7748): replaced often; never leaves memory */
};

/* Makes a key pair. The caller frees it with EVP_PKEY_free. NULL when memory or randomness is out.
 */
EVP_PKEY *e2e_key_new(enum e2e_kind kind);

/* The same from a private key of E2E_KEY_BYTES. */
EVP_PKEY *e2e_key_from(enum e2e_kind kind, const unsigned char *private);

/* Writes the public half, E2E_KEY_BYTES. Returns false when OpenSSL has no memory for it. */
bool e2e_key_public(const EVP_PKEY *key, unsigned char *public);

/* Whether E2E_KEY_BYTES can be a public key of that kind: canonical (below 2^255-19; for a session
 * key the top bit is clear, too) and not of small order. Every function here that reads public keys
 * checks this. Whether the bytes are a point of the curve is checked when the key is used. */
bool e2e_public_ok(enum e2e_kind kind, const unsigned char *public);

/* keyhash: the name of a session key inside sealed messages. */
void e2e_hash(const unsigned char public[E2E_KEY_BYTES], unsigned char hash[E2E_HASH_BYTES]);

/* Derives the identity key for one server, room and folded name (name_fold) from E2E_SEED_BYTES
 * with HKDF-SHA256. `server` is the caller's name for the server. The caller frees it with
 * EVP_PKEY_free. NULL when the three texts have more than 2,042 bytes together, or memory is out.
 */
EVP_PKEY *e2e_identity_from_seed(const unsigned char *seed, const char *server, const char *room,
                                 const char *fold);

/* ---- The card: a member's published keys ---- */

/* The six fields that Join, PublishKeys, UserKeys and every sealed message carry. */
struct e2e_keys {
    unsigned char identity[E2E_KEY_BYTES];        /* IdentityKey */
    unsigned char session[E2E_KEY_BYTES];         /* SessionKey */
    uint64_t expires;                             /* KeyExpires: ms since 1970, 1..2^53-1 */
    char origin[E2E_ORIGIN_MAX + 1];              /* KeyOrigin: "https://host:port" */
    char enc[E2E_ENC_MAX + 1];                    /* KeyEnc: "hpke-v2" */
    unsigned char signature[E2E_SIGNATURE_BYTES]; /* KeySignature */
};

/* Result of looking for the fields in a message. */
enum e2e_found {
    E2E_FOUND_NONE, /* all are absent */
    E2E_FOUND_SOME, /* some are absent or have the wrong JSON type: `missing_field` */
    E2E_FOUND_BAD,  /* one has the wrong form or is a bad key: `bad_proof`, `malformed` */
    E2E_FOUND_ALL,
};

/* Reads the six fields, and checks their form and e2e_public_ok of both keys. Does not check the
 * signature and the date. *keys is complete only with E2E_FOUND_ALL. */
enum e2e_found e2e_read_keys(const struct json_object *message, struct e2e_keys *keys);

/* Writes the six fields. */
void e2e_write_keys(struct json_writer *w, const struct e2e_keys *keys);

/* Whether KeySignature holds for `name` in `room`. */
bool e2e_keys_signed(const struct e2e_keys *keys, const char *room, const char *name);

/* Whether KeyExpires is not past, and at most E2E_AHEAD_MAX_MS ahead. The server does not call
 * this: it checks no clock. */
bool e2e_keys_fresh(const struct e2e_keys *keys, uint64_t wall);

/* Whether KeyEnc, a list of words, contains `enc`: "hpke-v2". */
bool e2e_keys_understand(const struct e2e_keys *keys, const char *enc);

/* ---- Joining ---- */

/* The claim of a Join. */
struct e2e_claim {
    const char *room, *name;                  /* borrowed */
    const unsigned char *nonce;               /* E2E_NONCE_BYTES of Hello; borrowed */
    struct e2e_keys keys;                     /* the card */
    unsigned char proof[E2E_SIGNATURE_BYTES]; /* Proof */
};

/* Reads the seven fields of a Join into claim->keys and claim->proof. */
enum e2e_found e2e_read_claim(const struct json_object *join, struct e2e_claim *claim);

/* Whether both Proof and KeySignature are valid. Does not check that keys.origin is the server's.
 */
bool e2e_claim_holds(const struct e2e_claim *claim);

/* ---- The session keys of a client ---- */

/* The place where a client is a member. */
struct e2e_place {
    const char *origin; /* of the server, as it was dialled: see KeyOrigin */
    const char *room, *name;
};

struct e2e_secret {
    EVP_PKEY *key; /* NULL: none */
    unsigned char public[E2E_KEY_BYTES];
    unsigned char hash[E2E_HASH_BYTES]; /* e2e_hash of it */
    int64_t until;                      /* of a former key: until when it opens messages (steady) */
};

/* Session keys of one client; belongs to one thread. Zeroed it is empty, and so after
 * e2e_session_fini. */
struct e2e_session {
    EVP_PKEY *identity;                       /* owns a reference */
    struct e2e_secret present;                /* its public half is keys.session */
    struct e2e_secret former[E2E_FORMER_MAX]; /* the oldest first */
    size_t former_count;
    int64_t made_at; /* when `present` was made (steady) */
    unsigned opened; /* messages opened with `present` */
    char room[NAME_MAX_BYTES + 1], name[NAME_MAX_BYTES + 1];
    struct e2e_keys keys;                           /* the card that we publish */
    unsigned char had[E2E_HAD_MAX][E2E_HASH_BYTES]; /* own session keys since the start; a ring */
    size_t had_count;                               /* number of keyhashes ever put into it */
};

/* Must be called for each new connection, before Join. Makes a session key and signs its card.
 * Keeps the former session keys and the list of past ones while identity, room and name stay the
 * same; otherwise wipes them first. Takes a reference of `identity`; the texts of `place` must not
 * lie in *session. Returns false, with an empty session, when a text of `place` is too long or has
 * the wrong form, or memory is out. */
bool e2e_session_open(struct e2e_session *session, EVP_PKEY *identity,
                      const struct e2e_place *place, struct e2e_now now);

/* Wipes all of it. */
void e2e_session_fini(struct e2e_session *session);

/* Whether the session key must be replaced now. It must if it opened E2E_RENEW_OPENED messages, or
 * is older than E2E_RENEW_USED_MS and opened one, or is older than E2E_RENEW_AGE_MS on either clock
 * (or its KeyExpires lies more than 36 h ahead, because the clock was set back). A key younger than
 * E2E_RENEW_LEAST_MS is not replaced. */
bool e2e_session_due(const struct e2e_session *session, struct e2e_now now);

/* Replaces the session key on an open connection; the caller then sends PublishKeys. Also called at
 * once when continuity_judge finds its streams full. The former key opens messages for
 * E2E_FORMER_MS more. Returns false, with nothing changed, when that failed. */
bool e2e_session_renew(struct e2e_session *session, struct e2e_now now);

/* Wipes the former session keys whose time is over. Must be called at least every few seconds while
 * former_count is not 0; continuity_retire must be called after it. */
void e2e_session_expire(struct e2e_session *session, struct e2e_now now);

/* The own session key with that public half, if it still opens messages: the current one, or a
 * former one that has not expired. NULL if there is none. Borrowed until the session is changed. */
const struct e2e_secret *e2e_session_find(const struct e2e_session *session,
                                          const unsigned char public[E2E_KEY_BYTES],
                                          struct e2e_now now);

/* The keyhashes of all session keys that are not wiped. Returns their count. */
size_t e2e_session_live(const struct e2e_session *session,
                        unsigned char hashes[E2E_LIVE_MAX][E2E_HASH_BYTES]);

/* Whether a keyhash belongs to a current or past session key since the start. */
bool e2e_session_had(const struct e2e_session *session, const unsigned char hash[E2E_HASH_BYTES]);

/* The seven fields of a Join as JSON, without braces. `nonce` is the string in Hello. Returns a
 * string that the caller frees with free(), or NULL when the nonce is invalid, the session is
 * empty, or memory is out. */
char *e2e_write_claim(const struct e2e_session *session, const char *nonce);

/* ---- Parts that seal.c uses, too ---- */

/* Bytes in the order in which they are signed or bound. If they are too many, `overflow` becomes
 * true and the caller must not sign. */
struct e2e_script {
    unsigned char bytes[E2E_SCRIPT_MAX];
    size_t len;
    bool overflow;
};
void e2e_put(struct e2e_script *script, const void *bytes, size_t len);

/* Appends bytes with their length before them, in two bytes; the same for a text without its NUL.
 */
void e2e_put_block(struct e2e_script *script, const void *bytes, size_t len);
void e2e_put_text(struct e2e_script *script, const char *text);

/* Appends a number as eight bytes, big-endian. */
void e2e_put_number(struct e2e_script *script, uint64_t number);

/* Signs `len` bytes with Ed25519. Returns false when memory is out. */
bool e2e_sign(EVP_PKEY *identity, const void *bytes, size_t len, unsigned char *signature);

/* Whether a signature is valid. False, too, for an identity key that is no point of the curve. */
bool e2e_is_signed(const unsigned char *identity, const void *bytes, size_t len,
                   const unsigned char *signature);

/* Reads a field of exactly `len` bytes (at most E2E_SIGNATURE_BYTES) in lower-case hexadecimal.
 * Returns false if it is absent or anything else. */
bool e2e_read_hex(const struct json_object *message, const char *name, unsigned char *out,
                  size_t len);

/* ---- Safety number ---- */

/* The number that two people compare, the same for both: 12 groups of 5 digits with spaces between
 * them. `out` has room for E2E_SAFETY_MAX bytes. Takes some 0.1 s, on purpose. Returns false when
 * memory is out. */
bool e2e_safety(const unsigned char *mine, const unsigned char *theirs, char *out);

#endif
