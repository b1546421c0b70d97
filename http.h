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
    bool upgrade;            /* a complete and valid WebSocket opening handshake (§4.2.1) */
    bool protocol;           /* the wanted subprotocol is among those offered (§4.2.2) */
};

/* Parses a request head. `protocol` is the subprotocol to look for. `rq` borrows from `head`.
 * Returns the bytes used (> 0) when the head is whole and acceptable, 0 when more is needed, or
 * minus the HTTP status to refuse with (400, 405, 414, 426, 431, 505), and then *why names what
 * was wrong (a constant string). A bad head is refused as soon as its bytes show it; a head may
 * come in any pieces: pass all bytes so far each time. */
long http_parse(const char *head, size_t len, const char *protocol, struct http_request *rq,
                const char **why);

/* The room that a path names: /rooms/NAME, %-decoded, gives NAME; any other path gives "", the
 * main room. Writes a NUL-terminated string of at most `cap` bytes. Returns 0, or -1 and *why when
 * the path is under /rooms/ and its name is not one that name_check (name.h) allows. */
int http_room(const struct http_request *rq, char *room, size_t cap, const char **why);

/* Whether a browser page from rq->origin may open a WebSocket here (RFC 6455 §10.2): no Origin, an
 * Origin that is this very host and port, one of the `n` strings of `allowed`, or "*" among them.
 * `tls` tells the default port of Host. */
bool http_origin_ok(const struct http_request *rq, const char *const *allowed, size_t n, bool tls);

/* Writes the 101 response head that completes the handshake with `accept` (ws_accept_key), naming
 * `protocol` unless it is NULL. Returns its length. `out` has room for HTTP_RESPONSE_MAX bytes. */
size_t http_write_switch(char *out, const char *accept, const char *protocol);

/* Writes a whole final response, head and body: text/plain "<status> <reason>: <why>", with Allow
 * on 405 and Sec-WebSocket-Version on 426 (RFC 6455 §4.4). Returns its length; `out` as above. */
size_t http_write_refusal(char *out, int status, const char *why);

/* Writes the page that GET / answers: what this is and how to join. Returns its length. */
size_t http_write_page(char *out);

#endif
