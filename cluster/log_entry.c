/* SPDX-License-Identifier: MIT
 *
 * log_entry.c - decodes and checks the entries of a room's log. Pure: no locks, any thread.
 */
#include "cluster/log_entry.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <utf8proc.h>

#include "lib/ascii.h"

enum {
    ENTRY_HEAD = 8,    /* k, s, q and n, with their values */
    FIELDS_MAX = 8,    /* the other fields, at most four, with their values */
    DIGITS_MAX = 16,   /* of 2^53 */
    PLACE_DIGITS = 20, /* of a 64-bit number */
};

/* ---- Parts ---- */

bool log_read_number(struct text text, uint64_t *number)
{
    *number = 0;
    if (!text.at || text.len == 0 || text.len > DIGITS_MAX || (text.at[0] == '0' && text.len > 1))
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (!ascii_is_digit(text.at[i]))
            return false;
        *number = *number * 10 + (uint64_t)(text.at[i] - '0');
    }
    return *number <= (uint64_t)1 << 53;
}

static size_t count_digits(struct text text)
{
    size_t n = 0;
    while (n < text.len && ascii_is_digit(text.at[n]))
        n++;
    return n;
}

bool log_is_at(struct text text)
{
    if (!text.at || text.len >= LOG_AT_MAX)
        return false;
    size_t ms = count_digits(text);
    if (ms == 0 || ms > DIGITS_MAX || ms == text.len || text.at[ms] != '-')
        return false;
    struct text number = text_skip(text, ms + 1);
    return number.len > 0 && number.len <= PLACE_DIGITS && count_digits(number) == number.len;
}

bool log_is_seat(struct text text)
{
    if (!text.at || text.len != SEAT_LEN)
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (!ascii_is_one_of(text.at[i], "0123456789abcdef"))
            return false;
    return true;
}

bool log_is_tag(struct text text)
{
    uint64_t seq;
    if (text.at && text_equals(text, "-"))
        return true;
    if (!text.at || text.len < SEAT_LEN + 4 || text.len >= LOG_TAG_MAX)
        return false;
    return ascii_is_one_of(text.at[0], "bjlpraxe") && text.at[1] == ':' &&
           log_is_seat(text_first(text_skip(text, 2), SEAT_LEN)) && text.at[SEAT_LEN + 2] == ':' &&
           log_read_number(text_skip(text, SEAT_LEN + 3), &seq);
}

static bool copy_seat(char out[SEAT_MAX], struct text text)
{
    if (!log_is_seat(text))
        return false;
    memcpy(out, text.at, SEAT_LEN);
    out[SEAT_LEN] = '\0';
    return true;
}

static bool is_name(struct text text)
{
    return text.at && text.len > 0 && text.len <= LOG_NAME_MAX;
}

static bool is_identity(struct text text)
{
    if (!text.at || text.len == 0 || text.len > LOG_IDENTITY_MAX)
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (!ascii_is_alnum(text.at[i]) && !ascii_is_one_of(text.at[i], "-_+/="))
            return false;
    return true;
}

/* ---- Entries ---- */

static bool read_place(struct log_entry *entry, struct text text)
{
    if (!log_is_at(text))
        return false;
    memcpy(entry->at, text.at, text.len);
    entry->at[text.len] = '\0';
    return log_read_number(text_first(text, count_digits(text)), &entry->ms);
}

/* The fields after the head, in the order in which engine.lua writes them for each kind; `count` is
 * that of fields and values. Fills `values` in. */
static bool take_fields(const struct reply_value *fields, const char *names, struct text *values)
{
    size_t count = strlen(names);
    if (fields->count != ENTRY_HEAD + 2 * count)
        return false;
    for (size_t i = 0; i < count; i++) {
        struct text name = reply_text(reply_item(fields, ENTRY_HEAD + 2 * i));
        values[i] = reply_text(reply_item(fields, ENTRY_HEAD + 2 * i + 1));
        if (!name.at || name.len != 1 || name.at[0] != names[i] || !values[i].at)
            return false;
    }
    return true;
}

static const char *read_broadcast(struct log_entry *entry, const struct text *values)
{
    if (!log_read_number(values[0], &entry->id) || entry->id == 0)
        return "the Id is not a number above 0";
    entry->body = values[1];
    return NULL;
}

/* "" or "SEAT TAG" */
static bool read_replaced(struct log_entry *entry, struct text text)
{
    if (text.len == 0)
        return true;
    return text.len > SEAT_LEN + 1 && copy_seat(entry->other, text_first(text, SEAT_LEN)) &&
           text.at[SEAT_LEN] == ' ' &&
           log_read_number(text_skip(text, SEAT_LEN + 1), &entry->other_tag) &&
           entry->other_tag > 0;
}

