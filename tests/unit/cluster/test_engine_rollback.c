/* SPDX-License-Identifier: MIT
 *
 * test_engine_rollback.c - an engine that has lost something, and what is no loss.
 */
#include "engine_pair.h"

static void say_many(struct test_node *node, int count, const char *body)
{
    for (int i = 0; i < count; i++)
        assert_int_equal(node_say(node, body), ENGINE_OK);
}

/* ---- Rolled back ---- */

static const char *const keys[] = {"ragnarok:{-}:log", "ragnarok:{-}:room", "ragnarok:{-}:who",
                                   "ragnarok:{-}:seats", "ragnarok:{-}:turns"};
static struct reply_value *saved[5];

/* Saves the room, as a replica has it that then lags. */
static void save_room(void)
{
    for (int i = 0; i < 5; i++) {
        reply_free(saved[i]);
        const char *const words[] = {"DUMP", keys[i], NULL};
        saved[i] = do_words(&a.line, words);
    }
}

/* The replica has become the master. */
static void roll_back(void)
{
    for (int i = 0; i < 5; i++) {
        DO(&a.line, "DEL", keys[i]);
        if (saved[i]->type != REPLY_STRING)
            continue;
        const struct text words[] = {
            text_of("RESTORE"), text_of(keys[i]), text_of("0"), {saved[i]->bytes, saved[i]->len}};
        struct reply_value *value = redis_line_ask(&a.line, words, 4);
        assert_non_null(value);
        assert_int_equal(value->type, REPLY_STATUS);
        reply_free(value);
    }
}

static int drop_saved(void **state)
{
    for (int i = 0; i < 5; i++) {
        reply_free(saved[i]);
        saved[i] = NULL;
    }
    return end(state);
}

static void lost_entries_are_noticed_by_reader_and_writer(void **state)
{
    (void)state;
    need_server();
    say_many(&a, 3, "x");
    save_room();
    say_many(&a, 2, "lost");
    node_read(&b);
    assert_int_equal(node_beat(&b, false), ENGINE_OK);
    roll_back();
    assert_int_equal(node_beat(&b, false), ENGINE_ROLLED);
    assert_int_equal(node_beat(&a, false), ENGINE_ROLLED); /* by its own calls: it read nothing */
    assert_int_equal(node_say(&a, "more"), ENGINE_GAP);
}

/* The new history has as many entries as the old one. */
static void another_history_is_noticed(void **state)
{
    struct test_node c;
    (void)state;
    need_server();
    say_many(&a, 3, "x");
    save_room();
    say_many(&a, 2, "lost");
    node_read(&b);
    roll_back();
    node_open(&c, &target, &test_terms, "");
    say_many(&c, 2, "other");
    assert_int_equal(node_beat(&b, false), ENGINE_ROLLED);
    say_many(&c, 20, "other");
    assert_int_equal(node_beat(&b, false), ENGINE_ROLLED);
    node_close(&c);
}

/* The last entry was a private message: its receiver deletes it, which is no loss; a rollback is
 * one. */
static void private_messages_are_compared_too(void **state)
{
    (void)state;
    need_server();
    assert_int_equal(node_join(&b, "bob", "-"), ENGINE_OK);
    say_many(&a, 1, "x");
    save_room();
    for (int i = 0; i < 3; i++)
        assert_int_equal(call_now(&a.line, engine_tell(&a.seat, text_of("bob"), text_of("psst"))),
                         ENGINE_OK);
    node_read(&b);
    node_read(&a);
    assert_int_equal(node_beat(&b, false), ENGINE_OK);
    assert_int_equal(NUMBER(&a.line, "XLEN", keys[0]), 5);
    assert_int_equal(call_now(&b.line, delivered_call(&b, &a)), ENGINE_OK);
    assert_int_equal(NUMBER(&a.line, "XLEN", keys[0]), 5); /* one less, and the answer */
    assert_int_equal(node_beat(&b, false), ENGINE_OK);
    say_many(&b, 1, "y");
    assert_int_equal(node_beat(&a, false),
                     ENGINE_OK); /* the position is gone; its neighbours fit */
    roll_back();
    assert_int_equal(node_beat(&b, false), ENGINE_ROLLED);
    assert_int_equal(node_beat(&a, false), ENGINE_ROLLED);
}

