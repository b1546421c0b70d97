/* SPDX-License-Identifier: MIT
 *
 * load.h - shared by the files of the load generator: a run, its members, and the way from a
 * received byte to a figure. One thread, no locks. The files, in reading order:
 *
 *   load_options.c  the command line
 *   load_report.c   clocks, complaints, latencies, the report
 *   load_member.c   a member's connection: begun, written to, watched, ended
 *   load_talk.c     what a member says, and when
 *   load_check.c    whether what came to a member is what had to come
 *   load_arrive.c   what the network says: a handshake goes on, a frame is there, a line is cut
 *   load.c          the three acts of a run; main
 *
 * Each text starts with a stamp, so that a delivery says by itself what it is:
 *
 *     SSSSS.QQQQQQQQ.TTTTTTTTTTTTTTTT.jklmnop...   sender, number, nanoseconds; padding
 */
#ifndef LOAD_H
#define LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "net/stream.h"
#include "ws.h"

#define NANO           INT64_C(1000000000)
#define BROADCAST_HEAD "{\"msgType\":\"Broadcast\""
#define PRIVATE_HEAD   "{\"msgType\":\"PrivateMessage\""
#define USERS_HEAD     "{\"msgType\":\"OnlineUsers\""
#define PRESENCE_HEAD  "{\"msgType\":\"Presence\""
#define SWITCH_KEY     "dGhlIHNhbXBsZSBub25jZQ==" /* RFC 6455 §1.3; it need not be secret */

enum {
    LABEL_MAX = 16,         /* a member's name with the NUL */
    HEAD_MAX = 128,         /* the message before its text, with the NUL */
    STAMP_LEN = 32,         /* smallest size of a text */
    MESSAGE_MAX = 16 << 20, /* a longer message from the server ends the run */
    PAST_SIZE = 1 << 20,    /* bytes of received frames kept for comparison */
    PAST_FRAMES = 4096,     /* largest number of them */
    HISTOGRAM_STEPS = 32,   /* buckets per power of two: 3 % wide */
    HISTOGRAM_SIZE = 64 * HISTOGRAM_STEPS,
};

/* All numbers are long, so that one table can read them. */
struct load_options {
    const char *host, *path, *password;
    long port, tls, v2, at_once, members;
    long senders, window, rate, messages, seconds, size, private, idle;
    long stall, churn, flap, key_update, visits;
    long pid, timeout, json;
};

enum state {
    GONE,     /* no connection */
    SECURING, /* TLS handshake */
    ASKING,   /* sent the HTTP request */
    ENTERING, /* sent password and name; messages before the first OnlineUsers are history */
    PRESENT,
    STALLED, /* reads nothing, until the last act */
    LEAVING, /* sent Close, reads to the end */
};

/* Who is online, as a member was told. */
struct known_users {
    unsigned users;   /* how many */
    unsigned members; /* steady members among the names */
    unsigned healthy; /* members among them that do not stall */
    bool named;       /* it was told names, not only how many */
};

/* Names of a message. */
struct name_list {
    bool there;        /* the message has this field */
    size_t count;      /* its names */
    size_t steady;     /* those of steady members among them */
    unsigned *numbers; /* their numbers; room for all of them */
};

/* The latest OnlineUsers or Presence that was parsed. */
struct news {
    char *text;
    size_t len;
    bool is_list;
    uint64_t version, since, count;
    struct name_list joined, left; /* joined: also the names of a list */
    const char *wrong;
};

struct load_member {
    struct stream stream;
    struct ws_reader reader; /* reads the frames that are not compared as a whole */
    unsigned char *rest;     /* start of a frame that has not arrived completely; NULL: none */
    size_t rest_len;
    enum state state;
    unsigned index;
    uint32_t events; /* the events registered with epoll */
    bool rekey;      /* send a KeyUpdate before the next write */
    bool refused;    /* a write was refused: the same bytes must come next */
    unsigned char *out;
    size_t out_len, out_cap;
    char name[LABEL_MAX];
    char head[HEAD_MAX]; /* its messages before their texts */
    size_t head_len;
    uint32_t said;
    uint32_t *due;    /* by sender: number of the next expected message */
    uint64_t missing; /* skipped numbers */
    uint64_t last_id; /* Id of the last broadcast; 0: none yet */
    uint64_t hash;    /* hash of the received messages, in order */
    uint64_t *set;    /* steady: bits of the steady members that it was told of */
    uint64_t version; /* of its list */
    struct known_users latest;
    bool whole; /* `latest` is exactly the expected members */
};

struct stamp {
    unsigned sender;
    uint32_t number;
    int64_t time;
    uint64_t id;
};

/* Broadcasts that one member has received and checked, as whole frames. All other members must
 * receive the same bytes, so a comparison is enough for them. The oldest are overwritten; a member
 * that is further behind parses the frame itself. */
struct known {
    struct stamp stamp;
    uint64_t at; /* bytes kept before it; modulo PAST_SIZE its offset */
    size_t len;  /* 0: none */
};

struct past {
    struct known known[PAST_FRAMES]; /* by Id */
    unsigned char bytes[PAST_SIZE];  /* a frame that would cross the end starts at 0 instead */
    uint64_t end;
};

/* The read buffer of all members, so that its memory stays in the cache. */
struct inbox {
    unsigned char *bytes;
    size_t at, end, cap; /* the bytes from `at` to `end` are unread */
};

/* Clocks and memory usage at one moment. */
struct usage {
    int64_t wall, own_cpu, server_cpu;
    long rss_kib, threads;
};

enum act { JOINING, TALKING, ENDING };

