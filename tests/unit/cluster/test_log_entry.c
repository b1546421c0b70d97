/* SPDX-License-Identifier: MIT
 *
 * test_log_entry.c - which entries of a log are read, and which are refused.
 */
#include "reply_bytes.h"

#include "cluster/log_entry.h"

enum { BODY_MAX = 100 };

#define HEAD(kind, seq, number) "k", kind, "s", SEAT_A, "q", seq, "n", number

/* Reads an entry, which must be good. The reply is kept until the next call. */
static struct log_entry read_good(struct reply_value *value)
{
    static struct reply_value *kept;
    struct log_entry entry;
    const char *why = log_entry_read(&entry, value, BODY_MAX);
    if (why)
        fail_msg("%s", why);
    reply_free(kept);
    kept = value;
    return entry;
}

static void each_kind_is_read(void **state)
{
    char tag[LOG_TAG_MAX];
    (void)state;
    struct log_entry entry =
        read_good(ENTRY("1700000000000-3", HEAD("b", "7", "12"), "i", "9", "d", "{\"a\":1"));
    assert_int_equal(entry.kind, LOG_BROADCAST);
    assert_string_equal(entry.at, "1700000000000-3");
    assert_int_equal(entry.ms, 1700000000000);
    assert_int_equal(entry.number, 12);
    assert_string_equal(entry.seat, SEAT_A);
    assert_int_equal(entry.seq, 7);
    assert_int_equal(entry.id, 9);
    assert_true(text_equals(entry.body, "{\"a\":1"));
    log_entry_tag(&entry, tag);
    assert_string_equal(tag, "b:" SEAT_A ":7");
    assert_true(log_is_tag(text_of(tag)));

    entry =
        read_good(ENTRY("1-0", HEAD("j", "1", "1"), "f", "bob", "y", "-", "o", "", "d", "card"));
    assert_int_equal(entry.kind, LOG_JOIN);
    assert_true(text_equals(entry.name, "bob") && text_equals(entry.identity, "-"));
    assert_true(entry.other[0] == '\0' && entry.other_tag == 0);
    assert_true(text_equals(entry.body, "card"));

    entry = read_good(
        ENTRY("1-0", HEAD("j", "1", "1"), "f", "bob", "y", "Zm9v", "o", SEAT_B " 5", "d", "card"));
    assert_string_equal(entry.other, SEAT_B);
    assert_int_equal(entry.other_tag, 5);

    entry = read_good(ENTRY("1-0", HEAD("l", "1", "1"), "f", "bob", "t", "5"));
    assert_true(entry.kind == LOG_LEAVE && text_equals(entry.name, "bob") && entry.tag == 5);

    entry = read_good(ENTRY("1-0", HEAD("p", "1", "1"), "f", "bob", "t", SEAT_B, "d", "{"));
    assert_true(entry.kind == LOG_PRIVATE && text_equals(entry.name, "bob"));
    assert_string_equal(entry.other, SEAT_B);
    assert_true(text_equals(entry.body, "{"));

    entry = read_good(ENTRY("1-0", HEAD("r", "1", "1"), "d", "name_taken"));
    assert_true(entry.kind == LOG_REFUSAL && entry.code == LOG_NAME_TAKEN);
    entry = read_good(ENTRY("1-0", HEAD("r", "1", "1"), "d", "unknown_user"));
    assert_int_equal(entry.code, LOG_UNKNOWN_USER);
    entry = read_good(ENTRY("1-0", HEAD("x", "0", "1"), "d", SEAT_B));
    assert_true(entry.kind == LOG_SEAT_OVER && strcmp(entry.other, SEAT_B) == 0);
    entry = read_good(ENTRY("1-0", HEAD("e", "0", "1"), "d", SEAT_B));
    assert_int_equal(entry.kind, LOG_EPOCH);
}

static void assert_bad(struct reply_value *value)
{
    struct log_entry entry;
    const char *why = log_entry_read(&entry, value, BODY_MAX);
    assert_non_null(why);
    assert_true(why[0] != '\0');
    assert_true(entry.at[0] == '\0' ? entry.ms == 0 : log_is_at(text_of(entry.at)));
    if (strstr(why, "its place"))
        assert_string_equal(entry.at, "");
    reply_free(value);
}

