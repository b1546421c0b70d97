/* SPDX-License-Identifier: MIT
 *
 * conversation.c - private conversations: their partners, and the state of their keys. One thread.
 *
 * keystore.c stores keys; continuity.c keeps cards and sequence numbers. This file combines them.
 * It never falls back to plaintext by itself.
 */
#include "client/keys/conversation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "lib/name.h"

void conversations_init(struct conversations *conversations, struct keystore *keystore,
                        const char *server)
{
    memset(conversations, 0, sizeof(*conversations));
    conversations->keystore = keystore;
    conversations->server = server;
    continuity_init(&conversations->continuity);
}

static void free_talk(struct conversations *conversations, struct conversation *conversation)
{
    struct conversation_waiting *waiting;
    while ((waiting = conversation_take(conversations, conversation)) != NULL)
        free(waiting);
    free(conversation->fold);
    free(conversation);
}

void conversations_fini(struct conversations *conversations)
{
    while (conversations->first) {
        struct conversation *conversation = conversations->first;
        conversations->first = conversation->next;
        free_talk(conversations, conversation);
    }
    e2e_session_fini(&conversations->session);
    continuity_fini(&conversations->continuity);
    conversations->open = false;
}

/* Sequence numbers and confirmations belong to one identity of ours. */
static void forget_numbers(struct conversations *conversations, EVP_PKEY *identity)
{
    unsigned char public[E2E_KEY_BYTES];
    if (!identity || !e2e_key_public(identity, public))
        memset(public, 0, sizeof(public));
    else if (memcmp(public, conversations->identity, sizeof(public)) == 0)
        return;
    continuity_fini(&conversations->continuity);
    continuity_init(&conversations->continuity);
    memcpy(conversations->identity, public, E2E_KEY_BYTES);
}

bool conversations_begin(struct conversations *conversations, const struct e2e_place *place,
                         struct e2e_now now)
{
    char *fold = name_fold(place->name, strlen(place->name));
    EVP_PKEY *identity =
        fold ? keystore_identity(conversations->keystore, conversations->server, place->room, fold)
             : NULL;
    free(fold);
    snprintf(conversations->room, sizeof(conversations->room), "%s", place->room);
    conversations_expire(conversations);
    forget_numbers(conversations, identity);
    conversations->open =
        identity && e2e_session_open(&conversations->session, identity, place, now);
    EVP_PKEY_free(identity);
    continuity_retire(&conversations->continuity, &conversations->session);
    return conversations->open;
}

void conversations_close(struct conversations *conversations)
{
    e2e_session_fini(&conversations->session);
    continuity_retire(&conversations->continuity, &conversations->session);
    conversations->open = false;
}

void conversation_expire(struct conversation *conversation)
{
    conversation->asked = false;
    conversation->state = CONVERSATION_ASKING;
}

void conversations_expire(struct conversations *conversations)
{
    for (struct conversation *conversation = conversations->first; conversation;
         conversation = conversation->next)
        conversation_expire(conversation);
}

void conversations_tidy(struct conversations *conversations, struct e2e_now now)
{
    if (conversations->session.former_count == 0)
        return;
    e2e_session_expire(&conversations->session, now);
    continuity_retire(&conversations->continuity, &conversations->session);
}

bool conversation_name(const struct json_object *in, const char *field, char *name)
{
    const struct json_field *value = json_find(in, field);
    return value && json_string(value, name, NAME_MAX_BYTES + 1) > 0;
}

/* ---- Conversations ---- */

static char *fold_of(const char *name)
{
    return name_check(name, strlen(name)) ? NULL : name_fold(name, strlen(name));
}

static struct keystore_id id_of_fold(const struct conversations *conversations, const char *fold)
{
    return (struct keystore_id){conversations->server, conversations->room, fold};
}

static struct keystore_id id_of(const struct conversations *conversations,
                                const struct conversation *conversation)
{
    return id_of_fold(conversations, conversation->fold);
}

struct conversation *conversation_folded(const struct conversations *conversations,
                                         const char *fold)
{
    struct conversation *conversation = conversations->first;
    while (conversation && strcmp(conversation->fold, fold) != 0)
        conversation = conversation->next;
    return conversation;
}

