/* SPDX-License-Identifier: MIT
 *
 * test_engine_faults.c - an engine that is killed, stopped, full, a replica, or refuses; and lines
 * that break. Nothing is lost or done twice.
 */
#include "redis_engine.h"

#include <pthread.h>

static struct redis_server server;
static struct redis_target target;
static struct test_node a, b;

/* Starts a server for one test, with further arguments. */
static void open_server(const char *const *more)
{
    redis_open(&server, more);
    target_of(&target, &server);
}

static int close_server(void **state)
{
    (void)state;
    redis_target_fini(&target);
    redis_close(&server);
    memset(&server, 0, sizeof(server));
    return 0;
}

/* ---- Sending again ---- */

enum { CALLS = 1200, WINDOW = 100 };

struct writer {
    struct test_node *node;
    struct engine_call *calls[CALLS];
    unsigned answered, sent;
};

static void make_calls(struct writer *writer, struct test_node *node)
{
    char body[20];
    memset(writer, 0, sizeof(*writer));
    writer->node = node;
    for (int i = 0; i < CALLS; i++) {
        sprintf(body, "%d", i);
        writer->calls[i] = engine_say(&node->seat, text_of(body));
    }
}

static void free_calls(struct writer *writer)
{
    for (int i = 0; i < CALLS; i++)
        engine_call_free(writer->calls[i]);
}

/* What a writer does: it sends up to a window of calls, and takes an answer. After a broken line it
 * begins again with the oldest call without an answer. */
static void write_some_calls(struct writer *writer)
{
    struct redis_line *line = &writer->node->line;
    struct engine_answer answer;
    if (!redis_line_is_up(line)) {
        writer->sent = writer->answered;
        if (engine_reach(line) < 0)
            return;
    }
    while (writer->sent < CALLS && writer->sent < writer->answered + WINDOW)
        assert_int_equal(engine_send(line, writer->calls[writer->sent++]), 0);
    enum engine_result result = engine_receive(line, writer->calls[writer->answered], &answer);
    engine_answer_fini(&answer);
    if (result == ENGINE_AWAY)
        return;
    assert_int_equal(result, ENGINE_OK);
    writer->answered++;
}

/* All nodes have read all calls, each once and in order. */
static void assert_all_read(struct test_node *node)
{
    char expected[64];
    const char *at = node_read(node);
    for (int i = 0; i < CALLS; i++) {
        int len = sprintf(expected, "%sb%d:%d", i > 0 ? " " : "", i + 1, i);
        if (strncmp(at, expected, (size_t)len) != 0)
            fail_msg("expected \"%s\", read \"%.40s\"", expected, at);
        at += len;
    }
    assert_string_equal(at, "");
}

static void an_engine_may_be_killed_at_any_time(void **state)
{
    static struct writer writer;
    const char *const always[] = {"--appendfsync", "always", NULL};
    int kills = 0;
    (void)state;
    open_server(always);
    node_open(&a, &target, &test_terms, "");
    node_open(&b, &target, &test_terms, "");
    make_calls(&writer, &a);
    int64_t until = net_now() + 2 * REDIS_START_MS;
    while (writer.answered < CALLS && net_now() < until) {
        write_some_calls(&writer);
        if (writer.answered >= (unsigned)(kills + 1) * CALLS / 6 && kills < 5) {
            redis_kill(&server);
            redis_start(&server);
            kills++;
        }
    }
    assert_int_equal(writer.answered, CALLS);
    assert_int_equal(kills, 5);
    redis_line_drop(&b.line, "test");
    reach_engine(&b.line);
    assert_int_equal(node_beat(&b, false), ENGINE_OK);
    assert_all_read(&b);
    free_calls(&writer);
    node_close(&a);
    node_close(&b);
}

/* The line breaks after the engine has got calls, and before their answers are read. */
static void lost_answers_double_nothing(void **state)
{
    static struct writer writer;
    unsigned cuts = 0;
    (void)state;
    open_server(NULL);
    node_open(&a, &target, &test_terms, "");
    node_open(&b, &target, &test_terms, "");
    make_calls(&writer, &a);
    int64_t until = net_now() + 2 * REDIS_START_MS;
    while (writer.answered < CALLS && net_now() < until) {
        write_some_calls(&writer);
        if (redis_line_is_up(&a.line) && writer.answered / 100 > cuts) {
            redis_line_drop(&a.line, "test");
            a.line.retry_at = 0;
            cuts++;
        }
    }
    assert_int_equal(writer.answered, CALLS);
    assert_in_range(cuts, 8, 12);
    assert_all_read(&b);
    free_calls(&writer);
    node_close(&a);
    node_close(&b);
}

