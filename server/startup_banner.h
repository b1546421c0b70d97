/* SPDX-License-Identifier: MIT
 *
 * startup_banner.h - what the server prints on standard output at start.
 */
#ifndef STARTUP_BANNER_H
#define STARTUP_BANNER_H

#include <stdbool.h>

#include "server/cert/server_cert.h"
#include "base/config.h"

/* Prints where the room can be opened, who can reach it, whether a password is needed, and advice
 * for the owner; on a terminal also a QR code of the address to give to others, if there is one.
 * The password itself is printed if it is the sample, or if it was made by this start
 * (`just_made`). `listener` is one of the listening sockets; `cert` is NULL without TLS. */
void announce(const struct config *config, int listener, const struct server_cert *cert,
              bool just_made);

#endif
