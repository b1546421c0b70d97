/* SPDX-License-Identifier: MIT
 *
 * bridge_calls.c - makes calls to the engine of what the members of this node do, and keeps those
 * whose outcome is still to come.
 *
 * Every client's thread enters it, bridge_join also to wait. Takes the bridge's lock, a leaf. A
 * call is made and queued under one hold of it, so that calls reach the engine in the order of
 * their numbers.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/metrics.h"
#include "delivery/frame.h"
#include "lib/hex.h"
#include "lib/json/json_writer.h"
#include "net/socket.h"
#include "room/bridge_parts.h"

static const char no_memory[] = "the server is out of memory";

/* ---- Pending outcomes ---- */

static size_t pending_cost(const struct pending *pending)
{
    return sizeof(*pending) + pending->about.len + (pending->ack ? pending->ack->len : 0);
}

/* `about` is copied behind it, and a reference to `ack` is taken. NULL when memory is out. */
static struct pending *pending_new(enum pending_kind kind, struct member *member, struct frame *ack,
                                   struct text about)
{
    struct pending *pending = calloc(1, sizeof(*pending) + about.len);
    if (!pending)
        return NULL;
    pending->kind = kind;
    pending->member = member;
    pending->ack = ack ? frame_hold(ack) : NULL;
    if (about.len > 0)
        memcpy(pending + 1, about.at, about.len);
    pending->about = (struct text){(char *)(pending + 1), about.len};
    return pending;
}

void bridge_pending_free(struct pending *pending)
{
    if (pending)
        frame_drop(pending->ack);
    free(pending);
}

static void pending_append(struct room_link *link, struct pending *pending)
{
    if (link->last)
        link->last->next = pending;
    else
        link->first = pending;
    link->last = pending;
    link->tells += pending->kind == PENDING_TELL;
    bridge.pending_bytes += pending_cost(pending);
}

/* Takes out what comes behind `before` (NULL: the first). */
static struct pending *pending_unlink(struct room_link *link, struct pending *before)
{
    struct pending **at = before ? &before->next : &link->first;
    struct pending *pending = *at;
    *at = pending->next;
    if (link->last == pending)
        link->last = before;
    link->tells -= pending->kind == PENDING_TELL;
    bridge.pending_bytes -= pending_cost(pending);
    pending->next = NULL;
    return pending;
}

struct pending *bridge_pending_take(struct room_link *link, uint64_t seq)
{
    struct pending *before = NULL;
    for (struct pending *at = link->first; at; before = at, at = at->next) {
        if (at->seq != seq)
            continue;
        if (at->kind == PENDING_JOIN)
            at->wait->taken = true;
        return pending_unlink(link, before);
    }
    return NULL;
}

static void end_wait(struct join_wait *wait, enum protocol_error code, const char *why)
{
    wait->done = true;
    wait->code = code;
    wait->why = why;
    pthread_cond_signal(&wait->done_cond);
}

void bridge_pending_clear(struct room_link *link, const char *why)
{
    while (link->first) {
        struct pending *pending = pending_unlink(link, NULL);
        if (pending->kind == PENDING_JOIN)
            end_wait(pending->wait, ERROR_UNAVAILABLE, why);
        bridge_pending_free(pending);
    }
}

void bridge_pending_wake(struct room_link *link)
{
    for (struct pending *at = link->first; at; at = at->next)
        if (at->kind == PENDING_JOIN)
            pthread_cond_signal(&at->wait->done_cond);
}

void bridge_forget(struct member *member)
{
    bridge_lock();
    for (struct pending *at = member->room->link->first; at; at = at->next)
        if (at->member == member)
            at->member = NULL;
    bridge_unlock();
}

/* ---- Calls ---- */

bool bridge_push_locked(struct room_link *link, struct engine_call *call)
{
    if (!call_queue_push(&bridge.queue, call)) {
        bridge_lose_locked(link, false, no_memory);
        return false;
    }
    if (bridge.unanswered == 0)
        bridge.unanswered = net_now();
    pthread_cond_signal(&bridge.wanted);
    return true;
}

