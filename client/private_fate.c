/* SPDX-License-Identifier: MIT
 *
 * private_fate.c - handles what becomes of sent texts: confirmations, refusals, a new connection,
 * changes of members, and timeouts. One thread.
 */
#include "client/private_messages.h"

#include <stdlib.h>
#include <string.h>

enum {
    TIDY_MS = 5000,  /* between two checks of session keys that are in use */
    IDLE_MS = 60000, /* between two checks of session keys that are not in use */
    RETRY_MS = 50,   /* before a text is tried again that the send queue refused */
};

/* ---- Confirmations ---- */

void private_too_long(struct private_messages *private)
{
    struct unacked_message *message = private->unacked.first;
    while (message && message->state != UNACKED_SENT)
        message = message->next;
    if (message)
        private_fail(private, message, "it is too long for the server");
}

void private_give_up(struct private_messages *private, struct unacked_message *message)
{
    private->failed = true;
    if (!message->late)
        output_note(private->output, OUTPUT_WARN, "%s has not confirmed \"%.40s\"",
                    output_quote(message->to).text, message->text);
    private_drop(private, message);
}

void private_delivered(struct private_messages *private, const struct json_object *in)
{
    char *ref = json_get_string(in, "Ref");
    struct unacked_message *message = ref ? unacked_find(&private->unacked, ref) : NULL;
    free(ref);
    if (!message || !message->to || message->state != UNACKED_SENT)
        return;
    private_show_sent(private, message);
    if (!message->sealed) {
        private_drop(private, message);
        return;
    }
    unacked_keep(&private->unacked, message);
    private_trim(private);
}

void private_trim(struct private_messages *private)
{
    struct unacked_message *message;
    while ((message = unacked_overdue(&private->unacked)) != NULL)
        private_give_up(private, message);
}

/* The other side has opened the text. */
static void confirmed(struct private_messages *private, struct unacked_message *message)
{
    private_show_sent(private, message);
    if (message->late)
        output_note(private->output, OUTPUT_NOTE, "%s has confirmed \"%.40s\" now",
                    output_quote(message->to).text, message->text);
    private_drop(private, message);
}

static void on_text_event(struct private_messages *private, const struct continuity_event *event)
{
    struct unacked_message *message = unacked_find_id(&private->unacked, event->id);
    if (!message)
        return;
    if (event->kind == CONTINUITY_ARRIVED)
        confirmed(private, message);
    else if (event->kind == CONTINUITY_GIVEN_UP)
        private_give_up(private, message);
    else
        unacked_again(&private->unacked, message);
}

static void send_receipt(struct private_messages *private, const struct continuity_event *event)
{
    char *json = conversation_receipt(&private->conversations, event, private_now(private));
    if (!json)
        return;
    pace_take(&private->pace, private->steady());
    private_send(private, json);
}

void private_events(struct private_messages *private, bool all)
{
    struct continuity_event event;
    if (!private->inside || private->ws->state != WS_CLIENT_UP)
        return;
    while ((all || private->steady() >= pace_next(&private->pace)) &&
           continuity_event(&private->conversations.continuity, private->steady(), &event)) {
        if (event.kind == CONTINUITY_RECEIPT)
            send_receipt(private, &event);
        else
            on_text_event(private, &event);
    }
}

void private_part(struct private_messages *private)
{
    struct continuity_event event;
    int64_t now = private->steady() + CONTINUITY_RIDE_MS;
    if (!private->inside || private->ws->state != WS_CLIENT_UP)
        return;
    while (continuity_event(&private->conversations.continuity, now, &event))
        if (event.kind == CONTINUITY_RECEIPT)
            send_receipt(private, &event);
}

/* ---- The connection ---- */

void private_settle(struct private_messages *private)
{
    struct unacked_message *next;
    for (struct unacked_message *message = private->unacked.first; message; message = next) {
        next = message->next;
        if (message->state != UNACKED_WAITING && message->to && !message->sealed)
            private_fail(private, message, "the connection was lost before the server said so");
        else if (!message->sealed || message->parked)
            unacked_again(&private->unacked, message);
    }
    private->inside = true;
    continuity_reconnected(&private->conversations.continuity);
    private_events(private, true); /* repeated texts go before new ones */
}

void private_lost(struct private_messages *private)
{
    private->inside = false;
    for (struct unacked_message *message = private->unacked.first; message; message = message->next)
        message->late_at = 0;
    for (struct conversation *conversation = private->conversations.first; conversation;
         conversation = conversation->next)
        conversation_left(conversation);
}

