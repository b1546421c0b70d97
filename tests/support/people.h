/* SPDX-License-Identifier: MIT
 *
 * people.h - the people of tests/vectors/private-message.json, and others, for unit tests.
 *
 * tests/support/e2e_reference.py made the vectors; it shares no code with e2e.c, seal.c and
 * continuity.c.
 */
#ifndef PEOPLE_H
#define PEOPLE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cjson/cJSON.h>
#include <cmocka.h>

#include "lib/crypto/e2e.h"
#include "json_msg.h"
#include "vectors.h"

enum { PEOPLE_DAY = 24 * 3600 * 1000 };

static cJSON *vectors;

static inline int people_load(void **state)
{
    (void)state;
    vectors = vectors_load("tests/vectors/private-message.json");
    return vectors ? 0 : -1;
}

static inline int people_unload(void **state)
{
    (void)state;
    cJSON_Delete(vectors);
    return 0;
}

static inline const cJSON *people_item(const cJSON *object, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    assert_non_null(item);
    return item;
}

static inline uint64_t people_number(const cJSON *object, const char *name)
{
    return (uint64_t)people_item(object, name)->valuedouble;
}

/* The time of all events in the vectors, plus `after` milliseconds. */
static inline struct e2e_now people_now(int64_t after)
{
    return (struct e2e_now){people_number(vectors, "now") + (uint64_t)after, 1000000 + after};
}

/* Prints an object as JSON; the caller frees it with free(). cJSON itself writes 2^53-1 with an
 * exponent. */
static inline char *people_print(const cJSON *object)
{
    cJSON *copy = cJSON_Duplicate(object, true);
    const cJSON *item;
    char number[32];
    cJSON_ArrayForEach(item, object)
    {
        if (!cJSON_IsNumber(item) || item->valuedouble != (double)(int64_t)item->valuedouble)
            continue;
        snprintf(number, sizeof(number), "%.0f", item->valuedouble);
        cJSON_ReplaceItemInObjectCaseSensitive(copy, item->string, cJSON_CreateRaw(number));
    }
    char *json = cJSON_PrintUnformatted(copy);
    cJSON_Delete(copy);
    return json;
}

/* Reads a JSON text, which must outlive the object. */
static inline void people_parse(struct json_object *object, const char *json)
{
    struct json_error error;
    assert_int_equal(json_parse_message(object, json, strlen(json), &error), 0);
}

/* "sender" or "receiver" of the vectors. */
static inline const char *people_name(const char *who)
{
    return vectors_text(people_item(vectors, who), "name");
}

static inline EVP_PKEY *people_key(const char *who, const char *field, enum e2e_kind kind)
{
    unsigned char bytes[E2E_KEY_BYTES];
    vectors_hex(people_item(vectors, who), field, bytes, sizeof(bytes));
    EVP_PKEY *key = e2e_key_from(kind, bytes);
    assert_non_null(key);
    return key;
}

static inline void people_card(const char *who, struct e2e_keys *keys)
{
    char *json = people_print(people_item(vectors, who));
    struct json_object object;
    people_parse(&object, json);
    assert_int_equal(e2e_read_keys(&object, keys), E2E_FOUND_ALL);
    free(json);
}

/* Makes a session of a new person, or of the one with `identity`. */
static inline void people_session(struct e2e_session *session, EVP_PKEY *identity, const char *room,
                                  const char *name)
{
    EVP_PKEY *key = identity ? identity : e2e_key_new(E2E_IDENTITY);
    const struct e2e_place place = {"https://chat.example", room, name};
    assert_non_null(key);
    assert_true(e2e_session_open(session, key, &place, people_now(0)));
    if (!identity)
        EVP_PKEY_free(key);
}

/* Makes the session of a person in the vectors, with the session key given there. */
static inline void people_fixed(struct e2e_session *session, const char *who)
{
    EVP_PKEY *identity = people_key(who, "identity_seed", E2E_IDENTITY);
    *session = (struct e2e_session){.identity = NULL};
    people_session(session, identity, vectors_text(vectors, "room"), people_name(who));
    EVP_PKEY_free(identity);
    EVP_PKEY_free(session->present.key);
    session->present.key = people_key(who, "session_private", E2E_SESSION);
    people_card(who, &session->keys);
    memcpy(session->present.public, session->keys.session, E2E_KEY_BYTES);
    e2e_hash(session->present.public, session->present.hash);
}

#endif
