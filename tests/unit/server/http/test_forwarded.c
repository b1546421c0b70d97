/* SPDX-License-Identifier: MIT
 *
 * test_forwarded.c - whom a request is from that came through proxies, out of whole request heads.
 */
#include "server/http/forwarded.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "net/socket.h"

static struct address_list trusted;

static int set_up(void **state)
{
    (void)state;
    trusted.count = 2;
    return address_block_read("127.0.0.0/8", &trusted.blocks[0]) &&
                   address_block_read("10.0.0.0/8", &trusted.blocks[1])
               ? 0
               : -1;
}

/* Finds the sender of a request from `peer` with these header lines; `client` is its address. */
static enum forwarded_found find(const char *peer, const char *lines, char client[NET_ADDRESS_MAX])
{
    static char head[HTTP_HEAD_MAX];
    struct sockaddr_storage address;
    struct http_request rq;
    const char *why;
    int len = snprintf(head, sizeof head, "GET / HTTP/1.1\r\nHost: x\r\n%s\r\n", lines);
    assert_int_equal(http_parse(head, (size_t)len, NULL, &rq, &why), len);
    assert_true(address_read(peer, strlen(peer), &address));
    enum forwarded_found found = forwarded_client(&rq, &trusted, &address);
    net_address(&address, client);
    return found;
}

static void expect(const char *peer, const char *lines, enum forwarded_found found,
                   const char *client)
{
    char address[NET_ADDRESS_MAX];
    if (find(peer, lines, address) != found)
        fail_msg("not found as it should be: %s", lines);
    assert_string_equal(address, client);
}

static void test_who_it_is(void **state)
{
    (void)state;
    expect("127.0.0.1", "X-Forwarded-For: 192.0.2.1\r\n", FORWARDED_CLIENT, "192.0.2.1");
    expect("127.0.0.1", "x-forwarded-for:192.0.2.1 , 192.0.2.2\t\r\n", FORWARDED_CLIENT,
           "192.0.2.2");
    expect("127.0.0.1", "X-Forwarded-For: 192.0.2.1, 10.0.0.1\r\n", FORWARDED_CLIENT, "192.0.2.1");
    expect("127.0.0.1", "X-Forwarded-For: nonsense, 192.0.2.1, 10.0.0.1\r\n", FORWARDED_CLIENT,
           "192.0.2.1");
    expect("127.0.0.1", "X-Forwarded-For: 192.0.2.1,, ,\r\n", FORWARDED_CLIENT, "192.0.2.1");
    expect("127.0.0.1", "X-Forwarded-For: 10.0.0.2, 10.0.0.1\r\n", FORWARDED_CLIENT, "10.0.0.2");
    expect("127.0.0.1", "X-Forwarded-For: [2001:db8::1]:4711\r\n", FORWARDED_CLIENT, "2001:db8::1");
}

static void test_several_fields_are_one_list(void **state)
{
    (void)state;
    expect("127.0.0.1", "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-For: 192.0.2.2\r\n",
           FORWARDED_CLIENT, "192.0.2.2");
    expect("127.0.0.1", "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-For: 10.0.0.1\r\n",
           FORWARDED_CLIENT, "192.0.2.1");
    expect("127.0.0.1", "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-For:\r\n", FORWARDED_CLIENT,
           "192.0.2.1");
}

/* A client sends as many as it likes; the proxy's own comes last. */
static void test_of_many_fields_the_last_count(void **state)
{
    (void)state;
    char lines[1024] = "";
    for (int i = 0; i < 2 * HTTP_FORWARDED_MAX; i++)
        sprintf(lines + strlen(lines), "X-Forwarded-For: 192.0.2.%d\r\n", i);
    expect("127.0.0.1", lines, FORWARDED_CLIENT, "192.0.2.7");
}

static void test_the_peer_itself(void **state)
{
    (void)state;
    expect("127.0.0.1", "", FORWARDED_NONE, "127.0.0.1");
    expect("127.0.0.1", "X-Forwarded-For: ,\r\n", FORWARDED_NONE, "127.0.0.1");
    expect("192.0.2.9", "X-Forwarded-For: 192.0.2.1\r\n", FORWARDED_NONE, "192.0.2.9");
    expect("192.0.2.9", "X-Forwarded-For: nonsense\r\n", FORWARDED_NONE, "192.0.2.9");
}

static void test_what_is_no_address(void **state)
{
    (void)state;
    char lines[1024] = "X-Forwarded-For: 192.0.2.1";
    expect("127.0.0.1", "X-Forwarded-For: unknown\r\n", FORWARDED_BAD, "127.0.0.1");
    expect("127.0.0.1", "X-Forwarded-For: 192.0.2.1, unknown, 10.0.0.1\r\n", FORWARDED_BAD,
           "127.0.0.1");
    expect("127.0.0.1", "X-Forwarded-For: 192.0.2.1;192.0.2.2\r\n", FORWARDED_BAD, "127.0.0.1");
    for (int i = 0; i < FORWARDED_HOPS_MAX - 1; i++)
        strcat(lines, ", 10.0.0.1");
    strcat(lines, "\r\n");
    expect("127.0.0.1", lines, FORWARDED_CLIENT, "192.0.2.1");
    memcpy(strstr(lines, "\r\n"), ", 10.0.0.1\r\n", sizeof ", 10.0.0.1\r\n");
    expect("127.0.0.1", lines, FORWARDED_BAD, "127.0.0.1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_it_is),
        cmocka_unit_test(test_several_fields_are_one_list),
        cmocka_unit_test(test_of_many_fields_the_last_count),
        cmocka_unit_test(test_the_peer_itself),
        cmocka_unit_test(test_what_is_no_address),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
