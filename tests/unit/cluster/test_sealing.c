/* SPDX-License-Identifier: MIT
 *
 * test_sealing.c - what the owner of an engine can do with sealed texts: nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cluster/sealing.h"
#include "no_memory.h"

#define SECRET "0123456789abcdef0123456789abcdef"
#define SEAT   "00112233445566778899aabbccddeeff"

static const char plain[] = "{\"text\":\"hello\"";

static struct sealing *make(const char *secret)
{
    const char *why = NULL;
    struct sealing *sealing = sealing_new(secret, &why);
    assert_non_null(sealing);
    return sealing;
}

static struct sealing_place place(void)
{
    return (struct sealing_place){"room", SEAT, 7, 'p', text_of("bob"), text_of("-")};
}

/* Seals `plain` with one secret at one place, and opens it with another at another. */
static long long pass(const char *seal_secret, struct sealing_place at, const char *open_secret,
                      struct sealing_place to, char *out)
{
    struct sealing *sealing = make(seal_secret), *opening = make(open_secret);
    struct sealing_key key;
    assert_true(sealing_derive(sealing, at.room, at.seat, &key));
    assert_true(sealing_seal(&key, &at, text_of(plain), out));
    assert_true(sealing_derive(opening, to.room, to.seat, &key));
    long long len = sealing_open(&key, &to, out, strlen(plain) + SEALING_TAG_BYTES);
    sealing_free(sealing);
    sealing_free(opening);
    return len;
}

static void a_text_opens_with_the_same_secret_at_the_same_place(void **state)
{
    char out[100];
    (void)state;
    assert_int_equal(pass(SECRET, place(), SECRET, place(), out), strlen(plain));
    assert_memory_equal(out, plain, strlen(plain));
}

static void it_opens_nowhere_else(void **state)
{
    char out[100];
    struct sealing_place other;
    (void)state;
    assert_int_equal(pass(SECRET, place(), SECRET "x", place(), out), -1);
    other = place(), other.room = "root";
    assert_int_equal(pass(SECRET, place(), SECRET, other, out), -1);
    other = place(), other.room = "";
    assert_int_equal(pass(SECRET, place(), SECRET, other, out), -1);
    other = place(), other.seat = "ff112233445566778899aabbccddeeff";
    assert_int_equal(pass(SECRET, place(), SECRET, other, out), -1);
    other = place(), other.seq = 8;
    assert_int_equal(pass(SECRET, place(), SECRET, other, out), -1);
    other = place(), other.seq = 7 + ((uint64_t)1 << 32);
    assert_int_equal(pass(SECRET, place(), SECRET, other, out), -1);
    other = place(), other.kind = 'b';
    assert_int_equal(pass(SECRET, place(), SECRET, other, out), -1);
    other = place(), other.name = text_of("bo");
    assert_int_equal(pass(SECRET, place(), SECRET, other, out), -1);
    other = place(), other.name = text_of("bob-"), other.identity = text_of("");
    assert_int_equal(pass(SECRET, place(), SECRET, other, out), -1);
    other = place(), other.identity = text_of("x");
    assert_int_equal(pass(SECRET, place(), SECRET, other, out), -1);
}

static void each_changed_bit_is_noticed(void **state)
{
    char sealed[100], copy[100];
    size_t len = strlen(plain) + SEALING_TAG_BYTES;
    struct sealing *sealing = make(SECRET);
    struct sealing_place at = place();
    struct sealing_key key;
    (void)state;
    assert_true(sealing_derive(sealing, at.room, at.seat, &key));
    assert_true(sealing_seal(&key, &at, text_of(plain), sealed));
    for (size_t bit = 0; bit < 8 * len; bit++) {
        memcpy(copy, sealed, len);
        copy[bit / 8] = (char)(copy[bit / 8] ^ 1 << bit % 8);
        assert_int_equal(sealing_open(&key, &at, copy, len), -1);
    }
    for (size_t shorter = 0; shorter < len; shorter++) {
        memcpy(copy, sealed, len);
        assert_int_equal(sealing_open(&key, &at, copy, shorter), -1);
    }
    sealing_free(sealing);
}

