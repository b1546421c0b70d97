/* SPDX-License-Identifier: MIT
 *
 * ws.c - WebSocket frames and the handshake key. No locks.
 *
 * Implements RFC 6455 §4.2.2 (accept key), §5 (frames, masking, fragments, control frames), §7.4
 * (close codes) and §8.1 (UTF-8). The HTTP head is in http_request.c, and connection.c does the I/O
 * and answers Close and Ping.
 *
 *      0               1               2               3          one frame, RFC 6455 §5.2
 *     +-+-+-+-+-------+-+-------------+-------------------------------+
 *     |F|R|R|R| opcode|M| length (7)  | 16 bits more if length is 126,|
 *     |I|S|S|S|       |A|             | 64 bits more if it is 127     |
 *     |N|V|V|V|       |S| 0 to 125    +-------------------------------+
 *     | |1|2|3|       |K|             | 4 bytes of mask if MASK is set|
 *     +-+-+-+-+-------+-+-------------+-------------------------------+
 *     | payload                                                       |
 */
#include "ws.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/sha.h>

enum {
    FIN = 0x80,
    RSV = 0x70,
    OPCODE = 0x0F,
    MASK = 0x80,
    LENGTH = 0x7F,
    LENGTH_16 = 126, /* the length follows in 16 bits */
    LENGTH_64 = 127, /* the length follows in 64 bits */
    READ_MIN = 4096, /* the first buffer, and the least space offered for a read */
};

/* ---- UTF-8 (RFC 3629, RFC 6455 §8.1) ---- */

/* Takes the first byte of a sequence. The bounds of the second byte exclude overlong forms,
 * surrogates and code points above U+10FFFF. */
static bool utf8_lead(struct ws_utf8 *utf8, unsigned char byte)
{
    utf8->low = 0x80;
    utf8->high = 0xBF;
    if (byte < 0x80) {
        utf8->left = 0;
    } else if (byte >= 0xC2 && byte <= 0xDF) {
        utf8->left = 1;
    } else if (byte >= 0xE0 && byte <= 0xEF) {
        utf8->left = 2;
        if (byte == 0xE0)
            utf8->low = 0xA0;
        if (byte == 0xED)
            utf8->high = 0x9F;
    } else if (byte >= 0xF0 && byte <= 0xF4) {
        utf8->left = 3;
        if (byte == 0xF0)
            utf8->low = 0x90;
        if (byte == 0xF4)
            utf8->high = 0x8F;
    } else {
        return false;
    }
    return true;
}

static bool utf8_next(struct ws_utf8 *utf8, unsigned char byte)
{
    if (byte < utf8->low || byte > utf8->high)
        return false;
    utf8->left--;
    utf8->low = 0x80;
    utf8->high = 0xBF;
    return true;
}

/* How many of the first bytes are ASCII, in steps of eight. Most text is all ASCII. */
static size_t ascii_run(const unsigned char *bytes, size_t len)
{
    size_t run = 0;
    uint64_t word;
    for (; len - run >= sizeof(word); run += sizeof(word)) {
        memcpy(&word, bytes + run, sizeof(word));
        if (word & UINT64_C(0x8080808080808080))
            break;
    }
    return run;
}

/* Checks the next bytes of a text. Returns false at the first invalid byte. */
static bool utf8_feed(struct ws_utf8 *utf8, const unsigned char *bytes, size_t len)
{
    size_t i = 0;
    while (i < len) {
        if (utf8->left == 0)
            i += ascii_run(bytes + i, len - i);
        if (i == len)
            break;
        bool good = utf8->left ? utf8_next(utf8, bytes[i]) : utf8_lead(utf8, bytes[i]);
        if (!good)
            return false;
        i++;
    }
    return true;
}

/* ---- The reader's buffer ---- */

void ws_reader_init(struct ws_reader *reader, size_t max_message, bool masked)
{
    memset(reader, 0, sizeof(*reader));
    reader->max_message = max_message;
    reader->masked = masked;
}

void ws_reader_fini(struct ws_reader *reader)
{
    free(reader->buf);
    ws_reader_init(reader, reader->max_message, reader->masked);
}

/* Moves the contents to the front: the open message, and after it the raw bytes. */
static void compact(struct ws_reader *reader)
{
    size_t held = reader->kind ? reader->message_len : 0;
    size_t raw_len = reader->end - reader->raw;
    if (held && reader->message)
        memmove(reader->buf, reader->buf + reader->message, held);
    if (raw_len && reader->raw != held)
        memmove(reader->buf + held, reader->buf + reader->raw, raw_len);
    reader->message = 0;
    reader->raw = held;
    reader->end = held + raw_len;
}

