/* SPDX-License-Identifier: MIT
 *
 * command.h - what a typed line means, and what Tab makes of the word before the cursor.
 *
 * Pure: no I/O, no locks, any thread.
 */
#ifndef COMMAND_H
#define COMMAND_H

#include <stdbool.h>
#include <stddef.h>

enum command_verb {
    COMMAND_TEXT, /* not a command: to be said in the room */
    COMMAND_HELP,
    COMMAND_WHO,
    COMMAND_MSG,
    COMMAND_PLAIN,
    COMMAND_VERIFY,
    COMMAND_ACCEPT,
    COMMAND_QUIT,
    COMMAND_UNKNOWN, /* begins like a command, but is none */
    COMMAND_LACKS,   /* lacks a name, or a text behind it */
};

/* Who is here: names that the server gave. */
struct command_names {
    char *const *names;
    size_t count;
};

/* All pointers borrow from the line or from the names. */
struct command {
    enum command_verb verb;
    const char *name; /* whom it is about: not NUL-terminated */
    size_t name_len;
    const char *text; /* COMMAND_TEXT, COMMAND_MSG: what is said; COMMAND_LACKS: how to write it */
};

/* Reads a line. A line that begins with two slashes is a text that begins with one. A name may stand in
 * double quotes, and has to if it holds blanks and a message follows. Without them it is the first
 * word, or where nothing follows, the longest name of those here. */
struct command command_read(const char *line, struct command_names here);

/* The commands for people, one a line. */
extern const char command_help[];

/* What Tab found: how to replace the bytes from `from` to the cursor. */
struct command_completion {
    size_t from;
    size_t matches; /* 0: nothing to do */
    const char
        *common; /* what all matches begin with: not NUL-terminated; the first match's start */
    size_t common_len;
    const char *behind; /* what follows a single match */
    bool quote;         /* a single match is a name that has to be quoted there */
};

/* Completes a command at the start of the line, or a name anywhere. */
struct command_completion command_complete(const char *line, size_t at, struct command_names here);

/* The next match of a word after the `index`th, for showing them all; NULL when there are no more. */
const char *command_match(const char *line, size_t at, struct command_names here, size_t *index);

#endif
