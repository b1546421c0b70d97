/* SPDX-License-Identifier: MIT
 *
 * conversation_seal.c - sealed messages of private conversations: outgoing texts and receipts, and
 * incoming messages in the order of steps of docs/PROTOCOL.md. One thread.
 */
#include "client/keys/conversation.h"

#include <stdlib.h>
#include <string.h>

#include "lib/name.h"
#include "net/random.h"

/* ---- Out ---- */

/* Seals and writes a message for `to`. NULL when that failed. */
static char *write_sealed(struct conversations *conversations, const struct seal_peer *to,
                          uint64_t seq, const struct seal_content *content, const char *ref,
                          size_t *len)
{
    struct seal_message message = {0};
    char *json = NULL;
    if (seal_seal(&message, &conversations->session, to, seq, content))
        json = seal_write(&message, to->name, ref, len);
    seal_message_fini(&message);
    return json;
}

enum conversation_outcome conversation_seal(struct conversations *conversations,
                                            struct conversation *conversation,
                                            const struct conversation_text *text, const char *ref,
                                            struct e2e_now now, struct conversation_sealed *sealed)
{
    struct seal_content content = {
        .kind = SEAL_TEXT, .sent_at = text->written, .len = strlen(text->text)};
    struct continuity_peer *peer =
        continuity_find(&conversations->continuity, conversation->identity);
    if (!peer || !peer->name[0] || !e2e_keys_fresh(&peer->card, now.wall))
        return CONVERSATION_OLD_KEYS;
    memcpy(content.id, text->id, SEAL_ID_BYTES);
    if (!continuity_prepare(peer, &conversations->session, &content, &sealed->mark))
        return CONVERSATION_FAILED;
    content.text = strdup(text->text);
    struct seal_peer to = {.name = peer->name, .card = &peer->card};
    sealed->json = NULL;
    if (content.text)
        sealed->json =
            write_sealed(conversations, &to, sealed->mark.seq, &content, ref, &sealed->len);
    seal_content_fini(&content);
    return sealed->json ? CONVERSATION_SEALED : CONVERSATION_FAILED;
}

void conversation_sent(struct conversations *conversations, struct conversation *conversation,
                       const struct conversation_text *text,
                       const struct conversation_sealed *sealed)
{
    struct continuity_peer *peer =
        continuity_find(&conversations->continuity, conversation->identity);
    if (peer)
        continuity_sent(peer, &sealed->mark, text->id);
}

char *conversation_receipt(struct conversations *conversations,
                           const struct continuity_event *event, struct e2e_now now)
{
    size_t len;
    const struct continuity_peer *peer = event->peer;
    struct seal_peer to = {.name = peer->name, .card = &peer->shown};
    struct seal_content content = {.kind = SEAL_RECEIPT,
                                   .sent_at = now.wall,
                                   .opened = event->opened,
                                   .opened_mask = event->opened_mask};
    if (!conversations->open || !peer->name[0] || !random_bytes(content.id, sizeof(content.id)))
        return NULL;
    return write_sealed(conversations, &to, 0, &content, NULL, &len);
}

/* ---- In ---- */

struct incoming {
    const char *name, *fold;
    struct seal_message message;
    struct e2e_now now;
    char *error;
};

/* The trust in the sender's key. A person's first key is stored, except from a receipt, which may
 * come from somebody who was just forgotten. */
static enum keystore_trust meet_sender(struct conversations *conversations,
                                       const struct incoming *in, bool receipt)
{
    const unsigned char *identity = in->message.from.identity;
    struct keystore_id id = {conversations->server, conversations->room, in->fold};
    return receipt ? keystore_find(conversations->keystore, &id, identity, in->error)
                   : keystore_meet(conversations->keystore, &id, identity, in->error);
}

/* Step 5. SEAL_GOOD: the identity is accepted for this person. A receipt answers a text of ours, so
 * it begins no conversation. */
