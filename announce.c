/* SPDX-License-Identifier: MIT
 *
 * announce.c - what the server says on standard output when it starts, for a person to read.
 *
 * Main thread, once, before the first client. How far an address reaches is told by the address
 * (RFC 1918, 3927, 4193, 4291, 6598); what a firewall or a router lets through is not known here.
 */
#include "announce.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "net.h"

#define SAMPLE_PASSWORD "963" /* the one in the config.json that everybody has */

enum reach { REACH_HOST, REACH_LAN, REACH_EVERYONE };

static enum reach reach4(struct in_addr address)
{
    uint32_t bits = ntohl(address.s_addr);
    if (bits >> 24 == 127)
        return REACH_HOST;
    bool lan = bits >> 24 == 10 || bits >> 20 == 0xAC1 || bits >> 16 == 0xC0A8 ||
               bits >> 16 == 0xA9FE || bits >> 22 == 0x191; /* 100.64.0.0/10 */
    return lan ? REACH_LAN : REACH_EVERYONE;
}

static enum reach reach6(const struct in6_addr *address)
{
    struct in_addr mapped;
    if (IN6_IS_ADDR_LOOPBACK(address))
        return REACH_HOST;
    if (IN6_IS_ADDR_V4MAPPED(address)) {
        memcpy(&mapped, address->s6_addr + 12, sizeof(mapped));
        return reach4(mapped);
    }
    bool lan = IN6_IS_ADDR_LINKLOCAL(address) || (address->s6_addr[0] & 0xFE) == 0xFC;
    return lan ? REACH_LAN : REACH_EVERYONE;
}

static enum reach reach_of(const struct sockaddr_storage *address)
{
    if (address->ss_family == AF_INET6)
        return reach6(&((const struct sockaddr_in6 *)address)->sin6_addr);
    return reach4(((const struct sockaddr_in *)address)->sin_addr);
}

static bool is_wildcard(const struct sockaddr_storage *address)
{
    if (address->ss_family == AF_INET6)
        return IN6_IS_ADDR_UNSPECIFIED(&((const struct sockaddr_in6 *)address)->sin6_addr);
    return ((const struct sockaddr_in *)address)->sin_addr.s_addr == htonl(INADDR_ANY);
}

static void print_address(const struct config *config, const char *host, int port)
{
    bool v6 = strchr(host, ':') != NULL;
    printf("  Address:   %s://%s%s%s:%d/\n", config->SSL ? "wss" : "ws", v6 ? "[" : "", host,
           v6 ? "]" : "", port);
}

/* Prints one interface's address, if a socket of `family` answers there. Returns its reach. */
static enum reach print_interface(const struct config *config, const struct sockaddr *interface,
                                  int family, int port)
{
    struct sockaddr_storage address;
    char text[NET_ADDRESS_MAX];
    bool v4 = interface->sa_family == AF_INET;
    if (!v4 && (interface->sa_family != AF_INET6 || family == AF_INET))
        return REACH_HOST;
    memset(&address, 0, sizeof(address));
    memcpy(&address, interface, v4 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
    if (!v4 && IN6_IS_ADDR_LINKLOCAL(&((struct sockaddr_in6 *)&address)->sin6_addr))
        return REACH_HOST; /* useless without its interface's name, which browsers do not take */
    net_address(&address, text);
    if (reach_of(&address) != REACH_HOST)
        print_address(config, text, port);
    return reach_of(&address);
}

/* A wildcard address: prints localhost and every address of this machine. */
static enum reach print_all(const struct config *config, int family, int port)
{
    struct ifaddrs *interfaces = NULL, *interface;
    enum reach widest = REACH_LAN, reach;
    print_address(config, "localhost", port);
    if (getifaddrs(&interfaces) != 0)
        return REACH_EVERYONE;
    for (interface = interfaces; interface; interface = interface->ifa_next) {
        if (!interface->ifa_addr || !(interface->ifa_flags & IFF_UP))
            continue;
        reach = print_interface(config, interface->ifa_addr, family, port);
        if (reach > widest)
            widest = reach;
    }
    freeifaddrs(interfaces);
    return widest;
}

static void print_warnings(const struct config *config, enum reach reach)
{
    bool sample = strcmp(config->server_password, SAMPLE_PASSWORD) == 0;
    if (reach != REACH_HOST && sample)
        printf("  WARNING:   the password is the sample that everybody knows; change "
               "server_password in %s\n",
               config->path);
    if (reach != REACH_HOST && !config->SSL)
        printf("  WARNING:   SSL is false: whoever sees the network sees the password and the "
               "messages\n");
    if (reach == REACH_HOST)
        printf("  To let others in, set server_ip to 0.0.0.0 in %s%s.\n", config->path,
               sample ? ", and a password of your own" : "");
}

void announce(const struct config *config, int listener, const char *fingerprint, bool made)
{
    static const char *const reaches[] = {"this machine only", "the LAN (this machine's networks)",
                                          "everyone, where firewall and router let them through"};
    struct sockaddr_storage address;
    char text[NET_ADDRESS_MAX];
    socklen_t len = sizeof(address);
    int port = net_port(listener);
    enum reach reach;
    memset(&address, 0, sizeof(address));
    getsockname(listener, (struct sockaddr *)&address, &len);
    net_address(&address, text);

    if (made)
        printf("Made a key and a certificate for this machine: %s, %s\n", config->SSL_Key,
               config->SSL_Cert);
    printf("The room \"%s\" is open.\n", config->server_name);
    if (is_wildcard(&address)) {
        reach = print_all(config, address.ss_family, port);
    } else {
        print_address(config, text, port);
        reach = reach_of(&address);
    }
    printf("  Reach:     %s\n", reaches[reach]);
    printf("  Password:  %s\n", config->server_password[0] ? "needed" : "none, the room is public");
    if (fingerprint)
        printf("  Certificate SHA-256: %s\n", fingerprint);
    print_warnings(config, reach);
    fflush(stdout);
}
