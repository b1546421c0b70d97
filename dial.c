/* SPDX-License-Identifier: MIT
 *
 * dial.c - the line to the server, as dial.h promises it.
 *
 * The client's half of what conn.c is for the server: RFC 6455 §4.1 (opening, with url.c), §5.3
 * (masking with a fresh random key for each frame), §5.5 (answering pings, the close handshake), §7.1.
 * A state is left in one place: the function that carries its name.
 */
#include "dial.h"

#include <errno.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

enum {
    OUT_FIRST = 4096,
    KEY_BYTES = 16,
    READS_AT_ONCE = 64, /* before the caller looks elsewhere: a server may never stop sending */
};

void dial_init(struct dial *dial, const struct url *url, struct net_tls *tls)
{
    memset(dial, 0, sizeof(*dial));
    dial->url = url;
    dial->tls = tls;
    dial->stream.fd = -1;
    ws_reader_init(&dial->reader, DIAL_MESSAGE_MAX, false);
}

void dial_drop(struct dial *dial)
{
    dial->trying = NULL;
    net_close(&dial->stream);
    ws_reader_fini(&dial->reader);
    dial->out_from = dial->out_len = 0;
    dial->pinged = dial->busy = false;
    dial->state = DIAL_DOWN;
}

void dial_fini(struct dial *dial)
{
    dial_drop(dial);
    net_forget(dial->addresses);
    dial->addresses = NULL;
    free(dial->out);
    dial->out = NULL;
    dial->out_cap = 0;
}

