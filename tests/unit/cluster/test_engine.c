/* SPDX-License-Identifier: MIT
 *
 * test_engine.c - the calls to a real redis-server, and what all nodes read.
 */
#include "engine_pair.h"

#include <pthread.h>

/* ---- Calls ---- */

static void all_nodes_read_the_same(void **state)
{
    (void)state;
    need_server();
    assert_string_equal(a.epoch, b.epoch);
    assert_int_equal(node_join(&a, "alice", "-"), ENGINE_OK);
    assert_int_equal(node_join(&b, "bob", "-"), ENGINE_OK);
    assert_int_equal(node_say(&a, "one"), ENGINE_OK);
    assert_int_equal(node_say(&b, "two"), ENGINE_OK);
    assert_int_equal(node_say(&a, "three"), ENGINE_OK);
    const char *expected = "j:alice j:bob b1:one b2:two b3:three";
    assert_string_equal(node_read(&a), expected);
    assert_string_equal(node_read(&b), expected);
    assert_string_equal(node_read(&b), "");
}

static void rooms_are_apart(void **state)
{
    struct test_node other;
    (void)state;
    need_server();
    node_open(&other, &target, &test_terms, "r\xC3\xB6om");
    assert_int_equal(node_say(&a, "main"), ENGINE_OK);
    assert_int_equal(node_say(&other, "other"), ENGINE_OK);
    assert_string_equal(node_read(&other), "b1:other");
    assert_string_equal(node_read(&b), "b1:main");
    assert_int_equal(NUMBER(&a.line, "EXISTS", "ragnarok:{72c3b66f6d}:log"), 1);
    assert_int_equal(NUMBER(&a.line, "EXISTS", "ragnarok:{-}:log"), 1);
    node_close(&other);
}

/* One read for several rooms, of which some have nothing. */
static void a_reader_hears_several_rooms(void **state)
{
    struct test_node nodes[3];
    struct engine_log *logs[] = {&nodes[0].log, &nodes[1].log, &nodes[2].log}, *log;
    struct engine_batch batch;
    struct log_entry entry;
    const char *why;
    (void)state;
    need_server();
    node_open(&nodes[0], &target, &test_terms, "x");
    node_open(&nodes[1], &target, &test_terms, "y");
    node_open(&nodes[2], &target, &test_terms, "z");
    assert_int_equal(node_say(&nodes[0], "in x"), ENGINE_OK);
    assert_int_equal(node_say(&nodes[2], "in z"), ENGINE_OK);
    assert_int_equal(node_say(&nodes[2], "in z again"), ENGINE_OK);
    assert_int_equal(engine_read(&a.line, logs, 3, 1, &batch), 0);
    assert_int_equal(engine_batch_next(&batch, &log, &entry, &why), LOG_GOOD);
    assert_true(log == &nodes[0].log && text_equals(entry.body, "in x"));
    assert_int_equal(engine_batch_next(&batch, &log, &entry, &why), LOG_GOOD);
    assert_true(log == &nodes[2].log && text_equals(entry.body, "in z"));
    engine_batch_skip(&batch);
    assert_int_equal(engine_batch_next(&batch, &log, &entry, &why), LOG_END);
    engine_batch_fini(&batch);
    for (int i = 0; i < 3; i++)
        node_close(&nodes[i]);
}

static void each_call_takes_effect_once(void **state)
{
    struct engine_answer answer;
    struct engine_call *calls[3];
    (void)state;
    need_server();
    calls[0] = engine_join(&a.seat, text_of("alice"), text_of("-"), text_of("{}"));
    calls[1] = engine_say(&a.seat, text_of("one"));
    calls[2] = engine_leave(&a.seat, text_of("alice"), calls[0]->seq);
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < 3; i++) {
            assert_int_equal(engine_send(&a.line, calls[i]), 0);
            assert_int_equal(engine_receive(&a.line, calls[i], &answer), ENGINE_OK);
            assert_int_equal(answer.repeated, round > 0);
            engine_answer_fini(&answer);
        }
    for (int i = 0; i < 3; i++)
        engine_call_free(calls[i]);
    assert_int_equal(a.seat.done, 3);
    assert_string_equal(node_read(&b), "j:alice b1:one l:alice");
}

