/* SPDX-License-Identifier: MIT
 *
 * test_json.c - the grammar of RFC 8259.
 */
#include "lib/json/json.h"

#include "json_text.h"

/* ---- Parsing ---- */

static void accept_values(const struct text *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char text[256];
        struct parsed parsed;
        parse(&parsed, text, wrap(text, &values[i]));
        if (parsed.result)
            fail_msg("refused, %s: %s", parsed.error.why, values[i].bytes);
        assert_int_equal(parsed.object.count, 1);
        assert_int_equal(parsed.object.fields[0].value_len, values[i].len);
        assert_memory_equal(parsed.object.fields[0].value, values[i].bytes, values[i].len);
        drop(&parsed);
    }
}

/* The tables are packed by hand. */
/* clang-format off */

/* ---- RFC 8259, the grammar ---- */

static void rfc8259_2_white_space(void **state)
{
    static const char *const good[] = {
        "{}",
        " {}",
        "{} ",
        "\t\n\r {\t\n\r }\t\n\r ",
        "{ \"a\" : 1 }",
        "{\"a\"\n:\n[\n1\n,\n2\n]\n,\n\"b\"\n:\n{\n}\n}\n",
    };
    static const struct text bad[] = {
        TEXT("\f{}"),
        TEXT("\v{}"),
        TEXT("{}\0"),
        TEXT("{}\f"),
        TEXT("{\f}"),
        TEXT("{\"a\":\xC2\xA0 1}"),     /* no-break space */
        TEXT("{\"a\":\xE2\x80\xA8 1}"), /* line separator */
        TEXT("{\"a\":\xE2\x81\xA0 1}"), /* word joiner */
        TEXT("{/**/}"),
        TEXT("{} // done"),
        TEXT("{}#"),
    };

    (void)state;
    for (size_t i = 0; i < COUNT(good); i++)
        assert_true(accepted(good[i], strlen(good[i])));
    refuse_texts(bad, COUNT(bad));
}

static void rfc8259_3_words(void **state)
{
    static const struct text good[] = {TEXT("true"), TEXT("false"), TEXT("null")};
    static const struct text bad[] = {
        TEXT(""), TEXT("True"), TEXT("TRUE"), TEXT("nul"), TEXT("nulll"), TEXT("tru"),
        TEXT("truth"), TEXT("fals"), TEXT("falsE"), TEXT("undefined"), TEXT("NaN"), TEXT("nan"),
        TEXT("Infinity"), TEXT("inf"), TEXT("-Infinity"), TEXT("true true"), TEXT("t"),
        TEXT("true\0"), TEXT("\0true"), TEXT("*"), TEXT("word"), TEXT("(1)"), TEXT("<null>"),
        TEXT(":"), TEXT("="),
    };

    (void)state;
    accept_values(good, COUNT(good));
    refuse_values(bad, COUNT(bad));
}

static void rfc8259_4_objects(void **state)
{
    static const struct text good[] = {
        TEXT("{}"), TEXT("{ }"), TEXT("{\"\":0}"), TEXT("{\"a\":{\"a\":{\"a\":1}}}"),
        TEXT("{\"a\":1,\"A\":2}"), TEXT("{\"a\\u0000\":1,\"a\":2,\"a\\u0000b\":3}"),
        TEXT("[{\"a\":1},{\"a\":1}]"), TEXT("{\"x\":{\"a\":1},\"y\":{\"a\":1},\"a\":1}"),
    };
    static const struct text bad[] = {
        TEXT("{"), TEXT("{]"), TEXT("{,}"), TEXT("{\"a\"}"), TEXT("{\"a\":}"),
        TEXT("{\"a\" 1}"), TEXT("{\"a\",1}"), TEXT("{\"a\"::1}"), TEXT("{:1}"), TEXT("{a:1}"),
        TEXT("{'a':1}"), TEXT("{1:1}"), TEXT("{null:1}"), TEXT("{[]:1}"), TEXT("{\"a\":1,}"),
        TEXT("{\"a\":1,,}"), TEXT("{\"a\":1 \"b\":2}"), TEXT("{,\"a\":1}"),
        TEXT("{\"a\":1;\"b\":2}"), TEXT("{\"a\":1"), TEXT("{\"a\":1]"), TEXT("{\"a\":1}}"),
        TEXT("{\"a\"=1}"), TEXT("{\"a\":1,\"b\"}"), TEXT("{...}"), TEXT("{\"a\":b}"),
        TEXT("{\"a\":1 2}"), TEXT("{\"a\nb\":1}"),
    };

    (void)state;
    accept_values(good, COUNT(good));
    refuse_values(bad, COUNT(bad));
}

