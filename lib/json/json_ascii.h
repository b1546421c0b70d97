/* SPDX-License-Identifier: MIT
 *
 * json_ascii.h - JSON in ASCII: each character above U+007F as \u and four hexadecimal digits, one
 * above U+FFFF as two of these (RFC 8259 §7), in the same spelling as Python's json.dumps.
 *
 * Escaping changes the bytes of a message but not its meaning. The original server's clients read
 * nothing else. Pure: no I/O, no locks, any thread.
 */
#ifndef JSON_ASCII_H
#define JSON_ASCII_H

#include <stddef.h>
#include <stdint.h>

enum { JSON_ASCII_CHAR_MAX = 12 }; /* bytes of one escaped character */

/* Writes the character `c` (a Unicode scalar value) escaped. Returns its length; `out` has room for
 * JSON_ASCII_CHAR_MAX bytes and a NUL. */
size_t json_ascii_char(char *out, uint32_t c);

/* Largest growth by escaping: two bytes become six, four become twelve. */
enum { JSON_ASCII_GROWTH = 3 };

/* Size of `len` bytes of JSON (valid UTF-8) after escaping; `len` if they are all ASCII. */
size_t json_ascii_size(const char *text, size_t len);

/* Escapes a text of *len bytes, from malloc, and frees it. Returns it unchanged if it is all ASCII
 * or the result would exceed `most` bytes. Returns a string of *len bytes that the caller frees
 * with free(), or NULL when memory is out (`text` is freed) or `text` is NULL. */
char *json_ascii(char *text, size_t *len, size_t most);

#endif
