/* SPDX-License-Identifier: MIT
 *
 * trust_page.c - fills in the template of the page /trust.
 *
 * People read the page after their browser has warned them about this server, so it needs no
 * script, and it omits everything that does not apply to this server. Any thread, no locks.
 */
#include "server/http/trust_page.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IF_PLAIN "<!--if plain-->"
#define IF_OTHER "<!--if other-->"
#define IF_OURS  "<!--if ours-->"
#define END      "<!--end-->"

/* The rest of the template, and the output. */
struct fill {
    const struct trust_page *trust;
    const char *at, *end;
    FILE *out;
};

/* Skips `mark` if it is next. */
static bool take_template(struct fill *fill, const char *mark)
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

/* Skips a section that does not apply. */
static void skip_to_end(struct fill *fill)
{
    while (fill->at < fill->end && !take_template(fill, END))
        fill->at++;
}

/* Processes a mark of the template, if one is next. */
static bool take_mark(struct fill *fill)
{
    static const struct {
        const char *mark;
        enum trust_page_state state;
    } conditions[] = {
        {IF_PLAIN, TRUST_PAGE_PLAIN}, {IF_OTHER, TRUST_PAGE_OTHER}, {IF_OURS, TRUST_PAGE_OURS}};
    bool ours = fill->trust->state == TRUST_PAGE_OURS;
    for (size_t i = 0; i < sizeof(conditions) / sizeof(conditions[0]); i++) {
        if (!take_template(fill, conditions[i].mark))
            continue;
        if (conditions[i].state != fill->trust->state)
            skip_to_end(fill);
        return true;
    }
    if (take_template(fill, END))
        return true;
    if (ours && take_template(fill, "{{name}}")) {
        put_escaped(fill->out, fill->trust->name);
        return true;
    }
    if (ours && take_template(fill, "{{fingerprint}}")) {
        put_escaped(fill->out, fill->trust->fingerprint);
        return true;
    }
    return false;
}

char *trust_page_fill(const struct trust_page *trust, const char *html, size_t len, size_t *filled)
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
