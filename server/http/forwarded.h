/* SPDX-License-Identifier: MIT
 *
 * forwarded.h - finds the client's address behind trusted proxies (X-Forwarded-For).
 *
 * Pure: no I/O, no locks, any thread.
 */
#ifndef FORWARDED_H
#define FORWARDED_H

#include <sys/socket.h>

#include "lib/address.h"
#include "lib/http/http_request.h"

enum { FORWARDED_HOPS_MAX = 16 }; /* trusted proxies in a row; more: FORWARDED_BAD */

enum forwarded_found {
    FORWARDED_NONE,   /* no trusted proxy, or one that names no client; *peer is kept */
    FORWARDED_CLIENT, /* the client's address was found and is in *peer */
    FORWARDED_BAD,    /* the proxy's header is malformed; *peer is kept */
};

/* Finds the client that sent a request which came from *peer. Each proxy appends the address that
 * connected to it, so the rightmost address that is not a trusted proxy is the client's. The client
 * may have made up everything left of it. Sets *peer with FORWARDED_CLIENT only. */
enum forwarded_found forwarded_client(const struct http_request *rq,
                                      const struct address_list *trusted,
                                      struct sockaddr_storage *peer);

#endif
