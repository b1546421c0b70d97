/* SPDX-License-Identifier: MIT
 *
 * test_ws.c - frames: the handshake key, the RFC's examples, heads, fragments, control frames.
 */
#include "ws.h"

#include "ws_bytes.h"

/* ---- The same input in every portion ---- */

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

/* ---- §1.3 and §4.2.2: the handshake key ---- */

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

/* ---- §5.7: the RFC's own examples, byte for byte ---- */

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

/* ---- §5.1 and §5.2: heads ---- */

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

/* ---- §5.4: fragments ---- */

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

/* ---- §5.5: control frames ---- */

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

/* ---- The reader's own books ---- */

static void feed_text(struct ws_reader *reader, const char *bytes, size_t len)
{
    feed(reader, (const unsigned char *)bytes, len);
}

/* The frame that has arrived in part is numbered from 1; between two frames there is none. */
static void test_a_partial_frame_has_a_number(void **state)
{
    struct ws_reader reader;
    struct ws_event event;

    (void)state;
    ws_reader_init(&reader, MAX_MESSAGE, false);
    assert_int_equal(ws_partial_frame(&reader), 0);
    feed_text(&reader, "\x81", 1);
    assert_int_equal(ws_next(&reader, &event), 0);
    assert_int_equal(ws_partial_frame(&reader), 1);
    feed_text(&reader, "\x02Hi\x01\x02y", 6);
    assert_int_equal(ws_next(&reader, &event), 1);
    assert_int_equal(ws_next(&reader, &event), 0);
    assert_int_equal(ws_partial_frame(&reader), 2);
    feed_text(&reader, "o", 1);
    assert_int_equal(ws_next(&reader, &event), 0); /* whole, but not the message */
    assert_int_equal(ws_partial_frame(&reader), 0);
    feed_text(&reader, "\x88\x02\x03", 3);
    assert_int_equal(ws_next(&reader, &event), 0);
    assert_int_equal(ws_partial_frame(&reader), 3);
    feed_text(&reader, "\xE8", 1);
    assert_int_equal(ws_next(&reader, &event), 1);
    assert_int_equal(event.code, WS_CODE_NORMAL);
    ws_reader_fini(&reader);
}

/* A read is offered at least 4 KiB; a buffer that is too small for it doubles. */
static void test_the_buffer_doubles(void **state)
{
    static const char fragment[4096] = "\x02\x7E\x7F\xFF";
    struct ws_reader reader;
    unsigned char *space;

    (void)state;
    ws_reader_init(&reader, 1 << 20, false);
    assert_int_equal(ws_reserve(&reader, &space), 4096);
    feed_text(&reader, fragment, 4096);
    assert_int_equal(ws_reserve(&reader, &space), 4096);
    feed_text(&reader, fragment, 4096);
    assert_int_equal(ws_reserve(&reader, &space), 8192);
    feed_text(&reader, fragment, 4096);
    assert_int_equal(ws_reserve(&reader, &space), 4096);
    ws_reader_fini(&reader);
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
        cmocka_unit_test(test_a_partial_frame_has_a_number),
        cmocka_unit_test(test_the_buffer_doubles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
