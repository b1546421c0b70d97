/* SPDX-License-Identifier: MIT
 *
 * test_host_check.c - by which names a browser may call a server, and which origins are the
 * server's own.
 *
 * The sockets are bound to addresses that this machine need not have (IP_FREEBIND).
 */
#include "server/http/host_check.h"
#include "tls_files.h"
#include "lib/origin.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

static char chat[] = "https://chat.example:8443";
static struct config config = {.allowed_origins = {chat}, .allowed_origins_count = 1};

static int set_up(void **state)
{
    (void)state;
    host_check_init();
    return 0;
}

/* A socket with this local address and port. */
static int bound_to_port(const char *address, int port)
{
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    bool v6 = inet_pton(AF_INET, address, &in.sin_addr) != 1;
    if (v6)
        assert_int_equal(inet_pton(AF_INET6, address, &in6.sin6_addr), 1);
    if (v6 && IN6_IS_ADDR_LINKLOCAL(&in6.sin6_addr))
        in6.sin6_scope_id = 1;
    int one = 1, fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM, 0);
    assert_true(fd >= 0);
    setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &one, sizeof one);
    int bound = v6 ? bind(fd, (struct sockaddr *)&in6, sizeof in6)
                   : bind(fd, (struct sockaddr *)&in, sizeof in);
    if (bound < 0)
        fail_msg("no socket with the address %s", address);
    return fd;
}

static bool is_ok(const char *host)
{
    struct http_request rq = {.host = {host, host ? strlen(host) : 0}};
    return host_check_allows(&rq, &config, NULL);
}

static void test_which_names_are_ours(void **state)
{
    (void)state;
    static const char *const ours[] = {
        "127.0.0.1",    "127.0.0.1:81", "192.168.1.2",  "8.8.8.8",        "[::1]",
        "[fe80::1]:81", "localhost",    "LOCALHOST:81", "localhost.",     "a.localhost",
        "pc.local",     "pc.local.:81", "chat.example", "Chat.Example:1",
    };
    static const char *const strange[] = {
        "evil.example",
        "localhost.evil",
        "127.0.0.1.evil",
        "local",
        "localhost1",
        "xlocalhost",
        "127.1",
        "0x7f000001",
        "2130706433",
        "",
        ".",
        ":81",
        "x.chat.example",
        "pc.local.evil",
        "example",
        "127.0.0.1x",
    };
    for (size_t i = 0; i < COUNT(ours); i++)
        if (!is_ok(ours[i]))
            fail_msg("not ours: %s", ours[i]);
    for (size_t i = 0; i < COUNT(strange); i++)
        if (is_ok(strange[i]))
            fail_msg("taken for ours: %s", strange[i]);
    assert_true(is_ok(NULL)); /* HTTP/1.0: not a browser */
}

static void test_this_machine(void **state)
{
    (void)state;
    char name[256] = "", strange[300];
    assert_int_equal(gethostname(name, sizeof name - 1), 0);
    assert_true(is_ok(name));
    snprintf(strange, sizeof strange, "%s.evil.example", name);
    assert_false(is_ok(strange));
    name[strcspn(name, ".")] = '\0';
    assert_true(is_ok(name));
}

static void test_a_long_name_is_nobodys(void **state)
{
    (void)state;
    char name[512];
    memset(name, 'a', sizeof name);
    memcpy(name + sizeof name - 7, ".local", 7);
    assert_false(is_ok(name));
    assert_true(is_ok(name + sizeof name - 256));
    assert_false(is_ok(name + sizeof name - 257));
}

static void test_any_name_where_any_origin_may_come(void **state)
{
    (void)state;
    static char star[] = "*";
    const struct config any = {.allowed_origins = {star}, .allowed_origins_count = 1},
                        before = config;
    config = any;
    assert_true(is_ok("evil.example"));
    config = before;
}

/* ---- Own origins ---- */

enum { PORT = 12345 };

