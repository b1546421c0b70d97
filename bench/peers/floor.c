/* SPDX-License-Identifier: MIT
 *
 * floor.c - the floor of the benchmark: a broadcast at the cost of writing its bytes.
 *
 * One thread, epoll, and no chat logic. A member's frame becomes a ready frame at the end of one
 * buffer that all members share; a member is a position in it. Each round of the loop first reads
 * all input, and then sends each member its unsent part with one call. TLS is OpenSSL with its
 * defaults. Nothing is parsed: the text of a message is between the first `"text":"` and the last
 * `"}`. There are no private messages.
 *
 * Bytes that the slowest member has not received stay in the buffer. If a member is LAG_MAX behind,
 * the senders have to wait for it; a member that takes nothing for STALL_MS is closed. ws.c reads
 * frames and the handshake key (RFC 6455 §4.2.2, §5).
 */
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "peer_floor.h"

enum {
    LAG_MAX = 64 << 20, /* bytes that a member may lag before all others wait */
    STALL_MS = 5000,    /* how long they wait */
    STAMP_MAX = 64,     /* room for Id and Time */
    EVENTS = 256,       /* epoll events taken at once */
};

enum state { SECURING, ASKING, PASSWORD, NAMING, PRESENT };

struct member {
    int fd;
    SSL *ssl; /* NULL: plain */
    struct ws_reader reader;
    enum state state;
    bool blocked; /* the socket is full; epoll waits for it */
    size_t position;
    char name[PEER_NAME_MAX + 1];
};

struct buffer {
    unsigned char *bytes;
    size_t len, cap;
};

struct floor {
    struct peer_options options;
    int epoll, listener;
    SSL_CTX *tls;
    struct member **members; /* present members, sorted by name */
    size_t count, cap;
    struct buffer out;
    uint64_t last_id;
    bool changed; /* the last list is out of date */
    int64_t due;  /* when the next list may be sent */
};

/* ---- A member's stream ---- */

/* As send(2), never blocking; errno EAGAIN: later, with the same bytes or more. */
static ssize_t stream_send(struct member *m, const void *bytes, size_t len)
{
    if (!m->ssl)
        return send(m->fd, bytes, len, MSG_NOSIGNAL);
    int n = SSL_write(m->ssl, bytes, len < INT32_MAX ? (int)len : INT32_MAX);
    errno = SSL_get_error(m->ssl, n) == SSL_ERROR_WANT_WRITE ? EAGAIN : EPIPE;
    return n > 0 ? n : -1;
}

/* As recv(2), never blocking. */
static ssize_t stream_recv(struct member *m, void *bytes, size_t len)
{
    if (!m->ssl)
        return recv(m->fd, bytes, len, 0);
    int n = SSL_read(m->ssl, bytes, len < INT32_MAX ? (int)len : INT32_MAX);
    errno = SSL_get_error(m->ssl, n) == SSL_ERROR_WANT_READ ? EAGAIN : EPIPE;
    return n > 0 ? n : -1;
}

/* Sends a short first message, which an empty socket takes whole. */
static bool send_short(struct member *m, const void *bytes, size_t len)
{
    return stream_send(m, bytes, len) == (ssize_t)len;
}

static void watch(const struct floor *f, struct member *m)
{
    struct epoll_event event = {.events = EPOLLIN | (m->blocked ? (uint32_t)EPOLLOUT : 0),
                                .data.ptr = m};
    if (epoll_ctl(f->epoll, EPOLL_CTL_MOD, m->fd, &event) < 0)
        peer_fail("epoll_ctl");
}

/* ---- Members ---- */

