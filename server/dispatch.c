/* SPDX-License-Identifier: MIT
 *
 * dispatch.c - handles the messages of a client that has joined: a handler for each type, and their
 * table (docs/PROTOCOL.md).
 *
 * Runs in the client's own thread and takes no locks. Each message is answered by the room, or by
 * one Error. join.c handles joining.
 */
#include "server/dispatch.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/crypto/e2e.h"
#include "room/room_history.h"
#include "lib/json/json_ascii.h"
#include "room/bridge.h"
#include "room/keeper.h"

static void on_broadcast(struct session *client, const struct json_object *message)
{
    size_t grown;
    if (!json_is_string(json_find(message, "text"))) {
        session_say_missing(client, message, "text");
        return;
    }
    const char *why = room_broadcast(&client->member, message, &client->payer, &grown);
    if (why) {
        connection_close(&client->conn, WS_CODE_TRY_LATER, why);
        return;
    }
    connection_charge(&client->conn, grown);
    client->needs_fan_out |= !room_fans_out_later(client->member.room);
}

/* Reads the receiver's name. An invalid name is answered as an unknown user. */
static bool read_target_user(struct session *client, const struct json_object *message,
                             char *target)
{
    const struct json_field *field = json_find(message, "TgtUser");
    if (!json_is_string(field)) {
        session_say_missing(client, message, "TgtUser");
        return false;
    }
    long len = json_string(field, target, NAME_MAX_BYTES + 1);
    if (len < 0 || name_check(target, (size_t)len)) { /* else its fold could match a member */
        session_say_error(client, ERROR_UNKNOWN_USER, "nobody of that name is here", message);
        return false;
    }
    return true;
}

/* Tells the client about a message that was not delivered. */
static void say_fate(struct session *client, enum room_fate fate, const struct json_object *message)
{
    if (fate == ROOM_NO_MEMORY)
        connection_close(&client->conn, WS_CODE_TRY_LATER, "out of memory");
    else if (fate == ROOM_NOBODY)
        session_say_error(client, ERROR_UNKNOWN_USER, "nobody of that name is here", message);
    else if (fate == ROOM_BUSY)
        session_say_error(client, ERROR_RECEIVER_BUSY,
                          "too many messages wait for that member: try again later", message);
}

/* The frame of a Delivered or KeysPublished, which `make` writes; NULL when memory is out. */
static struct frame *ack_frame(const struct session *client, const struct json_object *message,
                               char *(*make)(const struct json_object *about, size_t *len))
{
    size_t len = 0;
    char *json = make(message, &len);
    if (!client->v2)
        json = json_ascii(json, &len, SIZE_MAX);
    struct frame *frame = json ? frame_new(WS_TEXT, json, len) : NULL;
    free(json);
    return frame;
}

static void send_private(struct session *client, const char *target,
                         const struct json_object *message)
{
    enum room_fate fate = ROOM_NO_MEMORY;
    size_t grown = 0;
    bool wants_ack = json_find(message, "Ref");
    struct room_private private = {.target = target,
                                   .message = message,
                                   .ack = wants_ack ? ack_frame(client, message, json_delivered)
                                                    : NULL};
    if (private.ack || !wants_ack)
        fate = room_private(&client->member, &private, &grown);
    connection_charge(&client->conn, grown);
    say_fate(client, fate, message);
    if (fate == ROOM_DELIVERED && wants_ack)
        outbox_flush(&client->conn.out); /* sends the queued Delivered */
    frame_drop(private.ack);
}

static void on_private(struct session *client, const struct json_object *message)
{
    char target[NAME_MAX_BYTES + 1];
    if (!read_target_user(client, message, target))
        return;
    if (json_is_string(json_find(message, "text")))
        send_private(client, target, message);
    else
        session_say_missing(client, message, "text");
}

static void on_get_keys(struct session *client, const struct json_object *message)
{
    char target[NAME_MAX_BYTES + 1];
    struct member_info card;
    size_t len = 0;
    if (!read_target_user(client, message, target))
        return;
    if (room_look_up(&client->member, target, &card)) {
        char *json = json_user_keys(card.name, card.published ? &card.keys : NULL, message, &len);
        session_say(client, json, len);
    } else {
        session_say_error(client, ERROR_UNKNOWN_USER, "nobody of that name is here", message);
    }
}

/* Checks keys that are to replace the client's. Returns the code of an Error and *why, a text for
 * people; ERROR_NONE: they are accepted. `found` is the result of parsing them. */
static enum protocol_error judge_keys(const struct session *client, enum e2e_found found,
                                      const struct e2e_keys *keys, const char **why)
{
    const struct member *member = &client->member;
    const struct e2e_keys *before = member->keys;
    *why = SESSION_CARD_FORM;
    if (found == E2E_FOUND_BAD)
        return ERROR_BAD_PROOF;
    *why = "only a member that joined with keys can publish others";
    if (!before)
        return ERROR_BAD_PROOF;
    *why = "this is not the identity key that you joined with";
    if (memcmp(keys->identity, before->identity, E2E_KEY_BYTES) != 0)
        return ERROR_BAD_PROOF;
    *why =
        "\"KeySignature\" is not of this identity key for this origin, room, name and session key";
    if (!e2e_keys_signed(keys, client->room, member->name))
        return ERROR_BAD_PROOF;
    *why = "this is not the KeyOrigin that you joined with";
    return strcmp(keys->origin, before->origin) != 0 ? ERROR_WRONG_ORIGIN : ERROR_NONE;
}

