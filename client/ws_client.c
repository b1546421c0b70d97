/* SPDX-License-Identifier: MIT
 *
 * ws_client.c - the connection to the server: a state machine that never blocks.
 *
 * The client's counterpart of connection.c: RFC 6455 §4.1 (opening, with url.c), §5.3 (masking with
 * a fresh random key for each frame), §5.5 (answering pings, the close handshake), §7.1. Each state
 * is left in one place: the function with its name. One thread.
 */
#include "client/ws_client.h"

#include <errno.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "net/random.h"

enum {
    OUT_FIRST = 4096,
    KEY_BYTES = 16,
    READS_AT_ONCE = 64, /* before the caller's turn: a server may never stop sending */
};

void ws_client_init(struct ws_client *ws, const struct url *url, struct tls_context *tls)
{
    memset(ws, 0, sizeof(*ws));
    ws->url = url;
    ws->tls = tls;
    ws->stream.fd = -1;
    ws_reader_init(&ws->reader, WS_CLIENT_MESSAGE_MAX, false);
}

void ws_client_drop(struct ws_client *ws)
{
    ws->trying = NULL;
    stream_close(&ws->stream);
    ws_reader_fini(&ws->reader);
    ws->out_from = ws->out_len = 0;
    ws->pinged = ws->busy = false;
    ws->state = WS_CLIENT_DOWN;
}

void ws_client_fini(struct ws_client *ws)
{
    ws_client_drop(ws);
    net_free_addresses(ws->addresses);
    ws->addresses = NULL;
    free(ws->out);
    ws->out = NULL;
    ws->out_cap = 0;
}

