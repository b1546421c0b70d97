/* SPDX-License-Identifier: MIT
 *
 * fuzz_line.c - keys of any bytes, and texts that others wrote, for libFuzzer (`make fuzz`).
 *
 * What must hold: what is typed stays UTF-8 without control characters but newlines, and the cursor
 * stands between two clusters, in view; what glyph_clean makes holds nothing that a terminal obeys.
 */
#include "line.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

#include "glyph.h"

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
        require(used > 0 && (c == '\n' || glyph_is_harmless(c)));
        at += (size_t)used;
    }
}

static void look(const struct line *line, size_t columns)
{
    struct line_view view = line_look(line, columns);
    require(line->at <= line->len && line->len <= LINE_BYTES && !line->text[line->len]);
    require(view.start <= line->at && view.start <= view.end && view.end <= line->len);
    require(glyph_columns(line->text + view.start, view.end - view.start) < columns);
}

static void type(const uint8_t *data, size_t size)
{
    static struct line line;
    for (size_t i = 0; i < size; i++) {
        if (line_key(&line, data[i]) == LINE_ENTER)
            line_reset(&line, true);
        if (i % 16 == 0)
            look(&line, 2 + i % 80);
    }
    require_harmless(line.text, line.len);
    line_fini(&line);
}

static void clean(const char *text, size_t len)
{
    char *harmless = glyph_clean(text, len, "\n      "), *quoted = glyph_quote(harmless);
    size_t end = strlen(harmless);
    require_harmless(harmless, end);
    require(glyph_is_text(harmless, end) && glyph_columns(harmless, end) <= 2 * end);
    require(strlen(quoted) >= end && glyph_previous(harmless, end) <= end);
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
