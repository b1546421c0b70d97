/* SPDX-License-Identifier: MIT
 *
 * join.c - how a client joins: the original's hello of two frames, or a Join (docs/PROTOCOL.md).
 * The checks are, in this order: password, name, resume position, keys.
 *
 * Every client's own thread enters it. Takes the lock of login_throttle.h, and within room_ask and
 * room_settle_in those of room.h.
 */
#include "server/join.h"

#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

#include "lib/crypto/e2e.h"
#include "lib/hex.h"
#include "lib/json/json_writer.h"
#include "room/room_history.h"
#include "server/limits/login_throttle.h"
#include "server/http/host_check.h"
#include "base/log.h"
#include "base/metrics.h"
#include "server/limits/source.h"
#include "net/random.h"

enum {
    LOGIN_TRIES = 3,                     /* failed attempts; then 1008 */
    NONCE_MAX = 2 * E2E_NONCE_BYTES + 1, /* as hexadecimal text, with its NUL */
    PASSWORD_MAX = CONFIG_ERROR_MAX,     /* bytes of a password in a Join; a longer one is wrong */
};

static struct login_throttle guard; /* shared by all threads, with a lock of its own */
static unsigned char compare_key[SHA256_DIGEST_LENGTH]; /* [I] random, for same_password */

/* ---- Waiting, and joining the room ---- */

/* Waits for the next text message. Returns 0, or -1 when none will come. */
static int receive(struct session *client, int64_t until, struct ws_event *event)
{
    for (;;) {
        int found = session_next(client, event);
        if (found != 0)
            return found < 0 ? -1 : 0;
        if (net_now() >= until)
            return session_end_with(client, WS_CODE_POLICY, "joining took too long");
        int readable = connection_poll(&client->conn, until);
        if (readable < 0 || (readable && connection_read(&client->conn) < 0))
            return -1;
    }
}

/* Checks a name of `len` bytes and copies it to `name`, of NAME_MAX_BYTES + 1. Returns whether it
 * is allowed; if not, the client has been sent an Error. */
static bool take_name(struct session *client, const char *bytes, size_t len,
                      const struct json_object *about, char *name)
{
    const char *why = name_check(bytes, len);
    if (why) {
        session_say_error(client, ERROR_BAD_NAME, why, about);
        return false;
    }
    memcpy(name, bytes, len);
    name[len] = '\0';
    return true;
}

/* Both names are quoted as in JSON, so that neither can imitate other parts of the line. */
static void log_joined(const struct session *client)
{
    char *room = json_quote(client->room);
    log_event(LOG_LEVEL_INFO, "joined", "client=%llu room=%s name=%s protocol=%s",
              (unsigned long long)client->entry.number, room ? room : "?", client->member.quoted,
              client->v2 ? "v2" : "hello");
    free(room);
}

/* Joins the room. Returns whether it worked; if not, the client has been sent an Error. */
static bool enter(struct session *client, struct join_request *request,
                  const struct json_object *about)
{
    const char *why;
    request->config = session_config(client);
    request->max_message = client->limits.max_message;
    request->room = client->room;
    request->v2 = client->v2;
    if (registry_limits(&client->entry.peer, request->config))
        request->maker = &client->entry.peer;
    enum protocol_error code = room_ask(&client->member, &client->conn.out, request, &why);
    if (!code)
        code = room_settle_in(&client->member, request, &why);
    if (code) {
        room_release(&client->member);
        session_say_error(client, code, why, about);
        return false;
    }
    registry_joined(&client->entry);
    client->joined = true;
    outbox_flush(&client->conn.out);
    client->needs_fan_out = room_needs_fan_out(client->member.room);
    metrics_add(METRIC_MEMBERS, 1);
    log_joined(client);
    return true;
}

/* ---- The password ---- */

/* Writes the throttle's key of an identity. It includes the password, so a new password makes all
 * identities unknown. Returns false when there is no password, or memory is out. */
static bool guard_key(const struct session *client, const unsigned char identity[E2E_KEY_BYTES],
                      unsigned char key[THROTTLE_KEY])
{
    const char *password = session_config(client)->server_password;
    return password[0] && HMAC(EVP_sha256(), identity, E2E_KEY_BYTES,
                               (const unsigned char *)password, strlen(password), key, NULL);
}

/* Returns for how many milliseconds passwords are refused because of wrong ones before; 0: not
 * refused. `known` is the key of a proven, known identity; NULL: the address is checked. */
