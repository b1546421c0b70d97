/* SPDX-License-Identifier: MIT
 *
 * socket.c - sockets, waiting and waking. Any thread; no locks.
 *
 * All calls are non-blocking except net_wait, net_wait_any, net_connect and net_look_up. EINTR and
 * short I/O are handled here.
 *
 * Waking: a thread unblocks NET_WAKE only while it waits in ppoll(2). Everywhere else the signal is
 * blocked, so it stays pending and ends the next wait at once. No wake-up is lost, and no
 * descriptor is needed for it: ten thousand members need ten thousand descriptors, not twenty.
 * Linux and the BSDs have ppoll.
 */
#include "net/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

enum {
    NET_WAKE = SIGUSR1,
    BACKLOG =
        4096, /* connections that wait for accept(2), if the system allows as many (Linux does).
                     * The SYN of one more is dropped, and sent again after a second and longer */
};

/* ---- Time, waiting and waking ---- */

int64_t net_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void net_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t clock;
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &clock);
    pthread_condattr_destroy(&clock);
}

struct timespec net_timespec(int64_t ms)
{
    return (struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
}

static int64_t read_clock_us(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t net_now_us(void)
{
    return read_clock_us(CLOCK_MONOTONIC);
}

int64_t net_wall_ms(void)
{
    return read_clock_us(CLOCK_REALTIME) / 1000;
}

int64_t net_cpu_us(void)
{
    return read_clock_us(CLOCK_THREAD_CPUTIME_ID);
}

static sigset_t waiting_mask; /* [I] signal mask during a wait: without NET_WAKE */

static void on_wake(int number)
{
    (void)number; /* the delivery itself has ended the wait */
}

void net_wake_init(void)
{
    struct sigaction action = {.sa_handler = on_wake};
    sigset_t wake;
    sigemptyset(&action.sa_mask);
    sigaction(NET_WAKE, &action, NULL);
    action.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &action, NULL);
    sigemptyset(&wake);
    sigaddset(&wake, NET_WAKE);
    pthread_sigmask(SIG_BLOCK, &wake, &waiting_mask);
    sigdelset(&waiting_mask, NET_WAKE);
}

void net_wake(pthread_t thread)
{
    pthread_kill(thread, NET_WAKE);
}

/* Callers treat a failed wait as one that ended early, and wait again. While memory is out
 * (ENOMEM), this pause keeps them from spinning. */
static void pause_failed(int64_t until)
{
    int64_t left = until - net_now();
    struct timespec pause = {.tv_nsec = NET_FAILED_MS * 1000000};
    if (left < NET_FAILED_MS)
        pause.tv_nsec = left > 0 ? left * 1000000 : 0;
    nanosleep(&pause, NULL);
}

/* ppoll with NET_WAKE unblocked. Other signals stay as they were in net_wake_init. */
static int wait_masked(int64_t now, struct pollfd *fds, nfds_t count, int64_t until)
{
    struct timespec left = net_timespec(until > now ? until - now : 0);
    int ready = ppoll(fds, count, until == INT64_MAX ? NULL : &left, &waiting_mask);
    if (ready < 0 && errno != EINTR)
        pause_failed(until);
    return ready;
}

short net_wait_from(int64_t now, int fd, short events, int64_t until)
{
    struct pollfd one = {.fd = fd, .events = events};
    return wait_masked(now, &one, 1, until) > 0 ? one.revents : 0;
}

short net_wait(int fd, short events, int64_t until)
{
    return net_wait_from(net_now(), fd, events, until);
}

unsigned net_wait_any(const int *fds, int count, int64_t until)
{
    struct pollfd all[NET_LISTENERS_MAX];
    unsigned ready = 0;
    for (int i = 0; i < count; i++)
        all[i] = (struct pollfd){.fd = fds[i], .events = POLLIN};
    if (wait_masked(net_now(), all, (nfds_t)count, until) <= 0)
        return 0;
    for (int i = 0; i < count; i++)
        if (all[i].revents)
            ready |= 1u << i;
    return ready;
}

/* ---- Sockets ---- */

static void set_option(int fd, int level, int option, int value)
{
    setsockopt(fd, level, option, &value, sizeof(value));
}

static int look_up(const char *host, int port, int flags, struct addrinfo **list, char *error)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = flags | AI_NUMERICSERV};
    char service[16];
    snprintf(service, sizeof(service), "%d", port);
    int code = getaddrinfo(host, service, &hints, list);
    if (code == 0)
        return 0;
    snprintf(error, NET_ERROR_MAX, "%s", code == EAI_SYSTEM ? strerror(errno) : gai_strerror(code));
    errno = EADDRNOTAVAIL;
    return -1;
}

