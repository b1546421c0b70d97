/* SPDX-License-Identifier: MIT
 *
 * join.c - how a client joins: the original's hello of two frames, or a Join (docs/PROTOCOL.md), and what
 * is judged then: password, name, what to resume, keys.
 */
#include "join.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "e2e.h"
#include "guard.h"
#include "log.h"
#include "metrics.h"

enum {
    LOGIN_TRIES = 3,                     /* failures to join; then 1008 */
    NONCE_MAX = 2 * E2E_NONCE_BYTES + 1, /* as hexadecimal text, with its NUL */
};

static struct guard guard; /* see guard.h */

/* ---- Waiting, and entering the room ---- */

/* Waits for the next text message. Returns 0, or -1 when there will be none. */
static int receive(struct client *client, int64_t until, struct ws_event *event)
{
    for (;;) {
        int found = client_next(client, event);
        if (found != 0)
            return found < 0 ? -1 : 0;
        if (net_now() >= until)
            return client_end_with(client, WS_CODE_POLICY, "joining took too long");
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
        client_say_error(client, "bad_name", why, about);
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
static bool enter(struct client *client, struct room_request *request,
                  const struct json_object *about)
{
    const char *why;
    request->config = client_config(client);
    request->max_message = client->limits.max_message;
    request->room = client->room;
    request->v2 = client->v2;
    const char *code = room_join(&client->member, &client->conn.out, request, &why);
    if (code) {
        room_forget(&client->member);
        client_say_error(client, code, why, about);
        return false;
    }
    register_joined(&client->entry);
    client->joined = client->to_pump = true;
    metrics_add(METRIC_MEMBERS, 1);
    log_joined(client);
    return true;
}

/* ---- The password ---- */

/* How long the client's address is refused for wrong passwords, in milliseconds; 0: it is not. */
static int64_t ask_guard(const struct client *client, bool right)
{
    unsigned char household[NET_HOUSEHOLD];
    if (register_exempts(&client->entry.peer, client_config(client)))
        return 0;
    net_household(&client->entry.peer, household);
    return guard_try(&guard, household, net_now(), right);
}

/* The address comes before anything that a client may choose: fail2ban reads this line. */
static void log_wrong_password(const struct client *client)
{
    char address[NET_ADDRESS_MAX] = "-";
    if (client_config(client)->log_addresses)
        net_address(&client->entry.peer, address);
    log_event(LOG_LEVEL_WARN, "wrong_password", "address=%s client=%llu", address,
              (unsigned long long)client->entry.number);
}

static void say_throttled(struct client *client, int64_t ms, const struct json_object *about)
{
    char text[CLIENT_TEXT_MAX];
    snprintf(text, sizeof(text),
             "too many wrong passwords from your address: try again in %lld seconds",
             (long long)(ms + 999) / 1000);
    client_say_error(client, "throttled", text, about);
    client_end_with(client, WS_CODE_POLICY, "too many wrong passwords from your address");
}

/* Looks at a password. Also the right one is refused where wrong ones came from lately, so that who
 * guesses does not learn that it was right. */
static bool check_password(struct client *client, const char *password, size_t len,
                           const struct json_object *about)
{
    const char *ours = client_config(client)->server_password;
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
        client_say_error(client, "wrong_password", "the password is wrong", about);
    }
    return right;
}

/* ---- Way 1, the original's ---- */

/* Two text frames, password and name, and one failure ends it. */
static int by_hello(struct client *client, int64_t until)
{
    char name[NAME_MAX_BYTES + 1];
    struct ws_event event;
    struct room_request request = {.name = name};
    if (receive(client, until, &event) < 0)
        return -1;
    if (!check_password(client, (const char *)event.payload, event.len, NULL))
        return client_end_with(client, WS_CODE_POLICY, "wrong password");
    if (receive(client, until, &event) < 0)
        return -1;
    if (!take_name(client, (const char *)event.payload, event.len, NULL, name) ||
        !enter(client, &request, NULL))
        return client_end_with(client, WS_CODE_POLICY, "name refused");
    return 0;
}

/* ---- Way 2: Hello, Join ---- */

/* Makes up the nonce, which every proof of this connection is bound to. */
static void say_hello(struct client *client, char nonce[NONCE_MAX])
{
    const struct config *settings = client_config(client);
    char *json = NULL;
    size_t len = 0;
    if (net_random_hex(nonce, E2E_NONCE_BYTES))
        json = json_hello(settings->server_name, settings->server_password[0], nonce, &len);
    client_say(client, json, len);
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
                (part = json_find(&resume, "Epoch")) && json_is_string(part) &&
                (part = json_find(&resume, "After")) && json_number(part, &request->after) == 0;
    if (!good) {
        client_say_error(client, "missing_field",
                         "\"Resume\" must be {\"Epoch\":a string,\"After\":a whole number}",
                         message);
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
    while (json_is_string(json_find(message, names[i])))
        i++;
    client_say_missing(client, message, names[i]);
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
        client_say_error(client, "bad_proof", wrong, message);
    request->keys = &claim->keys;
    return !wrong;
}

static bool is_join(struct client *client, const struct json_object *message)
{
    char type[sizeof("Join")];
    const struct json_field *field = json_find(message, "msgType");
    if (json_is_string(field) && json_string(field, type, sizeof(type)) >= 0 &&
        strcmp(type, "Join") == 0)
        return true;
    client_say_error(client, "unknown_type", "the first message must be a Join", message);
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
    if (!json_is_string(field)) {
        client_say_missing(client, message, "Name");
        return false;
    }
    long len = json_string(field, text, sizeof(text));
    if (len >= 0)
        return take_name(client, text, (size_t)len, message, name);
    /* far too long, or with U+0000 in it */
    client_say_error(client, "bad_name", "a name must have 1 to 32 visible characters", message);
    return false;
}

/* One Join. Returns whether the client is in; if not, it was told why. The password is looked at first:
 * who does not know it learns nothing about who is here. */
static bool by_message(struct client *client, const struct ws_event *event, const char *nonce)
{
    char name[NAME_MAX_BYTES + 1], epoch[ROOM_EPOCH_MAX];
    struct json_object message;
    struct e2e_claim claim;
    struct room_request request = {.name = name};
    return client_parse(client, event, &message) && is_join(client, &message) &&
           read_password(client, &message) && read_name(client, &message, name) &&
           read_resume(client, &message, &request, epoch) &&
           read_claim(client, &message, nonce, &claim, &request) &&
           enter(client, &request, &message);
}

static int by_v2(struct client *client, int64_t until)
{
    char nonce[NONCE_MAX];
    struct ws_event event;
    say_hello(client, nonce);
    for (int tries = 0; tries < LOGIN_TRIES; tries++) {
        if (receive(client, until, &event) < 0)
            return -1;
        if (by_message(client, &event, nonce))
            return 0;
        if (client->end_code)
            return -1;
    }
    return client_end_with(client, WS_CODE_POLICY, "too many attempts to join");
}

void join_init(void)
{
    guard_init(&guard);
}

int join_client(struct client *client)
{
    int64_t until = net_now() + (int64_t)client_config(client)->login_timeout_seconds * 1000;
    return client->v2 ? by_v2(client, until) : by_hello(client, until);
}
