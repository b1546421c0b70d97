/* SPDX-License-Identifier: MIT
 *
 * continuity.c - tracks which sealed messages are missing, which texts arrived, and which are sent
 * again.
 *
 * docs/PROTOCOL.md, section "Keys", has the rules. Here: the identities, their streams, gaps in
 * these, and receipts; our own texts are in continuity_out.c. Pure; one thread; no locks.
 */
#include "client/keys/continuity_parts.h"

#include <stdlib.h>
#include <string.h>

enum {
    MASK_BITS = 64,
    SECOND_MS = 1000,
};

void continuity_init(struct continuity *continuity)
{
    *continuity = (struct continuity){.count = 0};
}

static void peer_free(struct continuity_peer *peer)
{
    free(peer->in);
    free(peer->out);
    free(peer->texts);
    free(peer->ids);
    free(peer);
}

void continuity_fini(struct continuity *continuity)
{
    for (size_t i = 0; i < continuity->count; i++)
        peer_free(continuity->peers[i]);
    free(continuity->peers);
    continuity_init(continuity);
}

void *continuity_room(void *array, size_t size, size_t count, size_t *cap, size_t more)
{
    size_t wanted = *cap ? *cap : 2;
    if (count + more <= *cap)
        return array;
    while (wanted < count + more)
        wanted *= 2;
    void *larger = realloc(array, wanted * size);
    if (larger)
        *cap = wanted;
    return larger;
}

/* ---- Identities ---- */

struct continuity_peer *continuity_find(const struct continuity *continuity,
                                        const unsigned char *identity)
{
    for (size_t i = 0; i < continuity->count; i++)
        if (memcmp(continuity->peers[i]->identity, identity, E2E_KEY_BYTES) == 0)
            return continuity->peers[i];
    return NULL;
}

static bool is_idle(const struct continuity_peer *peer)
{
    bool live = false;
    for (size_t i = 0; i < peer->in_count; i++)
        live = live || peer->in[i].live;
    return !live && peer->text_count == 0 && peer->owed == 0;
}

/* Evicts the least recently used idle identity. Returns its freed slot; NULL if none is idle. */
static struct continuity_peer **evict_idle(struct continuity *continuity)
{
    struct continuity_peer **oldest = NULL;
    for (size_t i = 0; i < continuity->count; i++) {
        struct continuity_peer **at = &continuity->peers[i];
        if (is_idle(*at) && (!oldest || (*at)->used < (*oldest)->used))
            oldest = at;
    }
    if (oldest)
        peer_free(*oldest);
    return oldest;
}

/* A slot for one more, or NULL. */
static struct continuity_peer **new_place(struct continuity *continuity)
{
    if (continuity->count >= CONTINUITY_PEERS_MAX)
        return evict_idle(continuity);
    void *peers = continuity_room(continuity->peers, sizeof(struct continuity_peer *),
                                  continuity->count, &continuity->cap, 1);
    if (!peers)
        return NULL;
    continuity->peers = peers;
    return &continuity->peers[continuity->count++];
}

struct continuity_peer *continuity_peer(struct continuity *continuity,
                                        const unsigned char *identity)
{
    struct continuity_peer *peer = continuity_find(continuity, identity);
    if (!peer) {
        peer = calloc(1, sizeof(*peer));
        struct continuity_peer **place = peer ? new_place(continuity) : NULL;
        if (!place) {
            free(peer);
            return NULL;
        }
        memcpy(peer->identity, identity, E2E_KEY_BYTES);
        *place = peer;
    }
    peer->used = ++continuity->serial;
    return peer;
}

/* ---- Streams of theirs ---- */

struct continuity_in *continuity_find_in(const struct continuity_peer *peer,
                                         const struct seal_stream *stream)
{
    for (size_t i = peer->in_count; i > 0; i--) /* the latest is the most likely */
        if (seal_stream_is(&peer->in[i - 1].stream, stream))
            return &peer->in[i - 1];
    return NULL;
}

/* reserve_in has made room. */
static struct continuity_in *add_in(struct continuity_peer *peer, const struct seal_stream *stream)
{
    struct continuity_in *entry = &peer->in[peer->in_count++];
    *entry = (struct continuity_in){.stream = *stream, .owed_since = NOT_OWED};
    return entry;
}

void continuity_pay(struct continuity_peer *peer, struct continuity_in *entry)
{
    peer->owed -= entry->owed_since != NOT_OWED;
    entry->owed_since = NOT_OWED;
}

/* Forgets streams that are not live, the oldest first, until CONTINUITY_FORMER_MAX are left. */
static void forget_streams(struct continuity_peer *peer)
{
    for (;;) {
        struct continuity_in *oldest = NULL;
        size_t former = 0;
        for (size_t i = 0; i < peer->in_count; i++) {
            struct continuity_in *entry = &peer->in[i];
            former += !entry->live;
            if (!entry->live && (!oldest || entry->used < oldest->used))
                oldest = entry;
        }
        if (!oldest || former <= CONTINUITY_FORMER_MAX)
            return;
        continuity_pay(peer, oldest);
        *oldest = peer->in[--peer->in_count];
    }
}

