/* SPDX-License-Identifier: MIT
 *
 * seal.c - sealed private messages: JSON, layout, encryption, signatures.
 *
 * The bound and signed byte strings are built here; docs/PROTOCOL.md, section "Keys", defines them
 * byte for byte. hpke.c encrypts. Pure: any thread, no locks.
 */
#include "client/keys/seal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <utf8proc.h>

#include "lib/crypto/hpke.h"
#include "lib/hex.h"

enum { AAD_BYTES = 8 };

#define NUMBER_END (UINT64_C(1) << 53) /* JavaScript cannot count further */

/* ---- Streams ---- */

bool seal_stream_is(const struct seal_stream *a, const struct seal_stream *b)
{
    return memcmp(a->from, b->from, E2E_HASH_BYTES) == 0 &&
           memcmp(a->to, b->to, E2E_HASH_BYTES) == 0;
}

bool seal_stream_none(const struct seal_stream *stream)
{
    static const unsigned char none[E2E_HASH_BYTES];
    return memcmp(stream->from, none, E2E_HASH_BYTES) == 0;
}

struct seal_stream seal_stream_of(const struct seal_message *message)
{
    struct seal_stream stream = {{0}, {0}};
    e2e_hash(message->from.session, stream.from);
    e2e_hash(message->to, stream.to);
    return stream;
}

/* ---- JSON ---- */

void seal_message_fini(struct seal_message *message)
{
    free(message->text);
    message->text = NULL;
    message->len = 0;
}

bool seal_is_sealed(const struct json_object *message)
{
    static const char *const fields[] = {"Enc", "EncKey", "Seq", "Sig", "ToKey"};
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
        if (json_find(message, fields[i]))
            return true;
    return false;
}

static bool read_seq(const struct json_object *in, uint64_t *seq)
{
    const struct json_field *field = json_find(in, "Seq");
    return field && json_number(field, seq) == 0 && *seq < NUMBER_END;
}

/* The ciphertext: of any length, but at least a tag. */
static bool read_ciphertext(const struct json_object *in, struct seal_message *message)
{
    const struct json_field *field = json_find(in, "text");
    char *hex = field ? malloc(field->value_len) : NULL;
    long digits = hex ? json_string(field, hex, field->value_len) : -1;
    if (digits >= 2 * HPKE_TAG_BYTES && digits % 2 == 0) {
        message->len = (size_t)digits / 2;
        message->text = malloc(message->len);
    }
    bool good = message->text && hex_read(message->text, message->len, hex);
    free(hex);
    return good;
}

bool seal_read(const struct json_object *in, struct seal_message *message)
{
    *message = (struct seal_message){.seq = 0};
    return json_equals(in, "Enc", E2E_ENC) && read_seq(in, &message->seq) &&
           e2e_read_keys(in, &message->from) == E2E_FOUND_ALL &&
           e2e_read_hex(in, "ToKey", message->to, E2E_KEY_BYTES) &&
           e2e_public_ok(E2E_SESSION, message->to) &&
           e2e_read_hex(in, "EncKey", message->encapsulated, E2E_KEY_BYTES) &&
           e2e_public_ok(E2E_SESSION, message->encapsulated) &&
           e2e_read_hex(in, "Sig", message->signature, E2E_SIGNATURE_BYTES) &&
           read_ciphertext(in, message);
}

char *seal_write(const struct seal_message *message, const char *target, const char *ref,
                 size_t *len)
{
    struct json_writer w = json_message_begin("PrivateMessage");
    json_write_string(&w, "TgtUser", target);
    if (ref)
        json_write_string(&w, "Ref", ref);
    json_write_string(&w, "Enc", E2E_ENC);
    json_write_uint(&w, "Seq", message->seq);
    json_write_hex(&w, "EncKey", message->encapsulated, E2E_KEY_BYTES);
    e2e_write_keys(&w, &message->from);
    json_write_hex(&w, "ToKey", message->to, E2E_KEY_BYTES);
    json_write_hex(&w, "text", message->text, message->len);
    json_write_hex(&w, "Sig", message->signature, E2E_SIGNATURE_BYTES);
    return json_message_end(&w, len);
}

