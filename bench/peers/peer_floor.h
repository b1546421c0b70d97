/* SPDX-License-Identifier: MIT
 *
 * peer_floor.h - common parts of the two floors: listening, TLS, the answer to the request, and the
 * text of a message, which is found without parsing. Any thread, no locks.
 */
#ifndef PEER_FLOOR_H
#define PEER_FLOOR_H

#include <stddef.h>

#include <openssl/ssl.h>

#include "ws.h"
#include "peer.h"

#define PEER_TEXT_KEY "\"text\":\""

enum {
    PEER_REQUEST_MAX = 8192,    /* bytes of a request head; more is refused */
    PEER_MESSAGE_MAX = 2 << 20, /* bytes of a member's message; more closes it */
    PEER_ANSWER_MAX = 256,      /* room for the answer to a request */
};

/* Listens on the loopback interface; `flags` as of socket(2). Returns the listener and *port. Ends
 * the program when that fails. */
int peer_listen(const struct peer_options *options, int flags, int *port);

/* The TLS context of the options, with OpenSSL's defaults from TLS 1.2 on; NULL without --tls. Ends
 * the program when the certificate or the key is bad. */
SSL_CTX *peer_tls(const struct peer_options *options);

/* Takes a request head out of the reader, and writes the answer. Returns its length; 0: the head is
 * not whole yet; -1: it is invalid, or spells the field of the key in an unusual way. */
int peer_upgrade(struct ws_reader *reader, char answer[PEER_ANSWER_MAX]);

/* Finds the text of a message, as it was written: from the first `"text":"` to the last `"}`.
 * Returns NULL when there is none. */
const char *peer_text(const char *message, size_t len, size_t *text_len);

/* Prints the reason in errno, and ends the program. */
_Noreturn void peer_fail(const char *what);

#endif
