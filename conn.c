/* SPDX-License-Identifier: MIT
 *
 * conn.c - one connection, as conn.h promises it.
 *
 * Runs in the connection's own thread and blocks in net_wait only. It reads under the write lock
 * (outbox_read), because a read may have to write in TLS. RFC 6455 §4.2 (upgrade), §5.5 (close,
 * ping, pong), §7 (closing). Frames are ws.c's matter, request heads http.c's.
 */
#include "conn.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "metrics.h"
#include "thread.h"

enum {
    READ_BURST = 16 * 1024,
    RECEIPT_LOOK_MS =
        100, /* at the least so often it is looked how much of a response has arrived */
};

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

int conn_init(struct conn *conn, int fd, struct net_tls *tls, const struct conn_limits *limits)
{
    memset(conn, 0, sizeof(*conn));
    outbox_init(&conn->out, limits->queue_max);
    ws_reader_init(&conn->reader, limits->max_message, true);
    conn->limits = limits;
    conn->heard = net_now();
    conn->frame_until = INT64_MAX;
    conn->overhead = NET_AHEAD_MAX;
    conn->messages = (struct conn_bucket){2 * limits->messages, conn->heard};
    conn->bytes = (struct conn_bucket){4 * limits->bytes, conn->heard};
    return net_open(&conn->out.stream, fd, tls);
}

void conn_fini(struct conn *conn)
{
    outbox_fini(&conn->out);
    ws_reader_fini(&conn->reader);
}

/* ---- Rates ---- */

/* Refills a bucket, takes `amount` and returns how many milliseconds it will be owing. */
static int64_t take(struct conn_bucket *bucket, int64_t now, double rate, double burst,
                    double amount)
{
    if (rate <= 0)
        return 0;
    bucket->tokens += rate * (double)(now - bucket->refilled) / 1000;
    if (bucket->tokens > burst)
        bucket->tokens = burst;
    bucket->refilled = now;
    bucket->tokens -= amount;
    return bucket->tokens < 0 ? (int64_t)(-bucket->tokens * 1000 / rate) + 1 : 0;
}

/* What a client may send in a second has gathered again: it has paused. */
static bool has_paused(const struct conn *conn)
{
    const struct conn_limits *limits = conn->limits;
    return conn->messages.tokens >= limits->messages && conn->bytes.tokens >= limits->bytes;
}

/* Counts what came. The time that a client is not read for that is counted neither as its silence nor
 * against its next frame. */
static void charge(struct conn *conn, double messages, double bytes)
{
    const struct conn_limits *limits = conn->limits;
    int64_t now = net_now();
    int64_t pause = take(&conn->messages, now, limits->messages, 2 * limits->messages, messages);
    int64_t other = take(&conn->bytes, now, limits->bytes, 4 * limits->bytes, bytes);
    if (other > pause)
        pause = other;
    if (has_paused(conn))
        conn->over_since = 0;
    if (!pause)
        return;
    if (!conn->over_since)
        conn->over_since = now;
    conn->too_fast = limits->too_fast_ms && now - conn->over_since >= limits->too_fast_ms;
    conn->unread_until = now + pause;
    conn->heard = conn->unread_until;
    conn->frame_until = INT64_MAX;
}

/* KeyUpdates and the like (RFC 8446 §4.6.3) are no frames, and cost us something all the same. What
 * TLS only has not handed out yet looks like them; as so much is free, no byte is counted twice. */
static void charge_overhead(struct conn *conn)
{
    int64_t more = conn->out.stream.overhead - conn->overhead;
    if (more <= 0)
        return;
    conn->overhead += more;
    charge(conn, 0, (double)more);
}

static bool over_rate(const struct conn *conn)
{
    return conn->unread_until && net_now() < conn->unread_until;
}

/* ---- Reading ---- */

static int over(struct conn *conn, const char *why)
{
    if (!conn->why)
        conn->why = why;
    return -1;
}

/* One read. Returns the bytes read, 0 when none are there now, or -1 when no more will come. */
static ssize_t read_once(struct conn *conn)
{
    unsigned char *space;
    bool drained = true;
    size_t len = ws_space(&conn->reader, &space);
    if (len == 0)
        return over(conn, "out of memory");
    ssize_t n = outbox_read(&conn->out, space, len, &drained);
    conn->more = n > 0 && !drained;
    if (n > 0)
        ws_fed(&conn->reader, (size_t)n);
    if (n > 0 || (n < 0 && errno == EAGAIN))
        return n > 0 ? n : 0;
    conn->ended = true;
    conn->cut = n < 0;
    return over(conn, n == 0 ? "connection ended" : "connection lost");
}

