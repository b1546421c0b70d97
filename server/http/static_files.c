/* SPDX-License-Identifier: MIT
 *
 * static_files.c - serves the files of the web page (RFC 9110 §8.8.3, §12.5.3, §13.1.2).
 *
 * A path is never converted to a path of the file system: it is looked up among the names of the
 * files that were in web/ when the program was built, and only such a name is opened under
 * --web-root. Entity tags are the SHA-256 of the content, so a browser revalidates a page each time
 * and gets it again only when it has changed. Other files have a part of that in their names, and a
 * browser keeps them without asking.
 *
 * http_request.c parses requests, upgrade.c and host_check.c decide which are answered, and
 * connection.c sends. Any thread, no locks.
 */
#include "server/http/static_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "lib/ascii.h"
#include "lib/hex.h"
#include "lib/http/http_response.h"
#include "net/file.h"

#define CHAT_PAGE  "index.html" /* the only page that may use the camera: it scans safety numbers */
#define TRUST_PAGE "trust.html"

#define IMMUTABLE "public, max-age=31536000, immutable" /* a year; RFC 8246 */

enum {
    DIGEST_HEX = 64, /* SHA-256 in hexadecimal digits */
    TAG_HEX = 32,    /* digits of it in an entity tag */
    TAG_MAX = TAG_HEX + sizeof "\"-gzip\"",
    POLICY_MAX = 1024,
    HOST_MAX = 253 + 6, /* a DNS name and a port */
    FIELDS_MAX = 512,
};

static int root_fd = -1;                                    /* [I] of --web-root; -1: none */
static char digests[STATIC_FILE_FILES_MAX][DIGEST_HEX + 1]; /* [I] of each file's plain form */

/* ---- Digests ---- */

static bool digest(const unsigned char *bytes, size_t len, char hex[DIGEST_HEX + 1])
{
    unsigned char sum[EVP_MAX_MD_SIZE];
    if (EVP_Digest(bytes, len, sum, NULL, EVP_sha256(), NULL) != 1)
        return false;
    hex_write(hex, sum, DIGEST_HEX / 2);
    return true;
}

void static_files_print(FILE *out)
{
    char hex[DIGEST_HEX + 1];
    for (size_t i = 0; i < page_count; i++)
        if (digest(page_files[i].plain, page_files[i].plain_len, hex))
            fprintf(out, "%s  %s\n", hex, page_files[i].name);
}

int static_files_init(const char *root, char *error)
{
    if (page_count > STATIC_FILE_FILES_MAX) {
        snprintf(error, STATIC_FILE_ERROR_MAX, "expected at most %d files of the page, got %zu",
                 STATIC_FILE_FILES_MAX, page_count);
        return -1;
    }
    for (size_t i = 0; i < page_count; i++) {
        if (!digest(page_files[i].plain, page_files[i].plain_len, digests[i])) {
            snprintf(error, STATIC_FILE_ERROR_MAX, "OpenSSL cannot compute SHA-256");
            return -1;
        }
    }
    root_fd = root ? open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (!root || root_fd >= 0)
        return 0;
    snprintf(error, STATIC_FILE_ERROR_MAX, "--web-root %s: %s", root, strerror(errno));
    return -1;
}

/* ---- Which file ---- */

/* Paths that are not file names; one that ends in a slash is a prefix. */
static const struct {
    const char *path, *name;
} aliases[] = {
    {"/", CHAT_PAGE},
    {"/rooms/", CHAT_PAGE},
    {"/trust", TRUST_PAGE},
};

static bool is_under(struct text path, const char *folder)
{
    size_t len = strlen(folder);
    return len > 1 && folder[len - 1] == '/' && path.len > len && memcmp(path.at, folder, len) == 0;
}

static const struct static_file *find_name(struct text name,
                                           const struct static_file_answer *answer)
{
    const struct static_file *files = root_fd >= 0 ? page_sources : page_files;
    size_t count = root_fd >= 0 ? page_sources_count : page_count;
    for (size_t i = 0; i < count; i++)
        if (text_equals(name, files[i].name))
            return &files[i];
    return answer->ca.name && text_equals(name, answer->ca.name) ? &answer->ca : NULL;
}

static const struct static_file *find_path(struct text path,
                                           const struct static_file_answer *answer)
{
    for (size_t i = 0; i < sizeof(aliases) / sizeof(aliases[0]); i++) {
        const char *name = aliases[i].name;
        if (text_equals(path, aliases[i].path) || is_under(path, aliases[i].path))
            return find_name(text_of(name), answer);
    }
    return find_name(text_skip(path, 1), answer);
}

/* ---- Plain or gzip ---- */

/* The form of a file that is sent: its bytes, and its entity tag. */
struct form {
    const unsigned char *bytes;
    size_t len;
    char tag[TAG_MAX]; /* with its quotes */
    bool gzip;
    bool varies; /* other clients get another form */
};

