/* SPDX-License-Identifier: MIT
 *
 * stream.c - a byte stream that is plain TCP or TLS.
 *
 * Everything here is non-blocking, except stream_await_input. EINTR and short I/O are handled here.
 * Threads that share a stream hold its lock (stream.h); nothing here takes it.
 */
#include "net/stream.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "net/stream_bio.h"
#include "net/ticket_keys.h"

/* ---- TLS ---- */

/* struct tls_context is OpenSSL's context under a name that other files may use. */
static SSL_CTX *context(struct tls_context *tls)
{
    return (SSL_CTX *)tls;
}

/* Partial writes and moving buffers let a batch be written from the ring in place. Released
 * buffers: an idle member keeps no record buffers. Read-ahead: one recv(2) takes head and body of a
 * record. A missing close_notify is an ordinary end of the stream, because frames tell where
 * messages end. */
static SSL_CTX *new_context(const SSL_METHOD *method)
{
    SSL_CTX *ctx = stream_bio_init() ? SSL_CTX_new(method) : NULL;
    if (!ctx)
        return NULL;
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                 SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(ctx, 0);
    SSL_CTX_set_read_ahead(ctx, 1);
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    return ctx;
}

/* ---- Session tickets ---- */

static int keys_index; /* [I] of a context's ticket keys */
static pthread_once_t keys_once = PTHREAD_ONCE_INIT;

/* Called by OpenSSL when the last user of a context has freed it. */
static void free_keys(void *parent, void *keys, CRYPTO_EX_DATA *data, int index, long argument,
                      void *pointer)
{
    (void)parent, (void)data, (void)index, (void)argument, (void)pointer;
    ticket_keys_free(keys);
}

static void make_keys_index(void)
{
    keys_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, free_keys);
}

/* Sets the algorithms of a ticket and its keys. Returns false on failure. */
static bool use_ticket_key(const struct ticket_key *key, const unsigned char *iv,
                           EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int sealing)
{
    unsigned char secret[TICKET_KEY_BYTES];
    char digest[] = "SHA256"; /* OpenSSL's parameters are not const, and are not changed */
    memcpy(secret, key->mac, sizeof(secret));
    OSSL_PARAM settings[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, secret, sizeof(secret)),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0), OSSL_PARAM_END};
    bool good = EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->cipher, iv, sealing) == 1 &&
                EVP_MAC_CTX_set_params(mac, settings) == 1;
    OPENSSL_cleanse(secret, sizeof(secret));
    return good;
}

enum ticket_answer { TICKET_FAILS = -1, TICKET_NONE = 0, TICKET_SET = 1, TICKET_SET_RENEW = 2 };

/* OpenSSL asks for the key of a ticket (SSL_CTX_set_tlsext_ticket_key_evp_cb(3)). TLS 1.2 gets no
 * tickets: there a ticket's key opens all that was said (RFC 5077 §5.5). A client that has used its
 * ticket gets another one, because it should use each only once (RFC 8446 §C.4). */
static int choose_ticket_key(SSL *ssl, unsigned char *name, unsigned char *iv,
                             EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int sealing)
{
    struct ticket_keys *keys = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), keys_index);
    struct ticket_key key;
    if (SSL_version(ssl) < TLS1_3_VERSION)
        return TICKET_NONE;
    if (!sealing && !ticket_keys_find(keys, net_now(), name, &key))
        return TICKET_NONE;
    if (sealing && (!ticket_keys_current(keys, net_now(), &key) ||
                    RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) != 1))
        return TICKET_FAILS;
    memcpy(name, key.name, TICKET_NAME_BYTES);
    bool good = use_ticket_key(&key, iv, cipher, mac, sealing);
    OPENSSL_cleanse(&key, sizeof(key));
    if (!good)
        return TICKET_FAILS;
    return sealing ? TICKET_SET : TICKET_SET_RENEW;
}

/* Lets clients resume sessions of TLS 1.3 with a ticket, always with (EC)DHE, and without early
 * data. The keys belong to this context, so that nobody resumes a session under another
 * certificate. */
