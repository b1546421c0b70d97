/* SPDX-License-Identifier: MIT
 *
 * redis_engine.h - a redis-server of its own for a test: on a Unix socket in a temporary folder,
 * killed at the end. Without redis-server the tests are skipped.
 */
#ifndef REDIS_ENGINE_H
#define REDIS_ENGINE_H

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "cluster/engine.h"

enum {
    REDIS_ARGUMENTS_MAX = 40,
    REDIS_START_MS = 20000,
    REDIS_BODY_MAX = 65536,
};

struct redis_server {
    char folder[64], address[128];
    const char *more[16]; /* further arguments, up to a NULL */
    pid_t process;
};

/* The first redis-server of PATH and of what tools/deps has unpacked. */
static inline const char *redis_program(void)
{
    static const char *const places[] = {"/usr/bin/redis-server", "/usr/local/bin/redis-server",
                                         "/usr/bin/valkey-server",
                                         "build/unpacked/usr/bin/redis-server"};
    for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++)
        if (access(places[i], X_OK) == 0)
            return places[i];
    return NULL;
}

static inline void redis_exec(const struct redis_server *server)
{
    char path[128], log[128];
    const char *arguments[REDIS_ARGUMENTS_MAX] = {redis_program(),
                                                  "--port",
                                                  "0",
                                                  "--unixsocket",
                                                  path,
                                                  "--dir",
                                                  server->folder,
                                                  "--logfile",
                                                  log,
                                                  "--appendonly",
                                                  "yes",
                                                  "--save",
                                                  "",
                                                  "--maxmemory-policy",
                                                  "noeviction",
                                                  "--enable-debug-command",
                                                  "yes"};
    size_t count = 0;
    snprintf(path, sizeof(path), "%s/socket", server->folder);
    snprintf(log, sizeof(log), "%s/log", server->folder);
    while (arguments[count])
        count++;
    for (size_t i = 0; server->more[i]; i++)
        arguments[count++] = server->more[i];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    execv(arguments[0], (char *const *)(uintptr_t)arguments);
    _exit(127);
}

/* Starts it, or starts it again with the data that it has. It may not listen yet. */
static inline void redis_start(struct redis_server *server)
{
    server->process = fork();
    assert_true(server->process >= 0);
    if (server->process == 0)
        redis_exec(server);
}

static inline void redis_kill(struct redis_server *server)
{
    if (server->process <= 0)
        return;
    kill(server->process, SIGKILL);
    waitpid(server->process, NULL, 0);
    server->process = 0;
}

/* A folder, and a server in it. `more` are further arguments up to a NULL, or NULL. */
static inline void redis_open(struct redis_server *server, const char *const *more)
{
    memset(server, 0, sizeof(*server));
    if (!redis_program()) {
        print_message("skipped: redis-server is not installed (tools/deps test)\n");
        skip();
    }
    strcpy(server->folder, "/tmp/ragnarok-redis-XXXXXX");
    assert_non_null(mkdtemp(server->folder));
    snprintf(server->address, sizeof(server->address), "unix:%s/socket", server->folder);
    for (size_t i = 0; more && more[i]; i++)
        server->more[i] = more[i];
    redis_start(server);
}

static inline void redis_close(struct redis_server *server)
{
    char command[128];
    redis_kill(server);
    if (server->folder[0] == '\0')
        return;
    snprintf(command, sizeof(command), "rm -rf '%s'", server->folder);
    assert_int_equal(system(command), 0);
}

/* Waits until it listens. Returns false when it has ended instead. */
static inline bool redis_is_up(struct redis_server *server)
{
    int64_t until = net_now() + REDIS_START_MS;
    while (net_now() < until) {
        int fd = net_connect_unix(server->address + strlen("unix:"));
        if (fd >= 0) {
            close(fd);
            return true;
        }
        if (waitpid(server->process, NULL, WNOHANG) == server->process) {
            server->process = 0;
            return false;
        }
        net_wait(-1, 0, net_now() + 10);
    }
    return false;
}

