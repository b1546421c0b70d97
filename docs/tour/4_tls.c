/* SPDX-License-Identifier: MIT
 *
 * 4_tls.c - step 4 of the ladder: TLS (RFC 8446) below the WebSocket.
 *
 * It solves the problem of step 3: who listens between two machines sees noise. Only the three
 * functions that chat.h asks for differ. The hard part is in threads: OpenSSL allows one thread at
 * a time in an SSL object (openssl-threads(7)), also where one reads and another writes. So each
 * client has a lock for it, and nobody may wait for the peer to say something while holding that
 * lock. Therefore the socket does not block: SSL_read says that it wants to read, the thread gives
 * the lock back, and waits in poll(2).
 *
 *   Make a key    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30
 *                     -subj /CN=localhost -addext subjectAltName=DNS:localhost -keyout key.pem
 *                     -out cert.pem                              (all in one line)
 *   Run it        make tour && build/tour/4_tls cert.pem key.pem 7004
 *   Talk to it    SSL_CERT_FILE=cert.pem python3 -m websockets wss://localhost:7004/
 *                 in two terminals; tcpdump, as in step 3, shows nothing of it any more
 *   Its problem   press Ctrl-Z in one of the terminals: that client stops reading. In another:
 *                   yes "$(head -c 2000 /dev/zero | tr '\0' x)" |
 *                     SSL_CERT_FILE=cert.pem python3 -m websockets wss://localhost:7004/
 *                 After some megabytes, which the kernel keeps for the client that was stopped,
 *                 nobody hears anything: broadcast() waits for it with the lock held. Type `fg`
 *                 there, and all goes on. Besides, each message is encoded once but sent to each
 *                 client by itself, however many messages wait. Step 5 solves both.
 */
#include "docs/tour/chat.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

struct client {
    int fd;
    bool open;                /* [lock] the handshakes are done: it gets broadcasts */
    pthread_mutex_t tls_lock; /* taken after `lock`, if both are */
    SSL *ssl;                 /* [tls_lock] */
};

/* Waits for what an SSL function asked for. Returns false when it asked for nothing: it failed. */
static bool wait_for(int fd, int why)
{
    short events = why == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT;
    struct pollfd one = {.fd = fd, .events = events};
    return (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) && poll(&one, 1, -1) > 0;
}

/* The first call does the TLS handshake, too: SSL_read(3). */
static ssize_t read_some(struct client *client, void *bytes, size_t len)
{
    int n, why;
    do {
        pthread_mutex_lock(&client->tls_lock);
        ERR_clear_error(); /* what an earlier call left would mislead SSL_get_error(3) */
        n = SSL_read(client->ssl, bytes, (int)len);
        why = SSL_get_error(client->ssl, n);
        pthread_mutex_unlock(&client->tls_lock);
    } while (n <= 0 && wait_for(client->fd, why));
    return n > 0 ? n : -1;
}

/* Here the lock is held while waiting: the rest of a record must leave before the next one. */
static bool send_bytes(struct client *client, const void *bytes, size_t len)
{
    int n, why;
    pthread_mutex_lock(&client->tls_lock);
    do {
        ERR_clear_error();
        n = SSL_write(client->ssl, bytes, (int)len);
        why = SSL_get_error(client->ssl, n);
    } while (n <= 0 && wait_for(client->fd, why));
    pthread_mutex_unlock(&client->tls_lock);
    return n > 0;
}

static void broadcast(const void *frame, size_t len)
{
    pthread_mutex_lock(&lock);
    for (int i = 0; i < count; i++)
        if (clients[i]->open)
            send_bytes(clients[i], frame, len); /* its own thread notices when it is gone */
    pthread_mutex_unlock(&lock);
}

static struct client *client_new(SSL_CTX *context, int fd)
{
    struct client *client = calloc(1, sizeof(*client));
    SSL *ssl = SSL_new(context);
    if (!client || !ssl || SSL_set_fd(ssl, fd) != 1 || fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
        fail("out of memory");
    SSL_set_accept_state(ssl);
    *client = (struct client){.fd = fd, .ssl = ssl, .tls_lock = PTHREAD_MUTEX_INITIALIZER};
    return client;
}

static void client_free(struct client *client)
{
    leave(client);
    SSL_free(client->ssl);
    close(client->fd);
    free(client);
}

static void *serve(void *argument)
{
    struct client *client = argument;
    if (shake_hands(client)) {
        pthread_mutex_lock(&lock);
        client->open = true;
        pthread_mutex_unlock(&lock);
        read_loop(client);
        pthread_mutex_lock(&client->tls_lock);
        SSL_shutdown(client->ssl); /* close_notify: nothing was cut off (RFC 8446 §6.1) */
        pthread_mutex_unlock(&client->tls_lock);
    }
    client_free(client);
    return NULL;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: 4_tls CERTIFICATE KEY [PORT]\n");
        return 2;
    }
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    if (!context || SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1 ||
        SSL_CTX_use_certificate_chain_file(context, argv[1]) != 1 ||
        SSL_CTX_use_PrivateKey_file(context, argv[2], SSL_FILETYPE_PEM) != 1) {
        ERR_print_errors_fp(stderr);
        return 1;
    }
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION);
    signal(SIGPIPE, SIG_IGN); /* SSL_write has no MSG_NOSIGNAL */
    for (int listener = listen_on(argc > 3 ? argv[3] : "7004");;) {
        pthread_t thread;
        struct client *client = client_new(context, accept_next(listener));
        if (!join(client) || !start_detached(&thread, serve, client))
            client_free(client);
    }
}
