/* SPDX-License-Identifier: MIT
 *
 * test_http.c - request heads good and bad, origins, rooms and responses.
 *
 * Every head is parsed from a block of exactly its size, so that AddressSanitizer sees a read
 * behind it. Each bad head below ends with the very byte that shows it to be bad: all that comes
 * before must still be "more is needed".
 */
#include "http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PROTOCOL "ragnarok.v2"
#define KEY      "dGhlIHNhbXBsZSBub25jZQ=="

#define GET     "GET / HTTP/1.1\r\nHost: a\r\n"
#define UPGRADE "Upgrade: websocket\r\nConnection: Upgrade\r\n"
#define KEY_13  "Sec-WebSocket-Key: " KEY "\r\nSec-WebSocket-Version: 13\r\n"

/* A literal with its length: it may hold NUL. */
#define BYTES(literal) (literal), sizeof(literal) - 1

/* A head in a block of its own, and what http_parse said of it. */
struct parsed {
    char *block;
    long result;
    const char *why;
    struct http_request rq;
};

static struct parsed parse(const char *head, size_t len)
{
    struct parsed parsed = {.block = malloc(len > 0 ? len : 1)};
    assert_non_null(parsed.block);
    memcpy(parsed.block, head, len);
    parsed.result = http_parse(parsed.block, len, PROTOCOL, &parsed.rq, &parsed.why);
    return parsed;
}

static long parse_result(const char *head, size_t len)
{
    struct parsed parsed = parse(head, len);
    free(parsed.block);
    if (parsed.result < 0)
        assert_non_null(parsed.why);
    return parsed.result;
}

static void check_text(struct http_text text, const char *expected)
{
    if (expected == NULL) {
        assert_null(text.at);
        return;
    }
    assert_non_null(text.at);
    assert_int_equal(text.len, strlen(expected));
    assert_memory_equal(text.at, expected, text.len);
}

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

/* ---- Good heads ------------------------------------------------------------------------------ */

/* The client's part of RFC 6455 §1.2. */
static const char rfc_head[] = "GET /chat HTTP/1.1\r\n"
                               "Host: server.example.com\r\n"
                               "Upgrade: websocket\r\n"
                               "Connection: Upgrade\r\n"
                               "Sec-WebSocket-Key: " KEY "\r\n"
                               "Origin: http://example.com\r\n"
                               "Sec-WebSocket-Protocol: chat, superchat\r\n"
                               "Sec-WebSocket-Version: 13\r\n"
                               "\r\n";

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

struct good_head {
    const char *head, *path, *host;
    bool upgrade, protocol;
};

