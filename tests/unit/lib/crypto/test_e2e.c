/* SPDX-License-Identifier: MIT
 *
 * test_e2e.c - hexadecimal, keys, cards, joining, the safety number.
 */
#include "lib/crypto/e2e.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "people.h"
#include "lib/hex.h"
#include "lib/origin.h"

/* ---- Keys ---- */

static void test_keys_there_and_back(void **state)
{
    (void)state;
    for (enum e2e_kind kind = E2E_IDENTITY; kind <= E2E_SESSION; kind++) {
        unsigned char one[E2E_KEY_BYTES], two[E2E_KEY_BYTES];
        EVP_PKEY *key = e2e_key_new(kind), *copy;
        size_t len = sizeof(one);
        assert_int_equal(EVP_PKEY_get_raw_private_key(key, one, &len), 1);
        assert_non_null(copy = e2e_key_from(kind, one));
        assert_int_equal(EVP_PKEY_eq(key, copy), 1);
        assert_true(e2e_key_public(key, one) && e2e_key_public(copy, two));
        assert_memory_equal(one, two, E2E_KEY_BYTES);
        assert_true(e2e_public_ok(kind, one));
        EVP_PKEY_free(key);
        EVP_PKEY_free(copy);
    }
}

/* RFC 8032 §7.1, TEST 1 to 3: which key belongs to which seed. Signatures are compared with those
 * of tests/support/e2e_reference.py, below. */
static void test_rfc8032_keys(void **state)
{
    static const char *const pairs[][2] = {
        {"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
         "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"},
        {"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
         "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"},
        {"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
         "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        unsigned char seed[E2E_KEY_BYTES], public[E2E_KEY_BYTES], wanted[E2E_KEY_BYTES];
        assert_true(hex_read(seed, sizeof(seed), pairs[i][0]));
        assert_true(hex_read(wanted, sizeof(wanted), pairs[i][1]));
        EVP_PKEY *key = e2e_key_from(E2E_IDENTITY, seed);
        assert_true(e2e_key_public(key, public));
        assert_memory_equal(public, wanted, sizeof(wanted));
        EVP_PKEY_free(key);
    }
}

static void look_at_public_keys(const char *kind_name, enum e2e_kind kind, const char *list,
                                bool good)
{
    const cJSON *row, *lists = people_item(people_item(vectors, "public_keys"), kind_name);
    size_t count = 0;
    cJSON_ArrayForEach(row, people_item(lists, list))
    {
        unsigned char key[E2E_KEY_BYTES];
        assert_true(hex_read(key, sizeof(key), row->valuestring));
        if (e2e_public_ok(kind, key) != good)
            fail_msg("%s is not %s", row->valuestring, list);
        count++;
    }
    assert_true(count >= 3);
}

/* Keys of small order, with either sign bit, and numbers that are not below 2^255-19. */
static void test_public_keys_of_small_order_are_refused(void **state)
{
    (void)state;
    look_at_public_keys("identity", E2E_IDENTITY, "good", true);
    look_at_public_keys("identity", E2E_IDENTITY, "bad", false);
    look_at_public_keys("session", E2E_SESSION, "good", true);
    look_at_public_keys("session", E2E_SESSION, "bad", false);
}

static void test_keyhash_of_the_vector(void **state)
{
    struct e2e_keys keys;
    unsigned char hash[E2E_HASH_BYTES], wanted[E2E_HASH_BYTES];
    (void)state;
    people_card("sender", &keys);
    e2e_hash(keys.session, hash);
    vectors_hex(people_item(vectors, "sender"), "keyhash", wanted, sizeof(wanted));
    assert_memory_equal(hash, wanted, sizeof(wanted));
}

/* One identity for each server, room and name: none links two pseudonyms, or two servers. */
static void test_identities_are_derived_for_each_place(void **state)
{
    const cJSON *derived = people_item(vectors, "derived");
    const char *server = vectors_text(derived, "server"), *room = vectors_text(derived, "room");
    const char *fold = vectors_text(derived, "fold");
    unsigned char seed[E2E_SEED_BYTES], wanted[E2E_KEY_BYTES], public[E2E_KEY_BYTES];
    const char *const others[][3] = {{"other:443", room, fold},
                                     {server, "", fold},
                                     {server, room, "bob"},
                                     {server, "teab", "en \u674e"}};
    (void)state;
    vectors_hex(derived, "seed", seed, sizeof(seed));
    vectors_hex(derived, "IdentityKey", wanted, sizeof(wanted));
    EVP_PKEY *key = e2e_identity_from_seed(seed, server, room, fold);
    assert_int_equal(EVP_PKEY_get_base_id(key), EVP_PKEY_ED25519);
    assert_true(e2e_key_public(key, public));
    assert_memory_equal(public, wanted, sizeof(wanted));
    EVP_PKEY_free(key);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        key = e2e_identity_from_seed(seed, others[i][0], others[i][1], others[i][2]);
        assert_true(e2e_key_public(key, public));
        assert_memory_not_equal(public, wanted, sizeof(wanted));
        EVP_PKEY_free(key);
    }
    seed[0] ^= 1;
    key = e2e_identity_from_seed(seed, server, room, fold);
    assert_true(e2e_key_public(key, public));
    assert_memory_not_equal(public, wanted, sizeof(wanted));
    EVP_PKEY_free(key);
}

