/* SPDX-License-Identifier: MIT
 *
 * sandbox.c - seccomp filters (libseccomp) and a Landlock domain.
 *
 * A filter is an allow list. Other calls fail with ENOSYS, as on an older kernel: a newer C library
 * that tries a newer call then falls back to the old one, where EPERM would break it. Calls that
 * only an intruder makes (`hostile`) kill the process.
 *
 * Calls that are allowed regardless of their arguments cost next to nothing: Linux 5.11 and later
 * keeps them in a bitmap and does not run the filter. All calls that a message takes are among
 * them.
 *
 * The two mechanisms are independent. seccomp sees no paths, so without --web-root it forbids every
 * open; with it, it allows opening for reading, and Landlock limits that to the folder. Landlock
 * also forbids TCP connections and signals to other processes (Linux 6.7 and 6.12), which seccomp
 * forbids by call.
 *
 * Under a sanitizer or valgrind, which make many calls of their own, nothing is confined: a
 * sanitizer is known here, valgrind needs --no-sandbox.
 */
#include "base/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/sched.h>
#include <seccomp.h>

#include "base/log.h"
#include "base/sanitized.h"

/* ---- System calls ---- */

/* Both processes need these: memory, clock, threads, signals, and the descriptors that are open. */
static const int common[] = {
    SCMP_SYS(read),
    SCMP_SYS(write),
    SCMP_SYS(readv),
    SCMP_SYS(writev),
    SCMP_SYS(recv),
    SCMP_SYS(send),
    SCMP_SYS(recvfrom),
    SCMP_SYS(close),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(ppoll_time64),
    SCMP_SYS(futex),
    SCMP_SYS(futex_time64),
    SCMP_SYS(lseek),
    SCMP_SYS(_llseek),
    SCMP_SYS(fstat),
    SCMP_SYS(fstat64),
    /* memory */
    SCMP_SYS(brk),
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(madvise),
    /* the clock, random bytes, the process's ids */
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_gettime64),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(time),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(clock_nanosleep_time64),
    SCMP_SYS(nanosleep),
    SCMP_SYS(getrandom),
    SCMP_SYS(uname),
    SCMP_SYS(getpid),
    SCMP_SYS(gettid),
    SCMP_SYS(getuid),
    SCMP_SYS(geteuid),
    SCMP_SYS(getgid),
    SCMP_SYS(getegid),
    SCMP_SYS(getrusage),
    SCMP_SYS(sysinfo),
    SCMP_SYS(getcpu),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(sched_yield),
    /* signals and the end */
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(sigreturn),
    SCMP_SYS(rt_sigtimedwait),
    SCMP_SYS(rt_sigtimedwait_time64),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
};

/* The server also needs these: its open sockets, threads, and a file that was opened before
 * (metrics_process.c). */
static const int of_server[] = {
    SCMP_SYS(accept4),         SCMP_SYS(shutdown),    SCMP_SYS(setsockopt),
    SCMP_SYS(getsockopt),      SCMP_SYS(getsockname), SCMP_SYS(getpeername),
    SCMP_SYS(set_robust_list), SCMP_SYS(rseq),        SCMP_SYS(set_tid_address),
    SCMP_SYS(sigaltstack),     SCMP_SYS(wait4),       SCMP_SYS(waitid),
    SCMP_SYS(getrlimit),       SCMP_SYS(ugetrlimit),  SCMP_SYS(setrlimit),
    SCMP_SYS(pread64),
};

