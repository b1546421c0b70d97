/* SPDX-License-Identifier: MIT
 *
 * peer_floor.c - common parts of the two floors. Any thread, no locks.
 */
#include "peer_floor.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define KEY_FIELD "Sec-WebSocket-Key: "
#define SWITCHING                                                                                  \
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"            \
    "Sec-WebSocket-Accept: "

enum { KEY_LEN = 24 }; /* RFC 6455 §4.1 */

_Noreturn void peer_fail(const char *what)
{
    perror(what);
    exit(1);
}

int peer_listen(const struct peer_options *options, int flags, int *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)options->port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, len) < 0 ||
        listen(listener, SOMAXCONN) < 0 ||
        getsockname(listener, (struct sockaddr *)&address, &len) < 0)
        peer_fail("listen");
    *port = ntohs(address.sin_port);
    return listener;
}

SSL_CTX *peer_tls(const struct peer_options *options)
{
    if (!options->tls)
        return NULL;
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
    if (!tls || !SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION) ||
        SSL_CTX_use_certificate_chain_file(tls, options->cert) != 1 ||
        SSL_CTX_use_PrivateKey_file(tls, options->key, SSL_FILETYPE_PEM) != 1) {
        fprintf(stderr, "%s, %s: no certificate and key\n", options->cert, options->key);
        exit(1);
    }
    SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(tls, 1);
    return tls;
}

int peer_upgrade(struct ws_reader *reader, char answer[PEER_ANSWER_MAX])
{
    unsigned char *head;
    char key[KEY_LEN + 1], accept[WS_ACCEPT_MAX];
    size_t len = ws_peek(reader, &head);
    const unsigned char *end = memmem(head, len, "\r\n\r\n", 4);
    if (!end)
        return len <= PEER_REQUEST_MAX ? 0 : -1;
    size_t head_len = (size_t)(end - head) + 4;
    const char *field = memmem(head, head_len, KEY_FIELD, strlen(KEY_FIELD));
    if (!field || field + strlen(KEY_FIELD) + KEY_LEN > (const char *)end)
        return -1;
    memcpy(key, field + strlen(KEY_FIELD), KEY_LEN);
    key[KEY_LEN] = '\0';
    ws_skip(reader, head_len);
    ws_accept_key(key, accept);
    return snprintf(answer, PEER_ANSWER_MAX, SWITCHING "%s\r\n\r\n", accept);
}

const char *peer_text(const char *message, size_t len, size_t *text_len)
{
    const char *text = memmem(message, len, PEER_TEXT_KEY, strlen(PEER_TEXT_KEY));
    if (!text || (text += strlen(PEER_TEXT_KEY)) + 2 > message + len)
        return NULL;
    *text_len = len - 2 - (size_t)(text - message);
    return text;
}
