/* SPDX-License-Identifier: MIT
 *
 * room_history.c - reads older broadcasts of a room from its ring, and from the history file.
 *
 * Every client's own thread enters it. Takes the ring's lock through ring_reader.h, and the
 * reader's of store.h, one after the other.
 *
 * The ring is read first. Everything that members have heard is in the file before it leaves the
 * ring, so the page goes on in the file where the ring began, whatever was appended meanwhile.
 *
 * The ring's reader goes from old to new, and a page holds the newest messages that fit. So
 * messages are collected in a ring of their own: each that does not fit any more takes the place of
 * the oldest.
 */
#include "room/room_history.h"

#include <stdlib.h>
#include <string.h>

#include "delivery/ring_reader.h"
#include "lib/json/json.h"
#include "net/socket.h"
#include "room/keeper.h"
#include "room/room_parts.h"

/* ---- The ring ---- */

/* The newest messages that fit into a page. */
struct collection {
    struct history_message items[HISTORY_COUNT_MAX];
    size_t first, count; /* items[(first + i) % HISTORY_COUNT_MAX] */
    size_t max;          /* limit of `count` */
    size_t bytes;
    bool dropped; /* one did not fit */
};

static void drop_oldest(struct collection *found)
{
    struct history_message *oldest = &found->items[found->first];
    found->bytes -= oldest->len;
    free(oldest->json);
    *oldest = (struct history_message){.json = NULL};
    found->first = (found->first + 1) % HISTORY_COUNT_MAX;
    found->count--;
}

static void drop_all(struct collection *found)
{
    while (found->count > 0)
        drop_oldest(found);
    found->dropped = false;
}

/* Adds a copy of the newest message. Returns false when memory is out. */
static bool collect_message(struct collection *found, const struct ring_message *message)
{
    char *json = malloc(message->len);
    if (!json)
        return false;
    memcpy(json, message->text, message->len);
    while (found->count > 0 &&
           (found->count == found->max || found->bytes + message->len > HISTORY_BYTES_MAX)) {
        drop_oldest(found);
        found->dropped = true;
    }
    found->items[(found->first + found->count) % HISTORY_COUNT_MAX] =
        (struct history_message){.json = json, .len = message->len, .id = message->id};
    found->count++;
    found->bytes += message->len;
    return true;
}

enum match { MATCH, NO_MATCH, MATCH_NO_MEMORY };

/* Whether the text of a message contains the words. A text with U+0000 in it is never found. */
static enum match match_words(const char *words, const struct ring_message *message)
{
    struct json_object object;
    struct json_error error;
    if (json_parse_message(&object, message->text, message->len, &error) < 0)
        return NO_MATCH;
    const struct json_field *field = json_find(&object, "text");
    if (!field)
        return NO_MATCH;
    char *text = malloc(field->value_len); /* decoding makes it shorter */
    if (!text)
        return MATCH_NO_MEMORY;
    long len = json_string(field, text, field->value_len);
    char *fold = len >= 0 ? name_fold(text, (size_t)len) : NULL;
    enum match result = len >= 0 && !fold ? MATCH_NO_MEMORY : NO_MATCH;
    if (fold && strstr(fold, words))
        result = MATCH;
    free(fold);
    free(text);
    return result;
}

/* Collects from the ring. Sets page->from: a reader that was overtaken has missed what was before
 * the message that it returned next. */
static bool collect_from_ring(struct ring_reader *reader, const struct history_query *query,
                              struct collection *found, struct history_page *page)
{
    struct ring_message message;
    uint64_t expected = page->from = reader->id < reader->end_id ? reader->id : reader->end_id;
    for (; ring_reader_next(reader, &message); expected = message.id + 1) {
        if (message.id != expected) {
            drop_all(found);
            page->from = message.id;
        }
        enum match match = query->words ? match_words(query->words, &message) : MATCH;
        if (match == MATCH_NO_MEMORY || (match == MATCH && !collect_message(found, &message)))
            return false;
    }
    return !reader->failed;
}

/* Moves the messages to the page. */
static void fill_page(struct history_page *page, struct collection *found)
{
    for (size_t i = 0; i < found->count; i++)
        page->messages[i] = found->items[(found->first + i) % HISTORY_COUNT_MAX];
    page->count = found->count;
    page->bytes = found->bytes;
    if (found->dropped)
        page->from = page->messages[0].id;
}

/* Reads the part of a page that is in the ring, from the Id `oldest` on. */
static enum history_result read_ring(struct room *room, const struct history_query *query,
                                     uint64_t oldest, struct history_page *page)
{
    struct collection found = {.max = query->count};
    struct ring_reader reader;
    bool read = true;
    ring_reader_init(&reader, &room->ring, query->before);
    uint64_t first = reader.end_id > query->count ? reader.end_id - query->count : 0;
    if (query->words)
        ring_reader_seek(&reader, oldest, HISTORY_LOOK_MAX);
    else
        ring_reader_seek(&reader, first > oldest ? first : oldest, HISTORY_BYTES_MAX);
    page->from = reader.end_id;
    if (reader.end_id > oldest)
        read = collect_from_ring(&reader, query, &found, page);
    fill_page(page, &found); /* owns the messages now, also when the rest is missing */
    page->cost = query->words ? reader.looked / HISTORY_LOOK_COST : 0;
    ring_reader_fini(&reader);
    return read ? HISTORY_READ : HISTORY_NO_MEMORY;
}

/* ---- The history file ---- */

