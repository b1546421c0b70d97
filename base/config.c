/* SPDX-License-Identifier: MIT
 *
 * config.c - reads config.json: the table of settings, and the checks of the whole file.
 *
 * The table config_keys holds the type, bounds and default of each setting, and whether it is
 * required. json_msg.c checks that the text is JSON (RFC 8259), that no key is repeated and that
 * nothing follows the object. It returns slices of the text, so each error can name the line and
 * the column. config_value.c reads single values, config_error.c writes the errors.
 *
 * Later checks are elsewhere: the certificate in server_cert.c, the address in socket.c. They
 * report through config_complain, which knows the positions of the values.
 *
 * Called from the main thread only; takes no locks.
 */
#include "base/config.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/config_parts.h"
#include "json_msg.h"
#include "net/file.h"

#define SAMPLE_PASSWORD "963" /* the one in the config.json that is shipped */

enum {
    MESSAGE_EXTRA = 1024, /* bytes that a message may grow by on its way into the ring */
    RING_MESSAGES = 8,    /* longest messages that a room's ring must hold */
    MESSAGE_LEAST = 256,  /* lower bound of max_message_bytes */
    RING_LEAST = RING_MESSAGES * (MESSAGE_LEAST + MESSAGE_EXTRA),
};

/* ---- The table ------------------------------------------------------------------------------ */

#define KEY(field) #field, offsetof(struct config, field)

const struct config_key config_keys[] = {
    {KEY(SSL), KIND_BOOL, REQUIRED, 0, 1, 0},
    {KEY(SSL_Cert), KIND_PATH, REQUIRED_FOR_TLS, 0, CONFIG_STRING_LIMIT, 0},
    {KEY(SSL_Key), KIND_PATH, REQUIRED_FOR_TLS, 0, CONFIG_STRING_LIMIT, 0},
    {KEY(server_ip), KIND_BYTES, REQUIRED, 1, 255, 0},
    {KEY(server_port), KIND_INTEGER, REQUIRED, 0, 65535, 0},
    {KEY(server_name), KIND_TEXT, OPTIONAL, 0, 64, 0}, /* "": see name_room */
    {KEY(server_password), KIND_SECRET, REQUIRED, 0, 256, 0},

    {KEY(max_clients), KIND_INTEGER, OPTIONAL, 1, 100000, 1000},
    {KEY(max_clients_per_address), KIND_INTEGER, OPTIONAL, 0, 100000, 100},
    {KEY(exempt_loopback), KIND_BOOL, OPTIONAL, 0, 1, 0},
    {KEY(max_rooms), KIND_INTEGER, OPTIONAL, 1, 10000, 100},
    {KEY(max_message_bytes), KIND_INTEGER, OPTIONAL, MESSAGE_LEAST, 16 << 20, 64 << 10},
    {KEY(room_buffer_bytes), KIND_INTEGER, OPTIONAL, RING_LEAST, 1 << 30, 2 << 20},
    {KEY(max_messages_per_second), KIND_INTEGER, OPTIONAL, 0, 1000000, 50},
    {KEY(max_bytes_per_second), KIND_INTEGER, OPTIONAL, 0, 1000000000, 64 << 10},
    {KEY(too_fast_seconds), KIND_INTEGER, OPTIONAL, 0, 3600, 30},
    {KEY(history), KIND_INTEGER, OPTIONAL, 0, 10000, 0},
    {KEY(history_file), KIND_PATH, OPTIONAL, 0, CONFIG_HISTORY_FILE_LIMIT, 0},
    {KEY(history_sync), KIND_SYNC, OPTIONAL, CONFIG_SYNC_PROCESS, CONFIG_SYNC_POWER,
     CONFIG_SYNC_PROCESS},
    {KEY(history_hours), KIND_INTEGER, OPTIONAL, 0, 876000, 168},
    {KEY(history_messages), KIND_INTEGER, OPTIONAL, 1, 10000000, 10000},
    {KEY(history_rooms), KIND_ROOMS, OPTIONAL, 0, CONFIG_ROOMS_MAX, 0}, /* see complete_history */
    {KEY(history_search), KIND_BOOL, OPTIONAL, 0, 1, 0},
    {KEY(cluster_engine), KIND_BYTES, OPTIONAL, 0, 512, 0},
    {KEY(cluster_user), KIND_BYTES, OPTIONAL, 0, 128, 0},
    {KEY(cluster_password), KIND_SECRET, OPTIONAL, 0, 256, 0},
    {KEY(cluster_secret), KIND_SECRET, OPTIONAL, 0, 256, 0},
    {KEY(cluster_ca), KIND_PATH, OPTIONAL, 0, CONFIG_STRING_LIMIT, 0},
    {KEY(cluster_prefix), KIND_BYTES, OPTIONAL, 1, 32, 0}, /* see config_complete_cluster */
    {KEY(cluster_lease_seconds), KIND_INTEGER, OPTIONAL, 3, 300, 15},
    {KEY(cluster_log_bytes), KIND_INTEGER, OPTIONAL, 0, 1 << 30, 0},
    {KEY(cluster_room_seconds), KIND_INTEGER, OPTIONAL, 60, 31536000, 3600},
    {KEY(cluster_queue_bytes), KIND_INTEGER, OPTIONAL, 64 << 10, 1 << 30, 8 << 20},
    {KEY(allowed_origins), KIND_ORIGINS, OPTIONAL, 0, CONFIG_ORIGINS_MAX, 0},
    {KEY(trusted_proxies), KIND_BLOCKS, OPTIONAL, 0, ADDRESS_BLOCKS_MAX, 0},
    {KEY(metrics_from), KIND_BLOCKS, OPTIONAL, 0, ADDRESS_BLOCKS_MAX, 0},
    {KEY(handshake_timeout_seconds), KIND_INTEGER, OPTIONAL, 1, 3600, 10},
    {KEY(login_timeout_seconds), KIND_INTEGER, OPTIONAL, 1, 3600, 10},
    {KEY(frame_timeout_seconds), KIND_INTEGER, OPTIONAL, 1, 3600, 30},
    {KEY(ping_interval_seconds), KIND_INTEGER, OPTIONAL, 1, 3600, 30},
    {KEY(log_level), KIND_LEVEL, OPTIONAL, LOG_LEVEL_ERROR, LOG_LEVEL_DEBUG, LOG_LEVEL_INFO},
    {KEY(log_addresses), KIND_BOOL, OPTIONAL, 0, 1, 0},
};

