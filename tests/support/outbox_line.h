/* SPDX-License-Identifier: MIT
 *
 * outbox_line.h - the outbox of one client, with its peer at the other end of a socketpair.
 *
 * Every message gets a number, in the order of sending; its length and text follow from the number.
 * The peer reads everything with ws.c, checks each text to the last byte, and records the numbers:
 * "1 2 3 close:1013:why". A broadcast marked as history is "4h".
 *
 * There are two ways to fill the socket. `narrow` makes its buffer so small that a frame of some
 * thousand bytes is cut in its middle. `choke` fills it, so that a write is refused as a whole (TLS
 * then keeps its first record, and must be offered the same bytes again).
 */
#ifndef OUTBOX_LINE_H
#define OUTBOX_LINE_H

#include "delivery/outbox.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/ssl.h>

#include "server/cert/server_cert.h"
#include "lock_check.h"
#include "tls_files.h"

enum {
    RING = 64 * 1024,
    LARGE_RING = 1024 * 1024,
    QUEUE = 64 * 1024,
    NUMBERS = 4096, /* messages in one test */
    TRANSCRIPT = 8 * NUMBERS,
    LEAST = 20,         /* bytes of the shortest text */
    CHOKE = 8000,       /* size of a message that fills a narrow socket */
    TLS_RECORD = 16384, /* RFC 8446 §5.1: the largest content of a record */
    TEST_TIMEOUT_MS = 60000,
};

#define HISTORY_MARK ",\"h\":1}"

#define SLOW_LAG "close:1013:too slow: more than half the room's buffer behind "

#define SLOW_QUEUE "close:1013:too slow: too many messages wait "

/* ---- A line: an outbox and its peer ---- */

struct line {
    struct stream stream;
    struct outbox out;
    struct ring ring;
    struct stream peer;
    struct ws_reader reader; /* the peer's */
    bool tls, has_ring, closed;
    int number;           /* of the last message */
    int due;              /* bytes that the peer has sent and the owner has not read */
    size_t lens[NUMBERS]; /* by number: lengths of the messages */
    int opcodes[NUMBERS];
    char said[TRANSCRIPT], heard[TRANSCRIPT];
};

static struct tls_context *server_tls, *client_tls;

/* Whether the calling thread is woken within `ms` milliseconds. */
static inline bool woken(int64_t ms)
{
    int64_t until = net_now() + ms;
    net_wait(-1, 0, until);
    return net_now() < until;
}

static inline void shake_hands(struct line *line)
{
    int server = 0, client = 0;
    for (int i = 0; i < 100 && (server == 0 || client == 0); i++) {
        client = client ? client : stream_handshake(&line->peer);
        server = server ? server : stream_handshake(&line->stream);
    }
    assert_int_equal(server, 1);
    assert_int_equal(client, 1);
}

static inline int open_line(void **state, bool tls)
{
    int fds[2];
    struct line *line = calloc(1, sizeof(*line));
    assert_non_null(line);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    line->tls = tls;
    outbox_init(&line->out, &line->stream, QUEUE);
    assert_int_equal(stream_open(&line->stream, fds[0], tls ? server_tls : NULL), 0);
    assert_int_equal(stream_open(&line->peer, fds[1], tls ? client_tls : NULL), 0);
    ws_reader_init(&line->reader, 1 << 20, false);
    shake_hands(line);
    woken(0); /* clears wake-ups of the test before */
    *state = line;
    return 0;
}

/* Ends the handshakes; the peer reads up to their last byte, and no further. */
static inline int open_for_frames(void **state)
{
    static const char text[] = "HTTP/1.1 101\r\n\r\n";
    struct line *line = *state;
    char read[sizeof(text)] = "";
    struct frame *head = frame_new(-1, text, strlen(text));
    assert_true(outbox_open(&line->out, head));
    outbox_flush(&line->out);
    frame_drop(head);
    assert_int_equal(stream_read(&line->peer, read, strlen(text)), strlen(text));
    assert_string_equal(read, text);
    return 0;
}

