/* SPDX-License-Identifier: MIT
 *
 * page.c - hands out the web page, as page.h promises it (RFC 9110 §8.8.3, §12.5.3, §13.1.2).
 *
 * A path is never made into a path of the file system: it is looked up among the names of the files
 * that were in web/ when the program was built, and only a name out of that list is opened under
 * --web-root. Entity tags are SHA-256 of what is served, so a browser asks each time and is sent a
 * file again only when it has changed.
 *
 * Left to others: what makes a request a proper one (http.c), which are answered at all (admit.c,
 * host.c), and the sending (conn.c).
 */
#include "page.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>

#define TRUST_PAGE "trust.html"

enum {
    DIGEST_HEX = 64, /* SHA-256 in hexadecimal digits */
    TAG_HEX = 32,    /* of which an entity tag takes these */
    TAG_MAX = TAG_HEX + sizeof "\"-gzip\"",
    POLICY_MAX = 1024,
    HOST_MAX = 253 + 6, /* a name of the DNS, and a port */
    FIELDS_MAX = 512,
};

static int root_fd = -1;                             /* [I] of --web-root; -1: none */
static char digests[PAGE_FILES_MAX][DIGEST_HEX + 1]; /* [I] of each file's plain form */

/* ---- Digests ---- */

static bool digest(const unsigned char *bytes, size_t len, char hex[DIGEST_HEX + 1])
{
    unsigned char sum[EVP_MAX_MD_SIZE];
    if (EVP_Digest(bytes, len, sum, NULL, EVP_sha256(), NULL) != 1)
        return false;
    for (size_t i = 0; i < DIGEST_HEX / 2; i++)
        snprintf(hex + 2 * i, 3, "%02x", sum[i]);
    return true;
}

void pages_print(FILE *out)
{
    char hex[DIGEST_HEX + 1];
    for (size_t i = 0; i < page_count; i++)
        if (digest(page_files[i].plain, page_files[i].plain_len, hex))
            fprintf(out, "%s  web/%s\n", hex, page_files[i].name);
}

int pages_init(const char *root, char *error)
{
    if (page_count > PAGE_FILES_MAX) {
        snprintf(error, PAGE_ERROR_MAX, "web/ had %zu files, allowed are %d", page_count,
                 PAGE_FILES_MAX);
        return -1;
    }
    for (size_t i = 0; i < page_count; i++) {
        if (!digest(page_files[i].plain, page_files[i].plain_len, digests[i])) {
            snprintf(error, PAGE_ERROR_MAX, "OpenSSL cannot compute SHA-256");
            return -1;
        }
    }
    root_fd = root ? open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (!root || root_fd >= 0)
        return 0;
    snprintf(error, PAGE_ERROR_MAX, "--web-root %s: %s", root, strerror(errno));
    return -1;
}

/* ---- Which file ---- */

/* Paths that are not the name of a file; one that ends in a slash stands for all that go on. */
static const struct {
    const char *path, *name;
} aliases[] = {
    {"/", "index.html"},
    {"/rooms/", "index.html"},
    {"/trust", TRUST_PAGE},
};

static bool is_same(struct http_text text, const char *string)
{
    return text.len == strlen(string) && memcmp(text.at, string, text.len) == 0;
}

static bool is_under(struct http_text path, const char *folder)
{
    size_t len = strlen(folder);
    return len > 1 && folder[len - 1] == '/' && path.len > len && memcmp(path.at, folder, len) == 0;
}

static const struct page_file *find_name(struct http_text name, const struct page_answer *answer)
{
    for (size_t i = 0; i < page_count; i++)
        if (is_same(name, page_files[i].name))
            return &page_files[i];
    return answer->ca.name && is_same(name, answer->ca.name) ? &answer->ca : NULL;
}

static const struct page_file *find_path(struct http_text path, const struct page_answer *answer)
{
    for (size_t i = 0; i < sizeof(aliases) / sizeof(aliases[0]); i++) {
        const char *name = aliases[i].name;
        if (is_same(path, aliases[i].path) || is_under(path, aliases[i].path))
            return find_name((struct http_text){name, strlen(name)}, answer);
    }
    return find_name((struct http_text){path.at + 1, path.len - 1}, answer);
}

/* ---- Which form of it ---- */

/* What is sent of a file: its bytes, and how they are told from others. */
struct form {
    const unsigned char *bytes;
    size_t len;
    char tag[TAG_MAX]; /* with its quotes */
    bool gzip;
    bool varies; /* there is another form for other clients */
};

static size_t read_all(int fd, unsigned char *bytes, size_t len)
{
    size_t done = 0;
    ssize_t n = 1;
    while (done < len && n > 0) {
        n = read(fd, bytes + done, len - done);
        done += n > 0 ? (size_t)n : 0;
        n = n < 0 && errno == EINTR ? 1 : n;
    }
    return done;
}

