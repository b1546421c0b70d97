/* SPDX-License-Identifier: MIT
 *
 * test_name.c - names that are allowed, names that are not, and names that are the same.
 *
 * Every name lies in a block of exactly its size, so that AddressSanitizer sees a read behind it.
 */
#include "lib/name.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <utf8proc.h>

#define EMPTY     "a name must not be empty"
#define LONG      "a name must not be longer than 32 characters"
#define UTF8      "a name must be valid UTF-8"
#define CONTROL   "a name must not hold control characters"
#define INVISIBLE "a name must not hold invisible characters or ones that turn the text"
#define SEPARATOR "a name must not hold line or paragraph separators"
#define PRIVATE   "a name must not hold private-use characters"
#define UNDEFINED "a name must not hold characters that Unicode has not defined"
#define ENDS      "a name must not begin or end with white space"
#define MARK      "a name must not begin with a combining mark"

#define CHARS_31 "abcdefghijklmnopqrstuvwxyzabcde"
#define WOLF     "\U0001F43A"
#define WOLVES_8 WOLF WOLF WOLF WOLF WOLF WOLF WOLF WOLF

/* A literal with its length: it may hold NUL. */
#define BYTES(literal) (literal), sizeof(literal) - 1

static char *exact_copy(const char *bytes, size_t len)
{
    char *copy = malloc(len > 0 ? len : 1);
    assert_non_null(copy);
    memcpy(copy, bytes, len);
    return copy;
}

/* ---- What is allowed ------------------------------------------------------------------------- */

struct name_case {
    const char *name;
    size_t len;
    const char *why; /* NULL: allowed */
};

static void check_names(const struct name_case *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char *name = exact_copy(rows[i].name, rows[i].len);
        const char *why = name_check(name, rows[i].len), *wanted = rows[i].why;
        free(name);
        if ((why == NULL) != (wanted == NULL) || (why != NULL && strcmp(why, wanted) != 0))
            fail_msg("row %zu, \"%s\": \"%s\" instead of \"%s\"", i, rows[i].name,
                     why != NULL ? why : "allowed", wanted != NULL ? wanted : "allowed");
    }
}

static void test_names_of_all_the_world(void **state)
{
    (void)state;
    static const struct name_case rows[] = {
        {BYTES("a"), NULL},
        {BYTES("0"), NULL},
        {BYTES("ana"), NULL},
        {BYTES("Ana Maria"), NULL},
        {BYTES("a  b"), NULL},
        {BYTES("~!@#$%^&*()_+{}|:\"<>?`-=[]"), NULL},
        {BYTES("\\;',./"), NULL},
        {BYTES("."), NULL},
        {BYTES("caf\u00E9"), NULL},
        {BYTES("cafe\u0301"), NULL},               /* the same in NFD */
        {BYTES("Stra\u00DFe"), NULL},              /* German */
        {BYTES("\u0130stanbul"), NULL},            /* Turkish */
        {BYTES("\u039F\u03B4\u03C5\u03C3"), NULL}, /* Greek */
        {BYTES("\u0410\u043D\u043D\u0430"), NULL}, /* Cyrillic */
        {BYTES("\u05D0\u05D1\u05D0"), NULL},       /* Hebrew, without marks */
        {BYTES("\u0639\u0644\u064A"), NULL},       /* Arabic */
        {BYTES("\u0939\u093F"), NULL},             /* Devanagari, with a vowel sign */
        {BYTES("\u0E01\u0E34"), NULL},             /* Thai, with a vowel sign */
        {BYTES("\u6D77"), NULL},                   /* Han */
        {BYTES("\U00020BB7"), NULL},               /* Han beyond the BMP */
        {BYTES("\uD55C\uAE00"), NULL},             /* Hangul */
        {BYTES("\u1112\u1161\u11AB"), NULL},       /* Hangul in NFD */
        {BYTES("\u3042"), NULL},                   /* Hiragana */
        {BYTES("\uFF21"), NULL},                   /* full width A */
        {BYTES("\uFB01"), NULL},                   /* ligature fi */
        {BYTES("a\u00A0b"), NULL},                 /* no-break space within */
        {BYTES("\u5C71\u3000\u7530"), NULL},       /* ideographic space within */
        {BYTES(WOLF), NULL},
        {BYTES("\u2665"), NULL},
        {BYTES("\uFFFD"), NULL}, /* can be seen */
        {BYTES("\u2801"), NULL}, /* Braille with a dot */
    };
    check_names(rows, sizeof rows / sizeof rows[0]);
}