/* Reads what is there: what came in one burst, in several TLS records perhaps, is heard in one. A
 * burst is READ_BURST bytes at the most, so that what was heard does not wait for ever. Returns 0, or
 * -1 when no more will come and nothing has. */
static int read_some(struct conn *conn)
{
    ssize_t n, total = 0;
    do {
        n = read_once(conn);
        total += n > 0 ? n : 0;
    } while (n > 0 && conn->more && total < READ_BURST);
    if (total > 0) {
        metrics_add(METRIC_BYTES_IN, total);
        conn->heard = net_now();
        conn->pinged = conn->resting = false;
    }
    charge_overhead(conn);
    return n < 0 && total == 0 ? -1 : 0;
}

/* ---- Handshakes ---- */

static int refuse(struct conn *conn, int status, const char *why, bool head_only)
{
    char response[HTTP_RESPONSE_MAX];
    metrics_refused_status(status);
    conn_respond(conn, response, http_write_refusal(response, status, why, head_only), NULL, 0);
    return over(conn, why);
}

/* Who opened http:// where https:// is spoken is sent there: nothing else is answered in the clear. */
static int send_to_tls(struct conn *conn, const struct http_request *request)
{
    char response[HTTP_RESPONSE_MAX];
    conn_respond(conn, response, http_write_to_tls(response, request), NULL, 0);
    return over(conn, "plain HTTP where TLS is spoken");
}

static int handshake_tls(struct conn *conn, int64_t until)
{
    struct net_stream *stream = &conn->out.stream;
    int done;
    while ((done = net_handshake(stream)) == 0) {
        net_wait(stream->fd, stream->read_wants, until);
        if (outbox_state(&conn->out).closing)
            return over(conn, "closed by the server");
        if (net_now() >= until)
            return over(conn, "TLS handshake took too long");
    }
    if (done > 0 || stream->plain_http)
        return 0;
    return over(conn, stream->why ? stream->why : "TLS handshake broken off");
}

static int fail(struct conn *conn, enum metric what, const char *why)
{
    metrics_add(what, 1);
    return over(conn, why);
}

/* Reads the request head. */
static int read_request(struct conn *conn, int64_t until, const char *protocol,
                        struct http_request *request)
{
    conn->more = true; /* the first bytes may have come along with the handshake */
    for (;;) {
        unsigned char *head;
        const char *why = NULL;
        size_t len = ws_peek(&conn->reader, &head);
        long used = len ? http_parse((char *)head, len, protocol, request, &why) : 0;
        if (used < 0)
            return refuse(conn, (int)-used, why, request->head_only);
        if (used > 0 && conn->out.stream.plain_http)
            return send_to_tls(conn, request);
        if (used > 0) {
            ws_skip(&conn->reader, (size_t)used);
            return 0;
        }
        if (net_now() >= until)
            return fail(conn, METRIC_REQUEST_FAILED, "request head took too long");
        if (conn_wait(conn, until) < 0)
            return fail(conn, METRIC_REQUEST_FAILED, "no request");
    }
}

int conn_handshake(struct conn *conn, const char *protocol, struct http_request *request)
{
    int64_t until = net_now() + conn->limits->handshake_ms;
    if (handshake_tls(conn, until) == 0)
        return read_request(conn, until, protocol, request);
    metrics_add(METRIC_TLS_FAILED, 1);
    return -1;
}

static void post(struct conn *conn, enum outbox_kind kind, int opcode, const void *bytes,
                 size_t len)
{
    struct frame *frame = frame_new(opcode, bytes, len);
    if (frame)
        outbox_post(&conn->out, kind, frame);
    else
        outbox_close(&conn->out, WS_CODE_TRY_LATER, "out of memory");
    frame_drop(frame);
}

void conn_respond(struct conn *conn, const char *head, size_t head_len, const void *body,
                  size_t len)
{
    struct frame *response = frame_join(head, head_len, body, len);
    if (response)
        outbox_post(&conn->out, OUTBOX_RESPONSE, response);
    outbox_flush(&conn->out);
    frame_drop(response);
    conn->ended = true;
}

void conn_upgrade(struct conn *conn, const struct http_request *request, const char *protocol)
{
    char accept[WS_ACCEPT_MAX], response[HTTP_RESPONSE_MAX];
    ws_accept_key(request->key.at, accept);
    size_t len = http_write_switch(response, accept, protocol);
    struct frame *head = frame_new(-1, response, len);
    conn->upgraded = head && outbox_open(&conn->out, head);
    if (!head)
        over(conn, "out of memory");
    conn->heard = net_now();
    frame_drop(head);
}

/* ---- Messages in ---- */

