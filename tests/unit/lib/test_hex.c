/* SPDX-License-Identifier: MIT
 *
 * test_hex.c - hex.c: digits, fingerprints.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/hex.h"

static void test_values_of_digits(void **state)
{
    static const char digits[] = "0123456789abcdef", upper[] = "0123456789ABCDEF";
    (void)state;
    for (int c = 0; c < 256; c++) {
        const char *at = c ? strchr(digits, c) : NULL, *up = c ? strchr(upper, c) : NULL;
        int expected = at ? (int)(at - digits) : up ? (int)(up - upper) : -1;
        assert_int_equal(hex_value((char)c), expected);
    }
}

static void test_every_byte_there_and_back(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++) {
        unsigned char byte = (unsigned char)c, back = (unsigned char)~c;
        char hex[3];
        hex_write(hex, &byte, 1);
        assert_int_equal(strlen(hex), 2);
        assert_true(hex_read(&back, 1, hex));
        assert_int_equal(back, byte);
    }
}

static void test_order_and_case(void **state)
{
    static const unsigned char bytes[] = {0x09, 0xaf};
    unsigned char back[2];
    char hex[5], fingerprint[6];
    (void)state;
    hex_write(hex, bytes, 2);
    assert_string_equal(hex, "09af");
    assert_true(hex_read(back, 2, hex));
    assert_memory_equal(back, bytes, 2);
    hex_write_fingerprint(fingerprint, bytes, 2);
    assert_string_equal(fingerprint, "09:AF");
    hex_write_fingerprint(fingerprint, bytes, 1);
    assert_string_equal(fingerprint, "09");
    hex_write(hex, bytes, 0);
    assert_string_equal(hex, "");
}

static void test_anything_else_is_refused(void **state)
{
    static const char *const bad[] = {"",     "0",  "00f",  "00ff0", "00ff00", "00FF", "0g",
                                      "00 f", "0x", "g000", "0g00",  "00g0",   "000g"};
    unsigned char bytes[2];
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(hex_read(bytes, 2, bad[i]));
}

static void test_a_sha256_fingerprint_fits(void **state)
{
    unsigned char digest[32] = {0};
    char out[FINGERPRINT_MAX + 1] = {[FINGERPRINT_MAX] = '!'};
    (void)state;
    hex_write_fingerprint(out, digest, sizeof(digest));
    assert_int_equal(strlen(out), FINGERPRINT_MAX - 1);
    assert_int_equal(out[FINGERPRINT_MAX], '!');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_of_digits),
        cmocka_unit_test(test_every_byte_there_and_back),
        cmocka_unit_test(test_order_and_case),
        cmocka_unit_test(test_anything_else_is_refused),
        cmocka_unit_test(test_a_sha256_fingerprint_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
