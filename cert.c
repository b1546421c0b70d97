/* SPDX-License-Identifier: MIT
 *
 * cert.c - sees to it that there is a certificate: makes the first one, issues it anew in time, and
 * checks what is there.
 *
 * A first start makes an authority (ca.h) and has it sign a certificate; a later one has it signed
 * again when this host has got another name or address, or when it ends soon. Whoever trusted the
 * authority once need not do so again. The key stays the same, so only one file changes, and that
 * by rename(2): there never is half a pair. What a user gave is never written to.
 *
 * If a certificate cannot be written after its key, the key is taken away again, for one of the two
 * alone is a mistake at the next start.
 *
 * Left to others: what stands in the certificates (ca.c); the files (pem.c); how they are used
 * (net.c, the only file that knows OpenSSL's SSL).
 *
 * Called at start-up only, from the main thread; takes no locks.
 */
#include "cert.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "ca.h"
#include "log.h"
#include "pem.h"

#define CA_CERT "ragnarok-ca.crt" /* beside SSL_Cert */
#define CA_KEY  "ragnarok-ca.pem"

enum {
    DATE_MAX = 32, /* "2026-01-31 12:00:00 UTC" */
};

/* A certificate and its key, each in a file. What was read or made is freed with the rest. */
struct pair {
    struct pem_file cert_file, key_file;
    X509 *cert;    /* NULL: not read */
    EVP_PKEY *key; /* likewise */
};

/* The server's pair and the authority's. */
struct files {
    const struct config *config;
    struct pair server, ca;
};

/* ---- Which files ----------------------------------------------------------------------------- */

/* The path of `name` in the folder of the file at `path`. The caller frees it; NULL: no memory. */
static char *beside(const char *path, const char *name)
{
    const char *slash = strrchr(path, '/');
    int folder = slash ? (int)(slash - path) + 1 : 0;
    char *out;
    return asprintf(&out, "%.*s%s", folder, path, name) < 0 ? NULL : out;
}

/* Names the four files. Ended with close_files, also when memory is out (-1). */
static int open_files(struct files *files, const struct config *config, char *error)
{
    files->config = config;
    files->server = (struct pair){.cert_file = {config, "SSL_Cert", config->SSL_Cert, error},
                                  .key_file = {config, "SSL_Key", config->SSL_Key, error}};
    files->ca =
        (struct pair){.cert_file = {config, "SSL_Cert", beside(config->SSL_Cert, CA_CERT), error},
                      .key_file = {config, "SSL_Cert", beside(config->SSL_Cert, CA_KEY), error}};
    if (files->ca.cert_file.path && files->ca.key_file.path)
        return 0;
    return config_complain(config, "SSL_Cert", error, "out of memory");
}

static void free_pair(struct pair *pair)
{
    X509_free(pair->cert);
    EVP_PKEY_free(pair->key);
    pair->cert = NULL;
    pair->key = NULL;
}

static void close_files(struct files *files)
{
    free_pair(&files->server);
    free_pair(&files->ca);
    free(files->ca.cert_file.path);
    free(files->ca.key_file.path);
}

/* One of the two alone is a mistake. Complains, or returns whether both are `*missing`. */
static int check_both(const struct pair *pair, bool *missing)
{
    bool no_cert = pem_is_missing(&pair->cert_file), no_key = pem_is_missing(&pair->key_file);
    const struct pem_file *gone = no_cert ? &pair->cert_file : &pair->key_file;
    const struct pem_file *there = no_cert ? &pair->key_file : &pair->cert_file;
    *missing = no_cert && no_key;
    if (no_cert == no_key)
        return 0;
    return pem_complain(gone,
                        "found no file %s, only %s, allowed is both, or neither to have them "
                        "made",
                        gone->path, there->path);
}

/* ---- Reading and checking ------------------------------------------------------------------- */

/* Reads both; what was read before is let go. */
static int read_pair(struct pair *pair)
{
    free_pair(pair);
    pair->cert = pem_read_certificate(&pair->cert_file);
    pair->key = pair->cert ? pem_read_key(&pair->key_file) : NULL;
    return pair->key ? 0 : -1;
}

static void write_date(char out[DATE_MAX], const ASN1_TIME *time)
{
    struct tm tm;
    if (!ASN1_TIME_to_tm(time, &tm) || strftime(out, DATE_MAX, "%Y-%m-%d %H:%M:%S UTC", &tm) == 0)
        snprintf(out, DATE_MAX, "an unreadable date");
}

/* RFC 5280 §4.1.2.5: the certificate holds from the one date to the other. A date that OpenSSL
 * cannot read (its comparison says 0) counts as over. `hint` says what to do then. */
