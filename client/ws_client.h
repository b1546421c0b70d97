/* SPDX-License-Identifier: MIT
 *
 * ws_client.h - the client's connection to the server: TCP, TLS, the WebSocket handshake, messages
 * both ways, pings, closing, and when to reconnect.
 *
 * Nothing here waits except the name look-up; after a working connection is lost, its addresses are
 * tried again first, without a look-up. ws_client_wants tells poll(2)'s events, and ws_client_next
 * goes on as far as it can. One thread.
 */
#ifndef WS_CLIENT_H
#define WS_CLIENT_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/socket.h"
#include "net/stream.h"
#include "lib/url.h"
#include "ws.h"

enum {
    WS_CLIENT_OPEN_MS = 15000,      /* limit from dialling to the open WebSocket */
    WS_CLIENT_SILENCE_MS = 45000,   /* without input for so long: sends a Ping; twice that: lost */
    WS_CLIENT_CLOSE_MS = 3000,      /* how long the server may take to answer our Close frame */
    WS_CLIENT_RETRY_MS = 500,       /* before the first retry; doubled for each further one */
    WS_CLIENT_RETRY_MAX_MS = 30000, /* longest wait between two retries, plus or minus half of it */
    WS_CLIENT_STEADY_MS = 60000,    /* joined for so long: the wait is WS_CLIENT_RETRY_MS again */
    WS_CLIENT_PAUSE_MS = 10000,     /* wait after we were too fast; doubled each further time */
    WS_CLIENT_PAUSE_MAX_MS = 300000, /* longest of these waits */
    WS_CLIENT_CALM_MS = 600000,      /* joined for so long: this wait is WS_CLIENT_PAUSE_MS again */
    WS_CLIENT_MESSAGE_MAX = 4 << 20, /* bytes of a message; a longer one ends the connection */
    WS_CLIENT_QUEUE_MAX = 8 << 20,   /* bytes in the send queue; ws_client_send refuses more */
    WS_CLIENT_WHY_MAX = NET_ERROR_MAX + 64, /* room for a reason, with its NUL */
};

enum ws_client_state {
    WS_CLIENT_DOWN,
    WS_CLIENT_CONNECTING, /* TCP */
    WS_CLIENT_SECURING,   /* TLS */
    WS_CLIENT_JUDGED,     /* told WS_CLIENT_CERTIFICATE; waits for ws_client_trust */
    WS_CLIENT_ASKING,     /* sent the WebSocket request */
    WS_CLIENT_UP,
    WS_CLIENT_CLOSING, /* our Close frame is in flight */
};

enum ws_client_event {
    WS_CLIENT_NOTHING,     /* wait for the events of ws_client_wants */
    WS_CLIENT_CERTIFICATE, /* check stream_verify_peer, then ws_client_trust or ws_client_drop */
    WS_CLIENT_OPENED,      /* the WebSocket is open; ws->v2 tells how to join */
    WS_CLIENT_TEXT,        /* a message: ws->text, ws->text_len, valid until the next call */
    WS_CLIENT_LOST,        /* it has ended or failed: see ws->code and ws->why */
};

struct ws_client {
    const struct url *url;   /* borrowed */
    struct tls_context *tls; /* borrowed; NULL for ws:// */
    enum ws_client_state state;
    bool v2;
    bool answered; /* the WebSocket was open once since ws_client_start */
    int code;      /* of the server's Close frame, or 0 */
    char why[WS_CLIENT_WHY_MAX];
    const char *text; /* not NUL-terminated */
    size_t text_len;

    struct addrinfo *addresses, *trying;
    bool proven; /* the WebSocket was open at one of the addresses: no look-up */
    struct stream stream;
    struct ws_reader reader;
    char key[URL_KEY_LEN + 1];
    unsigned char *out; /* send queue: frames from `out_from` to `out_len` */
    size_t out_from, out_len, out_cap;
    bool busy;       /* the last ws_client_next told an event, or read much: call it again */
    int64_t until;   /* net_now at which the current state times out */
    bool pinged;     /* in WS_CLIENT_UP: nothing was received since a Ping was sent */
    unsigned tries;  /* see ws_client_patience */
    unsigned pauses; /* see ws_client_pause */
};

/* Initializes a closed connection. `url` and `tls` outlive it. */
void ws_client_init(struct ws_client *ws, const struct url *url, struct tls_context *tls);
void ws_client_fini(struct ws_client *ws);

/* Begins to connect. ws_client_next tells the result. */
void ws_client_start(struct ws_client *ws);

/* Accepts the certificate and goes on. */
void ws_client_trust(struct ws_client *ws);

/* Fills in the events to wait for (a negative fd: none). Returns the time until which to wait
 * (net_now; INT64_MAX: no end). */
int64_t ws_client_wants(const struct ws_client *ws, struct pollfd *wants);

/* Goes on as far as it can without waiting, up to one event. Call it until WS_CLIENT_NOTHING, and
 * again when ws_client_wants says so. */
enum ws_client_event ws_client_next(struct ws_client *ws);

/* Queues a text message of `len` bytes. Returns 0, or -1, with nothing queued, when the connection
 * is not open or the queue is full. */
int ws_client_send(struct ws_client *ws, const char *text, size_t len);

/* Sends Close 1000. WS_CLIENT_LOST follows when the server has answered, or after
 * WS_CLIENT_CLOSE_MS. */
void ws_client_close(struct ws_client *ws);

/* Closes the connection at once, without an event. */
void ws_client_drop(struct ws_client *ws);

/* Milliseconds to wait before the next ws_client_start: longer each time, with jitter, so that
 * clients do not all return at once after a restart of the server. */
int64_t ws_client_patience(struct ws_client *ws);

/* Reports that a joined connection has ended after `ms` milliseconds. If that was
 * WS_CLIENT_STEADY_MS or more, ws_client_patience starts with its shortest wait again. Otherwise it
 * goes on from where it was, so a server that accepts and hangs up is not dialled twice a second.
 */
void ws_client_served(struct ws_client *ws, int64_t ms);

/* Milliseconds to wait after the server ended the connection because we were too fast, when we had
 * been joined for `stayed` milliseconds. From WS_CLIENT_PAUSE_MS to WS_CLIENT_PAUSE_MAX_MS, longer
 * each time, unless `stayed` is WS_CLIENT_CALM_MS or more. */
int64_t ws_client_pause(struct ws_client *ws, int64_t stayed);

#endif
