/* SPDX-License-Identifier: MIT
 *
 * key_flood.c - a member that sends nothing but KeyUpdates (RFC 8446 §4.6.3), as fast as they go.
 *
 * usage: key_flood PORT PASSWORD NAME SECONDS
 * It joins the room "canaries" of 127.0.0.1, then asks for new keys again and again, and reads what comes.
 * Exit status: 0 when the time is over or the server had enough of it, 1 when it never came in.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/bio.h>
#include <openssl/ssl.h>

static const char upgrade[] =
    "GET /rooms/canaries HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
    "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/* Sends a short text as one frame, masked with zeros. */
static int say(SSL *ssl, const char *text)
{
    unsigned char frame[6 + 125] = {0x81};
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
           SSL_read_ex(ssl, answer, sizeof(answer), &done) && say(ssl, password) && say(ssl, name);
}

/* Returns how many keys the server was told, until the time is over or it hung up. */
static uint64_t flood(SSL *ssl, time_t seconds)
{
    uint64_t updates = 0;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    for (time_t end = now.tv_sec + seconds; now.tv_sec < end; updates++) {
        if (SSL_key_update(ssl, SSL_KEY_UPDATE_NOT_REQUESTED) != 1 || SSL_do_handshake(ssl) != 1)
            break;
        clock_gettime(CLOCK_MONOTONIC, &now);
    }
    return updates;
}

int main(int argc, char **argv)
{
    char address[64];
    SSL *ssl = NULL;
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    BIO *bio = ctx ? BIO_new_ssl_connect(ctx) : NULL;
    if (argc != 5 || !bio || BIO_get_ssl(bio, &ssl) != 1)
        return 2;
    snprintf(address, sizeof(address), "127.0.0.1:%s", argv[1]);
    BIO_set_conn_hostname(bio, address);
    int status = BIO_do_connect(bio) == 1 && enter(ssl, argv[2], argv[3]) ? 0 : 1;
    if (status == 0)
        printf("%llu\n", (unsigned long long)flood(ssl, atoi(argv[4])));
    BIO_free_all(bio);
    SSL_CTX_free(ctx);
    return status;
}
