/* SPDX-License-Identifier: MIT
 *
 * test_keystore_servers.c - servers, and files that cannot be used.
 */
#include "client/keys/keystore.h"

#include "keystore_folder.h"

/* ---- Servers ---- */

static struct fingerprints prints(char certificate, char key)
{
    struct fingerprints prints = {.certificate = "", .key = ""};
    for (int i = 0; i < FINGERPRINT_MAX - 1; i++) {
        prints.certificate[i] = i % 3 == 2 ? ':' : certificate;
        prints.key[i] = i % 3 == 2 ? ':' : key;
    }
    return prints;
}

static const enum keystore_voucher nobody = KEYSTORE_VOUCHED_NOT,
                                   by_system = KEYSTORE_VOUCHED_SYSTEM;

/* Judges a certificate, and accepts it if that is wished. */
static struct keystore_judged show(struct keystore *keystore, const char *address,
                                   struct fingerprints prints, enum keystore_voucher voucher,
                                   bool accepts)
{
    struct keystore_judged judged;
    struct keystore_shown shown = {.address = address, .prints = prints, .voucher = voucher};
    keystore_judge(keystore, &shown, &judged, error);
    assert_string_equal(error, "");
    if (accepts)
        assert_int_equal(keystore_pin(keystore, &shown, &judged, error), 0);
    return judged;
}

static enum keystore_verdict verdict(struct keystore *keystore, const char *address,
                                     struct fingerprints prints, enum keystore_voucher voucher)
{
    return show(keystore, address, prints, voucher, false).verdict;
}

static void a_server_is_known_by_its_key(void **state)
{
    struct keystore keystore;
    struct keystore_judged judged;
    struct fingerprints first = prints('A', 'A'), again = prints('C', 'A'),
                        other = prints('B', 'B');
    (void)state;
    open_good(&keystore);
    assert_int_equal(verdict(&keystore, "h:1", first, by_system), KEYSTORE_GOOD);
    assert_int_equal(show(&keystore, "h:1", first, nobody, true).verdict, KEYSTORE_NEW);
    assert_int_equal(verdict(&keystore, "h:1", first, nobody), KEYSTORE_GOOD);
    judged = show(&keystore, "h:1", other, nobody, false);
    assert_int_equal(judged.verdict, KEYSTORE_BAD);
    assert_string_equal(judged.before, first.certificate);
    /* Issued again for the same key. */
    assert_int_equal(show(&keystore, "h:1", again, nobody, true).verdict, KEYSTORE_GOOD);
    judged = show(&keystore, "h:1", other, nobody, false);
    assert_int_equal(judged.verdict, KEYSTORE_BAD);
    assert_string_equal(judged.before, again.certificate);
    keystore_close(&keystore);
}

static void a_pin_outranks_the_system(void **state)
{
    struct keystore keystore;
    struct keystore_judged judged;
    struct fingerprints own = prints('A', 'A'), other = prints('B', 'B'), third = prints('C', 'C');
    (void)state;
    open_good(&keystore);
    show(&keystore, "h:1", own, nobody, true);
    judged = show(&keystore, "h:1", other, by_system, false);
    assert_int_equal(judged.verdict, KEYSTORE_OTHER);
    assert_string_equal(judged.before, own.certificate);
    /* That the system vouches for the same key later does not end the pin. */
    assert_int_equal(show(&keystore, "h:1", own, by_system, true).verdict, KEYSTORE_GOOD);
    assert_int_equal(verdict(&keystore, "h:1", other, by_system), KEYSTORE_OTHER);
    /* A person accepts the other one: from now on it is the system's to vouch. */
    assert_int_equal(show(&keystore, "h:1", other, by_system, true).verdict, KEYSTORE_OTHER);
    assert_int_equal(verdict(&keystore, "h:1", third, by_system), KEYSTORE_GOOD);
    keystore_close(&keystore);
}

static void a_trusted_server_may_renew_but_must_stay_trusted(void **state)
{
    struct keystore keystore;
    (void)state;
    open_good(&keystore);
    show(&keystore, "h:1", prints('A', 'A'), by_system, true);
    assert_int_equal(show(&keystore, "h:1", prints('B', 'B'), by_system, true).verdict,
                     KEYSTORE_GOOD);
    keystore_close(&keystore);
    open_good(&keystore);
    assert_int_equal(verdict(&keystore, "h:1", prints('B', 'B'), nobody), KEYSTORE_BAD);
    keystore_close(&keystore);
}

static void what_ca_vouches_for_is_accepted_and_pinned(void **state)
{
    struct keystore keystore;
    (void)state;
    open_good(&keystore);
    assert_int_equal(show(&keystore, "h:1", prints('A', 'A'), KEYSTORE_VOUCHED_FILE, true).verdict,
                     KEYSTORE_GOOD);
    assert_int_equal(verdict(&keystore, "h:1", prints('A', 'A'), nobody), KEYSTORE_GOOD);
    assert_int_equal(verdict(&keystore, "h:1", prints('B', 'B'), nobody), KEYSTORE_BAD);
    assert_int_equal(verdict(&keystore, "h:1", prints('B', 'B'), KEYSTORE_VOUCHED_FILE),
                     KEYSTORE_GOOD);
    keystore_close(&keystore);
}