static inline int open_plain(void **state)
{
    return open_line(state, false) || open_for_frames(state);
}

static inline int open_tls(void **state)
{
    return open_line(state, true) || open_for_frames(state);
}

/* Frees what still waits, so that AddressSanitizer reports the rest. */
static inline int close_line(void **state)
{
    struct line *line = *state;
    if (line->stream.fd >= 0)
        check_lock_is_free(&line->stream.lock);
    outbox_fini(&line->out);
    stream_close(&line->stream);
    stream_close(&line->peer);
    ws_reader_fini(&line->reader);
    if (line->has_ring)
        ring_fini(&line->ring);
    free(line);
    return 0;
}

static inline void make_ring(struct line *line, size_t size)
{
    assert_int_equal(ring_init(&line->ring, size), 0);
    line->has_ring = true;
}

static inline void enter(struct line *line, struct ring_start start)
{
    outbox_attach(&line->out, &line->ring, &start, HISTORY_MARK);
}

/* Makes a ring and joins it at its empty start. */
static inline void enter_new_ring(struct line *line, size_t size)
{
    make_ring(line, size);
    enter(line, ring_start(&line->ring, 1, 0, 0));
}

/* Overwrites the ring with zeros and frees it, as the end of a room would. */
static inline void lose_ring(struct line *line)
{
    memset(line->ring.bytes, 0, line->ring.size);
    ring_fini(&line->ring);
    line->has_ring = false;
}

static inline void set_send_buffer(struct line *line, int bytes)
{
    int fd = line->stream.fd;
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes)), 0);
}

static inline void narrow(struct line *line)
{
    set_send_buffer(line, 1); /* the system makes it some thousand bytes */
}

/* ---- Sending ---- */

/* Makes a JSON object of `len` bytes from its number. The caller frees it. */
static inline char *text_of(int number, size_t len)
{
    char *text = malloc(len + 1);
    assert_non_null(text);
    assert_true(len >= LEAST);
    size_t at = (size_t)snprintf(text, len, "{\"n\":%d,\"t\":\"", number);
    for (; at < len - 2; at++)
        text[at] = (char)('a' + ((size_t)number * 7 + at + at / 26) % 26);
    memcpy(text + len - 2, "\"}", 3);
    return text;
}

static inline void write_down(char *transcript, const char *word)
{
    size_t len = strlen(transcript);
    assert_true(len + strlen(word) + 2 < TRANSCRIPT);
    snprintf(transcript + len, TRANSCRIPT - len, "%s ", word);
}

static inline int give_number(struct line *line, int opcode, size_t len)
{
    char word[16];
    int number = ++line->number;
    assert_true(number < NUMBERS);
    line->lens[number] = len;
    line->opcodes[number] = opcode;
    snprintf(word, sizeof(word), "%d", number);
    write_down(line->said, word);
    return number;
}

static inline struct frame *make_frame(struct line *line, int opcode, size_t len)
{
    char *text = text_of(give_number(line, opcode, len), len);
    struct frame *frame = frame_new(opcode, text, len);
    assert_non_null(frame);
    free(text);
    return frame;
}

/* Appends a broadcast with a text of `len` bytes to the ring. */
static inline void broadcast(struct line *line, size_t len)
{
    struct frame *frame = make_frame(line, WS_TEXT, len);
    struct iovec part = {frame->bytes, frame->len};
    ring_lock(&line->ring);
    bool appended = ring_append_locked(&line->ring, &part, 1);
    ring_unlock(&line->ring);
    assert_true(appended);
    frame_drop(frame);
}

static inline void post(struct line *line, enum outbox_kind kind, size_t len)
{
    int opcode = kind == OUTBOX_PING ? WS_PING : kind == OUTBOX_PONG ? WS_PONG : WS_TEXT;
    struct frame *frame = make_frame(line, opcode, len);
    outbox_post(&line->out, kind, frame);
    frame_drop(frame);
}

