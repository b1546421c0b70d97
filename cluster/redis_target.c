/* SPDX-License-Identifier: MIT
 *
 * redis_target.c - reads and prepares the engine's address. Called by the main thread at the start;
 * no locks.
 */
#include "cluster/redis_target.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "lib/authority.h"

static int target_fails(char *error, const char *text)
{
    snprintf(error, NET_ERROR_MAX,
             "expected unix:PATH, tcp:HOST:PORT, tls:HOST:PORT or sentinel:NAME@HOST:PORT,..., "
             "got \"%.*s\"",
             100, text);
    return -1;
}

/* Reads a transport's name at the beginning of `text`, and whether sentinels follow. */
static bool read_transport(struct text *text, enum redis_transport *transport, bool *sentinels)
{
    static const struct {
        const char *name;
        enum redis_transport transport;
        bool sentinels;
    } all[] = {{"unix:", REDIS_UNIX, false},
               {"tcp:", REDIS_TCP, false},
               {"tls:", REDIS_TLS, false},
               {"sentinel:", REDIS_TCP, true},
               {"sentinel-tls:", REDIS_TLS, true}};
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
        if (text_equals(text_first(*text, strlen(all[i].name)), all[i].name)) {
            *transport = all[i].transport;
            *sentinels = all[i].sentinels;
            *text = text_skip(*text, strlen(all[i].name));
            return true;
        }
    return false;
}

static bool read_host_and_port(struct redis_place *place, struct text from)
{
    struct text host, port;
    if (!authority_split(from, &host, &port) || !port.at)
        return false;
    if (authority_is_literal(host))
        host = text_first(text_skip(host, 1), host.len - 2);
    else if (!authority_is_name(host))
        return false;
    place->port = authority_port(port);
    if (place->port < 1 || host.len == 0 || host.len >= sizeof(place->host))
        return false;
    memcpy(place->host, host.at, host.len);
    return true;
}

/* Reads "NAME@", of the bytes that Sentinel itself allows (sentinel.c of Redis). */
static bool read_master(struct redis_target *target, struct text *rest)
{
    const char *at = memchr(rest->at, '@', rest->len);
    size_t len = at ? (size_t)(at - rest->at) : 0;
    if (len == 0 || len >= sizeof(target->master))
        return false;
    memcpy(target->master, rest->at, len);
    *rest = text_skip(*rest, len + 1);
    return authority_is_name(text_of(target->master));
}

static bool read_sentinels(struct redis_target *target, struct text rest)
{
    if (!read_master(target, &rest))
        return false;
    for (;;) {
        const char *comma = memchr(rest.at, ',', rest.len);
        struct text one = comma ? text_first(rest, (size_t)(comma - rest.at)) : rest;
        if (target->count == TARGET_PLACES_MAX ||
            !read_host_and_port(&target->places[target->count], one))
            return false;
        target->count++;
        if (!comma)
            return true;
        rest = text_skip(rest, one.len + 1);
    }
}

static int read_path(struct redis_target *target, struct text rest, char *error)
{
    if (rest.len >= sizeof(target->path)) {
        snprintf(error, NET_ERROR_MAX, "expected a path of at most %zu bytes, got %zu",
                 sizeof(target->path) - 1, rest.len);
        return -1;
    }
    memcpy(target->path, rest.at, rest.len);
    return 0;
}

int redis_target_parse(struct redis_target *target, const char *text, char *error)
{
    struct text rest = text_of(text);
    bool sentinels, good;
    memset(target, 0, sizeof(*target));
    target->user = target->password = "";
    if (!read_transport(&rest, &target->transport, &sentinels))
        return target_fails(error, text);
    if (target->transport == REDIS_UNIX) {
        if (rest.len == 0 || rest.at[0] != '/')
            return target_fails(error, text);
        return read_path(target, rest, error);
    }
    if (sentinels) {
        good = read_sentinels(target, rest);
    } else {
        good = read_host_and_port(&target->places[0], rest);
        target->count = 1;
    }
    return good ? 0 : target_fails(error, text);
}

static int look_up_places(struct redis_target *target, char *error)
{
    char why[NET_ERROR_MAX];
    for (size_t i = 0; i < target->count; i++) {
        struct redis_place *place = &target->places[i];
        place->addresses = net_look_up(place->host, place->port, why);
        if (!place->addresses) {
            snprintf(error, NET_ERROR_MAX, "%.100s: %.100s", place->host, why);
            return -1;
        }
    }
    return 0;
}

int redis_target_prepare(struct redis_target *target, const char *ca, char *error)
{
    char why[NET_ERROR_MAX];
    size_t most = TARGET_MESSAGES * (target->message_max + TARGET_MESSAGE_EXTRA);
    target->answer_max = most > TARGET_ANSWER_LEAST ? most : TARGET_ANSWER_LEAST;
    if (target->user[0] != '\0' && target->password[0] == '\0') {
        snprintf(error, NET_ERROR_MAX, "expected a password with the user, got none");
        return -1;
    }
    if (look_up_places(target, error) < 0)
        return -1;
    if (target->transport != REDIS_TLS)
        return 0;
    target->tls = tls_context_trusting(ca, why);
    if (!target->tls) {
        snprintf(error, NET_ERROR_MAX, "%.100s: %.100s", ca ? ca : "trusted certificates", why);
        return -1;
    }
    return 0;
}

void redis_target_fini(struct redis_target *target)
{
    for (size_t i = 0; i < target->count; i++) {
        if (target->places[i].addresses)
            net_free_addresses(target->places[i].addresses);
        target->places[i].addresses = NULL;
    }
    tls_context_free(target->tls);
    target->tls = NULL;
}
