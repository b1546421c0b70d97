/* SPDX-License-Identifier: MIT
 *
 * ragnarok.c - the chatroom server: options, start, accepting, and the end.
 *
 * The main thread starts everything and then waits for SIGTERM or SIGINT. The acceptor thread
 * accepts connections and starts a thread for each (client.c). Only what happens here, before the
 * first client, may end the process with an error.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cjson/cJSON.h>
#include <openssl/crypto.h>

#include "announce.h"
#include "cert.h"
#include "client.h"
#include "config.h"
#include "log.h"
#include "net.h"
#include "page.h"
#include "register.h"
#include "room.h"
#include "thread.h"
#include "trust.h"

#define VERSION "0.1.0"

enum {
    DRAIN_MS = 5000,        /* for clients to get what was said, and 1001, before the end */
    ACCEPT_BURST = 64,      /* connections accepted before looking whether it is time to stop */
    ACCEPT_PAUSE_MS = 100,  /* when descriptors or memory are out */
    SPARE_DESCRIPTORS = 64, /* besides one for each client */
};

struct server {
    struct config config;
    struct net_tls *tls;
    int listeners[NET_LISTENERS_MAX];
    int listener_count;
    struct cert cert;
    struct trust trust;
    char error[CONFIG_ERROR_MAX];
    pthread_t acceptor;
    atomic_bool stopping;
};

/* ---- Options ---- */

static const char usage[] =
    "Usage: ragnarok [-c FILE] [--web-root DIR] [--check-config] [--version] [--help]\n"
    "\n"
    "A chatroom server over WebSocket.\n"
    "\n"
    "  -c, --config FILE   read the settings from FILE (default: config.json)\n"
    "      --check-config  say whether the settings are right, and end\n"
    "      --web-root DIR  serve the files of the page from DIR, read at each request, instead of\n"
    "                      those built in: for working on the page\n"
    "      --version       print the version and the SHA-256 of each file of the page, and end\n"
    "  -h, --help          print this, and end\n"
    "\n"
    "SIGTERM or SIGINT ends it: everybody is told, and gets what was said before.\n"
    "Exit status: 0 a proper end, 1 wrong settings, 2 wrong options.\n";

struct options {
    const char *path;
    const char *web_root; /* NULL: the page that is built in */
    bool check;
};

static void print_version(void)
{
    printf("ragnarok " VERSION "\n%s, cJSON %s\n", OpenSSL_version(OPENSSL_VERSION),
           cJSON_Version());
    pages_print(stdout);
}

/* Returns -1 to go on, or the status to exit with. */
static int read_options(int argc, char **argv, struct options *options)
{
    static const struct option known[] = {
        {"config", required_argument, NULL, 'c'},   {"check-config", no_argument, NULL, 'k'},
        {"web-root", required_argument, NULL, 'w'}, {"version", no_argument, NULL, 'v'},
        {"help", no_argument, NULL, 'h'},           {NULL, 0, NULL, 0}};
    int option;
    *options = (struct options){.path = "config.json"};
    while ((option = getopt_long(argc, argv, "c:h", known, NULL)) != -1) {
        switch (option) {
        case 'c':
            options->path = optarg;
            break;
        case 'k':
            options->check = true;
            break;
        case 'w':
            options->web_root = optarg;
            break;
        case 'v':
            print_version();
            return 0;
        case 'h':
            fputs(usage, stdout);
            return 0;
        default:
            fputs("Try ragnarok --help\n", stderr);
            return 2;
        }
    }
    if (optind == argc)
        return -1;
    fprintf(stderr, "ragnarok: unexpected argument: %s\nTry ragnarok --help\n", argv[optind]);
    return 2;
}

/* ---- Start ---- */

/* Lets as many clients in as max_clients says, as far as the system allows. */
static void raise_descriptor_limit(int max_clients)
{
    struct rlimit limit;
    rlim_t wanted = (rlim_t)max_clients + SPARE_DESCRIPTORS;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
        return;
    limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < wanted)
        log_event(LOG_LEVEL_WARN, "few_descriptors", "have=%llu needed=%llu",
                  (unsigned long long)limit.rlim_cur, (unsigned long long)wanted);
}

static int load_tls(struct server *server)
{
    const struct config *config = &server->config;
    char error[NET_ERROR_MAX];
    server->tls = net_tls_server(config->SSL_Cert, config->SSL_Key, error);
    if (server->tls)
        return 0;
    return config_complain(config, "SSL_Cert", server->error, "%s: %s", config->SSL_Cert, error);
}

static int start_tls(struct server *server)
{
    if (!server->config.SSL)
        return 0;
    if (cert_prepare(&server->config, &server->cert, server->error) < 0)
        return -1;
    return load_tls(server);
}

/* What people are told of the certificate. */
static void start_trust(struct server *server)
{
    const struct cert *cert = &server->cert;
    enum trust_state tls = cert->ca ? TRUST_OURS : TRUST_OTHER;
    server->trust = (struct trust){.state = server->tls ? tls : TRUST_PLAIN,
                                   .name = cert->ca_name,
                                   .fingerprint = cert->ca_fingerprint,
                                   .ca = cert->ca,
                                   .ca_len = (size_t)cert->ca_len};
    pages_trust(&server->trust);
}

