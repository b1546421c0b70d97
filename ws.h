/* SPDX-License-Identifier: MIT
 *
 * ws.h - WebSocket frames and the handshake key (RFC 6455 §4.2.2, §5, §7, §8.1).
 *
 * Pure: bytes in, bytes out. No I/O, no locks; a reader belongs to one thread at a time.
 */
#ifndef WS_H
#define WS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ws_opcode {
    WS_CONTINUATION = 0x0,
    WS_TEXT = 0x1,
    WS_BINARY = 0x2,
    WS_CLOSE = 0x8,
    WS_PING = 0x9,
    WS_PONG = 0xA,
};

/* Status codes of the Close frame (RFC 6455 §7.4.1). */
enum ws_code {
    WS_CODE_NORMAL = 1000,
    WS_CODE_GOING_AWAY = 1001,
    WS_CODE_PROTOCOL = 1002,
    WS_CODE_UNSUPPORTED = 1003,
    WS_CODE_NONE = 1005, /* never sent: the Close frame that came had no code */
    WS_CODE_BAD_UTF8 = 1007,
    WS_CODE_POLICY = 1008,
    WS_CODE_TOO_BIG = 1009,
    WS_CODE_TRY_LATER = 1013,  /* IANA registry: too slow, or the server is full */
    WS_CODE_TAKEN_OVER = 4001, /* ours (§7.4.2): the same member joined again elsewhere */
};

enum {
    WS_HEAD_MAX = 14,           /* bytes of a frame head with its mask */
    WS_MASK_BYTES = 4,          /* of a client's masking key */
    WS_CONTROL_MAX = 125,       /* payload of a control frame (§5.5) */
    WS_CLOSE_MAX = 2 + 2 + 123, /* a whole unmasked Close frame */
    WS_ACCEPT_MAX = 29,         /* Sec-WebSocket-Accept with its NUL */
    WS_FRAGMENT_SIZE = 64,      /* mean payload of fragments, at least; see ws_reader_init */
};

/* Position within a UTF-8 sequence. */
struct ws_utf8 {
    unsigned char left;      /* continuation bytes still to come */
    unsigned char low, high; /* bounds of the next one */
};

/* ---- Reading ---------------------------------------------------------------------------------
 * A reader joins input into messages, in place, in one buffer. A whole frame is unmasked where it
 * lies; a fragment is moved down to the ones before it. Masking, UTF-8 and the rules for heads are
 * checked as the bytes arrive, not when a frame ends.
 *
 *   buf |....| message so far |....| raw bytes, not looked at |.......|
 *            ^message               ^raw                       ^end    ^cap
 */
struct ws_reader {
    unsigned char *buf;
    size_t cap, end, raw;
    size_t message, message_len;
    size_t max_message;    /* a longer message is closed with 1009 */
    uint64_t frame_left;   /* payload bytes of the current frame still to come */
    uint64_t fragments;    /* data frames of the current message */
    uint64_t frames;       /* frames that have arrived completely */
    unsigned char mask[4]; /* as it applies to the next payload byte */
    unsigned char opcode;  /* of the current frame */
    unsigned char kind;    /* WS_TEXT or WS_BINARY while a message is open, else 0 */
    bool fin, in_frame;
    bool masked;         /* whether the peer must mask its frames: clients must (§5.1) */
    struct ws_utf8 utf8; /* of the current text message */
};

/* An event that ws_next found. `payload` lies in the reader's buffer and is valid until the next
 * call of ws_reserve or ws_next. */
struct ws_event {
    enum ws_opcode opcode;  /* WS_TEXT, WS_BINARY: a whole message; WS_PING, WS_PONG, WS_CLOSE */
    unsigned char *payload; /* of a Close frame: the reason, without the code */
    size_t len;
    int code;        /* WS_CLOSE: the code received, or WS_CODE_NONE */
    const char *why; /* after -1: the rule that the peer broke; `code` is for the Close frame */
};

/* Makes an empty reader for messages of up to `max_message` bytes. `masked`: the peer is a client.
 * A message in more than 16 + max_message / WS_FRAGMENT_SIZE frames is closed with 1008. Allocates
 * nothing until ws_reserve, and then only as much as the input needs. */
void ws_reader_init(struct ws_reader *reader, size_t max_message, bool masked);

/* Frees the buffer. The reader may be used again as after ws_reader_init. */
void ws_reader_fini(struct ws_reader *reader);

/* Makes room for input. Returns how many bytes, at least one, may be put at *space, or 0 when
 * memory is out. */
size_t ws_reserve(struct ws_reader *reader, unsigned char **space);

/* Adds `n` bytes that were put there. */
void ws_commit(struct ws_reader *reader, size_t n);

/* Input that ws_next has not read yet, for callers that read an HTTP head before the frames. */
size_t ws_peek(const struct ws_reader *reader, unsigned char **bytes);

/* Removes `n` bytes of it. */
void ws_skip(struct ws_reader *reader, size_t n);

/* Number, from 1, of the frame that has arrived in part; 0: none has begun. Valid after ws_next
 * returned 0. */
uint64_t ws_partial_frame(const struct ws_reader *reader);

/* Frees the buffer when it is empty. Call it before a long wait. */
void ws_release_idle(struct ws_reader *reader);

/* Takes the next event from the input. Returns 1 and *event, 0 when more bytes are needed, or -1
 * when the peer broke a rule, with event->code and event->why. After -1, and after a WS_CLOSE
 * event, the connection is over (§5.5.1, §7.1.7): do not read on. */
int ws_next(struct ws_reader *reader, struct ws_event *event);

/* ---- Writing: a server's frames, not masked, never fragmented -------------------------------- */

/* Writes the head of a final frame with a payload of `len` bytes (§5.2). Returns its length: 2, 4
 * or 10. `out` has room for WS_HEAD_MAX bytes. */
size_t ws_write_head(unsigned char *out, enum ws_opcode opcode, size_t len);

/* Writes a whole Close frame (§5.5.1). `code` WS_CODE_NONE: without code and reason. A reason
 * longer than 123 bytes is cut at a character. Returns its length, at most WS_CLOSE_MAX. */
size_t ws_write_close(unsigned char *out, int code, const char *reason);

/* Length of an unmasked frame's head, from its first two bytes: 2, 4 or 10. */
size_t ws_head_size(const unsigned char *head);

/* Length of a whole unmasked frame with its head, from its first 10 bytes, or from all of them if
 * the frame is shorter. */
size_t ws_frame_size(const unsigned char *head);

/* ---- Writing: a client's frames, masked ------------------------------------------------------ */

/* Writes a whole final frame, its payload masked by `key`: WS_MASK_BYTES that are unpredictable and
 * new for every frame (§5.3, §10.3). Returns its length. `out` has room for WS_HEAD_MAX + len bytes
 * and does not overlap `payload`. */
size_t ws_write_masked(unsigned char *out, enum ws_opcode opcode, const void *payload, size_t len,
                       const unsigned char *key);

/* ---- Handshake -------------------------------------------------------------------------------*/

/* Computes Sec-WebSocket-Accept from the 24 characters of Sec-WebSocket-Key (§4.2.2, 5.4). */
void ws_accept_key(const char *key, char accept[WS_ACCEPT_MAX]);

#endif
