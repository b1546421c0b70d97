/* SPDX-License-Identifier: MIT
 *
 * relay.h - for tests: clients without terminal and network, a server between them that can be made
 * to cheat, and a clock that is set by hand.
 *
 * Each member uses private_messages.h as chat.c does, without rooms. Its output goes to a file of
 * its own: lines of JSON as with --listen, and notes.
 */
#ifndef RELAY_H
#define RELAY_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "client/private_messages.h"

enum {
    RELAY_MEMBERS = 8,
    RELAY_TIMES = 4096,    /* times of messages that were sent automatically */
    RELAY_LOG = 4 << 20,   /* bytes of a member's output */
    RELAY_STEP_MS = 10000, /* longest step of the clock */
};

/* The server's treatment of a private message. */
enum fate {
    FATE_PASS,
    FATE_DROP,    /* does not deliver it, but says that it did */
    FATE_DOUBLE,  /* delivers it twice */
    FATE_RENAME,  /* delivers it with the Ref of the one before */
    FATE_REFUSE,  /* does not deliver it, and says so */
    FATE_LIE,     /* delivers it, but says that it did not */
    FATE_SILENCE, /* does not deliver it, and does not answer */
};

struct member {
    const char *name;
    char home[40];
    struct keystore keystore;
    struct output output;
    struct ws_client ws;
    struct private_messages private;
    int log;
    bool online;
    char *card; /* the published card: six fields of JSON; NULL: none */
};

static struct relay {
    int64_t now;
    int64_t wall_skew;
    struct member *members[RELAY_MEMBERS];
    size_t count;
    enum fate (*fate)(const struct member *from, const struct json_object *in);
    size_t messages; /* private messages with a text that were sent */
    int64_t times[RELAY_TIMES];
    size_t automatic;
    char last_ref[64];
} relay;

static inline int64_t relay_steady(void)
{
    return relay.now;
}

static inline uint64_t relay_wall(void)
{
    return (uint64_t)(1800000000000 + relay.now + relay.wall_skew);
}

/* ---- Output of a member ---- */

static int relay_out = -1, relay_err = -1;

static inline void relay_enter(const struct member *member)
{
    fflush(stdout);
    relay_out = dup(STDOUT_FILENO);
    relay_err = dup(STDERR_FILENO);
    dup2(member->log, STDOUT_FILENO);
    dup2(member->log, STDERR_FILENO);
}

static inline void relay_leave(void)
{
    fflush(stdout);
    dup2(relay_out, STDOUT_FILENO);
    dup2(relay_err, STDERR_FILENO);
    close(relay_out);
    close(relay_err);
}

/* Everything that a member has printed since the start or the last relay_forget. */
static inline const char *relay_printed(const struct member *member)
{
    static char text[RELAY_LOG];
    ssize_t len = pread(member->log, text, sizeof(text) - 1, 0);
    assert_in_range(len, 0, RELAY_LOG - 2);
    text[len] = '\0';
    return text;
}

static inline size_t relay_count(const struct member *member, const char *what)
{
    size_t count = 0;
    for (const char *at = relay_printed(member); (at = strstr(at, what)) != NULL; at++)
        count++;
    return count;
}

static inline void relay_forget(const struct member *member)
{
    assert_int_equal(ftruncate(member->log, 0), 0);
    lseek(member->log, 0, SEEK_SET);
}

#define assert_printed(member, what)                                                               \
    do {                                                                                           \
        if (!relay_count(member, what))                                                            \
            fail_msg("%s did not print \"%s\" but:\n%s", (member)->name, what,                     \
                     relay_printed(member));                                                       \
    } while (0)

#define assert_not_printed(member, what)                                                           \
    do {                                                                                           \
        if (relay_count(member, what))                                                             \
            fail_msg("%s printed \"%s\":\n%s", (member)->name, what, relay_printed(member));       \
    } while (0)

/* The number of its lines of JSON with that text. */
static inline size_t relay_shown(const struct member *member, const char *text)
{
    char field[128];
    snprintf(field, sizeof(field), "\"text\":\"%s\"", text);
    return relay_count(member, field);
}

