/* SPDX-License-Identifier: MIT
 *
 * load.c - many members of one room in one thread, to measure a server and to hold it to its word.
 *
 * Connects members over TCP or TLS, lets them in by either way of docs/PROTOCOL.md, lets them talk,
 * and checks every delivery: each broadcast once at each member, numbered without a gap, in one
 * order for all; private messages at the right one only. `load --help` names the scenarios.
 *
 * A run has three acts: join (until everyone has seen the list of everyone), talk (until all that
 * was said has arrived), leave (who stalled must have been closed; the others close properly, and
 * read to the very end, so that nothing can come twice unnoticed). The first broken promise ends it.
 * With --visits there is one act: who was let in by HTTP is gone at once, and comes again.
 *
 * A delivery is not parsed as JSON: its fields are where the protocol page shows them, and the text
 * says who sent it, as which message, and when. Each text starts with such a stamp:
 *
 *     SSSSS.QQQQQQQQ.TTTTTTTTTTTTTTTT.jklmnop...   sender, number, nanoseconds; padding
 *
 * net.c does the I/O, ws.c reads the frames (RFC 6455 §5); only the mask of a client's frames
 * (§5.3) is put on here. One call goes past net.h into OpenSSL: --key-update asks the server for
 * new TLS 1.3 keys (RFC 8446 §4.6.3).
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <openssl/ssl.h>

#include "../net.h"
#include "../ws.h"

#define NANO           INT64_C(1000000000)
#define BROADCAST_HEAD "{\"msgType\":\"Broadcast\""
#define PRIVATE_HEAD   "{\"msgType\":\"PrivateMessage\""
#define USERS_HEAD     "{\"msgType\":\"OnlineUsers\",\"Users\":["
#define SWITCH_KEY     "dGhlIHNhbXBsZSBub25jZQ==" /* RFC 6455 §1.3; it need not be secret */

