/* SPDX-License-Identifier: MIT
 *
 * vectors.h - reads tests/vectors/, by paths from the repository's root.
 */
#ifndef VECTORS_H
#define VECTORS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>
#include <cmocka.h>

/* Loads a file as a tree, which the caller deletes. NULL, after a message on standard error, when
 * it cannot be read. */
static inline cJSON *vectors_load(const char *path)
{
    static char text[512 * 1024];
    FILE *file = fopen(path, "r");
    size_t len = file ? fread(text, 1, sizeof(text) - 1, file) : 0;
    if (file)
        fclose(file);
    else
        perror(path);
    text[len] = '\0';
    return cJSON_Parse(text);
}

static inline const char *vectors_text(const cJSON *object, const char *name)
{
    const cJSON *item = cJSON_GetObjectItem(object, name);
    assert_true(cJSON_IsString(item));
    return item->valuestring;
}

/* Decodes a field of hexadecimal digits into `out`; returns how many bytes it has. */
static inline size_t vectors_hex(const cJSON *object, const char *name, unsigned char *out,
                                 size_t cap)
{
    const char *hex = vectors_text(object, name);
    size_t len = strlen(hex) / 2;
    assert_true(len <= cap);
    for (size_t i = 0; i < len; i++) {
        char two[3] = {hex[2 * i], hex[2 * i + 1], '\0'};
        out[i] = (unsigned char)strtoul(two, NULL, 16);
    }
    return len;
}

#endif
