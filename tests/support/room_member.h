/* SPDX-License-Identifier: MIT
 *
 * room_member.h - members of rooms for unit tests. Each has an outbox and a peer at the other end
 * of a socketpair, which reads everything with ws.c and records one line of text for each message.
 */
#ifndef ROOM_MEMBER_H
#define ROOM_MEMBER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <cmocka.h>

#include "lock_check.h"
#include "net/socket.h"
#include "room.h"
#include "room/room_parts.h"
#include "ws.h"

enum {
    ROOM_TEST_BUFFER = 64 * 1024, /* of a room's ring */
    ROOM_TEST_QUEUE = 32 * 1024,
    ROOM_TEST_HEARD = 256 * 1024,
    ROOM_TEST_TIMEOUT_MS = 60000,
};

struct room_member {
    struct member member;
    struct stream stream;
    struct outbox out;
    int peer;
    struct ws_reader reader;
    char *heard; /* one line per message since the last room_member_hear */
    bool joined;
};

static char room_test_server[] = "test";
static struct config room_test_config = {.server_name = room_test_server,
                                         .max_rooms = 20,
                                         .room_buffer_bytes = ROOM_TEST_BUFFER,
                                         .history = 3};

static inline int rooms_begin(void **state)
{
    (void)state;
    net_wake_init();
    room_test_config.max_rooms = 20;
    return rooms_init(&room_test_config);
}

static inline void check_room_locks(struct room *room)
{
    check_lock_is_free(&room->members_lock);
    check_lock_is_free(&room->names_lock);
    check_lock_is_free(&room->ring.lock);
    check_lock_is_free(&room->share.lock);
}

static inline int rooms_end(void **state)
{
    (void)state;
    rooms_fini();
    return 0;
}

static inline struct room_member *room_member_new(void)
{
    struct room_member *person = calloc(1, sizeof(*person));
    int ends[2];
    assert_non_null(person);
    person->heard = calloc(1, ROOM_TEST_HEARD);
    assert_non_null(person->heard);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    assert_int_equal(stream_open(&person->stream, ends[0], NULL), 0);
    outbox_init(&person->out, &person->stream, ROOM_TEST_QUEUE);
    person->peer = ends[1];
    ws_reader_init(&person->reader, 1 << 20, false);
    char read[8];
    struct frame *head = frame_new(-1, "HTTP", 4); /* what stands for the answer to a request */
    assert_true(outbox_open(&person->out, head));
    outbox_flush(&person->out);
    frame_drop(head);
    assert_int_equal(recv(person->peer, read, sizeof(read), MSG_DONTWAIT), 4);
    return person;
}

static inline void room_member_leave(struct room_member *person)
{
    if (person->joined)
        room_leave(&person->member);
    person->joined = false;
    room_release(&person->member);
}

static inline void room_member_free(struct room_member *person)
{
    room_member_leave(person);
    check_lock_is_free(&person->stream.lock);
    outbox_fini(&person->out);
    stream_close(&person->stream);
    close(person->peer);
    ws_reader_fini(&person->reader);
    free(person->heard);
    free(person);
}

/* Both steps of joining, without what room_member_ask adds. */
static inline enum protocol_error
room_member_steps(struct room_member *person, const struct join_request *request, const char **why)
{
    enum protocol_error code = room_ask(&person->member, &person->out, request, why);
    return code ? code : room_settle_in(&person->member, request, why);
}

/* Joins. Returns ERROR_NONE or the code of the Error; *why is the room's text for people. */
static inline enum protocol_error
room_member_ask(struct room_member *person, const struct join_request *request, const char **why)
{
    enum protocol_error code = room_member_steps(person, request, why);
    person->joined = !code;
    if (!code) {
        while (room_fan_out(person->member.room))
            ;
        outbox_flush(&person->out);
    }
    return code;
}

static inline struct join_request room_test_request(const char *room, const char *name)
{
    return (struct join_request){
        .config = &room_test_config, .max_message = 1000, .room = room, .name = name, .v2 = true};
}

/* Joins a room of that name, which must succeed. */
static inline struct room_member *room_member_join(const char *room, const char *name)
{
    struct room_member *person = room_member_new();
    struct join_request request = room_test_request(room, name);
    const char *why;
    assert_int_equal(room_member_ask(person, &request, &why), ERROR_NONE);
    return person;
}

static inline void room_member_note(struct room_member *person, const struct ws_event *event)
{
    size_t at = strlen(person->heard);
    assert_true(at + event->len + 64 < ROOM_TEST_HEARD);
    if (event->opcode == WS_CLOSE)
        snprintf(person->heard + at, ROOM_TEST_HEARD - at, "close:%d:%.*s\n", event->code,
                 (int)event->len, (const char *)event->payload);
    else
        snprintf(person->heard + at, ROOM_TEST_HEARD - at, "%.*s\n", (int)event->len,
                 (const char *)event->payload);
}

/* Reads received messages, and appends them to person->heard. Returns how many. */
static inline int room_member_read(struct room_member *person)
{
    unsigned char *space;
    struct ws_event event;
    int messages = 0;
    for (;;) {
        size_t len = ws_reserve(&person->reader, &space);
        assert_true(len > 0);
        ssize_t n = recv(person->peer, space, len, MSG_DONTWAIT);
        if (n <= 0)
            return messages;
        ws_commit(&person->reader, (size_t)n);
        while (ws_next(&person->reader, &event) == 1) {
            room_member_note(person, &event);
            messages++;
        }
    }
}

/* Received messages since the last call, one per line. */
static inline const char *room_member_hear(struct room_member *person)
{
    person->heard[0] = '\0';
    do
        outbox_flush(&person->out);
    while (room_member_read(person) > 0 || outbox_state(&person->out).events);
    return person->heard;
}

/* How often `text` occurs in `in`. */
static inline int count_text(const char *in, const char *text)
{
    int found = 0;
    for (const char *at = in; (at = strstr(at, text)); at += strlen(text))
        found++;
    return found;
}

static inline void check_text(const char *in, const char *text)
{
    if (!strstr(in, text))
        fail_msg("expected \"%s\" in \"%s\"", text, in);
}

/* Appends a Broadcast of `text` (JSON, with its quotes) without sending it. */
static inline bool room_member_append(struct room_member *person, const char *text, size_t *grown)
{
    char json[8192];
    struct json_object message;
    struct json_error error;
    const struct room_payer payer = {.rate = 1};
    int len = snprintf(json, sizeof(json), "{\"msgType\":\"Broadcast\",\"text\":%s}", text);
    assert_in_range(len, 1, sizeof(json) - 1);
    assert_int_equal(json_parse_message(&message, json, (size_t)len, &error), 0);
    return !room_broadcast(&person->member, &message, &payer, grown);
}

/* Sends it to all. */
static inline void room_member_say(struct room_member *person, const char *text)
{
    size_t grown;
    assert_true(room_member_append(person, text, &grown));
    while (room_fan_out(person->member.room))
        ;
}

static inline struct sockaddr_storage ip4_address(const char *text)
{
    struct sockaddr_storage storage;
    struct sockaddr_in address = {.sin_family = AF_INET};
    memset(&storage, 0, sizeof(storage));
    assert_int_equal(inet_pton(AF_INET, text, &address.sin_addr), 1);
    memcpy(&storage, &address, sizeof(address));
    return storage;
}

#endif