static enum ws_client_event lose(struct ws_client *ws, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static enum ws_client_event lose(struct ws_client *ws, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(ws->why, sizeof(ws->why), format, arguments);
    va_end(arguments);
    ws_client_drop(ws);
    return WS_CLIENT_LOST;
}

int64_t ws_client_patience(struct ws_client *ws)
{
    unsigned doublings = ws->tries < 6 ? ws->tries : 6;
    uint16_t chance = 0;
    int64_t wait = (int64_t)WS_CLIENT_RETRY_MS << doublings;
    if (wait > WS_CLIENT_RETRY_MAX_MS)
        wait = WS_CLIENT_RETRY_MAX_MS;
    ws->tries++;
    random_bytes(&chance, sizeof(chance)); /* on failure the wait has no jitter: no harm */
    return wait / 2 + wait * chance / UINT16_MAX;
}

void ws_client_served(struct ws_client *ws, int64_t ms)
{
    if (ms >= WS_CLIENT_STEADY_MS)
        ws->tries = 0;
}

int64_t ws_client_pause(struct ws_client *ws, int64_t stayed)
{
    if (stayed >= WS_CLIENT_CALM_MS)
        ws->pauses = 0;
    unsigned doublings = ws->pauses < 5 ? ws->pauses++ : 5;
    int64_t wait = (int64_t)WS_CLIENT_PAUSE_MS << doublings;
    return wait < WS_CLIENT_PAUSE_MAX_MS ? wait : WS_CLIENT_PAUSE_MAX_MS;
}

/* ---- The send queue ---- */

/* Makes room for `len` more bytes in the send queue; NULL when it is full or memory is out. */
static unsigned char *room_for(struct ws_client *ws, size_t len)
{
    if (ws->out_from == ws->out_len)
        ws->out_from = ws->out_len = 0;
    if (len > WS_CLIENT_QUEUE_MAX || ws->out_len - ws->out_from > WS_CLIENT_QUEUE_MAX - len)
        return NULL;
    if (ws->out_cap - ws->out_len < len && ws->out_from) {
        memmove(ws->out, ws->out + ws->out_from, ws->out_len - ws->out_from);
        ws->out_len -= ws->out_from;
        ws->out_from = 0;
    }
    size_t cap = ws->out_cap ? ws->out_cap : OUT_FIRST;
    while (cap - ws->out_len < len)
        cap *= 2;
    unsigned char *out = cap == ws->out_cap ? ws->out : realloc(ws->out, cap);
    if (!out)
        return NULL;
    ws->out = out;
    ws->out_cap = cap;
    return out + ws->out_len;
}

static int queue_frame(struct ws_client *ws, enum ws_opcode opcode, const void *payload, size_t len)
{
    unsigned char mask[WS_MASK_BYTES];
    unsigned char *at = room_for(ws, WS_HEAD_MAX + len);
    if (!at || !random_bytes(mask, sizeof(mask)))
        return -1;
    ws->out_len += ws_write_masked(at, opcode, payload, len, mask);
    return 0;
}

static void queue_close(struct ws_client *ws, int code)
{
    unsigned char payload[] = {(unsigned char)(code >> 8), (unsigned char)code};
    queue_frame(ws, WS_CLOSE, payload, sizeof(payload));
}

/* Writes as much of the queue as the socket takes. An error is reported by the next read, after
 * earlier input. */
static void write_queue(struct ws_client *ws)
{
    while (ws->out_from < ws->out_len) {
        ssize_t n = stream_write(&ws->stream, ws->out + ws->out_from, ws->out_len - ws->out_from);
        if (n < 0)
            return;
        ws->out_from += (size_t)n;
    }
}

int ws_client_send(struct ws_client *ws, const char *text, size_t len)
{
    return ws->state == WS_CLIENT_UP ? queue_frame(ws, WS_TEXT, text, len) : -1;
}

void ws_client_close(struct ws_client *ws)
{
    if (ws->state != WS_CLIENT_UP)
        return;
    queue_close(ws, WS_CODE_NORMAL);
    ws->state = WS_CLIENT_CLOSING;
    ws->until = net_now() + WS_CLIENT_CLOSE_MS;
}

/* ---- Opening ---- */

void ws_client_start(struct ws_client *ws)
{
    ws_client_drop(ws);
    ws->v2 = ws->answered = false;
    ws->code = 0;
    ws->until = net_now() + WS_CLIENT_OPEN_MS;
    if (!ws->proven) {
        net_free_addresses(ws->addresses);
        ws->addresses = net_look_up(ws->url->host, ws->url->port, ws->why);
    }
    ws->proven = false;
    ws->trying = ws->addresses;
    ws->state = WS_CLIENT_CONNECTING;
}

/* Connects to the next address that accepts an attempt; `why` keeps the look-up's reason. */
static enum ws_client_event connect_next(struct ws_client *ws)
{
    if (!ws->addresses) {
        ws_client_drop(ws);
        return WS_CLIENT_LOST;
    }
    for (; ws->trying; ws->trying = ws->trying->ai_next) {
        int fd = net_connect_begin(ws->trying);
        if (fd >= 0 && stream_open(&ws->stream, fd, ws->tls) < 0)
            return lose(ws, "out of memory");
        if (fd >= 0)
            return WS_CLIENT_NOTHING;
    }
    return lose(ws, "%s", strerror(errno));
}

/* Sends the WebSocket request. */
static enum ws_client_event ask_for_websocket(struct ws_client *ws)
{
    unsigned char nonce[KEY_BYTES];
    unsigned char *at = room_for(ws, URL_REQUEST_MAX);
    if (!at || !random_bytes(nonce, sizeof(nonce)))
        return lose(ws, "out of memory");
    EVP_EncodeBlock((unsigned char *)ws->key, nonce, sizeof(nonce));
    ws->out_len += url_write_request(ws->url, ws->key, (char *)at);
    ws->state = WS_CLIENT_ASKING;
    return WS_CLIENT_NOTHING;
}

static enum ws_client_event on_connecting(struct ws_client *ws)
{
    struct pollfd ready = {.fd = ws->stream.fd, .events = POLLOUT};
    if (ws->stream.fd < 0)
        return connect_next(ws);
    if (poll(&ready, 1, 0) != 1)
        return WS_CLIENT_NOTHING;
    if (net_connect_end(ws->stream.fd) < 0) {
        int saved = errno;
        stream_close(&ws->stream);
        ws->trying = ws->trying->ai_next;
        errno = saved;
        return connect_next(ws);
    }
    if (!ws->tls)
        return ask_for_websocket(ws);
    ws->state = WS_CLIENT_SECURING;
    return stream_set_peer_name(&ws->stream, ws->url->host) < 0 ? lose(ws, "out of memory")
                                                                : WS_CLIENT_NOTHING;
}

static enum ws_client_event on_securing(struct ws_client *ws)
{
    int done = stream_handshake(&ws->stream);
    if (done < 0)
        return lose(ws, "no TLS: %s", ws->stream.why ? ws->stream.why : strerror(errno));
    if (done == 0)
        return WS_CLIENT_NOTHING;
    ws->state = WS_CLIENT_JUDGED;
    return WS_CLIENT_CERTIFICATE;
}

void ws_client_trust(struct ws_client *ws)
{
    if (ws->state == WS_CLIENT_JUDGED)
        ask_for_websocket(ws);
}

/* Reads once. Returns the result of stream_read, or -1 with errno ENOMEM. */
static ssize_t read_more(struct ws_client *ws)
{
    unsigned char *space;
    size_t room = ws_reserve(&ws->reader, &space);
    if (room == 0) {
        errno = ENOMEM;
        return -1;
    }
    ssize_t n = stream_read(&ws->stream, space, room);
    if (n > 0)
        ws_commit(&ws->reader, (size_t)n);
    return n;
}

static enum ws_client_event lose_reading(struct ws_client *ws, ssize_t n)
{
    if (n == 0)
        return lose(ws, "the connection ended");
    return lose(ws, "%s", ws->stream.why ? ws->stream.why : strerror(errno));
}

static enum ws_client_event on_asking(struct ws_client *ws)
{
    unsigned char *head;
    char why[URL_WHY_MAX];
    write_queue(ws);
    for (;;) {
        size_t len = ws_peek(&ws->reader, &head);
        long used = len ? url_read_answer((char *)head, len, ws->key, &ws->v2, why) : 0;
        if (used < 0)
            return lose(ws, "%s", why);
        if (used > 0) {
            ws_skip(&ws->reader, (size_t)used);
            ws->state = WS_CLIENT_UP;
            ws->answered = ws->proven = true;
            ws->until = net_now() + WS_CLIENT_SILENCE_MS;
            return WS_CLIENT_OPENED;
        }
        ssize_t n = read_more(ws);
        if (n < 0 && errno == EAGAIN)
            return WS_CLIENT_NOTHING;
        if (n <= 0)
            return lose_reading(ws, n);
    }
}

/* ---- Up ---- */

/* Answers with a Close frame, as far as the socket takes it, and closes. */
static enum ws_client_event end_line(struct ws_client *ws, int code, const char *reason, size_t len)
{
    if (ws->state == WS_CLIENT_UP)
        queue_close(ws, code == WS_CODE_NONE ? WS_CODE_NORMAL : code);
    write_queue(ws);
    stream_shutdown(&ws->stream);
    return lose(ws, "%.*s", (int)len, reason);
}

/* Handles an event of the reader. WS_CLIENT_NOTHING: it needs no event of our own. */
static enum ws_client_event on_ws_event(struct ws_client *ws, const struct ws_event *event)
{
    switch (event->opcode) {
    case WS_TEXT:
        ws->text = (const char *)event->payload;
        ws->text_len = event->len;
        return WS_CLIENT_TEXT;
    case WS_PING:
        queue_frame(ws, WS_PONG, event->payload, event->len);
        return WS_CLIENT_NOTHING;
    case WS_CLOSE:
        ws->code = event->code;
        return end_line(ws, event->code, (const char *)event->payload, event->len);
    case WS_BINARY:
        return end_line(ws, WS_CODE_UNSUPPORTED, "the server sent a binary message", 32);
    case WS_CONTINUATION:
    case WS_PONG:
        break;
    }
    return WS_CLIENT_NOTHING;
}

static enum ws_client_event on_up(struct ws_client *ws)
{
    struct ws_event event;
    for (int reads = 0; reads < READS_AT_ONCE;) {
        int found = ws_next(&ws->reader, &event);
        if (found < 0)
            return end_line(ws, event.code, event.why, strlen(event.why));
        enum ws_client_event told = found ? on_ws_event(ws, &event) : WS_CLIENT_NOTHING;
        if (told != WS_CLIENT_NOTHING)
            return told;
        if (found)
            continue;
        ssize_t n = read_more(ws);
        ws->busy = n > 0;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n <= 0)
            return lose_reading(ws, n);
        reads++;
        ws->pinged = false;
        if (ws->state == WS_CLIENT_UP)
            ws->until = net_now() + WS_CLIENT_SILENCE_MS;
    }
    write_queue(ws);
    return WS_CLIENT_NOTHING;
}

