/* SPDX-License-Identifier: MIT
 *
 * test_registry.c - places, limits by address, which newcomer gives way, and whom to tell at the
 * end.
 */
#include "server/registry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "net/socket.h"

enum { MOST = 200 };

static struct config config;
static struct registry_slot slots[MOST];
static struct stream streams[MOST];
static struct outbox outs[MOST];
static int count;

static int begin(void **state)
{
    (void)state;
    memset(&config, 0, sizeof(config));
    config.max_clients = 100; /* 25 of them for newcomers */
    config.max_clients_per_address = 50;
    registry_set_config(&config);
    memset(slots, 0, sizeof(slots));
    count = 0;
    return 0;
}

static void leave(struct registry_slot *slot)
{
    struct outbox *out = slot->out;
    registry_delist(slot);
    registry_release(slot);
    if (out)
        outbox_fini(out);
    memset(slot, 0, sizeof(*slot));
}

static int end(void **state)
{
    (void)state;
    for (int i = 0; i < count; i++)
        if (slots[i].number)
            leave(&slots[i]);
    return 0;
}

/* One more that comes from an address; NULL: it gets no place at all. */
static struct registry_slot *come(const char *address)
{
    struct registry_slot *slot = &slots[count];
    assert_true(count < MOST);
    assert_true(address_read(address, strlen(address), &slot->peer));
    if (!registry_reserve(slot)) {
        slot->number = 0; /* it has no place to give back */
        return NULL;
    }
    count++;
    return slot;
}

/* One more that becomes a member. */
static struct registry_slot *come_and_join(const char *address)
{
    struct registry_slot *slot = come(address);
    registry_upgrade(slot);
    registry_joined(slot);
    return slot;
}

/* From an address whose /24 nobody else has. */
static struct registry_slot *come_alone(int who)
{
    char address[ADDRESS_TEXT_MAX];
    snprintf(address, sizeof(address), "16.%d.%d.1", who / 256, who % 256);
    return come(address);
}

static void enlist(struct registry_slot *slot)
{
    struct outbox *out = &outs[slot - slots];
    struct stream *stream = &streams[slot - slots];
    memset(stream, 0, sizeof(*stream));
    pthread_mutex_init(&stream->lock, NULL);
    stream->fd = -1;
    outbox_init(out, stream, 1000);
    registry_enlist(slot, out);
}

static struct outbox_state state_of(const struct registry_slot *slot)
{
    return outbox_state(slot->out);
}

static void test_places_are_numbered_and_given_back(void **state)
{
    (void)state;
    struct registry_slot *one = come_alone(1), *two = come_alone(2);
    assert_int_equal(two->number, one->number + 1);
    assert_int_equal(one->refusal, 0);
    assert_false(one->spare);
    assert_true(one->counted);
    registry_probe();
}

/* The place beyond max_clients is a spare one, to refuse from; those are bounded, too. */
static void test_the_server_is_full(void **state)
{
    (void)state;
    for (int i = 0; i < config.max_clients; i++)
        registry_joined(come_alone(i));
    for (int i = 0; i < REGISTRY_SPARE; i++) {
        struct registry_slot *slot = come_alone(1000 + i);
        assert_non_null(slot);
        assert_true(slot->spare);
        assert_int_equal(slot->refusal, 503);
        assert_string_equal(slot->why, "the server is full");
    }
    struct registry_slot *more = &slots[count];
    assert_null(come_alone(2000));
    assert_int_equal(more->refusal, 503);
    memset(more, 0, sizeof(*more));
    leave(&slots[0]);
    slots[0].number = 0;
    struct registry_slot *next = come_alone(2001);
    assert_non_null(next);
    assert_int_equal(next->refusal, 0);
}

static void test_an_address_has_so_many(void **state)
{
    (void)state;
    config.max_clients_per_address = 3;
    for (int i = 0; i < 3; i++)
        assert_int_equal(come_and_join("192.0.2.1")->refusal, 0);
    struct registry_slot *fourth = come("192.0.2.1");
    assert_int_equal(fourth->refusal, 429);
    assert_true(fourth->spare);
    assert_int_equal(come("192.0.2.2")->refusal, 0);
    leave(fourth);
    leave(&slots[0]);
    struct registry_slot *next = come("192.0.2.1"), *other = come("192.0.2.1");
    assert_int_equal(next->refusal, 0);
    assert_int_equal(other->refusal, 0);
    registry_upgrade(next);
    assert_int_equal(next->refusal, 0);
    registry_upgrade(other); /* both had come before there were too many */
    assert_int_equal(other->refusal, 429);
    assert_int_equal(come("192.0.2.1")->refusal, 429);
    assert_int_equal(come("2001:db8::1")->refusal, 0);
}

