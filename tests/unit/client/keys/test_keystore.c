/* SPDX-License-Identifier: MIT
 *
 * test_keystore.c - people, and several processes.
 */
#include "client/keys/keystore.h"

#include "keystore_folder.h"

static const struct keystore_id ana = {"h:1", "", "ana"}, tea = {"h:1", "tea", "ana"};

/* ---- Files ---- */

static void write_seed(void)
{
    char line[2 * E2E_SEED_BYTES + 2];
    unsigned char seed[E2E_SEED_BYTES];
    for (size_t i = 0; i < sizeof(seed); i++)
        seed[i] = (unsigned char)i;
    hex_write(line, seed, sizeof(seed));
    strcat(line, "\n");
    write_file("seed", line);
}

/* The keys were computed by Python's cryptography (HKDF, Ed25519PrivateKey) for the seed 00 01 ..
 * 1f. */
static void identities_are_derived_from_the_seed(void **state)
{
    static char long_name[301];
    static const struct {
        const char *server, *room, *fold, *private, *public;
    } cases[] = {
        {"chat.example:12345", "", "ana",
         "02ca12d5377d571c0685b99869ff0a5f6d420b36940f7247b0558f803b256efb",
         "595373c887dc87df61d819b40b17bb2c698e6da706ced35e0bf76d8c2e05a1e4"},
        {"chat.example:12345", "caf\xC3\xA9", "ana",
         "eafef1df27d4bf20b7b1366a29970d9ce5b3d10274407b746cee670ec5c76f9b",
         "0e2c9d61fb08d46effed3bf816d2c189e25130ee073dff3d8978dcdfce558612"},
        {"chat.example:12345", "", "\xE6\x97\xA5\xE6\x9C\xAC",
         "dccccde314c13553f6480eb9934291406a2cd76213002f4fb59dc095c1cbea50",
         "83078c3aa17bcfe39c194fd2b33b8645356be71b424c4536cb7be44294259b5a"},
        {"[fe80::1]:443", "r", long_name,
         "7b2aaeabb4da5519ccd2ea9236eacfbf9bde0170749deacea83b11ba190d6bd2",
         "6d8adb4974c32fa6b734716ec6c3fe2a731d6074b1767de7bc7003f4d1eca08e"},
    };
    struct keystore keystore;
    (void)state;
    memset(long_name, 'x', 300);
    open_good(&keystore);
    keystore_close(&keystore);
    write_seed();
    open_good(&keystore);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        unsigned char key[E2E_KEY_BYTES];
        char hex[2 * E2E_KEY_BYTES + 1];
        EVP_PKEY *identity =
            keystore_identity(&keystore, cases[i].server, cases[i].room, cases[i].fold);
        assert_non_null(identity);
        size_t len = sizeof(key);
        assert_int_equal(EVP_PKEY_get_raw_private_key(identity, key, &len), 1);
        hex_write(hex, key, sizeof(key));
        assert_string_equal(hex, cases[i].private);
        assert_true(e2e_key_public(identity, key));
        hex_write(hex, key, sizeof(key));
        assert_string_equal(hex, cases[i].public);
        EVP_PKEY_free(identity);
    }
    keystore_close(&keystore);
}

static void too_long_for_an_identity(void **state)
{
    static char name[2002];
    struct keystore keystore;
    (void)state;
    memset(name, 'x', sizeof(name) - 1);
    open_good(&keystore);
    assert_null(keystore_identity(&keystore, "", "", name));
    name[2000] = '\0';
    EVP_PKEY *identity = keystore_identity(&keystore, "", "", name);
    assert_non_null(identity);
    EVP_PKEY_free(identity);
    keystore_close(&keystore);
}

static void the_seed_stays_and_is_private(void **state)
{
    struct keystore first, second;
    struct stat about;
    (void)state;
    open_good(&first);
    assert_int_equal(stat(path("seed"), &about), 0);
    assert_int_equal(about.st_mode & 07777, 0600);
    assert_int_equal(about.st_size, 2 * E2E_SEED_BYTES + 1);
    open_good(&second);
    assert_memory_equal(first.seed, second.seed, E2E_SEED_BYTES);
    keystore_close(&first);
    keystore_close(&second);
    static const unsigned char wiped[E2E_SEED_BYTES];
    assert_memory_equal(first.seed, wiped, sizeof(wiped));
    chmod(path("seed"), 0640);
    assert_int_equal(keystore_open(&first, error), -1);
    assert_non_null(strstr(error, "others must not read it"));
    keystore_close(&first);
}

