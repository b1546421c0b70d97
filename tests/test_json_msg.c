/* SPDX-License-Identifier: MIT
 *
 * test_json_msg.c - json_msg.c against RFC 8259, and every message it makes, whole.
 *
 * Each text is parsed out of a block of exactly its size, so that AddressSanitizer and valgrind see
 * a read behind its end.
 */
#include "../json_msg.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>
#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* Bytes of a literal, which may hold NUL. */
struct text {
    const char *bytes;
    size_t len;
};
#define TEXT(literal)                                                                              \
    {                                                                                              \
        literal, sizeof literal - 1                                                                \
    }

/* ---- Parsing --------------------------------------------------------------------------------- */

struct parsed {
    char *text;
    int result;
    struct json_object object;
    struct json_error error;
};

static void parse(struct parsed *parsed, const char *bytes, size_t len)
{
    parsed->text = malloc(len);
    assert_true(parsed->text || len == 0);
    if (len > 0)
        memcpy(parsed->text, bytes, len);
    parsed->error = (struct json_error){.offset = 0, .why = NULL};
    parsed->result = json_parse(&parsed->object, parsed->text, len, &parsed->error);
}

static void parse_good(struct parsed *parsed, const char *text)
{
    parse(parsed, text, strlen(text));
    if (parsed->result)
        fail_msg("refused at %zu, %s: %s", parsed->error.offset, parsed->error.why, text);
}

static void drop(struct parsed *parsed)
{
    free(parsed->text);
}

static bool accepted(const char *bytes, size_t len)
{
    struct parsed parsed;

    parse(&parsed, bytes, len);
    drop(&parsed);
    if (parsed.result) {
        assert_int_equal(parsed.result, -1);
        assert_non_null(parsed.error.why);
        assert_true(parsed.error.offset <= len);
    }
    return parsed.result == 0;
}

/* Writes {"a":VALUE}. */
static size_t wrap(char *out, const struct text *value)
{
    memcpy(out, "{\"a\":", 5);
    memcpy(out + 5, value->bytes, value->len);
    out[5 + value->len] = '}';
    return value->len + 6;
}

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

static void refuse_values(const struct text *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char text[256];
        if (accepted(text, wrap(text, &values[i])))
            fail_msg("accepted as a value: %s (case %zu)", values[i].bytes, i);
    }
}

static void refuse_texts(const struct text *texts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (accepted(texts[i].bytes, texts[i].len))
            fail_msg("accepted: %s (case %zu)", texts[i].bytes, i);
}

/* The tables are packed by hand. */
/* clang-format off */

/* ---- RFC 8259, the grammar ------------------------------------------------------------------- */

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

/* clang-format on */

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

/* ---- Equal names ----------------------------------------------------------------------------- */

static void rfc7493_2_3_no_equal_names(void **state)
{
    static const struct text bad[] = {
        TEXT("{\"a\":1,\"a\":1}"),
        TEXT("{\"a\":1,\"b\":2,\"a\":3}"),
        TEXT("{\"a\":1,\"\\u0061\":2}"),
        TEXT("{\"\":1,\"\":2}"),
        TEXT("{\"/\":1,\"\\/\":2}"),
        TEXT("{\"\\n\":1,\"\\u000A\":2}"),
        TEXT("{\"\\u00e9\":1,\"\xC3\xA9\":2}"),
        TEXT("{\"\\u20AC\":1,\"\xE2\x82\xAC\":2}"),
        TEXT("{\"\\uD83D\\uDE00\":1,\"\xF0\x9F\x98\x80\":2}"),
        TEXT("{\"\\u0000\":1,\"\\u0000\":2}"),
        TEXT("{\"SrcUser\":1,\"\\u0053rcUser\":2}"),
        TEXT("[{\"a\":[{\"a\":1,\"b\":{\"c\":1,\"c\":1}}]}]"),
        TEXT("{\"a\":{\"a\":{}},\"b\":{},\"a\":1}"),
    };

    (void)state;
    refuse_values(bad, COUNT(bad));
    refuse_texts(bad, COUNT(bad) - 2); /* the same at the top level */
}

/* ---- Bounds ---------------------------------------------------------------------------------- */

/* A text under construction; the longest one here takes far less. */
struct page {
    char text[64 * 1024];
    size_t len;
};