/* The current state has timed out. */
static enum ws_client_event on_timeout(struct ws_client *ws)
{
    if (ws->state == WS_CLIENT_CLOSING)
        return lose(ws, "the server did not say goodbye");
    if (ws->state != WS_CLIENT_UP)
        return lose(ws, "no answer within %d seconds", WS_CLIENT_OPEN_MS / 1000);
    if (ws->pinged)
        return lose(ws, "nothing was heard for %d seconds", 2 * WS_CLIENT_SILENCE_MS / 1000);
    ws->pinged = true;
    ws->until = net_now() + WS_CLIENT_SILENCE_MS;
    queue_frame(ws, WS_PING, "", 0);
    write_queue(ws);
    return WS_CLIENT_NOTHING;
}

static enum ws_client_event step(struct ws_client *ws)
{
    switch (ws->state) {
    case WS_CLIENT_CONNECTING:
        return on_connecting(ws);
    case WS_CLIENT_SECURING:
        return on_securing(ws);
    case WS_CLIENT_ASKING:
        return on_asking(ws);
    case WS_CLIENT_UP:
    case WS_CLIENT_CLOSING:
        return on_up(ws);
    case WS_CLIENT_DOWN:
    case WS_CLIENT_JUDGED:
        break;
    }
    return WS_CLIENT_NOTHING;
}

