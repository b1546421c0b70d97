/* SPDX-License-Identifier: MIT
 *
 * broker.c - the process that reads and writes files for the server.
 *
 * A request is one byte; the answer is a struct of fixed size, followed by the bytes that it
 * announces. Both ends are the same program, so the struct is sent as it is. The server still
 * checks each length against its limit.
 *
 * The broker keeps two configurations, the one in force and the one read last, in step with
 * live_config.c: a reload that the server refuses (because OpenSSL finds the key too weak, say)
 * must leave nothing behind.
 */
#include "server/cert/broker.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "server/cert/pem.h"
#include "base/sandbox.h"

enum {
    BROKER_FD = STDERR_FILENO + 1, /* its only descriptor besides the standard streams */
    CA_DER_MAX = 64 * 1024,        /* bytes of the root's certificate */
};

struct answer {
    int result; /* 0, or -1 and `error` */
    size_t config_len, chain_len, key_len;
    bool has_config, has_tls, password_readable;
    struct server_cert cert; /* without `ca`, which follows */
    char error[CONFIG_ERROR_MAX];
};

static int channel = -1; /* socket to the broker; -1: this process reads the files */
static pid_t broker;     /* 0: not started, or known to have ended */

/* ---- Reading files: in the broker, or in a process that has none ---- */

static struct config running, next; /* in force; read last */
static bool has_running, has_next;

static void forget(struct config *config, bool *has)
{
    if (*has)
        config_free(config);
    *has = false;
}

static void commit(void)
{
    if (!has_next)
        return;
    forget(&running, &has_running);
    running = next;
    has_running = true;
    has_next = false;
    log_set_level(running.log_level);
}

static int serve(enum broker_request request, const char *path, struct material *material,
                 char *error)
{
    bool start = request == BROKER_START && !has_running; /* once: it may make certificates */
    forget(&next, &has_next);
    if (start || request == BROKER_CHECK) {
        has_next = material_read(path, start, material, &next, error) == 0;
        return has_next ? 0 : -1;
    }
    if (request == BROKER_RELOAD && has_running) {
        has_next = material_read_again(&running, material, &next, error) == 0;
        return has_next ? 0 : -1;
    }
    if (request == BROKER_RENEW && has_running)
        return material_renew(&running, material, error);
    snprintf(error, CONFIG_ERROR_MAX, "ragnarok: unexpected request for files");
    return -1;
}

/* ---- Sending and receiving ---- */

