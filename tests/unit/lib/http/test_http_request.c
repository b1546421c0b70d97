/* SPDX-License-Identifier: MIT
 *
 * test_http_request.c - request heads: good ones, bad ones, what decides which page is sent.
 */
#include "lib/http/http_request.h"

#include "http_head.h"

/* Whole, at every place before its end, and with bytes of the next thing behind it. */
static void check_good(const char *head)
{
    size_t len = strlen(head);
    for (size_t n = 0; n < len; n++)
        if (parse_result(head, n) != 0)
            fail_msg("decided after %zu of %zu bytes: %s", n, len, head);
    if (parse_result(head, len) != (long)len)
        fail_msg("not accepted: %s", head);

    char more[1024];
    int more_len = snprintf(more, sizeof more, "%s%s", head, "\x81\x85GET\r\n\r\n");
    assert_true(more_len > 0 && (size_t)more_len < sizeof more);
    assert_int_equal(parse_result(more, (size_t)more_len), len);
}

/* ---- Good heads ---- */

static void test_rfc6455_1_2_example(void **state)
{
    (void)state;
    struct parsed parsed = parse(BYTES(rfc_head));
    assert_int_equal(parsed.result, sizeof rfc_head - 1);
    assert_true(parsed.rq.upgrade);
    assert_false(parsed.rq.protocol);
    check_text(parsed.rq.path, "/chat");
    check_text(parsed.rq.host, "server.example.com");
    check_text(parsed.rq.origin, "http://example.com");
    check_text(parsed.rq.key, KEY);
    free(parsed.block);
    check_good(rfc_head);
}

static void test_the_subprotocol_may_be_none(void **state)
{
    (void)state;
    struct http_request rq;
    const char *why = NULL;
    long result = http_parse(BYTES(rfc_head), NULL, &rq, &why);
    assert_int_equal(result, sizeof rfc_head - 1);
    assert_false(rq.protocol);
    result = http_parse(BYTES(rfc_head), "superchat", &rq, &why);
    assert_int_equal(result, sizeof rfc_head - 1);
    assert_true(rq.protocol);
}

static void test_good_heads(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof good_heads / sizeof good_heads[0]; i++) {
        const struct good_head *good = &good_heads[i];
        check_good(good->head);
        struct parsed parsed = parse(good->head, strlen(good->head));
        if (parsed.rq.upgrade != good->upgrade || parsed.rq.protocol != good->protocol)
            fail_msg("upgrade %d, protocol %d: %s", parsed.rq.upgrade, parsed.rq.protocol,
                     good->head);
        check_text(parsed.rq.path, good->path);
        check_text(parsed.rq.host, good->host);
        free(parsed.block);
    }
}

