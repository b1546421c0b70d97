/* SPDX-License-Identifier: MIT
 *
 * config_init.c - `ragnarok --init`: writes a config.json, and beside it a text that explains every
 * key.
 *
 * JSON has no comments, so the explanations are in a file of their own, CONFIG.txt. Its lines that
 * do not begin with # are the settings with their defaults, to be copied. Main thread only, no
 * locks.
 */
#include "base/config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/config_parts.h"
#include "lib/version.h"
#include "net/file.h"

#define NOTES_START "# The settings of ragnarok "

enum {
    SETTINGS_MODE = 0600, /* it will hold a password */
    NOTES_MODE = 0644,
};

/* The config.json that is shipped, byte for byte. */
static const char sample[] = "{\n"
                             "    \"SSL\": true,\n"
                             "    \"SSL_Cert\": \"self-signed.crt\",\n"
                             "    \"SSL_Key\": \"self-signed.pem\",\n"
                             "    \"server_ip\": \"127.0.0.1\",\n"
                             "    \"server_port\": 12345,\n"
                             "    \"server_name\": \"\",\n"
                             "    \"server_password\": \"963\",\n"
                             "    \"history\": 50\n"
                             "}\n";

/* The meaning of each key, in the order of config_keys; and, for keys without a default and those
 * whose default is no number, the value in JSON. */
static const struct {
    const char *name, *value, *meaning;
} notes[] = {
    {"SSL", "true", "true: TLS 1.2 and 1.3 (https, wss); false: plain (http, ws)"},
    {"SSL_Cert", "\"self-signed.crt\"",
     "certificate (chain), PEM; if both files are missing, the first start makes them"},
    {"SSL_Key", "\"self-signed.pem\"", "its private key, PEM, mode 0600 (or 0640 if root owns it)"},
    {"server_ip", "\"127.0.0.1\"",
     "where to listen: 127.0.0.1 this machine only (--lan changes that), 0.0.0.0 all of IPv4, "
     ":: all of both"},
    {"server_port", "12345", "0 takes any free one"},
    {"server_name", "\"\"", "the name of the room; \"\": the name of the machine"},
    {"server_password", "\"963\"",
     "963 is the sample that everybody knows (--lan replaces it); \"\": a public room"},
    {"max_clients", NULL, "connections at the same time; one more is refused"},
    {"max_clients_per_address", NULL, "the same for one IPv4 address or IPv6 /64; 0: no limit"},
    {"exempt_loopback", "false", "true: no limits per address for connections from this machine"},
    {"max_rooms", NULL, "rooms at the same time, the main room included"},
    {"max_message_bytes", NULL, "a longer message ends its sender's connection"},
    {"room_buffer_bytes", NULL,
     "the recent past of a room; at least 8 x (max_message_bytes + 1024)"},
    {"max_messages_per_second", NULL, "of one client; in a burst twice as many; 0: no limit"},
    {"max_bytes_per_second", NULL, "of one client; in a burst four times as many; 0: no limit"},
    {"too_fast_seconds", NULL,
     "a client over these rates for so long without a pause is closed; 0: never"},
    {"history", NULL, "recent messages that a client gets on joining"},
    {"history_file", "\"\"",
     "a file that keeps what is said in rooms, also over a restart; \"\": nothing is written to "
     "disk"},
    {"history_sync", "\"process\"",
     "what that survives: \"process\" the end of the server, \"power\" also a power cut (and "
     "messages take a little longer)"},
    {"history_hours", NULL, "older messages are deleted from it; 0: only by number"},
    {"history_messages", NULL, "of each room, so many are kept in it"},
    {"history_rooms", "[\"\"]", "the rooms that are kept"},
    {"history_search", "false", "an index that makes searches in many messages fast"},
    {"cluster_engine", "\"\"",
     "a Redis or Valkey through which several servers share their rooms: \"unix:PATH\", "
     "\"tcp:HOST:PORT\", \"tls:HOST:PORT\", or \"sentinel:NAME@HOST:PORT,HOST:PORT\"; \"\": this "
     "server is alone"},
    {"cluster_user", "\"\"", "as whom to log in there"},
    {"cluster_password", "\"\"", "and the password"},
    {"cluster_secret", "\"\"",
     "seals what passes through the engine, so that its owner reads and forges nothing; the same "
     "on all servers"},
    {"cluster_ca", "\"\"", "with tls: the certificates to trust, PEM; \"\": those of the system"},
    {"cluster_prefix", "\"ragnarok\"", "how the keys in the engine begin"},
    {"cluster_lease_seconds", NULL, "a server that is gone has left after so long and a third"},
    {"cluster_log_bytes", NULL, "of the past of each room in the engine; 0: room_buffer_bytes"},
    {"cluster_room_seconds", NULL, "so long the engine keeps a room without members"},
    {"cluster_queue_bytes", NULL, "what may wait for the engine; with more, members are not read"},
    {"allowed_origins", "[]",
     "addresses that people open, behind a proxy or a forwarded port, and web pages from elsewhere "
     "that may connect: [\"https://example.org\"]"},
    {"trusted_proxies", "[]", "proxies whose X-Forwarded-For is trusted: [\"10.0.0.0/8\"]"},
    {"metrics_from", "[]", "who may read /metrics and /healthz, besides this machine"},
    {"handshake_timeout_seconds", NULL, "from connecting to a complete request"},
    {"login_timeout_seconds", NULL, "from there to having joined"},
    {"frame_timeout_seconds", NULL, "from the first byte of a frame to its last"},
    {"ping_interval_seconds", NULL, "silence after which a client is pinged; twice that closes it"},
    {"log_level", "\"info\"", "how much is logged"},
    {"log_addresses", "false", "whether addresses are logged (with wrong passwords)"},
};

