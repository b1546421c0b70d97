/* SPDX-License-Identifier: MIT
 *
 * test_cert.c - cert.c: what it makes, looked at with OpenSSL, and every complaint, word for word.
 *
 * Each test works in an empty folder of its own, with a config.json that names a.crt and a.key.
 */
#include "../cert.h"
#include "../net.h"

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
#include <unistd.h>

#include <cmocka.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define AT_CERT      "config.json:2:13: SSL_Cert: "
#define AT_KEY       "config.json:3:12: SSL_Key: "
#define CA_CERT      "ragnarok-ca.crt"
#define CA_KEY       "ragnarok-ca.pem"

enum { DAY = 86400, NOBODY = 65534 };

/* ---- A folder with a configuration ---------------------------------------------------------- */

static char folder[64];
static struct config config;
static char error[CONFIG_ERROR_MAX];
static struct cert found;

static void load(const char *cert, const char *key, const char *server_ip)
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

static int enter_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/ragnarok-cert-XXXXXX");
    if (!mkdtemp(folder) || chmod(folder, 0755) < 0 || chdir(folder) < 0)
        return -1;
    load("a.crt", "a.key", "127.0.0.1");
    return 0;
}

static int leave_folder(void **state)
{
    (void)state;
    config_free(&config);
    cert_free(&found);
    DIR *dir = opendir(".");
    for (struct dirent *entry; dir && (entry = readdir(dir));)
        if (entry->d_name[0] != '.')
            remove(entry->d_name);
    if (dir)
        closedir(dir);
    return chdir("/") == 0 ? rmdir(folder) : -1;
}

static bool exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

static unsigned mode_of(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return st.st_mode & 07777;
}

static void write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, 0600), 0);
}

static void prepare(void)
{
    cert_free(&found);
    if (cert_prepare(&config, &found, error) < 0)
        fail_msg("refused: %s", error);
    assert_int_equal(ERR_peek_error(), 0);
}

static void expect_complaint(const char *complaint)
{
    cert_free(&found);
    assert_int_equal(cert_prepare(&config, &found, error), -1);
    assert_string_equal(error, complaint);
    assert_int_equal(found.state, CERT_FOUND);
    assert_null(found.ca);
    assert_int_equal(ERR_peek_error(), 0);
}

/* ---- Certificates that a user could bring --------------------------------------------------- */

static void write_key(const char *path, EVP_PKEY *key, const char *passphrase)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(PEM_write_PrivateKey(file, key, passphrase ? EVP_aes_256_cbc() : NULL, NULL, 0,
                                          NULL, (void *)(uintptr_t)passphrase),
                     1);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, 0600), 0);
}

static void sign(X509 *cert, EVP_PKEY *key, time_t from, time_t until)
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
static void bring_pair(time_t from, time_t until, const char *passphrase)
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

static void bring_good_pair(void)
{
    time_t now = time(NULL);
    bring_pair(now - 60, now + 60, NULL);
}

static X509 *read_certificate(const char *path)
{
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    X509 *cert = PEM_read_X509(file, NULL, NULL, NULL);
    fclose(file);
    assert_non_null(cert);
    return cert;
}

static X509 *read_made(void)
{
    return read_certificate(config.SSL_Cert);
}

static EVP_PKEY *read_key(const char *path)
{
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    EVP_PKEY *key = PEM_read_PrivateKey(file, NULL, NULL, NULL);
    fclose(file);
    assert_non_null(key);
    return key;
}

static EVP_PKEY *read_made_key(void)
{
    return read_key(config.SSL_Key);
}

/* ---- What is made --------------------------------------------------------------------------- */

static void test_the_files_have_their_modes_whatever_the_umask(void **state)
{
    (void)state;
    mode_t mask = umask(0);
    prepare();
    umask(mask);
    assert_int_equal(found.state, CERT_MADE);
    assert_int_equal(mode_of("a.key"), 0600);
    assert_int_equal(mode_of("a.crt"), 0644);
    assert_int_equal(mode_of(CA_KEY), 0600);
    assert_int_equal(mode_of(CA_CERT), 0644);
}

static void test_what_was_made_is_used_again(void **state)
{
    char first[CERT_FINGERPRINT_MAX];
    (void)state;
    prepare();
    assert_int_equal(found.state, CERT_MADE);
    strcpy(first, found.fingerprint);
    prepare();
    assert_int_equal(found.state, CERT_FOUND);
    assert_string_equal(found.fingerprint, first);
}

static void test_two_certificates_differ(void **state)
{
    char first[CERT_FINGERPRINT_MAX];
    (void)state;
    prepare();
    strcpy(first, found.fingerprint);
    X509 *one = read_made();
    assert_int_equal(unlink("a.crt"), 0);
    assert_int_equal(unlink("a.key"), 0);
    prepare();
    X509 *two = read_made();
    assert_string_not_equal(found.fingerprint, first);
    assert_int_not_equal(ASN1_INTEGER_cmp(X509_get0_serialNumber(one), X509_get0_serialNumber(two)),
                         0);
    X509_free(one);
    X509_free(two);
}

