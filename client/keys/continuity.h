/* SPDX-License-Identifier: MIT
 *
 * continuity.h - sequence numbers and confirmations of sealed messages: which are missing, which
 * arrived, which are sent again.
 *
 * State is kept in memory for each identity key of others, as long as the program runs.
 * docs/PROTOCOL.md, section "Keys", has the rules. The caller keeps the texts; here they are known
 * by their ids. No cryptography except keyhashes. Pure: no I/O, no clock: `now` is in milliseconds
 * on a clock that nobody sets. One thread.
 *
 * A struct continuity serves one identity of ours, and is emptied when that changes.
 *
 * Receiving: see seal.h; continuity_judge before opening, continuity_opened after it.
 * Sending:   continuity_prepare, seal_seal, send; continuity_sent if it was sent.
 * Events:    after either, after continuity_reconnected, and when continuity_wait says so, call
 *            continuity_event until it returns false, while the client is joined to a room.
 */
#ifndef CONTINUITY_H
#define CONTINUITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/crypto/e2e.h"
#include "client/keys/seal.h"

enum {
    CONTINUITY_PEERS_MAX = 4096,   /* identities; for one more see continuity_peer */
    CONTINUITY_STREAMS_MAX = 4096, /* streams to one own session key; one more is refused */
    CONTINUITY_FORMER_MAX = 8,     /* per identity: streams to wiped own keys, the latest */
    CONTINUITY_OUT_MAX = 16,       /* own streams to one identity; one more forgets the oldest */
    CONTINUITY_IDS_MAX = 1024,     /* per identity: ids of shown texts; one more forgets the oldest,
                                    * whose text could then be shown twice */
    CONTINUITY_TEXTS_MAX = 320,    /* unconfirmed texts to one identity; one more is refused */
    CONTINUITY_SEALED_MAX = 4,     /* how often a text is sealed before it is given up */
    CONTINUITY_RECEIPTS_MAX = 10,  /* receipts in a second, to all together; more have to wait */
    CONTINUITY_RIDE_MS = 200,      /* how long a confirmation waits for a message to ride on */
    CONTINUITY_MOVED_MS = 5000,    /* delay before texts sealed to an older card are sent again */
};

/* An identity of somebody else. Borrowed until the next continuity_peer, which may replace it. */
struct continuity_peer {
    unsigned char identity[E2E_KEY_BYTES];
    char name[NAME_MAX_BYTES + 1]; /* the name of their last card */
    struct e2e_keys card;          /* texts are sealed to this card: see continuity_learn */
    struct e2e_keys shown;         /* card of the last opened message: receipts are sealed to it */

    /* The rest is private to continuity.c. */
    bool has_card;
    unsigned char card_hash[E2E_HASH_BYTES];
    int64_t card_since;            /* when a card with another session key arrived */
    uint64_t used;                 /* serial number of the last use, for eviction */
    struct continuity_in *in;      /* their streams */
    size_t in_count, in_cap, owed; /* owed: number of streams with an unsent confirmation */
    struct seal_stream latest;     /* stream of the last opened message */
    struct continuity_out *out;    /* our streams, the oldest first */
    size_t out_count;
    struct continuity_text *texts; /* unconfirmed, in the order of first sending */
    size_t text_count, text_cap;
    unsigned char (*ids)[SEAL_ID_BYTES]; /* ids of shown texts; a ring of ids_cap */
    size_t id_count, ids_cap;
};

/* Number of streams to one of our session keys. */
struct continuity_own {
    unsigned char hash[E2E_HASH_BYTES];
    size_t streams;
};

struct continuity {
    struct continuity_peer **peers;
    size_t count, cap;
    uint64_t serial;
    struct continuity_own own[2 * E2E_LIVE_MAX];
    size_t own_count;
    int64_t receipts[CONTINUITY_RECEIPTS_MAX]; /* times of the last receipts; a ring */
    uint64_t receipt_count;
};

void continuity_init(struct continuity *continuity);
void continuity_fini(struct continuity *continuity);

/* The state of an identity, or NULL if there is none. */
struct continuity_peer *continuity_find(const struct continuity *continuity,
                                        const unsigned char *identity);

/* The same; makes it if there is none. At CONTINUITY_PEERS_MAX it evicts the least recently used
 * idle identity: one without a stream to a live session key of ours, a text, or an unsent
 * confirmation. NULL if none is idle, or memory is out: the message is then answered with
 * cannot_open. */
struct continuity_peer *continuity_peer(struct continuity *continuity,
                                        const unsigned char *identity);

/* Must be called after e2e_session_open, e2e_session_renew and e2e_session_expire. Streams to wiped
 * session keys need no protection against replay any more; the last CONTINUITY_FORMER_MAX of each
 * identity stay. */
void continuity_retire(struct continuity *continuity, const struct e2e_session *session);

/* ---- Messages of others ---- */

