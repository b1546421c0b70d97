/* SPDX-License-Identifier: MIT
 *
 * load.h - what the files of the load generator share: one run, its members, and the way from a
 * byte that arrives to a figure. One thread, no locks. The files, from the ground up; each calls
 * only those before it:
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

#include "../net.h"
#include "../ws.h"

#define NANO           INT64_C(1000000000)
#define BROADCAST_HEAD "{\"msgType\":\"Broadcast\""
#define PRIVATE_HEAD   "{\"msgType\":\"PrivateMessage\""
#define USERS_HEAD     "{\"msgType\":\"OnlineUsers\",\"Users\":["
#define SWITCH_KEY     "dGhlIHNhbXBsZSBub25jZQ==" /* RFC 6455 §1.3; it need not be secret */

enum {
    LABEL_MAX = 16,         /* a member's name with the NUL */
    HEAD_MAX = 128,         /* what stands before the text of a message, with its NUL */
    STAMP_LEN = 32,         /* the least size of a text */
    MESSAGE_MAX = 16 << 20, /* a longer message from the server ends the run */
    PAST_SIZE = 1 << 20,    /* bytes of frames kept to be compared with */
    PAST_FRAMES = 4096,     /* how many at the most */
    HISTOGRAM_STEPS = 32,   /* buckets per power of two: 3 % wide */
    HISTOGRAM_SIZE = 64 * HISTOGRAM_STEPS,
};

/* All numbers are long, so that one table can read them. */
struct options {
    const char *host, *path, *password;
    long port, tls, v2, at_once, members;
    long senders, window, rate, messages, seconds, size, private, idle;
    long stall, churn, key_update, visits;
    long pid, timeout, json;
};

enum state {
    GONE,     /* no connection */
    SECURING, /* TLS handshake */
    ASKING,   /* sent the HTTP request */
    ENTERING, /* sent password and name; what comes before the first OnlineUsers is history */
    PRESENT,
    STALLED, /* reads nothing, until the last act */
    LEAVING, /* sent Close, reads to the end */
};

/* What an OnlineUsers says. */
struct presence {
    unsigned users;   /* names in it */
    unsigned members; /* of them members that stay */
    unsigned healthy; /* of them members that do not stall */
    const char *wrong;
};

struct member {
    struct net_stream stream;
    struct ws_reader reader; /* of frames that are looked at one by one */
    unsigned char *rest;     /* the beginning of a frame that has not come whole; NULL: none */
    size_t rest_len;
    enum state state;
    unsigned index;
    uint32_t events; /* what epoll waits for */
    bool rekey;      /* new TLS keys are due before the next write */
    bool refused;    /* a write was refused: the same bytes have to come next */
    unsigned char *out;
    size_t out_len, out_cap;
    char name[LABEL_MAX];
    char head[HEAD_MAX]; /* what stands before its texts */
    size_t head_len;
    uint32_t said;
    uint32_t *due;    /* by sender: the number of the next message */
    uint64_t missing; /* numbers passed over */
    uint64_t last_id; /* 0: none seen yet */
    uint64_t hash;    /* of what came, in its order */
    struct presence latest;
    bool whole; /* `latest` names those who should be there, and nobody else */
};

struct stamp {
    unsigned sender;
    uint32_t number;
    int64_t time;
    uint64_t id;
};

/* Broadcasts that one member has read and found good, as whole frames: the same bytes are due at
 * all others, and a comparison is all that they cost. The oldest give way; who comes later than
 * that reads its own. */
struct known {
    struct stamp stamp;
    uint64_t at; /* bytes kept before it, modulo PAST_SIZE its place */
    size_t len;  /* 0: none */
};

struct past {
    struct known known[PAST_FRAMES]; /* by Id */
    unsigned char bytes[PAST_SIZE];  /* no frame goes beyond the end: it starts anew */
    uint64_t end;
};

/* Where every member reads into: its memory stays in the cache. */
struct inbox {
    unsigned char *bytes;
    size_t at, end, cap; /* what lies from `at` to `end` has not been looked at */
};

/* Clocks and memory at one moment. */
struct usage {
    int64_t wall, own_cpu, server_cpu;
    long rss_kib, threads;
};

enum act { JOINING, TALKING, ENDING };

struct run {
    struct options options;
    struct net_tls *tls;
    int epoll, timer;
    struct member *members;   /* the steady ones, then those who come and go */
    unsigned steady, healthy; /* how many stay; how many of them do not stall */
    unsigned places;          /* for those who come and go */
    uint32_t *due;
    char *message, *padding, *list; /* list: the latest OnlineUsers, and what it says */
    size_t list_len;
    struct presence presence;
    char accept[WS_ACCEPT_MAX];
    uint32_t random;
    struct inbox inbox;
    struct past past;