static const struct good_head good_heads[] = {
    {GET "\r\n", "/", "a", false, false},
    {"\r\n" GET "\r\n", "/", "a", false, false}, /* RFC 9112 §2.2 */
    {"GET / HTTP/1.0\r\n\r\n", "/", NULL, false, false},
    {"GET / HTTP/1.0\r\nHost: a\r\n\r\n", "/", "a", false, false},
    {"GET /a/b?c=/d?e HTTP/1.1\r\nHost: a\r\n\r\n", "/a/b", "a", false, false},
    {"GET ///x%20|{} HTTP/1.1\r\nHost: a\r\n\r\n", "///x%20|{}", "a", false, false},
    {"GET /? HTTP/1.1\r\nHost: a\r\n\r\n", "/", "a", false, false},
    /* RFC 9112 §3.2.2: absolute-form, whose authority replaces Host */
    {"GET http://b:81/x?y HTTP/1.1\r\nHost: a\r\n\r\n", "/x", "b:81", false, false},
    {"GET HTTPS://b HTTP/1.1\r\nHost: a\r\n\r\n", "/", "b", false, false},
    {"GET wss://b?y HTTP/1.1\r\nHost: a\r\n\r\n", "/", "b", false, false},
    {"GET ws://[::1]:9/x HTTP/1.1\r\nHost: a\r\n\r\n", "/x", "[::1]:9", false, false},
    {"GET ws://b/x HTTP/1.0\r\n\r\n", "/x", "b", false, false},
    /* RFC 9112 §5, §5.1: fields */
    {"GET / HTTP/1.1\r\nhOST:a\r\n\r\n", "/", "a", false, false},
    {"GET / HTTP/1.1\r\nHost: \t a:1 \t\r\n\r\n", "/", "a:1", false, false},
    {"GET / HTTP/1.1\r\nHost:\r\n\r\n", "/", "", false, false},
    {"GET / HTTP/1.1\r\nHost: [fe80::1]:8080\r\n\r\n", "/", "[fe80::1]:8080", false, false},
    {GET "X-Text: \xC3\xA9 \t \xFF\r\nX-Empty:\r\nX!#$%&'*+-.^_`|~9: x\r\n\r\n", "/", "a", false,
     false},
    {GET "Content-Length: 0\r\nContent-Length: 0\r\n\r\n", "/", "a", false, false},
    {GET "Upgrade: h2c\r\nConnection: Upgrade\r\n\r\n", "/", "a", false, false},
    {GET "Upgrade: websocket13\r\nConnection: Upgrade\r\n\r\n", "/", "a", false, false},
    {GET "Sec-WebSocket-Version: 8\r\n\r\n", "/", "a", false, false},
    /* RFC 6455 §4.2.1: the handshake */
    {GET UPGRADE KEY_13 "\r\n", "/", "a", true, false},
    {GET KEY_13 UPGRADE "\r\n", "/", "a", true, false},
    {GET "UPGRADE: WebSocket\r\nCONNECTION: uPGRADE\r\n" KEY_13 "\r\n", "/", "a", true, false},
    {GET "Upgrade: h2c, ,websocket\r\nConnection: keep-alive,\tUpgrade\r\n" KEY_13 "\r\n", "/", "a",
     true, false},
    {GET "Upgrade: h2c\r\nUpgrade: websocket\r\nConnection: keep-alive\r\nConnection: upgrade\r\n"
         "Upgrade: x\r\nConnection: x\r\n" KEY_13 "\r\n",
     "/", "a", true, false},
    {GET UPGRADE "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: +/aZ09AAAAAAAAAAAAAAAA==\r\n\r\n",
     "/", "a", true, false},
    /* RFC 6455 §11.3.4: subprotocols, over several fields, compared as they are */
    {GET UPGRADE KEY_13 "Sec-WebSocket-Protocol: ragnarok.v2\r\n\r\n", "/", "a", true, true},
    {GET UPGRADE KEY_13 "Sec-WebSocket-Protocol: x,ragnarok.v2 ,y\r\n\r\n", "/", "a", true, true},
    {GET UPGRADE KEY_13 "Sec-WebSocket-Protocol: x\r\nSec-WebSocket-Protocol: ragnarok.v2\r\n"
                        "Sec-WebSocket-Protocol: y\r\n\r\n",
     "/", "a", true, true},
    {GET UPGRADE KEY_13 "Sec-WebSocket-Protocol: Ragnarok.v2\r\n\r\n", "/", "a", true, false},
    {GET UPGRADE KEY_13 "Sec-WebSocket-Protocol: ragnarok.v22, ragnarok.v\r\n\r\n", "/", "a", true,
     false},
};

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

/* ---- Bad heads ------------------------------------------------------------------------------- */

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
        {BYTES("GET / HTTP/1.2"), 505},
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

/* ---- What decides which page is sent --------------------------------------------------------- */

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

/* ---- Hosts ----------------------------------------------------------------------------------- */

static struct http_text host_of(const char *field)
{
    return http_host(&(struct http_request){.host = {field, strlen(field)}});
}

static void test_hosts(void **state)
{
    (void)state;
    assert_null(http_host(&(struct http_request){.host = {NULL, 0}}).at);
    check_text(host_of(""), "");
    check_text(host_of("a"), "a");
    check_text(host_of("a:80"), "a");
    check_text(host_of("a.b.:80"), "a.b");
    check_text(host_of("a."), "a");
    check_text(host_of("."), ".");
    check_text(host_of("[::1]:80"), "[::1]");
    assert_true(http_host_is(host_of("LocalHost.:1"), "localhost"));
    assert_false(http_host_is(host_of("localhost.evil"), "localhost"));
    assert_false(http_host_is(host_of("localhos"), "localhost"));
    assert_true(http_host_under(host_of("a.LOCAL"), ".local"));
    assert_true(http_host_under(host_of("a.b.local.:1"), ".local"));
    assert_false(http_host_under(host_of(".local"), ".local"));
    assert_false(http_host_under(host_of("local"), ".local"));
    assert_false(http_host_under(host_of("alocal"), ".local"));
    assert_false(http_host_under(host_of("a.local.evil"), ".local"));
}