static bool send_all(int fd, const void *bytes, size_t len)
{
    const char *at = bytes;
    while (len > 0) {
        ssize_t n = send(fd, at, len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        at += n;
        len -= (size_t)n;
    }
    return true;
}

static bool receive_all(int fd, void *bytes, size_t len)
{
    char *at = bytes;
    while (len > 0) {
        ssize_t n = recv(fd, at, len, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        at += n;
        len -= (size_t)n;
    }
    return true;
}

/* ---- The broker's side ---- */

static bool send_answer(int fd, struct answer *answer, const struct material *material)
{
    answer->has_config = material->config != NULL;
    answer->has_tls = material->key != NULL;
    answer->password_readable = material->password_readable;
    answer->config_len = material->config_len;
    answer->chain_len = material->chain_len;
    answer->key_len = material->key_len;
    memcpy(&answer->cert, &material->cert, sizeof(answer->cert));
    answer->cert.ca = NULL;
    return send_all(fd, answer, sizeof(*answer)) &&
           send_all(fd, material->config, material->config_len) &&
           send_all(fd, material->chain, material->chain_len) &&
           send_all(fd, material->key, material->key_len) &&
           send_all(fd, material->cert.ca, (size_t)material->cert.ca_len);
}

static bool answer_request(int fd, char request, const char *path)
{
    struct answer answer;
    struct material material;
    memset(&answer, 0, sizeof(answer));
    memset(&material, 0, sizeof(material));
    answer.result = serve((enum broker_request)request, path, &material, answer.error);
    bool sent = send_answer(fd, &answer, &material);
    material_free(&material);
    return sent;
}

/* Detaches from the server's descriptors and signals. The main thread has blocked the signals that
 * stop the server (ragnarok.c). The broker must outlive them, while the server drains: it ends when
 * the server closes its end of the channel. */
static void leave_server_behind(int fd)
{
    signal(SIGUSR1, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_NAME, "ragnarok-broker");
    if (fd != BROKER_FD)
        dup2(fd, BROKER_FD);
#ifdef SYS_close_range /* older kernels leave a service manager's descriptors open; harmless */
    syscall(SYS_close_range, BROKER_FD + 1, ~0U, 0);
#endif
}

_Noreturn static void broker_main(int fd, const char *path, bool confine)
{
    char request;
    leave_server_behind(fd);
    if (confine)
        sandbox_broker();
    while (receive_all(BROKER_FD, &request, 1)) {
        if (request == BROKER_COMMIT)
            commit();
        else if (!answer_request(BROKER_FD, request, path))
            break;
    }
    forget(&running, &has_running);
    forget(&next, &has_next);
    _exit(0);
}

/* ---- The server's side ---- */

int broker_fork(const char *path, bool confine, char *error)
{
    int fds[2];
    /* OpenSSL must load its files now, because a confined process cannot. */
    OPENSSL_init_crypto(OPENSSL_INIT_LOAD_CONFIG, NULL);
    signal(SIGCHLD, SIG_DFL); /* if it were ignored, the broker's end would not be noticed */
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0) {
        broker = fork();
        if (broker == 0) {
            close(fds[0]);
            broker_main(fds[1], path, confine);
        }
        close(fds[1]);
        channel = fds[0];
        if (broker > 0)
            return 0;
    }
    snprintf(error, CONFIG_ERROR_MAX, "ragnarok: cannot start the process that reads files: %s",
             strerror(errno));
    return -1;
}

/* Receives `len` bytes and appends a NUL. Returns NULL if they do not come, are more than `most`,
 * or memory is out. */
static char *receive_text(size_t len, size_t most)
{
    char *text = len <= most ? malloc(len + 1) : NULL;
    if (text && receive_all(channel, text, len)) {
        text[len] = '\0';
        return text;
    }
    free(text);
    return NULL;
}

static char *receive_bytes(size_t len, size_t most)
{
    char *bytes = len <= most ? OPENSSL_zalloc(len + 1) : NULL;
    if (bytes && receive_all(channel, bytes, len))
        return bytes;
    OPENSSL_free(bytes);
    return NULL;
}

static bool receive_material(const struct answer *answer, struct material *material)
{
    memcpy(&material->cert, &answer->cert, sizeof(material->cert));
    material->cert.ca = NULL;
    material->password_readable = answer->password_readable;
    material->config_len = answer->config_len;
    material->chain_len = answer->chain_len;
    material->key_len = answer->key_len;
    if (answer->has_config &&
        !(material->config = receive_text(answer->config_len, CONFIG_FILE_MAX)))
        return false;
    if (!answer->has_tls)
        return true;
    material->chain = receive_bytes(answer->chain_len, PEM_FILE_MAX);
    material->key = material->chain ? receive_bytes(answer->key_len, PEM_FILE_MAX) : NULL;
    if (!material->key || answer->cert.ca_len < 0 || answer->cert.ca_len > CA_DER_MAX)
        return false;
    if (answer->cert.ca_len == 0)
        return true;
    material->cert.ca = (unsigned char *)receive_bytes((size_t)answer->cert.ca_len, CA_DER_MAX);
    return material->cert.ca != NULL;
}

/* Closes the channel after a broken answer. */
static int lose_broker(struct material *material, char *error)
{
    material_free(material);
    if (channel >= 0)
        shutdown(channel, SHUT_RDWR);
    snprintf(
        error, CONFIG_ERROR_MAX,
        "ragnarok: the process that reads files is gone, or memory is out; to read them again, "
        "restart the server");
    return -1;
}

int broker_ask(enum broker_request request, const char *path, struct material *material,
               char *error)
{
    struct answer answer;
    char byte = (char)request;
    memset(material, 0, sizeof(*material));
    if (channel < 0)
        return serve(request, path, material, error);
    if (!send_all(channel, &byte, 1) || !receive_all(channel, &answer, sizeof(answer)))
        return lose_broker(material, error);
    answer.error[CONFIG_ERROR_MAX - 1] = '\0';
    if (answer.result == 0)
        return receive_material(&answer, material) ? 0 : lose_broker(material, error);
    memcpy(error, answer.error, CONFIG_ERROR_MAX);
    return -1;
}

void broker_commit(void)
{
    char byte = BROKER_COMMIT;
    if (channel < 0)
        commit();
    else
        send_all(channel, &byte, 1); /* if that fails, the next request says so */
}

bool broker_is_gone(void)
{
    bool gone = broker > 0 && waitpid(broker, NULL, WNOHANG) == broker;
    if (gone)
        broker = 0;
    return gone;
}

void broker_end(void)
{
    if (channel >= 0)
        close(channel);
    channel = -1;
    while (broker > 0 && waitpid(broker, NULL, 0) < 0 && errno == EINTR)
        continue;
    broker = 0;
}