/* ---- The server ---- */

static inline void relay_hear(struct member *member, char *json)
{
    struct json_object in;
    struct json_error wrong;
    assert_non_null(json);
    assert_int_equal(json_parse_message(&in, json, strlen(json), &wrong), 0);
    relay_enter(member);
    if (json_equals(&in, "msgType", "PrivateMessage"))
        private_received(&member->private, &in);
    else if (json_equals(&in, "msgType", "UserKeys"))
        private_keys(&member->private, &in);
    else if (json_equals(&in, "msgType", "Delivered"))
        private_delivered(&member->private, &in);
    else if (json_equals(&in, "msgType", "Error"))
        private_error(&member->private, &in, "nobody of that name is here");
    relay_leave();
    free(json);
}

static inline struct member *relay_find(const char *name)
{
    for (size_t i = 0; i < relay.count; i++)
        if (relay.members[i]->online && strcasecmp(relay.members[i]->name, name) == 0)
            return relay.members[i];
    return NULL;
}

static inline char *relay_user_keys(const char *user, const char *card)
{
    char *json = NULL;
    assert_true(asprintf(&json, "{\"msgType\":\"UserKeys\",\"User\":\"%s\",\"Ref\":\"keys\"%s%s}",
                         user, card ? "," : "", card ? card : "") > 0);
    return json;
}

/* Copies a message as its receiver gets it, with another Ref if that is not NULL. */
static inline char *relay_copy(const struct member *from, const struct json_object *in,
                               const char *ref)
{
    size_t len;
    struct json_object changed = *in;
    char *quoted = json_quote(from->name), *new = ref ? json_quote(ref) : NULL;
    for (size_t i = 0; ref && i < changed.count; i++) {
        if (changed.fields[i].key != json_key("Ref"))
            continue;
        changed.fields[i].value = new;
        changed.fields[i].value_len = strlen(new);
    }
    char *open = json_relay(&changed, true, quoted, &len);
    assert_non_null(open);
    open = realloc(open, len + JSON_STAMP_MAX + 1);
    len += json_finish_relay(open + len, 0, (int64_t)relay_wall());
    open[len] = '\0';
    free(quoted);
    free(new);
    return open;
}

static inline void relay_private(struct member *from, const struct json_object *in)
{
    size_t len;
    char *to = json_get_string(in, "TgtUser"), *ref = json_get_string(in, "Ref");
    bool text = !json_find(in, "Notice") && ref;
    struct member *target = to ? relay_find(to) : NULL;
    enum fate fate = relay.fate && text ? relay.fate(from, in) : FATE_PASS;
    relay.messages += text;
    bool refused = !target || fate == FATE_REFUSE || fate == FATE_LIE;
    if (fate == FATE_LIE)
        relay_hear(target, relay_copy(from, in, NULL));
    if (refused) {
        relay_hear(from, json_error(ERROR_UNKNOWN_USER, "", in, &len));
    } else if (fate != FATE_SILENCE) {
        if (fate != FATE_DROP)
            relay_hear(target, relay_copy(from, in, fate == FATE_RENAME ? relay.last_ref : NULL));
        if (fate == FATE_DOUBLE)
            relay_hear(target, relay_copy(from, in, NULL));
        relay_hear(from, json_delivered(in, &len));
    }
    if (ref)
        snprintf(relay.last_ref, sizeof(relay.last_ref), "%s", ref);
    free(to);
    free(ref);
}

static inline void relay_publish(struct member *member, const struct json_object *in)
{
    struct e2e_keys keys;
    assert_int_equal(e2e_read_keys(in, &keys), E2E_FOUND_ALL);
    assert_true(e2e_keys_signed(&keys, "", member->name));
    free(member->card);
    struct json_writer w = {.text = NULL};
    e2e_write_keys(&w, &keys);
    member->card = json_writer_finish(&w, NULL);
}

