/* SPDX-License-Identifier: MIT
 *
 * json_msg.c - the messages of the protocol to and from JSON.
 *
 * Two chapters:
 *   Relaying  rebuilds a client's message from its original bytes.
 *   Saying    writes the server's own messages.
 *
 * The caller checks which fields a message needs. No I/O, no locks, no state: any thread.
 */
#include "json_msg.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/crypto/e2e.h"

/* ---- Relaying -------------------------------------------------------------------------------- */

/* Fields that json_relay sets or moves. */
static const char *const relay_names[] = {"text", "msgType", "SrcUser", "TgtUser",
                                          "Id",   "Time",    "History"};

enum { RELAY_NAMES = sizeof relay_names / sizeof *relay_names };

_Static_assert((int)RELAY_NAMES <= (int)JSON_EXTRA_MAX, "json.h has room for so many");

static bool is_relay_name(uint64_t key)
{
    for (size_t i = 0; i < RELAY_NAMES; i++)
        if (key == json_key(relay_names[i]))
            return true;
    return false;
}

int json_parse_message(struct json_object *message, const char *text, size_t len,
                       struct json_error *error)
{
    return json_parse(message, text, len, is_relay_name, error);
}

enum protocol_error json_error_code(const struct json_object *in)
{
    char name[32]; /* a longer name matches none of them */
    const struct json_field *code = json_find(in, "Code");

    return code && json_string(code, name, sizeof name) >= 0 ? protocol_error_find(name)
                                                             : ERROR_NONE;
}

/* A message on its way from one client to others. */
struct relay {
    bool private;
    const char *src;
    const struct json_field *fields[JSON_FIELDS_MAX + 1]; /* `text` first */
    size_t count;
};

/* Picks the fields to relay: `text` first, the others in the client's order. */
static void relay_pick(struct relay *relay, const struct json_object *in)
{
    const struct json_field *text = json_find(in, "text");

    if (text)
        relay->fields[relay->count++] = text;
    for (size_t i = 0; i < in->count; i++)
        if (!is_relay_name(in->fields[i].key))
            relay->fields[relay->count++] = &in->fields[i];
}

static const char private_start[] = "{\"msgType\":\"PrivateMessage\",\"SrcUser\":";
static const char broadcast_start[] = "{\"msgType\":\"Broadcast\",\"SrcUser\":";
static const char broadcast_target[] = ",\"TgtUser\":\"\"";

/* Upper bound of what relay_write and json_finish_relay write. */
static size_t relay_size(const struct relay *relay)
{
    size_t size =
        sizeof private_start + sizeof broadcast_target + strlen(relay->src) + JSON_STAMP_MAX;

    for (size_t i = 0; i < relay->count; i++)
        size += relay->fields[i]->name_len + relay->fields[i]->value_len + 2;
    return size;
}

static void relay_write(const struct relay *relay, struct json_writer *w)
{
    json_write_text(w, relay->private ? private_start : broadcast_start);
    json_write_text(w, relay->src);
    if (!relay->private)
        json_write_text(w, broadcast_target);
    for (size_t i = 0; i < relay->count; i++) {
        json_write_raw(w, ",", 1);
        json_write_raw(w, relay->fields[i]->name, relay->fields[i]->name_len);
        json_write_raw(w, ":", 1);
        json_write_raw(w, relay->fields[i]->value, relay->fields[i]->value_len);
    }
}

char *json_relay(const struct json_object *in, bool private, const char *src, size_t *len)
{
    struct relay relay = {.private = private, .src = src};
    struct json_writer w = {.text = NULL};

    relay_pick(&relay, in);
    json_write_reserve(&w, relay_size(&relay));
    relay_write(&relay, &w);
    return json_writer_finish(&w, len);
}

size_t json_finish_relay(char *out, uint64_t id, int64_t ms)
{
    int len =
        id ? snprintf(out, JSON_STAMP_MAX, ",\"Id\":%" PRIu64 ",\"Time\":%" PRId64 "}", id, ms)
           : snprintf(out, JSON_STAMP_MAX, ",\"Time\":%" PRId64 "}", ms);

    return (size_t)len;
}

int64_t json_relay_time(const char *json, size_t len)
{
    int64_t ms = 0, unit = 1;
    size_t at = len > 0 ? len - 1 : 0; /* the last brace */

    while (at > 0 && json[at - 1] >= '0' && json[at - 1] <= '9' && unit < INT64_MAX / 100) {
        ms += (json[--at] - '0') * unit;
        unit *= 10;
    }
    return at > 0 && json[at - 1] == ':' ? ms : 0;
}

char *json_online_users(const char *const *quoted, size_t count, size_t *len)
{
    struct json_writer w = {.text = NULL};
    size_t size = sizeof "{\"msgType\":\"OnlineUsers\",\"Users\":[]}";

    for (size_t i = 0; i < count; i++)
        size += strlen(quoted[i]) + 1;
    json_write_reserve(&w, size);
    json_write_text(&w, "{\"msgType\":\"OnlineUsers\",\"Users\":[");
    for (size_t i = 0; i < count; i++) {
        json_write_comma(&w);
        json_write_text(&w, quoted[i]);
    }
    json_write_text(&w, "]}");
    return json_writer_finish(&w, len);
}

