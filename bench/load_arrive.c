/* SPDX-License-Identifier: MIT
 *
 * load_arrive.c - handles input of members: joining (TLS, HTTP, both ways of docs/PROTOCOL.md), and
 * then frame after frame.
 *
 * All members read into one inbox. A known frame is compared in place (check_known). Any other is
 * passed to ws.c once it is whole, which checks it (RFC 6455 §5). One thread.
 */
#include "load.h"
#include "lib/protocol.h"
#include "net/stream.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    INBOX_SIZE = 64 * 1024,      /* first size; grows for longer frames */
    INBOX_MAX = 4 * MESSAGE_MAX, /* largest size: beyond it the connection counts as broken */
    READ_MIN = 16 * 1024,        /* smallest room for a read: a TLS record (RFC 8446 §5.1) */
};

/* ---- Joining ---- */

static void send_request(struct load_run *run, struct load_member *m)
{
    const struct load_options *o = &run->options;
    char request[1024];
    int len =
        snprintf(request, sizeof(request),
                 "GET %s HTTP/1.1\r\nHost: %s:%ld\r\nUpgrade: websocket\r\n"
                 "Connection: Upgrade\r\nSec-WebSocket-Key: " SWITCH_KEY "\r\n"
                 "Sec-WebSocket-Version: 13\r\n%s\r\n",
                 o->path, o->host, o->port, o->v2 ? "Sec-WebSocket-Protocol: ragnarok.v2\r\n" : "");
    if (len < 0 || (size_t)len >= sizeof(request)) {
        report_fault(run, "--host and --path are too long");
        return;
    }
    unsigned char *at = member_space(run, m, (size_t)len);
    if (!at)
        return;
    memcpy(at, request, (size_t)len);
    m->out_len += (size_t)len;
    m->state = ASKING;
}

/* Way 2: answers Hello. */
static void request_join(struct load_run *run, struct load_member *m)
{
    char join[1024];
    int len =
        snprintf(join, sizeof(join), "{\"msgType\":\"Join\",\"Password\":\"%s\",\"Name\":\"%s\"}",
                 run->options.password, m->name);
    if (len > 0 && (size_t)len < sizeof(join))
        member_say(run, m, WS_TEXT, join, (size_t)len);
    else
        report_fault(run, "--password is too long");
}

/* --visits: the visit is complete. A reset leaves no TIME_WAIT, because the port is needed again.
 */
static void end_visit(struct load_run *run, struct load_member *m)
{
    run->visits++;
    run->last = run->now;
    member_reset(run, m);
}

/* Reads the head of the response; frames may follow it at once. */
static void take_head(struct load_run *run, struct load_member *m)
{
    struct inbox *in = &run->inbox;
    const unsigned char *head = in->bytes + in->at;
    const unsigned char *end = memmem(head, in->end - in->at, "\r\n\r\n", 4);
    if (!end)
        return;
    size_t head_len = (size_t)(end - head) + 4;
    if (memcmp(head, "HTTP/1.1 101 ", 13) != 0 ||
        !memmem(head, head_len, run->accept, strlen(run->accept)) ||
        (run->options.v2 && !memmem(head, head_len, PROTOCOL_NAME, sizeof(PROTOCOL_NAME) - 1))) {
        report_fault(run, "%s was not let in: %.*s", m->name, report_shown(head_len - 4),
                     (const char *)head);
        return;
    }
    in->at += head_len;
    m->state = ENTERING;
    if (run->options.visits)
        end_visit(run, m);
    if (run->options.v2 || run->options.visits)
        return;
    member_say(run, m, WS_TEXT, run->options.password, strlen(run->options.password));
    member_say(run, m, WS_TEXT, m->name, strlen(m->name));
}

/* ---- Input ---- */

static bool starts_with(const char *payload, size_t len, const char *start)
{
    size_t start_len = strlen(start);
    return len >= start_len && memcmp(payload, start, start_len) == 0;
}

static void on_text(struct load_run *run, struct load_member *m, const char *payload, size_t len)
{
    if (m->state == STALLED)
        return;
    if (starts_with(payload, len, BROADCAST_HEAD)) {
        if (m->state != ENTERING)
            check_broadcast(run, m, payload, len);
    } else if (starts_with(payload, len, USERS_HEAD) || starts_with(payload, len, PRESENCE_HEAD)) {
        check_users(run, m, payload, len);
    } else if (starts_with(payload, len, PRIVATE_HEAD)) {
        verify_private(run, m, payload, len);
    } else if (m->state == ENTERING && starts_with(payload, len, "{\"msgType\":\"Hello\"")) {
        request_join(run, m);
    } else if (m->state != ENTERING || (!starts_with(payload, len, "{\"ServerName\"") &&
                                        !starts_with(payload, len, "{\"msgType\":\"Joined\""))) {
        report_fault(run, "%s got %.*s", m->name, report_shown(len), payload);
    }
}

static void on_event(struct load_run *run, struct load_member *m, const struct ws_event *event)
{
    const char *payload = (const char *)event->payload;
    char why[160];
    switch (event->opcode) {
    case WS_TEXT:
        on_text(run, m, payload, event->len);
        break;
    case WS_PING:
        member_say(run, m, WS_PONG, payload, event->len);
        break;
    case WS_CLOSE:
        snprintf(why, sizeof(why), "%d %.*s", event->code, (int)event->len, payload);
        member_end(run, m, why);
        break;
    case WS_BINARY:
    case WS_PONG:
    case WS_CONTINUATION:
        report_fault(run, "%s got a frame that nobody asked for", m->name);
    }
}