static enum seal_verdict judge_sender(struct conversations *conversations,
                                      const struct incoming *in, struct conversation_found *found)
{
    found->conversation = conversation_folded(conversations, in->fold);
    found->crowded = !found->conversation && !conversation_can_begin(conversations);
    if (found->crowded || (found->receipt && !found->conversation))
        return SEAL_CANNOT_OPEN;
    enum keystore_trust trust = meet_sender(conversations, in, found->receipt);
    found->verified = trust == KEYSTORE_VERIFIED;
    if (found->receipt)
        return trust == KEYSTORE_SEEN || found->verified ? SEAL_GOOD : SEAL_CANNOT_OPEN;
    if (trust != KEYSTORE_STRANGE)
        return SEAL_GOOD;
    found->conversation = conversation_with(conversations, in->name, false);
    if (!found->conversation)
        return SEAL_CANNOT_OPEN;
    found->news = conversation_judge(conversations, found->conversation, in->message.from.identity,
                                     in->error);
    return SEAL_KEY_CHANGED;
}

/* All streams to our current session key are taken, so it is replaced at once. */
static void renew_full(struct conversations *conversations, const struct incoming *in,
                       struct conversation_found *found)
{
    if (memcmp(in->message.to, conversations->session.keys.session, E2E_KEY_BYTES) != 0)
        return;
    found->renewed = e2e_session_renew(&conversations->session, in->now);
    continuity_retire(&conversations->continuity, &conversations->session);
}

/* Steps 6 and 7. */
static enum seal_verdict open_content(struct conversations *conversations,
                                      const struct incoming *in, struct conversation_found *found)
{
    struct continuity_peer *peer =
        continuity_peer(&conversations->continuity, in->message.from.identity);
    found->crowded = !peer;
    if (!peer)
        return SEAL_CANNOT_OPEN;
    enum seal_verdict verdict = continuity_judge(&conversations->continuity, peer, &in->message);
    if (verdict == SEAL_STALE_KEY)
        renew_full(conversations, in, found);
    if (verdict == SEAL_GOOD)
        verdict = seal_open(&in->message, &conversations->session, in->name, &found->content);
    if (verdict != SEAL_GOOD)
        return verdict;
    struct continuity_arrival arrival = {
        .from = in->name,
        .message = &in->message,
        .content = &found->content,
        .had = e2e_session_had(&conversations->session, found->content.previous.stream.to),
        .now = in->now.steady};
    struct continuity_news news = {0};
    continuity_opened(&conversations->continuity, peer, &arrival, &news);
    found->missing = news.missing;
    found->output = found->content.kind == SEAL_TEXT && !news.shown_before;
    found->unknown = found->content.kind != SEAL_TEXT && found->content.kind != SEAL_RECEIPT;
    return SEAL_GOOD;
}

/* The sender's card is good and accepted: uses it from now on, unless an answer to GetKeys is
 * pending. */
static void adopt_sender(struct conversations *conversations, const struct incoming *in,
                         struct conversation_found *found)
{
    char again[KEYSTORE_ERROR_MAX]; /* keeps meet_sender's complaint */
    found->conversation = conversation_with(conversations, in->name, false);
    if (found->conversation && !found->conversation->asked && !found->receipt)
        conversation_judge(conversations, found->conversation, in->message.from.identity,
                           in->error[0] ? again : in->error);
}

static enum seal_verdict open_steps(struct conversations *conversations, struct incoming *in,
                                    struct conversation_found *found)
{
    enum seal_verdict verdict = conversations->open ? SEAL_GOOD : SEAL_STALE_KEY;
    if (verdict == SEAL_GOOD)
        verdict = seal_check(&in->message, &conversations->session, in->name, in->now);
    if (verdict == SEAL_GOOD)
        verdict = judge_sender(conversations, in, found);
    if (verdict == SEAL_GOOD)
        verdict = open_content(conversations, in, found);
    if (verdict == SEAL_GOOD)
        adopt_sender(conversations, in, found);
    return verdict;
}

void conversation_open(struct conversations *conversations, const char *name,
                       const struct json_object *in, struct e2e_now now,
                       struct conversation_found *found, char *error)
{
    struct incoming incoming = {.name = name, .now = now, .error = error};
    char *fold = name_check(name, strlen(name)) ? NULL : name_fold(name, strlen(name));
    incoming.fold = fold;
    memset(found, 0, sizeof(*found));
    error[0] = '\0';
    if (fold && seal_read(in, &incoming.message)) {
        found->receipt = incoming.message.seq == 0;
        found->verdict = open_steps(conversations, &incoming, found);
    }
    seal_message_fini(&incoming.message);
    free(fold);
}

void conversation_found_fini(struct conversation_found *found)
{
    seal_content_fini(&found->content);
}
