/* SPDX-License-Identifier: MIT
 *
 * client_thread.c - the thread of a client: handshakes, joining, the read loop, closing.
 *
 * Each client has one detached thread from accept to close (base/thread_pool.h). It blocks only in
 * net_wait and, while messages come thick, in stream_await_input. Takes no locks itself;
 * registry.c, room.c and outbox.c guard shared state.
 */
#include "server/client_thread.h"

#include <stdlib.h>
#include <unistd.h>

#include "server/upgrade.h"
#include "server/session.h"
#include "server/handshake.h"
#include "server/dispatch.h"
#include "server/http/host_check.h"
#include "server/join.h"
#include "net/linger.h"
#include "base/log.h"
#include "base/metrics.h"
#include "server/registry.h"
#include "base/thread_pool.h"
#include "lib/http/http_response.h"

/* Runs from joining to the last message. Fans out only when no more input of this client is
 * available, so that messages that arrive together are sent together. A message that must wait for
 * the disk is handled again each time that the thread is woken. */
static void read_loop(struct session *client)
{
    struct ws_event event;
    for (bool waits = false;;) {
        int found = waits ? 1 : session_next(client, &event);
        if (found < 0)
            return;
        waits = found > 0 && !dispatch_message(client, &event);
        connection_hold(&client->conn, waits);
        if (found > 0 && !waits)
            continue;
        if (client->member.presence_due != INT64_MAX && net_now() >= client->member.presence_due) {
            room_flush_presence(&client->member);
            client->needs_fan_out |= room_needs_fan_out(client->member.room);
        }
        if (client->needs_fan_out)
            client->needs_fan_out = room_fan_out(client->member.room);
        int64_t until = client->needs_fan_out ? 0 : client->member.presence_due;
        int readable = connection_poll(&client->conn, until);
        if (readable < 0 || (readable && connection_read(&client->conn) < 0))
            return;
    }
}

/* Counts a member that has left, and the reason if the server closed its connection. */
static void count_end(const struct session *client)
{
    bool left = client->conn.farewell || !client->end_code;
    metrics_add(METRIC_MEMBERS, -1);
    if (client->member.replaced)
        metrics_add(METRIC_EVICTED_REPLACED, 1);
    else if (client->conn.out.too_slow)
        metrics_add(METRIC_EVICTED_SLOW, 1);
    else if (client->conn.silent)
        metrics_add(METRIC_EVICTED_SILENT, 1);
    else if (!left)
        metrics_add(METRIC_EVICTED_RULES, 1);
}

static void log_end(const struct session *client)
{
    const struct outbox *out = &client->conn.out;
    unsigned long long number = client->entry.number;
    const char *why = client->conn.why ? client->conn.why : client->end_why;
    if (registry_stopping())
        why = "the server is shutting down";
    if (client->member.replaced)
        why = "taken over by a newer connection";
    if (out->too_slow)
        log_event(LOG_LEVEL_WARN, "too_slow", "client=%llu behind_bytes=%zu limit_bytes=%zu",
                  number, out->lag, out->lag_limit);
    log_event(client->joined ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG, "left", "client=%llu why=\"%s\"",
              number, why ? why : "");
}

/* Leaves the room first, so that no other thread waits for the rest: the last messages, the close
 * handshake, the end of the stream. */
static void close_client(struct session *client)
{
    if (client->joined)
        room_leave(&client->member);
    if (client->end_code == WS_CODE_TOO_BIG)
        session_say_error(client, ERROR_TOO_LONG, client->end_why, NULL);
    if (client->conn.rate.too_fast)
        session_say_error(client, ERROR_TOO_FAST, client->end_why, NULL);
    if (client->end_code)
        connection_close(&client->conn, client->end_code, client->end_why);
    if (registry_ending(&client->entry)) { /* other threads no longer write to the stream */
        client->conn.cut = true;           /* its place is needed now */
        client->conn.why = "gave way to a newcomer";
    }
    if (!client->joined)
        client->conn.ended = true; /* do not keep a newcomer's place for a close handshake */
    log_end(client);
    if (client->joined) {
        count_end(client);
        room_release(&client->member);
    }
    connection_finish(&client->conn);
}

