/* SPDX-License-Identifier: MIT
 *
 * load_check.c - checks deliveries: each broadcast once at each member, numbered without a gap, in
 * one order for all, with its text unchanged; private messages at their receiver only; lists that
 * name exactly the members present.
 *
 * Deliveries are not parsed as JSON: fields are where docs/PROTOCOL.md shows them, and the text
 * tells its sender, number and time. The first member to receive a broadcast checks each byte of
 * it; all others must receive the same bytes. One thread.
 */
#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    NAME_LEN = 6, /* m00000 */
};

/* ---- Stamps and texts ---- */

/* Reads the output of put_digits; false when a digit is invalid. */
static bool take_digits(const char *from, int digits, uint64_t *value)
{
    unsigned all = 0;
    *value = 0;
    for (int i = 0; i < digits; i++) {
        unsigned digit = (unsigned char)from[i] - (unsigned)'a';
        *value = *value << 4 | digit;
        all |= digit;
    }
    return all < 16;
}

static bool take_stamp(const char *text, struct stamp *stamp)
{
    uint64_t sender, number, time;
    bool good = take_digits(text, 5, &sender);
    good &= take_digits(text + 6, 8, &number);
    good &= take_digits(text + 15, 16, &time);
    stamp->sender = (unsigned)sender;
    stamp->number = (uint32_t)number;
    stamp->time = (int64_t)time;
    return good && text[5] == '.' && text[14] == '.';
}

/* Reads `,"key":NUMBER` at `at`. Returns the rest, or NULL. */
static const char *verify_number(const char *at, const char *end, const char *key, uint64_t *number)
{
    size_t len = strlen(key);
    if ((size_t)(end - at) < len || memcmp(at, key, len) != 0)
        return NULL;
    const char *digits = at += len;
    uint64_t value = 0;
    for (; at < end && *at >= '0' && *at <= '9'; at++)
        value = value * 10 + (uint64_t)(*at - '0');
    *number = value;
    return at > digits ? at : NULL;
}

/* Checks a text: the right size, stamp and padding, followed only by the server's fields: `Id` (if
 * `id` is set) and `Time`. */
static bool take_text(const struct load_run *run, const char *text, const char *end, bool id,
                      struct stamp *stamp)
{
    size_t size = (size_t)run->options.size;
    uint64_t time;
    if ((size_t)(end - text) <= size || !take_stamp(text, stamp) || text[size] != '"' ||
        memcmp(text + STAMP_LEN, run->padding + STAMP_LEN, size - STAMP_LEN) != 0)
        return false;
    const char *at = text + size + 1;
    if (id)
        at = verify_number(at, end, ",\"Id\":", &stamp->id);
    if (at)
        at = verify_number(at, end, ",\"Time\":", &time);
    return at && end - at == 1 && *at == '}';
}

/* ---- Broadcasts ---- */

/* Compares the number of a message with the expected one. A late one had been counted as lost.
 * Returns false for a duplicate. */
static bool track(struct load_run *run, struct load_member *m, uint32_t *due, uint32_t number)
{
    if (number >= *due) {
        run->lost += number - *due;
        m->missing += number - *due;
        *due = number + 1;
    } else if (m->missing) {
        m->missing--;
        run->lost--;
        run->swapped++;
    } else {
        run->doubled++;
        return false;
    }
    return true;
}

/* Ids are consecutive, and all members see the same sequence of (Id, sender, number). */
static void follow(struct load_run *run, struct load_member *m, const struct stamp *stamp)
{
    if (m->last_id && stamp->id != m->last_id + 1)
        run->id_breaks++;
    m->last_id = stamp->id;
    m->hash = (m->hash ^ stamp->id) * UINT64_C(0x9E3779B97F4A7C15);
    m->hash ^= m->hash >> 29;
    m->hash =
        (m->hash ^ ((uint64_t)stamp->sender << 32 | stamp->number)) * UINT64_C(0xBF58476D1CE4E5B9);
    m->hash ^= m->hash >> 32;
}

/* Checks a broadcast with this stamp at a member. */
static void verify_delivery(struct load_run *run, struct load_member *m, const struct stamp *stamp)
{
    follow(run, m, stamp);
    if (!is_healthy(run, m) || !track(run, m, &m->due[stamp->sender], stamp->number))
        return;
    report_delivery(run, stamp->time);
    if (stamp->sender == m->index && !run->options.rate && talk_may(run, m))
        talk_next(run, m);
}

/* Keeps the expected frame of a broadcast: final, not masked, with the shortest head. */
static void keep(struct past *past, const struct stamp *stamp, const char *payload, size_t len)
{
    size_t size = WS_HEAD_MAX + len, at = past->end % PAST_SIZE;
    if (size > PAST_SIZE)
        return;
    if (at + size > PAST_SIZE) {
        past->end += PAST_SIZE - at;
        at = 0;
    }
    size_t head = ws_write_head(past->bytes + at, WS_TEXT, len);
    memcpy(past->bytes + at + head, payload, len);
    past->known[stamp->id % PAST_FRAMES] =
        (struct known){.stamp = *stamp, .at = past->end, .len = head + len};
    past->end += head + len;
}

