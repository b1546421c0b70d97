/* SPDX-License-Identifier: MIT
 *
 * line_edit.c - edits the line that is being typed. No I/O, no locks.
 *
 * Three chapters: edits (as Emacs' keys do them), keys (bytes to edits; ECMA-48 §5.4 defines the
 * terminal's sequences), and the view. Existing libraries block inside a key's sequence, and count
 * an accent or half an emoji as a character.
 */
#include "client/term/line_edit.h"

#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

#include "client/term/unicode.h"

enum { ESCAPE = 0x1B, DELETE = 0x7F };

/* ---- Edits ---- */

static void insert(struct line_edit *line, const char *text, size_t len)
{
    if (len > LINE_EDIT_BYTES - line->len)
        return;
    memmove(line->text + line->at + len, line->text + line->at, line->len - line->at);
    memcpy(line->text + line->at, text, len);
    line->len += len;
    line->at += len;
    line->text[line->len] = '\0';
}

static void erase(struct line_edit *line, size_t from, size_t to)
{
    memmove(line->text + from, line->text + to, line->len - to);
    line->len -= to - from;
    line->at = from;
    line->text[line->len] = '\0';
}

static void cut(struct line_edit *line, size_t from, size_t to)
{
    if (from == to)
        return;
    memcpy(line->killed, line->text + from, to - from);
    line->killed[to - from] = '\0';
    erase(line, from, to);
}

static size_t before(const struct line_edit *line)
{
    return unicode_previous(line->text, line->at);
}

static size_t after(const struct line_edit *line)
{
    return unicode_next(line->text, line->len, line->at);
}

static bool is_gap(char c)
{
    return c == ' ' || c == '\n';
}

static size_t word_before(const struct line_edit *line)
{
    size_t at = line->at;
    while (at > 0 && is_gap(line->text[at - 1]))
        at--;
    while (at > 0 && !is_gap(line->text[at - 1]))
        at--;
    return at;
}

static size_t word_after(const struct line_edit *line)
{
    size_t at = line->at;
    while (at < line->len && is_gap(line->text[at]))
        at++;
    while (at < line->len && !is_gap(line->text[at]))
        at++;
    return at;
}

static void to_start(struct line_edit *line)
{
    line->at = 0;
}

static void to_end(struct line_edit *line)
{
    line->at = line->len;
}

static void left(struct line_edit *line)
{
    line->at = before(line);
}

static void right(struct line_edit *line)
{
    line->at = after(line);
}

static void word_left(struct line_edit *line)
{
    line->at = word_before(line);
}

static void word_right(struct line_edit *line)
{
    line->at = word_after(line);
}

static void erase_before(struct line_edit *line)
{
    erase(line, before(line), line->at);
}

static void erase_after(struct line_edit *line)
{
    erase(line, line->at, after(line));
}

static void kill_to_start(struct line_edit *line)
{
    cut(line, 0, line->at);
}

static void kill_to_end(struct line_edit *line)
{
    cut(line, line->at, line->len);
}

static void kill_word_before(struct line_edit *line)
{
    cut(line, word_before(line), line->at);
}

static void kill_word_after(struct line_edit *line)
{
    cut(line, line->at, word_after(line));
}

static void new_line(struct line_edit *line)
{
    insert(line, "\n", 1);
}

static void yank(struct line_edit *line)
{
    insert(line, line->killed, strlen(line->killed));
}

/* Whether all of it could have been typed. */
static bool is_typeable(const char *text)
{
    utf8proc_int32_t c;
    for (utf8proc_ssize_t used = 0; *text; text += used) {
        used = utf8proc_iterate((const utf8proc_uint8_t *)text, -1, &c);
        if (used <= 0 || !unicode_is_harmless(c))
            return false;
    }
    return true;
}

void line_edit_replace(struct line_edit *line, size_t from, const char *text)
{
    if (!is_typeable(text))
        return;
    erase(line, from, line->at);
    insert(line, text, strlen(text));
}

/* ---- History ---- */

/* Typed text may have been private. */
static void wipe_typed(char *text)
{
    if (text)
        explicit_bzero(text, strlen(text));
    free(text);
}

static void insert_text(struct line_edit *line, const char *text)
{
    line->len = line->at = strlen(text);
    memcpy(line->text, text, line->len + 1);
}

/* Saves the draft on the first step back; it comes after the newest line. */
static void look_back(struct line_edit *line)
{
    if (line->shown == 0)
        return;
    if (line->shown == line->remembered) {
        wipe_typed(line->draft);
        line->draft = strdup(line->text);
    }
    insert_text(line, line->history[--line->shown]);
}

static void look_forward(struct line_edit *line)
{
    if (line->shown == line->remembered)
        return;
    line->shown++;
    if (line->shown < line->remembered)
        insert_text(line, line->history[line->shown]);
    else
        insert_text(line, line->draft ? line->draft : "");
}

static void remember(struct line_edit *line)
{
    bool again = line->remembered && strcmp(line->history[line->remembered - 1], line->text) == 0;
    char *copy = line->len && !again ? strdup(line->text) : NULL;
    if (!copy)
        return;
    if (line->remembered == LINE_EDIT_HISTORY) {
        wipe_typed(line->history[0]);
        memmove(line->history, line->history + 1, (LINE_EDIT_HISTORY - 1) * sizeof(*line->history));
        line->remembered--;
    }
    line->history[line->remembered++] = copy;
}

