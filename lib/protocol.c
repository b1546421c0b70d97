/* SPDX-License-Identifier: MIT
 *
 * protocol.c - the table of error codes. No locks: any thread.
 */
#include "lib/protocol.h"

#include <string.h>

static const char *const names[ERROR_CODES] = {
    [ERROR_NONE] = "",
    [ERROR_BAD_JSON] = "bad_json",
    [ERROR_BAD_NAME] = "bad_name",
    [ERROR_BAD_PROOF] = "bad_proof",
    [ERROR_MISSING_FIELD] = "missing_field",
    [ERROR_NAME_TAKEN] = "name_taken",
    [ERROR_ROOM_FULL] = "room_full",
    [ERROR_SHUTTING_DOWN] = "shutting_down",
    [ERROR_THROTTLED] = "throttled",
    [ERROR_TOO_LONG] = "too_long",
    [ERROR_TOO_MANY_ROOMS] = "too_many_rooms",
    [ERROR_UNKNOWN_TYPE] = "unknown_type",
    [ERROR_WRONG_ORIGIN] = "wrong_origin",
    [ERROR_WRONG_PASSWORD] = "wrong_password",
    [ERROR_NO_HISTORY] = "no_history",
    [ERROR_RECEIVER_BUSY] = "receiver_busy",
    [ERROR_TOO_FAST] = "too_fast",
    [ERROR_UNAVAILABLE] = "unavailable",
    [ERROR_UNKNOWN_USER] = "unknown_user",
};

const char *protocol_error_name(enum protocol_error error)
{
    return names[error];
}

enum protocol_error protocol_error_find(const char *name)
{
    for (int code = ERROR_NONE + 1; code < ERROR_CODES; code++)
        if (strcmp(names[code], name) == 0)
            return (enum protocol_error)code;
    return ERROR_NONE;
}
