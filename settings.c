/* SPDX-License-Identifier: MIT
 *
 * settings.c - the settings in force, as settings.h promises it.
 *
 * Read by the main thread only; held by any thread. One leaf lock makes holding and letting go safe
 * against being replaced. The pointer itself may be compared without it: what a thread holds is not
 * freed, so no other generation can have the same address meanwhile.
 */
#include "settings.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic(struct settings *) current; /* written under the lock */

/* ---- Reading ---- */

static void settings_free(struct settings *settings)
{
    net_tls_free(settings->tls);
    cert_free(&settings->cert);
    config_free(&settings->config);
    free(settings);
}

/* Whether there is any certificate to look at. */
static bool has_certificate(const struct config *config)
{
    return access(config->SSL_Cert, F_OK) == 0 || access(config->SSL_Key, F_OK) == 0;
}

static int load_tls(struct settings *settings, char *error)
{
    const struct config *config = &settings->config;
    char why[NET_ERROR_MAX];
    settings->tls = net_tls_server(config->SSL_Cert, config->SSL_Key, why);
    if (settings->tls)
        return 0;
    return config_complain(config, "SSL_Cert", error, "%s: %s", config->SSL_Cert, why);
}

/* Reads the certificate and its key. `may_make`: where there is none, one is made. `may_issue`: one
 * of ours may be issued anew. */
static int start_tls(struct settings *settings, bool may_make, bool may_issue, char *error)
{
    const struct config *config = &settings->config;
    bool prepare = may_make || (may_issue && has_certificate(config));
    int found = prepare ? cert_prepare(config, &settings->cert, error)
                        : cert_check(config, &settings->cert, error);
    return found < 0 ? -1 : load_tls(settings, error);
}

/* What people are told of the certificate. */
static void describe_trust(struct settings *settings)
{
    const struct cert *cert = &settings->cert;
    enum trust_state tls = cert->ca ? TRUST_OURS : TRUST_OTHER;
    settings->trust = (struct trust){.state = settings->tls ? tls : TRUST_PLAIN,
                                     .name = cert->ca_name,
                                     .fingerprint = cert->ca_fingerprint,
                                     .ca = cert->ca,
                                     .ca_len = (size_t)cert->ca_len};
}

static struct settings *settings_new(const char *path, char *error)
{
    struct settings *settings = calloc(1, sizeof(*settings));
    if (!settings) {
        snprintf(error, CONFIG_ERROR_MAX, "out of memory while the configuration was read");
        return NULL;
    }
    if (config_load(&settings->config, path, error) < 0) {
        free(settings);
        return NULL;
    }
    settings->references = 1;
    return settings;
}

/* The end of both ways to read: settings, or NULL when the certificate was refused. */
static struct settings *finish(struct settings *settings, int found)
{
    if (found < 0) {
        settings_free(settings);
        return NULL;
    }
    describe_trust(settings);
    return settings;
}

struct settings *settings_read(const char *path, enum settings_use use, char *error)
{
    struct settings *settings = settings_new(path, error);
    if (!settings)
        return NULL;
    bool start = use == SETTINGS_START;
    if (start)
        log_set_level(settings->config.log_level);
    bool wanted = settings->config.SSL && (start || has_certificate(&settings->config));
    return finish(settings, wanted ? start_tls(settings, start, start, error) : 0);
}

struct settings *settings_read_again(const struct settings *running, char *kept, char *error)
{
    struct settings *settings = settings_new(running->config.path, error);
    if (!settings)
        return NULL;
    int found = config_keep(&settings->config, &running->config, kept, error);
    if (found == 0 && settings->config.SSL)
        found = start_tls(settings, false, true, error);
    return finish(settings, found);
}

/* ---- In force ---- */

void settings_publish(struct settings *next)
{
    pthread_mutex_lock(&lock);
    struct settings *before = atomic_load_explicit(&current, memory_order_relaxed);
    atomic_store(&current, next);
    pthread_mutex_unlock(&lock);
    settings_drop(before);
}

struct settings *settings_hold(void)
{
    pthread_mutex_lock(&lock);
    struct settings *settings = atomic_load_explicit(&current, memory_order_relaxed);
    if (settings)
        settings->references++;
    pthread_mutex_unlock(&lock);
    return settings;
}

void settings_drop(struct settings *settings)
{
    if (!settings)
        return;
    pthread_mutex_lock(&lock);
    bool last = --settings->references == 0;
    pthread_mutex_unlock(&lock);
    if (last)
        settings_free(settings);
}

bool settings_in_force(const struct settings *settings)
{
    return atomic_load_explicit(&current, memory_order_relaxed) == settings;
}
