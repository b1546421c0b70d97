/* SPDX-License-Identifier: MIT
 *
 * test_engine_tls.c - a real redis-server over TCP and TLS, and certificates that are refused.
 */
#include "redis_engine.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

enum { PORTS_TRIED = 10 };

static struct redis_server server;
static struct redis_target target;
static char cert_path[128], key_path[128], port_text[12];

/* A port that is free now. */
static int free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    close(fd);
    return ntohs(address.sin_port);
}

/* A certificate for 127.0.0.1, which is its own issuer. */
static void write_certificate(void)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    X509_set_version(cert, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), -60);
    X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    X509_set_pubkey(cert, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
                               (const unsigned char *)"engine", -1, -1, 0);
    X509_set_issuer_name(cert, X509_get_subject_name(cert));
    X509_EXTENSION *names = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "IP:127.0.0.1");
    assert_non_null(names);
    X509_add_ext(cert, names, -1);
    assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
    FILE *file = fopen(cert_path, "w");
    assert_non_null(file);
    PEM_write_X509(file, cert);
    fclose(file);
    file = fopen(key_path, "w");
    assert_non_null(file);
    PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL);
    fclose(file);
    X509_EXTENSION_free(names);
    X509_free(cert);
    EVP_PKEY_free(key);
}

static int start_server(void **state)
{
    (void)state;
    net_wake_init();
    if (!redis_program())
        return 0;
    const char *const more[] = {"--tls-port",
                                port_text,
                                "--tls-cert-file",
                                cert_path,
                                "--tls-key-file",
                                key_path,
                                "--tls-ca-cert-file",
                                cert_path,
                                "--tls-auth-clients",
                                "no",
                                NULL};
    strcpy(cert_path, "/tmp/ragnarok-engine-XXXXXX");
    assert_non_null(mkdtemp(cert_path));
    snprintf(key_path, sizeof(key_path), "%s/key", cert_path);
    strcat(cert_path, "/cert");
    write_certificate();
    for (int i = 0; i < PORTS_TRIED; i++) { /* another program may take the port meanwhile */
        snprintf(port_text, sizeof(port_text), "%d", free_port());
        redis_open(&server, more);
        if (redis_is_up(&server))
            return 0;
        redis_close(&server);
    }
    return -1;
}

static int stop_server(void **state)
{
    (void)state;
    redis_close(&server);
    if (!redis_program())
        return 0;
    unlink(cert_path);
    unlink(key_path);
    *strrchr(cert_path, '/') = '\0';
    rmdir(cert_path);
    return 0;
}

/* The target at this host, trusting `ca`. */
static void aim(const char *format, const char *ca)
{
    char address[64], error[NET_ERROR_MAX];
    if (!redis_program())
        skip();
    snprintf(address, sizeof(address), "%s:%s", format, port_text);
    assert_int_equal(redis_target_parse(&target, address, error), 0);
    target.message_max = REDIS_BODY_MAX;
    if (redis_target_prepare(&target, ca, error) < 0)
        fail_msg("%s", error);
}

static void calls_pass_over_tls(void **state)
{
    struct engine_terms terms = test_terms;
    struct test_node node;
    static char body[REDIS_BODY_MAX + 1];
    (void)state;
    aim("tls:127.0.0.1", cert_path);
    memset(body, 'x', REDIS_BODY_MAX);
    terms.log_bytes = 8 << 20;
    node_open(&node, &target, &terms, "tls");
    struct engine_call *calls[40];
    struct engine_answer answer;
    for (int i = 0; i < 40; i++) { /* more than sockets take at once */
        calls[i] = engine_say(&node.seat, text_of(body));
        assert_int_equal(engine_send(&node.line, calls[i]), 0);
    }
    for (int i = 0; i < 40; i++) {
        assert_int_equal(engine_receive(&node.line, calls[i], &answer), ENGINE_OK);
        engine_answer_fini(&answer);
        engine_call_free(calls[i]);
    }
    struct engine_batch batch;
    struct engine_log *log;
    struct log_entry entry;
    const char *why;
    assert_int_equal(engine_read(&node.line, node.logs, 1, 1, &batch), 0);
    for (int i = 0; i < 40; i++) {
        assert_int_equal(engine_batch_next(&batch, &log, &entry, &why), LOG_GOOD);
        assert_int_equal(entry.body.len, REDIS_BODY_MAX);
    }
    engine_batch_fini(&batch);
    node_close(&node);
    redis_target_fini(&target);
}

static void assert_refused(const char *why)
{
    struct redis_line line;
    int64_t until = net_now() + REDIS_START_MS;
    redis_line_init(&line, &target);
    do
        assert_int_equal(redis_line_reach(&line), -1);
    while (strstr(line.why, "connecting failed") && net_now() < until);
    if (!strstr(line.why, why))
        fail_msg("expected \"%s\", got \"%s\"", why, line.why);
    redis_line_fini(&line);
    redis_target_fini(&target);
}

static void a_certificate_that_nobody_vouches_for_is_refused(void **state)
{
    (void)state;
    aim("tls:127.0.0.1", NULL);
    assert_refused("TLS: the certificate is refused: self-signed certificate (fingerprint ");
}

static void a_certificate_for_another_host_is_refused(void **state)
{
    (void)state;
    aim("tls:localhost", cert_path);
    assert_refused("TLS: the certificate is refused: hostname mismatch");
}

/* The password must not be sent in the clear to a TLS port, nor can it be: the engine hangs up. */
static void plain_tcp_to_a_tls_port_fails(void **state)
{
    (void)state;
    aim("tcp:127.0.0.1", NULL);
    assert_refused("");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_pass_over_tls),
        cmocka_unit_test(a_certificate_that_nobody_vouches_for_is_refused),
        cmocka_unit_test(a_certificate_for_another_host_is_refused),
        cmocka_unit_test(plain_tcp_to_a_tls_port_fails),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