/* What a room has there. */
struct stored_past {
    bool usable;     /* it can be read now */
    uint64_t oldest; /* no message with an Id below it may be shown any more, wherever it is */
};

/* Messages that are too old have been deleted from the file. Then those that the ring still holds
 * are not shown either, unless they are there because they could not be stored. */
static struct stored_past find_past(struct room *room)
{
    struct stored_past past = {.usable = false};
    if (!atomic_load(&room->storage.stored))
        return past;
    past.usable = store_oldest(keeper_store(), &room->storage.place, &past.oldest) == STORE_OK;
    atomic_store(&room->storage.oldest, past.oldest);
    if (past.usable && past.oldest == 0 && !keeper_fails(room))
        past.oldest = UINT64_MAX;
    return past;
}

/* The messages of a page that are stored, in front of those of the ring. */
struct stored_part {
    struct history_message messages[HISTORY_COUNT_MAX];
    size_t count, max;
    size_t bytes, bytes_max;
    bool full, failed;
};

/* Adds a stored message. The file hands on one message at least, however long it is; that may be
 * too long beside those of the ring. */
static bool add_stored(void *context, uint64_t id, int64_t time_ms, const char *body, size_t len)
{
    struct stored_part *part = context;
    (void)time_ms;
    part->full = part->count == part->max || part->bytes + len > part->bytes_max;
    char *json = part->full ? NULL : malloc(len);
    part->failed = !part->full && !json;
    if (!json)
        return false;
    memcpy(json, body, len);
    part->messages[part->count++] = (struct history_message){.json = json, .len = len, .id = id};
    part->bytes += len;
    return true;
}

static void drop_part(struct stored_part *part)
{
    while (part->count > 0)
        free(part->messages[--part->count].json);
    part->bytes = 0;
}

static void put_in_front(struct history_page *page, const struct stored_part *part)
{
    memmove(page->messages + part->count, page->messages, page->count * sizeof(page->messages[0]));
    memcpy(page->messages, part->messages, part->count * sizeof(page->messages[0]));
    page->count += part->count;
    page->bytes += part->bytes;
}

/* Reads the part of a page that is not in the ring. If the file cannot be read, the page is what
 * the ring had, and there is more. */
static enum history_result read_stored(const struct room *room, const struct history_query *query,
                                       const struct stored_past *past, struct history_page *page)
{
    struct stored_part part = {.max = query->count - page->count,
                               .bytes_max =
                                   page->count ? HISTORY_BYTES_MAX - page->bytes : SIZE_MAX};
    const struct store_query rest = {.before = page->from,
                                     .count = (int)part.max,
                                     .bytes = page->count ? part.bytes_max : HISTORY_BYTES_MAX,
                                     .words = query->words};
    uint64_t from = 0;
    int64_t begin = net_cpu_us(); /* waiting for the queries of others is not charged */
    enum store_result result =
        store_read(keeper_store(), &room->storage.place, &rest, add_stored, &part, &from);
    page->cost += (size_t)(net_cpu_us() - begin) * HISTORY_MS_COST / 1000;
    if (part.full) /* it was one message, and is the first of the next page */
        drop_part(&part);
    put_in_front(page, &part);
    if (part.failed)
        return HISTORY_NO_MEMORY;
    if (result != STORE_OK)
        return page->count > 0 ? HISTORY_READ : HISTORY_LATE;
    if (part.full)
        return HISTORY_READ;
    page->more = from > past->oldest;
    if (from > 0 || part.count > 0)
        page->from = from > 0 ? from : part.messages[0].id;
    return HISTORY_READ;
}

/* Whether the ring had messages that should come before those of the page. */
static bool is_more_in_ring(struct room *room, const struct history_page *page, uint64_t oldest)
{
    uint64_t in_ring = ring_oldest_id(&room->ring); /* now: the reader may have been overtaken */
    return in_ring > 0 && page->from > in_ring && page->from > oldest;
}

enum history_result history_read(struct member *member, const struct config *config,
                                 const struct history_query *query, struct history_page *page)
{
    struct room *room = member->room;
    page->count = page->cost = 0;
    if (config->history == 0 && !room->storage.wanted)
        return HISTORY_CLOSED;
    memcpy(page->epoch, room->epoch, sizeof(page->epoch));
    struct stored_past past = find_past(room);
    enum history_result result = read_ring(room, query, past.oldest, page);
    if (result != HISTORY_READ)
        return result;
    page->more = is_more_in_ring(room, page, past.oldest);
    if (page->more || !room->storage.wanted || page->from <= past.oldest)
        return HISTORY_READ;
    page->more = true;
    if (page->count == query->count || page->bytes >= HISTORY_BYTES_MAX)
        return HISTORY_READ;
    if (!past.usable)
        return page->count > 0 ? HISTORY_READ : HISTORY_LATE;
    return read_stored(room, query, &past, page);
}

void history_page_fini(struct history_page *page)
{
    for (size_t i = 0; i < page->count; i++)
        free(page->messages[i].json);
    page->count = 0;
}

uint64_t history_oldest(struct room *room, const struct config *config)
{
    if (config->history == 0 && !room->storage.wanted)
        return 0;
    uint64_t in_ring = ring_oldest_id(&room->ring), in_file = atomic_load(&room->storage.oldest);
    if (!in_file && room->storage.wanted)
        in_file = find_past(room).oldest;
    if (in_file == UINT64_MAX)
        return 0;
    return in_file > 0 ? in_file : in_ring;
}

bool history_is_kept(const char *room, const struct config *config)
{
    return keeper_store() && config_keeps_history(config, room);
}