struct conversation *conversation_find(const struct conversations *conversations, const char *name)
{
    char *fold = fold_of(name);
    struct conversation *conversation = fold ? conversation_folded(conversations, fold) : NULL;
    free(fold);
    return conversation;
}

static bool can_forget(const struct conversation *conversation, bool wanted)
{
    return conversation->texts == 0 && (wanted || !conversation->waiting) && !conversation->plain &&
           !conversation->compare_until && !conversation->compared;
}

/* The least recently used conversation that can be forgotten; those without waiting messages come
 * first. NULL if there is none. */
static struct conversation *oldest_idle(const struct conversations *conversations, bool wanted)
{
    struct conversation *oldest = NULL;
    for (struct conversation *conversation = conversations->first; conversation;
         conversation = conversation->next) {
        if (!can_forget(conversation, wanted))
            continue;
        bool emptier = oldest && !conversation->waiting && oldest->waiting;
        bool as_empty = oldest && !conversation->waiting == !oldest->waiting;
        if (!oldest || emptier || (as_empty && conversation->used < oldest->used))
            oldest = conversation;
    }
    return oldest;
}

bool conversation_can_begin(const struct conversations *conversations)
{
    return conversations->count < CONVERSATION_MAX || oldest_idle(conversations, false);
}

static void forget_talk(struct conversations *conversations, struct conversation *conversation)
{
    struct conversation **at = &conversations->first;
    while (*at != conversation)
        at = &(*at)->next;
    *at = conversation->next;
    conversations->count--;
    free_talk(conversations, conversation);
}

/* Takes `fold`. */
static struct conversation *new_talk(struct conversations *conversations, const char *name,
                                     char *fold)
{
    struct conversation *conversation = calloc(1, sizeof(*conversation));
    if (!conversation) {
        free(fold);
        return NULL;
    }
    conversation->fold = fold;
    conversation->waiting_end = &conversation->waiting;
    snprintf(conversation->name, sizeof(conversation->name), "%s", name);
    struct keystore_id id = id_of(conversations, conversation);
    conversation->known = keystore_best(conversations->keystore, &id);
    conversation->next = conversations->first;
    conversations->first = conversation;
    conversations->count++;
    return conversation;
}

struct conversation *conversation_with(struct conversations *conversations, const char *name,
                                       bool wanted)
{
    char *fold = fold_of(name);
    struct conversation *conversation = fold ? conversation_folded(conversations, fold) : NULL;
    if (fold && !conversation) {
        struct conversation *idle =
            conversations->count < CONVERSATION_MAX ? NULL : oldest_idle(conversations, wanted);
        if (idle)
            forget_talk(conversations, idle);
        if (conversations->count < CONVERSATION_MAX) {
            conversation = new_talk(conversations, name, fold);
            fold = NULL;
        }
    }
    free(fold);
    if (conversation)
        conversation->used = ++conversations->serial;
    return conversation;
}

void conversation_left(struct conversation *conversation)
{
    conversation->plain = false;
}

enum keystore_trust conversation_known(struct conversations *conversations, const char *name)
{
    char *fold = fold_of(name);
    struct keystore_id id = id_of_fold(conversations, fold);
    enum keystore_trust known =
        fold ? keystore_best(conversations->keystore, &id) : KEYSTORE_UNKNOWN;
    free(fold);
    return known;
}

/* ---- Keys ---- */

/* Offers a key. Returns whether it was not offered before. */
static bool offer_key(struct conversation *conversation, const unsigned char *key)
{
    bool news = !conversation->offers || memcmp(conversation->offered, key, E2E_KEY_BYTES) != 0;
    memcpy(conversation->offered, key, E2E_KEY_BYTES);
    conversation->offers = true;
    conversation->state = CONVERSATION_CHANGED;
    return news;
}

bool conversation_judge(struct conversations *conversations, struct conversation *conversation,
                        const unsigned char *key, char *error)
{
    struct keystore_id id = id_of(conversations, conversation);
    enum keystore_trust trust = keystore_meet(conversations->keystore, &id, key, error);
    conversation->known = keystore_best(conversations->keystore, &id);
    if (trust == KEYSTORE_STRANGE)
        return offer_key(conversation, key);
    conversation->plain = false;
    conversation->state =
        trust == KEYSTORE_VERIFIED ? CONVERSATION_VERIFIED : CONVERSATION_ENCRYPTED;
    memcpy(conversation->identity, key, E2E_KEY_BYTES);
    return false;
}

