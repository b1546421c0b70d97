/* SPDX-License-Identifier: MIT
 *
 * test_outbox.c - one client's way out, with its peer at the other end of a socketpair; nearly
 * every test runs plainly and over TLS.
 *
 * Whatever is said gets a number, in the order in which it is said; its length and its text follow
 * from that. The peer reads everything with ws.c, checks each text to the last byte, and writes
 * down the numbers: "1 2 3 close:1013:why". A broadcast marked as history is "4h".
 *
 * Two ways to make the socket take no more: `narrow` makes its buffer so small that a frame of
 * some thousand bytes is cut in its middle; `choke` fills it, so that a write is refused as a whole
 * (TLS then holds its first record, and has to be offered the same bytes again).
 */
#include "outbox.h"

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

#include "cert.h"
#include "json_msg.h"

enum {
    RING = 64 * 1024,
    LARGE_RING = 1024 * 1024,
    QUEUE = 64 * 1024,
    NUMBERS = 4096, /* things said in one test */
    TRANSCRIPT = 8 * NUMBERS,
    LEAST = 20,         /* bytes of the shortest text */
    CHOKE = 8000,       /* bytes that fill a narrow socket, in one message */
    TLS_RECORD = 16384, /* RFC 8446 §5.1: the most that one record holds */
    PATIENCE_MS = 60000,
};

#define SLOW_LAG   "close:1013:too slow: more than half the room's buffer behind "
#define SLOW_QUEUE "close:1013:too slow: too many messages wait "

/* ---- A line: an outbox and its peer ----------------------------------------------------------- */

struct line {
    struct outbox out;
    struct ring ring;
    struct net_stream peer;
    struct ws_reader reader; /* of the peer */
    bool tls, has_ring, closed;
    int number;           /* of what was said last */
    int due;              /* bytes that the peer has sent and the owner has not read */
    size_t lens[NUMBERS]; /* by number: what was said */
    int opcodes[NUMBERS];
    char said[TRANSCRIPT], heard[TRANSCRIPT];
};

static struct net_tls *server_tls, *client_tls;

/* Whether the calling thread is woken within so many milliseconds. */
static bool woken(int64_t ms)
{
    int64_t until = net_now() + ms;
    net_wait(-1, 0, until);
    return net_now() < until;
}

static void shake_hands(struct line *line)
{
    int server = 0, client = 0;
    for (int i = 0; i < 100 && (server == 0 || client == 0); i++) {
        client = client ? client : net_handshake(&line->peer);
        server = server ? server : net_handshake(&line->out.stream);
    }
    assert_int_equal(server, 1);
    assert_int_equal(client, 1);
}

static int open_line(void **state, bool tls)
{
    int fds[2];
    struct line *line = calloc(1, sizeof(*line));
    assert_non_null(line);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    line->tls = tls;
    outbox_init(&line->out, QUEUE);
    assert_int_equal(net_open(&line->out.stream, fds[0], tls ? server_tls : NULL), 0);
    assert_int_equal(net_open(&line->peer, fds[1], tls ? client_tls : NULL), 0);
    ws_reader_init(&line->reader, 1 << 20, false);
    shake_hands(line);
    woken(0); /* what woke the test before this one */
    *state = line;
    return 0;
}

/* Sends what ends the handshakes; the peer reads it to the last byte, and no further. */
static int open_for_frames(void **state)
{
    static const char text[] = "HTTP/1.1 101\r\n\r\n";
    struct line *line = *state;
    char read[sizeof(text)] = "";
    struct frame *head = frame_new(-1, text, strlen(text));
    assert_true(outbox_open(&line->out, head));
    frame_drop(head);
    assert_int_equal(net_read(&line->peer, read, strlen(text)), strlen(text));
    assert_string_equal(read, text);
    return 0;
}

static int open_plain(void **state)
{
    return open_line(state, false) || open_for_frames(state);
}

static int open_tls(void **state)
{
    return open_line(state, true) || open_for_frames(state);
}

/* Whatever still waits is freed here: AddressSanitizer sees what is not. */
static int close_line(void **state)
{
    struct line *line = *state;
    outbox_fini(&line->out);
    net_close(&line->peer);
    ws_reader_fini(&line->reader);
    if (line->has_ring)
        ring_fini(&line->ring);
    free(line);
    return 0;
}

static void make_ring(struct line *line, size_t size)
{
    assert_int_equal(ring_init(&line->ring, size), 0);
    line->has_ring = true;
}

static void enter(struct line *line, struct ring_start start)
{
    outbox_attach(&line->out, &line->ring, &start);
}

/* Makes a ring and enters it where nothing was said yet. */
static void enter_new_ring(struct line *line, size_t size)
{
    make_ring(line, size);
    enter(line, ring_start(&line->ring, 1, 0, 0));
}

/* Overwrites the ring with zeros and frees it, as a room's end would. */
static void lose_ring(struct line *line)
{
    memset(line->ring.bytes, 0, line->ring.size);
    ring_fini(&line->ring);
    line->has_ring = false;
}

static void set_send_buffer(struct line *line, int bytes)
{
    int fd = line->out.stream.fd;
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes)), 0);
}

static void narrow(struct line *line)
{
    set_send_buffer(line, 1); /* the system makes some thousand of it */
}

/* ---- Saying ----------------------------------------------------------------------------------- */

/* A JSON object of `len` bytes that follows from its number. The caller frees it. */
static char *text_of(int number, size_t len)
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

static void write_down(char *transcript, const char *word)
{
    size_t len = strlen(transcript);
    assert_true(len + strlen(word) + 2 < TRANSCRIPT);
    snprintf(transcript + len, TRANSCRIPT - len, "%s ", word);
}

static int give_number(struct line *line, int opcode, size_t len)
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

static struct frame *make_frame(struct line *line, int opcode, size_t len)
{
    char *text = text_of(give_number(line, opcode, len), len);
    struct frame *frame = frame_new(opcode, text, len);
    assert_non_null(frame);
    free(text);
    return frame;
}

/* Appends a broadcast with a text of `len` bytes to the ring. */
static void broadcast(struct line *line, size_t len)
{
    struct frame *frame = make_frame(line, WS_TEXT, len);
    struct iovec part = {frame->bytes, frame->len};
    ring_lock(&line->ring);
    bool appended = ring_append_locked(&line->ring, &part, 1);
    ring_unlock(&line->ring);
    assert_true(appended);
    frame_drop(frame);
}

static void post(struct line *line, enum outbox_kind kind, size_t len)
{
    int opcode = kind == OUTBOX_PING ? WS_PING : kind == OUTBOX_PONG ? WS_PONG : WS_TEXT;
    struct frame *frame = make_frame(line, opcode, len);
    outbox_post(&line->out, kind, frame);
    frame_drop(frame);
}

static bool deliver(struct line *line, size_t len)
{
    struct frame *frame = make_frame(line, WS_TEXT, len);
    outbox_hold(&line->out);
    bool accepted = outbox_deliver(&line->out, frame);
    frame_drop(frame);
    return accepted;
}

