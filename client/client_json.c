/* SPDX-License-Identifier: MIT
 *
 * client_json.c - writes a client's messages as JSON. No locks: ragchat has one thread.
 */
#include "client/client_json.h"

#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

#include "client/term/unicode.h"
#include "lib/json/json_ascii.h"

/* ---- Sent messages ---- */

char *client_json_join(const struct client_json_join *join)
{
    struct json_writer w = json_message_begin("Join");
    json_write_string(&w, "Password", join->password);
    json_write_string(&w, "Name", join->name);
    if (join->epoch) {
        json_write_object(&w, "Resume");
        json_write_string(&w, "Epoch", join->epoch);
        json_write_uint(&w, "After", join->after);
        json_write_end(&w);
    }
    if (join->claim)
        json_write_fields(&w, join->claim);
    return json_message_end(&w, NULL);
}

char *client_json_broadcast(const char *text, const char *ref)
{
    struct json_writer w = json_message_begin("Broadcast");
    json_write_string(&w, "text", text);
    if (ref)
        json_write_string(&w, "Ref", ref);
    return json_message_end(&w, NULL);
}

char *client_json_private(const char *to, const char *text, const char *ref)
{
    struct json_writer w = json_message_begin("PrivateMessage");
    json_write_string(&w, "TgtUser", to);
    json_write_string(&w, "text", text);
    if (ref)
        json_write_string(&w, "Ref", ref);
    return json_message_end(&w, NULL);
}

char *client_json_get_keys(const char *to, const char *ref)
{
    struct json_writer w = json_message_begin("GetKeys");
    json_write_string(&w, "TgtUser", to);
    if (ref)
        json_write_string(&w, "Ref", ref);
    return json_message_end(&w, NULL);
}

char *client_json_history(const char *words, uint64_t before, unsigned count, const char *ref)
{
    struct json_writer w = json_message_begin(words ? "Search" : "GetHistory");
    if (words)
        json_write_string(&w, "text", words);
    if (before != UINT64_MAX)
        json_write_uint(&w, "Before", before);
    json_write_uint(&w, "Count", count);
    json_write_string(&w, "Ref", ref);
    return json_message_end(&w, NULL);
}

char *client_json_get_users(const char *start, unsigned limit, const char *ref)
{
    struct json_writer w = json_message_begin("GetUsers");
    if (start)
        json_write_string(&w, "Prefix", start);
    json_write_uint(&w, "Limit", limit);
    json_write_string(&w, "Ref", ref);
    return json_message_end(&w, NULL);
}

char *client_json_publish_keys(const struct e2e_keys *keys, const char *ref)
{
    struct json_writer w = json_message_begin("PublishKeys");
    e2e_write_keys(&w, keys);
    json_write_string(&w, "Ref", ref);
    return json_message_end(&w, NULL);
}

char *client_json_gap(const char *from)
{
    struct json_writer w = json_message_begin("Missing");
    json_write_string(&w, "SrcUser", from);
    return json_message_end(&w, NULL);
}

char *client_json_notice(const char *to, const char *code, const struct json_field *about)
{
    struct json_writer w = json_message_begin("PrivateMessage");
    json_write_string(&w, "TgtUser", to);
    json_write_string(&w, "text", "");
    json_write_string(&w, "Notice", "unreadable");
    json_write_string(&w, "Code", code);
    if (about)
        json_write_value(&w, "About", about->value, about->value_len);
    return json_message_end(&w, NULL);
}

/* ---- Received messages, for scripts ---- */

/* Copies a piece of valid JSON. A control character below U+0020 in it is white space between
 * values; any other control character is inside a string, and is escaped. */
static void put_json(struct json_writer *w, const char *json, size_t len)
{
    char escaped[JSON_ASCII_CHAR_MAX + 1];
    for (size_t at = 0; at < len;) {
        utf8proc_int32_t c;
        utf8proc_ssize_t used =
            utf8proc_iterate((const utf8proc_uint8_t *)json + at, (utf8proc_ssize_t)(len - at), &c);
        if (used <= 0) {
            w->failed = true; /* cannot happen: json_parse has checked the UTF-8 */
            return;
        }
        if (c < 0x20)
            json_write_raw(w, " ", 1);
        else if (unicode_is_harmless(c))
            json_write_raw(w, json + at, (size_t)used);
        else
            json_write_raw(w, escaped, json_ascii_char(escaped, (uint32_t)c));
        at += (size_t)used;
    }
}

static bool is_own_mark(const struct json_field *field)
{
    static const char *const names[] = {"Encrypted", "Verified", "Unreadable", "Missing"};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (field->key == json_key(names[i]))
            return true;
    return false;
}

/* Fields that nobody needs after a message was opened. */
static bool is_sealing(const struct json_field *field)
{
    static const char *const names[] = {"Enc",        "Seq",       "EncKey", "IdentityKey",
                                        "SessionKey", "ToKey",     "Sig",    "KeySignature",
                                        "KeyExpires", "KeyOrigin", "KeyEnc"};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (field->key == json_key(names[i]))
            return true;
    return false;
}

static void put_heard_field(struct json_writer *w, const struct json_field *field,
                            const struct client_json_heard *heard)
{
    bool is_other_text = heard->text && field->key == json_key("text");
    char *quoted = is_other_text ? json_quote(heard->text) : NULL;
    json_write_comma(w);
    put_json(w, field->name, field->name_len);
    json_write_text(w, ":");
    if (quoted)
        put_json(w, quoted, strlen(quoted));
    else if (is_other_text)
        w->failed = true;
    else
        put_json(w, field->value, field->value_len);
    free(quoted);
}

char *client_json_heard(const struct json_object *in, const struct client_json_heard *heard)
{
    struct json_writer w = {.text = NULL};
    json_write_object(&w, NULL);
    for (size_t i = 0; i < in->count; i++)
        if (!is_own_mark(&in->fields[i]) && !(heard->encrypted && is_sealing(&in->fields[i])))
            put_heard_field(&w, &in->fields[i], heard);
    if (heard->private)
        json_write_bool(&w, "Encrypted", heard->encrypted);
    if (heard->private && heard->encrypted)
        json_write_bool(&w, "Verified", heard->verified);
    if (heard->code)
        json_write_string(&w, "Unreadable", heard->code);
    if (heard->missing)
        json_write_uint(&w, "Missing", heard->missing);
    return json_message_end(&w, NULL);
}
