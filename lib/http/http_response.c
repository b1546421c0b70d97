/* SPDX-License-Identifier: MIT
 *
 * http_response.c - writes one response head (RFC 9110, RFC 9112, RFC 6455 §4.2.2). Any thread, no
 * locks.
 */
#include "lib/http/http_response.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "lib/origin.h"

enum {
    WHY_MAX = 1024,      /* bytes of a refusal's reason; a longer one is cut */
    LOCATION_MAX = 2048, /* bytes of host and path in a redirect; beyond that only a text */
};

/* `after_close` follows "Connection: close", which these statuses come with: fields that the status
 * requires. */
struct status {
    int code;
    const char *reason, *after_close;
};

static const struct status statuses[] = {
    {200, "OK", ""},
    {304, "Not Modified", ""},
    {307, "Temporary Redirect", ""},
    {400, "Bad Request", ""},
    {403, "Forbidden", ""},
    {404, "Not Found", ""},
    {405, "Method Not Allowed", "\r\nAllow: GET, HEAD"}, /* RFC 9110 §15.5.6 */
    {408, "Request Timeout", ""},
    {414, "URI Too Long", ""},
    {417, "Expectation Failed", ""},
    {421, "Misdirected Request", ""},
    {426, "Upgrade Required", /* RFC 9110 §15.5.22, RFC 6455 §4.4 */
     ", Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13"},
    {429, "Too Many Requests", ""},
    {431, "Request Header Fields Too Large", ""},
    {500, "Internal Server Error", ""},
    {503, "Service Unavailable", ""},
    {505, "HTTP Version Not Supported", ""},
    {0, "Error", ""}, /* any other */
};

/* Security headers of every response: no content sniffing, no Referer, no sharing with other sites,
 * no device access; the camera only where the head allows it. */
#define SECURITY                                                                                   \
    "X-Content-Type-Options: nosniff\r\n"                                                          \
    "Referrer-Policy: no-referrer\r\n"                                                             \
    "Cross-Origin-Opener-Policy: same-origin\r\n"                                                  \
    "Cross-Origin-Resource-Policy: same-origin\r\n"                                                \
    "Permissions-Policy: camera=(%s), display-capture=(), geolocation=(), microphone=(), "         \
    "midi=(), payment=(), usb=()\r\n"

static const struct status *find_status(int code)
{
    const struct status *status = statuses;
    while (status->code != 0 && status->code != code)
        status++;
    return status;
}

/* RFC 9110 §5.6.7, IMF-fixdate; in English, whatever the locale. */
void http_date(int64_t seconds, char date[HTTP_DATE_MAX])
{
    static const char days[] = "SunMonTueWedThuFriSat";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    struct tm tm = {0};
    time_t when = (time_t)seconds;
    gmtime_r(&when, &tm);
    snprintf(date, HTTP_DATE_MAX, "%.3s, %02u %.3s %04u %02u:%02u:%02u GMT", days + 3 * tm.tm_wday,
             (unsigned)tm.tm_mday % 100, months + 3 * tm.tm_mon,
             (unsigned)(tm.tm_year + 1900) % 10000, (unsigned)tm.tm_hour % 100,
             (unsigned)tm.tm_min % 100, (unsigned)tm.tm_sec % 100);
}

/* RFC 9110 §6.6.1. */
static const char *present_date(char date[HTTP_DATE_MAX])
{
    http_date((int64_t)time(NULL), date);
    return date;
}

/* Result of snprintf; 0 when it did not fit. */
static size_t written(int n)
{
    return n < 0 || n >= HTTP_RESPONSE_MAX ? 0 : (size_t)n;
}

/* RFC 6455 §4.2.2, 5. */
size_t http_write_switch(char *out, const char *accept, const char *protocol)
{
    char date[HTTP_DATE_MAX];
    return written(snprintf(out, HTTP_RESPONSE_MAX,
                            "HTTP/1.1 101 Switching Protocols\r\n"
                            "Date: %s\r\n"
                            "Upgrade: websocket\r\n"
                            "Connection: Upgrade\r\n"
                            "Sec-WebSocket-Accept: %s\r\n"
                            "%s%s%s"
                            "\r\n",
                            present_date(date), accept,
                            protocol != NULL ? "Sec-WebSocket-Protocol: " : "",
                            protocol != NULL ? protocol : "", protocol != NULL ? "\r\n" : ""));
}