/* One round of a room with one member. */
static uint64_t pump(struct line *line)
{
    uint64_t position = outbox_pump(&line->out);
    ring_set_floor(&line->ring, position == UINT64_MAX ? ring_end(&line->ring) : position);
    return position;
}

/* Fills the socket with one message, which leaves wholly; nothing else does until the peer reads. */
static void choke(struct line *line)
{
    post(line, OUTBOX_MESSAGE, CHOKE);
    outbox_flush(&line->out);
    assert_int_equal(outbox_state(&line->out).events, 0);
    narrow(line);
}

/* ---- Hearing ---------------------------------------------------------------------------------- */

/* Checks a text, ping or pong against what was said under its number. */
static void hear_said(struct line *line, const struct ws_event *event)
{
    static const char mark[] = JSON_HISTORY_END;
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
static void hear_close(struct line *line, const struct ws_event *event)
{
    char word[WS_CLOSE_MAX + 16];
    unsigned char *bytes;
    snprintf(word, sizeof(word), "close:%d:%.*s", event->code, (int)event->len,
             (const char *)event->payload);
    write_down(line->heard, word);
    line->closed = true;
    assert_int_equal(ws_peek(&line->reader, &bytes), 0);
}

static void hear_events(struct line *line)
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

/* Reads up to `most` bytes of what has arrived. Returns how many there were. */
static size_t hear_some(struct line *line, size_t most)
{
    size_t total = 0;
    while (total < most) {
        unsigned char *space;
        size_t len = ws_space(&line->reader, &space);
        assert_true(len > 0);
        ssize_t n = net_read(&line->peer, space, len < most - total ? len : most - total);
        if (n <= 0)
            break;
        assert_false(line->closed);
        ws_fed(&line->reader, (size_t)n);
        total += (size_t)n;
        hear_events(line);
    }
    return total;
}

/* The owner reads what the peer has said. What it cannot get yet, because TLS has to write first,
 * stays due. */
static void take_bytes(struct line *line)
{
    char byte;
    bool drained;
    while (line->due > 0 && outbox_read(&line->out, &byte, 1, &drained) == 1)
        line->due--;
    assert_true(line->due == 0 || errno == EAGAIN);
}

/* Peer and owner take turns until all is sent and read. */
static void drain(struct line *line)
{
    int rounds = 0;
    while (hear_some(line, SIZE_MAX) > 0 || outbox_state(&line->out).events || line->due) {
        assert_in_range(rounds++, 0, 10000);
        outbox_flush(&line->out);
        take_bytes(line);
    }
}

/* Sends and reads everything; it must be this. */
static void check_heard(struct line *line, const char *expected)
{
    outbox_flush(&line->out);
    drain(line);
    assert_string_equal(line->heard, expected);
    assert_false(line->reader.in_frame);
}

/* The same where it depends on whether TLS held on to something. */
static void check_heard_either(struct line *line, const char *plain, const char *tls)
{
    check_heard(line, line->tls ? tls : plain);
}

/* Everything heard so far is what was said first, and then comes this Close frame. */
static void check_cut(struct line *line, const char *close)
{
    char *at = strstr(line->heard, "close:");
    assert_non_null(at);
    assert_string_equal(at, close);
    assert_memory_equal(line->heard, line->said, (size_t)(at - line->heard));
}

/* ---- Frames ----------------------------------------------------------------------------------- */

static void test_frame_of_a_payload_and_of_bytes(void **state)
{
    (void)state;
    struct frame *text = frame_new(WS_TEXT, "hello", 5), *bytes = frame_new(-1, "hello", 5);
    struct frame *empty = frame_new(WS_PING, "", 0);
    assert_int_equal(text->len, 7);
    assert_memory_equal(text->bytes, "\x81\x05hello", 7);
    assert_int_equal(bytes->len, 5);
    assert_memory_equal(bytes->bytes, "hello", 5);
    assert_int_equal(empty->len, 2);
    assert_memory_equal(empty->bytes, "\x89\x00", 2);
    frame_drop(text);
    frame_drop(bytes);
    frame_drop(empty);
    frame_drop(NULL);
}

static void test_queue_borrows_and_gives_back(void **state)
{
    struct line *line = *state;
    struct frame *frame = make_frame(line, WS_TEXT, 100);
    outbox_post(&line->out, OUTBOX_MESSAGE, frame);
    outbox_post(&line->out, OUTBOX_MESSAGE, frame);
    outbox_post(&line->out, OUTBOX_PRESENCE, frame);
    assert_int_equal(frame->references, 4);
    post(line, OUTBOX_PRESENCE, 100);
    assert_int_equal(frame->references, 3);
    check_heard(line, "1 1 2 ");
    assert_int_equal(frame->references, 1);
    frame_drop(frame);
}

static void test_what_waits_is_freed_with_the_outbox(void **state)
{
    struct line *line = *state;
    bool tls = line->tls;
    choke(line);
    struct frame *frame = make_frame(line, WS_TEXT, 100);
    outbox_post(&line->out, OUTBOX_MESSAGE, frame);
    outbox_flush(&line->out); /* on its way */
    outbox_post(&line->out, OUTBOX_MESSAGE, frame);
    outbox_post(&line->out, OUTBOX_PONG, frame);
    assert_int_equal(frame->references, 4);
    close_line(state);
    assert_int_equal(frame->references, 1);
    frame_drop(frame);
    tls ? open_tls(state) : open_plain(state);
}

/* ---- The order between ring and queue --------------------------------------------------------- */

static void test_queued_frames_leave_at_their_place(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, RING);
    broadcast(line, 100);
    post(line, OUTBOX_MESSAGE, 100);
    broadcast(line, 100);
    broadcast(line, 100);
    post(line, OUTBOX_MESSAGE, 100);
    post(line, OUTBOX_PRESENCE, 100);
    post(line, OUTBOX_PONG, 100);
    broadcast(line, 100);
    check_heard(line, "1 2 3 4 5 6 7 8 ");
}

static void test_order_holds_while_the_socket_is_full(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, RING);
    choke(line);
    broadcast(line, 100);
    pump(line); /* refused: what follows must not be put before it */
    assert_true(deliver(line, 100));
    broadcast(line, 100);
    pump(line);
    assert_true(deliver(line, 100));
    assert_true(deliver(line, 100));
    broadcast(line, 100);
    pump(line);
    check_heard(line, "1 2 3 4 5 6 7 ");
}

static void test_queued_frame_refused_then_broadcasts(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, RING);
    choke(line);
    assert_true(deliver(line, 100));
    broadcast(line, 100);
    pump(line);
    assert_true(deliver(line, 100));
    check_heard(line, "1 2 3 4 ");
}

static void test_delivery_is_sent_at_once(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, RING);
    broadcast(line, 100);
    assert_true(deliver(line, 100));
    hear_some(line, SIZE_MAX);
    assert_string_equal(line->heard, "1 2 ");
}

/* ---- Of some only the newest counts ----------------------------------------------------------- */

