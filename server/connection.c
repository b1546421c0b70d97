/* SPDX-License-Identifier: MIT
 *
 * connection.c - one connection: handshakes, messages in, pings. connection_end.c answers requests
 * and closes.
 *
 * Runs in the connection's own thread and blocks only in net_wait and stream_await_input. It reads
 * under the stream's lock, because other threads may send meanwhile, and a TLS read may have to
 * write. RFC 6455 §4.2 (upgrade), §5.5 (close, ping, pong), §7 (closing). ws.c parses frames,
 * http_request.c request heads.
 */
#include "server/connection.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "server/handshake.h"
#include "base/metrics.h"
#include "server/limits/source.h"
#include "base/thread_pool.h"
#include "lib/http/http_response.h"

enum {
    READ_BURST = 16 * 1024,
    CALM_MS = 1000, /* after its outbox was blocked a connection waits in poll(2) only */
    KEEP_AFTER = 8, /* brisk inputs in a row after which the empty input buffer is kept */
};

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Limits the bytes that the kernel buffers of a client with rates to a quarter of a second's worth,
 * because the client is not read while it is over its rate. That suffices for its rate on a line
 * with that round trip. */
static void limit_unread(struct connection *conn, int fd)
{
    const struct rate_limits *limits = &conn->limits->rate;
    if (conn->unread_limited || (limits->bytes <= 0 && limits->messages <= 0))
        return;
    conn->unread_limited = true;
    net_limit_unread(fd, (size_t)(limits->bytes / 4));
}

int connection_init(struct connection *conn, int fd, struct tls_context *tls,
                    const struct connection_limits *limits)
{
    memset(conn, 0, sizeof(*conn));
    outbox_init(&conn->out, &conn->stream, limits->queue_max);
    ws_reader_init(&conn->reader, limits->max_message, true);
    conn->limits = limits;
    conn->heard = net_now();
    conn->handshake_until = conn->heard + limits->handshake_ms;
    conn->keep_until = conn->heard + CONNECTION_KEEP_MS;
    conn->frame_until = INT64_MAX;
    conn->overhead = STREAM_AHEAD_MAX;
    rate_init(&conn->rate, &limits->rate, conn->heard);
    limit_unread(conn, fd);
    return stream_open(&conn->stream, fd, tls);
}

void connection_fini(struct connection *conn)
{
    outbox_fini(&conn->out);
    stream_close(&conn->stream);
    ws_reader_fini(&conn->reader);
}

/* ---- Rate limits ---- */

/* Stops reading for a while. That time counts neither as silence of the client nor against the
 * deadline of its next frame. */
static void pause_reading(struct connection *conn, int64_t now, int64_t pause)
{
    conn->unread_until = now + pause;
    limit_unread(conn, conn->stream.fd); /* it may have had no rates at first */
    conn->heard = conn->unread_until;
    conn->frame_until = INT64_MAX;
}

void connection_hold(struct connection *conn, bool held)
{
    if (conn->held == held)
        return;
    conn->held = held;
    limit_unread(conn, conn->stream.fd);
    conn->heard = conn->pinged_at = net_now();
    conn->frame_until = INT64_MAX;
}

void connection_pause(struct connection *conn, int64_t ms)
{
    pause_reading(conn, net_now(), ms);
}

bool connection_has_unheard(const struct connection *conn)
{
    unsigned char *bytes;
    return ws_peek(&conn->reader, &bytes) > 0;
}

/* Pauses if the source owes for its connections. Does not make this one too fast. */
static bool source_pauses(struct connection *conn)
{
    if (!conn->limits->rate.source || !connection_has_unheard(conn))
        return false;
    int64_t pause = source_owes(conn->limits->rate.source);
    if (pause > 0)
        pause_reading(conn, net_now(), pause);
    return pause > 0;
}

