/* SPDX-License-Identifier: MIT
 *
 * frames.h - WebSocket for steps 3 to 5 of the ladder: the handshake and frames (RFC 6455).
 *
 * Bytes in, bytes out: nothing here reads or writes a socket, so step 4 can put TLS below it.
 *
 * A client's frame (§5.2):  FIN opcode | MASK length | [length, 2 bytes] | mask, 4 bytes | payload
 *
 * Left out: messages in several frames (§5.4) and frames longer than MESSAGE_MAX, which end the
 * connection; the check of Origin (§10.2), without which any web page may connect. ../../ws.c has
 * the first two, ../../server/upgrade.c the last.
 */
#ifndef TOUR_FRAMES_H
#define TOUR_FRAMES_H

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <openssl/evp.h>

enum { FRAME_TEXT = 0x1, FRAME_CLOSE = 0x8, FRAME_PING = 0x9, FRAME_PONG = 0xA };

enum {
    REQUEST_MAX = 4096,              /* a longer request is refused */
    RESPONSE_MAX = 256,              /* the answer, with its NUL */
    MESSAGE_MAX = 4096,              /* bytes of a message; a longer one ends the connection */
    FRAME_MAX = 4 + MESSAGE_MAX,     /* a whole frame of a server */
    INBOX_MAX = 4 + 4 + MESSAGE_MAX, /* a whole frame of a client, which has a mask */
    CONTROL_MAX = 125,               /* payload of a Close, Ping or Pong (§5.5) */
    KEY_LEN = 24,                    /* Sec-WebSocket-Key: 16 bytes in base64 */
};

#define HTTP_REFUSAL "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

/* Answers a request, NUL-terminated, that may not be whole yet (§4.2.2). Returns the length of the
 * answer, 0 when more is needed, -1 when it asks for no WebSocket. The answer proves that this is a
 * WebSocket server, and not some other one that was made to echo bytes. */
static inline int upgrade_response(const char *request, char response[RESPONSE_MAX])
{
    static const char name[] = "\r\nSec-WebSocket-Key:";
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    char text[KEY_LEN + sizeof(guid)];
    unsigned char digest[EVP_MAX_MD_SIZE], accept[2 * EVP_MAX_MD_SIZE];
    unsigned digest_len;
    if (!strstr(request, "\r\n\r\n"))
        return 0;
    const char *key = strcasestr(request, name);
    if (!key || strncmp(request, "GET ", 4) != 0)
        return -1;
    key += sizeof(name) - 1;
    key += strspn(key, " \t");
    if (strcspn(key, " \t\r\n") != KEY_LEN)
        return -1;
    memcpy(text, key, KEY_LEN);
    memcpy(text + KEY_LEN, guid, sizeof(guid));
    if (EVP_Digest(text, strlen(text), digest, &digest_len, EVP_sha1(), NULL) != 1)
        return -1;
    EVP_EncodeBlock(accept, digest, (int)digest_len); /* base64, with a NUL */
    return snprintf(response, RESPONSE_MAX,
                    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                    "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
                    (char *)accept);
}

/* Whether a text is UTF-8 (RFC 3629 §4). A client that is sent anything else must break off
 * (RFC 6455 §8.1), so one bad text would throw everybody out. */
static inline bool is_utf8(const unsigned char *text, size_t len)
{
    static const unsigned least[] = {0, 0x80, 0x800, 0x10000};
    for (size_t i = 0; i < len;) {
        unsigned code = text[i++];
        int more = code < 0x80 ? 0 : code < 0xC0 ? -1 : code < 0xE0 ? 1 : code < 0xF0 ? 2 : 3;
        if (more < 0 || code > 0xF4 || (size_t)more > len - i)
            return false;
        if (more > 0)
            code &= 0x3Fu >> more;
        for (int left = more; left > 0; left--, i++) {
            if ((text[i] & 0xC0) != 0x80)
                return false;
            code = code << 6 | (text[i] & 0x3F);
        }
        if (code < least[more] || (code >= 0xD800 && code < 0xE000) || code > 0x10FFFF)
            return false;
    }
    return true;
}

struct frame {
    int opcode;
    unsigned char *payload; /* lies in the bytes that were read */
    size_t len;
};

/* Reads the client's frame that `bytes` begin with, and takes its mask off in place (§5.3). Returns
 * how many bytes it has, 0 when more are needed, -1 when it breaks a rule or a bound. */
static inline long frame_read(unsigned char *bytes, size_t have, struct frame *frame)
{
    if (have < 2)
        return 0;
    size_t head = 2, len = bytes[1] & 0x7F;
    if ((bytes[0] & 0xF0) != 0x80 || !(bytes[1] & 0x80) || len == 127)
        return -1; /* a fragment or an extension; not masked; or far too long */
    if (len == 126) {
        if (have < 4)
            return 0;
        head = 4;
        len = (size_t)bytes[2] << 8 | bytes[3];
    }
    frame->opcode = bytes[0] & 0x0F;
    if (len > MESSAGE_MAX || (frame->opcode >= FRAME_CLOSE && len > CONTROL_MAX))
        return -1;
    if (have < head + 4 + len)
        return 0;
    const unsigned char *mask = bytes + head;
    frame->payload = bytes + head + 4;
    frame->len = len;
    for (size_t i = 0; i < len; i++)
        frame->payload[i] ^= mask[i % 4];
    if (frame->opcode == FRAME_TEXT && !is_utf8(frame->payload, len))
        return -1;
    return (long)(head + 4 + len);
}

/* Writes a server's frame, which has no mask (§5.1). Returns its length. */
static inline size_t frame_write(unsigned char out[FRAME_MAX], int opcode, const void *payload,
                                 size_t len)
{
    size_t head = len < 126 ? 2 : 4;
    out[0] = (unsigned char)(0x80 | opcode);
    out[1] = (unsigned char)(len < 126 ? len : 126);
    if (head == 4) {
        out[2] = (unsigned char)(len >> 8);
        out[3] = (unsigned char)len;
    }
    memcpy(out + head, payload, len);
    return head + len;
}

#endif
