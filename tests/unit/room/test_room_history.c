/* SPDX-License-Identifier: MIT
 *
 * test_room_history.c - pages of older messages, and searching, in one thread.
 */
#include "room/room_history.h"

#include "no_memory.h"
#include "room_member.h"

static char summary[4096];

/* Reads a page. Returns it in a line: "2:two 3:three from 2 more". */
static const char *read_page(struct room_member *person, struct history_query query)
{
    struct history_page page;
    assert_int_equal(history_read(&person->member, &room_test_config, &query, &page), HISTORY_READ);
    assert_string_equal(page.epoch, person->member.room->epoch);
    size_t at = 0, bytes = 0;
    for (size_t i = 0; i < page.count; i++) {
        struct json_object object;
        struct json_error error;
        const struct history_message *message = &page.messages[i];
        assert_int_equal(json_parse_message(&object, message->json, message->len, &error), 0);
        assert_int_equal(json_get_uint(&object, "Id"), message->id);
        char *text = json_get_string(&object, "text");
        at += (size_t)snprintf(summary + at, sizeof(summary) - at, "%llu:%.9s ",
                               (unsigned long long)message->id, text);
        bytes += message->len;
        free(text);
    }
    snprintf(summary + at, sizeof(summary) - at, "from %llu%s", (unsigned long long)page.from,
             page.more ? " more" : "");
    assert_int_equal(page.bytes, bytes);
    history_page_fini(&page);
    check_room_locks(person->member.room);
    return summary;
}

static void test_pages(void **state)
{
    (void)state;
    struct room_member *ana = room_member_join("pages", "Ana");
    struct room *room = ana->member.room;
    assert_int_equal(history_oldest(room, &room_test_config), 0);
    struct history_query query = {.before = UINT64_MAX, .count = 3};
    assert_string_equal(read_page(ana, query), "from 1");
    room_member_say(ana, "\"one\"");
    room_member_say(ana, "\"two\"");
    room_member_say(ana, "\"three\"");
    room_member_say(ana, "\"four\"");
    assert_int_equal(history_oldest(room, &room_test_config), 1);
    assert_string_equal(read_page(ana, query), "2:two 3:three 4:four from 2 more");
    query.before = 2;
    assert_string_equal(read_page(ana, query), "1:one from 1");
    query.before = 0;
    assert_string_equal(read_page(ana, query), "from 0");
    query = (struct history_query){.before = 4, .count = 1};
    assert_string_equal(read_page(ana, query), "3:three from 3 more");
    room_member_free(ana);
}

static void test_searches(void **state)
{
    (void)state;
    struct room_member *ana = room_member_join("search", "Ana");
    room_member_say(ana, "\"TEA one\"");
    room_member_say(ana, "\"coffee\"");
    room_member_say(ana, "\"\\u0074ea two\""); /* escaped by its client */
    room_member_say(ana, "\"tea\\u0000\"");    /* cannot be compared */
    room_member_say(ana, "\"more tea\"");
    struct history_query query = {.before = UINT64_MAX, .count = 9, .words = "tea"};
    assert_string_equal(read_page(ana, query), "1:TEA one 3:tea two 5:more tea from 1");
    query.count = 2;
    assert_string_equal(read_page(ana, query), "3:tea two 5:more tea from 3 more");
    query.before = 3;
    assert_string_equal(read_page(ana, query), "1:TEA one from 1");
    query = (struct history_query){.before = 5, .count = 1, .words = "cocoa"};
    assert_string_equal(read_page(ana, query), "from 1");
    room_member_free(ana);
}

/* Where `history` is 0, newcomers must not read the past. */
static void test_a_room_without_a_past(void **state)
{
    (void)state;
    struct room_member *ana = room_member_join("none", "Ana");
    struct config config = room_test_config;
    struct history_page page;
    struct history_query query = {.before = UINT64_MAX, .count = 3};
    config.history = 0;
    room_member_say(ana, "\"one\"");
    assert_int_equal(history_read(&ana->member, &config, &query, &page), HISTORY_CLOSED);
    history_page_fini(&page);
    assert_int_equal(history_oldest(ana->member.room, &config), 0);
    room_member_free(ana);
}

/* A stored room whose file cannot be read: what the ring has, and that there is more. */
static void test_a_file_that_cannot_be_read(void **state)
{
    (void)state;
    struct room_member *ana = room_member_join("late", "Ana");
    struct config config = room_test_config;
    struct history_page page;
    struct history_query query = {.before = UINT64_MAX, .count = 3};
    config.history = 0; /* it is stored to be read */
    ana->member.room->storage.wanted = true;
    room_member_say(ana, "\"one\"");
    assert_string_equal(read_page(ana, query), "1:one from 1 more");
    query.before = 1;
    assert_int_equal(history_read(&ana->member, &config, &query, &page), HISTORY_LATE);
    history_page_fini(&page);
    assert_int_equal(history_oldest(ana->member.room, &config), 1);
    room_member_free(ana);
}

static void test_joined_says_what_can_be_asked_for(void **state)
{
    (void)state;
    struct room_member *ana = room_member_join("oldest", "Ana"), *bob;
    assert_null(strstr(room_member_hear(ana), "\"Oldest\""));
    room_member_say(ana, "\"one\"");
    bob = room_member_join("oldest", "Bob");
    check_text(room_member_hear(bob), "\"MaxMessageBytes\":1000,\"Oldest\":1}");
    room_member_free(bob);
    room_member_free(ana);
}

/* Where memory is out, there is no page, and nothing leaks. */
static void test_pages_without_memory(void **state)
{
    (void)state;
    struct room_member *ana = room_member_join("lack", "Ana");
    struct history_page page;
    struct history_query query = {.before = UINT64_MAX, .count = 2, .words = "tea"};
    room_member_say(ana, "\"tea one\"");
    room_member_say(ana, "\"Tee zwei, t\xC3\xA9\"");
    room_member_say(ana, "\"tea three\"");
    int fails = 0;
    for (;; fails++) {
        no_memory_after(fails);
        enum history_result result = history_read(&ana->member, &room_test_config, &query, &page);
        bool failed = no_memory_end();
        assert_int_equal(result, failed ? HISTORY_NO_MEMORY : HISTORY_READ);
        if (!failed)
            break;
        history_page_fini(&page);
    }
    assert_true(fails >= 5); /* what is copied, each text and its fold, what is found */
    assert_int_equal(page.count, 2);
    history_page_fini(&page);
    room_member_free(ana);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pages),
        cmocka_unit_test(test_searches),
        cmocka_unit_test(test_a_room_without_a_past),
        cmocka_unit_test(test_a_file_that_cannot_be_read),
        cmocka_unit_test(test_joined_says_what_can_be_asked_for),
        cmocka_unit_test(test_pages_without_memory),
    };
    return cmocka_run_group_tests(tests, rooms_begin, rooms_end);
}
