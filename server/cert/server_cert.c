/* SPDX-License-Identifier: MIT
 *
 * server_cert.c - makes the server's certificate at the first start, renews it, and checks it.
 *
 * A first start makes an authority (local_ca.h), which issues a certificate. A later start renews
 * the certificate when this host has a new name or address, or when it ends soon. People who
 * trusted the authority once need not do so again. The key stays the same, so only one file
 * changes, with rename(2): there is never half a pair. Files that the user provided are never
 * written to.
 *
 * An authority is not replaced automatically, because everybody would have to install the new one:
 * a warning tells the owner in time, and they move the files away. The exception is an authority
 * that was made while the clock of this machine was wrong. Nobody with a right clock can use it, so
 * its files are renamed, not removed.
 *
 * If the second file of a pair cannot be written, the first is removed again, because one of the
 * two alone is an error at the next start.
 *
 * local_ca.c decides the contents of certificates, pem.c handles the files, socket.c uses them (it
 * alone includes OpenSSL's SSL).
 *
 * Main thread of one process, at start-up and on reload; takes no locks.
 */
#include "server/cert/server_cert.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "server/cert/local_ca.h"
#include "base/log.h"
#include "server/cert/pem.h"

#define CA_ROOT   "ragnarok-ca.crt" /* beside SSL_Cert */
#define CA_SIGNER "ragnarok-ca.pem"
#define ASIDE     ".misdated" /* suffix of files that are set aside */

enum {
    DATE_MAX = 32,    /* "2026-01-31 12:00:00 UTC" */
    ADVICE_MAX = 320, /* a longer one is cut */
    WARN_DAYS = 90,   /* the owner is warned so long before the authority ends */
    DAY_SECONDS = 86400,
    FIRST_RELEASE = 1767225600, /* 2026-01-01: an earlier time means that the clock is wrong */
};

_Static_assert((int)SERVER_CERT_HOST_MAX == (int)LOCAL_CA_HOST_MAX,
               "a host's name fits, and no more");

static const char NOT_YET[] = "is not valid yet", EXPIRED[] = "has expired";

/* The four files, and their contents as read or made. All owned. */
struct files {
    const struct config *config;
    struct pem_file cert_file, key_file;    /* SSL_Cert and SSL_Key */
    struct pem_file root_file, signer_file; /* the authority's */
    X509 *cert, *issuer;                    /* the first two certificates in SSL_Cert, or NULL */
    EVP_PKEY *key;                          /* the server's */
    struct local_ca ca;                     /* our authority, if it issued `cert` or will */
    const char *flaw; /* why the authority that issued `cert` is not used any more, or NULL */
};

/* ---- Which files ---------------------------------------------------------------------------- */

/* The path of `name` in the folder of the file at `path`. The caller frees it; NULL: no memory. */
static char *beside(const char *path, const char *name)
{
    const char *slash = strrchr(path, '/');
    int folder = slash ? (int)(slash - path) + 1 : 0;
    char *out;
    return asprintf(&out, "%.*s%s", folder, path, name) < 0 ? NULL : out;
}

/* Sets the four paths. close_files must follow, also when memory is out (-1). */
static int open_files(struct files *files, const struct config *config, char *error)
{
    *files = (struct files){
        .config = config,
        .cert_file = {config, "SSL_Cert", config->SSL_Cert, error},
        .key_file = {config, "SSL_Key", config->SSL_Key, error},
        .root_file = {config, "SSL_Cert", beside(config->SSL_Cert, CA_ROOT), error},
        .signer_file = {config, "SSL_Cert", beside(config->SSL_Cert, CA_SIGNER), error}};
    if (files->root_file.path && files->signer_file.path)
        return 0;
    return config_complain(config, "SSL_Cert", error, "out of memory");
}

static void free_server(struct files *files)
{
    X509_free(files->cert);
    X509_free(files->issuer);
    EVP_PKEY_free(files->key);
    files->cert = files->issuer = NULL;
    files->key = NULL;
}

static void close_files(struct files *files)
{
    free_server(files);
    local_ca_free(&files->ca);
    free(files->root_file.path);
    free(files->signer_file.path);
}

/* One of the two alone is an error. Sets *missing if both are. */
static int check_both(const struct pem_file *one, const struct pem_file *two, bool *missing)
{
    bool no_one = pem_is_missing(one), no_two = pem_is_missing(two);
    const struct pem_file *gone = no_one ? one : two, *there = no_one ? two : one;
    *missing = no_one && no_two;
    if (no_one == no_two)
        return 0;
    return pem_complain(gone, "expected both %s and %s, or neither to have them made, got only %s",
                        gone->path, there->path, there->path);
}

