/* SPDX-License-Identifier: MIT
 *
 * config.c - one table of settings, one strict way to read them, one way to complain.
 *
 * The table `keys` holds all there is to know of a setting: its type, bounds, default and whether
 * it must be there. Everything below the table serves it. That the text is JSON (RFC 8259), that
 * no key stands twice and that nothing follows the object, json_msg.c sees to; what it borrows
 * out are slices of the text, so that each complaint can name the line and the column.
 *
 * Left to others: whether the certificate is any good (cert.c), whether the address is one of
 * this host's (net.c). They complain through config_complain, which knows the places.
 *
 * No value of server_password, of whatever type, gets into a complaint; what else is shown of the
 * file is cut short. A complaint is one line: control characters in it become '?'.
 *
 * Called from the main thread only; takes no locks.
 */
#include "config.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "json_msg.h"

enum {
    STRING_LIMIT = 4095,  /* bytes of any string in the file; more is refused */
    ORIGIN_LIMIT = 300,   /* bytes of an entry in allowed_origins: a host name has 253 at most */
    SHOWN_LIMIT = 40,     /* characters of the file that a complaint shows; the rest is "..." */
    SHOWN_MAX = 256,      /* room for them, for quotes and for the kind of the value */
    ALLOWED_MAX = 160,    /* room for what is allowed */
    KEY_LIMIT = 32,       /* characters of a known key, at most */
    TYPOS_LIMIT = 2,      /* letters in which an unknown key may differ from the one suggested */
    MESSAGE_EXTRA = 1024, /* what a message grows by on its way into the ring, at most */
    RING_MESSAGES = 8,    /* longest messages that a room's ring must hold */
    MESSAGE_LEAST = 256,  /* the least that max_message_bytes may be */
    RING_LEAST = RING_MESSAGES * (MESSAGE_LEAST + MESSAGE_EXTRA),
};

/* ---- The table ------------------------------------------------------------------------------ */

enum kind {
    KIND_BOOL,
    KIND_INTEGER,
    KIND_TEXT,    /* a string; its length is counted in characters */
    KIND_BYTES,   /* a string; its length is counted in bytes, as in the next two */
    KIND_SECRET,  /* a string that is never shown */
    KIND_PATH,    /* a string, made relative to the folder of the file */
    KIND_ORIGINS, /* an array of strings */
    KIND_BLOCKS,  /* an array of addresses and blocks of them, as strings */
    KIND_LEVEL,   /* one of the names in `levels` */
};

enum need { OPTIONAL, REQUIRED, REQUIRED_FOR_TLS };

struct key {
    const char *name;
    size_t offset; /* of its field in struct config */
    enum kind kind;
    enum need need;
    int min, max; /* of a number, or of the length of a string */
    int fallback; /* what an absent optional key stands for */
};

#define KEY(field) #field, offsetof(struct config, field)

