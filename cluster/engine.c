/* SPDX-License-Identifier: MIT
 *
 * engine.c - makes the calls of engine.lua, and understands its answers. No locks: see engine.h for
 * what the caller serialises.
 */
#include "cluster/engine.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "cluster/engine_script.h"
#include "lib/ascii.h"
#include "lib/hex.h"
#include "net/random.h"

enum {
    KEYS_COUNT = 5,
    WORDS_HEAD = 3 + KEYS_COUNT + 4, /* EVALSHA, digest, 5, the keys, call, seat, seq, limit */
    WORDS_MAX = WORDS_HEAD + 8,
    NUMBER_MAX = 24, /* a 64-bit number as text, with its NUL */
    KEY_MAX = ENGINE_BASE_MAX + 8,
};

/* ---- Seats ---- */

static bool prefix_is_good(const char *prefix)
{
    size_t len = strlen(prefix);
    for (size_t i = 0; i < len; i++)
        if (!ascii_is_alnum(prefix[i]) && !ascii_is_one_of(prefix[i], "-_."))
            return false;
    return len > 0 && len <= ENGINE_PREFIX_MAX;
}

/* The room's name is not hidden: nodes with different secrets must meet, to be told of it. */
int engine_seat_init(struct engine_seat *seat, const struct engine_terms *terms, const char *room)
{
    char hex[2 * NAME_MAX_BYTES + 1];
    size_t len = strlen(room);
    memset(seat, 0, sizeof(*seat));
    if (len > NAME_MAX_BYTES || !prefix_is_good(terms->prefix))
        return -1;
    seat->terms = terms;
    memcpy(seat->room, room, len + 1);
    hex_write(hex, (const unsigned char *)room, len);
    snprintf(seat->base, sizeof(seat->base), "%s:{%s}:", terms->prefix, hex[0] ? hex : "-");
    if (!random_hex(seat->seat, SEAT_LEN / 2))
        return -1;
    if (terms->sealing && !sealing_derive(terms->sealing, seat->room, seat->seat, &seat->key))
        return -1;
    return 0;
}

void engine_seat_fini(struct engine_seat *seat)
{
    OPENSSL_cleanse(&seat->key, sizeof(seat->key));
}

bool engine_name_of(const struct engine_seat *seat, struct text text, struct engine_name *name)
{
    if (text.len > LOG_NAME_MAX)
        return false;
    if (seat->terms->sealing)
        return sealing_hide(seat->terms->sealing, seat->room, text, name->text);
    memcpy(name->text, text.at, text.len);
    name->text[text.len] = '\0';
    return true;
}

/* ---- Calls ---- */

/* The words of a call while it is made. */
struct call_words {
    struct text words[WORDS_MAX];
    size_t count;
    char keys[KEYS_COUNT][KEY_MAX];
    char numbers[8][NUMBER_MAX];
    size_t numbers_count;
};

static void put_word(struct call_words *call, struct text word)
{
    call->words[call->count++] = word;
}

static void put_number(struct call_words *call, uint64_t number)
{
    char *text = call->numbers[call->numbers_count++];
    snprintf(text, NUMBER_MAX, "%" PRIu64, number);
    put_word(call, text_of(text));
}

static void put_position(struct call_words *call, const struct log_position *position)
{
    bool known = position && position->at[0] != '\0';
    put_word(call, text_of(known ? position->at : position ? "0-0" : "-"));
    put_number(call, position ? position->number : 0);
    put_word(call, text_of(known && position->tag[0] != '\0' ? position->tag : "-"));
}

static void start_call(struct call_words *call, const struct engine_seat *seat, const char *op,
                       uint64_t seq)
{
    static const char *const names[KEYS_COUNT] = {"log", "room", "who", "seats", "turns"};
    call->count = call->numbers_count = 0;
    put_word(call, text_of("EVALSHA"));
    put_word(call, text_of(engine_script_sha));
    put_number(call, KEYS_COUNT);
    for (size_t i = 0; i < KEYS_COUNT; i++) {
        snprintf(call->keys[i], KEY_MAX, "%s%s", seat->base, names[i]);
        put_word(call, text_of(call->keys[i]));
    }
    put_word(call, text_of(op));
    put_word(call, text_of(seat->seat));
    put_number(call, seq);
    put_number(call, seat->terms->log_bytes);
}

