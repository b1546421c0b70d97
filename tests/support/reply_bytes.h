/* SPDX-License-Identifier: MIT
 *
 * reply_bytes.h - replies of an engine made of scripts of bytes, for unit tests.
 */
#ifndef REPLY_BYTES_H
#define REPLY_BYTES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cluster/redis_reply.h"

enum { REPLY_BYTES_MAX = 1 << 20 };

/* The one reply that these bytes make. */
static inline struct reply_value *parse_bytes(const char *bytes, size_t len)
{
    struct reply_parser parser;
    struct reply_value *value = NULL;
    assert_int_equal(reply_parser_init(&parser, REPLY_BYTES_MAX), 0);
    assert_int_equal(reply_parser_feed(&parser, bytes, len), 0);
    assert_int_equal(reply_parser_next(&parser, &value), 1);
    assert_false(reply_parser_has_more(&parser));
    reply_parser_fini(&parser);
    return value;
}

/* An entry at a place, with fields and values as words, the last of which is NULL. */
static inline struct reply_value *make_entry(const char *at, const char *const *words)
{
    static char bytes[REPLY_BYTES_MAX];
    int count = 0, len;
    while (words[count])
        count++;
    len = sprintf(bytes, "*2\r\n$%zu\r\n%s\r\n*%d\r\n", strlen(at), at, count);
    for (int i = 0; i < count; i++)
        len += sprintf(bytes + len, "$%zu\r\n%s\r\n", strlen(words[i]), words[i]);
    return parse_bytes(bytes, (size_t)len);
}

#define ENTRY(at, ...) make_entry(at, (const char *const[]){__VA_ARGS__, NULL})

/* Two seats and an epoch. */
#define SEAT_A "0123456789abcdef0123456789abcdef"
#define SEAT_B "fedcba9876543210fedcba9876543210"

#endif