static int64_t ask_guard(const struct session *client, const unsigned char *known, bool right)
{
    int64_t now = net_now(), left = -1;
    if (registry_unguarded(&client->entry.peer, session_config(client)))
        return 0;
    if (known)
        left = throttle_check_known(&guard, known, now, right);
    if (left >= 0)
        return left;
    return throttle_check(&guard, &client->entry.peer, now, right);
}

/* Warns the owner, at most once a minute, that passwords are delayed because of many guesses. */
static void tell_of_guessing(void)
{
    static atomic_int_fast64_t next;
    if (!log_is_due(&next))
        return;
    log_event(LOG_LEVEL_WARN, "guessing",
              "why=\"more than %d wrong passwords a second: who is new waits %d s\"", THROTTLE_RATE,
              THROTTLE_DELAY_MS / 1000);
}

/* Waits until `until` without reading. Returns false if the connection must be closed meanwhile. */
static bool sit_out(struct session *client, int64_t until)
{
    while (net_now() < until) {
        if (outbox_state(&client->conn.out).closing)
            return false;
        net_wait(-1, 0, until);
    }
    return true;
}

/* Waits before a password of an unknown client is checked, if throttle_delay says so, whether it is
 * right or wrong. Returns as sit_out. */
static bool await_guard(struct session *client, const unsigned char *known)
{
    int64_t now = net_now(), delay = 0;
    if (!known && !registry_unguarded(&client->entry.peer, session_config(client)))
        delay = throttle_delay(&guard, &client->entry.peer, now);
    if (delay > 0)
        tell_of_guessing();
    return sit_out(client, now + delay);
}

/* The address precedes anything that a client chooses, because fail2ban reads this line. */
static void log_wrong_password(const struct session *client)
{
    char address[NET_ADDRESS_MAX] = "-";
    if (session_config(client)->log_addresses)
        net_address(&client->entry.peer, address);
    log_event(LOG_LEVEL_WARN, "wrong_password", "address=%s client=%llu", address,
              (unsigned long long)client->entry.number);
}

static void say_throttled(struct session *client, int64_t ms, bool known,
                          const struct json_object *about)
{
    char text[SESSION_TEXT_MAX];
    const char *why =
        known ? "too many wrong passwords from you" : "too many wrong passwords from your address";
    snprintf(text, sizeof(text), "%s: try again in %lld seconds", why,
             (long long)(ms + 999) / 1000);
    session_say_throttled(client, text, ms, about);
    session_end_with(client, WS_CODE_POLICY, why);
}

/* Compares digests of equal length in constant time. Their key is random, so nobody can choose what
 * is compared. Also returns false when memory is out. */
static bool same_password(const char *password, size_t len, const char *ours)
{
    unsigned char theirs[SHA256_DIGEST_LENGTH], mine[SHA256_DIGEST_LENGTH];
    bool good = len <= INT_MAX &&
                HMAC(EVP_sha256(), compare_key, sizeof(compare_key),
                     (const unsigned char *)password, len, theirs, NULL) &&
                HMAC(EVP_sha256(), compare_key, sizeof(compare_key), (const unsigned char *)ours,
                     strlen(ours), mine, NULL);
    return good && CRYPTO_memcmp(theirs, mine, sizeof(mine)) == 0;
}

/* Checks a password; `known` as for ask_guard. Even the right one is refused after too many wrong
 * ones, so that a guesser does not learn that it was right. */
static bool check_password(struct session *client, const char *password, size_t len,
                           const unsigned char *known, const struct json_object *about)
{
    const char *ours = session_config(client)->server_password;
    if (!ours[0])
        return true;
    if (!await_guard(client, known)) {
        session_end_with(client, WS_CODE_TRY_LATER, "closed while its password waited");
        return false;
    }
    bool right = same_password(password, len, ours);
    int64_t refused_ms = ask_guard(client, known, right);
    if (refused_ms > 0) {
        say_throttled(client, refused_ms, known, about);
        return false;
    }
    if (!right) {
        log_wrong_password(client);
        session_say_error(client, ERROR_WRONG_PASSWORD, "the password is wrong", about);
    }
    return right;
}

/* ---- Way 1, the original's ---- */

/* Two text frames, password and name. One failure closes the connection. */
static int by_hello(struct session *client, int64_t until)
{
    char name[NAME_MAX_BYTES + 1];
    struct ws_event event;
    struct join_request request = {.name = name};
    if (receive(client, until, &event) < 0)
        return -1;
    if (!check_password(client, (const char *)event.payload, event.len, NULL, NULL))
        return session_end_with(client, WS_CODE_POLICY, "wrong password");
    if (receive(client, until, &event) < 0)
        return -1;
    if (!take_name(client, (const char *)event.payload, event.len, NULL, name) ||
        !enter(client, &request, NULL))
        return session_end_with(client, WS_CODE_POLICY, "name refused");
    return 0;
}

