/* SPDX-License-Identifier: MIT
 *
 * config_cluster.c - the settings of a cluster: several servers that share their rooms.
 *
 * Called from the main thread only; takes no locks. The address of the engine is parsed by
 * cluster/redis_target.c, which base/ does not know.
 */
#include "base/config.h"

#include <stdlib.h>
#include <string.h>

#include "base/config_parts.h"

#define DEFAULT_PREFIX "ragnarok"

enum { SECRET_LEAST = 32 }; /* bytes of cluster_secret; fewer could be guessed */

static const char prefix_bytes[] =
    "-_.0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

static bool default_to(char **value, const char *text)
{
    if (!*value)
        *value = strdup(text);
    return *value;
}

int config_complete_cluster(const struct config_reader *r)
{
    struct config *c = r->config;
    bool all = default_to(&c->cluster_engine, "") && default_to(&c->cluster_user, "") &&
               default_to(&c->cluster_password, "") && default_to(&c->cluster_secret, "") &&
               default_to(&c->cluster_ca, "") && default_to(&c->cluster_prefix, DEFAULT_PREFIX);
    return all ? 0 : config_refuse_memory(r);
}

static bool has_scheme(const char *engine)
{
    static const char *const schemes[] = {"unix:", "tcp:", "tls:", "sentinel:", "sentinel-tls:"};
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++)
        if (strncmp(engine, schemes[i], strlen(schemes[i])) == 0)
            return true;
    return false;
}

/* A cluster keeps the past of its rooms in the engine, and no server has all of it in a file. */
int config_check_cluster(const struct config_reader *r)
{
    const struct config *c = r->config;
    size_t secret = strlen(c->cluster_secret);
    if (c->cluster_engine[0] && !has_scheme(c->cluster_engine))
        return config_complain(c, "cluster_engine", r->error,
                               "expected \"unix:PATH\", \"tcp:HOST:PORT\", \"tls:HOST:PORT\" or "
                               "\"sentinel:NAME@HOST:PORT,...\", got \"%.64s\"",
                               c->cluster_engine);
    if (c->cluster_user[0] && !c->cluster_password[0])
        return config_complain(c, "cluster_user", r->error,
                               "expected a cluster_password with it, got none");
    if (secret > 0 && secret < SECRET_LEAST)
        return config_complain(c, "cluster_secret", r->error,
                               "expected at least %d bytes, or none, got %zu", SECRET_LEAST,
                               secret);
    if (c->cluster_prefix[strspn(c->cluster_prefix, prefix_bytes)])
        return config_complain(c, "cluster_prefix", r->error,
                               "expected letters, digits and - _ . only, got \"%.64s\"",
                               c->cluster_prefix);
    if (c->cluster_engine[0] && c->history_file[0])
        return config_complain(c, "history_file", r->error,
                               "expected \"\" because cluster_engine is set: the engine keeps the "
                               "past of the rooms, got a file");
    return 0;
}

static const struct {
    const char *name;
    size_t offset;
} strings[] = {
    {"cluster_engine", offsetof(struct config, cluster_engine)},
    {"cluster_user", offsetof(struct config, cluster_user)},
    {"cluster_password", offsetof(struct config, cluster_password)},
    {"cluster_secret", offsetof(struct config, cluster_secret)},
    {"cluster_ca", offsetof(struct config, cluster_ca)},
    {"cluster_prefix", offsetof(struct config, cluster_prefix)},
};

static const struct {
    const char *name;
    size_t offset;
} numbers[] = {
    {"cluster_lease_seconds", offsetof(struct config, cluster_lease_seconds)},
    {"cluster_log_bytes", offsetof(struct config, cluster_log_bytes)},
    {"cluster_room_seconds", offsetof(struct config, cluster_room_seconds)},
    {"cluster_queue_bytes", offsetof(struct config, cluster_queue_bytes)},
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static char **string_at(struct config *config, size_t offset)
{
    return (char **)(void *)((char *)config + offset);
}

static int *number_at(struct config *config, size_t offset)
{
    return (int *)(void *)((char *)config + offset);
}

static bool keep_common(struct config *config, const struct config *running, char *kept)
{
    bool differs;
    if (!config_keep_string(&config->server_password, running->server_password, &differs))
        return false;
    if (differs)
        config_note_kept(kept, "server_password");
    if (config_keep_int(&config->max_message_bytes, running->max_message_bytes))
        config_note_kept(kept, "max_message_bytes");
    return true;
}

bool config_keep_cluster(struct config *config, const struct config *running, char *kept)
{
    struct config known = *running;
    bool differs;
    for (size_t i = 0; i < COUNT(strings); i++) {
        const char *value = *string_at(&known, strings[i].offset);
        if (!config_keep_string(string_at(config, strings[i].offset), value, &differs))
            return false;
        if (differs)
            config_note_kept(kept, strings[i].name);
    }
    for (size_t i = 0; i < COUNT(numbers); i++)
        if (config_keep_int(number_at(config, numbers[i].offset),
                            *number_at(&known, numbers[i].offset)))
            config_note_kept(kept, numbers[i].name);
    return !running->cluster_engine[0] || keep_common(config, running, kept);
}

void config_free_cluster(struct config *config)
{
    for (size_t i = 0; i < COUNT(strings); i++)
        free(*string_at(config, strings[i].offset));
}
