/* SPDX-License-Identifier: MIT
 *
 * config.h - config.json in, struct config out, with every complaint a person can need.
 *
 * Immutable once it is read: any thread may read it without a lock. settings.h says for how long.
 */
#ifndef CONFIG_H
#define CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "address.h"
#include "log.h"

enum {
    CONFIG_KEYS = 32,            /* at least as many as there are keys */
    CONFIG_ORIGINS_MAX = 32,     /* entries in allowed_origins */
    CONFIG_FILE_MAX = 64 * 1024, /* bytes of config.json; more is an error */
    CONFIG_ERROR_MAX = 512,      /* room for a complaint; a longer one is cut */
    CONFIG_KEPT_MAX = 64,        /* room for the names of the keys that cannot change */
};

/* The settings, named as in the file; the README's table says what each one means. */
struct config {
    bool SSL;
    char *SSL_Cert, *SSL_Key; /* made relative to the folder of the file */
    char *server_ip;
    int server_port; /* 0: any free port, printed at start */
    char *server_name, *server_password;

    int max_clients;
    int max_clients_per_address; /* 0: no limit */
    bool exempt_loopback;        /* from limits per address */
    int max_rooms;               /* the main room included */
    int max_message_bytes;
    int room_buffer_bytes;
    int max_messages_per_second; /* burst: twice as many; 0: no limit */
    int max_bytes_per_second;    /* burst: four times as many; 0: no limit */
    int too_fast_seconds;        /* over them without a break, to the end; 0: never */
    int history;
    char *allowed_origins[CONFIG_ORIGINS_MAX];
    int allowed_origins_count;
    struct address_list trusted_proxies; /* whose X-Forwarded-For is believed */
    struct address_list metrics_from;    /* who else may read /metrics and /healthz */
    int handshake_timeout_seconds;       /* TCP accepted to request head read, TLS included */
    int login_timeout_seconds;           /* WebSocket open to joined */
    int frame_timeout_seconds;           /* a frame's first byte to its last */
    int ping_interval_seconds;           /* silence until a ping, and from there to the end */
    enum log_level log_level;
    bool log_addresses;

    /* For config_complain: the file as named by the user, and where each key's value stands. */
    char *path;
    struct {
        int line, column; /* from 1, column in characters; 0 when the key is absent */
    } where[CONFIG_KEYS];
};

/* Reads and checks the file at `path`. Returns 0, or -1 and a complaint of one line in `error`
 * (CONFIG_ERROR_MAX bytes) that names file, line and column, the key, what was found and what is
 * allowed. After 0 the caller ends it with config_free. */
int config_load(struct config *config, const char *path, char *error);

/* Takes over from `running` what cannot change while the server runs: SSL, server_ip, server_port,
 * room_buffer_bytes. The names of those that were to be others are written to `kept`
 * (CONFIG_KEPT_MAX), with commas between; "" if none was. Returns 0, or -1 and a complaint when
 * max_message_bytes is too much for the rooms there are, or memory is out. */
int config_keep(struct config *config, const struct config *running, char *kept, char *error);

/* Frees what config_load allocated. */
void config_free(struct config *config);

/* Formats a complaint about the value of `key` that showed only later (a port in use):
 * "FILE:LINE:COLUMN: KEY: ..." into `error` (CONFIG_ERROR_MAX bytes). Always returns -1. */
int config_complain(const struct config *config, const char *key, char *error, const char *format,
                    ...) __attribute__((format(printf, 4, 5)));

#endif