enum { NOTES = sizeof(notes) / sizeof(notes[0]) };

/* The row of notes about a key; a test checks that each key has one. */
static size_t note_of(const char *name)
{
    size_t i = 0;
    while (i < NOTES - 1 && strcmp(notes[i].name, name) != 0)
        i++;
    return i;
}

static void write_note(FILE *out, const struct config_key *key, bool last)
{
    char allowed[CONFIG_ALLOWED_MAX];
    size_t i = note_of(key->name);
    config_write_allowed(allowed, key);
    fprintf(out, "\n# %s\n# %s\n\"%s\": ", notes[i].meaning, allowed, key->name);
    if (notes[i].value)
        fputs(notes[i].value, out);
    else
        fprintf(out, "%d", key->fallback);
    fputs(last ? "\n" : ",\n", out);
}

static char *notes_text(size_t *len)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, len);
    if (!out)
        return NULL;
    fputs(NOTES_START RAGNAROK_VERSION
          ", each with its default; the first seven with the sample's value.\n"
          "# JSON has no comments, so they are here: copy lines into the braces of the settings, "
          "and\n"
          "# put a comma between two of them. ragnarok.json(5) says more, and which keys a reload\n"
          "# changes. ragnarok --init writes this file again.\n",
          out);
    for (size_t i = 0; i < config_key_count; i++)
        write_note(out, &config_keys[i], i + 1 == config_key_count);
    if (fclose(out) == 0)
        return text;
    free(text);
    return NULL;
}

/* ---- Files ---- */

static int refuse_writing(const char *path, char *error)
{
    snprintf(error, CONFIG_ERROR_MAX, "%s: cannot be written: %s", path, strerror(errno));
    return -1;
}

/* Whether the file was written by an earlier --init. */
static bool is_notes_file(const char *path)
{
    char start[sizeof(NOTES_START) - 1];
    struct stat about;
    int fd = file_open(path, &about);
    bool is_alike = fd >= 0 && S_ISREG(about.st_mode) &&
                    file_read(fd, start, sizeof(start)) == (ssize_t)sizeof(start) &&
                    memcmp(start, NOTES_START, sizeof(start)) == 0;
    if (fd >= 0)
        close(fd);
    return is_alike;
}

static int write_notes(const char *path, char *error)
{
    size_t len;
    char *text = notes_text(&len);
    if (!text) {
        snprintf(error, CONFIG_ERROR_MAX, "out of memory while %s was written", path);
        return -1;
    }
    int rc = file_create(path, NOTES_MODE, text, len);
    if (rc < 0 && errno == EEXIST && is_notes_file(path))
        rc = file_replace(path, NOTES_MODE, text, len);
    if (rc < 0)
        refuse_writing(path, error);
    free(text);
    return rc;
}

int config_init(const char *path, bool *made, char *notes_path, char *error)
{
    int len = snprintf(notes_path, CONFIG_PATH_MAX, "%s.txt", path);
    if (len >= CONFIG_PATH_MAX) {
        snprintf(error, CONFIG_ERROR_MAX, "expected a path of at most %d bytes, got %zu",
                 CONFIG_PATH_MAX - 5, strlen(path));
        return -1;
    }
    *made = file_create(path, SETTINGS_MODE, sample, sizeof(sample) - 1) == 0;
    if (!*made && errno != EEXIST)
        return refuse_writing(path, error);
    return write_notes(notes_path, error);
}
