/* SPDX-License-Identifier: MIT
 *
 * store_trust.c - FILE.trust: a file beside the history file that says whether that is complete.
 *
 * It holds the token of the run that wrote the history file last. When messages are lost it is
 * emptied, which works on a full disk; and a history file that was copied back from a backup of an
 * earlier run has another token. Both give rooms new epochs at the next start.
 *
 * The file stays open, because a confined server can open none, and is locked with flock(2), so
 * that a second server does not use the same history file. SQLite's locks of the history file
 * itself would not do: they are there only while something is written.
 *
 * store_trust and store_distrust take the writer's lock; the other functions run in the main
 * thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net/file.h"
#include "store/store_parts.h"

#define BOOT_ID "/proc/sys/kernel/random/boot_id"

enum { TRUST_MODE = 0600 };

/* Reads the name of this boot; a system without one has none, and trusts nothing after a crash. */
static void read_boot(char boot[STORE_BOOT_MAX])
{
    struct stat about;
    int fd = file_open(BOOT_ID, &about);
    ssize_t len = fd >= 0 ? file_read(fd, boot, STORE_BOOT_MAX - 1) : 0;
    if (fd >= 0)
        close(fd);
    boot[len > 0 ? len : 0] = '\0';
    boot[strcspn(boot, "\n")] = '\0';
}

static bool lock_and_read(struct store_trust *trust, const char *path, const char *file, char *why)
{
    struct stat about;
    if (fstat(trust->fd, &about) != 0 || !S_ISREG(about.st_mode))
        return store_refuse(why, path, "expected a regular file");
    if (flock(trust->fd, LOCK_EX | LOCK_NB) != 0)
        return store_refuse(why, file, "%s",
                            errno == EWOULDBLOCK
                                ? "in use by another server: stop that one, or name another file"
                                : strerror(errno));
    ssize_t len = pread(trust->fd, trust->token, STORE_TOKEN_LEN, 0);
    trust->token[len == STORE_TOKEN_LEN ? len : 0] = '\0';
    return true;
}

bool store_trust_open(struct store_trust *trust, const char *file, char *why)
{
    char path[STORE_PATH_MAX + sizeof(".trust")];
    snprintf(path, sizeof(path), "%s.trust", file);
    read_boot(trust->boot);
    trust->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, TRUST_MODE);
    if (trust->fd < 0)
        return store_refuse(why, path,
                            "cannot be opened for writing: %s (the server needs to write to this "
                            "folder)",
                            strerror(errno));
    if (lock_and_read(trust, path, file, why))
        return true;
    close(trust->fd);
    return false;
}

void store_trust_close(struct store_trust *trust)
{
    close(trust->fd);
}

bool store_trust_write(const struct store_trust *trust)
{
    char line[STORE_TOKEN_LEN + 1];
    memcpy(line, trust->token, STORE_TOKEN_LEN);
    line[STORE_TOKEN_LEN] = '\n';
    return pwrite(trust->fd, line, sizeof(line), 0) == (ssize_t)sizeof(line) &&
           fsync(trust->fd) == 0;
}

bool store_trust_clear(const struct store_trust *trust)
{
    return ftruncate(trust->fd, 0) == 0 && fsync(trust->fd) == 0;
}
