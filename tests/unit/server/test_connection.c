/* SPDX-License-Identifier: MIT
 *
 * test_connection.c - how connection_finish ends: how long it waits for a peer to take a response,
 * and how much it still reads.
 *
 * The socket's buffer is small, so most of a response waits with us and not with the system, as on
 * a slow line. Both peers of the first test are served at the same time, for each takes its seconds.
 */
#include "server/connection.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "no_memory.h"

enum {
    RESPONSE = 200 * 1000,
    SLOW_MS = CONNECTION_CLOSE_MS + 1500, /* longer than who takes nothing is waited for */
    SIP_MS = 25,
    LATE_MS = 5000, /* what a busy machine may add; CONNECTION_RESPONSE_MS is far more */
};

static const struct connection_limits limits = {.queue_max = 1000,
                                                .max_message = 1000}; /* far less */

/* One connection: our end, the peer's end, and how it went. */
struct line {
    int ours, peers;
    pthread_t thread;
    int64_t took; /* milliseconds */
};

static void *respond(void *argument)
{
    struct line *line = argument;
    struct connection conn;
    char *body = malloc(RESPONSE);
    int64_t begin = net_now();
    if (connection_init(&conn, line->ours, NULL, &limits) == 0 && body) {
        memset(body, 'x', RESPONSE);
        connection_respond(&conn, "head", 4, body, RESPONSE - 4);
        memset(body, 'y', RESPONSE); /* it was copied */
        connection_finish(&conn);
    }
    connection_fini(&conn);
    line->took = net_now() - begin;
    free(body);
    return NULL;
}

static void open_line(struct line *line)
{
    int ends[2], size = 4096;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    assert_int_equal(setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size), 0);
    line->ours = ends[0];
    line->peers = ends[1];
    assert_int_equal(pthread_create(&line->thread, NULL, respond, line), 0);
}

/* Takes the response little by little, in SLOW_MS, up to its end. Returns its length. */
static size_t sip(int fd, char *taken)
{
    size_t len = 0;
    int64_t begin = net_now();
    while (len < RESPONSE) {
        size_t due = (size_t)((net_now() - begin) * RESPONSE / SLOW_MS);
        due = due < RESPONSE ? due : RESPONSE;
        ssize_t n = len < due ? read(fd, taken + len, due - len) : -1;
        if (n == 0)
            break;
        len += n > 0 ? (size_t)n : 0;
        net_wait(-1, 0, net_now() + SIP_MS);
    }
    return len;
}

static void test_a_peer_that_reads_slowly_and_one_that_does_not(void **state)
{
    (void)state;
    struct line slow, silent;
    char *taken = malloc(RESPONSE);
    assert_non_null(taken);
    open_line(&slow);
    open_line(&silent);
    assert_int_equal(sip(slow.peers, taken), RESPONSE);
    close(slow.peers);
    pthread_join(slow.thread, NULL);
    pthread_join(silent.thread, NULL);
    close(silent.peers);

    assert_memory_equal(taken, "headxxxx", 8);
    assert_null(memchr(taken, 'y', RESPONSE));
    assert_true(slow.took > CONNECTION_CLOSE_MS);
    assert_true(slow.took < CONNECTION_RESPONSE_MS);
    assert_in_range(silent.took, CONNECTION_CLOSE_MS - 100, CONNECTION_CLOSE_MS + LATE_MS);
    free(taken);
}

/* A peer that has left is not waited for. */
static void test_who_is_gone(void **state)
{
    (void)state;
    struct line line;
    open_line(&line);
    close(line.peers);
    pthread_join(line.thread, NULL);
    assert_in_range(line.took, 0, CONNECTION_CLOSE_MS / 2);
}

/* A response is the last one of a connection that has had its time; until then the next request may
 * come for a while. */
static void test_how_long_a_connection_is_kept(void **state)
{
    (void)state;
    static const char ask[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    static const struct connection_limits patient = {
        .queue_max = 1000, .max_message = 1000, .handshake_ms = LATE_MS};
    struct connection conn;
    struct http_request request;
    int ends[2];
    char taken[8];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    assert_int_equal(connection_init(&conn, ends[0], NULL, &patient), 0);
    for (int late = 0; late <= 1; late++) {
        conn.keep_until = late ? net_now() : net_now() + LATE_MS;
        assert_int_equal(write(ends[1], ask, sizeof ask - 1), sizeof ask - 1);
        assert_int_equal(connection_request(&conn, NULL, &request), 0);
        assert_int_equal(request.keep, !late);
        assert_int_equal(connection_answer(&conn, "he", 2, "llo", 3), 0);
        assert_int_equal(read(ends[1], taken, sizeof taken), 5);
        assert_memory_equal(taken, "hello", 5);
        assert_in_range(conn.handshake_until - net_now(), 1, CONNECTION_IDLE_MS);
    }
    connection_fini(&conn);
    close(ends[1]);
}

/* One that takes nothing is cut, and no farewell is tried. */
static void test_an_answer_that_is_not_taken_ends_the_connection(void **state)
{
    (void)state;
    struct connection conn;
    int ends[2], size = 4096;
    char *body = calloc(1, RESPONSE);
    assert_non_null(body);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    assert_int_equal(setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size), 0);
    assert_int_equal(connection_init(&conn, ends[0], NULL, &limits), 0);
    int64_t begin = net_now();
    assert_int_equal(connection_answer(&conn, "head", 4, body, RESPONSE), -1);
    connection_finish(&conn);
    assert_in_range(net_now() - begin, CONNECTION_CLOSE_MS - 100, CONNECTION_CLOSE_MS + LATE_MS);
    connection_fini(&conn);
    close(ends[1]);
    free(body);
}

