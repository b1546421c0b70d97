/* SPDX-License-Identifier: MIT
 *
 * test_redis_line.c - a line to an engine that plays a script of bytes, hostile ones too.
 */
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "cluster/redis_line.h"
#include "no_memory.h"

#define LOGIN ":7\r\n*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n"

/* An engine for one connection: it sends its script and closes, or waits until the peer does. */
struct fake_engine {
    char path[64];
    int listener;
    const char *script;
    bool closes;
    int trickle_ms; /* between two bytes; 0: all at once */
    pthread_t thread;
};

static struct fake_engine engine;
static struct redis_target target;
static struct redis_line line;

/* Writes the script byte by byte, until the peer has gone. */
static void trickle(int fd)
{
    for (const char *at = engine.script; *at; at++) {
        struct pollfd gone = {.fd = fd, .events = POLLRDHUP};
        if (send(fd, at, 1, MSG_NOSIGNAL) != 1 || poll(&gone, 1, engine.trickle_ms) != 0)
            return;
    }
}

static void *play(void *context)
{
    char ignored[4096];
    int fd = accept(engine.listener, NULL, NULL);
    size_t len = strlen(engine.script);
    if (engine.trickle_ms > 0)
        trickle(fd);
    else if (write(fd, engine.script, len) != (ssize_t)len)
        return context;
    if (engine.closes)
        shutdown(fd, SHUT_WR);
    while (read(fd, ignored, sizeof(ignored)) > 0)
        continue;
    close(fd);
    return NULL;
}

static int start(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)state;
    snprintf(engine.path, sizeof(engine.path), "/tmp/ragnarok-line-%d", getpid());
    strcpy(address.sun_path, engine.path);
    engine.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(engine.listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(engine.listener, 5), 0);
    memset(&target, 0, sizeof(target));
    target.transport = REDIS_UNIX;
    strcpy(target.path, engine.path);
    target.user = target.password = "";
    target.answer_max = 1000;
    redis_line_init(&line, &target);
    return 0;
}

static int end(void **state)
{
    (void)state;
    redis_line_fini(&line);
    close(engine.listener);
    unlink(engine.path);
    return 0;
}

/* Dials an engine that plays this script. */
static int reach(const char *script, bool closes)
{
    engine.script = script;
    engine.closes = closes;
    assert_int_equal(pthread_create(&engine.thread, NULL, play, NULL), 0);
    line.retry_at = 0;
    return redis_line_reach(&line);
}

/* The engine's thread ends when the line does. */
static void part(void)
{
    redis_line_drop(&line, "test");
    pthread_join(engine.thread, NULL);
}

static void a_line_is_up_after_the_log_in(void **state)
{
    const struct text words[] = {text_of("PING")};
    (void)state;
    assert_false(redis_line_is_up(&line));
    assert_int_equal(reach(LOGIN, false), 0);
    assert_true(redis_line_is_up(&line));
    assert_int_equal(atomic_load(&line.client), 7);
    assert_string_equal(line.why, "");
    assert_int_equal(redis_line_reach(&line), 0);
    redis_line_drop(&line, "for \x1B[31m a %s", "reason");
    assert_string_equal(line.why, "for ?[31m a reason");
    assert_int_equal(atomic_load(&line.client), 0);
    assert_null(redis_line_answer(&line));
    assert_null(redis_line_ask(&line, words, 1));
    assert_int_equal(redis_line_queue(&line, "x", 1), -1);
    redis_line_drop(&line, "another");
    assert_string_equal(line.why, "for ?[31m a reason");
    part();
}

