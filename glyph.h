/* SPDX-License-Identifier: MIT
 *
 * glyph.h - what characters do on a terminal: which of them must not reach it, which belong
 * together, and how many columns they take (Unicode's tables, as utf8proc has them).
 *
 * Pure: no I/O, no locks, any thread.
 */
#ifndef GLYPH_H
#define GLYPH_H

#include <stdbool.h>
#include <stddef.h>

/* Makes a text that others wrote harmless. What could command the terminal or turn the text around
 * it becomes U+FFFD: control characters (C0, C1, DEL), format characters such as bidi overrides, line
 * and paragraph separators, what is not UTF-8. The joiners of emoji and scripts stay. A tab becomes a
 * blank; a newline becomes `newline`. Returns a string that the caller frees with free(), or NULL
 * when memory is out. */
char *glyph_clean(const char *text, size_t len, const char *newline);

/* A name as it stands in a line of text: one with white space or quotes is quoted, so that nobody can
 * be called "ana to you [verified]". Freed with free(); NULL when memory is out. */
char *glyph_quote(const char *name);

/* Whether all of it is UTF-8 (RFC 3629) without U+0000. */
bool glyph_is_text(const char *text, size_t len);

/* Whether a character may stand in what glyph_clean makes. */
bool glyph_is_harmless(long character);

/* Where the cluster that begins at `at` ends, and where the one that ends at `at` begins: what a
 * person takes for one character (UAX #29). The text is UTF-8. */
size_t glyph_next(const char *text, size_t len, size_t at);
size_t glyph_previous(const char *text, size_t at);

/* Columns that `len` bytes of harmless UTF-8 take on a terminal; a newline is drawn as one sign. */
size_t glyph_columns(const char *text, size_t len);

#endif
