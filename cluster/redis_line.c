/* SPDX-License-Identifier: MIT
 *
 * redis_line.c - one connection to the engine.
 *
 * Entered by the line's own thread, except redis_line_stop. The stream is this thread's alone, so
 * its lock is not taken. Every wait has a deadline, and ends when the line is stopped.
 */
#include "cluster/redis_line.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/ascii.h"
#include "lib/authority.h"
#include "net/random.h"

enum {
    READ_BYTES = 16 * 1024,
    OUT_FIRST = 4096,
    OUT_KEPT_MAX = 1 << 20, /* a larger buffer is freed when all is sent */
    DOUBLINGS_MAX = 6,
};

void redis_line_init(struct redis_line *line, const struct redis_target *target)
{
    memset(line, 0, sizeof(*line));
    line->target = target;
    line->stream.fd = -1;
}

bool redis_line_is_up(const struct redis_line *line)
{
    return line->stream.fd >= 0;
}

void redis_line_stop(struct redis_line *line)
{
    atomic_store(&line->stopped, true);
}

/* ---- Dropping ---- */

/* The pause doubles with each line that did not last, and differs from node to node. */
static void begin_pause(struct redis_line *line)
{
    uint16_t chance = 0;
    int64_t now = net_now();
    if (line->up_since != 0 && now - line->up_since >= REDIS_STEADY_MS)
        line->failures = 0;
    unsigned doublings = line->failures < DOUBLINGS_MAX ? line->failures : DOUBLINGS_MAX;
    int64_t pause = (int64_t)REDIS_RETRY_MS << doublings;
    if (pause > REDIS_RETRY_MAX_MS)
        pause = REDIS_RETRY_MAX_MS;
    random_bytes(&chance, sizeof(chance)); /* on failure the pause is shorter: no harm */
    line->failures++;
    line->retry_at = now + pause * 3 / 4 + pause * chance / UINT16_MAX / 2;
    line->up_since = 0;
}

static void close_line(struct redis_line *line)
{
    atomic_store(&line->client, 0);
    stream_close(&line->stream);
    reply_parser_fini(&line->parser);
    line->calls = 0;
    line->out_from = line->out_len = 0;
    if (line->out_cap > OUT_KEPT_MAX) {
        free(line->out);
        line->out = NULL;
        line->out_cap = 0;
    }
}

/* What an engine says ends up in logs. */
static void set_reason(struct redis_line *line, const char *format, va_list arguments)
    __attribute__((format(printf, 2, 0)));

static void set_reason(struct redis_line *line, const char *format, va_list arguments)
{
    vsnprintf(line->why, sizeof(line->why), format, arguments);
    for (char *at = line->why; *at; at++)
        if ((unsigned char)*at < ' ' || *at == 0x7F)
            *at = '?';
}

void redis_line_drop(struct redis_line *line, const char *format, ...)
{
    va_list arguments;
    if (!redis_line_is_up(line))
        return;
    va_start(arguments, format);
    set_reason(line, format, arguments);
    va_end(arguments);
    close_line(line);
    begin_pause(line);
}

