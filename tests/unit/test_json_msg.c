/* SPDX-License-Identifier: MIT
 *
 * test_json_msg.c - relaying, the server's own messages, and memory that is out.
 */
#include "json_msg.h"

#include "json_text.h"

/* ---- Relaying ---- */

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
    assert_int_equal(json_finish_relay(out, 4711, 1700000000123), 32);
    assert_string_equal(out, ",\"Id\":4711,\"Time\":1700000000123}");
    assert_int_equal(json_finish_relay(out, 0, 5), 10);
    assert_string_equal(out, ",\"Time\":5}");
    assert_int_equal(json_finish_relay(out, UINT64_MAX, INT64_MIN), 55);
    assert_string_equal(out, ",\"Id\":18446744073709551615,\"Time\":-9223372036854775808}");
}

#define ZEROS_31 "00000000000000000000000000000000000000000000000000000000000000"

/* ---- The server's own messages ---- */

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
    static const struct json_greeting greeting = {
        .server_name = "Ks", .nonce = "00ff", .password_required = true};

    return json_hello(&greeting, len);
}

static char *make_open_hello(size_t *len)
{
    static const struct json_greeting greeting = {.server_name = LONG_TEXT, .nonce = "00ff"};

    return json_hello(&greeting, len);
}

static char *make_hello_of_a_kept_room(size_t *len)
{
    static const struct json_greeting greeting = {
        .server_name = "Ks", .nonce = "00ff", .kept = true, .hours = 168, .messages = 10000};

    return json_hello(&greeting, len);
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
        .oldest = 4711,
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
    return json_error(ERROR_BAD_JSON, "at byte 7: a colon is missing", NULL, len);
}

/* What it is about is echoed as it was written: a number of 17 digits, an escape, a space. */
static const char about[] = "{\"text\":\"hi\",\"Ref\":{\"n\": 9007199254740993},"
                            "\"TgtUser\":\"b\\u006fb\"}";

static char *make_full_error(size_t *len)
{
    struct parsed parsed;

    parse_good(&parsed, about);
    char *text = json_error(ERROR_UNKNOWN_USER, "nobody here is called bob", &parsed.object, len);
    drop(&parsed);
    return text;
}

static void test_code_of_an_error(void **state)
{
    static const struct {
        const char *text;
        enum protocol_error code;
    } errors[] = {
        {"{\"Code\":\"throttled\"}", ERROR_THROTTLED},
        {"{\"Code\":\"name\\u005ftaken\"}", ERROR_NAME_TAKEN},
        {"{\"Code\":\"new_and_unknown\"}", ERROR_NONE},
        {"{\"Code\":\"throttled_for_longer_than_any_code_has\"}", ERROR_NONE},
        {"{\"Code\":7}", ERROR_NONE},
        {"{}", ERROR_NONE},
    };
    struct parsed parsed;

    (void)state;
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        parse_good(&parsed, errors[i].text);
        assert_int_equal(json_error_code(&parsed.object), errors[i].code);
        drop(&parsed);
    }
}

static char *make_throttled(size_t *len)
{
    struct parsed parsed;

    parse_good(&parsed, about);
    char *text = json_throttled("try again later", 15, &parsed.object, len);
    drop(&parsed);
    return text;
}

static char *make_keys_published(size_t *len)
{
    struct parsed parsed;

    parse_good(&parsed, about);
    char *text = json_keys_published(&parsed.object, len);
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
    static const struct e2e_keys keys = {
        .identity = {0x1d}, .expires = 9, .origin = "http://h", .enc = "hpke-v2"};
    struct parsed parsed;

    parse_good(&parsed, about);
    char *text = json_user_keys("bob", &keys, &parsed.object, len);
    drop(&parsed);
    return text;
}

static char *make_online_users(size_t *len)
{
    static const char *const quoted[] = {"\"ana\"", "\"b\\\"ob\"", "\"\xC3\xA9\""};

    const struct json_names users = {quoted, 3};

    return json_online_users(&users, len);
}

static char *make_nobody_online(size_t *len)
{
    const struct json_names nobody = {NULL, 0};

    return json_online_users(&nobody, len);
}

static const char *const two[] = {"\"ana\"", "\"b\\\"ob\""};

static char *make_user_list(size_t *len)
{
    const struct json_names users = {two, 2};

    return json_user_list(9007199254740991, 2, &users, len);
}

static char *make_counted_list(size_t *len)
{
    return json_user_list(7, 2001, NULL, len);
}

static char *make_presence(size_t *len)
{
    const struct json_presence presence = {
        .version = 9, .since = 7, .count = 3, .joined = {two, 2}, .left = {two, 1}};

    return json_presence(&presence, len);
}

static char *make_counted_presence(size_t *len)
{
    const struct json_presence presence = {.version = 9, .since = 7, .count = 3};

    return json_presence(&presence, len);
}

static char *make_users(size_t *len)
{
    const struct json_names users = {two, 2};
    struct parsed parsed;

    parse_good(&parsed, "{\"Ref\":[1.50]}");
    char *text = json_users(&users, 5, true, &parsed.object, len);
    drop(&parsed);
    return text;
}

static char *make_no_users(size_t *len)
{
    const struct json_names nobody = {NULL, 0};

    return json_users(&nobody, 5, false, NULL, len);
}

