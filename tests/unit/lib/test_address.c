/* SPDX-License-Identifier: MIT
 *
 * test_address.c - which texts are addresses and blocks of them, and who is in a block.
 */
#include "lib/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* The address in `text`, written again; "" when it is none. */
static const char *again(const char *text)
{
    static char out[INET6_ADDRSTRLEN];
    struct sockaddr_storage address;
    out[0] = '\0';
    if (!address_read(text, strlen(text), &address))
        return out;
    if (address.ss_family == AF_INET)
        inet_ntop(AF_INET, &((struct sockaddr_in *)&address)->sin_addr, out, sizeof out);
    else
        inet_ntop(AF_INET6, &((struct sockaddr_in6 *)&address)->sin6_addr, out, sizeof out);
    return out;
}

static void test_addresses(void **state)
{
    (void)state;
    static const char *const known[][2] = {
        {"192.0.2.1", "192.0.2.1"},
        {"192.0.2.1:80", "192.0.2.1"},
        {"192.0.2.1:65535", "192.0.2.1"},
        {"2001:db8::1", "2001:db8::1"},
        {"[2001:DB8::1]", "2001:db8::1"},
        {"[2001:db8::1]:443", "2001:db8::1"},
        {"::ffff:192.0.2.1", "::ffff:192.0.2.1"},
        {"::", "::"},
    };
    for (size_t i = 0; i < COUNT(known); i++)
        assert_string_equal(again(known[i][0]), known[i][1]);
}

static void test_what_is_no_address(void **state)
{
    (void)state;
    static const char *const none[] = {
        "",
        " ",
        "unknown",
        "_hidden",
        "192.0.2",
        "192.0.2.256",
        "192.0.2.1 ",
        " 192.0.2.1",
        "192.0.2.1:",
        "192.0.2.1:65536",
        "192.0.2.1:x",
        "192.0.2.1:-1",
        "192.0.2.1/32",
        "0x7f.1",
        "2001:db8::1::",
        "2001:db8::1%eth0",
        "[2001:db8::1",
        "2001:db8::1]",
        "[2001:db8::1]x",
        "[2001:db8::1]:",
        "[192.0.2.1]",
        "[]",
        "[",
        "]",
        ":",
        "[2001:db8::1]:99999",
        "1111:2222:3333:4444:5555:6666:7777:8888:9999",
        "0000000000000000000000000000000000000000000000000000000000000001",
    };
    for (size_t i = 0; i < COUNT(none); i++)
        if (again(none[i])[0])
            fail_msg("taken for an address: %s", none[i]);
    struct sockaddr_storage address;
    assert_false(address_read("192.0.2.1\0x", 11, &address));
    assert_true(address_read("192.0.2.1, 1.2.3.4", 9, &address));
}

static void test_what_is_no_block(void **state)
{
    (void)state;
    static const char *const none[] = {
        "",
        "/",
        "/8",
        "10.0.0.0/",
        "10.0.0.0/33",
        "10.0.0.0/-1",
        "10.0.0.0/8x",
        "10.0.0.1/8",
        "10.0.0.0/8/8",
        "10/8",
        "::/129",
        "::1/127",
        "2001:db8::1/32",
        "10.0.0.0:80",
        "[::]/0",
        "localhost",
        "10.0.0.0/ 8",
    };
    struct address_block block;
    for (size_t i = 0; i < COUNT(none); i++)
        if (address_block_read(none[i], &block))
            fail_msg("taken for a block: %s", none[i]);
}

static bool is_in(const char *text, const char *block)
{
    struct address_list list = {.count = 1};
    struct sockaddr_storage address;
    assert_true(address_block_read(block, &list.blocks[0]));
    assert_true(address_read(text, strlen(text), &address));
    return address_in(&address, &list);
}

