/* SPDX-License-Identifier: MIT
 *
 * post.h - what we said and do not yet know to have arrived.
 *
 * A letter is kept until the server has shown that it went out: a broadcast by coming back, a private
 * message by `Delivered`. After a lost connection those that were on their way go again. One thread.
 */
#ifndef POST_H
#define POST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "json_msg.h"

enum {
    POST_MAX = 256, /* letters that wait or are on their way; one more is refused */
    POST_KEPT_MAX =
        64, /* delivered private ones, in case they cannot be read; then the oldest goes */
    POST_REF_MAX = 40,     /* a Ref, with its NUL */
    POST_HEARD_MAX = 1024, /* Refs of others that are remembered; then the oldest is forgotten */
};

enum letter_state {
    LETTER_WAITING, /* to be sent */
    LETTER_SENT,    /* on its way */
    LETTER_KEPT,    /* delivered; the receiver might still say that he cannot read it */
};

struct letter {
    struct letter *next;
    char ref[POST_REF_MAX]; /* unlike that of any other letter, here or elsewhere */
    char *to;               /* NULL: to the room */
    char *text;
    enum letter_state state;
    bool again;  /* it was sealed a second time already */
    bool sealed; /* went out encrypted */
};

struct post {
    struct letter *first;           /* in the order in which they were written */
    size_t open, kept;              /* not delivered; delivered */
    uint64_t number;                /* of the last Ref */
    char mark[17];                  /* what our Refs begin with */
    uint64_t heard[POST_HEARD_MAX]; /* hashes, a ring */
    size_t heard_count;
};

/* Readies an empty post. Returns false when the system gives no random numbers. */
bool post_init(struct post *post);
void post_fini(struct post *post);

/* Adds a letter; it copies both strings. NULL when there are POST_MAX, or memory is out. */
struct letter *post_add(struct post *post, const char *to, const char *text);

/* The letter with that Ref, or NULL. */
struct letter *post_find(const struct post *post, const char *ref);

/* It arrived: one to the room is freed, a private one is kept for a while. */
void post_delivered(struct post *post, struct letter *letter);

/* It will not arrive, or is of no use any more: it is freed. */
void post_drop(struct post *post, struct letter *letter);

/* A kept letter is to go once more, under another Ref. */
void post_once_more(struct post *post, struct letter *letter);

/* The connection is new: what was on its way waits again. */
void post_resend(struct post *post);

/* Notes a message that came; returns true if it had come before. Its sender did not know that it had
 * arrived when he lost his connection, and sent it again. Only a Ref of the kind made here can tell:
 * no client makes it twice. `from` is the sender's name (name.h has its bound). */
bool post_heard(struct post *post, const char *from, const struct json_object *in);

#endif
