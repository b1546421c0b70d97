/* SPDX-License-Identifier: MIT
 *
 * test_contacts.c - the terminal client's files: what is remembered, and what is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "../contacts.h"
#include "../net.h"

static char home[] = "/tmp/contacts-XXXXXX";
static char error[CONTACTS_ERROR_MAX];
static const struct contacts_id ana = {"h:1", "", "ana"}, tea = {"h:1", "tea", "ana"};

static int set_up(void **state)
{
    (void)state;
    memcpy(home + strlen(home) - 6, "XXXXXX", 6);
    return mkdtemp(home) && setenv("XDG_DATA_HOME", home, 1) == 0 ? 0 : -1;
}

static int tear_down(void **state)
{
    char command[64];
    (void)state;
    snprintf(command, sizeof(command), "rm -r %s", home);
    return system(command);
}

static char *path(const char *name)
{
    static char text[128];
    snprintf(text, sizeof(text), "%s/ragnarok/%s", home, name);
    return text;
}

static void write_file(const char *name, const char *text)
{
    FILE *file = fopen(path(name), "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    chmod(path(name), 0600);
}

static void open_good(struct contacts *contacts)
{
    assert_int_equal(contacts_open(contacts, error), 0);
}

/* ---- Files ---- */

static void the_identity_stays(void **state)
{
    struct contacts contacts;
    unsigned char first[E2E_KEY_BYTES], second[E2E_KEY_BYTES];
    struct stat about;
    (void)state;
    open_good(&contacts);
    assert_true(e2e_key_private(contacts.identity, first));
    contacts_close(&contacts);
    assert_int_equal(stat(path("identity.pem"), &about), 0);
    assert_int_equal(about.st_mode & 07777, 0600);
    open_good(&contacts);
    assert_true(e2e_key_private(contacts.identity, second));
    contacts_close(&contacts);
    assert_memory_equal(first, second, sizeof(first));
}

static void keys_are_remembered(void **state)
{
    struct contacts contacts;
    unsigned char one[E2E_KEY_BYTES] = {1}, two[E2E_KEY_BYTES] = {2}, key[E2E_KEY_BYTES];
    (void)state;
    open_good(&contacts);
    assert_int_equal(contacts_find(&contacts, &ana, key), CONTACTS_UNKNOWN);
    assert_int_equal(contacts_remember(&contacts, &ana, one, CONTACTS_SEEN, error), 0);
    assert_int_equal(contacts_find(&contacts, &tea, key), CONTACTS_UNKNOWN);
    assert_int_equal(contacts_remember(&contacts, &tea, two, CONTACTS_VERIFIED, error), 0);
    contacts_close(&contacts);
    open_good(&contacts);
    assert_int_equal(contacts_find(&contacts, &ana, key), CONTACTS_SEEN);
    assert_memory_equal(key, one, sizeof(key));
    assert_int_equal(contacts_remember(&contacts, &ana, two, CONTACTS_VERIFIED, error), 0);
    assert_int_equal(contacts_find(&contacts, &ana, key), CONTACTS_VERIFIED);
    assert_memory_equal(key, two, sizeof(key));
    contacts_close(&contacts);
}

/* Clients that remember something at the same time lose nothing of each other. */
static void many_at_once(void **state)
{
    enum { CLIENTS = 8, EACH = 10 };
    struct contacts contacts;
    unsigned char key[E2E_KEY_BYTES] = {7};
    char name[32];
    struct contacts_id id = {"h:1", "", name};
    (void)state;
    for (int i = 0; i < CLIENTS; i++) {
        if (fork() > 0)
            continue;
        int failed = contacts_open(&contacts, error);
        for (int k = 0; k < EACH && !failed; k++) {
            snprintf(name, sizeof(name), "%d-%d", i, k);
            failed = contacts_remember(&contacts, &id, key, CONTACTS_SEEN, error);
        }
        _exit(failed ? 1 : 0);
    }
    for (int i = 0, status; i < CLIENTS; i++) {
        assert_true(wait(&status) > 0);
        assert_int_equal(status, 0);
    }
    open_good(&contacts);
    for (int i = 0; i < CLIENTS * EACH; i++) {
        snprintf(name, sizeof(name), "%d-%d", i / EACH, i % EACH);
        assert_int_equal(contacts_find(&contacts, &id, key), CONTACTS_SEEN);
    }
    contacts_close(&contacts);
}