static void check_newest_counts(struct line *line, enum outbox_kind kind)
{
    enter_new_ring(line, RING);
    post(line, kind, 100);
    broadcast(line, 100);
    post(line, kind, 90);
    post(line, OUTBOX_MESSAGE, 100);
    broadcast(line, 100);
    post(line, kind, 110);
    check_heard(line, "6 2 4 5 ");
    post(line, kind, 100); /* nothing waits any more that it could replace */
    check_heard(line, "6 2 4 5 7 ");
}

static void test_presence_is_replaced_while_it_waits(void **state)
{
    check_newest_counts(*state, OUTBOX_PRESENCE);
}

static void test_pong_is_replaced_while_it_waits(void **state)
{
    check_newest_counts(*state, OUTBOX_PONG);
}

static void test_ping_is_replaced_while_it_waits(void **state)
{
    check_newest_counts(*state, OUTBOX_PING);
}

static void test_each_kind_replaces_its_own(void **state)
{
    struct line *line = *state;
    post(line, OUTBOX_MESSAGE, 100);
    post(line, OUTBOX_PRESENCE, 100);
    post(line, OUTBOX_PONG, 100);
    post(line, OUTBOX_MESSAGE, 100);
    post(line, OUTBOX_PONG, 90);
    post(line, OUTBOX_PRESENCE, 90);
    post(line, OUTBOX_PING, 100);
    check_heard(line, "1 6 5 4 7 ");
}

static void test_what_was_begun_is_not_replaced(void **state)
{
    struct line *line = *state;
    narrow(line);
    post(line, OUTBOX_PRESENCE, 40000);
    outbox_flush(&line->out);
    hear_some(line, 1000);
    post(line, OUTBOX_PRESENCE, 40000);
    post(line, OUTBOX_PRESENCE, 30000);
    check_heard(line, "1 3 ");
}

static void test_what_tls_holds_is_not_replaced(void **state)
{
    struct line *line = *state;
    choke(line);
    post(line, OUTBOX_PONG, 100);
    outbox_flush(&line->out);
    assert_int_equal(outbox_state(&line->out).events, POLLOUT);
    post(line, OUTBOX_PONG, 100);
    post(line, OUTBOX_PONG, 90);
    check_heard_either(line, "1 4 ", "1 2 4 ");
}

/* What TLS holds is of the ring: the first that waits in the queue may be replaced. */
static void test_first_of_the_queue_is_replaced_behind_the_ring(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, RING);
    choke(line);
    broadcast(line, 100);
    pump(line);
    post(line, OUTBOX_PONG, 100);
    post(line, OUTBOX_PONG, 90);
    check_heard(line, "1 2 4 ");
}

/* ---- History ---------------------------------------------------------------------------------- */

/* With the mark, some of these need a longer head than without it. */
static void test_history_is_marked_and_live_is_not(void **state)
{
    static const size_t lens[] = {20,  109, 110, 111,   112,   125,   126,
                                  127, 128, 129, 65519, 65520, 65521, 65536};
    struct line *line = *state;
    make_ring(line, LARGE_RING);
    for (size_t i = 0; i < sizeof(lens) / sizeof *lens; i++)
        broadcast(line, lens[i]);
    post(line, OUTBOX_MESSAGE, 100); /* the welcome */
    enter(line, ring_start(&line->ring, 1, UINT64_MAX, LARGE_RING));
    broadcast(line, 100);
    post(line, OUTBOX_MESSAGE, 100);
    broadcast(line, 100);
    check_heard(line, "15 1h 2h 3h 4h 5h 6h 7h 8h 9h 10h 11h 12h 13h 14h 16 17 18 ");
}

/* The first list of who is online ends history, even if somebody has spoken since. */
static void test_presence_comes_between_history_and_live(void **state)
{
    struct line *line = *state;
    make_ring(line, RING);
    broadcast(line, 100);
    enter(line, ring_start(&line->ring, 1, UINT64_MAX, RING));
    broadcast(line, 100);
    post(line, OUTBOX_PRESENCE, 100);
    post(line, OUTBOX_PONG, 100);
    broadcast(line, 100);
    check_heard(line, "1h 3 2 4 5 ");
    broadcast(line, 100);
    post(line, OUTBOX_PRESENCE, 100); /* a later one waits for what was said before it */
    check_heard(line, "1h 3 2 4 5 6 7 ");
}

/* It must not come between what TLS holds and the same bytes offered again. */
static void test_presence_waits_for_what_tls_holds(void **state)
{
    struct line *line = *state;
    make_ring(line, RING);
    broadcast(line, 100);
    enter(line, ring_start(&line->ring, 1, UINT64_MAX, RING));
    pump(line);
    choke(line);
    broadcast(line, 100);
    pump(line);
    post(line, OUTBOX_PRESENCE, 100);
    broadcast(line, 100);
    check_heard_either(line, "1h 2 4 3 5 ", "1h 2 3 4 5 ");
}

static void test_history_through_a_narrow_socket(void **state)
{
    struct line *line = *state;
    make_ring(line, LARGE_RING);
    narrow(line);
    for (int i = 0; i < 6; i++)
        broadcast(line, 40000);
    enter(line, ring_start(&line->ring, 3, UINT64_MAX, LARGE_RING));
    assert_int_not_equal(pump(line), UINT64_MAX);
    broadcast(line, 20000);
    assert_true(deliver(line, 20000));
    broadcast(line, 20000);
    assert_int_not_equal(pump(line), UINT64_MAX);
    check_heard(line, "3h 4h 5h 6h 7 8 9 ");
}

/* History comes from the ring piece by piece: the queue is as long as before. */
static void test_history_is_not_counted(void **state)
{
    struct line *line = *state;
    make_ring(line, LARGE_RING);
    narrow(line);
    for (int i = 0; i < 10; i++)
        broadcast(line, 10000);
    enter(line, ring_start(&line->ring, 1, UINT64_MAX, LARGE_RING));
    pump(line);
    post(line, OUTBOX_PRESENCE, 100);
    assert_true(deliver(line, 30000));
    assert_true(deliver(line, 30000));
    check_heard(line, "1h 2h 3h 4h 5h 6h 7h 8h 9h 10h 11 12 13 ");
}

static void test_no_history_where_none_was_asked_for(void **state)
{
    struct line *line = *state;
    make_ring(line, RING);
    broadcast(line, 100);
    enter(line, ring_start(&line->ring, 1, 0, RING));
    broadcast(line, 100);
    check_heard(line, "2 ");
}

/* Presence waits behind a history frame that is on its way, and is replaced there. */
static void test_presence_is_replaced_behind_history(void **state)
{
    struct line *line = *state;
    make_ring(line, RING);
    broadcast(line, 10000);
    broadcast(line, 10000);
    narrow(line);
    enter(line, ring_start(&line->ring, 1, UINT64_MAX, RING));
    post(line, OUTBOX_PRESENCE, 100);
    pump(line);
    post(line, OUTBOX_PRESENCE, 90);
    check_heard(line, "1h 2h 4 ");
}

/* ---- A socket that takes no more -------------------------------------------------------------- */

