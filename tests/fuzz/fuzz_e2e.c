/* SPDX-License-Identifier: MIT
 *
 * fuzz_e2e.c - the fields of cards and claims, of any kind, for libFuzzer (`make fuzz`).
 *
 * What must hold: a card that is taken for whole is written again with the same fields and has good
 * keys, and no claim in the corpus holds for another connection.
 */
#include "lib/crypto/e2e.h"
#include "json_msg.h"
#include "lib/origin.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

/* What was read is written, read again, and the same. */
static void write_again(const struct e2e_keys *keys)
{
    struct json_object object;
    struct json_error error;
    struct e2e_keys again;
    struct json_writer w = {.text = NULL};
    size_t len;
    json_write_object(&w, NULL);
    e2e_write_keys(&w, keys);
    json_write_end(&w);
    char *json = json_writer_finish(&w, &len);
    require(json && json_parse_message(&object, json, len, &error) == 0);
    require(e2e_read_keys(&object, &again) == E2E_FOUND_ALL);
    require(memcmp(again.identity, keys->identity, E2E_KEY_BYTES) == 0);
    require(memcmp(again.session, keys->session, E2E_KEY_BYTES) == 0);
    require(memcmp(again.signature, keys->signature, E2E_SIGNATURE_BYTES) == 0);
    require(again.expires == keys->expires && strcmp(again.origin, keys->origin) == 0);
    require(strcmp(again.enc, keys->enc) == 0);
    free(json);
}

static void look_at_card(const struct e2e_keys *keys)
{
    require(e2e_public_ok(E2E_IDENTITY, keys->identity));
    require(e2e_public_ok(E2E_SESSION, keys->session));
    require(keys->expires >= 1 && keys->expires < UINT64_C(1) << 53);
    require(keys->origin[0] && keys->enc[0] && strlen(keys->origin) <= E2E_ORIGIN_MAX);
    require(!e2e_keys_fresh(keys, keys->expires) && e2e_keys_fresh(keys, keys->expires - 1));
    require(!e2e_keys_understand(keys, E2E_ENC) || strstr(keys->enc, E2E_ENC));
    require(!e2e_keys_signed(keys, "where nobody is", "ana"));
    write_again(keys);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const unsigned char nonce[E2E_NONCE_BYTES] = {9}; /* none was made for it */
    struct json_object object;
    struct json_error error;
    struct e2e_claim claim = {.room = "", .name = "ana", .nonce = nonce};
    char *text = malloc(size ? size : 1);
    memcpy(text, data, size);
    if (json_parse_message(&object, text, size, &error) == 0) {
        if (e2e_read_keys(&object, &claim.keys) == E2E_FOUND_ALL)
            look_at_card(&claim.keys);
        if (e2e_read_claim(&object, &claim) == E2E_FOUND_ALL)
            require(!e2e_claim_holds(&claim));
    }
    free(text);
    return 0;
}
