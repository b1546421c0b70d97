/* SPDX-License-Identifier: MIT
 *
 * frame.h - encoded frames (RFC 6455 §5) with a reference count, shared by outbox queues.
 */
#ifndef FRAME_H
#define FRAME_H

#include <stdatomic.h>
#include <stddef.h>

/* An encoded frame. Immutable except for its reference count. */
struct frame {
    atomic_uint references;
    size_t len;
    unsigned char bytes[];
};

/* Makes a frame of a payload; with opcode -1 the payload is sent as it is. The caller holds one
 * reference. Returns NULL when memory is out. */
struct frame *frame_new(int opcode, const void *payload, size_t len);

/* Makes a frame of two pieces, which are sent as they are. Returns as frame_new. */
struct frame *frame_join(const void *head, size_t head_len, const void *body, size_t len);
void frame_drop(struct frame *frame);

/* Makes a frame of `len` bytes for the caller to fill in. The caller holds one reference. Returns
 * NULL when memory is out. */
struct frame *frame_alloc(size_t len);

/* Takes a reference. Returns the frame. */
struct frame *frame_hold(struct frame *frame);

#endif
