/* SPDX-License-Identifier: MIT
 *
 * exposure.h - how far the server can be reached, and the check that keeps the sample password off
 * the internet.
 *
 * The address alone decides how far it reaches (net_reach). A global address may be behind a
 * firewall, as IPv6 addresses at home mostly are, and a router or a container engine may forward a
 * port to a private one: the server can see neither. Main thread only.
 */
#ifndef EXPOSURE_H
#define EXPOSURE_H

#include <stdbool.h>
#include <sys/socket.h>

#include "base/config.h"

/* Whether a listener with this local address answers on all addresses of the machine. */
bool exposure_is_wildcard(const struct sockaddr_storage *bound);

/* Calls `found` for each address on which a listener bound to `bound` answers: that one, or, if it
 * is a wildcard, those of its family (IPv6: of both) on interfaces that are up, except link-local
 * IPv6 ones, which browsers do not accept. Returns false when the system does not list them. */
bool exposure_each(const struct sockaddr_storage *bound,
                   void (*found)(void *context, const struct sockaddr_storage *address),
                   void *context);

/* Finds out once, at start, how far the listeners can be reached. The sandbox (sandbox.h) forbids
 * it later. */
void exposure_init(const int *listeners, int count);

/* Refuses the sample password if the whole internet may reach one of the listeners. A global
 * address counts even if it is behind a firewall, because choosing a password costs one line. A
 * server that listens only on private and loopback addresses is not refused. 0.0.0.0 does not
 * accept IPv6, so global IPv6 addresses do not count then. If the system does not list its
 * addresses, it is refused. Returns 0, or -1 and an error in `error` (CONFIG_ERROR_MAX). */
int exposure_check(const struct config *config, char *error);

#endif
