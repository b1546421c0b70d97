/* SPDX-License-Identifier: MIT
 *
 * test_http_response.c - response heads.
 */
#include "lib/http/http_response.h"

#include <openssl/evp.h>

#include "http_head.h"

/* ---- Responses ---- */

/* Looks whether Date is right behind the status line and of this moment (RFC 9110 §6.6.1), and
 * takes it out. */
static void take_date(char *out)
{
    char now[HTTP_DATE_MAX], before[HTTP_DATE_MAX];
    char *line = strstr(out, "\r\n") + 2;
    http_date((int64_t)time(NULL), now);
    http_date((int64_t)time(NULL) - 1, before);
    assert_memory_equal(line, "Date: ", 6);
    if (memcmp(line + 6, now, sizeof now - 1) != 0)
        assert_memory_equal(line + 6, before, sizeof before - 1);
    char *next = strstr(line, "\r\n") + 2;
    memmove(line, next, strlen(next) + 1);
}

static void check_response(char *out, size_t len, const char *expected)
{
    assert_int_equal(len, strlen(out));
    take_date(out);
    assert_string_equal(out, expected);
}

static void test_dates_rfc9110_5_6_7(void **state)
{
    (void)state;
    static const struct {
        int64_t seconds;
        const char *date;
    } rows[] = {
        {784111777, "Sun, 06 Nov 1994 08:49:37 GMT"},
        {0, "Thu, 01 Jan 1970 00:00:00 GMT"},
        {951782400, "Tue, 29 Feb 2000 00:00:00 GMT"},
        {253402300799, "Fri, 31 Dec 9999 23:59:59 GMT"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char *date = malloc(HTTP_DATE_MAX);
        assert_non_null(date);
        http_date(rows[i].seconds, date);
        assert_string_equal(date, rows[i].date);
        free(date);
    }
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

/* CSP §2.3.1: the policy has the SHA-256 of what is between the tags, in base64. */
static void check_policy_of_style(const char *out, const char *body)
{
    const char *style = strstr(body, "<style>") + strlen("<style>");
    const char *end = strstr(style, "</style>");
    unsigned char sum[EVP_MAX_MD_SIZE], text[64];
    char policy[160];
    assert_int_equal(EVP_Digest(style, (size_t)(end - style), sum, NULL, EVP_sha256(), NULL), 1);
    EVP_EncodeBlock(text, sum, 32);
    snprintf(policy, sizeof policy, "frame-ancestors 'none'; style-src 'sha256-%s'\r\n", text);
    assert_non_null(strstr(out, policy));
}

/* A page may use its own style and nothing else; its length is right, and HEAD gets no body. */
static void test_refusals_for_browsers(void **state)
{
    (void)state;
    char *out = malloc(HTTP_RESPONSE_MAX), length[64];
    assert_non_null(out);
    for (size_t i = 0; i < sizeof refusal_cases / sizeof refusal_cases[0]; i++) {
        const struct refusal_case *row = &refusal_cases[i];
        char title[128];
        snprintf(title, sizeof title, "<h1>%d %s</h1>", row->status, row->reason);
        size_t len = http_write_refusal_page(out, row->status, "the cat is out", false);
        const char *body = strstr(out, "\r\n\r\n") + 4;
        assert_int_equal(strlen(out), len);
        assert_non_null(strstr(body, title));
        assert_non_null(strstr(body, "<p>the cat is out</p>"));
        assert_non_null(strstr(out, "\r\nContent-Type: text/html; charset=utf-8\r\n"));
        check_policy_of_style(out, body);
        snprintf(length, sizeof length, "\r\nContent-Length: %zu\r\n", strlen(body));
        assert_non_null(strstr(out, length));
        size_t head = http_write_refusal_page(out, row->status, "the cat is out", true);
        assert_int_equal(head, (size_t)(body - out));
        assert_int_equal(strlen(out), head);
    }
    free(out);
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
    len = http_write_refusal_page(out, 400, why, false);
    assert_int_equal(strlen(out), len);
    assert_string_equal(out + len - strlen("</html>\n"), "</html>\n");
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

/* RFC 9112 §9.3. */
static void test_a_head_that_keeps_the_connection(void **state)
{
    (void)state;
    char *out = malloc(HTTP_RESPONSE_MAX);
    assert_non_null(out);
    const struct http_head head = {.status = 200, .fields = "", .policy = "", .keep = true};
    check_response(out, http_write_head(out, &head),
                   "HTTP/1.1 200 OK\r\n"
                   "Connection: keep-alive\r\n"
                   "Keep-Alive: timeout=15\r\n"
                   "Content-Length: 0\r\n" SECURITY("") "\r\n");
    free(out);
}

static void test_a_head_with_fields_and_policy(void **state)
{
    (void)state;
    char *out = malloc(HTTP_RESPONSE_MAX);
    assert_non_null(out);
    const struct http_head head = {.status = 200,
                                   .fields = "Content-Type: a/b\r\nX: y\r\n",
                                   .policy = "; img-src 'self'",
                                   .length = 4711};
    check_response(out, http_write_head(out, &head),
                   "HTTP/1.1 200 OK\r\n"
                   "Connection: close\r\n"
                   "Content-Type: a/b\r\n"
                   "X: y\r\n"
                   "Content-Length: 4711\r\n" SECURITY("; img-src 'self'") "\r\n");
    free(out);
}

static void test_only_a_head_that_says_so_allows_the_camera(void **state)
{
    (void)state;
    char *out = malloc(HTTP_RESPONSE_MAX);
    assert_non_null(out);
    assert_true(http_write_head(out, &(struct http_head){200, "", "", 0, true, false}) > 0);
    assert_non_null(strstr(out, "\r\nPermissions-Policy: camera=(self), display-capture=(), "));
    assert_true(http_write_head(out, &(struct http_head){200, "", "", 0, false, false}) > 0);
    assert_non_null(strstr(out, "\r\nPermissions-Policy: camera=(), display-capture=(), "));
    free(out);
}

static void test_304_has_no_length_rfc9110_8_6(void **state)
{
    (void)state;
    char *out = malloc(HTTP_RESPONSE_MAX);
    assert_non_null(out);
    const struct http_head head = {304, "ETag: \"x\"\r\n", "", 4711, false, false};
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
    assert_int_equal(http_write_head(out, &(struct http_head){200, "", policy, 0, false, false}),
                     0);
    free(policy);
    free(out);
}

static void test_a_head_that_just_fits_and_one_byte_more(void **state)
{
    (void)state;
    char *out = malloc(HTTP_RESPONSE_MAX), *policy = malloc(HTTP_RESPONSE_MAX);
    assert_true(out != NULL && policy != NULL);
    size_t len = http_write_head(out, &(struct http_head){200, "", "", 0, false, false});
    memset(policy, 'x', HTTP_RESPONSE_MAX);
    policy[HTTP_RESPONSE_MAX - len] = '\0';
    assert_int_equal(http_write_head(out, &(struct http_head){200, "", policy, 0, false, false}),
                     0);
    policy[HTTP_RESPONSE_MAX - len - 1] = '\0';
    assert_int_equal(http_write_head(out, &(struct http_head){200, "", policy, 0, false, false}),
                     HTTP_RESPONSE_MAX - 1);
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

/* Host and path of 2048 bytes are sent back; one more is not. */
static void test_to_tls_at_the_longest_location(void **state)
{
    (void)state;
    enum { PATH = 2048 - 1 };
    char head[PATH + 128], location[PATH + 64], path[PATH + 2];
    memset(path, 'p', sizeof(path));
    path[0] = '/';
    path[PATH + 1] = '\0';
    snprintf(head, sizeof(head), "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", path);
    check_hint(head);
    path[PATH] = '\0';
    snprintf(head, sizeof(head), "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", path);
    snprintf(location, sizeof(location), "https://a%s", path);
    check_redirect(head, location);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dates_rfc9110_5_6_7),
        cmocka_unit_test(test_switch_rfc6455_1_2),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_refusals_for_browsers),
        cmocka_unit_test(test_a_long_reason_is_cut),
        cmocka_unit_test(test_a_switch_that_does_not_fit_is_none),
        cmocka_unit_test(test_a_head_that_keeps_the_connection),
        cmocka_unit_test(test_a_head_with_fields_and_policy),
        cmocka_unit_test(test_only_a_head_that_says_so_allows_the_camera),
        cmocka_unit_test(test_304_has_no_length_rfc9110_8_6),
        cmocka_unit_test(test_a_head_that_does_not_fit_is_none),
        cmocka_unit_test(test_a_head_that_just_fits_and_one_byte_more),
        cmocka_unit_test(test_to_tls),
        cmocka_unit_test(test_to_tls_at_the_longest_location),
        cmocka_unit_test(test_to_tls_without_a_place_to_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
