/* SPDX-License-Identifier: MIT
 *
 * line.c - the line that is being typed, as line.h promises it.
 *
 * Three chapters: edits (what Emacs' keys do), keys (bytes to edits; ECMA-48 §5.4 has the shape of
 * the terminal's sequences), and the view. The libraries for this wait inside of a key's sequence,
 * and take a letter's accent or an emoji's half for a character of its own.
 */
#include "line.h"

#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

#include "glyph.h"

enum { ESCAPE = 0x1B, DELETE = 0x7F };

/* ---- Edits ---- */

static void insert(struct line *line, const char *text, size_t len)
{
    if (len > LINE_BYTES - line->len)
        return;
    memmove(line->text + line->at + len, line->text + line->at, line->len - line->at);
    memcpy(line->text + line->at, text, len);
    line->len += len;
    line->at += len;
    line->text[line->len] = '\0';
}

static void erase(struct line *line, size_t from, size_t to)
{
    memmove(line->text + from, line->text + to, line->len - to);
    line->len -= to - from;
    line->at = from;
    line->text[line->len] = '\0';
}

static void cut(struct line *line, size_t from, size_t to)
{
    if (from == to)
        return;
    memcpy(line->killed, line->text + from, to - from);
    line->killed[to - from] = '\0';
    erase(line, from, to);
}

static size_t before(const struct line *line)
{
    return glyph_previous(line->text, line->at);
}

static size_t after(const struct line *line)
{
    return glyph_next(line->text, line->len, line->at);
}

static bool is_gap(char c)
{
    return c == ' ' || c == '\n';
}

static size_t word_before(const struct line *line)
{
    size_t at = line->at;
    while (at > 0 && is_gap(line->text[at - 1]))
        at--;
    while (at > 0 && !is_gap(line->text[at - 1]))
        at--;
    return at;
}

static size_t word_after(const struct line *line)
{
    size_t at = line->at;
    while (at < line->len && is_gap(line->text[at]))
        at++;
    while (at < line->len && !is_gap(line->text[at]))
        at++;
    return at;
}

static void to_start(struct line *line)
{
    line->at = 0;
}

static void to_end(struct line *line)
{
    line->at = line->len;
}

static void left(struct line *line)
{
    line->at = before(line);
}

static void right(struct line *line)
{
    line->at = after(line);
}

static void word_left(struct line *line)
{
    line->at = word_before(line);
}

static void word_right(struct line *line)
{
    line->at = word_after(line);
}

static void erase_before(struct line *line)
{
    erase(line, before(line), line->at);
}

static void erase_after(struct line *line)
{
    erase(line, line->at, after(line));
}

static void kill_to_start(struct line *line)
{
    cut(line, 0, line->at);
}

static void kill_to_end(struct line *line)
{
    cut(line, line->at, line->len);
}

static void kill_word_before(struct line *line)
{
    cut(line, word_before(line), line->at);
}

static void kill_word_after(struct line *line)
{
    cut(line, line->at, word_after(line));
}

static void new_line(struct line *line)
{
    insert(line, "\n", 1);
}

static void yank(struct line *line)
{
    insert(line, line->killed, strlen(line->killed));
}

void line_replace(struct line *line, size_t from, const char *text)
{
    erase(line, from, line->at);
    insert(line, text, strlen(text));
}

/* ---- History ---- */

static void put_text(struct line *line, const char *text)
{
    line->len = line->at = strlen(text);
    memcpy(line->text, text, line->len + 1);
}

/* Leaves the draft aside on the first step back; it is what lies beyond the newest line. */
static void look_back(struct line *line)
{
    if (line->shown == 0)
        return;
    if (line->shown == line->remembered) {
        free(line->draft);
        line->draft = strdup(line->text);
    }
    put_text(line, line->history[--line->shown]);
}

static void look_forward(struct line *line)
{
    if (line->shown == line->remembered)
        return;
    line->shown++;
    if (line->shown < line->remembered)
        put_text(line, line->history[line->shown]);
    else
        put_text(line, line->draft ? line->draft : "");
}

