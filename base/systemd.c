/* SPDX-License-Identifier: MIT
 *
 * systemd.c - systemd's two protocols for services. Each is a few lines, so no library is needed
 * (sd_notify(3), sd_listen_fds(3)).
 *
 * A report is one datagram of lines NAME=VALUE. The socket never blocks, so a service manager that
 * does not read costs nothing. Main thread only.
 */
#include "base/systemd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { FIRST_FD = 3, REPORT_MAX = 80 };

static int report_fd = -1;
static int64_t watchdog_ms; /* 0: no watchdog */

/* ---- Reports ---- */

/* Connects to a path, or to an abstract name, which begins with '@' instead of NUL. */
static int connect_notify(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = strlen(name);
    if (len < 2 || len >= sizeof(address.sun_path) || !strchr("/@", name[0]))
        return -1;
    memcpy(address.sun_path, name, len);
    if (name[0] == '@')
        address.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, size) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

/* Reads a number from the environment, 0 if there is none, and removes it for child processes. */
static long take_number(const char *name)
{
    const char *text = getenv(name);
    char *end = NULL;
    errno = 0;
    long number = text ? strtol(text, &end, 10) : 0;
    bool good = text && end != text && *end == '\0' && errno == 0;
    unsetenv(name);
    return good ? number : 0;
}

static void read_watchdog(void)
{
    long whose = take_number("WATCHDOG_PID"), usec = take_number("WATCHDOG_USEC");
    bool ours = whose == 0 || whose == (long)getpid();
    if (report_fd >= 0 && ours && usec > 0)
        watchdog_ms = usec / 2000 > 0 ? usec / 2000 : 1;
}

void systemd_init(void)
{
    const char *name = getenv("NOTIFY_SOCKET");
    if (name)
        report_fd = connect_notify(name);
    unsetenv("NOTIFY_SOCKET");
    read_watchdog();
}

int64_t systemd_watchdog_ms(void)
{
    return watchdog_ms;
}

static void report(const char *text)
{
    if (report_fd >= 0)
        send(report_fd, text, strlen(text), MSG_NOSIGNAL);
}

void systemd_ready(void)
{
    report("READY=1");
}

void systemd_alive(void)
{
    report("WATCHDOG=1");
}

/* The time distinguishes this reload from a later one. */
void systemd_reloading(void)
{
    char text[REPORT_MAX];
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%lld",
             (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000);
    report(text);
}

void systemd_stopping(void)
{
    report("STOPPING=1");
}

/* ---- Sockets ---- */

static bool is_listener(int fd)
{
    struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
    socklen_t size = sizeof(address), len = sizeof(int);
    int type = 0, listening = 0;
    return getsockname(fd, (struct sockaddr *)&address, &size) == 0 &&
           getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 &&
           getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) == 0 &&
           (address.ss_family == AF_INET || address.ss_family == AF_INET6) && type == SOCK_STREAM &&
           listening;
}

int systemd_sockets(int *fds, int max, const char **why)
{
    bool ours = take_number("LISTEN_PID") == (long)getpid();
    long count = take_number("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    if (!ours || count <= 0)
        return 0;
    *why = "more sockets were passed on (LISTEN_FDS) than can be used";
    if (count > max)
        return -1;
    *why = "what was passed on (LISTEN_FDS) is no listening TCP socket";
    for (int i = 0; i < (int)count; i++) {
        fds[i] = FIRST_FD + i;
        if (!is_listener(fds[i]) || fcntl(fds[i], F_SETFD, FD_CLOEXEC) != 0 ||
            fcntl(fds[i], F_SETFL, O_NONBLOCK) != 0)
            return -1;
    }
    return (int)count;
}
