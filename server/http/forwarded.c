/* SPDX-License-Identifier: MIT
 *
 * forwarded.c - finds the client's address behind trusted proxies. Any thread, no locks.
 *
 * X-Forwarded-For has no standard (RFC 7239 names it in its introduction). Proxies agree on a list
 * of addresses, in one header field or several, in the order of the hops.
 */
#include "server/http/forwarded.h"

/* Takes the last entry of all fields. `field` counts down over the fields. */
static bool take_last(const struct http_request *rq, int *field, struct text *list,
                      struct text *entry)
{
    while (!http_take_last(list, entry)) {
        if (*field == 0)
            return false;
        *list = rq->forwarded[--*field];
    }
    return true;
}

enum forwarded_found forwarded_client(const struct http_request *rq,
                                      const struct address_list *trusted,
                                      struct sockaddr_storage *peer)
{
    struct text list = {NULL, 0}, entry;
    int field = rq->forwarded_count;
    struct sockaddr_storage found = *peer;
    for (int hops = 0; address_in(&found, trusted); hops++) {
        if (!take_last(rq, &field, &list, &entry)) {
            *peer = found; /* the request comes from the proxy itself */
            return hops > 0 ? FORWARDED_CLIENT : FORWARDED_NONE;
        }
        if (hops == FORWARDED_HOPS_MAX || !address_read(entry.at, entry.len, &found))
            return FORWARDED_BAD;
        if (!address_in(&found, trusted)) {
            *peer = found;
            return FORWARDED_CLIENT;
        }
    }
    return FORWARDED_NONE;
}
