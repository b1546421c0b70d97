/* SPDX-License-Identifier: MIT
 *
 * config_value.c - reads one value of config.json into struct config.
 */
#include "base/config_parts.h"

#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/authority.h"
#include "lib/name.h"

enum {
    ORIGIN_LIMIT = 300, /* bytes of an entry in allowed_origins: a host name has 253 at most */
};

static const char *const levels[] = {
    [LOG_LEVEL_ERROR] = "error",
    [LOG_LEVEL_WARN] = "warn",
    [LOG_LEVEL_INFO] = "info",
    [LOG_LEVEL_DEBUG] = "debug",
};

static const char *const syncs[] = {
    [CONFIG_SYNC_PROCESS] = "process",
    [CONFIG_SYNC_POWER] = "power",
};

void *config_field_of(struct config *config, const struct config_key *key)
{
    return (char *)config + key->offset;
}

static int read_bool(const struct config_reader *r, const struct config_key *key,
                     const struct json_field *field)
{
    if (!strchr("tf", field->value[0]))
        return config_refuse_value(r, key, field);
    *(bool *)config_field_of(r->config, key) = field->value[0] == 't';
    return 0;
}

static int read_integer(const struct config_reader *r, const struct config_key *key,
                        const struct json_field *field)
{
    uint64_t number;
    if (json_number(field, &number) < 0 || number < (uint64_t)key->min ||
        number > (uint64_t)key->max)
        return config_refuse_value(r, key, field);
    *(int *)config_field_of(r->config, key) = (int)number;
    return 0;
}

/* Reads one of the names, of which `key` has the first and the last. */
static int read_choice(const struct config_reader *r, const struct config_key *key,
                       const struct json_field *field, const char *const *names, int *choice)
{
    char name[8];
    if (json_string(field, name, sizeof(name)) < 0)
        return config_refuse_value(r, key, field);
    for (*choice = key->min; *choice <= key->max; ++*choice)
        if (strcmp(name, names[*choice]) == 0)
            return 0;
    return config_refuse_value(r, key, field);
}

static int read_level(const struct config_reader *r, const struct config_key *key,
                      const struct json_field *field)
{
    int level;
    if (read_choice(r, key, field, levels, &level) < 0)
        return -1;
    *(enum log_level *)config_field_of(r->config, key) = (enum log_level)level;
    return 0;
}

static int read_sync(const struct config_reader *r, const struct config_key *key,
                     const struct json_field *field)
{
    int sync;
    if (read_choice(r, key, field, syncs, &sync) < 0)
        return -1;
    *(enum config_sync *)config_field_of(r->config, key) = (enum config_sync)sync;
    return 0;
}

static bool has_control(const char *text)
{
    while (*text && config_control_len(text) == 0)
        text++;
    return *text != '\0';
}

static long count_characters(const char *text)
{
    long characters = 0;
    for (; *text; text++)
        characters += !config_is_continuation(*text);
    return characters;
}

/* Copies `path`, relative to the configuration's folder unless it is absolute or empty. */
static char *copy_path(const char *config_path, const char *path)
{
    const char *slash = strrchr(config_path, '/');
    size_t folder = slash && path[0] != '/' && path[0] ? (size_t)(slash - config_path) + 1 : 0;
    char *copy = malloc(folder + strlen(path) + 1);
    if (!copy)
        return NULL;
    memcpy(copy, config_path, folder);
    strcpy(copy + folder, path);
    return copy;
}

static int read_string(const struct config_reader *r, const struct config_key *key,
                       const struct json_field *field)
{
    char text[CONFIG_STRING_LIMIT + 1];
    long len = json_string(field, text, sizeof(text));
    if (len < 0 || has_control(text))
        return config_refuse_value(r, key, field);
    long counted = key->kind == KIND_TEXT ? count_characters(text) : len;
    if (counted < key->min || counted > key->max)
        return config_refuse_value(r, key, field);
    char *copy = key->kind == KIND_PATH ? copy_path(r->config->path, text) : strdup(text);
    if (!copy)
        return config_refuse_memory(r);
    *(char **)config_field_of(r->config, key) = copy;
    return 0;
}

