/* SPDX-License-Identifier: MIT
 *
 * life.c - the life of a client: arriving, joining, talking, leaving.
 *
 * Two parts: a client arrives on a porter (thread.h), and then lives in a detached thread of its own.
 * Both block in conn_wait only, and no lock is taken here: what threads share is guarded in
 * register.c, room.c and outbox.c.
 */
#include "life.h"

#include <stdlib.h>
#include <unistd.h>

#include "admit.h"
#include "client.h"
#include "hear.h"
#include "host.h"
#include "join.h"
#include "log.h"
#include "metrics.h"
#include "register.h"
#include "thread.h"

/* From joining to the last message: pumps when nothing more is there to be read. */
static void talk(struct client *client)
{
    struct ws_event event;
    for (;;) {
        int found = client_next(client, &event);
        if (found < 0)
            return;
        if (found > 0) {
            hear_message(client, &event);
            continue;
        }
        if (net_now() >= client->member.presence_due) {
            room_presence(&client->member);
            client->to_pump = true;
        }
        if (client->to_pump)
            client->to_pump = room_pump(client->member.room);
        if (conn_wait(&client->conn, client->to_pump ? 0 : client->member.presence_due) < 0)
            return;
    }
}

/* Why the server ended a member's connection; METRICS: it did not. */
static enum metric eviction(const struct client *client)
{
    if (client->member.replaced)
        return METRIC_EVICTED_REPLACED;
    if (client->conn.out.too_slow)
        return METRIC_EVICTED_SLOW;
    if (client->conn.silent)
        return METRIC_EVICTED_SILENT;
    bool left = client->conn.farewell || !client->end_code;
    return left ? METRICS : METRIC_EVICTED_RULES;
}

static void count_end(const struct client *client)
{
    enum metric why = eviction(client);
    metrics_add(METRIC_MEMBERS, -1);
    if (why != METRICS)
        metrics_add(why, 1);
}

static void log_end(const struct client *client)
{
    const struct outbox *out = &client->conn.out;
    unsigned long long number = client->entry.number;
    const char *why = client->conn.why ? client->conn.why : client->end_why;
    if (register_stopping())
        why = "the server is shutting down";
    if (client->member.replaced)
        why = "taken over by a newer connection";
    if (out->too_slow)
        log_event(LOG_LEVEL_WARN, "too_slow", "client=%llu behind_bytes=%zu limit_bytes=%zu",
                  number, out->lag, out->lag_limit);
    log_event(client->joined ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG, "left", "client=%llu why=\"%s\"",
              number, why ? why : "");
}

/* Leaves the room first, so that nobody waits for what comes: the last words, the close handshake,
 * the end of the stream. */
static void end(struct client *client)
{
    if (client->joined)
        room_leave(&client->member);
    if (client->end_code == WS_CODE_TOO_BIG)
        client_say_error(client, "too_long", client->end_why, NULL);
    if (client->conn.too_fast)
        client_say_error(client, "too_fast", client->end_why, NULL);
    if (client->end_code)
        conn_close(&client->conn, client->end_code, client->end_why);
    if (register_ending(&client->entry)) { /* nobody else writes to the stream from here on */
        client->conn.cut = true;           /* its place is needed now */
        client->conn.why = "gave way to a newcomer";
    }
    if (!client->joined)
        client->conn.ended = true; /* a newcomer's place is not kept for its farewell */
    log_end(client);
    if (client->joined) {
        count_end(client);
        if (room_settle(&client->member))
            room_forget(&client->member);
    }
    conn_finish(&client->conn);
}

static void bury(struct client *client)
{
    register_delist(&client->entry);
    struct register_entry entry = client->entry;
    conn_fini(&client->conn);
    room_forget(&client->member); /* if that had to wait for memory: its peer did not */
    settings_drop(client->settings);
    free(client);
    register_give(&entry);
}

/* The second part, on a thread of its own: joining and talking. */
static void live(void *argument)
{
    struct client *client = argument;
    outbox_own(&client->conn.out);
    if (join_client(client) == 0)
        talk(client);
    end(client);
    bury(client);
}

/* The first part, on a porter: TLS, the request, and the answer to it. */
static void arrive(void *argument)
{
    struct client *client = argument;
    struct http_request request;
    client_begin(client);
    if (conn_init(&client->conn, client->fd, client->settings->tls, &client->limits) == 0) {
        register_enlist(&client->entry, &client->conn.out);
        int arrived = conn_handshake(&client->conn, ADMIT_PROTOCOL, &request);
        client_keep_up(client);
        if (arrived == 0 && admit_client(client, &request) == 0) {
            outbox_disown(&client->conn.out);
            if (thread_do(THREAD_CLIENT, live, client) == 0)
                return;
            outbox_own(&client->conn.out);
            client_end_with(client, WS_CODE_TRY_LATER, "no thread for another client");
        }
        end(client);
    }
    bury(client);
}

void life_init(void)
{
    hosts_init();
    join_init();
}

void life_start(int fd, const struct sockaddr_storage *peer)
{
    struct client *client = calloc(1, sizeof(*client));
    bool placed = false;
    if (client) {
        client->fd = fd;
        client->entry.peer = *peer;
        client->member.presence_due = INT64_MAX;
        placed = register_take(&client->entry);
    }
    if (placed && thread_do(THREAD_PORTER, arrive, client) == 0)
        return;
    if (placed) {
        register_delist(&client->entry);
        register_give(&client->entry);
    }
    free(client);
    close(fd);
    log_event(LOG_LEVEL_WARN, "turned_away", "why=\"no place, thread or memory for a connection\"");
}
