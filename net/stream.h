/* SPDX-License-Identifier: MIT
 *
 * stream.h - a byte stream that is plain TCP or TLS.
 *
 * stream.c is the only file that knows OpenSSL's SSL. Two threads must not enter one SSL object,
 * not even one reader and one writer. So a stream has a lock, which threads that share it hold for
 * each call; the functions here do not take it. In the server, the client's own thread reads
 * (connection.c), and any thread sends (outbox.h).
 */
#ifndef STREAM_H
#define STREAM_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/hex.h"
#include "net/socket.h"

enum {
    NET_NAME_MAX = 256,           /* a host's name, with its NUL; a longer one is refused */
    STREAM_AHEAD_MAX = 20 * 1024, /* a TLS record and what is read along with it */
    STREAM_PATIENCE_MS = 20,      /* how long stream_await_input waits */
};

struct tls_context; /* certificate, key and rules; shared by all streams, immutable */

struct stream {
    pthread_mutex_t lock; /* protects the open stream and what its owner puts under it */
    int fd;               /* -1 when closed */
    struct ssl_st *ssl;   /* NULL: plain TCP */
    short read_wants;     /* the poll(2) event that a refused read waits for */
    short write_wants;    /* the poll(2) event that a refused write waits for */
    bool refused;         /* TLS holds on to bytes of a write that was refused */
    bool drained;         /* the last read left nothing: poll before the next one */
    bool broken;          /* the stream failed: nothing more can be sent */
    bool alerted;         /* TLS failed, and the peer is told why by an alert (RFC 8446 §6.2) */
    bool plain_http;      /* the peer spoke HTTP instead of TLS: the stream is plain from here on */
    const char *why;      /* what failed in TLS (a constant string), or NULL */
    int reads_left;       /* TLS: how often OpenSSL may still call recv(2) */
    const unsigned char *fed; /* TLS: input that is read before the socket's; see stream_feed */
    size_t fed_len;
    unsigned char *kept; /* TLS: owns `fed` since stream_keep_fed; else NULL */
    bool awaited;        /* the socket's receive timeout is STREAM_PATIENCE_MS */
    int64_t overhead;    /* TLS: bytes that stream_read received and did not hand out: TLS's
                           * own, and up to STREAM_AHEAD_MAX of read-ahead */
};

/* ---- TLS ---- */

/* A text in PEM form, borrowed. */
struct net_pem {
    const char *bytes;
    size_t len;
};

/* TLS rules of the server: TLS 1.2 and up, groups X25519, P-256 and P-384, no renegotiation. In TLS
 * 1.3 a client gets one ticket, with which it may resume its session under this context
 * (ticket_keys.h); there is no early data. `chain` holds the server's certificate and its issuers,
 * `key` its private key. Returns NULL with a text in `error` (NET_ERROR_MAX) when they cannot be
 * used or do not match. The caller frees it with tls_context_free. */
struct tls_context *tls_context_server(struct net_pem chain, struct net_pem key, char *error);

/* TLS rules of a client that does not check certificates, for tests and measurements. */
struct tls_context *tls_context_client(void);

/* TLS rules of a client that checks certificates, with stream_set_peer_name and stream_verify_peer.
 * It trusts the certificates in the file `ca`, or with NULL those of the system. Returns NULL with
 * a text in `error`. */
struct tls_context *tls_context_trusting(const char *ca, char *error);

void tls_context_free(struct tls_context *tls);

/* Whether the server's certificate is valid for this host: a name, or an address without brackets
 * (RFC 9525). */
bool tls_context_names(const struct tls_context *tls, const char *host);

/* Frees what OpenSSL keeps for the calling thread (random generators, errors); OpenSSL makes it
 * again when needed. Must also be called before a thread ends, if the process may end at the same
 * time. */
void tls_thread_cleanup(void);

/* ---- Streams ---- */

/* Makes a stream of a connected socket, blocking or not. Takes `fd`, also when it fails. `tls`
 * NULL: plain. Returns 0, or -1 when memory is out. */
int stream_open(struct stream *stream, int fd, struct tls_context *tls);

/* Sets the expected peer of a TLS stream before its handshake: a name (sent to the peer, RFC 6066
 * §3) or an address. Returns 0, or -1 when memory is out or the name is too long. */
int stream_set_peer_name(struct stream *stream, const char *host);

/* SHA-256 of a certificate, and of the public key in it (SubjectPublicKeyInfo, RFC 5280 §4.1.2.7),
 * which stays the same when the certificate is renewed. */
struct fingerprints {
    char certificate[FINGERPRINT_MAX], key[FINGERPRINT_MAX];
};

/* Checks after the handshake whether the peer is the expected one, and trusted (RFC 9525). Returns
 * NULL, or the objection in words. The handshake does not fail because of it, so send nothing
 * before this check. `prints` are "" when there is no certificate. */
const char *stream_verify_peer(struct stream *stream, struct fingerprints *prints);

/* Continues the TLS handshake. Returns 1 when done (plain: at once), 0 when it waits for
 * read_wants, -1 when it failed. If the peer spoke HTTP instead it returns -1, stream->plain_http
 * is set, and nothing of the request was consumed. */
int stream_handshake(struct stream *stream);

/* As read(2): > 0 bytes, 0 at the end, -1 and errno; EAGAIN: wait for read_wants. */
ssize_t stream_read(struct stream *stream, void *buf, size_t len);

/* Waits for input for at most STREAM_PATIENCE_MS, and reads it, raw in TLS, where it must be given
 * to stream_feed. Needs a blocking socket; no other function here ever waits. Only the thread that
 * reads the stream may call it, and without the lock, so that others can send meanwhile. As
 * recv(2); EAGAIN: none came. */
ssize_t stream_await_input(struct stream *stream, void *bytes, size_t len);

/* Gives a TLS stream what stream_await_input read, for the calls of stream_read that follow. The
 * bytes are borrowed until stream_keep_fed. */
void stream_feed(struct stream *stream, const unsigned char *bytes, size_t len);

/* Copies what is left of the bytes that were fed, so that the caller may reuse them. Nearly always
 * nothing is left. The stream is broken when memory is out. */
void stream_keep_fed(struct stream *stream);

/* As write(2), perhaps fewer than `len` (> 0). -1 and errno EAGAIN: wait for write_wants, and then
 * offer the same bytes again, at least as many, before anything else. */
ssize_t stream_write(struct stream *stream, const void *buf, size_t len);

/* Ends the sending direction: close_notify in TLS, then FIN. */
void stream_shutdown(struct stream *stream);

/* Discards raw input, TLS or not, at most *left bytes, and subtracts them from *left. Returns false
 * when no more will come. */
bool stream_discard(struct stream *stream, size_t *left);

/* Makes stream_close reset the connection, so that the kernel drops what the peer did not take. */
void stream_reset_on_close(struct stream *stream);

/* Closes the socket and frees what the stream holds. Does nothing to a closed stream (fd -1). */
void stream_close(struct stream *stream);

#endif
