/* SPDX-License-Identifier: MIT
 *
 * http_response.h - writes one HTTP/1.1 response head (RFC 9112, RFC 6455 §4.2).
 *
 * A connection becomes a WebSocket, or gets responses; after one without `keep` it ends. Pure,
 * except that it reads the clock for Date; no locks, any thread.
 */
#ifndef HTTP_RESPONSE_H
#define HTTP_RESPONSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/http/http_request.h"

enum {
    HTTP_RESPONSE_MAX = 4096, /* room for any response that this file writes */
    HTTP_KEEP_SECONDS = 15,   /* for the next request on a connection that is kept: a browser on a
                               * busy machine takes seconds to start with a page */
    HTTP_DATE_MAX = 30,       /* "Sun, 06 Nov 1994 08:49:37 GMT", with its NUL */
};

/* Writes a time (seconds since 1970, up to the year 9999) in HTTP's format (RFC 9110 §5.6.7). */
void http_date(int64_t seconds, char date[HTTP_DATE_MAX]);

/* Writes the 101 response head that completes the handshake with `accept` (ws_accept_key), naming
 * `protocol` unless it is NULL. Returns its length. `out` has room for HTTP_RESPONSE_MAX bytes. */
size_t http_write_switch(char *out, const char *accept, const char *protocol);

/* Content of a response head. */
struct http_head {
    int status;
    const char *fields; /* whole header lines about the body, each with its CR LF */
    const char *policy; /* extra Content-Security-Policy directives: "; img-src 'self'", or "" */
    size_t length;      /* bytes of the body */
    bool camera;        /* whether a browser may use the camera, if its user agrees */
    bool keep;          /* the connection is kept for another request */
};

/* Writes the head of a response: `head`, Date, "Connection: close" (or keep-alive, and
 * HTTP_KEEP_SECONDS), Allow on 405,
 * Sec-WebSocket-Version on 426 (RFC 6455 §4.4), and security headers. Returns its length, or 0 when
 * it does not fit; `out` as above. */
size_t http_write_head(char *out, const struct http_head *head);

/* Writes a whole final response, head and, unless `head_only`, body: text/plain
 * "<status> <reason>: <why>". Returns its length; `out` as above. */
size_t http_write_refusal(char *out, int status, const char *why, bool head_only);

/* The same as a small HTML page with a link to "/", for browsers. `why` becomes markup: it must be
 * a text of ours without "<" and "&". */
size_t http_write_refusal_page(char *out, int status, const char *why, bool head_only);

/* Writes the response to a plain request on a TLS port: a redirect (307) to the same host, port and
 * path under https; or 400 and a hint for a WebSocket handshake and for a request without a usable
 * Host. Returns its length; `out` as above. */
size_t http_write_to_tls(char *out, const struct http_request *rq);

#endif
