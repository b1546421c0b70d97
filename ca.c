/* SPDX-License-Identifier: MIT
 *
 * ca.c - a small certificate authority of one's own, that can vouch for nothing but this house.
 *
 * It and what it issues have keys on P-256 (RFC 8422 §5.1.1) and profiles of RFC 5280. What it may
 * sign for is written into it as critical name constraints (§4.2.1.10), and read from there again
 * when it issues: a name outside of them would spoil the whole certificate, so it is left out.
 * With its extended key usage no system takes it for a signer of programs or mail either.
 *
 * Left to others: files, and when to issue anew (cert.c); how certificates are used (net.c).
 *
 * Called at start-up only, from the main thread; takes no locks.
 */
#include "ca.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <openssl/bn.h>
#include <openssl/x509v3.h>

enum {
    CA_DAYS = 3650,
    SERVER_DAYS = 397, /* some phones refuse certificates that are valid for longer */
    DAYS_BEFORE = 1,   /* of them already over: clocks differ */
    DAYS_LEFT = 30,    /* fewer than these, and it is time for a new one */
    DAY_SECONDS = 86400,
    SERIAL_BITS = 127,  /* 16 bytes without a sign bit (RFC 5280 §4.1.2.2 allows 20) */
    NAMES_MAX = 64,     /* names and addresses in a certificate; further ones are left out */
    HOST_MAX = 253 + 1, /* a host name (RFC 1035 §2.3.4) with its NUL; a longer one is left out */
    NAMED_MAX = 40,     /* of which the authority's own name has this much (64 is the limit: A.1) */
    COMMON_NAME_MAX = 64 + 1,
    CONSTRAINTS_MAX = 512 + HOST_MAX,
};

/* What is nobody's on the internet: RFC 1918, 3927, 4193, 4291, 6598, 6761 §6.3, 6762 §3. */
#define HOUSE                                                                                      \
    "critical,permitted;DNS:localhost,permitted;DNS:local,"                                        \
    "permitted;IP:127.0.0.0/255.0.0.0,permitted;IP:10.0.0.0/255.0.0.0,"                            \
    "permitted;IP:172.16.0.0/255.240.0.0,permitted;IP:192.168.0.0/255.255.0.0,"                    \
    "permitted;IP:169.254.0.0/255.255.0.0,permitted;IP:100.64.0.0/255.192.0.0,"                    \
    "permitted;IP:::1/FFFF:FFFF:FFFF:FFFF:FFFF:FFFF:FFFF:FFFF,"                                    \
    "permitted;IP:FC00::/FE00::,permitted;IP:FE80::/FFC0::"

/* ---- What an authority may sign for (RFC 5280 §4.2.1.10) ------------------------------------- */

static bool is_address_within(const ASN1_STRING *address, const ASN1_STRING *range)
{
    int len = ASN1_STRING_length(address);
    const unsigned char *at = ASN1_STRING_get0_data(address), *base = ASN1_STRING_get0_data(range);
    if (ASN1_STRING_length(range) != 2 * len)
        return false;
    for (int i = 0; i < len; i++)
        if ((at[i] ^ base[i]) & base[len + i])
            return false;
    return true;
}

/* A domain holds itself and what ends in it behind a dot. */
static bool is_name_within(const ASN1_STRING *name, const ASN1_STRING *domain)
{
    int at = ASN1_STRING_length(name) - ASN1_STRING_length(domain);
    const char *text = (const char *)ASN1_STRING_get0_data(name);
    return at >= 0 && (at == 0 || text[at - 1] == '.') &&
           strncasecmp(text + at, (const char *)ASN1_STRING_get0_data(domain),
                       (size_t)ASN1_STRING_length(domain)) == 0;
}

static bool is_within(const GENERAL_NAME *name, const GENERAL_NAME *base)
{
    int type, base_type;
    const ASN1_STRING *value = GENERAL_NAME_get0_value(name, &type);
    const ASN1_STRING *bounds = GENERAL_NAME_get0_value(base, &base_type);
    if (type != base_type)
        return false;
    return type == GEN_IPADD ? is_address_within(value, bounds)
                             : type == GEN_DNS && is_name_within(value, bounds);
}