static void test_blocked_is_passed_by_until_the_owner_goes_on(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, RING);
    choke(line);
    broadcast(line, 100);
    uint64_t position = pump(line);
    assert_int_equal(position, 0);
    assert_int_equal(outbox_state(&line->out).events, POLLOUT);
    hear_some(line, SIZE_MAX); /* there is room again, but it is the owner's turn */
    assert_int_equal(pump(line), position);
    assert_true(deliver(line, 100));
    hear_some(line, SIZE_MAX);
    assert_string_equal(line->heard, "1 ");
    outbox_flush(&line->out);
    assert_int_equal(outbox_state(&line->out).events, 0);
    assert_int_equal(pump(line), ring_end(&line->ring));
    check_heard(line, "1 2 3 ");
}

static void *pump_elsewhere(void *argument)
{
    pump(argument);
    return NULL;
}

static void test_owner_is_woken_when_another_is_refused(void **state)
{
    struct line *line = *state;
    pthread_t other;
    enter_new_ring(line, RING);
    choke(line);
    broadcast(line, 100);
    assert_int_equal(pthread_create(&other, NULL, pump_elsewhere, line), 0);
    pthread_join(other, NULL);
    assert_int_equal(outbox_state(&line->out).events, POLLOUT);
    assert_true(woken(PATIENCE_MS));
    outbox_flush(&line->out); /* refused again, and the owner knows it */
    assert_int_equal(outbox_state(&line->out).events, POLLOUT);
    assert_false(woken(20));
    check_heard(line, "1 2 ");
}

static void test_many_frames_through_a_narrow_socket(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, RING);
    narrow(line);
    for (size_t i = 0; i < 300; i++) {
        broadcast(line, 20 + i * 13 % 400);
        if (i % 3 == 0)
            assert_true(deliver(line, 20 + i * 7 % 300));
        if (i % 20 == 0)
            drain(line);
        assert_int_not_equal(pump(line), UINT64_MAX);
    }
    check_heard(line, line->said);
}

static void test_read_says_what_is_there(void **state)
{
    struct line *line = *state;
    char bytes[8];
    bool drained = false;
    errno = 0;
    assert_int_equal(outbox_read(&line->out, bytes, sizeof(bytes), &drained), -1);
    assert_int_equal(errno, EAGAIN);
    assert_true(drained);
    assert_int_equal(net_write(&line->peer, "0123456789", 10), 10);
    assert_int_equal(outbox_read(&line->out, bytes, sizeof(bytes), &drained), 8);
    assert_memory_equal(bytes, "01234567", 8);
    assert_false(drained);
    assert_int_equal(outbox_read(&line->out, bytes, sizeof(bytes), &drained), 2);
    assert_memory_equal(bytes, "89", 2);
    assert_true(drained);
    net_finish(&line->peer);
    assert_int_equal(outbox_read(&line->out, bytes, sizeof(bytes), &drained), 0);
}

/* ---- Too slow: behind ------------------------------------------------------------------------- */

/* Appends so much that `lag` bytes wait behind `position`. */
static void fall_behind(struct line *line, uint64_t position, size_t lag)
{
    enum { FRAME = 1004, HEAD = 4 };
    uint64_t until = position + lag;
    while (ring_end(&line->ring) + 2 * FRAME <= until)
        broadcast(line, FRAME - HEAD);
    broadcast(line, (size_t)(until - ring_end(&line->ring)) - HEAD);
    assert_int_equal(ring_end(&line->ring), until);
}

static void check_closed_for(struct line *line, size_t lag)
{
    struct outbox_state state = outbox_state(&line->out);
    assert_true(state.too_slow);
    assert_true(state.closing);
    assert_false(state.broken);
    assert_int_equal(line->out.lag, lag);
    assert_true(woken(PATIENCE_MS));
}

/* TLS still finishes its first record, and the frame in which that ends: the 17th of 1004 bytes. */
static void test_more_than_half_the_ring_behind(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, RING);
    choke(line);
    fall_behind(line, 0, RING / 2);
    assert_int_equal(pump(line), 0);
    assert_false(outbox_state(&line->out).too_slow);
    broadcast(line, 20);
    assert_int_equal(pump(line), UINT64_MAX);
    check_closed_for(line, RING / 2 + 22);
    for (int i = 0; i < 200; i++) { /* nobody waits for it: all it might read is overwritten */
        ring_set_floor(&line->ring, ring_end(&line->ring));
        broadcast(line, 1000);
    }
    assert_int_equal(pump(line), UINT64_MAX);
    assert_false(deliver(line, 100));
    check_heard_either(line, "1 " SLOW_LAG,
                       "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 " SLOW_LAG);
}

/* What was offered lay on both sides of the ring's end. */
static void test_behind_while_tls_holds_bytes_at_the_rings_end(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, RING);
    broadcast(line, RING - 1000);
    pump(line);
    drain(line);
    assert_int_equal(pump(line), ring_end(&line->ring));
    choke(line);
    fall_behind(line, ring_end(&line->ring), RING / 2);
    assert_int_not_equal(pump(line), UINT64_MAX);
    broadcast(line, 20);
    assert_int_equal(pump(line), UINT64_MAX);
    lose_ring(line);
    check_heard_either(line, "1 2 " SLOW_LAG, "1 2 3 " SLOW_LAG);
}

static void test_behind_in_the_middle_of_a_frame(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, RING);
    narrow(line);
    broadcast(line, 1500);
    broadcast(line, 1000);
    broadcast(line, 15000); /* in its middle the socket is full */
    assert_int_not_equal(pump(line), UINT64_MAX);
    hear_some(line, 3000);
    broadcast(line, 25000);
    assert_int_equal(pump(line), UINT64_MAX);
    check_closed_for(line, line->out.lag);
    lose_ring(line);
    check_heard(line, "1 2 3 " SLOW_LAG);
}

static void test_behind_in_the_middle_of_a_queued_frame(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, RING);
    narrow(line);
    assert_true(deliver(line, 20000));
    assert_true(deliver(line, 100));
    fall_behind(line, 0, RING / 2 + 1);
    assert_int_equal(pump(line), UINT64_MAX);
    lose_ring(line);
    check_heard(line, "1 " SLOW_LAG);
}

/* A newcomer starts far behind; it may be so as long as it reads history. What it gets of that at
 * once is 64 KB and the rest of a frame, here three frames; they still leave. */
static void test_history_may_be_seven_eighths_behind(void **state)
{
    enum { FRAME = 30004, HEAD = 4 };
    struct line *line = *state;
    make_ring(line, LARGE_RING);
    choke(line);
    while (ring_end(&line->ring) + FRAME <= LARGE_RING / 4 * 3)
        broadcast(line, FRAME - HEAD);
    enter(line, ring_start(&line->ring, 1, UINT64_MAX, LARGE_RING / 4 * 3));
    uint64_t position = pump(line);
    assert_int_equal(position, 3 * FRAME);
    fall_behind(line, position, LARGE_RING / 8 * 7);
    assert_int_equal(pump(line), position);
    broadcast(line, 20);
    assert_int_equal(pump(line), UINT64_MAX);
    check_closed_for(line, LARGE_RING / 8 * 7 + 22);
    lose_ring(line);
    check_heard(line, "1 2h 3h 4h " SLOW_LAG);
}

