/* SPDX-License-Identifier: MIT
 *
 * cert.c - makes the first start's key and certificate, and checks those that are there.
 *
 * Made: an ECDSA key on P-256 (RFC 8422 §5.1.1) and a certificate (RFC 5280) that it signs itself,
 * for this host under every name and address it has now. What was made is then read back and
 * checked like anything a user gave, so there is one way to the fingerprint.
 *
 * The key is in no file that others could open, not even for a moment: the file is created with
 * its final mode, and only if nothing had that name. If the certificate cannot be written after
 * it, the key is taken away again, for one of the two alone is a mistake at the next start.
 *
 * Left to others: whether browsers trust the certificate; how it is used (net.c, the only file
 * that knows OpenSSL's SSL). A key with a passphrase is refused: nobody is there to be asked.
 *
 * Called at start-up only, from the main thread; takes no locks.
 */
#include "cert.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

enum {
    VALID_DAYS = 397,   /* some phones refuse certificates that are valid for longer */
    DAYS_BEFORE = 1,    /* of them already over: clocks differ */
    SERIAL_BITS = 127,  /* 16 bytes without a sign bit (RFC 5280 §4.1.2.2 allows 20) */
    NAMES_MAX = 64,     /* names and addresses in the certificate; further ones are left out */
    HOST_MAX = 253 + 1, /* a host name (RFC 1035 §2.3.4) with its NUL; a longer one is left out */
    DATE_MAX = 32,      /* "2026-01-31 12:00:00 UTC" */
    DAY_SECONDS = 86400,
};

/* ---- The names of this host ----------------------------------------------------------------- */

/* The bytes of the address that `text` is: 4, 16, or 0 when it is none. */
static int parse_address(const char *text, unsigned char out[16])
{
    if (inet_pton(AF_INET, text, out) == 1)
        return 4;
    return inet_pton(AF_INET6, text, out) == 1 ? 16 : 0;
}

static bool is_host_name(const char *text)
{
    size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._");
    return len > 0 && len < HOST_MAX && text[len] == '\0';
}

/* `text` as an IP address or DNS name (RFC 5280 §4.2.1.6); NULL when memory is out. */
static GENERAL_NAME *new_name(const char *text)
{
    unsigned char address[16];
    int len = parse_address(text, address);
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_STRING *value = ASN1_STRING_type_new(len > 0 ? V_ASN1_OCTET_STRING : V_ASN1_IA5STRING);
    const void *bytes = len > 0 ? (const void *)address : text;
    if (!name || !value || !ASN1_STRING_set(value, bytes, len > 0 ? len : (int)strlen(text))) {
        GENERAL_NAME_free(name);
        ASN1_STRING_free(value);
        return NULL;
    }
    GENERAL_NAME_set0_value(name, len > 0 ? GEN_IPADD : GEN_DNS, value);
    return name;
}

static bool has_name(GENERAL_NAMES *names, GENERAL_NAME *name)
{
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++)
        if (GENERAL_NAME_cmp(sk_GENERAL_NAME_value(names, i), name) == 0)
            return true;
    return false;
}

/* Adds an address or name, once. What cannot stand in a certificate is left out, and so is what
 * goes beyond NAMES_MAX. Returns false when memory is out. */
static bool add_name(GENERAL_NAMES *names, const char *text)
{
    unsigned char address[16];
    if (sk_GENERAL_NAME_num(names) >= NAMES_MAX)
        return true;
    if (parse_address(text, address) == 0 && !is_host_name(text))
        return true;
    GENERAL_NAME *name = new_name(text);
    if (!name)
        return false;
    if (has_name(names, name)) {
        GENERAL_NAME_free(name);
        return true;
    }
    if (sk_GENERAL_NAME_push(names, name) > 0)
        return true;
    GENERAL_NAME_free(name);
    return false;
}

/* server_ip, unless it only says "all addresses". */
static bool add_server(GENERAL_NAMES *names, const char *server_ip)
{
    static const unsigned char none[16];
    unsigned char address[16];
    int len = parse_address(server_ip, address);
    if (len > 0 && memcmp(address, none, (size_t)len) == 0)
        return true;
    return add_name(names, server_ip);
}

