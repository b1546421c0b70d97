/* SPDX-License-Identifier: MIT
 *
 * json_writer.c - a growing text, and the JSON written into it. Any thread, no locks.
 *
 * This is where the program uses cJSON: for strings, the one part of JSON with complicated escaping
 * (RFC 8259 §7), and for memory that tests can make fail. A cJSON tree would keep numbers as
 * doubles and cost a dozen allocations for each message.
 */
#include "lib/json/json_writer.h"

#include <cjson/cJSON.h>

#include "lib/hex.h"

enum { ROOM_FIRST = 256 }; /* smallest allocation in bytes: most messages fit */

bool json_write_reserve(struct json_writer *w, size_t more)
{
    if (w->failed || more < w->room - w->len)
        return !w->failed;
    size_t room = w->len + more + 1;
    if (room < 2 * w->room)
        room = 2 * w->room;
    if (room < ROOM_FIRST)
        room = ROOM_FIRST;
    char *text = cJSON_malloc(room);
    if (text && w->len > 0)
        memcpy(text, w->text, w->len);
    cJSON_free(w->text);
    *w = (struct json_writer){
        .text = text, .len = text ? w->len : 0, .room = text ? room : 0, .failed = !text};
    return text;
}

static void write_field_name(struct json_writer *w, const char *name)
{
    json_write_comma(w);
    json_write_raw(w, "\"", 1);
    json_write_text(w, name);
    json_write_raw(w, "\":", 2);
}

void json_write_object(struct json_writer *w, const char *name)
{
    if (name)
        write_field_name(w, name);
    json_write_raw(w, "{", 1);
}

void json_write_end(struct json_writer *w)
{
    json_write_raw(w, "}", 1);
}

void json_write_value(struct json_writer *w, const char *name, const char *json, size_t len)
{
    write_field_name(w, name);
    json_write_raw(w, json, len);
}

void json_write_string(struct json_writer *w, const char *name, const char *value)
{
    char *quoted = json_quote(value);
    if (quoted)
        json_write_value(w, name, quoted, strlen(quoted));
    w->failed = w->failed || !quoted;
    cJSON_free(quoted);
}

size_t json_write_digits(char *out, uint64_t value)
{
    char digits[JSON_DIGITS_MAX], *first = digits + sizeof(digits);
    do {
        *--first = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    size_t len = (size_t)(digits + sizeof(digits) - first);
    memcpy(out, first, len);
    return len;
}

void json_write_uint(struct json_writer *w, const char *name, uint64_t value)
{
    char digits[JSON_DIGITS_MAX];
    json_write_value(w, name, digits, json_write_digits(digits, value));
}

void json_write_bool(struct json_writer *w, const char *name, bool value)
{
    json_write_value(w, name, value ? "true" : "false", value ? 4 : 5);
}

void json_write_hex(struct json_writer *w, const char *name, const unsigned char *bytes, size_t len)
{
    write_field_name(w, name);
    if (!json_write_reserve(w, 2 * len + 2))
        return;
    w->text[w->len] = '"';
    hex_write(w->text + w->len + 1, bytes, len);
    w->text[w->len + 1 + 2 * len] = '"';
    w->len += 2 * len + 2;
}

void json_write_fields(struct json_writer *w, const char *fields)
{
    json_write_comma(w);
    json_write_text(w, fields);
}

char *json_writer_finish(struct json_writer *w, size_t *len)
{
    char *text = json_write_reserve(w, 0) ? w->text : NULL;
    if (text)
        text[w->len] = '\0';
    else
        cJSON_free(w->text);
    if (len)
        *len = text ? w->len : 0;
    *w = (struct json_writer){.text = NULL};
    return text;
}

char *json_quote(const char *text)
{
    cJSON *string = cJSON_CreateStringReference(text);
    char *quoted = string ? cJSON_PrintUnformatted(string) : NULL;
    cJSON_Delete(string);
    return quoted;
}
