/* SPDX-License-Identifier: MIT
 *
 * continuity_parts.h - shared by continuity.c and continuity_out.c; private to them.
 */
#ifndef CONTINUITY_PARTS_H
#define CONTINUITY_PARTS_H

#include "client/keys/continuity.h"

#define NOT_OWED INT64_MAX

/* A stream of theirs. */
struct continuity_in {
    struct seal_stream stream;
    uint64_t last;      /* the greatest opened Seq; 0: none, known only from `previous` */
    uint64_t mask;      /* bit i: last - 1 - i was also opened */
    uint64_t told;      /* gaps up to this Seq were reported */
    uint64_t used;      /* serial number of the last use */
    int64_t owed_since; /* since when a confirmation is owed for it, or NOT_OWED */
    bool live;          /* its own session key opens messages: it is never forgotten */
};

/* A stream of ours. */
struct continuity_out {
    struct seal_stream stream;
    uint64_t sent;             /* the last Seq */
    uint64_t final;            /* the greatest Seq that was confirmed or given up */
    struct seal_mark previous; /* the end of the stream before, for its messages */
};

enum text_state {
    TEXT_SENT,    /* waits to be confirmed */
    TEXT_AGAIN,   /* to be sent again: an event is pending */
    TEXT_HANDED,  /* the event was taken: the caller must send it */
    TEXT_ARRIVED, /* confirmed: an event is pending */
};

struct continuity_text {
    unsigned char id[SEAL_ID_BYTES];
    enum text_state state;
    struct seal_mark sendings[CONTINUITY_SEALED_MAX];
    unsigned sealed;          /* number of sendings: at least 1 */
    struct seal_stream stale; /* stream of the last stale_key */
};

/* Makes room for `more` elements of `size` bytes in an array; it doubles. Returns NULL, with the
 * array unchanged, when memory is out. */
void *continuity_room(void *array, size_t size, size_t count, size_t *cap, size_t more);

/* A stream of theirs, or NULL. */
struct continuity_in *continuity_find_in(const struct continuity_peer *peer,
                                         const struct seal_stream *stream);

/* A confirmation for it was sent. */
void continuity_pay(struct continuity_peer *peer, struct continuity_in *entry);

/* Notes a message's confirmations of our texts. */
void continuity_confirm(struct continuity_peer *peer, const struct seal_content *content);

/* Milliseconds until a text has an event. 0: now; INT64_MAX: not by time alone. */
int64_t continuity_text_wait(const struct continuity_peer *peer, const struct continuity_text *text,
                             int64_t now);

/* Takes that event. The text may be gone afterwards. */
enum continuity_kind continuity_take_text(struct continuity_peer *peer,
                                          struct continuity_text *text);

#endif
