/* SPDX-License-Identifier: MIT
 *
 * test_room_list.c - making, finding and dropping rooms, and how many of them one source may make.
 */
#include "room/room_parts.h"

#include "base/metrics.h"
#include "no_memory.h"
#include "room_member.h"

static enum protocol_error code;
static const char *why;

/* Finds or makes a room; NULL and `code`, `why`. */
static struct room *enter_as(const char *name, const struct sockaddr_storage *maker)
{
    struct join_request request = room_test_request(name, "x");
    request.maker = maker;
    code = ERROR_NONE;
    why = NULL;
    return room_ref(&request, &code, &why);
}

static struct room *enter_from(const char *name, const char *address)
{
    struct sockaddr_storage maker = ip4_address(address);
    return enter_as(name, &maker);
}

static int64_t count_rooms(void)
{
    static const char name[] = "\nragnarok_rooms ";
    size_t len;
    char *text = metrics_text(&len), *at = text ? strstr(text, name) : NULL;
    assert_non_null(at);
    int64_t value = strtoll(at + strlen(name), NULL, 10);
    free(text);
    return value;
}

static void test_a_room_is_made_once_and_goes_with_its_last_user(void **state)
{
    (void)state;
    struct room *first = enter_as("one", NULL), *again = enter_as("one", NULL);
    assert_int_equal(count_rooms(), 2);
    assert_ptr_equal(first, again);
    assert_string_equal(first->name, "one");
    assert_int_equal(first->users, 2);
    assert_int_equal(first->ring.size, ROOM_TEST_BUFFER);
    assert_true(first->share.burst == ROOM_TEST_BUFFER / SHARE_BURST_PART);
    check_room_locks(first);
    room_unref(first);
    assert_ptr_equal(enter_as("one", NULL), first);
    room_unref(first);
    assert_int_equal(count_rooms(), 2);
    room_unref(first);
    assert_int_equal(count_rooms(), 1);
}

static void test_the_main_room_stays(void **state)
{
    (void)state;
    struct room *room = enter_as("", NULL), *other = enter_as("other", NULL);
    char epoch[ROOM_EPOCH_MAX];
    strcpy(epoch, room->epoch);
    assert_ptr_not_equal(room, other);
    assert_int_equal(count_rooms(), 2);
    room_unref(room);
    assert_int_equal(count_rooms(), 2);
    room = enter_as("", NULL);
    assert_string_equal(room->epoch, epoch);
    assert_int_equal(count_rooms(), 2);
    room_unref(room);
    room_unref(other);
    assert_int_equal(count_rooms(), 1);
}

