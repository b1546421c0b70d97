/* SPDX-License-Identifier: MIT
 *
 * test_conversation_bounds.c - private conversations when many write, much waits, time passes, or
 * the server says what nobody asked for.
 */
#include "relay.h"
#include "net/random.h"

static struct conversation *talk_of(struct member *member, const char *name)
{
    return conversation_find(&member->private.conversations, name);
}

/* ---- Strangers: members without a client ---- */

static char *plain_message(const char *from, const char *text)
{
    char *json = NULL;
    assert_true(asprintf(&json,
                         "{\"msgType\":\"PrivateMessage\",\"SrcUser\":\"%s\",\"text\":\"%s\"}",
                         from, text) > 0);
    return json;
}

/* A sealed message of somebody with fresh keys, as it comes to `member`. */
static char *sealed_message(const char *from, const struct member *member, const char *text)
{
    size_t len;
    struct e2e_session session = {0};
    struct e2e_place place = {.origin = "https://h:1", .room = "", .name = from};
    struct seal_content content = {.kind = SEAL_TEXT, .sent_at = 1, .len = strlen(text)};
    struct seal_peer to = {member->name, &member->private.conversations.session.keys};
    struct seal_message message = {0};
    EVP_PKEY *identity = e2e_key_new(E2E_IDENTITY);
    assert_true(
        e2e_session_open(&session, identity, &place, (struct e2e_now){relay_wall(), relay.now}));
    assert_true(random_bytes(content.id, sizeof(content.id)));
    content.text = strdup(text);
    assert_true(seal_seal(&message, &session, &to, 1, &content));
    char *json = seal_write(&message, to.name, "r", &len), *whole = NULL;
    assert_true(asprintf(&whole, "{\"SrcUser\":\"%s\",%s", from, json + 1) > 0);
    seal_message_fini(&message);
    free(content.text);
    e2e_session_fini(&session);
    EVP_PKEY_free(identity);
    free(json);
    return whole;
}

/* ---- Many people ---- */

static void names_that_say_something_in_plaintext_take_no_place(void **state)
{
    char name[32];
    (void)state;
    struct member *ana = relay_member("ana"), *bob = relay_member("bob");
    for (int i = 0; i < 4096; i++) {
        snprintf(name, sizeof(name), "n%d", i);
        relay_hear(ana, plain_message(name, "."));
    }
    assert_int_equal(ana->private.conversations.count, 0);
    relay_say(ana, "bob", "hello");
    relay_say(bob, "ana", "I am here");
    relay_run(1000);
    assert_int_equal(relay_shown(bob, "hello"), 1);
    assert_int_equal(relay_shown(ana, "I am here"), 1);
}

static void the_oldest_idle_conversation_makes_room(void **state)
{
    char name[32];
    (void)state;
    struct member *ana = relay_member("ana");
    relay_hear(ana, sealed_message("first", ana, "hi"));
    relay_hear(ana, sealed_message("second", ana, "hi"));
    relay_say(ana, "first", "no keys yet"); /* nobody answers: it is unsent */
    for (int i = 0; i < CONVERSATION_MAX; i++) {
        snprintf(name, sizeof(name), "n%d", i);
        relay_hear(ana, sealed_message(name, ana, "."));
    }
    assert_int_equal(ana->private.conversations.count, CONVERSATION_MAX);
    assert_non_null(talk_of(ana, "first"));
    assert_null(talk_of(ana, "second"));
    assert_non_null(talk_of(ana, name));
    assert_int_equal(relay_shown(ana, "."), CONVERSATION_MAX);
    struct member *bob = relay_member("bob");
    relay_say(ana, "bob", "hello");
    relay_say(bob, "ana", "I am here");
    relay_run(20000);
    assert_int_equal(relay_shown(bob, "hello"), 1);
    assert_int_equal(relay_shown(ana, "I am here"), 1);
}

static void when_all_are_in_use_the_sender_is_told(void **state)
{
    (void)state;
    struct member *ana = relay_member("ana"), *bob = relay_member("bob");
    for (int i = 0; i < CONVERSATION_MAX; i++) {
        char name[32];
        snprintf(name, sizeof(name), "n%d", i);
        struct conversation *conversation =
            conversation_with(&ana->private.conversations, name, false);
        assert_non_null(conversation);
        conversation->plain = true;
    }
    relay_say(bob, "ana", "hello");
    relay_run(1000);
    assert_int_equal(relay_shown(ana, "hello"), 0);
    assert_printed(ana, "a message of bob cannot be read: there is no room for one more");
    assert_printed(bob, "ana could not read \"hello\" (cannot_open)");
    relay_say(ana, "bob", "hello");
    assert_printed(ana, "not sent to bob: too many");
}

/* ---- Messages that wait for a key ---- */