static void on_publish_keys(struct session *client, const struct json_object *message)
{
    struct e2e_keys keys;
    const char *why;
    enum e2e_found found = e2e_read_keys(message, &keys);
    if (found == E2E_FOUND_NONE || found == E2E_FOUND_SOME) {
        session_say_card_missing(client, message, false);
        return;
    }
    enum protocol_error code = judge_keys(client, found, &keys, &why);
    if (code) {
        session_say_error(client, code, why, message);
        return;
    }
    bool wants_ack = json_find(message, "Ref");
    struct frame *ack = wants_ack ? ack_frame(client, message, json_keys_published) : NULL;
    if ((wants_ack && !ack) || !room_publish(&client->member, &keys, ack))
        connection_close(&client->conn, WS_CODE_TRY_LATER, "out of memory");
    else
        outbox_flush(&client->conn.out);
    frame_drop(ack);
}

/* ---- Older messages ---- */

enum {
    PAGE_COUNT = 50,   /* messages of an answer to GetHistory without Count */
    SEARCH_COUNT = 20, /* the same for Search */
    SEARCH_MIN = 3,    /* characters that a Search needs; with fewer an index is of no use */
    SEARCH_MAX = 128,
};

/* Reads a field that may be missing: a whole number from `least` to `most`. *number is kept then.
 * If it is neither, the client has been sent an Error. */
static bool read_number(struct session *client, const struct json_object *message, const char *name,
                        uint64_t least, uint64_t most, uint64_t *number)
{
    char text[SESSION_TEXT_MAX];
    const struct json_field *field = json_find(message, name);
    if (!field)
        return true;
    bool whole = json_number(field, number) == 0;
    if (whole && *number >= least && *number <= most)
        return true;
    if (whole)
        snprintf(text, sizeof(text), "\"%s\": expected %" PRIu64 "..%" PRIu64 ", got %" PRIu64,
                 name, least, most, *number);
    else
        snprintf(text, sizeof(text), "\"%s\" must be a whole number from %" PRIu64 " to %" PRIu64,
                 name, least, most);
    session_say_error(client, ERROR_MISSING_FIELD, text, message);
    return false;
}

static size_t characters_in(const char *text)
{
    size_t count = 0;
    for (; *text; text++)
        count += ((unsigned char)*text & 0xC0) != 0x80; /* RFC 3629 §3: no continuation byte */
    return count;
}

/* Reads the text of a Search. Returns it folded, which the caller frees with free(). NULL: the
 * client has been sent an Error, or closed. */
static char *read_words(struct session *client, const struct json_object *message)
{
    char text[4 * SEARCH_MAX + 1], why[SESSION_TEXT_MAX];
    const struct json_field *field = json_find(message, "text");
    if (!json_is_string(field)) {
        session_say_missing(client, message, "text");
        return NULL;
    }
    long len = json_string(field, text, sizeof(text));
    char *words = len >= 0 ? name_fold(text, (size_t)len) : NULL;
    if (len >= 0 && !words) {
        connection_close(&client->conn, WS_CODE_TRY_LATER, "out of memory");
        return NULL;
    }
    size_t count = words ? characters_in(words) : SEARCH_MAX + 1;
    if (count >= SEARCH_MIN && count <= SEARCH_MAX)
        return words;
    if (words)
        snprintf(why, sizeof(why), "\"text\": expected %d..%d characters, got %zu", SEARCH_MIN,
                 SEARCH_MAX, count);
    else
        snprintf(why, sizeof(why), "\"text\" must have %d to %d characters, none of them U+0000",
                 SEARCH_MIN, SEARCH_MAX);
    session_say_error(client, ERROR_MISSING_FIELD, why, message);
    free(words);
    return NULL;
}

static void say_page(struct session *client, const struct history_page *page,
                     const struct json_object *message)
{
    size_t len = 0;
    struct json_writer w = json_history_begin(message, page->epoch, page->bytes + page->count);
    for (size_t i = 0; i < page->count; i++)
        json_history_add(&w, page->messages[i].json, page->messages[i].len);
    char *json = json_history_end(&w, page->from, page->more, &len);
    session_say_page(client, json, len);
}

/* Answers with a page. First sends what the client has said, because reading may take a while. */
static void answer_query(struct session *client, const struct history_query *query,
                         const struct json_object *message)
{
    struct history_page page;
    if (client->needs_fan_out)
        client->needs_fan_out = room_fan_out(client->member.room);
    switch (history_read(&client->member, session_config(client), query, &page)) {
    case HISTORY_READ:
        say_page(client, &page, message);
        break;
    case HISTORY_CLOSED:
        session_say_error(client, ERROR_NO_HISTORY, "the past of this room cannot be read",
                          message);
        break;
    case HISTORY_LATE:
        session_say_error(client, ERROR_UNAVAILABLE,
                          "the stored history cannot be read now: try again later", message);
        break;
    case HISTORY_NO_MEMORY:
        connection_close(&client->conn, WS_CODE_TRY_LATER, "out of memory");
        break;
    }
    connection_charge_page(&client->conn, page.cost);
    history_page_fini(&page);
}

