/* SPDX-License-Identifier: MIT
 *
 * test_conversation_people.c - several people by one name.
 */
#include "relay.h"

/* ---- A server that cheats ---- */

static enum fate lie_about_all(const struct member *from, const struct json_object *in)
{
    (void)from;
    (void)in;
    return FATE_LIE;
}

static enum fate say_nothing(const struct member *from, const struct json_object *in)
{
    (void)from;
    (void)in;
    return FATE_SILENCE;
}

static enum fate refuse_all(const struct member *from, const struct json_object *in)
{
    (void)from;
    (void)in;
    return FATE_REFUSE;
}

/* ---- Several people by one name ---- */

/* A member of that name, but with keys of its own. */
static struct member *other_bob(struct member *bob)
{
    relay_disconnect(bob);
    return relay_member("bob");
}

static char *stale_notice(const char *about)
{
    char *json = NULL;
    assert_true(asprintf(&json,
                         "{\"msgType\":\"PrivateMessage\",\"SrcUser\":\"bob\",\"text\":\"\","
                         "\"Notice\":\"unreadable\",\"Code\":\"stale_key\",\"About\":\"%s\"}",
                         about) > 0);
    return json;
}

static struct conversation *talk_of(struct member *member, const char *name)
{
    struct conversation *conversation = conversation_find(&member->private.conversations, name);
    assert_non_null(conversation);
    return conversation;
}

static void accept_key(struct member *member, const char *name)
{
    relay_enter(member);
    private_accept(&member->private, talk_of(member, name));
    relay_leave();
}

static void a_text_goes_to_no_other_key(void **state)
{
    char ref[UNACKED_REF_MAX];
    (void)state;
    struct member *ana = relay_member("ana"), *bob = relay_member("bob");
    relay_say(ana, "bob", "hello");
    relay_run(1000);
    relay.fate = drop_all;
    relay_say(ana, "bob", "the safe code is 4711");
    relay_settle();
    relay.fate = NULL;
    struct member *mallory = other_bob(bob);
    relay_say(mallory, "ana", "hi, new phone");
    relay_run(1000);
    assert_printed(ana, "bob has another key than before");
    assert_int_equal(relay_shown(ana, "hi, new phone"), 0);
    strcpy(ref, ana->private.unacked.first->ref);
    accept_key(ana, "bob");
    assert_int_equal(relay_shown(ana, "hi, new phone"), 1);
    for (int i = 0; i < 7; i++)
        relay_hear(ana, stale_notice(ref));
    relay_run(20000);
    assert_int_equal(relay_shown(mallory, "the safe code is 4711"), 0);
    assert_printed(ana, "it was written for another key");
    relay_say(ana, "bob", "welcome");
    relay_run(1000);
    assert_int_equal(relay_shown(mallory, "welcome"), 1);
}

static void two_accepted_keys_are_no_alarm_and_a_third_is(void **state)
{
    (void)state;
    struct member *ana = relay_member("ana"), *phone = relay_member("bob");
    relay_say(phone, "ana", "from the phone");
    relay_run(1000);
    struct member *laptop = other_bob(phone);
    relay_say(laptop, "ana", "from the laptop");
    relay_run(1000);
    assert_int_equal(relay_shown(ana, "from the laptop"), 0);
    accept_key(ana, "bob");
    assert_int_equal(relay_shown(ana, "from the laptop"), 1);
    relay_forget(ana);
    for (int i = 0; i < 3; i++) {
        relay_disconnect(laptop);
        relay_connect(phone);
        relay_say(phone, "ana", "phone");
        relay_say(ana, "bob", "to the phone");
        relay_run(1000);
        relay_disconnect(phone);
        relay_connect(laptop);
        relay_say(laptop, "ana", "laptop");
        relay_say(ana, "bob", "to the laptop");
        relay_run(1000);
    }
    assert_int_equal(relay_shown(ana, "phone"), 3);
    assert_int_equal(relay_shown(ana, "laptop"), 3);
    assert_int_equal(relay_shown(phone, "to the phone"), 3);
    assert_int_equal(relay_shown(laptop, "to the laptop"), 3);
    assert_not_printed(ana, "another key");
    struct member *third = other_bob(laptop);
    relay_say(third, "ana", "me again");
    relay_run(1000);
    assert_printed(ana, "bob has another key than before");
    assert_int_equal(relay_shown(ana, "me again"), 0);
}

static void a_key_that_is_offered_blocks_no_accepted_one(void **state)
{
    (void)state;
    struct member *ana = relay_member("ana"), *phone = relay_member("bob");
    relay_say(phone, "ana", "from the phone");
    relay_run(1000);
    struct member *laptop = other_bob(phone);
    relay_say(laptop, "ana", "from the laptop");
    relay_run(1000);
    relay_say(ana, "bob", "to whom?");
    relay_run(1000);
    assert_printed(ana, "not sent to bob: \"to whom?\": the key has changed");
    relay_disconnect(laptop);
    relay_connect(phone);
    relay_say(ana, "bob", "to the phone");
    relay_run(1000);
    assert_int_equal(relay_shown(phone, "to the phone"), 1);
    assert_int_equal(relay_count(ana, "another key than before"), 1);
    accept_key(ana, "bob"); /* the laptop's is still offered */
    assert_int_equal(relay_shown(ana, "from the laptop"), 1);
}

