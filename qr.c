/* SPDX-License-Identifier: MIT
 *
 * qr.c - a text as a QR code (ISO/IEC 18004): for a terminal, or as a path for SVG.
 *
 * libqrencode makes the modules; this file draws them. On a terminal the redundancy is the lowest,
 * for the code is as big as it is; a page has room for the next one up. Each drawing goes into a
 * buffer that has room for the worst case, so nothing grows on the way.
 */
#include "qr.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <qrencode.h>

/* Black on white of the 256-colour cube, which no theme changes, and back to the terminal's own. */
#define INK   "\x1b[38;5;16;48;5;231m"
#define PLAIN "\x1b[0m"

enum {
    QUIET = 2, /* light modules around a code on a terminal; 4 by the standard, 2 do for phones */
    GLYPH_MAX = 3,                                /* bytes of a half block */
    RUN_MAX = sizeof("M177 177h177v1h-177z") - 1, /* a run of dark modules in the largest code */
};

static QRcode *encode(const char *text, QRecLevel level)
{
    size_t len = strlen(text);
    if (len == 0 || len > QR_TEXT_MAX)
        return NULL;
    return QRcode_encodeData((int)len, (const unsigned char *)text, 0, level);
}

/* Whether a module is dark; what lies outside of the code is light. */
static bool is_dark(const QRcode *code, int x, int y)
{
    if (x < 0 || y < 0 || x >= code->width || y >= code->width)
        return false;
    return code->data[y * code->width + x] & 1;
}

/* ---- Terminal -------------------------------------------------------------------------------- */

/* The character for two modules, one above the other. */
static const char *glyph(bool upper, bool lower)
{
    static const char *const glyphs[] = {" ", "▄", "▀", "█"};
    return glyphs[2 * upper + lower];
}

/* Draws the rows y and y + 1. Returns the end of what was written. */
static char *draw_line(char *out, const QRcode *code, int y, int indent)
{
    out += sprintf(out, "%*s" INK, indent, "");
    for (int x = -QUIET; x < code->width + QUIET; x++)
        out = stpcpy(out, glyph(is_dark(code, x, y), is_dark(code, x, y + 1)));
    return stpcpy(out, PLAIN "\n");
}

char *qr_terminal(const char *text, int indent, int *columns)
{
    QRcode *code = encode(text, QR_ECLEVEL_L);
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

/* ---- SVG ------------------------------------------------------------------------------------- */

/* How many dark modules follow each other from (x, y). */
static int run_length(const QRcode *code, int x, int y)
{
    int len = 0;
    while (is_dark(code, x + len, y))
        len++;
    return len;
}

/* One rectangle for each run of dark modules in a row. Returns the end of what was written. */
static char *draw_row(char *out, const QRcode *code, int y)
{
    for (int x = 0, len; x < code->width; x += len + 1) {
        len = run_length(code, x, y);
        if (len > 0)
            out += sprintf(out, "M%d %dh%dv1h-%dz", x, y, len, len);
    }
    return out;
}

char *qr_path(const char *text, int *size)
{
    QRcode *code = encode(text, QR_ECLEVEL_M);
    if (!code)
        return NULL;
    size_t runs = (size_t)code->width * (size_t)(code->width + 1) / 2;
    char *path = malloc(runs * RUN_MAX + 1);
    char *end = path;
    for (int y = 0; path && y < code->width; y++)
        end = draw_row(end, code, y);
    *size = code->width;
    QRcode_free(code);
    return path;
}
