/* SPDX-License-Identifier: MIT
 *
 * test_server_cert_flaws.c - an authority with a flaw, what cannot be made, files that hold no
 * certificate or key.
 */
#include "server/cert/server_cert.h"

#include "cert_folder.h"

#define AT_KEY "config.json:3:12: SSL_Key: "

#define SINGLE                                                                                     \
    "the key of the certificate that people install still exists, and Java would let it certify "  \
    "every site of the internet"

/* ---- An authority with a flaw ---- */

/* One of a single layer, whose key is kept, with the certificate of a server that it has issued. */
static void make_single_layer(void)
{
    time_t now = time(NULL);
    EVP_PKEY *ca_key = EVP_EC_gen("P-256"), *key = EVP_EC_gen("P-256");
    X509 *ca = X509_new(), *cert = X509_new();
    assert_true(ca && cert);
    assert_int_equal(X509_NAME_add_entry_by_txt(X509_get_subject_name(ca), "CN", MBSTRING_ASC,
                                                (const unsigned char *)"old", -1, -1, 0),
                     1);
    assert_int_equal(X509_set_issuer_name(ca, X509_get_subject_name(ca)), 1);
    assert_int_equal(X509_set_issuer_name(cert, X509_get_subject_name(ca)), 1);
    sign(ca, ca_key, now - 60, now + DAY);
    assert_int_equal(X509_set_version(cert, X509_VERSION_3), 1);
    assert_int_equal(X509_set_pubkey(cert, key), 1);
    assert_non_null(ASN1_TIME_set(X509_getm_notBefore(cert), now - 60));
    assert_non_null(ASN1_TIME_set(X509_getm_notAfter(cert), now + DAY));
    assert_true(X509_sign(cert, ca_key, EVP_sha256()) > 0);
    write_chain("a.crt", cert, ca);
    write_chain(CA_CERT, ca, NULL);
    write_key("a.key", key, NULL);
    write_key(CA_KEY, ca_key, NULL);
    X509_free(cert);
    X509_free(ca);
    EVP_PKEY_free(key);
    EVP_PKEY_free(ca_key);
}

/* The server runs on, but offers nobody to trust it, and issues nothing. */
static void test_an_authority_with_a_flaw_is_said_to_have_it_and_not_ours(void **state)
{
    (void)state;
    make_single_layer();
    X509 *before = read_made();
    expect_warning("the authority in ragnarok-ca.crt issues nothing any more, because " SINGLE
                   "; " ADVICE);
    X509 *after = read_made();
    assert_int_equal(found.state, SERVER_CERT_FOUND);
    assert_int_equal(X509_cmp(before, after), 0);
    assert_null(found.ca);
    assert_string_equal(found.ca_fingerprint, "");
    assert_int_equal(found.local_ca_end, 0);
    X509_free(before);
    X509_free(after);
}

static void test_an_authority_with_a_flaw_makes_nothing(void **state)
{
    (void)state;
    make_single_layer();
    assert_int_equal(unlink("a.crt") | unlink("a.key"), 0);
    expect_complaint(NO_SIGNER);
    X509 *ca = read_certificate(CA_CERT);
    FILE *file = fopen(CA_KEY, "a"); /* now it has a certificate, its own */
    assert_non_null(file);
    assert_int_equal(PEM_write_X509(file, ca), 1);
    assert_int_equal(fclose(file), 0);
    X509_free(ca);
    expect_complaint(AT_CERT "the authority in ragnarok-ca.crt is not used, because " SINGLE
                             " (" ADVICE_ALONE ")");
    assert_false(exists("a.key"));
}

static void test_after_the_end_of_its_certificate_the_flaw_is_what_counts(void **state)
{
    (void)state;
    make_single_layer();
    clock_ahead = 2 * DAY;
    server_cert_free(&found);
    assert_int_equal(server_cert_prepare(&config, &found, error), -1);
    assert_non_null(strstr(error, "in a.crt, got one that has expired"));
    assert_non_null(strstr(error, "; " ADVICE ")"));
}

/* ---- What cannot be made ---- */

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

static void test_half_an_authority_is_never_left(void **state)
{
    (void)state;
    assert_int_equal(symlink("elsewhere", CA_CERT), 0);
    expect_complaint(AT_CERT "cannot make ragnarok-ca.crt: File exists");
    assert_false(exists(CA_KEY));
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
    server_cert_free(&found);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    int rc = server_cert_prepare(&config, &found, error);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, action);
    assert_int_equal(rc, -1);
    assert_int_equal(found.state, SERVER_CERT_FOUND);
    assert_string_equal(error, complaint);
}

static void test_a_full_disk_leaves_no_file(void **state)
{
    (void)state;
    expect_complaint_within(100, AT_CERT "cannot make ragnarok-ca.pem: File too large");
    assert_false(exists(CA_KEY));
    expect_complaint_within(1500, AT_CERT "cannot make a.crt: File too large");
    assert_false(exists("a.key"));
    assert_false(exists("a.crt"));
    prepare();
    assert_int_equal(found.state, SERVER_CERT_MADE);
}

/* ---- One of the two ---- */

static void test_a_certificate_without_its_key(void **state)
{
    (void)state;
    bring_good_pair();
    assert_int_equal(unlink("a.key"), 0);
    expect_complaint(AT_KEY
                     "expected both a.key and a.crt, or neither to have them made, got only a.crt");
    assert_false(exists("a.key"));
}

