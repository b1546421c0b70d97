/* SPDX-License-Identifier: MIT
 *
 * ca_host.h - another host name, another time, and a CA with the certificates that it issues.
 *
 * Tests can replace the host name and the time.
 */
#ifndef CA_HOST_H
#define CA_HOST_H

#include "server/cert/local_ca.h"

#include <dlfcn.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

enum { DAY = 86400, CA_DAYS = 3650, SERVER_DAYS = 397 };

/* ---- Another host, another time ---- */

static const char *pretended_host; /* NULL: the real one */

static time_t clock_ahead; /* seconds */

/* These two replace the C library's, also for OpenSSL. */
int gethostname(char *name, size_t len)
{
    static int (*real)(char *, size_t);
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "gethostname");
    if (!pretended_host)
        return real(name, len);
    snprintf(name, len, "%s", pretended_host);
    return 0;
}

time_t time(time_t *out)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    time_t seconds = now.tv_sec + clock_ahead;
    if (out)
        *out = seconds;
    return seconds;
}

/* ---- An authority, and what it issues ---- */

static struct local_ca ca;

static EVP_PKEY *server_key;

static inline int make(void **state)
{
    (void)state;
    pretended_host = "box";
    clock_ahead = 0;
    server_key = EVP_EC_gen("P-256");
    return server_key && local_ca_make(&ca) ? 0 : -1;
}

static inline int release(void **state)
{
    (void)state;
    local_ca_free(&ca);
    EVP_PKEY_free(server_key);
    server_key = NULL;
    return ERR_peek_error() ? -1 : 0;
}

static inline void make_on(const char *host)
{
    local_ca_free(&ca);
    pretended_host = host;
    assert_true(local_ca_make(&ca));
}

static inline X509 *issue(const char *server_ip)
{
    X509 *cert = local_ca_issue(&ca, server_key, server_ip);
    assert_non_null(cert);
    return cert;
}

static inline bool names(X509 *cert, const char *host)
{
    return X509_check_host(cert, host, 0, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT, NULL) == 1;
}

/* The result of a strict verifier that trusts the root, for a certificate that may be issued by
 * `more`: X509_V_OK or the error. */
static inline int verify_below(X509 *cert, X509 *more)
{
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *context = X509_STORE_CTX_new();
    STACK_OF(X509) *chain = sk_X509_new_null();
    assert_true(store && context && chain && X509_STORE_add_cert(store, ca.root) == 1);
    assert_true(sk_X509_push(chain, ca.cert) > 0 && (!more || sk_X509_push(chain, more) > 0));
    assert_int_equal(X509_STORE_CTX_init(context, store, cert, chain), 1);
    X509_STORE_CTX_set_flags(context, X509_V_FLAG_X509_STRICT);
    X509_STORE_CTX_set_purpose(context, X509_PURPOSE_SSL_SERVER);
    X509_verify_cert(context);
    int why = X509_STORE_CTX_get_error(context);
    X509_STORE_CTX_free(context);
    X509_STORE_free(store);
    sk_X509_free(chain);
    ERR_clear_error();
    return why;
}

static inline int verify(X509 *cert)
{
    return verify_below(cert, NULL);
}

static inline void add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    assert_non_null(extension);
    assert_int_equal(X509_add_ext(cert, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

static inline X509 *new_certificate(const char *name, X509 *issuer, EVP_PKEY *key)
{
    X509 *cert = X509_new();
    assert_non_null(cert);
    assert_int_equal(X509_set_version(cert, X509_VERSION_3), 1);
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(cert), 7), 1);
    assert_int_equal(X509_set1_notBefore(cert, X509_get0_notBefore(ca.root)), 1);
    assert_int_equal(X509_set1_notAfter(cert, X509_get0_notAfter(ca.root)), 1);
    assert_int_equal(X509_set_pubkey(cert, key), 1);
    assert_int_equal(X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
                                                (const unsigned char *)name, -1, -1, 0),
                     1);
    assert_int_equal(X509_set_issuer_name(cert, X509_get_subject_name(issuer ? issuer : cert)), 1);
    return cert;
}

/* Signs a certificate for `names`, as a thief of the CA's key would. */
static inline X509 *forge(const char *names, X509 *issuer, EVP_PKEY *issuer_key)
{
    X509 *cert = new_certificate("x", issuer, server_key);
    add_extension(cert, issuer, NID_basic_constraints, "critical,CA:FALSE");
    add_extension(cert, issuer, NID_authority_key_identifier, "keyid:always");
    add_extension(cert, issuer, NID_subject_key_identifier, "hash");
    add_extension(cert, issuer, NID_subject_alt_name, names);
    assert_true(X509_sign(cert, issuer_key, EVP_sha256()) > 0);
    return cert;
}

static inline int verify_forged(const char *names)
{
    X509 *cert = forge(names, ca.cert, ca.key);
    int why = verify(cert);
    X509_free(cert);
    return why;
}

/* ---- The root's key ---- */

enum { SCALAR = 32, ENOUGH = 16, MASK = 0xA5, HUGE_REGION = 256 << 20 };

static unsigned char
    masked[SCALAR]; /* the root's private key; a search of memory must not find this copy */

/* Notes the key in a thread, whose stack is then overwritten, so that no copy remains. */
static inline void *note_scalar(void *key)
{
    unsigned char scalar[SCALAR];
    volatile char stack[32768];
    BIGNUM *number = NULL;
    if (EVP_PKEY_get_bn_param(key, "priv", &number) != 1 ||
        BN_bn2binpad(number, scalar, SCALAR) != SCALAR)
        return NULL;
    BN_clear_free(number);
    for (int i = 0; i < SCALAR; i++)
        masked[i] = scalar[i] ^ MASK;
    OPENSSL_cleanse(scalar, sizeof(scalar));
    for (size_t i = 0; i < sizeof(stack); i++)
        stack[i] = 0;
    return NULL;
}

/* Replaces OpenSSL's function, to see the key of a self-signed CA. */
int X509_sign(X509 *cert, EVP_PKEY *key, const EVP_MD *digest)
{
    static int (*real)(X509 *, EVP_PKEY *, const EVP_MD *);
    pthread_t thread;
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "X509_sign");
    bool itself = X509_NAME_cmp(X509_get_subject_name(cert), X509_get_issuer_name(cert)) == 0;
    if (itself && pthread_create(&thread, NULL, note_scalar, key) == 0)
        pthread_join(thread, NULL);
    return real(cert, key, digest);
}

/* ---- Flaws ---- */

#define TEST(name) cmocka_unit_test_setup_teardown(name, make, release)

#endif
