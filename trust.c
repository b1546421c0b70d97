/* SPDX-License-Identifier: MIT
 *
 * trust.c - fills in what the page /trust says about the certificate of this start.
 *
 * The page is read by people whose browser has just warned them of this server, so it has no script,
 * and what does not hold for this server is not in it at all.
 */
#include "trust.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IF_PLAIN "<!--if plain-->"
#define IF_OTHER "<!--if other-->"
#define IF_OURS  "<!--if ours-->"
#define END      "<!--end-->"

/* The template as far as it was not looked at yet, and where the page goes. */
struct fill {
    const struct trust *trust;
    const char *at, *end;
    FILE *out;
};

/* Passes over `mark` if it comes next. */
static bool take(struct fill *fill, const char *mark)
{
    size_t len = strlen(mark);
    if ((size_t)(fill->end - fill->at) < len || memcmp(fill->at, mark, len) != 0)
        return false;
    fill->at += len;
    return true;
}

static void put_escaped(FILE *out, const char *text)
{
    for (; *text; text++) {
        if (strchr("&<>\"'", *text))
            fprintf(out, "&#%d;", *text);
        else
            putc(*text, out);
    }
}

/* Passes over what does not hold. */
static void skip_to_end(struct fill *fill)
{
    while (fill->at < fill->end && !take(fill, END))
        fill->at++;
}

/* Takes a mark of the template, if one comes next. */
static bool take_mark(struct fill *fill)
{
    static const struct {
        const char *mark;
        enum trust_state state;
    } conditions[] = {{IF_PLAIN, TRUST_PLAIN}, {IF_OTHER, TRUST_OTHER}, {IF_OURS, TRUST_OURS}};
    bool ours = fill->trust->state == TRUST_OURS;
    for (size_t i = 0; i < sizeof(conditions) / sizeof(conditions[0]); i++) {
        if (!take(fill, conditions[i].mark))
            continue;
        if (conditions[i].state != fill->trust->state)
            skip_to_end(fill);
        return true;
    }
    if (take(fill, END))
        return true;
    if (ours && take(fill, "{{name}}")) {
        put_escaped(fill->out, fill->trust->name);
        return true;
    }
    if (ours && take(fill, "{{fingerprint}}")) {
        put_escaped(fill->out, fill->trust->fingerprint);
        return true;
    }
    return false;
}

char *trust_fill(const struct trust *trust, const char *html, size_t len, size_t *filled)
{
    char *text = NULL;
    struct fill fill = {trust, html, html + len, open_memstream(&text, filled)};
    if (!fill.out)
        return NULL;
    while (fill.at < fill.end)
        if (!take_mark(&fill))
            putc(*fill.at++, fill.out);
    bool ok = !ferror(fill.out);
    if (fclose(fill.out) == 0 && ok)
        return text;
    free(text);
    return NULL;
}