static void a_pinned_server_that_moves_keeps_its_name(void **state)
{
    struct keystore keystore;
    char name[KEYSTORE_SERVER_MAX];
    (void)state;
    open_good(&keystore);
    show(&keystore, "192.0.2.1:1", prints('A', 'A'), nobody, true);
    struct keystore_judged judged =
        show(&keystore, "chat.example:2", prints('C', 'A'), nobody, true);
    assert_int_equal(judged.verdict, KEYSTORE_MOVED);
    assert_string_equal(judged.moved_from, "192.0.2.1:1");
    assert_string_equal(judged.known_as, "192.0.2.1:1");
    /* And again, from the second address. */
    judged = show(&keystore, "other.example:3", prints('A', 'A'), nobody, true);
    assert_string_equal(judged.known_as, "192.0.2.1:1");
    keystore_close(&keystore);
    open_good(&keystore);
    keystore_server_name(&keystore, "chat.example:2", name);
    assert_string_equal(name, "192.0.2.1:1");
    keystore_server_name(&keystore, "nobody:3", name);
    assert_string_equal(name, "nobody:3");
    keystore_close(&keystore);
}

/* One proxy may end the TLS of many servers, with one key. */
static void a_publicly_trusted_key_is_no_proof_of_being_the_same_server(void **state)
{
    static const struct {
        const char *address;
        bool same;
    } cases[] = {
        {"other.example:1", false}, {"192.168.1.9:1", true},        {"10.1.2.3:1", true},
        {"[fe80::1%eth0]:1", true}, {"[fd00::1]:1", true},          {"8.8.8.8:1", false},
        {"[2600::1]:1", false},     {"localhost:1", true},          {"box.local:1", true},
        {"chat.LAN:1", true},       {"a.home.arpa:1", true},        {"a.internal:1", true},
        {"local:1", false},         {"localhost.example:1", false}, {"127.0.0.1.example:1", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct keystore keystore;
        open_good(&keystore);
        show(&keystore, "one.example:1", prints('A', 'A'), by_system, true);
        struct keystore_judged judged =
            show(&keystore, cases[i].address, prints('A', 'A'), by_system, true);
        assert_int_equal(judged.verdict, cases[i].same ? KEYSTORE_MOVED : KEYSTORE_GOOD);
        assert_string_equal(judged.known_as, cases[i].same ? "one.example:1" : cases[i].address);
        unlink(path("known_certificates"));
        keystore_close(&keystore);
    }
}

/* It is asked about, as any other; but it is the same server. */
static void a_key_that_was_trusted_for_its_name_is_not_accepted_without_it(void **state)
{
    struct keystore keystore;
    (void)state;
    open_good(&keystore);
    show(&keystore, "one.example:1", prints('A', 'A'), by_system, true);
    struct keystore_judged judged = show(&keystore, "10.0.0.1:1", prints('A', 'A'), nobody, true);
    assert_int_equal(judged.verdict, KEYSTORE_NEW);
    assert_string_equal(judged.known_as, "one.example:1");
    judged = show(&keystore, "two.example:1", prints('A', 'A'), nobody, false);
    assert_int_equal(judged.verdict, KEYSTORE_MOVED); /* 10.0.0.1 is pinned now */
    keystore_close(&keystore);
}

static void only_the_user_can_name_a_server_without_a_key(void **state)
{
    struct keystore keystore;
    struct keystore_judged judged;
    char name[KEYSTORE_SERVER_MAX];
    struct keystore_shown shown = {.address = "new:1"};
    (void)state;
    open_good(&keystore);
    keystore_judge(&keystore, &shown, &judged, error);
    assert_string_equal(judged.known_as, "new:1");
    assert_int_equal(keystore_pin(&keystore, &shown, &judged, error), 0);
    assert_int_equal(access(path("known_certificates"), F_OK), -1); /* nothing to remember */
    shown.known_as = "old:1";
    keystore_judge(&keystore, &shown, &judged, error);
    assert_int_equal(keystore_pin(&keystore, &shown, &judged, error), 0);
    assert_string_equal(judged.known_as, "old:1");
    keystore_close(&keystore);
    open_good(&keystore);
    keystore_server_name(&keystore, "new:1", name);
    assert_string_equal(name, "old:1");
    /* A third address that is said to be the second is the first. With TLS now. */
    shown = (struct keystore_shown){.address = "third:1", .prints = prints('A', 'A')};
    shown.known_as = "new:1";
    keystore_judge(&keystore, &shown, &judged, error);
    assert_int_equal(judged.verdict, KEYSTORE_NEW);
    assert_int_equal(keystore_pin(&keystore, &shown, &judged, error), 0);
    assert_string_equal(judged.known_as, "old:1");
    /* And TLS where there was none keeps the name. */
    judged = show(&keystore, "new:1", prints('B', 'B'), nobody, true);
    assert_int_equal(judged.verdict, KEYSTORE_NEW);
    assert_string_equal(judged.known_as, "old:1");
    keystore_close(&keystore);
}

static void a_second_process_cannot_replace_a_pin(void **state)
{
    struct keystore listener, person;
    struct keystore_judged judged;
    struct keystore_shown shown = {.address = "h:1", .prints = prints('B', 'B')};
    (void)state;
    open_good(&listener);
    keystore_judge(&listener, &shown, &judged, error);
    assert_int_equal(judged.verdict, KEYSTORE_NEW);
    open_good(&person);
    show(&person, "h:1", prints('A', 'A'), nobody, true);
    assert_int_equal(keystore_pin(&listener, &shown, &judged, error), -1);
    assert_int_equal(judged.verdict, KEYSTORE_BAD);
    assert_int_equal(verdict(&listener, "h:1", prints('B', 'B'), nobody), KEYSTORE_BAD);
    keystore_close(&listener);
    keystore_close(&person);
}

/* ---- What cannot be used ---- */

static void broken_files(void **state)
{
    static const struct {
        const char *name, *text, *complaint;
    } cases[] = {
        {"known_keys", "h\t\tana\tabc\tseen\n", "known_keys:1:"},
        {"known_keys", "no tab at all\n", "known_keys:1:"},
        {"known_keys", "\n", "known_keys:1:"},
        {"known_keys", "h", "known_keys:1:"},
        {"known_certificates", "h:1\tAA:BB\tpinned\n", "known_certificates:1:"},
        {"known_certificates", "h:1\t-\t-\t\tplain\n", "known_certificates:1:"},
        {"known_certificates", "h:1\t-\t-\th:1\tpinned\n", "known_certificates:1:"},
        {"known_certificates", "h:1\t-\t-\th:1\tplain\nx\n", "known_certificates:2:"},
        {"seed", "", "seed is broken"},
        {"seed", "00\n", "seed is broken"},
        {"seed", "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1F\n",
         "seed is broken"},
        {"seed", "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n\n",
         "seed is broken"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct keystore keystore;
        open_good(&keystore);
        keystore_close(&keystore);
        write_file(cases[i].name, cases[i].text);
        assert_int_equal(keystore_open(&keystore, error), -1);
        assert_non_null(strstr(error, cases[i].complaint));
        keystore_close(&keystore);
        unlink(path(cases[i].name));
    }
}

static void a_folder_that_others_may_write_is_refused(void **state)
{
    static const mode_t modes[] = {0770, 0702, 0777};
    struct keystore keystore;
    (void)state;
    open_good(&keystore);
    keystore_close(&keystore);
    for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++) {
        chmod(path(""), modes[i]);
        assert_int_equal(keystore_open(&keystore, error), -1);
        assert_non_null(strstr(error, "others can replace the keys in it"));
        keystore_close(&keystore);
    }
    chmod(path(""), 0755); /* to be read is no harm: the seed is 0600 */
    open_good(&keystore);
    keystore_close(&keystore);
}

static void a_folder_of_somebody_else_is_refused(void **state)
{
    struct keystore keystore;
    (void)state;
    if (geteuid() != 0)
        skip(); /* nobody else can give a folder away */
    open_good(&keystore);
    keystore_close(&keystore);
    assert_int_equal(chown(path(""), 65534, 0), 0);
    assert_int_equal(keystore_open(&keystore, error), -1);
    assert_non_null(strstr(error, "belongs to another user"));
    keystore_close(&keystore);
}

static void nowhere_to_write(void **state)
{
    struct keystore keystore;
    (void)state;
    setenv("XDG_DATA_HOME", "/proc/nowhere", 1);
    assert_int_equal(keystore_open(&keystore, error), -1);
    assert_non_null(strstr(error, "/proc/nowhere/ragnarok"));
    keystore_close(&keystore);
    setenv("XDG_DATA_HOME", "relative", 1); /* does not count */
    setenv("HOME", home, 1);
    open_good(&keystore);
    assert_non_null(strstr(keystore.folder.path, "/.local/share/ragnarok"));
    keystore_close(&keystore);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_server_is_known_by_its_key, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_pin_outranks_the_system, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_trusted_server_may_renew_but_must_stay_trusted, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_ca_vouches_for_is_accepted_and_pinned, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_pinned_server_that_moves_keeps_its_name, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_publicly_trusted_key_is_no_proof_of_being_the_same_server,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            a_key_that_was_trusted_for_its_name_is_not_accepted_without_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(only_the_user_can_name_a_server_without_a_key, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_second_process_cannot_replace_a_pin, set_up, tear_down),
        cmocka_unit_test_setup_teardown(broken_files, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_folder_that_others_may_write_is_refused, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_folder_of_somebody_else_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nowhere_to_write, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
