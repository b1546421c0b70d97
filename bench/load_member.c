/* SPDX-License-Identifier: MIT
 *
 * load_member.c - a member's connection: beginning, writing, watching, ending. load_arrive.c reads.
 * One thread.
 *
 * socket.c and stream.c do the I/O; only the mask of a client's frames (RFC 6455 §5.3) is applied
 * here. One call bypasses them: --key-update asks the server for new TLS 1.3 keys through OpenSSL
 * (RFC 8446 §4.6.3).
 */
#include "load.h"
#include "net/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include <openssl/ssl.h>

enum {
    OUT_MAX = 16 << 20, /* bytes in one member's send buffer; more ends the run */
    OUT_MIN = 512,      /* first size of the send buffer */
    CONNECT_MS = 10000, /* for one connection to be accepted */
};

/* ---- Begun and watched ---- */

void member_begin(struct load_run *run, struct load_member *m)
{
    char error[NET_ERROR_MAX];
    const struct load_options *o = &run->options;
    int fd = net_connect(o->host, (int)o->port, CONNECT_MS, error);
    if (fd < 0) {
        report_fault(run, "%s cannot connect: %s", m->name, error);
        return;
    }
    if (stream_open(&m->stream, fd, run->tls) < 0) {
        report_fault(run, "%s: out of memory", m->name);
        return;
    }
    ws_reader_init(&m->reader, MESSAGE_MAX, false);
    m->state = SECURING;
    m->events = EPOLLOUT; /* epoll reports at once, because net_connect has waited */
    m->last_id = 0;
    m->rekey = m->refused = false;
    run->open++;
    run->entering++;
    struct epoll_event event = {.events = m->events, .data.ptr = m};
    if (epoll_ctl(run->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        report_fault(run, "epoll_ctl: %s", strerror(errno));
}

void member_watch(struct load_run *run, struct load_member *m)
{
    int wants = m->stream.read_wants; /* poll(2) and epoll(7) name events alike */
    if (m->out_len)
        wants |= m->stream.write_wants;
    uint32_t events = m->state == STALLED && !run->resumed ? 0 : (uint32_t)wants;
    if (events == m->events)
        return;
    struct epoll_event event = {.events = events, .data.ptr = m};
    if (epoll_ctl(run->epoll, EPOLL_CTL_MOD, m->stream.fd, &event) < 0)
        report_fault(run, "epoll_ctl: %s", strerror(errno));
    m->events = events;
}

/* ---- Written to ---- */

unsigned char *member_space(struct load_run *run, struct load_member *m, size_t len)
{
    size_t need = m->out_len + len;
    if (need > m->out_cap) {
        size_t cap = need < OUT_MIN ? OUT_MIN : 2 * need;
        unsigned char *out = need > OUT_MAX ? NULL : realloc(m->out, cap);
        if (!out) {
            report_fault(run, "%s cannot get rid of %zu bytes", m->name, need);
            return NULL;
        }
        m->out = out;
        m->out_cap = cap;
    }
    return m->out + m->out_len;
}

/* Requests new keys for both directions, but not between a refused write and its repetition. */
static void update_keys(struct load_run *run, struct load_member *m)
{
    if (m->refused)
        return;
    if (SSL_key_update(m->stream.ssl, SSL_KEY_UPDATE_REQUESTED) == 1)
        run->key_updates++;
    else
        report_fault(run, "%s cannot update its keys: no TLS 1.3?", m->name);
    m->rekey = false;
}

/* load_arrive.c notices the end of a connection, because it may still have to read the reason. */
void member_flush(struct load_run *run, struct load_member *m)
{
    size_t done = 0;
    if (m->rekey && m->out_len)
        update_keys(run, m);
    m->refused = false;
    while (done < m->out_len && !m->refused) {
        ssize_t n = stream_write(&m->stream, m->out + done, m->out_len - done);
        if (n > 0)
            done += (size_t)n;
        else if (errno == EAGAIN)
            m->refused = true;
        else
            done = m->out_len;
    }
    m->out_len -= done;
    if (done && m->out_len)
        memmove(m->out, m->out + done, m->out_len);
}

/* xorshift32: masks must differ, but need not be unpredictable here (RFC 6455 §10.3). */
static uint32_t next_random(struct load_run *run)
{
    run->random ^= run->random << 13;
    run->random ^= run->random >> 17;
    run->random ^= run->random << 5;
    return run->random;
}

void member_say(struct load_run *run, struct load_member *m, enum ws_opcode opcode,
                const char *payload, size_t len)
{
    unsigned char *at = member_space(run, m, WS_HEAD_MAX + len);
    if (!at)
        return;
    uint32_t random = next_random(run);
    unsigned char key[WS_MASK_BYTES];
    memcpy(key, &random, sizeof(key));
    m->out_len += ws_write_masked(at, opcode, payload, len, key);
}

/* ---- Ended ---- */

void member_drop(struct load_run *run, struct load_member *m)
{
    if (m->state == SECURING || m->state == ASKING || m->state == ENTERING)
        run->entering--;
    if (m->whole)
        run->whole--;
    m->whole = false;
    m->state = GONE;
    m->out_len = 0;
    free(m->rest);
    m->rest = NULL;
    m->rest_len = 0;
    stream_close(&m->stream);
    ws_reader_fini(&m->reader);
    run->open--;
}

void member_end(struct load_run *run, struct load_member *m, const char *why)
{
    if (m->state == STALLED)
        run->stalled_closed++;
    else if (m->state != LEAVING)
        report_fault(run, "%s was closed: %s", m->name, why);
    member_drop(run, m);
}

void member_leave(struct load_run *run, struct load_member *m)
{
    static const unsigned char normal[2] = {WS_CODE_NORMAL >> 8, WS_CODE_NORMAL & 0xFF};
    member_say(run, m, WS_CLOSE, (const char *)normal, sizeof(normal));
    m->state = LEAVING;
    member_flush(run, m);
    member_watch(run, m);
}

void member_reset(struct load_run *run, struct load_member *m)
{
    stream_reset_on_close(&m->stream);
    member_drop(run, m);
}