/* RFC 9112 §9.3: HTTP/1.1 keeps a connection, unless one says close. */
static void test_which_connections_may_be_kept(void **state)
{
    static const struct {
        const char *head;
        bool keep;
    } cases[] = {
        {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", true},
        {"GET / HTTP/1.9\r\nHost: a\r\nConnection: keep-alive\r\n\r\n", true},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: x, CLOSE\r\n\r\n", false},
        {"GET / HTTP/1.1\r\nConnection: close\r\nConnection: x\r\nHost: a\r\n\r\n", false},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: closed\r\n\r\n", true},
        {"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n", false},
        {"GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\n\r\n", true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct parsed parsed = parse(cases[i].head, strlen(cases[i].head));
        assert_int_equal(parsed.result, strlen(cases[i].head));
        if (parsed.rq.keep != cases[i].keep)
            fail_msg("keep is %d: %s", parsed.rq.keep, cases[i].head);
        free(parsed.block);
    }
}

/* ---- Bad heads ---- */

struct bad_head {
    const char *head;
    size_t len;
    int status;
};

/* Refused at its last byte, not before, and for good. */
static void check_bad(const struct bad_head *bad)
{
    for (size_t n = 0; n < bad->len; n++)
        if (parse_result(bad->head, n) != 0)
            fail_msg("refused after %zu of %zu bytes: %s", n, bad->len, bad->head);
    long result = parse_result(bad->head, bad->len);
    if (result != -bad->status)
        fail_msg("%ld instead of -%d: %s", result, bad->status, bad->head);

    char more[1024];
    assert_true(bad->len + 4 <= sizeof more);
    memcpy(more, bad->head, bad->len);
    memcpy(more + bad->len, "\r\n\r\n", 4);
    assert_int_equal(parse_result(more, bad->len + 4), result);
}

static void check_all_bad(const struct bad_head *heads, size_t count)
{
    for (size_t i = 0; i < count; i++)
        check_bad(&heads[i]);
}

static void test_bad_request_lines_rfc9112_3(void **state)
{
    (void)state;
    static const struct bad_head heads[] = {
        {BYTES("\x16"), 400}, /* a TLS ClientHello */
        {BYTES("\x80"), 400}, /* one of SSLv2, or any other binary */
        {BYTES("\x00"), 400},
        {BYTES("\xFF"), 400},
        {BYTES(" "), 400},
        {BYTES("\n"), 400},
        {BYTES("\r\n\r"), 400},
        {BYTES("\r\n\n"), 400},
        {BYTES("\rG"), 400},
        {BYTES("GET\t"), 400},
        {BYTES("GET\r"), 400},
        {BYTES("GET:"), 400},
        {BYTES("hello\n"), 400},
        {BYTES("{"), 400},
        {BYTES("SSH-2.0-OpenSSH_9.2p1\r"), 400},
        {BYTES("POST "), 405},
        {BYTES("OPTIONS "), 405},
        {BYTES("CONNECT "), 405},
        {BYTES("get "), 405},
        {BYTES("GETS "), 405},
        {BYTES("head "), 405},
        {BYTES("HEADS "), 405},
        {BYTES("GE "), 405},
        {BYTES("PRI "), 405},                               /* HTTP/2's preface */
        {BYTES("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG"), 405},  /* 33 */
        {BYTES("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEF\n"), 400}, /* 32 */
        {BYTES("GET  "), 400},
        {BYTES("GET \t"), 400},
        {BYTES("GET \r"), 400},
        {BYTES("GET a"), 400},
        {BYTES("GET *"), 400},
        {BYTES("GET ?"), 400},
        {BYTES("GET f"), 400},
        {BYTES("GET httpx"), 400},
        {BYTES("GET https:/x"), 400},
        {BYTES("GET wsss"), 400},
        {BYTES("GET http "), 400},
        {BYTES("GET http:// "), 400},
        {BYTES("GET http:///x "), 400},
        {BYTES("GET http://:80/ "), 400},
        {BYTES("GET http://?x "), 400},
        {BYTES("GET http://u@h/ "), 400},
        {BYTES("GET http://h:p/ "), 400},
        {BYTES("GET http://h:65536/ "), 400},
        {BYTES("GET http://[::1/ "), 400},
        {BYTES("GET /#"), 400},
        {BYTES("GET /a\x01"), 400},
        {BYTES("GET /a\x00"), 400},
        {BYTES("GET /a\x7F"), 400},
        {BYTES("GET /caf\xC3"), 400},
        {BYTES("GET /a\t"), 400},
        {BYTES("GET /\r"), 400}, /* HTTP/0.9 */
        {BYTES("GET /\n"), 400},
        {BYTES("GET /  "), 400},
        {BYTES("GET / h"), 400},
        {BYTES("GET / HTTPS"), 400},
        {BYTES("GET / HTTP/x"), 400},
        {BYTES("GET / HTTP/1,"), 400},
        {BYTES("GET / HTTP/1.x"), 400},
        {BYTES("GET / HTTP/11"), 400},
        {BYTES("GET / HTTP/2\r"), 400},
        {BYTES("GET / HTTP/1.1 "), 400},
        {BYTES("GET / HTTP/1.10"), 400},
        {BYTES("GET / HTTP/1.1\n"), 400},
        {BYTES("GET / HTTP/1.1\r\r"), 400},
        {BYTES("GET / HTTP/2.0"), 505},
        {BYTES("GET / HTTP/3.1"), 505},
        {BYTES("GET / HTTP/0.9"), 505},
    };
    check_all_bad(heads, sizeof heads / sizeof heads[0]);
}

static void test_bad_fields_rfc9112_5(void **state)
{
    (void)state;
    static const struct bad_head heads[] = {
        {BYTES(GET ":"), 400},
        {BYTES(GET "\n"), 400},
        {BYTES(GET "\r\r"), 400},
        {BYTES(GET "X\r"), 400},
        {BYTES(GET "X\n"), 400},
        {BYTES(GET "X "), 400}, /* §5.1 */
        {BYTES(GET "X\t"), 400},
        {BYTES(GET "X("), 400},
        {BYTES(GET "X\x00"), 400},
        {BYTES(GET "X\xE9"), 400},
        {BYTES(GET "\""), 400},
        {BYTES(GET "X: a\x00"), 400},
        {BYTES(GET "X: a\x01"), 400},
        {BYTES(GET "X: a\x1B"), 400},
        {BYTES(GET "X: a\x7F"), 400},
        {BYTES(GET "X: a\n"), 400},
        {BYTES(GET "X: a\rb"), 400},
        {BYTES(GET "X: a\r\r"), 400},
        {BYTES(GET "X: a\r\n "), 400}, /* §5.2: obs-fold */
        {BYTES(GET "X: a\r\n\t"), 400},
        {BYTES("GET / HTTP/1.1\r\n "), 400},    /* §2.2: white space before the first field */
        {BYTES("GET / HTTP/1.1\r\n\r\n"), 400}, /* §3.2: Host is missing */
        {BYTES("GET http://a/ HTTP/1.1\r\n\r\n"), 400},
        {BYTES("GET / HTTP/1.1\r\nX-Host: a\r\nHos: a\r\n\r\n"), 400},
        {BYTES(GET "Host: a\r\n"), 400}, /* §3.2: two of them */
        {BYTES(GET "host:\r\n"), 400},
        {BYTES("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n"), 400},
        {BYTES("GET / HTTP/1.1\r\nHost:\r\nHost:\r\n"), 400},
        {BYTES("GET / HTTP/1.1\r\nHost: a b\r\n"), 400}, /* §3.2: invalid values */
        {BYTES("GET / HTTP/1.1\r\nHost: a/\r\n"), 400},
        {BYTES("GET / HTTP/1.1\r\nHost: u@a\r\n"), 400},
        {BYTES("GET / HTTP/1.1\r\nHost: a:b\r\n"), 400},
        {BYTES("GET / HTTP/1.1\r\nHost: a:80:80\r\n"), 400},
        {BYTES("GET / HTTP/1.1\r\nHost: a:65536\r\n"), 400},
        {BYTES("GET / HTTP/1.1\r\nHost: ::1\r\n"), 400},
        {BYTES("GET / HTTP/1.1\r\nHost: [::1\r\n"), 400},
        {BYTES("GET / HTTP/1.1\r\nHost: []\r\n"), 400},
        {BYTES("GET / HTTP/1.1\r\nHost: [::g]\r\n"), 400},
        {BYTES("GET / HTTP/1.1\r\nHost: [::1]x\r\n"), 400},
        {BYTES("GET / HTTP/1.1\r\nHost: caf\xC3\xA9\r\n"), 400},
        {BYTES(GET "Origin: http://a\r\nOrigin: http://a\r\n"), 400},
    };
    check_all_bad(heads, sizeof heads / sizeof heads[0]);
}

/* What makes two servers in a row see different requests in the same bytes. */
static void test_smuggling_rfc9112_11_2(void **state)
{
    (void)state;
    static const struct bad_head heads[] = {
        {BYTES(GET "Content-Length: 1\r\n"), 400},
        {BYTES(GET "Content-Length: 44\r\n"), 400},
        {BYTES(GET "content-length:5\r\n"), 400},
        {BYTES(GET "Content-Length: 0\r\nContent-Length: 5\r\n"), 400},
        {BYTES(GET "Content-Length: 0, 5\r\n"), 400},
        {BYTES(GET "Content-Length: 0, 0\r\n"), 400},
        {BYTES(GET "Content-Length: +0\r\n"), 400},
        {BYTES(GET "Content-Length: -0\r\n"), 400},
        {BYTES(GET "Content-Length: 0x0\r\n"), 400},
        {BYTES(GET "Content-Length: 00\r\n"), 400},
        {BYTES(GET "Content-Length:\r\n"), 400},
        {BYTES(GET "Content-Length: 99999999999999999999999\r\n"), 400},
        {BYTES(GET "Content-Length "), 400},
        {BYTES(GET "Transfer-Encoding: chunked\r\n"), 400},
        {BYTES(GET "Transfer-Encoding: identity\r\n"), 400},
        {BYTES(GET "Transfer-Encoding: xchunked\r\n"), 400},
        {BYTES(GET "Transfer-Encoding:\r\n"), 400},
        {BYTES(GET "TRANSFER-ENCODING:\tchunked\r\n"), 400},
        {BYTES(GET "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n"), 400},
        {BYTES(GET "Transfer-Encoding\r"), 400},
        {BYTES(GET "X: y\n"), 400},
        {BYTES(GET UPGRADE KEY_13 "Content-Length: 3\r\n"), 400},
        {BYTES("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n"), 400},
        {BYTES("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n"), 400},
    };
    check_all_bad(heads, sizeof heads / sizeof heads[0]);
}

static void test_bad_handshakes_rfc6455_4_2_1(void **state)
{
    (void)state;
    static const struct bad_head heads[] = {
        {BYTES(GET KEY_13 "\r\n"), 400}, /* a proxy dropped Upgrade */
        {BYTES(GET "Connection: Upgrade\r\n" KEY_13 "\r\n"), 400},
        {BYTES(GET "Upgrade: h2c\r\nConnection: Upgrade\r\n" KEY_13 "\r\n"), 400},
        {BYTES(GET "Upgrade: websocket\r\n" KEY_13 "\r\n"), 400},
        {BYTES(GET "Upgrade: websocket\r\nConnection: keep-alive\r\n" KEY_13 "\r\n"), 400},
        {BYTES(GET "Upgrade: websocket\r\nConnection: upgrades\r\n" KEY_13 "\r\n"), 400},
        {BYTES("GET / HTTP/1.0\r\nHost: a\r\n" UPGRADE KEY_13 "\r\n"), 400},
        {BYTES("HEAD / HTTP/1.1\r\nHost: a\r\n" UPGRADE KEY_13 "\r\n"), 400},
        {BYTES(GET UPGRADE "Sec-WebSocket-Key: " KEY "\r\n\r\n"), 426},
        {BYTES(GET UPGRADE "\r\n"), 426},
        {BYTES(GET UPGRADE "Sec-WebSocket-Version: 8\r\n\r\n"), 426},
        {BYTES(GET UPGRADE "Sec-WebSocket-Version: 14\r\nSec-WebSocket-Key: x\r\n\r\n"), 426},
        {BYTES(GET UPGRADE "Sec-WebSocket-Version: 013\r\n\r\n"), 426},
        {BYTES(GET UPGRADE "Sec-WebSocket-Version: 13, 8\r\n\r\n"), 426},
        {BYTES(GET UPGRADE "Sec-WebSocket-Version:\r\n\r\n"), 426},
        {BYTES(GET UPGRADE "Sec-WebSocket-Version: 13\r\n\r\n"), 400},
        {BYTES(GET UPGRADE "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key:\r\n\r\n"), 400},
        {BYTES(GET KEY_13 "Sec-WebSocket-Key: " KEY "\r\n"), 400},
        {BYTES(GET KEY_13 "Sec-WebSocket-Version: 13\r\n"), 400},
        {BYTES(GET "Sec-WebSocket-Protocol: a b\r\n"), 400},
        {BYTES(GET "Sec-WebSocket-Protocol: a, \"b\"\r\n"), 400},
        {BYTES(GET "Sec-WebSocket-Protocol: a/b\r\n"), 400},
    };
    check_all_bad(heads, sizeof heads / sizeof heads[0]);
}

static void test_bad_keys_rfc6455_4_2_1(void **state)
{
    (void)state;
    static const char *const keys[] = {
        "dGhlIHNhbXBsZSBub25jZQ=",    "dGhlIHNhbXBsZSBub25jZQ",      "dGhlIHNhbXBsZSBub25jZ===",
        "dGhlIHNhbXBsZSBub25jZQ===",  "dGhlIHNhbXBsZSBub25jZQA=",    "dGhlIHNhbXBsZSBub25jZQAA",
        "dGhlIHNhbXBsZSBub25jZQAA==", "dGhlIHNhbXBsZSBub25jZ==",     "dGhlIHNhbXBsZSBub25j-_==",
        "dGhlIHNhbXBs ZSBub25jZ==",   "=GhlIHNhbXBsZSBub25jZQ==",    "x",
        "========================",   "\xE9GhlIHNhbXBsZSBub25jZQ==",
    };
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        char head[512];
        int len = snprintf(head, sizeof head,
                           GET UPGRADE "Sec-WebSocket-Version: 13\r\n"
                                       "Sec-WebSocket-Key: %s\r\n\r\n",
                           keys[i]);
        check_bad(&(struct bad_head){head, (size_t)len, 400});
    }
}

static void check_why(const char *head, size_t len, const char *part)
{
    struct parsed parsed = parse(head, len);
    free(parsed.block);
    assert_true(parsed.result < 0);
    if (strstr(parsed.why, part) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", parsed.why, part);
}

static void test_why_names_the_likely_cause(void **state)
{
    (void)state;
    check_why(BYTES("\x16\x03\x01"), "TLS");
    check_why(BYTES(GET KEY_13 "\r\n"), "proxy");
    check_why(BYTES("PUT / HTTP/1.1\r\n"), "GET");
    check_why(BYTES(GET UPGRADE "\r\n"), "13");
    check_why(BYTES("GET / HTTP/1.1\r\n\r\n"), "Host");
    check_why(BYTES(GET "X: a\r\n b"), "begin with white space");
    check_why(BYTES(GET "X : a"), "right behind");
    check_why(BYTES("GET  / HTTP/1.1\r\n"), "one space");
}

/* ---- What decides which page is sent ---- */

static void test_head_is_a_get_without_body_rfc9110_9_3_2(void **state)
{
    (void)state;
    check_good("HEAD /a?b HTTP/1.1\r\nHost: a\r\n\r\n");
    struct parsed parsed = parse(BYTES("HEAD /a?b HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert_true(parsed.rq.head_only);
    check_text(parsed.rq.path, "/a");
    free(parsed.block);
    parsed = parse(BYTES(GET "\r\n"));
    assert_false(parsed.rq.head_only);
    free(parsed.block);
    parsed = parse(BYTES("HEAD / HTTP/1.1\r\nHost : a"));
    assert_int_equal(parsed.result, -400);
    assert_true(parsed.rq.head_only); /* the refusal has no body, either */
    free(parsed.block);
}

struct coding_case {
    const char *value;
    bool gzip;
};

static bool takes_gzip(const char *fields)
{
    char head[512];
    int len = snprintf(head, sizeof head, GET "%s\r\n", fields);
    struct parsed parsed = parse(head, (size_t)len);
    assert_int_equal(parsed.result, len);
    free(parsed.block);
    return parsed.rq.gzip;
}

static bool takes_html(const char *fields)
{
    char head[512];
    int len = snprintf(head, sizeof head, GET "%s\r\n", fields);
    struct parsed parsed = parse(head, (size_t)len);
    assert_int_equal(parsed.result, len);
    free(parsed.block);
    return parsed.rq.html;
}

static void test_accept_rfc9110_12_5_1(void **state)
{
    (void)state;
    assert_true(takes_html("Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n"));
    assert_true(takes_html("ACCEPT: image/png, Text/HTML ; q=0.1\r\n"));
    assert_true(takes_html("Accept: a/b\r\nAccept: text/html\r\n"));
    assert_false(takes_html("Accept: */*\r\n")); /* curl */
    assert_false(takes_html("Accept: text/*, text/htmlx, xtext/html\r\nAccept:\r\n"));
    assert_false(takes_html("X-Accept: text/html\r\n"));
    assert_false(takes_html(""));
}

static void test_accept_encoding_rfc9110_12_5_3(void **state)
{
    (void)state;
    static const struct coding_case rows[] = {
        {"gzip", true},
        {"GZIP", true},
        {"x-gzip", true},
        {"gzip, deflate, br, zstd", true}, /* browsers */
        {"deflate,gzip;q=1.0,*;q=0.5", true},
        {"compress;q=0.5, gzip;q=1.0", true},
        {"gzip;q=0.001", true},
        {"gzip ; q=0.5", true},
        {"gzip;Q=1", true},
        {"gzip;q=1.", true},
        {"*", true},
        {"*;q=0.5", true},
        {"identity;q=0.5, gzip;q=0.5", true},
        {"identity;q=0, gzip;q=0.1", true},
        {"identity;q=0.5, *;q=0.6", true},
        {"gzip;level=9, *", true}, /* unreadable, so "*" stands for it */
        {"gzip;q=-1, *", true},
        {"gzip;q=2, *", true},
        {"", false},
        {"br", false},
        {"identity", false},
        {"gzip;q=0", false},
        {"gzip;q=0.000", false},
        {"gzip;q=0, *", false},
        {"*;q=0", false},
        {"identity, gzip;q=0.9", false},
        {"identity, *;q=0.5", false},
        {"gzipped, xgzip, gzi", false},
        {"gzip;q=2", false},
        {"gzip;q=1.001", false},
        {"gzip;q=0.1234", false},
        {"gzip;q=", false},
        {"gzip;q=.5", false},
        {"gzip;q=-1", false},
        {"gzip;q=0,5", false},
        {"gzip;level=9", false},
        {"gzip;", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char field[128];
        snprintf(field, sizeof field, "Accept-Encoding: %s\r\n", rows[i].value);
        if (takes_gzip(field) != rows[i].gzip)
            fail_msg("\"%s\" is not %d", rows[i].value, rows[i].gzip);
    }
    assert_false(takes_gzip(""));
}

static void test_accept_encoding_in_several_fields_rfc9110_5_3(void **state)
{
    (void)state;
    assert_true(takes_gzip("Accept-Encoding: br\r\nAccept-Encoding: gzip\r\n"));
    assert_false(takes_gzip("Accept-Encoding: *\r\nAccept-Encoding: gzip;q=0\r\n"));
}

static bool has_tag(const char *fields, const char *tag)
{
    char head[512];
    int len = snprintf(head, sizeof head, GET "%s\r\n", fields);
    struct parsed parsed = parse(head, (size_t)len);
    assert_int_equal(parsed.result, len);
    bool has = http_has_tag(&parsed.rq, tag);
    free(parsed.block);
    return has;
}

static void test_if_none_match_rfc9110_13_1_2(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        bool has;
    } rows[] = {
        {"\"abc\"", true},
        {"W/\"abc\"", true}, /* §8.8.3.2: the weak comparison */
        {"*", true},
        {"\"x\", \"abc\"", true},
        {"\"x\",W/\"abc\",\"y\"", true},
        {" , ,\"abc\"", true},
        {"\"a,b\", \"abc\"", true},
        {"", false},
        {"abc", false},
        {"\"ab\"", false},
        {"\"abcd\"", false},
        {"\"ABC\"", false},
        {"w/\"abc\"", false},
        {"\"abc", false},
        {"\"x, \"abc\"", false},
        {"\"x\", *", false},
        {"W/", false},
        {"\"", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char field[128];
        snprintf(field, sizeof field, "If-None-Match: %s\r\n", rows[i].value);
        if (has_tag(field, "\"abc\"") != rows[i].has)
            fail_msg("%s is not %d", rows[i].value, rows[i].has);
    }
    assert_false(has_tag("", "\"abc\""));
}

/* Whoever is sent a whole page in vain has lost nothing but time. */
static void test_only_the_first_if_none_match_counts(void **state)
{
    (void)state;
    assert_true(has_tag("If-None-Match: \"a\"\r\nIf-None-Match: \"b\"\r\n", "\"a\""));
    assert_false(has_tag("If-None-Match: \"a\"\r\nIf-None-Match: \"b\"\r\n", "\"b\""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rfc6455_1_2_example),
        cmocka_unit_test(test_the_subprotocol_may_be_none),
        cmocka_unit_test(test_good_heads),
        cmocka_unit_test(test_which_connections_may_be_kept),
        cmocka_unit_test(test_bad_request_lines_rfc9112_3),
        cmocka_unit_test(test_bad_fields_rfc9112_5),
        cmocka_unit_test(test_smuggling_rfc9112_11_2),
        cmocka_unit_test(test_bad_handshakes_rfc6455_4_2_1),
        cmocka_unit_test(test_bad_keys_rfc6455_4_2_1),
        cmocka_unit_test(test_head_is_a_get_without_body_rfc9110_9_3_2),
        cmocka_unit_test(test_accept_rfc9110_12_5_1),
        cmocka_unit_test(test_accept_encoding_rfc9110_12_5_3),
        cmocka_unit_test(test_accept_encoding_in_several_fields_rfc9110_5_3),
        cmocka_unit_test(test_if_none_match_rfc9110_13_1_2),
        cmocka_unit_test(test_only_the_first_if_none_match_counts),
        cmocka_unit_test(test_why_names_the_likely_cause),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