static void hostile_engines_are_left_with_a_reason(void **state)
{
    static const struct {
        const char *script;
        bool closes;
        const char *why;
    } all[] = {
        {"", true, "the engine closed the connection"},
        {":7\r\n", true, "the engine closed the connection"},
        {"HTTP/1.1 400 Bad Request\r\n\r\n", false, "bad reply: Protocol error"},
        {"-NOAUTH \x1B[2Jlog in\r\n:1\r\n", false, "CLIENT ID: NOAUTH ?[2Jlog in"},
        {"$1\r\n7\r\n*1\r\n$6\r\nmaster\r\n", false, "CLIENT ID: expected a number above 0, got 0"},
        {":-7\r\n*1\r\n$6\r\nmaster\r\n", false, "CLIENT ID: expected a number above 0, got -7"},
        {":7\r\n*5\r\n$5\r\nslave\r\n:1\r\n:1\r\n:1\r\n:1\r\n", false,
         "ROLE: expected a master, got \"slave\""},
        {":7\r\n$6\r\nmaster\r\n", false, "ROLE: expected a master, got \"\""},
        {":7\r\n*0\r\n", false, "ROLE: expected a master, got \"\""},
        {":7\r\n*1\r\n:1\r\n", false, "ROLE: expected a master, got \"\""},
        {":7\r\n-ERR no\r\n", false, "ROLE: ERR no"},
        {LOGIN "+OK\r\n", false, "the engine sent more replies than it got commands"},
        {":7\r\n*2147483647\r\n", false, "bad reply: the reply has too many values"},
        {":7\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n", false, "bad reply: "},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
        assert_int_equal(reach(all[i].script, all[i].closes), -1);
        assert_false(redis_line_is_up(&line));
        if (strncmp(line.why, all[i].why, strlen(all[i].why)) != 0)
            fail_msg("expected \"%s\", got \"%s\"", all[i].why, line.why);
        part();
    }
}

static void a_reply_that_is_too_long_breaks_the_line(void **state)
{
    static char script[2000] = LOGIN "$1500\r\n";
    (void)state;
    memset(script + strlen(script), 'x', 1400);
    assert_int_equal(reach(script, false), -1);
    assert_string_equal(line.why, "bad reply: the reply is too long");
    part();
}

static void a_stopped_line_stays_down(void **state)
{
    const struct text words[] = {text_of("GET")};
    (void)state;
    assert_int_equal(reach(LOGIN, false), 0);
    redis_line_stop(&line);
    assert_null(redis_line_ask(&line, words, 1));
    assert_string_equal(line.why, "stopped");
    assert_int_equal(redis_line_reach(&line), -1);
    part();
}

/* An engine that sends a byte now and then is not silent, but a dial takes no longer for it. */
static void a_dial_has_a_deadline(void **state)
{
    static char script[1000] = ":7\r\n*3\r\n$6\r\nmaster\r\n$900\r\n";
    (void)state;
    memset(script + strlen(script), 'x', 900);
    engine.trickle_ms = 100;
    int64_t began = net_now();
    assert_int_equal(reach(script, false), -1);
    assert_true(net_now() - began >= REDIS_DIAL_MS);
    assert_string_equal(line.why, "no whole reply in time");
    part();
    engine.trickle_ms = 0;
}

/* Replies come in order, whatever they are. */
static void commands_get_their_replies_in_order(void **state)
{
    static const char replies[] = ":1\r\n-ERR x\r\n$-1\r\n";
    (void)state;
    assert_int_equal(reach(LOGIN, false), 0);
    assert_int_equal(redis_line_queue(&line, "x", 1), 0);
    assert_int_equal(redis_line_queue(&line, "y", 1), 0);
    assert_int_equal(redis_line_queue(&line, "z", 1), 0);
    assert_int_equal(reply_parser_feed(&line.parser, replies, sizeof(replies) - 1), 0);
    static const enum reply_type types[] = {REPLY_INTEGER, REPLY_ERROR, REPLY_NIL};
    for (int i = 0; i < 3; i++) {
        struct reply_value *value = redis_line_answer(&line);
        assert_non_null(value);
        assert_int_equal(value->type, types[i]);
        reply_free(value);
    }
    assert_null(redis_line_answer(&line));
    assert_string_equal(line.why, "no command is without a reply");
    part();
}

