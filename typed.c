/* SPDX-License-Identifier: MIT
 *
 * typed.c - what the keys do: the commands, and the names that Tab completes.
 */
#include "typed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "command.h"

enum { SUGGESTIONS_MAX = 1000 }; /* bytes of names that Tab shows; the others are left out */

static struct command_names here(const struct chat *chat)
{
    return (struct command_names){chat->users, chat->user_count};
}

static void tell_who(struct chat *chat)
{
    screen_begin(&chat->show->screen);
    screen_put(&chat->show->screen, SCREEN_DIM, "-- here:", 8);
    for (size_t i = 0; i < chat->user_count; i++) {
        screen_put(&chat->show->screen, SCREEN_PLAIN, i ? ", " : " ", i ? 2 : 1);
        show_name(chat->show, chat->users[i]);
    }
    screen_end(&chat->show->screen);
}

/* The conversation that a command is about; NULL after saying that there cannot be one. */
static struct talk *talk_of(struct chat *chat, const struct command *command)
{
    char name[NAME_MAX_BYTES + 1] = "";
    if (command->name_len < sizeof(name))
        memcpy(name, command->name, command->name_len);
    struct talk *talk = chat->mail.talks.open ? talk_with(&chat->mail.talks, name) : NULL;
    if (!talk)
        show_note(chat->show, SHOW_WARN, "there are no private messages with \"%.*s\"",
                  (int)command->name_len, command->name);
    return talk;
}

static void do_msg(struct chat *chat, const struct command *command)
{
    char *name = strndup(command->name, command->name_len);
    if (name)
        mail_say(&chat->mail, name, command->text);
    free(name);
}

static void do_accept(struct chat *chat, struct talk *talk)
{
    char error[CONTACTS_ERROR_MAX];
    if (talk->state != TALK_CHANGED) {
        show_note(chat->show, SHOW_NOTE, "%s offers no new key", talk->peer.name);
    } else if (talk_accept(&chat->mail.talks, talk, error) < 0) {
        show_note(chat->show, SHOW_WARN, "%s", error);
    } else {
        show_note(chat->show, SHOW_NOTE, "the new key of %s is accepted", talk->peer.name);
        mail_accepted(&chat->mail, talk);
    }
}

static void do_plain(struct chat *chat, struct talk *talk)
{
    bool keys = talk->state == TALK_ENCRYPTED || talk->state == TALK_VERIFIED ||
                talk->state == TALK_CHANGED || talk->state == TALK_FORGED;
    if (keys) {
        show_note(chat->show, SHOW_NOTE, "%s has keys: there is no need to", talk->peer.name);
        return;
    }
    talk->plain = true;
    show_note(chat->show, SHOW_WARN,
              "what you say to %s is NOT ENCRYPTED from now on, until %s leaves or has keys",
              talk->peer.name, talk->peer.name);
}

/* Whether a line is the answer to a safety number. Any other line ends the question, too. */
static bool do_compared(struct chat *chat, const char *answer)
{
    char error[CONTACTS_ERROR_MAX];
    struct talk *talk = chat->mail.comparing;
    bool yes = strcasecmp(answer, "yes") == 0;
    chat->mail.comparing = NULL;
    chat_prompt(chat);
    if (!yes) {
        show_note(chat->show, SHOW_NOTE, "%s is not marked", talk->peer.name);
    } else if (talk_verify(&chat->mail.talks, talk, chat->mail.compared, error) < 0) {
        show_note(chat->show, SHOW_WARN, "%s", error);
    } else {
        show_note(chat->show, SHOW_NOTE, "%s is verified", talk->peer.name);
        mail_accepted(&chat->mail, talk);
    }
    return yes || strcasecmp(answer, "no") == 0;
}

