/* SPDX-License-Identifier: MIT
 *
 * client_json.h - writes a client's messages as JSON, and received ones as scripts get them.
 *
 * All functions return a string that the caller frees with free(), or NULL when memory is out.
 * Texts are UTF-8. Pure: no I/O, no locks, any thread.
 */
#ifndef CLIENT_JSON_H
#define CLIENT_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "json_msg.h"
#include "lib/crypto/e2e.h"

struct client_json_join {
    const char *password, *name;
    const char *claim; /* the seven fields of e2e_write_claim, or NULL */
    const char *epoch; /* Epoch of the last Joined, or NULL: nothing to resume */
    uint64_t after;    /* Id of the last broadcast received */
};
char *client_json_join(const struct client_json_join *join);

char *client_json_broadcast(const char *text, const char *ref);
char *client_json_private(const char *to, const char *text, const char *ref);
char *client_json_get_keys(const char *to, const char *ref);

/* A GetHistory, or with `words` a Search, for `count` messages before an Id; UINT64_MAX: for the
 * newest. */
char *client_json_history(const char *words, uint64_t before, unsigned count, const char *ref);

/* A GetUsers for at most `limit` names; NULL: with any start. */
char *client_json_get_users(const char *start, unsigned limit, const char *ref);

char *client_json_publish_keys(const struct e2e_keys *keys, const char *ref);

/* The notice that a private message could not be read, and why. `about` is its Ref as it was
 * written, or NULL. */
char *client_json_notice(const char *to, const char *code, const struct json_field *about);

/* Facts about a received message, for client_json_heard. */
struct client_json_heard {
    bool private;     /* a PrivateMessage: adds "Encrypted", and "Verified" if that is true */
    bool verified;    /* sealed by a key that was compared */
    const char *text; /* replaces the received text; NULL: keeps it */
    const char *code; /* adds "Unreadable": why it cannot be read; NULL: it can */
    bool encrypted;
    uint64_t missing; /* adds "Missing": this many messages did not arrive; 0: none */
};

/* A message that reports a gap in somebody's messages, for client_json_heard, which adds the
 * number. */
char *client_json_gap(const char *from);

/* One line of JSON (without a newline) with the meaning of `in` and these added fields. They cannot
 * be forged, because received fields of the same names are dropped. Characters that control a
 * terminal are escaped. */
char *client_json_heard(const struct json_object *in, const struct client_json_heard *heard);

#endif