/* ---- Advice about an authority -------------------------------------------------------------- */

static const char *file_name(const struct pem_file *file)
{
    const char *slash = strrchr(file->path, '/');
    return slash ? slash + 1 : file->path;
}

/* Tells how to get a new authority: move away those of the four files that exist. */
static void write_advice(char out[ADVICE_MAX], const struct files *files)
{
    bool alone = pem_is_missing(&files->cert_file);
    snprintf(out, ADVICE_MAX,
             "to have a new authority made, move %s%s%s%s%s and %s away and start again; everybody "
             "then has to remove the old one and to install the new one",
             alone ? "" : file_name(&files->cert_file), alone ? "" : ", ",
             alone ? "" : file_name(&files->key_file), alone ? "" : ", ",
             file_name(&files->root_file), file_name(&files->signer_file));
}

static int refuse_authority(const struct files *files, const char *why)
{
    char advice[ADVICE_MAX];
    write_advice(advice, files);
    return pem_complain(&files->root_file, "the authority in %s is not used, because %s (%s)",
                        files->root_file.path, why, advice);
}

/* ---- Reading and checking ------------------------------------------------------------------- */

/* Reads the server's files; frees what was read before. */
static int read_server(struct files *files)
{
    free_server(files);
    files->cert = pem_read_certificate(&files->cert_file, &files->issuer);
    files->key = files->cert ? pem_read_key(&files->key_file) : NULL;
    ERR_clear_error(); /* from looking for an issuer where there is none */
    return files->key ? 0 : -1;
}

static void write_date(char out[DATE_MAX], const ASN1_TIME *time)
{
    struct tm tm;
    if (!ASN1_TIME_to_tm(time, &tm) || strftime(out, DATE_MAX, "%Y-%m-%d %H:%M:%S UTC", &tm) == 0)
        snprintf(out, DATE_MAX, "an unreadable date");
}

/* RFC 5280 §4.1.2.5: the certificate is valid from one date to the other. A date that OpenSSL
 * cannot read (its comparison returns 0) counts as expired. Returns how it is outside its dates, or
 * NULL. */
static const char *misfit(const X509 *cert)
{
    const ASN1_TIME *from = X509_get0_notBefore(cert), *until = X509_get0_notAfter(cert);
    if (X509_cmp_current_time(from) > 0)
        return NOT_YET;
    return X509_cmp_current_time(from) < 0 && X509_cmp_current_time(until) > 0 ? NULL : EXPIRED;
}

/* `hint` tells what to do if it has expired. */
static int check_dates(const struct pem_file *file, X509 *cert, const char *hint)
{
    const ASN1_TIME *from = X509_get0_notBefore(cert), *until = X509_get0_notAfter(cert);
    const char *how = misfit(cert);
    if (!how)
        return 0;
    char first[DATE_MAX], last[DATE_MAX];
    write_date(first, from);
    write_date(last, until);
    return pem_complain(
        file,
        "expected a certificate that is valid now in %s, got one that %s (valid from %s to %s; %s)",
        file->path, how, first, last,
        how == NOT_YET ? "or is the clock of this machine wrong?" : hint);
}

/* Checks the dates of both layers. */
static int check_authority_dates(const struct files *files)
{
    char advice[ADVICE_MAX];
    write_advice(advice, files);
    if (check_dates(&files->root_file, files->ca.root, advice) < 0)
        return -1;
    return check_dates(&files->root_file, files->ca.cert, advice);
}

/* Tells what to do about an expired server certificate. */
static void write_hint(char out[ADVICE_MAX], const struct files *files)
{
    if (files->flaw)
        write_advice(out, files);
    else if (files->ca.root && pem_is_missing(&files->signer_file))
        snprintf(out, ADVICE_MAX, "put %s back, and the next start issues another",
                 files->signer_file.path);
    else
        snprintf(out, ADVICE_MAX, "if this server made it, delete both files");
}

static int check_server(const struct files *files)
{
    char hint[ADVICE_MAX];
    write_hint(hint, files);
    if (check_dates(&files->cert_file, files->cert, hint) < 0)
        return -1;
    if (X509_check_private_key(files->cert, files->key) == 1)
        return 0;
    return pem_complain(&files->key_file,
                        "expected the key of the certificate in %s, got another one in %s",
                        files->cert_file.path, files->key_file.path);
}