/* ---- Lines ---- */

static inline void target_of(struct redis_target *target, const struct redis_server *server)
{
    char error[NET_ERROR_MAX];
    assert_int_equal(redis_target_parse(target, server->address, error), 0);
    target->message_max = REDIS_BODY_MAX;
    assert_int_equal(redis_target_prepare(target, NULL, error), 0);
}

/* Dials until the engine is there. */
static inline void reach_engine(struct redis_line *line)
{
    int64_t until = net_now() + REDIS_START_MS;
    while (engine_reach(line) < 0)
        if (net_now() > until)
            fail_msg("no engine: %s", line->why);
}

/* Has the engine do a command of words, up to a NULL. The caller frees the reply. */
static inline struct reply_value *do_words(struct redis_line *line, const char *const *list)
{
    struct text words[REDIS_ARGUMENTS_MAX];
    size_t count = 0;
    for (; list[count]; count++)
        words[count] = text_of(list[count]);
    struct reply_value *value = redis_line_ask(line, words, count);
    if (!value)
        fail_msg("%s: %s", list[0], line->why);
    return value;
}

#define DO(line, ...) reply_free(do_words(line, (const char *const[]){__VA_ARGS__, NULL}))

/* The number that a command answers with. */
#define NUMBER(line, ...) number_of(do_words(line, (const char *const[]){__VA_ARGS__, NULL}))
static inline long long number_of(struct reply_value *value)
{
    long long number = value->number;
    assert_int_equal(value->type, REPLY_INTEGER);
    reply_free(value);
    return number;
}

/* ---- A node in one room ---- */

struct test_node {
    struct redis_line line;
    struct engine_seat seat;
    struct engine_log log, *logs[1];
    char epoch[SEAT_MAX];
    size_t people; /* in the roster when it was opened */
};

/* What became of the last private message that `to` has read; it was the last call of `from`. */
static inline struct engine_call *delivered_call(struct test_node *to, const struct test_node *from)
{
    struct log_entry message = {.seq = from->seat.seq};
    memcpy(message.at, to->log.order.position.at, sizeof(message.at));
    memcpy(message.seat, from->seat.seat, sizeof(message.seat));
    return engine_answer_to(&to->seat, &message, LOG_DELIVERED);
}

static const struct engine_terms test_terms = {.prefix = "ragnarok",
                                               .lease_ms = 60000,
                                               .keep_ms = 3600000,
                                               .log_bytes = 1 << 20,
                                               .body_max = REDIS_BODY_MAX,
                                               .rules = "max_message_bytes=65536"};

/* Sends a call, takes its answer and frees it. */
/* Sends a call, takes its answer. The call may be sent again. */
static inline enum engine_result call_again(struct redis_line *line, const struct engine_call *call)
{
    struct engine_answer answer;
    assert_int_equal(engine_send(line, call), 0);
    enum engine_result result = engine_receive(line, call, &answer);
    engine_answer_fini(&answer);
    return result;
}

static inline enum engine_result call_now(struct redis_line *line, struct engine_call *call)
{
    struct engine_answer answer;
    assert_non_null(call);
    assert_int_equal(engine_send(line, call), 0);
    enum engine_result result = engine_receive(line, call, &answer);
    engine_answer_fini(&answer);
    engine_call_free(call);
    return result;
}

/* Takes a seat in the room. */
static inline enum engine_result take_seat(struct test_node *node, const struct engine_terms *terms,
                                           const char *room, const struct log_position *position)
{
    struct engine_answer answer;
    assert_int_equal(engine_seat_init(&node->seat, terms, room), 0);
    struct engine_call *call = engine_open(&node->seat, false, position);
    assert_int_equal(engine_send(&node->line, call), 0);
    enum engine_result result = engine_receive(&node->line, call, &answer);
    if (result == ENGINE_AWAY)
        fail_msg("%s", node->line.why);
    memcpy(node->epoch, answer.epoch, SEAT_MAX);
    node->people = answer.count;
    engine_log_start(&node->log, &node->seat, &answer);
    node->logs[0] = &node->log;
    engine_answer_fini(&answer);
    engine_call_free(call);
    return result;
}

