/* SPDX-License-Identifier: MIT
 *
 * load_users.c - checks who is online: lists, and by ragnarok.v2 changes of them, that lead to
 * exactly the members present.
 *
 * Each member has a set of the steady members that it was told of. Many members get the same bytes,
 * so a message is parsed once. One thread.
 */
#include "load.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    NAME_LEN = 6,  /* m00000 */
    SET_BITS = 64, /* of a word of a set */
};

/* ---- Parsing ---- */

/* The number of a steady member by its name; `steady` if it is none. */
static unsigned member_number(const struct load_run *run, const char *name, size_t len)
{
    unsigned index = 0;
    if (len != NAME_LEN || name[0] != 'm')
        return run->steady;
    for (size_t i = 1; i < len; i++) {
        if (name[i] < '0' || name[i] > '9')
            return run->steady;
        index = index * 10 + (unsigned)(name[i] - '0');
    }
    return index < run->steady ? index : run->steady;
}

/* Negative if name `a` sorts before `b`, by code points. All names are lower case, so this is also
 * the order of their folded forms. */
static int compare(const char *a, size_t a_len, const char *b, size_t b_len)
{
    int order = memcmp(a, b, a_len < b_len ? a_len : b_len);
    return order ? order : (a_len > b_len) - (a_len < b_len);
}

/* Reads the names after `[` into `names`; each must sort after the one before. Returns what is
 * behind `]`, or NULL. */
static const char *read_names(struct load_run *run, struct name_list *names, const char *at,
                              const char *end)
{
    const char *before = "", *quote;
    size_t before_len = 0;
    while (at < end && *at == '"' && (quote = memchr(at + 1, '"', (size_t)(end - at - 1)))) {
        const char *name = at + 1;
        size_t len = (size_t)(quote - name);
        if (compare(before, before_len, name, len) >= 0)
            run->news.wrong = "is not sorted";
        unsigned number = member_number(run, name, len);
        names->count++;
        if (number < run->steady)
            names->numbers[names->steady++] = number;
        before = name;
        before_len = len;
        at = quote + 1;
        if (at < end && *at == ',')
            at++;
    }
    return at < end && *at == ']' ? at + 1 : NULL;
}

/* Reads the names of a field, if it comes next. Without memory for them it returns NULL. */
static const char *read_users_field(struct load_run *run, struct name_list *names,
                                    const char *field, const char *at, const char *end)
{
    size_t len = strlen(field);
    if (!at || (size_t)(end - at) < len || memcmp(at, field, len) != 0)
        return at;
    names->there = true;
    if (!names->numbers)
        names->numbers = malloc(run->steady * sizeof(*names->numbers));
    return names->numbers ? read_names(run, names, at + len, end) : NULL;
}

static void parse_news(struct load_run *run, const char *payload, size_t len)
{
    struct news *news = &run->news;
    const char *at = payload, *end = payload + len;
    news->is_list = len > 0 && payload[12] == 'O';
    at += strlen(news->is_list ? USERS_HEAD : PRESENCE_HEAD);
    if (run->options.v2) {
        at = check_number(at, end, ",\"Version\":", &news->version);
        if (at && !news->is_list)
            at = check_number(at, end, ",\"Since\":", &news->since);
        if (at)
            at = check_number(at, end, ",\"Count\":", &news->count);
    }
    if (news->is_list)
        at = read_users_field(run, &news->joined, ",\"Users\":[", at, end);
    else
        at = read_users_field(run, &news->joined, ",\"Joined\":[", at, end);
    at = read_users_field(run, &news->left, ",\"Left\":[", at, end);
    if (!run->options.v2)
        news->count = news->joined.count;
    if (!at || end - at != 1 || *at != '}')
        news->wrong = "is not as it should be";
}

/* The same message goes to many members, so it is parsed once. */
static const struct news *read_news(struct load_run *run, const char *payload, size_t len)
{
    struct news *news = &run->news;
    if (news->text && news->len == len && memcmp(news->text, payload, len) == 0)
        return news;
    free(news->text);
    *news = (struct news){.text = malloc(len),
                          .joined.numbers = news->joined.numbers,
                          .left.numbers = news->left.numbers};
    if (!news->text) {
        news->wrong = "does not fit into memory";
        return news;
    }
    memcpy(news->text, payload, len);
    news->len = len;
    parse_news(run, payload, len);
    return news;
}

void users_free(struct load_run *run)
{
    free(run->news.text);
    free(run->news.joined.numbers);
    free(run->news.left.numbers);
}

/* ---- What a member knows ---- */

/* Adds a steady member to a set, or removes it. */
static void set_member(const struct load_run *run, struct load_member *m, unsigned number, bool in)
{
    uint64_t *word = &m->set[number / SET_BITS], bit = UINT64_C(1) << number % SET_BITS;
    unsigned one = (unsigned)in - (unsigned)!!(*word & bit);
    *word ^= (uint64_t)(one != 0) << number % SET_BITS;
    m->latest.members += one;
    m->latest.healthy += number < run->healthy ? one : 0;
}

static void set_members(const struct load_run *run, struct load_member *m,
                        const struct name_list *names, bool in)
{
    for (size_t i = 0; i < names->steady; i++)
        set_member(run, m, names->numbers[i], in);
}

static void clear_members(const struct load_run *run, struct load_member *m)
{
    memset(m->set, 0, set_words(run) * sizeof(*m->set));
    m->latest.members = m->latest.healthy = 0;
}

void check_list(struct load_run *run, struct load_member *m)
{
    const struct known_users *p = &m->latest;
    unsigned expected = run->act == ENDING ? run->healthy : run->steady;
    unsigned known = run->act == ENDING ? p->healthy : p->members;
    bool whole = p->users == expected && (!p->named || known == expected);
    run->whole += (unsigned)whole - (unsigned)m->whole;
    m->whole = whole;
}

/* Takes a message in. A change that a list has made known already is passed over. */
static void learn(struct load_run *run, struct load_member *m, const struct news *news)
{
    if (!news->is_list && news->since > m->version)
        report_fault(run, "%s missed a change: it has %" PRIu64 ", and this is since %" PRIu64,
                     m->name, m->version, news->since);
    if (!news->is_list && news->version <= m->version)
        return;
    m->version = news->version;
    m->latest.users = (unsigned)news->count;
    m->latest.named =
        (news->is_list || m->latest.named) && (news->joined.there || news->left.there);
    if (news->is_list || !m->latest.named)
        clear_members(run, m);
    if (m->latest.named) {
        set_members(run, m, &news->left, false);
        set_members(run, m, &news->joined, true);
    }
}

void check_users(struct load_run *run, struct load_member *m, const char *payload, size_t len)
{
    const struct news *news = read_news(run, payload, len);
    if (news->wrong)
        report_fault(run, "%s got a message that %s: %.*s", m->name, news->wrong, report_shown(len),
                     payload);
    if (m->state == ENTERING && news->is_list) {
        m->state = PRESENT;
        run->entering--;
        run->came += !is_steady(run, m);
    }
    if (m->state != PRESENT || !is_steady(run, m) || run->failed)
        return;
    *(run->act == JOINING ? &run->join_users_bytes : &run->users_bytes) += len;
    learn(run, m, news);
    if (run->act != JOINING && m->latest.named && m->latest.healthy != run->healthy)
        report_fault(run, "%s got a list in which a member is missing", m->name);
    check_list(run, m);
}