static const struct key keys[] = {
    {KEY(SSL), KIND_BOOL, REQUIRED, 0, 1, 0},
    {KEY(SSL_Cert), KIND_PATH, REQUIRED_FOR_TLS, 0, STRING_LIMIT, 0},
    {KEY(SSL_Key), KIND_PATH, REQUIRED_FOR_TLS, 0, STRING_LIMIT, 0},
    {KEY(server_ip), KIND_BYTES, REQUIRED, 1, 255, 0},
    {KEY(server_port), KIND_INTEGER, REQUIRED, 0, 65535, 0},
    {KEY(server_name), KIND_TEXT, REQUIRED, 1, 64, 0},
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

enum { KEYS = sizeof(keys) / sizeof(keys[0]) };
_Static_assert((int)KEYS <= (int)CONFIG_KEYS, "struct config has a place for every key");

static const char *const levels[] = {
    [LOG_LEVEL_ERROR] = "error",
    [LOG_LEVEL_WARN] = "warn",
    [LOG_LEVEL_INFO] = "info",
    [LOG_LEVEL_DEBUG] = "debug",
};

/* Where the value of `key` lives in `config`. */
static void *field_of(struct config *config, const struct key *key)
{
    return (char *)config + key->offset;
}

/* What a value of `key` may be, as the end of a sentence that starts with "allowed is". */
static void write_allowed(char out[ALLOWED_MAX], const struct key *key)
{
    switch (key->kind) {
    case KIND_BOOL:
        snprintf(out, ALLOWED_MAX, "true or false");
        break;
    case KIND_INTEGER:
        snprintf(out, ALLOWED_MAX, "a whole number from %d to %d", key->min, key->max);
        break;
    case KIND_TEXT:
    case KIND_BYTES:
    case KIND_SECRET:
        snprintf(out, ALLOWED_MAX, "a string of %d to %d %s without control characters", key->min,
                 key->max, key->kind == KIND_TEXT ? "characters" : "bytes");
        break;
    case KIND_PATH:
        snprintf(out, ALLOWED_MAX,
                 "the path of a file, at most %d bytes without control characters", key->max);
        break;
    case KIND_ORIGINS:
        snprintf(out, ALLOWED_MAX,
                 "an array of at most %d strings, each \"*\", \"null\" or scheme://host[:port] "
                 "without a path",
                 key->max);
        break;
    case KIND_BLOCKS:
        snprintf(out, ALLOWED_MAX,
                 "an array of at most %d strings, each an address or a block of them like "
                 "\"10.0.0.0/8\", with no bit set behind the prefix",
                 key->max);
        break;
    case KIND_LEVEL:
        snprintf(out, ALLOWED_MAX, "\"error\", \"warn\", \"info\" or \"debug\"");
        break;
    }
}

/* ---- Complaining ---------------------------------------------------------------------------- */

/* What is being read. */
struct reader {
    struct config *config;
    char *error;
    char *file;       /* the whole file, NUL-terminated; freed by config_load */
    const char *text; /* the same behind the byte order mark */
    size_t len;       /* of the text */
};

/* Where a complaint belongs. */
struct place {
    int line, column; /* 0: nowhere in particular */
};

/* The bytes at `text` that are one control character (C0, DEL, or C1 as UTF-8 has it); else 0. */
static size_t control_len(const char *text)
{
    unsigned char first = (unsigned char)text[0], second = first ? (unsigned char)text[1] : 0;
    if (first == 0xC2 && second >= 0x80 && second < 0xA0)
        return 2;
    return (first > 0 && first < 0x20) || first == 0x7F ? 1 : 0;
}

static bool is_continuation(char byte)
{
    return ((unsigned char)byte & 0xC0) == 0x80;
}

/* Makes one line of a complaint: no control characters, and no half character where it was cut. */
static void tidy(char *error)
{
    for (char *at = error; *at; at++)
        memset(at, '?', control_len(at));
    size_t end = strlen(error);
    if (end < CONFIG_ERROR_MAX - 1)
        return;
    while (end > 0 && is_continuation(error[end - 1]))
        end--;
    if (end > 0 && (unsigned char)error[end - 1] >= 0xC0)
        end--;
    error[end] = '\0';
}

/* Adds to the complaint; what does not fit is left out. */
static void append_args(char *error, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));

static void append_args(char *error, const char *format, va_list args)
{
    size_t used = strlen(error);
    vsnprintf(error + used, CONFIG_ERROR_MAX - used, format, args);
}

