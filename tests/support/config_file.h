/* SPDX-License-Identifier: MIT
 *
 * config_file.h - a folder with a config.json.
 *
 * Each test works in its own empty folder, so complaints start with "config.json".
 */
#ifndef CONFIG_FILE_H
#define CONFIG_FILE_H

#include "base/config.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

enum { FILE_ROOM = 2 * CONFIG_FILE_MAX };

/* ---- Files ---- */

static char folder[64];

static inline int enter_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/ragnarok-config-XXXXXX");
    return mkdtemp(folder) && chmod(folder, 0755) == 0 ? chdir(folder) : -1;
}

static inline int leave_folder(void **state)
{
    (void)state;
    unlink("config.json");
    return chdir("/") == 0 ? rmdir(folder) : -1;
}

static inline void write_bytes(const char *path, const char *bytes, size_t len)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

static inline void write_text(const char *text)
{
    write_bytes("config.json", text, strlen(text));
}

/* The seven required keys, one per line from line 2 on. */
static const struct {
    const char *key, *value;
} seven[] = {
    {"SSL", "false"},
    {"SSL_Cert", "\"self-signed.crt\""},
    {"SSL_Key", "\"self-signed.pem\""},
    {"server_ip", "\"127.0.0.1\""},
    {"server_port", "12345"},
    {"server_name", "\"Ks\""},
    {"server_password", "\"963\""},
};

/* Writes the seven keys with `key` set to `value` (NULL: without it), and with `extra`, unless
 * NULL, as the last line. Any other key gets line 9. Returns the line of `key`. */
static inline int write_with(const char *key, const char *value, const char *extra)
{
    static char text[FILE_ROOM];
    int at = 0, line = 0;
    for (size_t i = 0; i < COUNT(seven); i++) {
        bool changed = strcmp(seven[i].key, key) == 0;
        if (changed)
            line = (int)i + 2;
        if (!changed || value)
            at += sprintf(text + at, "%s\n\"%s\": %s", at ? "," : "{", seven[i].key,
                          changed ? value : seven[i].value);
    }
    if (line == 0 && value) {
        line = 9;
        at += sprintf(text + at, ",\n\"%s\": %s", key, value);
    }
    if (extra)
        at += sprintf(text + at, ",\n%s", extra);
    sprintf(text + at, "\n}\n");
    write_text(text);
    return line;
}

/* ---- Loading ---- */

static struct config config;

static char error[CONFIG_ERROR_MAX];

static inline void load(void)
{
    error[0] = '\0';
    if (config_load(&config, "config.json", error) < 0)
        fail_msg("refused: %s", error);
}

static inline void expect_complaint(const char *path, const char *complaint)
{
    memset(error, 'x', sizeof(error));
    assert_int_equal(config_load(&config, path, error), -1);
    assert_string_equal(error, complaint);
    assert_null(config.path); /* nothing is left to free */
    assert_null(config.server_password);
    assert_int_equal(config.allowed_origins_count, 0);
}

/* Expects that `value` of `key` is refused, at its line and column, with these words. */
static inline void expect_refused(const char *key, const char *value, const char *words)
{
    char complaint[CONFIG_ERROR_MAX];
    int line = write_with(key, value, NULL);
    snprintf(complaint, sizeof(complaint), "config.json:%d:%d: %s: %s", line, (int)strlen(key) + 5,
             key, words);
    expect_complaint("config.json", complaint);
}

/* A JSON string of `n` repetitions of `unit`. */
static inline const char *repeat(const char *unit, int n)
{
    static char text[FILE_ROOM];
    size_t len = strlen(unit);
    text[0] = '"';
    for (int i = 0; i < n; i++)
        memcpy(text + 1 + (size_t)i * len, unit, len);
    strcpy(text + 1 + (size_t)n * len, "\"");
    return text;
}

/* ---- Complaints of others ---- */

#define TEST(name) cmocka_unit_test_setup_teardown(name, enter_folder, leave_folder)

#endif
