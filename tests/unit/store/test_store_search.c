/* SPDX-License-Identifier: MIT
 *
 * test_store_search.c - which messages a search finds, with an index and without.
 */
#include "store/store_parts.h"

#include "net/socket.h"
#include "store_file.h"

/* ---- The filter ---- */

static void test_a_filter_has_what_was_added(void **state)
{
    (void)state;
    unsigned char grams[STORE_GRAMS_SIZE] = {0};
    static const char text[] = "the quick brown fox";
    assert_false(store_grams_match(grams, "the", 3));
    store_grams_add(grams, text, strlen(text));
    for (size_t from = 0; from < sizeof(text) - 3; from++)
        for (size_t len = 3; from + len < sizeof(text); len++)
            assert_true(store_grams_match(grams, text + from, len));
    assert_false(store_grams_match(grams, "quack", 5));
    assert_false(store_grams_match(grams, "foxy", 4));
}

static void test_texts_of_two_bytes_are_in_no_filter(void **state)
{
    (void)state;
    unsigned char grams[STORE_GRAMS_SIZE] = {0}, none[STORE_GRAMS_SIZE] = {0};
    store_grams_add(grams, "ab", 2);
    store_grams_add(grams, "", 0);
    assert_memory_equal(grams, none, sizeof(grams));
}

/* A block of long messages still tells most words apart: 64 of 100 letters each. */
static void test_a_full_filter_excludes_most_words(void **state)
{
    (void)state;
    unsigned char grams[STORE_GRAMS_SIZE] = {0};
    unsigned seed = 1;
    char text[100];
    int matches = 0;
    for (int i = 0; i < STORE_BLOCK; i++) {
        for (size_t at = 0; at < sizeof(text); at++)
            text[at] = (char)('a' + rand_r(&seed) % 26);
        store_grams_add(grams, text, sizeof(text));
    }
    for (int i = 0; i < 1000; i++) {
        char word[5];
        for (size_t at = 0; at < sizeof(word); at++)
            word[at] = (char)('a' + rand_r(&seed) % 26);
        matches += store_grams_match(grams, word, sizeof(word));
    }
    assert_true(matches < 100);
}

/* ---- Searching ---- */

static struct store_options with_index(bool search)
{
    struct store_options options = store_defaults();
    options.search = search;
    return options;
}

static void add_text(struct store *store, struct store_room *room, const char *text)
{
    assert_int_equal(store_begin(store), STORE_OK);
    assert_int_equal(add_message(store, room, room->last_id + 1, 1000, text), STORE_OK);
    assert_int_equal(store_commit(store), STORE_OK);
}

static struct store_rows search_all(struct store *store, const struct store_room *room,
                                    const char *words)
{
    return read_rows(store, room, UINT64_MAX, 50, 1 << 20, words);
}

static void test_words_are_found_as_names_are_folded(void **state)
{
    (void)state;
    static const char *const texts[] = {"Stra\303\237e",
                                        "\\u4ECA\\u5929\\u5929\\u6C14\\u5F88\\u597D", "one\\ntwo",
                                        "\\uFF26\\uFF35\\uFF2C\\uFF2C", ""};
    static const struct {
        const char *words;
        uint64_t found;
    } rows[] = {{"strasse", 1},      {"rass", 1}, {"\xE5\xA4\xA9\xE5\xA4\xA9\xE6\xB0\x94", 2},
                {"\xE6\xB0\x94", 2}, /* one character of three bytes */
                {"one\ntwo", 3},     {"full", 4}, {"Full", 0},
                {"nothing", 0},      {"on", 0},   {"", 0}};
    for (int indexed = 0; indexed < 2; indexed++) {
        struct store_options options = with_index(indexed);
        struct store *store = open_store(&options);
        struct store_room room = open_store_room(store, indexed ? "a" : "b", STORE_EPOCH_A);
        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
            add_text(store, &room, texts[i]);
        add_messages(store, &room, 100, 1000);
        store_index(store, INT64_MAX);
        assert_int_equal(ask_store_file("SELECT count(*) FROM search"), 2 * indexed);
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
            struct store_rows found = search_all(store, &room, rows[i].words);
            assert_int_equal(found.last, rows[i].found);
            assert_int_equal(found.rest, 0);
        }
        store_close(store, true);
    }
}