static void append(struct page *page, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void append(struct page *page, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    int len = vsnprintf(page->text + page->len, sizeof page->text - page->len, format, args);
    va_end(args);
    assert_true(len >= 0 && (size_t)len < sizeof page->text - page->len);
    page->len += (size_t)len;
}

/* "KEY0":0,"KEY1":0,... */
static void append_fields(struct page *page, const char *key, size_t count)
{
    for (size_t i = 0; i < count; i++)
        append(page, "%s\"%s%zu\":0", i > 0 ? "," : "", key, i);
}

static const char *complaint(const struct page *page)
{
    struct parsed parsed;

    parse(&parsed, page->text, page->len);
    drop(&parsed);
    return parsed.result ? parsed.error.why : "none";
}

/* The outermost object is the first level; `open` is [ or {"k":. */
static const char *complaint_at_depth(const char *open, const char *inmost, char close,
                                      size_t depth)
{
    struct page page = {.len = 0};

    append(&page, "{\"a\":");
    for (size_t i = 2; i < depth; i++)
        append(&page, "%s", open);
    append(&page, "%s", inmost);
    for (size_t i = 2; i < depth; i++)
        append(&page, "%c", close);
    append(&page, "}");
    return complaint(&page);
}

static void depth_is_bounded(void **state)
{
    static const char why[] = "arrays and objects nest 32 deep at most";

    (void)state;
    assert_string_equal(complaint_at_depth("[", "[]", ']', JSON_DEPTH_MAX), "none");
    assert_string_equal(complaint_at_depth("[", "[]", ']', JSON_DEPTH_MAX + 1), why);
    assert_string_equal(complaint_at_depth("{\"k\":", "{}", '}', JSON_DEPTH_MAX), "none");
    assert_string_equal(complaint_at_depth("{\"k\":", "{}", '}', JSON_DEPTH_MAX + 1), why);
    assert_string_equal(complaint_at_depth("[", "[]", ']', 20000), why);
}

static void depth_counts_what_is_open_only(void **state)
{
    struct page page = {.len = 0};

    (void)state;
    append(&page, "{\"a\":[");
    for (int i = 0; i < 1000; i++)
        append(&page, "[[]],{\"a\":{}},");
    append(&page, "0]}");
    assert_string_equal(complaint(&page), "none");
}

static void fields_are_bounded(void **state)
{
    struct page page = {.len = 0};

    (void)state;
    append(&page, "{");
    append_fields(&page, "k", JSON_FIELDS_MAX);
    size_t len = page.len;
    append(&page, "}");
    assert_string_equal(complaint(&page), "none");
    page.len = len;
    append(&page, ",\"one more\":0}");
    assert_string_equal(complaint(&page), "a message has 64 fields at most");
    page.len = len;
    append(&page, ",\"msgType\":0,\"SrcUser\":0,\"TgtUser\":0,\"text\":0,\"Id\":0,\"Time\":0,"
                  "\"History\":0");
    len = page.len;
    append(&page, "}");
    assert_string_equal(complaint(&page), "none");
    page.len = len;
    append(&page, ",\"one more\":0}");
    assert_string_equal(complaint(&page), "a message has 64 fields at most");
}

/* The key of the outermost object does not count, only those of the objects below it. */
static const char *complaint_with_open_keys(size_t count)
{
    struct page page = {.len = 0};

    append(&page, "{\"a\":{");
    append_fields(&page, "k", 100);
    append(&page, ",\"b\":[{");
    append_fields(&page, "k", count - 101);
    append(&page, "}]}}");
    return complaint(&page);
}

static void open_keys_are_bounded(void **state)
{
    (void)state;
    assert_string_equal(complaint_with_open_keys(JSON_OPEN_KEYS_MAX), "none");
    assert_string_equal(complaint_with_open_keys(JSON_OPEN_KEYS_MAX + 1),
                        "nested objects have 256 names at most");
}

static void a_closed_object_gives_its_keys_back(void **state)
{
    struct page page = {.len = 0};

    (void)state;
    append(&page, "{\"a\":[");
    for (int i = 0; i < 5; i++) {
        append(&page, "{");
        append_fields(&page, "k", 200);
        append(&page, "},");
    }
    append(&page, "0],\"b\":{");
    append_fields(&page, "k", 256);
    append(&page, "}}");
    assert_string_equal(complaint(&page), "none");
}

/* ---- Fields ---------------------------------------------------------------------------------- */

static void keys_are_fnv1a(void **state)
{
    (void)state;
    assert_true(json_key("") == 0xcbf29ce484222325);
    assert_true(json_key("a") == 0xaf63dc4c8601ec8c);
    assert_true(json_key("foobar") == 0x85944171f73967e8);
}

static void fields_are_found_by_their_decoded_name(void **state)
{
    struct parsed parsed;

    (void)state;
    parse_good(&parsed, "{ \"te\\u0078t\" : [1, 2] ,\"Text\":\"x\",\"n\":{\"inner\":1},"
                        "\"\\u00e9\":2,\"n\\u0000\":3}");
    assert_int_equal(parsed.object.count, 5);
    const struct json_field *field = json_find(&parsed.object, "text");
    assert_ptr_equal(field, &parsed.object.fields[0]);
    assert_int_equal(field->name_len, 11);
    assert_memory_equal(field->name, "\"te\\u0078t\"", 11);
    assert_int_equal(field->value_len, 6);
    assert_memory_equal(field->value, "[1, 2]", 6);
    assert_ptr_equal(json_find(&parsed.object, "Text"), &parsed.object.fields[1]);
    assert_ptr_equal(json_find(&parsed.object, "n"), &parsed.object.fields[2]);
    assert_ptr_equal(json_find(&parsed.object, "\xC3\xA9"), &parsed.object.fields[3]);
    assert_null(json_find(&parsed.object, "TEXT"));
    assert_null(json_find(&parsed.object, "inner"));
    assert_null(json_find(&parsed.object, ""));
    drop(&parsed);
}

static void kinds_have_words(void **state)
{
    static const char *const kinds[] = {"a string",      "a number", "a number", "true or false",
                                        "true or false", "null",     "an array", "an object"};
    struct parsed parsed;

    (void)state;
    parse_good(&parsed, "{\"a\":\"\",\"b\":0,\"c\":-1,\"d\":true,\"e\":false,\"f\":null,\"g\":[],"
                        "\"h\":{}}");
    assert_int_equal(parsed.object.count, COUNT(kinds));
    for (size_t i = 0; i < COUNT(kinds); i++)
        assert_string_equal(json_kind(&parsed.object.fields[i]), kinds[i]);
    drop(&parsed);
}

/* Decodes VALUE of {"a":VALUE} into a block of exactly `cap` bytes. */
static long decode(const char *value, size_t cap, char *copy)
{
    struct parsed parsed;
    char text[256];
    struct text bytes = {value, strlen(value)};

    text[wrap(text, &bytes)] = '\0';
    parse_good(&parsed, text);
    char *out = malloc(cap);
    assert_true(out || cap == 0);
    long len = json_string(&parsed.object.fields[0], out, cap);
    if (len >= 0) {
        assert_int_equal(out[len], '\0');
        memcpy(copy, out, (size_t)len + 1);
    }
    free(out);
    drop(&parsed);
    return len;
}

static void rfc8259_7_strings_are_decoded(void **state)
{
    static const struct {
        const char *written, *meant;
    } cases[] = {
        {"\"\"", ""},
        {"\"plain\"", "plain"},
        {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t"},
        {"\"\\u0041\\u007f\\u0001\"", "A\x7F\x01"},
        {"\"\\u0080\\u07FF\\u0800\\uffff\"", "\xC2\x80\xDF\xBF\xE0\xA0\x80\xEF\xBF\xBF"},
        {"\"\\uD800\\uDC00\\uDBFF\\uDFFF\"", "\xF0\x90\x80\x80\xF4\x8F\xBF\xBF"},
        {"\"\\ud834\\udd1e\"", "\xF0\x9D\x84\x9E"},
        {"\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\"", "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80"},
        {"\"\\\\u0041\"", "\\u0041"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        char out[64];
        size_t len = strlen(cases[i].meant);
        assert_int_equal(decode(cases[i].written, len + 1, out), len);
        assert_string_equal(out, cases[i].meant);
        for (size_t cap = 0; cap <= len; cap++)
            assert_int_equal(decode(cases[i].written, cap, out), -1);
    }
}

static void a_string_with_u0000_travels_but_is_not_decoded(void **state)
{
    static const char *const written[] = {"\"\\u0000\"", "\"a\\u0000\"", "\"\\u0000b\""};
    char out[64];

    (void)state;
    for (size_t i = 0; i < COUNT(written); i++)
        assert_int_equal(decode(written[i], sizeof out, out), -1);
}

static void only_strings_are_decoded(void **state)
{
    static const char *const written[] = {"1", "true", "null", "[\"a\"]", "{\"a\":\"b\"}"};
    char out[64];

    (void)state;
    for (size_t i = 0; i < COUNT(written); i++)
        assert_int_equal(decode(written[i], sizeof out, out), -1);
}

static void numbers_are_whole_and_bounded(void **state)
{
    static const struct {
        const char *written;
        int result;
        uint64_t meant;
    } cases[] = {
        {"0", 0, 0},
        {"1", 0, 1},
        {"4711", 0, 4711},
        {"4294967296", 0, 4294967296},
        {"9007199254740991", 0, 9007199254740991},
        {"9007199254740992", 0, 9007199254740992},
        {"9007199254740993", -1, 0},
        {"10000000000000000", -1, 0},
        {"18446744073709551616", -1, 0},
        {"184467440737095516160000000000000000000001", -1, 0},
        {"-0", -1, 0},
        {"-1", -1, 0},
        {"1.0", -1, 0},
        {"1e3", -1, 0},
        {"\"1\"", -1, 0},
        {"null", -1, 0},
        {"[1]", -1, 0},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct parsed parsed;
        char text[256];
        uint64_t number = 0;
        snprintf(text, sizeof text, "{\"a\":%s}", cases[i].written);
        parse_good(&parsed, text);
        assert_int_equal(json_number(&parsed.object.fields[0], &number), cases[i].result);
        assert_true(number == cases[i].meant);
        drop(&parsed);
    }
}

/* ---- Relaying -------------------------------------------------------------------------------- */

static void assert_relayed(const char *in, bool private, const char *out)
{
    struct parsed parsed;
    size_t len = 0;

    parse_good(&parsed, in);
    char *text = json_relay(&parsed.object, private, "\"ana\"", &len);
    assert_non_null(text);
    assert_string_equal(text, out);
    assert_int_equal(len, strlen(out));
    free(text);
    drop(&parsed);
}

static void a_broadcast_is_relayed(void **state)
{
    (void)state;
    assert_relayed(
        "{\"msgType\":\"Broadcast\",\"text\":\"hi\"}", false,
        "{\"msgType\":\"Broadcast\",\"SrcUser\":\"ana\",\"TgtUser\":\"\",\"text\":\"hi\"");
    assert_relayed(
        "{\"Ref\":7,\"x\":[1, 2],\"msgType\":\"Broadcast\", \"te\\u0078t\" : \"\\u0000\" }", false,
        "{\"msgType\":\"Broadcast\",\"SrcUser\":\"ana\",\"TgtUser\":\"\","
        "\"te\\u0078t\":\"\\u0000\",\"Ref\":7,\"x\":[1, 2]");
    assert_relayed("{}", false, "{\"msgType\":\"Broadcast\",\"SrcUser\":\"ana\",\"TgtUser\":\"\"");
}

static void a_private_message_is_relayed(void **state)
{
    (void)state;
    assert_relayed("{\"msgType\":\"PrivateMessage\",\"TgtUser\":\"bob\",\"Enc\":\"hpke-v1\","
                   "\"Seq\":1,\"text\":\"00ff\"}",
                   true,
                   "{\"msgType\":\"PrivateMessage\",\"SrcUser\":\"ana\",\"text\":\"00ff\","
                   "\"Enc\":\"hpke-v1\",\"Seq\":1");
}

static void numbers_travel_untouched(void **state)
{
    (void)state;
    assert_relayed("{\"a\":9007199254740993,\"b\":1e400,\"c\":1.0,\"d\":-0,\"e\":1E+02}", true,
                   "{\"msgType\":\"PrivateMessage\",\"SrcUser\":\"ana\",\"a\":9007199254740993,"
                   "\"b\":1e400,\"c\":1.0,\"d\":-0,\"e\":1E+02");
}

static void the_servers_fields_win(void **state)
{
    (void)state;
    assert_relayed("{\"SrcUser\":\"eve\",\"TgtUser\":\"x\",\"Id\":1,\"Time\":2,\"History\":true,"
                   "\"msgType\":\"Error\",\"text\":\"t\",\"id\":3,\"srcuser\":4}",
                   false,
                   "{\"msgType\":\"Broadcast\",\"SrcUser\":\"ana\",\"TgtUser\":\"\",\"text\":\"t\","
                   "\"id\":3,\"srcuser\":4");
    assert_relayed("{\"\\u0053rcUser\":1,\"TgtUse\\u0072\":2,\"\\u0049d\":3,\"Tim\\u0065\":4,"
                   "\"Histor\\u0079\":5,\"\\u006DsgType\":6,\"x\":{\"SrcUser\":7}}",
                   true,
                   "{\"msgType\":\"PrivateMessage\",\"SrcUser\":\"ana\",\"x\":{\"SrcUser\":7}");
}

static void a_message_of_64_fields_is_relayed(void **state)
{
    struct page in = {.len = 0}, out = {.len = 0};

    (void)state;
    append(&in, "{");
    append_fields(&in, "k", JSON_FIELDS_MAX);
    append(&in, "}");
    append(&out, "{\"msgType\":\"PrivateMessage\",\"SrcUser\":\"ana\",");
    append_fields(&out, "k", JSON_FIELDS_MAX);
    assert_relayed(in.text, true, out.text);
}

static void a_stamp_ends_a_message(void **state)
{
    char out[JSON_STAMP_MAX];

    (void)state;
    assert_int_equal(json_stamp(out, 4711, 1700000000123), 32);
    assert_string_equal(out, ",\"Id\":4711,\"Time\":1700000000123}");
    assert_int_equal(json_stamp(out, 0, 5), 10);
    assert_string_equal(out, ",\"Time\":5}");
    assert_int_equal(json_stamp(out, UINT64_MAX, INT64_MIN), 55);
    assert_string_equal(out, ",\"Id\":18446744073709551615,\"Time\":-9223372036854775808}");
}

/* ---- The server's own messages --------------------------------------------------------------- */

#define LONG_TEXT                                                                                  \
    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567"     \
    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567"     \
    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567"

static char *make_quote(size_t *len)
{
    char *text = json_quote("a\"b\\c/\n\x01\xC3\xA9\x7F");

    *len = text ? strlen(text) : 0;
    return text;
}

static char *make_server_name(size_t *len)
{
    return json_server_name("K\"s", len);
}

static char *make_hello(size_t *len)
{
    return json_hello("Ks", true, "00ff", len);
}

static char *make_open_hello(size_t *len)
{
    return json_hello(LONG_TEXT, false, "00ff", len);
}

static char *make_joined(size_t *len)
{
    static const struct json_joined joined = {
        .server_name = "Ks",
        .room = "",
        .name = "ana",
        .epoch = "e1",
        .last_id = UINT64_C(1) << 53,
        .resumed = true,
        .max_message_bytes = 65536,
    };

    return json_joined(&joined, len);
}

static char *make_joined_first(size_t *len)
{
    static const struct json_joined joined = {
        .server_name = "Ks",
        .room = "caf\xC3\xA9",
        .name = "\"ana\"",
        .epoch = "e2",
        .max_message_bytes = 16777216,
    };

    return json_joined(&joined, len);
}

static char *make_error(size_t *len)
{
    return json_error("bad_json", "at byte 7: a colon is missing", NULL, len);
}

/* What it is about is echoed as it was written: a number of 17 digits, an escape, a space. */
static const char about[] = "{\"text\":\"hi\",\"Ref\":{\"n\": 9007199254740993},"
                            "\"TgtUser\":\"b\\u006fb\"}";

static char *make_full_error(size_t *len)
{
    struct parsed parsed;

    parse_good(&parsed, about);
    char *text = json_error("unknown_user", "nobody here is called bob", &parsed.object, len);
    drop(&parsed);
    return text;
}

static char *make_delivered(size_t *len)
{
    struct parsed parsed;

    parse_good(&parsed, about);
    char *text = json_delivered(&parsed.object, len);
    drop(&parsed);
    return text;
}

static char *make_user_keys(size_t *len)
{
    return json_user_keys("bob", NULL, NULL, len);
}

static char *make_published_keys(size_t *len)
{
    const struct json_keys keys = {"1d", "5e", "51"};
    struct parsed parsed;

    parse_good(&parsed, about);
    char *text = json_user_keys("bob", &keys, &parsed.object, len);
    drop(&parsed);
    return text;
}

static char *make_qr_code(size_t *len)
{
    struct parsed parsed;

    parse_good(&parsed, about);
    char *text = json_qr_code(21, "M0 0h7v1h-7z", &parsed.object, len);
    drop(&parsed);
    return text;
}

static char *make_online_users(size_t *len)
{
    static const char *const quoted[] = {"\"ana\"", "\"b\\\"ob\"", "\"\xC3\xA9\""};

    return json_online_users(quoted, 3, len);
}

static char *make_nobody_online(size_t *len)
{
    return json_online_users(NULL, 0, len);
}

static char *make_relay(size_t *len)
{
    struct parsed parsed;

    parse_good(&parsed, "{\"text\":\"hi\"}");
    char *text = json_relay(&parsed.object, false, "\"ana\"", len);
    drop(&parsed);
    return text;
}

static const struct maker {
    char *(*make)(size_t *len);
    const char *text;
} makers[] = {
    {make_quote, "\"a\\\"b\\\\c/\\n\\u0001\xC3\xA9\x7F\""},
    {make_server_name, "{\"ServerName\":\"K\\\"s\"}"},
    {make_hello, "{\"msgType\":\"Hello\",\"ServerName\":\"Ks\",\"PasswordRequired\":true,"
                 "\"Nonce\":\"00ff\",\"Version\":2}"},
    {make_open_hello, "{\"msgType\":\"Hello\",\"ServerName\":\"" LONG_TEXT "\","
                      "\"PasswordRequired\":false,\"Nonce\":\"00ff\",\"Version\":2}"},
    {make_joined, "{\"msgType\":\"Joined\",\"ServerName\":\"Ks\",\"Room\":\"\",\"Name\":\"ana\","
                  "\"Epoch\":\"e1\",\"LastId\":9007199254740992,\"Resumed\":true,"
                  "\"MaxMessageBytes\":65536}"},
    {make_joined_first, "{\"msgType\":\"Joined\",\"ServerName\":\"Ks\",\"Room\":\"caf\xC3\xA9\","
                        "\"Name\":\"\\\"ana\\\"\",\"Epoch\":\"e2\",\"LastId\":0,"
                        "\"Resumed\":false,\"MaxMessageBytes\":16777216}"},
    {make_error, "{\"msgType\":\"Error\",\"Code\":\"bad_json\","
                 "\"text\":\"at byte 7: a colon is missing\"}"},
    {make_full_error, "{\"msgType\":\"Error\",\"Code\":\"unknown_user\","
                      "\"text\":\"nobody here is called bob\","
                      "\"Ref\":{\"n\": 9007199254740993},\"TgtUser\":\"b\\u006fb\"}"},
    {make_delivered, "{\"msgType\":\"Delivered\",\"TgtUser\":\"b\\u006fb\","
                     "\"Ref\":{\"n\": 9007199254740993}}"},
    {make_user_keys, "{\"msgType\":\"UserKeys\",\"User\":\"bob\"}"},
    {make_published_keys, "{\"msgType\":\"UserKeys\",\"User\":\"bob\","
                          "\"Ref\":{\"n\": 9007199254740993},\"IdentityKey\":\"1d\","
                          "\"SessionKey\":\"5e\",\"KeySignature\":\"51\"}"},
    {make_qr_code, "{\"msgType\":\"QrCode\",\"Ref\":{\"n\": 9007199254740993},\"Size\":21,"
                   "\"Path\":\"M0 0h7v1h-7z\"}"},
    {make_online_users, "{\"msgType\":\"OnlineUsers\","
                        "\"Users\":[\"ana\",\"b\\\"ob\",\"\xC3\xA9\"]}"},
    {make_nobody_online, "{\"msgType\":\"OnlineUsers\",\"Users\":[]}"},
    {make_relay, "{\"msgType\":\"Broadcast\",\"SrcUser\":\"ana\",\"TgtUser\":\"\","
                 "\"text\":\"hi\""},
};

static void messages_are_said_whole(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(makers); i++) {
        size_t len = 0;
        char *text = makers[i].make(&len);
        assert_non_null(text);
        assert_string_equal(text, makers[i].text);
        assert_int_equal(len, strlen(text));
        free(text);
    }
}

/* ---- No memory ------------------------------------------------------------------------------- */

static size_t blocks_asked, blocks_live;
static size_t block_denied; /* which allocation fails, counted from 1 */

static void *scarce_malloc(size_t size)
{
    if (++blocks_asked == block_denied)
        return NULL;
    blocks_live++;
    return malloc(size);
}

static void scarce_free(void *block)
{
    if (block)
        blocks_live--;
    free(block);
}

static int hook_memory(void **state)
{
    cJSON_Hooks hooks = {.malloc_fn = scarce_malloc, .free_fn = scarce_free};

    (void)state;
    cJSON_InitHooks(&hooks);
    return 0;
}

static int unhook_memory(void **state)
{
    (void)state;
    cJSON_InitHooks(NULL);
    return 0;
}

/* Lets each allocation of a message fail, one at a time: then there is no message, and nothing of it
 * stays behind. */
static void without_memory_there_is_no_message(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(makers); i++) {
        size_t len = 0;
        block_denied = 1;
        for (;; block_denied++) {
            blocks_asked = 0;
            char *text = makers[i].make(&len);
            if (blocks_asked < block_denied) {
                assert_string_equal(text, makers[i].text);
                scarce_free(text);
                break;
            }
            assert_null(text);
            assert_int_equal(blocks_live, 0);
        }
        assert_int_equal(blocks_live, 0);
        assert_true(block_denied > 1);
    }
}

/* ---- Random texts ---------------------------------------------------------------------------- */

/* xorshift64, always from the same start. */
static uint64_t random_state = 88172645463325252;

static size_t below(size_t bound)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (size_t)(random_state % bound);
}

