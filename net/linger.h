/* SPDX-License-Identifier: MIT
 *
 * linger.h - lingering close: closes a connection a moment after its only answer, without a thread.
 *
 * close(2) resets a connection that has unread input, and the reset destroys the answer. So the
 * answer is followed by FIN, and the socket is closed when the peer has had time to read it. At
 * most LINGER_MAX sockets wait like that; one more closes the oldest.
 *
 * The acceptor thread only.
 */
#ifndef LINGER_H
#define LINGER_H

#include <stddef.h>
#include <stdint.h>

enum { LINGER_MAX = 128, LINGER_MS = 1000 };

/* Sends `bytes` and then FIN. Bytes that the socket does not take at once are dropped. Takes `fd`.
 */
void linger_send(int fd, const char *bytes, size_t len);

/* Closes the sockets whose time is over. Returns when to call it again (net_now; INT64_MAX: none is
 * left). */
int64_t linger_look(void);

/* Closes all of them. */
void linger_end(void);

#endif