static void test_the_fingerprint_is_sha_256_of_the_certificate(void **state)
{
    unsigned char *der = NULL, digest[32];
    char expected[CERT_FINGERPRINT_MAX + 1]; /* one colon too many at first */
    (void)state;
    prepare();
    X509 *cert = read_made();
    int len = i2d_X509(cert, &der);
    assert_true(len > 0);
    assert_int_equal(EVP_Digest(der, (size_t)len, digest, NULL, EVP_sha256(), NULL), 1);
    for (size_t i = 0; i < 32; i++)
        sprintf(expected + 3 * i, "%02X:", digest[i]);
    expected[95] = '\0';
    assert_string_equal(found.fingerprint, expected);
    OPENSSL_free(der);
    X509_free(cert);
}

static void test_both_keys_are_on_p_256_and_the_authority_signed(void **state)
{
    char group[32];
    (void)state;
    prepare();
    X509 *ca = read_certificate(CA_CERT), *cert = read_made();
    EVP_PKEY *ca_key = read_key(CA_KEY), *key = read_made_key();
    assert_int_equal(EVP_PKEY_get_group_name(key, group, sizeof(group), NULL), 1);
    assert_string_equal(group, "prime256v1");
    assert_int_equal(EVP_PKEY_get_group_name(ca_key, group, sizeof(group), NULL), 1);
    assert_string_equal(group, "prime256v1");
    assert_int_equal(X509_check_private_key(cert, key), 1);
    assert_int_equal(X509_verify(cert, ca_key), 1);
    assert_int_equal(X509_verify(ca, ca_key), 1);
    assert_int_equal(X509_get_version(cert), X509_VERSION_3);
    assert_int_equal(X509_NAME_cmp(X509_get_subject_name(ca), X509_get_issuer_name(cert)), 0);
    EVP_PKEY_free(key);
    EVP_PKEY_free(ca_key);
    X509_free(cert);
    X509_free(ca);
}

static void test_it_is_for_servers_only_rfc5280_4_2_1(void **state)
{
    (void)state;
    prepare();
    X509 *cert = read_made();
    assert_int_equal(X509_get_key_usage(cert), KU_DIGITAL_SIGNATURE);
    assert_int_equal(X509_get_extended_key_usage(cert), XKU_SSL_SERVER);
    assert_int_equal(X509_get_extension_flags(cert) & (EXFLAG_BCONS | EXFLAG_CA), EXFLAG_BCONS);
    int at = X509_get_ext_by_NID(cert, NID_basic_constraints, -1);
    assert_int_equal(X509_EXTENSION_get_critical(X509_get_ext(cert, at)), 1);
    at = X509_get_ext_by_NID(cert, NID_key_usage, -1);
    assert_int_equal(X509_EXTENSION_get_critical(X509_get_ext(cert, at)), 1);
    X509_free(cert);
}

static void test_the_serial_number_is_16_positive_bytes_rfc5280_4_1_2_2(void **state)
{
    (void)state;
    prepare();
    X509 *cert = read_made();
    const ASN1_INTEGER *serial = X509_get0_serialNumber(cert);
    assert_int_equal(ASN1_STRING_length(serial), 16);
    assert_int_equal(ASN1_STRING_type(serial), V_ASN1_INTEGER); /* not V_ASN1_NEG_INTEGER */
    assert_int_equal(ASN1_STRING_get0_data(serial)[0] >> 6, 1); /* bit 126 is the highest */
    X509_free(cert);
}

static void test_it_is_valid_for_397_days_since_yesterday(void **state)
{
    int days, seconds;
    time_t before = time(NULL) - DAY;
    (void)state;
    prepare();
    time_t after = time(NULL) - DAY;
    X509 *cert = read_made();
    const ASN1_TIME *from = X509_get0_notBefore(cert);
    assert_int_equal(ASN1_TIME_diff(&days, &seconds, from, X509_get0_notAfter(cert)), 1);
    assert_int_equal(days, 397);
    assert_int_equal(seconds, 0);
    assert_true(ASN1_TIME_cmp_time_t(from, before) >= 0);
    assert_true(ASN1_TIME_cmp_time_t(from, after) <= 0);
    X509_free(cert);
}

/* ---- Which names it has (RFC 5280 §4.2.1.6) ------------------------------------------------- */

static int count_names(X509 *cert)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    assert_non_null(names);
    int count = sk_GENERAL_NAME_num(names);
    GENERAL_NAMES_free(names);
    return count;
}

static void test_it_names_this_host(void **state)
{
    char host[256] = "", local[272];
    (void)state;
    prepare();
    X509 *cert = read_made();
    assert_int_equal(X509_check_host(cert, "localhost", 0, 0, NULL), 1);
    assert_int_equal(X509_check_ip_asc(cert, "127.0.0.1", 0), 1);
    assert_int_equal(X509_check_ip_asc(cert, "::1", 0), 1);
    assert_int_equal(gethostname(host, sizeof(host) - 1), 0);
    snprintf(local, sizeof(local), "%.*s.local", (int)strcspn(host, "."), host);
    assert_int_equal(X509_check_host(cert, host, 0, 0, NULL), 1);
    assert_int_equal(X509_check_host(cert, local, 0, 0, NULL), 1);
    X509_free(cert);
}

/* What is nobody's on the internet and more than one host can use. */
static bool is_private4(uint32_t bits)
{
    return bits >> 24 == 127 || bits >> 24 == 10 || bits >> 20 == 0xAC1 || bits >> 16 == 0xC0A8 ||
           bits >> 22 == 0x191;
}

