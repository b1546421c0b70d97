/* SPDX-License-Identifier: MIT
 *
 * hear.h - what a client that has joined may say, and what comes of it.
 */
#ifndef HEAR_H
#define HEAR_H

#include "client.h"

/* Does what the message asks for. What is in the room's ring afterwards waits for a pump:
 * client->to_pump. */
void hear_message(struct client *client, const struct ws_event *event);

#endif
