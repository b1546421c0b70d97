/* SPDX-License-Identifier: MIT
 *
 * test_log_order.c - a log goes on, or it does not.
 */
#include "reply_bytes.h"

#include "cluster/log_order.h"
#include "no_memory.h"

static struct log_order order;
static const char *why;

static int start(void **state)
{
    const struct log_position position = {"5-0", 10, "b:" SEAT_A ":3"};
    (void)state;
    log_order_init(&order, "", NULL, 100);
    log_order_start(&order, &position, 7);
    return 0;
}

static int end(void **state)
{
    (void)state;
    log_order_fini(&order);
    return 0;
}

static enum log_verdict next(struct reply_value *value)
{
    struct log_entry entry;
    enum log_verdict verdict = log_order_next(&order, value, &entry, &why);
    reply_free(value);
    return verdict;
}

static enum log_verdict previous(struct reply_value *value)
{
    struct log_entry entry;
    enum log_verdict verdict = log_order_previous(&order, value, &entry, &why);
    reply_free(value);
    return verdict;
}

static struct reply_value *broadcast(const char *at, const char *seat, int seq, int number, int id)
{
    char texts[3][20];
    sprintf(texts[0], "%d", seq);
    sprintf(texts[1], "%d", number);
    sprintf(texts[2], "%d", id);
    return ENTRY(at, "k", "b", "s", seat, "q", texts[0], "n", texts[1], "i", texts[2], "d", "{");
}

static void a_good_entry_moves_the_position(void **state)
{
    (void)state;
    assert_int_equal(next(broadcast("5-1", SEAT_A, 4, 11, 8)), LOG_GOOD);
    assert_string_equal(order.position.at, "5-1");
    assert_int_equal(order.position.number, 11);
    assert_string_equal(order.position.tag, "b:" SEAT_A ":4");
    assert_string_equal(order.read_at, "5-1");
    assert_int_equal(next(broadcast("6-0", SEAT_B, 1, 12, 9)), LOG_GOOD);
    assert_int_equal(next(broadcast("7-0", SEAT_A, 9, 30, 10)), LOG_GOOD); /* others were private */
}

static void ids_are_consecutive(void **state)
{
    (void)state;
    assert_int_equal(next(broadcast("6-0", SEAT_A, 4, 11, 9)), LOG_BROKEN);
    assert_non_null(strstr(why, "consecutive"));
    assert_string_equal(order.position.at, "5-0");
    assert_int_equal(next(broadcast("6-0", SEAT_A, 4, 11, 7)), LOG_BROKEN);
    assert_int_equal(next(broadcast("6-0", SEAT_A, 4, 11, 8)), LOG_GOOD);
}

static void places_and_numbers_go_up(void **state)
{
    (void)state;
    assert_int_equal(next(broadcast("5-0", SEAT_A, 4, 11, 8)), LOG_BROKEN);
    assert_int_equal(next(broadcast("4-9", SEAT_A, 4, 11, 8)), LOG_BROKEN);
    assert_int_equal(next(broadcast("6-0", SEAT_A, 4, 10, 8)), LOG_BROKEN);
    assert_int_equal(next(broadcast("x", SEAT_A, 4, 11, 8)), LOG_BROKEN);
    assert_int_equal(next(broadcast("10-0", SEAT_A, 4, 11, 8)),
                     LOG_GOOD); /* as numbers, not text */
    assert_int_equal(next(broadcast("10-10", SEAT_A, 5, 12, 9)), LOG_GOOD);
    assert_int_equal(next(broadcast("10-9", SEAT_A, 6, 13, 10)), LOG_BROKEN);
}

/* An engine that plays a seat's old entry again, at the end of the log. */
static void a_seq_comes_once(void **state)
{
    (void)state;
    assert_int_equal(next(broadcast("6-0", SEAT_A, 4, 11, 8)), LOG_GOOD);
    assert_int_equal(next(broadcast("7-0", SEAT_B, 1, 12, 9)), LOG_GOOD);
    assert_int_equal(next(broadcast("8-0", SEAT_A, 4, 13, 10)), LOG_BAD);
    assert_non_null(strstr(why, "repeated"));
    assert_string_equal(order.position.at, "7-0");
    assert_string_equal(order.read_at, "8-0"); /* it is not read again */
    assert_int_equal(next(broadcast("8-1", SEAT_B, 1, 13, 10)), LOG_BAD);
    assert_int_equal(next(broadcast("9-0", SEAT_A, 5, 14, 10)), LOG_GOOD);
}

