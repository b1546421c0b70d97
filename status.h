/* SPDX-License-Identifier: MIT
 *
 * status.h - GET /healthz and GET /metrics: how the server is, for those who run it.
 *
 * Any thread, no locks.
 */
#ifndef STATUS_H
#define STATUS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "config.h"
#include "http.h"
#include "proxy.h"

/* Whether it is a request for one of the two, from somebody who may ask: loopback, or an address in
 * metrics_from. `peer` is the client's address, `found` how it was found: where a proxy passed on what
 * somebody else asks, and is not to be believed, nobody may. To all others there is no such page. */
bool status_asked(const struct http_request *rq, const struct sockaddr_storage *peer,
                  enum proxy_found found, const struct config *config);

/* A response to such a request. */
struct status_answer {
    char head[HTTP_RESPONSE_MAX];
    size_t head_len;
    char *body; /* freed by status_answer_free */
    size_t body_len;
};

/* Answers it: /healthz with 200 and "ok", or 503 while the server is `stopping`; /metrics with all
 * that metrics.h counts. After it status_answer_free is due. */
void status_answer(const struct http_request *rq, bool stopping, struct status_answer *answer);
void status_answer_free(struct status_answer *answer);

#endif