static int check_dates(const struct pair *pair, const char *hint)
{
    const struct pem_file *file = &pair->cert_file;
    const ASN1_TIME *from = X509_get0_notBefore(pair->cert),
                    *until = X509_get0_notAfter(pair->cert);
    bool early = X509_cmp_current_time(from) > 0;
    if (!early && X509_cmp_current_time(from) < 0 && X509_cmp_current_time(until) > 0)
        return 0;
    char first[DATE_MAX], last[DATE_MAX];
    write_date(first, from);
    write_date(last, until);
    return pem_complain(file,
                        "found a certificate that %s in %s (valid from %s to %s), allowed is one "
                        "that is valid now%s",
                        early ? "is not valid yet" : "has expired", file->path, first, last,
                        early ? "" : hint);
}

/* SHA-256 of the whole certificate, as browsers show it. */
static bool write_fingerprint(char out[CERT_FINGERPRINT_MAX], const X509 *cert)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    if (X509_digest(cert, EVP_sha256(), digest, &len) != 1)
        return false;
    for (unsigned i = 0; i < len; i++)
        snprintf(out + 3 * i, 4, "%02X%s", digest[i], i + 1 < len ? ":" : "");
    return true;
}

static int check_pair(const struct pair *pair, const char *hint)
{
    const struct pem_file *file = &pair->key_file;
    if (check_dates(pair, hint) < 0)
        return -1;
    if (X509_check_private_key(pair->cert, pair->key) == 1)
        return 0;
    return pem_complain(file,
                        "found a key in %s that does not belong to the certificate in %s, "
                        "allowed is the one it was made with",
                        file->path, pair->cert_file.path);
}

/* Reads the authority's certificate, if there is one and it issued the server's. Returns 0 and
 * ca.cert, NULL when it did not; or -1 when it cannot be known. */
static int read_issuer(struct files *files)
{
    struct pair *ca = &files->ca;
    free_pair(ca);
    if (pem_is_missing(&ca->cert_file))
        return 0;
    ca->cert = pem_read_certificate(&ca->cert_file);
    if (!ca->cert)
        return -1;
    if (!ca_issued(ca->cert, files->server.cert))
        free_pair(ca);
    return 0;
}

/* What it is called in the lists of certificates that people see. */
static bool write_name(char out[CERT_NAME_MAX], X509 *ca)
{
    return X509_NAME_get_text_by_NID(X509_get_subject_name(ca), NID_commonName, out,
                                     CERT_NAME_MAX) > 0;
}

/* Says what clients can compare and trust. */
static int describe(const struct files *files, struct cert *cert)
{
    X509 *ca = files->ca.cert;
    bool ok = write_fingerprint(cert->fingerprint, files->server.cert);
    if (ok && ca) {
        cert->ca_len = i2d_X509(ca, &cert->ca);
        ok = cert->ca_len > 0 && write_name(cert->ca_name, ca) &&
             write_fingerprint(cert->ca_fingerprint, ca);
    }
    if (ok)
        return 0;
    return pem_complain(&files->server.cert_file, "OpenSSL cannot compute SHA-256");
}

static int check(struct files *files, struct cert *cert)
{
    if (read_pair(&files->server) < 0 ||
        check_pair(&files->server, " (if this server made it, delete both files)") < 0 ||
        read_issuer(files) < 0)
        return -1;
    return describe(files, cert);
}

/* ---- Making ---------------------------------------------------------------------------------- */

static int refuse_make(const struct pem_file *file)
{
    const char *why = ERR_reason_error_string(ERR_peek_error());
    return pem_complain(file, "OpenSSL cannot make a certificate: %s", why ? why : "out of memory");
}

static int write_pair(const struct pair *pair, BIO *key, BIO *cert)
{
    if (pem_write(&pair->key_file, 0600, key) < 0)
        return -1;
    if (pem_write(&pair->cert_file, 0644, cert) == 0)
        return 0;
    unlink(pair->key_file.path);
    return -1;
}

/* The certificate and, unless it is NULL, the one that vouches for it. NULL when memory is out. */
static BIO *chain(X509 *cert, X509 *ca)
{
    BIO *pem = BIO_new(BIO_s_mem());
    if (pem && PEM_write_bio_X509(pem, cert) == 1 && (!ca || PEM_write_bio_X509(pem, ca) == 1))
        return pem;
    BIO_free(pem);
    return NULL;
}

