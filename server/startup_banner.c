/* SPDX-License-Identifier: MIT
 *
 * startup_banner.c - what the server prints on standard output at start: text for a person, and on
 * a terminal a QR code.
 *
 * Main thread, once, before the first client. The address alone decides how far it reaches
 * (net_reach); firewalls and routers are not known here. The address to give to others is the one
 * that the system itself would send from.
 */
#include "server/startup_banner.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/exposure.h"
#include "net/socket.h"
#include "net/stream.h"
#include "lib/qr.h"

enum {
    URL_MAX = NET_ADDRESS_MAX + 32, /* room for "https://[ADDRESS]:65535/" and its NUL */
    INDENT = 2,                     /* blanks before the lines below the first */
};

/* ---- Addresses ---- */

/* The addresses found: where the server listens, the widest reach, and the one to give to
 * others. */
struct addresses {
    const struct config *config;
    struct sockaddr_storage bound; /* address of the listener */
    struct sockaddr_storage route; /* address that this host sends from; AF_UNSPEC: unknown */
    int port;
    int printed;
    enum net_reach reach;
    bool is_best_routed;
    char best[URL_MAX]; /* "": only this host can connect */
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
    printf("  %-12s %s\n", list->printed++ ? "" : "Open:", url);
}

/* Finds out which address this host sends from to the internet. Nothing is sent: the destinations
 * are reserved for documentation (RFC 5737, RFC 3849). */
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

/* Considers an address. The one with the route is best, then the first. */
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

/* Prints an address on which the server answers. */
static void print_interface(void *context, const struct sockaddr_storage *address)
{
    struct addresses *list = context;
    char text[NET_ADDRESS_MAX];
    net_address(address, text);
    if (net_reach(address) != NET_REACH_HOST)
        print_address(list, text);
    count_in(list, address, text);
}

/* A wildcard address: prints localhost and every address of this machine. */
static void print_all(struct addresses *list)
{
    list->reach = NET_REACH_LAN;
    print_address(list, "localhost");
    find_route(list, AF_INET);
    if (list->route.ss_family == AF_UNSPEC && list->bound.ss_family == AF_INET6)
        find_route(list, AF_INET6);
    if (!exposure_each(&list->bound, print_interface, list))
        list->reach = NET_REACH_EVERYONE;
}

static void print_addresses(struct addresses *list)
{
    char text[NET_ADDRESS_MAX];
    if (exposure_is_wildcard(&list->bound)) {
        print_all(list);
        return;
    }
    net_address(&list->bound, text);
    print_address(list, text);
    count_in(list, &list->bound, text);
}

/* ---- Certificate, password and QR code ---- */

static void print_made(const struct config *config, const struct server_cert *cert)
{
    if (cert->state == SERVER_CERT_MADE)
        printf("Made a key and a certificate for this machine: %s, %s\n", config->SSL_Key,
               config->SSL_Cert);
    if (cert->state == SERVER_CERT_RENEWED)
        printf("Issued the certificate again, for the present names of this machine: %s\n",
               config->SSL_Cert);
}

static void print_fingerprints(const struct server_cert *cert)
{
    printf("  Certificate: SHA-256 %s\n", cert->fingerprint);
    if (cert->ca_fingerprint[0])
        printf("  To trust it: SHA-256 %s (open /trust)\n"
               "  In browsers: they warn once, because this server made its certificate itself;\n"
               "               go on, or open /trust to end that\n",
               cert->ca_fingerprint);
    if (cert->host_left_out[0])
        printf("  Note:        the certificate does not hold for %s, which may be a name of the "
               "internet; for that, get a real certificate\n",
               cert->host_left_out);
    if (cert->warning[0])
        printf("  WARNING:     %s\n", cert->warning);
}

/* Prints the password only if it is no secret from those who read this. */
static void print_password(const struct config *config, bool just_made)
{
    if (!config->server_password[0])
        printf("  Password:    none, the room is public\n");
    else if (just_made)
        printf("  Password:    %s\n", config->server_password);
    else if (config_has_sample_password(config))
        printf("  Password:    %s (the sample)\n", config->server_password);
    else
        printf("  Password:    needed, server_password in %s\n", config->path);
}

static void print_warnings(const struct config *config, enum net_reach reach)
{
    bool sample = config_has_sample_password(config);
    if (reach != NET_REACH_HOST && sample)
        printf("  WARNING:     the password is the sample that everybody knows; change "
               "server_password in %s, or start with --lan, which makes one\n",
               config->path);
    if (reach != NET_REACH_HOST && !config->SSL)
        printf("  WARNING:     SSL is false: whoever sees the network sees the password and the "
               "messages\n");
    if (reach == NET_REACH_HOST)
        printf("  To let others in, start with --lan: it %sopens the room to your LAN, and "
               "changes %s.\n",
               sample ? "makes a password, " : "", config->path);
}

/* Whether standard output is a terminal with at least `columns` columns. */
static bool has_room(int columns)
{
    struct winsize size;
    const char *term = getenv("TERM");
    if (!isatty(STDOUT_FILENO) || (term && strcmp(term, "dumb") == 0))
        return false;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0 ||
           size.ws_col >= columns;
}

/* Prints the QR code. If it cannot be made, the printed address is enough. */
static void print_qr(const char *url)
{
    int columns = 0;
    char *code = qr_terminal(url, INDENT, &columns);
    if (code && has_room(columns))
        printf("\n%s  Scan it to open %s\n", code, url);
    free(code);
}

void announce(const struct config *config, int listener, const struct server_cert *cert,
              bool just_made)
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
    print_password(config, just_made);
    if (cert)
        print_fingerprints(cert);
    print_warnings(config, list.reach);
    if (list.best[0])
        print_qr(list.best);
    if (isatty(STDOUT_FILENO))
        printf("\n"); /* the log begins below */
    fflush(stdout);
}
