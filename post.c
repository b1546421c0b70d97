/* SPDX-License-Identifier: MIT
 *
 * post.c - letters on their way, as post.h promises it.
 */
#include "post.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "name.h"
#include "net.h"

enum { MARK_LEN = 16 };

bool post_init(struct post *post)
{
    memset(post, 0, sizeof(*post));
    return net_random_hex(post->mark, MARK_LEN / 2);
}

static void free_letter(struct letter *letter)
{
    free(letter->to);
    free(letter->text);
    free(letter);
}

void post_fini(struct post *post)
{
    while (post->first) {
        struct letter *letter = post->first;
        post->first = letter->next;
        free_letter(letter);
    }
}

static void number_letter(struct post *post, struct letter *letter)
{
    snprintf(letter->ref, sizeof(letter->ref), "%s-%" PRIu64, post->mark, ++post->number);
}

struct letter *post_add(struct post *post, const char *to, const char *text)
{
    struct letter **end = &post->first;
    struct letter *letter = post->open < POST_MAX ? calloc(1, sizeof(*letter)) : NULL;
    if (!letter)
        return NULL;
    letter->to = to ? strdup(to) : NULL;
    letter->text = strdup(text);
    if (!letter->text || (to && !letter->to)) {
        free_letter(letter);
        return NULL;
    }
    number_letter(post, letter);
    while (*end)
        end = &(*end)->next;
    *end = letter;
    post->open++;
    return letter;
}

struct letter *post_find(const struct post *post, const char *ref)
{
    struct letter *letter = post->first;
    while (letter && strcmp(letter->ref, ref) != 0)
        letter = letter->next;
    return letter;
}

void post_drop(struct post *post, struct letter *letter)
{
    struct letter **at = &post->first;
    while (*at != letter)
        at = &(*at)->next;
    *at = letter->next;
    if (letter->state == LETTER_KEPT)
        post->kept--;
    else
        post->open--;
    free_letter(letter);
}

static void drop_oldest_kept(struct post *post)
{
    struct letter *letter = post->first;
    while (letter->state != LETTER_KEPT)
        letter = letter->next;
    post_drop(post, letter);
}

void post_delivered(struct post *post, struct letter *letter)
{
    if (!letter->to) {
        post_drop(post, letter);
        return;
    }
    if (letter->state == LETTER_KEPT)
        return;
    letter->state = LETTER_KEPT;
    post->open--;
    post->kept++;
    if (post->kept > POST_KEPT_MAX)
        drop_oldest_kept(post);
}

void post_once_more(struct post *post, struct letter *letter)
{
    if (letter->state == LETTER_KEPT) {
        post->kept--;
        post->open++;
    }
    letter->state = LETTER_WAITING;
    letter->again = true;
    number_letter(post, letter);
}

void post_resend(struct post *post)
{
    for (struct letter *letter = post->first; letter; letter = letter->next)
        if (letter->state == LETTER_SENT)
            letter->state = LETTER_WAITING;
}

/* ---- What came ---- */

static bool is_ref(const char *ref)
{
    size_t digits = strspn(ref, "0123456789abcdef");
    if (digits != MARK_LEN || ref[MARK_LEN] != '-')
        return false;
    const char *number = ref + MARK_LEN + 1;
    return *number && strlen(ref) < POST_REF_MAX && strspn(number, "0123456789") == strlen(number);
}

/* The start of SHA-256 over both: whoever could aim at the sum of somebody else's next message would
 * make it vanish. Returns false when there is no memory for it. */
static bool hash(const char *from, const char *ref, uint64_t *sum)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    char both[NAME_MAX_BYTES + POST_REF_MAX + 1];
    int len = snprintf(both, sizeof(both), "%s %s", ref, from);
    if (EVP_Digest(both, (size_t)len, digest, NULL, EVP_sha256(), NULL) != 1)
        return false;
    memcpy(sum, digest, sizeof(*sum));
    return true;
}

static bool heard_before(struct post *post, uint64_t sum)
{
    for (size_t i = 0; i < POST_HEARD_MAX && i < post->heard_count; i++)
        if (post->heard[i] == sum)
            return true;
    post->heard[post->heard_count++ % POST_HEARD_MAX] = sum;
    return false;
}

bool post_heard(struct post *post, const char *from, const struct json_object *in)
{
    uint64_t sum;
    char *ref = json_text(in, "Ref");
    bool before = ref && is_ref(ref) && hash(from, ref, &sum) && heard_before(post, sum);
    free(ref);
    return before;
}
