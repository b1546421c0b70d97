/* SPDX-License-Identifier: MIT
 *
 * socket.h - sockets: listening, accepting, connecting; waiting, and waking a thread that waits.
 */
#ifndef SOCKET_H
#define SOCKET_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <time.h>

enum {
    NET_LISTENERS_MAX = 8,       /* addresses of one host name; more are left out */
    NET_ADDRESS_MAX = 64,        /* an address as text, with its NUL */
    NET_ERROR_MAX = 256,         /* an error text, with its NUL */
    NET_UNSENT_MAX = 128 * 1024, /* bytes that the kernel queues for a peer and has not sent yet */
    NET_UNREAD_MIN = 128 * 1024, /* smallest limit of net_limit_unread, in bytes */
    NET_UNREAD_MAX = 4 << 20,    /* largest limit of net_limit_unread; the system's may be lower */
    NET_FAILED_MS = 10,          /* pause when poll(2) fails because memory is out */
};

struct addrinfo; /* of <netdb.h>: an address, and the ones after it */
/* ---- Time, waiting and waking ---- */

/* Milliseconds on the monotonic clock; the same in microseconds. */
int64_t net_now(void);
int64_t net_now_us(void);

/* Makes a condition whose timed waits go by the clock of net_now. */
void net_cond_init(pthread_cond_t *cond);

/* A time of net_now, for pthread_cond_timedwait; or so many milliseconds. */
struct timespec net_timespec(int64_t ms);

/* Milliseconds since 1970, on a clock that can be set. */
int64_t net_wall_ms(void);

/* Processor time of the calling thread, in microseconds. */
int64_t net_cpu_us(void);

/* Sets up net_wake. Must be called in main, before any thread starts. From here on SIGPIPE is
 * ignored. */
void net_wake_init(void);

/* Ends the net_wait that `thread` is in, or else its next one. The thread must not have ended. */
void net_wake(pthread_t thread);

/* Waits until `fd` has one of `events` (poll(2); a negative fd: none), net_wake is called, a signal
 * is handled, or the time is `until` (net_now; INT64_MAX: no end). If poll(2) fails because memory
 * is out, returns after at most NET_FAILED_MS. Returns the events, or 0. */
short net_wait(int fd, short events, int64_t until);

/* The same for a caller that has just read the clock: `now` is net_now. */
short net_wait_from(int64_t now, int fd, short events, int64_t until);

/* The same for `count` descriptors to become readable. Returns one bit for each, or 0. */
unsigned net_wait_any(const int *fds, int count, int64_t until);

/* ---- Sockets ---- */

/* Listens on every address of `host`; "::" takes IPv4 too. With port 0 the system picks one, the
 * same for all. Fills `fds` (NET_LISTENERS_MAX) and returns their count, or -1 with a text in
 * `error` (NET_ERROR_MAX) and errno: EADDRINUSE or EACCES when the port is the reason. */
int net_listen(const char *host, int port, int *fds, char *error);

/* The local port of a socket. */
int net_port(int fd);

/* Accepts one connection: blocking (for stream_await_input), TCP_NODELAY, limited to
 * NET_UNSENT_MAX. Returns it, or -1 and errno (EAGAIN: none). */
int net_accept(int fd, struct sockaddr_storage *peer);

/* Connects to host:port within `timeout_ms` (name look-up aside). Returns a socket as net_accept
 * does, or -1 with a text in `error` (NET_ERROR_MAX). */
int net_connect(const char *host, int port, int timeout_ms, char *error);

/* The local address of a socket; all zero when the system does not tell. */
void net_local(int fd, struct sockaddr_storage *address);

/* Classifies an address by its range alone (RFC 1918, 3927, 4193, 4291, 6598): reachable from this
 * machine, from its networks, or from everywhere. */
enum net_reach { NET_REACH_HOST, NET_REACH_LAN, NET_REACH_EVERYONE };
enum net_reach net_reach(const struct sockaddr_storage *address);

/* recv(2) and send(2) that neither wait nor raise a signal; EINTR is handled. */
ssize_t net_receive(int fd, void *bytes, size_t len);
ssize_t net_send(int fd, const void *bytes, size_t len);

/* Bytes written to a socket that its peer has not acknowledged yet; 0 if it never will, because it
 * has reset the connection, and where the system does not tell. */
size_t net_unacknowledged(int fd);

/* Limits what the kernel spends on unread input of a socket to twice `bytes`, its bookkeeping
 * included. Without this it can grow to megabytes. */
void net_limit_unread(int fd, size_t bytes);

/* net_connect in steps, for callers that must not wait. First look up the addresses of host:port,
 * in the order in which to try them; this blocks as long as the system's resolver does. The caller
 * frees them with net_free_addresses. Returns NULL with a text in `error` (NET_ERROR_MAX). */
struct addrinfo *net_look_up(const char *host, int port, char *error);
void net_free_addresses(struct addrinfo *addresses);

/* The same of a numeric address. Asks no resolver. */
struct addrinfo *net_numeric_address(const char *host, int port, char *error);

/* Begins to connect to the first of `addresses`. Returns a socket that becomes writable once the
 * attempt has succeeded or failed, or -1 and errno. */
int net_connect_begin(const struct addrinfo *addresses);

/* The same for a Unix socket. -1 and errno: ENAMETOOLONG when the path is too long for an
 * address. */
int net_connect_unix(const char *path);

/* Result of the attempt: 0, or -1 and errno. The socket stays the caller's. */
int net_connect_end(int fd);

/* Writes an address as text, without the port; an IPv4 address inside IPv6 as IPv4. */
void net_address(const struct sockaddr_storage *address, char text[NET_ADDRESS_MAX]);

#endif