static inline void relay_take(struct member *from, char *text, size_t len)
{
    struct json_object in;
    struct json_error wrong;
    assert_int_equal(json_parse_message(&in, text, len, &wrong), 0);
    char *to = json_get_string(&in, "TgtUser");
    struct member *target = to ? relay_find(to) : NULL;
    if (!json_equals(&in, "msgType", "PrivateMessage") || json_find(&in, "Notice") ||
        !json_find(&in, "Ref")) {
        assert_in_range(relay.automatic, 0, RELAY_TIMES - 1);
        relay.times[relay.automatic++] = relay.now;
    }
    if (json_equals(&in, "msgType", "PrivateMessage"))
        relay_private(from, &in);
    else if (json_equals(&in, "msgType", "PublishKeys"))
        relay_publish(from, &in);
    else if (json_equals(&in, "msgType", "GetKeys") && target)
        relay_hear(from, relay_user_keys(target->name, target->card));
    else if (json_equals(&in, "msgType", "GetKeys"))
        relay_hear(from, json_error(ERROR_UNKNOWN_USER, "", &in, &len));
    free(to);
}

/* Takes the frames that a member has queued (RFC 6455 §5.2). Returns whether there were any. */
static inline bool relay_read(struct member *member)
{
    struct ws_client *ws = &member->ws;
    size_t len = ws->out_len - ws->out_from;
    if (!member->online || len == 0)
        return false;
    unsigned char *bytes = malloc(len), *at = bytes, *end = bytes + len;
    memcpy(bytes, ws->out + ws->out_from, len);
    ws->out_from = ws->out_len = 0;
    while (at < end) {
        size_t size = at[1] & 0x7F, head = 2;
        if (size >= 126) {
            size_t digits = size == 126 ? 2 : 8;
            for (size = 0; head < 2 + digits; head++)
                size = size << 8 | at[head];
        }
        char *text = (char *)at + head + 4;
        for (size_t i = 0; i < size; i++)
            text[i] ^= (char)at[head + i % 4];
        at += head + 4 + size;
        relay_take(member, text, size);
    }
    free(bytes);
    return true;
}

/* Runs everything whose time has come, until nothing is left. */
static inline void relay_settle(void)
{
    bool more = true;
    while (more) {
        more = false;
        for (size_t i = 0; i < relay.count; i++) {
            relay_enter(relay.members[i]);
            private_tick(&relay.members[i]->private);
            relay_leave();
            more |= relay_read(relay.members[i]);
        }
    }
}

/* Advances the clock. */
static inline void relay_run(int64_t ms)
{
    int64_t end = relay.now + ms;
    relay_settle();
    while (relay.now < end) {
        int64_t next = relay.now + RELAY_STEP_MS < end ? relay.now + RELAY_STEP_MS : end;
        for (size_t i = 0; i < relay.count; i++) {
            int64_t until = private_until(&relay.members[i]->private);
            if (until < next)
                next = until;
        }
        relay.now = next > relay.now ? next : relay.now + 1;
        relay_settle();
    }
}

/* ---- Members ---- */

static inline void relay_tell_users(struct member *comes)
{
    char list[RELAY_MEMBERS * (NAME_MAX_BYTES + 8) + 64] =
        "{\"msgType\":\"OnlineUsers\",\"Users\":[";
    size_t len = strlen(list);
    struct json_object in;
    struct json_error error;
    for (size_t i = 0; i < relay.count; i++)
        if (relay.members[i]->online)
            len += (size_t)snprintf(list + len, sizeof(list) - len, "%s\"%s\"",
                                    list[len - 1] == '[' ? "" : ",", relay.members[i]->name);
    snprintf(list + len, sizeof(list) - len, "]}");
    for (size_t i = 0; i < relay.count; i++) {
        struct member *member = relay.members[i];
        if (!member->online)
            continue;
        relay_enter(member);
        struct who who = {.output = NULL};
        struct who_change change;
        if (json_parse_message(&in, list, strlen(list), &error) == 0 &&
            who_heard(&who, &in, &change)) {
            private_users(&member->private, &who, &change);
            who_change_fini(&change);
        }
        who_fini(&who);
        if (member == comes)
            private_settle(&member->private);
        private_flush(&member->private);
        relay_leave();
    }
}

