/* SPDX-License-Identifier: MIT
 *
 * ca.h - a small certificate authority of one's own, that can vouch for nothing but this house.
 *
 * People who trust it once trust every certificate that it issues later. So it is held to names
 * and addresses that are nobody's on the internet (RFC 5280 §4.2.1.10). Pure but for asking the
 * system for the host's name and addresses; no files, no locks.
 */
#ifndef CA_H
#define CA_H

#include <stdbool.h>

#include <openssl/evp.h>
#include <openssl/x509.h>

/* Makes the authority's certificate for its `key`, valid ten years: it may sign servers only, and
 * only for localhost, *.local, the host's name, and loopback, private and link-local addresses.
 * Returns a certificate that the caller frees with X509_free, or NULL (OpenSSL's error queue may
 * say why; when it does not, memory is out). */
X509 *ca_make(EVP_PKEY *key);

/* Issues a server's certificate for `key`, valid 397 days since yesterday, for every name and
 * address that this host has now, server_ip among them, as far as the authority may sign for them.
 * `ca` and `ca_key` belong together. Returned as above. */
X509 *ca_issue(X509 *ca, EVP_PKEY *ca_key, EVP_PKEY *key, const char *server_ip);

/* Whether the authority signed `cert`. */
bool ca_issued(X509 *ca, X509 *cert);

/* Whether `cert` names everything that ca_issue would put in now, and holds for 30 days more. */
bool ca_is_fresh(X509 *ca, X509 *cert, const char *server_ip);

#endif
