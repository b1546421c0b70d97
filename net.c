/* SPDX-License-Identifier: MIT
 *
 * net.c - sockets and TLS, as net.h promises them.
 *
 * Everything here is non-blocking but net_wait, net_connect and looking names up.
 * EINTR and short I/O end here. No locks: see net.h.
 *
 * Waking: a thread waits in ppoll(2) with NET_WAKE let through, and only there; everywhere else the
 * signal is blocked, so it stays pending and ends the next wait at once. No wake-up is lost, and no
 * descriptor is spent on it: ten thousand members need ten thousand descriptors, not twenty. Linux
 * and the BSDs have ppoll; macOS lacks it and would need a shim for wait_masked, nothing else.
 */
#include "net.h"

#include <errno.h>
#include <fcntl.h>
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
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

enum { NET_WAKE = SIGUSR1, BACKLOG = 1024 };

/* ---- Time, waiting and waking ---- */

int64_t net_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t net_now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static sigset_t waiting_mask; /* [I] what a thread blocks while it waits: not NET_WAKE */

static void on_wake(int number)
{
    (void)number; /* that it was delivered has ended the wait */
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

/* ppoll with NET_WAKE let through. Other signals stay as they were in net_wake_init. */
static int wait_masked(struct pollfd *fds, nfds_t count, int64_t until)
{
    struct timespec left = {0, 0}, *timeout = NULL;
    if (until != INT64_MAX) {
        int64_t ms = until - net_now();
        left.tv_sec = ms > 0 ? ms / 1000 : 0;
        left.tv_nsec = ms > 0 ? ms % 1000 * 1000000 : 0;
        timeout = &left;
    }
    return ppoll(fds, count, timeout, &waiting_mask);
}

short net_wait(int fd, short events, int64_t until)
{
    struct pollfd one = {.fd = fd, .events = events};
    return wait_masked(&one, 1, until) > 0 ? one.revents : 0;
}

unsigned net_wait_any(const int *fds, int count, int64_t until)
{
    struct pollfd all[NET_LISTENERS_MAX];
    unsigned ready = 0;
    for (int i = 0; i < count; i++)
        all[i] = (struct pollfd){.fd = fds[i], .events = POLLIN};
    if (wait_masked(all, (nfds_t)count, until) <= 0)
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

/* "::" means both families; any other IPv6 address means itself. */
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
    int client = accept4(fd, (struct sockaddr *)peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
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

void net_forget(struct addrinfo *addresses)
{
    if (addresses)
        freeaddrinfo(addresses);
}

int net_connect_begin(const struct addrinfo *addresses)
{
    int type = addresses->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC;
    int fd = socket(addresses->ai_family, type, addresses->ai_protocol);
    if (fd < 0)
        return -1;
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    if (connect(fd, addresses->ai_addr, addresses->ai_addrlen) == 0 || errno == EINPROGRESS)
        return fd;
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
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
    net_forget(list);
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

size_t net_unacknowledged(int fd)
{
    int bytes = 0; /* TIOCOUTQ is for terminals; Linux answers it for sockets, too (tcp(7)) */
    return ioctl(fd, TIOCOUTQ, &bytes) == 0 && bytes > 0 ? (size_t)bytes : 0;
}

void net_household(const struct sockaddr_storage *address, unsigned char household[NET_HOUSEHOLD])
{
    memset(household, 0, NET_HOUSEHOLD);
    if (address->ss_family == AF_INET6) {
        const struct in6_addr *in6 = &((const struct sockaddr_in6 *)address)->sin6_addr;
        memcpy(household, in6->s6_addr, IN6_IS_ADDR_V4MAPPED(in6) ? 16 : 8);
    } else {
        household[10] = household[11] = 0xFF;
        memcpy(household + 12, &((const struct sockaddr_in *)address)->sin_addr, 4);
    }
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

/* ---- TLS ---- */

/* struct net_tls is OpenSSL's context under a name that other files may know. */
static SSL_CTX *context(struct net_tls *tls)
{
    return (SSL_CTX *)tls;
}

/* Partial writes and moving buffers let a batch be offered from the ring in place. Released
 * buffers: an idle member keeps no record buffers. Read-ahead: one recv(2) takes head and body of
 * a record. A missing close_notify is an end like any other: frames say where messages end. */
static SSL_CTX *new_context(const SSL_METHOD *method)
{
    SSL_CTX *ctx = SSL_CTX_new(method);
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

static const char *tls_reason(void)
{
    const char *reason = ERR_reason_error_string(ERR_peek_error());
    return reason ? reason : "TLS failure";
}

struct net_tls *net_tls_server(const char *cert_path, const char *key_path, char *error)
{
    static const char tls12[] = "ECDHE+AESGCM:ECDHE+CHACHA20";
    ERR_clear_error();
    SSL_CTX *ctx = new_context(TLS_server_method());
    if (ctx) /* our order counts; but who prefers ChaCha20 has no hardware for AES */
        SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    if (ctx && SSL_CTX_set_cipher_list(ctx, tls12) == 1 &&
        SSL_CTX_use_certificate_chain_file(ctx, cert_path) == 1 &&
        SSL_CTX_use_PrivateKey_file(ctx, key_path, SSL_FILETYPE_PEM) == 1 &&
        SSL_CTX_check_private_key(ctx) == 1) /* a key of another kind is taken beside it */
        return (struct net_tls *)ctx;
    snprintf(error, NET_ERROR_MAX, "%s", tls_reason());
    SSL_CTX_free(ctx);
    return NULL;
}

struct net_tls *net_tls_client(void)
{
    return (struct net_tls *)new_context(TLS_client_method());
}

/* Whom to trust is looked up here, and looked at in net_peer: a peer that fails is to be named by its
 * fingerprint, so the handshake goes through. */
struct net_tls *net_tls_trusting(const char *ca, char *error)
{
    ERR_clear_error();
    SSL_CTX *ctx = new_context(TLS_client_method());
    if (ctx && ca) /* also a certificate that another one has signed is trusted for itself */
        X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ctx), X509_V_FLAG_PARTIAL_CHAIN);
    if (ctx &&
        (ca ? SSL_CTX_load_verify_file(ctx, ca) : SSL_CTX_set_default_verify_paths(ctx)) == 1)
        return (struct net_tls *)ctx;
    snprintf(error, NET_ERROR_MAX, "%s", tls_reason());
    SSL_CTX_free(ctx);
    return NULL;
}

void net_tls_free(struct net_tls *tls)
{
    SSL_CTX_free(context(tls));
}

bool net_tls_names(const struct net_tls *tls, const char *host)
{
    X509 *cert = SSL_CTX_get0_certificate((const SSL_CTX *)tls);
    return cert && X509_check_host(cert, host, 0, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT, NULL) == 1;
}

bool net_random(void *out, size_t bytes)
{
    return bytes <= NET_RANDOM_MAX && RAND_bytes(out, (int)bytes) == 1;
}

bool net_random_hex(char *text, size_t bytes)
{
    unsigned char random[NET_RANDOM_MAX];
    if (!net_random(random, bytes))
        return false;
    for (size_t i = 0; i < bytes; i++)
        snprintf(text + 2 * i, 3, "%02x", random[i]);
    return true;
}

void net_rest(void)
{
    OPENSSL_thread_stop();
}

/* ---- Streams ---- */

int net_open(struct net_stream *stream, int fd, struct net_tls *tls)
{
    memset(stream, 0, sizeof(*stream));
    stream->fd = fd;
    stream->read_wants = POLLIN;
    stream->write_wants = POLLOUT;
    if (!tls)
        return 0;
    stream->ssl = SSL_new(context(tls));
    if (!stream->ssl || SSL_set_fd(stream->ssl, fd) != 1) {
        net_close(stream);
        return -1;
    }
    if (SSL_is_server(stream->ssl))
        SSL_set_accept_state(stream->ssl);
    else
        SSL_set_connect_state(stream->ssl);
    return 0;
}

int net_expect(struct net_stream *stream, const char *host)
{
    X509_VERIFY_PARAM *rules = SSL_get0_param(stream->ssl);
    char name[NET_NAME_MAX]; /* the macro for the name that the peer is told takes no const */
    if (X509_VERIFY_PARAM_set1_ip_asc(rules, host) == 1)
        return 0;
    if (snprintf(name, sizeof(name), "%s", host) >= (int)sizeof(name))
        return -1;
    SSL_set_hostflags(stream->ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    bool ok =
        SSL_set1_host(stream->ssl, name) == 1 && SSL_set_tlsext_host_name(stream->ssl, name) == 1;
    return ok ? 0 : -1;
}

/* "AB:CD:..." of `der`, which is freed; "" when that failed. */
static void print_digest(unsigned char *der, int len, char print[NET_PRINT_MAX])
{
    unsigned char digest[SHA256_DIGEST_LENGTH];
    print[0] = '\0';
    if (len > 0 && EVP_Digest(der, (size_t)len, digest, NULL, EVP_sha256(), NULL) == 1)
        for (size_t i = 0; i < sizeof(digest); i++)
            sprintf(print + 3 * i, i + 1 < sizeof(digest) ? "%02X:" : "%02X", digest[i]);
    OPENSSL_free(der);
}

const char *net_peer(struct net_stream *stream, struct net_prints *prints)
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

/* Says what a failed SSL call means, in the terms of read(2): 0 at the end, else -1 and errno.
 * `wants` is set to the event that a refused call waits for. */
static int tls_failure(struct net_stream *stream, int result, short *wants)
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
        stream->broken = true;
        stream->why = tls_reason();
        errno = EPROTO;
        return -1;
    }
}

enum first { FIRST_TLS, FIRST_HTTP, FIRST_NONE };

/* Every TLS connection begins with a byte that is no letter (RFC 8446 §5.1), every HTTP request with a
 * capital one. OpenSSL would have taken the request when it finds that out, so the first byte is
 * looked at before anything is read; while there is none, nothing is read. */
static enum first look_at_first(const struct net_stream *stream)
{
    char first;
    if (!SSL_is_server(stream->ssl) || BIO_number_read(SSL_get_rbio(stream->ssl)) > 0)
        return FIRST_TLS;
    ssize_t n = recv(stream->fd, &first, 1, MSG_PEEK);
    if (n == 1)
        return first >= 'A' && first <= 'Z' ? FIRST_HTTP : FIRST_TLS;
    return n < 0 && errno == EAGAIN ? FIRST_NONE : FIRST_TLS; /* its end is OpenSSL's to tell */
}

int net_handshake(struct net_stream *stream)
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
    if (result == 1)
        return 1;
    if (tls_failure(stream, result, &stream->read_wants) < 0 && errno == EAGAIN)
        return 0;
    stream->broken = true;
    return -1;
}

/* A peer may ask for new keys (RFC 8446 §4.6.3). OpenSSL 3.0 answers at its next chance to write; when
 * it comes to a second request before that, it fails for good, if a refused write stands in the way.
 * So nothing is read in between. (Who sends two in one go, and takes nothing, still loses its own
 * connection.) */
static bool answer_is_stuck(const struct net_stream *stream)
{
    return stream->refused && SSL_get_key_update_type(stream->ssl) != SSL_KEY_UPDATE_NONE;
}

/* Lets one recv(2) through for each net_read. OpenSSL would go on reading until it has something to
 * hand out, and a peer that sends nothing but KeyUpdates could keep it there, and its caller's lock,
 * for as long as it likes. */
static long ration_reads(BIO *bio, int operation, const char *bytes, size_t len, int number,
                         long other, int result, size_t *processed)
{
    bool *may_read = (bool *)BIO_get_callback_arg(bio);
    (void)bytes, (void)len, (void)number, (void)other, (void)processed;
    if (operation != BIO_CB_READ || !may_read)
        return result;
    if (*may_read) {
        *may_read = false;
        return result;
    }
    BIO_set_retry_read(bio);
    return -1;
}

static ssize_t tls_read(struct net_stream *stream, void *buf, size_t len)
{
    size_t done = 0;
    BIO *bio = SSL_get_rbio(stream->ssl);
    if (answer_is_stuck(stream)) {
        stream->read_wants = stream->write_wants;
        stream->drained = true;
        errno = EAGAIN;
        return -1;
    }
    ERR_clear_error();
    errno = 0;
    uint64_t before = BIO_number_read(bio);
    stream->may_read = true;
    BIO_set_callback_arg(bio, (char *)&stream->may_read);
    BIO_set_callback_ex(bio, ration_reads);
    int result = SSL_read_ex(stream->ssl, buf, len, &done);
    BIO_set_callback_ex(bio, NULL);
    stream->drained = !SSL_has_pending(stream->ssl);
    stream->overhead += (int64_t)(BIO_number_read(bio) - before) - (int64_t)done;
    if (result == 1)
        return (ssize_t)done;
    return tls_failure(stream, result, &stream->read_wants);
}

static ssize_t tcp_read(struct net_stream *stream, void *buf, size_t len)
{
    ssize_t n;
    do
        n = recv(stream->fd, buf, len, 0);
    while (n < 0 && errno == EINTR);
    stream->drained = n < (ssize_t)len;
    return n;
}

ssize_t net_read(struct net_stream *stream, void *buf, size_t len)
{
    stream->read_wants = POLLIN;
    return stream->ssl ? tls_read(stream, buf, len) : tcp_read(stream, buf, len);
}

static ssize_t tls_write(struct net_stream *stream, const void *buf, size_t len)
{
    size_t done = 0;
    ERR_clear_error();
    errno = 0;
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

ssize_t net_write(struct net_stream *stream, const void *buf, size_t len)
{
    ssize_t n;
    stream->write_wants = POLLOUT;
    if (stream->broken) {
        errno = EPIPE;
        return -1;
    }
    if (stream->ssl)
        return tls_write(stream, buf, len);
    do
        n = send(stream->fd, buf, len, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno != EAGAIN)
        stream->broken = true;
    return n;
}

void net_finish(struct net_stream *stream)
{
    if (stream->ssl && !stream->broken && SSL_is_init_finished(stream->ssl)) {
        ERR_clear_error();
        SSL_shutdown(stream->ssl);
    }
    shutdown(stream->fd, SHUT_WR);
}

void net_abandon(struct net_stream *stream)
{
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    setsockopt(stream->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
}

void net_close(struct net_stream *stream)
{
    SSL_free(stream->ssl);
    stream->ssl = NULL;
    if (stream->fd >= 0)
        close(stream->fd);
    stream->fd = -1;
}