/* ---- People ---- */

static const unsigned char one[E2E_KEY_BYTES] = {1}, two[E2E_KEY_BYTES] = {2};

static enum keystore_trust find_ana(struct keystore *keystore, const unsigned char *key)
{
    enum keystore_trust trust = keystore_find(keystore, &ana, key, error);
    assert_string_equal(error, "");
    return trust;
}

static void keys_are_remembered(void **state)
{
    struct keystore keystore;
    (void)state;
    open_good(&keystore);
    assert_int_equal(find_ana(&keystore, one), KEYSTORE_UNKNOWN);
    assert_int_equal(keystore_best(&keystore, &ana), KEYSTORE_UNKNOWN);
    assert_int_equal(keystore_meet(&keystore, &ana, one, error), KEYSTORE_SEEN);
    assert_int_equal(keystore_find(&keystore, &tea, one, error), KEYSTORE_UNKNOWN);
    assert_int_equal(keystore_accept(&keystore, &tea, two, KEYSTORE_VERIFIED, error), 0);
    keystore_close(&keystore);
    open_good(&keystore);
    assert_int_equal(find_ana(&keystore, one), KEYSTORE_SEEN);
    assert_int_equal(find_ana(&keystore, two), KEYSTORE_STRANGE);
    assert_int_equal(keystore_find(&keystore, &tea, two, error), KEYSTORE_VERIFIED);
    assert_int_equal(keystore_best(&keystore, &ana), KEYSTORE_SEEN);
    assert_int_equal(keystore_best(&keystore, &tea), KEYSTORE_VERIFIED);
    keystore_close(&keystore);
}

static void a_second_key_is_no_first_use(void **state)
{
    struct keystore keystore;
    (void)state;
    open_good(&keystore);
    assert_int_equal(keystore_meet(&keystore, &ana, one, error), KEYSTORE_SEEN);
    assert_int_equal(keystore_meet(&keystore, &ana, two, error), KEYSTORE_STRANGE);
    assert_int_equal(find_ana(&keystore, two), KEYSTORE_STRANGE);
    keystore_close(&keystore);
}

static void several_keys_of_a_person_are_kept(void **state)
{
    struct keystore keystore;
    struct keystore_key keys[KEYSTORE_KEYS_MAX];
    (void)state;
    open_good(&keystore);
    assert_int_equal(keystore_meet(&keystore, &ana, one, error), KEYSTORE_SEEN);
    assert_int_equal(keystore_accept(&keystore, &ana, two, KEYSTORE_VERIFIED, error), 0);
    assert_int_equal(find_ana(&keystore, one), KEYSTORE_SEEN);
    assert_int_equal(find_ana(&keystore, two), KEYSTORE_VERIFIED);
    assert_int_equal(keystore_accept(&keystore, &ana, one, KEYSTORE_VERIFIED, error), 0);
    assert_int_equal(keystore_keys(&keystore, &ana, keys, error), 2);
    assert_memory_equal(keys[0].key, one, E2E_KEY_BYTES);
    assert_memory_equal(keys[1].key, two, E2E_KEY_BYTES);
    assert_true(keys[0].verified && keys[1].verified);
    keystore_close(&keystore);
}

static void accepting_never_lowers_a_verified_key(void **state)
{
    struct keystore keystore;
    (void)state;
    open_good(&keystore);
    assert_int_equal(keystore_accept(&keystore, &ana, one, KEYSTORE_VERIFIED, error), 0);
    assert_int_equal(keystore_accept(&keystore, &ana, one, KEYSTORE_SEEN, error), 0);
    assert_int_equal(keystore_meet(&keystore, &ana, one, error), KEYSTORE_VERIFIED);
    assert_int_equal(find_ana(&keystore, one), KEYSTORE_VERIFIED);
    keystore_close(&keystore);
}