struct second_writer {
    struct writer writer;
    struct test_node node;
};

static void *write_all(void *context)
{
    struct second_writer *second = context;
    int64_t until = net_now() + 2 * REDIS_START_MS;
    while (second->writer.answered < CALLS && net_now() < until)
        write_some_calls(&second->writer);
    return NULL;
}

/* Two nodes write at the same time: one order for all, and each node's own order in it. */
static void two_writers_make_one_order(void **state)
{
    static struct second_writer writers[2];
    static char first[1 << 16];
    pthread_t threads[2];
    (void)state;
    open_server(NULL);
    node_open(&a, &target, &test_terms, "");
    node_open(&b, &target, &test_terms, "");
    for (int i = 0; i < 2; i++) {
        node_open(&writers[i].node, &target, &test_terms, "");
        make_calls(&writers[i].writer, &writers[i].node);
    }
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_all, &writers[i]), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    strcpy(first, node_read(&a));
    assert_string_equal(first, node_read(&b));
    assert_int_equal(a.log.order.next_id, 2 * CALLS + 1); /* consecutive, as the order checks */
    for (int i = 0; i < 2; i++) {
        assert_int_equal(writers[i].node.seat.done, CALLS);
        free_calls(&writers[i].writer);
        node_close(&writers[i].node);
    }
    node_close(&a);
    node_close(&b);
}

/* An engine that was flushed has forgotten the script: the line is dropped, and loads it again. */
static void a_forgotten_script_is_loaded_again(void **state)
{
    (void)state;
    open_server(NULL);
    node_open(&a, &target, &test_terms, "");
    struct engine_call *first = engine_say(&a.seat, text_of("one"));
    struct engine_call *second = engine_say(&a.seat, text_of("two"));
    struct engine_answer answer;
    DO(&a.line, "SCRIPT", "FLUSH");
    assert_int_equal(engine_send(&a.line, first), 0);
    assert_int_equal(engine_send(&a.line, second), 0);
    assert_int_equal(engine_receive(&a.line, first, &answer), ENGINE_AWAY);
    engine_answer_fini(&answer);
    assert_non_null(strstr(a.line.why, "NOSCRIPT"));
    reach_engine(&a.line);
    assert_int_equal(call_now(&a.line, first), ENGINE_OK);
    assert_int_equal(call_now(&a.line, second), ENGINE_OK);
    assert_string_equal(node_read(&a), "b1:one b2:two");
    node_close(&a);
}

/* With noeviction a full engine refuses calls; nothing of a refused call has taken effect. */
static void a_full_engine_is_away(void **state)
{
    (void)state;
    open_server(NULL);
    node_open(&a, &target, &test_terms, "");
    struct engine_call *call = engine_say(&a.seat, text_of("one"));
    for (int i = 0; i < 2; i++) {
        DO(&a.line, "CONFIG", "SET", "maxmemory", "1");
        assert_int_equal(call_again(&a.line, call), ENGINE_AWAY);
        assert_non_null(strstr(a.line.why, "OOM"));
        reach_engine(&a.line);
    }
    struct engine_call *beat = engine_beat(&a.seat, false, &a.log.order.position);
    assert_int_equal(call_now(&a.line, beat), ENGINE_AWAY);
    reach_engine(&a.line);
    assert_string_equal(node_read(&a), ""); /* reading goes on */
    DO(&a.line, "CONFIG", "SET", "maxmemory", "0");
    assert_int_equal(call_now(&a.line, call), ENGINE_OK);
    assert_string_equal(node_read(&a), "b1:one");
    node_close(&a);
}

/* An engine that stopped holds nobody for longer than REDIS_SILENCE_MS and a bit. */
static void a_silent_engine_is_left(void **state)
{
    (void)state;
    open_server(NULL);
    node_open(&a, &target, &test_terms, "");
    struct engine_call *call = engine_say(&a.seat, text_of("one"));
    kill(server.process, SIGSTOP);
    int64_t began = net_now();
    assert_int_equal(call_again(&a.line, call), ENGINE_AWAY);
    assert_true(net_now() - began >= REDIS_SILENCE_MS);
    assert_string_equal(a.line.why, "the engine is silent");
    kill(server.process, SIGCONT);
    reach_engine(&a.line);
    assert_int_equal(call_now(&a.line, call), ENGINE_OK);
    assert_string_equal(node_read(&a), "b1:one");
    node_close(&a);
}

