/* SPDX-License-Identifier: MIT
 *
 * announce.c - what the server says on standard output when it starts, for a person to read, and
 * on a terminal for a phone to scan.
 *
 * Main thread, once, before the first client. How far an address reaches is told by the address
 * (net_reach); what a firewall or a router lets through is not known here.
 * Which address to give to others is the system's choice: the one it would itself send from.
 */
#include "announce.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net.h"
#include "qr.h"

#define SAMPLE_PASSWORD "963" /* the one in the config.json that everybody has */

enum {
    URL_MAX = NET_ADDRESS_MAX + 32, /* "https://[ADDRESS]:65535/" with its NUL */
    INDENT = 2,                     /* blanks before the lines below the first */
};

static bool is_wildcard(const struct sockaddr_storage *address)
{
    if (address->ss_family == AF_INET6)
        return IN6_IS_ADDR_UNSPECIFIED(&((const struct sockaddr_in6 *)address)->sin6_addr);
    return ((const struct sockaddr_in *)address)->sin_addr.s_addr == htonl(INADDR_ANY);
}

/* ---- Addresses ---- */

/* The addresses as they are found: where the server listens, how far the widest of them reaches, and
 * which one to give to others. */
struct addresses {
    const struct config *config;
    struct sockaddr_storage bound; /* what the listener is bound to */
    struct sockaddr_storage route; /* what this host sends from; no family: it is not known */
    int port;
    int printed;
    enum net_reach reach;
    bool is_best_routed;
    char best[URL_MAX]; /* "": only this host can come */
};

static void write_url(char url[URL_MAX], const struct addresses *list, const char *host)
{
    bool v6 = strchr(host, ':') != NULL;
    snprintf(url, URL_MAX, "%s://%s%s%s:%d/", list->config->SSL ? "https" : "http", v6 ? "[" : "",
             host, v6 ? "]" : "", list->port);
}

static void print_address(struct addresses *list, const char *host)
{
    char url[URL_MAX];
    write_url(url, list, host);
    printf("  %-12s %s\n", list->printed++ ? "" : "Address:", url);
}

/* Learns which address this host sends from to the internet. Nothing is sent: these addresses are for
 * documentation only (RFC 5737, RFC 3849). */
static void find_route(struct addresses *list, int family)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(9)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(9)};
    bool is_v4 = family == AF_INET;
    inet_pton(AF_INET, "198.51.100.1", &v4.sin_addr);
    inet_pton(AF_INET6, "2001:db8::1", &v6.sin6_addr);
    int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const void *to = is_v4 ? (const void *)&v4 : (const void *)&v6;
    if (fd >= 0 && connect(fd, to, is_v4 ? sizeof(v4) : sizeof(v6)) == 0)
        net_local(fd, &list->route);
    if (fd >= 0)
        close(fd);
}

/* Counts an address in. The one with the route is best, then the first. */
static void count_in(struct addresses *list, const struct sockaddr_storage *address,
                     const char *text)
{
    char route[NET_ADDRESS_MAX] = "";
    enum net_reach reach = net_reach(address);
    if (reach > list->reach)
        list->reach = reach;
    if (reach == NET_REACH_HOST)
        return;
    if (list->route.ss_family != AF_UNSPEC)
        net_address(&list->route, route);
    bool routed = strcmp(route, text) == 0;
    if (list->best[0] && (list->is_best_routed || !routed))
        return;
    list->is_best_routed = routed;
    write_url(list->best, list, text);
}

