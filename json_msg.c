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

#include <string.h>

#include "lib/crypto/e2e.h"

/* ---- Relaying -------------------------------------------------------------------------------- */

/* Whether json_relay sets or moves the field. Written out, because only then every key is a
 * constant. */
static bool is_relay_name(uint64_t key)
{
    return key == json_key("text") || key == json_key("msgType") || key == json_key("SrcUser") ||
           key == json_key("TgtUser") || key == json_key("Id") || key == json_key("Time") ||
           key == json_key("History");
}

_Static_assert(JSON_EXTRA_MAX == 7, "json.h has room for so many");

int json_parse_message(struct json_object *message, const char *text, size_t len,
                       struct json_error *error)
{
    static const struct json_rules rules = {.is_extra = is_relay_name};

    return json_parse(message, text, len, &rules, error);
}

int json_parse_answer(struct json_object *answer, const char *text, size_t len,
                      struct json_error *error)
{
    static const struct json_rules rules = {.is_extra = is_relay_name, .is_page = true};

    return json_parse(answer, text, len, &rules, error);
}

enum protocol_error json_error_code(const struct json_object *in)
{
    char name[32]; /* a longer name matches none of them */
    const struct json_field *code = json_find(in, "Code");

    return code && json_string(code, name, sizeof name) >= 0 ? protocol_error_find(name)
                                                             : ERROR_NONE;
}

static const char private_start[] = "{\"msgType\":\"PrivateMessage\",\"SrcUser\":";
static const char broadcast_start[] = "{\"msgType\":\"Broadcast\",\"SrcUser\":";
static const char broadcast_target[] = ",\"TgtUser\":\"\"";

/* The length of a field with its comma and colon; 0 without a field. */
static size_t field_size(const struct json_field *field)
{
    return field ? field->name_len + field->value_len + 2 : 0;
}

size_t json_relay_size(const struct json_object *in, bool private, const char *src)
{
    size_t size = private ? sizeof(private_start) - 1
                          : sizeof(broadcast_start) - 1 + sizeof(broadcast_target) - 1;

    size += strlen(src) + field_size(json_find(in, "text"));
    for (size_t i = 0; i < in->count; i++)
        if (!in->fields[i].extra)
            size += field_size(&in->fields[i]);
    return size;
}

static char *put(char *out, const char *bytes, size_t len)
{
    memcpy(out, bytes, len);
    return out + len;
}

static char *put_field(char *out, const struct json_field *field)
{
    *out++ = ',';
    out = put(out, field->name, field->name_len);
    *out++ = ':';
    return put(out, field->value, field->value_len);
}

/* Puts `text` first, the other fields in the client's order. */
void json_relay_write(char *out, const struct json_object *in, bool private, const char *src)
{
    const struct json_field *text = json_find(in, "text");

    out = private ? put(out, private_start, sizeof(private_start) - 1)
                  : put(out, broadcast_start, sizeof(broadcast_start) - 1);
    out = put(out, src, strlen(src));
    if (!private)
        out = put(out, broadcast_target, sizeof(broadcast_target) - 1);
    if (text)
        out = put_field(out, text);
    for (size_t i = 0; i < in->count; i++)
        if (!in->fields[i].extra)
            out = put_field(out, &in->fields[i]);
}

char *json_relay(const struct json_object *in, bool private, const char *src, size_t *len)
{
    struct json_writer w = {.text = NULL};
    size_t size = json_relay_size(in, private, src);

    if (json_write_reserve(&w, size + JSON_STAMP_MAX)) {
        json_relay_write(w.text, in, private, src);
        w.len = size;
    }
    return json_writer_finish(&w, len);
}

size_t json_finish_relay(char *out, uint64_t id, int64_t ms)
{
    static const char id_name[] = ",\"Id\":", time_name[] = ",\"Time\":";
    char *at = out;

    if (id) {
        at = put(at, id_name, sizeof(id_name) - 1);
        at += json_write_digits(at, id);
    }
    at = put(at, time_name, sizeof(time_name) - 1);
    if (ms < 0)
        *at++ = '-';
    at += json_write_digits(at, ms < 0 ? -(uint64_t)ms : (uint64_t)ms);
    *at++ = '}';
    *at = '\0';
    return (size_t)(at - out);
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

/* ---- Who is online --------------------------------------------------------------------------- */

/* Adds an array of names that are quoted already. */
static void add_quoted_names(struct json_writer *w, const char *field,
                             const struct json_names *names)
{
    size_t size = sizeof ",\"\":[]" + strlen(field);

    for (size_t i = 0; i < names->count; i++)
        size += strlen(names->quoted[i]) + 1;
    json_write_reserve(w, size);
    json_write_value(w, field, "[", 1);
    for (size_t i = 0; i < names->count; i++) {
        json_write_comma(w);
        json_write_text(w, names->quoted[i]);
    }
    json_write_text(w, "]");
}

char *json_online_users(const struct json_names *users, size_t *len)
{
    struct json_writer w = json_message_begin("OnlineUsers");

    add_quoted_names(&w, "Users", users);
    return json_message_end(&w, len);
}

char *json_user_list(uint64_t version, size_t count, const struct json_names *users, size_t *len)
{
    struct json_writer w = json_message_begin("OnlineUsers");

    json_write_uint(&w, "Version", version);
    json_write_uint(&w, "Count", count);
    if (users)
        add_quoted_names(&w, "Users", users);
    return json_message_end(&w, len);
}

char *json_presence(const struct json_presence *presence, size_t *len)
{
    struct json_writer w = json_message_begin("Presence");

    json_write_uint(&w, "Version", presence->version);
    json_write_uint(&w, "Since", presence->since);
    json_write_uint(&w, "Count", presence->count);
    if (presence->joined.count > 0)
        add_quoted_names(&w, "Joined", &presence->joined);
    if (presence->left.count > 0)
        add_quoted_names(&w, "Left", &presence->left);
    return json_message_end(&w, len);
}

char *json_users(const struct json_names *users, size_t count, bool more,
                 const struct json_object *about, size_t *len)
{
    struct json_writer w = json_message_begin("Users");

    json_write_uint(&w, "Count", count);
    add_quoted_names(&w, "Users", users);
    json_write_bool(&w, "More", more);
    add_echo(&w, about, "Ref");
    return json_message_end(&w, len);
}
