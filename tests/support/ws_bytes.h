/* SPDX-License-Identifier: MIT
 *
 * ws_bytes.h - bytes of frames, transcripts of a reader's events, and every way to split an input.
 *
 * Most tests give frames and a transcript: every event that the reader must find in them, up to a
 * Close frame or a broken rule ("text:Hello;fail:1002;"). The frames are read masked and unmasked;
 * whole, byte by byte, cut at every place and, if short, at every pair of places; with and without
 * ws_release_idle between the pieces. The transcript must be the same each time.
 *
 * Where a rule must be enforced early, the input ends at that byte, so a reader that waits for more
 * fails the test.
 */
#ifndef WS_BYTES_H
#define WS_BYTES_H

#include "ws.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    MAX_MESSAGE = 1 << 17,
    PAIRS_UP_TO = 48,        /* longer inputs are not cut at every pair of places */
    EDGE = 64,               /* long inputs are cut at every place so near to their ends */
    SMALL_BUFFER = 64 * 1024 /* most that a reader may hold before anything large has arrived */
};

static const unsigned char RFC_KEY[4] = {0x37, 0xfa, 0x21, 0x3d};

/* ---- Bytes that grow, always with a NUL after them ---- */

struct bytes {
    unsigned char *data;
    size_t len, cap;
};

static inline void put(struct bytes *to, const void *from, size_t len)
{
    if (to->len + len + 1 > to->cap) {
        to->cap = 2 * (to->len + len + 1);
        to->data = realloc(to->data, to->cap);
        assert_non_null(to->data);
    }
    if (len > 0)
        memcpy(to->data + to->len, from, len);
    to->len += len;
    to->data[to->len] = '\0';
}

static inline void put_byte(struct bytes *to, unsigned byte)
{
    unsigned char one = (unsigned char)byte;
    put(to, &one, 1);
}

static inline void put_number(struct bytes *to, uint64_t number, int size)
{
    for (int shift = 8 * (size - 1); shift >= 0; shift -= 8)
        put_byte(to, (unsigned)(number >> shift) & 0xff);
}

static inline void drop(struct bytes *bytes)
{
    free(bytes->data);
    *bytes = (struct bytes){0};
}

/* ---- Frames onto the wire, written without help from ws.c ---- */

struct frame {
    unsigned char first; /* FIN, RSV and opcode */
    const char *payload;
    size_t len;
};

#define FRAME(first, payload)                                                                      \
    {                                                                                              \
        first, payload, sizeof(payload) - 1                                                        \
    }

static inline void put_masked(struct bytes *to, const struct frame *frame, const unsigned char *key)
{
    for (size_t i = 0; i < frame->len; i++)
        put_byte(to, (unsigned char)frame->payload[i] ^ key[i % 4]);
}

/* Writes the frame with its shortest length (§5.2), masked if there is a key. */
static inline void put_frame(struct bytes *to, const struct frame *frame, const unsigned char *key)
{
    unsigned mask_bit = key ? 0x80 : 0;
    int more = frame->len < 126 ? 0 : frame->len < 65536 ? 2 : 8;

    put_byte(to, frame->first);
    put_byte(to, mask_bit | (more == 0 ? (unsigned)frame->len : more == 2 ? 126u : 127u));
    put_number(to, frame->len, more);
    if (key) {
        put(to, key, 4);
        put_masked(to, frame, key);
    } else {
        put(to, frame->payload, frame->len);
    }
}

/* ---- Transcripts ---- */

static inline void put_event(struct bytes *to, const char *what, const void *payload, size_t len)
{
    const unsigned char *bytes = payload;

    put(to, what, strlen(what));
    put(to, ":", 1);
    for (size_t i = 0; i < len; i++) {
        if (bytes[i] >= ' ' && bytes[i] <= '~' && bytes[i] != ';' && bytes[i] != '\\') {
            put_byte(to, bytes[i]);
        } else {
            put(to, "\\x", 2);
            put_byte(to, (unsigned char)"0123456789abcdef"[bytes[i] >> 4]);
            put_byte(to, (unsigned char)"0123456789abcdef"[bytes[i] & 15]);
        }
    }
    put(to, ";", 1);
}

static inline const char *kind_of(const struct ws_event *event)
{
    switch (event->opcode) {
    case WS_TEXT:
        return "text";
    case WS_BINARY:
        return "binary";
    case WS_PING:
        return "ping";
    case WS_PONG:
        return "pong";
    case WS_CLOSE:
        return "close";
    case WS_CONTINUATION:
        break;
    }
    return "no event at all";
}

/* A reader, and the transcript of its events so far. */
struct session {
    struct ws_reader reader;
    struct bytes said;
    bool over;
};

static inline void put_failure(struct session *session, const struct ws_event *event)
{
    char line[32];

    assert_non_null(event->why);
    assert_true(strlen(event->why) > 0);
    snprintf(line, sizeof line, "fail:%d;", event->code);
    put(&session->said, line, strlen(line));
}

static inline void listen_to(struct session *session)
{
    struct ws_event event;
    char close[32];

    while (!session->over) {
        int got = ws_next(&session->reader, &event);
        if (got == 0)
            return;
        session->over = got < 0 || event.opcode == WS_CLOSE;
        if (got < 0) {
            assert_int_equal(got, -1);
            put_failure(session, &event);
        } else if (event.opcode == WS_CLOSE) {
            snprintf(close, sizeof close, "close:%d", event.code);
            put_event(&session->said, close, event.payload, event.len);
        } else {
            put_event(&session->said, kind_of(&event), event.payload, event.len);
        }
    }
}

