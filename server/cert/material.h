/* SPDX-License-Identifier: MIT
 *
 * material.h - the raw settings, read from files: config.json, the certificate and its key.
 *
 * Reads, makes, renews and checks the files. In a running server only the broker process does
 * (broker.h), and sends the bytes to the server. No locks; one thread at a time.
 */
#ifndef MATERIAL_H
#define MATERIAL_H

#include <stdbool.h>
#include <stddef.h>

#include "server/cert/server_cert.h"
#include "base/config.h"

/* All owned; material_free releases it. */
struct material {
    char *config; /* the text of config.json, NUL-terminated; NULL: only the certificate was read */
    size_t config_len;
    bool password_readable; /* a password of the owner's is in it, and its mode lets others read it:
                             * 0600 prevents that, or 0640 if root owns the file */
    char *chain;            /* contents of SSL_Cert (PEM); NULL: no TLS */
    size_t chain_len;
    char *key; /* contents of SSL_Key (PEM); NULL: no TLS */
    size_t key_len;
    struct server_cert cert; /* data for people to compare and trust; empty without TLS */
};

/* Reads the file at `path` and the files that it names. With `may_make`, a missing certificate is
 * made and ours is renewed if needed; without, nothing is written, and a missing certificate is no
 * error. Returns 0, *material and *config, which the caller releases with config_free; or -1 and an
 * error of one line in `error` (CONFIG_ERROR_MAX). */
int material_read(const char *path, bool may_make, struct material *material, struct config *config,
                  char *error);

/* The same for a reload: reads the file of `running` again. A missing certificate is an error; ours
 * is renewed if needed. */
int material_read_again(const struct config *running, struct material *material,
                        struct config *config, char *error);

/* Reads only the certificate of `running` again; ours is renewed if needed. */
int material_renew(const struct config *running, struct material *material, char *error);

/* Frees the contents of *material, overwrites the key, and empties it; it may be all zero. */
void material_free(struct material *material);

#endif