static struct engine_call *finish_call(const struct call_words *words, struct engine_seat *seat,
                                       enum engine_op op, uint64_t seq)
{
    struct engine_call *call = malloc(sizeof(*call));
    if (!call)
        return NULL;
    *call = (struct engine_call){.seat = seat, .op = op, .seq = seq};
    call->bytes = reply_format_command(words->words, words->count, &call->len);
    if (!call->bytes) {
        free(call);
        return NULL;
    }
    if (seq > 0)
        seat->seq = seq;
    return call;
}

void engine_call_free(struct engine_call *call)
{
    if (call)
        free(call->bytes);
    free(call);
}

static void write_rules(const struct engine_terms *terms, char rules[ENGINE_RULES_MAX])
{
    char proof[SEALING_PROOF_MAX] = "none";
    if (terms->sealing && !sealing_proof(terms->sealing, proof))
        snprintf(proof, sizeof(proof), "unknown"); /* memory is out: this matches no other node */
    snprintf(rules, ENGINE_RULES_MAX, "cluster_secret=%s %s", proof, terms->rules);
}

struct engine_call *engine_open(struct engine_seat *seat, bool sweep,
                                const struct log_position *position)
{
    struct call_words words;
    char epoch[SEAT_MAX], rules[ENGINE_RULES_MAX];
    if (!random_hex(epoch, SEAT_LEN / 2))
        return NULL;
    write_rules(seat->terms, rules);
    start_call(&words, seat, "open", 0);
    put_number(&words, (uint64_t)seat->terms->lease_ms);
    put_number(&words, (uint64_t)seat->terms->keep_ms);
    put_word(&words, text_of(epoch));
    put_word(&words, text_of(rules));
    put_word(&words, text_of(sweep ? "1" : "0"));
    put_position(&words, position);
    return finish_call(&words, seat, ENGINE_OPEN, 0);
}

struct engine_call *engine_beat(struct engine_seat *seat, bool sweep,
                                const struct log_position *position)
{
    struct call_words words;
    start_call(&words, seat, "beat", 0);
    put_number(&words, (uint64_t)seat->terms->lease_ms);
    put_number(&words, (uint64_t)seat->terms->keep_ms);
    put_word(&words, text_of(sweep ? "1" : "0"));
    put_number(&words, seat->done);
    put_position(&words, position);
    return finish_call(&words, seat, ENGINE_BEAT, 0);
}

bool engine_may_sweep(const struct redis_line *line, const struct engine_terms *terms)
{
    return redis_line_is_up(line) && net_now() - line->up_since >= terms->lease_ms;
}

/* Seals a text, if texts are sealed. *made is what the caller must free. Returns false when memory
 * is out. */
static bool seal_text(const struct engine_seat *seat, const struct sealing_place *place,
                      struct text *text, char **made)
{
    *made = NULL;
    if (!seat->terms->sealing)
        return true;
    *made = malloc(text->len + SEALING_TAG_BYTES);
    if (!*made || !sealing_seal(&seat->key, place, *text, *made)) {
        free(*made);
        *made = NULL;
        return false;
    }
    *text = (struct text){*made, text->len + SEALING_TAG_BYTES};
    return true;
}

/* Makes a call with the next seq and a text that is sealed. `place` tells what the words before it
 * are; `tag` is one more word, unless it is 0. */
static struct engine_call *make_tagged_call(struct engine_seat *seat, const char *name,
                                            enum engine_op op, struct sealing_place place,
                                            struct text text, uint64_t tag)
{
    struct call_words words;
    char *sealed;
    place.room = seat->room;
    place.seat = seat->seat;
    place.seq = seat->seq + 1;
    if (!seal_text(seat, &place, &text, &sealed))
        return NULL;
    start_call(&words, seat, name, place.seq);
    if (place.name.len > 0)
        put_word(&words, place.name);
    if (place.identity.len > 0)
        put_word(&words, place.identity);
    put_word(&words, text);
    if (tag > 0)
        put_number(&words, tag);
    struct engine_call *call = finish_call(&words, seat, op, place.seq);
    free(sealed);
    return call;
}

static struct engine_call *make_text_call(struct engine_seat *seat, const char *name,
                                          enum engine_op op, struct sealing_place place,
                                          struct text text)
{
    return make_tagged_call(seat, name, op, place, text, 0);
}

static bool name_fits(struct text name)
{
    return name.len > 0 && name.len <= LOG_NAME_MAX;
}