/* Whether the certificate holds for the address of an interface; -1 when that is no IP address. */
static int check_interface(X509 *cert, const struct sockaddr *address, bool *wanted)
{
    if (address && address->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, address, sizeof(in));
        *wanted = is_private4(ntohl(in.sin_addr.s_addr));
        return X509_check_ip(cert, (const unsigned char *)&in.sin_addr, 4, 0);
    }
    if (address && address->sa_family == AF_INET6) {
        struct sockaddr_in6 in;
        memcpy(&in, address, sizeof(in));
        *wanted = IN6_IS_ADDR_LOOPBACK(&in.sin6_addr) || (in.sin6_addr.s6_addr[0] & 0xFE) == 0xFC;
        return X509_check_ip(cert, (const unsigned char *)&in.sin6_addr, 16, 0);
    }
    return -1;
}

static void test_it_names_the_private_addresses_and_no_others(void **state)
{
    struct ifaddrs *interfaces;
    int checked = 0;
    (void)state;
    prepare();
    X509 *cert = read_made();
    assert_int_equal(getifaddrs(&interfaces), 0);
    for (struct ifaddrs *i = interfaces; i && checked < 32; i = i->ifa_next) {
        bool wanted = false;
        int held = check_interface(cert, i->ifa_addr, &wanted);
        if (held < 0)
            continue;
        assert_int_equal(held, wanted);
        checked++;
    }
    freeifaddrs(interfaces);
    assert_true(checked > 0);
    X509_free(cert);
}

static int count_names_for(const char *server_ip)
{
    remove("a.crt");
    remove("a.key");
    load("a.crt", "a.key", server_ip);
    prepare();
    X509 *cert = read_made();
    int count = count_names(cert);
    X509_free(cert);
    return count;
}

static void expect_address(const char *server_ip, int count)
{
    assert_int_equal(count_names_for(server_ip), count);
    X509 *cert = read_made();
    assert_int_equal(X509_check_ip_asc(cert, server_ip, 0), 1);
    X509_free(cert);
}

static void test_it_names_server_ip_once(void **state)
{
    static const char *const addresses[] = {
        "127.255.0.7",   "10.255.0.7", "172.16.0.7", "172.31.255.7", "192.168.3.7", "169.254.3.7",
        "100.127.255.7", "fd12::7",    "fc00::7",    "fe80::7",      "febf::7"};
    (void)state;
    int without = count_names_for("127.0.0.1");
    assert_int_equal(count_names_for("localhost"), without);
    assert_int_equal(count_names_for("0:0:0:0:0:0:0:1"), without);
    for (size_t i = 0; i < COUNT(addresses); i++)
        expect_address(addresses[i], without + 1);

    assert_int_equal(count_names_for("chat.local"), without + 1);
    X509 *cert = read_made();
    assert_int_equal(X509_check_host(cert, "chat.local", 0, 0, NULL), 1);
    X509_free(cert);
}

static void test_it_names_nothing_that_is_somebody_elses(void **state)
{
    static const char *const others[] = {
        "chat.example.org", "xlocal",     "local.example", "8.8.8.8",    "11.0.0.1",
        "172.15.0.1",       "172.32.0.1", "192.169.0.1",   "100.63.0.1", "100.128.0.1",
        "2001:db8::7",      "fe00::1",    "fec0::1",       "::2"};
    (void)state;
    int without = count_names_for("127.0.0.1");
    for (size_t i = 0; i < COUNT(others); i++)
        assert_int_equal(count_names_for(others[i]), without);
}

static void test_it_names_no_wildcard_and_nothing_that_is_no_name(void **state)
{
    (void)state;
    int without = count_names_for("127.0.0.1");
    assert_int_equal(count_names_for("0.0.0.0"), without);
    assert_int_equal(count_names_for("::"), without);
    assert_int_equal(count_names_for("0:0::0:0"), without);
    assert_int_equal(count_names_for("*"), without);
    assert_int_equal(count_names_for("a,b"), without);
    assert_int_equal(count_names_for("\xC3\xA4.example"), without);
}

static void test_a_name_of_253_bytes_and_one_more(void **state)
{
    char name[256];
    (void)state;
    int without = count_names_for("127.0.0.1");
    memset(name, 'a', sizeof(name));
    memcpy(name + 247, ".local", 7);
    assert_int_equal(count_names_for(name), without + 1);
    memcpy(name + 248, ".local", 7);
    name[247] = 'a';
    assert_int_equal(count_names_for(name), without);
}

/* ---- The authority (RFC 5280 §4.2.1.10) ------------------------------------------------------ */

static void test_the_authority_can_sign_servers_only_rfc5280_4_2_1(void **state)
{
    static const int critical[] = {NID_basic_constraints, NID_key_usage, NID_name_constraints};
    (void)state;
    prepare();
    X509 *ca = read_certificate(CA_CERT);
    assert_int_equal(X509_check_ca(ca), 1);
    assert_int_equal(X509_get_pathlen(ca), 0);
    assert_int_equal(X509_get_key_usage(ca), KU_KEY_CERT_SIGN);
    assert_int_equal(X509_get_extended_key_usage(ca), XKU_SSL_SERVER);
    for (size_t i = 0; i < COUNT(critical); i++) {
        int at = X509_get_ext_by_NID(ca, critical[i], -1);
        assert_int_equal(X509_EXTENSION_get_critical(X509_get_ext(ca, at)), 1);
    }
    X509_free(ca);
}

