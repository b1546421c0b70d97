/* SPDX-License-Identifier: MIT
 *
 * test_stream_await.c - a stream over a blocking socket: only stream_await_input waits, for a short
 * time and without the lock, and what it reads in TLS is not lost.
 */
#include "outbox_line.h"

#include <pthread.h>

enum {
    PART = 100,
    MANY = 200,      /* parts: with TLS's own bytes more than OpenSSL reads ahead */
    RAW = 32 * 1024, /* takes all of them at once */
};

static void check_nothing_else_waits(struct line *line)
{
    char bytes[CHOKE] = "";
    ssize_t n;
    assert_int_equal(stream_read(&line->stream, bytes, sizeof(bytes)), -1);
    assert_int_equal(errno, EAGAIN);
    while ((n = stream_write(&line->stream, bytes, sizeof(bytes))) > 0)
        ;
    assert_int_equal(n, -1);
    assert_int_equal(errno, EAGAIN);
}

static void test_nothing_else_waits(void **state)
{
    check_nothing_else_waits(*state);
}

static void test_it_gives_up_after_a_short_time(void **state)
{
    struct line *line = *state;
    char byte;
    int64_t begin = net_now();
    assert_int_equal(stream_await_input(&line->stream, &byte, 1), -1);
    assert_int_equal(errno, EAGAIN);
    assert_true(net_now() - begin >= STREAM_PATIENCE_MS - 1);
}

/* Answers the first message that the stream sends, by one of its own. */
static void *answer(void *argument)
{
    struct line *line = argument;
    char bytes[PART];
    while (stream_read(&line->peer, bytes, PART) < 0 && errno == EAGAIN)
        net_wait(line->peer.fd, POLLIN, net_now() + TEST_TIMEOUT_MS);
    stream_write(&line->peer, bytes, PART);
    return NULL;
}

/* Sends while another thread waits for input, which comes only in answer to it. */
static void *send_meanwhile(void *argument)
{
    struct line *line = argument;
    const char bytes[PART] = "ask";
    pthread_mutex_lock(&line->stream.lock);
    stream_write(&line->stream, bytes, PART);
    pthread_mutex_unlock(&line->stream.lock);
    return NULL;
}

/* Reads as a connection does. Returns the bytes that OpenSSL, or the socket, handed out. */
static size_t await_and_read(struct line *line, char *text, size_t len)
{
    static unsigned char raw[RAW];
    size_t total = 0;
    ssize_t n;
    do
        n = stream_await_input(&line->stream, line->tls ? (char *)raw : text,
                               line->tls ? sizeof(raw) : len);
    while (n < 0 && errno == EAGAIN);
    assert_true(n > 0);
    if (!line->tls)
        return (size_t)n;
    pthread_mutex_lock(&line->stream.lock);
    stream_feed(&line->stream, raw, (size_t)n);
    while (total < len && (n = stream_read(&line->stream, text + total, len - total)) > 0)
        total += (size_t)n;
    stream_keep_fed(&line->stream);
    pthread_mutex_unlock(&line->stream.lock);
    memset(raw, 0xFF, sizeof(raw));
    return total;
}

static void test_others_send_meanwhile(void **state)
{
    struct line *line = *state;
    pthread_t peer, sender;
    char text[PART] = "";
    assert_int_equal(pthread_create(&peer, NULL, answer, line), 0);
    assert_int_equal(pthread_create(&sender, NULL, send_meanwhile, line), 0);
    assert_int_equal(await_and_read(line, text, PART), PART);
    assert_string_equal(text, "ask");
    pthread_join(peer, NULL);
    pthread_join(sender, NULL);
}

/* Many records come at once, and the caller takes them in small pieces. */
static void test_what_was_read_ahead_is_kept(void **state)
{
    struct line *line = *state;
    char said[MANY * PART], heard[MANY * PART];
    size_t total = 0;
    for (size_t i = 0; i < sizeof(said); i++)
        said[i] = (char)('a' + i % 26);
    for (size_t i = 0; i < MANY; i++)
        assert_int_equal(stream_write(&line->peer, said + i * PART, PART), PART);
    total = await_and_read(line, heard, PART / 2);
    assert_int_equal(total, PART / 2);
    while (total < sizeof(heard)) {
        ssize_t n = stream_read(&line->stream, heard + total, PART / 2 + 1);
        assert_true(n > 0);
        total += (size_t)n;
    }
    assert_memory_equal(heard, said, sizeof(said));
    assert_int_equal(stream_read(&line->stream, heard, 1), -1);
    assert_int_equal(errno, EAGAIN);
}

/* What was kept comes before anything new, so there is nothing to wait for. */
static void test_nobody_waits_while_something_is_kept(void **state)
{
    struct line *line = *state;
    char text[PART];
    unsigned char raw[PART] = "";
    for (int i = 0; i < MANY; i++)
        assert_int_equal(stream_write(&line->peer, raw, PART), PART);
    await_and_read(line, text, PART);
    assert_int_equal(line->stream.fed_len > 0, line->tls);
    ssize_t n = stream_await_input(&line->stream, raw, PART);
    assert_int_equal(n < 0, line->tls);
}

/* The end of the stream is not an error, and is seen again. */
static void test_the_end_is_seen(void **state)
{
    struct line *line = *state;
    unsigned char raw[PART];
    char byte;
    stream_close(&line->peer);
    assert_int_equal(stream_await_input(&line->stream, raw, sizeof(raw)), 0);
    assert_int_equal(stream_read(&line->stream, &byte, 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(test_nothing_else_waits),
        BOTH(test_it_gives_up_after_a_short_time),
        BOTH(test_others_send_meanwhile),
        BOTH(test_what_was_read_ahead_is_kept),
        BOTH(test_nobody_waits_while_something_is_kept),
        BOTH(test_the_end_is_seen),
    };
    return cmocka_run_group_tests(tests, make_tls, free_tls);
}
