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
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz_server.h"

enum { WAIT_MS = 10000 };

static int listener; /* the end of the one who stays */

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
    struct sockaddr_storage peer = {.ss_family = AF_INET6}; /* exempt: it may guess for ever */
    ((struct sockaddr_in6 *)&peer)->sin6_addr = in6addr_loopback;
    int ends[2];
    require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    client_thread_start(ends[0], &peer);
    send_all(ends[1], fuzz_request, strlen(fuzz_request));
    if (v2)
        send_all(ends[1], fuzz_protocol, strlen(fuzz_protocol));
    send_all(ends[1], "\r\n", 2);
    return ends[1];
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

/* Reads what the server says to the end. */
static void hear_out(int fd)
{
    struct fuzz_listener heard;
    char bytes[4096];
    ssize_t got;
    fuzz_listener_init(&heard);
    do {
        require(answers(fd));
        got = read(fd, bytes, sizeof(bytes));
        fuzz_listen(&heard, bytes, got > 0 ? (size_t)got : 0);
    } while (got > 0);
    fuzz_listener_fini(&heard);
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
    (void)argc, (void)argv;
    fuzz_server_init();
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