void line_edit_reset(struct line_edit *line, bool keep)
{
    if (keep)
        remember(line);
    line->shown = line->remembered;
    wipe_typed(line->draft);
    line->draft = NULL;
    line->len = line->at = 0;
    explicit_bzero(line->text, sizeof(line->text));
}

void line_edit_fini(struct line_edit *line)
{
    for (size_t i = 0; i < line->remembered; i++)
        wipe_typed(line->history[i]);
    wipe_typed(line->draft);
    explicit_bzero(line, sizeof(*line));
}

/* ---- Keys ---- */

typedef void edit_fn(struct line_edit *line);

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

/* Keys after an Escape. */
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

/* Ends a paste. Terminals copy a newline at its end along, which is dropped. */
static void end_paste(struct line_edit *line)
{
    if (line->pasting && line->at > 0 && line->text[line->at - 1] == '\n')
        erase(line, line->at - 1, line->at);
    line->pasting = line->pasted_cr = false;
}

static void escape_key(struct line_edit *line)
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

/* Whether the bytes after an Escape are a whole key: one byte, or [ or O with their parameters. */
static bool escape_is_whole(const struct line_edit *line)
{
    unsigned char last = line->key[line->key_len - 1];
    if (line->key_len == 2)
        return last != '[' && last != 'O';
    return line->key[1] == 'O' || (last >= 0x40 && last <= 0x7E);
}

/* Inserts a character that is allowed in a text; ignores any other. */
static void character_key(struct line_edit *line)
{
    utf8proc_int32_t c;
    utf8proc_ssize_t len = (utf8proc_ssize_t)line->key_len;
    line->pasted_cr = false;
    if (utf8proc_iterate(line->key, len, &c) == len && unicode_is_harmless(c))
        insert(line, (const char *)line->key, line->key_len);
}

/* A control character in a paste. Ctrl-C works, in case the end of the paste never arrives. */
static void paste_key(struct line_edit *line, unsigned char byte)
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

static enum line_edit_action control_key(struct line_edit *line, unsigned char byte)
{
    if (line->pasting) {
        paste_key(line, byte);
        return LINE_EDIT_NONE;
    }
    switch (byte) {
    case '\r':
    case '\n':
        return LINE_EDIT_ENTER;
    case '\t':
        return LINE_EDIT_COMPLETE;
    case 'L' & 0x1F:
        return LINE_EDIT_REDRAW;
    case 'Z' & 0x1F:
        return LINE_EDIT_SUSPEND;
    case 'C' & 0x1F:
        return LINE_EDIT_INTERRUPT;
    default:
        break;
    }
    if (byte == ('D' & 0x1F) && line->len == 0)
        return LINE_EDIT_END;
    edit_fn *edit = byte == DELETE ? erase_before : control_keys[byte];
    if (edit)
        edit(line);
    return LINE_EDIT_NONE;
}

/* Length of the character that begins with this byte (RFC 3629 §4); 1 for an invalid one, which
 * character_key ignores. */
static size_t expected(unsigned char first)
{
    return first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : first >= 0xC2 ? 2 : 1;
}

/* Whether a byte begins a key: an unfinished key before it is dropped. */
static bool begins_key(const struct line_edit *line, unsigned char byte)
{
    if (line->key_len == 0 || byte == ESCAPE)
        return true;
    if (line->key[0] == ESCAPE)
        return line->key_len > 1 && byte < 0x20;
    return (byte & 0xC0) != 0x80;
}

enum line_edit_action line_edit_key(struct line_edit *line, unsigned char byte)
{
    bool begins = begins_key(line, byte);
    if (begins)
        line->key_len = 0;
    if (begins && byte != ESCAPE && (byte < 0x20 || byte == DELETE))
        return control_key(line, byte);
    if (line->key_len == LINE_EDIT_KEY_MAX)
        line->key_len--; /* longer than any known key: it will be ignored */
    line->key[line->key_len++] = byte;
    if (line->key[0] == ESCAPE) {
        if (line->key_len == 1 || !escape_is_whole(line))
            return LINE_EDIT_NONE;
        escape_key(line);
    } else {
        if (line->key_len < expected(line->key[0]))
            return LINE_EDIT_NONE;
        character_key(line);
    }
    line->key_len = 0;
    return LINE_EDIT_NONE;
}

/* ---- The view ---- */

/* The first cluster that starts `columns` or more to the right of the line's start, but not after
 * the cursor, which can be inside a cluster formed with the text behind it. */
static size_t place_at(const struct line_edit *line, size_t columns)
{
    size_t at = 0, used = 0;
    while (at < line->at && used < columns) {
        size_t next = unicode_next(line->text, line->at, at);
        used += unicode_columns(line->text + at, next - at);
        at = next;
    }
    return at;
}

/* A long line scrolls in steps of half the width, so that there is text on both sides of the
 * cursor. One column stays free for the cursor after the last character. */
struct line_edit_view line_edit_look(const struct line_edit *line, size_t columns)
{
    struct line_edit_view view = {0, 0, 0};
    size_t cursor = unicode_columns(line->text, line->at), half = columns / 2;
    if (cursor >= columns)
        view.start = place_at(line, (cursor / half - 1) * half);
    view.cursor = unicode_columns(line->text + view.start, line->at - view.start);
    view.end = view.start;
    for (size_t used = 0; view.end < line->len;) {
        size_t next = unicode_next(line->text, line->len, view.end);
        used += unicode_columns(line->text + view.end, next - view.end);
        if (used >= columns)
            break;
        view.end = next;
    }
    return view;
}
