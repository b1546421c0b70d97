/* SPDX-License-Identifier: MIT
 *
 * handshake.c - the server's TLS handshakes, with a budget of processor time for each source.
 *
 * Runs in the connection's own thread and blocks only in net_wait. The source is charged once the
 * peer has sent something, so silent connections use nothing up. An estimate is charged in advance,
 * so that waiting connections of a source do not all continue at once; after each step the
 * difference is charged.
 */
#include "server/handshake.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include "net/socket.h"
#include "net/stream.h"
#include "server/limits/quota.h"

enum {
    ESTIMATE_US = 500, /* estimated cost of the first step */
    RETRY_MS = 100,    /* between two checks of a source that has used up its budget; handshakes
                        * that complete meanwhile return a part of theirs */
    KEPT = 8, /* 1/8 of a completed handshake is charged: its peer has done the work, too, and is
               * probably a real client */
};

const char handshake_unused[] = "closed before the first byte";

static struct quota budget;

void handshake_init(void)
{
    struct quota_rule narrow = {HANDSHAKE_RATE_US, HANDSHAKE_BURST_US};
    struct quota_rule wide = {HANDSHAKE_WIDE * HANDSHAKE_RATE_US,
                              HANDSHAKE_WIDE * HANDSHAKE_BURST_US};
    quota_init(&budget, narrow, wide);
}

static void charge_cpu(const struct sockaddr_storage *source, int64_t us)
{
    if (source)
        quota_take(&budget, source, net_now(), us, INT64_MAX);
}

/* Waits for an event, at most until `until`; *ready says whether it came. Returns NULL, or why the
 * handshake must end: it was closed, or `end` has passed. */
static const char *wait_for_peer(struct outbox *out, short events, int64_t until, int64_t end,
                                 bool *ready)
{
    *ready = net_wait(out->stream->fd, events, until);
    if (outbox_state(out).closing)
        return "closed by the server";
    return !*ready && net_now() >= end ? "TLS handshake took too long" : NULL;
}

/* Waits until the source has budget for an answer to its ClientHello, and charges it. */
static const char *await_turn(struct outbox *out, const struct sockaddr_storage *source,
                              int64_t end)
{
    const char *why = NULL;
    bool gone = false;
    while (!why && source && quota_take(&budget, source, net_now(), ESTIMATE_US, 0) < 0) {
        why = wait_for_peer(out, POLLRDHUP, net_now() + RETRY_MS, end, &gone);
        if (gone)
            why = "TLS handshake broken off";
    }
    return why;
}

/* Runs the handshake from the ClientHello on. Adds its processor time to *cost. */
static const char *run_steps(struct outbox *out, const struct sockaddr_storage *source, int64_t end,
                             int64_t *cost)
{
    struct stream *stream = out->stream;
    int64_t prepaid = ESTIMATE_US;
    for (;;) {
        int64_t before = net_cpu_us();
        int done = stream_handshake(stream);
        int64_t step = net_cpu_us() - before;
        charge_cpu(source, step - prepaid);
        *cost += step;
        prepaid = 0;
        if (done > 0 || stream->plain_http)
            return NULL;
        if (done < 0)
            return stream->why ? stream->why : "TLS handshake broken off";
        bool ready;
        const char *why = wait_for_peer(out, stream->read_wants, end, end, &ready);
        if (why)
            return why;
    }
}

/* Whether the peer has closed a connection on which nothing has come yet. */
static bool is_closed(int fd)
{
    char byte;
    ssize_t n = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno == ECONNRESET);
}

const char *handshake_run(struct outbox *out, const struct sockaddr_storage *source, int64_t until)
{
    int64_t cost = 0;
    const char *why = NULL;
    bool ready = false;
    if (!out->stream->ssl)
        return NULL;
    while (!why && !ready)
        why = wait_for_peer(out, POLLIN, until, until, &ready);
    if (!why && is_closed(out->stream->fd))
        why = handshake_unused;
    if (!why)
        why = await_turn(out, source, until);
    if (!why)
        why = run_steps(out, source, until, &cost);
    if (!why)
        charge_cpu(source, -(cost - cost / KEPT));
    return why;
}
