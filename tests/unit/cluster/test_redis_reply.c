/* SPDX-License-Identifier: MIT
 *
 * test_redis_reply.c - scripts of bytes through the parser of RESP, hostile ones too.
 */
#include "cluster/redis_reply.h"

#include "reply_bytes.h"

#include "no_memory.h"

static void each_type_is_read(void **state)
{
    (void)state;
    static const char bytes[] =
        "*6\r\n$5\r\nhello\r\n:-42\r\n$-1\r\n+OK\r\n-ERR no\r\n*1\r\n$0\r\n\r\n";
    struct reply_value *value = parse_bytes(bytes, sizeof(bytes) - 1);
    assert_int_equal(value->type, REPLY_ARRAY);
    assert_int_equal(value->count, 6);
    assert_true(text_equals(reply_text(reply_item(value, 0)), "hello"));
    assert_int_equal(value->items[1].type, REPLY_INTEGER);
    assert_int_equal(value->items[1].number, -42);
    assert_int_equal(value->items[2].type, REPLY_NIL);
    assert_null(reply_text(&value->items[2]).at);
    assert_int_equal(value->items[3].type, REPLY_STATUS);
    assert_true(text_equals(reply_text(&value->items[3]), "OK"));
    assert_int_equal(value->items[4].type, REPLY_ERROR);
    assert_string_equal(value->items[4].bytes, "ERR no");
    assert_null(reply_text(&value->items[4]).at);
    assert_int_equal(reply_item(&value->items[5], 0)->len, 0);
    assert_null(reply_item(value, 6));
    assert_null(reply_item(&value->items[0], 0));
    assert_null(reply_item(NULL, 0));
    assert_null(reply_text(NULL).at);
    reply_free(value);
}

static void bytes_of_any_kind_pass_in_strings(void **state)
{
    (void)state;
    struct reply_value *value = parse_bytes("$5\r\na\0\r\nb\r\n", 11);
    assert_int_equal(value->len, 5);
    assert_memory_equal(value->bytes, "a\0\r\nb", 6);
    reply_free(value);
}

/* Wherever the network splits a reply, the same comes out; a second reply stays for later. */
static void a_reply_may_be_split_everywhere(void **state)
{
    (void)state;
    static const char bytes[] = "*2\r\n*2\r\n$3\r\nabc\r\n:7\r\n+OK\r\n$2\r\nhi\r\n";
    size_t len = sizeof(bytes) - 1;
    for (size_t split = 0; split <= len; split++) {
        struct reply_parser parser;
        struct reply_value *value = NULL;
        assert_int_equal(reply_parser_init(&parser, 100), 0);
        assert_int_equal(reply_parser_feed(&parser, bytes, split), 0);
        int early = reply_parser_next(&parser, &value);
        assert_int_equal(early, split >= len - 8);
        assert_int_equal(reply_parser_feed(&parser, bytes + split, len - split), 0);
        if (!early)
            assert_int_equal(reply_parser_next(&parser, &value), 1);
        assert_int_equal(value->items[0].items[1].number, 7);
        reply_free(value);
        assert_true(reply_parser_has_more(&parser) || split > len - 8);
        assert_int_equal(reply_parser_next(&parser, &value), 1);
        assert_true(text_equals(reply_text(value), "hi"));
        reply_free(value);
        assert_false(reply_parser_has_more(&parser));
        assert_int_equal(reply_parser_next(&parser, &value), 0);
        reply_parser_fini(&parser);
    }
}

/* Feeds bytes, and asserts that the parser refuses them for that reason. */
static void assert_refused(const char *bytes, size_t bytes_max, const char *why)
{
    struct reply_parser parser;
    struct reply_value *value = NULL;
    assert_int_equal(reply_parser_init(&parser, bytes_max), 0);
    int result = reply_parser_feed(&parser, bytes, strlen(bytes));
    if (result == 0)
        result = reply_parser_next(&parser, &value);
    assert_int_equal(result, -1);
    assert_null(value);
    if (!strstr(parser.why, why))
        fail_msg("expected \"%s\", got \"%s\"", why, parser.why);
    reply_parser_fini(&parser);
}