/* ---- Way 2: Hello, Join ---- */

/* Sends Hello with a new nonce, to which every proof of this connection is bound. Returns 0, or -1
 * when there are no random bytes or memory is out. */
static int say_hello(struct session *client, unsigned char nonce[E2E_NONCE_BYTES])
{
    const struct config *settings = session_config(client);
    char *json = NULL, hex[NONCE_MAX];
    size_t len = 0;
    const struct json_greeting greeting = {.server_name = settings->server_name,
                                           .nonce = hex,
                                           .password_required = settings->server_password[0],
                                           .kept = history_is_kept(client->room, settings),
                                           .hours = (uint64_t)settings->history_hours,
                                           .messages = (uint64_t)settings->history_messages};
    if (random_hex(hex, E2E_NONCE_BYTES) && hex_read(nonce, E2E_NONCE_BYTES, hex))
        json = json_hello(&greeting, &len);
    bool said = json;
    session_say(client, json, len);
    return said ? 0 : session_end_with(client, WS_CODE_TRY_LATER, "out of memory");
}

/* Reads "Resume":{"Epoch":...,"After":...}, if there is one. `epoch` keeps the string. */
static bool read_resume(struct session *client, const struct json_object *message,
                        struct join_request *request, char *epoch)
{
    struct json_object resume;
    struct json_error error;
    const struct json_field *field = json_find(message, "Resume"), *part;
    if (!field)
        return true;
    bool good = json_parse_message(&resume, field->value, field->value_len, &error) == 0 &&
                (part = json_find(&resume, "Epoch")) && json_is_string(part) &&
                (part = json_find(&resume, "After")) && json_number(part, &request->after) == 0;
    if (!good) {
        session_say_error(client, ERROR_MISSING_FIELD,
                          "\"Resume\" must be {\"Epoch\":a string,\"After\":a whole number}",
                          message);
        return false;
    }
    if (json_string(json_find(&resume, "Epoch"), epoch, ROOM_EPOCH_MAX) >= 0)
        request->epoch = epoch; /* a longer one is not ours, so there is nothing to resume */
    return true;
}

/* Refuses an origin that is not ours: a server between us has relayed our nonce, or the owner has
 * not configured all our names. */
static void say_wrong_origin(struct session *client, const char *origin,
                             const struct json_object *about)
{
    char text[SESSION_TEXT_MAX];
    snprintf(text, sizeof(text),
             "this server does not know itself as %s: its owner can add that to allowed_origins; "
             "until then join without keys",
             origin);
    session_say_error(client, ERROR_WRONG_ORIGIN, text, about);
}

static bool origin_is_ours(const struct session *client, const char *origin)
{
    return host_check_is_own_origin(origin, client->host, client->fd, session_config(client),
                                    client->settings->tls);
}

/* Reads and checks the keys of a Join. If it has any, request->keys points to them. */
static bool read_claim(struct session *client, const struct json_object *message,
                       const unsigned char *nonce, struct e2e_claim *claim,
                       struct join_request *request)
{
    *claim = (struct e2e_claim){.room = client->room, .name = request->name, .nonce = nonce};
    enum e2e_found found = e2e_read_claim(message, claim);
    if (found == E2E_FOUND_NONE)
        return true;
    if (found == E2E_FOUND_SOME)
        session_say_card_missing(client, message, true);
    else if (found == E2E_FOUND_BAD)
        session_say_error(client, ERROR_BAD_PROOF, SESSION_CARD_FORM, message);
    else if (!e2e_claim_holds(claim))
        session_say_error(client, ERROR_BAD_PROOF,
                          "\"Proof\" or \"KeySignature\" is not of this identity key for this "
                          "nonce, origin, room, name and session key",
                          message);
    else if (!origin_is_ours(client, claim->keys.origin))
        say_wrong_origin(client, claim->keys.origin, message);
    else
        request->keys = &claim->keys;
    return request->keys;
}

static bool is_join(struct session *client, const struct json_object *message)
{
    char type[sizeof("Join")];
    const struct json_field *field = json_find(message, "msgType");
    if (json_is_string(field) && json_string(field, type, sizeof(type)) >= 0 &&
        strcmp(type, "Join") == 0)
        return true;
    session_say_error(client, ERROR_UNKNOWN_TYPE, "the first message must be a Join", message);
    return false;
}

/* Whether a Join proves a known identity; `key` is its key for the throttle. Whether it is known is
 * checked first, because that is cheap, so a stranger's guess costs no signature check. */