size_t ws_reserve(struct ws_reader *reader, unsigned char **space)
{
    if (reader->cap - reader->end < READ_MIN)
        compact(reader);
    if (reader->cap - reader->end < READ_MIN) {
        size_t cap = reader->cap ? 2 * reader->cap : READ_MIN;
        unsigned char *buf = realloc(reader->buf, cap);
        if (buf) {
            reader->buf = buf;
            reader->cap = cap;
        }
    }
    *space = reader->buf ? reader->buf + reader->end : NULL;
    return reader->cap - reader->end;
}

void ws_commit(struct ws_reader *reader, size_t n)
{
    reader->end += n;
}

size_t ws_peek(const struct ws_reader *reader, unsigned char **bytes)
{
    *bytes = reader->buf ? reader->buf + reader->raw : NULL;
    return reader->end - reader->raw;
}

void ws_skip(struct ws_reader *reader, size_t n)
{
    reader->raw += n;
}

uint64_t ws_partial_frame(const struct ws_reader *reader)
{
    return reader->in_frame || reader->raw != reader->end ? reader->frames + 1 : 0;
}

void ws_release_idle(struct ws_reader *reader)
{
    bool held = reader->raw != reader->end || (reader->kind && reader->message_len);
    if (held)
        return;
    free(reader->buf);
    reader->buf = NULL;
    reader->cap = reader->end = reader->raw = reader->message = 0;
}

/* ---- Reading frames ---- */

static int fail_frame(struct ws_event *event, int code, const char *why)
{
    event->code = code;
    event->why = why;
    return -1;
}

static bool is_control(unsigned opcode)
{
    return opcode & 0x8;
}

/* Checks the first byte of a frame: FIN, RSV1 to RSV3, opcode. Returns the complaint, or NULL. */
static const char *check_first(const struct ws_reader *reader, unsigned char byte)
{
    unsigned opcode = byte & OPCODE;
    if (byte & RSV)
        return "a reserved bit is set"; /* §5.2: no extension was negotiated */
    if ((opcode > WS_BINARY && opcode < WS_CLOSE) || opcode > WS_PONG)
        return "reserved opcode"; /* §5.2 */
    if (is_control(opcode))
        return byte & FIN ? NULL : "fragmented control frame"; /* §5.5 */
    if (opcode == WS_CONTINUATION)
        return reader->kind ? NULL : "continuation of no message"; /* §5.4 */
    return reader->kind ? "new message inside a fragmented one" : NULL;
}

/* Checks the second byte: MASK and the short length. */
static const char *check_second(const struct ws_reader *reader, unsigned char first,
                                unsigned char second)
{
    if (reader->masked != !!(second & MASK))
        return reader->masked ? "frame without mask" : "masked frame from a server"; /* §5.1 */
    if (is_control(first & OPCODE) && (second & LENGTH) > WS_CONTROL_MAX)
        return "control frame longer than 125 bytes"; /* §5.5 */
    return NULL;
}

/* Decodes a length of `bytes` bytes in network order. */
static uint64_t decode_length(const unsigned char *at, size_t bytes)
{
    uint64_t length = 0;
    while (bytes--)
        length = length << 8 | *at++;
    return length;
}

static size_t extended_bytes(unsigned char second)
{
    unsigned length = second & LENGTH;
    return length == LENGTH_16 ? 2 : length == LENGTH_64 ? 8 : 0;
}

/* §5.2: a length has its shortest form, and at most 63 bits. */
static const char *check_length(size_t extended, uint64_t length)
{
    if (extended == 2 && length < LENGTH_16)
        return "length not in its shortest form";
    if (extended == 8 && length <= UINT16_MAX)
        return "length not in its shortest form";
    if (length >> 63)
        return "length with the top bit set";
    return NULL;
}

/* Begins a data frame after its head was accepted: checks the limits of a message. */
static int begin_data(struct ws_reader *reader, struct ws_event *event)
{
    if (reader->opcode != WS_CONTINUATION) {
        reader->kind = reader->opcode;
        reader->message = reader->raw;
        reader->message_len = 0;
        reader->fragments = 0;
        reader->utf8.left = 0;
    }
    if (reader->frame_left > reader->max_message - reader->message_len)
        return fail_frame(event, WS_CODE_TOO_BIG, "message too long");
    if (++reader->fragments > 16 + reader->max_message / WS_FRAGMENT_SIZE)
        return fail_frame(event, WS_CODE_POLICY, "message in too many fragments");
    return 1;
}

