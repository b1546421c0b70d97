/* SPDX-License-Identifier: MIT
 *
 * ascii.h - character classes of ASCII, independent of the locale.
 */
#ifndef ASCII_H
#define ASCII_H

#include <stdbool.h>
#include <string.h>

static inline bool ascii_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static inline char ascii_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static inline bool ascii_is_alnum(char c)
{
    return ascii_is_digit(c) || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z');
}

static inline bool ascii_is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Whether `c` is one of the characters of `set`. */
static inline bool ascii_is_one_of(char c, const char *set)
{
    return c != '\0' && strchr(set, c) != NULL;
}

#endif
