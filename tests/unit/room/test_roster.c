/* SPDX-License-Identifier: MIT
 *
 * test_roster.c - the names in a room against a plain sorted array.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

#include "room.h"
#include "room/roster.h"

enum { MANY = 2000, NAME = 16 };

/* Members with names a0000, a0001 and so on; `in` says which are in the roster. */
struct people {
    struct roster roster;
    struct member members[MANY];
    char names[MANY][NAME];
    bool in[MANY];
};

static int begin(void **state)
{
    struct people *people = calloc(1, sizeof(*people));
    assert_non_null(people);
    assert_true(roster_init(&people->roster));
    for (int i = 0; i < MANY; i++) {
        snprintf(people->names[i], NAME, "a%04d", i);
        people->members[i].fold = people->names[i];
    }
    *state = people;
    return 0;
}

static int end(void **state)
{
    free(*state);
    return 0;
}

/* Checks order and weights of a tree. Returns its height, and its size in *size. */
static int check_tree(const struct member *tree, const char *least, const char *most, size_t *size)
{
    size_t left = 0, right = 0;
    *size = 0;
    if (!tree)
        return 0;
    assert_true(!least || strcmp(tree->fold, least) > 0);
    assert_true(!most || strcmp(tree->fold, most) < 0);
    const struct member *below[] = {tree->roster.left, tree->roster.right};
    for (int i = 0; i < 2; i++)
        assert_true(!below[i] || below[i]->roster.weight <= tree->roster.weight);
    int a = check_tree(below[0], least, tree->fold, &left);
    int b = check_tree(below[1], tree->fold, most, &right);
    *size = left + right + 1;
    return 1 + (a > b ? a : b);
}

struct visits {
    int next, count, most;
    struct people *people;
};

/* Expects the next member that is in. */
static bool visit(void *context, struct member *member)
{
    struct visits *visits = context;
    while (!visits->people->in[visits->next])
        visits->next++;
    assert_ptr_equal(member, &visits->people->members[visits->next++]);
    return ++visits->count < visits->most;
}

/* Walks from the name `from`, and returns how many were visited. */
static int walk_from(struct people *people, int from, bool behind, int most)
{
    char name[NAME];
    struct visits visits = {.next = from + behind, .most = most, .people = people};
    snprintf(name, sizeof(name), "a%04d", from);
    const struct roster_start start = {.fold = name, .behind = behind};
    roster_walk(&people->roster, &start, visit, &visits);
    return visits.count;
}

static void test_is_what_a_sorted_array_is(void **state)
{
    struct people *people = *state;
    size_t size, count = 0;
    srand(7);
    for (int step = 0; step < 20000; step++) {
        int i = rand() % MANY;
        struct member *found = roster_find(&people->roster, people->names[i]);
        assert_ptr_equal(found, people->in[i] ? &people->members[i] : NULL);
        if (people->in[i])
            roster_remove(&people->roster, &people->members[i]);
        else
            roster_add(&people->roster, &people->members[i]);
        people->in[i] = !people->in[i];
        count += people->in[i] ? 1 : (size_t)-1;
        assert_int_equal(people->roster.count, count);
        if (step % 500 == 0) {
            check_tree(people->roster.root, NULL, NULL, &size);
            assert_int_equal(size, count);
        }
    }
    int all = walk_from(people, 0, false, MANY + 1);
    assert_int_equal(all, count);
}

static void test_a_walk_begins_at_a_name_or_behind_it(void **state)
{
    struct people *people = *state;
    assert_int_equal(walk_from(people, 0, false, 1), 0); /* nobody is in */
    for (int i = 0; i < MANY; i += 2) {
        roster_add(&people->roster, &people->members[i]);
        people->in[i] = true;
    }
    for (int from = 0; from < MANY; from += 37)
        for (int behind = 0; behind <= 1; behind++) {
            int first = from + (from % 2 ? 1 : behind ? 2 : 0);
            int left = first < MANY ? (MANY - first + 1) / 2 : 0;
            assert_int_equal(walk_from(people, from, behind, MANY), left);
            assert_int_equal(walk_from(people, from, behind, 3), left < 3 ? left : 3);
        }
}

static void test_replace_keeps_the_place(void **state)
{
    struct people *people = *state;
    struct member other = {.fold = people->names[5]};
    size_t size;
    for (int i = 0; i < 10; i++)
        roster_add(&people->roster, &people->members[i]);
    roster_replace(&people->roster, &people->members[5], &other);
    assert_ptr_equal(roster_find(&people->roster, "a0005"), &other);
    check_tree(people->roster.root, NULL, NULL, &size);
    assert_int_equal(size, 10);
    assert_int_equal(people->roster.count, 10);
    roster_remove(&people->roster, &other);
    assert_null(roster_find(&people->roster, "a0005"));
}

/* Names that come in order, as an attacker could have them, leave no long chains. */
static void test_sorted_names_make_no_deep_tree(void **state)
{
    struct people *people = *state;
    size_t size;
    for (int i = 0; i < MANY; i++)
        roster_add(&people->roster, &people->members[i]);
    int height = check_tree(people->roster.root, NULL, NULL, &size);
    assert_int_equal(size, MANY);
    assert_in_range(height, 11, 60); /* of 2000: 11 at least; above 60 once in more than 10^9 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_is_what_a_sorted_array_is, begin, end),
        cmocka_unit_test_setup_teardown(test_a_walk_begins_at_a_name_or_behind_it, begin, end),
        cmocka_unit_test_setup_teardown(test_replace_keeps_the_place, begin, end),
        cmocka_unit_test_setup_teardown(test_sorted_names_make_no_deep_tree, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
