/* SPDX-License-Identifier: MIT
 *
 * server_cert.h - the server's certificate: made at the first start, renewed, and checked.
 *
 * Main thread of one process, at start-up and on reload.
 */
#ifndef SERVER_CERT_H
#define SERVER_CERT_H

#include <stdint.h>

#include "base/config.h"
#include "lib/hex.h"

enum {
    SERVER_CERT_NAME_MAX = 64 + 1,  /* a common name (RFC 5280 appendix A.1); a longer one is cut */
    SERVER_CERT_HOST_MAX = 253 + 1, /* a host name (RFC 1035 §2.3.4) with its NUL */
    SERVER_CERT_WARNING_MAX = 512,  /* a longer warning is cut */
};

enum server_cert_state {
    SERVER_CERT_FOUND,   /* it existed and is used as it is */
    SERVER_CERT_MADE,    /* this start made it, and its key */
    SERVER_CERT_RENEWED, /* this start renewed it, for the same key */
};

/* The certificate's data for people to compare and trust. "Our authority" is the one in
 * ragnarok-ca.crt, if it issued the certificate and is sound (local_ca_flaw). */
struct server_cert {
    enum server_cert_state state;
    int64_t end;                          /* last second of validity, in Unix time */
    int64_t local_ca_end;                 /* last second of our authority; 0: another issued it */
    char fingerprint[FINGERPRINT_MAX];    /* of the server's certificate */
    char ca_fingerprint[FINGERPRINT_MAX]; /* of our authority's root; "": another issued it */
    char ca_name[SERVER_CERT_NAME_MAX];   /* the root's name in lists of certificates */
    unsigned char *ca; /* the root in DER form, ca_len bytes; NULL: another issued it */
    int ca_len;
    char warning
        [SERVER_CERT_WARNING_MAX]; /* what the owner must do about the authority; "": nothing */
    char host_left_out
        [SERVER_CERT_HOST_MAX]; /* this host's full name, if our authority does not sign for it
                                        * because it may be somebody's on the internet; else "" */
};

/* Makes sure that SSL_Cert and SSL_Key exist and can be used.
 *
 * If both are missing, they are made (key: P-256, mode 0600), issued by the local authority
 * (local_ca.h). Its two files are beside SSL_Cert and are made if missing: ragnarok-ca.crt (0644)
 * is the root, which people install; ragnarok-ca.pem (0600) is the intermediate, its certificate
 * and its key. SSL_Cert holds the server's certificate and the intermediate's.
 *
 * A certificate of this authority is renewed when it lacks one of the host's current names or
 * addresses, or ends within 30 days and before the authority. If renewal fails, that is logged, and
 * the old one is used while it is valid. Any other certificate is only checked, and so is one of an
 * authority with a flaw (local_ca_flaw). cert->warning and the log tell of such a flaw, and of an
 * authority that ends within 90 days.
 *
 * Returns 0 and *cert, which the caller releases with server_cert_free, or -1 and an error in
 * `error` (CONFIG_ERROR_MAX): one of the two is missing, not PEM, expired or not yet valid,
 * certificate and key do not belong together, others can read the key (allowed: 0600, or 0640 owned
 * by root), or the authority has expired. */
int server_cert_prepare(const struct config *config, struct server_cert *cert, char *error);

/* The same, but writes nothing: missing files are an error. */
int server_cert_check(const struct config *config, struct server_cert *cert, char *error);

/* Frees the contents of *cert; it may be all zero. */
void server_cert_free(struct server_cert *cert);

#endif
