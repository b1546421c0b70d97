/* SPDX-License-Identifier: MIT
 *
 * protocol.h - the name of the protocol and the codes of its errors (docs/PROTOCOL.md).
 *
 * Pure: any thread.
 */
#ifndef PROTOCOL_H
#define PROTOCOL_H

#define PROTOCOL_NAME "ragnarok.v2" /* the subprotocol (RFC 6455 §1.9) */

/* The Code of an Error. */
enum protocol_error {
    ERROR_NONE,
    ERROR_BAD_JSON, /* the codes up to ERROR_WRONG_PASSWORD answer a Join */
    ERROR_BAD_NAME,
    ERROR_BAD_PROOF,
    ERROR_MISSING_FIELD,
    ERROR_NAME_TAKEN,
    ERROR_ROOM_FULL,
    ERROR_SHUTTING_DOWN,
    ERROR_THROTTLED,
    ERROR_TOO_LONG,
    ERROR_TOO_MANY_ROOMS,
    ERROR_UNKNOWN_TYPE,
    ERROR_WRONG_ORIGIN,
    ERROR_WRONG_PASSWORD,
    ERROR_NO_HISTORY, /* the codes from here on are for members, the last but one for a Join, too */
    ERROR_RECEIVER_BUSY,
    ERROR_TOO_FAST,
    ERROR_UNAVAILABLE,
    ERROR_UNKNOWN_USER,
    ERROR_CODES, /* number of codes, with ERROR_NONE */
};

/* The text of a code in messages: "bad_json". A constant; "" for ERROR_NONE. */
const char *protocol_error_name(enum protocol_error error);

/* The code with that name, or ERROR_NONE. */
enum protocol_error protocol_error_find(const char *name);

#endif
