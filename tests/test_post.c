/* SPDX-License-Identifier: MIT
 *
 * test_post.c - letters on their way, their bounds, and what comes twice.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../post.h"

static void letters(void **state)
{
    struct post post;
    char ref[POST_REF_MAX];
    (void)state;
    assert_true(post_init(&post));
    for (int i = 0; i < POST_MAX; i++)
        assert_non_null(post_add(&post, i % 2 ? "bob" : NULL, "text"));
    assert_null(post_add(&post, NULL, "one too many"));
    struct letter *letter = post.first->next;
    letter->state = LETTER_SENT;
    strcpy(ref, letter->ref);
    post_resend(&post);
    assert_int_equal(letter->state, LETTER_WAITING);
    post_delivered(&post, letter);
    assert_ptr_equal(post_find(&post, ref), letter);
    post_once_more(&post, letter);
    assert_null(post_find(&post, ref));
    assert_int_equal(post.open, POST_MAX);
    while (post.open > 0) {
        for (letter = post.first; letter->state == LETTER_KEPT;)
            letter = letter->next;
        post_delivered(&post, letter);
    }
    assert_int_equal(post.kept, POST_KEPT_MAX);
    post_fini(&post);
}

static void what_comes_twice(void **state)
{
    static const char *const plain[] = {"{\"Ref\":\"1\"}", "{\"Ref\":7}", "{}",
                                        "{\"Ref\":\"0123456789abcdef-\"}",
                                        "{\"Ref\":\"0123456789abcde-12\"}"};
    static const char ours[] = "{\"Ref\":\"0123456789abcdef-12\"}";
    struct post post;
    struct json_object in;
    struct json_error wrong;
    (void)state;
    assert_true(post_init(&post));
    for (size_t i = 0; i < sizeof(plain) / sizeof(*plain); i++) {
        assert_int_equal(json_parse(&in, plain[i], strlen(plain[i]), &wrong), 0);
        assert_false(post_heard(&post, "bob", &in));
        assert_false(post_heard(&post, "bob", &in));
    }
    assert_int_equal(json_parse(&in, ours, strlen(ours), &wrong), 0);
    assert_false(post_heard(&post, "bob", &in));
    assert_false(post_heard(&post, "ana", &in));
    assert_true(post_heard(&post, "bob", &in));
    post_fini(&post);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(letters),
        cmocka_unit_test(what_comes_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