/* Checks received keys before their owner is looked up. CONVERSATION_ASKING: they are fine. */
static enum conversation_state check_card(const struct conversations *conversations,
                                          const struct json_object *in, const char *name,
                                          struct e2e_now now, struct e2e_keys *card)
{
    switch (e2e_read_keys(in, card)) {
    case E2E_FOUND_NONE:
        return CONVERSATION_NONE;
    case E2E_FOUND_SOME:
    case E2E_FOUND_BAD:
        return CONVERSATION_FORGED;
    case E2E_FOUND_ALL:
        break;
    }
    if (!e2e_keys_signed(card, conversations->room, name))
        return CONVERSATION_FORGED;
    if (!e2e_keys_fresh(card, now.wall))
        return CONVERSATION_EXPIRED;
    return e2e_keys_understand(card, E2E_ENC) ? CONVERSATION_ASKING : CONVERSATION_FOREIGN;
}

struct conversation *conversation_keys(struct conversations *conversations,
                                       const struct json_object *in, struct e2e_now now, bool *news,
                                       char *error)
{
    char name[NAME_MAX_BYTES + 1];
    struct e2e_keys card;
    error[0] = '\0';
    *news = false;
    struct conversation *conversation =
        conversation_name(in, "User", name) ? conversation_find(conversations, name) : NULL;
    if (!conversation || !conversation->asked)
        return NULL;
    conversation->asked = conversation->wants_keys = false;
    snprintf(conversation->name, sizeof(conversation->name), "%s", name);
    conversation->state = check_card(conversations, in, name, now, &card);
    if (conversation->state != CONVERSATION_ASKING)
        return conversation;
    *news = conversation_judge(conversations, conversation, card.identity, error);
    if (conversation->state == CONVERSATION_CHANGED)
        return conversation;
    struct continuity_peer *peer = continuity_peer(&conversations->continuity, card.identity);
    if (peer)
        continuity_learn(peer, name, &card, true, now.steady);
    else
        conversation->state = CONVERSATION_CROWDED;
    return conversation;
}

bool conversation_is_announced(const struct conversation *conversation)
{
    return conversation->offers && conversation->announced &&
           memcmp(conversation->announced_key, conversation->offered, E2E_KEY_BYTES) == 0;
}

bool conversation_announce(struct conversation *conversation, const unsigned char *key)
{
    bool is_offered =
        conversation->offers && (!key || memcmp(key, conversation->offered, E2E_KEY_BYTES) == 0);
    if (is_offered && (key || !conversation->announced)) {
        memcpy(conversation->announced_key, conversation->offered, E2E_KEY_BYTES);
        conversation->announced = true;
    }
    return conversation_is_announced(conversation);
}

static int remember_key(struct conversations *conversations, struct conversation *conversation,
                        const unsigned char *key, enum keystore_trust trust, char *error)
{
    struct keystore_id id = id_of(conversations, conversation);
    error[0] = '\0';
    if (keystore_accept(conversations->keystore, &id, key, trust, error) < 0)
        return -1;
    conversation->known = keystore_best(conversations->keystore, &id);
    if (conversation->offers && memcmp(conversation->offered, key, E2E_KEY_BYTES) == 0) {
        conversation->offers = conversation->announced = false;
        conversation->state =
            CONVERSATION_ASKING; /* GetKeys will tell whether the session's keys belong to it */
        conversation->asked = false;
    }
    return 0;
}

int conversation_accept(struct conversations *conversations, struct conversation *conversation,
                        char *error)
{
    return remember_key(conversations, conversation, conversation->offered, KEYSTORE_SEEN, error);
}

int conversation_forget(struct conversations *conversations, struct conversation *conversation,
                        char *error)
{
    struct conversation_waiting *waiting;
    struct keystore_id id = id_of(conversations, conversation);
    int count = keystore_forget(conversations->keystore, &id, error);
    if (count < 0)
        return -1;
    while ((waiting = conversation_take(conversations, conversation)) != NULL)
        free(waiting);
    conversation->known = KEYSTORE_UNKNOWN;
    conversation->state = CONVERSATION_ASKING;
    conversation->asked = conversation->offers = conversation->announced = false;
    return count;
}