/* ---- Too slow: too much waits ----------------------------------------------------------------- */

/* Two frames of half the queue each: it is full, to the byte. Returns the frames' sum. */
static size_t fill_queue(struct line *line)
{
    post(line, OUTBOX_MESSAGE, QUEUE / 2 - 4);
    post(line, OUTBOX_MESSAGE, QUEUE / 2 - 4);
    assert_false(outbox_state(&line->out).closing);
    return QUEUE;
}

static void test_queue_overflows(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, RING);
    choke(line);
    size_t queued = fill_queue(line);
    assert_false(deliver(line, 20));
    check_closed_for(line, queued + 22);
    assert_int_equal(pump(line), UINT64_MAX);
    broadcast(line, 100);
    lose_ring(line);
    check_heard(line, "1 " SLOW_QUEUE);
}

static void test_queue_overflows_behind_a_frame_that_was_begun(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, RING);
    narrow(line);
    fill_queue(line);
    outbox_flush(&line->out);
    post(line, OUTBOX_MESSAGE, 20);
    check_closed_for(line, QUEUE + 22);
    lose_ring(line);
    check_heard(line, "1 " SLOW_QUEUE);
}

static void test_queue_overflows_in_the_middle_of_a_broadcast(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, RING);
    narrow(line);
    broadcast(line, 20000);
    pump(line);
    fill_queue(line);
    post(line, OUTBOX_MESSAGE, 20);
    check_closed_for(line, QUEUE + 22);
    lose_ring(line);
    check_heard(line, "1 " SLOW_QUEUE);
}

static void test_queue_overflows_before_any_room(void **state)
{
    struct line *line = *state;
    choke(line);
    fill_queue(line);
    outbox_flush(&line->out);
    assert_false(deliver(line, 20));
    check_heard_either(line, "1 " SLOW_QUEUE, "1 2 " SLOW_QUEUE);
}

/* What replaces its like cannot grow, so it does not count. */
static void test_presence_and_pongs_are_not_counted(void **state)
{
    struct line *line = *state;
    choke(line);
    post(line, OUTBOX_PRESENCE, 2 * QUEUE);
    post(line, OUTBOX_PONG, 100);
    fill_queue(line);
    post(line, OUTBOX_PRESENCE, 3 * QUEUE);
    check_heard(line, "1 6 3 4 5 ");
    fill_queue(line); /* what has left is not counted any more */
    check_heard(line, "1 6 3 4 5 7 8 ");
}

/* ---- Closing in order ------------------------------------------------------------------------- */

static void test_close_comes_after_all_that_was_said(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, RING);
    choke(line);
    broadcast(line, 5000);
    pump(line);
    post(line, OUTBOX_MESSAGE, 5000);
    broadcast(line, 5000);
    outbox_close(&line->out, WS_CODE_GOING_AWAY, "bye");
    outbox_close(&line->out, WS_CODE_POLICY, "later"); /* the first one's code wins */
    assert_true(outbox_state(&line->out).closing);
    assert_false(outbox_state(&line->out).too_slow);
    assert_true(woken(PATIENCE_MS));
    broadcast(line, 5000);
    post(line, OUTBOX_MESSAGE, 100);
    post(line, OUTBOX_PRESENCE, 100);
    assert_false(deliver(line, 100));
    assert_int_not_equal(pump(line), UINT64_MAX);
    check_heard(line, "1 2 3 4 close:1001:bye ");
    assert_int_equal(pump(line), UINT64_MAX);
    broadcast(line, 100);
    check_heard(line, "1 2 3 4 close:1001:bye ");
}

/* Then there is no WebSocket yet that a Close frame could be sent on, and there will be none. */
static void check_close_before_the_handshake(struct line *line)
{
    struct frame *head = frame_new(-1, "HTTP", 4);
    outbox_close(&line->out, WS_CODE_GOING_AWAY, "bye");
    assert_true(outbox_state(&line->out).closing);
    assert_true(woken(PATIENCE_MS));
    assert_false(outbox_open(&line->out, head));
    frame_drop(head);
    enter_new_ring(line, RING);
    broadcast(line, 100);
    assert_int_equal(pump(line), UINT64_MAX);
    assert_false(deliver(line, 100));
    check_heard(line, "");
}

static void test_close_before_the_handshake_sends_nothing(void **state)
{
    for (int tls = 0; tls < 2; tls++) {
        void *line;
        open_line(&line, tls);
        check_close_before_the_handshake(line);
        close_line(&line);
    }
    (void)state;
}

static void test_close_is_sent_at_once(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, RING);
    broadcast(line, 100);
    outbox_close(&line->out, WS_CODE_NORMAL, "");
    hear_some(line, SIZE_MAX);
    assert_string_equal(line->heard, "1 close:1000: ");
    assert_int_equal(outbox_state(&line->out).events, 0);
    assert_false(deliver(line, 100));
    assert_int_equal(pump(line), UINT64_MAX);
}

static void test_close_after_history(void **state)
{
    struct line *line = *state;
    make_ring(line, RING);
    broadcast(line, 10000);
    broadcast(line, 10000);
    enter(line, ring_start(&line->ring, 1, UINT64_MAX, RING));
    narrow(line);
    pump(line);
    outbox_close(&line->out, WS_CODE_GOING_AWAY, "bye");
    check_heard(line, "1h 2h close:1001:bye ");
}

/* A Close frame that waits gives way to 1013; one that TLS holds is the one that leaves. */
static void test_too_slow_while_closing(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, RING);
    choke(line);
    outbox_close(&line->out, WS_CODE_GOING_AWAY, "bye");
    fall_behind(line, 0, RING / 2 + 1);
    assert_int_equal(pump(line), UINT64_MAX);
    check_closed_for(line, RING / 2 + 1);
    lose_ring(line);
    check_heard_either(line, "1 " SLOW_LAG, "1 close:1001:bye ");
}

/* ---- Leaving the ring ------------------------------------------------------------------------- */

/* The room is gone; what the client is told afterwards still leaves, and last of all the Close. */
static void leave(struct line *line)
{
    outbox_detach(&line->out);
    assert_int_equal(outbox_pump(&line->out), UINT64_MAX);
    lose_ring(line);
    post(line, OUTBOX_MESSAGE, 100);
    outbox_close(&line->out, WS_CODE_NORMAL, "bye");
}

static void test_leaving_with_nothing_to_send(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, RING);
    broadcast(line, 100);
    pump(line);
    leave(line);
    check_heard(line, "1 2 close:1000:bye ");
}

static void test_leaving_drops_what_was_not_begun(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, RING);
    broadcast(line, 100);
    post(line, OUTBOX_MESSAGE, 100);
    post(line, OUTBOX_PRESENCE, 100);
    broadcast(line, 100);
    leave(line);
    check_heard(line, "5 close:1000:bye ");
}