/* Reads a file of --web-root: it must be regular, not a link, and within the size limit. */
static bool load(const char *name, struct static_file_answer *answer, struct form *form)
{
    struct stat st;
    int fd = openat(root_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    bool fit =
        fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size <= STATIC_FILE_FILE_MAX;
    size_t size = fit ? (size_t)st.st_size : 0;
    answer->loaded = fit ? malloc(size + 1) : NULL;
    ssize_t len = answer->loaded ? file_read(fd, answer->loaded, size) : -1;
    form->bytes = answer->loaded;
    form->len = len > 0 ? (size_t)len : 0;
    if (fd >= 0)
        close(fd);
    return len >= 0;
}

/* Fills in the template of /trust. */
static bool fill_in_trust_page(struct static_file_answer *answer, struct form *form)
{
    size_t len;
    char *filled = trust_page_fill(answer->trust, (const char *)form->bytes, form->len, &len);
    free(answer->loaded);
    answer->loaded = (unsigned char *)filled;
    form->bytes = answer->loaded;
    form->len = len;
    return filled;
}

/* Chooses the bytes of a file for this client, and their digest. */
static bool choose_bytes(const struct http_request *rq, const struct static_file *file,
                         struct static_file_answer *answer, struct form *form,
                         char hex[DIGEST_HEX + 1])
{
    bool in_web = file != &answer->ca;
    *form = (struct form){.bytes = file->plain, .len = file->plain_len};
    if (!file->plain && !load(file->name, answer, form))
        return false;
    if (strcmp(file->name, TRUST_PAGE) == 0 && !fill_in_trust_page(answer, form))
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

/* Makes the entity tag. The tags of two forms must differ (RFC 9110 §8.8.3.3). */
static bool choose(const struct http_request *rq, const struct static_file *file,
                   struct static_file_answer *answer, struct form *form)
{
    char hex[DIGEST_HEX + 1];
    if (!choose_bytes(rq, file, answer, form, hex))
        return false;
    snprintf(form->tag, sizeof(form->tag), "\"%.*s%s\"", TAG_HEX, hex, form->gzip ? "-gzip" : "");
    return true;
}

/* ---- The answer ---- */

/* Whether Host can be part of a policy: it must not contain characters that end its place. An IPv6
 * address cannot (CSP §2.3.1), and need not if 'self' covers WebSockets, as in newer browsers. */
static bool is_plain_host(struct text host)
{
    size_t n = 0;
    while (n < host.len && (ascii_is_alnum(host.at[n]) || ascii_is_one_of(host.at[n], ".-:")))
        n++;
    return n > 0 && n == host.len && n <= HOST_MAX;
}

/* The page may use its own scripts and styles, its own WebSocket, and nothing else. Those that are
 * written into it are named by their hashes (CSP §2.3.1). Text never becomes markup. */
static void write_policy(char policy[POLICY_MAX], const struct static_file *file, struct text host)
{
    const char *scripts = file->inline_scripts ? file->inline_scripts : "";
    const char *styles = file->styles && *file->styles ? file->styles : "'self'";
    char sockets[2 * (HOST_MAX + sizeof(" wss://"))] = "";
    int len = (int)host.len;
    if (is_plain_host(host))
        snprintf(sockets, sizeof(sockets), " ws://%.*s wss://%.*s", len, host.at, len, host.at);
    snprintf(policy, POLICY_MAX,
             "; script-src 'self'%s%s; style-src %s; img-src 'self' data:; manifest-src 'self'; "
             "connect-src 'self'%s; require-trusted-types-for 'script'; trusted-types 'none'",
             *scripts ? " " : "", scripts, styles, sockets);
}

static void begin(struct static_file_answer *answer, const struct trust_page *trust)
{
    *answer = (struct static_file_answer){.what = "served the page", .trust = trust};
    if (trust->state == TRUST_PAGE_OURS)
        answer->ca = (struct static_file){.name = "ragnarok-ca.crt",
                                          .type = "application/x-x509-ca-cert",
                                          .plain = trust->ca,
                                          .plain_len = trust->ca_len};
}

void page_answer(const struct http_request *rq, const struct trust_page *trust,
                 struct static_file_answer *answer)
{
    char fields[FIELDS_MAX], policy[POLICY_MAX];
    struct form form;
    begin(answer, trust);
    const struct static_file *file = find_path(rq->path, answer);
    if (!file || !choose(rq, file, answer, &form)) {
        answer->what = "there is only /, /rooms/NAME and the files of the page here";
        answer->head_len =
            rq->html ? http_write_refusal_page(answer->head, 404, answer->what, rq->head_only)
                     : http_write_refusal(answer->head, 404, answer->what, rq->head_only);
        return;
    }
    bool known = http_has_tag(rq, form.tag);
    write_policy(policy, file, rq->host);
    snprintf(fields, sizeof(fields), "Content-Type: %s\r\nETag: %s\r\nCache-Control: %s\r\n%s%s",
             file->type, form.tag, file->immutable ? IMMUTABLE : "no-cache",
             form.varies ? "Vary: Accept-Encoding\r\n" : "",
             form.gzip ? "Content-Encoding: gzip\r\n" : "");
    answer->head_len = http_write_head(
        answer->head, &(struct http_head){.status = known ? 304 : 200,
                                          .fields = fields,
                                          .policy = policy,
                                          .length = form.len,
                                          .keep = rq->keep,
                                          .camera = strcmp(file->name, CHAT_PAGE) == 0});
    answer->keep = rq->keep;
    answer->body = form.bytes;
    answer->body_len = known || rq->head_only ? 0 : form.len;
}

void static_file_answer_free(struct static_file_answer *answer)
{
    free(answer->loaded);
    answer->loaded = NULL;
}