/* Finds out whether the authority in ragnarok-ca.crt issued the server's certificate, through the
 * intermediate in SSL_Cert. Returns 0 and files->ca without its key, empty if it did not or has a
 * flaw; or -1 and an error when ragnarok-ca.crt cannot be read. */
static int read_issuer(struct files *files)
{
    struct local_ca *ca = &files->ca;
    local_ca_free(ca);
    files->flaw = NULL;
    if (!files->issuer || pem_is_missing(&files->root_file))
        return 0;
    ca->root = pem_read_certificate(&files->root_file, NULL);
    if (!ca->root)
        return -1;
    X509_up_ref(files->issuer);
    ca->cert = files->issuer;
    bool issued = local_ca_issued(ca, files->cert);
    files->flaw = issued ? local_ca_flaw(ca) : NULL;
    if (!issued || files->flaw)
        local_ca_free(ca);
    return 0;
}

/* ---- Describing the certificate ------------------------------------------------------------- */

/* SHA-256 of the whole certificate, as browsers show it. */
static bool write_fingerprint(char out[FINGERPRINT_MAX], const X509 *cert)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    if (X509_digest(cert, EVP_sha256(), digest, &len) != 1)
        return false;
    hex_write_fingerprint(out, digest, len);
    return true;
}

/* Writes the name that lists of certificates show. */
static bool write_name(char out[SERVER_CERT_NAME_MAX], X509 *ca)
{
    return X509_NAME_get_text_by_NID(X509_get_subject_name(ca), NID_commonName, out,
                                     SERVER_CERT_NAME_MAX) > 0;
}

static int64_t unix_time(const ASN1_TIME *time)
{
    struct tm tm;
    return ASN1_TIME_to_tm(time, &tm) ? (int64_t)timegm(&tm) : 0;
}

static bool describe_authority(const struct files *files, struct server_cert *cert)
{
    char host[LOCAL_CA_HOST_MAX];
    cert->local_ca_end = unix_time(local_ca_end(&files->ca));
    cert->ca_len = i2d_X509(files->ca.root, &cert->ca);
    if (local_ca_host_left_out(host))
        snprintf(cert->host_left_out, sizeof(cert->host_left_out), "%s", host);
    return cert->ca_len > 0 && write_name(cert->ca_name, files->ca.root) &&
           write_fingerprint(cert->ca_fingerprint, files->ca.root);
}

/* Fills in the data for people to compare and trust. */
static int describe(const struct files *files, struct server_cert *cert)
{
    cert->end = unix_time(X509_get0_notAfter(files->cert));
    bool ok = write_fingerprint(cert->fingerprint, files->cert);
    if (ok && files->ca.root)
        ok = describe_authority(files, cert);
    if (ok)
        return 0;
    return pem_complain(&files->cert_file, "OpenSSL cannot compute SHA-256");
}

/* Warns the owner about an authority that is not used any more or ends soon. */
static void warn_owner(const struct files *files, struct server_cert *cert)
{
    char advice[ADVICE_MAX], date[DATE_MAX];
    write_advice(advice, files);
    if (files->flaw) {
        snprintf(cert->warning, sizeof(cert->warning),
                 "the authority in %s issues nothing any more, because %s; %s",
                 file_name(&files->root_file), files->flaw, advice);
    } else if (files->ca.root &&
               cert->local_ca_end < time(NULL) + (int64_t)WARN_DAYS * DAY_SECONDS) {
        write_date(date, local_ca_end(&files->ca));
        snprintf(cert->warning, sizeof(cert->warning),
                 "the authority in %s ends on %s, and this server then does not start; %s",
                 file_name(&files->root_file), date, advice);
    }
    if (cert->warning[0])
        log_event(LOG_LEVEL_WARN, "authority", "warning=\"%s\"", cert->warning);
}

static int check(struct files *files, struct server_cert *cert)
{
    if (read_server(files) < 0 || read_issuer(files) < 0 ||
        (files->ca.root && check_authority_dates(files) < 0) || check_server(files) < 0 ||
        describe(files, cert) < 0)
        return -1;
    warn_owner(files, cert);
    return 0;
}

/* ---- Making --------------------------------------------------------------------------------- */

static int refuse_make(const struct pem_file *file)
{
    const char *why = ERR_reason_error_string(ERR_peek_error());
    return pem_complain(file, "OpenSSL cannot make a certificate: %s", why ? why : "out of memory");
}

