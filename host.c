/* SPDX-License-Identifier: MIT
 *
 * host.c - the guard against DNS rebinding, as host.h promises it (RFC 9110 §7.2, §17.1).
 *
 * Who owns a name can let it point to one of our addresses after a browser has loaded a page from it.
 * To the browser that page and this server are then one origin, behind any firewall, so Origin gives
 * nothing away. Host does: it still holds the stranger's name. So on an address that only this
 * machine or its networks reach, Host must be a name that no stranger can have.
 */
#include "host.h"

#include <arpa/inet.h>
#include <string.h>
#include <unistd.h>

enum { HOST_MAX = 256 }; /* a name of the DNS, with its NUL; a longer one is nobody's */

static char machine[HOST_MAX];       /* [I] this machine's name, with its domain if it has one */
static char machine_short[HOST_MAX]; /* [I] without it */

void hosts_init(void)
{
    if (gethostname(machine, sizeof(machine) - 1) != 0)
        machine[0] = '\0';
    memcpy(machine_short, machine, sizeof(machine));
    machine_short[strcspn(machine, ".")] = '\0';
}

/* RFC 3986 §3.2.2: an IPv6 address stands in brackets. */
static bool is_address(const char *host)
{
    struct in6_addr in6;
    struct in_addr in;
    char inner[HOST_MAX];
    size_t len = strlen(host);
    if (host[0] != '[')
        return inet_pton(AF_INET, host, &in) == 1;
    memcpy(inner, host + 1, len - 2);
    inner[len - 2] = '\0';
    return inet_pton(AF_INET6, inner, &in6) == 1;
}

/* RFC 6761 §6.3, RFC 6762 §3: names that no DNS server answers for. */
static bool is_local_name(struct http_text host)
{
    return http_host_is(host, "localhost") || http_host_under(host, ".localhost") ||
           http_host_under(host, ".local");
}

static bool is_machine(struct http_text host)
{
    return machine[0] && (http_host_is(host, machine) || http_host_is(host, machine_short));
}

static bool is_ours(struct http_text host, const struct config *config, const struct net_tls *tls)
{
    char name[HOST_MAX];
    const char *const *allowed = (const char *const *)config->allowed_origins;
    if (host.len == 0 || host.len >= sizeof(name))
        return false;
    memcpy(name, host.at, host.len);
    name[host.len] = '\0';
    return is_address(name) || is_local_name(host) || is_machine(host) ||
           (tls && net_tls_names(tls, name)) ||
           http_host_allowed(host, allowed, (size_t)config->allowed_origins_count);
}

/* HTTP/1.0 may come without Host; browsers never do. */
bool host_ok(const struct http_request *rq, int fd, const struct config *config,
             const struct net_tls *tls)
{
    struct sockaddr_storage here;
    struct http_text host = http_host(rq);
    net_local(fd, &here);
    return !host.at || net_reach(&here) == NET_REACH_EVERYONE || is_ours(host, config, tls);
}
