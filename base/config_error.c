/* SPDX-License-Identifier: MIT
 *
 * config_error.c - errors in config.json: FILE:LINE:COLUMN: KEY: expected this, got that.
 *
 * An error never contains a value of server_password, of whatever type, and other values are cut
 * short. An error is one line: control characters in it become '?'.
 */
#include "base/config_parts.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/name.h"

enum {
    SHOWN_LIMIT = 40, /* characters of a value in an error; the rest is "..." */
    SHOWN_MAX = 256,  /* bytes for them, quotes and the kind of the value */
    KEY_LIMIT = 32,   /* upper bound of characters of a known key */
    TYPOS_LIMIT = 2,  /* letters in which an unknown key may differ from its suggestion */
};

void config_write_allowed(char out[CONFIG_ALLOWED_MAX], const struct config_key *key)
{
    switch (key->kind) {
    case KIND_BOOL:
        snprintf(out, CONFIG_ALLOWED_MAX, "true or false");
        break;
    case KIND_INTEGER:
        snprintf(out, CONFIG_ALLOWED_MAX, "a whole number from %d to %d", key->min, key->max);
        break;
    case KIND_TEXT:
    case KIND_BYTES:
    case KIND_SECRET:
        snprintf(out, CONFIG_ALLOWED_MAX, "a string of %d to %d %s without control characters",
                 key->min, key->max, key->kind == KIND_TEXT ? "characters" : "bytes");
        break;
    case KIND_PATH:
        snprintf(out, CONFIG_ALLOWED_MAX,
                 "the path of a file, at most %d bytes without control characters", key->max);
        break;
    case KIND_ORIGINS:
        snprintf(out, CONFIG_ALLOWED_MAX,
                 "an array of at most %d strings, each \"*\", \"null\" or scheme://host[:port] "
                 "without a path",
                 key->max);
        break;
    case KIND_BLOCKS:
        snprintf(out, CONFIG_ALLOWED_MAX,
                 "an array of at most %d strings, each an address or a block of them like "
                 "\"10.0.0.0/8\", with no bit set behind the prefix",
                 key->max);
        break;
    case KIND_ROOMS:
        snprintf(out, CONFIG_ALLOWED_MAX,
                 "an array of at most %d strings, each the name of a room of 1 to %d characters, "
                 "\"\" for the main room, or \"*\" for all",
                 key->max, NAME_MAX_CHARS);
        break;
    case KIND_SYNC:
        snprintf(out, CONFIG_ALLOWED_MAX, "\"process\" or \"power\"");
        break;
    case KIND_LEVEL:
        snprintf(out, CONFIG_ALLOWED_MAX, "\"error\", \"warn\", \"info\" or \"debug\"");
        break;
    }
}

size_t config_control_len(const char *text)
{
    unsigned char first = (unsigned char)text[0], second = first ? (unsigned char)text[1] : 0;
    if (first == 0xC2 && second >= 0x80 && second < 0xA0)
        return 2;
    return (first > 0 && first < 0x20) || first == 0x7F ? 1 : 0;
}

bool config_is_continuation(char byte)
{
    return ((unsigned char)byte & 0xC0) == 0x80;
}

/* Replaces control characters, and removes a partial character where the error was cut. */
static void tidy(char *error)
{
    for (char *at = error; *at; at++)
        memset(at, '?', config_control_len(at));
    size_t end = strlen(error);
    if (end < CONFIG_ERROR_MAX - 1)
        return;
    while (end > 0 && config_is_continuation(error[end - 1]))
        end--;
    if (end > 0 && (unsigned char)error[end - 1] >= 0xC0)
        end--;
    error[end] = '\0';
}

/* Appends to an error; what does not fit is left out. */
static void complaint_append_args(char *error, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));

static void complaint_append_args(char *error, const char *format, va_list args)
{
    size_t used = strlen(error);
    vsnprintf(error + used, CONFIG_ERROR_MAX - used, format, args);
}

