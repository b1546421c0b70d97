/* SPDX-License-Identifier: MIT
 *
 * test_authority.c - authority.c: hosts and ports (RFC 3986 §3.2).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/authority.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void test_splitting(void **state)
{
    static const struct {
        const char *text, *host, *port; /* port NULL: there is no colon */
    } cases[] = {
        {"", "", NULL},
        {"a", "a", NULL},
        {"a:", "a", ""},
        {":", "", ""},
        {"a:80", "a", "80"},
        {"a:80:1", "a", "80:1"},
        {"a b:x y", "a b", "x y"},
        {"[::1]", "[::1]", NULL},
        {"[::1]:", "[::1]", ""},
        {"[::1]:443", "[::1]", "443"},
        {"[]:1", "[]", "1"},
        {"2001:db8::1", "2001", "db8::1"},
        {"::1", "", ":1"},
        {"a[b]:1", "a[b]", "1"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct text host, port;
        assert_true(authority_split(text_of(cases[i].text), &host, &port));
        assert_true(text_equals(host, cases[i].host));
        assert_int_equal(port.at != NULL, cases[i].port != NULL);
        assert_true(text_equals(port, cases[i].port ? cases[i].port : ""));
    }
}

static void test_brackets_that_cannot_be_split(void **state)
{
    static const char *const bad[] = {"[", "[::1", "[::1:80", "[::1]x", "[::1]80", "[::1]]:80"};
    struct text host, port;
    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_false(authority_split(text_of(bad[i]), &host, &port));
}

/* Nothing behind the text is read. */
static void test_splitting_stops_at_the_end(void **state)
{
    struct text host, port;
    (void)state;
    assert_false(authority_split((struct text){"[::1]", 4}, &host, &port));
    assert_true(authority_split((struct text){"a:80", 1}, &host, &port));
    assert_null(port.at);
    assert_true(authority_split((struct text){"a:80", 3}, &host, &port));
    assert_true(text_equals(port, "8"));
}

static void test_ports(void **state)
{
    static const char *const bad[] = {"",   "65536", "99999", "000080", "-1",
                                      "+1", " 1",    "1 ",    "0x1",    "8o"};
    (void)state;
    assert_int_equal(authority_port(text_of("0")), 0);
    assert_int_equal(authority_port(text_of("80")), 80);
    assert_int_equal(authority_port(text_of("00080")), 80);
    assert_int_equal(authority_port(text_of("65535")), 65535);
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_int_equal(authority_port(text_of(bad[i])), -1);
}

static void test_names(void **state)
{
    static const char *const bad[] = {"", "a b", "a:1", "[::1]", "a/", "a@b", "\xC3\xA4", "a%41"};
    (void)state;
    assert_true(authority_is_name(text_of("A-b_c.0")));
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_false(authority_is_name(text_of(bad[i])));
    assert_false(authority_is_name((struct text){"a\0b", 3}));
}

static void test_hosts_are_compared_without_case(void **state)
{
    (void)state;
    assert_true(authority_host_is(text_of("LocalHost"), "localhost"));
    assert_false(authority_host_is(text_of("localhos"), "localhost"));
    assert_true(authority_host_under(text_of("a.LOCAL"), ".local"));
    assert_false(authority_host_under(text_of(".local"), ".local"));
    assert_false(authority_host_under(text_of("alocal"), ".local"));
}

static void test_names_of_local_networks(void **state)
{
    static const char *const local[] = {"a.localhost", "box.local", "b.home.arpa", "c.internal",
                                        "D.LAN"};
    static const char *const others[] = {"localhost", ".local",       "local",  "a.local.example",
                                         "home.arpa", "example.test", "a.lan.", ""};
    (void)state;
    for (size_t i = 0; i < COUNT(local); i++)
        assert_true(authority_is_local(text_of(local[i])));
    for (size_t i = 0; i < COUNT(others); i++)
        assert_false(authority_is_local(text_of(others[i])));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_splitting),
        cmocka_unit_test(test_brackets_that_cannot_be_split),
        cmocka_unit_test(test_splitting_stops_at_the_end),
        cmocka_unit_test(test_ports),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_hosts_are_compared_without_case),
        cmocka_unit_test(test_names_of_local_networks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
