/* SPDX-License-Identifier: MIT
 *
 * config_edit.c - changes values in the text of config.json. Any thread, no locks.
 */
#include "base/config_edit.h"

#include <stdlib.h>
#include <string.h>

#include "base/config_parts.h"
#include "json_msg.h"
#include "lib/json/json_writer.h"

/* The new value of a key, or NULL. */
static const char *edit_of(const struct config_edit *edits, size_t count, uint64_t key)
{
    for (size_t i = 0; i < count; i++)
        if (json_key(edits[i].key) == key)
            return edits[i].value;
    return NULL;
}

static void write_edited(struct json_writer *w, const char *value)
{
    char *quoted = json_quote(value);
    if (quoted)
        json_write_text(w, quoted);
    else
        w->failed = true;
    free(quoted);
}

char *config_edit(const char *text, size_t len, const struct config_edit *edits, size_t count,
                  size_t *new_len)
{
    struct json_writer w = {.text = NULL};
    struct json_object object;
    struct json_error ignored;
    const char *at = text, *start = text + config_mark_len(text);
    if (json_parse_message(&object, start, len - (size_t)(start - text), &ignored) < 0)
        return NULL;
    for (size_t i = 0; i < object.count; i++) {
        const struct json_field *field = &object.fields[i];
        const char *value = edit_of(edits, count, field->key);
        if (!value)
            continue;
        json_write_raw(&w, at, (size_t)(field->value - at));
        write_edited(&w, value);
        at = field->value + field->value_len;
    }
    json_write_raw(&w, at, (size_t)(text + len - at));
    return json_writer_finish(&w, new_len);
}
