/* SPDX-License-Identifier: MIT
 *
 * host_check.c - protects against DNS rebinding (RFC 9110 §7.2, §17.1), and decides which origins
 * are this server's own.
 *
 * The owner of a name can point it to our address after a browser has loaded a page from it. For
 * the browser that page and this server then have the same origin, behind any firewall, so Origin
 * does not reveal the attack. Host does: it still has the attacker's name. So Host must be a name
 * that no stranger can own. It is checked on every address, because even a global one, as IPv6
 * gives to each machine of a home, may be behind a firewall. The owner of a public name has it in
 * the certificate, or adds it to allowed_origins.
 *
 * Any thread, no locks.
 */
#include "server/http/host_check.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/address.h"
#include "lib/authority.h"
#include "lib/origin.h"

enum { HOST_MAX = ORIGIN_HOST_MAX + 1 }; /* a DNS name with its NUL; a longer one is never ours */

static char machine[HOST_MAX];       /* [I] this machine's name, with its domain if it has one */
static char machine_short[HOST_MAX]; /* [I] without its domain */

void host_check_init(void)
{
    if (gethostname(machine, sizeof(machine) - 1) != 0)
        machine[0] = '\0';
    memcpy(machine_short, machine, sizeof(machine));
    machine_short[strcspn(machine, ".")] = '\0';
}

static void map_ipv4(struct in6_addr *out, const struct in_addr *in)
{
    *out = (struct in6_addr){.s6_addr = {[10] = 0xFF, [11] = 0xFF}};
    memcpy(out->s6_addr + 12, in, sizeof(*in));
}

/* Reads a host that is an address; an IPv4 one is mapped into IPv6. */
static bool read_address(struct text host, struct in6_addr *address)
{
    struct sockaddr_storage found;
    if (!address_read(host.at, host.len, &found))
        return false;
    if (found.ss_family == AF_INET)
        map_ipv4(address, &((struct sockaddr_in *)&found)->sin_addr);
    else
        *address = ((struct sockaddr_in6 *)&found)->sin6_addr;
    return true;
}

/* RFC 6761 §6.3, RFC 6762 §3: names that no DNS server answers for. */
static bool is_local_name(struct text host)
{
    return authority_host_is(host, "localhost") || authority_host_under(host, ".localhost") ||
           authority_host_under(host, ".local");
}

static bool is_machine(struct text host)
{
    return machine[0] &&
           (authority_host_is(host, machine) || authority_host_is(host, machine_short));
}

static bool is_ours(struct text host, const struct config *config, const struct tls_context *tls)
{
    char name[HOST_MAX];
    struct in6_addr address;
    const char *const *allowed = (const char *const *)config->allowed_origins;
    if (host.len == 0 || host.len >= sizeof(name))
        return false;
    memcpy(name, host.at, host.len);
    name[host.len] = '\0';
    return read_address(host, &address) || is_local_name(host) || is_machine(host) ||
           (tls && tls_context_names(tls, name)) ||
           origin_host_allowed(host, allowed, (size_t)config->allowed_origins_count);
}

/* An HTTP/1.0 request may lack Host; browsers always send it. */
bool host_check_allows(const struct http_request *rq, const struct config *config,
                       const struct tls_context *tls)
{
    struct text host = origin_host(rq->host);
    return !host.at || is_ours(host, config, tls);
}

/* ---- Own origins ---- */

/* The host of an origin, and the local address that it is compared with. */
struct dialled {
    struct text host;
    char name[HOST_MAX]; /* `host`, NUL-terminated */
    bool is_address;
    struct in6_addr address; /* an IPv4 address is mapped */
    struct sockaddr_storage here;
    struct in6_addr here_address;
};

static void fill_dialled(struct dialled *dialled, struct text host, int fd)
{
    *dialled = (struct dialled){.host = host}; /* fits `name`: at most ORIGIN_HOST_MAX bytes */
    memcpy(dialled->name, host.at, host.len);
    dialled->is_address = read_address(host, &dialled->address);
    net_local(fd, &dialled->here);
    if (dialled->here.ss_family == AF_INET6)
        dialled->here_address = ((struct sockaddr_in6 *)&dialled->here)->sin6_addr;
    else
        map_ipv4(&dialled->here_address, &((struct sockaddr_in *)&dialled->here)->sin_addr);
}

/* Whether the host is a name or the local address of this machine. */
static bool is_this_machine(const struct dialled *dialled)
{
    char mdns[HOST_MAX + sizeof(".local")];
    struct text host = dialled->host;
    if (dialled->here.ss_family == AF_UNSPEC) /* the local address is unknown */
        return false;
    if (dialled->is_address)
        return memcmp(&dialled->address, &dialled->here_address, sizeof(dialled->address)) == 0;
    if (authority_host_is(host, "localhost") || authority_host_under(host, ".localhost"))
        return net_reach(&dialled->here) == NET_REACH_HOST;
    snprintf(mdns, sizeof(mdns), "%s.local", machine_short);
    return machine[0] && (is_machine(host) || authority_host_is(host, mdns));
}

static bool is_certified(const struct dialled *dialled, const struct tls_context *tls)
{
    char text[INET6_ADDRSTRLEN];
    const char *name = dialled->name;
    if (dialled->is_address && IN6_IS_ADDR_V4MAPPED(&dialled->address))
        name = inet_ntop(AF_INET, dialled->address.s6_addr + 12, text, sizeof(text));
    else if (dialled->is_address)
        name = inet_ntop(AF_INET6, &dialled->address, text, sizeof(text));
    return tls && tls_context_names(tls, name);
}

/* Whether the host means the same machine wherever it is dialled (RFC 6761, 6762, 8375). */
static bool is_unique(const struct dialled *dialled)
{
    struct sockaddr_storage address = {.ss_family = AF_INET6};
    if (dialled->is_address) {
        ((struct sockaddr_in6 *)&address)->sin6_addr = dialled->address;
        return net_reach(&address) == NET_REACH_EVERYONE;
    }
    return strchr(dialled->name, '.') && !authority_is_local(dialled->host);
}

bool host_check_is_own_origin(const char *origin, const char *host, int fd,
                              const struct config *config, const struct tls_context *tls)
{
    char own[ORIGIN_MAX];
    struct dialled dialled;
    for (int i = 0; i < config->allowed_origins_count; i++)
        if (origin_equals(config->allowed_origins[i], origin))
            return true;
    struct http_request rq = {.host = {host, host ? strlen(host) : 0}};
    int port = host ? origin_of(rq.host, tls, own) : -1;
    if (port < 0 || strcmp(own, origin) != 0)
        return false;
    fill_dialled(&dialled, origin_host(rq.host), fd);
    if (port == net_port(fd))
        return is_this_machine(&dialled) || is_certified(&dialled, tls);
    return is_unique(&dialled) && is_certified(&dialled, tls);
}