/* Reads a frame's head. Returns 1 when it is whole, 0 when more is needed, -1 when it is bad. */
static int read_head(struct ws_reader *reader, struct ws_event *event)
{
    size_t have = reader->end - reader->raw;
    if (have == 0)
        return 0;
    const unsigned char *head = reader->buf + reader->raw;
    const char *bad = check_first(reader, head[0]);
    if (!bad && have > 1)
        bad = check_second(reader, head[0], head[1]);
    if (bad)
        return fail_frame(event, WS_CODE_PROTOCOL, bad);

    size_t extended = have > 1 ? extended_bytes(head[1]) : 0;
    size_t size = 2 + extended + (reader->masked ? 4 : 0);
    if (have < size)
        return 0;
    uint64_t length = extended ? decode_length(head + 2, extended) : head[1] & LENGTH;
    bad = check_length(extended, length);
    if (bad)
        return fail_frame(event, WS_CODE_PROTOCOL, bad);

    if (reader->masked)
        memcpy(reader->mask, head + 2 + extended, 4);
    reader->in_frame = true;
    reader->fin = head[0] & FIN;
    reader->opcode = head[0] & OPCODE;
    reader->frame_left = length;
    reader->raw += size;
    return is_control(reader->opcode) ? 1 : begin_data(reader, event);
}

static void end_frame(struct ws_reader *reader)
{
    reader->in_frame = false;
    reader->frames++;
}

/* Moves `len` payload bytes from `from` to `to`, and masks or unmasks them, which is the same
 * (§5.3). Each step loads eight bytes before it stores any, so `to` may be lower and overlap. */
static void unmask(unsigned char *to, const unsigned char *from, size_t len, unsigned char mask[4])
{
    uint64_t word, wide;
    unsigned char twice[8];
    memcpy(twice, mask, 4);
    memcpy(twice + 4, mask, 4);
    memcpy(&wide, twice, sizeof(wide));
    size_t i = 0;
    for (; len - i >= sizeof(word); i += sizeof(word)) {
        memcpy(&word, from + i, sizeof(word));
        word ^= wide;
        memcpy(to + i, &word, sizeof(word));
    }
    for (; i < len; i++)
        to[i] = from[i] ^ twice[i % 4];
    for (i = 0; i < 4; i++)
        mask[i] = twice[(len + i) % 4];
}

/* Appends the available payload of a data frame to the message. */
static int read_data(struct ws_reader *reader, struct ws_event *event)
{
    size_t len = reader->end - reader->raw;
    if (len > reader->frame_left)
        len = (size_t)reader->frame_left;
    if (len == 0)
        return 1;
    unsigned char *to = reader->buf + reader->message + reader->message_len;
    unsigned char *from = reader->buf + reader->raw;
    if (reader->masked)
        unmask(to, from, len, reader->mask);
    else if (to != from)
        memmove(to, from, len);
    reader->message_len += len;
    reader->raw += len;
    reader->frame_left -= len;
    if (reader->kind == WS_TEXT && !utf8_feed(&reader->utf8, to, len))
        return fail_frame(event, WS_CODE_BAD_UTF8, "text is not UTF-8");
    return 1;
}

/* Whether a Close frame may have this code (§7.4; 1012 to 1014 are in the IANA registry). */
static bool close_code_ok(int code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
           (code >= 3000 && code <= 4999);
}

/* §5.5.1: a Close frame is empty, or a code and a reason in UTF-8. */
static int read_close(struct ws_event *event)
{
    event->code = WS_CODE_NONE;
    if (event->len == 0)
        return 1;
    if (event->len == 1)
        return fail_frame(event, WS_CODE_PROTOCOL, "close frame with half a code");
    event->code = (int)decode_length(event->payload, 2);
    event->payload += 2;
    event->len -= 2;
    if (!close_code_ok(event->code))
        return fail_frame(event, WS_CODE_PROTOCOL, "close code not allowed");
    struct ws_utf8 utf8 = {0, 0, 0};
    if (!utf8_feed(&utf8, event->payload, event->len) || utf8.left)
        return fail_frame(event, WS_CODE_BAD_UTF8, "close reason is not UTF-8");
    return 1;
}