/* Replaces, deletes, inserts or repeats something, so that much of it still makes sense. */
static size_t mutate(char *text, size_t len)
{
    static const char spice[] = "{}[]:,\"\\ \nu0019aDdeE+-.tfn/\x7F\x80\xC3\xA9\xED\xF0\xFF";
    size_t at = below(len), run = 1 + below(len - at < 8 ? len - at : 8);

    switch (below(4)) {
    case 0:
        text[at] = spice[below(sizeof spice)];
        return len;
    case 1:
        memmove(text + at, text + at + run, len - at - run);
        return len - run;
    case 2:
        memmove(text + at + 1, text + at, len - at);
        text[at] = spice[below(sizeof spice)];
        return len + 1;
    default:
        memmove(text + at + run, text + at, len - at);
        return len + run;
    }
}

/* What must hold for every text that was accepted: cJSON reads it, and it is relayed as a message
 * that is good JSON itself, with the server's fields in it. */
static void check_accepted(const struct parsed *parsed, size_t len)
{
    char stamp[JSON_STAMP_MAX], src[8];
    struct parsed again;
    size_t relayed_len;

    cJSON *tree = cJSON_ParseWithLength(parsed->text, len);
    if (!tree)
        fail_msg("cJSON refuses %.*s", (int)len, parsed->text);
    cJSON_Delete(tree);

    char *relayed = json_relay(&parsed->object, false, "\"ana\"", &relayed_len);
    assert_non_null(relayed);
    size_t stamp_len = json_stamp(stamp, 1, 2);
    relayed = realloc(relayed, relayed_len + stamp_len + 1);
    assert_non_null(relayed);
    memcpy(relayed + relayed_len, stamp, stamp_len + 1);
    parse_good(&again, relayed);
    assert_int_equal(json_string(json_find(&again.object, "SrcUser"), src, sizeof src), 3);
    assert_string_equal(src, "ana");
    drop(&again);
    free(relayed);
}

