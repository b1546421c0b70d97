/* SPDX-License-Identifier: MIT
 *
 * test_presence_random.c - members that join, leave and miss changes at random, in a room that is
 * counted and listed in turn: what they read always leads to the list of the room.
 */
#include "no_memory.h"
#include "presence_room.h"
#include "user_list.h"

enum { PEOPLE = 12, LIST_MAX = 8, LIST_AGAIN = 7, STEPS = 6000 };

struct actor {
    struct room_member *person; /* NULL: not in the room */
    struct user_list list;
};

/* Joins, in one of two spellings. With an identity it can take its own place over. */
static struct room_member *come_in(int who)
{
    char name[8];
    snprintf(name, sizeof(name), "%c%02d", rand() % 2 ? 'm' : 'M', who);
    return who % 3 ? presence_join(name) : presence_join_as(name, (unsigned char)(1 + who));
}

static void step(struct actor *actors, struct room *room)
{
    int who = rand() % PEOPLE;
    struct actor *actor = &actors[who];
    bool fails = rand() % 4 == 0;
    if (rand() % 4 == 0) {
        room->presence.paid =
            rand() % 2 ? 0 : net_now() + PRESENCE_TEST_BURST_MS + PRESENCE_TEST_LONG_MS;
    } else if (rand() % 5 == 0) {
        if (fails)
            rand() % 2 ? no_memory_after(rand() % 8) : no_memory_from(rand() % 8);
        presence_send_now(room);
        no_memory_end();
    } else if (!actor->person || (who % 3 == 0 && rand() % 4 == 0)) {
        struct room_member *before = actor->person;
        actor->person = come_in(who);
        if (before)
            room_member_free(before);
        actor->list = (struct user_list){.version = 0};
    } else {
        if (fails)
            rand() % 2 ? no_memory_after(rand() % 8) : no_memory_from(rand() % 8);
        room_member_leave(actor->person);
        no_memory_end();
        room_member_free(actor->person);
        actor->person = NULL;
    }
}

/* Everybody has heard all: their lists are the room's. */
static void check_lists(struct actor *actors, struct room *room)
{
    while (room->presence_sender)
        presence_send_now(room);
    for (int i = 0; i < PEOPLE; i++) {
        struct user_list *list = &actors[i].list;
        if (!actors[i].person)
            continue;
        user_list_read_lines(list, room_member_hear(actors[i].person));
        assert_int_equal(list->count, room->count);
        assert_int_equal(list->has_names, !room->presence.counted);
        for (size_t k = 0; list->has_names && k < room->count; k++)
            assert_true(user_list_find(list, room->members[k]->name) < list->known);
    }
}

static void test_lists_are_true_whatever_happens(void **state)
{
    (void)state;
    struct actor *actors = calloc(PEOPLE, sizeof(*actors));
    assert_non_null(actors);
    struct room_member *host = presence_join("host");
    struct room *room = host->member.room;
    room->presence.list_max = LIST_MAX;
    room->presence.list_again = LIST_AGAIN;
    int counted = 0;
    srand(15);
    for (int i = 0; i < STEPS; i++) {
        step(actors, room);
        counted += room->presence.counted;
        room_member_hear(host);
        for (int k = 0; k < PEOPLE; k++)
            if (actors[k].person && rand() % 3 == 0)
                user_list_read_lines(&actors[k].list, room_member_hear(actors[k].person));
        if (rand() % 8 == 0)
            check_lists(actors, room);
    }
    assert_in_range(counted, STEPS / 10, STEPS - STEPS / 10);
    for (int k = 0; k < PEOPLE; k++)
        if (actors[k].person)
            room_member_free(actors[k].person);
    free(actors);
    room_member_free(host);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lists_are_true_whatever_happens),
    };
    return cmocka_run_group_tests(tests, rooms_begin, rooms_end);
}