static void test_hosts_of_allowed_origins(void **state)
{
    (void)state;
    static const char *const allowed[] = {"https://Chat.example:8443", "null", "http://[::1]"};
    assert_true(http_host_allowed(host_of("chat.example"), allowed, 3));
    assert_true(http_host_allowed(host_of("CHAT.example.:1"), allowed, 3));
    assert_true(http_host_allowed(host_of("[::1]"), allowed, 3));
    assert_false(http_host_allowed(host_of("example"), allowed, 3));
    assert_false(http_host_allowed(host_of("x.chat.example"), allowed, 3));
    assert_false(http_host_allowed(host_of("null"), allowed, 3));
    assert_false(http_host_allowed(host_of("chat.example"), allowed, 0));
    static const char *const any[] = {"*"};
    assert_true(http_host_allowed(host_of("evil"), any, 1));
}

/* ---- Every byte of a good head --------------------------------------------------------------- */

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

/* ---- Limits ---------------------------------------------------------------------------------- */

/* "GET /xxx" with a target of `target` bytes. Returns its length. */
static size_t put_long_target(char *head, size_t target)
{
    memcpy(head, "GET /", 5);
    memset(head + 5, 'x', target - 1);
    return 4 + target;
}

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

/* ---- Origins --------------------------------------------------------------------------------- */

struct origin_case {
    const char *origin, *host;
    bool tls, ok;
};

