/* SPDX-License-Identifier: MIT
 *
 * test_exposure.c - exposure.c: on which addresses the sample password is refused.
 *
 * The sockets are bound to addresses that this machine need not have (IP_FREEBIND); what it does
 * where a listener takes all addresses is looked at in test_startup.py, in networks made for it.
 */
#include "server/exposure.h"

#include "net/socket.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <netinet/in.h>

static char sample[] = "963", own[] = "a secret", none[] = "", path[] = "config.json";
static struct config config = {.path = path, .server_password = sample};
static char error[CONFIG_ERROR_MAX];

static int bound_to(const char *text)
{
    struct sockaddr_storage address;
    int one = 1;
    assert_true(address_read(text, strlen(text), &address));
    int fd = socket(address.ss_family, SOCK_DGRAM, 0);
    setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &one, sizeof one);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0)
        fail_msg("no socket with the address %s", text);
    return fd;
}

/* What is said to listeners with these addresses; NULL: nothing. */
static const char *refusal(const char *first, const char *second)
{
    int fds[] = {bound_to(first), second ? bound_to(second) : -1};
    exposure_init(fds, second ? 2 : 1);
    int rc = exposure_check(&config, error);
    close(fds[0]);
    if (second)
        close(fds[1]);
    return rc < 0 ? error : NULL;
}

static void test_the_sample_password_is_refused_on_a_public_address(void **state)
{
    (void)state;
    static const char *const public[] = {"203.0.113.7", "2001:db8::1", "::ffff:203.0.113.7"};
    static const char *const private[] = {"127.0.0.1", "::1", "10.1.2.3", "192.168.1.2", "fd00::1"};
    for (size_t i = 0; i < sizeof public / sizeof *public; i++)
        assert_non_null(refusal(public[i], NULL));
    for (size_t i = 0; i < sizeof private / sizeof *private; i++)
        assert_null(refusal(private[i], NULL));
    assert_non_null(refusal("127.0.0.1", "203.0.113.7"));
    assert_null(refusal("127.0.0.1", "::1"));
}

static void test_a_password_of_ones_own_or_none_is_not_refused(void **state)
{
    (void)state;
    config.server_password = own;
    assert_null(refusal("203.0.113.7", NULL));
    config.server_password = none;
    assert_null(refusal("203.0.113.7", NULL));
    config.server_password = sample;
}

static void test_the_refusal_says_what_to_do(void **state)
{
    (void)state;
    const char *said = refusal("203.0.113.7", NULL);
    assert_non_null(strstr(said, "server_password"));
    assert_non_null(strstr(said, "203.0.113.7"));
    assert_non_null(strstr(said, "a password of your own, or --allow-sample-password"));
    assert_null(strchr(said, '\n'));
}

/* getsockname fails: the address is not known. */
static void test_an_unknown_address_counts_as_public(void **state)
{
    (void)state;
    int no_socket = -1;
    exposure_init(&no_socket, 1);
    assert_int_equal(exposure_check(&config, error), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_sample_password_is_refused_on_a_public_address),
        cmocka_unit_test(test_a_password_of_ones_own_or_none_is_not_refused),
        cmocka_unit_test(test_the_refusal_says_what_to_do),
        cmocka_unit_test(test_an_unknown_address_counts_as_public),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