static void test_the_authority_lasts_for_ten_years(void **state)
{
    int days, seconds;
    (void)state;
    prepare();
    X509 *ca = read_certificate(CA_CERT);
    assert_int_equal(
        ASN1_TIME_diff(&days, &seconds, X509_get0_notBefore(ca), X509_get0_notAfter(ca)), 1);
    assert_int_equal(days, 3650);
    X509_free(ca);
}

/* What a strict verifier that trusts the authority says about a certificate: X509_V_OK or why not. */
static int verify(X509 *cert)
{
    X509 *ca = read_certificate(CA_CERT);
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *context = X509_STORE_CTX_new();
    assert_true(store && context && X509_STORE_add_cert(store, ca) == 1);
    assert_int_equal(X509_STORE_CTX_init(context, store, cert, NULL), 1);
    X509_STORE_CTX_set_flags(context, X509_V_FLAG_X509_STRICT);
    X509_STORE_CTX_set_purpose(context, X509_PURPOSE_SSL_SERVER);
    X509_verify_cert(context);
    int why = X509_STORE_CTX_get_error(context);
    X509_STORE_CTX_free(context);
    X509_STORE_free(store);
    X509_free(ca);
    ERR_clear_error();
    return why;
}

static void test_a_strict_verifier_takes_what_was_made(void **state)
{
    (void)state;
    prepare();
    X509 *cert = read_made();
    assert_int_equal(verify(cert), X509_V_OK);
    X509_free(cert);
}

static void add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    assert_non_null(extension);
    assert_int_equal(X509_add_ext(cert, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

/* Signs a certificate for `names` with the authority's key, as a thief of it would. Valid from a
 * minute ago for `seconds`. */
static X509 *forge(const char *names, EVP_PKEY *key, long seconds)
{
    X509 *ca = read_certificate(CA_CERT), *cert = X509_new();
    EVP_PKEY *ca_key = read_key(CA_KEY);
    time_t now = time(NULL);
    assert_non_null(cert);
    assert_int_equal(X509_set_issuer_name(cert, X509_get_subject_name(ca)), 1);
    assert_int_equal(X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
                                                (const unsigned char *)"x", -1, -1, 0),
                     1);
    assert_int_equal(X509_set_pubkey(cert, key), 1);
    assert_int_equal(X509_set_version(cert, X509_VERSION_3), 1);
    add_extension(cert, ca, NID_basic_constraints, "critical,CA:FALSE");
    add_extension(cert, ca, NID_authority_key_identifier, "keyid:always");
    add_extension(cert, ca, NID_subject_key_identifier, "hash");
    add_extension(cert, ca, NID_subject_alt_name, names);
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(cert), 7), 1);
    assert_non_null(ASN1_TIME_set(X509_getm_notBefore(cert), now - 60));
    assert_non_null(ASN1_TIME_set(X509_getm_notAfter(cert), now + seconds));
    assert_true(X509_sign(cert, ca_key, EVP_sha256()) > 0);
    EVP_PKEY_free(ca_key);
    X509_free(ca);
    return cert;
}

static int verify_forged(const char *names)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = forge(names, key, 60);
    int why = verify(cert);
    X509_free(cert);
    EVP_PKEY_free(key);
    return why;
}

static void test_it_cannot_vouch_for_anybody_else(void **state)
{
    static const char *const others[] = {
        "DNS:example.org", "DNS:notlocal",           "DNS:localhost,DNS:example.org",
        "IP:8.8.8.8",      "IP:172.32.0.1",          "IP:100.128.0.1",
        "IP:2001:db8::1",  "IP:127.0.0.1,IP:1.1.1.1"};
    (void)state;
    prepare();
    assert_int_equal(verify_forged("DNS:localhost,DNS:a.b.local,IP:10.0.0.1"), X509_V_OK);
    for (size_t i = 0; i < COUNT(others); i++)
        assert_int_equal(verify_forged(others[i]), X509_V_ERR_PERMITTED_VIOLATION);
}

static void test_what_to_trust_is_told(void **state)
{
    (void)state;
    prepare();
    assert_int_equal(strlen(found.ca_fingerprint), 95);
    assert_string_not_equal(found.ca_fingerprint, found.fingerprint);
    const unsigned char *at = found.ca;
    X509 *ca = read_certificate(CA_CERT), *same = d2i_X509(NULL, &at, found.ca_len);
    assert_non_null(same);
    assert_memory_equal(found.ca_name, "Ragnarok ", 9);
    assert_non_null(strstr(found.ca_name, " on "));
    assert_int_equal(X509_cmp(ca, same), 0);
    X509_free(ca);
    X509_free(same);
}

static void test_the_chain_is_in_the_file(void **state)
{
    (void)state;
    prepare();
    FILE *file = fopen("a.crt", "r");
    assert_non_null(file);
    X509 *cert = PEM_read_X509(file, NULL, NULL, NULL);
    X509 *second = PEM_read_X509(file, NULL, NULL, NULL);
    fclose(file);
    X509 *ca = read_certificate(CA_CERT);
    assert_true(cert && second && X509_cmp(second, ca) == 0);
    X509_free(ca);
    X509_free(second);
    X509_free(cert);
}

