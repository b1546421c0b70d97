/* SPDX-License-Identifier: MIT
 *
 * redis_target.h - where the engine is, and as whom to log in: the settings of all lines to it.
 *
 * It is filled in once, before the sandbox closes: later no file is opened and no name is looked
 * up. Immutable from then on: any thread may read it.
 */
#ifndef REDIS_TARGET_H
#define REDIS_TARGET_H

#include <stddef.h>

#include "net/socket.h"
#include "net/stream.h"

enum {
    TARGET_PATH_MAX = 108,            /* a Unix socket's path, with its NUL */
    TARGET_ANSWER_LEAST = 64 << 20,   /* lower bound of answer_max, in bytes */
    TARGET_MESSAGES = 64,             /* longest messages that fit into answer_max */
    TARGET_MESSAGE_EXTRA = 16 * 1024, /* bytes of an entry besides its message, generously */
};

enum redis_transport { REDIS_UNIX, REDIS_TCP, REDIS_TLS };

struct redis_target {
    enum redis_transport transport;
    char host[NET_NAME_MAX]; /* without brackets; TCP and TLS */
    int port;
    char path[TARGET_PATH_MAX];  /* Unix */
    struct addrinfo *addresses;  /* TCP and TLS: of the host */
    struct tls_context *tls;     /* TLS */
    const char *user, *password; /* borrowed; "" is none. A user needs a password */
    size_t message_max;          /* bytes of the longest message that nodes send */
    size_t answer_max;           /* bytes of the longest reply that is accepted; see below */
};

/* Reads "unix:PATH", "tcp:HOST:PORT" or "tls:HOST:PORT" ([::1] is written in brackets). `target` is
 * overwritten. Returns 0, or -1 with a text in `error` (NET_ERROR_MAX): what was expected, and what
 * was found. */
int redis_target_parse(struct redis_target *target, const char *text, char *error);

/* Looks the host up, which may take as long as the system's resolver does, and for TLS loads the
 * trusted certificates in the file `ca`, or with NULL those of the system. Sets answer_max by
 * message_max: TARGET_MESSAGES of the longest messages, at least TARGET_ANSWER_LEAST. Returns 0,
 * or -1 with a text in `error`; redis_target_fini must be called in both cases. */
int redis_target_prepare(struct redis_target *target, const char *ca, char *error);

void redis_target_fini(struct redis_target *target);

#endif
