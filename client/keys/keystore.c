/* SPDX-License-Identifier: MIT
 *
 * keystore.c - our seed, and the keys of people. One thread.
 *
 * A person is a server, a room and a folded name, and has up to KEYSTORE_KEYS_MAX lines in
 * known_keys, the oldest key first. Only keystore_accept and keystore_forget, which the user
 * requests, change the keys of a known person. A key that merely shows up is stored only if the
 * person is unknown (keystore_meet), which is checked under the lock, after reading the file again.
 * If it cannot be written, it is kept in memory: otherwise every later key would be a first one,
 * too.
 */
#include "client/keys/keystore.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "lib/hex.h"
#include "net/random.h"
#include "net/stream.h"

enum {
    KEY_HEX = 2 * E2E_KEY_BYTES,
    SEED_HEX = 2 * E2E_SEED_BYTES,
    IDENTITY_TEXTS_MAX = 2000, /* bytes of server, room and name together; more is refused */
};

/* ---- The seed ---- */

/* Reads the seed from `text`. Takes `text`, and wipes it. */
static int read_seed(struct keystore *keystore, char *text, char *error)
{
    size_t len = strlen(text);
    bool good = len == SEED_HEX + 1 && text[SEED_HEX] == '\n';
    if (good) {
        text[SEED_HEX] = '\0';
        good = hex_read(keystore->seed, sizeof(keystore->seed), text);
    }
    OPENSSL_cleanse(text, len);
    free(text);
    return good ? 0
                : keystore_complain(error,
                                    "%s/seed is broken: expected %d hexadecimal digits and a "
                                    "newline; with the file moved away a new one is made, and "
                                    "others will see that your keys have changed",
                                    keystore->folder.path, SEED_HEX);
}

static int make_seed(struct keystore *keystore, char *error)
{
    char line[SEED_HEX + 2];
    if (!random_bytes(keystore->seed, sizeof(keystore->seed)))
        return keystore_complain(error, "the system gives no random numbers");
    hex_write(line, keystore->seed, sizeof(keystore->seed));
    strcpy(line + SEED_HEX, "\n");
    int result = keystore_file_replace(&keystore->folder, "seed", line, error);
    OPENSSL_cleanse(line, sizeof(line));
    return result;
}

static int open_seed(struct keystore *keystore, char *error)
{
    struct stat about;
    char *text = keystore_file_read(&keystore->folder, "seed", 077, &about, error);
    if (text)
        return read_seed(keystore, text, error);
    return error[0] ? -1 : make_seed(keystore, error);
}

/* ---- Identities ---- */

EVP_PKEY *keystore_identity(const struct keystore *keystore, const char *server, const char *room,
                            const char *fold)
{
    if (strlen(server) + strlen(room) + strlen(fold) > IDENTITY_TEXTS_MAX)
        return NULL;
    return e2e_identity_from_seed(keystore->seed, server, room, fold);
}

/* ---- Opening and closing ---- */

static bool is_key_and_trust(const char *value)
{
    value = keystore_take_digits(value, KEY_HEX, "0123456789abcdef");
    return keystore_line_is(value, "seen") || keystore_line_is(value, "verified");
}

/* Two fingerprints or two "-", a name, a word. */
static bool is_prints_and_name(const char *value)
{
    static const char digits[] = "0123456789ABCDEF:";
    bool plain = strncmp(value, "-\t-\t", 4) == 0;
    const char *at = plain ? value + 2 : keystore_take_digits(value, FINGERPRINT_MAX - 1, digits);
    at = plain ? at + 2 : keystore_take_digits(at, FINGERPRINT_MAX - 1, digits);
    size_t len = at ? strcspn(at, "\t\n") : 0;
    if (len == 0 || len >= KEYSTORE_SERVER_MAX || at[len] != '\t')
        return false;
    at += len + 1;
    return plain ? keystore_line_is(at, "plain")
                 : keystore_line_is(at, "pinned") || keystore_line_is(at, "trusted");
}

