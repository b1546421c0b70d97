/* SPDX-License-Identifier: MIT
 *
 * bridge_apply.c - does what the entries of a room's log say: the same on all nodes, in the same
 * order.
 *
 * The room's reader thread enters it. Takes locks 2 and 3 of room.h, those of outboxes, and the
 * bridge's, a leaf. The engine is not trusted: cards and messages are checked.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/metrics.h"
#include "delivery/frame.h"
#include "lib/hex.h"
#include "lib/json/json_ascii.h"
#include "room/bridge_parts.h"
#include "ws.h"

static bool is_own(const struct room_link *link, const char *seat)
{
    return memcmp(link->seat.seat, seat, SEAT_LEN) == 0;
}

static const char *seat_of(const struct member *member)
{
    return member->out ? member->room->link->seat.seat
                       : ((const struct remote_member *)member)->seat;
}

/* A folded name of an entry as a string. NULL when it has a NUL, or memory is out. */
static char *copy_fold(struct text name)
{
    return memchr(name.at, '\0', name.len) ? NULL : strndup(name.at, name.len);
}

/* ---- Messages ---- */

/* The texts of a member are checked by its own node. What is checked here is that a client gets one
 * JSON object of that type. */
bool bridge_is_body(struct text body, const char *type)
{
    struct json_object message;
    struct json_error error;
    char *whole = malloc(body.len + 1);
    if (!whole)
        return false;
    memcpy(whole, body.at, body.len);
    whole[body.len] = '}';
    bool good = json_parse_message(&message, whole, body.len + 1, &error) == 0 &&
                json_equals(&message, "msgType", type) && json_find(&message, "SrcUser") &&
                !json_find(&message, "Id") && !json_find(&message, "Time");
    free(whole);
    return good;
}

static void apply_broadcast(struct room_link *link, const struct log_entry *entry)
{
    if (!bridge_is_body(entry->body, "Broadcast"))
        bridge_lose(link, true, "the log has something that is no message");
    else if (!room_append(link->room, entry->body, entry->id, (int64_t)entry->ms))
        bridge_lose(link, true, "a message of the log cannot be appended");
}

/* ---- Cards ---- */

/* Frees a remote member that no room knows any more. */
void bridge_remote_free(struct member *member)
{
    free(member->fold);
    free(member->quoted);
    free(member->keys);
    free((struct remote_member *)member);
}

/* Reads a card. Returns false when it is not one of this name and identity, or memory is out. */
static bool read_remote_card(struct member *member, struct text card, struct text name,
                             struct text identity, bool *again)
{
    struct json_object object;
    struct json_error error;
    struct e2e_keys keys;
    char hex[2 * E2E_KEY_BYTES + 1] = "-";
    if (json_parse_message(&object, card.at, card.len, &error) < 0)
        return false;
    const struct json_field *field = json_find(&object, "Name");
    long len = field ? json_string(field, member->name, sizeof(member->name)) : -1;
    if (len < 0 || name_check(member->name, (size_t)len))
        return false;
    enum e2e_found found = e2e_read_keys(&object, &keys);
    if (found == E2E_FOUND_ALL && (member->keys = malloc(sizeof(*member->keys)))) {
        *member->keys = keys;
        hex_write(hex, keys.identity, E2E_KEY_BYTES);
    }
    *again = json_get_bool(&object, "Again");
    member->fold = name_fold(member->name, (size_t)len);
    member->quoted = json_quote(member->name);
    return (found == E2E_FOUND_NONE || member->keys) && text_equals(identity, hex) &&
           member->fold && text_equals(name, member->fold) && member->quoted;
}

/* NULL when the card is not valid, or memory is out. */
static struct remote_member *remote_new(struct room *room, struct text card, struct text name,
                                        struct text identity, bool *again)
{
    struct remote_member *remote = calloc(1, sizeof(*remote));
    if (!remote)
        return NULL;
    remote->member.room = room;
    if (read_remote_card(&remote->member, card, name, identity, again))
        return remote;
    bridge_remote_free(&remote->member);
    return NULL;
}

void bridge_add_person(struct room *room, const struct log_person *person)
{
    bool again;
    struct remote_member *remote =
        remote_new(room, person->card, person->name, person->identity, &again);
    if (!remote || roster_find(&room->roster, remote->member.fold)) {
        if (remote)
            bridge_remote_free(&remote->member);
        log_event(LOG_LEVEL_ERROR, "engine", "why=\"a member's card is not valid\"");
        return; /* the others can be listed */
    }
    memcpy(remote->seat, person->seat, sizeof(remote->seat));
    remote->member.tag = person->tag;
    remote->member.joined_version = PRESENCE_FIRST;
    roster_add(&room->roster, &remote->member);
}

