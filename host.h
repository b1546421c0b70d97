/* SPDX-License-Identifier: MIT
 *
 * host.h - by which names a browser may call this server: the guard against DNS rebinding.
 *
 * Any thread, no locks.
 */
#ifndef HOST_H
#define HOST_H

#include <stdbool.h>

#include "config.h"
#include "http.h"
#include "net.h"

/* Readies the guard: call it before threads start. */
void hosts_init(void);

/* Whether a browser may be answered that came to the socket `fd` with this Host. Everyone may where
 * the whole world can reach the socket's address. On a private one Host must be an IP address,
 * localhost or a name under .localhost or .local, the name of this machine, one that the
 * certificate is valid for, or the host of one of allowed_origins ("*": any). `tls` is NULL where
 * there is none. */
bool host_ok(const struct http_request *rq, int fd, const struct config *config,
             const struct net_tls *tls);

#endif
