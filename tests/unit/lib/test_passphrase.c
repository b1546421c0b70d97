/* SPDX-License-Identifier: MIT
 *
 * test_passphrase.c - passphrase.c: the words, and that every random bit counts.
 */
#include "lib/passphrase.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { WORDS = 1024, WORD_MAX = 10 };

/* Splits the password of these bytes into its words. */
static void words_of(const unsigned char random[PASSPHRASE_RANDOM],
                     char words[PASSPHRASE_WORDS][WORD_MAX + 1])
{
    char text[PASSPHRASE_MAX], *rest = text, *word;
    int count = 0;
    memset(text, 'x', sizeof(text));
    passphrase_write(text, random);
    while ((word = strsep(&rest, "-"))) {
        assert_true(count < PASSPHRASE_WORDS);
        assert_in_range(strlen(word), 3, WORD_MAX);
        assert_int_equal(strspn(word, "abcdefghijklmnopqrstuvwxyz"), strlen(word));
        strcpy(words[count++], word);
    }
    assert_int_equal(count, PASSPHRASE_WORDS);
}

/* The bytes whose four words have these numbers. */
static void bytes_of(unsigned char random[PASSPHRASE_RANDOM], const int numbers[PASSPHRASE_WORDS])
{
    uint64_t bits = 0;
    for (int i = 0; i < PASSPHRASE_WORDS; i++)
        bits = bits << 10 | (uint64_t)numbers[i];
    for (int i = PASSPHRASE_RANDOM - 1; i >= 0; i--, bits >>= 8)
        random[i] = (unsigned char)bits;
}

/* Each of the 1024 words is in each of the four places once, in sorted order: so no two passwords
 * are the same, and none is likelier than another. */
static void test_each_word_has_ten_bits(void **state)
{
    char before[PASSPHRASE_WORDS][WORD_MAX + 1] = {"", "", "", ""};
    (void)state;
    for (int n = 0; n < WORDS; n++) {
        unsigned char random[PASSPHRASE_RANDOM];
        char words[PASSPHRASE_WORDS][WORD_MAX + 1];
        bytes_of(random, (int[]){n, n, n, n});
        words_of(random, words);
        for (int i = 0; i < PASSPHRASE_WORDS; i++)
            assert_true(strcmp(before[i], words[i]) < 0);
        memcpy(before, words, sizeof(before));
    }
}

static void test_each_place_has_its_own_bits(void **state)
{
    unsigned char random[PASSPHRASE_RANDOM];
    char words[PASSPHRASE_WORDS][WORD_MAX + 1], alone[PASSPHRASE_WORDS][WORD_MAX + 1];
    static const int numbers[] = {1, 1023, 512, 7};
    (void)state;
    bytes_of(random, numbers);
    words_of(random, words);
    for (int i = 0; i < PASSPHRASE_WORDS; i++) {
        bytes_of(random, (int[]){numbers[i], numbers[i], numbers[i], numbers[i]});
        words_of(random, alone);
        assert_string_equal(words[i], alone[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_word_has_ten_bits),
        cmocka_unit_test(test_each_place_has_its_own_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
