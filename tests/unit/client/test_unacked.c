/* SPDX-License-Identifier: MIT
 *
 * test_unacked.c - texts that have not arrived yet, their bounds, what comes twice, and the pace of
 * what is sent by itself.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/pace.h"
#include "client/unacked.h"

static struct unacked_message *add(struct unacked *unacked, const char *to)
{
    struct unacked_text text = {.to = to, .fold = to, .text = "text", .written = 1};
    return unacked_add(unacked, &text);
}

static void bounds(void **state)
{
    struct unacked unacked = {0};
    (void)state;
    for (int i = 0; i < UNACKED_MAX; i++)
        assert_non_null(add(&unacked, i % 2 ? "bob" : NULL));
    assert_null(add(&unacked, NULL));
    for (struct unacked_message *message = unacked.first, *next; message; message = next) {
        next = message->next;
        if (message->to)
            unacked_keep(&unacked, message);
        else
            unacked_drop(&unacked, message);
    }
    assert_int_equal(unacked.open, 0);
    assert_int_equal(unacked.kept, UNACKED_MAX / 2);
    size_t given_up = 0;
    for (struct unacked_message *message; (message = unacked_overdue(&unacked)) != NULL;
         given_up++) {
        assert_ptr_equal(message, unacked.first);
        unacked_drop(&unacked, message);
    }
    assert_int_equal(given_up, UNACKED_MAX / 2 - UNACKED_KEPT_MAX);
    unacked_fini(&unacked);
}

static void kept_and_sent_again(void **state)
{
    struct unacked unacked = {0};
    (void)state;
    struct unacked_message *message = add(&unacked, "bob");
    assert_int_equal(message->state, UNACKED_WAITING);
    message->state = UNACKED_SENT;
    unacked_keep(&unacked, message);
    unacked_keep(&unacked, message);
    assert_true(unacked.open == 0 && unacked.kept == 1);
    unacked_again(&unacked, message);
    unacked_again(&unacked, message);
    assert_true(unacked.open == 1 && unacked.kept == 0 && message->state == UNACKED_WAITING);
    unacked_drop(&unacked, message);
    assert_true(unacked.open == 0 && !unacked.first);
}

/* Neither tells another, and neither counts messages. */
static void refs_and_ids_are_random(void **state)
{
    struct unacked unacked = {0};
    char before[UNACKED_REF_MAX];
    (void)state;
    struct unacked_message *one = add(&unacked, "bob"), *two = add(&unacked, "bob");
    assert_int_equal(strspn(one->ref, "0123456789abcdef"), 32);
    assert_memory_not_equal(one->ref, two->ref, 8);
    assert_memory_not_equal(one->id, two->id, SEAL_ID_BYTES);
    assert_ptr_equal(unacked_find_id(&unacked, two->id), two);
    strcpy(before, one->ref);
    assert_ptr_equal(unacked_find(&unacked, before), one);
    assert_true(unacked_new_ref(one));
    assert_null(unacked_find(&unacked, before));
    unacked_fini(&unacked);
}

/* ---- What comes twice ---- */

#define REF "0123456789abcdef0123456789abcdef"

static bool heard(struct unacked *unacked, const char *from, const char *type, const char *ref,
                  const char *text)
{
    char json[512];
    struct json_object in;
    struct json_error wrong;
    snprintf(json, sizeof(json), "{\"msgType\":\"%s\",\"Ref\":%s,\"text\":\"%s\"}", type, ref,
             text);
    assert_int_equal(json_parse_message(&in, json, strlen(json), &wrong), 0);
    return unacked_heard(unacked, from, &in);
}

static void what_comes_twice(void **state)
{
    static const char *const plain[] = {"\"1\"",        "7",
                                        "null",         "\"0123456789abcdef-12\"",
                                        "\"" REF "0\"", "\"0123456789ABCDEF0123456789abcdef\""};
    struct unacked unacked = {0};
    (void)state;
    for (size_t i = 0; i < sizeof(plain) / sizeof(*plain); i++) {
        assert_false(heard(&unacked, "bob", "Broadcast", plain[i], "hi"));
        assert_false(heard(&unacked, "bob", "Broadcast", plain[i], "hi"));
    }
    assert_false(heard(&unacked, "bob", "Broadcast", "\"" REF "\"", "hi"));
    assert_true(heard(&unacked, "bob", "Broadcast", "\"" REF "\"", "hi"));
    unacked_fini(&unacked);
}

static void a_used_ref_hides_no_other_message(void **state)
{
    struct unacked unacked = {0};
    (void)state;
    assert_false(heard(&unacked, "bob", "Broadcast", "\"" REF "\"", "mallory was here"));
    assert_false(heard(&unacked, "bob", "Broadcast", "\"" REF "\"", "help"));
    assert_false(heard(&unacked, "ana", "Broadcast", "\"" REF "\"", "help"));
    assert_false(heard(&unacked, "bob", "PrivateMessage", "\"" REF "\"", "help"));
    assert_true(heard(&unacked, "bob", "Broadcast", "\"" REF "\"", "help"));
    unacked_fini(&unacked);
}

/* ---- Pace ---- */

static void ten_a_second(void **state)
{
    struct pace pace = {0};
    int64_t sent[100];
    (void)state;
    for (int i = 0; i < 100; i++) {
        int64_t now = pace_next(&pace) > 0 ? pace_next(&pace) : 7;
        assert_true(i < PACE_MAX || !pace_take(&pace, now - 1));
        assert_true(pace_take(&pace, now));
        sent[i] = now;
    }
    for (int i = PACE_MAX; i < 100; i++)
        assert_true(sent[i] - sent[i - PACE_MAX] >= PACE_MS);
}

static void messages_that_wait(void **state)
{
    struct pace pace = {0};
    (void)state;
    for (int i = 0; i < PACE_QUEUE_MAX; i++)
        assert_true(pace_push(&pace, strdup("x")));
    assert_false(pace_push(&pace, strdup("one too many")));
    assert_false(pace_push(&pace, NULL));
    for (int i = 0; i < PACE_MAX; i++) {
        char *json = pace_pop(&pace, 5);
        assert_non_null(json);
        free(json);
    }
    assert_null(pace_pop(&pace, 5));
    assert_int_equal(pace.waiting, PACE_QUEUE_MAX - PACE_MAX);
    pace_fini(&pace);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bounds),
        cmocka_unit_test(kept_and_sent_again),
        cmocka_unit_test(refs_and_ids_are_random),
        cmocka_unit_test(what_comes_twice),
        cmocka_unit_test(a_used_ref_hides_no_other_message),
        cmocka_unit_test(ten_a_second),
        cmocka_unit_test(messages_that_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
