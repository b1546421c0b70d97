/* SPDX-License-Identifier: MIT
 *
 * lws_peer.c - the benchmark's peer in C, with libwebsockets and cJSON.
 *
 * As the library's author advises: one thread, its own poll() loop. A broadcast goes into an
 * lws_ring that all members read, each with its own tail. Every write happens in a writable
 * callback, one message each, which then asks for the next. When the ring is full, the members
 * furthest behind are closed.
 *
 * Messages for a single member wait in its own buflist. The member list is state: a member with an
 * old list gets the newest when it is writable.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>
#include <libwebsockets.h>

#include "peer.h"

enum {
    RING_MESSAGES = 4096,  /* with so many waiting messages the slowest member is closed */
    MESSAGE_MAX = 2 << 20, /* bytes of a member's message; more closes it */
};

/* A payload, with LWS_PRE bytes before it for the library to put the frame's head into. */
struct message {
    unsigned char *bytes;
    size_t len;
};

/* A connection; libwebsockets makes it, all zero. */
struct session {
    struct lws *wsi;
    struct session *next; /* among the members */
    char name[PEER_NAME_MAX + 1];
    bool greeted; /* has sent the password */
    bool member, culled;
    char *got; /* partial message */
    size_t got_len;
    struct lws_buflist *own;
    uint32_t tail;       /* in the ring */
    uint32_t users_seen; /* version of the list that it received */
};

static struct {
    struct peer_options options;
    struct lws_context *context;
    struct lws_ring *ring;
    struct session *members; /* by name */
    struct message users;
    uint32_t users_version;
    uint64_t last_id;
    lws_sorted_usec_list_t timer;
    bool announcing;
} room;

/* ---- Messages ---- */

/* Prints a tree, and frees it. `bytes` is NULL when memory is out. */
static struct message message_print(cJSON *json)
{
    struct message message = {0};
    char *text = cJSON_PrintUnformatted(json);
    size_t len = text ? strlen(text) : 0;
    if (text && (message.bytes = malloc(LWS_PRE + len))) {
        memcpy(message.bytes + LWS_PRE, text, len);
        message.len = len;
    }
    cJSON_free(text);
    cJSON_Delete(json);
    return message;
}

static void message_free(void *element)
{
    struct message *message = element;
    free(message->bytes);
    *message = (struct message){0};
}

static cJSON *message_new(const char *type, const char *from, const char *to, const char *text)
{
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "msgType", type);
    cJSON_AddStringToObject(json, "SrcUser", from);
    if (to)
        cJSON_AddStringToObject(json, "TgtUser", to);
    cJSON_AddStringToObject(json, "text", text);
    return json;
}

/* ---- Sending ---- */

static void wake_all(void)
{
    for (struct session *s = room.members; s; s = s->next)
        lws_callback_on_writable(s->wsi);
}

/* Queues a message for one member. Takes the message. */
static void post(struct session *s, struct message message)
{
    if (message.bytes &&
        lws_buflist_append_segment(&s->own, message.bytes, LWS_PRE + message.len) >= 0)
        lws_callback_on_writable(s->wsi);
    message_free(&message);
}

/* Advances a member's tail to the end of the ring, so that the others' oldest counts. */
static void give_up(struct session *s)
{
    size_t waiting = lws_ring_get_count_waiting_elements(room.ring, &s->tail);
    lws_ring_consume_and_update_oldest_tail(room.ring, struct session, &s->tail, waiting,
                                            room.members, tail, next);
}

/* Closes the members that are a whole ring behind. */
static void cull(void)
{
    uint32_t oldest = lws_ring_get_oldest_tail(room.ring);
    for (struct session *s = room.members; s; s = s->next) {
        if (s->tail != oldest || s->culled)
            continue;
        s->culled = true;
        lws_set_timeout(s->wsi, PENDING_TIMEOUT_LAGGING, LWS_TO_KILL_ASYNC);
        give_up(s);
    }
}

