/* SPDX-License-Identifier: MIT
 *
 * fuzz_server.h - a server inside a fuzz target, and one who listens to what it says.
 */
#ifndef FUZZ_SERVER_H
#define FUZZ_SERVER_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "json_msg.h"
#include "server/client_thread.h"
#include "net/socket.h"
#include "server/registry.h"
#include "room.h"
#include "server/live_config.h"
#include "ws.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FRAME_MAX = 300000 }; /* bytes of the longest frame that the server may send */

/* What asks for a WebSocket, up to its last line; between the two, or not. */
static const char fuzz_request[] = "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
                                   "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                                   "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
static const char fuzz_protocol[] = "Sec-WebSocket-Protocol: ragnarok.v2\r\n";

static const char fuzz_settings[] =
    "{\"SSL\":false,\"SSL_Cert\":\"a\",\"SSL_Key\":\"b\",\"server_ip\":\"::1\",\"server_port\":0,"
    "\"server_name\":\"Ks\",\"server_password\":\"963\",\"history\":9,\"max_messages_per_second\":"
    "0,"
    "\"max_clients_per_address\":0,\"exempt_loopback\":true,\"log_level\":\"error\",\"max_message_"
    "bytes\":4096,"
    "\"allowed_origins\":[\"http://x\"]," /* what signs this comes in with keys */
    "\"ping_interval_seconds\":3600,"     /* who stays answers none */
    "\"room_buffer_bytes\":65536}";

static inline void require(bool holds)
{
    if (!holds)
        abort();
}

/* Readies everything but a socket to listen on: from here on there is client_start. */
static inline void fuzz_server_init(void)
{
    char path[64], error[CONFIG_ERROR_MAX];
    int fd = memfd_create("config", MFD_CLOEXEC);
    require(write(fd, fuzz_settings, sizeof(fuzz_settings) - 1) > 0);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    struct live_config *settings = live_config_read(path, LIVE_CONFIG_START, error);
    require(settings != NULL);
    net_wake_init();
    live_config_publish(settings);
    registry_init(&settings->config);
    client_thread_init();
    require(rooms_init(&settings->config) == 0);
}

/* Takes what the server says, piece by piece: an HTTP head, then whole frames, each text of which
 * is a JSON object. */
struct fuzz_listener {
    struct ws_reader reader;
    bool upgraded;
};

static inline void fuzz_listener_init(struct fuzz_listener *listener)
{
    ws_reader_init(&listener->reader, FRAME_MAX, false);
    listener->upgraded = false;
}

static inline void fuzz_check_event(const struct ws_event *event)
{
    struct json_object object;
    struct json_error error;
    if (event->opcode == WS_TEXT)
        require(json_parse_message(&object, (const char *)event->payload, event->len, &error) == 0);
    else
        require(event->opcode == WS_CLOSE || event->opcode == WS_PONG || event->opcode == WS_PING);
}

/* Looks through what was put into the reader. */
static inline void fuzz_look(struct fuzz_listener *listener)
{
    struct ws_reader *reader = &listener->reader;
    struct ws_event event;
    unsigned char *head;
    size_t len = ws_peek(reader, &head);
    char *end = listener->upgraded || !len ? NULL : memmem(head, len, "\r\n\r\n", 4);
    int found = 0;
    if (end) {
        listener->upgraded = true;
        ws_skip(reader, (size_t)((unsigned char *)end - head) + 4);
    }
    while (listener->upgraded && (found = ws_next(reader, &event)) > 0)
        fuzz_check_event(&event);
    require(found == 0);
}

static inline void fuzz_listen(struct fuzz_listener *listener, const void *bytes, size_t len)
{
    unsigned char *space;
    for (size_t at = 0; at < len;) {
        size_t room = ws_reserve(&listener->reader, &space), n = len - at < room ? len - at : room;
        require(n > 0);
        memcpy(space, (const char *)bytes + at, n);
        ws_commit(&listener->reader, n);
        fuzz_look(listener);
        at += n;
    }
}

/* Returns whether it ended where a frame does. */
static inline bool fuzz_listener_fini(struct fuzz_listener *listener)
{
    bool whole = ws_partial_frame(&listener->reader) == 0;
    ws_reader_fini(&listener->reader);
    return whole;
}

#endif