static const char *origin_tls; /* the names of the certificate; NULL: the server is plain */

static FILE *open_memory(char path[64])
{
    FILE *file = tmpfile();
    assert_non_null(file);
    snprintf(path, 64, "/proc/self/fd/%d", fileno(file));
    return file;
}

/* Rules of a server whose certificate is valid for these names. */
static struct tls_context *certified(const char *names)
{
    char cert_path[64], key_path[64], error[NET_ERROR_MAX], value[512];
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    X509 *cert = X509_new();
    X509V3_CTX context;
    snprintf(value, sizeof value, "%s", names);
    X509V3_set_ctx(&context, cert, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, NID_subject_alt_name, value);
    assert_true(extension && X509_add_ext(cert, extension, -1) && X509_set_pubkey(cert, key) &&
                X509_gmtime_adj(X509_getm_notBefore(cert), 0) &&
                X509_gmtime_adj(X509_getm_notAfter(cert), 3600) &&
                X509_sign(cert, key, EVP_sha256()));
    FILE *cert_file = open_memory(cert_path), *key_file = open_memory(key_path);
    assert_true(PEM_write_X509(cert_file, cert) &&
                PEM_write_PrivateKey(key_file, key, NULL, NULL, 0, NULL, NULL));
    fflush(cert_file);
    fflush(key_file);
    struct tls_context *tls = tls_files_open(cert_path, key_path, error);
    assert_non_null(tls);
    fclose(cert_file);
    fclose(key_file);
    X509_EXTENSION_free(extension);
    X509_free(cert);
    EVP_PKEY_free(key);
    return tls;
}

/* Whether it is the own origin of a server at address:PORT, in a handshake with that Host. */
static bool owns(const char *address, const char *host, const char *origin)
{
    int fd = bound_to_port(address, PORT);
    struct tls_context *tls = origin_tls ? certified(origin_tls) : NULL;
    bool own = host_check_is_own_origin(origin, host, fd, &config, tls);
    tls_context_free(tls);
    close(fd);
    return own;
}

struct origin_case {
    const char *address, *host, *origin;
};

static void check_origins(const struct origin_case *cases, size_t count, bool own)
{
    for (size_t i = 0; i < count; i++)
        if (owns(cases[i].address, cases[i].host, cases[i].origin) != own)
            fail_msg("%s: %s at %s, Host: %s", own ? "not own" : "own", cases[i].origin,
                     cases[i].address, cases[i].host ? cases[i].host : "(none)");
}

