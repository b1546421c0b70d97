/* SPDX-License-Identifier: MIT
 *
 * backlog.c - asks for older messages, and shows or prints them. One thread.
 *
 * The server is not trusted: an answer that nobody asked for is ignored, and each further question
 * begins at a lower Id, so that no answers can make it ask without end.
 */
#include "client/backlog.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void backlog_init(struct backlog *backlog, struct ws_client *ws, struct output *output,
                  unsigned wanted)
{
    *backlog = (struct backlog){.ws = ws, .output = output, .wanted = wanted};
}

static void forget_lines(struct backlog *backlog)
{
    for (size_t i = 0; i < backlog->line_count; i++)
        free(backlog->lines[i]);
    free(backlog->lines);
    backlog->lines = NULL;
    backlog->line_count = 0;
}

void backlog_fini(struct backlog *backlog)
{
    forget_lines(backlog);
    free(backlog->words);
    backlog->words = NULL;
}

void backlog_shown(struct backlog *backlog, uint64_t id)
{
    if (id && (!backlog->oldest || id < backlog->oldest))
        backlog->oldest = id;
}

void backlog_lost(struct backlog *backlog)
{
    if (backlog->asked && !backlog->wanted)
        output_note(backlog->output, OUTPUT_NOTE, "the answer was lost with the connection");
    backlog->asked = false;
}

/* ---- Asking ---- */

/* Asks for messages before an Id; UINT64_MAX: the newest. */
static void ask(struct backlog *backlog, uint64_t before, unsigned count)
{
    char ref[32];
    snprintf(ref, sizeof(ref), "backlog-%u", ++backlog->number);
    char *json = client_json_history(backlog->searching ? backlog->words : NULL, before,
                                     count < BACKLOG_PAGE_MAX ? count : BACKLOG_PAGE_MAX, ref);
    backlog->asked = json && ws_client_send(backlog->ws, json, strlen(json)) == 0;
    backlog->before = before;
    backlog->count = count;
    backlog->questions++;
    if (!backlog->asked)
        output_note(backlog->output, OUTPUT_NOTE, "you are not in at the moment");
    free(json);
}

void backlog_joined(struct backlog *backlog, bool same)
{
    if (!same) {
        backlog->oldest = 0;
        backlog->words_before = 0;
    }
    if (!backlog->wanted)
        return;
    forget_lines(backlog);
    ask(backlog, UINT64_MAX, backlog->wanted);
}

static bool may_ask(const struct backlog *backlog)
{
    if (backlog->asked)
        output_note(backlog->output, OUTPUT_NOTE, "the last answer has not come yet");
    return !backlog->asked;
}

void backlog_page(struct backlog *backlog, unsigned count)
{
    if (!may_ask(backlog))
        return;
    backlog->searching = false;
    backlog->questions = 0;
    ask(backlog, backlog->oldest ? backlog->oldest : UINT64_MAX, count);
}

void backlog_search(struct backlog *backlog, const char *words)
{
    if (!may_ask(backlog))
        return;
    if (words) {
        free(backlog->words);
        backlog->words = strdup(words);
        backlog->words_before = UINT64_MAX;
    }
    if (!backlog->words || !backlog->words_before) {
        output_note(backlog->output, OUTPUT_NOTE, "%s",
                    backlog->words ? "the search is at its end"
                                   : "it goes like this: /search TEXT");
        return;
    }
    backlog->searching = true;
    backlog->questions = 0;
    ask(backlog, backlog->words_before, BACKLOG_SHOWN);
}

/* ---- An answer ---- */

/* Parses an element of an answer: a broadcast of a member, below `before`. Returns its Id, or 0. */
static uint64_t read_element(const struct json_field *element, uint64_t before,
                             struct json_object *message, char from[NAME_MAX_BYTES + 1])
{
    struct json_error error;
    const struct json_field *name;
    if (json_parse_message(message, element->value, element->value_len, &error) < 0 ||
        !json_equals(message, "msgType", "Broadcast"))
        return 0;
    name = json_find(message, "SrcUser");
    uint64_t id = json_get_uint(message, "Id");
    bool good = json_is_string(name) && json_string(name, from, NAME_MAX_BYTES + 1) > 0;
    return good && id < before ? id : 0;
}

static void show_element(struct backlog *backlog, const struct json_object *message,
                         const char *from)
{
    struct output_message shown = {.from = from, .past = true};
    output_text(backlog->output, message, &shown);
}

/* Shows the messages of an answer. Returns how many. */
static size_t show_all(struct backlog *backlog, const struct json_object *in)
{
    const struct json_field *list = json_find(in, "Messages");
    struct json_field element;
    struct json_object message;
    char from[NAME_MAX_BYTES + 1];
    size_t at = 0, count = 0;
    while (list && json_element(list, &at, &element)) {
        uint64_t id = read_element(&element, backlog->before, &message, from);
        if (!id)
            continue;
        if (count++ == 0)
            output_note(backlog->output, OUTPUT_INFO,
                        backlog->searching ? "found:" : "this was said before:");
        show_element(backlog, &message, from);
        if (!backlog->searching)
            backlog_shown(backlog, id);
    }
    return count;
}

static void end_page(struct backlog *backlog, uint64_t from, bool more, size_t count)
{
    if (more && from < backlog->before)
        backlog_shown(backlog, from);
    output_note(backlog->output, OUTPUT_INFO, "%s",
                more    ? "that was before; /history shows what was said before that"
                : count ? "that was before, and there is nothing older"
                        : "there is nothing older");
}