static inline void feed(struct ws_reader *reader, const unsigned char *bytes, size_t len)
{
    while (len > 0) {
        unsigned char *space = NULL;
        size_t room = ws_reserve(reader, &space);
        size_t n = room < len ? room : len;

        assert_true(room > 0);
        memcpy(space, bytes, n);
        ws_commit(reader, n);
        bytes += n;
        len -= n;
    }
}

static inline void give(struct session *session, const unsigned char *bytes, size_t len)
{
    if (!session->over) {
        feed(&session->reader, bytes, len);
        listen_to(session);
    }
}

static inline void session_init(struct session *session, size_t max, bool masked)
{
    *session = (struct session){0};
    put(&session->said, "", 0);
    ws_reader_init(&session->reader, max, masked);
}

static inline void session_fini(struct session *session)
{
    ws_reader_fini(&session->reader);
    drop(&session->said);
}

/* ---- The same input in every split ---- */

struct input {
    struct bytes wire;
    size_t max;
    bool masked;
};

/* Pieces end at the cuts, and after them every `step` bytes; 0: no steps. */
struct chop {
    size_t cut[2], step;
    bool rest; /* calls ws_release_idle after each piece */
};

static inline size_t piece_end(const struct chop *chop, size_t at, size_t total)
{
    size_t end = total;

    if (at < chop->cut[0])
        end = chop->cut[0];
    else if (at < chop->cut[1])
        end = chop->cut[1];
    else if (chop->step > 0)
        end = at + chop->step;
    return end < total ? end : total;
}

static inline void check_chop(const char *expected, const struct input *input, struct chop chop)
{
    struct session session;

    session_init(&session, input->max, input->masked);
    for (size_t at = 0, end; at < input->wire.len; at = end) {
        end = piece_end(&chop, at, input->wire.len);
        give(&session, input->wire.data + at, end - at);
        if (chop.rest)
            ws_release_idle(&session.reader);
    }
    if (strcmp((char *)session.said.data, expected) != 0)
        print_error("%s, cut at %zu and %zu, then every %zu, %s ws_release_idle\n",
                    input->masked ? "masked" : "unmasked", chop.cut[0], chop.cut[1], chop.step,
                    chop.rest ? "with" : "without");
    assert_string_equal((char *)session.said.data, expected);
    session_fini(&session);
}

static inline void check_pairs(const char *expected, const struct input *input, size_t first)
{
    for (size_t second = first + 1; second < input->wire.len; second++)
        check_chop(expected, input, (struct chop){.cut = {first, second}});
}

static inline void check_input(const char *expected, const struct input *input)
{
    static const size_t steps[] = {0, 1, 2, 3, 7, 64, 997, 4096};
    size_t len = input->wire.len;

    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        check_chop(expected, input, (struct chop){.step = steps[i]});
        check_chop(expected, input, (struct chop){.step = steps[i], .rest = true});
    }
    for (size_t cut = 1; cut < len; cut++) {
        if (cut > EDGE && len - cut > EDGE && len > 1024)
            continue;
        check_chop(expected, input, (struct chop){.cut = {cut}});
        check_chop(expected, input, (struct chop){.cut = {cut}, .rest = true});
        if (len <= PAIRS_UP_TO)
            check_pairs(expected, input, cut);
    }
}

static inline void check(size_t max, const char *expected, const struct frame *frames, size_t count)
{
    for (int masked = 0; masked < 2; masked++) {
        struct input input = {.max = max, .masked = masked};
        for (size_t i = 0; i < count; i++)
            put_frame(&input.wire, &frames[i], masked ? RFC_KEY : NULL);
        check_input(expected, &input);
        drop(&input.wire);
    }
}

#define CHECK_MAX(max, expected, ...)                                                              \
    check(max, expected, (const struct frame[]){__VA_ARGS__},                                      \
          sizeof((const struct frame[]){__VA_ARGS__}) / sizeof(struct frame))

#define CHECK(expected, ...) CHECK_MAX(MAX_MESSAGE, expected, __VA_ARGS__)

/* A head, given unmasked, without payload: it must fail by itself. `before` comes whole before it.
 */
static inline void check_head(size_t max, const char *expected, const struct frame *before,
                              const struct frame *head)
{
    for (int masked = 0; masked < 2; masked++) {
        struct input input = {.max = max, .masked = masked};
        if (before)
            put_frame(&input.wire, before, masked ? RFC_KEY : NULL);
        put(&input.wire, head->payload, head->len);
        if (masked) {
            input.wire.data[input.wire.len - head->len + 1] |= 0x80;
            put(&input.wire, RFC_KEY, 4);
        }
        check_input(expected, &input);
        drop(&input.wire);
    }
}

#define HEAD_FAILS(expected, bytes)                                                                \
    check_head(MAX_MESSAGE, expected, NULL, &(const struct frame)FRAME(0, bytes))

/* ---- §8.1 and RFC 3629: UTF-8 ---- */

static inline void put_character(struct bytes *to, uint32_t point)
{
    static const unsigned char marks[] = {0, 0, 0xc0, 0xe0, 0xf0};
    int size = point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;

    put_byte(to, marks[size] | point >> (6 * (size - 1)));
    for (int i = size - 2; i >= 0; i--)
        put_byte(to, 0x80 | (point >> (6 * i) & 0x3f));
}

#endif