/* Connections for the page do not take the places of members, and are limited, too. */
static void test_the_page_does_not_count_as_members(void **state)
{
    (void)state;
    config.max_clients = 1000;
    config.max_clients_per_address = 10;
    for (int i = 0; i < REGISTRY_PAGES * 10; i++)
        assert_int_equal(come("192.0.2.1")->refusal, 0);
    for (int i = 0; i < 10; i++) {
        registry_upgrade(&slots[i]);
        assert_int_equal(slots[i].refusal, 0);
    }
    leave(&slots[0]);
    for (int i = 0; i < 10; i++)
        assert_int_equal(come("192.0.2.1")->refusal, 0);
    assert_int_equal(come("192.0.2.1")->refusal, 429);
}

/* An IPv6 /64 is one household. */
static void test_a_household_of_ipv6(void **state)
{
    (void)state;
    config.max_clients_per_address = 2;
    come_and_join("2001:db8::1");
    come_and_join("2001:db8::2");
    assert_int_equal(come("2001:db8::3")->refusal, 429);
    assert_int_equal(come("2001:db8:0:1::3")->refusal, 0);
}

static void test_without_a_limit_by_address(void **state)
{
    (void)state;
    config.max_clients_per_address = 0;
    for (int i = 0; i < 60; i++) {
        struct registry_slot *slot = come("192.0.2.1");
        assert_int_equal(slot->refusal, 0);
        registry_joined(slot);
    }
}

static void test_exempt_addresses(void **state)
{
    (void)state;
    struct sockaddr_storage here, proxy, stranger;
    assert_true(address_read("127.0.0.1", 9, &here));
    assert_true(address_read("10.0.0.1", 8, &proxy));
    assert_true(address_read("192.0.2.1", 9, &stranger));
    assert_true(address_block_read("10.0.0.0/8", &config.trusted_proxies.blocks[0]));
    config.trusted_proxies.count = 1;
    for (int exempt = 0; exempt <= 1; exempt++) {
        config.exempt_loopback = exempt;
        assert_int_equal(registry_exempts(&here, &config), exempt);
        assert_true(registry_exempts(&proxy, &config));
        assert_false(registry_exempts(&stranger, &config));
        assert_int_equal(registry_unguarded(&here, &config), exempt);
        assert_false(registry_unguarded(&proxy, &config));
        assert_int_equal(registry_limits(&here, &config), !exempt);
        assert_false(registry_limits(&proxy, &config));
        assert_true(registry_limits(&stranger, &config));
    }
    config.max_clients_per_address = 0;
    assert_false(registry_limits(&stranger, &config));
    assert_true(address_block_read("127.0.0.0/8", &config.trusted_proxies.blocks[0]));
    assert_false(registry_unguarded(&here, &config)); /* a proxy that named nobody */
}

/* Behind a proxy the limit is that of the client's address. */
static void test_a_client_behind_a_proxy_counts_for_its_own_address(void **state)
{
    (void)state;
    struct sockaddr_storage client;
    assert_true(address_read("192.0.2.1", 9, &client));
    config.max_clients_per_address = 2;
    assert_true(address_block_read("10.0.0.0/8", &config.trusted_proxies.blocks[0]));
    config.trusted_proxies.count = 1;
    for (int i = 0; i < 3; i++) {
        struct registry_slot *slot = come("10.0.0.1");
        assert_int_equal(slot->refusal, 0);
        registry_move(slot, &client);
        registry_upgrade(slot);
        assert_int_equal(slot->refusal, i < 2 ? 0 : 429);
        assert_memory_equal(&slot->peer, &client, sizeof(client));
    }
    assert_int_equal(come("10.0.0.1")->refusal, 0);
}

/* A full share of newcomers: the crowd's oldest gives way, an honest client stays. */
static void test_a_crowd_displaces_its_own(void **state)
{
    (void)state;
    struct registry_slot *honest = come_alone(1), *first = come("192.0.2.1");
    enlist(honest);
    enlist(first);
    int gone = 0;
    for (int i = 0; i < 30; i++)
        assert_int_equal(come("192.0.2.1")->refusal, 0);
    for (int i = 0; i < count; i++)
        gone += slots[i].evicted;
    assert_true(first->evicted);
    assert_true(state_of(first).closing);
    assert_false(honest->evicted);
    assert_false(state_of(honest).closing);
    /* one source has 16 at most: half of 25 is less than REGISTRY_NEWCOMERS_LEAST */
    assert_int_equal(31 - gone, REGISTRY_NEWCOMERS_LEAST);
}

