/* SPDX-License-Identifier: MIT
 *
 * file.h - reads whole files, and creates or replaces them atomically.
 *
 * Functions that fail return -1 with errno. No locks; any thread.
 */
#ifndef FILE_H
#define FILE_H

#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>

/* Opens a file for reading, follows links, and fills *about. Does not block on a named pipe; the
 * caller checks about->st_mode for a regular file. Returns a descriptor. */
int file_open(const char *path, struct stat *about);

/* Reads to the end, at most `size` bytes. Returns how many it read. To notice a file that is too
 * long, pass room for one byte more than is allowed. */
ssize_t file_read(int fd, void *out, size_t size);

/* Writes a file that must not exist yet, created with `mode`. Returns 0 when it is on the disk,
 * name and all; or -1, with no file left behind. */
int file_create(const char *path, mode_t mode, const void *bytes, size_t len);

/* Replaces the file at `path`, if any. Readers find the old content or the new one, whole. Writes
 * PATH.new first, created with `mode`; a PATH.new left by an interrupted process is deleted.
 * Returns 0 when the new file is on the disk, name and all; or -1, with the old file or the new one
 * in place. */
int file_replace(const char *path, mode_t mode, const void *bytes, size_t len);

/* Replaces the content of an existing file, as file_replace does, and keeps its mode, owner and
 * group. Follows links, so that a link stays one. A file that this process may not write to is
 * refused (EACCES), although its folder would permit it. */
int file_rewrite(const char *path, const void *bytes, size_t len);

#endif
