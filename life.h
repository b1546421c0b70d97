/* SPDX-License-Identifier: MIT
 *
 * life.h - the life of each client, in a thread of its own.
 */
#ifndef LIFE_H
#define LIFE_H

#include <sys/socket.h>

/* Readies what all clients have in common: call it before the first one. They go by the settings in
 * force (settings.h), and by newer ones as soon as their thread is woken. */
void life_init(void);

/* Starts the life of an accepted connection; takes `fd`. One that is over a limit is refused with an
 * HTTP status, as long as places for that are free; else, and when no thread can be had, closed. */
void life_start(int fd, const struct sockaddr_storage *peer);

#endif