static void messages_that_wait_are_bounded_in_bytes(void **state)
{
    (void)state;
    struct member *ana = relay_member("ana");
    size_t large = 100000, count = 0;
    char *text = malloc(large + 1);
    memset(text, 'x', large);
    text[large] = '\0';
    relay_hear(ana, sealed_message("bob", ana, "first"));
    for (; count < 20; count++)
        relay_hear(ana, sealed_message("bob", ana, text));
    struct conversation *bob = talk_of(ana, "bob");
    assert_in_range(bob->waiting_bytes, CONVERSATION_WAITING_BYTES / 2, CONVERSATION_WAITING_BYTES);
    assert_true(bob->waiting_count < count);
    assert_int_equal(bob->waiting_bytes, ana->private.conversations.waiting_bytes);
    assert_printed(ana, "a message of bob cannot be read: there is no room");
    for (int i = 0; i < 40; i++) {
        char name[32];
        snprintf(name, sizeof(name), "n%d", i);
        relay_hear(ana, sealed_message(name, ana, "first"));
        for (int j = 0; j < 5; j++)
            relay_hear(ana, sealed_message(name, ana, text));
        assert_true(ana->private.conversations.waiting_bytes <= CONVERSATION_WAITING_ALL_BYTES);
    }
    assert_true(ana->private.conversations.waiting_bytes >
                CONVERSATION_WAITING_ALL_BYTES - 4 * large);
    free(text);
}

/* ---- What nobody asked for ---- */

static void keys_that_nobody_asked_for_are_ignored(void **state)
{
    (void)state;
    struct member *ana = relay_member("ana"), *bob = relay_member("bob");
    relay_hear(ana, relay_user_keys("bob", bob->card));
    assert_int_equal(conversation_known(&ana->private.conversations, "bob"), KEYSTORE_UNKNOWN);
    assert_int_equal(ana->private.conversations.count, 0);
    relay_say(ana, "bob", "hello");
    relay_run(1000);
    assert_int_equal(talk_of(ana, "bob")->state, CONVERSATION_ENCRYPTED);
    relay_hear(ana, relay_user_keys("bob", NULL));
    assert_int_equal(talk_of(ana, "bob")->state, CONVERSATION_ENCRYPTED);
}

static void a_notice_begins_nothing(void **state)
{
    (void)state;
    struct member *ana = relay_member("ana");
    char *json = NULL;
    assert_true(asprintf(&json,
                         "{\"msgType\":\"PrivateMessage\",\"SrcUser\":\"eve\",\"text\":\"\","
                         "\"Notice\":\"unreadable\",\"Code\":\"stale_key\",\"About\":\"x\"}") > 0);
    relay_hear(ana, json);
    assert_int_equal(ana->private.conversations.count, 0);
    assert_string_equal(relay_printed(ana), "");
}

/* ---- Time ---- */

static void keys_of_another_time_are_refused_in_words(void **state)
{
    (void)state;
    struct member *ana = relay_member("ana"), *bob = relay_member("bob");
    relay.wall_skew = E2E_SIGNED_MS + 1000;
    relay_say(ana, "bob", "secret");
    relay_settle();
    assert_printed(ana,
                   "not sent to bob: \"secret\": the keys are not valid at this time: the clock");
    relay_hear(ana, sealed_message("eve", ana, "now"));
    char *json = sealed_message("eve", ana, "then");
    relay.wall_skew = -E2E_AHEAD_MAX_MS;
    relay_hear(ana, json);
    assert_int_equal(relay_shown(ana, "now"), 1);
    assert_int_equal(relay_shown(ana, "then"), 0);
    assert_printed(ana, "a message of eve cannot be read: its keys are not valid at this time");
    assert_printed(ana, "\"Unreadable\":\"expired\"");
    (void)bob;
}

static char *held_back; /* UserKeys that the server has not sent yet */

static void a_wish_to_compare_ends(void **state)
{
    (void)state;
    struct member *ana = relay_member("ana"), *bob = relay_member("bob");
    for (int typed = 0; typed < 2; typed++) {
        relay_forget(ana);
        relay_tell_users(NULL);
        ana->online = false; /* what it sends is not answered yet */
        relay_enter(ana);
        struct conversation *conversation =
            conversation_with(&ana->private.conversations, "bob", true);
        private_compare(&ana->private, conversation);
        assert_non_null(conversation->compare_until);
        if (typed)
            assert_false(private_answer(&ana->private, "ye"));
        relay_leave();
        if (!typed)
            relay_run(PRIVATE_COMPARE_MS + 1);
        held_back = relay_user_keys("bob", bob->card);
        relay_hear(ana, held_back);
        assert_null(ana->private.comparing);
        assert_not_printed(ana, "safety number");
        if (!typed)
            assert_printed(ana, "no keys of bob came within 5 seconds");
        ana->online = true;
        ana->ws.out_from = ana->ws.out_len = 0;
    }
}

static void others_who_come_do_not_end_a_wish(void **state)
{
    (void)state;
    struct member *ana = relay_member("ana"), *bob = relay_member("bob");
    relay_enter(ana);
    private_compare(&ana->private, conversation_with(&ana->private.conversations, "bob", true));
    relay_leave();
    relay_tell_users(NULL);
    relay_run(1000);
    assert_printed(ana, "Your safety number with bob");
    (void)bob;
}