struct engine_call *engine_say(struct engine_seat *seat, struct text body)
{
    if (body.len > seat->terms->body_max)
        return NULL;
    return make_text_call(seat, "say", ENGINE_SAY, (struct sealing_place){.kind = LOG_BROADCAST},
                          body);
}

struct engine_call *engine_tell(struct engine_seat *seat, struct text name, struct text body)
{
    if (!name_fits(name) || body.len > seat->terms->body_max)
        return NULL;
    return make_text_call(seat, "tell", ENGINE_TELL,
                          (struct sealing_place){.kind = LOG_PRIVATE, .name = name}, body);
}

static bool card_fits(struct text name, struct text identity, struct text card)
{
    return name_fits(name) && identity.len > 0 && identity.len <= LOG_IDENTITY_MAX &&
           card.len <= LOG_CARD_MAX;
}

struct engine_call *engine_publish(struct engine_seat *seat, uint64_t tag, struct text name,
                                   struct text identity, struct text card)
{
    if (!card_fits(name, identity, card))
        return NULL;
    const struct sealing_place place = {.kind = LOG_JOIN, .name = name, .identity = identity};
    return make_tagged_call(seat, "publish", ENGINE_PUBLISH, place, card, tag);
}

struct engine_call *engine_join(struct engine_seat *seat, struct text name, struct text identity,
                                struct text card)
{
    if (!card_fits(name, identity, card))
        return NULL;
    return make_text_call(
        seat, "join", ENGINE_JOIN,
        (struct sealing_place){.kind = LOG_JOIN, .name = name, .identity = identity}, card);
}

struct engine_call *engine_leave(struct engine_seat *seat, struct text name, uint64_t tag)
{
    struct call_words words;
    if (!name_fits(name))
        return NULL;
    start_call(&words, seat, "leave", seat->seq + 1);
    put_word(&words, name);
    put_number(&words, tag);
    return finish_call(&words, seat, ENGINE_LEAVE, seat->seq + 1);
}

struct engine_call *engine_renew(struct engine_seat *seat, const char *epoch_seen)
{
    struct call_words words;
    char epoch[SEAT_MAX];
    if (!random_hex(epoch, SEAT_LEN / 2))
        return NULL;
    start_call(&words, seat, "renew", 0);
    put_word(&words, text_of(epoch_seen));
    put_word(&words, text_of(epoch));
    return finish_call(&words, seat, ENGINE_RENEW, 0);
}

struct engine_call *engine_close(struct engine_seat *seat)
{
    struct call_words words;
    start_call(&words, seat, "close", 0);
    return finish_call(&words, seat, ENGINE_CLOSE, 0);
}

struct engine_call *engine_answer_to(struct engine_seat *seat, const struct log_entry *message,
                                     enum log_outcome outcome)
{
    struct call_words words;
    start_call(&words, seat, "answer", seat->seq + 1);
    put_word(&words, text_of(message->at));
    put_word(&words, text_of(message->seat));
    put_number(&words, message->seq);
    put_word(&words, text_of(log_outcome_name(outcome)));
    return finish_call(&words, seat, ENGINE_ANSWER, seat->seq + 1);
}

struct engine_call *engine_unblock(long long client)
{
    struct call_words words;
    words.count = words.numbers_count = 0;
    put_word(&words, text_of("CLIENT"));
    put_word(&words, text_of("UNBLOCK"));
    put_number(&words, (uint64_t)client);
    return finish_call(&words, NULL, ENGINE_UNBLOCK, 0);
}

/* ---- Answers ---- */

static bool copy_epoch(struct engine_answer *answer, const struct reply_value *value)
{
    struct text text = reply_text(value);
    if (!log_is_seat(text))
        return false;
    memcpy(answer->epoch, text.at, SEAT_LEN);
    answer->epoch[SEAT_LEN] = '\0';
    return true;
}

static bool copy_number(const struct reply_value *value, uint64_t *number)
{
    if (!value || value->type != REPLY_INTEGER || value->number < 0)
        return false;
    *number = (uint64_t)value->number;
    return true;
}

/* The last entry's place, number and tag. */
static bool read_start(struct log_position *start, const struct reply_value *reply)
{
    struct text at = reply_text(reply_item(reply, 4)), tag = reply_text(reply_item(reply, 6));
    if (!log_is_at(at) || !log_is_tag(tag) || !copy_number(reply_item(reply, 5), &start->number))
        return false;
    memset(start->at, 0, sizeof(start->at));
    memset(start->tag, 0, sizeof(start->tag));
    memcpy(start->at, at.at, at.len);
    memcpy(start->tag, tag.at, tag.len);
    return true;
}

