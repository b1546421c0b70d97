/* SPDX-License-Identifier: MIT
 *
 * interfaces.h - the addresses of this machine.
 *
 * No locks; any thread, but not in a confined process (sandbox.h), where getifaddrs(3) fails.
 */
#ifndef INTERFACES_H
#define INTERFACES_H

#include <stdbool.h>
#include <sys/socket.h>

/* Calls `found` for each IPv4 and IPv6 address of each interface, except link-local IPv6 ones:
 * browsers accept no URL with them. `is_up` tells whether the interface is up. Returns false when
 * the system does not tell. */
bool interfaces_each(void (*found)(void *context, const struct sockaddr_storage *address,
                                   bool is_up),
                     void *context);

#endif