/* ---- Outcomes ---- */

/* Sends a member a frame of its own, and drops it. The member list is locked, so the member cannot
 * leave. */
static void send_to(struct member *member, struct frame *frame)
{
    if (frame) {
        outbox_post(member->out, OUTBOX_MESSAGE, frame);
        outbox_flush(member->out);
    }
    frame_drop(frame);
}

static struct frame *error_frame(const struct member *member, enum protocol_error code,
                                 const char *why, struct text about)
{
    struct json_object object;
    struct json_error error;
    size_t len = 0;
    bool read = json_parse_message(&object, about.at, about.len, &error) == 0;
    char *json = json_error(code, why, read ? &object : NULL, &len);
    if (member->ascii)
        json = json_ascii(json, &len, SIZE_MAX);
    struct frame *frame = json ? frame_new(WS_TEXT, json, len) : NULL;
    free(json);
    return frame;
}

/* Tells a member what became of its private message. The member list is locked. */
static void end_tell(struct pending *pending, enum log_outcome outcome)
{
    struct member *member = pending->member;
    if (!member)
        return;
    if (outcome == LOG_DELIVERED && pending->ack)
        send_to(member, frame_hold(pending->ack));
    else if (outcome == LOG_UNKNOWN_USER)
        send_to(member, error_frame(member, ERROR_UNKNOWN_USER, "nobody of that name is here",
                                    pending->about));
    else if (outcome == LOG_RECEIVER_BUSY)
        send_to(member, error_frame(member, ERROR_RECEIVER_BUSY,
                                    "too many messages wait for that member: try again later",
                                    pending->about));
}

static void end_join(struct pending *pending, enum protocol_error code, const char *why)
{
    bridge_lock();
    pending->wait->code = code;
    pending->wait->why = why;
    pending->wait->done = true;
    pthread_cond_signal(&pending->wait->done_cond);
    bridge_unlock();
}

static struct pending *take_pending(struct room_link *link, uint64_t seq)
{
    bridge_lock();
    struct pending *pending = bridge_pending_take(link, seq);
    bridge_unlock();
    return pending;
}

/* What became of a call of this node, under the member list's lock. */
static void end_pending(struct room_link *link, uint64_t seq, enum log_outcome outcome)
{
    struct pending *pending = take_pending(link, seq);
    if (pending && pending->kind == PENDING_JOIN)
        end_join(pending, ERROR_NAME_TAKEN, "somebody of that name is here already");
    else if (pending && pending->kind == PENDING_TELL)
        end_tell(pending, outcome);
    bridge_pending_free(pending);
}

static void apply_refusal(struct room_link *link, const struct log_entry *entry)
{
    if (is_own(link, entry->seat))
        end_pending(link, entry->seq, entry->code);
}

static void apply_answer(struct room_link *link, const struct log_entry *entry)
{
    if (is_own(link, entry->other))
        end_pending(link, entry->other_tag, entry->code);
}

/* ---- Joining ---- */

/* Gives a place in the roster to a remote member. The member list is locked. */
static void admit_remote(struct room *room, struct member *remote)
{
    pthread_mutex_lock(&room->names_lock);
    struct member *old = roster_find(&room->roster, remote->fold);
    if (old)
        roster_replace(&room->roster, old, remote);
    else
        roster_add(&room->roster, remote);
    pthread_mutex_unlock(&room->names_lock);
    if (old && old->out)
        room_evict(old);
    presence_joined(remote, old);
    if (old && !old->out)
        bridge_remote_free(old);
}

/* A join of this node for which nobody waits any more, or for which memory is out: it leaves. */
static void make_leave(struct room_link *link, const struct log_entry *entry)
{
    bridge_lock();
    if (link->state == LINK_OPEN)
        bridge_push_locked(link, engine_leave(&link->seat, entry->name, entry->seq));
    bridge_unlock();
}

/* Another member has published other keys: its entry gets them. The member list is locked. */
static bool update_remote(struct room *room, struct remote_member *remote)
{
    struct member *old = roster_find(&room->roster, remote->member.fold);
    if (!old || old->out || memcmp(seat_of(old), remote->seat, SEAT_LEN) != 0)
        return false;
    pthread_mutex_lock(&room->names_lock);
    struct e2e_keys *keys = old->keys;
    old->keys = remote->member.keys;
    remote->member.keys = keys;
    old->tag = remote->member.tag;
    pthread_mutex_unlock(&room->names_lock);
    bridge_remote_free(&remote->member);
    return true;
}