/* Puts bytes into a reader. Returns false when memory is out. */
static bool feed(struct ws_reader *reader, const unsigned char *bytes, size_t len)
{
    while (len) {
        unsigned char *space;
        size_t room = ws_reserve(reader, &space), n = len < room ? len : room;
        if (!n)
            return false;
        memcpy(space, bytes, n);
        ws_commit(reader, n);
        bytes += n;
        len -= n;
    }
    return true;
}

/* Passes a frame to ws.c, and its events to on_event. */
static void take_frame(struct load_run *run, struct load_member *m, const unsigned char *frame,
                       size_t len)
{
    struct ws_event event;
    int result = 0;
    if (!feed(&m->reader, frame, len)) {
        report_fault(run, "%s: out of memory", m->name);
        return;
    }
    while (m->state != GONE && (result = ws_next(&m->reader, &event)) > 0)
        on_event(run, m, &event);
    if (m->state != GONE && result < 0)
        report_fault(run, "%s got a frame that breaks a rule: %s", m->name, event.why);
}

/* Length of the frame at `at` if all of it is there, else 0. A frame that claims more than the
 * limit of a message is passed on as it is, because ws.c reports the error. */
static size_t whole_frame(const unsigned char *at, size_t have)
{
    if (have < 2 || have < ws_head_size(at))
        return 0;
    size_t len = ws_frame_size(at), head = ws_head_size(at);
    if (len < head || len - head > MESSAGE_MAX)
        return have;
    return len <= have ? len : 0;
}

static void take_frames(struct load_run *run, struct load_member *m)
{
    struct inbox *in = &run->inbox;
    while (m->state != GONE && !run->failed) {
        const unsigned char *at = in->bytes + in->at;
        size_t len = check_known(run, m, at, in->end - in->at);
        if (!len) {
            len = whole_frame(at, in->end - in->at);
            if (!len)
                return;
            take_frame(run, m, at, len);
        }
        in->at += len;
    }
}

/* ---- The inbox ---- */

/* Makes room for a read, after the unread bytes. Returns how much; 0 and errno when there is none.
 */
static size_t inbox_space(struct inbox *in)
{
    in->end -= in->at;
    if (in->at && in->end)
        memmove(in->bytes, in->bytes + in->at, in->end);
    in->at = 0;
    if (in->cap - in->end < READ_MIN) {
        size_t cap = in->cap ? 2 * in->cap : INBOX_SIZE;
        errno = EMSGSIZE;
        unsigned char *bytes = cap > INBOX_MAX ? NULL : realloc(in->bytes, cap);
        if (!bytes)
            return 0;
        in->bytes = bytes;
        in->cap = cap;
    }
    return in->cap - in->end;
}

/* Restores the partial frame of a member into the inbox. It fits: it was read in here, and the
 * inbox never shrinks. */
static void inbox_load(struct inbox *in, struct load_member *m)
{
    in->at = 0;
    in->end = m->rest_len;
    if (m->rest)
        memcpy(in->bytes, m->rest, m->rest_len);
    free(m->rest);
    m->rest = NULL;
    m->rest_len = 0;
}

/* Saves the unread bytes of the inbox with the member. */
static bool inbox_save(struct inbox *in, struct load_member *m)
{
    size_t len = in->end - in->at;
    if (!len)
        return true;
    m->rest = malloc(len);
    if (!m->rest)
        return false;
    memcpy(m->rest, in->bytes + in->at, len);
    m->rest_len = len;
    return true;
}

/* Reads once, and handles the input. Returns whether there may be more. */
static bool receive_once(struct load_run *run, struct load_member *m)
{
    struct inbox *in = &run->inbox;
    size_t room = inbox_space(in);
    ssize_t n = room ? stream_read(&m->stream, in->bytes + in->end, room) : -1;
    if (n < 0 && errno == EAGAIN)
        return false;
    if (n <= 0) {
        member_end(run, m, n == 0 ? "end of stream" : strerror(errno));
        return false;
    }
    run->now = report_clock(CLOCK_MONOTONIC);
    in->end += (size_t)n;
    if (m->state == ASKING)
        take_head(run, m);
    if (m->state >= ENTERING)
        take_frames(run, m);
    return m->state != GONE && !m->stream.drained && !run->failed;
}

/* Reads until the socket is empty. */
static void receive_frames(struct load_run *run, struct load_member *m)
{
    inbox_load(&run->inbox, m);
    while (receive_once(run, m))
        ;
    if (m->state != GONE && !inbox_save(&run->inbox, m))
        report_fault(run, "%s: out of memory", m->name);
}

void arrive_ready(struct load_run *run, struct load_member *m)
{
    if (m->state == SECURING) {
        int result = stream_handshake(&m->stream);
        if (result < 0)
            member_end(run, m, "the TLS handshake failed");
        else if (result > 0)
            send_request(run, m);
    } else if (m->state != GONE) {
        receive_frames(run, m);
    }
    if (m->state == GONE) {
        bool again = run->options.visits || (is_flapper(run, m) && run->act == TALKING);
        if (again && run->now < run->stop && !run->failed)
            member_begin(run, m);
        return;
    }
    if (m->state == PRESENT && is_flapper(run, m)) {
        run->flaps++;
        member_leave(run, m);
    }
    ws_release_idle(&m->reader);
    member_flush(run, m);
    member_watch(run, m);
}
