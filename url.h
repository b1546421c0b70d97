/* SPDX-License-Identifier: MIT
 *
 * url.h - where a room is, and the two heads that open a WebSocket there, from the client's side
 * (RFC 3986 §3, RFC 6455 §3, §4.1).
 *
 * Pure: no I/O, no locks, any thread.
 */
#ifndef URL_H
#define URL_H

#include <stdbool.h>
#include <stddef.h>

enum {
    URL_HOST_MAX = 256,     /* a host's name, with its NUL; a longer one is refused */
    URL_PATH_MAX = 1024,    /* likewise the path, percent-encoded */
    URL_REQUEST_MAX = 2048, /* room for any request that url_write_request writes */
    URL_ANSWER_MAX = 8192,  /* bytes of the server's head; a longer one is a failure */
    URL_WHY_MAX = 160,      /* room for a reason, with its NUL */
    URL_KEY_LEN = 24,       /* characters of Sec-WebSocket-Key */
};

#define URL_PROTOCOL "ragnarok.v2" /* the subprotocol that is offered */

struct url {
    bool tls;
    int port;
    char host[URL_HOST_MAX]; /* lower case; an IPv6 address without its brackets */
    char path
        [URL_PATH_MAX]; /* from its slash on, with the query; http_room knows which room it is */
};

/* Reads wss://HOST[:PORT][/PATH], ws://..., and the https:// or http:// that a browser shows for the
 * same place; a bare HOST[:PORT] is wss. Returns NULL, or what is wrong with it (a constant string).
 * A fragment is refused: in links it holds the password, which has no place in a command line. */
const char *url_parse(struct url *url, const char *text);

/* Writes "HOST:PORT", with brackets around an IPv6 address: who the server is, for people and for
 * what is remembered about it. `out` has room for URL_HOST_MAX + 8 bytes. */
void url_server(const struct url *url, char *out);

/* Writes the request for a WebSocket with Sec-WebSocket-Key `key` (URL_KEY_LEN characters). Returns
 * its length; `out` has room for URL_REQUEST_MAX bytes. */
size_t url_write_request(const struct url *url, const char *key, char *out);

/* Reads the answer to it. Returns the bytes of its head (> 0) when the WebSocket is open, and *v2
 * tells whether the server chose URL_PROTOCOL; 0 when more is needed; -1 when there is none, and
 * `why` (URL_WHY_MAX) says what came instead. Pass all bytes so far each time. */
long url_read_answer(const char *head, size_t len, const char *key, bool *v2, char *why);

#endif
