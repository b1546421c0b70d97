/* SPDX-License-Identifier: MIT
 *
 * join.h - how a client joins a room.
 */
#ifndef JOIN_H
#define JOIN_H

#include "server/session.h"

/* Initializes the throttle. Must be called once, before the first client. */
void join_init(void);

/* Waits for the client's attempt to join, in the way of client->v2, and joins client->room. Returns
 * 0, or -1 when it did not join, exceeded login_timeout_seconds, or is gone. Then it has been sent
 * an Error, and session_end_with holds the Close frame. */
int join_client(struct session *client);

#endif
