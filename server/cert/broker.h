/* SPDX-License-Identifier: MIT
 *
 * broker.h - a second process, the only one that reads and writes the server's files: settings,
 * certificate, keys, and ragnarok-ca.pem, whose key people's browsers trust.
 *
 * The server handles untrusted input, so it is confined (sandbox.h) and can open no file. For a
 * reload it asks the broker, in one byte. The request carries no path, name or key: config.json
 * decides what the broker reads, and it issues certificates only for SSL_Key and this host. So an
 * attacker in the server process learns config.json and the two files of the certificate, which the
 * process has in memory anyway, and cannot have anything signed.
 *
 * Main thread only; broker_fork must be called before there are threads.
 */
#ifndef BROKER_H
#define BROKER_H

#include <stdbool.h>

#include "server/cert/material.h"

enum broker_request {
    BROKER_START = 'S',  /* material_read, may make a certificate; refused after a commit */
    BROKER_CHECK = 'K',  /* material_read; writes nothing */
    BROKER_RELOAD = 'R', /* material_read_again */
    BROKER_RENEW = 'N',  /* material_renew */
    BROKER_COMMIT = 'C', /* the configuration read last is in force; no answer */
};

/* Starts the process, which reads the file at `path`. It ends when this process does, and ignores
 * signals that a terminal or a service manager sends to both. `confine`: it restricts itself, too.
 * Returns 0, or -1 and a text in `error` (CONFIG_ERROR_MAX). */
int broker_fork(const char *path, bool confine, char *error);

/* Reads files: in the broker if it was started, else in this process (for --check-config, and
 * tests). `path` is the one that was given to broker_fork. Returns 0 and *material, which the
 * caller releases with material_free; or -1 and an error in `error`, also when the broker has
 * ended. */
int broker_ask(enum broker_request request, const char *path, struct material *material,
               char *error);

/* Tells the broker that the configuration read last is in force now. */
void broker_commit(void);

/* Whether the broker has ended unexpectedly; true once. */
bool broker_is_gone(void);

/* Stops the broker, and waits until it has ended. */
void broker_end(void);

#endif