static bool is_permitted(const GENERAL_NAME *name, const NAME_CONSTRAINTS *limits)
{
    for (int i = 0; i < sk_GENERAL_SUBTREE_num(limits->permittedSubtrees); i++)
        if (is_within(name, sk_GENERAL_SUBTREE_value(limits->permittedSubtrees, i)->base))
            return true;
    return false;
}

/* ---- The names of this host ------------------------------------------------------------------ */

/* The names of a certificate, and what they are held to. */
struct list {
    GENERAL_NAMES *names;
    NAME_CONSTRAINTS *limits;
};

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

/* Adds an address or name, once, if the authority may sign for it. What cannot stand in a
 * certificate is left out, and so is what goes beyond NAMES_MAX. Returns false when memory is out. */
static bool add_name(struct list *list, const char *text)
{
    unsigned char address[16];
    if (sk_GENERAL_NAME_num(list->names) >= NAMES_MAX)
        return true;
    if (parse_address(text, address) == 0 && !is_host_name(text))
        return true;
    GENERAL_NAME *name = new_name(text);
    if (!name)
        return false;
    bool wanted = is_permitted(name, list->limits) && !has_name(list->names, name);
    if (wanted && sk_GENERAL_NAME_push(list->names, name) > 0)
        return true;
    GENERAL_NAME_free(name);
    return !wanted;
}

/* server_ip, unless it only says "all addresses". */
static bool add_server(struct list *list, const char *server_ip)
{
    static const unsigned char none[16];
    unsigned char address[16];
    int len = parse_address(server_ip, address);
    if (len > 0 && memcmp(address, none, (size_t)len) == 0)
        return true;
    return add_name(list, server_ip);
}

/* Writes the host's name; an empty one if it has none that can stand in a certificate. */
static void write_host(char host[HOST_MAX])
{
    memset(host, 0, HOST_MAX);
    if (gethostname(host, HOST_MAX - 1) < 0 || !is_host_name(host))
        host[0] = '\0';
}

/* The host's name, and the one under which its neighbours find it (RFC 6762 §3). */
static bool add_host(struct list *list)
{
    char host[HOST_MAX], local[HOST_MAX + 8];
    write_host(host);
    if (host[0] == '\0')
        return true;
    snprintf(local, sizeof(local), "%.*s.local", (int)strcspn(host, "."), host);
    return add_name(list, host) && add_name(list, local);
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

static bool add_interfaces(struct list *list)
{
    struct ifaddrs *interfaces;
    char text[INET6_ADDRSTRLEN];
    bool ok = true;
    /* Without the list the certificate is good for fewer addresses, which is better than none. */
    if (getifaddrs(&interfaces) < 0)
        return true;
    for (const struct ifaddrs *i = interfaces; i && ok; i = i->ifa_next)
        if (write_address(text, i->ifa_addr))
            ok = add_name(list, text);
    freeifaddrs(interfaces);
    return ok;
}

/* Everything that a certificate of this authority can name now. Freed with GENERAL_NAMES_free;
 * NULL when memory is out, or when the authority has no bounds that can be read. */
static GENERAL_NAMES *present_names(X509 *ca, const char *server_ip)
{
    struct list list = {GENERAL_NAMES_new(),
                        X509_get_ext_d2i(ca, NID_name_constraints, NULL, NULL)};
    bool ok = list.names && list.limits && add_name(&list, "localhost") &&
              add_name(&list, "127.0.0.1") && add_name(&list, "::1") &&
              add_server(&list, server_ip) && add_host(&list) && add_interfaces(&list);
    NAME_CONSTRAINTS_free(list.limits);
    if (ok)
        return list.names;
    GENERAL_NAMES_free(list.names);
    return NULL;
}

/* ---- Making ---------------------------------------------------------------------------------- */

/* `issuer` is whose key will sign `cert`: perhaps itself. */
static bool add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
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

static bool set_dates(X509 *cert, int days)
{
    time_t now = time(NULL);
    return X509_time_adj_ex(X509_getm_notBefore(cert), -DAYS_BEFORE, 0, &now) &&
           X509_time_adj_ex(X509_getm_notAfter(cert), days - DAYS_BEFORE, 0, &now);
}

static bool set_subject(X509 *cert, const char *text)
{
    return X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_UTF8,
                                      (const unsigned char *)text, -1, -1, 0) == 1;
}

