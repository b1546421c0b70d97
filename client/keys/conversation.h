/* SPDX-License-Identifier: MIT
 *
 * conversation.h - private conversations: decides whose key is trusted, what may be sent to whom,
 * and what is opened.
 *
 * Implements the rules of docs/PROTOCOL.md, section "Keys", without I/O: the caller sends the
 * output of conversation_seal and shows the result of conversation_open. Sequence numbers and
 * confirmations are in continuity.h. One thread. A complaint is a text in `error`, which has room
 * for KEYSTORE_ERROR_MAX bytes.
 */
#ifndef CONVERSATION_H
#define CONVERSATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/keys/keystore.h"
#include "client/keys/continuity.h"
#include "lib/crypto/e2e.h"
#include "client/keys/seal.h"

/* Bounds; those in bytes are of messages that wait for a key. */
enum {
    CONVERSATION_MAX = 1024,                   /* one more forgets the one that was idle longest */
    CONVERSATION_WAITING_BYTES = 1 << 20,      /* bytes of one person; more is refused */
    CONVERSATION_WAITING_ALL_BYTES = 16 << 20, /* bytes of all people; more is refused */
};

enum conversation_state {
    CONVERSATION_ASKING,    /* the keys were requested: sending waits for them */
    CONVERSATION_NONE,      /* no keys were published: sending needs an explicit choice */
    CONVERSATION_ENCRYPTED, /* the key is accepted */
    CONVERSATION_VERIFIED,  /* the key is accepted and was compared */
    CONVERSATION_CHANGED,   /* the key is not accepted: nothing is sent until it is */
    CONVERSATION_FORGED,    /* the keys that the server sent fail their check: nothing is sent */
    CONVERSATION_EXPIRED,   /* the keys are not valid now, by our clock: nothing is sent */
    CONVERSATION_FOREIGN,   /* the keys are for an unknown encoding: nothing is sent */
    CONVERSATION_CROWDED,   /* CONTINUITY_PEERS_MAX people write at present: nothing is sent */
};

/* A message that waits until its sender's key is accepted. */
struct conversation_waiting {
    struct conversation_waiting *next;
    size_t len;
    char json[];
};

struct conversation {
    struct conversation *next;
    char *fold;                    /* the folded name: identifies the person */
    char name[NAME_MAX_BYTES + 1]; /* the last spelling of the name */
    enum conversation_state state;
    enum keystore_trust known;             /* the best trust of any key (keystore_best) */
    unsigned char identity[E2E_KEY_BYTES]; /* the key in use, if there is one */
    unsigned char offered[E2E_KEY_BYTES];  /* the new identity key, if `offers` */
    bool offers;                           /* the offer is open: CONVERSATION_CHANGED */
    bool announced;                        /* the person saw `announced_key` while it was offered */
    unsigned char announced_key[E2E_KEY_BYTES];
    bool asked;            /* GetKeys was sent */
    bool wants_keys;       /* GetKeys must be sent */
    bool plain;            /* plaintext was chosen for this conversation */
    int64_t compare_until; /* until when arriving keys show the safety number; 0: not */
    bool compared;         /* the safety number is shown and waits for an answer */
    size_t texts;          /* our texts that wait or are unconfirmed */
    uint64_t used;         /* serial number of the last use */
    uint64_t held;         /* for private_messages.c: last flush in which a text had to wait */
    struct conversation_waiting *waiting, **waiting_end;
    size_t waiting_count, waiting_bytes;
};

struct conversations {
    struct keystore *keystore;     /* borrowed */
    const char *server;            /* borrowed: the server's known name (keystore_server_name) */
    char room[NAME_MAX_BYTES + 1]; /* our room */
    unsigned char identity[E2E_KEY_BYTES]; /* our key there, since conversations_begin */
    bool open;                             /* `session` holds our keys there */
    struct e2e_session session;
    struct continuity continuity;
    struct conversation *first;
    size_t count;
    uint64_t serial;
    size_t waiting_bytes; /* of all conversations together */
};

void conversations_init(struct conversations *conversations, struct keystore *keystore,
                        const char *server);
void conversations_fini(struct conversations *conversations);

/* Begins a connection to `place` with a new session key; all keys of others must be requested
 * again. If our identity there has changed, all sequence numbers and confirmations are forgotten.
 * Returns false, with no keys, when that failed. */
bool conversations_begin(struct conversations *conversations, const struct e2e_place *place,
                         struct e2e_now now);

/* The connection goes on without our keys. */
void conversations_close(struct conversations *conversations);

/* All may be others by now: all keys of others must be requested again. */
void conversations_expire(struct conversations *conversations);

/* This person may have other keys by now: they must be requested again. */
void conversation_expire(struct conversation *conversation);

/* Wipes expired session keys. Must be called every few seconds. */
void conversations_tidy(struct conversations *conversations, struct e2e_now now);

/* Reads the name in a field of a message into `name` (NAME_MAX_BYTES + 1). Returns false if there
 * is none. */
bool conversation_name(const struct json_object *in, const char *field, char *name);

/* ---- Conversations ---- */

/* The conversation with a person, in any spelling (conversation_folded: already folded); NULL if
 * there is none. */
struct conversation *conversation_find(const struct conversations *conversations, const char *name);
struct conversation *conversation_folded(const struct conversations *conversations,
                                         const char *fold);

/* Whether one more can begin: there are fewer than CONVERSATION_MAX, or one can be forgotten. That
 * is one without texts of ours, waiting messages, a choice of plaintext, or a requested safety
 * number. */
bool conversation_can_begin(const struct conversations *conversations);

