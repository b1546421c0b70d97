/* SPDX-License-Identifier: MIT
 *
 * private_messages.c - sends texts: when they are sent, when again, and how long they may stay
 * unconfirmed. One thread.
 *
 * conversation.c judges keys, continuity.c tracks which sealed texts are missing, unacked.c keeps
 * the texts in flight.
 */
#include "client/private_messages.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/name.h"
#include "net/socket.h"

static uint64_t wall_clock(void)
{
    return (uint64_t)net_wall_ms();
}

void private_init(struct private_messages *private, struct ws_client *ws, struct output *output,
                  struct keystore *keystore, const char *server)
{
    memset(private, 0, sizeof(*private));
    private->ws = ws;
    private->output = output;
    private->steady = net_now;
    private->wall = wall_clock;
    private->max_message = WS_CLIENT_MESSAGE_MAX;
    conversations_init(&private->conversations, keystore, server);
}

void private_fini(struct private_messages *private)
{
    unacked_fini(&private->unacked);
    conversations_fini(&private->conversations);
    pace_fini(&private->pace);
}

struct e2e_now private_now(const struct private_messages *private)
{
    return (struct e2e_now){.wall = private->wall(), .steady = private->steady()};
}

void private_send(struct private_messages *private, char *json)
{
    if (!json || ws_client_send(private->ws, json, strlen(json)) < 0)
        output_note(private->output, OUTPUT_WARN, "a message could not be sent: out of memory");
    free(json);
}

void private_send_paced(struct private_messages *private, char *json)
{
    if (private->pace.first || !json || !pace_take(&private->pace, private->steady()))
        pace_push(&private->pace, json); /* a message dropped here is not missed: see pace.h */
    else
        private_send(private, json);
}

/* ---- Texts out ---- */

void private_drop(struct private_messages *private, struct unacked_message *message)
{
    struct conversation *conversation =
        message->fold ? conversation_folded(&private->conversations, message->fold) : NULL;
    struct continuity_peer *peer =
        message->sealed ? continuity_find(&private->conversations.continuity, message->identity)
                        : NULL;
    if (peer)
        continuity_drop(peer, message->id);
    if (conversation)
        conversation->texts--;
    unacked_drop(&private->unacked, message);
}

/* The text is not sent again, but the other side may have read it, and may still confirm it. */
static void end_sending(struct private_messages *private, struct unacked_message *message)
{
    struct continuity_peer *peer =
        continuity_find(&private->conversations.continuity, message->identity);
    if (peer)
        continuity_end(peer, message->id);
    message->parked = false;
    message->late = message->over = true;
    unacked_keep(&private->unacked, message);
}

void private_fail(struct private_messages *private, struct unacked_message *message,
                  const char *why)
{
    private->failed = true;
    if (message->sealed) {
        output_note(private->output, OUTPUT_WARN,
                    "%s has not confirmed \"%.40s\", and it is not sent again: %s",
                    output_quote(message->to).text, message->text, why);
        end_sending(private, message);
        return;
    }
    output_note(private->output, OUTPUT_WARN, "not sent%s%s: \"%.40s\": %s",
                message->to ? " to " : "", message->to ? output_quote(message->to).text : "",
                message->text, why);
    private_drop(private, message);
}

/* Parks a text that may have been read: it waits for other keys. */
static void park(struct private_messages *private, struct unacked_message *message)
{
    unacked_keep(&private->unacked, message);
    message->parked = true;
    message->late_at = private->steady() + PRIVATE_CONFIRM_MS;
}

static const char other_key[] = "it was written for another key", too_long[] = "it is too long for "
                                                                               "the server";

static void fail_or_park(struct private_messages *private, struct unacked_message *message,
                         const char *why)
{
    if (message->sealed && why != other_key)
        park(private, message);
    else
        private_fail(private, message, why);
}

void private_fail_waiting(struct private_messages *private, struct conversation *conversation,
                          const char *why)
{
    struct unacked_message *next;
    for (struct unacked_message *message = private->unacked.first; message; message = next) {
        next = message->next;
        if (message->fold && message->state == UNACKED_WAITING &&
            strcmp(message->fold, conversation->fold) == 0)
            fail_or_park(private, message, why);
    }
}