static void do_talk_command(struct chat *chat, const struct command *command)
{
    struct talk *talk = talk_of(chat, command);
    if (!talk)
        return;
    if (command->verb == COMMAND_VERIFY)
        mail_compare(&chat->mail, talk);
    else if (command->verb == COMMAND_ACCEPT)
        do_accept(chat, talk);
    else
        do_plain(chat, talk);
}

static void do_command(struct chat *chat, const struct command *command)
{
    switch (command->verb) {
    case COMMAND_TEXT:
        if (*command->text)
            mail_say(&chat->mail, NULL, command->text);
        break;
    case COMMAND_HELP:
        show_note(chat->show, SHOW_INFO, "%s", command_help);
        break;
    case COMMAND_WHO:
        tell_who(chat);
        break;
    case COMMAND_MSG:
        do_msg(chat, command);
        break;
    case COMMAND_VERIFY:
    case COMMAND_ACCEPT:
    case COMMAND_PLAIN:
        do_talk_command(chat, command);
        break;
    case COMMAND_QUIT:
        chat_end(chat, STATUS_OK);
        break;
    case COMMAND_UNKNOWN:
        show_note(chat->show, SHOW_NOTE,
                  "there is no such command; /help names them, and // sends a text with a slash");
        break;
    case COMMAND_LACKS:
        show_note(chat->show, SHOW_NOTE, "it goes like this: %s", command->text);
        break;
    }
}

static void on_enter(struct chat *chat)
{
    struct screen *screen = &chat->show->screen;
    char *text = strdup(screen->line.text);
    line_reset(&screen->line, true);
    screen_draw(screen, false);
    if (!text) {
        show_note(chat->show, SHOW_WARN, "out of memory");
    } else if (!chat->mail.comparing || !do_compared(chat, text)) {
        struct command command = command_read(text, here(chat));
        do_command(chat, &command);
    }
    free(text);
}

/* Shows what a word may become, when there are several. */
static void suggest(struct chat *chat)
{
    char text[SUGGESTIONS_MAX] = "";
    const struct line *line = &chat->show->screen.line;
    const char *word;
    size_t index = 0, len = 0;
    while ((word = command_match(line->text, line->at, here(chat), &index)) != NULL) {
        if (len + strlen(word) + 8 > sizeof(text)) {
            strcpy(text + len, " ...");
            break;
        }
        len += (size_t)sprintf(text + len, "%s%s", len ? "  " : "", word);
    }
    show_note(chat->show, SHOW_INFO, "%s", text);
}

static void on_tab(struct chat *chat)
{
    char *word;
    struct line *line = &chat->show->screen.line;
    struct command_completion found = command_complete(line->text, line->at, here(chat));
    if (found.matches == 0)
        return;
    bool typed = found.common_len == line->at - found.from &&
                 memcmp(found.common, line->text + found.from, found.common_len) == 0;
    if (found.matches > 1 && typed) {
        suggest(chat);
        return;
    }
    const char *quote = found.quote ? "\"" : "";
    if (asprintf(&word, "%s%.*s%s%s", quote, (int)found.common_len, found.common, quote,
                 found.matches == 1 ? found.behind : "") < 0)
        return;
    line_replace(line, found.from, word);
    free(word);
}

static void on_interrupt(struct chat *chat)
{
    struct line *line = &chat->show->screen.line;
    if (line->len == 0)
        chat_end(chat, STATUS_OK);
    line_reset(line, false);
}

void typed_key(struct chat *chat, unsigned char byte)
{
    struct screen *screen = &chat->show->screen;
    switch (line_key(&screen->line, byte)) {
    case LINE_NONE:
        break;
    case LINE_ENTER:
        on_enter(chat);
        break;
    case LINE_COMPLETE:
        on_tab(chat);
        break;
    case LINE_REDRAW:
        screen_draw(screen, true);
        break;
    case LINE_SUSPEND:
        screen_suspend(screen);
        break;
    case LINE_INTERRUPT:
        on_interrupt(chat);
        break;
    case LINE_END:
        chat_end(chat, STATUS_OK);
        break;
    }
}
