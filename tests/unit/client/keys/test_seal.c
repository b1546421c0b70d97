/* SPDX-License-Identifier: MIT
 *
 * test_seal.c - seal.c: sealed messages, and what must never open.
 */
#include "client/keys/seal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/crypto/hpke.h"
#include "people.h"

/* ---- Two people ---- */

struct pair {
    struct e2e_session ana, bob;
};

static void meet(struct pair *pair)
{
    *pair = (struct pair){.ana = {.identity = NULL}};
    people_session(&pair->ana, NULL, "tea", "ana");
    people_session(&pair->bob, NULL, "tea", "bob");
}

static void part(struct pair *pair)
{
    e2e_session_fini(&pair->ana);
    e2e_session_fini(&pair->bob);
}

static struct seal_content text_of(char *text)
{
    struct seal_content content = {.kind = SEAL_TEXT, .text = text, .len = strlen(text)};
    memset(content.id, 7, sizeof(content.id));
    content.sent_at = people_now(0).wall;
    return content;
}

static void seal_from_ana(struct seal_message *message, const struct pair *pair, uint64_t seq,
                          const struct seal_content *content)
{
    const struct seal_peer bob = {"bob", &pair->bob.keys};
    assert_true(seal_seal(message, &pair->ana, &bob, seq, content));
}

static void seal_text(struct seal_message *message, const struct pair *pair, char *text)
{
    const struct seal_content content = text_of(text);
    seal_from_ana(message, pair, 1, &content);
}

/* All steps but those that somebody else takes. */
static enum seal_verdict look(const struct seal_message *message, struct e2e_session *session,
                              const char *from, struct seal_content *content)
{
    enum seal_verdict verdict = seal_check(message, session, from, people_now(0));
    *content = (struct seal_content){.text = NULL};
    if (verdict == SEAL_GOOD)
        verdict = seal_open(message, session, from, content);
    assert_true((content->text != NULL) == (verdict == SEAL_GOOD));
    return verdict;
}

static enum seal_verdict look_at(const struct seal_message *message, struct pair *pair)
{
    struct seal_content content;
    enum seal_verdict verdict = look(message, &pair->bob, "ana", &content);
    seal_content_fini(&content);
    return verdict;
}

/* ---- The vectors ---- */

static void read_mark(const cJSON *inside, const char *name, struct seal_mark *mark)
{
    const cJSON *item = people_item(inside, name);
    vectors_hex(item, "from", mark->stream.from, E2E_HASH_BYTES);
    vectors_hex(item, "to", mark->stream.to, E2E_HASH_BYTES);
    mark->seq = people_number(item, "seq");
}

static struct seal_content content_of(const cJSON *inside)
{
    struct seal_content content = {.kind = (unsigned)people_number(inside, "kind")};
    vectors_hex(inside, "id", content.id, sizeof(content.id));
    content.sent_at = people_number(inside, "sent_at");
    read_mark(inside, "previous", &content.previous);
    read_mark(inside, "opened", &content.opened);
    content.opened_mask = strtoull(vectors_text(inside, "opened_mask"), NULL, 16);
    return content;
}

static void assert_same_marks(const struct seal_mark *a, const struct seal_mark *b)
{
    assert_true(seal_stream_is(&a->stream, &b->stream));
    assert_true(a->seq == b->seq);
}

static void assert_same_content(const struct seal_content *a, const struct seal_content *b)
{
    assert_int_equal(a->kind, b->kind);
    assert_memory_equal(a->id, b->id, SEAL_ID_BYTES);
    assert_true(a->sent_at == b->sent_at);
    assert_same_marks(&a->previous, &b->previous);
    assert_same_marks(&a->opened, &b->opened);
    assert_true(a->opened_mask == b->opened_mask);
}

/* Reads and judges a message of the vectors, as bob does who has accepted ana's identity and
 * `last`. */