static enum dial_event lose(struct dial *dial, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static enum dial_event lose(struct dial *dial, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(dial->why, sizeof(dial->why), format, arguments);
    va_end(arguments);
    dial_drop(dial);
    return DIAL_LOST;
}

int64_t dial_patience(struct dial *dial)
{
    unsigned doublings = dial->tries < 6 ? dial->tries : 6;
    uint16_t chance = 0;
    int64_t wait = (int64_t)DIAL_RETRY_MS << doublings;
    if (wait > DIAL_RETRY_MAX_MS)
        wait = DIAL_RETRY_MAX_MS;
    dial->tries++;
    net_random(&chance, sizeof(chance)); /* without it all wait alike, no worse */
    return wait / 2 + wait * chance / UINT16_MAX;
}

/* ---- The way out ---- */

/* Makes room for `len` more bytes behind what is queued; NULL when there is none. */
static unsigned char *room_for(struct dial *dial, size_t len)
{
    if (dial->out_from == dial->out_len)
        dial->out_from = dial->out_len = 0;
    if (len > DIAL_QUEUE_MAX || dial->out_len - dial->out_from > DIAL_QUEUE_MAX - len)
        return NULL;
    if (dial->out_cap - dial->out_len < len && dial->out_from) {
        memmove(dial->out, dial->out + dial->out_from, dial->out_len - dial->out_from);
        dial->out_len -= dial->out_from;
        dial->out_from = 0;
    }
    size_t cap = dial->out_cap ? dial->out_cap : OUT_FIRST;
    while (cap - dial->out_len < len)
        cap *= 2;
    unsigned char *out = cap == dial->out_cap ? dial->out : realloc(dial->out, cap);
    if (!out)
        return NULL;
    dial->out = out;
    dial->out_cap = cap;
    return out + dial->out_len;
}

static int queue_frame(struct dial *dial, enum ws_opcode opcode, const void *payload, size_t len)
{
    unsigned char mask[WS_MASK_BYTES];
    unsigned char *at = room_for(dial, WS_HEAD_MAX + len);
    if (!at || !net_random(mask, sizeof(mask)))
        return -1;
    dial->out_len += ws_write_masked(at, opcode, payload, len, mask);
    return 0;
}

static void queue_close(struct dial *dial, int code)
{
    unsigned char payload[] = {(unsigned char)(code >> 8), (unsigned char)code};
    queue_frame(dial, WS_CLOSE, payload, sizeof(payload));
}

/* Writes what the socket takes. That it is broken shows when it is read, after what came before. */
static void flush(struct dial *dial)
{
    while (dial->out_from < dial->out_len) {
        ssize_t n =
            net_write(&dial->stream, dial->out + dial->out_from, dial->out_len - dial->out_from);
        if (n < 0)
            return;
        dial->out_from += (size_t)n;
    }
}

int dial_send(struct dial *dial, const char *text, size_t len)
{
    return dial->state == DIAL_UP ? queue_frame(dial, WS_TEXT, text, len) : -1;
}

void dial_close(struct dial *dial)
{
    if (dial->state != DIAL_UP)
        return;
    queue_close(dial, WS_CODE_NORMAL);
    dial->state = DIAL_CLOSING;
    dial->until = net_now() + DIAL_CLOSE_MS;
}

/* ---- Opening ---- */

void dial_start(struct dial *dial)
{
    dial_drop(dial);
    dial->v2 = dial->answered = false;
    dial->code = 0;
    dial->until = net_now() + DIAL_OPEN_MS;
    if (!dial->proven) {
        net_forget(dial->addresses);
        dial->addresses = net_look_up(dial->url->host, dial->url->port, dial->why);
    }
    dial->proven = false;
    dial->trying = dial->addresses;
    dial->state = DIAL_CONNECTING;
}

/* Begins with the next address that can be begun with; the look-up's reason stands in `why`. */
static enum dial_event connect_next(struct dial *dial)
{
    if (!dial->addresses) {
        dial_drop(dial);
        return DIAL_LOST;
    }
    for (; dial->trying; dial->trying = dial->trying->ai_next) {
        int fd = net_connect_begin(dial->trying);
        if (fd >= 0 && net_open(&dial->stream, fd, dial->tls) < 0)
            return lose(dial, "out of memory");
        if (fd >= 0)
            return DIAL_NOTHING;
    }
    return lose(dial, "%s", strerror(errno));
}

/* Asks for the WebSocket. */
static enum dial_event ask(struct dial *dial)
{
    unsigned char nonce[KEY_BYTES];
    unsigned char *at = room_for(dial, URL_REQUEST_MAX);
    if (!at || !net_random(nonce, sizeof(nonce)))
        return lose(dial, "out of memory");
    EVP_EncodeBlock((unsigned char *)dial->key, nonce, sizeof(nonce));
    dial->out_len += url_write_request(dial->url, dial->key, (char *)at);
    dial->state = DIAL_ASKING;
    return DIAL_NOTHING;
}

static enum dial_event on_connecting(struct dial *dial)
{
    struct pollfd ready = {.fd = dial->stream.fd, .events = POLLOUT};
    if (dial->stream.fd < 0)
        return connect_next(dial);
    if (poll(&ready, 1, 0) != 1)
        return DIAL_NOTHING;
    if (net_connect_end(dial->stream.fd) < 0) {
        int saved = errno;
        net_close(&dial->stream);
        dial->trying = dial->trying->ai_next;
        errno = saved;
        return connect_next(dial);
    }
    if (!dial->tls)
        return ask(dial);
    dial->state = DIAL_SECURING;
    return net_expect(&dial->stream, dial->url->host) < 0 ? lose(dial, "out of memory")
                                                          : DIAL_NOTHING;
}

static enum dial_event on_securing(struct dial *dial)
{
    int done = net_handshake(&dial->stream);
    if (done < 0)
        return lose(dial, "no TLS: %s", dial->stream.why ? dial->stream.why : strerror(errno));
    if (done == 0)
        return DIAL_NOTHING;
    dial->state = DIAL_JUDGED;
    return DIAL_CERTIFICATE;
}

void dial_trust(struct dial *dial)
{
    if (dial->state == DIAL_JUDGED)
        ask(dial);
}

/* Reads once. Returns what net_read does, or -1 with errno ENOMEM. */
static ssize_t read_some(struct dial *dial)
{
    unsigned char *space;
    size_t room = ws_space(&dial->reader, &space);
    if (room == 0) {
        errno = ENOMEM;
        return -1;
    }
    ssize_t n = net_read(&dial->stream, space, room);
    if (n > 0)
        ws_fed(&dial->reader, (size_t)n);
    return n;
}

static enum dial_event lose_reading(struct dial *dial, ssize_t n)
{
    if (n == 0)
        return lose(dial, "the connection ended");
    return lose(dial, "%s", dial->stream.why ? dial->stream.why : strerror(errno));
}

static enum dial_event on_asking(struct dial *dial)
{
    unsigned char *head;
    char why[URL_WHY_MAX];
    flush(dial);
    for (;;) {
        size_t len = ws_peek(&dial->reader, &head);
        long used = len ? url_read_answer((char *)head, len, dial->key, &dial->v2, why) : 0;
        if (used < 0)
            return lose(dial, "%s", why);
        if (used > 0) {
            ws_skip(&dial->reader, (size_t)used);
            dial->state = DIAL_UP;
            dial->answered = dial->proven = true;
            dial->until = net_now() + DIAL_SILENCE_MS;
            return DIAL_OPENED;
        }
        ssize_t n = read_some(dial);
        if (n < 0 && errno == EAGAIN)
            return DIAL_NOTHING;
        if (n <= 0)
            return lose_reading(dial, n);
    }
}

/* ---- Up ---- */

/* Answers with a Close frame as far as the socket takes it, and ends the line. */
static enum dial_event end(struct dial *dial, int code, const char *reason, size_t len)
{
    if (dial->state == DIAL_UP)
        queue_close(dial, code == WS_CODE_NONE ? WS_CODE_NORMAL : code);
    flush(dial);
    net_finish(&dial->stream);
    return lose(dial, "%.*s", (int)len, reason);
}

/* What the reader found. DIAL_NOTHING: it has been dealt with. */
static enum dial_event on_event(struct dial *dial, const struct ws_event *event)
{
    switch (event->opcode) {
    case WS_TEXT:
        dial->text = (const char *)event->payload;
        dial->text_len = event->len;
        return DIAL_TEXT;
    case WS_PING:
        queue_frame(dial, WS_PONG, event->payload, event->len);
        return DIAL_NOTHING;
    case WS_CLOSE:
        dial->code = event->code;
        return end(dial, event->code, (const char *)event->payload, event->len);
    case WS_BINARY:
        return end(dial, WS_CODE_UNSUPPORTED, "the server sent a binary message", 32);
    case WS_CONTINUATION:
    case WS_PONG:
        break;
    }
    return DIAL_NOTHING;
}

static enum dial_event on_up(struct dial *dial)
{
    struct ws_event event;
    for (int reads = 0; reads < READS_AT_ONCE;) {
        int found = ws_next(&dial->reader, &event);
        if (found < 0)
            return end(dial, event.code, event.why, strlen(event.why));
        enum dial_event told = found ? on_event(dial, &event) : DIAL_NOTHING;
        if (told != DIAL_NOTHING)
            return told;
        if (found)
            continue;
        ssize_t n = read_some(dial);
        dial->busy = n > 0;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n <= 0)
            return lose_reading(dial, n);
        reads++;
        dial->pinged = false;
        if (dial->state == DIAL_UP)
            dial->until = net_now() + DIAL_SILENCE_MS;
    }
    flush(dial);
    return DIAL_NOTHING;
}

