/* SPDX-License-Identifier: MIT
 *
 * bridge_load.c - opens a shared room: takes a seat, fills in the roster and the ring; and gives it
 * up when the seat is over or nobody is left.
 *
 * A room that has lost its seat is given up as a whole: its members are closed with 1013, and the
 * next one to come makes a new room. So nothing of the old one can be mixed with the new one.
 *
 * Clients' threads wait in bridge_load; the rest runs in reader threads. Takes the locks of room.h,
 * and the bridge's, a leaf.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/metrics.h"
#include "delivery/frame.h"
#include "net/socket.h"
#include "room/bridge_parts.h"
#include "ws.h"

/* ---- Links ---- */

/* A reader with a place for one more room. NULL when there is no thread or memory. [b] is held. */
static struct bridge_reader *find_reader(void)
{
    for (size_t i = 0; i < bridge.readers_count; i++)
        if (bridge.readers[i]->count < ENGINE_LOGS_MAX)
            return bridge.readers[i];
    struct bridge_reader *reader = bridge_reader_new();
    if (reader)
        bridge.readers[bridge.readers_count++] = reader;
    return reader;
}

struct room_link *bridge_link_new(struct room *room)
{
    struct room_link *link = calloc(1, sizeof(*link));
    if (!link || engine_seat_init(&link->seat, &bridge.terms, room->name) < 0) {
        free(link);
        return NULL;
    }
    link->room = room;
    bridge_lock();
    link->reader = bridge.ending ? NULL : find_reader();
    if (link->reader) {
        room->link = link;
        link->reader->links[link->reader->count++] = link;
        link->next = bridge.links;
        bridge.links = link;
        bridge_ask_reader(link->reader);
    }
    bridge_unlock();
    if (link->reader)
        return link;
    engine_seat_fini(&link->seat);
    free(link);
    return NULL;
}

void bridge_link_free(struct room_link *link)
{
    bridge_lock();
    bridge_pending_clear(link, BRIDGE_AWAY_TEXT); /* of members that have left */
    bridge_unlock();
    while (link->room->roster.root) {
        struct member *remote = link->room->roster.root;
        roster_remove(&link->room->roster, remote);
        bridge_remote_free(remote);
    }
    if (link->started)
        engine_log_fini(&link->log);
    engine_seat_fini(&link->seat);
    free(link);
}

/* A room that was never open has no seat that could be closed. */
bool bridge_retire(struct room_link *link)
{
    bridge_lock();
    if (link->state == LINK_OPEN)
        bridge_push_locked(link, engine_close(&link->seat));
    bool retires = link->state == LINK_OPEN || link->state == LINK_OPENING;
    if (retires) {
        link->state = LINK_ENDING;
        bridge_ask_reader(link->reader);
    }
    bridge_unlock();
    return retires;
}

enum protocol_error bridge_load(struct room *room, bool *again, const char **why)
{
    struct room_link *link = room->link;
    const struct timespec until = net_timespec(net_now() + BRIDGE_LOAD_MS);
    int error = 0;
    bridge_lock();
    while ((link->state == LINK_OPENING || link->state == LINK_LOST) && error == 0 &&
           !bridge.stopping)
        error = pthread_cond_timedwait(&bridge.changed, &bridge.lock, &until);
    bool open = link->state == LINK_OPEN;
    *again = link->state == LINK_OVER && !bridge.stopping;
    bridge_unlock();
    *why = BRIDGE_AWAY_TEXT;
    return open ? ERROR_NONE : ERROR_UNAVAILABLE;
}

void bridge_lose_locked(struct room_link *link, bool renews, const char *why)
{
    if (link->state != LINK_OPEN && link->state != LINK_LOST)
        return;
    link->renews |= renews;
    if (link->state == LINK_LOST)
        return;
    link->state = LINK_LOST;
    link->why = why;
    bridge.has_lost = true;
    bridge_pending_clear(link, BRIDGE_AWAY_TEXT);
    bridge_ask_reader(link->reader);
    pthread_cond_signal(&bridge.wanted); /* the writer drops its calls */
    metrics_add(renews ? METRIC_ENGINE_ROLLBACKS : METRIC_ENGINE_FENCED, 1);
}

