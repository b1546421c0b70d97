/* SPDX-License-Identifier: MIT
 *
 * client.c - the life of a client: arriving, joining, talking, leaving, in the order in which it
 * happens, and the table of what a client may say.
 *
 * Two parts: a client arrives on a porter (thread.h), and then lives in a detached thread of its own.
 * Both block in conn_wait only, and no lock is taken here: what threads share is guarded in
 * register.c, room.c and outbox.c.
 */
#include "client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "conn.h"
#include "e2e.h"
#include "guard.h"
#include "host.h"
#include "http.h"
#include "json_msg.h"
#include "log.h"
#include "metrics.h"
#include "name.h"
#include "page.h"
#include "proxy.h"
#include "qr.h"
#include "register.h"
#include "room.h"
#include "settings.h"
#include "status.h"
#include "thread.h"

#define PROTOCOL_V2 "ragnarok.v2"

enum {
    LOGIN_TRIES = 3,                     /* failures to join; then 1008 */
    NONCE_MAX = 2 * E2E_NONCE_BYTES + 1, /* as hexadecimal text, with its NUL */
    TEXT_MAX = 256,                      /* a sentence of an Error */
    QUEUE_MESSAGES = 8, /* the longest messages that may wait for one client; more: 1013 */
};

struct client {
    struct register_entry entry;   /* see register.h */
    int fd;                        /* [I] */
    struct conn conn;              /* [t], but for its outbox */
    struct member member;          /* [t], see room.h */
    char room[NAME_MAX_BYTES + 1]; /* [t] */
    bool v2;                       /* [t] speaks ragnarok.v2 */
    bool joined;                   /* [t] */
    bool to_pump;                  /* [t] it said something that waits in the ring */
    struct settings *settings;     /* [t] in force when it last looked; held */
    struct conn_limits limits;     /* [t] of these settings */
    int end_code;                  /* [t] Close code to end with; 0: none is due */
    const char *end_why;           /* [t] */
};

static struct guard guard; /* see guard.h */

/* ---- The settings that a client goes by ---- */

static const struct config *config_of(const struct client *client)
{
    return &client->settings->config;
}

static struct conn_limits limits_of(const struct config *config)
{
    return (struct conn_limits){
        .max_message = (size_t)config->max_message_bytes,
        .queue_max = (size_t)(config->max_message_bytes + 1024) * QUEUE_MESSAGES,
        .messages = config->max_messages_per_second,
        .bytes = config->max_bytes_per_second,
        .handshake_ms = (int64_t)config->handshake_timeout_seconds * 1000,
        .ping_ms = (int64_t)config->ping_interval_seconds * 1000,
        .frame_ms = (int64_t)config->frame_timeout_seconds * 1000,
        .too_fast_ms = (int64_t)config->too_fast_seconds * 1000,
    };
}

/* Goes on with the settings in force, if those are others. How long its messages may be stays: it may
 * have been told. */
static void keep_up(struct client *client)
{
    size_t max_message = client->limits.max_message;
    if (settings_in_force(client->settings))
        return;
    settings_drop(client->settings);
    client->settings = settings_hold();
    client->limits = limits_of(config_of(client));
    client->limits.max_message = max_message;
}

/* ---- What the server says to one client ---- */

/* Sends a message that json_msg.c made, and frees it; NULL means that memory was out. */
static void say(struct client *client, char *json, size_t len)
{
    if (json)
        conn_send(&client->conn, WS_TEXT, json, len);
    else
        conn_close(&client->conn, WS_CODE_TRY_LATER, "out of memory");
    free(json);
}

static void say_error(struct client *client, const char *code, const char *text,
                      const struct json_object *about)
{
    size_t len = 0;
    char *json = json_error(code, text, about, &len);
    say(client, json, len);
    if (!client->joined)
        metrics_refused(code);
    log_event(LOG_LEVEL_DEBUG, "error_sent", "client=%llu code=%s",
              (unsigned long long)client->entry.number, code);
}