/* ---- Issued anew, and trusted still ---------------------------------------------------------- */

static void write_certificate(const char *path, X509 *cert)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(PEM_write_X509(file, cert), 1);
    assert_int_equal(fclose(file), 0);
}

/* Puts a certificate for the present key, signed by the authority, in the place of the one made. */
static void replace_made(const char *names, long seconds)
{
    EVP_PKEY *key = read_made_key();
    X509 *cert = forge(names, key, seconds);
    write_certificate("a.crt", cert);
    X509_free(cert);
    EVP_PKEY_free(key);
}

/* The next start has to issue it anew: same key, same authority, another serial number. */
static void expect_renewal(void)
{
    char ca_fingerprint[CERT_FINGERPRINT_MAX];
    strcpy(ca_fingerprint, found.ca_fingerprint);
    X509 *before = read_made();
    prepare();
    assert_int_equal(found.state, CERT_RENEWED);
    assert_string_equal(found.ca_fingerprint, ca_fingerprint);
    X509 *after = read_made();
    EVP_PKEY *key = read_made_key();
    assert_int_not_equal(
        ASN1_INTEGER_cmp(X509_get0_serialNumber(before), X509_get0_serialNumber(after)), 0);
    assert_int_equal(X509_check_private_key(after, key), 1);
    assert_int_equal(verify(after), X509_V_OK);
    assert_int_equal(X509_check_host(after, "localhost", 0, 0, NULL), 1);
    assert_int_equal(mode_of("a.crt"), 0644);
    assert_false(exists("a.crt.new"));
    EVP_PKEY_free(key);
    X509_free(before);
    X509_free(after);
    prepare();
    assert_int_equal(found.state, CERT_FOUND);
}

static void test_another_address_needs_another_certificate(void **state)
{
    (void)state;
    prepare();
    load("a.crt", "a.key", "192.168.77.7");
    expect_renewal();
    X509 *cert = read_made();
    assert_int_equal(X509_check_ip_asc(cert, "192.168.77.7", 0), 1);
    X509_free(cert);
}

static void test_a_name_that_is_missing_needs_another_certificate(void **state)
{
    (void)state;
    prepare();
    replace_made("DNS:localhost,IP:127.0.0.1", 300L * DAY);
    expect_renewal();
}

/* The names of the one that was made, as forge takes them. */
static void write_names(char *out, size_t cap)
{
    X509 *cert = read_made();
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    BIO *text = BIO_new(BIO_s_mem());
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        if (i > 0)
            BIO_puts(text, ",");
        GENERAL_NAME_print(text, sk_GENERAL_NAME_value(names, i));
    }
    int len = BIO_read(text, out, (int)cap - 1);
    out[len > 0 ? len : 0] = '\0';
    for (char *at; (at = strstr(out, "IP Address:"));)
        memmove(at + 2, at + strlen("IP Address"), strlen(at + strlen("IP Address")) + 1);
    BIO_free(text);
    GENERAL_NAMES_free(names);
    X509_free(cert);
}

static void test_30_days_before_its_end_there_is_another(void **state)
{
    char names[4096];
    (void)state;
    prepare();
    write_names(names, sizeof(names));
    replace_made(names, 31L * DAY);
    prepare();
    assert_int_equal(found.state, CERT_FOUND);
    replace_made(names, 30L * DAY - 60);
    expect_renewal();
    replace_made(names, -30);
    expect_renewal();
}

static void test_an_authority_that_is_there_is_used_again(void **state)
{
    char ca_fingerprint[CERT_FINGERPRINT_MAX];
    (void)state;
    prepare();
    strcpy(ca_fingerprint, found.ca_fingerprint);
    assert_int_equal(unlink("a.crt") | unlink("a.key"), 0);
    prepare();
    assert_int_equal(found.state, CERT_MADE);
    assert_string_equal(found.ca_fingerprint, ca_fingerprint);
}

static void test_a_draft_that_was_left_behind_is_in_nobodys_way(void **state)
{
    (void)state;
    prepare();
    write_text("a.crt.new", "half a certif");
    load("a.crt", "a.key", "10.77.7.7");
    expect_renewal();
}

/* A user's own pair stays as it is, byte for byte, whatever lies beside it. */
static void test_what_a_user_gave_is_never_written_to(void **state)
{
    struct stat before, after;
    (void)state;
    prepare();
    bring_good_pair();
    assert_int_equal(stat("a.crt", &before), 0);
    prepare();
    assert_int_equal(stat("a.crt", &after), 0);
    assert_int_equal(found.state, CERT_FOUND);
    assert_string_equal(found.ca_fingerprint, "");
    assert_null(found.ca);
    assert_true(before.st_ino == after.st_ino && before.st_size == after.st_size &&
                before.st_mtim.tv_nsec == after.st_mtim.tv_nsec);
}

static void test_looking_changes_nothing(void **state)
{
    (void)state;
    prepare();
    replace_made("DNS:localhost", 300L * DAY);
    cert_free(&found);
    assert_int_equal(cert_check(&config, &found, error), 0);
    assert_int_equal(found.state, CERT_FOUND);
    assert_int_equal(strlen(found.ca_fingerprint), 95);
    expect_renewal();
    assert_int_equal(unlink("a.crt") | unlink("a.key"), 0);
    cert_free(&found);
    assert_int_equal(cert_check(&config, &found, error), -1);
    assert_string_equal(error, AT_CERT "a.crt cannot be read: No such file or directory");
    assert_false(exists("a.key"));
}

