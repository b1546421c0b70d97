/* SPDX-License-Identifier: MIT
 *
 * sandbox.h - restricts the system calls of the two processes after their start: seccomp(2) and
 * landlock(7), where the kernel has them.
 *
 * Each function is called once, by the only thread of its process; threads created later are
 * confined, too. Nothing here fails: a restriction that the kernel lacks is skipped, and the log
 * says so.
 */
#ifndef SANDBOX_H
#define SANDBOX_H

#include <stdbool.h>

/* Confines the server. It can start no program and no process, see no other process, and open no
 * socket and no file. With `web_root` (NULL: none) it can open files below that folder for reading.
 * With `has_engine` it can connect sockets, over TCP and to Unix sockets. With `has_history` it
 * can write, sync, truncate and lock the files that are open. The listening sockets, the broker
 * and the history file must be there before. Logs the restrictions in force. */
void sandbox_server(const char *web_root, bool has_history, bool has_engine);

/* Confines the broker. It can start no program and no process, and open no socket except the
 * netlink one that returns this host's addresses. */
void sandbox_broker(void);

#endif
