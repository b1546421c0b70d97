/* SPDX-License-Identifier: MIT
 *
 * test_conversation.c - an honest server, and one that cheats.
 */
#include "relay.h"

/* ---- An honest server ---- */

static void a_text_arrives_and_is_confirmed(void **state)
{
    (void)state;
    struct member *ana = relay_member("ana"), *bob = relay_member("bob");
    relay_say(ana, "BOB", "hello");
    relay_settle();
    assert_int_equal(relay_shown(bob, "hello"), 1);
    assert_int_equal(ana->private.unacked.kept, 1);
    relay_run(CONTINUITY_RIDE_MS);
    assert_null(ana->private.unacked.first);
    assert_not_printed(ana, "confirmed");
}

/* Texts each way, of which each is shown once, and none is said to be missing. */
static void exchange(struct member *ana, struct member *bob, int number)
{
    char text[32];
    for (int i = 0; i < 7; i++) {
        snprintf(text, sizeof(text), "a%d-%d", number, i);
        relay_say(ana, "bob", text);
        snprintf(text, sizeof(text), "b%d-%d", number, i);
        relay_say(bob, "ana", text);
    }
    relay_run(3000);
    for (int i = 0; i < 7; i++) {
        snprintf(text, sizeof(text), "a%d-%d", number, i);
        assert_int_equal(relay_shown(bob, text), 1);
        snprintf(text, sizeof(text), "b%d-%d", number, i);
        assert_int_equal(relay_shown(ana, text), 1);
    }
    assert_null(ana->private.unacked.first);
    assert_null(bob->private.unacked.first);
}

static void nothing_wrong(const struct member *member)
{
    assert_not_printed(member, "did not arrive");
    assert_not_printed(member, "Missing");
    assert_not_printed(member, "confirmed");
    assert_not_printed(member, "cannot be read");
    assert_not_printed(member, "Unreadable");
    assert_not_printed(member, "another key");
}

static void no_false_alarm_across_reconnects_renewals_and_restarts(void **state)
{
    (void)state;
    struct member *ana = relay_member("ana"), *bob = relay_member("bob");
    for (int number = 0; number < 40; number++) {
        exchange(ana, bob, number);
        struct member *one = number % 3 ? ana : bob;
        if (number % 5 == 1) {
            relay_disconnect(one);
            relay_connect(one);
        } else if (number % 5 == 3) {
            relay_restart(one);
        } else if (number % 5 == 4) {
            relay_disconnect(ana);
            relay_disconnect(bob);
            relay_connect(number % 2 ? ana : bob);
            relay_connect(number % 2 ? bob : ana);
        }
        relay_run(12000);
    }
    nothing_wrong(ana);
    nothing_wrong(bob);
}

static void what_was_on_its_way_is_shown_once(void **state)
{
    char text[32];
    (void)state;
    struct member *ana = relay_member("ana"), *bob = relay_member("bob");
    relay_say(bob, "ana", "hi");
    relay_run(1000);
    for (int number = 0; number < 30; number++) {
        struct member *one = number % 2 || number % 3 == 0 ? ana : bob;
        snprintf(text, sizeof(text), "text %d", number);
        relay_say(ana, "bob", text);
        if (number % 3)
            relay_settle(); /* it was read, but not confirmed */
        relay_disconnect(one);
        relay_connect(one);
        relay_run(20000);
        assert_int_equal(relay_shown(bob, text), 1);
        assert_null(ana->private.unacked.first);
    }
    nothing_wrong(bob);
    assert_not_printed(ana, "did not arrive");
}

/* ---- Session keys ---- */

static void session_keys_are_renewed_by_the_rules(void **state)
{
    char *card;
    char text[16];
    (void)state;
    struct member *ana = relay_member("ana"), *bob = relay_member("bob");
    relay_run(E2E_RENEW_LEAST_MS + 1000);
    card = strdup(bob->card);
    for (int i = 0; i < E2E_RENEW_OPENED - 1; i++) {
        snprintf(text, sizeof(text), "%d", i);
        relay_say(ana, "bob", text);
        relay_settle();
    }
    assert_string_equal(bob->card, card);
    relay_say(ana, "bob", "the fiftieth");
    relay_run(1000);
    assert_string_not_equal(bob->card, card);
    relay_say(ana, "bob", "to the old key"); /* ana has heard of the new one by bob's receipt */
    relay_run(1000);
    assert_int_equal(relay_shown(bob, "to the old key"), 1);
    free(card);

    card = strdup(bob->card);
    relay_run(E2E_RENEW_USED_MS + 10000);
    assert_string_not_equal(bob->card, card);
    free(card);
    card = strdup(bob->card);
    relay_run(E2E_RENEW_USED_MS + 10000); /* it opened nothing */
    assert_string_equal(bob->card, card);
    relay_run(E2E_RENEW_AGE_MS);
    assert_string_not_equal(bob->card, card);
    free(card);
    nothing_wrong(ana);
    nothing_wrong(bob);
}

/* ---- A server that cheats ---- */

static int dropped;

static enum fate drop_one(const struct member *from, const struct json_object *in)
{
    (void)in;
    return strcmp(from->name, "ana") == 0 && dropped++ == 1 ? FATE_DROP : FATE_PASS;
}