static inline bool deliver(struct line *line, size_t len)
{
    struct frame *frame = make_frame(line, WS_TEXT, len);
    outbox_lock(&line->out, NULL);
    bool accepted = outbox_send_unlock(&line->out, frame, NULL, NULL);
    frame_drop(frame);
    return accepted;
}

/* One fan-out round of a room with one member. */
static inline uint64_t pump(struct line *line)
{
    uint64_t position = outbox_send_from_ring(&line->out);
    ring_set_floor(&line->ring, position == UINT64_MAX ? ring_end(&line->ring) : position);
    return position;
}

/* Fills the socket with one message, which is sent completely; nothing more is sent until the peer
 * reads. */
static inline void choke(struct line *line)
{
    post(line, OUTBOX_MESSAGE, CHOKE);
    outbox_flush(&line->out);
    assert_int_equal(outbox_state(&line->out).events, 0);
    narrow(line);
}

/* ---- Receiving ---- */

/* Checks a text, ping or pong against the message of its number. */
static inline void hear_said(struct line *line, const struct ws_event *event)
{
    static const char mark[] = HISTORY_MARK;
    size_t len = event->len, mark_len = strlen(mark);
    char word[16], *said;
    assert_true(len >= LEAST);
    int number = (int)strtol((const char *)event->payload + strlen("{\"n\":"), NULL, 10);
    assert_in_range(number, 1, line->number);
    bool marked = len > mark_len && memcmp(event->payload + len - mark_len, mark, mark_len) == 0;
    if (marked)
        len = len - mark_len + 1;
    assert_int_equal(event->opcode, line->opcodes[number]);
    assert_int_equal(len, line->lens[number]);
    said = text_of(number, len);
    assert_memory_equal(event->payload, said, len - 1);
    assert_int_equal(event->payload[event->len - 1], '}');
    free(said);
    snprintf(word, sizeof(word), marked ? "%dh" : "%d", number);
    write_down(line->heard, word);
}

/* RFC 6455 §5.5.1: nothing comes after a Close frame. */
static inline void hear_close(struct line *line, const struct ws_event *event)
{
    char word[WS_CLOSE_MAX + 16];
    unsigned char *bytes;
    snprintf(word, sizeof(word), "close:%d:%.*s", event->code, (int)event->len,
             (const char *)event->payload);
    write_down(line->heard, word);
    line->closed = true;
    assert_int_equal(ws_peek(&line->reader, &bytes), 0);
}

static inline void hear_events(struct line *line)
{
    struct ws_event event;
    int found;
    while (!line->closed && (found = ws_next(&line->reader, &event)) != 0) {
        assert_int_equal(found, 1);
        if (event.opcode == WS_CLOSE)
            hear_close(line, &event);
        else
            hear_said(line, &event);
    }
}

/* Reads at most `most` bytes of received data. Returns how many. */
static inline size_t hear_some(struct line *line, size_t most)
{
    size_t total = 0;
    while (total < most) {
        unsigned char *space;
        size_t len = ws_reserve(&line->reader, &space);
        assert_true(len > 0);
        ssize_t n = stream_read(&line->peer, space, len < most - total ? len : most - total);
        if (n <= 0)
            break;
        assert_false(line->closed);
        ws_commit(&line->reader, (size_t)n);
        total += (size_t)n;
        hear_events(line);
    }
    return total;
}

/* The owner reads the bytes that the peer has sent. Bytes that it cannot get yet, because TLS must
 * write first, are read later. */
static inline void take_bytes(struct line *line)
{
    char byte;
    while (line->due > 0 && stream_read(&line->stream, &byte, 1) == 1)
        line->due--;
    assert_true(line->due == 0 || errno == EAGAIN);
}

