/* SPDX-License-Identifier: MIT
 *
 * keeper.c - the keeper's thread: stores what rooms have said, and what happens when it cannot.
 *
 * A room that was appended to is put into the queue, by any thread. The keeper moves it to its own
 * list of rooms that have something to store, copies their frames and stores them in one commit,
 * then lets the members of each room have them and fans out. It holds no lock while it waits for
 * the disk.
 *
 * Takes the locks of store.h, with no other lock held, and those of room.h; `lock` is a leaf.
 * room_load.c loads rooms.
 */
#include "room/keeper.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "base/metrics.h"
#include "delivery/frame.h"
#include "json_msg.h"
#include "net/socket.h"
#include "room/room_parts.h"
#include "store/store.h"
#include "ws.h"

enum {
    ESCAPED_PART = 8, /* of the ring, the longest broadcast (room.c) */
    UNSTORED_PART =
        4, /* of the ring may be unstored; then senders wait. It is sent at once when the
                          disk has taken it, and makes nobody who could keep up too slow (half) */
    FAILED_LOG_MS = 60 * 1000, /* between two log lines about failures */
    CLOSE_MS = 1000,           /* for the thread to end */
};

static struct store *store; /* [I] since keeper_open; NULL: there is no history file */
static pthread_t thread;    /* [I] since keeper_start */
static bool running;        /* [I] since keeper_start */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wanted; /* there is something for the keeper to do */
static pthread_cond_t moved;  /* it has moved, or has nothing left that it could do */
static struct room *queue;    /* [lock] */
static uint64_t moves;        /* [lock] */
static bool ending;           /* [lock] the thread must end */
static bool last_try;         /* [lock] the server stops: try at once */
static bool ended;            /* [lock] the thread does nothing any more */
static bool settled;          /* [lock] nothing is left that could be stored now */

static atomic_bool failing; /* [a] not everything that was heard is stored */
static atomic_bool gave_up; /* [a] the file is damaged: nothing is stored any more */

/* All below: [k] the keeper's thread. */
static struct room *owed; /* rooms that have something to store */
static unsigned char *buffer;
static size_t buffer_size;
static int64_t retry_at;  /* net_now of the next attempt */
static int64_t logged_at; /* net_now of the last log line about failures; 0: none */
static int unheld;        /* rings that could not be held (recover) */
static uint64_t lost;     /* messages overwritten before they could be stored */
static bool distrusted;   /* the disk says that not everything that was heard is stored */

struct store *keeper_store(void)
{
    return store;
}

bool keeper_has_given_up(void)
{
    return atomic_load(&gave_up);
}

bool keeper_fails(const struct room *room)
{
    return room->storage.wanted && (atomic_load(&failing) || !atomic_load(&room->storage.stored));
}

/* ---- The queue ---- */

void keeper_notify(struct room *room)
{
    struct room_storage *s = &room->storage;
    if (!s->wanted || !atomic_load(&s->stored) || atomic_exchange(&s->queued, true))
        return;
    room_hold(room);
    pthread_mutex_lock(&lock);
    s->next_queued = queue;
    queue = room;
    settled = false;
    pthread_cond_signal(&wanted);
    pthread_mutex_unlock(&lock);
}

static struct room *behind_in_queue(const struct room *room)
{
    pthread_mutex_lock(&lock);
    struct room *next = room->storage.next_queued;
    pthread_mutex_unlock(&lock);
    return next;
}

/* Moves rooms of the queue to the list of those that have something to store. From here on an
 * append puts a room into the queue again, so nothing is missed. */
static void take_rooms(struct room *rooms)
{
    for (struct room *room = rooms, *next; room; room = next) {
        struct room_storage *s = &room->storage;
        next = behind_in_queue(room);
        atomic_store(&s->queued, false);
        if (s->owed || !atomic_load(&s->stored)) { /* the list has a reference, or needs none */
            room_unref(room);
            continue;
        }
        s->owed = true;
        s->next_owed = owed;
        owed = room;
    }
}

/* Whether there is something to store, and the last failure was long enough ago or `last`. */
static bool may_store(bool last)
{
    return owed && (!atomic_load(&failing) || last || net_now() >= retry_at);
}

/* Waits until there is something to do. Returns false at the end; *now says whether it is time to
 * store. */
