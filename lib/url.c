/* SPDX-License-Identifier: MIT
 *
 * url.c - URLs of rooms, and the opening handshake from the client's side. Any thread.
 *
 * Implements RFC 6455 §4.1: the request, and the checks of the response. No locks.
 */
#include "lib/url.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "lib/address.h"
#include "lib/ascii.h"
#include "lib/authority.h"
#include "lib/origin.h"
#include "lib/protocol.h"
#include "ws.h"

/* ---- Addresses ---- */

/* An IPv6 address, perhaps with a zone (RFC 4007 §11). */
static bool is_ipv6(struct text host)
{
    struct sockaddr_storage address;
    struct text bare = text_before(host, "%"), zone = text_skip(host, bare.len + 1);
    return address_read(bare.at, bare.len, &address) && address.ss_family == AF_INET6 &&
           (bare.len == host.len || authority_is_name(zone));
}

static const char *read_host(struct url *url, struct text host)
{
    bool literal = authority_is_literal(host);
    if (literal)
        host = text_first(text_skip(host, 1), host.len - 2);
    if (host.len == 0)
        return "it names no host";
    if (host.len >= URL_HOST_MAX)
        return "its host has more than 255 characters";
    if (literal && !is_ipv6(host))
        return "what stands between [ and ] is no IPv6 address";
    if (!literal && !authority_is_name(host))
        return "its host holds a character that hosts do not have";
    for (size_t i = 0; i < host.len; i++)
        url->host[i] = ascii_lower(host.at[i]);
    url->host[host.len] = '\0';
    return NULL;
}

static const char *read_authority_part(struct url *url, struct text text)
{
    struct text host, port;
    if (!authority_split(text, &host, &port))
        return memchr(text.at, ']', text.len) ? "neither a port nor a path follows its host"
                                              : "the ] of the IPv6 address is missing";
    const char *wrong = read_host(url, host);
    if (port.at)
        url->port = authority_port(port);
    return !wrong && url->port < 1 ? "its port is not a number from 1 to 65535" : wrong;
}

/* Copies the path, and percent-encodes characters that a request line must not contain. */
static const char *take_path(struct url *url, const char *at)
{
    char *out = url->path, *end = url->path + URL_PATH_MAX - 4;
    if (*at != '/')
        *out++ = '/';
    for (; *at; at++) {
        unsigned char c = (unsigned char)*at;
        if (out > end)
            return "its path has more than 1,000 characters";
        if (c < 0x20 || c == 0x7F)
            return "its path holds a control character";
        if (c > 0x20 && c < 0x7F)
            *out++ = (char)c;
        else
            out += sprintf(out, "%%%02X", c);
    }
    *out = '\0';
    return NULL;
}

const char *url_parse(struct url *url, const char *text)
{
    memset(url, 0, sizeof(*url));
    if (strchr(text, '#'))
        return "what stands behind # may be a password, which whoever lists processes would see; "
               "leave it out and use --password-file";
    struct text rest = text_of(text);
    url->port = origin_take_scheme(&rest);
    url->tls = url->port != 80;
    if (url->port == 0)
        url->port = 443;
    struct text authority = text_before(rest, "/?");
    if (memchr(authority.at, '@', authority.len))
        return "a user's name or password has no place in it";
    const char *wrong = read_authority_part(url, authority);
    return wrong ? wrong : take_path(url, authority.at + authority.len);
}

void url_server(const struct url *url, char *out)
{
    bool ipv6 = strchr(url->host, ':') != NULL;
    sprintf(out, "%s%s%s:%d", ipv6 ? "[" : "", url->host, ipv6 ? "]" : "", url->port);
}

/* "HOST:PORT", or "HOST" with the default port of the scheme. */
static void write_authority(const struct url *url, char *out)
{
    url_server(url, out);
    if (url->port == (url->tls ? 443 : 80))
        *strrchr(out, ':') = '\0';
}

void url_origin(const struct url *url, char *out)
{
    strcpy(out, url->tls ? "https://" : "http://");
    write_authority(url, out + strlen(out));
}

/* ---- The opening handshake (RFC 6455 §4.1) ---- */

