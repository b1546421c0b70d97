/* SPDX-License-Identifier: MIT
 *
 * url.c - addresses, and the opening handshake from the client's side, as url.h promises them.
 *
 * Implements RFC 6455 §4.1: the request, and what a client has to check in the answer.
 */
#include "url.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "ws.h"

/* ---- Addresses ---- */

static const struct {
    const char *name;
    bool tls;
} schemes[] = {{"wss://", true}, {"ws://", false}, {"https://", true}, {"http://", false}};

static const char *take_scheme(struct url *url, const char *text)
{
    for (size_t i = 0; i < sizeof(schemes) / sizeof(*schemes); i++) {
        size_t len = strlen(schemes[i].name);
        if (strncasecmp(text, schemes[i].name, len) == 0) {
            url->tls = schemes[i].tls;
            return text + len;
        }
    }
    url->tls = true;
    return text;
}

/* Letters of names and addresses; whatever else the resolver would say about them. */
static bool is_host_char(unsigned char c, bool bracketed)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' ||
           (bracketed && (c == ':' || c == '%'));
}

static const char *take_host(struct url *url, const char **at)
{
    bool bracketed = **at == '[';
    const char *from = *at + bracketed;
    size_t len = strcspn(from, bracketed ? "]" : ":/?");
    if (bracketed && from[len] != ']')
        return "the ] of the IPv6 address is missing";
    if (len == 0)
        return "it names no host";
    if (len >= URL_HOST_MAX)
        return "its host has more than 255 characters";
    for (size_t i = 0; i < len; i++) {
        char c = from[i];
        url->host[i] = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
        if (!is_host_char((unsigned char)url->host[i], bracketed))
            return "its host holds a character that hosts do not have";
    }
    url->host[len] = '\0';
    if (bracketed && !strchr(url->host, ':'))
        return "what stands between [ and ] is no IPv6 address";
    *at = from + len + bracketed;
    return NULL;
}

static const char *take_port(struct url *url, const char **at)
{
    url->port = url->tls ? 443 : 80;
    if (**at != ':')
        return NULL;
    size_t digits = strspn(++*at, "0123456789");
    long port = digits > 0 && digits < 6 ? strtol(*at, NULL, 10) : 0;
    if (port < 1 || port > 65535)
        return "its port is not a number from 1 to 65535";
    url->port = (int)port;
    *at += digits;
    return NULL;
}

/* Copies the path; what may not stand in a request line as it is, is percent-encoded. */
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
    const char *at = take_scheme(url, text);
    if (memchr(at, '@', strcspn(at, "/?")))
        return "a user's name or password has no place in it";
    const char *wrong = take_host(url, &at);
    if (!wrong)
        wrong = take_port(url, &at);
    if (!wrong && *at && *at != '/' && *at != '?')
        return "neither a port nor a path follows its host";
    return wrong ? wrong : take_path(url, at);
}

void url_server(const struct url *url, char *out)
{
    bool ipv6 = strchr(url->host, ':') != NULL;
    sprintf(out, "%s%s%s:%d", ipv6 ? "[" : "", url->host, ipv6 ? "]" : "", url->port);
}

/* ---- The opening handshake (RFC 6455 §4.1) ---- */

size_t url_write_request(const struct url *url, const char *key, char *out)
{
    char server[URL_HOST_MAX + 8];
    url_server(url, server);
    if (url->port == (url->tls ? 443 : 80))
        *strrchr(server, ':') = '\0';
    int len = snprintf(out, URL_REQUEST_MAX,
                       "GET %s HTTP/1.1\r\n"
                       "Host: %s\r\n"
                       "Upgrade: websocket\r\n"
                       "Connection: Upgrade\r\n"
                       "Sec-WebSocket-Version: 13\r\n"
                       "Sec-WebSocket-Key: %s\r\n"
                       "Sec-WebSocket-Protocol: " URL_PROTOCOL "\r\n\r\n",
                       url->path, server, key);
    return (size_t)len;
}

/* A field of a head. */
struct piece {
    const char *at;
    size_t len;
};

static bool is(struct piece piece, const char *word)
{
    return piece.len == strlen(word) && strncasecmp(piece.at, word, piece.len) == 0;
}

/* The value of a field that may stand only once; {NULL, 0} without it. The head ends in \r\n\r\n. */
static struct piece field(const char *head, const char *end, const char *name)
{
    size_t len = strlen(name);
    for (const char *line = strstr(head, "\r\n") + 2; line < end; line = strstr(line, "\r\n") + 2) {
        if (strncasecmp(line, name, len) != 0 || line[len] != ':')
            continue;
        const char *from = line + len + 1;
        const char *to = strstr(from, "\r\n");
        while (from < to && (*from == ' ' || *from == '\t'))
            from++;
        while (to > from && (to[-1] == ' ' || to[-1] == '\t'))
            to--;
        return (struct piece){from, (size_t)(to - from)};
    }
    return (struct piece){NULL, 0};
}

/* Whether one of the words of a list is `word`: "keep-alive, Upgrade". */
static bool lists(struct piece list, const char *word)
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

/* What is wrong with a head that says 101, or NULL. */
static const char *check_switch(const char *head, const char *end, const char *key, bool *v2)
{
    char accept[WS_ACCEPT_MAX];
    struct piece protocol = field(head, end, "Sec-WebSocket-Protocol");
    ws_accept_key(key, accept);
    struct piece proof = field(head, end, "Sec-WebSocket-Accept");
    *v2 = protocol.at && is(protocol, URL_PROTOCOL);
    if (!is(field(head, end, "Upgrade"), "websocket"))
        return "the server's answer lacks \"Upgrade: websocket\"";
    if (!lists(field(head, end, "Connection"), "upgrade"))
        return "the server's answer lacks \"Connection: Upgrade\"";
    if (!proof.at || proof.len != strlen(accept) || memcmp(proof.at, accept, proof.len) != 0)
        return "the server's Sec-WebSocket-Accept is wrong";
    if (field(head, end, "Sec-WebSocket-Extensions").at)
        return "the server chose an extension that was not offered";
    if (protocol.at && !*v2)
        return "the server chose a subprotocol that was not offered";
    return NULL;
}

/* A server that refuses says why: in the first line of the body, or else in that of the head. */
static void refusal(const char *head, const char *body, char *why)
{
    const char *text = strncmp(body, "4", 1) == 0 || strncmp(body, "5", 1) == 0 ? body : head + 9;
    snprintf(why, URL_WHY_MAX, "the server says: %.*s", (int)strcspn(text, "\r\n"), text);
}

/* The same for a NUL-terminated copy of what came. */
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