enum {
    MEMBERS_MAX = 99999,        /* five digits in a name */
    DUE_MAX = 64 * 1024 * 1024, /* entries of the table of numbers due: members times senders */
    NAME_LEN = 6,               /* m00000 */
    LABEL_MAX = 16,             /* with the NUL, and for the longer names of who comes and goes */
    HEAD_MAX = 128,             /* what stands before the text of a message, with its NUL */
    STAMP_LEN = 32,             /* the least size of a text */
    SIZE_MOST = 1024 * 1024,    /* the most */
    MESSAGE_MAX = 16 << 20,     /* a longer message from the server ends the run */
    OUT_MAX = 16 << 20,         /* more that one member cannot get rid of ends the run */
    CONNECT_BURST = 64,         /* connections begun before the others are looked after again */
    CONNECT_MS = 10000,         /* for one connection to be accepted */
    POLL_MS = 50,               /* how often the clock is looked at when nothing happens */
    TICK_LEAST = 50000,         /* nanoseconds between two looks at the schedule, at least */
    SHOWN_MAX = 300,            /* bytes of a message in a complaint */
    EVENTS = 256,               /* taken from epoll at once */
    HISTOGRAM_STEPS = 32,       /* buckets per power of two: 3 % wide */
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
    struct ws_reader reader;
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

static int64_t nanoseconds(clockid_t clock)
{
    struct timespec now;
    return clock_gettime(clock, &now) == 0 ? now.tv_sec * NANO + now.tv_nsec : 0;
}

/* Says what went wrong; the first time ends the run. */
__attribute__((format(printf, 2, 3))) static void fault(struct run *run, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("load: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    run->errors++;
    run->failed = true;
}

/* How much of a message is shown in a complaint. */
static int shown(size_t len)
{
    return len < SHOWN_MAX ? (int)len : SHOWN_MAX;
}

/* ---- Options ---- */

enum kind { FLAG, NUMBER, TEXT };

static const struct setting {
    const char *name;
    enum kind kind;
    size_t at;
    long least, most;
    const char *help;
} settings[] = {
    {"host", TEXT, offsetof(struct options, host), 0, 0, "server (127.0.0.1)"},
    {"port", NUMBER, offsetof(struct options, port), 1, 65535, "its port; must be given"},
    {"path", TEXT, offsetof(struct options, path), 0, 0, "/ or /rooms/NAME (/)"},
    {"tls", FLAG, offsetof(struct options, tls), 0, 1, "over TLS; no certificate is checked"},
    {"v2", FLAG, offsetof(struct options, v2), 0, 1, "join by ragnarok.v2, not by two frames"},
    {"password", TEXT, offsetof(struct options, password), 0, 0, "of the server (none)"},
    {"members", NUMBER, offsetof(struct options, members), 1, MEMBERS_MAX, "who stay (10)"},
    {"joins-at-once", FLAG, offsetof(struct options, at_once), 0, 1, "not 64 at a time"},
    {"senders", NUMBER, offsetof(struct options, senders), 1, MEMBERS_MAX, "who talk (1)"},
    {"window", NUMBER, offsetof(struct options, window), 1, 100000,
     "own broadcasts that a sender has under way (1)"},
    {"rate", NUMBER, offsetof(struct options, rate), 1, 1000000,
     "broadcasts per second of all together, instead of a window"},
    {"messages", NUMBER, offsetof(struct options, messages), 1, UINT32_MAX, "per sender (100)"},
    {"seconds", NUMBER, offsetof(struct options, seconds), 1, 86400, "to talk, instead"},
    {"size", NUMBER, offsetof(struct options, size), STAMP_LEN, SIZE_MOST, "of a text (100)"},
    {"private", FLAG, offsetof(struct options, private), 0, 1,
     "pairs play ping-pong with private messages; nobody broadcasts"},
    {"idle", NUMBER, offsetof(struct options, idle), 1, 86400, "seconds in which nobody talks"},
    {"stall", NUMBER, offsetof(struct options, stall), 1, MEMBERS_MAX,
     "members that stop reading, and must be closed for it"},
    {"churn", NUMBER, offsetof(struct options, churn), 1, 1000,
     "joins per second of others, and leaves: half by reset, half properly"},
    {"key-update", NUMBER, offsetof(struct options, key_update), 1, UINT32_MAX,
     "new TLS keys before every such message of a sender"},
    {"visits", FLAG, offsetof(struct options, visits), 0, 1,
     "connect, upgrade, reset, and again, each member by itself; nobody joins"},
    {"pid", NUMBER, offsetof(struct options, pid), 1, INT32_MAX, "server's process, to measure"},
    {"timeout", NUMBER, offsetof(struct options, timeout), 1, 86400, "seconds for all (120)"},
    {"json", FLAG, offsetof(struct options, json), 0, 1, "report one line of JSON"},
};

enum { SETTINGS = sizeof(settings) / sizeof(*settings) };

static void print_help(void)
{
    puts("usage: load --port PORT [OPTION...]\n"
         "Exit status: 0 all was well, 1 a promise was broken, 2 usage.\n");
    for (const struct setting *s = settings; s < settings + SETTINGS; s++)
        printf("  --%-13s %-2s %s\n", s->name, s->kind == FLAG ? "" : "X", s->help);
}

static bool set_option(struct options *options, const struct setting *setting, const char *text)
{
    char *at = (char *)options + setting->at, *end = NULL;
    long number = 1;
    if (setting->kind == TEXT) {
        memcpy(at, &text, sizeof(text));
        return true;
    }
    if (setting->kind == NUMBER) {
        errno = 0;
        number = strtol(text, &end, 10);
        if (errno || end == text || *end || number < setting->least || number > setting->most) {
            fprintf(stderr, "load: --%s takes a number from %ld to %ld, not '%s'\n", setting->name,
                    setting->least, setting->most, text);
            return false;
        }
    }
    memcpy(at, &number, sizeof(number));
    return true;
}

/* What no single option can know. Returns the complaint, or NULL. */
static const char *check_options(const struct options *o)
{
    if (!o->port)
        return "--port must be given";
    if (o->senders + o->stall > o->members)
        return "more senders and stalled members than --members";
    if (o->members * o->senders > DUE_MAX)
        return "too many members times senders for the memory of this program";
    if (o->private && (o->members % 2 || o->stall))
        return "--private takes an even number of members, and nobody stalled";
    if (o->private + (o->rate > 0) + (o->idle > 0) > 1)
        return "only one of --private, --rate and --idle";
    if (o->visits && (o->private || o->rate || o->idle || o->stall || o->churn || !o->seconds))
        return "--visits takes --seconds, and no other scenario";
    if (o->key_update && !o->tls)
        return "--key-update needs --tls";
    if (o->v2 && strpbrk(o->password, "\"\\"))
        return "--password goes into JSON as it is: no \" and no \\ with --v2";
    return NULL;
}

/* Scenarios are told apart by numbers alone from here on. */
static void complete_options(struct options *o)
{
    if (o->idle)
        o->seconds = o->idle;
    if (o->idle || o->visits)
        o->senders = 0;
    if (o->private)
        o->senders = 1; /* each member has one partner whose messages are counted */
    if (!o->messages && !o->seconds)
        o->messages = 100;
}

/* Returns 0, or the exit status to end with. */
static int read_options(struct options *options, int argc, char **argv)
{
    struct option longs[SETTINGS + 2] = {{"help", no_argument, NULL, SETTINGS}};
    int index;
    for (int i = 0; i < SETTINGS; i++)
        longs[i + 1] = (struct option){settings[i].name, settings[i].kind != FLAG, NULL, i};
    while ((index = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        if (index == SETTINGS) {
            print_help();
            exit(0);
        }
        if (index == '?' || !set_option(options, &settings[index], optarg))
            return 2;
    }
    const char *wrong = optind < argc ? "no argument without -- is known" : check_options(options);
    if (wrong) {
        fprintf(stderr, "load: %s; --help tells more\n", wrong);
        return 2;
    }
    complete_options(options);
    return 0;
}

/* ---- Measuring ---- */

/* Memory and threads of the server, as proc(5) has them. */
static void read_status(long pid, struct usage *usage)
{
    char path[64], line[256];
    snprintf(path, sizeof(path), "/proc/%ld/status", pid);
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof(line), file)) {
        if (strncmp(line, "VmRSS:", 6) == 0)
            usage->rss_kib = strtol(line + 6, NULL, 10);
        else if (strncmp(line, "Threads:", 8) == 0)
            usage->threads = strtol(line + 8, NULL, 10);
    }
    if (file)
        fclose(file);
}

/* The CPU clock of a process counts user and system time of all its threads, ended ones too, in
 * nanoseconds; /proc/PID/stat has the same in ticks of ten milliseconds. */
static struct usage take_usage(const struct run *run)
{
    struct usage usage = {.wall = nanoseconds(CLOCK_MONOTONIC),
                          .own_cpu = nanoseconds(CLOCK_PROCESS_CPUTIME_ID)};
    clockid_t clock;
    if (run->options.pid && clock_getcpuclockid((pid_t)run->options.pid, &clock) == 0) {
        usage.server_cpu = nanoseconds(clock);
        read_status(run->options.pid, &usage);
    }
    return usage;
}

/* Values below HISTOGRAM_STEPS have a bucket each; above, each power of two has as many. */
static unsigned bucket_of(uint64_t value)
{
    if (value < HISTOGRAM_STEPS)
        return (unsigned)value;
    unsigned shift = 63 - 5 - (unsigned)__builtin_clzll(value);
    return (shift + 1) * HISTOGRAM_STEPS + (unsigned)(value >> shift) % HISTOGRAM_STEPS;
}

static uint64_t bucket_end(unsigned bucket)
{
    if (bucket < HISTOGRAM_STEPS)
        return bucket;
    unsigned shift = bucket / HISTOGRAM_STEPS - 1;
    return ((uint64_t)(HISTOGRAM_STEPS + bucket % HISTOGRAM_STEPS + 1) << shift) - 1;
}

static void record(struct run *run, int64_t sent_at)
{
    int64_t delay = run->now > sent_at ? run->now - sent_at : 0;
    run->histogram[bucket_of((uint64_t)delay)]++;
    if (delay > run->slowest)
        run->slowest = delay;
    run->deliveries++;
    run->last = run->now;
}

/* The delay in microseconds that `share` of all deliveries did not exceed. */
static double percentile(const struct run *run, double share)
{
    double wanted = share * (double)run->deliveries, seen = 0;
    for (unsigned i = 0; i < HISTOGRAM_SIZE; i++) {
        seen += (double)run->histogram[i];
        if (seen >= wanted && seen > 0) {
            int64_t end = (int64_t)bucket_end(i);
            return (double)(end < run->slowest ? end : run->slowest) / 1000;
        }
    }
    return 0;
}

/* ---- A member's connection ---- */

static bool is_steady(const struct run *run, const struct member *m)
{
    return m->index < run->steady;
}

static bool is_healthy(const struct run *run, const struct member *m)
{
    return m->index < run->healthy;
}

/* Tells epoll what the member waits for. */
static void watch(struct run *run, struct member *m)
{
    int wants = m->stream.read_wants; /* poll(2) and epoll(7) name events alike */
    if (m->out_len)
        wants |= m->stream.write_wants;
    uint32_t events = m->state == STALLED && !run->resumed ? 0 : (uint32_t)wants;
    if (events == m->events)
        return;
    struct epoll_event event = {.events = events, .data.ptr = m};
    if (epoll_ctl(run->epoll, EPOLL_CTL_MOD, m->stream.fd, &event) < 0)
        fault(run, "epoll_ctl: %s", strerror(errno));
    m->events = events;
}

/* Ends the connection here and now. */
static void drop(struct run *run, struct member *m)
{
    if (m->state == SECURING || m->state == ASKING || m->state == ENTERING)
        run->entering--;
    if (m->whole)
        run->whole--;
    m->whole = false;
    m->state = GONE;
    m->out_len = 0;
    net_close(&m->stream);
    ws_reader_fini(&m->reader);
    run->open--;
}

/* The connection has ended from outside. */
static void on_end(struct run *run, struct member *m, const char *why)
{
    if (m->state == STALLED)
        run->stalled_closed++;
    else if (m->state != LEAVING)
        fault(run, "%s was closed: %s", m->name, why);
    drop(run, m);
}

/* Makes room behind what waits to be written; NULL, and a fault, at the bound. */
static unsigned char *out_space(struct run *run, struct member *m, size_t len)
{
    size_t need = m->out_len + len;
    if (need > m->out_cap) {
        size_t cap = need < 512 ? 512 : 2 * need;
        unsigned char *out = need > OUT_MAX ? NULL : realloc(m->out, cap);
        if (!out) {
            fault(run, "%s cannot get rid of %zu bytes", m->name, need);
            return NULL;
        }
        m->out = out;
        m->out_cap = cap;
    }
    return m->out + m->out_len;
}

/* New keys for both directions. Not between a refused write and its repetition. */
static void update_keys(struct run *run, struct member *m)
{
    if (m->refused)
        return;
    if (SSL_key_update(m->stream.ssl, SSL_KEY_UPDATE_REQUESTED) == 1)
        run->key_updates++;
    else
        fault(run, "%s cannot update its keys: no TLS 1.3?", m->name);
    m->rekey = false;
}

/* Writes what waits, as far as it goes. That a connection is over is for receive to find out: it
 * may still have to read why. */
static void flush(struct run *run, struct member *m)
{
    size_t done = 0;
    if (m->rekey && m->out_len)
        update_keys(run, m);
    m->refused = false;
    while (done < m->out_len && !m->refused) {
        ssize_t n = net_write(&m->stream, m->out + done, m->out_len - done);
        if (n > 0)
            done += (size_t)n;
        else if (errno == EAGAIN)
            m->refused = true;
        else
            done = m->out_len;
    }
    m->out_len -= done;
    if (done && m->out_len)
        memmove(m->out, m->out + done, m->out_len);
}

/* xorshift32: a mask has to differ, here it need not surprise (RFC 6455 §10.3 is about others). */
static uint32_t next_random(struct run *run)
{
    run->random ^= run->random << 13;
    run->random ^= run->random >> 17;
    run->random ^= run->random << 5;
    return run->random;
}

/* Copies a payload and puts the mask on it (§5.3). */
static void mask(unsigned char *to, const char *from, size_t len, const unsigned char key[4])
{
    uint64_t wide, word;
    memcpy(&wide, key, 4);
    memcpy((char *)&wide + 4, key, 4);
    size_t i = 0;
    for (; len - i >= sizeof(word); i += sizeof(word)) {
        memcpy(&word, from + i, sizeof(word));
        word ^= wide;
        memcpy(to + i, &word, sizeof(word));
    }
    for (; i < len; i++)
        to[i] = (unsigned char)from[i] ^ key[i % 4];
}

/* Puts a client's frame, which is masked (§5.1), behind what waits to be written. */
static void say(struct run *run, struct member *m, enum ws_opcode opcode, const char *payload,
                size_t len)
{
    unsigned char *at = out_space(run, m, WS_HEAD_MAX + len);
    if (!at)
        return;
    uint32_t key = next_random(run);
    size_t head = ws_write_head(at, opcode, len);
    at[1] |= 0x80;
    memcpy(at + head, &key, 4);
    mask(at + head + 4, payload, len, at + head);
    m->out_len += head + 4 + len;
}

/* ---- Talking ---- */

/* Writes a number with the sixteen digits a to p: they can be read without a branch. */
static void put_digits(char *to, uint64_t value, int digits)
{
    while (digits--) {
        to[digits] = (char)('a' + (value & 15));
        value >>= 4;
    }
}

/* Says the member's next message: its head, the stamp, the padding. */
static void talk(struct run *run, struct member *m)
{
    size_t size = (size_t)run->options.size, at = m->head_len;
    char *message = run->message;
    if (run->options.key_update && (m->said + 1) % run->options.key_update == 0) {
        flush(run, m);
        m->rekey = true;
    }
    memcpy(message, m->head, at);
    memcpy(message + at, run->padding, size);
    put_digits(message + at, m->index, 5);
    put_digits(message + at + 6, m->said, 8);
    put_digits(message + at + 15, (uint64_t)nanoseconds(CLOCK_MONOTONIC), 16);
    memcpy(message + at + size, "\"}", 2);
    say(run, m, WS_TEXT, message, at + size + 2);
    m->said++;
    run->sent++;
}

/* Whether the scenario lets this sender say one more. */
static bool may_talk(const struct run *run, const struct member *m)
{
    const struct options *o = &run->options;
    if (run->act != TALKING || (o->seconds && run->now >= run->stop))
        return false;
    return !o->messages || m->said < o->messages;
}

/* Who starts talking; the others only answer, or listen. */
static unsigned starters(const struct run *run)
{
    return (unsigned)(run->options.private ? run->options.members : run->options.senders);
}

static void start_talking(struct run *run)
{
    long window = run->options.private ? 1 : run->options.window;
    unsigned step = run->options.private ? 2 : 1;
    for (unsigned i = 0; i < starters(run) && !run->options.rate; i += step) {
        struct member *m = &run->members[i];
        for (long n = 0; n < window && may_talk(run, m); n++)
            talk(run, m);
        flush(run, m);
        watch(run, m);
    }
}

/* --rate: says what is due by now, the senders in turn. */
static void keep_rate(struct run *run)
{
    const struct options *o = &run->options;
    while (!run->failed && run->now >= run->start + (int64_t)run->sent * NANO / o->rate) {
        struct member *m = &run->members[run->sent % (uint64_t)o->senders];
        if (!may_talk(run, m))
            return;
        talk(run, m);
        flush(run, m);
        watch(run, m);
    }
}

/* ---- Checking what comes ---- */

/* Reads what put_digits wrote; false when a digit is none. */
static bool take_digits(const char *from, int digits, uint64_t *value)
{
    unsigned all = 0;
    *value = 0;
    for (int i = 0; i < digits; i++) {
        unsigned digit = (unsigned char)from[i] - (unsigned)'a';
        *value = *value << 4 | digit;
        all |= digit;
    }
    return all < 16;
}

static bool take_stamp(const char *text, struct stamp *stamp)
{
    uint64_t sender, number, time;
    bool good = take_digits(text, 5, &sender);
    good &= take_digits(text + 6, 8, &number);
    good &= take_digits(text + 15, 16, &time);
    stamp->sender = (unsigned)sender;
    stamp->number = (uint32_t)number;
    stamp->time = (int64_t)time;
    return good && text[5] == '.' && text[14] == '.';
}

/* Reads `,"key":NUMBER` at `at`. Returns what follows, or NULL. */
static const char *take_number(const char *at, const char *end, const char *key, uint64_t *number)
{
    size_t len = strlen(key);
    if ((size_t)(end - at) < len || memcmp(at, key, len) != 0)
        return NULL;
    const char *digits = at += len;
    uint64_t value = 0;
    for (; at < end && *at >= '0' && *at <= '9'; at++)
        value = value * 10 + (uint64_t)(*at - '0');
    *number = value;
    return at > digits ? at : NULL;
}

/* The text of the right size with its stamp and padding whole, and behind it only what the server
 * adds: `Id` (where `id` says so) and `Time`. */
static bool take_text(const struct run *run, const char *text, const char *end, bool id,
                      struct stamp *stamp)
{
    size_t size = (size_t)run->options.size;
    uint64_t time;
    if ((size_t)(end - text) <= size || !take_stamp(text, stamp) || text[size] != '"' ||
        memcmp(text + STAMP_LEN, run->padding + STAMP_LEN, size - STAMP_LEN) != 0)
        return false;
    const char *at = text + size + 1;
    if (id)
        at = take_number(at, end, ",\"Id\":", &stamp->id);
    if (at)
        at = take_number(at, end, ",\"Time\":", &time);
    return at && end - at == 1 && *at == '}';
}

/* Compares the number of a message with the one due. One that comes late had been taken for lost.
 * Returns false for one that had come before. */
static bool track(struct run *run, struct member *m, uint32_t *due, uint32_t number)
{
    if (number >= *due) {
        run->lost += number - *due;
        m->missing += number - *due;
        *due = number + 1;
    } else if (m->missing) {
        m->missing--;
        run->lost--;
        run->swapped++;
    } else {
        run->doubled++;
        return false;
    }
    return true;
}

/* Ids are consecutive, and all members see the same sequence of (Id, sender, number). */
static void follow(struct run *run, struct member *m, const struct stamp *stamp)
{
    if (m->last_id && stamp->id != m->last_id + 1)
        run->id_breaks++;
    m->last_id = stamp->id;
    m->hash = (m->hash ^ stamp->id) * UINT64_C(0x9E3779B97F4A7C15);
    m->hash ^= m->hash >> 29;
    m->hash =
        (m->hash ^ ((uint64_t)stamp->sender << 32 | stamp->number)) * UINT64_C(0xBF58476D1CE4E5B9);
    m->hash ^= m->hash >> 32;
}

static void on_broadcast(struct run *run, struct member *m, const char *payload, size_t len)
{
    struct stamp stamp = {0};
    size_t head_len = run->members[0].head_len; /* the same for all senders */
    if (len < head_len || !take_text(run, payload + head_len, payload + len, true, &stamp) ||
        stamp.sender >= (unsigned)run->options.senders || run->options.private ||
        memcmp(payload, run->members[stamp.sender].head, head_len) != 0) {
        fault(run, "%s got what nobody sent: %.*s", m->name, shown(len), payload);
        return;
    }
    follow(run, m, &stamp);
    if (!is_healthy(run, m) || !track(run, m, &m->due[stamp.sender], stamp.number))
        return;
    record(run, stamp.time);
    if (stamp.sender == m->index && !run->options.rate && may_talk(run, m))
        talk(run, m);
}

/* Members 0 and 1 are partners, 2 and 3, and so on; the even one serves, the odd one returns. */
static void on_private(struct run *run, struct member *m, const char *payload, size_t len)
{
    struct stamp stamp = {0};
    char source[LABEL_MAX + 16];
    unsigned partner = m->index ^ 1;
    const char *text = memmem(payload, len, "\"text\":\"", 8);
    int source_len = snprintf(source, sizeof(source), "\"SrcUser\":\"m%05u\"", partner);
    if (!run->options.private || !is_steady(run, m) || !text ||
        !take_text(run, text + 8, payload + len, false, &stamp) || stamp.sender != partner ||
        !memmem(payload, (size_t)(text - payload), source, (size_t)source_len)) {
        fault(run, "%s got a stray message: %.*s", m->name, shown(len), payload);
        return;
    }
    if (!track(run, m, m->due, stamp.number))
        return;
    record(run, stamp.time);
    if (m->index % 2 || may_talk(run, m))
        talk(run, m);
}

/* Counts one name of an OnlineUsers. */
static void count_name(const struct run *run, struct presence *p, const char *name, size_t len)
{
    unsigned index = 0;
    p->users++;
    if (len != NAME_LEN || name[0] != 'm')
        return;
    for (size_t i = 1; i < len; i++) {
        if (name[i] < '0' || name[i] > '9')
            return;
        index = index * 10 + (unsigned)(name[i] - '0');
    }
    p->members += index < run->steady;
    p->healthy += index < run->healthy;
}

/* Negative if name `a` comes before `b`, by code points. */
static int compare(const char *a, size_t a_len, const char *b, size_t b_len)
{
    int order = memcmp(a, b, a_len < b_len ? a_len : b_len);
    return order ? order : (a_len > b_len) - (a_len < b_len);
}

/* Reads the names behind `[`; each must be greater than the one before. */
static void read_users(const struct run *run, struct presence *p, const char *at, const char *end)
{
    const char *before = "", *quote;
    size_t before_len = 0;
    while (at < end && *at == '"' && (quote = memchr(at + 1, '"', (size_t)(end - at - 1)))) {
        const char *name = at + 1;
        size_t len = (size_t)(quote - name);
        if (compare(before, before_len, name, len) >= 0)
            p->wrong = "is not sorted";
        count_name(run, p, name, len);
        before = name;
        before_len = len;
        at = quote + 1;
        if (at < end && *at == ',')
            at++;
    }
    if (end - at != 2 || memcmp(at, "]}", 2) != 0)
        p->wrong = "is not a list of names";
}

/* The same list goes to many members: it is read once. */
static const struct presence *read_list(struct run *run, const char *payload, size_t len)
{
    if (run->list && run->list_len == len && memcmp(run->list, payload, len) == 0)
        return &run->presence;
    char *list = realloc(run->list, len);
    run->presence = (struct presence){0};
    if (!list) {
        run->presence.wrong = "does not fit into memory";
        return &run->presence;
    }
    run->list = memcpy(list, payload, len);
    run->list_len = len;
    read_users(run, &run->presence, payload + strlen(USERS_HEAD), payload + len);
    return &run->presence;
}

/* Notes whether a member's latest list names exactly those who should be there: at first all
 * members, at last those that did not stall. */
static void judge_list(struct run *run, struct member *m)
{
    const struct presence *p = &m->latest;
    bool whole = run->act == ENDING ? p->users == run->healthy && p->healthy == run->healthy
                                    : p->users == run->steady && p->members == run->steady;
    run->whole += (unsigned)whole - (unsigned)m->whole;
    m->whole = whole;
}

static void on_users(struct run *run, struct member *m, const char *payload, size_t len)
{
    const struct presence *p = read_list(run, payload, len);
    if (p->wrong)
        fault(run, "%s got a list that %s: %.*s", m->name, p->wrong, shown(len), payload);
    if (m->state == ENTERING) {
        m->state = PRESENT;
        run->entering--;
        run->came += !is_steady(run, m);
    }
    if (m->state != PRESENT || !is_steady(run, m))
        return;
    if (run->act != JOINING && p->healthy != run->healthy)
        fault(run, "%s got a list in which a member is missing", m->name);
    m->latest = *p;
    judge_list(run, m);
}

/* ---- Coming in ---- */

static void send_request(struct run *run, struct member *m)
{
    const struct options *o = &run->options;
    char request[1024];
    int len =
        snprintf(request, sizeof(request),
                 "GET %s HTTP/1.1\r\nHost: %s:%ld\r\nUpgrade: websocket\r\n"
                 "Connection: Upgrade\r\nSec-WebSocket-Key: " SWITCH_KEY "\r\n"
                 "Sec-WebSocket-Version: 13\r\n%s\r\n",
                 o->path, o->host, o->port, o->v2 ? "Sec-WebSocket-Protocol: ragnarok.v2\r\n" : "");
    if (len < 0 || (size_t)len >= sizeof(request)) {
        fault(run, "--host and --path are too long");
        return;
    }
    unsigned char *at = out_space(run, m, (size_t)len);
    if (!at)
        return;
    memcpy(at, request, (size_t)len);
    m->out_len += (size_t)len;
    m->state = ASKING;
}

/* Way 2: answers Hello. */
static void send_join(struct run *run, struct member *m)
{
    char join[1024];
    int len =
        snprintf(join, sizeof(join), "{\"msgType\":\"Join\",\"Password\":\"%s\",\"Name\":\"%s\"}",
                 run->options.password, m->name);
    if (len > 0 && (size_t)len < sizeof(join))
        say(run, m, WS_TEXT, join, (size_t)len);
    else
        fault(run, "--password is too long");
}

/* --visits: all is done. The reset leaves no TIME_WAIT: the port is wanted again. */
static void end_visit(struct run *run, struct member *m)
{
    run->visits++;
    run->last = run->now;
    net_abandon(&m->stream);
    drop(run, m);
}

/* Reads the head of the response; frames may stand right behind it. */
static void take_head(struct run *run, struct member *m)
{
    unsigned char *head;
    size_t len = ws_peek(&m->reader, &head);
    const unsigned char *end = memmem(head, len, "\r\n\r\n", 4);
    if (!end)
        return;
    size_t head_len = (size_t)(end - head) + 4;
    if (memcmp(head, "HTTP/1.1 101 ", 13) != 0 ||
        !memmem(head, head_len, run->accept, strlen(run->accept)) ||
        (run->options.v2 && !memmem(head, head_len, "ragnarok.v2", 11))) {
        fault(run, "%s was not let in: %.*s", m->name, shown(head_len - 4), (char *)head);
        return;
    }
    ws_skip(&m->reader, head_len);
    m->state = ENTERING;
    if (run->options.visits)
        end_visit(run, m);
    if (run->options.v2 || run->options.visits)
        return;
    say(run, m, WS_TEXT, run->options.password, strlen(run->options.password));
    say(run, m, WS_TEXT, m->name, strlen(m->name));
}

/* Begins a connection for an empty place. */
static void begin(struct run *run, struct member *m)
{
    char error[NET_ERROR_MAX];
    const struct options *o = &run->options;
    int fd = net_connect(o->host, (int)o->port, CONNECT_MS, error);
    if (fd < 0) {
        fault(run, "%s cannot connect: %s", m->name, error);
        return;
    }
    if (net_open(&m->stream, fd, run->tls) < 0) {
        fault(run, "%s: out of memory", m->name);
        return;
    }
    ws_reader_init(&m->reader, MESSAGE_MAX, false);
    m->state = SECURING;
    m->events = EPOLLOUT; /* at once: net_connect has waited */
    m->last_id = 0;
    m->rekey = m->refused = false;
    run->open++;
    run->entering++;
    struct epoll_event event = {.events = m->events, .data.ptr = m};
    if (epoll_ctl(run->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        fault(run, "epoll_ctl: %s", strerror(errno));
}

/* Begins more connections. Returns whether there are yet more to begin at once. */
static bool begin_some(struct run *run)
{
    for (int i = 0; i < CONNECT_BURST && run->begun < run->steady && !run->failed; i++) {
        if (!run->options.at_once && run->entering >= CONNECT_BURST)
            return false;
        begin(run, &run->members[run->begun++]);
    }
    return run->begun < run->steady;
}

/* ---- What arrives ---- */

static bool starts_with(const char *payload, size_t len, const char *start)
{
    size_t start_len = strlen(start);
    return len >= start_len && memcmp(payload, start, start_len) == 0;
}

static void on_text(struct run *run, struct member *m, const char *payload, size_t len)
{
    if (m->state == STALLED)
        return;
    if (starts_with(payload, len, BROADCAST_HEAD)) {
        if (m->state != ENTERING)
            on_broadcast(run, m, payload, len);
    } else if (starts_with(payload, len, USERS_HEAD)) {
        on_users(run, m, payload, len);
    } else if (starts_with(payload, len, PRIVATE_HEAD)) {
        on_private(run, m, payload, len);
    } else if (m->state == ENTERING && starts_with(payload, len, "{\"msgType\":\"Hello\"")) {
        send_join(run, m);
    } else if (m->state != ENTERING || (!starts_with(payload, len, "{\"ServerName\"") &&
                                        !starts_with(payload, len, "{\"msgType\":\"Joined\""))) {
        fault(run, "%s got %.*s", m->name, shown(len), payload);
    }
}

static void on_event(struct run *run, struct member *m, const struct ws_event *event)
{
    const char *payload = (const char *)event->payload;
    char why[160];
    switch (event->opcode) {
    case WS_TEXT:
        on_text(run, m, payload, event->len);
        break;
    case WS_PING:
        say(run, m, WS_PONG, payload, event->len);
        break;
    case WS_CLOSE:
        snprintf(why, sizeof(why), "%d %.*s", event->code, (int)event->len, payload);
        on_end(run, m, why);
        break;
    case WS_BINARY:
    case WS_PONG:
    case WS_CONTINUATION:
        fault(run, "%s got a frame that nobody asked for", m->name);
    }
}

static void take_frames(struct run *run, struct member *m)
{
    struct ws_event event;
    int result = 1;
    while (m->state != GONE && (result = ws_next(&m->reader, &event)) > 0)
        on_event(run, m, &event);
    if (m->state != GONE && result < 0)
        fault(run, "%s got a frame that breaks a rule: %s", m->name, event.why);
}

/* Reads all there is. */
static void receive(struct run *run, struct member *m)
{
    do {
        unsigned char *space;
        size_t room = ws_space(&m->reader, &space);
        ssize_t n = room ? net_read(&m->stream, space, room) : -1;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0) {
            on_end(run, m, n == 0 ? "end of stream" : strerror(errno));
            return;
        }
        run->now = nanoseconds(CLOCK_MONOTONIC);
        ws_fed(&m->reader, (size_t)n);
        if (m->state == ASKING)
            take_head(run, m);
        if (m->state >= ENTERING)
            take_frames(run, m);
    } while (m->state != GONE && !m->stream.drained && !run->failed);
}

static void on_ready(struct run *run, struct member *m)
{
    if (m->state == SECURING) {
        int result = net_handshake(&m->stream);
        if (result < 0)
            on_end(run, m, "the TLS handshake failed");
        else if (result > 0)
            send_request(run, m);
    } else if (m->state != GONE) {
        receive(run, m);
    }
    if (m->state == GONE) {
        if (run->options.visits && run->now < run->stop && !run->failed)
            begin(run, m);
        return;
    }
    ws_rest(&m->reader); /* the next member reads into the same, still warm, memory */
    flush(run, m);
    watch(run, m);
}

/* ---- Going ---- */

/* Leaves properly (§7.1.2); the server's Close frame or the end of the stream completes it. */
static void leave(struct run *run, struct member *m)
{
    static const unsigned char normal[2] = {WS_CODE_NORMAL >> 8, WS_CODE_NORMAL & 0xFF};
    say(run, m, WS_CLOSE, (const char *)normal, sizeof(normal));
    m->state = LEAVING;
    flush(run, m);
    watch(run, m);
}

/* Leaves as a line does that was cut: with a TCP reset. */
static void reset(struct run *run, struct member *m)
{
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    setsockopt(m->stream.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    drop(run, m);
}

/* Of those who come and go every second one leaves properly, and not before it has come in; the
 * others leave by reset, wherever they are. */
static void part(struct run *run, struct member *m)
{
    bool polite = m->index % 2;
    bool present = m->state == PRESENT;
    if (m->state == GONE || m->state == LEAVING)
        return;
    if (polite && !present && run->act == TALKING)
        return;
    run->went++;
    if (polite && present)
        leave(run, m);
    else
        reset(run, m);
}

/* --churn: at each step one place is taken, and the one taken half the table ago is left. A place
 * that is still held by then sits out a round. */
static void keep_churn(struct run *run)
{
    const int64_t step = NANO / run->options.churn;
    while (!run->failed && run->now >= run->start + (int64_t)run->churned * step) {
        struct member *comer = &run->members[run->steady + run->churned % run->places];
        part(run, &run->members[run->steady + (run->churned + run->places / 2) % run->places]);
        if (comer->state == GONE) {
            snprintf(comer->name, sizeof(comer->name), "z%" PRIu64, run->churned);
            begin(run, comer);
        }
        run->churned++;
    }
}

/* ---- The three acts ---- */

static bool all_joined(const struct run *run)
{
    return run->whole == run->steady;
}

static bool all_said(const struct run *run)
{
    const struct options *o = &run->options;
    uint64_t talkers = o->private ? run->steady : (uint64_t)o->senders;
    if (o->seconds && run->now >= run->stop)
        return true;
    return o->messages && run->sent == (uint64_t)o->messages * talkers;
}

/* How many deliveries all that was said has to make. */
static uint64_t expected(const struct run *run)
{
    return run->options.private ? run->sent : run->sent * run->healthy;
}

static bool all_arrived(const struct run *run)
{
    return all_said(run) && run->deliveries + run->lost >= expected(run);
}

/* Who came and went has gone, and who stalled is no longer in the list. */
static bool all_calm(const struct run *run)
{
    return run->whole == run->healthy && run->open + run->stalled_closed == run->steady;
}

static bool all_stalled_closed(const struct run *run)
{
    return run->stalled_closed == run->steady - run->healthy;
}

static bool all_left(const struct run *run)
{
    return run->open == 0;
}

static bool all_visited(const struct run *run)
{
    return run->now >= run->stop && all_left(run);
}

/* Does what is due by the clock. Returns whether more is due at once. */
static bool keep_schedule(struct run *run)
{
    if (run->act == JOINING)
        return begin_some(run);
    if (run->act == TALKING && run->options.rate)
        keep_rate(run);
    if (run->act == TALKING && run->options.churn)
        keep_churn(run);
    return false;
}

static void time_is_up(struct run *run, const char *what)
{
    fault(run,
          "time is up before %s: %u begun, %u open, %u entering, %u with the right list, "
          "%" PRIu64 " sent, %" PRIu64 " of %" PRIu64 " delivered, %u stalled ones closed",
          what, run->begun, run->open, run->entering, run->whole, run->sent, run->deliveries,
          expected(run), run->stalled_closed);
    if (run->act == TALKING)
        run->lost = expected(run) - run->deliveries;
}

static void run_until(struct run *run, bool (*done)(const struct run *), const char *what)
{
    struct epoll_event events[EVENTS];
    while (!run->failed && !done(run)) {
        bool more = keep_schedule(run);
        int n = epoll_wait(run->epoll, events, EVENTS, more ? 0 : POLL_MS);
        run->now = nanoseconds(CLOCK_MONOTONIC);
        for (int i = 0; i < n && !run->failed; i++)
            if (events[i].data.ptr)
                on_ready(run, events[i].data.ptr);
        if (run->now > run->deadline)
            time_is_up(run, what);
    }
}

/* Makes the timer tick as often as the schedule has something. It is edge-triggered, so nobody
 * has to read it. */
static void set_timer(struct run *run)
{
    const struct options *o = &run->options;
    long per_second = o->rate > o->churn ? o->rate : o->churn;
    if (!per_second)
        return;
    int64_t step = NANO / per_second > TICK_LEAST ? NANO / per_second : TICK_LEAST;
    struct timespec every = {.tv_sec = step / NANO, .tv_nsec = step % NANO};
    struct itimerspec timer = {.it_interval = every, .it_value = every};
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = NULL};
    if (timerfd_settime(run->timer, 0, &timer, NULL) < 0 ||
        epoll_ctl(run->epoll, EPOLL_CTL_ADD, run->timer, &event) < 0)
        fault(run, "timer: %s", strerror(errno));
}

/* --visits: each that has left comes again (on_ready), until the time is up. */
static void act_visit(struct run *run)
{
    run->joined = run->before;
    run->start = run->now = run->last = nanoseconds(CLOCK_MONOTONIC);
    run->stop = run->start + run->options.seconds * NANO;
    for (unsigned i = 0; i < run->steady && !run->failed; i++)
        begin(run, &run->members[i]);
    run->act = TALKING;
    run_until(run, all_visited, "all have left");
    run->after = take_usage(run);
}

static void act_talk(struct run *run)
{
    if (run->failed)
        return;
    for (unsigned i = run->healthy; i < run->steady; i++) {
        run->members[i].state = STALLED;
        watch(run, &run->members[i]);
    }
    run->act = TALKING;
    run->start = run->now = run->last = nanoseconds(CLOCK_MONOTONIC);
    run->stop = run->start + run->options.seconds * NANO;
    set_timer(run);
    start_talking(run);
    run_until(run, all_arrived, "all has arrived");
}

/* Waits until the room is as it should be. Only then do the stalled members look at what became of
 * their connections: reading again would be a cure. */
static void act_calm(struct run *run)
{
    if (run->failed)
        return;
    run->act = ENDING;
    run->whole = 0;
    for (unsigned i = 0; i < run->steady; i++) {
        run->members[i].whole = false;
        if (is_healthy(run, &run->members[i]))
            judge_list(run, &run->members[i]);
    }
    for (unsigned i = 0; i < run->places; i++)
        part(run, &run->members[run->steady + i]);
    run_until(run, all_calm, "the list is that of the healthy members");
    run->resumed = true;
    for (unsigned i = run->healthy; i < run->steady; i++)
        if (run->members[i].state == STALLED)
            watch(run, &run->members[i]);
    run_until(run, all_stalled_closed, "the stalled members are closed");
}

static void act_leave(struct run *run)
{
    for (unsigned i = 0; i < run->healthy && !run->failed; i++)
        leave(run, &run->members[i]);
    run_until(run, all_left, "all members are closed");
}

/* Says what only the sum of it all shows. */
static void judge(struct run *run)
{
    if (run->lost || run->doubled || run->swapped || run->id_breaks)
        fault(run,
              "%" PRIu64 " lost, %" PRIu64 " doubled, %" PRIu64 " swapped, %" PRIu64
              " times Ids were not consecutive",
              run->lost, run->doubled, run->swapped, run->id_breaks);
    if (run->failed)
        return;
    if (run->options.key_update && !run->key_updates)
        fault(run, "no keys were updated");
    for (unsigned i = 1; i < run->healthy; i++) {
        if (run->members[i].hash == run->members[0].hash)
            continue;
        fault(run, "%s saw another order than %s", run->members[i].name, run->members[0].name);
        return;
    }
}

static void perform(struct run *run)
{
    run->before = take_usage(run);
    run->deadline = run->before.wall + run->options.timeout * NANO;
    if (run->options.visits) {
        act_visit(run);
        return;
    }
    run_until(run, all_joined, "all have joined");
    run->joined = take_usage(run);
    act_talk(run);
    run->after = take_usage(run);
    act_calm(run);
    act_leave(run);
    judge(run);
}

/* ---- The report ---- */

static double seconds(int64_t from, int64_t to)
{
    return (double)(to - from) / (double)NANO;
}

static double ratio(double a, double b)
{
    return b > 0 ? a / b : 0;
}

/* The figures that both reports give. */
struct figures {
    double joining, talking, rate, join_busy, busy, server, per_delivery;
};

static struct figures sum_up(const struct run *run)
{
    const struct usage *a = &run->before, *b = &run->joined, *c = &run->after;
    struct figures f = {
        .joining = seconds(a->wall, b->wall),
        .talking = seconds(run->start, run->options.idle ? run->stop : run->last),
        .join_busy = ratio(seconds(a->own_cpu, b->own_cpu), seconds(a->wall, b->wall)),
        .busy = ratio(seconds(b->own_cpu, c->own_cpu), seconds(b->wall, c->wall)),
        .server = seconds(b->server_cpu, c->server_cpu),
    };
    f.rate = ratio((double)run->deliveries, f.talking);
    f.per_delivery = ratio(f.server * 1e6, (double)run->deliveries);
    return f;
}

static void report_server(const struct run *run, const struct figures *f)
{
    const struct usage *a = &run->before, *b = &run->joined, *c = &run->after;
    printf(",\"server_join_cpu_seconds\":%.6f,\"server_cpu_seconds\":%.6f,"
           "\"cpu_us_per_delivery\":%.4f,\"rss_kib_before\":%ld,\"rss_kib_joined\":%ld,"
           "\"rss_kib_after\":%ld,\"threads\":%ld",
           seconds(a->server_cpu, b->server_cpu), f->server, f->per_delivery, a->rss_kib,
           b->rss_kib, c->rss_kib, c->threads);
}

static void report_json(const struct run *run, const struct figures *f)
{
    const struct options *o = &run->options;
    printf("{\"members\":%u,\"senders\":%u,\"tls\":%s,\"size\":%ld,\"join_seconds\":%.6f,"
           "\"join_busy\":%.3f,\"sent\":%" PRIu64 ",\"deliveries\":%" PRIu64 ",\"seconds\":%.6f,"
           "\"deliveries_per_s\":%.1f,\"busy\":%.3f",
           run->steady, starters(run), o->tls ? "true" : "false", o->size, f->joining, f->join_busy,
           run->sent, run->deliveries, f->talking, f->rate, f->busy);
    printf(",\"latency_us\":{\"p50\":%.1f,\"p99\":%.1f,\"p999\":%.1f,\"max\":%.1f}",
           percentile(run, 0.5), percentile(run, 0.99), percentile(run, 0.999),
           (double)run->slowest / 1000);
    if (o->pid)
        report_server(run, f);
    printf(",\"lost\":%" PRIu64 ",\"doubled\":%" PRIu64 ",\"swapped\":%" PRIu64
           ",\"hash\":\"%016" PRIx64 "\",\"id_breaks\":%" PRIu64
           ",\"stalled_closed\":%u,\"came\":%" PRIu64 ",\"went\":%" PRIu64 ",\"visits\":%" PRIu64
           ",\"key_updates\":%" PRIu64 ",\"errors\":%" PRIu64 "}\n",
           run->lost, run->doubled, run->swapped, run->members[0].hash, run->id_breaks,
           run->stalled_closed, run->came, run->went, run->visits, run->key_updates, run->errors);
}

static void report_text(const struct run *run, const struct figures *f)
{
    printf("%u members joined in %.3f s\n%" PRIu64 " sent, %" PRIu64 " delivered in %.3f s: "
           "%.0f per second, load %.0f %% busy\n",
           run->steady, f->joining, run->sent, run->deliveries, f->talking, f->rate, 100 * f->busy);
    if (run->options.visits)
        printf("%" PRIu64 " visits, %.0f per second\n", run->visits,
               ratio((double)run->visits, f->talking));
    printf("latency p50 %.0f us, p99 %.0f us, p99.9 %.0f us, max %.0f us\n", percentile(run, 0.5),
           percentile(run, 0.99), percentile(run, 0.999), (double)run->slowest / 1000);
    if (run->options.pid)
        printf("server: %.3f us of CPU per delivery, %ld KiB before, %ld KiB after\n",
               f->per_delivery, run->before.rss_kib, run->after.rss_kib);
}

/* ---- Beginning and end ---- */

/* Each member needs a descriptor; the system's hard limit is as far as one can go. */
static void raise_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* Gives a member its name, and what stands before its texts. */
static void dress(const struct run *run, struct member *m, unsigned index)
{
    m->index = index;
    m->stream.fd = -1;
    snprintf(m->name, sizeof(m->name), "m%05u", index);
    int len =
        run->options.private
            ? snprintf(m->head, sizeof(m->head),
                       PRIVATE_HEAD ",\"SrcUser\":\"%s\",\"TgtUser\":\"m%05u\",\"text\":\"",
                       m->name, index ^ 1)
            : snprintf(m->head, sizeof(m->head),
                       BROADCAST_HEAD ",\"SrcUser\":\"%s\",\"TgtUser\":\"\",\"text\":\"", m->name);
    m->head_len = (size_t)len;
    if (index < run->steady)
        m->due = run->due + (size_t)index * (size_t)run->options.senders;
}

/* Returns 0, or -1 and a fault. run_close is due in either case. */
static int run_open(struct run *run)
{
    const struct options *o = &run->options;
    size_t size = (size_t)o->size;
    run->steady = (unsigned)o->members;
    run->healthy = (unsigned)(o->members - o->stall);
    run->places = o->churn ? (unsigned)o->churn + 2 : 0;
    run->random = (uint32_t)nanoseconds(CLOCK_MONOTONIC) | 1;
    run->epoll = epoll_create1(EPOLL_CLOEXEC);
    run->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    run->members = calloc(run->steady + run->places, sizeof(*run->members));
    run->due = calloc(run->steady, (size_t)(o->senders ? o->senders : 1) * sizeof(*run->due));
    run->message = malloc(HEAD_MAX + size + 2);
    run->padding = malloc(size);
    run->tls = o->tls ? net_tls_client() : NULL;
    if (run->epoll < 0 || run->timer < 0 || !run->members || !run->due || !run->message ||
        !run->padding || (o->tls && !run->tls)) {
        fault(run, "cannot start: %s", strerror(errno));
        return -1;
    }
    for (size_t i = 0; i < size; i++)
        run->padding[i] = (char)('a' + i % 23); /* a shifted text does not match */
    run->padding[5] = run->padding[14] = run->padding[31] = '.';
    for (unsigned i = 0; i < run->steady + run->places; i++)
        dress(run, &run->members[i], i);
    ws_accept_key(SWITCH_KEY, run->accept);
    return 0;
}

static void run_close(struct run *run)
{
    for (unsigned i = 0; run->members && i < run->steady + run->places; i++) {
        if (run->members[i].state != GONE)
            drop(run, &run->members[i]);
        free(run->members[i].out);
    }
    net_tls_free(run->tls);
    close(run->timer);
    close(run->epoll);
    free(run->padding);
    free(run->message);
    free(run->list);
    free(run->due);
    free(run->members);
}

int main(int argc, char **argv)
{
    static struct run run = {.options = {.host = "127.0.0.1",
                                         .path = "/",
                                         .password = "",
                                         .members = 10,
                                         .senders = 1,
                                         .window = 1,
                                         .size = 100,
                                         .timeout = 120}};
    int status = read_options(&run.options, argc, argv);
    if (status)
        return status;
    signal(SIGPIPE, SIG_IGN);
    raise_limit();
    if (run_open(&run) == 0) {
        perform(&run);
        struct figures figures = sum_up(&run);
        if (run.options.json)
            report_json(&run, &figures);
        else
            report_text(&run, &figures);
    }
    status = run.failed;
    run_close(&run);
    return status;
}
