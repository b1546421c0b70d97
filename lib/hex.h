/* SPDX-License-Identifier: MIT
 *
 * hex.h - bytes as hexadecimal digits, and back.
 *
 * Pure: any thread.
 */
#ifndef HEX_H
#define HEX_H

#include <stdbool.h>
#include <stddef.h>

enum { FINGERPRINT_MAX = 96 }; /* a SHA-256 fingerprint as "AB:CD:...", with its NUL */

/* The value of a digit in either case, or -1. */
int hex_value(char c);

/* Writes `len` bytes as 2 * len lower-case digits and a NUL. */
void hex_write(char *out, const unsigned char *bytes, size_t len);

/* Writes `len` bytes, at least one, as a fingerprint: "AB:CD:EF" and a NUL, 3 * len bytes in all.
 */
void hex_write_fingerprint(char *out, const unsigned char *bytes, size_t len);

/* Reads exactly `len` bytes from exactly 2 * len lower-case digits. Returns false if `hex` is
 * anything else. */
bool hex_read(unsigned char *out, size_t len, const char *hex);

#endif