static void hostile_entries_are_refused(void **state)
{
    (void)state;
    static const char *const places[] = {"",
                                         "1",
                                         "-",
                                         "1-",
                                         "-1",
                                         "x-1",
                                         "1-x",
                                         "1-0 ",
                                         "1--0",
                                         "01-0",
                                         "12345678901234567-0",
                                         "1-123456789012345678901",
                                         "9007199254740993-0"};
    for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++)
        assert_bad(ENTRY(places[i], HEAD("b", "1", "1"), "i", "1", "d", "x"));
    static const char *const numbers[] = {
        "", "-1", "01", "1.0", "1e3", " 1", "9007199254740993", "x", "+1", "99999999999999999999"};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
        assert_bad(ENTRY("1-0", HEAD("b", numbers[i], "1"), "i", "1", "d", "x"));
        assert_bad(ENTRY("1-0", HEAD("b", "1", numbers[i]), "i", "1", "d", "x"));
        assert_bad(ENTRY("1-0", HEAD("b", "1", "1"), "i", numbers[i], "d", "x"));
        assert_bad(ENTRY("1-0", HEAD("l", "1", "1"), "f", "bob", "t", numbers[i]));
    }
    assert_bad(ENTRY("1-0", HEAD("b", "0", "1"), "i", "1", "d", "x"));
    assert_bad(ENTRY("1-0", HEAD("b", "1", "0"), "i", "1", "d", "x"));
    assert_bad(ENTRY("1-0", HEAD("b", "1", "1"), "i", "0", "d", "x"));
    assert_bad(ENTRY("1-0", HEAD("x", "1", "1"), "d", SEAT_B)); /* has no seq */
    assert_bad(ENTRY("1-0", HEAD("l", "1", "1"), "f", "bob", "t", "0"));
    assert_bad(ENTRY("1-0", HEAD("?", "1", "1"), "d", "x"));
    assert_bad(ENTRY("1-0", HEAD("bb", "1", "1"), "i", "1", "d", "x"));
    assert_bad(ENTRY("1-0", HEAD("", "1", "1"), "i", "1", "d", "x"));
    assert_bad(ENTRY("1-0", "k", "b", "s", "short", "q", "1", "n", "1", "i", "1", "d", "x"));
    assert_bad(ENTRY("1-0", "s", SEAT_A, "k", "b", "q", "1", "n", "1", "i", "1", "d", "x"));
    assert_bad(ENTRY("1-0", HEAD("b", "1", "1"), "d", "x", "i", "1"));
    assert_bad(ENTRY("1-0", HEAD("b", "1", "1"), "i", "1"));
    assert_bad(ENTRY("1-0", HEAD("b", "1", "1"), "i", "1", "d", "x", "d", "y"));
    assert_bad(ENTRY("1-0", HEAD("b", "1", "1"), "i", "1", "d"));
    assert_bad(ENTRY("1-0", HEAD("b", "1", "1")));
    assert_bad(ENTRY("1-0", "k"));
    assert_bad(ENTRY("1-0", HEAD("r", "1", "1"), "d", "other"));
    assert_bad(ENTRY("1-0", HEAD("r", "1", "1"), "d", "name_taken", "z", "z"));
    assert_bad(ENTRY("1-0", HEAD("x", "0", "1"), "z", SEAT_B));
    assert_bad(ENTRY("1-0", "kk", "b", "s", SEAT_A, "q", "1", "n", "1", "i", "1", "d", "x"));
    assert_bad(ENTRY("1-0", HEAD("x", "0", "1"), "d", "0123456789ABCDEF0123456789ABCDEF"));
    assert_bad(ENTRY("1-0", HEAD("p", "1", "1"), "f", "", "t", SEAT_B, "d", "x"));
    assert_bad(ENTRY("1-0", HEAD("j", "1", "1"), "f", "bob", "y", "", "o", "", "d", "c"));
    assert_bad(ENTRY("1-0", HEAD("j", "1", "1"), "f", "bob", "y", "a b", "o", "", "d", "c"));
    assert_bad(ENTRY("1-0", HEAD("j", "1", "1"), "f", "bob", "y", "-", "o", SEAT_B, "d", "c"));
    assert_bad(ENTRY("1-0", HEAD("j", "1", "1"), "f", "bob", "y", "-", "o", SEAT_B " 0", "d", "c"));
    assert_bad(ENTRY("1-0", HEAD("j", "1", "1"), "f", "bob", "y", "-", "o", SEAT_B "_1", "d", "c"));
}

static void other_shapes_are_refused(void **state)
{
    static const char *const shapes[] = {
        ":1\r\n",
        "$-1\r\n",
        "*0\r\n",
        "*1\r\n$3\r\n1-0\r\n",
        "*2\r\n$3\r\n1-0\r\n$-1\r\n", /* an entry that was deleted, in some versions */
        "*2\r\n:1\r\n*0\r\n",
        "*2\r\n$3\r\n1-0\r\n*2\r\n:1\r\n:2\r\n",
        "*2\r\n$3\r\n1-0\r\n*10\r\n$1\r\nk\r\n*0\r\n$1\r\ns\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n:"
        "1\r\n:1\r\n",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(shapes) / sizeof(*shapes); i++)
        assert_bad(parse_bytes(shapes[i], strlen(shapes[i])));
}