/* Charges input to the rate limits, if there are any, and pauses if they are exceeded. */
static void charge(struct connection *conn, double messages, double bytes)
{
    const struct rate_limits *limits = &conn->limits->rate;
    if (limits->messages <= 0 && limits->bytes <= 0)
        return;
    int64_t now = net_now();
    int64_t pause = rate_charge(&conn->rate, limits, now, messages, bytes);
    if (pause > 0)
        pause_reading(conn, now, pause);
}

void connection_charge(struct connection *conn, size_t bytes)
{
    if (bytes > 0)
        charge(conn, 0, (double)bytes);
}

/* Charges TLS records that are no frames, such as KeyUpdate (RFC 8446 §4.6.3), because they cost
 * time, too. Bytes that TLS has not returned yet look the same; an allowance of as many bytes keeps
 * them from being charged twice. */
static void charge_overhead(struct connection *conn)
{
    int64_t more = conn->stream.overhead - conn->overhead;
    if (more <= 0)
        return;
    conn->overhead += more;
    charge(conn, 0, (double)more);
}

static bool over_rate(const struct connection *conn)
{
    return conn->held || (conn->unread_until && net_now() < conn->unread_until);
}

/* ---- Reading ---- */

int connection_set_end_reason(struct connection *conn, const char *why)
{
    if (!conn->why)
        conn->why = why;
    return -1;
}

/* Takes the result of a read. Returns as read_once. */
static ssize_t take_read(struct connection *conn, ssize_t n, bool alerted)
{
    if (n > 0)
        ws_commit(&conn->reader, (size_t)n);
    if (n > 0 || (n < 0 && errno == EAGAIN))
        return n > 0 ? n : 0;
    conn->ended = true;
    conn->cut = n < 0 && !alerted;
    return connection_set_end_reason(conn, n == 0 ? "connection ended" : "connection lost");
}

/* Space for input. Returns its size, or 0 when memory is out; then the connection has ended. */
static size_t reserve_input(struct connection *conn, unsigned char **space)
{
    size_t len = ws_reserve(&conn->reader, space);
    if (len > 0)
        return len;
    conn->more = false; /* what lies in the socket would end each wait at once */
    conn->ended = true;
    connection_set_end_reason(conn, "out of memory");
    return 0;
}

/* One read. Returns the bytes read, 0 when none are there now, or -1 when no more will come. */
static ssize_t read_once(struct connection *conn)
{
    unsigned char *space;
    size_t len = reserve_input(conn, &space);
    if (len == 0)
        return -1;
    pthread_mutex_lock(&conn->stream.lock);
    ssize_t n = stream_read(&conn->stream, space, len);
    bool alerted = conn->stream.alerted;
    conn->more = n > 0 && !conn->stream.drained;
    pthread_mutex_unlock(&conn->stream.lock);
    return take_read(conn, n, alerted);
}

/* Waits for plain input. Returns as read_once. */
static ssize_t await_plain(struct connection *conn)
{
    unsigned char *space;
    size_t len = reserve_input(conn, &space);
    if (len == 0)
        return -1;
    ssize_t n = stream_await_input(&conn->stream, space, len);
    conn->more = n == (ssize_t)len;
    return take_read(conn, n, false);
}

/* The same over TLS. OpenSSL is entered only when input has come, so that others can send while
 * this waits. */
static ssize_t await_tls(struct connection *conn)
{
    unsigned char raw[READ_BURST];
    ssize_t n = stream_await_input(&conn->stream, raw, sizeof(raw)), total = 0;
    if (n < 0)
        return take_read(conn, n, false);
    if (n == 0)
        return read_once(conn); /* OpenSSL takes notice of the end */
    stream_feed(&conn->stream, raw, (size_t)n);
    do {
        n = read_once(conn);
        total += n > 0 ? n : 0;
    } while (n > 0 && conn->more);
    pthread_mutex_lock(&conn->stream.lock);
    stream_keep_fed(&conn->stream);
    pthread_mutex_unlock(&conn->stream.lock);
    return total > 0 ? total : n;
}

