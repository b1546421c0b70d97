/* SPDX-License-Identifier: MIT
 *
 * test_local_ca.c - the two layers, the root's key, what a thief of the key can sign, flaws.
 */
#undef _FORTIFY_SOURCE /* its gethostname() is an inline function */
#include "server/cert/local_ca.h"

#include "ca_host.h"

/* ---- The two layers ---- */

static void expect_p256(EVP_PKEY *key)
{
    char group[32];
    assert_int_equal(EVP_PKEY_get_group_name(key, group, sizeof(group), NULL), 1);
    assert_string_equal(group, "prime256v1");
}

static void expect_signed(X509 *cert, X509 *issuer)
{
    assert_int_equal(X509_get_version(cert), X509_VERSION_3);
    assert_int_equal(X509_verify(cert, X509_get0_pubkey(issuer)), 1);
    assert_int_equal(X509_NAME_cmp(X509_get_subject_name(issuer), X509_get_issuer_name(cert)), 0);
}

static void test_all_keys_are_on_p_256_and_each_layer_signed_the_next(void **state)
{
    (void)state;
    X509 *cert = issue("127.0.0.1");
    expect_p256(X509_get0_pubkey(ca.root));
    expect_p256(ca.key);
    assert_int_equal(X509_check_private_key(ca.cert, ca.key), 1);
    assert_int_equal(X509_check_private_key(cert, server_key), 1);
    expect_signed(ca.root, ca.root);
    expect_signed(ca.cert, ca.root);
    expect_signed(cert, ca.cert);
    assert_int_not_equal(
        X509_NAME_cmp(X509_get_subject_name(ca.root), X509_get_subject_name(ca.cert)), 0);
    assert_true(local_ca_is_whole(&ca) && local_ca_issued(&ca, cert) &&
                !local_ca_issued(&ca, ca.root));
    X509_free(cert);
}

static void expect_layer(X509 *cert, long pathlen)
{
    static const int critical[] = {NID_basic_constraints, NID_key_usage, NID_name_constraints};
    assert_int_equal(X509_check_ca(cert), 1);
    assert_int_equal(X509_get_pathlen(cert), pathlen);
    assert_int_equal(X509_get_key_usage(cert), KU_KEY_CERT_SIGN);
    assert_int_equal(X509_get_extended_key_usage(cert), XKU_SSL_SERVER);
    for (size_t i = 0; i < COUNT(critical); i++) {
        int at = X509_get_ext_by_NID(cert, critical[i], -1);
        assert_int_equal(X509_EXTENSION_get_critical(X509_get_ext(cert, at)), 1);
    }
}

static void test_both_layers_can_sign_servers_only_rfc5280_4_2_1(void **state)
{
    (void)state;
    expect_layer(ca.root, 1);
    expect_layer(ca.cert, 0);
}

static const ASN1_OCTET_STRING *limits_of(X509 *cert)
{
    int at = X509_get_ext_by_NID(cert, NID_name_constraints, -1);
    return X509_EXTENSION_get_data(X509_get_ext(cert, at));
}

/* Those of a trust anchor bind nobody: the ones below it have to be as narrow. */
static void test_both_layers_have_the_same_limits_rfc5280_6_1_1(void **state)
{
    (void)state;
    assert_int_equal(ASN1_OCTET_STRING_cmp(limits_of(ca.root), limits_of(ca.cert)), 0);
}

static void test_both_layers_last_for_ten_years(void **state)
{
    int days, seconds;
    (void)state;
    const ASN1_TIME *from = X509_get0_notBefore(ca.root), *until = X509_get0_notAfter(ca.root);
    assert_int_equal(ASN1_TIME_diff(&days, &seconds, from, until), 1);
    assert_int_equal(days, CA_DAYS);
    assert_int_equal(ASN1_TIME_compare(X509_get0_notBefore(ca.cert), from), 0);
    assert_int_equal(ASN1_TIME_compare(X509_get0_notAfter(ca.cert), until), 0);
}

