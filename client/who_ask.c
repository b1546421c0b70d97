/* SPDX-License-Identifier: MIT
 *
 * who_ask.c - shows who is here, and asks the server where there is no list. One thread.
 *
 * The server is not trusted: an answer that nobody asked for is ignored.
 */
#include "client/who.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/name.h"

void who_lost(struct who *who)
{
    if (who->asked == WHO_SHOW)
        output_note(who->output, OUTPUT_NOTE, "the answer was lost with the connection");
    who->asked = WHO_NO_QUESTION;
    who->version = UINT64_MAX;
}

/* ---- Showing ---- */

/* Shows names as one line that begins with `head`. */
static void show_names(struct who *who, const char *head, char *const *names, size_t count,
                       bool more)
{
    struct screen *screen = &who->output->screen;
    screen_begin(screen);
    screen_put(screen, SCREEN_DIM, head, strlen(head));
    for (size_t i = 0; i < count; i++) {
        screen_put(screen, SCREEN_PLAIN, i ? ", " : " ", i ? 2 : 1);
        output_name(who->output, names[i]);
    }
    if (more)
        screen_put(screen, SCREEN_DIM, ", ...", 5);
    screen_end(screen);
}

static void show_nobody(struct who *who)
{
    output_note(who->output, OUTPUT_INFO, "nobody's name begins like that");
}

struct folded_name {
    char *name;
    char *fold; /* NULL: invalid, or memory is out; the names are sorted by it */
};

static int by_folded_name(const void *a, const void *b)
{
    const struct folded_name *left = a, *right = b;
    int order =
        strcmp(left->fold ? left->fold : left->name, right->fold ? right->fold : right->name);
    return order ? order : strcmp(left->name, right->name);
}

static char *fold_valid(const char *name)
{
    return name_check(name, strlen(name)) ? NULL : name_fold(name, strlen(name));
}

/* Sorts names in the order in which people look for them: "ana" before "Bob". Keeps those whose
 * fold begins with `start` (NULL: all). Returns how many, or SIZE_MAX when memory is out. */
static size_t pick_names(const struct who_names *names, const char *start, char **picked)
{
    size_t count = 0, kept = 0;
    struct folded_name *all = calloc(names->count + 1, sizeof(*all));
    if (!all)
        return SIZE_MAX;
    for (size_t i = 0; i < names->count; i++) {
        char *fold = fold_valid(names->names[i]);
        if (!start || (fold && strncmp(fold, start, strlen(start)) == 0))
            all[count++] = (struct folded_name){names->names[i], fold};
        else
            free(fold);
    }
    qsort(all, count, sizeof(*all), by_folded_name);
    for (size_t i = 0; i < count; i++) {
        picked[kept++] = all[i].name;
        free(all[i].fold);
    }
    free(all);
    return kept;
}

/* Shows the list, or the part of it that begins with the fold `start`. */
static void show_here(struct who *who, const char *start)
{
    char **picked = calloc(who->here.count + 1, sizeof(*picked));
    size_t count = picked ? pick_names(&who->here, start, picked) : SIZE_MAX;
    if (count == SIZE_MAX)
        output_note(who->output, OUTPUT_WARN, "out of memory");
    else if (count == 0 && start)
        show_nobody(who);
    else
        show_names(who, "-- here:", picked, count, false);
    free(picked);
}

/* ---- Asking ---- */

/* Sends GetUsers. An answer to an earlier question is ignored from now on. */
static bool ask_names(struct who *who, enum who_question what, const char *start, unsigned limit)
{
    char ref[32];
    snprintf(ref, sizeof(ref), "who-%u", ++who->number);
    char *json = client_json_get_users(start[0] ? start : NULL, limit, ref);
    bool sent = json && ws_client_send(who->ws, json, strlen(json)) == 0;
    free(json);
    who->asked = sent ? what : WHO_NO_QUESTION;
    who->start = start[0] != '\0';
    return sent;
}

void who_show(struct who *who, const char *start)
{
    char text[NAME_MAX_BYTES + 1] = "";
    size_t len = strlen(start);
    while (len > 0 && start[len - 1] == ' ')
        len--;
    const char *why = len > 0 ? name_check(start, len) : NULL;
    if (why) {
        output_note(who->output, OUTPUT_NOTE, "no name begins like that: %s", why);
        return;
    }
    memcpy(text, start, len); /* name_check has passed: at most NAME_MAX_BYTES */
    text[len] = '\0';
    if (!who->counted) {
        char *fold = len > 0 ? name_fold(text, len) : NULL;
        show_here(who, fold);
        free(fold);
    } else if (who->asked == WHO_SHOW) {
        output_note(who->output, OUTPUT_NOTE, "the last answer has not come yet");
    } else if (!ask_names(who, WHO_SHOW, text, WHO_SHOWN)) {
        output_note(who->output, OUTPUT_NOTE, "you are not in at the moment");
    }
}

void who_complete(struct who *who, struct pace *pace, const char *line, size_t at, size_t len)
{
    char text[NAME_MAX_BYTES + 1] = "";
    if (len > NAME_MAX_BYTES || who->asked == WHO_SHOW || !pace_take(pace, net_now()))
        return;
    memcpy(text, line + at - len, len);
    free(who->line);
    who->line = strdup(line);
    who->at = at;
    if (who->line)
        ask_names(who, WHO_COMPLETE, text, WHO_OFFERED);
}

bool who_is_waiting(const struct who *who, const char *line, size_t at)
{
    return who->line && who->at == at && strcmp(who->line, line) == 0;
}

/* ---- Answers ---- */

/* The question that a message answers. */
static enum who_question answered(struct who *who, const struct json_object *in)
{
    char ref[32];
    enum who_question asked = who->asked;
    snprintf(ref, sizeof(ref), "who-%u", who->number);
    if (asked == WHO_NO_QUESTION || !json_equals(in, "Ref", ref))
        return WHO_NO_QUESTION;
    who->asked = WHO_NO_QUESTION;
    return asked;
}

static void show_found(struct who *who, uint64_t count, bool more)
{
    char head[64] = "-- here:";
    if (!who->start)
        snprintf(head, sizeof(head), "-- %" PRIu64 " here:", count);
    if (who->found.count > 0)
        show_names(who, head, who->found.names, who->found.count, more);
    else
        show_nobody(who);
    if (more)
        output_note(who->output, OUTPUT_INFO, "there are more: /w START shows names that begin so");
}

enum who_question who_answered(struct who *who, const struct json_object *in)
{
    enum who_question asked = answered(who, in);
    if (asked == WHO_NO_QUESTION)
        return asked;
    who_names_fini(&who->found);
    who_read_names(&who->found, json_find(in, "Users"));
    if (asked == WHO_SHOW)
        show_found(who, json_get_uint(in, "Count"), json_get_bool(in, "More"));
    return asked;
}

enum who_question who_refused(struct who *who, const struct json_object *in, const char *why)
{
    enum who_question asked = answered(who, in);
    if (asked == WHO_SHOW)
        output_note(who->output, OUTPUT_NOTE, "the server does not tell who is here: %s", why);
    return asked;
}