static void test_too_long_words_find_nothing(void **state)
{
    (void)state;
    struct store_options options = with_index(false);
    struct store *store = open_store(&options);
    struct store_room room = open_store_room(store, "", STORE_EPOCH_A);
    char words[STORE_WORDS_MAX + 2];
    memset(words, 'x', sizeof(words));
    words[STORE_WORDS_MAX + 1] = '\0';
    add_text(store, &room, words);
    assert_int_equal(search_all(store, &room, words).count, 0);
    words[STORE_WORDS_MAX] = '\0';
    assert_int_equal(search_all(store, &room, words).count, 1);
    store_close(store, true);
}

/* Follows *rest to the end, and compares with the Ids that were to be found. */
static void follow(struct store *store, const struct store_room *room, const char *words, int count,
                   uint64_t first, uint64_t step)
{
    uint64_t before = UINT64_MAX, oldest = 0;
    int found = 0;
    do {
        struct store_rows rows = read_rows(store, room, before, count, 1 << 20, words);
        assert_true(rows.count <= count);
        if (rows.count > 0) {
            assert_true(rows.last < before && (oldest == 0 || rows.last == oldest - step));
            oldest = rows.first;
        }
        found += rows.count;
        assert_true(rows.rest < before);
        before = rows.rest;
    } while (before > 0);
    assert_int_equal(oldest, first);
    assert_int_equal(found, (room->last_id - first) / step + 1);
}

static void test_a_search_goes_on_where_it_ended(void **state)
{
    (void)state;
    char text[32];
    struct store_options options = with_index(true);
    struct store *store = open_store(&options);
    struct store_room room = open_store_room(store, "", STORE_EPOCH_A);
    add_messages(store, &room, 10, 1000);
    for (int i = 11; i <= 1000; i++) {
        snprintf(text, sizeof(text), i % 7 == 0 ? "seventh %d" : "other %d", i);
        add_text(store, &room, text);
    }
    room.last_id = 994;
    follow(store, &room, "seventh", 3, 14, 7); /* no index yet */
    store_index(store, INT64_MAX);
    assert_int_equal(ask_store_file("SELECT count(*) FROM search"), 1000 / 64);
    follow(store, &room, "seventh", 3, 14, 7);
    follow(store, &room, "seventh", 1000, 14, 7);
    struct store_rows rows = read_rows(store, &room, 640, 2, 1 << 20, "seventh");
    assert_int_equal(rows.first, 630);
    assert_int_equal(rows.last, 637);
    assert_int_equal(read_rows(store, &room, 0, 2, 1 << 20, "seventh").count, 0);
    store_close(store, true);
}

static void test_the_index_comes_and_goes_with_the_setting(void **state)
{
    (void)state;
    struct store_options options = with_index(false);
    struct store *store = open_store(&options);
    struct store_room room = open_store_room(store, "", STORE_EPOCH_A);
    add_messages(store, &room, 500, 1000);
    store_index(store, INT64_MAX);
    assert_int_equal(ask_store_file("SELECT count(*) FROM search"), 0);
    store_close(store, true);
    options.search = true;
    store = open_store(&options);
    store_index(store, INT64_MAX);
    assert_int_equal(ask_store_file("SELECT count(*) FROM search"), 500 / 64);
    assert_int_equal(search_all(store, &room, "text 77").last, 77);
    store_close(store, true);
    options.search = false;
    store_close(open_store(&options), true);
    assert_int_equal(ask_store_file("SELECT count(*) FROM search"), 0);
}

