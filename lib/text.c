/* SPDX-License-Identifier: MIT
 *
 * text.c - slices of a longer text. Pure: any thread, no locks.
 */
#include "lib/text.h"

#include <string.h>

#include "lib/ascii.h"

struct text text_of(const char *string)
{
    return (struct text){string, strlen(string)};
}

struct text text_first(struct text text, size_t n)
{
    return (struct text){text.at, n < text.len ? n : text.len};
}

struct text text_skip(struct text text, size_t n)
{
    n = text_first(text, n).len;
    return (struct text){text.at + n, text.len - n};
}

struct text text_before(struct text text, const char *stops)
{
    size_t n = 0;
    while (n < text.len && !ascii_is_one_of(text.at[n], stops))
        n++;
    return (struct text){text.at, n};
}

struct text text_trim(struct text text)
{
    while (text.len > 0 && ascii_is_blank(text.at[0]))
        text = text_skip(text, 1);
    while (text.len > 0 && ascii_is_blank(text.at[text.len - 1]))
        text.len--;
    return text;
}

bool text_equals(struct text text, const char *string)
{
    return text.len == strlen(string) && (text.len == 0 || memcmp(text.at, string, text.len) == 0);
}

bool text_equals_nocase(struct text a, struct text b)
{
    size_t n = 0;
    while (n < a.len && n < b.len && ascii_lower(a.at[n]) == ascii_lower(b.at[n]))
        n++;
    return n == a.len && n == b.len;
}
