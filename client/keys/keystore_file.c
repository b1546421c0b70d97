/* SPDX-License-Identifier: MIT
 *
 * keystore_file.c - the terminal client's folder. One thread.
 *
 * A change locks the folder, reads the file again, and replaces it (file_replace). Processes that
 * read without the lock see the old file or the new one. They notice a change by inode, size and
 * time of the file.
 */
#include "client/keys/keystore_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "net/file.h"

int keystore_complain(char *error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error, KEYSTORE_ERROR_MAX, format, arguments);
    va_end(arguments);
    return -1;
}

/* ---- The folder ---- */

struct path {
    char text[KEYSTORE_PATH_MAX + 32];
};

static struct path path_of(const struct keystore_folder *folder, const char *name)
{
    struct path path;
    snprintf(path.text, sizeof(path.text), "%s/%s", folder->path, name);
    return path;
}

/* XDG Base Directory Specification: ignores a relative path in the variable. */
static int find_folder(struct keystore_folder *folder, char *error)
{
    const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    int len;
    if (data && data[0] == '/')
        len = snprintf(folder->path, KEYSTORE_PATH_MAX, "%s/ragnarok", data);
    else if (home && home[0] == '/')
        len = snprintf(folder->path, KEYSTORE_PATH_MAX, "%s/.local/share/ragnarok", home);
    else
        return keystore_complain(error, "neither XDG_DATA_HOME nor HOME says where to keep keys");
    if (len >= KEYSTORE_PATH_MAX)
        return keystore_complain(error, "the path of the folder for keys has more than %d bytes",
                                 KEYSTORE_PATH_MAX - 1);
    return 0;
}

/* Makes the folder and its missing parents. */
static int make_folder(struct keystore_folder *folder, char *error)
{
    char *path = folder->path;
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(path, 0700); /* the last mkdir decides */
        *slash = '/';
    }
    if (mkdir(path, 0700) == 0 || errno == EEXIST)
        return 0;
    return keystore_complain(error, "%s cannot be made: %s", path, strerror(errno));
}

static int check_folder(const struct keystore_folder *folder, char *error)
{
    struct stat about;
    const char *path = folder->path;
    if (stat(path, &about) != 0)
        return keystore_complain(error, "%s cannot be read: %s", path, strerror(errno));
    if (!S_ISDIR(about.st_mode))
        return keystore_complain(error, "%s is no folder", path);
    if (about.st_uid != geteuid())
        return keystore_complain(error, "%s belongs to another user (uid %u, expected %u)", path,
                                 (unsigned)about.st_uid, (unsigned)geteuid());
    if (about.st_mode & 022)
        return keystore_complain(error,
                                 "%s has mode %04o: others can replace the keys in it. Look at "
                                 "its files, then chmod 700 %s",
                                 path, (unsigned)about.st_mode & 07777, path);
    return 0;
}

int keystore_folder_open(struct keystore_folder *folder, char *error)
{
    if (find_folder(folder, error) < 0 || make_folder(folder, error) < 0)
        return -1;
    return check_folder(folder, error);
}