/* The rest of the frame is longer than the queue may be, and does not count. */
static void test_leaving_in_the_middle_of_a_broadcast(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, LARGE_RING);
    narrow(line);
    broadcast(line, 1500);
    broadcast(line, QUEUE + 10000);
    broadcast(line, 4000);
    post(line, OUTBOX_MESSAGE, 100);
    pump(line);
    leave(line);
    check_heard(line, "1 2 5 close:1000:bye ");
}

/* The server stops while its socket is full; then the client breaks a rule and has to leave. */
static void test_leaving_keeps_a_farewell_that_waits(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, LARGE_RING);
    narrow(line);
    broadcast(line, 1500);
    broadcast(line, QUEUE + 10000);
    pump(line);
    outbox_close(&line->out, WS_CODE_GOING_AWAY, "bye");
    outbox_detach(&line->out);
    lose_ring(line);
    check_heard(line, "1 2 close:1001:bye ");
}

static void test_leaving_in_the_middle_of_a_queued_frame(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, RING);
    narrow(line);
    assert_true(deliver(line, 20000));
    assert_true(deliver(line, 100));
    broadcast(line, 100);
    pump(line);
    leave(line);
    check_heard(line, "1 4 close:1000:bye ");
}

/* Nothing takes the place of what was dropped; later the queue holds as much as ever. */
static void test_leaving_and_falling_silent(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, RING);
    narrow(line);
    assert_true(deliver(line, 20000));
    assert_true(deliver(line, 100));
    broadcast(line, 100);
    outbox_detach(&line->out);
    check_heard(line, "1 ");
    fill_queue(line);
    assert_false(deliver(line, 20));
    check_heard(line, "1 " SLOW_QUEUE);
}

static void test_leaving_in_the_middle_of_history(void **state)
{
    struct line *line = *state;
    make_ring(line, LARGE_RING);
    for (int i = 0; i < 4; i++)
        broadcast(line, 30000);
    narrow(line);
    enter(line, ring_start(&line->ring, 1, UINT64_MAX, LARGE_RING));
    pump(line);
    leave(line);
    check_heard(line, "1h 2h 3h 5 close:1000:bye ");
}

static void test_leaving_while_tls_holds_broadcasts(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, RING);
    choke(line);
    broadcast(line, 100);
    broadcast(line, 100);
    post(line, OUTBOX_MESSAGE, 100);
    broadcast(line, 100);
    pump(line);
    leave(line);
    check_heard_either(line, "1 6 close:1000:bye ", "1 2 3 6 close:1000:bye ");
}

static void test_leaving_while_tls_holds_exactly_one_record(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, LARGE_RING);
    choke(line);
    broadcast(line, TLS_RECORD / 2 - 4);
    broadcast(line, TLS_RECORD / 2 - 4);
    broadcast(line, 100);
    pump(line);
    leave(line);
    check_heard_either(line, "1 5 close:1000:bye ", "1 2 3 5 close:1000:bye ");
}

static void test_leaving_no_ring_drops_nothing(void **state)
{
    struct line *line = *state;
    post(line, OUTBOX_MESSAGE, 100);
    post(line, OUTBOX_PRESENCE, 100);
    outbox_detach(&line->out);
    check_heard(line, "1 2 ");
}

/* Fills the socket with what the test takes out again: returns how many bytes. */
static size_t fill_socket(struct line *line)
{
    char bytes[CHOKE] = "";
    size_t filled = 0;
    ssize_t n;
    while ((n = net_write(&line->out.stream, bytes, sizeof(bytes))) > 0)
        filled += (size_t)n;
    return filled;
}

static void take_filling(struct line *line, size_t filled)
{
    char bytes[CHOKE];
    while (filled > 0) {
        ssize_t n = net_read(&line->peer, bytes, filled < CHOKE ? filled : CHOKE);
        assert_true(n > 0);
        filled -= (size_t)n;
    }
}

/* No frame is sent without the head before it, not even the last one. */
static void test_leaving_before_the_head_has_left(void **state)
{
    void *opened;
    open_line(&opened, false);
    struct line *line = opened;
    size_t filled = fill_socket(line);
    struct frame *head = frame_new(-1, "HTTP", 4);
    char read[5] = "";
    assert_true(outbox_open(&line->out, head));
    frame_drop(head);
    enter_new_ring(line, RING);
    broadcast(line, 100);
    leave(line);
    take_filling(line, filled);
    outbox_flush(&line->out);
    assert_int_equal(net_read(&line->peer, read, 4), 4);
    assert_string_equal(read, "HTTP");
    check_heard(line, "2 close:1000:bye ");
    close_line(&opened);
    (void)state;
}

/* ---- A peer that is gone ---------------------------------------------------------------------- */

static void test_peer_is_gone(void **state)
{
    struct line *line = *state;
    struct frame *frame = make_frame(line, WS_TEXT, 100);
    enter_new_ring(line, RING);
    choke(line);
    broadcast(line, 100);
    outbox_post(&line->out, OUTBOX_MESSAGE, frame);
    outbox_post(&line->out, OUTBOX_PRESENCE, frame);
    pump(line);
    assert_int_equal(outbox_state(&line->out).events, POLLOUT);
    net_close(&line->peer);
    outbox_flush(&line->out);
    struct outbox_state found = outbox_state(&line->out);
    assert_true(found.broken);
    assert_false(found.too_slow);
    assert_int_equal(found.events, 0);
    assert_int_equal(frame->references, 1); /* nothing waits for what will not come */
    frame_drop(frame);
    assert_true(woken(PATIENCE_MS));
    assert_int_equal(pump(line), UINT64_MAX);
    lose_ring(line);
    assert_false(deliver(line, 100));
    post(line, OUTBOX_PRESENCE, 100);
    outbox_close(&line->out, WS_CODE_NORMAL, "");
    outbox_detach(&line->out);
    assert_null(line->out.first);
    assert_int_equal(line->out.queued, 0);
}

/* ---- New keys (RFC 8446 §4.6.3) while a write is refused -------------------------------------- */

/* The peer asks for new keys, and says a byte so that it is noticed. */
static void ask_for_new_keys(struct line *line)
{
    assert_int_equal(SSL_key_update(line->peer.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
    assert_int_equal(net_write(&line->peer, "x", 1), 1);
    line->due++;
    take_bytes(line);
}

static void test_8446_4_6_3_new_keys_while_a_write_is_refused(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, RING);
    choke(line);
    broadcast(line, 100);
    pump(line);
    assert_int_equal(outbox_state(&line->out).events, POLLOUT);
    ask_for_new_keys(line);
    assert_true(deliver(line, 100));
    check_heard(line, "1 2 3 ");
    ask_for_new_keys(line);
    broadcast(line, 100);
    pump(line);
    check_heard(line, "1 2 3 4 ");
}

/* The answer to the first request waits behind that write when the second one comes. */
static void test_8446_4_6_3_new_keys_twice_while_a_write_is_refused(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, RING);
    choke(line);
    broadcast(line, 100);
    pump(line);
    ask_for_new_keys(line);
    ask_for_new_keys(line);
    assert_true(deliver(line, 100));
    check_heard(line, "1 2 3 ");
}