/* Reads a control frame in place, once all of it (at most 125 bytes) has arrived. */
static int read_control(struct ws_reader *reader, struct ws_event *event)
{
    size_t len = (size_t)reader->frame_left;
    if (reader->end - reader->raw < len)
        return 0;
    event->opcode = (enum ws_opcode)reader->opcode;
    event->payload = reader->buf + reader->raw;
    event->len = len;
    if (reader->masked)
        unmask(event->payload, event->payload, len, reader->mask);
    reader->raw += len;
    reader->frame_left = 0;
    end_frame(reader);
    return event->opcode == WS_CLOSE ? read_close(event) : 1;
}

/* Ends a message after its last frame. */
static int end_message(struct ws_reader *reader, struct ws_event *event)
{
    if (reader->kind == WS_TEXT && reader->utf8.left)
        return fail_frame(event, WS_CODE_BAD_UTF8, "text ends inside a character");
    event->opcode = (enum ws_opcode)reader->kind;
    event->payload = reader->buf + reader->message;
    event->len = reader->message_len;
    reader->kind = 0;
    return 1;
}

int ws_next(struct ws_reader *reader, struct ws_event *event)
{
    memset(event, 0, sizeof(*event));
    for (;;) {
        int result = reader->in_frame ? 1 : read_head(reader, event);
        if (result <= 0)
            return result;
        if (is_control(reader->opcode))
            return read_control(reader, event);
        if (read_data(reader, event) < 0)
            return -1;
        if (reader->frame_left)
            return 0;
        end_frame(reader);
        if (reader->fin)
            return end_message(reader, event);
    }
}

/* ---- Writing frames ---- */

size_t ws_write_head(unsigned char *out, enum ws_opcode opcode, size_t len)
{
    uint64_t length = len;
    size_t extended = len < LENGTH_16 ? 0 : len <= UINT16_MAX ? 2 : 8;
    out[0] = (unsigned char)(FIN | opcode);
    out[1] = (unsigned char)(extended == 0 ? len : extended == 2 ? LENGTH_16 : LENGTH_64);
    for (size_t i = 0; i < extended; i++)
        out[2 + i] = (unsigned char)(length >> (8 * (extended - 1 - i)));
    return 2 + extended;
}

size_t ws_write_close(unsigned char *out, int code, const char *reason)
{
    if (code == WS_CODE_NONE)
        return ws_write_head(out, WS_CLOSE, 0);
    size_t len = strlen(reason);
    if (len > WS_CONTROL_MAX - 2) {
        len = WS_CONTROL_MAX - 2;
        while (len && ((unsigned char)reason[len] & 0xC0) == 0x80)
            len--; /* do not cut a character */
    }
    size_t head = ws_write_head(out, WS_CLOSE, 2 + len);
    out[head] = (unsigned char)(code >> 8);
    out[head + 1] = (unsigned char)code;
    memcpy(out + head + 2, reason, len);
    return head + 2 + len;
}

size_t ws_head_size(const unsigned char *head)
{
    return 2 + extended_bytes(head[1]);
}

size_t ws_frame_size(const unsigned char *head)
{
    size_t extended = extended_bytes(head[1]);
    uint64_t length = extended ? decode_length(head + 2, extended) : head[1] & LENGTH;
    return ws_head_size(head) + (size_t)length;
}

size_t ws_write_masked(unsigned char *out, enum ws_opcode opcode, const void *payload, size_t len,
                       const unsigned char *key)
{
    unsigned char mask[WS_MASK_BYTES];
    size_t head = ws_write_head(out, opcode, len);
    out[1] |= MASK;
    memcpy(mask, key, sizeof(mask));
    memcpy(out + head, mask, sizeof(mask));
    head += sizeof(mask);
    unmask(out + head, payload, len, mask);
    return head + len;
}

/* ---- Handshake ---- */

void ws_accept_key(const char *key, char accept[WS_ACCEPT_MAX])
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; /* §1.3 */
    unsigned char text[24 + sizeof(guid) - 1], digest[SHA_DIGEST_LENGTH];
    memcpy(text, key, 24);
    memcpy(text + 24, guid, sizeof(guid) - 1);
    SHA1(text, sizeof(text), digest);
    EVP_EncodeBlock((unsigned char *)accept, digest, sizeof(digest));
}
