/* SPDX-License-Identifier: MIT
 *
 * http.h - one HTTP/1.1 request head in, one response head out (RFC 9112, RFC 6455 §4.2).
 *
 * The server answers exactly one request per connection: either it becomes a WebSocket, or it
 * gets one response and the connection ends. Pure: bytes in, bytes out; no I/O, no locks.
 */
#ifndef HTTP_H
#define HTTP_H

#include <stdbool.h>
#include <stddef.h>

enum {
    HTTP_HEAD_MAX = 8192,     /* bytes of request head; more is 431 */
    HTTP_TARGET_MAX = 2048,   /* bytes of request target; more is 414 */
    HTTP_FIELDS_MAX = 100,    /* header fields; more is 431 */
    HTTP_RESPONSE_MAX = 4096, /* room for any response that this file writes */
    HTTP_FORWARDED_MAX = 4,   /* fields of X-Forwarded-For that are kept: the last ones */
};

/* A piece of the request head: borrowed from it, not NUL-terminated; `at` is NULL when absent. */
struct http_text {
    const char *at;
    size_t len;
};

struct http_request {
    struct http_text path;   /* target without scheme, authority and query; still %-encoded */
    struct http_text host;   /* Host: authority of the server as the client knows it */
    struct http_text origin; /* Origin (RFC 6454): sent by browsers */
    struct http_text key;    /* Sec-WebSocket-Key: 24 characters of base64 (RFC 6455 §4.1) */
    struct http_text
        if_none_match; /* If-None-Match: entity tags that the client has (RFC 9110 §13.1.2) */
    struct http_text forwarded[HTTP_FORWARDED_MAX]; /* X-Forwarded-For, in order (proxy.h) */
    int forwarded_count;
    bool head_only; /* HEAD: the answer has no body (RFC 9110 §9.3.2) */
    bool gzip;      /* the body may be gzip, and had better be (RFC 9110 §12.5.3) */
    bool upgrade;   /* a complete and valid WebSocket opening handshake (§4.2.1) */
    bool protocol;  /* the wanted subprotocol is among those offered (§4.2.2) */
};

/* Parses a request head. `protocol` is the subprotocol to look for. `rq` borrows from `head`.
 * Returns the bytes used (> 0) when the head is whole and acceptable, 0 when more is needed, or
 * minus the HTTP status to refuse with (400, 405, 414, 426, 431, 505), and then *why names what
 * was wrong (a constant string); rq->head_only holds even then. A bad head is refused as soon as its bytes show it; a head may
 * come in any pieces: pass all bytes so far each time. */
long http_parse(const char *head, size_t len, const char *protocol, struct http_request *rq,
                const char **why);

/* Takes the last element off a comma-separated list (RFC 9110 §5.6.1), without the blanks around it.
 * Empty ones are passed over. Returns false when there is none. */
bool http_take_last(struct http_text *list, struct http_text *element);

/* The room that a path names: /rooms/NAME, %-decoded, gives NAME; any other path gives "", the
 * main room. Writes a NUL-terminated string of at most `cap` bytes. Returns 0, or -1 and *why when
 * the path is under /rooms/ and its name is not one that name_check (name.h) allows. */
int http_room(const struct http_request *rq, char *room, size_t cap, const char **why);

/* Whether a browser page from rq->origin may open a WebSocket here (RFC 6455 §10.2): no Origin, an
 * Origin that is this very host and port, one of the `n` strings of `allowed`, or "*" among them.
 * `tls` tells the default port of Host. */
bool http_origin_ok(const struct http_request *rq, const char *const *allowed, size_t n, bool tls);

/* Whether If-None-Match holds this entity tag (with its quotes), or "*" (RFC 9110 §13.1.2). */
bool http_has_tag(const struct http_request *rq, const char *tag);

/* The host in Host, without port and without a dot at its end; `at` is NULL when Host was absent. */
struct http_text http_host(const struct http_request *rq);

/* Whether a host is this name, whether it ends in `domain` (".local") with something before it, and
 * whether it is the host of one of the `n` origins of `allowed`, or "*" is among them. */
bool http_host_is(struct http_text host, const char *name);
bool http_host_under(struct http_text host, const char *domain);
bool http_host_allowed(struct http_text host, const char *const *allowed, size_t n);

/* Writes the 101 response head that completes the handshake with `accept` (ws_accept_key), naming
 * `protocol` unless it is NULL. Returns its length. `out` has room for HTTP_RESPONSE_MAX bytes. */
size_t http_write_switch(char *out, const char *accept, const char *protocol);

/* What a response head says. */
struct http_head {
    int status;
    const char *fields; /* whole header lines about the body, each with its CR LF */
    const char *policy; /* what the Content-Security-Policy allows: "; img-src 'self'", or "" */
    size_t length;      /* bytes of the body */
};

/* Writes the head of a final response: `head`, "Connection: close", Allow on 405,
 * Sec-WebSocket-Version on 426 (RFC 6455 §4.4), and what keeps a browser safe. Returns its length, or
 * 0 when it does not fit; `out` as above. */
size_t http_write_head(char *out, const struct http_head *head);

/* Writes a whole final response, head and, unless `head_only`, body: text/plain
 * "<status> <reason>: <why>". Returns its length; `out` as above. */
size_t http_write_refusal(char *out, int status, const char *why, bool head_only);

/* Writes the answer to a plain request on a port that speaks TLS: a redirect (307) to the same host,
 * port and path under https; 400 and a hint for a WebSocket handshake, and where Host says nothing.
 * Returns its length; `out` as above. */
size_t http_write_to_tls(char *out, const struct http_request *rq);

#endif
