/* SPDX-License-Identifier: MIT
 *
 * pem.h - reads and writes PEM files of certificates and keys (RFC 7468).
 *
 * One thread at a time; takes no locks.
 */
#ifndef PEM_H
#define PEM_H

#include <stdbool.h>
#include <sys/types.h>

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "base/config.h"

enum { PEM_FILE_MAX = 256 * 1024 }; /* bytes of a file that pem_read_bytes takes */

/* A file, and the buffer for errors about it. All borrowed. */
struct pem_file {
    const struct config *config;
    const char *key; /* name of the setting */
    char *path;
    char *error; /* CONFIG_ERROR_MAX bytes */
};

/* Writes an error about the file as config_complain does. Always returns -1. */
int pem_complain(const struct pem_file *file, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Whether the file does not exist. Other errors are found when it is opened. */
bool pem_is_missing(const struct pem_file *file);

/* Reads the first certificate in the file, the server's own; its issuers may follow. The first
 * issuer is stored in *next, or NULL if there is none (`next` may be NULL). The caller frees both
 * with X509_free; returns NULL after an error. */
X509 *pem_read_certificate(const struct pem_file *file, X509 **next);

/* Reads a private key that nobody else can read: mode 0600, or 0640 if root owns it. The caller
 * frees it with EVP_PKEY_free; NULL after an error. */
EVP_PKEY *pem_read_key(const struct pem_file *file);

/* Reads a whole file; more than PEM_FILE_MAX bytes is an error. A NUL follows the last byte. The
 * caller frees it with OPENSSL_clear_free(bytes, *len + 1); NULL after an error. */
char *pem_read_bytes(const struct pem_file *file, size_t *len);

/* Writes the memory BIO `pem` to a new file, created with `mode`. Returns 0 when file and name are
 * on the disk; or -1 and an error, and no file is left behind. */
int pem_write(const struct pem_file *file, mode_t mode, BIO *pem);

/* Replaces a file (mode 0644) atomically: a reader gets the old content or the new one, whole.
 * Returns 0 when the new one is on the disk; or -1 and an error, and the old or the new one is
 * still there. */
int pem_replace(const struct pem_file *file, BIO *pem);

#endif
