/* SPDX-License-Identifier: MIT
 *
 * command.h - parses typed lines, and completes words for Tab.
 *
 * Pure: no I/O, no locks, any thread.
 */
#ifndef COMMAND_H
#define COMMAND_H

#include <stdbool.h>
#include <stddef.h>

enum command_verb {
    COMMAND_TEXT, /* a text for the room; "/me TEXT" is sent as it is */
    COMMAND_HELP,
    COMMAND_WHO,
    COMMAND_MSG,
    COMMAND_PLAIN,
    COMMAND_VERIFY,
    COMMAND_ACCEPT,
    COMMAND_FORGET,
    COMMAND_NICK,
    COMMAND_HISTORY,
    COMMAND_SEARCH,
    COMMAND_QUIT,
    COMMAND_UNKNOWN, /* begins like a command, but is none: must not be sent */
    COMMAND_LACKS,   /* a name or a text is missing */
};

/* The members present, as the server spells them. */
struct command_names {
    char *const *names;
    size_t count;
};

/* All pointers borrow from the line or from the names. */
struct command {
    enum command_verb verb;
    const char *name; /* the person it is about: not NUL-terminated */
    size_t name_len;
    const char *text; /* COMMAND_TEXT, COMMAND_MSG: the text; COMMAND_WHO, COMMAND_HISTORY,
                       * COMMAND_SEARCH: the rest of the line, which may be ""; COMMAND_LACKS: the
                       * usage */
};

/* Parses a line. White space before a slash does not count: " /msg bob secret" is a command, too. A
 * line that begins with two slashes is a text that begins with one. A name may be in double quotes,
 * and must be if it contains blanks and a message follows. Without quotes it is the first word; or,
 * where nothing follows, the longest matching name of those present; with COMMAND_NICK, the rest of
 * the line. */
struct command command_read(const char *line, struct command_names here);

/* The list of commands for people, one per line. */
extern const char command_help[];

/* A completion: replaces the bytes from `from` to the cursor. */
struct command_completion {
    size_t from;
    size_t matches;     /* 0: nothing to do */
    const char *common; /* common start of all matches: not NUL-terminated; borrowed */
    size_t common_len;
    const char *behind; /* text after a single match */
    bool quote;         /* a single match is a name that must be quoted there */
};

/* Completes a command at the start of the line, or a name anywhere. */
struct command_completion command_complete(const char *line, size_t at, struct command_names here);

/* The next match of a word after the `index`th, for listing them all; NULL when there are no more.
 */
const char *command_match(const char *line, size_t at, struct command_names here, size_t *index);

#endif