/* Reads a file of --web-root: a plain one, by no link, and not out of bounds. */
static bool load(const char *name, struct page_answer *answer, struct form *form)
{
    struct stat st;
    int fd = openat(root_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    bool fit = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size <= PAGE_FILE_MAX;
    size_t size = fit ? (size_t)st.st_size : 0;
    answer->loaded = fit ? malloc(size + 1) : NULL;
    if (answer->loaded) {
        form->bytes = answer->loaded;
        form->len = read_all(fd, answer->loaded, size);
    }
    if (fd >= 0)
        close(fd);
    return answer->loaded;
}

/* Fills in what only this start knows. */
static bool fill(struct page_answer *answer, struct form *form)
{
    size_t len;
    char *filled = trust_fill(answer->trust, (const char *)form->bytes, form->len, &len);
    free(answer->loaded);
    answer->loaded = (unsigned char *)filled;
    form->bytes = answer->loaded;
    form->len = len;
    return filled;
}

/* Finds the bytes of a file that this client is to have, and their digest. */
static bool choose_bytes(const struct http_request *rq, const struct page_file *file,
                         struct page_answer *answer, struct form *form, char hex[DIGEST_HEX + 1])
{
    bool in_web = file != &answer->ca;
    *form = (struct form){.bytes = file->plain, .len = file->plain_len};
    if (in_web && root_fd >= 0 && !load(file->name, answer, form))
        return false;
    if (strcmp(file->name, TRUST_PAGE) == 0 && !fill(answer, form))
        return false;
    if (!in_web || form->bytes != file->plain)
        return digest(form->bytes, form->len, hex);
    memcpy(hex, digests[file - page_files], DIGEST_HEX + 1);
    form->varies = file->gzip;
    form->gzip = file->gzip && rq->gzip;
    if (form->gzip) {
        form->bytes = file->gzip;
        form->len = file->gzip_len;
    }
    return true;
}

/* The tags of two forms must differ (RFC 9110 §8.8.3.3). */
static bool choose(const struct http_request *rq, const struct page_file *file,
                   struct page_answer *answer, struct form *form)
{
    char hex[DIGEST_HEX + 1];
    if (!choose_bytes(rq, file, answer, form, hex))
        return false;
    snprintf(form->tag, sizeof(form->tag), "\"%.*s%s\"", TAG_HEX, hex, form->gzip ? "-gzip" : "");
    return true;
}

/* ---- The answer ---- */

/* Whether Host can stand in a policy: nothing in it may end its place there. An IPv6 address cannot
 * (CSP §2.3.1), and need not where 'self' covers WebSockets, as it does in newer browsers. */
static bool is_plain_host(struct http_text host)
{
    static const char fit[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:";
    size_t n = 0;
    while (n < host.len && memchr(fit, host.at[n], sizeof(fit) - 1))
        n++;
    return n > 0 && n == host.len && n <= HOST_MAX;
}

/* What the page may do: its own scripts and styles, its own WebSocket, and nothing else; and no text
 * ever becomes markup. */
static void write_policy(char policy[POLICY_MAX], struct http_text host)
{
    char sockets[2 * (HOST_MAX + sizeof(" wss://"))] = "";
    int len = (int)host.len;
    if (is_plain_host(host))
        snprintf(sockets, sizeof(sockets), " ws://%.*s wss://%.*s", len, host.at, len, host.at);
    snprintf(policy, POLICY_MAX,
             "; script-src 'self'; style-src 'self'; img-src 'self' data:; manifest-src 'self'; "
             "connect-src 'self'%s; require-trusted-types-for 'script'; trusted-types 'none'",
             sockets);
}

static void say_missing(const struct http_request *rq, struct page_answer *answer)
{
    answer->what = "there is only /, /rooms/NAME and the files of the page here";
    answer->head_len = http_write_refusal(answer->head, 404, answer->what, rq->head_only);
}

static void begin(struct page_answer *answer, const struct trust *trust)
{
    *answer = (struct page_answer){.what = "served the page", .trust = trust};
    if (trust->state == TRUST_OURS)
        answer->ca = (struct page_file){.name = "ragnarok-ca.crt",
                                        .type = "application/x-x509-ca-cert",
                                        .plain = trust->ca,
                                        .plain_len = trust->ca_len};
}

void page_answer(const struct http_request *rq, const struct trust *trust,
                 struct page_answer *answer)
{
    char fields[FIELDS_MAX], policy[POLICY_MAX];
    struct form form;
    begin(answer, trust);
    const struct page_file *file = find_path(rq->path, answer);
    if (!file || !choose(rq, file, answer, &form)) {
        say_missing(rq, answer);
        return;
    }
    bool known = http_has_tag(rq, form.tag);
    write_policy(policy, rq->host);
    snprintf(fields, sizeof(fields),
             "Content-Type: %s\r\nETag: %s\r\nCache-Control: no-cache\r\n%s%s", file->type,
             form.tag, form.varies ? "Vary: Accept-Encoding\r\n" : "",
             form.gzip ? "Content-Encoding: gzip\r\n" : "");
    answer->head_len = http_write_head(
        answer->head, &(struct http_head){known ? 304 : 200, fields, policy, form.len});
    answer->body = form.bytes;
    answer->body_len = known || rq->head_only ? 0 : form.len;
}

void page_answer_free(struct page_answer *answer)
{
    free(answer->loaded);
    answer->loaded = NULL;
}