static void append(char *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void append(char *error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    append_args(error, format, args);
    va_end(args);
}

/* Writes "FILE:LINE:COLUMN: KEY: ", without what is not known. */
static void write_head(char *error, const struct config *config, struct place place,
                       const char *key)
{
    error[0] = '\0';
    append(error, "%s:", config->path);
    if (place.line > 0)
        append(error, "%d:%d:", place.line, place.column);
    append(error, " ");
    if (key)
        append(error, "%s: ", key);
}

static struct place place_of(const struct reader *r, const char *at)
{
    struct place place = {1, 1};
    for (const char *c = r->text; c < at; c++) {
        if (*c == '\n') // NOLINT(clang-analyzer-core.NullDereference): `at` is in r->text
            place = (struct place){place.line + 1, 1};
        else if (!is_continuation(*c))
            place.column++;
    }
    return place;
}

/* Complains about what stands at `at`, or about the whole file when it is NULL. `key` may be NULL.
 * Always returns -1. */
static int refuse(const struct reader *r, const char *at, const char *key, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static int refuse(const struct reader *r, const char *at, const char *key, const char *format, ...)
{
    write_head(r->error, r->config, at ? place_of(r, at) : (struct place){0, 0}, key);
    va_list args;
    va_start(args, format);
    append_args(r->error, format, args);
    va_end(args);
    tidy(r->error);
    return -1;
}

static int refuse_memory(const struct reader *r)
{
    /* config->path may be what there was no memory for. */
    snprintf(r->error, CONFIG_ERROR_MAX, "out of memory while the configuration was read");
    return -1;
}

/* The bytes that the first SHOWN_LIMIT characters of a text take; `len` if it has no more. */
static int shown_len(const char *text, size_t len)
{
    size_t at = 0;
    for (int characters = 0; at < len; at++)
        if (!is_continuation(text[at]) && ++characters > SHOWN_LIMIT)
            break;
    return (int)at;
}

/* Says what a value is: as it was written, cut short, and of what kind. */
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

static int refuse_value(const struct reader *r, const struct key *key,
                        const struct json_field *field)
{
    char found[SHOWN_MAX], allowed[ALLOWED_MAX];
    if (key->kind == KIND_SECRET)
        snprintf(found, sizeof(found), "%s (not shown)", json_kind(field));
    else
        write_found(found, field);
    write_allowed(allowed, key);
    return refuse(r, field->value, key->name, "found %s, allowed is %s", found, allowed);
}

/* ---- One value ------------------------------------------------------------------------------ */

static int read_bool(const struct reader *r, const struct key *key, const struct json_field *field)
{
    if (!strchr("tf", field->value[0]))
        return refuse_value(r, key, field);
    *(bool *)field_of(r->config, key) = field->value[0] == 't';
    return 0;
}

static int read_integer(const struct reader *r, const struct key *key,
                        const struct json_field *field)
{
    uint64_t number;
    if (json_number(field, &number) < 0 || number < (uint64_t)key->min ||
        number > (uint64_t)key->max)
        return refuse_value(r, key, field);
    *(int *)field_of(r->config, key) = (int)number;
    return 0;
}

static int read_level(const struct reader *r, const struct key *key, const struct json_field *field)
{
    char name[8];
    if (json_string(field, name, sizeof(name)) < 0)
        return refuse_value(r, key, field);
    for (int level = key->min; level <= key->max; level++) {
        if (strcmp(name, levels[level]) != 0)
            continue;
        *(enum log_level *)field_of(r->config, key) = (enum log_level)level;
        return 0;
    }
    return refuse_value(r, key, field);
}

static bool has_control(const char *text)
{
    while (*text && control_len(text) == 0)
        text++;
    return *text != '\0';
}

static long count_characters(const char *text)
{
    long characters = 0;
    for (; *text; text++)
        characters += !is_continuation(*text);
    return characters;
}

/* A copy of `path`, in the folder of the configuration unless it is absolute or empty. */
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

static int read_string(const struct reader *r, const struct key *key,
                       const struct json_field *field)
{
    char text[STRING_LIMIT + 1];
    long len = json_string(field, text, sizeof(text));
    if (len < 0 || has_control(text))
        return refuse_value(r, key, field);
    long counted = key->kind == KIND_TEXT ? count_characters(text) : len;
    if (counted < key->min || counted > key->max)
        return refuse_value(r, key, field);
    char *copy = key->kind == KIND_PATH ? copy_path(r->config->path, text) : strdup(text);
    if (!copy)
        return refuse_memory(r);
    *(char **)field_of(r->config, key) = copy;
    return 0;
}

/* ---- Arrays --------------------------------------------------------------------------------- */

static bool is_port(const char *text)
{
    size_t digits = strspn(text, "0123456789");
    return digits > 0 && digits <= 5 && text[digits] == '\0' && strtol(text, NULL, 10) <= 65535;
}

/* Whether a browser could send it (RFC 6454 §6.2), or it is "*". */
static bool is_origin(const char *text)
{
    if (strcmp(text, "*") == 0 || strcmp(text, "null") == 0)
        return true;
    size_t scheme = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789+-.");
    if (!islower((unsigned char)text[0]) || strncmp(text + scheme, "://", 3) != 0)
        return false;
    const char *host = text + scheme + 3;
    bool bracket = host[0] == '[';
    host += bracket;
    size_t len =
        strspn(host, bracket ? "0123456789abcdef:." : "abcdefghijklmnopqrstuvwxyz0123456789-._");
    if (len == 0 || (bracket && host[len] != ']'))
        return false;
    const char *rest = host + len + bracket;
    return *rest == '\0' || (*rest == ':' && is_port(rest + 1));
}

/* The length of the array entry at `item`. The text is known to be JSON, so a string ends; of an
 * array or object inside it is enough to know the beginning, as it is refused. */
static size_t item_len(const char *item)
{
    if (*item != '"')
        return strcspn(item, ",] \t\r\n");
    size_t len = 1;
    while (item[len] != '"')
        len += item[len] == '\\' ? 2 : 1;
    return len + 1;
}

static int read_origin(const struct reader *r, const struct key *key, const struct json_field *item)
{
    char text[ORIGIN_LIMIT + 1];
    if (json_string(item, text, sizeof(text)) < 0)
        return refuse_value(r, key, item);
    /* Browsers send scheme and host in lower case (RFC 6454 §4), people write as they like. */
    for (char *c = text; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    if (!is_origin(text))
        return refuse_value(r, key, item);
    char *copy = strdup(text);
    if (!copy)
        return refuse_memory(r);
    r->config->allowed_origins[r->config->allowed_origins_count++] = copy;
    return 0;
}

static int read_block(const struct reader *r, const struct key *key, const struct json_field *item)
{
    char text[ADDRESS_TEXT_MAX];
    struct address_list *list = field_of(r->config, key);
    if (json_string(item, text, sizeof(text)) < 0 ||
        !address_block_read(text, &list->blocks[list->count]))
        return refuse_value(r, key, item);
    list->count++;
    return 0;
}

static int read_array(const struct reader *r, const struct key *key, const struct json_field *field)
{
    if (field->value[0] != '[')
        return refuse_value(r, key, field);
    const char *end = field->value + field->value_len - 1;
    const char *at = field->value + 1;
    int count = 0;
    for (at += strspn(at, ", \t\r\n"); at < end; at += strspn(at, ", \t\r\n")) {
        struct json_field item = {.value = at, .value_len = item_len(at)};
        if (count++ == key->max)
            return refuse(r, at, key->name, "found more than %d entries, allowed are %d", key->max,
                          key->max);
        if ((key->kind == KIND_BLOCKS ? read_block : read_origin)(r, key, &item) < 0)
            return -1;
        at += item.value_len;
    }
    return 0;
}

/* ---- Unknown keys --------------------------------------------------------------------------- */

/* In how many letters `found` differs from `known`, whatever their case (Levenshtein's distance:
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

/* The known key that was meant, or NULL. At most a third of its letters may be wrong. */
static const char *nearest_key(const char *found)
{
    const char *nearest = NULL;
    size_t least = TYPOS_LIMIT + 1;
    for (size_t i = 0; i < KEYS; i++) {
        size_t typos = count_typos(found, keys[i].name);
        if (typos >= least || 3 * typos > strlen(keys[i].name))
            continue;
        least = typos;
        nearest = keys[i].name;
    }
    return nearest;
}

static int refuse_unknown(const struct reader *r, const struct json_field *field)
{
    char name[SHOWN_MAX];
    size_t len = field->name_len - 2; /* without its quotes */
    int shown = shown_len(field->name + 1, len);
    snprintf(name, sizeof(name), "%.*s%s", shown, field->name + 1,
             (size_t)shown < len ? "..." : "");
    const char *nearest = nearest_key(name);
    if (nearest)
        return refuse(r, field->name, name, "found an unknown key, did you mean %s?", nearest);
    return refuse(r, field->name, name, "found an unknown key, allowed are those in the README");
}

/* ---- The whole file ------------------------------------------------------------------------- */

/* Reads all there is, up to one byte more than is allowed. */
static ssize_t slurp(int fd, char *out)
{
    size_t len = 0;
    while (len <= CONFIG_FILE_MAX) {
        ssize_t got = read(fd, out + len, CONFIG_FILE_MAX + 1 - len);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        len += (size_t)got;
    }
    return (ssize_t)len;
}

static int read_open_file(struct reader *r, int fd)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return refuse(r, NULL, NULL, "cannot be read: %s", strerror(errno));
    if (!S_ISREG(st.st_mode))
        return refuse(r, NULL, NULL, "found a folder or device, allowed is a regular file");
    r->file = malloc(CONFIG_FILE_MAX + 2);
    if (!r->file)
        return refuse_memory(r);
    ssize_t len = slurp(fd, r->file);
    if (len < 0)
        return refuse(r, NULL, NULL, "cannot be read: %s", strerror(errno));
    if (len > CONFIG_FILE_MAX)
        return refuse(r, NULL, NULL, "found more than %d bytes, allowed are %d", CONFIG_FILE_MAX,
                      CONFIG_FILE_MAX);
    r->file[len] = '\0';
    /* RFC 8259 §8.1 lets a reader pass over the mark that some editors put first. */
    size_t mark = strncmp(r->file, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
    r->text = r->file + mark;
    r->len = (size_t)len - mark;
    return 0;
}

static int read_file(struct reader *r)
{
    /* O_NONBLOCK: a named pipe must not hold up the start; it is refused when it is open. */
    int fd = open(r->config->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return refuse(r, NULL, NULL, "cannot be read: %s", strerror(errno));
    int rc = read_open_file(r, fd);
    close(fd);
    return rc;
}

static void set_fallbacks(struct config *config)
{
    for (size_t i = 0; i < KEYS; i++) {
        if (keys[i].kind == KIND_INTEGER)
            *(int *)field_of(config, &keys[i]) = keys[i].fallback;
        else if (keys[i].kind == KIND_LEVEL)
            *(enum log_level *)field_of(config, &keys[i]) = (enum log_level)keys[i].fallback;
        else if (keys[i].kind == KIND_BOOL)
            *(bool *)field_of(config, &keys[i]) = keys[i].fallback != 0;
    }
}

static int read_value(const struct reader *r, const struct key *key, const struct json_field *field)
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
        return read_array(r, key, field);
    case KIND_LEVEL:
        return read_level(r, key, field);
    }
    return -1;
}

static int read_field(const struct reader *r, const struct json_field *field)
{
    size_t i = 0;
    while (i < KEYS && json_key(keys[i].name) != field->key)
        i++;
    if (i == KEYS)
        return refuse_unknown(r, field);
    struct place place = place_of(r, field->value);
    r->config->where[i].line = place.line;
    r->config->where[i].column = place.column;
    return read_value(r, &keys[i], field);
}

/* A path may be empty in a file that does without TLS, as it may be absent there. */
static int check_needed(struct config *config, const struct key *key, bool present, char *error)
{
    if (key->need == OPTIONAL || (key->need == REQUIRED_FOR_TLS && !config->SSL))
        return 0;
    if (present && (key->kind != KIND_PATH || **(char **)field_of(config, key)))
        return 0;
    char allowed[ALLOWED_MAX];
    write_allowed(allowed, key);
    return config_complain(config, key->name, error, "%s, allowed is %s",
                           present ? "empty" : "missing", allowed);
}

/* A member may fall behind by half the ring; it has to get through that half before the other one
 * is overwritten, so some messages of the greatest length must fit. */
static int check_ring(const struct config *config, bool ring_given, char *error)
{
    long long least = RING_MESSAGES * ((long long)config->max_message_bytes + MESSAGE_EXTRA);
    if (config->room_buffer_bytes >= least)
        return 0;
    return config_complain(config, ring_given ? "room_buffer_bytes" : "max_message_bytes", error,
                           "found room_buffer_bytes %d and max_message_bytes %d, allowed is a "
                           "room_buffer_bytes of at least %d x (max_message_bytes + %d) = %lld",
                           config->room_buffer_bytes, config->max_message_bytes, RING_MESSAGES,
                           MESSAGE_EXTRA, least);
}

/* What no single value shows. */
static int check_together(const struct reader *r, const struct json_object *object)
{
    for (size_t i = 0; i < KEYS; i++)
        if (check_needed(r->config, &keys[i], r->config->where[i].line > 0, r->error) < 0)
            return -1;
    return check_ring(r->config, json_find(object, "room_buffer_bytes") != NULL, r->error);
}

static int read_config(struct reader *r)
{
    struct json_object object;
    struct json_error wrong;
    if (read_file(r) < 0)
        return -1;
    if (json_parse(&object, r->text, r->len, &wrong) < 0)
        return refuse(r, r->text + wrong.offset, NULL, "not acceptable JSON: %s", wrong.why);
    for (size_t i = 0; i < object.count; i++)
        if (read_field(r, &object.fields[i]) < 0)
            return -1;
    return check_together(r, &object);
}

int config_load(struct config *config, const char *path, char *error)
{
    struct reader r = {.config = config, .error = error};
    *config = (struct config){.path = strdup(path)};
    set_fallbacks(config);
    int rc = config->path ? read_config(&r) : refuse_memory(&r);
    free(r.file);
    if (rc < 0)
        config_free(config);
    return rc;
}

/* ---- Reading it again ------------------------------------------------------------------------ */

static void note_kept(char *kept, const char *name)
{
    size_t used = strlen(kept);
    snprintf(kept + used, CONFIG_KEPT_MAX - used, "%s%s", used ? "," : "", name);
}

static bool keep_int(int *value, int running)
{
    bool differs = *value != running;
    *value = running;
    return differs;
}

/* Puts a copy of `running` in its place, if it is another. Returns false when memory is out. */
static bool keep_string(char **value, const char *running, bool *differs)
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

/* Stays with TLS, or without. Without TLS in the file, its two paths need not be there. */
static bool keep_tls(struct config *config, const struct config *running, char *kept)
{
    bool differs = config->SSL != running->SSL, ignored;
    config->SSL = running->SSL;
    if (!differs)
        return true;
    note_kept(kept, "SSL");
    return !running->SSL || (keep_string(&config->SSL_Cert, running->SSL_Cert, &ignored) &&
                             keep_string(&config->SSL_Key, running->SSL_Key, &ignored));
}

int config_keep(struct config *config, const struct config *running, char *kept, char *error)
{
    bool differs;
    kept[0] = '\0';
    if (!keep_tls(config, running, kept) ||
        !keep_string(&config->server_ip, running->server_ip, &differs)) {
        snprintf(error, CONFIG_ERROR_MAX, "out of memory while the configuration was read");
        return -1;
    }
    if (differs)
        note_kept(kept, "server_ip");
    if (keep_int(&config->server_port, running->server_port))
        note_kept(kept, "server_port");
    if (keep_int(&config->room_buffer_bytes, running->room_buffer_bytes))
        note_kept(kept, "room_buffer_bytes");
    return check_ring(config, false, error);
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
    free(config->path);
    *config = (struct config){0};
}

int config_complain(const struct config *config, const char *key, char *error, const char *format,
                    ...)
{
    struct place place = {0, 0};
    for (size_t i = 0; i < KEYS; i++)
        if (strcmp(keys[i].name, key) == 0)
            place = (struct place){config->where[i].line, config->where[i].column};
    write_head(error, config, place, key);
    va_list args;
    va_start(args, format);
    append_args(error, format, args);
    va_end(args);
    tidy(error);
    return -1;
}
