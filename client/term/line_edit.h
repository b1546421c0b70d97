/* SPDX-License-Identifier: MIT
 *
 * line_edit.h - edits the line that is being typed: takes keys, and tells which part to show.
 *
 * It takes the bytes of a terminal one by one and never waits for the next, so a lone Escape does
 * not block it. A text may have several lines, from a paste or by Alt-Return; only Return sends it.
 * Editing works on grapheme clusters: an emoji of seven code points is one character (UAX #29).
 * Pure: no I/O, no locks; a line belongs to one thread.
 */
#ifndef LINE_EDIT_H
#define LINE_EDIT_H

#include <stdbool.h>
#include <stddef.h>

enum {
    LINE_EDIT_BYTES = 16384, /* bytes of text; further input is ignored */
    LINE_EDIT_HISTORY = 100, /* lines in the history; one more forgets the oldest */
    LINE_EDIT_KEY_MAX = 16,  /* bytes of one key; a longer sequence is ignored */
};

/* Result of a key that the caller must act on. */
enum line_edit_action {
    LINE_EDIT_NONE,      /* nothing; the text may have changed */
    LINE_EDIT_ENTER,     /* Return: the text is complete; take it, then line_edit_reset */
    LINE_EDIT_COMPLETE,  /* Tab */
    LINE_EDIT_REDRAW,    /* Ctrl-L */
    LINE_EDIT_SUSPEND,   /* Ctrl-Z */
    LINE_EDIT_INTERRUPT, /* Ctrl-C */
    LINE_EDIT_END,       /* Ctrl-D with nothing typed */
};

struct line_edit {
    char text[LINE_EDIT_BYTES + 1];
    size_t len, at; /* length and cursor position in bytes */

    char killed[LINE_EDIT_BYTES + 1]; /* removed by Ctrl-K, Ctrl-U, Ctrl-W; Ctrl-Y puts it back */
    char *history[LINE_EDIT_HISTORY];
    size_t remembered, shown; /* number of lines; the one in `text` (`remembered`: the draft) */
    char *draft;              /* the unfinished line before looking back */

    unsigned char key[LINE_EDIT_KEY_MAX]; /* the bytes of a key so far */
    size_t key_len;
    bool pasting;   /* between the marks of a bracketed paste, where Return ends no line */
    bool pasted_cr; /* the last pasted byte was \r: a \n after it is the same line end */
};

/* The part to show in `columns`: the bytes from `start` to `end`, and the cursor's column in it. */
struct line_edit_view {
    size_t start, end, cursor;
};

/* Wipes and frees the contents. A zeroed line is empty and has no history. */
void line_edit_fini(struct line_edit *line);

/* Takes one byte from the terminal. */
enum line_edit_action line_edit_key(struct line_edit *line, unsigned char byte);

/* Empties and wipes the line; with `remember` the text joins the history. */
void line_edit_reset(struct line_edit *line, bool remember);

/* Replaces the bytes from `from` to the cursor by `text`, which need not be trusted: if it is not
 * harmless UTF-8 (unicode.h), so that it could not be typed, nothing changes. */
void line_edit_replace(struct line_edit *line, size_t from, const char *text);

/* Chooses the part with the cursor, if the line is too long. `columns` is at least 2. */
struct line_edit_view line_edit_look(const struct line_edit *line, size_t columns);

#endif