static void verified_stays_with_its_key(void **state)
{
    char error[KEYSTORE_ERROR_MAX], number[E2E_SAFETY_MAX];
    unsigned char key[E2E_KEY_BYTES];
    (void)state;
    struct member *ana = relay_member("ana"), *phone = relay_member("bob");
    relay_say(phone, "ana", "one");
    relay_run(1000);
    struct conversation *conversation = talk_of(ana, "bob");
    assert_true(conversation_safety(&ana->private.conversations, conversation, key, number));
    assert_int_equal(conversation_verify(&ana->private.conversations, conversation, key, error), 0);
    assert_int_equal(conversation->state, CONVERSATION_VERIFIED);
    struct member *laptop = other_bob(phone);
    relay_say(laptop, "ana", "two");
    relay_run(1000);
    assert_printed(ana, "and you had COMPARED that one");
    accept_key(ana, "bob");
    relay_run(1000);
    relay_say(ana, "bob", "three");
    relay_run(1000);
    assert_int_equal(conversation->state, CONVERSATION_ENCRYPTED);
    relay_disconnect(laptop);
    relay_connect(phone);
    relay_say(ana, "bob", "four");
    relay_run(1000);
    assert_int_equal(conversation->state, CONVERSATION_VERIFIED);
}

static void a_message_that_waited_too_long_is_not_lost_silently(void **state)
{
    (void)state;
    struct member *ana = relay_member("ana"), *bob = relay_member("bob");
    relay_say(bob, "ana", "hello");
    relay_run(1000);
    struct member *other = other_bob(bob);
    relay_say(other, "ana", "hi, new phone");
    relay_run(1000);
    relay_disconnect(ana);
    relay_connect(ana);
    relay_run(120000);
    relay_forget(ana);
    accept_key(ana, "bob");
    assert_printed(ana, "a message of bob came for a key that is gone; bob was asked to send it");
    relay_run(1000);
    assert_int_equal(relay_shown(ana, "hi, new phone"), 1);
    assert_int_equal(relay_count(ana, "for a key that is gone"), 1);
}

/* The server says that it did not deliver what it did deliver. */
static void a_text_that_may_have_been_read_is_never_called_unsent(void **state)
{
    (void)state;
    struct member *ana = relay_member("ana"), *bob = relay_member("bob");
    relay_say(ana, "bob", "hello");
    relay_run(1000);
    relay.fate = lie_about_all;
    relay_say(ana, "bob", "the code is 4711");
    relay_settle();
    relay.fate = NULL;
    assert_int_equal(relay_shown(bob, "the code is 4711"), 1);
    assert_not_printed(ana, "not sent to");
    assert_printed(ana, "bob has not confirmed \"the code is 4711\", and it is not sent again");
    assert_true(ana->private.failed);
    assert_int_equal(private_pending(&ana->private), 0);
    assert_int_equal(private_unsent(&ana->private), 0);
    relay_disconnect(ana);
    relay_connect(ana);
    relay_run(20000);
    assert_printed(ana, "bob has confirmed \"the code is 4711\" now");
    assert_int_equal(relay_count(ana, "has not confirmed"), 1);
    assert_int_equal(relay_shown(bob, "the code is 4711"), 1);
    assert_null(ana->private.unacked.first);
    assert_int_equal(talk_of(ana, "bob")->texts, 0);
}

/* The new connection of a text whose Delivered never came finds no keys any more. */
static void a_text_for_which_keys_are_gone_is_not_called_unsent(void **state)
{
    (void)state;
    struct member *ana = relay_member("ana"), *bob = relay_member("bob");
    relay_say(ana, "bob", "hello");
    relay_run(1000);
    relay.fate = say_nothing;
    relay_say(ana, "bob", "one");
    relay_settle();
    relay.fate = NULL;
    char *card = bob->card;
    bob->card = NULL;
    relay_disconnect(ana);
    relay_connect(ana);
    relay_settle();
    assert_not_printed(ana, "not sent to");
    relay_run(PRIVATE_CONFIRM_MS + 1000);
    assert_printed(ana, "bob has not confirmed \"one\" yet");
    bob->card = card;
    relay_disconnect(bob);
    relay_connect(bob);
    relay_run(6000);
    assert_int_equal(relay_shown(bob, "one"), 1);
    assert_printed(ana, "bob has confirmed \"one\" now");
}

static void texts_that_are_never_confirmed_are_bounded(void **state)
{
    (void)state;
    struct member *ana = relay_member("ana"), *bob = relay_member("bob");
    relay_say(ana, "bob", "hello");
    relay_run(1000);
    relay.fate = refuse_all;
    for (int i = 0; i < 2 * UNACKED_KEPT_MAX; i++) {
        relay_say(ana, "bob", "no");
        relay_settle();
    }
    relay.fate = NULL;
    assert_int_equal(ana->private.unacked.open, 0);
    assert_int_equal(ana->private.unacked.kept, UNACKED_KEPT_MAX);
    assert_int_equal(talk_of(ana, "bob")->texts, UNACKED_KEPT_MAX);
    relay_say(ana, "bob", "yes");
    relay_run(1000);
    assert_int_equal(relay_shown(bob, "yes"), 1);
    assert_printed(bob, "messages of ana did not arrive");
}

