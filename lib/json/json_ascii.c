/* SPDX-License-Identifier: MIT
 *
 * json_ascii.c - escapes JSON to ASCII. Any thread, no locks.
 *
 * In JSON all bytes beyond ASCII are inside strings, so nothing has to be parsed.
 */
#include "lib/json/json_ascii.h"

#include <stdlib.h>
#include <string.h>

#include "lib/hex.h"

enum { UNIT_LEN = 6 }; /* \u and four digits */

/* The number of bytes at the start that are ASCII. */
static size_t ascii_span(const char *text, size_t len)
{
    const uint64_t high_bits = UINT64_C(0x8080808080808080);
    uint64_t word;
    size_t at = 0;
    for (; len - at >= sizeof(word); at += sizeof(word)) {
        memcpy(&word, text + at, sizeof(word));
        if (word & high_bits)
            break;
    }
    while (at < len && (unsigned char)text[at] < 0x80)
        at++;
    return at;
}

/* Bytes of the non-ASCII character that begins with `lead` (RFC 3629 §3). */
static size_t char_len(unsigned char lead)
{
    return lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
}

size_t json_ascii_size(const char *text, size_t len)
{
    size_t size = 0;
    for (size_t at = 0; at < len;) {
        size_t plain = ascii_span(text + at, len - at);
        at += plain;
        size += plain;
        if (at == len)
            break;
        size_t bytes = char_len((unsigned char)text[at]);
        at += bytes;
        size += bytes == 4 ? 2 * UNIT_LEN : UNIT_LEN;
    }
    return size;
}

static void write_unit(char *out, uint32_t unit)
{
    const unsigned char bytes[] = {(unsigned char)(unit >> 8), (unsigned char)unit};
    out[0] = '\\';
    out[1] = 'u';
    hex_write(out + 2, bytes, sizeof(bytes));
}

size_t json_ascii_char(char *out, uint32_t c)
{
    if (c < 0x10000) {
        write_unit(out, c);
        return UNIT_LEN;
    }
    c -= 0x10000;
    write_unit(out, 0xD800 | c >> 10);
    write_unit(out + UNIT_LEN, 0xDC00 | (c & 0x3FF));
    return JSON_ASCII_CHAR_MAX;
}

/* Decodes a character of `bytes` bytes, at least two. */
static uint32_t decode_char(const char *text, size_t bytes)
{
    uint32_t c = (unsigned char)text[0] & (0xFFU >> (bytes + 1));
    for (size_t i = 1; i < bytes; i++)
        c = c << 6 | ((unsigned char)text[i] & 0x3F);
    return c;
}

static void escape(char *out, const char *text, size_t len)
{
    for (size_t at = 0; at < len;) {
        size_t plain = ascii_span(text + at, len - at);
        memcpy(out, text + at, plain);
        out += plain;
        at += plain;
        if (at == len)
            break;
        size_t bytes = char_len((unsigned char)text[at]);
        out += json_ascii_char(out, decode_char(text + at, bytes));
        at += bytes;
    }
    *out = '\0';
}

char *json_ascii(char *text, size_t *len, size_t most)
{
    size_t size = text ? json_ascii_size(text, *len) : 0;
    if (!text || size == *len || size > most)
        return text;
    char *escaped = malloc(size + 1);
    if (escaped)
        escape(escaped, text, *len);
    free(text);
    *len = size;
    return escaped;
}