static void random_texts_are_judged_soundly(void **state)
{
    static const char *const seeds[] = {
        "{\"msgType\":\"Broadcast\",\"text\":\"hi \\u00e9 \\uD83D\\uDE00\"}",
        "{\"a\":[1,-2.5e+3,true,false,null,\"\",{}],\"b\":{\"c\":{\"d\":[]}}}",
        "{ \"Ref\" : 9007199254740993 , \"SrcUser\":\"eve\",\"t\":\"\\\"\\\\\\/\\n\xC3\xA9\" }\n",
        "{\"x\":\"\xED\x9F\xBF\xF0\x9F\x98\x80\",\"\\u0049d\":0,\"k\":0.5,\"l\":1E5}",
    };
    size_t good = 0, bad = 0;

    (void)state;
    for (int round = 0; round < 40000; round++) {
        char text[256];
        struct parsed parsed;
        size_t len = strlen(strcpy(text, seeds[below(COUNT(seeds))]));
        for (size_t steps = 1 + below(3); steps > 0; steps--)
            len = mutate(text, len);
        parse(&parsed, text, len);
        if (parsed.result == 0)
            check_accepted(&parsed, len);
        good += parsed.result == 0;
        bad += parsed.result != 0;
        drop(&parsed);
    }
    assert_true(good > 1000 && bad > 1000);
}