/* Peer and owner take turns until everything is sent and read. */
static inline void drain(struct line *line)
{
    int rounds = 0;
    while (hear_some(line, SIZE_MAX) > 0 || outbox_state(&line->out).events || line->due) {
        assert_in_range(rounds++, 0, 10000);
        outbox_flush(&line->out);
        take_bytes(line);
    }
}

/* Sends and reads everything, and compares the record. */
static inline void check_heard(struct line *line, const char *expected)
{
    outbox_flush(&line->out);
    drain(line);
    assert_string_equal(line->heard, expected);
    assert_false(line->reader.in_frame);
}

/* The same, if the result depends on whether TLS kept a record. */
static inline void check_heard_either(struct line *line, const char *plain, const char *tls)
{
    check_heard(line, line->tls ? tls : plain);
}

/* ---- Too slow: behind ---- */

/* Appends messages until `lag` bytes wait after `position`. */
static inline void fall_behind(struct line *line, uint64_t position, size_t lag)
{
    enum { FRAME = 1004, HEAD = 4 };
    uint64_t until = position + lag;
    while (ring_end(&line->ring) + 2 * FRAME <= until)
        broadcast(line, FRAME - HEAD);
    broadcast(line, (size_t)(until - ring_end(&line->ring)) - HEAD);
    assert_int_equal(ring_end(&line->ring), until);
}

static inline void check_closed_for(struct line *line, size_t lag)
{
    struct outbox_state state = outbox_state(&line->out);
    assert_true(state.too_slow);
    assert_true(state.closing);
    assert_false(state.broken);
    assert_int_equal(line->out.lag, lag);
    assert_true(woken(TEST_TIMEOUT_MS));
}

/* ---- Too slow: too much waits ---- */

/* Two frames of half the queue each fill it to the byte. Returns the sum of the frames. */
static inline size_t fill_queue(struct line *line)
{
    post(line, OUTBOX_MESSAGE, QUEUE / 2 - 4);
    post(line, OUTBOX_MESSAGE, QUEUE / 2 - 4);
    assert_false(outbox_state(&line->out).closing);
    return QUEUE;
}

/* ---- All of them ---- */

/* Makes a certificate as the server does on its first start, uses it once and removes it. */
static inline int make_tls(void **state)
{
    (void)state;
    static const char *const made[] = {"cert.pem", "key.pem", "ragnarok-ca.crt", "ragnarok-ca.pem"};
    char folder[] = "/tmp/test_outbox.XXXXXX", cert_path[64], key_path[64], host[] = "127.0.0.1";
    char path[64], error[CONFIG_ERROR_MAX];
    struct server_cert cert;
    net_wake_init();
    if (!mkdtemp(folder))
        return -1;
    snprintf(cert_path, sizeof(cert_path), "%s/cert.pem", folder);
    snprintf(key_path, sizeof(key_path), "%s/key.pem", folder);
    struct config config = {
        .SSL = true, .SSL_Cert = cert_path, .SSL_Key = key_path, .server_ip = host};
    if (server_cert_prepare(&config, &cert, error) == 0)
        server_tls = tls_files_open(cert_path, key_path, error);
    client_tls = tls_context_client();
    server_cert_free(&cert);
    for (size_t i = 0; i < sizeof(made) / sizeof(made[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, made[i]);
        unlink(path);
    }
    rmdir(folder);
    return server_tls && client_tls ? 0 : -1;
}

static inline int free_tls(void **state)
{
    (void)state;
    tls_context_free(server_tls);
    tls_context_free(client_tls);
    return 0;
}

#define PLAIN(test)                                                                                \
    {                                                                                              \
#test " (plain)", test, open_plain, close_line, NULL                                       \
    }

#define TLS(test)                                                                                  \
    {                                                                                              \
#test " (TLS)", test, open_tls, close_line, NULL                                           \
    }

#define BOTH(test) PLAIN(test), TLS(test)

#endif