/* The broker also needs these: files, and a netlink(7) socket for getifaddrs(3). */
static const int of_broker[] = {
    SCMP_SYS(open),       SCMP_SYS(openat),      SCMP_SYS(access),    SCMP_SYS(faccessat),
    SCMP_SYS(faccessat2), SCMP_SYS(stat),        SCMP_SYS(stat64),    SCMP_SYS(lstat),
    SCMP_SYS(lstat64),    SCMP_SYS(newfstatat),  SCMP_SYS(fstatat64), SCMP_SYS(statx),
    SCMP_SYS(pread64),    SCMP_SYS(rename),      SCMP_SYS(renameat),  SCMP_SYS(renameat2),
    SCMP_SYS(unlink),     SCMP_SYS(unlinkat),    SCMP_SYS(fsync),     SCMP_SYS(fdatasync),
    SCMP_SYS(fcntl),      SCMP_SYS(fcntl64),     SCMP_SYS(readlink),  SCMP_SYS(readlinkat),
    SCMP_SYS(bind),       SCMP_SYS(getsockname), SCMP_SYS(sendto),    SCMP_SYS(recvmsg),
    SCMP_SYS(mlock),      SCMP_SYS(mlock2),
};

static const int hostile[] = {
    SCMP_SYS(execve),           SCMP_SYS(execveat),          SCMP_SYS(ptrace),
    SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev),
};

/* A call that is allowed if an argument, masked with `mask`, equals `bits`. Several conditions for
 * the same call are alternatives. */
struct condition {
    int call;
    unsigned argument;
    uint64_t mask, bits;
};

#ifdef __s390__
enum { CLONE_ARGUMENT = 1 };
#else
enum { CLONE_ARGUMENT = 0 };
#endif

static const uint64_t all = UINT64_MAX;

static const struct condition common_if[] = {
    {SCMP_SYS(mmap), 2, PROT_EXEC, 0},
    {SCMP_SYS(mmap2), 2, PROT_EXEC, 0},
    {SCMP_SYS(mprotect), 2, PROT_EXEC, 0},
};

/* clone(2) may create threads only. clone3(2) does not exist, because a filter cannot see its
 * flags. sendto(2) may not have an address, as in send(2). */
static const struct condition of_server_if[] = {
    {SCMP_SYS(clone), CLONE_ARGUMENT, CLONE_THREAD, CLONE_THREAD},
    {SCMP_SYS(sendto), 4, UINT64_MAX, 0},
    {SCMP_SYS(prlimit64), 0, UINT64_MAX, 0},
    {SCMP_SYS(ioctl), 1, UINT64_MAX, TIOCOUTQ},
    {SCMP_SYS(ioctl), 1, UINT64_MAX, TIOCGPGRP},
    {SCMP_SYS(fcntl), 1, UINT64_MAX, F_GETFL},
    {SCMP_SYS(fcntl64), 1, UINT64_MAX, F_GETFL},
};

static const struct condition of_broker_if[] = {
    {SCMP_SYS(socket), 0, UINT64_MAX, AF_NETLINK},
    {SCMP_SYS(prlimit64), 0, UINT64_MAX, 0},
};

/* --web-root also needs these: open without any flag that writes, creates or truncates a file, and
 * stat. */
static const struct condition reading_if[] = {
    {SCMP_SYS(open), 1, O_ACCMODE | O_CREAT | O_TRUNC, O_RDONLY},
    {SCMP_SYS(openat), 2, O_ACCMODE | O_CREAT | O_TRUNC, O_RDONLY},
    {SCMP_SYS(newfstatat), 0, 0, 0},
    {SCMP_SYS(fstatat64), 0, 0, 0},
};

/* A history file needs these: what SQLite does with its files, which are open. Only locks are
 * allowed of fcntl(2): those that return at once. */
static const int of_history[] = {
    SCMP_SYS(pwrite64),  SCMP_SYS(fsync),       SCMP_SYS(fdatasync),
    SCMP_SYS(ftruncate), SCMP_SYS(ftruncate64),
};

/* A cluster needs these: connections to its engine. */
static const int of_engine[] = {SCMP_SYS(connect)};

static const struct condition of_engine_if[] = {
    {SCMP_SYS(socket), 0, UINT64_MAX, AF_INET},
    {SCMP_SYS(socket), 0, UINT64_MAX, AF_INET6},
    {SCMP_SYS(socket), 0, UINT64_MAX, AF_UNIX},
};