static void a_ninth_key_is_refused(void **state)
{
    struct keystore keystore;
    unsigned char key[E2E_KEY_BYTES] = {0};
    (void)state;
    open_good(&keystore);
    for (int i = 0; i < KEYSTORE_KEYS_MAX; i++) {
        key[1] = (unsigned char)i;
        assert_int_equal(keystore_accept(&keystore, &ana, key, KEYSTORE_SEEN, error), 0);
    }
    assert_int_equal(keystore_accept(&keystore, &ana, one, KEYSTORE_SEEN, error), -1);
    assert_non_null(strstr(error, "8 keys of ana are known"));
    assert_non_null(strstr(error, "/forget ana"));
    assert_int_equal(keystore_accept(&keystore, &ana, one, KEYSTORE_VERIFIED, error), -1);
    assert_int_equal(keystore_accept(&keystore, &ana, key, KEYSTORE_VERIFIED, error), 0);
    for (int i = 0; i < KEYSTORE_KEYS_MAX - 1; i++) {
        key[1] = (unsigned char)i;
        assert_int_equal(find_ana(&keystore, key), KEYSTORE_SEEN);
    }
    assert_int_equal(find_ana(&keystore, one), KEYSTORE_STRANGE);
    assert_int_equal(keystore_forget(&keystore, &ana, error), KEYSTORE_KEYS_MAX);
    assert_int_equal(keystore_accept(&keystore, &ana, one, KEYSTORE_SEEN, error), 0);
    keystore_close(&keystore);
}

/* Nothing can be saved, or can again. (Root may write whatever the mode of a file is.) */
static void break_lock(bool broken)
{
    if (broken) {
        unlink(path("lock"));
        assert_int_equal(mkdir(path("lock"), 0700), 0);
    } else {
        assert_int_equal(rmdir(path("lock")), 0);
    }
}

static void a_key_that_cannot_be_saved_is_still_the_first(void **state)
{
    struct keystore keystore;
    struct keystore_key keys[KEYSTORE_KEYS_MAX];
    struct keystore_id bob = {"h:1", "", "bob"};
    (void)state;
    open_good(&keystore);
    break_lock(true);
    assert_int_equal(keystore_meet(&keystore, &ana, one, error), KEYSTORE_SEEN);
    assert_non_null(strstr(error, "until the end of this program"));
    assert_non_null(strstr(error, "lock"));
    assert_int_equal(keystore_meet(&keystore, &ana, one, error), KEYSTORE_SEEN);
    assert_string_equal(error, "");
    assert_int_equal(keystore_meet(&keystore, &ana, two, error), KEYSTORE_STRANGE);
    assert_int_equal(find_ana(&keystore, two), KEYSTORE_STRANGE);
    assert_int_equal(keystore_best(&keystore, &ana), KEYSTORE_SEEN);
    assert_int_equal(keystore_keys(&keystore, &ana, keys, error), 1);
    assert_memory_equal(keys[0].key, one, E2E_KEY_BYTES);
    /* It is said once. */
    assert_int_equal(keystore_meet(&keystore, &bob, two, error), KEYSTORE_SEEN);
    assert_string_equal(error, "");
    assert_int_equal(keystore_forget(&keystore, &ana, error), 1);
    assert_string_equal(error, "");
    assert_int_equal(keystore_best(&keystore, &ana), KEYSTORE_UNKNOWN);
    assert_int_equal(keystore_find(&keystore, &bob, two, error), KEYSTORE_SEEN);
    keystore_close(&keystore);
}

static void what_could_not_be_saved_is_saved_later(void **state)
{
    struct keystore keystore;
    struct keystore_id bob = {"h:1", "", "bob"};
    (void)state;
    open_good(&keystore);
    break_lock(true);
    keystore_meet(&keystore, &ana, one, error);
    keystore_meet(&keystore, &bob, two, error);
    break_lock(false);
    assert_int_equal(keystore_accept(&keystore, &ana, two, KEYSTORE_SEEN, error), 0);
    keystore_close(&keystore);
    open_good(&keystore);
    assert_int_equal(find_ana(&keystore, one), KEYSTORE_SEEN);
    assert_int_equal(find_ana(&keystore, two), KEYSTORE_SEEN);
    assert_int_equal(keystore_find(&keystore, &bob, two, error), KEYSTORE_SEEN);
    assert_int_equal(keystore_find(&keystore, &bob, one, error), KEYSTORE_STRANGE);
    keystore_close(&keystore);
}

