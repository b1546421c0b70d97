/* SPDX-License-Identifier: MIT
 *
 * test_ws.c - frames in and out against RFC 6455 (the sections stand in the tests' names) and
 * the UTF-8 of RFC 3629.
 *
 * Most tests state frames and a transcript: every event the reader must find in them, up to a Close
 * frame or a broken rule ("text:Hello;fail:1002;"). The frames are read masked and unmasked; whole,
 * byte by byte, cut at every place and, if short, at every pair of places; with and without ws_rest
 * between the pieces. The transcript must be the same each time.
 *
 * Where a rule must be enforced early, the input ends right there: nothing more will come, so a
 * reader that waits for more fails the test.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../ws.h"

enum {
    MAX_MESSAGE = 1 << 17,
    PAIRS_UP_TO = 48,        /* longer inputs are not cut at every pair of places */
    EDGE = 64,               /* long inputs are cut at every place this near to their ends */
    SMALL_BUFFER = 64 * 1024 /* what a reader may hold while nothing large has arrived */
};

static const unsigned char RFC_KEY[4] = {0x37, 0xfa, 0x21, 0x3d};

/* ---- Bytes that grow, always with a NUL after them ------------------------------------------- */

struct bytes {
    unsigned char *data;
    size_t len, cap;
};

static void put(struct bytes *to, const void *from, size_t len)
{
    if (to->len + len + 1 > to->cap) {
        to->cap = 2 * (to->len + len + 1);
        to->data = realloc(to->data, to->cap);
        assert_non_null(to->data);
    }
    if (len > 0)
        memcpy(to->data + to->len, from, len);
    to->len += len;
    to->data[to->len] = '\0';
}

static void put_byte(struct bytes *to, unsigned byte)
{
    unsigned char one = (unsigned char)byte;
    put(to, &one, 1);
}

static void put_number(struct bytes *to, uint64_t number, int size)
{
    for (int shift = 8 * (size - 1); shift >= 0; shift -= 8)
        put_byte(to, (unsigned)(number >> shift) & 0xff);
}

static void drop(struct bytes *bytes)
{
    free(bytes->data);
    *bytes = (struct bytes){0};
}

/* ---- Frames onto the wire, written without help from ws.c ------------------------------------ */

struct frame {
    unsigned char first; /* FIN, RSV and opcode */
    const char *payload;
    size_t len;
};

#define FRAME(first, payload)                                                                      \
    {                                                                                              \
        first, payload, sizeof(payload) - 1                                                        \
    }

static void put_masked(struct bytes *to, const struct frame *frame, const unsigned char *key)
{
    for (size_t i = 0; i < frame->len; i++)
        put_byte(to, (unsigned char)frame->payload[i] ^ key[i % 4]);
}

/* The frame with the shortest length there is (§5.2), masked if there is a key. */
static void put_frame(struct bytes *to, const struct frame *frame, const unsigned char *key)
{
    unsigned mask_bit = key ? 0x80 : 0;
    int more = frame->len < 126 ? 0 : frame->len < 65536 ? 2 : 8;

    put_byte(to, frame->first);
    put_byte(to, mask_bit | (more == 0 ? (unsigned)frame->len : more == 2 ? 126u : 127u));
    put_number(to, frame->len, more);
    if (key) {
        put(to, key, 4);
        put_masked(to, frame, key);
    } else {
        put(to, frame->payload, frame->len);
    }
}

/* ---- Transcripts ----------------------------------------------------------------------------- */

static void put_event(struct bytes *to, const char *what, const void *payload, size_t len)
{
    const unsigned char *bytes = payload;

    put(to, what, strlen(what));
    put(to, ":", 1);
    for (size_t i = 0; i < len; i++) {
        if (bytes[i] >= ' ' && bytes[i] <= '~' && bytes[i] != ';' && bytes[i] != '\\') {
            put_byte(to, bytes[i]);
        } else {
            put(to, "\\x", 2);
            put_byte(to, (unsigned char)"0123456789abcdef"[bytes[i] >> 4]);
            put_byte(to, (unsigned char)"0123456789abcdef"[bytes[i] & 15]);
        }
    }
    put(to, ";", 1);
}

static const char *kind_of(const struct ws_event *event)
{
    switch (event->opcode) {
    case WS_TEXT:
        return "text";
    case WS_BINARY:
        return "binary";
    case WS_PING:
        return "ping";
    case WS_PONG:
        return "pong";
    case WS_CLOSE:
        return "close";
    case WS_CONTINUATION:
        break;
    }
    return "no event at all";
}

/* One reader at work, and what it said so far. */
struct session {
    struct ws_reader reader;
    struct bytes said;
    bool over;
};

static void put_failure(struct session *session, const struct ws_event *event)
{
    char line[32];

    assert_non_null(event->why);
    assert_true(strlen(event->why) > 0);
    snprintf(line, sizeof line, "fail:%d;", event->code);
    put(&session->said, line, strlen(line));
}

static void listen_to(struct session *session)
{
    struct ws_event event;
    char close[32];

    while (!session->over) {
        int got = ws_next(&session->reader, &event);
        if (got == 0)
            return;
        session->over = got < 0 || event.opcode == WS_CLOSE;
        if (got < 0) {
            assert_int_equal(got, -1);
            put_failure(session, &event);
        } else if (event.opcode == WS_CLOSE) {
            snprintf(close, sizeof close, "close:%d", event.code);
            put_event(&session->said, close, event.payload, event.len);
        } else {
            put_event(&session->said, kind_of(&event), event.payload, event.len);
        }
    }
}

static void feed(struct ws_reader *reader, const unsigned char *bytes, size_t len)
{
    while (len > 0) {
        unsigned char *space = NULL;
        size_t room = ws_space(reader, &space);
        size_t n = room < len ? room : len;

        assert_true(room > 0);
        memcpy(space, bytes, n);
        ws_fed(reader, n);
        bytes += n;
        len -= n;
    }
}

static void give(struct session *session, const unsigned char *bytes, size_t len)
{
    if (!session->over) {
        feed(&session->reader, bytes, len);
        listen_to(session);
    }
}

static void session_init(struct session *session, size_t max, bool masked)
{
    *session = (struct session){0};
    put(&session->said, "", 0);
    ws_reader_init(&session->reader, max, masked);
}

static void session_fini(struct session *session)
{
    ws_reader_fini(&session->reader);
    drop(&session->said);
}

/* ---- The same input in every portion --------------------------------------------------------- */

struct input {
    struct bytes wire;
    size_t max;
    bool masked;
};

/* Pieces end at the cuts and after them every `step` bytes; 0 is no step. */
struct chop {
    size_t cut[2], step;
    bool rest; /* ws_rest after each piece */
};

static size_t piece_end(const struct chop *chop, size_t at, size_t total)
{
    size_t end = total;

    if (at < chop->cut[0])
        end = chop->cut[0];
    else if (at < chop->cut[1])
        end = chop->cut[1];
    else if (chop->step > 0)
        end = at + chop->step;
    return end < total ? end : total;
}