static bool is_live(const unsigned char hash[E2E_HASH_BYTES],
                    unsigned char hashes[E2E_LIVE_MAX][E2E_HASH_BYTES], size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (memcmp(hashes[i], hash, E2E_HASH_BYTES) == 0)
            return true;
    return false;
}

void continuity_retire(struct continuity *continuity, const struct e2e_session *session)
{
    unsigned char hashes[E2E_LIVE_MAX][E2E_HASH_BYTES];
    size_t count = e2e_session_live(session, hashes), kept = 0;
    for (size_t i = 0; i < continuity->own_count; i++)
        if (is_live(continuity->own[i].hash, hashes, count))
            continuity->own[kept++] = continuity->own[i];
    continuity->own_count = kept;
    for (size_t i = 0; i < continuity->count; i++) {
        struct continuity_peer *peer = continuity->peers[i];
        for (size_t j = 0; j < peer->in_count; j++)
            peer->in[j].live = peer->in[j].live && is_live(peer->in[j].stream.to, hashes, count);
        forget_streams(peer);
    }
}

/* The number of streams to an own session key; NULL when there are too many such keys, because the
 * caller does not retire them. */
static struct continuity_own *own_of(struct continuity *continuity,
                                     const unsigned char hash[E2E_HASH_BYTES])
{
    for (size_t i = 0; i < continuity->own_count; i++)
        if (memcmp(continuity->own[i].hash, hash, E2E_HASH_BYTES) == 0)
            return &continuity->own[i];
    if (continuity->own_count == sizeof(continuity->own) / sizeof(continuity->own[0]))
        return NULL;
    struct continuity_own *own = &continuity->own[continuity->own_count++];
    *own = (struct continuity_own){.streams = 0};
    memcpy(own->hash, hash, E2E_HASH_BYTES);
    return own;
}

/* Makes room for the stream, for the one that it names as previous, and for an id. */
static bool reserve_in(struct continuity_peer *peer)
{
    void *in = continuity_room(peer->in, sizeof(*peer->in), peer->in_count, &peer->in_cap, 2);
    if (!in)
        return false;
    peer->in = in;
    if (peer->id_count >= CONTINUITY_IDS_MAX)
        return true;
    void *ids = continuity_room(peer->ids, sizeof(*peer->ids), peer->id_count, &peer->ids_cap, 1);
    if (!ids)
        return false;
    peer->ids = ids;
    return true;
}

enum seal_verdict continuity_judge(struct continuity *continuity, struct continuity_peer *peer,
                                   const struct seal_message *message)
{
    struct seal_stream stream = seal_stream_of(message);
    const struct continuity_in *entry = continuity_find_in(peer, &stream);
    if (message->seq == 0)
        return SEAL_GOOD;
    if (entry && message->seq <= entry->last)
        return SEAL_REPLAYED;
    if (!entry || !entry->live) {
        const struct continuity_own *own = own_of(continuity, stream.to);
        if (!own || own->streams >= CONTINUITY_STREAMS_MAX)
            return SEAL_STALE_KEY;
    }
    return reserve_in(peer) ? SEAL_GOOD : SEAL_CANNOT_OPEN;
}

/* ---- Counting what came ---- */

/* Number of messages up to `seq` that were not reported yet; marks them as reported. */
static uint64_t tell_up_to(struct continuity_in *entry, uint64_t seq)
{
    uint64_t known = entry->told > entry->last ? entry->told : entry->last;
    if (seq <= known)
        return 0;
    entry->told = seq;
    return seq - known;
}

/* Number of messages missing in the stream before the one that begins now. */
static uint64_t missing_before(struct continuity_peer *peer,
                               const struct continuity_arrival *arrival,
                               const struct seal_stream *stream, uint64_t serial)
{
    const struct seal_mark *previous = &arrival->content->previous;
    struct continuity_in *entry = continuity_find_in(peer, &previous->stream);
    if (seal_stream_none(&previous->stream) || seal_stream_is(&previous->stream, stream) ||
        previous->seq == 0)
        return 0;
    if (!entry) {
        if (!arrival->had)
            return 0;
        entry = add_in(peer, &previous->stream);
        entry->used = serial;
    }
    return tell_up_to(entry, previous->seq);
}

/* Counts `seq` as the greatest opened one of a stream. */
static void count_seq(struct continuity_in *entry, uint64_t seq)
{
    uint64_t step = seq - entry->last;
    if (entry->last == 0 || step > MASK_BITS)
        entry->mask = 0;
    else
        entry->mask = (step < MASK_BITS ? entry->mask << step : 0) | UINT64_C(1) << (step - 1);
    entry->last = seq;
}

/* Notes an id; there is room. Returns whether it was noted before. */
static bool note_id(struct continuity_peer *peer, const unsigned char id[SEAL_ID_BYTES])
{
    for (size_t i = 0; i < peer->id_count && i < CONTINUITY_IDS_MAX; i++)
        if (memcmp(peer->ids[i], id, SEAL_ID_BYTES) == 0)
            return true;
    memcpy(peer->ids[peer->id_count++ % CONTINUITY_IDS_MAX], id, SEAL_ID_BYTES);
    return false;
}