static void rfc8259_5_arrays(void **state)
{
    static const struct text good[] = {
        TEXT("[]"), TEXT("[ ]"), TEXT("[[]]"), TEXT("[1]"), TEXT("[1 , 2]"),
        TEXT("[null,1,\"1\",{},[]]"), TEXT("[[],[[]],[[[]]]]"), TEXT("[\"\"]"),
        TEXT("[true,false]"),
    };
    static const struct text bad[] = {
        TEXT("["), TEXT("[}"), TEXT("[,]"), TEXT("[1,]"), TEXT("[,1]"), TEXT("[1,,2]"),
        TEXT("[1 2]"), TEXT("[1;2]"), TEXT("[1:2]"), TEXT("[1}"), TEXT("[1]]"), TEXT("]"),
        TEXT("[\"a\""), TEXT("[1,\n2"), TEXT("[x]"), TEXT("[[1]"), TEXT("[*]"), TEXT("[][]"),
        TEXT("[\"a\" \"b\"]"), TEXT("[3[4]]"),
    };

    (void)state;
    accept_values(good, COUNT(good));
    refuse_values(bad, COUNT(bad));
}

static void rfc8259_6_numbers(void **state)
{
    static const struct text good[] = {
        TEXT("0"), TEXT("-0"), TEXT("1"), TEXT("-1"), TEXT("10"), TEXT("123"), TEXT("0.0"),
        TEXT("1.0"), TEXT("-0.5"), TEXT("1e5"), TEXT("1E5"), TEXT("1e+5"), TEXT("1e-5"),
        TEXT("1e05"), TEXT("0e0"), TEXT("0E+1"), TEXT("-0e-0"), TEXT("1e400"), TEXT("-1e400"),
        TEXT("1.5e-400"), TEXT("9007199254740993"), TEXT("123456789012345678901234567890"),
        TEXT("0.10000000000000000000001"),
    };
    static const struct text bad[] = {
        TEXT("+1"),           TEXT("-"),    TEXT("--1"),   TEXT("-a"),    TEXT("01"),
        TEXT("-01"),          TEXT("00"),   TEXT("1."),    TEXT(".5"),    TEXT("-.5"),
        TEXT("1.e1"),         TEXT("0.e1"), TEXT("1e"),    TEXT("1e+"),   TEXT("1E-"),
        TEXT("1e1.5"),        TEXT("1ee1"), TEXT("1e+-1"), TEXT("1..2"),  TEXT("1.2.3"),
        TEXT("0x10"),         TEXT("0b1"),  TEXT("1_000"), TEXT("1,000"), TEXT("1 000"),
        TEXT("- 1"),          TEXT("1a"),   TEXT("1.5f"),  TEXT("1+2"),   TEXT("9.e+"),
        TEXT("\xEF\xBC\x91"), /* a full-width 1 */
        TEXT("-\xC2\xB2"),    /* a superscript 2 */
    };

    (void)state;
    accept_values(good, COUNT(good));
    refuse_values(bad, COUNT(bad));
}

