/* SPDX-License-Identifier: MIT
 *
 * json_writer.h - writes JSON (RFC 8259), from front to back.
 *
 * A zeroed writer is empty. Functions append to the output, and add commas where needed. Names are
 * not escaped, so they must not need it. When memory is out the writer fails: later output is
 * ignored, and json_writer_finish returns NULL.
 *
 * All memory comes from cJSON_malloc, which is malloc unless a test hooks it to make it fail. Pure:
 * no I/O, no locks, any thread, each with its own writers.
 */
#ifndef JSON_WRITER_H
#define JSON_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct json_writer {
    char *text; /* owned; not NUL-terminated yet; NULL: empty, or memory was out */
    size_t len;
    size_t room; /* bytes allocated for `text`, with a NUL */
    bool failed;
};

/* Makes room for `more` bytes, so that writing them needs no allocation. Returns false when memory
 * is out. */
bool json_write_reserve(struct json_writer *w, size_t more);

/* Appends bytes or a text unchanged, without a comma. Inline, because broadcasts are built with
 * these. */
static inline void json_write_raw(struct json_writer *w, const char *bytes, size_t len)
{
    if (len >= w->room - w->len && !json_write_reserve(w, len))
        return;
    memcpy(w->text + w->len, bytes, len);
    w->len += len;
}

static inline void json_write_text(struct json_writer *w, const char *text)
{
    json_write_raw(w, text, strlen(text));
}

/* Appends a comma, unless the output is empty or an object or array has just begun. */
static inline void json_write_comma(struct json_writer *w)
{
    if (w->len > 0 && w->text[w->len - 1] != '{' && w->text[w->len - 1] != '[')
        json_write_raw(w, ",", 1);
}

/* Begins an object, as the field `name` or, if that is NULL, without a name; and ends it. */
void json_write_object(struct json_writer *w, const char *name);
void json_write_end(struct json_writer *w);

/* Append a field: a string (valid UTF-8), a whole number, true or false, bytes as a string of
 * lower-case hexadecimal digits, or `len` bytes that are JSON already. */
void json_write_string(struct json_writer *w, const char *name, const char *value);
void json_write_uint(struct json_writer *w, const char *name, uint64_t value);
void json_write_bool(struct json_writer *w, const char *name, bool value);
void json_write_hex(struct json_writer *w, const char *name, const unsigned char *bytes,
                    size_t len);
void json_write_value(struct json_writer *w, const char *name, const char *json, size_t len);

/* Writes a whole number in decimal digits to `out`, without a NUL. Returns their number, at most
 * JSON_DIGITS_MAX. */
enum { JSON_DIGITS_MAX = 20 };
size_t json_write_digits(char *out, uint64_t value);

/* Appends fields that are JSON already, without braces. */
void json_write_fields(struct json_writer *w, const char *fields);

/* Returns the output, NUL-terminated, and its length in *len, unless `len` is NULL. The caller
 * frees it with free(). NULL when memory was out. Empties the writer. */
char *json_writer_finish(struct json_writer *w, size_t *len);

/* Writes `text` (valid UTF-8, NUL-terminated) as a JSON string with its quotes. Returns a string
 * that the caller frees with free(), or NULL when memory is out. */
char *json_quote(const char *text);

#endif