struct load_run {
    struct load_options options;
    struct tls_context *tls;
    int epoll, timer;
    struct load_member *members; /* the steady ones, those that come and go, and the flappers */
    unsigned steady, healthy;    /* numbers of steady members, and of those that do not stall */
    unsigned places;             /* number of members that come and go */
    uint32_t *due;
    unsigned flappers; /* number of members that leave as soon as they are in */
    uint64_t *sets;
    char *message, *padding;
    struct news news;
    char accept[WS_ACCEPT_MAX];
    uint32_t random;
    struct inbox inbox;
    struct past past;

    enum act act;
    int64_t now, start, stop, last, deadline; /* last: time of the latest delivery */
    unsigned begun;                           /* members whose connection was begun */
    unsigned open, entering;                  /* connections; those not joined yet */
    unsigned whole, stalled_closed;
    uint64_t churned, came, went, visits, flaps;
    uint64_t join_users_bytes, users_bytes; /* of messages about who is online to steady members */
    uint64_t sent, deliveries, lost, doubled, swapped, id_breaks, key_updates, errors;
    uint64_t histogram[HISTOGRAM_SIZE];
    int64_t slowest;
    bool failed, resumed; /* resumed: stalled members read again */
    struct usage before, joined, after;
};

static inline bool is_steady(const struct load_run *run, const struct load_member *m)
{
    return m->index < run->steady;
}

static inline bool is_flapper(const struct load_run *run, const struct load_member *m)
{
    return m->index >= run->steady + run->places;
}

/* All members: the steady ones, those that come and go, and the flappers. */
static inline unsigned all_members(const struct load_run *run)
{
    return run->steady + run->places + run->flappers;
}

/* Words of the set of steady members that a member was told of. */
static inline size_t set_words(const struct load_run *run)
{
    return run->steady / 64 + 1;
}

static inline bool is_healthy(const struct load_run *run, const struct load_member *m)
{
    return m->index < run->healthy;
}

/* ---- load_options.c ---- */

/* Reads the command line into `options`, which holds the defaults. Returns 0, or the exit status to
 * end with. */
int load_options_read(struct load_options *options, int argc, char **argv);

/* ---- load_report.c ---- */

/* Nanoseconds on a clock. */
int64_t report_clock(clockid_t clock);

/* Reports a fault. The first one ends the run. */
__attribute__((format(printf, 2, 3))) void report_fault(struct load_run *run, const char *format,
                                                        ...);

/* How much of a message of `len` bytes a report shows. */
int report_shown(size_t len);

/* Reads the clocks and the server's memory usage. */
struct usage report_usage(const struct load_run *run);

/* Counts a delivery that was sent at `sent_at` and arrived now. */
void report_delivery(struct load_run *run, int64_t sent_at);

/* Prints the results, as JSON or for people. */
void report_print(const struct load_run *run);

/* ---- load_member.c ---- */

/* Begins a connection of an unused member. */
void member_begin(struct load_run *run, struct load_member *m);

/* Registers the events that the member waits for with epoll. */
void member_watch(struct load_run *run, struct load_member *m);

/* Makes room for `len` bytes in the send buffer; the caller adds to out_len. NULL, and a fault,
 * when it is full. */
unsigned char *member_space(struct load_run *run, struct load_member *m, size_t len);

/* Appends a client's frame, masked (RFC 6455 §5.1), to the send buffer. */
void member_say(struct load_run *run, struct load_member *m, enum ws_opcode opcode,
                const char *payload, size_t len);

/* Writes as much of the send buffer as the socket takes. */
void member_flush(struct load_run *run, struct load_member *m);

/* Closes properly (§7.1.2); the server's Close frame or the end of the stream completes it. */
void member_leave(struct load_run *run, struct load_member *m);

/* Closes with a TCP reset, as when a line is cut. */
void member_reset(struct load_run *run, struct load_member *m);

/* The other side has ended the connection: a fault, unless it was expected. */
void member_end(struct load_run *run, struct load_member *m, const char *why);

/* Closes the connection at once. */
void member_drop(struct load_run *run, struct load_member *m);

/* ---- load_talk.c ---- */

/* Number of members that start talking; the others only answer or listen. */
unsigned talk_starters(const struct load_run *run);

/* Whether the scenario allows this sender one more message. */
bool talk_may(const struct load_run *run, const struct load_member *m);

/* Sends the member's next message: its head, the stamp, the padding. */
void talk_next(struct load_run *run, struct load_member *m);

/* Lets all starters fill their windows. */
void talk_start(struct load_run *run);

/* --rate: sends the messages whose time has come, the senders in turn. */
void talk_by_rate(struct load_run *run);

/* ---- load_check.c ---- */

/* Compares the `have` bytes at `frame` with the frame that this member must receive next, if
 * another has received it. On a match, counts the delivery and returns its length; else 0. */
size_t check_known(struct load_run *run, struct load_member *m, const unsigned char *frame,
                   size_t have);

/* Check a received message of their kind. An unexpected one is a fault. */
void check_broadcast(struct load_run *run, struct load_member *m, const char *payload, size_t len);
void verify_private(struct load_run *run, struct load_member *m, const char *payload, size_t len);

/* Reads `,"key":NUMBER` at `at`. Returns the rest, or NULL. */
const char *check_number(const char *at, const char *end, const char *key, uint64_t *number);

/* ---- load_users.c ---- */

/* Checks an OnlineUsers or Presence. */
void check_users(struct load_run *run, struct load_member *m, const char *payload, size_t len);

/* Notes whether a member's list is exactly the expected members: at first all, at the end those
 * that did not stall. */
void check_list(struct load_run *run, struct load_member *m);

/* Frees what was parsed. */
void users_free(struct load_run *run);

/* ---- load_arrive.c ---- */

/* Handles the events of a member's connection. */
void arrive_ready(struct load_run *run, struct load_member *m);

#endif