static void check_chop(const char *expected, const struct input *input, struct chop chop)
{
    struct session session;

    session_init(&session, input->max, input->masked);
    for (size_t at = 0, end; at < input->wire.len; at = end) {
        end = piece_end(&chop, at, input->wire.len);
        give(&session, input->wire.data + at, end - at);
        if (chop.rest)
            ws_rest(&session.reader);
    }
    if (strcmp((char *)session.said.data, expected) != 0)
        print_error("%s, cut at %zu and %zu, then every %zu, %s ws_rest\n",
                    input->masked ? "masked" : "unmasked", chop.cut[0], chop.cut[1], chop.step,
                    chop.rest ? "with" : "without");
    assert_string_equal((char *)session.said.data, expected);
    session_fini(&session);
}

static void check_pairs(const char *expected, const struct input *input, size_t first)
{
    for (size_t second = first + 1; second < input->wire.len; second++)
        check_chop(expected, input, (struct chop){.cut = {first, second}});
}

static void check_input(const char *expected, const struct input *input)
{
    static const size_t steps[] = {0, 1, 2, 3, 7, 64, 997, 4096};
    size_t len = input->wire.len;

    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        check_chop(expected, input, (struct chop){.step = steps[i]});
        check_chop(expected, input, (struct chop){.step = steps[i], .rest = true});
    }
    for (size_t cut = 1; cut < len; cut++) {
        if (cut > EDGE && len - cut > EDGE && len > 1024)
            continue;
        check_chop(expected, input, (struct chop){.cut = {cut}});
        check_chop(expected, input, (struct chop){.cut = {cut}, .rest = true});
        if (len <= PAIRS_UP_TO)
            check_pairs(expected, input, cut);
    }
}

static void check(size_t max, const char *expected, const struct frame *frames, size_t count)
{
    for (int masked = 0; masked < 2; masked++) {
        struct input input = {.max = max, .masked = masked};
        for (size_t i = 0; i < count; i++)
            put_frame(&input.wire, &frames[i], masked ? RFC_KEY : NULL);
        check_input(expected, &input);
        drop(&input.wire);
    }
}

#define CHECK_MAX(max, expected, ...)                                                              \
    check(max, expected, (const struct frame[]){__VA_ARGS__},                                      \
          sizeof((const struct frame[]){__VA_ARGS__}) / sizeof(struct frame))
#define CHECK(expected, ...) CHECK_MAX(MAX_MESSAGE, expected, __VA_ARGS__)

/* In payloads, the code 1000 is \3\350: unlike \xe8, the octal form ends before a letter. */

/* The bytes just as they stand, read as coming from a client or from a server. */
static void check_raw(const char *expected, bool masked, const char *bytes, size_t len)
{
    struct input input = {.max = MAX_MESSAGE, .masked = masked};

    put(&input.wire, bytes, len);
    check_input(expected, &input);
    drop(&input.wire);
}

#define FROM_CLIENT(expected, bytes) check_raw(expected, true, bytes, sizeof(bytes) - 1)
#define FROM_SERVER(expected, bytes) check_raw(expected, false, bytes, sizeof(bytes) - 1)

/* A head, given unmasked, with no byte of payload after it: it must fail for itself. `before` comes
 * whole before it. */
static void check_head(size_t max, const char *expected, const struct frame *before,
                       const struct frame *head)
{
    for (int masked = 0; masked < 2; masked++) {
        struct input input = {.max = max, .masked = masked};
        if (before)
            put_frame(&input.wire, before, masked ? RFC_KEY : NULL);
        put(&input.wire, head->payload, head->len);
        if (masked) {
            input.wire.data[input.wire.len - head->len + 1] |= 0x80;
            put(&input.wire, RFC_KEY, 4);
        }
        check_input(expected, &input);
        drop(&input.wire);
    }
}

#define HEAD_FAILS(expected, bytes)                                                                \
    check_head(MAX_MESSAGE, expected, NULL, &(const struct frame)FRAME(0, bytes))

/* ---- §1.3 and §4.2.2: the handshake key ------------------------------------------------------ */

