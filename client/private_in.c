/* SPDX-License-Identifier: MIT
 *
 * private_in.c - receives private messages: sealed ones, plaintext, and notices about ours. One
 * thread.
 */
#include "client/private_messages.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

enum {
    ABOUT_MAX = 256,     /* bytes of a Ref that a notice repeats; a longer one is omitted */
    AHEAD_MS = 2 * 60000 /* a sender's clock may be ahead of ours by this much */
};

/* ---- Opened messages ---- */

static void tell_missing(struct private_messages *private, const char *from, uint64_t count)
{
    struct json_object in;
    struct json_error ignored;
    struct client_json_heard heard = {.missing = count};
    char *json = client_json_gap(from);
    output_note(private->output, OUTPUT_WARN, "%llu message%s of %s did not arrive",
                (unsigned long long)count, count == 1 ? "" : "s", output_quote(from).text);
    if (json && json_parse_message(&in, json, strlen(json), &ignored) == 0)
        output_json(private->output, &in, &heard);
    free(json);
}

/* The time of writing by its writer, which the server cannot change; or the server's time if that
 * clock is certainly wrong. */
static uint64_t time_of(const struct private_messages *private, const struct json_object *in,
                        const struct seal_content *content)
{
    bool good = content->sent_at > 0 && content->sent_at <= private->wall() + AHEAD_MS;
    return good ? content->sent_at : json_get_uint(in, "Time");
}

static void show_opened(struct private_messages *private, const struct json_object *in,
                        const char *from, const struct conversation_found *found)
{
    struct output_message message = {.from = from,
                                     .text = found->content.text,
                                     .len = found->content.len,
                                     .time = time_of(private, in, &found->content),
                                     .mark = found->verified ? "[verified]" : "[encrypted]"};
    struct client_json_heard heard = {.private = true,
                                      .encrypted = true,
                                      .verified = found->verified,
                                      .text = found->content.text};
    output_message(private->output, &message);
    output_json(private->output, in, &heard);
    private->heard = true;
}

/* Reports a kind of message that only a later version knows; scripts get a line for it, too. */
static void tell_unknown(struct private_messages *private, const struct json_object *in,
                         const char *from, const struct conversation_found *found)
{
    struct client_json_heard heard = {
        .private = true, .encrypted = true, .verified = found->verified, .code = "unknown_kind"};
    output_note(private->output, OUTPUT_WARN,
                "%s sent something that this version of ragchat cannot show",
                output_quote(from).text);
    output_json(private->output, in, &heard);
}

/* Handles an opened text, receipt or unknown kind. */
static void on_opened(struct private_messages *private, const struct json_object *in,
                      const char *from, const struct conversation_found *found)
{
    if (found->missing)
        tell_missing(private, from, found->missing);
    if (found->output)
        show_opened(private, in, from, found);
    if (found->unknown)
        tell_unknown(private, in, from, found);
    private_events(private, false);
    private_flush(private);
}

/* ---- Messages that did not open ---- */

static const char *explain(const struct conversation_found *found)
{
    switch (found->verdict) {
    case SEAL_BAD_SIGNATURE:
        return "its signature is wrong: somebody, perhaps the server, is cheating";
    case SEAL_EXPIRED:
        return "its keys are not valid at this time: the clock of this machine or of the other one "
               "is wrong";
    case SEAL_REPLAYED:
        return "it came a second time";
    case SEAL_CANNOT_OPEN:
        return found->crowded ? "there is no room for one more conversation" : "it does not open";
    case SEAL_MALFORMED:
    case SEAL_STALE_KEY:   /* its sender sends it again without our doing */
    case SEAL_KEY_CHANGED: /* private_tell_changed reports it */
    case SEAL_GOOD:
        break;
    }
    return "it is malformed";
}

/* Notifies the sender once, never in answer to a notice or a receipt. */
static void refuse_message(struct private_messages *private, const struct json_object *in,
                           const char *from, const struct conversation_found *found)
{
    const char *code = seal_code(found->verdict);
    struct client_json_heard heard = {.private = true, .encrypted = true, .code = code};
    const struct json_field *ref = json_find(in, "Ref");
    if (ref && ref->value_len > ABOUT_MAX)
        ref = NULL;
    if (found->receipt)
        return;
    if (found->verdict != SEAL_STALE_KEY && found->verdict != SEAL_KEY_CHANGED)
        output_note(private->output, OUTPUT_WARN, "a message of %s cannot be read: %s",
                    output_quote(from).text, explain(found));
    else if (found->verdict == SEAL_STALE_KEY && private->looking)
        output_note(private->output, OUTPUT_WARN,
                    "a message of %s came for a key that is gone; %s was asked to send it again",
                    output_quote(from).text, output_quote(from).text);
    output_json(private->output, in, &heard);
    private_send_paced(private, client_json_notice(from, code, ref));
}