static void complaint_append(char *error, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void complaint_append(char *error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    complaint_append_args(error, format, args);
    va_end(args);
}

/* Writes "FILE:LINE:COLUMN: KEY: ", without the parts that are unknown. */
static void complaint_write_head(char *error, const struct config *config,
                                 struct config_place place, const char *key)
{
    error[0] = '\0';
    complaint_append(error, "%s:", config->path);
    if (place.line > 0)
        complaint_append(error, "%d:%d:", place.line, place.column);
    complaint_append(error, " ");
    if (key)
        complaint_append(error, "%s: ", key);
}

struct config_place config_place_of(const struct config_reader *r, const char *at)
{
    struct config_place place = {1, 1};
    for (const char *c = r->text; c < at; c++) {
        if (*c == '\n') // NOLINT(clang-analyzer-core.NullDereference): `at` is in r->text
            place = (struct config_place){place.line + 1, 1};
        else if (!config_is_continuation(*c))
            place.column++;
    }
    return place;
}

int config_refuse(const struct config_reader *r, const char *at, const char *key,
                  const char *format, ...)
{
    complaint_write_head(r->error, r->config,
                         at ? config_place_of(r, at) : (struct config_place){0, 0}, key);
    va_list args;
    va_start(args, format);
    complaint_append_args(r->error, format, args);
    va_end(args);
    tidy(r->error);
    return -1;
}

int config_refuse_memory(const struct config_reader *r)
{
    /* config->path may be NULL here. */
    snprintf(r->error, CONFIG_ERROR_MAX, "out of memory while the configuration was read");
    return -1;
}

/* The length in bytes of the first SHOWN_LIMIT characters of a text. */
static int shown_len(const char *text, size_t len)
{
    size_t at = 0;
    for (int characters = 0; at < len; at++)
        if (!config_is_continuation(text[at]) && ++characters > SHOWN_LIMIT)
            break;
    return (int)at;
}

/* Describes a value: its text, cut short, and its kind. */
static void write_found(char out[SHOWN_MAX], const struct json_field *field)
{
    int shown = shown_len(field->value, field->value_len);
    bool cut = (size_t)shown < field->value_len;
    const char *rest = !cut ? "" : field->value[0] == '"' ? "...\"" : "...";
    if (strchr("[{", field->value[0]))
        snprintf(out, SHOWN_MAX, "%s", json_kind(field));
    else if (strchr("tfn", field->value[0]))
        snprintf(out, SHOWN_MAX, "%.*s", shown, field->value);
    else
        snprintf(out, SHOWN_MAX, "%.*s%s (%s)", shown, field->value, rest, json_kind(field));
}

int config_refuse_value(const struct config_reader *r, const struct config_key *key,
                        const struct json_field *field)
{
    char found[SHOWN_MAX], allowed[CONFIG_ALLOWED_MAX];
    if (key->kind == KIND_SECRET)
        snprintf(found, sizeof(found), "%s (not shown)", json_kind(field));
    else
        write_found(found, field);
    config_write_allowed(allowed, key);
    return config_refuse(r, field->value, key->name, "expected %s, got %s", allowed, found);
}

int config_complain(const struct config *config, const char *key, char *error, const char *format,
                    ...)
{
    struct config_place place = {0, 0};
    for (size_t i = 0; i < config_key_count; i++)
        if (strcmp(config_keys[i].name, key) == 0)
            place = (struct config_place){config->where[i].line, config->where[i].column};
    complaint_write_head(error, config, place, key);
    va_list args;
    va_start(args, format);
    complaint_append_args(error, format, args);
    va_end(args);
    tidy(error);
    return -1;
}

int config_note_fault(const struct config_reader *r, int rc)
{
    if (rc == 0 || !r->faults)
        return rc;
    r->faults->count++;
    r->faults->report(r->faults->context, r->error);
    return 0;
}

/* ---- Unknown keys --------------------------------------------------------------------------- */

/* The number of letters in which `found` differs from `known`, ignoring case (Levenshtein distance:
 * letters changed, added or left out). */
static size_t count_typos(const char *found, const char *known)
{
    size_t row[KEY_LIMIT + 1], width = strlen(known);
    for (size_t i = 0; i <= width; i++)
        row[i] = i;
    for (size_t line = 1; *found; found++, line++) {
        size_t diagonal = row[0];
        row[0] = line;
        for (size_t i = 1; i <= width; i++) {
            bool same = tolower((unsigned char)*found) == tolower((unsigned char)known[i - 1]);
            size_t change = diagonal + !same;
            size_t leave_out = 1 + (row[i] < row[i - 1] ? row[i] : row[i - 1]);
            diagonal = row[i];
            row[i] = change < leave_out ? change : leave_out;
        }
    }
    return row[width];
}

/* The most similar known key, or NULL. At most a third of its letters may differ. */
static const char *nearest_key(const char *found)
{
    const char *nearest = NULL;
    size_t least = TYPOS_LIMIT + 1;
    for (size_t i = 0; i < config_key_count; i++) {
        size_t typos = count_typos(found, config_keys[i].name);
        if (typos >= least || 3 * typos > strlen(config_keys[i].name))
            continue;
        least = typos;
        nearest = config_keys[i].name;
    }
    return nearest;
}

int config_refuse_unknown(const struct config_reader *r, const struct json_field *field)
{
    char name[SHOWN_MAX];
    size_t len = field->name_len - 2; /* without its quotes */
    int shown = shown_len(field->name + 1, len);
    snprintf(name, sizeof(name), "%.*s%s", shown, field->name + 1,
             (size_t)shown < len ? "..." : "");
    const char *nearest = nearest_key(name);
    if (nearest)
        return config_refuse(r, field->name, name, "unknown key, did you mean %s?", nearest);
    return config_refuse(r, field->name, name,
                         "unknown key, expected one of those in docs/OPERATING.md");
}