void continuity_opened(struct continuity *continuity, struct continuity_peer *peer,
                       const struct continuity_arrival *arrival, struct continuity_news *news)
{
    const struct seal_message *message = arrival->message;
    const struct seal_stream stream = seal_stream_of(message);
    struct continuity_in *entry;
    struct continuity_own *own;
    *news = (struct continuity_news){.missing = 0};
    continuity_learn(peer, arrival->from, &message->from, false, arrival->now);
    peer->shown = message->from;
    continuity_confirm(peer, arrival->content);
    if (message->seq == 0 || !reserve_in(peer)) /* continuity_judge has reserved it */
        return;
    entry = continuity_find_in(peer, &stream);
    if (!entry || entry->last == 0)
        news->missing = missing_before(peer, arrival, &stream, ++continuity->serial);
    if (!entry)
        entry = add_in(peer, &stream);
    news->missing += tell_up_to(entry, message->seq - 1);
    count_seq(entry, message->seq);
    entry->used = ++continuity->serial;
    own = entry->live ? NULL : own_of(continuity, stream.to);
    if (own)
        own->streams++;
    entry->live = true;
    peer->owed += entry->owed_since == NOT_OWED;
    if (entry->owed_since == NOT_OWED)
        entry->owed_since = arrival->now;
    peer->latest = stream;
    news->shown_before = note_id(peer, arrival->content->id);
    forget_streams(peer);
}

/* ---- Events ---- */

/* Milliseconds until a receipt for a stream. If a message of another stream came later, no message
 * can carry its confirmation, so there is nothing to wait for. */
static int64_t receipt_wait(const struct continuity_peer *peer, const struct continuity_in *entry,
                            int64_t now)
{
    if (entry->owed_since == NOT_OWED)
        return INT64_MAX;
    int64_t left = entry->owed_since + CONTINUITY_RIDE_MS - now;
    return left > 0 && seal_stream_is(&entry->stream, &peer->latest) ? left : 0;
}

/* Milliseconds until the rate limit allows one more receipt. */
static int64_t rate_wait(const struct continuity *continuity, int64_t now)
{
    if (continuity->receipt_count < CONTINUITY_RECEIPTS_MAX)
        return 0;
    int64_t left =
        continuity->receipts[continuity->receipt_count % CONTINUITY_RECEIPTS_MAX] + SECOND_MS - now;
    return left > 0 ? left : 0;
}

/* The stream with a pending receipt that has waited longest; NULL if there is none. */
static struct continuity_in *due_receipt(const struct continuity *continuity, int64_t now,
                                         struct continuity_peer **of)
{
    struct continuity_in *due = NULL;
    for (size_t i = 0; i < continuity->count; i++) {
        struct continuity_peer *peer = continuity->peers[i];
        for (size_t j = 0; peer->owed && j < peer->in_count; j++) {
            struct continuity_in *entry = &peer->in[j];
            if (receipt_wait(peer, entry, now) == 0 &&
                (!due || entry->owed_since < due->owed_since)) {
                due = entry;
                *of = peer;
            }
        }
    }
    return due;
}

static bool take_receipt(struct continuity *continuity, int64_t now, struct continuity_event *event)
{
    struct continuity_in *entry =
        rate_wait(continuity, now) == 0 ? due_receipt(continuity, now, &event->peer) : NULL;
    if (!entry)
        return false;
    continuity_pay(event->peer, entry);
    continuity->receipts[continuity->receipt_count++ % CONTINUITY_RECEIPTS_MAX] = now;
    event->kind = CONTINUITY_RECEIPT;
    event->opened = (struct seal_mark){entry->stream, entry->last};
    event->opened_mask = entry->mask;
    return true;
}

bool continuity_event(struct continuity *continuity, int64_t now, struct continuity_event *event)
{
    *event = (struct continuity_event){.peer = NULL};
    for (size_t i = 0; i < continuity->count; i++) {
        struct continuity_peer *peer = continuity->peers[i];
        for (size_t j = 0; j < peer->text_count; j++) {
            if (continuity_text_wait(peer, &peer->texts[j], now) > 0)
                continue;
            event->peer = peer;
            memcpy(event->id, peer->texts[j].id, SEAL_ID_BYTES);
            event->kind = continuity_take_text(peer, &peer->texts[j]);
            return true;
        }
    }
    return take_receipt(continuity, now, event);
}

int64_t continuity_wait(const struct continuity *continuity, int64_t now)
{
    int64_t least = INT64_MAX, rate = rate_wait(continuity, now);
    for (size_t i = 0; i < continuity->count; i++) {
        const struct continuity_peer *peer = continuity->peers[i];
        for (size_t j = 0; j < peer->text_count; j++) {
            int64_t wait = continuity_text_wait(peer, &peer->texts[j], now);
            least = wait < least ? wait : least;
        }
        for (size_t j = 0; peer->owed && j < peer->in_count; j++) {
            int64_t wait = receipt_wait(peer, &peer->in[j], now);
            if (wait < rate)
                wait = rate;
            least = wait < least ? wait : least;
        }
    }
    return least == INT64_MAX ? -1 : least;
}
