/* SPDX-License-Identifier: MIT
 *
 * intruder.c - a library for LD_PRELOAD: acts as an intruder who controls the server, and tries
 * forbidden actions from inside.
 *
 * On SIGURG it tries the deeds that the environment names in INTRUDER, one after the other,
 * "open:PATH" for example. Each writes one line on standard error: "intruder DEED 0", or an errno
 * in place of the 0. SIGWINCH makes the accepting thread hang in the middle of a call. With
 * OLD_KERNEL in the environment the kernel seems to have neither seccomp nor Landlock.
 *
 * It makes the system calls directly, because the C library could refuse by itself.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LANDLOCK_FIRST = 444, LANDLOCK_LAST = 446, DEEDS_MAX = 4096 };

static long (*real_syscall)(long number, ...);
static char deeds[DEEDS_MAX];
static atomic_bool hang;
static bool old_kernel;

/* ---- The deeds: each returns the result of its system call ---- */

static long do_open(const char *path)
{
    return real_syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
}

static long do_write(const char *path)
{
    return real_syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
}

static long do_unlink(const char *path)
{
    return real_syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

static long do_exec(const char *path)
{
    const char *const argv[] = {path, NULL};
    return real_syscall(SYS_execve, path, argv, argv + 1);
}

static long do_fork(const char *ignored)
{
    (void)ignored;
    long pid = real_syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
    if (pid == 0)
        real_syscall(SYS_exit_group, 0);
    return pid;
}

static long do_connect(const char *port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    long fd = real_syscall(SYS_socket, AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return fd < 0 ? fd : real_syscall(SYS_connect, fd, &to, sizeof(to));
}

static long do_listen(const char *ignored)
{
    (void)ignored;
    struct sockaddr_in on = {.sin_family = AF_INET};
    on.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    long fd = real_syscall(SYS_socket, AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return fd < 0 ? fd : real_syscall(SYS_bind, fd, &on, sizeof(on));
}

static long do_kill(const char *pid)
{
    return real_syscall(SYS_kill, atoi(pid), 0);
}

static long do_tgkill(const char *pid)
{
    return real_syscall(SYS_tgkill, atoi(pid), atoi(pid), 0);
}

static long do_trace(const char *pid)
{
    return real_syscall(SYS_ptrace, PTRACE_SEIZE, atoi(pid), NULL, NULL);
}

static long do_peek(const char *pid)
{
    char byte;
    struct iovec here = {&byte, 1}, there = {deeds, 1};
    return real_syscall(SYS_process_vm_readv, atoi(pid), &here, 1, &there, 1, 0);
}

static long do_code(const char *ignored)
{
    (void)ignored;
    return real_syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == -1
               ? -1
               : 0;
}

static const struct deed {
    const char *name;
    long (*act)(const char *argument);
} known[] = {
    {"open", do_open},     {"write", do_write},     {"unlink", do_unlink}, {"exec", do_exec},
    {"fork", do_fork},     {"connect", do_connect}, {"listen", do_listen}, {"kill", do_kill},
    {"tgkill", do_tgkill}, {"trace", do_trace},     {"peek", do_peek},     {"code", do_code},
};

static void act(const char *deed)
{
    char line[DEEDS_MAX];
    const char *colon = strchr(deed, ':');
    size_t len = colon ? (size_t)(colon - deed) : strlen(deed);
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strlen(known[i].name) != len || strncmp(known[i].name, deed, len) != 0)
            continue;
        long result = known[i].act(colon ? colon + 1 : "");
        int said = snprintf(line, sizeof(line), "intruder %s %d\n", deed, result < 0 ? errno : 0);
        real_syscall(SYS_write, STDERR_FILENO, line, said);
    }
}

static void on_urgent(int number)
{
    (void)number;
    char *rest, all[DEEDS_MAX];
    memcpy(all, deeds, sizeof(all));
    for (char *deed = strtok_r(all, " ", &rest); deed; deed = strtok_r(NULL, " ", &rest))
        act(deed);
}

static void on_hang(int number)
{
    (void)number;
    atomic_store(&hang, true);
}

/* ---- Replacements of C library functions ---- */

__attribute__((constructor)) static void begin(void)
{
    struct sigaction action = {.sa_handler = on_urgent, .sa_flags = SA_RESTART};
    const char *given = getenv("INTRUDER");
    *(void **)&real_syscall = dlsym(RTLD_NEXT, "syscall");
    old_kernel = getenv("OLD_KERNEL") != NULL;
    snprintf(deeds, sizeof(deeds), "%s", given ? given : "");
    sigaction(SIGURG, &action, NULL);
    action.sa_handler = on_hang;
    sigaction(SIGWINCH, &action, NULL);
}

/* In <sys/socket.h> the second parameter is a union of all address types. */
int accept4(int fd, __SOCKADDR_ARG address, socklen_t *len, int flags)
{
    while (atomic_load(&hang))
        pause();
    return (int)real_syscall(SYS_accept4, fd, address.__sockaddr__, len, flags);
}

long syscall(long number, ...)
{
    va_list list;
    long a[6];
    va_start(list, number);
    for (size_t i = 0; i < sizeof(a) / sizeof(a[0]); i++)
        a[i] = va_arg(list, long);
    va_end(list);
    bool new_call = number == SYS_seccomp || (number >= LANDLOCK_FIRST && number <= LANDLOCK_LAST);
    if (old_kernel && new_call) {
        errno = ENOSYS;
        return -1;
    }
    return real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

int prctl(int option, ...)
{
    va_list list;
    unsigned long a[4];
    va_start(list, option);
    for (size_t i = 0; i < sizeof(a) / sizeof(a[0]); i++)
        a[i] = va_arg(list, unsigned long);
    va_end(list);
    if (old_kernel && option == PR_SET_SECCOMP) {
        errno = EINVAL;
        return -1;
    }
    return (int)real_syscall(SYS_prctl, option, a[0], a[1], a[2], a[3]);
}