enum { KEYS = sizeof(config_keys) / sizeof(config_keys[0]) };
const size_t config_key_count = KEYS;
_Static_assert((int)KEYS <= (int)CONFIG_KEYS, "struct config holds the place of each key");

/* ---- The whole file ------------------------------------------------------------------------- */

static int read_open_file(struct config_reader *r, int fd, const struct stat *about)
{
    if (!S_ISREG(about->st_mode))
        return config_refuse(r, NULL, NULL, "expected a regular file, got a folder or device");
    r->others_can_read =
        (about->st_mode & S_IROTH) || (about->st_mode & S_IRGRP && about->st_uid != 0);
    r->file = malloc(CONFIG_FILE_MAX + 2);
    if (!r->file)
        return config_refuse_memory(r);
    ssize_t len = file_read(fd, r->file, CONFIG_FILE_MAX + 1);
    if (len < 0)
        return config_refuse(r, NULL, NULL, "cannot be read: %s", strerror(errno));
    if (len > CONFIG_FILE_MAX)
        return config_refuse(r, NULL, NULL, "expected at most %d bytes, got more", CONFIG_FILE_MAX);
    r->file[len] = '\0';
    r->len = (size_t)len;
    return 0;
}

static int read_file(struct config_reader *r)
{
    struct stat about;
    int fd = file_open(r->config->path, &about);
    if (fd < 0)
        return config_refuse(r, NULL, NULL, "cannot be read: %s%s", strerror(errno),
                             errno == ENOENT ? " (ragnarok --init makes one)" : "");
    int rc = read_open_file(r, fd, &about);
    close(fd);
    return rc;
}

static void set_fallbacks(struct config *config)
{
    for (size_t i = 0; i < KEYS; i++) {
        if (config_keys[i].kind == KIND_INTEGER)
            *(int *)config_field_of(config, &config_keys[i]) = config_keys[i].fallback;
        else if (config_keys[i].kind == KIND_LEVEL)
            *(enum log_level *)config_field_of(config, &config_keys[i]) =
                (enum log_level)config_keys[i].fallback;
        else if (config_keys[i].kind == KIND_SYNC)
            *(enum config_sync *)config_field_of(config, &config_keys[i]) =
                (enum config_sync)config_keys[i].fallback;
        else if (config_keys[i].kind == KIND_BOOL)
            *(bool *)config_field_of(config, &config_keys[i]) = config_keys[i].fallback != 0;
    }
}

