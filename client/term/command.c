/* SPDX-License-Identifier: MIT
 *
 * command.c - parses and completes typed lines. Pure: any thread, no locks.
 */
#include "client/term/command.h"

#include <string.h>
#include <strings.h>

#include <utf8proc.h>

const char command_help[] = "/w [START]          who is here, or whose names begin with START\n"
                            "/msg NAME TEXT      say something to NAME alone, encrypted\n"
                            "/me TEXT            say what you do: \"* ana waves\"\n"
                            "/nick NAME          come in again as NAME\n"
                            "/verify NAME        show the safety number to compare with NAME's\n"
                            "/accept NAME        accept NAME's new key\n"
                            "/forget NAME        forget all keys of NAME\n"
                            "/plain NAME         talk with NAME unencrypted, if NAME has no keys\n"
                            "/history [N]        show the N messages before those that you see\n"
                            "/search [TEXT]      show earlier messages with TEXT, or more of them\n"
                            "/quit               leave (or Ctrl-D)\n"
                            "//text              say \"/text\" in the room\n"
                            "Tab completes names. Up and Down go through what you typed.";

enum takes {
    TAKES_NOTHING,
    TAKES_NAME,
    TAKES_REST,     /* a name that goes on to the end of the line */
    TAKES_ANYTHING, /* or nothing */
    TAKES_TEXT,
    TAKES_NAME_AND_TEXT,
};

static const struct verb {
    const char *word;
    enum command_verb verb;
    enum takes takes;
    const char *form;
} verbs[] = {
    {"/help", COMMAND_HELP, TAKES_NOTHING, "/help"},
    {"/w", COMMAND_WHO, TAKES_ANYTHING, "/w [START]"},
    {"/msg", COMMAND_MSG, TAKES_NAME_AND_TEXT, "/msg NAME TEXT"},
    {"/me", COMMAND_TEXT, TAKES_TEXT, "/me TEXT"},
    {"/nick", COMMAND_NICK, TAKES_REST, "/nick NAME"},
    {"/verify", COMMAND_VERIFY, TAKES_NAME, "/verify NAME"},
    {"/accept", COMMAND_ACCEPT, TAKES_NAME, "/accept NAME"},
    {"/forget", COMMAND_FORGET, TAKES_NAME, "/forget NAME"},
    {"/plain", COMMAND_PLAIN, TAKES_NAME, "/plain NAME"},
    {"/history", COMMAND_HISTORY, TAKES_ANYTHING, "/history [N]"},
    {"/search", COMMAND_SEARCH, TAKES_ANYTHING, "/search [TEXT]"},
    {"/quit", COMMAND_QUIT, TAKES_NOTHING, "/quit"},
};

enum { VERBS = sizeof(verbs) / sizeof(*verbs) };

/* ---- Reading ---- */

static const char *skip_blanks(const char *text)
{
    return text + strspn(text, " ");
}

/* Skips invisible characters, among them those that some keyboards put in place of a blank. */
static const char *skip_white(const char *text)
{
    for (;;) {
        utf8proc_int32_t c;
        utf8proc_ssize_t used = utf8proc_iterate((const utf8proc_uint8_t *)text, -1, &c);
        if (used <= 0 || c == 0)
            return text;
        utf8proc_category_t category = utf8proc_category(c);
        bool blank = category == UTF8PROC_CATEGORY_ZS || category == UTF8PROC_CATEGORY_ZL ||
                     category == UTF8PROC_CATEGORY_ZP || category == UTF8PROC_CATEGORY_CC ||
                     category == UTF8PROC_CATEGORY_CF;
        if (!blank && !utf8proc_get_property(c)->ignorable)
            return text;
        text += used;
    }
}

static const struct verb *find_verb(const char *word, size_t len)
{
    for (size_t i = 0; i < VERBS; i++)
        if (strlen(verbs[i].word) == len && memcmp(verbs[i].word, word, len) == 0)
            return &verbs[i];
    return NULL;
}

/* The longest name present with which the text begins, ignoring ASCII case, or NULL. */
static const char *name_here(const char *text, struct command_names here)
{
    const char *best = NULL;
    for (size_t i = 0; i < here.count; i++) {
        const char *name = here.names[i];
        size_t len = strlen(name);
        bool whole = strncasecmp(text, name, len) == 0 && (text[len] == ' ' || !text[len]);
        if (whole && (!best || len > strlen(best)))
            best = name;
    }
    return best;
}

