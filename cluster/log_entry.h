/* SPDX-License-Identifier: MIT
 *
 * log_entry.h - one entry of a room's log, as the engine sends it.
 *
 * engine.lua writes the entries. What an engine sends is untrusted, so everything is checked: which
 * fields there are and in which order, their form and their size. Pure: no locks, any thread.
 */
#ifndef LOG_ENTRY_H
#define LOG_ENTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cluster/redis_reply.h"
#include "cluster/sealing.h"
#include "lib/text.h"

enum {
    SEAT_LEN = 32,         /* hexadecimal digits of a seat or an epoch */
    SEAT_MAX = 33,         /* with a NUL */
    LOG_AT_MAX = 42,       /* "MS-NUMBER" of an entry, with its NUL */
    LOG_TAG_MAX = 64,      /* "KIND:SEAT:SEQ" of an entry, with its NUL */
    LOG_NAME_MAX = 2048,   /* bytes of a name, as engine_name_of makes it */
    LOG_CARD_MAX = 8192,   /* bytes of a member's card, not sealed */
    LOG_IDENTITY_MAX = 64, /* characters of an identity key as text */
};

enum log_kind {
    LOG_BROADCAST = 'b',
    LOG_JOIN = 'j',
    LOG_LEAVE = 'l',
    LOG_PRIVATE = 'p',
    LOG_REFUSAL = 'r',
    LOG_ANSWER = 'a',
    LOG_SEAT_OVER = 'x',
    LOG_EPOCH = 'e',
};

enum log_outcome { LOG_NAME_TAKEN, LOG_UNKNOWN_USER, LOG_DELIVERED, LOG_RECEIVER_BUSY };

/* Texts are borrowed from the reply. */
struct log_entry {
    enum log_kind kind;
    char at[LOG_AT_MAX];   /* its place in the stream, "MS-NUMBER" */
    uint64_t ms;           /* the MS of it: the engine's clock when it was written */
    uint64_t number;       /* consecutive in the room, for entries of all kinds */
    char seat[SEAT_MAX];   /* the seat that made the call */
    uint64_t seq;          /* of that call; 0 for LOG_SEAT_OVER and LOG_EPOCH */
    uint64_t id;           /* LOG_BROADCAST: its Id */
    struct text name;      /* LOG_JOIN, LOG_LEAVE, LOG_PRIVATE: see engine_name_of */
    struct text identity;  /* LOG_JOIN: the key that proves who it is, or "-" */
    uint64_t tag;          /* LOG_LEAVE: the seq of the join that ends */
    char other[SEAT_MAX];  /* LOG_JOIN: seat of the member that is replaced, or ""; LOG_PRIVATE: the
                            * receiver's seat; LOG_ANSWER: the seat that sent the private message;
                            * LOG_SEAT_OVER: the seat; LOG_EPOCH: the new epoch */
    uint64_t other_tag;    /* LOG_JOIN: seq of the join that is replaced, or 0; LOG_ANSWER: seq of
                            * the private message */
    struct text body;      /* LOG_BROADCAST, LOG_PRIVATE: message. LOG_JOIN: card. Sealed until
                            * log_entry_open */
    enum log_outcome code; /* LOG_REFUSAL, LOG_ANSWER */
};

/* A member of a room, as the engine keeps it. Texts are borrowed from the reply. */
struct log_person {
    struct text name, identity, card; /* the card is sealed until log_person_open */
    char seat[SEAT_MAX];
    uint64_t tag; /* the seq of the join */
};

/* Reads an entry: an array of its place and its fields. A body may have `body_max` bytes. Returns
 * NULL, or what is wrong with it (a constant string). entry->at and entry->ms are valid, or "" and
 * 0, also then. */
const char *log_entry_read(struct log_entry *entry, const struct reply_value *value,
                           size_t body_max);

/* Reads a field of the hash of members. Returns NULL, or what is wrong. */
const char *log_person_read(struct log_person *person, const struct reply_value *name,
                            const struct reply_value *value);

/* The text of an outcome in the log: "delivered". A constant. */
const char *log_outcome_name(enum log_outcome outcome);

/* Where the texts of an entry or a person stand. */
struct sealing_place log_entry_place(const struct log_entry *entry, const char *room);
struct sealing_place log_person_place(const struct log_person *person, const char *room);

/* Opens the text in place (sealing_open), and checks that it is UTF-8 without control characters
 * other than the white space of JSON. `key` is that of the seat, or NULL when nothing is sealed.
 * Does nothing to kinds without a text. Returns NULL, or what is wrong. */
const char *log_entry_open(struct log_entry *entry, const struct sealing_key *key,
                           const char *room);
const char *log_person_open(struct log_person *person, const struct sealing_key *key,
                            const char *room);

/* Writes "KIND:SEAT:SEQ", as engine.lua compares it. */
void log_entry_tag(const struct log_entry *entry, char tag[LOG_TAG_MAX]);

/* Whether a text is a place, "MS-NUMBER"; whether it is a tag or "-"; whether it is a seat or an
 * epoch: 32 hexadecimal digits. */
bool log_is_at(struct text text);
bool log_is_tag(struct text text);
bool log_is_seat(struct text text);

/* Reads a decimal number without a sign or leading zeros, at most 2^53, up to which engine.lua can
 * count. Returns false if `text` is anything else. */
bool log_read_number(struct text text, uint64_t *number);

#endif
