/* SPDX-License-Identifier: MIT
 *
 * test_outbox_random.c - new keys while a write is refused, random traffic, many threads.
 */
#include "delivery/outbox.h"

#include "outbox_line.h"

/* ---- Hearing ---- */

/* Everything heard so far is what was said first, and then comes this Close frame. */
static void check_cut(struct line *line, const char *close)
{
    char *at = strstr(line->heard, "close:");
    assert_non_null(at);
    assert_string_equal(at, close);
    assert_memory_equal(line->heard, line->said, (size_t)(at - line->heard));
}

/* ---- New keys (RFC 8446 §4.6.3) while a write is refused ---- */

/* The peer asks for new keys, and says a byte so that it is noticed. */
static void ask_for_new_keys(struct line *line)
{
    assert_int_equal(SSL_key_update(line->peer.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
    assert_int_equal(stream_write(&line->peer, "x", 1), 1);
    line->due++;
    take_bytes(line);
}

static void test_8446_4_6_3_new_keys_while_a_write_is_refused(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, RING);
    choke(line);
    broadcast(line, 100);
    pump(line);
    assert_int_equal(outbox_state(&line->out).events, POLLOUT);
    ask_for_new_keys(line);
    assert_true(deliver(line, 100));
    check_heard(line, "1 2 3 ");
    ask_for_new_keys(line);
    broadcast(line, 100);
    pump(line);
    check_heard(line, "1 2 3 4 ");
}

/* The answer to the first request waits behind that write when the second one comes. */
static void test_8446_4_6_3_new_keys_twice_while_a_write_is_refused(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, RING);
    choke(line);
    broadcast(line, 100);
    pump(line);
    ask_for_new_keys(line);
    ask_for_new_keys(line);
    assert_true(deliver(line, 100));
    check_heard(line, "1 2 3 ");
}

/* Here the socket refuses the answer to them, which stands before all that waits. */
static void test_8446_4_6_3_new_keys_are_refused_themselves(void **state)
{
    struct line *line = *state;
    enter_new_ring(line, RING);
    choke(line);
    ask_for_new_keys(line);
    broadcast(line, 100);
    post(line, OUTBOX_MESSAGE, 100);
    pump(line);
    assert_int_equal(outbox_state(&line->out).events, POLLOUT);
    ask_for_new_keys(line);
    check_heard(line, "1 2 3 ");
}

/* ---- Anything, in any order ---- */

static uint32_t chance; /* the same numbers in each run */

static uint32_t random_below(uint32_t bound)
{
    chance = chance * 1664525 + 1013904223;
    return (uint32_t)((uint64_t)chance * bound >> 32);
}

/* Mostly short, at times longer than what the socket, or a TLS record, takes. */
static size_t random_len(void)
{
    static const uint32_t most[] = {60, 120, 200, 500, 3000, 6000};
    uint32_t kind = random_below(40);
    return LEAST + (kind == 0 ? random_below(20000) : random_below(most[kind % 6]));
}

/* One thing that may happen to a client that is neither closed nor too slow. */
static void random_step(struct line *line)
{
    switch (random_below(9)) {
    case 0:
        outbox_flush(&line->out);
        break;
    case 1:
        hear_some(line, random_below(8000));
        break;
    case 2:
        set_send_buffer(line, random_below(2) ? 1 : (int)random_below(60000));
        break;
    case 3:
        assert_true(deliver(line, random_len()));
        break;
    case 4:
        post(line, OUTBOX_MESSAGE, random_len());
        break;
    case 5:
        if (line->tls && random_below(4) == 0)
            ask_for_new_keys(line);
        break;
    default:
        broadcast(line, random_len());
        assert_int_not_equal(pump(line), UINT64_MAX);
        break;
    }
    if (line->out.queued > QUEUE / 2 || ring_end(&line->ring) - line->out.position > RING / 8)
        drain(line); /* in time: the next step adds 20 KB at most */
}

