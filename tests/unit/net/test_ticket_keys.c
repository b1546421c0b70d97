/* SPDX-License-Identifier: MIT
 *
 * test_ticket_keys.c - how long a key seals tickets, and how long it opens them.
 */
#include "net/ticket_keys.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "no_memory.h"

enum { BEGIN = 1000 };

static struct ticket_keys *keys;

static int begin(void **state)
{
    (void)state;
    keys = ticket_keys_new();
    return keys ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    ticket_keys_free(keys);
    return 0;
}

static struct ticket_key current(int64_t now)
{
    struct ticket_key key;
    assert_true(ticket_keys_current(keys, now, &key));
    return key;
}

/* Whether the key is known at that time, and is the same. */
static bool is_known(int64_t now, const struct ticket_key *key)
{
    struct ticket_key found;
    if (!ticket_keys_find(keys, now, key->name, &found))
        return false;
    assert_memory_equal(&found, key, sizeof found);
    return true;
}

static void test_a_key_seals_for_a_period(void **state)
{
    (void)state;
    struct ticket_key first = current(BEGIN), same = current(BEGIN + TICKET_PERIOD_MS - 1);
    assert_memory_equal(&first, &same, sizeof first);
    struct ticket_key next = current(BEGIN + TICKET_PERIOD_MS);
    assert_memory_not_equal(first.name, next.name, sizeof first.name);
    assert_memory_not_equal(first.cipher, next.cipher, sizeof first.cipher);
    assert_memory_not_equal(first.mac, next.mac, sizeof first.mac);
    assert_memory_not_equal(next.cipher, next.mac, sizeof next.mac);
}

/* Whether it was replaced meanwhile or not. */
static void test_a_key_opens_for_two_periods(void **state)
{
    (void)state;
    struct ticket_key first = current(BEGIN);
    assert_true(is_known(BEGIN + 2 * TICKET_PERIOD_MS - 1, &first));
    assert_false(is_known(BEGIN + 2 * TICKET_PERIOD_MS, &first));

    first = current(BEGIN + 3 * TICKET_PERIOD_MS);
    struct ticket_key second = current(BEGIN + 4 * TICKET_PERIOD_MS);
    assert_true(is_known(BEGIN + 5 * TICKET_PERIOD_MS - 1, &first));
    assert_false(is_known(BEGIN + 5 * TICKET_PERIOD_MS, &first));
    assert_true(is_known(BEGIN + 6 * TICKET_PERIOD_MS - 1, &second));
    current(BEGIN + 6 * TICKET_PERIOD_MS - 1);
    assert_false(is_known(BEGIN + 6 * TICKET_PERIOD_MS, &second));
}

static void test_an_unknown_name_opens_nothing(void **state)
{
    (void)state;
    struct ticket_key key = {.name = {0}};
    assert_false(is_known(BEGIN, &key));
    key = current(BEGIN);
    key.name[TICKET_NAME_BYTES - 1] ^= 1;
    assert_false(is_known(BEGIN, &key));
}

static void test_two_sets_share_nothing(void **state)
{
    (void)state;
    struct ticket_key key = current(BEGIN);
    struct ticket_keys *first = keys;
    assert_int_equal(begin(state), 0);
    assert_false(is_known(BEGIN, &key));
    ticket_keys_free(first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_key_seals_for_a_period, begin, end),
        cmocka_unit_test_setup_teardown(test_a_key_opens_for_two_periods, begin, end),
        cmocka_unit_test_setup_teardown(test_an_unknown_name_opens_nothing, begin, end),
        cmocka_unit_test_setup_teardown(test_two_sets_share_nothing, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
