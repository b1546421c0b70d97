/* SPDX-License-Identifier: MIT
 *
 * test_http_limits.c - every byte of a good head, limits, hosts, origins, rooms.
 */
#include "lib/http/http_request.h"
#include "lib/http/http_room.h"

#include "http_head.h"

/* ---- Hosts ---- */

static struct text host_of(const char *field)
{
    return origin_host((struct text){field, strlen(field)});
}

static void test_hosts(void **state)
{
    (void)state;
    assert_null(origin_host((struct text){NULL, 0}).at);
    check_text(host_of(""), "");
    check_text(host_of("a"), "a");
    check_text(host_of("a:80"), "a");
    check_text(host_of("a.b.:80"), "a.b");
    check_text(host_of("a."), "a");
    check_text(host_of("."), ".");
    check_text(host_of("[::1]:80"), "[::1]");
    assert_true(authority_host_is(host_of("LocalHost.:1"), "localhost"));
    assert_false(authority_host_is(host_of("localhost.evil"), "localhost"));
    assert_false(authority_host_is(host_of("localhos"), "localhost"));
    assert_true(authority_host_under(host_of("a.LOCAL"), ".local"));
    assert_true(authority_host_under(host_of("a.b.local.:1"), ".local"));
    assert_false(authority_host_under(host_of(".local"), ".local"));
    assert_false(authority_host_under(host_of("local"), ".local"));
    assert_false(authority_host_under(host_of("alocal"), ".local"));
    assert_false(authority_host_under(host_of("a.local.evil"), ".local"));
}

static void test_hosts_of_allowed_origins(void **state)
{
    (void)state;
    static const char *const allowed[] = {"https://Chat.example:8443", "null", "http://[::1]"};
    assert_true(origin_host_allowed(host_of("chat.example"), allowed, 3));
    assert_true(origin_host_allowed(host_of("CHAT.example.:1"), allowed, 3));
    assert_true(origin_host_allowed(host_of("[::1]"), allowed, 3));
    assert_false(origin_host_allowed(host_of("example"), allowed, 3));
    assert_false(origin_host_allowed(host_of("x.chat.example"), allowed, 3));
    assert_false(origin_host_allowed(host_of("null"), allowed, 3));
    assert_false(origin_host_allowed(host_of("chat.example"), allowed, 0));
    static const char *const any[] = {"*"};
    assert_true(origin_host_allowed(host_of("evil"), any, 1));
}

/* ---- Every byte of a good head ---- */

/* RFC 9112 §2.2, RFC 9110 §5.5: wherever in a head one of these three stands that did not stand
 * there before, the head is bad, and in one way. */
static void test_a_stray_nul_cr_or_lf_is_400_anywhere(void **state)
{
    (void)state;
    char head[sizeof rfc_head];
    for (size_t i = 0; i < sizeof rfc_head - 1; i++) {
        for (size_t k = 0; k < 3; k++) {
            memcpy(head, rfc_head, sizeof head);
            head[i] = "\0\r\n"[k];
            if (head[i] == rfc_head[i])
                continue;
            if (parse_result(head, sizeof head - 1) != -400)
                fail_msg("byte %zu made %d was not refused", i, head[i]);
        }
    }
}

/* With any byte anywhere: never more than there is, and a refusal stays what it was. */
static void test_any_byte_anywhere_is_decided_once(void **state)
{
    (void)state;
    char head[] = "GET ws://a/?b HTTP/1.1\r\nHost: [::1]:1\r\nUpgrade: websocket\r\n\r\n";
    size_t len = sizeof head - 1;
    for (size_t i = 0; i < len; i++) {
        char kept = head[i];
        for (int byte = 0; byte < 256; byte++) {
            head[i] = (char)byte;
            long before = 0;
            for (size_t n = i; n <= len; n++) {
                long result = parse_result(head, n);
                assert_true(result <= (long)n);
                assert_true(before == 0 || result == before);
                before = result;
            }
        }
        head[i] = kept;
    }
}

/* ---- Limits ---- */

