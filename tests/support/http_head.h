/* SPDX-License-Identifier: MIT
 *
 * http_head.h - request heads as text, and their expected contents.
 *
 * Every head is parsed in a block of exactly its size, so that AddressSanitizer detects reads
 * beyond it. Each bad head below ends with the byte that makes it bad: every shorter prefix must
 * still give "more is needed".
 */
#ifndef HTTP_HEAD_H
#define HTTP_HEAD_H

#include "lib/http/http_request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "lib/authority.h"
#include "lib/http/http_response.h"
#include "lib/origin.h"
#include "lib/protocol.h"
#include "lib/text.h"

#define PROTOCOL PROTOCOL_NAME

#define KEY "dGhlIHNhbXBsZSBub25jZQ=="

#define GET "GET / HTTP/1.1\r\nHost: a\r\n"

#define UPGRADE "Upgrade: websocket\r\nConnection: Upgrade\r\n"

#define KEY_13 "Sec-WebSocket-Key: " KEY "\r\nSec-WebSocket-Version: 13\r\n"

/* A literal with its length; it may contain NUL. */
#define BYTES(literal) (literal), sizeof(literal) - 1

/* A head in its own block, and the result of http_parse. */
struct parsed {
    char *block;
    long result;
    const char *why;
    struct http_request rq;
};

static inline struct parsed parse(const char *head, size_t len)
{
    struct parsed parsed = {.block = malloc(len > 0 ? len : 1)};
    assert_non_null(parsed.block);
    memcpy(parsed.block, head, len);
    parsed.result = http_parse(parsed.block, len, PROTOCOL, &parsed.rq, &parsed.why);
    return parsed;
}

static inline long parse_result(const char *head, size_t len)
{
    struct parsed parsed = parse(head, len);
    free(parsed.block);
    if (parsed.result < 0)
        assert_non_null(parsed.why);
    return parsed.result;
}

static inline void check_text(struct text text, const char *expected)
{
    if (expected == NULL) {
        assert_null(text.at);
        return;
    }
    assert_non_null(text.at);
    assert_int_equal(text.len, strlen(expected));
    assert_memory_equal(text.at, expected, text.len);
}

/* ---- Good heads ---- */

/* The client's handshake of RFC 6455 §1.2. */
static const char rfc_head[] = "GET /chat HTTP/1.1\r\n"
                               "Host: server.example.com\r\n"
                               "Upgrade: websocket\r\n"
                               "Connection: Upgrade\r\n"
                               "Sec-WebSocket-Key: " KEY "\r\n"
                               "Origin: http://example.com\r\n"
                               "Sec-WebSocket-Protocol: chat, superchat\r\n"
                               "Sec-WebSocket-Version: 13\r\n"
                               "\r\n";

struct good_head {
    const char *head, *path, *host;
    bool upgrade, protocol;
};

static const struct good_head good_heads[] = {
    {GET "\r\n", "/", "a", false, false},
    {"\r\n" GET "\r\n", "/", "a", false, false}, /* RFC 9112 §2.2 */
    {"GET / HTTP/1.0\r\n\r\n", "/", NULL, false, false},
    {"GET / HTTP/1.0\r\nHost: a\r\n\r\n", "/", "a", false, false},
    {"GET / HTTP/1.2\r\nHost: a\r\n\r\n", "/", "a", false, false},
    {"GET / HTTP/1.9\r\nHost: a\r\n\r\n", "/", "a", false, false},
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

/* ---- Limits ---- */

/* "GET /xxx" with a target of `target` bytes. Returns its length. */
static inline size_t put_long_target(char *head, size_t target)
{
    memcpy(head, "GET /", 5);
    memset(head + 5, 'x', target - 1);
    return 4 + target;
}

/* ---- Rooms ---- */

#define CHARS_32 "abcdefghijklmnopqrstuvwxyzabcdef"

struct room_case {
    const char *path;
    const char *room; /* NULL: refused */
    const char *why;  /* if refused: a part of the complaint */
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

/* ---- Responses ---- */

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
    {417, "Expectation Failed", ""},
    {421, "Misdirected Request", ""},
    {426, "Upgrade Required", ", Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13"},
    {429, "Too Many Requests", ""},
    {431, "Request Header Fields Too Large", ""},
    {500, "Internal Server Error", ""},
    {503, "Service Unavailable", ""},
    {505, "HTTP Version Not Supported", ""},
    {599, "Error", ""},
};

#endif