/* An open that is sent again, because its answer was lost, must not let other calls work twice. */
static void a_repeated_open_changes_nothing(void **state)
{
    struct test_node c;
    struct engine_answer answer;
    (void)state;
    need_server();
    node_open(&c, &target, &test_terms, "");
    struct engine_call *open = engine_open(&c.seat, false, NULL);
    struct engine_call *say = engine_say(&c.seat, text_of("one"));
    for (int round = 0; round < 2; round++) {
        assert_int_equal(engine_send(&c.line, open), 0);
        assert_int_equal(engine_send(&c.line, say), 0);
        assert_int_equal(engine_receive(&c.line, open, &answer), ENGINE_OK);
        engine_answer_fini(&answer);
        assert_int_equal(engine_receive(&c.line, say, &answer), ENGINE_OK);
        assert_int_equal(answer.repeated, round == 1);
        engine_answer_fini(&answer);
    }
    engine_call_free(open);
    engine_call_free(say);
    assert_string_equal(node_read(&a), "b1:one");
    node_close(&c);
}

static void a_missing_call_is_a_gap(void **state)
{
    struct engine_answer answer;
    (void)state;
    need_server();
    assert_int_equal(node_say(&a, "one"), ENGINE_OK);
    struct engine_call *second = engine_say(&a.seat, text_of("two"));
    struct engine_call *third = engine_say(&a.seat, text_of("three"));
    assert_int_equal(engine_send(&a.line, third), 0);
    assert_int_equal(engine_receive(&a.line, third, &answer), ENGINE_GAP);
    assert_int_equal(answer.last, 1);
    engine_answer_fini(&answer);
    assert_int_equal(call_now(&a.line, second), ENGINE_OK);
    assert_int_equal(call_now(&a.line, third), ENGINE_OK);
    assert_string_equal(node_read(&b), "b1:one b2:two b3:three");
}

static void calls_are_pipelined_up_to_a_bound(void **state)
{
    static struct engine_call *calls[REDIS_CALLS_MAX + 1];
    struct engine_answer answer;
    (void)state;
    need_server();
    for (int i = 0; i <= REDIS_CALLS_MAX; i++) {
        calls[i] = engine_say(&a.seat, text_of("x"));
        assert_int_equal(engine_send(&a.line, calls[i]), i < REDIS_CALLS_MAX ? 0 : -1);
    }
    assert_true(redis_line_is_up(&a.line));
    for (int i = 0; i < REDIS_CALLS_MAX; i++) {
        assert_int_equal(engine_receive(&a.line, calls[i], &answer), ENGINE_OK);
        engine_answer_fini(&answer);
    }
    for (int i = 0; i <= REDIS_CALLS_MAX; i++)
        engine_call_free(calls[i]);
}

static void texts_above_their_bounds_make_no_call(void **state)
{
    static char longest[REDIS_BODY_MAX + 2];
    struct text name = text_of("a"), none = text_of("-");
    (void)state;
    need_server();
    memset(longest, 'x', REDIS_BODY_MAX + 1);
    assert_null(engine_say(&a.seat, text_of(longest)));
    assert_null(engine_tell(&a.seat, name, text_of(longest)));
    assert_null(engine_join(&a.seat, name, none, text_first(text_of(longest), LOG_CARD_MAX + 1)));
    assert_null(engine_join(&a.seat, text_first(text_of(longest), LOG_NAME_MAX + 1), none, none));
    assert_null(engine_join(&a.seat, name, text_of(""), none));
    assert_null(engine_leave(&a.seat, text_of(""), 1));
    assert_int_equal(a.seat.seq, 0);
    longest[REDIS_BODY_MAX] = '\0';
    assert_int_equal(node_say(&a, longest), ENGINE_OK);
}

/* ---- Names and private messages ---- */

static void a_name_is_unique(void **state)
{
    (void)state;
    need_server();
    assert_int_equal(node_join(&a, "bob", "-"), ENGINE_OK);
    assert_int_equal(node_join(&b, "bob", "-"), ENGINE_OK);
    assert_int_equal(node_join(&b, "bob", "KEY"), ENGINE_OK);
    assert_string_equal(node_read(&a), "j:bob r:name_taken r:name_taken");
    assert_int_equal(call_now(&a.line, engine_leave(&a.seat, text_of("bob"), 1)), ENGINE_OK);
    assert_int_equal(node_join(&b, "bob", "KEY"), ENGINE_OK);
    assert_string_equal(node_read(&a), "l:bob j:bob");
}