/* Up to two certificates and a key in PEM form; NULLs are left out. The caller frees it with
 * BIO_free, which overwrites the key; NULL when memory is out. */
static BIO *new_pem(X509 *cert, X509 *issuer, EVP_PKEY *key)
{
    BIO *pem = BIO_new(BIO_s_secmem());
    if (pem && (!cert || PEM_write_bio_X509(pem, cert) == 1) &&
        (!issuer || PEM_write_bio_X509(pem, issuer) == 1) &&
        (!key || PEM_write_bio_PrivateKey(pem, key, NULL, NULL, 0, NULL, NULL) == 1))
        return pem;
    BIO_free(pem);
    return NULL;
}

/* Writes a pair of files, the secret one first. Frees both BIOs. */
static int save_pair(const struct pem_file *secret_file, BIO *secret, const struct pem_file *file,
                     BIO *pem)
{
    int rc = secret && pem ? pem_write(secret_file, 0600, secret) : refuse_make(file);
    if (rc == 0 && (rc = pem_write(file, 0644, pem)) < 0)
        unlink(secret_file->path);
    BIO_free(secret);
    BIO_free(pem);
    return rc;
}

static int save_authority(const struct files *files)
{
    const struct local_ca *ca = &files->ca;
    return save_pair(&files->signer_file, new_pem(ca->cert, NULL, ca->key), &files->root_file,
                     new_pem(ca->root, NULL, NULL));
}

/* Makes an authority in memory; writes no file. */
static int make_authority(struct files *files)
{
    local_ca_free(&files->ca);
    return local_ca_make(&files->ca) ? 0 : refuse_make(&files->root_file);
}

/* Sets a file aside, or restores it. Overwrites one that was set aside before. */
static int rename_aside(const struct pem_file *file, bool back)
{
    char *aside;
    if (asprintf(&aside, "%s" ASIDE, file->path) < 0)
        return pem_complain(file, "out of memory");
    int rc = back ? rename(aside, file->path) : rename(file->path, aside);
    if (rc < 0)
        pem_complain(file, "cannot rename %s: %s", file->path, strerror(errno));
    free(aside);
    return rc;
}

/* Replaces the existing authority by the one in memory. If that fails, the existing one stays. */
static int replace_authority(const struct files *files)
{
    if (rename_aside(&files->root_file, false) < 0)
        return -1;
    if (rename_aside(&files->signer_file, false) == 0) {
        if (save_authority(files) == 0)
            return 0;
        rename_aside(&files->signer_file, true);
    }
    rename_aside(&files->root_file, true);
    return -1;
}

/* Reads the existing authority, with its key, and checks whether it can still sign. */
static int open_authority(struct files *files)
{
    struct local_ca *ca = &files->ca;
    local_ca_free(ca);
    ca->root = pem_read_certificate(&files->root_file, NULL);
    ca->key = ca->root ? pem_read_key(&files->signer_file) : NULL;
    if (!ca->key)
        return -1;
    ca->cert = pem_read_certificate(&files->signer_file, NULL);
    if (!ca->cert || !local_ca_is_whole(ca))
        return refuse_authority(files, CA_SIGNER " holds no certificate that " CA_ROOT
                                                 " signed, with its key");
    const char *flaw = local_ca_flaw(ca);
    return flaw ? refuse_authority(files, flaw) : 0;
}

/* How the authority's dates show that it was made while the clock was wrong: they are in the
 * future, or before this program existed. NULL: they do not. If the clock is wrong now, the result
 * is NULL; so it is for an authority that has simply expired. */
static const char *misdated(const struct files *files)
{
    const X509 *root = files->ca.root;
    const char *how = misfit(root);
    if (!how || time(NULL) < FIRST_RELEASE)
        return NULL;
    return how == NOT_YET || unix_time(X509_get0_notBefore(root)) < FIRST_RELEASE ? how : NULL;
}

/* Chooses the authority that signs: the existing one, or a new one if that was made while the clock
 * was wrong, or there is none. *made: it is new, and only in memory so far. */
static int choose_authority(struct files *files, bool none, bool *made)
{
    *made = none;
    if (none)
        return make_authority(files);
    if (open_authority(files) < 0)
        return -1;
    const char *how = misdated(files);
    *made = how != NULL;
    if (!how)
        return check_authority_dates(files);
    log_event(LOG_LEVEL_WARN, "authority_misdated",
              "why=\"the authority in %s %s: it was made while the clock was wrong; it is kept as "
              "%s" ASIDE ", and people install the new one\"",
              file_name(&files->root_file), how, file_name(&files->root_file));
    return make_authority(files);
}