/* A card that is not valid is left out: somebody who owns the engine has put it there. */
static const char *read_people(struct engine_answer *answer, const struct engine_seat *seat,
                               const struct reply_value *who)
{
    const struct sealing *sealing = seat->terms->sealing;
    if (!who || who->type != REPLY_ARRAY || who->count % 2 != 0 ||
        who->count / 2 > ENGINE_PEOPLE_MAX)
        return "open: the roster is not one";
    if (who->count == 0)
        return NULL;
    answer->people = calloc(who->count / 2, sizeof(*answer->people));
    if (!answer->people)
        return "out of memory";
    for (size_t i = 0; i < who->count; i += 2) {
        struct log_person *person = &answer->people[answer->count];
        struct sealing_key key;
        if (log_person_read(person, &who->items[i], &who->items[i + 1])) {
            answer->unreadable++;
            continue;
        }
        if (sealing && !sealing_derive(sealing, seat->room, person->seat, &key))
            return "out of memory";
        if (log_person_open(person, sealing ? &key : NULL, seat->room))
            answer->unreadable++;
        else
            answer->count++;
        OPENSSL_cleanse(&key, sizeof(key));
    }
    return NULL;
}

/* epoch, id, number, the last entry's place, number and tag, the roster. */
static const char *read_opened(struct engine_answer *answer, const struct engine_seat *seat)
{
    const struct reply_value *reply = answer->reply;
    uint64_t number;
    if (reply->count != 8 || !copy_epoch(answer, reply_item(reply, 1)) ||
        !copy_number(reply_item(reply, 2), &answer->id) ||
        !copy_number(reply_item(reply, 3), &number) || !read_start(&answer->start, reply) ||
        answer->start.number > number)
        return "open: the epoch, an Id or the position is not one";
    return read_people(answer, seat, reply_item(reply, 7));
}

/* The value of a setting in "key=value key=value". */
static struct text rule_value(struct text rules, struct text key)
{
    while (rules.len > 0) {
        struct text rule = text_before(rules, " ");
        struct text name = text_before(rule, "=");
        if (name.len == key.len && memcmp(name.at, key.at, key.len) == 0)
            return text_skip(rule, name.len + 1);
        rules = text_skip(rules, rule.len + 1);
    }
    return text_of("nothing");
}

static int shown(struct text text)
{
    return text.len < 40 ? (int)text.len : 40;
}

/* Names the first setting that differs. The secret's proof is nothing for people. */
static const char *read_rules(struct engine_answer *answer, const struct engine_seat *seat)
{
    char own[ENGINE_RULES_MAX];
    struct text theirs = reply_text(reply_item(answer->reply, 1));
    if (!theirs.at || theirs.len >= ENGINE_RULES_MAX)
        return "open: the rules are not text";
    write_rules(seat->terms, own);
    for (struct text rest = text_of(own); rest.len > 0;) {
        struct text rule = text_before(rest, " "), key = text_before(rule, "=");
        struct text mine = text_skip(rule, key.len + 1), other = rule_value(theirs, key);
        rest = text_skip(rest, rule.len + 1);
        if (mine.len == other.len && memcmp(mine.at, other.at, mine.len) == 0)
            continue;
        if (text_equals(key, "cluster_secret"))
            snprintf(answer->why, sizeof(answer->why), "cluster_secret: the other nodes have %s",
                     text_equals(other, "none")  ? "none"
                     : text_equals(mine, "none") ? "one, this node has none"
                                                 : "another one");
        else
            snprintf(answer->why, sizeof(answer->why),
                     "%.*s: the other nodes have %.*s, this node has %.*s", shown(key), key.at,
                     shown(other), other.at, shown(mine), mine.at);
        return NULL;
    }
    snprintf(answer->why, sizeof(answer->why), "the other nodes have settings that this one lacks");
    return NULL;
}

/* The states that engine.lua answers with, and for which calls. */
static const struct {
    const char *state;
    enum engine_result result;
} engine_states[] = {
    {"OK", ENGINE_OK},         {"DUP", ENGINE_OK},        {"GAP", ENGINE_GAP},
    {"FENCED", ENGINE_FENCED}, {"ROLLED", ENGINE_ROLLED}, {"BEHIND", ENGINE_BEHIND},
    {"RULES", ENGINE_RULES},
};

