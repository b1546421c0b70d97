/* SPDX-License-Identifier: MIT
 *
 * continuity_out.c - our texts to one identity: their sequence numbers, and whether they arrived.
 *
 * A text is kept with all its sendings until one of them is confirmed or it is given up. Pure; one
 * thread; no locks.
 */
#include "client/keys/continuity_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MASK_BITS = 64 };

/* ---- Streams of ours ---- */

void continuity_learn(struct continuity_peer *peer, const char *name, const struct e2e_keys *card,
                      bool asked, int64_t now)
{
    unsigned char hash[E2E_HASH_BYTES];
    snprintf(peer->name, sizeof(peer->name), "%s", name);
    if (peer->has_card && !asked && card->expires < peer->card.expires)
        return;
    e2e_hash(card->session, hash);
    if (!peer->has_card || memcmp(hash, peer->card_hash, sizeof(hash)) != 0) {
        peer->card_since = now;
        memcpy(peer->card_hash, hash, sizeof(hash));
    }
    peer->card = *card;
    peer->has_card = true;
}

static struct continuity_out *find_out(const struct continuity_peer *peer,
                                       const struct seal_stream *stream)
{
    for (size_t i = peer->out_count; i > 0; i--)
        if (seal_stream_is(&peer->out[i - 1].stream, stream))
            return &peer->out[i - 1];
    return NULL;
}

static void remove_out(struct continuity_peer *peer, size_t index)
{
    peer->out_count--;
    memmove(&peer->out[index], &peer->out[index + 1],
            (peer->out_count - index) * sizeof(peer->out[0]));
}

/* Begins a stream. NULL when memory is out. */
static struct continuity_out *add_out(struct continuity_peer *peer,
                                      const struct seal_stream *stream)
{
    if (!peer->out)
        peer->out = calloc(CONTINUITY_OUT_MAX, sizeof(*peer->out));
    if (!peer->out)
        return NULL;
    if (peer->out_count > 0 && peer->out[peer->out_count - 1].sent == 0)
        remove_out(peer, peer->out_count - 1); /* nothing was sent in it */
    if (peer->out_count == CONTINUITY_OUT_MAX)
        remove_out(peer, 0);
    struct continuity_out *out = &peer->out[peer->out_count++];
    *out = (struct continuity_out){.stream = *stream};
    return out;
}

/* The last stream before `out` with a final Seq, and the greatest such Seq. */
static struct seal_mark previous_of(const struct continuity_peer *peer,
                                    const struct continuity_out *out)
{
    while (out > peer->out) {
        out--;
        if (out->final > 0)
            return (struct seal_mark){out->stream, out->final};
    }
    return (struct seal_mark){.seq = 0};
}

static struct continuity_text *find_text(const struct continuity_peer *peer,
                                         const unsigned char id[SEAL_ID_BYTES])
{
    for (size_t i = 0; i < peer->text_count; i++)
        if (memcmp(peer->texts[i].id, id, SEAL_ID_BYTES) == 0)
            return &peer->texts[i];
    return NULL;
}

static const struct seal_mark *last_sending(const struct continuity_text *text)
{
    return &text->sendings[text->sealed - 1];
}

/* Whether a text may be sent once more; makes room to note it. */
static bool reserve_text(struct continuity_peer *peer, const unsigned char id[SEAL_ID_BYTES])
{
    const struct continuity_text *text = find_text(peer, id);
    if (text)
        return text->sealed < CONTINUITY_SEALED_MAX;
    if (peer->text_count >= CONTINUITY_TEXTS_MAX)
        return false;
    void *texts =
        continuity_room(peer->texts, sizeof(*peer->texts), peer->text_count, &peer->text_cap, 1);
    if (texts)
        peer->texts = texts;
    return texts;
}

bool continuity_prepare(struct continuity_peer *peer, const struct e2e_session *session,
                        struct seal_content *content, struct seal_mark *mark)
{
    const struct continuity_in *opened = continuity_find_in(peer, &peer->latest);
    struct seal_stream stream;
    if (!peer->has_card || !reserve_text(peer, content->id))
        return false;
    memcpy(stream.from, session->present.hash, E2E_HASH_BYTES);
    memcpy(stream.to, peer->card_hash, E2E_HASH_BYTES);
    struct continuity_out *out = find_out(peer, &stream);
    if (!out)
        out = add_out(peer, &stream);
    if (!out)
        return false;
    if (out->sent == 0)
        out->previous = previous_of(peer, out);
    *mark = (struct seal_mark){stream, out->sent + 1};
    content->previous = out->previous;
    content->opened = (struct seal_mark){.seq = 0};
    content->opened_mask = 0;
    if (opened) {
        content->opened = (struct seal_mark){opened->stream, opened->last};
        content->opened_mask = opened->mask;
    }
    return true;
}

