/* SPDX-License-Identifier: MIT
 *
 * log_order.c - checks that each entry continues the log. One thread at a time; no locks.
 */
#include "cluster/log_order.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

/* A seat that has written entries which were read. */
struct log_seat {
    char seat[SEAT_MAX];
    uint64_t highest, lowest; /* seq of its entries that were read */
    uint64_t used;            /* log_order.reads when it last wrote */
    struct sealing_key key;   /* if entries are sealed */
};

void log_order_init(struct log_order *order, const char *room, const struct sealing *sealing,
                    size_t body_max)
{
    memset(order, 0, sizeof(*order));
    order->room = room;
    order->sealing = sealing;
    order->body_max = body_max;
}

static void forget_seats(struct log_order *order)
{
    if (order->seats)
        OPENSSL_cleanse(order->seats, order->count * sizeof(*order->seats));
    free(order->seats);
    order->seats = NULL;
    order->count = 0;
}

void log_order_fini(struct log_order *order)
{
    forget_seats(order);
}

void log_order_start(struct log_order *order, const struct log_position *position, uint64_t id)
{
    forget_seats(order);
    order->position = *position;
    memcpy(order->read_at, position->at, sizeof(order->read_at));
    order->next_id = order->oldest_id = id + 1;
}

/* ---- Seats ---- */

static struct log_seat *find_seat(const struct log_order *order, const char *seat)
{
    for (size_t i = 0; i < order->count; i++)
        if (memcmp(order->seats[i].seat, seat, SEAT_LEN) == 0)
            return &order->seats[i];
    return NULL;
}

/* A free row, or that of the seat that was silent longest. NULL when memory is out. */
static struct log_seat *free_row(struct log_order *order)
{
    if (order->count == LOG_SEATS_MAX) {
        struct log_seat *oldest = order->seats;
        for (size_t i = 1; i < order->count; i++)
            if (order->seats[i].used < oldest->used)
                oldest = &order->seats[i];
        return oldest;
    }
    size_t more = order->count + 1;
    struct log_seat *seats = realloc(order->seats, more * sizeof(*seats));
    if (!seats)
        return NULL;
    order->seats = seats;
    order->count = more;
    memset(&seats[more - 1], 0, sizeof(*seats));
    return &seats[more - 1];
}

/* The row that `entry` needs, in `row`: that of its seat, or a new one that is not stored yet. */
static bool look_up_seat(const struct log_order *order, const char *seat, struct log_seat *row)
{
    const struct log_seat *known = find_seat(order, seat);
    if (known) {
        *row = *known;
        return true;
    }
    memset(row, 0, sizeof(*row));
    memcpy(row->seat, seat, SEAT_MAX);
    row->lowest = UINT64_MAX;
    return !order->sealing || sealing_derive(order->sealing, order->room, seat, &row->key);
}

/* Only good entries come here: others must not push seats out. */
static bool store_seat(struct log_order *order, struct log_seat *row, uint64_t seq)
{
    struct log_seat *known = find_seat(order, row->seat);
    if (!known)
        known = free_row(order);
    if (!known)
        return false;
    if (seq > row->highest)
        row->highest = seq;
    if (seq < row->lowest)
        row->lowest = seq;
    row->used = ++order->reads;
    *known = *row;
    return true;
}

/* ---- Entries ---- */

static enum log_verdict verdict_of(enum log_verdict verdict, const char *text, const char **why)
{
    *why = text;
    return verdict;
}

/* Whether the place `a` is after `b`, "MS-NUMBER" each; "" is before all. */
static bool is_after(const char *a, const char *b)
{
    if (b[0] == '\0')
        return true;
    unsigned long long ms_a = strtoull(a, NULL, 10), ms_b = strtoull(b, NULL, 10);
    if (ms_a != ms_b)
        return ms_a > ms_b;
    return strtoull(strchr(a, '-') + 1, NULL, 10) > strtoull(strchr(b, '-') + 1, NULL, 10);
}

/* Reads and opens an entry, and checks its seat's seq: it goes up, or backwards down. */
static enum log_verdict open_entry(const struct log_order *order, const struct reply_value *value,
                                   bool backwards, struct log_entry *entry, struct log_seat *row,
                                   const char **why)
{
    const char *wrong = log_entry_read(entry, value, order->body_max);
    if (wrong)
        return verdict_of(LOG_BAD, wrong, why);
    if (!look_up_seat(order, entry->seat, row))
        return verdict_of(LOG_MEMORY, "out of memory", why);
    wrong = log_entry_open(entry, order->sealing ? &row->key : NULL, order->room);
    if (wrong)
        return verdict_of(LOG_BAD, wrong, why);
    if (entry->seq > 0 && (backwards ? entry->seq >= row->lowest : entry->seq <= row->highest))
        return verdict_of(LOG_BAD, "its seq came before: the engine repeated or moved it", why);
    return LOG_GOOD;
}

/* Calls that the engine makes for a seat (seq 0) need no row. */
static enum log_verdict note_seat(struct log_order *order, const struct log_entry *entry,
                                  struct log_seat *row, const char **why)
{
    if (entry->seq > 0 && !store_seat(order, row, entry->seq))
        return verdict_of(LOG_MEMORY, "out of memory", why);
    return LOG_GOOD;
}

enum log_verdict log_order_next(struct log_order *order, const struct reply_value *value,
                                struct log_entry *entry, const char **why)
{
    struct log_seat row;
    enum log_verdict verdict = open_entry(order, value, false, entry, &row, why);
    if (entry->at[0] == '\0' || !is_after(entry->at, order->read_at))
        return verdict_of(LOG_BROKEN, "an entry is not after the one before", why);
    if (verdict == LOG_MEMORY)
        return verdict;
    if (verdict == LOG_GOOD && entry->number <= order->position.number)
        return verdict_of(LOG_BROKEN, "an entry's number is not above the one before", why);
    if (verdict == LOG_GOOD && entry->kind == LOG_BROADCAST && entry->id != order->next_id)
        return verdict_of(LOG_BROKEN, "a broadcast is missing: Ids are not consecutive", why);
    if (verdict == LOG_GOOD)
        verdict = note_seat(order, entry, &row, why);
    OPENSSL_cleanse(&row.key, sizeof(row.key));
    if (verdict == LOG_MEMORY)
        return verdict;
    memcpy(order->read_at, entry->at, sizeof(order->read_at));
    if (verdict != LOG_GOOD)
        return verdict;
    memcpy(order->position.at, entry->at, sizeof(order->position.at));
    order->position.number = entry->number;
    log_entry_tag(entry, order->position.tag);
    if (entry->kind == LOG_BROADCAST)
        order->next_id++;
    return LOG_GOOD;
}

enum log_verdict log_order_previous(struct log_order *order, const struct reply_value *value,
                                    struct log_entry *entry, const char **why)
{
    struct log_seat row;
    enum log_verdict verdict = open_entry(order, value, true, entry, &row, why);
    if (entry->at[0] == '\0')
        return verdict_of(LOG_BROKEN, "an entry has no place", why);
    if (verdict == LOG_GOOD && entry->kind == LOG_BROADCAST && entry->id != order->oldest_id - 1)
        return verdict_of(LOG_BROKEN, "a broadcast is missing: Ids are not consecutive", why);
    if (verdict == LOG_GOOD)
        verdict = note_seat(order, entry, &row, why);
    OPENSSL_cleanse(&row.key, sizeof(row.key));
    if (verdict == LOG_GOOD && entry->kind == LOG_BROADCAST)
        order->oldest_id--;
    return verdict;
}
