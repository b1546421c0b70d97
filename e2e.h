/* SPDX-License-Identifier: MIT
 *
 * e2e.h - private messages that the server cannot read: keys, proofs, sealing, opening.
 *
 * docs/PROTOCOL.md, section "Keys", is what this follows, byte for byte. The server checks proofs
 * with it and hands keys on; the terminal client does all the rest.
 * Pure: no I/O, no locks; any thread, each with objects of its own. Names and rooms are UTF-8 of
 * NAME_MAX_BYTES at most, as they stand in Joined and OnlineUsers; the main room is "".
 */
#ifndef E2E_H
#define E2E_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/evp.h>

#include "json_msg.h"
#include "name.h"

enum {
    E2E_KEY_BYTES = 32,       /* of every key: public or private, identity or session */
    E2E_SIGNATURE_BYTES = 64, /* Ed25519 */
    E2E_NONCE_BYTES = 32,     /* of Hello */
    E2E_SAFETY_MAX = 12 * 6,  /* a safety number, with its spaces and its NUL */
    E2E_SESSIONS_MAX = 4096,  /* of one sender, to one session of ours; a message from one more is
                                 taken for a replay (a new connection of ours starts anew) */
};

/* ---- Hexadecimal ---- */

/* Writes `len` bytes as 2 * len lower-case digits and a NUL. */
void e2e_hex(char *out, const unsigned char *bytes, size_t len);

/* Reads exactly `len` bytes from exactly 2 * len lower-case digits. Returns false if `hex` is not
 * that. */
bool e2e_unhex(unsigned char *out, size_t len, const char *hex);

/* ---- Keys ---- */

enum e2e_kind {
    E2E_IDENTITY, /* Ed25519 (RFC 8032): who somebody is; kept */
    E2E_SESSION,  /* X25519 (RFC 7748): one connection; never leaves memory */
};

/* Makes a key pair. Freed with EVP_PKEY_free. NULL when that failed (no memory, no randomness). */
EVP_PKEY *e2e_key_new(enum e2e_kind kind);

/* The same from a private key of E2E_KEY_BYTES, and back. An identity key that was read from PEM by
 * others is good here if e2e_key_is says so. */
EVP_PKEY *e2e_key_from(enum e2e_kind kind, const unsigned char *private);
bool e2e_key_private(const EVP_PKEY *key, unsigned char *private);
bool e2e_key_public(const EVP_PKEY *key, unsigned char *public);
bool e2e_key_is(const EVP_PKEY *key, enum e2e_kind kind);

/* What a member publishes: in Join, in UserKeys, and with each private message. */
struct e2e_keys {
    unsigned char identity[E2E_KEY_BYTES];        /* IdentityKey */
    unsigned char session[E2E_KEY_BYTES];         /* SessionKey */
    unsigned char signature[E2E_SIGNATURE_BYTES]; /* KeySignature */
};

/* What was found of the three fields in a message. */
enum e2e_found {
    E2E_FOUND_NONE, /* they are absent */
    E2E_FOUND_SOME, /* but not all, or one is no string */
    E2E_FOUND_BAD,  /* one is not lower-case hex of the right length */
    E2E_FOUND_ALL,
};

/* Reads IdentityKey, SessionKey and KeySignature of a UserKeys (or any other message) without
 * looking into them: e2e_keys_signed does. */
enum e2e_found e2e_read_keys(const struct json_object *message, struct e2e_keys *keys);

/* Whether KeySignature says that the session key is that of the identity, as `name` in `room`. To be
 * asked before a message is sealed for keys that the server handed out. */
bool e2e_keys_signed(const struct e2e_keys *keys, const char *room, const char *name);

/* ---- Joining ---- */

/* The Proof that whoever joins holds the identity key; `nonce` is that of Hello, decoded. */
bool e2e_prove(EVP_PKEY *identity, const unsigned char *nonce, const char *room, const char *name,
               unsigned char *proof);

/* What a Join claims: who, where, and with which proof. */
struct e2e_claim {
    const char *room, *name;
    const unsigned char *nonce; /* E2E_NONCE_BYTES, as Hello gave it */
    struct e2e_keys keys;
    unsigned char proof[E2E_SIGNATURE_BYTES];
};

/* Reads the four fields of a Join into claim->keys and claim->proof. */
enum e2e_found e2e_read_claim(const struct json_object *join, struct e2e_claim *claim);

/* Whether the proof holds. */
bool e2e_claim_holds(const struct e2e_claim *claim);

/* ---- One connection of ours ---- */

/* Belongs to one thread. A new one is made for each connection, with a session key of its own. */
struct e2e_session {
    EVP_PKEY *identity; /* borrowed */
    EVP_PKEY *secret;   /* the session key */
    char room[NAME_MAX_BYTES + 1], name[NAME_MAX_BYTES + 1];
    struct e2e_keys keys; /* what we publish */
};

/* Makes the session key and signs it. `identity` outlives the session. Returns false when that
 * failed; e2e_session_fini is due in both cases. */