/* ---- Bound and signed bytes ---- */

/* The sender, the receiver, and the keys of a message. */
struct route {
    const char *room, *from, *to;
    const struct e2e_keys *sender;
    const unsigned char *to_identity, *to_session;
};

/* HPKE `info`: a message does not open for another person, in another room, or under another
 * sender's name. */
static void put_info(struct e2e_script *script, const struct route *route)
{
    e2e_put_text(script, "ragnarok-v2 hpke-v2 message");
    e2e_put_text(script, route->room);
    e2e_put_text(script, route->from);
    e2e_put_text(script, route->to);
    e2e_put_block(script, route->sender->identity, E2E_KEY_BYTES);
    e2e_put_block(script, route->to_identity, E2E_KEY_BYTES);
    e2e_put_block(script, route->sender->session, E2E_KEY_BYTES);
    e2e_put_block(script, route->to_session, E2E_KEY_BYTES);
}

static struct hpke_bytes bytes_of(const struct e2e_script *script)
{
    return (struct hpke_bytes){script->bytes, script->len};
}

/* The input of Sig: label, info, aad, EncKey and the ciphertext. The caller frees it. NULL when
 * memory is out, or a name is too long. */
static unsigned char *sig_input(const struct seal_message *message, const struct e2e_script *info,
                                size_t *len)
{
    struct e2e_script head = {.len = 0};
    e2e_put_text(&head, "ragnarok-v2 hpke-v2 signature");
    e2e_put(&head, info->bytes, info->len);
    e2e_put_number(&head, message->seq);
    e2e_put_block(&head, message->encapsulated, E2E_KEY_BYTES);
    unsigned char *all = info->overflow || head.overflow ? NULL : malloc(head.len + message->len);
    if (!all)
        return NULL;
    memcpy(all, head.bytes, head.len);
    memcpy(all + head.len, message->text, message->len);
    *len = head.len + message->len;
    return all;
}

/* ---- The layout of the plaintext ---- */

void seal_content_fini(struct seal_content *content)
{
    if (content->text)
        OPENSSL_clear_free(content->text, content->len + 1);
    OPENSSL_cleanse(content, sizeof(*content));
}

static size_t padded(size_t len)
{
    return (SEAL_HEAD_BYTES + len + SEAL_PAD - 1) / SEAL_PAD * SEAL_PAD;
}

static bool is_utf8(const unsigned char *text, size_t len)
{
    utf8proc_int32_t c;
    while (len > 0) {
        utf8proc_ssize_t n = utf8proc_iterate(text, (utf8proc_ssize_t)len, &c);
        if (n <= 0)
            return false;
        text += n;
        len -= (size_t)n;
    }
    return true;
}

/* Whether kind, Seq, numbers and text are consistent, as both ends require. */
static bool is_sound(const struct seal_content *content, uint64_t seq, const unsigned char *text)
{
    bool kind_good =
        content->kind == SEAL_RECEIPT ? seq == 0 && content->len == 0 : seq > 0 && seq < NUMBER_END;
    return kind_good && content->kind <= UINT8_MAX && content->sent_at < NUMBER_END &&
           content->previous.seq < NUMBER_END && content->opened.seq < NUMBER_END &&
           is_utf8(text, content->len);
}

static void pack_mark(struct e2e_script *script, const struct seal_mark *mark)
{
    e2e_put(script, mark->stream.from, E2E_HASH_BYTES);
    e2e_put(script, mark->stream.to, E2E_HASH_BYTES);
    e2e_put_number(script, mark->seq);
}