/* Step 6. SEAL_GOOD: there is room for the notes of continuity_opened. SEAL_REPLAYED: a replay.
 * SEAL_STALE_KEY: the stream is new, and CONTINUITY_STREAMS_MAX go to that session key of ours; it
 * must be replaced at once (e2e_session_renew), and the message is answered with stale_key.
 * SEAL_CANNOT_OPEN: memory is out. */
enum seal_verdict continuity_judge(struct continuity *continuity, struct continuity_peer *peer,
                                   const struct seal_message *message);

/* An opened message. */
struct continuity_arrival {
    const char *from; /* SrcUser */
    const struct seal_message *message;
    const struct seal_content *content;
    bool had;    /* e2e_session_had(session, content->previous.stream.to) */
    int64_t now; /* steady */
};

struct continuity_news {
    uint64_t missing;  /* missing messages that were not reported yet */
    bool shown_before; /* a text with this id was shown: do not show it again */
};

/* Counts a message that continuity_judge and seal_open accepted, with no call between the three.
 * Notes its confirmations, its id and its card, and that a confirmation is owed for it. A receipt
 * (its Seq is 0) is not counted, needs no confirmation, and its id is not noted. Unknown kinds are
 * treated as texts. */
void continuity_opened(struct continuity *continuity, struct continuity_peer *peer,
                       const struct continuity_arrival *arrival, struct continuity_news *news);

/* ---- Our texts ---- */

/* Notes a card of an accepted identity, checked as struct seal_peer requires. A card from requested
 * UserKeys (`asked`) replaces the one in use. A card from a message (continuity_opened calls this
 * by itself) replaces it only if its KeyExpires is not lower. */
void continuity_learn(struct continuity_peer *peer, const char *name, const struct e2e_keys *card,
                      bool asked, int64_t now);

/* Prepares the next text. Sets *mark to its stream (from our session key to peer->card) and its
 * Seq, and fills in `previous` and `opened` of *content. content->id must be set before; the caller
 * fills in the rest, seals and sends it. Nothing is counted yet. Returns false if the peer has no
 * card, a new text would exceed CONTINUITY_TEXTS_MAX, this text was sealed CONTINUITY_SEALED_MAX
 * times, or memory is out. */
bool continuity_prepare(struct continuity_peer *peer, const struct e2e_session *session,
                        struct seal_content *content, struct seal_mark *mark);

/* Counts the last text that continuity_prepare prepared for this peer: it was sent. Confirmations
 * that it carried are no longer owed. */
void continuity_sent(struct continuity_peer *peer, const struct seal_mark *mark,
                     const unsigned char id[SEAL_ID_BYTES]);

/* Called after reconnecting: all unconfirmed texts are to be sent again. */
void continuity_reconnected(struct continuity *continuity);

/* A notice with stale_key arrived for the last sending of a text. Returns true if it will be sent
 * again (CONTINUITY_AGAIN or CONTINUITY_GIVEN_UP follows); false if it is unknown, or was stale in
 * the same stream before. The caller requests keys before it sends. */
bool continuity_stale(struct continuity_peer *peer, const unsigned char id[SEAL_ID_BYTES]);

/* A text will not be sent again: the server refused it, or the caller gave it up. It has no more
 * events. Does nothing if it is unknown. */
void continuity_drop(struct continuity_peer *peer, const unsigned char id[SEAL_ID_BYTES]);

/* The same for a text that may have been opened. It counts as lost, but CONTINUITY_ARRIVED still
 * follows if it is confirmed. It is kept until then, or until continuity_drop. */
void continuity_end(struct continuity_peer *peer, const unsigned char id[SEAL_ID_BYTES]);

/* ---- Events ---- */

enum continuity_kind {
    CONTINUITY_ARRIVED,  /* the receiver has opened a text; it is forgotten here */
    CONTINUITY_AGAIN,    /* seal a text again, with the same id and time, for this identity only:
                          * continuity_prepare, or continuity_drop. Told once */
    CONTINUITY_GIVEN_UP, /* a text was sealed CONTINUITY_SEALED_MAX times; it is forgotten here */
    CONTINUITY_RECEIPT,  /* send a receipt now: kind SEAL_RECEIPT, a new id, Seq 0, `opened` and
                          * `opened_mask` as given, to peer->name and peer->shown. Told once */
};

struct continuity_event {
    enum continuity_kind kind;
    struct continuity_peer *peer;
    unsigned char id[SEAL_ID_BYTES]; /* of the text */
    struct seal_mark opened;         /* for a receipt */
    uint64_t opened_mask;
};

/* The next event. Returns false when there is none now. Texts of one identity come in the order of
 * their first sending. */
bool continuity_event(struct continuity *continuity, int64_t now, struct continuity_event *event);

/* Milliseconds until continuity_event must be called again, if nothing else happens. 0: now; -1:
 * never. */
int64_t continuity_wait(const struct continuity *continuity, int64_t now);

#endif