static enum seal_verdict judge(const cJSON *message, struct e2e_session *bob, uint64_t last,
                               struct seal_content *content)
{
    struct seal_message sealed;
    struct json_object object;
    struct e2e_keys ana;
    char *json = people_print(message);
    const char *from = vectors_text(message, "SrcUser");
    enum seal_verdict verdict = SEAL_MALFORMED;
    *content = (struct seal_content){.text = NULL};
    people_card("sender", &ana);
    people_parse(&object, json);
    assert_true(seal_is_sealed(&object));
    if (seal_read(&object, &sealed))
        verdict = seal_check(&sealed, bob, from, people_now(0));
    if (verdict == SEAL_GOOD && memcmp(sealed.from.identity, ana.identity, E2E_KEY_BYTES) != 0)
        verdict = SEAL_KEY_CHANGED;
    if (verdict == SEAL_GOOD && sealed.seq > 0 && sealed.seq <= last)
        verdict = SEAL_REPLAYED;
    if (verdict == SEAL_GOOD)
        verdict = seal_open(&sealed, bob, from, content);
    seal_message_fini(&sealed);
    free(json);
    return verdict;
}

static void test_the_message_of_the_vector(void **state)
{
    struct e2e_session bob;
    struct seal_content content, wanted = content_of(people_item(vectors, "inside"));
    (void)state;
    people_fixed(&bob, "receiver");
    assert_int_equal(judge(people_item(vectors, "message"), &bob, 0, &content), SEAL_GOOD);
    assert_same_content(&content, &wanted);
    assert_string_equal(content.text, vectors_text(vectors, "text"));
    assert_int_equal(content.len, strlen(content.text));
    assert_int_equal(bob.opened, 1);
    seal_content_fini(&content);
    e2e_session_fini(&bob);
}

static void test_what_opens(void **state)
{
    struct e2e_session bob;
    const cJSON *row;
    (void)state;
    people_fixed(&bob, "receiver");
    cJSON_ArrayForEach(row, people_item(vectors, "opens"))
    {
        const cJSON *inside = people_item(row, "inside");
        struct seal_content content, wanted = content_of(inside);
        enum seal_verdict verdict = judge(people_item(row, "message"), &bob, 0, &content);
        if (verdict != SEAL_GOOD)
            fail_msg("%s: %s", vectors_text(row, "what"), seal_code(verdict));
        assert_same_content(&content, &wanted);
        assert_memory_equal(content.text, vectors_text(inside, "text"), strlen(content.text) + 1);
        seal_content_fini(&content);
    }
    e2e_session_fini(&bob);
}

/* Each with its code, in the order of the steps; nothing of it is left. */
static void test_what_is_refused(void **state)
{
    struct e2e_session bob;
    const cJSON *row, *refused = people_item(vectors, "refused");
    (void)state;
    people_fixed(&bob, "receiver");
    assert_true(cJSON_GetArraySize(refused) >= 100);
    cJSON_ArrayForEach(row, refused)
    {
        struct seal_content content;
        enum seal_verdict verdict = judge(people_item(row, "message"), &bob, 1, &content);
        if (strcmp(seal_code(verdict), vectors_text(row, "code")) != 0)
            fail_msg("%s: %s", vectors_text(row, "what"), seal_code(verdict));
        assert_null(content.text);
    }
    assert_int_equal(bob.opened, 0);
    e2e_session_fini(&bob);
}

static void test_padding(void **state)
{
    const cJSON *row;
    struct pair pair;
    static char text[2048];
    (void)state;
    meet(&pair);
    memset(text, 'x', sizeof(text) - 1);
    cJSON_ArrayForEach(row, people_item(vectors, "padding"))
    {
        struct seal_message message;
        struct seal_content content = text_of(text);
        content.len = strtoul(row->string, NULL, 10);
        seal_from_ana(&message, &pair, 1, &content);
        assert_int_equal(message.len, row->valueint + HPKE_TAG_BYTES);
        seal_message_fini(&message);
    }
    part(&pair);
}

/* ---- There and back ---- */