static bool await_work(bool *now)
{
    pthread_mutex_lock(&lock);
    while (!queue && !may_store(last_try) && !ending) {
        settled = true;
        pthread_cond_broadcast(&moved);
        const struct timespec until = net_timespec(retry_at);
        if (owed)
            pthread_cond_timedwait(&wanted, &lock, &until);
        else
            pthread_cond_wait(&wanted, &lock);
    }
    bool ends = ending, last = last_try;
    struct room *rooms = queue;
    queue = NULL;
    last_try = false;
    pthread_mutex_unlock(&lock);
    take_rooms(rooms);
    *now = may_store(last);
    return !ends;
}

static void note_move(void)
{
    pthread_mutex_lock(&lock);
    moves++;
    pthread_cond_broadcast(&moved);
    pthread_mutex_unlock(&lock);
}

/* ---- Members ---- */

struct frame *keeper_state_frame(bool fails)
{
    return room_state_frame("History", fails ? "failing" : "stored");
}

/* Wakes the members whose threads wait for the keeper. */
static void wake_waiting(struct room *room)
{
    if (atomic_exchange(&room->storage.has_waiting, false))
        room_wake_waiting(room);
}

static void serve_room(struct room *room)
{
    room_fan_out_until_idle(room);
    wake_waiting(room);
    room_fan_out_until_idle(room);
}

/* Tells the members of a room whether it is stored. Those of the original protocol are not told. */
static void tell_state(struct room *room, bool fails)
{
    room_tell_members(room, keeper_state_frame(fails));
    serve_room(room);
}

/* ---- Storing ---- */

/* Stores one frame; *size is its length. */
static enum store_result add_frame(struct room *room, const unsigned char *frame, uint64_t id,
                                   size_t *size)
{
    size_t head = ws_head_size(frame);
    *size = ws_frame_size(frame);
    const char *body = (const char *)frame + head;
    size_t len = *size - head;
    return store_add(store, &room->storage.place, id, json_relay_time(body, len), body, len);
}

/* Stores a room's next frames, in at most *left bytes and *count messages, which it reduces. */
static enum store_result add_room(struct room *room, size_t *left, uint64_t *count)
{
    struct room_storage *s = &room->storage;
    struct ring_batch batch =
        ring_copy_frames(&room->ring, s->position, s->id + 1, buffer, *left, *count);
    enum store_result result = STORE_OK;
    uint64_t id = batch.first_id;
    for (size_t at = 0, size; at < batch.len && result == STORE_OK; at += size)
        result = add_frame(room, buffer + at, id++, &size);
    s->to_position = batch.from + batch.len;
    s->to_id = batch.first_id + batch.count - 1;
    s->to_lost = batch.first_id - s->id - 1;
    *left -= batch.len;
    *count -= batch.count;
    return result;
}

static enum store_result commit_batch(void)
{
    size_t left = buffer_size;
    uint64_t count = KEEPER_BATCH_MESSAGES;
    for (struct room *room = owed; room; room = room->storage.next_owed) {
        room->storage.to_position = room->storage.position;
        room->storage.to_id = room->storage.id;
        room->storage.to_lost = 0;
    }
    enum store_result result = store_begin(store);
    for (struct room *room = owed; room && count && result == STORE_OK;
         room = room->storage.next_owed)
        result = add_room(room, &left, &count);
    return result == STORE_OK ? store_commit(store) : result;
}

/* Notes what was committed, and lets the members have it. A ring that was released is held again as
 * soon as all of it is stored. */
static void move_room(struct room *room)
{
    struct room_storage *s = &room->storage;
    s->position = s->to_position;
    s->id = s->to_id;
    if (ring_hold(&room->ring, s->position))
        ring_set_ready(&room->ring, s->position, s->id);
    serve_room(room);
}

/* Moves all rooms of the list. Those that have more to store stay in it: behind those that this
 * batch had no room for. */
static void move_rooms(void)
{
    struct room *rooms = owed, **end = &owed, *more = NULL;
    owed = NULL;
    while (rooms) {
        struct room *room = rooms;
        struct room_storage *s = &room->storage;
        rooms = s->next_owed;
        bool skipped = s->to_position == s->position;
        move_room(room);
        s->owed = ring_end(&room->ring) != s->position;
        if (!s->owed) {
            room_unref(room);
        } else if (skipped) {
            *end = room;
            end = &s->next_owed;
            *end = NULL;
        } else {
            s->next_owed = more;
            more = room;
        }
    }
    *end = more;
}

/* ---- Failures ---- */

static void release_room(struct room *room)
{
    ring_release(&room->ring);
    serve_room(room);
}

