/* SPDX-License-Identifier: MIT
 *
 * test_continuity.c - the scripts, and when to look again.
 */
#include "client/keys/continuity.h"

#include "continuity_receiver.h"

/* ---- One receiver ---- */

static void assert_quiet(struct desk *desk, int64_t now)
{
    struct continuity_event event;
    assert_false(continuity_event(&desk->continuity, now, &event));
    assert_true(continuity_wait(&desk->continuity, now) != 0);
}

/* ---- The scripts ---- */

static const cJSON *script_list(const char *name)
{
    return people_item(people_item(vectors, "continuity"), name);
}

static struct seal_mark mark_of(const cJSON *item)
{
    struct seal_mark mark = {.seq = people_number(item, "seq")};
    vectors_hex(item, "from", mark.stream.from, E2E_HASH_BYTES);
    vectors_hex(item, "to", mark.stream.to, E2E_HASH_BYTES);
    return mark;
}

static void assert_same_mark(const struct seal_mark *mark, const cJSON *item)
{
    const struct seal_mark wanted = mark_of(item);
    assert_true(seal_stream_is(&mark->stream, &wanted.stream));
    assert_true(mark->seq == wanted.seq);
}

static uint64_t mask_of(const cJSON *step)
{
    return strtoull(vectors_text(step, "opened_mask"), NULL, 16);
}

/* The session keys and the Seq of a step. */
static struct seal_message read_message(const cJSON *step, uint64_t seq)
{
    struct seal_message message = {.seq = seq};
    vectors_hex(step, "from", message.from.session, E2E_KEY_BYTES);
    vectors_hex(step, "to", message.to, E2E_KEY_BYTES);
    return message;
}

static bool was_ours(const cJSON *had, const unsigned char hash[E2E_HASH_BYTES])
{
    char hex[2 * E2E_HASH_BYTES + 1];
    const cJSON *row;
    hex_write(hex, hash, E2E_HASH_BYTES);
    cJSON_ArrayForEach(row, had) if (strcmp(row->valuestring, hex) == 0) return true;
    return false;
}

static void receive_step(struct desk *desk, const cJSON *had, const cJSON *step)
{
    const struct seal_message message = read_message(step, people_number(step, "seq"));
    struct seal_content content = {.kind = SEAL_TEXT}, next = {.kind = SEAL_TEXT};
    struct seal_mark mark;
    struct continuity_news news;
    enum seal_verdict verdict = continuity_judge(&desk->continuity, desk->peer, &message);
    assert_string_equal(seal_code(verdict), vectors_text(step, "code"));
    if (verdict == SEAL_GOOD) {
        content.previous = mark_of(people_item(step, "previous"));
        vectors_hex(step, "id", content.id, sizeof(content.id));
        const struct continuity_arrival arrival = {.from = "ana",
                                                   .message = &message,
                                                   .content = &content,
                                                   .had =
                                                       was_ours(had, content.previous.stream.to)};
        continuity_opened(&desk->continuity, desk->peer, &arrival, &news);
        assert_true(news.missing == people_number(step, "missing"));
        assert_int_equal(news.shown_before, cJSON_IsTrue(people_item(step, "shown_before")));
    }
    assert_true(continuity_prepare(desk->peer, &desk->session, &next, &mark));
    assert_same_mark(&next.opened, people_item(step, "opened"));
    assert_true(next.opened_mask == mask_of(step));
}

static void test_scripts_of_receiving(void **state)
{
    const cJSON *script, *step;
    (void)state;
    cJSON_ArrayForEach(script, script_list("receiving"))
    {
        struct desk desk;
        sit_down(&desk);
        print_message("  %s\n", vectors_text(script, "what"));
        cJSON_ArrayForEach(step, people_item(script, "steps"))
            receive_step(&desk, people_item(script, "had"), step);
        stand_up(&desk);
    }
}

static void text_step(struct desk *desk, const cJSON *step)
{
    struct seal_content content = {.kind = SEAL_TEXT};
    struct seal_mark mark;
    vectors_hex(step, "id", content.id, sizeof(content.id));
    assert_true(continuity_prepare(desk->peer, &desk->session, &content, &mark));
    assert_same_mark(&mark, people_item(step, "mark"));
    assert_same_mark(&content.previous, people_item(step, "previous"));
    continuity_sent(desk->peer, &mark, content.id);
}

