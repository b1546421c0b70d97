/* SPDX-License-Identifier: MIT
 *
 * frame.c - encoded frames with a reference count. Any thread, no locks.
 */
#include "delivery/frame.h"

#include <stdlib.h>
#include <string.h>

#include "ws.h"

struct frame *frame_alloc(size_t len)
{
    struct frame *frame = malloc(sizeof(*frame) + len);
    if (!frame)
        return NULL;
    atomic_init(&frame->references, 1);
    frame->len = len;
    return frame;
}

struct frame *frame_new(int opcode, const void *payload, size_t len)
{
    unsigned char head[WS_HEAD_MAX];
    size_t head_len = opcode < 0 ? 0 : ws_write_head(head, (enum ws_opcode)opcode, len);
    return frame_join(head, head_len, payload, len);
}

struct frame *frame_join(const void *head, size_t head_len, const void *body, size_t len)
{
    struct frame *frame = frame_alloc(head_len + len);
    if (!frame)
        return NULL;
    if (head_len)
        memcpy(frame->bytes, head, head_len);
    if (len)
        memcpy(frame->bytes + head_len, body, len);
    return frame;
}

struct frame *frame_hold(struct frame *frame)
{
    atomic_fetch_add_explicit(&frame->references, 1, memory_order_relaxed);
    return frame;
}

void frame_drop(struct frame *frame)
{
    if (frame && atomic_fetch_sub_explicit(&frame->references, 1, memory_order_acq_rel) == 1)
        free(frame);
}