/* A longer one would not fit into a common name (RFC 5280 appendix A.1). */
static void test_an_authority_of_a_host_with_a_long_name(void **state)
{
    char host[LOCAL_CA_HOST_MAX] = "";
    (void)state;
    memset(host, 'a', sizeof(host) - 1);
    memcpy(host + sizeof(host) - 7, ".local", 6);
    make_on(host);
    X509 *cert = issue("127.0.0.1");
    assert_int_equal(verify(cert), X509_V_OK);
    assert_true(names(cert, host));
    X509_free(cert);
}

/* ---- The root's key ---- */

/* Whether half of the key begins here, as bytes or as limbs, which are the other way round. */
__attribute__((no_sanitize("address", "thread", "undefined"))) static bool
is_scalar_at(const unsigned char *at)
{
    int forward = 0, backward = 0;
    while (forward < ENOUGH && (at[forward] ^ MASK) == masked[forward])
        forward++;
    while (backward < ENOUGH && (at[backward] ^ MASK) == masked[SCALAR - 1 - backward])
        backward++;
    return forward == ENOUGH || backward == ENOUGH;
}

__attribute__((no_sanitize("address", "thread", "undefined"))) static int
count_between(const unsigned char *from, const unsigned char *until)
{
    int count = 0;
    for (; until - from >= ENOUGH; from++)
        count += is_scalar_at(from);
    return count;
}

/* How often the root's key stands in what this process can write to. The shadow of a sanitizer,
 * which holds no data, is too large to look at. */
static int count_in_memory(void)
{
    char line[512], mode[8];
    uintptr_t from, until;
    int count = 0;
    FILE *maps = fopen("/proc/self/maps", "r");
    assert_non_null(maps);
    while (fgets(line, sizeof(line), maps))
        if (sscanf(line, "%lx-%lx %7s", &from, &until, mode) == 3 && strncmp(mode, "rw", 2) == 0 &&
            until - from < HUGE_REGION)
            count += count_between((const unsigned char *)from, (const unsigned char *)until);
    fclose(maps);
    return count;
}

static void test_the_roots_key_is_nowhere_in_memory_after_it_has_signed(void **state)
{
    (void)state;
    memset(masked, 0, sizeof(masked));
    make_on("box");
    assert_int_not_equal(masked[0] | masked[1] | masked[2] | masked[3], 0);
    assert_int_equal(count_in_memory(), 0);
    unsigned char *again = malloc(SCALAR); /* it would be found */
    assert_non_null(again);
    for (int i = 0; i < SCALAR; i++)
        again[i] = masked[i] ^ MASK;
    assert_int_equal(count_in_memory(), 1);
    free(again);
}

static void test_the_key_that_is_kept_is_not_the_roots(void **state)
{
    (void)state;
    assert_int_not_equal(EVP_PKEY_eq(ca.key, X509_get0_pubkey(ca.root)), 1);
}

/* ---- What a thief of the key can sign (RFC 5280 §4.2.1.10) ---- */

static void test_a_strict_verifier_takes_what_was_issued(void **state)
{
    (void)state;
    X509 *cert = issue("127.0.0.1");
    assert_int_equal(verify(cert), X509_V_OK);
    X509_free(cert);
}

static void test_it_cannot_vouch_for_anybody_else(void **state)
{
    static const char *const others[] = {
        "DNS:example.org", "DNS:notlocal",           "DNS:localhost,DNS:example.org",
        "IP:8.8.8.8",      "IP:172.32.0.1",          "IP:100.128.0.1",
        "IP:2001:db8::1",  "IP:127.0.0.1,IP:1.1.1.1"};
    (void)state;
    assert_int_equal(verify_forged("DNS:localhost,DNS:a.b.local,IP:10.0.0.1"), X509_V_OK);
    for (size_t i = 0; i < COUNT(others); i++)
        assert_int_equal(verify_forged(others[i]), X509_V_ERR_PERMITTED_VIOLATION);
}

