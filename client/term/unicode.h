/* SPDX-License-Identifier: MIT
 *
 * unicode.h - characters on a terminal: which must not reach it, which form a cluster, and how many
 * columns they take (Unicode's tables, as in utf8proc).
 *
 * Pure: no I/O, no locks, any thread.
 */
#ifndef UNICODE_H
#define UNICODE_H

#include <stdbool.h>
#include <stddef.h>

/* Makes a text from others harmless. Characters that could control the terminal or reorder the text
 * around them become U+FFFD: control characters (C0, C1, DEL), format characters such as bidi
 * overrides, line and paragraph separators, and invalid UTF-8. The joiners of emoji and scripts
 * stay. A tab becomes a blank; a newline becomes `newline`. Returns a string that the caller frees
 * with free(), or NULL when memory is out. */
char *unicode_clean(const char *text, size_t len, const char *newline);

/* Formats a name for a line of text. A name with white space, quotes, brackets, a colon or a star
 * is quoted, so that nobody can be called "[verified] ana to you: yes". A name that name_check
 * refuses (a server should not have accepted it) is marked and quoted, with U+FFFD for invisible
 * characters: [bad name] "ana\uFFFDto\uFFFDyou". The caller frees it with free(); NULL when memory
 * is out. */
char *unicode_quote(const char *name);

/* Whether all of it is UTF-8 (RFC 3629) without U+0000. */
bool unicode_is_text(const char *text, size_t len);

/* Whether unicode_clean leaves a character as it is. */
bool unicode_is_harmless(long character);

/* The end of the cluster that begins at `at`, and the start of the one that ends at `at`. A cluster
 * is what people see as one character (UAX #29). The text is UTF-8. */
size_t unicode_next(const char *text, size_t len, size_t at);
size_t unicode_previous(const char *text, size_t at);

/* Columns that `len` bytes of harmless UTF-8 take on a terminal; a newline is drawn as one sign. */
size_t unicode_columns(const char *text, size_t len);

/* The most columns that a terminal may use. Some have newer tables than utf8proc, where characters
 * that are narrow here are wide; some draw every character before U+FE0F two columns wide. */
size_t unicode_columns_most(const char *text, size_t len);

#endif