static void set_port(struct addrinfo *address, int port)
{
    if (address->ai_family == AF_INET6)
        ((struct sockaddr_in6 *)(void *)address->ai_addr)->sin6_port = htons((uint16_t)port);
    else
        ((struct sockaddr_in *)(void *)address->ai_addr)->sin_port = htons((uint16_t)port);
}

/* "::" means both families; any other IPv6 address means only itself. */
static bool is_wildcard6(const struct addrinfo *address)
{
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)address->ai_addr;
    return address->ai_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&in6->sin6_addr);
}

static int listen_on(const struct addrinfo *address)
{
    int type = address->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC;
    int fd = socket(address->ai_family, type, address->ai_protocol);
    if (fd < 0)
        return -1;
    set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (address->ai_family == AF_INET6)
        set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, !is_wildcard6(address));
    if (bind(fd, address->ai_addr, address->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

int net_listen(const char *host, int port, int *fds, char *error)
{
    struct addrinfo *list, *address;
    int count = 0;
    if (look_up(host, port, AI_PASSIVE, &list, error) < 0)
        return -1;
    for (address = list; address && count < NET_LISTENERS_MAX; address = address->ai_next) {
        if (count > 0)
            set_port(address, net_port(fds[0]));
        int fd = listen_on(address);
        if (fd < 0)
            break;
        fds[count++] = fd;
    }
    int saved = errno;
    bool all = address == NULL || count == NET_LISTENERS_MAX;
    freeaddrinfo(list);
    if (all)
        return count;
    snprintf(error, NET_ERROR_MAX, "%s", strerror(saved));
    while (count > 0)
        close(fds[--count]);
    errno = saved;
    return -1;
}

int net_port(int fd)
{
    struct sockaddr_storage address;
    socklen_t len = sizeof(address);
    memset(&address, 0, sizeof(address));
    getsockname(fd, (struct sockaddr *)&address, &len);
    if (address.ss_family == AF_INET6)
        return ntohs(((struct sockaddr_in6 *)&address)->sin6_port);
    return ntohs(((struct sockaddr_in *)&address)->sin_port);
}

int net_accept(int fd, struct sockaddr_storage *peer)
{
    socklen_t len = sizeof(*peer);
    memset(peer, 0, sizeof(*peer));
    int client = accept4(fd, (struct sockaddr *)peer, &len, SOCK_CLOEXEC);
    if (client < 0)
        return client;
    set_option(client, IPPROTO_TCP, TCP_NODELAY, 1); /* before TLS: its handshake gains too */
    set_option(client, IPPROTO_TCP, TCP_NOTSENT_LOWAT,
               NET_UNSENT_MAX); /* else it may be megabytes */
    return client;
}

struct addrinfo *net_look_up(const char *host, int port, char *error)
{
    struct addrinfo *list = NULL;
    return look_up(host, port, 0, &list, error) == 0 ? list : NULL;
}

struct addrinfo *net_numeric_address(const char *host, int port, char *error)
{
    struct addrinfo *list = NULL;
    return look_up(host, port, AI_NUMERICHOST, &list, error) == 0 ? list : NULL;
}

void net_free_addresses(struct addrinfo *addresses)
{
    if (addresses)
        freeaddrinfo(addresses);
}

/* Takes `fd`. Returns it if it is connected or will be, else -1 and errno. */
static int begin_connect(int fd, const struct sockaddr *address, socklen_t len)
{
    if (connect(fd, address, len) == 0 || errno == EINPROGRESS)
        return fd;
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

int net_connect_begin(const struct addrinfo *addresses)
{
    int type = addresses->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC;
    int fd = socket(addresses->ai_family, type, addresses->ai_protocol);
    if (fd < 0)
        return -1;
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    return begin_connect(fd, addresses->ai_addr, addresses->ai_addrlen);
}

int net_connect_unix(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address.sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    return fd < 0 ? -1 : begin_connect(fd, (struct sockaddr *)&address, sizeof(address));
}

int net_connect_end(int fd)
{
    socklen_t len = sizeof(int);
    int failure = 0;
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &failure, &len);
    errno = failure;
    return failure ? -1 : 0;
}

static int connect_to(const struct addrinfo *address, int timeout_ms)
{
    int fd = net_connect_begin(address);
    if (fd < 0)
        return -1;
    struct pollfd ready = {.fd = fd, .events = POLLOUT};
    bool decided = poll(&ready, 1, timeout_ms) == 1;
    if (decided && net_connect_end(fd) == 0)
        return fd;
    int saved = decided ? errno : ETIMEDOUT;
    close(fd);
    errno = saved;
    return -1;
}

int net_connect(const char *host, int port, int timeout_ms, char *error)
{
    int fd = -1;
    struct addrinfo *list = net_look_up(host, port, error);
    if (!list)
        return -1;
    for (struct addrinfo *address = list; address && fd < 0; address = address->ai_next)
        fd = connect_to(address, timeout_ms);
    if (fd < 0)
        snprintf(error, NET_ERROR_MAX, "%s", strerror(errno));
    net_free_addresses(list);
    return fd;
}

void net_local(int fd, struct sockaddr_storage *address)
{
    socklen_t len = sizeof(*address);
    memset(address, 0, sizeof(*address));
    if (getsockname(fd, (struct sockaddr *)address, &len) != 0)
        memset(address, 0, sizeof(*address));
}

static enum net_reach reach4(struct in_addr address)
{
    uint32_t bits = ntohl(address.s_addr);
    if (bits >> 24 == 127)
        return NET_REACH_HOST;
    bool lan = bits >> 24 == 10 || bits >> 20 == 0xAC1 || bits >> 16 == 0xC0A8 ||
               bits >> 16 == 0xA9FE || bits >> 22 == 0x191; /* 100.64.0.0/10 */
    return lan ? NET_REACH_LAN : NET_REACH_EVERYONE;
}

static enum net_reach reach6(const struct in6_addr *address)
{
    struct in_addr mapped;
    if (IN6_IS_ADDR_LOOPBACK(address))
        return NET_REACH_HOST;
    if (IN6_IS_ADDR_V4MAPPED(address)) {
        memcpy(&mapped, address->s6_addr + 12, sizeof(mapped));
        return reach4(mapped);
    }
    bool lan = IN6_IS_ADDR_LINKLOCAL(address) || (address->s6_addr[0] & 0xFE) == 0xFC;
    return lan ? NET_REACH_LAN : NET_REACH_EVERYONE;
}

enum net_reach net_reach(const struct sockaddr_storage *address)
{
    if (address->ss_family == AF_INET6)
        return reach6(&((const struct sockaddr_in6 *)address)->sin6_addr);
    return reach4(((const struct sockaddr_in *)address)->sin_addr);
}

void net_limit_unread(int fd, size_t bytes)
{
    if (bytes < NET_UNREAD_MIN)
        bytes = NET_UNREAD_MIN;
    set_option(fd, SOL_SOCKET, SO_RCVBUF, bytes < NET_UNREAD_MAX ? (int)bytes : NET_UNREAD_MAX);
}

/* Whether a TCP connection is over for both sides, as after a reset. The system keeps counting what
 * such a peer did not acknowledge. */
static bool is_reset(int fd)
{
    struct tcp_info info = {0};
    socklen_t len = sizeof(info);
    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 && info.tcpi_state == TCP_CLOSE;
}

ssize_t net_receive(int fd, void *bytes, size_t len)
{
    ssize_t n;
    do
        n = recv(fd, bytes, len, MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    return n;
}

ssize_t net_send(int fd, const void *bytes, size_t len)
{
    ssize_t n;
    do
        n = send(fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n;
}

size_t net_unacknowledged(int fd)
{
    if (is_reset(fd))
        return 0;
    int bytes = 0; /* TIOCOUTQ is a terminal request; Linux answers it for sockets, too (tcp(7)) */
    return ioctl(fd, TIOCOUTQ, &bytes) == 0 && bytes > 0 ? (size_t)bytes : 0;
}

void net_address(const struct sockaddr_storage *address, char text[NET_ADDRESS_MAX])
{
    text[0] = '\0';
    if (address->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)address;
        inet_ntop(AF_INET, &in->sin_addr, text, NET_ADDRESS_MAX);
    } else if (address->ss_family == AF_INET6) {
        const struct in6_addr *in6 = &((const struct sockaddr_in6 *)address)->sin6_addr;
        if (IN6_IS_ADDR_V4MAPPED(in6))
            inet_ntop(AF_INET, in6->s6_addr + 12, text, NET_ADDRESS_MAX);
        else
            inet_ntop(AF_INET6, in6, text, NET_ADDRESS_MAX);
    }
}
