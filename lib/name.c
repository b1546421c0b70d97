/* SPDX-License-Identifier: MIT
 *
 * name.c - checks and folds names, with the Unicode tables of utf8proc. Any thread, no locks.
 *
 * People read a name in a list of names. So each character must be visible, belong to the one
 * before it, and leave the text around it alone. White space is fine within a name; at an end
 * nobody would see it.
 *
 * Letters of different scripts that look alike are not handled here: folding joins only texts that
 * Unicode itself calls the same (UAX #15, UAX #31).
 */
#include "lib/name.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

static const char invisible[] =
    "a name must not hold invisible characters or ones that turn the text";

/* The fault of a character by its general category. Surrogates (Cs) are missing here, because they
 * are not valid UTF-8. */
static const char *const category_fault[] = {
    [UTF8PROC_CATEGORY_CN] = "a name must not hold characters that Unicode has not defined",
    [UTF8PROC_CATEGORY_CC] = "a name must not hold control characters",
    [UTF8PROC_CATEGORY_CF] = invisible,
    [UTF8PROC_CATEGORY_ZL] = "a name must not hold line or paragraph separators",
    [UTF8PROC_CATEGORY_ZP] = "a name must not hold line or paragraph separators",
    [UTF8PROC_CATEGORY_CO] = "a name must not hold private-use characters",
};

/* Characters without ink that Unicode does not list as ignorable. */
static bool is_blank(utf8proc_int32_t c)
{
    return c == 0x2800                     /* Braille pattern with no dot */
           || c == 0x13441 || c == 0x13442 /* blanks among the Egyptian hieroglyphs */
           || c == 0x16FE4                 /* filler of the Khitan small script */
           || c == 0x1D159;                /* musical note without a head */
}

static const char *check_character(utf8proc_int32_t c)
{
    if (utf8proc_get_property(c)->ignorable || is_blank(c))
        return invisible;
    return category_fault[utf8proc_category(c)];
}

static bool is_space(utf8proc_int32_t c)
{
    return utf8proc_category(c) == UTF8PROC_CATEGORY_ZS;
}

/* A mark with nothing before it would join the text in front of the name. */
static bool is_mark(utf8proc_int32_t c)
{
    utf8proc_category_t category = utf8proc_category(c);
    return category == UTF8PROC_CATEGORY_MN || category == UTF8PROC_CATEGORY_MC ||
           category == UTF8PROC_CATEGORY_ME;
}

static bool is_printable_ascii(const char *name, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (name[i] < ' ' || name[i] > '~')
            return false;
    return true;
}

const char *name_check(const char *name, size_t len)
{
    if (len == 0)
        return "a name must not be empty";
    /* Checked before any byte is read, so the cost does not depend on the length of the input. */
    if (len > NAME_MAX_BYTES)
        return "a name must not be longer than 32 characters";
    if (len <= NAME_MAX_CHARS && is_printable_ascii(name, len) && name[0] != ' ' &&
        name[len - 1] != ' ')
        return NULL; /* most names, without a look at Unicode's tables */

    const utf8proc_uint8_t *bytes = (const utf8proc_uint8_t *)name;
    utf8proc_int32_t first = 0, last = 0;
    size_t chars = 0;
    for (size_t at = 0; at < len; chars++) {
        utf8proc_ssize_t used = utf8proc_iterate(bytes + at, (utf8proc_ssize_t)(len - at), &last);
        if (used <= 0)
            return "a name must be valid UTF-8";
        const char *fault = check_character(last);
        if (fault != NULL)
            return fault;
        if (at == 0)
            first = last;
        at += (size_t)used;
    }
    if (chars > NAME_MAX_CHARS)
        return "a name must not be longer than 32 characters";
    if (is_space(first) || is_space(last))
        return "a name must not begin or end with white space";
    return is_mark(first) ? "a name must not begin with a combining mark" : NULL;
}

/* utf8proc_map with matching types. NULL when memory is out. */
static char *map(const char *text, utf8proc_ssize_t len, int options)
{
    utf8proc_uint8_t *mapped = NULL;
    utf8proc_ssize_t n = utf8proc_map((const utf8proc_uint8_t *)text, len, &mapped,
                                      (utf8proc_option_t)(UTF8PROC_STABLE | options));
    return n < 0 ? NULL : (char *)mapped;
}

static char *small_letters(char *to, const char *name, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        bool capital = name[i] >= 'A' && name[i] <= 'Z';
        to[i] = (char)(capital ? name[i] - 'A' + 'a' : name[i]);
    }
    to[len] = '\0';
    return to;
}

/* The comparison of identifiers in UAX #31: toNFKC_Casefold(NFD(X)) (Unicode, D147). Without NFD
 * first, marks that casefold to letters (U+0345) would fold in the order in which they were typed.
 * The second pass does the work of utf8proc_NFKC_Casefold. */
static char *fold_unicode(const char *name, size_t len)
{
    char *decomposed = map(name, (utf8proc_ssize_t)len, UTF8PROC_DECOMPOSE);
    if (decomposed == NULL)
        return NULL;
    char *folded = map(decomposed, 0,
                       UTF8PROC_NULLTERM | UTF8PROC_COMPOSE | UTF8PROC_COMPAT | UTF8PROC_CASEFOLD |
                           UTF8PROC_IGNORE);
    free(decomposed);
    return folded;
}

char *name_fold(const char *name, size_t len)
{
    if (!is_printable_ascii(name, len))
        return fold_unicode(name, len);
    char *small = malloc(len + 1);
    return small ? small_letters(small, name, len) : NULL;
}

char *name_fold_into(char buf[NAME_MAX_BYTES + 1], const char *name, size_t len)
{
    bool fits = len <= NAME_MAX_BYTES && is_printable_ascii(name, len);
    return fits ? small_letters(buf, name, len) : name_fold(name, len);
}