static inline void relay_connect(struct member *member)
{
    char nonce[2 * E2E_NONCE_BYTES + 1], *json = NULL;
    struct json_object in;
    struct json_error wrong;
    struct e2e_place place = {.origin = "https://h:1", .room = "", .name = member->name};
    memset(nonce, 'a', sizeof(nonce) - 1);
    nonce[sizeof(nonce) - 1] = '\0';
    member->ws.state = WS_CLIENT_UP;
    member->ws.v2 = true;
    relay_enter(member);
    char *claim = private_begin(&member->private, &place, nonce);
    relay_leave();
    assert_non_null(claim);
    assert_true(asprintf(&json, "{%s}", claim) > 0);
    assert_int_equal(json_parse_message(&in, json, strlen(json), &wrong), 0);
    relay_publish(member, &in);
    free(claim);
    free(json);
    member->online = true;
    relay_tell_users(member);
    relay_settle();
}

static inline void relay_disconnect(struct member *member)
{
    member->online = false;
    member->ws.state = WS_CLIENT_DOWN;
    member->ws.out_from = member->ws.out_len = 0;
    relay_enter(member);
    private_lost(&member->private);
    relay_leave();
    relay_tell_users(NULL);
    relay_settle();
}

static inline void relay_start(struct member *member)
{
    char error[KEYSTORE_ERROR_MAX];
    setenv("XDG_DATA_HOME", member->home, 1);
    assert_int_equal(keystore_open(&member->keystore, error), 0);
    memset(&member->output, 0, sizeof(member->output));
    member->output.mode = MODE_LISTEN;
    ws_client_init(&member->ws, NULL, NULL);
    private_init(&member->private, &member->ws, &member->output, &member->keystore, "h:1");
    member->private.steady = relay_steady;
    member->private.wall = relay_wall;
}

static inline void relay_stop(struct member *member)
{
    private_fini(&member->private);
    ws_client_fini(&member->ws);
    keystore_close(&member->keystore);
    free(member->output.screen.out);
}

/* A joined member with its own identity. */
static inline struct member *relay_member(const char *name)
{
    struct member *member = calloc(1, sizeof(*member));
    member->name = name;
    bool memory = access("/dev/shm", W_OK) == 0; /* where fsync takes no time */
    snprintf(member->home, sizeof(member->home), "%s/ragnarok-relay-XXXXXX",
             memory ? "/dev/shm" : "/tmp");
    assert_non_null(mkdtemp(member->home));
    member->log = memfd_create("log", 0);
    relay_start(member);
    assert_in_range(relay.count, 0, RELAY_MEMBERS - 1);
    relay.members[relay.count++] = member;
    relay_connect(member);
    return member;
}

/* Restarts a member's program. */
static inline void relay_restart(struct member *member)
{
    if (member->online)
        relay_disconnect(member);
    relay_stop(member);
    relay_start(member);
    relay_connect(member);
}

static inline void relay_say(struct member *from, const char *to, const char *text)
{
    relay_enter(from);
    private_say(&from->private, to, text);
    relay_leave();
}

/* Set-up and tear-down of a test. */
static inline int relay_begin(void **state)
{
    (void)state;
    memset(&relay, 0, sizeof(relay));
    relay.now = 1000000;
    return 0;
}

static inline int relay_end(void **state)
{
    char command[64];
    (void)state;
    for (size_t i = 0; i < relay.count; i++) {
        struct member *member = relay.members[i];
        relay_stop(member);
        close(member->log);
        free(member->card);
        snprintf(command, sizeof(command), "rm -r %s", member->home);
        assert_int_equal(system(command), 0);
        free(member);
    }
    return 0;
}

/* A server that delivers nothing from ana. */
static inline enum fate drop_all(const struct member *from, const struct json_object *in)
{
    (void)in;
    return strcmp(from->name, "ana") == 0 ? FATE_DROP : FATE_PASS;
}

#endif