static void a_malformed_entry_is_skipped(void **state)
{
    (void)state;
    assert_int_equal(next(ENTRY("6-0", "hello", "world")), LOG_BAD);
    assert_string_equal(order.read_at, "6-0");
    assert_string_equal(order.position.at, "5-0");
    assert_int_equal(next(broadcast("7-0", SEAT_A, 4, 11, 8)), LOG_GOOD);
}

static void backwards_everything_goes_down(void **state)
{
    (void)state;
    assert_int_equal(previous(broadcast("5-0", SEAT_A, 3, 10, 7)), LOG_GOOD);
    assert_int_equal(previous(broadcast("4-0", SEAT_A, 3, 9, 6)), LOG_BAD);
    assert_int_equal(previous(broadcast("4-0", SEAT_A, 2, 9, 5)), LOG_BROKEN);
    assert_int_equal(previous(broadcast("4-0", SEAT_A, 2, 9, 6)), LOG_GOOD);
    assert_int_equal(previous(ENTRY("x", "k", "b")), LOG_BROKEN);
    assert_string_equal(order.position.at, "5-0");
    assert_int_equal(next(broadcast("6-0", SEAT_A, 3, 11, 8)), LOG_BAD); /* was read backwards */
    assert_int_equal(next(broadcast("7-0", SEAT_A, 4, 11, 8)), LOG_GOOD);
}

static void the_silent_seat_is_forgotten_first(void **state)
{
    char seat[SEAT_MAX], at[20];
    (void)state;
    int id = 8;
    for (int i = 0; i < LOG_SEATS_MAX; i++) {
        sprintf(seat, "%032x", i);
        sprintf(at, "%d-0", 100 + i);
        assert_int_equal(next(broadcast(at, seat, 1, 11 + i, id++)), LOG_GOOD);
    }
    for (int i = 0; i < LOG_SEATS_MAX; i++) { /* all but the third write again */
        sprintf(seat, "%032x", i);
        sprintf(at, "%d-0", 500 + i);
        if (i != 3)
            assert_int_equal(next(broadcast(at, seat, 2, 500 + i, id++)), LOG_GOOD);
    }
    assert_int_equal(next(broadcast("900-0", SEAT_A, 1, 900, id++)), LOG_GOOD);
    assert_int_equal(order.count, LOG_SEATS_MAX);
    for (int i = 0; i < LOG_SEATS_MAX; i++) {
        sprintf(seat, "%032x", i);
        sprintf(at, "%d-0", 1000 + i);
        if (i != 3)
            assert_int_equal(next(broadcast(at, seat, 2, 1000 + i, id)), LOG_BAD);
    }
    sprintf(seat, "%032x", 3);
    assert_int_equal(next(broadcast("2000-0", seat, 1, 2000, id)), LOG_GOOD); /* it was forgotten */
}

/* What the engine itself writes for a seat takes no place among the seats. */
static void only_calls_with_a_seq_are_remembered(void **state)
{
    (void)state;
    assert_int_equal(next(ENTRY("6-0", "k", "x", "s", SEAT_A, "q", "0", "n", "11", "d", SEAT_B)),
                     LOG_GOOD);
    assert_int_equal(order.count, 0);
    assert_int_equal(next(broadcast("7-0", SEAT_A, 1, 12, 8)), LOG_GOOD);
    assert_int_equal(order.count, 1);
}

static void a_start_forgets_the_seats(void **state)
{
    const struct log_position position = {"5-0", 10, ""};
    (void)state;
    assert_int_equal(next(broadcast("6-0", SEAT_A, 4, 11, 8)), LOG_GOOD);
    log_order_start(&order, &position, 7);
    assert_int_equal(order.count, 0);
    assert_int_equal(next(broadcast("6-0", SEAT_A, 4, 11, 8)), LOG_GOOD);
}

