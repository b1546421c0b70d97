/* SPDX-License-Identifier: MIT
 *
 * load.c - the load generator: many members of one room in one thread, to measure a server and
 * check every delivery.
 *
 * Connects members over TCP or TLS, joins, talks, and checks every delivery. `load --help` lists
 * the scenarios.
 *
 * A run has three acts. Join: until every member has received the list of all. Talk: until every
 * message has arrived. Leave: stalled members must have been closed; the others close properly and
 * read to the end, so that duplicates are noticed. The first fault ends the run. With --visits
 * there is one act: members leave as soon as HTTP accepted them, and come again.
 */
#include "load.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "net/stream.h"

enum {
    CONNECT_BURST = 64, /* connections begun before the other events are handled again */
    POLL_MS = 50,       /* interval of looking at the clock when nothing happens */
    TICK_LEAST = 50000, /* shortest interval between two looks at the schedule, in nanoseconds */
    EVENTS = 256,       /* epoll events taken at once */
};

/* ---- Joins and leaves ---- */

/* Begins more connections. Returns whether more can begin at once. */
static bool begin_some(struct load_run *run)
{
    for (int i = 0; i < CONNECT_BURST && run->begun < run->steady && !run->failed; i++) {
        if (!run->options.at_once && run->entering >= CONNECT_BURST)
            return false;
        member_begin(run, &run->members[run->begun++]);
    }
    return run->begun < run->steady;
}

/* Ends the connection of a member that comes and goes. Every second one leaves properly, after it
 * has joined; the others leave by reset, in any state. */
static void part(struct load_run *run, struct load_member *m)
{
    bool polite = m->index % 2;
    bool present = m->state == PRESENT;
    if (m->state == GONE || m->state == LEAVING)
        return;
    if (polite && !present && run->act == TALKING)
        return;
    run->went++;
    if (polite && present)
        member_leave(run, m);
    else
        member_reset(run, m);
}

/* --churn: at each step one member comes, and the one that came half the table ago leaves. A member
 * that is still connected at its turn skips a round. */
static void keep_churn(struct load_run *run)
{
    const int64_t step = NANO / run->options.churn;
    while (!run->failed && run->now >= run->start + (int64_t)run->churned * step) {
        struct load_member *comer = &run->members[run->steady + run->churned % run->places];
        part(run, &run->members[run->steady + (run->churned + run->places / 2) % run->places]);
        if (comer->state == GONE) {
            snprintf(comer->name, sizeof(comer->name), "z%" PRIu64, run->churned);
            member_begin(run, comer);
        }
        run->churned++;
    }
}

/* ---- The three acts ---- */

static bool all_joined(const struct load_run *run)
{
    return run->whole == run->steady;
}

static bool all_said(const struct load_run *run)
{
    const struct load_options *o = &run->options;
    uint64_t talkers = o->private ? run->steady : (uint64_t)o->senders;
    if (o->seconds && run->now >= run->stop)
        return true;
    return o->messages && run->sent == (uint64_t)o->messages * talkers;
}

/* Number of deliveries that all sent messages must cause. */
static uint64_t deliveries_expected(const struct load_run *run)
{
    return run->options.private ? run->sent : run->sent * run->healthy;
}

static bool all_arrived(const struct load_run *run)
{
    return all_said(run) && run->deliveries + run->lost >= deliveries_expected(run);
}

/* Whether members that came and went are gone, and stalled ones are no longer in the list. */
static bool all_calm(const struct load_run *run)
{
    return run->whole == run->healthy && run->open + run->stalled_closed == run->steady;
}

static bool all_stalled_closed(const struct load_run *run)
{
    return run->stalled_closed == run->steady - run->healthy;
}

static bool all_left(const struct load_run *run)
{
    return run->open == 0;
}

static bool all_visited(const struct load_run *run)
{
    return run->now >= run->stop && all_left(run);
}

/* Does the work whose time has come. Returns whether more can be done at once. */
static bool keep_schedule(struct load_run *run)
{
    if (run->act == JOINING)
        return begin_some(run);
    if (run->act == TALKING && run->options.rate)
        talk_by_rate(run);
    if (run->act == TALKING && run->options.churn)
        keep_churn(run);
    return false;
}

