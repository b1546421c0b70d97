/* SPDX-License-Identifier: MIT
 *
 * ragnarok.c - starts the chat server, accepts connections, and stops.
 *
 * The main thread starts everything and then waits for signals: SIGTERM and SIGINT stop the server,
 * SIGHUP reloads the settings. The broker, a second process (broker.h), is forked first and handles
 * the files of the settings and the certificate; the server confines itself (sandbox.h) before it
 * accepts the first client. The acceptor thread accepts connections and starts a thread for each
 * (client_thread.c). The process exits with an error only from this file, before the first client.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "server/startup_banner.h"
#include "server/server_options.h"
#include "server/cert/broker.h"
#include "server/cert/server_cert.h"
#include "base/config.h"
#include "base/config_lan.h"
#include "server/exposure.h"
#include "server/client_thread.h"
#include "net/linger.h"
#include "lib/json/json_writer.h"
#include "base/log.h"
#include "base/metrics.h"
#include "net/socket.h"
#include "server/http/static_files.h"
#include "server/registry.h"
#include "room.h"
#include "room/bridge.h"
#include "room/keeper.h"
#include "lib/version.h"
#include "base/sandbox.h"
#include "base/systemd.h"
#include "base/tcache.h"
#include "server/live_config.h"
#include "base/thread_pool.h"

enum {
    DRAIN_MS = 5000,                     /* for clients to receive queued messages and 1001 */
    ACCEPT_BURST = 64,                   /* connections accepted between two checks of `stopping` */
    ACCEPT_PAUSE_MS = 100,               /* after accept(2) ran out of descriptors or memory */
    SPARE_DESCRIPTORS = 64 + LINGER_MAX, /* in addition to one for each client */
    RENEW_MS = 6 * 3600 * 1000,          /* between two checks of the certificate */
    FIRST_FREE_PORT = 1024,              /* lower ports need a privilege */
};

struct server {
    struct live_config *settings; /* in force */
    int listeners[NET_LISTENERS_MAX];
    int listener_count;
    bool passed_on;         /* a service manager owns the listeners; they outlive this process */
    bool has_made_password; /* by --lan, in this start */
    bool allow_sample;      /* accept the sample password even when reachable from the internet */
    int terminal;           /* the server stops when it closes; -1: none */
    pid_t shell;            /* our parent, which may forward the SIGHUP of a closed terminal */
    char error[CONFIG_ERROR_MAX];
    pthread_t acceptor;
    atomic_bool stopping;
    atomic_uint asked, answered; /* watchdog: rounds requested, and rounds that the acceptor did */
};

/* ---- Start ---- */

/* Raises the limit of descriptors for max_clients, as far as the system allows. */
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

/* Refuses to run as root under sudo, because that user can run the server under their own account.
 * Elsewhere (in a container, say) there may be no other user, so warn_of_root only warns. Must be
 * called before anything is written: such files would belong to root. Returns 0, or -1 and an error
 * text. */
static int refuse_root(const struct server_options *options, char *error)
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

static void warn_of_root(const struct server_options *options)
{
    if (geteuid() == 0 && !options->allow_root)
        log_event(LOG_LEVEL_WARN, "running_as_root",
                  "advice=\"run it as a user of its own (contrib/systemd shows how); a port below "
                  "1024 needs no root but setcap cap_net_bind_service=+ep ragnarok\"");
}

/* Warns if other users of this machine can read the password. */
static void warn_of_readers(const struct live_config *settings)
{
    if (!settings->password_readable)
        return;
    char *file = json_quote(settings->config.path);
    log_event(LOG_LEVEL_WARN, "settings_readable",
              "file=%s advice=\"other users of this machine can read the password: chmod 600 it\"",
              file ? file : "-");
    free(file);
}

/* Takes the sockets that a service manager has opened. Returns how many, or -1 and an error. */
static int take_sockets(struct server *server)
{
    const char *why;
    server->listener_count = systemd_sockets(server->listeners, NET_LISTENERS_MAX, &why);
    if (server->listener_count < 0)
        snprintf(server->error, sizeof(server->error), "ragnarok: %s", why);
    server->passed_on = server->listener_count > 0;
    return server->listener_count;
}

static int refuse_address(const struct config *config, char *error, const char *why)
{
    return config_complain(config, "server_ip", error,
                           "expected an address of this machine, or 0.0.0.0 for all of them, got "
                           "\"%s\" (%s)",
                           config->server_ip, why);
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
        return config_complain(
            config, "server_port", server->error,
            "expected a port that is free, got %d, which is in use by another program",
            config->server_port);
    if (errno == EACCES)
        return config_complain(
            config, "server_port", server->error,
            "expected a port from 1024 on, got %d, which needs the right to use low ports",
            config->server_port);
    return refuse_address(config, server->error, error);
}