static void test_own_origins_of_a_plain_server(void **state)
{
    (void)state;
    static const struct origin_case own[] = {
        {"127.0.0.1", "127.0.0.1:12345", "http://127.0.0.1:12345"},
        {"127.0.0.1", "localhost:12345", "http://localhost:12345"},
        {"127.1.2.3", "A.LocalHost:12345", "http://a.localhost:12345"},
        {"::1", "localhost.:12345", "http://localhost.:12345"},
        {"::1", "[::1]:12345", "http://[::1]:12345"},
        {"::1", "[0::1]:12345", "http://[0::1]:12345"},
        {"::ffff:10.1.1.1", "10.1.1.1:12345", "http://10.1.1.1:12345"},
        {"203.0.113.7", "203.0.113.7:12345", "http://203.0.113.7:12345"},
        {"2001:db8::1", "[2001:DB8::1]:12345", "http://[2001:db8::1]:12345"},
        /* an entry of allowed_origins, whatever the address and Host */
        {"203.0.113.7", "evil.example", "https://chat.example:8443"},
        {"203.0.113.7", NULL, "https://chat.example:8443"},
    };
    static const struct origin_case strange[] = {
        {"127.0.0.1", NULL, "http://127.0.0.1:12345"},
        {"127.0.0.1", "", "http://127.0.0.1:12345"},
        {"127.0.0.1", "127.0.0.1:12345", "https://127.0.0.1:12345"},
        {"127.0.0.1", "127.0.0.1:12345", "http://127.0.0.1"},
        {"127.0.0.1", "127.0.0.1:12345", "http://127.0.0.1:12345/"},
        {"127.0.0.1", "127.0.0.1:12345", "http://localhost:12345"},
        {"127.0.0.1", "LOCALHOST:12345", "http://LOCALHOST:12345"},
        {"127.0.0.1", "127.0.0.1:12346", "http://127.0.0.1:12346"}, /* another server's port */
        {"127.0.0.1", "127.0.0.1", "http://127.0.0.1"},
        {"127.0.0.1", "127.0.0.2:12345", "http://127.0.0.2:12345"},
        {"127.0.0.1", "[::1]:12345", "http://[::1]:12345"},
        {"192.168.1.2", "192.168.1.3:12345", "http://192.168.1.3:12345"},
        {"192.168.1.2", "127.0.0.1:12345", "http://127.0.0.1:12345"},
        {"192.168.1.2", "localhost:12345", "http://localhost:12345"},
        {"203.0.113.7", "localhost:12345", "http://localhost:12345"},
        {"127.0.0.1", "localhost.evil:12345", "http://localhost.evil:12345"},
        {"127.0.0.1", "xlocalhost:12345", "http://xlocalhost:12345"},
        {"127.0.0.1", "pc.local:12345", "http://pc.local:12345"},
        {"127.0.0.1", "evil.example:12345", "http://evil.example:12345"},
        {"203.0.113.7", "evil.example:12345", "http://evil.example:12345"},
        {"203.0.113.7", "203.0.113.8:12345", "http://203.0.113.8:12345"},
        {"203.0.113.7", "203.0.113.7:443", "http://203.0.113.7:443"},
        {"127.0.0.1", "chat.example", "http://chat.example"},
        {"127.0.0.1", "chat.example:8443", "https://chat.example"},
        {"127.0.0.1", "chat.example:8443", "https://chat.example:8444"},
        {"127.0.0.1", "chat.example:8443", "https://x.chat.example:8443"},
        {"127.0.0.1", "chat.example:8443", "https://Chat.example:8443"},
    };
    check_origins(own, COUNT(own), true);
    check_origins(strange, COUNT(strange), false);
}

static void test_own_origins_by_the_certificate(void **state)
{
    (void)state;
    static const struct origin_case own[] = {
        {"203.0.113.7", "chat.example.org", "https://chat.example.org"},
        {"203.0.113.7", "chat.example.org:443", "https://chat.example.org"},
        {"203.0.113.7", "Chat.Example.Org:12345", "https://chat.example.org:12345"},
        {"172.17.0.2", "chat.example.org:8443", "https://chat.example.org:8443"},
        {"172.17.0.2", "a.wild.example", "https://a.wild.example"},
        {"172.17.0.2", "203.0.113.9:8443", "https://203.0.113.9:8443"},
        {"172.17.0.2", "[2001:db8::9]", "https://[2001:db8::9]"},
        {"172.17.0.2", "192.168.1.5:12345", "https://192.168.1.5:12345"},
        {"172.17.0.2", "localhost:12345", "https://localhost:12345"},
        {"172.17.0.2", "pc.lan:12345", "https://pc.lan:12345"},
        {"172.17.0.2", "box:12345", "https://box:12345"},
    };
    static const struct origin_case strange[] = {
        {"203.0.113.7", "chat.example.org:12345", "http://chat.example.org:12345"},
        {"203.0.113.7", "other.example.org:12345", "https://other.example.org:12345"},
        {"203.0.113.7", ".example.org:12345", "https://.example.org:12345"},
        {"203.0.113.7", "a.b.wild.example:12345", "https://a.b.wild.example:12345"},
        {"203.0.113.7", "203.0.113.10:12345", "https://203.0.113.10:12345"},
        /* another network may have another server of that name */
        {"172.17.0.2", "192.168.1.5:12346", "https://192.168.1.5:12346"},
        {"172.17.0.2", "localhost:12346", "https://localhost:12346"},
        {"172.17.0.2", "pc.lan", "https://pc.lan"},
        {"172.17.0.2", "pc.local:1", "https://pc.local:1"},
        {"172.17.0.2", "box:12346", "https://box:12346"},
    };
    origin_tls = "DNS:chat.example.org,DNS:*.wild.example,IP:203.0.113.9,IP:2001:db8::9,"
                 "IP:192.168.1.5,DNS:localhost,DNS:pc.lan,DNS:pc.local,DNS:box";
    check_origins(own, COUNT(own), true);
    check_origins(strange, COUNT(strange), false);
    origin_tls = NULL;
}

