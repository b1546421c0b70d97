/* SPDX-License-Identifier: MIT
 *
 * name.h - which names are allowed, and when two of them are the same.
 *
 * Names of members and of rooms are shown to people, so what cannot be seen, or
 * looks like another name, is refused or folded. Pure: no I/O, no locks, any thread.
 */
#ifndef NAME_H
#define NAME_H

#include <stddef.h>

enum {
    NAME_MAX_CHARS = 32,  /* code points; one more is refused */
    NAME_MAX_BYTES = 128, /* what 32 code points take in UTF-8 at the most */
};

/* Checks a name of `len` bytes, which need not end in NUL: 1 to 32 characters of valid UTF-8,
 * no control, format (bidi), zero-width or unassigned character, no white space at the ends.
 * Returns NULL if it is allowed, else why not, in words for people (a constant string:
 * "a name must not be empty"). */
const char *name_check(const char *name, size_t len);

/* Two names are the same if their folds are the same bytes: NFKC with case folding
 * (Unicode TR31, utf8proc_NFKC_Casefold). `name` has passed name_check.
 * Returns a string that the caller frees with free(), or NULL when memory is out. */
char *name_fold(const char *name, size_t len);

#endif
