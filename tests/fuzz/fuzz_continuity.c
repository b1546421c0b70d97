/* SPDX-License-Identifier: MIT
 *
 * fuzz_continuity.c - messages, confirmations and connections in any order, for libFuzzer (`make
 * fuzz`).
 *
 * An input is a list of operations of four bytes each. What must hold: no Seq of a stream is
 * accepted twice while its session key lives; no more is missing than Seqs say; a text arrives or
 * is given up once, and is sealed four times at most; no more than ten receipts go in a second; the
 * bounds hold.
 */
#include "client/keys/continuity_parts.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PEOPLE = 4, KEYS = 8, TEXTS = 256, SEQS = 64 };

enum text_fate { UNHEARD_OF, ON_ITS_WAY, ASKED_FOR, OVER };

/* What is known here besides: a model of one side. */
struct model {
    struct continuity continuity;
    struct e2e_session session;
    uint8_t own;                      /* the present session key of ours */
    uint64_t last[PEOPLE][KEYS][256]; /* of each stream of theirs: the last Seq */
    uint8_t fate[PEOPLE][TEXTS], sealed[PEOPLE][TEXTS];
    int64_t now, receipts[10];
    size_t receipt_count;
};

static EVP_PKEY *any_key;

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void key_of(uint8_t side, uint8_t number, unsigned char key[E2E_KEY_BYTES])
{
    memset(key, 0, E2E_KEY_BYTES);
    key[0] = side;
    key[1] = number;
}

static void hash_of(uint8_t side, uint8_t number, unsigned char hash[E2E_HASH_BYTES])
{
    unsigned char key[E2E_KEY_BYTES];
    key_of(side, number, key);
    e2e_hash(key, hash);
}

static struct continuity_peer *peer_of(struct model *model, uint8_t who)
{
    unsigned char identity[E2E_KEY_BYTES] = {1, who};
    struct continuity_peer *peer = continuity_peer(&model->continuity, identity);
    require(peer != NULL);
    return peer;
}

static uint8_t who_is(const struct continuity_peer *peer)
{
    return peer->identity[1];
}

static void check_peer(const struct continuity_peer *peer)
{
    size_t owed = 0, former = 0;
    for (size_t i = 0; i < peer->in_count; i++) {
        owed += peer->in[i].owed_since != NOT_OWED;
        former += !peer->in[i].live;
    }
    require(owed == peer->owed && former <= CONTINUITY_FORMER_MAX);
    require(peer->out_count <= CONTINUITY_OUT_MAX && peer->text_count <= CONTINUITY_TEXTS_MAX);
    for (size_t i = 0; i < peer->text_count; i++)
        require(peer->texts[i].sealed >= 1 && peer->texts[i].sealed <= CONTINUITY_SEALED_MAX);
    for (size_t i = 0; i < peer->out_count; i++)
        require(peer->out[i].final <= peer->out[i].sent);
}

static void receive(struct model *model, uint8_t who, const uint8_t *op)
{
    struct continuity_peer *peer = peer_of(model, who);
    struct seal_message message = {.seq = op[2] % SEQS};
    struct seal_content content = {.kind = SEAL_TEXT, .id = {op[3] % 32}};
    struct continuity_news news;
    uint8_t key = op[1] % KEYS;
    uint64_t *last = &model->last[who][key][model->own];
    key_of(2, key, message.from.session);
    key_of(3, model->own, message.to);
    message.from.expires = op[3];
    hash_of(2, op[3] % KEYS, content.previous.stream.from);
    hash_of(3, (uint8_t)(model->own - op[3] / KEYS % 4), content.previous.stream.to);
    content.previous.seq = op[2] / 8;
    hash_of(3, model->own, content.opened.stream.from);
    hash_of(2, key, content.opened.stream.to);
    content.opened.seq = op[3];
    content.opened_mask = (uint64_t)op[2] * op[3] * UINT64_C(0x123456789);
    enum seal_verdict verdict = continuity_judge(&model->continuity, peer, &message);
    require(verdict == (message.seq > 0 && message.seq <= *last ? SEAL_REPLAYED : SEAL_GOOD));
    if (verdict != SEAL_GOOD)
        return;
    const struct continuity_arrival arrival = {"x", &message, &content, op[3] & 1, model->now};
    continuity_opened(&model->continuity, peer, &arrival, &news);
    require(news.missing <= message.seq + content.previous.seq);
    require(message.seq > 0 || (news.missing == 0 && !news.shown_before));
    if (message.seq > 0)
        *last = message.seq;
}

