/* SPDX-License-Identifier: MIT
 *
 * private_keys.c - our keys at the start of a connection, the keys of others, and safety numbers.
 * One thread.
 */
#include "client/private_messages.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

static const char keys_ref[] = "keys";       /* the Ref of every GetKeys */
static const char publish_ref[] = "publish"; /* and of every PublishKeys */

void private_complain(struct private_messages *private, const char *error)
{
    if (error[0])
        output_note(private->output, OUTPUT_WARN, "%s", error);
}

/* ---- Our keys ---- */

/* After a change of name: nobody can confirm the texts of the former name any more. */
static void give_up_sealed(struct private_messages *private)
{
    struct unacked_message *next;
    for (struct unacked_message *message = private->unacked.first; message; message = next) {
        next = message->next;
        if (message->sealed)
            private_give_up(private, message);
    }
}

char *private_begin(struct private_messages *private, const struct e2e_place *place,
                    const char *nonce)
{
    char *claim = NULL;
    unsigned char before[E2E_KEY_BYTES];
    memcpy(before, private->conversations.identity, E2E_KEY_BYTES);
    bool made = conversations_begin(&private->conversations, place, private_now(private));
    private->off = NULL;
    if (memcmp(before, private->conversations.identity, E2E_KEY_BYTES) != 0)
        give_up_sealed(private);
    if (made && nonce)
        claim = e2e_write_claim(&private->conversations.session, nonce);
    if (!made || (nonce && !claim)) {
        conversations_close(&private->conversations);
        private->off = "no keys could be made for this connection";
        output_note(private->output, OUTPUT_WARN, "%s: there are no private messages",
                    private->off);
    }
    return claim;
}

void private_wrong_origin(struct private_messages *private, const char *origin)
{
    conversations_close(&private->conversations);
    private->off = "private messages are off: the server does not know itself by the name that you "
                   "dialled";
    output_note(
        private->output, OUTPUT_WARN,
        "private messages are off: the server does not know itself as %s. Its owner can add "
        "that to allowed_origins.",
        origin);
}

void private_publish(struct private_messages *private)
{
    private_send(private,
                 client_json_publish_keys(&private->conversations.session.keys, publish_ref));
}

/* ---- Keys of others ---- */

void private_ask_keys(struct private_messages *private, struct conversation *conversation)
{
    conversation->wants_keys =
        !conversation->asked && !pace_take(&private->pace, private->steady());
    if (conversation->asked || conversation->wants_keys)
        return;
    conversation->asked = true;
    private_send(private, client_json_get_keys(conversation->name, keys_ref));
}

void private_tell_changed(struct private_messages *private, struct conversation *conversation)
{
    struct output_quoted name = output_quote(conversation->name);
    if (!conversation_announce(conversation, NULL)) {
        output_note(private->output, OUTPUT_WARN,
                    "%s has shown yet another key than the one that was offered. Somebody may be "
                    "cheating: /verify %s shows the number to compare.",
                    name.text, name.text);
        return;
    }
    output_note(private->output, OUTPUT_WARN,
                "%s has another key than before%s. It may be a new device, or somebody else. "
                "/verify %s shows the number to compare, /accept %s accepts the key.",
                name.text,
                conversation->known == KEYSTORE_VERIFIED ? ", and you had COMPARED that one" : "",
                name.text, name.text);
}

/* Texts that waited for these keys, and were sent before, are sent again. */
static void unpark(struct private_messages *private, const struct conversation *conversation)
{
    for (struct unacked_message *message = private->unacked.first; message;
         message = message->next) {
        if (message->parked && message->fold && strcmp(message->fold, conversation->fold) == 0)
            unacked_again(&private->unacked, message);
    }
}

static void show_number(struct private_messages *private, struct conversation *conversation)
{
    struct output_quoted name = output_quote(conversation->name);
    conversation->compare_until = 0;
    if (!conversation_safety(&private->conversations, conversation, private->compared,
                             private->number)) {
        output_note(private->output, OUTPUT_NOTE, "%s has no key that could be compared",
                    name.text);
        return;
    }
    output_note(private->output, OUTPUT_NOTE, "Your safety number with %s:\n%.35s\n%s", name.text,
                private->number, private->number + 36);
    output_note(
        private->output, OUTPUT_NOTE,
        "Compare it where you know that it is %s: on the phone, or face to face. If it is the "
        "same, type its last 5 digits; anything else changes nothing.",
        name.text);
    conversation_announce(conversation, private->compared);
    struct conversation *before = private->comparing;
    if (before)
        before->compared = false;
    private->comparing = conversation;
    conversation->compared = true;
    line_edit_reset(&private->output->screen.line, false); /* the typed text was no answer */
    screen_prompt(&private->output->screen, PRIVATE_COMPARE_PROMPT);
}

void private_keys(struct private_messages *private, const struct json_object *in)
{
    char error[KEYSTORE_ERROR_MAX];
    bool news;
    struct conversation *conversation =
        conversation_keys(&private->conversations, in, private_now(private), &news, error);
    if (!conversation)
        return;
    private_complain(private, error);
    if (news && !conversation->compare_until)
        private_tell_changed(private, conversation);
    if (conversation->compare_until)
        show_number(private, conversation);
    if (conversation->state == CONVERSATION_ENCRYPTED ||
        conversation->state == CONVERSATION_VERIFIED)
        unpark(private, conversation);
    private_flush(private);
}