static void rfc8259_7_strings(void **state)
{
    static const struct text good[] = {
        TEXT("\"\""), TEXT("\" \""), TEXT("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""),
        TEXT("\"\\u0000\\u001f\\uFfFf\""), TEXT("\"\x7F\""), TEXT("\"/ // /* ' { } [ ] , :\""),
        TEXT("\"\xC2\x80\xDF\xBF\xE0\xA0\x80\xED\x9F\xBF\xEE\x80\x80\xEF\xBF\xBF\""),
        TEXT("\"\xF0\x90\x80\x80\xF4\x8F\xBF\xBF\""),
        TEXT("\"\xE2\x80\xA8\xE2\x80\xA9\xEF\xBB\xBF\""),
        TEXT("\"\\uD834\\uDD1E\\ud800\\udc00\\uDBFF\\uDFFF\""), TEXT("\"\\\\u12\""),
    };
    static const struct text bad[] = {
        TEXT("\""), TEXT("\"a"), TEXT("a\""), TEXT("'a'"), TEXT("\"a\"b\""), TEXT("\"\\\""),
        TEXT("\"\\x41\""), TEXT("\"\\a\""), TEXT("\"\\v\""), TEXT("\"\\0\""), TEXT("\"\\'\""),
        TEXT("\"\\U0041\""), TEXT("\"\\u\""), TEXT("\"\\u1\""), TEXT("\"\\u12\""),
        TEXT("\"\\u123\""), TEXT("\"\\u123g\""), TEXT("\"\\u-123\""), TEXT("\"\\u 123\""),
        TEXT("\"\\u00A\""), TEXT("\"\\ u0041\""), TEXT("\"\\\n\""), TEXT("\"\\\0\""),
        TEXT("\"\\\xC3\xA9\""), TEXT("\"\0\""), TEXT("\"a\0b\""), TEXT("\"\n\""),
        TEXT("\"\t\""), TEXT("\"\x1F\""), TEXT("\"\\\\\\\""), TEXT("\\u0022a\""),
        TEXT("\"\\u{41}\""),
    };

    (void)state;
    accept_values(good, COUNT(good));
    refuse_values(bad, COUNT(bad));
}

static void rfc3629_4_utf8(void **state)
{
    static const struct text bad[] = {
        TEXT("\"\x80\""), /* a continuation byte alone */
        TEXT("\"\xBF\""),
        TEXT("\"\xC3\""), /* cut by the quote */
        TEXT("\"\xE2\x82\""),
        TEXT("\"\xF0\x9F\x98\""),
        TEXT("\"\xC3\x41\""), /* no continuation byte where one is due */
        TEXT("\"\xE2\x28\xA1\""),
        TEXT("\"\xF0\x9F\x28\x80\""),
        TEXT("\"\xF0\x9F\x98\xC0\""),
        TEXT("\"\xC0\xA2\""), /* not the shortest form */
        TEXT("\"\xC1\xBF\""),
        TEXT("\"\xE0\x80\xA2\""),
        TEXT("\"\xE0\x9F\xBF\""),
        TEXT("\"\xF0\x80\x80\xA2\""),
        TEXT("\"\xF0\x8F\xBF\xBF\""),
        TEXT("\"\xED\xA0\x80\""), /* surrogates */
        TEXT("\"\xED\xBF\xBF\""),
        TEXT("\"\xED\xA0\xB4\xED\xB4\x9E\""),
        TEXT("\"\xF4\x90\x80\x80\""), /* above U+10FFFF */
        TEXT("\"\xF5\x80\x80\x80\""),
        TEXT("\"\xF8\x88\x80\x80\x80\""),
        TEXT("\"\xF8\x90\x80\x80\""),
        TEXT("\"\xFE\x90\x80\x80\""),
        TEXT("\"\xFE\""),
        TEXT("\"\xFF\""),
        TEXT("\xC3\xA9"),     /* valid, but in no string */
        TEXT("{\"\xC3\":1}"), /* in a name */
    };

    (void)state;
    refuse_values(bad, COUNT(bad));
}

static void rfc8259_8_1_no_byte_order_mark(void **state)
{
    static const struct text bad[] = {
        TEXT("\xEF\xBB\xBF{}"), TEXT("{}\xEF\xBB\xBF"), TEXT("\xFF\xFE{\0}\0"), TEXT("\0{\0}"),
    };

    (void)state;
    refuse_texts(bad, COUNT(bad));
}

static void rfc8259_8_2_no_half_surrogate_pair(void **state)
{
    static const struct text bad[] = {
        TEXT("\"\\uD800\""), TEXT("\"\\uDBFF\""), TEXT("\"\\uDC00\""), TEXT("\"\\uDFFF\""),
        TEXT("\"\\uD800\\uD800\""), TEXT("\"\\uD800\\u0041\""), TEXT("\"\\uD800\\uE000\""),
        TEXT("\"\\uDC00\\uD800\""), TEXT("\"\\uD800x\""), TEXT("\"\\uD800\\n\""),
        TEXT("\"\\uD800\\\""), TEXT("\"\\uD800\\u\""), TEXT("\"\\uD800\\uDC0\""),
        TEXT("\"\\uD800uDC00\""), TEXT("\"\\uD834\\uDD1E\\uD834\""),
        TEXT("\"\\uD800\xF0\x90\x80\x80\""), TEXT("{\"\\uD800\":1}"),
    };

    (void)state;
    refuse_values(bad, COUNT(bad));
}

static void a_message_is_one_object(void **state)
{
    static const struct text bad[] = {
        TEXT("[]"), TEXT("[{}]"), TEXT("\"text\""), TEXT("1"), TEXT("null"), TEXT(" true"),
        TEXT("}"), TEXT(""), TEXT(" \n"), TEXT("hello"), TEXT("\0"),
    };
    static const struct text more[] = {
        TEXT("{}{}"), TEXT("{} {}"), TEXT("{},"), TEXT("{}]"), TEXT("{}}"), TEXT("{}x"),
    };

    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct parsed parsed;
        parse(&parsed, bad[i].bytes, bad[i].len);
        assert_int_equal(parsed.result, -1);
        assert_string_equal(parsed.error.why, "a message is one JSON object");
        drop(&parsed);
    }
    refuse_texts(more, COUNT(more));
}

