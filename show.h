/* SPDX-License-Identifier: MIT
 *
 * show.h - how what happens looks: lines on the terminal, or lines of JSON for scripts.
 *
 * One thread.
 */
#ifndef SHOW_H
#define SHOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "options.h"
#include "say.h"
#include "screen.h"

enum { SHOW_NOTE_MAX = 2048 }; /* bytes of a note; a longer one is cut */

struct show {
    enum options_mode mode;
    struct screen screen;
    bool broken; /* standard output takes no more: its reader has gone */
};

/* Puts a name (glyph_quote) into a line that was begun. */
void show_name(struct show *show, const char *name);

/* A message as people see it. */
struct show_message {
    const char *from, *to; /* NULL: to the room, or from you */
    const char *text;
    size_t len;
    uint64_t time;    /* milliseconds since 1970; 0: now */
    const char *mark; /* "encrypted", ...; NULL: none */
    bool warn;        /* the mark ought to be read */
};
void show_message(struct show *show, const struct show_message *message);

/* The same with the text and the time that `in` has. */
void show_text(struct show *show, const struct json_object *in, struct show_message *message);

/* A line of JSON on standard output, in MODE_LISTEN. */
void show_json(struct show *show, const struct json_object *in, const struct say_heard *heard);

enum show_level {
    SHOW_INFO, /* for people at the terminal only */
    SHOW_NOTE, /* in scripts too, on standard error */
    SHOW_WARN, /* likewise; on the terminal it stands out */
};

/* What the program says by itself. The arguments may come from others: they are made harmless. */
void show_note(struct show *show, enum show_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