void bridge_lose(struct room_link *link, bool renews, const char *why)
{
    bridge_lock();
    bridge_lose_locked(link, renews, why);
    bridge_unlock();
}

/* ---- Calls of the reader ---- */

/* Makes one call on the reader's line, which it frees. The caller ends the answer. ENGINE_AWAY also
 * when memory is out for the call. */
static enum engine_result ask_engine(struct bridge_reader *reader, struct engine_call *call,
                                     struct engine_answer *answer)
{
    *answer = (struct engine_answer){.result = ENGINE_AWAY};
    if (!call || engine_send(&reader->line, call) < 0)
        redis_line_drop(&reader->line, "out of memory");
    else
        engine_receive(&reader->line, call, answer);
    engine_call_free(call);
    bridge_note_heard(reader, answer->result != ENGINE_AWAY);
    return answer->result;
}

/* ---- Opening ---- */

/* Older broadcasts, the newest first. */
struct older {
    struct frame **frames;
    size_t count, cap, bytes, bytes_max;
};

static void older_free(struct older *older)
{
    while (older->count > 0)
        frame_drop(older->frames[--older->count]);
    free(older->frames);
}

/* Returns false when there is no place for it: it does not fit, or memory is out. */
static bool older_add(struct older *older, const struct log_entry *entry)
{
    if (older->count == older->cap) {
        size_t cap = older->cap ? 2 * older->cap : 64;
        struct frame **frames = realloc(older->frames, cap * sizeof(struct frame *));
        if (!frames)
            return false;
        older->frames = frames;
        older->cap = cap;
    }
    struct frame *frame =
        bridge_is_body(entry->body, "Broadcast")
            ? room_stamped_frame(entry->body, entry->id, (int64_t)entry->ms, false)
            : NULL;
    if (!frame || older->bytes + frame->len > older->bytes_max) {
        frame_drop(frame);
        return false;
    }
    older->bytes += frame->len;
    older->frames[older->count++] = frame;
    return true;
}

/* Takes the broadcasts of a page. Returns false at the last one to be taken; *last is the place of
 * the oldest entry, if there is one. */
static bool take_page(struct engine_batch *page, struct older *older, char last[LOG_AT_MAX])
{
    struct engine_log *log;
    struct log_entry entry;
    const char *why;
    for (;;) {
        enum log_verdict verdict = engine_batch_next(page, &log, &entry, &why);
        if (verdict == LOG_END)
            return true;
        if (verdict != LOG_GOOD || (entry.kind == LOG_BROADCAST && !older_add(older, &entry)))
            return false;
        memcpy(last, entry.at, LOG_AT_MAX);
    }
}

/* Reads as many older broadcasts as a newcomer could get. Returns false when the line broke. */
static bool read_older(struct bridge_reader *reader, struct room_link *link, struct older *older)
{
    char before[LOG_AT_MAX + 1], last[LOG_AT_MAX] = "";
    struct engine_log *log = &link->log;
    struct engine_batch page;
    snprintf(before, sizeof(before), "%s", log->order.position.at);
    for (bool more = before[0] != '\0'; more;) {
        last[0] = '\0';
        if (engine_read_back(&reader->line, &log, before, &page) < 0)
            return false;
        more = take_page(&page, older, last) && last[0] != '\0';
        engine_batch_fini(&page);
        snprintf(before, sizeof(before), "(%s", last);
    }
    return true;
}

/* Fills the ring; nobody reads it yet. */
static void fill_ring(struct ring *ring, const struct older *older, uint64_t last_id)
{
    ring_begin(ring, last_id - older->count + 1);
    for (size_t i = older->count; i-- > 0;) {
        const struct frame *frame = older->frames[i];
        const struct iovec part = {.iov_base = (void *)(uintptr_t)frame->bytes,
                                   .iov_len = frame->len};
        ring_lock(ring);
        ring_append_locked(ring, &part, 1);
        ring_unlock(ring);
    }
}

/* Fills the room in as the answer to `open` and the log say. */
static bool fill_room(struct bridge_reader *reader, struct room_link *link,
                      const struct engine_answer *opened)
{
    struct room *room = link->room;
    struct older older = {.bytes_max = room_reach(room)};
    if (link->started)
        engine_log_fini(&link->log);
    engine_log_start(&link->log, &link->seat, opened);
    link->started = true;
    bool read = read_older(reader, link, &older);
    if (read) {
        memcpy(room->epoch, opened->epoch, sizeof(opened->epoch));
        fill_ring(&room->ring, &older, opened->id);
        room->fanned_out_id = opened->id;
        for (size_t i = 0; i < opened->count; i++)
            bridge_add_person(room, &opened->people[i]);
        presence_start(room);
    }
    older_free(&older);
    return read;
}

