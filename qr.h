/* SPDX-License-Identifier: MIT
 *
 * qr.h - a text as a QR code (ISO/IEC 18004): for a terminal, or as a path for SVG.
 *
 * Pure: text in, text out; any thread.
 */
#ifndef QR_H
#define QR_H

enum { QR_TEXT_MAX = 512 }; /* bytes of text; more is refused */

/* Draws `text` for a terminal: lines of half blocks in UTF-8, two rows of modules in each, with a
 * quiet zone, black on white whatever the terminal's own colours are (ECMA-48 §8.3.117). `indent`
 * blanks stand before each line; *columns is how wide a line is, with them.
 * Returns a string that the caller frees with free(), or NULL when the text is empty or too long, or
 * memory is out. */
char *qr_terminal(const char *text, int indent, int *columns);

/* Draws `text` as the data of an SVG path (SVG 2 §9.3): the dark modules, one unit wide each, without
 * a quiet zone. *size is the number of modules on a side. Returned as above. */
char *qr_path(const char *text, int *size);

#endif
