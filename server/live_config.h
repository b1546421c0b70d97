/* SPDX-License-Identifier: MIT
 *
 * live_config.h - the settings in force: an immutable snapshot, replaced as a whole.
 *
 * Readers hold a reference to one snapshot and check, without a lock, for a newer one. Releasing
 * the last reference frees it. A TLS connection keeps the certificate it began with (OpenSSL has
 * its own reference counts).
 */
#ifndef LIVE_CONFIG_H
#define LIVE_CONFIG_H

#include <stdbool.h>

#include "server/cert/server_cert.h"
#include "base/config.h"
#include "net/stream.h"
#include "server/http/trust_page.h"

/* One snapshot. [I] immutable once in force, [s] under a lock of live_config.c, a leaf. */
struct live_config {
    struct config config;       /* [I] */
    struct tls_context *tls;    /* [I] NULL: no TLS */
    struct server_cert cert;    /* [I] */
    struct trust_page trust;    /* [I] data of the page /trust */
    bool password_readable;     /* [I] others can read the password in the file (material.h) */
    unsigned references;        /* [s] */
    struct live_config *origin; /* [I] owns the config, a reference; NULL: this one owns it */
};

/* The purpose of reading the settings. */
enum live_config_use {
    LIVE_CONFIG_START, /* makes a missing certificate */
    LIVE_CONFIG_CHECK, /* writes nothing; a missing certificate is no error */
};

/* Reads the file at `path` and the files that it names, through the broker (broker.h) if there is
 * one. Returns settings that the caller owns, or NULL and an error of one line in `error`
 * (CONFIG_ERROR_MAX). */
struct live_config *live_config_read(const char *path, enum live_config_use use, char *error);

/* Reads the file again, to replace `running`. Settings that cannot change stay as they are; `kept`
 * lists them (config_keep). Returns NULL and an error if anything is wrong, and nothing has
 * changed. A missing certificate is not made; one of ours is renewed if needed. With a broker no
 * descriptor is needed. */
struct live_config *live_config_read_again(const struct live_config *running, char *kept,
                                           char *error);

/* Reads only the certificate again, for the settings `running`, and renews one of ours if needed.
 * Returns settings with that certificate, or NULL and an error. */
struct live_config *live_config_renew(struct live_config *running, char *error);

/* Puts a snapshot in force, tells the broker, and releases the previous one. Main thread only. */
void live_config_publish(struct live_config *next);

/* Takes a reference to the snapshot in force, or returns NULL if there is none. live_config_unref
 * releases it; it accepts NULL. */
struct live_config *live_config_ref(void);
void live_config_unref(struct live_config *settings);

/* Whether a snapshot that the caller holds is still in force: one load, no lock. */
bool live_config_is_current(const struct live_config *settings);

#endif
