/* SPDX-License-Identifier: MIT
 *
 * file.c - reads, creates and replaces files. Any thread, no locks.
 *
 * rename(2) puts a new file in the place of another atomically. The content is synced to the disk
 * before that, the folder after it.
 */
#include "net/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int file_open(const char *path, struct stat *about)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, about) == 0)
        return fd;
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

ssize_t file_read(int fd, void *out, size_t size)
{
    size_t len = 0;
    while (len < size) {
        ssize_t n = read(fd, (char *)out + len, size - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        len += (size_t)n;
    }
    return (ssize_t)len;
}

static int write_synced(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, bytes, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        bytes += n;
        len -= (size_t)n;
    }
    return fsync(fd);
}

/* Deletes a useless file and keeps errno. Returns -1. */
static int undo(const char *path)
{
    int saved = errno;
    unlink(path);
    errno = saved;
    return -1;
}

/* Gives a file the owner, group and mode of another one. */
static int make_alike(int fd, const struct stat *like)
{
    struct stat about;
    if (fstat(fd, &about) < 0)
        return -1;
    bool differs = about.st_uid != like->st_uid || about.st_gid != like->st_gid;
    if (differs && fchown(fd, like->st_uid, like->st_gid) < 0)
        return -1;
    return fchmod(fd, like->st_mode & 07777);
}

/* Writes and syncs a new file; with `like`, its owner, group and mode are those, and `mode` counts
 * until then. Its name may not be on the disk yet. */
static int write_new(const char *path, mode_t mode, const struct stat *like, const void *bytes,
                     size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0)
        return -1;
    int rc = like ? make_alike(fd, like) : 0;
    if (rc == 0)
        rc = write_synced(fd, bytes, len);
    int saved = errno;
    if (close(fd) < 0 && rc == 0) {
        rc = -1;
        saved = errno;
    }
    errno = saved;
    return rc < 0 ? undo(path) : 0;
}

/* Syncs the folder of a file: without that, a power cut can lose the name. Also returns 0 where
 * that is not possible: on a file system that cannot sync folders (EINVAL), or for a folder that is
 * writable but not readable. */
static int sync_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    if (!folder)
        return -1;
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(folder);
    if (fd < 0)
        return errno == EACCES ? 0 : -1;
    int rc = fsync(fd) < 0 && errno != EINVAL ? -1 : 0;
    int saved = errno;
    close(fd);
    errno = saved;
    return rc;
}

int file_create(const char *path, mode_t mode, const void *bytes, size_t len)
{
    if (write_new(path, mode, NULL, bytes, len) < 0)
        return -1;
    return sync_folder(path) < 0 ? undo(path) : 0;
}

/* Writes PATH.new, and puts it in the place of PATH. */
static int replace_file(const char *path, mode_t mode, const struct stat *like, const void *bytes,
                        size_t len)
{
    char *draft;
    if (asprintf(&draft, "%s.new", path) < 0) {
        errno = ENOMEM;
        return -1;
    }
    unlink(draft);
    int rc = write_new(draft, mode, like, bytes, len);
    if (rc == 0 && rename(draft, path) < 0)
        rc = undo(draft);
    free(draft);
    return rc == 0 ? sync_folder(path) : -1;
}

int file_replace(const char *path, mode_t mode, const void *bytes, size_t len)
{
    return replace_file(path, mode, NULL, bytes, len);
}

int file_rewrite(const char *path, const void *bytes, size_t len)
{
    struct stat like;
    char *target = realpath(path, NULL);
    if (!target)
        return -1;
    int rc = access(target, W_OK) < 0 || stat(target, &like) < 0
                 ? -1
                 : replace_file(target, S_IRUSR | S_IWUSR, &like, bytes, len);
    int saved = errno;
    free(target);
    errno = saved;
    return rc;
}
