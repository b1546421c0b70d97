/* SPDX-License-Identifier: MIT
 *
 * url.h - a room's URL, and the opening handshake of a WebSocket from the client's side (RFC 3986
 * §3, RFC 6455 §3, §4.1).
 *
 * Pure: no I/O, no locks, any thread.
 */
#ifndef URL_H
#define URL_H

#include <stdbool.h>
#include <stddef.h>

enum {
    URL_HOST_MAX = 256,                 /* a host name, with its NUL; a longer one is refused */
    URL_ORIGIN_MAX = URL_HOST_MAX + 16, /* an origin, with its NUL */
    URL_PATH_MAX = 1024,    /* the path, percent-encoded, with its NUL; longer is refused */
    URL_REQUEST_MAX = 2048, /* room for any output of url_write_request */
    URL_ANSWER_MAX = 8192,  /* bytes of the response head; a longer one is a failure */
    URL_WHY_MAX = 160,      /* room for a reason, with its NUL */
    URL_KEY_LEN = 24,       /* characters of Sec-WebSocket-Key */
};

struct url {
    bool tls;
    int port;
    char host[URL_HOST_MAX]; /* lower case; an IPv6 address without its brackets */
    char path
        [URL_PATH_MAX]; /* from its slash on, with the query; http_room knows which room it is */
};

/* Reads wss://HOST[:PORT][/PATH] or ws://..., or the https:// or http:// that a browser shows for
 * the same place. A bare HOST[:PORT] is wss. Returns NULL, or the complaint (a constant string). A
 * fragment is refused: in links it holds the password, which must not be on a command line. */
const char *url_parse(struct url *url, const char *text);

/* Writes "HOST:PORT", with brackets around an IPv6 address: the server's name for people and for
 * stored keys. `out` has room for URL_HOST_MAX + 8 bytes. */
void url_server(const struct url *url, char *out);

/* Writes the origin of the server as a browser would name it (RFC 6454 §6.2): "https://HOST:PORT",
 * or "http://..." for ws://, without the default port. `out` has room for URL_ORIGIN_MAX bytes. */
void url_origin(const struct url *url, char *out);

/* Writes the request for a WebSocket with Sec-WebSocket-Key `key` (URL_KEY_LEN characters). Returns
 * its length; `out` has room for URL_REQUEST_MAX bytes. */
size_t url_write_request(const struct url *url, const char *key, char *out);

/* Reads the response to that request; pass all bytes so far each time. Returns the bytes of its
 * head (> 0) when the WebSocket is open, and *v2 tells whether the server chose PROTOCOL_NAME; 0
 * when more is needed; -1 when it was refused, with the reason in `why` (URL_WHY_MAX). */
long url_read_answer(const char *head, size_t len, const char *key, bool *v2, char *why);

#endif