/* Somebody's keys will not arrive. */
static void no_keys(struct private_messages *private, const char *name, const char *why)
{
    struct conversation *conversation = conversation_find(&private->conversations, name);
    if (!conversation)
        return;
    conversation->asked = conversation->wants_keys = false;
    if (conversation->compare_until)
        output_note(private->output, OUTPUT_NOTE, "%s has no key that could be compared: %s",
                    output_quote(name).text, why);
    conversation->compare_until = 0;
    private_fail_waiting(private, conversation, why);
}

/* Whoever comes next by that name may be somebody else. In a room without a list nothing else tells
 * that a person has left. */
static void end_plain(struct private_messages *private, const char *name)
{
    struct conversation *conversation = conversation_find(&private->conversations, name);
    if (conversation)
        conversation_left(conversation);
}

bool private_error(struct private_messages *private, const struct json_object *in, const char *why)
{
    char *ref = json_get_string(in, "Ref"), *to = json_get_string(in, "TgtUser");
    struct unacked_message *message = ref ? unacked_find(&private->unacked, ref) : NULL;
    bool ours = true;
    if (message && message->state == UNACKED_SENT)
        private_fail(private, message, why);
    else if (ref && to && strcmp(ref, keys_ref) == 0)
        no_keys(private, to, why);
    else if (ref && strcmp(ref, publish_ref) == 0)
        output_note(private->output, OUTPUT_WARN, "the server does not take a new key of yours: %s",
                    why);
    else
        ours = false;
    if (ours && to && json_error_code(in) == ERROR_UNKNOWN_USER)
        end_plain(private, to);
    free(ref);
    free(to);
    return ours;
}

/* ---- Safety numbers ---- */

void private_compare(struct private_messages *private, struct conversation *conversation)
{
    if (conversation->state == CONVERSATION_ASKING && private->inside && private->ws->v2 &&
        !private->off) {
        conversation->compare_until = private->steady() + PRIVATE_COMPARE_MS;
        private_ask_keys(private, conversation);
    } else {
        show_number(private, conversation);
    }
}

void private_end_wishes(struct private_messages *private, int64_t now)
{
    for (struct conversation *conversation = private->conversations.first; conversation;
         conversation = conversation->next) {
        if (!conversation->compare_until || now < conversation->compare_until)
            continue;
        conversation->compare_until = 0;
        output_note(private->output, OUTPUT_NOTE,
                    "no keys of %s came within %d seconds; /verify %s asks again",
                    output_quote(conversation->name).text, PRIVATE_COMPARE_MS / 1000,
                    output_quote(conversation->name).text);
    }
}

int64_t private_wish_until(const struct private_messages *private)
{
    int64_t until = INT64_MAX;
    for (const struct conversation *conversation = private->conversations.first; conversation;
         conversation = conversation->next)
        if (conversation->compare_until && conversation->compare_until < until)
            until = conversation->compare_until;
    return until;
}

/* Whether a line is the last group of the number; blanks around it are ignored. */
static bool is_last_group(const char *line, const char *number)
{
    const char *last = strrchr(number, ' ') + 1;
    line += strspn(line, " \t");
    size_t len = strlen(last);
    return strncmp(line, last, len) == 0 && strspn(line + len, " \t") == strlen(line + len);
}

/* Opens the messages that waited for a key that is accepted now; those that still wait are queued
 * again. */
static void look_again(struct private_messages *private, struct conversation *conversation)
{
    struct json_object in;
    struct json_error ignored;
    struct conversation_waiting *waiting;
    size_t count = conversation->waiting_count;
    private->looking = true;
    while (count-- > 0 &&
           (waiting = conversation_take(&private->conversations, conversation)) != NULL) {
        if (json_parse_message(&in, waiting->json, waiting->len, &ignored) == 0)
            private_received(private, &in);
        free(waiting);
    }
    private->looking = false;
}

bool private_answer(struct private_messages *private, const char *line)
{
    char error[KEYSTORE_ERROR_MAX];
    struct conversation *conversation = private->comparing;
    for (struct conversation *each = private->conversations.first; each; each = each->next)
        each->compare_until = 0;
    if (!conversation)
        return false;
    private->comparing = NULL;
    conversation->compared = false;
    if (!is_last_group(line, private->number)) {
        output_note(private->output, OUTPUT_NOTE,
                    "%s is not marked: that is not the end of the number; the line is not sent",
                    output_quote(conversation->name).text);
    } else if (conversation_verify(&private->conversations, conversation, private->compared,
                                   error) < 0) {
        output_note(private->output, OUTPUT_WARN, "%s", error);
    } else {
        output_note(private->output, OUTPUT_NOTE, "%s is verified",
                    output_quote(conversation->name).text);
        look_again(private, conversation);
    }
    OPENSSL_cleanse(private->number, sizeof(private->number));
    return true;
}

void private_accept(struct private_messages *private, struct conversation *conversation)
{
    char error[KEYSTORE_ERROR_MAX];
    if (!conversation->offers) {
        output_note(private->output, OUTPUT_NOTE, "%s offers no new key",
                    output_quote(conversation->name).text);
    } else if (!conversation_is_announced(conversation)) {
        output_note(private->output, OUTPUT_WARN,
                    "not accepted: %s offers another key by now than the one that was shown",
                    output_quote(conversation->name).text);
        conversation_announce(conversation, conversation->offered);
        private_tell_changed(private, conversation);
    } else if (conversation_accept(&private->conversations, conversation, error) < 0) {
        output_note(private->output, OUTPUT_WARN, "%s", error);
    } else {
        output_note(private->output, OUTPUT_NOTE, "the new key of %s is accepted",
                    output_quote(conversation->name).text);
        look_again(private, conversation);
    }
}