static int start_listening(struct server *server)
{
    const struct config *config = &server->config;
    char error[NET_ERROR_MAX];
    server->listener_count =
        net_listen(config->server_ip, config->server_port, server->listeners, error);
    if (server->listener_count > 0)
        return 0;
    if (errno == EADDRINUSE)
        return config_complain(config, "server_port", server->error,
                               "%d is in use by another program; allowed is any port that is free",
                               config->server_port);
    if (errno == EACCES)
        return config_complain(
            config, "server_port", server->error,
            "%d needs the right to use ports below 1024; allowed is a higher one",
            config->server_port);
    return config_complain(config, "server_ip", server->error,
                           "\"%s\" is no address of this machine (%s); allowed is one of its own, "
                           "or 0.0.0.0 for all of them",
                           config->server_ip, error);
}

static int check_only(struct server *server)
{
    const struct config *config = &server->config;
    bool any =
        config->SSL && (access(config->SSL_Cert, F_OK) == 0 || access(config->SSL_Key, F_OK) == 0);
    if (any && (cert_check(config, &server->cert, server->error) < 0 || load_tls(server) < 0))
        return -1;
    cert_free(&server->cert);
    printf("%s is right\n", config->path);
    return 0;
}

/* ---- Accepting ---- */

/* Whether accept(2) failed for want of something that comes back by itself. */
static bool is_shortage(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

/* Waits a moment instead of spinning on a listener that stays readable. */
static void pause_accepting(int error)
{
    static int64_t logged = INT64_MIN / 2;
    int64_t now = net_now();
    if (now - logged >= 1000) {
        log_event(LOG_LEVEL_WARN, "accept_failed", "why=\"%s\"", strerror(error));
        logged = now;
    }
    net_wait(-1, 0, now + ACCEPT_PAUSE_MS);
}

static void accept_some(int listener)
{
    struct sockaddr_storage peer;
    for (int i = 0; i < ACCEPT_BURST; i++) {
        int fd = net_accept(listener, &peer);
        if (fd >= 0) {
            client_start(fd, &peer);
            continue;
        }
        if (is_shortage(errno))
            pause_accepting(errno);
        return; /* also for a connection that was given up before it was accepted */
    }
}

static void *accept_loop(void *argument)
{
    struct server *server = argument;
    while (!atomic_load(&server->stopping)) {
        unsigned ready = net_wait_any(server->listeners, server->listener_count, INT64_MAX);
        for (int i = 0; i < server->listener_count; i++)
            if (ready & 1u << i)
                accept_some(server->listeners[i]);
    }
    return NULL;
}

/* ---- The life of the server ---- */

static int start(struct server *server)
{
    const struct config *config = &server->config;
    log_set_level(config->log_level);
    if (start_tls(server) < 0 || start_listening(server) < 0)
        return -1;
    start_trust(server);
    raise_descriptor_limit(config->max_clients);
    register_init(config);
    clients_init(config, server->tls);
    if (rooms_init(config) < 0 ||
        pthread_create(&server->acceptor, NULL, accept_loop, server) != 0) {
        snprintf(server->error, sizeof(server->error), "ragnarok: out of memory or threads");
        return -1;
    }
    announce(config, server->listeners[0], server->tls ? &server->cert : NULL);
    log_notice("started", "version=" VERSION " port=%d", net_port(server->listeners[0]));
    return 0;
}

/* Waits for SIGTERM or SIGINT. A second one then ends the process at once, as by default. */
static void await_signal(sigset_t *signals)
{
    int number;
    while (sigwait(signals, &number) != 0)
        ;
    log_notice("stopping", "signal=%d", number);
    signal(SIGTERM, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    pthread_sigmask(SIG_UNBLOCK, signals, NULL);
}

/* Stops accepting, tells everybody, and waits until all have gone. Returns how many did not. */
static int drain(struct server *server)
{
    atomic_store(&server->stopping, true);
    net_wake(server->acceptor);
    pthread_join(server->acceptor, NULL);
    for (int i = 0; i < server->listener_count; i++)
        close(server->listeners[i]);
    rooms_stop();
    register_stop();
    return register_wait(net_now() + DRAIN_MS);
}

static int run(struct server *server, const char *web_root)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL); /* for all threads: sigwait takes them */
    net_wake_init();
    if (pages_init(web_root, server->error) < 0 || start(server) < 0) {
        fprintf(stderr, "%s\n", server->error);
        return 1;
    }
    await_signal(&signals);
    int left = drain(server);
    log_notice("stopped", "cut_off=%d", left);
    if (left > 0)
        _exit(0); /* their threads still use what would be freed here */
    thread_stop();
    rooms_fini();
    net_tls_free(server->tls);
    cert_free(&server->cert);
    return 0;
}

/* Started without standard streams, a socket would get their number, and a client the log. */
static void fill_standard_streams(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
}

int main(int argc, char **argv)
{
    static struct server server;
    struct options options;
    fill_standard_streams();
    int status = read_options(argc, argv, &options);
    if (status >= 0)
        return status;
    if (config_load(&server.config, options.path, server.error) < 0) {
        fprintf(stderr, "%s\n", server.error);
        return 1;
    }
    if (!options.check)
        status = run(&server, options.web_root);
    else if ((status = -check_only(&server)) != 0)
        fprintf(stderr, "%s\n", server.error);
    config_free(&server.config);
    return status;
}