static void what_is_not_resp_is_refused(void **state)
{
    static const char *const bad[] = {
        "hello\r\n",    "HTTP/1.1 200 OK\r\n",
        "\r\n",         "*x\r\n",
        "$x\r\n",       "*-2\r\n",
        "$-2\r\n",      "*1\r\n?\r\n",
        "*1\r\n$x\r\n", "*1\r\n$9223372036854775808\r\n",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        assert_refused(bad[i], 1000, "");
}

static void arrays_within_arrays_have_a_bound(void **state)
{
    char bytes[200] = "";
    (void)state;
    for (int i = 0; i < REPLY_DEPTH_MAX; i++)
        strcat(bytes, "*1\r\n");
    strcat(bytes, "*1\r\n:1\r\n");
    assert_refused(bytes, 1000, "too deep");
    struct reply_value *value = parse_bytes(bytes + 4, strlen(bytes) - 4);
    reply_free(value);
}

/* A head of a few bytes must not take gigabytes. */
static void the_count_of_values_has_a_bound(void **state)
{
    char bytes[100];
    (void)state;
    assert_refused("*2147483647\r\n", 1000, "too many values");
    assert_refused("*2147483648\r\n", 1000, "");
    sprintf(bytes, "*%d\r\n", REPLY_VALUES_MAX + 1);
    assert_refused(bytes, 1000, "too many values");
    sprintf(bytes, "*2\r\n*%d\r\n", REPLY_VALUES_MAX - 1);
    assert_refused("*3\r\n*1048574\r\n", 1000, "too many values"); /* of the whole reply */
}

static void the_length_has_a_bound(void **state)
{
    struct reply_parser parser;
    struct reply_value *value;
    (void)state;
    assert_refused("*2\r\n$5\r\n12345\r\n$6\r\n123456\r\n", 26, "too long"); /* as input */
    assert_int_equal(reply_parser_init(&parser, 25), 0);
    assert_int_equal(reply_parser_feed(&parser, "*2\r\n$9\r\n123456789\r\n", 18), 0);
    assert_int_equal(reply_parser_next(&parser, &value), 0);
    assert_int_equal(reply_parser_feed(&parser, "\n$17\r\n1234", 10), 0);
    assert_int_equal(reply_parser_next(&parser, &value), 0);
    assert_int_equal(reply_parser_feed(&parser, "5678901234567\r\n", 15),
                     0); /* 9 and 17: above 25 */
    assert_int_equal(reply_parser_next(&parser, &value), -1);
    assert_non_null(strstr(parser.why, "too long"));
    reply_parser_fini(&parser);
}

/* At the bound, twice: each reply has its own. */
static void replies_may_be_as_long_as_the_bound(void **state)
{
    static const char *const parts[] = {"*2\r\n$9\r\n123456789\r", "\n$16\r\n1234",
                                        "567890123456\r\n"};
    struct reply_parser parser;
    struct reply_value *value;
    (void)state;
    assert_int_equal(reply_parser_init(&parser, 25), 0);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 3; i++) {
            assert_int_equal(reply_parser_feed(&parser, parts[i], strlen(parts[i])), 0);
            assert_int_equal(reply_parser_next(&parser, &value), i == 2);
        }
        reply_free(value);
    }
    assert_int_equal(reply_parser_feed(&parser, "$19\r\n1234567890123456789\r", 25), 0);
    assert_int_equal(reply_parser_next(&parser, &value), 0);
    assert_int_equal(reply_parser_feed(&parser, "\nxx", 3), -1);
    reply_parser_fini(&parser);
}

/* An unfinished string keeps its bytes; they are bounded before it ends. */
static void an_endless_string_is_refused(void **state)
{
    struct reply_parser parser;
    struct reply_value *value;
    char bytes[100];
    int fed = 0;
    (void)state;
    memset(bytes, 'x', sizeof(bytes));
    assert_int_equal(reply_parser_init(&parser, 1000), 0);
    assert_int_equal(reply_parser_feed(&parser, "$9223372036854775807\r\n", 22), 0);
    while (fed < 100 && reply_parser_next(&parser, &value) == 0 &&
           reply_parser_feed(&parser, bytes, sizeof(bytes)) == 0)
        fed++;
    assert_in_range(fed, 1, 10);
    reply_parser_fini(&parser);
}

static void a_line_has_a_bound(void **state)
{
    static char bytes[REPLY_LINE_MAX + 3];
    (void)state;
    memset(bytes, 'x', REPLY_LINE_MAX + 2);
    bytes[0] = '+';
    assert_refused(bytes, 1 << 20, "a line is too long");
    struct reply_parser parser;
    struct reply_value *value;
    assert_int_equal(reply_parser_init(&parser, 1 << 20), 0);
    assert_int_equal(reply_parser_feed(&parser, bytes, REPLY_LINE_MAX + 1), 0); /* with the type */
    assert_int_equal(reply_parser_next(&parser, &value), 0);
    reply_parser_fini(&parser);
    memset(bytes, '1', 34);
    bytes[0] = '$';
    bytes[34] = '\0';
    assert_refused(bytes, 1000, "a line is too long");
    bytes[0] = '*';
    assert_refused(bytes, 1000, "a line is too long");
}

static void failing_allocations_leave_nothing(void **state)
{
    static const char bytes[] = "*2\r\n*2\r\n$3\r\nabc\r\n:7\r\n+OK\r\n";
    bool failed = true;
    (void)state;
    for (int count = 0; failed; count++) {
        struct reply_parser parser;
        struct reply_value *value = NULL;
        assert_int_equal(reply_parser_init(&parser, 1000), 0);
        assert_int_equal(reply_parser_feed(&parser, bytes, sizeof(bytes) - 1), 0);
        no_memory_after(count);
        int result = reply_parser_next(&parser, &value);
        failed = no_memory_end();
        assert_int_equal(result, failed ? -1 : 1);
        if (failed)
            assert_string_equal(parser.why, "out of memory");
        reply_free(value);
        reply_parser_fini(&parser);
    }
}

static void a_command_is_an_array_of_strings(void **state)
{
    const struct text words[] = {text_of("SET"), {"a\0b", 3}, {NULL, 0}};
    static const char expected[] = "*3\r\n$3\r\nSET\r\n$3\r\na\0b\r\n$0\r\n\r\n";
    size_t len;
    (void)state;
    char *bytes = reply_format_command(words, 3, &len);
    assert_int_equal(len, sizeof(expected) - 1);
    assert_memory_equal(bytes, expected, len);
    free(bytes);
    no_memory_after(0);
    bytes = reply_format_command(words, 3, &len);
    no_memory_end();
    assert_null(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_type_is_read),
        cmocka_unit_test(bytes_of_any_kind_pass_in_strings),
        cmocka_unit_test(a_reply_may_be_split_everywhere),
        cmocka_unit_test(what_is_not_resp_is_refused),
        cmocka_unit_test(arrays_within_arrays_have_a_bound),
        cmocka_unit_test(the_count_of_values_has_a_bound),
        cmocka_unit_test(the_length_has_a_bound),
        cmocka_unit_test(replies_may_be_as_long_as_the_bound),
        cmocka_unit_test(an_endless_string_is_refused),
        cmocka_unit_test(a_line_has_a_bound),
        cmocka_unit_test(failing_allocations_leave_nothing),
        cmocka_unit_test(a_command_is_an_array_of_strings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
