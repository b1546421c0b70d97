/* SPDX-License-Identifier: MIT
 *
 * service.h - what a service manager and the server tell each other (systemd's protocols, which others
 * speak, too): sockets that were opened before the start, and how the server is.
 *
 * Main thread only. Without a service manager all of it does nothing.
 */
#ifndef SERVICE_H
#define SERVICE_H

/* Remembers where to report to ($NOTIFY_SOCKET, see sd_notify(3)), and takes it out of the
 * environment. Its one descriptor is opened here, so that a report needs none. */
void service_init(void);

/* The listening sockets that were passed on (sd_listen_fds(3)): descriptors from 3 on, made
 * non-blocking. Returns how many, 0 when there are none, or -1 and *why (a constant string) when they
 * are not listening TCP sockets, or more than `max`. */
int service_sockets(int *fds, int max, const char **why);

/* Reports: ready for clients; reading its settings again; ending. */
void service_ready(void);
void service_reloading(void);
void service_stopping(void);

#endif
