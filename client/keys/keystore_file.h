/* SPDX-License-Identifier: MIT
 *
 * keystore_file.h - the terminal client's folder: permissions, the lock, lists of lines, and atomic
 * replacement of files.
 *
 * For keystore.c and keystore_servers.c only. Functions that fail return -1 (or NULL) and put a
 * complaint into `error`, which has room for KEYSTORE_ERROR_MAX bytes. One thread; other processes
 * may change the files at any time.
 */
#ifndef KEYSTORE_FILE_H
#define KEYSTORE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

enum {
    KEYSTORE_ERROR_MAX = 512,             /* room for a complaint, with its NUL */
    KEYSTORE_PATH_MAX = 1024,             /* a longer path is an error */
    KEYSTORE_FILE_MAX = 16 * 1024 * 1024, /* bytes of a list; more is an error */
};

struct keystore_folder {
    char path[KEYSTORE_PATH_MAX];
};

/* The last read content of a file of lines "key field \t ... value fields \n". */
struct keystore_list {
    const char *name;                    /* file name */
    int keys;                            /* key fields of a line, each with a tab after it */
    bool (*value_is_good)(const char *); /* checks the value fields, which end in '\n' */
    char *text;                          /* the lines; "" if there is no file */
    struct stat stamp;                   /* of the file that was read; zeroed: there was none */
};

/* Puts a complaint into `error`. Always returns -1. */
int keystore_complain(char *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Finds or makes the folder. Refuses one that belongs to another user or that others may write,
 * because they could remove or replace files. */
int keystore_folder_open(struct keystore_folder *folder, char *error);

/* Waits for the lock that every change needs. Returns its descriptor, which the caller closes. */
int keystore_lock(const struct keystore_folder *folder, char *error);

/* Reads a file of the folder, and fills *about. `forbidden` are the permissions that others must
 * not have. Returns its text, which contains no NUL except at its end and which the caller frees;
 * NULL with error "" if there is no such file. */
char *keystore_file_read(const struct keystore_folder *folder, const char *name, mode_t forbidden,
                         struct stat *about, char *error);

/* Replaces a file, or makes it, with that text and mode 0600. The caller holds the lock. */
int keystore_file_replace(const struct keystore_folder *folder, const char *name, const char *text,
                          char *error);

/* Reads a list. On failure the list stays as it was. */
int keystore_list_load(const struct keystore_folder *folder, struct keystore_list *list,
                       char *error);

/* Reads the list again if another process has changed its file. */
int keystore_list_refresh(const struct keystore_folder *folder, struct keystore_list *list,
                          char *error);

/* Makes `text` the list, after writing it to the file. Takes `text`, also on failure; NULL: memory
 * is out. The caller holds the lock. */
int keystore_list_save(const struct keystore_folder *folder, struct keystore_list *list, char *text,
                       char *error);

/* The value fields of the next entry whose key fields are `prefix` (each with its tab). `after` is
 * NULL for the first one, else the previous result. NULL: no more. */
const char *keystore_list_find(const struct keystore_list *list, const char *prefix,
                               const char *after);

/* The list's text with the bytes from `from` to `to` replaced by `insert`. The caller frees it;
 * NULL when memory is out. */
char *keystore_list_splice(const struct keystore_list *list, const char *from, const char *to,
                           const char *insert);

/* The first byte after the line of `at`. */
const char *keystore_line_end(const char *at);

/* Whether `text` is this word, followed by the end of the line. `text` may be NULL. */
bool keystore_line_is(const char *text, const char *word);

/* Skips `len` characters of `digits` and a tab; NULL if they are not there. */
const char *keystore_take_digits(const char *value, size_t len, const char *digits);

#endif