/* Writes the beginning of a frame that is longer than what a reader holds at first. */
static void begin_long_frame(int fd)
{
    static const unsigned char head[] = {0x81, 0xFE, 0xFF, 0xFF, 0, 0, 0, 0};
    char body[32 * 1024];
    memset(body, 'x', sizeof body);
    assert_int_equal(write(fd, head, sizeof head), sizeof head);
    assert_int_equal(write(fd, body, sizeof body), sizeof body);
}

/* Were it waited for all the same, the bytes that cannot be read would end each wait at once. */
static void test_the_end_of_a_peer_that_cannot_be_read_is_not_awaited(void **state)
{
    (void)state;
    static const struct connection_limits roomy = {
        .queue_max = 1000, .max_message = 0xFFFF, .ping_ms = INT64_MAX / 4};
    static const char key[] = "dGhlIHNhbXBsZSBub25jZQ==";
    const struct http_request request = {.key = {key, sizeof key - 1}};
    struct connection conn;
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    assert_int_equal(connection_init(&conn, ends[0], NULL, &roomy), 0);
    connection_upgrade(&conn, &request, NULL);
    connection_close(&conn, WS_CODE_GOING_AWAY, "bye");
    begin_long_frame(ends[1]);

    int64_t begin = net_now();
    no_memory_after(1);
    connection_finish(&conn);
    assert_true(no_memory_end());
    assert_in_range(net_now() - begin, 0, CONNECTION_CLOSE_MS / 2);
    assert_string_equal(conn.why, "out of memory");
    connection_fini(&conn);
    close(ends[1]);
}

/* Writes all that `tls` has to say in one go. */
static void pass_on(SSL *tls, int fd)
{
    char *bytes;
    long len = BIO_get_mem_data(SSL_get_wbio(tls), &bytes);
    ssize_t n = len > 0 ? write(fd, bytes, (size_t)len) : 0;
    assert_true(n >= 0);
    BIO_reset(SSL_get_wbio(tls));
}

/* A client of `conn`, which this thread plays, too, after their handshake. */
static SSL *open_tls_peer(struct connection *conn, SSL_CTX *rules, int fd)
{
    SSL *tls = SSL_new(rules);
    assert_non_null(tls);
    SSL_set0_rbio(tls, BIO_new_socket(fd, BIO_NOCLOSE));
    SSL_set0_wbio(tls, BIO_new(BIO_s_mem()));
    SSL_set_connect_state(tls);
    int ours = 0;
    for (int step = 0; step < 20 && (ours <= 0 || !SSL_is_init_finished(tls)); step++) {
        SSL_do_handshake(tls);
        pass_on(tls, fd);
        ours = stream_handshake(&conn->stream);
    }
    assert_int_equal(ours, 1);
    return tls;
}

static struct tls_context *self_signed(void)
{
    char error[NET_ERROR_MAX];
    char *cert, *key;
    EVP_PKEY *pair = EVP_EC_gen("P-256");
    X509 *x509 = X509_new();
    X509_gmtime_adj(X509_getm_notBefore(x509), 0);
    X509_gmtime_adj(X509_getm_notAfter(x509), 3600);
    X509_set_pubkey(x509, pair);
    assert_true(X509_sign(x509, pair, EVP_sha256()) > 0);
    BIO *cert_pem = BIO_new(BIO_s_mem()), *key_pem = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(cert_pem, x509);
    PEM_write_bio_PrivateKey(key_pem, pair, NULL, NULL, 0, NULL, NULL);
    long cert_len = BIO_get_mem_data(cert_pem, &cert), key_len = BIO_get_mem_data(key_pem, &key);
    struct net_pem chain = {cert, (size_t)cert_len}, private = {key, (size_t)key_len};
    struct tls_context *rules = tls_context_server(chain, private, error);
    assert_non_null(rules);
    BIO_free(cert_pem);
    BIO_free(key_pem);
    X509_free(x509);
    EVP_PKEY_free(pair);
    return rules;
}

/* KeyUpdates are no bytes of the connection's, but cost more to read than those. */
static void test_key_updates_at_the_end_are_limited_too(void **state)
{
    (void)state;
    struct tls_context *server = self_signed();
    SSL_CTX *client = SSL_CTX_new(TLS_client_method());
    struct connection conn;
    int ends[2], left = 0, sent = 0, room = 1024 * 1024;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    assert_int_equal(connection_init(&conn, ends[0], server, &limits), 0);
    SSL *tls = open_tls_peer(&conn, client, ends[1]);
    while ((sent = (int)BIO_pending(SSL_get_wbio(tls))) < 2 * CONNECTION_LAST_BYTES) {
        assert_int_equal(SSL_key_update(tls, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
        assert_int_equal(SSL_do_handshake(tls), 1);
    }
    pass_on(tls, ends[1]);
    assert_int_equal(ioctl(ends[0], FIONREAD, &left), 0);
    assert_int_equal(left, sent);

    connection_finish(&conn);
    assert_int_equal(ioctl(ends[0], FIONREAD, &left), 0);
    assert_in_range(left, sent - CONNECTION_LAST_BYTES - STREAM_AHEAD_MAX, sent - 1);
    connection_fini(&conn);
    SSL_free(tls);
    SSL_CTX_free(client);
    tls_context_free(server);
    close(ends[1]);
}

static int set_up(void **state)
{
    (void)state;
    net_wake_init();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_peer_that_reads_slowly_and_one_that_does_not),
        cmocka_unit_test(test_who_is_gone),
        cmocka_unit_test(test_how_long_a_connection_is_kept),
        cmocka_unit_test(test_an_answer_that_is_not_taken_ends_the_connection),
        cmocka_unit_test(test_the_end_of_a_peer_that_cannot_be_read_is_not_awaited),
        cmocka_unit_test(test_key_updates_at_the_end_are_limited_too),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