/* The first read of a burst. */
static ssize_t begin_burst(struct connection *conn)
{
    bool awaits = conn->awaits;
    conn->awaits = false;
    if (!awaits)
        return read_once(conn);
    return conn->stream.ssl ? await_tls(conn) : await_plain(conn);
}

/* Reads a burst, which may be in several TLS records, at once. A burst is limited to READ_BURST
 * bytes, so that messages are answered in time. */
int connection_read(struct connection *conn)
{
    ssize_t n = begin_burst(conn);
    ssize_t total = n > 0 ? n : 0;
    while (n > 0 && conn->more && total < READ_BURST) {
        n = read_once(conn);
        total += n > 0 ? n : 0;
    }
    if (total == 0) {
        conn->brisk = 0;
    } else {
        int64_t now = net_now();
        conn->brisk = now - conn->heard < STREAM_PATIENCE_MS ? conn->brisk + 1 : 0;
        metrics_add(METRIC_BYTES_IN, total);
        conn->received += (uint64_t)total;
        conn->heard = now;
        conn->pinged = conn->idle_memory_released = false;
    }
    charge_overhead(conn);
    return n < 0 && total == 0 ? -1 : 0;
}

/* Reads what is in the socket before a deadline is enforced, because the whole process may have
 * been stopped for a while. Returns whether there was any input. */
static bool read_late(struct connection *conn)
{
    uint64_t before = conn->received;
    return !conn->ended && connection_read(conn) == 0 && conn->received != before;
}

/* ---- Handshakes ---- */

static int refuse_request(struct connection *conn, int status, const char *why, bool head_only)
{
    char response[HTTP_RESPONSE_MAX];
    metrics_refused_status(status);
    connection_respond(conn, response, http_write_refusal(response, status, why, head_only), NULL,
                       0);
    return connection_set_end_reason(conn, why);
}

/* Redirects http:// to https:// where TLS is spoken. Nothing else is answered without TLS. */
static int send_to_tls(struct connection *conn, const struct http_request *request)
{
    char response[HTTP_RESPONSE_MAX];
    connection_respond(conn, response, http_write_to_tls(response, request), NULL, 0);
    return connection_set_end_reason(conn, "plain HTTP where TLS is spoken");
}

static int fail_request(struct connection *conn, enum metric what, const char *why)
{
    metrics_add(what, 1);
    return connection_set_end_reason(conn, why);
}

/* The request head did not come, or not whole. A connection that was kept may end without one. */
static int lack_request(struct connection *conn, const char *why)
{
    if (conn->requests > 0 && !connection_has_unheard(conn))
        return connection_set_end_reason(conn, "kept connection was not used");
    bool unused = conn->ended && !conn->received;
    return fail_request(conn, unused ? METRIC_UNUSED : METRIC_REQUEST_FAILED, why);
}

int connection_secure(struct connection *conn, const struct sockaddr_storage *source)
{
    const char *why = handshake_run(&conn->out, source, conn->handshake_until);
    enum metric what = why == handshake_unused ? METRIC_UNUSED : METRIC_TLS_FAILED;
    return why ? fail_request(conn, what, why) : 0;
}

int connection_request(struct connection *conn, const char *protocol, struct http_request *request)
{
    conn->more = true; /* the first bytes may have come with the handshake */
    for (;;) {
        unsigned char *head;
        const char *why = NULL;
        size_t len = ws_peek(&conn->reader, &head);
        long used = len ? http_parse((char *)head, len, protocol, request, &why) : 0;
        if (used < 0)
            return refuse_request(conn, (int)-used, why, request->head_only);
        if (used > 0 && conn->stream.plain_http)
            return send_to_tls(conn, request);
        if (used > 0) {
            ws_skip(&conn->reader, (size_t)used);
            conn->requests++;
            request->keep = request->keep && conn->requests < CONNECTION_REQUESTS_MAX &&
                            net_now() < conn->keep_until;
            return 0;
        }
        if (net_now() >= conn->handshake_until)
            return lack_request(conn, "request head took too long");
        int readable = connection_poll(conn, conn->handshake_until);
        if (readable < 0 || (readable && connection_read(conn) < 0))
            return lack_request(conn, "no request");
    }
}

