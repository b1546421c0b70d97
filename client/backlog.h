/* SPDX-License-Identifier: MIT
 *
 * backlog.h - what was said before: /history, /search, and --history for scripts; and what the
 * server says about keeping it.
 *
 * The server is asked page by page, one question at a time. Nothing here waits; one thread.
 */
#ifndef BACKLOG_H
#define BACKLOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/output.h"
#include "client/ws_client.h"
#include "json_msg.h"

enum {
    BACKLOG_PAGE_MAX = 100,     /* messages of one answer (docs/PROTOCOL.md) */
    BACKLOG_SHOWN = 20,         /* messages that /history and /search show */
    BACKLOG_QUESTIONS_MAX = 32, /* of one search without a result; then the user is asked */
};

struct backlog {
    struct ws_client *ws;  /* borrowed */
    struct output *output; /* borrowed */
    uint64_t oldest;       /* Id of the oldest broadcast that was shown; 0: none was */
    bool asked;            /* an answer is expected */
    bool searching;        /* it is one to a Search */
    unsigned number;       /* of the last question; its Ref */
    unsigned questions;    /* asked since the command */
    unsigned count;        /* messages that were asked for */
    uint64_t before;       /* Before of the last question; UINT64_MAX: it had none */
    char *words;           /* of the last /search; NULL: there was none */
    uint64_t words_before; /* where it goes on; 0: it is at its end */
    bool told;             /* the user knows whether the server keeps what is said */

    unsigned wanted; /* --history: so many messages; 0: no script */
    char **lines;    /* [count_lines] the newest first: Broadcasts as they came */
    size_t line_count;
};

void backlog_init(struct backlog *backlog, struct ws_client *ws, struct output *output,
                  unsigned wanted);
void backlog_fini(struct backlog *backlog);

/* Tells the user once, before joining, that the server keeps what is said, and for how long. */
void backlog_greeted(struct backlog *backlog, const struct json_object *hello);

/* The connection was lost, and an answer with it. */
void backlog_lost(struct backlog *backlog);

/* We have joined. `same` says whether Ids mean the same messages as before, and nothing between
 * them is missing. In a script this begins to ask. */
void backlog_joined(struct backlog *backlog, bool same);

/* A broadcast with that Id is being shown. */
void backlog_shown(struct backlog *backlog, uint64_t id);

/* Shows `count` messages (1 to BACKLOG_PAGE_MAX) from before the oldest one that was shown. */
void backlog_page(struct backlog *backlog, unsigned count);

/* Searches; words NULL: goes on with the last search. */
void backlog_search(struct backlog *backlog, const char *words);

/* What the caller has to do after a message of the server. */
enum backlog_result {
    BACKLOG_NOT_OURS, /* it answers no question of ours */
    BACKLOG_GOES_ON,
    BACKLOG_DONE,   /* --history has printed everything */
    BACKLOG_FAILED, /* --history cannot: the reason was reported */
};

/* Handles a History or State; and an Error, with its text `why`. */
enum backlog_result backlog_heard(struct backlog *backlog, const struct json_object *in);
enum backlog_result backlog_error(struct backlog *backlog, const struct json_object *in,
                                  const char *why);

#endif