static void begin_failing(struct room *room)
{
    if (!atomic_load(&room->storage.stored))
        return;
    ring_release(&room->ring);
    tell_state(room, true);
}

/* Its ring may be held although storing fails already: it was loaded since, or held again. */
static void stop_storing(struct room *room)
{
    if (atomic_exchange(&room->storage.stored, false))
        release_room(room);
}

/* Holds the ring of a room that had nothing to store, or counts it in `unheld`. */
static void hold_again(struct room *room)
{
    struct room_storage *s = &room->storage;
    if (atomic_load(&s->stored) && !ring_hold(&room->ring, s->position))
        unheld++;
}

static void end_failing(struct room *room)
{
    if (atomic_load(&room->storage.stored))
        tell_state(room, false);
}

/* Forgets the rooms that have something to store. */
static void drop_owed(void)
{
    while (owed) {
        struct room *room = owed;
        owed = room->storage.next_owed;
        room->storage.owed = false;
        room_unref(room);
    }
}

/* The file is damaged: nothing is stored any more. */
static void give_up(void)
{
    atomic_store(&gave_up, true);
    rooms_each(stop_storing);
    drop_owed();
}

static void log_failure(enum store_result result)
{
    int64_t now = net_now();
    if (logged_at && now - logged_at < FAILED_LOG_MS && result != STORE_CORRUPT)
        return;
    logged_at = now;
    log_event(LOG_LEVEL_ERROR, "history_failed", "why=\"%s\" advice=\"%s\"", store_failure(store),
              result == STORE_CORRUPT
                  ? "stop the server, keep a copy of the file, and try sqlite3 .recover"
                  : "the chat goes on without; it is tried again every second");
}

/* Takes the trust in the file away, which may fail as well: the filesystem is read-only. Then it is
 * tried again with each attempt to store. */
static void distrust(void)
{
    if (!distrusted)
        distrusted = store_distrust(store);
    if (!distrusted && !atomic_load(&failing))
        log_event(
            LOG_LEVEL_ERROR, "history_failed",
            "why=\"the .trust file beside it cannot be emptied\" advice=\"delete it before the "
            "next start, or members may miss messages without notice\"");
}

/* Storing has failed: from now on members get what is not stored. The trust in the file is taken
 * away first, so that a later start gives the rooms new epochs if it comes to that. */
static void note_failure(enum store_result result)
{
    metrics_add(METRIC_HISTORY_FAILURES, 1);
    log_failure(result);
    retry_at = net_now() + KEEPER_RETRY_MS;
    for (struct room *room = owed; room; room = room->storage.next_owed)
        room->storage.place.last_id = room->storage.id;
    distrust();
    if (!atomic_exchange(&failing, true)) {
        metrics_set(METRIC_HISTORY_FAILING, 1);
        rooms_each(begin_failing);
    }
    if (result == STORE_CORRUPT)
        give_up();
}

/* All that is left of what was said meanwhile is stored. Goes on failing while a ring cannot be
 * held, because something was said and heard in it just now: then it is in the queue. If the rings
 * had overwritten some, the rooms get new epochs at the next start. */
static void recover(void)
{
    unheld = 0;
    rooms_each(hold_again);
    retry_at = 0;
    if (unheld > 0)
        return;
    if (lost > 0)
        distrust();
    else if (store_trust(store) == STORE_OK)
        distrusted = false;
    atomic_store(&failing, false);
    metrics_set(METRIC_HISTORY_FAILING, 0);
    log_notice("history_recovered", "lost=%llu", (unsigned long long)lost);
    logged_at = 0;
    rooms_each(end_failing);
}

/* ---- The thread ---- */

static void count_stored(void)
{
    for (struct room *room = owed; room; room = room->storage.next_owed) {
        struct room_storage *s = &room->storage;
        metrics_add(METRIC_HISTORY_STORED, (int64_t)(s->to_id - s->id - s->to_lost));
        metrics_add(METRIC_HISTORY_LOST, (int64_t)s->to_lost);
        lost += s->to_lost;
    }
}

static void store_owed(void)
{
    enum store_result result = commit_batch();
    if (result == STORE_OK) {
        count_stored();
        move_rooms();
        if (!owed && atomic_load(&failing))
            recover();
    } else {
        note_failure(result);
    }
}

/* While storing fails, a ring that is still held is released when something is in it. */
static void *keeper_main(void *argument)
{
    bool now;
    (void)argument;
    while (await_work(&now)) {
        if (now)
            store_owed();
        for (struct room *room = owed; room && atomic_load(&failing);
             room = room->storage.next_owed)
            release_room(room);
        note_move();
    }
    pthread_mutex_lock(&lock);
    ended = true;
    pthread_cond_broadcast(&moved);
    pthread_mutex_unlock(&lock);
    return NULL;
}

