/* SPDX-License-Identifier: MIT
 *
 * tcache.c - disables glibc's per-thread malloc cache, by executing the program again.
 *
 * glibc keeps up to seven freed pieces of each size for the thread that freed them (the tcache). A
 * TLS handshake leaves some 11 KiB there, which no other thread can use. Each client has one thread
 * from accept to close, so that memory would stay idle under each member: 38 KiB for one, instead
 * of 27 to 30. Without the cache the pieces return to the arena, where the next handshake finds
 * them. A delivery costs the same, because it allocates nothing.
 *
 * glibc reads the setting from GLIBC_TUNABLES (glibc manual, "Memory Allocation Tunables") before
 * main, and has no call for it. So the variable is set, other tunables in it are kept, and the same
 * file is executed. The process stays the same one: its id, parent, terminal, environment, ignored
 * signals and inherited descriptors (also those of a service manager) survive execve(2).
 *
 * It happens at most once: a variable in the environment records the attempt. It is skipped
 * - with another C library than glibc, which does not know the variable;
 * - if GLIBC_TUNABLES has this tunable already: the user has decided;
 * - if the process has more privileges than its user (AT_SECURE, getauxval(3)), by capabilities of
 *   the file for example: glibc ignores tunables then;
 * - if the dynamic loader was started by name, with the program as its argument (ld.so(8)): the
 *   link leads to the loader then. The kernel, which has loaded no loader beside it, leaves AT_BASE
 *   0; also for a program that is linked statically;
 * - with LD_PRELOAD: the preloaded library may bring another malloc. valgrind sets it, and
 *   would lose sight of the program at an execve(2), unless it has --trace-children=yes;
 * - with a sanitizer, which has its own malloc.
 *
 * The link /proc/self/exe is read, and the file that it names is executed, not the link: so the
 * process keeps its name in ps(1), and qemu-user, which runs programs of other processors, does not
 * execute itself. If there is no /proc, the file is gone, or it may not be executed, the program
 * continues with the cache.
 */
#include "base/tcache.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "base/sanitized.h"

#define TUNABLES "GLIBC_TUNABLES"
#define TRIED    "RAGNAROK_TCACHE"

#ifdef __GLIBC__
enum { GLIBC = 1 };
#else
enum { GLIBC = 0 };
#endif

/* Adds our tunable to those that the user has set. Returns false when memory is out. */
static bool set_tunable(const char *others)
{
    char *value;
    if (asprintf(&value, "%s%sglibc.malloc.tcache_count=0", others, others[0] ? ":" : "") < 0)
        return false;
    bool set = setenv(TUNABLES, value, 1) == 0;
    free(value);
    return set;
}

void tcache_turn_off(char **argv)
{
    char path[PATH_MAX];
    const char *tunables = getenv(TUNABLES) ? getenv(TUNABLES) : "";
    bool tried = getenv(TRIED);
    unsetenv(TRIED);
    if (!GLIBC || SANITIZED || tried || getenv("LD_PRELOAD") || getauxval(AT_SECURE) ||
        !getauxval(AT_BASE) || strstr(tunables, "glibc.malloc.tcache_count="))
        return;
    ssize_t len = readlink("/proc/self/exe", path, sizeof(path));
    if (len <= 0 || len == sizeof(path) || !set_tunable(tunables) || setenv(TRIED, "off", 1) != 0)
        return;
    path[len] = '\0';
    execv(path, argv);
    unsetenv(TRIED);
}
