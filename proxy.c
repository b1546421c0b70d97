/* SPDX-License-Identifier: MIT
 *
 * proxy.c - whom a proxied request is from, as proxy.h promises it.
 *
 * X-Forwarded-For has no standard (RFC 7239 names it in its introduction); what proxies have in
 * common is a list of addresses, over one header field or several, in the order of the way.
 */
#include "proxy.h"

/* Takes the last entry of all fields. `field` counts down as fields are used up. */
static bool take_last(const struct http_request *rq, int *field, struct http_text *list,
                      struct http_text *entry)
{
    while (!http_take_last(list, entry)) {
        if (*field == 0)
            return false;
        *list = rq->forwarded[--*field];
    }
    return true;
}

enum proxy_found proxy_client(const struct http_request *rq, const struct address_list *trusted,
                              struct sockaddr_storage *peer)
{
    struct http_text list = {NULL, 0}, entry;
    int field = rq->forwarded_count;
    struct sockaddr_storage found = *peer;
    for (int hops = 0; address_in(&found, trusted); hops++) {
        if (!take_last(rq, &field, &list, &entry)) {
            *peer = found; /* a trusted proxy is a client, too */
            return hops > 0 ? PROXY_CLIENT : PROXY_NONE;
        }
        if (hops == PROXY_HOPS_MAX || !address_read(entry.at, entry.len, &found))
            return PROXY_BAD;
        if (!address_in(&found, trusted)) {
            *peer = found;
            return PROXY_CLIENT;
        }
    }
    return PROXY_NONE;
}