/* ---- What a client says ---- */

/* Says what is wrong with a field that had to be a string. */
static void say_missing(struct client *client, const struct json_object *message, const char *name)
{
    char text[TEXT_MAX];
    const struct json_field *field = json_find(message, name);
    if (field)
        snprintf(text, sizeof(text), "\"%s\" must be a string, not %s", name, json_kind(field));
    else
        snprintf(text, sizeof(text), "\"%s\" is missing", name);
    say_error(client, "missing_field", text, message);
}

static bool is_string(const struct json_field *field)
{
    return field && field->value[0] == '"';
}

static bool parse(struct client *client, const struct ws_event *event, struct json_object *message)
{
    struct json_error error;
    char text[TEXT_MAX];
    if (json_parse(message, (const char *)event->payload, event->len, &error) == 0)
        return true;
    snprintf(text, sizeof(text), "not acceptable JSON at byte %zu: %s", error.offset, error.why);
    say_error(client, "bad_json", text, NULL);
    return false;
}

static void on_broadcast(struct client *client, const struct json_object *message)
{
    if (!is_string(json_find(message, "text")))
        say_missing(client, message, "text");
    else if (room_broadcast(&client->member, message))
        client->to_pump = true;
    else
        conn_close(&client->conn, WS_CODE_TRY_LATER, "out of memory");
}

