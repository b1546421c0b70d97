/* SPDX-License-Identifier: MIT
 *
 * announce.h - what the server says on standard output when it starts.
 */
#ifndef ANNOUNCE_H
#define ANNOUNCE_H

#include "cert.h"
#include "config.h"

/* Prints plainly where the room can be opened, who can reach it, whether a password is needed, and
 * what the owner should know about that; on a terminal also a QR code of the address to give to
 * others, if there is one. `listener` is one of the listening sockets; `cert` is NULL without TLS. */
void announce(const struct config *config, int listener, const struct cert *cert);

#endif