int keystore_open(struct keystore *keystore, char *error)
{
    memset(keystore, 0, sizeof(*keystore));
    keystore->keys =
        (struct keystore_list){.name = "known_keys", .keys = 3, .value_is_good = is_key_and_trust};
    keystore->certificates = (struct keystore_list){
        .name = "known_certificates", .keys = 1, .value_is_good = is_prints_and_name};
    keystore->unsaved = (struct keystore_list){.name = "known_keys", .keys = 3, .text = strdup("")};
    if (!keystore->unsaved.text)
        return keystore_complain(error, "out of memory");
    if (keystore_folder_open(&keystore->folder, error) < 0)
        return -1;
    int lock = keystore_lock(&keystore->folder, error);
    if (lock < 0)
        return -1;
    bool ok = open_seed(keystore, error) == 0 &&
              keystore_list_load(&keystore->folder, &keystore->keys, error) == 0 &&
              keystore_list_load(&keystore->folder, &keystore->certificates, error) == 0;
    close(lock);
    return ok ? 0 : -1;
}

void keystore_close(struct keystore *keystore)
{
    free(keystore->keys.text);
    free(keystore->unsaved.text);
    free(keystore->certificates.text);
    OPENSSL_cleanse(keystore, sizeof(*keystore));
}

/* ---- People ---- */

static char *person_prefix(const struct keystore_id *id)
{
    char *prefix = NULL;
    return asprintf(&prefix, "%s\t%s\t%s\t", id->server, id->room, id->name) < 0 ? NULL : prefix;
}

static bool is_verified(const char *value)
{
    return keystore_line_is(value + KEY_HEX + 1, "verified");
}

/* The list with a person's keys: the file, or the keys that could not be written to it. */
static const struct keystore_list *list_of(const struct keystore *keystore, const char *prefix)
{
    return keystore_list_find(&keystore->keys, prefix, NULL) ? &keystore->keys : &keystore->unsaved;
}

/* The entry of this key, in hexadecimal, or NULL. *count: number of the person's keys up to it. */
static const char *find_key(const struct keystore_list *list, const char *prefix, const char *hex,
                            int *count)
{
    const char *value = NULL;
    *count = 0;
    while ((value = keystore_list_find(list, prefix, value)) != NULL) {
        (*count)++;
        if (memcmp(value, hex, KEY_HEX) == 0)
            return value;
    }
    return NULL;
}

static enum keystore_trust judge_key(const struct keystore *keystore, const char *prefix,
                                     const unsigned char *key)
{
    int count;
    char hex[KEY_HEX + 1];
    hex_write(hex, key, E2E_KEY_BYTES);
    const char *value = find_key(list_of(keystore, prefix), prefix, hex, &count);
    if (!value)
        return count ? KEYSTORE_STRANGE : KEYSTORE_UNKNOWN;
    return is_verified(value) ? KEYSTORE_VERIFIED : KEYSTORE_SEEN;
}

enum keystore_trust keystore_find(struct keystore *keystore, const struct keystore_id *id,
                                  const unsigned char key[E2E_KEY_BYTES], char *error)
{
    char *prefix = person_prefix(id);
    keystore_list_refresh(&keystore->folder, &keystore->keys, error);
    /* Without memory the key cannot be looked up. The person may be known, so assume the worse. */
    enum keystore_trust trust = prefix ? judge_key(keystore, prefix, key) : KEYSTORE_STRANGE;
    free(prefix);
    return trust;
}

/* Appends a key; `count` keys of the person are known. */
static int add_key(struct keystore *keystore, const struct keystore_id *id, const char *hex,
                   enum keystore_trust trust, int count, char *error)
{
    char *text = NULL;
    const char *word = trust == KEYSTORE_VERIFIED ? "verified" : "seen";
    if (count >= KEYSTORE_KEYS_MAX)
        return keystore_complain(error,
                                 "%d keys of %s are known, and one more is not remembered; "
                                 "/forget %s forgets them all",
                                 KEYSTORE_KEYS_MAX, id->name, id->name);
    if (asprintf(&text, "%s%s\t%s\t%s\t%s\t%s\n", keystore->keys.text, id->server, id->room,
                 id->name, hex, word) < 0)
        text = NULL;
    return keystore_list_save(&keystore->folder, &keystore->keys, text, error);
}

