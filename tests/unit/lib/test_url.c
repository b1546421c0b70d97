/* SPDX-License-Identifier: MIT
 *
 * test_url.c - addresses, and what a client has to check in the answer to its handshake (RFC 6455
 * §4.1; the example is that of §1.3).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/url.h"

static const char rfc_key[] = "dGhlIHNhbXBsZSBub25jZQ==";

/* ---- Addresses ---- */

static void good_addresses(void **state)
{
    static const struct {
        const char *text, *server, *path;
        bool tls;
    } cases[] = {
        {"wss://example.org/", "example.org:443", "/", true},
        {"ws://example.org", "example.org:80", "/", false},
        {"https://Example.ORG:12345", "example.org:12345", "/", true},
        {"HTTP://127.0.0.1:1/rooms/tea?x=1", "127.0.0.1:1", "/rooms/tea?x=1", false},
        {"localhost:65535", "localhost:65535", "/", true},
        {"wss://[::1]:7/", "[::1]:7", "/", true},
        {"wss://[fe80::1%eth0]/", "[fe80::1%eth0]:443", "/", true},
        {"wss://host?query", "host:443", "/?query", true},
        {"wss://host/rooms/caf\xC3\xA9 au lait", "host:443", "/rooms/caf%C3%A9%20au%20lait", true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct url url;
        char server[URL_HOST_MAX + 8];
        assert_null(url_parse(&url, cases[i].text));
        url_server(&url, server);
        assert_string_equal(server, cases[i].server);
        assert_string_equal(url.path, cases[i].path);
        assert_int_equal(url.tls, cases[i].tls);
    }
}

static void bad_addresses(void **state)
{
    static const struct {
        const char *text, *complaint;
    } cases[] = {
        {"", "names no host"},
        {"wss:///", "names no host"},
        {"wss://host:/", "port"},
        {"wss://host:0/", "port"},
        {"wss://host:65536/", "port"},
        {"wss://host:99999999999/", "port"},
        {"wss://[::1/", "]"},
        {"wss://[host]/", "no IPv6 address"},
        {"wss://[::1]x/", "neither a port nor a path"},
        {"ftp://host/", "port"},
        {"wss://ho st/", "character"},
        {"wss://host\r\nX: y/", "character"},
        {"wss://host/\r\nX: y", "control character"},
        {"wss://ana:secret@host/", "no place"},
        {"wss://host/#secret", "--password-file"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct url url;
        const char *why = url_parse(&url, cases[i].text);
        assert_non_null(why);
        assert_non_null(strstr(why, cases[i].complaint));
    }
}

/* At the limit, and one above. */
static void long_addresses(void **state)
{
    char text[2 * URL_PATH_MAX];
    struct url url;
    (void)state;
    memset(text, 'a', sizeof(text));
    text[URL_HOST_MAX - 1] = '\0';
    assert_null(url_parse(&url, text));
    text[URL_HOST_MAX - 1] = 'a';
    text[URL_HOST_MAX] = '\0';
    assert_non_null(url_parse(&url, text));
    memset(text, 'a', sizeof(text));
    memcpy(text, "h/", 2);
    text[URL_PATH_MAX - 4] = '\0';
    assert_null(url_parse(&url, text));
    memset(text + URL_PATH_MAX - 4, '\x80', 8);
    text[URL_PATH_MAX + 4] = '\0';
    assert_non_null(url_parse(&url, text));
}

/* ---- The opening handshake ---- */

static void request(void **state)
{
    struct url url;
    char out[URL_REQUEST_MAX];
    (void)state;
    assert_null(url_parse(&url, "wss://[::1]:12345/rooms/tea"));
    size_t len = url_write_request(&url, rfc_key, out);
    assert_int_equal(len, strlen(out));
    assert_string_equal(out, "GET /rooms/tea HTTP/1.1\r\n"
                             "Host: [::1]:12345\r\n"
                             "Upgrade: websocket\r\n"
                             "Connection: Upgrade\r\n"
                             "Sec-WebSocket-Version: 13\r\n"
                             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                             "Sec-WebSocket-Protocol: ragnarok.v2\r\n\r\n");
    assert_null(url_parse(&url, "ws://host/"));
    url_write_request(&url, rfc_key, out);
    assert_non_null(strstr(out, "\r\nHost: host\r\n"));
}

#define HEAD   "HTTP/1.1 101 Switching Protocols\r\n"
#define UP     "Upgrade: websocket\r\n"
#define CONN   "Connection: Upgrade\r\n"
#define ACCEPT "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
#define V2     "Sec-WebSocket-Protocol: ragnarok.v2\r\n"

static long read_all(const char *text, bool *v2, char *why)
{
    why[0] = '\0';
    return url_read_answer(text, strlen(text), rfc_key, v2, why);
}

static void good_answers(void **state)
{
    static const char spelt[] =
        HEAD "upgrade:WebSocket\r\nCONNECTION: keep-alive, upgrade \r\n" ACCEPT
             "Date: now\r\n\r\nframes";
    char why[URL_WHY_MAX];
    bool v2;
    (void)state;
    assert_int_equal(read_all(HEAD UP CONN ACCEPT V2 "\r\n", &v2, why),
                     strlen(HEAD UP CONN ACCEPT V2 "\r\n"));
    assert_true(v2);
    assert_int_equal(read_all(spelt, &v2, why), strlen(spelt) - strlen("frames"));
    assert_false(v2);
}

static void an_answer_in_pieces(void **state)
{
    static const char whole[] = HEAD UP CONN ACCEPT V2 "\r\n";
    char why[URL_WHY_MAX];
    bool v2;
    (void)state;
    for (size_t len = 0; len < sizeof(whole) - 1; len++)
        assert_int_equal(url_read_answer(whole, len, rfc_key, &v2, why), 0);
}

static void bad_answers(void **state)
{
    static const struct {
        const char *text, *complaint;
    } cases[] = {
        {HEAD CONN ACCEPT "\r\n", "Upgrade: websocket"},
        {HEAD "Upgrade: h2c\r\n" CONN ACCEPT "\r\n", "Upgrade: websocket"},
        {HEAD UP ACCEPT "\r\n", "Connection: Upgrade"},
        {HEAD UP "Connection: NoUpgrade\r\n" ACCEPT "\r\n", "Connection: Upgrade"},
        {HEAD UP CONN "\r\n", "Sec-WebSocket-Accept"},
        {HEAD UP CONN "Sec-WebSocket-Accept: S3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n", "Accept"},
        {HEAD UP CONN ACCEPT "Sec-WebSocket-Extensions: x\r\n\r\n", "extension"},
        {HEAD UP CONN ACCEPT "Sec-WebSocket-Protocol: chat\r\n\r\n", "subprotocol"},
        {"HTTP/1.1 404 Not Found\r\n\r\n", "404 Not Found"},
        {"HTTP/1.1 503 X\r\n\r\n503 Service Unavailable: the server is full\n", "is full"},
        {"220 mail.example.org", "does not speak HTTP"},
        {"S", "does not speak HTTP"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char why[URL_WHY_MAX];
        bool v2;
        assert_int_equal(read_all(cases[i].text, &v2, why), -1);
        assert_non_null(strstr(why, cases[i].complaint));
    }
}

static void an_endless_answer(void **state)
{
    char text[URL_ANSWER_MAX + 1], why[URL_WHY_MAX];
    bool v2;
    (void)state;
    memset(text, 'x', sizeof(text));
    memcpy(text, HEAD, strlen(HEAD));
    assert_int_equal(url_read_answer(text, URL_ANSWER_MAX - 1, rfc_key, &v2, why), 0);
    assert_int_equal(url_read_answer(text, URL_ANSWER_MAX, rfc_key, &v2, why), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_addresses), cmocka_unit_test(bad_addresses),
        cmocka_unit_test(long_addresses), cmocka_unit_test(request),
        cmocka_unit_test(good_answers),   cmocka_unit_test(an_answer_in_pieces),
        cmocka_unit_test(bad_answers),    cmocka_unit_test(an_endless_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