/* Sends a message to all members. Takes the message. */
static void broadcast(struct message message)
{
    if (!lws_ring_get_count_free_elements(room.ring))
        cull();
    if (!message.bytes || !lws_ring_insert(room.ring, &message, 1))
        message_free(&message);
    else
        wake_all();
}

static void announce(lws_sorted_usec_list_t *timer)
{
    (void)timer;
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "msgType", "OnlineUsers");
    cJSON *users = cJSON_AddArrayToObject(json, "Users");
    for (struct session *s = room.members; s; s = s->next)
        cJSON_AddItemToArray(users, cJSON_CreateString(s->name));
    message_free(&room.users);
    room.users = message_print(json);
    room.users_version++;
    room.announcing = false;
    wake_all();
}

/* The member list has changed: sends it to all, at once or when more changes have gathered. */
static void changed(void)
{
    if (!room.options.presence_ms)
        announce(NULL);
    else if (!room.announcing)
        lws_sul_schedule(room.context, 0, &room.timer, announce,
                         room.options.presence_ms * LWS_US_PER_MS);
    room.announcing = room.options.presence_ms > 0;
}

static bool write_text(struct session *s, unsigned char *payload, size_t len)
{
    return lws_write(s->wsi, payload, len, LWS_WRITE_TEXT) >= (int)len;
}

/* Writes the next of the member's own messages. */
static bool write_own(struct session *s)
{
    unsigned char *bytes;
    size_t len = lws_buflist_next_segment_len(&s->own, &bytes);
    bool written = write_text(s, bytes + LWS_PRE, len - LWS_PRE);
    lws_buflist_use_segment(&s->own, len);
    return written;
}

static bool write_users(struct session *s)
{
    s->users_seen = room.users_version;
    return !room.users.bytes || write_text(s, room.users.bytes + LWS_PRE, room.users.len);
}

static bool write_broadcast(struct session *s)
{
    const struct message *message = lws_ring_get_element(room.ring, &s->tail);
    bool written = write_text(s, message->bytes + LWS_PRE, message->len);
    lws_ring_consume_and_update_oldest_tail(room.ring, struct session, &s->tail, 1, room.members,
                                            tail, next);
    return written;
}

/* Writes one message; the next callback writes more. */
static bool on_writable(struct session *s)
{
    bool written = true;
    if (!s->member || s->culled)
        return true;
    if (s->own)
        written = write_own(s);
    else if (s->users_seen != room.users_version)
        written = write_users(s);
    else if (lws_ring_get_element(room.ring, &s->tail))
        written = write_broadcast(s);
    if (s->own || s->users_seen != room.users_version || lws_ring_get_element(room.ring, &s->tail))
        lws_callback_on_writable(s->wsi);
    return written;
}

/* ---- Input ---- */

static struct session *find(const char *name)
{
    struct session *s = room.members;
    while (s && strcmp(s->name, name) != 0)
        s = s->next;
    return s;
}

static void on_broadcast(const struct session *s, const char *text)
{
    cJSON *json = message_new("Broadcast", s->name, "", text);
    cJSON_AddNumberToObject(json, "Id", (double)++room.last_id);
    cJSON_AddNumberToObject(json, "Time", (double)peer_time_ms());
    broadcast(message_print(json));
}

static void on_private(const struct session *s, const char *to, const char *text)
{
    struct session *target = to ? find(to) : NULL;
    if (!target)
        return;
    cJSON *json = message_new("PrivateMessage", s->name, NULL, text);
    cJSON_AddNumberToObject(json, "Time", (double)peer_time_ms());
    post(target, message_print(json));
}

static bool on_message(const struct session *s, const char *bytes, size_t len)
{
    cJSON *json = cJSON_ParseWithLength(bytes, len);
    const char *type = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "msgType"));
    const char *to = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "TgtUser"));
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "text"));
    bool good = type && text;
    if (good && strcmp(type, "Broadcast") == 0)
        on_broadcast(s, text);
    else if (good && strcmp(type, "PrivateMessage") == 0)
        on_private(s, to, text);
    cJSON_Delete(json);
    return good;
}