static void print_fault(void *context, const char *error)
{
    (void)context;
    fprintf(stderr, "%s\n", error);
}

/* Checks that the machine has the address server_ip, with a free port: a running server may use the
 * port of the settings. Returns the number of faults, which it prints. */
static int check_address(const char *path)
{
    int fds[NET_LISTENERS_MAX];
    char why[NET_ERROR_MAX], error[CONFIG_ERROR_MAX];
    struct config config;
    if (config_load(&config, path, error) < 0) {
        print_fault(NULL, error);
        return 1;
    }
    int count = net_listen(config.server_ip, 0, fds, why);
    if (count < 0) {
        refuse_address(&config, error, why);
        print_fault(NULL, error);
    }
    config_free(&config);
    for (int i = 0; i < count; i++)
        close(fds[i]);
    return count < 0;
}

/* Prints all that is wrong with the settings; if nothing is, what is wrong with the address and the
 * certificate. */
static int check_only(const char *path)
{
    char error[CONFIG_ERROR_MAX];
    if (config_check(path, print_fault, NULL) > 0)
        return 1;
    int faults = check_address(path);
    struct live_config *settings = live_config_read(path, LIVE_CONFIG_CHECK, error);
    if (!settings)
        print_fault(NULL, error);
    else if (faults == 0)
        printf("%s is right\n", settings->config.path);
    live_config_unref(settings);
    return faults > 0 || !settings;
}

/* ---- Accepting ---- */

/* Whether accept(2) failed because of a shortage that passes. */
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
            client_thread_start(fd, &peer);
            continue;
        }
        if (is_shortage(errno))
            pause_accepting(errno);
        return; /* including a connection that was aborted before accept(2) */
    }
}

static void *accept_loop(void *argument)
{
    struct server *server = argument;
    while (!atomic_load(&server->stopping)) {
        atomic_store(&server->answered, atomic_load(&server->asked));
        unsigned ready =
            net_wait_any(server->listeners, server->listener_count, client_thread_look());
        for (int i = 0; i < server->listener_count; i++)
            if (ready & 1u << i)
                accept_some(server->listeners[i]);
    }
    client_thread_close();
    return NULL;
}

/* ---- Reading the settings again ---- */

/* Refuses the sample password where the internet can reach it. */
static int check_exposure(struct server *server, const struct config *config)
{
    return server->allow_sample ? 0 : exposure_check(config, server->error);
}

/* Puts new settings in force everywhere. After live_config_publish, only clients that hold a
 * reference use the old ones; they are woken to switch. */
static void apply_settings(struct server *server, struct live_config *next)
{
    raise_descriptor_limit(next->config.max_clients);
    log_set_level(next->config.log_level);
    registry_set_config(&next->config);
    rooms_set_config(&next->config);
    keeper_set_config(&next->config);
    server->settings = next;
    live_config_publish(next);
    registry_wake();
}

/* Replaces the quotes in an error text, because a quote would end the value in a log line. */
static void unquote(char *text)
{
    for (; *text; text++)
        if (*text == '"')
            *text = '\'';
}

static void reload(struct server *server)
{
    char kept[CONFIG_KEPT_MAX];
    struct live_config *next = live_config_read_again(server->settings, kept, server->error);
    if (next && check_exposure(server, &next->config) < 0) {
        live_config_unref(next);
        next = NULL;
    }
    metrics_add(next ? METRIC_RELOADS : METRIC_RELOADS_FAILED, 1);
    if (!next) {
        unquote(server->error);
        log_event(LOG_LEVEL_ERROR, "reload_failed", "why=\"%s\"", server->error);
        return;
    }
    apply_settings(server, next);
    warn_of_readers(next);
    log_notice("reloaded", "certificate=%s", next->tls ? next->cert.fingerprint : "none");
    if (kept[0])
        log_event(LOG_LEVEL_WARN, "reload_kept", "keys=%s why=\"they change at a start only\"",
                  kept);
}