/* What cannot be issued anew is used while it is valid. */
static void expect_the_old_one(void)
{
    char fingerprint[CERT_FINGERPRINT_MAX];
    cert_free(&found);
    assert_int_equal(cert_check(&config, &found, error), 0);
    strcpy(fingerprint, found.fingerprint);
    prepare();
    assert_int_equal(found.state, CERT_FOUND);
    assert_string_equal(found.fingerprint, fingerprint);
}

static void test_without_the_authoritys_key_the_old_one_is_used(void **state)
{
    (void)state;
    prepare();
    replace_made("DNS:localhost", 300L * DAY);
    assert_int_equal(chmod(CA_KEY, 0604), 0);
    expect_the_old_one();
    write_text(CA_KEY, "no key");
    expect_the_old_one();
    assert_int_equal(unlink(CA_KEY), 0);
    expect_the_old_one();
}

static void test_half_an_authority_makes_nothing(void **state)
{
    (void)state;
    prepare();
    assert_int_equal(unlink("a.crt") | unlink("a.key") | unlink(CA_KEY), 0);
    expect_complaint(AT_CERT
                     "found no file ragnarok-ca.pem, only ragnarok-ca.crt, allowed is both, "
                     "or neither to have them made");
    assert_false(exists("a.key"));
}

static void test_an_authority_that_others_can_use_makes_nothing(void **state)
{
    (void)state;
    prepare();
    assert_int_equal(unlink("a.crt") | unlink("a.key") | chmod(CA_KEY, 0644), 0);
    expect_complaint(AT_CERT "found mode 0644 on ragnarok-ca.pem, which lets others in, allowed is "
                             "0600, or 0640 if root owns it");
}

static void test_an_authority_that_is_no_certificate(void **state)
{
    (void)state;
    prepare();
    write_text(CA_CERT, "hello\n");
    expect_complaint(AT_CERT "found no certificate in ragnarok-ca.crt, allowed is one in PEM form");
}

/* ---- What cannot be made -------------------------------------------------------------------- */

static void test_a_key_that_cannot_be_written(void **state)
{
    (void)state;
    load("a.crt", "none/a.key", "127.0.0.1");
    expect_complaint(AT_KEY "cannot make none/a.key: No such file or directory");
    assert_false(exists("a.crt"));
}

static void test_nothing_is_left_of_what_cannot_be_made(void **state)
{
    (void)state;
    load("none/a.crt", "a.key", "127.0.0.1");
    expect_complaint(AT_CERT "cannot make none/ragnarok-ca.pem: No such file or directory");
    assert_false(exists("a.key"));
}

static void test_nothing_is_written_through_a_link_to_nowhere(void **state)
{
    (void)state;
    assert_int_equal(symlink("elsewhere", "a.key"), 0);
    expect_complaint(AT_KEY "cannot make a.key: File exists");
    assert_false(exists("elsewhere"));
    assert_true(exists("a.key"));
    assert_false(exists("a.crt"));
}

/* Lets no file grow beyond `size` bytes, as a full disk would. */
static void expect_complaint_within(rlim_t size, const char *complaint)
{
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    struct rlimit limit = {.rlim_cur = size, .rlim_max = before.rlim_max};
    void (*action)(int) = signal(SIGXFSZ, SIG_IGN);
    cert_free(&found);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    int rc = cert_prepare(&config, &found, error);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, action);
    assert_int_equal(rc, -1);
    assert_int_equal(found.state, CERT_FOUND);
    assert_string_equal(error, complaint);
}

static void test_a_full_disk_leaves_no_file(void **state)
{
    (void)state;
    expect_complaint_within(100, AT_CERT "cannot make ragnarok-ca.pem: File too large");
    assert_false(exists(CA_KEY));
    expect_complaint_within(300, AT_CERT "cannot make ragnarok-ca.crt: File too large");
    assert_false(exists(CA_KEY));
    assert_false(exists(CA_CERT));
    expect_complaint_within(1300, AT_CERT "cannot make a.crt: File too large");
    assert_false(exists("a.key"));
    assert_false(exists("a.crt"));
    prepare();
    assert_int_equal(found.state, CERT_MADE);
}

/* ---- One of the two ------------------------------------------------------------------------- */

static void test_a_certificate_without_its_key(void **state)
{
    (void)state;
    bring_good_pair();
    assert_int_equal(unlink("a.key"), 0);
    expect_complaint(AT_KEY
                     "found no file a.key, only a.crt, allowed is both, or neither to have them "
                     "made");
    assert_false(exists("a.key"));
}

static void test_a_key_without_its_certificate(void **state)
{
    (void)state;
    bring_good_pair();
    assert_int_equal(unlink("a.crt"), 0);
    expect_complaint(AT_CERT
                     "found no file a.crt, only a.key, allowed is both, or neither to have them "
                     "made");
    assert_false(exists("a.crt"));
}

/* ---- What is no certificate or no key ------------------------------------------------------- */

