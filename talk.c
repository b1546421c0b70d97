/* SPDX-License-Identifier: MIT
 *
 * talk.c - private conversations, as talk.h promises them.
 *
 * What the cryptography itself is, e2e.c knows; what is remembered, contacts.c keeps. Here is the
 * order in which they are asked. Nothing here ever turns to plaintext by itself.
 */
#include "talk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "name.h"

/* ---- Conversations ---- */

void talks_init(struct talks *talks, struct contacts *contacts, char *server)
{
    memset(talks, 0, sizeof(*talks));
    talks->contacts = contacts;
    talks->server = server;
}

static void free_talk(struct talk *talk)
{
    struct talk_waiting *waiting;
    while ((waiting = talk_take(talk)) != NULL)
        free(waiting);
    e2e_seen_fini(&talk->seen);
    free(talk->fold);
    free(talk);
}

void talks_fini(struct talks *talks)
{
    while (talks->first) {
        struct talk *talk = talks->first;
        talks->first = talk->next;
        free_talk(talk);
    }
    if (talks->open)
        e2e_session_fini(&talks->session);
    talks->open = false;
}

bool talks_begin(struct talks *talks, const char *room, const char *name)
{
    if (talks->open)
        e2e_session_fini(&talks->session);
    for (struct talk *talk = talks->first; talk; talk = talk->next) {
        e2e_seen_fini(&talk->seen);
        memset(&talk->seen, 0, sizeof(talk->seen));
    }
    talks_expire(talks);
    talks->open = true;
    return e2e_session_init(&talks->session, talks->contacts->identity, room, name);
}

static struct contacts_id id_of(const struct talks *talks, const struct talk *talk)
{
    return (struct contacts_id){talks->server, talks->session.room, talk->fold};
}

/* Takes `fold`. */
static struct talk *new_talk(struct talks *talks, const char *name, char *fold)
{
    unsigned char key[E2E_KEY_BYTES];
    struct talk *talk = talks->count < TALK_MAX ? calloc(1, sizeof(*talk)) : NULL;
    if (!talk) {
        free(fold);
        return NULL;
    }
    talk->fold = fold;
    talk->waiting_end = &talk->waiting;
    snprintf(talk->peer.name, sizeof(talk->peer.name), "%s", name);
    struct contacts_id id = id_of(talks, talk);
    talk->known = contacts_find(talks->contacts, &id, key);
    talk->next = talks->first;
    talks->first = talk;
    talks->count++;
    return talk;
}

bool talk_name(const struct json_object *in, const char *field, char *name)
{
    const struct json_field *value = json_find(in, field);
    return value && json_string(value, name, NAME_MAX_BYTES + 1) > 0;
}

struct talk *talk_with(struct talks *talks, const char *name)
{
    char *fold = name_check(name, strlen(name)) ? NULL : name_fold(name, strlen(name));
    if (!fold)
        return NULL;
    for (struct talk *talk = talks->first; talk; talk = talk->next) {
        if (strcmp(talk->fold, fold) == 0) {
            free(fold);
            return talk;
        }
    }
    return new_talk(talks, name, fold);
}

/* A key that waits to be accepted goes on waiting: that is about the person, not the session. */
void talks_expire(struct talks *talks)
{
    for (struct talk *talk = talks->first; talk; talk = talk->next) {
        talk->asked = false;
        if (talk->state != TALK_CHANGED)
            talk->state = TALK_ASKING;
    }
}

void talk_left(struct talk *talk)
{
    talk->plain = false;
}

/* ---- Keys ---- */

static void remember(struct talks *talks, struct talk *talk, const unsigned char *key,
                     enum contacts_trust trust, char *error)
{
    struct contacts_id id = id_of(talks, talk);
    if (contacts_remember(talks->contacts, &id, key, trust, error) == 0)
        talk->known = trust;
}

/* What the identity key that somebody shows means for the conversation. */
static enum talk_state judge(struct talks *talks, struct talk *talk, const unsigned char *key,
                             char *error)
{
    unsigned char known[E2E_KEY_BYTES];
    struct contacts_id id = id_of(talks, talk);
    talk->known = contacts_find(talks->contacts, &id, known);
    if (talk->known == CONTACTS_UNKNOWN) {
        remember(talks, talk, key, CONTACTS_SEEN, error);
        return TALK_ENCRYPTED;
    }
    if (memcmp(known, key, E2E_KEY_BYTES) != 0) {
        memcpy(talk->offered, key, E2E_KEY_BYTES);
        return TALK_CHANGED;
    }
    return talk->known == CONTACTS_VERIFIED ? TALK_VERIFIED : TALK_ENCRYPTED;
}

