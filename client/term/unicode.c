/* SPDX-License-Identifier: MIT
 *
 * unicode.c - characters on a terminal. Pure: any thread, no locks.
 */
#include "client/term/unicode.h"

#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

#include "lib/name.h"

enum { JOINERS_FROM = 0x200C, JOINERS_TO = 0x200D, TAGS_FROM = 0xE0020, TAGS_TO = 0xE007F };

static const char replacement[] = "\xEF\xBF\xBD"; /* U+FFFD */

/* Reads the character at `at`; returns its bytes. An invalid one has one byte, and *c is negative.
 */
static size_t read_char(const char *text, size_t len, size_t at, utf8proc_int32_t *c)
{
    utf8proc_ssize_t used =
        utf8proc_iterate((const utf8proc_uint8_t *)text + at, (utf8proc_ssize_t)(len - at), c);
    if (used > 0)
        return (size_t)used;
    *c = -1;
    return 1;
}

bool unicode_is_text(const char *text, size_t len)
{
    utf8proc_int32_t c = 1;
    for (size_t at = 0; at < len && c > 0;)
        at += read_char(text, len, at, &c);
    return c > 0;
}

/* Joiners hold emoji and letters of some scripts together; tags encode the flags of regions. */
bool unicode_is_harmless(long character)
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

/* Writes a character's harmless form to `out`, unless that is NULL. Returns its length. */
static size_t put_bytes(char *out, const char *from, size_t len)
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
            total += put_bytes(to, newline, strlen(newline));
        else if (c == '\t')
            total += put_bytes(to, " ", 1);
        else if (unicode_is_harmless(c))
            total += put_bytes(to, text + at, used);
        else
            total += put_bytes(to, replacement, strlen(replacement));
        at += used;
    }
    return total;
}

char *unicode_clean(const char *text, size_t len, const char *newline)
{
    size_t total = clean(text, len, newline, NULL);
    char *out = malloc(total + 1);
    if (!out)
        return NULL;
    clean(text, len, newline, out);
    out[total] = '\0';
    return out;
}

/* White space, quotes, brackets, and the characters that structure a row: [mark], "* ana waves",
 * "ana: text". */
static bool needs_quotes(utf8proc_int32_t c)
{
    utf8proc_category_t category = utf8proc_category(c);
    return category == UTF8PROC_CATEGORY_ZS || category == UTF8PROC_CATEGORY_PS ||
           category == UTF8PROC_CATEGORY_PE || category == UTF8PROC_CATEGORY_PI ||
           category == UTF8PROC_CATEGORY_PF || c == '"' || c == '\\' || c == '*' || c == ':';
}

static bool is_word(const char *text, size_t len)
{
    utf8proc_int32_t c;
    for (size_t at = 0; at < len;) {
        at += read_char(text, len, at, &c);
        if (needs_quotes(c))
            return false;
    }
    return true;
}

/* Whether a character is allowed within a name. */
static bool is_name_char(const char *at, size_t len)
{
    char within[] = "x....x";
    memcpy(within + 1, at, len);
    within[1 + len] = 'x';
    return name_check(within, len + 2) == NULL;
}

/* Writes the part between the quotes, with its NUL: at most 3 bytes for each byte. */
static void write_quoted(char *out, const char *name, size_t len)
{
    for (size_t at = 0, used; at < len; at += used) {
        utf8proc_int32_t c;
        used = read_char(name, len, at, &c);
        if (c == '"' || c == '\\')
            *out++ = '\\';
        if (c < 0 || !is_name_char(name + at, used))
            out += put_bytes(out, replacement, strlen(replacement));
        else
            out += put_bytes(out, name + at, used);
    }
    strcpy(out, "\"");
}

char *unicode_quote(const char *name)
{
    static const char bad[] = "[bad name] \"";
    size_t len = strlen(name);
    bool good = name_check(name, len) == NULL;
    if (good && is_word(name, len))
        return strdup(name);
    char *quoted = malloc(sizeof(bad) + 3 * len + 2);
    if (!quoted)
        return NULL;
    strcpy(quoted, good ? "\"" : bad);
    write_quoted(quoted + strlen(quoted), name, len);
    return quoted;
}

size_t unicode_next(const char *text, size_t len, size_t at)
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

/* Clusters can only be found from the start, because flags are pairs of letters. */
size_t unicode_previous(const char *text, size_t at)
{
    size_t start = 0, end = 0;
    while (end < at) {
        start = end;
        end = unicode_next(text, at, end);
    }
    return start;
}

size_t unicode_columns(const char *text, size_t len)
{
    size_t columns = 0;
    for (size_t at = 0; at < len;) {
        utf8proc_int32_t c;
        at += read_char(text, len, at, &c);
        columns += c < 0 || c == '\n' ? 1 : (size_t)utf8proc_charwidth(c);
    }
    return columns;
}

/* Characters that Unicode 16 made wide (its EastAsianWidth.txt), unassigned ones, and letters of
 * flags, which are wide also when they stand alone. */
static bool is_wide_elsewhere(utf8proc_int32_t c)
{
    static const struct {
        utf8proc_int32_t first, last;
    } ranges[] = {{0x2630, 0x2637},   {0x268A, 0x268F},   {0x4DC0, 0x4DFF},
                  {0x1D300, 0x1D356}, {0x1D360, 0x1D376}, {0x1F1E6, 0x1F1FF}};
    for (size_t i = 0; i < sizeof(ranges) / sizeof(*ranges); i++)
        if (c >= ranges[i].first && c <= ranges[i].last)
            return true;
    return utf8proc_category(c) == UTF8PROC_CATEGORY_CN;
}

size_t unicode_columns_most(const char *text, size_t len)
{
    size_t columns = unicode_columns(text, len);
    for (size_t at = 0; at < len;) {
        utf8proc_int32_t c;
        at += read_char(text, len, at, &c);
        if (c == 0xFE0F)
            columns++;
        else if (c >= 0 && is_wide_elsewhere(c) && utf8proc_charwidth(c) < 2)
            columns += 2 - (size_t)utf8proc_charwidth(c);
    }
    return columns;
}