/* Of a seat that is known no more, though its members are: the engine has lost a part. */
static void a_name_of_nobody_is_free(void **state)
{
    (void)state;
    need_server();
    assert_int_equal(node_join(&b, "bob", "-"), ENGINE_OK);
    DO(&a.line, "HDEL", "ragnarok:{-}:seats", b.seat.seat);
    assert_int_equal(node_join(&a, "bob", "-"), ENGINE_OK);
    assert_string_equal(node_read(&a), "j:bob j:bob:replaces");
}

/* A leave that comes late must not end a later membership, nor that of another node. */
static void only_the_membership_itself_ends(void **state)
{
    (void)state;
    need_server();
    assert_int_equal(node_join(&a, "bob", "-"), ENGINE_OK);
    assert_int_equal(call_now(&a.line, engine_leave(&a.seat, text_of("bob"), 2)), ENGINE_OK);
    assert_int_equal(call_now(&b.line, engine_leave(&b.seat, text_of("bob"), 1)), ENGINE_OK);
    assert_int_equal(call_now(&b.line, engine_leave(&b.seat, text_of("eve"), 1)), ENGINE_OK);
    assert_string_equal(node_read(&a), "j:bob");
    assert_int_equal(call_now(&a.line, engine_leave(&a.seat, text_of("bob"), 1)), ENGINE_OK);
    assert_string_equal(node_read(&a), "l:bob");
}

static void the_same_key_takes_a_name_over(void **state)
{
    (void)state;
    need_server();
    assert_int_equal(node_join(&a, "bob", "KEY"), ENGINE_OK);
    assert_int_equal(node_join(&b, "bob", "OTHER"), ENGINE_OK);
    assert_int_equal(node_join(&b, "bob", "KEY"), ENGINE_OK);
    /* the member that was replaced leaves, but the name is not its own any more */
    assert_int_equal(call_now(&a.line, engine_leave(&a.seat, text_of("bob"), 1)), ENGINE_OK);
    assert_string_equal(node_read(&a), "j:bob r:name_taken j:bob:replaces");
    struct test_node c;
    node_open(&c, &target, &test_terms, "");
    assert_int_equal(c.people, 1);
    node_close(&c);
}

struct claim {
    pthread_t thread;
    struct test_node node;
    int round;
};

static void *claim_name(void *context)
{
    struct claim *claim = context;
    char name[20];
    for (int round = 0; round < 20; round++) {
        sprintf(name, "name-%d", round);
        if (node_join(&claim->node, name, "-") != ENGINE_OK)
            return context;
    }
    return NULL;
}

static void of_thirty_claims_to_a_name_one_wins(void **state)
{
    static struct claim claims[30];
    void *failed;
    (void)state;
    need_server();
    for (int i = 0; i < 30; i++)
        node_open(&claims[i].node, &target, &test_terms, "");
    for (int i = 0; i < 30; i++)
        assert_int_equal(pthread_create(&claims[i].thread, NULL, claim_name, &claims[i]), 0);
    for (int i = 0; i < 30; i++) {
        pthread_join(claims[i].thread, &failed);
        assert_null(failed);
    }
    const char *log = node_read(&a);
    int winners = 0, losers = 0;
    for (const char *at = log; (at = strstr(at, "j:name-")) != NULL; at++)
        winners++;
    for (const char *at = log; (at = strstr(at, "r:name_taken")) != NULL; at++)
        losers++;
    assert_int_equal(winners, 20);
    assert_int_equal(losers, 20 * 29);
    for (int i = 0; i < 30; i++)
        node_close(&claims[i].node);
}

static void a_private_message_keeps_the_order(void **state)
{
    (void)state;
    need_server();
    assert_int_equal(node_join(&b, "bob", "-"), ENGINE_OK);
    assert_int_equal(node_say(&a, "one"), ENGINE_OK);
    assert_int_equal(call_now(&a.line, engine_tell(&a.seat, text_of("bob"), text_of("psst"))),
                     ENGINE_OK);
    assert_int_equal(node_say(&a, "two"), ENGINE_OK);
    assert_int_equal(call_now(&a.line, engine_tell(&a.seat, text_of("eve"), text_of("psst"))),
                     ENGINE_OK);
    const char *expected = "j:bob b1:one p:bob:psst b2:two r:unknown_user";
    assert_string_equal(node_read(&b), expected);
    assert_string_equal(node_read(&a), expected);
}

/* ---- Seats ---- */