static void join_remote(struct room_link *link, const struct log_entry *entry)
{
    bool again = false;
    struct remote_member *remote =
        remote_new(link->room, entry->body, entry->name, entry->identity, &again);
    if (!remote) {
        bridge_lose(link, true, "the log has a member whose card is not valid");
        return;
    }
    memcpy(remote->seat, entry->seat, sizeof(remote->seat));
    remote->member.tag = entry->seq;
    if (!again || !update_remote(link->room, remote))
        admit_remote(link->room, &remote->member);
    if (is_own(link, entry->seat))
        make_leave(link, entry);
}

/* The client waits in bridge_join. */
static void join_own(struct room_link *link, const struct log_entry *entry, struct pending *pending)
{
    struct member *member = pending->member, *old = NULL;
    member->tag = entry->seq;
    enum protocol_error code = room_admit(member, pending->wait->request, &old);
    if (code) {
        join_remote(link, entry);
    } else {
        presence_joined(member, old);
        if (old && !old->out)
            bridge_remote_free(old);
    }
    end_join(pending, code, "the server is out of memory");
}

/* Copies what may change. The member's thread reads the identity and the origin without a lock. */
static void renew_keys(struct e2e_keys *keys, const struct e2e_keys *newer)
{
    memcpy(keys->session, newer->session, sizeof(keys->session));
    memcpy(keys->enc, newer->enc, sizeof(keys->enc));
    memcpy(keys->signature, newer->signature, sizeof(keys->signature));
    keys->expires = newer->expires;
}

/* A member of this node has published other keys. */
static void publish_own(struct room_link *link, const struct log_entry *entry,
                        struct pending *pending)
{
    bool again;
    struct member *member = pending->member;
    struct remote_member *remote =
        member ? remote_new(link->room, entry->body, entry->name, entry->identity, &again) : NULL;
    if (!remote || !remote->member.keys) {
        if (remote)
            bridge_remote_free(&remote->member);
        if (member)
            outbox_close(member->out, WS_CODE_TRY_LATER, "out of memory");
        return;
    }
    pthread_mutex_lock(&link->room->names_lock);
    renew_keys(member->keys, remote->member.keys);
    pthread_mutex_unlock(&link->room->names_lock);
    bridge_remote_free(&remote->member);
    if (pending->ack)
        send_to(member, frame_hold(pending->ack));
}

static void apply_join(struct room_link *link, const struct log_entry *entry)
{
    struct pending *pending = NULL;
    if (is_own(link, entry->seat))
        pending = take_pending(link, entry->seq);
    if (pending && pending->kind == PENDING_JOIN)
        join_own(link, entry, pending);
    else if (pending && pending->kind == PENDING_PUBLISH && pending->member)
        publish_own(link, entry, pending);
    else
        join_remote(link, entry);
    bridge_pending_free(pending);
}

/* ---- Leaving ---- */

/* Takes a remote member out. The member list is locked. */
static void drop_remote(struct room *room, struct member *remote)
{
    pthread_mutex_lock(&room->names_lock);
    roster_remove(&room->roster, remote);
    pthread_mutex_unlock(&room->names_lock);
    presence_left(remote);
    bridge_remote_free(remote);
}

static void apply_leave(struct room_link *link, const struct log_entry *entry)
{
    struct room *room = link->room;
    char *fold = copy_fold(entry->name);
    struct member *member = fold ? roster_find(&room->roster, fold) : NULL;
    free(fold);
    if (!member || memcmp(seat_of(member), entry->seat, SEAT_LEN) != 0)
        return;
    if (member->out)
        bridge_lose(link, true, "the log says that a member left who is here");
    else if (member->tag == entry->tag)
        drop_remote(room, member);
}

/* The members of a seat. */
struct seat_members {
    const char *seat;
    struct member **members;
    size_t count;
};

static bool collect_of_seat(void *context, struct member *member)
{
    struct seat_members *of = context;
    if (!member->out && memcmp(seat_of(member), of->seat, SEAT_LEN) == 0)
        of->members[of->count++] = member;
    return true;
}

/* Private messages to members of a seat that is over have not reached them. */
static void end_tells_to(struct room_link *link, const char *seat)
{
    for (;;) {
        bridge_lock();
        struct pending *at = link->first;
        while (at && (at->kind != PENDING_TELL || memcmp(at->receiver, seat, SEAT_LEN) != 0))
            at = at->next;
        uint64_t seq = at ? at->seq : 0;
        bridge_unlock();
        if (seq == 0)
            return;
        end_pending(link, seq, LOG_UNKNOWN_USER);
    }
}

