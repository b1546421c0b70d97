/* SPDX-License-Identifier: MIT
 *
 * http_room.c - reads the room's name from a request's path. No locks: any thread.
 */
#include "lib/http/http_room.h"

#include "lib/hex.h"
#include "lib/name.h"

/* Decodes one byte: a literal one, or a % and two hex digits (RFC 3986 §2.1). Returns -1 if these
 * are missing. */
static int decode_byte(struct text *text)
{
    struct text from = *text;
    bool escaped = from.at[0] == '%';
    *text = text_skip(from, escaped ? 3 : 1);
    if (!escaped)
        return (unsigned char)from.at[0];
    if (from.len < 3 || hex_value(from.at[1]) < 0 || hex_value(from.at[2]) < 0)
        return -1;
    return 16 * hex_value(from.at[1]) + hex_value(from.at[2]);
}

/* Decodes one segment of a path. Returns NULL and *len, or the complaint. */
static const char *decode_segment(struct text segment, char *out, size_t cap, size_t *len)
{
    size_t n = 0;
    while (segment.len > 0) {
        if (segment.at[0] == '/')
            return "a name must not hold a / (write %2F)";
        int byte = decode_byte(&segment);
        if (byte < 0)
            return "a % in a name must have two hex digits behind it";
        if (n + 1 >= cap)
            return "a name must not be longer than 32 characters";
        out[n++] = (char)byte;
    }
    out[n] = '\0';
    *len = n;
    return NULL;
}

int http_room(const struct http_request *rq, char *room, size_t cap, const char **why)
{
    struct text folder = text_of("/rooms/");
    room[0] = '\0';
    if (!text_equals(text_first(rq->path, folder.len), folder.at))
        return 0;

    size_t len = 0;
    *why = decode_segment(text_skip(rq->path, folder.len), room, cap, &len);
    if (*why == NULL)
        *why = name_check(room, len);
    return *why == NULL ? 0 : -1;
}
