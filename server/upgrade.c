/* SPDX-License-Identifier: MIT
 *
 * upgrade.c - answers a request: with a WebSocket, the page, the server's state, or a refusal. Runs
 * in the client's own thread.
 */
#include "server/upgrade.h"

#include <stdatomic.h>
#include <string.h>

#include "server/http/host_check.h"
#include "base/log.h"
#include "base/metrics.h"
#include "server/http/static_files.h"
#include "server/http/forwarded.h"
#include "server/http/status.h"
#include "lib/origin.h"
#include "lib/http/http_response.h"
#include "lib/http/http_room.h"

/* Returns the HTTP status of a refusal and *why; 0: the request is accepted. */
static int judge_request(struct session *client, const struct http_request *request,
                         const char **why)
{
    const struct config *settings = session_config(client);
    const struct tls_context *tls = client->settings->tls;
    const char *const *origins = (const char *const *)settings->allowed_origins;
    size_t count = (size_t)settings->allowed_origins_count;
    *why = client->entry.why;
    if (client->entry.refusal)
        return client->entry.refusal;
    if ((!request->upgrade || request->origin.at) && !host_check_allows(request, settings, tls)) {
        *why =
            "unknown host name (protection against DNS rebinding): use the server's IP address, or "
            "add what the address bar shows, such as https://NAME:PORT, to "
            "allowed_origins";
        return 421;
    }
    if (http_room(request, client->room, sizeof(client->room), why) < 0)
        return 404;
    if (request->upgrade &&
        !origin_allowed(request->origin, request->host, origins, count, tls != NULL)) {
        *why = "pages of this origin may not connect; see allowed_origins";
        return 403;
    }
    if (request->upgrade)
        registry_upgrade(&client->entry);
    *why = client->entry.why;
    return client->entry.refusal;
}

static void send_refusal(struct session *client, const struct http_request *request, int status,
                         const char *why)
{
    char response[HTTP_RESPONSE_MAX];
    size_t len = request->html ? http_write_refusal_page(response, status, why, request->head_only)
                               : http_write_refusal(response, status, why, request->head_only);
    metrics_refused_status(status);
    connection_respond(&client->conn, response, len, NULL, 0);
    client->conn.why = why;
}

static enum upgrade_result send_page(struct session *client, const struct http_request *request)
{
    struct static_file_answer answer;
    enum upgrade_result result = UPGRADE_ENDS;
    struct connection *conn = &client->conn;
    page_answer(request, &client->settings->trust, &answer);
    if (!answer.keep)
        connection_respond(conn, answer.head, answer.head_len, answer.body, answer.body_len);
    else if (connection_answer(conn, answer.head, answer.head_len, answer.body, answer.body_len) ==
             0)
        result = UPGRADE_KEPT;
    if (result == UPGRADE_ENDS)
        conn->why = answer.what;
    static_file_answer_free(&answer);
    return result;
}

/* Warns the owner, at most once a minute, about a trusted proxy that does not name its clients: all
 * of them share the proxy's guesses. */
static void tell_of_proxy(const struct session *client)
{
    static atomic_int_fast64_t next;
    char address[NET_ADDRESS_MAX];
    if (!log_is_due(&next))
        return;
    net_address(&client->entry.peer, address);
    log_event(
        LOG_LEVEL_WARN, "proxy_names_nobody",
        "address=%s advice=\"have it send X-Forwarded-For, or take it out of trusted_proxies\"",
        address);
}

/* Finds the client's address, which behind a trusted proxy is only known now. */
static enum forwarded_found find_sender(struct session *client, const struct http_request *request)
{
    struct sockaddr_storage address = client->entry.peer;
    enum forwarded_found found =
        forwarded_client(request, &session_config(client)->trusted_proxies, &address);
    if (found == FORWARDED_CLIENT)
        registry_move(&client->entry, &address);
    bool trusted = address_in(&address, &session_config(client)->trusted_proxies);
    if (request->upgrade && trusted && found != FORWARDED_CLIENT)
        tell_of_proxy(client);
    if (found == FORWARDED_BAD)
        log_event(LOG_LEVEL_DEBUG, "bad_forwarded", "client=%llu",
                  (unsigned long long)client->entry.number);
    return found;
}

/* Serves /healthz and /metrics even over limits, unless the Host header is foreign. */
static bool send_status(struct session *client, const struct http_request *request,
                        enum forwarded_found found)
{
    struct status_answer answer;
    const struct config *config = session_config(client);
    if (!status_asked(request, &client->entry.peer, found, config) ||
        !host_check_allows(request, config, client->settings->tls))
        return false;
    status_answer(request, registry_stopping(), &answer);
    connection_respond(&client->conn, answer.head, answer.head_len, answer.body, answer.body_len);
    client->conn.why = "said how the server is";
    status_answer_free(&answer);
    return true;
}

/* Opens the WebSocket. Keeps Host only for ragnarok.v2, which needs it to publish keys. */
static enum upgrade_result upgrade(struct session *client, const struct http_request *request)
{
    bool keep = request->protocol && request->host.at;
    client->v2 = request->protocol;
    client->host = keep ? strndup(request->host.at, request->host.len) : NULL;
    connection_upgrade(&client->conn, request, client->v2 ? PROTOCOL_NAME : NULL);
    if (client->conn.upgraded && keep && !client->host) {
        session_end_with(client, WS_CODE_TRY_LATER, "out of memory");
        return UPGRADE_ENDS;
    }
    return client->conn.upgraded ? UPGRADE_DONE : UPGRADE_ENDS;
}

enum upgrade_result upgrade_client(struct session *client, struct http_request *request)
{
    const char *why;
    if (address_in(&client->entry.peer, &session_config(client)->trusted_proxies))
        request->keep = false;
    if (send_status(client, request, find_sender(client, request)))
        return UPGRADE_ENDS;
    int status = judge_request(client, request, &why);
    if (!status && request->upgrade)
        return upgrade(client, request);
    if (!status)
        return send_page(client, request);
    send_refusal(client, request, status, why);
    return UPGRADE_ENDS;
}
