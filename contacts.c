/* SPDX-License-Identifier: MIT
 *
 * contacts.c - the terminal client's files, as contacts.h promises them.
 *
 * A list is one text of lines "key fields \t value fields \n", and an entry is found by the text that
 * its line begins with. To change one, the file is locked, read anew, written beside itself, and
 * renamed (rename(2) is atomic).
 */
#include "contacts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/pem.h>

enum { KEY_HEX = 2 * E2E_KEY_BYTES, PRINT_LEN = NET_PRINT_MAX - 1 };

static int complain(char *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Always returns -1. */
static int complain(char *error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error, CONTACTS_ERROR_MAX, format, arguments);
    va_end(arguments);
    return -1;
}

/* ---- The folder ---- */

struct path {
    char text[CONTACTS_PATH_MAX + 32];
};

static struct path path_of(const struct contacts *contacts, const char *name)
{
    struct path path;
    snprintf(path.text, sizeof(path.text), "%s/%s", contacts->folder, name);
    return path;
}

/* By the XDG Base Directory Specification: a relative path there does not count. */
static int find_folder(struct contacts *contacts, char *error)
{
    const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    int len;
    if (data && data[0] == '/')
        len = snprintf(contacts->folder, CONTACTS_PATH_MAX, "%s/ragnarok", data);
    else if (home && home[0] == '/')
        len = snprintf(contacts->folder, CONTACTS_PATH_MAX, "%s/.local/share/ragnarok", home);
    else
        return complain(error, "neither XDG_DATA_HOME nor HOME says where to keep keys");
    if (len >= CONTACTS_PATH_MAX)
        return complain(error, "the path of the folder for keys has more than %d bytes",
                        CONTACTS_PATH_MAX - 1);
    return 0;
}

/* Makes the folder and those above it that are missing. */
static int make_folder(struct contacts *contacts, char *error)
{
    char *path = contacts->folder;
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(path, 0700); /* whether it worked, the last one tells */
        *slash = '/';
    }
    if (mkdir(path, 0700) == 0 || errno == EEXIST)
        return 0;
    return complain(error, "%s cannot be made: %s", path, strerror(errno));
}

