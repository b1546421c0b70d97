/* SPDX-License-Identifier: MIT
 *
 * fuzz_e2e.c - the fields of keys and sealed messages, of any kind, for libFuzzer (`make fuzz`).
 *
 * What must hold: a message that is taken for whole is written again with the same fields, and what
 * nobody sealed for a session never opens.
 */
#include "e2e.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

/* What was read is written, read again, and the same. */
static void write_again(const struct e2e_message *message)
{
    struct json_object object;
    struct json_error error;
    struct e2e_message again;
    size_t len;
    char *json = e2e_write_message(message, "bob", "ref", &len);
    require(json && json_parse(&object, json, len, &error) == 0);
    require(e2e_read_message(&object, &again) && again.seq == message->seq);
    require(memcmp(&again.from, &message->from, sizeof(again.from)) == 0);
    require(again.len == message->len && memcmp(again.text, message->text, again.len) == 0);
    e2e_message_fini(&again);
    free(json);
}

static void open_it(const struct e2e_message *message)
{
    static const unsigned char seed[E2E_KEY_BYTES] = {7};
    struct e2e_session session = {.secret = e2e_key_from(E2E_SESSION, seed), .name = "bob"};
    struct e2e_seen seen = {.count = 0};
    struct e2e_sender sender = {"ana", NULL, &seen};
    struct e2e_opened opened;
    memcpy(session.keys.session, message->to, E2E_KEY_BYTES); /* past the first question */
    require(e2e_open(message, &session, &sender, &opened) == E2E_BAD_SIGNATURE);
    require(!opened.text);
    e2e_seen_fini(&seen);
    e2e_session_fini(&session);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const unsigned char nonce[E2E_NONCE_BYTES] = {
        9}; /* none in the corpus was made for it */
    struct json_object object;
    struct json_error error;
    struct e2e_message message;
    struct e2e_claim claim = {.room = "", .name = "ana", .nonce = nonce};
    char *text = malloc(size ? size : 1);
    memcpy(text, data, size);
    if (json_parse(&object, text, size, &error) == 0) {
        if (e2e_read_message(&object, &message)) {
            write_again(&message);
            open_it(&message);
        }
        if (e2e_read_claim(&object, &claim) == E2E_FOUND_ALL)
            require(!e2e_claim_holds(&claim));
        e2e_message_fini(&message);
    }
    free(text);
    return 0;
}