static void post(struct connection *conn, enum outbox_kind kind, int opcode, const void *bytes,
                 size_t len)
{
    struct frame *frame = frame_new(opcode, bytes, len);
    if (frame)
        outbox_post(&conn->out, kind, frame);
    else
        outbox_close(&conn->out, WS_CODE_TRY_LATER, "out of memory");
    frame_drop(frame);
}

void connection_upgrade(struct connection *conn, const struct http_request *request,
                        const char *protocol)
{
    char accept[WS_ACCEPT_MAX], response[HTTP_RESPONSE_MAX];
    ws_accept_key(request->key.at, accept);
    size_t len = http_write_switch(response, accept, protocol);
    struct frame *head = frame_new(-1, response, len);
    conn->upgraded = head && outbox_open(&conn->out, head);
    if (!head)
        connection_set_end_reason(conn, "out of memory");
    conn->heard = net_now();
    frame_drop(head);
}

/* ---- Messages in ---- */

/* Reads no more of this client: it will be closed with 1008. */
static int refuse_more(struct connection *conn, struct ws_event *event, const char *why)
{
    event->code = WS_CODE_POLICY;
    event->why = why;
    conn->ended = true;
    return connection_set_end_reason(conn, why);
}

/* Whether a frame has missed its deadline. The deadline is for the whole frame, so bytes that
 * trickle in do not extend it. */
static bool is_frame_late(struct connection *conn)
{
    uint64_t frame = ws_partial_frame(&conn->reader);
    int64_t now = frame ? net_now() : 0;
    if (frame != conn->frame || conn->frame_until == INT64_MAX)
        conn->frame_until = frame ? now + conn->limits->frame_ms : INT64_MAX;
    conn->frame = frame;
    return now >= conn->frame_until;
}

int connection_next(struct connection *conn, struct ws_event *event)
{
    while (!conn->rate.too_fast && !over_rate(conn) && !source_pauses(conn)) {
        int found = ws_next(&conn->reader, event);
        if (found == 0 && !is_frame_late(conn))
            return 0;
        if (found == 0 && read_late(conn))
            continue;
        if (found == 0)
            return refuse_more(conn, event, "a frame took too long to arrive");
        if (found < 0) {
            conn->ended = true;
            return connection_set_end_reason(conn, event->why);
        }
        charge(conn, 1, (double)event->len); /* every frame counts, pings too */
        if (conn->rate.too_fast)
            break;
        if (event->opcode == WS_TEXT || event->opcode == WS_BINARY)
            return 1;
        if (event->opcode == WS_CLOSE) { /* §5.5.1: answered with the same code */
            conn->ended = conn->farewell = true;
            event->why = "";
            return connection_set_end_reason(conn, "closed by the client");
        }
        if (event->opcode == WS_PING) { /* §5.5.3: the newest one is answered */
            post(conn, OUTBOX_PONG, WS_PONG, event->payload, event->len);
            outbox_flush(&conn->out);
        }
    }
    return conn->rate.too_fast ? refuse_more(conn, event, "too fast: over the rate for too long")
                               : 0;
}

/* ---- Waiting ---- */

/* Pings a silent peer. Returns when to check again; -1: it did not answer in time. */
static int64_t check_silence(struct connection *conn, int64_t now)
{
    int64_t limit = conn->limits->ping_ms;
    if (!conn->upgraded || conn->held)
        return INT64_MAX;
    if (conn->pinged && now >= conn->pinged_at + limit && !read_late(conn)) {
        conn->silent = !conn->ended;
        conn->cut = true;
        return connection_set_end_reason(conn, "no answer to a ping");
    }
    if (!conn->pinged && now >= conn->heard + limit) {
        conn->pinged = true;
        conn->pinged_at = now;
        post(conn, OUTBOX_PING, WS_PING, "", 0);
        outbox_flush(&conn->out);
    }
    return (conn->pinged ? conn->pinged_at : conn->heard) + limit;
}