static void a_seat_that_is_over_is_fenced_and_its_members_leave(void **state)
{
    struct engine_terms brief = test_terms;
    struct test_node c;
    (void)state;
    need_server();
    brief.lease_ms = 1;
    node_open(&c, &target, &brief, "");
    assert_int_equal(node_join(&c, "carl", "-"), ENGINE_OK);
    assert_int_equal(node_join(&a, "carl", "-"), ENGINE_OK); /* still taken: nobody has swept */
    assert_int_equal(node_beat(&a, false), ENGINE_OK);
    assert_string_equal(node_read(&a), "j:carl r:name_taken");
    int64_t until = net_now() + REDIS_START_MS;
    do
        assert_int_equal(node_beat(&a, true), ENGINE_OK);
    while (node_read(&a)[0] != 'x' && net_now() < until);
    assert_int_equal(node_say(&c, "late"), ENGINE_FENCED);
    assert_int_equal(node_beat(&c, false), ENGINE_FENCED);
    assert_int_equal(node_join(&a, "carl", "-"), ENGINE_OK);
    assert_string_equal(node_read(&a), "j:carl");
    node_close(&c);
}

/* The first beat that the engine carries out after it was away, perhaps one that waited in its
 * socket, finds the leases of all others over. */
static void an_engine_that_was_away_throws_nobody_out(void **state)
{
    struct engine_terms brief = test_terms;
    struct test_node c, d;
    (void)state;
    need_server();
    brief.lease_ms = 300;
    node_open(&c, &target, &brief, "away");
    node_open(&d, &target, &brief, "away");
    assert_int_equal(node_beat(&c, true), ENGINE_OK);
    assert_int_equal(node_beat(&d, true), ENGINE_OK);
    int64_t away = net_now() + brief.lease_ms + 10;
    while (net_now() < away)
        net_wait(-1, 0, away);
    assert_int_equal(node_beat(&c, true), ENGINE_OK);
    assert_int_equal(node_beat(&d, false), ENGINE_OK);
    int64_t until = net_now() + REDIS_START_MS; /* and then only c is there */
    do
        assert_int_equal(node_beat(&c, true), ENGINE_OK);
    while (node_read(&c)[0] != 'x' && net_now() < until);
    assert_int_equal(node_beat(&d, false), ENGINE_FENCED);
    node_close(&c);
    node_close(&d);
}

static void closing_a_seat_lets_its_members_leave(void **state)
{
    struct test_node c;
    (void)state;
    need_server();
    assert_int_equal(node_join(&b, "bob", "-"), ENGINE_OK);
    assert_int_equal(node_join(&a, "alice", "-"), ENGINE_OK);
    assert_int_equal(call_now(&b.line, engine_close(&b.seat)), ENGINE_OK);
    assert_int_equal(call_now(&b.line, engine_close(&b.seat)), ENGINE_FENCED);
    assert_string_equal(node_read(&a), "j:bob j:alice x");
    assert_int_equal(NUMBER(&a.line, "HLEN", "ragnarok:{-}:seats"), 1); /* nothing of it is left */
    assert_int_equal(NUMBER(&a.line, "HLEN", "ragnarok:{-}:turns"), 1);
    assert_int_equal(NUMBER(&a.line, "HLEN", "ragnarok:{-}:who"), 1);
    node_open(&c, &target, &test_terms, "");
    assert_int_equal(c.people, 1);
    node_close(&c);
}

static void only_a_line_of_a_whole_lease_may_sweep(void **state)
{
    struct engine_terms terms = test_terms;
    (void)state;
    need_server();
    assert_false(engine_may_sweep(&a.line, &terms));
    terms.lease_ms = 0;
    assert_true(engine_may_sweep(&a.line, &terms));
    redis_line_drop(&a.line, "test");
    assert_false(engine_may_sweep(&a.line, &terms));
}

/* The keys of a room that no node holds expire, all of them. */
static void every_key_of_a_room_expires(void **state)
{
    static const char *const parts[] = {"log", "room", "who", "seats", "turns"};
    char key[64];
    (void)state;
    need_server();
    assert_int_equal(node_join(&a, "alice", "-"), ENGINE_OK);
    assert_int_equal(node_say(&a, "one"), ENGINE_OK);
    for (size_t i = 0; i < 5; i++) {
        sprintf(key, "ragnarok:{-}:%s", parts[i]);
        assert_in_range(NUMBER(&a.line, "PTTL", key), 1, test_terms.keep_ms);
    }
    DO(&a.line, "DEL", "ragnarok:{-}:room"); /* expired before the others */
    struct test_node c;
    node_open(&c, &target, &test_terms, "");
    assert_string_not_equal(c.epoch, a.epoch);
    assert_int_equal(c.people, 0);
    assert_int_equal(node_say(&a, "late"), ENGINE_FENCED);
    assert_int_equal(NUMBER(&a.line, "XLEN", "ragnarok:{-}:log"), 0);
    node_close(&c);
}

