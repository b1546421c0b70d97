/* SPDX-License-Identifier: MIT
 *
 * test_ws_text.c - text: UTF-8, limits, and the reader's buffer.
 */
#include "ws.h"

#include "ws_bytes.h"

/* ---- §8.1 and RFC 3629: UTF-8 ---- */

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

/* ---- Limits ---- */

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

/* ---- The reader's buffer ---- */

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
        ws_release_idle(&session.reader);
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
static void test_reader_stays_small(void **state)
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

int main(void)
{
    const struct CMUnitTest tests[] = {
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
        cmocka_unit_test(test_reader_stays_small),
        cmocka_unit_test(test_reader_lets_a_head_be_read_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