/* The host's name, and the one under which its neighbours find it (RFC 6762 §3). */
static bool add_host(GENERAL_NAMES *names)
{
    char host[HOST_MAX] = "", local[HOST_MAX + 8];
    if (gethostname(host, sizeof(host) - 1) < 0 || host[0] == '\0')
        return true;
    snprintf(local, sizeof(local), "%.*s.local", (int)strcspn(host, "."), host);
    return add_name(names, host) && add_name(names, local);
}

/* Writes an address of this host; false when it is one that no other host can use (RFC 3927,
 * RFC 4291 §2.5.6) or none at all. */
static bool write_address(char out[INET6_ADDRSTRLEN], const struct sockaddr *address)
{
    if (address && address->sa_family == AF_INET) {
        const struct in_addr *in = &((const struct sockaddr_in *)(const void *)address)->sin_addr;
        bool link_local = ntohl(in->s_addr) >> 16 == 0xA9FE; /* 169.254.0.0/16 */
        return !link_local && inet_ntop(AF_INET, in, out, INET6_ADDRSTRLEN);
    }
    if (address && address->sa_family == AF_INET6) {
        const struct in6_addr *in =
            &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
        return !IN6_IS_ADDR_LINKLOCAL(in) && inet_ntop(AF_INET6, in, out, INET6_ADDRSTRLEN);
    }
    return false;
}

static bool add_interfaces(GENERAL_NAMES *names)
{
    struct ifaddrs *interfaces;
    char text[INET6_ADDRSTRLEN];
    bool ok = true;
    /* Without the list the certificate is good for fewer addresses, which is better than none. */
    if (getifaddrs(&interfaces) < 0)
        return true;
    for (const struct ifaddrs *i = interfaces; i && ok; i = i->ifa_next)
        if (write_address(text, i->ifa_addr))
            ok = add_name(names, text);
    freeifaddrs(interfaces);
    return ok;
}

/* ---- Making --------------------------------------------------------------------------------- */

static bool add_names(X509 *cert, const char *server_ip)
{
    GENERAL_NAMES *names = GENERAL_NAMES_new();
    bool ok = names && add_name(names, "localhost") && add_name(names, "127.0.0.1") &&
              add_name(names, "::1") && add_server(names, server_ip) && add_host(names) &&
              add_interfaces(names) &&
              X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, 0) == 1;
    GENERAL_NAMES_free(names);
    return ok;
}

static bool add_extension(X509 *cert, int nid, const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
    bool ok = extension && X509_add_ext(cert, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return ok;
}

/* A number that no other certificate of this issuer has: browsers refuse two with the same. */
static bool set_serial(X509 *cert)
{
    BIGNUM *number = BN_new();
    bool ok = number && BN_rand(number, SERIAL_BITS, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1 &&
              BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert));
    BN_free(number);
    return ok;
}

/* Subject and issuer: the same, as it is signed by itself. */
static bool set_subject(X509 *cert)
{
    X509_NAME *name = X509_get_subject_name(cert);
    const unsigned char text[] = "Ragnarok";
    return X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, text, -1, -1, 0) == 1 &&
           X509_set_issuer_name(cert, name) == 1;
}

static bool set_dates(X509 *cert)
{
    time_t now = time(NULL);
    return X509_time_adj_ex(X509_getm_notBefore(cert), -DAYS_BEFORE, 0, &now) &&
           X509_time_adj_ex(X509_getm_notAfter(cert), VALID_DAYS - DAYS_BEFORE, 0, &now);
}

/* The certificate of `key`, or NULL. */
static X509 *new_certificate(EVP_PKEY *key, const char *server_ip)
{
    X509 *cert = X509_new();
    if (cert && X509_set_version(cert, X509_VERSION_3) == 1 && set_serial(cert) &&
        set_subject(cert) && set_dates(cert) && X509_set_pubkey(cert, key) == 1 &&
        add_extension(cert, NID_basic_constraints, "critical,CA:FALSE") &&
        add_extension(cert, NID_key_usage, "critical,digitalSignature") &&
        add_extension(cert, NID_ext_key_usage, "serverAuth") && add_names(cert, server_ip) &&
        X509_sign(cert, key, EVP_sha256()) > 0)
        return cert;
    X509_free(cert);
    return NULL;
}

static int write_all(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, bytes, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        bytes += n;
        len -= (size_t)n;
    }
    return fsync(fd);
}