static int accept_key(struct keystore *keystore, const struct keystore_id *id, const char *prefix,
                      const unsigned char *key, enum keystore_trust trust, char *error)
{
    int count;
    char hex[KEY_HEX + 1];
    struct keystore_list *list = &keystore->keys;
    hex_write(hex, key, E2E_KEY_BYTES);
    const char *value = find_key(list, prefix, hex, &count);
    if (!value)
        return add_key(keystore, id, hex, trust, count, error);
    if (trust != KEYSTORE_VERIFIED || is_verified(value))
        return 0;
    const char *word = value + KEY_HEX + 1;
    return keystore_list_save(
        &keystore->folder, list,
        keystore_list_splice(list, word, keystore_line_end(word), "verified\n"), error);
}

/* The text of known_keys with the unsaved keys, except those of people whose keys it has by now.
 * NULL when memory is out. */
static char *with_unsaved(const struct keystore *keystore)
{
    const char *known = keystore->keys.text, *line = keystore->unsaved.text;
    size_t len = strlen(known);
    char *text = malloc(len + strlen(line) + 1);
    if (!text)
        return NULL;
    memcpy(text, known, len);
    for (const char *end; *line; line = end) {
        end = keystore_line_end(line);
        size_t prefix_len = (size_t)(end - line) - strlen("\tseen\n") - KEY_HEX;
        char *prefix = strndup(line, prefix_len);
        if (!prefix) {
            free(text);
            return NULL;
        }
        if (!keystore_list_find(&keystore->keys, prefix, NULL)) {
            memcpy(text + len, line, (size_t)(end - line));
            len += (size_t)(end - line);
        }
        free(prefix);
    }
    text[len] = '\0';
    return text;
}

/* Tries again to write the unsaved keys. The lock is held. A failure is not reported here: the
 * change that follows reports it, or can be made all the same, as /forget can make room in a full
 * list. */
static void save_unsaved(struct keystore *keystore)
{
    char ignored[KEYSTORE_ERROR_MAX];
    if (keystore->unsaved.text[0] && keystore_list_save(&keystore->folder, &keystore->keys,
                                                        with_unsaved(keystore), ignored) == 0)
        keystore->unsaved.text[0] = '\0';
}

/* Locks the folder and reads known_keys. Returns the lock, or -1 and a complaint. */
static int begin_change(struct keystore *keystore, char *error)
{
    error[0] = '\0';
    int lock = keystore_lock(&keystore->folder, error);
    if (lock >= 0 && keystore_list_load(&keystore->folder, &keystore->keys, error) == 0) {
        save_unsaved(keystore);
        return lock;
    }
    if (lock >= 0)
        close(lock);
    return -1;
}

int keystore_accept(struct keystore *keystore, const struct keystore_id *id,
                    const unsigned char key[E2E_KEY_BYTES], enum keystore_trust trust, char *error)
{
    char *prefix = person_prefix(id);
    int lock = prefix ? begin_change(keystore, error) : keystore_complain(error, "out of memory");
    int result = -1;
    if (lock >= 0) {
        result = accept_key(keystore, id, prefix, key, trust, error);
        close(lock);
    }
    free(prefix);
    return result;
}

/* Keeps a person's first key that could not be written, as `error` says. */
static enum keystore_trust keep_unsaved(struct keystore *keystore, const char *prefix,
                                        const unsigned char *key, char *error)
{
    char hex[KEY_HEX + 1], why[KEYSTORE_ERROR_MAX], *text = NULL;
    hex_write(hex, key, E2E_KEY_BYTES);
    bool full = strlen(keystore->unsaved.text) + strlen(prefix) + KEY_HEX > KEYSTORE_FILE_MAX;
    if (full || asprintf(&text, "%s%s%s\tseen\n", keystore->unsaved.text, prefix, hex) < 0)
        return KEYSTORE_UNKNOWN;
    free(keystore->unsaved.text);
    keystore->unsaved.text = text;
    snprintf(why, sizeof(why), "%s", error);
    error[0] = '\0';
    if (!keystore->told)
        keystore_complain(error, "new keys are only remembered until the end of this program: %s",
                          why);
    keystore->told = true;
    return KEYSTORE_SEEN;
}