/* ---- Senders ---- */

bool keeper_fans_out(struct room *room)
{
    return room->storage.wanted && ring_unready(&room->ring) > 0;
}

uint64_t keeper_moves(void)
{
    pthread_mutex_lock(&lock);
    uint64_t seen = moves;
    pthread_mutex_unlock(&lock);
    return seen;
}

bool keeper_await(uint64_t seen, int64_t until)
{
    const struct timespec end = net_timespec(until);
    int error = 0;
    pthread_mutex_lock(&lock);
    while (moves == seen && error == 0)
        error = pthread_cond_timedwait(&moved, &lock, &end);
    bool has_moved = moves != seen;
    pthread_mutex_unlock(&lock);
    return has_moved;
}

static bool is_behind(struct member *member, bool broadcast)
{
    struct ring *ring = &member->room->ring;
    size_t unready = ring_unready(ring);
    return broadcast ? unready >= ring->size / UNSTORED_PART
                     : unready > 0 && outbox_state(member->out).half_full;
}

/* Looks once more after the keeper can have seen that the member waits. */
bool keeper_must_wait(struct member *member, bool broadcast)
{
    struct room *room = member->room;
    if (!room->storage.wanted || !is_behind(member, broadcast))
        return false;
    atomic_store(&member->waits, true);
    atomic_store(&room->storage.has_waiting, true);
    return is_behind(member, broadcast);
}

/* ---- Start and end ---- */

int keeper_open(const struct config *config, char *error)
{
    char why[STORE_WHY_MAX];
    if (!config->history_file[0])
        return 0;
    size_t body_max = (size_t)config->room_buffer_bytes / ESCAPED_PART + JSON_STAMP_MAX;
    const struct store_options options = {.file = config->history_file,
                                          .power = config->history_sync == CONFIG_SYNC_POWER,
                                          .search = config->history_search,
                                          .hours = config->history_hours,
                                          .messages = config->history_messages,
                                          .body_max = body_max};
    buffer_size = body_max + WS_HEAD_MAX;
    if (buffer_size < KEEPER_BATCH_BYTES)
        buffer_size = KEEPER_BATCH_BYTES;
    buffer = malloc(buffer_size); /* a page takes memory only after the first write to it */
    snprintf(why, sizeof(why), "ragnarok: out of memory");
    store = buffer ? store_open(&options, why) : NULL;
    if (!store) {
        snprintf(error, CONFIG_ERROR_MAX, "%s", why);
        free(buffer);
        return -1;
    }
    net_cond_init(&wanted);
    net_cond_init(&moved);
    return 0;
}

int keeper_start(void)
{
    if (!store)
        return 0;
    running = store_start(store) && pthread_create(&thread, NULL, keeper_main, NULL) == 0;
    return running ? 0 : -1;
}

void keeper_set_config(const struct config *config)
{
    if (store)
        store_set_limits(store, config->history_hours, config->history_messages);
}

void keeper_finish(int64_t until)
{
    const struct timespec end = net_timespec(until);
    int error = 0;
    if (!running)
        return;
    pthread_mutex_lock(&lock);
    last_try = true;
    settled = false;
    pthread_cond_signal(&wanted);
    while (!settled && error == 0)
        error = pthread_cond_timedwait(&moved, &lock, &end);
    pthread_mutex_unlock(&lock);
    if (error)
        log_event(LOG_LEVEL_ERROR, "history_failed",
                  "why=\"the disk did not answer: what it did not take was sent to nobody\"");
}

bool keeper_close(void)
{
    const struct timespec end = net_timespec(net_now() + CLOSE_MS);
    int error = 0;
    if (!store)
        return true;
    pthread_mutex_lock(&lock);
    ending = true;
    pthread_cond_signal(&wanted);
    while (running && !ended && error == 0)
        error = pthread_cond_timedwait(&moved, &lock, &end);
    pthread_mutex_unlock(&lock);
    if (error)
        return false;
    if (running)
        pthread_join(thread, NULL);
    store_close(store, !owed && !atomic_load(&failing) && lost == 0);
    drop_owed();
    free(buffer);
    pthread_cond_destroy(&wanted);
    pthread_cond_destroy(&moved);
    store = NULL;
    running = ending = ended = false;
    return true;
}