/* Queues a call whose outcome is awaited; takes `pending`. Returns false when memory is out. */
static bool push_awaited(struct room_link *link, struct engine_call *call, struct pending *pending)
{
    uint64_t seq = call ? call->seq : 0;
    if (!call || !bridge_push_locked(link, call)) {
        bridge_pending_free(pending);
        return false;
    }
    pending->seq = seq;
    pending_append(link, pending);
    return true;
}

const char *bridge_say(struct member *member, struct text body)
{
    struct room_link *link = member->room->link;
    const char *why = NULL;
    bridge_lock();
    bool says = link->state == LINK_OPEN && !bridge.stopping && !atomic_load(&member->replaced);
    if (says) { /* else the member is being closed */
        struct engine_call *call = engine_say(&link->seat, body);
        if (!call || !bridge_push_locked(link, call))
            why = "out of memory";
    }
    bridge_unlock();
    return why;
}

/* The fields that an Error echoes, as JSON. NULL when memory is out. */
static char *about_text(const struct json_object *message, size_t *len)
{
    static const char *const names[] = {"Ref", "TgtUser"};
    struct json_writer w = {.text = NULL};
    json_write_object(&w, NULL);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const struct json_field *field = json_find(message, names[i]);
        if (field)
            json_write_value(&w, names[i], field->value, field->value_len);
    }
    json_write_end(&w);
    return json_writer_finish(&w, len);
}

/* Queues a private message. [b] is held. */
static enum room_fate tell_locked(struct room_link *link, struct pending *pending, const char *fold,
                                  struct text body)
{
    bool full = link->tells >= BRIDGE_TELLS_MAX || bridge.pending_bytes >= bridge.queue_max;
    full |= atomic_load(&pending->member->replaced);
    if (link->state != LINK_OPEN || full) {
        bridge_pending_free(pending);
        return link->state == LINK_OPEN ? ROOM_BUSY : ROOM_PENDING;
    }
    struct engine_call *call = engine_tell(&link->seat, text_of(fold), body);
    return push_awaited(link, call, pending) ? ROOM_PENDING : ROOM_NO_MEMORY;
}

enum room_fate bridge_tell(struct member *member, const char *fold,
                           const struct room_private *private)
{
    struct room_link *link = member->room->link;
    enum room_fate fate = ROOM_NO_MEMORY;
    size_t len = 0, about_len = 0;
    char *body = json_relay(private->message, true, member->quoted, &len);
    char *about = about_text(private->message, &about_len);
    struct pending *pending = NULL;
    if (body && about)
        pending = pending_new(PENDING_TELL, member, private->ack, (struct text){about, about_len});
    if (pending) {
        bridge_lock();
        fate = tell_locked(link, pending, fold, (struct text){body, len});
        bridge_unlock();
    }
    free(body);
    free(about);
    return fate;
}

/* ---- Cards ---- */

/* What other nodes must know of a member, as JSON; `again`: it has published other keys. NULL when
 * memory is out. */
static char *card_text(const char *name, const struct e2e_keys *keys, bool again, size_t *len)
{
    struct json_writer w = {.text = NULL};
    json_write_object(&w, NULL);
    json_write_string(&w, "Name", name);
    if (keys)
        e2e_write_keys(&w, keys);
    if (again)
        json_write_bool(&w, "Again", true);
    json_write_end(&w);
    return json_writer_finish(&w, len);
}

static struct text identity_text(const struct e2e_keys *keys, char hex[2 * E2E_KEY_BYTES + 1])
{
    if (!keys)
        return text_of("-");
    hex_write(hex, keys->identity, E2E_KEY_BYTES);
    return text_of(hex);
}

bool bridge_publish(struct member *member, const struct e2e_keys *keys, struct frame *ack)
{
    struct room_link *link = member->room->link;
    char hex[2 * E2E_KEY_BYTES + 1];
    size_t len = 0;
    bool queued = true;
    char *card = card_text(member->name, keys, true, &len);
    struct pending *pending =
        card ? pending_new(PENDING_PUBLISH, member, ack, (struct text){NULL, 0}) : NULL;
    bridge_lock();
    if (!pending || link->state != LINK_OPEN) {
        queued = pending;
        bridge_pending_free(pending);
    } else {
        struct engine_call *call =
            engine_publish(&link->seat, member->tag, text_of(member->fold),
                           identity_text(keys, hex), (struct text){card, len});
        uint64_t tag = call ? call->seq : 0;
        queued = push_awaited(link, call, pending);
        if (queued)
            member->tag = tag; /* of what the member publishes next, or leaves */
    }
    bridge_unlock();
    free(card);
    return queued;
}

