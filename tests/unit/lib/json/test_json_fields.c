/* SPDX-License-Identifier: MIT
 *
 * test_json_fields.c - equal names, bounds, fields, random texts.
 */
#include "lib/json/json.h"

#include "json_text.h"

/* ---- Equal names ---- */

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

/* ---- Bounds ---- */

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
    assert_string_equal(complaint(&page), "the object has 64 names at most");
    page.len = len;
    append(&page, ",\"msgType\":0,\"SrcUser\":0,\"TgtUser\":0,\"text\":0,\"Id\":0,\"Time\":0,"
                  "\"History\":0");
    len = page.len;
    append(&page, "}");
    assert_string_equal(complaint(&page), "none");
    page.len = len;
    append(&page, ",\"one more\":0}");
    assert_string_equal(complaint(&page), "the object has 64 names at most");
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

/* A message that uses up all three bounds, but for `less` levels, to the end of `page`. */
static void append_largest_message(struct page *page, size_t less)
{
    append(page, "{\"msgType\":0,\"SrcUser\":0,\"TgtUser\":0,\"text\":0,\"Id\":0,\"Time\":0,"
                 "\"History\":0,");
    append_fields(page, "k", JSON_FIELDS_MAX - 1);
    append(page, ",\"deep\":{");
    append_fields(page, "j", JSON_OPEN_KEYS_MAX - 1);
    append(page, ",\"deeper\":");
    for (size_t i = 2; i < JSON_DEPTH_MAX - less; i++)
        append(page, "[");
    for (size_t i = 2; i < JSON_DEPTH_MAX - less; i++)
        append(page, "]");
    append(page, "}}");
}

static int parse_page(const struct page *page, struct json_object *answer)
{
    struct json_error error;

    return json_parse_answer(answer, page->text, page->len, &error);
}

static void an_answer_has_room_for_the_largest_messages(void **state)
{
    struct page message = {.len = 0}, answer = {.len = 0}, deeper = {.len = 0};
    struct json_object object;
    struct json_field element;
    size_t at = 0;

    (void)state;
    append_largest_message(&message, 0);
    assert_string_equal(complaint(&message), "none");
    append(&answer, "{\"Messages\":[%s,%s]}", message.text, message.text);
    assert_int_equal(parse_page(&answer, &object), 0);
    assert_string_not_equal(complaint(&answer), "none");
    for (int count = 0; count < 2; count++) {
        assert_true(json_element(json_find(&object, "Messages"), &at, &element));
        assert_int_equal(element.value_len, message.len);
        assert_memory_equal(element.value, message.text, message.len);
    }
    assert_false(json_element(json_find(&object, "Messages"), &at, &element));
    append(&deeper, "{\"Messages\":[[%s]]}", message.text);
    assert_int_equal(parse_page(&deeper, &object), -1);
    deeper.len = message.len = 0;
    append_largest_message(&message, 1);
    append(&deeper, "{\"Messages\":[[%s]]}", message.text);
    assert_int_equal(parse_page(&deeper, &object), 0);
    deeper.len = 0;
    append(&deeper, "{\"Messages\":{\"one more\":%s}}", message.text);
    assert_int_equal(parse_page(&deeper, &object), -1);
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

/* ---- Fields ---- */

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

/* ---- Random texts ---- */

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
    size_t stamp_len = json_finish_relay(stamp, 1, 2);
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
    assert_int_equal(json_parse_message(&object, text, sizeof(text) - 1, &error), 0);
    char *value = json_get_string(&object, "t");
    assert_string_equal(value, "a\xC3\xA9");
    free(value);
    value = json_get_string(&object, "");
    assert_string_equal(value, "");
    free(value);
    assert_null(json_get_string(&object, "n"));
    assert_null(json_get_string(&object, "nul"));
    assert_null(json_get_string(&object, "missing"));
    assert_int_equal(json_get_uint(&object, "n"), 42);
    assert_int_equal(json_get_uint(&object, "neg"), 0);
    assert_int_equal(json_get_uint(&object, "t"), 0);
    assert_int_equal(json_get_uint(&object, "missing"), 0);
    assert_true(json_get_bool(&object, "yes"));
    assert_false(json_get_bool(&object, "no"));
    assert_false(json_get_bool(&object, "t"));
    assert_true(json_equals(&object, "t", "a\xC3\xA9"));
    assert_false(json_equals(&object, "t", "a"));
    assert_false(json_equals(&object, "missing", ""));
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
    assert_int_equal(json_parse_message(&object, text, (size_t)len, &error), 0);
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
        cmocka_unit_test(rfc7493_2_3_no_equal_names),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(depth_counts_what_is_open_only),
        cmocka_unit_test(fields_are_bounded),
        cmocka_unit_test(open_keys_are_bounded),
        cmocka_unit_test(an_answer_has_room_for_the_largest_messages),
        cmocka_unit_test(a_closed_object_gives_its_keys_back),
        cmocka_unit_test(keys_are_fnv1a),
        cmocka_unit_test(fields_are_found_by_their_decoded_name),
        cmocka_unit_test(kinds_have_words),
        cmocka_unit_test(rfc8259_7_strings_are_decoded),
        cmocka_unit_test(a_string_with_u0000_travels_but_is_not_decoded),
        cmocka_unit_test(only_strings_are_decoded),
        cmocka_unit_test(numbers_are_whole_and_bounded),
        cmocka_unit_test(random_texts_are_judged_soundly),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