/* We have had enough of this client. */
static int refuse_more(struct conn *conn, struct ws_event *event, const char *why)
{
    event->code = WS_CODE_POLICY;
    event->why = why;
    conn->ended = true;
    return over(conn, why);
}

/* A frame that has begun must be whole in time, however its bytes trickle in. */
static int check_frame(struct conn *conn, struct ws_event *event)
{
    uint64_t frame = ws_unfinished(&conn->reader);
    int64_t now = frame ? net_now() : 0;
    if (frame != conn->frame || conn->frame_until == INT64_MAX)
        conn->frame_until = frame ? now + conn->limits->frame_ms : INT64_MAX;
    conn->frame = frame;
    return now < conn->frame_until ? 0
                                   : refuse_more(conn, event, "a frame took too long to arrive");
}

int conn_next(struct conn *conn, struct ws_event *event)
{
    while (!conn->too_fast && !over_rate(conn)) {
        int found = ws_next(&conn->reader, event);
        if (found == 0)
            return check_frame(conn, event);
        if (found < 0) {
            conn->ended = true;
            return over(conn, event->why);
        }
        charge(conn, 1, (double)event->len); /* every frame: a flood of pings is like any other */
        if (conn->too_fast)
            break;
        if (event->opcode == WS_TEXT || event->opcode == WS_BINARY)
            return 1;
        if (event->opcode == WS_CLOSE) { /* §5.5.1: answered with the same code */
            conn->ended = conn->farewell = true;
            event->why = "";
            return over(conn, "closed by the client");
        }
        if (event->opcode == WS_PING) { /* §5.5.3: the newest one is answered */
            post(conn, OUTBOX_PONG, WS_PONG, event->payload, event->len);
            outbox_flush(&conn->out);
        }
    }
    return conn->too_fast ? refuse_more(conn, event, "too fast: over the rate for too long") : 0;
}

/* ---- Waiting ---- */

/* Pings a silent peer, and says when to look again; -1 when it was silent for too long. */
static int64_t check_silence(struct conn *conn)
{
    int64_t silent = net_now() - conn->heard, limit = conn->limits->ping_ms;
    if (!conn->upgraded)
        return INT64_MAX;
    if (silent >= 2 * limit) {
        conn->cut = conn->silent = true;
        return over(conn, "no answer to a ping");
    }
    if (silent >= limit && !conn->pinged) {
        conn->pinged = true;
        post(conn, OUTBOX_PING, WS_PING, "", 0);
        outbox_flush(&conn->out);
    }
    return conn->heard + (conn->pinged ? 2 * limit : limit);
}

/* Nothing has come for a while: gives back what the client does not need to be there. Returns when
 * to look at that again. */
static int64_t rest(struct conn *conn)
{
    int64_t due = conn->heard + CONN_REST_MS;
    if (conn->resting || !conn->upgraded)
        return INT64_MAX;
    if (net_now() < due)
        return due;
    conn->resting = true;
    net_rest();
    thread_rest_stack();
    return INT64_MAX;
}

/* When the connection ends at the latest, now that it is being closed. */
static int64_t close_end(struct conn *conn)
{
    if (!conn->close_until)
        conn->close_until = net_now() + CONN_CLOSE_MS;
    return conn->close_until;
}

int conn_wait(struct conn *conn, int64_t until)
{
    int64_t look = check_silence(conn); /* first: its ping may be what blocks the outbox */
    struct outbox_state state = outbox_state(&conn->out);
    if (look < 0)
        return -1;
    if (state.too_slow)
        return over(conn, "too slow");
    if (state.broken)
        return over(conn, "connection lost");
    if (state.closing && (!state.events || net_now() >= close_end(conn)))
        return over(conn, "closed by the server");

    bool listening = !over_rate(conn) && !state.closing;
    bool more = listening && conn->more;
    if (listening && conn->ended)
        return -1;
    if (more && !state.events)
        return read_some(conn);
    if (!listening)
        look = earlier(look, state.closing ? close_end(conn) : conn->unread_until);
    ws_rest(&conn->reader);
    look = earlier(earlier(look, conn->frame_until), rest(conn));

    short events = state.events;
    if (listening)
        events |= conn->out.stream.read_wants;
    int64_t end = more ? 0 : earlier(until, look);
    short ready = net_wait(events ? conn->out.stream.fd : -1, events, end);
    if (state.events && ready)
        outbox_flush(&conn->out);
    return listening && (ready || more) ? read_some(conn) : 0;
}

/* ---- Messages out, and the end ---- */

void conn_send(struct conn *conn, enum ws_opcode opcode, const void *payload, size_t len)
{
    post(conn, OUTBOX_MESSAGE, (int)opcode, payload, len);
    outbox_flush(&conn->out);
}

