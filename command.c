/* SPDX-License-Identifier: MIT
 *
 * command.c - typed lines, as command.h promises them.
 */
#include "command.h"

#include <string.h>
#include <strings.h>

const char command_help[] = "/w                  who is here\n"
                            "/msg NAME TEXT      say something to NAME alone, encrypted\n"
                            "/verify NAME        show the safety number to compare with NAME's\n"
                            "/accept NAME        accept NAME's new key\n"
                            "/plain NAME         talk with NAME unencrypted, if NAME has no keys\n"
                            "/quit               leave (or Ctrl-D)\n"
                            "//text              say \"/text\" in the room\n"
                            "Tab completes names. Up and Down go through what you typed.";

static const struct verb {
    const char *word;
    enum command_verb verb;
    bool name, text; /* what it takes */
    const char *form;
} verbs[] = {
    {"/help", COMMAND_HELP, false, false, "/help"},
    {"/w", COMMAND_WHO, false, false, "/w"},
    {"/msg", COMMAND_MSG, true, true, "/msg NAME TEXT"},
    {"/verify", COMMAND_VERIFY, true, false, "/verify NAME"},
    {"/accept", COMMAND_ACCEPT, true, false, "/accept NAME"},
    {"/plain", COMMAND_PLAIN, true, false, "/plain NAME"},
    {"/quit", COMMAND_QUIT, false, false, "/quit"},
};

enum { VERBS = sizeof(verbs) / sizeof(*verbs) };

/* ---- Reading ---- */

static const char *skip_blanks(const char *text)
{
    return text + strspn(text, " ");
}

static const struct verb *find_verb(const char *word, size_t len)
{
    for (size_t i = 0; i < VERBS; i++)
        if (strlen(verbs[i].word) == len && memcmp(verbs[i].word, word, len) == 0)
            return &verbs[i];
    return NULL;
}

/* The longest name here that the text begins with, in whatever case of ASCII, or NULL. */
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

/* Takes the name off the text; returns what follows it. Where a message follows, a name with blanks has
 * to be quoted: else "/msg bob how are you" would go to whoever took the name "bob how". */
static const char *take_name(struct command *command, const struct verb *verb, const char *text,
                             struct command_names here)
{
    const char *known = verb->text ? NULL : name_here(text, here);
    const char *quote = *text == '"' ? strchr(text + 1, '"') : NULL;
    command->name = quote ? text + 1 : text;
    if (quote)
        command->name_len = (size_t)(quote - text - 1);
    else
        command->name_len = known ? strlen(known) : strcspn(text, " ");
    return skip_blanks(command->name + command->name_len + (quote ? 1 : 0));
}

struct command command_read(const char *line, struct command_names here)
{
    struct command command = {.verb = COMMAND_TEXT, .text = line};
    if (line[0] != '/')
        return command;
    if (line[1] == '/') {
        command.text = line + 1;
        return command;
    }
    size_t len = strcspn(line, " ");
    const struct verb *verb = find_verb(line, len);
    const char *rest = skip_blanks(line + len);
    command.verb = verb ? verb->verb : COMMAND_UNKNOWN;
    if (!verb || !verb->name)
        return command;
    command.text = take_name(&command, verb, rest, here);
    if (command.name_len == 0 || (verb->text && !*command.text)) {
        command.verb = COMMAND_LACKS;
        command.text = verb->form;
    }
    return command;
}

/* ---- Completing ---- */

/* Where the word before the cursor begins. A name behind a command begins there even if it goes on
 * over blanks. */
static size_t word_start(const char *line, size_t at)
{
    size_t len = strcspn(line, " ");
    const struct verb *verb = find_verb(line, len);
    const char *argument = skip_blanks(line + len);
    size_t start = at;
    if (verb && verb->name && !verb->text && line + at >= argument)
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

/* Bytes that two words have in common, whole characters only. */
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
    bool addressee = verb && verb->text && line + found.from == skip_blanks(line + len);
    found.quote = addressee && found.matches == 1 && memchr(found.common, ' ', found.common_len);
    if (found.from == 0 && line[0] != '/')
        found.behind = ": "; /* somebody is spoken to */
    return found;
}
