/* SPDX-License-Identifier: MIT
 *
 * glyph.c - characters on a terminal, as glyph.h promises them.
 */
#include "glyph.h"

#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

enum { JOINERS_FROM = 0x200C, JOINERS_TO = 0x200D, TAGS_FROM = 0xE0020, TAGS_TO = 0xE007F };

static const char replacement[] = "\xEF\xBF\xBD"; /* U+FFFD */

/* Reads the character at `at`; returns its bytes. What is none is one byte, and *c negative. */
static size_t read_char(const char *text, size_t len, size_t at, utf8proc_int32_t *c)
{
    utf8proc_ssize_t used =
        utf8proc_iterate((const utf8proc_uint8_t *)text + at, (utf8proc_ssize_t)(len - at), c);
    if (used > 0)
        return (size_t)used;
    *c = -1;
    return 1;
}

bool glyph_is_text(const char *text, size_t len)
{
    utf8proc_int32_t c = 1;
    for (size_t at = 0; at < len && c > 0;)
        at += read_char(text, len, at, &c);
    return c > 0;
}

/* Joiners hold emoji and letters of some scripts together; tags spell the flags of regions. */
bool glyph_is_harmless(long character)
{
    if (character < 0 || character > 0x10FFFF)
        return false;
    if (character >= JOINERS_FROM && character <= JOINERS_TO)
        return true;
    if (character >= TAGS_FROM && character <= TAGS_TO)
        return true;
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)character);
    return category != UTF8PROC_CATEGORY_CC && category != UTF8PROC_CATEGORY_CF &&
           category != UTF8PROC_CATEGORY_CS && category != UTF8PROC_CATEGORY_ZL &&
           category != UTF8PROC_CATEGORY_ZP;
}

/* Puts one character's harmless form at `out`, or nowhere if that is NULL. Returns its length. */
static size_t put(char *out, const char *from, size_t len)
{
    if (out)
        memcpy(out, from, len);
    return len;
}

static size_t clean(const char *text, size_t len, const char *newline, char *out)
{
    size_t total = 0;
    for (size_t at = 0; at < len;) {
        utf8proc_int32_t c;
        size_t used = read_char(text, len, at, &c);
        char *to = out ? out + total : NULL;
        if (c == '\n')
            total += put(to, newline, strlen(newline));
        else if (c == '\t')
            total += put(to, " ", 1);
        else if (glyph_is_harmless(c))
            total += put(to, text + at, used);
        else
            total += put(to, replacement, strlen(replacement));
        at += used;
    }
    return total;
}

char *glyph_clean(const char *text, size_t len, const char *newline)
{
    size_t total = clean(text, len, newline, NULL);
    char *out = malloc(total + 1);
    if (!out)
        return NULL;
    clean(text, len, newline, out);
    out[total] = '\0';
    return out;
}

static bool is_word(const char *text, size_t len)
{
    utf8proc_int32_t c;
    for (size_t at = 0; at < len;) {
        at += read_char(text, len, at, &c);
        if (c == '"' || utf8proc_category(c) == UTF8PROC_CATEGORY_ZS)
            return false;
    }
    return true;
}

char *glyph_quote(const char *name)
{
    size_t len = strlen(name);
    char *quoted = malloc(2 * len + 3), *at = quoted;
    if (!quoted)
        return NULL;
    if (is_word(name, len))
        return memcpy(quoted, name, len + 1);
    *at++ = '"';
    for (; *name; name++) {
        if (*name == '"')
            *at++ = '\\';
        *at++ = *name;
    }
    *at++ = '"';
    *at = '\0';
    return quoted;
}

size_t glyph_next(const char *text, size_t len, size_t at)
{
    utf8proc_int32_t before, c, state = 0;
    if (at >= len)
        return len;
    at += read_char(text, len, at, &before);
    while (at < len) {
        size_t used = read_char(text, len, at, &c);
        if (before < 0 || c < 0 || utf8proc_grapheme_break_stateful(before, c, &state))
            break;
        before = c;
        at += used;
    }
    return at;
}

/* Clusters can be told from the start only: flags are pairs of letters. */
size_t glyph_previous(const char *text, size_t at)
{
    size_t start = 0, end = 0;
    while (end < at) {
        start = end;
        end = glyph_next(text, at, end);
    }
    return start;
}

size_t glyph_columns(const char *text, size_t len)
{
    size_t columns = 0;
    for (size_t at = 0; at < len;) {
        utf8proc_int32_t c;
        at += read_char(text, len, at, &c);
        columns += c < 0 || c == '\n' ? 1 : (size_t)utf8proc_charwidth(c);
    }
    return columns;
}