/* Takes the name off the text; returns the rest. Where a message follows, a name with blanks must
 * be quoted: otherwise "/msg bob how are you" would go to a member named "bob how". */
static const char *take_name_off(struct command *command, enum takes takes, const char *text,
                                 struct command_names here)
{
    const char *known = takes == TAKES_NAME ? name_here(text, here) : NULL;
    const char *quote = *text == '"' ? strchr(text + 1, '"') : NULL;
    command->name = quote ? text + 1 : text;
    if (quote)
        command->name_len = (size_t)(quote - text - 1);
    else if (takes == TAKES_REST)
        command->name_len = strlen(text);
    else
        command->name_len = known ? strlen(known) : strcspn(text, " ");
    return skip_blanks(command->name + command->name_len + (quote ? 1 : 0));
}

struct command command_read(const char *line, struct command_names here)
{
    struct command command = {.verb = COMMAND_TEXT, .text = line};
    const char *start = skip_white(line);
    if (start[0] != '/')
        return command;
    command.text = start;
    if (start[1] == '/') {
        command.text = start + 1;
        return command;
    }
    size_t len = strcspn(start, " ");
    const struct verb *verb = find_verb(start, len);
    const char *rest = skip_blanks(start + len);
    command.verb = verb ? verb->verb : COMMAND_UNKNOWN;
    if (!verb || verb->takes == TAKES_NOTHING)
        return command;
    if (verb->takes == TAKES_ANYTHING) {
        command.text = rest;
        return command;
    }
    bool names = verb->takes != TAKES_TEXT, texts = verb->takes >= TAKES_TEXT;
    if (names)
        command.text = rest = take_name_off(&command, verb->takes, rest, here);
    if ((names && command.name_len == 0) || (texts && !*rest)) {
        command.verb = COMMAND_LACKS;
        command.text = verb->form;
    }
    return command;
}

/* ---- Completing ---- */

/* The start of the word before the cursor. A name after a command starts there even if it contains
 * blanks. */
static size_t word_start(const char *line, size_t at)
{
    size_t len = strcspn(line, " ");
    const struct verb *verb = find_verb(line, len);
    const char *argument = skip_blanks(line + len);
    size_t start = at;
    if (verb && verb->takes == TAKES_NAME && line + at >= argument)
        return (size_t)(argument - line);
    while (start > 0 && line[start - 1] != ' ')
        start--;
    return start;
}

const char *command_match(const char *line, size_t at, struct command_names here, size_t *index)
{
    size_t from = word_start(line, at), len = at - from;
    bool verb = from == 0 && line[0] == '/';
    size_t count = verb ? VERBS : here.count;
    while (*index < count) {
        const char *word = verb ? verbs[*index].word : here.names[*index];
        (*index)++;
        if (strncasecmp(word, line + from, len) == 0)
            return word;
    }
    return NULL;
}

/* Length of the common start of two words, in whole characters. */
static size_t common_prefix(const char *a, const char *b, size_t len)
{
    size_t common = 0;
    while (common < len && strncasecmp(a + common, b + common, 1) == 0 && b[common])
        common++;
    while (common > 0 && common < len && ((unsigned char)a[common] & 0xC0) == 0x80)
        common--;
    return common;
}

struct command_completion command_complete(const char *line, size_t at, struct command_names here)
{
    struct command_completion found = {.from = word_start(line, at), .behind = " "};
    const char *word;
    size_t index = 0;
    while ((word = command_match(line, at, here, &index)) != NULL) {
        if (found.matches++ == 0) {
            found.common = word;
            found.common_len = strlen(word);
        } else {
            found.common_len = common_prefix(found.common, word, found.common_len);
        }
    }
    size_t len = strcspn(line, " ");
    const struct verb *verb = find_verb(line, len);
    bool addressee =
        verb && verb->takes == TAKES_NAME_AND_TEXT && line + found.from == skip_blanks(line + len);
    found.quote = addressee && found.matches == 1 && memchr(found.common, ' ', found.common_len);
    if (found.from == 0 && line[0] != '/')
        found.behind = ": "; /* somebody is spoken to */
    return found;
}