static char *make_history(size_t *len)
{
    struct parsed parsed;

    parse_good(&parsed, "{\"Ref\":[1.50],\"TgtUser\":\"bob\"}");
    struct json_writer w = json_history_begin(&parsed.object, "e1", 14);
    json_history_add(&w, "{\"Id\":1}{", 8);
    json_history_add(&w, "{\"Id\":2}", 8);
    char *text = json_history_end(&w, 9007199254740991, true, len);
    drop(&parsed);
    return text;
}

static char *make_empty_history(size_t *len)
{
    struct json_writer w = json_history_begin(NULL, "e1", 0);

    return json_history_end(&w, 0, false, len);
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
    {make_hello_of_a_kept_room,
     "{\"msgType\":\"Hello\",\"ServerName\":\"Ks\",\"PasswordRequired\":false,"
     "\"Nonce\":\"00ff\",\"Version\":2,\"Kept\":{\"Hours\":168,\"Messages\":10000}}"},
    {make_joined, "{\"msgType\":\"Joined\",\"ServerName\":\"Ks\",\"Room\":\"\",\"Name\":\"ana\","
                  "\"Epoch\":\"e1\",\"LastId\":9007199254740992,\"Resumed\":true,"
                  "\"MaxMessageBytes\":65536,\"Oldest\":4711}"},
    {make_joined_first, "{\"msgType\":\"Joined\",\"ServerName\":\"Ks\",\"Room\":\"caf\xC3\xA9\","
                        "\"Name\":\"\\\"ana\\\"\",\"Epoch\":\"e2\",\"LastId\":0,"
                        "\"Resumed\":false,\"MaxMessageBytes\":16777216}"},
    {make_error, "{\"msgType\":\"Error\",\"Code\":\"bad_json\","
                 "\"text\":\"at byte 7: a colon is missing\"}"},
    {make_full_error, "{\"msgType\":\"Error\",\"Code\":\"unknown_user\","
                      "\"text\":\"nobody here is called bob\","
                      "\"Ref\":{\"n\": 9007199254740993},\"TgtUser\":\"b\\u006fb\"}"},
    {make_throttled, "{\"msgType\":\"Error\",\"Code\":\"throttled\","
                     "\"text\":\"try again later\",\"RetryAfter\":15,"
                     "\"Ref\":{\"n\": 9007199254740993}}"},
    {make_keys_published, "{\"msgType\":\"KeysPublished\",\"Ref\":{\"n\": 9007199254740993}}"},
    {make_delivered, "{\"msgType\":\"Delivered\",\"TgtUser\":\"b\\u006fb\","
                     "\"Ref\":{\"n\": 9007199254740993}}"},
    {make_user_keys, "{\"msgType\":\"UserKeys\",\"User\":\"bob\"}"},
    {make_published_keys, "{\"msgType\":\"UserKeys\",\"User\":\"bob\","
                          "\"Ref\":{\"n\": 9007199254740993},"
                          "\"IdentityKey\":\"1d" ZEROS_31 "\",\"SessionKey\":\"00" ZEROS_31 "\","
                          "\"KeyExpires\":9,\"KeyOrigin\":\"http://h\",\"KeyEnc\":\"hpke-v2\","
                          "\"KeySignature\":\"0000" ZEROS_31 ZEROS_31 "\"}"},
    {make_online_users, "{\"msgType\":\"OnlineUsers\","
                        "\"Users\":[\"ana\",\"b\\\"ob\",\"\xC3\xA9\"]}"},
    {make_nobody_online, "{\"msgType\":\"OnlineUsers\",\"Users\":[]}"},
    {make_user_list, "{\"msgType\":\"OnlineUsers\",\"Version\":9007199254740991,\"Count\":2,"
                     "\"Users\":[\"ana\",\"b\\\"ob\"]}"},
    {make_counted_list, "{\"msgType\":\"OnlineUsers\",\"Version\":7,\"Count\":2001}"},
    {make_presence, "{\"msgType\":\"Presence\",\"Version\":9,\"Since\":7,\"Count\":3,"
                    "\"Joined\":[\"ana\",\"b\\\"ob\"],\"Left\":[\"ana\"]}"},
    {make_counted_presence, "{\"msgType\":\"Presence\",\"Version\":9,\"Since\":7,\"Count\":3}"},
    {make_users, "{\"msgType\":\"Users\",\"Count\":5,\"Users\":[\"ana\",\"b\\\"ob\"],"
                 "\"More\":true,\"Ref\":[1.50]}"},
    {make_no_users, "{\"msgType\":\"Users\",\"Count\":5,\"Users\":[],\"More\":false}"},
    {make_history,
     "{\"msgType\":\"History\",\"Ref\":[1.50],\"Epoch\":\"e1\",\"Messages\":[{\"Id\":1},"
     "{\"Id\":2}],\"From\":9007199254740991,\"More\":true}"},
    {make_empty_history, "{\"msgType\":\"History\",\"Epoch\":\"e1\",\"Messages\":[],\"From\":0,"
                         "\"More\":false}"},
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

/* ---- No memory ---- */

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

/* Lets each allocation of a message fail, one at a time: then there is no message, and nothing of
 * it stays behind. */
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_code_of_an_error),
        cmocka_unit_test(a_broadcast_is_relayed),
        cmocka_unit_test(a_private_message_is_relayed),
        cmocka_unit_test(numbers_travel_untouched),
        cmocka_unit_test(the_servers_fields_win),
        cmocka_unit_test(a_message_of_64_fields_is_relayed),
        cmocka_unit_test(a_stamp_ends_a_message),
        cmocka_unit_test(messages_are_said_whole),
        cmocka_unit_test_setup_teardown(without_memory_there_is_no_message, hook_memory,
                                        unhook_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