static void remember(struct line *line)
{
    bool again = line->remembered && strcmp(line->history[line->remembered - 1], line->text) == 0;
    char *copy = line->len && !again ? strdup(line->text) : NULL;
    if (!copy)
        return;
    if (line->remembered == LINE_HISTORY) {
        free(line->history[0]);
        memmove(line->history, line->history + 1, (LINE_HISTORY - 1) * sizeof(*line->history));
        line->remembered--;
    }
    line->history[line->remembered++] = copy;
}

void line_reset(struct line *line, bool keep)
{
    if (keep)
        remember(line);
    line->shown = line->remembered;
    put_text(line, "");
}

void line_fini(struct line *line)
{
    for (size_t i = 0; i < line->remembered; i++)
        free(line->history[i]);
    free(line->draft);
    memset(line, 0, sizeof(*line));
}

/* ---- Keys ---- */

typedef void edit_fn(struct line *line);

/* Ctrl-A is 1, Ctrl-B 2, and so on. */
static edit_fn *const control_keys[0x20] = {
    ['A' & 0x1F] = to_start,
    ['B' & 0x1F] = left,
    ['D' & 0x1F] = erase_after,
    ['E' & 0x1F] = to_end,
    ['F' & 0x1F] = right,
    ['H' & 0x1F] = erase_before,
    ['K' & 0x1F] = kill_to_end,
    ['N' & 0x1F] = look_forward,
    ['P' & 0x1F] = look_back,
    ['U' & 0x1F] = kill_to_start,
    ['W' & 0x1F] = kill_word_before,
    ['Y' & 0x1F] = yank,
};

/* What follows an Escape. */
static const struct {
    const char *sequence;
    edit_fn *edit;
} escapes[] = {
    {"[A", look_back},
    {"OA", look_back},
    {"[B", look_forward},
    {"OB", look_forward},
    {"[C", right},
    {"OC", right},
    {"[D", left},
    {"OD", left},
    {"[H", to_start},
    {"OH", to_start},
    {"[1~", to_start},
    {"[7~", to_start},
    {"[F", to_end},
    {"OF", to_end},
    {"[4~", to_end},
    {"[8~", to_end},
    {"[3~", erase_after},
    {"[1;5C", word_right},
    {"[1;3C", word_right},
    {"f", word_right},
    {"b", word_left},
    {"[1;5D", word_left},
    {"[1;3D", word_left},
    {"d", kill_word_after},
    {"\r", new_line},
    {"\x7F", kill_word_before},
    {"\b", kill_word_before},
};

/* The end of what was pasted: the line's end that a terminal copies along is not meant. */
static void end_paste(struct line *line)
{
    if (line->pasting && line->at > 0 && line->text[line->at - 1] == '\n')
        erase(line, line->at - 1, line->at);
    line->pasting = line->pasted_cr = false;
}

static void escape_key(struct line *line)
{
    const char *sequence = (const char *)line->key + 1;
    size_t len = line->key_len - 1;
    if (len == 5 && memcmp(sequence, "[200~", 5) == 0)
        line->pasting = true;
    if (len == 5 && memcmp(sequence, "[201~", 5) == 0)
        end_paste(line);
    if (line->pasting)
        return;
    for (size_t i = 0; i < sizeof(escapes) / sizeof(*escapes); i++)
        if (strlen(escapes[i].sequence) == len && memcmp(escapes[i].sequence, sequence, len) == 0)
            escapes[i].edit(line);
}

/* Whether the bytes after an Escape are a whole key: one byte, or [ or O with what they call for. */
static bool escape_is_whole(const struct line *line)
{
    unsigned char last = line->key[line->key_len - 1];
    if (line->key_len == 2)
        return last != '[' && last != 'O';
    return line->key[1] == 'O' || (last >= 0x40 && last <= 0x7E);
}

/* A character that may stand in a text; any other leaves no trace. */
static void character_key(struct line *line)
{
    utf8proc_int32_t c;
    utf8proc_ssize_t len = (utf8proc_ssize_t)line->key_len;
    line->pasted_cr = false;
    if (utf8proc_iterate(line->key, len, &c) == len && glyph_is_harmless(c))
        insert(line, (const char *)line->key, line->key_len);
}