static bool enter(struct session *s, const char *name, size_t len)
{
    struct session **at = &room.members;
    if (!peer_name_ok(name, len))
        return false;
    memcpy(s->name, name, len);
    while (*at && strcmp((*at)->name, s->name) < 0)
        at = &(*at)->next;
    if (*at && strcmp((*at)->name, s->name) == 0)
        return false;
    s->tail = lws_ring_get_oldest_tail(room.ring);
    lws_ring_consume(room.ring, &s->tail, NULL,
                     lws_ring_get_count_waiting_elements(room.ring, &s->tail));
    s->next = *at;
    *at = s;
    s->member = true;
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "ServerName", "libwebsockets");
    post(s, message_print(json));
    changed();
    return true;
}

static void leave(struct session *s)
{
    struct session **at = &room.members;
    lws_buflist_destroy_all_segments(&s->own);
    free(s->got);
    if (!s->member)
        return;
    give_up(s);
    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    changed();
}

/* Handles a whole message: any password, then the name, then the rest. */
static bool on_whole(struct session *s, const char *bytes, size_t len)
{
    if (s->member)
        return on_message(s, bytes, len);
    if (s->greeted)
        return enter(s, bytes, len);
    s->greeted = true;
    return true;
}

/* A message longer than the library's buffer arrives in pieces. */
static bool on_piece(struct session *s, const char *bytes, size_t len)
{
    bool whole = lws_is_final_fragment(s->wsi) && !lws_remaining_packet_payload(s->wsi);
    if (whole && !s->got_len)
        return on_whole(s, bytes, len);
    size_t need = s->got_len + len + lws_remaining_packet_payload(s->wsi);
    char *got = need > MESSAGE_MAX ? NULL : realloc(s->got, need + 1);
    if (!got)
        return false;
    s->got = got;
    memcpy(s->got + s->got_len, bytes, len);
    s->got_len += len;
    if (!whole)
        return true;
    bool good = on_whole(s, s->got, s->got_len);
    free(s->got);
    s->got = NULL;
    s->got_len = 0;
    return good;
}

/* A result other than 0 closes the connection. */
static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                    size_t len)
{
    struct session *s = user;
    if (reason == LWS_CALLBACK_ESTABLISHED)
        s->wsi = wsi;
    else if (reason == LWS_CALLBACK_RECEIVE)
        return on_piece(s, in, len) ? 0 : -1;
    else if (reason == LWS_CALLBACK_SERVER_WRITEABLE)
        return on_writable(s) ? 0 : -1;
    else if (reason == LWS_CALLBACK_CLOSED)
        leave(s);
    else
        return lws_callback_http_dummy(wsi, reason, user, in, len);
    return 0;
}

/* ---- Beginning, and the loop ---- */

static const struct lws_protocols protocols[] = {
    {.name = "chat", .callback = on_event, .per_session_data_size = sizeof(struct session)},
    {0},
};

static struct lws_vhost *start(void)
{
    struct lws_context_creation_info info = {.port = room.options.port,
                                             .iface = "127.0.0.1",
                                             .protocols = protocols,
                                             .gid = -1,
                                             .uid = -1,
                                             .options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS};
    if (room.options.tls) {
        info.options |= LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
        info.ssl_cert_filepath = room.options.cert;
        info.ssl_private_key_filepath = room.options.key;
    }
    lws_set_log_level(LLL_ERR, NULL);
    room.ring = lws_ring_create(sizeof(struct message), RING_MESSAGES, message_free);
    room.context = lws_create_context(&info);
    return room.ring && room.context ? lws_create_vhost(room.context, &info) : NULL;
}

int main(int argc, char **argv)
{
    room.options = peer_begin(argc, argv);
    struct lws_vhost *vhost = start();
    if (!vhost) {
        fputs("libwebsockets did not start\n", stderr);
        return 1;
    }
    peer_listening(lws_get_vhost_listen_port(vhost));
    while (lws_service(room.context, 0) >= 0)
        continue;
    lws_context_destroy(room.context);
    return 0;
}