/* Prints one interface's address, if a socket of this family answers there. */
static void print_interface(struct addresses *list, const struct sockaddr *interface)
{
    struct sockaddr_storage address;
    char text[NET_ADDRESS_MAX];
    bool v4 = interface->sa_family == AF_INET;
    if (!v4 && (interface->sa_family != AF_INET6 || list->bound.ss_family == AF_INET))
        return;
    memset(&address, 0, sizeof(address));
    memcpy(&address, interface, v4 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
    if (!v4 && IN6_IS_ADDR_LINKLOCAL(&((struct sockaddr_in6 *)&address)->sin6_addr))
        return; /* useless without its interface's name, which browsers do not take */
    net_address(&address, text);
    if (net_reach(&address) != NET_REACH_HOST)
        print_address(list, text);
    count_in(list, &address, text);
}

/* A wildcard address: prints localhost and every address of this machine. */
static void print_all(struct addresses *list)
{
    struct ifaddrs *interfaces = NULL, *interface;
    list->reach = NET_REACH_LAN;
    print_address(list, "localhost");
    if (getifaddrs(&interfaces) != 0) {
        list->reach = NET_REACH_EVERYONE;
        return;
    }
    find_route(list, AF_INET);
    if (list->route.ss_family == AF_UNSPEC && list->bound.ss_family == AF_INET6)
        find_route(list, AF_INET6);
    for (interface = interfaces; interface; interface = interface->ifa_next)
        if (interface->ifa_addr && interface->ifa_flags & IFF_UP)
            print_interface(list, interface->ifa_addr);
    freeifaddrs(interfaces);
}

static void print_addresses(struct addresses *list)
{
    char text[NET_ADDRESS_MAX];
    if (is_wildcard(&list->bound)) {
        print_all(list);
        return;
    }
    net_address(&list->bound, text);
    print_address(list, text);
    count_in(list, &list->bound, text);
}

/* ---- What else there is to know ---- */

static void print_made(const struct config *config, const struct cert *cert)
{
    if (cert->state == CERT_MADE)
        printf("Made a key and a certificate for this machine: %s, %s\n", config->SSL_Key,
               config->SSL_Cert);
    if (cert->state == CERT_RENEWED)
        printf("Issued the certificate anew, for what this machine is called now: %s\n",
               config->SSL_Cert);
}

static void print_fingerprints(const struct cert *cert)
{
    printf("  Certificate: SHA-256 %s\n", cert->fingerprint);
    if (cert->ca_fingerprint[0])
        printf("  To trust it: SHA-256 %s (open /trust)\n", cert->ca_fingerprint);
}

static void print_warnings(const struct config *config, enum net_reach reach)
{
    bool sample = strcmp(config->server_password, SAMPLE_PASSWORD) == 0;
    if (reach != NET_REACH_HOST && sample)
        printf("  WARNING:     the password is the sample that everybody knows; change "
               "server_password in %s\n",
               config->path);
    if (reach != NET_REACH_HOST && !config->SSL)
        printf("  WARNING:     SSL is false: whoever sees the network sees the password and the "
               "messages\n");
    if (reach == NET_REACH_HOST)
        printf("  To let others in, set server_ip to 0.0.0.0 in %s%s.\n", config->path,
               sample ? ", and a password of your own" : "");
}

/* Whether a person looks at a screen that shows `columns` characters in a line. */
static bool has_room(int columns)
{
    struct winsize size;
    const char *term = getenv("TERM");
    if (!isatty(STDOUT_FILENO) || (term && strcmp(term, "dumb") == 0))
        return false;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0 ||
           size.ws_col >= columns;
}

/* The code to scan. It is extra: where it cannot be made, the address above says the same. */
static void print_qr(const char *url)
{
    int columns = 0;
    char *code = qr_terminal(url, INDENT, &columns);
    if (code && has_room(columns))
        printf("\n%s  Scan it to open %s\n", code, url);
    free(code);
}

void announce(const struct config *config, int listener, const struct cert *cert)
{
    static const char *const reaches[] = {"this machine only", "the LAN (this machine's networks)",
                                          "everyone, where firewall and router let them through"};
    struct addresses list = {.config = config, .port = net_port(listener), .reach = NET_REACH_HOST};
    net_local(listener, &list.bound);
    if (cert)
        print_made(config, cert);
    printf("The room \"%s\" is open.\n", config->server_name);
    print_addresses(&list);
    printf("  Reach:       %s\n", reaches[list.reach]);
    printf("  Password:    %s\n",
           config->server_password[0] ? "needed" : "none, the room is public");
    if (cert)
        print_fingerprints(cert);
    print_warnings(config, list.reach);
    if (list.best[0])
        print_qr(list.best);
    fflush(stdout);
}