static void test_it_cannot_make_another_authority(void **state)
{
    (void)state;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *sub = new_certificate("sub", ca.cert, key);
    add_extension(sub, ca.cert, NID_basic_constraints, "critical,CA:TRUE");
    add_extension(sub, ca.cert, NID_key_usage, "critical,keyCertSign");
    add_extension(sub, ca.cert, NID_subject_key_identifier, "hash");
    add_extension(sub, ca.cert, NID_authority_key_identifier, "keyid:always");
    assert_true(X509_sign(sub, ca.key, EVP_sha256()) > 0);
    X509 *cert = forge("DNS:localhost", sub, key);
    assert_int_equal(verify_below(cert, sub), X509_V_ERR_PATH_LENGTH_EXCEEDED);
    X509_free(cert);
    X509_free(sub);
    EVP_PKEY_free(key);
}

/* ---- Flaws ---- */

/* An authority whose intermediate has these limits (NULL: none). */
static const char *flaw_with(const char *limits)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *root = new_certificate("root", NULL, key);
    assert_true(X509_sign(root, key, EVP_sha256()) > 0);
    X509 *cert = new_certificate("signer", root, key);
    if (limits)
        add_extension(cert, root, NID_name_constraints, limits);
    assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
    struct local_ca flawed = {.root = root, .cert = cert, .key = key};
    assert_true(local_ca_is_whole(&flawed));
    const char *flaw = local_ca_flaw(&flawed);
    local_ca_free(&flawed);
    return flaw;
}

static void test_limits_that_are_wide_are_a_flaw(void **state)
{
#define TOP    "it can certify every site of a top-level domain"
#define ANY    "it can certify every site of the internet"
#define ALL_IP "permitted;IP:10.0.0.0/255.0.0.0"
    (void)state;
    assert_null(flaw_with("critical,permitted;DNS:localhost,permitted;DNS:LOCAL," ALL_IP));
    assert_null(flaw_with("critical,permitted;DNS:box.lan," ALL_IP));
    assert_string_equal(flaw_with("critical,permitted;DNS:box," ALL_IP), TOP);
    assert_string_equal(flaw_with("critical,permitted;DNS:local,permitted;DNS:dev," ALL_IP), TOP);
    assert_string_equal(flaw_with("critical," ALL_IP), ANY);
    assert_string_equal(flaw_with("critical,permitted;DNS:local"), ANY);
    assert_string_equal(flaw_with("permitted;DNS:local," ALL_IP), ANY);
    assert_string_equal(flaw_with(NULL), ANY);
}

static void test_a_root_that_signs_for_itself_is_a_flaw(void **state)
{
    (void)state;
    struct local_ca single = {.root = ca.root, .cert = ca.root, .key = NULL};
    assert_string_equal(local_ca_flaw(&single),
                        "the key of the certificate that people install still exists, and Java "
                        "would let it certify every site of the internet");
}

static void test_what_does_not_belong_together_is_not_whole(void **state)
{
    struct local_ca other;
    (void)state;
    assert_true(local_ca_make(&other));
    assert_false(local_ca_is_whole(&(struct local_ca){.root = ca.root, .cert = other.cert}));
    assert_false(
        local_ca_is_whole(&(struct local_ca){.root = ca.root, .cert = ca.cert, .key = other.key}));
    assert_true(local_ca_is_whole(&(struct local_ca){.root = ca.root, .cert = ca.cert}));
    local_ca_free(&other);
    ERR_clear_error(); /* of the signature that does not fit */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_all_keys_are_on_p_256_and_each_layer_signed_the_next),
        TEST(test_both_layers_can_sign_servers_only_rfc5280_4_2_1),
        TEST(test_both_layers_have_the_same_limits_rfc5280_6_1_1),
        TEST(test_both_layers_last_for_ten_years),
        TEST(test_an_authority_of_a_host_with_a_long_name),
        TEST(test_the_roots_key_is_nowhere_in_memory_after_it_has_signed),
        TEST(test_the_key_that_is_kept_is_not_the_roots),
        TEST(test_a_strict_verifier_takes_what_was_issued),
        TEST(test_it_cannot_vouch_for_anybody_else),
        TEST(test_it_cannot_make_another_authority),
        TEST(test_limits_that_are_wide_are_a_flaw),
        TEST(test_a_root_that_signs_for_itself_is_a_flaw),
        TEST(test_what_does_not_belong_together_is_not_whole),
    };
    return cmocka_run_group_tests_name("ca", tests, NULL, NULL);
}