static void test_a_pair_that_was_brought(void **state)
{
    (void)state;
    bring_good_pair();
    prepare();
    assert_int_equal(found.state, CERT_FOUND);
    assert_int_equal(strlen(found.fingerprint), 95);
}

static void test_links_are_followed(void **state)
{
    (void)state;
    bring_good_pair();
    assert_int_equal(rename("a.crt", "b.crt") | rename("a.key", "b.key"), 0);
    assert_int_equal(symlink("b.crt", "a.crt") | symlink("b.key", "a.key"), 0);
    prepare();
    assert_int_equal(found.state, CERT_FOUND);
    assert_int_equal(chmod("b.key", 0604), 0);
    expect_complaint(AT_KEY "found mode 0604 on a.key, which lets others in, allowed is 0600, or "
                            "0640 if root owns it");
}

static void test_a_certificate_that_is_none(void **state)
{
    static const char *const texts[] = {
        "",
        "hello\n",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\nProc-Type: 4,ENCRYPTED\n"
        "DEK-Info: AES-128-CBC,00112233445566778899AABBCCDDEEFF\n\nAAAA\n"
        "-----END CERTIFICATE-----\n",
    };
    (void)state;
    bring_good_pair();
    for (size_t i = 0; i < COUNT(texts); i++) {
        write_text("a.crt", texts[i]);
        expect_complaint(AT_CERT "found no certificate in a.crt, allowed is one in PEM form");
    }
}

static void test_a_key_that_is_none(void **state)
{
    (void)state;
    bring_good_pair();
    write_text("a.key", "-----BEGIN PRIVATE "
                        "KEY-----\nAAAA\n-----END PRIVATE "
                        "KEY-----\n");
    expect_complaint(AT_KEY "found no private key in a.key, allowed is one in PEM form");
    write_text("a.key", "");
    expect_complaint(AT_KEY "found no private key in a.key, allowed is one in PEM form");
}

static void test_the_two_exchanged(void **state)
{
    (void)state;
    bring_good_pair();
    load("a.key", "a.crt", "127.0.0.1");
    expect_complaint(AT_CERT "found no certificate in a.key, allowed is one in PEM form");
}

static void test_a_key_with_a_passphrase_is_not_asked_for_it(void **state)
{
    time_t now = time(NULL);
    (void)state;
    bring_pair(now - 60, now + 60, "geheim");
    expect_complaint(AT_KEY "found a key with a passphrase in a.key, allowed is one without");
}

static void test_folders_and_pipes(void **state)
{
    (void)state;
    bring_good_pair();
    assert_int_equal(unlink("a.crt"), 0);
    assert_int_equal(mkdir("a.crt", 0700), 0);
    expect_complaint(AT_CERT "found a folder or device at a.crt, allowed is a PEM file");
    assert_int_equal(rmdir("a.crt"), 0);
    bring_good_pair();
    assert_int_equal(unlink("a.key"), 0);
    assert_int_equal(mkfifo("a.key", 0600), 0);
    expect_complaint(AT_KEY "found a folder or device at a.key, allowed is a PEM file");
}

/* As root, the test becomes someone else for a moment: root may read everything. */
static void expect_complaint_of_other(const char *complaint)
{
    bool root = geteuid() == 0;
    if (root)
        assert_int_equal(seteuid(NOBODY), 0);
    cert_free(&found);
    int rc = cert_prepare(&config, &found, error);
    if (root)
        assert_int_equal(seteuid(0), 0);
    assert_int_equal(rc, -1);
    assert_string_equal(error, complaint);
}

static void test_files_that_cannot_be_read(void **state)
{
    (void)state;
    bring_good_pair();
    assert_int_equal(chmod("a.key", 0000), 0);
    expect_complaint_of_other(AT_KEY "a.key cannot be read: Permission denied");
    assert_int_equal(chmod("a.crt", 0000), 0);
    expect_complaint_of_other(AT_CERT "a.crt cannot be read: Permission denied");
}

/* ---- Who can read the key ------------------------------------------------------------------- */

static void expect_mode_refused(mode_t mode)
{
    char complaint[CONFIG_ERROR_MAX];
    assert_int_equal(chmod("a.key", mode), 0);
    snprintf(complaint, sizeof(complaint),
             AT_KEY "found mode %04o on a.key, which lets others in, allowed is 0600, or 0640 if "
                    "root owns it",
             (unsigned)mode);
    expect_complaint(complaint);
}

static void test_every_mode_that_lets_others_in(void **state)
{
    (void)state;
    bring_good_pair();
    for (mode_t others = 01; others <= 077; others++)
        if (others != 040)
            expect_mode_refused(0600 | others);
    assert_int_equal(chmod("a.key", 0400), 0);
    prepare();
    assert_int_equal(chmod("a.key", 0700), 0);
    prepare();
}

static void test_a_group_may_read_the_key_of_root_only(void **state)
{
    (void)state;
    bring_good_pair();
    if (geteuid() == 0) {
        assert_int_equal(chmod("a.key", 0640), 0);
        prepare();
        assert_int_equal(chmod("a.key", 0440), 0);
        prepare();
        assert_int_equal(chown("a.key", NOBODY, (gid_t)-1), 0);
    }
    expect_mode_refused(0640);
    expect_mode_refused(0440);
}

/* ---- Dates, and belonging together ---------------------------------------------------------- */

