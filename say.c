/* SPDX-License-Identifier: MIT
 *
 * say.c - a client's messages, as say.h promises them.
 */
#include "say.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

#include "glyph.h"

/* A text that grows. After the first failure it stays broken. */
struct page {
    FILE *file;
    char *text;
    size_t len;
    bool broken;
};

static void open_page(struct page *page)
{
    memset(page, 0, sizeof(*page));
    page->file = open_memstream(&page->text, &page->len);
}

static char *close_page(struct page *page)
{
    bool whole = page->file && !ferror(page->file) && !page->broken;
    if (page->file && fclose(page->file) != 0)
        whole = false;
    if (whole)
        return page->text;
    free(page->text);
    return NULL;
}

static void put(struct page *page, const char *text)
{
    if (page->file)
        fputs(text, page->file);
}

/* Puts `"name":"value"` behind `before`. */
static void put_field(struct page *page, const char *before, const char *name, const char *value)
{
    char *quoted = json_quote(value);
    put(page, before);
    put(page, "\"");
    put(page, name);
    put(page, "\":");
    put(page, quoted ? quoted : "");
    page->broken |= !quoted;
    free(quoted);
}

/* ---- What a client says ---- */

char *say_join(const struct say_join *join)
{
    struct page page;
    char number[32];
    open_page(&page);
    put_field(&page, "{", "msgType", "Join");
    put_field(&page, ",", "Password", join->password);
    put_field(&page, ",", "Name", join->name);
    if (join->epoch) {
        put_field(&page, ",\"Resume\":{", "Epoch", join->epoch);
        snprintf(number, sizeof(number), ",\"After\":%" PRIu64 "}", join->after);
        put(&page, number);
    }
    if (join->claim) {
        put(&page, ",");
        put(&page, join->claim);
    }
    put(&page, "}");
    return close_page(&page);
}

/* Any message of four strings; those that are NULL are left out. */
static char *say(const char *type, const char *to, const char *text, const char *ref)
{
    struct page page;
    open_page(&page);
    put_field(&page, "{", "msgType", type);
    if (to)
        put_field(&page, ",", "TgtUser", to);
    if (text)
        put_field(&page, ",", "text", text);
    if (ref)
        put_field(&page, ",", "Ref", ref);
    put(&page, "}");
    return close_page(&page);
}

char *say_broadcast(const char *text, const char *ref)
{
    return say("Broadcast", NULL, text, ref);
}

char *say_private(const char *to, const char *text, const char *ref)
{
    return say("PrivateMessage", to, text, ref);
}

char *say_get_keys(const char *to, const char *ref)
{
    return say("GetKeys", to, NULL, ref);
}

char *say_notice(const char *to, const char *code, const struct json_field *about)
{
    struct page page;
    open_page(&page);
    put_field(&page, "{", "msgType", "PrivateMessage");
    put_field(&page, ",", "TgtUser", to);
    put_field(&page, ",", "text", "");
    put_field(&page, ",", "Notice", "unreadable");
    put_field(&page, ",", "Code", code);
    if (about && page.file)
        fprintf(page.file, ",\"About\":%.*s", (int)about->value_len, about->value);
    put(&page, "}");
    return close_page(&page);
}

/* ---- What it heard ---- */

/* A character in JSON's own spelling: two \u for what lies beyond U+FFFF (RFC 8259 §7). */
static void put_escaped(FILE *file, long c)
{
    if (c <= 0xFFFF)
        fprintf(file, "\\u%04lx", (unsigned long)c);
    else
        fprintf(file, "\\u%04lx\\u%04lx", 0xD7C0 + ((unsigned long)c >> 10),
                0xDC00 + ((unsigned long)c & 0x3FF));
}

/* Copies a piece of valid JSON. A control character below U+0020 in it is white space between
 * values; any other one that a terminal would obey stands in a string. */
static void put_json(struct page *page, const char *json, size_t len)
{
    for (size_t at = 0; at < len && page->file;) {
        utf8proc_int32_t c;
        utf8proc_ssize_t used =
            utf8proc_iterate((const utf8proc_uint8_t *)json + at, (utf8proc_ssize_t)(len - at), &c);
        if (used <= 0) {
            page->broken = true; /* json_parse has seen to it that it is UTF-8 */
            return;
        }
        if (c < 0x20)
            fputc(' ', page->file);
        else if (glyph_is_harmless(c))
            fwrite(json + at, 1, (size_t)used, page->file);
        else
            put_escaped(page->file, c);
        at += (size_t)used;
    }
}

static bool is_mark(const struct json_field *field)
{
    static const char *const names[] = {"Encrypted", "Verified", "Unreadable"};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (field->key == json_key(names[i]))
            return true;
    return false;
}

/* What nobody needs any more once a message was opened. */
static bool is_sealing(const struct json_field *field)
{
    static const char *const names[] = {"Enc",        "Seq",   "EncKey", "IdentityKey",
                                        "SessionKey", "ToKey", "Sig",    "KeySignature"};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (field->key == json_key(names[i]))
            return true;
    return false;
}

static void put_heard_field(struct page *page, const struct json_field *field,
                            const struct say_heard *heard)
{
    bool is_text = field->key == json_key("text");
    put_json(page, field->name, field->name_len);
    put(page, ":");
    if (!is_text || !heard->text) {
        put_json(page, field->value, field->value_len);
        return;
    }
    char *quoted = json_quote(heard->text);
    put_json(page, quoted ? quoted : "", quoted ? strlen(quoted) : 0);
    page->broken |= !quoted;
    free(quoted);
}

char *say_heard(const struct json_object *in, const struct say_heard *heard)
{
    struct page page;
    bool first = true;
    open_page(&page);
    put(&page, "{");
    for (size_t i = 0; i < in->count; i++) {
        const struct json_field *field = &in->fields[i];
        if (is_mark(field) || (heard->encrypted && is_sealing(field)))
            continue;
        put(&page, first ? "" : ",");
        put_heard_field(&page, field, heard);
        first = false;
    }
    if (heard->private)
        put(&page, heard->encrypted ? ",\"Encrypted\":true" : ",\"Encrypted\":false");
    if (heard->private && heard->encrypted)
        put(&page, heard->verified ? ",\"Verified\":true" : ",\"Verified\":false");
    if (heard->code)
        put_field(&page, ",", "Unreadable", heard->code);
    put(&page, "}");
    return close_page(&page);
}
