/* SPDX-License-Identifier: MIT
 *
 * fuzz_client.c - messages of any bytes into a whole server in this process, for libFuzzer.
 *
 * An input is lines. The first byte chooses the way to join; each line is sent as one text frame,
 * all at once, and then the client is done. What must hold: the server answers with whole frames,
 * each text of which is a JSON object of its protocol, and ends the connection in time; somebody
 * else in the room, who hears all of it, stays connected.
 */
#include <netinet/in.h>
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "json_msg.h"
#include "life.h"
#include "net.h"
#include "register.h"
#include "room.h"
#include "settings.h"
#include "ws.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { WAIT_MS = 10000, FRAME_MAX = 70000 };

static const char settings_text[] =
    "{\"SSL\":false,\"SSL_Cert\":\"a\",\"SSL_Key\":\"b\",\"server_ip\":\"::1\",\"server_port\":0,"
    "\"server_name\":\"Ks\",\"server_password\":\"963\",\"history\":9,\"max_messages_per_second\":"
    "0,"
    "\"max_clients_per_address\":0,\"exempt_loopback\":true,\"log_level\":\"error\",\"max_message_"
    "bytes\":4096,"
    "\"ping_interval_seconds\":3600," /* who stays answers none */
    "\"room_buffer_bytes\":65536}";

static int listener; /* the end of the one who stays */

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void send_all(int fd, const void *bytes, size_t len)
{
    while (len > 0) {
        ssize_t sent = send(fd, bytes, len, MSG_NOSIGNAL);
        if (sent < 0)
            return; /* it was closed for what it said before */
        bytes = (const char *)bytes + sent;
        len -= (size_t)sent;
    }
}

/* One text frame with a mask of zeros, which leaves the payload as it is (RFC 6455 §5.3). */
static void send_text(int fd, const void *text, size_t len)
{
    static const unsigned char zeros[WS_MASK_BYTES];
    unsigned char frame[WS_HEAD_MAX + FRAME_MAX];
    send_all(fd, frame, ws_write_masked(frame, WS_TEXT, text, len, zeros));
}

/* Connects by a socket pair and asks for a WebSocket. Returns the client's end. */
static int begin(bool v2)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
                                  "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                                  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    static const char protocol[] = "Sec-WebSocket-Protocol: ragnarok.v2\r\n";
    struct sockaddr_storage peer = {.ss_family = AF_INET6}; /* exempt: it may guess for ever */
    ((struct sockaddr_in6 *)&peer)->sin6_addr = in6addr_loopback;
    int ends[2];
    require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    life_start(ends[0], &peer);
    send_all(ends[1], request, sizeof(request) - 1);
    if (v2)
        send_all(ends[1], protocol, sizeof(protocol) - 1);
    send_all(ends[1], "\r\n", 2);
    return ends[1];
}

static void check_event(const struct ws_event *event)
{
    struct json_object object;
    struct json_error error;
    if (event->opcode == WS_TEXT)
        require(json_parse(&object, (const char *)event->payload, event->len, &error) == 0);
    else
        require(event->opcode == WS_CLOSE || event->opcode == WS_PONG || event->opcode == WS_PING);
}

/* Whether there is something to read in time. libFuzzer's alarm interrupts the waiting. */
static bool answers(int fd)
{
    struct pollfd one = {.fd = fd, .events = POLLIN};
    int ready;
    do
        ready = poll(&one, 1, WAIT_MS);
    while (ready < 0 && errno == EINTR);
    return ready == 1;
}

/* Reads what the server says to the end, its HTTP head first. */
static void hear_out(int fd)
{
    struct ws_reader reader;
    struct ws_event event;
    unsigned char *space, *head;
    bool upgraded = false, open = true;
    ws_reader_init(&reader, FRAME_MAX, false);
    while (open) {
        size_t room = ws_space(&reader, &space), len;
        require(room > 0 && answers(fd));
        ssize_t got = read(fd, space, room);
        open = got > 0;
        ws_fed(&reader, open ? (size_t)got : 0);
        len = ws_peek(&reader, &head);
        char *end = upgraded ? NULL : memmem(head, len, "\r\n\r\n", 4);
        if (end) {
            upgraded = true;
            ws_skip(&reader, (size_t)((unsigned char *)end - head) + 4);
        }
        while (upgraded && ws_next(&reader, &event) > 0)
            check_event(&event);
    }
    ws_reader_fini(&reader);
}

/* Takes what the one who stays has heard; he must still be there. */
static void drain_listener(void)
{
    char bytes[4096];
    ssize_t got;
    while ((got = recv(listener, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0)
        ;
    require(got < 0);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    char path[64], error[CONFIG_ERROR_MAX];
    int fd = memfd_create("config", MFD_CLOEXEC);
    (void)argc;
    (void)argv;
    require(write(fd, settings_text, sizeof(settings_text) - 1) > 0);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    struct settings *settings = settings_read(path, SETTINGS_START, error);
    if (!settings) {
        fprintf(stderr, "%s\n", error);
        return 1;
    }
    net_wake_init();
    settings_publish(settings);
    register_init(&settings->config);
    life_init();
    require(rooms_init(&settings->config) == 0);
    listener = begin(false);
    send_text(listener, "963", 3);
    send_text(listener, "ana", 3);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    bool v2 = data[0] & 1;
    int fd = begin(v2);
    for (size_t at = 1; at < size;) {
        const uint8_t *line = data + at, *end = memchr(line, '\n', size - at);
        size_t len = end ? (size_t)(end - line) : size - at;
        send_text(fd, line, len);
        at += len + 1;
    }
    shutdown(fd, SHUT_WR);
    hear_out(fd);
    close(fd);
    drain_listener();
    return 0;
}