static void test_lengths(void **state)
{
    (void)state;
    static const struct name_case rows[] = {
        {BYTES(""), EMPTY},
        {BYTES(CHARS_31), NULL},
        {BYTES(CHARS_31 "f"), NULL},
        {BYTES(CHARS_31 "fg"), LONG},
        {BYTES(CHARS_31 "\u00E9"), NULL},
        {BYTES(CHARS_31 "e\u0301"), LONG}, /* code points, not what looks like one */
        {BYTES(WOLVES_8 WOLVES_8 WOLVES_8 WOLVES_8), NULL},
        {BYTES(WOLVES_8 WOLVES_8 WOLVES_8 WOLVES_8 "a"), LONG},
        {BYTES(WOLVES_8 WOLVES_8 WOLVES_8 WOLVES_8 WOLF), LONG},
        {BYTES(CHARS_31 CHARS_31 CHARS_31 CHARS_31 CHARS_31), LONG},
        {BYTES(CHARS_31 "\xC3"), UTF8},
        {BYTES("\xFF" CHARS_31 CHARS_31 CHARS_31 CHARS_31 "xyz"), UTF8},  /* 128 bytes */
        {BYTES("\xFF" CHARS_31 CHARS_31 CHARS_31 CHARS_31 "xyz!"), LONG}, /* not even read */
    };
    check_names(rows, sizeof rows / sizeof rows[0]);
}

static void test_what_cannot_be_seen(void **state)
{
    (void)state;
    static const struct name_case rows[] = {
        {BYTES("\0"), CONTROL},
        {BYTES("a\0"), CONTROL},
        {BYTES("a\0b"), CONTROL},
        {BYTES("a\x01"), CONTROL},
        {BYTES("a\x07y"), CONTROL},
        {BYTES("a\tb"), CONTROL},
        {BYTES("\ta"), CONTROL},
        {BYTES("a\nb"), CONTROL},
        {BYTES("a\r\nb"), CONTROL},
        {BYTES("\x1B[31mred"), CONTROL},
        {BYTES("a\x7F"), CONTROL},
        {BYTES("a\xC2\x80y"), CONTROL},
        {BYTES("a\xC2\x85y"), CONTROL}, /* U+0085, next line */
        {BYTES("a\xC2\x9Fy"), CONTROL},
        {BYTES("a\u2028b"), SEPARATOR},
        {BYTES("a\u2029b"), SEPARATOR},
        {BYTES("a\u00ADb"), INVISIBLE}, /* soft hyphen */
        {BYTES("a\u061Cb"), INVISIBLE}, /* Arabic letter mark */
        {BYTES("a\u180Eb"), INVISIBLE}, /* Mongolian vowel separator */
        {BYTES("a\u200Bb"), INVISIBLE}, /* zero width space */
        {BYTES("a\u200Cb"), INVISIBLE}, /* zero width non-joiner */
        {BYTES("a\u200Db"), INVISIBLE}, /* zero width joiner */
        {BYTES("a\u200Eb"), INVISIBLE}, /* left-to-right mark */
        {BYTES("a\u200Fb"), INVISIBLE}, /* right-to-left mark */
        {BYTES("a\u202Ab"), INVISIBLE}, /* U+202A to U+202E, embeddings and overrides */
        {BYTES("a\u202Bb"), INVISIBLE},
        {BYTES("a\u202Cb"), INVISIBLE},
        {BYTES("a\u202Db"), INVISIBLE},
        {BYTES("a\u202Eb"), INVISIBLE},
        {BYTES("\u202E"), INVISIBLE},
        {BYTES("a\u2060b"), INVISIBLE}, /* word joiner */
        {BYTES("a\u2062b"), INVISIBLE}, /* invisible times */
        {BYTES("a\u2066b"), INVISIBLE}, /* U+2066 to U+2069, isolates */
        {BYTES("a\u2067b"), INVISIBLE},
        {BYTES("a\u2068b"), INVISIBLE},
        {BYTES("a\u2069b"), INVISIBLE},
        {BYTES("a\u206Fb"), INVISIBLE},     /* nominal digit shapes */
        {BYTES("\uFEFFa"), INVISIBLE},      /* byte order mark */
        {BYTES("a\uFFF9b"), INVISIBLE},     /* annotation anchor */
        {BYTES("a\u034Fb"), INVISIBLE},     /* combining grapheme joiner */
        {BYTES("a\u115Fb"), INVISIBLE},     /* Hangul choseong filler */
        {BYTES("a\u1160b"), INVISIBLE},     /* Hangul jungseong filler */
        {BYTES("\u3164"), INVISIBLE},       /* Hangul filler */
        {BYTES("\uFFA0"), INVISIBLE},       /* half width Hangul filler */
        {BYTES("a\u17B4"), INVISIBLE},      /* Khmer inherent vowel */
        {BYTES("a\u180B"), INVISIBLE},      /* Mongolian variation selector */
        {BYTES("\u2764\uFE0F"), INVISIBLE}, /* variation selector */
        {BYTES("a\U000E0100"), INVISIBLE},  /* variation selector */
        {BYTES("a\U000E0061"), INVISIBLE},  /* tag letter a */
        {BYTES("a\U0001D173"), INVISIBLE},  /* musical begin beam */
        {BYTES("a\U0001BCA0"), INVISIBLE},  /* shorthand overlap */
        {BYTES("\u2800"), INVISIBLE},       /* Braille blank */
        {BYTES("a\u2800b"), INVISIBLE},
        {BYTES("a\u2800"), INVISIBLE},
        {BYTES("\U00013441"), INVISIBLE},  /* hieroglyph, full blank */
        {BYTES("\U00013442"), INVISIBLE},  /* hieroglyph, half blank */
        {BYTES("a\U00016FE4"), INVISIBLE}, /* Khitan filler */
        {BYTES("\U0001D159"), INVISIBLE},  /* musical null note head */
        {BYTES("a\uE000"), PRIVATE},
        {BYTES("\uF8FF"), PRIVATE},
        {BYTES("\U000F0000"), PRIVATE},
        {BYTES("a\u0378"), UNDEFINED},
        {BYTES("\uFFFE"), UNDEFINED},
        {BYTES("\uFDD0"), UNDEFINED},
        {BYTES("\U0010FFFF"), UNDEFINED}, /* the last of all */
        {BYTES("\u2065"), UNDEFINED},
    };
    check_names(rows, sizeof rows / sizeof rows[0]);
}