/* RFC 9110 §8.6: 304 has no body and no Content-Length. */
size_t http_write_head(char *out, const struct http_head *head)
{
    const struct status *status = find_status(head->status);
    char length[64] = "", keep[64] = "close", date[HTTP_DATE_MAX];
    if (head->status != 304)
        snprintf(length, sizeof length, "Content-Length: %zu\r\n", head->length);
    if (head->keep)
        snprintf(keep, sizeof keep, "keep-alive\r\nKeep-Alive: timeout=%d", HTTP_KEEP_SECONDS);
    return written(snprintf(out, HTTP_RESPONSE_MAX,
                            "HTTP/1.1 %d %s\r\n"
                            "Date: %s\r\n"
                            "Connection: %s%s\r\n"
                            "%s"
                            "%s"
                            "Content-Security-Policy: default-src 'none'; base-uri 'none'; "
                            "form-action 'none'; frame-ancestors 'none'%s\r\n" SECURITY "\r\n",
                            head->status, status->reason, present_date(date), keep,
                            status->after_close, head->fields, length, head->policy,
                            head->camera ? "self" : ""));
}

/* Writes a head with `fields` and `policy`, and a short text as body. */
static size_t write_text(char *out, int status, const char *fields, const char *policy,
                         const char *text, bool head_only)
{
    const struct http_head head = {
        .status = status, .fields = fields, .policy = policy, .length = strlen(text)};
    size_t len = http_write_head(out, &head);
    if (head_only || len == 0)
        return len;
    return written(snprintf(out + len, HTTP_RESPONSE_MAX - len, "%s", text) + (int)len);
}

#define TEXT_FIELDS "Content-Type: text/plain; charset=utf-8\r\nCache-Control: no-store\r\n"

size_t http_write_refusal(char *out, int status, const char *why, bool head_only)
{
    char body[WHY_MAX + 64];
    snprintf(body, sizeof body, "%d %s: %.*s\n", status, find_status(status)->reason, WHY_MAX, why);
    return write_text(out, status, TEXT_FIELDS, "", body, head_only);
}

#define PAGE_FIELDS "Content-Type: text/html; charset=utf-8\r\nCache-Control: no-store\r\n"

#define STYLE                                                                                      \
    "\n"                                                                                           \
    ":root { color-scheme: light dark; --ground: #f6f5f2; --text: #1d2326; --link: #0f6b6b; }\n"   \
    "@media (prefers-color-scheme: dark) {\n"                                                      \
    "  :root { --ground: #0f1213; --text: #e6e9ea; --link: #62c9c1; }\n"                           \
    "}\n"                                                                                          \
    "body { max-width: 34rem; margin: 14vh auto 0; padding: 1rem; background: var(--ground);\n"    \
    "  color: var(--text); font: 1rem/1.5 system-ui, sans-serif; }\n"                              \
    "a { color: var(--link); }\n"

/* The only thing that a refusal may use: its style, by its SHA-256 (CSP §2.3.1). */
#define PAGE_POLICY "; style-src 'sha256-4OPDFrD//FSXljfrm0I5MKqFL6YlkpNIG3I8wSAl4zE='"

/* Its title twice, and the reason. */
static const char page[] =
    "<!doctype html>\n"
    "<html lang=\"en\">\n"
    "<head>\n"
    "<meta charset=\"utf-8\">\n"
    "<title>%s</title>\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    "<style>" STYLE "</style>\n"
    "</head>\n"
    "<body>\n"
    "<main>\n"
    "<h1>%s</h1>\n"
    "<p>%.*s</p>\n"
    "<p><a href=\"/\">To the room</a></p>\n"
    "</main>\n"
    "</body>\n"
    "</html>\n";

size_t http_write_refusal_page(char *out, int status, const char *why, bool head_only)
{
    char title[64], body[sizeof page + WHY_MAX + 2 * sizeof title];
    snprintf(title, sizeof title, "%d %s", status, find_status(status)->reason);
    snprintf(body, sizeof body, page, title, title, WHY_MAX, why);
    return write_text(out, status, PAGE_FIELDS, PAGE_POLICY, body, head_only);
}

/* Not 308: browsers remember it, and would use TLS after the owner has switched it off. The query
 * is dropped; nothing here reads one. */
size_t http_write_to_tls(char *out, const struct http_request *rq)
{
    static const char why[] =
        "307 Temporary Redirect: this port speaks TLS, use https:// or wss://\n";
    char fields[LOCATION_MAX + 128];
    if (rq->upgrade || origin_host(rq->host).len == 0 || rq->host.len + rq->path.len > LOCATION_MAX)
        return http_write_refusal(out, 400, "this port speaks TLS: use https:// or wss://",
                                  rq->head_only);
    snprintf(fields, sizeof fields, "Location: https://%.*s%.*s\r\n" TEXT_FIELDS, (int)rq->host.len,
             rq->host.at, (int)rq->path.len, rq->path.at);
    return write_text(out, 307, fields, "", why, rq->head_only);
}