/* The place of a key in the table; KEYS: it is unknown. */
static size_t index_of_key(uint64_t key)
{
    size_t i = 0;
    while (i < KEYS && json_key(config_keys[i].name) != key)
        i++;
    return i;
}

static int read_key(const struct config_reader *r, const struct json_field *field)
{
    size_t i = index_of_key(field->key);
    if (i == KEYS)
        return config_refuse_unknown(r, field);
    struct config_place place = config_place_of(r, field->value);
    r->config->where[i].line = place.line;
    r->config->where[i].column = place.column;
    int rc = config_read_value(r, &config_keys[i], field);
    if (rc < 0 && r->faults)
        r->faults->refused[i] = true;
    return rc;
}

/* Whether the value of a known key was refused, and reported. */
static bool is_refused(const struct config_reader *r, const char *name)
{
    return r->faults && r->faults->refused[index_of_key(json_key(name))];
}

/* Without TLS, a path may be empty or absent. */
static int check_needed(const struct config_reader *r, const struct config_key *key, bool present)
{
    struct config *config = r->config;
    if (key->need == OPTIONAL || (key->need == REQUIRED_FOR_TLS && !config->SSL))
        return 0;
    if (is_refused(r, key->name))
        return 0;
    if (present && (key->kind != KIND_PATH || **(char **)config_field_of(config, key)))
        return 0;
    char allowed[CONFIG_ALLOWED_MAX];
    config_write_allowed(allowed, key);
    return config_complain(config, key->name, r->error, "%s, expected %s",
                           present ? "empty" : "missing", allowed);
}

/* A member may fall behind by half the ring, and must read that half before the other one is
 * overwritten. So the ring must hold some messages of the greatest length. */
static int check_ring(const struct config *config, bool ring_given, char *error)
{
    long long least = RING_MESSAGES * ((long long)config->max_message_bytes + MESSAGE_EXTRA);
    if (config->room_buffer_bytes >= least)
        return 0;
    return config_complain(config, ring_given ? "room_buffer_bytes" : "max_message_bytes", error,
                           "expected a room_buffer_bytes of at least %d x (max_message_bytes + %d) "
                           "= %lld, got room_buffer_bytes %d and max_message_bytes %d",
                           RING_MESSAGES, MESSAGE_EXTRA, least, config->room_buffer_bytes,
                           config->max_message_bytes);
}

/* Checks that involve more than one value. */
static int check_together(const struct config_reader *r, const struct json_object *object)
{
    for (size_t i = 0; i < KEYS; i++) {
        bool present = r->config->where[i].line > 0;
        if (config_note_fault(r, check_needed(r, &config_keys[i], present)) < 0)
            return -1;
    }
    if (is_refused(r, "room_buffer_bytes") || is_refused(r, "max_message_bytes"))
        return 0;
    bool ring_given = json_find(object, "room_buffer_bytes") != NULL;
    return config_note_fault(r, check_ring(r->config, ring_given, r->error));
}

/* Names the room after the machine, if the file does not: the host's name up to its first dot. If
 * that has other characters than letters, digits, hyphens and underscores, or is empty, the name is
 * "Ragnarok". */
