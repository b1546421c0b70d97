/* SPDX-License-Identifier: MIT
 *
 * test_hpke.c - hpke.c against RFC 9180, Appendix A.1.1.
 *
 * tests/vectors/hpke-rfc9180-a1.json is that appendix's own data.
 */
#include "lib/crypto/hpke.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>
#include <cmocka.h>

#include "vectors.h"

#define VECTORS "tests/vectors/hpke-rfc9180-a1.json"

enum { TEXT_MAX = 256 };

static cJSON *vectors, *setup;

static int load(void **state)
{
    (void)state;
    vectors = vectors_load(VECTORS);
    setup = cJSON_GetObjectItem(vectors, "setup");
    return setup ? 0 : -1;
}

static int unload(void **state)
{
    (void)state;
    cJSON_Delete(vectors);
    return 0;
}

static struct hpke_bytes bytes_of(const cJSON *object, const char *name, unsigned char *space)
{
    return (struct hpke_bytes){space, vectors_hex(object, name, space, TEXT_MAX)};
}

static EVP_PKEY *private_key(const char *name)
{
    unsigned char raw[HPKE_KEY_BYTES];
    assert_int_equal(vectors_hex(setup, name, raw, sizeof(raw)), sizeof(raw));
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, raw, sizeof(raw));
    assert_non_null(key);
    return key;
}

static void set_up_sender(struct hpke *context)
{
    unsigned char info[TEXT_MAX], receiver[TEXT_MAX];
    EVP_PKEY *ephemeral = private_key("skEm");
    bytes_of(setup, "pkRm", receiver);
    assert_true(hpke_setup_sender(context, ephemeral, receiver, bytes_of(setup, "info", info)));
    EVP_PKEY_free(ephemeral);
}

static void set_up_receiver(struct hpke *context)
{
    unsigned char info[TEXT_MAX], enc[TEXT_MAX];
    EVP_PKEY *receiver = private_key("skRm");
    bytes_of(setup, "enc", enc);
    assert_true(hpke_setup_receiver(context, enc, receiver, bytes_of(setup, "info", info)));
    EVP_PKEY_free(receiver);
}

static void check_context(const struct hpke *context)
{
    unsigned char wanted[TEXT_MAX];
    assert_int_equal(vectors_hex(setup, "key", wanted, TEXT_MAX), sizeof(context->key));
    assert_memory_equal(context->key, wanted, sizeof(context->key));
    assert_int_equal(vectors_hex(setup, "base_nonce", wanted, TEXT_MAX), sizeof(context->nonce));
    assert_memory_equal(context->nonce, wanted, sizeof(context->nonce));
}

static void test_set_up_of_both_sides(void **state)
{
    struct hpke sender, receiver;
    (void)state;
    set_up_sender(&sender);
    set_up_receiver(&receiver);
    check_context(&sender);
    check_context(&receiver);
    hpke_fini(&sender);
    for (size_t i = 0; i < sizeof(sender.key); i++)
        assert_int_equal(sender.key[i], 0);
}

/* The public halves are those of the appendix, too. */
static void test_key_pairs(void **state)
{
    static const char *const pairs[][2] = {{"skEm", "pkEm"}, {"skEm", "enc"}, {"skRm", "pkRm"}};
    (void)state;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        unsigned char public[HPKE_KEY_BYTES], wanted[TEXT_MAX];
        size_t len = sizeof(public);
        EVP_PKEY *key = private_key(pairs[i][0]);
        assert_int_equal(EVP_PKEY_get_raw_public_key(key, public, &len), 1);
        assert_int_equal(vectors_hex(setup, pairs[i][1], wanted, TEXT_MAX), len);
        assert_memory_equal(public, wanted, len);
        EVP_PKEY_free(key);
    }
}

static void check_encryption(const struct hpke *context, const cJSON *row)
{
    unsigned char aad_space[TEXT_MAX], plain_space[TEXT_MAX], wanted_space[TEXT_MAX];
    unsigned char out[TEXT_MAX];
    struct hpke_bytes aad = bytes_of(row, "aad", aad_space);
    struct hpke_bytes plain = bytes_of(row, "pt", plain_space);
    struct hpke_bytes wanted = bytes_of(row, "ct", wanted_space);
    uint64_t seq = strtoull(cJSON_GetObjectItem(row, "sequence_number")->valuestring, NULL, 10);

    assert_int_equal(plain.len + HPKE_TAG_BYTES, wanted.len);
    assert_true(hpke_seal(context, seq, aad, plain, out));
    assert_memory_equal(out, wanted.at, wanted.len);
    assert_true(hpke_open(context, seq, aad, wanted, out));
    assert_memory_equal(out, plain.at, plain.len);
}