/* Rooms in the middle, at the end and at the beginning of the list go; the others are found. */
static void test_any_room_may_go_first(void **state)
{
    (void)state;
    static const int orders[][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                    {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    static const char *const names[] = {"a", "b", "c"};
    for (size_t i = 0; i < sizeof(orders) / sizeof(*orders); i++) {
        struct room *rooms[3];
        for (int k = 0; k < 3; k++)
            rooms[k] = enter_as(names[k], NULL);
        for (int k = 0; k < 3; k++) {
            room_unref(rooms[orders[i][k]]);
            for (int other = k + 1; other < 3; other++) {
                int which = orders[i][other];
                assert_ptr_equal(enter_as(names[which], NULL), rooms[which]);
                room_unref(rooms[which]);
            }
        }
    }
    assert_int_equal(count_rooms(), 1);
}

static void test_each_room_has_an_epoch_of_its_own(void **state)
{
    (void)state;
    char before[ROOM_EPOCH_MAX];
    struct room *room = enter_as("epoch", NULL), *other = enter_as("other", NULL);
    assert_int_equal(strlen(room->epoch), ROOM_EPOCH_MAX - 1);
    assert_int_equal(strspn(room->epoch, "0123456789abcdef"), ROOM_EPOCH_MAX - 1);
    assert_string_not_equal(room->epoch, other->epoch);
    strcpy(before, room->epoch);
    room_unref(room);
    room = enter_as("epoch", NULL);
    assert_string_not_equal(room->epoch, before);
    room_unref(room);
    room_unref(other);
}

static void check_too_many(struct room *room)
{
    assert_null(room);
    assert_int_equal(code, ERROR_TOO_MANY_ROOMS);
    check_text(why, "there are as many rooms as this server allows");
}

/* The main room is one of max_rooms. */
static void test_there_are_at_most_max_rooms(void **state)
{
    (void)state;
    struct room *rooms[20];
    char name[8];
    for (int i = 0; i < 19; i++) {
        snprintf(name, sizeof(name), "r%d", i);
        rooms[i] = enter_as(name, NULL);
        assert_non_null(rooms[i]);
    }
    check_too_many(enter_as("one-more", NULL));
    assert_ptr_equal(enter_as("r7", NULL), rooms[7]); /* one that there is may be entered */
    room_unref(rooms[7]);
    room_unref(rooms[3]);
    assert_non_null(rooms[3] = enter_as("one-more", NULL));
    for (int i = 0; i < 19; i++)
        room_unref(rooms[i]);
}

/* Enters rooms from an address until one is refused. Returns how many there were. */
static int fill_from(const char *address, const char *prefix, struct room **rooms, int most)
{
    char name[16];
    for (int i = 0; i < most; i++) {
        snprintf(name, sizeof(name), "%s%d", prefix, i);
        if (!(rooms[i] = enter_from(name, address)))
            return i;
    }
    return most;
}

/* 40 rooms: an address may make a quarter of them, its /24 half. */
static void test_a_source_may_make_a_part_of_the_rooms(void **state)
{
    (void)state;
    struct room *rooms[40], *others[40], *strangers[40];
    room_test_config.max_rooms = 44;
    int made = fill_from("192.0.2.1", "a", rooms, 40);
    assert_int_equal(made, 44 / ROOM_SOURCE);
    check_too_many(enter_from("more", "192.0.2.1"));
    int more = fill_from("192.0.2.2", "b", others, 40);
    assert_int_equal(more, 44 / ROOM_SOURCE);
    check_too_many(enter_from("more", "192.0.2.3")); /* of the same /24 */
    int strange = fill_from("198.51.100.1", "c", strangers, 40);
    assert_int_equal(strange, 44 / ROOM_SOURCE);
    assert_ptr_equal(enter_from("a0", "192.0.2.3"), rooms[0]);
    room_unref(rooms[0]);
    room_unref(rooms[1]);
    assert_non_null(rooms[1] = enter_from("more", "192.0.2.3"));
    for (int i = 0; i < made; i++)
        room_unref(rooms[i]);
    for (int i = 0; i < more; i++)
        room_unref(others[i]);
    for (int i = 0; i < strange; i++)
        room_unref(strangers[i]);
    room_test_config.max_rooms = 20;
    assert_int_equal(count_rooms(), 1);
}

/* Where a quarter would be less, a source may make ROOM_SOURCE_LEAST. */
static void test_a_source_may_make_a_few_in_any_case(void **state)
{
    (void)state;
    struct room *rooms[20];
    room_test_config.max_rooms = 7;
    int made = fill_from("192.0.2.1", "a", rooms, 20);
    assert_int_equal(made, ROOM_SOURCE_LEAST);
    check_too_many(enter_from("more", "192.0.2.9"));
    rooms[made] = enter_as("more", NULL); /* one that limits are not for */
    assert_non_null(rooms[made]);
    for (int i = 0; i <= made; i++)
        room_unref(rooms[i]);
    room_test_config.max_rooms = 20;
}

/* Rooms made by one that limits are not for count for no address. */
static void test_exempt_rooms_count_for_nobody(void **state)
{
    (void)state;
    struct room *rooms[20], *other[10];
    char name[8];
    for (int i = 0; i < 10; i++) {
        snprintf(name, sizeof(name), "x%d", i);
        other[i] = enter_as(name, NULL);
    }
    int made = fill_from("192.0.2.1", "a", rooms, 20);
    assert_int_equal(made, 20 / ROOM_SOURCE);
    assert_int_equal(fill_from("0.0.0.0", "z", rooms + made, 1), 1);
    for (int i = 0; i <= made; i++)
        room_unref(rooms[i]);
    for (int i = 0; i < 10; i++)
        room_unref(other[i]);
}

static void test_other_settings_hold_for_the_next_room(void **state)
{
    (void)state;
    struct config other = room_test_config;
    other.max_rooms = 2;
    rooms_set_config(&other);
    struct room *room = enter_as("a", NULL);
    assert_non_null(room);
    check_too_many(enter_as("b", NULL));
    rooms_set_config(&room_test_config);
    struct room *more = enter_as("b", NULL);
    assert_non_null(more);
    room_unref(more);
    room_unref(room);
}

static void test_a_room_without_memory_is_not_made(void **state)
{
    (void)state;
    int64_t before = count_rooms();
    for (int fails = 0; fails < 2; fails++) { /* the room, its ring */
        no_memory_after(fails);
        struct room *room = enter_as("memory", NULL);
        assert_true(no_memory_end());
        assert_null(room);
        assert_int_equal(code, ERROR_ROOM_FULL);
        assert_string_equal(why, "the server is out of memory");
        assert_int_equal(count_rooms(), before);
    }
    struct room *room = enter_as("memory", NULL);
    assert_non_null(room);
    room_unref(room);
}

/* What needs an escaped room is counted by users that read ASCII only. */
static void test_a_room_with_one_that_reads_ascii_only(void **state)
{
    (void)state;
    struct room *room = enter_as("ascii", NULL);
    assert_false(room_needs_ascii(room));
    room->ascii++;
    assert_true(room_needs_ascii(room));
    room->ascii--;
    assert_false(room_needs_ascii(room));
    room_unref(room);
}

static void test_the_probe_leaves_no_lock_behind(void **state)
{
    (void)state;
    struct room *room = enter_as("probe", NULL);
    rooms_probe();
    rooms_probe();
    check_room_locks(room);
    assert_false(rooms_stopping());
    rooms_stop();
    assert_true(rooms_stopping());
    check_room_locks(room);
    room_unref(room);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_room_is_made_once_and_goes_with_its_last_user),
        cmocka_unit_test(test_the_main_room_stays),
        cmocka_unit_test(test_any_room_may_go_first),
        cmocka_unit_test(test_each_room_has_an_epoch_of_its_own),
        cmocka_unit_test(test_there_are_at_most_max_rooms),
        cmocka_unit_test(test_a_source_may_make_a_part_of_the_rooms),
        cmocka_unit_test(test_a_source_may_make_a_few_in_any_case),
        cmocka_unit_test(test_exempt_rooms_count_for_nobody),
        cmocka_unit_test(test_other_settings_hold_for_the_next_room),
        cmocka_unit_test(test_a_room_without_memory_is_not_made),
        cmocka_unit_test(test_a_room_with_one_that_reads_ascii_only),
        cmocka_unit_test(test_the_probe_leaves_no_lock_behind), /* the last: it stops all rooms */
    };
    return cmocka_run_group_tests(tests, rooms_begin, rooms_end);
}
