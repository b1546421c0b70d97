/* SPDX-License-Identifier: MIT
 *
 * test_interfaces.c - interfaces.c: the addresses of this machine.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>

#include "net/interfaces.h"

struct seen {
    int addresses, others, link_local;
    bool loopback;
};

static void note(void *context, const struct sockaddr_storage *address, bool is_up)
{
    struct seen *seen = context;
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;
    seen->addresses++;
    if (address->ss_family == AF_INET)
        seen->loopback |= is_up && v4->sin_addr.s_addr == htonl(INADDR_LOOPBACK);
    else if (address->ss_family == AF_INET6)
        seen->link_local += IN6_IS_ADDR_LINKLOCAL(&v6->sin6_addr);
    else
        seen->others++;
}

/* Stands in for that of libc. */
static struct ifaddrs *fake_list;
static int freed;

int getifaddrs(struct ifaddrs **list)
{
    *list = fake_list;
    return fake_list ? 0 : -1;
}

void freeifaddrs(struct ifaddrs *list)
{
    freed += list == fake_list;
}

static struct seen walk(struct ifaddrs *list, int count)
{
    struct seen seen = {.addresses = 0};
    for (int i = 0; i + 1 < count; i++)
        list[i].ifa_next = &list[i + 1];
    fake_list = list;
    freed = 0;
    assert_true(interfaces_each(note, &seen));
    assert_int_equal(freed, 1);
    return seen;
}

static void test_kinds_of_addresses(void **state)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 link = {.sin6_family = AF_INET6,
                                .sin6_addr.s6_addr = {0xFE, 0x80, [15] = 1}};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr.s6_addr = {0xFD, [15] = 1}};
    struct sockaddr packet = {.sa_family = AF_PACKET};
    struct ifaddrs list[] = {
        {.ifa_addr = NULL, .ifa_flags = IFF_UP},
        {.ifa_addr = &packet, .ifa_flags = IFF_UP},
        {.ifa_addr = (struct sockaddr *)&link, .ifa_flags = IFF_UP},
        {.ifa_addr = (struct sockaddr *)&v6, .ifa_flags = IFF_UP},
        {.ifa_addr = (struct sockaddr *)&v4},
    };
    (void)state;
    struct seen seen = walk(list, 5);
    assert_int_equal(seen.addresses, 2);
    assert_int_equal(seen.others + seen.link_local, 0);
    assert_false(seen.loopback); /* it is not up */
    list[4].ifa_flags = IFF_UP;
    assert_true(walk(list, 5).loopback);
}

static void test_a_system_that_does_not_tell(void **state)
{
    struct seen seen = {.addresses = 0};
    (void)state;
    fake_list = NULL;
    assert_false(interfaces_each(note, &seen));
    assert_int_equal(seen.addresses, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds_of_addresses),
        cmocka_unit_test(test_a_system_that_does_not_tell),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
