/* SPDX-License-Identifier: MIT
 *
 * test_engine_history.c - reading back, trimming and sealing.
 */
#include "engine_pair.h"

static void say_many(struct test_node *node, int count, const char *body)
{
    for (int i = 0; i < count; i++)
        assert_int_equal(node_say(node, body), ENGINE_OK);
}

/* ---- Loading ---- */

/* Reads all pages, newest first. Returns how many broadcasts came before `stop`. */
static unsigned read_pages(struct test_node *node, enum log_verdict *stop)
{
    char before[LOG_AT_MAX + 1];
    unsigned count = 0;
    strcpy(before, node->log.order.position.at);
    for (;;) {
        struct engine_batch batch;
        struct engine_log *log;
        struct log_entry entry;
        const char *why;
        unsigned read = 0;
        assert_int_equal(engine_read_back(&node->line, node->logs, before, &batch), 0);
        while ((*stop = engine_batch_next(&batch, &log, &entry, &why)) == LOG_GOOD) {
            count += entry.kind == LOG_BROADCAST;
            read++;
            sprintf(before, "(%s", entry.at);
        }
        engine_batch_fini(&batch);
        if (read == 0 || *stop != LOG_END)
            return count;
    }
}

static void a_late_node_reads_what_was_said_before(void **state)
{
    struct test_node c;
    enum log_verdict stop;
    (void)state;
    need_server();
    say_many(&a, 300, "x");
    assert_int_equal(node_join(&b, "bob", "-"), ENGINE_OK);
    say_many(&b, 300, "y");
    node_open(&c, &target, &test_terms, "");
    assert_int_equal(c.people, 1);
    say_many(&a, 1, "new");
    assert_int_equal(read_pages(&c, &stop), 600);
    assert_int_equal(stop, LOG_END);
    assert_int_equal(c.log.order.oldest_id, 1);
    assert_string_equal(node_read(&c), "b601:new");
    node_close(&c);
}

static void a_hole_in_the_past_ends_it(void **state)
{
    struct test_node c;
    enum log_verdict stop;
    (void)state;
    need_server();
    say_many(&a, 5, "x");
    node_read(&b);
    char lost[LOG_AT_MAX];
    strcpy(lost, b.log.order.position.at);
    say_many(&a, 5, "x");
    DO(&a.line, "XDEL", "ragnarok:{-}:log", lost);
    node_open(&c, &target, &test_terms, "");
    assert_int_equal(read_pages(&c, &stop), 5);
    assert_int_equal(stop, LOG_BROKEN);
    node_close(&c);
}

/* ---- Trimming ---- */

/* All kinds of entries count: a member that joins and leaves again and again must not fill the
 * engine. */
static void the_log_is_bounded(void **state)
{
    static char body[1000];
    struct engine_terms terms = test_terms;
    struct test_node c;
    (void)state;
    need_server();
    memset(body, 'x', sizeof(body) - 1);
    terms.log_bytes = 20000;
    node_open(&c, &target, &terms, "bounded");
    say_many(&c, 100, body);
    long long length = NUMBER(&c.line, "XLEN", "ragnarok:{626f756e646564}:log");
    assert_in_range(length, 20000 / 1200, 2 * 20000 / 1199 + 1);
    for (int i = 0; i < 400; i++) {
        assert_int_equal(node_join(&c, "alice", "-"), ENGINE_OK);
        assert_int_equal(call_now(&c.line, engine_leave(&c.seat, text_of("alice"), c.seat.seq)),
                         ENGINE_OK);
    }
    length = NUMBER(&c.line, "XLEN", "ragnarok:{626f756e646564}:log");
    assert_in_range(length, 20000 / 215, 2 * 20000 / 200 + 1);
    node_close(&c);
}

static void a_node_that_was_away_too_long_is_behind(void **state)
{
    static char body[1000];
    struct engine_terms terms = test_terms;
    struct test_node slow, fast;
    (void)state;
    need_server();
    memset(body, 'x', sizeof(body) - 1);
    terms.log_bytes = 20000;
    node_open(&slow, &target, &terms, "behind");
    node_open(&fast, &target, &terms, "behind");
    say_many(&fast, 1, body);
    node_read(&slow);
    say_many(&fast, 10, body);
    assert_int_equal(node_beat(&slow, false), ENGINE_OK); /* nothing is trimmed yet */
    say_many(&fast, 100, body);
    assert_int_equal(node_beat(&slow, false), ENGINE_BEHIND);
    assert_int_equal(node_beat(&fast, false), ENGINE_BEHIND); /* it has read nothing */
    struct log_position position = slow.log.order.position;
    engine_log_fini(&slow.log);
    assert_int_equal(take_seat(&slow, &terms, "behind", &position), ENGINE_BEHIND);
    assert_int_equal(node_beat(&slow, false), ENGINE_OK); /* it begins where the log ends */
    node_close(&slow);
    node_open(&slow, &target, &terms, "behind"); /* is no loss to a node that comes new */
    node_close(&slow);
    node_close(&fast);
}

