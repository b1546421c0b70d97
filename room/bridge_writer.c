/* SPDX-License-Identifier: MIT
 *
 * bridge_writer.c - the thread that sends calls to the engine.
 *
 * It takes as many calls from the queue as there are, up to REDIS_CALLS_MAX, sends them together
 * and takes their answers; so batches grow with the load. When the line breaks it sends what was
 * not answered again. Besides it sends the beats that keep the seats of this node.
 *
 * It holds no lock while it waits for the engine. Takes the bridge's lock, a leaf, and through
 * room_unref and bridge_wake_waiting locks 1 and 2 of room.h.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/metrics.h"
#include "net/socket.h"
#include "room/bridge_parts.h"

enum {
    OWN_MAX = 128,         /* calls of a batch that are not from the queue: beats, wake-ups */
    IDLE_MS = 1000,        /* longest wait without work */
    UNBLOCK_MS = 10,       /* between two attempts to end a read */
    BATCH_BYTES = 4 << 20, /* of one batch; one call may be longer */
};

/* What is sent together. Own calls come first, and are freed afterwards; those of the queue stay
 * there until they were answered. */
struct call_batch {
    struct engine_call *calls[REDIS_CALLS_MAX];
    size_t count, own;
};

static struct room_link *link_of_call(const struct engine_call *call)
{
    return (struct room_link *)(void *)((char *)call->seat - offsetof(struct room_link, seat));
}

/* ---- Collecting ---- */

static bool is_of_lost_seat(const struct engine_call *call)
{
    enum link_state state = link_of_call(call)->state;
    return state == LINK_LOST || state == LINK_OVER;
}

static void add_own(struct call_batch *batch, struct engine_call *call)
{
    if (call)
        batch->calls[batch->count++] = call;
}

/* When the next beat must be sent: at once, if nothing was sent on this line. */
static int64_t beat_pause(void)
{
    return bridge.terms.lease_ms / 3;
}

/* [b] is held. */
static void collect_beats(struct call_batch *batch, bool sweep)
{
    int64_t now = net_now();
    for (struct room_link *link = bridge.links; link && batch->count < OWN_MAX; link = link->next) {
        if (link->state != LINK_OPEN || now < link->beat_at)
            continue;
        link->beat_at = now + beat_pause();
        add_own(batch, engine_beat(&link->seat, sweep, &link->position));
    }
}

/* Ends the reads of readers that must look at their links. [b] is held. */
static void collect_unblocks(struct call_batch *batch)
{
    for (size_t i = 0; i < bridge.readers_count && batch->count < OWN_MAX; i++) {
        struct bridge_reader *reader = bridge.readers[i];
        long long client = atomic_load(&reader->line.client);
        if (reader->asked != reader->seen && client != 0)
            add_own(batch, engine_unblock(client));
    }
}

/* [b] is held. */
static void collect_queued(struct call_batch *batch)
{
    size_t bytes = 0;
    if (bridge.has_lost)
        call_queue_sweep(&bridge.queue, is_of_lost_seat);
    bridge.has_lost = false;
    for (struct call_item *item = bridge.queue.first; item && batch->count < REDIS_CALLS_MAX;
         item = item->next) {
        bytes += item->call->len;
        if (bytes > BATCH_BYTES && batch->count > batch->own)
            return;
        batch->calls[batch->count++] = item->call;
    }
}

/* Whether a reader is in a read that must be ended. [b] is held. */
static bool must_unblock(void)
{
    for (size_t i = 0; i < bridge.readers_count; i++)
        if (bridge.readers[i]->asked != bridge.readers[i]->seen)
            return true;
    return false;
}

/* When there is something to do: net_now or later. [b] is held. */
static int64_t next_work(int64_t now)
{
    int64_t next = now + (must_unblock() ? UNBLOCK_MS : IDLE_MS);
    for (struct room_link *link = bridge.links; link; link = link->next) {
        if (link->reader_done)
            return now;
        if (link->state == LINK_OPEN && link->beat_at < next)
            next = link->beat_at;
    }
    return bridge.queue.first || bridge.has_lost ? now : next;
}

/* Waits for work. Returns false at the end. */
static bool await_calls(void)
{
    bridge_lock();
    int64_t next = next_work(net_now());
    bool asks = must_unblock();
    while (!bridge.ending && next > net_now()) {
        const struct timespec until = net_timespec(next);
        pthread_cond_timedwait(&bridge.wanted, &bridge.lock, &until);
        if (!asks && must_unblock())
            break;
        next = next_work(net_now());
    }
    bool goes_on = !bridge.ending;
    bridge_unlock();
    return goes_on;
}

