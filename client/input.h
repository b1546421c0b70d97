/* SPDX-License-Identifier: MIT
 *
 * input.h - handles what a person types at the terminal.
 *
 * One thread.
 */
#ifndef INPUT_H
#define INPUT_H

#include "client/chat.h"

/* Takes one byte from the terminal, edits the line, and executes it when it is finished. Does not
 * draw the line: the caller draws once for all bytes of a read. */
void input_key(struct chat *chat, unsigned char byte);

/* Names have come that Tab asked for (who.h): completes the line if it is still the same. */
void input_offered(struct chat *chat);

#endif