static void random_steps(struct line *line, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        random_step(line);
        pump(line);
    }
}

/* Runs `ending` once for each of many beginnings. */
static void for_many_lines(void **state, int lines, void (*ending)(struct line *line))
{
    for (int i = 1; i <= lines; i++) {
        struct line *line = *state;
        bool tls = line->tls;
        chance = (uint32_t)i * 7919;
        enter_new_ring(line, RING);
        random_steps(line, 10 + random_below(150));
        ending(line);
        close_line(state);
        tls ? open_tls(state) : open_plain(state);
    }
}

static void end_in_order(struct line *line)
{
    char expected[TRANSCRIPT];
    memcpy(expected, line->said, sizeof(expected));
    write_down(expected, "close:1001:bye");
    outbox_close(&line->out, WS_CODE_GOING_AWAY, "bye");
    broadcast(line, 100);
    assert_false(deliver(line, 100));
    check_heard(line, expected);
}

/* The socket is full with something new when it happens. */
static void end_behind(struct line *line)
{
    narrow(line);
    while (outbox_send_from_ring(&line->out) != UINT64_MAX) {
        pump(line);
        broadcast(line, random_len());
    }
    lose_ring(line);
    drain(line);
    check_cut(line, SLOW_LAG);
}

static void end_with_a_full_queue(struct line *line)
{
    narrow(line);
    while (!outbox_state(&line->out).closing) {
        post(line, OUTBOX_MESSAGE, random_len());
        outbox_flush(&line->out);
    }
    lose_ring(line);
    drain(line);
    check_cut(line, SLOW_QUEUE);
}

static void end_by_leaving(struct line *line)
{
    outbox_detach(&line->out);
    lose_ring(line);
    outbox_close(&line->out, WS_CODE_NORMAL, "bye");
    drain(line);
    check_cut(line, "close:1000:bye ");
}

static void test_random_traffic_then_an_orderly_end(void **state)
{
    for_many_lines(state, 60, end_in_order);
}

static void test_random_traffic_then_behind(void **state)
{
    for_many_lines(state, 60, end_behind);
}

static void test_random_traffic_then_a_full_queue(void **state)
{
    for_many_lines(state, 60, end_with_a_full_queue);
}

static void test_random_traffic_then_leaving(void **state)
{
    for_many_lines(state, 60, end_by_leaving);
}

/* ---- Three threads at one outbox, and a fourth that reads ---- */

enum { RACE_EACH = 1500, RACE_BYTES = 4 * 1024 * 1024 };

struct race {
    struct line *line;
    atomic_int talking;   /* threads that have not said all yet; the last one closes */
    atomic_bool over;     /* the owner has given up */
    unsigned char *bytes; /* what the peer read */
    size_t len;
};

static size_t race_len(int number)
{
    return LEAST + (size_t)number * 37 % 700;
}

static struct frame *race_frame(int number)
{
    char *text = text_of(number, race_len(number));
    struct frame *frame = frame_new(WS_TEXT, text, race_len(number));
    free(text);
    return frame;
}

static void stop_talking(struct race *race)
{
    if (atomic_fetch_sub(&race->talking, 1) == 1)
        outbox_close(&race->line->out, WS_CODE_NORMAL, "bye");
}

/* Says the numbers from 1 on to everybody; waits while the member is a quarter of the ring
 * behind. */
static void *race_broadcasts(void *argument)
{
    struct race *race = argument;
    struct line *line = race->line;
    for (int number = 1; number <= RACE_EACH && !atomic_load(&race->over); number++) {
        struct frame *frame = race_frame(number);
        struct iovec part = {frame->bytes, frame->len};
        ring_lock(&line->ring);
        ring_append_locked(&line->ring, &part, 1);
        ring_unlock(&line->ring);
        frame_drop(frame);
        while (ring_end(&line->ring) - pump(line) > RING / 4 && !atomic_load(&race->over))
            sched_yield();
    }
    stop_talking(race);
    return NULL;
}