/* Writes a file that was not there before, with `mode` from its first moment. Returns 0, or -1
 * with errno, and then it has left no file behind. */
static int write_new_file(const char *path, mode_t mode, BIO *pem)
{
    char *bytes;
    long len = BIO_get_mem_data(pem, &bytes);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0)
        return -1;
    int rc = write_all(fd, bytes, (size_t)len);
    int saved = errno;
    if (close(fd) < 0 && rc == 0) {
        rc = -1;
        saved = errno;
    }
    if (rc < 0)
        unlink(path);
    errno = saved;
    return rc;
}

static int refuse_write(const struct config *config, const char *key, const char *path, char *error)
{
    return config_complain(config, key, error, "cannot make %s: %s", path, strerror(errno));
}

static int write_pair(const struct config *config, BIO *key, BIO *cert, char *error)
{
    if (write_new_file(config->SSL_Key, 0600, key) < 0)
        return refuse_write(config, "SSL_Key", config->SSL_Key, error);
    if (write_new_file(config->SSL_Cert, 0644, cert) == 0)
        return 0;
    refuse_write(config, "SSL_Cert", config->SSL_Cert, error);
    unlink(config->SSL_Key);
    return -1;
}

static int refuse_make(const struct config *config, char *error)
{
    const char *why = ERR_reason_error_string(ERR_peek_error());
    return config_complain(config, "SSL_Cert", error, "OpenSSL cannot make a certificate: %s",
                           why ? why : "out of memory");
}

/* Makes both files. */
static int make_pair(const struct config *config, char *error)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = key ? new_certificate(key, config->server_ip) : NULL;
    BIO *key_pem = BIO_new(BIO_s_secmem()), *cert_pem = BIO_new(BIO_s_mem());
    bool ok = cert && key_pem && cert_pem && PEM_write_bio_X509(cert_pem, cert) == 1 &&
              PEM_write_bio_PrivateKey(key_pem, key, NULL, NULL, 0, NULL, NULL) == 1;
    int rc = ok ? write_pair(config, key_pem, cert_pem, error) : refuse_make(config, error);
    BIO_free(key_pem);
    BIO_free(cert_pem);
    X509_free(cert);
    EVP_PKEY_free(key);
    return rc;
}

/* ---- Checking ------------------------------------------------------------------------------- */

