/* SPDX-License-Identifier: MIT
 *
 * announce.h - what the server says on standard output when it starts.
 */
#ifndef ANNOUNCE_H
#define ANNOUNCE_H

#include <stdbool.h>

#include "config.h"

/* Prints plainly where the room can be opened, who can reach it, whether a password is needed, and
 * what the owner should know about that. `listener` is one of the listening sockets; `fingerprint`
 * (SHA-256 of the certificate) is NULL without TLS; `made`: the certificate is new. */
void announce(const struct config *config, int listener, const char *fingerprint, bool made);

#endif
