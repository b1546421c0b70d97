/* SPDX-License-Identifier: MIT
 *
 * proxy.h - whom a request is from that a trusted proxy has passed on (X-Forwarded-For).
 *
 * Pure: no I/O, no locks, any thread.
 */
#ifndef PROXY_H
#define PROXY_H

#include <sys/socket.h>

#include "address.h"
#include "http.h"

enum { PROXY_HOPS_MAX = 16 }; /* entries looked at; more proxies in a row are taken for nonsense */

enum proxy_found {
    PROXY_NONE,   /* the peer itself: no trusted proxy, or one that names nobody */
    PROXY_CLIENT, /* the client's address was found */
    PROXY_BAD,    /* what the proxy says is no address: the peer itself */
};

/* Finds who sent a request that came from *peer. Each proxy adds at the right whom it was connected to,
 * so from the right the first address that is not a trusted proxy is the client's; what stands left
 * of it the client may have made up. With PROXY_CLIENT *peer is set to it. */
enum proxy_found proxy_client(const struct http_request *rq, const struct address_list *trusted,
                              struct sockaddr_storage *peer);

#endif