static void test_a_key_without_its_certificate(void **state)
{
    (void)state;
    bring_good_pair();
    assert_int_equal(unlink("a.crt"), 0);
    expect_complaint(AT_CERT
                     "expected both a.crt and a.key, or neither to have them made, got only a.key");
    assert_false(exists("a.crt"));
}

/* ---- What is no certificate or no key ---- */

static void test_a_pair_that_was_brought(void **state)
{
    (void)state;
    bring_good_pair();
    prepare();
    assert_int_equal(found.state, SERVER_CERT_FOUND);
    assert_int_equal(strlen(found.fingerprint), 95);
}

static void test_links_are_followed(void **state)
{
    (void)state;
    bring_good_pair();
    assert_int_equal(rename("a.crt", "b.crt") | rename("a.key", "b.key"), 0);
    assert_int_equal(symlink("b.crt", "a.crt") | symlink("b.key", "a.key"), 0);
    prepare();
    assert_int_equal(found.state, SERVER_CERT_FOUND);
    assert_int_equal(chmod("b.key", 0604), 0);
    expect_complaint(
        AT_KEY
        "expected mode 0600 on a.key, or 0640 if root owns it, got 0604, which lets others in");
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
        expect_complaint(AT_CERT "expected a certificate in PEM form in a.crt, got none");
    }
}

static void test_a_key_that_is_none(void **state)
{
    (void)state;
    bring_good_pair();
    write_text("a.key", "-----BEGIN PRIVATE "
                        "KEY-----\nAAAA\n-----END PRIVATE "
                        "KEY-----\n");
    expect_complaint(AT_KEY "expected a private key in PEM form in a.key, got none");
    write_text("a.key", "");
    expect_complaint(AT_KEY "expected a private key in PEM form in a.key, got none");
}

static void test_the_two_exchanged(void **state)
{
    (void)state;
    bring_good_pair();
    load("a.key", "a.crt", "127.0.0.1");
    expect_complaint(AT_CERT "expected a certificate in PEM form in a.key, got none");
}

static void test_a_key_with_a_passphrase_is_not_asked_for_it(void **state)
{
    time_t now = time(NULL);
    (void)state;
    bring_pair(now - 60, now + 60, "geheim");
    expect_complaint(AT_KEY
                     "expected a key without a passphrase in a.key, got one with a passphrase");
}

static void test_folders_and_pipes(void **state)
{
    (void)state;
    bring_good_pair();
    assert_int_equal(unlink("a.crt"), 0);
    assert_int_equal(mkdir("a.crt", 0700), 0);
    expect_complaint(AT_CERT "expected a PEM file, got a folder or device at a.crt");
    assert_int_equal(rmdir("a.crt"), 0);
    bring_good_pair();
    assert_int_equal(unlink("a.key"), 0);
    assert_int_equal(mkfifo("a.key", 0600), 0);
    expect_complaint(AT_KEY "expected a PEM file, got a folder or device at a.key");
}

/* As root, the test becomes someone else for a moment: root may read everything. */
static void expect_complaint_of_other(const char *complaint)
{
    bool root = geteuid() == 0;
    if (root)
        assert_int_equal(seteuid(NOBODY), 0);
    server_cert_free(&found);
    int rc = server_cert_prepare(&config, &found, error);
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

/* ---- Who can read the key ---- */

static void expect_mode_refused(mode_t mode)
{
    char complaint[CONFIG_ERROR_MAX];
    assert_int_equal(chmod("a.key", mode), 0);
    snprintf(complaint, sizeof(complaint),
             AT_KEY
             "expected mode 0600 on a.key, or 0640 if root owns it, got %04o, which lets others in",
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

/* ---- Dates, and belonging together ---- */

static void test_a_certificate_that_has_expired(void **state)
{
    (void)state;
    bring_pair(1577836800, 1609459199, NULL);
    expect_complaint(AT_CERT "expected a certificate that is valid now in a.crt, got one that has "
                             "expired (valid from 2020-01-01 00:00:00 UTC to 2020-12-31 23:59:59 "
                             "UTC; if this server made it, delete both files)");
}

static void test_a_certificate_that_is_not_valid_yet(void **state)
{
    (void)state;
    bring_pair(4070908800, 4102444799, NULL);
    expect_complaint(AT_CERT "expected a certificate that is valid now in a.crt, got one that is "
                             "not valid yet (valid from 2099-01-01 00:00:00 UTC to 2099-12-31 "
                             "23:59:59 UTC; or is the clock of this machine wrong?)");
}

static void expect_no_match(EVP_PKEY *key)
{
    assert_non_null(key);
    bring_good_pair();
    write_key("a.key", key, NULL);
    expect_complaint(AT_KEY
                     "expected the key of the certificate in a.crt, got another one in a.key");
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
    struct tls_context *tls = tls_files_open("a.crt", "a.key", why);
    assert_non_null(tls);
    tls_context_free(tls);
    write_key("a.key", key, NULL);
    assert_null(tls_files_open("a.crt", "a.key", why));
    assert_string_not_equal(why, "");
    EVP_PKEY_free(key);
}

static void test_tls_takes_no_key_of_another_certificate(void **state)
{
    (void)state;
    expect_no_tls(EVP_RSA_gen(2048));
    expect_no_tls(EVP_EC_gen("P-256"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_an_authority_with_a_flaw_is_said_to_have_it_and_not_ours),
        TEST(test_an_authority_with_a_flaw_makes_nothing),
        TEST(test_after_the_end_of_its_certificate_the_flaw_is_what_counts),
        TEST(test_a_key_that_cannot_be_written),
        TEST(test_nothing_is_left_of_what_cannot_be_made),
        TEST(test_half_an_authority_is_never_left),
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