static void test_target_limit_rfc9112_3(void **state)
{
    (void)state;
    static const char rest[] = " HTTP/1.1\r\nHost: a\r\n\r\n";
    char head[HTTP_TARGET_MAX + 64];
    size_t len = put_long_target(head, HTTP_TARGET_MAX);
    assert_int_equal(parse_result(head, len), 0);
    memcpy(head + len, rest, sizeof rest - 1);
    assert_int_equal(parse_result(head, len + sizeof rest - 1), len + sizeof rest - 1);

    len = put_long_target(head, HTTP_TARGET_MAX + 1);
    assert_int_equal(parse_result(head, len - 1), 0);
    assert_int_equal(parse_result(head, len), -414);
    memcpy(head + len, rest, sizeof rest - 1);
    assert_int_equal(parse_result(head, len + sizeof rest - 1), -414);

    head[strlen("GET ")] = 'a'; /* no path: its first byte shows it, however much comes at once */
    assert_int_equal(parse_result(head, strlen("GET a")), -400);
    assert_int_equal(parse_result(head, len), -400);
}

/* GET with a field so long that the head is `len` bytes. */
static void put_long_head(char *head, size_t len)
{
    static const char start[] = GET "X: ";
    memset(head, 'x', len);
    memcpy(head, start, sizeof start - 1);
    memcpy(head + len - 4, "\r\n\r\n", 4);
}

static void test_head_limit_rfc6585_5(void **state)
{
    (void)state;
    char head[HTTP_HEAD_MAX + 1];
    put_long_head(head, HTTP_HEAD_MAX);
    assert_int_equal(parse_result(head, HTTP_HEAD_MAX - 1), 0);
    assert_int_equal(parse_result(head, HTTP_HEAD_MAX), HTTP_HEAD_MAX);

    put_long_head(head, HTTP_HEAD_MAX + 1);
    assert_int_equal(parse_result(head, HTTP_HEAD_MAX - 1), 0);
    assert_int_equal(parse_result(head, HTTP_HEAD_MAX), -431);
    assert_int_equal(parse_result(head, HTTP_HEAD_MAX + 1), -431);
}

/* The end of the handshake does not count against what follows it. */
static void test_head_limit_is_not_for_what_follows(void **state)
{
    (void)state;
    char head[4 * HTTP_HEAD_MAX];
    memset(head, 'x', sizeof head);
    memcpy(head, rfc_head, sizeof rfc_head - 1);
    assert_int_equal(parse_result(head, sizeof head), sizeof rfc_head - 1);
}

/* A head with `fields` fields, Host among them. Returns its length. */
static size_t put_fields(char *head, size_t fields)
{
    static const char start[] = GET, field[] = "X: y\r\n";
    size_t len = sizeof start - 1;
    memcpy(head, start, len);
    for (size_t i = 1; i < fields; i++, len += sizeof field - 1)
        memcpy(head + len, field, sizeof field - 1);
    memcpy(head + len, "\r\n", 2);
    return len + 2;
}

static void test_field_limit_rfc6585_5(void **state)
{
    (void)state;
    char head[1024];
    size_t len = put_fields(head, HTTP_FIELDS_MAX);
    assert_int_equal(parse_result(head, len), len);

    len = put_fields(head, HTTP_FIELDS_MAX + 1);
    size_t last = len - strlen("X: y\r\n\r\n"); /* where the one too many begins */
    assert_int_equal(parse_result(head, last), 0);
    assert_int_equal(parse_result(head, last + 1), -431);
    assert_int_equal(parse_result(head, len), -431);
}

/* ---- Origins ---- */

struct origin_case {
    const char *origin, *host;
    bool tls, ok;
};

static bool origin_ok(const struct origin_case *row, const char *const *allowed, size_t n)
{
    struct http_request rq = {.upgrade = true};
    if (row->origin != NULL)
        rq.origin = (struct text){row->origin, strlen(row->origin)};
    if (row->host != NULL)
        rq.host = (struct text){row->host, strlen(row->host)};
    return origin_allowed(rq.origin, rq.host, allowed, n, row->tls);
}

static void check_origins(const struct origin_case *rows, size_t count, const char *const *allowed,
                          size_t n)
{
    for (size_t i = 0; i < count; i++)
        if (origin_ok(&rows[i], allowed, n) != rows[i].ok)
            fail_msg("origin %s, host %s, tls %d: not %d", rows[i].origin, rows[i].host,
                     rows[i].tls, rows[i].ok);
}