/* Releases memory that an idle client does not need. Returns when to check again. */
static int64_t release_idle_memory(struct connection *conn, int64_t now)
{
    int64_t due = conn->heard + CONNECTION_RELEASE_MS;
    if (conn->idle_memory_released || !conn->upgraded)
        return INT64_MAX;
    if (now < due)
        return due;
    conn->idle_memory_released = true;
    tls_thread_cleanup();
    thread_pool_trim_stack();
    return INT64_MAX;
}

int64_t connection_close_deadline(struct connection *conn)
{
    if (!conn->close_until)
        conn->close_until = net_now() + CONNECTION_CLOSE_MS;
    return conn->close_until;
}

/* Whether our side has finished sending, or cannot send any more. Sets conn->why. */
static bool is_over(struct connection *conn, const struct outbox_state *state)
{
    const char *why = NULL;
    if (state->too_slow)
        why = "too slow";
    else if (state->broken)
        why = "connection lost";
    else if (state->closing && (!state->events || net_now() >= connection_close_deadline(conn)))
        why = "closed by the server";
    if (why)
        connection_set_end_reason(conn, why);
    return why;
}

int connection_poll(struct connection *conn, int64_t until)
{
    uint64_t before = conn->received;
    int64_t now = net_now();
    int64_t look = check_silence(conn, now); /* first, because its ping may block the outbox */
    if (look < 0 || conn->received != before)
        return look < 0 ? -1 : 0;
    struct outbox_state state = outbox_state(&conn->out);
    bool listening = !over_rate(conn) && !state.closing;
    if (is_over(conn, &state) || (listening && conn->ended))
        return -1;
    bool more = listening && conn->more;
    if (more && !state.events)
        return 1;

    if (state.closing)
        look = earlier(look, connection_close_deadline(conn));
    else if (!listening && !conn->held)
        look = earlier(look, conn->unread_until);
    if (!conn->held && conn->brisk < KEEP_AFTER)
        ws_release_idle(&conn->reader);
    look = earlier(earlier(look, conn->frame_until), release_idle_memory(conn, now));
    short events = state.events;
    if (listening)
        events |= conn->stream.read_wants;
    int64_t end = more ? 0 : earlier(until, look);
    if (conn->blocks != state.blocks)
        conn->calm_until = now + CALM_MS;
    conn->blocks = state.blocks;
    if (conn->brisk > 0 && events == POLLIN && end - STREAM_PATIENCE_MS > now &&
        now >= conn->calm_until) {
        conn->awaits = true; /* one call instead of two */
        return 1;
    }
    short ready = net_wait_from(now, events ? conn->stream.fd : -1, events, end);
    if (state.events && ready)
        outbox_flush(&conn->out);
    return listening && (ready || more);
}

/* ---- Sending and closing ---- */

void connection_send(struct connection *conn, enum ws_opcode opcode, const void *payload,
                     size_t len)
{
    post(conn, OUTBOX_MESSAGE, (int)opcode, payload, len);
    outbox_flush(&conn->out);
}

void connection_charge_page(struct connection *conn, size_t cost)
{
    int64_t now = net_now();
    int64_t pause = rate_charge_page(&conn->rate, &conn->limits->rate, now, (double)cost);
    if (pause > 0)
        pause_reading(conn, now, pause);
}

void connection_send_page(struct connection *conn, const char *json, size_t len)
{
    post(conn, OUTBOX_PAGE, WS_TEXT, json, len);
    outbox_flush(&conn->out);
    connection_charge_page(conn, len);
}

void connection_close(struct connection *conn, int code, const char *why)
{
    outbox_close(&conn->out, code, why);
}
