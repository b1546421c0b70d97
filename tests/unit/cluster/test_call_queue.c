/* SPDX-License-Identifier: MIT
 *
 * test_call_queue.c - calls that wait for the engine: their order, their bytes, and memory that
 * runs out.
 */
#include "cluster/call_queue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "no_memory.h"

static struct engine_seat one, two;

static struct engine_call *call_of(struct engine_seat *seat, uint64_t seq, size_t len)
{
    struct engine_call *call = calloc(1, sizeof(*call));
    assert_non_null(call);
    call->seat = seat;
    call->seq = seq;
    call->len = len;
    call->bytes = calloc(1, len + 1);
    return call;
}

static void push_call(struct call_queue *queue, struct engine_seat *seat, uint64_t seq)
{
    assert_true(call_queue_push(queue, call_of(seat, seq, 100)));
}

static void test_calls_keep_their_order(void **state)
{
    struct call_queue queue = {.first = NULL};
    (void)state;
    for (uint64_t seq = 1; seq <= 5; seq++)
        push_call(&queue, &one, seq);
    assert_int_equal(queue.count, 5);
    assert_true(queue.bytes >= 500);
    for (uint64_t seq = 1; seq <= 5; seq++) {
        assert_int_equal(queue.first->call->seq, seq);
        call_queue_pop(&queue);
    }
    assert_null(queue.first);
    assert_null(queue.last);
    assert_int_equal(queue.count, 0);
    assert_int_equal(queue.bytes, 0);
    push_call(&queue, &one, 6);
    assert_int_equal(queue.first->call->seq, 6);
    call_queue_pop(&queue);
}

static bool is_of_one(const struct engine_call *call)
{
    return call->seat == &one;
}

/* The calls of a seat that is over go, wherever they are, and the others keep their order. */
static void test_a_seat_is_swept_out(void **state)
{
    static const char *const cases[] = {"1", "2", "12", "21", "1212", "2211", "1122", "111"};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct call_queue queue = {.first = NULL};
        size_t left = 0;
        for (size_t at = 0; cases[i][at]; at++)
            push_call(&queue, cases[i][at] == '1' ? &one : &two, at + 1);
        call_queue_sweep(&queue, is_of_one);
        assert_false(call_queue_has(&queue, &one));
        for (size_t at = 0; cases[i][at]; at++)
            left += cases[i][at] == '2';
        assert_int_equal(queue.count, left);
        assert_int_equal(call_queue_has(&queue, &two), left > 0);
        push_call(&queue, &one, 99); /* behind what is left */
        assert_int_equal(queue.last->call->seq, 99);
        for (uint64_t before = 0; queue.first;) {
            assert_true(queue.first->call->seq > before);
            before = queue.first->call->seq;
            call_queue_pop(&queue);
        }
        assert_int_equal(queue.bytes, 0);
    }
}

static void test_without_memory_the_call_is_freed(void **state)
{
    struct call_queue queue = {.first = NULL};
    struct engine_call *call = call_of(&one, 1, 10);
    (void)state;
    no_memory_after(0);
    bool pushed = call_queue_push(&queue, call);
    no_memory_end();
    assert_false(pushed);
    assert_false(call_queue_push(&queue, NULL));
    assert_null(queue.first);
    assert_int_equal(queue.bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calls_keep_their_order),
        cmocka_unit_test(test_a_seat_is_swept_out),
        cmocka_unit_test(test_without_memory_the_call_is_freed),
    };
    return cmocka_run_group_tests_name("call_queue", tests, NULL, NULL);
}