static void what_waits_has_bounds(void **state)
{
    static char bytes[REDIS_OUT_MAX + 2];
    (void)state;
    assert_int_equal(reach(LOGIN, false), 0);
    for (int i = 0; i < REDIS_CALLS_MAX; i++)
        assert_int_equal(redis_line_queue(&line, "x", 1), 0);
    assert_int_equal(redis_line_queue(&line, "x", 1), -1);
    assert_true(redis_line_is_up(&line));
    part();
    assert_int_equal(reach(LOGIN, false), 0);
    assert_int_equal(redis_line_queue(&line, bytes, 1), 0);
    assert_int_equal(redis_line_queue(&line, bytes, REDIS_OUT_MAX), -1);
    assert_int_equal(redis_line_queue(&line, bytes, REDIS_OUT_MAX - 1), 0);
    assert_int_equal(redis_line_queue(&line, bytes, 1), -1);
    part();
    assert_int_equal(reach(LOGIN, false), 0);
    assert_int_equal(redis_line_queue(&line, bytes, REDIS_OUT_MAX + 1), 0); /* alone */
    assert_int_equal(redis_line_queue(&line, bytes, 1), -1);
    part();
    assert_int_equal(reach(LOGIN, false), 0);
    no_memory_after(0);
    int result = redis_line_queue(&line, bytes, 100000);
    assert_true(no_memory_end());
    assert_int_equal(result, -1);
    assert_true(redis_line_is_up(&line));
    part();
}

/* The pauses double, with a quarter of chance, up to REDIS_RETRY_MAX_MS. */
static void pauses_grow_while_nobody_answers(void **state)
{
    int64_t pause = REDIS_RETRY_MS;
    (void)state;
    strcpy(target.path, "/nonexistent/socket");
    for (int i = 0; i < 10; i++) {
        int64_t before = net_now();
        line.retry_at = 0;
        assert_int_equal(redis_line_reach(&line), -1);
        assert_string_equal(line.why, "connecting failed: No such file or directory");
        int64_t after = net_now();
        assert_true(line.retry_at >= before + pause * 3 / 4);
        assert_true(line.retry_at <= after + pause * 5 / 4);
        pause = 2 * pause < REDIS_RETRY_MAX_MS ? 2 * pause : REDIS_RETRY_MAX_MS;
    }
}

/* A line that breaks at once does not begin with short pauses again; one that lasted does. */
static void only_a_steady_line_makes_pauses_short(void **state)
{
    (void)state;
    line.failures = 5;
    assert_int_equal(reach(LOGIN, false), 0);
    part();
    assert_int_equal(line.failures, 6);
    assert_int_equal(reach(LOGIN, false), 0);
    line.up_since -= REDIS_STEADY_MS;
    part();
    assert_int_equal(line.failures, 1);
}

static void without_memory_the_dial_fails(void **state)
{
    (void)state;
    engine.script = LOGIN;
    for (int count = 0; count < 3; count++) {
        no_memory_after(count);
        line.retry_at = 0;
        int result = redis_line_reach(&line);
        if (!no_memory_end())
            break;
        assert_int_equal(result, -1);
        assert_string_equal(line.why, "out of memory");
    }
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
        cmocka_unit_test_setup_teardown(a_line_is_up_after_the_log_in, start, end),
        cmocka_unit_test_setup_teardown(hostile_engines_are_left_with_a_reason, start, end),
        cmocka_unit_test_setup_teardown(a_reply_that_is_too_long_breaks_the_line, start, end),
        cmocka_unit_test_setup_teardown(a_dial_has_a_deadline, start, end),
        cmocka_unit_test_setup_teardown(a_stopped_line_stays_down, start, end),
        cmocka_unit_test_setup_teardown(commands_get_their_replies_in_order, start, end),
        cmocka_unit_test_setup_teardown(what_waits_has_bounds, start, end),
        cmocka_unit_test_setup_teardown(pauses_grow_while_nobody_answers, start, end),
        cmocka_unit_test_setup_teardown(only_a_steady_line_makes_pauses_short, start, end),
        cmocka_unit_test_setup_teardown(without_memory_the_dial_fails, start, end),
    };
    return cmocka_run_group_tests(tests, wake_init, NULL);
}