/* Releases rooms that nobody needs any more. */
static void release_links(void)
{
    for (;;) {
        bridge_lock();
        struct room_link **at = &bridge.links;
        if (bridge.has_lost)
            call_queue_sweep(&bridge.queue, is_of_lost_seat);
        bridge.has_lost = false;
        while (*at && (!(*at)->reader_done || call_queue_has(&bridge.queue, &(*at)->seat)))
            at = &(*at)->next;
        struct room_link *link = *at;
        if (link)
            *at = link->next;
        bridge_unlock();
        if (!link)
            return;
        room_unref(link->room);
    }
}

/* ---- Sending ---- */

/* What an answer means for the seat. */
static void judge_answer(const struct engine_call *call, const struct engine_answer *answer)
{
    if (!call->seat || call->op == ENGINE_CLOSE)
        return;
    struct room_link *link = link_of_call(call);
    if (answer->result == ENGINE_FENCED)
        bridge_lose(link, false, "this server was silent for longer than its lease");
    else if (answer->result == ENGINE_GAP || answer->result == ENGINE_ROLLED)
        bridge_lose(link, true, "the engine has lost messages");
    else if (answer->result == ENGINE_BEHIND)
        bridge_lose(link, false, "this server was too slow to read the log");
    metrics_add(METRIC_ENGINE_REPEATED, answer->repeated);
}

/* Takes an answered call out of the queue, and notes that the engine answers. The answer to an own
 * call is none to those of the queue: the engine may carry out the one and refuse the others. */
static void note_answer(bool queued)
{
    bridge_lock();
    if (queued) {
        call_queue_pop(&bridge.queue);
        bridge.unanswered = net_now();
    }
    if (!bridge.queue.first) {
        bridge.unanswered = 0;
        pthread_cond_broadcast(&bridge.changed);
    }
    bridge_unlock();
}

static void note_question(void)
{
    bridge_lock();
    if (bridge.unanswered == 0)
        bridge.unanswered = net_now();
    bridge_unlock();
}

/* Sends a batch, and takes the answers up to the first that does not come. */
static void send_batch(struct call_batch *batch)
{
    struct engine_answer answer;
    size_t sent = 0;
    while (sent < batch->count && engine_send(&bridge.line, batch->calls[sent]) == 0)
        sent++;
    if (batch->count > 0)
        note_question();
    for (size_t i = 0; i < sent; i++) {
        enum engine_result result = engine_receive(&bridge.line, batch->calls[i], &answer);
        if (result != ENGINE_AWAY)
            judge_answer(batch->calls[i], &answer);
        engine_answer_fini(&answer);
        if (result == ENGINE_AWAY) {
            bridge_note_line(&bridge.line); /* why: the engine may have refused the call */
            break;
        }
        note_answer(i >= batch->own);
    }
    metrics_add(METRIC_ENGINE_CALLS, (int64_t)sent);
    for (size_t i = 0; i < batch->own; i++)
        engine_call_free(batch->calls[i]);
}

/* All seats must be renewed directly after a new line. */
static void make_beats_due(void)
{
    bridge_lock();
    for (struct room_link *link = bridge.links; link; link = link->next)
        link->beat_at = 0;
    bridge_unlock();
}

/* Whether the line is up, or could be dialled. */
static bool reach_for_writing(void)
{
    if (redis_line_is_up(&bridge.line))
        return true;
    note_question();
    bool up = engine_reach(&bridge.line) == 0;
    bridge_note_line(&bridge.line);
    if (up)
        make_beats_due();
    return up;
}

void *bridge_writer_main(void *argument)
{
    struct call_batch batch;
    (void)argument;
    while (await_calls()) {
        release_links();
        if (!reach_for_writing())
            continue;
        batch.count = 0;
        bridge_lock();
        collect_beats(&batch, engine_may_sweep(&bridge.line, &bridge.terms));
        collect_unblocks(&batch);
        batch.own = batch.count;
        collect_queued(&batch);
        bridge_unlock();
        send_batch(&batch);
        bridge_wake_waiting();
    }
    bridge_lock();
    bridge.ended = true;
    pthread_cond_broadcast(&bridge.changed);
    bridge_unlock();
    return NULL;
}
