/* SPDX-License-Identifier: MIT
 *
 * bridge_reader.c - the threads that read the logs of shared rooms, up to ENGINE_LOGS_MAX each.
 *
 * A reader waits for entries of all its rooms at once, does what they say, and fans out. Between
 * two reads it opens new rooms and gives up lost ones. It holds no lock while it waits for the
 * engine. Takes the bridge's lock, a leaf, and through the functions that it calls those of room.h.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/metrics.h"
#include "net/socket.h"
#include "room/bridge_parts.h"

enum {
    RETRY_MS = 200, /* between two attempts to open a room that is refused */
};

struct bridge_reader *bridge_reader_new(void)
{
    struct bridge_reader *reader = calloc(1, sizeof(*reader));
    if (!reader)
        return NULL;
    redis_line_init(&reader->line, &bridge.target);
    net_cond_init(&reader->wanted);
    if (bridge.running && !bridge_reader_start(reader)) {
        bridge_reader_free(reader);
        return NULL;
    }
    return reader;
}

bool bridge_reader_start(struct bridge_reader *reader)
{
    reader->running = pthread_create(&reader->thread, NULL, bridge_reader_main, reader) == 0;
    return reader->running;
}

void bridge_reader_free(struct bridge_reader *reader)
{
    redis_line_fini(&reader->line);
    pthread_cond_destroy(&reader->wanted);
    free(reader);
}

void bridge_ask_reader(struct bridge_reader *reader)
{
    reader->asked++;
    pthread_cond_signal(&reader->wanted);
    pthread_cond_signal(&bridge.wanted); /* the writer ends its read */
}

void bridge_note_heard(struct bridge_reader *reader, bool heard)
{
    bridge_lock();
    if (heard || reader->heard_at == 0)
        reader->heard_at = net_now();
    bridge_unlock();
}

/* ---- Links ---- */

/* The links of a reader at one moment; NULL: it was dropped since. */
struct reader_view {
    struct room_link *links[ENGINE_LOGS_MAX];
    enum link_state states[ENGINE_LOGS_MAX];
    size_t count;
};

/* Waits until there is a link. Returns false at the end. */
static bool take_view(struct bridge_reader *reader, struct reader_view *view)
{
    bridge_lock();
    if (reader->count == 0)
        reader->heard_at = 0;
    while (reader->count == 0 && !bridge.ending)
        pthread_cond_wait(&reader->wanted, &bridge.lock);
    reader->seen = reader->asked;
    view->count = reader->count;
    for (size_t i = 0; i < view->count; i++) {
        view->links[i] = reader->links[i];
        view->states[i] = reader->links[i]->state;
    }
    bool goes_on = !bridge.ending;
    bridge_unlock();
    return goes_on;
}

/* From now on only the writer knows the link, and releases the room. */
static void drop_link(struct bridge_reader *reader, struct room_link **dropped)
{
    struct room_link *link = *dropped;
    *dropped = NULL;
    bridge_lock();
    size_t i = 0;
    while (reader->links[i] != link)
        i++;
    reader->links[i] = reader->links[--reader->count];
    link->reader_done = true;
    pthread_cond_signal(&bridge.wanted);
    bridge_unlock();
}

/* Opens new rooms, and gives up those that are over. Returns how many it must try again soon. */
static size_t tend_links(struct bridge_reader *reader, struct reader_view *view)
{
    size_t again = 0;
    for (size_t i = 0; i < view->count; i++) {
        struct room_link *link = view->links[i];
        switch (view->states[i]) {
        case LINK_OPENING:
            again += !redis_line_is_up(&reader->line) || !bridge_open_room(reader, link);
            break;
        case LINK_LOST:
            if (bridge_give_up(reader, link))
                drop_link(reader, &view->links[i]);
            else
                again++;
            break;
        case LINK_ENDING:
        case LINK_OVER:
            drop_link(reader, &view->links[i]);
            break;
        case LINK_OPEN:
            break;
        }
    }
    return again;
}

/* ---- Entries ---- */

