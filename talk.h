/* SPDX-License-Identifier: MIT
 *
 * talk.h - private conversations: whose key is whose, what may be sent to whom, what is opened.
 *
 * The rules that docs/PROTOCOL.md gives for encrypted private messages, without a wire and without a
 * screen: who calls sends what talk_seal writes and shows what talk_open says. One thread.
 */
#ifndef TALK_H
#define TALK_H

#include <stdbool.h>
#include <stddef.h>

#include "contacts.h"
#include "e2e.h"

enum {
    TALK_WAITING_MAX = 100, /* messages of one person that wait for a key; the next are lost */
    TALK_MAX = 4096,        /* people talked with; one more is refused */
};

enum talk_state {
    TALK_ASKING,    /* his keys are not here yet: sending waits for them */
    TALK_NONE,      /* he published none: sending needs an explicit choice */
    TALK_ENCRYPTED, /* his key is the one remembered */
    TALK_VERIFIED,  /* and was compared */
    TALK_CHANGED,   /* his key is another one: nothing is sent until it is accepted */
    TALK_FORGED,    /* what the server gave out as his keys fails its check: nothing is sent */
};

/* A message that waits until the key of its sender is accepted. */
struct talk_waiting {
    struct talk_waiting *next;
    size_t len;
    char json[];
};

struct talk {
    struct talk *next;
    char *fold; /* the name, folded: who it is */
    enum talk_state state;
    enum contacts_trust known; /* whether his key is remembered */
    bool asked;                /* GetKeys is on its way */
    bool plain;                /* plaintext was chosen for this conversation */
    bool compares;             /* his safety number is to be shown once the keys are here */
    struct e2e_peer peer;
    struct e2e_seen seen;
    unsigned char offered[E2E_KEY_BYTES]; /* TALK_CHANGED: the new identity key */
    struct talk_waiting *waiting, **waiting_end;
    size_t waiting_count;
};

struct talks {
    struct contacts *contacts; /* borrowed */
    char *server;              /* borrowed: under what it is remembered */
    struct e2e_session session;
    bool open; /* there is a session */
    struct talk *first;
    size_t count;
};

void talks_init(struct talks *talks, struct contacts *contacts, char *server);
void talks_fini(struct talks *talks);

/* A new connection: keys of its own; all that was known of others' sessions is forgotten. Returns
 * false when the keys could not be made. */
bool talks_begin(struct talks *talks, const char *room, const char *name);

/* The name in a field of a message, into `name` (NAME_MAX_BYTES + 1); false if there is none. */
bool talk_name(const struct json_object *in, const char *field, char *name);

/* The conversation with somebody, in whatever spelling; a new one is in TALK_ASKING. NULL when the
 * name is none (name.h), there are TALK_MAX, or memory is out. */
struct talk *talk_with(struct talks *talks, const char *name);

/* Membership has changed: everybody's keys are to be asked for again. */
void talks_expire(struct talks *talks);

/* He has left: what was chosen for him holds no more. */
void talk_left(struct talk *talk);

/* A UserKeys came. Returns whose it is, with its state decided (a key that was not known is
 * remembered), or NULL when it names nobody. `error` (CONTACTS_ERROR_MAX) is "" or says why it could
 * not be remembered. */
struct talk *talk_keys(struct talks *talks, const struct json_object *in, char *error);

/* Seals a text for a conversation that is encrypted or verified. Returns the whole message (*len
 * bytes), which the caller frees with free(), or NULL when that failed. */
char *talk_seal(struct talks *talks, struct talk *talk, const char *text, const char *ref,
                size_t *len);

/* Opens a sealed PrivateMessage. With E2E_OPENED, *opened is filled in; with E2E_KEY_CHANGED the
 * conversation is changed, and the message ought to wait. `error` as above. */
enum e2e_verdict talk_open(struct talks *talks, struct talk *talk, const struct json_object *in,
                           struct e2e_opened *opened, char *error);

/* Lets a message wait for talk_accept. Returns false when there is no room for it. */
bool talk_wait(struct talk *talk, const char *json, size_t len);

/* Takes the first one that waits, or NULL. The caller frees it with free(). */
struct talk_waiting *talk_take(struct talk *talk);

/* Accepts the key that was offered. Returns 0, or -1 and a complaint in `error`
 * (CONTACTS_ERROR_MAX). */
int talk_accept(struct talks *talks, struct talk *talk, char *error);

/* The safety number with the key that is known, or in TALK_CHANGED with the one that is offered.
 * `out` has room for E2E_SAFETY_MAX bytes. `key` gets the key. Returns false if there is none. */
bool talk_safety(struct talks *talks, struct talk *talk, unsigned char key[E2E_KEY_BYTES],
                 char *out);

/* Marks the key whose number was compared. Returns 0, or -1 and a complaint as above: among others if
 * the server has brought another key since then. */
int talk_verify(struct talks *talks, struct talk *talk, const unsigned char key[E2E_KEY_BYTES],
                char *error);

#endif
