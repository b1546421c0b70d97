/* SPDX-License-Identifier: MIT
 *
 * test_local_ca_host.c - the name of the host, and time.
 */
#undef _FORTIFY_SOURCE /* its gethostname() is an inline function */
#include "server/cert/local_ca.h"

#include "ca_host.h"

/* ---- The name of the host ---- */

static bool has_limit(X509 *cert, const char *domain)
{
    NAME_CONSTRAINTS *limits = X509_get_ext_d2i(cert, NID_name_constraints, NULL, NULL);
    bool has = false;
    assert_non_null(limits);
    for (int i = 0; i < sk_GENERAL_SUBTREE_num(limits->permittedSubtrees); i++) {
        const GENERAL_NAME *base = sk_GENERAL_SUBTREE_value(limits->permittedSubtrees, i)->base;
        has = has || (base->type == GEN_DNS &&
                      strcmp((const char *)ASN1_STRING_get0_data(base->d.dNSName), domain) == 0);
    }
    NAME_CONSTRAINTS_free(limits);
    return has;
}

/* Whether the authority that a host of this name makes holds for it, and the host is told if
 * not. */
static void expect_host(const char *host, bool held, bool told)
{
    char left_out[LOCAL_CA_HOST_MAX];
    make_on(host);
    X509 *cert = issue("127.0.0.1");
    assert_int_equal(names(cert, host), held);
    assert_int_equal(verify(cert), X509_V_OK);
    assert_null(local_ca_flaw(&ca));
    assert_int_equal(local_ca_host_left_out(left_out), told);
    assert_true(!told || strcmp(left_out, host) == 0);
    assert_false(!held && (has_limit(ca.root, host) || has_limit(ca.cert, host)));
    X509_free(cert);
}

static void expect_local_name(const char *host, const char *local)
{
    make_on(host);
    X509 *cert = issue(host);
    assert_true(names(cert, local));
    assert_false(names(cert, host));
    X509_free(cert);
}

/* A limit covers all that is below it, and these are domains of the internet, or may be. */
static void test_a_host_called_like_a_top_level_domain_is_no_limit(void **state)
{
    static const char *const hosts[] = {"dev", "chat",     "box", "COM",
                                        "lan", "internal", "a",   "test"};
    (void)state;
    for (size_t i = 0; i < COUNT(hosts); i++)
        expect_host(hosts[i], false, false);
    expect_local_name("dev", "dev.local");
    assert_int_equal(verify_forged("DNS:www.bank.dev"), X509_V_ERR_PERMITTED_VIOLATION);
    assert_int_equal(verify_forged("DNS:dev"), X509_V_ERR_PERMITTED_VIOLATION);
}

static void test_a_host_with_a_private_name_is_held_to_that_name(void **state)
{
    static const char *const hosts[] = {"a.b.home.arpa", "box.internal", "box.local",
                                        "box.TEST",      "x.localhost",  "box.lan"};
    (void)state;
    for (size_t i = 0; i < COUNT(hosts); i++)
        expect_host(hosts[i], true, false);
    assert_int_equal(verify_forged("DNS:box.lan"), X509_V_OK);
    assert_int_equal(verify_forged("DNS:router.lan"), X509_V_ERR_PERMITTED_VIOLATION);
}

static void test_a_host_with_a_public_name_is_left_out_and_told(void **state)
{
    static const char *const hosts[] = {"pc.fritz.box", "box.home", "box.corp", "box.onion",
                                        "home.arpa",    "x.notlan", "box.lan.", "chat.example.org"};
    (void)state;
    for (size_t i = 0; i < COUNT(hosts); i++)
        expect_host(hosts[i], false, true);
    expect_local_name("chat.example.org", "chat.local");
    assert_int_equal(verify_forged("DNS:chat.example.org"), X509_V_ERR_PERMITTED_VIOLATION);
}