static void test_ends(void **state)
{
    (void)state;
    static const struct name_case rows[] = {
        {BYTES(" "), ENDS},             /* nothing else */
        {BYTES(" a"), ENDS},            /* before */
        {BYTES("a "), ENDS},            /* behind */
        {BYTES("a b "), ENDS},          /* behind, and within */
        {BYTES("\u00A0a"), ENDS},       /* no-break space */
        {BYTES("a\u1680"), ENDS},       /* Ogham space */
        {BYTES("\u2000a"), ENDS},       /* en quad */
        {BYTES("a\u200A"), ENDS},       /* hair space */
        {BYTES("a\u202F"), ENDS},       /* narrow no-break space */
        {BYTES("a\u205F"), ENDS},       /* mathematical space */
        {BYTES("\u3000a"), ENDS},       /* ideographic space, before */
        {BYTES("a\u3000"), ENDS},       /* and behind */
        {BYTES("\u0301"), MARK},        /* Mn, nothing else */
        {BYTES("\u0301a"), MARK},       /* Mn */
        {BYTES("\u0903a"), MARK},       /* Mc */
        {BYTES("\u20DDa"), MARK},       /* Me */
        {BYTES("a\u20DD"), NULL},       /* Me where it belongs */
        {BYTES("a\u0301\u0302"), NULL}, /* two of Mn */
    };
    check_names(rows, sizeof rows / sizeof rows[0]);
}