void continuity_sent(struct continuity_peer *peer, const struct seal_mark *mark,
                     const unsigned char id[SEAL_ID_BYTES])
{
    struct continuity_out *out = find_out(peer, &mark->stream);
    struct continuity_text *text = find_text(peer, id);
    struct continuity_in *opened = continuity_find_in(peer, &peer->latest);
    if (!text) {
        text = &peer->texts[peer->text_count++];
        *text = (struct continuity_text){.sealed = 0};
        memcpy(text->id, id, SEAL_ID_BYTES);
    }
    if (out)
        out->sent = mark->seq;
    text->sendings[text->sealed++] = *mark;
    text->state = TEXT_SENT;
    if (opened)
        continuity_pay(peer, opened);
}

/* ---- Confirmations of our texts ---- */

/* Marks a Seq that will not be sent again. */
static void make_final(struct continuity_peer *peer, const struct seal_mark *mark)
{
    struct continuity_out *out = find_out(peer, &mark->stream);
    if (out && out->final < mark->seq)
        out->final = mark->seq;
}

static void remove_text(struct continuity_peer *peer, struct continuity_text *text)
{
    peer->text_count--;
    memmove(text, text + 1, (size_t)(peer->texts + peer->text_count - text) * sizeof(*text));
}

/* The text did not arrive, as far as is known. It counts as missing once, in its last stream. */
static void lose_text(struct continuity_peer *peer, struct continuity_text *text)
{
    if (text->state != TEXT_ARRIVED)
        make_final(peer, last_sending(text));
    remove_text(peer, text);
}

static bool is_opened(const struct seal_content *content, uint64_t seq)
{
    uint64_t behind = content->opened.seq - seq;
    return seq == content->opened.seq || (seq < content->opened.seq && behind <= MASK_BITS &&
                                          (content->opened_mask >> (behind - 1) & 1));
}

/* Whether a later message of the same stream arrived first. The server keeps the order, so the text
 * is lost. */
static bool is_hole(const struct seal_content *content, uint64_t seq)
{
    return seq < content->opened.seq && content->opened.seq - seq <= MASK_BITS &&
           !is_opened(content, seq);
}

static void confirm_text(struct continuity_peer *peer, struct continuity_text *text,
                         const struct seal_content *content)
{
    const struct seal_mark *last = last_sending(text);
    for (unsigned i = 0; i < text->sealed; i++) {
        const struct seal_mark *mark = &text->sendings[i];
        if (seal_stream_is(&mark->stream, &content->opened.stream) &&
            is_opened(content, mark->seq)) {
            make_final(peer, mark);
            text->state = TEXT_ARRIVED;
        }
    }
    if (text->state == TEXT_SENT && seal_stream_is(&last->stream, &content->opened.stream) &&
        is_hole(content, last->seq))
        text->state = TEXT_AGAIN;
}

void continuity_confirm(struct continuity_peer *peer, const struct seal_content *content)
{
    if (seal_stream_none(&content->opened.stream))
        return;
    for (size_t i = 0; i < peer->text_count; i++)
        confirm_text(peer, &peer->texts[i], content);
}

void continuity_reconnected(struct continuity *continuity)
{
    for (size_t i = 0; i < continuity->count; i++) {
        struct continuity_peer *peer = continuity->peers[i];
        for (size_t j = 0; j < peer->text_count; j++)
            if (peer->texts[j].state == TEXT_SENT)
                peer->texts[j].state = TEXT_AGAIN;
    }
}

bool continuity_stale(struct continuity_peer *peer, const unsigned char id[SEAL_ID_BYTES])
{
    struct continuity_text *text = find_text(peer, id);
    if (!text || text->state == TEXT_ARRIVED ||
        seal_stream_is(&text->stale, &last_sending(text)->stream))
        return false;
    text->stale = last_sending(text)->stream;
    if (text->state == TEXT_SENT)
        text->state = TEXT_AGAIN;
    return true;
}

void continuity_drop(struct continuity_peer *peer, const unsigned char id[SEAL_ID_BYTES])
{
    struct continuity_text *text = find_text(peer, id);
    if (text)
        lose_text(peer, text);
}

void continuity_end(struct continuity_peer *peer, const unsigned char id[SEAL_ID_BYTES])
{
    struct continuity_text *text = find_text(peer, id);
    if (!text || text->state == TEXT_ARRIVED)
        return;
    make_final(peer, last_sending(text));
    text->state = TEXT_HANDED; /* only a confirmation can follow */
}

int64_t continuity_text_wait(const struct continuity_peer *peer, const struct continuity_text *text,
                             int64_t now)
{
    if (text->state == TEXT_ARRIVED || text->state == TEXT_AGAIN)
        return 0;
    if (text->state == TEXT_HANDED ||
        memcmp(last_sending(text)->stream.to, peer->card_hash, E2E_HASH_BYTES) == 0)
        return INT64_MAX;
    int64_t left = peer->card_since + CONTINUITY_MOVED_MS - now;
    return left > 0 ? left : 0;
}

enum continuity_kind continuity_take_text(struct continuity_peer *peer,
                                          struct continuity_text *text)
{
    if (text->state == TEXT_ARRIVED) {
        remove_text(peer, text);
        return CONTINUITY_ARRIVED;
    }
    if (text->sealed == CONTINUITY_SEALED_MAX) {
        lose_text(peer, text);
        return CONTINUITY_GIVEN_UP;
    }
    text->state = TEXT_HANDED;
    return CONTINUITY_AGAIN;
}