static void test_round_trips(void **state)
{
    static const char *const texts[] = {"", "x", "\xF0\x9F\x8D\xB5", "\"quoted\" \\ and\nmore"};
    struct pair pair;
    (void)state;
    meet(&pair);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct seal_message sent, received;
        struct json_object object;
        char text[64];
        size_t len;
        snprintf(text, sizeof(text), "%s", texts[i]);
        struct seal_content opened, content = text_of(text);
        content.previous = (struct seal_mark){{{1}, {2}}, 3};
        content.opened = (struct seal_mark){{{4}, {5}}, 6};
        content.opened_mask = UINT64_MAX - 5;
        seal_from_ana(&sent, &pair, 9, &content);
        char *json = seal_write(&sent, "bob", i % 2 ? "r\"1" : NULL, &len);
        assert_int_equal(strlen(json), len);
        people_parse(&object, json);
        assert_true(seal_read(&object, &received));
        assert_true(received.seq == 9);
        assert_int_equal(look(&received, &pair.bob, "ana", &opened), SEAL_GOOD);
        assert_same_content(&opened, &content);
        assert_string_equal(opened.text, texts[i]);
        seal_content_fini(&opened);
        assert_null(opened.text);
        free(json);
        seal_message_fini(&sent);
        seal_message_fini(&received);
    }
    assert_int_equal(pair.bob.opened, 4);
    part(&pair);
}

static void test_what_is_written(void **state)
{
    struct pair pair;
    struct seal_message message;
    struct json_object object;
    size_t len;
    (void)state;
    meet(&pair);
    seal_text(&message, &pair, (char[]){"x"});
    char *json = seal_write(&message, "Ben \"B\"", "r 1", &len);
    people_parse(&object, json);
    assert_true(seal_is_sealed(&object));
    assert_true(json_equals(&object, "msgType", "PrivateMessage"));
    assert_true(json_equals(&object, "TgtUser", "Ben \"B\""));
    assert_true(json_equals(&object, "Ref", "r 1"));
    assert_true(json_equals(&object, "Enc", "hpke-v2"));
    free(json);
    json = seal_write(&message, "bob", NULL, &len);
    people_parse(&object, json);
    assert_null(json_find(&object, "Ref"));
    free(json);
    seal_message_fini(&message);
    part(&pair);
}

static void test_plain_messages_are_not_sealed(void **state)
{
    static const char *const sealed[] = {"Enc", "EncKey", "Seq", "Sig", "ToKey"};
    struct json_object object;
    struct seal_message message;
    char json[100];
    (void)state;
    people_parse(&object, "{\"msgType\":\"PrivateMessage\",\"text\":\"hello\"}");
    assert_false(seal_is_sealed(&object));
    assert_false(seal_read(&object, &message));
    seal_message_fini(&message);
    for (size_t i = 0; i < sizeof(sealed) / sizeof(sealed[0]); i++) {
        snprintf(json, sizeof(json), "{\"%s\":null,\"text\":\"hello\"}", sealed[i]);
        people_parse(&object, json);
        assert_true(seal_is_sealed(&object));
    }
}

/* The same text twice: nothing that leaves shows it. */
static void test_every_message_has_keys_of_its_own(void **state)
{
    struct pair pair;
    struct seal_message one, two;
    (void)state;
    meet(&pair);
    seal_text(&one, &pair, (char[]){"x"});
    seal_text(&two, &pair, (char[]){"x"});
    assert_memory_not_equal(one.encapsulated, two.encapsulated, E2E_KEY_BYTES);
    assert_memory_not_equal(one.text, two.text, one.len);
    seal_message_fini(&one);
    seal_message_fini(&two);
    part(&pair);
}

/* ---- What is refused ---- */

