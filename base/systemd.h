/* SPDX-License-Identifier: MIT
 *
 * systemd.h - the service manager's protocols (systemd's, which others use, too): listening sockets
 * that it opened before the start, and reports of the server's state.
 *
 * Main thread only. Without a service manager all functions do nothing.
 */
#ifndef SYSTEMD_H
#define SYSTEMD_H

#include <stdint.h>

/* Opens the socket for reports ($NOTIFY_SOCKET, see sd_notify(3)), so that a report needs no new
 * descriptor, and removes the variable from the environment. */
void systemd_init(void);

/* Takes the listening sockets that were passed on (sd_listen_fds(3)): descriptors from 3 on, made
 * non-blocking. Returns their number, 0 when there are none, or -1 and *why (a constant string)
 * when they are not listening TCP sockets, or more than `max`. */
int systemd_sockets(int *fds, int max, const char **why);

/* The interval, in milliseconds, at which systemd_alive must be called: half of the service
 * manager's timeout ($WATCHDOG_USEC, see sd_watchdog_enabled(3)); 0: no watchdog. Valid after
 * systemd_init. */
int64_t systemd_watchdog_ms(void);

/* Reports that the server is alive. */
void systemd_alive(void);

/* Report: ready for clients; reloading the settings; stopping. */
void systemd_ready(void);
void systemd_reloading(void);
void systemd_stopping(void);

#endif