static void events_step(struct desk *desk, const cJSON *step)
{
    static const char *const lists[] = {[CONTINUITY_ARRIVED] = "arrived",
                                        [CONTINUITY_AGAIN] = "again",
                                        [CONTINUITY_GIVEN_UP] = "given_up"};
    int64_t now = (int64_t)people_number(step, "now");
    struct continuity_event event;
    int found[3] = {0}, wanted = 0;
    while (continuity_event(&desk->continuity, now, &event)) {
        char id[2 * SEAL_ID_BYTES + 1];
        assert_true(event.kind != CONTINUITY_RECEIPT);
        const cJSON *list = people_item(step, lists[event.kind]);
        const cJSON *item = cJSON_GetArrayItem(list, found[event.kind]++);
        hex_write(id, event.id, SEAL_ID_BYTES);
        assert_non_null(item);
        assert_string_equal(id, item->valuestring);
    }
    for (size_t i = 0; i < 3; i++)
        wanted += cJSON_GetArraySize(people_item(step, lists[i]));
    assert_int_equal(found[0] + found[1] + found[2], wanted);
}

static void card_step(struct desk *desk, const cJSON *step)
{
    struct e2e_keys card = {.expires = people_number(step, "expires")};
    vectors_hex(step, "key", card.session, E2E_KEY_BYTES);
    continuity_learn(desk->peer, "ana", &card, cJSON_IsTrue(people_item(step, "asked")),
                     (int64_t)people_number(step, "now"));
}

static void send_step(struct desk *desk, const cJSON *step)
{
    const char *op = vectors_text(step, "op");
    unsigned char id[SEAL_ID_BYTES], key[E2E_KEY_BYTES];
    if (cJSON_HasObjectItem(step, "id"))
        vectors_hex(step, "id", id, sizeof(id));
    if (strcmp(op, "session") == 0) {
        vectors_hex(step, "key", key, sizeof(key));
        e2e_hash(key, desk->session.present.hash);
    } else if (strcmp(op, "card") == 0) {
        card_step(desk, step);
    } else if (strcmp(op, "text") == 0) {
        text_step(desk, step);
    } else if (strcmp(op, "confirm") == 0) {
        const struct seal_mark opened = mark_of(people_item(step, "opened"));
        confirm(desk, &opened, mask_of(step));
    } else if (strcmp(op, "reconnected") == 0) {
        continuity_reconnected(&desk->continuity);
    } else if (strcmp(op, "stale") == 0) {
        assert_int_equal(continuity_stale(desk->peer, id),
                         cJSON_IsTrue(people_item(step, "again")));
    } else if (strcmp(op, "refused") == 0) {
        continuity_drop(desk->peer, id);
    } else {
        assert_string_equal(op, "events");
        events_step(desk, step);
    }
}

static void test_scripts_of_sending(void **state)
{
    const cJSON *script, *step;
    (void)state;
    cJSON_ArrayForEach(script, script_list("sending"))
    {
        struct desk desk;
        sit_down(&desk);
        print_message("  %s\n", vectors_text(script, "what"));
        cJSON_ArrayForEach(step, people_item(script, "steps")) send_step(&desk, step);
        stand_up(&desk);
    }
}

static void due_step(struct desk *desk, const cJSON *step)
{
    int64_t now = (int64_t)people_number(step, "now");
    struct continuity_event event;
    int found = 0;
    const cJSON *wanted = people_item(step, "receipts");
    while (continuity_event(&desk->continuity, now, &event)) {
        if (event.kind != CONTINUITY_RECEIPT)
            continue;
        const cJSON *row = cJSON_GetArrayItem(wanted, found++);
        struct seal_stream stream;
        assert_non_null(row);
        vectors_hex(row, "from", stream.from, E2E_HASH_BYTES);
        vectors_hex(row, "to", stream.to, E2E_HASH_BYTES);
        assert_true(seal_stream_is(&event.opened.stream, &stream));
        assert_int_equal(event.peer->identity[0], vectors_text(row, "who")[0]);
    }
    assert_int_equal(found, cJSON_GetArraySize(wanted));
}

static void test_script_of_confirming(void **state)
{
    const cJSON *step;
    struct desk desk;
    uint64_t seq = 0;
    (void)state;
    sit_down(&desk);
    cJSON_ArrayForEach(step, script_list("confirming"))
    {
        const char *op = vectors_text(step, "op");
        if (strcmp(op, "due") == 0) {
            due_step(&desk, step);
            continue;
        }
        unsigned char identity[E2E_KEY_BYTES] = {(unsigned char)vectors_text(step, "who")[0]};
        desk.peer = continuity_peer(&desk.continuity, identity);
        if (strcmp(op, "text") == 0) {
            assert_true(go(&desk, ++seq) > 0);
            continue;
        }
        const struct seal_message message = read_message(step, ++seq);
        struct seal_content content = {.kind = SEAL_TEXT};
        id_of(seq, content.id);
        assert_int_equal(continuity_judge(&desk.continuity, desk.peer, &message), SEAL_GOOD);
        count(&desk, desk.peer, &message, &content, (int64_t)people_number(step, "now"));
    }
    stand_up(&desk);
}

/* ---- When to look again ---- */