static const char *read_join(struct log_entry *entry, const struct text *values)
{
    entry->name = values[0];
    entry->identity = values[1];
    entry->body = values[3];
    if (!is_name(entry->name) || !is_identity(entry->identity))
        return "the name or the identity is not one";
    return read_replaced(entry, values[2]) ? NULL : "the replaced member is not one";
}

static const char *read_leave(struct log_entry *entry, const struct text *values)
{
    entry->name = values[0];
    if (!is_name(entry->name) || !log_read_number(values[1], &entry->tag) || entry->tag == 0)
        return "the name or the tag is not one";
    return NULL;
}

static const char *read_private(struct log_entry *entry, const struct text *values)
{
    entry->name = values[0];
    entry->body = values[2];
    if (!is_name(entry->name) || !copy_seat(entry->other, values[1]))
        return "the name or the seat of the receiver is not one";
    return NULL;
}

static const char *const outcomes[] = {
    [LOG_NAME_TAKEN] = "name_taken",
    [LOG_UNKNOWN_USER] = "unknown_user",
    [LOG_DELIVERED] = "delivered",
    [LOG_RECEIVER_BUSY] = "receiver_busy",
};

const char *log_outcome_name(enum log_outcome outcome)
{
    return outcomes[outcome];
}

/* Reads one of the outcomes from `least` to `most`. */
static bool read_outcome(struct log_entry *entry, struct text text, enum log_outcome least,
                         enum log_outcome most)
{
    for (entry->code = least; entry->code <= most; entry->code++)
        if (text_equals(text, outcomes[entry->code]))
            return true;
    return false;
}

static const char *read_refusal(struct log_entry *entry, const struct text *values)
{
    if (!read_outcome(entry, values[0], LOG_NAME_TAKEN, LOG_UNKNOWN_USER))
        return "the code of the refusal is unknown";
    return NULL;
}

static const char *read_answer_entry(struct log_entry *entry, const struct text *values)
{
    if (!copy_seat(entry->other, values[0]) || !log_read_number(values[1], &entry->other_tag) ||
        entry->other_tag == 0)
        return "the private message that is answered is not one";
    if (!read_outcome(entry, values[2], LOG_UNKNOWN_USER, LOG_RECEIVER_BUSY))
        return "the code of the answer is unknown";
    return NULL;
}

static const char *read_seat(struct log_entry *entry, const struct text *values)
{
    return copy_seat(entry->other, values[0]) ? NULL : "the seat or epoch is not one";
}

/* What follows the head of an entry of each kind. */
static const struct {
    enum log_kind kind;
    bool has_seq;
    const char *fields;
    const char *(*read)(struct log_entry *entry, const struct text *values);
} entry_kinds[] = {
    {LOG_BROADCAST, true, "id", read_broadcast}, {LOG_JOIN, true, "fyod", read_join},
    {LOG_LEAVE, true, "ft", read_leave},         {LOG_PRIVATE, true, "ftd", read_private},
    {LOG_REFUSAL, true, "d", read_refusal},      {LOG_SEAT_OVER, false, "d", read_seat},
    {LOG_EPOCH, false, "d", read_seat},          {LOG_ANSWER, true, "tid", read_answer_entry},
};

/* k, s, q, n. Returns the row of entry_kinds, or -1. */
static int read_entry_head(struct log_entry *entry, const struct reply_value *fields)
{
    static const char names[] = "ksqn";
    struct text values[4];
    for (size_t i = 0; i < 4; i++) {
        struct text name = reply_text(reply_item(fields, 2 * i));
        values[i] = reply_text(reply_item(fields, 2 * i + 1));
        if (!name.at || name.len != 1 || name.at[0] != names[i] || !values[i].at)
            return -1;
    }
    if (values[0].len != 1 || !copy_seat(entry->seat, values[1]) ||
        !log_read_number(values[2], &entry->seq) || !log_read_number(values[3], &entry->number) ||
        entry->number == 0)
        return -1;
    for (int i = 0; i < (int)(sizeof(entry_kinds) / sizeof(*entry_kinds)); i++)
        if ((char)entry_kinds[i].kind == values[0].at[0]) {
            entry->kind = entry_kinds[i].kind;
            return entry_kinds[i].has_seq == (entry->seq > 0) ? i : -1;
        }
    return -1;
}

