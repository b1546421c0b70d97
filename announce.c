/* SPDX-License-Identifier: MIT
 *
 * announce.c - what the server says on standard output when it starts, for a person to read.
 *
 * Main thread, once, before the first client. How far an address reaches is told by the address
 * (net_reach); what a firewall or a router lets through is not known here.
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
static enum net_reach print_interface(const struct config *config, const struct sockaddr *interface,
                                      int family, int port)
{
    struct sockaddr_storage address;
    char text[NET_ADDRESS_MAX];
    bool v4 = interface->sa_family == AF_INET;
    if (!v4 && (interface->sa_family != AF_INET6 || family == AF_INET))
        return NET_REACH_HOST;
    memset(&address, 0, sizeof(address));
    memcpy(&address, interface, v4 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
    if (!v4 && IN6_IS_ADDR_LINKLOCAL(&((struct sockaddr_in6 *)&address)->sin6_addr))
        return NET_REACH_HOST; /* useless without its interface's name, which browsers do not take */
    net_address(&address, text);
    if (net_reach(&address) != NET_REACH_HOST)
        print_address(config, text, port);
    return net_reach(&address);
}

/* A wildcard address: prints localhost and every address of this machine. */
static enum net_reach print_all(const struct config *config, int family, int port)
{
    struct ifaddrs *interfaces = NULL, *interface;
    enum net_reach widest = NET_REACH_LAN, reach;
    print_address(config, "localhost", port);
    if (getifaddrs(&interfaces) != 0)
        return NET_REACH_EVERYONE;
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

static void print_warnings(const struct config *config, enum net_reach reach)
{
    bool sample = strcmp(config->server_password, SAMPLE_PASSWORD) == 0;
    if (reach != NET_REACH_HOST && sample)
        printf("  WARNING:   the password is the sample that everybody knows; change "
               "server_password in %s\n",
               config->path);
    if (reach != NET_REACH_HOST && !config->SSL)
        printf("  WARNING:   SSL is false: whoever sees the network sees the password and the "
               "messages\n");
    if (reach == NET_REACH_HOST)
        printf("  To let others in, set server_ip to 0.0.0.0 in %s%s.\n", config->path,
               sample ? ", and a password of your own" : "");
}

void announce(const struct config *config, int listener, const char *fingerprint, bool made)
{
    static const char *const reaches[] = {"this machine only", "the LAN (this machine's networks)",
                                          "everyone, where firewall and router let them through"};
    struct sockaddr_storage address;
    char text[NET_ADDRESS_MAX];
    int port = net_port(listener);
    enum net_reach reach;
    net_local(listener, &address);
    net_address(&address, text);

    if (made)
        printf("Made a key and a certificate for this machine: %s, %s\n", config->SSL_Key,
               config->SSL_Cert);
    printf("The room \"%s\" is open.\n", config->server_name);
    if (is_wildcard(&address)) {
        reach = print_all(config, address.ss_family, port);
    } else {
        print_address(config, text, port);
        reach = net_reach(&address);
    }
    printf("  Reach:     %s\n", reaches[reach]);
    printf("  Password:  %s\n", config->server_password[0] ? "needed" : "none, the room is public");
    if (fingerprint)
        printf("  Certificate SHA-256: %s\n", fingerprint);
    print_warnings(config, reach);
    fflush(stdout);
}
