/* SPDX-License-Identifier: MIT
 *
 * json_text.h - JSON texts and their expected contents.
 *
 * Each text is parsed in a block of exactly its size, so that AddressSanitizer and valgrind detect
 * reads beyond its end.
 */
#ifndef JSON_TEXT_H
#define JSON_TEXT_H

#include "json_msg.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>
#include <cmocka.h>

#include "lib/crypto/e2e.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* The bytes of a literal, which may contain NUL. */
struct text {
    const char *bytes;
    size_t len;
};

#define TEXT(literal)                                                                              \
    {                                                                                              \
        literal, sizeof literal - 1                                                                \
    }

/* ---- Parsing ---- */

struct parsed {
    char *text;
    int result;
    struct json_object object;
    struct json_error error;
};

static inline void parse(struct parsed *parsed, const char *bytes, size_t len)
{
    parsed->text = malloc(len);
    assert_true(parsed->text || len == 0);
    if (len > 0)
        memcpy(parsed->text, bytes, len);
    parsed->error = (struct json_error){.offset = 0, .why = NULL};
    parsed->result = json_parse_message(&parsed->object, parsed->text, len, &parsed->error);
}

static inline void parse_good(struct parsed *parsed, const char *text)
{
    parse(parsed, text, strlen(text));
    if (parsed->result)
        fail_msg("refused at %zu, %s: %s", parsed->error.offset, parsed->error.why, text);
}

static inline void drop(struct parsed *parsed)
{
    free(parsed->text);
}

static inline bool accepted(const char *bytes, size_t len)
{
    struct parsed parsed;

    parse(&parsed, bytes, len);
    drop(&parsed);
    if (parsed.result) {
        assert_int_equal(parsed.result, -1);
        assert_non_null(parsed.error.why);
        assert_true(parsed.error.offset <= len);
    }
    return parsed.result == 0;
}

/* Writes {"a":VALUE}. */
static size_t wrap(char *out, const struct text *value)
{
    memcpy(out, "{\"a\":", 5);
    memcpy(out + 5, value->bytes, value->len);
    out[5 + value->len] = '}';
    return value->len + 6;
}

static inline void refuse_values(const struct text *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char text[256];
        if (accepted(text, wrap(text, &values[i])))
            fail_msg("accepted as a value: %s (case %zu)", values[i].bytes, i);
    }
}

static inline void refuse_texts(const struct text *texts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (accepted(texts[i].bytes, texts[i].len))
            fail_msg("accepted: %s (case %zu)", texts[i].bytes, i);
}

/* ---- Bounds ---- */

/* A text under construction; the longest one here takes far less. */
struct page {
    char text[64 * 1024];
    size_t len;
};

static inline void append(struct page *page, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static inline void append(struct page *page, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    int len = vsnprintf(page->text + page->len, sizeof page->text - page->len, format, args);
    va_end(args);
    assert_true(len >= 0 && (size_t)len < sizeof page->text - page->len);
    page->len += (size_t)len;
}

/* "KEY0":0,"KEY1":0,... */
static inline void append_fields(struct page *page, const char *key, size_t count)
{
    for (size_t i = 0; i < count; i++)
        append(page, "%s\"%s%zu\":0", i > 0 ? "," : "", key, i);
}

#endif