/* Packs head, text and padding. The caller frees it with OPENSSL_clear_free. */
static unsigned char *pack(const struct seal_content *content)
{
    unsigned char kind = (unsigned char)content->kind, size[4];
    struct e2e_script head = {.len = 0};
    unsigned char *plain = content->len <= INT32_MAX ? OPENSSL_zalloc(padded(content->len)) : NULL;
    if (!plain)
        return NULL;
    for (int i = 0; i < 4; i++)
        size[i] = (unsigned char)(content->len >> 8 * (3 - i));
    e2e_put(&head, &kind, 1);
    e2e_put(&head, content->id, SEAL_ID_BYTES);
    e2e_put_number(&head, content->sent_at);
    pack_mark(&head, &content->previous);
    pack_mark(&head, &content->opened);
    e2e_put_number(&head, content->opened_mask);
    e2e_put(&head, size, sizeof(size));
    memcpy(plain, head.bytes, SEAL_HEAD_BYTES);
    if (content->len)
        memcpy(plain + SEAL_HEAD_BYTES, content->text, content->len);
    OPENSSL_cleanse(&head, sizeof(head));
    return plain;
}

static uint64_t unpack_number(const unsigned char **at, size_t bytes)
{
    uint64_t number = 0;
    for (size_t i = 0; i < bytes; i++)
        number = number << 8 | *(*at)++;
    return number;
}

static void unpack_bytes(const unsigned char **at, unsigned char *out, size_t bytes)
{
    memcpy(out, *at, bytes);
    *at += bytes;
}

static void unpack_mark(const unsigned char **at, struct seal_mark *mark)
{
    unpack_bytes(at, mark->stream.from, E2E_HASH_BYTES);
    unpack_bytes(at, mark->stream.to, E2E_HASH_BYTES);
    mark->seq = unpack_number(at, 8);
}

/* Reads the head, and copies the text. Returns false if anything is invalid. */
static bool unpack(const unsigned char *plain, size_t size, uint64_t seq,
                   struct seal_content *content)
{
    const unsigned char *at = plain;
    if (size < SEAL_HEAD_BYTES)
        return false;
    content->kind = (unsigned)unpack_number(&at, 1);
    unpack_bytes(&at, content->id, SEAL_ID_BYTES);
    content->sent_at = unpack_number(&at, 8);
    unpack_mark(&at, &content->previous);
    unpack_mark(&at, &content->opened);
    content->opened_mask = unpack_number(&at, 8);
    content->len = (size_t)unpack_number(&at, 4);
    if (content->len > size || padded(content->len) != size || !is_sound(content, seq, at))
        return false;
    for (size_t i = SEAL_HEAD_BYTES + content->len; i < size; i++)
        if (plain[i] != 0)
            return false;
    content->text = OPENSSL_zalloc(content->len + 1);
    if (content->text)
        memcpy(content->text, at, content->len);
    return content->text;
}

/* ---- Sealing ---- */

/* Encrypts into message->text, with a key pair for this message only. */
static bool encrypt_text(struct seal_message *message, const struct e2e_script *info,
                         struct hpke_bytes plain)
{
    struct hpke context;
    struct e2e_script aad = {.len = 0};
    EVP_PKEY *ephemeral = e2e_key_new(E2E_SESSION);
    e2e_put_number(&aad, message->seq);
    message->len = plain.len + HPKE_TAG_BYTES;
    message->text = malloc(message->len);
    bool done = ephemeral && message->text && e2e_key_public(ephemeral, message->encapsulated) &&
                hpke_setup_sender(&context, ephemeral, message->to, bytes_of(info)) &&
                hpke_seal(&context, 0, bytes_of(&aad), plain, message->text);
    hpke_fini(&context);
    EVP_PKEY_free(ephemeral);
    return done;
}