/* Another process has met somebody else by that name, and could save that. */
static void what_could_not_be_saved_replaces_no_key(void **state)
{
    struct keystore keystore, other;
    struct keystore_id bob = {"h:1", "", "bob"};
    (void)state;
    open_good(&keystore);
    break_lock(true);
    keystore_meet(&keystore, &ana, one, error);
    break_lock(false);
    open_good(&other);
    assert_int_equal(keystore_meet(&other, &ana, two, error), KEYSTORE_SEEN);
    assert_int_equal(find_ana(&keystore, one), KEYSTORE_STRANGE);
    assert_int_equal(keystore_meet(&keystore, &bob, one, error), KEYSTORE_SEEN);
    assert_int_equal(find_ana(&keystore, one), KEYSTORE_STRANGE);
    assert_int_equal(find_ana(&other, one), KEYSTORE_STRANGE);
    assert_int_equal(keystore_find(&other, &bob, one, error), KEYSTORE_SEEN);
    keystore_close(&keystore);
    keystore_close(&other);
}

static void forgetting_a_person_forgets_all_their_keys_only(void **state)
{
    struct keystore keystore;
    struct keystore_id bob = {"h:1", "", "bob"};
    (void)state;
    open_good(&keystore);
    for (unsigned char i = 0; i < 3; i++) {
        unsigned char key[E2E_KEY_BYTES] = {i};
        assert_int_equal(keystore_accept(&keystore, &ana, key, KEYSTORE_VERIFIED, error), 0);
        assert_int_equal(keystore_accept(&keystore, i ? &bob : &tea, key, KEYSTORE_SEEN, error), 0);
    }
    assert_int_equal(keystore_forget(&keystore, &ana, error), 3);
    assert_int_equal(keystore_forget(&keystore, &ana, error), 0);
    keystore_close(&keystore);
    open_good(&keystore);
    struct keystore_key keys[KEYSTORE_KEYS_MAX];
    assert_int_equal(keystore_keys(&keystore, &ana, keys, error), 0);
    assert_int_equal(keystore_keys(&keystore, &bob, keys, error), 2);
    assert_int_equal(keystore_keys(&keystore, &tea, keys, error), 1);
    keystore_close(&keystore);
}

/* ---- Several processes ---- */

/* The listener runs since the morning and has never met ana; at noon she is verified elsewhere. */
static void a_second_process_cannot_replace_a_verified_key(void **state)
{
    struct keystore listener, person;
    (void)state;
    open_good(&listener);
    assert_int_equal(find_ana(&listener, one), KEYSTORE_UNKNOWN);
    open_good(&person);
    assert_int_equal(keystore_accept(&person, &ana, one, KEYSTORE_VERIFIED, error), 0);
    assert_int_equal(keystore_meet(&listener, &ana, two, error), KEYSTORE_STRANGE);
    assert_int_equal(keystore_meet(&listener, &ana, one, error), KEYSTORE_VERIFIED);
    assert_int_equal(keystore_accept(&listener, &ana, one, KEYSTORE_SEEN, error), 0);
    keystore_close(&listener);
    keystore_close(&person);
    open_good(&person);
    assert_int_equal(find_ana(&person, one), KEYSTORE_VERIFIED);
    assert_int_equal(find_ana(&person, two), KEYSTORE_STRANGE);
    keystore_close(&person);
}

static void the_change_of_another_process_is_seen(void **state)
{
    struct keystore reader, writer;
    (void)state;
    open_good(&reader);
    open_good(&writer);
    assert_int_equal(find_ana(&reader, one), KEYSTORE_UNKNOWN);
    assert_int_equal(keystore_accept(&writer, &ana, one, KEYSTORE_SEEN, error), 0);
    assert_int_equal(find_ana(&reader, one), KEYSTORE_SEEN);
    assert_int_equal(keystore_accept(&writer, &ana, one, KEYSTORE_VERIFIED, error), 0);
    assert_int_equal(find_ana(&reader, one), KEYSTORE_VERIFIED);
    assert_int_equal(keystore_forget(&writer, &ana, error), 1);
    assert_int_equal(find_ana(&reader, one), KEYSTORE_UNKNOWN);
    keystore_close(&reader);
    keystore_close(&writer);
}

