/* SPDX-License-Identifier: MIT
 *
 * config.h - reads config.json into struct config, with errors that name the position and the fix.
 *
 * Immutable once it is read: any thread may read it without a lock. live_config.h defines its
 * lifetime.
 */
#ifndef CONFIG_H
#define CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/address.h"
#include "base/log.h"

enum {
    CONFIG_KEYS = 48,            /* upper bound of the number of keys */
    CONFIG_ORIGINS_MAX = 32,     /* entries in allowed_origins */
    CONFIG_ROOMS_MAX = 64,       /* entries in history_rooms */
    CONFIG_FILE_MAX = 64 * 1024, /* bytes of config.json; more is an error */
    CONFIG_ERROR_MAX = 512,      /* bytes of an error text; a longer one is cut */
    CONFIG_KEPT_MAX = 512,       /* bytes of the list of keys that cannot change */
    CONFIG_PATH_MAX = 4096,      /* bytes of a path that config_init writes to, with its NUL */
};

/* What the history file survives. */
enum config_sync {
    CONFIG_SYNC_PROCESS, /* the end of the server, also by kill -9 */
    CONFIG_SYNC_POWER,   /* a power cut, too */
};

/* The settings, named as in the file; the README's table says what each one means. */
struct config {
    bool SSL;
    char *SSL_Cert, *SSL_Key; /* made relative to the folder of the file */
    char *server_ip;
    int server_port;   /* 0: any free port, printed at start */
    char *server_name; /* never empty: without one in the file, the host's name */
    char *server_password;

    int max_clients;
    int max_clients_per_address; /* 0: no limit */
    bool exempt_loopback;        /* from limits per address */
    int max_rooms;               /* the main room included */
    int max_message_bytes;
    int room_buffer_bytes;
    int max_messages_per_second; /* burst: twice as many; 0: no limit */
    int max_bytes_per_second;    /* burst: four times as many; 0: no limit */
    int too_fast_seconds;        /* over them for so long closes the client; 0: never */
    int history;
    char
        *history_file; /* made relative to the folder of the file; "": nothing is written to disk */
    enum config_sync history_sync;
    int history_hours;    /* 0: no limit by age */
    int history_messages; /* of each room */
    char *history_rooms[CONFIG_ROOMS_MAX];
    int history_rooms_count;
    bool history_search;
    char *cluster_engine; /* "": this server is alone */
    char *cluster_user, *cluster_password, *cluster_secret;
    char *cluster_ca; /* made relative to the folder of the file; "": those of the system */
    char *cluster_prefix;
    int cluster_lease_seconds;
    int cluster_log_bytes;    /* of each room; 0: room_buffer_bytes */
    int cluster_room_seconds; /* a room without members is kept so long */
    int cluster_queue_bytes;  /* calls that wait for the engine */
    char *allowed_origins[CONFIG_ORIGINS_MAX];
    int allowed_origins_count;
    struct address_list trusted_proxies; /* their X-Forwarded-For is trusted */
    struct address_list metrics_from;    /* may read /metrics and /healthz, as loopback may */
    int handshake_timeout_seconds;       /* from accept(2) to the whole request head */
    int login_timeout_seconds;           /* from WebSocket open to joined */
    int frame_timeout_seconds;           /* from a frame's first byte to its last */
    int ping_interval_seconds;           /* silence before a ping, and from the ping to the close */
    enum log_level log_level;
    bool log_addresses;

    /* For config_complain: the file as the user named it, and each value's position. */
    char *path;
    struct {
        int line, column; /* from 1, column in characters; 0 when the key is absent */
    } where[CONFIG_KEYS];
};

/* Reads and checks the file at `path`. Returns 0, or -1 and an error of one line in `error`
 * (CONFIG_ERROR_MAX bytes) that names file, line and column, the key, what was expected and what
 * was found. After 0 the caller releases it with config_free. */
int config_load(struct config *config, const char *path, char *error);

/* The two halves of config_load. config_read returns the file's text, NUL-terminated, which the
 * caller frees, and its length; or NULL and an error. *others_can_read says whether the file is
 * readable for others than its owner, and a group set by root. config_parse parses a text; its
 * errors name `path`, and relative paths in the text start from its folder. */
char *config_read(const char *path, size_t *len, bool *others_can_read, char *error);
int config_parse(struct config *config, const char *path, const char *text, size_t len,
                 char *error);

/* Checks the file at `path` as config_load does, and calls `report` with each error instead of
 * ending at the first one: in the order of the file, then of the table. Of a text that is not JSON
 * only the first error is known. Returns the number of errors. */
int config_check(const char *path, void (*report)(void *context, const char *error), void *context);

/* Writes the settings that are shipped to a new file at `path`, mode 0600, and, in any case, the
 * notes about every key to PATH.txt, whose path it copies to `notes_path` (CONFIG_PATH_MAX bytes).
 * A file at `path` stays as it is; *made says whether there was none. An earlier version of the
 * notes is replaced, any other file of that name is an error. Returns 0, or -1 and an error. */
int config_init(const char *path, bool *made, char *notes_path, char *error);

/* Copies from `running` what cannot change while the server runs: SSL, server_ip, server_port,
 * room_buffer_bytes, of the history all but its limits, all of the cluster, and in a cluster
 * server_password and max_message_bytes. Writes the names of those that differed
 * to `kept` (CONFIG_KEPT_MAX), separated by commas; "" if none did. Returns 0, or -1 and an error
 * when max_message_bytes is too large for the existing rooms, or memory is out. */
int config_keep(struct config *config, const struct config *running, char *kept, char *error);

/* Whether the history file holds what is said in the room `name` ("": the main room). Room names
 * are compared byte by byte; "*" in history_rooms means all. */
bool config_keeps_history(const struct config *config, const char *name);

/* Whether the password is the one in the config.json that is shipped. */
bool config_has_sample_password(const struct config *config);

/* Frees what config_load allocated. */
void config_free(struct config *config);

/* Writes an error about the value of `key` that was found later (a port in use):
 * "FILE:LINE:COLUMN: KEY: ..." into `error` (CONFIG_ERROR_MAX bytes). Always returns -1. */
int config_complain(const struct config *config, const char *key, char *error, const char *format,
                    ...) __attribute__((format(printf, 4, 5)));

#endif
