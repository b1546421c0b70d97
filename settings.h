/* SPDX-License-Identifier: MIT
 *
 * settings.h - the settings in force: one generation at a time, immutable, replaced as a whole.
 *
 * Whoever goes by settings holds a generation for as long as he uses them, and looks now and then,
 * without a lock, whether there is a newer one. The last to let go of a generation frees it. A TLS
 * connection keeps the certificate it began with (OpenSSL counts references of its own).
 */
#ifndef SETTINGS_H
#define SETTINGS_H

#include <stdbool.h>

#include "cert.h"
#include "config.h"
#include "net.h"
#include "trust.h"

/* One generation. [I] immutable once it is in force, [s] under a lock of settings.c, a leaf. */
struct settings {
    struct config config; /* [I] */
    struct net_tls *tls;  /* [I] NULL: plain */
    struct cert cert;     /* [I] */
    struct trust trust;   /* [I] what the page /trust says of it */
    unsigned references;  /* [s] */
};

/* What the settings are read for. */
enum settings_use {
    SETTINGS_START, /* makes a certificate where there is none */
    SETTINGS_CHECK, /* writes nothing; that there is no certificate yet is no fault */
};

/* Reads a file and all that it names. Returns settings that the caller owns, or NULL and a complaint of
 * one line in `error` (CONFIG_ERROR_MAX). */
struct settings *settings_read(const char *path, enum settings_use use, char *error);

/* Reads the file again, to replace `running`. What cannot change stays, see config_keep, which fills
 * `kept`; what is wrong is a complaint, and then nothing has changed. Missing files of the certificate
 * are not made; one of ours is issued anew when it is due. At most one descriptor is open at a time. */
struct settings *settings_read_again(const struct settings *running, char *kept, char *error);

/* Puts a generation in force, and lets the one before go. Main thread. */
void settings_publish(struct settings *next);

/* The generation in force, or NULL; the caller lets it go with settings_drop (which takes NULL). */
struct settings *settings_hold(void);
void settings_drop(struct settings *settings);

/* Whether a generation that the caller holds is still the one in force: one load, no lock. */
bool settings_in_force(const struct settings *settings);

#endif
