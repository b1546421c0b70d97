/* SPDX-License-Identifier: MIT
 *
 * e2e.c - keys, proofs and sealed messages, as e2e.h promises them.
 *
 * What is signed and what is bound into the encryption is put together here; docs/PROTOCOL.md,
 * section "Keys", has it byte for byte. Encryption is hpke.c's matter, Ed25519 (RFC 8032), random
 * numbers and PBKDF2 (RFC 8018) are OpenSSL's. Private keys and plaintexts are wiped before their
 * memory is given back.
 */
#include "e2e.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <utf8proc.h>

#include "hpke.h"

enum {
    LENGTH_BYTES = 4,                /* before the text, in what is sealed */
    PAD = 64,                        /* what is sealed has a multiple of this */
    SEQ_BYTES = 8,                   /* Seq as it is authenticated */
    SIGNED_HEAD_MAX = HPKE_INFO_MAX, /* what is signed, but for a ciphertext */
    SAFETY_ROUNDS = 100000,
    SAFETY_GROUPS = 12,
    GROUP_BYTES = 5, /* of the hash, for each group of digits */
};

/* ---- Hexadecimal ---- */

void e2e_hex(char *out, const unsigned char *bytes, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < len; i++) {
        *out++ = digits[bytes[i] >> 4];
        *out++ = digits[bytes[i] & 15];
    }
    *out = '\0';
}

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool e2e_unhex(unsigned char *out, size_t len, const char *hex)
{
    if (strlen(hex) != 2 * len)
        return false;
    for (size_t i = 0; i < len; i++) {
        int high = digit(hex[2 * i]), low = digit(hex[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        out[i] = (unsigned char)(high << 4 | low);
    }
    return true;
}

/* ---- Keys ---- */

static int type_of(enum e2e_kind kind)
{
    return kind == E2E_IDENTITY ? EVP_PKEY_ED25519 : EVP_PKEY_X25519;
}

EVP_PKEY *e2e_key_new(enum e2e_kind kind)
{
    return EVP_PKEY_Q_keygen(NULL, NULL, kind == E2E_IDENTITY ? "ED25519" : "X25519");
}

EVP_PKEY *e2e_key_from(enum e2e_kind kind, const unsigned char *private)
{
    return EVP_PKEY_new_raw_private_key(type_of(kind), NULL, private, E2E_KEY_BYTES);
}

bool e2e_key_private(const EVP_PKEY *key, unsigned char *private)
{
    size_t len = E2E_KEY_BYTES;
    return EVP_PKEY_get_raw_private_key(key, private, &len) == 1 && len == E2E_KEY_BYTES;
}

bool e2e_key_public(const EVP_PKEY *key, unsigned char *public)
{
    size_t len = E2E_KEY_BYTES;
    return EVP_PKEY_get_raw_public_key(key, public, &len) == 1 && len == E2E_KEY_BYTES;
}

bool e2e_key_is(const EVP_PKEY *key, enum e2e_kind kind)
{
    return EVP_PKEY_get_base_id(key) == type_of(kind);
}

/* ---- What is signed ---- */

/* Bytes in the order in which they are signed or bound. Too many are found out at the end. */
struct script {
    unsigned char bytes[SIGNED_HEAD_MAX];
    size_t len;
    bool overflow;
};

static void put(struct script *script, const void *bytes, size_t len)
{
    if (len > sizeof(script->bytes) - script->len) {
        script->overflow = true;
        return;
    }
    memcpy(script->bytes + script->len, bytes, len);
    script->len += len;
}

/* Text with its NUL, which cannot be in it: so it has an end that others cannot move. */
static void put_text(struct script *script, const char *text)
{
    put(script, text, strlen(text) + 1);
}

/* Bytes with their length before them. */
static void put_block(struct script *script, const void *bytes, size_t len)
{
    unsigned char size[2] = {(unsigned char)(len >> 8), (unsigned char)len};
    put(script, size, sizeof(size));
    put(script, bytes, len);
}

static bool sign(EVP_PKEY *identity, const void *bytes, size_t len, unsigned char *signature)
{
    size_t size = E2E_SIGNATURE_BYTES;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool done = context && EVP_DigestSignInit(context, NULL, NULL, NULL, identity) == 1 &&
                EVP_DigestSign(context, signature, &size, bytes, len) == 1;
    EVP_MD_CTX_free(context);
    return done;
}

static bool is_signed(const unsigned char *identity, const void *bytes, size_t len,
                      const unsigned char *signature)
{
    EVP_PKEY *key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, identity, E2E_KEY_BYTES);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool good = key && context && EVP_DigestVerifyInit(context, NULL, NULL, NULL, key) == 1 &&
                EVP_DigestVerify(context, signature, E2E_SIGNATURE_BYTES, bytes, len) == 1;
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(key);
    return good;
}

static void script_session_key(struct script *script, const char *room, const char *name,
                               const unsigned char *session)
{
    put_text(script, "ragnarok-v2 session key");
    put_text(script, room);
    put_text(script, name);
    put(script, session, E2E_KEY_BYTES);
}

bool e2e_keys_signed(const struct e2e_keys *keys, const char *room, const char *name)
{
    struct script script = {.len = 0};
    script_session_key(&script, room, name, keys->session);
    return !script.overflow && is_signed(keys->identity, script.bytes, script.len, keys->signature);
}

static void script_join(struct script *script, const unsigned char *nonce, const char *room,
                        const char *name)
{
    put_text(script, "ragnarok-v2 join");
    put(script, nonce, E2E_NONCE_BYTES);
    put_text(script, room);
    put(script, name, strlen(name));
}

bool e2e_prove(EVP_PKEY *identity, const unsigned char *nonce, const char *room, const char *name,
               unsigned char *proof)
{
    struct script script = {.len = 0};
    script_join(&script, nonce, room, name);
    return !script.overflow && sign(identity, script.bytes, script.len, proof);
}

bool e2e_claim_holds(const struct e2e_claim *claim)
{
    struct script script = {.len = 0};
    script_join(&script, claim->nonce, claim->room, claim->name);
    return !script.overflow &&
           is_signed(claim->keys.identity, script.bytes, script.len, claim->proof);
}

/* ---- Keys in messages ---- */

/* A field of fixed length, and where it goes. */
struct hex_field {
    const char *name;
    unsigned char *out;
    size_t len;
};

enum { FIELD_MAX = E2E_SIGNATURE_BYTES };

static bool read_hex(const struct json_object *message, const struct hex_field *field)
{
    char hex[2 * FIELD_MAX + 1];
    const struct json_field *value = json_find(message, field->name);
    return value && json_string(value, hex, sizeof(hex)) >= 0 &&
           e2e_unhex(field->out, field->len, hex);
}

static enum e2e_found read_all(const struct json_object *message, const struct hex_field *fields,
                               size_t count)
{
    size_t absent = 0, strings = 0, good = 0;
    for (size_t i = 0; i < count; i++) {
        const struct json_field *value = json_find(message, fields[i].name);
        absent += value == NULL;
        strings += json_is_string(value);
        good += read_hex(message, &fields[i]);
    }
    if (absent == count)
        return E2E_FOUND_NONE;
    if (strings < count)
        return E2E_FOUND_SOME;
    return good < count ? E2E_FOUND_BAD : E2E_FOUND_ALL;
}

#define KEY_FIELDS(keys)                                                                           \
    {"IdentityKey", (keys)->identity, E2E_KEY_BYTES},                                              \
        {"SessionKey", (keys)->session, E2E_KEY_BYTES},                                            \
    {                                                                                              \
        "KeySignature", (keys)->signature, E2E_SIGNATURE_BYTES                                     \
    }

enum e2e_found e2e_read_keys(const struct json_object *message, struct e2e_keys *keys)
{
    const struct hex_field fields[] = {KEY_FIELDS(keys)};
    return read_all(message, fields, 3);
}

enum e2e_found e2e_read_claim(const struct json_object *join, struct e2e_claim *claim)
{
    const struct hex_field fields[] = {KEY_FIELDS(&claim->keys),
                                       {"Proof", claim->proof, E2E_SIGNATURE_BYTES}};
    return read_all(join, fields, 4);
}

/* The three fields as JSON, without braces. */
static char *write_keys(const struct e2e_keys *keys)
{
    char identity[2 * E2E_KEY_BYTES + 1], session[2 * E2E_KEY_BYTES + 1];
    char signature[2 * E2E_SIGNATURE_BYTES + 1], *json;
    e2e_hex(identity, keys->identity, E2E_KEY_BYTES);
    e2e_hex(session, keys->session, E2E_KEY_BYTES);
    e2e_hex(signature, keys->signature, E2E_SIGNATURE_BYTES);
    int len =
        asprintf(&json, "\"IdentityKey\":\"%s\",\"SessionKey\":\"%s\",\"KeySignature\":\"%s\"",
                 identity, session, signature);
    return len < 0 ? NULL : json;
}

/* ---- One connection of ours ---- */

/* Copies a name or a room. Returns false when it is longer than any can be. */
static bool copy_name(char out[NAME_MAX_BYTES + 1], const char *name)
{
    int len = snprintf(out, NAME_MAX_BYTES + 1, "%s", name);
    return len >= 0 && len <= NAME_MAX_BYTES;
}

bool e2e_session_init(struct e2e_session *session, EVP_PKEY *identity, const char *room,
                      const char *name)
{
    struct e2e_keys *keys = &session->keys;
    struct script script = {.len = 0};
    *session = (struct e2e_session){.identity = identity, .secret = e2e_key_new(E2E_SESSION)};
    if (!session->secret || !copy_name(session->room, room) || !copy_name(session->name, name) ||
        !e2e_key_public(identity, keys->identity) ||
        !e2e_key_public(session->secret, keys->session))
        return false;
    script_session_key(&script, room, name, keys->session);
    return sign(identity, script.bytes, script.len, keys->signature);
}

void e2e_session_fini(struct e2e_session *session)
{
    EVP_PKEY_free(session->secret); /* wipes it */
    session->secret = NULL;
}

char *e2e_write_claim(const struct e2e_session *session, const char *nonce)
{
    unsigned char bytes[E2E_NONCE_BYTES], proof[E2E_SIGNATURE_BYTES];
    char hex[2 * E2E_SIGNATURE_BYTES + 1], *json = NULL;
    if (!e2e_unhex(bytes, sizeof(bytes), nonce) ||
        !e2e_prove(session->identity, bytes, session->room, session->name, proof))
        return NULL;
    e2e_hex(hex, proof, sizeof(proof));
    char *keys = write_keys(&session->keys);
    int len = keys ? asprintf(&json, "%s,\"Proof\":\"%s\"", keys, hex) : -1;
    free(keys);
    return len < 0 ? NULL : json;
}

/* ---- What a message is bound to ---- */

/* Who writes to whom, and with which keys. */
struct route {
    const char *room, *from, *to;
    const struct e2e_keys *sender;
    const unsigned char *to_identity, *to_session;
};

/* `info`: a message that is shown to another person, in another room or as somebody else's cannot be
 * opened. */
static void script_info(struct script *script, const struct route *route)
{
    static const char label[] = "ragnarok-v2 private message";
    put_block(script, label, strlen(label));
    put_block(script, route->room, strlen(route->room));
    put_block(script, route->from, strlen(route->from));
    put_block(script, route->to, strlen(route->to));
    put_block(script, route->sender->identity, E2E_KEY_BYTES);
    put_block(script, route->to_identity, E2E_KEY_BYTES);
    put_block(script, route->sender->session, E2E_KEY_BYTES);
    put_block(script, route->to_session, E2E_KEY_BYTES);
}

static void write_seq(unsigned char out[SEQ_BYTES], uint64_t seq)
{
    for (int i = SEQ_BYTES - 1; i >= 0; i--, seq >>= 8)
        out[i] = (unsigned char)seq;
}

/* What Sig is made over: the label, info, aad, EncKey and the ciphertext. The caller frees it. NULL
 * when memory is out, or a name is too long to be one. */
static unsigned char *sig_input(const struct e2e_message *message, const struct script *info,
                                size_t *len)
{
    static const char label[] = "ragnarok-v2 private signature";
    unsigned char aad[SEQ_BYTES];
    struct script head = {.len = 0};
    write_seq(aad, message->seq);
    put_block(&head, label, strlen(label));
    put(&head, info->bytes, info->len);
    put(&head, aad, sizeof(aad));
    put_block(&head, message->encapsulated, E2E_KEY_BYTES);
    unsigned char *all = info->overflow || head.overflow ? NULL : malloc(head.len + message->len);
    if (!all)
        return NULL;
    memcpy(all, head.bytes, head.len);
    memcpy(all + head.len, message->text, message->len);
    *len = head.len + message->len;
    return all;
}

/* ---- Sealing ---- */

void e2e_message_fini(struct e2e_message *message)
{
    free(message->text);
    message->text = NULL;
    message->len = 0;
}

void e2e_peer_update(struct e2e_peer *peer, const struct e2e_keys *keys)
{
    if (memcmp(peer->keys.session, keys->session, E2E_KEY_BYTES) != 0)
        peer->sent = 0;
    peer->keys = *keys;
}

static size_t padded(size_t len)
{
    return (LENGTH_BYTES + len + PAD - 1) / PAD * PAD;
}

/* The length, the text and the padding. The caller frees it with OPENSSL_clear_free. */
static unsigned char *pad(const char *text, size_t len)
{
    unsigned char *plain = len <= UINT32_MAX ? OPENSSL_zalloc(padded(len)) : NULL;
    if (!plain)
        return NULL;
    for (int i = 0; i < LENGTH_BYTES; i++)
        plain[i] = (unsigned char)(len >> 8 * (LENGTH_BYTES - 1 - i));
    if (len)
        memcpy(plain + LENGTH_BYTES, text, len);
    return plain;
}

/* Encrypts what `pad` made into message->text, with a key pair for this message alone. */
static bool encrypt(struct e2e_message *message, const struct script *info, struct hpke_bytes plain)
{
    unsigned char aad[SEQ_BYTES];
    struct hpke context;
    EVP_PKEY *ephemeral = e2e_key_new(E2E_SESSION);
    write_seq(aad, message->seq);
    message->len = plain.len + HPKE_TAG_BYTES;
    message->text = malloc(message->len);
    bool done = ephemeral && message->text && e2e_key_public(ephemeral, message->encapsulated) &&
                hpke_setup_sender(&context, ephemeral, message->to,
                                  (struct hpke_bytes){info->bytes, info->len}) &&
                hpke_seal(&context, 0, (struct hpke_bytes){aad, sizeof(aad)}, plain, message->text);
    hpke_fini(&context);
    EVP_PKEY_free(ephemeral);
    return done;
}

bool e2e_seal(struct e2e_message *message, const struct e2e_session *session, struct e2e_peer *peer,
              const char *text, size_t len)
{
    struct script info = {.len = 0};
    struct route route = {session->room,  session->name,       peer->name,
                          &session->keys, peer->keys.identity, peer->keys.session};
    size_t input_len = 0;
    *message = (struct e2e_message){.seq = peer->sent + 1, .from = session->keys};
    memcpy(message->to, peer->keys.session, E2E_KEY_BYTES);
    script_info(&info, &route);
    unsigned char *plain = pad(text, len);
    bool done =
        plain && !info.overflow && encrypt(message, &info, (struct hpke_bytes){plain, padded(len)});
    OPENSSL_clear_free(plain, padded(len));
    unsigned char *input = done ? sig_input(message, &info, &input_len) : NULL;
    done = input && sign(session->identity, input, input_len, message->signature);
    free(input);
    if (done)
        peer->sent++;
    return done;
}

/* ---- Sealed messages in JSON ---- */

/* The fields that only a sealed message has, as JSON without braces. */
static char *write_seal(const struct e2e_message *message)
{
    char to[2 * E2E_KEY_BYTES + 1], encapsulated[2 * E2E_KEY_BYTES + 1];
    char signature[2 * E2E_SIGNATURE_BYTES + 1], *json = NULL;
    e2e_hex(to, message->to, E2E_KEY_BYTES);
    e2e_hex(encapsulated, message->encapsulated, E2E_KEY_BYTES);
    e2e_hex(signature, message->signature, E2E_SIGNATURE_BYTES);
    char *keys = write_keys(&message->from), *text = malloc(2 * message->len + 1);
    if (text)
        e2e_hex(text, message->text, message->len);
    int len = -1;
    if (keys && text)
        len = asprintf(&json,
                       "\"Enc\":\"hpke-v1\",\"Seq\":%" PRIu64 ",\"EncKey\":\"%s\",%s,"
                       "\"ToKey\":\"%s\",\"text\":\"%s\",\"Sig\":\"%s\"",
                       message->seq, encapsulated, keys, to, text, signature);
    free(keys);
    free(text);
    return len < 0 ? NULL : json;
}

char *e2e_write_message(const struct e2e_message *message, const char *target, const char *ref,
                        size_t *len)
{
    char *name = json_quote(target), *mark = json_quote(ref ? ref : "");
    char *seal = write_seal(message), *json = NULL;
    int size = -1;
    if (name && mark && seal)
        size = asprintf(&json, "{\"msgType\":\"PrivateMessage\",\"TgtUser\":%s,%s%s%s%s}", name,
                        ref ? "\"Ref\":" : "", ref ? mark : "", ref ? "," : "", seal);
    free(name);
    free(mark);
    free(seal);
    *len = size < 0 ? 0 : (size_t)size;
    return size < 0 ? NULL : json;
}

bool e2e_is_sealed(const struct json_object *message)
{
    return json_find(message, "Enc") || json_find(message, "EncKey") || json_find(message, "Seq") ||
           json_find(message, "Sig");
}

static bool read_enc(const struct json_object *in)
{
    char enc[sizeof("hpke-v1")];
    const struct json_field *field = json_find(in, "Enc");
    return field && json_string(field, enc, sizeof(enc)) >= 0 && strcmp(enc, "hpke-v1") == 0;
}

static bool read_seq(const struct json_object *in, uint64_t *seq)
{
    const struct json_field *field = json_find(in, "Seq");
    return field && json_number(field, seq) == 0 && *seq >= 1 && *seq < UINT64_C(1) << 53;
}

/* The ciphertext: as long as it is, but not shorter than a tag. */
static bool read_text(const struct json_object *in, struct e2e_message *message)
{
    const struct json_field *field = json_find(in, "text");
    char *hex = field ? malloc(field->value_len) : NULL;
    long digits = hex ? json_string(field, hex, field->value_len) : -1;
    if (digits >= 2 * HPKE_TAG_BYTES && digits % 2 == 0) {
        message->len = (size_t)digits / 2;
        message->text = malloc(message->len);
    }
    bool good = hex && message->text && e2e_unhex(message->text, message->len, hex);
    free(hex);
    return good;
}

bool e2e_read_message(const struct json_object *in, struct e2e_message *message)
{
    const struct hex_field fields[] = {KEY_FIELDS(&message->from),
                                       {"ToKey", message->to, E2E_KEY_BYTES},
                                       {"EncKey", message->encapsulated, E2E_KEY_BYTES},
                                       {"Sig", message->signature, E2E_SIGNATURE_BYTES}};
    *message = (struct e2e_message){.seq = 0};
    return read_enc(in) && read_seq(in, &message->seq) &&
           read_all(in, fields, 6) == E2E_FOUND_ALL && read_text(in, message);
}

/* ---- Opening ---- */

const char *e2e_code(enum e2e_verdict verdict)
{
    static const char *const codes[] = {
        [E2E_MALFORMED] = "malformed",
        [E2E_STALE_KEY] = "stale_key",
        [E2E_BAD_SIGNATURE] = "bad_signature",
        [E2E_KEY_CHANGED] = "key_changed",
        [E2E_REPLAYED] = "replayed",
        [E2E_CANNOT_OPEN] = "cannot_open",
        [E2E_OPENED] = "opened",
    };
    return codes[verdict];
}

/* What was accepted from one session key. */
struct e2e_seen_session {
    unsigned char session[E2E_KEY_BYTES];
    uint64_t last; /* the greatest Seq */
};

void e2e_seen_fini(struct e2e_seen *seen)
{
    free(seen->sessions);
    *seen = (struct e2e_seen){.count = 0};
}

static struct e2e_seen_session *seen_find(const struct e2e_seen *seen, const unsigned char *session)
{
    for (size_t i = seen->count; i > 0; i--) /* the latest is the likeliest */
        if (memcmp(seen->sessions[i - 1].session, session, E2E_KEY_BYTES) == 0)
            return &seen->sessions[i - 1];
    return NULL;
}

/* Makes room for one more session. Returns false when memory is out. */
static bool seen_reserve(struct e2e_seen *seen)
{
    size_t cap = seen->cap ? 2 * seen->cap : 2;
    if (seen->count < seen->cap)
        return true;
    struct e2e_seen_session *sessions = realloc(seen->sessions, cap * sizeof(*sessions));
    if (!sessions)
        return false;
    seen->sessions = sessions;
    seen->cap = cap;
    return true;
}

/* Counts a message as seen. There is room for its session. */
static void seen_note(struct e2e_seen *seen, const struct e2e_message *message)
{
    struct e2e_seen_session *entry = seen_find(seen, message->from.session);
    if (!entry) {
        entry = &seen->sessions[seen->count++];
        memcpy(entry->session, message->from.session, E2E_KEY_BYTES);
    }
    entry->last = message->seq;
}

static bool sig_holds(const struct e2e_message *message, const struct script *info)
{
    size_t len = 0;
    unsigned char *input = sig_input(message, info, &len);
    bool good = input && is_signed(message->from.identity, input, len, message->signature);
    free(input);
    return good;
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

/* Where the text lies in what was sealed. Returns false when length, padding or UTF-8 is wrong. */
static bool unpad(const unsigned char *plain, size_t size, size_t *len)
{
    *len = 0;
    if (size < PAD)
        return false;
    for (int i = 0; i < LENGTH_BYTES; i++)
        *len = *len << 8 | plain[i];
    if (*len > size || padded(*len) != size)
        return false;
    for (size_t i = LENGTH_BYTES + *len; i < size; i++)
        if (plain[i] != 0)
            return false;
    return is_utf8(plain + LENGTH_BYTES, *len);
}

static bool decrypt(const struct e2e_message *message, const struct e2e_session *session,
                    const struct script *info, unsigned char *plain)
{
    unsigned char aad[SEQ_BYTES];
    struct hpke context;
    write_seq(aad, message->seq);
    bool done = hpke_setup_receiver(&context, message->encapsulated, session->secret,
                                    (struct hpke_bytes){info->bytes, info->len}) &&
                hpke_open(&context, 0, (struct hpke_bytes){aad, sizeof(aad)},
                          (struct hpke_bytes){message->text, message->len}, plain);
    hpke_fini(&context);
    return done;
}

/* Step 6. Fills opened->text and opened->len. */
static bool open_text(const struct e2e_message *message, const struct e2e_session *session,
                      const struct script *info, struct e2e_opened *opened)
{
    size_t size = message->len - HPKE_TAG_BYTES;
    unsigned char *plain = OPENSSL_malloc(size + 1);
    bool good = plain && decrypt(message, session, info, plain) &&
                unpad(plain, size, &opened->len) && (opened->text = malloc(opened->len + 1));
    if (good) {
        memcpy(opened->text, plain + LENGTH_BYTES, opened->len);
        opened->text[opened->len] = '\0';
    }
    OPENSSL_clear_free(plain, size + 1);
    return good;
}

/* Steps 5 and 6. */
static enum e2e_verdict open_next(const struct e2e_message *message,
                                  const struct e2e_session *session, const struct script *info,
                                  struct e2e_seen *seen, struct e2e_opened *opened)
{
    const struct e2e_seen_session *before = seen_find(seen, message->from.session);
    uint64_t last = before ? before->last : 0;
    if (message->seq <= last || (!before && seen->count == E2E_SESSIONS_MAX))
        return E2E_REPLAYED;
    if (!seen_reserve(seen) || !open_text(message, session, info, opened))
        return E2E_CANNOT_OPEN;
    opened->missing = message->seq - last - 1;
    seen_note(seen, message);
    return E2E_OPENED;
}

enum e2e_verdict e2e_open(const struct e2e_message *message, const struct e2e_session *session,
                          const struct e2e_sender *sender, struct e2e_opened *opened)
{
    struct script info = {.len = 0};
    struct route route = {session->room,  sender->name,           session->name,
                          &message->from, session->keys.identity, session->keys.session};
    *opened = (struct e2e_opened){.text = NULL};
    if (memcmp(message->to, session->keys.session, E2E_KEY_BYTES) != 0)
        return E2E_STALE_KEY;
    script_info(&info, &route);
    if (!e2e_keys_signed(&message->from, session->room, sender->name) || !sig_holds(message, &info))
        return E2E_BAD_SIGNATURE;
    if (sender->identity && memcmp(sender->identity, message->from.identity, E2E_KEY_BYTES) != 0)
        return E2E_KEY_CHANGED;
    return open_next(message, session, &info, sender->seen, opened);
}

/* ---- Safety number ---- */

bool e2e_safety(const unsigned char *mine, const unsigned char *theirs, char *out)
{
    static const char salt[] = "ragnarok-v2 safety number";
    char both[2 * E2E_KEY_BYTES];
    unsigned char hash[SAFETY_GROUPS * GROUP_BYTES];
    bool mine_first = memcmp(mine, theirs, E2E_KEY_BYTES) < 0;
    memcpy(both, mine_first ? mine : theirs, E2E_KEY_BYTES);
    memcpy(both + E2E_KEY_BYTES, mine_first ? theirs : mine, E2E_KEY_BYTES);
    if (PKCS5_PBKDF2_HMAC(both, sizeof(both), (const unsigned char *)salt, sizeof(salt) - 1,
                          SAFETY_ROUNDS, EVP_sha512(), sizeof(hash), hash) != 1)
        return false;
    for (int group = 0; group < SAFETY_GROUPS; group++) {
        uint64_t number = 0;
        for (int i = 0; i < GROUP_BYTES; i++)
            number = number << 8 | hash[GROUP_BYTES * group + i];
        snprintf(out + 6 * group, 7, "%05u%s", (unsigned)(number % 100000),
                 group < SAFETY_GROUPS - 1 ? " " : "");
    }
    return true;
}
