/* SPDX-License-Identifier: MIT
 *
 * cert_folder.h - a folder with a configuration, and certificates of a user.
 *
 * Each test works in its own empty folder, with a config.json that names a.crt and a.key, and can
 * change the time.
 */
#ifndef CERT_FOLDER_H
#define CERT_FOLDER_H

#include "server/cert/server_cert.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "net/socket.h"
#include "net/stream.h"
#include "tls_files.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

#define AT_CERT "config.json:2:13: SSL_Cert: "

#define CA_CERT "ragnarok-ca.crt"

#define CA_KEY "ragnarok-ca.pem" /* and the certificate of the intermediate */

#define ADVICE                                                                                     \
    "to have a new authority made, move a.crt, a.key, ragnarok-ca.crt and ragnarok-ca.pem away "   \
    "and start again; everybody then has to remove the old one and to install the new one"

#define ADVICE_ALONE                                                                               \
    "to have a new authority made, move ragnarok-ca.crt and ragnarok-ca.pem away and start "       \
    "again; everybody then has to remove the old one and to install the new one"

#define NO_SIGNER                                                                                  \
    AT_CERT "the authority in ragnarok-ca.crt is not used, because ragnarok-ca.pem holds no "      \
            "certificate that ragnarok-ca.crt signed, with its key (" ADVICE_ALONE ")"

enum { DAY = 86400, NOBODY = 65534, CA_DAYS = 3650, WARN_DAYS = 90 };

/* ---- Another time ---- */

static time_t clock_ahead; /* seconds */

/* Replaces the C library's, also for OpenSSL. */
time_t time(time_t *out)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    time_t seconds = now.tv_sec + clock_ahead;
    if (out)
        *out = seconds;
    return seconds;
}

/* ---- A folder with a configuration ---- */

static char folder[64];

static struct config config;

static char error[CONFIG_ERROR_MAX];

static struct server_cert found;

static inline void load(const char *cert, const char *key, const char *server_ip)
{
    FILE *file = fopen("config.json", "w");
    assert_non_null(file);
    fprintf(file,
            "{\"SSL\": true,\n\"SSL_Cert\": \"%s\",\n\"SSL_Key\": \"%s\",\n\"server_ip\": \"%s\", "
            "\"server_port\": 0, \"server_name\": \"n\", \"server_password\": \"\"}\n",
            cert, key, server_ip);
    assert_int_equal(fclose(file), 0);
    config_free(&config);
    assert_int_equal(config_load(&config, "config.json", error), 0);
}

static inline int enter_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/ragnarok-cert-XXXXXX");
    if (!mkdtemp(folder) || chmod(folder, 0755) < 0 || chdir(folder) < 0)
        return -1;
    load("a.crt", "a.key", "127.0.0.1");
    clock_ahead = 0;
    return 0;
}

static inline int leave_folder(void **state)
{
    (void)state;
    config_free(&config);
    server_cert_free(&found);
    DIR *dir = opendir(".");
    for (struct dirent *entry; dir && (entry = readdir(dir));)
        if (entry->d_name[0] != '.')
            remove(entry->d_name);
    if (dir)
        closedir(dir);
    return chdir("/") == 0 ? rmdir(folder) : -1;
}

static inline bool exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

static inline unsigned mode_of(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return st.st_mode & 07777;
}

static inline void write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, 0600), 0);
}

static inline void prepare(void)
{
    server_cert_free(&found);
    if (server_cert_prepare(&config, &found, error) < 0)
        fail_msg("refused: %s", error);
    assert_int_equal(ERR_peek_error(), 0);
}

static inline void expect_complaint(const char *complaint)
{
    server_cert_free(&found);
    assert_int_equal(server_cert_prepare(&config, &found, error), -1);
    assert_string_equal(error, complaint);
    assert_int_equal(found.state, SERVER_CERT_FOUND);
    assert_null(found.ca);
    assert_int_equal(ERR_peek_error(), 0);
}

/* ---- Certificates that a user could bring ---- */

