/* SPDX-License-Identifier: MIT
 *
 * fuzz_engine.c - what an engine answers, of any bytes, for libFuzzer (`make fuzz`).
 *
 * The first byte says which call or read the answer is for. What must hold: a line that is dropped
 * has a reason without control characters; a position goes up; Ids are consecutive; all texts are
 * in their bounds and in UTF-8; without the secret nothing sealed is accepted.
 */
#include "cluster/engine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

#include "net/random.h"

enum { BODY_MAX = 200, ANSWER_MAX = 4096, FAKE_FD = 1000 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

/* ---- Instead of the network: the answer is in the parser already ---- */

ssize_t stream_read(struct stream *stream, void *buf, size_t len)
{
    (void)stream, (void)buf, (void)len;
    return 0; /* the end */
}

ssize_t stream_write(struct stream *stream, const void *buf, size_t len)
{
    (void)stream, (void)buf;
    return (ssize_t)len;
}

void stream_close(struct stream *stream)
{
    stream->fd = -1;
}

/* The same seats and epochs for the same input. */
bool random_bytes(void *out, size_t bytes)
{
    memset(out, 0xAA, bytes);
    return true;
}

bool random_hex(char *text, size_t bytes)
{
    memset(text, 'a', 2 * bytes);
    text[2 * bytes] = '\0';
    return true;
}

static struct redis_target target = {.answer_max = ANSWER_MAX, .user = "", .password = ""};
static struct engine_terms terms = {.prefix = "ragnarok",
                                    .lease_ms = 1000,
                                    .keep_ms = 1000,
                                    .log_bytes = 1000,
                                    .body_max = BODY_MAX,
                                    .rules = "max_message_bytes=65536"};

/* A line that has got these bytes. */
static bool make_line(struct redis_line *line, const uint8_t *data, size_t size)
{
    redis_line_init(line, &target);
    line->stream.fd = FAKE_FD;
    require(reply_parser_init(&line->parser, target.answer_max) == 0);
    if (reply_parser_feed(&line->parser, (const char *)data, size) == 0)
        return true;
    redis_line_fini(line);
    return false;
}

static void check_line(const struct redis_line *line)
{
    if (redis_line_is_up(line))
        return;
    require(line->why[0] != '\0' && strlen(line->why) < REDIS_WHY_MAX);
    for (const char *at = line->why; *at; at++)
        require((unsigned char)*at >= ' ');
}

static void check_text(struct text text, size_t most)
{
    require(text.len <= most);
    for (size_t at = 0; at < text.len;) {
        utf8proc_int32_t point;
        utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)text.at + at,
                                              (utf8proc_ssize_t)(text.len - at), &point);
        require(n > 0);
        at += (size_t)n;
    }
}

/* ---- Answers to calls ---- */

static struct engine_call *make_call(struct engine_seat *seat, unsigned op)
{
    const struct log_entry message = {.at = "1-0", .seq = 1};
    struct text name = text_of("bob"), text = text_of("{}");
    switch (op) {
    case ENGINE_OPEN:
        return engine_open(seat, true, NULL);
    case ENGINE_BEAT:
        return engine_beat(seat, false, NULL);
    case ENGINE_TELL:
        return engine_tell(seat, name, text);
    case ENGINE_JOIN:
        return engine_join(seat, name, text_of("-"), text);
    case ENGINE_LEAVE:
        return engine_leave(seat, name, 1);
    case ENGINE_RENEW:
        return engine_renew(seat, "");
    case ENGINE_CLOSE:
        return engine_close(seat);
    case ENGINE_PUBLISH:
        return engine_publish(seat, 1, name, text_of("-"), text);
    case ENGINE_ANSWER:
        return engine_answer_to(seat, &message, LOG_DELIVERED);
    case ENGINE_UNBLOCK:
        return engine_unblock(1);
    default:
        return engine_say(seat, text);
    }
}

