/* SPDX-License-Identifier: MIT
 *
 * seal.h - one sealed private message ("hpke-v2"): sealing, opening, JSON.
 *
 * docs/PROTOCOL.md, section "Keys", has the format byte for byte. continuity.h decides on the next
 * Seq, gaps and confirmations. A receiver does, in this order:
 *
 *   seal_read           1     malformed
 *   seal_check          2-4   stale_key, bad_signature, expired
 *   (the caller)        5     key_changed: is message.from.identity accepted for this person?
 *   continuity_judge    6     replayed (or stale_key: see there)
 *   seal_open           7     cannot_open
 *   continuity_opened         counts it: what is missing, whether its text was shown before
 *
 * Pure: no I/O, no locks, no clock; any thread, each with its own objects. Plaintexts and keys are
 * wiped before their memory is freed.
 */
#ifndef SEAL_H
#define SEAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/crypto/e2e.h"
#include "json_msg.h"

enum {
    SEAL_ID_BYTES = 16,
    SEAL_HEAD_BYTES = 85, /* head of the plaintext, before the text */
    SEAL_PAD = 64,        /* the plaintext is padded to a multiple of this */
};

/* ---- The message on the wire ---- */

struct seal_message {
    uint64_t seq;                              /* Seq: 1, 2, 3, ... in each stream; 0: a receipt */
    struct e2e_keys from;                      /* the sender's card */
    unsigned char to[E2E_KEY_BYTES];           /* ToKey: the receiver's session key */
    unsigned char encapsulated[E2E_KEY_BYTES]; /* EncKey */
    unsigned char signature[E2E_SIGNATURE_BYTES]; /* Sig */
    unsigned char *text;                          /* the ciphertext; owned */
    size_t len;                                   /* its bytes */
};
void seal_message_fini(struct seal_message *message);

/* Whether a PrivateMessage claims to be sealed (it has a field that only sealed ones have). Its
 * `text` must then never be shown as it is. */
bool seal_is_sealed(const struct json_object *message);

/* Step 1: checks that all fields exist with the right form. Returns false if not (or memory is
 * out); seal_message_fini must be called in both cases. */
bool seal_read(const struct json_object *in, struct seal_message *message);

/* Writes the whole PrivateMessage as JSON. `ref` is a plain string, or NULL. Returns a string of
 * *len bytes that the caller frees with free(), or NULL when memory is out. Compare *len with
 * MaxMessageBytes. */
char *seal_write(const struct seal_message *message, const char *target, const char *ref,
                 size_t *len);

/* ---- The sealed content ---- */

/* The messages from one session key to another, as two keyhashes. */
struct seal_stream {
    unsigned char from[E2E_HASH_BYTES]; /* of the writer's session key; zero: no stream */
    unsigned char to[E2E_HASH_BYTES];   /* of the reader's session key */
};
bool seal_stream_is(const struct seal_stream *a, const struct seal_stream *b);
bool seal_stream_none(const struct seal_stream *stream);

/* The stream of a message. */
struct seal_stream seal_stream_of(const struct seal_message *message);

/* A position in a stream. */
struct seal_mark {
    struct seal_stream stream;
    uint64_t seq;
};

enum { SEAL_TEXT = 1, SEAL_RECEIPT = 2 }; /* `kind`; unknown ones are reserved */

struct seal_content {
    unsigned kind;                   /* 0..255 */
    unsigned char id[SEAL_ID_BYTES]; /* random; the same in every sending of a text */
    uint64_t sent_at;                /* time of writing by its writer's clock: ms since 1970 */
    struct seal_mark previous;       /* the end of the writer's stream before this one */
    struct seal_mark opened;         /* the greatest Seq that the writer opened, and its stream */
    uint64_t opened_mask;            /* bit i: opened.seq - 1 - i was also opened */
    char *text;                      /* UTF-8; it may hold U+0000 */
    size_t len;                      /* its bytes; 0 for a receipt */
};

/* Wipes and frees the text of a content from seal_open. */
void seal_content_fini(struct seal_content *content);

/* ---- Sealing ---- */

/* The receiver: a name as the server spells it, and a card that was checked (e2e_keys_signed,
 * e2e_keys_fresh, e2e_keys_understand), with an accepted identity. */
struct seal_peer {
    const char *name;
    const struct e2e_keys *card;
};

/* Seals and signs a content, with the Seq of continuity_prepare (0 for a receipt). Borrows the
 * text. Returns false when memory is out, the session key has small order, a name is too long, or
 * no receiver would accept the content. seal_message_fini must be called in both cases. */
bool seal_seal(struct seal_message *message, const struct e2e_session *session,
               const struct seal_peer *to, uint64_t seq, const struct seal_content *content);

/* ---- Opening ---- */

/* Result of the steps above, in their order. From SEAL_EXPIRED on the signatures are valid. */
enum seal_verdict {
    SEAL_MALFORMED,     /* a field is missing or has the wrong form */
    SEAL_STALE_KEY,     /* sealed to a session key that we do not have, or not any more */
    SEAL_BAD_SIGNATURE, /* KeySignature or Sig is invalid for this room and these names */
    SEAL_EXPIRED,       /* KeyExpires is past, or too far ahead */
    SEAL_KEY_CHANGED,   /* signed by an identity that is not accepted for this person */
    SEAL_REPLAYED,      /* its Seq is not greater than all accepted ones of its stream */
    SEAL_CANNOT_OPEN,   /* HPKE, the layout, the padding or the UTF-8 is wrong, or memory is out */
    SEAL_GOOD,          /* the requested step succeeded */
};

/* The Code of a notice: "malformed", "stale_key", ...; "good" for SEAL_GOOD. A constant. */
const char *seal_code(enum seal_verdict verdict);

/* Steps 2 to 4. `from` is SrcUser as it was written. */
enum seal_verdict seal_check(const struct seal_message *message, const struct e2e_session *session,
                             const char *from, struct e2e_now now);

/* Step 7, for a message that seal_check accepted. With SEAL_GOOD, *content is filled in (its text
 * ends in a NUL), the caller frees it with seal_content_fini, and the message counts in
 * session->opened; else *content is empty. */
enum seal_verdict seal_open(const struct seal_message *message, struct e2e_session *session,
                            const char *from, struct seal_content *content);

#endif