bool e2e_session_init(struct e2e_session *session, EVP_PKEY *identity, const char *room,
                      const char *name);
void e2e_session_fini(struct e2e_session *session);

/* The four fields of a Join as JSON, without braces: `"IdentityKey":"...",...,"Proof":"..."`. `nonce`
 * is the string in Hello. Returns a string that the caller frees with free(), or NULL when the nonce
 * is none or memory is out. */
char *e2e_write_claim(const struct e2e_session *session, const char *nonce);

/* ---- Private messages ---- */

/* A sealed message, as it travels. `text` is freed with e2e_message_fini. */
struct e2e_message {
    uint64_t seq;                              /* Seq: 1, 2, 3, ... for each pair of session keys */
    struct e2e_keys from;                      /* IdentityKey, SessionKey, KeySignature */
    unsigned char to[E2E_KEY_BYTES];           /* ToKey */
    unsigned char encapsulated[E2E_KEY_BYTES]; /* EncKey */
    unsigned char signature[E2E_SIGNATURE_BYTES]; /* Sig */
    unsigned char *text;                          /* the ciphertext */
    size_t len;
};
void e2e_message_fini(struct e2e_message *message);

/* To whom we send. Zeroed, then `name` and `keys` filled in; when UserKeys brings keys with another
 * session key, e2e_peer_update counts anew. */
struct e2e_peer {
    char name[NAME_MAX_BYTES + 1]; /* as UserKeys spells it */
    struct e2e_keys keys;
    uint64_t sent; /* Seq of the last message to this session key */
};
void e2e_peer_update(struct e2e_peer *peer, const struct e2e_keys *keys);

/* Seals `len` bytes of UTF-8 with the peer's next Seq and signs. Returns false when that failed
 * (memory, or a session key of low order); e2e_message_fini is due in both cases. One that is not
 * sent after all (it is too long, say) is taken back with peer->sent--, or its receiver is told that
 * a message is missing. */
bool e2e_seal(struct e2e_message *message, const struct e2e_session *session, struct e2e_peer *peer,
              const char *text, size_t len);

/* The whole PrivateMessage as JSON for the wire. `ref` is a plain string, or NULL. Returns a string
 * that the caller frees with free(), or NULL when memory is out. Compare *len with MaxMessageBytes. */
char *e2e_write_message(const struct e2e_message *message, const char *target, const char *ref,
                        size_t *len);

/* What became of a received message, in the order in which it is looked at. From E2E_KEY_CHANGED on
 * the signatures are good: an identity that was not known yet is to be remembered then. */
enum e2e_verdict {
    E2E_MALFORMED,     /* a field is missing or is not what it should be */
    E2E_STALE_KEY,     /* sealed to another session key than ours */
    E2E_BAD_SIGNATURE, /* KeySignature or Sig does not hold for this room and these names */
    E2E_KEY_CHANGED,   /* signed by another identity than the one remembered */
    E2E_REPLAYED,      /* its Seq is not greater than the last one */
    E2E_CANNOT_OPEN,   /* HPKE, the padding or the UTF-8 is wrong, or memory is out */
    E2E_OPENED,
};

/* The Code of a notice: "malformed", "stale_key", ...; "opened" for E2E_OPENED. A constant. */
const char *e2e_code(enum e2e_verdict verdict);

/* Whether a PrivateMessage claims to be encrypted (it has a field that only those have), so that its
 * `text` is never to be shown as it is. */
bool e2e_is_sealed(const struct json_object *message);

/* Step 1, the shape. Returns false if it is malformed; e2e_message_fini is due in both cases. */
bool e2e_read_message(const struct json_object *in, struct e2e_message *message);

/* What was accepted from one sender (one name) in one session of ours. Zeroed to begin with, and
 * again for each new session of ours. */
struct e2e_seen {
    struct e2e_seen_session *sessions;
    size_t count, cap;
};
void e2e_seen_fini(struct e2e_seen *seen);

/* From whom a message came, and what we know of him. */
struct e2e_sender {
    const char *name;              /* SrcUser, as written */
    const unsigned char *identity; /* the one remembered for him in this room; NULL: none yet */
    struct e2e_seen *seen;
};

/* What was in a message. */
struct e2e_opened {
    char *text;       /* UTF-8 (it may hold U+0000) and a NUL; the caller frees it with free() */
    size_t len;       /* without the NUL */
    uint64_t missing; /* messages before it that did not arrive */
};

/* Steps 2 to 6. Fills *opened with E2E_OPENED only, and only then is the message counted as seen: one
 * that waited for a changed key to be accepted is simply opened again. */
enum e2e_verdict e2e_open(const struct e2e_message *message, const struct e2e_session *session,
                          const struct e2e_sender *sender, struct e2e_opened *opened);

/* ---- Safety number ---- */

/* The number that two people compare: 12 groups of 5 digits with spaces between them, the same for
 * both. `out` has room for E2E_SAFETY_MAX bytes. Takes some 0.1 s, on purpose. Returns false when it
 * failed. */
bool e2e_safety(const unsigned char *mine, const unsigned char *theirs, char *out);

#endif
