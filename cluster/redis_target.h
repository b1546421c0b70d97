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
    TARGET_PLACES_MAX = 5,            /* sentinels; more are refused */
    TARGET_MASTER_MAX = 65,           /* the name that sentinels know the engine by, with its NUL */
};

enum redis_transport { REDIS_UNIX, REDIS_TCP, REDIS_TLS };

/* Where a server listens: the engine, or one of its sentinels. */
struct redis_place {
    char host[NET_NAME_MAX]; /* without brackets */
    int port;
    struct addrinfo *addresses; /* of the host */
};

struct redis_target {
    enum redis_transport transport;
    char path[TARGET_PATH_MAX];                   /* Unix */
    struct redis_place places[TARGET_PLACES_MAX]; /* TCP and TLS */
    size_t count;                                 /* of the places */
    char master[TARGET_MASTER_MAX]; /* the places are sentinels that know the engine by this name;
                                     * "": the only place is the engine */
    struct tls_context *tls;        /* TLS */
    const char *user, *password;    /* borrowed; "" is none. A user needs a password */
    size_t message_max;             /* bytes of the longest message that nodes send */
    size_t answer_max;              /* bytes of the longest reply that is accepted; see below */
};

/* Reads "unix:PATH", "tcp:HOST:PORT" or "tls:HOST:PORT" ([::1] is written in brackets), or
 * "sentinel:NAME@HOST:PORT,HOST:PORT" and so on: the sentinels that say where the engine is, which
 * they know by NAME ("sentinel-tls:" over TLS, like the engine). `target` is overwritten. Returns
 * 0, or -1 with a text in `error` (NET_ERROR_MAX): what was expected, and what was found. */
int redis_target_parse(struct redis_target *target, const char *text, char *error);

/* Looks the hosts up, which may take as long as the system's resolver does, and for TLS loads the
 * trusted certificates in the file `ca`, or with NULL those of the system. Sets answer_max by
 * message_max: TARGET_MESSAGES of the longest messages, at least TARGET_ANSWER_LEAST. Returns 0,
 * or -1 with a text in `error`; redis_target_fini must be called in both cases. */
int redis_target_prepare(struct redis_target *target, const char *ca, char *error);

void redis_target_fini(struct redis_target *target);

#endif
