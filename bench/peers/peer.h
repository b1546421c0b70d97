/* SPDX-License-Identifier: MIT
 *
 * peer.h - common parts of the two C programs here: the peers' command line, the limit of
 * descriptors, the line that tells where they listen, clocks, and the check of names.
 */
#ifndef PEER_H
#define PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PEER_NAME_MAX = 32, /* bytes of a name; a longer one is refused */
};

struct peer_options {
    int port; /* 0: the system picks one */
    bool tls;
    const char *cert, *key;
    long presence_ms; /* how long changes are gathered before the new list is sent */
};

/* Reads the command line, and ends the program with status 2 when it is wrong. Raises the limit of
 * descriptors to the hard limit. */
struct peer_options peer_begin(int argc, char **argv);

/* Prints that the program listens, for scripts that wait for it. */
void peer_listening(int port);

/* Milliseconds since 1970, for `Time`; microseconds of a clock that is never set, for waiting. */
int64_t peer_time_ms(void);
int64_t peer_clock_us(void);

/* Whether a name is allowed here: printable ASCII without " and \, so that it needs no escaping in
 * JSON. */
bool peer_name_ok(const char *name, size_t len);

#endif
