/* SPDX-License-Identifier: MIT
 *
 * output.h - prints what happens: lines on the terminal, or lines of JSON for scripts.
 *
 * One thread.
 */
#ifndef OUTPUT_H
#define OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/options.h"
#include "client/client_json.h"
#include "client/term/screen.h"

enum { OUTPUT_NOTE_MAX = 2048 }; /* bytes of a note; a longer one is cut */

struct output {
    enum options_mode mode;
    struct screen screen;
    bool broken; /* the reader of standard output has gone */
};

/* Writes a name (unicode_quote) into the current line. */
void output_name(struct output *output, const char *name);

/* A name formatted for a note: output_note(output, level, "%s came", output_quote(name).text). A
 * name that is too long is cut. */
struct output_quoted {
    char text[3 * NAME_MAX_BYTES + 16];
};
struct output_quoted output_quote(const char *name);

/* A message as people see it: a time, the mark, names, the text. The mark comes before everything
 * that others can choose, so no name and no text can imitate it. A text that begins with "/me " is
 * shown as an action: "* ana waves". */
struct output_message {
    const char *from, *to; /* NULL: to the room, or from you */
    const char *text;
    size_t len;
    uint64_t time;    /* milliseconds since 1970; 0: now */
    const char *mark; /* "encrypted", ...; NULL: none */
    bool warn;        /* the mark is a warning */
    bool past;        /* it was asked for: marked as an earlier one */
};
void output_message(struct output *output, const struct output_message *message);

/* The same with the text and the time of `in`. */
void output_text(struct output *output, const struct json_object *in,
                 struct output_message *message);

/* Prints a line of JSON on standard output, in MODE_LISTEN. */
void output_json(struct output *output, const struct json_object *in,
                 const struct client_json_heard *heard);

/* Prints a broadcast as a line of JSON on standard output, in MODE_HISTORY. */
void output_past_json(struct output *output, const struct json_object *in);

enum output_level {
    OUTPUT_INFO, /* on the terminal only */
    OUTPUT_NOTE, /* also in scripts, on standard error */
    OUTPUT_WARN, /* as OUTPUT_NOTE, and highlighted on the terminal */
};

/* Prints a message of the program itself. The arguments may come from others: they are made
 * harmless. */
void output_note(struct output *output, enum output_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
