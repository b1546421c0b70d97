/* SPDX-License-Identifier: MIT
 *
 * host_check.h - checks the names that clients use for this server. Two questions: whether a
 * browser is answered (protection against DNS rebinding), and, stricter, whether an origin that a
 * client signed is this server's own (protection against a server that relays proofs).
 *
 * Any thread, no locks.
 */
#ifndef HOST_CHECK_H
#define HOST_CHECK_H

#include <stdbool.h>

#include "base/config.h"
#include "lib/http/http_request.h"
#include "net/stream.h"

/* Reads this machine's name. Must be called before threads start. */
void host_check_init(void);

/* Whether a request with this Host is answered, on whatever address it came. Host must be an IP
 * address, localhost or a name under .localhost or .local, the name of this machine, a name of the
 * certificate, or the host of one of allowed_origins ("*": any). `tls` may be NULL. */
bool host_check_allows(const struct http_request *rq, const struct config *config,
                       const struct tls_context *tls);

/* Whether `origin`, the KeyOrigin of a Join, is this server's own on the connection `fd`. `host` is
 * the Host of its handshake (NULL: it had none).
 *
 * A client signs the origin that it connected to. A malicious server can relay our nonce to its own
 * clients and their Join back to us, with any Host; but it cannot make them sign one of our names.
 * So `origin` must be one that only this server has. Unlike host_check_allows, this applies without
 * an Origin header, too. `origin` must be
 * - an entry of allowed_origins ("*" is none), or
 * - https (without TLS http) :// `host`, where that is one of these:
 *   - an IP address that is the local one of the socket, with the local port;
 *   - localhost or a name below it, if the local address is a loopback one, with the local port;
 *   - the name of this machine, its first label, or that under .local, with the local port;
 *   - a name or an address that the certificate is valid for: with any port if it means the same
 *     machine everywhere, with the local port if it does not (private addresses, names without a
 *     dot or under localhost, .local, .lan, .internal, .home.arpa), because another network may
 *     have another server of that name. */
bool host_check_is_own_origin(const char *origin, const char *host, int fd,
                              const struct config *config, const struct tls_context *tls);

#endif
