/* SPDX-License-Identifier: MIT
 *
 * fuzz_session.c - messages of any bytes into what answers them, in one thread, for libFuzzer.
 *
 * An input is read as fuzz_client.c reads it, and what must hold is the same. But there are no
 * threads and no sockets: socket.c's stream is a piece of memory, time goes on when somebody waits
 * for it, what is random is the same each time, and what a thread would do is done at once. So an
 * input costs a twentieth, and does the same each time. What threads do to each other is
 * fuzz_client.c's matter.
 */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuzz_server.h"
#include "server/client_thread.h"
#include "base/thread_pool.h"
#include "net/random.h"
#include "net/stream.h"

/* Descriptors that no process has. */
enum { LISTENER = 1 << 30, SPEAKER };

enum { V2 = 0x01, SLOW = 0x40, SLOW_BYTES = 50 }; /* bits of the first byte; see stream_write */

static unsigned char said[1 << 16]; /* what the present client has to say, */
static size_t said_len, heard_len;  /* and how much of it was read */
static struct fuzz_listener listener;
static bool slow, full;
static int64_t now;

static pthread_t parked;
static sem_t is_parked;
static bool to_park;

/* ---- In place of socket.c and thread_pool.c ---- */

int64_t net_now(void)
{
    return now;
}

int64_t net_now_us(void)
{
    return now * 1000;
}

/* The one who stays has said all, and waits for ever. For the other there is always something: its
 * words, or the end of them; and room for more. */
short net_wait_from(int64_t since, int fd, short events, int64_t until)
{
    (void)since;
    if (pthread_self() == parked) {
        sem_post(&is_parked);
        for (;;)
            pause();
    }
    require(fd == SPEAKER || until < INT64_MAX);
    now = fd == SPEAKER ? now + 1 : until > now ? until : now;
    return fd == SPEAKER ? events : 0;
}

short net_wait(int fd, short events, int64_t until)
{
    return net_wait_from(now, fd, events, until);
}

void net_wake(pthread_t thread)
{
    (void)thread;
}

ssize_t stream_read(struct stream *stream, void *buf, size_t len)
{
    size_t left = said_len - heard_len;
    stream->drained = left <= len;
    if (left == 0 && stream->fd == LISTENER)
        errno = EAGAIN;
    if (left == 0)
        return stream->fd == LISTENER ? -1 : 0;
    len = left < len ? left : len;
    memcpy(buf, said + heard_len, len);
    heard_len += len;
    return (ssize_t)len;
}

/* Nothing comes meanwhile: what there is was there before. */
ssize_t stream_await_input(struct stream *stream, void *bytes, size_t len)
{
    ssize_t n = stream_read(stream, bytes, len);
    now += n < 0 ? STREAM_PATIENCE_MS : 1;
    return n;
}

/* A slow client's socket takes a few bytes, and every other time none. */
ssize_t stream_write(struct stream *stream, const void *buf, size_t len)
{
    if (stream->fd == LISTENER)
        return (ssize_t)len;
    full = slow && !full;
    if (full) {
        errno = EAGAIN;
        return -1;
    }
    len = slow && len > SLOW_BYTES ? SLOW_BYTES : len;
    fuzz_listen(&listener, buf, len);
    return (ssize_t)len;
}

void stream_shutdown(struct stream *stream)
{
    (void)stream;
}

void stream_close(struct stream *stream)
{
    require(stream->fd != LISTENER);
    stream->fd = -1;
}

bool random_hex(char *text, size_t bytes)
{
    memset(text, '7', 2 * bytes);
    text[2 * bytes] = '\0';
    return true;
}

struct job {
    void (*run)(void *argument);
    void *argument;
};

static void *park(void *argument)
{
    struct job *job = argument;
    parked = pthread_self();
    job->run(job->argument);
    abort(); /* who stays does not leave */
}

int thread_pool_run(void (*run)(void *argument), void *argument)
{
    static struct job job;
    pthread_t thread;
    if (!to_park) {
        run(argument);
        return 0;
    }
    to_park = false;
    job = (struct job){run, argument};
    return pthread_create(&thread, NULL, park, &job) == 0 ? 0 : -1;
}

void thread_pool_trim_stack(void)
{
}

/* ---- Saying it ---- */

static void say(const void *bytes, size_t len)
{
    memcpy(said + said_len, bytes, len);
    said_len += len;
}

/* One text frame with a mask of zeros, which leaves the payload as it is (RFC 6455 §5.3). What does
 * not fit is left out. */
static void say_text(const void *text, size_t len)
{
    static const unsigned char zeros[WS_MASK_BYTES];
    if (len + WS_HEAD_MAX <= sizeof(said) - said_len)
        said_len += ws_write_masked(said + said_len, WS_TEXT, text, len, zeros);
}

static void say_request(bool v2)
{
    said_len = heard_len = 0;
    say(fuzz_request, strlen(fuzz_request));
    if (v2)
        say(fuzz_protocol, strlen(fuzz_protocol));
    say("\r\n", 2);
}

static void start(int fd)
{
    struct sockaddr_storage peer = {.ss_family = AF_INET6}; /* exempt: it may guess for ever */
    ((struct sockaddr_in6 *)&peer)->sin6_addr = in6addr_loopback;
    client_thread_start(fd, &peer);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    fuzz_server_init();
    require(sem_init(&is_parked, 0, 0) == 0);
    say_request(false);
    say_text("963", 3);
    say_text("ana", 3);
    to_park = true;
    start(LISTENER);
    while (sem_wait(&is_parked) < 0)
        ;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    slow = data[0] & SLOW;
    full = false;
    say_request(data[0] & V2);
    for (size_t at = 1; at < size;) {
        const uint8_t *line = data + at, *end = memchr(line, '\n', size - at);
        size_t len = end ? (size_t)(end - line) : size - at;
        say_text(line, len);
        at += len + 1;
    }
    fuzz_listener_init(&listener);
    start(SPEAKER);
    require(fuzz_listener_fini(&listener));
    return 0;
}