static const struct condition of_history_if[] = {
    {SCMP_SYS(fcntl), 1, UINT64_MAX, F_GETLK},
    {SCMP_SYS(fcntl), 1, UINT64_MAX, F_SETLK},
#if __WORDSIZE != 64 /* see stat_open_file in store/store_vfs.c */
    {SCMP_SYS(fstatat64), 3, UINT64_MAX, AT_EMPTY_PATH},
    {SCMP_SYS(statx), 2, UINT64_MAX, AT_EMPTY_PATH},
#endif
#if F_SETLK64 != F_SETLK
    {SCMP_SYS(fcntl64), 1, UINT64_MAX, F_GETLK64},
    {SCMP_SYS(fcntl64), 1, UINT64_MAX, F_SETLK64},
#endif
};

/* ---- seccomp ---- */

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* A call that this architecture does not have needs no rule. */
static bool add_rule(scmp_filter_ctx filter, uint32_t action, int call)
{
    int rc = seccomp_rule_add(filter, action, call, 0);
    return rc == 0 || rc == -EDOM;
}

static bool add_calls(scmp_filter_ctx filter, uint32_t action, const int *calls, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!add_rule(filter, action, calls[i]))
            return false;
    return true;
}

static bool add_condition(scmp_filter_ctx filter, const struct condition *condition)
{
    struct scmp_arg_cmp compare = {.arg = condition->argument,
                                   .op = SCMP_CMP_MASKED_EQ,
                                   .datum_a = condition->mask,
                                   .datum_b = condition->bits};
    int rc = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, condition->call, 1, &compare);
    return rc == 0 || rc == -EDOM;
}

static bool add_conditions(scmp_filter_ctx filter, const struct condition *conditions, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!add_condition(filter, &conditions[i]))
            return false;
    return true;
}

/* A filter with the calls that both processes need. NULL: it cannot be created. */
static scmp_filter_ctx new_filter(void)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
    if (!filter)
        return NULL;
    seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE,
                     2); /* a binary tree; older libraries: a list */
#if SCMP_VER_MAJOR > 2 || SCMP_VER_MINOR >= 5
    seccomp_attr_set(filter, SCMP_FLTATR_CTL_SSB, 1); /* do not slow down loads and stores */
#endif
    if (add_calls(filter, SCMP_ACT_KILL_PROCESS, hostile, COUNT(hostile)) &&
        add_calls(filter, SCMP_ACT_ALLOW, common, COUNT(common)) &&
        add_conditions(filter, common_if, COUNT(common_if)))
        return filter;
    seccomp_release(filter);
    return NULL;
}

/* Allows signals to this process: to wake threads, and for abort(3). */
static bool add_signals(scmp_filter_ctx filter)
{
    struct condition ours = {SCMP_SYS(tgkill), 0, all, (uint64_t)getpid()};
    return add_condition(filter, &ours);
}

static bool add_history(scmp_filter_ctx filter)
{
    return add_calls(filter, SCMP_ACT_ALLOW, of_history, COUNT(of_history)) &&
           add_conditions(filter, of_history_if, COUNT(of_history_if));
}

static bool add_engine(scmp_filter_ctx filter)
{
    return add_calls(filter, SCMP_ACT_ALLOW, of_engine, COUNT(of_engine)) &&
           add_conditions(filter, of_engine_if, COUNT(of_engine_if));
}

/* Installs a filter, and frees it. Returns 0 or an errno. */
static int load_filter(scmp_filter_ctx filter, bool complete)
{
    int rc = complete ? seccomp_load(filter) : -ENOMEM;
    seccomp_release(filter);
    return -rc;
}

static int filter_server(bool reads_files, bool has_history, bool has_engine)
{
    scmp_filter_ctx filter = new_filter();
    bool complete = filter && add_calls(filter, SCMP_ACT_ALLOW, of_server, COUNT(of_server)) &&
                    add_conditions(filter, of_server_if, COUNT(of_server_if)) &&
                    add_signals(filter) &&
                    (!reads_files || add_conditions(filter, reading_if, COUNT(reading_if))) &&
                    (!has_history || add_history(filter)) && (!has_engine || add_engine(filter));
    return load_filter(filter, complete);
}

