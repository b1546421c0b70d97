/* SPDX-License-Identifier: MIT
 *
 * hear.c - what a client that has joined may say: a function for each message, and the table of
 * them (docs/PROTOCOL.md).
 *
 * Each is answered by what the room does with it, or by one Error. Joining itself is in join.c.
 */
#include "hear.h"

#include <stdlib.h>
#include <string.h>

#include "e2e.h"
#include "qr.h"

static void on_broadcast(struct client *client, const struct json_object *message)
{
    if (!json_is_string(json_find(message, "text")))
        client_say_missing(client, message, "text");
    else if (room_broadcast(&client->member, message))
        client->to_pump = true;
    else
        conn_close(&client->conn, WS_CODE_TRY_LATER, "out of memory");
}

/* Reads the name of whom a message is for. What can be no name is nobody's. */
static bool read_target(struct client *client, const struct json_object *message, char *target)
{
    const struct json_field *field = json_find(message, "TgtUser");
    if (!json_is_string(field)) {
        client_say_missing(client, message, "TgtUser");
        return false;
    }
    long len = json_string(field, target, NAME_MAX_BYTES + 1);
    if (len < 0 || name_check(target, (size_t)len)) { /* else its fold could be someone's */
        client_say_error(client, "unknown_user", "nobody of that name is here", message);
        return false;
    }
    return true;
}

static void on_private(struct client *client, const struct json_object *message)
{
    char target[NAME_MAX_BYTES + 1];
    bool delivered;
    size_t len = 0;
    if (!read_target(client, message, target))
        return;
    if (!json_is_string(json_find(message, "text"))) {
        client_say_missing(client, message, "text");
        return;
    }
    if (!room_private(&client->member, target, message, &delivered)) {
        conn_close(&client->conn, WS_CODE_TRY_LATER, "out of memory");
    } else if (!delivered) {
        client_say_error(client, "unknown_user", "nobody of that name is here", message);
    } else if (json_find(message, "Ref")) {
        char *json = json_delivered(message, &len);
        client_say(client, json, len);
    }
}

static void say_keys(struct client *client, const struct room_card *card,
                     const struct json_object *message)
{
    char identity[2 * E2E_KEY_BYTES + 1], session[2 * E2E_KEY_BYTES + 1];
    char signature[2 * E2E_SIGNATURE_BYTES + 1], *json;
    const struct json_keys keys = {identity, session, signature};
    size_t len = 0;
    if (card->published) {
        e2e_hex(identity, card->keys.identity, E2E_KEY_BYTES);
        e2e_hex(session, card->keys.session, E2E_KEY_BYTES);
        e2e_hex(signature, card->keys.signature, E2E_SIGNATURE_BYTES);
    }
    json = json_user_keys(card->name, card->published ? &keys : NULL, message, &len);
    client_say(client, json, len);
}

static void on_get_keys(struct client *client, const struct json_object *message)
{
    char target[NAME_MAX_BYTES + 1];
    struct room_card card;
    if (!read_target(client, message, target))
        return;
    if (room_look_up(&client->member, target, &card))
        say_keys(client, &card, message);
    else
        client_say_error(client, "unknown_user", "nobody of that name is here", message);
}

/* Draws a code for the page to show, so that a link that may hold the password is in no URL. */
static void on_get_qr(struct client *client, const struct json_object *message)
{
    char text[QR_TEXT_MAX + 1];
    size_t len = 0;
    int size = 0;
    const struct json_field *field = json_find(message, "text");
    if (!json_is_string(field)) {
        client_say_missing(client, message, "text");
        return;
    }
    long bytes = json_string(field, text, sizeof(text));
    if (bytes <= 0) { /* with U+0000 in it, it is no text that anybody could scan */
        client_say_error(client, bytes < 0 ? "too_long" : "missing_field",
                         "the text of a code must have 1 to 512 bytes, without U+0000", message);
        return;
    }
    char *path = qr_path(text, &size);
    char *json = path ? json_qr_code(size, path, message, &len) : NULL;
    free(path);
    client_say(client, json, len);
}

/* What a client that has joined may say. */
static const struct {
    const char *type;
    void (*handle)(struct client *client, const struct json_object *message);
} verbs[] = {
    {"Broadcast", on_broadcast},
    {"PrivateMessage", on_private},
    {"GetKeys", on_get_keys},
    {"GetQr", on_get_qr},
};

void hear_message(struct client *client, const struct ws_event *event)
{
    struct json_object message;
    char type[32] = "";
    if (!client_parse(client, event, &message))
        return;
    const struct json_field *field = json_find(&message, "msgType");
    if (!json_is_string(field)) {
        client_say_missing(client, &message, "msgType");
        return;
    }
    if (json_string(field, type, sizeof(type)) < 0)
        type[0] = '\0'; /* too long for any of ours, or with U+0000 in it */
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        if (strcmp(type, verbs[i].type) == 0) {
            verbs[i].handle(client, &message);
            return;
        }
    }
    client_say_error(client, "unknown_type", "no message of that msgType is for a client to send",
                     &message);
}
