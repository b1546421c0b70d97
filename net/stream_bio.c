/* SPDX-License-Identifier: MIT
 *
 * stream_bio.c - a stream's socket, as OpenSSL reads and writes it.
 *
 * Entered from OpenSSL's calls in stream.c, with the lock of the stream.
 */
#include "net/stream_bio.h"

#include <errno.h>
#include <string.h>

#include <openssl/bio.h>

static BIO_METHOD *method; /* [I] never freed */

static int take_fed(struct stream *stream, char *bytes, int len)
{
    size_t n = stream->fed_len < (size_t)len ? stream->fed_len : (size_t)len;
    memcpy(bytes, stream->fed, n);
    stream->fed += n;
    stream->fed_len -= n;
    return (int)n;
}

static int feed_openssl(BIO *bio, char *bytes, int len)
{
    struct stream *stream = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (stream->fed_len > 0)
        return take_fed(stream, bytes, len);
    if (stream->reads_left == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    stream->reads_left--;
    ssize_t n = net_receive(stream->fd, bytes, (size_t)len);
    if (n == 0)
        BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
    if (n < 0 && errno == EAGAIN)
        BIO_set_retry_read(bio);
    return (int)n;
}

static int send_of_openssl(BIO *bio, const char *bytes, int len)
{
    const struct stream *stream = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    ssize_t n = net_send(stream->fd, bytes, (size_t)len);
    if (n < 0 && errno == EAGAIN)
        BIO_set_retry_write(bio);
    return (int)n;
}

static long control(BIO *bio, int command, long number, void *pointer)
{
    (void)number, (void)pointer;
    if (command == BIO_CTRL_EOF)
        return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0;
    return command == BIO_CTRL_FLUSH; /* nothing is buffered here */
}

bool stream_bio_init(void)
{
    if (method)
        return true;
    method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "stream");
    if (method && (BIO_meth_set_read(method, feed_openssl) != 1 ||
                   BIO_meth_set_write(method, send_of_openssl) != 1 ||
                   BIO_meth_set_ctrl(method, control) != 1)) {
        BIO_meth_free(method);
        method = NULL;
    }
    return method;
}

BIO *stream_bio_new(struct stream *stream)
{
    BIO *bio = method ? BIO_new(method) : NULL;
    if (!bio)
        return NULL;
    BIO_set_data(bio, stream);
    BIO_set_init(bio, 1);
    return bio;
}