size_t url_write_request(const struct url *url, const char *key, char *out)
{
    char server[URL_HOST_MAX + 8];
    write_authority(url, server);
    int len = snprintf(out, URL_REQUEST_MAX,
                       "GET %s HTTP/1.1\r\n"
                       "Host: %s\r\n"
                       "Upgrade: websocket\r\n"
                       "Connection: Upgrade\r\n"
                       "Sec-WebSocket-Version: 13\r\n"
                       "Sec-WebSocket-Key: %s\r\n"
                       "Sec-WebSocket-Protocol: " PROTOCOL_NAME "\r\n\r\n",
                       url->path, server, key);
    return (size_t)len;
}

static bool is(struct text value, const char *word)
{
    return text_equals_nocase(value, text_of(word));
}

/* The value of a field that may occur once; {NULL, 0} without it. The head ends in \r\n\r\n. */
static struct text field(const char *head, const char *end, const char *name)
{
    size_t len = strlen(name);
    for (const char *line = strstr(head, "\r\n") + 2; line < end; line = strstr(line, "\r\n") + 2) {
        if (strncasecmp(line, name, len) != 0 || line[len] != ':')
            continue;
        const char *from = line + len + 1;
        return text_trim((struct text){from, (size_t)(strstr(from, "\r\n") - from)});
    }
    return (struct text){NULL, 0};
}

/* Whether a list ("keep-alive, Upgrade") contains `word`. */
static bool lists(struct text list, const char *word)
{
    size_t len = strlen(word);
    for (size_t i = 0; i + len <= list.len; i++) {
        bool begins = i == 0 || strchr(", \t", list.at[i - 1]);
        bool ends = i + len == list.len || strchr(", \t", list.at[i + len]);
        if (begins && ends && strncasecmp(list.at + i, word, len) == 0)
            return true;
    }
    return false;
}

/* Checks a head with status 101. Returns the complaint, or NULL. */
static const char *check_switch(const char *head, const char *end, const char *key, bool *v2)
{
    char accept[WS_ACCEPT_MAX];
    struct text protocol = field(head, end, "Sec-WebSocket-Protocol");
    ws_accept_key(key, accept);
    struct text proof = field(head, end, "Sec-WebSocket-Accept");
    *v2 = protocol.at && is(protocol, PROTOCOL_NAME);
    if (!is(field(head, end, "Upgrade"), "websocket"))
        return "the server's answer lacks \"Upgrade: websocket\"";
    if (!lists(field(head, end, "Connection"), "upgrade"))
        return "the server's answer lacks \"Connection: Upgrade\"";
    if (!text_equals(proof, accept))
        return "the server's Sec-WebSocket-Accept is wrong";
    if (field(head, end, "Sec-WebSocket-Extensions").at)
        return "the server chose an extension that was not offered";
    if (protocol.at && !*v2)
        return "the server chose a subprotocol that was not offered";
    return NULL;
}

/* Writes why the server refused: the first line of the body, or without one that of the head. */
static void refusal(const char *head, const char *body, char *why)
{
    const char *text = strncmp(body, "4", 1) == 0 || strncmp(body, "5", 1) == 0 ? body : head + 9;
    snprintf(why, URL_WHY_MAX, "the server says: %.*s", (int)strcspn(text, "\r\n"), text);
}

/* The same for a NUL-terminated copy of the response. */
static long read_answer(const char *head, const char *key, bool *v2, char *why)
{
    const char *end = strstr(head, "\r\n\r\n");
    if (strncmp(head, "HTTP/1.", strlen(head) < 7 ? strlen(head) : 7) != 0) {
        snprintf(why, URL_WHY_MAX, "what answers there does not speak HTTP");
        return -1;
    }
    if (!end)
        return 0;
    if (strncmp(head + 8, " 101 ", 5) != 0) {
        refusal(head, end + 4, why);
        return -1;
    }
    const char *wrong = check_switch(head, end + 2, key, v2);
    if (!wrong)
        return end + 4 - head;
    snprintf(why, URL_WHY_MAX, "%s", wrong);
    return -1;
}

long url_read_answer(const char *head, size_t len, const char *key, bool *v2, char *why)
{
    char copy[URL_ANSWER_MAX + 1];
    size_t some = len < URL_ANSWER_MAX ? len : URL_ANSWER_MAX;
    memcpy(copy, head, some);
    copy[some] = '\0';
    *v2 = false;
    long used = read_answer(copy, key, v2, why);
    if (used != 0 || len < URL_ANSWER_MAX)
        return used;
    snprintf(why, URL_WHY_MAX, "the server's answer is longer than %d bytes", URL_ANSWER_MAX);
    return -1;
}