/* Writes a pair that was made in memory. */
static int save_pair(const struct pair *pair, X509 *ca)
{
    BIO *cert = pair->cert ? chain(pair->cert, ca) : NULL, *key = BIO_new(BIO_s_secmem());
    bool ok = cert && key && PEM_write_bio_PrivateKey(key, pair->key, NULL, NULL, 0, NULL, NULL);
    int rc = ok ? write_pair(pair, key, cert) : refuse_make(&pair->cert_file);
    BIO_free(key);
    BIO_free(cert);
    return rc;
}

/* Reads the authority that is there, and sees whether it can still sign. */
static int open_authority(struct pair *ca)
{
    if (read_pair(ca) < 0)
        return -1;
    return check_pair(ca,
                      " (if this server made it, delete it, its key, and SSL_Cert and SSL_Key)");
}

static int make_authority(struct pair *ca)
{
    ca->key = EVP_EC_gen("P-256");
    ca->cert = ca->key ? ca_make(ca->key) : NULL;
    return save_pair(ca, NULL);
}

/* Makes the server's pair, and the authority first where there is none yet. */
static int make_all(struct files *files)
{
    struct pair *ca = &files->ca, *server = &files->server;
    bool no_ca;
    if (check_both(ca, &no_ca) < 0 || (no_ca ? make_authority(ca) : open_authority(ca)) < 0)
        return -1;
    server->key = EVP_EC_gen("P-256");
    server->cert =
        server->key ? ca_issue(ca->cert, ca->key, server->key, files->config->server_ip) : NULL;
    return save_pair(server, ca->cert);
}

/* ---- Issuing anew ---------------------------------------------------------------------------- */

/* Whether it is ours to issue anew, and time to. Whatever is wrong with the files is found out, and
 * said, by check. A user who keeps the authority's key elsewhere wants no new certificates. */
static bool is_due(struct files *files)
{
    const struct pair *server = &files->server;
    return read_pair(&files->server) == 0 &&
           X509_check_private_key(server->cert, server->key) == 1 && read_issuer(files) == 0 &&
           files->ca.cert && !pem_is_missing(&files->ca.key_file) &&
           !ca_is_fresh(files->ca.cert, server->cert, files->config->server_ip);
}

/* Has the server's key certified again. */
static int issue_anew(struct files *files)
{
    struct pair *ca = &files->ca;
    if (open_authority(ca) < 0)
        return -1;
    X509 *cert = ca_issue(ca->cert, ca->key, files->server.key, files->config->server_ip);
    BIO *pem = cert ? chain(cert, ca->cert) : NULL;
    int rc =
        pem ? pem_replace(&files->server.cert_file, pem) : refuse_make(&files->server.cert_file);
    BIO_free(pem);
    X509_free(cert);
    return rc;
}

/* Issues it anew if need be. That it cannot is no reason not to start: the old one may still do. */
static enum cert_state renew(struct files *files)
{
    if (!is_due(files))
        return CERT_FOUND;
    if (issue_anew(files) == 0)
        return CERT_RENEWED;
    log_event(LOG_LEVEL_WARN, "certificate_not_renewed", "why=\"%s\"",
              files->server.cert_file.error);
    return CERT_FOUND;
}

/* ---- All of it ------------------------------------------------------------------------------- */

/* Looks at the files, and unless `look_only` makes of them what they should be. */
static int prepare(struct files *files, bool look_only, struct cert *cert)
{
    bool missing;
    enum cert_state state = CERT_FOUND;
    if (check_both(&files->server, &missing) < 0)
        return -1;
    if (missing && !look_only) {
        if (make_all(files) < 0)
            return -1;
        state = CERT_MADE;
    } else if (!look_only) {
        state = renew(files);
    }
    if (check(files, cert) < 0)
        return -1;
    cert->state = state;
    return 0;
}

static int prepare_files(const struct config *config, bool look_only, struct cert *cert,
                         char *error)
{
    struct files files;
    *cert = (struct cert){.state = CERT_FOUND};
    int rc = open_files(&files, config, error);
    if (rc == 0)
        rc = prepare(&files, look_only, cert);
    if (rc < 0)
        cert_free(cert);
    close_files(&files);
    /* What OpenSSL noted must not be taken for a fault of the first connection. */
    ERR_clear_error();
    return rc;
}

int cert_prepare(const struct config *config, struct cert *cert, char *error)
{
    return prepare_files(config, false, cert, error);
}

int cert_check(const struct config *config, struct cert *cert, char *error)
{
    return prepare_files(config, true, cert, error);
}

void cert_free(struct cert *cert)
{
    OPENSSL_free(cert->ca);
    cert->ca = NULL;
}