void conn_close(struct conn *conn, int code, const char *why)
{
    outbox_close(&conn->out, code, why);
}

/* Looks through what was read after our Close frame for nothing but the peer's. */
static void look_for_close(struct conn *conn)
{
    struct ws_event event;
    int found;
    while ((found = ws_next(&conn->reader, &event)) > 0 && event.opcode != WS_CLOSE)
        ;
    if (found != 0)
        conn->ended = true;
}

/* Throws away what still comes, so that closing the socket does not reset the connection and take
 * our last bytes with it. Returns false at the end of the stream. */
static bool discard(struct conn *conn)
{
    unsigned char *bytes;
    ws_skip(&conn->reader, ws_peek(&conn->reader, &bytes));
    return read_some(conn) == 0;
}

/* Sends what is left and waits until the peer, too, has said its last. */
static void close_handshake(struct conn *conn, int64_t until)
{
    if (!conn->ended)
        look_for_close(conn);
    while (net_now() < until) {
        struct outbox_state state = outbox_state(&conn->out);
        bool awaited = state.closing && conn->upgraded && !conn->ended;
        if (state.broken || state.hurried || (!state.events && !awaited))
            return;
        short events = state.events;
        if (!conn->ended)
            events |= conn->out.stream.read_wants;
        bool more = conn->more && !conn->ended;
        short ready = net_wait(conn->out.stream.fd, events, more ? 0 : until);
        if (ready && state.events)
            outbox_flush(&conn->out);
        if ((ready || more) && !conn->ended && read_some(conn) == 0)
            look_for_close(conn);
    }
}

/* How long we wait for a peer to take a response. */
struct patience {
    int64_t end;   /* whatever it does */
    int64_t until; /* when it takes nothing before */
    size_t left;   /* bytes it had not taken when we looked last */
    int64_t pause; /* between two looks: short at first, for most are gone in a moment */
};

static int64_t next_look(struct patience *patience)
{
    patience->pause = earlier(2 * patience->pause + 1, RECEIPT_LOOK_MS);
    return net_now() + patience->pause;
}

/* Looks how much the peer has taken. Returns false when that is all, it had its time, or its place is
 * needed. */
static bool is_patient(struct conn *conn, struct patience *patience)
{
    int64_t now = net_now();
    struct outbox_state state = outbox_state(&conn->out);
    size_t left = state.unsent + net_unacknowledged(conn->out.stream.fd);
    if (left < patience->left)
        patience->until = earlier(now + CONN_CLOSE_MS, patience->end);
    if (left < patience->left)
        patience->left = left;
    return left > 0 && !state.hurried && now < patience->until;
}

/* Gives the whole response to the system. */
static void push_response(struct conn *conn, struct patience *patience)
{
    struct outbox_state state;
    while (is_patient(conn, patience) && (state = outbox_state(&conn->out)).events)
        if (net_wait(conn->out.stream.fd, state.events, next_look(patience)))
            outbox_flush(&conn->out);
}

/* Waits until the peer has all of it. Returns whether it does. A peer that said its last may still be
 * taking; when it is gone for good, the socket has an error. */
static bool await_receipt(struct conn *conn, struct patience *patience)
{
    int fd = conn->out.stream.fd;
    bool talking = true;
    while (!conn->cut && is_patient(conn, patience)) {
        if (net_wait(talking ? fd : -1, POLLIN, next_look(patience)))
            talking = discard(conn);
        if (!talking && net_wait(fd, 0, 0) & POLLERR)
            conn->cut = true;
    }
    return !conn->cut && patience->left == 0;
}

/* Lets the last bytes arrive, until the peer closes, too. */
static void drain(struct conn *conn, int64_t until)
{
    while (net_now() < until && !outbox_state(&conn->out).hurried)
        if (net_wait(conn->out.stream.fd, POLLIN, until) && !discard(conn))
            return;
}

void conn_finish(struct conn *conn)
{
    struct net_stream *stream = &conn->out.stream;
    int64_t until = close_end(conn);
    struct patience patience = {.end = net_now() + CONN_RESPONSE_MS, .left = SIZE_MAX};
    if (!conn->cut && conn->upgraded)
        close_handshake(conn, until);
    else if (!conn->cut)
        push_response(conn, &patience);
    if (conn->cut || stream->broken || outbox_state(&conn->out).events) {
        net_abandon(stream); /* a peer that takes nothing costs no memory in the kernel */
        return;
    }
    net_finish(stream);
    if (conn->upgraded)
        drain(conn, earlier(until, net_now() + CONN_DRAIN_MS));
    else if (await_receipt(conn, &patience))
        drain(conn, net_now() + CONN_DRAIN_MS);
    else
        net_abandon(stream);
}