/* A word that only deleted messages had is not in the filter of their block any more. */
static void test_the_index_forgets_what_was_deleted(void **state)
{
    (void)state;
    struct store_options options = with_index(true);
    struct store *store = open_store(&options);
    struct store_room room = open_store_room(store, "", STORE_EPOCH_A);
    add_messages(store, &room, 70, 1000);
    add_text(store, &room, "zyzzyva");
    add_messages(store, &room, 100, 2000);
    store_index(store, INT64_MAX);
    assert_int_equal(search_all(store, &room, "zyzzyva").last, 71);
    store_set_limits(store, 0, (int64_t)room.last_id - 71);
    assert_true(store_retain(store, 3000));
    assert_int_equal(search_all(store, &room, "zyzzyva").count, 0);
    assert_int_equal(ask_store_file("SELECT min(block) FROM search"), 1);
    sqlite3 *db;
    sqlite3_stmt *row;
    assert_int_equal(sqlite3_open(store_path, &db), SQLITE_OK);
    assert_int_equal(
        sqlite3_prepare_v2(db, "SELECT grams FROM search WHERE block=1", -1, &row, NULL),
        SQLITE_OK);
    assert_int_equal(sqlite3_step(row), SQLITE_ROW);
    const unsigned char *grams = sqlite3_column_blob(row, 0);
    assert_false(store_grams_match(grams, "zyzzyva", 7));
    assert_true(store_grams_match(grams, "text 80", 7));
    sqlite3_finalize(row);
    sqlite3_close(db);
    store_close(store, true);
}

static void test_a_search_without_time_goes_on_a_little(void **state)
{
    (void)state;
    struct store_page page = {0};
    struct store_query query = {UINT64_MAX, 50, 1 << 20, "text"};
    struct store_options options = with_index(false);
    struct store *store = open_store(&options);
    struct store_room room = open_store_room(store, "", STORE_EPOCH_A);
    uint64_t rest;
    add_messages(store, &room, 300, 1000);
    store->reader.deadline = 0; /* long ago; nothing interrupts SQLite itself here */
    assert_int_equal(store_search(store, &room, &query, &page, &rest), SQLITE_INTERRUPT);
    assert_int_equal(page.count, 1);
    assert_int_equal(rest, 300);
    store_page_free(&page);
    store_close(store, true);
}

/* What is in the table is not trusted: it can hide messages, and nothing else. */
static void test_bad_filters_are_not_used(void **state)
{
    (void)state;
    struct store_options options = with_index(true);
    struct store *store = open_store(&options);
    struct store_room room = open_store_room(store, "", STORE_EPOCH_A);
    add_messages(store, &room, 300, 1000);
    store_index(store, INT64_MAX);
    change_store_file("UPDATE search SET grams=x'' WHERE block=0;"
                      "UPDATE search SET grams='text' WHERE block=1;"
                      "UPDATE search SET block=9223372036854775807 WHERE block=2;"
                      "UPDATE search SET block=-5 WHERE block=3");
    struct store_rows rows = read_rows(store, &room, UINT64_MAX, 1000, 1 << 20, "text");
    assert_int_equal(rows.count, 300);
    store_close(store, true);
}

#define TEST(name)                                                                                 \
    cmocka_unit_test_setup_teardown(name, make_quick_store_folder, remove_store_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_filter_has_what_was_added),
        cmocka_unit_test(test_texts_of_two_bytes_are_in_no_filter),
        cmocka_unit_test(test_a_full_filter_excludes_most_words),
        TEST(test_words_are_found_as_names_are_folded),
        TEST(test_too_long_words_find_nothing),
        TEST(test_a_search_goes_on_where_it_ended),
        TEST(test_the_index_comes_and_goes_with_the_setting),
        TEST(test_the_index_forgets_what_was_deleted),
        TEST(test_a_search_without_time_goes_on_a_little),
        TEST(test_bad_filters_are_not_used),
    };
    skip_syncs();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
