/* SPDX-License-Identifier: MIT
 *
 * continuity_receiver.h - one receiver of sealed messages.
 *
 * The scripts are those of tests/support/e2e_reference.py, which has its own implementation.
 */
#ifndef CONTINUITY_RECEIVER_H
#define CONTINUITY_RECEIVER_H

#include "client/keys/continuity.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "people.h"
#include "lib/hex.h"
#include "net/stream.h"

/* ---- One receiver ---- */

struct desk {
    struct continuity continuity;
    struct e2e_session session; /* only its hash is used */
    struct continuity_peer *peer;
};

static inline void sit_down(struct desk *desk)
{
    static const unsigned char identity[E2E_KEY_BYTES] = {1};
    *desk = (struct desk){.peer = NULL};
    continuity_init(&desk->continuity);
    desk->peer = continuity_peer(&desk->continuity, identity);
    assert_non_null(desk->peer);
}

static inline void stand_up(struct desk *desk)
{
    continuity_fini(&desk->continuity);
}

static inline void key_of(uint64_t number, unsigned char key[E2E_KEY_BYTES])
{
    memset(key, 0, E2E_KEY_BYTES);
    memcpy(key, &number, sizeof(number));
}

static inline void id_of(uint64_t number, unsigned char id[SEAL_ID_BYTES])
{
    memset(id, 0, SEAL_ID_BYTES);
    memcpy(id, &number, sizeof(number));
}

/* Makes a message from their session key `from` to ours `to`. */
static inline struct seal_message message_of(uint64_t from, uint64_t to, uint64_t seq)
{
    struct seal_message message = {.seq = seq};
    key_of(from, message.from.session);
    key_of(to, message.to);
    return message;
}

static inline struct continuity_news count(struct desk *desk, struct continuity_peer *peer,
                                           const struct seal_message *message,
                                           const struct seal_content *content, int64_t now)
{
    struct continuity_news news;
    const struct continuity_arrival arrival = {
        .from = "ana", .message = message, .content = content, .now = now};
    continuity_opened(&desk->continuity, peer, &arrival, &news);
    return news;
}

/* Receives a text, and counts it if that is allowed. */
static inline enum seal_verdict come(struct desk *desk, uint64_t from, uint64_t to, uint64_t seq)
{
    const struct seal_message message = message_of(from, to, seq);
    struct seal_content content = {.kind = SEAL_TEXT};
    id_of(1000000 * from + seq, content.id);
    enum seal_verdict verdict = continuity_judge(&desk->continuity, desk->peer, &message);
    if (verdict == SEAL_GOOD)
        count(desk, desk->peer, &message, &content, 0);
    return verdict;
}

static inline void show_card(struct desk *desk, uint64_t session, int64_t now)
{
    struct e2e_keys card = {.expires = 1};
    key_of(session, card.session);
    continuity_learn(desk->peer, "ana", &card, true, now);
}

/* Sends a text. Returns its Seq, or 0 if that is refused. */
static inline uint64_t go(struct desk *desk, uint64_t text)
{
    struct seal_content content = {.kind = SEAL_TEXT};
    struct seal_mark mark;
    id_of(text, content.id);
    if (!continuity_prepare(desk->peer, &desk->session, &content, &mark))
        return 0;
    continuity_sent(desk->peer, &mark, content.id);
    return mark.seq;
}

/* Receives a receipt: it confirms `seq` of our stream, and those in the mask. */
static inline void confirm(struct desk *desk, const struct seal_mark *opened, uint64_t mask)
{
    struct seal_message message = {.seq = 0, .from = desk->peer->card};
    const struct seal_content content = {
        .kind = SEAL_RECEIPT, .opened = *opened, .opened_mask = mask};
    assert_int_equal(continuity_judge(&desk->continuity, desk->peer, &message), SEAL_GOOD);
    struct continuity_news news = count(desk, desk->peer, &message, &content, 0);
    assert_true(news.missing == 0 && !news.shown_before);
}

static inline void assert_event(struct desk *desk, int64_t now, enum continuity_kind kind,
                                uint64_t text)
{
    unsigned char id[SEAL_ID_BYTES];
    struct continuity_event event;
    id_of(text, id);
    assert_int_equal(continuity_wait(&desk->continuity, now), 0);
    assert_true(continuity_event(&desk->continuity, now, &event));
    assert_int_equal(event.kind, kind);
    assert_ptr_equal(event.peer, desk->peer);
    if (kind != CONTINUITY_RECEIPT)
        assert_memory_equal(event.id, id, sizeof(id));
}

#endif