/* What a client asks a message for: a field of the wrong kind counts as none. */
static void test_fields_of_a_message(void **state)
{
    static const char text[] = "{\"t\":\"a\\u00e9\",\"n\":42,\"neg\":-1,\"yes\":true,\"no\":false,"
                               "\"nul\":\"\\u0000\",\"\":\"\"}";
    struct json_object object;
    struct json_error error;
    (void)state;
    assert_int_equal(json_parse(&object, text, sizeof(text) - 1, &error), 0);
    char *value = json_text(&object, "t");
    assert_string_equal(value, "a\xC3\xA9");
    free(value);
    value = json_text(&object, "");
    assert_string_equal(value, "");
    free(value);
    assert_null(json_text(&object, "n"));
    assert_null(json_text(&object, "nul"));
    assert_null(json_text(&object, "missing"));
    assert_int_equal(json_count(&object, "n"), 42);
    assert_int_equal(json_count(&object, "neg"), 0);
    assert_int_equal(json_count(&object, "t"), 0);
    assert_int_equal(json_count(&object, "missing"), 0);
    assert_true(json_true(&object, "yes"));
    assert_false(json_true(&object, "no"));
    assert_false(json_true(&object, "t"));
    assert_true(json_is(&object, "t", "a\xC3\xA9"));
    assert_false(json_is(&object, "t", "a"));
    assert_false(json_is(&object, "missing", ""));
}

