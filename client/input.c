/* SPDX-License-Identifier: MIT
 *
 * input.c - executes typed commands, and completes names on Tab. One thread.
 */
#include "client/input.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "client/term/command.h"

enum { SUGGESTIONS_MAX = 1000 }; /* bytes of names that Tab shows; the rest is left out */

/* The names for commands and Tab: in a room without a list those that the server told last. */
static struct command_names here(const struct chat *chat)
{
    const struct who_names *names = chat->who.counted ? &chat->who.found : &chat->who.here;
    return (struct command_names){names->names, names->count};
}

/* The conversation that a command is about; NULL after reporting why there is none. */
static struct conversation *talk_of(struct chat *chat, const struct command *command)
{
    char name[NAME_MAX_BYTES + 1] = "";
    if (command->name_len < sizeof(name))
        memcpy(name, command->name, command->name_len);
    struct conversation *conversation = conversation_with(&chat->private.conversations, name, true);
    if (!conversation)
        output_note(chat->output, OUTPUT_WARN, "there are no private messages with \"%.*s\"",
                    (int)command->name_len, command->name);
    return conversation;
}

static void do_msg(struct chat *chat, const struct command *command)
{
    char *name = strndup(command->name, command->name_len);
    if (name)
        private_say(&chat->private, name, command->text);
    free(name);
}

static void do_plain(struct chat *chat, struct conversation *conversation)
{
    bool keys =
        conversation->state != CONVERSATION_ASKING && conversation->state != CONVERSATION_NONE;
    if (keys) {
        output_note(chat->output, OUTPUT_NOTE, "%s has keys: there is no need to",
                    output_quote(conversation->name).text);
        return;
    }
    conversation->plain = true;
    output_note(chat->output, OUTPUT_WARN,
                "what you say to %s is NOT ENCRYPTED from now on, until %s leaves or has "
                "keys, or the connection ends",
                output_quote(conversation->name).text, output_quote(conversation->name).text);
}

static void do_forget(struct chat *chat, struct conversation *conversation)
{
    char error[KEYSTORE_ERROR_MAX];
    const char *name = conversation->name;
    int count = conversation_forget(&chat->private.conversations, conversation, error);
    if (count < 0)
        output_note(chat->output, OUTPUT_WARN, "%s", error);
    else if (count == 0)
        output_note(chat->output, OUTPUT_NOTE, "no key of %s is known", output_quote(name).text);
    else
        output_note(chat->output, OUTPUT_NOTE,
                    "%d key%s of %s forgotten; the next key that shows up is remembered", count,
                    count == 1 ? "" : "s", output_quote(name).text);
}

static void do_nick(struct chat *chat, const struct command *command)
{
    char *name = strndup(command->name, command->name_len);
    if (name)
        chat_nick(chat, name);
    free(name);
}

static void do_history(struct chat *chat, const char *text)
{
    char *end;
    unsigned long count = *text ? strtoul(text, &end, 10) : BACKLOG_SHOWN;
    if (*text && (end == text || *end || *text == '-' || count < 1 || count > BACKLOG_PAGE_MAX))
        output_note(chat->output, OUTPUT_NOTE, "it goes like this: /history, or /history 1 to %d",
                    BACKLOG_PAGE_MAX);
    else
        backlog_page(&chat->backlog, (unsigned)count);
}

static void do_talk_command(struct chat *chat, const struct command *command)
{
    struct conversation *conversation = talk_of(chat, command);
    if (!conversation)
        return;
    if (command->verb == COMMAND_VERIFY)
        private_compare(&chat->private, conversation);
    else if (command->verb == COMMAND_ACCEPT)
        private_accept(&chat->private, conversation);
    else if (command->verb == COMMAND_FORGET)
        do_forget(chat, conversation);
    else
        do_plain(chat, conversation);
}

