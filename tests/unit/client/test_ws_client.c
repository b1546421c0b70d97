/* SPDX-License-Identifier: MIT
 *
 * test_ws_client.c - when the line to the server is taken up again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "client/ws_client.h"

/* A wait is as long as it is meant to be, give or take half of that. */
static void assert_wait(struct ws_client *ws, int64_t meant)
{
    int64_t wait = ws_client_patience(ws);
    assert_true(wait >= meant / 2 && wait <= meant + meant / 2);
}

static void each_wait_is_longer_up_to_half_a_minute(void **state)
{
    struct ws_client ws;
    struct url url = {.port = 1};
    (void)state;
    ws_client_init(&ws, &url, NULL);
    for (int64_t meant = WS_CLIENT_RETRY_MS; meant < WS_CLIENT_RETRY_MAX_MS; meant *= 2)
        assert_wait(&ws, meant);
    for (int i = 0; i < 100; i++)
        assert_wait(&ws, WS_CLIENT_RETRY_MAX_MS);
    ws_client_fini(&ws);
}

static void only_a_minute_of_being_in_makes_the_waits_short_again(void **state)
{
    static const int64_t too_short[] = {0, 1, WS_CLIENT_STEADY_MS - 1};
    struct ws_client ws;
    struct url url = {.port = 1};
    (void)state;
    ws_client_init(&ws, &url, NULL);
    for (int i = 0; i < 10; i++)
        ws_client_patience(&ws);
    for (size_t i = 0; i < sizeof(too_short) / sizeof(*too_short); i++) {
        ws_client_served(&ws, too_short[i]);
        assert_wait(&ws, WS_CLIENT_RETRY_MAX_MS);
    }
    ws_client_served(&ws, WS_CLIENT_STEADY_MS);
    assert_wait(&ws, WS_CLIENT_RETRY_MS);
    ws_client_fini(&ws);
}

/* The bound: after six ends in a row a line comes back once in 5 minutes. */
static void who_was_too_fast_pauses_longer_each_time(void **state)
{
    static const int64_t pauses[] = {10000, 20000, 40000, 80000, 160000, 300000, 300000};
    struct ws_client ws;
    struct url url = {.port = 1};
    (void)state;
    ws_client_init(&ws, &url, NULL);
    for (int round = 0; round < 2; round++)
        for (size_t i = 0; i < sizeof(pauses) / sizeof(*pauses); i++) {
            int64_t stayed = i == 0 ? WS_CLIENT_CALM_MS : WS_CLIENT_CALM_MS - 1;
            assert_int_equal(ws_client_pause(&ws, stayed), pauses[i]);
        }
    ws_client_fini(&ws);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_wait_is_longer_up_to_half_a_minute),
        cmocka_unit_test(only_a_minute_of_being_in_makes_the_waits_short_again),
        cmocka_unit_test(who_was_too_fast_pauses_longer_each_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