static void apply_seat_over(struct room_link *link, const struct log_entry *entry)
{
    static const struct roster_start start = {.fold = ""};
    struct room *room = link->room;
    struct seat_members of = {.seat = entry->other};
    if (is_own(link, entry->other)) {
        bridge_lose(link, false, "this server was cut off from the others");
        return;
    }
    of.members = malloc((room->roster.count + 1) * sizeof(struct member *));
    if (!of.members) {
        bridge_lose(link, false, "the server is out of memory");
        return;
    }
    roster_walk(&room->roster, &start, collect_of_seat, &of);
    for (size_t i = 0; i < of.count; i++)
        drop_remote(room, of.members[i]);
    free(of.members);
    end_tells_to(link, entry->other);
}

/* ---- Private messages ---- */

/* Queues the answer to a private message, which also deletes its entry. */
static void push_answer(struct room_link *link, const struct log_entry *entry,
                        enum log_outcome outcome)
{
    bridge_lock();
    if (link->state == LINK_OPEN)
        bridge_push_locked(link, engine_answer_to(&link->seat, entry, outcome));
    bridge_unlock();
}

/* Delivers a private message to a member of this node. The answer is on its way to the engine
 * before the member can have seen the message, so nothing that it says overtakes the answer. */
static void deliver_to(struct room_link *link, struct member *target, const struct log_entry *entry)
{
    struct outbox *out = target->out;
    struct frame *frame = room_stamped_frame(entry->body, 0, (int64_t)entry->ms, target->ascii);
    outbox_lock(out, NULL);
    bool takes = frame && outbox_would_take(out, frame);
    push_answer(link, entry, takes ? LOG_DELIVERED : LOG_RECEIVER_BUSY);
    if (takes) {
        if (!outbox_send_unlock(out, frame, NULL, NULL))
            outbox_close(out, WS_CODE_TRY_LATER, "out of memory");
        metrics_add(METRIC_PRIVATE, 1);
        metrics_add(METRIC_DELIVERIES, 1);
    } else {
        outbox_unlock(out);
    }
    frame_drop(frame);
}

/* The sender's node remembers who must answer. */
static void note_receiver(struct room_link *link, const struct log_entry *entry)
{
    bridge_lock();
    for (struct pending *at = link->first; at; at = at->next)
        if (at->seq == entry->seq)
            memcpy(at->receiver, entry->other, sizeof(at->receiver));
    bridge_unlock();
}

static void apply_private(struct room_link *link, const struct log_entry *entry)
{
    if (is_own(link, entry->seat))
        note_receiver(link, entry);
    if (!is_own(link, entry->other))
        return;
    char *fold = copy_fold(entry->name);
    struct member *target = fold ? roster_find(&link->room->roster, fold) : NULL;
    free(fold);
    if (!target || !target->out)
        push_answer(link, entry, LOG_UNKNOWN_USER);
    else if (!bridge_is_body(entry->body, "PrivateMessage"))
        bridge_lose(link, true, "the log has something that is no message");
    else
        deliver_to(link, target, entry);
}

/* ---- All ---- */

static void apply_epoch(struct room_link *link, const struct log_entry *entry)
{
    if (strcmp(entry->other, link->room->epoch) != 0)
        bridge_lose(link, false, "the room has begun again, because messages were lost");
}

static void apply_locked(struct room_link *link, const struct log_entry *entry)
{
    switch (entry->kind) {
    case LOG_JOIN:
        apply_join(link, entry);
        break;
    case LOG_LEAVE:
        apply_leave(link, entry);
        break;
    case LOG_PRIVATE:
        apply_private(link, entry);
        break;
    case LOG_REFUSAL:
        apply_refusal(link, entry);
        break;
    case LOG_ANSWER:
        apply_answer(link, entry);
        break;
    case LOG_SEAT_OVER:
        apply_seat_over(link, entry);
        break;
    case LOG_EPOCH:
        apply_epoch(link, entry);
        break;
    case LOG_BROADCAST:
        break;
    }
}

void bridge_apply(struct room_link *link, const struct log_entry *entry)
{
    struct room *room = link->room;
    link->touched = true;
    if (entry->kind == LOG_BROADCAST) {
        apply_broadcast(link, entry);
        return;
    }
    pthread_mutex_lock(&room->members_lock);
    apply_locked(link, entry);
    pthread_mutex_unlock(&room->members_lock);
}

void bridge_close_members(struct room *room, const char *why)
{
    pthread_mutex_lock(&room->members_lock);
    while (room->count > 0) {
        struct member *member = room->members[room->count - 1];
        struct outbox *out = member->out;
        member->removed = true;
        room_detach_member(member, NULL);
        outbox_close(out, WS_CODE_TRY_LATER, why);
    }
    pthread_mutex_lock(&room->names_lock);
    while (room->roster.root) {
        struct member *remote = room->roster.root;
        roster_remove(&room->roster, remote);
        bridge_remote_free(remote);
    }
    pthread_mutex_unlock(&room->names_lock);
    pthread_mutex_unlock(&room->members_lock);
}
