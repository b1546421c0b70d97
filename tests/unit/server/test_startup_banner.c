/* SPDX-License-Identifier: MIT
 *
 * test_startup_banner.c - startup_banner.c: what the owner is told of the certificate when the
 * server starts.
 *
 * The rest of it is looked at in test_startup.py, where a real server says it.
 */
#include "server/startup_banner.h"
#include "net/socket.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char path[] = "/tmp/ragnarok-announce-XXXXXX";
static struct config config;
static int listener[NET_LISTENERS_MAX];

static int open_room(void **state)
{
    static const char text[] = "{\"SSL\": true, \"SSL_Cert\": \"a.crt\", \"SSL_Key\": \"a.key\", "
                               "\"server_ip\": \"127.0.0.1\", \"server_port\": 0, "
                               "\"server_name\": \"n\", \"server_password\": \"\"}\n";
    char error[CONFIG_ERROR_MAX], why[NET_ERROR_MAX];
    (void)state;
    int fd = mkstemp(path);
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text) || close(fd) < 0)
        return -1;
    if (config_load(&config, path, error) < 0)
        return -1;
    return net_listen("127.0.0.1", 0, listener, why) == 1 ? 0 : -1;
}

static int close_room(void **state)
{
    (void)state;
    close(listener[0]);
    config_free(&config);
    return unlink(path);
}

/* What is said of a certificate. The caller frees it. */
static char *said_of(const struct server_cert *cert)
{
    char *text = NULL;
    size_t len = 0;
    FILE *capture = tmpfile(), *out = open_memstream(&text, &len);
    int terminal = dup(STDOUT_FILENO), c;
    assert_true(capture && out && terminal >= 0);
    fflush(stdout);
    assert_true(dup2(fileno(capture), STDOUT_FILENO) >= 0);
    announce(&config, listener[0], cert, false);
    assert_true(dup2(terminal, STDOUT_FILENO) >= 0);
    close(terminal);
    rewind(capture);
    while ((c = getc(capture)) != EOF)
        putc(c, out);
    fclose(capture);
    fclose(out);
    return text;
}

static void test_a_sound_certificate_is_shown_without_a_word_more(void **state)
{
    struct server_cert cert = {.fingerprint = "AB:CD", .ca_fingerprint = "EF:01"};
    (void)state;
    char *said = said_of(&cert);
    assert_non_null(strstr(said, "  Certificate: SHA-256 AB:CD\n"
                                 "  To trust it: SHA-256 EF:01 (open /trust)\n"
                                 "  In browsers: they warn once, because this server made "));
    assert_null(strstr(said, "Note:"));
    assert_null(strstr(said, "WARNING:"));
    free(said);
}

static void test_a_public_name_of_the_host_is_told_to_be_left_out(void **state)
{
    struct server_cert cert = {.ca_fingerprint = "EF:01", .host_left_out = "chat.example.org"};
    (void)state;
    char *said = said_of(&cert);
    assert_non_null(strstr(said, "\n  Note:        the certificate does not hold for "
                                 "chat.example.org, which may be a name of the internet; for "
                                 "that, get a real certificate\n"));
    free(said);
}

static void test_a_warning_about_the_authority_is_told(void **state)
{
    struct server_cert cert = {.fingerprint = "AB:CD", .warning = "the authority ends"};
    (void)state;
    char *said = said_of(&cert);
    assert_non_null(strstr(said, "\n  WARNING:     the authority ends\n"));
    assert_null(strstr(said, "To trust it"));
    assert_null(strstr(said, "In browsers"));
    free(said);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_sound_certificate_is_shown_without_a_word_more),
        cmocka_unit_test(test_a_public_name_of_the_host_is_told_to_be_left_out),
        cmocka_unit_test(test_a_warning_about_the_authority_is_told),
    };
    return cmocka_run_group_tests_name("announce", tests, open_room, close_room);
}
