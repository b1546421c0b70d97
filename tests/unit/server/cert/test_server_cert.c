/* SPDX-License-Identifier: MIT
 *
 * test_server_cert.c - what is made, its names, the authority.
 */
#include "server/cert/server_cert.h"

#include "cert_folder.h"

/* ---- What is made ---- */

static void test_the_files_have_their_modes_whatever_the_umask(void **state)
{
    (void)state;
    mode_t mask = umask(0);
    prepare();
    umask(mask);
    assert_int_equal(found.state, SERVER_CERT_MADE);
    assert_int_equal(mode_of("a.key"), 0600);
    assert_int_equal(mode_of("a.crt"), 0644);
    assert_int_equal(mode_of(CA_KEY), 0600);
    assert_int_equal(mode_of(CA_CERT), 0644);
}

static void test_what_was_made_is_used_again(void **state)
{
    char first[FINGERPRINT_MAX];
    (void)state;
    prepare();
    assert_int_equal(found.state, SERVER_CERT_MADE);
    strcpy(first, found.fingerprint);
    prepare();
    assert_int_equal(found.state, SERVER_CERT_FOUND);
    assert_string_equal(found.fingerprint, first);
}

static void test_two_certificates_differ(void **state)
{
    char first[FINGERPRINT_MAX];
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
    char expected[FINGERPRINT_MAX + 1]; /* one colon too many at first */
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

/* ---- Which names it has (RFC 5280 §4.2.1.6) ---- */

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
    assert_int_equal(X509_check_host(cert, local, 0, 0, NULL), 1);
    assert_int_equal(X509_check_host(cert, host, 0, 0, NULL), strchr(host, '.') != NULL);
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

/* ---- The authority ---- */

static int count_keys_of(const char *path, EVP_PKEY *unwanted)
{
    int count = 0;
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    for (EVP_PKEY *key; (key = PEM_read_PrivateKey(file, NULL, NULL, NULL)); count++) {
        assert_int_not_equal(EVP_PKEY_eq(key, unwanted), 1);
        EVP_PKEY_free(key);
    }
    fclose(file);
    ERR_clear_error();
    return count;
}

static void test_no_file_holds_the_roots_key(void **state)
{
    int keys = 0, files = 0;
    (void)state;
    prepare();
    X509 *root = read_certificate(CA_CERT);
    DIR *dir = opendir(".");
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir));)
        if (entry->d_name[0] != '.') {
            keys += count_keys_of(entry->d_name, X509_get0_pubkey(root));
            files++;
        }
    closedir(dir);
    X509_free(root);
    assert_int_equal(keys, 2);
    assert_int_equal(files, 5); /* the fifth is config.json */
}

static void test_a_strict_verifier_takes_what_was_made(void **state)
{
    (void)state;
    prepare();
    X509 *cert = read_made();
    assert_int_equal(verify(cert), X509_V_OK);
    X509_free(cert);
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
    assert_int_equal(ASN1_TIME_cmp_time_t(X509_get0_notAfter(ca), (time_t)found.local_ca_end), 0);
    assert_true(found.end > time(NULL) + 395L * DAY && found.end < time(NULL) + 397L * DAY);
    X509_free(ca);
    X509_free(same);
}

static void test_the_file_holds_the_chain_below_the_root(void **state)
{
    (void)state;
    prepare();
    X509 *second = certificate_at("a.crt", 1), *signer = read_certificate(CA_KEY);
    assert_non_null(second);
    assert_int_equal(X509_cmp(second, signer), 0);
    assert_null(certificate_at("a.crt", 2));
    X509_free(signer);
    X509_free(second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_the_files_have_their_modes_whatever_the_umask),
        TEST(test_what_was_made_is_used_again),
        TEST(test_two_certificates_differ),
        TEST(test_the_fingerprint_is_sha_256_of_the_certificate),
        TEST(test_it_is_for_servers_only_rfc5280_4_2_1),
        TEST(test_the_serial_number_is_16_positive_bytes_rfc5280_4_1_2_2),
        TEST(test_it_is_valid_for_397_days_since_yesterday),
        TEST(test_it_names_this_host),
        TEST(test_it_names_the_private_addresses_and_no_others),
        TEST(test_it_names_server_ip_once),
        TEST(test_it_names_nothing_that_is_somebody_elses),
        TEST(test_it_names_no_wildcard_and_nothing_that_is_no_name),
        TEST(test_a_name_of_253_bytes_and_one_more),
        TEST(test_no_file_holds_the_roots_key),
        TEST(test_a_strict_verifier_takes_what_was_made),
        TEST(test_what_to_trust_is_told),
        TEST(test_the_file_holds_the_chain_below_the_root),
    };
    return cmocka_run_group_tests_name("cert", tests, NULL, NULL);
}
