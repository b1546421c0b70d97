/* SPDX-License-Identifier: MIT
 *
 * ragnarok.c - the chatroom server: options, start, accepting, and the end.
 *
 * The main thread starts everything and then waits for signals: SIGTERM and SIGINT end the server,
 * SIGHUP has it read its settings again. The acceptor thread accepts connections and starts a thread
 * for each (life.c). Only what happens here, before the first client, may end the process with an
 * error.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cjson/cJSON.h>
#include <openssl/crypto.h>

#include "announce.h"
#include "cert.h"
#include "config.h"
#include "life.h"
#include "log.h"
#include "metrics.h"
#include "net.h"
#include "page.h"
#include "register.h"
#include "room.h"
#include "service.h"
#include "settings.h"
#include "thread.h"

#define VERSION "0.1.0"

enum {
    DRAIN_MS = 5000,        /* for clients to get what was said, and 1001, before the end */
    ACCEPT_BURST = 64,      /* connections accepted before looking whether it is time to stop */
    ACCEPT_PAUSE_MS = 100,  /* when descriptors or memory are out */
    SPARE_DESCRIPTORS = 64, /* besides one for each client */
    RESERVED = 2, /* descriptors that are kept for reading the settings again; one is needed */
    FIRST_FREE_PORT = 1024, /* lower ones need a right that ordinary users lack */
};

struct server {
    struct settings *settings; /* in force */
    int listeners[NET_LISTENERS_MAX];
    int listener_count;
    bool passed_on; /* the listeners are a service manager's, and outlive this process */
    int reserved[RESERVED];
    bool has_terminal; /* whose end is our end */
    char error[CONFIG_ERROR_MAX];
    pthread_t acceptor;
    pthread_mutex_t accepting; /* held for each accept: whoever holds it can count on descriptors */
    atomic_bool stopping;
};

/* ---- Options ---- */

static const char usage[] =
    "Usage: ragnarok [-c FILE] [--web-root DIR] [--allow-root] [--check-config] [--version] "
    "[--help]\n"
    "\n"
    "A chatroom server over WebSocket.\n"
    "\n"
    "  -c, --config FILE   read the settings from FILE (default: config.json)\n"
    "      --check-config  say whether the settings are right, and end\n"
    "      --web-root DIR  serve the files of the page from DIR, read at each request, instead of\n"
    "                      those built in: for working on the page\n"
    "      --allow-root    run as root, also where sudo was used and the port needs no root\n"
    "      --version       print the version and the SHA-256 of each file of the page, and end\n"
    "  -h, --help          print this, and end\n"
    "\n"
    "SIGTERM or SIGINT ends it: everybody is told, and gets what was said before.\n"
    "SIGHUP reads FILE and the certificate again; who is connected stays so.\n"
    "Exit status: 0 a proper end, 1 wrong settings, 2 wrong options.\n";