static void test_a_certificate_that_has_expired(void **state)
{
    (void)state;
    bring_pair(1577836800, 1609459199, NULL);
    expect_complaint(AT_CERT
                     "found a certificate that has expired in a.crt (valid from 2020-01-01 "
                     "00:00:00 UTC to 2020-12-31 23:59:59 UTC), allowed is one that is valid now "
                     "(if this server made it, delete both files)");
}

static void test_a_certificate_that_is_not_valid_yet(void **state)
{
    (void)state;
    bring_pair(4070908800, 4102444799, NULL);
    expect_complaint(AT_CERT
                     "found a certificate that is not valid yet in a.crt (valid from 2099-01-01 "
                     "00:00:00 UTC to 2099-12-31 23:59:59 UTC), allowed is one that is valid now");
}

static void expect_no_match(EVP_PKEY *key)
{
    assert_non_null(key);
    bring_good_pair();
    write_key("a.key", key, NULL);
    expect_complaint(AT_KEY "found a key in a.key that does not belong to the certificate in "
                            "a.crt, allowed is the one it was made with");
    EVP_PKEY_free(key);
}

static void test_a_key_of_another_certificate(void **state)
{
    (void)state;
    expect_no_match(EVP_RSA_gen(2048));
    expect_no_match(EVP_EC_gen("P-256"));
}

/* They are looked at before; but they may be replaced in between, one after the other. */
static void expect_no_tls(EVP_PKEY *key)
{
    char why[NET_ERROR_MAX] = "";
    assert_non_null(key);
    bring_good_pair();
    struct net_tls *tls = net_tls_server("a.crt", "a.key", why);
    assert_non_null(tls);
    net_tls_free(tls);
    write_key("a.key", key, NULL);
    assert_null(net_tls_server("a.crt", "a.key", why));
    assert_string_not_equal(why, "");
    EVP_PKEY_free(key);
}

static void test_tls_takes_no_key_of_another_certificate(void **state)
{
    (void)state;
    expect_no_tls(EVP_RSA_gen(2048));
    expect_no_tls(EVP_EC_gen("P-256"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, enter_folder, leave_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_the_files_have_their_modes_whatever_the_umask),
        TEST(test_what_was_made_is_used_again),
        TEST(test_two_certificates_differ),
        TEST(test_the_fingerprint_is_sha_256_of_the_certificate),
        TEST(test_both_keys_are_on_p_256_and_the_authority_signed),
        TEST(test_it_is_for_servers_only_rfc5280_4_2_1),
        TEST(test_the_serial_number_is_16_positive_bytes_rfc5280_4_1_2_2),
        TEST(test_it_is_valid_for_397_days_since_yesterday),
        TEST(test_it_names_this_host),
        TEST(test_it_names_the_private_addresses_and_no_others),
        TEST(test_it_names_server_ip_once),
        TEST(test_it_names_nothing_that_is_somebody_elses),
        TEST(test_it_names_no_wildcard_and_nothing_that_is_no_name),
        TEST(test_a_name_of_253_bytes_and_one_more),
        TEST(test_the_authority_can_sign_servers_only_rfc5280_4_2_1),
        TEST(test_the_authority_lasts_for_ten_years),
        TEST(test_a_strict_verifier_takes_what_was_made),
        TEST(test_it_cannot_vouch_for_anybody_else),
        TEST(test_what_to_trust_is_told),
        TEST(test_the_chain_is_in_the_file),
        TEST(test_another_address_needs_another_certificate),
        TEST(test_a_name_that_is_missing_needs_another_certificate),
        TEST(test_30_days_before_its_end_there_is_another),
        TEST(test_an_authority_that_is_there_is_used_again),
        TEST(test_a_draft_that_was_left_behind_is_in_nobodys_way),
        TEST(test_what_a_user_gave_is_never_written_to),
        TEST(test_looking_changes_nothing),
        TEST(test_without_the_authoritys_key_the_old_one_is_used),
        TEST(test_half_an_authority_makes_nothing),
        TEST(test_an_authority_that_others_can_use_makes_nothing),
        TEST(test_an_authority_that_is_no_certificate),
        TEST(test_a_key_that_cannot_be_written),
        TEST(test_nothing_is_left_of_what_cannot_be_made),
        TEST(test_nothing_is_written_through_a_link_to_nowhere),
        TEST(test_a_full_disk_leaves_no_file),
        TEST(test_a_certificate_without_its_key),
        TEST(test_a_key_without_its_certificate),
        TEST(test_a_pair_that_was_brought),
        TEST(test_links_are_followed),
        TEST(test_a_certificate_that_is_none),
        TEST(test_a_key_that_is_none),
        TEST(test_the_two_exchanged),
        TEST(test_a_key_with_a_passphrase_is_not_asked_for_it),
        TEST(test_folders_and_pipes),
        TEST(test_files_that_cannot_be_read),
        TEST(test_every_mode_that_lets_others_in),
        TEST(test_a_group_may_read_the_key_of_root_only),
        TEST(test_a_certificate_that_has_expired),
        TEST(test_a_certificate_that_is_not_valid_yet),
        TEST(test_a_key_of_another_certificate),
        TEST(test_tls_takes_no_key_of_another_certificate),
    };
    return cmocka_run_group_tests_name("cert", tests, NULL, NULL);
}