static bool give_tickets(SSL_CTX *ctx)
{
    pthread_once(&keys_once, make_keys_index);
    struct ticket_keys *keys = keys_index >= 0 ? ticket_keys_new() : NULL;
    if (!keys || SSL_CTX_set_ex_data(ctx, keys_index, keys) != 1) {
        ticket_keys_free(keys);
        return false;
    }
    SSL_CTX_clear_options(ctx, SSL_OP_NO_TICKET);
    SSL_CTX_set_timeout(ctx, TICKET_PERIOD_MS / 1000);
    return SSL_CTX_set_num_tickets(ctx, 1) == 1 &&
           SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, choose_ticket_key) == 1;
}

/* ---- Contexts ---- */

static const char *tls_reason(void)
{
    const char *reason = ERR_reason_error_string(ERR_peek_error());
    return reason ? reason : "TLS failure";
}

static BIO *open_pem(struct net_pem pem)
{
    return pem.len <= INT_MAX ? BIO_new_mem_buf(pem.bytes, (int)pem.len) : NULL;
}

/* Loads the server's certificate and all those after it. */
static bool use_chain(SSL_CTX *ctx, BIO *pem)
{
    X509 *cert = PEM_read_bio_X509_AUX(pem, NULL, NULL, NULL);
    bool good = cert && SSL_CTX_use_certificate(ctx, cert) == 1 && SSL_CTX_clear_chain_certs(ctx);
    X509_free(cert);
    while (good && (cert = PEM_read_bio_X509(pem, NULL, NULL, NULL))) {
        good = SSL_CTX_add0_chain_cert(ctx, cert) == 1;
        if (!good)
            X509_free(cert);
    }
    if (!good || ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
        return false; /* otherwise this was the end of the file */
    ERR_clear_error();
    return true;
}

static bool use_key(SSL_CTX *ctx, BIO *pem)
{
    char none[] = ""; /* as passphrase: nobody is there to be asked */
    EVP_PKEY *key = PEM_read_bio_PrivateKey(pem, NULL, NULL, none);
    bool good =
        key && SSL_CTX_use_PrivateKey(ctx, key) == 1 &&
        SSL_CTX_check_private_key(ctx) == 1; /* OpenSSL also loads a key that does not match */
    EVP_PKEY_free(key);
    return good;
}

struct tls_context *tls_context_server(struct net_pem chain, struct net_pem key, char *error)
{
    static const char tls12[] = "ECDHE+AESGCM:ECDHE+CHACHA20";
    /* Finite-field groups cost 400 times more (CVE-2002-20001). The macro takes no const. */
    static char groups[] = "X25519:P-256:P-384";
    ERR_clear_error();
    SSL_CTX *ctx = new_context(TLS_server_method());
    BIO *chain_pem = open_pem(chain), *key_pem = open_pem(key);
    if (ctx) /* our order counts, but a client that prefers ChaCha20 has no AES hardware */
        SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    bool good = ctx && chain_pem && key_pem && SSL_CTX_set_cipher_list(ctx, tls12) == 1 &&
                SSL_CTX_set1_groups_list(ctx, groups) == 1 && use_chain(ctx, chain_pem) &&
                use_key(ctx, key_pem) && give_tickets(ctx);
    BIO_free(chain_pem);
    BIO_free(key_pem);
    if (good)
        return (struct tls_context *)ctx;
    snprintf(error, NET_ERROR_MAX, "%s", tls_reason());
    SSL_CTX_free(ctx);
    return NULL;
}

struct tls_context *tls_context_client(void)
{
    return (struct tls_context *)new_context(TLS_client_method());
}

/* Loads the trusted certificates. Verification happens in stream_verify_peer: the handshake must
 * succeed, so that a peer that fails can be reported by its fingerprint. */
struct tls_context *tls_context_trusting(const char *ca, char *error)
{
    ERR_clear_error();
    SSL_CTX *ctx = new_context(TLS_client_method());
    if (ctx && ca) /* also trust a certificate in the file that is not self-signed */
        X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ctx), X509_V_FLAG_PARTIAL_CHAIN);
    if (ctx &&
        (ca ? SSL_CTX_load_verify_file(ctx, ca) : SSL_CTX_set_default_verify_paths(ctx)) == 1)
        return (struct tls_context *)ctx;
    snprintf(error, NET_ERROR_MAX, "%s", tls_reason());
    SSL_CTX_free(ctx);
    return NULL;
}