static void test_places_too_long_for_an_identity(void **state)
{
    static char server[E2E_SCRIPT_MAX];
    unsigned char seed[E2E_SEED_BYTES] = {1};
    (void)state;
    memset(server, 's', E2E_SCRIPT_MAX - 6);
    EVP_PKEY *key = e2e_identity_from_seed(seed, server, "", "");
    assert_non_null(key);
    EVP_PKEY_free(key);
    assert_null(e2e_identity_from_seed(seed, server, "r", ""));
}

/* ---- Cards ---- */

static void test_card_of_the_vector(void **state)
{
    static const char *const people[] = {"sender", "receiver"};
    const char *room = vectors_text(vectors, "room");
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct e2e_keys keys, changed;
        people_card(people[i], &keys);
        assert_true(e2e_keys_signed(&keys, room, people_name(people[i])));
        assert_false(e2e_keys_signed(&keys, "", people_name(people[i])));
        assert_false(e2e_keys_signed(&keys, room, "mallory"));
        assert_false(e2e_keys_signed(&keys, "te", "aana"));
        changed = keys, changed.session[0] ^= 1;
        assert_false(e2e_keys_signed(&changed, room, people_name(people[i])));
        changed = keys, changed.expires++;
        assert_false(e2e_keys_signed(&changed, room, people_name(people[i])));
        changed = keys, changed.origin[8] ^= 1;
        assert_false(e2e_keys_signed(&changed, room, people_name(people[i])));
        changed = keys, changed.enc[6]++;
        assert_false(e2e_keys_signed(&changed, room, people_name(people[i])));
        changed = keys, changed.signature[63] ^= 1;
        assert_false(e2e_keys_signed(&changed, room, people_name(people[i])));
    }
}

/* A session key that leaked is of use for two days at most. */
static void test_cards_end(void **state)
{
    const struct e2e_keys keys = {.expires = 10 * (uint64_t)PEOPLE_DAY};
    (void)state;
    assert_true(e2e_keys_fresh(&keys, keys.expires - 1));
    assert_false(e2e_keys_fresh(&keys, keys.expires + 1));
    assert_false(e2e_keys_fresh(&keys, UINT64_MAX));
    assert_true(e2e_keys_fresh(&keys, keys.expires - 2 * (uint64_t)PEOPLE_DAY));
    assert_false(e2e_keys_fresh(&keys, keys.expires - 2 * (uint64_t)PEOPLE_DAY - 1));
    assert_false(e2e_keys_fresh(&keys, 0));
}