static void test_utf8_rfc3629_3(void **state)
{
    (void)state;
    static const struct name_case rows[] = {
        {BYTES("\x80"), UTF8},
        {BYTES("a\xBF"), UTF8},
        {BYTES("\xC3"), UTF8},
        {BYTES("\xC3("), UTF8},
        {BYTES("\xE2\x82"), UTF8},
        {BYTES("\xE2\x82("), UTF8},
        {BYTES("\xF0\x9F\x90"), UTF8},
        {BYTES("\xF0\x9F\x90("), UTF8},
        {BYTES("\xC0\x80"), UTF8}, /* overlong NUL */
        {BYTES("\xC0\xAF"), UTF8}, /* overlong '/' */
        {BYTES("\xC1\xBF"), UTF8},
        {BYTES("\xE0\x80\xAF"), UTF8},
        {BYTES("\xE0\x9F\xBF"), UTF8},
        {BYTES("\xF0\x80\x80\xAF"), UTF8},
        {BYTES("\xF0\x8F\xBF\xBF"), UTF8},
        {BYTES("\xED\xA0\x80"), UTF8},             /* U+D800 */
        {BYTES("\xED\xBF\xBF"), UTF8},             /* U+DFFF */
        {BYTES("\xED\xA0\xBD\xED\xB0\xBA"), UTF8}, /* a pair of surrogates */
        {BYTES("\xF4\x90\x80\x80"), UTF8},         /* U+110000 */
        {BYTES("\xF5\x80\x80\x80"), UTF8},
        {BYTES("\xF8\x88\x80\x80\x80"), UTF8},
        {BYTES("\xFE"), UTF8},
        {BYTES("\xFF"), UTF8},
        {BYTES("caf\xE9"), UTF8}, /* Latin-1 */
    };
    check_names(rows, sizeof rows / sizeof rows[0]);
}

/* ---- What is the same ------------------------------------------------------------------------ */

static char *fold(const char *name, size_t len)
{
    char *copy = exact_copy(name, len);
    char *folded = name_fold(copy, len);
    free(copy);
    assert_non_null(folded);
    return folded;
}

static bool same_fold(const char *a, const char *b)
{
    char *x = fold(a, strlen(a)), *y = fold(b, strlen(b));
    bool same = strcmp(x, y) == 0;
    free(x);
    free(y);
    return same;
}

struct fold_case {
    const char *a, *b;
    bool same;
};