/* ---- Joining and leaving ---- */

/* Takes a join that nobody waits for any more out of the list. If it appears in the log all the
 * same, the reader finds no pending call, and makes it leave. */
static void give_up_join(struct room_link *link, const struct join_wait *wait)
{
    struct pending *before = NULL;
    for (struct pending *at = link->first; at; before = at, at = at->next) {
        if (at->wait != wait)
            continue;
        bridge_pending_free(pending_unlink(link, before));
        return;
    }
}

/* Waits for the entry. When the reader has taken it, the end does not take long. */
static void await_join(struct room_link *link, struct join_wait *wait)
{
    const struct timespec until = net_timespec(net_now() + BRIDGE_JOIN_MS);
    int error = 0;
    while (!wait->done && (wait->taken || (error == 0 && !bridge.stopping)))
        error = wait->taken ? pthread_cond_wait(&wait->done_cond, &bridge.lock)
                            : pthread_cond_timedwait(&wait->done_cond, &bridge.lock, &until);
    if (!wait->done)
        give_up_join(link, wait);
}

/* Queues a join. [b] is held. */
static bool ask_to_join(struct member *member, struct join_wait *wait, struct text card)
{
    struct room_link *link = member->room->link;
    char hex[2 * E2E_KEY_BYTES + 1];
    struct text identity = identity_text(member->keys, hex);
    struct pending *pending = pending_new(PENDING_JOIN, member, NULL, (struct text){NULL, 0});
    if (!pending)
        return false;
    pending->wait = wait;
    struct engine_call *call = engine_join(&link->seat, text_of(member->fold), identity, card);
    return push_awaited(link, call, pending);
}

static void join_and_wait(struct member *member, struct join_wait *wait, struct text card)
{
    struct room_link *link = member->room->link;
    bridge_lock();
    bool full = bridge.queue.bytes >= bridge.queue_max;
    if (link->state != LINK_OPEN || bridge.stopping || full) {
        wait->why = BRIDGE_AWAY_TEXT;
    } else if (!ask_to_join(member, wait, card)) {
        wait->code = ERROR_ROOM_FULL;
        wait->why = no_memory;
    } else {
        await_join(link, wait);
    }
    bridge_unlock();
}

enum protocol_error bridge_join(struct member *member, const struct join_request *request,
                                const char **why)
{
    struct join_wait wait = {
        .code = ERROR_UNAVAILABLE, .why = BRIDGE_AWAY_TEXT, .request = request};
    size_t len = 0;
    char *card = card_text(member->name, member->keys, false, &len);
    *why = no_memory;
    if (!card)
        return ERROR_ROOM_FULL;
    net_cond_init(&wait.done_cond);
    join_and_wait(member, &wait, (struct text){card, len});
    pthread_cond_destroy(&wait.done_cond);
    free(card);
    *why = wait.why;
    return wait.code;
}

/* Until the leave is in the log, a remote member has the place in the roster: others must not see a
 * gap between the two, and it still has the name. */
void bridge_leave(struct member *member)
{
    struct room *room = member->room;
    struct room_link *link = room->link;
    struct remote_member *heir = calloc(1, sizeof(*heir));
    bridge_forget(member);
    if (heir) {
        heir->member = (struct member){.room = room,
                                       .fold = member->fold,
                                       .quoted = member->quoted,
                                       .keys = member->keys,
                                       .tag = member->tag,
                                       .joined_version = member->joined_version};
        memcpy(heir->member.name, member->name, sizeof(member->name));
        memcpy(heir->seat, link->seat.seat, sizeof(heir->seat));
    }
    room_detach_member(member, heir ? &heir->member : NULL);
    bridge_lock();
    struct engine_call *call =
        link->state == LINK_OPEN && heir
            ? engine_leave(&link->seat, text_of(heir->member.fold), heir->member.tag)
            : NULL;
    if (link->state == LINK_OPEN)
        bridge_push_locked(link, call); /* without a call, memory was out */
    bridge_unlock();
    if (heir)
        member->fold = member->quoted = NULL, member->keys = NULL; /* the heir's now */
}
