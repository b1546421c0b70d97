/* SPDX-License-Identifier: MIT
 *
 * room_load.c - loads a room that is stored: its epoch, its last Id and its newest messages.
 *
 * The thread of the first client enters it, and at the start the main thread for the main room.
 * Others that come meanwhile wait for its load lock. Under it are taken those of store.h, and the
 * ring's.
 */
#include <string.h>

#include "base/log.h"
#include "base/metrics.h"
#include "delivery/frame.h"
#include "room/keeper.h"
#include "room/room_parts.h"
#include "ws.h"

/* Appends a stored message. Behind a gap the ring begins again, so it holds consecutive Ids. */
static bool append_row(void *context, uint64_t id, int64_t time_ms, const char *body, size_t len)
{
    struct ring *ring = context;
    struct frame *frame = frame_new(WS_TEXT, body, len);
    (void)time_ms;
    if (!frame)
        return false;
    if (ring_lock(ring) != id) {
        ring_unlock(ring);
        ring_begin(ring, id);
        ring_lock(ring);
    }
    const struct iovec part = {frame->bytes, frame->len};
    bool appended = ring_append_locked(ring, &part, 1);
    ring_unlock(ring);
    frame_drop(frame);
    return appended;
}

/* Fills the ring with the newest messages, as many as a newcomer could get. If the newest one of
 * all is not among them (it was deleted, or reading took too long), the ring is empty. */
static void refill_ring(struct room *room)
{
    struct ring *ring = &room->ring;
    uint64_t rest, last_id = room->storage.place.last_id;
    const struct store_query query = {
        .before = UINT64_MAX, .count = STORE_PAGE_MAX, .bytes = room_reach(room)};
    ring_begin(ring, last_id + 1);
    enum store_result result =
        store_read(keeper_store(), &room->storage.place, &query, append_row, ring, &rest);
    uint64_t next_id = ring_lock(ring);
    ring_unlock(ring);
    if (result != STORE_OK || next_id != last_id + 1)
        ring_begin(ring, last_id + 1);
}

static void load_room(struct room *room)
{
    struct room_storage *s = &room->storage;
    memcpy(s->place.epoch, room->epoch, sizeof(room->epoch));
    if (store_room_open(keeper_store(), room->name, &s->place) != STORE_OK) {
        log_event(
            LOG_LEVEL_ERROR, "history_failed",
            "room=\"%s\" why=\"it cannot be opened in the history file, so it is not stored\"",
            room->name);
        s->unopened = true;
        metrics_add(METRIC_HISTORY_UNOPENED, 1);
        return;
    }
    memcpy(room->epoch, s->place.epoch, sizeof(room->epoch));
    refill_ring(room);
    s->id = s->place.last_id;
    s->position = ring_end(&room->ring);
    ring_hold(&room->ring, s->position);
    atomic_store(&s->stored, true);
    if (keeper_has_given_up() && atomic_exchange(&s->stored, false)) /* meanwhile */
        ring_release(&room->ring);
}

void keeper_load(struct room *room)
{
    struct room_storage *s = &room->storage;
    if (!s->wanted)
        return;
    pthread_mutex_lock(&s->load_lock);
    if (!s->loaded && !keeper_has_given_up())
        load_room(room);
    s->loaded = true;
    pthread_mutex_unlock(&s->load_lock);
}
