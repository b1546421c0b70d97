/* SPDX-License-Identifier: MIT
 *
 * shared_room.h - a room that is shared with other servers, without threads and without an engine:
 * the test is the engine. It looks at the calls in the queue, and applies entries.
 */
#ifndef SHARED_ROOM_H
#define SHARED_ROOM_H

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "room_member.h"
#include "room/bridge_parts.h"

#define SHARED_OTHER "0123456789abcdef0123456789abcdef" /* the seat of another server */
#define SHARED_THIRD "fedcba9876543210fedcba9876543210"

static uint64_t shared_seq; /* of calls of the other server */

static inline int shared_begin(void **state)
{
    shared_seq = 0;
    memset(&bridge.queue, 0, sizeof(bridge.queue));
    bridge.terms = (struct engine_terms){.prefix = "test",
                                         .lease_ms = 3000,
                                         .keep_ms = 60000,
                                         .log_bytes = ROOM_TEST_BUFFER,
                                         .body_max = ROOM_TEST_BUFFER / 8,
                                         .rules = ""};
    bridge.queue_max = 64 * 1024;
    net_cond_init(&bridge.wanted);
    net_cond_init(&bridge.changed);
    bridge.on = true;
    return rooms_begin(state);
}

static inline void shared_drop_calls(void)
{
    while (bridge.queue.first)
        call_queue_pop(&bridge.queue);
    bridge.unanswered = 0;
}

static inline int shared_end(void **state)
{
    check_lock_is_free(&bridge.lock);
    shared_drop_calls();
    rooms_end(state);
    for (size_t i = 0; i < bridge.readers_count; i++)
        bridge_reader_free(bridge.readers[i]);
    bridge.readers_count = 0;
    bridge.links = NULL;
    bridge.has_lost = bridge.has_waiting = bridge.stopping = false;
    assert_int_equal(bridge.pending_bytes, 0);
    pthread_cond_destroy(&bridge.wanted);
    pthread_cond_destroy(&bridge.changed);
    bridge.on = false;
    return 0;
}

/* The link of the main room, which is open from now on. */
static inline struct room_link *shared_link(void)
{
    assert_non_null(bridge.links);
    if (bridge.links->state == LINK_OPENING) {
        presence_start(bridge.links->room);
        bridge.links->state = LINK_OPEN;
    }
    return bridge.links;
}

/* An entry of a call of the other server. */
static inline struct log_entry shared_entry(enum log_kind kind)
{
    struct log_entry entry = {.kind = kind, .ms = 1234, .seq = ++shared_seq};
    strcpy(entry.at, "1234-1");
    strcpy(entry.seat, SHARED_OTHER);
    return entry;
}

/* An entry of a call of this server. */
static inline struct log_entry shared_own_entry(enum log_kind kind, uint64_t seq)
{
    struct log_entry entry = shared_entry(kind);
    entry.seq = seq;
    memcpy(entry.seat, shared_link()->seat.seat, sizeof(entry.seat));
    return entry;
}

/* Applies it as the reader does. */
static inline void shared_apply(const struct log_entry *entry)
{
    bridge_apply(shared_link(), entry);
    room_fan_out_until_idle(shared_link()->room);
}

static inline void shared_apply_join(struct log_entry *entry, const char *fold, const char *card)
{
    entry->name = text_of(fold);
    if (!entry->identity.at)
        entry->identity = text_of("-");
    entry->body = text_of(card);
    shared_apply(entry);
}

/* A member of the other server joins; returns its tag. */
static inline uint64_t shared_join_remote(const char *fold, const char *card)
{
    struct log_entry entry = shared_entry(LOG_JOIN);
    shared_apply_join(&entry, fold, card);
    return entry.seq;
}

static inline void shared_leave_remote(const char *fold, uint64_t tag)
{
    struct log_entry entry = shared_entry(LOG_LEAVE);
    entry.name = text_of(fold);
    entry.tag = tag;
    shared_apply(&entry);
}

/* A client's thread that joins. */
struct shared_joiner {
    pthread_t thread;
    struct room_member *person;
    struct join_request request;
    enum protocol_error code;
    const char *why;
};

static inline void *shared_join_main(void *argument)
{
    struct shared_joiner *joiner = argument;
    joiner->code = room_member_steps(joiner->person, &joiner->request, &joiner->why);
    return NULL;
}

/* Begins to join. Returns the seq of the call. */
static inline uint64_t shared_join_begin(struct shared_joiner *joiner, const char *name,
                                         const struct e2e_keys *keys)
{
    uint64_t seq = 0;
    shared_link();
    *joiner =
        (struct shared_joiner){.person = room_member_new(), .request = room_test_request("", name)};
    joiner->request.keys = keys;
    assert_int_equal(pthread_create(&joiner->thread, NULL, shared_join_main, joiner), 0);
    while (seq == 0) {
        bridge_lock();
        const struct pending *last = bridge.links->last;
        if (last && last->kind == PENDING_JOIN)
            seq = last->seq;
        bridge_unlock();
        sched_yield();
    }
    return seq;
}

static inline struct room_member *shared_join_end(struct shared_joiner *joiner)
{
    pthread_join(joiner->thread, NULL);
    joiner->person->joined = !joiner->code;
    outbox_flush(&joiner->person->out);
    return joiner->person;
}

/* A member of this server has joined, without keys. */
static inline struct room_member *shared_join(const char *name, const char *fold, const char *card)
{
    struct shared_joiner joiner;
    uint64_t seq = shared_join_begin(&joiner, name, NULL);
    struct log_entry entry = shared_own_entry(LOG_JOIN, seq);
    shared_apply_join(&entry, fold, card);
    struct room_member *person = shared_join_end(&joiner);
    assert_int_equal(joiner.code, ERROR_NONE);
    shared_drop_calls();
    room_member_hear(person);
    return person;
}

/* The last call of the queue. */
static inline const struct engine_call *shared_last_call(void)
{
    assert_non_null(bridge.queue.last);
    return bridge.queue.last->call;
}

static inline bool shared_call_has(const struct engine_call *call, const char *text)
{
    return memmem(call->bytes, call->len, text, strlen(text));
}

#endif
