/* SPDX-License-Identifier: MIT
 *
 * mail.h - what is said, to the room and to one person, and what one person says to us.
 *
 * Letters go out when they can: sealed if they are private, and never in plaintext without having
 * been told so. What fails is said, and noted. One thread.
 */
#ifndef MAIL_H
#define MAIL_H

#include <stdbool.h>
#include <stddef.h>

#include "dial.h"
#include "json_msg.h"
#include "post.h"
#include "show.h"
#include "talk.h"

struct mail {
    struct dial *dial; /* borrowed */
    struct show *show; /* borrowed */
    struct post post;
    struct talks talks;
    bool inside;                           /* we are in, and all that came before has been heard */
    size_t max_message;                    /* bytes of the longest message that the server takes */
    bool failed;                           /* a letter will not be delivered */
    bool heard;                            /* a private message was read */
    struct talk *comparing;                /* whose safety number is shown: a "yes" would mark it */
    unsigned char compared[E2E_KEY_BYTES]; /* the key that this number was made of */
};

/* Readies it. Returns 0, or -1 when the system gives no random numbers; mail_fini is due in both
 * cases. `server` and `contacts` as in talks_init; all pointers outlive it. */
int mail_init(struct mail *mail, struct dial *dial, struct show *show, struct contacts *contacts,
              char *server);
void mail_fini(struct mail *mail);

/* Sends a finished message and frees it; says so if it is NULL for want of memory. */
void mail_send(struct mail *mail, char *json);

/* Takes a letter to the room (`to` NULL) or to one person, and sends it as soon as that can be done.
 * Returns false after having said why not. */
bool mail_say(struct mail *mail, const char *to, const char *text);

/* Sends the letters that wait and can be sent. */
void mail_flush(struct mail *mail);

/* After coming in, when all that was missed has been heard: what was on its way and did not come back
 * goes again, but for plaintext to one person, who could hear it twice. */
void mail_settle(struct mail *mail);

/* The server closed because a message was too long, the oldest on its way: it would again. */
void mail_too_long(struct mail *mail);

/* A PrivateMessage came. */
void mail_private(struct mail *mail, const struct json_object *in);

/* UserKeys, Delivered or Error came. The last returns false if it is not about a letter. */
void mail_keys(struct mail *mail, const struct json_object *in);
void mail_delivered(struct mail *mail, const struct json_object *in);
bool mail_error(struct mail *mail, const struct json_object *in, const char *why);

/* Shows the safety number with somebody, once his keys are here. */
void mail_compare(struct mail *mail, struct talk *talk);

/* Looks again at what waited for a key that is accepted now. */
void mail_accepted(struct mail *mail, struct talk *talk);

#endif
