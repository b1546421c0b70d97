/* SPDX-License-Identifier: MIT
 *
 * key_flood.c - a member that sends only KeyUpdates (RFC 8446 §4.6.3), faster than the server can
 * read them.
 *
 *   key_flood PORT PASSWORD NAME SECONDS
 *
 * It joins the room "canaries" of 127.0.0.1, and makes KeyUpdates for SECONDS of processor time,
 * with a Close frame after them. Then it prints their number, sends them all at once, and waits for
 * the end. Making one takes about as long as reading one, so the server has input for about so long
 * whenever it reads. Exit status: 0 when all are sent or the server closed the connection, 1 when
 * it could not join.
 */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <openssl/bio.h>
#include <openssl/ssl.h>

static const char upgrade[] =
    "GET /rooms/canaries HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
    "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

enum { TEXT = 0x81, CLOSE = 0x88 };

/* Sends a short frame, masked with zeros. */
static int say(SSL *ssl, unsigned char what, const char *text)
{
    unsigned char frame[6 + 125] = {what};
    size_t len = strlen(text), done;
    if (len > 125)
        return 0;
    frame[1] = (unsigned char)(0x80 | len);
    memcpy(frame + 6, text, len);
    return SSL_write_ex(ssl, frame, 6 + len, &done);
}

static int enter(SSL *ssl, const char *password, const char *name)
{
    char answer[4096];
    size_t done;
    return SSL_do_handshake(ssl) == 1 && SSL_write_ex(ssl, upgrade, strlen(upgrade), &done) &&
           SSL_read_ex(ssl, answer, sizeof(answer), &done) && say(ssl, TEXT, password) &&
           say(ssl, TEXT, name);
}

/* Makes KeyUpdates for `seconds` of processor time, and a Close frame, into `made`. Returns how
 * many. */
static uint64_t make_updates(SSL *ssl, BIO *made, time_t seconds)
{
    uint64_t updates = 0;
    struct timespec now;
    BIO_up_ref(made);
    SSL_set0_wbio(ssl, made);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    for (time_t end = now.tv_sec + seconds; now.tv_sec < end; updates++) {
        if (SSL_key_update(ssl, SSL_KEY_UPDATE_NOT_REQUESTED) != 1 || SSL_do_handshake(ssl) != 1)
            break;
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    }
    say(ssl, CLOSE, "");
    return updates;
}

/* Sends them, and waits until the server hangs up. */
static void send_all(SSL *ssl, int fd, BIO *made)
{
    char *bytes, answer[4096];
    ssize_t n;
    size_t done;
    for (long left = BIO_get_mem_data(made, &bytes); left > 0; left -= n, bytes += n)
        if ((n = write(fd, bytes, (size_t)left)) <= 0)
            return;
    while (SSL_read_ex(ssl, answer, sizeof(answer), &done))
        ;
}

int main(int argc, char **argv)
{
    char address[64];
    SSL *ssl = NULL;
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    BIO *bio = ctx ? BIO_new_ssl_connect(ctx) : NULL;
    BIO *made = BIO_new(BIO_s_mem());
    if (argc != 5 || !made || !bio || BIO_get_ssl(bio, &ssl) != 1)
        return 2;
    snprintf(address, sizeof(address), "127.0.0.1:%s", argv[1]);
    BIO_set_conn_hostname(bio, address);
    int status = BIO_do_connect(bio) == 1 && enter(ssl, argv[2], argv[3]) ? 0 : 1;
    if (status == 0) {
        signal(SIGPIPE, SIG_IGN);
        printf("%llu\n", (unsigned long long)make_updates(ssl, made, atoi(argv[4])));
        fflush(stdout);
        send_all(ssl, (int)BIO_get_fd(bio, NULL), made);
    }
    BIO_free_all(bio);
    BIO_free(made);
    SSL_CTX_free(ctx);
    return status;
}
