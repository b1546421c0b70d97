/* SPDX-License-Identifier: MIT
 *
 * dial.h - the line to the server from the client's side: connecting, TLS, the WebSocket's opening,
 * messages both ways, pings, the end, and when to try again.
 *
 * Nothing here waits but the look-up of a name, which is spared when a connection that came about is
 * lost: its addresses are tried once more first. dial_wants says what poll(2) is to wait for, and
 * dial_next goes on as far as it can. One thread.
 */
#ifndef DIAL_H
#define DIAL_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net.h"
#include "url.h"
#include "ws.h"

enum {
    DIAL_OPEN_MS = 15000,              /* from dialling to the open WebSocket; then it has failed */
    DIAL_SILENCE_MS = 45000,           /* without a byte: a Ping; after as much again it is lost */
    DIAL_CLOSE_MS = 3000,              /* for the server to answer our Close frame */
    DIAL_RETRY_MS = 500,               /* before the first new try; doubled for each more */
    DIAL_RETRY_MAX_MS = 30000,         /* between two tries, give or take half of it */
    DIAL_MESSAGE_MAX = 4 << 20,        /* bytes of a message; a longer one ends the connection */
    DIAL_QUEUE_MAX = 8 << 20,          /* bytes that wait to be sent; dial_send refuses more */
    DIAL_WHY_MAX = NET_ERROR_MAX + 64, /* room for a reason, with its NUL */
};

enum dial_state {
    DIAL_DOWN,
    DIAL_CONNECTING, /* TCP */
    DIAL_SECURING,   /* TLS */
    DIAL_JUDGED,     /* DIAL_CERTIFICATE was told: waits for dial_trust */
    DIAL_ASKING,     /* for the WebSocket */
    DIAL_UP,
    DIAL_CLOSING, /* our Close frame is on its way */
};

enum dial_event {
    DIAL_NOTHING,     /* wait for what dial_wants says */
    DIAL_CERTIFICATE, /* look at net_peer(&dial->stream), then dial_trust or dial_drop */
    DIAL_OPENED,      /* the WebSocket is open; dial->v2 tells which way to come in */
    DIAL_TEXT,        /* a message: dial->text, dial->text_len, until the next call */
    DIAL_LOST,        /* it is over, or could not be: dial->code and dial->why */
};

struct dial {
    const struct url *url; /* borrowed */
    struct net_tls *tls;   /* borrowed; NULL for ws:// */
    enum dial_state state;
    bool v2;
    bool answered; /* the WebSocket was open once since dial_start */
    int code;      /* of the server's Close frame, or 0 */
    char why[DIAL_WHY_MAX];
    const char *text; /* not NUL-terminated */
    size_t text_len;

    struct addrinfo *addresses, *trying;
    bool proven; /* at one of the addresses the WebSocket was open; they need no look-up */
    struct net_stream stream;
    struct ws_reader reader;
    char key[URL_KEY_LEN + 1];
    unsigned char *out; /* frames that are to be sent, from `out_from` to `out_len` */
    size_t out_from, out_len, out_cap;
    bool busy;      /* the last dial_next told an event, or read much: there may be more */
    int64_t until;  /* net_now at which the present state has lasted too long */
    bool pinged;    /* in DIAL_UP: since a Ping was sent nothing has come */
    unsigned tries; /* see dial_patience; whoever came in sets it to 0 */
};

/* Readies a line that is down. `url` and `tls` outlive it. */
void dial_init(struct dial *dial, const struct url *url, struct net_tls *tls);
void dial_fini(struct dial *dial);

/* Begins to connect. What becomes of it, dial_next tells. */
void dial_start(struct dial *dial);

/* The certificate is good enough: goes on. */
void dial_trust(struct dial *dial);

/* What to wait for, and until when (net_now; INT64_MAX: for ever). A negative fd: nothing. */
int64_t dial_wants(const struct dial *dial, struct pollfd *wants);

/* Goes on as far as it can without waiting, up to one event. To be called until DIAL_NOTHING; dial_wants
 * tells when again. */
enum dial_event dial_next(struct dial *dial);

/* Queues a text message of `len` bytes. Returns 0, or -1 when the line is not up or the queue is
 * full; then nothing of it was sent. */
int dial_send(struct dial *dial, const char *text, size_t len);

/* Says goodbye with 1000; DIAL_LOST follows when the server has answered, or after DIAL_CLOSE_MS. */
void dial_close(struct dial *dial);

/* Ends the line at once, without an event. */
void dial_drop(struct dial *dial);

/* How many milliseconds to wait before the next dial_start: longer each time, with some chance in it,
 * so that not everybody comes at once when a server is back. */
int64_t dial_patience(struct dial *dial);

#endif