static void send(struct model *model, uint8_t who, uint8_t text)
{
    struct continuity_peer *peer = peer_of(model, who);
    struct seal_content content = {.kind = SEAL_TEXT, .id = {text}};
    struct seal_mark mark;
    uint8_t *fate = &model->fate[who][text];
    if (*fate == OVER || !continuity_prepare(peer, &model->session, &content, &mark))
        return;
    require(mark.seq > content.previous.seq ||
            !seal_stream_is(&mark.stream, &content.previous.stream));
    continuity_sent(peer, &mark, content.id);
    *fate = ON_ITS_WAY;
    require(++model->sealed[who][text] <= CONTINUITY_SEALED_MAX);
}

static void take_events(struct model *model)
{
    struct continuity_event event;
    int64_t wait = continuity_wait(&model->continuity, model->now);
    bool any = false;
    while (continuity_event(&model->continuity, model->now, &event)) {
        uint8_t who = who_is(event.peer), *fate = &model->fate[who][event.id[0]];
        any = true;
        if (event.kind == CONTINUITY_RECEIPT) {
            int64_t *oldest = &model->receipts[model->receipt_count++ % 10];
            require(model->receipt_count <= 10 || model->now - *oldest >= 1000);
            *oldest = model->now;
            require(event.opened.seq > 0 && !seal_stream_none(&event.opened.stream));
        } else if (event.kind == CONTINUITY_AGAIN) {
            require(*fate == ON_ITS_WAY && model->sealed[who][event.id[0]] < CONTINUITY_SEALED_MAX);
            *fate = ASKED_FOR;
        } else {
            require(*fate == ON_ITS_WAY || *fate == ASKED_FOR);
            *fate = OVER;
        }
    }
    require(any == (wait == 0));
    require(continuity_wait(&model->continuity, model->now) != 0);
}

/* A new session key of ours; the former one lives on, those before do not. */
static void renew(struct model *model)
{
    model->session.former[0] = model->session.present;
    model->session.former_count = 1;
    model->own++;
    hash_of(3, model->own, model->session.present.hash);
    continuity_retire(&model->continuity, &model->session);
}

static void operate(struct model *model, const uint8_t *op)
{
    uint8_t who = op[0] / 16 % PEOPLE;
    unsigned char id[SEAL_ID_BYTES] = {op[1]};
    struct e2e_keys card = {.expires = op[2]};
    switch (op[0] % 8) {
    case 0:
    case 1:
        receive(model, who, op);
        break;
    case 2:
        send(model, who, op[1]);
        break;
    case 3:
        key_of(2, op[1] % KEYS, card.session);
        continuity_learn(peer_of(model, who), "x", &card, op[3] & 1, model->now);
        break;
    case 4:
        continuity_stale(peer_of(model, who), id);
        break;
    case 5:
        continuity_drop(peer_of(model, who), id);
        if (model->fate[who][op[1]] != UNHEARD_OF)
            model->fate[who][op[1]] = OVER;
        break;
    case 6:
        model->now += op[1] * 10;
        take_events(model);
        break;
    default:
        if (op[1] & 1)
            renew(model);
        if (op[1] & 2)
            continuity_reconnected(&model->continuity);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct model *model = calloc(1, sizeof(*model));
    if (!any_key)
        any_key = e2e_key_new(E2E_SESSION);
    require(model && any_key);
    continuity_init(&model->continuity);
    model->session.present.key = any_key;
    hash_of(3, 0, model->session.present.hash);
    for (size_t i = 0; i + 4 <= size && model->own < 250; i += 4) {
        operate(model, data + i);
        for (size_t j = 0; j < model->continuity.count; j++)
            check_peer(model->continuity.peers[j]);
    }
    continuity_fini(&model->continuity);
    free(model);
    return 0;
}
