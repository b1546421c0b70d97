/* SPDX-License-Identifier: MIT
 *
 * join.h - how a client joins a room.
 */
#ifndef JOIN_H
#define JOIN_H

#include "client.h"

/* Forgets all wrong passwords; due once, before the first client. */
void join_init(void);

/* Waits for what a client says to join (client->v2 says in which way), and brings it into client->room.
 * Returns 0, or -1 when it is not in, took longer than login_timeout_seconds, or is gone: it was told
 * why, and client_end_with has what is left to say. */
int join_client(struct client *client);

#endif