static void check_opened(const struct engine_answer *answer)
{
    require(log_is_at(text_of(answer->start.at)) && log_is_tag(text_of(answer->start.tag)));
    for (size_t i = 0; i < answer->count; i++) {
        require(log_is_seat(text_of(answer->people[i].seat)) && answer->people[i].tag > 0);
        require(answer->people[i].name.len > 0 && answer->people[i].name.len <= LOG_NAME_MAX);
        check_text(answer->people[i].card, LOG_CARD_MAX + SEALING_TAG_BYTES);
    }
    require(!terms.sealing || answer->count == 0);
}

static void answer_call(struct redis_line *line, struct engine_seat *seat, unsigned op)
{
    struct engine_answer answer;
    struct engine_call *call = make_call(seat, op);
    require(call && engine_send(line, call) == 0);
    enum engine_result result = engine_receive(line, call, &answer);
    require(result == answer.result);
    require((result == ENGINE_AWAY) == !redis_line_is_up(line));
    require(!answer.repeated || (result == ENGINE_OK && call->seq > 0));
    require(result != ENGINE_RULES || answer.why[0] != '\0');
    require(result != ENGINE_GAP || call->seq > 0);
    require(seat->done == (result == ENGINE_OK ? call->seq : 0));
    if (op == ENGINE_OPEN && (result == ENGINE_OK || result == ENGINE_ROLLED))
        check_opened(&answer);
    engine_answer_fini(&answer);
    engine_call_free(call);
}

/* ---- Reads ---- */

static void check_entry(const struct log_entry *entry)
{
    require(log_is_at(text_of(entry->at)) && log_is_seat(text_of(entry->seat)));
    require(entry->number > 0);
    size_t most = entry->kind == LOG_JOIN ? LOG_CARD_MAX : BODY_MAX;
    check_text(entry->body, most + SEALING_TAG_BYTES);
    require(!terms.sealing || !entry->body.at);
}

static void read_batch(struct redis_line *line, struct engine_seat *seat, bool backwards)
{
    struct engine_answer opened = {.start = {"5-0", 4, "-"}, .id = 2};
    struct engine_log logs[2], *list[] = {&logs[0], &logs[1]}, *log;
    struct engine_batch batch;
    struct log_entry entry;
    const char *why = NULL;
    engine_log_start(&logs[0], &seat[0], &opened);
    engine_log_start(&logs[1], &seat[1], &opened);
    int result = backwards ? engine_read_back(line, list, "5-0", &batch)
                           : engine_read(line, list, 2, 1, &batch);
    while (result == 0) {
        enum log_verdict verdict = engine_batch_next(&batch, &log, &entry, &why);
        if (verdict == LOG_END)
            break;
        require(log == list[0] || log == list[1]);
        if (verdict == LOG_GOOD)
            check_entry(&entry);
        else
            require(why && why[0] != '\0');
        if (verdict == LOG_GOOD && !backwards)
            require(strcmp(log->order.position.at, entry.at) == 0 &&
                    (entry.kind != LOG_BROADCAST || log->order.next_id == entry.id + 1));
        if (verdict == LOG_BROKEN)
            engine_batch_skip(&batch);
    }
    if (result == 0)
        engine_batch_fini(&batch);
    engine_log_fini(&logs[0]);
    engine_log_fini(&logs[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct sealing *sealing;
    struct redis_line line;
    struct engine_seat seats[2];
    const char *why;
    if (!sealing)
        sealing = sealing_new("0123456789abcdef0123456789abcdef", &why);
    if (size == 0 || !make_line(&line, data + 1, size - 1))
        return 0;
    unsigned kind = data[0] % 16;
    terms.sealing = data[0] & 0x80 ? sealing : NULL;
    require(engine_seat_init(&seats[0], &terms, "") == 0);
    require(engine_seat_init(&seats[1], &terms, "x") == 0);
    if (kind < 10)
        answer_call(&line, &seats[0], kind);
    else if (kind == 10)
        engine_reach(&line);
    else
        read_batch(&line, seats, kind >= 14);
    check_line(&line);
    redis_line_fini(&line);
    return 0;
}