static void test_wait_says_when_there_is_something_to_do(void **state)
{
    struct desk desk;
    (void)state;
    sit_down(&desk);
    assert_int_equal(continuity_wait(&desk.continuity, 0), -1);
    assert_int_equal(come(&desk, 1, 2, 1), SEAL_GOOD);
    assert_int_equal(continuity_wait(&desk.continuity, 50), 150);
    assert_quiet(&desk, 199);
    assert_event(&desk, 200, CONTINUITY_RECEIPT, 0);
    assert_int_equal(continuity_wait(&desk.continuity, 200), -1);
    assert_int_equal(go(&desk, 1), 1);
    assert_int_equal(continuity_wait(&desk.continuity, 300), -1);
    show_card(&desk, 3, 1000);
    assert_int_equal(continuity_wait(&desk.continuity, 1500), 4500);
    assert_quiet(&desk, 5999);
    assert_event(&desk, 6000, CONTINUITY_AGAIN, 1);
    assert_int_equal(continuity_wait(&desk.continuity, 7000), -1);
    stand_up(&desk);
}

/* Ten receipts a second; the eleventh waits until the first is a second old. */
static void test_receipts_are_bounded(void **state)
{
    struct desk desk;
    (void)state;
    sit_down(&desk);
    for (uint64_t i = 0; i <= CONTINUITY_RECEIPTS_MAX; i++)
        assert_int_equal(come(&desk, 100 + i, 2, 1), SEAL_GOOD);
    for (uint64_t i = 0; i < CONTINUITY_RECEIPTS_MAX; i++)
        assert_event(&desk, 300 + (int64_t)i, CONTINUITY_RECEIPT, 0);
    assert_quiet(&desk, 309);
    assert_int_equal(continuity_wait(&desk.continuity, 309), 991);
    assert_quiet(&desk, 1299);
    assert_event(&desk, 1300, CONTINUITY_RECEIPT, 0);
    assert_quiet(&desk, 99999);
    stand_up(&desk);
}

/* A receipt is nothing that is counted: it never makes another one due. */
static void test_receipts_are_not_confirmed(void **state)
{
    struct desk desk;
    const struct seal_mark none = {.seq = 0};
    (void)state;
    sit_down(&desk);
    show_card(&desk, 1, 0);
    confirm(&desk, &none, 0);
    confirm(&desk, &none, 0);
    assert_int_equal(continuity_wait(&desk.continuity, 99999), -1);
    stand_up(&desk);
}

/* A receipt goes to the session key that the message came from, a text to the newest card. */
static void test_receipts_go_where_the_message_came_from(void **state)
{
    struct desk desk;
    struct seal_message message = message_of(7, 2, 1);
    const struct seal_content content = {.kind = SEAL_TEXT};
    (void)state;
    sit_down(&desk);
    show_card(&desk, 5, 0);
    desk.peer->card.expires = 10;
    message.from.expires = 9; /* its clock was set back */
    assert_int_equal(continuity_judge(&desk.continuity, desk.peer, &message), SEAL_GOOD);
    count(&desk, desk.peer, &message, &content, 0);
    assert_memory_equal(desk.peer->shown.session, message.from.session, E2E_KEY_BYTES);
    assert_memory_not_equal(desk.peer->card.session, message.from.session, E2E_KEY_BYTES);
    assert_string_equal(desk.peer->name, "ana");
    stand_up(&desk);
}

/* Kinds that nobody knows yet are counted, confirmed and said, each once. */
static void test_unknown_kinds_are_counted(void **state)
{
    struct desk desk;
    struct seal_message message = message_of(1, 2, 1);
    const struct seal_content content = {.kind = 200};
    (void)state;
    sit_down(&desk);
    assert_int_equal(continuity_judge(&desk.continuity, desk.peer, &message), SEAL_GOOD);
    assert_false(count(&desk, desk.peer, &message, &content, 0).shown_before);
    assert_int_equal(continuity_judge(&desk.continuity, desk.peer, &message), SEAL_REPLAYED);
    message.seq = 2;
    assert_int_equal(continuity_judge(&desk.continuity, desk.peer, &message), SEAL_GOOD);
    assert_true(count(&desk, desk.peer, &message, &content, 0).shown_before);
    assert_event(&desk, 200, CONTINUITY_RECEIPT, 0);
    stand_up(&desk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scripts_of_receiving),
        cmocka_unit_test(test_scripts_of_sending),
        cmocka_unit_test(test_script_of_confirming),
        cmocka_unit_test(test_wait_says_when_there_is_something_to_do),
        cmocka_unit_test(test_receipts_are_bounded),
        cmocka_unit_test(test_receipts_are_not_confirmed),
        cmocka_unit_test(test_receipts_go_where_the_message_came_from),
        cmocka_unit_test(test_unknown_kinds_are_counted),
    };
    return cmocka_run_group_tests(tests, people_load, people_unload);
}