static void test_1_3_accept_key(void **state)
{
    char accept[WS_ACCEPT_MAX];

    (void)state;
    ws_accept_key("dGhlIHNhbXBsZSBub25jZQ==", accept);
    assert_string_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

static void test_4_2_2_accept_key_takes_24_characters_and_no_more(void **state)
{
    char accept[WS_ACCEPT_MAX];

    (void)state;
    ws_accept_key("dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://example.com\r\n", accept);
    assert_string_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

/* ---- §5.7: the RFC's own examples, byte for byte --------------------------------------------- */

static void test_5_7_unmasked_text(void **state)
{
    (void)state;
    FROM_SERVER("text:Hello;", "\x81\x05Hello");
}

static void test_5_7_masked_text(void **state)
{
    (void)state;
    FROM_CLIENT("text:Hello;", "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58");
}

static void test_5_7_fragmented_text(void **state)
{
    (void)state;
    FROM_SERVER("text:Hello;", "\x01\x03Hel\x80\x02lo");
    CHECK("text:Hello;", FRAME(0x01, "Hel"), FRAME(0x80, "lo"));
}

static void test_5_7_ping_and_pong(void **state)
{
    (void)state;
    FROM_SERVER("ping:Hello;", "\x89\x05Hello");
    FROM_CLIENT("pong:Hello;", "\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58");
    CHECK("ping:Hello;pong:Hello;", FRAME(0x89, "Hello"), FRAME(0x8a, "Hello"));
}

/* A binary message of `len` bytes, no two neighbours alike, behind the head that is given. */
static void check_binary(size_t len, const char *head, size_t head_len)
{
    struct bytes payload = {0}, expected = {0};
    struct input input = {.max = MAX_MESSAGE};

    for (size_t i = 0; i < len; i++)
        put_byte(&payload, (i * 7 + i / 256) & 0xff);
    put_event(&expected, "binary", payload.data, len);

    put(&input.wire, head, head_len);
    put(&input.wire, payload.data, len);
    check_input((char *)expected.data, &input);

    input.masked = true;
    input.wire.len = head_len;
    input.wire.data[1] |= 0x80;
    put(&input.wire, RFC_KEY, 4);
    put_masked(&input.wire, &(struct frame){0x82, (char *)payload.data, len}, RFC_KEY);
    check_input((char *)expected.data, &input);

    drop(&input.wire);
    drop(&payload);
    drop(&expected);
}

static void test_5_7_binary_of_256_bytes(void **state)
{
    (void)state;
    check_binary(256, "\x82\x7e\x01\x00", 4);
}

static void test_5_7_binary_of_64_kib(void **state)
{
    (void)state;
    check_binary(65536, "\x82\x7f\0\0\0\0\0\x01\0\0", 10);
}

/* ---- §5.1 and §5.2: heads -------------------------------------------------------------------- */

static void test_5_1_unmasked_frame_from_a_client_fails(void **state)
{
    (void)state;
    FROM_CLIENT("fail:1002;", "\x81\x05");
    FROM_CLIENT("fail:1002;", "\x89\x00");
    FROM_CLIENT("fail:1002;", "\x88\x02\3\350");
    FROM_CLIENT("fail:1002;", "\x81\x05Hello");
}

static void test_5_1_masked_frame_from_a_server_fails(void **state)
{
    (void)state;
    FROM_SERVER("fail:1002;", "\x81\x85\x37\xfa\x21\x3d");
    FROM_SERVER("fail:1002;", "\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58");
}

static void test_5_2_reserved_opcodes_fail(void **state)
{
    static const unsigned char reserved[] = {3, 4, 5, 6, 7, 0xb, 0xc, 0xd, 0xe, 0xf};

    (void)state;
    for (size_t i = 0; i < sizeof reserved; i++) {
        const char final[] = {(char)(0x80 | reserved[i]), 0};
        const char fragment[] = {(char)reserved[i], 5};
        check_head(MAX_MESSAGE, "fail:1002;", NULL, &(struct frame){0, final, 2});
        check_head(MAX_MESSAGE, "fail:1002;", NULL, &(struct frame){0, fragment, 2});
    }
}

static void test_5_2_reserved_bits_fail(void **state)
{
    static const unsigned char opcodes[] = {WS_TEXT, WS_BINARY, WS_CLOSE, WS_PING, WS_PONG};

    (void)state;
    for (size_t i = 0; i < sizeof opcodes; i++)
        for (unsigned rsv = 1; rsv < 8; rsv++) {
            const char head[] = {(char)(0x80 | rsv << 4 | opcodes[i]), 0};
            check_head(MAX_MESSAGE, "fail:1002;", NULL, &(struct frame){0, head, 2});
        }
}

static void test_5_2_reserved_bits_of_a_continuation_fail(void **state)
{
    const struct frame start = FRAME(0x01, "a");

    (void)state;
    check_head(MAX_MESSAGE, "fail:1002;", &start, &(struct frame)FRAME(0, "\xc0\x01"));
}

/* What the first byte says is decided by the first byte. */
static void test_5_2_first_byte_fails_alone(void **state)
{
    (void)state;
    FROM_CLIENT("fail:1002;", "\x83");
    FROM_CLIENT("fail:1002;", "\xc1");
    FROM_CLIENT("fail:1002;", "\x09");
    FROM_CLIENT("fail:1002;", "\x80");
    FROM_SERVER("text:a;fail:1002;", "\x81\1a\x8b");
}

static void test_5_2_length_that_is_not_minimal_fails(void **state)
{
    (void)state;
    HEAD_FAILS("fail:1002;", "\x82\x7e\x00\x00");
    HEAD_FAILS("fail:1002;", "\x82\x7e\x00\x7d");
    HEAD_FAILS("fail:1002;", "\x82\x7f\0\0\0\0\0\0\0\0");
    HEAD_FAILS("fail:1002;", "\x82\x7f\0\0\0\0\0\0\0\x7e");
    HEAD_FAILS("fail:1002;", "\x82\x7f\0\0\0\0\0\0\xff\xff");
}

static void test_5_2_length_with_the_top_bit_fails(void **state)
{
    (void)state;
    HEAD_FAILS("fail:1002;", "\x82\x7f\x80\0\0\0\0\0\0\0");
    HEAD_FAILS("fail:1002;", "\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xff");
}

static void test_5_2_lengths_at_the_edges(void **state)
{
    (void)state;
    check_binary(0, "\x82\x00", 2);
    check_binary(1, "\x82\x01", 2);
    check_binary(125, "\x82\x7d", 2);
    check_binary(126, "\x82\x7e\x00\x7e", 4);
    check_binary(127, "\x82\x7e\x00\x7f", 4);
    check_binary(65535, "\x82\x7e\xff\xff", 4);
}

/* ---- §5.4: fragments ------------------------------------------------------------------------- */

static void test_5_4_empty_messages_and_fragments(void **state)
{
    (void)state;
    CHECK("text:;", FRAME(0x81, ""));
    CHECK("binary:;", FRAME(0x82, ""));
    CHECK("text:;binary:;text:a;", FRAME(0x81, ""), FRAME(0x82, ""), FRAME(0x81, "a"));
    CHECK("text:;", FRAME(0x01, ""), FRAME(0x00, ""), FRAME(0x80, ""));
    CHECK("text:ab;", FRAME(0x01, ""), FRAME(0x00, "ab"), FRAME(0x80, ""));
    CHECK("binary:ab;", FRAME(0x02, "a"), FRAME(0x00, ""), FRAME(0x80, "b"));
}

static void test_5_4_messages_one_after_another(void **state)
{
    (void)state;
    CHECK("text:one;binary:two;text:three;", FRAME(0x01, "o"), FRAME(0x80, "ne"),
          FRAME(0x82, "two"), FRAME(0x01, "th"), FRAME(0x00, "re"), FRAME(0x80, "e"));
}

static void test_5_4_control_frames_between_and_inside(void **state)
{
    (void)state;
    CHECK("ping:1;ping:2;pong:3;text:ab;ping:4;", FRAME(0x89, "1"), FRAME(0x01, "a"),
          FRAME(0x89, "2"), FRAME(0x8a, "3"), FRAME(0x80, "b"), FRAME(0x89, "4"));
    CHECK("ping:;ping:inner;binary:abcdef;", FRAME(0x02, "abc"), FRAME(0x89, ""), FRAME(0x00, ""),
          FRAME(0x89, "inner"), FRAME(0x80, "def"));
    CHECK("close:1000:bye;", FRAME(0x01, "a"), FRAME(0x88, "\3\350bye"));
}

static void test_5_4_continuation_of_nothing_fails(void **state)
{
    const struct frame text = FRAME(0x81, "a"), ping = FRAME(0x89, "p");

    (void)state;
    HEAD_FAILS("fail:1002;", "\x80\x05");
    HEAD_FAILS("fail:1002;", "\x00\x05");
    HEAD_FAILS("fail:1002;", "\x80\x00");
    check_head(MAX_MESSAGE, "text:a;fail:1002;", &text, &(struct frame)FRAME(0, "\x80\x01"));
    check_head(MAX_MESSAGE, "ping:p;fail:1002;", &ping, &(struct frame)FRAME(0, "\x00\x01"));
    CHECK("text:ab;fail:1002;", FRAME(0x01, "a"), FRAME(0x80, "b"), FRAME(0x80, "c"));
}

static void test_5_4_new_message_inside_a_message_fails(void **state)
{
    const struct frame text = FRAME(0x01, "a"), empty = FRAME(0x02, "");

    (void)state;
    check_head(MAX_MESSAGE, "fail:1002;", &text, &(struct frame)FRAME(0, "\x81\x01"));
    check_head(MAX_MESSAGE, "fail:1002;", &text, &(struct frame)FRAME(0, "\x02\x01"));
    check_head(MAX_MESSAGE, "fail:1002;", &empty, &(struct frame)FRAME(0, "\x82\x00"));
}

/* ---- §5.5: control frames -------------------------------------------------------------------- */

static void test_5_5_fragmented_control_frame_fails(void **state)
{
    (void)state;
    HEAD_FAILS("fail:1002;", "\x08\x00");
    HEAD_FAILS("fail:1002;", "\x09\x00");
    HEAD_FAILS("fail:1002;", "\x0a\x05");
}

static void test_5_5_control_frame_over_125_bytes_fails(void **state)
{
    (void)state;
    HEAD_FAILS("fail:1002;", "\x88\x7e\x00\x7e");
    HEAD_FAILS("fail:1002;", "\x89\x7e\x00\x7e");
    HEAD_FAILS("fail:1002;", "\x8a\x7e\x01\x00");
    HEAD_FAILS("fail:1002;", "\x89\x7f\0\0\0\0\0\x01\0\0");
}

/* Pings of every length, alone and inside a message, even one longer than messages may be. */
static void test_5_5_2_ping_of_0_to_125_bytes(void **state)
{
    char payload[WS_CONTROL_MAX];

    (void)state;
    memset(payload, 0xfe, sizeof payload);
    for (size_t len = 0; len <= sizeof payload; len += 25) {
        struct bytes expected = {0};
        put_event(&expected, "ping", payload, len);
        put_event(&expected, "text", "ab", 2);
        CHECK_MAX(2, (char *)expected.data, FRAME(0x01, "a"), {0x89, payload, len},
                  FRAME(0x80, "b"));
        drop(&expected);
    }
}

static void test_5_5_1_close_without_code(void **state)
{
    (void)state;
    CHECK("close:1005:;", FRAME(0x88, ""));
}

static void test_5_5_1_close_of_one_byte_fails(void **state)
{
    (void)state;
    CHECK("fail:1002;", FRAME(0x88, "\x03"));
    CHECK("fail:1002;", FRAME(0x88, "\x0f")); /* any byte after it would make a good code */
}

static void test_5_5_1_close_with_reason(void **state)
{
    char longest[WS_CONTROL_MAX] = {0x03, (char)0xe9};
    struct bytes expected = {0};

    (void)state;
    CHECK("close:1000:;", FRAME(0x88, "\3\350"));
    CHECK("close:1001:bye;", FRAME(0x88, "\3\351bye"));
    CHECK("close:1000:\\xe2\\x82\\xac;", FRAME(0x88, "\3\350\xe2\x82\xac"));
    memset(longest + 2, '*', sizeof longest - 2);
    put_event(&expected, "close:1001", longest + 2, sizeof longest - 2);
    CHECK((char *)expected.data, {0x88, longest, sizeof longest});
    drop(&expected);
}

static void test_5_5_1_close_ends_the_reading(void **state)
{
    (void)state;
    CHECK("text:a;close:1000:;", FRAME(0x81, "a"), FRAME(0x88, "\3\350"), FRAME(0x81, "b"));
}

static bool may_be_sent(unsigned code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
           (code >= 3000 && code <= 4999);
}

static void test_7_4_every_close_code_there_is(void **state)
{
    (void)state;
    for (unsigned code = 0; code <= 0xffff; code++) {
        const char payload[2] = {(char)(code >> 8), (char)code};
        struct input input = {.max = MAX_MESSAGE, .masked = true};
        char expected[32];

        put_frame(&input.wire, &(struct frame){0x88, payload, 2}, RFC_KEY);
        snprintf(expected, sizeof expected, may_be_sent(code) ? "close:%u:;" : "fail:1002;", code);
        check_chop(expected, &input, (struct chop){.step = code % 3});
        drop(&input.wire);
    }
}

static void test_8_1_close_reason_that_is_not_utf8_fails(void **state)
{
    (void)state;
    CHECK("fail:1007;", FRAME(0x88, "\3\350\xff"));
    CHECK("fail:1007;", FRAME(0x88, "\3\350abc\xed\xa0\x80"));
    CHECK("fail:1007;", FRAME(0x88, "\3\350abc\xe2\x82"));
}

/* A reason has a state of its own: it neither ends nor spoils the character of the text around. */
static void test_8_1_control_frame_inside_a_character(void **state)
{
    (void)state;
    CHECK("ping:\\x82;text:\\xe2\\x82\\xac;", FRAME(0x01, "\xe2"), FRAME(0x89, "\x82"),
          FRAME(0x00, "\x82"), FRAME(0x80, "\xac"));
    CHECK("close:1000:\\xc3\\xa9;", FRAME(0x01, "\xe2"), FRAME(0x88, "\3\350\xc3\xa9"));
    CHECK("fail:1007;", FRAME(0x01, "\xe2"), FRAME(0x88, "\3\350\x82\xac"));
}

/* ---- §8.1 and RFC 3629: UTF-8 ---------------------------------------------------------------- */

static void test_8_1_code_points_at_the_edges(void **state)
{
    (void)state;
    CHECK("text:\\x00\\x7f;", FRAME(0x81, "\0\x7f"));
    CHECK("text:\\xc2\\x80\\xdf\\xbf;", FRAME(0x81, "\xc2\x80\xdf\xbf"));
    CHECK("text:\\xe0\\xa0\\x80\\xef\\xbf\\xbf;", FRAME(0x81, "\xe0\xa0\x80\xef\xbf\xbf"));
    CHECK("text:\\xed\\x9f\\xbf\\xee\\x80\\x80;", FRAME(0x81, "\xed\x9f\xbf\xee\x80\x80"));
    CHECK("text:\\xf0\\x90\\x80\\x80\\xf4\\x8f\\xbf\\xbf;",
          FRAME(0x81, "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"));
    CHECK("text:\\xef\\xbf\\xbd\\xef\\xbf\\xbe\\xf1\\xaf\\xbf\\xbf;",
          FRAME(0x81, "\xef\xbf\xbd\xef\xbf\xbe\xf1\xaf\xbf\xbf"));
}

static void test_8_1_bytes_that_are_not_utf8(void **state)
{
    (void)state;
    CHECK("fail:1007;", FRAME(0x81, "\x80"));
    CHECK("fail:1007;", FRAME(0x81, "a\xbf"));
    CHECK("fail:1007;", FRAME(0x81, "\xfe"));
    CHECK("fail:1007;", FRAME(0x81, "\xc0\xaf"));
    CHECK("fail:1007;", FRAME(0x81, "\xc1\xbf"));
    CHECK("fail:1007;", FRAME(0x81, "\xe0\x9f\xbf"));
    CHECK("fail:1007;", FRAME(0x81, "\xed\xa0\x80"));
    CHECK("fail:1007;", FRAME(0x81, "\xed\xbf\xbf"));
    CHECK("fail:1007;", FRAME(0x81, "\xf0\x8f\xbf\xbf"));
    CHECK("fail:1007;", FRAME(0x81, "\xf4\x90\x80\x80"));
    CHECK("fail:1007;", FRAME(0x81, "\xf5\x80\x80\x80"));
    CHECK("fail:1007;", FRAME(0x81, "\xf8\x88\x80\x80\x80"));
    CHECK("fail:1007;", FRAME(0x81, "\342\202ABCDEFGH\xac"));
    CHECK("text:ok;fail:1007;", FRAME(0x81, "ok"), FRAME(0x81, "no\xff"), FRAME(0x81, "lost"));
}

static void test_8_1_character_cut_short_by_fin(void **state)
{
    (void)state;
    CHECK("fail:1007;", FRAME(0x81, "\xce"));
    CHECK("fail:1007;", FRAME(0x81, "a\xe2\x82"));
    CHECK("fail:1007;", FRAME(0x81, "\xf0\x9f\x98"));
    CHECK("fail:1007;", FRAME(0x01, "\xe2"), FRAME(0x80, "\x82"));
    CHECK("fail:1007;", FRAME(0x01, "\xe2"), FRAME(0x80, ""));
}

static void test_8_1_character_across_fragments(void **state)
{
    (void)state;
    CHECK("text:\\xf0\\x9f\\x98\\x80;", FRAME(0x01, "\xf0"), FRAME(0x00, "\x9f"), FRAME(0x00, ""),
          FRAME(0x00, "\x98"), FRAME(0x80, "\x80"));
    CHECK("fail:1007;", FRAME(0x01, "\xf4"), FRAME(0x00, "\x90"));
    CHECK("fail:1007;", FRAME(0x01, "\xce"), FRAME(0x00, "\xbaz\xce"), FRAME(0x00, "z"));
}

static void test_8_1_binary_is_not_looked_at(void **state)
{
    (void)state;
    CHECK("binary:\\xff\\xc0\\x80;", FRAME(0x82, "\xff\xc0\x80"));
    CHECK("binary:\\xce\\xce;text:a;", FRAME(0x02, "\xce"), FRAME(0x80, "\xce"), FRAME(0x81, "a"));
}

/* RFC 3629 §4: how a character may begin, how many bytes follow, and what the first of them may
 * be. Those after it are 80 to bf. */
static const struct lead {
    unsigned char low, high, more, next_low, next_high;
} LEADS[] = {
    {0x00, 0x7f, 0, 0x00, 0x00}, {0xc2, 0xdf, 1, 0x80, 0xbf}, {0xe0, 0xe0, 2, 0xa0, 0xbf},
    {0xe1, 0xec, 2, 0x80, 0xbf}, {0xed, 0xed, 2, 0x80, 0x9f}, {0xee, 0xef, 2, 0x80, 0xbf},
    {0xf0, 0xf0, 3, 0x90, 0xbf}, {0xf1, 0xf3, 3, 0x80, 0xbf}, {0xf4, 0xf4, 3, 0x80, 0x8f},
};

static const struct lead *lead_of(unsigned char byte)
{
    for (size_t i = 0; i < sizeof LEADS / sizeof *LEADS; i++)
        if (byte >= LEADS[i].low && byte <= LEADS[i].high)
            return &LEADS[i];
    return NULL;
}

/* After how many of these bytes it is certain that they are not UTF-8; 0: they are. */
static size_t certain_after(const unsigned char *bytes, size_t len)
{
    const struct lead *lead = NULL;
    size_t left = 0;

    for (size_t i = 0; i < len; i++) {
        if (left == 0) {
            lead = lead_of(bytes[i]);
            if (!lead)
                return i + 1;
            left = lead->more;
            continue;
        }
        bool first = left == lead->more;
        if (bytes[i] < (first ? lead->next_low : 0x80) ||
            bytes[i] > (first ? lead->next_high : 0xbf))
            return i + 1;
        left--;
    }
    return left > 0 ? len : 0;
}

/* After how many bytes of payload the reader fails a masked text message; 0: it does not. */
static size_t failing_after(const unsigned char *payload, size_t len)
{
    const struct frame frame = {0x81, (const char *)payload, len};
    struct bytes wire = {0};
    struct session session;
    size_t fed = 0, result;

    put_frame(&wire, &frame, RFC_KEY);
    session_init(&session, MAX_MESSAGE, true);
    while (fed < wire.len && !session.over) {
        give(&session, wire.data + fed, 1);
        fed++;
    }
    result = session.over ? fed - (wire.len - len) : 0;
    assert_true(!session.over || strcmp((char *)session.said.data, "fail:1007;") == 0);
    session_fini(&session);
    drop(&wire);
    return result;
}

static void check_certainty(const unsigned char *payload, size_t len)
{
    size_t expected = certain_after(payload, len), found = failing_after(payload, len);

    if (found != expected)
        print_error("bytes %02x %02x %02x %02x\n", payload[0], payload[1], payload[2], payload[3]);
    assert_int_equal(found, expected);
}

/* Every first pair of bytes; those that may still become a character with what may follow. */
static void test_8_1_fails_at_the_first_bad_byte(void **state)
{
    static const unsigned char then[] = {0x00, 0x7f, 0x80, 0x9f, 0xa0, 0xbf, 0xc0, 0xff};

    (void)state;
    for (unsigned pair = 0; pair < 0x10000; pair++) {
        unsigned char bytes[4] = {(unsigned char)(pair >> 8), (unsigned char)pair, 0x80, 0x80};
        check_certainty(bytes, sizeof bytes);
        if (bytes[0] < 0x80 || certain_after(bytes, 2) == 1)
            continue;
        for (unsigned i = 0; i < sizeof then * sizeof then; i++) {
            bytes[2] = then[i / sizeof then];
            bytes[3] = then[i % sizeof then];
            check_certainty(bytes, sizeof bytes);
        }
    }
}

/* A text that goes bad at `at`: all before is fine, and the bad byte decides, be it the last one
 * there or in the midst of many. */
static void check_bad_byte(const char *text, size_t at)
{
    struct input input = {.max = MAX_MESSAGE, .masked = true};
    struct session session;
    size_t place = 6 + at;

    put_frame(&input.wire, &(struct frame){0x01, text, strlen(text)}, RFC_KEY);
    input.wire.data[place] = (unsigned char)(0xff ^ RFC_KEY[at % 4]);
    session_init(&session, input.max, input.masked);
    give(&session, input.wire.data, place);
    assert_false(session.over);
    give(&session, input.wire.data + place, 1);
    assert_string_equal((char *)session.said.data, "fail:1007;");
    session_fini(&session);

    check_chop("fail:1007;", &input, (struct chop){.step = 0});
    drop(&input.wire);
}

static void test_8_1_fails_at_the_bad_byte_of_a_long_text(void **state)
{
    static const char *const texts[] = {"all of this is ASCII, and rather long for one word or two",
                                        "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5 \xe2\x82\xac"
                                        " \xf0\x9f\x98\x80 and so on \xf0\x9f\x98\x80"};
    (void)state;
    for (size_t i = 0; i < 2; i++)
        for (size_t at = 0; at < strlen(texts[i]); at++)
            check_bad_byte(texts[i], at);
}

static void put_character(struct bytes *to, uint32_t point)
{
    static const unsigned char marks[] = {0, 0, 0xc0, 0xe0, 0xf0};
    int size = point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;

    put_byte(to, marks[size] | point >> (6 * (size - 1)));
    for (int i = size - 2; i >= 0; i--)
        put_byte(to, 0x80 | (point >> (6 * i) & 0x3f));
}

static void test_8_1_every_character_there_is(void **state)
{
    struct bytes text = {0}, wire = {0};
    struct ws_reader reader;
    struct ws_event event = {0};
    int got = 0;

    (void)state;
    for (uint32_t point = 0; point <= 0x10ffff; point++)
        if (point < 0xd800 || point > 0xdfff)
            put_character(&text, point);
    put_frame(&wire, &(struct frame){0x81, (char *)text.data, text.len}, RFC_KEY);

    ws_reader_init(&reader, text.len, true);
    for (size_t at = 0; at < wire.len && got == 0; at += 4093) {
        feed(&reader, wire.data + at, wire.len - at < 4093 ? wire.len - at : 4093);
        got = ws_next(&reader, &event);
    }
    assert_int_equal(got, 1);
    assert_int_equal(event.opcode, WS_TEXT);
    assert_int_equal(event.len, text.len);
    assert_memory_equal(event.payload, text.data, text.len);
    ws_reader_fini(&reader);
    drop(&text);
    drop(&wire);
}

/* ---- Limits ---------------------------------------------------------------------------------- */

static void test_limit_message_of_the_greatest_length(void **state)
{
    (void)state;
    CHECK_MAX(5, "text:Hello;", FRAME(0x81, "Hello"));
    CHECK_MAX(5, "binary:Hello;text:Hello;", FRAME(0x02, "Hel"), FRAME(0x00, "lo"), FRAME(0x80, ""),
              FRAME(0x81, "Hello"));
    CHECK_MAX(0, "text:;", FRAME(0x81, ""));
}

static void test_limit_too_long_fails_at_the_head(void **state)
{
    const struct frame text = FRAME(0x81, "Hello"), start = FRAME(0x02, "Hel");

    (void)state;
    check_head(0, "fail:1009;", NULL, &(struct frame)FRAME(0, "\x81\x01"));
    check_head(5, "fail:1009;", NULL, &(struct frame)FRAME(0, "\x81\x06"));
    check_head(5, "fail:1009;", NULL, &(struct frame)FRAME(0, "\x02\x7e\x01\x00"));
    check_head(5, "text:Hello;fail:1009;", &text, &(struct frame)FRAME(0, "\x82\x06"));
    check_head(5, "fail:1009;", &start, &(struct frame)FRAME(0, "\x80\x03"));
    check_head(65536, "fail:1009;", NULL, &(struct frame)FRAME(0, "\x82\x7f\0\0\0\0\0\x01\0\x01"));
}

/* Lengths that would wrap round when added to what is there already. */
static void test_limit_greatest_lengths_of_all(void **state)
{
    const struct frame start = FRAME(0x02, "Hel");

    (void)state;
    HEAD_FAILS("fail:1009;", "\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff");
    HEAD_FAILS("fail:1009;", "\x82\x7f\0\0\0\x01\0\0\0\0");
    check_head(5, "fail:1009;", &start,
               &(struct frame)FRAME(0, "\x80\x7f\x7f\xff\xff\xff\xff\xff\xff\xff"));
    check_head(SIZE_MAX / 2, "fail:1009;", &start,
               &(struct frame)FRAME(0, "\x80\x7f\x7f\xff\xff\xff\xff\xff\xff\xff"));
}

/* A message of `count` empty frames; the last one ends it. */
static void put_empty_frames(struct bytes *wire, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        unsigned first = (i == 0 ? 0x02u : 0u) | (i + 1 == count ? 0x80u : 0u);
        put_frame(wire, &(struct frame){(unsigned char)first, "", 0}, RFC_KEY);
    }
}

static void test_limit_fragments(void **state)
{
    static const size_t maxima[] = {0, 63, 64, 1000, 6400};

    (void)state;
    for (size_t i = 0; i < sizeof maxima / sizeof *maxima; i++) {
        size_t most = 16 + maxima[i] / WS_FRAGMENT_SIZE;
        struct input input = {.max = maxima[i], .masked = true};

        put_empty_frames(&input.wire, most);
        put_empty_frames(&input.wire, most);
        check_input("binary:;binary:;", &input);
        input.wire.len = 0;
        put_empty_frames(&input.wire, most + 1);
        check_input("fail:1008;", &input);
        drop(&input.wire);
    }
}

static void test_limit_control_frames_are_not_fragments(void **state)
{
    struct input input = {.max = 0, .masked = true};
    struct bytes expected = {0};

    (void)state;
    put_frame(&input.wire, &(struct frame)FRAME(0x01, ""), RFC_KEY);
    for (int i = 0; i < 100; i++) {
        put_frame(&input.wire, &(struct frame)FRAME(0x89, "p"), RFC_KEY);
        put_event(&expected, "ping", "p", 1);
    }
    put_frame(&input.wire, &(struct frame)FRAME(0x80, ""), RFC_KEY);
    put_event(&expected, "text", "", 0);
    check_input((char *)expected.data, &input);
    drop(&input.wire);
    drop(&expected);
}

/* ---- The reader's buffer --------------------------------------------------------------------- */

static void test_reader_holds_no_memory_without_need(void **state)
{
    struct session session;
    static const unsigned char head[] = {0x82, 0xff, 0, 0, 0, 0, 1, 0, 0, 0, 1, 2, 3, 4};

    (void)state;
    session_init(&session, 16 * 1024 * 1024, true);
    assert_null(session.reader.buf);
    give(&session, head, sizeof head);
    assert_false(session.over);
    assert_true(session.reader.cap <= SMALL_BUFFER);
    session_fini(&session);
}

static void test_reader_gives_memory_back(void **state)
{
    static const unsigned char frame[] = {0x81, 0x81, 0, 0, 0, 0, 'a'};
    struct session session;

    (void)state;
    session_init(&session, MAX_MESSAGE, true);
    for (int i = 0; i < 3; i++) {
        give(&session, frame, sizeof frame);
        ws_rest(&session.reader);
        assert_null(session.reader.buf);
    }
    assert_string_equal((char *)session.said.data, "text:a;text:a;text:a;");
    session_fini(&session);
}

/* After ws_reader_fini, too, and even when it was left in the middle of a message. */
static void test_reader_is_new_after_fini(void **state)
{
    static const unsigned char start[] = {0x01, 0x83, 0, 0, 0, 0, 'a', 0xe2};
    static const unsigned char whole[] = {0x81, 0x81, 0, 0, 0, 0, 'b'};
    struct session session;

    (void)state;
    session_init(&session, MAX_MESSAGE, true);
    give(&session, start, sizeof start);
    ws_reader_fini(&session.reader);
    give(&session, whole, sizeof whole);
    assert_string_equal((char *)session.said.data, "text:b;");
    session_fini(&session);
}

/* The buffer does not grow with what is done: not with messages, and not with pings inside one. */
static void test_reader_stays_small_for_ever(void **state)
{
    struct session session;
    struct bytes message = {0};

    (void)state;
    put_frame(&message, &(struct frame)FRAME(0x81, "one message"), RFC_KEY);
    put_frame(&message, &(struct frame)FRAME(0x89, "one ping"), RFC_KEY);
    session_init(&session, MAX_MESSAGE, true);
    for (size_t i = 0; i < 20000; i++) {
        give(&session, message.data, i % message.len);
        give(&session, message.data + i % message.len, message.len - i % message.len);
        session.said.len = 0;
    }
    give(&session, (const unsigned char *)"\x01\x81\0\0\0\0a", 7);
    for (size_t i = 0; i < 20000; i++) {
        give(&session, (const unsigned char *)"\x89\x84\0\0\0\0ping", 10);
        session.said.len = 0;
    }
    give(&session, (const unsigned char *)"\x80\x81\0\0\0\0b", 7);
    assert_string_equal((char *)session.said.data, "text:ab;");
    assert_true(session.reader.cap <= SMALL_BUFFER);
    session_fini(&session);
    drop(&message);
}

static void test_reader_lets_a_head_be_read_first(void **state)
{
    static const char request[] = "GET / HTTP/1.1\r\n\r\n";
    const size_t len = sizeof request - 1;
    struct session session;
    unsigned char *bytes = NULL;

    (void)state;
    session_init(&session, MAX_MESSAGE, true);
    assert_int_equal(ws_peek(&session.reader, &bytes), 0);
    for (size_t i = 0; i < len; i++) {
        feed(&session.reader, (const unsigned char *)request + i, 1);
        assert_int_equal(ws_peek(&session.reader, &bytes), i + 1);
        assert_memory_equal(bytes, request, i + 1);
    }
    feed(&session.reader, (const unsigned char *)"\x81\x81\0\0\0\0a\x81\x81\0", 10);
    ws_skip(&session.reader, len);
    assert_int_equal(ws_peek(&session.reader, &bytes), 10);
    give(&session, (const unsigned char *)"\0\0\0b", 4);
    assert_string_equal((char *)session.said.data, "text:a;text:b;");
    assert_int_equal(ws_peek(&session.reader, &bytes), 0);
    session_fini(&session);
}

/* ---- Writing --------------------------------------------------------------------------------- */

static const size_t SIZES[] = {0, 1, 125, 126, 127, 65535, 65536, 100000};
enum { SIZE_COUNT = sizeof SIZES / sizeof *SIZES };

static void check_head_written(enum ws_opcode opcode, size_t len, const char *head, size_t n)
{
    unsigned char out[WS_HEAD_MAX];

    assert_int_equal(ws_write_head(out, opcode, len), n);
    assert_memory_equal(out, head, n);
}

static void test_5_2_heads_written(void **state)
{
    (void)state;
    check_head_written(WS_TEXT, 0, "\x81\x00", 2);
    check_head_written(WS_BINARY, 125, "\x82\x7d", 2);
    check_head_written(WS_PING, 5, "\x89\x05", 2);
    check_head_written(WS_PONG, 125, "\x8a\x7d", 2);
    check_head_written(WS_TEXT, 126, "\x81\x7e\x00\x7e", 4);
    check_head_written(WS_BINARY, 256, "\x82\x7e\x01\x00", 4);
    check_head_written(WS_TEXT, 65535, "\x81\x7e\xff\xff", 4);
    check_head_written(WS_BINARY, 65536, "\x82\x7f\0\0\0\0\0\x01\0\0", 10);
    check_head_written(WS_BINARY, 0x01020304, "\x82\x7f\0\0\0\0\x01\x02\x03\x04", 10);
}

/* Each head stands in a block of just its size, so that a sanitizer sees a look beyond it. */
static void test_5_2_frame_sizes_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < SIZE_COUNT; i++) {
        unsigned char out[WS_HEAD_MAX];
        size_t head = ws_write_head(out, WS_BINARY, SIZES[i]);
        size_t there = head + SIZES[i] < 10 ? head + SIZES[i] : 10;
        unsigned char *block = calloc(1, there);

        assert_non_null(block);
        memcpy(block, out, head);
        assert_int_equal(ws_head_size(block), head);
        assert_int_equal(ws_frame_size(block), head + SIZES[i]);
        free(block);
    }
}

