/* SPDX-License-Identifier: MIT
 *
 * load_talk.c - sends members' messages: at once, when their own message has come back, or by the
 * clock. One thread.
 */
#include "load.h"

#include <string.h>

/* Writes a number with the sixteen digits a to p: they can be read without a branch. */
static void put_digits(char *to, uint64_t value, int digits)
{
    while (digits--) {
        to[digits] = (char)('a' + (value & 15));
        value >>= 4;
    }
}

void talk_next(struct load_run *run, struct load_member *m)
{
    size_t size = (size_t)run->options.size, at = m->head_len;
    char *message = run->message;
    if (run->options.key_update && (m->said + 1) % run->options.key_update == 0) {
        member_flush(run, m);
        m->rekey = true;
    }
    memcpy(message, m->head, at);
    memcpy(message + at, run->padding, size);
    put_digits(message + at, m->index, 5);
    put_digits(message + at + 6, m->said, 8);
    put_digits(message + at + 15, (uint64_t)report_clock(CLOCK_MONOTONIC), 16);
    memcpy(message + at + size, "\"}", 2);
    member_say(run, m, WS_TEXT, message, at + size + 2);
    m->said++;
    run->sent++;
}

bool talk_may(const struct load_run *run, const struct load_member *m)
{
    const struct load_options *o = &run->options;
    if (run->act != TALKING || (o->seconds && run->now >= run->stop))
        return false;
    return !o->messages || m->said < o->messages;
}

unsigned talk_starters(const struct load_run *run)
{
    return (unsigned)(run->options.private ? run->options.members : run->options.senders);
}

void talk_start(struct load_run *run)
{
    long window = run->options.private ? 1 : run->options.window;
    unsigned step = run->options.private ? 2 : 1;
    for (unsigned i = 0; i < talk_starters(run) && !run->options.rate; i += step) {
        struct load_member *m = &run->members[i];
        for (long n = 0; n < window && talk_may(run, m); n++)
            talk_next(run, m);
        member_flush(run, m);
        member_watch(run, m);
    }
}

void talk_by_rate(struct load_run *run)
{
    const struct load_options *o = &run->options;
    while (!run->failed && run->now >= run->start + (int64_t)run->sent * NANO / o->rate) {
        struct load_member *m = &run->members[run->sent % (uint64_t)o->senders];
        if (!talk_may(run, m))
            return;
        talk_next(run, m);
        member_flush(run, m);
        member_watch(run, m);
    }
}