/* ---- Saying ---------------------------------------------------------------------------------- */

struct json_writer json_message_begin(const char *type)
{
    struct json_writer w = {.text = NULL};

    json_write_text(&w, "{\"msgType\":\"");
    json_write_text(&w, type);
    json_write_text(&w, "\"");
    return w;
}

char *json_message_end(struct json_writer *w, size_t *len)
{
    json_write_end(w);
    return json_writer_finish(w, len);
}

/* Adds a field of a client's message as it was written, if it is there. */
static void add_echo(struct json_writer *w, const struct json_object *about, const char *name)
{
    const struct json_field *field = about ? json_find(about, name) : NULL;

    if (field)
        json_write_value(w, name, field->value, field->value_len);
}

char *json_server_name(const char *server_name, size_t *len)
{
    struct json_writer w = {.text = NULL};

    json_write_object(&w, NULL);
    json_write_string(&w, "ServerName", server_name);
    return json_message_end(&w, len);
}

char *json_hello(const struct json_greeting *greeting, size_t *len)
{
    struct json_writer w = json_message_begin("Hello");

    json_write_string(&w, "ServerName", greeting->server_name);
    json_write_bool(&w, "PasswordRequired", greeting->password_required);
    json_write_string(&w, "Nonce", greeting->nonce);
    json_write_uint(&w, "Version", 2);
    if (greeting->kept) {
        json_write_object(&w, "Kept");
        json_write_uint(&w, "Hours", greeting->hours);
        json_write_uint(&w, "Messages", greeting->messages);
        json_write_end(&w);
    }
    return json_message_end(&w, len);
}

char *json_joined(const struct json_joined *joined, size_t *len)
{
    struct json_writer w = json_message_begin("Joined");

    json_write_string(&w, "ServerName", joined->server_name);
    json_write_string(&w, "Room", joined->room);
    json_write_string(&w, "Name", joined->name);
    json_write_string(&w, "Epoch", joined->epoch);
    json_write_uint(&w, "LastId", joined->last_id);
    json_write_bool(&w, "Resumed", joined->resumed);
    json_write_uint(&w, "MaxMessageBytes", joined->max_message_bytes);
    if (joined->oldest)
        json_write_uint(&w, "Oldest", joined->oldest);
    return json_message_end(&w, len);
}

char *json_error(enum protocol_error code, const char *text, const struct json_object *about,
                 size_t *len)
{
    struct json_writer w = json_message_begin("Error");

    json_write_string(&w, "Code", protocol_error_name(code));
    json_write_string(&w, "text", text);
    add_echo(&w, about, "Ref");
    add_echo(&w, about, "TgtUser");
    return json_message_end(&w, len);
}

char *json_throttled(const char *text, uint64_t seconds, const struct json_object *about,
                     size_t *len)
{
    struct json_writer w = json_message_begin("Error");

    json_write_string(&w, "Code", protocol_error_name(ERROR_THROTTLED));
    json_write_string(&w, "text", text);
    json_write_uint(&w, "RetryAfter", seconds);
    add_echo(&w, about, "Ref");
    return json_message_end(&w, len);
}

char *json_delivered(const struct json_object *about, size_t *len)
{
    struct json_writer w = json_message_begin("Delivered");

    add_echo(&w, about, "TgtUser");
    add_echo(&w, about, "Ref");
    return json_message_end(&w, len);
}

char *json_keys_published(const struct json_object *about, size_t *len)
{
    struct json_writer w = json_message_begin("KeysPublished");

    add_echo(&w, about, "Ref");
    return json_message_end(&w, len);
}

char *json_user_keys(const char *user, const struct e2e_keys *keys, const struct json_object *about,
                     size_t *len)
{
    struct json_writer w = json_message_begin("UserKeys");

    json_write_string(&w, "User", user);
    add_echo(&w, about, "Ref");
    if (keys)
        e2e_write_keys(&w, keys);
    return json_message_end(&w, len);
}

struct json_writer json_history_begin(const struct json_object *about, const char *epoch,
                                      size_t bytes)
{
    struct json_writer w = json_message_begin("History");

    add_echo(&w, about, "Ref");
    json_write_string(&w, "Epoch", epoch);
    json_write_text(&w, ",\"Messages\":[");
    json_write_reserve(&w, bytes);
    return w;
}

void json_history_add(struct json_writer *w, const char *json, size_t len)
{
    json_write_comma(w);
    json_write_raw(w, json, len);
}

char *json_history_end(struct json_writer *w, uint64_t from, bool more, size_t *len)
{
    json_write_text(w, "]");
    json_write_uint(w, "From", from);
    json_write_bool(w, "More", more);
    return json_message_end(w, len);
}
