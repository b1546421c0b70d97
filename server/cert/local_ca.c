/* SPDX-License-Identifier: MIT
 *
 * local_ca.c - a local certificate authority in two layers, limited by name constraints to local
 * names and private addresses.
 *
 * All keys are on P-256 (RFC 8422 §5.1.1), all certificates follow the profiles of RFC 5280. The
 * limits are critical name constraints (§4.2.1.10) in both layers. When the intermediate issues, it
 * leaves out names outside its own constraints, because one such name would invalidate the whole
 * certificate. The extended key usage keeps systems from accepting the authority as a signer of
 * programs or mail.
 *
 * A name without a dot, except localhost, is never a constraint and never in a certificate: a
 * constraint covers everything below it, and host names like "dev", "chat" or "box" are also
 * top-level domains. HOST.local is used instead.
 *
 * server_cert.c handles files and renewal, socket.c uses the certificates.
 *
 * Main thread only, at start-up and on reload; takes no locks.
 */
#include "server/cert/local_ca.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <openssl/bn.h>
#include <openssl/x509v3.h>

#include "lib/authority.h"
#include "net/interfaces.h"
#include "net/socket.h"

enum {
    CA_DAYS = 3650,
    SERVER_DAYS = 397, /* some phones refuse certificates that are valid for longer */
    DAYS_BEFORE = 1,   /* notBefore is so far in the past, because clocks differ */
    DAYS_LEFT = 30,    /* with fewer days left, a new one is issued */
    DAY_SECONDS = 86400,
    SERIAL_BITS = 127, /* 16 bytes without a sign bit (RFC 5280 §4.1.2.2 allows 20) */
    NAMES_MAX = 64,    /* names and addresses in a certificate; more are left out */
    NAMED_MAX = 36,    /* bytes of the host's name in the authority's name (limit 64: A.1) */
    COMMON_NAME_MAX = 64 + 1,
    CONSTRAINTS_MAX = 512 + LOCAL_CA_HOST_MAX,
};

/* Names and addresses that nobody owns on the internet: RFC 1918, 3927, 4193, 4291, 6598, 6761
 * §6.3, 6762 §3. */
#define LIMITS                                                                                     \
    "critical,permitted;DNS:localhost,permitted;DNS:local,"                                        \
    "permitted;IP:127.0.0.0/255.0.0.0,permitted;IP:10.0.0.0/255.0.0.0,"                            \
    "permitted;IP:172.16.0.0/255.240.0.0,permitted;IP:192.168.0.0/255.255.0.0,"                    \
    "permitted;IP:169.254.0.0/255.255.0.0,permitted;IP:100.64.0.0/255.192.0.0,"                    \
    "permitted;IP:::1/FFFF:FFFF:FFFF:FFFF:FFFF:FFFF:FFFF:FFFF,"                                    \
    "permitted;IP:FC00::/FE00::,permitted;IP:FE80::/FFC0::"

/* ---- What an authority may sign for (RFC 5280 §4.2.1.10) ------------------------------------ */

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

/* A domain contains itself and the names that end in a dot and the domain. */
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

/* ---- The names of this host ----------------------------------------------------------------- */

/* The names of a certificate, and the constraints on them. */
struct list {
    GENERAL_NAMES *names;
    NAME_CONSTRAINTS *limits;
    bool failed; /* memory is out */
};

/* Parses an address. Returns its length: 4, 16, or 0 when `text` is not an address. */
static int parse_address(const char *text, unsigned char out[16])
{
    if (inet_pton(AF_INET, text, out) == 1)
        return 4;
    return inet_pton(AF_INET6, text, out) == 1 ? 16 : 0;
}