static void test_own_origin_rfc6455_10_2(void **state)
{
    (void)state;
    static const struct origin_case rows[] = {
        {NULL, "a", false, true},
        {NULL, NULL, false, true},
        {"http://a", "a", false, true},
        {"http://A.Example", "a.eXAMPLE", false, true},
        {"http://a:80", "a", false, true},
        {"http://a", "a:80", false, true},
        {"http://a", "a:", false, true},
        {"ws://a", "a:80", false, true},
        {"http://a:12345", "a:12345", false, true},
        {"http://a:12345", "a", false, false},
        {"http://a", "a:12345", false, false},
        {"http://a:1", "a:2", false, false},
        {"http://a", "b", false, false},
        {"http://a", "a.b", false, false},
        {"http://a.b", "a", false, false},
        {"http://a", "", false, false},
        {"http://a", NULL, false, false},
        {"https://a", "a", true, true},
        {"https://a:443", "a", true, true},
        {"https://a", "a:443", true, true},
        {"wss://a", "a", true, true},
        {"https://a:12345", "a:12345", true, true},
        {"https://a", "a:12345", true, false},
        {"https://a", "a:80", true, false},
        {"http://a", "a", true, false},     /* a page that anyone on the way could have written */
        {"http://a", "a:443", true, false}, /* the same */
        {"https://a", "a", false, true},    /* a proxy ended TLS */
        {"https://a", "a:443", false, true},
        {"http://[::1]", "[::1]", false, true},
        {"http://[::1]:80", "[::1]", false, true},
        {"http://[FE80::A]:9", "[fe80::a]:9", false, true},
        {"http://[::1]:9", "[::1]", false, false},
        {"http://[::1]", "[::2]", false, false},
        {"http://127.0.0.1:8080", "127.0.0.1:8080", false, true},
        {"null", "a", false, false},
        {"null", "null", false, false},
        {"", "", false, false},
        {"a", "a", false, false},
        {"http:", "a", false, false},
        {"http://", "", false, false},
        {"http://a/", "a", false, false},
        {"http://a ", "a", false, false},
        {"http://u@a", "a", false, false},
        {"http://a http://a", "a", false, false},
        {"http://a:99999", "a", false, false},
        {"ftp://a", "a", false, false},
        {"file://", "a", false, false},
        {"chrome-extension://a", "a", false, false},
    };
    check_origins(rows, sizeof rows / sizeof rows[0], NULL, 0);
}

static void test_allowed_origins_rfc6455_10_2(void **state)
{
    (void)state;
    static const char *const allowed[] = {"https://Chat.example", "http://b:8080", "null",
                                          "chrome-extension://abc", "https://c:443"};
    static const struct origin_case rows[] = {
        {"https://chat.example", "a", true, true},
        {"https://chat.example:443", "a", false, true},
        {"HTTPS://CHAT.EXAMPLE", "a", false, true},
        {"http://chat.example", "a", false, false},
        {"https://chat.example:8443", "a", false, false},
        {"https://chat.example.evil", "a", false, false},
        {"https://xchat.example", "a", false, false},
        {"http://b:8080", "a", false, true},
        {"http://b", "a", false, false},
        {"https://c", "a", false, true},
        {"http://c:443", "a", false, false},
        {"null", "a", false, true},
        {"nul", "a", false, false},
        {"chrome-extension://abc", "a", false, true},
        {"chrome-extension://abcd", "a", false, false},
        {"http://a", "a", false, true},
        {"http://d", "a", false, false},
    };
    check_origins(rows, sizeof rows / sizeof rows[0], allowed, sizeof allowed / sizeof allowed[0]);
}

static void test_any_origin_if_so_configured(void **state)
{
    (void)state;
    static const char *const allowed[] = {"https://x", "*"};
    static const struct origin_case rows[] = {
        {"http://evil", "a", true, true},
        {"null", "a", false, true},
        {"*", "a", false, true},
    };
    check_origins(rows, sizeof rows / sizeof rows[0], allowed, 2);
    static const struct origin_case star = {"*", "a", false, false};
    check_origins(&star, 1, allowed, 1);
}

/* ---- Rooms ---- */

static void check_room(const struct room_case *row)
{
    enum { CAP = 129 };
    size_t len = strlen(row->path);
    char *path = malloc(len), *room = malloc(CAP);
    assert_true(path != NULL && room != NULL);
    memcpy(path, row->path, len);
    memset(room, '#', CAP);

    const char *why = NULL;
    int result = http_room(&(struct http_request){.path = {path, len}}, room, CAP, &why);
    if (result != (row->room != NULL ? 0 : -1))
        fail_msg("%s: %d", row->path, result);
    if (row->room != NULL)
        assert_string_equal(room, row->room);
    else if (strstr(why, row->why) == NULL)
        fail_msg("%s: \"%s\" does not say \"%s\"", row->path, why, row->why);
    free(room);
    free(path);
}

