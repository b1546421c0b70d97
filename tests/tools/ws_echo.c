/* SPDX-License-Identifier: MIT
 *
 * ws_echo.c - echoes text and binary messages of up to 16 MiB through the server's own ws.c,
 * http_request.c, socket.c and read loop (connection.c), for external conformance suites.
 *
 *   ws_echo [--port N] [--tls]     loopback only; port 0 (the default) is any free one, printed
 *
 * With --tls it makes its own key and certificate, in a folder that it removes.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/cert/server_cert.h"
#include "server/connection.h"
#include "net/socket.h"
#include "net/stream.h"
#include "base/thread_pool.h"
#include "tls_files.h"
#include "lib/http/http_response.h"

enum { MESSAGE_MAX = 16 * 1024 * 1024 };

static const struct connection_limits limits = {
    .max_message = MESSAGE_MAX,
    .queue_max = 4 * MESSAGE_MAX,
    .handshake_ms = 10000,
    .ping_ms = 60000,
    .frame_ms = 60000,
};

static struct tls_context *tls;

static void echo(struct connection *conn)
{
    struct ws_event event;
    for (;;) {
        int found = connection_next(conn, &event);
        if (found < 0) {
            connection_close(conn, event.code, event.why);
            return;
        }
        if (found > 0) {
            connection_send(conn, event.opcode, event.payload, event.len);
            continue;
        }
        int readable = connection_poll(conn, INT64_MAX);
        if (readable < 0 || (readable && connection_read(conn) < 0))
            return;
    }
}

static void echo_main(void *argument)
{
    struct http_request request;
    struct connection conn;
    if (connection_init(&conn, (int)(intptr_t)argument, tls, &limits) == 0 &&
        connection_secure(&conn, NULL) == 0 && connection_request(&conn, "echo", &request) == 0) {
        if (request.upgrade) {
            connection_upgrade(&conn, &request, NULL);
            outbox_flush(&conn.out);
            echo(&conn);
        } else {
            char page[HTTP_RESPONSE_MAX];
            connection_respond(
                &conn, page,
                http_write_refusal(page, 404, "only WebSockets are echoed here", false), NULL, 0);
        }
    }
    connection_finish(&conn);
    connection_fini(&conn);
}

/* Makes a certificate as the server does on its first start. */
static struct tls_context *make_tls(void)
{
    static const char *const made[] = {"cert.pem", "key.pem", "ragnarok-ca.crt", "ragnarok-ca.pem"};
    char folder[] = "/tmp/ws_echo.XXXXXX", cert_path[64], key_path[64];
    char path[64], error[CONFIG_ERROR_MAX] = "no folder";
    char host[] = "127.0.0.1";
    struct server_cert cert;
    struct tls_context *made_tls = NULL;
    if (!mkdtemp(folder))
        return NULL;
    snprintf(cert_path, sizeof(cert_path), "%s/cert.pem", folder);
    snprintf(key_path, sizeof(key_path), "%s/key.pem", folder);
    struct config config = {
        .SSL = true, .SSL_Cert = cert_path, .SSL_Key = key_path, .server_ip = host};
    if (server_cert_prepare(&config, &cert, error) == 0)
        made_tls = tls_files_open(cert_path, key_path, error);
    if (!made_tls)
        fprintf(stderr, "ws_echo: %s\n", error);
    server_cert_free(&cert);
    for (size_t i = 0; i < sizeof(made) / sizeof(made[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, made[i]);
        unlink(path);
    }
    rmdir(folder);
    return made_tls;
}

static void accept_forever(int listener)
{
    struct sockaddr_storage peer;
    for (;;) {
        if (!net_wait_any(&listener, 1, INT64_MAX))
            continue;
        int fd = net_accept(listener, &peer);
        if (fd >= 0 && thread_pool_run(echo_main, (void *)(intptr_t)fd) != 0)
            close(fd);
    }
}

int main(int argc, char **argv)
{
    static const struct option known[] = {{"port", required_argument, NULL, 'p'},
                                          {"tls", no_argument, NULL, 't'},
                                          {NULL, 0, NULL, 0}};
    char error[NET_ERROR_MAX];
    int listeners[NET_LISTENERS_MAX], option, port = 0;
    bool with_tls = false;
    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        if (option == 'p')
            port = atoi(optarg);
        else if (option == 't')
            with_tls = true;
        else
            return 2;
    }
    net_wake_init();
    if (with_tls && !(tls = make_tls()))
        return 1;
    if (net_listen("127.0.0.1", port, listeners, error) < 0) {
        fprintf(stderr, "ws_echo: port %d: %s\n", port, error);
        return 1;
    }
    printf("listening on 127.0.0.1:%d\n", net_port(listeners[0]));
    fflush(stdout);
    accept_forever(listeners[0]);
    return 0;
}
