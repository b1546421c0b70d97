/* SPDX-License-Identifier: MIT
 *
 * test_e2e_session.c - the session keys of a client.
 */
#include "lib/crypto/e2e.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "people.h"
#include "lib/hex.h"
#include "lib/origin.h"

/* ---- Session keys ---- */

static struct e2e_now later(int64_t ms)
{
    return people_now(ms);
}

static void test_own_card_is_signed_for_a_day(void **state)
{
    struct e2e_session session = {.identity = NULL};
    (void)state;
    people_session(&session, NULL, "", "ana");
    assert_true(e2e_keys_signed(&session.keys, "", "ana"));
    assert_false(e2e_keys_signed(&session.keys, "ana", ""));
    assert_true(session.keys.expires == later(0).wall + PEOPLE_DAY);
    assert_string_equal(session.keys.origin, "https://chat.example");
    assert_string_equal(session.keys.enc, "hpke-v2");
    e2e_session_fini(&session);
}

/* What is too long or misshapen is refused, not cut; the session is empty then. */
static void test_places_that_are_none(void **state)
{
    char name[NAME_MAX_BYTES + 2], origin[E2E_ORIGIN_MAX + 2];
    struct e2e_session session = {.identity = NULL};
    EVP_PKEY *identity = e2e_key_new(E2E_IDENTITY);
    memset(name, 'n', sizeof(name));
    memset(origin, 'o', sizeof(origin));
    name[NAME_MAX_BYTES + 1] = origin[E2E_ORIGIN_MAX + 1] = '\0';
    const struct e2e_place bad[] = {{"https://x", "", name},
                                    {"https://x", name, "ana"},
                                    {"", "", "ana"},
                                    {"https://\"", "", "ana"},
                                    {origin, "", "ana"}};
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        people_session(&session, identity, "", "ana");
        assert_false(e2e_session_open(&session, identity, &bad[i], later(1)));
        assert_null(session.identity);
        assert_null(session.present.key);
        assert_false(e2e_session_due(&session, later(PEOPLE_DAY)));
        assert_false(e2e_session_renew(&session, later(1)));
    }
    name[NAME_MAX_BYTES] = origin[E2E_ORIGIN_MAX] = '\0';
    const struct e2e_place good = {origin, name, name};
    assert_true(e2e_session_open(&session, identity, &good, later(1)));
    assert_true(e2e_keys_signed(&session.keys, name, name));
    e2e_session_fini(&session);
    EVP_PKEY_free(identity);
}

/* 50 messages, or an hour with one message, or 12 hours: but not within 10 seconds. */
static void test_when_a_session_key_is_replaced(void **state)
{
    static const struct {
        unsigned opened;
        int64_t age;
        bool due;
    } rows[] = {
        {0, 9999, false},    {50, 9999, false},   {50, 10000, true},   {49, 10000, false},
        {1, 3599999, false}, {1, 3600000, true},  {0, 3600000, false}, {0, 43199999, false},
        {0, 43200000, true}, {1000, 10001, true},
    };
    struct e2e_session session = {.identity = NULL};
    (void)state;
    people_session(&session, NULL, "", "ana");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        session.opened = rows[i].opened;
        assert_int_equal(e2e_session_due(&session, later(rows[i].age)), rows[i].due);
    }
    e2e_session_fini(&session);
}

/* A machine that slept, or whose clock was set, does not go on with a card that nobody accepts. */
static void test_a_clock_that_was_set_replaces_the_session_key(void **state)
{
    struct e2e_session session = {.identity = NULL};
    struct e2e_now now;
    (void)state;
    people_session(&session, NULL, "", "ana");
    now = later(20000), now.wall += 12 * 3600 * 1000 - 20000;
    assert_true(e2e_session_due(&session, now));
    now.wall -= 1;
    assert_false(e2e_session_due(&session, now));
    now.wall = later(0).wall + 5 * (uint64_t)PEOPLE_DAY;
    assert_true(e2e_session_due(&session, now));
    now.wall = later(0).wall - 12 * 3600 * 1000;
    assert_true(e2e_session_due(&session, now));
    now.wall += 1;
    assert_false(e2e_session_due(&session, now));
    assert_true(e2e_session_renew(&session, now));
    assert_true(session.keys.expires == now.wall + PEOPLE_DAY);
    e2e_session_fini(&session);
}