/* Checks the certificate: ours may need renewal, and another may have been replaced. */
static void renew_certificate(struct server *server)
{
    struct live_config *running = server->settings;
    if (!running->tls)
        return;
    struct live_config *next = live_config_renew(running, server->error);
    if (!next) {
        unquote(server->error);
        log_event(LOG_LEVEL_ERROR, "renewal_failed", "why=\"%s\"", server->error);
    } else if (strcmp(next->cert.fingerprint, running->cert.fingerprint) == 0) {
        live_config_unref(next);
    } else {
        apply_settings(server, next);
        log_notice("renewed", "certificate=%s", next->cert.fingerprint);
    }
}

/* ---- Waiting for signals ---- */

/* Opens the terminal to which this process belongs. The sandbox (sandbox.h) forbids it later. */
static int open_terminal(void)
{
    return open("/dev/tty", O_RDONLY | O_NOCTTY | O_CLOEXEC);
}

/* Whether it is still the terminal of this process: tcgetpgrp(3) fails if it is gone. */
static bool is_terminal_there(const struct server *server)
{
    return tcgetpgrp(server->terminal) >= 0;
}

/* Whether a signal is ignored: under nohup(1) SIGHUP is, and a closed terminal does not matter. */
static bool is_ignored(int number)
{
    struct sigaction action;
    return sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

/* Reads the settings, listens, and creates everything that needs files or new sockets. */
static int prepare_start(struct server *server, const struct server_options *options)
{
    server->settings = live_config_read(options->path, LIVE_CONFIG_START, server->error);
    const struct live_config *settings = server->settings;
    server->allow_sample = options->allow_sample;
    if (!settings || start_listening(server) < 0)
        return -1;
    exposure_init(server->listeners, server->listener_count);
    if (check_exposure(server, &settings->config) < 0)
        return -1;
    live_config_publish(server->settings);
    metrics_process_init();
    registry_init(&settings->config);
    client_thread_init();
    if (keeper_open(&settings->config, server->error) < 0 ||
        bridge_open(&settings->config, server->error) < 0)
        return -1;
    if (rooms_init(&settings->config) < 0) {
        snprintf(server->error, sizeof(server->error), "ragnarok: out of memory");
        return -1;
    }
    announce(&settings->config, server->listeners[0], settings->tls ? &settings->cert : NULL,
             server->has_made_password);
    warn_of_readers(settings); /* log lines come after the announcement, not in front of it */
    warn_of_root(options);
    raise_descriptor_limit(settings->config.max_clients);
    return 0;
}

/* Enters the sandbox before it starts the threads that serve clients. */
static int start_server(struct server *server, const struct server_options *options)
{
    if (prepare_start(server, options) < 0)
        return -1;
    if (options->no_sandbox)
        log_notice("sandbox", "seccomp=off landlock=off why=\"--no-sandbox\"");
    else
        sandbox_server(options->web_root, keeper_store() != NULL, bridge_is_on());
    if (keeper_start() < 0 || bridge_start() < 0 ||
        pthread_create(&server->acceptor, NULL, accept_loop, server) != 0) {
        snprintf(server->error, sizeof(server->error), "ragnarok: out of memory or threads");
        return -1;
    }
    log_notice("started", "version=" RAGNAROK_VERSION " port=%d", net_port(server->listeners[0]));
    systemd_ready();
    return 0;
}

/* Whether a SIGHUP means that the terminal is gone. Then the kernel sends it, or the shell whose
 * job we are. From any other sender it means a reload, even if the terminal was closed long ago
 * (disown). */
static bool is_hang_up(const struct server *server, const siginfo_t *info)
{
    bool told = info->si_code == SI_KERNEL || info->si_pid == server->shell;
    return server->terminal >= 0 && told && !is_terminal_there(server);
}

static void reload_as_service(struct server *server)
{
    systemd_reloading();
    reload(server);
    systemd_ready();
}

/* Tells the service manager, if it asked for that, that the server is alive. Taking each lock once
 * blocks this thread in a deadlock. Nothing is reported if the acceptor has not completed a round
 * since last time. */
static void report_alive(struct server *server)
{
    registry_probe();
    rooms_probe();
    unsigned asked = atomic_load(&server->asked);
    if (atomic_load(&server->answered) == asked)
        systemd_alive();
    else
        log_event(LOG_LEVEL_ERROR, "hangs", "thread=acceptor");
    atomic_store(&server->asked, asked + 1);
    net_wake(server->acceptor);
}

/* Waits for a signal as sigwaitinfo(2) does, and runs the periodic jobs meanwhile. */
static int await_signal(struct server *server, const sigset_t *signals, siginfo_t *info)
{
    static int64_t report_at, renew_at; /* on net_now's clock */
    int64_t period = systemd_watchdog_ms(), now = net_now();
    if (renew_at == 0)
        renew_at = now + RENEW_MS;
    if (period && now >= report_at) {
        report_alive(server);
        report_at = now + period;
    }
    int64_t ms = period ? report_at - now : RENEW_MS;
    const struct timespec left = net_timespec(ms);
    int number = sigtimedwait(signals, info, &left);
    if (number < 0 && errno == EAGAIN && (!period || net_now() >= renew_at)) {
        renew_certificate(server);
        renew_at = net_now() + RENEW_MS;
    }
    return number;
}

/* Waits for a signal to stop. A second one then kills the process, as by default. */
static void await_end(struct server *server, sigset_t *signals)
{
    siginfo_t info;
    int number;
    for (;;) {
        number = await_signal(server, signals, &info);
        if (number == SIGHUP && !is_hang_up(server, &info))
            reload_as_service(server);
        else if (number == SIGCHLD && broker_is_gone())
            log_event(LOG_LEVEL_ERROR, "broker_gone",
                      "why=\"settings and certificate cannot be read again before a restart\"");
        else if (number > 0 && number != SIGCHLD)
            break;
    }
    systemd_stopping();
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

/* Stores what was accepted, tells all clients that the server stops, and waits until they are gone.
 * While it drains, new connections get 503. With a service manager's sockets it stops accepting at
 * once, so that new connections queue for the next start. Returns the number of clients that were
 * cut off. */
static int drain_clients(struct server *server)
{
    if (server->passed_on)
        stop_accepting(server);
    rooms_stop();
    keeper_finish(net_now() + KEEPER_STOP_MS);
    bridge_finish(net_now() + BRIDGE_FINISH_MS);
    int64_t until = net_now() + DRAIN_MS;
    registry_stop();
    registry_wait(until);
    stop_accepting(server);
    return registry_cut(until);
}

/* Blocks, in all threads, the signals that the main thread waits for. Ignores signals that have no
 * meaning here and would kill the process by default. */
static void prepare_signals(sigset_t *signals)
{
    static const int meaningless[] = {SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGIO, SIGPWR};
    for (size_t i = 0; i < sizeof(meaningless) / sizeof(meaningless[0]); i++)
        signal(meaningless[i], SIG_IGN);
    sigemptyset(signals);
    sigaddset(signals, SIGTERM);
    sigaddset(signals, SIGINT);
    sigaddset(signals, SIGHUP);
    sigaddset(signals, SIGCHLD); /* of the broker */
    pthread_sigmask(SIG_BLOCK, signals, NULL);
}

static int run(const struct server_options *options)
{
    static struct server server;
    sigset_t signals;
    prepare_signals(&signals);
    if (refuse_root(options, server.error) < 0 ||
        (options->lan &&
         config_open_to_lan(options->path, &server.has_made_password, server.error) < 0) ||
        broker_fork(options->path, !options->no_sandbox, server.error) < 0) {
        fprintf(stderr, "%s\n", server.error);
        return 1;
    }
    server.shell = getppid();
    server.terminal = is_ignored(SIGHUP) ? -1 : open_terminal();
    systemd_init();
    net_wake_init();
    if (static_files_init(options->web_root, server.error) < 0 ||
        start_server(&server, options) < 0) {
        fprintf(stderr, "%s\n", server.error);
        broker_end();
        return 1;
    }
    await_end(&server, &signals);
    int left = drain_clients(&server);
    broker_end();
    log_notice("stopped", "cut_off=%d", left);
    bridge_close(left == 0);
    if (left > 0 || !keeper_close())
        _exit(0); /* threads still use what would be freed here */
    thread_pool_stop();
    rooms_fini();
    live_config_publish(NULL);
    return 0;
}

/* A core dump would contain the key, the password and messages. So would memory that other
 * processes of the same user can read, which PR_SET_DUMPABLE prevents. */
static void forbid_core_dumps(void)
{
    const struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    prctl(PR_SET_DUMPABLE,
          0); /* RLIMIT_CORE does not apply to dumps that are piped to a program: core(5) */
}

/* If a standard stream were closed, a socket would get its number, and the log would go there. */
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
    struct server_options options;
    fill_standard_streams();
    int status = server_options_read(argc, argv, &options);
    if (status >= 0)
        return status;
    if (options.export_to)
        return server_options_export(&options);
    if (!options.check)
        tcache_turn_off(argv);
    if (!options.allow_core)
        forbid_core_dumps();
    return options.check ? check_only(options.path) : run(&options);
}
