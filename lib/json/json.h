/* SPDX-License-Identifier: MIT
 *
 * json.h - reads JSON (RFC 8259).
 *
 * Reading is strict and borrows: json_parse checks the whole text and records pointers to its
 * top-level fields, so an unknown field is relayed byte for byte (a tree would turn
 * 9007199254740993 into a double and \u0000 into the end of a string). Pure: no I/O, no locks, any
 * thread.
 */
#ifndef JSON_H
#define JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
    JSON_DEPTH_MAX = 32,      /* levels of nested arrays and objects; deeper is refused */
    JSON_FIELDS_MAX = 64,     /* fields at the top level; more is refused */
    JSON_OPEN_KEYS_MAX = 256, /* keys below the top level in all open objects; more is refused */
    JSON_EXTRA_MAX = 7,       /* top-level fields that do not count, if json_parse is told so */

    /* The same two of a page: an object with an array of messages within these bounds. */
    JSON_PAGE_DEPTH_MAX = JSON_DEPTH_MAX + 2,
    JSON_PAGE_KEYS_MAX = JSON_OPEN_KEYS_MAX + JSON_FIELDS_MAX + JSON_EXTRA_MAX,
};

/* One field of the top-level object. All pointers borrow from the text that was parsed. */
struct json_field {
    uint64_t key;     /* json_key() of the decoded name */
    const char *name; /* the name as written, with its quotes */
    size_t name_len;
    const char *value; /* the value as written, without the white space around it */
    size_t value_len;
    bool extra; /* what `is_extra` said of its key */
};

struct json_object {
    struct json_field fields[JSON_FIELDS_MAX + JSON_EXTRA_MAX];
    size_t count;
    bool ascii; /* the text that was parsed is ASCII throughout */
};

/* Position and reason of a syntax error. */
struct json_error {
    size_t offset;   /* byte offset of the error */
    const char *why; /* a constant string: "a comma or } is missing" */
};

/* Which fields and bounds json_parse accepts. */
struct json_rules {
    bool (*is_extra)(uint64_t key); /* whether a top-level field of that json_key does not count */
    bool is_page;                   /* the bounds of a page, not of a message */
};

/* Parses `len` bytes that must be exactly one JSON object: RFC 8259 grammar, valid UTF-8, only
 * white space after it, no two equal keys in one object, no half surrogate pairs, within the bounds
 * above. Up to JSON_EXTRA_MAX fields do not count. Returns 0, or -1 and *error. */
int json_parse(struct json_object *object, const char *text, size_t len,
               const struct json_rules *rules, struct json_error *error);

#define JSON_KEY_START UINT64_C(0xcbf29ce484222325)

/* One step of FNV-1a with 64 bits. */
static inline uint64_t json_key_add(uint64_t key, char byte)
{
    return (key ^ (unsigned char)byte) * UINT64_C(0x100000001b3);
}

/* The identity of a key: FNV-1a (64 bit) of its decoded UTF-8 bytes. Keys with the same value count
 * as equal, however they were escaped. Inline and unrolled, so that the key of a constant name is a
 * constant: each message looks up a dozen. */
static inline uint64_t json_key(const char *name)
{
    uint64_t key = JSON_KEY_START;
    size_t len = strlen(name);
#pragma GCC unroll 16
    for (size_t i = 0; i < len; i++)
        key = json_key_add(key, name[i]);
    return key;
}

/* The field of that name (case-sensitive), or NULL. */
const struct json_field *json_find_key(const struct json_object *object, uint64_t key);
static inline const struct json_field *json_find(const struct json_object *object, const char *name)
{
    return json_find_key(object, json_key(name));
}

/* The kind of a field's value, in words for people: "a string", "a number", "true or false",
 * "null", "an array", "an object". */
const char *json_kind(const struct json_field *field);

/* Whether the field exists and holds a string. */
bool json_is_string(const struct json_field *field);

/* Decodes a string value into `out`, NUL-terminated, at most `cap` bytes with the NUL. Returns its
 * length, or -1 when the value is no string, holds U+0000, or does not fit. */
long json_string(const struct json_field *field, char *out, size_t cap);

/* Getters that treat a value of the wrong kind as absent. In this order: its text, which the caller
 * frees with free(), or NULL (also when memory is out); its number, or 0; whether it is true;
 * whether it is the string `text`. */
char *json_get_string(const struct json_object *object, const char *name);
uint64_t json_get_uint(const struct json_object *object, const char *name);
bool json_get_bool(const struct json_object *object, const char *name);
bool json_equals(const struct json_object *object, const char *name, const char *text);

/* Iterates over the elements of an array: `*at` is 0 at first. Returns true and *element, which has
 * no name; false at the end, or if `array` is no array. */
bool json_element(const struct json_field *array, size_t *at, struct json_field *element);

/* Decodes a whole number from 0 to 2^53, written without fraction or exponent. Returns 0, or -1
 * when it is none. */
int json_number(const struct json_field *field, uint64_t *out);

#endif