static bool is_host_name(const char *text)
{
    return strlen(text) < LOCAL_CA_HOST_MAX && authority_is_name(text_of(text));
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

/* localhost stands for itself only: no constraint and no certificate has another name without a
 * dot. */
static bool is_localhost(const char *text)
{
    return strcasecmp(text, "localhost") == 0;
}

static bool can_be_named(const char *text)
{
    unsigned char address[16];
    return parse_address(text, address) > 0 || is_localhost(text) ||
           (is_host_name(text) && strchr(text, '.'));
}

/* Adds an address or name, once, if the authority may sign for it. Leaves out names that cannot be
 * in a certificate, and those beyond NAMES_MAX. Returns false when memory is out. */
static bool add_name(struct list *list, const char *text)
{
    if (sk_GENERAL_NAME_num(list->names) >= NAMES_MAX || !can_be_named(text))
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

/* Adds server_ip, unless it means "all addresses". */
static bool add_server(struct list *list, const char *server_ip)
{
    static const unsigned char none[16];
    unsigned char address[16];
    int len = parse_address(server_ip, address);
    if (len > 0 && memcmp(address, none, (size_t)len) == 0)
        return true;
    return add_name(list, server_ip);
}

/* Writes the host's name; "" if it has none that can be in a certificate. */
static void write_host(char host[LOCAL_CA_HOST_MAX])
{
    memset(host, 0, LOCAL_CA_HOST_MAX);
    if (gethostname(host, LOCAL_CA_HOST_MAX - 1) < 0 || !is_host_name(host) || host[0] == '.')
        host[0] = '\0';
}

/* Whether nobody on the internet can own a name like this one; .test is RFC 6761 §6.2. Excluded are
 * .home and .corp, which nothing reserves and homes rarely use, and .onion, whose names have owners
 * (RFC 7686). */
static bool is_private_name(const char *host)
{
    return authority_is_local(text_of(host)) || authority_host_under(text_of(host), ".test");
}

bool local_ca_host_left_out(char host[LOCAL_CA_HOST_MAX])
{
    unsigned char address[16];
    write_host(host);
    return strchr(host, '.') && parse_address(host, address) == 0 && !is_private_name(host);
}

/* Adds the host's full name, and its mDNS name (RFC 6762 §3). */
static bool add_host(struct list *list)
{
    char host[LOCAL_CA_HOST_MAX], local[LOCAL_CA_HOST_MAX + 8];
    write_host(host);
    if (host[0] == '\0')
        return true;
    snprintf(local, sizeof(local), "%.*s.local", (int)strcspn(host, "."), host);
    return add_name(list, host) && add_name(list, local);
}

/* Adds an address of this host, up or not, unless it is link-local (RFC 3927). */
static void add_interface(void *context, const struct sockaddr_storage *address, bool is_up)
{
    struct list *list = context;
    char text[NET_ADDRESS_MAX];
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
    bool link_local = address->ss_family == AF_INET && ntohl(v4->sin_addr.s_addr) >> 16 == 0xA9FE;
    (void)is_up;
    net_address(address, text);
    if (!link_local && !add_name(list, text))
        list->failed = true;
}

/* If the system's list cannot be read, the certificate names fewer addresses, which is better than
 * no certificate. Returns false when memory is out. */
static bool add_interfaces(struct list *list)
{
    interfaces_each(add_interface, list);
    return !list->failed;
}

/* All names that a certificate of this authority can have now. Freed with GENERAL_NAMES_free; NULL
 * when memory is out, or the authority has no readable constraints. */
static GENERAL_NAMES *present_names(const struct local_ca *ca, const char *server_ip)
{
    struct list list = {.names = GENERAL_NAMES_new(),
                        .limits = X509_get_ext_d2i(ca->cert, NID_name_constraints, NULL, NULL)};
    bool ok = list.names && list.limits && add_name(&list, "localhost") &&
              add_name(&list, "127.0.0.1") && add_name(&list, "::1") &&
              add_server(&list, server_ip) && add_host(&list) && add_interfaces(&list);
    NAME_CONSTRAINTS_free(list.limits);
    if (ok)
        return list.names;
    GENERAL_NAMES_free(list.names);
    return NULL;
}

/* ---- Making --------------------------------------------------------------------------------- */

/* `issuer` is the certificate of the signing key, perhaps `cert` itself. */
static bool add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    bool ok = extension && X509_add_ext(cert, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return ok;
}

/* Sets a random serial number: browsers refuse two certificates of an issuer with the same one. */
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

/* A certificate for `key` without subject and issuer; NULL when memory is out. */
static X509 *new_certificate(EVP_PKEY *key, int days)
{
    X509 *cert = X509_new();
    if (cert && X509_set_version(cert, X509_VERSION_3) == 1 && set_serial(cert) &&
        set_dates(cert, days) && X509_set_pubkey(cert, key) == 1)
        return cert;
    X509_free(cert);
    return NULL;
}

/* The root's name in lists of certificates is "Ragnarok 1B2C3D4E on HOST", the intermediate's is
 * "Ragnarok 1B2C3D4E signer on HOST". The number is the beginning of the root's serial number. */
static bool name_layer(X509 *cert, X509 *root, const char *layer)
{
    char host[LOCAL_CA_HOST_MAX], text[COMMON_NAME_MAX];
    const unsigned char *serial = ASN1_STRING_get0_data(X509_get_serialNumber(root));
    write_host(host);
    snprintf(text, sizeof(text), "Ragnarok %02X%02X%02X%02X%s%s%.*s", serial[0], serial[1],
             serial[2], serial[3], layer, host[0] ? " on " : "", NAMED_MAX, host);
    return set_subject(cert, text) && X509_set_issuer_name(cert, X509_get_subject_name(root)) == 1;
}

/* Adds the host's full name as a constraint if no fixed one covers it. */
static bool add_constraints(X509 *cert, X509 *root)
{
    char host[LOCAL_CA_HOST_MAX], text[CONSTRAINTS_MAX];
    write_host(host);
    bool named = is_private_name(host);
    snprintf(text, sizeof(text), LIMITS "%s%s", named ? ",permitted;DNS:" : "", named ? host : "");
    return add_extension(cert, root, NID_name_constraints, text);
}

/* Completes a layer: `root` is the certificate of the signing key, perhaps `cert` itself. */
static bool finish_layer(X509 *cert, const char *basics, X509 *root, EVP_PKEY *root_key)
{
    return add_extension(cert, root, NID_basic_constraints, basics) &&
           add_extension(cert, root, NID_key_usage, "critical,keyCertSign") &&
           add_extension(cert, root, NID_ext_key_usage, "serverAuth") &&
           add_extension(cert, root, NID_subject_key_identifier, "hash") &&
           (cert == root ||
            add_extension(cert, root, NID_authority_key_identifier, "keyid:always")) &&
           add_constraints(cert, root) && X509_sign(cert, root_key, EVP_sha256()) > 0;
}

/* Both layers end at the same time: the intermediate must not outlive the root. */
static bool make_layers(struct local_ca *ca, EVP_PKEY *root_key)
{
    ca->key = EVP_EC_gen("P-256");
    ca->root = new_certificate(root_key, CA_DAYS);
    ca->cert = ca->key ? new_certificate(ca->key, CA_DAYS) : NULL;
    return ca->root && ca->cert && name_layer(ca->root, ca->root, "") &&
           finish_layer(ca->root, "critical,CA:TRUE,pathlen:1", ca->root, root_key) &&
           X509_set1_notBefore(ca->cert, X509_get0_notBefore(ca->root)) == 1 &&
           X509_set1_notAfter(ca->cert, X509_get0_notAfter(ca->root)) == 1 &&
           name_layer(ca->cert, ca->root, " signer") &&
           finish_layer(ca->cert, "critical,CA:TRUE,pathlen:0", ca->root, root_key);
}

/* Copies the certificate without the key that X509_set_pubkey has left in it, including its private
 * half. */
static X509 *read_back(X509 *cert)
{
    unsigned char *der = NULL;
    int len = i2d_X509(cert, &der);
    const unsigned char *at = der;
    X509 *copy = len > 0 ? d2i_X509(NULL, &at, len) : NULL;
    OPENSSL_free(der);
    return copy;
}

bool local_ca_make(struct local_ca *ca)
{
    *ca = (struct local_ca){.key = NULL};
    EVP_PKEY *root_key = EVP_EC_gen("P-256");
    X509 *root = NULL;
    if (root_key && make_layers(ca, root_key))
        root = read_back(ca->root);
    X509_free(ca->root);
    ca->root = root;
    EVP_PKEY_free(root_key); /* the last reference: OpenSSL overwrites the key */
    bool ok = root && local_ca_is_whole(ca);
    if (!ok)
        local_ca_free(ca);
    return ok;
}

void local_ca_free(struct local_ca *ca)
{
    X509_free(ca->root);
    X509_free(ca->cert);
    EVP_PKEY_free(ca->key);
    *ca = (struct local_ca){.key = NULL};
}

/* ---- Issuing -------------------------------------------------------------------------------- */

const ASN1_TIME *local_ca_end(const struct local_ca *ca)
{
    const ASN1_TIME *root = X509_get0_notAfter(ca->root), *cert = X509_get0_notAfter(ca->cert);
    return ASN1_TIME_compare(root, cert) < 0 ? root : cert;
}

static bool add_names(X509 *cert, const struct local_ca *ca, const char *server_ip)
{
    GENERAL_NAMES *names = present_names(ca, server_ip);
    bool ok = names && X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, 0) == 1;
    GENERAL_NAMES_free(names);
    return ok;
}

static bool end_with_authority(X509 *cert, const struct local_ca *ca)
{
    return ASN1_TIME_compare(X509_get0_notAfter(cert), local_ca_end(ca)) <= 0 ||
           X509_set1_notAfter(cert, local_ca_end(ca)) == 1;
}

/* The common name is one of the names, because verifiers that treat it as a DNS name (rustls-webpki
 * 0.100) would refuse another, and older ones refuse a certificate without it. */
X509 *local_ca_issue(const struct local_ca *ca, EVP_PKEY *key, const char *server_ip)
{
    X509 *cert = new_certificate(key, SERVER_DAYS);
    if (cert && end_with_authority(cert, ca) && set_subject(cert, "localhost") &&
        X509_set_issuer_name(cert, X509_get_subject_name(ca->cert)) == 1 &&
        add_extension(cert, ca->cert, NID_basic_constraints, "critical,CA:FALSE") &&
        add_extension(cert, ca->cert, NID_key_usage, "critical,digitalSignature") &&
        add_extension(cert, ca->cert, NID_ext_key_usage, "serverAuth") &&
        add_extension(cert, ca->cert, NID_subject_key_identifier, "hash") &&
        add_extension(cert, ca->cert, NID_authority_key_identifier, "keyid:always") &&
        add_names(cert, ca, server_ip) && X509_sign(cert, ca->key, EVP_sha256()) > 0 &&
        local_ca_issued(ca, cert)) /* false if memory ran out where OpenSSL reports no error */
        return cert;
    X509_free(cert);
    return NULL;
}

/* ---- Checking ------------------------------------------------------------------------------- */

static bool is_signed_by(X509 *cert, X509 *issuer)
{
    EVP_PKEY *key = X509_get0_pubkey(issuer);
    return key && X509_NAME_cmp(X509_get_subject_name(issuer), X509_get_issuer_name(cert)) == 0 &&
           X509_verify(cert, key) == 1;
}

bool local_ca_is_whole(const struct local_ca *ca)
{
    return is_signed_by(ca->cert, ca->root) &&
           (!ca->key || X509_check_private_key(ca->cert, ca->key) == 1);
}

bool local_ca_issued(const struct local_ca *ca, X509 *cert)
{
    return local_ca_is_whole(ca) && is_signed_by(cert, ca->cert);
}

/* Whether names below this constraint can belong to others: it has no dot, and is not one of the
 * two that are never delegated. */
static bool is_top_level(const GENERAL_NAME *base)
{
    int type;
    const ASN1_STRING *value = GENERAL_NAME_get0_value(base, &type);
    const char *text = (const char *)ASN1_STRING_get0_data(value);
    size_t len = (size_t)ASN1_STRING_length(value);
    if (type != GEN_DNS || memchr(text, '.', len))
        return false;
    return !(len == 9 && strncasecmp(text, "localhost", len) == 0) &&
           !(len == 5 && strncasecmp(text, "local", len) == 0);
}

/* If no constraint has a certain type of name, that type is not limited at all. */
static const char *find_flaw(const NAME_CONSTRAINTS *limits)
{
    bool names = false, addresses = false;
    for (int i = 0; i < sk_GENERAL_SUBTREE_num(limits->permittedSubtrees); i++) {
        const GENERAL_NAME *base = sk_GENERAL_SUBTREE_value(limits->permittedSubtrees, i)->base;
        names = names || base->type == GEN_DNS;
        addresses = addresses || base->type == GEN_IPADD;
        if (is_top_level(base))
            return "it can certify every site of a top-level domain";
    }
    return names && addresses ? NULL : "it can certify every site of the internet";
}

const char *local_ca_flaw(const struct local_ca *ca)
{
    int critical = 0;
    if (X509_cmp(ca->root, ca->cert) == 0)
        return "the key of the certificate that people install still exists, and Java would let it "
               "certify every site of the internet";
    NAME_CONSTRAINTS *limits = X509_get_ext_d2i(ca->cert, NID_name_constraints, &critical, NULL);
    const char *flaw =
        limits && critical ? find_flaw(limits) : "it can certify every site of the internet";
    NAME_CONSTRAINTS_free(limits);
    return flaw;
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

/* Whether it need not be issued again: it lasts, or ends with the authority. */
static bool lasts(const struct local_ca *ca, X509 *cert)
{
    time_t then = time(NULL) + (time_t)DAYS_LEFT * DAY_SECONDS;
    const ASN1_TIME *end = X509_get0_notAfter(cert);
    return X509_cmp_time(end, &then) > 0 || ASN1_TIME_compare(end, local_ca_end(ca)) >= 0;
}

bool local_ca_is_fresh(const struct local_ca *ca, X509 *cert, const char *server_ip)
{
    GENERAL_NAMES *wanted = present_names(ca, server_ip);
    bool fresh = wanted && names_all(cert, wanted) && lasts(ca, cert);
    GENERAL_NAMES_free(wanted);
    return fresh;
}