static int name_room(const struct config_reader *r)
{
    char host[HOST_NAME_MAX + 1] = "";
    struct config *config = r->config;
    if (config->server_name && config->server_name[0])
        return 0;
    free(config->server_name);
    bool known = gethostname(host, sizeof(host) - 1) == 0;
    size_t len = strspn(host, "-_0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
    known = known && len > 0 && (host[len] == '\0' || host[len] == '.');
    config->server_name = known ? strndup(host, len) : strdup("Ragnarok");
    return config->server_name ? 0 : config_refuse_memory(r);
}

/* Without history_rooms in the file, the main room is kept; without history_file, nothing is. */
static int complete_history(const struct config_reader *r, const struct json_object *object)
{
    struct config *config = r->config;
    if (!config->history_file && !(config->history_file = strdup("")))
        return config_refuse_memory(r);
    if (json_find(object, "history_rooms"))
        return 0;
    config->history_rooms[0] = strdup("");
    config->history_rooms_count = config->history_rooms[0] ? 1 : 0;
    return config->history_rooms[0] ? 0 : config_refuse_memory(r);
}

/* Refuses a text that is not one JSON object, in words for a file of settings. */
static int refuse_syntax(const struct config_reader *r, const struct json_error *wrong)
{
    static const char blanks[] = " \t\r\n";
    const char *at = r->text + wrong->offset;
    if (strspn(r->text, blanks) == r->len)
        return config_refuse(r, at, NULL,
                             "expected the settings, as one object in braces, got an empty file");
    if (strncmp(at, "//", 2) == 0 || strncmp(at, "/*", 2) == 0 || *at == '#')
        return config_refuse(r, at, NULL,
                             "expected no comment, because JSON has none, got \"%.2s\"",
                             *at == '#' ? "#" : at);
    if (at == r->text + strspn(r->text, blanks))
        return config_refuse(r, at, NULL,
                             "expected the settings, as one object in braces, got "
                             "something else");
    return config_refuse(r, at, NULL, "not acceptable JSON: %s", wrong->why);
}

static int read_config(struct config_reader *r)
{
    struct json_object object;
    struct json_error wrong;
    if (json_parse_message(&object, r->text, r->len, &wrong) < 0)
        return refuse_syntax(r, &wrong);
    for (size_t i = 0; i < object.count; i++)
        if (config_note_fault(r, read_key(r, &object.fields[i])) < 0)
            return -1;
    if (check_together(r, &object) < 0 || complete_history(r, &object) < 0 ||
        config_complete_cluster(r) < 0 || config_note_fault(r, config_check_cluster(r)) < 0)
        return -1;
    return name_room(r);
}

char *config_read(const char *path, size_t *len, bool *others_can_read, char *error)
{
    struct config named = {.path = strdup(path)};
    struct config_reader r = {.config = &named, .error = error};
    int rc = named.path ? read_file(&r) : config_refuse_memory(&r);
    free(named.path);
    *len = r.len;
    *others_can_read = r.others_can_read;
    if (rc == 0)
        return r.file;
    free(r.file);
    return NULL;
}

size_t config_mark_len(const char *text)
{
    return strncmp(text, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
}

/* Parses a text as config_parse does, and reports all errors if `faults` is not NULL. */
static int parse_text(struct config *config, const char *path, const char *text, size_t len,
                      struct config_faults *faults, char *error)
{
    size_t mark = config_mark_len(text);
    struct config_reader r = {
        .config = config, .faults = faults, .error = error, .text = text + mark, .len = len - mark};
    *config = (struct config){.path = strdup(path)};
    set_fallbacks(config);
    int rc = config->path ? read_config(&r) : config_refuse_memory(&r);
    if (rc < 0)
        config_free(config);
    return rc;
}

int config_parse(struct config *config, const char *path, const char *text, size_t len, char *error)
{
    return parse_text(config, path, text, len, NULL, error);
}

int config_load(struct config *config, const char *path, char *error)
{
    size_t len;
    bool ignored;
    char *text = config_read(path, &len, &ignored, error);
    int rc = text ? config_parse(config, path, text, len, error) : -1;
    free(text);
    return rc;
}

int config_check(const char *path, void (*report)(void *context, const char *error), void *context)
{
    char error[CONFIG_ERROR_MAX];
    size_t len;
    bool ignored;
    struct config config;
    struct config_faults faults = {.report = report, .context = context};
    char *text = config_read(path, &len, &ignored, error);
    if (!text || parse_text(&config, path, text, len, &faults, error) < 0) {
        faults.count++;
        report(context, error);
    } else {
        config_free(&config);
    }
    free(text);
    return faults.count;
}

/* ---- Reload --------------------------------------------------------------------------------- */

void config_note_kept(char *kept, const char *name)
{
    size_t used = strlen(kept);
    snprintf(kept + used, CONFIG_KEPT_MAX - used, "%s%s", used ? "," : "", name);
}

bool config_keep_int(int *value, int running)
{
    bool differs = *value != running;
    *value = running;
    return differs;
}

/* Replaces *value by a copy of `running`, if they differ. Returns false when memory is out. */
bool config_keep_string(char **value, const char *running, bool *differs)
{
    *differs = !*value || strcmp(*value, running) != 0;
    char *copy = *differs ? strdup(running) : *value;
    if (!copy)
        return false;
    if (*differs)
        free(*value);
    *value = copy;
    return true;
}

/* Keeps TLS on or off. If the new file has no TLS, its two paths may be absent. */
static bool keep_tls(struct config *config, const struct config *running, char *kept)
{
    bool differs = config->SSL != running->SSL, ignored;
    config->SSL = running->SSL;
    if (!differs)
        return true;
    config_note_kept(kept, "SSL");
    return !running->SSL || (config_keep_string(&config->SSL_Cert, running->SSL_Cert, &ignored) &&
                             config_keep_string(&config->SSL_Key, running->SSL_Key, &ignored));
}

static bool has_same_rooms(const struct config *config, const struct config *running)
{
    if (config->history_rooms_count != running->history_rooms_count)
        return false;
    for (int i = 0; i < config->history_rooms_count; i++)
        if (strcmp(config->history_rooms[i], running->history_rooms[i]) != 0)
            return false;
    return true;
}

/* Replaces the names by copies of those of `running`. Returns false when memory is out. */
static bool copy_rooms(struct config *config, const struct config *running)
{
    while (config->history_rooms_count > 0)
        free(config->history_rooms[--config->history_rooms_count]);
    for (int i = 0; i < running->history_rooms_count; i++) {
        if (!(config->history_rooms[i] = strdup(running->history_rooms[i])))
            return false;
        config->history_rooms_count++;
    }
    return true;
}

/* The history file is open, and rooms exist that are kept in it, or are not. */
static bool keep_history(struct config *config, const struct config *running, char *kept)
{
    bool differs;
    if (!config_keep_string(&config->history_file, running->history_file, &differs))
        return false;
    if (differs)
        config_note_kept(kept, "history_file");
    if (config->history_sync != running->history_sync)
        config_note_kept(kept, "history_sync");
    config->history_sync = running->history_sync;
    if (config->history_search != running->history_search)
        config_note_kept(kept, "history_search");
    config->history_search = running->history_search;
    if (has_same_rooms(config, running))
        return true;
    config_note_kept(kept, "history_rooms");
    return copy_rooms(config, running);
}

int config_keep(struct config *config, const struct config *running, char *kept, char *error)
{
    bool differs;
    kept[0] = '\0';
    if (!keep_tls(config, running, kept) ||
        !config_keep_string(&config->server_ip, running->server_ip, &differs)) {
        snprintf(error, CONFIG_ERROR_MAX, "out of memory while the configuration was read");
        return -1;
    }
    if (differs)
        config_note_kept(kept, "server_ip");
    if (config_keep_int(&config->server_port, running->server_port))
        config_note_kept(kept, "server_port");
    if (config_keep_int(&config->room_buffer_bytes, running->room_buffer_bytes))
        config_note_kept(kept, "room_buffer_bytes");
    if (!keep_history(config, running, kept) || !config_keep_cluster(config, running, kept)) {
        snprintf(error, CONFIG_ERROR_MAX, "out of memory while the configuration was read");
        return -1;
    }
    return check_ring(config, false, error);
}

bool config_keeps_history(const struct config *config, const char *name)
{
    for (int i = 0; config->history_file[0] && i < config->history_rooms_count; i++)
        if (strcmp(config->history_rooms[i], "*") == 0 ||
            strcmp(config->history_rooms[i], name) == 0)
            return true;
    return false;
}

bool config_has_sample_password(const struct config *config)
{
    return strcmp(config->server_password, SAMPLE_PASSWORD) == 0;
}

void config_free(struct config *config)
{
    free(config->SSL_Cert);
    free(config->SSL_Key);
    free(config->server_ip);
    free(config->server_name);
    free(config->server_password);
    for (int i = 0; i < config->allowed_origins_count; i++)
        free(config->allowed_origins[i]);
    config_free_cluster(config);
    free(config->history_file);
    for (int i = 0; i < config->history_rooms_count; i++)
        free(config->history_rooms[i]);
    free(config->path);
    *config = (struct config){0};
}