size_t check_known(struct load_run *run, struct load_member *m, const unsigned char *frame,
                   size_t have)
{
    const struct past *past = &run->past;
    const struct known *due = &past->known[(m->last_id + 1) % PAST_FRAMES];
    if (!due->len || due->stamp.id != m->last_id + 1 || due->len > have ||
        past->end - due->at > PAST_SIZE)
        return 0;
    if (m->state < PRESENT || m->state == STALLED || m->reader.kind ||
        memcmp(frame, past->bytes + due->at % PAST_SIZE, due->len) != 0)
        return 0;
    verify_delivery(run, m, &due->stamp);
    return due->len;
}

void check_broadcast(struct load_run *run, struct load_member *m, const char *payload, size_t len)
{
    struct stamp stamp = {0};
    size_t head_len = run->members[0].head_len; /* the same for all senders */
    if (len < head_len || !take_text(run, payload + head_len, payload + len, true, &stamp) ||
        stamp.sender >= (unsigned)run->options.senders || run->options.private ||
        memcmp(payload, run->members[stamp.sender].head, head_len) != 0) {
        report_fault(run, "%s got what nobody sent: %.*s", m->name, report_shown(len), payload);
        return;
    }
    keep(&run->past, &stamp, payload, len);
    verify_delivery(run, m, &stamp);
}

/* ---- Private messages ---- */

/* Members 0 and 1 are partners, 2 and 3, and so on; the even one serves, the odd one returns. */
void verify_private(struct load_run *run, struct load_member *m, const char *payload, size_t len)
{
    struct stamp stamp = {0};
    char source[LABEL_MAX + 16];
    unsigned partner = m->index ^ 1;
    const char *text = memmem(payload, len, "\"text\":\"", 8);
    int source_len = snprintf(source, sizeof(source), "\"SrcUser\":\"m%05u\"", partner);
    if (!run->options.private || !is_steady(run, m) || !text ||
        !take_text(run, text + 8, payload + len, false, &stamp) || stamp.sender != partner ||
        !memmem(payload, (size_t)(text - payload), source, (size_t)source_len)) {
        report_fault(run, "%s got a stray message: %.*s", m->name, report_shown(len), payload);
        return;
    }
    if (!track(run, m, m->due, stamp.number))
        return;
    report_delivery(run, stamp.time);
    if (m->index % 2 || talk_may(run, m))
        talk_next(run, m);
}

/* ---- Lists of members ---- */

/* Counts one name of an OnlineUsers. */
static void count_name(const struct load_run *run, struct presence *p, const char *name, size_t len)
{
    unsigned index = 0;
    p->users++;
    if (len != NAME_LEN || name[0] != 'm')
        return;
    for (size_t i = 1; i < len; i++) {
        if (name[i] < '0' || name[i] > '9')
            return;
        index = index * 10 + (unsigned)(name[i] - '0');
    }
    p->members += index < run->steady;
    p->healthy += index < run->healthy;
}

/* Negative if name `a` sorts before `b`, by code points. */
static int compare(const char *a, size_t a_len, const char *b, size_t b_len)
{
    int order = memcmp(a, b, a_len < b_len ? a_len : b_len);
    return order ? order : (a_len > b_len) - (a_len < b_len);
}

/* Reads the names after `[`; each must sort after the one before. */
static void read_users(const struct load_run *run, struct presence *p, const char *at,
                       const char *end)
{
    const char *before = "", *quote;
    size_t before_len = 0;
    while (at < end && *at == '"' && (quote = memchr(at + 1, '"', (size_t)(end - at - 1)))) {
        const char *name = at + 1;
        size_t len = (size_t)(quote - name);
        if (compare(before, before_len, name, len) >= 0)
            p->wrong = "is not sorted";
        count_name(run, p, name, len);
        before = name;
        before_len = len;
        at = quote + 1;
        if (at < end && *at == ',')
            at++;
    }
    if (end - at != 2 || memcmp(at, "]}", 2) != 0)
        p->wrong = "is not a list of names";
}

/* The same list goes to many members, so it is parsed once. */
static const struct presence *read_list(struct load_run *run, const char *payload, size_t len)
{
    if (run->list && run->list_len == len && memcmp(run->list, payload, len) == 0)
        return &run->presence;
    char *list = realloc(run->list, len);
    run->presence = (struct presence){0};
    if (!list) {
        run->presence.wrong = "does not fit into memory";
        return &run->presence;
    }
    run->list = list;
    memcpy(run->list, payload, len);
    run->list_len = len;
    read_users(run, &run->presence, payload + strlen(USERS_HEAD), payload + len);
    return &run->presence;
}

void check_list(struct load_run *run, struct load_member *m)
{
    const struct presence *p = &m->latest;
    bool whole = run->act == ENDING ? p->users == run->healthy && p->healthy == run->healthy
                                    : p->users == run->steady && p->members == run->steady;
    run->whole += (unsigned)whole - (unsigned)m->whole;
    m->whole = whole;
}

void check_users(struct load_run *run, struct load_member *m, const char *payload, size_t len)
{
    const struct presence *p = read_list(run, payload, len);
    if (p->wrong)
        report_fault(run, "%s got a list that %s: %.*s", m->name, p->wrong, report_shown(len),
                     payload);
    if (m->state == ENTERING) {
        m->state = PRESENT;
        run->entering--;
        run->came += !is_steady(run, m);
    }
    if (m->state != PRESENT || !is_steady(run, m))
        return;
    if (run->act != JOINING && p->healthy != run->healthy)
        report_fault(run, "%s got a list in which a member is missing", m->name);
    m->latest = *p;
    check_list(run, m);
}