static void log_bad_entry(const char *why)
{
    static atomic_int_fast64_t next;
    if (log_is_due(&next))
        log_event(LOG_LEVEL_ERROR, "engine", "why=\"an entry is skipped: %s\"", why);
}

static bool is_open(const struct room_link *link)
{
    bridge_lock();
    bool open = link->state == LINK_OPEN;
    bridge_unlock();
    return open;
}

static struct room_link *link_of_log(struct engine_log *log)
{
    return (struct room_link *)(void *)((char *)log - offsetof(struct room_link, log));
}

/* Does what a batch says. */
static void apply_batch(struct engine_batch *batch)
{
    struct engine_log *log;
    struct log_entry entry;
    const char *why;
    for (;;) {
        enum log_verdict verdict = engine_batch_next(batch, &log, &entry, &why);
        if (verdict == LOG_END)
            return;
        struct room_link *link = link_of_log(log);
        if (verdict == LOG_BAD)
            log_bad_entry(why);
        if (verdict == LOG_BAD && entry.kind == LOG_BROADCAST)
            bridge_lose(link, true, why); /* the next one would be behind a gap */
        else if (verdict == LOG_BAD)
            continue;
        else if (verdict != LOG_GOOD)
            bridge_lose(link, verdict == LOG_BROKEN, why);
        if (!is_open(link))
            engine_batch_skip(batch);
        else if (verdict == LOG_GOOD)
            bridge_apply(link, &entry);
    }
}

/* Shows the members what was applied, and the writer how far. */
static void finish_batch(const struct reader_view *view)
{
    for (size_t i = 0; i < view->count; i++)
        if (view->links[i] && view->links[i]->touched)
            room_fan_out_until_idle(view->links[i]->room);
    bridge_lock();
    for (size_t i = 0; i < view->count; i++) {
        struct room_link *link = view->links[i];
        if (!link)
            continue;
        if (link->touched)
            link->position = link->log.order.position;
        link->touched = false;
    }
    bridge_unlock();
    bridge_wake_waiting();
}

/* Waits for entries, and applies them. */
static void read_logs(struct bridge_reader *reader, const struct reader_view *view, int block_ms)
{
    struct engine_log *logs[ENGINE_LOGS_MAX];
    struct engine_batch batch;
    size_t count = 0;
    for (size_t i = 0; i < view->count; i++)
        if (view->states[i] == LINK_OPEN)
            logs[count++] = &view->links[i]->log;
    if (count == 0) {
        bridge_note_heard(reader, true); /* there is nothing to hear */
        net_wait(-1, 0, net_now() + RETRY_MS);
        return;
    }
    if (engine_read(&reader->line, logs, count, block_ms, &batch) < 0) {
        bridge_note_line(&reader->line);
        bridge_note_heard(reader, false);
        return;
    }
    bridge_note_heard(reader, true);
    apply_batch(&batch);
    engine_batch_fini(&batch);
    finish_batch(view);
}

/* Whether the line is up, or could be dialled. */
static bool reach_for_reading(struct bridge_reader *reader)
{
    bool was_up = redis_line_is_up(&reader->line);
    bool up = was_up || engine_reach(&reader->line) == 0;
    if (!up || !was_up)
        bridge_note_line(&reader->line);
    bridge_note_heard(reader, false); /* a new line may still be refused to read */
    return up;
}

void *bridge_reader_main(void *argument)
{
    struct bridge_reader *reader = argument;
    struct reader_view view;
    while (take_view(reader, &view)) {
        size_t again = tend_links(reader, &view);
        if (reach_for_reading(reader) && again == 0)
            read_logs(reader, &view, ENGINE_BLOCK_MAX_MS);
        else if (redis_line_is_up(&reader->line))
            read_logs(reader, &view, RETRY_MS);
        if (reader == bridge.readers[0])
            bridge_tell_state();
    }
    bridge_lock();
    reader->ended = true;
    pthread_cond_broadcast(&bridge.changed);
    bridge_unlock();
    return NULL;
}
