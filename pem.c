/* SPDX-License-Identifier: MIT
 *
 * pem.c - certificates and keys in files, with every complaint that a person can need.
 *
 * A key is in no file that others could open, not even for a moment: the file is created with
 * its final mode, and only if nothing had that name. What is replaced is replaced by rename(2): who
 * opens it finds the old content or the new one, whole. A key with a passphrase is refused: nobody
 * is there to be asked.
 *
 * Called at start-up only, from the main thread; takes no locks.
 */
#include "pem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/pem.h>

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

/* ---- Reading --------------------------------------------------------------------------------- */

/* Opens what the path leads to, symbolic links included; complains if it is no file to read. */
static FILE *open_file(const struct pem_file *file)
{
    struct stat st;
    /* O_NONBLOCK: a named pipe must not hold up the start. */
    int fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd >= 0 && fstat(fd, &st) == 0 && !S_ISREG(st.st_mode)) {
        pem_complain(file, "found a folder or device at %s, allowed is a PEM file", file->path);
        close(fd);
        return NULL;
    }
    FILE *stream = fd >= 0 ? fdopen(fd, "r") : NULL;
    if (stream)
        return stream;
    pem_complain(file, "%s cannot be read: %s", file->path, strerror(errno));
    if (fd >= 0)
        close(fd);
    return NULL;
}

/* Stands in for OpenSSL's question on the terminal: notes that a passphrase was wanted. */
static int note_passphrase(char *buffer, int size, int writing, void *wanted)
{
    (void)buffer, (void)size, (void)writing;
    *(bool *)wanted = true;
    return -1;
}

X509 *pem_read_certificate(const struct pem_file *file)
{
    bool encrypted = false;
    FILE *stream = open_file(file);
    if (!stream)
        return NULL;
    X509 *cert = PEM_read_X509(stream, NULL, note_passphrase, &encrypted);
    fclose(stream);
    if (!cert)
        pem_complain(file, "found no certificate in %s, allowed is one in PEM form", file->path);
    return cert;
}

/* Whoever can read the key can pass for this server. A group may be let in by root alone, as
 * Debian's ssl-cert does; everyone else may not. */
static bool is_private(const struct stat *st)
{
    return (st->st_mode & 077) == 0 || (st->st_uid == 0 && (st->st_mode & 037) == 0);
}

static int check_private(const struct pem_file *file, FILE *stream)
{
    struct stat st;
    if (fstat(fileno(stream), &st) < 0)
        return pem_complain(file, "%s cannot be read: %s", file->path, strerror(errno));
    if (is_private(&st))
        return 0;
    return pem_complain(file,
                        "found mode %04o on %s, which lets others in, allowed is 0600, or 0640 "
                        "if root owns it",
                        (unsigned)st.st_mode & 07777, file->path);
}

EVP_PKEY *pem_read_key(const struct pem_file *file)
{
    bool encrypted = false;
    FILE *stream = open_file(file);
    if (!stream)
        return NULL;
    if (check_private(file, stream) < 0) {
        fclose(stream);
        return NULL;
    }
    EVP_PKEY *key = PEM_read_PrivateKey(stream, NULL, note_passphrase, &encrypted);
    fclose(stream);
    if (!key)
        pem_complain(file, "found %s in %s, allowed is %s",
                     encrypted ? "a key with a passphrase" : "no private key", file->path,
                     encrypted ? "one without" : "one in PEM form");
    return key;
}

/* ---- Writing --------------------------------------------------------------------------------- */

static int write_all(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, bytes, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        bytes += n;
        len -= (size_t)n;
    }
    return fsync(fd);
}

/* Writes a file that was not there before, with `mode` from its first moment. Returns 0, or -1
 * with errno, and then it has left no file behind. */
static int write_new_file(const char *path, mode_t mode, BIO *pem)
{
    char *bytes;
    long len = BIO_get_mem_data(pem, &bytes);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0)
        return -1;
    int rc = write_all(fd, bytes, (size_t)len);
    int saved = errno;
    if (close(fd) < 0 && rc == 0) {
        rc = -1;
        saved = errno;
    }
    if (rc < 0)
        unlink(path);
    errno = saved;
    return rc;
}

static int refuse_write(const struct pem_file *file)
{
    return pem_complain(file, "cannot make %s: %s", file->path, strerror(errno));
}

int pem_write(const struct pem_file *file, mode_t mode, BIO *pem)
{
    return write_new_file(file->path, mode, pem) < 0 ? refuse_write(file) : 0;
}

int pem_replace(const struct pem_file *file, BIO *pem)
{
    char *draft;
    if (asprintf(&draft, "%s.new", file->path) < 0)
        return pem_complain(file, "out of memory");
    unlink(draft); /* of a start that was cut off */
    int rc = write_new_file(draft, 0644, pem);
    if (rc == 0)
        rc = rename(draft, file->path);
    if (rc < 0) {
        refuse_write(file);
        unlink(draft);
    }
    free(draft);
    return rc;
}
