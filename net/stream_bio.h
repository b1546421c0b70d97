/* SPDX-License-Identifier: MIT
 *
 * stream_bio.h - a stream's socket, as OpenSSL reads and writes it; only stream.c uses it.
 *
 * OpenSSL's own BIO of a socket blocks when the socket does, and reads only from it. This one never
 * blocks, and first hands out what stream_feed gave it.
 */
#ifndef STREAM_BIO_H
#define STREAM_BIO_H

#include <stdbool.h>

#include <openssl/types.h>

#include "net/stream.h"

/* Makes what all BIOs have in common, unless that is done. The first call must come before other
 * threads exist; stream.c makes it with the first TLS context. Returns false when memory is out. */
bool stream_bio_init(void);

/* Makes the BIO of a stream, which outlives it. Reads at most stream->reads_left times from the
 * socket. Returns NULL when memory is out. SSL_set_bio(3) takes it. */
BIO *stream_bio_new(struct stream *stream);

#endif