static void test_folds_uax31(void **state)
{
    (void)state;
    static const struct fold_case rows[] = {
        {"ana", "ana", true},
        {"ana", "ANA", true},
        {"ana", "aNa", true},
        {"ana", "anna", false},
        {"ana", "an", false},
        {"caf\u00E9", "cafe\u0301", true}, /* NFC, NFD */
        {"caf\u00E9", "CAFE\u0301", true},
        {"caf\u00E9", "cafe", false},
        {"q\u0307\u0323", "q\u0323\u0307", true},  /* marks above and below, in any order */
        {"q\u0307\u0301", "q\u0301\u0307", false}, /* both above: the order counts */
        {"\u03B1\u0345\u0301", "\u03B1\u0301\u0345", true}, /* U+0345 casefolds to a letter */
        {"\uFF21\uFF4E\uFF41", "ana", true},                /* full width */
        {"\uFF76", "\u30AB", true},                         /* half width Katakana */
        {"\uFB01n", "fin", true},                           /* ligature fi */
        {"\uFB04", "FFL", true},                            /* ligature ffl */
        {"Stra\u00DFe", "STRASSE", true},                   /* sharp s */
        {"Stra\u00DFe", "strasse", true},
        {"STRA\u1E9EE", "stra\u00DFe", true}, /* capital sharp s */
        {"\u0130", "i\u0307", true},          /* Turkish I with a dot */
        {"\u0130", "i", false},
        {"\u0131", "i", false}, /* Turkish i without one */
        {"\u0131", "I", false},
        {"I", "i", true},           /* by no language's rules */
        {"\u03C2", "\u03C3", true}, /* final sigma */
        {"\u03A3", "\u03C2", true},
        {"\u00B5", "\u03BC", true},  /* micro sign, mu */
        {"\u212A", "k", true},       /* Kelvin sign */
        {"\u212B", "\u00E5", true},  /* Angstrom sign */
        {"\u017F", "s", true},       /* long s */
        {"\u01C4", "d\u017E", true}, /* DZ with caron */
        {"\u2460", "1", true},       /* circled 1 */
        {"x\u00B2", "x2", true},     /* superscript 2 */
        {"\u2163", "iv", true},      /* Roman numeral four */
        {"\u2121", "tel", true},     /* telephone sign */
        {"\U0001D504", "a", true},   /* Fraktur A */
        {"a\u00A0b", "a b", true},   /* no-break space */
        {"a\u3000b", "a b", true},   /* ideographic space */
        {"a  b", "a b", false},
        {"\uD55C", "\u1112\u1161\u11AB", true}, /* Hangul in NFC, NFD */
        {"\u2F00", "\u4E00", true},             /* Kangxi radical one */
        {"\u0410\u043D\u043D\u0430", "\u0430\u043D\u043D\u0430", true},
        {"\u13A0", "\uAB70", true}, /* Cherokee folds to its capitals */
        {"\u0430", "a", false},     /* Cyrillic and Latin: not Unicode's same text */
        {WOLF, WOLF, true},
        {WOLF, "\U0001F436", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (same_fold(rows[i].a, rows[i].b) != rows[i].same)
            fail_msg("row %zu: %s and %s", i, rows[i].a, rows[i].b);
}

static void test_folds_as_bytes(void **state)
{
    (void)state;
    static const struct {
        const char *name, *folded;
    } rows[] = {
        {"Ana", "ana"},        {"CAFE\u0301", "caf\u00E9"}, {"STRA\u1E9EE", "strasse"},
        {"\u0130", "i\u0307"}, {"\uFF21 \uFB01", "a fi"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char *folded = fold(rows[i].name, strlen(rows[i].name));
        assert_string_equal(folded, rows[i].folded);
        free(folded);
    }
}

/* Only `len` bytes are the name, whatever stands behind them. */
static void test_a_fold_ends_where_the_name_does(void **state)
{
    (void)state;
    char *folded = name_fold("ANAxyz", 3);
    assert_non_null(folded);
    assert_string_equal(folded, "ana");
    free(folded);
}

/* An ASCII name of any length that is allowed is folded into the caller's buffer. */
static void test_an_ascii_name_is_folded_without_an_allocation(void **state)
{
    (void)state;
    char name[NAME_MAX_BYTES + 2], buf[NAME_MAX_BYTES + 1];
    memset(name, 'A', sizeof(name));
    for (size_t len = 0; len <= NAME_MAX_BYTES; len++) {
        memset(buf, 'x', sizeof(buf));
        assert_ptr_equal(name_fold_into(buf, name, len), buf);
        assert_int_equal(strlen(buf), len);
        assert_int_equal(strspn(buf, "a"), len);
    }
    char *longer = name_fold_into(buf, name, NAME_MAX_BYTES + 1);
    assert_true(longer && longer != buf);
    free(longer);
    char *other = name_fold_into(buf, "\xC3\x84NA", 4);
    assert_true(other && other != buf);
    assert_string_equal(other, "\xC3\xA4na");
    free(other);
}

/* ---- All of Unicode -------------------------------------------------------------------------- */

/* A letter, the character, a mark of a low class: so that the character may have to move. */
static size_t put_between(char *out, int32_t c)
{
    size_t len = 1;
    out[0] = 'A';
    len += (size_t)utf8proc_encode_char(c, (utf8proc_uint8_t *)out + len);
    memcpy(out + len, "\u0323", 2);
    len += 2;
    out[len] = '\0';
    return len;
}

/* UAX #15, UAX #31: a fold folds to itself, and the normal forms of a name fold alike. */
static void check_fold_of(const char *name, size_t len, int32_t c)
{
    char *once = fold(name, len), *twice = fold(once, strlen(once));
    char *nfc = (char *)utf8proc_NFC((const utf8proc_uint8_t *)name);
    char *nfd = (char *)utf8proc_NFD((const utf8proc_uint8_t *)name);
    assert_true(nfc != NULL && nfd != NULL);
    if (once[0] == '\0' || strcmp(once, twice) != 0)
        fail_msg("U+%04X: the fold does not fold to itself", (unsigned)c);
    if (!same_fold(nfc, once) || !same_fold(nfd, once))
        fail_msg("U+%04X: normal forms fold differently", (unsigned)c);
    free(nfd);
    free(nfc);
    free(twice);
    free(once);
}

static void test_every_character_folds_once_and_for_all(void **state)
{
    (void)state;
    size_t allowed = 0;
    for (int32_t c = 0; c < 0x110000; c++) {
        char name[16];
        if (!utf8proc_codepoint_valid(c))
            continue;
        size_t len = put_between(name, c);
        if (name_check(name, len) != NULL)
            continue;
        check_fold_of(name, len, c);
        allowed++;
    }
    assert_true(allowed > 100000); /* Unicode 15 has 149,186 characters */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_of_all_the_world),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_what_cannot_be_seen),
        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_utf8_rfc3629_3),
        cmocka_unit_test(test_folds_uax31),
        cmocka_unit_test(test_folds_as_bytes),
        cmocka_unit_test(test_a_fold_ends_where_the_name_does),
        cmocka_unit_test(test_an_ascii_name_is_folded_without_an_allocation),
        cmocka_unit_test(test_every_character_folds_once_and_for_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