void tls_context_free(struct tls_context *tls)
{
    SSL_CTX_free(context(tls));
}

bool tls_context_names(const struct tls_context *tls, const char *host)
{
    X509 *cert = SSL_CTX_get0_certificate((const SSL_CTX *)tls);
    if (!cert || host[0] == '.') /* OpenSSL takes a leading dot for all names below */
        return false;
    return X509_check_host(cert, host, 0, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT, NULL) == 1 ||
           X509_check_ip_asc(cert, host, 0) == 1;
}

void tls_thread_cleanup(void)
{
    OPENSSL_thread_stop();
}

/* ---- Streams ---- */

int stream_open(struct stream *stream, int fd, struct tls_context *tls)
{
    memset(stream, 0, sizeof(*stream));
    pthread_mutex_init(&stream->lock, NULL);
    stream->fd = fd;
    stream->read_wants = POLLIN;
    stream->write_wants = POLLOUT;
    if (!tls)
        return 0;
    stream->reads_left = INT_MAX;
    stream->ssl = SSL_new(context(tls));
    BIO *bio = stream->ssl ? stream_bio_new(stream) : NULL;
    if (!bio) {
        stream_close(stream);
        return -1;
    }
    SSL_set_bio(stream->ssl, bio, bio);
    if (SSL_is_server(stream->ssl))
        SSL_set_accept_state(stream->ssl);
    else
        SSL_set_connect_state(stream->ssl);
    return 0;
}

int stream_set_peer_name(struct stream *stream, const char *host)
{
    X509_VERIFY_PARAM *rules = SSL_get0_param(stream->ssl);
    char name[NET_NAME_MAX]; /* the macro that sets the server name takes no const */
    if (X509_VERIFY_PARAM_set1_ip_asc(rules, host) == 1)
        return 0;
    if (snprintf(name, sizeof(name), "%s", host) >= (int)sizeof(name))
        return -1;
    SSL_set_hostflags(stream->ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    bool ok =
        SSL_set1_host(stream->ssl, name) == 1 && SSL_set_tlsext_host_name(stream->ssl, name) == 1;
    return ok ? 0 : -1;
}

/* Prints `der`'s digest as "AB:CD:...", or "" on failure. Frees `der`. */
static void print_digest(unsigned char *der, int len, char print[FINGERPRINT_MAX])
{
    unsigned char digest[SHA256_DIGEST_LENGTH];
    print[0] = '\0';
    if (len > 0 && EVP_Digest(der, (size_t)len, digest, NULL, EVP_sha256(), NULL) == 1)
        hex_write_fingerprint(print, digest, sizeof(digest));
    OPENSSL_free(der);
}

const char *stream_verify_peer(struct stream *stream, struct fingerprints *prints)
{
    unsigned char *whole = NULL, *key = NULL;
    X509 *cert = SSL_get0_peer_certificate(stream->ssl);
    int len = cert ? i2d_X509(cert, &whole) : 0;
    print_digest(whole, len, prints->certificate);
    len = cert ? i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &key) : 0;
    print_digest(key, len, prints->key);
    if (!prints->certificate[0] || !prints->key[0])
        return "it showed no certificate";
    long result = SSL_get_verify_result(stream->ssl);
    return result == X509_V_OK ? NULL : X509_verify_cert_error_string(result);
}

/* Translates a failed SSL call into read(2)'s terms: 0 at the end, else -1 and errno. Sets `wants`
 * to the event that a refused call waits for. */
