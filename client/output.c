/* SPDX-License-Identifier: MIT
 *
 * output.c - formats and prints messages and notes. One thread.
 */
#include "client/output.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/crypto.h>

#include "client/term/unicode.h"

#define ACTION "/me "

enum { TIME_MAX = 32, ACTION_LEN = sizeof(ACTION) - 1 };

/* Hours and minutes, after the date if it is not today. */
static void format_time(uint64_t ms, char *out)
{
    time_t now = time(NULL), when = ms ? (time_t)(ms / 1000) : now;
    struct tm then, today;
    if (!localtime_r(&when, &then) || !localtime_r(&now, &today)) {
        snprintf(out, TIME_MAX, "--:-- ");
        return;
    }
    bool same = then.tm_year == today.tm_year && then.tm_yday == today.tm_yday;
    strftime(out, TIME_MAX, same ? "%H:%M " : "%Y-%m-%d %H:%M ", &then);
}

static void put_styled(struct output *output, enum screen_style style, const char *text)
{
    screen_put(&output->screen, style, text, strlen(text));
}

void output_name(struct output *output, const char *name)
{
    char *quoted = unicode_quote(name);
    put_styled(output, SCREEN_NAME, quoted ? quoted : "?");
    free(quoted);
}

struct output_quoted output_quote(const char *name)
{
    struct output_quoted quoted;
    char *text = unicode_quote(name);
    snprintf(quoted.text, sizeof(quoted.text), "%s", text ? text : "?");
    free(text);
    return quoted;
}

/* Prints a name, or "you" for NULL. */
static void put_person(struct output *output, const char *name)
{
    if (name)
        output_name(output, name);
    else
        put_styled(output, SCREEN_PLAIN, "you");
}

/* Whether the text is an action ("/me ..."). */
static bool is_action(const struct output_message *message)
{
    return message->len > ACTION_LEN && memcmp(message->text, ACTION, ACTION_LEN) == 0;
}

static void put_message_text(struct output *output, const struct output_message *message)
{
    size_t from = 0;
    if (is_action(message)) {
        put_styled(output, SCREEN_PLAIN, "* ");
        put_person(output, message->from);
        put_styled(output, SCREEN_PLAIN, " ");
        from = ACTION_LEN;
    }
    screen_put(&output->screen, SCREEN_PLAIN, message->text + from, message->len - from);
}

void output_message(struct output *output, const struct output_message *message)
{
    char when[TIME_MAX];
    if (output->mode != MODE_TALK)
        return;
    format_time(message->time, when);
    screen_begin(&output->screen);
    put_styled(output, SCREEN_DIM, when);
    if (message->past)
        put_styled(output, SCREEN_DIM, "[earlier] ");
    if (message->mark) {
        put_styled(output, message->warn ? SCREEN_WARN : SCREEN_GOOD, message->mark);
        put_styled(output, SCREEN_PLAIN, " ");
    }
    if (message->mark || !is_action(message))
        put_person(output, message->from);
    if (message->mark) {
        put_styled(output, SCREEN_PLAIN, " to ");
        put_person(output, message->to);
    }
    if (message->mark || !is_action(message))
        put_styled(output, SCREEN_PLAIN, ": ");
    put_message_text(output, message);
    screen_end(&output->screen);
}

void output_text(struct output *output, const struct json_object *in,
                 struct output_message *message)
{
    char *text = json_get_string(in, "text");
    message->text = text ? text : "(this text cannot be shown)";
    message->len = strlen(message->text);
    message->time = json_get_uint(in, "Time");
    output_message(output, message);
    free(text);
}

static void print_json(struct output *output, const struct json_object *in,
                       const struct client_json_heard *heard)
{
    if (output->broken)
        return;
    char *line = client_json_heard(in, heard);
    if (line)
        output->broken = puts(line) < 0 || fflush(stdout) != 0;
    else
        output_note(output, OUTPUT_WARN, "out of memory: a message is not shown");
    if (line && heard->encrypted)
        OPENSSL_cleanse(line, strlen(line));
    free(line);
}

void output_json(struct output *output, const struct json_object *in,
                 const struct client_json_heard *heard)
{
    if (output->mode == MODE_LISTEN)
        print_json(output, in, heard);
}

void output_past_json(struct output *output, const struct json_object *in)
{
    struct client_json_heard plain = {.private = false};
    print_json(output, in, &plain);
}

void output_note(struct output *output, enum output_level level, const char *format, ...)
{
    char text[OUTPUT_NOTE_MAX];
    va_list arguments;
    if (level == OUTPUT_INFO && output->mode != MODE_TALK)
        return;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    screen_begin(&output->screen);
    put_styled(output, SCREEN_DIM, output->screen.open ? "-- " : "ragchat: ");
    put_styled(output, level == OUTPUT_WARN ? SCREEN_WARN : SCREEN_DIM, text);
    screen_end(&output->screen);
}