enum keystore_trust keystore_meet(struct keystore *keystore, const struct keystore_id *id,
                                  const unsigned char key[E2E_KEY_BYTES], char *error)
{
    enum keystore_trust trust = keystore_find(keystore, id, key, error);
    if (trust != KEYSTORE_UNKNOWN)
        return trust;
    char *prefix = person_prefix(id);
    int lock = prefix ? begin_change(keystore, error) : keystore_complain(error, "out of memory");
    if (lock >= 0) {
        trust = judge_key(keystore, prefix, key);
        if (trust == KEYSTORE_UNKNOWN &&
            accept_key(keystore, id, prefix, key, KEYSTORE_SEEN, error) == 0)
            trust = KEYSTORE_SEEN;
        keystore->told &= trust == KEYSTORE_UNKNOWN;
        close(lock);
    }
    if (prefix && trust == KEYSTORE_UNKNOWN)
        trust = keep_unsaved(keystore, prefix, key, error);
    free(prefix);
    return trust;
}

/* Writes the list without a person: removes their lines from a copy, starting with the last one. */
static int forget_person(struct keystore *keystore, const char *prefix, char *error)
{
    struct keystore_list *list = &keystore->keys;
    const char *value = NULL;
    char *text = strdup(list->text);
    int count = 0;
    while (text && (value = keystore_list_find(list, prefix, value)) != NULL) {
        const char *line = value - strlen(prefix), *end = keystore_line_end(value);
        char *at = text + strlen(text) - strlen(line); /* the text after it is unchanged */
        memmove(at, at + (end - line), strlen(end) + 1);
        count++;
    }
    if (text && count == 0) {
        free(text);
        return 0;
    }
    return keystore_list_save(&keystore->folder, list, text, error) < 0 ? -1 : count;
}

/* Forgets the person's unsaved key. Returns whether there was one. */
static bool forget_unsaved(struct keystore *keystore, const char *prefix)
{
    const char *value = keystore_list_find(&keystore->unsaved, prefix, NULL);
    if (!value)
        return false;
    char *line = keystore->unsaved.text + (value - strlen(prefix) - keystore->unsaved.text);
    const char *end = keystore_line_end(value);
    memmove(line, end, strlen(end) + 1);
    return true;
}

int keystore_forget(struct keystore *keystore, const struct keystore_id *id, char *error)
{
    char *prefix = person_prefix(id);
    if (!prefix)
        return keystore_complain(error, "out of memory");
    bool unsaved =
        list_of(keystore, prefix) == &keystore->unsaved && forget_unsaved(keystore, prefix);
    int lock = begin_change(keystore, error);
    int result = -1;
    if (lock >= 0) {
        result = forget_person(keystore, prefix, error);
        close(lock);
    }
    if (unsaved && result <= 0 && list_of(keystore, prefix) == &keystore->unsaved) {
        error[0] = '\0';
        result = 1;
    }
    free(prefix);
    return result;
}

int keystore_keys(struct keystore *keystore, const struct keystore_id *id,
                  struct keystore_key keys[KEYSTORE_KEYS_MAX], char *error)
{
    char hex[KEY_HEX + 1];
    const char *value = NULL;
    int count = 0;
    char *prefix = person_prefix(id);
    keystore_list_refresh(&keystore->folder, &keystore->keys, error);
    while (prefix && count < KEYSTORE_KEYS_MAX &&
           (value = keystore_list_find(list_of(keystore, prefix), prefix, value)) != NULL) {
        snprintf(hex, sizeof(hex), "%.*s", KEY_HEX, value);
        hex_read(keys[count].key, E2E_KEY_BYTES, hex); /* is_key_and_trust has checked it */
        keys[count++].verified = is_verified(value);
    }
    free(prefix);
    return count;
}

enum keystore_trust keystore_best(struct keystore *keystore, const struct keystore_id *id)
{
    char ignored[KEYSTORE_ERROR_MAX];
    struct keystore_key keys[KEYSTORE_KEYS_MAX];
    int count = keystore_keys(keystore, id, keys, ignored);
    enum keystore_trust best = count ? KEYSTORE_SEEN : KEYSTORE_UNKNOWN;
    for (int i = 0; i < count; i++)
        if (keys[i].verified)
            best = KEYSTORE_VERIFIED;
    return best;
}
