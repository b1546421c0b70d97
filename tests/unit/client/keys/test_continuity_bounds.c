/* SPDX-License-Identifier: MIT
 *
 * test_continuity_bounds.c - bounds of what is remembered.
 */
#include "client/keys/continuity.h"

#include "continuity_receiver.h"

/* ---- One receiver ---- */

static struct seal_stream stream_of(uint64_t from, uint64_t to)
{
    const struct seal_message message = message_of(from, to, 1);
    return seal_stream_of(&message);
}

static void use_own_key(struct desk *desk, uint64_t own)
{
    unsigned char key[E2E_KEY_BYTES];
    key_of(own, key);
    e2e_hash(key, desk->session.present.hash);
}

/* ---- Bounds ---- */

/* One more stream to the same session key of ours is refused: it has to be replaced. Streams that
 * are known go on, and a new key has room again. */
static void test_bound_of_streams(void **state)
{
    struct desk desk;
    const unsigned char other[E2E_KEY_BYTES] = {2};
    (void)state;
    sit_down(&desk);
    for (uint64_t i = 0; i < CONTINUITY_STREAMS_MAX; i++) {
        if (i == 100) /* all identities together */
            desk.peer = continuity_peer(&desk.continuity, other);
        assert_int_equal(come(&desk, 100 + i, 2, 1), SEAL_GOOD);
    }
    assert_int_equal(come(&desk, 99, 2, 1), SEAL_STALE_KEY);
    assert_int_equal(come(&desk, 100 + CONTINUITY_STREAMS_MAX - 1, 2, 2), SEAL_GOOD);
    assert_int_equal(come(&desk, 99, 3, 1), SEAL_GOOD);
    assert_int_equal(come(&desk, 99, 3, 1), SEAL_REPLAYED);
    stand_up(&desk);
}

/* While a session key of ours can be used nothing is forgotten; then the last eight of an identity
 * stay, so that a stream which follows one of them is known. */
static void test_former_streams(void **state)
{
    struct e2e_session bob = {.identity = NULL};
    struct desk desk;
    (void)state;
    sit_down(&desk);
    people_session(&bob, NULL, "tea", "bob");
    const uint64_t streams = 20;
    for (uint64_t i = 0; i < streams; i++) {
        struct seal_message message = message_of(100 + i, 0, 3);
        const struct seal_content content = {.kind = SEAL_TEXT};
        memcpy(message.to, bob.keys.session, E2E_KEY_BYTES);
        assert_int_equal(continuity_judge(&desk.continuity, desk.peer, &message), SEAL_GOOD);
        count(&desk, desk.peer, &message, &content, 0);
    }
    continuity_retire(&desk.continuity, &bob);
    assert_int_equal(desk.peer->in_count, streams);
    unsigned char former[E2E_KEY_BYTES];
    memcpy(former, bob.keys.session, sizeof(former));
    assert_true(e2e_session_renew(&bob, people_now(0)));
    continuity_retire(&desk.continuity, &bob);
    assert_int_equal(desk.peer->in_count, streams);
    e2e_session_expire(&bob, people_now(60000));
    continuity_retire(&desk.continuity, &bob);
    assert_int_equal(desk.peer->in_count, CONTINUITY_FORMER_MAX);
    for (uint64_t i = streams - CONTINUITY_FORMER_MAX; i < streams; i++) {
        struct seal_message message = message_of(1000 + i, 0, 1);
        struct seal_content content = {.kind = SEAL_TEXT};
        memcpy(message.to, former, E2E_KEY_BYTES);
        message.from = message_of(100 + i, 0, 1).from;
        content.previous = (struct seal_mark){seal_stream_of(&message), 5};
        message = message_of(1000 + i, 0, 1);
        memcpy(message.to, bob.keys.session, E2E_KEY_BYTES);
        assert_int_equal(continuity_judge(&desk.continuity, desk.peer, &message), SEAL_GOOD);
        assert_int_equal(count(&desk, desk.peer, &message, &content, 0).missing, 2);
    }
    e2e_session_fini(&bob);
    stand_up(&desk);
}

/* The oldest id is forgotten first. */
static void test_bound_of_ids(void **state)
{
    struct desk desk;
    (void)state;
    sit_down(&desk);
    for (uint64_t i = 1; i <= CONTINUITY_IDS_MAX + 2; i++) {
        const struct seal_message message = message_of(1, 2, i);
        struct seal_content content = {.kind = SEAL_TEXT};
        id_of(i <= CONTINUITY_IDS_MAX ? i : i - CONTINUITY_IDS_MAX, content.id);
        bool again = i == CONTINUITY_IDS_MAX + 1;
        if (again)
            id_of(CONTINUITY_IDS_MAX, content.id);
        assert_int_equal(continuity_judge(&desk.continuity, desk.peer, &message), SEAL_GOOD);
        assert_int_equal(count(&desk, desk.peer, &message, &content, 0).shown_before,
                         again || i == CONTINUITY_IDS_MAX + 2);
    }
    for (uint64_t i = 1; i <= 3; i++) {
        const struct seal_message message = message_of(1, 2, 2000 + i);
        struct seal_content content = {.kind = SEAL_TEXT};
        id_of(i == 1 ? 9999 : i - 1, content.id); /* a new one, the first, the second */
        assert_int_equal(continuity_judge(&desk.continuity, desk.peer, &message), SEAL_GOOD);
        assert_false(count(&desk, desk.peer, &message, &content, 0).shown_before);
    }
    stand_up(&desk);
}