/* Pending answers to GetKeys are useless now for those who may be others. A member who has not
 * confirmed a text may have returned with another session key. */
void private_users(struct private_messages *private, const struct who *who,
                   const struct who_change *change)
{
    int64_t now = private->steady();
    bool asks_all = change->all || (who->counted && now >= private->recheck_at);
    private->recheck_at = asks_all ? now + PRIVATE_RECHECK_MS : private->recheck_at;
    for (struct conversation *conversation = private->conversations.first; conversation;
         conversation = conversation->next) {
        const char *name = conversation->name;
        bool gone = who_knows(who, name) == WHO_GONE;
        bool joined = who_among(&change->joined, name), left = who_among(&change->left, name);
        if (!change->all && !who->counted && !joined && !left)
            continue;
        conversation_expire(conversation);
        conversation->wants_keys |= conversation->compare_until != 0;
        if (conversation->plain && (gone || left))
            conversation_left(conversation);
        conversation->wants_keys |= conversation->texts > 0 && !gone && (asks_all || joined);
    }
}

/* ---- Time ---- */

static void tell_late(struct private_messages *private)
{
    int64_t now = private->steady();
    for (struct unacked_message *message = private->unacked.first; message;
         message = message->next) {
        if (!message->late_at || now < message->late_at || message->late)
            continue;
        message->late = true;
        output_note(private->output, OUTPUT_WARN, "%s has not confirmed \"%.40s\" yet",
                    output_quote(message->to).text, message->text);
    }
}

static void renew_session(struct private_messages *private)
{
    struct e2e_now now = private_now(private);
    conversations_tidy(&private->conversations, now);
    if (!e2e_session_due(&private->conversations.session, now) ||
        now.steady < pace_next(&private->pace) ||
        !e2e_session_renew(&private->conversations.session, now))
        return;
    continuity_retire(&private->conversations.continuity, &private->conversations.session);
    pace_take(&private->pace, now.steady);
    private_publish(private);
}

static void ask_wanted_keys(struct private_messages *private)
{
    for (struct conversation *conversation = private->conversations.first; conversation;
         conversation = conversation->next)
        if (conversation->wants_keys)
            private_ask_keys(private, conversation);
}

/* Keys and texts come before receipts, because strangers can cause many receipts. */
void private_tick(struct private_messages *private)
{
    char *json;
    private_end_wishes(private, private->steady());
    private_trim(private);
    if (!private->inside || private->ws->state != WS_CLIENT_UP)
        return;
    if (private->conversations.open && !private->off)
        renew_session(private);
    ask_wanted_keys(private);
    tell_late(private);
    private_flush(private);
    private_events(private, false);
    private_flush(private);
    while ((json = pace_pop(&private->pace, private->steady())) != NULL)
        private_send(private, json);
}

static int64_t min_time(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t max_time(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* The next time at which a text or a conversation needs work. */
static int64_t until_talks(const struct private_messages *private, int64_t now)
{
    int64_t until = INT64_MAX, paced = max_time(pace_next(&private->pace), now + RETRY_MS);
    for (const struct unacked_message *message = private->unacked.first; message;
         message = message->next) {
        if (message->late_at && !message->late)
            until = min_time(until, message->late_at);
        const struct conversation *conversation =
            message->fold ? conversation_folded(&private->conversations, message->fold) : NULL;
        if (message->state == UNACKED_WAITING && !(conversation && conversation->asked))
            until = min_time(until, paced);
    }
    for (const struct conversation *conversation = private->conversations.first; conversation;
         conversation = conversation->next)
        if (conversation->wants_keys)
            until = min_time(until, paced);
    return until;
}

int64_t private_until(const struct private_messages *private)
{
    int64_t now = private->steady(), until = private_wish_until(private);
    if (!private->inside || private->ws->state != WS_CLIENT_UP)
        return until;
    int64_t wait = continuity_wait(&private->conversations.continuity, now);
    if (wait >= 0)
        until = min_time(until, max_time(now + wait, pace_next(&private->pace)));
    if (private->pace.first)
        until = min_time(until, pace_next(&private->pace));
    const struct e2e_session *session = &private->conversations.session;
    bool used = session->opened > 0 || session->former_count > 0;
    if (private->conversations.open)
        until = min_time(until, now + (used ? TIDY_MS : IDLE_MS));
    return min_time(until, until_talks(private, now));
}