/* It opens what is on its way for a minute, and is wiped then. */
static void test_a_former_session_key_lasts_a_minute(void **state)
{
    struct e2e_session session = {.identity = NULL};
    struct e2e_keys first;
    unsigned char hash[E2E_HASH_BYTES];
    (void)state;
    people_session(&session, NULL, "", "ana");
    first = session.keys;
    e2e_hash(first.session, hash);
    session.opened = 7;
    assert_true(e2e_session_renew(&session, later(20000)));
    assert_memory_not_equal(session.keys.session, first.session, E2E_KEY_BYTES);
    assert_true(e2e_keys_signed(&session.keys, "", "ana"));
    assert_int_equal(session.opened, 0);
    assert_false(e2e_session_due(&session, later(29999)));
    assert_ptr_equal(e2e_session_find(&session, session.keys.session, later(20000)),
                     &session.present);
    assert_non_null(e2e_session_find(&session, first.session, later(79999)));
    assert_null(e2e_session_find(&session, first.session, later(80000)));
    e2e_session_expire(&session, later(79999));
    assert_int_equal(session.former_count, 1);
    e2e_session_expire(&session, later(80000));
    assert_int_equal(session.former_count, 0);
    assert_null(session.former[0].key);
    assert_true(e2e_session_had(&session, hash));
    e2e_session_fini(&session);
}

static void test_bound_of_former_session_keys(void **state)
{
    struct e2e_session session = {.identity = NULL};
    unsigned char keys[E2E_LIVE_MAX + 1][E2E_KEY_BYTES], hashes[E2E_LIVE_MAX][E2E_HASH_BYTES];
    (void)state;
    people_session(&session, NULL, "", "ana");
    for (size_t i = 0; i <= E2E_LIVE_MAX; i++) {
        memcpy(keys[i], session.keys.session, E2E_KEY_BYTES);
        if (i < E2E_LIVE_MAX)
            assert_true(e2e_session_renew(&session, later((int64_t)i)));
    }
    assert_int_equal(session.former_count, E2E_FORMER_MAX);
    assert_null(e2e_session_find(&session, keys[0], later(100)));
    for (size_t i = 1; i <= E2E_LIVE_MAX; i++)
        assert_non_null(e2e_session_find(&session, keys[i], later(100)));
    assert_int_equal(e2e_session_live(&session, hashes), E2E_LIVE_MAX);
    assert_memory_equal(hashes[E2E_LIVE_MAX - 1], session.present.hash, E2E_HASH_BYTES);
    e2e_session_expire(&session, later(70000));
    assert_int_equal(e2e_session_live(&session, hashes), 1);
    e2e_session_fini(&session);
    assert_int_equal(e2e_session_live(&session, hashes), 0);
}

static void test_bound_of_remembered_session_keys(void **state)
{
    struct e2e_session session = {.identity = NULL};
    unsigned char first[E2E_HASH_BYTES], second[E2E_HASH_BYTES];
    (void)state;
    people_session(&session, NULL, "", "ana");
    memcpy(first, session.present.hash, sizeof(first));
    assert_true(e2e_session_renew(&session, later(1)));
    memcpy(second, session.present.hash, sizeof(second));
    for (size_t i = 2; i < E2E_HAD_MAX; i++)
        assert_true(e2e_session_renew(&session, later(1)));
    assert_true(e2e_session_had(&session, first));
    assert_true(e2e_session_renew(&session, later(1)));
    assert_false(e2e_session_had(&session, first));
    assert_true(e2e_session_had(&session, second));
    assert_true(e2e_session_had(&session, session.present.hash));
    e2e_session_fini(&session);
}

/* On a new connection the key is another one; what is on its way to the former one is not lost, and
 * a stream to it is still known to be ours. */
static void test_a_new_connection_has_a_new_session_key(void **state)
{
    struct e2e_session session = {.identity = NULL};
    const struct e2e_place place = {"https://other.example", "tea", "ana"};
    const struct e2e_place elsewhere = {"https://other.example", "tea", "anna"};
    unsigned char first[E2E_KEY_BYTES], hash[E2E_HASH_BYTES];
    (void)state;
    people_session(&session, NULL, "tea", "ana");
    memcpy(first, session.keys.session, sizeof(first));
    e2e_hash(first, hash);
    assert_true(e2e_session_open(&session, session.identity, &place, later(1)));
    assert_memory_not_equal(session.keys.session, first, sizeof(first));
    assert_string_equal(session.keys.origin, place.origin);
    assert_non_null(e2e_session_find(&session, first, later(2)));
    assert_true(e2e_session_had(&session, hash));
    EVP_PKEY *identity = session.identity;
    EVP_PKEY_up_ref(identity);
    assert_true(e2e_session_open(&session, identity, &elsewhere, later(3)));
    assert_null(e2e_session_find(&session, first, later(4)));
    assert_false(e2e_session_had(&session, hash));
    assert_int_equal(session.former_count, 0);
    EVP_PKEY_free(identity);
    e2e_session_fini(&session);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_own_card_is_signed_for_a_day),
        cmocka_unit_test(test_places_that_are_none),
        cmocka_unit_test(test_when_a_session_key_is_replaced),
        cmocka_unit_test(test_a_clock_that_was_set_replaces_the_session_key),
        cmocka_unit_test(test_a_former_session_key_lasts_a_minute),
        cmocka_unit_test(test_bound_of_former_session_keys),
        cmocka_unit_test(test_bound_of_remembered_session_keys),
        cmocka_unit_test(test_a_new_connection_has_a_new_session_key),
    };
    return cmocka_run_group_tests(tests, people_load, people_unload);
}