static void a_new_room_begins_at_nothing(void **state)
{
    const struct log_position position = {"", 0, ""};
    (void)state;
    log_order_start(&order, &position, 0);
    assert_int_equal(next(broadcast("0-1", SEAT_A, 1, 1, 1)), LOG_GOOD);
    assert_int_equal(next(broadcast("0-1", SEAT_A, 2, 2, 2)), LOG_BROKEN);
}

/* An entry whose text was sealed by hand, as the seat does it. */
static struct reply_value *sealed(const struct sealing *sealing, const char *room)
{
    static const char head[] = "*2\r\n$3\r\n6-0\r\n*12\r\n$1\r\nk\r\n$1\r\nb\r\n$1\r\ns\r\n"
                               "$32\r\n" SEAT_A "\r\n$1\r\nq\r\n$1\r\n4\r\n$1\r\nn\r\n$2\r\n11\r\n"
                               "$1\r\ni\r\n$1\r\n8\r\n$1\r\nd\r\n$17\r\n";
    const struct sealing_place place = {.room = room, .seat = SEAT_A, .seq = 4, .kind = 'b'};
    struct sealing_key key;
    char bytes[300];
    size_t len = strlen(head);
    assert_true(sealing_derive(sealing, room, SEAT_A, &key));
    memcpy(bytes, head, len);
    assert_true(sealing_seal(&key, &place, text_of("{"), bytes + len));
    memcpy(bytes + len + 17, "\r\n", 2);
    return parse_bytes(bytes, len + 19);
}

static void sealed_entries_are_opened(void **state)
{
    const struct log_position position = {"5-0", 10, "-"};
    struct log_entry entry;
    (void)state;
    struct sealing *sealing = sealing_new("0123456789abcdef0123456789abcdef", &why);
    log_order_init(&order, "room", sealing, 100);
    log_order_start(&order, &position, 7);
    assert_int_equal(next(sealed(sealing, "other")), LOG_BAD);
    assert_non_null(strstr(why, "cluster_secret"));
    log_order_start(&order, &position, 7);
    struct reply_value *value = sealed(sealing, "room");
    assert_int_equal(log_order_next(&order, value, &entry, &why), LOG_GOOD);
    assert_true(text_equals(entry.body, "{"));
    reply_free(value);
    log_order_start(&order, &position, 7);
    assert_int_equal(next(broadcast("6-0", SEAT_A, 4, 11, 8)), LOG_BAD); /* not sealed */
    sealing_free(sealing);
}

static void without_memory_nothing_moves(void **state)
{
    struct log_entry entry;
    (void)state;
    struct reply_value *value = broadcast("6-0", SEAT_A, 4, 11, 8);
    no_memory_after(0);
    enum log_verdict verdict = log_order_next(&order, value, &entry, &why);
    assert_true(no_memory_end());
    assert_int_equal(verdict, LOG_MEMORY);
    assert_string_equal(order.read_at, "5-0");
    assert_int_equal(log_order_next(&order, value, &entry, &why), LOG_GOOD);
    reply_free(value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_good_entry_moves_the_position, start, end),
        cmocka_unit_test_setup_teardown(ids_are_consecutive, start, end),
        cmocka_unit_test_setup_teardown(places_and_numbers_go_up, start, end),
        cmocka_unit_test_setup_teardown(a_seq_comes_once, start, end),
        cmocka_unit_test_setup_teardown(a_malformed_entry_is_skipped, start, end),
        cmocka_unit_test_setup_teardown(backwards_everything_goes_down, start, end),
        cmocka_unit_test_setup_teardown(the_silent_seat_is_forgotten_first, start, end),
        cmocka_unit_test_setup_teardown(only_calls_with_a_seq_are_remembered, start, end),
        cmocka_unit_test_setup_teardown(a_start_forgets_the_seats, start, end),
        cmocka_unit_test_setup_teardown(a_new_room_begins_at_nothing, start, end),
        cmocka_unit_test_setup_teardown(sealed_entries_are_opened, start, end),
        cmocka_unit_test_setup_teardown(without_memory_nothing_moves, start, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
