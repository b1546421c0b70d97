/* SPDX-License-Identifier: MIT
 *
 * admit.h - what a request is answered with.
 */
#ifndef ADMIT_H
#define ADMIT_H

#include "client.h"

#define ADMIT_PROTOCOL "ragnarok.v2" /* the subprotocol (RFC 6455 §1.9) */

/* Answers the request: a WebSocket, the page, how the server is, or a refusal. Returns 0 for a
 * WebSocket, and has filled client->room and client->v2; -1 when conn_finish is due. */
int admit_client(struct client *client, const struct http_request *request);

#endif