const char *log_entry_read(struct log_entry *entry, const struct reply_value *value,
                           size_t body_max)
{
    struct text values[FIELDS_MAX / 2];
    memset(entry, 0, sizeof(*entry));
    const struct reply_value *fields = reply_item(value, 1);
    if (!read_place(entry, reply_text(reply_item(value, 0)))) {
        entry->at[0] = '\0';
        entry->ms = 0;
        return "its place is not one";
    }
    if (value->count != 2 || !fields)
        return "it has no fields";
    int row = read_entry_head(entry, fields);
    if (row < 0)
        return "its kind, seat, seq or number is not one";
    if (!take_fields(fields, entry_kinds[row].fields, values))
        return "its fields are not those of its kind";
    const char *why = entry_kinds[row].read(entry, values);
    size_t most = entry->kind == LOG_JOIN ? LOG_CARD_MAX : body_max;
    if (!why && entry->body.len > most + SEALING_TAG_BYTES)
        return "its text is too long";
    return why;
}

/* ---- People ---- */

/* The text up to the next blank, which is skipped. `at` NULL if there is no blank. */
static struct text take_word(struct text *text)
{
    struct text word = text_before(*text, " ");
    if (word.len == text->len)
        return (struct text){NULL, 0};
    *text = text_skip(*text, word.len + 1);
    return word;
}

const char *log_person_read(struct log_person *person, const struct reply_value *name,
                            const struct reply_value *value)
{
    struct text rest = reply_text(value);
    memset(person, 0, sizeof(*person));
    person->name = reply_text(name);
    if (!is_name(person->name) || !rest.at)
        return "the member's name is not one";
    if (!copy_seat(person->seat, take_word(&rest)))
        return "the member's seat is not one";
    if (!log_read_number(take_word(&rest), &person->tag) || person->tag == 0)
        return "the member's tag is not a number above 0";
    person->identity = take_word(&rest);
    if (!is_identity(person->identity))
        return "the member's identity is not one";
    person->card = rest;
    return rest.len > LOG_CARD_MAX + SEALING_TAG_BYTES ? "the member's card is too long" : NULL;
}

/* ---- Texts ---- */

struct sealing_place log_entry_place(const struct log_entry *entry, const char *room)
{
    return (struct sealing_place){.room = room,
                                  .seat = entry->seat,
                                  .seq = entry->seq,
                                  .kind = (char)entry->kind,
                                  .name = entry->name,
                                  .identity = entry->identity};
}

struct sealing_place log_person_place(const struct log_person *person, const char *room)
{
    return (struct sealing_place){.room = room,
                                  .seat = person->seat,
                                  .seq = person->tag,
                                  .kind = LOG_JOIN,
                                  .name = person->name,
                                  .identity = person->identity};
}

/* Valid UTF-8, over anything else a client has to end its connection (RFC 6455 §8.1); no control
 * characters but those that JSON has as white space. */
static bool is_clean(struct text text)
{
    utf8proc_int32_t point;
    size_t at = 0;
    while (at < text.len) {
        unsigned char byte = (unsigned char)text.at[at];
        if (byte < 0x80) {
            if (byte < ' ' && !ascii_is_one_of(text.at[at], "\t\n\r"))
                return false;
            at++;
            continue;
        }
        size_t left = text.len - at < 4 ? text.len - at : 4;
        utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)text.at + at,
                                              (utf8proc_ssize_t)left, &point);
        if (n <= 0)
            return false;
        at += (size_t)n;
    }
    return true;
}

/* Opens one text. Its bytes belong to the reply, which is ours, so they may be changed. */
static const char *open_text(struct text *text, const struct sealing_key *key,
                             const struct sealing_place *place)
{
    if (key) {
        long long len = sealing_open(key, place, (char *)(uintptr_t)text->at, text->len);
        if (len < 0)
            return "its seal is not valid: cluster_secret differs, or the engine changed it";
        text->len = (size_t)len;
    }
    return is_clean(*text) ? NULL : "its text is not UTF-8, or has control characters";
}

const char *log_entry_open(struct log_entry *entry, const struct sealing_key *key, const char *room)
{
    struct sealing_place place = log_entry_place(entry, room);
    return entry->body.at ? open_text(&entry->body, key, &place) : NULL;
}

const char *log_person_open(struct log_person *person, const struct sealing_key *key,
                            const char *room)
{
    struct sealing_place place = log_person_place(person, room);
    return open_text(&person->card, key, &place);
}

void log_entry_tag(const struct log_entry *entry, char tag[LOG_TAG_MAX])
{
    snprintf(tag, LOG_TAG_MAX, "%c:%s:%" PRIu64, (int)entry->kind, entry->seat, entry->seq);
}