static void complaints_name_place_and_reason(void **state)
{
    static const struct {
        const char *text;
        size_t offset;
        const char *why;
    } cases[] = {
        {" []", 1, "a message is one JSON object"},
        {"{", 1, "the text ends too early"},
        {"{\"a\":\"b", 7, "the text ends too early"},
        {"{\"a\":tru", 8, "the text ends too early"},
        {"{\"a\":1}x", 7, "nothing may follow the object"},
        {"{\"a\":1 \"b\":2}", 7, "a comma or } is missing"},
        {"{\"a\":[1 2]}", 8, "a comma or ] is missing"},
        {"{\"a\" 1}", 5, "a colon is missing"},
        {"{\"a\":1,}", 7, "a name in quotes is missing"},
        {"{\"a\":True}", 5, "this is no JSON value"},
        {"{\"a\":tRue}", 6, "this is no JSON value"},
        {"{\"a\":-}", 6, "a digit is missing"},
        {"{\"a\":1.}", 7, "a digit is missing"},
        {"{\"a\":01}", 6, "a number has no leading zeros"},
        {"{\"a\":\"b\nc\"}", 7, "a control character must be escaped"},
        {"{\"a\":\"\\x\"}", 7, "JSON has no such escape"},
        {"{\"a\":\"\\u12G4\"}", 10, "a \\u takes four hex digits"},
        {"{\"a\":\"\\uD834!\"}", 12, "half a surrogate pair stands before this"},
        {"{\"a\":\"\xC3!\"}", 6, "this is not valid UTF-8"},
        {"{\"a\":1, \"a\":2}", 8, "this name is there twice"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct parsed parsed;
        parse(&parsed, cases[i].text, strlen(cases[i].text));
        assert_int_equal(parsed.result, -1);
        assert_string_equal(parsed.error.why, cases[i].why);
        assert_int_equal(parsed.error.offset, cases[i].offset);
        drop(&parsed);
    }
}

static void every_prefix_is_refused(void **state)
{
    static const char good[] =
        "{ \"msgType\" : \"Broadcast\", \"text\":\"a\\n\\uD834\\uDD1E\xC3\xA9\xF0\x9F\x98\x80\","
        "\"n\":[-1.5e+10,true,false,null,{\"x\":{}}],\"e\":[] }";

    (void)state;
    assert_true(accepted(good, sizeof good - 1));
    for (size_t len = 0; len < sizeof good - 1; len++)
        assert_false(accepted(good, len));
}

/* clang-format on */

enum { WORDS = 20 }; /* bytes of a string: two words of eight, and some more */

/* RFC 8259 §7: strings are scanned in steps of eight bytes, so every byte is tried in every place of
 * a step, behind plain bytes and behind one that ends a step. */
static void rfc8259_7_every_byte_at_every_place(void **state)
{
    (void)state;
    for (int byte = 0; byte < 256; byte++) {
        bool plain = byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\';
        for (size_t at = 0; at < WORDS; at++) {
            char text[64];
            struct parsed parsed;
            size_t len = (size_t)sprintf(text, "{\"a\":\"%.*s\"}", WORDS, "~ #![]^}acdeghijk`{|");
            text[6 + at] = (char)byte;
            parse(&parsed, text, len);
            assert_int_equal(parsed.result, plain ? 0 : -1);
            if (byte < 0x20)
                assert_int_equal(parsed.error.offset, 6 + at);
            drop(&parsed);
        }
    }
}

/* The same in a name, whose key is that of its decoded bytes. */
static void an_escape_at_every_place_of_a_name(void **state)
{
    static const char name[] = "a name of many words";
    (void)state;
    for (size_t at = 0; at < strlen(name); at++) {
        char text[64];
        struct parsed parsed;
        snprintf(text, sizeof(text), "{\"%.*s\\u%04x%s\":1}", (int)at, name, name[at],
                 name + at + 1);
        parse_good(&parsed, text);
        assert_true(parsed.object.fields[0].key == json_key(name));
        drop(&parsed);
    }
}

static void an_object_knows_whether_its_text_is_ascii(void **state)
{
    static const struct {
        const char *text;
        bool ascii;
    } cases[] = {
        {"{}", true},
        {"{\"a\":\"\\u00e9 \\ud83d\\ude00\"}", true},
        {"{\"a\":\"\xC3\xA9\"}", false},
        {"{\"\xC3\xA9\":1}", false},
        {"{\"a\":[{\"b\":\"long enough for a word \xF0\x9F\x98\x80\"}],\"c\":\"d\"}", false},
    };
    struct parsed parsed;

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        parse_good(&parsed, cases[i].text);
        assert_int_equal(parsed.object.ascii, cases[i].ascii);
        drop(&parsed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rfc8259_2_white_space),
        cmocka_unit_test(rfc8259_3_words),
        cmocka_unit_test(rfc8259_4_objects),
        cmocka_unit_test(rfc8259_5_arrays),
        cmocka_unit_test(rfc8259_6_numbers),
        cmocka_unit_test(rfc8259_7_strings),
        cmocka_unit_test(rfc8259_7_every_byte_at_every_place),
        cmocka_unit_test(an_escape_at_every_place_of_a_name),
        cmocka_unit_test(rfc3629_4_utf8),
        cmocka_unit_test(an_object_knows_whether_its_text_is_ascii),
        cmocka_unit_test(rfc8259_8_1_no_byte_order_mark),
        cmocka_unit_test(rfc8259_8_2_no_half_surrogate_pair),
        cmocka_unit_test(a_message_is_one_object),
        cmocka_unit_test(complaints_name_place_and_reason),
        cmocka_unit_test(every_prefix_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