static void test_5_written_frames_are_read(void **state)
{
    static const enum ws_opcode opcodes[] = {WS_TEXT, WS_BINARY};
    char *payload = malloc(100000);

    (void)state;
    assert_non_null(payload);
    memset(payload, 'x', 100000);
    for (size_t i = 0; i < 2 * SIZE_COUNT; i++) {
        struct input input = {.max = MAX_MESSAGE};
        struct bytes expected = {0};
        unsigned char head[WS_HEAD_MAX];

        put(&input.wire, head, ws_write_head(head, opcodes[i % 2], SIZES[i / 2]));
        put(&input.wire, payload, SIZES[i / 2]);
        put_event(&expected, i % 2 ? "binary" : "text", payload, SIZES[i / 2]);
        check_chop((char *)expected.data, &input, (struct chop){.cut = {1, 3}, .step = 997});
        drop(&input.wire);
        drop(&expected);
    }
    free(payload);
}

static void check_close_written(int code, const char *reason, const char *frame, size_t n)
{
    unsigned char out[WS_CLOSE_MAX];

    assert_int_equal(ws_write_close(out, code, reason), n);
    assert_memory_equal(out, frame, n);
}

/* RFC 6455 §5.7's masked "Hello", and every length at which a head changes: what a client writes is
 * what the RFC shows, a server's reader takes it, and another key makes other bytes of it. */