/* Only private messages were lost, and the receiver has read none of them: the sender, which was
 * told that they are delivered, notices. */
static void lost_private_messages_are_noticed_by_their_sender(void **state)
{
    (void)state;
    need_server();
    assert_int_equal(node_join(&b, "bob", "-"), ENGINE_OK);
    node_read(&b);
    save_room();
    assert_int_equal(call_now(&a.line, engine_tell(&a.seat, text_of("bob"), text_of("psst"))),
                     ENGINE_OK);
    roll_back();
    assert_int_equal(node_beat(&b, false), ENGINE_OK); /* it has lost nothing that it has read */
    assert_int_equal(node_beat(&a, false), ENGINE_ROLLED);
}

/* Another history, in whose place of the deleted private message nothing is missing by count. */
static void another_history_after_a_private_message_is_noticed(void **state)
{
    struct test_node c;
    (void)state;
    need_server();
    assert_int_equal(node_join(&b, "bob", "-"), ENGINE_OK);
    save_room();
    assert_int_equal(call_now(&a.line, engine_tell(&a.seat, text_of("bob"), text_of("psst"))),
                     ENGINE_OK);
    node_read(&b);
    roll_back();
    assert_int_equal(node_beat(&b, false), ENGINE_ROLLED);
    node_open(&c, &target, &test_terms, "");
    for (int i = 0; i < 4; i++) {
        say_many(&c, 1, "other");
        assert_int_equal(node_beat(&b, false), ENGINE_ROLLED);
    }
    node_close(&c);
}

static void two_nodes_make_one_new_epoch(void **state)
{
    char epoch[SEAT_MAX], old[SEAT_MAX];
    struct engine_answer answer;
    (void)state;
    need_server();
    say_many(&a, 3, "x");
    node_read(&a);
    node_read(&b);
    strcpy(old, a.epoch);
    for (int i = 0; i < 2; i++) {
        struct test_node *node = i == 0 ? &a : &b;
        struct engine_call *call = engine_renew(&node->seat, old);
        assert_int_equal(engine_send(&node->line, call), 0);
        assert_int_equal(engine_receive(&node->line, call, &answer), ENGINE_OK);
        if (i == 1)
            assert_string_equal(answer.epoch, epoch);
        strcpy(epoch, answer.epoch);
        engine_answer_fini(&answer);
        engine_call_free(call);
    }
    assert_string_not_equal(epoch, old);
    assert_string_equal(node_read(&a), "e");
    assert_string_equal(node_read(&b), "e");
}

/* A node whose seat was lost by the rollback is fenced. Its next open compares what it had read. */
static void a_lost_seat_still_compares(void **state)
{
    struct test_node c;
    (void)state;
    need_server();
    save_room();
    node_open(&c, &target, &test_terms, "");
    say_many(&a, 2, "lost");
    node_read(&c);
    roll_back();
    assert_int_equal(node_say(&c, "x"), ENGINE_FENCED);
    struct log_position position = c.log.order.position;
    engine_log_fini(&c.log);
    assert_int_equal(take_seat(&c, &test_terms, "", &position), ENGINE_ROLLED);
    assert_string_equal(c.epoch, a.epoch);
    assert_int_equal(call_now(&c.line, engine_renew(&c.seat, c.epoch)), ENGINE_OK);
    assert_string_equal(node_read(&c), "e");
    node_close(&c);
}

/* Entries that are written by hand, as no history of one engine has them. */
static void put_entry(const char *at, const char *seq, const char *number)
{
    DO(&a.line, "XADD", keys[0], at, "k", "b", "s", a.seat.seat, "q", seq, "n", number, "i", "1",
       "d", "{");
}