static void client_free(struct session *client)
{
    registry_delist(&client->entry);
    struct registry_slot entry = client->entry;
    connection_fini(&client->conn);
    live_config_unref(client->settings);
    free(client->host);
    free(client);
    registry_release(&entry);
}

/* Runs the TLS handshake, the requests and their answers, and reports each stage to the registry.
 * Returns 0 when the client has a WebSocket, or -1 when the connection must end. */
static int handshake_client(struct session *client)
{
    const struct sockaddr_storage *peer = &client->entry.peer;
    bool limited = registry_limits(peer, session_config(client));
    if (connection_secure(&client->conn, limited ? peer : NULL) < 0)
        return -1;
    if (client->conn.stream.ssl)
        registry_set_stage(&client->entry, NEWCOMER_SECURED);
    for (;;) {
        struct http_request request;
        if (connection_request(&client->conn, PROTOCOL_NAME, &request) < 0)
            return -1;
        registry_set_stage(&client->entry, NEWCOMER_ASKED);
        session_refresh_config(client);
        enum upgrade_result result = upgrade_client(client, &request);
        if (result == UPGRADE_ENDS)
            return -1;
        if (result == UPGRADE_DONE)
            break;
        registry_set_stage(&client->entry, NEWCOMER_IDLE);
    }
    session_count_source(client); /* the address is final now, even behind a proxy */
    return 0;
}

static void client_thread_main(void *argument)
{
    struct session *client = argument;
    session_begin(client);
    if (connection_init(&client->conn, client->fd, client->settings->tls, &client->limits) == 0) {
        registry_enlist(&client->entry, &client->conn.out);
        if (handshake_client(client) == 0 && join_client(client) == 0)
            read_loop(client);
        close_client(client);
    }
    client_free(client);
}

/* ---- Connections without a place ---- */

enum { REFUSED_LOG_MS = 1000 }; /* between two log lines */

static unsigned long refused;      /* [acceptor] since the last log line */
static int64_t refused_logged = 0; /* [acceptor] time of the last log line */

static void log_refused_connections(void)
{
    log_event(LOG_LEVEL_WARN, "turned_away", "count=%lu why=\"no place, thread or memory\"",
              refused);
    refused = 0;
    refused_logged = net_now();
}

/* Refuses without TLS: there is no thread for a handshake. */
static void refuse_at_once(int fd, int status, const char *why)
{
    char response[HTTP_RESPONSE_MAX];
    size_t len = http_write_refusal(response, status, why, false);
    linger_send(fd, response, len);
    metrics_refused_status(status);
}

/* Closes a connection that got no place, not even a spare one; takes `fd`. `status` 0: sends
 * nothing. */
static void refuse_without_place(int fd, int status, const char *why)
{
    struct live_config *settings = live_config_ref();
    if (status && settings && !settings->tls)
        refuse_at_once(fd, status, why);
    else
        close(fd);
    live_config_unref(settings);
    refused++;
    if (net_now() >= refused_logged + REFUSED_LOG_MS)
        log_refused_connections();
}

int64_t client_thread_look(void)
{
    int64_t due = linger_look(), next = refused_logged + REFUSED_LOG_MS;
    if (refused > 0 && net_now() >= next)
        log_refused_connections();
    return refused > 0 && next < due ? next : due;
}

void client_thread_close(void)
{
    if (refused > 0)
        log_refused_connections();
    linger_end();
}

/* ---- Public functions ---- */

void client_thread_init(void)
{
    host_check_init();
    join_init();
    handshake_init();
}

void client_thread_start(int fd, const struct sockaddr_storage *peer)
{
    struct session *client = calloc(1, sizeof(*client));
    bool placed = false;
    if (client) {
        client->fd = fd;
        client->entry.peer = *peer;
        client->member.presence_due = INT64_MAX;
        placed = registry_reserve(&client->entry);
    }
    if (placed && thread_pool_run(client_thread_main, client) == 0)
        return;
    if (placed) {
        registry_delist(&client->entry);
        registry_release(&client->entry);
    }
    if (client)
        refuse_without_place(fd, client->entry.refusal, client->entry.why);
    else
        refuse_without_place(fd, 0, NULL);
    free(client);
}