/* The same for an attempt that has no stream yet. */
static int fail_dial(struct redis_line *line, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static int fail_dial(struct redis_line *line, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    set_reason(line, format, arguments);
    va_end(arguments);
    close_line(line);
    begin_pause(line);
    return -1;
}

void redis_line_fini(struct redis_line *line)
{
    close_line(line);
    free(line->out);
    line->out = NULL;
    line->out_cap = 0;
}

/* ---- Bytes ---- */

/* Waits for `events` of a descriptor. Returns them, or 0 when the time is over or the line was
 * stopped. A wake-up for another reason changes nothing. */
static short wait_for(struct redis_line *line, int fd, short events, int64_t until)
{
    while (!atomic_load(&line->stopped) && net_now() < until) {
        short ready = net_wait(fd, events, until);
        if (ready)
            return ready;
    }
    return 0;
}

static int write_some(struct redis_line *line)
{
    while (line->out_from < line->out_len) {
        ssize_t n =
            stream_write(&line->stream, line->out + line->out_from, line->out_len - line->out_from);
        if (n < 0 && errno == EAGAIN)
            return 0;
        if (n < 0) {
            redis_line_drop(line, "sending failed: %s", strerror(errno));
            return -1;
        }
        line->out_from += (size_t)n;
    }
    line->out_from = line->out_len = 0;
    return 0;
}

/* Returns the number of bytes read, 0 if there are none now, or -1. */
static ssize_t read_some(struct redis_line *line)
{
    char bytes[READ_BYTES];
    ssize_t n = stream_read(&line->stream, bytes, sizeof(bytes));
    if (n < 0 && errno == EAGAIN)
        return 0;
    if (n <= 0) {
        redis_line_drop(line, "%s", n == 0 ? "the engine closed the connection" : strerror(errno));
        return -1;
    }
    if (reply_parser_feed(&line->parser, bytes, (size_t)n) < 0) {
        redis_line_drop(line, "bad reply: %s", line->parser.why);
        return -1;
    }
    return n;
}

/* Sends and reads once, or waits for one of the two. *quiet is when the engine has been silent, and
 * has taken nothing, for too long. */
static int exchange_some(struct redis_line *line, int64_t until, int64_t *quiet)
{
    size_t unsent = line->out_len - line->out_from;
    if (write_some(line) < 0)
        return -1;
    if (line->out_len - line->out_from < unsent)
        *quiet = net_now() + REDIS_SILENCE_MS;
    ssize_t n = read_some(line);
    if (n != 0) {
        *quiet = net_now() + REDIS_SILENCE_MS;
        return n < 0 ? -1 : 0;
    }
    short events = line->stream.read_wants;
    if (line->out_from < line->out_len)
        events |= line->stream.write_wants;
    int64_t end = *quiet < until ? *quiet : until;
    if (wait_for(line, line->stream.fd, events, end))
        return 0;
    redis_line_drop(line, "%s",
                    atomic_load(&line->stopped) ? "stopped"
                    : end == until              ? "no whole reply in time"
                                                : "the engine is silent");
    return -1;
}

static struct reply_value *wait_for_answer(struct redis_line *line, int64_t until)
{
    int64_t quiet = net_now() + REDIS_SILENCE_MS;
    struct reply_value *value;
    for (;;) {
        int result = reply_parser_next(&line->parser, &value);
        if (result < 0)
            redis_line_drop(line, "bad reply: %s", line->parser.why);
        if (result != 0)
            return result < 0 ? NULL : value;
        if (exchange_some(line, until, &quiet) < 0)
            return NULL;
    }
}

static struct reply_value *take_answer(struct redis_line *line, int64_t until)
{
    if (!redis_line_is_up(line))
        return NULL;
    if (line->calls == 0) {
        redis_line_drop(line, "no command is without a reply");
        return NULL;
    }
    struct reply_value *value = wait_for_answer(line, until);
    if (!value)
        return NULL;
    if (--line->calls == 0 && reply_parser_has_more(&line->parser)) {
        reply_free(value);
        redis_line_drop(line, "the engine sent more replies than it got commands");
        return NULL;
    }
    return value;
}

struct reply_value *redis_line_answer(struct redis_line *line)
{
    return take_answer(line, net_now() + REDIS_ANSWER_MS);
}

/* ---- Commands ---- */

/* Makes room for `len` more bytes of commands. */
static bool reserve_out(struct redis_line *line, size_t len)
{
    if (line->out_cap - line->out_len >= len)
        return true;
    size_t cap = line->out_cap ? line->out_cap : OUT_FIRST;
    while (cap - line->out_len < len)
        cap *= 2;
    char *out = realloc(line->out, cap);
    if (!out)
        return false;
    line->out = out;
    line->out_cap = cap;
    return true;
}

int redis_line_queue(struct redis_line *line, const char *bytes, size_t len)
{
    size_t waiting = line->out_len;
    if (!redis_line_is_up(line) || line->calls >= REDIS_CALLS_MAX)
        return -1;
    if (waiting > 0 && (waiting > REDIS_OUT_MAX || len > REDIS_OUT_MAX - waiting))
        return -1;
    if (!reserve_out(line, len))
        return -1;
    memcpy(line->out + line->out_len, bytes, len);
    line->out_len += len;
    line->calls++;
    return 0;
}

static int queue_words(struct redis_line *line, const struct text *words, size_t count)
{
    size_t len;
    char *bytes = reply_format_command(words, count, &len);
    int result = bytes ? redis_line_queue(line, bytes, len) : -1;
    free(bytes);
    return result;
}

struct reply_value *redis_line_ask(struct redis_line *line, const struct text *words, size_t count)
{
    if (!redis_line_is_up(line))
        return NULL;
    if (queue_words(line, words, count) < 0) {
        redis_line_drop(line, "out of memory, or too many commands at once");
        return NULL;
    }
    return redis_line_answer(line);
}

/* ---- Dialling ---- */

/* Connects to one address, or to the Unix socket if `address` is NULL. Returns a socket, or -1 and
 * errno. */
static int connect_until(struct redis_line *line, const struct addrinfo *address, int64_t until)
{
    int fd = address ? net_connect_begin(address) : net_connect_unix(line->target->path);
    if (fd < 0)
        return -1;
    errno = ETIMEDOUT;
    if (wait_for(line, fd, POLLOUT, until) && net_connect_end(fd) == 0)
        return fd;
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

static int connect_any(struct redis_line *line, const struct redis_place *place, int64_t until)
{
    int fd = -1;
    if (!place)
        return connect_until(line, NULL, until);
    for (const struct addrinfo *at = place->addresses; at && fd < 0; at = at->ai_next)
        fd = connect_until(line, at, until);
    return fd;
}

/* The TLS handshake, and whether the peer is the one that was meant. */
static int secure_line(struct redis_line *line, const struct redis_place *place, int64_t until)
{
    struct fingerprints prints;
    int result;
    if (!line->target->tls)
        return 0;
    if (stream_set_peer_name(&line->stream, place->host) < 0)
        return fail_dial(line, "TLS: the host's name is not usable");
    while ((result = stream_handshake(&line->stream)) == 0)
        if (!wait_for(line, line->stream.fd, line->stream.read_wants, until))
            return fail_dial(line, "TLS: no handshake in time");
    if (result < 0)
        return fail_dial(line, "TLS: %s", line->stream.why ? line->stream.why : "it failed");
    const char *objection = stream_verify_peer(&line->stream, &prints);
    if (objection)
        return fail_dial(line, "TLS: the certificate is refused: %s (fingerprint %s)", objection,
                         prints.certificate);
    return 0;
}

/* Takes a reply of the log-in; an error drops the line. */
static struct reply_value *login_answer(struct redis_line *line, const char *command, int64_t until)
{
    struct reply_value *value = take_answer(line, until);
    if (value && value->type == REPLY_ERROR) {
        redis_line_drop(line, "%s: %.150s", command, value->bytes);
        reply_free(value);
        return NULL;
    }
    return value;
}

static int queue_login(struct redis_line *line, bool auth)
{
    const struct redis_target *target = line->target;
    struct text words[3] = {text_of("AUTH")};
    size_t count = 1;
    if (target->user[0] != '\0')
        words[count++] = text_of(target->user);
    words[count++] = text_of(target->password);
    if (auth && queue_words(line, words, count) < 0)
        return -1;
    words[0] = text_of("CLIENT");
    words[1] = text_of("ID");
    if (queue_words(line, words, 2) < 0)
        return -1;
    words[0] = text_of("ROLE");
    return queue_words(line, words, 1);
}

/* Takes the replies to queue_login. */
static int check_login(struct redis_line *line, bool auth, int64_t until)
{
    struct reply_value *value;
    if (auth) {
        value = login_answer(line, "AUTH", until);
        if (!value)
            return -1;
        reply_free(value);
    }
    value = login_answer(line, "CLIENT ID", until);
    if (!value)
        return -1;
    long long number = value->type == REPLY_INTEGER ? value->number : 0;
    reply_free(value);
    value = login_answer(line, "ROLE", until);
    if (!value)
        return -1;
    struct text role = reply_text(reply_item(value, 0));
    if (number <= 0)
        redis_line_drop(line, "CLIENT ID: expected a number above 0, got %lld", number);
    else if (!role.at || !text_equals(role, "master"))
        redis_line_drop(line, "ROLE: expected a master, got \"%.*s\"",
                        role.at && role.len < 40 ? (int)role.len : 0, role.at ? role.at : "");
    else
        atomic_store(&line->client, number);
    reply_free(value);
    return redis_line_is_up(line) ? 0 : -1;
}

/* Connects to a place (NULL: to the Unix socket), and secures the line. */
static int open_line(struct redis_line *line, const struct redis_place *place, int64_t until)
{
    int fd = connect_any(line, place, until);
    if (fd < 0)
        return fail_dial(line, "connecting failed: %s", strerror(errno));
    if (stream_open(&line->stream, fd, line->target->tls) < 0)
        return fail_dial(line, "out of memory");
    if (reply_parser_init(&line->parser, line->target->answer_max) < 0)
        return fail_dial(line, "out of memory");
    return secure_line(line, place, until);
}

static int dial_engine(struct redis_line *line, const struct redis_place *place, int64_t until)
{
    bool auth = line->target->password[0] != '\0';
    if (open_line(line, place, until) < 0)
        return -1;
    if (queue_login(line, auth) < 0)
        return fail_dial(line, "out of memory");
    if (check_login(line, auth, until) < 0)
        return -1;
    line->up_since = net_now();
    line->why[0] = '\0';
    return 0;
}

/* ---- Sentinels ---- */

/* Reads what a sentinel answered: the engine's address and port. No name is looked up here, because
 * Sentinel says addresses unless it is told otherwise. Returns NULL, or what is wrong. */
static const char *read_found(const struct reply_value *value, struct redis_place *found)
{
    const struct text host = reply_text(reply_item(value, 0)),
                      port = reply_text(reply_item(value, 1));
    char error[NET_ERROR_MAX];
    if (value->type == REPLY_NIL)
        return "it does not know an engine of this name";
    if (!host.at || !port.at || host.len == 0 || host.len >= sizeof(found->host))
        return "expected an address and a port";
    memcpy(found->host, host.at, host.len);
    found->host[host.len] = '\0';
    found->port = authority_port(port);
    if (found->port < 1)
        return "expected a port from 1 to 65535";
    found->addresses = net_numeric_address(found->host, found->port, error);
    return found->addresses ? NULL : "expected a numeric address of the engine";
}

/* Asks the sentinel that was just connected to. */
static const char *ask_where(struct redis_line *line, struct redis_place *found, int64_t until)
{
    const struct text words[] = {text_of("SENTINEL"), text_of("get-master-addr-by-name"),
                                 text_of(line->target->master)};
    struct reply_value *value = queue_words(line, words, 3) < 0 ? NULL : take_answer(line, until);
    if (!value)
        return "it gave no answer";
    const char *wrong = value->type == REPLY_ERROR ? "it refuses to say (has it a password?)"
                                                   : read_found(value, found);
    reply_free(value);
    return wrong;
}

/* Asks one sentinel. Returns whether it knows, with *found, or writes into `why` what is wrong. */
static bool ask_sentinel(struct redis_line *line, const struct redis_place *place,
                         struct redis_place *found, char why[REDIS_WHY_MAX])
{
    int64_t until = net_now() + REDIS_SENTINEL_MS;
    const char *wrong = line->why;
    if (open_line(line, place, until) == 0) {
        wrong = ask_where(line, found, until);
        close_line(line);
    }
    if (wrong)
        snprintf(why, REDIS_WHY_MAX, "%s", wrong);
    return !wrong;
}

/* Asks the sentinels in turn, the one that knew last time first. Returns 0 with *found, whose
 * addresses the caller frees, or -1. */
static int find_engine(struct redis_line *line, struct redis_place *found)
{
    const struct redis_target *target = line->target;
    const struct redis_place *place = NULL;
    unsigned failures = line->failures; /* one more, however many sentinels fail */
    char why[REDIS_WHY_MAX] = "stopped";
    for (size_t i = 0; i < target->count && !atomic_load(&line->stopped); i++) {
        place = &target->places[line->sentinel];
        if (ask_sentinel(line, place, found, why))
            return 0;
        line->failures = failures;
        line->sentinel = (line->sentinel + 1) % target->count;
    }
    return fail_dial(line, "no sentinel says where \"%s\" is; %.80s:%d: %.100s", target->master,
                     place ? place->host : "", place ? place->port : 0, why);
}

static int dial_line(struct redis_line *line)
{
    const struct redis_target *target = line->target;
    struct redis_place found = {.addresses = NULL};
    if (!target->master[0])
        return dial_engine(line, target->count > 0 ? &target->places[0] : NULL,
                           net_now() + REDIS_DIAL_MS);
    if (find_engine(line, &found) < 0)
        return -1;
    int result = dial_engine(line, &found, net_now() + REDIS_DIAL_MS);
    if (result < 0) /* it may be out of date: ask another one next time */
        line->sentinel = (line->sentinel + 1) % target->count;
    net_free_addresses(found.addresses);
    return result;
}

int redis_line_reach(struct redis_line *line)
{
    if (redis_line_is_up(line))
        return 0;
    wait_for(line, -1, 0, line->retry_at);
    if (atomic_load(&line->stopped)) {
        snprintf(line->why, sizeof(line->why), "stopped");
        return -1;
    }
    return dial_line(line);
}