static void test_own_origins_by_the_name_of_this_machine(void **state)
{
    (void)state;
    char name[256] = "", host[300], origin[320];
    assert_int_equal(gethostname(name, sizeof name - 1), 0);
    for (int i = 0; i < 3; i++)
        for (int port = PORT; port <= PORT + 1; port++) {
            if (i == 0)
                snprintf(host, sizeof host, "%s:%d", name, port);
            else
                snprintf(host, sizeof host, "%.*s%s:%d", (int)strcspn(name, "."), name,
                         i == 2 ? ".local" : "", port);
            snprintf(origin, sizeof origin, "http://%s", host);
            for (char *c = origin; *c; c++)
                *c = (char)tolower((unsigned char)*c);
            assert_int_equal(owns("203.0.113.7", host, origin), port == PORT);
        }
}

/* Where the system does not tell on which address a client came, no address is ours. */
static void test_an_unknown_address_is_not_our_own(void **state)
{
    (void)state;
    int no_socket = -1;
    assert_false(
        host_check_is_own_origin("http://0.0.0.0:0", "0.0.0.0:0", no_socket, &config, NULL));
    assert_false(
        host_check_is_own_origin("http://localhost:0", "localhost:0", no_socket, &config, NULL));
}

static void test_any_origin_is_not_an_own_one(void **state)
{
    (void)state;
    static char star[] = "*", socket_url[] = "wss://chat.example",
                upper[] = "HTTPS://B.Example:443";
    const struct config before = config;
    config =
        (struct config){.allowed_origins = {star, socket_url, upper}, .allowed_origins_count = 3};
    assert_false(owns("127.0.0.1", "evil.example:12345", "http://evil.example:12345"));
    assert_false(owns("127.0.0.1", "evil.example", "*"));
    assert_false(owns("127.0.0.1", "chat.example", "https://chat.example"));
    assert_true(owns("127.0.0.1", "evil.example", "https://b.example"));
    assert_false(owns("127.0.0.1", "evil.example", "https://b.example:443"));
    config = before;
}

/* The longest name that an origin may have, and one that is longer. */
static void test_a_long_name_is_no_own_origin(void **state)
{
    (void)state;
    char name[512], origin[600];
    memset(name, 'a', sizeof name);
    snprintf(name + sizeof name - 17, 17, ".localhost:12345");
    for (size_t len = 240; len <= 300; len++) {
        const char *host = name + sizeof name - 1 - len;
        snprintf(origin, sizeof origin, "http://%s", host);
        assert_int_equal(owns("127.0.0.1", host, origin), len - 6 <= ORIGIN_HOST_MAX);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_which_names_are_ours),
        cmocka_unit_test(test_this_machine),
        cmocka_unit_test(test_a_long_name_is_nobodys),
        cmocka_unit_test(test_any_name_where_any_origin_may_come),
        cmocka_unit_test(test_own_origins_of_a_plain_server),
        cmocka_unit_test(test_own_origins_by_the_certificate),
        cmocka_unit_test(test_own_origins_by_the_name_of_this_machine),
        cmocka_unit_test(test_an_unknown_address_is_not_our_own),
        cmocka_unit_test(test_any_origin_is_not_an_own_one),
        cmocka_unit_test(test_a_long_name_is_no_own_origin),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
