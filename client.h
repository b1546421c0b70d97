/* SPDX-License-Identifier: MIT
 *
 * client.h - the life of each client, in a thread of its own.
 */
#ifndef CLIENT_H
#define CLIENT_H

#include <sys/socket.h>

#include "config.h"
#include "net.h"

/* Says what all clients have in common. `config` and `tls` (NULL: plain) outlive them. */
void clients_init(const struct config *config, struct net_tls *tls);

/* Starts the life of an accepted connection; takes `fd`. One that is over a limit is refused with an
 * HTTP status, as long as places for that are free; else, and when no thread can be had, closed. */
void client_start(int fd, const struct sockaddr_storage *peer);

#endif
