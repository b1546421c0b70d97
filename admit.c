/* SPDX-License-Identifier: MIT
 *
 * admit.c - what a request is answered with: a WebSocket, the page, how the server is, or a refusal.
 */
#include "admit.h"

#include "host.h"
#include "log.h"
#include "metrics.h"
#include "page.h"
#include "proxy.h"
#include "status.h"

/* The HTTP status that a request is refused with, and why; 0: it is not. */
static int judge(struct client *client, const struct http_request *request, const char **why)
{
    const struct config *settings = client_config(client);
    const struct net_tls *tls = client->settings->tls;
    const char *const *origins = (const char *const *)settings->allowed_origins;
    size_t count = (size_t)settings->allowed_origins_count;
    *why = client->entry.why;
    if (client->entry.refusal)
        return client->entry.refusal;
    if ((!request->upgrade || request->origin.at) && !host_ok(request, client->fd, settings, tls)) {
        *why = "this server does not know itself by the name in Host, which a stranger could have "
               "made point here: use its IP address, or put https:// and the name in "
               "allowed_origins";
        return 421;
    }
    if (http_room(request, client->room, sizeof(client->room), why) < 0)
        return 404;
    if (request->upgrade && !http_origin_ok(request, origins, count, tls != NULL)) {
        *why = "pages of this origin may not connect; see allowed_origins";
        return 403;
    }
    return 0;
}

static void send_refusal(struct client *client, int status, const char *why, bool head_only)
{
    char response[HTTP_RESPONSE_MAX];
    size_t len = http_write_refusal(response, status, why, head_only);
    metrics_refused_status(status);
    conn_respond(&client->conn, response, len, NULL, 0);
    client->conn.why = why;
}

static void send_page(struct client *client, const struct http_request *request)
{
    struct page_answer answer;
    page_answer(request, &client->settings->trust, &answer);
    conn_respond(&client->conn, answer.head, answer.head_len, answer.body, answer.body_len);
    client->conn.why = answer.what;
    page_answer_free(&answer);
}

/* Finds out whom the request is from. Behind a trusted proxy that is only known now. */
static enum proxy_found find_sender(struct client *client, const struct http_request *request)
{
    struct sockaddr_storage address = client->entry.peer;
    enum proxy_found found =
        proxy_client(request, &client_config(client)->trusted_proxies, &address);
    if (found == PROXY_CLIENT)
        register_move(&client->entry, &address);
    if (found == PROXY_BAD)
        log_event(LOG_LEVEL_DEBUG, "bad_forwarded", "client=%llu",
                  (unsigned long long)client->entry.number);
    return found;
}

/* Answers who runs the server, whatever limit is reached; but not a page that a stranger made. */
static bool send_status(struct client *client, const struct http_request *request,
                        enum proxy_found found)
{
    struct status_answer answer;
    const struct config *config = client_config(client);
    if (!status_asked(request, &client->entry.peer, found, config) ||
        !host_ok(request, client->fd, config, client->settings->tls))
        return false;
    status_answer(request, register_stopping(), &answer);
    conn_respond(&client->conn, answer.head, answer.head_len, answer.body, answer.body_len);
    client->conn.why = "said how the server is";
    status_answer_free(&answer);
    return true;
}

int admit_client(struct client *client, const struct http_request *request)
{
    const char *why;
    if (send_status(client, request, find_sender(client, request)))
        return -1;
    int status = judge(client, request, &why);
    if (!status && request->upgrade) {
        client->v2 = request->protocol;
        conn_upgrade(&client->conn, request, client->v2 ? ADMIT_PROTOCOL : NULL);
        return client->conn.upgraded ? 0 : -1;
    }
    if (status)
        send_refusal(client, status, why, request->head_only);
    else
        send_page(client, request);
    return -1;
}