/* Reads the name of whom a message is for. What can be no name is nobody's. */
static bool read_target(struct client *client, const struct json_object *message, char *target)
{
    const struct json_field *field = json_find(message, "TgtUser");
    if (!is_string(field)) {
        say_missing(client, message, "TgtUser");
        return false;
    }
    long len = json_string(field, target, NAME_MAX_BYTES + 1);
    if (len < 0 || name_check(target, (size_t)len)) { /* else its fold could be someone's */
        say_error(client, "unknown_user", "nobody of that name is here", message);
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
    if (!is_string(json_find(message, "text"))) {
        say_missing(client, message, "text");
        return;
    }
    if (!room_private(&client->member, target, message, &delivered)) {
        conn_close(&client->conn, WS_CODE_TRY_LATER, "out of memory");
    } else if (!delivered) {
        say_error(client, "unknown_user", "nobody of that name is here", message);
    } else if (json_find(message, "Ref")) {
        char *json = json_delivered(message, &len);
        say(client, json, len);
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
    say(client, json, len);
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
        say_error(client, "unknown_user", "nobody of that name is here", message);
}

/* Draws a code for the page to show, so that a link that may hold the password is in no URL. */
static void on_get_qr(struct client *client, const struct json_object *message)
{
    char text[QR_TEXT_MAX + 1];
    size_t len = 0;
    int size = 0;
    const struct json_field *field = json_find(message, "text");
    if (!is_string(field)) {
        say_missing(client, message, "text");
        return;
    }
    long bytes = json_string(field, text, sizeof(text));
    if (bytes <= 0) { /* with U+0000 in it, it is no text that anybody could scan */
        say_error(client, bytes < 0 ? "too_long" : "missing_field",
                  "the text of a code must have 1 to 512 bytes, without U+0000", message);
        return;
    }
    char *path = qr_path(text, &size);
    char *json = path ? json_qr_code(size, path, message, &len) : NULL;
    free(path);
    say(client, json, len);
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

static void hear(struct client *client, const struct ws_event *event)
{
    struct json_object message;
    char type[32] = "";
    if (!parse(client, event, &message))
        return;
    const struct json_field *field = json_find(&message, "msgType");
    if (!is_string(field)) {
        say_missing(client, &message, "msgType");
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
    say_error(client, "unknown_type", "no message of that msgType is for a client to send",
              &message);
}

/* ---- Joining ---- */

/* Remembers the Close frame to end with; the first one counts. */
static int end_with(struct client *client, int code, const char *why)
{
    if (!client->end_code) {
        client->end_code = code;
        client->end_why = why;
    }
    return -1;
}

/* Waits for the next text message. Returns 0, or -1 when there will be none. */
static int receive(struct client *client, int64_t until, struct ws_event *event)
{
    for (;;) {
        keep_up(client);
        int found = conn_next(&client->conn, event);
        if (found < 0)
            return end_with(client, event->code, event->why);
        if (found > 0 && event->opcode == WS_BINARY)
            return end_with(client, WS_CODE_UNSUPPORTED, "only text is understood here");
        if (found > 0)
            return 0;
        if (net_now() >= until)
            return end_with(client, WS_CODE_POLICY, "joining took too long");
        if (conn_wait(&client->conn, until) < 0)
            return -1;
    }
}

/* Checks a name of `len` bytes and copies it to `name`, of NAME_MAX_BYTES + 1. Returns whether it is
 * allowed; if not, the client was told why. */
static bool take_name(struct client *client, const char *bytes, size_t len,
                      const struct json_object *about, char *name)
{
    const char *why = name_check(bytes, len);
    if (why) {
        say_error(client, "bad_name", why, about);
        return false;
    }
    memcpy(name, bytes, len);
    name[len] = '\0';
    return true;
}

/* Both names are quoted as in JSON, so that neither can look like more of the line than it is. */
static void log_joined(const struct client *client)
{
    char *room = json_quote(client->room);
    log_event(LOG_LEVEL_INFO, "joined", "client=%llu room=%s name=%s protocol=%s",
              (unsigned long long)client->entry.number, room ? room : "?", client->member.quoted,
              client->v2 ? "v2" : "hello");
    free(room);
}

/* Enters the room. Returns whether it worked; if not, the client was told why. */
static bool join(struct client *client, struct room_request *request,
                 const struct json_object *about)
{
    const char *why;
    request->config = config_of(client);
    request->max_message = client->limits.max_message;
    request->room = client->room;
    request->v2 = client->v2;
    const char *code = room_join(&client->member, &client->conn.out, request, &why);
    if (code) {
        room_forget(&client->member);
        say_error(client, code, why, about);
        return false;
    }
    register_joined(&client->entry);
    client->joined = client->to_pump = true;
    metrics_add(METRIC_MEMBERS, 1);
    log_joined(client);
    return true;
}

/* How long the client's address is refused for wrong passwords, in milliseconds; 0: it is not. */
static int64_t ask_guard(const struct client *client, bool right)
{
    unsigned char household[NET_HOUSEHOLD];
    if (register_exempts(&client->entry.peer, config_of(client)))
        return 0;
    net_household(&client->entry.peer, household);
    return guard_try(&guard, household, net_now(), right);
}

/* The address comes before anything that a client may choose: fail2ban reads this line. */
static void log_wrong_password(const struct client *client)
{
    char address[NET_ADDRESS_MAX] = "-";
    if (config_of(client)->log_addresses)
        net_address(&client->entry.peer, address);
    log_event(LOG_LEVEL_WARN, "wrong_password", "address=%s client=%llu", address,
              (unsigned long long)client->entry.number);
}

static void say_throttled(struct client *client, int64_t ms, const struct json_object *about)
{
    char text[TEXT_MAX];
    snprintf(text, sizeof(text),
             "too many wrong passwords from your address: try again in %lld seconds",
             (long long)(ms + 999) / 1000);
    say_error(client, "throttled", text, about);
    end_with(client, WS_CODE_POLICY, "too many wrong passwords from your address");
}

/* Looks at a password. Also the right one is refused where wrong ones came from lately, so that who
 * guesses does not learn that it was right. */
static bool check_password(struct client *client, const char *password, size_t len,
                           const struct json_object *about)
{
    const char *ours = config_of(client)->server_password;
    size_t ours_len = strlen(ours);
    bool right = len == ours_len && CRYPTO_memcmp(password, ours, ours_len) == 0;
    if (ours_len == 0)
        return true;
    int64_t refused_ms = ask_guard(client, right);
    if (refused_ms > 0) {
        say_throttled(client, refused_ms, about);
        return false;
    }
    if (!right) {
        log_wrong_password(client);
        say_error(client, "wrong_password", "the password is wrong", about);
    }
    return right;
}

/* Way 1, the original's: two text frames, password and name, and one failure ends it. */
static int join_by_hello(struct client *client, int64_t until)
{
    char name[NAME_MAX_BYTES + 1];
    struct ws_event event;
    struct room_request request = {.name = name};
    if (receive(client, until, &event) < 0)
        return -1;
    if (!check_password(client, (const char *)event.payload, event.len, NULL))
        return end_with(client, WS_CODE_POLICY, "wrong password");
    if (receive(client, until, &event) < 0)
        return -1;
    if (!take_name(client, (const char *)event.payload, event.len, NULL, name) ||
        !join(client, &request, NULL))
        return end_with(client, WS_CODE_POLICY, "name refused");
    return 0;
}

/* Makes up the nonce, which every proof of this connection is bound to. */
static void say_hello(struct client *client, char nonce[NONCE_MAX])
{
    const struct config *settings = config_of(client);
    char *json = NULL;
    size_t len = 0;
    if (net_random_hex(nonce, E2E_NONCE_BYTES))
        json = json_hello(settings->server_name, settings->server_password[0], nonce, &len);
    say(client, json, len);
}

/* Reads "Resume":{"Epoch":...,"After":...}, if there is one. `epoch` keeps the string. */
static bool read_resume(struct client *client, const struct json_object *message,
                        struct room_request *request, char *epoch)
{
    struct json_object resume;
    struct json_error error;
    const struct json_field *field = json_find(message, "Resume"), *part;
    if (!field)
        return true;
    bool good = json_parse(&resume, field->value, field->value_len, &error) == 0 &&
                (part = json_find(&resume, "Epoch")) && is_string(part) &&
                (part = json_find(&resume, "After")) && json_number(part, &request->after) == 0;
    if (!good) {
        say_error(client, "missing_field",
                  "\"Resume\" must be {\"Epoch\":a string,\"After\":a whole number}", message);
        return false;
    }
    if (json_string(json_find(&resume, "Epoch"), epoch, ROOM_EPOCH_MAX) >= 0)
        request->epoch = epoch; /* a longer one is not ours: then there is nothing to resume */
    return true;
}

/* Says which of the four fields is missing, or no string. */
static bool say_claim_missing(struct client *client, const struct json_object *message)
{
    static const char *const names[] = {"IdentityKey", "SessionKey", "KeySignature", "Proof"};
    size_t i = 0;
    while (is_string(json_find(message, names[i])))
        i++;
    say_missing(client, message, names[i]);
    return false;
}

/* Reads and checks the keys that a Join publishes, if any: then request->keys points to them. */
static bool read_claim(struct client *client, const struct json_object *message, const char *nonce,
                       struct e2e_claim *claim, struct room_request *request)
{
    unsigned char bytes[E2E_NONCE_BYTES];
    const char *wrong = NULL;
    *claim = (struct e2e_claim){.room = client->room, .name = request->name, .nonce = bytes};
    enum e2e_found found = e2e_read_claim(message, claim);
    if (found == E2E_FOUND_NONE)
        return true;
    if (found == E2E_FOUND_SOME)
        return say_claim_missing(client, message);
    if (found == E2E_FOUND_BAD)
        wrong = "\"IdentityKey\" and \"SessionKey\" must be 64 lower-case hexadecimal digits, "
                "\"KeySignature\" and \"Proof\" 128";
    else if (!e2e_unhex(bytes, sizeof(bytes), nonce) || !e2e_claim_holds(claim))
        wrong = "the proof is not of this identity key for this nonce, room and name";
    if (wrong)
        say_error(client, "bad_proof", wrong, message);
    request->keys = &claim->keys;
    return !wrong;
}

static bool is_join(struct client *client, const struct json_object *message)
{
    char type[sizeof("Join")];
    const struct json_field *field = json_find(message, "msgType");
    if (is_string(field) && json_string(field, type, sizeof(type)) >= 0 &&
        strcmp(type, "Join") == 0)
        return true;
    say_error(client, "unknown_type", "the first message must be a Join", message);
    return false;
}

static bool read_password(struct client *client, const struct json_object *message)
{
    char text[CONFIG_ERROR_MAX] = "";
    const struct json_field *field = json_find(message, "Password");
    long len = field ? json_string(field, text, sizeof(text)) : 0;
    return check_password(client, text, len < 0 ? SIZE_MAX : (size_t)len, message);
}

static bool read_name(struct client *client, const struct json_object *message, char *name)
{
    char text[CONFIG_ERROR_MAX];
    const struct json_field *field = json_find(message, "Name");
    if (!is_string(field)) {
        say_missing(client, message, "Name");
        return false;
    }
    long len = json_string(field, text, sizeof(text));
    if (len >= 0)
        return take_name(client, text, (size_t)len, message, name);
    /* far too long, or with U+0000 in it */
    say_error(client, "bad_name", "a name must have 1 to 32 visible characters", message);
    return false;
}

/* One Join. Returns whether the client is in; if not, it was told why. The password is looked at first:
 * who does not know it learns nothing about who is here. */
static bool join_by_message(struct client *client, const struct ws_event *event, const char *nonce)
{
    char name[NAME_MAX_BYTES + 1], epoch[ROOM_EPOCH_MAX];
    struct json_object message;
    struct e2e_claim claim;
    struct room_request request = {.name = name};
    return parse(client, event, &message) && is_join(client, &message) &&
           read_password(client, &message) && read_name(client, &message, name) &&
           read_resume(client, &message, &request, epoch) &&
           read_claim(client, &message, nonce, &claim, &request) &&
           join(client, &request, &message);
}

static int join_by_v2(struct client *client, int64_t until)
{
    char nonce[NONCE_MAX];
    struct ws_event event;
    say_hello(client, nonce);
    for (int tries = 0; tries < LOGIN_TRIES; tries++) {
        if (receive(client, until, &event) < 0)
            return -1;
        if (join_by_message(client, &event, nonce))
            return 0;
        if (client->end_code)
            return -1;
    }
    return end_with(client, WS_CODE_POLICY, "too many attempts to join");
}

/* ---- The life of a client ---- */

/* The HTTP status that a request is refused with, and why; 0: it is not. */
static int judge(struct client *client, const struct http_request *request, const char **why)
{
    const struct config *settings = config_of(client);
    const struct net_tls *tls = client->settings->tls;
    const char *const *origins = (const char *const *)settings->allowed_origins;
    size_t count = (size_t)settings->allowed_origins_count;
    *why = client->entry.why;
    if (client->entry.refusal)
        return client->entry.refusal;
    if ((!request->upgrade || request->origin.at) && !host_ok(request, client->fd, settings, tls)) {
        *why = "this server does not know itself by the name in Host, which a stranger could have "
               "made point here: use its IP address, or put https:// and the name in "
               "allowed_origins";
        return 421;
    }
    if (http_room(request, client->room, sizeof(client->room), why) < 0)
        return 404;
    if (request->upgrade && !http_origin_ok(request, origins, count, tls != NULL)) {
        *why = "pages of this origin may not connect; see allowed_origins";
        return 403;
    }
    return 0;
}

static void send_refusal(struct client *client, int status, const char *why, bool head_only)
{
    char response[HTTP_RESPONSE_MAX];
    size_t len = http_write_refusal(response, status, why, head_only);
    metrics_refused_status(status);
    conn_respond(&client->conn, response, len, NULL, 0);
    client->conn.why = why;
}

static void send_page(struct client *client, const struct http_request *request)
{
    struct page_answer answer;
    page_answer(request, &client->settings->trust, &answer);
    conn_respond(&client->conn, answer.head, answer.head_len, answer.body, answer.body_len);
    client->conn.why = answer.what;
    page_answer_free(&answer);
}

/* Finds out whom the request is from. Behind a trusted proxy that is only known now. */
static enum proxy_found find_sender(struct client *client, const struct http_request *request)
{
    struct sockaddr_storage address = client->entry.peer;
    enum proxy_found found = proxy_client(request, &config_of(client)->trusted_proxies, &address);
    if (found == PROXY_CLIENT)
        register_move(&client->entry, &address);
    if (found == PROXY_BAD)
        log_event(LOG_LEVEL_DEBUG, "bad_forwarded", "client=%llu",
                  (unsigned long long)client->entry.number);
    return found;
}

/* Answers who runs the server, whatever limit is reached; but not a page that a stranger made. */
static bool send_status(struct client *client, const struct http_request *request,
                        enum proxy_found found)
{
    struct status_answer answer;
    const struct config *config = config_of(client);
    if (!status_asked(request, &client->entry.peer, found, config) ||
        !host_ok(request, client->fd, config, client->settings->tls))
        return false;
    status_answer(request, register_stopping(), &answer);
    conn_respond(&client->conn, answer.head, answer.head_len, answer.body, answer.body_len);
    client->conn.why = "said how the server is";
    status_answer_free(&answer);
    return true;
}

/* Answers the request: a WebSocket, the page, or a refusal. Returns 0 for a WebSocket. */
static int admit(struct client *client, const struct http_request *request)
{
    const char *why;
    if (send_status(client, request, find_sender(client, request)))
        return -1;
    int status = judge(client, request, &why);
    if (!status && request->upgrade) {
        client->v2 = request->protocol;
        conn_upgrade(&client->conn, request, client->v2 ? PROTOCOL_V2 : NULL);
        return client->conn.upgraded ? 0 : -1;
    }
    if (status)
        send_refusal(client, status, why, request->head_only);
    else
        send_page(client, request);
    return -1;
}

/* Everything from joining to the last message: pumps when nothing more is there to be read. */
static void talk(struct client *client)
{
    struct conn *conn = &client->conn;
    struct ws_event event;
    for (;;) {
        keep_up(client);
        int found = conn_next(conn, &event);
        if (found < 0) {
            end_with(client, event.code, event.why);
            return;
        }
        if (found > 0 && event.opcode == WS_BINARY) {
            end_with(client, WS_CODE_UNSUPPORTED, "only text is understood here");
            return;
        }
        if (found > 0) {
            hear(client, &event);
            continue;
        }
        if (net_now() >= client->member.presence_due) {
            room_presence(&client->member);
            client->to_pump = true;
        }
        if (client->to_pump)
            client->to_pump = room_pump(client->member.room);
        if (conn_wait(conn, client->to_pump ? 0 : client->member.presence_due) < 0)
            return;
    }
}

/* Why the server ended a member's connection; METRICS: it did not. */
static enum metric eviction(const struct client *client)
{
    if (client->member.replaced)
        return METRIC_EVICTED_REPLACED;
    if (client->conn.out.too_slow)
        return METRIC_EVICTED_SLOW;
    if (client->conn.silent)
        return METRIC_EVICTED_SILENT;
    bool left = client->conn.farewell || !client->end_code;
    return left ? METRICS : METRIC_EVICTED_RULES;
}

static void count_end(const struct client *client)
{
    enum metric why = eviction(client);
    metrics_add(METRIC_MEMBERS, -1);
    if (why != METRICS)
        metrics_add(why, 1);
}

static void log_end(const struct client *client)
{
    const struct outbox *out = &client->conn.out;
    unsigned long long number = client->entry.number;
    const char *why = client->conn.why ? client->conn.why : client->end_why;
    if (client->member.replaced)
        why = "taken over by a newer connection";
    if (client->entry.gave_way)
        why = "gave way to a newcomer";
    if (out->too_slow)
        log_event(LOG_LEVEL_WARN, "too_slow", "client=%llu behind_bytes=%zu limit_bytes=%zu",
                  number, out->lag, out->lag_limit);
    log_event(client->joined ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG, "left", "client=%llu why=\"%s\"",
              number, why ? why : "");
}

/* Leaves the room first, so that nobody waits for what comes: the last words, the close handshake,
 * the end of the stream. */
static void end(struct client *client)
{
    if (client->joined)
        room_leave(&client->member);
    if (client->end_code == WS_CODE_TOO_BIG)
        say_error(client, "too_long", client->end_why, NULL);
    if (client->conn.too_fast)
        say_error(client, "too_fast", client->end_why, NULL);
    if (client->end_code)
        conn_close(&client->conn, client->end_code, client->end_why);
    register_delist(&client->entry); /* nobody else writes to the stream while it ends */
    if (client->entry.gave_way)
        client->conn.cut = true; /* its place is needed now */
    if (!client->joined)
        client->conn.ended = true; /* a newcomer's place is not kept for its farewell */
    log_end(client);
    if (client->joined) {
        count_end(client);
        if (room_settle(&client->member))
            room_forget(&client->member);
    }
    conn_finish(&client->conn);
}

static void bury(struct client *client)
{
    register_delist(&client->entry);
    struct register_entry entry = client->entry;
    conn_fini(&client->conn);
    room_forget(&client->member); /* if that had to wait for memory: its peer did not */
    settings_drop(client->settings);
    free(client);
    register_give(&entry);
}

/* The second part, on a thread of its own: joining and talking. */
static void live(void *argument)
{
    struct client *client = argument;
    outbox_own(&client->conn.out);
    int64_t until = net_now() + (int64_t)config_of(client)->login_timeout_seconds * 1000;
    if ((client->v2 ? join_by_v2(client, until) : join_by_hello(client, until)) == 0)
        talk(client);
    end(client);
    bury(client);
}

/* The first part, on a porter: TLS, the request, and the answer to it. */
static void arrive(void *argument)
{
    struct client *client = argument;
    struct http_request request;
    client->settings = settings_hold();
    client->limits = limits_of(config_of(client));
    if (conn_init(&client->conn, client->fd, client->settings->tls, &client->limits) == 0) {
        register_enlist(&client->entry, &client->conn.out);
        int arrived = conn_handshake(&client->conn, PROTOCOL_V2, &request);
        keep_up(client);
        if (arrived == 0 && admit(client, &request) == 0) {
            outbox_disown(&client->conn.out);
            if (thread_do(THREAD_CLIENT, live, client) == 0)
                return;
            outbox_own(&client->conn.out);
            end_with(client, WS_CODE_TRY_LATER, "no thread for another client");
        }
        end(client);
    }
    bury(client);
}

void clients_init(void)
{
    hosts_init();
    guard_init(&guard);
}

void client_start(int fd, const struct sockaddr_storage *peer)
{
    struct client *client = calloc(1, sizeof(*client));
    bool placed = false;
    if (client) {
        client->fd = fd;
        client->entry.peer = *peer;
        client->member.presence_due = INT64_MAX;
        placed = register_take(&client->entry);
    }
    if (placed && thread_do(THREAD_PORTER, arrive, client) == 0)
        return;
    if (placed) {
        register_delist(&client->entry);
        register_give(&client->entry);
    }
    free(client);
    close(fd);
    log_event(LOG_LEVEL_WARN, "turned_away", "why=\"no place, thread or memory for a connection\"");
}
