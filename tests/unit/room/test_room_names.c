/* SPDX-License-Identifier: MIT
 *
 * test_room_names.c - pages of the names in a room.
 */
#include "room_member.h"

static struct room_member *join(const char *name)
{
    return room_member_join("names", name);
}

/* Checks the answer to a question: folded prefix, folded name to begin behind, limit. */
static void check_page(struct room_member *person, const char *prefix, const char *after,
                       size_t limit, const char *expected)
{
    const struct room_users_query query = {.prefix = prefix, .after = after, .limit = limit};
    struct json_object message;
    struct json_error error;
    size_t len = 0;
    assert_int_equal(json_parse_message(&message, "{\"Ref\":7}", 9, &error), 0);
    char *json = room_list_users(&person->member, &query, &message, &len);
    assert_non_null(json);
    assert_int_equal(strlen(json), len);
    check_text(json, "{\"msgType\":\"Users\",\"Count\":6,\"Users\":");
    check_text(json, ",\"Ref\":7}");
    check_text(json, expected);
    free(json);
    check_room_locks(person->member.room);
}

static void test_pages(void **state)
{
    (void)state;
    static const char *const names[] = {"Anatol", "ana", "Bob", "ANASTASIA", "\u00c4nne", "ann"};
    static const char end[] = "\"More\":false", more[] = "\"More\":true";
    struct room_member *people[6], *a;
    for (int i = 0; i < 6; i++)
        people[i] = join(names[i]);
    a = people[0];
    check_page(a, "", "", 500, "[\"ana\",\"ANASTASIA\",\"Anatol\",\"ann\",\"Bob\",\"\u00c4nne\"]");
    check_page(a, "", "", 6, end);
    check_page(a, "", "", 5, more);
    check_page(a, "", "", 1, "[\"ana\"],\"More\":true");
    check_page(a, "ana", "", 3, "[\"ana\",\"ANASTASIA\",\"Anatol\"],\"More\":false");
    check_page(a, "ana", "", 2, "[\"ana\",\"ANASTASIA\"],\"More\":true");
    check_page(a, "ana", "anastasia", 2, "[\"Anatol\"],\"More\":false");
    check_page(a, "ana", "anat", 2, "[\"Anatol\"],\"More\":false"); /* nobody has that name */
    check_page(a, "ana", "a", 2, "[\"ana\",\"ANASTASIA\"],\"More\":true");
    check_page(a, "ana", "zoe", 2, "[],\"More\":false");
    check_page(a, "ana", "ana", 9, "[\"ANASTASIA\",\"Anatol\"],\"More\":false");
    check_page(a, "", "ann", 9, "[\"Bob\",\"\u00c4nne\"],\"More\":false");
    check_page(a, "c", "", 9, "[],\"More\":false");
    check_page(a, "\u00e4", "", 9, "[\"\u00c4nne\"],\"More\":false");
    for (int i = 0; i < 6; i++)
        room_member_free(people[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pages),
    };
    return cmocka_run_group_tests(tests, rooms_begin, rooms_end);
}
