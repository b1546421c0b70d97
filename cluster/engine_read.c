/* SPDX-License-Identifier: MIT
 *
 * engine_read.c - reads the logs of rooms. Used by the reader's thread; no locks.
 */
#include "cluster/engine.h"

#include <stdio.h>
#include <string.h>

enum {
    READ_HEAD = 6, /* XREAD COUNT n BLOCK ms STREAMS */
    COUNT_MAX = 24,
    LOG_KEY_MAX = ENGINE_BASE_MAX + 8,
};

void engine_log_start(struct engine_log *log, struct engine_seat *seat,
                      const struct engine_answer *opened)
{
    log->seat = seat;
    log_order_init(&log->order, seat->room, seat->terms->sealing, seat->terms->body_max);
    log_order_start(&log->order, &opened->start, opened->id);
}

void engine_log_fini(struct engine_log *log)
{
    log_order_fini(&log->order);
}

/* So many entries that the longest of `count` logs fit into one reply. */
static size_t entries_at_once(const struct redis_line *line, const struct engine_seat *seat,
                              size_t count, size_t most)
{
    size_t each = (seat->terms->body_max + TARGET_MESSAGE_EXTRA) * count;
    size_t fit = line->target->answer_max / each;
    return fit < 1 ? 1 : fit < most ? fit : most;
}

/* Takes the reply of a read. An error drops the line. */
static int finish_read(struct redis_line *line, struct reply_value *value,
                       struct engine_batch *batch)
{
    if (!value)
        return -1;
    if (value->type == REPLY_ERROR)
        redis_line_drop(line, "reading: %.200s", value->bytes);
    else if (value->type != REPLY_ARRAY && value->type != REPLY_NIL)
        redis_line_drop(line, "bad reply: reading expects an array");
    if (!redis_line_is_up(line)) {
        reply_free(value);
        return -1;
    }
    batch->value = value;
    return 0;
}

int engine_read(struct redis_line *line, struct engine_log **logs, size_t count, int block_ms,
                struct engine_batch *batch)
{
    char keys[ENGINE_LOGS_MAX][LOG_KEY_MAX], entries[COUNT_MAX], block[COUNT_MAX];
    struct text words[READ_HEAD + 2 * ENGINE_LOGS_MAX];
    memset(batch, 0, sizeof(*batch));
    if (count < 1 || count > ENGINE_LOGS_MAX || block_ms < 1 || block_ms > ENGINE_BLOCK_MAX_MS) {
        redis_line_drop(line, "reading: expected 1 to %d rooms and ms", ENGINE_LOGS_MAX);
        return -1;
    }
    snprintf(entries, sizeof(entries), "%zu",
             entries_at_once(line, logs[0]->seat, count, ENGINE_READ_ENTRIES / count));
    snprintf(block, sizeof(block), "%d", block_ms);
    words[0] = text_of("XREAD");
    words[1] = text_of("COUNT");
    words[2] = text_of(entries);
    words[3] = text_of("BLOCK");
    words[4] = text_of(block);
    words[5] = text_of("STREAMS");
    for (size_t i = 0; i < count; i++) {
        const char *from = logs[i]->order.read_at;
        snprintf(keys[i], sizeof(keys[i]), "%slog", logs[i]->seat->base);
        words[READ_HEAD + i] = text_of(keys[i]);
        words[READ_HEAD + count + i] = text_of(from[0] != '\0' ? from : "0-0");
    }
    batch->logs = logs;
    batch->logs_count = count;
    return finish_read(line, redis_line_ask(line, words, READ_HEAD + 2 * count), batch);
}

int engine_read_back(struct redis_line *line, struct engine_log **log, const char *before,
                     struct engine_batch *batch)
{
    char key[LOG_KEY_MAX], entries[COUNT_MAX];
    const struct engine_seat *seat = (*log)->seat;
    memset(batch, 0, sizeof(*batch));
    snprintf(key, sizeof(key), "%slog", seat->base);
    snprintf(entries, sizeof(entries), "%zu", entries_at_once(line, seat, 1, ENGINE_PAGE_COUNT));
    const struct text words[] = {
        text_of("XREVRANGE"), text_of(key),     text_of(before[0] != '\0' ? before : "0-0"),
        text_of("-"),         text_of("COUNT"), text_of(entries)};
    batch->logs = log;
    batch->logs_count = 1;
    batch->backwards = true;
    return finish_read(line, redis_line_ask(line, words, sizeof(words) / sizeof(*words)), batch);
}

/* ---- Batches ---- */

/* Whether a stream of the reply is that of a log. */
static bool is_stream_of(const struct engine_log *log, struct text key)
{
    size_t len = strlen(log->seat->base);
    return key.at && key.len == len + 3 && memcmp(key.at, log->seat->base, len) == 0 &&
           memcmp(key.at + len, "log", 3) == 0;
}

/* The entries of the current stream, and batch->log. NULL if there is no such stream, or it is not
 * one that was asked for. The engine keeps the order of the request. */
static const struct reply_value *current_entries(struct engine_batch *batch)
{
    if (!batch->value || batch->value->type != REPLY_ARRAY)
        return NULL;
    if (batch->backwards)
        return batch->stream == 0 ? batch->value : NULL;
    const struct reply_value *stream = reply_item(batch->value, batch->stream);
    struct text key = reply_text(reply_item(stream, 0));
    while (batch->log < batch->logs_count && !is_stream_of(batch->logs[batch->log], key))
        batch->log++;
    return batch->log < batch->logs_count ? reply_item(stream, 1) : NULL;
}

enum log_verdict engine_batch_next(struct engine_batch *batch, struct engine_log **log,
                                   struct log_entry *entry, const char **why)
{
    for (;;) {
        const struct reply_value *entries = current_entries(batch);
        if (!entries)
            return LOG_END;
        const struct reply_value *value = reply_item(entries, batch->entry);
        if (!value) {
            engine_batch_skip(batch);
            continue;
        }
        batch->entry++;
        *log = batch->logs[batch->log];
        struct log_order *order = &(*log)->order;
        return batch->backwards ? log_order_previous(order, value, entry, why)
                                : log_order_next(order, value, entry, why);
    }
}

void engine_batch_skip(struct engine_batch *batch)
{
    batch->stream++;
    batch->log++;
    batch->entry = 0;
}

void engine_batch_fini(struct engine_batch *batch)
{
    reply_free(batch->value);
    batch->value = NULL;
}
