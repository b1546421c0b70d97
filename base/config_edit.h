/* SPDX-License-Identifier: MIT
 *
 * config_edit.h - changes values in the text of config.json, and leaves everything else as it is.
 *
 * Pure: no I/O, no locks, any thread.
 */
#ifndef CONFIG_EDIT_H
#define CONFIG_EDIT_H

#include <stddef.h>

/* A key and its new value, a string in valid UTF-8. */
struct config_edit {
    const char *key, *value;
};

/* Replaces the values of these keys in a text that config_parse has accepted; a key that is not in
 * the text is left out. Order, white space and all other values stay byte for byte. Returns the new
 * text of *new_len bytes, NUL-terminated, which the caller frees with free(); NULL when memory is
 * out. */
char *config_edit(const char *text, size_t len, const struct config_edit *edits, size_t count,
                  size_t *new_len);

#endif
