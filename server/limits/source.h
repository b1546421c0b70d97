/* SPDX-License-Identifier: MIT
 *
 * source.h - limits for all connections of one source address together: how much its members may
 * send, and how often its clients may join.
 *
 * The counts outlive connections (quota.h), so reconnecting gains nothing. They have two levels, an
 * address (IPv6: a /64) and the wide block around it. Each function takes one lock, a leaf.
 *
 * The figures are chosen for a class of 30 behind one address. People who type send a few hundred
 * bytes a second together. The bursts allow 30 people to send some messages each within the same
 * second, or to join three times in a row because the wireless network fails. The figures also suit
 * a room with a member that reads 0.3 MB/s: it can read what one address may send, and the burst
 * fits into half of the room's buffer.
 */
#ifndef SOURCE_H
#define SOURCE_H

#include <stdint.h>
#include <sys/socket.h>

enum {
    SOURCE_JOINS_RATE = 2,    /* a second; more: they wait */
    SOURCE_JOINS_BURST = 120, /* at once: a class that joins four times in a row */
    SOURCE_JOINS_MS = 5000,   /* a join that would have to wait longer is refused: 1013 */
    SOURCE_JOINS_WIDE = 4,    /* factor for the wide block */

    SOURCE_SAYS = 4,             /* rate of a source, in rates of one connection */
    SOURCE_SAYS_WIDE = 2,        /* factor for the wide block */
    SOURCE_MESSAGES_BURST_S = 5, /* burst in seconds of that rate: 1,000 messages by default */
    SOURCE_BYTES_BURST_S = 2,    /* burst in seconds of that rate: 512 KiB by default */
    SOURCE_RETRY_MS = 50,        /* shortest pause of a connection whose source owes */
};

/* Initializes the counts. Must be called once, before the other functions. */
void source_init(void);

/* Charges a join. Returns how many milliseconds it has to wait, or -1 if that would be too long. */
int64_t source_join(const struct sockaddr_storage *source);

/* Returns for how many milliseconds a source must not be read: 0, or at least SOURCE_RETRY_MS. */
int64_t source_owes(const struct sockaddr_storage *source);

/* Charges messages to a source, in seconds of a connection's rates: `messages` 1.0 is what one
 * connection may send in a second. */
void source_says(const struct sockaddr_storage *source, double messages, double bytes);

#endif