static struct net_prints prints(char certificate, char key)
{
    struct net_prints prints = {.certificate = "", .key = ""};
    for (int i = 0; i < NET_PRINT_MAX - 1; i++) {
        prints.certificate[i] = i % 3 == 2 ? ':' : certificate;
        prints.key[i] = i % 3 == 2 ? ':' : key;
    }
    return prints;
}

static void certificates(void **state)
{
    struct contacts contacts;
    char before[NET_PRINT_MAX];
    struct net_prints one = prints('A', 'A'), anew = prints('C', 'A'), two = prints('B', 'B');
    (void)state;
    open_good(&contacts);
    assert_int_equal(contacts_judge(&contacts, "h:1", &one, false, before), CONTACTS_NEW);
    assert_int_equal(contacts_judge(&contacts, "h:1", &one, true, before), CONTACTS_GOOD);
    assert_int_equal(contacts_pin(&contacts, "h:1", &one, false, error), 0);
    assert_int_equal(contacts_judge(&contacts, "h:1", &one, false, before), CONTACTS_GOOD);
    assert_int_equal(contacts_judge(&contacts, "h:2", &one, false, before), CONTACTS_NEW);
    assert_int_equal(contacts_judge(&contacts, "h:1", &two, false, before), CONTACTS_BAD);
    assert_string_equal(before, one.certificate);
    assert_int_equal(contacts_judge(&contacts, "h:1", &two, true, before), CONTACTS_GOOD);
    /* Issued anew for the same key. */
    assert_int_equal(contacts_judge(&contacts, "h:1", &anew, false, before), CONTACTS_GOOD);
    assert_int_equal(contacts_pin(&contacts, "h:1", &anew, false, error), 0);
    assert_int_equal(contacts_judge(&contacts, "h:1", &two, false, before), CONTACTS_BAD);
    assert_string_equal(before, anew.certificate);
    /* Once trusted by the system, it has to stay so. */
    assert_int_equal(contacts_pin(&contacts, "h:1", &two, true, error), 0);
    contacts_close(&contacts);
    open_good(&contacts);
    assert_int_equal(contacts_judge(&contacts, "h:1", &two, false, before), CONTACTS_BAD);
    contacts_close(&contacts);
}

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
        {"identity.pem", "", "no Ed25519 key"},
        {"identity.pem",
         "-----BEGIN PRIVATE "
         "KEY-----\nAAAA\n-----END PRIVATE "
         "KEY-----\n",
         "no Ed25519 key"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct contacts contacts;
        open_good(&contacts);
        contacts_close(&contacts);
        write_file(cases[i].name, cases[i].text);
        assert_int_equal(contacts_open(&contacts, error), -1);
        assert_non_null(strstr(error, cases[i].complaint));
        contacts_close(&contacts);
        unlink(path(cases[i].name));
    }
}

static void nowhere_to_write(void **state)
{
    struct contacts contacts;
    (void)state;
    setenv("XDG_DATA_HOME", "/proc/nowhere", 1);
    assert_int_equal(contacts_open(&contacts, error), -1);
    assert_non_null(strstr(error, "/proc/nowhere/ragnarok"));
    contacts_close(&contacts);
    setenv("XDG_DATA_HOME", "relative", 1); /* does not count */
    setenv("HOME", home, 1);
    open_good(&contacts);
    assert_non_null(strstr(contacts.folder, "/.local/share/ragnarok"));
    contacts_close(&contacts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_identity_stays, set_up, tear_down),
        cmocka_unit_test_setup_teardown(keys_are_remembered, set_up, tear_down),
        cmocka_unit_test_setup_teardown(many_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(certificates, set_up, tear_down),
        cmocka_unit_test_setup_teardown(broken_files, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nowhere_to_write, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
