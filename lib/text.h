/* SPDX-License-Identifier: MIT
 *
 * text.h - a slice of a longer text: borrowed, not NUL-terminated.
 *
 * Pure: any thread.
 */
#ifndef TEXT_H
#define TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* `at` is NULL where a text is absent. */
struct text {
    const char *at;
    size_t len;
};

/* All of a NUL-terminated string. */
struct text text_of(const char *string);

/* The first `n` bytes, and the text without them; fewer if the text is shorter. */
struct text text_first(struct text text, size_t n);
struct text text_skip(struct text text, size_t n);

/* The text before the first byte that is one of `stops`, or all of it. */
struct text text_before(struct text text, const char *stops);

/* The text without blanks and tabs around it. */
struct text text_trim(struct text text);

/* Whether a text equals this string; whether two texts are equal in ASCII, ignoring case. */
bool text_equals(struct text text, const char *string);
bool text_equals_nocase(struct text a, struct text b);

#endif