static void test_bound_of_texts(void **state)
{
    struct desk desk;
    (void)state;
    sit_down(&desk);
    assert_int_equal(go(&desk, 1), 0); /* there is no card */
    show_card(&desk, 1, 0);
    for (uint64_t i = 1; i <= CONTINUITY_TEXTS_MAX; i++)
        assert_true(go(&desk, i) == i);
    assert_int_equal(desk.peer->text_count, CONTINUITY_TEXTS_MAX);
    assert_int_equal(go(&desk, 999), 0);
    assert_true(go(&desk, 7) == CONTINUITY_TEXTS_MAX + 1); /* is one of them */
    unsigned char id[SEAL_ID_BYTES];
    id_of(8, id);
    continuity_drop(desk.peer, id);
    continuity_drop(desk.peer, id);
    assert_int_equal(desk.peer->text_count, CONTINUITY_TEXTS_MAX - 1);
    assert_true(go(&desk, 999) > 0);
    stand_up(&desk);
}

static void test_a_fifth_sealing_is_refused(void **state)
{
    struct desk desk;
    (void)state;
    sit_down(&desk);
    show_card(&desk, 1, 0);
    for (uint64_t i = 1; i <= CONTINUITY_SEALED_MAX; i++)
        assert_true(go(&desk, 1) == i);
    assert_int_equal(go(&desk, 1), 0);
    stand_up(&desk);
}

/* The first streams of ours are forgotten: what is confirmed in them is not lost. */
static void test_bound_of_own_streams(void **state)
{
    struct desk desk;
    (void)state;
    sit_down(&desk);
    show_card(&desk, 1, 0);
    for (uint64_t own = 1; own <= CONTINUITY_OUT_MAX + 4; own++) {
        use_own_key(&desk, 500 + own);
        assert_int_equal(go(&desk, own), 1);
    }
    assert_int_equal(desk.peer->out_count, CONTINUITY_OUT_MAX);
    for (uint64_t own = 1; own <= CONTINUITY_OUT_MAX + 4; own++) {
        const struct seal_mark opened = {stream_of(500 + own, 1), 1};
        confirm(&desk, &opened, 0);
        assert_event(&desk, 0, CONTINUITY_ARRIVED, own);
    }
    assert_int_equal(desk.peer->text_count, 0);
    stand_up(&desk);
}

/* A stream in which nothing was sent is none: it leaves no trace. */
static void test_streams_that_were_only_prepared(void **state)
{
    struct desk desk;
    struct seal_content content = {.kind = SEAL_TEXT};
    struct seal_mark mark;
    (void)state;
    sit_down(&desk);
    show_card(&desk, 1, 0);
    for (uint64_t own = 1; own <= 100; own++) {
        use_own_key(&desk, 500 + own);
        assert_true(continuity_prepare(desk.peer, &desk.session, &content, &mark));
        assert_true(mark.seq == 1);
        assert_true(seal_stream_none(&content.previous.stream));
    }
    assert_int_equal(desk.peer->out_count, 1);
    stand_up(&desk);
}

/* At the bound the identity that was idle for longest goes; those that are in use do not. */
static void test_bound_of_identities(void **state)
{
    struct desk desk;
    unsigned char identity[E2E_KEY_BYTES];
    (void)state;
    sit_down(&desk); /* the first */
    assert_int_equal(come(&desk, 1, 2, 1), SEAL_GOOD);
    for (uint64_t i = 2; i <= CONTINUITY_PEERS_MAX; i++) {
        key_of(i, identity);
        assert_non_null(desk.peer = continuity_peer(&desk.continuity, identity));
        if (i == 2)
            show_card(&desk, 1, 0), assert_int_equal(go(&desk, 1), 1);
    }
    key_of(4, identity);
    assert_non_null(continuity_peer(&desk.continuity, identity)); /* used again */
    for (uint64_t i = 1; i <= 2; i++) {
        key_of(CONTINUITY_PEERS_MAX + i, identity);
        assert_non_null(continuity_peer(&desk.continuity, identity));
        assert_int_equal(desk.continuity.count, CONTINUITY_PEERS_MAX);
    }
    for (uint64_t i = 1; i <= 6; i++) {
        key_of(i, identity);
        assert_int_equal(continuity_find(&desk.continuity, identity) != NULL, i != 3 && i != 5);
    }
    stand_up(&desk);
}

static void test_no_idle_identity(void **state)
{
    struct desk desk;
    unsigned char identity[E2E_KEY_BYTES];
    (void)state;
    sit_down(&desk);
    for (uint64_t i = 1; i <= CONTINUITY_PEERS_MAX; i++) {
        key_of(i, identity);
        assert_non_null(desk.peer = continuity_peer(&desk.continuity, identity));
        show_card(&desk, 1, 0);
        assert_int_equal(go(&desk, i), 1);
    }
    key_of(CONTINUITY_PEERS_MAX + 1, identity);
    assert_null(continuity_peer(&desk.continuity, identity));
    unsigned char id[SEAL_ID_BYTES];
    id_of(CONTINUITY_PEERS_MAX, id);
    continuity_drop(desk.peer, id);
    assert_non_null(continuity_peer(&desk.continuity, identity));
    stand_up(&desk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bound_of_streams),
        cmocka_unit_test(test_former_streams),
        cmocka_unit_test(test_bound_of_ids),
        cmocka_unit_test(test_bound_of_texts),
        cmocka_unit_test(test_a_fifth_sealing_is_refused),
        cmocka_unit_test(test_bound_of_own_streams),
        cmocka_unit_test(test_streams_that_were_only_prepared),
        cmocka_unit_test(test_bound_of_identities),
        cmocka_unit_test(test_no_idle_identity),
    };
    return cmocka_run_group_tests(tests, people_load, people_unload);
}