static void a_dropped_message_is_noticed_and_sent_again(void **state)
{
    (void)state;
    struct member *ana = relay_member("ana"), *bob = relay_member("bob");
    dropped = 0;
    relay.fate = drop_one;
    relay_say(ana, "bob", "one");
    relay_say(ana, "bob", "two");
    relay_say(ana, "bob", "three");
    relay_run(1000);
    assert_printed(bob, "1 message of ana did not arrive");
    assert_printed(bob, "{\"msgType\":\"Missing\",\"SrcUser\":\"ana\",\"Missing\":1}");
    assert_int_equal(relay_shown(bob, "two"), 1);
    assert_null(ana->private.unacked.first);
}

static void a_drop_is_not_hidden_by_cutting_the_line(void **state)
{
    for (int cut = 0; cut < 2; cut++) {
        relay_begin(state);
        struct member *ana = relay_member("ana"), *bob = relay_member("bob");
        relay_say(ana, "bob", "one");
        relay_run(1000);
        relay.fate = drop_all;
        relay_say(ana, "bob", "two");
        relay_settle();
        relay.fate = NULL;
        relay_disconnect(cut ? ana : bob);
        relay_connect(cut ? ana : bob);
        relay_run(6000);
        assert_int_equal(relay_shown(bob, "two"), 1);
        assert_null(ana->private.unacked.first);
        relay_end(state);
        relay_begin(state);
    }
}

static void a_text_that_never_arrives_is_given_up_and_told_to_both(void **state)
{
    (void)state;
    struct member *ana = relay_member("ana"), *bob = relay_member("bob");
    relay_say(ana, "bob", "one");
    relay_run(1000);
    relay.fate = drop_all;
    relay_say(ana, "bob", "two");
    relay_run(PRIVATE_CONFIRM_MS + 1000);
    assert_printed(ana, "bob has not confirmed \"two\"");
    for (int i = 0; i < 5; i++) {
        relay_disconnect(ana);
        relay_connect(ana);
        relay_run(1000);
    }
    assert_null(ana->private.unacked.first);
    assert_int_equal(relay_count(ana, "has not confirmed"), 1);
    assert_true(ana->private.failed);
    relay.fate = NULL;
    relay_say(ana, "bob", "three");
    relay_run(1000);
    assert_int_equal(relay_shown(bob, "two"), 0);
    assert_printed(bob, "1 message of ana did not arrive");
}

static void a_late_confirmation_is_told(void **state)
{
    (void)state;
    struct member *ana = relay_member("ana"), *bob = relay_member("bob");
    relay.fate = drop_all;
    relay_say(ana, "bob", "one");
    relay_run(PRIVATE_CONFIRM_MS + 1000);
    assert_printed(ana, "bob has not confirmed \"one\" yet");
    assert_int_equal(private_pending(&ana->private), 0);
    assert_non_null(ana->private.unacked.first);
    relay.fate = NULL;
    relay_disconnect(bob);
    relay_connect(bob);
    relay_run(6000);
    assert_int_equal(relay_shown(bob, "one"), 1);
    assert_printed(ana, "bob has confirmed \"one\" now");
    assert_null(ana->private.unacked.first);
}

static enum fate rename_all(const struct member *from, const struct json_object *in)
{
    (void)from;
    (void)in;
    return FATE_RENAME;
}

static enum fate double_all(const struct member *from, const struct json_object *in)
{
    (void)from;
    (void)in;
    return FATE_DOUBLE;
}

static void a_ref_decides_nothing(void **state)
{
    (void)state;
    struct member *ana = relay_member("ana"), *bob = relay_member("bob");
    relay.fate = rename_all;
    relay_say(ana, "bob", "yes");
    relay_say(ana, "bob", "yes");
    relay_say(ana, "bob", "no");
    relay_run(1000);
    assert_int_equal(relay_shown(bob, "yes"), 2);
    assert_int_equal(relay_shown(bob, "no"), 1);
    assert_null(ana->private.unacked.first);
    relay.fate = double_all;
    relay_say(ana, "bob", "twice");
    relay_run(1000);
    assert_int_equal(relay_shown(bob, "twice"), 1);
    assert_printed(bob, "cannot be read: it came a second time");
    assert_not_printed(bob, "did not arrive");
}

int main(void)
{
#define RELAY_TEST(test) cmocka_unit_test_setup_teardown(test, relay_begin, relay_end)
    const struct CMUnitTest tests[] = {
        RELAY_TEST(a_text_arrives_and_is_confirmed),
        RELAY_TEST(no_false_alarm_across_reconnects_renewals_and_restarts),
        RELAY_TEST(what_was_on_its_way_is_shown_once),
        RELAY_TEST(session_keys_are_renewed_by_the_rules),
        RELAY_TEST(a_dropped_message_is_noticed_and_sent_again),
        RELAY_TEST(a_drop_is_not_hidden_by_cutting_the_line),
        RELAY_TEST(a_text_that_never_arrives_is_given_up_and_told_to_both),
        RELAY_TEST(a_late_confirmation_is_told),
        RELAY_TEST(a_ref_decides_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
