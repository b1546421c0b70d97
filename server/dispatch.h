/* SPDX-License-Identifier: MIT
 *
 * dispatch.h - handles the messages of a client that has joined.
 */
#ifndef DISPATCH_H
#define DISPATCH_H

#include "server/session.h"

/* Handles one message. If it was appended to the room's ring, sets client->needs_fan_out. Returns
 * false, and does nothing, when it must wait for the disk (keeper_must_wait): then it must be
 * called again when the thread is woken. */
bool dispatch_message(struct session *client, const struct ws_event *event);

#endif