/* Here the socket refuses the answer to them, which stands before all that waits. */
static void test_8446_4_6_3_new_keys_are_refused_themselves(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, RING);
    choke(line);
    ask_for_new_keys(line);
    broadcast(line, 100);
    post(line, OUTBOX_MESSAGE, 100);
    pump(line);
    assert_int_equal(outbox_state(&line->out).events, POLLOUT);
    ask_for_new_keys(line);
    check_heard(line, "1 2 3 ");
}

/* ---- Anything, in any order ------------------------------------------------------------------- */

static uint32_t chance; /* the same numbers in each run */

static uint32_t random_below(uint32_t bound)
{
    chance = chance * 1664525 + 1013904223;
    return (uint32_t)((uint64_t)chance * bound >> 32);
}

/* Mostly short, at times longer than what the socket, or a TLS record, takes. */
static size_t random_len(void)
{
    static const uint32_t most[] = {60, 120, 200, 500, 3000, 6000};
    uint32_t kind = random_below(40);
    return LEAST + (kind == 0 ? random_below(20000) : random_below(most[kind % 6]));
}

/* One thing that may happen to a client that is neither closed nor too slow. */
static void random_step(struct line *line)
{
    switch (random_below(9)) {
    case 0:
        outbox_flush(&line->out);
        break;
    case 1:
        hear_some(line, random_below(8000));
        break;
    case 2:
        set_send_buffer(line, random_below(2) ? 1 : (int)random_below(60000));
        break;
    case 3:
        assert_true(deliver(line, random_len()));
        break;
    case 4:
        post(line, OUTBOX_MESSAGE, random_len());
        break;
    case 5:
        if (line->tls && random_below(4) == 0)
            ask_for_new_keys(line);
        break;
    default:
        broadcast(line, random_len());
        assert_int_not_equal(pump(line), UINT64_MAX);
        break;
    }
    if (line->out.queued > QUEUE / 2 || ring_end(&line->ring) - line->out.position > RING / 8)
        drain(line); /* in time: the next step adds 20 KB at most */
}

static void random_steps(struct line *line, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        random_step(line);
        pump(line);
    }
}

/* Runs `ending` once for each of many beginnings. */
static void for_many_lines(void **state, int lines, void (*ending)(struct line *line))
{
    for (int i = 1; i <= lines; i++) {
        struct line *line = *state;
        bool tls = line->tls;
        chance = (uint32_t)i * 7919;
        enter_new_ring(line, RING);
        random_steps(line, 10 + random_below(150));
        ending(line);
        close_line(state);
        tls ? open_tls(state) : open_plain(state);
    }
}

static void end_in_order(struct line *line)
{
    char expected[TRANSCRIPT];
    memcpy(expected, line->said, sizeof(expected));
    write_down(expected, "close:1001:bye");
    outbox_close(&line->out, WS_CODE_GOING_AWAY, "bye");
    broadcast(line, 100);
    assert_false(deliver(line, 100));
    check_heard(line, expected);
}

/* The socket is full with something new when it happens. */
static void end_behind(struct line *line)
{
    narrow(line);
    while (outbox_pump(&line->out) != UINT64_MAX) {
        pump(line);
        broadcast(line, random_len());
    }
    lose_ring(line);
    drain(line);
    check_cut(line, SLOW_LAG);
}

static void end_with_a_full_queue(struct line *line)
{
    narrow(line);
    while (deliver(line, random_len()))
        ;
    lose_ring(line);
    drain(line);
    check_cut(line, SLOW_QUEUE);
}

static void end_by_leaving(struct line *line)
{
    outbox_detach(&line->out);
    lose_ring(line);
    outbox_close(&line->out, WS_CODE_NORMAL, "bye");
    drain(line);
    check_cut(line, "close:1000:bye ");
}

static void test_random_traffic_then_an_orderly_end(void **state)
{
    for_many_lines(state, 60, end_in_order);
}

static void test_random_traffic_then_behind(void **state)
{
    for_many_lines(state, 60, end_behind);
}

static void test_random_traffic_then_a_full_queue(void **state)
{
    for_many_lines(state, 60, end_with_a_full_queue);
}

static void test_random_traffic_then_leaving(void **state)
{
    for_many_lines(state, 60, end_by_leaving);
}

/* ---- Three threads at one outbox, and a fourth that reads ------------------------------------- */

enum { RACE_EACH = 1500, RACE_BYTES = 4 * 1024 * 1024 };

struct race {
    struct line *line;
    atomic_int talking;   /* threads that have not said all yet; the last one closes */
    atomic_bool over;     /* the owner has given up */
    unsigned char *bytes; /* what the peer read */
    size_t len;
};

static size_t race_len(int number)
{
    return LEAST + (size_t)number * 37 % 700;
}

static struct frame *race_frame(int number)
{
    char *text = text_of(number, race_len(number));
    struct frame *frame = frame_new(WS_TEXT, text, race_len(number));
    free(text);
    return frame;
}

static void stop_talking(struct race *race)
{
    if (atomic_fetch_sub(&race->talking, 1) == 1)
        outbox_close(&race->line->out, WS_CODE_NORMAL, "bye");
}

/* Says the numbers from 1 on to everybody; waits while the member is a quarter of the ring behind. */
static void *race_broadcasts(void *argument)
{
    struct race *race = argument;
    struct line *line = race->line;
    for (int number = 1; number <= RACE_EACH && !atomic_load(&race->over); number++) {
        struct frame *frame = race_frame(number);
        struct iovec part = {frame->bytes, frame->len};
        ring_lock(&line->ring);
        ring_append_locked(&line->ring, &part, 1);
        ring_unlock(&line->ring);
        frame_drop(frame);
        while (ring_end(&line->ring) - pump(line) > RING / 4 && !atomic_load(&race->over))
            sched_yield();
    }
    stop_talking(race);
    return NULL;
}

/* Says the numbers that follow those to this client alone. */
static void *race_deliveries(void *argument)
{
    struct race *race = argument;
    for (int number = RACE_EACH + 1; number <= 2 * RACE_EACH; number++) {
        struct frame *frame = race_frame(number);
        outbox_hold(&race->line->out);
        outbox_deliver(&race->line->out, frame);
        frame_drop(frame);
        if (number % 16 == 0)
            sched_yield();
    }
    stop_talking(race);
    return NULL;
}

static void *race_reads(void *argument)
{
    struct race *race = argument;
    struct net_stream *peer = &race->line->peer;
    for (;;) {
        ssize_t n = net_read(peer, race->bytes + race->len, RACE_BYTES - race->len);
        if (n > 0)
            race->len += (size_t)n;
        else if (n < 0 && errno == EAGAIN)
            net_wait(peer->fd, peer->read_wants, net_now() + 100);
        else
            return NULL;
    }
}

/* The owner's part: it waits for the socket where another was refused, until all has left. */
static bool race_owns(struct race *race)
{
    struct outbox *out = &race->line->out;
    int64_t until = net_now() + PATIENCE_MS;
    while (net_now() < until) {
        struct outbox_state state = outbox_state(out);
        if (state.closing && !state.events)
            return true;
        if (net_wait(state.events ? out->stream.fd : -1, state.events, until) && state.events)
            outbox_flush(out);
    }
    return false;
}

