/* SPDX-License-Identifier: MIT
 *
 * client.h - the life of each client, in a thread of its own, and the register of all of them.
 */
#ifndef CLIENT_H
#define CLIENT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "config.h"
#include "net.h"

/* Readies the register. `config` and `tls` (NULL: plain) outlive it. */
void clients_init(const struct config *config, struct net_tls *tls);

/* Starts the life of an accepted connection; takes `fd`. One that is over a limit is refused with an
 * HTTP status, as long as places for that are free; else, and when no thread can be had, closed. */
void client_start(int fd, const struct sockaddr_storage *peer);

/* Tells all clients that the server goes away (1001), after what was said before. New ones that
 * still come in are turned away. */
void clients_stop(void);

/* Waits until all clients have ended. Returns how many are left at `until` (net_now). */
int clients_wait(int64_t until);

#endif
