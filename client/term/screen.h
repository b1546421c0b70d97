/* SPDX-License-Identifier: MIT
 *
 * screen.h - the terminal: a line being typed at the bottom, and output above it.
 *
 * All output passes through unicode_clean, and each change is one write(2), so no line is torn and
 * no text can control the terminal. A screen that was not opened writes its lines to standard
 * error, without colours, for scripts. One thread.
 */
#ifndef SCREEN_H
#define SCREEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <termios.h>

#include "client/term/line_edit.h"

enum {
    SCREEN_COLUMNS_MIN = 8,   /* a narrower terminal is treated as if it had this many */
    SCREEN_PROMPT_MAX = 136,  /* bytes of the prompt, with its NUL; a longer one is cut */
    SCREEN_ANSWER_MAX = 1024, /* bytes of an answer to screen_ask, with its NUL */
};

enum screen_style {
    SCREEN_PLAIN,
    SCREEN_DIM,  /* times, and messages of the program itself */
    SCREEN_GOOD, /* good security */
    SCREEN_WARN, /* warnings */
    SCREEN_NAME, /* a name, in its own colour */
};

struct screen {
    bool open, colour;
    size_t columns;
    struct termios before;
    char prompt[SCREEN_PROMPT_MAX];
    struct line_edit line;
    size_t column; /* column of the current output line */
    size_t drawn;  /* columns from the row's start to the cursor when last drawn */
    char *out;     /* output for the next write */
    size_t out_len, out_cap;
};

/* Takes over the terminal: keys arrive one by one and are not echoed. Uses colours unless NO_COLOR
 * or TERM=dumb is set. Returns 0, or -1 and errno if there is no terminal. */
int screen_open(struct screen *screen);

/* Restores the terminal. Must be called however the program ends. */
void screen_close(struct screen *screen);

/* Stops the process as Ctrl-Z does elsewhere, and takes over the terminal again when it continues.
 */
void screen_suspend(struct screen *screen);

/* Sets the prompt before the line. */
void screen_prompt(struct screen *screen, const char *prompt);

/* Draws the line again; `clear`: on an empty screen. */
void screen_draw(struct screen *screen, bool clear);

/* The size of the terminal has changed. */
void screen_resize(struct screen *screen);

/* Writes an output line above the typed one: begin, put its parts, end. A newline in a part begins
 * an indented line, and so does the end of the row, so no text can imitate another member's
 * message. */
void screen_begin(struct screen *screen);
void screen_put(struct screen *screen, enum screen_style style, const char *text, size_t len);
void screen_end(struct screen *screen);

/* Asks a question on the terminal, whether the screen is open or not; without `echo` the typed
 * answer stays hidden. Returns 0 and a line in `answer` (SCREEN_ANSWER_MAX), or -1 on end of input,
 * after a signal, or without a terminal. */
int screen_ask(const char *question, bool echo, char *answer);

#endif