static bool is_known(const struct session *client, const struct json_object *message,
                     const unsigned char *nonce, unsigned char key[THROTTLE_KEY])
{
    char name[NAME_MAX_BYTES + 1];
    struct e2e_claim claim = {.room = client->room, .name = name, .nonce = nonce};
    const struct json_field *field = json_find(message, "Name");
    long len = json_is_string(field) ? json_string(field, name, sizeof(name)) : -1;
    return len >= 0 && !name_check(name, (size_t)len) &&
           e2e_read_claim(message, &claim) == E2E_FOUND_ALL &&
           guard_key(client, claim.keys.identity, key) && throttle_knows(&guard, key) &&
           e2e_claim_holds(&claim) && origin_is_ours(client, claim.keys.origin);
}

static bool read_password(struct session *client, const struct json_object *message,
                          const unsigned char *nonce)
{
    char text[PASSWORD_MAX] = "";
    unsigned char key[THROTTLE_KEY];
    const struct json_field *field = json_find(message, "Password");
    long len = field ? json_string(field, text, sizeof(text)) : 0;
    bool known = is_known(client, message, nonce, key);
    return check_password(client, text, len < 0 ? SIZE_MAX : (size_t)len, known ? key : NULL,
                          message);
}

/* Remembers a client with the right password: later its address does not refuse it. */
static void remember_identity(const struct session *client, const struct join_request *request)
{
    unsigned char key[THROTTLE_KEY];
    if (request->keys && guard_key(client, request->keys->identity, key))
        throttle_remember(&guard, key, net_now());
}

static bool read_name(struct session *client, const struct json_object *message, char *name)
{
    char text[CONFIG_ERROR_MAX];
    const struct json_field *field = json_find(message, "Name");
    if (!json_is_string(field)) {
        session_say_missing(client, message, "Name");
        return false;
    }
    long len = json_string(field, text, sizeof(text));
    if (len >= 0)
        return take_name(client, text, (size_t)len, message, name);
    /* far too long, or with U+0000 in it */
    session_say_error(client, ERROR_BAD_NAME, "a name must have 1 to 32 visible characters",
                      message);
    return false;
}

/* Processes one Join. Returns whether the client has joined; if not, it has been sent an Error. The
 * password is checked first: without it a client learns nothing about the members. */
static bool by_message(struct session *client, const struct ws_event *event,
                       const unsigned char *nonce)
{
    char name[NAME_MAX_BYTES + 1], epoch[ROOM_EPOCH_MAX];
    struct json_object message;
    struct e2e_claim claim;
    struct join_request request = {.name = name};
    bool in = session_parse(client, event, &message) && is_join(client, &message) &&
              read_password(client, &message, nonce) && read_name(client, &message, name) &&
              read_resume(client, &message, &request, epoch) &&
              read_claim(client, &message, nonce, &claim, &request) &&
              enter(client, &request, &message);
    if (in)
        remember_identity(client, &request);
    return in;
}

static int by_v2(struct session *client, int64_t until)
{
    unsigned char nonce[E2E_NONCE_BYTES];
    struct ws_event event;
    if (say_hello(client, nonce) < 0)
        return -1;
    for (int tries = 0; tries < LOGIN_TRIES; tries++) {
        if (receive(client, until, &event) < 0)
            return -1;
        if (by_message(client, &event, nonce))
            return 0;
        if (client->end_code)
            return -1;
    }
    return session_end_with(client, WS_CODE_POLICY, "too many attempts to join");
}

void join_init(void)
{
    throttle_init(&guard);
    random_bytes(compare_key, sizeof(compare_key)); /* the comparison works without it, too */
    source_init();
}

/* Waits, without reading, until the client's source may join once more. Returns 0, or -1 when the
 * client has to come back later. */
static int await_join_turn(struct session *client)
{
    const struct sockaddr_storage *source = &client->entry.peer;
    bool limited = registry_limits(source, session_config(client));
    int64_t wait = limited ? source_join(source) : 0;
    if (wait > 0 || !client->v2) /* else Hello follows, in the same packet */
        outbox_flush(&client->conn.out);
    if (wait < 0)
        return session_end_with(client, WS_CODE_TRY_LATER, "too many joins from your address");
    return sit_out(client, net_now() + wait) ? 0 : -1;
}

int join_client(struct session *client)
{
    int joined = await_join_turn(client);
    int64_t until = net_now() + (int64_t)session_config(client)->login_timeout_seconds * 1000;
    if (joined == 0)
        joined = client->v2 ? by_v2(client, until) : by_hello(client, until);
    free(client->host);
    client->host = NULL;
    return joined;
}
