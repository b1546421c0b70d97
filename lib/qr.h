/* SPDX-License-Identifier: MIT
 *
 * qr.h - a text as a QR code (ISO/IEC 18004) for a terminal.
 *
 * Pure: text in, text out; any thread.
 */
#ifndef QR_H
#define QR_H

enum { QR_TEXT_MAX = 512 }; /* bytes of text; more is refused */

/* Draws `text` for a terminal as lines of half blocks in UTF-8, two rows of modules each, with a
 * quiet zone, black on white in any colour scheme (ECMA-48 §8.3.117). Each line begins with
 * `indent` blanks; *columns is its width, blanks included. Returns a string that the caller frees
 * with free(), or NULL when the text is empty or too long, or memory is out. */
char *qr_terminal(const char *text, int indent, int *columns);

#endif