/* Opens what `path` leads to, symbolic links included; complains if it is no file to read. */
static FILE *open_file(const struct config *config, const char *key, const char *path, char *error)
{
    struct stat st;
    /* O_NONBLOCK: a named pipe must not hold up the start. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd >= 0 && fstat(fd, &st) == 0 && !S_ISREG(st.st_mode)) {
        config_complain(config, key, error, "found a folder or device at %s, allowed is a PEM file",
                        path);
        close(fd);
        return NULL;
    }
    FILE *file = fd >= 0 ? fdopen(fd, "r") : NULL;
    if (file)
        return file;
    config_complain(config, key, error, "%s cannot be read: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    return NULL;
}

/* Stands in for OpenSSL's question on the terminal: notes that a passphrase was wanted. */
static int note_passphrase(char *buffer, int size, int writing, void *wanted)
{
    (void)buffer, (void)size, (void)writing;
    *(bool *)wanted = true;
    return -1;
}

/* The first certificate in the file: the server's own; those that vouch for it may follow. */
static X509 *read_certificate(const struct config *config, char *error)
{
    bool encrypted = false;
    FILE *file = open_file(config, "SSL_Cert", config->SSL_Cert, error);
    if (!file)
        return NULL;
    X509 *cert = PEM_read_X509(file, NULL, note_passphrase, &encrypted);
    fclose(file);
    if (!cert)
        config_complain(config, "SSL_Cert", error,
                        "found no certificate in %s, allowed is one in PEM form", config->SSL_Cert);
    return cert;
}

/* Whoever can read the key can pass for this server. A group may be let in by root alone, as
 * Debian's ssl-cert does; everyone else may not. */
static bool is_private(const struct stat *st)
{
    return (st->st_mode & 077) == 0 || (st->st_uid == 0 && (st->st_mode & 037) == 0);
}

static int check_private(const struct config *config, FILE *file, char *error)
{
    struct stat st;
    if (fstat(fileno(file), &st) < 0)
        return config_complain(config, "SSL_Key", error, "%s cannot be read: %s", config->SSL_Key,
                               strerror(errno));
    if (is_private(&st))
        return 0;
    return config_complain(config, "SSL_Key", error,
                           "found mode %04o on %s, which lets others in, allowed is 0600, or 0640 "
                           "if root owns it",
                           (unsigned)st.st_mode & 07777, config->SSL_Key);
}

static EVP_PKEY *read_key(const struct config *config, char *error)
{
    bool encrypted = false;
    FILE *file = open_file(config, "SSL_Key", config->SSL_Key, error);
    if (!file)
        return NULL;
    if (check_private(config, file, error) < 0) {
        fclose(file);
        return NULL;
    }
    EVP_PKEY *key = PEM_read_PrivateKey(file, NULL, note_passphrase, &encrypted);
    fclose(file);
    if (!key)
        config_complain(config, "SSL_Key", error, "found %s in %s, allowed is %s",
                        encrypted ? "a key with a passphrase" : "no private key", config->SSL_Key,
                        encrypted ? "one without" : "one in PEM form");
    return key;
}

static void write_date(char out[DATE_MAX], const ASN1_TIME *time)
{
    struct tm tm;
    if (!ASN1_TIME_to_tm(time, &tm) || strftime(out, DATE_MAX, "%Y-%m-%d %H:%M:%S UTC", &tm) == 0)
        snprintf(out, DATE_MAX, "an unreadable date");
}

/* RFC 5280 §4.1.2.5: the certificate holds from the one date to the other. A date that OpenSSL
 * cannot read (its comparison says 0) counts as over. */
static int check_dates(const struct config *config, const X509 *cert, char *error)
{
    const ASN1_TIME *from = X509_get0_notBefore(cert), *until = X509_get0_notAfter(cert);
    bool early = X509_cmp_current_time(from) > 0;
    if (!early && X509_cmp_current_time(from) < 0 && X509_cmp_current_time(until) > 0)
        return 0;
    char first[DATE_MAX], last[DATE_MAX];
    write_date(first, from);
    write_date(last, until);
    return config_complain(
        config, "SSL_Cert", error,
        "found a certificate that %s in %s (valid from %s to %s), allowed is one "
        "that is valid now%s",
        early ? "is not valid yet" : "has expired", config->SSL_Cert, first, last,
        early ? "" : " (if this server made it, delete both files)");
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

static int check_pair(const struct config *config, char *fingerprint, char *error)
{
    int rc = -1;
    X509 *cert = read_certificate(config, error);
    EVP_PKEY *key = cert ? read_key(config, error) : NULL;
    if (!key || check_dates(config, cert, error) < 0)
        goto out;
    if (X509_check_private_key(cert, key) != 1)
        config_complain(config, "SSL_Key", error,
                        "found a key in %s that does not belong to the certificate in %s, allowed "
                        "is the one it was made with",
                        config->SSL_Key, config->SSL_Cert);
    else if (!write_fingerprint(fingerprint, cert))
        config_complain(config, "SSL_Cert", error, "OpenSSL cannot compute SHA-256");
    else
        rc = 0;
out:
    EVP_PKEY_free(key);
    X509_free(cert);
    return rc;
}

/* ---- Both ----------------------------------------------------------------------------------- */

/* Whether nothing is there. What is there and cannot be looked at is found out on opening it. */
static bool is_missing(const char *path)
{
    struct stat st;
    return stat(path, &st) < 0 && errno == ENOENT;
}

int cert_prepare(const struct config *config, bool *made, char *fingerprint, char *error)
{
    bool no_cert = is_missing(config->SSL_Cert), no_key = is_missing(config->SSL_Key);
    *made = false;
    if (no_cert != no_key)
        return config_complain(
            config, no_cert ? "SSL_Cert" : "SSL_Key", error,
            "found no file %s, only %s, allowed is both, or neither to have them made",
            no_cert ? config->SSL_Cert : config->SSL_Key,
            no_cert ? config->SSL_Key : config->SSL_Cert);
    if (no_cert && make_pair(config, error) < 0) {
        ERR_clear_error();
        return -1;
    }
    int rc = check_pair(config, fingerprint, error);
    *made = rc == 0 && no_cert;
    /* What OpenSSL noted must not be taken for a fault of the first connection. */
    ERR_clear_error();
    return rc;
}
