/* SPDX-License-Identifier: MIT
 *
 * net.h - sockets: listening, accepting, connecting; a byte stream that is plain TCP or TLS;
 * waiting, and waking a thread that waits.
 *
 * net.c is the only file that knows OpenSSL's SSL. A stream is used by one thread at a time: its
 * owner guards it (outbox.h: with the write lock), because one SSL object must not be entered by
 * two threads, not even by one that reads and one that writes.
 */
#ifndef NET_H
#define NET_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

enum {
    NET_LISTENERS_MAX = 8,       /* addresses one name may stand for; more are left out */
    NET_ADDRESS_MAX = 64,        /* an address as text, with its NUL */
    NET_RANDOM_MAX = 32,         /* random bytes at a time; more are refused */
    NET_NAME_MAX = 256,          /* a host's name, with its NUL; a longer one is refused */
    NET_PRINT_MAX = 96,          /* a SHA-256 fingerprint as "AB:CD:...", with its NUL */
    NET_ERROR_MAX = 256,         /* an error text, with its NUL */
    NET_HOUSEHOLD = 16,          /* bytes of what limits per address count by */
    NET_AHEAD_MAX = 20 * 1024,   /* a TLS record and what is read along with it */
    NET_UNSENT_MAX = 128 * 1024, /* bytes that the kernel keeps for a peer, not on their way yet */
};

struct addrinfo; /* of <netdb.h>: an address, and the ones after it */
struct net_tls;  /* certificate, key and rules; shared by all streams, immutable */

struct net_stream {
    int fd;             /* -1 when closed */
    struct ssl_st *ssl; /* NULL: plain TCP */
    short read_wants;   /* the poll(2) event that a refused read waits for */
    short write_wants;  /* likewise for a refused write */
    bool refused;       /* TLS holds on to bytes of a write that was refused */
    bool drained;       /* after a read: poll before the next one, nothing is left */
    bool broken;        /* the stream failed: nothing more can be sent */
    bool plain_http;    /* the peer spoke HTTP where TLS was due: plain from here on */
    const char *why;    /* what failed in TLS (a constant string), or NULL */
    bool may_read;      /* one more recv(2) in this net_read (TLS) */
    int64_t overhead;   /* bytes that net_read took in and did not hand out (TLS): its own, and
                         * up to NET_AHEAD_MAX that it has not handed out yet */
};

/* ---- Time, waiting and waking ---- */

/* Milliseconds on the monotonic clock; the same in microseconds. */
int64_t net_now(void);
int64_t net_now_us(void);

/* Readies waking: call it in main, before any thread starts. SIGPIPE is ignored from here on. */
void net_wake_init(void);

/* Ends the net_wait that `thread` is in, or else its next one. The thread must not have ended. */
void net_wake(pthread_t thread);

/* Waits until `fd` has one of `events` (poll(2); a negative fd: none), net_wake is called, a
 * signal is handled, or `until` (net_now; INT64_MAX: for ever) has come. Returns the events, or 0. */
short net_wait(int fd, short events, int64_t until);

/* The same for `count` descriptors that are to become readable: returns a bit for each, or 0. */
unsigned net_wait_any(const int *fds, int count, int64_t until);

/* ---- Sockets ---- */

/* Listens on every address that `host` stands for; "::" takes IPv4 too. With port 0 the system
 * picks one, the same for all. Fills `fds` (NET_LISTENERS_MAX) and returns their count, or -1 with
 * a text in `error` (NET_ERROR_MAX) and errno: EADDRINUSE or EACCES when the port is to blame. */
int net_listen(const char *host, int port, int *fds, char *error);

/* The local port of a socket. */
int net_port(int fd);

/* Accepts one connection: non-blocking, TCP_NODELAY, held to NET_UNSENT_MAX. Returns it, or -1 and errno
 * (EAGAIN: none). */
int net_accept(int fd, struct sockaddr_storage *peer);

/* Connects to host:port within `timeout_ms` (name look-up aside). Returns a socket as net_accept
 * does, or -1 with a text in `error` (NET_ERROR_MAX). */
int net_connect(const char *host, int port, int timeout_ms, char *error);

/* The local address of a socket; all zero when the system does not tell. */
void net_local(int fd, struct sockaddr_storage *address);

/* From how far an address can be reached, told by the address alone (RFC 1918, 3927, 4193, 4291, 6598):
 * from this machine, from its networks, or from everywhere. */
enum net_reach { NET_REACH_HOST, NET_REACH_LAN, NET_REACH_EVERYONE };
enum net_reach net_reach(const struct sockaddr_storage *address);

/* Bytes that were written to a socket and that its peer has not acknowledged; 0 where the system does
 * not tell. */
