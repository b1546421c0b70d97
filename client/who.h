/* SPDX-License-Identifier: MIT
 *
 * who.h - who is here: the list of members, kept from OnlineUsers and Presence, and questions for
 * names in a room that is too large for a list.
 *
 * who.c keeps the list, who_ask.c asks and shows. Nothing here waits; one thread.
 */
#ifndef WHO_H
#define WHO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/output.h"
#include "client/pace.h"
#include "client/ws_client.h"
#include "json_msg.h"

enum {
    WHO_NAMES_MAX = 10000, /* names of a list; more are only counted */
    WHO_SHOWN = 100,       /* names that /w shows in a room without a list */
    WHO_OFFERED = 20,      /* names that Tab gets there */
};

/* Names in UTF-8, as the server spells them. All zero: none. */
struct who_names {
    char **names; /* owned */
    size_t count, cap;
};

/* A question for names. */
enum who_question {
    WHO_NO_QUESTION,
    WHO_SHOW,     /* of /w */
    WHO_COMPLETE, /* of Tab */
};

struct who {
    struct ws_client *ws;  /* borrowed */
    struct output *output; /* borrowed */
    struct who_names here; /* sorted by strcmp; empty while they are only counted */
    bool counted;          /* only the number of members is known */
    uint64_t count;
    uint64_t version; /* of the list; UINT64_MAX: no change is expected */

    enum who_question asked; /* an answer is expected */
    unsigned number;         /* of the last question: its Ref */
    bool start;              /* it was for names that begin with something */
    struct who_names found;  /* of the last answer, in the server's order */
    char *line;              /* the typed line when Tab asked; NULL: it did not */
    size_t at;               /* where the cursor was */
};

/* What is known of a name. */
enum who_known { WHO_GONE, WHO_HERE, WHO_UNKNOWN };

/* What an OnlineUsers or a Presence has changed. */
struct who_change {
    bool all;                      /* it replaces everything: anybody may be another one by now */
    struct who_names joined, left; /* sorted by strcmp; a name in both has come back */
};

void who_init(struct who *who, struct ws_client *ws, struct output *output);
void who_fini(struct who *who);

/* The connection was lost, and an answer with it. */
void who_lost(struct who *who);

/* ---- The list (who.c) ---- */

/* Takes an OnlineUsers or a Presence. Returns false if it must be passed over: it is malformed, or
 * in the list already. who_change_fini must be called in either case. Names for which memory is out
 * are left out. */
bool who_heard(struct who *who, const struct json_object *in, struct who_change *change);
void who_change_fini(struct who_change *change);

/* Whether a member spells its name so. */
enum who_known who_knows(const struct who *who, const char *name);
bool who_among(const struct who_names *names, const char *name);

/* Tells the user who came and left: a single one by name, several by their number. */
void who_tell_change(struct who *who, const struct who_change *change);

/* Copies the names of a JSON array behind those of `names`. */
void who_read_names(struct who_names *names, const struct json_field *array);
void who_names_fini(struct who_names *names);

/* ---- Questions (who_ask.c) ---- */

/* Shows who is here, or whose name begins with `start` ("": everybody). In a room without a list
 * the server is asked. */
void who_show(struct who *who, const char *start);

/* Asks for the names that begin with the `len` bytes before the cursor, for Tab, if the pace allows
 * it. `line` and `at` are the typed line and its cursor. */
void who_complete(struct who *who, struct pace *pace, const char *line, size_t at, size_t len);

/* Handles a Users; and an Error, with its text `why`. Returns the question that it answers: after
 * WHO_COMPLETE, `found` has the names, and who_is_waiting tells whether they still fit. */
enum who_question who_answered(struct who *who, const struct json_object *in);
enum who_question who_refused(struct who *who, const struct json_object *in, const char *why);

/* Whether the line is as it was when Tab asked. */
bool who_is_waiting(const struct who *who, const char *line, size_t at);

#endif