void private_show_sent(struct private_messages *private, struct unacked_message *message)
{
    const struct conversation *conversation =
        conversation_folded(&private->conversations, message->fold);
    bool verified = conversation && message->sealed &&
                    conversation->state == CONVERSATION_VERIFIED &&
                    memcmp(conversation->identity, message->identity, E2E_KEY_BYTES) == 0;
    struct output_message shown = {.to = message->to,
                                   .text = message->text,
                                   .len = strlen(message->text),
                                   .mark = !message->sealed ? "[not encrypted]"
                                           : verified       ? "[verified]"
                                                            : "[encrypted]",
                                   .warn = !message->sealed};
    if (!message->shown)
        output_message(private->output, &shown);
    message->shown = true;
}

/* Why a text cannot be sealed for this conversation now. NULL: it can, or keys have been requested.
 */
static const char *why_not_sealed(const struct private_messages *private,
                                  const struct conversation *conversation,
                                  const struct unacked_message *message)
{
    switch (conversation->state) {
    case CONVERSATION_NONE:
        return conversation->known == KEYSTORE_UNKNOWN
                   ? "there are no keys for this; /plain NAME allows to talk unencrypted"
                   : "the keys that were there before are GONE; /plain NAME allows to talk "
                     "unencrypted";
    case CONVERSATION_CHANGED:
        return message->sealed ? other_key
                               : "the key has changed; /accept NAME accepts the new one";
    case CONVERSATION_FORGED:
        return "the keys that the server gave out are not signed right: somebody, perhaps the "
               "server, is cheating";
    case CONVERSATION_EXPIRED:
        return "the keys are not valid at this time: the clock of this machine or of the other one "
               "is wrong";
    case CONVERSATION_FOREIGN:
        return "the keys are for messages of another version";
    case CONVERSATION_CROWDED:
        return "too many people write just now; try again in a minute";
    case CONVERSATION_ASKING:
        return NULL;
    case CONVERSATION_ENCRYPTED:
    case CONVERSATION_VERIFIED:
        break;
    }
    if (message->sealed && memcmp(message->identity, conversation->identity, E2E_KEY_BYTES) != 0)
        return other_key;
    return private->off;
}

enum sending {
    SENDING_DONE,
    SENDING_FAILED, /* reported; the text is forgotten or parked */
    SENDING_WAITS,  /* waits for keys or for the pace */
    SENDING_FULL,   /* the send queue is full */
};

/* Sends a finished message for a text. */
static enum sending send_json(struct private_messages *private, struct unacked_message *message,
                              const char *json, size_t len)
{
    if (len > private->max_message) {
        private_fail(private, message, too_long);
        return SENDING_FAILED;
    }
    if (ws_client_send(private->ws, json, len) < 0)
        return SENDING_FULL;
    message->state = UNACKED_SENT;
    message->parked = false;
    return SENDING_DONE;
}

/* The same for a message that was just written. Takes `json`. */
static enum sending send_written(struct private_messages *private, struct unacked_message *message,
                                 char *json)
{
    enum sending sending = SENDING_FULL;
    if (json)
        sending = send_json(private, message, json, strlen(json));
    free(json);
    return sending;
}

static enum sending send_plain(struct private_messages *private, struct unacked_message *message)
{
    enum sending sending = send_written(
        private, message, client_json_private(message->to, message->text, message->ref));
    if (!private->ws->v2 && sending == SENDING_DONE) {
        private_show_sent(private, message); /* the original server sends no Delivered */
        private_drop(private, message);
    }
    return sending;
}

/* Sends a text that was sealed. */
static enum sending send_sealed(struct private_messages *private, struct unacked_message *message,
                                struct conversation *conversation,
                                const struct conversation_text *text,
                                const struct conversation_sealed *sealed)
{
    enum sending sending = send_json(private, message, sealed->json, sealed->len);
    if (sending != SENDING_DONE)
        return sending;
    conversation_sent(&private->conversations, conversation, text, sealed);
    if (message->sealed)
        pace_take(&private->pace, private->steady());
    memcpy(message->identity, conversation->identity, E2E_KEY_BYTES);
    message->sealed = true;
    message->late_at = private->steady() + PRIVATE_CONFIRM_MS;
    return SENDING_DONE;
}

