/* SPDX-License-Identifier: MIT
 *
 * name.h - which names are allowed, and when two of them are the same.
 *
 * Names of members and rooms are shown to people. So a character that is invisible is refused, and
 * names that look the same are folded. Pure: no I/O, no locks, any thread.
 */
#ifndef NAME_H
#define NAME_H

#include <stddef.h>

enum {
    NAME_MAX_CHARS = 32,  /* code points; one more is refused */
    NAME_MAX_BYTES = 128, /* at most 4 bytes of UTF-8 for each code point */
};

/* Checks a name of `len` bytes, which need not end in NUL: 1 to 32 characters of valid UTF-8, no
 * control, format (bidi), zero-width or unassigned character, no white space at the ends. Returns
 * NULL if it is allowed, else the reason, in words for people (a constant string: "a name must not
 * be empty"). */
const char *name_check(const char *name, size_t len);

/* Folds a name that has passed name_check. Two names are the same if their folds are: NFKC with
 * case folding (Unicode TR31, utf8proc_NFKC_Casefold). Returns a string that the caller frees with
 * free(), or NULL when memory is out. */
char *name_fold(const char *name, size_t len);

/* The same without an allocation for ASCII names, which most are: such a fold is written to `buf`,
 * which is returned. Every other result is the caller's to free: free it if it is not `buf`. */
char *name_fold_into(char buf[NAME_MAX_BYTES + 1], const char *name, size_t len);

#endif
