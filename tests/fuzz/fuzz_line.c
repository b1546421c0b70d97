/* SPDX-License-Identifier: MIT
 *
 * fuzz_line.c - keys of any bytes, and texts that others wrote, for libFuzzer (`make fuzz`).
 *
 * What must hold: what is typed stays UTF-8 without control characters but newlines, and the cursor
 * stands between two clusters, in view; what unicode_clean and unicode_quote make holds nothing
 * that a terminal obeys, and a quotation is closed.
 */
#include "client/term/line_edit.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

#include "client/term/unicode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void require_harmless(const char *text, size_t len)
{
    for (size_t at = 0; at < len;) {
        utf8proc_int32_t c;
        utf8proc_ssize_t used =
            utf8proc_iterate((const utf8proc_uint8_t *)text + at, (utf8proc_ssize_t)(len - at), &c);
        require(used > 0 && (c == '\n' || unicode_is_harmless(c)));
        at += (size_t)used;
    }
}

static void look(const struct line_edit *line, size_t columns)
{
    struct line_edit_view view = line_edit_look(line, columns);
    require(line->at <= line->len && line->len <= LINE_EDIT_BYTES && !line->text[line->len]);
    require(view.start <= line->at && view.start <= view.end && view.end <= line->len);
    require(unicode_columns(line->text + view.start, view.end - view.start) < columns);
}

static void type(const uint8_t *data, size_t size)
{
    static struct line_edit line;
    for (size_t i = 0; i < size; i++) {
        if (line_edit_key(&line, data[i]) == LINE_EDIT_ENTER)
            line_edit_reset(&line, true);
        if (i % 16 == 0)
            look(&line, 2 + i % 80);
    }
    require_harmless(line.text, line.len);
    line_edit_fini(&line);
}

static void clean(const char *text, size_t len)
{
    char *harmless = unicode_clean(text, len, "\n      "), *quoted = unicode_quote(harmless);
    size_t end = strlen(harmless);
    require_harmless(harmless, end);
    require(unicode_is_text(harmless, end) && unicode_columns(harmless, end) <= 2 * end);
    require(unicode_previous(harmless, end) <= end);
    require_harmless(quoted, strlen(quoted));
    require(strcmp(quoted, harmless) == 0 || quoted[strlen(quoted) - 1] == '"');
    free(harmless);
    free(quoted);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size ? size : 1);
    memcpy(text, data, size);
    type(data, size);
    clean(text, size);
    free(text);
    return 0;
}