static void only_the_key_that_was_told_of_is_accepted(void **state)
{
    unsigned char offered[E2E_KEY_BYTES];
    (void)state;
    struct member *ana = relay_member("ana"), *bob = relay_member("bob");
    relay_say(bob, "ana", "hello");
    relay_run(1000);
    struct member *phone = other_bob(bob);
    relay_say(phone, "ana", "new phone");
    relay_run(1000);
    struct conversation *conversation = talk_of(ana, "bob");
    struct member *mallory = other_bob(phone); /* while ana types /accept */
    relay_say(mallory, "ana", "new phone, too");
    relay_run(1000);
    assert_printed(ana, "bob has shown yet another key");
    memcpy(offered, conversation->offered, E2E_KEY_BYTES);
    relay_forget(ana);
    accept_key(ana, "bob");
    assert_printed(ana, "not accepted: bob offers another key by now");
    assert_printed(ana, "bob has another key than before");
    assert_int_equal(relay_shown(ana, "new phone, too"), 0);
    assert_true(conversation->offers);
    accept_key(ana, "bob"); /* with open eyes */
    assert_int_equal(relay_shown(ana, "new phone, too"), 1);
    assert_int_equal(relay_shown(ana, "new phone"), 0);
    assert_memory_not_equal(conversation->offered, offered, E2E_KEY_BYTES);
}

static void a_key_whose_number_was_shown_can_be_accepted(void **state)
{
    (void)state;
    struct member *ana = relay_member("ana"), *bob = relay_member("bob");
    relay_say(bob, "ana", "hello");
    relay_run(1000);
    struct member *phone = other_bob(bob);
    relay_say(phone, "ana", "phone");
    relay_run(1000);
    struct member *laptop = other_bob(phone);
    relay_say(laptop, "ana", "laptop");
    relay_run(1000);
    relay_enter(ana);
    private_compare(&ana->private, talk_of(ana, "bob"));
    private_answer(&ana->private, "/accept bob");
    relay_leave();
    accept_key(ana, "bob");
    assert_int_equal(relay_shown(ana, "laptop"), 1);
}

static void plaintext_ends_with_the_connection(void **state)
{
    (void)state;
    struct member *ana = relay_member("ana"), *bob = relay_member("bob");
    free(bob->card);
    bob->card = NULL;
    struct conversation *conversation = conversation_with(&ana->private.conversations, "bob", true);
    conversation->plain = true;
    relay_say(ana, "bob", "postcard");
    relay_run(1000);
    assert_int_equal(relay_shown(bob, "postcard"), 1);
    relay_disconnect(ana);
    relay_say(ana, "bob", "secret");
    relay_connect(ana);
    relay_run(1000);
    assert_int_equal(relay_shown(bob, "secret"), 0);
    assert_printed(ana, "not sent to bob: \"secret\": there are no keys");
}

static void plaintext_ends_when_nobody_of_that_name_is_there(void **state)
{
    (void)state;
    struct member *ana = relay_member("ana"), *bob = relay_member("bob");
    free(bob->card);
    bob->card = NULL;
    struct conversation *conversation = conversation_with(&ana->private.conversations, "bob", true);
    conversation->plain = true;
    relay_say(ana, "bob", "postcard");
    relay_run(1000);
    assert_int_equal(relay_shown(bob, "postcard"), 1);
    relay.fate = refuse_all; /* no list has told that bob left */
    relay_say(ana, "bob", "are you there?");
    relay_run(1000);
    relay.fate = NULL;
    relay_say(ana, "bob", "secret");
    relay_run(1000);
    assert_int_equal(relay_shown(bob, "secret"), 0);
    assert_printed(ana, "not sent to bob: \"secret\": there are no keys");
}

int main(void)
{
#define RELAY_TEST(test) cmocka_unit_test_setup_teardown(test, relay_begin, relay_end)
    const struct CMUnitTest tests[] = {
        RELAY_TEST(a_text_goes_to_no_other_key),
        RELAY_TEST(two_accepted_keys_are_no_alarm_and_a_third_is),
        RELAY_TEST(a_key_that_is_offered_blocks_no_accepted_one),
        RELAY_TEST(verified_stays_with_its_key),
        RELAY_TEST(a_message_that_waited_too_long_is_not_lost_silently),
        RELAY_TEST(a_text_that_may_have_been_read_is_never_called_unsent),
        RELAY_TEST(a_text_for_which_keys_are_gone_is_not_called_unsent),
        RELAY_TEST(texts_that_are_never_confirmed_are_bounded),
        RELAY_TEST(only_the_key_that_was_told_of_is_accepted),
        RELAY_TEST(a_key_whose_number_was_shown_can_be_accepted),
        RELAY_TEST(plaintext_ends_with_the_connection),
        RELAY_TEST(plaintext_ends_when_nobody_of_that_name_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