static void texts_have_bounds(void **state)
{
    static char longest[LOG_CARD_MAX + SEALING_TAG_BYTES + 2];
    struct log_entry entry;
    (void)state;
    memset(longest, 'x', BODY_MAX + SEALING_TAG_BYTES);
    read_good(ENTRY("1-0", HEAD("b", "1", "1"), "i", "1", "d", longest));
    longest[BODY_MAX + SEALING_TAG_BYTES] = 'x';
    assert_bad(ENTRY("1-0", HEAD("b", "1", "1"), "i", "1", "d", longest));
    memset(longest, 'x', LOG_CARD_MAX + SEALING_TAG_BYTES);
    read_good(ENTRY("1-0", HEAD("j", "1", "1"), "f", "b", "y", "-", "o", "", "d", longest));
    longest[LOG_CARD_MAX + SEALING_TAG_BYTES] = 'x';
    assert_bad(ENTRY("1-0", HEAD("j", "1", "1"), "f", "b", "y", "-", "o", "", "d", longest));
    longest[LOG_NAME_MAX + 1] = '\0';
    assert_bad(ENTRY("1-0", HEAD("l", "1", "1"), "f", longest, "t", "1"));
    longest[LOG_NAME_MAX] = '\0';
    entry = read_good(ENTRY("1-0", HEAD("l", "1", "1"), "f", longest, "t", "1"));
    assert_int_equal(entry.name.len, LOG_NAME_MAX);
}

static struct reply_value *string_value(const char *text)
{
    static char bytes[REPLY_BYTES_MAX];
    int len = sprintf(bytes, "$%zu\r\n%s\r\n", strlen(text), text);
    return parse_bytes(bytes, (size_t)len);
}

static bool person_is_good(const char *name, const char *value, struct log_person *person)
{
    static struct reply_value *kept[2];
    reply_free(kept[0]);
    reply_free(kept[1]);
    kept[0] = string_value(name);
    kept[1] = string_value(value);
    return log_person_read(person, kept[0], kept[1]) == NULL;
}

static void people_are_read(void **state)
{
    struct log_person person;
    (void)state;
    assert_true(person_is_good("bob", SEAT_A " 3 Zm9v= the card", &person));
    assert_string_equal(person.seat, SEAT_A);
    assert_int_equal(person.tag, 3);
    assert_true(text_equals(person.name, "bob") && text_equals(person.identity, "Zm9v="));
    assert_true(text_equals(person.card, "the card"));
    assert_true(person_is_good("bob", SEAT_A " 3 - ", &person));
    static const char *const bad[] = {"",
                                      SEAT_A,
                                      SEAT_A " 3",
                                      SEAT_A " 3 -",
                                      SEAT_A " 0 - c",
                                      SEAT_A " x - c",
                                      SEAT_A "  - c",
                                      SEAT_A " 3  c",
                                      "x 3 - c",
                                      SEAT_A "0 3 - c"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        assert_false(person_is_good("bob", bad[i], &person));
    assert_false(person_is_good("", SEAT_A " 3 - c", &person));
}

/* Over anything but UTF-8 a client ends its connection; an engine must not cause that. */
static void texts_are_utf8(void **state)
{
    static const char *const good[] = {"{\"text\":\"a\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80\"",
                                       "{ \t\n\r}", "\x7F", ""};
    static const char *const bad[] = {"\xC3",         "\xFF",     "a\xE2\x82",
                                      "\xED\xA0\x80", "\xC0\x80", "\xF4\x90\x80\x80",
                                      "a\x01",        "\x1B[2J",  "a\x1F"};
    struct log_entry entry;
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        entry = read_good(ENTRY("1-0", HEAD("b", "1", "1"), "i", "1", "d", good[i]));
        assert_null(log_entry_open(&entry, NULL, ""));
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        entry = read_good(ENTRY("1-0", HEAD("b", "1", "1"), "i", "1", "d", bad[i]));
        assert_non_null(log_entry_open(&entry, NULL, ""));
    }
    entry = read_good(ENTRY("1-0", HEAD("l", "1", "1"), "f", "bob", "t", "5"));
    assert_null(log_entry_open(&entry, NULL, "")); /* has no text */
}

static void places_and_tags_have_a_form(void **state)
{
    (void)state;
    assert_true(log_is_at(text_of("0-0")) && log_is_at(text_of("12-345")));
    assert_true(log_is_tag(text_of("-")) && log_is_tag(text_of("p:" SEAT_A ":1")));
    static const char *const bad[] = {"",
                                      "p",
                                      "p:" SEAT_A,
                                      "p:" SEAT_A ":",
                                      "p:" SEAT_A ":x",
                                      "z:" SEAT_A ":1",
                                      "p-" SEAT_A ":1",
                                      "p:" SEAT_A "-1",
                                      "--"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        assert_false(log_is_tag(text_of(bad[i])));
    assert_false(log_is_at(text_of("12345")) || log_is_at(text_of("12345678901234567-0")));
    uint64_t number;
    assert_false(log_read_number(text_of(""), &number));
    assert_false(log_read_number((struct text){NULL, 0}, &number));
    assert_true(log_read_number(text_of("9007199254740992"), &number));
    assert_true(number == (uint64_t)1 << 53);
    assert_false(log_is_tag((struct text){NULL, 0}) || log_is_at((struct text){NULL, 0}) ||
                 log_is_seat((struct text){NULL, 0}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_is_read),
        cmocka_unit_test(hostile_entries_are_refused),
        cmocka_unit_test(other_shapes_are_refused),
        cmocka_unit_test(texts_have_bounds),
        cmocka_unit_test(people_are_read),
        cmocka_unit_test(texts_are_utf8),
        cmocka_unit_test(places_and_tags_have_a_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
