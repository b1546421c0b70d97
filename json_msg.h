/* SPDX-License-Identifier: MIT
 *
 * json_msg.h - the messages of the protocol to and from JSON (RFC 8259).
 *
 * Reading is strict and borrows: json_parse checks the whole text and leaves pointers to the
 * top-level fields in it, so that a field nobody here knows travels on byte for byte (a tree
 * would turn 9007199254740993 into a double and \u0000 into the end of a string).
 * Pure: no I/O, no locks, any thread.
 */
#ifndef JSON_MSG_H
#define JSON_MSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    JSON_DEPTH_MAX = 32,      /* nested arrays and objects; deeper is refused */
    JSON_FIELDS_MAX = 64,     /* fields at the top level; more is refused */
    JSON_OPEN_KEYS_MAX = 256, /* keys below it of all objects open at one place; more is refused */
    JSON_RELAY_FIELDS = 7,    /* fields at the top level that do not count: see json_relay */
};

/* One field of the top-level object. All pointers borrow from the text that was parsed. */
struct json_field {
    uint64_t key;     /* json_key() of the decoded name */
    const char *name; /* the name as written, with its quotes */
    size_t name_len;
    const char *value; /* the value as written, without the white space around it */
    size_t value_len;
};

struct json_object {
    struct json_field fields[JSON_FIELDS_MAX + JSON_RELAY_FIELDS];
    size_t count;
};

/* Where and why a text is not acceptable JSON. */
struct json_error {
    size_t offset;   /* byte at which it went wrong */
    const char *why; /* a constant string: "a comma or } is missing" */
};

/* Parses `len` bytes that must be exactly one JSON object: RFC 8259 grammar, valid UTF-8, no bytes
 * behind it but white space, no two equal keys in one object, no half surrogate pairs, within the
 * three bounds above. Returns 0, or -1 and *error. */
int json_parse(struct json_object *object, const char *text, size_t len, struct json_error *error);

/* The identity of a key: FNV-1a (64 bit) over its decoded UTF-8 bytes. Two keys are taken for the
 * same when these are equal, however they were escaped. */
uint64_t json_key(const char *name);

/* The field of that name (case-sensitive), or NULL. */
const struct json_field *json_find(const struct json_object *object, const char *name);

/* What kind of value a field holds, in words for people: "a string", "a number", "true or false",
 * "null", "an array", "an object". */
const char *json_kind(const struct json_field *field);

/* Whether the field is there and holds a string. */
bool json_is_string(const struct json_field *field);

/* Decodes a string value into `out`, NUL-terminated, at most `cap` bytes with the NUL.
 * Returns its length, or -1 when the value is no string, holds U+0000, or does not fit. */
long json_string(const struct json_field *field, char *out, size_t cap);

/* What a field of a message holds, for who takes a wrong kind for none: its text, which the caller
 * frees with free(), or NULL (also when memory is out); its number, or 0; whether it is true; whether
 * it is the string `text`. */
char *json_text(const struct json_object *object, const char *name);
uint64_t json_count(const struct json_object *object, const char *name);
bool json_true(const struct json_object *object, const char *name);
bool json_is(const struct json_object *object, const char *name, const char *text);

/* Goes through the elements of an array: `*at` is 0 to begin with. Returns true and *element, which
 * has no name; false at the end, and at once if `array` is none. */
bool json_element(const struct json_field *array, size_t *at, struct json_field *element);

/* Decodes a whole number from 0 to 2^53 written without fraction or exponent.
 * Returns 0, or -1 when it is none. */
int json_number(const struct json_field *field, uint64_t *out);

/* Writes `text` (valid UTF-8, NUL-terminated) as a JSON string with its quotes.
 * Returns a string that the caller frees with free(), or NULL when memory is out. */
char *json_quote(const char *text);

/* ---- Messages that carry what a client said. They return a string of *len bytes that the caller
 * frees with free(), or NULL when memory is out. ---- */

/* A Broadcast (`private` false) or PrivateMessage as its receivers get it: msgType, SrcUser
 * (`src`, quoted by json_quote), for a Broadcast TgtUser "", then `text` and every other field of
 * `in` untouched, except msgType, SrcUser, TgtUser, Id, Time and History, which are the server's
 * to set. It is left open, with room for what json_stamp ends it with. What json_parse took, it takes
 * again as relayed: to it, those fields and `text` do not count. */
char *json_relay(const struct json_object *in, bool private, const char *src, size_t *len);

enum { JSON_STAMP_MAX = 64 };

/* Writes what ends a relayed message: `,"Id":ID,"Time":MS}`, or `,"Time":MS}` when id is 0.
 * Returns its length; `out` has room for JSON_STAMP_MAX bytes. `ms` is milliseconds since 1970. */
size_t json_stamp(char *out, uint64_t id, int64_t ms);

/* What replaces the last brace of a Broadcast that is sent again as history. */
#define JSON_HISTORY_END ",\"History\":true}"

/* ---- Messages that the server says itself. Returned as above. Strings are valid UTF-8. ---- */

char *json_server_name(const char *server_name, size_t *len);
char *json_hello(const char *server_name, bool password_required, const char *nonce, size_t *len);

struct json_joined {
    const char *server_name, *room, *name, *epoch;
    uint64_t last_id;
    bool resumed;
    size_t max_message_bytes;
};
char *json_joined(const struct json_joined *joined, size_t *len);

/* `about` is the message that was wrong, or NULL: its Ref and TgtUser, where it has them, are echoed
 * as they were written. */
char *json_error(const char *code, const char *text, const struct json_object *about, size_t *len);

/* `about` is the PrivateMessage that was delivered, echoed likewise. */
char *json_delivered(const struct json_object *about, size_t *len);

/* The keys that a member published, in hexadecimal. */
struct json_keys {
    const char *identity, *session, *signature;
};

/* `keys` is NULL when there are none. `about` is the GetKeys that asked: its Ref is echoed. */
char *json_user_keys(const char *user, const struct json_keys *keys,
                     const struct json_object *about, size_t *len);

/* QrCode: `path` is a code of `size` modules on a side; `about` is the GetQr, whose Ref is echoed. */
char *json_qr_code(int size, const char *path, const struct json_object *about, size_t *len);

/* OnlineUsers from `count` names that json_quote made. */
char *json_online_users(const char *const *quoted, size_t count, size_t *len);

#endif
