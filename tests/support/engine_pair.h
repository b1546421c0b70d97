/* SPDX-License-Identifier: MIT
 *
 * engine_pair.h - one redis-server for all tests of a file, and for each two nodes in the main
 * room.
 */
#ifndef ENGINE_PAIR_H
#define ENGINE_PAIR_H

#include "redis_engine.h"

static struct redis_server server;
static struct redis_target target;
static struct test_node a, b;

static inline int start_server(void **state)
{
    (void)state;
    net_wake_init();
    if (!redis_program())
        return 0;
    redis_open(&server, NULL);
    target_of(&target, &server);
    return 0;
}

static inline int stop_server(void **state)
{
    (void)state;
    redis_target_fini(&target);
    redis_close(&server);
    return 0;
}

/* Each test begins with an empty engine and two nodes in the main room. */
static inline int start(void **state)
{
    struct redis_line line;
    (void)state;
    if (!redis_program())
        return 0;
    redis_line_init(&line, &target);
    reach_engine(&line);
    DO(&line, "FLUSHALL");
    redis_line_fini(&line);
    node_open(&a, &target, &test_terms, "");
    node_open(&b, &target, &test_terms, "");
    return 0;
}

static inline int end(void **state)
{
    (void)state;
    if (!redis_program())
        return 0;
    node_close(&a);
    node_close(&b);
    return 0;
}

static inline void need_server(void)
{
    if (!redis_program())
        skip();
}

#endif
