/* SPDX-License-Identifier: MIT
 *
 * keystore_folder.h - a folder for keys.
 */
#ifndef KEYSTORE_FOLDER_H
#define KEYSTORE_FOLDER_H

#include "client/keys/keystore.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/hex.h"
#include "net/stream.h"

static char home[] = "/tmp/keystore-XXXXXX";

static char error[KEYSTORE_ERROR_MAX];

static inline int set_up(void **state)
{
    (void)state;
    memcpy(home + strlen(home) - 6, "XXXXXX", 6);
    return mkdtemp(home) && setenv("XDG_DATA_HOME", home, 1) == 0 ? 0 : -1;
}

static inline int tear_down(void **state)
{
    char command[64];
    (void)state;
    snprintf(command, sizeof(command), "rm -r %s", home);
    return system(command);
}

static inline char *path(const char *name)
{
    static char text[128];
    snprintf(text, sizeof(text), "%s/ragnarok/%s", home, name);
    return text;
}

static inline void write_file(const char *name, const char *text)
{
    FILE *file = fopen(path(name), "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    chmod(path(name), 0600);
}

static inline void open_good(struct keystore *keystore)
{
    assert_int_equal(keystore_open(keystore, error), 0);
}

#endif