static int filter_broker(void)
{
    scmp_filter_ctx filter = new_filter();
    bool complete = filter && add_calls(filter, SCMP_ACT_ALLOW, of_broker, COUNT(of_broker)) &&
                    add_conditions(filter, of_broker_if, COUNT(of_broker_if)) &&
                    add_signals(filter);
    return load_filter(filter, complete);
}

/* ---- Landlock ---- */

/* The kernel's own numbers and structures, because the headers at build time may be older than the
 * kernel at run time. */
enum {
    LANDLOCK_CREATE_RULESET = 444, /* the same on all architectures */
    LANDLOCK_ADD_RULE = 445,
    LANDLOCK_RESTRICT_SELF = 446,
    LANDLOCK_VERSION = 1, /* a flag */
    LANDLOCK_PATH_BENEATH = 1,
    ACCESS_READ_FILE = 1 << 2,
    ACCESS_READ_DIR = 1 << 3,
    NET_ALL = 3, /* bind and connect over TCP */
    NET_BIND = 1,
    SCOPE_ALL = 3, /* abstract sockets of, and signals to, other processes */
};

struct landlock_rules {
    uint64_t files, net, scope;
};

struct landlock_path {
    uint64_t allowed;
    int32_t folder;
} __attribute__((packed));

/* The file access rights of a Landlock version; a newer one is used like the newest here. */
static uint64_t files_of(int version)
{
    int bits = version >= 5 ? 16 : version >= 3 ? 15 : version == 2 ? 14 : 13;
    return ((uint64_t)1 << bits) - 1;
}

static size_t rules_size(int version)
{
    if (version >= 6)
        return sizeof(struct landlock_rules);
    return offsetof(struct landlock_rules, net) + (version >= 4 ? sizeof(uint64_t) : 0);
}

static bool allow_folder(int rules, const char *path)
{
    struct landlock_path rule = {ACCESS_READ_FILE | ACCESS_READ_DIR,
                                 open(path, O_PATH | O_CLOEXEC)};
    bool allowed =
        rule.folder >= 0 && syscall(LANDLOCK_ADD_RULE, rules, LANDLOCK_PATH_BENEATH, &rule, 0) == 0;
    if (rule.folder >= 0)
        close(rule.folder);
    return allowed;
}

/* Returns the Landlock version in force, or 0 and errno. */
static int restrict_files(const char *web_root, bool connects)
{
    int version = (int)syscall(LANDLOCK_CREATE_RULESET, NULL, 0, LANDLOCK_VERSION);
    if (version < 1)
        return 0;
    struct landlock_rules all_of = {files_of(version),
                                    version < 4 ? 0
                                    : connects  ? NET_BIND
                                                : NET_ALL,
                                    version >= 6 ? SCOPE_ALL : 0};
    int rules = (int)syscall(LANDLOCK_CREATE_RULESET, &all_of, rules_size(version), 0);
    if (rules < 0)
        return 0;
    bool done = (!web_root || allow_folder(rules, web_root)) &&
                syscall(LANDLOCK_RESTRICT_SELF, rules, 0) == 0;
    int saved = errno;
    close(rules);
    errno = saved;
    return done ? version : 0;
}

/* ---- Public functions ---- */

void sandbox_server(const char *web_root, bool has_history, bool has_engine)
{
    if (SANITIZED) {
        log_notice("sandbox", "seccomp=off landlock=off why=\"built with a sanitizer\"");
        return;
    }
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    int version = restrict_files(web_root, has_engine);
    const char *why = version ? NULL : strerror(errno);
    int failure = filter_server(web_root != NULL, has_history, has_engine);
    if (failure)
        why = strerror(failure);
    log_event(why ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, "sandbox", "seccomp=%s landlock=%d%s%s%s",
              failure ? "off" : "on", version, why ? " why=\"" : "", why ? why : "",
              why ? "\"" : "");
}

void sandbox_broker(void)
{
    if (SANITIZED)
        return;
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    filter_broker(); /* the server logs whether this system has such filters */
}