/* ---- Who may do what ---- */

static void dial_fails(const char *why)
{
    struct redis_line line;
    int64_t until = net_now() + REDIS_START_MS;
    redis_line_init(&line, &target);
    do
        assert_int_equal(engine_reach(&line), -1);
    while (strstr(line.why, "connecting failed") && net_now() < until);
    if (!strstr(line.why, why))
        fail_msg("expected \"%s\", got \"%s\"", why, line.why);
    assert_false(redis_line_is_up(&line));
    redis_line_fini(&line);
}

static void a_replica_is_refused(void **state)
{
    const char *const replica[] = {"--replicaof", "127.0.0.1 1", NULL};
    (void)state;
    open_server(replica);
    dial_fails("ROLE: expected a master, got \"slave\"");
}

static void a_wrong_password_is_told(void **state)
{
    const char *const secret[] = {"--requirepass", "right", NULL};
    (void)state;
    open_server(secret);
    dial_fails("CLIENT ID: NOAUTH");
    target.password = "wrong";
    dial_fails("AUTH: WRONGPASS");
    target.user = "nobody";
    dial_fails("AUTH: WRONGPASS");
    target.user = "";
    target.password = "right";
    node_open(&a, &target, &test_terms, "");
    node_close(&a);
}

/* What OPERATING.md has administrators allow. */
#define RIGHTS                                                                                     \
    "~ragnarok:*", "resetchannels", "-@all", "+evalsha", "+script|load", "+xadd", "+xrange",       \
        "+xrevrange", "+xread", "+xtrim", "+xdel", "+hset", "+hget", "+hdel", "+hgetall",          \
        "+hexists", "+hsetnx", "+hincrby", "+pexpire", "+time", "+role", "+ping", "+client|id",    \
        "+client|unblock"

static void assert_denied(struct redis_line *line, const char *const *words)
{
    struct reply_value *value = do_words(line, words);
    if (value->type != REPLY_ERROR || strncmp(value->bytes, "NOPERM", 6) != 0)
        fail_msg("%s is allowed", words[0]);
    reply_free(value);
}

#define DENIED(line, ...) assert_denied(line, (const char *const[]){__VA_ARGS__, NULL})

static void few_rights_are_enough(void **state)
{
    struct engine_terms terms = test_terms, brief;
    struct redis_line admin;
    struct engine_batch batch;
    (void)state;
    open_server(NULL);
    redis_line_init(&admin, &target);
    reach_engine(&admin);
    struct reply_value *value = do_words(
        &admin, (const char *const[]){"ACL", "SETUSER", "node", "on", ">secret", RIGHTS, NULL});
    assert_int_equal(value->type, REPLY_STATUS);
    reply_free(value);
    redis_line_fini(&admin);
    target.user = "node";
    target.password = "secret";
    terms.log_bytes = 2000; /* trims, too */
    brief = terms;
    brief.lease_ms = 1;
    node_open(&a, &target, &brief, "");
    node_open(&b, &target, &terms, "");
    assert_int_equal(node_join(&a, "alice", "-"), ENGINE_OK);
    assert_int_equal(node_join(&b, "bob", "-"), ENGINE_OK);
    assert_int_equal(call_now(&b.line, engine_tell(&b.seat, text_of("bob"), text_of("psst"))),
                     ENGINE_OK);
    node_read(&b);
    assert_int_equal(call_now(&b.line, delivered_call(&b, &b)), ENGINE_OK);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(node_say(&b, "something"), ENGINE_OK);
        node_read(&b);
    }
    int64_t until = net_now() + REDIS_START_MS;
    do
        assert_int_equal(node_beat(&b, true), ENGINE_OK);
    while (strcmp(node_read(&b), "x") != 0 && net_now() < until);
    assert_int_equal(node_say(&a, "late"), ENGINE_FENCED);
    assert_int_equal(call_now(&b.line, engine_leave(&b.seat, text_of("bob"), 1)), ENGINE_OK);
    assert_int_equal(call_now(&b.line, engine_renew(&b.seat, b.epoch)), ENGINE_OK);
    assert_int_equal(engine_read_back(&b.line, b.logs, "+", &batch), 0);
    engine_batch_fini(&batch);
    assert_int_equal(call_now(&b.line, engine_unblock(1)), ENGINE_OK);
    assert_int_equal(call_now(&b.line, engine_close(&b.seat)), ENGINE_OK);
    DENIED(&b.line, "GET", "ragnarok:x");
    DENIED(&b.line, "SET", "ragnarok:x", "y");
    DENIED(&b.line, "KEYS", "*");
    DENIED(&b.line, "FLUSHALL");
    DENIED(&b.line, "CONFIG", "GET", "*");
    DENIED(&b.line, "SCRIPT", "FLUSH");
    DENIED(&b.line, "EVAL", "return 1", "0");
    DENIED(&b.line, "ACL", "LIST");
    DENIED(&b.line, "CLIENT", "LIST");
    DENIED(&b.line, "HGETALL", "other:x");
    node_close(&a);
    node_close(&b);
}

