/* SPDX-License-Identifier: MIT
 *
 * fuzz_seal.c - a sealed message on its way, with a byte changed or not, for libFuzzer (`make fuzz`).
 *
 * An input is a place, a mask for the byte there, and the text. What must hold: an untouched message
 * opens once, as what was sealed, and for nobody who knows another key of its sender; what was
 * changed opens only if what it says is still the same. A claim that was written holds.
 */
#include "e2e.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEAD = 3 }; /* bytes of an input before the text */

static const char nonce[] = "a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebf";

static struct e2e_session ana, bob;
static EVP_PKEY *keys[2];

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void meet(void)
{
    char number[2][E2E_SAFETY_MAX];
    unsigned char seed[E2E_KEY_BYTES];
    for (int i = 0; i < 2; i++)
        require((keys[i] = e2e_key_new(E2E_IDENTITY)) && e2e_key_private(keys[i], seed));
    require(e2e_session_init(&ana, keys[0], "tea", "ana"));
    require(e2e_session_init(&bob, keys[1], "tea", "bob"));
    require(e2e_safety(ana.keys.identity, bob.keys.identity, number[0]));
    require(e2e_safety(bob.keys.identity, ana.keys.identity, number[1]));
    require(strcmp(number[0], number[1]) == 0);
}

static void claim(void)
{
    struct json_object object;
    struct json_error error;
    unsigned char bytes[E2E_NONCE_BYTES];
    struct e2e_claim made = {.room = "tea", .name = "ana", .nonce = bytes};
    char join[2048] = "{", *fields = e2e_write_claim(&ana, nonce);
    require(fields && strlen(fields) < sizeof(join) - 2 && !e2e_write_claim(&ana, "no nonce"));
    strcat(strcat(join, fields), "}");
    require(e2e_unhex(bytes, sizeof(bytes), nonce));
    require(json_parse(&object, join, strlen(join), &error) == 0);
    require(e2e_read_claim(&object, &made) == E2E_FOUND_ALL && e2e_claim_holds(&made));
    free(fields);
}

static bool is_utf8(const uint8_t *text, size_t len)
{
    utf8proc_int32_t c;
    while (len > 0) {
        utf8proc_ssize_t used = utf8proc_iterate(text, (utf8proc_ssize_t)len, &c);
        if (used <= 0)
            return false;
        text += used;
        len -= (size_t)used;
    }
    return true;
}

/* Reads it as bob does, who remembers `identity` of ana, or nothing. */
static enum e2e_verdict open_json(const char *json, size_t len, struct e2e_seen *seen,
                                  const unsigned char *identity, struct e2e_opened *opened)
{
    struct json_object object;
    struct json_error error;
    struct e2e_message message;
    struct e2e_sender sender = {"ana", identity, seen};
    enum e2e_verdict verdict = E2E_MALFORMED;
    *opened = (struct e2e_opened){.text = NULL};
    if (json_parse(&object, json, len, &error) < 0 || !e2e_is_sealed(&object))
        return verdict;
    if (e2e_read_message(&object, &message))
        verdict = e2e_open(&message, &bob, &sender, opened);
    e2e_message_fini(&message);
    require(e2e_code(verdict) != NULL && (opened->text != NULL) == (verdict == E2E_OPENED));
    return verdict;
}

static bool is_same(const struct e2e_opened *opened, const uint8_t *text, size_t len)
{
    return opened->len == len && memcmp(opened->text, text, len) == 0 && opened->missing == 0;
}

/* Nobody touched it. */
static void deliver(const char *json, size_t len, const uint8_t *text, size_t text_len)
{
    struct e2e_seen seen = {.count = 0};
    struct e2e_opened opened;
    bool good = is_utf8(text, text_len);
    require(open_json(json, len, &seen, bob.keys.identity, &opened) == E2E_KEY_CHANGED);
    enum e2e_verdict verdict = open_json(json, len, &seen, ana.keys.identity, &opened);
    require(verdict == (good ? E2E_OPENED : E2E_CANNOT_OPEN));
    require(!good || is_same(&opened, text, text_len));
    free(opened.text);
    if (good)
        require(open_json(json, len, &seen, NULL, &opened) == E2E_REPLAYED);
    e2e_seen_fini(&seen);
}

/* Somebody did: its Ref and its TgtUser say nothing about what is in it. */
static void tamper(const char *json, size_t len, const uint8_t *text, size_t text_len)
{
    struct e2e_seen seen = {.count = 0};
    struct e2e_opened opened;
    if (open_json(json, len, &seen, ana.keys.identity, &opened) == E2E_OPENED)
        require(is_same(&opened, text, text_len));
    free(opened.text);
    e2e_seen_fini(&seen);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct e2e_message message;
    struct e2e_peer peer = {.name = "bob"};
    size_t len;
    if (size < HEAD)
        return 0;
    if (!keys[0])
        meet();
    const uint8_t *text = data + HEAD;
    e2e_peer_update(&peer, &bob.keys);
    require(e2e_seal(&message, &ana, &peer, (const char *)text, size - HEAD) && peer.sent == 1);
    char *json = e2e_write_message(&message, "bob", "ref", &len);
    require(json != NULL);
    if (data[2] == 0) {
        claim();
        deliver(json, len, text, size - HEAD);
    } else {
        json[(size_t)(data[0] << 8 | data[1]) % len] ^= (char)data[2];
        tamper(json, len, text, size - HEAD);
    }
    e2e_message_fini(&message);
    free(json);
    return 0;
}