/* Keeps a message until its sender's key is accepted. Refuses it if there is no room. */
static void set_aside(struct private_messages *private, const struct json_object *in,
                      struct conversation_found *found)
{
    struct client_json_heard unmarked = {.private = false};
    struct conversation *conversation = found->conversation;
    char *json = found->receipt ? NULL : client_json_heard(in, &unmarked);
    if (found->news)
        private_tell_changed(private, conversation);
    if (json && conversation_wait(&private->conversations, conversation, json, strlen(json)))
        output_note(private->output, OUTPUT_INFO, "a message of %s waits for that",
                    output_quote(conversation->name).text);
    else if (!found->receipt) {
        found->crowded = true;
        found->verdict = SEAL_CANNOT_OPEN;
    }
    free(json);
}

static void on_sealed(struct private_messages *private, const struct json_object *in,
                      const char *from)
{
    char error[KEYSTORE_ERROR_MAX];
    struct conversation_found found;
    conversation_open(&private->conversations, from, in, private_now(private), &found, error);
    private_complain(private, error);
    if (found.renewed)
        private_publish(private);
    if (found.verdict == SEAL_KEY_CHANGED)
        set_aside(private, in, &found);
    if (found.verdict == SEAL_GOOD)
        on_opened(private, in, from, &found);
    else
        refuse_message(private, in, from, &found);
    conversation_found_fini(&found);
}

/* ---- Plaintext ---- */

/* Marks plaintext from somebody whose key is known: that person, or the server, has removed the
 * encryption. */
static void on_plain(struct private_messages *private, const struct json_object *in,
                     const char *from)
{
    bool known = conversation_known(&private->conversations, from) != KEYSTORE_UNKNOWN;
    struct output_message message = {.from = from,
                                     .mark = known ? "[NOT ENCRYPTED, although you know a key]"
                                                   : "[not encrypted]",
                                     .warn = true};
    struct client_json_heard heard = {.private = true};
    if (unacked_heard(&private->unacked, from, in))
        return;
    output_text(private->output, in, &message);
    output_json(private->output, in, &heard);
    private->heard = true;
}

/* ---- Notices ---- */

/* Whether the text will be sealed again for other keys, which are requested. */
static bool follow_stale(struct private_messages *private, const struct unacked_message *message,
                         struct conversation *conversation)
{
    struct continuity_peer *peer =
        message->sealed && !message->over
            ? continuity_find(&private->conversations.continuity, message->identity)
            : NULL;
    if (!peer || !continuity_stale(peer, message->id))
        return false;
    conversation->state = CONVERSATION_ASKING;
    conversation->asked = false;
    private_events(private, false);
    private_flush(private);
    return true;
}

/* The other side claims that it could not read a message of ours. The claim is not proven: it is
 * reported, and only a stale key, which can be an accident, has a consequence. */
static void on_notice(struct private_messages *private, const struct json_object *in,
                      const char *from)
{
    char *about = json_get_string(in, "About"), *code = json_get_string(in, "Code");
    struct unacked_message *message = about ? unacked_find(&private->unacked, about) : NULL;
    struct conversation *conversation =
        message && message->fold ? conversation_find(&private->conversations, from) : NULL;
    bool ours = conversation && strcmp(conversation->fold, message->fold) == 0;
    bool stale = ours && code && strcmp(code, seal_code(SEAL_STALE_KEY)) == 0;
    if (ours && !(stale && follow_stale(private, message, conversation)))
        output_note(private->output, OUTPUT_WARN, "%s could not read \"%.40s\" (%.40s)",
                    output_quote(from).text, message->text, code ? code : "no reason");
    free(about);
    free(code);
}

void private_received(struct private_messages *private, const struct json_object *in)
{
    char from[NAME_MAX_BYTES + 1];
    if (!conversation_name(in, "SrcUser", from))
        return;
    if (json_find(in, "Notice"))
        on_notice(private, in, from);
    else if (seal_is_sealed(in))
        on_sealed(private, in, from);
    else
        on_plain(private, in, from);
}