/* ---- Rules ---- */

static enum engine_result open_with(const struct engine_terms *terms, bool sweep, char *why)
{
    struct engine_answer answer;
    struct engine_seat seat;
    assert_int_equal(engine_seat_init(&seat, terms, ""), 0);
    struct engine_call *call = engine_open(&seat, sweep, NULL);
    assert_int_equal(engine_send(&a.line, call), 0);
    enum engine_result result = engine_receive(&a.line, call, &answer);
    memcpy(why, answer.why, sizeof(answer.why));
    engine_answer_fini(&answer);
    engine_call_free(call);
    engine_seat_fini(&seat);
    return result;
}

static void a_node_with_other_rules_is_told_which(void **state)
{
    struct engine_terms terms = test_terms;
    char why[REDIS_WHY_MAX];
    const char *wrong;
    (void)state;
    need_server();
    terms.rules = "max_message_bytes=1024";
    assert_int_equal(open_with(&terms, true, why), ENGINE_RULES);
    assert_string_equal(why, "max_message_bytes: the other nodes have 65536, this node has 1024");
    terms = test_terms;
    struct sealing *sealing = sealing_new("0123456789abcdef0123456789abcdef", &wrong);
    terms.sealing = sealing;
    assert_int_equal(open_with(&terms, true, why), ENGINE_RULES);
    assert_string_equal(why, "cluster_secret: the other nodes have none");
    /* when all others have gone, and one lost its seat, the new rules are those of the room */
    DO(&a.line, "HSET", "ragnarok:{-}:seats", "0123456789abcdef0123456789abcdef", "1");
    assert_int_equal(call_now(&a.line, engine_close(&a.seat)), ENGINE_OK);
    assert_int_equal(call_now(&b.line, engine_close(&b.seat)), ENGINE_OK);
    assert_int_equal(open_with(&terms, false, why), ENGINE_RULES);
    assert_int_equal(open_with(&terms, true, why), ENGINE_OK);
    assert_int_equal(open_with(&test_terms, true, why), ENGINE_RULES);
    assert_string_equal(why, "cluster_secret: the other nodes have one, this node has none");
    sealing_free(sealing);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(all_nodes_read_the_same, start, end),
        cmocka_unit_test_setup_teardown(rooms_are_apart, start, end),
        cmocka_unit_test_setup_teardown(a_reader_hears_several_rooms, start, end),
        cmocka_unit_test_setup_teardown(each_call_takes_effect_once, start, end),
        cmocka_unit_test_setup_teardown(a_repeated_open_changes_nothing, start, end),
        cmocka_unit_test_setup_teardown(a_missing_call_is_a_gap, start, end),
        cmocka_unit_test_setup_teardown(calls_are_pipelined_up_to_a_bound, start, end),
        cmocka_unit_test_setup_teardown(texts_above_their_bounds_make_no_call, start, end),
        cmocka_unit_test_setup_teardown(a_name_is_unique, start, end),
        cmocka_unit_test_setup_teardown(a_name_of_nobody_is_free, start, end),
        cmocka_unit_test_setup_teardown(only_the_membership_itself_ends, start, end),
        cmocka_unit_test_setup_teardown(the_same_key_takes_a_name_over, start, end),
        cmocka_unit_test_setup_teardown(of_thirty_claims_to_a_name_one_wins, start, end),
        cmocka_unit_test_setup_teardown(a_private_message_keeps_the_order, start, end),
        cmocka_unit_test_setup_teardown(a_seat_that_is_over_is_fenced_and_its_members_leave, start,
                                        end),
        cmocka_unit_test_setup_teardown(closing_a_seat_lets_its_members_leave, start, end),
        cmocka_unit_test_setup_teardown(an_engine_that_was_away_throws_nobody_out, start, end),
        cmocka_unit_test_setup_teardown(only_a_line_of_a_whole_lease_may_sweep, start, end),
        cmocka_unit_test_setup_teardown(every_key_of_a_room_expires, start, end),
        cmocka_unit_test_setup_teardown(a_node_with_other_rules_is_told_which, start, end),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