static inline void write_key(const char *path, EVP_PKEY *key, const char *passphrase)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(PEM_write_PrivateKey(file, key, passphrase ? EVP_aes_256_cbc() : NULL, NULL, 0,
                                          NULL, (void *)(uintptr_t)passphrase),
                     1);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, 0600), 0);
}

static inline void sign(X509 *cert, EVP_PKEY *key, time_t from, time_t until)
{
    assert_non_null(cert);
    assert_int_equal(X509_set_version(cert, X509_VERSION_3), 1);
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(cert), 1), 1);
    assert_non_null(ASN1_TIME_set(X509_getm_notBefore(cert), from));
    assert_non_null(ASN1_TIME_set(X509_getm_notAfter(cert), until));
    assert_int_equal(X509_set_pubkey(cert, key), 1);
    assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
}

/* Writes a.crt, valid from one time to another, and a.key. */
static inline void bring_pair(time_t from, time_t until, const char *passphrase)
{
    EVP_PKEY *key = EVP_RSA_gen(2048);
    X509 *cert = X509_new();
    assert_non_null(key);
    sign(cert, key, from, until);
    FILE *file = fopen("a.crt", "w");
    assert_non_null(file);
    assert_int_equal(PEM_write_X509(file, cert), 1);
    assert_int_equal(fclose(file), 0);
    write_key("a.key", key, passphrase);
    X509_free(cert);
    EVP_PKEY_free(key);
}

static inline void bring_good_pair(void)
{
    time_t now = time(NULL);
    bring_pair(now - 60, now + 60, NULL);
}

static inline X509 *read_certificate(const char *path)
{
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    X509 *cert = PEM_read_X509(file, NULL, NULL, NULL);
    fclose(file);
    assert_non_null(cert);
    return cert;
}

static inline X509 *read_made(void)
{
    return read_certificate(config.SSL_Cert);
}

/* ---- The authority ---- */

static inline X509 *certificate_at(const char *path, int index)
{
    X509 *cert = NULL;
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    for (int i = 0; i <= index; i++) {
        X509_free(cert);
        cert = PEM_read_X509(file, NULL, NULL, NULL);
    }
    fclose(file);
    ERR_clear_error();
    return cert;
}

/* The result of a strict verifier that trusts the root, for the server's certificate and the others
 * that the server sends: X509_V_OK or the error. */
static inline int verify(X509 *cert)
{
    X509 *root = read_certificate(CA_CERT), *signer = certificate_at("a.crt", 1);
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *context = X509_STORE_CTX_new();
    STACK_OF(X509) *chain = sk_X509_new_null();
    assert_true(store && context && chain && signer && X509_STORE_add_cert(store, root) == 1);
    assert_int_equal(sk_X509_push(chain, signer), 1);
    assert_int_equal(X509_STORE_CTX_init(context, store, cert, chain), 1);
    X509_STORE_CTX_set_flags(context, X509_V_FLAG_X509_STRICT);
    X509_STORE_CTX_set_purpose(context, X509_PURPOSE_SSL_SERVER);
    X509_verify_cert(context);
    int why = X509_STORE_CTX_get_error(context);
    X509_STORE_CTX_free(context);
    X509_STORE_free(store);
    sk_X509_pop_free(chain, X509_free);
    X509_free(root);
    ERR_clear_error();
    return why;
}

/* ---- Issued again, and trusted still ---- */

/* Writes one certificate or two. */
static inline void write_chain(const char *path, X509 *cert, X509 *issuer)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(PEM_write_X509(file, cert), 1);
    assert_true(!issuer || PEM_write_X509(file, issuer) == 1);
    assert_int_equal(fclose(file), 0);
}

/* ---- The end of the authority ---- */

static inline void expect_warning(const char *warning)
{
    prepare();
    assert_string_equal(found.warning, warning);
}

/* ---- Dates, and belonging together ---- */

#define TEST(name) cmocka_unit_test_setup_teardown(name, enter_folder, leave_folder)

#endif