struct options {
    const char *path;
    const char *web_root; /* NULL: the page that is built in */
    bool check;
    bool allow_root;
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
    static const struct option known[] = {{"config", required_argument, NULL, 'c'},
                                          {"check-config", no_argument, NULL, 'k'},
                                          {"web-root", required_argument, NULL, 'w'},
                                          {"version", no_argument, NULL, 'v'},
                                          {"allow-root", no_argument, NULL, 'r'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
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
        case 'r':
            options->allow_root = true;
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

/* Root could do more harm than a server ever should. Who used sudo has a user of his own to run it as;
 * elsewhere (in a container, say) there may be none, and it is only warned of. Looked at before
 * anything is written, which would be root's. Returns -1 and a text where root is refused. */
static int refuse_root(const struct options *options, char *error)
{
    struct config config;
    const char *user = getenv("SUDO_UID");
    if (geteuid() != 0 || options->allow_root || !user || strcmp(user, "0") == 0)
        return 0;
    if (config_load(&config, options->path, error) < 0)
        return -1;
    bool needed = config.server_port > 0 && config.server_port < FIRST_FREE_PORT;
    config_free(&config);
    if (needed)
        return 0;
    snprintf(error, CONFIG_ERROR_MAX,
             "ragnarok: there is no need to be root for this: start it without sudo\n"
             "(what an earlier start left to root: sudo chown \"$USER\" *.crt *.pem),\n"
             "or with --allow-root if root it must be");
    return -1;
}

static void warn_of_root(const struct options *options)
{
    if (geteuid() == 0 && !options->allow_root)
        log_event(LOG_LEVEL_WARN, "running_as_root",
                  "advice=\"run it as a user of its own (contrib/systemd shows how); a port below "
                  "1024 needs no root but setcap cap_net_bind_service=+ep ragnarok\"");
}

/* Takes the sockets that a service manager has opened. Returns how many, or -1 and a complaint. */
static int take_sockets(struct server *server)
{
    const char *why;
    server->listener_count = service_sockets(server->listeners, NET_LISTENERS_MAX, &why);
    if (server->listener_count < 0)
        snprintf(server->error, sizeof(server->error), "ragnarok: %s", why);
    server->passed_on = server->listener_count > 0;
    return server->listener_count;
}

static int start_listening(struct server *server)
{
    const struct config *config = &server->settings->config;
    char error[NET_ERROR_MAX];
    int found = take_sockets(server);
    if (found != 0)
        return found;
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

static int check_only(const char *path)
{
    char error[CONFIG_ERROR_MAX];
    struct settings *settings = settings_read(path, SETTINGS_CHECK, error);
    if (!settings) {
        fprintf(stderr, "%s\n", error);
        return 1;
    }
    printf("%s is right\n", settings->config.path);
    settings_drop(settings);
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

static void accept_some(struct server *server, int listener)
{
    struct sockaddr_storage peer;
    for (int i = 0; i < ACCEPT_BURST; i++) {
        pthread_mutex_lock(&server->accepting);
        int fd = net_accept(listener, &peer);
        pthread_mutex_unlock(&server->accepting);
        if (fd >= 0) {
            life_start(fd, &peer);
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
                accept_some(server, server->listeners[i]);
    }
    return NULL;
}

/* ---- Reading the settings again ---- */

static void reserve(struct server *server)
{
    for (int i = 0; i < RESERVED; i++)
        server->reserved[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void release(struct server *server)
{
    for (int i = 0; i < RESERVED; i++)
        if (server->reserved[i] >= 0)
            close(server->reserved[i]);
}

/* Reads them; where descriptors are out, with those that are kept for it. Nobody is let in meanwhile,
 * who could take them. */
static struct settings *read_again(struct server *server, char *kept)
{
    pthread_mutex_lock(&server->accepting);
    release(server);
    struct settings *next = settings_read_again(server->settings, kept, server->error);
    reserve(server);
    pthread_mutex_unlock(&server->accepting);
    return next;
}

/* Puts new settings in force, everywhere. Nobody uses those before when settings_publish lets them go,
 * but clients that hold them; they are woken to look. */
static void adopt(struct server *server, struct settings *next)
{
    raise_descriptor_limit(next->config.max_clients);
    log_set_level(next->config.log_level);
    register_adopt(&next->config);
    rooms_adopt(&next->config);
    server->settings = next;
    settings_publish(next);
    register_wake();
}

/* A complaint quotes what it found; in a value of the log a quote would be its end. */
static void unquote(char *text)
{
    for (; *text; text++)
        if (*text == '"')
            *text = '\'';
}

static void reload(struct server *server)
{
    char kept[CONFIG_KEPT_MAX];
    struct settings *next = read_again(server, kept);
    metrics_add(next ? METRIC_RELOADS : METRIC_RELOADS_FAILED, 1);
    if (!next) {
        unquote(server->error);
        log_event(LOG_LEVEL_ERROR, "reload_failed", "why=\"%s\"", server->error);
        return;
    }
    adopt(server, next);
    log_notice("reloaded", "certificate=%s", next->tls ? next->cert.fingerprint : "none");
    if (kept[0])
        log_event(LOG_LEVEL_WARN, "reload_kept", "keys=%s why=\"they change at a start only\"",
                  kept);
}

/* ---- The life of the server ---- */

/* Whether there is a terminal to which this process belongs. */
static bool has_terminal(void)
{
    int fd = open("/dev/tty", O_RDONLY | O_NOCTTY | O_CLOEXEC);
    if (fd >= 0)
        close(fd);
    return fd >= 0 || is_shortage(errno);
}

/* nohup(1) has SIGHUP ignored: then the end of a terminal is nothing to us. */
static bool is_ignored(int number)
{
    struct sigaction action;
    return sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

static int start_threads(struct server *server)
{
    register_init(&server->settings->config);
    life_init();
    if (rooms_init(&server->settings->config) == 0 &&
        pthread_create(&server->acceptor, NULL, accept_loop, server) == 0)
        return 0;
    snprintf(server->error, sizeof(server->error), "ragnarok: out of memory or threads");
    return -1;
}

static int start(struct server *server, const struct options *options)
{
    if (refuse_root(options, server->error) < 0)
        return -1;
    server->settings = settings_read(options->path, SETTINGS_START, server->error);
    const struct settings *settings = server->settings;
    if (!settings || start_listening(server) < 0)
        return -1;
    warn_of_root(options);
    raise_descriptor_limit(settings->config.max_clients);
    reserve(server);
    settings_publish(server->settings);
    if (start_threads(server) < 0)
        return -1;
    announce(&settings->config, server->listeners[0], settings->tls ? &settings->cert : NULL);
    log_notice("started", "version=" VERSION " port=%d", net_port(server->listeners[0]));
    service_ready();
    return 0;
}

/* Reads the settings again, unless it was the terminal that hung up. Returns whether it was. */
static bool hang_up(struct server *server)
{
    if (server->has_terminal && !has_terminal())
        return true;
    service_reloading();
    reload(server);
    service_ready();
    return false;
}

/* Waits for a signal to end. A second one then ends the process at once, as by default. */
static void await_end(struct server *server, sigset_t *signals)
{
    int number;
    while (sigwait(signals, &number) != 0 || (number == SIGHUP && !hang_up(server)))
        ;
    service_stopping();
    log_notice("stopping", "signal=%d", number);
    signal(SIGTERM, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    sigdelset(signals, SIGHUP);
    pthread_sigmask(SIG_UNBLOCK, signals, NULL);
}

static void stop_accepting(struct server *server)
{
    if (atomic_exchange(&server->stopping, true))
        return;
    net_wake(server->acceptor);
    pthread_join(server->acceptor, NULL);
    for (int i = 0; i < server->listener_count; i++)
        close(server->listeners[i]);
}

/* Tells everybody, and waits until all have gone. Whoever comes meanwhile is told that the server is
 * ending; but where the sockets outlive it, he had better wait for the next start. Returns how many did
 * not go. */
static int drain(struct server *server)
{
    int64_t until = net_now() + DRAIN_MS;
    if (server->passed_on)
        stop_accepting(server);
    rooms_stop();
    register_stop();
    register_wait(until);
    stop_accepting(server);
    return register_cut(until);
}

/* Blocks the signals that the main thread waits for, in all threads. */
static void block_signals(sigset_t *signals)
{
    sigemptyset(signals);
    sigaddset(signals, SIGTERM);
    sigaddset(signals, SIGINT);
    sigaddset(signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, signals, NULL);
}

static int run(const struct options *options)
{
    static struct server server = {.accepting = PTHREAD_MUTEX_INITIALIZER};
    sigset_t signals;
    block_signals(&signals);
    server.has_terminal = !is_ignored(SIGHUP) && has_terminal();
    service_init();
    net_wake_init();
    if (pages_init(options->web_root, server.error) < 0 || start(&server, options) < 0) {
        fprintf(stderr, "%s\n", server.error);
        return 1;
    }
    await_end(&server, &signals);
    int left = drain(&server);
    log_notice("stopped", "cut_off=%d", left);
    if (left > 0)
        _exit(0); /* their threads still use what would be freed here */
    thread_stop();
    rooms_fini();
    settings_publish(NULL);
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
    struct options options;
    fill_standard_streams();
    int status = read_options(argc, argv, &options);
    if (status >= 0)
        return status;
    return options.check ? check_only(options.path) : run(&options);
}