static void only_the_last_digits_mark_a_key(void **state)
{
    static const char *const wrong[] = {"yes", "y", "", "no", "0000", "000000", "/msg bob hi"};
    char digits[16];
    (void)state;
    struct member *ana = relay_member("ana"), *bob = relay_member("bob");
    relay_say(bob, "ana", "hi");
    relay_run(1000);
    struct conversation *conversation = talk_of(ana, "bob");
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        strcpy(ana->output.screen.line.text, "ye");
        ana->output.screen.line.len = ana->output.screen.line.at = 2;
        relay_enter(ana);
        private_compare(&ana->private, conversation);
        assert_string_equal(ana->output.screen.line.text, "");
        assert_true(private_answer(&ana->private, wrong[i]));
        assert_false(private_answer(&ana->private, "00000"));
        relay_leave();
        assert_int_equal(conversation->state, CONVERSATION_ENCRYPTED);
    }
    relay_enter(ana);
    private_compare(&ana->private, conversation);
    snprintf(digits, sizeof(digits), " %s ", ana->private.number + strlen(ana->private.number) - 5);
    assert_true(private_answer(&ana->private, digits));
    relay_leave();
    assert_printed(ana, "bob is verified");
    assert_int_equal(conversation->state, CONVERSATION_VERIFIED);
}

/* ---- Pace ---- */

static void what_is_sent_by_itself_is_paced(void **state)
{
    char name[32];
    (void)state;
    struct member *ana = relay_member("ana");
    size_t before = relay.automatic;
    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof(name), "n%d", i);
        char *sealed = sealed_message(name, ana, "."), *again = strdup(sealed);
        relay_hear(ana, sealed);
        relay_hear(ana, again); /* answered by a notice */
        relay_run(5);
    }
    relay_run(60000);
    assert_true(relay.automatic - before > 300);
    for (size_t i = before + PACE_MAX; i < relay.automatic; i++)
        assert_true(relay.times[i] - relay.times[i - PACE_MAX] >= PACE_MS);
}

/* ---- Nothing vanishes without a word ---- */

static uint32_t seed;

static uint32_t chance(uint32_t of)
{
    seed = seed * 1664525 + 1013904223;
    return (seed >> 8) % of;
}

static enum fate any_fate(const struct member *from, const struct json_object *in)
{
    (void)from;
    (void)in;
    uint32_t what = chance(10);
    return what == 0 ? FATE_DROP : what == 1 ? FATE_DOUBLE : what == 2 ? FATE_RENAME : FATE_PASS;
}

/* Reconnects one of them, or lets time pass. */
static void any_event(struct member *ana, struct member *bob)
{
    struct member *one = chance(2) ? ana : bob;
    if (chance(6) == 0) {
        relay_disconnect(one);
        relay_run(chance(3) * 3000);
        relay_connect(one);
    }
    relay_run(chance(4) == 0 ? chance(15000) : chance(300));
}

static void nothing_vanishes_without_a_word(void **state)
{
    enum { TEXTS = 60 };
    for (int round = 0; round < 8; round++) {
        char text[32];
        relay_begin(state);
        seed = (uint32_t)round;
        struct member *ana = relay_member("ana"), *bob = relay_member("bob");
        relay.fate = any_fate;
        for (int i = 0; i < TEXTS; i++) {
            snprintf(text, sizeof(text), "text %d.", i);
            relay_say(ana, "bob", text);
            if (chance(3) == 0)
                relay_say(bob, "ana", "meanwhile");
            any_event(ana, bob);
        }
        relay.fate = NULL;
        relay_run(20000);
        relay_disconnect(ana);
        relay_connect(ana);
        relay_run(20000);
        for (const struct unacked_message *each = ana->private.unacked.first; each;
             each = each->next)
            assert_true(each->over); /* refused, and that was said */
        for (int i = 0; i < TEXTS; i++) {
            snprintf(text, sizeof(text), "text %d.", i);
            size_t shown = relay_shown(bob, text);
            assert_true(shown == 1 || (shown == 0 && relay_count(ana, text) > 0));
        }
        relay_end(state);
    }
    relay_begin(state);
}

int main(void)
{
#define RELAY_TEST(test) cmocka_unit_test_setup_teardown(test, relay_begin, relay_end)
    const struct CMUnitTest tests[] = {
        RELAY_TEST(names_that_say_something_in_plaintext_take_no_place),
        RELAY_TEST(the_oldest_idle_conversation_makes_room),
        RELAY_TEST(when_all_are_in_use_the_sender_is_told),
        RELAY_TEST(messages_that_wait_are_bounded_in_bytes),
        RELAY_TEST(keys_that_nobody_asked_for_are_ignored),
        RELAY_TEST(a_notice_begins_nothing),
        RELAY_TEST(keys_of_another_time_are_refused_in_words),
        RELAY_TEST(a_wish_to_compare_ends),
        RELAY_TEST(others_who_come_do_not_end_a_wish),
        RELAY_TEST(only_the_last_digits_mark_a_key),
        RELAY_TEST(what_is_sent_by_itself_is_paced),
        RELAY_TEST(nothing_vanishes_without_a_word),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
