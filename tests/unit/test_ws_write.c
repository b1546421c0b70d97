/* SPDX-License-Identifier: MIT
 *
 * test_ws_write.c - writing frames, and random dialogues.
 */
#include "ws.h"

#include "ws_bytes.h"

/* ---- Writing ---- */

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

/* ---- Random dialogues, the same ones each time ---- */

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