    enum act act;
    int64_t now, start, stop, last, deadline; /* last: when the latest delivery came */
    unsigned begun;                           /* members whose connection was begun */
    unsigned open, entering;                  /* connections; those on their way in */
    unsigned whole, stalled_closed;
    uint64_t churned, came, went, visits;
    uint64_t sent, deliveries, lost, doubled, swapped, id_breaks, key_updates, errors;
    uint64_t histogram[HISTOGRAM_SIZE];
    int64_t slowest;
    bool failed, resumed; /* resumed: who stalled reads again */
    struct usage before, joined, after;
};

static inline bool is_steady(const struct run *run, const struct member *m)
{
    return m->index < run->steady;
}

static inline bool is_healthy(const struct run *run, const struct member *m)
{
    return m->index < run->healthy;
}

/* ---- load_options.c ---- */

/* Reads the command line into `options`, which holds the defaults. Returns 0, or the exit status to
 * end with. */
int options_read(struct options *options, int argc, char **argv);

/* ---- load_report.c ---- */

/* Nanoseconds on a clock. */
int64_t report_clock(clockid_t clock);

/* Says what went wrong; the first time ends the run. */
__attribute__((format(printf, 2, 3))) void report_fault(struct run *run, const char *format, ...);

/* How much of a message of `len` bytes is shown in a complaint. */
int report_shown(size_t len);

/* Looks at the clocks, and at the server's memory. */
struct usage report_usage(const struct run *run);

/* Counts a delivery that was sent at `sent_at` and came now. */
void report_delivery(struct run *run, int64_t sent_at);

/* Prints what came out, as JSON or for people. */
void report_print(const struct run *run);

/* ---- load_member.c ---- */

/* Begins a connection for an empty place. */
void member_begin(struct run *run, struct member *m);

/* Tells epoll what the member waits for. */
void member_watch(struct run *run, struct member *m);

/* Makes room for `len` bytes behind what waits to be written; who fills it adds to out_len. NULL,
 * and a fault, at the bound. */
unsigned char *member_space(struct run *run, struct member *m, size_t len);

/* Puts a client's frame, which is masked (RFC 6455 §5.1), behind what waits to be written. */
void member_say(struct run *run, struct member *m, enum ws_opcode opcode, const char *payload,
                size_t len);

/* Writes what waits, as far as it goes. */
void member_flush(struct run *run, struct member *m);

/* Leaves properly (§7.1.2); the server's Close frame or the end of the stream completes it. */
void member_leave(struct run *run, struct member *m);

/* Leaves as a line does that was cut: with a TCP reset. */
void member_reset(struct run *run, struct member *m);

/* The connection has ended from outside: a fault, unless it had to. */
void member_end(struct run *run, struct member *m, const char *why);

/* Ends the connection here and now. */
void member_drop(struct run *run, struct member *m);

/* ---- load_talk.c ---- */

/* How many of the members talk by themselves; the others only answer, or listen. */
unsigned talk_starters(const struct run *run);

/* Whether the scenario lets this sender say one more. */
bool talk_may(const struct run *run, const struct member *m);

/* Says the member's next message: its head, the stamp, the padding. */
void talk_next(struct run *run, struct member *m);

/* Lets all who talk say what their windows hold. */
void talk_start(struct run *run);

/* --rate: says what is due by now, the senders in turn. */
void talk_by_rate(struct run *run);

/* ---- load_check.c ---- */

/* Looks whether the `have` bytes at `frame` begin with the very frame that is due at this member,
 * because others have had it. If so, counts the delivery and returns its length, else 0. */
size_t check_known(struct run *run, struct member *m, const unsigned char *frame, size_t have);

/* Check a message of their kind that came to a member: a fault if it is none that had to come. */
void check_broadcast(struct run *run, struct member *m, const char *payload, size_t len);
void check_private(struct run *run, struct member *m, const char *payload, size_t len);
void check_users(struct run *run, struct member *m, const char *payload, size_t len);

/* Notes whether a member's latest list names exactly those who should be there: at first all
 * members, at last those that did not stall. */
void check_list(struct run *run, struct member *m);

/* ---- load_arrive.c ---- */

/* Does what a member's connection is ready for. */
void arrive_ready(struct run *run, struct member *m);

#endif