/* ---- Arrays --------------------------------------------------------------------------------- */

/* Whether it is an origin as browsers send it (RFC 6454 §6.2), or "*". */
static bool is_origin(const char *text)
{
    struct sockaddr_storage ignored;
    struct text host, port;
    if (strcmp(text, "*") == 0 || strcmp(text, "null") == 0)
        return true;
    size_t scheme = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789+-.");
    if (!islower((unsigned char)text[0]) || strncmp(text + scheme, "://", 3) != 0 ||
        !authority_split(text_of(text + scheme + 3), &host, &port))
        return false;
    bool is_good = authority_is_literal(host) ? address_read(host.at, host.len, &ignored)
                                              : authority_is_name(host);
    return is_good && (!port.at || authority_port(port) >= 0);
}

static int read_allowed_origin(const struct config_reader *r, const struct config_key *key,
                               const struct json_field *item)
{
    char text[ORIGIN_LIMIT + 1];
    if (json_string(item, text, sizeof(text)) < 0)
        return config_refuse_value(r, key, item);
    /* Browsers send scheme and host in lower case (RFC 6454 §4), people may not. */
    for (char *c = text; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    if (!is_origin(text))
        return config_refuse_value(r, key, item);
    char *copy = strdup(text);
    if (!copy)
        return config_refuse_memory(r);
    r->config->allowed_origins[r->config->allowed_origins_count++] = copy;
    return 0;
}

static int read_block(const struct config_reader *r, const struct config_key *key,
                      const struct json_field *item)
{
    char text[ADDRESS_TEXT_MAX];
    struct address_list *list = config_field_of(r->config, key);
    if (json_string(item, text, sizeof(text)) < 0 ||
        !address_block_read(text, &list->blocks[list->count]))
        return config_refuse_value(r, key, item);
    list->count++;
    return 0;
}

/* The name of a room as its path gives it; "": the main room, "*": all rooms. */
static int read_room(const struct config_reader *r, const struct config_key *key,
                     const struct json_field *item)
{
    char name[NAME_MAX_BYTES + 1];
    struct config *config = r->config;
    long len = json_string(item, name, sizeof(name));
    if (len < 0 || (len > 0 && name_check(name, (size_t)len)))
        return config_refuse_value(r, key, item);
    char *copy = strdup(name);
    if (!copy)
        return config_refuse_memory(r);
    config->history_rooms[config->history_rooms_count++] = copy;
    return 0;
}

static int read_item(const struct config_reader *r, const struct config_key *key,
                     const struct json_field *item)
{
    if (key->kind == KIND_BLOCKS)
        return read_block(r, key, item);
    return key->kind == KIND_ROOMS ? read_room(r, key, item) : read_allowed_origin(r, key, item);
}

static int read_array(const struct config_reader *r, const struct config_key *key,
                      const struct json_field *field)
{
    struct json_field item;
    size_t at = 0;
    if (field->value[0] != '[')
        return config_refuse_value(r, key, field);
    for (int count = 0; json_element(field, &at, &item); count++) {
        if (count == key->max)
            return config_refuse(r, item.value, key->name, "expected at most %d entries, got more",
                                 key->max);
        if (config_note_fault(r, read_item(r, key, &item)) < 0)
            return -1;
    }
    return 0;
}

int config_read_value(const struct config_reader *r, const struct config_key *key,
                      const struct json_field *field)
{
    switch (key->kind) {
    case KIND_BOOL:
        return read_bool(r, key, field);
    case KIND_INTEGER:
        return read_integer(r, key, field);
    case KIND_TEXT:
    case KIND_BYTES:
    case KIND_SECRET:
    case KIND_PATH:
        return read_string(r, key, field);
    case KIND_ORIGINS:
    case KIND_BLOCKS:
    case KIND_ROOMS:
        return read_array(r, key, field);
    case KIND_SYNC:
        return read_sync(r, key, field);
    case KIND_LEVEL:
        return read_level(r, key, field);
    }
    return -1;
}