/* Makes the server's pair, and first an authority if there is no usable one. */
static int make_all(struct files *files)
{
    bool no_ca, made;
    if (check_both(&files->root_file, &files->signer_file, &no_ca) < 0 ||
        choose_authority(files, no_ca, &made) < 0)
        return -1;
    if (made && (no_ca ? save_authority(files) : replace_authority(files)) < 0)
        return -1;
    files->key = EVP_EC_gen("P-256");
    files->cert =
        files->key ? local_ca_issue(&files->ca, files->key, files->config->server_ip) : NULL;
    if (!files->cert)
        return refuse_make(&files->cert_file);
    return save_pair(&files->key_file, new_pem(NULL, NULL, files->key), &files->cert_file,
                     new_pem(files->cert, files->ca.cert, NULL));
}

/* ---- Renewal -------------------------------------------------------------------------------- */

/* Whether the certificate is ours and must be renewed. Errors in the files are reported by check.
 * If ragnarok-ca.pem is kept elsewhere, nothing is renewed. */
static bool is_due(struct files *files)
{
    return read_server(files) == 0 && X509_check_private_key(files->cert, files->key) == 1 &&
           read_issuer(files) == 0 && files->ca.root && !pem_is_missing(&files->signer_file) &&
           (misfit(files->cert) || misdated(files) ||
            !local_ca_is_fresh(&files->ca, files->cert, files->config->server_ip));
}

/* Renews the certificate for the same key. The certificate is written before a new authority is: if
 * the machine stops in between, the server has a valid certificate. */
static int issue_again(struct files *files)
{
    bool made;
    const char *how = misfit(files->cert);
    if (choose_authority(files, false, &made) < 0)
        return -1;
    X509 *cert = local_ca_issue(&files->ca, files->key, files->config->server_ip);
    BIO *pem = cert ? new_pem(cert, files->ca.cert, NULL) : NULL;
    int rc = pem ? pem_replace(&files->cert_file, pem) : refuse_make(&files->cert_file);
    BIO_free(pem);
    X509_free(cert);
    if (rc == 0)
        log_event(LOG_LEVEL_INFO, "certificate_issued", "why=\"the one in %s %s\"",
                  file_name(&files->cert_file),
                  how ? how : "ends soon or lacks a name of this host");
    return rc == 0 && made ? replace_authority(files) : rc;
}

/* Renews the certificate if needed. If that fails, the old one is used. */
static enum server_cert_state renew(struct files *files)
{
    if (!is_due(files))
        return SERVER_CERT_FOUND;
    if (issue_again(files) == 0)
        return SERVER_CERT_RENEWED;
    log_event(LOG_LEVEL_WARN, "certificate_not_renewed", "why=\"%s\"", files->cert_file.error);
    return SERVER_CERT_FOUND;
}

/* ---- Public functions ----------------------------------------------------------------------- */

/* Checks the files; unless `look_only`, makes or renews them first. */
static int prepare(struct files *files, bool look_only, struct server_cert *cert)
{
    bool missing;
    enum server_cert_state state = SERVER_CERT_FOUND;
    if (check_both(&files->cert_file, &files->key_file, &missing) < 0)
        return -1;
    if (missing && !look_only) {
        if (make_all(files) < 0)
            return -1;
        state = SERVER_CERT_MADE;
    } else if (!look_only) {
        state = renew(files);
    }
    if (check(files, cert) < 0)
        return -1;
    cert->state = state;
    return 0;
}

static int prepare_files(const struct config *config, bool look_only, struct server_cert *cert,
                         char *error)
{
    struct files files;
    *cert = (struct server_cert){.state = SERVER_CERT_FOUND};
    int rc = open_files(&files, config, error);
    if (rc == 0)
        rc = prepare(&files, look_only, cert);
    if (rc < 0)
        server_cert_free(cert);
    close_files(&files);
    /* Errors left in OpenSSL's queue would be attributed to the first connection. */
    ERR_clear_error();
    return rc;
}

int server_cert_prepare(const struct config *config, struct server_cert *cert, char *error)
{
    return prepare_files(config, false, cert, error);
}

int server_cert_check(const struct config *config, struct server_cert *cert, char *error)
{
    return prepare_files(config, true, cert, error);
}

void server_cert_free(struct server_cert *cert)
{
    OPENSSL_free(cert->ca);
    cert->ca = NULL;
}