/* Waits for the lock; closing the descriptor lets it go. Returns -1 and a complaint without it. */
static int lock_folder(const struct contacts *contacts, char *error)
{
    struct path path = path_of(contacts, "lock");
    int fd = open(path.text, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return complain(error, "%s cannot be opened: %s", path.text, strerror(errno));
    while (flock(fd, LOCK_EX) != 0 && errno == EINTR)
        ;
    return fd;
}

/* ---- Files ---- */

/* Opens a file of ours for reading. `forbidden` are the rights that others must not have. Returns
 * NULL with errno ENOENT and no complaint if there is none. */
static FILE *open_own(const char *path, mode_t forbidden, char *error)
{
    struct stat about;
    error[0] = '\0';
    FILE *file = fopen(path, "re");
    if (!file) {
        if (errno != ENOENT)
            complain(error, "%s cannot be read: %s", path, strerror(errno));
        return NULL;
    }
    if (fstat(fileno(file), &about) != 0 || !S_ISREG(about.st_mode))
        complain(error, "%s is no ordinary file", path);
    else if (about.st_uid != geteuid())
        complain(error, "%s belongs to somebody else", path);
    else if (about.st_mode & forbidden)
        complain(error, "%s has mode %04o; others must not %s it: chmod 600 %s", path,
                 (unsigned)about.st_mode & 07777, forbidden & 044 ? "read" : "change", path);
    else
        return file;
    fclose(file);
    errno = EACCES;
    return NULL;
}

/* Opens NAME.new, which replace() puts in the place of NAME. */
static FILE *open_new(const char *path, struct path *draft, char *error)
{
    snprintf(draft->text, sizeof(draft->text), "%s.new", path);
    unlink(draft->text); /* left there by one that was killed; the lock is ours */
    int fd = open(draft->text, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    FILE *file = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (file)
        return file;
    complain(error, "%s cannot be made: %s", draft->text, strerror(errno));
    if (fd >= 0)
        close(fd);
    return NULL;
}

/* Closes a file of open_new and puts it in its place, if all that was written to it is there. */
static int replace(FILE *file, bool written, const struct path *draft, const char *path,
                   char *error)
{
    bool whole = written && fflush(file) == 0 && fsync(fileno(file)) == 0;
    int saved = errno;
    fclose(file);
    if (whole && rename(draft->text, path) == 0)
        return 0;
    if (whole)
        saved = errno;
    unlink(draft->text);
    return complain(error, "%s cannot be written: %s", path, strerror(saved));
}

/* ---- The identity ---- */

/* A key behind a passphrase would make OpenSSL ask for one on the terminal. */
static int no_passphrase(char *buf, int size, int writing, void *unused)
{
    (void)buf, (void)size, (void)writing, (void)unused;
    return -1;
}

static int read_identity(struct contacts *contacts, FILE *file, const char *path, char *error)
{
    contacts->identity = PEM_read_PrivateKey(file, NULL, no_passphrase, NULL);
    if (contacts->identity && e2e_key_is(contacts->identity, E2E_IDENTITY))
        return 0;
    return complain(error,
                    "%s holds no Ed25519 key without passphrase; with the file moved away a new "
                    "one is made, and others will see that your key has changed",
                    path);
}

static int make_identity(struct contacts *contacts, const char *path, char *error)
{
    struct path draft;
    contacts->identity = e2e_key_new(E2E_IDENTITY);
    if (!contacts->identity)
        return complain(error, "no identity key could be made");
    FILE *file = open_new(path, &draft, error);
    if (!file)
        return -1;
    bool written = PEM_write_PrivateKey(file, contacts->identity, NULL, NULL, 0, NULL, NULL) == 1;
    return replace(file, written, &draft, path, error);
}

static int open_identity(struct contacts *contacts, char *error)
{
    struct path path = path_of(contacts, "identity.pem");
    FILE *file = open_own(path.text, 077, error);
    if (!file && error[0])
        return -1;
    if (!file)
        return make_identity(contacts, path.text, error);
    int result = read_identity(contacts, file, path.text, error);
    fclose(file);
    return result;
}

/* ---- Lists ---- */

/* Reads a whole file, NUL-terminated; NULL and a complaint if that failed. */
static char *read_all(FILE *file, const char *path, char *error)
{
    struct stat about;
    size_t size = fstat(fileno(file), &about) == 0 ? (size_t)about.st_size : 0;
    char *text = size <= CONTACTS_FILE_MAX ? malloc(size + 1) : NULL;
    if (!text) {
        complain(error, "%s is too large", path);
        return NULL;
    }
    size_t len = fread(text, 1, size, file);
    text[len] = '\0';
    if (len == size && strlen(text) == len)
        return text;
    complain(error, "%s cannot be read, or holds a NUL", path);
    free(text);
    return NULL;
}

/* Takes `len` of `digits` and the tab behind them off a value; NULL if they are not there. */
static const char *take_digits(const char *value, size_t len, const char *digits)
{
    return value && strspn(value, digits) == len && value[len] == '\t' ? value + len + 1 : NULL;
}

static bool is_line(const char *text, const char *word)
{
    size_t len = strlen(word);
    return text && strncmp(text, word, len) == 0 && text[len] == '\n';
}

/* The value fields of a line: a key in hexadecimal or two fingerprints, and a word. */
static bool value_is_good(const struct contacts *contacts, const struct contacts_list *list,
                          const char *value)
{
    if (list == &contacts->keys) {
        value = take_digits(value, KEY_HEX, "0123456789abcdef");
        return is_line(value, "seen") || is_line(value, "verified");
    }
    value = take_digits(value, PRINT_LEN, "0123456789ABCDEF:");
    value = take_digits(value, PRINT_LEN, "0123456789ABCDEF:");
    return is_line(value, "pinned") || is_line(value, "trusted");
}

/* Returns the number of the first line that is wrong, or 0. */
static int find_fault(const struct contacts *contacts, const struct contacts_list *list)
{
    int number = 1, keys = list == &contacts->keys ? 3 : 1;
    for (const char *line = list->text; *line; number++) {
        const char *end = strchr(line, '\n'), *value = line;
        if (!end)
            return number;
        for (int i = 0; i < keys && value; i++) {
            value = memchr(value, '\t', (size_t)(end - value));
            value = value ? value + 1 : NULL;
        }
        if (!value || !value_is_good(contacts, list, value))
            return number;
        line = end + 1;
    }
    return 0;
}

/* Reads a list anew; without a file it is empty. */
static int load(const struct contacts *contacts, struct contacts_list *list, char *error)
{
    struct path path = path_of(contacts, list->name);
    FILE *file = open_own(path.text, 022, error);
    if (!file && error[0])
        return -1;
    char *text = file ? read_all(file, path.text, error) : strdup("");
    if (file)
        fclose(file);
    if (!text)
        return error[0] ? -1 : complain(error, "out of memory");
    free(list->text);
    list->text = text;
    int fault = find_fault(contacts, list);
    if (fault)
        return complain(error, "%s:%d: this line is broken; take it out, and look at the others",
                        path.text, fault);
    return 0;
}

/* The value of the entry whose key fields are `prefix` (each with its tab), or NULL. */
static const char *find(const struct contacts_list *list, const char *prefix)
{
    size_t len = strlen(prefix);
    for (const char *line = list->text; *line; line = strchr(line, '\n') + 1)
        if (strncmp(line, prefix, len) == 0)
            return line + len;
    return NULL;
}

/* The list's text with one entry taken out, if it is there, and put in anew at the end. */
static char *with_entry(const struct contacts_list *list, const char *prefix, const char *value)
{
    const char *old = find(list, prefix);
    const char *line = old ? old - strlen(prefix) : list->text + strlen(list->text);
    const char *rest = old ? strchr(old, '\n') + 1 : line;
    char *text = NULL;
    if (asprintf(&text, "%.*s%s%s%s\n", (int)(line - list->text), list->text, rest, prefix, value) <
        0)
        return NULL;
    return text;
}

static int save(const struct contacts *contacts, struct contacts_list *list, char *text,
                char *error)
{
    struct path path = path_of(contacts, list->name), draft;
    bool fits = strlen(text) <= CONTACTS_FILE_MAX;
    FILE *file = fits ? open_new(path.text, &draft, error) : NULL;
    if (!fits)
        complain(error, "%s is full: nothing more is remembered", path.text);
    if (!file || replace(file, fputs(text, file) >= 0, &draft, path.text, error) < 0) {
        free(text);
        return -1;
    }
    free(list->text);
    list->text = text;
    return 0;
}

static int set(struct contacts *contacts, struct contacts_list *list, const char *prefix,
               const char *value, char *error)
{
    int result = -1, lock = lock_folder(contacts, error);
    if (lock < 0)
        return -1;
    if (load(contacts, list, error) == 0) {
        char *text = with_entry(list, prefix, value);
        result = text ? save(contacts, list, text, error) : complain(error, "out of memory");
    }
    close(lock);
    return result;
}

/* ---- Opening and closing ---- */

int contacts_open(struct contacts *contacts, char *error)
{
    memset(contacts, 0, sizeof(*contacts));
    contacts->keys.name = "known_keys";
    contacts->certificates.name = "known_certificates";
    if (find_folder(contacts, error) < 0 || make_folder(contacts, error) < 0)
        return -1;
    int lock = lock_folder(contacts, error);
    if (lock < 0)
        return -1;
    bool ok = open_identity(contacts, error) == 0 && load(contacts, &contacts->keys, error) == 0 &&
              load(contacts, &contacts->certificates, error) == 0;
    close(lock);
    return ok ? 0 : -1;
}

void contacts_close(struct contacts *contacts)
{
    EVP_PKEY_free(contacts->identity);
    free(contacts->keys.text);
    free(contacts->certificates.text);
    memset(contacts, 0, sizeof(*contacts));
}

/* ---- People ---- */

static char *key_prefix(const struct contacts_id *id)
{
    char *prefix = NULL;
    return asprintf(&prefix, "%s\t%s\t%s\t", id->server, id->room, id->name) < 0 ? NULL : prefix;
}

enum contacts_trust contacts_find(const struct contacts *contacts, const struct contacts_id *id,
                                  unsigned char *key)
{
    char *prefix = key_prefix(id), hex[KEY_HEX + 1];
    const char *value = prefix ? find(&contacts->keys, prefix) : NULL;
    free(prefix);
    if (!value)
        return CONTACTS_UNKNOWN;
    snprintf(hex, sizeof(hex), "%.*s", KEY_HEX, value);
    e2e_unhex(key, E2E_KEY_BYTES, hex); /* it is: find_fault has looked */
    return value[KEY_HEX + 1] == 'v' ? CONTACTS_VERIFIED : CONTACTS_SEEN;
}

int contacts_remember(struct contacts *contacts, const struct contacts_id *id,
                      const unsigned char *key, enum contacts_trust trust, char *error)
{
    char value[KEY_HEX + 16];
    char *prefix = key_prefix(id);
    if (!prefix)
        return complain(error, "out of memory");
    e2e_hex(value, key, E2E_KEY_BYTES);
    strcat(value, trust == CONTACTS_VERIFIED ? "\tverified" : "\tseen");
    int result = set(contacts, &contacts->keys, prefix, value, error);
    free(prefix);
    return result;
}

/* ---- Servers ---- */

struct prefix {
    char text[320]; /* a server is at most 263 bytes, see url.h */
};

static struct prefix certificate_prefix(const char *server)
{
    struct prefix prefix;
    snprintf(prefix.text, sizeof(prefix.text), "%s\t", server);
    return prefix;
}

enum contacts_verdict contacts_judge(const struct contacts *contacts, const char *server,
                                     const struct net_prints *prints, bool trusted, char *before)
{
    struct prefix prefix = certificate_prefix(server);
    const char *value = find(&contacts->certificates, prefix.text);
    if (trusted)
        return CONTACTS_GOOD;
    if (!value)
        return CONTACTS_NEW;
    const char *key = value + PRINT_LEN + 1, *word = key + PRINT_LEN + 1;
    snprintf(before, NET_PRINT_MAX, "%.*s", PRINT_LEN, value);
    bool same = strncmp(key, prints->key, PRINT_LEN) == 0;
    return same && is_line(word, "pinned") ? CONTACTS_GOOD : CONTACTS_BAD;
}

int contacts_pin(struct contacts *contacts, const char *server, const struct net_prints *prints,
                 bool trusted, char *error)
{
    char value[2 * NET_PRINT_MAX + 16];
    struct prefix prefix = certificate_prefix(server);
    snprintf(value, sizeof(value), "%s\t%s\t%s", prints->certificate, prints->key,
             trusted ? "trusted" : "pinned");
    const char *old = find(&contacts->certificates, prefix.text);
    if (old && is_line(old, value))
        return 0;
    return set(contacts, &contacts->certificates, prefix.text, value, error);
}
