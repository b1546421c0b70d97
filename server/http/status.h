/* SPDX-License-Identifier: MIT
 *
 * status.h - GET /healthz and GET /metrics: the server's state, for its operators.
 *
 * Any thread, no locks.
 */
#ifndef STATUS_H
#define STATUS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "base/config.h"
#include "lib/http/http_request.h"
#include "lib/http/http_response.h"
#include "server/http/forwarded.h"

/* Whether the request is for one of the two, and the client may read them: it is on loopback or in
 * metrics_from. `peer` is the client's address, `found` how it was found; FORWARDED_BAD is never
 * allowed. For all other clients these pages do not exist. */
bool status_asked(const struct http_request *rq, const struct sockaddr_storage *peer,
                  enum forwarded_found found, const struct config *config);

/* A response to such a request. */
struct status_answer {
    char head[HTTP_RESPONSE_MAX];
    size_t head_len;
    char *body; /* freed by status_answer_free */
    size_t body_len;
};

/* Answers it: /healthz with 200 and "ok", or 503 while the server is `stopping`; /metrics with all
 * metrics of metrics.h. status_answer_free must be called after it. */
void status_answer(const struct http_request *rq, bool stopping, struct status_answer *answer);
void status_answer_free(struct status_answer *answer);

#endif
