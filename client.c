/* SPDX-License-Identifier: MIT
 *
 * client.c - one client: the settings it goes by, what is said to it, and its next message.
 */
#include "client.h"

#include <stdio.h>
#include <stdlib.h>

#include "log.h"
#include "metrics.h"

enum { QUEUE_MESSAGES = 8 }; /* the longest messages that may wait for one client; more: 1013 */

/* ---- The settings that it goes by ---- */

const struct config *client_config(const struct client *client)
{
    return &client->settings->config;
}

static struct conn_limits limits_of(const struct config *config)
{
    return (struct conn_limits){
        .max_message = (size_t)config->max_message_bytes,
        .queue_max = (size_t)(config->max_message_bytes + 1024) * QUEUE_MESSAGES,
        .messages = config->max_messages_per_second,
        .bytes = config->max_bytes_per_second,
        .handshake_ms = (int64_t)config->handshake_timeout_seconds * 1000,
        .ping_ms = (int64_t)config->ping_interval_seconds * 1000,
        .frame_ms = (int64_t)config->frame_timeout_seconds * 1000,
        .too_fast_ms = (int64_t)config->too_fast_seconds * 1000,
    };
}

void client_begin(struct client *client)
{
    client->settings = settings_hold();
    client->limits = limits_of(client_config(client));
}

void client_keep_up(struct client *client)
{
    size_t max_message = client->limits.max_message;
    if (settings_in_force(client->settings))
        return;
    settings_drop(client->settings);
    client_begin(client);
    client->limits.max_message = max_message;
}

/* ---- What is said to it ---- */

void client_say(struct client *client, char *json, size_t len)
{
    if (json)
        conn_send(&client->conn, WS_TEXT, json, len);
    else
        conn_close(&client->conn, WS_CODE_TRY_LATER, "out of memory");
    free(json);
}

void client_say_error(struct client *client, const char *code, const char *text,
                      const struct json_object *about)
{
    size_t len = 0;
    char *json = json_error(code, text, about, &len);
    client_say(client, json, len);
    if (!client->joined)
        metrics_refused(code);
    log_event(LOG_LEVEL_DEBUG, "error_sent", "client=%llu code=%s",
              (unsigned long long)client->entry.number, code);
}

void client_say_missing(struct client *client, const struct json_object *message, const char *name)
{
    char text[CLIENT_TEXT_MAX];
    const struct json_field *field = json_find(message, name);
    if (field)
        snprintf(text, sizeof(text), "\"%s\" must be a string, not %s", name, json_kind(field));
    else
        snprintf(text, sizeof(text), "\"%s\" is missing", name);
    client_say_error(client, "missing_field", text, message);
}

/* ---- What it says next ---- */

int client_end_with(struct client *client, int code, const char *why)
{
    if (!client->end_code) {
        client->end_code = code;
        client->end_why = why;
    }
    return -1;
}

int client_next(struct client *client, struct ws_event *event)
{
    client_keep_up(client);
    int found = conn_next(&client->conn, event);
    if (found < 0)
        return client_end_with(client, event->code, event->why);
    if (found > 0 && event->opcode == WS_BINARY)
        return client_end_with(client, WS_CODE_UNSUPPORTED, "only text is understood here");
    return found;
}

bool client_parse(struct client *client, const struct ws_event *event, struct json_object *message)
{
    struct json_error error;
    char text[CLIENT_TEXT_MAX];
    if (json_parse(message, (const char *)event->payload, event->len, &error) == 0)
        return true;
    snprintf(text, sizeof(text), "not acceptable JSON at byte %zu: %s", error.offset, error.why);
    client_say_error(client, "bad_json", text, NULL);
    return false;
}
