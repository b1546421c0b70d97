/* SPDX-License-Identifier: MIT
 *
 * json_msg.h - the messages of the protocol to and from JSON (RFC 8259).
 *
 * Pure: no I/O, no locks, any thread.
 */
#ifndef JSON_MSG_H
#define JSON_MSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/json/json.h"
#include "lib/json/json_writer.h"
#include "lib/protocol.h"

struct e2e_keys;

/* Parses a message, as json_parse does. Fields that the server sets when it relays a message, and
 * its text, do not count towards the limit of fields: so a message that was accepted once is
 * accepted again after it was relayed. */
int json_parse_message(struct json_object *message, const char *text, size_t len,
                       struct json_error *error);

/* The same for what a server says: a History holds messages, which so lie two levels deeper. */
int json_parse_answer(struct json_object *answer, const char *text, size_t len,
                      struct json_error *error);

/* The Code of the Error `in`; ERROR_NONE if it is unknown here. */
enum protocol_error json_error_code(const struct json_object *in);

/* Begins a message whose type needs no escaping, for fields to be appended; and ends it, as
 * json_writer_finish does. */
struct json_writer json_message_begin(const char *type);
char *json_message_end(struct json_writer *w, size_t *len);

/* ---- Relaying: messages that carry a client's fields. They return a string of *len bytes that the
 * caller frees with free(), or NULL when memory is out. ---- */

/* Writes a Broadcast (`private` false) or PrivateMessage as its receivers get it: msgType, SrcUser
 * (`src`, quoted by json_quote), for a Broadcast TgtUser "", then `text` and every other field of
 * `in` untouched. It drops msgType, SrcUser, TgtUser, Id, Time and History of `in`, which only the
 * server sets. The object stays open, with room for json_finish_relay. json_parse_message accepts
 * the result. */
char *json_relay(const struct json_object *in, bool private, const char *src, size_t *len);

/* The same in the caller's memory, without the room behind it and without a NUL: json_relay_size
 * returns the exact length, json_relay_write writes it to `out`. */
size_t json_relay_size(const struct json_object *in, bool private, const char *src);
void json_relay_write(char *out, const struct json_object *in, bool private, const char *src);

enum { JSON_STAMP_MAX = 64 };

/* Writes the end of a relayed message: `,"Id":ID,"Time":MS}`, or `,"Time":MS}` when id is 0.
 * Returns its length; `out` has room for JSON_STAMP_MAX bytes. `ms` is milliseconds since 1970. */
size_t json_finish_relay(char *out, uint64_t id, int64_t ms);

/* The Time at the end of a relayed message, as json_finish_relay wrote it; 0 if there is none. */
int64_t json_relay_time(const char *json, size_t len);

/* Replaces the last brace of a Broadcast that is sent again as history. */
#define JSON_HISTORY_END ",\"History\":true}"

/* ---- The server's own messages. Returned as above. Strings are valid UTF-8. ---- */

char *json_server_name(const char *server_name, size_t *len);

struct json_greeting {
    const char *server_name, *nonce;
    bool password_required;
    bool kept; /* the room is stored: Kept says for how long */
    uint64_t hours, messages;
};
char *json_hello(const struct json_greeting *greeting, size_t *len);

struct json_joined {
    const char *server_name, *room, *name, *epoch;
    uint64_t last_id;
    bool resumed;
    size_t max_message_bytes;
    uint64_t oldest; /* 0: Oldest is left out */
};
char *json_joined(const struct json_joined *joined, size_t *len);

/* `about` is the message that was wrong, or NULL. Its Ref and TgtUser, if present, are echoed as
 * they were written. */
char *json_error(enum protocol_error code, const char *text, const struct json_object *about,
                 size_t *len);

/* The Error `throttled`. `seconds` is RetryAfter: the time after which a Join is accepted again. */
char *json_throttled(const char *text, uint64_t seconds, const struct json_object *about,
                     size_t *len);

/* `about` is the PrivateMessage that was delivered; its Ref and TgtUser are echoed. */
char *json_delivered(const struct json_object *about, size_t *len);

/* KeysPublished; `about` is the PublishKeys, whose Ref is echoed. */
char *json_keys_published(const struct json_object *about, size_t *len);

/* `keys` is the card that the member published, or NULL when there is none. `about` is the GetKeys;
 * its Ref is echoed. */
char *json_user_keys(const char *user, const struct e2e_keys *keys, const struct json_object *about,
                     size_t *len);

/* Begins a History of `bytes` bytes of messages in the room's `epoch`; `about` is the question,
 * whose Ref is echoed. json_history_add adds each message, which is JSON already. json_history_end
 * ends it, as json_writer_finish does. */
struct json_writer json_history_begin(const struct json_object *about, const char *epoch,
                                      size_t bytes);
void json_history_add(struct json_writer *w, const char *json, size_t len);
char *json_history_end(struct json_writer *w, uint64_t from, bool more, size_t *len);

/* Names that json_quote made; borrowed. */
struct json_names {
    const char *const *quoted;
    size_t count;
};

/* OnlineUsers as members of the short way get it. */
char *json_online_users(const struct json_names *users, size_t *len);

/* OnlineUsers as members of ragnarok.v2 get it: the list of that version. `users` is NULL in a room
 * that is too large for a list. */
char *json_user_list(uint64_t version, size_t count, const struct json_names *users, size_t *len);

/* Presence: what turns the list `since` into the list `version`, of `count` members. An empty list
 * of names is left out. */
struct json_presence {
    uint64_t version, since;
    size_t count;
    struct json_names joined, left;
};
char *json_presence(const struct json_presence *presence, size_t *len);

/* Users: a page of the names in a room of `count` members; `more`: others follow. `about` is the
 * GetUsers, whose Ref is echoed. */
char *json_users(const struct json_names *users, size_t count, bool more,
                 const struct json_object *about, size_t *len);

#endif