static void test_who_is_in_a_block(void **state)
{
    (void)state;
    static const struct {
        const char *block, *inside, *outside;
    } cases[] = {
        {"192.0.2.1", "192.0.2.1", "192.0.2.2"},
        {"192.0.2.1/32", "::ffff:192.0.2.1", "::192.0.2.1"},
        {"192.0.2.0/31", "192.0.2.1", "192.0.2.2"},
        {"10.0.0.0/8", "10.255.255.255", "11.0.0.0"},
        {"10.0.0.0/9", "10.127.255.255", "10.128.0.0"},
        {"0.0.0.0/0", "255.255.255.255", "::1"},
        {"::ffff:10.0.0.0/104", "10.1.2.3", "11.1.2.3"},
        {"2001:db8::/32", "2001:db8:ffff::1", "2001:db9::1"},
        {"2001:db8::/127", "2001:db8::1", "2001:db8::2"},
        {"::1", "::1", "127.0.0.1"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        if (!is_in(cases[i].inside, cases[i].block))
            fail_msg("%s is not in %s", cases[i].inside, cases[i].block);
        if (is_in(cases[i].outside, cases[i].block))
            fail_msg("%s is in %s", cases[i].outside, cases[i].block);
    }
    assert_true(is_in("::1", "::/0"));
}

static void test_a_list(void **state)
{
    (void)state;
    struct address_list list = {.count = 2};
    struct sockaddr_storage address, none = {.ss_family = AF_UNIX};
    assert_true(address_block_read("10.0.0.0/8", &list.blocks[0]));
    assert_true(address_block_read("0.0.0.0/0", &list.blocks[1]));
    assert_true(address_read("192.0.2.1", 9, &address));
    assert_true(address_in(&address, &list));
    assert_false(address_in(&none, &list));
    list.count = 1;
    assert_false(address_in(&address, &list));
}

/* Whether both are in the same block of a level. */
static bool is_same_source(const char *one, const char *other, int level)
{
    struct sockaddr_storage addresses[2];
    struct address_block blocks[2];
    assert_true(address_read(one, strlen(one), &addresses[0]));
    assert_true(address_read(other, strlen(other), &addresses[1]));
    address_source(&addresses[0], level, &blocks[0]);
    address_source(&addresses[1], level, &blocks[1]);
    return blocks[0].bits == blocks[1].bits &&
           memcmp(blocks[0].bytes, blocks[1].bytes, ADDRESS_BYTES) == 0;
}

static void test_what_counts_as_one_source(void **state)
{
    (void)state;
    assert_true(is_same_source("192.0.2.1", "::ffff:192.0.2.1", 0));
    assert_true(is_same_source("2001:db8:0:1::1", "2001:db8:0:1:ffff:ffff:ffff:ffff", 0));
    assert_false(is_same_source("2001:db8:0:1::1", "2001:db8:0:2::1", 0));
    assert_false(is_same_source("192.0.2.1", "192.0.2.2", 0));
    assert_false(is_same_source("::ffff:192.0.2.1", "::ffff:192.0.2.2", 0));
    assert_false(is_same_source("192.0.2.1", "2001:db8::1", 0));
    assert_true(is_same_source("192.0.2.1", "::ffff:192.0.2.255", 1));
    assert_false(is_same_source("192.0.2.1", "192.0.3.1", 1));
    assert_true(is_same_source("2001:db8:0:100::1", "2001:db8:0:1ff::1", 1));
    assert_false(is_same_source("2001:db8:0:100::1", "2001:db8:0:200::1", 1));
    assert_true(is_same_source("2001:db8:0:100::1", "2001:db8:0:ffff::1", 2));
    assert_false(is_same_source("2001:db8:0:100::1", "2001:db8:1:100::1", 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses),        cmocka_unit_test(test_what_is_no_address),
        cmocka_unit_test(test_what_is_no_block), cmocka_unit_test(test_who_is_in_a_block),
        cmocka_unit_test(test_a_list),           cmocka_unit_test(test_what_counts_as_one_source),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