/* A share of 25 that is full of single clients: the oldest goes for each that comes. */
static void test_the_share_of_newcomers_is_bounded(void **state)
{
    (void)state;
    int share = config.max_clients / REGISTRY_NEWCOMERS, gone = 0;
    for (int i = 0; i < share; i++)
        come_alone(i);
    for (int i = 0; i < share; i++)
        assert_false(slots[i].evicted);
    for (int i = 0; i < 5; i++)
        assert_int_equal(come_alone(100 + i)->refusal, 0);
    for (int i = 0; i < count; i++)
        gone += slots[i].evicted;
    assert_int_equal(gone, 5);
    for (int i = 0; i < share; i++)
        if (!slots[i].evicted)
            registry_joined(&slots[i]);
    for (int i = 0; i < 15; i++) /* those that have joined are no newcomers */
        assert_int_equal(come_alone(200 + i)->refusal, 0);
    for (int i = 0; i < count; i++)
        gone -= slots[i].evicted;
    assert_int_equal(gone, 0);
}

/* One that has come further stays longer. */
static void test_the_stage_decides(void **state)
{
    (void)state;
    struct registry_slot *first = come_alone(0), *second = come_alone(1);
    registry_set_stage(first, NEWCOMER_ASKED);
    for (int i = 2; i < 26; i++)
        come_alone(i);
    assert_false(first->evicted);
    assert_true(second->evicted);
}

/* One that gave way before it was enlisted is told as soon as it is. */
static void test_one_that_is_late_is_told_at_once(void **state)
{
    (void)state;
    struct registry_slot *first = come_alone(0);
    for (int i = 1; i < 26; i++)
        come_alone(i);
    assert_true(first->evicted);
    enlist(first);
    assert_true(state_of(first).closing);
    assert_true(registry_ending(first));
}

/* One that is ending already is hurried instead. */
static void test_one_that_is_ending_is_cancelled(void **state)
{
    (void)state;
    struct registry_slot *first = come_alone(0);
    enlist(first);
    assert_false(registry_ending(first));
    for (int i = 1; i < 26; i++)
        come_alone(i);
    assert_true(first->evicted);
    assert_true(state_of(first).cancelled);
    assert_false(state_of(first).closing);
}

static void test_all_are_woken(void **state)
{
    (void)state;
    struct registry_slot *newcomer = come_alone(0), *member = come_alone(1);
    enlist(newcomer);
    enlist(member);
    registry_joined(member);
    net_wait(-1, 0, net_now());
    registry_wake();
    int64_t until = net_now() + 10000;
    net_wait(-1, 0, until); /* this thread owns both */
    assert_true(net_now() < until);
}

/* The last test: there is no way back. */
static void test_the_end(void **state)
{
    (void)state;
    struct registry_slot *newcomer = come_alone(0), *member = come_alone(1);
    struct registry_slot *leaving = come_alone(2);
    enlist(newcomer);
    enlist(member);
    enlist(leaving);
    registry_joined(member);
    registry_ending(leaving);
    assert_false(registry_stopping());
    registry_stop();
    assert_true(registry_stopping());
    assert_true(state_of(newcomer).closing);
    assert_true(state_of(member).closing);
    assert_false(state_of(leaving).closing); /* it has heard enough */
    struct registry_slot *late = come_alone(3);
    assert_int_equal(late->refusal, 503);
    assert_string_equal(late->why, "the server is shutting down");
    enlist(late);
    assert_false(state_of(late).closing); /* its answer tells it */
    int64_t until = net_now() + 20;
    registry_wait(until);
    assert_true(net_now() >= until); /* there are three */
    leave(newcomer);
    leave(member);
    leave(leaving);
    registry_wait(net_now() + 60000); /* not for the spare one */
    assert_int_equal(registry_cut(net_now() + 20), 1);
    assert_true(state_of(late).closing);
    leave(late);
    assert_int_equal(registry_cut(net_now() + 60000), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(test_places_are_numbered_and_given_back),
        TEST(test_the_server_is_full),
        TEST(test_an_address_has_so_many),
        TEST(test_the_page_does_not_count_as_members),
        TEST(test_a_household_of_ipv6),
        TEST(test_without_a_limit_by_address),
        TEST(test_exempt_addresses),
        TEST(test_a_client_behind_a_proxy_counts_for_its_own_address),
        TEST(test_a_crowd_displaces_its_own),
        TEST(test_the_share_of_newcomers_is_bounded),
        TEST(test_the_stage_decides),
        TEST(test_one_that_is_late_is_told_at_once),
        TEST(test_one_that_is_ending_is_cancelled),
        TEST(test_all_are_woken),
        TEST(test_the_end),
    };
    net_wake_init();
    registry_init(&config);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