/* Says the numbers that follow those to this client alone. */
static void *race_deliveries(void *argument)
{
    struct race *race = argument;
    for (int number = RACE_EACH + 1; number <= 2 * RACE_EACH; number++) {
        struct frame *frame = race_frame(number);
        outbox_lock(&race->line->out, NULL);
        outbox_send_unlock(&race->line->out, frame, NULL, NULL);
        frame_drop(frame);
        if (number % 16 == 0)
            sched_yield();
    }
    stop_talking(race);
    return NULL;
}

static void *race_reads(void *argument)
{
    struct race *race = argument;
    struct stream *peer = &race->line->peer;
    for (;;) {
        ssize_t n = stream_read(peer, race->bytes + race->len, RACE_BYTES - race->len);
        if (n > 0)
            race->len += (size_t)n;
        else if (n < 0 && errno == EAGAIN)
            net_wait(peer->fd, peer->read_wants, net_now() + 100);
        else
            return NULL;
    }
}

/* The owner's part: it waits for the socket where another was refused, until all has left. */
static bool race_owns(struct race *race)
{
    struct outbox *out = &race->line->out;
    int64_t until = net_now() + TEST_TIMEOUT_MS;
    while (net_now() < until) {
        struct outbox_state state = outbox_state(out);
        if (state.closing && !state.events)
            return true;
        if (net_wait(state.events ? out->stream->fd : -1, state.events, until) && state.events)
            outbox_flush(out);
    }
    return false;
}

/* Both kinds are complete and each in its own order. */
static void check_race(struct race *race)
{
    struct line *line = race->line;
    int broadcasts = 0, deliveries = RACE_EACH;
    for (size_t done = 0; done < race->len;) {
        unsigned char *space;
        size_t room = ws_reserve(&line->reader, &space);
        size_t n = room < race->len - done ? room : race->len - done;
        memcpy(space, race->bytes + done, n);
        ws_commit(&line->reader, n);
        hear_events(line);
        done += n;
    }
    for (char *at = line->heard; *at != 'c'; at++) {
        int number = (int)strtol(at, &at, 10);
        int *last = number <= RACE_EACH ? &broadcasts : &deliveries;
        assert_int_equal(number, *last + 1);
        *last = number;
    }
    assert_int_equal(broadcasts, RACE_EACH);
    assert_int_equal(deliveries, 2 * RACE_EACH);
    assert_true(line->closed);
}

static void test_many_threads_at_one_outbox(void **state)
{
    struct line *line = *state;
    struct race race = {.line = line, .talking = 2, .bytes = malloc(RACE_BYTES)};
    static void *(*const parts[])(void *) = {race_broadcasts, race_deliveries, race_reads};
    pthread_t threads[3];
    assert_non_null(race.bytes);
    line->out.queue_max = RACE_BYTES;
    for (int number = 1; number <= 2 * RACE_EACH; number++)
        give_number(line, WS_TEXT, race_len(number));
    enter_new_ring(line, RING);
    narrow(line);
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, parts[i], &race), 0);
    bool done = race_owns(&race);
    atomic_store(&race.over, true);
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    stream_shutdown(&line->stream);
    pthread_join(threads[2], NULL);
    assert_true(done);
    check_race(&race);
    free(race.bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TLS(test_8446_4_6_3_new_keys_while_a_write_is_refused),
        TLS(test_8446_4_6_3_new_keys_twice_while_a_write_is_refused),
        TLS(test_8446_4_6_3_new_keys_are_refused_themselves),
        BOTH(test_random_traffic_then_an_orderly_end),
        BOTH(test_random_traffic_then_behind),
        BOTH(test_random_traffic_then_a_full_queue),
        BOTH(test_random_traffic_then_leaving),
        BOTH(test_many_threads_at_one_outbox),
    };
    return cmocka_run_group_tests(tests, make_tls, free_tls);
}
