/* SPDX-License-Identifier: MIT
 *
 * origin.h - authorities (RFC 3986 §3.2) and origins (RFC 6454): parses Host and Origin, and
 * decides which origins may connect.
 *
 * Pure: any thread.
 */
#ifndef ORIGIN_H
#define ORIGIN_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/text.h"

enum {
    ORIGIN_HOST_MAX = 255, /* bytes of a host in an origin; a longer one is invalid */
    ORIGIN_MAX = 270,      /* an origin with its NUL: "https://", 255 bytes of host, ":65535" */
};

/* Whether `text` is host [":" port]; the host may be empty. */
bool origin_is_authority(struct text text);

/* The host of an authority, without port and without a final dot; `at` is NULL if the authority's
 * is. */
struct text origin_host(struct text authority);

/* Skips http://, https://, ws:// or wss://. Returns false if the text begins with none of them. A
 * text that ends within a scheme counts as one, and *rest is empty. */
bool origin_skip_scheme(struct text url, struct text *rest);

/* Removes one of those schemes, which must be whole. Returns its default port, or 0 if there is
 * none. */
int origin_take_scheme(struct text *url);

/* Whether a browser page from `origin` may open a WebSocket here (RFC 6455 §10.2). Allowed are no
 * Origin, an Origin of this very host and port, and one of the `n` strings of `allowed`; "*" among
 * them allows all. `tls` selects the default port of Host. */
bool origin_allowed(struct text origin, struct text host, const char *const *allowed, size_t n,
                    bool tls);

/* Whether a host is that of one of the `n` origins of `allowed`, or "*" is among them. */
bool origin_host_allowed(struct text host, const char *const *allowed, size_t n);

/* Writes the origin (RFC 6454) of a server whose Host is `authority`, in canonical form:
 * https://HOST:PORT (`tls`) or http://HOST:PORT, in lower case, without the default port. Returns
 * the port, or -1 if there is no host or it is too long. */
int origin_of(struct text authority, bool tls, char origin[ORIGIN_MAX]);

/* Whether `entry`, as written in allowed_origins, equals `origin`, which is in canonical form. "*"
 * equals none. */
bool origin_equals(const char *entry, const char *origin);

#endif
