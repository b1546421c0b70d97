/* SPDX-License-Identifier: MIT
 *
 * session.c - one client: its settings, the messages sent to it, and its next message.
 */
#include "server/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/json/json_ascii.h"
#include "base/log.h"
#include "base/metrics.h"

enum {
    QUEUE_MESSAGES = 8,      /* queue limit, in messages of the greatest length; more: 1013 */
    QUEUE_LEAST = 64 * 1024, /* lower bound of the queue limit, in bytes */
};

/* ---- Settings ---- */

const struct config *session_config(const struct session *client)
{
    return &client->settings->config;
}

static size_t queue_max(const struct config *config)
{
    size_t most = (size_t)(config->max_message_bytes + 1024) * QUEUE_MESSAGES;
    return most > QUEUE_LEAST ? most : QUEUE_LEAST;
}

static struct connection_limits limits_of(const struct config *config)
{
    return (struct connection_limits){
        .max_message = (size_t)config->max_message_bytes,
        .queue_max = queue_max(config),
        .handshake_ms = (int64_t)config->handshake_timeout_seconds * 1000,
        .ping_ms = (int64_t)config->ping_interval_seconds * 1000,
        .frame_ms = (int64_t)config->frame_timeout_seconds * 1000,
        .rate =
            {
                .messages = config->max_messages_per_second,
                .bytes = config->max_bytes_per_second,
                .too_fast_ms = (int64_t)config->too_fast_seconds * 1000,
            },
    };
}

void session_begin(struct session *client)
{
    client->settings = live_config_ref();
    client->limits = limits_of(session_config(client));
}

void session_count_source(struct session *client)
{
    const struct sockaddr_storage *peer = &client->entry.peer;
    bool limited = registry_limits(peer, session_config(client));
    client->limits.rate.source = limited ? peer : NULL;
    client->payer.source = limited && client->limits.rate.bytes > 0 ? peer : NULL;
    client->payer.rate = client->limits.rate.bytes * SHARE_CONNECTIONS;
}

void session_refresh_config(struct session *client)
{
    size_t max_message = client->limits.max_message;
    if (live_config_is_current(client->settings))
        return;
    live_config_unref(client->settings);
    session_begin(client);
    client->limits.max_message = max_message;
    outbox_set_queue_max(&client->conn.out, client->limits.queue_max);
    session_count_source(client);
}

/* ---- Messages to the client ---- */

/* A client without ragnarok.v2 may be the original's, which reads ASCII only. */
void session_say(struct session *client, char *json, size_t len)
{
    if (!client->v2)
        json = json_ascii(json, &len, SIZE_MAX);
    if (json)
        connection_send(&client->conn, WS_TEXT, json, len);
    else
        connection_close(&client->conn, WS_CODE_TRY_LATER, "out of memory");
    free(json);
}

void session_say_page(struct session *client, char *json, size_t len)
{
    if (!client->v2)
        json = json_ascii(json, &len, SIZE_MAX);
    if (json)
        connection_send_page(&client->conn, json, len);
    else
        connection_close(&client->conn, WS_CODE_TRY_LATER, "out of memory");
    free(json);
}

static void say_error(struct session *client, enum protocol_error code, char *json, size_t len)
{
    session_say(client, json, len);
    if (!client->joined)
        metrics_refused(code);
    log_event(LOG_LEVEL_DEBUG, "error_sent", "client=%llu code=%s",
              (unsigned long long)client->entry.number, protocol_error_name(code));
}

void session_say_error(struct session *client, enum protocol_error code, const char *text,
                       const struct json_object *about)
{
    size_t len = 0;
    char *json = json_error(code, text, about, &len);
    say_error(client, code, json, len);
}

void session_say_throttled(struct session *client, const char *text, int64_t ms,
                           const struct json_object *about)
{
    size_t len = 0;
    char *json = json_throttled(text, (uint64_t)(ms + 999) / 1000, about, &len);
    say_error(client, ERROR_THROTTLED, json, len);
}

static void say_field_missing(struct session *client, const struct json_object *message,
                              const char *name, const char *kind)
{
    char text[SESSION_TEXT_MAX];
    const struct json_field *field = json_find(message, name);
    if (field)
        snprintf(text, sizeof(text), "\"%s\" must be %s, not %s", name, kind, json_kind(field));
    else
        snprintf(text, sizeof(text), "\"%s\" is missing", name);
    session_say_error(client, ERROR_MISSING_FIELD, text, message);
}

void session_say_missing(struct session *client, const struct json_object *message,
                         const char *name)
{
    say_field_missing(client, message, name, "a string");
}

void session_say_card_missing(struct session *client, const struct json_object *message, bool proof)
{
    static const struct {
        const char *name, *kind;
    } fields[] = {
        {"IdentityKey", "a string"}, {"SessionKey", "a string"}, {"KeyExpires", "a number"},
        {"KeyOrigin", "a string"},   {"KeyEnc", "a string"},     {"KeySignature", "a string"},
        {"Proof", "a string"},
    };
    size_t i = 0, last = sizeof(fields) / sizeof(fields[0]) - (proof ? 1 : 2);
    for (; i < last; i++) {
        const struct json_field *field = json_find(message, fields[i].name);
        if (!field || strcmp(json_kind(field), fields[i].kind) != 0)
            break;
    }
    say_field_missing(client, message, fields[i].name, fields[i].kind);
}

/* ---- Messages from the client ---- */

int session_end_with(struct session *client, int code, const char *why)
{
    if (!client->end_code) {
        client->end_code = code;
        client->end_why = why;
    }
    return -1;
}

/* Pauses reading a member whose source has used up its share of the room's rate. */
static void wait_for_share(struct session *client)
{
    if (!client->joined || !client->payer.source || !connection_has_unheard(&client->conn))
        return;
    int64_t ms = room_throttle_ms(&client->member, &client->payer);
    if (ms > 0)
        connection_pause(&client->conn, ms);
}

int session_next(struct session *client, struct ws_event *event)
{
    session_refresh_config(client);
    wait_for_share(client);
    int found = connection_next(&client->conn, event);
    if (found < 0)
        return session_end_with(client, event->code, event->why);
    if (found > 0 && event->opcode == WS_BINARY)
        return session_end_with(client, WS_CODE_UNSUPPORTED, "only text is understood here");
    return found;
}

bool session_parse(struct session *client, const struct ws_event *event,
                   struct json_object *message)
{
    struct json_error error;
    char text[SESSION_TEXT_MAX];
    if (json_parse_message(message, (const char *)event->payload, event->len, &error) == 0)
        return true;
    snprintf(text, sizeof(text), "not acceptable JSON at byte %zu: %s", error.offset, error.why);
    session_say_error(client, ERROR_BAD_JSON, text, NULL);
    return false;
}
