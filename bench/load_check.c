/* SPDX-License-Identifier: MIT
 *
 * load_check.c - checks deliveries: each broadcast once at each member, numbered without a gap, in
 * one order for all, with its text unchanged; private messages at their receiver only.
 * load_users.c checks who is online.
 *
 * Deliveries are not parsed as JSON: fields are where docs/PROTOCOL.md shows them, and the text
 * tells its sender, number and time. The first member to receive a broadcast checks each byte of
 * it; all others must receive the same bytes. One thread.
 */
#include "load.h"

#include <stdio.h>
#include <string.h>

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

const char *check_number(const char *at, const char *end, const char *key, uint64_t *number)
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
        at = check_number(at, end, ",\"Id\":", &stamp->id);
    if (at)
        at = check_number(at, end, ",\"Time\":", &time);
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
