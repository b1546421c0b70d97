/* SPDX-License-Identifier: MIT
 *
 * store_grams.c - which sequences of three bytes occur in a block of messages.
 *
 * A Bloom filter: each sequence sets three bits of a fixed number, so a filter can say that a text
 * is not in the block, and otherwise only that it may be. Texts are folded, and in UTF-8; sequences
 * of bytes instead of characters find a part of a Chinese text as well. Pure: no locks, any thread.
 *
 * An index of words that names messages (SQLite's FTS5) would answer faster where a word is
 * frequent. But before SQLite 3.42 it keeps what was deleted until its parts are merged, and a
 * message costs 170 microseconds in the transaction that stores it. A filter is made later, and
 * again from what is left when a message of the block is deleted.
 */
#include <stdlib.h>
#include <string.h>

#include "json_msg.h"
#include "lib/json/json.h"
#include "store/store_parts.h"

enum {
    GRAM = 3,     /* bytes of a sequence */
    BITS_SET = 3, /* by each sequence */
    SLICE = 21,   /* bits of the hash that choose one bit of the filter */
    FILTER_BITS = STORE_GRAMS_SIZE * 8,
};

/* The number of the filter's bit that the `i`th slice of a hash chooses. */
static size_t bit_of(uint64_t hash, int i)
{
    uint64_t slice = hash >> (SLICE * i + 1) & ((1u << SLICE) - 1);
    return (size_t)(slice * FILTER_BITS >> SLICE);
}

/* Fibonacci hashing (Knuth, The Art of Computer Programming 3, §6.4). */
static uint64_t hash_gram(const char *at)
{
    uint64_t gram = (uint64_t)(unsigned char)at[0] | (uint64_t)(unsigned char)at[1] << 8 |
                    (uint64_t)(unsigned char)at[2] << 16;
    return (gram + 1) * 0x9E3779B97F4A7C15u;
}

void store_grams_add(unsigned char *grams, const char *text, size_t len)
{
    for (size_t at = 0; at + GRAM <= len; at++) {
        uint64_t hash = hash_gram(text + at);
        for (int i = 0; i < BITS_SET; i++) {
            size_t bit = bit_of(hash, i);
            grams[bit / 8] |= (unsigned char)(1u << bit % 8);
        }
    }
}

bool store_grams_match(const unsigned char *grams, const char *words, size_t len)
{
    for (size_t at = 0; at + GRAM <= len; at++) {
        uint64_t hash = hash_gram(words + at);
        for (int i = 0; i < BITS_SET; i++) {
            size_t bit = bit_of(hash, i);
            if (!(grams[bit / 8] >> bit % 8 & 1))
                return false;
        }
    }
    return true;
}

char *store_folded_text(const char *body, size_t len)
{
    struct json_object object;
    struct json_error wrong;
    if (json_parse_message(&object, body, len, &wrong) != 0)
        return NULL;
    char *text = json_get_string(&object, "text");
    char *folded = text ? name_fold(text, strlen(text)) : NULL;
    free(text);
    return folded;
}
