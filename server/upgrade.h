/* SPDX-License-Identifier: MIT
 *
 * upgrade.h - answers a client's HTTP request.
 */
#ifndef UPGRADE_H
#define UPGRADE_H

#include "server/session.h"

enum upgrade_result {
    UPGRADE_ENDS = -1, /* answered, and connection_finish must be called */
    UPGRADE_DONE = 0,  /* a WebSocket; client->room, client->v2 and client->host are set */
    UPGRADE_KEPT = 1,  /* answered, and connection_request must be called again */
};

/* Answers a request: with a WebSocket, the page, the server's state, or a refusal. Only the page is
 * followed by another request, and not behind a trusted proxy: it may send requests of several
 * clients over one connection, whose address is that of the first. */
enum upgrade_result upgrade_client(struct session *client, struct http_request *request);

#endif