static void test_5_3_masked_frames_written(void **state)
{
    static const unsigned char example[] = {0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d,
                                            0x7f, 0x9f, 0x4d, 0x51, 0x58};
    static const size_t lengths[] = {0, 1, 7, 8, 9, 125, 126, 127, 65535, 65536, 100000};
    static unsigned char payload[100000], out[WS_HEAD_MAX + sizeof(payload)];
    (void)state;
    assert_int_equal(ws_write_masked(out, WS_TEXT, "Hello", 5, RFC_KEY), sizeof(example));
    assert_memory_equal(out, example, sizeof(example));
    memset(payload, 'x', sizeof(payload));
    for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
        struct bytes expected = {0};
        struct frame frame = {0x81, (const char *)payload, lengths[i]};
        put_frame(&expected, &frame, RFC_KEY);
        assert_int_equal(ws_write_masked(out, WS_TEXT, payload, lengths[i], RFC_KEY), expected.len);
        assert_memory_equal(out, expected.data, expected.len);
        drop(&expected);
    }
}

static void test_5_5_1_close_written(void **state)
{
    (void)state;
    check_close_written(WS_CODE_NONE, "", "\x88\x00", 2);
    check_close_written(WS_CODE_NONE, "unheard", "\x88\x00", 2);
    check_close_written(WS_CODE_NORMAL, "", "\x88\x02\3\350", 4);
    check_close_written(WS_CODE_TRY_LATER, "full", "\x88\x06\3\365full", 8);
    check_close_written(4999, "\xe2\x82\xac", "\x88\x05\x13\x87\xe2\x82\xac", 7);
}

