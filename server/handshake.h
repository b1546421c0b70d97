/* SPDX-License-Identifier: MIT
 *
 * handshake.h - the server's side of TLS handshakes, with a budget of processor time for each
 * source.
 *
 * An answer to a ClientHello costs the server some hundred times what it costs to replay one. The
 * budget is a quota (quota.h) in microseconds of measured processor time. A source that has used up
 * its budget has to wait, so only its own handshakes become slow.
 */
#ifndef HANDSHAKE_H
#define HANDSHAKE_H

#include <stdint.h>
#include <sys/socket.h>

#include "delivery/outbox.h"

enum {
    HANDSHAKE_RATE_US = 15 * 1000,   /* a second, of one source: 1.5 % of a core */
    HANDSHAKE_BURST_US = 100 * 1000, /* at once: two hundred handshakes at 0.5 ms; seven eighths
                                      * of each completed one are returned */
    HANDSHAKE_WIDE = 4,              /* times that for a /24 or /48 */
};

/* The reason that handshake_run returns if the peer closed the connection without a byte, as
 * browsers do with connections that they opened in advance; compared by its address. */
extern const char handshake_unused[];

/* Must be called before the first handshake. */
void handshake_init(void);

/* Runs the handshake of the calling thread's own outbox, until `until` (net_now); plain TCP is done
 * at once. It is charged to `source`; NULL: to nobody. Returns NULL when it is complete, or the
 * peer spoke HTTP (stream.plain_http); else why it failed, a constant string. */
const char *handshake_run(struct outbox *out, const struct sockaddr_storage *source, int64_t until);

#endif