static void test_rooms(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof room_cases / sizeof room_cases[0]; i++)
        check_room(&room_cases[i]);
}

static void test_a_room_never_overruns_its_buffer(void **state)
{
    (void)state;
    static const char path[] = "/rooms/abcd%65";
    const struct http_request rq = {.path = {path, sizeof path - 1}};
    for (size_t cap = 1; cap <= 7; cap++) {
        char *room = malloc(cap);
        const char *why = NULL;
        assert_non_null(room);
        int result = http_room(&rq, room, cap, &why);
        assert_int_equal(result, cap >= sizeof "abcde" ? 0 : -1);
        if (result == 0)
            assert_string_equal(room, "abcde");
        else
            assert_non_null(why);
        free(room);
    }
}

/* The path that a parsed head gives, as a room: without its query, with any authority. */
static void test_the_room_of_a_whole_request(void **state)
{
    (void)state;
    struct parsed parsed =
        parse(BYTES("GET wss://a:1/rooms/tea%21?x=/y HTTP/1.1\r\nHost: a\r\n\r\n"));
    char room[129];
    const char *why = NULL;
    assert_true(parsed.result > 0);
    assert_int_equal(http_room(&parsed.rq, room, sizeof room, &why), 0);
    assert_string_equal(room, "tea!");
    free(parsed.block);
}

/* Of five fields the last four are kept, in order. */
static void test_the_last_forwarded_fields_are_kept(void **state)
{
    (void)state;
    static const char head[] = GET "X-Forwarded-For: 1\r\nX-Forwarded-For: 2, 3\r\n"
                                   "x-forwarded-for: \r\nX-Forwarded-For: 4\r\n\r\n";
    struct parsed parsed = parse(head, strlen(head));
    assert_int_equal(parsed.result, strlen(head));
    assert_int_equal(parsed.rq.forwarded_count, 4);
    check_text(parsed.rq.forwarded[0], "1");
    check_text(parsed.rq.forwarded[3], "4");
    free(parsed.block);
    static const char more[] =
        GET "X-Forwarded-For: 1\r\nX-Forwarded-For: 2, 3\r\nX-Forwarded-For:\r\n"
            "X-Forwarded-For: 4\r\nX-Forwarded-For: 5\r\n\r\n";
    parsed = parse(more, strlen(more));
    assert_int_equal(parsed.result, strlen(more));
    assert_int_equal(parsed.rq.forwarded_count, 4);
    check_text(parsed.rq.forwarded[0], "2, 3");
    check_text(parsed.rq.forwarded[1], "");
    check_text(parsed.rq.forwarded[2], "4");
    check_text(parsed.rq.forwarded[3], "5");
    free(parsed.block);
}

/* Elements are taken from the end; empty ones are skipped (RFC 9110 §5.6.1). */
static void test_the_last_element_of_a_list(void **state)
{
    (void)state;
    struct text list = text_of("a,, b ,\tc , ,"), element;
    static const char *const elements[] = {"c", "b", "a"};
    for (size_t i = 0; i < sizeof elements / sizeof elements[0]; i++) {
        assert_true(http_take_last(&list, &element));
        check_text(element, elements[i]);
    }
    assert_false(http_take_last(&list, &element));
    assert_int_equal(element.len, 0);
    list = text_of(" ,, ");
    assert_false(http_take_last(&list, &element));
    assert_int_equal(list.len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_hosts_of_allowed_origins),
        cmocka_unit_test(test_a_stray_nul_cr_or_lf_is_400_anywhere),
        cmocka_unit_test(test_any_byte_anywhere_is_decided_once),
        cmocka_unit_test(test_target_limit_rfc9112_3),
        cmocka_unit_test(test_head_limit_rfc6585_5),
        cmocka_unit_test(test_head_limit_is_not_for_what_follows),
        cmocka_unit_test(test_field_limit_rfc6585_5),
        cmocka_unit_test(test_own_origin_rfc6455_10_2),
        cmocka_unit_test(test_allowed_origins_rfc6455_10_2),
        cmocka_unit_test(test_any_origin_if_so_configured),
        cmocka_unit_test(test_the_last_forwarded_fields_are_kept),
        cmocka_unit_test(test_the_last_element_of_a_list),
        cmocka_unit_test(test_rooms),
        cmocka_unit_test(test_a_room_never_overruns_its_buffer),
        cmocka_unit_test(test_the_room_of_a_whole_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