static int tls_failure(struct stream *stream, int result, short *wants)
{
    int saved = errno;
    switch (SSL_get_error(stream->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        *wants = POLLIN;
        errno = EAGAIN;
        return -1;
    case SSL_ERROR_WANT_WRITE:
        *wants = POLLOUT;
        errno = EAGAIN;
        return -1;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    case SSL_ERROR_SYSCALL:
        stream->broken = true;
        errno = saved ? saved : ECONNRESET;
        return -1;
    default:
        stream->broken = stream->alerted = true;
        stream->why = tls_reason();
        errno = EPROTO;
        return -1;
    }
}

enum first { FIRST_TLS, FIRST_HTTP, FIRST_NONE };

/* Every TLS connection begins with a byte that is no letter (RFC 8446 §5.1), every HTTP request
 * with a capital letter. OpenSSL notices HTTP only after it has consumed the request, so this peeks
 * at the first byte. Nothing is read while there is none. */
static enum first look_at_first(const struct stream *stream)
{
    char first;
    if (!SSL_is_server(stream->ssl) || BIO_number_read(SSL_get_rbio(stream->ssl)) > 0)
        return FIRST_TLS;
    ssize_t n = recv(stream->fd, &first, 1, MSG_PEEK | MSG_DONTWAIT);
    if (n == 1)
        return first >= 'A' && first <= 'Z' ? FIRST_HTTP : FIRST_TLS;
    return n < 0 && errno == EAGAIN ? FIRST_NONE : FIRST_TLS; /* OpenSSL reports the end */
}

/* The server sends nothing in answer to the end of a client's handshake in TLS 1.2 (there are no
 * tickets), nor to a client of TLS 1.3 that wants none, so its acknowledgement would be delayed by
 * some 40 ms. A client without TCP_NODELAY waits for that before it sends its request (RFC 9293
 * §3.7.4). */
static void acknowledge(const struct stream *stream)
{
    if (SSL_is_server(stream->ssl))
        setsockopt(stream->fd, IPPROTO_TCP, TCP_QUICKACK, &(int){1}, sizeof(int));
}

int stream_handshake(struct stream *stream)
{
    if (!stream->ssl)
        return 1;
    enum first first = look_at_first(stream);
    if (first == FIRST_NONE) {
        stream->read_wants = POLLIN;
        return 0;
    }
    if (first == FIRST_HTTP) {
        SSL_free(stream->ssl);
        stream->ssl = NULL;
        stream->plain_http = true;
        return -1;
    }
    ERR_clear_error();
    errno = 0;
    int result = SSL_do_handshake(stream->ssl);
    if (result == 1) {
        acknowledge(stream);
        return 1;
    }
    if (tls_failure(stream, result, &stream->read_wants) < 0 && errno == EAGAIN)
        return 0;
    stream->broken = true;
    return -1;
}

/* A peer may ask for new keys (RFC 8446 §4.6.3). OpenSSL 3.0 answers at its next write. If it reads
 * a second request before that, while a refused write is pending, it fails for good. So nothing is
 * read in between. (A peer that sends two at once and reads nothing still loses its own
 * connection.) */
static bool answer_is_stuck(const struct stream *stream)
{
    return stream->refused && SSL_get_key_update_type(stream->ssl) != SSL_KEY_UPDATE_NONE;
}

/* SSL_get_error(3) wants the thread's error queue to be empty before each call. It nearly always
 * is, and to look costs a quarter of clearing it. */
static void begin_call(void)
{
    if (ERR_peek_error())
        ERR_clear_error();
    errno = 0;
}

/* Allows one recv(2). OpenSSL would otherwise read until it has something to hand out, and a peer
 * that sends only KeyUpdates could keep it there, with the caller's lock held, for as long as it
 * likes. */
static ssize_t tls_read(struct stream *stream, void *buf, size_t len)
{
    size_t done = 0;
    BIO *bio = SSL_get_rbio(stream->ssl);
    if (answer_is_stuck(stream)) {
        stream->read_wants = stream->write_wants;
        stream->drained = true;
        errno = EAGAIN;
        return -1;
    }
    begin_call();
    uint64_t before = BIO_number_read(bio);
    stream->reads_left = 1;
    int result = SSL_read_ex(stream->ssl, buf, len, &done);
    stream->reads_left = INT_MAX;
    stream->drained = !SSL_has_pending(stream->ssl) && stream->fed_len == 0;
    stream->overhead += (int64_t)(BIO_number_read(bio) - before) - (int64_t)done;
    if (result == 1)
        return (ssize_t)done;
    return tls_failure(stream, result, &stream->read_wants);
}

static ssize_t tcp_read(struct stream *stream, void *buf, size_t len)
{
    ssize_t n = net_receive(stream->fd, buf, len);
    stream->drained = n < (ssize_t)len;
    return n;
}

ssize_t stream_read(struct stream *stream, void *buf, size_t len)
{
    stream->read_wants = POLLIN;
    return stream->ssl ? tls_read(stream, buf, len) : tcp_read(stream, buf, len);
}

ssize_t stream_await_input(struct stream *stream, void *bytes, size_t len)
{
    const struct timeval patience = {.tv_usec = STREAM_PATIENCE_MS * 1000};
    if (stream->fed_len > 0) { /* comes first */
        errno = EAGAIN;
        return -1;
    }
    if (!stream->awaited &&
        setsockopt(stream->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) != 0) {
        errno = EAGAIN; /* without this limit, recv might never return */
        return -1;
    }
    stream->awaited = true;
    ssize_t n = recv(stream->fd, bytes, len, 0);
    if (n < 0 && errno == EINTR)
        errno = EAGAIN;
    return n;
}

void stream_feed(struct stream *stream, const unsigned char *bytes, size_t len)
{
    stream->fed = bytes;
    stream->fed_len = len;
}

void stream_keep_fed(struct stream *stream)
{
    unsigned char *rest = NULL;
    if (stream->fed_len > 0) {
        rest = malloc(stream->fed_len);
        stream->broken = stream->broken || !rest;
    }
    if (rest)
        memcpy(rest, stream->fed, stream->fed_len);
    else
        stream->fed_len = 0;
    free(stream->kept);
    stream->fed = stream->kept = rest;
}

static ssize_t tls_write(struct stream *stream, const void *buf, size_t len)
{
    size_t done = 0;
    begin_call();
    int result = SSL_write_ex(stream->ssl, buf, len, &done);
    stream->refused = false;
    if (result == 1)
        return (ssize_t)done;
    ssize_t failure = tls_failure(stream, result, &stream->write_wants);
    if (failure == 0)
        errno = EPIPE;
    stream->refused = errno == EAGAIN;
    return -1;
}

ssize_t stream_write(struct stream *stream, const void *buf, size_t len)
{
    stream->write_wants = POLLOUT;
    if (stream->broken) {
        errno = EPIPE;
        return -1;
    }
    if (stream->ssl)
        return tls_write(stream, buf, len);
    ssize_t n = net_send(stream->fd, buf, len);
    if (n < 0 && errno != EAGAIN)
        stream->broken = true;
    return n;
}

void stream_shutdown(struct stream *stream)
{
    if (stream->ssl && !stream->broken && SSL_is_init_finished(stream->ssl)) {
        ERR_clear_error();
        SSL_shutdown(stream->ssl);
    }
    shutdown(stream->fd, SHUT_WR);
}

bool stream_discard(struct stream *stream, size_t *left)
{
    ssize_t n = recv(stream->fd, NULL, *left, MSG_TRUNC | MSG_DONTWAIT); /* tcp(7): not copied */
    if (n > 0)
        *left -= (size_t)n;
    return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

void stream_reset_on_close(struct stream *stream)
{
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    setsockopt(stream->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
}

void stream_close(struct stream *stream)
{
    if (stream->fd < 0)
        return;
    SSL_free(stream->ssl);
    stream->ssl = NULL;
    free(stream->kept);
    close(stream->fd);
    stream->fd = -1;
    pthread_mutex_destroy(&stream->lock);
}
