/* SPDX-License-Identifier: MIT
 *
 * pem.h - certificates and keys in files (RFC 7468), with every complaint that a person can need.
 *
 * Called at start-up only, from the main thread.
 */
#ifndef PEM_H
#define PEM_H

#include <stdbool.h>
#include <sys/types.h>

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "config.h"

/* A file, and where a complaint about it goes. All borrowed. */
struct pem_file {
    const struct config *config;
    const char *key; /* of the setting that led here */
    char *path;
    char *error; /* CONFIG_ERROR_MAX bytes */
};

/* Complains about the file as config_complain does. Always returns -1. */
int pem_complain(const struct pem_file *file, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Whether nothing is there. What is there and cannot be looked at is found out on opening it. */
bool pem_is_missing(const struct pem_file *file);

/* Reads the first certificate in the file: the server's own; those that vouch for it may follow.
 * The caller frees it with X509_free; NULL: it was complained about. */
X509 *pem_read_certificate(const struct pem_file *file);

/* Reads a private key that nobody else can read: mode 0600, or 0640 if root owns it. The caller frees
 * it with EVP_PKEY_free; NULL: it was complained about. */
EVP_PKEY *pem_read_key(const struct pem_file *file);

/* Writes what is in the memory BIO `pem` to a file that was not there before, with `mode` from its
 * first moment. Returns 0, or -1 and a complaint, and then it has left no file behind. */
int pem_write(const struct pem_file *file, mode_t mode, BIO *pem);

/* Puts it (mode 0644) in the place of a file: whoever opens it finds the old content or the new one,
 * whole. Returns 0, or -1 and a complaint, and then the old one is still there. */
int pem_replace(const struct pem_file *file, BIO *pem);

#endif