/* Whether a page is still being sent. Then the client has been sent an Error. */
static bool page_waits(struct session *client, const struct json_object *message)
{
    bool waits = outbox_state(&client->conn.out).page;
    if (waits)
        session_say_error(client, ERROR_TOO_FAST,
                          "the answer to your last question is still being sent: ask again later",
                          message);
    return waits;
}

/* Reads what GetHistory and Search have in common, and answers. */
static void on_query(struct session *client, const struct json_object *message, const char *words,
                     uint64_t count)
{
    uint64_t before = UINT64_MAX;
    if (!read_number(client, message, "Before", 0, (uint64_t)1 << 53, &before) ||
        !read_number(client, message, "Count", 1, HISTORY_COUNT_MAX, &count))
        return;
    struct history_query query = {.before = before, .count = (unsigned)count, .words = words};
    if (!page_waits(client, message))
        answer_query(client, &query, message);
}

static void on_get_history(struct session *client, const struct json_object *message)
{
    on_query(client, message, NULL, PAGE_COUNT);
}

static void on_search(struct session *client, const struct json_object *message)
{
    char *words = read_words(client, message);
    if (words)
        on_query(client, message, words, SEARCH_COUNT);
    free(words);
}

/* ---- Names ---- */

enum { USERS_LIMIT = 100 }; /* names of an answer to GetUsers without Limit */

/* Reads a name, or the beginning of one, that may be missing; then it is empty. Returns it folded,
 * which the caller frees with free(). NULL: the client has been sent an Error, or closed. */
static char *read_folded(struct session *client, const struct json_object *message,
                         const char *name)
{
    char text[NAME_MAX_BYTES + 1] = "", why[SESSION_TEXT_MAX];
    const struct json_field *field = json_find(message, name);
    if (field && !json_is_string(field)) {
        session_say_missing(client, message, name);
        return NULL;
    }
    long len = field ? json_string(field, text, sizeof(text)) : 0;
    if (len < 0) {
        snprintf(why, sizeof(why), "\"%s\": expected at most %d bytes, none of them U+0000", name,
                 NAME_MAX_BYTES);
        session_say_error(client, ERROR_MISSING_FIELD, why, message);
        return NULL;
    }
    char *fold = name_fold(text, (size_t)len);
    if (!fold)
        connection_close(&client->conn, WS_CODE_TRY_LATER, "out of memory");
    return fold;
}

static void answer_get_users(struct session *client, const struct room_users_query *query,
                             const struct json_object *message)
{
    size_t len = 0;
    if (page_waits(client, message))
        return;
    char *json = room_list_users(&client->member, query, message, &len);
    session_say_page(client, json, len);
}

static void on_get_users(struct session *client, const struct json_object *message)
{
    uint64_t limit = USERS_LIMIT;
    if (!read_number(client, message, "Limit", 1, ROOM_USERS_MAX, &limit))
        return;
    char *prefix = read_folded(client, message, "Prefix");
    char *after = prefix ? read_folded(client, message, "After") : NULL;
    const struct room_users_query query = {.prefix = prefix, .after = after, .limit = limit};
    if (after)
        answer_get_users(client, &query, message);
    free(prefix);
    free(after);
}

/* The messages of a client that has joined. */
static const struct {
    const char *type;
    void (*handle)(struct session *client, const struct json_object *message);
} handlers[] = {
    {"Broadcast", on_broadcast},      {"PrivateMessage", on_private}, {"GetKeys", on_get_keys},
    {"PublishKeys", on_publish_keys}, {"GetHistory", on_get_history}, {"Search", on_search},
    {"GetUsers", on_get_users},
};

bool dispatch_message(struct session *client, const struct ws_event *event)
{
    struct json_object message;
    char type[32] = "";
    if (keeper_must_wait(&client->member, false) || bridge_must_wait(&client->member))
        return false;
    if (!session_parse(client, event, &message))
        return true;
    const struct json_field *field = json_find(&message, "msgType");
    if (!json_is_string(field)) {
        session_say_missing(client, &message, "msgType");
        return true;
    }
    if (json_string(field, type, sizeof(type)) < 0)
        type[0] = '\0'; /* longer than any known type, or with U+0000 in it */
    for (size_t i = 0; i < sizeof(handlers) / sizeof(handlers[0]); i++) {
        if (strcmp(type, handlers[i].type) != 0)
            continue;
        if (handlers[i].handle == on_broadcast && keeper_must_wait(&client->member, true))
            return false;
        handlers[i].handle(client, &message);
        return true;
    }
    session_say_error(client, ERROR_UNKNOWN_TYPE,
                      "no message of that msgType is for a client to send", &message);
    return true;
}