/* Both kinds are complete and each in its own order. */
static void check_race(struct race *race)
{
    struct line *line = race->line;
    int broadcasts = 0, deliveries = RACE_EACH;
    for (size_t done = 0; done < race->len;) {
        unsigned char *space;
        size_t room = ws_space(&line->reader, &space);
        size_t n = room < race->len - done ? room : race->len - done;
        memcpy(space, race->bytes + done, n);
        ws_fed(&line->reader, n);
        hear_events(line);
        done += n;
    }
    for (char *at = line->heard; *at != 'c'; at++) {
        int number = (int)strtol(at, &at, 10);
        int *last = number <= RACE_EACH ? &broadcasts : &deliveries;
        assert_int_equal(number, *last + 1);
        *last = number;
    }
    assert_int_equal(broadcasts, RACE_EACH);
    assert_int_equal(deliveries, 2 * RACE_EACH);
    assert_true(line->closed);
}

static void test_many_threads_at_one_outbox(void **state)
{
    struct line *line = *state;
    struct race race = {.line = line, .talking = 2, .bytes = malloc(RACE_BYTES)};
    static void *(*const parts[])(void *) = {race_broadcasts, race_deliveries, race_reads};
    pthread_t threads[3];
    assert_non_null(race.bytes);
    line->out.queue_max = RACE_BYTES;
    for (int number = 1; number <= 2 * RACE_EACH; number++)
        give_number(line, WS_TEXT, race_len(number));
    enter_new_ring(line, RING);
    narrow(line);
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, parts[i], &race), 0);
    bool done = race_owns(&race);
    atomic_store(&race.over, true);
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    net_finish(&line->out.stream);
    pthread_join(threads[2], NULL);
    assert_true(done);
    check_race(&race);
    free(race.bytes);
}

/* ---- All of them ------------------------------------------------------------------------------ */

/* A certificate as the server would make it on its first start, used once and removed. */
static int make_tls(void **state)
{
    (void)state;
    static const char *const made[] = {"cert.pem", "key.pem", "ragnarok-ca.crt", "ragnarok-ca.pem"};
    char folder[] = "/tmp/test_outbox.XXXXXX", cert_path[64], key_path[64], host[] = "127.0.0.1";
    char path[64], error[CONFIG_ERROR_MAX];
    struct cert cert;
    net_wake_init();
    if (!mkdtemp(folder))
        return -1;
    snprintf(cert_path, sizeof(cert_path), "%s/cert.pem", folder);
    snprintf(key_path, sizeof(key_path), "%s/key.pem", folder);
    struct config config = {
        .SSL = true, .SSL_Cert = cert_path, .SSL_Key = key_path, .server_ip = host};
    if (cert_prepare(&config, &cert, error) == 0)
        server_tls = net_tls_server(cert_path, key_path, error);
    client_tls = net_tls_client();
    cert_free(&cert);
    for (size_t i = 0; i < sizeof(made) / sizeof(made[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, made[i]);
        unlink(path);
    }
    rmdir(folder);
    return server_tls && client_tls ? 0 : -1;
}

static int free_tls(void **state)
{
    (void)state;
    net_tls_free(server_tls);
    net_tls_free(client_tls);
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

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_frame_of_a_payload_and_of_bytes),
    BOTH(test_queue_borrows_and_gives_back),
    BOTH(test_what_waits_is_freed_with_the_outbox),
    BOTH(test_queued_frames_leave_at_their_place),
    BOTH(test_order_holds_while_the_socket_is_full),
    BOTH(test_queued_frame_refused_then_broadcasts),
    BOTH(test_delivery_is_sent_at_once),
    BOTH(test_presence_is_replaced_while_it_waits),
    BOTH(test_pong_is_replaced_while_it_waits),
    BOTH(test_ping_is_replaced_while_it_waits),
    BOTH(test_each_kind_replaces_its_own),
    BOTH(test_what_was_begun_is_not_replaced),
    BOTH(test_what_tls_holds_is_not_replaced),
    BOTH(test_first_of_the_queue_is_replaced_behind_the_ring),
    BOTH(test_history_is_marked_and_live_is_not),
    BOTH(test_presence_comes_between_history_and_live),
    BOTH(test_presence_waits_for_what_tls_holds),
    BOTH(test_history_through_a_narrow_socket),
    BOTH(test_history_is_not_counted),
    BOTH(test_no_history_where_none_was_asked_for),
    BOTH(test_presence_is_replaced_behind_history),
    BOTH(test_blocked_is_passed_by_until_the_owner_goes_on),
    BOTH(test_owner_is_woken_when_another_is_refused),
    BOTH(test_many_frames_through_a_narrow_socket),
    BOTH(test_read_says_what_is_there),
    BOTH(test_more_than_half_the_ring_behind),
    BOTH(test_behind_while_tls_holds_bytes_at_the_rings_end),
    BOTH(test_behind_in_the_middle_of_a_frame),
    BOTH(test_behind_in_the_middle_of_a_queued_frame),
    BOTH(test_history_may_be_seven_eighths_behind),
    BOTH(test_queue_overflows),
    BOTH(test_queue_overflows_behind_a_frame_that_was_begun),
    BOTH(test_queue_overflows_in_the_middle_of_a_broadcast),
    BOTH(test_queue_overflows_before_any_room),
    BOTH(test_presence_and_pongs_are_not_counted),
    BOTH(test_close_comes_after_all_that_was_said),
    cmocka_unit_test(test_close_before_the_handshake_sends_nothing),
    BOTH(test_close_is_sent_at_once),
    BOTH(test_close_after_history),
    BOTH(test_too_slow_while_closing),
    BOTH(test_leaving_with_nothing_to_send),
    BOTH(test_leaving_drops_what_was_not_begun),
    BOTH(test_leaving_in_the_middle_of_a_broadcast),
    BOTH(test_leaving_keeps_a_farewell_that_waits),
    BOTH(test_leaving_in_the_middle_of_a_queued_frame),
    BOTH(test_leaving_and_falling_silent),
    BOTH(test_leaving_in_the_middle_of_history),
    BOTH(test_leaving_while_tls_holds_broadcasts),
    BOTH(test_leaving_while_tls_holds_exactly_one_record),
    BOTH(test_leaving_no_ring_drops_nothing),
    cmocka_unit_test(test_leaving_before_the_head_has_left),
    BOTH(test_peer_is_gone),
    TLS(test_8446_4_6_3_new_keys_while_a_write_is_refused),
    TLS(test_8446_4_6_3_new_keys_twice_while_a_write_is_refused),
    TLS(test_8446_4_6_3_new_keys_are_refused_themselves),
    BOTH(test_random_traffic_then_an_orderly_end),
    BOTH(test_random_traffic_then_behind),
    BOTH(test_random_traffic_then_a_full_queue),
    BOTH(test_random_traffic_then_leaving),
    BOTH(test_many_threads_at_one_outbox),
};

int main(void)
{
    return cmocka_run_group_tests(tests, make_tls, free_tls);
}