/* A reason of `plain` letters and the character: how much of it is sent, and can be read again. */
static void check_cut(size_t plain, const char *character, size_t sent)
{
    char reason[256] = {0};
    unsigned char out[WS_CLOSE_MAX];
    struct input input = {.max = MAX_MESSAGE};
    struct bytes expected = {0};

    memset(reason, 'r', plain);
    memcpy(reason + plain, character, strlen(character));
    put(&input.wire, out, ws_write_close(out, WS_CODE_POLICY, reason));
    put_event(&expected, "close:1008", reason, sent);
    check_input((char *)expected.data, &input);
    drop(&input.wire);
    drop(&expected);
}

static void test_5_5_1_long_reasons_are_cut_at_a_character(void **state)
{
    (void)state;
    check_cut(123, "", 123);
    check_cut(123, "r", 123);
    check_cut(250, "", 123);
    check_cut(121, "\xc3\xa9", 123);
    check_cut(122, "\xc3\xa9", 122);
    check_cut(120, "\xe2\x82\xac", 123);
    check_cut(121, "\xe2\x82\xac", 121);
    check_cut(122, "\xe2\x82\xac", 122);
    check_cut(119, "\xf0\x9f\x98\x80", 123);
    check_cut(120, "\xf0\x9f\x98\x80", 120);
    check_cut(122, "\xf0\x9f\x98\x80", 122);
    check_cut(123, "\xf0\x9f\x98\x80", 123);
}