static void the_entry_at_the_place_must_be_the_same(void **state)
{
    char at[LOG_AT_MAX];
    (void)state;
    need_server();
    say_many(&a, 3, "x");
    node_read(&b);
    strcpy(at, b.log.order.position.at);
    DO(&a.line, "DEL", keys[0]);
    put_entry(at, "3", "3");
    assert_int_equal(node_beat(&b, false), ENGINE_OK);
    DO(&a.line, "DEL", keys[0]);
    put_entry(at, "2", "3");
    assert_int_equal(node_beat(&b, false), ENGINE_ROLLED);
    DO(&a.line, "DEL", keys[0]);
    put_entry(at, "3", "2");
    assert_int_equal(node_beat(&b, false), ENGINE_ROLLED);
    DO(&a.line, "DEL", keys[0]);
    assert_int_equal(node_beat(&b, false), ENGINE_ROLLED);
}

/* The entries around a private message that is gone: the new master's clock may be behind. */
static void the_neighbours_of_a_private_message_must_fit(void **state)
{
    (void)state;
    need_server();
    assert_int_equal(node_join(&b, "bob", "-"), ENGINE_OK);
    assert_int_equal(call_now(&a.line, engine_tell(&a.seat, text_of("bob"), text_of("psst"))),
                     ENGINE_OK);
    node_read(&b); /* it is number 2 */
    DO(&a.line, "DEL", keys[0]);
    put_entry("1-1", "1", "1");
    assert_int_equal(node_beat(&b, false), ENGINE_OK);
    put_entry("1-2", "1", "2");
    assert_int_equal(node_beat(&b, false), ENGINE_ROLLED);
    DO(&a.line, "DEL", keys[0]);
    put_entry("9999999999999-1", "1", "3");
    assert_int_equal(node_beat(&b, false), ENGINE_OK);
    DO(&a.line, "DEL", keys[0]);
    put_entry("9999999999999-1", "1", "2");
    assert_int_equal(node_beat(&b, false), ENGINE_ROLLED);
}

/* A node that comes when the last entries were private and are gone begins at the last one left. */
static void a_node_may_begin_after_deleted_entries(void **state)
{
    struct test_node c;
    (void)state;
    need_server();
    assert_int_equal(node_join(&b, "bob", "-"), ENGINE_OK);
    assert_int_equal(call_now(&a.line, engine_tell(&a.seat, text_of("bob"), text_of("psst"))),
                     ENGINE_OK);
    node_read(&b);
    DO(&a.line, "XDEL", "ragnarok:{-}:log", b.log.order.position.at);
    node_open(&c, &target, &test_terms, "");
    assert_int_equal(c.log.order.position.number, 1);
    assert_int_equal(node_beat(&c, false), ENGINE_OK);
    say_many(&a, 1, "x");
    assert_string_equal(node_read(&c), "b1:x");
    assert_int_equal(node_beat(&c, false), ENGINE_OK);
    node_close(&c);
}

#define ROLLED_TEST(test) cmocka_unit_test_setup_teardown(test, start, drop_saved)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROLLED_TEST(lost_entries_are_noticed_by_reader_and_writer),
        ROLLED_TEST(another_history_is_noticed),
        ROLLED_TEST(private_messages_are_compared_too),
        ROLLED_TEST(lost_private_messages_are_noticed_by_their_sender),
        ROLLED_TEST(another_history_after_a_private_message_is_noticed),
        ROLLED_TEST(a_lost_seat_still_compares),
        ROLLED_TEST(two_nodes_make_one_new_epoch),
        ROLLED_TEST(the_entry_at_the_place_must_be_the_same),
        ROLLED_TEST(the_neighbours_of_a_private_message_must_fit),
        ROLLED_TEST(a_node_may_begin_after_deleted_entries),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
