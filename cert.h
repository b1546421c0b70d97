/* SPDX-License-Identifier: MIT
 *
 * cert.h - the certificate a first start makes, and what is wrong with one that a user gave.
 *
 * Called at start-up only, from the main thread.
 */
#ifndef CERT_H
#define CERT_H

#include "config.h"

enum { CERT_FINGERPRINT_MAX = 96 }; /* SHA-256 as "AB:CD:...", with its NUL */

/* Makes sure that SSL_Cert and SSL_Key are there and fit to be used. When both files are missing,
 * makes them: a P-256 key (mode 0600) and a certificate signed by itself, valid 397 days for
 * localhost, 127.0.0.1, ::1, the host's name and its present addresses; *made tells so.
 * Returns 0 and the SHA-256 fingerprint of the certificate, or -1 and a complaint in `error`
 * (CONFIG_ERROR_MAX): one of the two missing, not PEM, expired or not yet valid, certificate and
 * key that do not belong together, a key that others can read (allowed: 0600 own, or 0640 owned
 * by root). */
int cert_prepare(const struct config *config, bool *made, char *fingerprint, char *error);

#endif