/* A search without a result goes on by itself for a while. */
static void end_search(struct backlog *backlog, uint64_t from, bool more, size_t count)
{
    backlog->words_before = more ? from : 0;
    if (more && count == 0 && backlog->questions < BACKLOG_QUESTIONS_MAX)
        ask(backlog, from, BACKLOG_SHOWN);
    else if (more)
        output_note(backlog->output, OUTPUT_INFO, "%s; /search looks further back",
                    count ? "that was found" : "nothing was found so far");
    else
        output_note(backlog->output, OUTPUT_INFO, "%s",
                    count ? "that was found, and nothing older" : "nothing was found");
}

/* ---- Scripts ---- */

/* Puts the messages of an answer behind the newer ones. Returns false when memory is out. */
static bool keep_all(struct backlog *backlog, const struct json_object *in)
{
    const struct json_field *list = json_find(in, "Messages");
    struct json_field element;
    struct json_object message;
    char from[NAME_MAX_BYTES + 1], *page[BACKLOG_PAGE_MAX];
    size_t at = 0, count = 0;
    while (list && count < BACKLOG_PAGE_MAX && json_element(list, &at, &element))
        if (read_element(&element, backlog->before, &message, from) &&
            (page[count] = strndup(element.value, element.value_len)) != NULL)
            count++;
    size_t all = backlog->line_count + count;
    char **lines = realloc(backlog->lines, (all + 1) * sizeof(*lines));
    if (lines)
        backlog->lines = lines;
    while (count > 0) {
        if (lines)
            backlog->lines[backlog->line_count++] = page[--count];
        else
            free(page[--count]);
    }
    return lines;
}

static void print_lines(struct backlog *backlog)
{
    size_t count = backlog->line_count < backlog->wanted ? backlog->line_count : backlog->wanted;
    while (count > 0) {
        struct json_object message;
        struct json_error error;
        const char *line = backlog->lines[--count];
        if (json_parse_message(&message, line, strlen(line), &error) == 0)
            output_past_json(backlog->output, &message);
    }
}

static enum backlog_result go_on_collecting(struct backlog *backlog, const struct json_object *in,
                                            uint64_t from, bool more)
{
    if (!keep_all(backlog, in)) {
        output_note(backlog->output, OUTPUT_WARN, "out of memory");
        return BACKLOG_FAILED;
    }
    if (more && backlog->line_count < backlog->wanted) {
        ask(backlog, from, backlog->wanted - (unsigned)backlog->line_count);
        return BACKLOG_GOES_ON;
    }
    print_lines(backlog);
    return BACKLOG_DONE;
}

/* ---- What the server keeps ---- */

void backlog_greeted(struct backlog *backlog, const struct json_object *hello)
{
    struct json_object kept;
    struct json_error error;
    const struct json_field *field = json_find(hello, "Kept");
    if (backlog->told || !field || field->value[0] != '{' ||
        json_parse_message(&kept, field->value, field->value_len, &error) < 0)
        return;
    uint64_t hours = json_get_uint(&kept, "Hours"), messages = json_get_uint(&kept, "Messages");
    backlog->told = true;
    if (hours)
        output_note(backlog->output, OUTPUT_INFO,
                    "what is said in this room is kept on the server's disk, for %" PRIu64
                    " hours and up to %" PRIu64 " messages",
                    hours, messages);
    else
        output_note(backlog->output, OUTPUT_INFO,
                    "what is said in this room is kept on the server's disk, up to %" PRIu64
                    " messages",
                    messages);
}

static void tell_storing(struct backlog *backlog, const struct json_object *in)
{
    if (json_equals(in, "History", "failing"))
        output_note(backlog->output, OUTPUT_NOTE,
                    "the server cannot store what is said now: it may be missing later");
    else if (json_equals(in, "History", "stored"))
        output_note(backlog->output, OUTPUT_NOTE, "the server stores what is said again");
    else if (json_equals(in, "Delivery", "waiting"))
        output_note(backlog->output, OUTPUT_NOTE,
                    "the servers cannot reach each other: what is said now waits, and comes later");
    else if (json_equals(in, "Delivery", "ok"))
        output_note(backlog->output, OUTPUT_NOTE, "the servers reach each other again");
}

/* ---- From the server ---- */

/* Whether a message answers the last question. */
static bool is_answer(struct backlog *backlog, const struct json_object *in)
{
    char ref[32];
    snprintf(ref, sizeof(ref), "backlog-%u", backlog->number);
    bool ours = backlog->asked && json_equals(in, "Ref", ref);
    if (ours)
        backlog->asked = false;
    return ours;
}

enum backlog_result backlog_heard(struct backlog *backlog, const struct json_object *in)
{
    uint64_t from = json_get_uint(in, "From");
    bool more = json_get_bool(in, "More") && from > 0 && from < backlog->before;
    if (json_equals(in, "msgType", "State"))
        tell_storing(backlog, in);
    if (!is_answer(backlog, in))
        return BACKLOG_NOT_OURS;
    if (backlog->wanted)
        return go_on_collecting(backlog, in, from, more);
    size_t count = show_all(backlog, in);
    if (backlog->searching)
        end_search(backlog, from, more, count);
    else
        end_page(backlog, from, more, count);
    return BACKLOG_GOES_ON;
}

enum backlog_result backlog_error(struct backlog *backlog, const struct json_object *in,
                                  const char *why)
{
    if (!is_answer(backlog, in))
        return BACKLOG_NOT_OURS;
    output_note(backlog->output, backlog->wanted ? OUTPUT_WARN : OUTPUT_NOTE,
                "older messages cannot be shown: %s", why);
    return backlog->wanted ? BACKLOG_FAILED : BACKLOG_GOES_ON;
}
