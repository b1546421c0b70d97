/* SPDX-License-Identifier: MIT
 *
 * show.c - what things look like, as show.h promises it.
 */
#include "show.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "glyph.h"

enum { TIME_MAX = 32 };

/* Hours and minutes; with the day before them if it is not today. */
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

static void put(struct show *show, enum screen_style style, const char *text)
{
    screen_put(&show->screen, style, text, strlen(text));
}

void show_name(struct show *show, const char *name)
{
    char *quoted = glyph_quote(name);
    put(show, SCREEN_NAME, quoted ? quoted : "?");
    free(quoted);
}

/* Somebody by name, or NULL for you. */
static void put_person(struct show *show, const char *name)
{
    if (name)
        show_name(show, name);
    else
        put(show, SCREEN_PLAIN, "you");
}

void show_message(struct show *show, const struct show_message *message)
{
    char when[TIME_MAX];
    if (show->mode != MODE_TALK)
        return;
    format_time(message->time, when);
    screen_begin(&show->screen);
    put(show, SCREEN_DIM, when);
    put_person(show, message->from);
    if (message->mark) {
        put(show, SCREEN_PLAIN, " to ");
        put_person(show, message->to);
        put(show, SCREEN_PLAIN, " ");
        put(show, message->warn ? SCREEN_WARN : SCREEN_GOOD, message->mark);
    }
    put(show, SCREEN_PLAIN, ": ");
    screen_put(&show->screen, SCREEN_PLAIN, message->text, message->len);
    screen_end(&show->screen);
}

void show_text(struct show *show, const struct json_object *in, struct show_message *message)
{
    char *text = json_text(in, "text");
    message->text = text ? text : "(this text cannot be shown)";
    message->len = strlen(message->text);
    message->time = json_count(in, "Time");
    show_message(show, message);
    free(text);
}

void show_json(struct show *show, const struct json_object *in, const struct say_heard *heard)
{
    if (show->mode != MODE_LISTEN || show->broken)
        return;
    char *line = say_heard(in, heard);
    if (line)
        show->broken = puts(line) < 0 || fflush(stdout) != 0;
    else
        show_note(show, SHOW_WARN, "out of memory: a message is not shown");
    free(line);
}

void show_note(struct show *show, enum show_level level, const char *format, ...)
{
    char text[SHOW_NOTE_MAX];
    va_list arguments;
    if (level == SHOW_INFO && show->mode != MODE_TALK)
        return;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    screen_begin(&show->screen);
    put(show, SCREEN_DIM, show->screen.open ? "-- " : "ragchat: ");
    put(show, level == SHOW_WARN ? SCREEN_WARN : SCREEN_DIM, text);
    screen_end(&show->screen);
}