/* The present state has lasted too long. */
static enum dial_event on_timeout(struct dial *dial)
{
    if (dial->state == DIAL_CLOSING)
        return lose(dial, "the server did not say goodbye");
    if (dial->state != DIAL_UP)
        return lose(dial, "no answer within %d seconds", DIAL_OPEN_MS / 1000);
    if (dial->pinged)
        return lose(dial, "nothing was heard for %d seconds", 2 * DIAL_SILENCE_MS / 1000);
    dial->pinged = true;
    dial->until = net_now() + DIAL_SILENCE_MS;
    queue_frame(dial, WS_PING, "", 0);
    flush(dial);
    return DIAL_NOTHING;
}

static enum dial_event step(struct dial *dial)
{
    switch (dial->state) {
    case DIAL_CONNECTING:
        return on_connecting(dial);
    case DIAL_SECURING:
        return on_securing(dial);
    case DIAL_ASKING:
        return on_asking(dial);
    case DIAL_UP:
    case DIAL_CLOSING:
        return on_up(dial);
    case DIAL_DOWN:
    case DIAL_JUDGED:
        break;
    }
    return DIAL_NOTHING;
}

enum dial_event dial_next(struct dial *dial)
{
    enum dial_state before;
    enum dial_event event;
    dial->busy = false;
    do {
        before = dial->state;
        event = step(dial);
    } while (event == DIAL_NOTHING && dial->state != before);
    bool waits = dial->state != DIAL_DOWN && dial->state != DIAL_JUDGED;
    if (event == DIAL_NOTHING && waits && net_now() >= dial->until)
        event = on_timeout(dial);
    dial->busy |= event != DIAL_NOTHING && dial->state != DIAL_DOWN;
    return event;
}

int64_t dial_wants(const struct dial *dial, struct pollfd *wants)
{
    *wants = (struct pollfd){.fd = dial->stream.fd};
    if (dial->state == DIAL_DOWN || dial->state == DIAL_JUDGED)
        return INT64_MAX;
    if (dial->busy || dial->stream.fd < 0)
        return 0;
    if (dial->state == DIAL_CONNECTING)
        wants->events = POLLOUT;
    else
        wants->events = dial->stream.read_wants;
    if (dial->state >= DIAL_ASKING && dial->out_from < dial->out_len)
        wants->events |= dial->stream.write_wants;
    return dial->until;
}