static void time_is_up(struct load_run *run, const char *what)
{
    report_fault(run,
                 "time is up before %s: %u begun, %u open, %u entering, %u with the right list, "
                 "%" PRIu64 " sent, %" PRIu64 " of %" PRIu64 " delivered, %u stalled ones closed",
                 what, run->begun, run->open, run->entering, run->whole, run->sent, run->deliveries,
                 deliveries_expected(run), run->stalled_closed);
    if (run->act == TALKING)
        run->lost = deliveries_expected(run) - run->deliveries;
}

/* Linux sets an interval timer again only when it is read. */
static void take_tick(struct load_run *run)
{
    uint64_t ticks;
    if (read(run->timer, &ticks, sizeof(ticks)) < 0 && errno != EAGAIN)
        report_fault(run, "timer: %s", strerror(errno));
}

static void run_until(struct load_run *run, bool (*done)(const struct load_run *), const char *what)
{
    struct epoll_event events[EVENTS];
    while (!run->failed && !done(run)) {
        bool more = keep_schedule(run);
        int n = epoll_wait(run->epoll, events, EVENTS, more ? 0 : POLL_MS);
        run->now = report_clock(CLOCK_MONOTONIC);
        for (int i = 0; i < n && !run->failed; i++) {
            if (events[i].data.ptr)
                arrive_ready(run, events[i].data.ptr);
            else
                take_tick(run);
        }
        if (run->now > run->deadline)
            time_is_up(run, what);
    }
}

/* Sets the timer to the schedule's interval. */
static void set_timer(struct load_run *run)
{
    const struct load_options *o = &run->options;
    long per_second = o->rate > o->churn ? o->rate : o->churn;
    if (!per_second)
        return;
    int64_t step = NANO / per_second > TICK_LEAST ? NANO / per_second : TICK_LEAST;
    struct timespec every = {.tv_sec = step / NANO, .tv_nsec = step % NANO};
    struct itimerspec timer = {.it_interval = every, .it_value = every};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (timerfd_settime(run->timer, 0, &timer, NULL) < 0 ||
        epoll_ctl(run->epoll, EPOLL_CTL_ADD, run->timer, &event) < 0)
        report_fault(run, "timer: %s", strerror(errno));
}

/* --visits: each member that has left comes again (on_ready), until the time is up. */
static void act_visit(struct load_run *run)
{
    run->joined = run->before;
    run->start = run->now = run->last = report_clock(CLOCK_MONOTONIC);
    run->stop = run->start + run->options.seconds * NANO;
    for (unsigned i = 0; i < run->steady && !run->failed; i++)
        member_begin(run, &run->members[i]);
    run->act = TALKING;
    run_until(run, all_visited, "all have left");
    run->after = report_usage(run);
}

static void act_talk(struct load_run *run)
{
    if (run->failed)
        return;
    for (unsigned i = run->healthy; i < run->steady; i++) {
        run->members[i].state = STALLED;
        member_watch(run, &run->members[i]);
    }
    run->act = TALKING;
    run->start = run->now = run->last = report_clock(CLOCK_MONOTONIC);
    run->stop = run->start + run->options.seconds * NANO;
    set_timer(run);
    for (unsigned i = run->steady + run->places; i < all_members(run) && !run->failed; i++)
        member_begin(run, &run->members[i]);
    talk_start(run);
    run_until(run, all_arrived, "all has arrived");
}

/* Waits until the room is as expected. Only then do the stalled members read again, because reading
 * earlier would un-stall them. */
static void act_calm(struct load_run *run)
{
    if (run->failed)
        return;
    run->act = ENDING;
    run->whole = 0;
    for (unsigned i = 0; i < run->steady; i++) {
        run->members[i].whole = false;
        if (is_healthy(run, &run->members[i]))
            check_list(run, &run->members[i]);
    }
    for (unsigned i = run->steady; i < all_members(run); i++)
        part(run, &run->members[i]);
    run_until(run, all_calm, "the list is that of the healthy members");
    run->resumed = true;
    for (unsigned i = run->healthy; i < run->steady; i++)
        if (run->members[i].state == STALLED)
            member_watch(run, &run->members[i]);
    run_until(run, all_stalled_closed, "the stalled members are closed");
}

static void act_leave(struct load_run *run)
{
    for (unsigned i = 0; i < run->healthy && !run->failed; i++)
        member_leave(run, &run->members[i]);
    run_until(run, all_left, "all members are closed");
}

