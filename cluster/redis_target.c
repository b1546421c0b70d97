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
             "expected unix:PATH, tcp:HOST:PORT or tls:HOST:PORT, got \"%.*s\"", 150, text);
    return -1;
}

/* Whether `text` begins with a transport's name. */
static bool read_transport(struct text *text, enum redis_transport *transport)
{
    static const struct {
        const char *name;
        enum redis_transport transport;
    } all[] = {{"unix:", REDIS_UNIX}, {"tcp:", REDIS_TCP}, {"tls:", REDIS_TLS}};
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
        if (text_equals(text_first(*text, strlen(all[i].name)), all[i].name)) {
            *transport = all[i].transport;
            *text = text_skip(*text, strlen(all[i].name));
            return true;
        }
    return false;
}

static bool read_target_host(struct redis_target *target, struct text rest)
{
    struct text host, port;
    if (!authority_split(rest, &host, &port) || !port.at)
        return false;
    if (authority_is_literal(host))
        host = text_first(text_skip(host, 1), host.len - 2);
    else if (!authority_is_name(host))
        return false;
    target->port = authority_port(port);
    if (target->port < 1 || host.len == 0 || host.len >= sizeof(target->host))
        return false;
    memcpy(target->host, host.at, host.len);
    return true;
}

int redis_target_parse(struct redis_target *target, const char *text, char *error)
{
    struct text rest = text_of(text);
    memset(target, 0, sizeof(*target));
    target->user = target->password = "";
    if (!read_transport(&rest, &target->transport))
        return target_fails(error, text);
    if (target->transport != REDIS_UNIX)
        return read_target_host(target, rest) ? 0 : target_fails(error, text);
    if (rest.len == 0 || rest.at[0] != '/')
        return target_fails(error, text);
    if (rest.len >= sizeof(target->path)) {
        snprintf(error, NET_ERROR_MAX, "expected a path of at most %zu bytes, got %zu",
                 sizeof(target->path) - 1, rest.len);
        return -1;
    }
    memcpy(target->path, rest.at, rest.len);
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
    if (target->transport == REDIS_UNIX)
        return 0;
    target->addresses = net_look_up(target->host, target->port, why);
    if (!target->addresses) {
        snprintf(error, NET_ERROR_MAX, "%.100s: %.100s", target->host, why);
        return -1;
    }
    if (target->transport == REDIS_TCP)
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
    if (target->addresses)
        net_free_addresses(target->addresses);
    tls_context_free(target->tls);
    target->addresses = NULL;
    target->tls = NULL;
}
