/* SPDX-License-Identifier: MIT
 *
 * interfaces.c - walks the list of getifaddrs(3). No locks.
 */
#include "net/interfaces.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>

static bool copy_address(const struct sockaddr *from, struct sockaddr_storage *address)
{
    if (!from || (from->sa_family != AF_INET && from->sa_family != AF_INET6))
        return false;
    bool v4 = from->sa_family == AF_INET;
    memset(address, 0, sizeof(*address));
    memcpy(address, from, v4 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
    return v4 || !IN6_IS_ADDR_LINKLOCAL(&((const struct sockaddr_in6 *)address)->sin6_addr);
}

bool interfaces_each(void (*found)(void *context, const struct sockaddr_storage *address,
                                   bool is_up),
                     void *context)
{
    struct ifaddrs *interfaces;
    struct sockaddr_storage address;
    if (getifaddrs(&interfaces) != 0)
        return false;
    for (struct ifaddrs *each = interfaces; each; each = each->ifa_next)
        if (copy_address(each->ifa_addr, &address))
            found(context, &address, each->ifa_flags & IFF_UP);
    freeifaddrs(interfaces);
    return true;
}