/* A control character in a paste. Ctrl-C is a person's, to whom the paste's end never came. */
static void paste_key(struct line *line, unsigned char byte)
{
    bool same_end = byte == '\n' && line->pasted_cr;
    line->pasted_cr = byte == '\r';
    if (byte == '\r' || (byte == '\n' && !same_end))
        new_line(line);
    else if (byte == '\t')
        insert(line, " ", 1);
    else if (byte == ('C' & 0x1F))
        end_paste(line);
}

static enum line_action control_key(struct line *line, unsigned char byte)
{
    if (line->pasting) {
        paste_key(line, byte);
        return LINE_NONE;
    }
    switch (byte) {
    case '\r':
    case '\n':
        return LINE_ENTER;
    case '\t':
        return LINE_COMPLETE;
    case 'L' & 0x1F:
        return LINE_REDRAW;
    case 'Z' & 0x1F:
        return LINE_SUSPEND;
    case 'C' & 0x1F:
        return LINE_INTERRUPT;
    default:
        break;
    }
    if (byte == ('D' & 0x1F) && line->len == 0)
        return LINE_END;
    edit_fn *edit = byte == DELETE ? erase_before : control_keys[byte];
    if (edit)
        edit(line);
    return LINE_NONE;
}

/* How many bytes the character has that begins with this one (RFC 3629 §4); 1 for what begins none:
 * character_key will leave it out. */
static size_t expected(unsigned char first)
{
    return first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : first >= 0xC2 ? 2 : 1;
}

/* Whether a byte is a key's first: what came before it and is not whole will never be. */
static bool begins_key(const struct line *line, unsigned char byte)
{
    if (line->key_len == 0 || byte == ESCAPE)
        return true;
    if (line->key[0] == ESCAPE)
        return line->key_len > 1 && byte < 0x20;
    return (byte & 0xC0) != 0x80;
}

enum line_action line_key(struct line *line, unsigned char byte)
{
    bool begins = begins_key(line, byte);
    if (begins)
        line->key_len = 0;
    if (begins && byte != ESCAPE && (byte < 0x20 || byte == DELETE))
        return control_key(line, byte);
    if (line->key_len == LINE_KEY_MAX)
        line->key_len--; /* longer than any key that is known here: it will be left out */
    line->key[line->key_len++] = byte;
    if (line->key[0] == ESCAPE) {
        if (line->key_len == 1 || !escape_is_whole(line))
            return LINE_NONE;
        escape_key(line);
    } else {
        if (line->key_len < expected(line->key[0]))
            return LINE_NONE;
        character_key(line);
    }
    line->key_len = 0;
    return LINE_NONE;
}

/* ---- The view ---- */

/* The first cluster's start that lies `columns` or more to the right of the line's, but not beyond the
 * cursor: that may stand within what became one cluster with the text behind it. */
static size_t place_at(const struct line *line, size_t columns)
{
    size_t at = 0, used = 0;
    while (at < line->at && used < columns) {
        size_t next = glyph_next(line->text, line->at, at);
        used += glyph_columns(line->text + at, next - at);
        at = next;
    }
    return at;
}

/* A line that is too long is shown in steps of half the width, so that there is text on both sides of
 * the cursor. One column stays free for the cursor behind the last character. */
struct line_view line_look(const struct line *line, size_t columns)
{
    struct line_view view = {0, 0, 0};
    size_t cursor = glyph_columns(line->text, line->at), half = columns / 2;
    if (cursor >= columns)
        view.start = place_at(line, (cursor / half - 1) * half);
    view.cursor = glyph_columns(line->text + view.start, line->at - view.start);
    view.end = view.start;
    for (size_t used = 0; view.end < line->len;) {
        size_t next = glyph_next(line->text, line->len, view.end);
        used += glyph_columns(line->text + view.end, next - view.end);
        if (used >= columns)
            break;
        view.end = next;
    }
    return view;
}