/* Reports faults that only the totals show. */
static void judge(struct load_run *run)
{
    if (run->lost || run->doubled || run->swapped || run->id_breaks)
        report_fault(run,
                     "%" PRIu64 " lost, %" PRIu64 " doubled, %" PRIu64 " swapped, %" PRIu64
                     " times Ids were not consecutive",
                     run->lost, run->doubled, run->swapped, run->id_breaks);
    if (run->failed)
        return;
    if (run->options.key_update && !run->key_updates)
        report_fault(run, "no keys were updated");
    for (unsigned i = 1; i < run->healthy; i++) {
        if (run->members[i].hash == run->members[0].hash)
            continue;
        report_fault(run, "%s saw another order than %s", run->members[i].name,
                     run->members[0].name);
        return;
    }
}

static void perform(struct load_run *run)
{
    run->before = report_usage(run);
    run->deadline = run->before.wall + run->options.timeout * NANO;
    if (run->options.visits) {
        act_visit(run);
        return;
    }
    run_until(run, all_joined, "all have joined");
    run->joined = report_usage(run);
    act_talk(run);
    run->after = report_usage(run);
    act_calm(run);
    act_leave(run);
    judge(run);
}

/* ---- Beginning and end ---- */

/* Each member needs a descriptor; raises the limit to the hard limit. */
static void raise_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* Sets a member's name, and its messages before their texts. */
static void dress(const struct load_run *run, struct load_member *m, unsigned index)
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
    if (is_flapper(run, m))
        snprintf(m->name, sizeof(m->name), "flap%u", index - run->steady - run->places);
    if (index >= run->steady)
        return;
    m->set = run->sets + (size_t)index * set_words(run);
    m->due = run->due + (size_t)index * (size_t)run->options.senders;
}

/* Returns 0, or -1 and a fault. run_close must be called in both cases. */
static int run_open(struct load_run *run)
{
    const struct load_options *o = &run->options;
    size_t size = (size_t)o->size;
    run->steady = (unsigned)o->members;
    run->healthy = (unsigned)(o->members - o->stall);
    run->places = o->churn ? (unsigned)o->churn + 2 : 0;
    run->random = (uint32_t)report_clock(CLOCK_MONOTONIC) | 1;
    run->epoll = epoll_create1(EPOLL_CLOEXEC);
    run->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    run->flappers = (unsigned)o->flap;
    run->members = calloc(all_members(run), sizeof(*run->members));
    run->sets = calloc(run->steady, set_words(run) * sizeof(*run->sets));
    run->due = calloc(run->steady, (size_t)(o->senders ? o->senders : 1) * sizeof(*run->due));
    run->message = malloc(HEAD_MAX + size + 2);
    run->padding = malloc(size);
    run->tls = o->tls ? tls_context_client() : NULL;
    if (run->epoll < 0 || run->timer < 0 || !run->members || !run->sets || !run->due ||
        !run->message || !run->padding || (o->tls && !run->tls)) {
        report_fault(run, "cannot start: %s", strerror(errno));
        return -1;
    }
    for (size_t i = 0; i < size; i++)
        run->padding[i] = (char)('a' + i % 23); /* a shifted text does not match */
    run->padding[5] = run->padding[14] = run->padding[31] = '.';
    for (unsigned i = 0; i < all_members(run); i++)
        dress(run, &run->members[i], i);
    ws_accept_key(SWITCH_KEY, run->accept);
    return 0;
}

static void run_close(struct load_run *run)
{
    for (unsigned i = 0; run->members && i < all_members(run); i++) {
        if (run->members[i].state != GONE)
            member_drop(run, &run->members[i]);
        free(run->members[i].out);
    }
    tls_context_free(run->tls);
    close(run->timer);
    close(run->epoll);
    free(run->padding);
    free(run->message);
    users_free(run);
    free(run->sets);
    free(run->inbox.bytes);
    free(run->due);
    free(run->members);
}

int main(int argc, char **argv)
{
    static struct load_run run = {.options = {.host = "127.0.0.1",
                                              .path = "/",
                                              .password = "",
                                              .members = 10,
                                              .senders = 1,
                                              .window = 1,
                                              .size = 100,
                                              .timeout = 120}};
    int status = load_options_read(&run.options, argc, argv);
    if (status)
        return status;
    signal(SIGPIPE, SIG_IGN);
    raise_limit();
    if (run_open(&run) == 0) {
        perform(&run);
        report_print(&run);
    }
    status = run.failed;
    run_close(&run);
    return status;
}