/* The key of conversation_safety. */
static bool present_key(struct conversations *conversations, struct conversation *conversation,
                        unsigned char *key)
{
    char ignored[KEYSTORE_ERROR_MAX];
    struct keystore_key keys[KEYSTORE_KEYS_MAX];
    struct keystore_id id = id_of(conversations, conversation);
    if (conversation->state == CONVERSATION_ENCRYPTED ||
        conversation->state == CONVERSATION_VERIFIED) {
        memcpy(key, conversation->identity, E2E_KEY_BYTES);
        return true;
    }
    if (conversation->offers) {
        memcpy(key, conversation->offered, E2E_KEY_BYTES);
        return true;
    }
    int count = keystore_keys(conversations->keystore, &id, keys, ignored);
    if (count > 0)
        memcpy(key, keys[count - 1].key, E2E_KEY_BYTES);
    return count > 0;
}

bool conversation_safety(struct conversations *conversations, struct conversation *conversation,
                         unsigned char key[E2E_KEY_BYTES], char *out)
{
    return conversations->open && present_key(conversations, conversation, key) &&
           e2e_safety(conversations->session.keys.identity, key, out);
}

/* Whether a key whose number was shown may be marked: it is offered or accepted, and no other key
 * has arrived since. */
static bool may_verify(struct conversations *conversations, const struct conversation *conversation,
                       const unsigned char *key)
{
    char ignored[KEYSTORE_ERROR_MAX];
    struct keystore_id id = id_of(conversations, conversation);
    if (conversation->offers && memcmp(conversation->offered, key, E2E_KEY_BYTES) == 0)
        return true;
    enum keystore_trust trust = keystore_find(conversations->keystore, &id, key, ignored);
    return conversation->state != CONVERSATION_CHANGED &&
           (trust == KEYSTORE_SEEN || trust == KEYSTORE_VERIFIED);
}

int conversation_verify(struct conversations *conversations, struct conversation *conversation,
                        const unsigned char key[E2E_KEY_BYTES], char *error)
{
    if (!may_verify(conversations, conversation, key)) {
        snprintf(error, KEYSTORE_ERROR_MAX,
                 "not marked: while you compared, another key of %s came; compare again",
                 conversation->name);
        return -1;
    }
    if (remember_key(conversations, conversation, key, KEYSTORE_VERIFIED, error) < 0)
        return -1;
    if (conversation->state == CONVERSATION_ENCRYPTED &&
        memcmp(conversation->identity, key, E2E_KEY_BYTES) == 0)
        conversation->state = CONVERSATION_VERIFIED;
    return 0;
}

/* ---- Messages that wait for a key ---- */

bool conversation_wait(struct conversations *conversations, struct conversation *conversation,
                       const char *json, size_t len)
{
    struct conversation_waiting *waiting = NULL;
    if (len <= CONVERSATION_WAITING_BYTES - conversation->waiting_bytes &&
        len <= CONVERSATION_WAITING_ALL_BYTES - conversations->waiting_bytes)
        waiting = malloc(sizeof(*waiting) + len);
    if (!waiting)
        return false;
    waiting->next = NULL;
    waiting->len = len;
    memcpy(waiting->json, json, len);
    *conversation->waiting_end = waiting;
    conversation->waiting_end = &waiting->next;
    conversation->waiting_count++;
    conversation->waiting_bytes += len;
    conversations->waiting_bytes += len;
    return true;
}

struct conversation_waiting *conversation_take(struct conversations *conversations,
                                               struct conversation *conversation)
{
    struct conversation_waiting *waiting = conversation->waiting;
    if (!waiting)
        return NULL;
    conversation->waiting = waiting->next;
    if (!conversation->waiting)
        conversation->waiting_end = &conversation->waiting;
    conversation->waiting_count--;
    conversation->waiting_bytes -= waiting->len;
    conversations->waiting_bytes -= waiting->len;
    return waiting;
}
