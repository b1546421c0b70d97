/* SPDX-License-Identifier: MIT
 *
 * exposure.c - finds out how far the server can be reached. Main thread only, no locks.
 */
#include "server/exposure.h"

#include <netinet/in.h>
#include <stdio.h>

#include "net/interfaces.h"
#include "net/socket.h"

bool exposure_is_wildcard(const struct sockaddr_storage *bound)
{
    if (bound->ss_family == AF_INET6)
        return IN6_IS_ADDR_UNSPECIFIED(&((const struct sockaddr_in6 *)bound)->sin6_addr);
    return bound->ss_family == AF_INET &&
           ((const struct sockaddr_in *)bound)->sin_addr.s_addr == htonl(INADDR_ANY);
}

/* A listener on all addresses, and the callback for each of them. */
struct wildcard {
    sa_family_t family;
    void (*found)(void *context, const struct sockaddr_storage *address);
    void *context;
};

/* An IPv6 listener takes IPv4, too (socket.c). */
static void found_interface(void *context, const struct sockaddr_storage *address, bool is_up)
{
    const struct wildcard *wildcard = context;
    if (is_up && (wildcard->family == AF_INET6 || address->ss_family == AF_INET))
        wildcard->found(wildcard->context, address);
}

bool exposure_each(const struct sockaddr_storage *bound,
                   void (*found)(void *context, const struct sockaddr_storage *address),
                   void *context)
{
    struct wildcard wildcard = {bound->ss_family, found, context};
    if (bound->ss_family == AF_UNSPEC) /* net_local */
        return false;
    if (exposure_is_wildcard(bound))
        return interfaces_each(found_interface, &wildcard);
    found(context, bound);
    return true;
}

/* Copies an address to `context`, if the whole internet may reach it. */
static void note_public(void *context, const struct sockaddr_storage *address)
{
    if (net_reach(address) == NET_REACH_EVERYONE)
        net_address(address, context);
}

/* An address at which the internet may reach the server; "" if there is none. */
static char public[NET_ADDRESS_MAX];

void exposure_init(const int *listeners, int count)
{
    struct sockaddr_storage bound;
    public[0] = '\0';
    for (int i = 0; i < count && !public[0]; i++) {
        net_local(listeners[i], &bound);
        if (!exposure_each(&bound, note_public, public))
            snprintf(public, sizeof(public), "an unknown address");
    }
}

int exposure_check(const struct config *config, char *error)
{
    if (!config_has_sample_password(config) || !public[0])
        return 0;
    return config_complain(config, "server_password", error,
                           "expected a password of your own, or --allow-sample-password, got the "
                           "sample that everybody knows, and the internet may reach %s",
                           public);
}