/* ---- Random dialogues, the same ones each time ----------------------------------------------- */

static uint64_t dice;

static size_t below(size_t bound)
{
    dice ^= dice << 13;
    dice ^= dice >> 7;
    dice ^= dice << 17;
    return (size_t)((dice >> 16) % bound);
}

static void put_random_text(struct bytes *to, size_t characters)
{
    static const uint32_t first[] = {0x00, 0x80, 0x800, 0xe000, 0x10000};
    static const uint32_t count[] = {0x80, 0x780, 0xd000, 0x2000, 0x100000};

    put(to, "", 0);
    for (size_t i = 0; i < characters; i++) {
        size_t range = below(5);
        put_character(to, first[range] + (uint32_t)below(count[range]));
    }
}

static void put_random_key_frame(struct bytes *wire, const struct frame *frame)
{
    const unsigned char key[4] = {(unsigned char)below(256), (unsigned char)below(256),
                                  (unsigned char)below(256), (unsigned char)below(256)};
    put_frame(wire, frame, key);
}

/* One message in up to five fragments, pings in between; and what is to be said of it. */
static void put_random_message(struct bytes *wire, struct bytes *expected)
{
    unsigned opcode = below(2) ? WS_TEXT : WS_BINARY;
    struct bytes message = {0};
    size_t sent = 0, left = 1 + below(5);

    put_random_text(&message, below(60));
    if (opcode == WS_BINARY)
        put_byte(&message, 0xff);
    for (unsigned kind = opcode; left > 0; left--, kind = WS_CONTINUATION) {
        size_t n = left == 1 ? message.len - sent : below(message.len - sent + 1);
        unsigned first = kind | (left == 1 ? 0x80u : 0u);
        const char *fragment = (const char *)message.data + sent;

        put_random_key_frame(wire, &(struct frame){(unsigned char)first, fragment, n});
        sent += n;
        if (left > 1 && below(3) == 0) {
            put_random_key_frame(wire, &(struct frame)FRAME(0x89, "?"));
            put_event(expected, "ping", "?", 1);
        }
    }
    put_event(expected, opcode == WS_TEXT ? "text" : "binary", message.data, message.len);
    drop(&message);
}