/* What was read last may be trimmed, if nothing after it was: nothing is missing. */
static void a_trimmed_position_is_no_loss(void **state)
{
    (void)state;
    need_server();
    say_many(&a, 3, "x");
    node_read(&b);
    DO(&a.line, "XTRIM", "ragnarok:{-}:log", "MAXLEN", "0");
    DO(&a.line, "HSET", "ragnarok:{-}:room", "cut", "4");
    assert_int_equal(node_beat(&b, false), ENGINE_OK);
    DO(&a.line, "HSET", "ragnarok:{-}:room", "cut", "5");
    assert_int_equal(node_beat(&b, false), ENGINE_BEHIND);
}

static void a_lost_broadcast_breaks_the_log(void **state)
{
    (void)state;
    need_server();
    say_many(&a, 1, "one");
    node_read(&a);
    char lost[LOG_AT_MAX];
    strcpy(lost, a.log.order.position.at);
    say_many(&a, 1, "two");
    DO(&a.line, "XDEL", "ragnarok:{-}:log", lost);
    assert_string_equal(node_read(&b), "BROKEN");
}

/* ---- Sealed ---- */

static struct engine_terms sealed_terms; /* with a secret */

/* The key of a node's room. */
static const char *key_of(const struct test_node *node, const char *part)
{
    static char key[ENGINE_BASE_MAX + 8];
    snprintf(key, sizeof(key), "%s%s", node->seat.base, part);
    return key;
}

/* Joins as carl, under the name that the engine gets. */
static struct engine_name join_carl(struct test_node *node)
{
    struct engine_name name, identity;
    assert_true(engine_name_of(&node->seat, text_of("carl"), &name));
    assert_true(engine_name_of(&node->seat, text_of("KEY"), &identity));
    assert_int_equal(call_now(&node->line, engine_join(&node->seat, text_of(name.text),
                                                       text_of(identity.text), text_of("{}"))),
                     ENGINE_OK);
    return name;
}

static int start_sealed(void **state)
{
    const char *why;
    sealed_terms = test_terms;
    sealed_terms.sealing = sealing_new("0123456789abcdef0123456789abcdef", &why);
    return start(state);
}

static int end_sealed(void **state)
{
    sealing_free((struct sealing *)(uintptr_t)sealed_terms.sealing);
    return end(state);
}

static void sealed_texts_pass(void **state)
{
    struct test_node c, d;
    char expected[3 * LOG_NAME_MAX];
    enum log_verdict stop;
    (void)state;
    need_server();
    node_open(&c, &target, &sealed_terms, "sealed");
    struct engine_name name = join_carl(&c);
    assert_int_equal(node_say(&c, "plaintext"), ENGINE_OK);
    assert_int_equal(call_now(&c.line, engine_tell(&c.seat, text_of(name.text), text_of("psst"))),
                     ENGINE_OK);
    sprintf(expected, "j:%s b1:plaintext p:%s:psst", name.text, name.text);
    assert_string_equal(node_read(&c), expected);
    node_open(&d, &target, &sealed_terms, "sealed");
    assert_int_equal(d.people, 1);
    assert_int_equal(read_pages(&d, &stop), 1);
    assert_int_equal(stop, LOG_END);
    node_close(&c);
    node_close(&d);
}

/* All that the engine has, searched for what must not be there. */
static void assert_hidden(const struct reply_value *value)
{
    static const char *const secrets[] = {"plaintext", "psst", "carl", "KEY", "{}"};
    for (size_t i = 0; i < value->count; i++)
        assert_hidden(&value->items[i]);
    for (size_t i = 0; value->bytes && i < sizeof(secrets) / sizeof(*secrets); i++)
        assert_null(memmem(value->bytes, value->len, secrets[i], strlen(secrets[i])));
}