static void do_command(struct chat *chat, const struct command *command)
{
    switch (command->verb) {
    case COMMAND_TEXT:
        if (*command->text)
            private_say(&chat->private, NULL, command->text);
        break;
    case COMMAND_HELP:
        output_note(chat->output, OUTPUT_INFO, "%s", command_help);
        break;
    case COMMAND_WHO:
        who_show(&chat->who, command->text);
        break;
    case COMMAND_MSG:
        do_msg(chat, command);
        break;
    case COMMAND_VERIFY:
    case COMMAND_ACCEPT:
    case COMMAND_FORGET:
    case COMMAND_PLAIN:
        do_talk_command(chat, command);
        break;
    case COMMAND_NICK:
        do_nick(chat, command);
        break;
    case COMMAND_HISTORY:
        do_history(chat, command->text);
        break;
    case COMMAND_SEARCH:
        backlog_search(&chat->backlog, *command->text ? command->text : NULL);
        break;
    case COMMAND_QUIT:
        chat_end(chat, STATUS_OK);
        break;
    case COMMAND_UNKNOWN:
        output_note(chat->output, OUTPUT_NOTE,
                    "not said: there is no such command. /help names them; //text says \"/text\"");
        break;
    case COMMAND_LACKS:
        output_note(chat->output, OUTPUT_NOTE, "it goes like this: %s", command->text);
        break;
    }
}

static void on_enter(struct chat *chat)
{
    struct screen *screen = &chat->output->screen;
    char *text = strdup(screen->line.text);
    line_edit_reset(&screen->line, true);
    screen_draw(screen, false);
    if (!text) {
        output_note(chat->output, OUTPUT_WARN, "out of memory");
    } else if (private_answer(&chat->private, text)) {
        chat_prompt(chat);
    } else {
        struct command command = command_read(text, here(chat));
        do_command(chat, &command);
    }
    if (text)
        OPENSSL_cleanse(text, strlen(text));
    free(text);
}

/* Shows the possible completions of a word, when there are several. */
static void suggest(struct chat *chat)
{
    char text[SUGGESTIONS_MAX] = "";
    const struct line_edit *line = &chat->output->screen.line;
    const char *word;
    size_t index = 0, len = 0;
    while ((word = command_match(line->text, line->at, here(chat), &index)) != NULL) {
        if (len + strlen(word) + 8 > sizeof(text)) {
            strcpy(text + len, " ...");
            break;
        }
        len += (size_t)sprintf(text + len, "%s%s", len ? "  " : "", word);
    }
    output_note(chat->output, OUTPUT_INFO, "%s", text);
}

/* Completes the word before the cursor as far as the names allow, or shows them. */
static void complete(struct chat *chat, const struct command_completion *found)
{
    char *word;
    struct line_edit *line = &chat->output->screen.line;
    if (found->matches == 0)
        return;
    bool typed = found->common_len == line->at - found->from &&
                 memcmp(found->common, line->text + found->from, found->common_len) == 0;
    if (found->matches > 1 && typed) {
        suggest(chat);
        return;
    }
    const char *quote = found->quote ? "\"" : "";
    if (asprintf(&word, "%s%.*s%s%s", quote, (int)found->common_len, found->common, quote,
                 found->matches == 1 ? found->behind : "") < 0)
        return;
    line_edit_replace(line, found->from, word);
    free(word);
}

static void on_tab(struct chat *chat)
{
    const struct line_edit *line = &chat->output->screen.line;
    struct command_completion found = command_complete(line->text, line->at, here(chat));
    bool verb = found.from == 0 && line->text[0] == '/';
    if (!verb && chat->who.counted)
        who_complete(&chat->who, &chat->private.pace, line->text, line->at, line->at - found.from);
    else
        complete(chat, &found);
}

void input_offered(struct chat *chat)
{
    const struct line_edit *line = &chat->output->screen.line;
    if (!who_is_waiting(&chat->who, line->text, line->at))
        return;
    struct command_completion found = command_complete(line->text, line->at, here(chat));
    complete(chat, &found);
    screen_draw(&chat->output->screen, false);
}

static void on_interrupt(struct chat *chat)
{
    struct line_edit *line = &chat->output->screen.line;
    if (line->len == 0)
        chat_end(chat, STATUS_OK);
    line_edit_reset(line, false);
}

void input_key(struct chat *chat, unsigned char byte)
{
    struct screen *screen = &chat->output->screen;
    switch (line_edit_key(&screen->line, byte)) {
    case LINE_EDIT_NONE:
        break;
    case LINE_EDIT_ENTER:
        on_enter(chat);
        break;
    case LINE_EDIT_COMPLETE:
        on_tab(chat);
        break;
    case LINE_EDIT_REDRAW:
        screen_draw(screen, true);
        break;
    case LINE_EDIT_SUSPEND:
        screen_suspend(screen);
        break;
    case LINE_EDIT_INTERRUPT:
        on_interrupt(chat);
        break;
    case LINE_EDIT_END:
        chat_end(chat, STATUS_OK);
        break;
    }
}