/* Whether a call of this kind can have that result. */
static bool result_fits(const struct engine_call *call, const struct engine_answer *answer)
{
    bool compares = call->op == ENGINE_OPEN || call->op == ENGINE_BEAT;
    switch (answer->result) {
    case ENGINE_GAP:
        return call->seq > 0;
    case ENGINE_ROLLED:
    case ENGINE_BEHIND:
        return compares;
    case ENGINE_RULES:
        return call->op == ENGINE_OPEN;
    case ENGINE_FENCED:
        return call->op != ENGINE_OPEN;
    case ENGINE_OK:
        return !answer->repeated || call->seq > 0;
    case ENGINE_AWAY:
        break;
    }
    return false;
}

/* Reads what follows the state. Returns NULL, or what is wrong. */
static const char *read_rest(const struct engine_call *call, struct engine_answer *answer)
{
    const struct reply_value *reply = answer->reply;
    if (answer->result == ENGINE_RULES)
        return read_rules(answer, call->seat);
    if (answer->result == ENGINE_GAP)
        return copy_number(reply_item(reply, 1), &answer->last) ? NULL : "GAP: no number";
    if (answer->result == ENGINE_FENCED)
        return NULL;
    if (call->op == ENGINE_OPEN)
        return read_opened(answer, call->seat);
    if (call->op == ENGINE_BEAT || call->op == ENGINE_RENEW)
        return copy_epoch(answer, reply_item(reply, 1)) ? NULL : "the epoch is not one";
    return NULL;
}

static const char *read_answer_value(const struct engine_call *call, struct engine_answer *answer)
{
    const struct reply_value *reply = answer->reply;
    if (call->op == ENGINE_UNBLOCK)
        return reply->type == REPLY_INTEGER ? NULL : "expected a number";
    struct text state = reply_text(reply_item(reply, 0));
    size_t row = 0, rows = sizeof(engine_states) / sizeof(*engine_states);
    while (state.at && row < rows && !text_equals(state, engine_states[row].state))
        row++;
    if (!state.at || row == rows)
        return "the state is unknown";
    answer->result = engine_states[row].result;
    answer->repeated = text_equals(state, "DUP");
    return result_fits(call, answer) ? read_rest(call, answer) : "the state does not fit the call";
}

enum engine_result engine_receive(struct redis_line *line, const struct engine_call *call,
                                  struct engine_answer *answer)
{
    memset(answer, 0, sizeof(*answer));
    answer->reply = redis_line_answer(line);
    if (!answer->reply)
        return answer->result = ENGINE_AWAY;
    if (answer->reply->type == REPLY_ERROR) {
        redis_line_drop(line, "the engine refuses: %.200s", answer->reply->bytes);
        return answer->result = ENGINE_AWAY;
    }
    const char *wrong = read_answer_value(call, answer);
    if (wrong) {
        redis_line_drop(line, "bad reply: %s", wrong);
        answer->repeated = false;
        return answer->result = ENGINE_AWAY;
    }
    if (answer->result == ENGINE_OK && call->seq > 0 && call->seq > call->seat->done)
        call->seat->done = call->seq;
    return answer->result;
}

void engine_answer_fini(struct engine_answer *answer)
{
    free(answer->people);
    reply_free(answer->reply);
    answer->people = NULL;
    answer->reply = NULL;
    answer->count = 0;
}

/* ---- The line ---- */

int engine_reach(struct redis_line *line)
{
    const struct text words[] = {
        text_of("SCRIPT"), text_of("LOAD"), {engine_script, engine_script_len}};
    if (redis_line_is_up(line))
        return 0;
    if (redis_line_reach(line) < 0)
        return -1;
    struct reply_value *value = redis_line_ask(line, words, 3);
    if (!value)
        return -1;
    struct text sha = reply_text(value);
    if (value->type == REPLY_ERROR)
        redis_line_drop(line, "SCRIPT LOAD: %.150s", value->bytes);
    else if (!sha.at || !text_equals(sha, engine_script_sha))
        redis_line_drop(line, "SCRIPT LOAD: the digest is not that of the script");
    reply_free(value);
    return redis_line_is_up(line) ? 0 : -1;
}

int engine_send(struct redis_line *line, const struct engine_call *call)
{
    return redis_line_queue(line, call->bytes, call->len);
}