/* All meet ana for the first time, each with another key: one of them is remembered. */
static void of_many_first_uses_at_once_one_counts(void **state)
{
    enum { CLIENTS = 8 };
    struct keystore keystore;
    struct keystore_key keys[KEYSTORE_KEYS_MAX];
    int met = 0;
    (void)state;
    for (int i = 0; i < CLIENTS; i++) {
        unsigned char key[E2E_KEY_BYTES] = {(unsigned char)i};
        if (fork() > 0)
            continue;
        int failed = keystore_open(&keystore, error);
        _exit(failed ? 100 : (int)keystore_meet(&keystore, &ana, key, error));
    }
    for (int i = 0, status; i < CLIENTS; i++) {
        assert_true(wait(&status) > 0 && WIFEXITED(status));
        enum keystore_trust trust = (enum keystore_trust)WEXITSTATUS(status);
        assert_true(trust == KEYSTORE_SEEN || trust == KEYSTORE_STRANGE);
        met += trust == KEYSTORE_SEEN;
    }
    assert_int_equal(met, 1);
    open_good(&keystore);
    assert_int_equal(keystore_keys(&keystore, &ana, keys, error), 1);
    keystore_close(&keystore);
}

/* Clients that remember something at the same time lose nothing of each other. */
static void many_at_once(void **state)
{
    enum { CLIENTS = 8, EACH = 10 };
    struct keystore keystore;
    unsigned char key[E2E_KEY_BYTES] = {7};
    char name[32];
    struct keystore_id id = {"h:1", "", name};
    (void)state;
    for (int i = 0; i < CLIENTS; i++) {
        if (fork() > 0)
            continue;
        int failed = keystore_open(&keystore, error);
        for (int k = 0; k < EACH && !failed; k++) {
            snprintf(name, sizeof(name), "%d-%d", i, k);
            failed = keystore_meet(&keystore, &id, key, error) != KEYSTORE_SEEN;
        }
        _exit(failed ? 1 : 0);
    }
    for (int i = 0, status; i < CLIENTS; i++) {
        assert_true(wait(&status) > 0);
        assert_int_equal(status, 0);
    }
    open_good(&keystore);
    for (int i = 0; i < CLIENTS * EACH; i++) {
        snprintf(name, sizeof(name), "%d-%d", i / EACH, i % EACH);
        assert_int_equal(keystore_find(&keystore, &id, key, error), KEYSTORE_SEEN);
    }
    keystore_close(&keystore);
}

static void a_list_that_broke_meanwhile_keeps_what_was_known(void **state)
{
    struct keystore keystore;
    (void)state;
    open_good(&keystore);
    assert_int_equal(keystore_accept(&keystore, &ana, one, KEYSTORE_VERIFIED, error), 0);
    write_file("known_keys", "broken\n");
    assert_int_equal(keystore_find(&keystore, &ana, two, error), KEYSTORE_STRANGE);
    assert_non_null(strstr(error, "known_keys:1: this line is broken"));
    struct keystore_id bob = {"h:1", "", "bob"};
    assert_int_equal(keystore_meet(&keystore, &bob, two, error), KEYSTORE_SEEN);
    assert_non_null(strstr(error, "known_keys:1: this line is broken"));
    assert_int_equal(keystore_find(&keystore, &bob, one, error), KEYSTORE_STRANGE);
    keystore_close(&keystore);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(identities_are_derived_from_the_seed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(too_long_for_an_identity, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_seed_stays_and_is_private, set_up, tear_down),
        cmocka_unit_test_setup_teardown(keys_are_remembered, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_second_key_is_no_first_use, set_up, tear_down),
        cmocka_unit_test_setup_teardown(several_keys_of_a_person_are_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(accepting_never_lowers_a_verified_key, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_ninth_key_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_key_that_cannot_be_saved_is_still_the_first, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_could_not_be_saved_is_saved_later, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_could_not_be_saved_replaces_no_key, set_up, tear_down),
        cmocka_unit_test_setup_teardown(forgetting_a_person_forgets_all_their_keys_only, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_second_process_cannot_replace_a_verified_key, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_change_of_another_process_is_seen, set_up, tear_down),
        cmocka_unit_test_setup_teardown(of_many_first_uses_at_once_one_counts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(many_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_list_that_broke_meanwhile_keeps_what_was_known, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
