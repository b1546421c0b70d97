/* SPDX-License-Identifier: MIT
 *
 * redis_line.h - one connection to the engine: dialling, commands out, replies in.
 *
 * A line belongs to one thread, which it blocks, but never for longer than the times below. When
 * anything is wrong, the line is dropped with a reason in line->why; then redis_line_reach dials
 * again after a pause. Other threads may call only redis_line_stop and read line->client.
 */
#ifndef REDIS_LINE_H
#define REDIS_LINE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cluster/redis_reply.h"
#include "cluster/redis_target.h"
#include "net/stream.h"

enum {
    REDIS_DIAL_MS = 3000,      /* for connecting, TLS and the log-in together */
    REDIS_SENTINEL_MS = 500,   /* the same for one sentinel and its answer */
    REDIS_SILENCE_MS = 3000,   /* without a byte, while a reply is awaited: the line is dropped */
    REDIS_ANSWER_MS = 30000,   /* for one whole reply */
    REDIS_RETRY_MS = 50,       /* pause before dialling again; doubles with each failure */
    REDIS_RETRY_MAX_MS = 2000, /* longest pause, give or take a quarter */
    REDIS_STEADY_MS = 1000,    /* a line that lasted so long makes the pauses short again */
    REDIS_CALLS_MAX = 256,     /* commands without a reply; one more is refused */
    REDIS_OUT_MAX = 32 << 20,  /* bytes of commands that wait to be sent; more are refused */
    REDIS_WHY_MAX = 256,       /* line->why, with its NUL */
};

struct redis_line {
    const struct redis_target *target; /* [I] borrowed */
    struct stream stream;              /* [t] fd -1: the line is down */
    struct reply_parser parser;        /* [t] */
    char *out;                         /* [t] commands: out_from of out_len bytes are sent */
    size_t out_from, out_len, out_cap; /* [t] */
    unsigned calls;                    /* [t] commands whose reply has not come */
    unsigned failures;                 /* [t] in a row */
    size_t sentinel;                   /* [t] the sentinel to ask first: the last that knew */
    int64_t up_since;                  /* [t] net_now when the log-in was done */
    int64_t retry_at;                  /* [t] net_now before which no one dials */
    char why[REDIS_WHY_MAX];           /* [t] why it is down */
    atomic_llong client;               /* the engine's number of this line; 0: down */
    atomic_bool stopped;               /* redis_line_stop was called */
};

/* Makes a line that is down. `target` must outlive it. */
void redis_line_init(struct redis_line *line, const struct redis_target *target);

/* Drops the line and frees what it holds. */
void redis_line_fini(struct redis_line *line);

/* Has the line's thread give up: everything that waits returns -1, now and later. The caller must
 * wake that thread afterwards with net_wake. Any thread. */
void redis_line_stop(struct redis_line *line);

bool redis_line_is_up(const struct redis_line *line);

/* Makes sure that the line is up. If it is down, waits out the pause and dials once: asks the
 * sentinels, if there are any, where the engine is, until one knows; connects, makes TLS and checks
 * the certificate, logs in (AUTH), asks for the line's number (CLIENT ID) and whether the engine is
 * a master (ROLE): a replica may lack what others have read. Blocks for at most REDIS_RETRY_MAX_MS
 * and a quarter, REDIS_SENTINEL_MS for each sentinel, and REDIS_DIAL_MS. Returns 0, or -1 with
 * line->why. */
int redis_line_reach(struct redis_line *line);

/* Appends a finished command (reply_format_command). Nothing is sent yet. Returns 0; or -1 when
 * the line is down, has REDIS_CALLS_MAX calls or REDIS_OUT_MAX bytes waiting, or memory is out:
 * then the line is as before. The first command of an idle line may be longer. */
int redis_line_queue(struct redis_line *line, const char *bytes, size_t len);

/* Sends what is queued, and waits for the reply to the oldest command without one. The caller
 * frees it with reply_free. An error of the engine is a reply, too. Returns NULL with line->why,
 * and the line is down, when the line broke, the input is not RESP or exceeds a bound, a time is
 * over, or no command is without a reply. */
struct reply_value *redis_line_answer(struct redis_line *line);

/* Queues one command of words and waits for its reply. The line has no other calls. NULL as
 * above. */
struct reply_value *redis_line_ask(struct redis_line *line, const struct text *words, size_t count);

/* Closes the connection, with a reason for people, at most REDIS_WHY_MAX bytes; control characters
 * become '?'. The pause before the next attempt begins. Does nothing when the line is down. */
void redis_line_drop(struct redis_line *line, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