/* The index of a name among the members, or where it would be inserted. */
static size_t place_of(const struct floor *f, const char *name)
{
    size_t low = 0, high = f->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (strcmp(f->members[middle]->name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool add(struct floor *f, struct member *m)
{
    size_t at = place_of(f, m->name);
    if (at < f->count && strcmp(f->members[at]->name, m->name) == 0)
        return false;
    if (f->count == f->cap) {
        size_t cap = f->cap ? 2 * f->cap : 64;
        struct member **members = realloc(f->members, cap * sizeof(struct member *));
        if (!members)
            return false;
        f->members = members;
        f->cap = cap;
    }
    memmove(f->members + at + 1, f->members + at, (f->count - at) * sizeof(struct member *));
    f->members[at] = m;
    f->count++;
    f->changed = true;
    return true;
}

/* Closes a connection and frees its member. */
static void drop(struct floor *f, struct member *m)
{
    if (m->state == PRESENT) {
        size_t at = place_of(f, m->name);
        f->count--;
        memmove(f->members + at, f->members + at + 1, (f->count - at) * sizeof(struct member *));
        f->changed = true;
    }
    SSL_free(m->ssl);
    close(m->fd);
    ws_reader_fini(&m->reader);
    free(m);
}

/* ---- The shared buffer ---- */

/* Makes room for `len` more bytes, or ends the program. */
static unsigned char *out_space(struct buffer *out, size_t len)
{
    if (out->cap - out->len < len) {
        size_t cap = 2 * (out->len + len);
        unsigned char *bytes = realloc(out->bytes, cap);
        if (!bytes)
            peer_fail("realloc");
        out->bytes = bytes;
        out->cap = cap;
    }
    return out->bytes + out->len;
}

static void out_put(struct buffer *out, const void *bytes, size_t len)
{
    memcpy(out_space(out, len), bytes, len);
    out->len += len;
}

static void out_text(struct buffer *out, const char *text)
{
    out_put(out, text, strlen(text));
}

static void out_head(struct buffer *out, size_t payload_len)
{
    out->len += ws_write_head(out_space(out, WS_HEAD_MAX), WS_TEXT, payload_len);
}

/* Cuts the text out of a member's message, and wraps it into a ready frame. */
static void relay(struct floor *f, const struct member *m, const char *message, size_t len)
{
    char start[64 + PEER_NAME_MAX], end[STAMP_MAX];
    size_t text_len;
    const char *text = peer_text(message, len, &text_len);
    if (!text)
        return;
    int start_len = snprintf(
        start, sizeof(start),
        "{\"msgType\":\"Broadcast\",\"SrcUser\":\"%s\",\"TgtUser\":\"\"," PEER_TEXT_KEY, m->name);
    int end_len = snprintf(end, sizeof(end), "\",\"Id\":%" PRIu64 ",\"Time\":%" PRId64 "}",
                           ++f->last_id, peer_time_ms());
    out_head(&f->out, (size_t)start_len + text_len + (size_t)end_len);
    out_put(&f->out, start, (size_t)start_len);
    out_put(&f->out, text, text_len);
    out_put(&f->out, end, (size_t)end_len);
}

/* Sends one list for all joins and leaves of a round, or of the time of --presence. */
static void announce(struct floor *f)
{
    static const char start[] = "{\"msgType\":\"OnlineUsers\",\"Users\":[", end[] = "]}";
    size_t len = strlen(start) + strlen(end) + (f->count ? f->count - 1 : 0);
    for (size_t i = 0; i < f->count; i++)
        len += strlen(f->members[i]->name) + 2;
    out_head(&f->out, len);
    out_text(&f->out, start);
    for (size_t i = 0; i < f->count; i++) {
        out_text(&f->out, i == 0 ? "\"" : ",\"");
        out_text(&f->out, f->members[i]->name);
        out_text(&f->out, "\"");
    }
    out_text(&f->out, end);
    f->changed = false;
    f->due = peer_clock_us() + f->options.presence_ms * 1000;
}

static size_t lag(const struct floor *f, const struct member *m)
{
    return f->out.len - m->position;
}

/* Sends a member its unsent bytes, as far as its socket takes them. Returns false when the
 * connection failed. */
static bool push(const struct floor *f, struct member *m)
{
    ssize_t n = stream_send(m, f->out.bytes + m->position, lag(f, m));
    if (n < 0 && errno != EAGAIN)
        return false;
    if (n > 0)
        m->position += (size_t)n;
    if (m->blocked != (lag(f, m) > 0)) {
        m->blocked = !m->blocked;
        watch(f, m);
    }
    return true;
}

/* Waits for a member that is too far behind. Returns false when it must be closed. */
static bool catch_up(const struct floor *f, struct member *m)
{
    struct pollfd writable = {.fd = m->fd, .events = POLLOUT};
    while (lag(f, m) > LAG_MAX / 2)
        if (poll(&writable, 1, STALL_MS) != 1 || !push(f, m))
            return false;
    return true;
}

/* Drops bytes that all members have received. The rest is moved only when at least half
 * of the buffer is dropped, so that no byte is moved more than once or twice. */
static void trim(struct floor *f)
{
    size_t had = f->out.len;
    for (size_t i = 0; i < f->count; i++)
        if (f->members[i]->position < had)
            had = f->members[i]->position;
    if (had == 0 || had < f->out.len / 2)
        return;
    f->out.len -= had;
    memmove(f->out.bytes, f->out.bytes + had, f->out.len);
    for (size_t i = 0; i < f->count; i++)
        f->members[i]->position -= had;
}

static void pump(struct floor *f)
{
    for (size_t i = 0; i < f->count;) {
        struct member *m = f->members[i];
        bool due = !m->blocked && lag(f, m) > 0;
        if ((!due || push(f, m)) && (lag(f, m) <= LAG_MAX || catch_up(f, m)))
            i++;
        else
            drop(f, m);
    }
    trim(f);
}

/* ---- Joining ---- */

/* Answers the request once it is whole. Returns false when it is invalid. */
static bool switch_protocols(struct member *m)
{
    char answer[PEER_ANSWER_MAX];
    int len = peer_upgrade(&m->reader, answer);
    if (len > 0)
        m->state = PASSWORD;
    return len == 0 || (len > 0 && send_short(m, answer, (size_t)len));
}

static bool enter(struct floor *f, struct member *m, const char *name, size_t len)
{
    static const char welcome[] = "\x81\x16{\"ServerName\":\"floor\"}"; /* a whole frame */
    if (!peer_name_ok(name, len))
        return false;
    memcpy(m->name, name, len);
    m->name[len] = '\0';
    if (!send_short(m, welcome, strlen(welcome)) || !add(f, m))
        return false;
    m->position = f->out.len;
    m->state = PRESENT;
    return true;
}

/* ---- Input ---- */

static bool on_text(struct floor *f, struct member *m, const struct ws_event *event)
{
    if (m->state == PASSWORD) /* any password will do */
        m->state = NAMING;
    else if (m->state == NAMING)
        return enter(f, m, (const char *)event->payload, event->len);
    else
        relay(f, m, (const char *)event->payload, event->len);
    return true;
}

static bool take_frames(struct floor *f, struct member *m)
{
    struct ws_event event;
    int result;
    while ((result = ws_next(&m->reader, &event)) > 0) {
        if (event.opcode == WS_CLOSE)
            return false;
        if (event.opcode == WS_TEXT && !on_text(f, m, &event))
            return false;
    }
    ws_release_idle(&m->reader);
    return result == 0;
}

/* Reads all input. Returns false when the connection is over. */
static bool receive(struct floor *f, struct member *m)
{
    do {
        unsigned char *space;
        size_t room = ws_reserve(&m->reader, &space);
        ssize_t n = room ? stream_recv(m, space, room) : -1;
        if (n <= 0)
            return n < 0 && room && errno == EAGAIN;
        ws_commit(&m->reader, (size_t)n);
        if (m->state == ASKING && !switch_protocols(m))
            return false;
        if (m->state > ASKING && !take_frames(f, m))
            return false;
    } while (m->ssl && SSL_has_pending(m->ssl));
    return true;
}

/* The server's side of a handshake fits into an empty socket, so only reading can wait. */
static bool secure(struct member *m)
{
    int result = SSL_accept(m->ssl);
    if (result == 1)
        m->state = ASKING;
    return result == 1 || SSL_get_error(m->ssl, result) == SSL_ERROR_WANT_READ;
}

static void on_ready(struct floor *f, struct member *m, uint32_t events)
{
    bool alive = true;
    if (m->state == SECURING)
        alive = secure(m);
    if (alive && m->state != SECURING && events & ~(uint32_t)EPOLLOUT)
        alive = receive(f, m);
    if (alive && m->blocked && events & EPOLLOUT)
        alive = push(f, m);
    if (!alive)
        drop(f, m);
}

/* Takes the socket, also when it fails. */
static void welcome(struct floor *f, int fd)
{
    struct member *m = calloc(1, sizeof(*m));
    SSL *ssl = f->tls ? SSL_new(f->tls) : NULL;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = m};
    if (!m || (f->tls && (!ssl || !SSL_set_fd(ssl, fd))) ||
        epoll_ctl(f->epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
        SSL_free(ssl);
        free(m);
        close(fd);
        return;
    }
    m->fd = fd;
    m->ssl = ssl;
    m->state = ssl ? SECURING : ASKING;
    ws_reader_init(&m->reader, PEER_MESSAGE_MAX, true);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
}

static void accept_all(struct floor *f)
{
    int fd;
    while ((fd = accept4(f->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
        welcome(f, fd);
}

/* ---- Beginning, and the loop ---- */

/* Listens, and returns the port. */
static int start_listening(struct floor *f)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    int port;
    f->listener = peer_listen(&f->options, SOCK_NONBLOCK, &port);
    f->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (f->epoll < 0 || epoll_ctl(f->epoll, EPOLL_CTL_ADD, f->listener, &event) < 0)
        peer_fail("epoll_create1");
    return port;
}

/* How long the loop may sleep: until the next list. */
static int timeout_ms(const struct floor *f)
{
    if (!f->changed)
        return -1;
    int64_t left = f->due - peer_clock_us();
    return left > 0 ? (int)((left + 999) / 1000) : 0;
}

static _Noreturn void serve(struct floor *f)
{
    struct epoll_event events[EVENTS];
    for (;;) {
        int n = epoll_wait(f->epoll, events, EVENTS, timeout_ms(f));
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr)
                on_ready(f, events[i].data.ptr, events[i].events);
            else
                accept_all(f);
        }
        if (f->changed && timeout_ms(f) == 0)
            announce(f);
        pump(f);
    }
}

int main(int argc, char **argv)
{
    struct floor f = {.options = peer_begin(argc, argv)};
    signal(SIGPIPE, SIG_IGN);
    f.tls = peer_tls(&f.options);
    peer_listening(start_listening(&f));
    serve(&f);
}