struct talk *talk_keys(struct talks *talks, const struct json_object *in, char *error)
{
    char name[NAME_MAX_BYTES + 1];
    struct e2e_keys keys;
    error[0] = '\0';
    struct talk *talk = talk_name(in, "User", name) ? talk_with(talks, name) : NULL;
    if (!talk)
        return NULL;
    talk->asked = false;
    snprintf(talk->peer.name, sizeof(talk->peer.name), "%s", name);
    enum e2e_found found = e2e_read_keys(in, &keys);
    if (found == E2E_FOUND_NONE) {
        talk->state = TALK_NONE;
        return talk;
    }
    if (found != E2E_FOUND_ALL || !e2e_keys_signed(&keys, talks->session.room, name)) {
        talk->state = TALK_FORGED;
        return talk;
    }
    talk->plain = false;
    e2e_peer_update(&talk->peer, &keys);
    talk->state = judge(talks, talk, keys.identity, error);
    return talk;
}

int talk_accept(struct talks *talks, struct talk *talk, char *error)
{
    error[0] = '\0';
    remember(talks, talk, talk->offered, CONTACTS_SEEN, error);
    if (error[0])
        return -1;
    talk->state = TALK_ASKING; /* whether the session's keys belong to it, GetKeys will tell */
    return 0;
}

/* The key that is remembered, or in TALK_CHANGED the one that is offered. */
static bool present_key(struct talks *talks, struct talk *talk, unsigned char *key)
{
    struct contacts_id id = id_of(talks, talk);
    if (talk->state == TALK_CHANGED) {
        memcpy(key, talk->offered, E2E_KEY_BYTES);
        return true;
    }
    return contacts_find(talks->contacts, &id, key) != CONTACTS_UNKNOWN;
}

bool talk_safety(struct talks *talks, struct talk *talk, unsigned char key[E2E_KEY_BYTES],
                 char *out)
{
    return present_key(talks, talk, key) && e2e_safety(talks->session.keys.identity, key, out);
}

int talk_verify(struct talks *talks, struct talk *talk, const unsigned char key[E2E_KEY_BYTES],
                char *error)
{
    unsigned char present[E2E_KEY_BYTES];
    error[0] = '\0';
    if (!present_key(talks, talk, present) || memcmp(present, key, E2E_KEY_BYTES) != 0) {
        snprintf(error, CONTACTS_ERROR_MAX,
                 "not marked: while you compared, another key of %s came; compare again",
                 talk->peer.name);
        return -1;
    }
    remember(talks, talk, key, CONTACTS_VERIFIED, error);
    if (error[0])
        return -1;
    talk->state = talk->state == TALK_CHANGED ? TALK_ASKING : TALK_VERIFIED;
    return 0;
}

/* ---- Messages ---- */

char *talk_seal(struct talks *talks, struct talk *talk, const char *text, const char *ref,
                size_t *len)
{
    struct e2e_message message;
    char *json = NULL;
    if (e2e_seal(&message, &talks->session, &talk->peer, text, strlen(text)))
        json = e2e_write_message(&message, talk->peer.name, ref, len);
    e2e_message_fini(&message);
    return json;
}

/* Looks at the remembered key first, then opens. From E2E_KEY_CHANGED on the signatures are good. */
static enum e2e_verdict open_message(struct talks *talks, struct talk *talk, const char *name,
                                     const struct e2e_message *message, struct e2e_opened *opened)
{
    unsigned char known[E2E_KEY_BYTES];
    struct contacts_id id = id_of(talks, talk);
    struct e2e_sender sender = {.name = name, .seen = &talk->seen};
    talk->known = contacts_find(talks->contacts, &id, known);
    sender.identity = talk->known == CONTACTS_UNKNOWN ? NULL : known;
    return e2e_open(message, &talks->session, &sender, opened);
}

enum e2e_verdict talk_open(struct talks *talks, struct talk *talk, const struct json_object *in,
                           struct e2e_opened *opened, char *error)
{
    char name[NAME_MAX_BYTES + 1];
    struct e2e_message message;
    enum e2e_verdict verdict = E2E_MALFORMED;
    error[0] = '\0';
    if (e2e_read_message(in, &message) && talk_name(in, "SrcUser", name))
        verdict = open_message(talks, talk, name, &message, opened);
    if (verdict == E2E_KEY_CHANGED) {
        memcpy(talk->offered, message.from.identity, E2E_KEY_BYTES);
        talk->state = TALK_CHANGED;
    } else if (verdict > E2E_KEY_CHANGED && talk->known == CONTACTS_UNKNOWN) {
        remember(talks, talk, message.from.identity, CONTACTS_SEEN, error);
    }
    e2e_message_fini(&message);
    return verdict;
}

bool talk_wait(struct talk *talk, const char *json, size_t len)
{
    struct talk_waiting *waiting =
        talk->waiting_count < TALK_WAITING_MAX ? malloc(sizeof(*waiting) + len) : NULL;
    if (!waiting)
        return false;
    waiting->next = NULL;
    waiting->len = len;
    memcpy(waiting->json, json, len);
    *talk->waiting_end = waiting;
    talk->waiting_end = &waiting->next;
    talk->waiting_count++;
    return true;
}

struct talk_waiting *talk_take(struct talk *talk)
{
    struct talk_waiting *waiting = talk->waiting;
    if (!waiting)
        return NULL;
    talk->waiting = waiting->next;
    if (!talk->waiting)
        talk->waiting_end = &talk->waiting;
    talk->waiting_count--;
    return waiting;
}