/* ---- Waking a reader ---- */

static void *read_once(void *context)
{
    struct test_node *node = context;
    struct engine_batch batch;
    int *result = malloc(sizeof(*result));
    *result = engine_read(&node->line, node->logs, 1, ENGINE_BLOCK_MAX_MS, &batch);
    engine_batch_fini(&batch);
    return result;
}

static void a_reader_is_woken_through_the_engine(void **state)
{
    long long woken = 0;
    (void)state;
    open_server(NULL);
    node_open(&a, &target, &test_terms, "");
    node_open(&b, &target, &test_terms, "");
    struct engine_call *call = engine_unblock(atomic_load(&b.line.client));
    int64_t until = net_now() + REDIS_START_MS;
    while (woken == 0 && net_now() < until) {
        pthread_t thread;
        void *result;
        assert_int_equal(pthread_create(&thread, NULL, read_once, &b), 0);
        for (int i = 0; i < 100 && woken == 0; i++) {
            struct engine_answer answer;
            assert_int_equal(engine_send(&a.line, call), 0);
            assert_int_equal(engine_receive(&a.line, call, &answer), ENGINE_OK);
            woken = answer.reply->number;
            engine_answer_fini(&answer);
        }
        pthread_join(thread, &result);
        assert_int_equal(*(int *)result, 0);
        free(result);
    }
    assert_int_equal(woken, 1);
    assert_int_equal(node_say(&a, "one"), ENGINE_OK);
    assert_string_equal(node_read(&b), "b1:one");
    engine_call_free(call);
    node_close(&a);
    node_close(&b);
}

static void a_stopped_line_lets_its_thread_go(void **state)
{
    pthread_t thread;
    void *result;
    (void)state;
    open_server(NULL);
    node_open(&a, &target, &test_terms, "");
    kill(server.process, SIGSTOP);
    assert_int_equal(pthread_create(&thread, NULL, read_once, &a), 0);
    redis_line_stop(&a.line);
    net_wake(thread);
    pthread_join(thread, &result);
    assert_int_equal(*(int *)result, -1);
    free(result);
    assert_string_equal(a.line.why, "stopped");
    assert_int_equal(engine_reach(&a.line), -1);
    kill(server.process, SIGCONT);
    node_close(&a);
}

static int wake_init(void **state)
{
    (void)state;
    net_wake_init();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(an_engine_may_be_killed_at_any_time, close_server),
        cmocka_unit_test_teardown(lost_answers_double_nothing, close_server),
        cmocka_unit_test_teardown(two_writers_make_one_order, close_server),
        cmocka_unit_test_teardown(a_forgotten_script_is_loaded_again, close_server),
        cmocka_unit_test_teardown(a_full_engine_is_away, close_server),
        cmocka_unit_test_teardown(a_silent_engine_is_left, close_server),
        cmocka_unit_test_teardown(a_replica_is_refused, close_server),
        cmocka_unit_test_teardown(a_wrong_password_is_told, close_server),
        cmocka_unit_test_teardown(few_rights_are_enough, close_server),
        cmocka_unit_test_teardown(a_reader_is_woken_through_the_engine, close_server),
        cmocka_unit_test_teardown(a_stopped_line_lets_its_thread_go, close_server),
    };
    return cmocka_run_group_tests(tests, wake_init, NULL);
}
