/* SPDX-License-Identifier: MIT
 *
 * host.h - by which names a browser may call this server: the guard against DNS rebinding.
 *
 * Immutable after hosts_init; any thread, no locks.
 */
#ifndef HOST_H
#define HOST_H

#include <stdbool.h>

#include "config.h"
#include "http.h"
#include "net.h"

/* Readies the guard. `config` and `tls` (NULL: plain) outlive it. */
void hosts_init(const struct config *config, const struct net_tls *tls);

/* Whether a browser may be answered that came to the socket `fd` with this Host. Everyone may where
 * the whole world can reach the socket's address. On a private one Host must be an IP address,
 * localhost or a name under .localhost or .local, the name of this machine, one that the
 * certificate is valid for, or the host of one of allowed_origins ("*": any). */
bool host_ok(const struct http_request *rq, int fd);

#endif
