/* SPDX-License-Identifier: MIT
 *
 * http_request.h - parses one HTTP/1.1 request head (RFC 9112, RFC 6455 §4.2).
 *
 * Pure: any thread.
 */
#ifndef HTTP_REQUEST_H
#define HTTP_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/text.h"

enum {
    HTTP_HEAD_MAX = 8192,   /* bytes of request head; more is 431 */
    HTTP_TARGET_MAX = 2048, /* bytes of request target; more is 414 */
    HTTP_FIELDS_MAX = 100,  /* header fields; more is 431 */
    HTTP_FORWARDED_MAX = 4, /* X-Forwarded-For fields that are kept: the last ones */
};

/* The texts borrow from the request head. */
struct http_request {
    struct text path;   /* target without scheme, authority and query; still %-encoded */
    struct text host;   /* Host: the server's authority as the client knows it */
    struct text origin; /* Origin (RFC 6454): sent by browsers */
    struct text key;    /* Sec-WebSocket-Key: 24 characters of base64 (RFC 6455 §4.1) */
    struct text
        if_none_match; /* If-None-Match: entity tags that the client has (RFC 9110 §13.1.2) */
    struct text forwarded[HTTP_FORWARDED_MAX]; /* X-Forwarded-For, in order (forwarded.h) */
    int forwarded_count;
    bool head_only; /* HEAD: the answer has no body (RFC 9110 §9.3.2) */
    bool keep;      /* the client may send another request after this one (RFC 9112 §9.3) */
    bool html;      /* Accept lists text/html: a browser that shows the answer as a page */
    bool gzip;      /* the client accepts gzip and prefers it (RFC 9110 §12.5.3) */
    bool upgrade;   /* a complete and valid WebSocket opening handshake (§4.2.1) */
    bool protocol;  /* the wanted subprotocol is among those offered (§4.2.2) */
};

/* Parses a request head. `protocol` is the subprotocol to look for. `rq` borrows from `head`.
 * Returns the bytes used (> 0) when the head is whole and acceptable, 0 when more is needed, or
 * minus the HTTP status to refuse with (400, 405, 414, 417, 426, 431, 505) and the reason in *why
 * (a constant string); rq->head_only is valid even then. A bad head is refused as soon as its bytes
 * show it. A head may arrive in any pieces: pass all bytes so far each time. */
long http_parse(const char *head, size_t len, const char *protocol, struct http_request *rq,
                const char **why);

/* Takes the last element of a comma-separated list (RFC 9110 §5.6.1), without the blanks around it.
 * Skips empty ones. Returns false when there is none. */
bool http_take_last(struct text *list, struct text *element);

/* Whether If-None-Match contains this entity tag (with its quotes), or "*" (RFC 9110 §13.1.2). */
bool http_has_tag(const struct http_request *rq, const char *tag);

#endif
