/* SPDX-License-Identifier: MIT
 *
 * fuzz_seal.c - sealed messages: as JSON of any kind, with a byte changed on the way, and with
 * anything at all inside, for libFuzzer (`make fuzz`).
 *
 * The first byte of an input says which. What must hold: what was read is written as it was, and
 * does not open; an untouched message opens as what was sealed, and a changed one only if it says
 * the same; what is inside opens only if it is what seal_seal would make.
 */
#include "client/keys/seal.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "lib/crypto/hpke.h"
#include "lib/hex.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEAD = 4 }; /* bytes of an input before the text: what, a place in two bytes, a mask */

static const struct e2e_now now = {1000000000, 1000};
static struct e2e_session ana, bob;

static void require(bool holds)
{
    if (!holds)
        abort();
}

/* A claim that was written holds. */
static void claim(void)
{
    static const char nonce[] = "a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebf";
    struct json_object object;
    struct json_error error;
    unsigned char bytes[E2E_NONCE_BYTES];
    struct e2e_claim made = {.room = "tea", .name = "ana", .nonce = bytes};
    char join[4096] = "{", *fields = e2e_write_claim(&ana, nonce);
    require(fields && strlen(fields) < sizeof(join) - 2 && !e2e_write_claim(&ana, "no nonce"));
    strcat(strcat(join, fields), "}");
    require(hex_read(bytes, sizeof(bytes), nonce));
    require(json_parse_message(&object, join, strlen(join), &error) == 0);
    require(e2e_read_claim(&object, &made) == E2E_FOUND_ALL && e2e_claim_holds(&made));
    free(fields);
}

/* Session keys come and go; what was sealed for `ana` and `bob` above stays as it is. */
static void renew(EVP_PKEY *identity, const struct e2e_place *place)
{
    struct e2e_session session = {.identity = NULL};
    struct e2e_now later = now;
    unsigned char hashes[E2E_LIVE_MAX][E2E_HASH_BYTES];
    for (int i = 0; i < 12; i++) {
        require(e2e_session_open(&session, identity, place, later));
        require(!e2e_session_due(&session, later));
        later.steady += 10000;
        session.opened = E2E_RENEW_OPENED;
        require(e2e_session_due(&session, later) && e2e_session_renew(&session, later));
        require(e2e_session_live(&session, hashes) <= E2E_LIVE_MAX);
        require(e2e_session_had(&session, hashes[0]));
        e2e_session_expire(&session, later);
    }
    e2e_session_fini(&session);
}

static void meet(void)
{
    const struct e2e_place hers = {"https://x", "tea", "ana"}, his = {"https://x", "tea", "bob"};
    unsigned char seed[E2E_SEED_BYTES] = {1}, private[E2E_KEY_BYTES];
    char number[2][E2E_SAFETY_MAX];
    EVP_PKEY *keys[2] = {e2e_identity_from_seed(seed, "x:443", "tea", "ana"), NULL};
    size_t len = sizeof(private);
    require(EVP_PKEY_get_raw_private_key(keys[0], private, &len) == 1);
    private[0]++;
    keys[1] = e2e_key_from(E2E_IDENTITY, private);
    require(e2e_session_open(&ana, keys[0], &hers, now));
    require(e2e_session_open(&bob, keys[1], &his, now));
    require(e2e_safety(ana.keys.identity, bob.keys.identity, number[0]));
    require(e2e_safety(bob.keys.identity, ana.keys.identity, number[1]));
    require(strcmp(number[0], number[1]) == 0);
    claim();
    renew(keys[0], &hers);
    EVP_PKEY_free(keys[0]);
    EVP_PKEY_free(keys[1]);
}

/* ---- JSON of any kind ---- */

static void write_again(const struct seal_message *message)
{
    struct json_object object;
    struct json_error error;
    struct seal_message again;
    size_t len;
    char *json = seal_write(message, "bob", "ref", &len);
    require(json && json_parse_message(&object, json, len, &error) == 0);
    require(seal_read(&object, &again) && again.seq == message->seq);
    require(memcmp(again.to, message->to, E2E_KEY_BYTES) == 0);
    require(memcmp(again.encapsulated, message->encapsulated, E2E_KEY_BYTES) == 0);
    require(memcmp(again.signature, message->signature, E2E_SIGNATURE_BYTES) == 0);
    require(again.len == message->len && memcmp(again.text, message->text, again.len) == 0);
    seal_message_fini(&again);
    free(json);
}

static void read_any(const uint8_t *data, size_t size)
{
    struct json_object object;
    struct json_error error;
    struct seal_message message;
    char *text = malloc(size ? size : 1);
    memcpy(text, data, size);
    if (json_parse_message(&object, text, size, &error) == 0) {
        bool good = seal_read(&object, &message);
        require(!good || seal_is_sealed(&object));
        if (good) {
            write_again(&message);
            require(seal_check(&message, &bob, "ana", now) == SEAL_STALE_KEY);
            memcpy(message.to, bob.keys.session, E2E_KEY_BYTES); /* past the first question */
            require(seal_check(&message, &bob, "ana", now) == SEAL_BAD_SIGNATURE);
        }
        seal_message_fini(&message);
    }
    free(text);
}