/* Puts the elements of {"a":...} together again, each in brackets. */
static void elements(const char *array, char *out)
{
    char text[256];
    struct json_object object;
    struct json_error error;
    struct json_field element;
    size_t at = 0;
    int len = snprintf(text, sizeof(text), "{\"a\":%s}", array);
    assert_int_equal(json_parse(&object, text, (size_t)len, &error), 0);
    *out = '\0';
    while (json_element(&object.fields[0], &at, &element))
        out += sprintf(out, "(%.*s)", (int)element.value_len, element.value);
}

static void test_elements_of_an_array(void **state)
{
    static const struct {
        const char *array, *expected;
    } cases[] = {
        {"[]", ""},
        {"[ ]", ""},
        {"[1]", "(1)"},
        {"[ \"a,b\" , [2,3] ,{\"x\":[4],\"y\":{}} , null ]",
         "(\"a,b\")([2,3])({\"x\":[4],\"y\":{}})(null)"},
        {"\"[1]\"", ""},
        {"{\"b\":[1]}", ""},
        {"7", ""},
    };
    char out[256];
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        elements(cases[i].array, out);
        assert_string_equal(out, cases[i].expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields_of_a_message),
        cmocka_unit_test(test_elements_of_an_array),
        cmocka_unit_test(rfc8259_2_white_space),
        cmocka_unit_test(rfc8259_3_words),
        cmocka_unit_test(rfc8259_4_objects),
        cmocka_unit_test(rfc8259_5_arrays),
        cmocka_unit_test(rfc8259_6_numbers),
        cmocka_unit_test(rfc8259_7_strings),
        cmocka_unit_test(rfc3629_4_utf8),
        cmocka_unit_test(rfc8259_8_1_no_byte_order_mark),
        cmocka_unit_test(rfc8259_8_2_no_half_surrogate_pair),
        cmocka_unit_test(a_message_is_one_object),
        cmocka_unit_test(complaints_name_place_and_reason),
        cmocka_unit_test(every_prefix_is_refused),
        cmocka_unit_test(rfc7493_2_3_no_equal_names),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(depth_counts_what_is_open_only),
        cmocka_unit_test(fields_are_bounded),
        cmocka_unit_test(open_keys_are_bounded),
        cmocka_unit_test(a_closed_object_gives_its_keys_back),
        cmocka_unit_test(keys_are_fnv1a),
        cmocka_unit_test(fields_are_found_by_their_decoded_name),
        cmocka_unit_test(kinds_have_words),
        cmocka_unit_test(rfc8259_7_strings_are_decoded),
        cmocka_unit_test(a_string_with_u0000_travels_but_is_not_decoded),
        cmocka_unit_test(only_strings_are_decoded),
        cmocka_unit_test(numbers_are_whole_and_bounded),
        cmocka_unit_test(a_broadcast_is_relayed),
        cmocka_unit_test(a_private_message_is_relayed),
        cmocka_unit_test(numbers_travel_untouched),
        cmocka_unit_test(the_servers_fields_win),
        cmocka_unit_test(a_message_of_64_fields_is_relayed),
        cmocka_unit_test(a_stamp_ends_a_message),
        cmocka_unit_test(messages_are_said_whole),
        cmocka_unit_test_setup_teardown(without_memory_there_is_no_message, hook_memory,
                                        unhook_memory),
        cmocka_unit_test(random_texts_are_judged_soundly),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