bool seal_seal(struct seal_message *message, const struct e2e_session *session,
               const struct seal_peer *to, uint64_t seq, const struct seal_content *content)
{
    struct e2e_script info = {.len = 0};
    struct route route = {session->room,  session->name,      to->name,
                          &session->keys, to->card->identity, to->card->session};
    size_t len = 0, size = padded(content->len);
    *message = (struct seal_message){.seq = seq, .from = session->keys};
    memcpy(message->to, to->card->session, E2E_KEY_BYTES);
    put_info(&info, &route);
    if (!session->identity || info.overflow ||
        !is_sound(content, seq, (const unsigned char *)content->text))
        return false;
    unsigned char *plain = pack(content);
    bool done = plain && encrypt_text(message, &info, (struct hpke_bytes){plain, size});
    OPENSSL_clear_free(plain, size);
    unsigned char *input = done ? sig_input(message, &info, &len) : NULL;
    done = input && e2e_sign(session->identity, input, len, message->signature);
    free(input);
    return done;
}

/* ---- Opening ---- */

const char *seal_code(enum seal_verdict verdict)
{
    static const char *const codes[] = {
        [SEAL_MALFORMED] = "malformed",         [SEAL_STALE_KEY] = "stale_key",
        [SEAL_BAD_SIGNATURE] = "bad_signature", [SEAL_EXPIRED] = "expired",
        [SEAL_KEY_CHANGED] = "key_changed",     [SEAL_REPLAYED] = "replayed",
        [SEAL_CANNOT_OPEN] = "cannot_open",     [SEAL_GOOD] = "good",
    };
    return codes[verdict];
}

static struct route route_of(const struct seal_message *message, const struct e2e_session *session,
                             const char *from)
{
    return (struct route){session->room,          from,       session->name, &message->from,
                          session->keys.identity, message->to};
}

enum seal_verdict seal_check(const struct seal_message *message, const struct e2e_session *session,
                             const char *from, struct e2e_now now)
{
    struct e2e_script info = {.len = 0};
    struct route route = route_of(message, session, from);
    size_t len = 0;
    if (!e2e_session_find(session, message->to, now))
        return SEAL_STALE_KEY;
    put_info(&info, &route);
    unsigned char *input = sig_input(message, &info, &len);
    bool signed_right = input && e2e_keys_signed(&message->from, session->room, from) &&
                        e2e_is_signed(message->from.identity, input, len, message->signature);
    free(input);
    if (!signed_right)
        return SEAL_BAD_SIGNATURE;
    return e2e_keys_fresh(&message->from, now.wall) ? SEAL_GOOD : SEAL_EXPIRED;
}

/* Decrypts into `plain`, which has room for it. */
static bool decrypt_text(const struct seal_message *message, EVP_PKEY *secret,
                         const struct e2e_script *info, unsigned char *plain)
{
    struct hpke context;
    struct e2e_script aad = {.len = 0};
    e2e_put_number(&aad, message->seq);
    bool done = hpke_setup_receiver(&context, message->encapsulated, secret, bytes_of(info)) &&
                hpke_open(&context, 0, bytes_of(&aad),
                          (struct hpke_bytes){message->text, message->len}, plain);
    hpke_fini(&context);
    return done;
}

enum seal_verdict seal_open(const struct seal_message *message, struct e2e_session *session,
                            const char *from, struct seal_content *content)
{
    static const struct e2e_now any = {0, INT64_MIN}; /* any key that is not wiped */
    struct e2e_script info = {.len = 0};
    struct route route = route_of(message, session, from);
    const struct e2e_secret *secret = e2e_session_find(session, message->to, any);
    size_t size = message->len - HPKE_TAG_BYTES;
    *content = (struct seal_content){.kind = 0};
    put_info(&info, &route);
    unsigned char *plain = OPENSSL_malloc(size + 1);
    bool good = secret && !info.overflow && plain &&
                decrypt_text(message, secret->key, &info, plain) &&
                unpack(plain, size, message->seq, content);
    OPENSSL_clear_free(plain, size + 1);
    if (!good) {
        OPENSSL_cleanse(content, sizeof(*content));
        return SEAL_CANNOT_OPEN;
    }
    if (secret == &session->present)
        session->opened++;
    return SEAL_GOOD;
}
