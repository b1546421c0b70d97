/* SPDX-License-Identifier: MIT
 *
 * random.h - unpredictable random bytes from the system.
 */
#ifndef RANDOM_H
#define RANDOM_H

#include <stdbool.h>
#include <stddef.h>

enum {
    RANDOM_MAX = 32, /* random bytes in one call; more are refused */
};

/* Fills in `bytes` random bytes. Returns false when the system gives none. */
bool random_bytes(void *out, size_t bytes);

/* Writes `bytes` random bytes as hexadecimal text of twice as many characters, with a NUL. Returns
 * false when the system gives none. */
bool random_hex(char *text, size_t bytes);

#endif