static enum sending seal_and_send(struct private_messages *private, struct unacked_message *message,
                                  struct conversation *conversation)
{
    enum sending sending = SENDING_FAILED;
    struct conversation_text text = {
        .id = message->id, .written = message->written, .text = message->text};
    struct conversation_sealed sealed = {.json = NULL};
    if (message->sealed && private->steady() < pace_next(&private->pace))
        return SENDING_WAITS;
    if (message->sealed && !unacked_new_ref(message))
        return SENDING_WAITS;
    switch (conversation_seal(&private->conversations, conversation, &text, message->ref,
                              private_now(private), &sealed)) {
    case CONVERSATION_SEALED:
        sending = send_sealed(private, message, conversation, &text, &sealed);
        break;
    case CONVERSATION_OLD_KEYS:
        conversation->state = CONVERSATION_ASKING;
        private_ask_keys(private, conversation);
        return SENDING_WAITS;
    case CONVERSATION_FAILED:
        private_fail(private, message, "it could not be sealed");
        return SENDING_FAILED;
    }
    free(sealed.json);
    return sending;
}

static enum sending send_to_person(struct private_messages *private,
                                   struct unacked_message *message,
                                   struct conversation *conversation)
{
    bool none = !private->ws->v2 || conversation->state == CONVERSATION_NONE;
    if (none && message->plain && conversation->plain && !message->sealed)
        return send_plain(private, message);
    const char *why = none && !private->ws->v2
                          ? "this server has no keys for it; /plain NAME allows to talk unencrypted"
                          : why_not_sealed(private, conversation, message);
    if (why) {
        fail_or_park(private, message, why);
        return SENDING_FAILED;
    }
    if (conversation->state != CONVERSATION_ASKING)
        return seal_and_send(private, message, conversation);
    private_ask_keys(private, conversation);
    return SENDING_WAITS;
}

static enum sending send_unacked(struct private_messages *private, struct unacked_message *message)
{
    if (!message->to)
        return send_written(private, message, client_json_broadcast(message->text, message->ref));
    struct conversation *conversation = conversation_folded(&private->conversations, message->fold);
    if (conversation->held == private->flushes)
        return SENDING_WAITS; /* behind an earlier text to the same person */
    enum sending sending = send_to_person(private, message, conversation);
    if (sending == SENDING_WAITS)
        conversation->held = private->flushes;
    return sending;
}

void private_flush(struct private_messages *private)
{
    struct unacked_message *next;
    if (!private->inside || private->ws->state != WS_CLIENT_UP)
        return;
    private->flushes++;
    for (struct unacked_message *message = private->unacked.first; message; message = next) {
        next = message->next;
        if (message->state == UNACKED_WAITING && send_unacked(private, message) == SENDING_FULL)
            return;
    }
}

/* Finds or begins the conversation of a text; NULL after reporting why there is none. */
static struct conversation *begin_talk(struct private_messages *private, const char *to)
{
    struct conversation *conversation = conversation_with(&private->conversations, to, true);
    if (!conversation)
        output_note(private->output, OUTPUT_WARN, "not sent to %s: %s", output_quote(to).text,
                    name_check(to, strlen(to)) ? "nobody can have that name"
                                               : "too many texts wait in other conversations");
    return conversation;
}

bool private_say(struct private_messages *private, const char *to, const char *text)
{
    struct conversation *conversation = to ? begin_talk(private, to) : NULL;
    struct unacked_text new = {.to = to,
                               .fold = conversation ? conversation->fold : NULL,
                               .text = text,
                               .written = private->wall()};
    if (to && !conversation)
        return false;
    struct unacked_message *message = unacked_add(&private->unacked, &new);
    if (!message) {
        output_note(private->output, OUTPUT_WARN,
                    "not sent: %d messages wait to be delivered already, or memory is out",
                    UNACKED_MAX);
        return false;
    }
    if (conversation) {
        conversation->texts++;
        message->plain = conversation->plain;
    }
    private_flush(private);
    return true;
}

size_t private_unsent(const struct private_messages *private)
{
    size_t count = 0;
    for (const struct unacked_message *message = private->unacked.first; message;
         message = message->next)
        count += !message->shown && message->state != UNACKED_KEPT;
    return count;
}

size_t private_pending(const struct private_messages *private)
{
    size_t count = 0;
    for (const struct unacked_message *message = private->unacked.first; message;
         message = message->next)
        count += !message->late;
    return count;
}

bool private_has_room(const struct private_messages *private)
{
    const struct unacked_message *first = private->unacked.first;
    return private_pending(private) <
           (size_t)(first && first->to ? UNACKED_KEPT_MAX : PRIVATE_AHEAD);
}
