/* SPDX-License-Identifier: MIT
 *
 * test_host.c - by which names a browser may call a server on which address.
 *
 * The sockets are bound to addresses that this machine need not have (IP_FREEBIND). What a
 * certificate allows is tested end to end, in test_http.py.
 */
#include "host.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

static char chat[] = "https://chat.example:8443";
static struct config config = {.allowed_origins = {chat}, .allowed_origins_count = 1};

static int set_up(void **state)
{
    (void)state;
    hosts_init();
    return 0;
}

/* A socket with this local address. */
static int bound_to(const char *address)
{
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    struct sockaddr_in in = {.sin_family = AF_INET};
    bool v6 = inet_pton(AF_INET, address, &in.sin_addr) != 1;
    if (v6)
        assert_int_equal(inet_pton(AF_INET6, address, &in6.sin6_addr), 1);
    if (v6 && IN6_IS_ADDR_LINKLOCAL(&in6.sin6_addr))
        in6.sin6_scope_id = 1;
    int one = 1, fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM, 0);
    assert_true(fd >= 0);
    setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &one, sizeof one);
    int bound = v6 ? bind(fd, (struct sockaddr *)&in6, sizeof in6)
                   : bind(fd, (struct sockaddr *)&in, sizeof in);
    if (bound < 0)
        fail_msg("no socket with the address %s", address);
    return fd;
}

static bool is_ok(const char *address, const char *host)
{
    int fd = bound_to(address);
    struct http_request rq = {.host = {host, host ? strlen(host) : 0}};
    bool ok = host_ok(&rq, fd, &config, NULL);
    close(fd);
    return ok;
}

/* RFC 1918, 3927, 4193, 4291, 6598. */
static void test_where_the_guard_stands(void **state)
{
    (void)state;
    static const char *const guarded[] = {
        "127.0.0.1",   "127.1.2.3",        "10.0.0.1",        "172.16.0.1", "172.31.255.1",
        "192.168.1.2", "169.254.1.1",      "100.64.0.1",      "::1",        "fd00::1",
        "fe80::1",     "::ffff:127.0.0.1", "::ffff:10.1.1.1",
    };
    static const char *const open[] = {
        "203.0.113.7", "172.15.0.1",  "172.32.0.1",  "192.169.0.1",
        "100.63.0.1",  "100.128.0.1", "2001:db8::1", "::ffff:203.0.113.7",
    };
    for (size_t i = 0; i < COUNT(guarded); i++)
        if (is_ok(guarded[i], "evil.example"))
            fail_msg("no guard on %s", guarded[i]);
    for (size_t i = 0; i < COUNT(open); i++)
        if (!is_ok(open[i], "evil.example"))
            fail_msg("a guard on %s", open[i]);
}

static void test_which_names_are_ours(void **state)
{
    (void)state;
    static const char *const ours[] = {
        "127.0.0.1",    "127.0.0.1:81", "192.168.1.2",  "8.8.8.8",        "[::1]",
        "[fe80::1]:81", "localhost",    "LOCALHOST:81", "localhost.",     "a.localhost",
        "pc.local",     "pc.local.:81", "chat.example", "Chat.Example:1",
    };
    static const char *const strange[] = {
        "evil.example",
        "localhost.evil",
        "127.0.0.1.evil",
        "local",
        "localhost1",
        "xlocalhost",
        "127.1",
        "0x7f000001",
        "2130706433",
        "",
        ".",
        ":81",
        "x.chat.example",
        "pc.local.evil",
        "example",
        "127.0.0.1x",
    };
    for (size_t i = 0; i < COUNT(ours); i++)
        if (!is_ok("127.0.0.1", ours[i]))
            fail_msg("not ours: %s", ours[i]);
    for (size_t i = 0; i < COUNT(strange); i++)
        if (is_ok("127.0.0.1", strange[i]))
            fail_msg("taken for ours: %s", strange[i]);
    assert_true(is_ok("127.0.0.1", NULL)); /* HTTP/1.0: not a browser */
}

static void test_this_machine(void **state)
{
    (void)state;
    char name[256] = "", strange[300];
    assert_int_equal(gethostname(name, sizeof name - 1), 0);
    assert_true(is_ok("127.0.0.1", name));
    snprintf(strange, sizeof strange, "%s.evil.example", name);
    assert_false(is_ok("127.0.0.1", strange));
    name[strcspn(name, ".")] = '\0';
    assert_true(is_ok("127.0.0.1", name));
}

static void test_a_long_name_is_nobodys(void **state)
{
    (void)state;
    char name[512];
    memset(name, 'a', sizeof name);
    memcpy(name + sizeof name - 7, ".local", 7);
    assert_false(is_ok("127.0.0.1", name));
    assert_true(is_ok("127.0.0.1", name + sizeof name - 256));
    assert_false(is_ok("127.0.0.1", name + sizeof name - 257));
}

static void test_any_name_where_any_origin_may_come(void **state)
{
    (void)state;
    static char star[] = "*";
    const struct config any = {.allowed_origins = {star}, .allowed_origins_count = 1},
                        before = config;
    config = any;
    assert_true(is_ok("127.0.0.1", "evil.example"));
    config = before;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_where_the_guard_stands),
        cmocka_unit_test(test_which_names_are_ours),
        cmocka_unit_test(test_this_machine),
        cmocka_unit_test(test_a_long_name_is_nobodys),
        cmocka_unit_test(test_any_name_where_any_origin_may_come),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
