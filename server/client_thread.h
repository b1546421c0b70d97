/* SPDX-License-Identifier: MIT
 *
 * client_thread.h - one thread for each client, from accept to close.
 */
#ifndef CLIENT_THREAD_H
#define CLIENT_THREAD_H

#include <stdint.h>
#include <sys/socket.h>

/* Initializes what all clients share. Must be called before the first one. Clients use the settings
 * in force (live_config.h), and newer ones once their thread is woken. */
void client_thread_init(void);

/* Starts the thread of an accepted connection; takes `fd`. A connection over a limit is refused
 * with an HTTP status while spare places are free. Without a spare place it is closed; over plain
 * TCP it gets the status first, and its request is not read. It is also closed if no thread can be
 * created. Acceptor thread only, as all below. */
void client_thread_start(int fd, const struct sockaddr_storage *peer);

/* Runs the pending work for connections that were turned away: closes their sockets, logs their
 * number. Returns the time (net_now) of the next call; INT64_MAX: after the next
 * client_thread_start. */
int64_t client_thread_look(void);

/* The same for all of them, when the server stops. */
void client_thread_close(void);

#endif