static void test_a_host_with_a_name_that_is_none(void **state)
{
    static const char *const hosts[] = {"", ".lan", "a b", "x,permitted;DNS:com", "10.0.0.7"};
    (void)state;
    for (size_t i = 0; i < COUNT(hosts); i++)
        expect_host(hosts[i], false, false);
}

/* rustls-webpki 0.100 holds the common name for a DNS name, so it has to be one that the authority
 * may sign for; older ones refuse a certificate that has none. */
static void test_the_common_name_is_one_of_the_names(void **state)
{
    char name[65];
    (void)state;
    X509 *cert = issue("127.0.0.1");
    X509_NAME *subject = X509_get_subject_name(cert);
    assert_true(X509_NAME_get_text_by_NID(subject, NID_commonName, name, sizeof(name)) > 0);
    assert_true(names(cert, name));
    X509_free(cert);
}

/* ---- Time ---- */

static void test_no_certificate_outlives_the_authority(void **state)
{
    (void)state;
    clock_ahead = (CA_DAYS - SERVER_DAYS - 1) * (time_t)DAY;
    time_t before = time(NULL) + (SERVER_DAYS - 1) * (time_t)DAY;
    X509 *cert = issue("127.0.0.1");
    time_t after = time(NULL) + (SERVER_DAYS - 1) * (time_t)DAY;
    assert_true(ASN1_TIME_cmp_time_t(X509_get0_notAfter(cert), before) >= 0);
    assert_true(ASN1_TIME_cmp_time_t(X509_get0_notAfter(cert), after) <= 0);
    X509_free(cert);
    clock_ahead += 100 * (time_t)DAY;
    cert = issue("127.0.0.1");
    assert_int_equal(ASN1_TIME_compare(X509_get0_notAfter(cert), local_ca_end(&ca)), 0);
    assert_int_equal(verify(cert), X509_V_OK);
    X509_free(cert);
}

static void test_30_days_before_its_end_a_certificate_is_not_fresh(void **state)
{
    (void)state;
    X509 *cert = issue("127.0.0.1");
    clock_ahead = (SERVER_DAYS - 1 - 30) * (time_t)DAY - 60;
    assert_true(local_ca_is_fresh(&ca, cert, "127.0.0.1"));
    clock_ahead += 120;
    assert_false(local_ca_is_fresh(&ca, cert, "127.0.0.1"));
    X509_free(cert);
}

/* Issued again, it would last no longer. */
static void test_a_certificate_that_ends_with_the_authority_stays_fresh(void **state)
{
    (void)state;
    clock_ahead = (CA_DAYS - 100) * (time_t)DAY;
    X509 *cert = issue("127.0.0.1");
    clock_ahead = (CA_DAYS - 2) * (time_t)DAY;
    assert_true(local_ca_is_fresh(&ca, cert, "127.0.0.1"));
    X509_free(cert);
}

static void test_another_address_makes_it_stale(void **state)
{
    (void)state;
    X509 *cert = issue("127.0.0.1");
    assert_false(local_ca_is_fresh(&ca, cert, "192.168.77.7"));
    pretended_host = "tray";
    assert_false(local_ca_is_fresh(&ca, cert, "127.0.0.1"));
    X509_free(cert);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_host_called_like_a_top_level_domain_is_no_limit),
        TEST(test_a_host_with_a_private_name_is_held_to_that_name),
        TEST(test_a_host_with_a_public_name_is_left_out_and_told),
        TEST(test_a_host_with_a_name_that_is_none),
        TEST(test_the_common_name_is_one_of_the_names),
        TEST(test_no_certificate_outlives_the_authority),
        TEST(test_30_days_before_its_end_a_certificate_is_not_fresh),
        TEST(test_a_certificate_that_ends_with_the_authority_stays_fresh),
        TEST(test_another_address_makes_it_stale),
    };
    return cmocka_run_group_tests_name("ca", tests, NULL, NULL);
}
