/* SPDX-License-Identifier: MIT
 *
 * pem.c - reads and writes PEM files of certificates and keys.
 *
 * A key is never in a file that others could open: the file is created with its final mode, and
 * only if the name is free. A file is replaced with rename(2), so a reader gets the old content or
 * the new one, whole. A key with a passphrase is refused, because nobody can be asked for it.
 *
 * One thread at a time; takes no locks.
 */
#include "server/cert/pem.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/pem.h>

#include "net/file.h"

int pem_complain(const struct pem_file *file, const char *format, ...)
{
    char text[CONFIG_ERROR_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    return config_complain(file->config, file->key, file->error, "%s", text);
}

bool pem_is_missing(const struct pem_file *file)
{
    struct stat st;
    return stat(file->path, &st) < 0 && errno == ENOENT;
}

/* ---- Reading -------------------------------------------------------------------------------- */

/* Reads the file that the path leads to, following symbolic links, and fills *about. Returns as
 * pem_read_bytes. */
static char *read_pem_file(const struct pem_file *file, struct stat *about, size_t *len)
{
    int fd = file_open(file->path, about);
    if (fd < 0) {
        pem_complain(file, "%s cannot be read: %s", file->path, strerror(errno));
        return NULL;
    }
    bool regular = S_ISREG(about->st_mode);
    char *bytes = regular ? OPENSSL_malloc(PEM_FILE_MAX + 2) : NULL;
    ssize_t got = bytes ? file_read(fd, bytes, PEM_FILE_MAX + 1) : -1;
    if (!regular)
        pem_complain(file, "expected a PEM file, got a folder or device at %s", file->path);
    else if (!bytes)
        pem_complain(file, "out of memory");
    else if (got < 0)
        pem_complain(file, "%s cannot be read: %s", file->path, strerror(errno));
    else if (got > PEM_FILE_MAX)
        pem_complain(file, "expected at most %d bytes in %s, got more", PEM_FILE_MAX, file->path);
    close(fd);
    if (got >= 0 && got <= PEM_FILE_MAX) {
        *len = (size_t)got;
        bytes[*len] = '\0';
        return OPENSSL_clear_realloc(bytes, PEM_FILE_MAX + 2, *len + 1);
    }
    OPENSSL_clear_free(bytes, PEM_FILE_MAX + 2);
    return NULL;
}

char *pem_read_bytes(const struct pem_file *file, size_t *len)
{
    struct stat ignored;
    return read_pem_file(file, &ignored, len);
}

/* Replaces OpenSSL's passphrase prompt: records that a passphrase was wanted. */
static int note_passphrase(char *buffer, int size, int writing, void *wanted)
{
    (void)buffer, (void)size, (void)writing;
    *(bool *)wanted = true;
    return -1;
}

X509 *pem_read_certificate(const struct pem_file *file, X509 **next)
{
    bool encrypted = false;
    size_t len;
    char *bytes = pem_read_bytes(file, &len);
    if (next)
        *next = NULL;
    if (!bytes)
        return NULL;
    BIO *pem = BIO_new_mem_buf(bytes, (int)len);
    X509 *cert = pem ? PEM_read_bio_X509(pem, NULL, note_passphrase, &encrypted) : NULL;
    if (cert && next)
        *next = PEM_read_bio_X509(pem, NULL, note_passphrase, &encrypted);
    BIO_free(pem);
    OPENSSL_clear_free(bytes, len + 1); /* the file may contain a key, too */
    if (!cert)
        pem_complain(file, "expected a certificate in PEM form in %s, got none", file->path);
    return cert;
}

/* Whether nobody else can read the key, and so impersonate this server. Only root may give a group
 * access, as Debian's ssl-cert does. */
static bool is_private(const struct stat *st)
{
    return (st->st_mode & 077) == 0 || (st->st_uid == 0 && (st->st_mode & 037) == 0);
}

static EVP_PKEY *parse_key(const struct pem_file *file, const char *bytes, size_t len)
{
    bool encrypted = false;
    BIO *pem = BIO_new_mem_buf(bytes, (int)len);
    EVP_PKEY *key = pem ? PEM_read_bio_PrivateKey(pem, NULL, note_passphrase, &encrypted) : NULL;
    BIO_free(pem);
    if (!key)
        pem_complain(file, "expected a %s in %s, got %s",
                     encrypted ? "key without a passphrase" : "private key in PEM form", file->path,
                     encrypted ? "one with a passphrase" : "none");
    return key;
}

EVP_PKEY *pem_read_key(const struct pem_file *file)
{
    struct stat about;
    size_t len;
    EVP_PKEY *key = NULL;
    char *bytes = read_pem_file(file, &about, &len);
    if (!bytes)
        return NULL;
    if (is_private(&about))
        key = parse_key(file, bytes, len);
    else
        pem_complain(
            file,
            "expected mode 0600 on %s, or 0640 if root owns it, got %04o, which lets others in",
            file->path, (unsigned)about.st_mode & 07777);
    OPENSSL_clear_free(bytes, len + 1);
    return key;
}

/* ---- Writing -------------------------------------------------------------------------------- */

int pem_write(const struct pem_file *file, mode_t mode, BIO *pem)
{
    char *bytes;
    long len = BIO_get_mem_data(pem, &bytes);
    if (file_create(file->path, mode, bytes, (size_t)len) == 0)
        return 0;
    return pem_complain(file, "cannot make %s: %s", file->path, strerror(errno));
}

int pem_replace(const struct pem_file *file, BIO *pem)
{
    char *bytes;
    long len = BIO_get_mem_data(pem, &bytes);
    if (file_replace(file->path, 0644, bytes, (size_t)len) == 0)
        return 0;
    return pem_complain(file, "cannot make %s: %s", file->path, strerror(errno));
}
