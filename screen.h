/* SPDX-License-Identifier: MIT
 *
 * screen.h - the terminal: a line that is being typed at the bottom, and what is said above it.
 *
 * Whatever is shown passes through glyph_clean, and each change is one write(2), so that no line is
 * torn and nobody's text can command the terminal. A screen that was not opened writes its lines to
 * standard error, without colours: for scripts. One thread.
 */
#ifndef SCREEN_H
#define SCREEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <termios.h>

#include "line.h"

enum {
    SCREEN_COLUMNS_MIN = 8,   /* a narrower terminal is drawn as if it had that many */
    SCREEN_PROMPT_MAX = 136,  /* bytes of the prompt, with its NUL; a longer one is cut */
    SCREEN_ANSWER_MAX = 1024, /* bytes of an answer to screen_ask, with its NUL */
};

enum screen_style {
    SCREEN_PLAIN,
    SCREEN_DIM,  /* times, and what the program says by itself */
    SCREEN_GOOD, /* what is well protected */
    SCREEN_WARN, /* what ought to be read */
    SCREEN_NAME, /* somebody's name, in a colour of its own */
};

struct screen {
    bool open, colour;
    size_t columns;
    struct termios before;
    char prompt[SCREEN_PROMPT_MAX];
    struct line line;
    size_t column; /* where what is said has got to */
    size_t drawn;  /* columns from the row's start to the cursor, as it was drawn last */
    char *out;     /* what the next write takes */
    size_t out_len, out_cap;
};

/* Takes the terminal over: keys come one by one and are not echoed. There are colours unless NO_COLOR
 * or TERM=dumb say otherwise. Returns 0, or -1 and errno if there is no terminal to take. */
int screen_open(struct screen *screen);

/* Gives it back as it was. To be called in any case, however the program ends. */
void screen_close(struct screen *screen);

/* Stops the process as Ctrl-Z does elsewhere, and takes the terminal over again when it goes on. */
void screen_suspend(struct screen *screen);

/* What stands before the line. */
void screen_prompt(struct screen *screen, const char *prompt);

/* Draws the line anew; `clear`: on an empty screen. */
void screen_draw(struct screen *screen, bool clear);

/* The terminal has another size. */
void screen_resize(struct screen *screen);

/* Says a line above the one that is typed: begin, put its parts, end. A newline in a part begins an
 * indented line, and so does the end of the row: no text can look like a message of somebody else. */
void screen_begin(struct screen *screen);
void screen_put(struct screen *screen, enum screen_style style, const char *text, size_t len);
void screen_end(struct screen *screen);

/* All three for one text. */
void screen_say(struct screen *screen, enum screen_style style, const char *text);

/* Asks something on the terminal, whether the screen is open or not; without `echo` what is typed stays
 * hidden. Returns 0 and a line in `answer` (SCREEN_ANSWER_MAX), or -1 when there was none: no
 * terminal, its end, a signal. */
int screen_ask(const char *question, bool echo, char *answer);

#endif
