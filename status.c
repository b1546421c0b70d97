/* SPDX-License-Identifier: MIT
 *
 * status.c - how the server is, as status.h promises it.
 *
 * Left to others: whether Host is a name of this server (host.c), the counting (metrics.c), and the
 * sending (conn.c).
 */
#include "status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metrics.h"
#include "net.h"

#define HEALTH_PATH  "/healthz"
#define METRICS_PATH "/metrics"

enum { FIELDS_MAX = 128 };

static bool is_path(const struct http_request *rq, const char *path)
{
    return rq->path.len == strlen(path) && memcmp(rq->path.at, path, rq->path.len) == 0;
}

bool status_asked(const struct http_request *rq, const struct sockaddr_storage *peer,
                  enum proxy_found found, const struct config *config)
{
    bool ours = is_path(rq, HEALTH_PATH) || is_path(rq, METRICS_PATH);
    bool hidden = rq->forwarded_count > 0 && found != PROXY_CLIENT;
    if (!ours || rq->upgrade || hidden)
        return false;
    return net_reach(peer) == NET_REACH_HOST || address_in(peer, &config->metrics_from);
}

/* A whole response; `body` NULL: why there is none. */
static void answer_with(const struct http_request *rq, const char *type, const char *why,
                        struct status_answer *answer)
{
    char fields[FIELDS_MAX];
    if (!answer->body) {
        answer->body_len = 0;
        answer->head_len = http_write_refusal(answer->head, 503, why, rq->head_only);
        return;
    }
    snprintf(fields, sizeof(fields), "Content-Type: %s\r\nCache-Control: no-store\r\n", type);
    const struct http_head head = {200, fields, "", answer->body_len};
    answer->head_len = http_write_head(answer->head, &head);
    if (rq->head_only)
        answer->body_len = 0;
}

static void answer_health(const struct http_request *rq, bool stopping,
                          struct status_answer *answer)
{
    static const char ok[] = "ok\n";
    answer->body = stopping ? NULL : strdup(ok);
    answer->body_len = sizeof(ok) - 1;
    answer_with(rq, "text/plain; charset=utf-8",
                stopping ? "the server is shutting down" : "out of memory", answer);
}

void status_answer(const struct http_request *rq, bool stopping, struct status_answer *answer)
{
    *answer = (struct status_answer){.body = NULL};
    if (is_path(rq, HEALTH_PATH)) {
        answer_health(rq, stopping, answer);
        return;
    }
    answer->body = metrics_text(&answer->body_len);
    answer_with(rq, "text/plain; version=0.0.4; charset=utf-8", "out of memory", answer);
}

void status_answer_free(struct status_answer *answer)
{
    free(answer->body);
    answer->body = NULL;
}
