/* SPDX-License-Identifier: MIT
 *
 * peer.h - what the two C programs here have in common: the command line that all peers share, the
 * limit of descriptors, the line that says where they listen, the clocks, which names they take.
 */
#ifndef PEER_H
#define PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PEER_NAME_MAX = 32, /* bytes of a name; a longer one is not let in */
};

struct peer_options {
    int port; /* 0: the system picks one */
    bool tls;
    const char *cert, *key;
    long presence_ms; /* how long changes are gathered before everybody gets the new list */
};

/* Reads the command line; ends the program with status 2 when it is wrong. Raises the limit of
 * descriptors to what the system allows. */
struct peer_options peer_begin(int argc, char **argv);

/* Says that the program listens, for who waits to use it. */
void peer_listening(int port);

/* Milliseconds since 1970, for `Time`; microseconds of a clock that is never set, for waiting. */
int64_t peer_time_ms(void);
int64_t peer_clock_us(void);

/* Whether a name is of a kind that these programs take: printable ASCII without " and \, so that it
 * stands in JSON as it is. */
bool peer_name_ok(const char *name, size_t len);

#endif
