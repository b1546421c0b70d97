/* SPDX-License-Identifier: MIT
 *
 * test_server_cert_renewal.c - issued again, the end of the authority, a wrong clock.
 */
#include "server/cert/server_cert.h"

#include "cert_folder.h"

/* ---- Certificates that a user could bring ---- */

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

/* ---- The authority ---- */

static void add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    assert_non_null(extension);
    assert_int_equal(X509_add_ext(cert, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

/* Signs a certificate for `names` with the authority's key. Valid from a minute ago for
 * `seconds`. */
static X509 *forge(const char *names, EVP_PKEY *key, long seconds)
{
    X509 *ca = read_certificate(CA_KEY), *cert = X509_new();
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

/* ---- Issued again, and trusted still ---- */

/* Puts a certificate for the present key, signed by the authority, in the place of the one made. */
static void replace_made(const char *names, long seconds)
{
    EVP_PKEY *key = read_made_key();
    X509 *cert = forge(names, key, seconds), *signer = read_certificate(CA_KEY);
    write_chain("a.crt", cert, signer);
    X509_free(signer);
    X509_free(cert);
    EVP_PKEY_free(key);
}

/* The next start has to issue it again: same key, same authority, another serial number. */
static void expect_renewal(void)
{
    char ca_fingerprint[FINGERPRINT_MAX];
    strcpy(ca_fingerprint, found.ca_fingerprint);
    X509 *before = read_made();
    prepare();
    assert_int_equal(found.state, SERVER_CERT_RENEWED);
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
    assert_int_equal(found.state, SERVER_CERT_FOUND);
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
    assert_int_equal(found.state, SERVER_CERT_FOUND);
    replace_made(names, 30L * DAY - 60);
    expect_renewal();
    replace_made(names, -30);
    expect_renewal();
}

static void test_an_authority_that_is_there_is_used_again(void **state)
{
    char ca_fingerprint[FINGERPRINT_MAX];
    (void)state;
    prepare();
    strcpy(ca_fingerprint, found.ca_fingerprint);
    assert_int_equal(unlink("a.crt") | unlink("a.key"), 0);
    prepare();
    assert_int_equal(found.state, SERVER_CERT_MADE);
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
    assert_int_equal(found.state, SERVER_CERT_FOUND);
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
    server_cert_free(&found);
    assert_int_equal(server_cert_check(&config, &found, error), 0);
    assert_int_equal(found.state, SERVER_CERT_FOUND);
    assert_int_equal(strlen(found.ca_fingerprint), 95);
    expect_renewal();
    assert_int_equal(unlink("a.crt") | unlink("a.key"), 0);
    server_cert_free(&found);
    assert_int_equal(server_cert_check(&config, &found, error), -1);
    assert_string_equal(error, AT_CERT "a.crt cannot be read: No such file or directory");
    assert_false(exists("a.key"));
}

/* What cannot be issued again is used while it is valid. */
static void expect_the_old_one(void)
{
    char fingerprint[FINGERPRINT_MAX];
    server_cert_free(&found);
    assert_int_equal(server_cert_check(&config, &found, error), 0);
    strcpy(fingerprint, found.fingerprint);
    prepare();
    assert_int_equal(found.state, SERVER_CERT_FOUND);
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
    X509 *signer = certificate_at("a.crt", 1);
    assert_int_equal(unlink(CA_KEY), 0);
    expect_the_old_one();
    write_chain(CA_KEY, signer, NULL); /* the key is kept elsewhere, or another file of that name */
    assert_int_equal(chmod(CA_KEY, 0600), 0);
    expect_the_old_one();
    X509_free(signer);
}

/* A certificate that ended because the authority's key is kept elsewhere. */
static void test_without_the_authoritys_key_an_old_one_asks_for_it(void **state)
{
    (void)state;
    prepare();
    assert_int_equal(rename(CA_KEY, "stick"), 0);
    clock_ahead = 397L * DAY;
    server_cert_free(&found);
    assert_int_equal(server_cert_prepare(&config, &found, error), -1);
    assert_non_null(strstr(error, "in a.crt, got one that has expired"));
    assert_non_null(
        strstr(error, "; put ragnarok-ca.pem back, and the next start issues another)"));
    assert_int_equal(rename("stick", CA_KEY), 0);
    prepare();
    assert_int_equal(found.state, SERVER_CERT_RENEWED);
}

static void test_half_an_authority_makes_nothing(void **state)
{
    (void)state;
    prepare();
    assert_int_equal(unlink("a.crt") | unlink("a.key") | unlink(CA_KEY), 0);
    expect_complaint(AT_CERT "expected both ragnarok-ca.pem and ragnarok-ca.crt, or neither to "
                             "have them made, got only ragnarok-ca.crt");
    assert_false(exists("a.key"));
}

static void test_an_authority_that_others_can_use_makes_nothing(void **state)
{
    (void)state;
    prepare();
    assert_int_equal(unlink("a.crt") | unlink("a.key") | chmod(CA_KEY, 0644), 0);
    expect_complaint(AT_CERT "expected mode 0600 on ragnarok-ca.pem, or 0640 if root owns it, got "
                             "0644, which lets others in");
}

static void test_an_authority_that_is_no_certificate(void **state)
{
    (void)state;
    prepare();
    write_text(CA_CERT, "hello\n");
    expect_complaint(AT_CERT "expected a certificate in PEM form in ragnarok-ca.crt, got none");
}

static void test_an_authority_whose_halves_do_not_fit_makes_nothing(void **state)
{
    (void)state;
    prepare();
    assert_int_equal(unlink("a.crt") | unlink("a.key") | rename(CA_CERT, "b.crt"), 0);
    assert_int_equal(rename(CA_KEY, "b.pem"), 0);
    prepare();
    assert_int_equal(unlink("a.crt") | unlink("a.key") | rename("b.crt", CA_CERT), 0);
    expect_complaint(NO_SIGNER);
    assert_false(exists("a.key"));
}

/* ---- The end of the authority ---- */

static void expect_no_warning(void)
{
    prepare();
    assert_string_equal(found.warning, "");
}

static void test_90_days_before_its_end_each_start_warns(void **state)
{
    char warning[SERVER_CERT_WARNING_MAX], date[64];
    (void)state;
    prepare();
    time_t end = (time_t)found.local_ca_end;
    strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S UTC", gmtime(&end));
    snprintf(warning, sizeof(warning),
             "the authority in ragnarok-ca.crt ends on %s, and this server then does not "
             "start; " ADVICE,
             date);
    clock_ahead = end - WARN_DAYS * DAY - time(NULL) - 30;
    expect_no_warning();
    clock_ahead += 60;
    expect_warning(warning);
    expect_warning(warning);
    clock_ahead += WARN_DAYS * DAY - 120;
    expect_warning(warning);
    assert_int_equal(found.end, end);
}

static void test_after_its_end_it_is_said_how_to_make_another(void **state)
{
    char complaint[CONFIG_ERROR_MAX], from[64], until[64];
    (void)state;
    prepare();
    time_t end = (time_t)found.local_ca_end, begin = end - CA_DAYS * (time_t)DAY;
    clock_ahead = end - time(NULL) - 60;
    prepare();
    strftime(from, sizeof(from), "%Y-%m-%d %H:%M:%S UTC", gmtime(&begin));
    strftime(until, sizeof(until), "%Y-%m-%d %H:%M:%S UTC", gmtime(&end));
    clock_ahead += 120;
    snprintf(complaint, sizeof(complaint),
             AT_CERT "expected a certificate that is valid now in ragnarok-ca.crt, got one that "
                     "has expired (valid from %s to %s; " ADVICE ")",
             from, until);
    expect_complaint(complaint);
    assert_int_equal(unlink("a.crt") | unlink("a.key"), 0);
    snprintf(complaint, sizeof(complaint),
             AT_CERT "expected a certificate that is valid now in ragnarok-ca.crt, got one that "
                     "has expired (valid from %s to %s; " ADVICE_ALONE ")",
             from, until);
    expect_complaint(complaint);
    assert_false(exists("a.key"));
}

static void test_what_is_moved_away_is_made_again(void **state)
{
    char ca_fingerprint[FINGERPRINT_MAX];
    (void)state;
    prepare();
    strcpy(ca_fingerprint, found.ca_fingerprint);
    clock_ahead = 4000L * DAY;
    assert_int_equal(unlink("a.crt") | unlink("a.key") | unlink(CA_CERT) | unlink(CA_KEY), 0);
    expect_no_warning();
    assert_int_equal(found.state, SERVER_CERT_MADE);
    assert_string_not_equal(found.ca_fingerprint, ca_fingerprint);
}

/* ---- A wrong clock ---- */

/* Makes everything on a day at `seconds` from today, and comes back to today. */
static void make_at(long seconds)
{
    clock_ahead = seconds;
    prepare();
    assert_int_equal(found.state, SERVER_CERT_MADE);
    clock_ahead = 0;
}

static void expect_all_new(const char *ca_fingerprint)
{
    assert_string_not_equal(found.ca_fingerprint, ca_fingerprint);
    assert_string_not_equal(found.ca_fingerprint, "");
    assert_true(exists(CA_CERT ".misdated") && exists(CA_KEY ".misdated"));
    assert_int_equal(mode_of(CA_KEY), 0600);
    assert_int_equal(mode_of(CA_KEY ".misdated"), 0600);
    prepare();
    assert_int_equal(found.state, SERVER_CERT_FOUND);
}

/* A board without a clock that works: its first start was in the past or in the future. */
static void test_what_a_wrong_clock_dated_is_issued_again(void **state)
{
    static const long starts[] = {1500L * DAY, -20000L * DAY, -4500L * DAY};
    char ca_fingerprint[FINGERPRINT_MAX];
    (void)state;
    for (size_t i = 0; i < COUNT(starts); i++) {
        make_at(starts[i]);
        strcpy(ca_fingerprint, found.ca_fingerprint);
        prepare();
        assert_int_equal(found.state, SERVER_CERT_RENEWED);
        expect_all_new(ca_fingerprint);
        assert_int_equal(unlink("a.crt") | unlink("a.key") | unlink(CA_CERT) | unlink(CA_KEY), 0);
    }
}

/* The pair is missing, the authority is there. */
static void test_an_authority_that_a_wrong_clock_dated_is_not_used(void **state)
{
    char ca_fingerprint[FINGERPRINT_MAX];
    (void)state;
    make_at(1500L * DAY);
    strcpy(ca_fingerprint, found.ca_fingerprint);
    assert_int_equal(unlink("a.crt") | unlink("a.key"), 0);
    prepare();
    assert_int_equal(found.state, SERVER_CERT_MADE);
    expect_all_new(ca_fingerprint);
}

/* The authority was made in time, and its certificate later, while the clock was wrong. */
static void test_a_certificate_of_ours_that_is_not_valid_yet_is_issued_again(void **state)
{
    char ca_fingerprint[FINGERPRINT_MAX];
    (void)state;
    prepare();
    strcpy(ca_fingerprint, found.ca_fingerprint);
    assert_int_equal(unlink("a.crt") | unlink("a.key"), 0);
    make_at(900L * DAY);
    prepare();
    assert_int_equal(found.state, SERVER_CERT_RENEWED);
    assert_string_equal(found.ca_fingerprint, ca_fingerprint);
    assert_false(exists(CA_CERT ".misdated"));
}

/* A clock that is wrong now must not cost the authority that people have installed. */
static void test_a_clock_from_before_the_first_release_replaces_nothing(void **state)
{
    char ca_fingerprint[FINGERPRINT_MAX];
    (void)state;
    prepare();
    strcpy(ca_fingerprint, found.ca_fingerprint);
    clock_ahead = -20000L * DAY;
    server_cert_free(&found);
    assert_int_equal(server_cert_prepare(&config, &found, error), -1);
    assert_non_null(strstr(error, "in ragnarok-ca.crt, got one that is not valid yet"));
    assert_non_null(strstr(error, "; or is the clock of this machine wrong?)"));
    assert_false(exists(CA_CERT ".misdated"));
    clock_ahead = 0;
    prepare();
    assert_string_equal(found.ca_fingerprint, ca_fingerprint);
}

/* Without the key of the authority nothing can be issued, so nothing is set aside. */
static void test_a_misdated_authority_without_its_key_stays(void **state)
{
    (void)state;
    make_at(1500L * DAY);
    assert_int_equal(unlink(CA_KEY), 0);
    server_cert_free(&found);
    assert_int_equal(server_cert_prepare(&config, &found, error), -1);
    assert_non_null(strstr(error, "is not valid yet"));
    assert_true(exists(CA_CERT) && !exists(CA_CERT ".misdated"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_another_address_needs_another_certificate),
        TEST(test_a_name_that_is_missing_needs_another_certificate),
        TEST(test_30_days_before_its_end_there_is_another),
        TEST(test_an_authority_that_is_there_is_used_again),
        TEST(test_a_draft_that_was_left_behind_is_in_nobodys_way),
        TEST(test_what_a_user_gave_is_never_written_to),
        TEST(test_looking_changes_nothing),
        TEST(test_without_the_authoritys_key_the_old_one_is_used),
        TEST(test_without_the_authoritys_key_an_old_one_asks_for_it),
        TEST(test_half_an_authority_makes_nothing),
        TEST(test_an_authority_that_others_can_use_makes_nothing),
        TEST(test_an_authority_that_is_no_certificate),
        TEST(test_an_authority_whose_halves_do_not_fit_makes_nothing),
        TEST(test_90_days_before_its_end_each_start_warns),
        TEST(test_after_its_end_it_is_said_how_to_make_another),
        TEST(test_what_is_moved_away_is_made_again),
        TEST(test_what_a_wrong_clock_dated_is_issued_again),
        TEST(test_an_authority_that_a_wrong_clock_dated_is_not_used),
        TEST(test_a_certificate_of_ours_that_is_not_valid_yet_is_issued_again),
        TEST(test_a_clock_from_before_the_first_release_replaces_nothing),
        TEST(test_a_misdated_authority_without_its_key_stays),
    };
    return cmocka_run_group_tests_name("cert", tests, NULL, NULL);
}