static bool origin_ok(const struct origin_case *row, const char *const *allowed, size_t n)
{
    struct http_request rq = {.upgrade = true};
    if (row->origin != NULL)
        rq.origin = (struct http_text){row->origin, strlen(row->origin)};
    if (row->host != NULL)
        rq.host = (struct http_text){row->host, strlen(row->host)};
    return http_origin_ok(&rq, allowed, n, row->tls);
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

/* ---- Rooms ----------------------------------------------------------------------------------- */

#define CHARS_32 "abcdefghijklmnopqrstuvwxyzabcdef"

struct room_case {
    const char *path;
    const char *room; /* NULL: refused */
    const char *why;  /* then a part of the complaint */
};

static const struct room_case room_cases[] = {
    {"/", "", NULL},
    {"/x", "", NULL},
    {"/chat/rooms/x", "", NULL},
    {"/room/x", "", NULL},
    {"/rooms", "", NULL},
    {"/roomsx", "", NULL},
    {"/Rooms/x", "", NULL},
    {"//rooms/x", "", NULL},
    {"/%", "", NULL}, /* not a room, so not decoded */
    {"/rooms/x", "x", NULL},
    {"/rooms/rooms", "rooms", NULL},
    {"/rooms/caf%C3%A9", "caf\xC3\xA9", NULL},
    {"/rooms/caf%c3%a9", "caf\xC3\xA9", NULL},
    {"/rooms/a%20b", "a b", NULL},
    {"/rooms/a+b", "a+b", NULL}, /* '+' is a space in forms only */
    {"/rooms/a%2Fb", "a/b", NULL},
    {"/rooms/%2541", "%41", NULL}, /* decoded once */
    {"/rooms/100%25", "100%", NULL},
    {"/rooms/%F0%9F%90%BA", "\xF0\x9F\x90\xBA", NULL},
    {"/rooms/" CHARS_32, CHARS_32, NULL},
    {"/rooms/", NULL, "a name must not be empty"},
    {"/rooms//", NULL, "%2F"},
    {"/rooms//x", NULL, "%2F"},
    {"/rooms/x/", NULL, "%2F"},
    {"/rooms/x/y", NULL, "%2F"},
    {"/rooms/%", NULL, "hex digits"},
    {"/rooms/x%4", NULL, "hex digits"},
    {"/rooms/x%", NULL, "hex digits"},
    {"/rooms/%4/x", NULL, "hex digits"},
    {"/rooms/%4g", NULL, "hex digits"},
    {"/rooms/%g4", NULL, "hex digits"},
    {"/rooms/%%41", NULL, "hex digits"},
    {"/rooms/%+1", NULL, "hex digits"},
    {"/rooms/%00", NULL, "control"},
    {"/rooms/a%00b", NULL, "control"},
    {"/rooms/a%0D%0A", NULL, "control"},
    {"/rooms/%20a", NULL, "white space"},
    {"/rooms/a%20", NULL, "white space"},
    {"/rooms/%E2%80%AEa", NULL, "invisible"},
    {"/rooms/%C3", NULL, "UTF-8"},
    {"/rooms/%FF", NULL, "UTF-8"},
    {"/rooms/%C0%AF", NULL, "UTF-8"},
    {"/rooms/%ED%A0%80", NULL, "UTF-8"},
    {"/rooms/%CC%81", NULL, "combining"},
    {"/rooms/" CHARS_32 "g", NULL, "32 characters"},
    {"/rooms/" CHARS_32 CHARS_32 CHARS_32 CHARS_32 "g", NULL, "32 characters"},
};

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

/* ---- Responses ------------------------------------------------------------------------------- */

static void check_response(const char *out, size_t len, const char *expected)
{
    assert_string_equal(out, expected);
    assert_int_equal(len, strlen(expected));
}

static void test_switch_rfc6455_1_2(void **state)
{
    (void)state;
    char *out = malloc(HTTP_RESPONSE_MAX);
    assert_non_null(out);
    size_t len = http_write_switch(out, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "chat");
    check_response(out, len,
                   "HTTP/1.1 101 Switching Protocols\r\n"
                   "Upgrade: websocket\r\n"
                   "Connection: Upgrade\r\n"
                   "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
                   "Sec-WebSocket-Protocol: chat\r\n"
                   "\r\n");
    len = http_write_switch(out, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", NULL);
    check_response(out, len,
                   "HTTP/1.1 101 Switching Protocols\r\n"
                   "Upgrade: websocket\r\n"
                   "Connection: Upgrade\r\n"
                   "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
                   "\r\n");
    free(out);
}

/* What every final response says, `policy` beyond what is always forbidden. */
#define SECURITY(policy)                                                                           \
    "Content-Security-Policy: default-src 'none'; base-uri 'none'; form-action 'none'; "           \
    "frame-ancestors 'none'" policy "\r\n"                                                         \
    "X-Content-Type-Options: nosniff\r\n"                                                          \
    "Referrer-Policy: no-referrer\r\n"                                                             \
    "Cross-Origin-Opener-Policy: same-origin\r\n"                                                  \
    "Cross-Origin-Resource-Policy: same-origin\r\n"                                                \
    "Permissions-Policy: camera=(), display-capture=(), geolocation=(), microphone=(), "           \
    "midi=(), payment=(), usb=()\r\n"

struct refusal_case {
    int status;
    const char *reason;
    const char *after_close;
};

static const struct refusal_case refusal_cases[] = {
    {400, "Bad Request", ""},
    {403, "Forbidden", ""},
    {404, "Not Found", ""},
    {405, "Method Not Allowed", "\r\nAllow: GET, HEAD"}, /* RFC 9110 §15.5.6 */
    {408, "Request Timeout", ""},
    {414, "URI Too Long", ""},
    {421, "Misdirected Request", ""},
    {426, "Upgrade Required", ", Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13"},
    {429, "Too Many Requests", ""},
    {431, "Request Header Fields Too Large", ""},
    {500, "Internal Server Error", ""},
    {503, "Service Unavailable", ""},
    {505, "HTTP Version Not Supported", ""},
    {599, "Error", ""},
};

static void check_refusal(const struct refusal_case *row)
{
    char expected[HTTP_RESPONSE_MAX], body[128], *out = malloc(HTTP_RESPONSE_MAX);
    assert_non_null(out);
    int body_len = snprintf(body, sizeof body, "%d %s: the cat is out\n", row->status, row->reason);
    snprintf(expected, sizeof expected,
             "HTTP/1.1 %d %s\r\n"
             "Connection: close%s\r\n"
             "Content-Type: text/plain; charset=utf-8\r\n"
             "Cache-Control: no-store\r\n"
             "Content-Length: %d\r\n" SECURITY("") "\r\n%s",
             row->status, row->reason, row->after_close, body_len, body);
    size_t len = http_write_refusal(out, row->status, "the cat is out", false);
    check_response(out, len, expected);

    strstr(expected, "\r\n\r\n")[4] = '\0'; /* RFC 9110 §9.3.2: all of it but the body */
    len = http_write_refusal(out, row->status, "the cat is out", true);
    check_response(out, len, expected);
    free(out);
}

static void test_refusals(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refusal_cases / sizeof refusal_cases[0]; i++)
        check_refusal(&refusal_cases[i]);
}

static void test_a_long_reason_is_cut(void **state)
{
    (void)state;
    char *out = malloc(HTTP_RESPONSE_MAX), *why = malloc(HTTP_RESPONSE_MAX);
    assert_true(out != NULL && why != NULL);
    memset(why, 'x', HTTP_RESPONSE_MAX - 1);
    why[HTTP_RESPONSE_MAX - 1] = '\0';

    size_t len = http_write_refusal(out, 400, why, false);
    assert_int_equal(strlen(out), len);
    const char *body = strstr(out, "\r\n\r\n") + 4;
    assert_int_equal(strlen(body), strlen("400 Bad Request: ") + 1024 + 1);
    assert_non_null(strstr(out, "\r\nContent-Length: 1042\r\n"));
    assert_int_equal(out[len - 1], '\n');
    free(why);
    free(out);
}

static void test_a_switch_that_does_not_fit_is_none(void **state)
{
    (void)state;
    char *out = malloc(HTTP_RESPONSE_MAX), *protocol = malloc(HTTP_RESPONSE_MAX);
    assert_true(out != NULL && protocol != NULL);
    memset(protocol, 'x', HTTP_RESPONSE_MAX - 1);
    protocol[HTTP_RESPONSE_MAX - 1] = '\0';
    assert_int_equal(http_write_switch(out, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", protocol), 0);
    free(protocol);
    free(out);
}

static void test_a_head_with_fields_and_policy(void **state)
{
    (void)state;
    char *out = malloc(HTTP_RESPONSE_MAX);
    assert_non_null(out);
    const struct http_head head = {200, "Content-Type: a/b\r\nX: y\r\n", "; img-src 'self'", 4711};
    check_response(out, http_write_head(out, &head),
                   "HTTP/1.1 200 OK\r\n"
                   "Connection: close\r\n"
                   "Content-Type: a/b\r\n"
                   "X: y\r\n"
                   "Content-Length: 4711\r\n" SECURITY("; img-src 'self'") "\r\n");
    free(out);
}

static void test_304_has_no_length_rfc9110_8_6(void **state)
{
    (void)state;
    char *out = malloc(HTTP_RESPONSE_MAX);
    assert_non_null(out);
    const struct http_head head = {304, "ETag: \"x\"\r\n", "", 4711};
    check_response(out, http_write_head(out, &head),
                   "HTTP/1.1 304 Not Modified\r\n"
                   "Connection: close\r\n"
                   "ETag: \"x\"\r\n" SECURITY("") "\r\n");
    free(out);
}

static void test_a_head_that_does_not_fit_is_none(void **state)
{
    (void)state;
    char *out = malloc(HTTP_RESPONSE_MAX), *policy = malloc(HTTP_RESPONSE_MAX);
    assert_true(out != NULL && policy != NULL);
    memset(policy, 'x', HTTP_RESPONSE_MAX - 1);
    policy[HTTP_RESPONSE_MAX - 1] = '\0';
    assert_int_equal(http_write_head(out, &(struct http_head){200, "", policy, 0}), 0);
    free(policy);
    free(out);
}

/* The answer to this head on a port that speaks TLS. The caller frees it. */
static char *to_tls(const char *head)
{
    char *out = malloc(HTTP_RESPONSE_MAX);
    assert_non_null(out);
    struct parsed parsed = parse(head, strlen(head));
    assert_true(parsed.result > 0);
    size_t len = http_write_to_tls(out, &parsed.rq);
    assert_int_equal(len, strlen(out));
    free(parsed.block);
    return out;
}

static void check_redirect(const char *head, const char *location)
{
    char field[HTTP_TARGET_MAX + 64], *out = to_tls(head);
    snprintf(field, sizeof field, "\r\nLocation: %s\r\n", location);
    assert_memory_equal(out, "HTTP/1.1 307 ", 13);
    if (strstr(out, field) == NULL)
        fail_msg("no %s in %s", location, out);
    assert_non_null(strstr(out, "\r\nCache-Control: no-store\r\n"));
    free(out);
}

static void test_to_tls(void **state)
{
    (void)state;
    check_redirect(GET "\r\n", "https://a/");
    check_redirect("GET /rooms/tea%21?x HTTP/1.1\r\nHost: b.c:81\r\n\r\n",
                   "https://b.c:81/rooms/tea%21");
    check_redirect("HEAD //x HTTP/1.1\r\nHost: [::1]:9\r\n\r\n", "https://[::1]:9//x");
    check_redirect("GET http://d:1/x HTTP/1.1\r\nHost: a\r\n\r\n", "https://d:1/x");
}

static void check_hint(const char *head)
{
    char *out = to_tls(head);
    assert_memory_equal(out, "HTTP/1.1 400 ", 13);
    assert_null(strstr(out, "Location"));
    assert_non_null(strstr(out, "wss://"));
    free(out);
}

static void test_to_tls_without_a_place_to_go(void **state)
{
    (void)state;
    check_hint("GET / HTTP/1.0\r\n\r\n");
    check_hint("GET / HTTP/1.1\r\nHost:\r\n\r\n");
    check_hint("GET / HTTP/1.1\r\nHost: :80\r\n\r\n");
    check_hint(GET UPGRADE KEY_13 "\r\n"); /* a program, and what it opened is named wss:// */
    char head[HTTP_TARGET_MAX + 64];
    size_t len = put_long_target(head, HTTP_TARGET_MAX);
    snprintf(head + len, sizeof head - len, " HTTP/1.1\r\nHost: a\r\n\r\n");
    check_hint(head);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rfc6455_1_2_example),
        cmocka_unit_test(test_the_subprotocol_may_be_none),
        cmocka_unit_test(test_good_heads),
        cmocka_unit_test(test_bad_request_lines_rfc9112_3),
        cmocka_unit_test(test_bad_fields_rfc9112_5),
        cmocka_unit_test(test_smuggling_rfc9112_11_2),
        cmocka_unit_test(test_bad_handshakes_rfc6455_4_2_1),
        cmocka_unit_test(test_bad_keys_rfc6455_4_2_1),
        cmocka_unit_test(test_head_is_a_get_without_body_rfc9110_9_3_2),
        cmocka_unit_test(test_accept_encoding_rfc9110_12_5_3),
        cmocka_unit_test(test_accept_encoding_in_several_fields_rfc9110_5_3),
        cmocka_unit_test(test_if_none_match_rfc9110_13_1_2),
        cmocka_unit_test(test_only_the_first_if_none_match_counts),
        cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_hosts_of_allowed_origins),
        cmocka_unit_test(test_why_names_the_likely_cause),
        cmocka_unit_test(test_a_stray_nul_cr_or_lf_is_400_anywhere),
        cmocka_unit_test(test_any_byte_anywhere_is_decided_once),
        cmocka_unit_test(test_target_limit_rfc9112_3),
        cmocka_unit_test(test_head_limit_rfc6585_5),
        cmocka_unit_test(test_head_limit_is_not_for_what_follows),
        cmocka_unit_test(test_field_limit_rfc6585_5),
        cmocka_unit_test(test_own_origin_rfc6455_10_2),
        cmocka_unit_test(test_allowed_origins_rfc6455_10_2),
        cmocka_unit_test(test_any_origin_if_so_configured),
        cmocka_unit_test(test_rooms),
        cmocka_unit_test(test_a_room_never_overruns_its_buffer),
        cmocka_unit_test(test_the_room_of_a_whole_request),
        cmocka_unit_test(test_switch_rfc6455_1_2),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_a_long_reason_is_cut),
        cmocka_unit_test(test_a_switch_that_does_not_fit_is_none),
        cmocka_unit_test(test_a_head_with_fields_and_policy),
        cmocka_unit_test(test_304_has_no_length_rfc9110_8_6),
        cmocka_unit_test(test_a_head_that_does_not_fit_is_none),
        cmocka_unit_test(test_to_tls),
        cmocka_unit_test(test_to_tls_without_a_place_to_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