static inline void node_open(struct test_node *node, const struct redis_target *target,
                             const struct engine_terms *terms, const char *room)
{
    memset(node, 0, sizeof(*node));
    redis_line_init(&node->line, target);
    reach_engine(&node->line);
    assert_int_equal(take_seat(node, terms, room, NULL), ENGINE_OK);
}

static inline void node_close(struct test_node *node)
{
    engine_log_fini(&node->log);
    engine_seat_fini(&node->seat);
    redis_line_fini(&node->line);
}

static inline enum engine_result node_say(struct test_node *node, const char *body)
{
    return call_now(&node->line, engine_say(&node->seat, text_of(body)));
}

static inline enum engine_result node_join(struct test_node *node, const char *name,
                                           const char *identity)
{
    return call_now(&node->line, engine_join(&node->seat, text_of(name), text_of(identity),
                                             text_of("{\"card\":1}")));
}

static inline enum engine_result node_beat(struct test_node *node, bool sweep)
{
    return call_now(&node->line, engine_beat(&node->seat, sweep, &node->log.order.position));
}

/* Reads all entries that there are, and writes them as words like "b1:hello j:bob l:bob p:bob:hi
 * r:name_taken x e", up to the verdict that stops it. */
static inline const char *node_read(struct test_node *node)
{
    static _Thread_local char all[1 << 16];
    struct engine_batch batch;
    struct engine_log *log;
    struct log_entry entry;
    const char *why;
    size_t at = 0, before;
    all[0] = '\0';
    do {
        enum log_verdict verdict;
        before = at;
        if (engine_read(&node->line, node->logs, 1, 1, &batch) < 0)
            fail_msg("%s", node->line.why);
        while ((verdict = engine_batch_next(&batch, &log, &entry, &why)) != LOG_END) {
            const char *blank = at > 0 ? " " : "";
            assert_ptr_equal(log, &node->log);
            assert_true(sizeof(all) - at > 200 + entry.body.len);
            if (verdict != LOG_GOOD)
                at +=
                    (size_t)sprintf(all + at, "%s%s", blank, verdict == LOG_BAD ? "BAD" : "BROKEN");
            else if (entry.kind == LOG_BROADCAST)
                at += (size_t)sprintf(all + at, "%sb%llu:%.*s", blank, (unsigned long long)entry.id,
                                      (int)entry.body.len, entry.body.at);
            else if (entry.kind == LOG_PRIVATE)
                at += (size_t)sprintf(all + at, "%sp:%.*s:%.*s", blank, (int)entry.name.len,
                                      entry.name.at, (int)entry.body.len, entry.body.at);
            else if (entry.kind == LOG_JOIN)
                at += (size_t)sprintf(all + at, "%sj:%.*s%s", blank, (int)entry.name.len,
                                      entry.name.at, entry.other[0] ? ":replaces" : "");
            else if (entry.kind == LOG_LEAVE)
                at += (size_t)sprintf(all + at, "%sl:%.*s", blank, (int)entry.name.len,
                                      entry.name.at);
            else if (entry.kind == LOG_REFUSAL)
                at += (size_t)sprintf(all + at, "%sr:%s", blank,
                                      entry.code == LOG_NAME_TAKEN ? "name_taken" : "unknown_user");
            else
                at += (size_t)sprintf(all + at, "%s%c", blank, (char)entry.kind);
            if (verdict == LOG_BROKEN) {
                engine_batch_fini(&batch);
                return all;
            }
        }
        engine_batch_fini(&batch);
    } while (at > before);
    return all;
}

#endif
