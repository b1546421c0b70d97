/* SPDX-License-Identifier: MIT
 *
 * cert.h - the certificate: made by a first start, issued anew in time, and what is wrong with one
 * that a user gave.
 *
 * Called at start-up only, from the main thread.
 */
#ifndef CERT_H
#define CERT_H

#include "config.h"

enum {
    CERT_FINGERPRINT_MAX = 96, /* SHA-256 as "AB:CD:...", with its NUL */
    CERT_NAME_MAX = 64 + 1,    /* a common name (RFC 5280 appendix A.1); a longer one is cut */
};

enum cert_state {
    CERT_FOUND,   /* it was there and is used as it is */
    CERT_MADE,    /* this start made it, and its key */
    CERT_RENEWED, /* this start issued it anew, for the same key */
};

/* What clients can compare and trust. */
struct cert {
    enum cert_state state;
    char fingerprint[CERT_FINGERPRINT_MAX];    /* of the server's certificate */
    char ca_fingerprint[CERT_FINGERPRINT_MAX]; /* of our authority's; "": another issued it */
    char ca_name[CERT_NAME_MAX];               /* what lists of certificates call the authority */
    unsigned char *ca; /* its certificate in DER form, ca_len bytes; NULL: another's */
    int ca_len;
};

/* Makes sure that SSL_Cert and SSL_Key are there and fit to be used. When both are missing, makes
 * them (key: P-256, mode 0600), signed by an authority of our own (ca.h), which is in the files
 * ragnarok-ca.crt (0644) and ragnarok-ca.pem (0600) beside SSL_Cert and is made, too, if there is
 * none. A certificate that this authority issued is issued anew when it does not name all of the
 * host's present names and addresses or ends within 30 days; if that cannot be done, it is logged, and
 * the old one is used while it is valid. Any other is only looked at.
 * Returns 0 and *cert, which the caller ends with cert_free, or -1 and a complaint in `error`
 * (CONFIG_ERROR_MAX): one of the two missing, not PEM, expired or not yet valid, certificate and
 * key that do not belong together, a key that others can read (allowed: 0600 own, or 0640 owned
 * by root). */
int cert_prepare(const struct config *config, struct cert *cert, char *error);

/* The same, but it writes nothing: files that are missing are a complaint. */
int cert_check(const struct config *config, struct cert *cert, char *error);

/* Frees what *cert holds; it may be all zero. */
void cert_free(struct cert *cert);

#endif
