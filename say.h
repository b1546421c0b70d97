/* SPDX-License-Identifier: MIT
 *
 * say.h - what a client says: its messages as JSON; and what it heard, as scripts get it.
 *
 * All functions return a string that the caller frees with free(), or NULL when memory is out. Texts
 * are UTF-8. Pure: no I/O, no locks, any thread.
 */
#ifndef SAY_H
#define SAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "json_msg.h"

struct say_join {
    const char *password, *name;
    const char *claim; /* the four fields of e2e_write_claim, or NULL */
    const char *epoch; /* of the Joined before, or NULL: nothing to resume */
    uint64_t after;    /* the Id of the last broadcast that was seen */
};
char *say_join(const struct say_join *join);

char *say_broadcast(const char *text, const char *ref);
char *say_private(const char *to, const char *text, const char *ref);
char *say_get_keys(const char *to, const char *ref);

/* That a private message could not be read, and why. `about` is its Ref as it was written, or NULL. */
char *say_notice(const char *to, const char *code, const struct json_field *about);

/* What became of a message on its way in, for say_heard. */
struct say_heard {
    bool private;     /* a PrivateMessage: gets "Encrypted", and "Verified" if that is true */
    bool verified;    /* by a key that was compared */
    const char *text; /* in place of the text that came; NULL: that one */
    const char *code; /* "Unreadable": why nothing can be read; NULL: it can */
    bool encrypted;
};

/* One line of JSON (without a newline) that means the same as `in`, but for these marks, which cannot
 * be forged: fields of their names that came are left out. Whatever a terminal would obey is
 * escaped. */
char *say_heard(const struct json_object *in, const struct say_heard *heard);

#endif
