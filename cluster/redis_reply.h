/* SPDX-License-Identifier: MIT
 *
 * redis_reply.h - RESP, the protocol of Redis and Valkey: commands out, replies in.
 *
 * hiredis' reader parses; it gets bytes and makes values, and knows no socket. What an engine sends
 * is untrusted, so the size, the count of values and the depth of a reply are bounded. Pure: no
 * I/O, no locks; one thread at a time for each parser.
 */
#ifndef REDIS_REPLY_H
#define REDIS_REPLY_H

#include <stddef.h>

#include "lib/text.h"

enum {
    REPLY_VALUES_MAX = 1 << 20, /* values in one reply; more break the line */
    REPLY_DEPTH_MAX = 6,        /* arrays within arrays; the engine's replies have four */
    REPLY_LINE_MAX = 4096,      /* bytes of a line that is not counted, such as an error */
};

enum reply_type {
    REPLY_STRING,
    REPLY_ARRAY,
    REPLY_INTEGER,
    REPLY_NIL,
    REPLY_STATUS,
    REPLY_ERROR,
};

/* One value. The root owns all below it. */
struct reply_value {
    enum reply_type type;
    long long number;          /* of an integer */
    char *bytes;               /* of a string, status or error: `len` bytes and a NUL */
    size_t len;                /* of those bytes */
    struct reply_value *items; /* of an array: `count` values */
    size_t count;
};

/* What the reply that is being parsed may still take. */
struct reply_budget {
    size_t bytes, values;
    const char *why; /* what was exceeded (a constant string), or NULL */
};

struct reply_parser {
    struct redisReader *reader; /* NULL: not initialised */
    size_t bytes_max;           /* of the strings in one reply, and of unparsed input */
    struct reply_budget budget;
    const char *why; /* the reason after -1: a constant string, or the reader's text */
};

/* Replies may have `bytes_max` bytes. Returns 0, or -1 when memory is out. */
int reply_parser_init(struct reply_parser *parser, size_t bytes_max);
void reply_parser_fini(struct reply_parser *parser);

/* Appends input. Returns 0, or -1 with parser->why: memory is out, or a reply is too long. After -1
 * the parser must be freed. */
int reply_parser_feed(struct reply_parser *parser, const char *bytes, size_t len);

/* Takes the next whole reply. Returns 1 with *value, which the caller frees with reply_free; 0 when
 * more input is needed; or -1 with parser->why when the input is not RESP or exceeds a bound. After
 * -1 the parser must be freed. */
int reply_parser_next(struct reply_parser *parser, struct reply_value **value);

/* Whether there is input that no reply has taken yet. */
int reply_parser_has_more(const struct reply_parser *parser);

/* Frees a reply; NULL is none. */
void reply_free(struct reply_value *value);

/* The bytes of a string or status; `at` is NULL for other values, and for NULL. */
struct text reply_text(const struct reply_value *value);

/* An item of an array; NULL if there is none, or the value is no array. */
struct reply_value *reply_item(const struct reply_value *value, size_t at);

/* Writes a command as an array of strings. Returns the bytes, which the caller frees with free(),
 * and their number; NULL when memory is out. */
char *reply_format_command(const struct text *words, size_t count, size_t *len);

#endif