/* ---- A byte changed on the way ---- */

static bool is_same(const struct seal_content *a, const struct seal_content *b)
{
    return a->kind == b->kind && memcmp(a->id, b->id, SEAL_ID_BYTES) == 0 &&
           a->sent_at == b->sent_at && a->opened_mask == b->opened_mask &&
           memcmp(&a->previous, &b->previous, sizeof(a->previous)) == 0 &&
           memcmp(&a->opened, &b->opened, sizeof(a->opened)) == 0 && a->len == b->len &&
           memcmp(a->text, b->text, a->len) == 0;
}

static enum seal_verdict open_json(const char *json, size_t len, struct seal_content *content)
{
    struct json_object object;
    struct json_error error;
    struct seal_message message;
    enum seal_verdict verdict = SEAL_MALFORMED;
    *content = (struct seal_content){.text = NULL};
    if (json_parse_message(&object, json, len, &error) < 0 || !seal_is_sealed(&object))
        return verdict;
    if (seal_read(&object, &message))
        verdict = seal_check(&message, &bob, "ana", now);
    if (verdict == SEAL_GOOD)
        verdict = seal_open(&message, &bob, "ana", content);
    seal_message_fini(&message);
    require(seal_code(verdict) != NULL && (content->text != NULL) == (verdict == SEAL_GOOD));
    return verdict;
}

static void send(const uint8_t *data, size_t size)
{
    struct seal_message message;
    struct seal_content opened, content = {.kind = SEAL_TEXT, .sent_at = 5, .opened_mask = 6};
    const struct seal_peer to = {"bob", &bob.keys};
    size_t len;
    content.text = malloc(size - HEAD + 1);
    content.len = size - HEAD;
    memcpy(content.text, data + HEAD, content.len);
    if (seal_seal(&message, &ana, &to, 1, &content)) {
        char *json = seal_write(&message, "bob", "ref", &len);
        require(json != NULL);
        json[(size_t)(data[1] << 8 | data[2]) % len] ^= (char)data[3];
        enum seal_verdict verdict = open_json(json, len, &opened);
        require(data[3] != 0 || verdict == SEAL_GOOD);
        require(verdict != SEAL_GOOD || is_same(&opened, &content));
        seal_content_fini(&opened);
        free(json);
    }
    seal_message_fini(&message);
    free(content.text);
}

/* ---- Anything inside ---- */

/* What seal_seal does after the layout, for a plaintext of any kind. */
static void seal_plain(struct seal_message *message, const uint8_t *plain, size_t size)
{
    struct e2e_script info = {.len = 0}, aad = {.len = 0};
    struct hpke context;
    EVP_PKEY *ephemeral = e2e_key_new(E2E_SESSION);
    const char *const texts[] = {"ragnarok-v2 hpke-v2 message", "tea", "ana", "bob"};
    const unsigned char *const keys[] = {ana.keys.identity, bob.keys.identity, ana.keys.session,
                                         bob.keys.session};
    for (int i = 0; i < 4; i++)
        e2e_put_text(&info, texts[i]);
    for (int i = 0; i < 4; i++)
        e2e_put_block(&info, keys[i], E2E_KEY_BYTES);
    e2e_put_number(&aad, message->seq);
    message->len = size + HPKE_TAG_BYTES;
    message->text = malloc(message->len);
    require(e2e_key_public(ephemeral, message->encapsulated));
    require(hpke_setup_sender(&context, ephemeral, message->to,
                              (struct hpke_bytes){info.bytes, info.len}));
    require(hpke_seal(&context, 0, (struct hpke_bytes){aad.bytes, aad.len},
                      (struct hpke_bytes){plain, size}, message->text));
    EVP_PKEY_free(ephemeral);
}

static void open_any(const uint8_t *data, size_t size)
{
    struct seal_message message = {.seq = data[1], .from = ana.keys}, again;
    struct seal_content content, same;
    const struct seal_peer to = {"bob", &bob.keys};
    memcpy(message.to, bob.keys.session, E2E_KEY_BYTES);
    seal_plain(&message, data + HEAD, size - HEAD);
    if (seal_open(&message, &bob, "ana", &content) == SEAL_GOOD) {
        require(seal_seal(&again, &ana, &to, message.seq, &content) && again.len == message.len);
        require(seal_open(&again, &bob, "ana", &same) == SEAL_GOOD && is_same(&same, &content));
        seal_content_fini(&same);
        seal_message_fini(&again);
    }
    seal_content_fini(&content);
    seal_message_fini(&message);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < HEAD)
        return 0;
    if (!ana.identity)
        meet();
    if (data[0] % 3 == 0)
        read_any(data + HEAD, size - HEAD);
    else if (data[0] % 3 == 1)
        send(data, size);
    else
        open_any(data, size);
    return 0;
}
