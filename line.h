/* SPDX-License-Identifier: MIT
 *
 * line.h - the line that is being typed: keys in, an edited text out, and what of it to show.
 *
 * It takes the bytes of a terminal one by one and never waits for the next: a lone Escape holds
 * nothing up. A line may have several, from a paste or by Alt-Return: it stays one text, and goes out
 * only with Return. What a person takes for one character is one here, be it an emoji of seven code points
 * (UAX #29). Pure: no I/O, no locks; a line belongs to one thread.
 */
#ifndef LINE_H
#define LINE_H

#include <stdbool.h>
#include <stddef.h>

enum {
    LINE_BYTES = 16384, /* bytes of text; what is typed beyond is left out */
    LINE_HISTORY = 100, /* lines remembered; the oldest is forgotten for one more */
    LINE_KEY_MAX = 16,  /* bytes of one key; a longer sequence is left out */
};

/* What a key asks for that the line cannot do alone. */
enum line_action {
    LINE_NONE,      /* nothing: the text may have changed */
    LINE_ENTER,     /* Return: the text is complete; take it, then line_reset */
    LINE_COMPLETE,  /* Tab */
    LINE_REDRAW,    /* Ctrl-L */
    LINE_SUSPEND,   /* Ctrl-Z */
    LINE_INTERRUPT, /* Ctrl-C */
    LINE_END,       /* Ctrl-D with nothing typed */
};

struct line {
    char text[LINE_BYTES + 1];
    size_t len, at; /* bytes, and the place of the cursor among them */

    char killed[LINE_BYTES + 1]; /* what Ctrl-K, Ctrl-U, Ctrl-W took: Ctrl-Y puts it back */
    char *history[LINE_HISTORY];
    size_t remembered, shown; /* how many; which is in `text` (`remembered`: the draft) */
    char *draft;              /* what was being typed before looking back */

    unsigned char key[LINE_KEY_MAX]; /* the bytes of a key so far */
    size_t key_len;
    bool pasting;   /* between the marks of a bracketed paste, where Return ends no line */
    bool pasted_cr; /* the last byte of the paste: a \n behind it is the same line's end */
};

/* What to show in `columns`: the bytes from `start` to `end`, and the cursor's column among them. */
struct line_view {
    size_t start, end, cursor;
};

/* An empty line without history is all zeros. Frees what it holds. */
void line_fini(struct line *line);

/* Takes one byte from the terminal. */
enum line_action line_key(struct line *line, unsigned char byte);

/* Empties the line; with `remember` what was typed joins the history. */
void line_reset(struct line *line, bool remember);

/* Puts `text` (harmless UTF-8, glyph.h) in the place of the bytes from `from` to the cursor. */
void line_replace(struct line *line, size_t from, const char *text);

/* Chooses the part that holds the cursor, if not all fits. `columns` is at least 2. */
struct line_view line_look(const struct line *line, size_t columns);

#endif
