/* SPDX-License-Identifier: MIT
 *
 * material.c - reads config.json, the certificate and its key, for live_config.c.
 *
 * One thread at a time; takes no locks.
 */
#include "server/cert/material.h"

#include <stdlib.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "base/log.h"
#include "server/cert/pem.h"

/* Whether the certificate or its key exists. */
static bool has_certificate(const struct config *config)
{
    return access(config->SSL_Cert, F_OK) == 0 || access(config->SSL_Key, F_OK) == 0;
}

static int read_pair(const struct config *config, struct material *material, char *error)
{
    struct pem_file chain = {config, "SSL_Cert", config->SSL_Cert, error};
    struct pem_file key = {config, "SSL_Key", config->SSL_Key, error};
    material->chain = pem_read_bytes(&chain, &material->chain_len);
    if (material->chain)
        material->key = pem_read_bytes(&key, &material->key_len);
    return material->key ? 0 : -1;
}

/* `may_make`: a missing certificate is made. `may_issue`: one of ours is renewed if needed. */
static int read_certificate(const struct config *config, bool may_make, bool may_issue,
                            struct material *material, char *error)
{
    bool prepare = may_make || (may_issue && has_certificate(config));
    int found = prepare ? server_cert_prepare(config, &material->cert, error)
                        : server_cert_check(config, &material->cert, error);
    return found < 0 ? -1 : read_pair(config, material, error);
}

/* Whether the settings contain a password that the owner chose. */
static bool has_secret(const struct config *config)
{
    return config->server_password[0] && !config_has_sample_password(config);
}

static int read_settings_file(const char *path, struct material *material, struct config *config,
                              char *error)
{
    bool others_can_read;
    *material = (struct material){.config = NULL};
    material->config = config_read(path, &material->config_len, &others_can_read, error);
    if (!material->config)
        return -1;
    if (config_parse(config, path, material->config, material->config_len, error) == 0) {
        material->password_readable = others_can_read && has_secret(config);
        return 0;
    }
    material_free(material);
    return -1;
}

int material_read(const char *path, bool may_make, struct material *material, struct config *config,
                  char *error)
{
    if (read_settings_file(path, material, config, error) < 0)
        return -1;
    if (may_make)
        log_set_level(config->log_level);
    bool wanted = config->SSL && (may_make || has_certificate(config));
    if (!wanted || read_certificate(config, may_make, may_make, material, error) == 0)
        return 0;
    material_free(material);
    config_free(config);
    return -1;
}

int material_read_again(const struct config *running, struct material *material,
                        struct config *config, char *error)
{
    char kept[CONFIG_KEPT_MAX];
    if (read_settings_file(running->path, material, config, error) < 0)
        return -1;
    if (config_keep(config, running, kept, error) == 0 &&
        (!config->SSL || read_certificate(config, false, true, material, error) == 0))
        return 0;
    material_free(material);
    config_free(config);
    return -1;
}

int material_renew(const struct config *running, struct material *material, char *error)
{
    *material = (struct material){.config = NULL};
    if (read_certificate(running, false, true, material, error) == 0)
        return 0;
    material_free(material);
    return -1;
}

void material_free(struct material *material)
{
    free(material->config);
    OPENSSL_free(material->chain);
    if (material->key)
        OPENSSL_clear_free(material->key, material->key_len + 1);
    server_cert_free(&material->cert);
    *material = (struct material){.config = NULL};
}
