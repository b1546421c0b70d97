/* SPDX-License-Identifier: MIT
 *
 * hurry.c - a library for LD_PRELOAD in which time passes faster.
 *
 * - sigtimedwait(2) ends after a tenth of a second, whatever its timeout.
 * - LEAP names a file of eight bytes, a number in the machine's byte order: the seconds that are
 *   added to the monotonic clock. Writing another number makes the clock leap at once.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t nothing, *leap = &nothing; /* seconds */

__attribute__((constructor)) static void find_leap(void)
{
    const char *path = getenv("LEAP");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *map = mmap(NULL, sizeof(*leap), PROT_READ, MAP_SHARED, fd, 0);
    if (map != MAP_FAILED)
        leap = map;
    close(fd);
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    static int (*get)(clockid_t, struct timespec *);
    if (!get)
        *(void **)&get = dlsym(RTLD_NEXT, "clock_gettime");
    int result = get(clock, now);
    if (result == 0 && clock == CLOCK_MONOTONIC)
        now->tv_sec += (time_t)*leap;
    return result;
}

int sigtimedwait(const sigset_t *set, siginfo_t *info, const struct timespec *timeout)
{
    static int (*wait)(const sigset_t *, siginfo_t *, const struct timespec *);
    const struct timespec soon = {.tv_nsec = 100 * 1000 * 1000};
    (void)timeout;
    if (!wait)
        *(void **)&wait = dlsym(RTLD_NEXT, "sigtimedwait");
    return wait(set, info, &soon);
}
