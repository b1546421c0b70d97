/* SPDX-License-Identifier: MIT
 *
 * unacked.h - our texts that are not confirmed yet, and a memory of received messages to detect
 * duplicates.
 *
 * A text to the room is kept until it comes back. A private one is kept until its receiver has
 * confirmed it, or, in plaintext, until the server has it. continuity.h decides when a sealed text
 * is sent again. Texts are wiped when they are freed. Pure except for randomness. One thread.
 */
#ifndef UNACKED_H
#define UNACKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "json_msg.h"
#include "client/keys/seal.h"

enum {
    UNACKED_MAX = 256,     /* texts that wait or are in flight; one more is refused */
    UNACKED_KEPT_MAX = 64, /* unconfirmed private texts; one more gives up the oldest */
    UNACKED_REF_MAX = 33,  /* a Ref: 32 hexadecimal digits, with a NUL */
    UNACKED_HEARD_MAX =
        1024, /* messages of others that are remembered; then the oldest is forgotten */
};

enum unacked_state {
    UNACKED_WAITING, /* to be sent, for the first time or again */
    UNACKED_SENT,    /* in flight: not confirmed by the server */
    UNACKED_KEPT,    /* went out, and waits for its receiver's confirmation */
};

struct unacked_message {
    struct unacked_message *next;
    char ref[UNACKED_REF_MAX]; /* of the last sending: random, new for each */
    char *to;                  /* NULL: to the room */
    char *fold;                /* its conversation; NULL: to the room */
    char *text;
    enum unacked_state state;
    unsigned char id[SEAL_ID_BYTES];       /* random; the same each time it is sealed */
    uint64_t written;                      /* milliseconds since 1970 */
    bool sealed;                           /* it was sealed, only ever to `identity` */
    unsigned char identity[E2E_KEY_BYTES]; /* valid if `sealed` */
    bool plain;                            /* may be sent in plaintext, if there are no keys */
    bool shown;                            /* was shown as sent: the server had it */
    bool parked;                           /* to be sent again once there are keys */
    bool late;                             /* was reported as not confirmed */
    bool over;                             /* not sent again, but may still be confirmed */
    int64_t late_at;                       /* net_now at which it becomes late; 0: never */
};

struct unacked {
    struct unacked_message *first;     /* in the order of writing */
    size_t open, kept;                 /* UNACKED_WAITING and UNACKED_SENT; UNACKED_KEPT */
    uint64_t heard[UNACKED_HEARD_MAX]; /* hashes, a ring */
    size_t heard_count;
};

/* Zeroed to begin with. */
void unacked_fini(struct unacked *unacked);

/* Arguments of unacked_add, which copies all of them. */
struct unacked_text {
    const char *to, *fold; /* NULL: to the room */
    const char *text;
    uint64_t written; /* milliseconds since 1970 */
};

/* Adds a text. NULL when there are UNACKED_MAX, or memory or random numbers are out. */
struct unacked_message *unacked_add(struct unacked *unacked, const struct unacked_text *text);

/* The text that was last sent with that Ref, or that has that id; NULL if there is none. */
struct unacked_message *unacked_find(const struct unacked *unacked, const char *ref);
struct unacked_message *unacked_find_id(const struct unacked *unacked,
                                        const unsigned char id[SEAL_ID_BYTES]);

/* Makes a new Ref for the next sending. Returns false when random numbers are out. */
bool unacked_new_ref(struct unacked_message *message);

/* Keeps a text until it is confirmed: the server has it, or it is not sent again. */
void unacked_keep(struct unacked *unacked, struct unacked_message *message);

/* Marks a text to be sent, for the first time or again. */
void unacked_again(struct unacked *unacked, struct unacked_message *message);

/* If more than UNACKED_KEPT_MAX are kept: the oldest of them that is `over`, or else the oldest;
 * the caller gives it up. Else NULL. */
struct unacked_message *unacked_overdue(const struct unacked *unacked);

/* Wipes and frees a text that arrived or is not needed any more. */
void unacked_drop(struct unacked *unacked, struct unacked_message *message);

/* Notes a received Broadcast or plaintext PrivateMessage. Returns true if the same message was
 * received before: its sender lost the connection before the confirmation, and sent it again. Only
 * a Ref of 32 hexadecimal digits counts, because clients never make the same one twice. The text
 * must be equal, too, so that nobody can use up another member's Ref. `from` is the sender's name
 * (bounded as in name.h). */
bool unacked_heard(struct unacked *unacked, const char *from, const struct json_object *in);

#endif
