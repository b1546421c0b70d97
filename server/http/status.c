/* SPDX-License-Identifier: MIT
 *
 * status.c - answers /healthz and /metrics.
 *
 * host_check.c checks Host, metrics.c counts, and connection.c sends. Any thread, no locks.
 */
#include "server/http/status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/metrics.h"
#include "net/socket.h"
#include "lib/http/http_response.h"
#include "room/bridge.h"

#define HEALTH_PATH  "/healthz"
#define METRICS_PATH "/metrics"

enum { FIELDS_MAX = 128 };

static bool is_path(const struct http_request *rq, const char *path)
{
    return rq->path.len == strlen(path) && memcmp(rq->path.at, path, rq->path.len) == 0;
}

bool status_asked(const struct http_request *rq, const struct sockaddr_storage *peer,
                  enum forwarded_found found, const struct config *config)
{
    bool ours = is_path(rq, HEALTH_PATH) || is_path(rq, METRICS_PATH);
    bool hidden = rq->forwarded_count > 0 && found != FORWARDED_CLIENT;
    if (!ours || rq->upgrade || hidden)
        return false;
    return net_reach(peer) == NET_REACH_HOST || address_in(peer, &config->metrics_from);
}

/* Makes the response; if answer->body is NULL, a refusal with `why`. */
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
    const struct http_head head = {
        .status = 200, .fields = fields, .policy = "", .length = answer->body_len};
    answer->head_len = http_write_head(answer->head, &head);
    if (rq->head_only)
        answer->body_len = 0;
}

static void answer_health(const struct http_request *rq, bool stopping,
                          struct status_answer *answer)
{
    bool ill = bridge_silence_ms() >= BRIDGE_ILL_MS;
    const char *why = stopping ? "the server is shutting down" : ill ? "engine" : "out of memory";
    bool lacks = metrics_value(METRIC_HISTORY_FAILING) || metrics_value(METRIC_HISTORY_UNOPENED);
    const char *text =
        lacks ? "ok, but messages are not being stored: see history_failed in the log\n" : "ok\n";
    answer->body = stopping || ill ? NULL : strdup(text);
    answer->body_len = strlen(text);
    answer_with(rq, "text/plain; charset=utf-8", why, answer);
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
