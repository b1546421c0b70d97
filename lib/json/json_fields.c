/* SPDX-License-Identifier: MIT
 *
 * json_fields.c - finds and decodes the fields of an object that json.c has parsed. Any thread, no
 * locks. Allocates only the result of json_get_string.
 */
#include <string.h>

#include <cjson/cJSON.h>

#include "lib/ascii.h"
#include "lib/json/json.h"

const struct json_field *json_find_key(const struct json_object *object, uint64_t key)
{
    for (size_t i = 0; i < object->count; i++)
        if (object->fields[i].key == key)
            return &object->fields[i];
    return NULL;
}

bool json_is_string(const struct json_field *field)
{
    return field && field->value[0] == '"';
}

const char *json_kind(const struct json_field *field)
{
    switch (field->value[0]) {
    case '"':
        return "a string";
    case '{':
        return "an object";
    case '[':
        return "an array";
    case 't':
    case 'f':
        return "true or false";
    case 'n':
        return "null";
    default:
        return "a number";
    }
}

char *json_get_string(const struct json_object *object, const char *name)
{
    const struct json_field *field = json_find(object, name);
    char *text = field ? cJSON_malloc(field->value_len) : NULL; /* decoding makes it shorter */

    if (text && json_string(field, text, field->value_len) >= 0)
        return text;
    cJSON_free(text);
    return NULL;
}

uint64_t json_get_uint(const struct json_object *object, const char *name)
{
    const struct json_field *field = json_find(object, name);
    uint64_t number = 0;

    return field && json_number(field, &number) == 0 ? number : 0;
}

bool json_get_bool(const struct json_object *object, const char *name)
{
    const struct json_field *field = json_find(object, name);

    return field && field->value[0] == 't';
}

bool json_equals(const struct json_object *object, const char *name, const char *text)
{
    char *value = json_get_string(object, name);
    bool same = value && strcmp(value, text) == 0;

    cJSON_free(value);
    return same;
}

int json_number(const struct json_field *field, uint64_t *out)
{
    const uint64_t most = UINT64_C(1) << 53;
    uint64_t number = 0;

    for (size_t i = 0; i < field->value_len; i++) {
        if (!ascii_is_digit(field->value[i]))
            return -1;
        number = number * 10 + (uint64_t)(field->value[i] - '0');
        if (number > most)
            return -1;
    }
    *out = number;
    return 0;
}