static void log_refused_rules(const struct engine_answer *answer)
{
    static atomic_int_fast64_t next;
    if (log_is_due(&next))
        log_event(LOG_LEVEL_ERROR, "engine", "why=\"settings must be the same on all servers: %s\"",
                  answer->why);
}

static void set_open(struct room_link *link)
{
    bridge_lock();
    if (link->state == LINK_OPENING) {
        link->state = LINK_OPEN;
        link->position = link->log.order.position;
    } else if (link->state == LINK_ENDING) { /* everybody has left meanwhile */
        bridge_push_locked(link, engine_close(&link->seat));
    }
    pthread_cond_broadcast(&bridge.changed);
    pthread_cond_signal(&bridge.wanted);
    bridge_unlock();
}

/* If the line breaks in the middle, the next attempt takes the same seat again, with which no call
 * was made yet. */
bool bridge_open_room(struct bridge_reader *reader, struct room_link *link)
{
    struct engine_answer answer;
    bool sweep = engine_may_sweep(&reader->line, &bridge.terms);
    enum engine_result result = ask_engine(reader, engine_open(&link->seat, sweep, NULL), &answer);
    bool opened = result == ENGINE_OK && fill_room(reader, link, &answer);
    if (opened)
        set_open(link);
    else if (result == ENGINE_RULES)
        log_refused_rules(&answer);
    engine_answer_fini(&answer);
    return opened;
}

/* ---- Giving up ---- */

/* Finds out, by a seat that is taken for it, whether the engine still has what was read, and makes
 * a new epoch if it has not. So nobody resumes in a history that is not their own. */
static bool check_epoch(struct bridge_reader *reader, struct room_link *link, bool renews)
{
    struct engine_seat probe;
    struct engine_answer answer;
    if (engine_seat_init(&probe, &bridge.terms, link->room->name) < 0)
        return false;
    enum engine_result result =
        ask_engine(reader, engine_open(&probe, false, &link->position), &answer);
    bool same = strcmp(answer.epoch, link->room->epoch) == 0;
    bool done = result != ENGINE_AWAY;
    engine_answer_fini(&answer);
    if (result == ENGINE_RULES) { /* others have begun anew: nothing of this room is there */
        engine_seat_fini(&probe);
        return true;
    }
    if (done && same && (renews || result == ENGINE_ROLLED)) {
        done = ask_engine(reader, engine_renew(&probe, link->room->epoch), &answer) != ENGINE_AWAY;
        engine_answer_fini(&answer);
    }
    if (done) {
        done = ask_engine(reader, engine_close(&probe), &answer) != ENGINE_AWAY;
        engine_answer_fini(&answer);
    }
    engine_seat_fini(&probe);
    return done;
}

/* Gives the names of this node's members free at once, if the engine still knows the seat. */
static bool close_seat(struct bridge_reader *reader, struct room_link *link)
{
    struct engine_answer answer;
    bool done = ask_engine(reader, engine_close(&link->seat), &answer) != ENGINE_AWAY;
    engine_answer_fini(&answer);
    return done;
}

bool bridge_give_up(struct bridge_reader *reader, struct room_link *link)
{
    struct room *room = link->room;
    bridge_lock();
    bool renews = link->renews;
    const char *why = link->why;
    bridge_unlock();
    if (!link->closed) {
        log_event(LOG_LEVEL_WARN, "engine", "state=lost_room why=\"%s\"", why);
        bridge_close_members(room, "the room was lost on this server: come back");
        room_fan_out_until_idle(room);
        link->closed = true;
    }
    if (!redis_line_is_up(&reader->line) || !check_epoch(reader, link, renews) ||
        !close_seat(reader, link) || !rooms_unlist(room))
        return false;
    bridge_lock();
    link->state = LINK_OVER;
    pthread_cond_broadcast(&bridge.changed);
    bridge_unlock();
    return true;
}