/* Finds or begins the conversation with a person; a new one is in CONVERSATION_ASKING. If the user
 * wants it (`wanted`), a conversation in which only messages of others wait can be forgotten, too.
 * NULL when the name is invalid (name.h), there is no room, or memory is out. */
struct conversation *conversation_with(struct conversations *conversations, const char *name,
                                       bool wanted);

/* The person has left, or the connection is gone: cancels the choices for this conversation. */
void conversation_left(struct conversation *conversation);

/* The trust in the person with a name; there need not be a conversation. */
enum keystore_trust conversation_known(struct conversations *conversations, const char *name);

/* ---- Keys ---- */

/* Handles UserKeys. Returns the person's conversation, with its state updated (a person's first key
 * is stored), or NULL when it was not requested. *news: a key is offered that was not offered
 * before. `error` is "" or says why a key could not be stored. */
struct conversation *conversation_keys(struct conversations *conversations,
                                       const struct json_object *in, struct e2e_now now, bool *news,
                                       char *error);

/* Updates the state by an identity key whose card was checked. A person's first key is stored, an
 * accepted key is used from now on, any other is offered. Returns whether it is offered and was not
 * before. `error` as above. */
bool conversation_judge(struct conversations *conversations, struct conversation *conversation,
                        const unsigned char *key, char *error);

/* Notes that the person sees the offered key (`key` NULL), or one whose number is shown. If the
 * offered key replaces an announced one, being offered does not announce it, because the person may
 * be typing the answer to the former one. Returns whether the offered key is announced now. */
bool conversation_announce(struct conversation *conversation, const unsigned char *key);
bool conversation_is_announced(const struct conversation *conversation);

/* Accepts the offered key, in addition to those accepted before. Returns 0, or -1 and a complaint.
 */
int conversation_accept(struct conversations *conversations, struct conversation *conversation,
                        char *error);

/* Forgets all keys of a person, and the messages that wait for one. Returns the number of keys, or
 * -1 and a complaint. */
int conversation_forget(struct conversations *conversations, struct conversation *conversation,
                        char *error);

/* The safety number of the key in use, else of the offered one, else of the one accepted last.
 * `out` has room for E2E_SAFETY_MAX bytes; `key` gets the key. Returns false if there is none. */
bool conversation_safety(struct conversations *conversations, struct conversation *conversation,
                         unsigned char key[E2E_KEY_BYTES], char *out);

/* Marks the key whose number was compared. Returns 0, or -1 and a complaint, also if the server has
 * sent another key since then. */
int conversation_verify(struct conversations *conversations, struct conversation *conversation,
                        const unsigned char key[E2E_KEY_BYTES], char *error);

/* Keeps a message until conversation_accept. Returns false when there is no room for it. */
bool conversation_wait(struct conversations *conversations, struct conversation *conversation,
                       const char *json, size_t len);

/* Takes the first waiting message, or NULL. The caller frees it with free(). */
struct conversation_waiting *conversation_take(struct conversations *conversations,
                                               struct conversation *conversation);

/* ---- Messages (conversation_seal.c) ---- */

/* A text to be sealed. */
struct conversation_text {
    const unsigned char *id; /* SEAL_ID_BYTES */
    uint64_t written;
    const char *text;
};

/* A finished PrivateMessage. */
struct conversation_sealed {
    char *json; /* the caller frees it with free() */
    size_t len;
    struct seal_mark mark; /* for conversation_sent */
};

enum conversation_outcome {
    CONVERSATION_SEALED,   /* conversation_sent must be called if it is sent */
    CONVERSATION_OLD_KEYS, /* the receiver's card has expired: its keys must be requested */
    CONVERSATION_FAILED,   /* memory is out, or too many texts are unconfirmed */
};

/* Seals a text for an encrypted or verified conversation. */
enum conversation_outcome conversation_seal(struct conversations *conversations,
                                            struct conversation *conversation,
                                            const struct conversation_text *text, const char *ref,
                                            struct e2e_now now, struct conversation_sealed *sealed);

/* Notes that the last output of conversation_seal for this conversation was sent. */
void conversation_sent(struct conversations *conversations, struct conversation *conversation,
                       const struct conversation_text *text,
                       const struct conversation_sealed *sealed);

/* The receipt for continuity_event, as a whole PrivateMessage that the caller frees with free().
 * NULL when memory is out, or there are no keys any more. */
char *conversation_receipt(struct conversations *conversations,
                           const struct continuity_event *event, struct e2e_now now);

/* Result of opening a sealed message. */
struct conversation_found {
    enum seal_verdict verdict;         /* SEAL_GOOD: the rest is filled in */
    struct conversation *conversation; /* the sender's, if SEAL_GOOD or SEAL_KEY_CHANGED */
    bool verified;                     /* sealed by a key that was compared */
    bool news;                         /* SEAL_KEY_CHANGED: this key was not offered before */
    bool receipt;                      /* Seq is 0: gets no notice, and does not wait */
    bool output;                       /* a text that was not shown before */
    bool unknown;                      /* its kind is unknown */
    bool renewed;                      /* our session key was replaced: PublishKeys must be sent */
    bool crowded;     /* SEAL_CANNOT_OPEN, because there is no room for one more person */
    uint64_t missing; /* number of messages missing before it */
    struct seal_content content;
};

/* Opens a sealed PrivateMessage of `name`. With SEAL_KEY_CHANGED the conversation has changed, and
 * the caller should keep the message. conversation_found_fini must be called. `error` is "" or says
 * why a key could not be stored. */
void conversation_open(struct conversations *conversations, const char *name,
                       const struct json_object *in, struct e2e_now now,
                       struct conversation_found *found, char *error);
void conversation_found_fini(struct conversation_found *found);

#endif