static void the_engine_does_not_see_them(void **state)
{
    static const char *const hashes[] = {"room", "who", "seats", "turns"};
    struct test_node c;
    (void)state;
    need_server();
    node_open(&c, &target, &sealed_terms, "sealed");
    struct engine_name name = join_carl(&c);
    assert_int_equal(node_say(&c, "plaintext"), ENGINE_OK);
    assert_int_equal(call_now(&c.line, engine_tell(&c.seat, text_of(name.text), text_of("psst"))),
                     ENGINE_OK);
    struct reply_value *all =
        do_words(&c.line, (const char *const[]){"XRANGE", key_of(&c, "log"), "-", "+", NULL});
    assert_int_equal(all->count, 3);
    assert_hidden(all);
    reply_free(all);
    for (size_t i = 0; i < sizeof(hashes) / sizeof(*hashes); i++) {
        all = do_words(&c.line, (const char *const[]){"HGETALL", key_of(&c, hashes[i]), NULL});
        assert_true(all->count > 0);
        assert_hidden(all);
        reply_free(all);
    }
    node_close(&c);
}

/* Adds a copy of an entry to the end of a node's log, with other numbers. */
static void copy_entry(struct test_node *to, const struct reply_value *entry, const char *seq,
                       const char *number, const char *id)
{
    struct reply_value *fields = reply_item(entry, 1);
    struct text words[20] = {text_of("XADD"), text_of(key_of(to, "log")), text_of("*")};
    for (size_t i = 0; i < fields->count; i++)
        words[3 + i] = reply_text(&fields->items[i]);
    words[3 + 5] = text_of(seq);
    words[3 + 7] = text_of(number);
    words[3 + 9] = text_of(id);
    struct reply_value *value = redis_line_ask(&to->line, words, 3 + fields->count);
    assert_int_equal(value->type, REPLY_STRING);
    reply_free(value);
}

static void the_engine_cannot_repeat_move_or_change_them(void **state)
{
    struct test_node c, d, other;
    (void)state;
    need_server();
    node_open(&c, &target, &sealed_terms, "sealed");
    node_open(&d, &target, &sealed_terms, "sealed");
    node_open(&other, &target, &sealed_terms, "other");
    assert_int_equal(node_say(&c, "one"), ENGINE_OK);
    assert_string_equal(node_read(&d), "b1:one");
    struct reply_value *all =
        do_words(&c.line, (const char *const[]){"XRANGE", key_of(&c, "log"), "-", "+", NULL});
    struct reply_value *entry = reply_item(all, 0);
    copy_entry(&d, entry, "1", "2", "2");
    assert_string_equal(node_read(&d), "BAD");
    copy_entry(&d, entry, "2", "2", "2");
    assert_string_equal(node_read(&d), "BAD");
    copy_entry(&other, entry, "1", "1", "1");
    assert_string_equal(node_read(&other), "BAD");
    entry->items[1].items[11].bytes[0] ^= 1;
    copy_entry(&d, entry, "2", "2", "2");
    assert_string_equal(node_read(&d), "BAD");
    assert_int_equal(node_say(&c, "two"), ENGINE_OK);
    assert_string_equal(node_read(&d), "b2:two");
    reply_free(all);
    node_close(&c);
    node_close(&d);
    node_close(&other);
}

static void a_forged_member_is_left_out(void **state)
{
    struct test_node c, d;
    (void)state;
    need_server();
    node_open(&c, &target, &sealed_terms, "sealed");
    join_carl(&c);
    DO(&c.line, "HSET", key_of(&c, "who"), "eve",
       "0123456789abcdef0123456789abcdef 1 - {\"card\":1}");
    DO(&c.line, "HSET", key_of(&c, "who"), "mallory", "nonsense");
    node_open(&d, &target, &sealed_terms, "sealed");
    assert_int_equal(d.people, 1);
    node_close(&c);
    node_close(&d);
}

#define SEALED_TEST(test) cmocka_unit_test_setup_teardown(test, start_sealed, end_sealed)
#define ROOM_TEST(test)   cmocka_unit_test_setup_teardown(test, start, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROOM_TEST(a_late_node_reads_what_was_said_before),
        ROOM_TEST(a_hole_in_the_past_ends_it),
        ROOM_TEST(the_log_is_bounded),
        ROOM_TEST(a_node_that_was_away_too_long_is_behind),
        ROOM_TEST(a_trimmed_position_is_no_loss),
        ROOM_TEST(a_lost_broadcast_breaks_the_log),
        SEALED_TEST(sealed_texts_pass),
        SEALED_TEST(the_engine_does_not_see_them),
        SEALED_TEST(the_engine_cannot_repeat_move_or_change_them),
        SEALED_TEST(a_forged_member_is_left_out),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