size_t net_unacknowledged(int fd);

/* The same in steps, for who cannot wait. First the addresses of host:port, in the order in which to
 * try them; this blocks as long as the system's resolver does. Freed with net_forget. Returns NULL
 * with a text in `error` (NET_ERROR_MAX). */
struct addrinfo *net_look_up(const char *host, int port, char *error);
void net_forget(struct addrinfo *addresses);

/* Begins to connect to the first of `addresses`. Returns a socket that becomes writable once that was
 * decided, or -1 and errno. */
int net_connect_begin(const struct addrinfo *addresses);

/* What was decided: 0, or -1 and errno. The socket stays the caller's. */
int net_connect_end(int fd);

/* Writes what limits per address count by: of IPv4 the address (as ::ffff:1.2.3.4), of IPv6 the /64,
 * which is one household. */
void net_household(const struct sockaddr_storage *address, unsigned char household[NET_HOUSEHOLD]);

/* Writes an address as text, without the port; an IPv4 address inside IPv6 as IPv4. */
void net_address(const struct sockaddr_storage *address, char text[NET_ADDRESS_MAX]);

/* ---- TLS ---- */

/* Rules of the server: TLS 1.2 and up, no tickets, no renegotiation. Returns NULL with a text in
 * `error` (NET_ERROR_MAX) when the files cannot be used, or are no pair. Freed with net_tls_free. */
struct net_tls *net_tls_server(const char *cert_path, const char *key_path, char *error);

/* Rules of a client that does not check certificates: for tests and measurements. */
struct net_tls *net_tls_client(void);

/* Rules of a client that does, with net_expect and net_peer: by the certificates in the file `ca`, or
 * by those that the system trusts if that is NULL. Returns NULL with a text in `error`. */
struct net_tls *net_tls_trusting(const char *ca, char *error);

void net_tls_free(struct net_tls *tls);

/* Whether the server's certificate is valid for this host name (RFC 9525). */
bool net_tls_names(const struct net_tls *tls, const char *host);

/* Fills in `bytes` random bytes. Returns false when the system gives none. */
bool net_random(void *out, size_t bytes);

/* Writes `bytes` random bytes as hexadecimal text of twice as many characters, with a NUL. Returns
 * false when the system gives none. */
bool net_random_hex(char *text, size_t bytes);

/* Frees what OpenSSL keeps for the calling thread (random generators, errors): made again when it is
 * needed. Also due before a thread ends, if the process may end then, too. */
void net_rest(void);

/* ---- Streams ---- */

/* Makes a stream of a connected socket; takes `fd`, also when it fails. `tls` NULL: plain.
 * Returns 0, or -1 when memory is out. */
int net_open(struct net_stream *stream, int fd, struct net_tls *tls);

/* Says whom a TLS stream is to reach, before its handshake: a name (which the peer is told, RFC 6066
 * §3) or an address. Returns 0, or -1 when memory is out or the name is too long. */
int net_expect(struct net_stream *stream, const char *host);

/* SHA-256 of a certificate, and of the public key in it (SubjectPublicKeyInfo, RFC 5280 §4.1.2.7),
 * which stays the same when the certificate is issued anew. */
struct net_prints {
    char certificate[NET_PRINT_MAX], key[NET_PRINT_MAX];
};

/* Whether the peer, after the handshake, is the one expected, and trusted (RFC 9525): NULL, or what
 * speaks against it, in words. Nothing is to be sent before this was looked at: the handshake does
 * not fail because of it. `prints` are "" when there is no certificate. */
const char *net_peer(struct net_stream *stream, struct net_prints *prints);

/* Goes on with the TLS handshake. Returns 1 when done (plain: at once), 0 when it waits for
 * read_wants, -1 when it failed, or the peer spoke HTTP instead: stream->plain_http tells, and nothing
 * of its request was taken. */
int net_handshake(struct net_stream *stream);

/* As read(2): > 0 bytes, 0 at the end, -1 and errno; EAGAIN: wait for read_wants. */
ssize_t net_read(struct net_stream *stream, void *buf, size_t len);

/* As write(2), perhaps fewer than `len` (> 0). -1 and errno EAGAIN: wait for write_wants, and then
 * offer the same bytes again, no fewer of them, before anything else. */
ssize_t net_write(struct net_stream *stream, const void *buf, size_t len);

/* Says that no more will be written: close_notify in TLS, then FIN. */
void net_finish(struct net_stream *stream);

/* Makes net_close reset the connection: what the peer did not take is not kept for it. */
void net_abandon(struct net_stream *stream);

/* Closes the socket and frees what the stream holds. */
void net_close(struct net_stream *stream);

#endif