/* Every bit of everything that a message carries. */
static void test_every_flipped_bit(void **state)
{
    struct pair pair;
    struct seal_message m;
    (void)state;
    meet(&pair);
    seal_text(&m, &pair, (char[]){"a text that takes two blocks, with more than forty characters"});
    struct {
        void *at;
        size_t len;
        enum seal_verdict verdict;
    } fields[] = {
        {&m.seq, sizeof(m.seq), SEAL_BAD_SIGNATURE},
        {m.from.identity, E2E_KEY_BYTES, SEAL_BAD_SIGNATURE},
        {m.from.session, E2E_KEY_BYTES, SEAL_BAD_SIGNATURE},
        {&m.from.expires, sizeof(m.from.expires), SEAL_BAD_SIGNATURE},
        {m.from.origin, strlen(m.from.origin), SEAL_BAD_SIGNATURE},
        {m.from.enc, strlen(m.from.enc), SEAL_BAD_SIGNATURE},
        {m.from.signature, E2E_SIGNATURE_BYTES, SEAL_BAD_SIGNATURE},
        {m.to, E2E_KEY_BYTES, SEAL_STALE_KEY},
        {m.encapsulated, E2E_KEY_BYTES, SEAL_BAD_SIGNATURE},
        {m.signature, E2E_SIGNATURE_BYTES, SEAL_BAD_SIGNATURE},
        {m.text, m.len, SEAL_BAD_SIGNATURE},
    };
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        unsigned char *at = fields[i].at;
        for (size_t bit = 0; bit < 8 * fields[i].len; bit++) {
            at[bit / 8] ^= (unsigned char)(1 << bit % 8);
            assert_int_equal(look_at(&m, &pair), fields[i].verdict);
            at[bit / 8] ^= (unsigned char)(1 << bit % 8);
        }
    }
    assert_int_equal(look_at(&m, &pair), SEAL_GOOD);
    seal_message_fini(&m);
    part(&pair);
}

static void test_truncated(void **state)
{
    struct pair pair;
    struct seal_message message;
    (void)state;
    meet(&pair);
    seal_text(&message, &pair, (char[]){"x"});
    size_t whole = message.len;
    for (message.len = HPKE_TAG_BYTES; message.len < whole; message.len++)
        assert_int_equal(look_at(&message, &pair), SEAL_BAD_SIGNATURE);
    assert_int_equal(look_at(&message, &pair), SEAL_GOOD);
    seal_message_fini(&message);
    part(&pair);
}

/* Readdressed, in another room, under another name: it does not matter how well it was made. */
static void test_elsewhere(void **state)
{
    struct pair pair;
    struct seal_message message;
    struct seal_content content;
    (void)state;
    meet(&pair);
    seal_text(&message, &pair, (char[]){"x"});
    snprintf(pair.bob.room, sizeof(pair.bob.room), "coffee");
    assert_int_equal(look_at(&message, &pair), SEAL_BAD_SIGNATURE);
    snprintf(pair.bob.room, sizeof(pair.bob.room), "tea");
    snprintf(pair.bob.name, sizeof(pair.bob.name), "rob");
    assert_int_equal(look_at(&message, &pair), SEAL_BAD_SIGNATURE);
    snprintf(pair.bob.name, sizeof(pair.bob.name), "bob");
    assert_int_equal(look(&message, &pair.bob, "anna", &content), SEAL_BAD_SIGNATURE);
    assert_int_equal(look(&message, &pair.ana, "ana", &content), SEAL_STALE_KEY);
    assert_int_equal(look_at(&message, &pair), SEAL_GOOD);
    seal_message_fini(&message);
    part(&pair);
}

/* Old cards and old messages are worth nothing: neither to a server nor to a thief. */
static void test_an_expired_card(void **state)
{
    struct pair pair;
    struct seal_message message;
    (void)state;
    meet(&pair);
    seal_text(&message, &pair, (char[]){"x"});
    struct e2e_now now = people_now(0);
    now.wall = message.from.expires + 1;
    assert_int_equal(seal_check(&message, &pair.bob, "ana", now), SEAL_EXPIRED);
    now.wall = message.from.expires - 2 * (uint64_t)PEOPLE_DAY - 1;
    assert_int_equal(seal_check(&message, &pair.bob, "ana", now), SEAL_EXPIRED);
    now.wall++;
    assert_int_equal(seal_check(&message, &pair.bob, "ana", now), SEAL_GOOD);
    message.signature[0] ^= 1;
    now.wall--;
    assert_int_equal(seal_check(&message, &pair.bob, "ana", now), SEAL_BAD_SIGNATURE);
    seal_message_fini(&message);
    part(&pair);
}

/* What is on its way to a session key that was replaced opens for a minute, and does not count for
 * the new one. */