static void test_encodings_are_words(void **state)
{
    static const struct {
        const char *enc;
        bool understood;
    } rows[] = {
        {"hpke-v2", true},         {"hpke-v3 hpke-v2", true},
        {"hpke-v2 hpke-v3", true}, {"  hpke-v2  ", true},
        {"hpke-v", false},         {"hpke-v22", false},
        {"xhpke-v2", false},       {" ", false},
        {"hpke -v2", false},       {"hpke-v1 hpke-v3", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct e2e_keys keys;
        snprintf(keys.enc, sizeof(keys.enc), "%s", rows[i].enc);
        assert_int_equal(e2e_keys_understand(&keys, E2E_ENC), rows[i].understood);
    }
}

/* The card of the vector as JSON, with one field in another form. `value` NULL: without the
 * field. */
static enum e2e_found read_changed(const char *field, const char *value)
{
    static const char *const fields[] = {"IdentityKey", "SessionKey", "KeyExpires",
                                         "KeyOrigin",   "KeyEnc",     "KeySignature"};
    cJSON *card = cJSON_CreateObject();
    struct json_object object;
    struct e2e_keys keys;
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        const cJSON *item = people_item(people_item(vectors, "sender"), fields[i]);
        if (strcmp(fields[i], field) != 0)
            cJSON_AddItemToObject(card, fields[i], cJSON_Duplicate(item, true));
        else if (value)
            cJSON_AddRawToObject(card, fields[i], value);
    }
    char *json = cJSON_PrintUnformatted(card);
    people_parse(&object, json);
    enum e2e_found found = e2e_read_keys(&object, &keys);
    cJSON_free(json);
    cJSON_Delete(card);
    return found;
}

static void test_what_is_found_of_a_card(void **state)
{
    static const struct {
        const char *field, *value;
        enum e2e_found found;
    } rows[] = {
        {"", NULL, E2E_FOUND_ALL},
        {"IdentityKey", NULL, E2E_FOUND_SOME},
        {"KeyOrigin", NULL, E2E_FOUND_SOME},
        {"KeyEnc", "1", E2E_FOUND_SOME},
        {"KeyOrigin", "null", E2E_FOUND_SOME},
        {"KeyExpires", "\"1\"", E2E_FOUND_SOME},
        {"KeyExpires", "true", E2E_FOUND_SOME},
        {"IdentityKey", "1", E2E_FOUND_SOME},
        {"IdentityKey", "\"\"", E2E_FOUND_BAD},
        {"SessionKey", "\"00\"", E2E_FOUND_BAD},
        {"KeySignature", "\"zz\"", E2E_FOUND_BAD},
        {"KeyExpires", "0", E2E_FOUND_BAD},
        {"KeyExpires", "1", E2E_FOUND_ALL},
        {"KeyExpires", "9007199254740991", E2E_FOUND_ALL},
        {"KeyExpires", "9007199254740992", E2E_FOUND_BAD},
        {"KeyExpires", "-1", E2E_FOUND_BAD},
        {"KeyExpires", "1.0", E2E_FOUND_BAD},
        {"KeyExpires", "1e3", E2E_FOUND_BAD},
        {"KeyOrigin", "\"\"", E2E_FOUND_BAD},
        {"KeyOrigin", "\"x\"", E2E_FOUND_ALL},
        {"KeyOrigin", "\"a\\\"b\"", E2E_FOUND_BAD},
        {"KeyOrigin", "\"a\\\\b\"", E2E_FOUND_BAD},
        {"KeyOrigin", "\"a\\u0000\"", E2E_FOUND_BAD},
        {"KeyOrigin", "\"a\\u007f\"", E2E_FOUND_BAD},
        {"KeyOrigin", "\"\\u00e4\"", E2E_FOUND_BAD},
        {"KeyEnc", "\"\"", E2E_FOUND_BAD},
        {"KeyEnc", "\"HPKE\"", E2E_FOUND_BAD},
        {"KeyEnc", "\"a b-0 9z\"", E2E_FOUND_ALL},
        {"KeyEnc", "\"a_b\"", E2E_FOUND_BAD},
        {"IdentityKey", "\"0100000000000000000000000000000000000000000000000000000000000000\"",
         E2E_FOUND_BAD},
        {"SessionKey", "\"0100000000000000000000000000000000000000000000000000000000000000\"",
         E2E_FOUND_BAD},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (read_changed(rows[i].field, rows[i].value) != rows[i].found)
            fail_msg("%s is %s", rows[i].field, rows[i].value ? rows[i].value : "absent");
}

static void test_bounds_of_origin_and_encodings(void **state)
{
    char value[300];
    (void)state;
    for (int len = E2E_ENC_MAX - 1; len <= E2E_ENC_MAX + 1; len++) {
        snprintf(value, sizeof(value), "\"%.*s\"", len,
                 "hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh");
        assert_int_equal(read_changed("KeyEnc", value),
                         len <= E2E_ENC_MAX ? E2E_FOUND_ALL : E2E_FOUND_BAD);
    }
    for (int len = E2E_ORIGIN_MAX - 1; len <= E2E_ORIGIN_MAX + 1; len++) {
        memset(value, 'o', sizeof(value));
        value[0] = value[len + 1] = '"';
        value[len + 2] = '\0';
        assert_int_equal(read_changed("KeyOrigin", value),
                         len <= E2E_ORIGIN_MAX ? E2E_FOUND_ALL : E2E_FOUND_BAD);
    }
}

static void test_no_card_at_all(void **state)
{
    struct json_object object;
    struct e2e_keys keys;
    (void)state;
    people_parse(&object, "{\"identitykey\":\"x\",\"Ref\":1}");
    assert_int_equal(e2e_read_keys(&object, &keys), E2E_FOUND_NONE);
}

static void test_a_card_is_written_as_it_was_read(void **state)
{
    struct e2e_keys keys, again = {.expires = 0};
    struct json_object object;
    struct json_writer w = {.text = NULL};
    (void)state;
    memset(&keys, 0, sizeof(keys));
    people_card("sender", &keys);
    json_write_object(&w, NULL);
    e2e_write_keys(&w, &keys);
    json_write_end(&w);
    char *json = json_writer_finish(&w, NULL);
    people_parse(&object, json);
    assert_int_equal(e2e_read_keys(&object, &again), E2E_FOUND_ALL);
    assert_memory_equal(again.identity, keys.identity, E2E_KEY_BYTES);
    assert_memory_equal(again.session, keys.session, E2E_KEY_BYTES);
    assert_memory_equal(again.signature, keys.signature, E2E_SIGNATURE_BYTES);
    assert_true(again.expires == keys.expires);
    assert_string_equal(again.origin, keys.origin);
    assert_string_equal(again.enc, keys.enc);
    free(json);
}

/* ---- Joining ---- */

static char *join_of(const struct e2e_session *session, const char *nonce)
{
    char *fields = e2e_write_claim(session, nonce), *json;
    assert_non_null(fields);
    assert_true(asprintf(&json, "{%s}", fields) > 0);
    free(fields);
    return json;
}

static void test_proof_of_the_vector(void **state)
{
    static const char *const people[][2] = {{"sender", "sender_proof"},
                                            {"receiver", "receiver_proof"}};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct e2e_session session;
        struct json_object object;
        char proof[2 * E2E_SIGNATURE_BYTES + 1];
        people_fixed(&session, people[i][0]);
        char *join = join_of(&session, vectors_text(vectors, "nonce"));
        people_parse(&object, join);
        assert_true(json_string(json_find(&object, "Proof"), proof, sizeof(proof)) > 0);
        assert_string_equal(proof, vectors_text(vectors, people[i][1]));
        free(join);
        e2e_session_fini(&session);
    }
}

