/* SPDX-License-Identifier: MIT
 *
 * typed.h - what a person at the terminal types.
 *
 * One thread.
 */
#ifndef TYPED_H
#define TYPED_H

#include "chat.h"

/* Takes one byte from the terminal, edits the line, and does what a finished one says. The line is not
 * drawn anew: that is done once for all bytes that came. */
void typed_key(struct chat *chat, unsigned char byte);

#endif