int keystore_lock(const struct keystore_folder *folder, char *error)
{
    struct path path = path_of(folder, "lock");
    int fd = open(path.text, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return keystore_complain(error, "%s cannot be opened: %s", path.text, strerror(errno));
    int result;
    while ((result = flock(fd, LOCK_EX)) != 0 && errno == EINTR)
        ;
    if (result == 0)
        return fd;
    keystore_complain(error, "%s cannot be locked: %s", path.text, strerror(errno));
    close(fd);
    return -1;
}

/* ---- Files ---- */

/* Refuses a file with the wrong owner, type or permissions. */
static int check_file(const char *path, const struct stat *about, mode_t forbidden, char *error)
{
    if (!S_ISREG(about->st_mode))
        return keystore_complain(error, "%s is no ordinary file", path);
    if (about->st_uid != geteuid())
        return keystore_complain(error, "%s belongs to somebody else", path);
    if (about->st_mode & forbidden)
        return keystore_complain(error, "%s has mode %04o; others must not %s it: chmod 600 %s",
                                 path, (unsigned)about->st_mode & 07777,
                                 forbidden & 044 ? "read" : "change", path);
    if (about->st_size > KEYSTORE_FILE_MAX)
        return keystore_complain(error, "%s has %lld bytes; at most %d can be read", path,
                                 (long long)about->st_size, KEYSTORE_FILE_MAX);
    return 0;
}

static char *read_text(int fd, const char *path, size_t size, char *error)
{
    char *text = malloc(size + 1);
    ssize_t len = text ? file_read(fd, text, size) : -1;
    if (text && len >= 0)
        text[len] = '\0';
    if (text && len == (ssize_t)size && strlen(text) == size)
        return text;
    keystore_complain(error, text ? "%s cannot be read, or holds a NUL" : "%s: out of memory",
                      path);
    free(text);
    return NULL;
}

char *keystore_file_read(const struct keystore_folder *folder, const char *name, mode_t forbidden,
                         struct stat *about, char *error)
{
    struct path path = path_of(folder, name);
    char *text = NULL;
    error[0] = '\0';
    int fd = file_open(path.text, about);
    if (fd < 0) {
        if (errno != ENOENT)
            keystore_complain(error, "%s cannot be read: %s", path.text, strerror(errno));
        return NULL;
    }
    if (check_file(path.text, about, forbidden, error) == 0)
        text = read_text(fd, path.text, (size_t)about->st_size, error);
    close(fd);
    return text;
}

int keystore_file_replace(const struct keystore_folder *folder, const char *name, const char *text,
                          char *error)
{
    struct path path = path_of(folder, name);
    if (file_replace(path.text, 0600, text, strlen(text)) == 0)
        return 0;
    return keystore_complain(error, "%s cannot be written: %s", path.text, strerror(errno));
}

/* ---- Lines ---- */

const char *keystore_line_end(const char *at)
{
    return strchr(at, '\n') + 1;
}

bool keystore_line_is(const char *text, const char *word)
{
    size_t len = strlen(word);
    return text && strncmp(text, word, len) == 0 && text[len] == '\n';
}

const char *keystore_take_digits(const char *value, size_t len, const char *digits)
{
    return value && strspn(value, digits) == len && value[len] == '\t' ? value + len + 1 : NULL;
}

const char *keystore_list_find(const struct keystore_list *list, const char *prefix,
                               const char *after)
{
    size_t len = strlen(prefix);
    const char *line = after ? keystore_line_end(after) : list->text;
    for (; *line; line = keystore_line_end(line))
        if (strncmp(line, prefix, len) == 0)
            return line + len;
    return NULL;
}

char *keystore_list_splice(const struct keystore_list *list, const char *from, const char *to,
                           const char *insert)
{
    char *text = NULL;
    int len = asprintf(&text, "%.*s%s%s", (int)(from - list->text), list->text, insert, to);
    return len < 0 ? NULL : text;
}

/* ---- Lists ---- */

/* Returns the number of the first invalid line, or 0. */
static int find_fault(const struct keystore_list *list, const char *text)
{
    int number = 1;
    for (const char *line = text; *line; number++) {
        const char *end = strchr(line, '\n'), *value = line;
        if (!end)
            return number;
        for (int i = 0; i < list->keys && value; i++) {
            value = memchr(value, '\t', (size_t)(end - value));
            value = value ? value + 1 : NULL;
        }
        if (!value || !list->value_is_good(value))
            return number;
        line = end + 1;
    }
    return 0;
}

static int adopt_text(const struct keystore_folder *folder, struct keystore_list *list, char *text,
                      char *error)
{
    int fault = find_fault(list, text);
    if (fault == 0) {
        free(list->text);
        list->text = text;
        return 0;
    }
    free(text);
    return keystore_complain(error,
                             "%s/%s:%d: this line is broken; take it out, and look at the others",
                             folder->path, list->name, fault);
}

int keystore_list_load(const struct keystore_folder *folder, struct keystore_list *list,
                       char *error)
{
    struct stat stamp = {.st_size = 0};
    char *text = keystore_file_read(folder, list->name, 022, &stamp, error);
    if (!text && error[0])
        return -1;
    if (!text) {
        memset(&stamp, 0, sizeof(stamp));
        text = strdup("");
    }
    if (!text)
        return keystore_complain(error, "out of memory");
    int result = adopt_text(folder, list, text, error);
    if (result == 0)
        list->stamp = stamp;
    return result;
}

static bool same_stamp(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

int keystore_list_refresh(const struct keystore_folder *folder, struct keystore_list *list,
                          char *error)
{
    struct stat now;
    struct path path = path_of(folder, list->name);
    error[0] = '\0';
    if (stat(path.text, &now) != 0)
        memset(&now, 0, sizeof(now));
    return same_stamp(&now, &list->stamp) ? 0 : keystore_list_load(folder, list, error);
}

int keystore_list_save(const struct keystore_folder *folder, struct keystore_list *list, char *text,
                       char *error)
{
    struct path path = path_of(folder, list->name);
    if (!text)
        return keystore_complain(error, "out of memory");
    if (strlen(text) > KEYSTORE_FILE_MAX) {
        free(text);
        return keystore_complain(error, "%s is full (%d bytes): nothing more is remembered",
                                 path.text, KEYSTORE_FILE_MAX);
    }
    if (keystore_file_replace(folder, list->name, text, error) < 0) {
        free(text);
        return -1;
    }
    free(list->text);
    list->text = text;
    if (stat(path.text, &list->stamp) != 0) /* we hold the lock, so this is the file just written */
        memset(&list->stamp, 0, sizeof(list->stamp));
    return 0;
}
