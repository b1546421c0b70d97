/* SPDX-License-Identifier: MIT
 *
 * unacked.c - the list of unconfirmed texts, and the ring of hashes of received messages. One
 * thread.
 */
#include "client/unacked.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "lib/name.h"
#include "net/random.h"

enum { REF_BYTES = (UNACKED_REF_MAX - 1) / 2 };

static void free_message(struct unacked_message *message)
{
    if (message->text)
        OPENSSL_cleanse(message->text, strlen(message->text));
    free(message->to);
    free(message->fold);
    free(message->text);
    free(message);
}

void unacked_fini(struct unacked *unacked)
{
    while (unacked->first) {
        struct unacked_message *message = unacked->first;
        unacked->first = message->next;
        free_message(message);
    }
    unacked->open = unacked->kept = 0;
}

bool unacked_new_ref(struct unacked_message *message)
{
    return random_hex(message->ref, REF_BYTES);
}

/* Copies a string; NULL stays NULL. *good becomes false when memory is out. */
static char *copy_string(const char *text, bool *good)
{
    char *copy = text ? strdup(text) : NULL;
    *good &= copy || !text;
    return copy;
}

struct unacked_message *unacked_add(struct unacked *unacked, const struct unacked_text *text)
{
    bool good = true;
    struct unacked_message **end = &unacked->first;
    struct unacked_message *message =
        unacked->open < UNACKED_MAX ? calloc(1, sizeof(*message)) : NULL;
    if (!message)
        return NULL;
    message->to = copy_string(text->to, &good);
    message->fold = copy_string(text->fold, &good);
    message->text = copy_string(text->text, &good);
    message->written = text->written;
    if (!good || !unacked_new_ref(message) || !random_bytes(message->id, sizeof(message->id))) {
        free_message(message);
        return NULL;
    }
    while (*end)
        end = &(*end)->next;
    *end = message;
    unacked->open++;
    return message;
}

struct unacked_message *unacked_find(const struct unacked *unacked, const char *ref)
{
    struct unacked_message *message = unacked->first;
    while (message && strcmp(message->ref, ref) != 0)
        message = message->next;
    return message;
}

struct unacked_message *unacked_find_id(const struct unacked *unacked,
                                        const unsigned char id[SEAL_ID_BYTES])
{
    struct unacked_message *message = unacked->first;
    while (message && memcmp(message->id, id, SEAL_ID_BYTES) != 0)
        message = message->next;
    return message;
}

void unacked_drop(struct unacked *unacked, struct unacked_message *message)
{
    struct unacked_message **at = &unacked->first;
    while (*at != message)
        at = &(*at)->next;
    *at = message->next;
    if (message->state == UNACKED_KEPT)
        unacked->kept--;
    else
        unacked->open--;
    free_message(message);
}

void unacked_keep(struct unacked *unacked, struct unacked_message *message)
{
    if (message->state != UNACKED_KEPT) {
        unacked->open--;
        unacked->kept++;
    }
    message->state = UNACKED_KEPT;
}

void unacked_again(struct unacked *unacked, struct unacked_message *message)
{
    if (message->state == UNACKED_KEPT) {
        unacked->kept--;
        unacked->open++;
    }
    message->state = UNACKED_WAITING;
}

struct unacked_message *unacked_overdue(const struct unacked *unacked)
{
    struct unacked_message *oldest = NULL;
    if (unacked->kept <= UNACKED_KEPT_MAX)
        return NULL;
    for (struct unacked_message *message = unacked->first; message; message = message->next) {
        if (message->state != UNACKED_KEPT)
            continue;
        if (message->over)
            return message;
        oldest = oldest ? oldest : message;
    }
    return oldest;
}

/* ---- Duplicates ---- */

static bool is_ref(const char *ref)
{
    return strlen(ref) == UNACKED_REF_MAX - 1 &&
           strspn(ref, "0123456789abcdef") == UNACKED_REF_MAX - 1;
}

/* The start of SHA-256 over type, Ref, author and text. The author is between bytes that no name
 * contains, so two different messages never give the same input. */
static bool hash_message(const char *from, const char *ref, const struct json_object *in,
                         uint64_t *sum)
{
    unsigned char digest[EVP_MAX_MD_SIZE] = {0};
    const struct json_field *text = json_find(in, "text");
    const char *type = json_equals(in, "msgType", "Broadcast") ? "B" : "P";
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool good = context && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1 &&
                EVP_DigestUpdate(context, type, 1) == 1 &&
                EVP_DigestUpdate(context, ref, strlen(ref)) == 1 &&
                EVP_DigestUpdate(context, from, strlen(from) + 1) == 1;
    if (good && text)
        good = EVP_DigestUpdate(context, text->value, text->value_len) == 1;
    good = good && EVP_DigestFinal_ex(context, digest, NULL) == 1;
    EVP_MD_CTX_free(context);
    memcpy(sum, digest, sizeof(*sum));
    return good;
}

static bool heard_before(struct unacked *unacked, uint64_t sum)
{
    for (size_t i = 0; i < UNACKED_HEARD_MAX && i < unacked->heard_count; i++)
        if (unacked->heard[i] == sum)
            return true;
    unacked->heard[unacked->heard_count++ % UNACKED_HEARD_MAX] = sum;
    return false;
}

bool unacked_heard(struct unacked *unacked, const char *from, const struct json_object *in)
{
    uint64_t sum;
    char *ref = json_get_string(in, "Ref");
    bool before =
        ref && is_ref(ref) && hash_message(from, ref, in, &sum) && heard_before(unacked, sum);
    free(ref);
    return before;
}
