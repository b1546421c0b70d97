/* SPDX-License-Identifier: MIT
 *
 * http_room.h - the room that a request asks for.
 */
#ifndef HTTP_ROOM_H
#define HTTP_ROOM_H

#include <stddef.h>

#include "lib/http/http_request.h"

/* The room that a path names: /rooms/NAME, %-decoded, gives NAME; any other path gives "", the main
 * room. Writes a NUL-terminated string of at most `cap` bytes. Returns 0, or -1 and *why when the
 * path is under /rooms/ and name_check (name.h) refuses its name. */
int http_room(const struct http_request *rq, char *room, size_t cap, const char **why);

#endif