/* A proof that was made for one server, connection, room, name, session key or card is none
 * elsewhere: it cannot be relayed. */
static void test_claim(void **state)
{
    unsigned char nonce[E2E_NONCE_BYTES] = {1, 2, 3};
    char hex[2 * E2E_NONCE_BYTES + 1];
    struct e2e_session session = {.identity = NULL}, other = {.identity = NULL};
    struct json_object object;
    struct e2e_claim claim = {.room = "tea", .name = "ana", .nonce = nonce}, changed;
    (void)state;
    people_session(&session, NULL, "tea", "ana");
    people_session(&other, session.identity, "tea", "ana");
    hex_write(hex, nonce, sizeof(nonce));
    char *join = join_of(&session, hex);
    people_parse(&object, join);
    assert_int_equal(e2e_read_claim(&object, &claim), E2E_FOUND_ALL);
    assert_true(e2e_claim_holds(&claim));
    changed = claim, changed.room = "te";
    assert_false(e2e_claim_holds(&changed));
    changed = claim, changed.name = "an";
    assert_false(e2e_claim_holds(&changed));
    changed = claim, changed.keys = other.keys; /* well signed, and not what Proof covers */
    assert_false(e2e_claim_holds(&changed));
    changed = claim, snprintf(changed.keys.origin, sizeof(changed.keys.origin), "https://evil");
    assert_false(e2e_claim_holds(&changed));
    nonce[31] ^= 1;
    assert_false(e2e_claim_holds(&claim));
    nonce[31] ^= 1;
    for (size_t bit = 0; bit < 8 * E2E_SIGNATURE_BYTES; bit++) {
        claim.proof[bit / 8] ^= (unsigned char)(1 << bit % 8);
        assert_false(e2e_claim_holds(&claim));
        claim.proof[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
    assert_true(e2e_claim_holds(&claim));
    free(join);
    e2e_session_fini(&session);
    e2e_session_fini(&other);
}

/* A member cannot publish a card that others would take for the server's forgery. */
static void test_a_proof_over_a_card_that_is_not_signed(void **state)
{
    unsigned char nonce[E2E_NONCE_BYTES] = {0};
    char hex[2 * E2E_NONCE_BYTES + 1];
    struct e2e_session session = {.identity = NULL};
    struct json_object object;
    struct e2e_claim claim = {.room = "tea", .name = "ana", .nonce = nonce};
    (void)state;
    people_session(&session, NULL, "tea", "ana");
    hex_write(hex, nonce, sizeof(nonce));
    session.keys.signature[0] ^= 1; /* before Proof is made over it */
    char *join = join_of(&session, hex);
    people_parse(&object, join);
    assert_int_equal(e2e_read_claim(&object, &claim), E2E_FOUND_ALL);
    assert_false(e2e_claim_holds(&claim));
    free(join);
    e2e_session_fini(&session);
}

static void test_claim_needs_a_nonce_and_a_proof(void **state)
{
    struct e2e_session session = {.identity = NULL};
    struct e2e_claim claim;
    struct json_object object;
    char *json, *card;
    (void)state;
    assert_null(e2e_write_claim(&session, vectors_text(vectors, "nonce")));
    people_session(&session, NULL, "", "ana");
    assert_null(e2e_write_claim(&session, ""));
    assert_null(e2e_write_claim(&session, "00"));
    struct json_writer w = {.text = NULL};
    e2e_write_keys(&w, &session.keys);
    assert_non_null(card = json_writer_finish(&w, NULL));
    assert_true(asprintf(&json, "{%s}", card) > 0);
    people_parse(&object, json);
    assert_int_equal(e2e_read_claim(&object, &claim), E2E_FOUND_SOME);
    free(json);
    assert_true(asprintf(&json, "{%s,\"Proof\":\"00\"}", card) > 0);
    people_parse(&object, json);
    assert_int_equal(e2e_read_claim(&object, &claim), E2E_FOUND_BAD);
    free(json);
    free(card);
    e2e_session_fini(&session);
}

/* ---- Safety number ---- */

static void test_safety_number(void **state)
{
    struct e2e_keys ana, bob;
    char number[E2E_SAFETY_MAX], other[E2E_SAFETY_MAX];
    (void)state;
    people_card("sender", &ana);
    people_card("receiver", &bob);
    assert_true(e2e_safety(ana.identity, bob.identity, number));
    assert_true(e2e_safety(bob.identity, ana.identity, other));
    assert_string_equal(number, vectors_text(vectors, "safety_number"));
    assert_string_equal(other, number);
    bob.identity[31] ^= 1;
    assert_true(e2e_safety(ana.identity, bob.identity, other));
    assert_string_not_equal(other, number);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys_there_and_back),
        cmocka_unit_test(test_rfc8032_keys),
        cmocka_unit_test(test_public_keys_of_small_order_are_refused),
        cmocka_unit_test(test_keyhash_of_the_vector),
        cmocka_unit_test(test_identities_are_derived_for_each_place),
        cmocka_unit_test(test_places_too_long_for_an_identity),
        cmocka_unit_test(test_card_of_the_vector),
        cmocka_unit_test(test_cards_end),
        cmocka_unit_test(test_encodings_are_words),
        cmocka_unit_test(test_what_is_found_of_a_card),
        cmocka_unit_test(test_bounds_of_origin_and_encodings),
        cmocka_unit_test(test_no_card_at_all),
        cmocka_unit_test(test_a_card_is_written_as_it_was_read),
        cmocka_unit_test(test_proof_of_the_vector),
        cmocka_unit_test(test_claim),
        cmocka_unit_test(test_a_proof_over_a_card_that_is_not_signed),
        cmocka_unit_test(test_claim_needs_a_nonce_and_a_proof),
        cmocka_unit_test(test_safety_number),
    };
    return cmocka_run_group_tests(tests, people_load, people_unload);
}