enum ws_client_event ws_client_next(struct ws_client *ws)
{
    enum ws_client_state before;
    enum ws_client_event event;
    ws->busy = false;
    do {
        before = ws->state;
        event = step(ws);
    } while (event == WS_CLIENT_NOTHING && ws->state != before);
    bool waits = ws->state != WS_CLIENT_DOWN && ws->state != WS_CLIENT_JUDGED;
    if (event == WS_CLIENT_NOTHING && waits && net_now() >= ws->until)
        event = on_timeout(ws);
    ws->busy |= event != WS_CLIENT_NOTHING && ws->state != WS_CLIENT_DOWN;
    return event;
}

int64_t ws_client_wants(const struct ws_client *ws, struct pollfd *wants)
{
    *wants = (struct pollfd){.fd = ws->stream.fd};
    if (ws->state == WS_CLIENT_DOWN || ws->state == WS_CLIENT_JUDGED)
        return INT64_MAX;
    if (ws->busy || ws->stream.fd < 0)
        return 0;
    if (ws->state == WS_CLIENT_CONNECTING)
        wants->events = POLLOUT;
    else
        wants->events = ws->stream.read_wants;
    if (ws->state >= WS_CLIENT_ASKING && ws->out_from < ws->out_len)
        wants->events |= ws->stream.write_wants;
    return ws->until;
}