/* A certificate for `key` without name and issuer; NULL when memory is out. */
static X509 *new_certificate(EVP_PKEY *key, int days)
{
    X509 *cert = X509_new();
    if (cert && X509_set_version(cert, X509_VERSION_3) == 1 && set_serial(cert) &&
        set_dates(cert, days) && X509_set_pubkey(cert, key) == 1)
        return cert;
    X509_free(cert);
    return NULL;
}

/* "Ragnarok 1B2C3D4E on HOST": what a list of certificates calls it, told apart from others by
 * the beginning of its serial number. */
static bool name_authority(X509 *ca)
{
    char host[HOST_MAX], text[COMMON_NAME_MAX];
    const unsigned char *serial = ASN1_STRING_get0_data(X509_get_serialNumber(ca));
    write_host(host);
    snprintf(text, sizeof(text), "Ragnarok %02X%02X%02X%02X%s%.*s", serial[0], serial[1], serial[2],
             serial[3], host[0] ? " on " : "", NAMED_MAX, host);
    return set_subject(ca, text) && X509_set_issuer_name(ca, X509_get_subject_name(ca)) == 1;
}

static bool add_constraints(X509 *ca)
{
    char host[HOST_MAX], text[CONSTRAINTS_MAX];
    write_host(host);
    snprintf(text, sizeof(text), HOUSE "%s%s", host[0] ? ",permitted;DNS:" : "", host);
    return add_extension(ca, ca, NID_name_constraints, text);
}

X509 *ca_make(EVP_PKEY *key)
{
    X509 *ca = new_certificate(key, CA_DAYS);
    if (ca && name_authority(ca) &&
        add_extension(ca, ca, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
        add_extension(ca, ca, NID_key_usage, "critical,keyCertSign") &&
        add_extension(ca, ca, NID_ext_key_usage, "serverAuth") &&
        add_extension(ca, ca, NID_subject_key_identifier, "hash") && add_constraints(ca) &&
        X509_sign(ca, key, EVP_sha256()) > 0)
        return ca;
    X509_free(ca);
    return NULL;
}

/* ---- Issuing --------------------------------------------------------------------------------- */

static bool add_names(X509 *cert, X509 *ca, const char *server_ip)
{
    GENERAL_NAMES *names = present_names(ca, server_ip);
    bool ok = names && X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, 0) == 1;
    GENERAL_NAMES_free(names);
    return ok;
}

X509 *ca_issue(X509 *ca, EVP_PKEY *ca_key, EVP_PKEY *key, const char *server_ip)
{
    X509 *cert = new_certificate(key, SERVER_DAYS);
    if (cert && set_subject(cert, "Ragnarok") &&
        X509_set_issuer_name(cert, X509_get_subject_name(ca)) == 1 &&
        add_extension(cert, ca, NID_basic_constraints, "critical,CA:FALSE") &&
        add_extension(cert, ca, NID_key_usage, "critical,digitalSignature") &&
        add_extension(cert, ca, NID_ext_key_usage, "serverAuth") &&
        add_extension(cert, ca, NID_subject_key_identifier, "hash") &&
        add_extension(cert, ca, NID_authority_key_identifier, "keyid:always") &&
        add_names(cert, ca, server_ip) && X509_sign(cert, ca_key, EVP_sha256()) > 0)
        return cert;
    X509_free(cert);
    return NULL;
}

/* ---- Looking at what was issued -------------------------------------------------------------- */

bool ca_issued(X509 *ca, X509 *cert)
{
    EVP_PKEY *key = X509_get0_pubkey(ca);
    return key && X509_NAME_cmp(X509_get_subject_name(ca), X509_get_issuer_name(cert)) == 0 &&
           X509_verify(cert, key) == 1;
}

static bool names_all(X509 *cert, GENERAL_NAMES *wanted)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    bool all = names != NULL;
    for (int i = 0; all && i < sk_GENERAL_NAME_num(wanted); i++)
        all = has_name(names, sk_GENERAL_NAME_value(wanted, i));
    GENERAL_NAMES_free(names);
    return all;
}

bool ca_is_fresh(X509 *ca, X509 *cert, const char *server_ip)
{
    time_t then = time(NULL) + (time_t)DAYS_LEFT * DAY_SECONDS;
    GENERAL_NAMES *wanted = present_names(ca, server_ip);
    bool fresh =
        wanted && names_all(cert, wanted) && X509_cmp_time(X509_get0_notAfter(cert), &then) > 0;
    GENERAL_NAMES_free(wanted);
    return fresh;
}