static struct chop random_chop(size_t len)
{
    size_t cut = below(len + 1);
    return (struct chop){{cut, cut + below(len - cut + 1)}, below(40), below(2)};
}

static void put_random_dialogue(struct input *input, struct bytes *expected)
{
    for (size_t i = below(4) + 1; i > 0; i--)
        put_random_message(&input->wire, expected);
}

static void test_random_dialogues_are_understood(void **state)
{
    (void)state;
    dice = 6455;
    for (int round = 0; round < 2000; round++) {
        struct input input = {.max = MAX_MESSAGE, .masked = true};
        struct bytes expected = {0};

        put_random_dialogue(&input, &expected);
        for (int i = 0; i < 5; i++)
            check_chop((char *)expected.data, &input, random_chop(input.wire.len));
        drop(&input.wire);
        drop(&expected);
    }
}

/* What the reader says of the input when it gets it whole. */
static void transcribe(const struct input *input, struct session *session)
{
    session_init(session, input->max, input->masked);
    give(session, input->wire.data, input->wire.len);
}

/* Nobody knows what is to be said of damaged input, but the portions must not matter. */
static void test_random_damage_fails_alike_in_all_portions(void **state)
{
    size_t failed = 0;

    (void)state;
    dice = 3629;
    for (int round = 0; round < 4000; round++) {
        struct input input = {.max = 200, .masked = true};
        struct bytes ignored = {0};
        struct session whole;

        put_random_dialogue(&input, &ignored);
        for (size_t i = 1 + below(3); i > 0; i--)
            input.wire.data[below(input.wire.len)] ^= (unsigned char)(1u << below(8));
        transcribe(&input, &whole);
        failed += whole.over;
        for (int i = 0; i < 5; i++)
            check_chop((char *)whole.said.data, &input, random_chop(input.wire.len));
        session_fini(&whole);
        drop(&input.wire);
        drop(&ignored);
    }
    assert_in_range(failed, 1000, 4000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_1_3_accept_key),
        cmocka_unit_test(test_4_2_2_accept_key_takes_24_characters_and_no_more),
        cmocka_unit_test(test_5_7_unmasked_text),
        cmocka_unit_test(test_5_7_masked_text),
        cmocka_unit_test(test_5_7_fragmented_text),
        cmocka_unit_test(test_5_7_ping_and_pong),
        cmocka_unit_test(test_5_7_binary_of_256_bytes),
        cmocka_unit_test(test_5_7_binary_of_64_kib),
        cmocka_unit_test(test_5_1_unmasked_frame_from_a_client_fails),
        cmocka_unit_test(test_5_1_masked_frame_from_a_server_fails),
        cmocka_unit_test(test_5_2_reserved_opcodes_fail),
        cmocka_unit_test(test_5_2_reserved_bits_fail),
        cmocka_unit_test(test_5_2_reserved_bits_of_a_continuation_fail),
        cmocka_unit_test(test_5_2_first_byte_fails_alone),
        cmocka_unit_test(test_5_2_length_that_is_not_minimal_fails),
        cmocka_unit_test(test_5_2_length_with_the_top_bit_fails),
        cmocka_unit_test(test_5_2_lengths_at_the_edges),
        cmocka_unit_test(test_5_4_empty_messages_and_fragments),
        cmocka_unit_test(test_5_4_messages_one_after_another),
        cmocka_unit_test(test_5_4_control_frames_between_and_inside),
        cmocka_unit_test(test_5_4_continuation_of_nothing_fails),
        cmocka_unit_test(test_5_4_new_message_inside_a_message_fails),
        cmocka_unit_test(test_5_5_fragmented_control_frame_fails),
        cmocka_unit_test(test_5_5_control_frame_over_125_bytes_fails),
        cmocka_unit_test(test_5_5_2_ping_of_0_to_125_bytes),
        cmocka_unit_test(test_5_5_1_close_without_code),
        cmocka_unit_test(test_5_5_1_close_of_one_byte_fails),
        cmocka_unit_test(test_5_5_1_close_with_reason),
        cmocka_unit_test(test_5_5_1_close_ends_the_reading),
        cmocka_unit_test(test_7_4_every_close_code_there_is),
        cmocka_unit_test(test_8_1_close_reason_that_is_not_utf8_fails),
        cmocka_unit_test(test_8_1_control_frame_inside_a_character),
        cmocka_unit_test(test_8_1_code_points_at_the_edges),
        cmocka_unit_test(test_8_1_bytes_that_are_not_utf8),
        cmocka_unit_test(test_8_1_character_cut_short_by_fin),
        cmocka_unit_test(test_8_1_character_across_fragments),
        cmocka_unit_test(test_8_1_binary_is_not_looked_at),
        cmocka_unit_test(test_8_1_fails_at_the_first_bad_byte),
        cmocka_unit_test(test_8_1_fails_at_the_bad_byte_of_a_long_text),
        cmocka_unit_test(test_8_1_every_character_there_is),
        cmocka_unit_test(test_limit_message_of_the_greatest_length),
        cmocka_unit_test(test_limit_too_long_fails_at_the_head),
        cmocka_unit_test(test_limit_greatest_lengths_of_all),
        cmocka_unit_test(test_limit_fragments),
        cmocka_unit_test(test_limit_control_frames_are_not_fragments),
        cmocka_unit_test(test_reader_holds_no_memory_without_need),
        cmocka_unit_test(test_reader_gives_memory_back),
        cmocka_unit_test(test_reader_is_new_after_fini),
        cmocka_unit_test(test_reader_stays_small_for_ever),
        cmocka_unit_test(test_reader_lets_a_head_be_read_first),
        cmocka_unit_test(test_5_2_heads_written),
        cmocka_unit_test(test_5_2_frame_sizes_read),
        cmocka_unit_test(test_5_written_frames_are_read),
        cmocka_unit_test(test_5_3_masked_frames_written),
        cmocka_unit_test(test_5_5_1_close_written),
        cmocka_unit_test(test_5_5_1_long_reasons_are_cut_at_a_character),
        cmocka_unit_test(test_random_dialogues_are_understood),
        cmocka_unit_test(test_random_damage_fails_alike_in_all_portions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
