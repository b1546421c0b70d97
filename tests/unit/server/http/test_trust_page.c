/* SPDX-License-Identifier: MIT
 *
 * test_trust_page.c - trust_page.c: what stays of a template, and what is filled in.
 */
#include "server/http/trust_page.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct trust_page plain = {.state = TRUST_PAGE_PLAIN};
static const struct trust_page other = {.state = TRUST_PAGE_OTHER};
static const struct trust_page ours = {
    .state = TRUST_PAGE_OURS, .name = "Some <One> & 'x\"", .fingerprint = "AB:CD"};

static void expect(const struct trust_page *trust, const char *html, const char *filled)
{
    size_t len = 0;
    char *exact = malloc(strlen(html) + 1); /* so that a sanitizer sees a step too far */
    assert_non_null(exact);
    memcpy(exact, html, strlen(html));
    exact = realloc(exact, strlen(html) ? strlen(html) : 1);
    assert_non_null(exact);
    char *text = trust_page_fill(trust, exact, strlen(html), &len);
    assert_non_null(text);
    assert_int_equal(len, strlen(filled));
    assert_memory_equal(text, filled, len);
    free(text);
    free(exact);
}

static void test_what_has_no_marks_stays_as_it_is(void **state)
{
    (void)state;
    expect(&ours, "", "");
    expect(&plain, "<p>\xE4\xBD\xA0\xE5\xA5\xBD { {{ <!-- if ours --> <",
           "<p>\xE4\xBD\xA0\xE5\xA5\xBD { {{ <!-- if ours --> <");
}

static void test_only_what_holds_stays(void **state)
{
    static const char *const html =
        "a<!--if plain-->b<!--end-->c<!--if other-->d<!--end--><!--if ours-->e<!--end-->f";
    (void)state;
    expect(&plain, html, "abcf");
    expect(&other, html, "acdf");
    expect(&ours, html, "acef");
}

static void test_a_condition_without_an_end_goes_to_the_end(void **state)
{
    (void)state;
    expect(&plain, "a<!--if ours-->b", "a");
    expect(&ours, "a<!--if ours-->b<!--end--", "ab<!--end--");
}

static void test_names_are_filled_in_as_html_text(void **state)
{
    (void)state;
    expect(&ours, "<b>{{name}}</b>{{fingerprint}}{{fingerprint}}",
           "<b>Some &#60;One&#62; &#38; &#39;x&#34;</b>AB:CDAB:CD");
    expect(&ours, "{{name}", "{{name}");
    expect(&ours, "{{nam", "{{nam");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_has_no_marks_stays_as_it_is),
        cmocka_unit_test(test_only_what_holds_stays),
        cmocka_unit_test(test_a_condition_without_an_end_goes_to_the_end),
        cmocka_unit_test(test_names_are_filled_in_as_html_text),
    };
    return cmocka_run_group_tests_name("trust", tests, NULL, NULL);
}
