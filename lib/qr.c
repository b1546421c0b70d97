/* SPDX-License-Identifier: MIT
 *
 * qr.c - a text as a QR code (ISO/IEC 18004) for a terminal. The page draws its own (web/qr.js).
 *
 * libqrencode makes the modules; this file draws them. It uses the lowest redundancy, which keeps
 * the code small. The buffer has room for the worst case, so it never grows. Any thread, no locks.
 */
#include "lib/qr.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <qrencode.h>

/* Black on white from the 256-colour cube, which no theme changes, and the reset to defaults. */
#define INK   "\x1b[38;5;16;48;5;231m"
#define PLAIN "\x1b[0m"

enum {
    QUIET = 2,     /* light modules around a code; the standard asks for 4, phones need 2 */
    GLYPH_MAX = 3, /* bytes of a half block */
};

static QRcode *encode(const char *text)
{
    size_t len = strlen(text);
    if (len == 0 || len > QR_TEXT_MAX)
        return NULL;
    return QRcode_encodeData((int)len, (const unsigned char *)text, 0, QR_ECLEVEL_L);
}

/* Whether a module is dark; everything outside the code is light. */
static bool is_dark(const QRcode *code, int x, int y)
{
    if (x < 0 || y < 0 || x >= code->width || y >= code->width)
        return false;
    return code->data[y * code->width + x] & 1;
}

/* The character for two modules, one above the other. */
static const char *glyph(bool upper, bool lower)
{
    static const char *const glyphs[] = {" ", "▄", "▀", "█"};
    return glyphs[2 * upper + lower];
}

/* Draws the rows y and y + 1. Returns the end of the output. */
static char *draw_line(char *out, const QRcode *code, int y, int indent)
{
    out += sprintf(out, "%*s" INK, indent, "");
    for (int x = -QUIET; x < code->width + QUIET; x++)
        out = stpcpy(out, glyph(is_dark(code, x, y), is_dark(code, x, y + 1)));
    return stpcpy(out, PLAIN "\n");
}

char *qr_terminal(const char *text, int indent, int *columns)
{
    QRcode *code = encode(text);
    if (!code)
        return NULL;
    int side = code->width + 2 * QUIET;
    size_t line = (size_t)indent + strlen(INK PLAIN "\n") + (size_t)side * GLYPH_MAX;
    char *drawing = malloc((size_t)(side + 1) / 2 * line + 1);
    char *end = drawing;
    for (int y = -QUIET; drawing && y < code->width + QUIET; y += 2)
        end = draw_line(end, code, y, indent);
    *columns = indent + side;
    QRcode_free(code);
    return drawing;
}