static void test_a_former_session_key_opens(void **state)
{
    struct pair pair;
    struct seal_message message;
    struct seal_content content;
    (void)state;
    meet(&pair);
    seal_text(&message, &pair, (char[]){"x"});
    assert_true(e2e_session_renew(&pair.bob, people_now(0)));
    assert_int_equal(look(&message, &pair.bob, "ana", &content), SEAL_GOOD);
    assert_int_equal(pair.bob.opened, 0);
    seal_content_fini(&content);
    assert_int_equal(seal_check(&message, &pair.bob, "ana", people_now(59999)), SEAL_GOOD);
    assert_int_equal(seal_check(&message, &pair.bob, "ana", people_now(60000)), SEAL_STALE_KEY);
    e2e_session_expire(&pair.bob, people_now(60000));
    assert_int_equal(seal_open(&message, &pair.bob, "ana", &content), SEAL_CANNOT_OPEN);
    seal_message_fini(&message);
    part(&pair);
}

/* Nobody is talked into sealing for a key that makes all secrets the same. */
static void test_no_sealing_for_a_key_of_small_order(void **state)
{
    struct pair pair;
    struct seal_message message;
    const struct seal_content content = text_of((char[]){"x"});
    (void)state;
    meet(&pair);
    memset(pair.bob.keys.session, 0, E2E_KEY_BYTES);
    const struct seal_peer bob = {"bob", &pair.bob.keys};
    assert_false(seal_seal(&message, &pair.ana, &bob, 1, &content));
    seal_message_fini(&message);
    part(&pair);
}

/* Nothing is sealed that its receiver could not open. */
static void test_contents_that_are_none(void **state)
{
    struct pair pair;
    char text[] = "x", bad[] = "\xff";
    const uint64_t end = UINT64_C(1) << 53;
    struct seal_content good = text_of(text), rows[8];
    uint64_t seqs[8] = {1, 1, 1, 1, 1, 0, end, 1};
    (void)state;
    meet(&pair);
    for (size_t i = 0; i < 8; i++)
        rows[i] = good;
    rows[0].text = bad;
    rows[1].sent_at = end;
    rows[2].previous.seq = end;
    rows[3].opened.seq = end;
    rows[4].kind = 256;
    rows[7].kind = SEAL_RECEIPT;
    const struct seal_peer bob = {"bob", &pair.bob.keys};
    for (size_t i = 0; i < 8; i++) {
        struct seal_message message;
        assert_false(seal_seal(&message, &pair.ana, &bob, seqs[i], &rows[i]));
        assert_null(message.text);
        seal_message_fini(&message);
    }
    part(&pair);
}

static void test_the_stream_of_a_message(void **state)
{
    struct pair pair;
    struct seal_message message;
    const struct seal_stream none = {{0}, {0}};
    (void)state;
    meet(&pair);
    seal_text(&message, &pair, (char[]){"x"});
    struct seal_stream stream = seal_stream_of(&message);
    assert_memory_equal(stream.from, pair.ana.present.hash, E2E_HASH_BYTES);
    assert_memory_equal(stream.to, pair.bob.present.hash, E2E_HASH_BYTES);
    assert_true(seal_stream_is(&stream, &stream));
    assert_false(seal_stream_is(&stream, &none));
    assert_false(seal_stream_none(&stream));
    assert_true(seal_stream_none(&none));
    seal_message_fini(&message);
    part(&pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_message_of_the_vector),
        cmocka_unit_test(test_what_opens),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_padding),
        cmocka_unit_test(test_round_trips),
        cmocka_unit_test(test_what_is_written),
        cmocka_unit_test(test_plain_messages_are_not_sealed),
        cmocka_unit_test(test_every_message_has_keys_of_its_own),
        cmocka_unit_test(test_every_flipped_bit),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_elsewhere),
        cmocka_unit_test(test_an_expired_card),
        cmocka_unit_test(test_a_former_session_key_opens),
        cmocka_unit_test(test_no_sealing_for_a_key_of_small_order),
        cmocka_unit_test(test_contents_that_are_none),
        cmocka_unit_test(test_the_stream_of_a_message),
    };
    return cmocka_run_group_tests(tests, people_load, people_unload);
}
