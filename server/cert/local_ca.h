/* SPDX-License-Identifier: MIT
 *
 * local_ca.h - a local certificate authority in two layers: a root that people install, and an
 * intermediate below it that signs the server's certificates.
 *
 * People who trust the root once trust every certificate that is issued later, so both layers are
 * limited to names and addresses that nobody owns on the internet (RFC 5280 §4.2.1.10). Every
 * verifier enforces the limits of the intermediate; those of the root are not enough, because
 * RFC 5280 §6.1.1 takes only the name and the key of a trust anchor, and Java ignores everything
 * else in it. The root's key is destroyed as soon as it has signed the intermediate, so nobody can
 * bypass the intermediate.
 *
 * No files, no locks; only the host's name and addresses are read from the system.
 */
#ifndef LOCAL_CA_H
#define LOCAL_CA_H

#include <stdbool.h>

#include <openssl/evp.h>
#include <openssl/x509.h>

enum { LOCAL_CA_HOST_MAX = 253 + 1 }; /* a host name (RFC 1035 §2.3.4) with its NUL */

/* The authority. All owned; local_ca_free releases them. */
struct local_ca {
    X509 *root;    /* the certificate that people install; nobody has its key */
    X509 *cert;    /* the intermediate's certificate, signed by the root */
    EVP_PKEY *key; /* the intermediate's key; NULL: not loaded */
};

/* Makes both layers, valid for ten years: for servers only, and only for localhost, *.local, the
 * full name of this host if it is a private one (local_ca_host_left_out), and loopback, private and
 * link-local addresses. Returns true and *ca, or false and an empty *ca. The reason is in OpenSSL's
 * error queue, or memory is out. */
bool local_ca_make(struct local_ca *ca);

/* Frees the contents of *ca, and empties it; it may be all zero. */
void local_ca_free(struct local_ca *ca);

/* Issues a server's certificate for `key` with every current name and address of this host,
 * server_ip included, that the authority may sign for. It is valid from yesterday for 397 days or
 * until the authority ends, whichever comes first. ca->key must be set. Returns a certificate that
 * the caller frees with X509_free, or NULL; errors as local_ca_make. */
X509 *local_ca_issue(const struct local_ca *ca, EVP_PKEY *key, const char *server_ip);

/* Whether the root signed the intermediate, and ca->key is the intermediate's, or NULL. */
bool local_ca_is_whole(const struct local_ca *ca);

/* Whether it is whole, and the intermediate signed `cert`. */
bool local_ca_issued(const struct local_ca *ca, X509 *cert);

/* Why the authority must not be used although its signatures are good: its key could certify sites
 * of the internet. Returns half a sentence, or NULL if it is sound. */
const char *local_ca_flaw(const struct local_ca *ca);

/* The earlier end of its two certificates. Borrowed from *ca. */
const ASN1_TIME *local_ca_end(const struct local_ca *ca);

/* Whether `cert` has all names that local_ca_issue would include now, and is valid for 30 more days
 * or as long as the authority. */
bool local_ca_is_fresh(const struct local_ca *ca, X509 *cert, const char *server_ip);

/* Writes the full name of this host if the authority does not sign for it, because somebody on the
 * internet may own the name. Names below .local, .localhost, .test, .home.arpa, .internal and .lan
 * are private. Returns false if there is no such name. */
bool local_ca_host_left_out(char host[LOCAL_CA_HOST_MAX]);

#endif