static void test_every_encryption(void **state)
{
    struct hpke context;
    const cJSON *row, *rows = cJSON_GetObjectItem(vectors, "encryptions");
    (void)state;
    set_up_receiver(&context);
    assert_true(cJSON_GetArraySize(rows) >= 6);
    cJSON_ArrayForEach(row, rows) check_encryption(&context, row);
}

/* One bit of the ciphertext, the aad, the number or the key: nothing opens. */
static void test_nothing_else_opens(void **state)
{
    unsigned char sealed[TEXT_MAX], out[TEXT_MAX], aad[] = "aad", plain[] = "plain";
    struct hpke_bytes aad_bytes = {aad, sizeof(aad)},
                      all = {sealed, sizeof(plain) + HPKE_TAG_BYTES};
    struct hpke context;
    (void)state;
    set_up_sender(&context);
    assert_true(
        hpke_seal(&context, 7, aad_bytes, (struct hpke_bytes){plain, sizeof(plain)}, sealed));
    assert_true(hpke_open(&context, 7, aad_bytes, all, out));
    assert_false(hpke_open(&context, 8, aad_bytes, all, out));
    for (size_t bit = 0; bit < 8 * all.len; bit++) {
        sealed[bit / 8] ^= (unsigned char)(1 << bit % 8);
        assert_false(hpke_open(&context, 7, aad_bytes, all, out));
        sealed[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
    for (size_t len = 0; len < all.len; len++)
        assert_false(hpke_open(&context, 7, aad_bytes, (struct hpke_bytes){sealed, len}, out));
    aad[0] ^= 1;
    assert_false(hpke_open(&context, 7, aad_bytes, all, out));
    aad[0] ^= 1;
    context.key[0] ^= 1;
    assert_false(hpke_open(&context, 7, aad_bytes, all, out));
}

/* What could not be vouched for is not left behind. */
static void test_refused_plaintext_is_wiped(void **state)
{
    unsigned char sealed[TEXT_MAX], out[6] = "......", zeros[6] = {0};
    struct hpke_bytes aad = {"", 0}, all = {sealed, sizeof(out) + HPKE_TAG_BYTES};
    struct hpke context;
    (void)state;
    set_up_sender(&context);
    assert_true(hpke_seal(&context, 0, aad, (struct hpke_bytes){"secret", 6}, sealed));
    sealed[all.len - 1] ^= 1;
    assert_false(hpke_open(&context, 0, aad, all, out));
    assert_memory_equal(out, zeros, sizeof(out));
}

/* RFC 9180 §7.1.4: a public key that makes every shared secret the same is refused. */
static void test_low_order_keys(void **state)
{
    static const unsigned char keys[][HPKE_KEY_BYTES] = {
        {0},
        {1},
        {0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3,
         0xfa, 0xf1, 0x9f, 0xc4, 0x6a, 0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32,
         0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00},
    };
    struct hpke context;
    struct hpke_bytes info = {"", 0};
    EVP_PKEY *own = private_key("skEm");
    (void)state;
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        assert_false(hpke_setup_sender(&context, own, keys[i], info));
        assert_false(hpke_setup_receiver(&context, keys[i], own, info));
    }
    EVP_PKEY_free(own);
}

static void test_bound_of_info(void **state)
{
    static const unsigned char info[HPKE_INFO_MAX + 1];
    unsigned char receiver[TEXT_MAX];
    struct hpke context;
    EVP_PKEY *own = private_key("skEm");
    (void)state;
    bytes_of(setup, "pkRm", receiver);
    assert_true(
        hpke_setup_sender(&context, own, receiver, (struct hpke_bytes){info, HPKE_INFO_MAX}));
    assert_false(
        hpke_setup_sender(&context, own, receiver, (struct hpke_bytes){info, HPKE_INFO_MAX + 1}));
    EVP_PKEY_free(own);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_key_pairs),
        cmocka_unit_test(test_set_up_of_both_sides),
        cmocka_unit_test(test_every_encryption),
        cmocka_unit_test(test_nothing_else_opens),
        cmocka_unit_test(test_refused_plaintext_is_wiped),
        cmocka_unit_test(test_low_order_keys),
        cmocka_unit_test(test_bound_of_info),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
