/* SPDX-License-Identifier: MIT
 *
 * live_config.c - the settings in force: an immutable snapshot with a reference count.
 *
 * The main thread reads and publishes settings; any thread may hold a reference. One leaf lock
 * protects taking and releasing references while a snapshot is replaced. The pointer itself may be
 * compared without it: a snapshot that a thread holds is not freed, so no other one can have its
 * address.
 */
#include "server/live_config.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/cert/broker.h"
#include "base/metrics.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic(struct live_config *) current; /* written under the lock */

/* ---- Reading ---- */

static void settings_free(struct live_config *settings)
{
    tls_context_free(settings->tls);
    server_cert_free(&settings->cert);
    if (settings->origin)
        live_config_unref(settings->origin);
    else
        config_free(&settings->config);
    free(settings);
}

static int load_tls(struct live_config *settings, const struct material *material, char *error)
{
    const struct config *config = &settings->config;
    char why[NET_ERROR_MAX];
    if (!material->key)
        return 0;
    settings->tls = tls_context_server((struct net_pem){material->chain, material->chain_len},
                                       (struct net_pem){material->key, material->key_len}, why);
    if (settings->tls)
        return 0;
    return config_complain(config, "SSL_Cert", error, "%s: %s", config->SSL_Cert, why);
}

/* Fills in the data of the page /trust. */
static void describe_trust(struct live_config *settings)
{
    const struct server_cert *cert = &settings->cert;
    enum trust_page_state tls = cert->ca ? TRUST_PAGE_OURS : TRUST_PAGE_OTHER;
    settings->trust = (struct trust_page){.state = settings->tls ? tls : TRUST_PAGE_PLAIN,
                                          .name = cert->ca_name,
                                          .fingerprint = cert->ca_fingerprint,
                                          .ca = cert->ca,
                                          .ca_len = (size_t)cert->ca_len};
}

static struct live_config *settings_new(char *error)
{
    struct live_config *settings = calloc(1, sizeof(*settings));
    if (settings)
        settings->references = 1;
    else
        snprintf(error, CONFIG_ERROR_MAX, "out of memory while the configuration was read");
    return settings;
}

/* The broker has parsed the text already, so an error here means that memory is out. */
static int parse(struct live_config *settings, const char *path, const struct material *material,
                 char *error)
{
    return config_parse(&settings->config, path, material->config, material->config_len, error);
}

/* The last step of every way to read settings: loads the certificate. Frees *material. Returns the
 * settings, or NULL when `found` is -1 or the certificate is refused. */
static struct live_config *finish_reading(struct live_config *settings, int found,
                                          struct material *material, char *error)
{
    if (found == 0)
        found = load_tls(settings, material, error);
    settings->cert = material->cert;
    settings->password_readable = material->password_readable;
    material->cert.ca = NULL;
    material_free(material);
    if (found < 0) {
        settings_free(settings);
        return NULL;
    }
    describe_trust(settings);
    return settings;
}

struct live_config *live_config_read(const char *path, enum live_config_use use, char *error)
{
    struct live_config *settings = settings_new(error);
    struct material material;
    if (!settings)
        return NULL;
    enum broker_request request = use == LIVE_CONFIG_START ? BROKER_START : BROKER_CHECK;
    if (broker_ask(request, path, &material, error) < 0) {
        free(settings);
        return NULL;
    }
    int found = parse(settings, path, &material, error);
    if (found == 0 && use == LIVE_CONFIG_START)
        log_set_level(settings->config.log_level);
    return finish_reading(settings, found, &material, error);
}

struct live_config *live_config_read_again(const struct live_config *running, char *kept,
                                           char *error)
{
    const char *path = running->config.path;
    struct live_config *settings = settings_new(error);
    struct material material;
    if (!settings)
        return NULL;
    if (broker_ask(BROKER_RELOAD, path, &material, error) < 0) {
        free(settings);
        return NULL;
    }
    int found = parse(settings, path, &material, error);
    if (found == 0)
        found = config_keep(&settings->config, &running->config, kept, error);
    return finish_reading(settings, found, &material, error);
}

struct live_config *live_config_renew(struct live_config *running, char *error)
{
    struct live_config *settings = settings_new(error);
    struct material material;
    if (!settings)
        return NULL;
    if (broker_ask(BROKER_RENEW, running->config.path, &material, error) < 0) {
        free(settings);
        return NULL;
    }
    settings->config = running->config;
    settings->origin = running->origin ? running->origin : running;
    pthread_mutex_lock(&lock);
    settings->origin->references++;
    pthread_mutex_unlock(&lock);
    return finish_reading(settings, 0, &material, error);
}

/* ---- In force ---- */

void live_config_publish(struct live_config *next)
{
    pthread_mutex_lock(&lock);
    struct live_config *before = atomic_load_explicit(&current, memory_order_relaxed);
    atomic_store(&current, next);
    pthread_mutex_unlock(&lock);
    metrics_set(METRIC_CERTIFICATE_END, next ? next->cert.end : 0);
    metrics_set(METRIC_AUTHORITY_END, next ? next->cert.local_ca_end : 0);
    live_config_unref(before);
    if (next && !next->origin) /* with an origin the config is the same */
        broker_commit();
}

struct live_config *live_config_ref(void)
{
    pthread_mutex_lock(&lock);
    struct live_config *settings = atomic_load_explicit(&current, memory_order_relaxed);
    if (settings)
        settings->references++;
    pthread_mutex_unlock(&lock);
    return settings;
}

void live_config_unref(struct live_config *settings)
{
    if (!settings)
        return;
    pthread_mutex_lock(&lock);
    bool last = --settings->references == 0;
    pthread_mutex_unlock(&lock);
    if (last)
        settings_free(settings);
}

bool live_config_is_current(const struct live_config *settings)
{
    return atomic_load_explicit(&current, memory_order_relaxed) == settings;
}
