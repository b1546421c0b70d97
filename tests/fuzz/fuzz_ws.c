/* SPDX-License-Identifier: MIT
 *
 * fuzz_ws.c - frames of any bytes, for libFuzzer (`make fuzz`).
 *
 * What must hold: the events do not depend on the pieces in which the bytes came; a text is valid
 * UTF-8, nothing is longer than allowed, and an error has a code to close with and words.
 */
#include "ws.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MESSAGE_MAX = 300 };

enum { MASKED = 1, RESTS = 2 }; /* bits of the first byte */

/* What was seen so far, as one number, and what came of it. */
struct trace {
    uint64_t sum;
    int events, result;
};

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void note(struct trace *trace, const void *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        trace->sum = (trace->sum ^ ((const unsigned char *)bytes)[i]) * 0x100000001B3;
}

static void check_text(const unsigned char *text, size_t len)
{
    utf8proc_int32_t character;
    for (size_t at = 0; at < len;) {
        utf8proc_ssize_t used =
            utf8proc_iterate(text + at, (utf8proc_ssize_t)(len - at), &character);
        require(used > 0);
        at += (size_t)used;
    }
}

static void take_event(struct trace *trace, const struct ws_event *event)
{
    bool control = event->opcode >= WS_CLOSE;
    require(event->len <= (control ? WS_CONTROL_MAX : MESSAGE_MAX));
    if (event->opcode == WS_TEXT || event->opcode == WS_CLOSE)
        check_text(event->payload, event->len);
    note(trace, &event->opcode, sizeof(event->opcode));
    note(trace, &event->len, sizeof(event->len));
    note(trace, event->payload, event->len);
    trace->events++;
}

/* Reads it all in pieces of at most `piece` bytes; with a rest after each, or in one go. */
static struct trace read_all(const uint8_t *data, size_t size, size_t piece, uint8_t how)
{
    struct ws_reader reader;
    struct ws_event event;
    struct trace trace = {.result = 0};
    ws_reader_init(&reader, MESSAGE_MAX, how & MASKED);
    for (size_t at = 0; at < size && trace.result == 0;) {
        unsigned char *space;
        size_t room = ws_reserve(&reader, &space), n = size - at < piece ? size - at : piece;
        require(room > 0);
        n = n < room ? n : room;
        memcpy(space, data + at, n);
        ws_commit(&reader, n);
        at += n;
        while ((trace.result = ws_next(&reader, &event)) > 0) {
            take_event(&trace, &event);
            if (event.opcode == WS_CLOSE)
                goto done; /* who was told to close reads no further */
        }
        if (how & RESTS)
            ws_release_idle(&reader);
    }
    if (trace.result < 0) {
        require(event.why != NULL && event.code >= 1002 && event.code <= 1013);
        note(&trace, &event.code, sizeof(event.code));
    }
done:
    ws_reader_fini(&reader);
    return trace;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    size_t piece = 1 + data[1] % 64;
    struct trace whole = read_all(data + 2, size - 2, SIZE_MAX, data[0]);
    struct trace parts = read_all(data + 2, size - 2, piece, data[0]);
    require(whole.result == parts.result && whole.events == parts.events);
    require(whole.sum == parts.sum);
    return 0;
}