/* What is sent again has the same bytes; another seat's, or another seq's, share nothing. */
static void a_key_and_a_nonce_are_used_for_one_text(void **state)
{
    char first[100], second[100];
    size_t len = strlen(plain) + SEALING_TAG_BYTES;
    struct sealing *sealing = make(SECRET);
    struct sealing_place at = place();
    struct sealing_key key, other;
    (void)state;
    assert_true(sealing_derive(sealing, at.room, at.seat, &key));
    assert_true(sealing_seal(&key, &at, text_of(plain), first));
    assert_true(sealing_seal(&key, &at, text_of(plain), second));
    assert_memory_equal(first, second, len);
    at.seq++;
    assert_true(sealing_seal(&key, &at, text_of(plain), second));
    assert_memory_not_equal(first, second, 8);
    assert_true(sealing_derive(sealing, at.room, "ff" SEAT, &other));
    assert_memory_not_equal(&key, &other, sizeof(key));
    assert_true(sealing_derive(sealing, "", at.seat, &other));
    assert_memory_not_equal(&key, &other, sizeof(key));
    assert_null(memmem(first, len, "hello", 5));
    sealing_free(sealing);
}

static void an_empty_text_is_sealed_too(void **state)
{
    char out[SEALING_TAG_BYTES];
    struct sealing *sealing = make(SECRET);
    struct sealing_place at = place();
    struct sealing_key key;
    (void)state;
    assert_true(sealing_derive(sealing, at.room, at.seat, &key));
    assert_true(sealing_seal(&key, &at, text_of(""), out));
    assert_int_equal(sealing_open(&key, &at, out, sizeof(out)), 0);
    out[3] ^= 1;
    assert_int_equal(sealing_open(&key, &at, out, sizeof(out)), -1);
    sealing_free(sealing);
}

static void a_secret_has_bounds(void **state)
{
    static char longest[SEALING_SECRET_MAX + 2];
    const char *why = NULL;
    (void)state;
    assert_null(sealing_new("0123456789abcdef0123456789abcde", &why));
    assert_non_null(strstr(why, "32 to 256"));
    memset(longest, 'x', SEALING_SECRET_MAX + 1);
    assert_null(sealing_new(longest, &why));
    longest[SEALING_SECRET_MAX] = '\0';
    sealing_free(make(longest));
    no_memory_after(0);
    assert_null(sealing_new(longest, &why));
    no_memory_end();
    assert_string_equal(why, "out of memory");
}

static void the_proof_tells_secrets_apart_and_nothing_else(void **state)
{
    char first[SEALING_PROOF_MAX], second[SEALING_PROOF_MAX];
    struct sealing *one = make(SECRET), *same = make(SECRET), *other = make(SECRET "x");
    (void)state;
    assert_true(sealing_proof(one, first) && sealing_proof(same, second));
    assert_string_equal(first, second);
    assert_true(sealing_proof(other, second));
    assert_string_not_equal(first, second);
    assert_int_equal(strlen(first), 32);
    sealing_free(one);
    sealing_free(same);
    sealing_free(other);
}

static void names_are_hidden_but_can_be_compared(void **state)
{
    char first[SEALING_HIDDEN_MAX], second[SEALING_HIDDEN_MAX];
    static char longest[2000];
    struct sealing *sealing = make(SECRET), *other = make(SECRET "x");
    (void)state;
    assert_true(sealing_hide(sealing, "room", text_of("bob"), first));
    assert_int_equal(strspn(first, "0123456789abcdef"), 32);
    assert_true(sealing_hide(sealing, "room", text_of("bob"), second));
    assert_string_equal(first, second);
    assert_true(sealing_hide(sealing, "room", text_of("bobb"), second));
    assert_string_not_equal(first, second);
    assert_true(sealing_hide(sealing, "", text_of("bob"), second));
    assert_string_not_equal(first, second);
    assert_true(sealing_hide(other, "room", text_of("bob"), second));
    assert_string_not_equal(first, second);
    memset(longest, 'x', sizeof(longest) - 1);
    assert_true(sealing_hide(sealing, longest, text_of(longest), first));
    longest[1998] = 'y';
    assert_true(sealing_hide(sealing, longest, text_of(longest), second));
    assert_string_not_equal(first, second);
    sealing_free(sealing);
    sealing_free(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_opens_with_the_same_secret_at_the_same_place),
        cmocka_unit_test(it_opens_nowhere_else),
        cmocka_unit_test(each_changed_bit_is_noticed),
        cmocka_unit_test(a_key_and_a_nonce_are_used_for_one_text),
        cmocka_unit_test(an_empty_text_is_sealed_too),
        cmocka_unit_test(a_secret_has_bounds),
        cmocka_unit_test(names_are_hidden_but_can_be_compared),
        cmocka_unit_test(the_proof_tells_secrets_apart_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
