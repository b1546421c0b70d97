/* SPDX-License-Identifier: MIT
 *
 * slow_disk.c - a library for LD_PRELOAD: a disk that stalls, or fails.
 *
 * DISK names a file of eight bytes, a number in the machine's byte order, that the test may change
 * at any time. 0: all is well. 1: writes and syncs of files wait until it is another. Any other
 * number: they fail, with that errno. With EROFS files cannot be cut, either.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { WELL, STALLS };

static const volatile int64_t well, *state = &well;

__attribute__((constructor)) static void find_state(void)
{
    const char *path = getenv("DISK");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *map = mmap(NULL, sizeof(*state), PROT_READ, MAP_SHARED, fd, 0);
    if (map != MAP_FAILED)
        state = map;
    close(fd);
}

/* Waits while the disk stalls. Returns whether it works. */
static int is_well(void)
{
    const struct timespec pause = {.tv_nsec = 5000000};
    while (*state == STALLS)
        ppoll(NULL, 0, &pause, NULL);
    if (*state == WELL)
        return 1;
    errno = (int)*state;
    return 0;
}

/* The function of that name in the libraries behind this one. */
static void *next(const char *name)
{
    return dlsym(RTLD_NEXT, name);
}

ssize_t pwrite64(int fd, const void *bytes, size_t len, off64_t at)
{
    static ssize_t (*real)(int, const void *, size_t, off64_t);
    if (!real)
        *(void **)&real = next("pwrite64");
    return is_well() ? real(fd, bytes, len, at) : -1;
}

int fdatasync(int fd)
{
    static int (*real)(int);
    if (!real)
        *(void **)&real = next("fdatasync");
    return is_well() ? real(fd) : -1;
}

int fsync(int fd)
{
    static int (*real)(int);
    if (!real)
        *(void **)&real = next("fsync");
    return is_well() ? real(fd) : -1;
}

int ftruncate64(int fd, off64_t len)
{
    static int (*real)(int, off64_t);
    if (!real)
        *(void **)&real = next("ftruncate64");
    if (*state != EROFS)
        return real(fd, len);
    errno = EROFS;
    return -1;
}

int ftruncate(int fd, off_t len)
{
    return ftruncate64(fd, len);
}
